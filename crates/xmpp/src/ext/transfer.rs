//! XEP-0251: calls that are passed on, told in a session-info to the one who is passed on, and in the session-initiate that he sends then.

use super::{address, element, jingle};
use crate::jid::Jid;
use crate::ns;
use base::Str;
use xml::Element;

/// A call is passed on.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Transfer {
    /// To whom: whom the receiver of a session-info is to call.
    pub to: Option<Jid>,
    /// By whom: who has told the sender of a session-initiate to call.
    pub from: Option<Jid>,
    /// Which session of these two the new one replaces, where they have one: the transfer is attended then.
    pub sid: Option<Str>,
}

impl Transfer {
    /// Somebody is to be called.
    pub fn to(to: Jid) -> Transfer {
        Transfer { to: Some(to), ..Transfer::default() }
    }

    /// Whether an element wants to be one.
    pub fn is(e: &Element) -> bool {
        e.is("transfer", ns::TRANSFER)
    }

    /// Reads it; none if it names nobody.
    pub fn parse(e: &Element) -> Option<Transfer> {
        if !Transfer::is(e) {
            return None;
        }
        let sid = e.attr("sid").and_then(|sid| jingle::name(sid).ok());
        let transfer = Transfer { to: address(e, "to"), from: address(e, "from"), sid };
        (transfer.to.is_some() || transfer.from.is_some()).then_some(transfer)
    }

    /// Writes it.
    pub fn to_element(&self) -> Element {
        let mut e = element("transfer", ns::TRANSFER);
        for (name, jid) in [("from", &self.from), ("to", &self.to)] {
            if let Some(jid) = jid {
                e.set_attr(name, jid.to_string());
            }
        }
        self.sid.iter().fold(e, |e, sid| e.with_attr("sid", sid.clone()))
    }
}

#[cfg(test)]
mod tests {
    use super::super::jingle::MAX_NAME;
    use super::super::tests::over_the_wire;
    use super::*;

    #[test]
    fn there_and_back() {
        let jid = Jid::parse("juliet@example.com/balcony").ok();
        for sid in [None, Some("a73sjjvkla37jfea".into())] {
            for (to, from) in [(jid.clone(), None), (None, jid.clone()), (jid.clone(), jid.clone())] {
                let transfer = Transfer { to, from, sid: sid.clone() };
                assert_eq!(Transfer::parse(&over_the_wire(&transfer.to_element())), Some(transfer));
            }
        }
    }

    #[test]
    fn what_passes_nobody_on() {
        let transfer = || element("transfer", ns::TRANSFER);
        for e in [transfer(), transfer().with_attr("to", "@"), element("transfer", ns::RTP).with_attr("to", "a@b")] {
            assert_eq!(Transfer::parse(&e), None, "{e:?}");
        }
        for sid in ["", "a\r\nb", &"a".repeat(MAX_NAME + 1)] {
            let e = transfer().with_attr("to", "juliet@example.com").with_attr("sid", sid);
            assert_eq!(Transfer::parse(&e).map(|t| t.sid), Some(None));
        }
    }
}
