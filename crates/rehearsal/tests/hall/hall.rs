//! A MUC service at a.example, users of c.example who sit in its rooms, and users of b.example who do so through two gateways: to them it is an
//! MSRP conference, which to the gateway before it is a MUC.

use crate::facing::Mirror;
use crate::view::View;
use rehearsal::stub::muc::{Service, Settings};
use std::collections::BTreeMap;
use std::time::Duration;
use xml::Element;
use xmpp::ext::muc::{Affiliation, Join};
use xmpp::jid::Jid;
use xmpp::ns;
use xmpp::stanza::Stanza;

pub struct Hall {
    pub mirror: Mirror,
    pub service: Service,
    views: BTreeMap<Jid, View>,
}

pub fn jid(text: &str) -> Jid {
    Jid::parse(text).unwrap()
}

/// A user's address: of b.example, behind the gateways, or of c.example, beside them.
pub fn user(name: &str) -> Jid {
    jid(&if name.contains('@') { format!("{name}/x") } else { format!("{name}@c.example/x") })
}

fn own(name: &'static str, text: &str) -> Element {
    Element::new(name, ns::CLIENT).with_text(text)
}

impl Hall {
    /// With a room `den` that stays, whose owner is Otto, of c.example.
    pub fn new(settings: Settings) -> Hall {
        let mut service = Service::new("a.example", 1);
        service.make("den", settings);
        service.affiliate("den", "otto@c.example", Affiliation::Owner);
        Hall { mirror: Mirror::of_rooms(), service, views: BTreeMap::new() }
    }

    pub fn view(&mut self, who: &str) -> &mut View {
        self.views.entry(user(who)).or_default()
    }

    /// A user does something, and the room is given time to tell everybody.
    pub fn does(&mut self, who: &str, to: &str, stanza: Stanza) {
        self.begins(who, to, stanza);
        self.run(Duration::from_secs(12));
    }

    /// A user does something.
    pub fn begins(&mut self, who: &str, to: &str, stanza: Stanza) {
        let stanza = stanza.with_from(user(who)).with_to(jid(to));
        if user(who).domain() == "b.example" {
            self.mirror.stanza_only(1, stanza);
        } else {
            self.at_the_service(stanza);
        }
    }

    pub fn joins(&mut self, who: &str, nick: &str) {
        let join = Stanza::presence().with_child(Join::default().to_element());
        self.does(who, &format!("den@a.example/{nick}"), join);
    }

    pub fn leaves(&mut self, who: &str) {
        let nick = self.view(who).own.clone().unwrap_or_else(|| "x".to_owned());
        self.does(who, &format!("den@a.example/{nick}"), Stanza::presence().with_type("unavailable"));
    }

    pub fn says(&mut self, who: &str, words: &str) {
        let message = Stanza::message().with_type("groupchat").with_id(format!("m-{words}"));
        self.does(who, "den@a.example", message.with_child(own("body", words)));
    }

    pub fn whispers(&mut self, who: &str, nick: &str, words: &str) {
        let message = Stanza::message().with_type("chat").with_id(format!("p-{words}"));
        self.does(who, &format!("den@a.example/{nick}"), message.with_child(own("body", words)));
    }

    pub fn sets_subject(&mut self, who: &str, subject: &str) {
        let message = Stanza::message().with_type("groupchat").with_id("s");
        self.does(who, "den@a.example", message.with_child(own("subject", subject)));
    }

    /// Otto wants a change of roles or affiliations.
    pub fn rules(&mut self, item: &str) {
        let text = format!("<query xmlns='{}'>{item}</query>", ns::MUC_ADMIN);
        let query = Element::parse(text.as_bytes(), &xml::Limits::default()).unwrap();
        self.does("otto", "den@a.example", Stanza::iq("set").with_id("r").with_child(query));
    }

    /// The service's process goes down, in good order or not, and is there again.
    pub fn service_restarts(&mut self, in_order: bool) {
        if in_order {
            for stanza in self.service.shut_down() {
                self.at_the_service(stanza);
            }
        } else {
            self.service.restart();
        }
    }

    /// Time goes by.
    pub fn run(&mut self, time: Duration) {
        let end = self.mirror.now() + time;
        while self.mirror.now() < end {
            self.settle();
            self.mirror.run(Duration::from_millis(200));
        }
        self.settle();
    }

    /// What stanzas there are go where they are for, until there are none.
    fn settle(&mut self) {
        loop {
            self.mirror.run(Duration::ZERO);
            let to_users = std::mem::take(&mut self.mirror.stanzas[1]);
            let to_service = std::mem::take(&mut self.mirror.stanzas[0]);
            if to_users.is_empty() && to_service.is_empty() {
                return;
            }
            for stanza in to_users {
                self.arrives(&stanza);
            }
            for stanza in to_service {
                self.at_the_service(stanza);
            }
        }
    }

    fn at_the_service(&mut self, stanza: Stanza) {
        let now = self.mirror.now();
        let mut arrived = Vec::new();
        let mirror = &mut self.mirror;
        self.service.relay(now, stanza, |stanza| {
            if stanza.to.as_ref().unwrap().domain() == "b.example" {
                mirror.stanza_only(0, stanza);
            } else {
                arrived.push(stanza);
            }
            None
        });
        arrived.iter().for_each(|stanza| self.arrives(stanza));
    }

    fn arrives(&mut self, stanza: &Stanza) {
        let to = stanza.to.clone().unwrap();
        self.views.entry(to).or_default().sees(stanza);
    }

    /// Whoever thinks that he is in the room sees what is, and is in it; whoever does not, is not: no ghosts.
    pub fn check(&mut self, when: &str) {
        let people = self.service.people("den");
        let nicks: Vec<String> = people.iter().map(|p| p.nick.to_string()).collect();
        let inside: BTreeMap<Jid, String> =
            people.iter().flat_map(|p| p.sessions.iter().map(|s| (s.clone(), p.nick.to_string()))).collect();
        for (jid, view) in &self.views {
            assert_eq!(view.own.as_ref(), inside.get(jid), "{when}: {jid} is in the room as somebody");
            if view.own.is_some() {
                let seen: Vec<String> = view.people.keys().cloned().collect();
                assert_eq!(seen, nicks, "{when}: whom {jid} sees");
                assert_eq!(view.subject.as_deref().unwrap_or_default(), self.service.subject("den"), "{when}: {jid}");
            }
        }
        for jid in inside.keys() {
            assert!(self.views.contains_key(jid), "{when}: {jid} is a ghost");
        }
        let [participants, occupants] = self.mirror.seats();
        let behind = inside.keys().filter(|jid| jid.domain() == "b.example").count();
        assert_eq!((participants.len(), occupants.len()), (behind, behind), "{when}: {participants:?} {occupants:?}");
    }
}
