//! Presence: authorizations for a store, and changes that are to become NOTIFYs.

mod people;
mod run;
mod sip;
mod xmpp;

use crate::options::{Options, number};
use people::People;
use std::io::{BufWriter, Write};
use std::time::{SystemTime, UNIX_EPOCH};

/// `verona-load presence` with these words behind it.
///
/// # Errors
/// What is wrong with them, or a gateway that does not come.
pub fn main(words: &[String]) -> Result<(), String> {
    let (what, words) = words.split_first().ok_or("presence: fill or run")?;
    let mut words = words.to_vec();
    let live = taken(&mut words, "--live")?;
    let messages = taken(&mut words, "--messages")?;
    let options = Options::parse(words.into_iter())?;
    let people = People::new(&options, live);
    match what.as_str() {
        "fill" => fill(&people).map_err(|e| format!("standard output: {e}")),
        "run" => {
            let report = run::run(options, people, messages).map_err(|e| e.to_string())?;
            // Whoever started it may not want to know.
            let _ = writeln!(std::io::stdout(), "{report}");
            Ok(())
        }
        other => Err(format!("presence {other}: fill or run")),
    }
}

/// Takes an option with its number out of the words; 0 where it is not there.
fn taken(words: &mut Vec<String>, name: &str) -> Result<usize, String> {
    let Some(at) = words.iter().position(|word| word == name) else { return Ok(0) };
    words.remove(at);
    if at == words.len() {
        return Err(format!("{name} needs a value"));
    }
    number(name, &words.remove(at))
}

fn fill(people: &People) -> std::io::Result<()> {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
    let mut out = BufWriter::new(std::io::stdout().lock());
    for pair in 0..people.authorizations {
        writeln!(out, "{}", people.line(pair, now))?;
    }
    out.flush()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn own_options_are_taken_out() {
        let mut words: Vec<String> = ["--users", "9", "--live", "7", "--rate", "2"].map(str::to_owned).into();
        assert_eq!(taken(&mut words, "--live"), Ok(7));
        assert_eq!(taken(&mut words, "--messages"), Ok(0));
        assert_eq!(words, ["--users", "9", "--rate", "2"]);
        assert!(taken(&mut vec!["--live".to_owned()], "--live").is_err());
        assert!(taken(&mut vec!["--live".to_owned(), "x".to_owned()], "--live").is_err());
    }
}
