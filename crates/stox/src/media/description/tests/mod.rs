//! The draft's tables and examples, samples of the field, properties there and back, and what is refused.

mod change;
mod draft;
mod first;
mod hostile;
mod properties;
mod samples;
mod two;

use super::scope::Scope;
use super::{s2x, x2s};
use crate::error::Refusal;
use bodies::sdp::{Host, Media, Origin, Sdp};
use xml::Element;
use xmpp::ext::jingle::{Content, Creator, Jingle, Transport};

fn jingle(text: &str) -> Jingle {
    let e = Element::parse(text.as_bytes(), &xml::Limits::default()).expect("well-formed");
    Jingle::parse(&e).unwrap_or_else(|error| panic!("{error:?}: {text}"))
}

/// The content that has this in it.
fn content(description: &str, transport: &str) -> Content {
    let jingle = jingle(&format!(
        "<jingle xmlns='urn:xmpp:jingle:1' action='session-accept' sid='a'><content creator='initiator' name='voice'>\
         <description xmlns='urn:xmpp:jingle:apps:rtp:1' media='audio'>{description}</description>{transport}</content></jingle>"
    ));
    jingle.contents.into_iter().next().expect("a content")
}

/// UDP without ICE, of this address.
fn raw(ip: &str, port: u16) -> String {
    format!(
        "<transport xmlns='urn:xmpp:jingle:transports:raw-udp:1'>\
         <candidate component='1' generation='0' id='a' ip='{ip}' port='{port}'/></transport>"
    )
}

/// A content of the XMPP user's.
fn scope() -> Scope {
    Scope::new(Creator::Initiator, Creator::Initiator, "voice".into())
}

/// A content of the SIP user's.
fn called() -> Scope {
    Scope::new(Creator::Responder, Creator::Initiator, "voice".into())
}

fn around(media: Vec<Media>) -> Sdp {
    let host = Host::Ip("192.0.2.1".parse().expect("an address"));
    Sdp { media, ..Sdp::new(Origin::new(1, 1, &host)) }
}

/// The lines of a media description.
fn lines(media: Media) -> Vec<String> {
    let bytes = around(vec![media]).to_bytes();
    let text = String::from_utf8(bytes).expect("UTF-8");
    text.lines().skip_while(|line| !line.starts_with("m=")).map(str::to_owned).collect()
}

fn to_sip(content: &Content, scope: &Scope) -> Vec<String> {
    lines(x2s::media(content, scope).unwrap_or_else(|refusal| panic!("{refusal:?}: {content:?}")))
}

/// Without what Jingle has for itself (draft §5.4): ids, networks, generations, and how foundations are called.
fn alike(content: &mut Content) {
    let transport = content.transport.as_mut().expect("a transport");
    match transport {
        Transport::Ice(ice) => {
            let mut foundations: Vec<base::Str> = Vec::new();
            for candidate in &mut ice.candidates {
                (candidate.id, candidate.network) = ("".into(), None);
                if !foundations.contains(&candidate.foundation) {
                    foundations.push(candidate.foundation.clone());
                }
                let place = foundations.iter().position(|there| *there == candidate.foundation);
                candidate.foundation = base::format_compact!("{place:?}");
            }
        }
        Transport::RawUdp(raw) => raw.candidates.iter_mut().for_each(|candidate| {
            (candidate.id, candidate.kind) = ("".into(), None);
        }),
        Transport::Other(_) => {}
    }
}

fn sdp(media: &str) -> Sdp {
    let head = "v=0\no=- 1 1 IN IP4 192.0.2.10\ns=-\nc=IN IP4 192.0.2.10\nt=0 0\n";
    Sdp::parse(format!("{head}{media}").as_bytes()).unwrap_or_else(|error| panic!("{error}: {media}"))
}

fn read(media: &str, scope: &mut Scope) -> Result<Content, Refusal> {
    let sdp = sdp(media);
    s2x::content(&sdp, &sdp.media[0], scope)
}

fn to_xmpp(media: &str, scope: &mut Scope) -> Content {
    read(media, scope).unwrap_or_else(|refusal| panic!("{refusal:?}: {media}"))
}
