//! Linking an account and what becomes of it: tried at the registrar, kept, registered for as long as it is linked, and given up again.

use super::linked::Account;
use super::{Accounts, note_refused, print};
use crate::config::LinkId;
use crate::error;
use crate::mapping::Stage;
use crate::store::{About, Key};
use base::{Fingerprint, Str};
use sip::Uri;
use sip::agent::AccountId;
use sip::register::{Event, RegistrationId, Why};
use std::sync::Arc;
use xmpp::error::{Condition, ErrorType, StanzaError};
use xmpp::ext::commands::{Reply, Status};
use xmpp::jid::Jid;
use xmpp::stanza::Stanza;

/// Whom an answer is owed, and in which form.
#[derive(Debug)]
pub(super) struct Owed {
    pub(super) link: LinkId,
    /// The iq without its content.
    pub(super) iq: Stanza,
    /// The node of a command and the name of the run; none: in-band registration.
    pub(super) command: Option<(Str, Str)>,
}

/// An attempt to link an account.
#[derive(Debug)]
struct Attempt {
    account: Arc<Account>,
    owed: Owed,
    registration: RegistrationId,
}

/// How an account is at its registrar.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) enum Standing {
    /// Nothing was heard of it yet, or nothing for a while: it is tried again and again.
    #[default]
    Trying,
    /// Registered.
    Registered,
    /// Refused, in the registrar's words: it is not tried again.
    Refused { why: String },
}

/// An account of a user at a domain of ours, in the shard that acts on it.
#[derive(Debug)]
pub(super) struct Home {
    /// The one that is linked.
    account: Option<Arc<Account>>,
    registration: Option<RegistrationId>,
    pub(super) standing: Standing,
    /// The one that is to be.
    attempt: Option<Attempt>,
    /// A record is on its way.
    busy: bool,
}

/// Whose a registration is.
#[derive(Debug)]
pub(super) struct Tie {
    /// None: it is to end.
    home: Option<Fingerprint>,
    credentials: AccountId,
}

/// A wish to save.
#[derive(Debug)]
pub(super) struct Saving {
    home: Fingerprint,
    what: What,
}

#[derive(Debug)]
enum What {
    /// The account of the attempt.
    Link,
    /// That there is none any more.
    Unlink(Box<Owed>),
}

/// Why an account is not linked or unlinked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Trouble {
    /// The user is not of a domain that may.
    Forbidden,
    /// Something that was written makes no sense; what.
    Bad(&'static str),
    /// Another account is linked already.
    Linked(String),
    /// None is linked.
    NotLinked,
    /// Something is under way already.
    Busy,
    /// Too many attempts.
    TooMany,
    /// There is no room.
    Full,
    /// It cannot be kept now.
    Storage,
    /// The registrar has refused it, or has not answered.
    Registrar(Box<StanzaError>),
    /// The registrar has taken it and has not asked for the password: nothing shows whose it is.
    Unproved,
}

impl Trouble {
    /// What the user is told.
    pub(super) fn error(&self) -> StanzaError {
        let of = |condition, kind, text: &str| StanzaError { kind, ..StanzaError::new(condition).with_text(text) };
        match self {
            Trouble::Forbidden => {
                of(Condition::Forbidden, ErrorType::Auth, "Accounts are not linked here for users of your server.")
            }
            Trouble::Bad(what) => of(Condition::NotAcceptable, ErrorType::Modify, what),
            Trouble::Linked(address) => {
                let text = format!("You have linked {address} already. Unlink it first.");
                of(Condition::Conflict, ErrorType::Cancel, &text)
            }
            Trouble::NotLinked => of(Condition::ItemNotFound, ErrorType::Cancel, "You have linked no account."),
            Trouble::Busy => of(Condition::Conflict, ErrorType::Wait, "Your last wish is still being worked on."),
            Trouble::TooMany => {
                of(Condition::PolicyViolation, ErrorType::Wait, "There were too many attempts. Try again in an hour.")
            }
            Trouble::Full => {
                of(Condition::ResourceConstraint, ErrorType::Wait, "There is no room for another account now.")
            }
            Trouble::Storage => of(Condition::ResourceConstraint, ErrorType::Wait, "The account cannot be kept now."),
            Trouble::Registrar(error) => (**error).clone(),
            Trouble::Unproved => {
                let text = "The registrar does not ask for the password, so nothing shows that the account is yours.";
                of(Condition::NotAllowed, ErrorType::Cancel, text)
            }
        }
    }

    /// A name for metrics.
    fn name(&self) -> &'static str {
        match self {
            Trouble::Forbidden => "account-forbidden",
            Trouble::Bad(_) => "account-malformed",
            Trouble::Linked(_) | Trouble::NotLinked | Trouble::Busy => "account-conflict",
            Trouble::TooMany => "account-attempts",
            Trouble::Full => "account-full",
            Trouble::Storage => "storage",
            Trouble::Registrar(_) => "account-refused",
            Trouble::Unproved => "account-unproved",
        }
    }
}

impl Home {
    fn new() -> Home {
        Home { account: None, registration: None, standing: Standing::Trying, attempt: None, busy: false }
    }

    /// Whether an account is linked, and whether it is registered.
    fn counted(&self) -> (bool, bool) {
        let linked = self.account.is_some();
        (linked, linked && self.standing == Standing::Registered)
    }

    /// The account that is linked.
    pub(super) fn account(&self) -> Option<&Arc<Account>> {
        self.account.as_ref()
    }

    fn is_empty(&self) -> bool {
        self.account.is_none() && self.attempt.is_none() && !self.busy
    }
}

impl Accounts {
    /// Changes something of a home, and counts what that makes of it.
    fn change<R>(&mut self, name: Fingerprint, act: impl FnOnce(&mut Home) -> R) -> Option<R> {
        let home = self.homes.get_mut(&name)?;
        let before = home.counted();
        let result = act(home);
        let after = home.counted();
        for (count, (before, after)) in
            [(&mut self.counts.linked, (before.0, after.0)), (&mut self.counts.registered, (before.1, after.1))]
        {
            *count = *count + usize::from(after) - usize::from(before);
        }
        if home.is_empty() {
            self.homes.remove(&name);
        }
        Some(result)
    }

    /// What is known here of a user's account.
    pub(super) fn home(&self, user: &Jid, domain: &str) -> Option<&Home> {
        self.homes.get(&self.home_of(user, domain)).map(|home| &**home)
    }

    /// A user wants to link this account.
    pub(super) fn link(&mut self, stage: &mut Stage<'_>, owed: &Owed, account: Account) {
        if let Err(trouble) = self.try_link(stage, owed, account) {
            self.answer(stage, owed, Err(&trouble));
        }
    }

    fn try_link(&mut self, stage: &mut Stage<'_>, owed: &Owed, account: Account) -> Result<(), Trouble> {
        let Some(options) = self.options.clone() else { return Err(Trouble::Forbidden) };
        let domain = account.address.domain().to_owned();
        let name = self.home_of(&account.user, &domain);
        let linked = self.homes.get(&name);
        if linked.is_some_and(|home| home.attempt.is_some() || home.busy) {
            return Err(Trouble::Busy);
        }
        let old = linked.and_then(|home| home.account.clone());
        match &old {
            // Another password of the same account: the new registration takes the old one's place.
            Some(old) if old.address == account.address => {}
            Some(old) => return Err(Trouble::Linked(old.address.to_string())),
            None if stage.linked.len() >= options.accounts => return Err(Trouble::Full),
            None => {}
        }
        if self.pending >= options.pending {
            return Err(Trouble::Full);
        }
        // By user, who always comes to this shard. Not by account: whoever tries somebody else's would lock that one out of it.
        let by_user = print(&self.key, &account.user);
        if !self.count_attempt(stage.now, by_user, options.attempts) {
            return Err(Trouble::TooMany);
        }
        let account = Arc::new(account);
        let registration = self.register(stage, name, &account).ok_or(Trouble::Full)?;
        let owed = Owed { link: owed.link, iq: owed.iq.clone(), command: owed.command.clone() };
        let home = self.homes.or_insert_with(name, || Box::new(Home::new()));
        home.attempt = Some(Attempt { account, owed, registration });
        self.pending += 1;
        Ok(())
    }

    /// A user wants no account any more.
    pub(super) fn unlink(&mut self, stage: &mut Stage<'_>, owed: Owed, user: &Jid, domain: &str) {
        let name = self.home_of(user, domain);
        let trouble = match self.homes.get_mut(&name) {
            Some(home) if home.attempt.is_some() || home.busy => Trouble::Busy,
            Some(home) if home.account.is_some() => {
                home.busy = true;
                let Some(key) = key(user, domain) else { return };
                let token = stage.save(key, None);
                self.saving.insert(token, Saving { home: name, what: What::Unlink(Box::new(owed)) });
                return;
            }
            Some(_) | None => Trouble::NotLinked,
        };
        self.answer(stage, &owed, Err(&trouble));
    }

    /// The shell has saved a record, or could not.
    pub(super) fn settled(&mut self, stage: &mut Stage<'_>, saving: Saving, saved: bool) {
        match saving.what {
            What::Link => self.link_settled(stage, saving.home, saved),
            What::Unlink(owed) => self.unlink_settled(stage, saving.home, &owed, saved),
        }
    }

    fn link_settled(&mut self, stage: &mut Stage<'_>, name: Fingerprint, saved: bool) {
        let settled = self.change(name, |home| {
            home.busy = false;
            let attempt = home.attempt.take()?;
            let replaces = home.account.is_some();
            // What of the two goes: the new one, or that which it takes the place of.
            let drop = if saved {
                home.account = Some(Arc::clone(&attempt.account));
                home.registration.replace(attempt.registration)
            } else {
                Some(attempt.registration)
            };
            Some((attempt, drop, replaces))
        });
        let Some((attempt, drop, replaces)) = settled.flatten() else { return };
        self.pending -= 1;
        if let Some(registration) = drop {
            // The binding is that of the other one, too, where there is one.
            self.drop_registration(stage, registration, saved || replaces);
        }
        if !saved {
            return self.answer(stage, &attempt.owed, Err(&Trouble::Storage));
        }
        stage.link_account(Arc::clone(&attempt.account));
        self.answer(stage, &attempt.owed, Ok("The account is linked."));
    }

    fn unlink_settled(&mut self, stage: &mut Stage<'_>, name: Fingerprint, owed: &Owed, saved: bool) {
        let settled = self.change(name, |home| {
            home.busy = false;
            if saved { (home.account.take(), home.registration.take()) } else { (None, None) }
        });
        if !saved {
            return self.answer(stage, owed, Err(&Trouble::Storage));
        }
        let (account, registration) = settled.unwrap_or_default();
        if let Some(registration) = registration {
            self.drop_registration(stage, registration, false);
        }
        if let Some(account) = account {
            stage.unlink_account(&account.user, account.address.domain());
        }
        self.answer(stage, owed, Ok("The account is not linked any more."));
    }

    /// An account from the store, before anything else.
    pub(super) fn restored(&mut self, stage: &mut Stage<'_>, account: Arc<Account>) {
        let name = self.home_of(&account.user, account.address.domain());
        stage.link_account(Arc::clone(&account));
        let registration = self.register(stage, name, &account);
        self.homes.or_insert_with(name, || Box::new(Home::new()));
        self.change(name, |home| (home.account, home.registration) = (Some(account), registration));
    }

    /// Begins to register; the engine below goes on by itself.
    fn register(&mut self, stage: &mut Stage<'_>, home: Fingerprint, account: &Account) -> Option<RegistrationId> {
        let options = self.options.as_ref()?;
        let registrar = options.registrar.replace("{domain}", &account.uri.host.to_string());
        let (id, credentials) = stage.register_account(account, Uri::parse(&registrar).ok()?, options.expires)?;
        self.registrations.insert(id, Tie { home: Some(home), credentials });
        Some(id)
    }

    /// Ends a registration: at the registrar too, unless another one of ours goes on with the same Contact.
    fn drop_registration(&mut self, stage: &mut Stage<'_>, id: RegistrationId, silently: bool) {
        if silently {
            stage.registrations.forget(id);
            return self.untie(stage, id);
        }
        if let Some(tie) = self.registrations.get_mut(&id) {
            tie.home = None;
        }
        stage.registering(|all, ground| all.close(ground, id));
    }

    /// A registration is no more, and its credentials are not needed any longer.
    fn untie(&mut self, stage: &mut Stage<'_>, id: RegistrationId) {
        if let Some(tie) = self.registrations.remove(&id) {
            stage.sip.wallet_mut().remove(tie.credentials);
        }
    }

    /// Something happened to a registration; what is another's comes back.
    pub(super) fn registration_says(&mut self, stage: &mut Stage<'_>, event: Event) -> Option<Event> {
        let (Event::Registered { id } | Event::Failed { id, .. } | Event::Ended { id }) = event;
        let Some(tie) = self.registrations.get(&id) else { return Some(event) };
        if let Event::Ended { .. } = event {
            self.untie(stage, id);
            return None;
        }
        let name = tie.home?;
        let home = self.homes.get(&name)?;
        let tries = home.attempt.as_ref().is_some_and(|attempt| attempt.registration == id);
        match event {
            Event::Registered { .. } => {
                let proved = !stage.sip.wallet().homes(tie.credentials).is_empty();
                if tries && !proved && !self.options.as_ref().is_some_and(|options| options.unproved) {
                    self.give_back(stage, name);
                } else {
                    self.change(name, |home| home.standing = Standing::Registered);
                    if tries {
                        self.keep(stage, name);
                    }
                }
            }
            Event::Failed { why, .. } if tries => self.failed(stage, name, &Trouble::Registrar(Box::new(words(&why)))),
            Event::Failed { why, again: None, .. } => {
                let why = words(&why).text.unwrap_or_default();
                let standing = Standing::Refused { why: why.clone() };
                let account = self.change(name, |home| {
                    home.standing = standing;
                    home.account.clone()
                });
                if let Some(account) = account.flatten() {
                    tell(stage, &account, &why);
                }
            }
            Event::Failed { .. } => {
                // What was registered before is so until it expires.
                let still = stage.registrations.status(id).is_some_and(|status| status.until.is_some());
                self.change(name, |home| {
                    if !still {
                        home.standing = Standing::Trying;
                    }
                });
            }
            Event::Ended { .. } => {}
        }
        None
    }

    /// The registrar has taken an account that is to be linked: now it is worth keeping.
    fn keep(&mut self, stage: &mut Stage<'_>, name: Fingerprint) {
        let registration =
            self.homes.get(&name).and_then(|home| home.attempt.as_ref()).map(|attempt| attempt.registration);
        let tie = registration.and_then(|registration| self.registrations.get(&registration));
        let realm = tie.and_then(|tie| stage.sip.wallet().homes(tie.credentials).first()).cloned();
        let account = self.change(name, |home| {
            let attempt = home.attempt.as_mut().filter(|_| !home.busy)?;
            attempt.account = Arc::new(Account { realm, ..Account::clone(&attempt.account) });
            home.busy = true;
            Some(Arc::clone(&attempt.account))
        });
        let Some(account) = account.flatten() else { return };
        if let Some(key) = key(&account.user, account.address.domain()) {
            let token = stage.save(key, Some(account.record().to_bytes()));
            self.saving.insert(token, Saving { home: name, what: What::Link });
        }
    }

    /// The registrar has taken an account that nobody has proved to be the user's: it is let go again.
    fn give_back(&mut self, stage: &mut Stage<'_>, name: Fingerprint) {
        let attempt = self.change(name, |home| if home.busy { None } else { home.attempt.take() });
        let Some(attempt) = attempt.flatten() else { return };
        self.pending -= 1;
        // What is registered for the account that is linked already has the same Contact, and stays.
        let linked = self.homes.get(&name).is_some_and(|home| home.account.is_some());
        self.drop_registration(stage, attempt.registration, linked);
        self.answer(stage, &attempt.owed, Err(&Trouble::Unproved));
    }

    /// An attempt came to nothing.
    fn failed(&mut self, stage: &mut Stage<'_>, name: Fingerprint, trouble: &Trouble) {
        let attempt = self.change(name, |home| if home.busy { None } else { home.attempt.take() });
        let Some(attempt) = attempt.flatten() else { return };
        self.pending -= 1;
        // Nothing is registered by it, and what another one has registered stays.
        self.drop_registration(stage, attempt.registration, true);
        self.answer(stage, &attempt.owed, Err(trouble));
    }

    /// Tells a user how it went.
    pub(super) fn answer(&self, stage: &mut Stage<'_>, owed: &Owed, how: Result<&str, &Trouble>) {
        if let Err(trouble) = how {
            note_refused(stage, trouble.name());
        }
        let answer = match (&owed.command, how) {
            // A command says in words what went wrong: clients show no errors of iqs in their place.
            (Some((node, session)), how) => {
                let failed = how.map_err(|trouble| trouble.error().text.unwrap_or_default());
                let note = match failed {
                    Ok(done) => (false, done.to_owned()),
                    Err(why) => (true, why),
                };
                let reply = Reply {
                    node: node.clone(),
                    session: session.clone(),
                    status: Status::Completed,
                    form: None,
                    actions: Vec::new(),
                    note: Some(note),
                };
                Some(owed.iq.result(Some(reply.to_element())))
            }
            (None, Ok(_)) => Some(owed.iq.result(None)),
            (None, Err(trouble)) => owed.iq.error(&trouble.error()),
        };
        if let Some(answer) = answer {
            stage.answer(owed.link, &answer);
        }
    }

    /// The gateway ends: registrars need not send here any more. The records stay, and the next process registers again.
    pub(super) fn leave_all(&mut self, stage: &mut Stage<'_>) {
        self.leaving = true;
        for name in self.homes.keys_sorted() {
            let registration = self.change(name, |home| home.registration.take());
            if let Some(registration) = registration.flatten() {
                self.drop_registration(stage, registration, false);
            }
        }
    }

    /// Nobody waits any longer.
    pub(super) fn give_up(&mut self, stage: &mut Stage<'_>) {
        for name in self.homes.keys_sorted() {
            let attempt = self.change(name, |home| home.attempt.take());
            if let Some(attempt) = attempt.flatten() {
                self.pending -= 1;
                self.answer(stage, &attempt.owed, Err(&Trouble::Storage));
            }
        }
    }
}

/// What a registrar's refusal says to the user whose account it is.
fn words(why: &Why) -> StanzaError {
    let of = |condition, text: &str| StanzaError::new(condition).with_text(text);
    match why {
        Why::Credentials(_) | Why::Refused { code: 401 | 403 | 407, .. } => {
            of(Condition::NotAuthorized, "The registrar refuses this name or password.")
        }
        Why::Refused { code: 404, .. } => of(Condition::ItemNotFound, "The registrar knows no such account."),
        Why::Refused { code, reason } => {
            let condition = error::table3(*code);
            of(condition, &format!("The registrar refuses the account: {}", error::text_of_reason(reason)))
        }
        Why::Timeout | Why::Expired => of(Condition::RemoteServerTimeout, "The registrar does not answer."),
        Why::Transport | Why::FlowLost => of(Condition::RemoteServerNotFound, "The registrar cannot be reached."),
        Why::TooBrief | Why::NotThere => {
            of(Condition::NotAcceptable, "The registrar does not register what is asked of it.")
        }
    }
}

/// Tells a user that an account that was linked is so in vain.
fn tell(stage: &mut Stage<'_>, account: &Account, why: &str) {
    let domain = account.address.domain();
    let (Some(link), Ok(gateway)) = (stage.link_of(domain), Jid::new(None, domain, None)) else { return };
    let text = format!("Your SIP account {} is out of use. {why} Link it again, or unlink it.", account.address);
    let body = xml::Element::new("body", xmpp::ns::CLIENT).with_text(&text);
    let message = Stanza::message().with_from(gateway).with_to(account.user.clone()).with_child(body);
    stage.answer(link, &message);
}

/// The key of a record.
fn key(user: &Jid, domain: &str) -> Option<Vec<u8>> {
    let sip = Jid::new(None, domain, None).ok()?;
    Some(Key { about: About::Linked, sip, xmpp: user.bare() }.to_bytes())
}
