//! Who others say that a SIP user is, for the XMPP user to look at: RFC 8224.

use crate::numbers;
use base::Str;
use sip::{Name, Request};
use xml::Element;
use xmpp::ext::shim::Shim;

/// Bytes of all that is shown of one request.
const MOST: usize = 4096;

/// The Identity of a request, as headers in what becomes of it (XEP-0131). Nothing of it was verified, and nothing follows from it: whoever wants to
/// believe it verifies the signature. None where the caller does not want to be known (RFC 3323, RFC 3325 §7).
pub(crate) fn shown(request: &Request) -> Option<Element> {
    request.headers.get(Name::Identity)?;
    let privacy = request.headers.privacy();
    let from = request.headers.from().ok()?;
    if privacy.user || privacy.id || privacy.header || numbers::is_anonymous(&from.uri) {
        return None;
    }
    let mut room = MOST;
    let fits = |line: &&str| room.checked_sub(line.len()).map(|left| room = left).is_some();
    let lines = request.headers.signed_identities().take_while(fits);
    let headers: Vec<(Str, String)> = lines.map(|line| (Str::const_new("Identity"), line.to_owned())).collect();
    (!headers.is_empty()).then(|| Shim(headers).to_element())
}

#[cfg(test)]
mod tests {
    use super::*;
    use sip::{Method, NameAddr, Uri};

    fn request(from: &str, privacy: Option<&str>, identities: &[&str]) -> Request {
        let mut request = Request::new(Method::Message, Uri::parse("sip:juliet@example.com").unwrap());
        request.headers.push(Name::From, NameAddr::parse(from).unwrap().to_string());
        privacy.into_iter().for_each(|words| request.headers.push(Name::Privacy, words));
        identities.iter().for_each(|line| request.headers.push(Name::Identity, *line));
        request
    }

    #[test]
    fn what_may_be_seen_is_shown_as_it_is() {
        const ROMEO: &str = "<sip:romeo@example.net>;tag=1";
        let (one, other) = ("a.b.c;info=<https://cert.example>", "..x;info=<https://other.example>;ppt=div");
        let seen = shown(&request(ROMEO, None, &[one, "nonsense", other])).and_then(|e| Shim::parse(&e)).unwrap().0;
        let identity = |line: &str| (Str::const_new("Identity"), line.to_owned());
        assert_eq!(seen, [identity(one), identity(other)]);
        assert!(shown(&request(ROMEO, Some("none"), &[one])).is_some());
        for (from, privacy, identities) in [
            (ROMEO, Some("id"), &[one][..]),
            (ROMEO, Some("user;critical"), &[one]),
            (ROMEO, Some("header"), &[one]),
            ("<sip:anonymous@anonymous.invalid>;tag=1", None, &[one]),
            (ROMEO, None, &["nonsense"]),
            (ROMEO, None, &[&format!("a.b.{};info=<x:y>", "c".repeat(MOST))]),
            (ROMEO, None, &[]),
        ] {
            assert_eq!(shown(&request(from, privacy, identities)), None, "{from} {privacy:?}");
        }
    }
}
