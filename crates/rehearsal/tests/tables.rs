//! RFC 7247 tables 2 and 3, every row, as a user on the other side sees it. The tables are written down here a second time, from
//! the RFC: this is not the code's own table.

#![allow(clippy::unwrap_used, clippy::panic, clippy::print_stdout, reason = "helpers of tests are tests")]

use rehearsal::scene::{Player, Settings};

/// Condition, code for a bare address, code for a full one. Two rows are not the RFC's 408 and 491: RFC 4320 §4.2 forbids 408 to
/// anything but an INVITE, and 491 (RFC 3261 §21.4.27) speaks of a dialog; the RFC's own other choice is 400.
const TABLE_2: &[(&str, u16, u16)] = &[
    ("bad-request", 400, 400),
    ("conflict", 400, 400),
    ("feature-not-implemented", 501, 405),
    ("forbidden", 603, 403),
    ("gone", 410, 410),
    ("internal-server-error", 500, 500),
    ("item-not-found", 604, 404),
    ("jid-malformed", 400, 400),
    ("not-acceptable", 606, 406),
    ("not-allowed", 403, 403),
    ("not-authorized", 401, 401),
    ("policy-violation", 403, 403),
    ("recipient-unavailable", 600, 480),
    ("redirect", 302, 302),
    ("registration-required", 407, 407),
    ("remote-server-not-found", 404, 404),
    ("remote-server-timeout", 504, 504),
    ("resource-constraint", 500, 500),
    ("service-unavailable", 404, 404),
    ("subscription-required", 400, 400),
    ("undefined-condition", 400, 400),
    ("unexpected-request", 400, 400),
];

/// Code and condition; the last of each class stands for the codes that are not listed.
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
    (599, "internal-server-error"),
    (600, "recipient-unavailable"),
    (603, "recipient-unavailable"),
    (604, "item-not-found"),
    (606, "not-acceptable"),
    (699, "recipient-unavailable"),
];

fn play(failures: &mut Vec<String>, name: &str, scene: &str) {
    if let Err(failure) = Player::new(Settings::default()).play(name, scene) {
        failures.push(failure.to_string());
    }
}

#[test]
fn table_2_every_condition_bare_and_full() {
    let mut failures = Vec::new();
    for &(condition, bare, full) in TABLE_2 {
        for (uri, jid, code) in [
            ("juliet@example.com", "juliet@example.com", bare),
            ("juliet@example.com;gr=b", "juliet@example.com/b", full),
        ] {
            let scene = format!(
                "romeo sends
    MESSAGE sip:{uri} SIP/2.0

    Lady
juliet gets
    <message to='{jid}' id='$id'/>
juliet sends
    <message type='error' from='{jid}' to='romeo@example.net' id='$id'>
      <error type='cancel'><{condition} xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error>
    </message>
romeo gets
    SIP/2.0 {code} *
    CSeq: 1 MESSAGE
"
            );
            play(&mut failures, &format!("{condition} from {jid}"), &scene);
        }
    }
    assert!(failures.is_empty(), "{}", failures.join("\n\n"));
}

/// RFC 3261 §21: what a status must or should bring along, or a phone cannot use it.
#[test]
fn statuses_bring_what_belongs_to_them() {
    let mut failures = Vec::new();
    for (condition, header) in [
        (
            "<redirect xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'>xmpp:nurse@example.com</redirect>",
            "Contact: <sip:nurse@example.com>",
        ),
        (
            "<gone xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'>xmpp:nurse@example.com</gone>",
            "Contact: <sip:nurse@example.com>",
        ),
        ("<feature-not-implemented xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/>", "Allow: *MESSAGE*"),
    ] {
        let scene = format!(
            "romeo sends
    MESSAGE sip:juliet@example.com;gr=b SIP/2.0

    Lady
juliet gets
    <message id='$id'/>
juliet sends
    <message type='error' from='juliet@example.com/b' to='romeo@example.net' id='$id'>
      <error type='cancel'>{condition}</error>
    </message>
romeo gets
    SIP/2.0 * *
    {header}
"
        );
        play(&mut failures, condition, &scene);
    }
    assert!(failures.is_empty(), "{}", failures.join("\n\n"));
}

#[test]
fn table_3_every_code() {
    let mut failures = Vec::new();
    for &(code, condition) in TABLE_3 {
        // A plain text is refused for good: there is no second try with less.
        let contact = if matches!(code, 301 | 302) { "\n    Contact: <sip:romeo@mantua.example>" } else { "" };
        let scene = format!(
            "juliet sends
    <message from='juliet@example.com/b' to='romeo@example.net' id='m1'><body>Romeo?</body></message>
romeo gets
    MESSAGE sip:romeo@example.net SIP/2.0
romeo sends
    SIP/2.0 {code} Because I say so{contact}
juliet gets
    <message type='error' id='m1' from='romeo@example.net' to='juliet@example.com/b'>
      <absent name='body'/>
      <error>
        <{condition} xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/>
        <text xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'>Because I say so</text>
      </error>
    </message>
silence
"
        );
        play(&mut failures, &format!("{code}"), &scene);
    }
    assert!(failures.is_empty(), "{}", failures.join("\n\n"));
}
