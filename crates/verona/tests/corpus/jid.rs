//! `jid`: addresses, their escaping, and SIP URIs as addresses. No gateway is needed for these.

use crate::table::{Row, corpus, table};
use sip::Uri;
use stox::address::{Options, Scheme, to_jid, to_uri};
use xmpp::jid::{Jid, escape};

/// A cell that holds a JSON literal.
fn json(row: &Row, column: &str) -> Option<String> {
    let value: serde_json::Value = serde_json::from_str(row.get(column)).unwrap();
    value.as_str().map(str::to_owned)
}

fn none(problems: &[String]) {
    assert!(problems.is_empty(), "{} problems:\n{}", problems.len(), problems.join("\n"));
}

#[test]
fn addresses_if_the_corpus_is_there() {
    let Some(corpus) = corpus() else { return };
    let mut problems = Vec::new();
    for row in table(&corpus.join("jid/jid.tsv")) {
        let text = json(&row, "jid_json").unwrap();
        let parsed = Jid::parse(&text);
        let agrees = match (row.get("verdict"), &parsed) {
            ("contested", _) => true,
            ("invalid", parsed) => parsed.is_err(),
            ("valid", Ok(jid)) => {
                let again = Jid::parse(&jid.to_string()).as_ref() == Ok(jid);
                let parts = [jid.local(), Some(jid.domain()), jid.resource()].map(|p| p.map(str::to_owned));
                again && parts == ["local_json", "domain_json", "resource_json"].map(|c| json(&row, c))
            }
            (_, _) => false,
        };
        if !agrees {
            problems.push(format!("{}: {parsed:?}; {} {}", row.get("name"), row.get("verdict"), row.get("reason")));
        }
    }
    none(&problems);
}

#[test]
fn escaping_if_the_corpus_is_there() {
    let Some(corpus) = corpus() else { return };
    let mut problems = Vec::new();
    // The aliases are notes about users of SIP that must not become one user of XMPP: `aliases` has them.
    for row in table(&corpus.join("jid/xep0106.tsv")).into_iter().filter(|row| row.get("direction") != "alias") {
        let (name, unescaped, escaped) =
            (row.get("name"), json(&row, "unescaped_json").unwrap(), json(&row, "escaped_json"));
        // What grows too long is no local part: the address says so, not the escaping.
        let seen = escape::escape(&unescaped)
            .ok()
            .filter(|e| Jid::new(Some(e), "example.com", None).is_ok() || escaped.is_some());
        if seen != escaped {
            problems.push(format!("{name}: {seen:?} in place of {escaped:?}"));
        }
        if let Some(escaped) = escaped.filter(|e| escape::unescape(e) != unescaped) {
            problems.push(format!("{name}: back it is {:?}", escape::unescape(&escaped)));
        }
    }
    none(&problems);
}

#[test]
fn sip_uris_as_addresses_if_the_corpus_is_there() {
    let Some(corpus) = corpus() else { return };
    let mut problems = Vec::new();
    for row in table(&corpus.join("jid/sip-jid.tsv")) {
        let (sip, jid, direction) = (json(&row, "sip_json").unwrap(), json(&row, "jid_json"), row.get("direction"));
        let uri = Uri::parse(&sip).expect("a URI");
        let there = to_jid(&uri, &Options::default()).ok();
        // "sip2xmpp-fail-or-bare": refused, or the address without what must not be in it.
        let bare = there.as_ref().is_some_and(|j| direction.ends_with("-or-bare") && !j.to_string().contains("pw"));
        if there.as_ref().map(ToString::to_string) != jid && !bare {
            problems.push(format!("{sip}: {there:?} in place of {jid:?}"));
        }
        if let (true, Some(jid)) = (direction.starts_with("both"), &jid) {
            let back = to_uri(&Jid::parse(jid).unwrap(), Scheme::Sip).map(Uri::Sip);
            // What need not be escaped is not, so that a `/` in `gr` comes back bare: another URI of the same user.
            let exact = direction == "both" && !sip.contains("gr=%2F");
            let fits = back.as_ref().is_ok_and(|b| match exact {
                true => b.equivalent(&uri),
                false => to_jid(b, &Options::default()).ok() == there,
            });
            if !fits {
                problems.push(format!("{jid}: {back:?} in place of {sip}"));
            }
        }
    }
    none(&problems);
}

/// The aliases of the corpus: which pairs share an address (XMPP folds them on purpose) and which must not.
#[test]
fn aliases() {
    let address = |uri: &str| to_jid(&Uri::parse(uri).unwrap(), &Options::default()).ok();
    for (one, other) in [
        ("sip:Juliet@x.example", "sip:juliet@x.example"),
        ("sip:e%CC%81@x.example", "sip:%C3%A9@x.example"),
        ("sip:%EF%BC%A1@x.example", "sip:a@x.example"),
    ] {
        assert_eq!(address(one), address(other), "{one} and {other}");
        assert!(address(one).is_some(), "{one}");
    }
    for (one, other) in [("sip:a%5C2Fb@x.example", "sip:a%2Fb@x.example"), ("sip:a:b@x.example", "sip:a%3Ab@x.example")]
    {
        assert_ne!(address(one), address(other), "{one} and {other}");
    }
}
