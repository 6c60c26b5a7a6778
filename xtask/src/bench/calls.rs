//! Calls: how fast they are set up, for how much processor time, and what thousands that go on take; beside a B2BUA that does nothing, Kamailio
//! as a proxy, and sipp to sipp without anything between them.

use super::gateway::{PHONE, Running, SERVER, SIP};
use super::table::{machine, said, verdict};
use super::{kamailio, say};
use serde_json::Value;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread;
use std::time::Duration;

/// What is asked: KiB for each call that goes on.
const PER_CALL: f64 = 24.0;

/// Transactions that the gateway may have. Those of an INVITE stay for 32 s (RFC 6026), so that the default ends thousands of set-ups a second
/// after some seconds with 503.
const TRANSACTIONS: usize = 200_000;

/// How much of it.
#[derive(Debug, Clone, Copy)]
struct Size {
    /// Calls that go on.
    held: usize,
    /// Calls for the set-ups alone.
    setups: usize,
    rounds: usize,
}

/// Where things are.
struct Place {
    programs: PathBuf,
    folder: PathBuf,
}

/// What the calls go through.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Through {
    /// SIP to SIP, with two dialogs and nothing else.
    Nothing,
    /// SIP to SIP.
    Kamailio,
    /// SIP calls XMPP.
    FromSip,
    /// XMPP calls SIP.
    FromXmpp,
    /// sipp to sipp.
    Sipp,
    SippNothing,
    SippKamailio,
}

impl Through {
    const ALL: [Through; 7] = [
        Through::Nothing,
        Through::Kamailio,
        Through::FromSip,
        Through::FromXmpp,
        Through::Sipp,
        Through::SippNothing,
        Through::SippKamailio,
    ];

    fn name(self) -> &'static str {
        match self {
            Through::Nothing => "phone to phone, B2BUA that does nothing",
            Through::Kamailio => "phone to phone, Kamailio as proxy",
            Through::FromSip => "verona, SIP calls XMPP",
            Through::FromXmpp => "verona, XMPP calls SIP",
            Through::Sipp => "sipp to sipp, directly",
            Through::SippNothing => "sipp to sipp, B2BUA that does nothing",
            Through::SippKamailio => "sipp to sipp, Kamailio as proxy",
        }
    }

    fn is_ours(self) -> bool {
        matches!(self, Through::FromSip | Through::FromXmpp)
    }

    fn has_kamailio(self) -> bool {
        matches!(self, Through::Kamailio | Through::SippKamailio)
    }

    fn is_sipp(self) -> bool {
        matches!(self, Through::Sipp | Through::SippNothing | Through::SippKamailio)
    }
}

/// A run for the table.
struct Run {
    through: Through,
    label: String,
    rate: f64,
    report: Value,
}

/// All that is measured.
struct Measured {
    runs: Vec<Run>,
    held: Value,
    /// Why there is no Kamailio or no sipp.
    without: Vec<String>,
}

/// All of it, as Markdown.
pub(super) fn measure(programs: &Path, scratch: &Path, quick: bool) -> Result<String, String> {
    let size = if quick {
        Size { held: 2_000, setups: 2_000, rounds: 1 }
    } else {
        Size { held: 10_000, setups: 10_000, rounds: 3 }
    };
    let place = Place { programs: programs.to_owned(), folder: scratch.join("calls") };
    std::fs::create_dir_all(&place.folder).map_err(|e| format!("{}: {e}", place.folder.display()))?;
    let mut without = vec![];
    for program in ["kamailio", "sipp"] {
        if Command::new(program).arg("-v").output().is_err() {
            without.push(program.to_owned());
        }
    }
    let there = |through: &Through| {
        let lacks = |program: &str| without.iter().any(|w| w == program);
        !(through.has_kamailio() && lacks("kamailio") || through.is_sipp() && lacks("sipp"))
    };
    let all: Vec<Through> = Through::ALL.into_iter().filter(there).collect();
    let mut closed: Vec<Vec<Value>> = vec![vec![]; all.len()];
    for _ in 0..size.rounds {
        for (through, rounds) in all.iter().zip(&mut closed) {
            rounds.push(place.calls(*through, 0.0, size.setups)?);
        }
    }
    let mut runs: Vec<Run> = vec![];
    for (through, mut rounds) in all.into_iter().zip(closed) {
        rounds.sort_by(|a, b| rate(a).total_cmp(&rate(b)));
        let label = format!("{}: closed loop", through.name());
        runs.push(Run { through, label, rate: 0.0, report: rounds.swap_remove(rounds.len() / 2) });
    }
    for at in 0..runs.len() {
        let (through, rate) = (runs[at].through, rate(&runs[at].report) / 2.0);
        let seconds = if through.is_ours() { 5.0 } else { 2.0 };
        // sipp writes times a hundred at once.
        let report = place.calls(through, rate, ((rate * seconds) as usize / 100 * 100).max(100))?;
        runs.push(Run { through, label: format!("{}: half of that", through.name()), rate, report });
    }
    let words = [("--users", size.held), ("--settle", 40), ("--idle", 20), ("--end", 1)];
    let held = place.gateway("redb", &words, "both")?;
    say(&format!("calls held: {held}"));
    Ok(write(size, quick, &Measured { runs, held, without }))
}

impl Place {
    /// Calls that are set up, and ended.
    fn calls(&self, through: Through, rate: f64, count: usize) -> Result<Value, String> {
        let words = [("--users", count), ("--rate", rate as usize), ("--end", 1)];
        let report = match through {
            Through::FromSip => self.gateway("memory:", &words, "s2x")?,
            Through::FromXmpp => self.gateway("memory:", &words, "x2s")?,
            Through::Nothing => self.load("forward", Some(&mut self.nothing()), &[], &words)?,
            Through::Kamailio => self.load("forward", Some(&mut kamailio::proxy(&self.folder)?), &[], &words)?,
            Through::Sipp | Through::SippNothing | Through::SippKamailio => {
                let mut between = match through {
                    Through::SippNothing => Some(self.nothing()),
                    Through::SippKamailio => Some(kamailio::proxy(&self.folder)?),
                    _ => None,
                };
                let folder = self.folder.to_string_lossy();
                let words = [("--count", count), ("--rate", rate as usize)];
                let report = self.load("sipp", between.as_mut(), &["--folder", &folder], &words)?;
                serde_json::json!({ "begun": report })
            }
        };
        say(&format!("calls, {}, {rate:.0}/s: {report}", through.name()));
        Ok(report)
    }

    fn nothing(&self) -> Command {
        let mut command = Command::new(self.programs.join("nullb2bua"));
        command.args([SIP, PHONE]);
        command
    }

    /// Starts a gateway with this store, and has the generator do its part.
    fn gateway(&self, store: &str, words: &[(&str, usize)], begun: &str) -> Result<Value, String> {
        let file = self.folder.join("calls.redb");
        let _ = std::fs::remove_file(&file);
        let url = if store == "memory:" { store.to_owned() } else { format!("redb:{}", file.display()) };
        let config = self.folder.join("verona.toml");
        std::fs::write(&config, configuration(&url)).map_err(|e| format!("{}: {e}", config.display()))?;
        let mut command = Command::new(self.programs.join("verona"));
        command.args(["run", "-c"]).arg(config);
        self.load("run", Some(&mut command), &["--server", SERVER, "--begun", begun], words)
    }

    /// Starts what is between, if anything is, and has the generator do its part.
    fn load(
        &self,
        what: &str,
        command: Option<&mut Command>,
        given: &[&str],
        words: &[(&str, usize)],
    ) -> Result<Value, String> {
        let mut generator = Command::new(self.programs.join("verona-load"));
        generator.args(["calls", what, "--listen", PHONE, "--gateway", if command.is_some() { SIP } else { PHONE }]);
        let mut running = None;
        if let Some(command) = command {
            command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
            let mut between = Running::start(command).map_err(|e| format!("{command:?}: {e}"))?;
            // Kamailio takes its time.
            thread::sleep(Duration::from_millis(if what == "run" { 300 } else { 1000 }));
            if let Some(status) = between.ended() {
                return Err(format!("{command:?} ended at once: {status}"));
            }
            generator.args(["--watch", &between.id().to_string()]);
            running = Some(between);
        }
        generator.args(given);
        if what != "run" {
            // What a proxy has no room for is lost: these phones do not repeat themselves.
            generator.args(["--patience", "5"]);
        }
        for (key, value) in words {
            generator.args([key, value.to_string().as_str()]);
        }
        let output = generator.output().map_err(|e| format!("verona-load: {e}"))?;
        drop(running);
        serde_json::from_slice(&output.stdout)
            .map_err(|_| format!("verona-load: {}", String::from_utf8_lossy(&output.stderr).trim()))
    }
}

/// The limits are the defaults, but for one. There is no relay, and none is missed: what both ends say is carried as it is.
fn configuration(store: &str) -> String {
    format!(
        "[[xmpp.component]]\ndomain = \"example.net\"\nserver = \"{SERVER}\"\nsecret = \"secret\"\n\
         [sip]\ndomains = [\"example.com\"]\nlisten = [\"udp:{SIP}\"]\n\
         outbound_proxy = \"sip:{PHONE};transport=udp;lr\"\n[media]\nenabled = true\nmode = \"never\"\n\
         [store]\nurl = \"{store}\"\n[xmpp]\nreconnect_max = \"1s\"\n[security]\nallow_networks = [\"127.0.0.0/8\"]\n\
         [limits]\ntransactions = {TRANSACTIONS}\n[log]\nlevel = \"error\"\n"
    )
}

fn rate(report: &Value) -> f64 {
    number(&report["begun"], "per_second")
}

fn number(part: &Value, key: &str) -> f64 {
    part[key].as_f64().unwrap_or(0.0)
}

/// Microseconds of processor time of whatever is between, for a call from its beginning to its end.
fn whole(report: &Value) -> f64 {
    number(&report["begun"], "gateway_us") + number(&report["ended"], "gateway_us")
}

/// What should not have happened.
fn bad(report: &Value) -> f64 {
    let keys = ["lost", "refused", "unanswered", "duplicates", "wrong_texts", "wrong_addresses"];
    let of_part = |part: &Value| keys.map(|key| number(part, key)).iter().sum::<f64>();
    of_part(&report["begun"]) + of_part(&report["ended"]) + number(report, "strange")
}

fn write(size: Size, quick: bool, measured: &Measured) -> String {
    let Measured { runs, held, without } = measured;
    let date = said("date", &["-u", "+%Y-%m-%d"]);
    let flag = if quick { " --quick" } else { "" };
    let mut text = format!("{date}, {}. `cargo xtask bench --only calls{flag}`\n\n", machine());
    for program in without {
        // Writing to a string cannot fail.
        let _ = writeln!(text, "Without {program}, which is not installed.\n");
    }
    text.push_str("| what is asked | measured |\n|---|---|\n");
    for (asked, measured) in judged(size, runs, held) {
        let _ = writeln!(text, "| {asked} | {measured} |");
    }
    text.push_str(
        "\n| run | offered/s | set up/s | p50 ms | p99 ms | CPU µs to set up | to end | of the generator | lost or wrong |\n\
         |---|---|---|---|---|---|---|---|---|\n",
    );
    let row = |text: &mut String, label: &str, rate: f64, report: &Value| {
        let offered = if rate > 0.0 { format!("{rate:.0}") } else { "-".to_owned() };
        let (begun, ended) = (&report["begun"], &report["ended"]);
        let end = if ended.is_null() { "both".to_owned() } else { format!("{:.0}", number(ended, "gateway_us")) };
        let _ = writeln!(
            text,
            "| {label} | {offered} | {:.0} | {:.2} | {:.2} | {:.0} | {end} | {:.0} | {:.0} |",
            number(begun, "per_second"),
            number(&begun["ms"], "p50"),
            number(&begun["ms"], "p99"),
            number(begun, "gateway_us"),
            number(begun, "own_us") + number(ended, "own_us"),
            bad(report),
        );
    };
    for run in runs {
        row(&mut text, &run.label, run.rate, &run.report);
    }
    row(&mut text, &format!("verona, {} calls, in turns, on disk: closed loop", size.held), 0.0, held);
    let idle = &held["idle"];
    let memory = |key: &str| number(&held["memory_kib"][key], "rss") / 1024.0;
    let _ = writeln!(
        text,
        "\nWhile the {} people talked for {} s the gateway took {:.2} s of processor time. Its memory (RSS): {:.0} MiB when the last call was \
         there, {:.0} MiB 40 s later, {:.0} MiB when all had ended.",
        size.held,
        number(idle, "seconds"),
        number(idle, "cpu"),
        memory("open"),
        memory("settled"),
        memory("after"),
    );
    text
}

/// What is asked, and how it is.
fn judged(size: Size, runs: &[Run], held: &Value) -> Vec<(String, String)> {
    let memory = |key: &str, kind: &str| number(&held["memory_kib"][key], kind);
    let each = |kind: &str| (memory("idle", kind) - memory("before", kind)) / size.held as f64;
    let mut rows = vec![(
        format!("memory: at most {PER_CALL} KiB for each of {} calls that go on", size.held),
        verdict(
            each("rss") <= PER_CALL,
            &format!(
                "{:.1} KiB (RSS; {:.1} PSS; {:.0} MiB, without any {:.0})",
                each("rss"),
                each("pss"),
                memory("idle", "rss") / 1024.0,
                memory("before", "rss") / 1024.0
            ),
        ),
    )];
    let closed = |through: Through| {
        runs.iter().find(|run| run.through == through && run.rate == 0.0).map_or(&Value::Null, |run| &run.report)
    };
    for ours in [Through::FromSip, Through::FromXmpp] {
        let mut beside = vec![];
        for (name, other) in
            [("the B2BUA's that does nothing", Through::Nothing), ("Kamailio's as proxy", Through::Kamailio)]
        {
            let other = whole(closed(other));
            if other > 0.0 {
                beside.push(format!("{:.1} times {name} ({other:.0})", whole(closed(ours)) / other));
            }
        }
        rows.push((
            format!("{}: processor time of a call beside that of others", ours.name()),
            format!("{:.0} µs: {}", whole(closed(ours)), beside.join(", ")),
        ));
        rows.push((
            format!("{}: set-ups a second, beside a B2BUA that does nothing", ours.name()),
            format!("{:.0} ({:.0})", rate(closed(ours)), rate(closed(Through::Nothing))),
        ));
    }
    let ours = runs.iter().filter(|run| run.through.is_ours());
    let wrong = ours.map(|run| bad(&run.report)).sum::<f64>() + bad(held);
    rows.push(("verona: nothing lost, refused, twice or wrong".to_owned(), verdict(wrong == 0.0, &format!("{wrong}"))));
    rows
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn what_is_asked_is_judged() {
        let size = Size { held: 1000, setups: 10, rounds: 1 };
        let report = |rate: f64, us: f64| json!({ "begun": { "per_second": rate, "gateway_us": us, "ms": { "p50": 0.5, "p99": 2.0 } }, "ended": { "gateway_us": us } });
        let run = |through: Through, rate, us| Run {
            through,
            label: format!("{}: closed loop", through.name()),
            rate: 0.0,
            report: report(rate, us),
        };
        let runs = vec![
            run(Through::Nothing, 9000.0, 20.0),
            run(Through::FromSip, 5000.0, 80.0),
            run(Through::FromXmpp, 4000.0, 100.0),
            Run {
                through: Through::Sipp,
                label: "sipp".to_owned(),
                rate: 7.0,
                report: json!({ "begun": { "lost": 1 } }),
            },
        ];
        let memory = |kib: u64| json!({ "rss": kib, "pss": kib });
        let mut held = report(3000.0, 1.0);
        held["memory_kib"] = json!({ "before": memory(1000), "idle": memory(26_000) });
        held["ended"]["wrong_texts"] = 2.into();
        let text = write(size, true, &Measured { runs, held, without: vec!["kamailio".to_owned()] });
        for row in [
            "Without kamailio",
            "| 25.0 KiB (RSS; 25.0 PSS; 25 MiB, without any 1): **no** |",
            "| 160 µs: 4.0 times the B2BUA's that does nothing (40) |",
            "| 4000 (9000) |",
            "| 2: **no** |",
            "| verona, SIP calls XMPP: closed loop | - | 5000 | 0.50 | 2.00 | 80 | 80 | 0 | 0 |",
            "| sipp | 7 | 0 | 0.00 | 0.00 | 0 | both | 0 | 1 |",
            "`cargo xtask bench --only calls --quick`",
        ] {
            assert!(text.contains(row), "{row}: {text}");
        }
    }
}
