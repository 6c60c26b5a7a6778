//! `cargo xtask bench`: the gateway under load, in one run on one machine. Messages are measured beside a gateway that does nothing and
//! beside Kamailio's; presence ([`presence`]) against the figures that are asked for; chat sessions ([`sessions`]) against those and beside an
//! MSRP forwarder that does nothing; rooms ([`rooms`]) beside as many messages in sessions; calls ([`calls`]) beside a B2BUA that does nothing
//! and a proxy; messages once more over TLS between servers ([`federation`]). The tables go into benches/README.md.
//!
//! The generator is the project's own (benches/load). If VERONA_LOADGEN names the folder of another one with the programs `stoxload` and
//! `nullgw`, the same is measured with that too.

mod calls;
mod federation;
mod gateway;
mod generator;
mod kamailio;
mod presence;
mod rooms;
mod sessions;
mod table;

use crate::say;
use gateway::{Gateway, Kind};
use generator::{Generator, Offer, Outcome};
use std::path::{Path, PathBuf};
use std::process::Command;

/// A rate counts as sustained if nothing is lost, refused or late.
const LATE_MS: f64 = 500.0;

/// Everything that was measured with one generator, one way.
#[derive(Debug, Default)]
pub(crate) struct Way {
    /// `s2x` or `x2s`.
    pub(crate) name: &'static str,
    /// Each run with its label, and the gateway that it was run against.
    pub(crate) runs: Vec<(Kind, String, Outcome)>,
    /// The highest rate that was sustained.
    pub(crate) most: Vec<(Kind, f64)>,
}

/// Measures, and writes the tables. False if something could not be run at all.
pub(crate) fn run(root: &Path, words: &[&str]) -> bool {
    let (quick, words) = match words {
        ["--quick", rest @ ..] | [rest @ .., "--quick"] => (true, rest),
        words => (false, words),
    };
    let parts: &[&str] = match words {
        [] => &["messages", "presence", "sessions", "rooms", "calls", "federation"],
        ["--only", "messages"] => &["messages"],
        ["--only", "presence"] => &["presence"],
        ["--only", "sessions"] => &["sessions"],
        ["--only", "rooms"] => &["rooms"],
        ["--only", "calls"] => &["calls"],
        ["--only", "federation"] => &["federation"],
        _ => {
            say("usage: cargo xtask bench [--quick] [--only messages|presence|sessions|rooms|calls|federation]");
            return false;
        }
    };
    match measure(root, quick, parts) {
        Ok(()) => true,
        Err(e) => {
            say(&format!("bench: {e}"));
            false
        }
    }
}

fn measure(root: &Path, quick: bool, parts: &[&str]) -> Result<(), String> {
    say("building");
    cargo(root, &["build", "--release", "--locked", "-p", "verona", "-p", "verona-load"])?;
    let target = std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root.join("target"), PathBuf::from);
    let (programs, scratch) = (target.join("release"), target.join("bench"));
    std::fs::create_dir_all(&scratch).map_err(|e| format!("{}: {e}", scratch.display()))?;
    let readme = root.join("benches/README.md");
    for part in parts {
        let text = match *part {
            "presence" => presence::measure(&programs, &scratch, quick)?,
            "sessions" => sessions::measure(&programs, &scratch, quick)?,
            "rooms" => rooms::measure(&programs, &scratch, quick)?,
            "calls" => calls::measure(&programs, &scratch, quick)?,
            "federation" => federation::measure(&programs, &scratch, quick)?,
            _ => messages(&programs, &scratch, quick)?,
        };
        table::into_readme(&readme, part, &text)?;
        say(&text);
    }
    Ok(())
}

/// Messages both ways, as Markdown.
fn messages(programs: &Path, scratch: &Path, quick: bool) -> Result<String, String> {
    let mut kamailio = kamailio::find(scratch);
    if kamailio.is_ok() {
        // One look at whether it works here at all, so that it does not end the run in the middle.
        let gateway = Gateway {
            kind: Kind::Kamailio,
            programs: programs.to_owned(),
            scratch: scratch.to_owned(),
            null: programs.join("nullgw"),
            secure: None,
        };
        kamailio = gateway.run(&Generator::own(programs), &Offer { count: 100, ..Offer::of("s2x") }).map(drop);
    }
    if let Err(why) = &kamailio {
        say(&format!("without Kamailio: {why}"));
    }
    let mut generators = vec![Generator::own(programs)];
    if let Some(folder) = std::env::var_os("VERONA_LOADGEN") {
        generators.push(Generator::external(Path::new(&folder), scratch)?);
    }
    let mut parts = vec![];
    for generator in &generators {
        let make = |kind| Gateway {
            kind,
            programs: programs.to_owned(),
            scratch: scratch.to_owned(),
            null: generator.null.clone(),
            secure: None,
        };
        let mut ways = vec![];
        for name in ["s2x", "x2s"] {
            let kamailio = kamailio.is_ok().then(|| make(Kind::Kamailio));
            ways.push(one_way(name, generator, &make(Kind::Null), &make(Kind::Verona), kamailio.as_ref(), quick)?);
        }
        parts.push((generator.name, ways));
    }
    Ok(table::write(&parts, kamailio.as_ref().err().map(String::as_str)))
}

/// All runs of one way with one generator.
fn one_way(
    name: &'static str,
    generator: &Generator,
    null: &Gateway,
    verona: &Gateway,
    kamailio: Option<&Gateway>,
    quick: bool,
) -> Result<Way, String> {
    let mut way = Way { name, ..Way::default() };
    let seconds = if quick { 2.0 } else { 5.0 };
    let gateways = [Some(null), Some(verona), kamailio];
    for gateway in gateways.into_iter().flatten() {
        let label = format!("{name} {}: closed loop, 64 under way", gateway.kind.name());
        let run = gateway.run(generator, &Offer { count: if quick { 40_000 } else { 100_000 }, ..Offer::of(name) })?;
        report(&mut way, gateway.kind, label, run);
    }
    for gateway in gateways.into_iter().flatten().filter(|g| g.kind != Kind::Null) {
        let closed = way.find(gateway.kind, "closed").map_or(5_000.0, |o| o.per_second);
        let most = highest(name, generator, gateway, closed, if quick { 1.5 } else { 3.0 })?;
        say(&format!("{name} {}: sustains {most:.0}/s", gateway.kind.name()));
        way.most.push((gateway.kind, most));
        let label = format!("{name} {}: 80 % of that", gateway.kind.name());
        let run = gateway.run(generator, &Offer::open(name, most * 0.8, seconds))?;
        report(&mut way, gateway.kind, label, run);
    }
    let most = way.sustained(Kind::Verona).unwrap_or(5_000.0);
    let run = null.run(generator, &Offer::open(name, most * 0.8, seconds))?;
    report(&mut way, Kind::Null, format!("{name} nothing: at the same rate"), run);
    for factor in [1.5, 3.0] {
        let run = verona.run(generator, &Offer::open(name, most * factor, seconds))?;
        report(&mut way, Kind::Verona, format!("{name} verona: overload, {:.0} %", factor * 100.0), run);
    }
    let users = Offer {
        users: 100_000,
        count: 100_000.max((most * 0.5 * seconds) as usize),
        ..Offer::open(name, most * 0.5, seconds)
    };
    report(&mut way, Kind::Verona, format!("{name} verona: 100,000 users at 50 %"), verona.run(generator, &users)?);
    if name == "s2x" {
        // The other way a text of this length is refused: RFC 3428 §8.
        let large = Offer { body: 60_000, ..Offer::open(name, 500.0, seconds) };
        report(&mut way, Kind::Verona, format!("{name} verona: texts of 60,000 bytes"), verona.run(generator, &large)?);
    }
    Ok(way)
}

/// The highest rate that a gateway sustains: upwards in steps of an eighth from half of what it did in the closed loop, until two in a row
/// are too much.
fn highest(
    name: &'static str,
    generator: &Generator,
    gateway: &Gateway,
    closed: f64,
    seconds: f64,
) -> Result<f64, String> {
    let (mut best, mut failures, mut rate) = (0.0, 0, (closed * 0.5).max(500.0));
    while failures < 2 {
        let outcome = gateway.run(generator, &Offer::open(name, rate, seconds))?;
        let clean = outcome.delivered == outcome.sent
            && outcome.refused + outcome.duplicates + outcome.wrong == 0
            && outcome.p99 < LATE_MS
            && outcome.per_second > rate * 0.97;
        say(&format!("{name} {}: {rate:.0}/s {}", gateway.kind.name(), if clean { "sustained" } else { "too much" }));
        if clean {
            (best, failures) = (rate, 0);
        } else {
            failures += 1;
        }
        // Where already the first was too much, look below.
        rate = if best == 0.0 { rate * 0.7 } else { rate * 1.125 };
        if rate < 100.0 {
            break;
        }
        if best == 0.0 {
            failures = 0;
        }
    }
    Ok(best)
}

fn report(way: &mut Way, kind: Kind, label: String, outcome: Outcome) {
    say(&format!("{label}: {outcome}"));
    way.runs.push((kind, label, outcome));
}

impl Way {
    /// The first run of a gateway whose label contains `part`.
    pub(crate) fn find(&self, kind: Kind, part: &str) -> Option<&Outcome> {
        self.runs.iter().find(|(k, label, _)| *k == kind && label.contains(part)).map(|(_, _, outcome)| outcome)
    }

    /// What a gateway sustained.
    pub(crate) fn sustained(&self, kind: Kind) -> Option<f64> {
        self.most.iter().find(|(k, _)| *k == kind).map(|(_, rate)| *rate).filter(|r| *r > 0.0)
    }
}

pub(crate) fn cargo(folder: &Path, words: &[&str]) -> Result<(), String> {
    let status = Command::new("cargo").args(words).current_dir(folder).status().map_err(|e| format!("cargo: {e}"))?;
    if status.success() { Ok(()) } else { Err(format!("cargo {} failed", words.join(" "))) }
}
