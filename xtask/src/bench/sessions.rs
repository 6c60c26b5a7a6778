//! Chat sessions: what thousands that are open take, how fast they open, and how fast messages go through them, beside a forwarder that does
//! nothing but what MSRP needs.

use super::gateway::{PHONE, Running, SERVER, SIP};
use super::say;
use super::table::{machine, said, verdict};
use serde_json::Value;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread;
use std::time::Duration;

/// Where the gateway and the forwarder listen for MSRP, and the phones.
const MSRP: &str = "127.0.0.1:25286";
const FORWARDER: &str = "127.0.0.1:25287";
const PHONES: &str = "25285";

/// What is asked: KiB for each open session, the part of the forwarder's rate, milliseconds.
const PER_SESSION: f64 = 16.0;
const OF_FORWARDER: f64 = 0.6;
const LATE: f64 = 5.0;

/// Transactions that the gateway may have. Those of an INVITE stay for 32 s (RFC 6026), so that the default ends thousands of set-ups a second
/// after some seconds with 503.
const TRANSACTIONS: usize = 200_000;

/// SIP connections, of which there are none here. Where a process may not have descriptors enough for all, what is left goes to MSRP.
const CONNECTIONS: usize = 256;

/// How much of it.
#[derive(Debug, Clone, Copy)]
struct Size {
    /// Sessions that stay open.
    open: usize,
    /// Sessions for the set-ups alone.
    setups: usize,
    messages: usize,
    rounds: usize,
}

/// Where things are.
struct Place {
    programs: PathBuf,
    folder: PathBuf,
}

/// One way of messages.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Route {
    Forwarder,
    FromPhones,
    ToPhones,
}

impl Route {
    const ALL: [Route; 3] = [Route::Forwarder, Route::FromPhones, Route::ToPhones];

    fn name(self) -> &'static str {
        match self {
            Route::Forwarder => "forwarder",
            Route::FromPhones => "MSRP to XMPP",
            Route::ToPhones => "XMPP to MSRP",
        }
    }

    /// Where the report has it.
    fn key(self) -> &'static str {
        match self {
            Route::Forwarder | Route::FromPhones => "s2x",
            Route::ToPhones => "x2s",
        }
    }
}

/// A run for the table of messages.
struct Run {
    label: String,
    rate: f64,
    part: Value,
}

/// All that is measured.
struct Measured {
    /// The closed loops: of the rounds that in the middle.
    closed: Vec<(Route, Run)>,
    half: Vec<(Route, Run)>,
    setups: Vec<(&'static str, Value)>,
    many: Value,
}

/// All of it, as Markdown.
pub(super) fn measure(programs: &Path, scratch: &Path, quick: bool) -> Result<String, String> {
    let size = if quick {
        Size { open: 5_000, setups: 2_000, messages: 50_000, rounds: 1 }
    } else {
        Size { open: 20_000, setups: 10_000, messages: 200_000, rounds: 3 }
    };
    let place = Place { programs: programs.to_owned(), folder: scratch.join("sessions") };
    std::fs::create_dir_all(&place.folder).map_err(|e| format!("{}: {e}", place.folder.display()))?;
    let mut closed: Vec<Vec<Value>> = vec![vec![]; Route::ALL.len()];
    for _ in 0..size.rounds {
        for (route, rounds) in Route::ALL.into_iter().zip(&mut closed) {
            rounds.push(place.messages(route, 0.0, size.messages)?);
        }
    }
    let closed: Vec<(Route, Run)> = Route::ALL
        .into_iter()
        .zip(closed)
        .map(|(route, mut rounds)| {
            rounds.sort_by(|a, b| rate(a).total_cmp(&rate(b)));
            let label = format!("{}: closed loop, 64 under way", route.name());
            (route, Run { label, rate: 0.0, part: rounds.swap_remove(rounds.len() / 2) })
        })
        .collect();
    let mut half = vec![];
    for (route, run) in &closed {
        let rate = rate(&run.part) / 2.0;
        let part = place.messages(*route, rate, (rate * 5.0) as usize)?;
        half.push((*route, Run { label: format!("{}: half of that", route.name()), rate, part }));
    }
    let mut setups = vec![];
    for (label, opened, store) in [
        ("by phones, `memory:`", "s2x", "memory:"),
        ("by phones, on disk", "s2x", "redb"),
        ("by XMPP users, `memory:`", "x2s", "memory:"),
        ("by XMPP users, on disk", "x2s", "redb"),
    ] {
        let words = [("--users", size.setups), ("--count", 0), ("--end", 1)];
        let report = place.gateway(store, &words, &[("--opened", opened)])?;
        say(&format!("sessions opened {label}: {}", report["opened"]));
        setups.push((label, report));
    }
    let words = [("--users", size.open), ("--count", size.messages), ("--settle", 40), ("--idle", 20), ("--end", 1)];
    let many = place.gateway("redb", &words, &[("--way", "both")])?;
    say(&many.to_string());
    Ok(write(size, quick, &Measured { closed, half, setups, many }))
}

impl Place {
    /// Messages through a hundred sessions.
    fn messages(&self, route: Route, rate: f64, count: usize) -> Result<Value, String> {
        let words = [("--users", 100), ("--count", count), ("--rate", rate as usize)];
        let report = match route {
            Route::Forwarder => self.forwarder(&words)?,
            Route::FromPhones | Route::ToPhones => self.gateway("memory:", &words, &[("--way", route.key())])?,
        };
        let part = report[route.key()].clone();
        say(&format!("sessions, {}, {rate:.0}/s: {part}", route.name()));
        Ok(part)
    }

    fn forwarder(&self, words: &[(&str, usize)]) -> Result<Value, String> {
        let port = FORWARDER.rsplit(':').next().unwrap_or_default();
        let mut command = Command::new(self.programs.join("nullmsrp"));
        command.arg(port);
        self.run("forward", &mut command, &["--gateway", FORWARDER], words)
    }

    /// Starts a gateway with this store, and has the generator do its part.
    fn gateway(&self, store: &str, words: &[(&str, usize)], texts: &[(&str, &str)]) -> Result<Value, String> {
        let file = self.folder.join("sessions.redb");
        let _ = std::fs::remove_file(&file);
        let url = if store == "memory:" { store.to_owned() } else { format!("redb:{}", file.display()) };
        let config = self.folder.join("verona.toml");
        std::fs::write(&config, configuration(&url)).map_err(|e| format!("{}: {e}", config.display()))?;
        let mut command = Command::new(self.programs.join("verona"));
        command.args(["run", "-c"]).arg(config);
        let mut given = vec!["--gateway", SIP, "--listen", PHONE, "--server", SERVER];
        given.extend(texts.iter().flat_map(|(key, value)| [*key, *value]));
        self.run("run", &mut command, &given, words)
    }

    fn run(&self, what: &str, command: &mut Command, given: &[&str], words: &[(&str, usize)]) -> Result<Value, String> {
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let mut running = Running::start(command).map_err(|e| format!("{command:?}: {e}"))?;
        thread::sleep(Duration::from_millis(300));
        if let Some(status) = running.ended() {
            return Err(format!("{command:?} ended at once: {status}"));
        }
        let mut generator = Command::new(self.programs.join("verona-load"));
        generator.args(["sessions", what, "--port", PHONES, "--watch", &running.id().to_string()]).args(given);
        for (key, value) in words {
            generator.args([key, value.to_string().as_str()]);
        }
        let output = generator.output().map_err(|e| format!("verona-load: {e}"))?;
        serde_json::from_slice(&output.stdout)
            .map_err(|_| format!("verona-load: {}", String::from_utf8_lossy(&output.stderr).trim()))
    }
}

/// The limits are the defaults, but for two.
fn configuration(store: &str) -> String {
    format!(
        "[[xmpp.component]]\ndomain = \"example.net\"\nserver = \"{SERVER}\"\nsecret = \"secret\"\n\
         [sip]\ndomains = [\"example.com\"]\nlisten = [\"udp:{SIP}\"]\n\
         outbound_proxy = \"sip:{PHONE};transport=udp;lr\"\n[msrp]\nlisten = [\"tcp:{MSRP}\"]\n[chat]\nmode = \"session\"\n\
         [store]\nurl = \"{store}\"\n[xmpp]\nreconnect_max = \"1s\"\n[security]\nallow_networks = [\"127.0.0.0/8\"]\n\
         [limits]\ntransactions = {TRANSACTIONS}\nconnections = {CONNECTIONS}\n[log]\nlevel = \"error\"\n"
    )
}

fn rate(part: &Value) -> f64 {
    number(part, "per_second")
}

fn number(part: &Value, key: &str) -> f64 {
    part[key].as_f64().unwrap_or(0.0)
}

/// What should not have happened.
fn bad(part: &Value) -> f64 {
    let keys = ["lost", "refused", "unanswered", "duplicates", "wrong_texts", "wrong_addresses", "out_of_order"];
    keys.map(|key| number(part, key)).iter().sum()
}

fn of(runs: &[(Route, Run)], route: Route) -> &Value {
    runs.iter().find(|(r, _)| *r == route).map_or(&Value::Null, |(_, run)| &run.part)
}

fn write(size: Size, quick: bool, measured: &Measured) -> String {
    let Measured { closed, half, setups, many } = measured;
    let date = said("date", &["-u", "+%Y-%m-%d"]);
    let flag = if quick { " --quick" } else { "" };
    let mut text = format!("{date}, {}. `cargo xtask bench --only sessions{flag}`\n\n", machine());
    let memory = |key: &str, kind: &str| many["memory_kib"][key][kind].as_f64().unwrap_or(0.0);
    let each = |kind: &str| (memory("idle", kind) - memory("before", kind)) / size.open as f64;
    let forwarder = rate(of(closed, Route::Forwarder)).max(1.0);
    let parts = closed.iter().chain(half).map(|(_, run)| &run.part);
    let of_report = |report: &Value| {
        let parts = ["opened", "s2x", "x2s", "ended"].map(|key| bad(&report[key])).iter().sum::<f64>();
        parts + number(report, "strange") + number(report, "lines_lost")
    };
    let of_setups = setups.iter().map(|(_, report)| of_report(report)).sum::<f64>();
    let wrong = parts.map(bad).sum::<f64>() + of_setups + of_report(many);
    let mut rows = vec![(
        format!("memory: at most {PER_SESSION} KiB for each of {} open sessions", size.open),
        verdict(
            each("rss") <= PER_SESSION,
            &format!(
                "{:.1} KiB (RSS; {:.1} PSS; {:.0} MiB, without any {:.0})",
                each("rss"),
                each("pss"),
                memory("idle", "rss") / 1024.0,
                memory("before", "rss") / 1024.0
            ),
        ),
    )];
    for route in [Route::FromPhones, Route::ToPhones] {
        let ours = rate(of(closed, route));
        rows.push((
            format!("{}: at least {:.0} % of the forwarder's rate", route.name(), OF_FORWARDER * 100.0),
            verdict(
                ours / forwarder >= OF_FORWARDER,
                &format!("{:.0} % ({ours:.0}/s, {forwarder:.0}/s)", ours / forwarder * 100.0),
            ),
        ));
        let p99 = number(&of(half, route)["ms"], "p99");
        let other = number(&of(half, Route::Forwarder)["ms"], "p99");
        rows.push((
            format!("{}: p99 under {LATE} ms at half load", route.name()),
            verdict(p99 > 0.0 && p99 < LATE, &format!("{p99:.2} ms (the forwarder's {other:.2})")),
        ));
    }
    rows.push((
        "nothing lost, refused, twice, wrong or out of order".to_owned(),
        verdict(wrong == 0.0, &format!("{wrong}")),
    ));
    text.push_str("| what is asked | measured |\n|---|---|\n");
    for (asked, measured) in rows {
        // Writing to a string cannot fail.
        let _ = writeln!(text, "| {asked} | {measured} |");
    }
    text.push_str(
        "\n| run | offered/s | delivered/s | sent | p50 ms | p99 ms | CPU s/100k | of the generator |\n\
         |---|---|---|---|---|---|---|---|\n",
    );
    let row = |text: &mut String, label: &str, rate: f64, part: &Value| {
        let offered = if rate > 0.0 { format!("{rate:.0}") } else { "-".to_owned() };
        let _ = writeln!(
            text,
            "| {label} | {offered} | {:.0} | {} | {:.2} | {:.2} | {:.2} | {:.2} |",
            number(part, "per_second"),
            number(part, "sent"),
            number(&part["ms"], "p50"),
            number(&part["ms"], "p99"),
            number(part, "gateway_cpu_per_100k"),
            number(part, "own_cpu_per_100k"),
        );
    };
    for (_, run) in closed.iter().chain(half) {
        row(&mut text, &run.label, run.rate, &run.part);
    }
    for route in [Route::FromPhones, Route::ToPhones] {
        let label = format!("{}: closed loop, {} sessions open", route.name(), size.open);
        row(&mut text, &label, 0.0, &many[route.key()]);
    }
    text.push_str(
        "\n| sessions | opened/s | p50 ms | p99 ms | CPU µs each | ended/s | CPU µs each |\n|---|---|---|---|---|---|---|\n",
    );
    let all = format!("{}, in turns, on disk", size.open);
    let some: Vec<_> = setups.iter().map(|(label, report)| (format!("{} {label}", size.setups), report)).collect();
    for (label, report) in some.iter().map(|(label, report)| (label, *report)).chain([(&all, many)]) {
        let (opened, ended) = (&report["opened"], &report["ended"]);
        let _ = writeln!(
            text,
            "| {label} | {:.0} | {:.1} | {:.1} | {:.0} | {:.0} | {:.0} |",
            number(opened, "per_second"),
            number(&opened["ms"], "p50"),
            number(&opened["ms"], "p99"),
            number(opened, "gateway_cpu_per_100k") * 10.0,
            number(ended, "per_second"),
            number(ended, "gateway_cpu_per_100k") * 10.0,
        );
    }
    let idle = &many["idle"];
    let _ = writeln!(
        text,
        "\nThe {} sessions had {} connections. While nobody said anything for {} s the gateway took {:.2} s of processor time. Its memory (RSS): \
         {:.0} MiB when the last one was open, {:.0} MiB 40 s later, {:.0} MiB at most, {:.0} MiB when all had ended.",
        size.open,
        number(many, "lines"),
        number(idle, "seconds"),
        number(idle, "cpu"),
        memory("open", "rss") / 1024.0,
        memory("settled", "rss") / 1024.0,
        number(&many["memory_kib"], "peak") / 1024.0,
        memory("after", "rss") / 1024.0,
    );
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn what_is_asked_is_judged() {
        let size = Size { open: 1000, setups: 10, messages: 10, rounds: 1 };
        let part = |rate: f64, p99: f64| json!({ "per_second": rate, "ms": { "p50": 0.5, "p99": p99 } });
        let runs = |parts: [(f64, f64); 3]| {
            let run = |(route, (rate, p99)): (Route, (f64, f64))| {
                (route, Run { label: route.name().to_owned(), rate, part: part(rate, p99) })
            };
            Route::ALL.into_iter().zip(parts).map(run).collect::<Vec<_>>()
        };
        let memory = |kib: u64| json!({ "rss": kib, "pss": kib });
        let mut many = json!({ "memory_kib": { "before": memory(1000), "idle": memory(18_000), "open": memory(18_000) }, "lines": 900 });
        many["x2s"] = json!({ "out_of_order": 2 });
        let measured = Measured {
            closed: runs([(1000.0, 1.0), (700.0, 1.0), (500.0, 1.0)]),
            half: runs([(500.0, 1.5), (350.0, 4.0), (250.0, 6.0)]),
            setups: vec![("by phones", json!({ "opened": { "gateway_cpu_per_100k": 12.0, "lost": 1 } }))],
            many,
        };
        let text = write(size, true, &measured);
        for row in [
            "| 17.0 KiB (RSS; 17.0 PSS; 18 MiB, without any 1): **no** |",
            "| MSRP to XMPP: at least 60 % of the forwarder's rate | 70 % (700/s, 1000/s): yes |",
            "| XMPP to MSRP: at least 60 % of the forwarder's rate | 50 % (500/s, 1000/s): **no** |",
            "| 4.00 ms (the forwarder's 1.50): yes |",
            "| 6.00 ms (the forwarder's 1.50): **no** |",
            "| 3: **no** |",
            "| 10 by phones | 0 | 0.0 | 0.0 | 120 | 0 | 0 |",
            "`cargo xtask bench --only sessions --quick`",
        ] {
            assert!(text.contains(row), "{row}: {text}");
        }
    }
}
