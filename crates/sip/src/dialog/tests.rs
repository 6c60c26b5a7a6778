//! Dialogs, as values.

use super::*;
use crate::limits::Limits;
use crate::message::Message;
use crate::parse::parse_datagram;
use bytes::Bytes;

fn message(text: &str) -> Message {
    let text = text.replace('\n', "\r\n");
    parse_datagram(&Bytes::from(text), &Limits::default()).expect("a message")
}

fn subscribe(extra: &str) -> Request {
    let text = format!(
        "SUBSCRIBE sip:juliet@example.com SIP/2.0\nVia: SIP/2.0/UDP a.example.net;branch=z9hG4bKa\n{extra}\
         From: \"Romeo\" <sip:romeo@example.net>;tag=r;x=y\nTo: sip:juliet@example.com\nCall-ID: c@example.net\n\
         CSeq: 7 SUBSCRIBE\nEvent: presence\nContent-Length: 0\n\n"
    );
    match message(&text) {
        Message::Request(request) => request,
        Message::Response(_) => panic!("not a request"),
    }
}

const CONTACT: &str = "Contact: \"R\" <sip:romeo@Example.NET;gr=hdg7777ad7aflzig8sf7;method=INVITE?X=y>;expires=3\n";

fn lines(request: &Request) -> Vec<String> {
    let text = String::from_utf8(request.to_bytes().to_vec()).expect("UTF-8");
    text.lines().filter(|l| !l.is_empty()).map(str::to_owned).collect()
}

/// RFC 3261 §12.1.1, §12.2.1.1 with loose routers; RFC 5627 §4.4: the GRUU goes into the Request-URI.
#[test]
fn the_side_that_was_asked() {
    let routes = "Record-Route: <sip:p2.example.net;lr>, <sip:p1.example.net;lr;x=\"y\">\nRecord-Route: <sip:p0.example.net;lr>\n";
    let request = subscribe(&format!("{CONTACT}{}", routes.replace("\"y\"", "y")));
    let mut dialog = Dialog::as_uas(&request, "j", 0).expect("a dialog");
    assert_eq!(dialog.remote_cseq(), Some(7));
    let notify = dialog.request(Method::Notify).expect("a request");
    assert_eq!(
        lines(&notify),
        [
            "NOTIFY sip:romeo@example.net;gr=hdg7777ad7aflzig8sf7 SIP/2.0",
            "Max-Forwards: 70",
            "Route: <sip:p2.example.net;lr>",
            "Route: <sip:p1.example.net;lr;x=y>",
            "Route: <sip:p0.example.net;lr>",
            "From: <sip:juliet@example.com>;tag=j",
            "To: \"Romeo\" <sip:romeo@example.net>;tag=r",
            "Call-ID: c@example.net",
            "CSeq: 1 NOTIFY",
            "Content-Length: 0",
        ]
    );
    assert_eq!(dialog.request(Method::Notify).expect("a request").headers.get(Name::CSeq), Some("2 NOTIFY"));
}

/// RFC 3261 §12.1.2: the same proxies from the other end, of which the first is a strict router.
#[test]
fn the_side_that_asked() {
    let request = subscribe("");
    let mut response = Response::to_request(&request, 200, "", Some("j"));
    response.headers.push(Name::RecordRoute, "<sip:p2.example.net;lr>");
    response.headers.push(Name::RecordRoute, "<sip:p1.example.net;method=X>");
    response.headers.push(Name::Contact, "<sip:juliet@gw.example.com>");
    let mut dialog = Dialog::as_uac(&request, &response).expect("a dialog");
    let refresh = dialog.request(Method::Subscribe).expect("a request");
    assert_eq!(
        lines(&refresh)[..7],
        [
            "SUBSCRIBE sip:p1.example.net SIP/2.0",
            "Max-Forwards: 70",
            "Route: <sip:p2.example.net;lr>",
            "Route: <sip:juliet@gw.example.com>",
            "From: \"Romeo\" <sip:romeo@example.net>;tag=r",
            "To: <sip:juliet@example.com>;tag=j",
            "Call-ID: c@example.net",
        ]
    );
    assert_eq!(refresh.headers.get(Name::CSeq), Some("8 SUBSCRIBE"));
}

#[test]
fn what_makes_no_dialog() {
    let fault = |extra: &str| Dialog::as_uas(&subscribe(extra), "j", 0).map_err(|e| e.to_string());
    assert_eq!(fault(""), Err("Missing Contact".to_owned()));
    assert_eq!(fault("Contact: <tel:+1>\n"), Err("Malformed Contact: not a SIP URI".to_owned()));
    assert_eq!(fault("Contact: <sip:a@b.example>, <sip:c@d.example>\n"), Err("Repeated Contact".to_owned()));
    assert!(fault("Contact: *\n").is_err());
    assert!(fault("Contact: <sip:a@b.example>\nRecord-Route: sip:p.example\n").is_err());
}

/// RFC 3261 §12.2.2.
#[test]
fn numbers_only_grow_and_end() {
    let mut dialog = Dialog::as_uas(&subscribe(CONTACT), "j", LAST_CSEQ - 1).expect("a dialog");
    for (number, taken) in [(7, false), (6, false), (8, true), (8, false), (100, true), (99, false)] {
        assert_eq!(dialog.take_cseq(number), taken, "{number}");
    }
    assert!(dialog.request(Method::Notify).is_some());
    assert!(dialog.request(Method::Notify).is_none());
    assert_eq!(dialog.local_cseq(), LAST_CSEQ);
    assert!(!dialog.refresh_target(dialog.remote_target()));
    assert!(dialog.refresh_target("sip:elsewhere.example".into()));
    assert!(dialog.refresh_target("no URI".into()));
    dialog.set_local_cseq(1);
    assert!(dialog.request(Method::Notify).is_none());
}

/// RFC 5057 §3: usages of one dialog have one count of numbers in each direction and one target; a clone has its own.
#[test]
fn usages_of_one_dialog() {
    let mut session = Dialog::as_uas(&subscribe(CONTACT), "j", 4).expect("a dialog");
    let (apart, before) = (session.clone(), size_of::<Dialog>());
    let mut events = session.share();
    let mut again = events.share();
    assert_eq!((session.usages(), events.is_shared(), apart.is_shared(), before), (3, true, false, 184));
    assert_eq!(session, apart);
    let number = |dialog: &mut Dialog| {
        dialog.request(Method::Notify).expect("a request").headers.get(Name::CSeq).map(str::to_owned)
    };
    assert_eq!(number(&mut events).as_deref(), Some("5 NOTIFY"));
    assert_eq!(number(&mut session).as_deref(), Some("6 NOTIFY"));
    assert_eq!(number(&mut again).as_deref(), Some("7 NOTIFY"));
    events.take_back();
    assert_eq!((session.local_cseq(), apart.local_cseq()), (6, 4));
    assert!(again.take_cseq(9));
    assert!(!session.take_cseq(9) && !events.take_cseq(8) && session.take_cseq(10));
    assert_eq!((events.remote_cseq(), apart.remote_cseq()), (Some(10), Some(7)));
    assert!(session.refresh_target("sip:moved@192.0.2.9".into()));
    assert_eq!(events.request(Method::Notify).expect("a request").uri.to_string(), "sip:moved@192.0.2.9");
    // RFC 3515 §2.4.6: the first REFER in either direction.
    assert!(events.first_refer(true) && !again.first_refer(true));
    assert!(session.first_refer(false) && !events.first_refer(false));
    assert!(apart.first_refer(true) && apart.first_refer(true));
    drop((again, events));
    assert_eq!((session.usages(), session.is_shared()), (1, true));
}

/// What is stored is the form that it always was, shared or not.
#[test]
fn the_stored_form() {
    let mut dialog = Dialog::as_uas(&subscribe(CONTACT), "j", 4).expect("a dialog");
    let text = r#"{"call_id":"c@example.net","local_uri":"<sip:juliet@example.com>","local_tag":"j","remote_uri":"\"Romeo\" <sip:romeo@example.net>","remote_tag":"r","remote_target":"sip:romeo@example.net;gr=hdg7777ad7aflzig8sf7","route_set":[],"local_cseq":4,"remote_cseq":7}"#;
    assert_eq!(serde_json::to_string(&dialog).expect("JSON"), text);
    let _other = dialog.share();
    assert_eq!(serde_json::to_string(&dialog).expect("JSON"), text);
    let read: Dialog = serde_json::from_str(text).expect("a dialog");
    assert_eq!((&read, read.is_shared()), (&dialog, false));
    let short = r#"{"call_id":"c","local_uri":"<sip:a@b.example>","local_tag":"j","remote_uri":"<sip:c@d.example>","remote_target":"sip:x"}"#;
    let read: Dialog = serde_json::from_str(short).expect("a dialog");
    assert_eq!((read.local_cseq(), read.remote_cseq(), read.remote_tag.as_str()), (0, None, ""));
}
