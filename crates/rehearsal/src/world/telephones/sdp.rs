//! What telephones say of their media, and read of it: session descriptions as text.

use super::talk::HOST;
use std::fmt::Write as _;

/// A description, as far as a telephone reads it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Sdp {
    /// Its media, in order.
    pub lines: Vec<Line>,
}

/// One medium.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line {
    /// `audio`, `video`.
    pub kind: String,
    /// Its port is 0.
    pub rejected: bool,
    /// Its direction, as the writer means it.
    pub wanted: &'static str,
    /// The fingerprint of the writer's key.
    pub fingerprint: Option<String>,
    /// How many candidates the writer has.
    pub candidates: usize,
    pub(super) mid: Option<String>,
    pub(super) protocol: String,
    pub(super) formats: String,
    /// Lines about formats, as they are.
    pub(super) about: Vec<String>,
}

const DIRECTIONS: [&str; 4] = ["sendrecv", "sendonly", "recvonly", "inactive"];

/// Whether a description is one of a call.
pub(super) fn is_call(text: &str) -> bool {
    text.lines().any(|line| line.starts_with("m=audio ") || line.starts_with("m=video "))
}

/// What a telephone offers.
pub(super) fn line(kind: &str) -> Line {
    let (formats, about): (_, &[&str]) = match kind {
        "video" => ("96", &["rtpmap:96 VP8/90000", "rtcp-fb:96 nack pli"]),
        _ => (
            "111 0 8 110",
            &[
                "rtpmap:111 opus/48000/2",
                "fmtp:111 minptime=10;useinbandfec=1",
                "rtpmap:0 PCMU/8000",
                "rtpmap:8 PCMA/8000",
                "rtpmap:110 telephone-event/8000",
                "fmtp:110 0-15",
            ],
        ),
    };
    Line {
        kind: kind.to_owned(),
        rejected: false,
        wanted: "sendrecv",
        fingerprint: None,
        candidates: 0,
        mid: Some(kind.to_owned()),
        protocol: "UDP/TLS/RTP/SAVPF".to_owned(),
        formats: formats.to_owned(),
        about: about.iter().map(|line| (*line).to_owned()).collect(),
    }
}

impl Line {
    /// What is said to it at first: the same, as telephones know everything.
    pub(super) fn answer(&self) -> Line {
        let known = matches!(self.kind.as_str(), "audio" | "video");
        Line { rejected: self.rejected || !known, fingerprint: None, candidates: 0, ..self.clone() }
    }

    /// The other side offers it anew.
    pub(super) fn follows(&mut self, theirs: &Line) {
        *self = theirs.answer();
    }
}

impl Sdp {
    /// Reads one.
    pub(super) fn read(text: &str) -> Sdp {
        let mut lines: Vec<Line> = Vec::new();
        let (mut wanted, mut fingerprint) = ("sendrecv", None);
        for text in text.lines() {
            if let Some(media) = text.strip_prefix("m=") {
                let mut words = media.splitn(4, ' ');
                let mut word = || words.next().unwrap_or_default().to_owned();
                let (kind, port, protocol, formats) = (word(), word(), word(), word());
                lines.push(Line {
                    kind,
                    rejected: port == "0",
                    wanted,
                    fingerprint: fingerprint.clone(),
                    candidates: 0,
                    mid: None,
                    protocol,
                    formats,
                    about: Vec::new(),
                });
                continue;
            }
            let Some(attribute) = text.strip_prefix("a=") else { continue };
            let print = attribute.strip_prefix("fingerprint:").and_then(|f| f.split(' ').nth(1)).map(str::to_owned);
            let direction = DIRECTIONS.into_iter().find(|direction| *direction == attribute);
            match lines.last_mut() {
                None => {
                    fingerprint = print.or(fingerprint);
                    wanted = direction.unwrap_or(wanted);
                }
                Some(line) => {
                    line.fingerprint = print.or(line.fingerprint.take());
                    line.wanted = direction.unwrap_or(line.wanted);
                    line.candidates += usize::from(attribute.starts_with("candidate:"));
                    if let Some(mid) = attribute.strip_prefix("mid:") {
                        line.mid = Some(mid.to_owned());
                    }
                    if ["rtpmap:", "fmtp:", "rtcp-fb:"].iter().any(|about| attribute.starts_with(about)) {
                        line.about.push(attribute.to_owned());
                    }
                }
            }
        }
        Sdp { lines }
    }

    /// The medium of that kind, if it is not rejected.
    pub fn line(&self, kind: &str) -> Option<&Line> {
        self.lines.iter().find(|line| !line.rejected && line.kind == kind)
    }
}

/// Writes one.
pub(super) fn write(lines: &[Line], (user, version): (u64, u32), fingerprint: &str, setup: &str) -> String {
    let mut sdp = format!("v=0\r\no=- {user} {version} IN IP4 {HOST}\r\ns=-\r\nc=IN IP4 {HOST}\r\nt=0 0\r\n");
    for line in lines {
        let port = if line.rejected { 0 } else { 30_000 + user * 2 };
        let _ = write!(sdp, "m={} {port} {} {}\r\n", line.kind, line.protocol, line.formats);
        if line.rejected {
            continue;
        }
        if let Some(mid) = &line.mid {
            let _ = write!(sdp, "a=mid:{mid}\r\n");
        }
        line.about.iter().for_each(|about| {
            let _ = write!(sdp, "a={about}\r\n");
        });
        let _ = write!(
            sdp,
            "a=ice-ufrag:ph{user}u\r\na=ice-pwd:telephoneoftheworld{user:0>4}\r\na=fingerprint:sha-256 {fingerprint}\r\n\
             a=setup:{setup}\r\na=rtcp-mux\r\na=candidate:1 1 UDP 2130706431 {HOST} {port} typ host\r\na={}\r\n",
            line.wanted
        );
    }
    sdp
}
