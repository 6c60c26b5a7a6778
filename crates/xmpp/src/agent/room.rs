//! What a room on the SIP side says of itself (XEP-0045 §6.4).

use crate::error::Condition;
use crate::ext::disco::{self, Info, Items};
use crate::ext::element;
use crate::ext::ping::Ping;
use crate::ns;
use base::{Str, format_compact};
use xml::Element;

/// What is known of a room. Whoever is not in it is told no more than [`RoomInfo::default`] and the name, if anybody may know that: subject
/// and number of people are for those inside (XEP-0045 §13.2).
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct RoomInfo {
    /// What it is called.
    pub name: Option<Str>,
    /// What it is for, in words.
    pub description: Option<String>,
    /// What is talked about.
    pub subject: Option<String>,
    /// How many people are in it.
    pub occupants: Option<u32>,
    /// Whether it lets in only those on a list; None: only its focus knows.
    pub members_only: Option<bool>,
    /// Whether it wants a password; None: only its focus knows.
    pub password: Option<bool>,
    /// Whether everybody in it sees the addresses of the others.
    pub non_anonymous: bool,
    /// What else whoever speaks for the room does: [`ns::STANZA_ID`], [`ns::OCCUPANT_ID`] and their like.
    pub features: Vec<Str>,
}

/// What holds for any room here. It cannot be registered with, nobody lists it, all who are in it may speak.
const OF_A_ROOM: [&str; 7] =
    [ns::DISCO_INFO, ns::DISCO_ITEMS, ns::MUC, ns::MUC_SELF_PING, ns::PING, "muc_hidden", "muc_unmoderated"];

/// The node that asks for a reserved nickname (XEP-0045 §7.12).
const RESERVED_NICK: &str = "x-roomuser-item";

/// The form of what is to be known of a room beside its features (XEP-0045 §16.5.4).
const ROOM_INFO: &str = "http://jabber.org/protocol/muc#roominfo";

pub(super) fn get(room: &RoomInfo, payload: &Element) -> Result<Option<Element>, Condition> {
    if let Some(query) = Info::parse(payload) {
        return match query.node.as_deref() {
            None => Ok(Some(room.to_element())),
            // XEP-0045 §7.12: the answer of who reserves none.
            Some(RESERVED_NICK) => Err(Condition::FeatureNotImplemented),
            Some(_) => Err(Condition::ItemNotFound),
        };
    }
    if let Some(query) = Items::parse(payload) {
        // XEP-0045 §6.5: a room may keep for itself who is in it.
        return match query.node {
            None => Ok(Some(Items::default().to_element())),
            Some(_) => Err(Condition::ItemNotFound),
        };
    }
    if Ping::parse(payload).is_some() { Ok(None) } else { Err(Condition::ServiceUnavailable) }
}

impl RoomInfo {
    /// The answer to disco#info.
    pub(super) fn to_element(&self) -> Element {
        let mut identity = disco::Identity::new("conference", "text");
        identity.name.clone_from(&self.name);
        let mut features = OF_A_ROOM.map(Str::const_new).to_vec();
        let mut either = |flag: Option<bool>, yes: &'static str, no: &'static str| {
            features.extend(flag.map(|flag| Str::const_new(if flag { yes } else { no })));
        };
        either(self.members_only, "muc_membersonly", "muc_open");
        either(self.password, "muc_passwordprotected", "muc_unsecured");
        either(Some(self.non_anonymous), "muc_nonanonymous", "muc_semianonymous");
        features.extend(self.features.iter().cloned());
        let mut e = Info { node: None, identities: vec![identity], features }.to_element();
        e.children.extend(self.form().map(xml::Node::Element));
        e
    }

    /// The form, if there is anything to say in it (XEP-0128).
    fn form(&self) -> Option<Element> {
        let occupants = self.occupants.map(|n| format_compact!("{n}"));
        let fields = [
            ("muc#roominfo_description", self.description.as_deref()),
            ("muc#roominfo_subject", self.subject.as_deref()),
            ("muc#roominfo_occupants", occupants.as_deref()),
        ];
        if fields.iter().all(|(_, value)| value.is_none()) {
            return None;
        }
        let field = |var: &'static str, value: &str| {
            let value = element("value", ns::DATA_FORMS).with_text(value);
            element("field", ns::DATA_FORMS).with_attr("var", Str::const_new(var)).with_child(value)
        };
        let head = field("FORM_TYPE", ROOM_INFO).with_attr("type", Str::const_new("hidden"));
        let form = element("x", ns::DATA_FORMS).with_attr("type", Str::const_new("result")).with_child(head);
        Some(fields.into_iter().fold(form, |form, (var, value)| match value {
            Some(value) => form.with_child(field(var, value)),
            None => form,
        }))
    }
}
