//! The reader: lines, then what is in each (§9).

use super::address::{Address, Host, number};
use super::attribute::{Attribute, Text};
use super::fragment::Fragment;
use super::{Bandwidth, MAX_BYTES, MAX_FORMATS, MAX_LINES, MAX_MEDIA, MAX_WORD, Media, Origin, Sdp, Time};
use crate::Error;
use base::Str;
use std::net::Ipv4Addr;

pub(super) fn parse(bytes: &[u8]) -> Result<Sdp, Error> {
    if bytes.len() > MAX_BYTES {
        return Err(Error::TooBig { what: "bytes of SDP", limit: MAX_BYTES });
    }
    let lines = lines(bytes)?;
    let Some(((b'v', b"0"), lines)) = lines.split_first().map(|(first, rest)| (*first, rest)) else {
        return Err(Error::Malformed("SDP without v=0"));
    };
    let (session, media) = lines.split_at(lines.iter().position(|(kind, _)| *kind == b'm').unwrap_or(lines.len()));
    let mut sdp = self::session(session)?;
    for &(kind, value) in media {
        if kind != b'm' {
            // The first line here is an m=.
            sdp.media.last_mut().map_or(Err(UNKNOWN), |media| take(media, kind, value))?;
        } else if sdp.media.len() == MAX_MEDIA {
            return Err(Error::TooBig { what: "media descriptions", limit: MAX_MEDIA });
        } else {
            sdp.media.push(media_line(value)?);
        }
    }
    // §5.7: each has an address, be it that of all.
    if sdp.connection.is_none() && sdp.media.iter().any(|media| media.connections.is_empty()) {
        return Err(Error::Malformed("SDP without c="));
    }
    Ok(sdp)
}

/// A fragment (RFC 8840 §9.2): attributes, and media descriptions of `m=` and attributes. Lines of other types say nothing here.
pub(super) fn fragment(bytes: &[u8]) -> Result<Fragment, Error> {
    if bytes.len() > MAX_BYTES {
        return Err(Error::TooBig { what: "bytes of SDP", limit: MAX_BYTES });
    }
    let mut fragment = Fragment::default();
    for (kind, value) in lines(bytes)? {
        match kind {
            b'm' if fragment.media.len() == MAX_MEDIA => {
                return Err(Error::TooBig { what: "media descriptions", limit: MAX_MEDIA });
            }
            b'm' => fragment.media.push(media_line(value)?),
            b'a' => {
                let place = fragment.media.last_mut().map_or(&mut fragment.attributes, |media| &mut media.attributes);
                // RFC 8840 §9.2: those of older grammars are without case, and none of them is another one's name in another case.
                let attribute = attribute(value)?;
                place.push(attribute.in_lower_case());
            }
            kind if kind.is_ascii_lowercase() => {}
            _ => return Err(UNKNOWN),
        }
    }
    Ok(fragment)
}

const UNKNOWN: Error = Error::Malformed("SDP line of an unknown type");

/// The lines as type and value.
fn lines(bytes: &[u8]) -> Result<Vec<(u8, &[u8])>, Error> {
    let mut lines = Vec::new();
    let mut rest = bytes;
    while !rest.is_empty() {
        let end = memchr::memchr(b'\n', rest);
        let line = &rest[..end.unwrap_or(rest.len())];
        rest = end.map_or(&[], |end| &rest[end + 1..]);
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        if memchr::memchr2(b'\0', b'\r', line).is_some() {
            return Err(Error::Malformed("NUL or CR in an SDP line"));
        }
        // An empty line at the end is a common slip, and harmless.
        if line.is_empty() && rest.is_empty() {
            break;
        }
        let [kind, b'=', value @ ..] = line else { return Err(Error::Malformed("SDP line without =")) };
        if value.is_empty() {
            return Err(Error::Malformed("empty SDP line"));
        }
        if lines.len() == MAX_LINES {
            return Err(Error::TooBig { what: "lines of SDP", limit: MAX_LINES });
        }
        lines.push((*kind, value));
    }
    Ok(lines)
}

/// What stands before the first media description.
fn session(lines: &[(u8, &[u8])]) -> Result<Sdp, Error> {
    let (mut origin, mut name) = (None, None);
    let mut sdp = Sdp { times: Vec::new(), ..Sdp::new(Origin::new(0, 0, &Host::Ip(Ipv4Addr::UNSPECIFIED.into()))) };
    for &(kind, value) in lines {
        match kind {
            b'o' => once(&mut origin, self::origin(value)?)?,
            b's' => once(&mut name, Text::of_line(value))?,
            b'i' => once(&mut sdp.info, Text::of_line(value))?,
            b'u' => once(&mut sdp.uri, Text::of_line(value))?,
            b'e' => sdp.emails.push(Text::of_line(value)),
            b'p' => sdp.phones.push(Text::of_line(value)),
            b'c' => once(&mut sdp.connection, connection(value)?)?,
            b'b' => sdp.bandwidths.push(bandwidth(value)?),
            b't' => sdp.times.push(time(value)?),
            b'r' | b'z' => {
                let time = sdp.times.last_mut().ok_or(Error::Malformed("SDP with r= or z= before t="))?;
                let value = Str::from(text(value)?);
                // Numbers, their units and signs.
                if !value.bytes().all(|b| b.is_ascii_digit() || b" -dhms".contains(&b)) {
                    return Err(Error::Malformed("bad r= or z="));
                }
                if kind == b'z' {
                    once(&mut time.zone, value)?;
                } else {
                    time.repeats.push(value);
                }
            }
            // §5.12: thrown away.
            b'k' => {}
            b'a' => sdp.attributes.push(attribute(value)?),
            _ => return Err(UNKNOWN),
        }
    }
    sdp.origin = origin.ok_or(Error::Malformed("SDP without o="))?;
    sdp.name = name.ok_or(Error::Malformed("SDP without s="))?;
    if sdp.times.is_empty() {
        return Err(Error::Malformed("SDP without t="));
    }
    Ok(sdp)
}

/// A line behind `m=`.
fn take(media: &mut Media, kind: u8, value: &[u8]) -> Result<(), Error> {
    match kind {
        b'i' => once(&mut media.title, Text::of_line(value))?,
        b'c' => media.connections.push(connection(value)?),
        b'b' => media.bandwidths.push(bandwidth(value)?),
        b'k' => {}
        b'a' => media.attributes.push(attribute(value)?),
        _ => return Err(UNKNOWN),
    }
    Ok(())
}

fn once<T>(place: &mut Option<T>, value: T) -> Result<(), Error> {
    match place.replace(value) {
        None => Ok(()),
        Some(_) => Err(Error::Malformed("SDP says twice what it may say once")),
    }
}

fn origin(value: &[u8]) -> Result<Origin, Error> {
    const BAD: Error = Error::Malformed("bad o=");
    let fields: Vec<&[u8]> = value.splitn(7, |b| *b == b' ').collect();
    let [user, id, version, network, family, address] = fields[..] else { return Err(BAD) };
    let digits = |field| digits(field).ok_or(BAD);
    let address =
        Address { network: word(network, BAD)?, family: word(family, BAD)?, text: visible(address).ok_or(BAD)? };
    if user.is_empty() || user.len() > MAX_WORD || user.iter().any(u8::is_ascii_control) {
        return Err(BAD);
    }
    Ok(Origin { user: Text::of_line(user), id: digits(id)?, version: digits(version)?, address })
}

fn connection(value: &[u8]) -> Result<Address, Error> {
    const BAD: Error = Error::Malformed("bad c=");
    let fields: Vec<&[u8]> = value.splitn(4, |b| *b == b' ').collect();
    let [network, family, address] = fields[..] else { return Err(BAD) };
    let address =
        Address { network: word(network, BAD)?, family: word(family, BAD)?, text: visible(address).ok_or(BAD)? };
    address.check()?;
    Ok(address)
}

fn bandwidth(value: &[u8]) -> Result<Bandwidth, Error> {
    const BAD: Error = Error::Malformed("bad b=");
    let colon = memchr::memchr(b':', value).ok_or(BAD)?;
    Ok(Bandwidth { kind: word(&value[..colon], BAD)?, value: digits(&value[colon + 1..]).ok_or(BAD)? })
}

fn time(value: &[u8]) -> Result<Time, Error> {
    const BAD: Error = Error::Malformed("bad t=");
    let space = memchr::memchr(b' ', value).ok_or(BAD)?;
    let digits = |field| digits(field).ok_or(BAD);
    Ok(Time { start: digits(&value[..space])?, stop: digits(&value[space + 1..])?, repeats: Vec::new(), zone: None })
}

fn attribute(value: &[u8]) -> Result<Attribute, Error> {
    let colon = memchr::memchr(b':', value);
    let name = word(&value[..colon.unwrap_or(value.len())], Error::Malformed("bad name of an SDP attribute"))?;
    Ok(Attribute::of_line(name, colon.map(|colon| &value[colon + 1..])))
}

fn media_line(value: &[u8]) -> Result<Media, Error> {
    const BAD: Error = Error::Malformed("bad m=");
    let mut fields = text(value)?.split(' ');
    let mut next = || fields.next().ok_or(BAD);
    let (kind, port, protocol) = (next()?, next()?, next()?);
    let (port, ports) = port.split_once('/').map_or((port, None), |(port, ports)| (port, Some(ports)));
    let ports = ports.map(|ports| number(ports).filter(|ports| *ports > 0).ok_or(BAD)).transpose()?;
    if protocol.len() > MAX_WORD || !protocol.split('/').all(|part| word(part.as_bytes(), BAD).is_ok()) {
        return Err(BAD);
    }
    let mut media = Media::new(&word(kind.as_bytes(), BAD)?, number(port).ok_or(BAD)?, protocol, &[]);
    media.ports = ports;
    // §5.14: where the protocol is RTP, formats are payload types, which have seven bits.
    let rtp = protocol.split('/').any(|part| part == "RTP");
    for format in fields {
        if rtp && number::<u8>(format).is_none_or(|payload_type| payload_type > 127) {
            return Err(Error::Malformed("bad RTP payload type"));
        }
        if media.formats.len() == MAX_FORMATS {
            return Err(Error::TooBig { what: "formats of one medium", limit: MAX_FORMATS });
        }
        media.formats.push(word(format.as_bytes(), BAD)?);
    }
    if media.formats.is_empty() { Err(BAD) } else { Ok(media) }
}

/// A `token` of §9, of at most [`MAX_WORD`] bytes.
fn word(bytes: &[u8], otherwise: Error) -> Result<Str, Error> {
    let fits = (1..=MAX_WORD).contains(&bytes.len()) && bytes.iter().copied().all(is_token);
    Some(bytes).filter(|_| fits).and_then(|bytes| str::from_utf8(bytes).ok()).map(Str::from).ok_or(otherwise)
}

/// Decimal digits: numbers in SDP have no bound, so they are kept as they are written.
fn digits(bytes: &[u8]) -> Option<Str> {
    let fits = (1..=MAX_WORD).contains(&bytes.len()) && bytes.iter().all(u8::is_ascii_digit);
    Some(bytes).filter(|_| fits).and_then(|bytes| str::from_utf8(bytes).ok()).map(Str::from)
}

/// Anything without white space and control characters.
fn visible(bytes: &[u8]) -> Option<Str> {
    let text = str::from_utf8(bytes).ok()?;
    let fits = (1..=MAX_WORD).contains(&text.len()) && !text.contains(|c: char| c.is_whitespace() || c.is_control());
    fits.then(|| text.into())
}

fn text(bytes: &[u8]) -> Result<&str, Error> {
    str::from_utf8(bytes).map_err(|_| Error::Malformed("SDP line that is not UTF-8"))
}

/// `token-char` of §9.
pub(super) fn is_token(b: u8) -> bool {
    b.is_ascii_graphic() && !b"\"(),/:;<=>?@[\\]".contains(&b)
}
