//! baresip: a phone that people use, without its screen.

use super::{Place, Process, template, until};
use serde_json::json;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::time::Duration;

const SOON: Duration = Duration::from_secs(10);
/// Debian's folder for baresip's modules.
const MODULES: &str = "/usr/lib/baresip/modules";

/// A running baresip that is `sip:romeo@example.net` or another such user, with one contact.
#[derive(Debug)]
pub struct Baresip {
    process: Process,
    /// Netstrings of JSON: commands and events.
    control: TcpStream,
    /// What a person would see.
    console: TcpStream,
    shown: Vec<u8>,
    said: Vec<u8>,
}

impl Baresip {
    /// Starts it at `address`. `account` is a line of its accounts file (`<sip:romeo@example.net;transport=udp>;regint=0;
    /// outbound="sip:..."`), `contact` the SIP URI that its messages go to.
    #[track_caller]
    pub fn start(place: &Place, address: SocketAddr, account: &str, contact: &str) -> Baresip {
        Baresip::run(place, address, account, &format!("\"Contact\" <{contact}>"))
    }

    /// As [`start`](Baresip::start), and it watches the contact's presence.
    #[track_caller]
    pub fn watching(place: &Place, address: SocketAddr, account: &str, contact: &str) -> Baresip {
        Baresip::run(place, address, account, &format!("\"Contact\" <{contact}>;presence=p2p"))
    }

    #[track_caller]
    fn run(place: &Place, address: SocketAddr, account: &str, contact: &str) -> Baresip {
        let (control, console) = (place.free(), place.free());
        let home = place.dir().join("baresip");
        std::fs::create_dir_all(&home).unwrap_or_else(|e| panic!("cannot make {}: {e}", home.display()));
        assert!(Path::new(MODULES).is_dir(), "baresip is not installed; scripts/setup installs it");
        let config = template::fill(
            "baresip/config",
            &[
                ("IP", &address.ip().to_string()),
                ("PORT", &address.port().to_string()),
                ("MODULES", MODULES),
                ("CONTROL_PORT", &control.port().to_string()),
                ("CONSOLE_PORT", &console.port().to_string()),
            ],
        );
        place.write("baresip/config", &config);
        place.write("baresip/accounts", &format!("{account}\n"));
        place.write("baresip/contacts", &format!("{contact}\n"));
        let mut process = Process::start(place, "baresip-phone", "baresip", &["-f", "baresip", "-v", "-s"]);
        let mut open = |at| {
            let mut found = None;
            until("baresip listens", SOON, || {
                process.assert_running();
                found = TcpStream::connect(at).ok();
                found.is_some()
            });
            let stream = found.expect("until() saw it");
            stream.set_nonblocking(true).expect("a fresh socket takes the option");
            stream
        };
        let (control, console) = (open(control), open(console));
        Baresip { process, control, console, shown: Vec::new(), said: Vec::new() }
    }

    /// Sends `text` (one line) to the contact.
    #[track_caller]
    pub fn send(&mut self, text: &str) {
        self.command("message", text);
    }

    /// Calls `uri`, with audio.
    #[track_caller]
    pub fn dial(&mut self, uri: &str) {
        self.command("dial", uri);
    }

    /// Waits until it says that its call was refused with `code`.
    #[track_caller]
    pub fn wait_closed(&mut self, code: u16) {
        until(&format!("baresip says that {code} ended the call"), SOON, || {
            self.process.assert_running();
            self.process.log().contains(&format!("session closed: {code} "))
        });
    }

    /// Waits until it says of its contact that it is `state` (`Online`, `Offline`, `Busy`, `Unknown`).
    #[track_caller]
    pub fn wait_contact(&mut self, state: &str, patience: Duration) {
        until(&format!("baresip says {state}"), patience, || self.command("contacts", "").contains(state));
    }

    /// Gives a command and waits for the answer.
    #[track_caller]
    pub fn command(&mut self, command: &str, params: &str) -> String {
        let command = json!({"command": command, "params": params, "token": "test"}).to_string();
        let netstring = format!("{}:{command},", command.len());
        self.control.write_all(netstring.as_bytes()).unwrap_or_else(|e| panic!("baresip takes no command: {e}"));
        let wanted = b"\"response\":true";
        until("baresip obeys", SOON, || {
            drain(&mut self.control, &mut self.said);
            find(&self.said, wanted).is_some()
        });
        let answer = String::from_utf8_lossy(&std::mem::take(&mut self.said)).into_owned();
        assert!(answer.contains("\"ok\":true"), "baresip: {answer}");
        answer
    }

    /// Waits until a person would see `text` on its console: a received message is shown as `PEER: "TEXT"`.
    #[track_caller]
    pub fn wait_shown(&mut self, text: &str, patience: Duration) {
        until(&format!("baresip shows {text:?}"), patience, || {
            self.process.assert_running();
            drain(&mut self.console, &mut self.shown);
            find(&self.shown, text.as_bytes()).is_some()
        });
    }

    /// Waits until it says that a sent message was refused with `code`, in red as it does.
    #[track_caller]
    pub fn wait_refused(&mut self, code: u16, patience: Duration) {
        until(&format!("baresip says {code}"), patience, || {
            self.process.assert_running();
            self.process.log().contains(&format!("\x1b[31m{code} "))
        });
    }

    /// Waits until it says that it is registered.
    #[track_caller]
    pub fn wait_registered(&mut self) {
        until("baresip is registered", SOON, || {
            self.process.assert_running();
            // Its event may have come before we were there to hear it; the log has kept it.
            self.process.log().contains(" binding]")
        });
    }
}

/// Whatever can be read without waiting.
fn drain(stream: &mut TcpStream, into: &mut Vec<u8>) {
    let mut chunk = [0; 4096];
    while let Ok(n @ 1..) = stream.read(&mut chunk) {
        into.extend_from_slice(&chunk[..n]);
    }
}

fn find(in_: &[u8], what: &[u8]) -> Option<usize> {
    in_.windows(what.len()).position(|w| w == what)
}
