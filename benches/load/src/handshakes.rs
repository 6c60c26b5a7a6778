//! How many handshakes of TLS a gateway can do, and the certificates for them.

use crate::federation;
use crate::line::Line;
use crate::options::Options;
use crate::process;
use crate::trust::{self, Trust};
use serde_json::json;
use std::io::{self, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::thread;
use std::time::Instant;

/// Makes the certificates of a run.
///
/// # Errors
/// What is wrong with the command line, or the folder.
pub fn certificates(words: &[String]) -> Result<(), String> {
    let options = Options::parse(words.iter().cloned())?;
    let folder = options.tls.as_ref().ok_or("--tls FOLDER is missing")?;
    let Options { sip_domain, xmpp_domain, .. } = &options;
    let local = "127.0.0.1".to_owned();
    let load = vec![xmpp_domain.clone(), format!("*.{xmpp_domain}"), local.clone()];
    let made = trust::make(folder, &[("load", load), ("gateway", vec![sip_domain.clone(), local])]);
    made.map_err(|e| format!("{}: {e}", folder.display()))
}

/// Measures.
///
/// # Errors
/// What is wrong with the command line, or with what it leads to.
pub fn main(words: &[String]) -> Result<(), String> {
    let options = Options::parse(words.iter().cloned())?;
    let folder = options.tls.as_ref().ok_or("--tls FOLDER is missing")?;
    let trust = Trust::read(folder, "load").map_err(|e| e.to_string())?;
    let sip = run(&options, || {
        let line = Line::connected(options.gateway, &options.sip_domain, Arc::clone(&trust.client))?;
        // In TLS 1.3 it stands at this end while the other has yet to look at the certificate: a keep-alive tells when it has (RFC 5626 §3.5.1).
        line.write(b"\r\n\r\n")?;
        let mut got = Vec::new();
        line.read(&mut got)?;
        if got.starts_with(b"\r\n") { Ok(()) } else { Err(io::Error::other("no pong")) }
    });
    let mut report = json!({ "sip": sip });
    if let Some(server) = options.federation {
        report["federation"] = run(&options, || {
            let line = Line::connected(server, &options.sip_domain, Arc::clone(&trust.client))?;
            federation::connect(&line, &options.xmpp_domain, &options.sip_domain)?;
            line.write(b"</stream:stream>")
        });
    }
    let _ = writeln!(io::stdout(), "{report}");
    Ok(())
}

/// Does one thing so many times, some at a time.
fn run(options: &Options, one: impl Fn() -> io::Result<()> + Sync) -> serde_json::Value {
    let (begun, failed) = (AtomicUsize::new(0), AtomicUsize::new(0));
    let cpu = || options.watch.map(|pid| process::usage(pid).cpu).unwrap_or_default();
    let (before, start) = (cpu(), Instant::now());
    thread::scope(|scope| {
        for _ in 0..options.window.min(64) {
            scope.spawn(|| {
                while begun.fetch_add(1, SeqCst) < options.count {
                    if one().is_err() {
                        failed.fetch_add(1, SeqCst);
                    }
                }
            });
        }
    });
    let seconds = start.elapsed().as_secs_f64();
    let (count, failed) = (options.count, failed.load(SeqCst));
    json!({
        "count": count,
        "failed": failed,
        "per_second": (count - failed) as f64 / seconds,
        "gateway_cpu_each_us": (cpu() - before) * 1e6 / count as f64,
    })
}
