//! The table for people.

use super::Way;
use super::gateway::Kind;
use std::fmt::Write;
use std::path::Path;
use std::process::Command;

/// Everything as Markdown.
pub(crate) fn write(parts: &[(&'static str, Vec<Way>)], no_kamailio: Option<&str>) -> String {
    let mut text =
        format!("{}, {}. `cargo xtask bench --only messages`\n", said("date", &["-u", "+%Y-%m-%d"]), machine());
    if let Some(why) = no_kamailio {
        // Writing to a string cannot fail.
        let _ = writeln!(text, "\nWithout Kamailio: {why}.");
    }
    for (generator, ways) in parts {
        let _ = write!(text, "\n### Measured with {generator}\n\n{}", self::ways(ways));
    }
    text
}

/// What is asked of two ways, how they did, and all runs.
pub(crate) fn ways(ways: &[Way]) -> String {
    let mut text = "| what is asked | s2x | x2s |\n|---|---|---|\n".to_owned();
    for (target, judge) in TARGETS {
        let cells: Vec<String> = ways.iter().map(judge).collect();
        // Writing to a string cannot fail.
        let _ = writeln!(text, "| {target} | {} |", cells.join(" | "));
    }
    text.push_str(
        "\n| run | offered/s | delivered/s | sent | delivered | refused | unanswered | lost | twice | wrong | p50 ms | p99 ms \
             | CPU s/100k | PSS MiB |\n|---|---|---|---|---|---|---|---|---|---|---|---|---|---|\n",
        );
    for (_, label, o) in ways.iter().flat_map(|w| &w.runs) {
        let offered = if o.offered > 0.0 { format!("{:.0}", o.offered) } else { "-".to_owned() };
        let _ = writeln!(
            text,
            "| {label} | {offered} | {:.0} | {} | {} | {} | {} | {} | {} | {} | {:.2} | {:.2} | {:.2} | {:.0} |",
            o.per_second,
            o.sent,
            o.delivered,
            o.refused,
            o.unanswered,
            o.lost,
            o.duplicates,
            o.wrong,
            o.p50,
            o.p99,
            o.cpu,
            o.memory
        );
    }
    text
}

type Judge = fn(&Way) -> String;

/// What the gateway is to reach, and how it did.
const TARGETS: &[(&str, Judge)] = &[
    ("closed loop: at least 4 (s2x), 3 (x2s) times Kamailio's", |way| {
        let least = if way.name == "s2x" { 4.0 } else { 3.0 };
        let rate = |kind| way.find(kind, "closed").map(|o| o.per_second);
        match (rate(Kind::Verona), rate(Kind::Kamailio)) {
            (Some(ours), Some(theirs)) if theirs > 0.0 => {
                verdict(ours / theirs >= least, &format!("{:.1} times ({ours:.0}/s, {theirs:.0}/s)", ours / theirs))
            }
            (Some(ours), _) => format!("{ours:.0}/s; no Kamailio"),
            (None, _) => "not measured".to_owned(),
        }
    }),
    ("highest rate sustained", |way| {
        let rate = |kind| way.sustained(kind).map_or("-".to_owned(), |r| format!("{r:.0}/s"));
        format!("{} (kamailio {})", rate(Kind::Verona), rate(Kind::Kamailio))
    }),
    ("CPU per message at 80 %: at most 2.5 times the do-nothing gateway's", |way| {
        match (way.find(Kind::Verona, "80 %"), way.find(Kind::Null, "same rate")) {
            (Some(ours), Some(null)) if null.cpu > 0.0 => verdict(
                ours.cpu / null.cpu <= 2.5,
                &format!("{:.2} times ({:.2}, {:.2})", ours.cpu / null.cpu, ours.cpu, null.cpu),
            ),
            _ => "not measured".to_owned(),
        }
    }),
    ("CPU per message in the closed loop, the same", |way| {
        match (way.find(Kind::Verona, "closed"), way.find(Kind::Null, "closed")) {
            (Some(ours), Some(null)) if null.cpu > 0.0 => verdict(
                ours.cpu / null.cpu <= 2.5,
                &format!("{:.2} times ({:.2}, {:.2})", ours.cpu / null.cpu, ours.cpu, null.cpu),
            ),
            _ => "not measured".to_owned(),
        }
    }),
    ("p99 at 80 %: under 5 ms", |way| match way.find(Kind::Verona, "80 %") {
        Some(o) => verdict(o.p99 < 5.0, &format!("{:.2} ms", o.p99)),
        None => "not measured".to_owned(),
    }),
    ("memory: at most 64 MiB at any load", |way| {
        let most =
            way.runs.iter().filter(|(kind, ..)| *kind == Kind::Verona).map(|(_, _, o)| o.memory).fold(0.0, f64::max);
        verdict(most <= 64.0, &format!("{most:.0} MiB"))
    }),
    ("overload 300 %: over 90 % of the highest rate still delivered", |way| {
        match (way.find(Kind::Verona, "300 %"), way.sustained(Kind::Verona)) {
            (Some(o), Some(most)) => {
                verdict(o.per_second > most * 0.9, &format!("{:.0} %", o.per_second / most * 100.0))
            }
            _ => "not measured".to_owned(),
        }
    }),
    ("overload: nothing is lost in silence, nothing comes twice", |way| {
        let bad: u64 = way
            .runs
            .iter()
            .filter(|(kind, ..)| *kind == Kind::Verona)
            .map(|(_, _, o)| o.lost + o.duplicates + o.wrong)
            .sum();
        verdict(bad == 0, &format!("{bad}"))
    }),
];

pub(crate) fn verdict(good: bool, what: &str) -> String {
    format!("{what}: {}", if good { "yes" } else { "**no**" })
}

/// Puts the table of a part of the bench between its marks in a file.
pub(crate) fn into_readme(path: &Path, part: &str, table: &str) -> Result<(), String> {
    let (begin, end) = (format!("<!-- {part}: begin -->"), format!("<!-- {part}: end -->"));
    let error = |e: std::io::Error| format!("{}: {e}", path.display());
    let text = std::fs::read_to_string(path).map_err(error)?;
    let (Some((before, rest)), Some((_, after))) = (text.split_once(&begin), text.split_once(&end)) else {
        return Err(format!("{}: the marks are gone", path.display()));
    };
    if !rest.contains(&end) {
        return Err(format!("{}: the marks are in the wrong order", path.display()));
    }
    std::fs::write(path, format!("{before}{begin}\n{table}{end}{after}")).map_err(error)
}

pub(crate) fn machine() -> String {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let memory = std::fs::read_to_string("/proc/meminfo").ok().and_then(|text| {
        let kib: u64 = text.strip_prefix("MemTotal:")?.trim_start().split(' ').next()?.parse().ok()?;
        Some(kib / (1 << 20))
    });
    format!(
        "{cores} processors shared with the generator, {} GiB of memory, {}",
        memory.unwrap_or(0),
        said("uname", &["-sr"])
    )
}

pub(crate) fn said(program: &str, words: &[&str]) -> String {
    let output = Command::new(program).args(words).output().map(|o| o.stdout).unwrap_or_default();
    String::from_utf8_lossy(&output).trim().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bench::generator::Outcome;

    #[test]
    fn targets_are_judged() {
        let outcome = |per_second, cpu| Outcome { per_second, cpu, memory: 30.0, ..Outcome::default() };
        let way = Way {
            name: "s2x",
            runs: vec![
                (Kind::Null, "closed".into(), outcome(50_000.0, 1.0)),
                (Kind::Verona, "closed".into(), outcome(40_000.0, 2.0)),
                (Kind::Kamailio, "closed".into(), outcome(11_000.0, 9.0)),
            ],
            most: vec![(Kind::Verona, 30_000.0)],
        };
        let text = write(&[("a generator", vec![way])], None);
        assert!(text.contains("3.6 times (40000/s, 11000/s): **no**"), "{text}");
        assert!(text.contains("2.00 times (2.00, 1.00): yes"), "{text}");
        assert!(text.contains("30 MiB: yes"), "{text}");
        assert!(text.contains("30000/s (kamailio -)"), "{text}");
    }
}
