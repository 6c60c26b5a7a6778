//! Rooms with SIP users and XMPP users in them: what a message to all costs for each who gets it, beside as many messages from one to one; how long
//! it takes until a crowd is in and everybody knows of everybody; what a place takes.

use super::gateway::{PHONE, Running, SERVER, SIP};
use super::say;
use super::table::{machine, said, verdict};
use serde_json::Value;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread;
use std::time::Duration;

/// Where the gateway listens for MSRP, and the phones.
const MSRP: &str = "127.0.0.1:25286";
const PHONES: &str = "25285";

/// What is asked: processor time of a delivery, as a multiple of that of a message from one to one; and of one in a large room, of that in rooms of ten.
const OF_ONE_TO_ONE: f64 = 1.5;
const LINEAR: f64 = 1.5;

/// See [`super::sessions`]: those of an INVITE stay for 32 s.
const TRANSACTIONS: usize = 200_000;
const CONNECTIONS: usize = 256;

/// How long nothing is done before memory is looked at, in seconds.
const SETTLE: usize = 10;

/// How much of it.
#[derive(Debug, Clone, Copy)]
struct Size {
    /// People of each kind in the large room.
    large: usize,
    /// Rooms of two and two.
    small: usize,
    /// Deliveries each way.
    deliveries: usize,
    rounds: usize,
}

/// So many rooms, with so many people of each kind in each.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Shape {
    rooms: usize,
    each: usize,
}

impl Shape {
    fn name(self) -> String {
        let rooms = if self.rooms == 1 { "one room".to_owned() } else { format!("{} rooms", self.rooms) };
        format!("{rooms} of {} SIP and {} XMPP users", self.each, self.each)
    }

    fn places(self) -> usize {
        self.rooms * self.each
    }

    /// Deliveries under way: at least one text to all.
    fn window(self) -> usize {
        self.each.max(64)
    }
}

/// Who speaks, as the reports have it.
const WAYS: [(&str, &str); 2] = [("x2s", "XMPP users speak"), ("s2x", "SIP users speak")];

/// A shape, and each round with it: the rooms' report, and that of one to one.
struct Shaped {
    shape: Shape,
    rounds: Vec<(Value, Value)>,
}

/// Where things are.
struct Place {
    programs: PathBuf,
    folder: PathBuf,
}

/// All of it, as Markdown.
pub(super) fn measure(programs: &Path, scratch: &Path, quick: bool) -> Result<String, String> {
    let size = if quick {
        Size { large: 100, small: 100, deliveries: 20_000, rounds: 1 }
    } else {
        Size { large: 1_000, small: 1_000, deliveries: 200_000, rounds: 3 }
    };
    let place = Place { programs: programs.to_owned(), folder: scratch.join("rooms") };
    std::fs::create_dir_all(&place.folder).map_err(|e| format!("{}: {e}", place.folder.display()))?;
    let mut shaped: Vec<Shaped> = [Shape { rooms: 1, each: size.large }, Shape { rooms: size.small, each: 2 }]
        .map(|shape| Shaped { shape, rounds: vec![] })
        .into();
    for round in 1..=size.rounds {
        for Shaped { shape, rounds } in &mut shaped {
            let one_to_one = place.one_to_one(*shape, size)?;
            let rooms = place.rooms(*shape, size, round == size.rounds)?;
            rounds.push((rooms, one_to_one));
        }
    }
    let mut linear = vec![];
    for each in [10, 100].into_iter().filter(|each| *each < size.large) {
        let shape = Shape { rooms: size.large / each, each };
        // As much under way as in the large room, or the one would have larger batches than the other.
        linear.push((shape, place.generator("rooms", &rooms_words(shape, size, size.large), &[])?));
    }
    Ok(write(size, quick, &shaped, &linear))
}

fn rooms_words(shape: Shape, size: Size, window: usize) -> Vec<(&'static str, usize)> {
    let Shape { rooms, each } = shape;
    let entering = if rooms == 1 { each } else { 64 };
    vec![
        ("--rooms", rooms),
        ("--sip", each),
        ("--xmpp", each),
        ("--entering", entering),
        ("--count", size.deliveries),
        ("--window", window),
    ]
}

impl Place {
    fn rooms(&self, shape: Shape, size: Size, half: bool) -> Result<Value, String> {
        let mut words = rooms_words(shape, size, shape.window());
        words.extend([("--settle", SETTLE), ("--half", if half { 5 } else { 0 }), ("--end", 1)]);
        self.generator("rooms", &words, &[])
    }

    /// As many messages in as many sessions, of one SIP user and one XMPP user each.
    fn one_to_one(&self, shape: Shape, size: Size) -> Result<Value, String> {
        let words = [("--users", shape.places()), ("--count", size.deliveries), ("--window", shape.window())];
        self.generator("sessions", &words, &[("--opened", "s2x")])
    }

    /// Starts a gateway, and has the generator do its part.
    fn generator(&self, what: &str, words: &[(&str, usize)], texts: &[(&str, &str)]) -> Result<Value, String> {
        let config = self.folder.join("verona.toml");
        std::fs::write(&config, configuration()).map_err(|e| format!("{}: {e}", config.display()))?;
        let mut command = Command::new(self.programs.join("verona"));
        command.args(["run", "-c"]).arg(config).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let mut running = Running::start(&mut command).map_err(|e| format!("{command:?}: {e}"))?;
        thread::sleep(Duration::from_millis(300));
        if let Some(status) = running.ended() {
            return Err(format!("{command:?} ended at once: {status}"));
        }
        let mut generator = Command::new(self.programs.join("verona-load"));
        generator.args([what, "run", "--way", "both", "--gateway", SIP, "--listen", PHONE, "--server", SERVER]);
        generator.args(["--port", PHONES, "--watch", &running.id().to_string()]);
        for (key, value) in texts {
            generator.args([key, value]);
        }
        for (key, value) in words {
            generator.args([key, value.to_string().as_str()]);
        }
        let output = generator.output().map_err(|e| format!("verona-load: {e}"))?;
        let report: Value = serde_json::from_slice(&output.stdout)
            .map_err(|_| format!("verona-load: {}", String::from_utf8_lossy(&output.stderr).trim()))?;
        say(&format!("{what} {words:?}: {report}"));
        Ok(report)
    }
}

/// The limits are the defaults, but for two.
fn configuration() -> String {
    format!(
        "[[xmpp.component]]\ndomain = \"example.net\"\nserver = \"{SERVER}\"\nsecret = \"secret\"\n\
         [sip]\ndomains = [\"example.com\", \"rooms.example.com\"]\nlisten = [\"udp:{SIP}\"]\n\
         outbound_proxy = \"sip:{PHONE};transport=udp;lr\"\n[msrp]\nlisten = [\"tcp:{MSRP}\"]\n[chat]\nmode = \"session\"\n\
         [rooms]\nmuc_domains = [\"rooms.example.com\"]\n[store]\nurl = \"memory:\"\n[xmpp]\nreconnect_max = \"1s\"\n\
         [security]\nallow_networks = [\"127.0.0.0/8\"]\n\
         [limits]\ntransactions = {TRANSACTIONS}\nconnections = {CONNECTIONS}\n[log]\nlevel = \"error\"\n"
    )
}

fn number(part: &Value, key: &str) -> f64 {
    part[key].as_f64().unwrap_or(0.0)
}

fn cpu(part: &Value) -> f64 {
    number(part, "gateway_cpu_per_100k")
}

/// What should not have happened.
fn bad(part: &Value) -> f64 {
    let keys = ["lost", "refused", "unanswered", "duplicates", "wrong_texts", "wrong_addresses", "out_of_order"];
    keys.map(|key| number(part, key)).iter().sum()
}

fn bad_in_rooms(report: &Value) -> f64 {
    let parts = ["entered", "knowing", "left"].map(|key| bad(&report[key])).iter().sum::<f64>();
    let talks = WAYS.iter().flat_map(|(way, _)| report[*way].as_array().into_iter().flatten()).map(bad).sum::<f64>();
    let half = WAYS.iter().map(|(way, _)| bad(&report["half"][*way])).sum::<f64>();
    let others = ["strange", "gaps", "strangers", "lines_lost"].map(|key| number(report, key)).iter().sum::<f64>();
    parts + talks + half + others
}

/// The one in the middle.
fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(0.0)
}

impl Shaped {
    /// Processor time for 100,000 deliveries, and for as many messages from one to one: of those that go to SIP users, and of those that SIP users
    /// say, as many as there are of either.
    fn costs(&self, way: &str) -> (f64, f64) {
        let ours = median(self.rounds.iter().map(|(rooms, _)| cpu(&rooms[way][0])).collect());
        let of = |key: &str| median(self.rounds.iter().map(|(_, single)| cpu(&single[key])).collect());
        let said = if way == "s2x" { 1.0 / self.shape.each as f64 } else { 0.0 };
        (ours, of("s2x") * said + of("x2s") * (1.0 - said))
    }

    fn last(&self) -> &Value {
        self.rounds.last().map_or(&Value::Null, |(rooms, _)| rooms)
    }
}

fn write(size: Size, quick: bool, shaped: &[Shaped], linear: &[(Shape, Value)]) -> String {
    let date = said("date", &["-u", "+%Y-%m-%d"]);
    let flag = if quick { " --quick" } else { "" };
    let mut text = format!("{date}, {}. `cargo xtask bench --only rooms{flag}`\n\n", machine());
    text.push_str("| what is asked | measured |\n|---|---|\n");
    for part in shaped {
        for (way, who) in WAYS {
            let (ours, single) = part.costs(way);
            let times = if single > 0.0 { ours / single } else { f64::INFINITY };
            let measured =
                verdict(times <= OF_ONE_TO_ONE, &format!("{times:.2} times ({ours:.2}, {single:.2} s/100k)"));
            // Writing to a string cannot fail.
            let _ = writeln!(
                text,
                "| {}, {who}: at most {OF_ONE_TO_ONE} times the processor time of as many one-to-one messages | {measured} |",
                part.shape.name()
            );
        }
    }
    if let (Some((small, first)), Some(large)) = (linear.first(), shaped.first()) {
        for (way, who) in WAYS {
            let (least, most) = (cpu(&first[way][0]), large.costs(way).0);
            let times = if least > 0.0 { most / least } else { f64::INFINITY };
            let _ = writeln!(
                text,
                "| {who}: a delivery to one of {} takes at most {LINEAR} times that to one of {} | {} |",
                large.shape.each,
                small.each,
                verdict(times <= LINEAR, &format!("{times:.2} times ({most:.2}, {least:.2} s/100k)"))
            );
        }
    }
    let wrong = shaped.iter().flat_map(|part| &part.rounds).map(|(rooms, single)| {
        bad_in_rooms(rooms) + ["opened", "s2x", "x2s"].map(|key| bad(&single[key])).iter().sum::<f64>()
    });
    let wrong = wrong.sum::<f64>() + linear.iter().map(|(_, report)| bad_in_rooms(report)).sum::<f64>();
    let _ = writeln!(
        text,
        "| nothing lost, refused, twice, wrong or out of order; every roster complete | {} |",
        verdict(wrong == 0.0, &format!("{wrong}"))
    );
    text.push_str(&deliveries(shaped, linear));
    text.push_str(&crowds(shaped, linear));
    let _ = writeln!(
        text,
        "\nClosed loops, {} deliveries each, {} rounds, in turns with the sessions.",
        size.deliveries, size.rounds
    );
    text
}

/// The table of what was said.
fn deliveries(shaped: &[Shaped], linear: &[(Shape, Value)]) -> String {
    let mut text = String::from(
        "\n| run | under way | offered/s | delivered/s | delivered | p50 ms | p99 ms | CPU s/100k | of the generator |\n\
         |---|---|---|---|---|---|---|---|---|\n",
    );
    let mut row = |label: &str, window: &Value, part: &Value| {
        let window = window.as_u64().map_or("-".to_owned(), |window| window.to_string());
        let offered = number(part, "offered");
        let offered = if offered > 0.0 { format!("{offered:.0}") } else { "-".to_owned() };
        let _ = writeln!(
            text,
            "| {label} | {window} | {offered} | {:.0} | {} | {:.2} | {:.2} | {:.2} | {:.2} |",
            number(part, "per_second"),
            number(part, "delivered"),
            number(&part["ms"], "p50"),
            number(&part["ms"], "p99"),
            cpu(part),
            number(part, "own_cpu_per_100k"),
        );
    };
    for part in shaped {
        for (rooms, single) in &part.rounds {
            for (way, who) in WAYS {
                row(&format!("{}, {who}", part.shape.name()), &rooms["window"], &rooms[way][0]);
            }
            let sessions = part.shape.places();
            row(&format!("{sessions} sessions, XMPP to MSRP"), &single["window"], &single["x2s"]);
            row(&format!("{sessions} sessions, MSRP to XMPP"), &single["window"], &single["s2x"]);
        }
    }
    for (shape, report) in linear {
        for (way, who) in WAYS {
            row(&format!("{}, {who}", shape.name()), &report["window"], &report[way][0]);
        }
    }
    for part in shaped {
        for (way, who) in WAYS {
            row(&format!("{}, {who}: half load", part.shape.name()), &Value::Null, &part.last()["half"][way]);
        }
    }
    text
}

/// The table of who came and stayed.
fn crowds(shaped: &[Shaped], linear: &[(Shape, Value)]) -> String {
    let mut text = String::from(
        "\n| who comes | at once | all are in after s | all know of all after s | CPU s | CPU ms each | NOTIFYs | KiB each (RSS) | CPU ms to leave |\n\
         |---|---|---|---|---|---|---|---|---|\n",
    );
    let some = shaped.iter().map(|part| (part.shape, part.last()));
    for (shape, report) in some.chain(linear.iter().map(|(shape, report)| (*shape, report))) {
        let (places, knowing) = (shape.places() as f64, &report["knowing"]);
        let memory = |key: &str| report["memory_kib"][key]["rss"].as_f64().unwrap_or(0.0);
        let settled = (memory("settled") - memory("before")) / places;
        let _ = writeln!(
            text,
            "| {} | {} | {:.1} | {:.1} | {:.1} | {:.1} | {} | {settled:.0} | {:.1} |",
            shape.name(),
            report["entering"],
            number(&report["entered"], "seconds"),
            number(knowing, "seconds"),
            number(knowing, "cpu"),
            number(knowing, "cpu") / places * 1e3,
            report["notifies"],
            number(&report["left"], "cpu") / places * 1e3,
        );
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn what_is_asked_is_judged() {
        let size = Size { large: 100, small: 50, deliveries: 10, rounds: 1 };
        let talk = |cpu: f64| json!([{ "gateway_cpu_per_100k": cpu, "per_second": 10.0, "delivered": 10 }]);
        let rooms = |x2s: f64, s2x: f64| {
            let mut rooms = json!({
                "window": 64, "entering": 100, "notifies": 7,
                "memory_kib": { "before": { "rss": 1000 }, "settled": { "rss": 3000 } },
                "knowing": { "seconds": 4.0, "cpu": 2.0 },
            });
            (rooms["x2s"], rooms["s2x"]) = (talk(x2s), talk(s2x));
            rooms
        };
        let single =
            json!({ "x2s": { "gateway_cpu_per_100k": 2.0 }, "s2x": { "gateway_cpu_per_100k": 4.0, "lost": 1 } });
        let shaped = vec![
            Shaped { shape: Shape { rooms: 1, each: 100 }, rounds: vec![(rooms(2.5, 3.0), single.clone())] },
            Shaped { shape: Shape { rooms: 50, each: 2 }, rounds: vec![(rooms(3.2, 3.3), single)] },
        ];
        let linear = vec![(Shape { rooms: 10, each: 10 }, rooms(2.0, 1.0))];
        let text = write(size, true, &shaped, &linear);
        for row in [
            "| one room of 100 SIP and 100 XMPP users, XMPP users speak: at most 1.5 times the processor time of as many one-to-one messages | 1.25 times (2.50, 2.00 s/100k): yes |",
            "| 1.49 times (3.00, 2.02 s/100k): yes |",
            "| 1.60 times (3.20, 2.00 s/100k): **no** |",
            "| 1.10 times (3.30, 3.00 s/100k): yes |",
            "| XMPP users speak: a delivery to one of 100 takes at most 1.5 times that to one of 10 | 1.25 times (2.50, 2.00 s/100k): yes |",
            "| 3.00 times (3.00, 1.00 s/100k): **no** |",
            "every roster complete | 2: **no** |",
            "| one room of 100 SIP and 100 XMPP users | 100 | 0.0 | 4.0 | 2.0 | 20.0 | 7 | 20 | 0.0 |",
            "`cargo xtask bench --only rooms --quick`",
        ] {
            assert!(text.contains(row), "{row}: {text}");
        }
    }
}
