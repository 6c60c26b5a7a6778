//! `jingle`: requests of an XMPP user to a SIP user, each to a gateway of its own in simulated time; and a good call behind each.

use crate::table::{Case, cases, corpus};
use base::{Time, Tokens};
use rehearsal::scene::Settings;
use rehearsal::wire::{SipText, read_stanza};
use sip::agent::{Flow, Transport};
use std::sync::Arc;
use std::time::Duration;
use stox::gateway::{Gateway, Input, Output};
use stox::{config::Link, config::LinkKind, config::Mode, media};
use xml::{Element, Limits};
use xmpp::error::StanzaError;
use xmpp::ext::jingle::{self, Action, Jingle};
use xmpp::ext::jmi::Jmi;
use xmpp::jid::Jid;
use xmpp::ns;
use xmpp::stanza::{Kind, Stanza};

const ROMEO: &str = "romeo@example.com/orchard";
const PHONE: ([u8; 4], u16) = ([192, 0, 2, 10], 5060);
const GATEWAY: ([u8; 4], u16) = ([192, 0, 2, 1], 5060);
/// What a phone says of its media.
const SDP: &str = "v=0\r\no=- 1 1 IN IP4 192.0.2.10\r\ns=-\r\nc=IN IP4 192.0.2.10\r\nt=0 0\r\nm=audio 8998 RTP/AVP 0\r\n\
    a=mid:voice\r\na=rtpmap:0 PCMU/8000\r\na=ice-ufrag:8hhy\r\na=ice-pwd:asd88fgpdd777uzjYhagZg\r\n\
    a=candidate:1 1 UDP 2130706431 192.0.2.10 8998 typ host\r\n";

/// A gateway, and what it has said.
struct Bench {
    gateway: Gateway,
    now: Time,
    stanzas: Vec<Stanza>,
    sip: Vec<SipText>,
}

impl Bench {
    fn new() -> Bench {
        let mut settings = Settings::default();
        settings.config.xmpp_domains = vec!["example.com".into()];
        settings.config.links = vec![Link {
            kind: LinkKind::Component,
            domain: "sip.example.net".into(),
            allow_from: Vec::new(),
            chat: Mode::Message,
        }];
        // The samples have neither keys nor a relay.
        let relay = media::relay::Options { mode: media::relay::Mode::Never, ..Default::default() };
        settings.config.media = Some(media::Options { relay, ..Default::default() });
        settings.config.peers.iter_mut().for_each(|peer| peer.domains = vec!["sip.example.net".into()]);
        let mut gateway = Gateway::new(Arc::new(settings.config), settings.sip, Tokens::seeded(1));
        gateway.handle(Time::from_secs(1), Input::LinkUp(0));
        let mut bench = Bench { gateway, now: Time::from_secs(1), stanzas: Vec::new(), sip: Vec::new() };
        bench.run(Duration::from_secs(1));
        bench
    }

    /// Time goes by.
    fn run(&mut self, time: Duration) {
        let end = self.now + time;
        loop {
            while let Some(output) = self.gateway.poll() {
                match output {
                    Output::Sip { bytes, .. } => {
                        let message = SipText::parse(&bytes).expect("SIP");
                        // Nobody answers, so that some come several times.
                        if !self.sip.contains(&message) {
                            self.sip.push(message);
                        }
                    }
                    Output::Stanza { bytes, token, .. } => {
                        self.stanzas.push(read_stanza(&bytes));
                        self.gateway.handle(self.now, Input::Taken(token));
                    }
                    Output::Save { token, .. } => self.gateway.handle(self.now, Input::Saved(token)),
                    Output::Lookup { .. }
                    | Output::Msrp(_)
                    | Output::Relay { .. }
                    | Output::Offence(..)
                    | Output::Note(_) => {}
                }
            }
            let Some(at) = self.gateway.deadline().filter(|at| *at <= end) else { break };
            self.now = self.now.max(at);
            self.gateway.timeout(self.now);
        }
        self.now = end;
    }

    /// The XMPP user says this.
    fn says(&mut self, stanzas: &[u8]) {
        let stream = [b"<s xmlns='jabber:component:accept'>", stanzas, b"</s>"].concat();
        let stream = Element::parse(&stream, &Limits::default()).expect("well-formed");
        for e in stream.elements() {
            let stanza = Stanza::from_element(e.clone(), ns::COMPONENT_ACCEPT).expect("a stanza");
            self.gateway.handle(self.now, Input::Stanza(0, stanza));
        }
        self.run(Duration::from_secs(5));
    }

    /// The SIP user says this.
    fn rings(&mut self, message: &SipText) {
        let flow = Flow { transport: Transport::Udp, local: GATEWAY.into(), remote: PHONE.into(), connection: None };
        let message = sip::parse_datagram(&message.to_bytes().into(), &sip::Limits::default()).expect("SIP");
        self.gateway.handle(self.now, Input::Sip(message, flow));
        self.run(Duration::from_secs(3));
    }

    fn takes(&mut self) -> (Vec<Stanza>, Vec<SipText>) {
        (std::mem::take(&mut self.stanzas), std::mem::take(&mut self.sip))
    }

    /// All requests of the gateway are granted. Gives back what they ask for.
    fn grants(&mut self) -> Vec<Jingle> {
        let asked: Vec<_> =
            self.takes().0.into_iter().filter(|s| s.kind == Kind::Iq && s.type_.as_deref() == Some("set")).collect();
        for iq in &asked {
            self.says(&iq.result(None).to_bytes(ns::COMPONENT_ACCEPT));
        }
        asked.iter().filter_map(Jingle::of).map(|e| Jingle::parse(e).expect("what we say is right")).collect()
    }

    /// A call that the SIP user has begun, as far as the session-initiate: its name.
    fn begun_by_sip(&mut self) -> String {
        let mut invite =
            SipText { start: "INVITE sip:romeo@example.com SIP/2.0".into(), headers: Vec::new(), body: SDP.into() };
        for (name, value) in [
            ("Via", "SIP/2.0/UDP 192.0.2.10:5060;branch=z9hG4bKcorpus;rport"),
            ("Max-Forwards", "70"),
            ("From", "<sip:juliet@sip.example.net>;tag=1"),
            ("To", "<sip:romeo@example.com>"),
            ("Call-ID", "a84b4c76e66710b5d4f3@192.0.2.10"),
            ("CSeq", "1 INVITE"),
            ("Contact", "<sip:juliet@192.0.2.10>"),
            ("Content-Type", "application/sdp"),
        ] {
            invite.push(name, value);
        }
        self.rings(&invite);
        let (stanzas, _) = self.takes();
        let proposal = stanzas.iter().find(|s| matches!(Jmi::of(s), Some(Jmi::Propose { .. }))).expect("a proposal");
        let Some(Jmi::Propose { id, .. }) = Jmi::of(proposal) else { panic!("a proposal") };
        let proceed = Stanza::message().with_type("chat").with_to(proposal.from.clone().expect("a sender"));
        let proceed =
            proceed.with_from(Jid::parse(ROMEO).expect("an address")).with_child(Jmi::Proceed { id }.to_element());
        self.says(&proceed.to_bytes(ns::COMPONENT_ACCEPT));
        let initiate = self.grants().into_iter().find(|j| j.action == Action::SessionInitiate).expect("a session");
        initiate.sid.to_string()
    }

    /// A call that the XMPP user has begun and both talk in.
    fn active(&mut self, initiate: &Case) -> String {
        self.says(&initiate.bytes);
        let (_, sip) = self.takes();
        let invite = sip.iter().find(|m| m.start.starts_with("INVITE ")).expect("an INVITE");
        let mut ok = invite.response(200, "OK", "corpus");
        ok.push("Contact", "<sip:juliet@192.0.2.10>");
        ok.push("Content-Type", "application/sdp");
        ok.body = SDP.into();
        self.rings(&ok);
        let accept = self.grants().into_iter().find(|j| j.action == Action::SessionAccept).expect("an answer");
        accept.sid.to_string()
    }
}

/// What was answered, in the words of the table.
fn words_of(stanzas: &[Stanza]) -> Vec<String> {
    let word = |stanza: &Stanza| match (stanza.type_.as_deref(), StanzaError::from_stanza(stanza)) {
        (Some("result"), _) => Some("result".to_owned()),
        (_, Some(error)) => {
            let more = jingle::Error::of(&error).map(|e| format!(" + {e}")).unwrap_or_default();
            Some(format!("{}{more}", error.condition))
        }
        (Some("set"), _) => {
            let jingle = Jingle::of(stanza).and_then(|e| Jingle::parse(e).ok())?;
            let reason = jingle.reason.map(|r| format!(" {}", r.condition)).unwrap_or_default();
            Some(format!("{}{reason}", jingle.action))
        }
        _ => None,
    };
    stanzas.iter().filter(|s| s.kind == Kind::Iq).filter_map(word).collect()
}

/// Whether the table allows these answers: alternatives with `|`, what follows one behind `then`.
fn fits(cell: &str, words: &[String]) -> bool {
    cell.split('|').any(|allowed| {
        let mut allowed = allowed.split(" then ");
        let mut words = words.iter().filter(|word| !word.starts_with("session-info"));
        let each = |word: &str| match word {
            "out-of-order" => "unexpected-request + out-of-order".to_owned(),
            word => word.to_owned(),
        };
        let said = |word: &str| words.next().is_some_and(|seen| *seen == each(word));
        allowed.by_ref().all(said) && words.next().is_none()
    })
}

/// What is wrong with an INVITE, whatever it was made of.
fn fault(invite: &SipText) -> Option<String> {
    let wrong = |what: &str| Some(format!("{what}: {invite}"));
    let sdp = invite.text();
    if invite.header("Evil").is_some()
        || invite.all("Call-ID").count() != 1
        || invite.header("Call-ID").is_none_or(|c| c.len() > 300)
    {
        return wrong("headers");
    }
    let media: Vec<_> = sdp.lines().filter(|line| line.starts_with("m=")).collect();
    let maps = sdp.lines().filter(|line| line.starts_with("a=rtpmap:0 ")).count();
    match bodies::sdp::Sdp::parse(&invite.body) {
        Err(error) => wrong(&format!("{error:?}")),
        Ok(_) if media.len() != 1 || !media[0].starts_with("m=audio ") || maps > 1 => wrong("media"),
        Ok(_) => None,
    }
}

#[test]
fn calls_if_the_corpus_is_there() {
    let Some(corpus) = corpus() else { return };
    let cases = cases(&corpus.join("jingle"));
    assert!(cases.len() >= 17, "the corpus is whole");
    let good = cases.iter().find(|case| case.name == "ok-initiate").expect("a good one");
    let mut problems = Vec::new();
    for case in &cases {
        let mut bench = Bench::new();
        let sid = match case.name.as_str() {
            "accept-out-of-order" => bench.active(good),
            "accept-twice" | "tie-break" => bench.begun_by_sip(),
            _ => String::new(),
        };
        bench.takes();
        bench.says(String::from_utf8_lossy(&case.bytes).replace("ACTIVE", &sid).as_bytes());
        let (stanzas, sip) = bench.takes();
        let (words, cell) = (words_of(&stanzas), case.row.get("iq_reply"));
        let mut problem = |what: String| problems.push(format!("{} ({}): {what}", case.name, case.row.get("reason")));
        if !fits(cell, &words) {
            problem(format!("{words:?} in place of {cell}"));
        }
        let said = |start: &str| sip.iter().filter(|m| m.start.starts_with(start)).count();
        let taken = words.first().is_some_and(|word| word == "result") && words.len() == 1 && sid.is_empty();
        if said("INVITE ") != usize::from(taken) {
            problem(format!("{words:?} and {} INVITEs", said("INVITE ")));
        }
        if case.name == "accept-twice" && said("SIP/2.0 200") != 1 {
            problem(format!("{} answers", said("SIP/2.0 200")));
        }
        sip.iter().filter(|m| m.start.starts_with("INVITE ")).filter_map(fault).for_each(&mut problem);
        // And behind it a good one.
        let next = String::from_utf8_lossy(&good.bytes).replace("a73sjjvkla37jfea", "b84tkkwlmb48kgfb");
        bench.says(next.as_bytes());
        let (stanzas, sip) = bench.takes();
        let served = sip.iter().filter(|m| m.start.starts_with("INVITE ") && m.text().contains("m=audio ")).count();
        let words = words_of(&stanzas);
        if served == 0 || words.first().map(String::as_str) != Some("result") {
            problem(format!("a good call is not served: {words:?}, {served}"));
        }
    }
    assert!(problems.is_empty(), "{} problems:\n{}", problems.len(), problems.join("\n"));
}
