//! Who may speak for whom (THREATS 1, 2, 8, 10, 35).

use crate::world::{Gateway, Heard, SIP_DOMAIN, World, XMPP_DOMAIN, XmppEnd, anywhere, message};
use rehearsal::ladder::Ladder;
use rehearsal::stub::Phone;
use rehearsal::wire::SipText;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

fn from(from: &str) -> SipText {
    let mut request = message("romeo", &format!("sip:nurse@{XMPP_DOMAIN}"), &[], "let me in");
    request.headers[0].1 = from.to_owned();
    request
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_sip_sender_speaks_for_its_own_domain_alone() {
    let mut world = World::start(XMPP_DOMAIN, "").await;
    for (sender, code) in [
        // A domain of the other side.
        ("<sip:juliet@xmpp.example.com>", 403),
        ("<sip:juliet@XMPP.Example.COM.>", 403),
        ("<sips:juliet@xmpp.example.com;transport=tls>", 403),
        ("<im:juliet@xmpp.example.com>", 403),
        ("<sip:juliet@xmpp.example.com;gr=balcony>", 403),
        // Nobody's, somebody else's.
        ("<sip:ceo@bank.example>", 403),
        ("<sip:romeo@evil.sip.example.net>", 403),
        ("<sip:romeo@sip.example.net.evil.example>", 403),
        ("<sip:romeo@notsip.example.net>", 403),
        ("<sip:romeo@127.0.0.1>", 403),
        ("<sip:romeo@[::1]>", 403),
        ("<sip:romeo@localhost>", 403),
        // Who does not say who he is may not call anybody unless the operator lets him: RFC 5079.
        ("\"Anonymous\" <sip:anonymous@anonymous.invalid>", 433),
        ("<tel:+15551212>", 403),
        ("<urn:service:sos>", 403),
        ("<sip:sip.example.net>", 403),
        // No name that XMPP could have.
        ("<sip:ro%00meo@sip.example.net>", 400),
        ("<sip:ro%FFmeo@sip.example.net>", 400),
        // A name that other servers would take for another: RFC 7622 against stringprep.
        ("<sip:fu%C3%9Fball@sip.example.net>", 403),
        // A password is nobody's business.
        ("<sip:romeo:secret@sip.example.net>", 403),
        // The display name is not who it is.
        ("\"juliet@xmpp.example.com\" <sip:romeo@sip.example.net>", 200),
        ("<sip:romeo@SIP.EXAMPLE.NET>", 200),
    ] {
        let answer = world.phone.request(world.gateway.udp, from(sender)).await.unwrap();
        let seen = answer.status().unwrap();
        let agrees = seen == code || code == 403 && seen == 400 || code == 400 && seen == 403;
        assert!(agrees, "{sender}: {answer}");
        let stanzas = world.baseline_from_sip(false).await;
        assert_eq!(stanzas.len(), usize::from(seen == 200), "{sender}: {stanzas:?}");
        for stanza in stanzas {
            assert_eq!(stanza.attr("from"), Some("romeo@sip.example.net"), "{sender}");
        }
    }
    // Headers by which proxies vouch for users are no proof here.
    for header in ["P-Asserted-Identity", "P-Preferred-Identity", "Remote-Party-ID", "Identity", "Contact"] {
        let mut request = from("<sip:romeo@sip.example.net>");
        request.push(header, "<sip:juliet@xmpp.example.com>");
        let answer = world.phone.request(world.gateway.udp, request).await.unwrap();
        let stanzas = world.baseline_from_sip(false).await;
        assert!(matches!(answer.status(), Some(200 | 400)), "{header}: {answer}");
        assert!(stanzas.iter().all(|s| s.attr("from") == Some("romeo@sip.example.net")), "{header}: {stanzas:?}");
    }
}

/// The same domain from a source that may not speak for it; and recipients that are not ours to serve.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_source_speaks_for_the_domains_it_was_given() {
    let xmpp = XmppEnd::start().await;
    let phone = Phone::start(anywhere(), Ladder::new(), |_| (200, "OK".to_owned())).await.unwrap();
    let strange =
        Phone::start("127.9.9.9:0".parse().unwrap(), Ladder::new(), |_| (200, "OK".to_owned())).await.unwrap();
    let text = crate::world::config(xmpp.address(), anywhere(), &phone.address().to_string(), XMPP_DOMAIN, "");
    let text = text.replace("127.0.0.0/8", "127.0.0.1/32");
    let gateway = Gateway::with(&text).await;
    let mut link = xmpp.up().await;
    // The shards learn of the stream a moment later than its server does.
    let good = || from("<sip:romeo@sip.example.net>");
    while phone.request(gateway.udp, good()).await.unwrap().status() == Some(503) {}
    assert!(matches!(link.next().await, Heard::Stanza(_)));
    let answer = strange.request(gateway.udp, good()).await.unwrap();
    assert_eq!(answer.status(), Some(403), "{answer}");
    let socket = tokio::net::TcpSocket::new_v4().unwrap();
    socket.bind("127.9.9.9:0".parse().unwrap()).unwrap();
    let mut stream = socket.connect(gateway.tcp).await.unwrap();
    let mut request = good();
    for (name, value) in [("Via", "SIP/2.0/TCP 127.0.0.1;branch=z9hG4bKs"), ("Call-ID", "s"), ("CSeq", "1 MESSAGE")] {
        request.push(name, value);
    }
    request.headers[0].1.push_str(";tag=s");
    stream.write_all(&request.to_bytes()).await.unwrap();
    let mut buffer = vec![0; 4096];
    let n = tokio::time::timeout(crate::world::PATIENCE, stream.read(&mut buffer)).await.expect("an answer").unwrap();
    assert!(buffer[..n].starts_with(b"SIP/2.0 403 "), "{}", String::from_utf8_lossy(&buffer[..n]));
    for to in [
        "sip:nurse@other.example",
        "sip:nurse@sip.example.net",
        "sip:nurse@127.0.0.1",
        "tel:+15551212",
        "sip:xmpp.example.com.evil.example",
    ] {
        let answer = phone.request(gateway.udp, message("romeo", to, &[], "x")).await.unwrap();
        assert!(matches!(answer.status(), Some(404 | 403 | 416)), "{to}: {answer}");
    }
    assert_eq!(link.said(), [], "none of these reached XMPP");
}

/// THREATS 35: what says to come from a SIP domain of ours has come round a loop, or lies; what is for another domain is not ours.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stanza_speaks_for_its_servers_users_alone() {
    let mut world = World::start(XMPP_DOMAIN, "").await;
    for (from, to, condition) in [
        ("romeo@sip.example.net", "peter@sip.example.net", "not-allowed"),
        ("romeo@SIP.example.net/x", "peter@sip.example.net", "not-allowed"),
        ("sip.example.net", "peter@sip.example.net", "not-allowed"),
        ("ceo@bank.example", "peter@sip.example.net", "forbidden"),
    ] {
        for kind in ["", " type='chat'", " type='headline'"] {
            world.link.say(format!("<message from='{from}' to='{to}' id='m'{kind}><body>x</body></message>"));
            let heard = tokio::time::timeout(std::time::Duration::from_secs(3), world.link.next()).await;
            let heard = heard.unwrap_or_else(|_| panic!("{from} to {to}{kind}: no answer"));
            let Heard::Stanza(answer) = heard else { panic!("{from} to {to}: {heard:?}") };
            let error = answer.child("error", "jabber:component:accept").expect("an error");
            assert_eq!(error.elements().next().map(|e| e.name.as_str()), Some(condition), "{from} to {to}");
            assert_eq!(answer.attr("id"), Some("m"));
        }
        // The same as an error has no answer.
        world
            .link
            .say(format!("<message from='{from}' to='{to}' id='m' type='error'><error type='cancel'/></message>"));
    }
    // What is for another domain has no answer either: the server would end the stream over one from there.
    for to in ["peter@other.example", "nurse@xmpp.example.com", "room@rooms.sip.example.net/n"] {
        world.link.say(format!("<message from='nurse@xmpp.example.com' to='{to}'><body>x</body></message>"));
        world.link.say(format!(
            "<iq from='nurse@xmpp.example.com' to='{to}' type='get' id='i'><ping xmlns='urn:xmpp:ping'/></iq>"
        ));
        world.link.say(format!("<presence from='nurse@xmpp.example.com' to='{to}' type='subscribe'/>"));
    }
    assert_eq!(world.baseline_from_xmpp().await, [], "none of these reached SIP");
    assert_eq!(world.baseline_from_sip(false).await, [], "and no error was answered");
    assert!(world.link.said().is_empty());
    assert_ne!(SIP_DOMAIN, XMPP_DOMAIN);
}
