//! Items of contact lists: as a server keeps them (RFC 6121 §2), and as one entity proposes them to another (XEP-0144).

use super::element;
use crate::jid::Jid;
use crate::ns;
use base::Str;
use xml::Element;

/// Somebody in a contact list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Item {
    /// The address.
    pub jid: Jid,
    /// What the owner of the list calls them.
    pub name: Option<Str>,
    /// The groups that they are in.
    pub groups: Vec<Str>,
}

impl Item {
    /// Reads it from `jabber:iq:roster`; none without an address.
    pub fn parse(e: &Element) -> Option<Item> {
        if !e.is("item", ns::ROSTER) {
            return None;
        }
        Some(Item {
            jid: super::address(e, "jid")?,
            name: e.attr("name").map(Str::from),
            groups: e.elements().filter(|c| c.is("group", ns::ROSTER)).map(|c| Str::from(&*c.text())).collect(),
        })
    }

    /// Writes it for `jabber:iq:roster`.
    pub fn to_element(&self) -> Element {
        self.write(element("item", ns::ROSTER), ns::ROSTER)
    }

    /// A proposal to put it into a list (XEP-0144 §2), which the owner of the list is asked about.
    pub fn to_proposal(&self) -> Element {
        let item = self.write(element("item", ns::ROSTERX).with_attr("action", "add"), ns::ROSTERX);
        element("x", ns::ROSTERX).with_child(item)
    }

    fn write(&self, e: Element, ns: &'static str) -> Element {
        let mut e = e.with_attr("jid", self.jid.to_string());
        if let Some(name) = &self.name {
            e.set_attr("name", name.clone());
        }
        self.groups.iter().fold(e, |e, group| e.with_child(element("group", ns).with_text(group)))
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::over_the_wire;
    use super::*;

    #[test]
    fn there_and_back() {
        let jid = Jid::parse("romeo@sip.example").expect("an address");
        for groups in [Vec::new(), vec!["Telephone".into(), "b".into()]] {
            for name in [None, Some("Romeo".into())] {
                let item = Item { jid: jid.clone(), name, groups: groups.clone() };
                assert_eq!(Item::parse(&over_the_wire(&item.to_element())), Some(item.clone()));
                let proposal = over_the_wire(&item.to_proposal());
                let inner = proposal.child("item", ns::ROSTERX).expect("an item");
                assert_eq!((inner.attr("action"), inner.attr("jid")), (Some("add"), Some("romeo@sip.example")));
            }
        }
        assert_eq!(Item::parse(&element("item", ns::ROSTER)), None);
        assert_eq!(Item::parse(&element("item", ns::SEARCH).with_attr("jid", "a@b")), None);
    }
}
