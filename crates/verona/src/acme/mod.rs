//! A certificate from an authority that gives them out by itself (RFC 8555), asked for again in good time.
//!
//! The certificate lies in files like any other: the store of [`crate::tls`] notices when they are new, and nothing else knows where they come from.
//! Until there is one, the files hold one that nobody has signed, so that the gateway can begin.

mod answers;
mod order;

use crate::config::{Acme, Certificate};
use crate::tls::Identity;
use answers::Answers;
use std::fs;
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::Path;
use std::time::{Duration, SystemTime};
use tokio::net::TcpListener;

/// How often it is looked whether the certificate is still good for long enough.
const EVERY: Duration = Duration::from_secs(3600);

/// How long after a failure it is tried again: the first time, and at most. Authorities count failures.
const AGAIN: Duration = Duration::from_secs(60);
const AGAIN_MAX: Duration = Duration::from_secs(6 * 3600);

/// How long the authority may take for all of it.
const PATIENCE: Duration = Duration::from_secs(120);

/// Sees to it that there are files that fit, before anybody wants to read them: who was ended between writing one and the other begins anew. What cannot
/// be opened is left alone.
///
/// # Errors
/// The folder or a file in it cannot be written.
pub(crate) fn prepare(acme: &Acme) -> io::Result<()> {
    fs::DirBuilder::new().recursive(true).mode(0o700).create(&acme.folder)?;
    let files = acme.files();
    let pair = [&files.chain, &files.key];
    let is_left = pair.iter().all(|file| file.exists()) && pair.iter().any(|file| fs::File::open(file).is_err());
    if is_left || Identity::load(&files).is_ok() {
        return Ok(());
    }
    let minted = rcgen::generate_simple_self_signed(acme.domains.clone()).map_err(io::Error::other)?;
    write_pair(&files, &minted.cert.pem(), &minted.signing_key.serialize_pem())
}

/// A certificate of the authority's.
#[derive(Debug, Clone, Copy)]
struct Good {
    /// How long it stays good.
    left: Duration,
    /// How long it was good when it was new.
    whole: Duration,
}

/// How long what there is will do; nothing where there is none. It is renewed so long before its end, but in no case before two thirds of its life are
/// over: some authorities give them out for days.
fn rest(good: Option<Good>, renew: Duration) -> Duration {
    good.map_or(Duration::ZERO, |good| good.left.saturating_sub(renew.min(good.whole / 3)))
}

/// How long to wait after so many failures.
fn pause(failures: u32) -> Duration {
    AGAIN.saturating_mul(1 << failures.saturating_sub(1).min(16)).min(AGAIN_MAX)
}

/// Asks for certificates for ever. `listener` is where the authority asks back.
pub(crate) async fn run(acme: Acme, listener: TcpListener) {
    let answers = Answers::default();
    tokio::join!(answers.clone().serve(listener), renew(acme, answers));
}

async fn renew(acme: Acme, answers: Answers) {
    let mut failures = 0;
    loop {
        let (files, domains) = (acme.files(), acme.domains.clone());
        let good = tokio::task::spawn_blocking(move || look(&files, &domains)).await.ok().flatten();
        let rest = rest(good, acme.settings.renew);
        if !rest.is_zero() {
            tokio::time::sleep(rest.min(EVERY)).await;
            continue;
        }
        let ordered = tokio::time::timeout(PATIENCE, order::order(&acme, &answers)).await;
        answers.forget();
        let ordered = ordered.unwrap_or_else(|_| Err(io::Error::other("it takes too long")));
        match ordered {
            Ok(()) => {
                failures = 0;
                tracing::info!(domain = %acme.domains[0], "a certificate has come");
            }
            Err(error) => {
                failures += 1;
                tracing::error!(%error, failures, "no certificate from the authority");
            }
        }
        // After a success, too: whatever comes, an authority is not asked without a pause.
        tokio::time::sleep(pause(failures)).await;
    }
}

/// What is in the files, if it is the authority's and for these domains.
fn look(files: &Certificate, domains: &[String]) -> Option<Good> {
    let identity = Identity::load(files).ok()?;
    let good = !identity.is_self_signed() && domains.iter().all(|domain| identity.is_for(domain));
    let (from, until) = identity.validity().filter(|_| good)?;
    let left = until.duration_since(SystemTime::now()).unwrap_or_default();
    Some(Good { left, whole: until.duration_since(from).unwrap_or_default() })
}

/// Puts a certificate and its key in their files. Whoever reads in between finds two that do not fit, and looks again.
fn write_pair(files: &Certificate, chain: &str, key: &str) -> io::Result<()> {
    write(&files.key, key)?;
    write(&files.chain, chain)
}

/// Puts a file in its place, whole, readable by nobody else.
fn write(path: &Path, content: &str) -> io::Result<()> {
    let beside = path.with_extension("new");
    let mut options = fs::OpenOptions::new();
    let mut file = options.write(true).create(true).truncate(true).mode(0o600).open(&beside)?;
    file.write_all(content.as_bytes())?;
    file.sync_all()?;
    fs::rename(&beside, path)
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY: Duration = Duration::from_secs(24 * 3600);

    #[test]
    fn it_is_asked_for_in_good_time_and_not_too_often() {
        let of = |left: u32, whole: u32| Some(Good { left: DAY * left, whole: DAY * whole });
        assert_eq!(rest(None, DAY * 30), Duration::ZERO);
        assert_eq!((rest(of(90, 90), DAY * 30), rest(of(30, 90), DAY * 30)), (DAY * 60, Duration::ZERO));
        assert_eq!((rest(of(6, 6), DAY * 30), rest(of(2, 6), DAY * 30)), (DAY * 4, Duration::ZERO));
        assert_eq!(rest(of(0, 90), DAY * 30), Duration::ZERO);
        let pauses = [0, 1, 2, 3, 100, u32::MAX].map(pause);
        assert_eq!(pauses, [AGAIN, AGAIN, AGAIN * 2, AGAIN * 4, AGAIN_MAX, AGAIN_MAX]);
    }

    #[test]
    fn what_is_made_at_first_is_wanted_anew() {
        let folder = std::env::temp_dir().join(format!("verona-acme-{}", std::process::id()));
        let acme = Acme {
            directory: "https://acme.example/dir".to_owned(),
            domains: vec!["a.example".to_owned(), "b.example".to_owned()],
            contact: Vec::new(),
            listen: ([127, 0, 0, 1], 0).into(),
            folder: folder.clone(),
            trust: None,
            settings: crate::config::AcmeSettings::default(),
        };
        prepare(&acme).unwrap();
        let identity = Identity::load(&acme.files()).unwrap();
        assert!(identity.is_for("a.example") && identity.is_for("b.example") && identity.is_self_signed());
        assert!(look(&acme.files(), &acme.domains).is_none());
        let before = fs::read(acme.files().key).unwrap();
        prepare(&acme).unwrap();
        assert_eq!(fs::read(acme.files().key).unwrap(), before, "what is there stays");
        let other = rcgen::KeyPair::generate().unwrap().serialize_pem();
        fs::write(acme.files().key, other).unwrap();
        assert!(Identity::load(&acme.files()).is_err());
        prepare(&acme).unwrap();
        assert!(Identity::load(&acme.files()).unwrap().is_for("a.example"), "what does not fit is of no use");
        use std::os::unix::fs::PermissionsExt as _;
        assert_eq!(fs::metadata(acme.files().key).unwrap().permissions().mode() & 0o777, 0o600);
        fs::remove_dir_all(folder).unwrap();
    }
}
