//! What users ask the gateway itself: registration (XEP-0077), addresses of numbers (XEP-0100, XEP-0055), and which commands there are.

use super::linked::{Account, Password};
use super::linking::{Owed, Trouble};
use super::{Accounts, lookup, payload};
use crate::config::LinkId;
use crate::mapping::Stage;
use base::Str;
use xml::Element;
use xmpp::error::{Condition, StanzaError};
use xmpp::ext::disco::{Identity, Info, Item, Items};
use xmpp::ext::forms::{Field, FieldType, Form, Purpose};
use xmpp::ext::register::{Fields, Wish};
use xmpp::ext::search::{self, Found};
use xmpp::ext::{commands, gateway};
use xmpp::jid::Jid;
use xmpp::ns;
use xmpp::stanza::Stanza;

/// The longest name or password, in bytes.
const MOST: usize = 256;

const INSTRUCTIONS: &str =
    "Name and password of your SIP account. The gateway registers in your place, and keeps them for that.";

/// The plain field of a search: what clients without forms call a nickname.
const NICK: &str = "nick";

/// The field of a number.
pub(super) const NUMBER: &str = "number";

/// Whether this asks for the list of commands, or for one of them (XEP-0050 §2.2).
pub(super) fn of_commands(e: &Element) -> bool {
    let node = match (Info::parse(e), Items::parse(e)) {
        (Some(info), _) => info.node,
        (None, Some(items)) => items.node,
        (None, None) => None,
    };
    node.is_some_and(|node| node == ns::COMMANDS || super::commands::Command::of(&node).is_some())
}

impl Accounts {
    /// An iq that was claimed.
    pub(super) fn answer_iq(&mut self, stage: &mut Stage<'_>, link: LinkId, iq: &Stanza) {
        let (Some(from), Some(to), Some(e)) = (iq.from.clone(), iq.to.clone(), payload(iq)) else { return };
        if let Err(refusal) = stage.rate(&from) {
            return stage.refuse_stanza(link, iq, &refusal);
        }
        let get = iq.type_.as_deref() == Some("get");
        let domain = to.domain().to_owned();
        let answer = if let Some(wish) = Wish::parse(e) {
            match (get, wish) {
                (true, _) => self.fields(&from, &domain).map(|fields| iq.result(Some(fields.to_element()))),
                (false, wish) => return self.wished(stage, link, iq, &from, &domain, wish),
            }
        } else if gateway::is_query(e) {
            prompt(stage, iq, &domain, e, get)
        } else if search::is_query(e) {
            find(stage, iq, &domain, e, get)
        } else if let Some(request) = commands::Request::parse(e) {
            if get {
                Err(refused(Condition::BadRequest))
            } else {
                return self.command(stage, link, iq, &from, &domain, &request);
            }
        } else {
            self.disco(stage, iq, &from, &to, e, get)
        };
        let answer = answer.map_or_else(|error| iq.error(&error), Some);
        if let Some(answer) = answer {
            stage.answer(link, &answer);
        }
    }

    /// XEP-0077 §3.1.1.
    fn fields(&self, from: &Jid, domain: &str) -> Result<Fields, Box<StanzaError>> {
        if !self.may(from) {
            return Err(Box::new(Trouble::Forbidden.error()));
        }
        let linked = self.home(from, domain).and_then(|home| home.account());
        let registered = linked.map(|account| account.address.to_string());
        let form = form(registered.as_deref());
        Ok(Fields { instructions: INSTRUCTIONS.to_owned(), registered, form })
    }

    /// XEP-0077 §3.1.2 and §3.2.
    fn wished(&mut self, stage: &mut Stage<'_>, link: LinkId, iq: &Stanza, from: &Jid, domain: &str, wish: Wish) {
        let owed = Owed { link, iq: iq.envelope(), command: None };
        if !self.may(from) {
            return self.answer(stage, &owed, Err(&Trouble::Forbidden));
        }
        match wish {
            Wish::Remove => self.unlink(stage, owed, from, domain),
            Wish::Cancel => self.answer(stage, &owed, Ok("")),
            Wish::Register { username, password, form } => {
                let name = form.as_ref().and_then(|form| form.value(AUTH));
                match account(from, domain, username.as_deref(), password.as_deref(), name) {
                    Ok(account) => self.link(stage, &owed, account),
                    Err(trouble) => self.answer(stage, &owed, Err(&trouble)),
                }
            }
        }
    }

    /// Which commands there are, and what each is (XEP-0050 §2.2).
    fn disco(
        &self,
        stage: &Stage<'_>,
        iq: &Stanza,
        from: &Jid,
        to: &Jid,
        e: &Element,
        get: bool,
    ) -> Result<Stanza, Box<StanzaError>> {
        if !get {
            return Err(refused(Condition::ServiceUnavailable));
        }
        let all = || super::commands::Command::ALL.into_iter().filter(|command| self.is_for(stage, *command, from));
        if let Some(query) = Items::parse(e) {
            let listed = query.node.as_deref() == Some(ns::COMMANDS);
            let item = |command: super::commands::Command| Item {
                jid: to.clone(),
                node: Some(Str::const_new(command.node())),
                name: Some(Str::const_new(command.name())),
            };
            let items = all().filter(|_| listed).map(item).collect();
            return Ok(iq.result(Some(Items { node: query.node, items }.to_element())));
        }
        let query = Info::parse(e).ok_or_else(|| refused(Condition::ServiceUnavailable))?;
        let node = query.node.as_deref().unwrap_or_default();
        let (identity, features) = match super::commands::Command::of(node) {
            Some(command) if all().any(|mine| mine == command) => (
                Identity::new("automation", "command-node").with_name(command.name()),
                vec![ns::COMMANDS, ns::DATA_FORMS],
            ),
            Some(_) => return Err(refused(Condition::Forbidden)),
            None => (Identity::new("automation", "command-list").with_name("Commands"), vec![ns::DISCO_ITEMS]),
        };
        let features = features.into_iter().map(Str::const_new).collect();
        Ok(iq.result(Some(Info { node: query.node, identities: vec![identity], features }.to_element())))
    }
}

/// The field with the name that the registrar knows, where that is not the address's.
pub(super) const AUTH: &str = "authname";

/// What is asked of somebody who wants to link an account.
pub(super) fn form(linked: Option<&str>) -> Form {
    let username = Field::new("username", FieldType::TextSingle).with_label("SIP user").required();
    let username = linked.into_iter().fold(username, Field::with_value);
    Form::of(Purpose::Form, ns::REGISTER)
        .with_title("Link a SIP account")
        .with_instructions(INSTRUCTIONS)
        .with(username)
        .with(Field::new("password", FieldType::TextPrivate).with_label("Password").required())
        .with(Field::new(AUTH, FieldType::TextSingle).with_label("Name for authorization, if it is another one"))
}

/// The account that somebody has written down.
pub(super) fn account(
    user: &Jid,
    domain: &str,
    username: Option<&str>,
    password: Option<&str>,
    name: Option<&str>,
) -> Result<Account, Trouble> {
    const USER: Trouble = Trouble::Bad("The SIP user is missing, or is none of this gateway's domain.");
    let username = username.map(str::trim).filter(|text| !text.is_empty() && text.len() <= MOST).ok_or(USER)?;
    let username = username.strip_prefix("sip:").unwrap_or(username);
    let (local, host) = username.rsplit_once('@').unwrap_or((username, domain));
    let same = xmpp::jid::domain(host).is_ok_and(|host| host == domain);
    let uri =
        sip::Uri::parse(&format!("sip:{}@placeholder.invalid", encoded(local))).ok().filter(|_| same).ok_or(USER)?;
    let address = crate::address::to_jid(&uri, &crate::address::Options::default()).ok();
    let address = address.and_then(|address| Jid::new(address.local(), domain, None).ok()).ok_or(USER)?;
    let fits = |text: &&str| !text.is_empty() && text.len() <= MOST && !text.contains(char::is_control);
    let password = password.filter(fits).ok_or(Trouble::Bad("The password is missing, or cannot be one."))?;
    let name = match name {
        // What the SIP side is shown: the user part as it was written.
        None => local,
        Some(name) => Some(name).filter(fits).ok_or(Trouble::Bad("The name for authorization cannot be one."))?,
    };
    if !fits(&name) {
        return Err(USER);
    }
    Account::new(user, address, Str::from(name), Password::new(password)).ok_or(USER)
}

/// Percent-encodes what a user part may not have.
fn encoded(user: &str) -> String {
    let stands = |b: u8| b.is_ascii_alphanumeric() || b"-_.!~*'()&=+$,;?/".contains(&b);
    user.bytes().map(|b| if stands(b) { char::from(b).to_string() } else { format!("%{b:02X}") }).collect()
}

/// XEP-0100 §6.3.
fn prompt(stage: &Stage<'_>, iq: &Stanza, domain: &str, e: &Element, get: bool) -> Result<Stanza, Box<StanzaError>> {
    if get {
        return Ok(iq.result(Some(gateway::ask("Telephone number or SIP address of the contact", "Number or address"))));
    }
    let written = gateway::written(e).ok_or_else(|| refused(Condition::BadRequest))?;
    let found = lookup::find(stage.config, domain, &written).map_err(not_found)?;
    Ok(iq.result(Some(gateway::answer(&found))))
}

/// XEP-0055: by telephone number, and nobody is listed.
fn find(stage: &Stage<'_>, iq: &Stanza, domain: &str, e: &Element, get: bool) -> Result<Stanza, Box<StanzaError>> {
    const INSTRUCTIONS: &str = "A telephone number finds the contact that it belongs to.";
    if get {
        let form = Form::of(Purpose::Form, ns::SEARCH)
            .with_title("Find a contact")
            .with_instructions(INSTRUCTIONS)
            .with(Field::new(NUMBER, FieldType::TextSingle).with_label("Telephone number").required());
        return Ok(iq.result(Some(search::ask(INSTRUCTIONS, NICK, &form))));
    }
    let (wanted, with_form) = search::wanted(e, NUMBER, NICK);
    let wanted = wanted.ok_or_else(|| refused(Condition::BadRequest))?;
    let number = lookup::number(&wanted);
    let found = number.and_then(|nick| Some(Found { jid: lookup::find(stage.config, domain, &nick).ok()?, nick }));
    let found: Vec<Found> = found.into_iter().collect();
    Ok(iq.result(Some(search::answer(&found, with_form))))
}

fn refused(condition: Condition) -> Box<StanzaError> {
    Box::new(StanzaError::new(condition))
}

fn not_found(why: lookup::NotFound) -> Box<StanzaError> {
    let condition = match why {
        lookup::NotFound::Nonsense => Condition::NotAcceptable,
        lookup::NotFound::Elsewhere | lookup::NotFound::NoNumbers => Condition::ItemNotFound,
    };
    Box::new(StanzaError::new(condition).with_text(why.to_string()))
}
