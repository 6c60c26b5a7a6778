//! baresip: a phone that people use, without its screen.

use super::{Credentials, Place, Process, Recording, TestCa, template, until};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
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
    /// What happened to its calls and nobody has asked for yet.
    events: Vec<Value>,
    /// Where its recordings are.
    home: PathBuf,
}

/// A phone for calls: what it says, hears and refuses.
#[derive(Debug, Clone)]
pub struct Sound {
    /// Hertz of the tone that it says.
    pub tone: u32,
    /// How RTP goes.
    pub media: Media,
    /// Codecs, in its order: names of baresip's modules (`opus`, `g711`, `vp8`).
    pub codecs: Vec<&'static str>,
    /// More parameters of its account (`;answermode=auto`).
    pub account: String,
    /// Calls that it takes at once.
    pub calls: u32,
    /// Seconds that it rings.
    pub ring: u32,
}

/// How a phone's RTP goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Media {
    /// As ever: neither ICE nor encryption.
    Plain,
    /// Keys in the session description (RFC 4568), no ICE.
    Sdes,
    /// ICE and DTLS-SRTP, with RTCP on the port of RTP.
    Secure,
}

impl Default for Sound {
    fn default() -> Sound {
        let codecs = vec!["opus", "g711"];
        Sound { tone: 440, media: Media::Plain, codecs, account: String::new(), calls: 4, ring: 120 }
    }
}

impl Baresip {
    /// Starts it at `address`. `account` is a line of its accounts file (`<sip:romeo@example.net;transport=udp>;regint=0;
    /// outbound="sip:..."`), `contact` the SIP URI that its messages go to.
    #[track_caller]
    pub fn start(place: &Place, address: SocketAddr, account: &str, contact: &str) -> Baresip {
        Baresip::plain(place, address, account, &format!("\"Contact\" <{contact}>"))
    }

    /// As [`start`](Baresip::start), and it watches the contact's presence.
    #[track_caller]
    pub fn watching(place: &Place, address: SocketAddr, account: &str, contact: &str) -> Baresip {
        Baresip::plain(place, address, account, &format!("\"Contact\" <{contact}>;presence=p2p"))
    }

    /// As [`start`](Baresip::start), and it speaks TLS, at the port behind that of `address`: it shows a certificate, and wants one of this authority.
    #[track_caller]
    pub fn secure(
        place: &Place,
        address: SocketAddr,
        account: &str,
        contact: &str,
        (authority, shown): (&TestCa, &Credentials),
    ) -> Baresip {
        let read = |path: &Path| std::fs::read_to_string(path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
        let both = place.write("baresip.both.pem", &(read(&shown.chain) + &read(&shown.key)));
        let values = [("AUTHORITY", authority.root().display().to_string()), ("SHOWN", both.display().to_string())];
        let contact = format!("\"Contact\" <{contact}>");
        Baresip::run(place, "baresip", address, (account, &contact), "baresip/secure", &values)
    }

    #[track_caller]
    fn plain(place: &Place, address: SocketAddr, account: &str, contact: &str) -> Baresip {
        Baresip::run(place, "baresip", address, (account, contact), "baresip/config", &[])
    }

    /// Starts `sip:USER@example.net` at `address` with sound; all its calls go through `proxy`.
    #[track_caller]
    pub fn calling(place: &Place, user: &str, address: SocketAddr, proxy: SocketAddr, sound: &Sound) -> Baresip {
        let account = format!("<sip:{user}@example.net;transport=udp>;regint=0;outbound=\"sip:{proxy};transport=udp\"");
        Baresip::sounding(place, user, address, &account, sound)
    }

    /// As [`calling`](Baresip::calling), one of several phones of `sip:romeo@example.net` that register at `registrar` with `password`. `name` tells
    /// them apart.
    #[track_caller]
    pub fn registering(
        place: &Place,
        name: &str,
        address: SocketAddr,
        (registrar, password): (SocketAddr, &str),
        sound: &Sound,
    ) -> Baresip {
        let account = format!(
            "<sip:romeo@example.net;transport=udp>;auth_pass={password};regint=60;outbound=\"sip:{registrar};transport=udp\""
        );
        Baresip::sounding(place, name, address, &account, sound)
    }

    #[track_caller]
    fn sounding(place: &Place, name: &str, address: SocketAddr, account: &str, sound: &Sound) -> Baresip {
        let home = format!("baresip-{name}");
        let modules: Vec<String> = sound.codecs.iter().map(|codec| format!("module\t\t\t{codec}.so")).collect();
        let media = match sound.media {
            Media::Plain => "",
            Media::Sdes => ";mediaenc=srtp-mand",
            Media::Secure => ";medianat=ice;mediaenc=dtls_srtp",
        };
        let account = format!("{account}{media}{}", sound.account);
        let values = [
            ("CALLS", sound.calls.to_string()),
            ("RING", sound.ring.to_string()),
            ("TONE", sound.tone.to_string()),
            ("RTCP_MUX", if sound.media == Media::Secure { "yes" } else { "no" }.to_owned()),
            ("CODECS", modules.join("\n")),
            ("FOLDER", place.dir().join(&home).display().to_string()),
            ("RECORDER", build(place, "recorder").display().to_string()),
        ];
        Baresip::run(place, &home, address, (&account, ""), "baresip/calls", &values)
    }

    #[track_caller]
    fn run(
        place: &Place,
        name: &str,
        address: SocketAddr,
        (account, contact): (&str, &str),
        template: &str,
        more: &[(&str, String)],
    ) -> Baresip {
        let (control, console) = (place.free(), place.free());
        let home = place.dir().join(name);
        std::fs::create_dir_all(&home).unwrap_or_else(|e| panic!("cannot make {}: {e}", home.display()));
        assert!(Path::new(MODULES).is_dir(), "baresip is not installed; scripts/setup installs it");
        let (ip, port) = (address.ip().to_string(), address.port().to_string());
        let (control_port, console_port) = (control.port().to_string(), console.port().to_string());
        let mut values = vec![("IP", &*ip), ("PORT", &port), ("MODULES", MODULES), ("CONTROL_PORT", &control_port)];
        values.push(("CONSOLE_PORT", &console_port));
        values.extend(more.iter().map(|(key, value)| (*key, value.as_str())));
        place.write(&format!("{name}/config"), &template::fill(template, &values));
        place.write(&format!("{name}/accounts"), &format!("{account}\n"));
        place.write(&format!("{name}/contacts"), &format!("{contact}\n"));
        let log = format!("{name}-phone");
        let mut process = match template {
            "baresip/config" | "baresip/secure" => Process::start(place, &log, "baresip", &["-f", name, "-v", "-s"]),
            _ => {
                let preload = format!("LD_PRELOAD={}", build(place, "loopback").display());
                Process::start(place, &log, "env", &[&preload, "baresip", "-f", name, "-v", "-s"])
            }
        };
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
        Baresip { process, control, console, shown: Vec::new(), said: Vec::new(), events: Vec::new(), home }
    }

    /// Waits until something of this type (`CALL_ESTABLISHED`, `CALL_INCOMING`, `CALL_CLOSED`, ...) has happened to a call. Gives the event.
    #[track_caller]
    pub fn call_event(&mut self, kind: &str, patience: Duration) -> Value {
        let mut found = None;
        until(&format!("baresip says {kind}"), patience, || {
            self.process.assert_running();
            self.listen();
            found = self.events.iter().position(|event| event["type"] == kind);
            found.is_some()
        });
        self.events.remove(found.expect("until() saw it"))
    }

    /// Whether something of this type has happened that nobody has asked for yet.
    pub fn has(&mut self, kind: &str) -> bool {
        self.listen();
        self.events.iter().any(|event| event["type"] == kind)
    }

    /// Forgets what has happened to its calls so far.
    pub fn forget(&mut self) {
        self.listen();
        self.events.clear();
    }

    /// How many calls it has.
    #[track_caller]
    pub fn calls(&mut self) -> usize {
        self.command("listcalls", "").matches("[line ").count()
    }

    /// What it hears: waits until it records something.
    #[track_caller]
    pub fn heard(&mut self, patience: Duration) -> Recording {
        let mut before: BTreeMap<PathBuf, u64> = BTreeMap::new();
        let mut growing = None;
        until("baresip records", patience, || {
            self.process.assert_running();
            let files = std::fs::read_dir(&self.home).into_iter().flatten().flatten().map(|entry| entry.path());
            for path in files.filter(|path| path.extension().is_some_and(|kind| kind == "wav")) {
                let length = Recording::at(&path).len();
                if before.insert(path.clone(), length).is_some_and(|last| last < length) {
                    growing = Some(path);
                }
            }
            growing.is_some()
        });
        Recording::at(growing.expect("until() saw it"))
    }

    /// What it has logged: every SIP message that came and went, too.
    pub fn log(&self) -> String {
        self.process.log()
    }

    /// The process, for signals.
    pub fn process(&mut self) -> &mut Process {
        &mut self.process
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
        let mut answer = None;
        until("baresip obeys", SOON, || {
            self.listen();
            answer = self.events.iter().position(|said| said["response"] == true);
            answer.is_some()
        });
        let answer = self.events.remove(answer.expect("until() saw it"));
        assert_eq!(answer["ok"], true, "baresip: {answer}");
        answer["data"].as_str().unwrap_or_default().to_owned()
    }

    /// Reads what it has said: netstrings.
    fn listen(&mut self) {
        drain(&mut self.control, &mut self.said);
        while let Some(colon) = self.said.iter().position(|b| *b == b':') {
            let length: usize =
                std::str::from_utf8(&self.said[..colon]).ok().and_then(|n| n.parse().ok()).unwrap_or(usize::MAX);
            let end = colon.saturating_add(1).saturating_add(length);
            let Some(said) = self.said.get(colon + 1..end) else { return };
            self.events.push(serde_json::from_slice(said).unwrap_or_default());
            self.said.drain(..self.said.len().min(end + 1));
        }
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
            let log = self.process.log();
            log.contains(" binding]") || log.contains(" bindings]")
        });
    }
}

/// The library `name` beside baresip's configurations: built where it is needed, in no time. `loopback` makes its ICE see loopback, `recorder`
/// is a player that records.
#[track_caller]
fn build(place: &Place, name: &str) -> PathBuf {
    let library = place.dir().join(format!("{name}.so"));
    if !library.exists() {
        let source = template::path(&format!("baresip/{name}.c"));
        let (source, library) = (source.to_str().expect("UTF-8"), library.to_str().expect("UTF-8"));
        let arguments = ["-shared", "-fPIC", "-O1", "-pthread", "-o", library, source];
        let status = Process::start(place, "cc", "cc", &arguments).wait(SOON);
        assert!(status.success(), "cc: {status}");
    }
    library
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
