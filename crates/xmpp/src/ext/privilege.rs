//! XEP-0356: Privileged Entity: what a server lets a component do in its users' names. Both versions that servers speak: `urn:xmpp:privilege:2`,
//! and `:1` as ejabberd has it.

use super::element;
use super::roster::Item;
use crate::jid::Jid;
use crate::ns;
use crate::stanza::{Kind, Stanza};
use xml::Element;

/// The most namespaces of iq privileges that are read.
pub const MAX_NAMESPACES: usize = 32;

/// Which version of the protocol the server speaks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Version {
    /// `urn:xmpp:privilege:1`.
    One,
    /// `urn:xmpp:privilege:2`.
    #[default]
    Two,
}

impl Version {
    /// Its namespace.
    pub fn ns(self) -> &'static str {
        match self {
            Version::One => ns::PRIVILEGE_1,
            Version::Two => ns::PRIVILEGE,
        }
    }
}

/// Of which type the iqs are that may be sent (§4.1, §6.1).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Access {
    /// None.
    #[default]
    None,
    /// Those that ask.
    Get,
    /// Those that change.
    Set,
    /// All.
    Both,
}

impl Access {
    fn of(type_: Option<&str>) -> Access {
        match type_ {
            Some("get") => Access::Get,
            Some("set") => Access::Set,
            Some("both") => Access::Both,
            Some(_) | None => Access::None,
        }
    }

    /// Whether something may be asked for.
    pub fn may_get(self) -> bool {
        matches!(self, Access::Get | Access::Both)
    }

    /// Whether something may be changed.
    pub fn may_set(self) -> bool {
        matches!(self, Access::Set | Access::Both)
    }
}

/// What a server grants (§4.2, §5.2, §6.2).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Privileges {
    /// In which version it says so, and is to be asked.
    pub version: Version,
    /// Rosters of its users.
    pub roster: Access,
    /// Messages in its users' names.
    pub message: bool,
    /// Iqs in its users' names: namespaces, at most [`MAX_NAMESPACES`].
    pub iq: Vec<(String, Access)>,
}

impl Privileges {
    /// What a message from a server grants; none if it grants nothing of this kind. The caller judges whether the sender is the server of whom it
    /// is about: an address without a local part and a resource is all that is looked at here.
    pub fn parse(stanza: &Stanza) -> Option<Privileges> {
        let server = stanza.from.as_ref().is_some_and(|from| from.local().is_none() && from.is_bare());
        if stanza.kind != Kind::Message || !server || stanza.is_error() {
            return None;
        }
        let read = |version: Version| Some((version, stanza.child("privilege", version.ns())?));
        let (version, e) = read(Version::Two).or_else(|| read(Version::One))?;
        let perms = || e.elements().filter(|perm| perm.is("perm", version.ns()));
        perms().next()?;
        let mut granted = Privileges { version, ..Privileges::default() };
        for perm in perms() {
            match perm.attr("access") {
                Some("roster") => granted.roster = Access::of(perm.attr("type")),
                Some("message") => granted.message = perm.attr("type") == Some("outgoing"),
                Some("iq") => {
                    let namespaces = perm.elements().filter(|n| n.is("namespace", version.ns()));
                    let namespaces =
                        namespaces.filter_map(|n| Some((n.attr("ns")?.to_owned(), Access::of(n.attr("type")))));
                    granted.iq.extend(namespaces.take(MAX_NAMESPACES - granted.iq.len().min(MAX_NAMESPACES)));
                }
                Some(_) | None => {}
            }
        }
        Some(granted)
    }

    /// The message by which `gateway` has the server of `message.from` send a message in that user's name (§5.3). The user's address is made bare,
    /// as anything else is forbidden.
    pub fn send(&self, gateway: &Jid, id: &str, mut message: Stanza) -> Option<Stanza> {
        let user = message.from.as_ref().filter(|_| self.message)?.bare();
        let server = Jid::new(None, user.domain(), None).ok()?;
        message.from = Some(user);
        let forwarded = element("forwarded", ns::FORWARD).with_child(message.to_element());
        let privilege = element("privilege", self.version.ns()).with_child(forwarded);
        Some(Stanza::message().with_from(gateway.clone()).with_to(server).with_id(id).with_child(privilege))
    }

    /// The iq by which `gateway` puts an item into the roster of `user` (§4.3).
    pub fn add_to_roster(&self, gateway: &Jid, id: &str, user: &Jid, item: &Item) -> Option<Stanza> {
        let query = element("query", ns::ROSTER).with_child(item.to_element());
        let iq = Stanza::iq("set").with_from(gateway.clone()).with_to(user.bare()).with_id(id).with_child(query);
        self.roster.may_set().then_some(iq)
    }
}

/// What `forwarded` of a `<privilege/>` holds, read as the server does: for whoever plays one.
pub fn forwarded(e: &Element) -> Option<Stanza> {
    let version = [Version::Two, Version::One].into_iter().find(|version| e.is("privilege", version.ns()))?;
    debug_assert_eq!(e.ns, version.ns());
    let message = e.child("forwarded", ns::FORWARD)?.child("message", ns::CLIENT)?;
    Stanza::from_element(message.clone(), ns::CLIENT).ok()
}

#[cfg(test)]
mod tests {
    use super::super::tests::over_the_wire;
    use super::*;

    fn jid(text: &str) -> Jid {
        Jid::parse(text).expect("an address")
    }

    fn perm(access: &'static str, type_: &'static str, version: Version) -> Element {
        element("perm", version.ns()).with_attr("access", access).with_attr("type", type_)
    }

    fn grant(from: &str, privilege: &Element) -> Option<Privileges> {
        Privileges::parse(&Stanza::message().with_from(jid(from)).with_child(over_the_wire(privilege)))
    }

    #[test]
    fn what_is_granted() {
        for version in [Version::One, Version::Two] {
            let iq = element("perm", version.ns())
                .with_attr("access", "iq")
                .with_child(element("namespace", version.ns()).with_attr("ns", "urn:x").with_attr("type", "set"));
            let privilege = element("privilege", version.ns())
                .with_child(perm("roster", "both", version))
                .with_child(perm("message", "outgoing", version))
                .with_child(perm("presence", "managed_entity", version))
                .with_child(iq);
            let granted = grant("example.com", &privilege).expect("privileges");
            assert_eq!((granted.version, granted.roster, granted.message), (version, Access::Both, true));
            assert_eq!(granted.iq, [("urn:x".to_owned(), Access::Set)]);
            for liar in ["juliet@example.com", "example.com/x"] {
                assert_eq!(grant(liar, &privilege), None, "{liar}");
            }
        }
        assert_eq!(grant("example.com", &element("privilege", ns::PRIVILEGE)), None);
        let none = element("privilege", ns::PRIVILEGE).with_child(perm("roster", "none", Version::Two));
        assert_eq!(grant("example.com", &none), Some(Privileges::default()));
    }

    #[test]
    fn what_is_done_with_it() {
        let all = Privileges { roster: Access::Set, message: true, ..Privileges::default() };
        let gateway = jid("sip.example");
        let message = Stanza::message().with_from(jid("juliet@example.com/x")).with_to(jid("romeo@example.com"));
        let sent = all.send(&gateway, "1", message.clone()).expect("a message");
        assert_eq!(sent.to, Some(jid("example.com")));
        let inner = sent.child("privilege", ns::PRIVILEGE).and_then(forwarded).expect("a forwarded message");
        assert_eq!((inner.from, inner.to), (Some(jid("juliet@example.com")), Some(jid("romeo@example.com"))));
        let item = Item { jid: jid("romeo@sip.example"), name: Some("Romeo".into()), groups: Vec::new() };
        let iq = all.add_to_roster(&gateway, "2", &jid("juliet@example.com/x"), &item).expect("an iq");
        assert_eq!((iq.to, iq.type_.as_deref()), (Some(jid("juliet@example.com")), Some("set")));
        assert_eq!(Privileges::default().send(&gateway, "1", message), None);
        assert_eq!(Privileges::default().add_to_roster(&gateway, "2", &jid("juliet@example.com"), &item), None);
    }

    #[test]
    fn namespaces_are_bounded() {
        let namespaces = (0..2 * MAX_NAMESPACES)
            .map(|n| element("namespace", ns::PRIVILEGE).with_attr("ns", format!("urn:{n}")).with_attr("type", "get"));
        let iq = namespaces.fold(element("perm", ns::PRIVILEGE).with_attr("access", "iq"), Element::with_child);
        let privilege = element("privilege", ns::PRIVILEGE).with_child(iq.clone()).with_child(iq);
        assert_eq!(grant("example.com", &privilege).map(|granted| granted.iq.len()), Some(MAX_NAMESPACES));
    }
}
