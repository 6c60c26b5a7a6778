//! What `verona check` says of certificates: their names, until when they are valid, and which of them is shown to whom.

use super::{complain, say};
use crate::config::Config;
use crate::setup;
use crate::tls::Tls;
use std::time::{SystemTime, UNIX_EPOCH};

/// How long before its end a certificate is a reason to worry.
const SOON_DAYS: i64 = 14;

/// Explains the certificates that a configuration has.
pub(super) fn explain(config: &Config) {
    let now =
        SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| i64::try_from(d.as_secs()).unwrap_or(i64::MAX));
    let asked = asked(config);
    let host = asked.first().map(|(_, name)| name.clone()).unwrap_or_default();
    let store = match Tls::new(&config.tls, &host) {
        Ok(store) => store,
        Err(e) => return complain(&format!("warning: tls.certificates: {e}")),
    };
    let own = !config.tls.certificates.is_empty();
    if own {
        for shown in store.shown() {
            let days = (shown.until - now) / 86_400;
            say(&format!("certificate for {}: until {} ({days} days)", shown.names, shown.until_text));
            if shown.until <= now {
                complain(&format!("warning: tls.certificates: the one for {} has expired", shown.names));
            } else if days < SOON_DAYS {
                complain(&format!("warning: tls.certificates: the one for {} expires in {days} days", shown.names));
            }
        }
    }
    for (who, name) in asked {
        match store.shown_to(&name) {
            Some(names) if own => say(&format!("{who} {name}: shown the certificate for {names}")),
            Some(_) => say(&format!("{who} {name}: shown one that is made at each start, signed by nobody")),
            None => complain(&format!(
                "warning: tls.certificates: none is for {name}, for which {who} ask: they are shown the first one, or nothing"
            )),
        }
    }
}

/// Who asks for which name.
fn asked(config: &Config) -> Vec<(&'static str, String)> {
    let secure = config.msrp.listen.iter().filter(|listen| listen.secure);
    let msrp = secure.map(|listen| ("MSRP peers", setup::bare(&listen.advertise.host)));
    let federated = config.xmpp.federation.iter().flat_map(|federation| &federation.domains);
    let servers = federated.map(|domain| ("XMPP servers", domain.clone()));
    let mut asked: Vec<(&'static str, String)> = msrp.chain(servers).collect();
    asked.dedup();
    asked
}
