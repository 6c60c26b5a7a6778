//! linphonec: another phone that people use, on a terminal.

use super::{Place, Process, template, until};
use std::fs::{self, File};
use std::io::{self, Write};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ChildStdin;
use std::thread;
use std::time::Duration;

/// A running linphonec that is `sip:romeo@example.net`, with one contact whom it watches and who may watch it.
#[derive(Debug)]
pub struct Linphone {
    process: Process,
    stdin: ChildStdin,
    shown: PathBuf,
}

impl Linphone {
    /// Starts it at `address`, with the gateway or another proxy at `proxy`.
    #[track_caller]
    pub fn start(place: &Place, address: SocketAddr, proxy: SocketAddr, contact: &str) -> Linphone {
        let home = place.dir().join("linphone");
        // It crashes where it cannot keep its own files.
        let own = home.join(".local/share/linphone");
        fs::create_dir_all(&own).unwrap_or_else(|e| panic!("cannot make {}: {e}", own.display()));
        let config = template::fill(
            "linphone.rc",
            &[
                ("IP", &address.ip().to_string()),
                ("PORT", &address.port().to_string()),
                ("PROXY", &proxy.to_string()),
                ("CONTACT", contact),
            ],
        );
        let config = place.write("linphone/rc", &config);
        let (home, log) = (format!("HOME={}", home.display()), place.log("linphone.trace"));
        let files = [&config, &log].map(|p| p.to_str().expect("the test's folder is UTF-8"));
        let args = [home.as_str(), "linphonec", "-c", files[0], "-d", "6", "-l", files[1]];
        let (process, stdin, mut stdout) = Process::piped(place, "linphone", "env", &args);
        let shown = place.log("linphone.shown");
        let mut into = File::create(&shown).unwrap_or_else(|e| panic!("cannot write {}: {e}", shown.display()));
        thread::spawn(move || io::copy(&mut stdout, &mut into));
        Linphone { process, stdin, shown }
    }

    /// Types a line.
    #[track_caller]
    pub fn order(&mut self, line: &str) {
        writeln!(self.stdin, "{line}").unwrap_or_else(|e| panic!("linphonec takes no command: {e}"));
    }

    /// Waits until a person has seen `text` so many times.
    #[track_caller]
    pub fn wait_shown(&mut self, text: &str, times: usize, patience: Duration) {
        until(&format!("linphonec shows {text:?} {times} times"), patience, || {
            self.process.assert_running();
            let shown = fs::read(&self.shown).map(|b| String::from_utf8_lossy(&b).into_owned()).unwrap_or_default();
            shown.matches(text).count() >= times
        });
    }
}
