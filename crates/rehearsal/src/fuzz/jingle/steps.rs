//! What may happen in calls, by a byte each.

/// A session that the XMPP user begins, and one that there may not be.
const OURS: [&str; 2] = ["a73sjjvkla37jfea", "b84tkkwlmb48kgfb"];

const RTP: &str = "urn:xmpp:jingle:apps:rtp:1";
const ICE: &str = "urn:xmpp:jingle:transports:ice-udp:1";

/// The step of a byte, as an element. `calls` are the names of those that the telephones have.
pub(super) fn step(byte: u8, calls: &[&str]) -> String {
    let (what, which) = (byte % 32, usize::from(byte / 32));
    let sid = match which {
        0..=2 => OURS[0],
        3 => OURS[1],
        _ => calls.iter().rev().nth(which - 4).copied().unwrap_or(OURS[0]),
    };
    let from = ["balcony", "orchard"][usize::from(which == 2)];
    let jingle = |action: &str, inner: &str| {
        format!(
            "<iq type='set' from='juliet0@example.com/{from}'>\
             <jingle xmlns='urn:xmpp:jingle:1' action='{action}' sid='{sid}'>{inner}</jingle></iq>"
        )
    };
    let jmi = |name: &str, inner: &str| {
        format!(
            "<message type='chat' from='juliet0@example.com/{from}'>\
             <{name} xmlns='urn:xmpp:jingle-message:0' id='{sid}'>{inner}</{name}></message>"
        )
    };
    let because = |why: &str| format!("<reason xmlns='urn:xmpp:jingle:1'><{why}/></reason>");
    let senders = ["both", "initiator", "responder", "none"][which % 4];
    match what {
        0 => jmi("propose", &description("audio")),
        1 => jmi("retract", &because("cancel")),
        2 => jmi("ringing", ""),
        3 => jmi("proceed", ""),
        4 => jmi("reject", &because("busy")),
        5 => jmi("finish", &because("success")),
        6 => jingle("session-initiate", &audio(&description("audio"), &ice(2, "8hhy"))),
        7 => jingle("session-initiate", &audio(&description("audio"), &ice(0, "8hhy"))),
        8 => {
            let video = content("video", "initiator", "both", &format!("{}{}", description("video"), ice(1, "8hhy")));
            jingle("session-initiate", &format!("{}{video}", audio(&description("audio"), &ice(1, "8hhy"))))
        }
        9 | 10 => jingle("session-accept", &audio(&description("audio"), &ice(usize::from(what % 2), "9iiz"))),
        11 => jingle("session-terminate", "<reason><success/></reason>"),
        12 => jingle("transport-info", &content("audio", "initiator", "both", &candidates("8hhy", which))),
        13 => jingle("transport-info", &content("audio", "initiator", "both", &ice(which % 2, "1ccc"))),
        14 => jingle("content-modify", &content("audio", "initiator", senders, "")),
        15 | 16 => {
            let creator = ["initiator", "responder"][usize::from(what % 2)];
            let action = ["content-add", "content-accept", "content-reject", "content-remove"][which % 4];
            let inner = format!("{}{}", description("video"), ice(1, "8hhy"));
            jingle(action, &content("video", creator, "both", &inner))
        }
        17 => jingle("content-remove", &content("audio", "initiator", "both", "")),
        18 => {
            let info = ["hold", "unhold", "active", "mute", "ringing", "juggle"][which % 6];
            jingle("session-info", &format!("<{info} xmlns='urn:xmpp:jingle:apps:rtp:info:1'/>"))
        }
        19 => jingle("session-info", "<dtmf xmlns='urn:xmpp:jingle:dtmf:0' code='5'/>"),
        20 => jingle("session-info", ""),
        21 => {
            let action = ["transport-replace", "transport-accept", "transport-reject", "description-info"][which % 4];
            let raw = "<transport xmlns='urn:xmpp:jingle:transports:raw-udp:1'>\
                       <candidate component='1' generation='0' id='r' ip='198.51.100.9' port='9000'/></transport>";
            jingle(action, &content("audio", "initiator", "both", raw))
        }
        22 => "<ring/>".to_owned(),
        23 => "<hang/>".to_owned(),
        24 => "<hold/>".to_owned(),
        25 => "<video/>".to_owned(),
        26 => "<busy/>".to_owned(),
        27 => ["<down/>", "<up/>", "<up/>", "<up/>"][which % 4].to_owned(),
        28 => "<presence type='unavailable'/>".to_owned(),
        _ => format!("<wait s='{}'/>", [0, 0, 1, 1, 2, 4, 12, 70][which]),
    }
}

fn description(media: &str) -> String {
    let payload = match media {
        "video" => "<payload-type id='96' name='VP8' clockrate='90000'/>",
        _ => "<payload-type id='111' name='opus' clockrate='48000' channels='2'/><payload-type id='0'/>",
    };
    format!("<description xmlns='{RTP}' media='{media}'>{payload}<rtcp-mux/></description>")
}

fn content(name: &str, creator: &str, senders: &str, inner: &str) -> String {
    format!("<content creator='{creator}' name='{name}' senders='{senders}'>{inner}</content>")
}

fn audio(description: &str, transport: &str) -> String {
    content("audio", "initiator", "both", &format!("{description}{transport}"))
}

/// A key, and so many candidates.
fn ice(n: usize, ufrag: &str) -> String {
    let key = "<fingerprint xmlns='urn:xmpp:jingle:apps:dtls:0' hash='sha-256' setup='actpass'>\
               00:11:22:33:44:55:66:77:88:99:AA:BB:CC:DD:EE:FF:00:11:22:33:44:55:66:77:88:99:AA:BB:CC:DD:EE:FF</fingerprint>";
    let candidates: String = (0..n).map(candidate).collect();
    format!("<transport xmlns='{ICE}' ufrag='{ufrag}' pwd='asd88fgpdd777uzjYhagZg'>{key}{candidates}</transport>")
}

fn candidates(ufrag: &str, n: usize) -> String {
    let inner = if n == 7 { "<gathering-complete/>".to_owned() } else { candidate(n) };
    format!("<transport xmlns='{ICE}' ufrag='{ufrag}' pwd='asd88fgpdd777uzjYhagZg'>{inner}</transport>")
}

fn candidate(n: usize) -> String {
    format!(
        "<candidate component='1' foundation='1' generation='0' id='c{n}' ip='198.51.100.{n}' network='0' port='8998' \
         priority='2130706431' protocol='udp' type='host'/>"
    )
}
