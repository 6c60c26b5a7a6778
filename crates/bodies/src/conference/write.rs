//! Writing, one user after the other, its elements in the schema's order (§6).

use super::{
    ConferenceState, Description, Disconnection, Endpoint, Execution, Info, Joining, Media, NS, State, Status, User,
    XCON_NS,
};
use crate::sdp::Direction;
use base::{Str, format_compact};
use xml::{escape_attr, escape_text};

impl Info {
    /// Writes the document. What a full one must have (§5.2), it has, with nothing in it.
    pub fn to_document(&self) -> Vec<u8> {
        let mut writer = Writer::new(&self.entity, self.state, self.version);
        let full = self.state == State::Full;
        match &self.description {
            Some(description) => writer.description(description),
            None if full => writer.description(&Description::default()),
            None => {}
        }
        if let Some(state) = self.conference_state {
            writer.conference_state(state);
        }
        match &self.users {
            Some(users) => {
                writer.users(users.state);
                users.users.iter().for_each(|user| writer.user(user));
            }
            None if full => writer.users(State::Full),
            None => {}
        }
        writer.finish()
    }
}

/// Users of a document, written before it is known whether all of them have room in it.
#[derive(Debug, Default)]
pub struct UserList {
    out: Vec<u8>,
}

impl UserList {
    /// Adds a user, if the list then has no more than `most` bytes; whether it does.
    pub fn push(&mut self, user: &User, most: usize) -> bool {
        let before = self.out.len();
        write_user(&mut self.out, user);
        let fits = self.out.len() <= most;
        if !fits {
            self.out.truncate(before);
        }
        fits
    }
}

/// Writes a document from beginning to end: what is wanted of description, state and users, in this order; then each user.
#[derive(Debug)]
pub struct Writer {
    out: Vec<u8>,
    in_users: bool,
}

impl Writer {
    /// The beginning of a document.
    pub fn new(entity: &str, state: State, version: u32) -> Writer {
        let mut out = b"<?xml version=\"1.0\" encoding=\"UTF-8\"?><conference-info".to_vec();
        attr(&mut out, "xmlns", NS);
        attr(&mut out, "xmlns:xcon", XCON_NS);
        attr(&mut out, "entity", entity);
        attr(&mut out, "state", state.name());
        attr(&mut out, "version", &format_compact!("{version}"));
        out.push(b'>');
        Writer { out, in_users: false }
    }

    /// What the conference is.
    pub fn description(&mut self, description: &Description) {
        let Description { display_text, subject, free_text, conf_uris, maximum_user_count } = description;
        let out = &mut self.out;
        open(out, "conference-description");
        maybe(out, "display-text", display_text.as_ref());
        maybe(out, "subject", subject.as_ref());
        maybe(out, "free-text", free_text.as_ref());
        if !conf_uris.is_empty() {
            open(out, "conf-uris");
            for entry in conf_uris {
                open(out, "entry");
                leaf(out, "uri", &entry.uri);
                maybe(out, "display-text", entry.display_text.as_ref());
                maybe(out, "purpose", entry.purpose.as_ref());
                close(out, "entry");
            }
            close(out, "conf-uris");
        }
        if let Some(count) = maximum_user_count {
            leaf(out, "maximum-user-count", &format_compact!("{count}"));
        }
        close(out, "conference-description");
    }

    /// How the conference is.
    pub fn conference_state(&mut self, state: ConferenceState) {
        let ConferenceState { user_count, active, locked } = state;
        let boolean = |value: bool| if value { "true" } else { "false" };
        let out = &mut self.out;
        open(out, "conference-state");
        if let Some(count) = user_count {
            leaf(out, "user-count", &format_compact!("{count}"));
        }
        if let Some(active) = active {
            leaf(out, "active", boolean(active));
        }
        if let Some(locked) = locked {
            leaf(out, "locked", boolean(locked));
        }
        close(out, "conference-state");
    }

    /// The beginning of the users.
    pub fn users(&mut self, state: State) {
        self.in_users = true;
        self.out.extend_from_slice(b"<users");
        attr(&mut self.out, "state", state.name());
        self.out.push(b'>');
    }

    /// A user.
    pub fn user(&mut self, user: &User) {
        write_user(&mut self.out, user);
    }

    /// Users, all of them.
    pub fn users_from(&mut self, state: State, list: &UserList) {
        self.users(state);
        self.out.extend_from_slice(&list.out);
    }

    /// How many bytes there are by now.
    pub fn weight(&self) -> usize {
        self.out.len()
    }

    /// The document.
    pub fn finish(mut self) -> Vec<u8> {
        if self.in_users {
            close(&mut self.out, "users");
        }
        close(&mut self.out, "conference-info");
        self.out
    }
}

fn write_user(out: &mut Vec<u8>, user: &User) {
    let User { entity, state, display_text, nickname, aors, roles, endpoints } = user;
    out.extend_from_slice(b"<user");
    attr(out, "entity", entity);
    attr(out, "state", state.name());
    if *state == State::Deleted {
        // §4.4: it should have nothing in it.
        return out.extend_from_slice(b"/>");
    }
    if let Some(nickname) = nickname {
        attr(out, "xcon:nickname", nickname);
    }
    out.push(b'>');
    maybe(out, "display-text", display_text.as_ref());
    if !aors.is_empty() {
        open(out, "associated-aors");
        for uri in aors {
            open(out, "entry");
            leaf(out, "uri", uri);
            close(out, "entry");
        }
        close(out, "associated-aors");
    }
    if !roles.is_empty() {
        open(out, "roles");
        roles.iter().for_each(|role| leaf(out, "entry", role));
        close(out, "roles");
    }
    endpoints.iter().for_each(|e| endpoint(out, e));
    close(out, "user");
}

fn endpoint(out: &mut Vec<u8>, endpoint: &Endpoint) {
    out.extend_from_slice(b"<endpoint");
    attr(out, "entity", &endpoint.entity);
    attr(out, "state", endpoint.state.name());
    if endpoint.state == State::Deleted {
        return out.extend_from_slice(b"/>");
    }
    out.push(b'>');
    maybe(out, "display-text", endpoint.display_text.as_ref());
    execution(out, "referred", endpoint.referred.as_deref());
    named(out, "status", endpoint.status.map(Status::name));
    named(out, "joining-method", endpoint.joining_method.map(Joining::name));
    execution(out, "joining-info", endpoint.joining_info.as_deref());
    named(out, "disconnection-method", endpoint.disconnection_method.map(Disconnection::name));
    execution(out, "disconnection-info", endpoint.disconnection_info.as_deref());
    for Media { id, kind, status } in &endpoint.media {
        out.extend_from_slice(b"<media");
        attr(out, "id", id);
        out.push(b'>');
        maybe(out, "type", kind.as_ref());
        named(out, "status", status.map(Direction::name));
        close(out, "media");
    }
    close(out, "endpoint");
}

fn execution(out: &mut Vec<u8>, name: &str, execution: Option<&Execution>) {
    let Some(Execution { when, reason, by }) = execution else { return };
    open(out, name);
    if let Some(when) = when {
        leaf(out, "when", &format_compact!("{when}"));
    }
    maybe(out, "reason", reason.as_ref());
    maybe(out, "by", by.as_ref());
    close(out, name);
}

fn named(out: &mut Vec<u8>, name: &str, value: Option<&str>) {
    if let Some(value) = value {
        leaf(out, name, value);
    }
}

fn maybe(out: &mut Vec<u8>, name: &str, text: Option<&Str>) {
    named(out, name, text.map(Str::as_str));
}

fn leaf(out: &mut Vec<u8>, name: &str, text: &str) {
    open(out, name);
    escape_text(text, out);
    close(out, name);
}

fn open(out: &mut Vec<u8>, name: &str) {
    out.push(b'<');
    out.extend_from_slice(name.as_bytes());
    out.push(b'>');
}

fn close(out: &mut Vec<u8>, name: &str) {
    out.extend_from_slice(b"</");
    out.extend_from_slice(name.as_bytes());
    out.push(b'>');
}

fn attr(out: &mut Vec<u8>, name: &str, value: &str) {
    out.push(b' ');
    out.extend_from_slice(name.as_bytes());
    out.extend_from_slice(b"=\"");
    escape_attr(value, out);
    out.push(b'"');
}
