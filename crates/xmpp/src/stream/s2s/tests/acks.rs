//! What became of what was sent.

use super::*;
use crate::ns;
use xml::{Element, Limits};

const VALID: &str = "<db:result from='example.com' to='sip.example.net' type='valid'/>";
const MESSAGE: &[u8] = b"<message/>";

/// A machine that may send.
fn ready(offer: &str, initiate: impl FnOnce(&mut Config, &mut Initiate)) -> One {
    let (mut config, mut how) = (config(LOCAL), Initiate { direct_tls: true, ..Initiate::new(pair()) });
    initiate(&mut config, &mut how);
    let mut one = One::initiating(config, how).with_certificate(Certificate::None);
    one.text();
    one.hear(&format!("{}{}", answer(), features(&format!("{DIALBACK}{offer}"))));
    one.hear(VALID);
    assert!(one.stream.sends(&pair()));
    one.told();
    one
}

fn with_sm(offer: &str) -> One {
    let mut one = ready(&format!("{SM}{offer}"), |_, _| ());
    assert_eq!(one.hear("<enabled xmlns='urn:xmpp:sm:3'/>"), "<r xmlns='urn:xmpp:sm:3'/>");
    assert_eq!(one.hear("<a xmlns='urn:xmpp:sm:3' h='0'/>"), "");
    one
}

impl One {
    fn send(&mut self, token: u64) -> String {
        assert_eq!(self.stream.send(self.now, &pair(), MESSAGE, Some(token)), Ok(()));
        self.text()
    }

    /// The answer to the last ping in `text`, as it comes by whatever stream.
    fn answer_to(&self, text: &str, type_: &str) -> Stanza {
        let at = text.rfind("<iq ").expect("a ping");
        let end = at + text[at..].find("</iq>").expect("its end") + 5;
        let ping = format!("<iq xmlns='jabber:server' {}", &text[at + 4..end]);
        let ping = Element::parse(ping.as_bytes(), &Limits::default()).expect("well-formed");
        let ping = Stanza::from_element(ping, ns::SERVER).expect("a stanza");
        assert_eq!(
            (ping.from.as_ref().map(ToString::to_string), ping.to.as_ref().map(ToString::to_string)),
            (Some(LOCAL.to_owned()), Some(REMOTE.to_owned()))
        );
        Stanza { type_: Some(type_.into()), ..ping.result(None) }
    }
}

fn hides_id(text: &str) -> String {
    let Some(at) = text.find(" id='") else { return text.to_owned() };
    let end = at + 5 + text[at + 5..].find('\'').expect("its end");
    format!("{} id='X{}", &text[..at], &text[end..])
}

const PING: &str = "<iq from='sip.example.net' to='example.com' id='X' type='get'><ping xmlns='urn:xmpp:ping'/></iq>";

#[test]
fn a_barrier_is_answered_elsewhere() {
    let mut one = ready("", |_, _| ());
    let text = one.send(1);
    assert_eq!(hides_id(&text), format!("<message/>{PING}"));
    assert_eq!(one.stream.counts().unacknowledged, 1);
    let result = one.answer_to(&text, "result");
    for wrong in [
        Stanza { type_: Some("get".into()), ..result.clone() },
        Stanza { id: Some("x0".into()), ..result.clone() },
        Stanza { id: result.id.as_ref().map(|id| Str::from(id.trim_end_matches('0'))), ..result.clone() },
        Stanza { from: crate::jid::Jid::parse("evil.example").ok(), ..result.clone() },
        Stanza { from: crate::jid::Jid::parse("a@example.com").ok(), ..result.clone() },
        Stanza { from: None, ..result.clone() },
    ] {
        assert!(!one.stream.answered(one.now, &wrong), "{wrong:?}");
    }
    assert_eq!((one.text().as_str(), one.told().len()), ("", 0));
    assert!(one.stream.answered(one.now, &result));
    one.text();
    assert_eq!(one.told(), ["Taken(1)"]);
    assert!(one.stream.answered(one.now, &result), "again, and nothing new");
    one.text();
    assert_eq!((one.told().len(), one.stream.counts().unacknowledged), (0, 0));
    assert!(one.stream.answers_barriers());
    // An error says as much; and one answer does for all before it.
    one.send(2);
    let text = one.send(3);
    let error = one.answer_to(&text, "error");
    assert!(one.stream.answered(one.now, &error));
    one.text();
    assert_eq!(one.told(), ["Taken(2)", "Taken(3)"]);
    // Nobody asks about this one.
    one.stream.send(one.now, &pair(), b"<presence/>", None).expect("may");
    assert_eq!(one.text(), "<presence/>");
}

#[test]
fn barriers_that_nobody_answers() {
    let mut one = ready("", |_, _| ());
    one.send(1);
    assert_eq!(one.wait(secs(4)), "");
    assert_eq!(one.told(), [""; 0]);
    one.wait(secs(1));
    assert_eq!(one.told(), ["fault: the other server does not answer pings", "Taken(1)"]);
    assert_eq!(one.stream.counts().taken_by_wait, 1);
    one.send(2);
    one.wait(secs(5));
    assert_eq!(one.told(), ["Taken(2)"], "told once");
    one.send(3);
    one.stream.closed(one.now);
    one.text();
    assert_eq!(one.told(), ["Lost(3)", "down: connection lost"]);
}

/// Fault 20: a server that answers, and then does not.
#[test]
fn half_open_connections() {
    let mut one = ready("", |_, i| i.expects_barriers = true);
    one.send(1);
    assert_eq!(one.wait(secs(29)), "");
    assert_eq!(one.told(), [""; 0]);
    assert_eq!(condition(&one.wait(secs(1))), Some("connection-timeout"));
    assert_eq!(one.told(), ["Lost(1)", "down: given up: connection-timeout (\"no answer\")", "Close"]);
    // With acknowledgements.
    let mut one = with_sm("");
    assert_eq!(one.wait(secs(59)), "");
    assert_eq!(one.wait(secs(1)), "<r xmlns='urn:xmpp:sm:3'/>", "the silence is broken");
    assert_eq!(condition(&one.wait(secs(30))), Some("connection-timeout"));
    // Who does nothing but talk is not alive either.
    let mut one = with_sm("");
    one.send(1);
    let mut text = String::new();
    for _ in 0..18 {
        text += &one.wait(secs(5));
        text += &one.hear(" ");
    }
    assert_eq!(condition(&text), Some("connection-timeout"), "{text}");
}

#[test]
fn acknowledged_on_one_direction() {
    let mut one = with_sm("");
    let text = one.send(1);
    assert_eq!(hides_id(&text), format!("<message/>{PING}<r xmlns='urn:xmpp:sm:3'/>"));
    one.hear("<a xmlns='urn:xmpp:sm:3' h='1'/>");
    assert_eq!(one.told(), [""; 0], "without the barrier");
    one.hear("<a xmlns='urn:xmpp:sm:3' h='2'/>");
    assert_eq!(one.told(), [""; 0], "errors may still be on their way");
    let result = one.answer_to(&text, "result");
    assert!(one.stream.answered(one.now, &result));
    one.text();
    assert_eq!(one.told(), ["Taken(1)"]);
    // The other server has it: that it was lost is not so.
    let text = one.send(2);
    one.hear("<a xmlns='urn:xmpp:sm:3' h='4'/>");
    let third = one.send(3);
    assert!(text.len() == third.len());
    one.stream.closed(one.now);
    one.text();
    assert_eq!(one.told(), ["Taken(2)", "Lost(3)", "down: connection lost"]);
}

#[test]
fn acknowledged_and_no_barrier() {
    let mut one = with_sm("");
    one.send(1);
    one.wait(secs(3));
    one.hear("<a xmlns='urn:xmpp:sm:3' h='2'/>");
    one.wait(secs(4));
    assert_eq!(one.told(), [""; 0]);
    one.wait(secs(1));
    assert_eq!(one.told(), ["Taken(1)"]);
    assert_eq!(one.stream.counts().taken_by_wait, 0, "somebody has said so");
    // What is not acknowledged is waited for.
    one.send(2);
    one.wait(secs(20));
    assert_eq!(one.told(), [""; 0]);
}

#[test]
fn acknowledged_on_both_directions() {
    let mut one = with_sm(BIDI_FEATURE);
    assert_eq!(one.send(1), "<message/><r xmlns='urn:xmpp:sm:3'/>");
    assert_eq!(one.send(2), "<message/>", "asked already");
    assert_eq!(one.hear("<a xmlns='urn:xmpp:sm:3' h='1'/>"), "<r xmlns='urn:xmpp:sm:3'/>");
    assert_eq!(one.told(), ["Taken(1)"]);
    assert_eq!(one.hear("<a xmlns='urn:xmpp:sm:3' h='2'/>"), "");
    assert_eq!(one.told(), ["Taken(2)"]);
    // Theirs are counted, too.
    one.hear("<message from='a@example.com' to='b@sip.example.net' id='1'/>");
    one.hear("<message from='a@example.com' to='b c@sip.example.net' id='2' type='error'/>");
    assert_eq!(one.hear("<r xmlns='urn:xmpp:sm:3'/>"), "<a xmlns='urn:xmpp:sm:3' h='2'/>");
    one.told();
    one.stream.close(one.now, None);
    assert_eq!(one.text(), "<a xmlns='urn:xmpp:sm:3' h='2'/>END");
}

/// XEP-0198 §6, and what else does not add up.
#[test]
fn acknowledgements_that_do_not_add_up() {
    for (h, expected) in [
        ("3", "undefined-condition"),
        ("4294967295", "undefined-condition"),
        ("-1", "bad-format"),
        ("", "bad-format"),
        ("x", "bad-format"),
        ("4294967296", "bad-format"),
    ] {
        let mut one = with_sm(BIDI_FEATURE);
        one.send(1);
        one.send(2);
        let text = one.hear(&format!("<a xmlns='urn:xmpp:sm:3' h='{h}'/>"));
        assert_eq!(condition(&text), Some(expected), "{h}: {text}");
        assert_eq!(
            text.contains(&format!("<handled-count-too-high xmlns='urn:xmpp:sm:3' h='{h}' send-count='2'/>")),
            expected == "undefined-condition"
        );
        assert_eq!(one.told()[..2], ["Lost(1)", "Lost(2)"]);
    }
    let mut one = with_sm(BIDI_FEATURE);
    one.send(1);
    one.hear("<a xmlns='urn:xmpp:sm:3' h='1'/>");
    assert_eq!(condition(&one.hear("<a xmlns='urn:xmpp:sm:3' h='0'/>")), Some("undefined-condition"), "backwards");
    for element in ["enabled", "failed", "resumed", "x"] {
        let mut one = with_sm("");
        let text = one.hear(&format!("<{element} xmlns='urn:xmpp:sm:3'/>"));
        assert_eq!(condition(&text), Some("unsupported-stanza-type"), "{element}");
    }
}

#[test]
fn without_acknowledgements() {
    let mut one = ready(SM, |_, _| ());
    assert_eq!(one.hear("<failed xmlns='urn:xmpp:sm:3'/>"), "");
    let text = one.send(1);
    assert_eq!(hides_id(&text), format!("<message/>{PING}"));
    one.wait(secs(5));
    assert_eq!(one.told()[1..], ["Taken(1)"]);
    assert_eq!(one.wait(secs(61)), " ", "white space has to do");
    let mut one = ready(SM, |c, _| c.sm = false);
    assert_eq!(one.text(), "");
    assert_eq!(condition(&one.hear("<r xmlns='urn:xmpp:sm:3'/>")), Some("unsupported-stanza-type"));
}

/// XEP-0198 §3, of the side that was called.
#[test]
fn enabled_by_others() {
    let proved = || {
        let mut one = One::receiving(config(LOCAL), true);
        one.hear(&their_header());
        one.hear(&auth("="));
        one.hear(&their_header());
        one.told();
        one
    };
    let mut one = proved();
    one.hear("<message from='a@example.com' to='b@sip.example.net' id='before'/>");
    assert_eq!(one.hear("<enable xmlns='urn:xmpp:sm:3' resume='true'/>"), "<enabled xmlns='urn:xmpp:sm:3'/>");
    assert_eq!(one.hear("<r xmlns='urn:xmpp:sm:3'/>"), "<a xmlns='urn:xmpp:sm:3' h='0'/>", "from here on");
    one.hear("<message from='a@example.com' to='b@sip.example.net' id='1'/>");
    assert_eq!(one.hear("<r xmlns='urn:xmpp:sm:3'/>"), "<a xmlns='urn:xmpp:sm:3' h='1'/>");
    assert_eq!(condition(&one.hear("<enable xmlns='urn:xmpp:sm:3'/>")), Some("policy-violation"));
    let mut one = proved();
    assert!(one.hear("<resume xmlns='urn:xmpp:sm:3' previd='x' h='0'/>").contains("feature-not-implemented"));
    let mut one = One::receiving(Config { sm: false, ..config(LOCAL) }, true);
    one.hear(&their_header());
    assert!(one.hear("<enable xmlns='urn:xmpp:sm:3'/>").contains("<unexpected-request "));
}

#[test]
fn bounds() {
    let mut one = ready("", |c, i| {
        (c.max_unacknowledged, c.max_unacknowledged_bytes, c.max_barriers) = (3, 100, 2);
        i.expects_barriers = true;
    });
    let pings = |text: &str| text.matches("<ping ").count();
    assert_eq!(pings(&one.send(1)), 1);
    let second = one.send(2);
    assert_eq!(pings(&second), 1);
    assert_eq!(pings(&one.send(3)), 0, "the third batch waits");
    assert_eq!(one.stream.send(one.now, &pair(), MESSAGE, Some(4)), Err(SendError::Full));
    let result = one.answer_to(&second, "result");
    assert!(one.stream.answered(one.now, &result));
    assert_eq!(pings(&one.text()), 1);
    assert_eq!(one.told(), ["Taken(1)", "Taken(2)"]);
    assert_eq!(one.stream.send(one.now, &pair(), &[b' '; 91], None), Err(SendError::Full));
    assert_eq!(one.stream.send(one.now, &pair(), &[b' '; 90], None), Ok(()));
    assert_eq!(one.stream.counts().unacknowledged_bytes, 100);
}

#[test]
fn a_stream_ends_when_all_is_settled() {
    let mut one = ready("", |_, _| ());
    let text = one.send(1);
    one.stream.close(one.now, None);
    assert_eq!(one.text(), "", "not yet");
    assert_eq!(one.stream.send(one.now, &pair(), MESSAGE, None), Err(SendError::Down));
    let result = one.answer_to(&text, "result");
    one.stream.answered(one.now, &result);
    assert_eq!(one.text(), "END");
    assert_eq!(one.told(), ["Taken(1)"]);
    one.hear("</stream:stream>");
    assert_eq!(one.told(), ["down: closed", "Close"]);
    // In time, whatever is not settled.
    let mut one = ready("", |_, i| i.expects_barriers = true);
    one.send(1);
    one.stream.close(one.now, None);
    assert_eq!(one.wait(secs(5)), "END");
    one.wait(secs(5));
    assert_eq!(one.told(), ["Lost(1)", "down: closed", "Close"]);
}
