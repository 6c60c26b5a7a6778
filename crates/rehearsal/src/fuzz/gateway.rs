//! Addresses, and the whole gateway without its sockets.

use super::split;
use crate::scene::Settings;
use crate::wire::read_stanza;
use base::{Str, Time};
use bytes::Bytes;
use sip::{Limits, Message, Method, Uri, parse_datagram};
use std::time::Duration;
use stox::address::{Form, Options, Scheme, to_form, to_jid, to_uri};
use stox::gateway::{Input, Output};
use xml::{Event, Reader};
use xmpp::jid::Jid;
use xmpp::ns;
use xmpp::stanza::Stanza;

/// An address in either form; the first byte says in which.
///
/// A URI that maps to an address comes back as a URI of that address; an address that maps to a URI comes back as itself.
pub fn jid_sip_mapping(data: &[u8]) {
    let (kind, rest) = split(data);
    let Ok(text) = std::str::from_utf8(rest) else { return };
    let options = Options { phone_domain: Some(Str::const_new("phone.example")) };
    if kind % 2 == 0 {
        let Ok(uri) = Uri::parse(text) else { return };
        let Ok(jid) = to_jid(&uri, &options) else { return };
        let printed = jid.to_string();
        assert_eq!(Jid::parse(&printed).as_ref(), Ok(&jid), "the address is one: {printed}");
        assert!(!printed.contains(char::is_control), "{printed:?}");
        // What `im:` and `pres:` have behind the `@` need be no SIP host.
        there_and_back(&jid, &options, uri.sip().is_some());
    } else if let Ok(jid) = Jid::parse(text) {
        assert_eq!(Jid::parse(&jid.to_string()).as_ref(), Ok(&jid), "preparation is done once");
        there_and_back(&jid, &options, false);
    }
}

fn there_and_back(jid: &Jid, options: &Options, must: bool) {
    match to_uri(jid, Scheme::Sip) {
        Ok(uri) => {
            let read = Uri::parse(&uri.to_string()).expect("what we write is a URI");
            assert_eq!(read, Uri::Sip(uri));
            assert_eq!(to_jid(&read, options).as_ref(), Ok(jid), "{read}");
        }
        Err(e) => assert!(!must, "{jid} came from SIP and does not go back: {e}"),
    }
    for form in [Form::Im, Form::Pres] {
        if let Ok(uri) = to_form(jid, form) {
            let read = Uri::parse(&uri.to_string()).expect("what we write is a URI");
            assert_eq!(to_jid(&read, options).as_ref(), Ok(&jid.bare()), "{read}");
        }
    }
}

/// The gateway without presence; the first byte says from which side the rest comes, as a datagram or as stanzas.
///
/// A SIP request has at most one final answer, and exactly one with the stanza taken; at most one stanza comes of it, from whom the SIP
/// sender is, well-formed. Stanzas that come make requests that can be read, or errors, never an error for an error.
pub fn gateway(data: &[u8]) {
    let (side, rest) = split(data);
    let mut settings = Settings::default();
    settings.config.presence.enabled = false;
    let mut gateway = settings.gateway(1);
    for link in 0..settings.config.links.len() {
        gateway.handle(Time::ZERO, Input::LinkUp(link));
    }
    while gateway.poll().is_some() {}
    if side % 2 == 0 {
        let input = match parse_datagram(&Bytes::copy_from_slice(rest), &Limits::default()) {
            Ok(message) => Input::Sip(message, settings.flow()),
            Err(rejected) => Input::SipRejected(rejected, settings.flow()),
        };
        from_sip(&mut gateway, input, &settings);
    } else {
        let mut reader = Reader::new(xml::Limits::default());
        reader.push(b"<s:stream xmlns='jabber:component:accept' xmlns:s='http://etherx.jabber.org/streams'>");
        reader.push(rest);
        while let Ok(Some(event)) = reader.next() {
            let Event::Stanza(e) = event else { continue };
            // The stream lets nothing without addresses pass.
            let Ok(stanza) = Stanza::from_element(e, ns::COMPONENT_ACCEPT) else { continue };
            if stanza.from.is_some() && stanza.to.is_some() {
                from_xmpp(&mut gateway, stanza);
            }
        }
    }
}

fn from_sip(gateway: &mut stox::gateway::Gateway, input: Input, settings: &Settings) {
    let is_ack = matches!(&input, Input::Sip(Message::Request(r), _) if r.method == Method::Ack);
    let is_response = matches!(&input, Input::Sip(Message::Response(_), _));
    gateway.handle(Time::ZERO, input);
    let (mut answers, mut stanzas) = (0, Vec::new());
    let mut drain = |gateway: &mut stox::gateway::Gateway, stanzas: &mut Vec<u64>| {
        while let Some(output) = gateway.poll() {
            match output {
                Output::Sip { bytes, client, .. } => {
                    let message = parse_datagram(&bytes, &Limits::default()).expect("what we send can be read");
                    let Message::Response(response) = message else { unreachable!("nothing new goes to SIP") };
                    answers += usize::from(response.code >= 200);
                    assert!(client.is_none());
                }
                Output::Stanza { bytes, token, .. } => {
                    let stanza = read_stanza(&bytes);
                    let from = stanza.from.as_ref().expect("a stanza says who it is from");
                    let to = stanza.to.as_ref().expect("and to");
                    assert!(settings.config.links.iter().any(|l| l.domain == from.domain()), "from {from}");
                    assert!(settings.config.xmpp_domains.iter().any(|d| d == to.domain()), "to {to}");
                    stanzas.push(token);
                }
                Output::Save { .. } => unreachable!("messages are not saved"),
                Output::Lookup { .. }
                | Output::Msrp(_)
                | Output::Relay { .. }
                | Output::Offence(..)
                | Output::Note(_) => {}
            }
        }
    };
    drain(gateway, &mut stanzas);
    assert!(stanzas.len() <= 1, "one request, {} stanzas", stanzas.len());
    for token in stanzas.clone() {
        gateway.handle(Time::ZERO + Duration::from_millis(1), Input::Taken(token));
    }
    drain(gateway, &mut stanzas);
    assert!(stanzas.len() <= 1, "nothing more comes of it");
    assert!(answers <= 1, "{answers} answers");
    assert!(!(is_ack || is_response) || answers == 0, "this has no answer");
    assert!(stanzas.is_empty() || answers == 1, "a stanza taken is a request answered");
    assert_eq!(gateway.under_way(), 0, "nothing is left");
}

fn from_xmpp(gateway: &mut stox::gateway::Gateway, stanza: Stanza) {
    let is_error = stanza.is_error();
    gateway.handle(Time::ZERO, Input::Stanza(0, stanza));
    let (mut requests, mut answers) = (0, 0);
    while let Some(output) = gateway.poll() {
        match output {
            Output::Sip { bytes, .. } => {
                let message = parse_datagram(&bytes, &Limits::default()).expect("what we send can be read");
                let Message::Request(request) = message else { unreachable!("nothing is answered") };
                assert!(sip::validate_request(&request).is_ok(), "our requests are good ones");
                assert!(bytes.len() <= 1300, "RFC 3428 §8: {} bytes", bytes.len());
                requests += 1;
            }
            Output::Stanza { bytes, .. } => {
                read_stanza(&bytes);
                answers += 1;
            }
            Output::Save { .. } => unreachable!("messages are not saved"),
            Output::Lookup { .. } | Output::Msrp(_) | Output::Relay { .. } | Output::Offence(..) | Output::Note(_) => {}
        }
    }
    assert!(requests + answers <= 1, "{requests} requests and {answers} answers to one stanza");
    assert!(!is_error || answers + requests == 0, "an error is never answered");
}
