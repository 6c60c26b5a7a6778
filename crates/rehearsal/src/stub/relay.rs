//! A media relay that carries nothing: it answers as rtpengine does, and makes descriptions its own as far as anybody looks at them.

use bodies::sdp::rtp::{Candidate, Crypto, Group, Mid, Value as _};
use bodies::sdp::{Address, Attribute, Host, Media, Sdp};
use ng::bencode::Value;
use std::collections::{BTreeMap, VecDeque};
use std::net::IpAddr;

/// How it is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Mood {
    /// As it should be.
    #[default]
    Well,
    /// It says nothing.
    Silent,
    /// It has as many calls as it may have.
    Full,
    /// It refuses descriptions.
    Refusing,
    /// What it says is no answer.
    Garbled,
    /// It grants everything, and gives something back that is no description.
    Lying,
    /// What it says comes with another cookie.
    Straying,
}

impl Mood {
    /// The mood of this name.
    pub fn from_name(name: &str) -> Option<Mood> {
        Some(match name {
            "well" => Mood::Well,
            "silent" => Mood::Silent,
            "full" => Mood::Full,
            "refusing" => Mood::Refusing,
            "garbled" => Mood::Garbled,
            "lying" => Mood::Lying,
            "straying" => Mood::Straying,
            _ => return None,
        })
    }
}

/// What was asked, without pings and what came again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Asked {
    /// `offer`, `answer`, `delete`, `query`.
    pub command: String,
    /// The call.
    pub call: String,
    /// The description.
    pub sdp: Option<String>,
}

/// A medium, as a side has described it last.
#[derive(Debug)]
struct Medium {
    protocol: String,
    multiplexes: bool,
    mid: Option<Mid>,
}

/// One side of a call.
#[derive(Debug, Default)]
struct Side {
    media: Vec<Medium>,
    /// Whether it has keys in its description, and speaks ICE.
    sdes: bool,
    ice: bool,
    /// The first of the ports that it is shown.
    port: u16,
}

/// A relay.
#[derive(Debug)]
pub struct Relay {
    address: IpAddr,
    mood: Mood,
    calls: BTreeMap<String, BTreeMap<String, Side>>,
    /// The last answers, by cookie.
    given: VecDeque<(Vec<u8>, Vec<u8>)>,
    port: u16,
    asked: Vec<Asked>,
}

impl Relay {
    /// A relay that shows this address.
    pub fn new(address: IpAddr) -> Relay {
        let calls = BTreeMap::new();
        Relay { address, mood: Mood::Well, calls, given: VecDeque::new(), port: 30_000, asked: Vec::new() }
    }

    /// Changes how it is.
    pub fn become_(&mut self, mood: Mood) {
        self.mood = mood;
    }

    /// It was killed, and is there again: it knows nothing.
    pub fn forget(&mut self) {
        self.calls.clear();
        self.given.clear();
    }

    /// The calls that it has.
    pub fn calls(&self) -> impl Iterator<Item = String> + '_ {
        self.calls.keys().cloned()
    }

    /// What it was asked of one of them, the oldest first.
    pub fn asked_of(&self, call: &str) -> Vec<&str> {
        self.asked.iter().filter(|asked| asked.call == call).map(|asked| asked.command.as_str()).collect()
    }

    /// What it was asked, the oldest first.
    pub fn asked(&self) -> &[Asked] {
        &self.asked
    }

    /// A datagram came; its answer, if there is one.
    pub fn received(&mut self, datagram: &[u8]) -> Option<Vec<u8>> {
        if self.mood == Mood::Silent {
            return None;
        }
        let space = datagram.iter().position(|b| *b == b' ')?;
        let (cookie, document) = (&datagram[..space], &datagram[space + 1..]);
        if let Some((_, answer)) = self.given.iter().find(|(given, _)| given == cookie) {
            return Some(answer.clone());
        }
        let mut said = cookie.to_vec();
        if self.mood == Mood::Straying {
            said.reverse();
        }
        said.push(b' ');
        match self.mood {
            Mood::Garbled => said.extend_from_slice(b"d6:result"),
            _ => said.extend(self.answer(&Value::parse(document).ok()?)),
        }
        self.given.push_back((cookie.to_vec(), said.clone()));
        if self.given.len() > 64 {
            self.given.pop_front();
        }
        Some(said)
    }

    fn answer(&mut self, request: &Value<'_>) -> Vec<u8> {
        let text = |key| request.get(key).and_then(Value::as_str).unwrap_or_default();
        let (command, call) = (text("command"), text("call-id"));
        if command == "ping" {
            return b"d6:result4:ponge".to_vec();
        }
        let sdp = request.get("sdp").and_then(Value::as_str);
        let asked = Asked { command: command.to_owned(), call: call.to_owned(), sdp: sdp.map(str::to_owned) };
        self.asked.push(asked);
        let known = self.calls.contains_key(call);
        let result = match (command, self.mood) {
            ("offer" | "answer", Mood::Refusing) => Err("No SDP for this one"),
            ("offer", Mood::Full) => return b"d6:result10:load limite".to_vec(),
            ("offer" | "answer", Mood::Lying) => Ok(Some(b"v=0\r\nnothing like it".to_vec())),
            ("answer", _) if !known => Err("Unknown call-id"),
            ("offer", _) => self.pass(request, true).map(Some).ok_or("Failed to parse SDP"),
            ("answer", _) => self.pass(request, false).map(Some).ok_or("Failed to parse SDP"),
            ("delete", _) => {
                self.calls.remove(call);
                Ok(None)
            }
            ("query", _) if known => Ok(None),
            ("query", _) => Err("Unknown call-id"),
            _ => Err("Unrecognized command"),
        };
        let mut entries = Vec::new();
        match &result {
            Ok(sdp) => {
                entries.extend(sdp.as_deref().map(|sdp| (&b"sdp"[..], Value::Bytes(sdp))));
                entries.push((b"result", Value::text("ok")));
            }
            Err(why) => {
                entries.push((b"error-reason", Value::text(why)));
                entries.push((b"result", Value::text("error")));
            }
        }
        Value::Dictionary(entries).to_bytes()
    }

    /// Makes a description its own. In an answer, who has offered is `from-tag`.
    fn pass(&mut self, request: &Value<'_>, offer: bool) -> Option<Vec<u8>> {
        let text = |key| request.get(key).and_then(Value::as_str);
        let has = |key: &str, word: &str| {
            request.get(key).is_some_and(|list| list.items().iter().any(|item| item.as_str() == Some(word)))
        };
        let mut sdp = Sdp::parse(request.get("sdp")?.as_bytes()?).ok()?;
        let call = self.calls.entry(text("call-id")?.to_owned()).or_default();
        let (from, to) = (text("from-tag")?, text("to-tag").unwrap_or_default());
        let (author, reader) = if offer { (from, to) } else { (to, from) };
        let of = |media: &Media, sdp: &Sdp| Medium {
            protocol: media.protocol.to_string(),
            multiplexes: sdp.attribute(media, "rtcp-mux").is_some(),
            mid: Mid::first(&media.attributes),
        };
        let said = Side {
            media: sdp.media.iter().map(|media| of(media, &sdp)).collect(),
            sdes: sdp.media.iter().any(|media| Crypto::first(&media.attributes).is_some()),
            ice: sdp.media.iter().any(|media| sdp.attribute(media, "ice-ufrag").is_some()),
            port: call.get(author).map_or(0, |side| side.port),
        };
        call.insert(author.to_owned(), said);
        let next = &mut self.port;
        let side = call.entry(reader.to_owned()).or_default();
        if side.port == 0 {
            (side.port, *next) = (*next, *next + 100);
        }
        let host = Host::Ip(self.address);
        let ice = text("ICE") == Some("force") && (offer || side.ice);
        sdp.connection = None;
        // It knows nothing of bundles.
        sdp.attributes.remove("group");
        for name in ["ice-ufrag", "ice-pwd", "ice-options", "ice-lite", "fingerprint", "setup"] {
            sdp.attributes.remove(name);
        }
        for (n, media) in sdp.media.iter_mut().enumerate() {
            let multiplexes = media.attributes.has("rtcp-mux");
            for name in GONE {
                media.attributes.remove(name);
            }
            media.connections = vec![Address::new(&host)];
            if media.port == 0 {
                continue;
            }
            media.port = side.port + 2 * u16::try_from(n).unwrap_or(0);
            let theirs = side.media.get(n).filter(|_| !offer);
            match (theirs, text("transport-protocol")) {
                (Some(theirs), _) => media.protocol = theirs.protocol.as_str().into(),
                (None, Some(protocol)) => media.protocol = protocol.into(),
                (None, None) => {}
            }
            if has("flags", "generate-mid") && !media.attributes.has("mid") {
                let theirs = theirs.and_then(|theirs| theirs.mid.clone());
                let mid = theirs.unwrap_or_else(|| Mid((n + 1).to_string().into()));
                media.attributes.extend(mid.attribute());
            }
            let mux = match theirs {
                Some(theirs) => theirs.multiplexes,
                None => has("rtcp-mux", "offer") || multiplexes && !has("rtcp-mux", "demux"),
            };
            let mut put = |name, value: &str| media.attributes.push(Attribute::new(name, value));
            put("rtcp", &(if mux && !offer { media.port } else { media.port + 1 }).to_string());
            let keys = media.protocol.contains("SAVP") && !media.protocol.contains("TLS");
            if text("DTLS") == Some("passive") && media.protocol.contains("TLS") {
                put("setup", if offer { "actpass" } else { "passive" });
                put("fingerprint", &format!("sha-256 {}", ["0B"; 32].join(":")));
            } else if keys && (!has("SDES", "off") || side.sdes) {
                put("crypto", "1 AES_CM_128_HMAC_SHA1_80 inline:Ej155eRnHxKXWjF8wnIGR923lVxex5rNrMHdoRNP");
            }
            if ice {
                put("ice-ufrag", "relayufr");
                put("ice-pwd", "relaypwdrelaypwdrelaypwd");
                let candidate = format!("relay 1 UDP 2130706431 {} {} typ host", self.address, media.port);
                put("candidate", &candidate);
            }
            if mux {
                media.attributes.push(Attribute::flag("rtcp-mux"));
            }
            if ice && offer {
                if has("flags", "trickle-ICE") {
                    media.attributes.push(Attribute::new("ice-options", "trickle"));
                }
                media.attributes.push(Attribute::flag("end-of-candidates"));
            }
        }
        Some(sdp.to_bytes())
    }
}

/// What of a medium is about its own way, and not the relay's.
const GONE: [&str; 13] = [
    Candidate::NAME,
    "ice-ufrag",
    "ice-pwd",
    "ice-options",
    "ice-lite",
    "end-of-candidates",
    "remote-candidates",
    "fingerprint",
    "setup",
    Crypto::NAME,
    "rtcp",
    "rtcp-mux",
    Group::NAME,
];

#[cfg(test)]
mod tests {
    use super::*;

    fn ask(relay: &mut Relay, document: &str) -> String {
        let answer = relay.received(format!("cookie{} {document}", relay.given.len()).as_bytes()).unwrap();
        String::from_utf8(answer).unwrap().split_once(' ').unwrap().1.to_owned()
    }

    #[test]
    fn a_call_is_there_until_it_is_deleted() {
        let mut relay = Relay::new([203, 0, 113, 9].into());
        assert_eq!(ask(&mut relay, "d7:command4:pinge"), "d6:result4:ponge");
        let sdp = "v=0\r\no=- 1 1 IN IP4 192.0.2.7\r\ns=-\r\nc=IN IP4 192.0.2.7\r\nt=0 0\r\nm=audio 4000 RTP/AVP 0\r\n";
        let mut request = Vec::new();
        Value::Dictionary(vec![
            (b"command", Value::text("offer")),
            (b"call-id", Value::text("c")),
            (b"from-tag", Value::text("a")),
            (b"to-tag", Value::text("b")),
            (b"sdp", Value::text(sdp)),
            (b"ICE", Value::text("force")),
            (b"DTLS", Value::text("passive")),
            (b"transport-protocol", Value::text("UDP/TLS/RTP/SAVPF")),
        ])
        .write(&mut request);
        let answer = ask(&mut relay, std::str::from_utf8(&request).unwrap());
        assert!(answer.contains("m=audio 30000 UDP/TLS/RTP/SAVPF 0\r\nc=IN IP4 203.0.113.9\r\n"), "{answer}");
        assert!(answer.contains("a=candidate:relay 1 UDP") && answer.contains("a=setup:actpass"), "{answer}");
        assert_eq!(relay.calls().count(), 1);
        assert_eq!(ask(&mut relay, "d7:command5:query7:call-id1:ce"), "d6:result2:oke");
        relay.forget();
        assert!(ask(&mut relay, "d7:command5:query7:call-id1:ce").contains("Unknown call-id"));
        relay.become_(Mood::Silent);
        assert_eq!(relay.received(b"x d7:command4:pinge"), None);
    }
}
