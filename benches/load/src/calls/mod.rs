//! Calls: how fast they are set up and ended, and what they take while people talk.
//!
//! The same calls can be made from one phone to the other, through whatever forwards SIP (`nullb2bua`, a proxy) or directly, by the generator's own
//! phones or by sipp, to hold one against the other.

mod cast;
mod device;
mod phone;
mod run;
mod said;
mod sipp;

use crate::options::{Options, number};
use crate::sessions::{descriptors, of, taken};
use cast::Began;
use said::Media;
use std::io::Write;
use std::time::Duration;

/// What the command line says beside [`Options`].
#[derive(Debug, Clone)]
struct Plan {
    /// There is no XMPP: phones call phones.
    forwarder: bool,
    began: Began,
    /// What the calls are described as.
    media: Option<Media>,
    /// How long nothing is done when all talk, until memory is looked at.
    settle: Duration,
    /// How long nothing is done then, while processor time is counted.
    idle: Duration,
    /// Whether who has called hangs up.
    end: bool,
}

/// `verona-load calls` with these words behind it.
///
/// # Errors
/// What is wrong with them, or a gateway that does not come.
pub fn main(words: &[String]) -> Result<(), String> {
    let (what, words) = words.split_first().ok_or("calls: run, forward or sipp")?;
    let mut words = words.to_vec();
    let _ = descriptors();
    let report = match what.as_str() {
        "sipp" => {
            let folder = taken(&mut words, "--folder")?.ok_or("calls sipp: --folder is missing")?;
            sipp::run(&Options::parse(words.into_iter())?, folder.as_ref())?
        }
        "run" | "forward" => {
            let plan = plan(&mut words, what == "forward")?;
            run::run(Options::parse(words.into_iter())?, plan).map_err(|e| e.to_string())?
        }
        other => return Err(format!("calls {other}: run, forward or sipp")),
    };
    // Whoever started it may not want to know.
    let _ = writeln!(std::io::stdout(), "{report}");
    Ok(())
}

fn plan(words: &mut Vec<String>, forwarder: bool) -> Result<Plan, String> {
    let began = match taken(words, "--begun")?.as_deref() {
        Some("s2x") => Began::Sip,
        Some("x2s") => Began::Xmpp,
        None | Some("both") => Began::Both,
        Some(other) => return Err(format!("--begun {other}: s2x, x2s or both")),
    };
    let media = match taken(words, "--media")?.as_deref() {
        Some("browser") => Some(Media::Browser),
        Some("plain") => Some(Media::Plain),
        None | Some("both") => None,
        Some(other) => return Err(format!("--media {other}: browser, plain or both")),
    };
    let seconds = |words: &mut Vec<String>, name: &str| -> Result<Duration, String> {
        Ok(Duration::from_secs(taken(words, name)?.map_or(Ok(0), |value| number(name, &value))?))
    };
    Ok(Plan {
        forwarder,
        began: if forwarder { Began::Sip } else { began },
        media,
        settle: seconds(words, "--settle")?,
        idle: seconds(words, "--idle")?,
        end: of(words, "--end", 0_u8)? != 0,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn own_options_are_taken_out() {
        let mut words: Vec<String> =
            ["--users", "9", "--idle", "7", "--begun", "x2s", "--media", "plain"].map(str::to_owned).into();
        let plan = plan(&mut words, false).unwrap();
        assert_eq!((plan.began, plan.media, plan.end), (Began::Xmpp, Some(Media::Plain), false));
        assert_eq!((plan.idle, plan.settle), (Duration::from_secs(7), Duration::ZERO));
        assert_eq!(words, ["--users", "9"]);
        assert!(super::plan(&mut vec!["--begun".to_owned(), "up".to_owned()], false).is_err());
        assert!(super::plan(&mut vec!["--media".to_owned(), "film".to_owned()], false).is_err());
    }
}
