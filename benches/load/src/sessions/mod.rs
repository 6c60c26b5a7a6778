//! Chat sessions: how fast they open, what they take while nobody says anything, and how fast messages go through them.
//!
//! The same messages can be sent through a forwarder that does nothing but what MSRP needs (`nullmsrp`), to hold one against the other.

pub mod lines;
pub mod msrp;
mod pairs;
mod phone;
mod run;
mod talk;
mod xmpp;

use crate::options::{Options, number};
use pairs::Opened;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use std::io::Write;
use std::time::Duration;

/// Descriptors that are left for what is no phone's connection, here and in the gateway.
const RESERVED: usize = 2000;

/// What the command line says beside [`Options`].
#[derive(Debug, Clone)]
struct Plan {
    /// There is a forwarder at the gateway's address, and no SIP or XMPP.
    forwarder: bool,
    opened: Opened,
    /// Connections of phones; sessions beyond share them.
    lines: usize,
    /// The port of the phones for MSRP.
    port: u16,
    /// How long nothing is done when all are open, until memory is looked at.
    settle: Duration,
    /// How long nothing is done then, while processor time is counted.
    idle: Duration,
    /// Whether the phones end the sessions.
    end: bool,
}

/// `verona-load sessions` with these words behind it.
///
/// # Errors
/// What is wrong with them, or a gateway that does not come.
pub fn main(words: &[String]) -> Result<(), String> {
    let (what, words) = words.split_first().ok_or("sessions: run or forward")?;
    let mut words = words.to_vec();
    let forwarder = match what.as_str() {
        "run" => false,
        "forward" => true,
        other => return Err(format!("sessions {other}: run or forward")),
    };
    let plan = plan(&mut words, forwarder, descriptors())?;
    let options = Options::parse(words.into_iter())?;
    let report = run::run(options, plan).map_err(|e| e.to_string())?;
    // Whoever started it may not want to know.
    let _ = writeln!(std::io::stdout(), "{report}");
    Ok(())
}

/// As many descriptors as this process may have.
pub(crate) fn descriptors() -> usize {
    let limit = getrlimit(Resource::Nofile);
    let _ = setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, maximum: limit.maximum });
    getrlimit(Resource::Nofile).current.and_then(|most| usize::try_from(most).ok()).unwrap_or(1 << 20)
}

fn plan(words: &mut Vec<String>, forwarder: bool, descriptors: usize) -> Result<Plan, String> {
    let most = descriptors.saturating_sub(RESERVED) / if forwarder { 2 } else { 1 };
    let opened = match taken(words, "--opened")?.as_deref() {
        None | Some("both") => Opened::Both,
        Some("s2x") => Opened::Sip,
        Some("x2s") => Opened::Xmpp,
        Some(other) => return Err(format!("--opened {other}: s2x, x2s or both")),
    };
    let mut seconds = |name: &str| Ok::<_, String>(Duration::from_secs(of(words, name, 0)?));
    let (settle, idle) = (seconds("--settle")?, seconds("--idle")?);
    Ok(Plan {
        forwarder,
        opened,
        lines: of(words, "--lines", most)?.clamp(1, most.max(1)),
        port: of(words, "--port", 25_285)?,
        settle,
        idle,
        end: of(words, "--end", 0_u8)? != 0,
    })
}

pub(crate) fn of<T: std::str::FromStr>(words: &mut Vec<String>, name: &str, default: T) -> Result<T, String> {
    taken(words, name)?.map_or(Ok(default), |value| number(name, &value))
}

/// Takes an option with its value out of the words.
pub(crate) fn taken(words: &mut Vec<String>, name: &str) -> Result<Option<String>, String> {
    let Some(at) = words.iter().position(|word| word == name) else { return Ok(None) };
    words.remove(at);
    if at == words.len() {
        return Err(format!("{name} needs a value"));
    }
    Ok(Some(words.remove(at)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn own_options_are_taken_out() {
        let mut words: Vec<String> =
            ["--users", "9", "--idle", "7", "--opened", "x2s", "--lines", "50000"].map(str::to_owned).into();
        let plan = plan(&mut words, false, 20_000).unwrap();
        assert_eq!((plan.idle, plan.settle, plan.end), (Duration::from_secs(7), Duration::ZERO, false));
        assert_eq!((plan.opened, plan.lines, plan.port), (Opened::Xmpp, 18_000, 25_285));
        assert_eq!(words, ["--users", "9"]);
        assert!(super::plan(&mut vec!["--opened".to_owned(), "up".to_owned()], false, 9).is_err());
        assert!(super::plan(&mut vec!["--idle".to_owned()], false, 9).is_err());
    }
}
