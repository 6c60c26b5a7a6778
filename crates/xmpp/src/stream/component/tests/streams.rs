//! How a stream begins, what it carries, and how it ends.

use super::*;

#[test]
fn the_handshake() {
    let mut lab = Lab::new();
    assert_eq!(lab.outputs(), [Output::Connect]);
    assert_eq!(lab.c.deadline(), None, "the shell is to tell");
    lab.c.connected(lab.now);
    assert_eq!(
        lab.outputs(),
        [bytes(
            "<?xml version='1.0'?><stream:stream xmlns='jabber:component:accept' \
             xmlns:stream='http://etherx.jabber.org/streams' to='sip.example.net'>"
        )]
    );
    assert_eq!(lab.send(1), Err(SendError::Down));
    for byte in HEADER {
        lab.receive(&[*byte]);
    }
    assert_eq!(lab.outputs(), [bytes(PROOF)]);
    assert_eq!(lab.send(1), Err(SendError::Down));
    lab.receive(b"<stream:features/><handshake/>");
    assert_eq!(lab.outputs(), [Output::Up, bytes(lab.ping(0))]);
    assert!(lab.c.is_up());
    lab.receive(MESSAGE.as_bytes());
    assert_eq!(lab.outputs(), [Output::Stanza(stanza_of(MESSAGE))]);
}

#[test]
fn the_handshake_takes_too_long() {
    for before in ["", "<stream:stream xmlns='jab", std::str::from_utf8(HEADER).expect("UTF-8")] {
        let mut lab = Lab::new();
        lab.c.connected(lab.now);
        lab.receive(before.as_bytes());
        assert!(matches!(lab.outputs()[..], [Output::Connect, Output::Bytes(_)]));
        assert_eq!(lab.wait(9.999), []);
        assert_eq!(lab.wait(0.002), our_error(StreamCondition::ConnectionTimeout, "no end of the handshake"));
    }
}

#[test]
fn attempts_back_off_with_jitter() {
    let mut lab = Lab::new();
    assert_eq!(lab.outputs(), [Output::Connect]);
    for doubled in [1.0, 2.0, 4.0, 8.0, 16.0, 30.0, 30.0] {
        lab.c.connect_failed(lab.now);
        assert_eq!(lab.outputs(), [Output::Down(DownReason::ConnectFailed)]);
        assert_eq!(lab.wait(doubled / 2.0 - 0.001), [], "not before half of {doubled} s");
        assert_eq!(lab.wait(doubled / 2.0 + 0.001), [Output::Connect], "after {doubled} s");
    }
    // A stream that lived for a while starts the count again; one that did not, does not.
    for (number, (lived, wait)) in [(31.0, 1.0), (1.0, 2.0)].into_iter().enumerate() {
        lab.c.connected(lab.now);
        lab.receive(HEADER);
        lab.receive(b"<handshake/>");
        lab.answer(number as u64);
        lab.outputs();
        assert_eq!(lab.wait(lived), []);
        lab.c.disconnected(lab.now);
        assert_eq!(lab.outputs(), [Output::Down(DownReason::Disconnected)]);
        assert_eq!(lab.wait(wait), [Output::Connect]);
    }
}

#[test]
fn half_a_stanza() {
    let mut lab = Lab::up(Config::new("sip.example.net", "s3cr3t"), true);
    lab.receive(b"<message from='a@b' to='romeo@sip.example.net'><body>");
    for _ in 0..29 {
        assert_eq!(lab.wait(1.0), []);
        lab.receive(b"x");
    }
    assert_eq!(lab.wait(0.999), []);
    assert_eq!(lab.wait(0.001), our_error(StreamCondition::ConnectionTimeout, "half a stanza"));
    // A stanza that is finished in between starts the time anew.
    let mut lab = Lab::up(Config::new("sip.example.net", "s3cr3t"), true);
    lab.receive(&MESSAGE.as_bytes()[..20]);
    lab.wait(29.0);
    lab.receive(format!("{}<mess", &MESSAGE[20..]).as_bytes());
    assert_eq!(lab.wait(29.0), [Output::Stanza(stanza_of(MESSAGE))]);
    assert_eq!(lab.wait(1.0).len(), 3);
}

#[test]
fn what_ends_the_stream() {
    use StreamCondition::{
        BadNamespacePrefix, NotWellFormed, PolicyViolation, RestrictedXml, UnsupportedStanzaType as Unsupported,
    };
    for (sent, condition) in [
        ("<message></presence>", NotWellFormed),
        ("<message a='1' a='2'/>", NotWellFormed),
        ("hello", NotWellFormed),
        ("</message>", NotWellFormed),
        ("<message>&#0;</message>", NotWellFormed),
        ("<!-- x -->", RestrictedXml),
        ("<message>&nbsp;</message>", RestrictedXml),
        ("<p:message/>", BadNamespacePrefix),
        ("<message xmlns='urn:evil'/>", Unsupported),
        ("<r xmlns='urn:xmpp:sm:3'/>", Unsupported),
        ("<stream:stream/>", Unsupported),
        ("<route/>", Unsupported),
    ] {
        let mut lab = Lab::up(Config::new("sip.example.net", "s3cr3t"), true);
        lab.receive(format!("{MESSAGE}{sent}{MESSAGE}").as_bytes());
        let outputs = lab.outputs();
        let [Output::Stanza(_), Output::Bytes(_), Output::Close, Output::Down(DownReason::OurError(error))] =
            &outputs[..]
        else {
            panic!("{sent}: {outputs:?}")
        };
        assert_eq!(error.condition, condition, "{sent}");
    }
    let giant = format!("<message from='a@b' to='c'><body>{}", "x".repeat(5 << 20));
    let mut lab = Lab::up(Config::new("sip.example.net", "s3cr3t"), true);
    for piece in giant.as_bytes().chunks(65_536) {
        lab.receive(piece);
    }
    assert_eq!(lab.outputs(), our_error(PolicyViolation, "too big: bytes, at most 262144"));
}

#[test]
fn headers_that_are_none() {
    for (header, condition, text) in [
        (
            "<stream:stream xmlns='jabber:component:accept' xmlns:stream='urn:evil' id='1'>",
            "invalid-namespace",
            "not a component stream",
        ),
        (
            "<stream:stream xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams' id='1'>",
            "invalid-namespace",
            "not a component stream",
        ),
        ("<message xmlns='jabber:component:accept'/>", "invalid-namespace", "not a component stream"),
        (
            "<stream:stream xmlns='jabber:component:accept' xmlns:stream='http://etherx.jabber.org/streams'>",
            "bad-format",
            "the stream has no id",
        ),
        ("HTTP/1.1 400 Bad Request\r\n", "not-well-formed", "not well-formed: text outside of an element"),
        ("<?xml version='1.0' encoding='ISO-8859-1'?>", "unsupported-encoding", "unsupported encoding"),
    ] {
        let mut lab = Lab::new();
        lab.c.connected(lab.now);
        lab.outputs();
        lab.receive(header.as_bytes());
        let condition = StreamCondition::from_name(condition).expect("a condition");
        assert_eq!(lab.outputs(), our_error(condition, text), "{header}");
    }
}

#[test]
fn nothing_passes_before_the_handshake() {
    let before = "a stanza before the handshake";
    let giant = format!("<message><body>{}</body></message>", "x".repeat(300_000));
    for (sent, text) in [(MESSAGE, before), (giant.as_str(), before), ("<iq/>", before)] {
        let mut lab = Lab::new();
        lab.c.connected(lab.now);
        lab.receive(HEADER);
        lab.outputs();
        lab.receive(format!("{sent}<handshake/>{MESSAGE}").as_bytes());
        assert_eq!(lab.outputs(), our_error(StreamCondition::NotAuthorized, text));
    }
    let mut lab = Lab::up(Config::new("sip.example.net", "s3cr3t"), true);
    lab.receive(format!("<handshake/>{MESSAGE}<stream:features/>").as_bytes());
    assert_eq!(lab.outputs(), [Output::Fault(Fault::SecondHandshake), Output::Stanza(stanza_of(MESSAGE))]);
}

#[test]
fn dialback_that_nobody_asked_for_is_ignored() {
    let stray =
        "<d:verify xmlns:d='jabber:server:dialback' from='example.com' to='sip.example.net' id='1' type='valid'/>";
    let mut lab = Lab::new();
    lab.c.connected(lab.now);
    lab.receive(HEADER);
    lab.receive(stray.as_bytes());
    lab.outputs();
    assert!(!lab.c.is_up(), "it proves nothing");
    let mut lab = Lab::up(Config::new("sip.example.net", "s3cr3t"), true);
    lab.receive(format!("{stray}{MESSAGE}").as_bytes());
    assert_eq!(lab.outputs(), [Output::Fault(Fault::StrayDialback), Output::Stanza(stanza_of(MESSAGE))]);
}

#[test]
fn the_server_ends_the_stream() {
    let conflict =
        "<stream:error><conflict xmlns='urn:ietf:params:xml:ns:xmpp-streams'/></stream:error></stream:stream>";
    let error = StreamError::new(StreamCondition::Conflict);
    for (sent, reason) in [(conflict, DownReason::ServerError(error)), ("</stream:stream>", DownReason::ClosedByServer)]
    {
        let mut lab = Lab::up(Config::new("sip.example.net", "s3cr3t"), true);
        assert_eq!(lab.send(1), Ok(()));
        lab.outputs();
        lab.receive(sent.as_bytes());
        assert_eq!(lab.outputs(), [bytes("</stream:stream>"), Output::Close, Output::Lost(1), Output::Down(reason)]);
        lab.c.disconnected(lab.now);
        assert_eq!(lab.wait(1.0), [Output::Connect]);
    }
}

#[test]
fn a_connection_that_does_not_close_is_aborted() {
    let mut lab = Lab::up(Config::new("sip.example.net", "s3cr3t"), true);
    lab.receive(b"</stream:stream>");
    assert_eq!(lab.outputs().len(), 3);
    assert_eq!(lab.wait(4.999), []);
    assert_eq!(lab.wait(0.001), [Output::Abort]);
    assert_eq!(lab.wait(1.0), [Output::Connect]);
}

#[test]
fn a_bad_stanza_is_refused_and_the_stream_goes_on() {
    let ns = "urn:ietf:params:xml:ns:xmpp-stanzas";
    let malformed = format!("<error type='modify'><jid-malformed xmlns='{ns}'/></error>");
    let bad_request = format!("<error type='modify'><bad-request xmlns='{ns}'/></error>");
    for (sent, reply) in [
        (
            "<message from='a@b/c' to='' id='1'/>",
            Some(format!("<message from='sip.example.net' to='a@b/c' id='1' type='error'>{malformed}</message>")),
        ),
        (
            "<iq from='a@b/c' to='ro&#10;meo@sip.example.net' type='get' id='2'><x/></iq>",
            Some(format!("<iq from='sip.example.net' to='a@b/c' id='2' type='error'>{malformed}</iq>")),
        ),
        (
            "<presence from='a@b' to='a b@sip.example.net'/>",
            Some(format!("<presence from='sip.example.net' to='a@b' type='error'>{malformed}</presence>")),
        ),
        (
            "<message from='a@b/c'/>",
            Some(format!("<message from='sip.example.net' to='a@b/c' type='error'>{bad_request}</message>")),
        ),
        ("<message from='@' to='romeo@sip.example.net'/>", None),
        ("<message to='romeo@sip.example.net'/>", None),
        ("<message from='a@b' to='' type='error'/>", None),
        ("<iq from='a@b' to='' type='result' id='1'/>", None),
    ] {
        let mut lab = Lab::up(Config::new("sip.example.net", "s3cr3t"), true);
        lab.receive(format!("{sent}{MESSAGE}").as_bytes());
        let outputs = lab.outputs();
        assert!(matches!(outputs[0], Output::Fault(Fault::BadStanza(_) | Fault::Unaddressed)), "{sent}: {outputs:?}");
        let ours = Output::Stanza(stanza_of(MESSAGE));
        match reply {
            Some(reply) => assert_eq!(outputs[1..], [bytes(reply), ours, bytes(lab.ping(1))], "{sent}"),
            None => assert_eq!(outputs[1..], [ours], "{sent}"),
        }
        assert!(lab.c.is_up());
    }
}

#[test]
fn what_is_for_another_domain_is_not_answered() {
    let mut lab = Lab::up(Config::new("sip.example.net", "s3cr3t"), true);
    assert_eq!(lab.send(1), Ok(()));
    lab.c.shutdown(lab.now);
    lab.outputs();
    lab.receive(MESSAGE.replace("sip.example.net", "venice.example").as_bytes());
    assert_eq!(lab.outputs(), []);
    assert_eq!(lab.c.counts().refused, 1);
}

#[test]
fn a_giant_is_refused_and_the_stream_goes_on() {
    let giant = format!(
        "<message from='a@b/c' to='romeo@sip.example.net' id='1'><body>{}</body></message>",
        "x".repeat(300_000)
    );
    let mut lab = Lab::up(Config::new("sip.example.net", "s3cr3t"), true);
    for piece in giant.as_bytes().chunks(1000) {
        lab.receive(piece);
    }
    lab.receive(MESSAGE.as_bytes());
    let ns = "urn:ietf:params:xml:ns:xmpp-stanzas";
    let why = xml::Error::TooBig { what: "bytes", limit: 262_144 };
    let reply = format!(
        "<message from='romeo@sip.example.net' to='a@b/c' id='1' type='error'><error type='modify'>\
         <policy-violation xmlns='{ns}'/><text xmlns='{ns}' xml:lang='en'>{why}</text></error></message>"
    );
    assert_eq!(
        lab.outputs(),
        [Output::Fault(Fault::Oversize(why)), bytes(reply), Output::Stanza(stanza_of(MESSAGE)), bytes(lab.ping(1))]
    );
    assert_eq!(lab.c.counts().refused, 1);
}

#[test]
fn what_may_be_on_its_way_is_bounded() {
    let config =
        || Config { max_unacknowledged: 3, max_unacknowledged_bytes: 60, ..Config::new("sip.example.net", "s3cr3t") };
    let mut lab = Lab::up(config(), true);
    assert_eq!([1, 2, 3, 4].map(|t| lab.send(t)), [Ok(()), Ok(()), Ok(()), Err(SendError::Full)]);
    assert_eq!(lab.outputs(), [bytes(format!("<message id='1'/><message id='2'/><message id='3'/>{}", lab.ping(1)))]);
    // Not even our own refusals pass the bound: a flood of them holds no memory.
    for _ in 0..1000 {
        lab.receive(b"<message from='a@b/c'/>");
        assert_eq!(lab.outputs(), [Output::Fault(Fault::Unaddressed), Output::Fault(Fault::ReplyDropped)]);
    }
    lab.answer(1);
    assert_eq!(lab.outputs(), [Output::Taken(1), Output::Taken(2), Output::Taken(3)]);
    assert_eq!(lab.send(4), Ok(()));
    let mut lab = Lab::up(config(), true);
    assert_eq!(lab.c.send(lab.now, &[b'x'; 61], Some(1)), Err(SendError::Full));
    assert_eq!(lab.c.send(lab.now, &[b'x'; 60], Some(1)), Ok(()));
    assert_eq!(lab.c.send(lab.now, b"x", Some(2)), Err(SendError::Full));
}

#[test]
fn a_shutdown_settles_first() {
    let mut lab = Lab::up(Config::new("sip.example.net", "s3cr3t"), true);
    assert_eq!(lab.send(1), Ok(()));
    lab.c.shutdown(lab.now);
    assert_eq!(lab.outputs(), [bytes(format!("<message id='1'/>{}", lab.ping(1)))]);
    assert_eq!(lab.send(2), Err(SendError::Down));
    lab.receive(MESSAGE.as_bytes());
    // Nobody could answer a message any more, so its sender is told here; an error may still decide what became of a message of ours.
    let refusal = "<message from='romeo@sip.example.net' to='juliet@example.com/b' id='m' type='error'><error type='wait'>\
        <resource-constraint xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/>\
        <text xmlns='urn:ietf:params:xml:ns:xmpp-stanzas' xml:lang='en'>The gateway is shutting down</text></error></message>";
    assert_eq!(lab.wait(1.0), [bytes(format!("{refusal}{}", lab.ping(2)))]);
    let error = "<message from='x@example.com' to='romeo@sip.example.net' id='1' type='error'/>";
    lab.receive(error.as_bytes());
    lab.answer(1);
    assert_eq!(lab.outputs(), [Output::Stanza(stanza_of(error)), Output::Taken(1)]);
    lab.answer(2);
    assert_eq!(lab.outputs(), [bytes("</stream:stream>")]);
    lab.receive(b"</stream:stream>");
    assert_eq!(lab.outputs(), [Output::Close, Output::Down(DownReason::Shutdown)]);
    lab.c.disconnected(lab.now);
    assert_eq!(lab.wait(3600.0), []);
}

#[test]
fn a_shutdown_ends_whatever_the_server_does() {
    let mut lab = Lab::up(Config::new("sip.example.net", "s3cr3t"), true);
    assert_eq!(lab.send(1), Ok(()));
    lab.c.shutdown(lab.now);
    let start = lab.now;
    let ends = [Output::Close, Output::Lost(1), Output::Down(DownReason::Shutdown), Output::Abort];
    assert_eq!(lab.wait(3600.0)[1..], [vec![bytes("</stream:stream>")], ends.to_vec()].concat());
    assert_eq!((start, lab.c.deadline()), (Time::ZERO, None));

    // With nothing under way it closes at once; before the handshake too; and before a connection there is nothing to do.
    let mut lab = Lab::up(Config::new("sip.example.net", "s3cr3t"), true);
    lab.c.shutdown(lab.now);
    assert_eq!(lab.outputs(), [bytes("</stream:stream>")]);
    let mut lab = Lab::new();
    lab.c.connected(lab.now);
    lab.outputs();
    lab.c.shutdown(lab.now);
    assert_eq!(lab.outputs(), [bytes("</stream:stream>"), Output::Close, Output::Down(DownReason::Shutdown)]);
    let mut lab = Lab::new();
    lab.c.shutdown(lab.now);
    assert_eq!(lab.wait(3600.0), []);
    let mut lab = Lab::new();
    assert_eq!(lab.outputs(), [Output::Connect]);
    lab.c.shutdown(lab.now);
    lab.c.connected(lab.now);
    assert_eq!(lab.wait(3600.0), [Output::Close]);
    let mut lab = Lab::new();
    lab.c.connect_failed(lab.now);
    lab.c.shutdown(lab.now);
    assert_eq!(lab.wait(3600.0), [Output::Connect, Output::Down(DownReason::ConnectFailed)]);
}

#[test]
fn nothing_secret_is_printed() {
    let lab = Lab::up(Config::new("sip.example.net", "s3cr3t"), true);
    assert!(!format!("{:?}", lab.c).contains("s3cr3t"));
    for fault in
        [Fault::BadStanza(StanzaFault::NotAStanza), Fault::Oversize(xml::Error::BadEncoding), Fault::ReplyDropped]
    {
        assert!(!fault.to_string().is_empty());
    }
    let text = "\u{1b}[2Jx\n";
    let told = DownReason::ServerError(StreamError::new(StreamCondition::Conflict).with_text(text)).to_string();
    assert_eq!(told, "the server says conflict (\"\\u{1b}[2Jx\\n\")", "what the server wrote cannot act on a terminal");
}

/// RFC 6120 §4.9.1.1: an end tag is written once, an error of the server's behind our own end too.
#[test]
fn our_end_of_a_stream_is_closed_once() {
    for last in
        ["<s:error xmlns:s='http://etherx.jabber.org/streams'><conflict/></s:error>", "</stream:stream>", "<nonsense/>"]
    {
        let mut lab = Lab::up(Config::new("sip.example.net", "s3cr3t"), true);
        lab.c.shutdown(lab.now);
        assert_eq!(lab.outputs(), [bytes("</stream:stream>")]);
        lab.receive(last.as_bytes());
        assert!(matches!(&lab.outputs()[..], [Output::Close, Output::Down(_)]), "{last}");
    }
}
