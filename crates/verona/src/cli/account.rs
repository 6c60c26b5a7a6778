//! `verona account`: whose phones may register at the gateway. In the store where the gateway is stopped, and through its control socket where it runs.

use super::{Exit, complain, say};
use crate::accounts::{self, Answer, Listed, Request};
use crate::config::{self, Config, Environment, Store};
use crate::control;
use crate::store::{self, Error};
use serde_json::json;
use std::io::{self, BufRead as _, IsTerminal as _, Read as _};
use std::path::Path;
use stox::phones::Account;

/// Bytes of a password.
const LONGEST: u64 = 4096;

/// Adds an account, or gives it another password: the first line of the file, or of standard input.
pub(super) fn add(path: &Path, account: &str, password_file: Option<&Path>) -> Exit {
    done(load(path).and_then(|config| {
        let (address, user) = accounts::read(account).map_err(|why| usage(account, &why))?;
        let registrar = &config.sip.registrar;
        if !registrar.domains.iter().any(|domain| domain == address.domain()) {
            let domains = registrar.domains.join(", ");
            let known = if domains.is_empty() { "it has none".to_owned() } else { format!("it has {domains}") };
            return Err(usage(account, &format!("{} is not in sip.registrar.domains: {known}", address.domain())));
        }
        let password = password(password_file)?;
        let record = Account::new(&user, &registrar.realm(address.domain()), &password, &registrar.algorithms);
        let record = record.map_err(|why| usage(account, why))?;
        let answer = perform(&config, Request::Add { account: address.to_string(), record })?;
        say(&match answer.was {
            true => format!("{address} has another password; its phones have to register again"),
            false => format!("{address} is an account"),
        });
        Ok(Exit::Good)
    }))
}

/// Removes an account, and with it its contacts.
pub(super) fn remove(path: &Path, account: &str) -> Exit {
    done(load(path).and_then(|config| {
        let (address, _) = accounts::read(account).map_err(|why| usage(account, &why))?;
        let answer = perform(&config, Request::Remove { account: address.to_string() })?;
        if answer.was {
            say(&format!("{address} is no account any more"));
            return Ok(Exit::Good);
        }
        complain(&format!("{address}: there is no such account"));
        Err(Exit::Failed)
    }))
}

/// Prints all accounts.
pub(super) fn list(path: &Path, as_json: bool) -> Exit {
    done(load(path).and_then(|config| {
        for listed in perform(&config, Request::List)?.accounts {
            let Listed { account, user, realm, algorithms, contacts } = &listed;
            if as_json {
                say(&json!({ "account": account, "user": user, "realm": realm, "algorithms": algorithms, "contacts": contacts }).to_string());
                continue;
            }
            let domain = account.rsplit_once('@').map_or("", |(_, domain)| domain);
            let stale = config.sip.registrar.realm(domain) != *realm;
            let note = if stale { format!("; its password is for the realm {realm}, and has to be set again") } else { String::new() };
            say(&format!("{account}: {contacts} contacts, {}{note}", algorithms.join(", ")));
        }
        Ok(Exit::Good)
    }))
}

fn done(result: Result<Exit, Exit>) -> Exit {
    result.unwrap_or_else(|exit| exit)
}

fn usage(what: &str, why: &str) -> Exit {
    complain(&format!("{what}: {why}"));
    Exit::Failed
}

fn load(path: &Path) -> Result<Config, Exit> {
    let loaded = config::load(path, Environment::of_process()).map_err(|mistakes| {
        complain(&mistakes.to_string());
        Exit::Config
    })?;
    Ok(loaded.config)
}

/// Never from the command line, which everybody on the machine can see.
fn password(file: Option<&Path>) -> Result<String, Exit> {
    let mut text = String::new();
    let read = match file {
        Some(path) => std::fs::File::open(path).and_then(|file| file.take(LONGEST).read_to_string(&mut text)),
        None => {
            if io::stdin().is_terminal() {
                complain("The password, in one line (it is shown as it is typed):");
            }
            io::stdin().lock().take(LONGEST).read_line(&mut text)
        }
    };
    let name = file.map_or("standard input".to_owned(), |path| path.display().to_string());
    if let Err(e) = read {
        return Err(usage(&name, &e.to_string()));
    }
    let line = text.strip_suffix('\n').unwrap_or(&text);
    let line = line.strip_suffix('\r').unwrap_or(line);
    if line.is_empty() || line.contains(['\r', '\n']) {
        return Err(usage(&name, "the password is to be one line, and not empty"));
    }
    Ok(line.to_owned())
}

/// Does it on the store, or has the gateway do it that has the store open.
fn perform(config: &Config, request: Request) -> Result<Answer, Exit> {
    let Store::Redb(path) = &config.store.url else {
        complain("store.url is \"memory:\": nothing of it is on disk");
        return Err(Exit::Failed);
    };
    let answer = match store::open(&Store::Redb(path.clone())) {
        Ok(mut engine) => {
            accounts::perform(&mut *engine, request).map(|(answer, _)| answer).map_err(|e| broken(path, &e))
        }
        Err(Error::Held) => control::ask(path, &request).map_err(|e| {
            let socket = control::path(path);
            complain(&format!(
                "{}: the gateway has it open, and does not answer at {}: {e}",
                path.display(),
                socket.display()
            ));
            Exit::Failed
        }),
        Err(e) => Err(broken(path, &e)),
    }?;
    match answer.error {
        Some(why) => Err(usage("the gateway", &why)),
        None => Ok(answer),
    }
}

fn broken(path: &Path, error: &Error) -> Exit {
    complain(&format!("{}: {error}", path.display()));
    if error.may_pass() { Exit::Failed } else { Exit::Config }
}
