//! sipp: scenarios that take exactly what they expect, as a judge that is nobody's.

use super::{Place, Process, template, until};
use std::fs;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

/// What a sipp phone answers.
#[derive(Debug, Clone, Copy)]
pub enum Answer {
    /// This code and Reason-Phrase.
    Code(u16, &'static str),
    /// Nothing, ever.
    Nothing,
}

/// What a sipp phone sends.
#[derive(Debug, Clone, Copy)]
pub struct SippMessage<'a> {
    /// Request-URI and To.
    pub uri: &'a str,
    /// From.
    pub sender: &'a str,
    /// Subject.
    pub subject: &'a str,
    /// Content-Language.
    pub language: &'a str,
    /// The text.
    pub text: &'a str,
    /// The only final response that it takes.
    pub expect: u16,
}

/// A running sipp.
#[derive(Debug)]
pub struct Sipp {
    process: Process,
    messages: PathBuf,
    errors: PathBuf,
}

impl Sipp {
    /// A phone at `address` that takes `count` MESSAGEs over UDP, one answer each.
    #[track_caller]
    pub fn answering(place: &Place, address: SocketAddr, answer: Answer, count: usize) -> Sipp {
        let scenario = match answer {
            Answer::Code(code, reason) => {
                template::fill("sipp/uas.xml", &[("CODE", &code.to_string()), ("REASON", reason), ("LINGER", "500")])
            }
            Answer::Nothing => template::fill("sipp/uas_silent.xml", &[("LINGER", "40000")]),
        };
        let count = count.to_string();
        let mut sipp = Sipp::run(place, "uas", address, &scenario, &["-m", &count]);
        until("sipp listens", Duration::from_secs(10), || {
            sipp.process.assert_running();
            is_bound(address)
        });
        sipp
    }

    /// A phone at `address` that sends one MESSAGE to `to` over `transport` ("u1" for UDP, "t1" for TCP).
    #[track_caller]
    pub fn sending(
        place: &Place,
        address: SocketAddr,
        to: SocketAddr,
        transport: &str,
        message: &SippMessage<'_>,
    ) -> Sipp {
        let code = message.expect.to_string();
        let scenario = template::fill("sipp/uac.xml", &[("CODE", &code), ("PATIENCE", "35000")]);
        let to = to.to_string();
        let keys = [
            ["-key", "uri", message.uri],
            ["-key", "sender", message.sender],
            ["-key", "subject", message.subject],
            ["-key", "language", message.language],
            ["-key", "text", message.text],
        ];
        let mut args = vec![to.as_str(), "-m", "1", "-t", transport];
        args.extend(keys.iter().flatten().copied());
        Sipp::run(place, "uac", address, &scenario, &args)
    }

    /// A phone at `address` that plays `scenario` (a file of `interop/sipp`) once over UDP, with these names filled in; it begins by sending to
    /// `to`, or waits for somebody.
    #[track_caller]
    pub fn playing(
        place: &Place,
        address: SocketAddr,
        to: Option<SocketAddr>,
        scenario: &str,
        values: &[(&str, &str)],
    ) -> Sipp {
        Sipp::play(place, address, to, (scenario, values), &[])
    }

    /// As [`playing`](Sipp::playing), waiting for somebody, whose sound comes back to him.
    #[track_caller]
    pub fn echoing(place: &Place, address: SocketAddr, scenario: &str, values: &[(&str, &str)]) -> Sipp {
        let (ip, port) = (place.ip().to_string(), place.free().port().to_string());
        Sipp::play(place, address, None, (scenario, values), &["-rtp_echo", "-mi", &ip, "-mp", &port])
    }

    #[track_caller]
    fn play(
        place: &Place,
        address: SocketAddr,
        to: Option<SocketAddr>,
        (scenario, values): (&str, &[(&str, &str)]),
        more: &[&str],
    ) -> Sipp {
        let mut all = vec![("PATIENCE", "20000"), ("LINGER", "300")];
        all.retain(|(name, _)| values.iter().all(|(given, _)| given != name));
        all.extend(values);
        let text = template::fill(&format!("sipp/{scenario}.xml"), &all);
        let to = to.map(|to| to.to_string());
        let mut args = vec!["-m", "1"];
        args.extend(to.as_deref());
        args.extend(more);
        let mut sipp = Sipp::run(place, scenario, address, &text, &args);
        if to.is_none() {
            until("sipp listens", Duration::from_secs(10), || {
                sipp.process.assert_running();
                is_bound(address)
            });
        }
        sipp
    }

    #[track_caller]
    fn run(place: &Place, name: &str, address: SocketAddr, scenario: &str, args: &[&str]) -> Sipp {
        let name = format!("sipp-{name}-{}", address.port());
        let scenario = place.write(&format!("{name}.xml"), scenario);
        let (messages, errors) = (place.log(&format!("{name}.messages")), place.log(&format!("{name}.errors")));
        let (ip, port) = (address.ip().to_string(), address.port().to_string());
        let files = [&scenario, &messages, &errors].map(|p| p.to_str().expect("the test's folder is UTF-8"));
        let [scenario, messages_file, errors_file] = files;
        let mut all = vec!["-sf", scenario, "-i", &ip, "-p", &port, "-ci", &ip, "-nostdin"];
        all.extend(["-trace_msg", "-message_file", messages_file, "-trace_err", "-error_file", errors_file]);
        all.extend(args);
        let process = Process::start(place, &name, "sipp", &all);
        Sipp { process, messages, errors }
    }

    /// Waits until every call is over and fails the test unless all went as the scenario says. Gives the log of all
    /// messages.
    #[track_caller]
    pub fn finish(&mut self, patience: Duration) -> String {
        let status = self.process.wait(patience);
        let read = |path| fs::read(path).map(|b| String::from_utf8_lossy(&b).into_owned()).unwrap_or_default();
        let (messages, errors) = (read(&self.messages), read(&self.errors));
        assert!(status.success(), "sipp: {status}\n{errors}\n{messages}");
        messages
    }

    /// What went over the wire so far.
    pub fn messages(&self) -> String {
        fs::read(&self.messages).map(|b| String::from_utf8_lossy(&b).into_owned()).unwrap_or_default()
    }
}

/// Whether somebody has this UDP port. Binding it to find out would take it from whom we wait for.
fn is_bound(address: SocketAddr) -> bool {
    let SocketAddr::V4(v4) = address else { return false };
    // The kernel prints the address in the machine's byte order, the port as a number.
    let wanted = format!(" {:08X}:{:04X} ", u32::from_ne_bytes(v4.ip().octets()), v4.port());
    fs::read_to_string("/proc/net/udp").is_ok_and(|table| table.contains(&wanted))
}
