//! `[sip.registrar]`: phones that register at the gateway itself.

use super::mistake::Wrong;
use super::read::{Item, Reader};
use super::settings::RegistrarSettings;
use super::value;
use base::Str;
use base::digest::Algorithm;

/// The registrar.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Registrar {
    /// The SIP domains whose users register here; none: there is no registrar.
    pub domains: Vec<String>,
    /// What passwords are for; none: each domain is its own.
    pub realm: Option<String>,
    /// The hashes that are asked for, the most preferred first.
    pub algorithms: Vec<Algorithm>,
    /// The rest.
    pub settings: RegistrarSettings,
}

impl Registrar {
    /// What the passwords of a domain's users are for.
    pub fn realm(&self, domain: &str) -> Str {
        self.realm.as_deref().map_or_else(|| stox::phones::realm_of(domain), Str::from)
    }
}

/// Reads `[sip.registrar]`; `own` are the SIP domains that the gateway stands for.
pub(super) fn registrar(r: &mut Reader<'_>, own: &[&str]) -> Registrar {
    let settings = RegistrarSettings::read(r);
    if settings.min_expires > settings.max_expires {
        r.wrong("sip.registrar.min_expires", Wrong::new("longer than sip.registrar.max_expires", ""));
    }
    if settings.expires < settings.min_expires || settings.expires > settings.max_expires {
        let allowed = "between sip.registrar.min_expires and sip.registrar.max_expires";
        r.wrong("sip.registrar.expires", Wrong::new("not between the shortest and the longest", allowed));
    }
    let domains = r.texts("sip.registrar.domains", value::domain).unwrap_or_default();
    for (n, Item { key, value }) in domains.iter().enumerate() {
        if !own.contains(&value.as_str()) {
            r.wrong(key, Wrong::new("the gateway does not stand for this domain", own.join(", ")));
        }
        if domains[..n].iter().any(|earlier| earlier.value == *value) {
            r.wrong(key, Wrong::new("the same domain twice", ""));
        }
    }
    let realm = r.text("sip.registrar.realm", realm);
    let algorithms = r.texts("sip.registrar.algorithms", algorithm);
    if algorithms.as_ref().is_some_and(Vec::is_empty) {
        r.wrong("sip.registrar.algorithms", Wrong::new("none", "leave it out: [\"SHA-256\", \"MD5\"]"));
    }
    // MD5 last, for it is what most phones know and nothing better (RFC 8760 §2.1).
    let algorithms = algorithms.map(values).unwrap_or_else(|| vec![Algorithm::Sha256, Algorithm::Md5]);
    Registrar { domains: values(domains), realm, algorithms, settings }
}

fn values<T>(items: Vec<Item<T>>) -> Vec<T> {
    items.into_iter().map(|item| item.value).collect()
}

fn realm(text: &str) -> Result<String, Wrong> {
    let sound =
        !text.is_empty() && text.len() <= 256 && !text.contains(['"', '\\']) && !text.contains(char::is_control);
    if sound {
        Ok(text.to_owned())
    } else {
        Err(Wrong::new("not a realm", "1 to 256 bytes without quotation marks and backslashes"))
    }
}

fn algorithm(text: &str) -> Result<Algorithm, Wrong> {
    Algorithm::named(text).ok_or_else(|| Wrong::new("not an algorithm", "\"SHA-256\", \"SHA-512-256\" or \"MD5\""))
}
