//! What offers the messages, and what it says became of them.

use super::federation::Secure;
use super::gateway::{PHONE, SERVER, SIP};
use serde_json::Value;
use std::fmt;
use std::path::{Path, PathBuf};
use std::process::Command;

/// A load generator.
#[derive(Debug)]
pub(crate) struct Generator {
    /// For the table.
    pub(crate) name: &'static str,
    /// Its do-nothing gateway.
    pub(crate) null: PathBuf,
    program: PathBuf,
    external: bool,
    /// Over TLS on both sides, as a server that federates.
    pub(crate) secure: Option<Secure>,
}

/// What is offered.
#[derive(Debug, Clone)]
pub(crate) struct Offer {
    pub(crate) way: &'static str,
    pub(crate) count: usize,
    /// 0: a closed loop.
    pub(crate) rate: f64,
    pub(crate) users: usize,
    pub(crate) body: usize,
    /// Over how many XMPP domains the users are spread.
    pub(crate) domains: usize,
}

impl Offer {
    pub(crate) fn of(way: &'static str) -> Offer {
        Offer { way, count: 10_000, rate: 0.0, users: 100, body: 64, domains: 1 }
    }

    /// At this rate for so many seconds.
    pub(crate) fn open(way: &'static str, rate: f64, seconds: f64) -> Offer {
        Offer { rate, count: (rate * seconds) as usize, ..Offer::of(way) }
    }
}

/// What became of them.
#[derive(Debug, Clone, Default)]
pub(crate) struct Outcome {
    pub(crate) offered: f64,
    pub(crate) sent: u64,
    pub(crate) delivered: u64,
    /// Not delivered, and the sender was told.
    pub(crate) refused: u64,
    /// Not delivered, and the sender's transaction timed out (SIP).
    pub(crate) unanswered: u64,
    /// Not delivered, and the sender does not know.
    pub(crate) lost: u64,
    pub(crate) duplicates: u64,
    /// Another text or another user.
    pub(crate) wrong: u64,
    pub(crate) per_second: f64,
    pub(crate) p50: f64,
    pub(crate) p99: f64,
    /// Processor seconds of the gateway for 100,000 messages delivered.
    pub(crate) cpu: f64,
    /// The most memory of the gateway that was seen, in MiB (PSS).
    pub(crate) memory: f64,
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{}/{} at {:.0}/s, {} refused, {} unanswered, {} lost, p99 {:.2} ms, {:.2} s CPU per 100k, {:.0} MiB",
            self.delivered,
            self.sent,
            self.per_second,
            self.refused,
            self.unanswered,
            self.lost,
            self.p99,
            self.cpu,
            self.memory
        )
    }
}

impl Generator {
    /// The project's own.
    pub(crate) fn own(programs: &Path) -> Generator {
        Generator {
            name: "benches/load",
            null: programs.join("nullgw"),
            program: programs.join("verona-load"),
            external: false,
            secure: None,
        }
    }

    /// Another one: its folder is copied, as it may not be ours to write to, and built.
    pub(crate) fn external(folder: &Path, scratch: &Path) -> Result<Generator, String> {
        let copy = scratch.join("loadgen");
        let status = Command::new("cp").arg("-rT").args([folder, &copy]).status().map_err(|e| e.to_string())?;
        if !status.success() {
            return Err(format!("{} cannot be copied", folder.display()));
        }
        let target = copy.join("target");
        super::cargo(&copy, &["build", "--release", "--target-dir", &target.display().to_string()])?;
        let programs = target.join("release");
        Ok(Generator {
            name: "the external generator",
            null: programs.join("nullgw"),
            program: programs.join("stoxload"),
            external: true,
            secure: None,
        })
    }

    /// Offers messages to the gateway, whose process is watched.
    pub(crate) fn offer(&self, offer: &Offer, gateway: u32) -> Result<Outcome, String> {
        let mut command = Command::new(&self.program);
        let common = [
            ("--count", offer.count.to_string()),
            ("--rate", offer.rate.to_string()),
            ("--users", offer.users.to_string()),
            ("--window", "64".to_owned()),
        ];
        for (key, value) in common {
            command.args([key, &value]);
        }
        let body = offer.body.to_string();
        if self.external {
            let (watch, accept) = (format!("gw={gateway}"), format!("accept:{SERVER}"));
            command.args(["--dir", offer.way, "--body-size", &body, "--sip-target", SIP, "--sip-listen", PHONE]);
            command.args(["--xmpp", &accept, "--watch", &watch, "--timeout", "35"]);
        } else {
            command.args(["--way", offer.way, "--body", &body, "--gateway", SIP, "--listen", PHONE]);
            command.args(["--server", SERVER, "--watch", &gateway.to_string()]);
            command.args(["--domains", &offer.domains.to_string()]);
            command.args(self.secure.iter().flat_map(Secure::words));
        }
        let output = command.output().map_err(|e| format!("{}: {e}", self.program.display()))?;
        let json: Value = serde_json::from_slice(&output.stdout)
            .map_err(|_| format!("{}: {}", self.program.display(), String::from_utf8_lossy(&output.stderr).trim()))?;
        Ok(if self.external { external(&json, offer) } else { own(&json, offer) })
    }
}

fn own(json: &Value, offer: &Offer) -> Outcome {
    let way = &json[offer.way];
    let count = |key: &str| way[key].as_u64().unwrap_or(0);
    Outcome {
        offered: offer.rate,
        sent: count("sent"),
        delivered: count("delivered"),
        refused: count("refused"),
        unanswered: count("unanswered"),
        lost: count("lost"),
        duplicates: count("duplicates"),
        wrong: count("wrong_texts") + count("wrong_addresses"),
        per_second: way["per_second"].as_f64().unwrap_or(0.0),
        p50: way["ms"]["p50"].as_f64().unwrap_or(0.0),
        p99: way["ms"]["p99"].as_f64().unwrap_or(0.0),
        cpu: json["gateway_cpu_per_100k"].as_f64().unwrap_or(0.0),
        memory: json["memory_kib"]["peak"].as_f64().unwrap_or(0.0) / 1024.0,
    }
}

fn external(json: &Value, offer: &Offer) -> Outcome {
    let (way, watched) = (&json[offer.way], &json["watch"]["gw"]);
    let count = |key: &str| way[key].as_u64().unwrap_or(0);
    let lost = count("lost_after_2xx_or_silently");
    Outcome {
        offered: offer.rate,
        sent: count("sent"),
        delivered: count("delivered"),
        refused: count("rejected"),
        unanswered: count("lost").saturating_sub(lost),
        lost,
        duplicates: count("dup"),
        wrong: count("wrong_body") + count("wrong_addr"),
        per_second: way["throughput"].as_f64().unwrap_or(0.0),
        p50: way["lat_ms"]["p50"].as_f64().unwrap_or(0.0),
        p99: way["lat_ms"]["p99"].as_f64().unwrap_or(0.0),
        cpu: watched["cpu_s_per_100k"].as_f64().unwrap_or(0.0),
        memory: watched["pss_kb_peak"].as_f64().unwrap_or(0.0) / 1024.0,
    }
}
