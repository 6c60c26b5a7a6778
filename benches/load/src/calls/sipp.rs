//! The same from one sipp to another: whatever forwards SIP is between them, or nothing.

use crate::options::Options;
use crate::process::{self, cpu_of_ended};
use crate::report::percentile;
use serde_json::{Value, json};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread;
use std::time::{Duration, Instant};

const CALLER: &str = include_str!("../../sipp/caller.xml");
const CALLEE: &str = include_str!("../../sipp/callee.xml");

/// Has --count calls made and ended.
pub(super) fn run(options: &Options, folder: &Path) -> Result<Value, String> {
    let write = |name: &str, text: &str| {
        let file = folder.join(name);
        fs::write(&file, text).map_err(|e| format!("{}: {e}", file.display())).map(|()| file)
    };
    let (caller, callee) = (write("caller.xml", CALLER)?, write("callee.xml", CALLEE)?);
    for old in times_files(folder) {
        let _ = fs::remove_file(old);
    }
    let before = options.watch.map(process::usage).unwrap_or_default();
    let own = cpu_of_ended();
    let mut called = sipp(folder, &callee, options.listen.port(), &["-m", &options.count.to_string()])?;
    thread::sleep(Duration::from_millis(300));
    let (count, window) = (options.count.to_string(), options.window.to_string());
    let rate = if options.rate > 0.0 { options.rate } else { 50_000.0 };
    // A closed loop is one whose rate cannot be had.
    let window = if options.rate > 0.0 { "20000" } else { &window };
    let (gateway, rate) = (options.gateway.to_string(), format!("{rate:.0}"));
    let words = [&gateway, "-m", &count, "-l", window, "-r", &rate, "-trace_rtt", "-rtt_freq", "100"];
    let began = Instant::now();
    let mut calling = sipp(folder, &caller, options.listen.port() + 1, &words)?;
    let status = wait(&mut calling, options.patience + Duration::from_secs(60));
    let seconds = began.elapsed().as_secs_f64();
    if status.is_none() {
        let _ = calling.kill();
        let _ = calling.wait();
    }
    if wait(&mut called, Duration::from_secs(2)).is_none() {
        let _ = called.kill();
        let _ = called.wait();
    }
    let after = options.watch.map(process::usage).unwrap_or_default();
    let (mut waits, bad) = (vec![], status.map(|status| status.code()));
    for file in times_files(folder) {
        let text = fs::read_to_string(&file).map_err(|e| format!("{}: {e}", file.display()))?;
        waits.extend(text.lines().filter_map(milliseconds).map(|ms| (ms * 1e6) as u64));
    }
    waits.sort_unstable();
    let each = |seconds: f64| seconds * 1e6 / waits.len().max(1) as f64;
    Ok(json!({
        "sent": options.count, "done": waits.len(), "lost": options.count.saturating_sub(waits.len()),
        "refused": u8::from(bad != Some(Some(0))),
        "per_second": if seconds > 0.0 { waits.len() as f64 / seconds } else { 0.0 },
        "gateway_us": each(after.cpu - before.cpu), "own_us": each(cpu_of_ended() - own),
        "ms": { "p50": percentile(&waits, 0.5), "p99": percentile(&waits, 0.99), "max": percentile(&waits, 1.0) },
    }))
}

fn sipp(folder: &Path, scenario: &Path, port: u16, words: &[&str]) -> Result<Child, String> {
    let mut command = Command::new("sipp");
    command.current_dir(folder).args(words).arg("-sf").arg(scenario);
    command.args([
        "-i",
        "127.0.0.1",
        "-p",
        &port.to_string(),
        "-nostdin",
        "-timer_resol",
        "1",
        "-buff_size",
        "16777216",
    ]);
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    command.spawn().map_err(|e| format!("sipp: {e}"))
}

fn wait(child: &mut Child, most: Duration) -> Option<ExitStatus> {
    let until = Instant::now() + most;
    while Instant::now() < until {
        if let Ok(Some(status)) = child.try_wait() {
            return Some(status);
        }
        thread::sleep(Duration::from_millis(5));
    }
    None
}

/// What sipp writes of the times from INVITE to 200.
fn times_files(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    entries.map(|entry| entry.path()).filter(|path| path.to_string_lossy().ends_with("_rtt.csv")).collect()
}

/// `Date_ms;response_time_ms;rtd_no`.
fn milliseconds(line: &str) -> Option<f64> {
    line.split(';').nth(1)?.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read() {
        assert_eq!(milliseconds("1700000000000.5;1.25;1"), Some(1.25));
        assert_eq!(milliseconds("Date_ms;response_time_ms;rtd_no"), None);
    }
}
