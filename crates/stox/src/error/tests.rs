use super::*;
use crate::address::AddressError;

/// RFC 7247 table 2: the condition, its status for a full and for a bare JID.
const TABLE_2: &[(&str, u16, u16)] = &[
    ("bad-request", 400, 400),
    ("conflict", 400, 400),
    ("feature-not-implemented", 405, 501),
    ("forbidden", 403, 603),
    ("gone", 410, 410),
    ("internal-server-error", 500, 500),
    ("item-not-found", 404, 604),
    ("jid-malformed", 400, 400),
    ("not-acceptable", 406, 606),
    ("not-allowed", 403, 403),
    ("not-authorized", 401, 401),
    ("policy-violation", 403, 403),
    ("recipient-unavailable", 480, 600),
    ("redirect", 302, 302),
    ("registration-required", 407, 407),
    ("remote-server-not-found", 404, 404),
    ("remote-server-timeout", 408, 408),
    ("resource-constraint", 500, 500),
    ("service-unavailable", 404, 404),
    ("subscription-required", 400, 400),
    ("undefined-condition", 400, 400),
    ("unexpected-request", 491, 491),
];

#[test]
fn table_2_row_by_row() {
    assert_eq!(TABLE_2.len(), Condition::ALL.len());
    for &(name, full, bare) in TABLE_2 {
        let condition = Condition::from_name(name).unwrap();
        assert_eq!(table2(condition, true, false), full, "{name}, full");
        assert_eq!(table2(condition, false, false), bare, "{name}, bare");
        let error = StanzaError::new(condition);
        assert_eq!(to_invite_response(&error, true).code, full, "{name}, full, INVITE");
        // Two statuses are not for other requests.
        let other = |code| match code {
            408 => 504,
            491 => 400,
            code => code,
        };
        assert_eq!(to_response(&error, true).code, other(full), "{name}, full, no INVITE");
        assert_eq!(to_response(&error, false).code, other(bare), "{name}, bare, no INVITE");
    }
    assert_eq!(table2(Condition::Gone, true, true), 301);
    assert_eq!(table2(Condition::Redirect, true, true), 302);
}

/// RFC 7247 table 3 with the families' defaults.
const TABLE_3: &[(u16, &str)] = &[
    (300, "redirect"),
    (301, "gone"),
    (302, "redirect"),
    (305, "redirect"),
    (380, "not-acceptable"),
    (399, "redirect"),
    (400, "bad-request"),
    (401, "not-authorized"),
    (402, "bad-request"),
    (403, "forbidden"),
    (404, "item-not-found"),
    (405, "feature-not-implemented"),
    (406, "not-acceptable"),
    (407, "registration-required"),
    (408, "remote-server-timeout"),
    (410, "gone"),
    (413, "policy-violation"),
    (414, "policy-violation"),
    (415, "not-acceptable"),
    (416, "not-acceptable"),
    (420, "feature-not-implemented"),
    (421, "not-acceptable"),
    (423, "resource-constraint"),
    (428, "bad-request"),
    (430, "recipient-unavailable"),
    (439, "feature-not-implemented"),
    (440, "policy-violation"),
    (480, "recipient-unavailable"),
    (481, "item-not-found"),
    (482, "not-acceptable"),
    (483, "not-acceptable"),
    (484, "item-not-found"),
    (485, "item-not-found"),
    (486, "recipient-unavailable"),
    (487, "recipient-unavailable"),
    (488, "not-acceptable"),
    (489, "policy-violation"),
    (491, "unexpected-request"),
    (493, "bad-request"),
    (499, "bad-request"),
    (500, "internal-server-error"),
    (501, "feature-not-implemented"),
    (502, "remote-server-not-found"),
    (503, "internal-server-error"),
    (504, "remote-server-timeout"),
    (505, "not-acceptable"),
    (513, "policy-violation"),
    (580, "internal-server-error"),
    (600, "recipient-unavailable"),
    (603, "recipient-unavailable"),
    (604, "item-not-found"),
    (606, "not-acceptable"),
    (607, "recipient-unavailable"),
    // None of the tables' business.
    (200, "undefined-condition"),
    (700, "undefined-condition"),
];

#[test]
fn table_3_row_by_row() {
    for &(code, name) in TABLE_3 {
        assert_eq!(table3(code).name(), name, "{code}");
    }
    for &(code, name) in TABLE_3.iter().filter(|(code, _)| (300..700).contains(code)) {
        let error = from_response(&Response::new(code, ""));
        assert_eq!((error.condition.name(), error.address.as_deref()), (name, None), "{code}");
        assert_eq!(error.text.as_deref(), Some(sip::reason_phrase(code)), "{code}");
    }
}

fn moved(condition: Condition, address: &str) -> StanzaError {
    let mut error = StanzaError::new(condition);
    error.address = Some(address.to_owned());
    error
}

#[test]
fn a_new_address_becomes_a_contact() {
    for (condition, address, code, contact) in [
        (Condition::Gone, "xmpp:romeo@afterlife.example", 301, Some("<sip:romeo@afterlife.example>")),
        (Condition::Gone, " xmpp:o%5C27h@b.example/x ", 301, Some("<sip:o'h@b.example;gr=x>")),
        (Condition::Gone, "sips:a@b.example", 301, Some("<sips:a@b.example>")),
        (Condition::Gone, "mailto:a@b.example", 301, Some("<mailto:a@b.example>")),
        (Condition::Redirect, "xmpp:a@b.example", 302, Some("<sip:a@b.example>")),
        // What is no address is none: 410 carries nothing, and a 302 goes without.
        (Condition::Gone, "over there", 410, None),
        (Condition::Gone, "xmpp:@", 410, None),
        (Condition::Gone, "sip:a@b.example>\r\nVia: x", 410, None),
        (Condition::Redirect, "over there", 302, None),
        // Only these two conditions have one.
        (Condition::ItemNotFound, "xmpp:a@b.example", 404, None),
    ] {
        for full in [true, false] {
            let response = to_response(&moved(condition, address), full);
            let code = if code == 404 && !full { 604 } else { code };
            let got = (response.code, response.headers.get(Name::Contact), response.headers.len());
            assert_eq!(got, (code, contact, usize::from(contact.is_some())), "{address}");
        }
    }
    let long = format!("xmpp:{}@b.example", "a".repeat(1023));
    assert_eq!(to_response(&moved(Condition::Gone, &long), true).code, 410);
}

#[test]
fn a_contact_becomes_a_new_address() {
    let read = |code, contacts: &[&str]| {
        let mut response = Response::new(code, "");
        contacts.iter().for_each(|c| response.headers.push(Name::Contact, c));
        let error = from_response(&response);
        (error.condition.name(), error.address)
    };
    let address = |a: &str| Some(a.to_owned());
    assert_eq!(read(301, &["<sip:o'hara@b.example;gr=x>"]), ("gone", address("xmpp:o%5C27hara@b.example/x")));
    assert_eq!(read(302, &["\"A\" <sip:a@b.example:5070>;q=0.5"]), ("redirect", address("xmpp:a@b.example")));
    assert_eq!(
        read(300, &["<sip:a@b.example>;q=0.1, <sip:c@b.example>;q=0.9", "<sip:d@b.example>;q=0.9"]),
        ("redirect", address("xmpp:c@b.example"))
    );
    assert_eq!(read(302, &["bad <", "<mailto:a@b.example>"]), ("redirect", address("mailto:a@b.example")));
    assert_eq!(read(302, &["<sip:a:pw@b.example>"]).1, address("sip:a:pw@b.example"));
    // A 410 carries none; what a 305 names is a proxy, and a 380 is no redirection.
    assert_eq!(read(410, &["<sip:a@b.example>"]), ("gone", None));
    assert_eq!(read(305, &["<sip:proxy.b.example>"]), ("redirect", None));
    assert_eq!(read(380, &["<sip:a@b.example>"]), ("not-acceptable", None));
    assert_eq!(read(480, &["<sip:a@b.example>"]), ("recipient-unavailable", None));
    assert_eq!(read(302, &["*"]), ("redirect", None));
}

#[test]
fn words_go_both_ways() {
    let error = StanzaError::new(Condition::Forbidden).with_text("Not\r\nfor <you>");
    let response = to_response(&error, true);
    assert_eq!((response.code, response.reason.as_str()), (403, "Not for %3Cyou%3E"));
    assert_eq!(from_response(&response).text.as_deref(), Some("Not for <you>"));
    // No words: the default ones, and none for an empty phrase.
    assert_eq!(to_response(&StanzaError::new(Condition::Forbidden), true).reason, "Forbidden");
    let mut silent = Response::new(486, "");
    silent.reason = Str::default();
    assert_eq!(from_response(&silent).text, None);
    // The words survive where the status is another one for the method.
    let timeout = StanzaError::new(Condition::RemoteServerTimeout).with_text("gone fishing");
    let response = to_response(&timeout, true);
    assert_eq!((response.code, response.reason.as_str()), (504, "gone fishing"));
}

#[test]
fn retry_after_is_said_in_words_and_type() {
    let read = |code, value: &str| {
        let mut response = Response::new(code, "Busy");
        response.headers.push(Name::RetryAfter, value);
        let error = from_response(&response);
        (error.kind, error.text.unwrap())
    };
    let busy = |words: &str| words.to_owned();
    assert_eq!(read(503, "18 (lunch);duration=60"), (ErrorType::Wait, busy("Busy; try again after 18 s")));
    assert_eq!(read(404, "5"), (ErrorType::Wait, busy("Busy; try again after 5 s")));
    assert_eq!(read(413, "5"), (ErrorType::Modify, busy("Busy; try again after 5 s")));
    assert_eq!(read(503, "soon"), (ErrorType::Cancel, busy("Busy")));
    assert_eq!(read(503, "0"), (ErrorType::Cancel, busy("Busy")));
    let mut silent = Response::new(503, "");
    silent.reason = Str::default();
    silent.headers.push(Name::RetryAfter, "7");
    assert_eq!(from_response(&silent).text.as_deref(), Some("try again after 7 s"));
}

/// A refusal; its status, phrase and header towards SIP; its condition and type towards XMPP.
type Faces = (Refusal, u16, &'static str, Option<(&'static str, &'static str)>, &'static str, &'static str);

#[test]
fn each_refusal_has_two_faces() {
    let allow = || Refusal::MethodNotAllowed { allow: Str::const_new("MESSAGE") };
    let cases: &[Faces] = &[
        (Refusal::BadRequest("Bad From"), 400, "Bad From", None, "bad-request", "modify"),
        (Refusal::BadBody("bad charset"), 400, "bad charset", None, "bad-request", "modify"),
        (Refusal::Address(AddressError::EdgeSpace), 404, "No Such XMPP User", None, "item-not-found", "cancel"),
        (Refusal::Address(AddressError::TooLong), 414, "Address Too Long For XMPP", None, "jid-malformed", "modify"),
        (Refusal::Address(AddressError::NoEscape), 404, "No Such SIP User", None, "jid-malformed", "modify"),
        (
            Refusal::Sender(AddressError::Control('\0')),
            400,
            "Control Character In Address",
            None,
            "jid-malformed",
            "modify",
        ),
        (Refusal::Sender(AddressError::Phone("x")), 403, "No Telephone Number", None, "jid-malformed", "modify"),
        (Refusal::NotServed, 404, "Domain Not Served Here", None, "remote-server-not-found", "cancel"),
        (Refusal::SenderNotAllowed, 403, "Sender Not Allowed", None, "forbidden", "auth"),
        (Refusal::SpoofedDomain, 403, "Sender Belongs To The Other Side", None, "not-allowed", "cancel"),
        (
            Refusal::SipsNotAllowed,
            480,
            "SIPS Not Allowed",
            Some(("Warning", "380 gateway \"SIPS Not Allowed\"")),
            "not-allowed",
            "cancel",
        ),
        (Refusal::NotSupported, 403, "Forbidden", None, "service-unavailable", "cancel"),
        (allow(), 405, "Method Not Allowed", Some(("Allow", "MESSAGE")), "feature-not-implemented", "cancel"),
        (Refusal::BadEvent, 489, "Bad Event", None, "feature-not-implemented", "cancel"),
        (
            Refusal::UnsupportedContent { accept: "text/plain" },
            415,
            "Unsupported Media Type",
            Some(("Accept", "text/plain")),
            "not-acceptable",
            "modify",
        ),
        (
            Refusal::NotAcceptableHere { warning: 304, why: "No such medium" },
            488,
            "Not Acceptable Here",
            Some(("Warning", "304 gateway \"No such medium\"")),
            "not-acceptable",
            "modify",
        ),
        (
            Refusal::UnsupportedEncoding,
            415,
            "Unsupported Media Type",
            Some(("Accept-Encoding", "identity")),
            "not-acceptable",
            "modify",
        ),
        (Refusal::TooBig, 413, "Request Entity Too Large", None, "policy-violation", "modify"),
        (Refusal::TooLong { limit: 1300 }, 413, "Request Entity Too Large", None, "policy-violation", "modify"),
        (Refusal::Groupchat, 403, "Forbidden", None, "service-unavailable", "cancel"),
        (Refusal::Loop, 482, "Loop Detected", None, "not-acceptable", "cancel"),
        (Refusal::TooManyHops, 483, "Too Many Hops", None, "not-acceptable", "cancel"),
        (
            Refusal::RateExceeded { retry_after: 5 },
            480,
            "Too Many Messages",
            Some(("Retry-After", "5")),
            "resource-constraint",
            "wait",
        ),
        (
            Refusal::Overload { retry_after: 5 },
            503,
            "Service Unavailable",
            Some(("Retry-After", "5")),
            "resource-constraint",
            "wait",
        ),
        (
            Refusal::LinkDown { retry_after: 5 },
            503,
            "Service Unavailable",
            Some(("Retry-After", "5")),
            "remote-server-timeout",
            "wait",
        ),
        (Refusal::SipTimeout, 504, "Server Time-out", None, "remote-server-timeout", "wait"),
        (Refusal::SipTransport, 504, "Server Time-out", None, "remote-server-timeout", "wait"),
        (Refusal::UnknownAccount, 404, "Not Found", None, "item-not-found", "cancel"),
        (Refusal::NoContact, 480, "Temporarily Unavailable", None, "recipient-unavailable", "wait"),
        (Refusal::NoRoute, 502, "Bad Gateway", None, "remote-server-not-found", "cancel"),
    ];
    let mut names = Vec::new();
    for (refusal, code, reason, header, condition, kind) in cases {
        let response = refusal.response();
        assert_eq!((response.code, response.reason.as_str()), (*code, *reason), "{refusal:?}");
        assert_eq!(refusal.code(), *code);
        let headers: Vec<_> = response.headers.iter().map(|(name, value)| (name.as_str(), value)).collect();
        assert_eq!(headers, header.iter().copied().collect::<Vec<_>>(), "{refusal:?}");
        // A phrase stands in a status line as it is.
        assert_eq!(reason_of_text(reason), *reason, "{refusal:?}");
        let error = refusal.stanza_error();
        assert_eq!((error.condition.name(), error.kind.name()), (*condition, *kind), "{refusal:?}");
        assert!(error.text.is_some_and(|t| t.len() > 4) && error.text_lang.as_deref() == Some("en"), "{refusal:?}");
        names.push(refusal.name());
    }
    names.dedup();
    // Address thrice, Sender twice.
    assert_eq!(names.len(), cases.len() - 3);
    assert_eq!(
        Refusal::TooLong { limit: 1300 }.stanza_error().text.as_deref(),
        Some("Too long: with its addresses a message may have 1300 bytes")
    );
}
