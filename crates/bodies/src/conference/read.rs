//! Reading.

use super::{
    ConfUri, ConferenceState, Description, Disconnection, Endpoint, Execution, Info, Joining, MAX_BYTES, MAX_KEY,
    MAX_PARTS, MAX_TEXT, Media, NS, State, Status, User, Users, XCON_NS,
};
use crate::sdp::Direction;
use crate::{Error, Timestamp, document};
use base::Str;
use xml::{Element, Node};

/// RFC 7701 §7.1.
const MAX_NICKNAME: usize = 1_023;

/// Elements of a user, where the devices tell all that they can, and those of the conference.
const ELEMENTS: (usize, usize) = (32, 1_024);

impl Info {
    /// Reads a document.
    ///
    /// # Errors
    /// Malformed: bad XML, any DTD, another document, no entity, no version, or a state that is none. TooBig: more than [`MAX_BYTES`] or
    /// `max_users`, 16 levels, or 32 elements for each of so many users.
    pub fn parse(bytes: &[u8], max_users: usize) -> Result<Info, Error> {
        if bytes.len() > MAX_BYTES {
            return Err(Error::TooBig { what: "bytes", limit: MAX_BYTES });
        }
        let elements = max_users.saturating_mul(ELEMENTS.0).saturating_add(ELEMENTS.1);
        let limits =
            xml::Limits { stanza_bytes: MAX_BYTES, depth: 16, elements, attributes: 16, ..xml::Limits::default() };
        let root = document::parse_within(bytes, &limits)?;
        if !is(&root, "conference-info") {
            return Err(Error::Malformed("no conference document"));
        }
        let mut info = Info {
            entity: root.attr("entity").filter(|e| !e.is_empty()).map(key).ok_or(Error::Malformed("no entity"))??,
            state: state(&root)?,
            version: root.attr("version").and_then(number).ok_or(Error::Malformed("no version"))?,
            ..Info::default()
        };
        // §4.4: what is in what is no more counts for nothing.
        for e in elements_of(root).filter(|_| info.state != State::Deleted) {
            match e.name.as_str() {
                "conference-description" => info.description = Some(description(e)),
                "conference-state" => info.conference_state = Some(conference_state(&e)),
                "users" => info.users = Some(users(e, max_users)?),
                _ => {}
            }
        }
        Ok(info)
    }
}

fn description(e: Element) -> Description {
    let mut read = Description::default();
    for child in elements_of(e) {
        match child.name.as_str() {
            "display-text" => read.display_text = Some(text(&child)),
            "subject" => read.subject = Some(text(&child)),
            "free-text" => read.free_text = Some(text(&child)),
            "maximum-user-count" => read.maximum_user_count = number(&child.text()),
            "conf-uris" => read.conf_uris = entries(child).filter_map(conf_uri).take(MAX_PARTS).collect(),
            _ => {}
        }
    }
    read
}

fn conf_uri(entry: Element) -> Option<ConfUri> {
    let mut read = ConfUri::default();
    for child in elements_of(entry) {
        match child.name.as_str() {
            // RFC 7702 shows two in one entry; the schema has one.
            "uri" if read.uri.is_empty() => read.uri = text(&child),
            "display-text" => read.display_text = Some(text(&child)),
            "purpose" => read.purpose = Some(text(&child)),
            _ => {}
        }
    }
    (!read.uri.is_empty()).then_some(read)
}

fn conference_state(e: &Element) -> ConferenceState {
    let value = |name| e.elements().find(|child| is(child, name));
    let boolean = |e: &Element| match e.text().trim() {
        "true" | "1" => Some(true),
        "false" | "0" => Some(false),
        _ => None,
    };
    ConferenceState {
        user_count: value("user-count").and_then(|e| number(&e.text())),
        active: value("active").and_then(boolean),
        locked: value("locked").and_then(boolean),
    }
}

fn users(e: Element, max_users: usize) -> Result<Users, Error> {
    let mut read = Users { state: state(&e)?, users: Vec::new() };
    for child in elements_of(e).filter(|child| child.name == "user" && read.state != State::Deleted) {
        if read.users.len() == max_users {
            return Err(Error::TooBig { what: "users", limit: max_users });
        }
        // Without a key there is nothing to know it by.
        if let Some(Ok(entity)) = child.attr("entity").filter(|entity| !entity.is_empty()).map(key) {
            read.users.push(user(entity, child)?);
        }
    }
    Ok(read)
}

fn user(entity: Str, e: Element) -> Result<User, Error> {
    let nickname = e.attr_ns("nickname", XCON_NS).or_else(|| e.attr("nickname"));
    let nickname = nickname.filter(|nick| (1..=MAX_NICKNAME).contains(&nick.len())).map(Str::from);
    let mut read = User { entity, state: state(&e)?, ..User::default() };
    read.nickname = nickname.filter(|_| read.state != State::Deleted);
    for child in elements_of(e).filter(|_| read.state != State::Deleted) {
        match child.name.as_str() {
            "display-text" => read.display_text = Some(text(&child)),
            "associated-aors" => {
                let uris = entries(child).filter_map(|entry| elements_of(entry).find(|e| e.name == "uri"));
                read.aors = uris.map(|uri| text(&uri)).filter(|uri| !uri.is_empty()).take(MAX_PARTS).collect();
            }
            "roles" => read.roles = entries(child).map(|entry| text(&entry)).take(MAX_PARTS).collect(),
            "endpoint" if read.endpoints.len() < MAX_PARTS => {
                if let Ok(entity) = key(child.attr("entity").unwrap_or_default()) {
                    read.endpoints.push(endpoint(entity, child)?);
                }
            }
            _ => {}
        }
    }
    Ok(read)
}

fn endpoint(entity: Str, e: Element) -> Result<Endpoint, Error> {
    let mut read = Endpoint { entity, state: state(&e)?, ..Endpoint::default() };
    for child in elements_of(e).filter(|_| read.state != State::Deleted) {
        match child.name.as_str() {
            "display-text" => read.display_text = Some(text(&child)),
            "referred" => read.referred = Some(execution(child)),
            "status" => read.status = named(&Status::ALL, Status::name, &child),
            "joining-method" => read.joining_method = named(&Joining::ALL, Joining::name, &child),
            "joining-info" => read.joining_info = Some(execution(child)),
            "disconnection-method" => {
                read.disconnection_method = named(&Disconnection::ALL, Disconnection::name, &child);
            }
            "disconnection-info" => read.disconnection_info = Some(execution(child)),
            "media" if read.media.len() < MAX_PARTS => read.media.extend(media(child)),
            _ => {}
        }
    }
    Ok(read)
}

fn execution(e: Element) -> Box<Execution> {
    let mut read = Execution::default();
    for child in elements_of(e) {
        match child.name.as_str() {
            "when" => read.when = Timestamp::parse(child.text().trim()),
            "reason" => read.reason = Some(text(&child)),
            "by" => read.by = Some(text(&child)),
            _ => {}
        }
    }
    Box::new(read)
}

fn media(e: Element) -> Option<Media> {
    let mut read = Media { id: key(e.attr("id")?).ok()?, ..Media::default() };
    for child in elements_of(e) {
        match child.name.as_str() {
            "type" => read.kind = Some(text(&child)),
            "status" => read.status = Direction::from_name(child.text().trim()),
            _ => {}
        }
    }
    Some(read)
}

/// The children of an element, without what belongs to others' namespaces. The element goes as they come: nothing is copied.
fn elements_of(e: Element) -> impl Iterator<Item = Element> {
    e.children.into_iter().filter_map(|node| match node {
        Node::Element(child) if is_ours(&child) => Some(child),
        Node::Element(_) | Node::Text(_) => None,
    })
}

fn entries(e: Element) -> impl Iterator<Item = Element> {
    elements_of(e).filter(|child| child.name == "entry")
}

fn is(e: &Element, name: &str) -> bool {
    e.name == name && is_ours(e)
}

fn is_ours(e: &Element) -> bool {
    e.ns == NS || e.ns.is_empty()
}

/// §4.4: what is not said is `full`.
fn state(e: &Element) -> Result<State, Error> {
    let Some(name) = e.attr("state") else { return Ok(State::Full) };
    let state = State::ALL.into_iter().find(|state| state.name() == name.trim());
    state.ok_or(Error::Malformed("a state that is none"))
}

/// §4.5: keys are compared as they stand there.
fn key(text: &str) -> Result<Str, Error> {
    if text.len() > MAX_KEY {
        return Err(Error::TooBig { what: "bytes of an entity", limit: MAX_KEY });
    }
    Ok(text.into())
}

fn text(e: &Element) -> Str {
    let text = e.text();
    let text = text.trim();
    let end = text.floor_char_boundary(MAX_TEXT);
    Str::from(&text[..end])
}

fn number(text: &str) -> Option<u32> {
    let text = text.trim();
    text.bytes().all(|b| b.is_ascii_digit()).then(|| text.parse().ok()).flatten()
}

/// The value of that name. One that nobody knows is as good as none.
fn named<T: Copy>(all: &[T], name: impl Fn(T) -> &'static str, e: &Element) -> Option<T> {
    let text = e.text();
    all.iter().copied().find(|value| name(*value) == text.trim())
}
