//! A subscription's dialog as a phone keeps it (RFC 3261 §12, RFC 6665), in either role.

use super::{SipMessage, SipPhone};
use serde_json::{Value, json};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

const SOON: Duration = Duration::from_secs(10);

/// What a [`SipPhone`] knows of a dialog with somebody else. Its requests go where the dialog says: to the first of the route set, or to the
/// remote target.
#[derive(Debug, Clone)]
pub struct SipDialog {
    event: String,
    call_id: String,
    /// Our side with its tag.
    local: String,
    /// The other side with its tag.
    remote: String,
    contact: String,
    target: String,
    route: Vec<String>,
    cseq: u32,
}

impl SipDialog {
    /// The dialog of a SUBSCRIBE that the phone got and answers with 2xx: the phone is the notifier.
    pub fn taken(phone: &SipPhone, subscribe: &SipMessage) -> SipDialog {
        let user = uri_of(subscribe.header("To"));
        let user = user.trim_start_matches("sip:").split('@').next().unwrap_or_default();
        SipDialog {
            event: subscribe.header("Event").to_owned(),
            call_id: subscribe.header("Call-ID").to_owned(),
            local: format!("{};tag={}", subscribe.header("To"), subscribe.tag),
            remote: subscribe.header("From").to_owned(),
            contact: format!("<sip:{user}@{}>", phone.address()),
            target: uri_of(subscribe.header("Contact")),
            // §12.1.1: the UAS keeps the order.
            route: subscribe.list("Record-Route"),
            cseq: 0,
        }
    }

    /// Has the phone watch `uri` as `from` (both SIP URIs) by a SUBSCRIBE to `to`. Gives the dialog and the 2xx.
    #[track_caller]
    pub fn granted(
        phone: &mut SipPhone,
        to: SocketAddr,
        from: &str,
        uri: &str,
        expires: u32,
    ) -> (SipDialog, SipMessage) {
        match SipDialog::watch(phone, to, from, uri, expires) {
            (Some(dialog), answer) => (dialog, answer),
            (None, answer) => panic!("{}", answer.raw),
        }
    }

    /// As [`granted`](SipDialog::granted), where the response may be a refusal: then there is no dialog.
    #[track_caller]
    pub fn watch(
        phone: &mut SipPhone,
        to: SocketAddr,
        from: &str,
        uri: &str,
        expires: u32,
    ) -> (Option<SipDialog>, SipMessage) {
        let call_id = format!("watch-{}-{}", phone.address().port(), phone.fresh());
        let user = from.trim_start_matches("sip:").split('@').next().unwrap_or_default();
        let mut dialog = SipDialog {
            event: "presence".to_owned(),
            local: format!("<{from}>;tag={call_id}"),
            call_id,
            remote: format!("<{uri}>"),
            contact: format!("<sip:{user}@{}>", phone.address()),
            target: uri.to_owned(),
            route: Vec::new(),
            cseq: 0,
        };
        let headers = json!([["Expires", expires.to_string()], ["Accept", "application/pidf+xml"]]);
        let token = dialog.send_to(phone, to, "SUBSCRIBE", json!({ "headers": headers }));
        let answer = phone.response(SOON, token);
        if answer.code >= 300 {
            return (None, answer);
        }
        dialog.remote = answer.header("To").to_owned();
        dialog.target = uri_of(answer.header("Contact"));
        // §12.1.2: the UAC turns the order round.
        dialog.route = answer.list("Record-Route");
        dialog.route.reverse();
        (Some(dialog), answer)
    }

    /// Refreshes the phone's own subscription, or ends it with 0, and gives the response.
    #[track_caller]
    pub fn subscribe(&mut self, phone: &mut SipPhone, expires: u32) -> SipMessage {
        let headers = json!([["Expires", expires.to_string()], ["Accept", "application/pidf+xml"]]);
        let token = self.send(phone, "SUBSCRIBE", json!({ "headers": headers }));
        phone.response(SOON, token)
    }

    /// Sends a NOTIFY with this Subscription-State and perhaps a PIDF document, and gives the response.
    #[track_caller]
    pub fn notify(&mut self, phone: &mut SipPhone, state: &str, pidf: Option<&str>) -> SipMessage {
        let mut fields = json!({"headers": [["Subscription-State", state]]});
        if let (Some(pidf), Some(headers)) = (pidf, fields["headers"].as_array_mut()) {
            headers.push(json!(["Content-Type", "application/pidf+xml"]));
            fields["body"] = json!(pidf);
        }
        let token = self.send(phone, "NOTIFY", fields);
        phone.response(SOON, token)
    }

    /// The next NOTIFY to the phone within this dialog.
    #[track_caller]
    pub fn notified(&self, phone: &mut SipPhone, patience: Duration) -> SipMessage {
        let got = phone.request(patience, |r| self.has(r, "NOTIFY"));
        assert_eq!(got.header("From"), self.remote, "{}", got.raw);
        assert_eq!(got.header("To"), self.local, "{}", got.raw);
        assert_eq!(format!("<{}>", got.uri.as_deref().unwrap_or_default()), self.contact, "{}", got.raw);
        got
    }

    /// The first NOTIFY whose Subscription-State begins with `state` and whose body fits; those before it are passed over.
    #[track_caller]
    pub fn told(
        &self,
        phone: &mut SipPhone,
        patience: Duration,
        state: &str,
        fits: impl Fn(&str) -> bool,
    ) -> SipMessage {
        let end = Instant::now() + patience;
        let mut seen = 0;
        loop {
            let left = end.saturating_duration_since(Instant::now());
            let got = self.notified(phone, left);
            assert!(got.cseq() > seen, "NOTIFY CSeq goes back: {}", got.raw);
            seen = got.cseq();
            if got.header("Subscription-State").starts_with(state) && fits(got.body.as_deref().unwrap_or_default()) {
                return got;
            }
        }
    }

    /// Whether `request` has this method and is one of this dialog.
    pub fn has(&self, request: &SipMessage, method: &str) -> bool {
        request.method.as_deref() == Some(method) && request.header("Call-ID") == self.call_id
    }

    /// The remote target: the other's Contact.
    pub fn target(&self) -> &str {
        &self.target
    }

    /// The other's name-addr and tag.
    pub fn remote(&self) -> &str {
        &self.remote
    }

    /// The number of the last request.
    pub fn cseq(&self) -> u32 {
        self.cseq
    }

    /// The proxies on the way, the nearest first.
    pub fn route(&self) -> &[String] {
        &self.route
    }

    /// Sends a request within the dialog; `fields` are those of the phone's `request` command. Gives its token.
    #[track_caller]
    pub fn send(&mut self, phone: &mut SipPhone, method: &str, fields: Value) -> u64 {
        let hop = self.route.first().map_or_else(|| self.target.clone(), |route| uri_of(route));
        let host = hop.split_once(':').map_or(hop.as_str(), |(_, rest)| rest);
        let host = host.rsplit('@').next().unwrap_or_default();
        let host = host.split(';').next().unwrap_or_default();
        let to = host.parse().unwrap_or_else(|e| panic!("{hop} is no address and port: {e}"));
        self.send_to(phone, to, method, fields)
    }

    #[track_caller]
    fn send_to(&mut self, phone: &mut SipPhone, to: SocketAddr, method: &str, mut fields: Value) -> u64 {
        self.cseq += 1;
        let mut headers = vec![
            json!(["From", self.local]),
            json!(["To", self.remote]),
            json!(["Call-ID", self.call_id]),
            json!(["CSeq", format!("{} {method}", self.cseq)]),
            json!(["Event", self.event]),
            json!(["Contact", self.contact]),
        ];
        headers.extend(self.route.iter().map(|route| json!(["Route", route])));
        headers.extend(fields["headers"].as_array().into_iter().flatten().cloned());
        fields["headers"] = Value::Array(headers);
        fields["method"] = json!(method);
        fields["uri"] = json!(self.target);
        phone.send(to, fields)
    }
}

/// The URI of a name-addr.
fn uri_of(address: &str) -> String {
    let inner = address.split_once('<').and_then(|(_, rest)| rest.split_once('>')).map(|(uri, _)| uri);
    inner.unwrap_or_else(|| address.split(';').next().unwrap_or_default()).to_owned()
}
