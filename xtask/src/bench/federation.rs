//! Messages once more, over TLS on both sides and between servers: the generator's SIP comes and goes over TLS, and it is the XMPP server of the other domain
//! (and the name server that leads there). Handshakes; and one message to each of thousands of domains, of which each is a stream of its own.

use super::gateway::{Gateway, Kind, PHONE, Running, SERVER, SIP};
use super::generator::{Generator, Offer};
use super::table::{self, verdict};
use super::{one_way, say};
use serde_json::Value;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread;
use std::time::Duration;

/// Where the gateway takes streams from other servers, and where the generator's name server is.
pub(crate) const STREAMS: &str = "127.0.0.1:25269";
pub(crate) const NAMES: &str = "127.0.0.1:25353";

/// How many domains.
const DOMAINS: usize = 5_000;

/// What both sides need to know for it.
#[derive(Debug, Clone)]
pub(crate) struct Secure {
    /// The folder of the certificates.
    pub(crate) folder: PathBuf,
}

impl Secure {
    /// What the generator is told besides.
    pub(crate) fn words(&self) -> Vec<String> {
        let words = ["--federation", STREAMS, "--names", NAMES, "--tls", &self.folder.display().to_string()];
        words.map(str::to_owned).to_vec()
    }

    /// What the gateway that does nothing is told besides.
    pub(crate) fn null(&self) -> Vec<String> {
        let folder = self.folder.display().to_string();
        ["secret", "example.net", &folder, STREAMS, "example.com"].map(str::to_owned).to_vec()
    }

    /// Our gateway's configuration. The limits are the defaults.
    pub(crate) fn config(&self) -> String {
        let folder = self.folder.display();
        format!(
            "[xmpp.federation]\ndomains = [\"example.net\"]\nlisten = [\"tls:{STREAMS}\"]\ndialback = false\nretry_min = \"100ms\"\n\
             [dns]\nserver = \"{NAMES}\"\n\
             [tls]\ncertificates = [{{ chain = \"{folder}/gateway.pem\", key = \"{folder}/gateway.key\" }}]\ntrust = [\"{folder}/authority.pem\"]\n\
             [sip]\ndomains = [\"*\"]\nlisten = [\"tls:{SIP}\"]\noutbound_proxy = \"sip:{PHONE};transport=tls;lr\"\n\
             [store]\nurl = \"memory:\"\n[security]\nallow_networks = [\"127.0.0.0/8\"]\n[log]\nlevel = \"error\"\n"
        )
    }
}

/// Everything, as Markdown.
pub(super) fn measure(programs: &Path, scratch: &Path, quick: bool) -> Result<String, String> {
    let secure = Secure { folder: scratch.join("certificates") };
    let load = programs.join("verona-load");
    let made = Command::new(&load).arg("certificates").arg("--tls").arg(&secure.folder).status();
    if !made.as_ref().is_ok_and(std::process::ExitStatus::success) {
        return Err(format!("no certificates: {made:?}"));
    }
    let mut generator = Generator::own(programs);
    generator.secure = Some(secure.clone());
    let make = |kind| Gateway {
        kind,
        programs: programs.to_owned(),
        scratch: scratch.to_owned(),
        null: generator.null.clone(),
        secure: Some(secure.clone()),
    };
    let mut ways = vec![];
    for name in ["s2x", "x2s"] {
        ways.push(one_way(name, &generator, &make(Kind::Null), &make(Kind::Verona), None, quick)?);
    }
    let mut text = format!(
        "{}, {}. `cargo xtask bench --only federation`\n\n",
        table::said("date", &["-u", "+%Y-%m-%d"]),
        table::machine()
    );
    text.push_str(&table::ways(&ways));
    let domains = Offer { count: DOMAINS, users: DOMAINS, domains: DOMAINS, ..Offer::of("s2x") };
    let first = make(Kind::Verona).run(&generator, &domains)?;
    let again = Offer { count: DOMAINS * 4, ..domains };
    let later = make(Kind::Verona).run(&generator, &again)?;
    let good = |sent, delivered| verdict(sent == delivered, &format!("{delivered} of {sent}"));
    // Writing to a string cannot fail.
    let _ = write!(
        text,
        "\n| {DOMAINS} domains, a stream to each | delivered | a second | p50 ms | p99 ms | CPU s/100k | PSS MiB |\n|---|---|---|---|---|---|---|\n"
    );
    for (label, o) in [("one message to each, with all handshakes", first), ("four to each", later)] {
        let _ = writeln!(
            text,
            "| {label} | {} | {:.0} | {:.2} | {:.2} | {:.2} | {:.0} |",
            good(o.sent, o.delivered),
            o.per_second,
            o.p50,
            o.p99,
            o.cpu,
            o.memory
        );
    }
    text.push_str(&handshakes(&load, &make(Kind::Verona), &secure, if quick { 1_000 } else { 5_000 })?);
    Ok(text)
}

/// Handshakes, as many as both can do.
fn handshakes(load: &Path, gateway: &Gateway, secure: &Secure, count: usize) -> Result<String, String> {
    let running: Running = gateway.start()?;
    thread::sleep(Duration::from_millis(500));
    let mut command = Command::new(load);
    command.args(["handshakes", "--gateway", SIP, "--server", SERVER, "--count", &count.to_string(), "--window", "16"]);
    command.args(secure.words()).args(["--watch", &running.id().to_string()]);
    let output = command.output().map_err(|e| format!("{}: {e}", load.display()))?;
    let json: Value = serde_json::from_slice(&output.stdout)
        .map_err(|_| format!("{}: {}", load.display(), String::from_utf8_lossy(&output.stderr).trim()))?;
    let mut text = "\n| handshakes, 16 at a time | a second | failed | CPU each, µs |\n|---|---|---|---|\n".to_owned();
    for (label, key) in [
        ("SIP over TLS, a certificate on both sides", "sip"),
        ("a stream from another server, proved by its certificate", "federation"),
    ] {
        let of = &json[key];
        say(&format!("{label}: {of}"));
        let number = |key: &str| of[key].as_f64().unwrap_or(0.0);
        let _ = writeln!(
            text,
            "| {label} | {:.0} | {} | {:.0} |",
            number("per_second"),
            of["failed"].as_u64().unwrap_or(0),
            number("gateway_cpu_each_us")
        );
    }
    Ok(text)
}
