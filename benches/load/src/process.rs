//! What a process and its descendants have used.

use std::collections::BTreeMap;
use std::fs;

/// The ticks in which Linux counts processor time for programs, on every machine it runs on.
const TICKS_PER_SECOND: f64 = 100.0;

/// Processor time and memory.
#[derive(Debug, Clone, Copy, Default)]
pub struct Usage {
    /// Seconds of processor time, in user and kernel.
    pub cpu: f64,
    /// Memory in KiB, shared pages counted by their share (PSS).
    pub memory: u64,
    /// The same with shared pages counted in full (RSS).
    pub resident: u64,
}

/// What the process with this number and its descendants have used. Nothing, if it is gone.
pub fn usage(pid: u32) -> Usage {
    let mut usage = Usage::default();
    for pid in family(pid) {
        usage.cpu += cpu(pid);
        let (memory, resident) = memory(pid);
        usage.memory += memory;
        usage.resident += resident;
    }
    usage
}

/// Seconds of processor time of one process.
pub fn cpu(pid: u32) -> f64 {
    let ticks = |n: usize| stat(pid).and_then(|s| s.get(n)?.parse::<f64>().ok()).unwrap_or(0.0);
    (ticks(11) + ticks(12)) / TICKS_PER_SECOND
}

/// Seconds of processor time of those of our children that have ended.
pub fn cpu_of_ended() -> f64 {
    let ticks = |n: usize| stat(std::process::id()).and_then(|s| s.get(n)?.parse::<f64>().ok()).unwrap_or(0.0);
    (ticks(13) + ticks(14)) / TICKS_PER_SECOND
}

fn memory(pid: u32) -> (u64, u64) {
    let text = fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).unwrap_or_default();
    let value = |name: &str| {
        let value = text.lines().find_map(|l| l.strip_prefix(name));
        value.and_then(|v| v.trim().trim_end_matches("kB").trim().parse().ok()).unwrap_or(0)
    };
    (value("Pss:"), value("Rss:"))
}

/// The fields of /proc/PID/stat behind the program's name.
fn stat(pid: u32) -> Option<Vec<String>> {
    let text = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let (_, rest) = text.rsplit_once(')')?;
    Some(rest.split_whitespace().map(str::to_owned).collect())
}

fn family(pid: u32) -> Vec<u32> {
    let mut children: BTreeMap<u32, Vec<u32>> = BTreeMap::new();
    for entry in fs::read_dir("/proc").into_iter().flatten().flatten() {
        let Some(child) = entry.file_name().to_str().and_then(|n| n.parse().ok()) else { continue };
        if let Some(parent) = stat(child).and_then(|s| s.get(1)?.parse().ok()) {
            children.entry(parent).or_default().push(child);
        }
    }
    let mut all = vec![pid];
    let mut next = 0;
    while let Some(parent) = all.get(next) {
        all.extend(children.get(parent).into_iter().flatten().copied().collect::<Vec<_>>());
        next += 1;
    }
    all
}
