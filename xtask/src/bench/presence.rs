//! Presence: what authorizations and dialogs take, how soon they are there again, and how fast changes are told.
//!
//! The store is filled by `verona store import` from what the generator makes up; the gateway then runs with it as it would after a
//! restart, and the generator plays the XMPP server and the phones.

use super::gateway::{Kind, PHONE, Running, SERVER, SIP};
use super::generator::{Generator, Offer, Outcome};
use super::table::{machine, said, verdict};
use super::{Gateway, say};
use serde_json::Value;
use std::fmt::Write as _;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

const ADMIN: &str = "127.0.0.1:25090";

/// What is asked: KiB for each authorization without a dialog, KiB for each live dialog more, seconds from the start to ready.
const PER_AUTHORIZATION: f64 = 1.2;
const PER_DIALOG: f64 = 4.0;
const READY: f64 = 10.0;

/// How long a start may take until it is given up.
const PATIENCE: Duration = Duration::from_secs(120);

/// How much of it.
#[derive(Debug, Clone, Copy)]
struct Size {
    authorizations: usize,
    live: usize,
    changes: usize,
}

/// Where things are.
struct Place {
    programs: PathBuf,
    folder: PathBuf,
}

/// What a gateway was seen to do.
struct Seen {
    /// Seconds from its start until /ready said so.
    ready: f64,
    report: Value,
    gateway: Running,
}

impl Seen {
    /// KiB when it had nothing more to ask.
    fn memory(&self) -> f64 {
        self.report["memory_kib"]["settled"].as_f64().unwrap_or(0.0)
    }
}

/// All of it, as Markdown.
pub(super) fn measure(programs: &Path, scratch: &Path, quick: bool) -> Result<String, String> {
    let size = if quick {
        Size { authorizations: 100_000, live: 10_000, changes: 50_000 }
    } else {
        Size { authorizations: 1_000_000, live: 100_000, changes: 200_000 }
    };
    let place = Place { programs: programs.to_owned(), folder: scratch.join("presence") };
    // What a run before this one left.
    let _ = std::fs::remove_dir_all(&place.folder);
    std::fs::create_dir_all(&place.folder).map_err(|e| format!("{}: {e}", place.folder.display()))?;

    let empty = place.run("empty", &[("--count", 0)])?;
    say(&format!("presence, nothing stored: {:.0} MiB", empty.memory() / 1024.0));
    let nothing = empty.memory();
    drop(empty);

    let took = place.import(size.authorizations, 0)?;
    let file = std::fs::metadata(place.folder.join("full.redb")).map_or(0, |m| m.len());
    say(&format!("presence: {} authorizations imported in {took:.0} s", size.authorizations));
    let idle = place.run("full", &[("--count", 0)])?;
    say(&format!("presence, idle: {:.0} MiB, ready after {:.2} s", idle.memory() / 1024.0, idle.ready));
    let (idle_memory, idle_ready) = (idle.memory(), idle.ready);
    drop(idle);

    place.import(size.live, size.live)?;
    let closed = [("--users", size.authorizations), ("--live", size.live), ("--count", size.changes)];
    let mut live = place.run("full", &[&closed[..], &[("--messages", size.changes)]].concat())?;
    say(&format!("presence, live: {:.0} MiB, ready after {:.2} s", live.memory() / 1024.0, live.ready));
    say(&live.report.to_string());
    live.gateway.kill();

    let rate = live.report["changes"]["per_second"].as_f64().unwrap_or(2000.0) / 2.0;
    let open = [("--users", size.authorizations), ("--live", size.live), ("--rate", rate as usize)];
    let again = place.run("full", &[&open[..], &[("--count", (rate * 5.0) as usize)]].concat())?;
    say(&format!("presence, after kill -9: ready after {:.2} s", again.ready));
    say(&again.report.to_string());
    let Seen { ready: crashed, report: open, gateway } = again;
    drop(gateway);

    let fresh = Gateway {
        kind: Kind::Verona,
        programs: programs.to_owned(),
        scratch: scratch.to_owned(),
        null: programs.join("nullgw"),
        secure: None,
    };
    let fresh = fresh.run(&Generator::own(programs), &Offer { count: size.changes, ..Offer::of("x2s") })?;
    say(&format!("presence, messages of a gateway without any: {fresh}"));
    let starts = Starts { idle: idle_ready, live: live.ready, crashed };
    let memory = Memory { nothing, idle: idle_memory, live: live.memory(), file: file as f64 / 1024.0 };
    Ok(write(size, quick, &memory, &starts, took, &live.report, &open, &fresh))
}

/// In KiB.
struct Memory {
    nothing: f64,
    idle: f64,
    live: f64,
    file: f64,
}

/// In seconds.
struct Starts {
    idle: f64,
    live: f64,
    crashed: f64,
}

impl Place {
    /// Fills the store, on top of what it has; the seconds that it took.
    fn import(&self, authorizations: usize, live: usize) -> Result<f64, String> {
        let config = self.config("full")?;
        let begun = Instant::now();
        let failed = |e: std::io::Error| format!("filling the store: {e}");
        let mut fill = Command::new(self.programs.join("verona-load"))
            .args(["presence", "fill", "--users", &authorizations.to_string(), "--live", &live.to_string()])
            .args(["--gateway", SIP, "--listen", PHONE])
            .stdout(Stdio::piped())
            .spawn()
            .map_err(failed)?;
        let lines = fill.stdout.take().map_or(Stdio::null(), Stdio::from);
        let import = Command::new(self.programs.join("verona"))
            .args(["store", "import", "-c"])
            .arg(config)
            .stdin(lines)
            .stdout(Stdio::null())
            .status();
        let filled = fill.wait().map_err(failed)?;
        if !filled.success() || !import.map_err(failed)?.success() {
            return Err("filling the store failed".to_owned());
        }
        Ok(begun.elapsed().as_secs_f64())
    }

    /// Starts a gateway, waits until it is ready, and has the generator do its part.
    fn run(&self, store: &str, words: &[(&str, usize)]) -> Result<Seen, String> {
        let config = self.config(store)?;
        let begun = Instant::now();
        let mut command = Command::new(self.programs.join("verona"));
        command.args(["run", "-c"]).arg(config).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let mut gateway = Running::start(&mut command).map_err(|e| format!("verona: {e}"))?;
        let generator = Command::new(self.programs.join("verona-load"))
            .args(["presence", "run", "--gateway", SIP, "--listen", PHONE, "--server", SERVER, "--watch"])
            .arg(gateway.id().to_string())
            .args(words.iter().flat_map(|(key, value)| [(*key).to_owned(), value.to_string()]))
            .stdout(Stdio::piped())
            .spawn()
            .map_err(|e| format!("verona-load: {e}"))?;
        while !is_ready() {
            if let Some(status) = gateway.ended() {
                return Err(format!("verona ended: {status}"));
            }
            if begun.elapsed() > PATIENCE {
                return Err("verona does not become ready".to_owned());
            }
            thread::sleep(Duration::from_millis(10));
        }
        let ready = begun.elapsed().as_secs_f64();
        let output = generator.wait_with_output().map_err(|e| format!("verona-load: {e}"))?;
        let report = serde_json::from_slice(&output.stdout).map_err(|e| format!("verona-load: {e}"))?;
        Ok(Seen { ready, report, gateway })
    }

    /// The limits are the defaults. A changed presence is told at once: what is measured is not the pace of RFC 3856 §6.10.
    fn config(&self, store: &str) -> Result<PathBuf, String> {
        let file = self.folder.join(format!("{store}.toml"));
        let text = format!(
            "[[xmpp.component]]\ndomain = \"example.net\"\nserver = \"{SERVER}\"\nsecret = \"secret\"\n\
             [sip]\ndomains = [\"example.com\"]\nlisten = [\"udp:{SIP}\"]\n\
             outbound_proxy = \"sip:{PHONE};transport=udp;lr\"\n[store]\nurl = \"redb:{store}.redb\"\n\
             [presence]\nnotify_interval = \"0s\"\n[admin]\nlisten = \"{ADMIN}\"\n\
             [xmpp]\nreconnect_max = \"1s\"\n[security]\nallow_networks = [\"127.0.0.0/8\"]\n[log]\nlevel = \"error\"\n"
        );
        std::fs::write(&file, text).map_err(|e| format!("{}: {e}", file.display()))?;
        Ok(file)
    }
}

/// Whether /ready says 200.
fn is_ready() -> bool {
    let ask = || {
        let mut stream = TcpStream::connect(ADMIN)?;
        stream.set_read_timeout(Some(Duration::from_secs(5)))?;
        stream.write_all(b"GET /ready HTTP/1.1\r\nHost: bench\r\nConnection: close\r\n\r\n")?;
        let mut page = String::new();
        stream.read_to_string(&mut page)?;
        std::io::Result::Ok(page.starts_with("HTTP/1.1 200"))
    };
    ask().unwrap_or(false)
}

#[expect(clippy::too_many_arguments, reason = "each is measured by itself")]
fn write(
    size: Size,
    quick: bool,
    memory: &Memory,
    starts: &Starts,
    import: f64,
    closed: &Value,
    open: &Value,
    fresh: &Outcome,
) -> String {
    let Size { authorizations, live, .. } = size;
    let date = said("date", &["-u", "+%Y-%m-%d"]);
    let flag = if quick { " --quick" } else { "" };
    let mut text = format!("{date}, {}. `cargo xtask bench --only presence{flag}`\n\n", machine());
    let mib = |kib: f64| format!("{:.0} MiB", kib / 1024.0);
    let each = |more: f64, count: usize| more / count.max(1) as f64;
    let (idle, dialog) = (each(memory.idle - memory.nothing, authorizations), each(memory.live - memory.idle, live));
    let number = |part: &Value, key: &str| part[key].as_f64().unwrap_or(0.0);
    let (changes, messages, paced) = (&closed["changes"], &closed["messages"], &open["changes"]);
    let (change, message) = (number(changes, "gateway_cpu_per_100k"), number(messages, "gateway_cpu_per_100k"));
    let bad = |part: &Value| {
        ["lost", "refused", "duplicates", "wrong_texts", "wrong_addresses"]
            .map(|key| number(part, key))
            .iter()
            .sum::<f64>()
    };
    let wrong =
        bad(changes) + bad(paced) + [closed, open].map(|r| number(r, "dialogs_told_wrong_at_last")).iter().sum::<f64>();
    let slowest = starts.idle.max(starts.live).max(starts.crashed);
    let rows = [
        (
            format!("memory: at most {PER_AUTHORIZATION} KiB for each of {authorizations} idle authorizations"),
            verdict(
                idle <= PER_AUTHORIZATION,
                &format!("{idle:.2} KiB ({}; with none {})", mib(memory.idle), mib(memory.nothing)),
            ),
        ),
        (
            format!("memory: at most {PER_DIALOG} KiB more for each of {live} live dialogs"),
            verdict(dialog <= PER_DIALOG, &format!("{dialog:.2} KiB ({})", mib(memory.live))),
        ),
        (
            format!("restart to ready: within {READY} s"),
            verdict(
                slowest <= READY,
                &format!(
                    "{:.2} s after kill -9 with all dialogs, {:.2} s after an orderly end, {:.2} s without dialogs",
                    starts.crashed, starts.live, starts.idle
                ),
            ),
        ),
        (
            "a change told as NOTIFY: at most the processor time of a single message, XMPP to SIP".to_owned(),
            verdict(
                change > 0.0 && change <= message,
                &format!(
                    "{:.2} times ({change:.2} s and {message:.2} s for 100,000)",
                    if message > 0.0 { change / message } else { 0.0 }
                ),
            ),
        ),
        (
            "nothing lost, refused, twice or wrong, and every dialog told the last state".to_owned(),
            verdict(wrong == 0.0, &format!("{wrong}")),
        ),
    ];
    text.push_str("| what is asked | measured |\n|---|---|\n");
    for (asked, measured) in rows {
        // Writing to a string cannot fail.
        let _ = writeln!(text, "| {asked} | {measured} |");
    }
    text.push_str(
        "\n| run | offered/s | delivered/s | sent | delivered | superseded | p50 ms | p99 ms | CPU s/100k |\n\
         |---|---|---|---|---|---|---|---|---|\n",
    );
    for (label, rate, part) in [
        ("changes, closed loop, 64 under way", 0.0, changes),
        ("messages of the same pairs, the same", 0.0, messages),
        ("changes at half of that rate, after kill -9", number(open, "rate"), paced),
    ] {
        let offered = if rate > 0.0 { format!("{rate:.0}") } else { "-".to_owned() };
        let _ = writeln!(
            text,
            "| {label} | {offered} | {:.0} | {} | {} | {} | {:.2} | {:.2} | {:.2} |",
            number(part, "per_second"),
            number(part, "sent"),
            number(part, "delivered"),
            number(part, "superseded"),
            number(&part["ms"], "p50"),
            number(&part["ms"], "p99"),
            number(part, "gateway_cpu_per_100k"),
        );
    }
    let _ = writeln!(
        text,
        "| messages, closed loop, 100 users, `memory:` and nothing stored | - | {:.0} | {} | {} | - | {:.2} | {:.2} | {:.2} |",
        fresh.per_second, fresh.sent, fresh.delivered, fresh.p50, fresh.p99, fresh.cpu
    );
    let settling = &closed["settling"];
    let _ = writeln!(
        text,
        "\nThe store: {authorizations} records imported in {import:.0} s, a file of {}. After the start with all dialogs the gateway asked \
         for {:.0} s: {} probes, {} questions for sessions and {} SUBSCRIBEs, for {:.1} s of processor time. The most memory seen while \
         all that went on: {}.",
        mib(memory.file),
        number(settling, "seconds"),
        number(settling, "probes"),
        number(settling, "sessions"),
        number(settling, "subscribes"),
        number(settling, "cpu"),
        mib(number(&closed["memory_kib"], "peak")),
    );
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn what_is_asked_is_judged() {
        let size = Size { authorizations: 1000, live: 100, changes: 10 };
        let memory = Memory { nothing: 1024.0, idle: 2048.0, live: 2548.0, file: 4096.0 };
        let starts = Starts { idle: 1.0, live: 2.0, crashed: 11.0 };
        let part = |cpu: f64| json!({ "gateway_cpu_per_100k": cpu, "lost": 0, "per_second": 10.0 });
        let closed = json!({ "changes": part(3.0), "messages": part(2.0), "dialogs_told_wrong_at_last": 1 });
        let open = json!({ "changes": part(3.0) });
        let text = write(size, true, &memory, &starts, 3.0, &closed, &open, &Outcome::default());
        for row in [
            "| 1.02 KiB (2 MiB; with none 1 MiB): yes |",
            "| 5.00 KiB (2 MiB): **no** |",
            "| 11.00 s after kill -9 with all dialogs, 2.00 s after an orderly end, 1.00 s without dialogs: **no** |",
            "| 1.50 times (3.00 s and 2.00 s for 100,000): **no** |",
            "| 1: **no** |",
            "`cargo xtask bench --only presence --quick`",
        ] {
            assert!(text.contains(row), "{row}: {text}");
        }
    }
}
