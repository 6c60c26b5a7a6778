//! Rooms with people of both kinds: how fast everybody is in and knows of everybody, what a place takes, and how fast messages go through.
//!
//! The generator plays the phones and the XMPP server with its MUC service, which multiplies what is said: each SIP user gets a stanza of his own.

mod cast;
mod muc;
mod phone;
mod roster;
mod run;
mod talk;

use crate::options::Options;
use crate::sessions::{descriptors, of};
use std::io::Write;
use std::time::Duration;

/// What the command line says beside [`Options`].
#[derive(Debug, Clone)]
struct Plan {
    rooms: usize,
    /// SIP users in each room.
    sip: usize,
    /// XMPP users in each room.
    xmpp: usize,
    /// How many enter at once.
    entering: u64,
    /// The port of the phones for MSRP.
    port: u16,
    /// How long nothing is done when all are in, until memory is looked at.
    settle: Duration,
    /// Closed loops each way.
    rounds: usize,
    /// Seconds each way at half of the rate of the closed loop.
    half: f64,
    /// Whether everybody leaves.
    end: bool,
}

/// `verona-load rooms` with these words behind it.
///
/// # Errors
/// What is wrong with them, or a gateway that does not come.
pub fn main(words: &[String]) -> Result<(), String> {
    let (what, words) = words.split_first().ok_or("rooms: run")?;
    if what != "run" {
        return Err(format!("rooms {what}: run"));
    }
    descriptors();
    let mut words = words.to_vec();
    let plan = plan(&mut words)?;
    let options = Options::parse(words.into_iter())?;
    let report = run::run(options, plan).map_err(|e| e.to_string())?;
    // Whoever started it may not want to know.
    let _ = writeln!(std::io::stdout(), "{report}");
    Ok(())
}

fn plan(words: &mut Vec<String>) -> Result<Plan, String> {
    let rooms = of(words, "--rooms", 1_usize)?.max(1);
    let sip = of(words, "--sip", 10_usize)?.max(1);
    if rooms * sip > 50_000 {
        return Err("at most 50000 places: each phone has an address of its own".to_owned());
    }
    Ok(Plan {
        rooms,
        sip,
        xmpp: of(words, "--xmpp", 10_usize)?.max(1),
        entering: of(words, "--entering", 64_u64)?.max(1),
        port: of(words, "--port", 25_285)?,
        settle: Duration::from_secs(of(words, "--settle", 0)?),
        rounds: of(words, "--rounds", 1_usize)?,
        half: of(words, "--half", 0.0)?,
        end: of(words, "--end", 0_u8)? != 0,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn own_options_are_taken_out() {
        let mut words: Vec<String> =
            ["--rooms", "7", "--sip", "2", "--count", "9", "--half", "1.5"].map(str::to_owned).into();
        let plan = plan(&mut words).unwrap();
        assert_eq!((plan.rooms, plan.sip, plan.xmpp, plan.half), (7, 2, 10, 1.5));
        assert_eq!(words, ["--count", "9"]);
        assert!(super::plan(&mut vec!["--rooms".to_owned(), "50001".to_owned()]).is_err());
    }
}
