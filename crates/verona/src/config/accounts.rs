//! `[xmpp.accounts]`: SIP accounts that XMPP users link themselves.

use super::mistake::Wrong;
use super::read::Reader;
use super::settings::AccountSettings;
use super::value;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

/// How XMPP users link SIP accounts of their own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Accounts {
    /// The XMPP domains whose users may; `sip.domains` where none are written.
    pub domains: Vec<String>,
    /// The file with the key that the accounts are sealed with in the store. It is made where there is none.
    pub key_file: PathBuf,
    /// The registrar: a SIP URI in which `{domain}` stands for the account's domain.
    pub registrar: String,
    /// The rest.
    pub settings: AccountSettings,
}

/// The key where no file is named for it, beside the configuration.
const KEY_FILE: &str = "accounts.key";

/// The registrar where none is named: where the account's domain leads to.
const REGISTRAR: &str = "sip:{domain}";

impl Accounts {
    /// Every key with a text that is the same exactly where the value is.
    pub(super) fn leaves(&self, set: &mut impl FnMut(&str, String)) {
        let Accounts { domains, key_file, registrar, settings } = self;
        // Those of defaults that nobody uses would change with others.
        if settings.enabled {
            set("xmpp.accounts.domains", format!("{domains:?}"));
            set("xmpp.accounts.key_file", key_file.display().to_string());
            set("xmpp.accounts.registrar", registrar.clone());
        }
        for (key, value) in settings.keys() {
            set(key, value);
        }
    }
}

/// Whether a running gateway takes over a change of this key: all but whether there are accounts, and what they are sealed with.
pub(super) fn is_live(key: &str) -> bool {
    let key = key.strip_prefix("xmpp.accounts.");
    key.is_some_and(|key| !matches!(key, "enabled" | "key_file"))
}

/// Reads `[xmpp.accounts]`; `xmpp_domains` are `sip.domains`.
pub(super) fn accounts(r: &mut Reader<'_>, xmpp_domains: &[&str], folder: &Path) -> Accounts {
    let settings = AccountSettings::read(r);
    let listed = r.texts("xmpp.accounts.domains", value::domain);
    let written = listed.is_some();
    let domains: Vec<String> = match listed {
        Some(listed) => listed.into_iter().map(|item| item.value).collect(),
        None => xmpp_domains.iter().map(|domain| (*domain).to_owned()).collect(),
    };
    if settings.enabled && domains.is_empty() && !r.is_wrong("xmpp.accounts.domains") {
        let allowed = "the XMPP domains whose users may link accounts: [\"example.com\"]";
        if written {
            r.wrong("xmpp.accounts.domains", Wrong::new("empty", allowed));
        } else {
            r.missing("xmpp.accounts.domains", allowed);
        }
    }
    let key_file = r.text("xmpp.accounts.key_file", |path| match path {
        "" => Err(Wrong::new("empty", "the path of a file")),
        _ => Ok(folder.join(path)),
    });
    let key_file = key_file.unwrap_or_else(|| folder.join(KEY_FILE));
    let open = std::fs::metadata(&key_file).is_ok_and(|file| file.permissions().mode() & 0o077 != 0);
    if settings.enabled && open {
        r.warn("xmpp.accounts.key_file", "others may read this file, and the gateway will not use it: chmod go=");
    }
    let registrar = r.text("xmpp.accounts.registrar", registrar).unwrap_or_else(|| REGISTRAR.to_owned());
    Accounts { domains, key_file, registrar, settings }
}

fn registrar(text: &str) -> Result<String, Wrong> {
    const ALLOWED: &str = "\"sip:{domain}\", or the registrar's SIP URI: \"sip:registrar.example.net;transport=tcp\"";
    let uri = sip::Uri::parse(&text.replace("{domain}", "example.net"));
    match uri.as_ref().ok().and_then(sip::Uri::sip) {
        Some(uri) if uri.user.is_none() => Ok(text.to_owned()),
        Some(_) => Err(Wrong::new("a registrar has no user (RFC 3261 §10.2)", ALLOWED)),
        None => Err(Wrong::new("not a SIP URI", ALLOWED)),
    }
}
