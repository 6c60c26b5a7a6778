//! `verona map`: what becomes of an address or a message, and why, without a server.

use super::{Exit, complain, say};
use crate::config::{self, Environment};
use crate::io::dns::Dns;
use crate::setup;
use base::{Str, Time, Tokens};
use sip::Message;
use sip::agent::{Flow, Transport};
use sip::uri::Uri;
use std::fmt::Display;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use stox::address::{self, Form, Options, Scheme, Step};
use stox::gateway::{Gateway, Input, Output};
use xmpp::jid::Jid;
use xmpp::ns;
use xmpp::stanza::Stanza;

/// The domain of telephone numbers where none is named.
const PHONES: &str = "phone.invalid";

/// The longest file that is read.
const LONGEST: u64 = 1 << 20;

/// Maps an address, or the message in a file.
pub(super) fn map(what: &str, phone_domain: Option<&str>) -> Exit {
    let done = match Path::new(what).is_file() {
        true => file(Path::new(what), phone_domain),
        false => address(what, phone_domain),
    };
    match done {
        Ok(()) => Exit::Good,
        Err(why) => {
            complain(&why);
            Exit::Failed
        }
    }
}

/// An address in either form. A scheme and a colon make it a URI: no domain part of an XMPP address looks like that.
fn address(text: &str, phone_domain: Option<&str>) -> Result<(), String> {
    let phone_domain = phone_domain.map(xmpp::jid::domain).transpose().map_err(|e| format!("--phone-domain: {e}"))?;
    let scheme = text.split_once(':').map(|(scheme, _)| scheme.to_ascii_lowercase());
    if let Some("sip" | "sips" | "im" | "pres" | "tel") = scheme.as_deref() {
        let uri = Uri::parse(text).map_err(|e| format!("not a URI: {e}"))?;
        let explained = address::explain_jid(&uri, &Options { phone_domain });
        show(&explained.steps, explained.result.as_ref())?;
        return Ok(());
    }
    let jid = Jid::parse(text)
        .map_err(|e| format!("neither a file, nor a sip, sips, im, pres or tel URI, nor an XMPP address: {e}"))?;
    let explained = address::explain_uri(&jid, Form::Sip(Scheme::Sip));
    show(&explained.steps, explained.result.as_ref())
}

/// The steps, and the address behind them on a line of its own.
fn show<T: Display, E: Display>(steps: &[Step], result: Result<T, E>) -> Result<(), String> {
    for Step { rule, what, before, after } in steps {
        say(&format!("{rule}: {what}"));
        match before == after {
            true => say(&format!("    {before}")),
            false => say(&format!("    {before} -> {after}")),
        }
    }
    match result {
        Ok(address) => {
            say(&address.to_string());
            Ok(())
        }
        Err(why) => Err(format!("no counterpart: {why}")),
    }
}

/// A SIP message or a stanza: what the gateway makes of it between two domains that are taken from it.
fn file(path: &Path, phone_domain: Option<&str>) -> Result<(), String> {
    let read = || {
        let mut bytes = vec![];
        std::io::Read::read_to_end(&mut std::io::Read::take(std::fs::File::open(path)?, LONGEST + 1), &mut bytes)?;
        Ok::<_, std::io::Error>(bytes)
    };
    let bytes = read().map_err(|e| format!("{}: {e}", path.display()))?;
    if bytes.len() as u64 > LONGEST {
        return Err(format!("{}: longer than {LONGEST} bytes", path.display()));
    }
    let phones = phone_domain.unwrap_or(PHONES);
    let (input, sip_domain, xmpp_domain) = match bytes.trim_ascii_start().first() {
        Some(b'<') => from_stanza(bytes.trim_ascii())?,
        _ => from_sip(&bytes, phones)?,
    };
    let mut gateway = between(&sip_domain, &xmpp_domain)?;
    let now = Time::ZERO;
    gateway.handle(now, Input::LinkUp(0));
    gateway.handle(now, input);
    let mut silent = true;
    while let Some(output) = gateway.poll() {
        match output {
            Output::Sip { bytes, .. } => {
                complain("to SIP:");
                say(&String::from_utf8_lossy(&bytes));
                silent = false;
            }
            Output::Stanza { bytes, token, .. } => {
                complain("to XMPP:");
                say(&String::from_utf8_lossy(&bytes));
                silent = false;
                // The server takes it: what the gateway then says to the other side is shown, too.
                gateway.handle(now, Input::Taken(token));
            }
            Output::Save { token, .. } => gateway.handle(now, Input::Saved(token)),
            Output::Lookup { .. } | Output::Msrp(_) | Output::Relay { .. } | Output::Offence(..) | Output::Note(_) => {}
        }
    }
    if silent { Err("nothing comes out: it is dropped without an answer".to_owned()) } else { Ok(()) }
}

/// A SIP message, the SIP domain that it is from and the XMPP domain that it is for.
fn from_sip(bytes: &[u8], phones: &str) -> Result<(Input, String, String), String> {
    let bytes = bytes::Bytes::from(with_line_ends(bytes));
    let message = sip::parse_datagram(&bytes, &sip::Limits::default())
        .map_err(|rejected| format!("not a SIP message: {} ({})", rejected.reason, rejected.code))?;
    let Message::Request(request) = &message else { return Err("a SIP response: map the request".to_owned()) };
    let phone_domain = Some(Str::from(phones));
    let domain = |uri: &Uri| {
        let jid = address::to_jid(uri, &Options { phone_domain: phone_domain.clone() });
        jid.map(|jid| jid.domain().to_owned()).map_err(|e| e.to_string())
    };
    let from = request.headers.from().map_err(|e| format!("From: {e}"))?;
    let sip_domain = domain(&from.uri).map_err(|e| format!("From has no counterpart: {e}"))?;
    let xmpp_domain = domain(&request.uri).map_err(|e| format!("the Request-URI has no counterpart: {e}"))?;
    let flow = Flow { transport: Transport::Udp, local: LOCAL, remote: REMOTE, connection: None };
    Ok((Input::Sip(message, flow), sip_domain, xmpp_domain))
}

/// A stanza, the SIP domain that it is for and the XMPP domain that it is from.
fn from_stanza(bytes: &[u8]) -> Result<(Input, String, String), String> {
    let parse = |bytes: &[u8]| xml::Element::parse(bytes, &xml::Limits::default()).map_err(|e| format!("not XML: {e}"));
    let mut element = parse(bytes)?;
    if element.ns.is_empty() {
        // As it stands in a stream, where the stream has the namespace.
        let name = 1 + element.name.len();
        element = parse(&[&bytes[..name], b" xmlns='jabber:client'", &bytes[name..]].concat())?;
    }
    let stream = element.ns.clone();
    if ![ns::CLIENT, ns::SERVER, ns::COMPONENT_ACCEPT].contains(&stream.as_str()) {
        return Err(format!("not a stanza: its namespace is {stream}"));
    }
    let stanza = Stanza::from_element(element, &stream).map_err(|(fault, _)| format!("not a stanza: {fault}"))?;
    let (Some(from), Some(to)) = (&stanza.from, &stanza.to) else {
        return Err("the stanza lacks from or to".to_owned());
    };
    let (xmpp_domain, sip_domain) = (from.domain().to_owned(), to.domain().to_owned());
    Ok((Input::Stanza(0, stanza), sip_domain, xmpp_domain))
}

/// A message whose header was written with bare line feeds, as editors do, gets the line ends of SIP.
fn with_line_ends(bytes: &[u8]) -> Vec<u8> {
    match bytes.windows(2).position(|two| two == b"\n\n") {
        Some(end) if !bytes[..end].contains(&b'\r') => {
            let head = String::from_utf8_lossy(&bytes[..end]).replace('\n', "\r\n");
            [head.as_bytes(), b"\r\n\r\n", &bytes[end + 2..]].concat()
        }
        _ => bytes.to_vec(),
    }
}

const LOCAL: SocketAddr = SocketAddr::V4(std::net::SocketAddrV4::new(std::net::Ipv4Addr::LOCALHOST, 5060));
const REMOTE: SocketAddr = SocketAddr::V4(std::net::SocketAddrV4::new(std::net::Ipv4Addr::LOCALHOST, 5080));

/// The gateway as the daemon would make it for these two domains; its tokens are the same each time.
fn between(sip_domain: &str, xmpp_domain: &str) -> Result<Gateway, String> {
    if sip_domain == xmpp_domain {
        return Err(format!("both ends are in {sip_domain}: a gateway stands between two domains"));
    }
    let text = format!(
        "[[xmpp.component]]\ndomain = {sip_domain:?}\nserver = \"127.0.0.1:5347\"\nsecret = \"none\"\nallow_from = [\"*\"]\n\
         [sip]\ndomains = [{xmpp_domain:?}]\nlisten = [\"udp:{LOCAL}\"]\noutbound_proxy = \"sip:{REMOTE};lr\"\n\
         phone_domain = {sip_domain:?}\n"
    );
    let config = config::parse("map", &text, Environment::default()).map_err(|e| e.to_string())?.config;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().map_err(|e| e.to_string())?;
    let told = runtime.block_on(setup::gateway_config(&config, &Dns::of_nothing(), 1, 0)).map_err(|e| e.to_string())?;
    let agent = setup::agent_config(&config, &config.sip.listen, 0, 1);
    Ok(Gateway::new(Arc::new(told), agent, Tokens::seeded(1)))
}
