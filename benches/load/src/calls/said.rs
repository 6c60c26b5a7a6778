//! What both ends say of the media: as a browser does, and as a plain telephone does. Nobody listens there.

use std::fmt::Write;

/// What the two ends of a call have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Media {
    /// Sound by ICE and DTLS-SRTP, with all that a browser says of it.
    Browser,
    /// Sound over RTP, and nothing else.
    Plain,
}

/// Which end of the call says it, and when.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Voice {
    pub(super) call: usize,
    pub(super) media: Media,
    pub(super) answers: bool,
}

/// The formats of a browser: number, name, clock, channels, parameters.
const FORMATS: [(u8, &str, u32, u8, &str); 8] = [
    (111, "opus", 48_000, 2, "minptime=10;useinbandfec=1"),
    (63, "red", 48_000, 2, "111/111"),
    (9, "G722", 8_000, 1, ""),
    (0, "PCMU", 8_000, 1, ""),
    (8, "PCMA", 8_000, 1, ""),
    (13, "CN", 8_000, 1, ""),
    (110, "telephone-event", 48_000, 1, ""),
    (126, "telephone-event", 8_000, 1, ""),
];

/// Those of a telephone.
const PLAIN_FORMATS: [(u8, &str, u32, u8, &str); 4] = [
    (0, "PCMU", 8_000, 1, ""),
    (8, "PCMA", 8_000, 1, ""),
    (9, "G722", 8_000, 1, ""),
    (101, "telephone-event", 8_000, 1, "0-16"),
];

/// The header extensions of a browser.
const EXTENSIONS: [&str; 4] = [
    "urn:ietf:params:rtp-hdrext:ssrc-audio-level",
    "http://www.webrtc.org/experiments/rtp-hdrext/abs-send-time",
    "http://www.ietf.org/id/draft-holmer-rmcat-transport-wide-cc-extensions-01",
    "urn:ietf:params:rtp-hdrext:sdes:mid",
];

/// The candidates of a browser: type, priority, address, what is added.
const CANDIDATES: [(&str, u32, &str, bool); 4] = [
    ("host", 2_122_260_223, "192.0.2.20", false),
    ("host", 2_122_197_247, "2001:db8::20", false),
    ("srflx", 1_686_052_607, "198.51.100.7", true),
    ("relay", 41_885_439, "203.0.113.9", true),
];

impl Voice {
    fn formats(self) -> &'static [(u8, &'static str, u32, u8, &'static str)] {
        match self.media {
            Media::Browser => &FORMATS,
            Media::Plain => &PLAIN_FORMATS,
        }
    }

    fn port(self) -> usize {
        20_000 + self.call % 20_000 * 2
    }

    /// The half of ICE: name and password.
    pub(super) fn ice(self) -> (String, String) {
        let who = if self.answers { 'a' } else { 'o' };
        (format!("{who}{:06}", self.call), format!("{who}RqSCdKp1TTI9YUp6Vx{:06}", self.call))
    }

    fn fingerprint(self) -> String {
        let seed = self.call * 2 + usize::from(self.answers);
        (0..32).map(|n| format!("{:02X}", ((seed >> (n % 3 * 8)) + n * 7) & 0xff)).collect::<Vec<_>>().join(":")
    }

    fn setup(self) -> &'static str {
        if self.answers { "active" } else { "actpass" }
    }

    /// Something that nobody else says, as it is written in either language.
    pub(super) fn mark(self) -> String {
        match self.media {
            Media::Browser => self.ice().1,
            Media::Plain => self.port().to_string(),
        }
    }

    /// As a session description.
    pub(super) fn sdp(self) -> String {
        let (call, port) = (self.call, self.port());
        let numbers: Vec<String> = self.formats().iter().map(|format| format.0.to_string()).collect();
        let numbers = numbers.join(" ");
        let mut sdp = format!(
            "v=0\r\no=- {} 2 IN IP4 192.0.2.20\r\ns=-\r\nc=IN IP4 192.0.2.20\r\nt=0 0\r\n",
            4_611_731_400 + call
        );
        // Writing to a string cannot fail.
        let _ = match self.media {
            Media::Browser => write!(
                sdp,
                "a=group:BUNDLE 0\r\na=extmap-allow-mixed\r\na=msid-semantic: WMS\r\nm=audio {port} UDP/TLS/RTP/SAVPF {numbers}\r\n"
            ),
            Media::Plain => write!(sdp, "m=audio {port} RTP/AVP {numbers}\r\n"),
        };
        for (number, name, clock, channels, parameters) in self.formats() {
            let channels = if *channels == 1 { String::new() } else { format!("/{channels}") };
            let _ = write!(sdp, "a=rtpmap:{number} {name}/{clock}{channels}\r\n");
            if *number == 111 {
                sdp.push_str("a=rtcp-fb:111 transport-cc\r\n");
            }
            if !parameters.is_empty() {
                let _ = write!(sdp, "a=fmtp:{number} {parameters}\r\n");
            }
        }
        match self.media {
            Media::Plain => sdp.push_str("a=ptime:20\r\na=sendrecv\r\n"),
            Media::Browser => self.webrtc(&mut sdp),
        }
        sdp
    }

    fn webrtc(self, sdp: &mut String) {
        let ((ufrag, pwd), ssrc) = (self.ice(), 3_735_928_559 - self.call);
        sdp.push_str("a=rtcp:9 IN IP4 0.0.0.0\r\n");
        for (n, (kind, priority, address, far)) in CANDIDATES.iter().enumerate() {
            let related = if *far { " raddr 192.0.2.20 rport 50000" } else { "" };
            let _ = write!(
                sdp,
                "a=candidate:{} 1 udp {priority} {address} {} typ {kind}{related} generation 0 network-id 1\r\n",
                1_467_250_027 + n,
                self.port()
            );
        }
        let _ = write!(
            sdp,
            "a=end-of-candidates\r\na=ice-ufrag:{ufrag}\r\na=ice-pwd:{pwd}\r\na=fingerprint:sha-256 {}\r\na=setup:{}\r\na=mid:0\r\n",
            self.fingerprint(),
            self.setup()
        );
        for (n, extension) in EXTENSIONS.iter().enumerate() {
            let _ = write!(sdp, "a=extmap:{} {extension}\r\n", n + 1);
        }
        let _ = write!(
            sdp,
            "a=sendrecv\r\na=msid:- 5e3b1f3c-0d6c-4d3e-9f7b-6a5b{0:08}\r\na=rtcp-mux\r\na=ssrc:{ssrc} cname:4TOk42mSjXCkVIa6{0:06}\r\n\
             a=ssrc:{ssrc} msid:- 5e3b1f3c-0d6c-4d3e-9f7b-6a5b{0:08}\r\n",
            self.call
        );
    }

    /// As a content of Jingle, with the group that it is in. `name` is what the content is called.
    pub(super) fn content(self, name: &str) -> String {
        let mut xml = format!(
            "<content creator='initiator' name='{name}' senders='both'><description xmlns='urn:xmpp:jingle:apps:rtp:1' media='audio'>"
        );
        for (number, kind, clock, channels, parameters) in self.formats() {
            let channels = if *channels == 1 { String::new() } else { format!(" channels='{channels}'") };
            let _ = write!(xml, "<payload-type id='{number}' name='{kind}' clockrate='{clock}'{channels}>");
            for parameter in parameters.split(';').filter(|parameter| !parameter.is_empty()) {
                let (name, value) = parameter.split_once('=').unwrap_or(("", parameter));
                let _ = write!(xml, "<parameter name='{name}' value='{value}'/>");
            }
            if *number == 111 {
                xml.push_str("<rtcp-fb xmlns='urn:xmpp:jingle:apps:rtp:rtcp-fb:0' type='transport-cc'/>");
            }
            xml.push_str("</payload-type>");
        }
        match self.media {
            Media::Browser => self.jingle_webrtc(name, &mut xml),
            Media::Plain => {
                let _ = write!(
                    xml,
                    "</description><transport xmlns='urn:xmpp:jingle:transports:raw-udp:1'>\
                     <candidate component='1' generation='0' id='u{}' ip='192.0.2.20' port='{}'/></transport></content>",
                    self.call,
                    self.port()
                );
            }
        }
        xml
    }

    fn jingle_webrtc(self, name: &str, xml: &mut String) {
        let ((ufrag, pwd), ssrc) = (self.ice(), 3_735_928_559 - self.call);
        for (n, extension) in EXTENSIONS.iter().enumerate() {
            let _ = write!(
                xml,
                "<rtp-hdrext xmlns='urn:xmpp:jingle:apps:rtp:rtp-hdrext:0' id='{}' uri='{extension}'/>",
                n + 1
            );
        }
        let _ = write!(
            xml,
            "<extmap-allow-mixed xmlns='urn:xmpp:jingle:apps:rtp:rtp-hdrext:0'/>\
             <source xmlns='urn:xmpp:jingle:apps:rtp:ssma:0' ssrc='{ssrc}'><parameter name='cname' value='4TOk42mSjXCkVIa6{0:06}'/>\
             <parameter name='msid' value='my-media-stream my-audio-track-{0:06}'/></source><rtcp-mux/></description>\
             <transport xmlns='urn:xmpp:jingle:transports:ice-udp:1' ufrag='{ufrag}' pwd='{pwd}'>\
             <fingerprint xmlns='urn:xmpp:jingle:apps:dtls:0' hash='sha-256' setup='{1}'>{2}</fingerprint>",
            self.call,
            self.setup(),
            self.fingerprint()
        );
        for (n, (kind, priority, address, far)) in CANDIDATES.iter().enumerate() {
            let related = if *far { " rel-addr='192.0.2.20' rel-port='50000'" } else { "" };
            let _ = write!(
                xml,
                "<candidate component='1' foundation='{}' generation='0' id='c{n}x{}' ip='{address}' network='1' port='{}' \
                 priority='{priority}' protocol='udp' type='{kind}'{related}/>",
                n + 1,
                self.call,
                self.port()
            );
        }
        let _ = write!(
            xml,
            "<gathering-complete/></transport></content><group xmlns='urn:xmpp:jingle:apps:grouping:0' semantics='BUNDLE'><content name='{name}'/></group>"
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_say_the_same() {
        for media in [Media::Browser, Media::Plain] {
            let voice = Voice { call: 12, media, answers: true };
            let (sdp, xml) = (voice.sdp(), voice.content("0"));
            assert!(sdp.contains(&voice.mark()) && xml.contains(&voice.mark()), "{sdp} {xml}");
            assert_ne!(voice.mark(), Voice { call: 13, ..voice }.mark());
            assert!(
                sdp.lines().filter(|line| line.starts_with("a=rtpmap")).count() == xml.matches("<payload-type").count()
            );
        }
        let voice = Voice { call: 12, media: Media::Browser, answers: false };
        assert_ne!(voice.mark(), Voice { answers: true, ..voice }.mark());
        assert_eq!(voice.fingerprint().len(), 32 * 3 - 1);
    }
}
