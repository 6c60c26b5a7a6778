//! One stream against scripts, and two against each other.

mod acks;
mod both;
mod dialback;
mod initiating;
mod model;
mod receiving;
mod stanzas;

use super::*;
use crate::stanza::Stanza;
use crate::stream::StreamError;
use base::{Str, Time, Tokens};
use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

/// Ours in the scripts.
const LOCAL: &str = "sip.example.net";
/// Theirs.
const REMOTE: &str = "example.com";

pub(super) fn config(local: &str) -> Config {
    let certificate = Local { certificate: true };
    Config::new([(Str::from(local), certificate)], Secret::new(local.as_bytes()))
}

/// One that does without TLS.
fn plain_config() -> Config {
    let mut config = config(LOCAL);
    config.rules.policy.require_tls = false;
    config
}

/// Another policy for one domain.
fn except(config: &mut Config, domain: &str, policy: Policy) {
    config.rules.exceptions.push((Pattern::Exactly(domain.into()), policy));
}

pub(super) fn pair() -> Pair {
    Pair::new(LOCAL, REMOTE)
}

fn secs(n: u64) -> Duration {
    Duration::from_secs(n)
}

/// A machine, and what it wants. What it writes is one text.
struct One {
    stream: Stream,
    now: Time,
    /// What its certificate judge says; asked as often as it asks.
    certificate: Certificate,
    /// The domains that it has asked about.
    judged: Vec<Str>,
    others: VecDeque<Output>,
}

impl One {
    fn new(stream: Stream) -> One {
        let now = Time::from_secs(1);
        One { stream, now, certificate: Certificate::Valid, judged: Vec::new(), others: VecDeque::new() }
    }

    fn receiving(config: Config, direct_tls: bool) -> One {
        One::new(Stream::receiving(Arc::new(config), Tokens::seeded(1), Time::from_secs(1), direct_tls))
    }

    fn initiating(config: Config, initiate: Initiate) -> One {
        One::new(Stream::initiating(Arc::new(config), Tokens::seeded(2), Time::from_secs(1), initiate))
    }

    fn with_certificate(mut self, certificate: Certificate) -> One {
        self.certificate = certificate;
        self
    }

    /// What it writes now. Ids are replaced by `ID`, our header by `HEADER`, the end of the stream by `END`.
    fn text(&mut self) -> String {
        let mut bytes = Vec::new();
        self.stream.flushed(self.now);
        while let Some(output) = self.stream.poll() {
            match output {
                Output::Bytes(b) => bytes.extend(b),
                Output::Judge(domain) => {
                    self.judged.push(domain.clone());
                    let certificate = self.certificate.clone();
                    self.stream.judged(self.now, &domain, certificate);
                }
                Output::StartTls => {
                    self.others.push_back(Output::StartTls);
                    self.stream.flushed(self.now);
                }
                other => self.others.push_back(other),
            }
        }
        let mut text = String::from_utf8(bytes).expect("UTF-8");
        if let Some(id) = self.stream.id() {
            text = text.replace(id, "ID");
        }
        while let Some(start) = text.find("<?xml") {
            let end = start + text[start..].find("<stream:stream").expect("a header");
            let end = end + text[end..].find('>').expect("its end") + 1;
            text.replace_range(start..end, "HEADER");
        }
        text.replace("</stream:stream>", "END")
    }

    /// What it answers to `text`.
    fn hear(&mut self, text: &str) -> String {
        self.stream.received(self.now, text.as_bytes());
        self.text()
    }

    /// What it does when so much time has passed.
    fn wait(&mut self, time: Duration) -> String {
        let until = self.now + time;
        let mut text = String::new();
        while let Some(at) = self.stream.deadline().filter(|at| *at <= until) {
            self.now = self.now.max(at);
            self.stream.timeout(self.now);
            text += &self.text();
        }
        self.now = until;
        text
    }

    /// TLS stands.
    fn secure(&mut self) -> String {
        assert_eq!(self.others.pop_front(), Some(Output::StartTls));
        self.stream.secured(self.now);
        self.text()
    }

    /// What it has said besides, in short.
    fn told(&mut self) -> Vec<String> {
        self.others.drain(..).map(|o| short(&o)).collect()
    }

    fn ends(&mut self) -> DownReason {
        let reason = self.others.iter().find_map(|o| match o {
            Output::Down(reason) => Some(reason.clone()),
            _ => None,
        });
        assert!(self.others.iter().any(|o| matches!(o, Output::Close | Output::Abort)), "{:?}", self.others);
        self.others.clear();
        reason.expect("an end")
    }
}

fn short(output: &Output) -> String {
    match output {
        Output::Ready { pair, proof } => format!("ready {pair} by {proof:?}"),
        Output::Accepts { pair, proof } => format!("accepts {pair} by {proof:?}"),
        Output::Refused { pair, verdict } => format!("refused {pair}: {verdict:?}"),
        Output::Verify(v) => format!("verify {} {}", v.pair, v.key),
        Output::Verified { pair, id, verdict } => format!("verified {pair} {id}: {verdict:?}"),
        Output::Stanza(s) => format!("stanza {}", s.id.as_deref().unwrap_or_default()),
        Output::Reply(s) => format!("reply {}", text_of(s)),
        Output::Down(reason) => format!("down: {reason}"),
        Output::Fault(fault) => format!("fault: {fault}"),
        other => format!("{other:?}"),
    }
}

fn text_of(stanza: &Stanza) -> String {
    String::from_utf8(stanza.to_bytes(crate::ns::SERVER)).expect("UTF-8")
}

/// A header as they send it.
fn header(attrs: &str) -> String {
    format!(
        "<?xml version='1.0'?><stream:stream xmlns='jabber:server' xmlns:stream='http://etherx.jabber.org/streams' \
         xmlns:db='jabber:server:dialback' {attrs} version='1.0'>"
    )
}

fn their_header() -> String {
    header(&format!("from='{REMOTE}' to='{LOCAL}'"))
}

/// Their answer to ours.
fn answer() -> String {
    header(&format!("from='{REMOTE}' to='{LOCAL}' id='D60000229F'"))
}

fn features(inner: &str) -> String {
    format!("<stream:features>{inner}</stream:features>")
}

const STARTTLS: &str = "<starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>";
const STARTTLS_REQUIRED: &str = "<starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'><required/></starttls>";
const PROCEED: &str = "<proceed xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>";
const EXTERNAL: &str =
    "<mechanisms xmlns='urn:ietf:params:xml:ns:xmpp-sasl'><mechanism>EXTERNAL</mechanism></mechanisms>";
const DIALBACK: &str = "<dialback xmlns='urn:xmpp:features:dialback'><errors/></dialback>";
const BIDI_FEATURE: &str = "<bidi xmlns='urn:xmpp:features:bidi'/>";
const BIDI: &str = "<bidi xmlns='urn:xmpp:bidi'/>";
const SM: &str = "<sm xmlns='urn:xmpp:sm:3'/>";
const SUCCESS: &str = "<success xmlns='urn:ietf:params:xml:ns:xmpp-sasl'/>";

fn auth(text: &str) -> String {
    format!("<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='EXTERNAL'>{text}</auth>")
}

fn sasl_failure(condition: &str) -> String {
    format!("<failure xmlns='urn:ietf:params:xml:ns:xmpp-sasl'><{condition}/></failure>")
}

/// The condition of the stream error that `text` ends with.
fn condition(text: &str) -> Option<&str> {
    let start = text.find("<stream:error><")? + "<stream:error><".len();
    text.ends_with("END").then(|| text[start..].split([' ', '/']).next().unwrap_or_default())
}

fn error(condition: crate::error::StreamCondition, text: &str) -> DownReason {
    DownReason::OurError(StreamError::new(condition).with_text(text))
}
