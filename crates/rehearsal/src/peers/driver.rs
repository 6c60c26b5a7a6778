//! A script that is driven by JSON lines: commands in, events out.

use super::{Place, Process, template};
use serde::de::DeserializeOwned;
use serde_json::Value;
use std::collections::VecDeque;
use std::io::{BufRead, BufReader, Write};
use std::process::ChildStdin;
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::thread;
use std::time::{Duration, Instant};

/// Debian's Python, which is the one that sees Debian's slixmpp.
const PYTHON: &str = "/usr/bin/python3";

/// A running script under `interop/`. Events that nobody asked for yet wait in their order.
#[derive(Debug)]
pub struct Driver {
    name: String,
    process: Process,
    stdin: ChildStdin,
    events: Receiver<Value>,
    waiting: VecDeque<Value>,
}

impl Driver {
    /// Starts `script`; `name` names its logs.
    #[track_caller]
    pub fn start(place: &Place, name: &str, script: &str) -> Driver {
        Driver::start_with(place, name, (PYTHON, &["-u"]), script)
    }

    /// As [`start`](Driver::start), run by another program with these arguments in front.
    #[track_caller]
    pub fn start_with(place: &Place, name: &str, (program, args): (&str, &[&str]), script: &str) -> Driver {
        let path = template::path(script);
        let path = path.to_str().expect("the project's path is UTF-8");
        let (process, stdin, stdout) = Process::piped(place, name, program, &[args, &[path]].concat());
        let said = place.log(&format!("{name}.events"));
        let (tx, events) = mpsc::channel();
        thread::spawn(move || {
            let mut said = std::fs::File::create(said).ok();
            for line in BufReader::new(stdout).lines().map_while(Result::ok) {
                if let Some(said) = &mut said {
                    let _ = writeln!(said, "{line}");
                }
                let event = serde_json::from_str(&line).unwrap_or(Value::String(line));
                if tx.send(event).is_err() {
                    return;
                }
            }
        });
        Driver { name: name.to_owned(), process, stdin, events, waiting: VecDeque::new() }
    }

    /// Gives a command.
    #[track_caller]
    pub fn order(&mut self, command: &Value) {
        if let Err(e) = writeln!(self.stdin, "{command}").and_then(|()| self.stdin.flush()) {
            panic!("{} takes no command: {e}\n{}", self.name, self.process.log());
        }
    }

    /// SIGKILL.
    pub fn kill(&mut self) {
        self.process.kill();
    }

    /// The first event of this `kind` that fits, however many others came before it (they keep waiting). Fails the test
    /// after `patience`, and at once if the script reports a problem, or a fault of the other side, or ends.
    #[track_caller]
    pub fn expect<T: DeserializeOwned>(&mut self, kind: &str, patience: Duration, fits: impl Fn(&T) -> bool) -> T {
        match self.wait(kind, patience, &fits) {
            Some(event) => event,
            None => panic!("{}: no such {kind} within {patience:?}; waiting are {:#?}", self.name, self.waiting),
        }
    }

    /// Fails the test if an event of this `kind` that fits comes within `patience`.
    #[track_caller]
    pub fn expect_none<T: DeserializeOwned>(&mut self, kind: &str, patience: Duration, fits: impl Fn(&T) -> bool) {
        let before = self.waiting.len();
        if self.wait(kind, patience, &fits).is_some() {
            panic!("{}: a {kind} that should not be, among {before} waiting", self.name);
        }
    }

    /// Every event of this `kind` that has come so far, taken out in order.
    #[track_caller]
    pub fn take_all<T: DeserializeOwned>(&mut self, kind: &str) -> Vec<T> {
        let mut out = Vec::new();
        while let Some(event) = self.wait(kind, Duration::ZERO, &|_: &T| true) {
            out.push(event);
        }
        out
    }

    /// As [`expect`](Driver::expect), but None where nothing came.
    #[track_caller]
    pub(super) fn wait<T: DeserializeOwned>(
        &mut self,
        kind: &str,
        patience: Duration,
        fits: &impl Fn(&T) -> bool,
    ) -> Option<T> {
        let end = Instant::now() + patience;
        let mut seen = 0;
        loop {
            while seen < self.waiting.len() {
                if let Some(event) = read(&self.waiting[seen], kind).filter(fits) {
                    self.waiting.remove(seen);
                    return Some(event);
                }
                seen += 1;
            }
            match self.events.recv_timeout(end.saturating_duration_since(Instant::now())) {
                Ok(event) => {
                    let bad = event["event"] == "problem" || event["event"] == "fault";
                    assert!(!bad, "{}: {event:#}", self.name);
                    self.waiting.push_back(event);
                }
                Err(RecvTimeoutError::Timeout) => return None,
                Err(RecvTimeoutError::Disconnected) => {
                    panic!("{} has ended before its {kind}:\n{}", self.name, self.process.log())
                }
            }
        }
    }
}

/// The event as a `T`, if it is of this kind. What does not fit the type is a fault of the script, so it ends the test.
#[track_caller]
fn read<T: DeserializeOwned>(event: &Value, kind: &str) -> Option<T> {
    if event["event"] != kind {
        return None;
    }
    match serde_json::from_value(event.clone()) {
        Ok(event) => Some(event),
        Err(e) => panic!("{kind}: {e} in {event:#}"),
    }
}
