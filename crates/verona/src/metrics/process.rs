//! The `process_` metrics that every Prometheus client has, read from /proc. What cannot be read is left out.

use std::fmt::Write as _;
use std::fs;

/// Linux tells times to programs in hundredths of a second, whatever the kernel's own clock does.
const TICKS: f64 = 100.0;

pub(super) fn render() -> String {
    let mut out = String::new();
    let mut show = |name: &str, kind: &str, help: &str, value: Option<f64>| {
        if let Some(value) = value {
            // Writing to a String does not fail.
            let _ = write!(out, "# HELP {name} {help}\n# TYPE {name} {kind}\n{name} {value}\n");
        }
    };
    let stat = fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let boot = fs::read_to_string("/proc/stat").ok().and_then(|s| field(&s, "btime"));
    let processor = stat_field(&stat, 14).zip(stat_field(&stat, 15)).map(|(user, system)| (user + system) / TICKS);
    show("process_cpu_seconds_total", "counter", "Processor time, of user and system", processor);
    show("process_resident_memory_bytes", "gauge", "Resident memory", field(&status, "VmRSS:").map(|kb| kb * 1024.0));
    show("process_virtual_memory_bytes", "gauge", "Virtual memory", field(&status, "VmSize:").map(|kb| kb * 1024.0));
    show("process_threads", "gauge", "Threads", field(&status, "Threads:"));
    let open = fs::read_dir("/proc/self/fd").ok().map(|d| d.count() as f64);
    show("process_open_fds", "gauge", "Open descriptors", open);
    let limits = fs::read_to_string("/proc/self/limits").unwrap_or_default();
    show("process_max_fds", "gauge", "The most descriptors there may be", field(&limits, "Max open files"));
    let start = stat_field(&stat, 22).zip(boot).map(|(ticks, boot)| boot + ticks / TICKS);
    show("process_start_time_seconds", "gauge", "When the process started, in seconds since 1970", start);
    out
}

/// The first number behind `name` at the start of a line.
fn field(text: &str, name: &str) -> Option<f64> {
    text.lines().find_map(|l| l.strip_prefix(name))?.split_whitespace().next()?.parse().ok()
}

/// A field of proc_pid_stat(5), counted from 1. The second one is the program's name in parentheses and may hold anything.
fn stat_field(stat: &str, number: usize) -> Option<f64> {
    let (_, rest) = stat.rsplit_once(')')?;
    rest.split_whitespace().nth(number.checked_sub(3)?)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_may_have_any_name() {
        let stat = "7 (a) b) c) S 1 7 7 0 -1 4194560 1 0 0 0 150 50 0 0 20 0 1 0 8866 100 200";
        assert_eq!(stat_field(stat, 14), Some(150.0));
        assert_eq!(stat_field(stat, 15), Some(50.0));
        assert_eq!(stat_field(stat, 22), Some(8866.0));
        assert_eq!(stat_field(stat, 2), None);
        assert_eq!(stat_field("", 14), None);
    }

    #[test]
    fn this_process_has_all_of_them() {
        let text = render();
        for name in ["cpu_seconds_total", "resident_memory_bytes", "open_fds", "max_fds", "start_time_seconds"] {
            assert!(text.contains(&format!("\nprocess_{name} ")), "{name}\n{text}");
        }
    }
}
