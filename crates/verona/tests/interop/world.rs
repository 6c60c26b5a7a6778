//! What most tests stand on: Prosody with users of example.com, the gateway for example.net, and a phone behind it.

use rehearsal::peers::{Gateway, Place, Prosody, Settings, SipMessage, SipPhone, Value, XmppClient, json};
use std::time::Duration;

/// The gateway that was built for these tests.
pub(crate) const BINARY: &str = env!("CARGO_BIN_EXE_verona");
/// For whatever needs no timer to run out.
pub(crate) const SOON: Duration = Duration::from_secs(10);

/// Prosody and the gateway, running. The place goes last: it shows the logs of those that went before.
pub(crate) struct World {
    pub(crate) gateway: Gateway,
    pub(crate) prosody: Prosody,
    pub(crate) place: Place,
}

impl World {
    /// With a phone that takes everything that the gateway sends.
    pub(crate) fn new(name: &str) -> (World, SipPhone) {
        World::with(name, |_| {})
    }

    /// As [`new`](World::new), with other settings.
    pub(crate) fn with(name: &str, change: impl FnOnce(&mut Settings)) -> (World, SipPhone) {
        let place = Place::new(name);
        let prosody = Prosody::start(&place, &["example.net"]);
        let phone = SipPhone::listen(&place, "romeo", place.free());
        let mut settings = Settings::new(&prosody, phone.address());
        change(&mut settings);
        let gateway = Gateway::start(&place, BINARY, &settings);
        (World { gateway, prosody, place }, phone)
    }

    /// A client that is online.
    pub(crate) fn client(&self, user: &str, resource: &str) -> XmppClient {
        XmppClient::online(&self.place, &self.prosody, user, resource)
    }

    /// Has `phone` send a MESSAGE to the gateway and gives the final response. `fields` are those of the `request` command.
    pub(crate) fn ask(&self, phone: &mut SipPhone, fields: Value) -> SipMessage {
        let token = phone.send(self.gateway.sip(), fields);
        phone.response(SOON, token)
    }

    /// As [`ask`](World::ask), for a text to juliet. Gives the status code.
    pub(crate) fn say(&self, phone: &mut SipPhone, text: &str) -> u16 {
        self.ask(phone, json!({"uri": "sip:juliet@example.com", "body": text})).code
    }
}

/// The text with one way to end a line: SIP's texts end them with CRLF (RFC 2046 §4.1.1), XML has LF alone.
pub(crate) fn lines(text: &str) -> String {
    text.replace("\r\n", "\n")
}

/// Texts that a gateway may get wrong, each for a reason.
pub(crate) const TEXTS: [(&str, &str); 16] = [
    ("one byte", "x"),
    ("what XML escapes", "<>&\"'"),
    ("what looks escaped", "&lt;&amp;amp;&#x41;&nbsp;%20\\20"),
    ("what ends a CDATA section", "<![CDATA[x]]>]]>"),
    ("a stanza", "</body></message><message to='nurse@example.com'><body>x</body></message>"),
    ("a header", "x\r\n\r\nMESSAGE sip:juliet@example.com SIP/2.0\r\nContent-Length: 0\r\n\r\n"),
    ("lines", "one\r\ntwo\r\n\r\nfour\r\n"),
    ("spaces", "  \t lead and trail \t  "),
    ("Czech", "Nic z ob\u{e9}ho, m\u{e1} d\u{11b}vo spanil\u{e1}, nenavid\u{ed}\u{161}-li jedno nebo druh\u{e9}."),
    ("letters in two forms", "e\u{301} \u{e9} \u{212b} \u{c5} \u{fb01}"),
    ("emoji", "\u{1f339} \u{1f468}\u{200d}\u{1f469}\u{200d}\u{1f467} \u{1f1ee}\u{1f1f9} \u{2764}\u{fe0f}"),
    (
        "right to left",
        "\u{5e9}\u{5dc}\u{5d5}\u{5dd} \u{645}\u{631}\u{62d}\u{628}\u{627} \u{202e}abc\u{202c} \u{2067}x\u{2069}",
    ),
    ("Chinese and beyond the BMP", "\u{8587}\u{8587} \u{20000} \u{1d4af}"),
    ("a byte order mark inside", "a\u{feff}b"),
    ("the last characters of XML", "\u{d7ff}\u{e000}\u{fffd}\u{10ffff}"),
    ("separators", "a\u{2028}b\u{2029}c\u{85}d"),
];
