//! What servers say to each other besides stanzas, as it is read and written.

use super::{DialbackCondition, Pair, Verdict};
use crate::jid;
use crate::ns;
use base::Str;
use xml::Element;

/// What the other side offers (RFC 6120 §4.3.2).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Features {
    pub(super) starttls: bool,
    /// It offers mechanisms of SASL, of whatever kind.
    pub(super) sasl: bool,
    /// EXTERNAL is one of them.
    pub(super) external: bool,
    pub(super) dialback: bool,
    /// It handles errors of dialback (XEP-0220 §2.4.2).
    pub(super) dialback_errors: bool,
    pub(super) bidi: bool,
    pub(super) sm: bool,
}

impl Features {
    /// Reads `<stream:features/>`. What is not known is not there.
    pub(super) fn parse(e: &Element) -> Features {
        let dialback = e.child("dialback", ns::DIALBACK_FEATURE);
        let mut mechanisms = e
            .child("mechanisms", ns::SASL)
            .into_iter()
            .flat_map(Element::elements)
            .filter(|m| m.is("mechanism", ns::SASL))
            .peekable();
        Features {
            starttls: e.child("starttls", ns::TLS).is_some(),
            sasl: mechanisms.peek().is_some(),
            external: mechanisms.any(|m| m.text().trim() == "EXTERNAL"),
            dialback: dialback.is_some(),
            dialback_errors: dialback.is_some_and(|d| d.child("errors", ns::DIALBACK_FEATURE).is_some()),
            bidi: e.child("bidi", ns::BIDI_FEATURE).is_some(),
            sm: e.child("sm", ns::SM).is_some(),
        }
    }

    /// Appends it. `tls_required`: TLS is all that there is.
    pub(super) fn write(self, tls_required: bool, out: &mut Vec<u8>) {
        out.extend_from_slice(b"<stream:features>");
        if self.starttls {
            let mut starttls = Element::new("starttls", ns::TLS);
            if tls_required {
                starttls.push(Element::new("required", ns::TLS));
            }
            xml::write(&starttls, ns::SERVER, out);
        }
        if self.external {
            let mechanism = Element::new("mechanism", ns::SASL).with_text("EXTERNAL");
            xml::write(&Element::new("mechanisms", ns::SASL).with_child(mechanism), ns::SERVER, out);
        }
        if self.bidi {
            xml::write(&Element::new("bidi", ns::BIDI_FEATURE), ns::SERVER, out);
        }
        if self.dialback {
            let mut dialback = Element::new("dialback", ns::DIALBACK_FEATURE);
            if self.dialback_errors {
                dialback.push(Element::new("errors", ns::DIALBACK_FEATURE));
            }
            xml::write(&dialback, ns::SERVER, out);
        }
        if self.sm {
            xml::write(&Element::new("sm", ns::SM), ns::SERVER, out);
        }
        out.extend_from_slice(b"</stream:features>");
    }
}

/// The longest key, or id of a stream, that is looked at: four times as long as ours.
const MAX_KEY: usize = 256;

/// Which of the two elements of dialback it is (XEP-0220 §2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum DialbackKind {
    /// Between who wants to send and who is to take it.
    Result,
    /// Between who is to take it and whom the domain belongs to.
    Verify,
}

impl DialbackKind {
    fn name(self) -> &'static str {
        match self {
            DialbackKind::Result => "result",
            DialbackKind::Verify => "verify",
        }
    }
}

/// An element of dialback.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Dialback {
    pub(super) kind: DialbackKind,
    /// Whom it is for and whom it is from.
    pub(super) pair: Pair,
    /// The id of the stream that the key is for: there in verifications.
    pub(super) id: Option<Str>,
    /// A key, or what is said of one.
    pub(super) says: Says,
}

/// What an element of dialback says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Says {
    /// A request: this key.
    Key(Str),
    /// An answer.
    Verdict(Verdict),
}

impl Dialback {
    /// Reads an element in [`ns::DIALBACK`]; none if it makes no sense.
    pub(super) fn parse(e: &Element) -> Option<Dialback> {
        let kind = [DialbackKind::Result, DialbackKind::Verify].into_iter().find(|k| k.name() == e.name)?;
        let domain = |name| e.attr(name).and_then(|a| jid::domain(a).ok());
        let pair = Pair { local: domain("to")?, remote: domain("from")? };
        let id = e.attr("id").filter(|id| !id.is_empty()).map(Str::from);
        if id.as_ref().map_or(kind == DialbackKind::Verify, |id| id.len() > MAX_KEY) {
            return None;
        }
        let says = match e.attr("type") {
            None => Says::Key(Str::from(e.text().trim())),
            Some("valid") => Says::Verdict(Verdict::Valid),
            Some("invalid") => Says::Verdict(Verdict::Invalid),
            Some("error") => {
                // XEP-0220 §2.5: in the content namespace, but not everybody writes it so.
                let error = e.elements().find(|c| c.name == "error");
                let condition = error
                    .into_iter()
                    .flat_map(Element::elements)
                    .filter(|c| c.ns == ns::STANZA_ERRORS)
                    .find_map(|c| DialbackCondition::from_name(&c.name));
                Says::Verdict(Verdict::Error(condition.unwrap_or(DialbackCondition::UndefinedCondition)))
            }
            Some(_) => return None,
        };
        match &says {
            Says::Key(key) if key.is_empty() || key.len() > MAX_KEY => None,
            Says::Key(_) | Says::Verdict(_) => Some(Dialback { kind, pair, id, says }),
        }
    }

    /// Appends it as we send it: from `pair.local` to `pair.remote`. The prefix is the one that the header binds; some servers know no other
    /// (XEP-0220 §2).
    pub(super) fn write(&self, out: &mut Vec<u8>) {
        let name = self.kind.name();
        out.extend_from_slice(b"<db:");
        out.extend_from_slice(name.as_bytes());
        let type_ = match &self.says {
            Says::Key(_) => None,
            Says::Verdict(Verdict::Valid) => Some("valid"),
            Says::Verdict(Verdict::Invalid) => Some("invalid"),
            Says::Verdict(Verdict::Error(_)) => Some("error"),
        };
        let attrs = [
            ("from", Some(self.pair.local.as_str())),
            ("to", Some(self.pair.remote.as_str())),
            ("id", self.id.as_deref()),
            ("type", type_),
        ];
        for (name, value) in attrs.into_iter().filter_map(|(name, value)| Some((name, value?))) {
            out.push(b' ');
            out.extend_from_slice(name.as_bytes());
            out.extend_from_slice(b"='");
            xml::escape_attr(value, out);
            out.push(b'\'');
        }
        out.push(b'>');
        match &self.says {
            Says::Key(key) => xml::escape_text(key, out),
            Says::Verdict(Verdict::Valid | Verdict::Invalid) => {}
            Says::Verdict(Verdict::Error(condition)) => {
                let condition = Element::new(condition.name(), ns::STANZA_ERRORS);
                let error = Element::new("error", ns::SERVER).with_attr("type", "cancel").with_child(condition);
                xml::write(&error, ns::SERVER, out);
            }
        }
        out.extend_from_slice(b"</db:");
        out.extend_from_slice(name.as_bytes());
        out.push(b'>');
    }
}
