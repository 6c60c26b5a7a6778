//! Questions: to the service, to a room, and through it to an occupant.

use super::room::Room;
use super::{Desk, Options, Service};
use base::{Str, format_compact};
use xml::Element;
use xmpp::error::Condition;
use xmpp::ext::disco::{self, Info, Items};
use xmpp::ext::muc::{Admin, Owner};
use xmpp::ext::ping::Ping;
use xmpp::jid::Jid;
use xmpp::ns;
use xmpp::stanza::{Kind, Stanza};

impl Service {
    /// What is for no room.
    pub(super) fn for_service(&mut self, stanza: &Stanza) {
        if stanza.kind != Kind::Iq {
            return self.desk.refuse(stanza, Condition::ServiceUnavailable);
        }
        let Some(payload) = question(stanza) else { return };
        let answer = if Info::parse(payload).is_some() {
            let mut features = [ns::DISCO_INFO, ns::DISCO_ITEMS, ns::MUC, ns::PING].map(Str::const_new).to_vec();
            if self.options.occupant_ids {
                // XEP-0421 §4: all rooms have them.
                features.push(Str::const_new(ns::OCCUPANT_ID));
            }
            let identities = vec![disco::Identity::new("conference", "text").with_name("Chatrooms")];
            Ok(Some(Info { node: None, identities, features }.to_element()))
        } else if Items::parse(payload).is_some() {
            let public = self.rooms.values().filter(|room| room.settings.public && !room.locked);
            let item =
                |room: &Room| disco::Item { jid: room.jid.clone(), node: None, name: room.settings.name.clone() };
            Ok(Some(Items { node: None, items: public.map(item).collect() }.to_element()))
        } else if Ping::parse(payload).is_some() {
            Ok(None)
        } else {
            Err(Condition::ServiceUnavailable)
        };
        self.desk.answer(stanza, answer);
    }
}

impl Desk {
    fn answer(&mut self, asked: &Stanza, answer: Result<Option<Element>, Condition>) {
        match answer {
            Ok(payload) => self.out.push(asked.result(payload)),
            Err(condition) => self.refuse(asked, condition),
        }
    }
}

impl Room {
    pub(super) fn iq(&mut self, desk: &mut Desk, options: &Options, stanza: Stanza) {
        let Some((from, to)) = stanza.from.clone().zip(stanza.to.clone()) else { return };
        if let Some(nick) = to.resource() {
            return self.iq_to_occupant(desk, options, &from, nick, stanza);
        }
        let Some(payload) = question(&stanza).cloned() else { return };
        let get = stanza.type_.as_deref() == Some("get");
        let answer = if let Some(query) = Admin::parse(&payload) {
            if get { self.list(&from, &query) } else { self.change(desk, options, &from, &query) }
        } else if let Some(query) = Owner::parse(&payload) {
            self.own(desk, options, &from, get, query)
        } else if !get && options.moderation && Room::is_moderation(&payload) {
            self.moderate(desk, &payload, &from)
        } else if get {
            self.tell_about(options, &payload)
        } else {
            Err(Condition::ServiceUnavailable)
        };
        desk.answer(&stanza, answer);
    }

    fn tell_about(&self, options: &Options, payload: &Element) -> Result<Option<Element>, Condition> {
        if let Some(query) = Info::parse(payload) {
            return match query.node.as_deref() {
                None => Ok(Some(self.info(options))),
                // §7.12: the answer of who reserves none.
                Some("x-roomuser-item") => Err(Condition::FeatureNotImplemented),
                Some(_) => Err(Condition::ItemNotFound),
            };
        }
        if Items::parse(payload).is_some() {
            let people = self.occupants.keys().filter(|_| self.settings.public);
            let items = people.map(|nick| disco::Item { jid: self.address(nick), node: None, name: None }).collect();
            return Ok(Some(Items { node: None, items }.to_element()));
        }
        if Ping::parse(payload).is_some() { Ok(None) } else { Err(Condition::ServiceUnavailable) }
    }

    /// §6.4.
    fn info(&self, options: &Options) -> Element {
        let mut features = [ns::DISCO_INFO, ns::DISCO_ITEMS, ns::MUC, ns::PING].map(Str::const_new).to_vec();
        features.extend(self.settings.features().map(Str::const_new));
        let optional = [
            (options.stable_ids, "http://jabber.org/protocol/muc#stable_id"),
            (options.stanza_ids, ns::STANZA_ID),
            (options.occupant_ids, ns::OCCUPANT_ID),
            (options.self_ping, ns::MUC_SELF_PING),
            (options.moderation, ns::MODERATE),
        ];
        features.extend(optional.into_iter().filter(|(has, _)| *has).map(|(_, name)| Str::const_new(name)));
        let mut identity = disco::Identity::new("conference", "text");
        identity.name.clone_from(&self.settings.name);
        let field = |var: &str, value: &str| {
            let value = Element::new("value", ns::DATA_FORMS).with_text(value);
            Element::new("field", ns::DATA_FORMS).with_attr("var", var).with_child(value)
        };
        let head = field("FORM_TYPE", "http://jabber.org/protocol/muc#roominfo").with_attr("type", "hidden");
        let form = Element::new("x", ns::DATA_FORMS)
            .with_attr("type", "result")
            .with_child(head)
            .with_child(field("muc#roominfo_description", self.settings.description.as_deref().unwrap_or_default()))
            .with_child(field("muc#roominfo_subject", &self.subject()))
            .with_child(field("muc#roominfo_occupants", &format_compact!("{}", self.occupants.len())));
        Info { node: None, identities: vec![identity], features }.to_element().with_child(form)
    }

    /// §17.4: an iq from occupant to occupant goes through, and what answers it.
    fn iq_to_occupant(&mut self, desk: &mut Desk, options: &Options, from: &Jid, nick: &str, stanza: Stanza) {
        if matches!(stanza.type_.as_deref(), Some("result" | "error")) {
            let known = stanza.id.as_ref().and_then(|id| desk.passed_on.remove(id));
            let Some((asker, id, occupant)) = known else { return };
            desk.out.push(Stanza { from: Some(occupant), to: Some(asker), id: Some(id), ..stanza });
            return;
        }
        let Some(payload) = question(&stanza) else { return };
        let Some((own, _)) = self.occupant_of(from) else {
            return desk.refuse(&stanza, Condition::NotAcceptable);
        };
        if options.self_ping && own == nick && Ping::parse(payload).is_some() {
            desk.out.push(stanza.result(None));
            return;
        }
        let Some(session) = self.occupants.get(nick).and_then(|o| o.sessions.first()) else {
            return desk.refuse(&stanza, Condition::ItemNotFound);
        };
        let id = desk.remember(from.clone(), stanza.id.clone().unwrap_or_default(), self.address(nick));
        let through = Stanza { from: Some(self.address(&own)), to: Some(session.jid.clone()), id: Some(id), ..stanza };
        desk.out.push(through);
    }
}

/// What an iq asks or wants; None: it is an answer.
fn question(stanza: &Stanza) -> Option<&Element> {
    let asks = matches!(stanza.type_.as_deref(), Some("get" | "set"));
    stanza.elements().next().filter(|_| asks)
}
