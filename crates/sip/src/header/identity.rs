//! Who somebody else says that a caller is, and how much of it may be shown: P-Asserted-Identity, P-Preferred-Identity (RFC 3325), Identity (RFC 8224)
//! and Privacy (RFC 3323).

use crate::header::{Headers, Name, NameAddr};

/// An identity: RFC 3325 §9.1, §9.2. One address, or two of which one is a telephone number.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Identity {
    /// A SIP or SIPS URI.
    pub sip: Option<NameAddr>,
    /// A `tel:` URI (RFC 3966).
    pub tel: Option<NameAddr>,
}

impl Identity {
    /// The name that goes with it, if there is one.
    pub fn display(&self) -> Option<&str> {
        let both = [&self.sip, &self.tel];
        both.into_iter().flatten().find_map(|address| address.display.as_deref())
    }
}

/// What a caller wants not to be shown: RFC 3323 §4.2, RFC 3325 §9.3.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Privacy {
    /// `header`: what says where the request comes from.
    pub header: bool,
    /// `session`: the addresses of its media.
    pub session: bool,
    /// `user`: who it is from.
    pub user: bool,
    /// `id`: the asserted identity.
    pub id: bool,
    /// `critical`: rather no call than one that shows it.
    pub critical: bool,
    /// `none`: all of it may be shown.
    pub none: bool,
}

impl Headers {
    /// P-Asserted-Identity. As true as who sent it: it counts from those that are trusted only (RFC 3325 §5). Default for what is not of its form.
    pub fn asserted_identity(&self) -> Identity {
        self.identity(Name::PAssertedIdentity)
    }

    /// P-Preferred-Identity, of which the same is true (RFC 3325 §6).
    pub fn preferred_identity(&self) -> Identity {
        self.identity(Name::PPreferredIdentity)
    }

    /// Identity, as it is written: RFC 8224 §4. Nothing of it is verified here: whoever wants to know whether it is true verifies the signature, and that it is
    /// over this very request (§6.2). What is not of its form is left out.
    pub fn signed_identities(&self) -> impl Iterator<Item = &str> {
        self.all(Name::Identity).map(str::trim).filter(|line| is_signed_identity(line))
    }

    /// Privacy. Words that nobody knows are left out.
    pub fn privacy(&self) -> Privacy {
        let mut privacy = Privacy::default();
        // The semicolon is RFC 3323's; commas come from those who take it for a list as any other.
        for word in self.all(Name::Privacy).flat_map(|line| line.split([';', ','])).map(str::trim) {
            let known = [
                ("header", &mut privacy.header),
                ("session", &mut privacy.session),
                ("user", &mut privacy.user),
                ("id", &mut privacy.id),
                ("critical", &mut privacy.critical),
                ("none", &mut privacy.none),
            ];
            if let Some((_, flag)) = known.into_iter().find(|(name, _)| name.eq_ignore_ascii_case(word)) {
                *flag = true;
            }
        }
        privacy
    }

    fn identity(&self, name: Name) -> Identity {
        let mut identity = Identity::default();
        for element in self.elements(name).take(3) {
            let Some(address) = element.ok().and_then(|element| NameAddr::parse(element).ok()) else {
                return Identity::default();
            };
            let place = match address.uri.scheme() {
                "sip" | "sips" => &mut identity.sip,
                "tel" => &mut identity.tel,
                _ => return Identity::default(),
            };
            if place.replace(address).is_some() {
                return Identity::default();
            }
        }
        identity
    }
}

/// Whether a value is a token of three parts, of which all but the signature may be missing, and says where its certificate is: RFC 8224 §4.
fn is_signed_identity(line: &str) -> bool {
    let Some((token, params)) = line.split_once(';') else { return false };
    let parts: Vec<&str> = token.trim_end().splitn(4, '.').collect();
    let is_base64 = |part: &str| part.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_+/=".contains(&b));
    let has_certificate = params.split(';').any(|param| {
        let (name, value) = param.split_once('=').unwrap_or_default();
        let uri = value.trim().strip_prefix('<').and_then(|value| value.strip_suffix('>'));
        name.trim().eq_ignore_ascii_case("info") && uri.is_some_and(|uri| !uri.is_empty())
    });
    let printable = line.bytes().all(|b| matches!(b, b' '..=b'~'));
    printable && has_certificate && parts.len() == 3 && !parts[2].is_empty() && parts.into_iter().all(is_base64)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(name: Name, lines: &[&str]) -> Headers {
        let mut headers = Headers::new();
        lines.iter().for_each(|line| headers.push(name, line));
        headers
    }

    /// RFC 3325 §9.1.
    #[test]
    fn an_identity_is_one_address_or_a_number_beside_it() {
        let headers =
            said(Name::PAssertedIdentity, &["\"Cullen Jennings\" <sip:fluffy@cisco.example>", "tel:+14085264000"]);
        let identity = headers.asserted_identity();
        assert_eq!(identity.display(), Some("Cullen Jennings"));
        assert_eq!(identity.sip.map(|sip| sip.uri.to_string()).as_deref(), Some("sip:fluffy@cisco.example"));
        assert_eq!(identity.tel.map(|tel| tel.uri.to_string()).as_deref(), Some("tel:+14085264000"));
        assert_eq!(headers.preferred_identity(), Identity::default());
        let headers = said(Name::PPreferredIdentity, &["<tel:+1>, <sips:a@b.example>"]);
        assert!(headers.preferred_identity().sip.is_some() && headers.preferred_identity().tel.is_some());
        for lines in [
            &["sip:a@b.example, sip:c@b.example"][..],
            &["tel:+1", "tel:+2"],
            &["sip:a@b.example", "nobody"],
            &["sip:a@b.example, tel:+1, tel:+2"],
            &["sip:a@b.example, tel:+1, im:x@y.example"],
            &["\"open <sip:a@b.example>"],
            &[""],
        ] {
            assert_eq!(said(Name::PAssertedIdentity, lines).asserted_identity(), Identity::default(), "{lines:?}");
        }
    }

    /// RFC 8224 §4, §4.1.1: the full form and the compact one.
    #[test]
    fn what_is_signed() {
        let is = |line: &str| said(Name::Identity, &[line]).signed_identities().count() == 1;
        let full = "eyJhbGciOiJFUzI1NiJ9.eyJpYXQiOjE0NDMyMDgzNDV9.r-nT_w;info=<https://cert.example/x.cer>;alg=ES256;ppt=shaken";
        assert!(is(full) && is("..rq3pjT1==; Info = <https://cert.example/x.cer>"));
        for line in [
            "",
            "a.b.c",
            "a.b.c;alg=ES256",
            "a.b.c;info=https://cert.example/x.cer",
            "a.b.c;info=<>",
            "a.b.;info=<x:y>",
            "a.b.c.d;info=<x:y>",
            "a.b;info=<x:y>",
            "\"a.b.c\";info=<x:y>",
            "a.b.c;info=<x:y>;x=\u{e9}",
        ] {
            assert!(!is(line), "{line}");
        }
        assert_eq!(said(Name::Identity, &[full, "no", full]).signed_identities().count(), 2);
    }

    /// RFC 3323 §4.2.
    #[test]
    fn privacy_is_a_set_of_words() {
        let privacy = said(Name::Privacy, &["Id; user ;x;critical", "header"]).privacy();
        assert_eq!(privacy, Privacy { header: true, user: true, id: true, critical: true, ..Privacy::default() });
        assert!(
            said(Name::Privacy, &["none"]).privacy().none && said(Name::Privacy, &["id,session"]).privacy().session
        );
        assert_eq!(said(Name::Privacy, &["", ";;", "idle"]).privacy(), Privacy::default());
    }
}
