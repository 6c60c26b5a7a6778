mod entering;
mod model;
mod ruling;
mod talking;

use super::*;
use xml::{Element, Limits};
use xmpp::ext::muc::subject;
use xmpp::ns;

/// A service at `muc.example.com` with a room `den` that stays, whose owner is Otto.
fn service() -> Service {
    let mut service = Service::new("muc.example.com", 1);
    service.make("den", Settings::default());
    service.affiliate("den", "otto@example.com", Affiliation::Owner);
    service
}

/// Somebody sends: `{from} {kind}…` with the addresses put in.
fn send(service: &mut Service, from: &str, to: &str, text: &str) -> Vec<String> {
    brief(&answers(service, from, to, text))
}

fn answers(service: &mut Service, from: &str, to: &str, text: &str) -> Vec<Stanza> {
    let now = service.desk.now;
    service.handle(now, stanza(from, to, text))
}

fn stanza(from: &str, to: &str, text: &str) -> Stanza {
    let text = match text.find([' ', '/', '>']) {
        Some(at) => format!("{} xmlns='jabber:client'{}", &text[..at], &text[at..]),
        None => text.to_owned(),
    };
    let element = Element::parse(text.as_bytes(), &Limits::default()).unwrap_or_else(|e| panic!("{text}: {e}"));
    let stanza = Stanza::from_element(element, ns::CLIENT).expect("a stanza");
    let jid = |name: &str| Jid::parse(name).expect("an address");
    let from = if from.contains('@') { jid(from) } else { jid(&format!("{from}@example.com/x")) };
    let to = match to.split_once('/') {
        _ if to.contains('@') || to.is_empty() => jid(&format!("{to}muc.example.com")),
        Some((room, nick)) => jid(&format!("{room}@muc.example.com/{nick}")),
        None => jid(&format!("{to}@muc.example.com")),
    };
    stanza.with_from(from).with_to(to)
}

const JOIN: &str = "<presence><x xmlns='http://jabber.org/protocol/muc'><history maxstanzas='0'/></x></presence>";

/// Enters, and does not look at what comes.
fn join(service: &mut Service, who: &str, nick: &str) {
    let out = send(service, who, &format!("den/{nick}"), JOIN);
    assert!(out.iter().any(|line| line.contains(" 110")), "{who} is not let in: {out:?}");
}

fn groupchat(service: &mut Service, who: &str, id: &str, words: &str) -> Vec<String> {
    send(service, who, "den", &format!("<message type='groupchat' id='{id}'><body>{words}</body></message>"))
}

fn admin(service: &mut Service, who: &str, item: &str) -> Vec<String> {
    let query = format!("<query xmlns='http://jabber.org/protocol/muc#admin'>{item}</query>");
    send(service, who, "den", &format!("<iq type='set' id='1'>{query}</iq>"))
}

fn owner(service: &mut Service, who: &str, what: &str) -> Vec<String> {
    let query = format!("<query xmlns='http://jabber.org/protocol/muc#owner'>{what}</query>");
    send(service, who, "den", &format!("<iq type='set' id='1'>{query}</iq>"))
}

/// One line for each stanza: to whom, from whom, and what there is to it. Users of example.com at x and the room den go without their domains.
fn brief(stanzas: &[Stanza]) -> Vec<String> {
    stanzas.iter().map(line).collect()
}

fn short(jid: Option<&Jid>) -> String {
    let text = jid.map(ToString::to_string).unwrap_or_default();
    text.replace("@example.com/x", "").replace("@example.com", "@").replace("@muc.example.com", "")
}

fn line(stanza: &Stanza) -> String {
    let mut line = format!("{} < {}: ", short(stanza.to.as_ref()), short(stanza.from.as_ref()));
    line.push_str(match (stanza.kind, stanza.type_.as_deref()) {
        (_, Some(type_)) => type_,
        (Kind::Presence, None) => "here",
        (Kind::Message, None) => "normal",
        (Kind::Iq, None) => "iq",
    });
    if let Some(error) = StanzaError::from_stanza(stanza) {
        return format!("{line} {} {}", error.kind.name(), error.condition);
    }
    if let Some(body) = stanza.child("body", ns::CLIENT) {
        line.push_str(&format!(" {:?}", body.text()));
    }
    if let Some(subject) = subject(stanza) {
        line.push_str(&format!(" subject {subject:?}"));
    }
    let Some(user) = User::of(stanza) else { return line };
    for item in &user.items {
        let name = |n: Option<&str>| n.unwrap_or("-").to_owned();
        line.push_str(&format!(
            " {}/{}",
            name(item.affiliation.map(Affiliation::name)),
            name(item.role.map(xmpp::ext::muc::Role::name))
        ));
        if let Some(jid) = &item.jid {
            line.push_str(&format!(" is {}", short(Some(jid))));
        }
        if let Some(nick) = &item.nick {
            line.push_str(&format!(" now {nick}"));
        }
        if let Some(actor) = &item.actor {
            line.push_str(&format!(" by {}", actor.nick.as_deref().unwrap_or("?")));
        }
        if let Some(reason) = &item.reason {
            line.push_str(&format!(" {reason:?}"));
        }
    }
    if let Some(destroy) = &user.destroy {
        line.push_str(&format!(" destroyed, see {} {:?}", short(destroy.jid.as_ref()), destroy.reason));
    }
    for code in &user.statuses {
        line.push_str(&format!(" {code}"));
    }
    line
}
