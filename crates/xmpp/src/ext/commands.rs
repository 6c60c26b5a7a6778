//! XEP-0050: Ad-Hoc Commands.

use super::element;
use super::forms::Form;
use crate::error::{Condition, StanzaError};
use crate::ns;
use base::Str;
use xml::Element;

/// What is to be done (§3.3). Without a word it is [`Action::Execute`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Action {
    /// Begin, or go on as the responder sees fit.
    Execute,
    /// Go back a step.
    Prev,
    /// Go on.
    Next,
    /// Come to the end.
    Complete,
    /// Leave it.
    Cancel,
}

impl Action {
    /// All of them.
    pub const ALL: [Action; 5] = [Action::Execute, Action::Prev, Action::Next, Action::Complete, Action::Cancel];

    /// The value of the attribute.
    pub fn name(self) -> &'static str {
        match self {
            Action::Execute => "execute",
            Action::Prev => "prev",
            Action::Next => "next",
            Action::Complete => "complete",
            Action::Cancel => "cancel",
        }
    }
}

/// How far a command has come (§3.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Status {
    /// Something is still to be said.
    Executing,
    /// It is done.
    Completed,
    /// It was left.
    Canceled,
}

impl Status {
    /// The value of the attribute.
    pub fn name(self) -> &'static str {
        match self {
            Status::Executing => "executing",
            Status::Completed => "completed",
            Status::Canceled => "canceled",
        }
    }
}

/// What a requester says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    /// Which command.
    pub node: Str,
    /// Which run of it; none at its beginning.
    pub session: Option<Str>,
    /// What is to be done; none: something that there is not (§3.3, `bad-action`).
    pub action: Option<Action>,
    /// What was filled in; none if there is no form, or one that cannot be read.
    pub form: Option<Form>,
}

impl Request {
    /// Reads it; none if it names no command.
    pub fn parse(e: &Element) -> Option<Request> {
        if !e.is("command", ns::COMMANDS) {
            return None;
        }
        let action = match e.attr("action") {
            None => Some(Action::Execute),
            Some(name) => Action::ALL.into_iter().find(|action| action.name() == name),
        };
        Some(Request {
            node: e.attr("node").filter(|node| !node.is_empty())?.into(),
            session: e.attr("sessionid").map(Str::from),
            action,
            form: e.child("x", ns::DATA_FORMS).and_then(Form::parse),
        })
    }

    /// Writes it.
    pub fn to_element(&self) -> Element {
        let mut e = element("command", ns::COMMANDS).with_attr("node", self.node.clone());
        if let Some(session) = &self.session {
            e.set_attr("sessionid", session.clone());
        }
        if let Some(action) = self.action {
            e.set_attr("action", Str::const_new(action.name()));
        }
        self.form.iter().fold(e, |e, form| e.with_child(form.to_element()))
    }
}

/// What the responder says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reply {
    /// Which command.
    pub node: Str,
    /// Which run of it.
    pub session: Str,
    /// How far it has come.
    pub status: Status,
    /// What is to be filled in or read.
    pub form: Option<Form>,
    /// What can be done next; the first is what [`Action::Execute`] stands for.
    pub actions: Vec<Action>,
    /// A word to the person: whether it is about something that went wrong, and the word.
    pub note: Option<(bool, String)>,
}

impl Reply {
    /// Writes it (§2.4, §3.4).
    pub fn to_element(&self) -> Element {
        let mut e = element("command", ns::COMMANDS)
            .with_attr("node", self.node.clone())
            .with_attr("sessionid", self.session.clone())
            .with_attr("status", Str::const_new(self.status.name()));
        if let Some(first) = self.actions.first() {
            let mut actions = element("actions", ns::COMMANDS).with_attr("execute", Str::const_new(first.name()));
            for action in &self.actions {
                // §3.4: the only ones that have elements.
                if matches!(action, Action::Prev | Action::Next | Action::Complete) {
                    actions.push(element(action.name(), ns::COMMANDS));
                }
            }
            e.push(actions);
        }
        if let Some((error, text)) = &self.note {
            let type_ = if *error { "error" } else { "info" };
            e.push(element("note", ns::COMMANDS).with_attr("type", Str::const_new(type_)).with_text(text));
        }
        self.form.iter().fold(e, |e, form| e.with_child(form.to_element()))
    }
}

/// What is wrong with a request (§4.4).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Fault {
    /// There is no such action.
    MalformedAction,
    /// The action is none that is possible now.
    BadAction,
    /// The form does not fit.
    BadPayload,
    /// There is no such run of the command.
    BadSession,
    /// The run was left alone for too long.
    SessionExpired,
}

impl Fault {
    /// The error that says so.
    pub fn error(self) -> StanzaError {
        let (condition, name) = match self {
            Fault::MalformedAction => (Condition::BadRequest, "malformed-action"),
            Fault::BadAction => (Condition::BadRequest, "bad-action"),
            Fault::BadPayload => (Condition::BadRequest, "bad-payload"),
            Fault::BadSession => (Condition::BadRequest, "bad-sessionid"),
            Fault::SessionExpired => (Condition::NotAllowed, "session-expired"),
        };
        StanzaError { app: vec![element(name, ns::COMMANDS)], ..StanzaError::new(condition) }
    }
}

#[cfg(test)]
mod tests {
    use super::super::forms::Purpose;
    use super::super::tests::over_the_wire;
    use super::*;

    #[test]
    fn requests_there_and_back() {
        for action in Action::ALL {
            for form in [None, Some(Form::new(Purpose::Submit))] {
                for session in [None, Some("s1".into())] {
                    let request = Request { node: "link".into(), session, action: Some(action), form: form.clone() };
                    assert_eq!(Request::parse(&over_the_wire(&request.to_element())), Some(request));
                }
            }
        }
        let command = || element("command", ns::COMMANDS).with_attr("node", "link");
        assert_eq!(Request::parse(&command()).and_then(|r| r.action), Some(Action::Execute));
        assert_eq!(Request::parse(&command().with_attr("action", "dance")).map(|r| r.action), Some(None));
        assert_eq!(Request::parse(&element("command", ns::COMMANDS)), None);
        assert_eq!(Request::parse(&element("command", ns::REGISTER).with_attr("node", "link")), None);
    }

    #[test]
    fn replies() {
        let mut reply = Reply {
            node: "link".into(),
            session: "s".into(),
            status: Status::Executing,
            form: Some(Form::new(Purpose::Form)),
            actions: vec![Action::Complete, Action::Prev],
            note: None,
        };
        let text = |reply: &Reply| super::super::tests::text(&reply.to_element());
        assert_eq!(
            text(&reply),
            "<command xmlns='http://jabber.org/protocol/commands' node='link' sessionid='s' status='executing'>\
             <actions execute='complete'><complete/><prev/></actions><x xmlns='jabber:x:data' type='form'/></command>"
        );
        reply = Reply {
            status: Status::Completed,
            form: None,
            actions: Vec::new(),
            note: Some((true, "no".into())),
            ..reply
        };
        assert_eq!(
            text(&reply),
            "<command xmlns='http://jabber.org/protocol/commands' node='link' sessionid='s' status='completed'>\
             <note type='error'>no</note></command>"
        );
    }

    #[test]
    fn faults_have_their_names() {
        for fault in
            [Fault::MalformedAction, Fault::BadAction, Fault::BadPayload, Fault::BadSession, Fault::SessionExpired]
        {
            assert!(fault.error().app.iter().all(|e| e.ns == ns::COMMANDS), "{fault:?}");
        }
    }
}
