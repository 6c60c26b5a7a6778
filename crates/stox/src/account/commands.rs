//! Ad-hoc commands (XEP-0050): link, status, unlink, find.

use super::ask::{AUTH, NUMBER, account, form};
use super::linking::{Owed, Standing, Trouble};
use super::{Accounts, lookup, print};
use crate::config::LinkId;
use crate::mapping::Stage;
use base::Str;
use std::time::Duration;
use xmpp::ext::commands::{Action, Fault, Reply, Request, Status};
use xmpp::ext::forms::{Field, FieldType, Form, Purpose};
use xmpp::jid::Jid;
use xmpp::stanza::Stanza;

/// How long a run of a command may be left alone.
const RUN: Duration = Duration::from_secs(600);

/// The field that wants somebody who was found in the list of contacts.
const ADD: &str = "add";

/// A command.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Command {
    /// Link a SIP account.
    Link,
    /// How the linked one is.
    Status,
    /// Unlink it.
    Unlink,
    /// Find a contact by number or address.
    Find,
}

impl Command {
    /// All of them.
    pub(super) const ALL: [Command; 4] = [Command::Link, Command::Status, Command::Unlink, Command::Find];

    /// The command of a node.
    pub(super) fn of(node: &str) -> Option<Command> {
        Command::ALL.into_iter().find(|command| command.node() == node)
    }

    /// Its node.
    pub(super) fn node(self) -> &'static str {
        match self {
            Command::Link => "link",
            Command::Status => "status",
            Command::Unlink => "unlink",
            Command::Find => "find",
        }
    }

    /// What it is called towards people.
    pub(super) fn name(self) -> &'static str {
        match self {
            Command::Link => "Link a SIP account",
            Command::Status => "Show the linked SIP account",
            Command::Unlink => "Unlink the SIP account",
            Command::Find => "Find a contact by number or address",
        }
    }
}

impl Accounts {
    /// Whether a command is one for this user: finding somebody is for all, and what is about accounts for those who may link one, or have.
    pub(super) fn is_for(&self, stage: &Stage<'_>, command: Command, user: &Jid) -> bool {
        let has = || stage.config.links.iter().any(|link| stage.linked.of(user, &link.domain).is_some());
        match command {
            Command::Find => true,
            Command::Link => self.may(user),
            Command::Status | Command::Unlink => self.may(user) || has(),
        }
    }

    /// A step of a command.
    pub(super) fn command(
        &mut self,
        stage: &mut Stage<'_>,
        link: LinkId,
        iq: &Stanza,
        from: &Jid,
        domain: &str,
        request: &Request,
    ) {
        let refuse = |stage: &mut Stage<'_>, error| {
            if let Some(answer) = iq.error(&error) {
                stage.answer(link, &answer);
            }
        };
        let Some(command) = Command::of(&request.node) else {
            return refuse(stage, xmpp::error::StanzaError::new(xmpp::error::Condition::ItemNotFound));
        };
        if !self.is_for(stage, command, from) {
            return refuse(stage, Trouble::Forbidden.error());
        }
        let reply = match self.step(stage, link, iq, from, domain, command, request) {
            Ok(Some(reply)) => reply,
            // The answer comes later.
            Ok(None) => return,
            Err(fault) => return refuse(stage, fault.error()),
        };
        stage.answer(link, &iq.result(Some(reply.to_element())));
    }

    #[expect(clippy::too_many_arguments, reason = "all that a step is about")]
    fn step(
        &mut self,
        stage: &mut Stage<'_>,
        link: LinkId,
        iq: &Stanza,
        from: &Jid,
        domain: &str,
        command: Command,
        request: &Request,
    ) -> Result<Option<Reply>, Fault> {
        let action = request.action.ok_or(Fault::MalformedAction)?;
        let Some(session) = &request.session else {
            return if action == Action::Execute {
                Ok(Some(self.begin(stage, from, domain, command)))
            } else {
                Err(Fault::BadAction)
            };
        };
        let whose = print(&self.key, from);
        let (owner, node, since) = self.runs.get(session).ok_or(Fault::BadSession)?;
        // Another user's run, or that of another command.
        if *owner != whose || node.as_str() != command.node() {
            return Err(Fault::BadSession);
        }
        if stage.now.since(*since) > RUN {
            self.runs.remove(session);
            return Err(Fault::SessionExpired);
        }
        let reply = |status| reply(command, session, status);
        match action {
            Action::Prev => return Err(Fault::BadAction),
            Action::Cancel => {
                self.runs.remove(session);
                return Ok(Some(reply(Status::Canceled)));
            }
            Action::Execute | Action::Next | Action::Complete => {}
        }
        let form = request.form.as_ref().filter(|form| form.purpose == Purpose::Submit);
        let owed = Owed { link, iq: iq.envelope(), command: Some((request.node.clone(), session.clone())) };
        let session = session.clone();
        let answer = match command {
            Command::Link => {
                let form = form.ok_or(Fault::BadPayload)?;
                match account(from, domain, form.value("username"), form.raw("password"), form.value(AUTH)) {
                    Ok(account) => self.link(stage, &owed, account),
                    Err(trouble) => self.answer(stage, &owed, Err(&trouble)),
                }
                None
            }
            Command::Unlink => {
                self.unlink(stage, owed, from, domain);
                None
            }
            Command::Find => {
                Some(self.find(stage, link, from, domain, form.ok_or(Fault::BadPayload)?, reply(Status::Completed)))
            }
            Command::Status => Some(reply(Status::Completed)),
        };
        self.runs.remove(&session);
        Ok(answer)
    }

    /// The first step.
    fn begin(&mut self, stage: &mut Stage<'_>, from: &Jid, domain: &str, command: Command) -> Reply {
        let session = stage.tokens.token(16);
        let account = self.home(from, domain).and_then(|home| home.account()).cloned();
        let reply = reply(command, &session, Status::Executing);
        let ask = |form| Reply { form: Some(form), actions: vec![Action::Complete], ..reply.clone() };
        let done =
            |text: &str| Reply { status: Status::Completed, note: Some((false, text.to_owned())), ..reply.clone() };
        let reply = match (command, account) {
            (Command::Link, account) => ask(form(account.map(|account| account.address.to_string()).as_deref())),
            (Command::Status | Command::Unlink, None) => done("You have linked no account."),
            (Command::Unlink, Some(account)) => {
                let text = format!("{} is to be linked no more.", account.address);
                ask(Form::new(Purpose::Form).with_title(command.name()).with(Field::fixed(text)))
            }
            (Command::Status, Some(account)) => {
                let standing = self.home(from, domain).map(|home| home.standing.clone()).unwrap_or_default();
                let text = match standing {
                    Standing::Trying => "The registrar has not answered yet. It is tried again.".to_owned(),
                    Standing::Registered => "Registered.".to_owned(),
                    Standing::Refused { why } => why,
                };
                let show = |var, label, value: &str| {
                    Field::new(var, FieldType::TextSingle).with_label(label).with_value(value)
                };
                let form = Form::new(Purpose::Result)
                    .with_title(command.name())
                    .with(show("username", "SIP account", &account.address.to_string()))
                    .with(show("state", "State", &text));
                Reply { status: Status::Completed, form: Some(form), ..reply }
            }
            (Command::Find, _) => ask(Form::new(Purpose::Form)
                .with_title(command.name())
                .with(Field::new(NUMBER, FieldType::TextSingle).with_label("Number or address").required())
                .with(Field::new(ADD, FieldType::Boolean).with_label("Add to my contacts").with_value("0"))),
        };
        if reply.status == Status::Executing {
            self.runs.insert(session, (print(&self.key, from), Str::const_new(command.node()), stage.now));
        }
        reply
    }
}

impl Accounts {
    /// Somebody is looked for, and put into the list of contacts if that is wanted.
    fn find(
        &mut self,
        stage: &mut Stage<'_>,
        link: LinkId,
        from: &Jid,
        domain: &str,
        form: &Form,
        reply: Reply,
    ) -> Reply {
        let wanted = form.value(NUMBER).unwrap_or_default();
        let found = match lookup::find(stage.config, domain, wanted) {
            Ok(found) => found,
            Err(why) => return Reply { note: Some((true, why.to_string())), ..reply },
        };
        let name = lookup::number(wanted);
        let add = form.flag(ADD) == Some(true);
        let note = add.then(|| (false, self.add_contact(stage, link, from, &found, name).to_owned()));
        let address = Field::new("jid", FieldType::JidSingle).with_label("Address").with_value(found.to_string());
        Reply { form: Some(Form::new(Purpose::Result).with(address)), note, ..reply }
    }
}

fn reply(command: Command, session: &Str, status: Status) -> Reply {
    Reply {
        node: Str::const_new(command.node()),
        session: session.clone(),
        status,
        form: None,
        actions: Vec::new(),
        note: None,
    }
}
