//! The load generator's program.

use std::io::Write;
use std::process::ExitCode;
use verona_load::options::{HELP, Options};
use verona_load::{calls, handshakes, presence, report, rooms, run, sessions};

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    if words.iter().any(|w| w == "--help" || w == "-h") {
        let _ = writeln!(std::io::stdout(), "{HELP}");
        return ExitCode::SUCCESS;
    }
    let complain = |what: String| {
        let _ = writeln!(std::io::stderr(), "verona-load: {what}");
        ExitCode::FAILURE
    };
    let part = match words.split_first().map(|(first, rest)| (first.as_str(), rest)) {
        Some(("presence", words)) => Some(presence::main(words)),
        Some(("sessions", words)) => Some(sessions::main(words)),
        Some(("rooms", words)) => Some(rooms::main(words)),
        Some(("calls", words)) => Some(calls::main(words)),
        Some(("certificates", words)) => Some(handshakes::certificates(words)),
        Some(("handshakes", words)) => Some(handshakes::main(words)),
        Some(_) | None => None,
    };
    if let Some(done) = part {
        return done.map_or_else(complain, |()| ExitCode::SUCCESS);
    }
    match Options::parse(words.into_iter()) {
        Err(what) => complain(what),
        Ok(options) => match run::run(options) {
            Err(e) => complain(e.to_string()),
            Ok((shared, measured)) => {
                let _ = writeln!(std::io::stdout(), "{}", report::report(&shared, &measured));
                ExitCode::SUCCESS
            }
        },
    }
}
