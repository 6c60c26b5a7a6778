//! Rooms of the XMPP server of a world, and the users who sit in them.

use super::members::{Act, Member};
use super::{DOMAIN, Event, World};
use crate::stub::muc::Service;
use std::time::Duration;
use stox::gateway::Gateway;
use xmpp::stanza::Stanza;

impl World {
    /// From now on the server has these rooms, and what its users get is kept for [`World::users_got`].
    pub fn open_rooms(&mut self, rooms: Service) {
        self.server.rooms = Some(rooms);
        self.listen_to_users();
    }

    /// From now on what the server's users get is kept for [`World::users_got`].
    pub fn listen_to_users(&mut self) {
        self.server.arrived.get_or_insert_default();
    }

    /// The rooms, to look at, or to change without anybody being told.
    pub fn rooms(&mut self) -> Option<&mut Service> {
        self.server.rooms.as_mut()
    }

    /// A user of the server sends a stanza, to a room or to a SIP user. What is for the gateway while there is no stream comes back.
    pub fn user_sends(&mut self, stanza: Stanza) {
        if let Some((generation, bytes)) = self.server.user_sends(self.now, stanza, DOMAIN, &mut self.letters) {
            self.server_sends(generation, &bytes);
        }
    }

    /// What the server's users got since this was last asked, from rooms and from the gateway, in order. Nothing if nobody listens.
    pub fn users_got(&mut self) -> Vec<Stanza> {
        self.server.arrived.as_mut().map(std::mem::take).unwrap_or_default()
    }

    /// A SIP user enters a room, known by its whole address, under a nickname.
    pub fn member_enters(&mut self, user: u64, room: &str, nick: &str) {
        self.members.enter(self.now, user, room, nick);
        self.members_act();
    }

    /// A SIP user leaves a room, if he is there.
    pub fn member_leaves(&mut self, user: u64, room: &str) {
        self.members.leave(self.now, user, room);
        self.members_act();
    }

    /// A SIP user says something in a room. Whether he can: he is in the room, and has a connection.
    pub fn member_says(&mut self, user: u64, room: &str, words: &str) -> bool {
        let said = self.members.say(self.now, user, room, words);
        self.members_act();
        said
    }

    /// The place of a SIP user in a room, if he has one.
    pub fn member(&self, user: u64, room: &str) -> Option<&Member> {
        self.members.place(user, room)
    }

    /// All places that SIP users have, or had, in rooms.
    pub fn members(&self) -> impl Iterator<Item = &Member> {
        self.members.all()
    }

    /// Places that are not over: as the SIP users have them, as the gateway has them; and the gateway's subscriptions and records.
    pub fn seats(&self) -> [usize; 4] {
        let subscriptions = |shard: &Gateway| shard.subscription_counts();
        [
            self.members.open(),
            self.shards.iter().map(|shard| shard.seat_counts().0).sum(),
            self.shards.iter().map(|shard| subscriptions(shard).notifiers + subscriptions(shard).subscribers).sum(),
            self.store.len(),
        ]
    }

    pub(super) fn members_act(&mut self) {
        for act in self.members.acts() {
            match act {
                Act::Datagram(bytes) => self.phones_send(bytes),
                Act::Connect(call) => {
                    let after = Duration::from_millis(1 + self.chance.below(50));
                    self.at(after, Event::PhoneConnects(call));
                }
                Act::Write(line, bytes) => self.line_sends(line, true, &bytes),
                Act::HangUp(line) => self.line_closed_by_phone(line),
            }
        }
    }

    /// The process of the rooms goes down and is there again: with a word to everybody in them (332), or without.
    pub fn rooms_restart(&mut self, in_order: bool) {
        let sent = self.server.rooms_restart(self.now, in_order, DOMAIN, &mut self.letters);
        if let Some((generation, bytes)) = sent {
            self.server_sends(generation, &bytes);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stub::muc;
    use crate::world::Weather;
    use std::time::Duration;
    use xml::Element;
    use xmpp::ext::muc::{History, Join};
    use xmpp::jid::Jid;
    use xmpp::ns;

    fn jid(text: &str) -> Jid {
        Jid::parse(text).expect("an address")
    }

    fn join(user: &str, nick: &str) -> Stanza {
        let join = Join { history: Some(History::NONE), password: None };
        let occupant = jid(&format!("den@muc.example.com/{nick}"));
        Stanza::presence().with_from(jid(user)).with_to(occupant).with_child(join.to_element())
    }

    fn said(user: &str, words: &str) -> Stanza {
        let body = Element::new("body", ns::CLIENT).with_text(words);
        let message = Stanza::message().with_type("groupchat").with_from(jid(user)).with_to(jid("den@muc.example.com"));
        message.with_child(body)
    }

    fn bodies(got: &[Stanza]) -> Vec<String> {
        let line = |s: &Stanza| {
            let body = s.child("body", ns::CLIENT)?.text().into_owned();
            Some(format!("{} < {}: {body}", s.to.as_ref()?, s.from.as_ref()?.resource()?))
        };
        got.iter().filter_map(line).collect()
    }

    #[test]
    fn users_sit_in_rooms() {
        let mut world = World::new(7, 2, Weather::FAIR, |_| ());
        let mut service = Service::new("muc.example.com", 1);
        service.make("den", muc::Settings::default());
        world.open_rooms(service);
        let (juliet, nurse) = ("juliet@example.com/balcony", "nurse@example.com/kitchen");
        world.user_sends(join(juliet, "Juliet"));
        world.user_sends(join(nurse, "Nurse"));
        // Somebody behind the gateway, who is not there: what is for him comes back, and he is out.
        world.user_sends(join("ghost@example.net/x", "Ghost"));
        let people: Vec<_> = world.rooms().expect("rooms").people("den").into_iter().map(|p| p.nick).collect();
        assert_eq!(people, ["Juliet", "Nurse"]);
        world.users_got();
        world.user_sends(said(juliet, "Romeo?"));
        assert_eq!(
            bodies(&world.users_got()),
            ["juliet@example.com/balcony < Juliet: Romeo?", "nurse@example.com/kitchen < Juliet: Romeo?"]
        );
        assert_eq!(bodies(&world.users_got()), [""; 0]);
        world.run(Duration::from_secs(1));
        assert!(world.is_up());
        world.user_sends(join("ghost@example.net/x", "Ghost"));
        assert_eq!(world.rooms().expect("rooms").people("den").len(), 3, "the gateway is there now");
        world.run(Duration::from_secs(1));
        world.rooms_restart(true);
        assert_eq!(world.users_got().iter().filter(|s| s.type_.as_deref() == Some("unavailable")).count() % 2, 0);
        assert_eq!(world.rooms().expect("rooms").people("den").len(), 0);
        world.user_sends(said(juliet, "Nurse?"));
        assert!(world.users_got().iter().any(Stanza::is_error), "nobody is in it any more");
    }
}
