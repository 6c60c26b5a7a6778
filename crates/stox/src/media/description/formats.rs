//! Payload types and what is said of each: XEP-0167 §6, XEP-0293 §5.

use super::fmtp;
use base::{Str, format_compact};
use bodies::sdp::rtp::{Feedback, Fmtp, PacketTime, Rtpmap, Static, Value};
use bodies::sdp::{Attribute, Media};
use xmpp::ext::jingle::{self, MAX_LIST, Parameter, Payload, Rtp};

/// The kind of feedback that has an element of its own in Jingle.
const INTERVAL: &str = "trr-int";

/// Writes the formats and what is said of them. Those that no `a=rtpmap` can name are left out, and each number is taken once.
pub(super) fn write(rtp: &Rtp, media: &mut Media) {
    let mut attributes = Vec::new();
    for payload in &rtp.payloads {
        let format = format_compact!("{}", payload.id);
        let Some(rtpmap) = rtpmap(rtp, payload) else { continue };
        let Some(attribute) = rtpmap.attribute().filter(|_| !media.formats.contains(&format)) else { continue };
        media.formats.push(format);
        attributes.push(attribute);
        attributes.extend(feedback(Some(payload.id), &payload.rtcp_fb, payload.trr_int));
        let parameters = fmtp::line(&rtpmap.encoding, &payload.parameters);
        attributes.extend(parameters.and_then(|parameters| Fmtp { payload_type: payload.id, parameters }.attribute()));
    }
    media.attributes.extend(attributes);
    media.attributes.extend(feedback(None, &rtp.rtcp_fb, rtp.trr_int));
    // SDP says it once for all formats: the best one's counts.
    let first = |of: fn(&Payload) -> Option<&Str>| {
        rtp.payloads.iter().filter_map(of).find_map(|time| PacketTime::parse(time).map(|time| Str::from(time.as_str())))
    };
    let times = [
        (PacketTime::NAME, first(|payload| payload.ptime.as_ref())),
        (PacketTime::MAX, first(|payload| payload.maxptime.as_ref())),
    ];
    media.attributes.extend(times.iter().filter_map(|(name, time)| Some(Attribute::new(name, time.as_ref()?))));
}

/// Reads the formats, with what is said of each and of all. Those that nobody can name are left out: RFC 8866 §6.6 wants an `a=rtpmap` for
/// every payload type that RFC 3551 does not assign.
pub(super) fn read(media: &Media, rtp: &mut Rtp) {
    let mut rtpmaps: [Option<Rtpmap>; 128] = [const { None }; 128];
    for rtpmap in Rtpmap::all(&media.attributes) {
        rtpmaps[usize::from(rtpmap.payload_type)].get_or_insert(rtpmap);
    }
    let mut places: [Option<usize>; 128] = [None; 128];
    let mut said: Vec<bool> = Vec::new();
    for id in media.formats.iter().filter_map(|format| format.parse::<u8>().ok()).filter(|id| *id < 128) {
        let place = &mut places[usize::from(id)];
        if let (None, Some(payload)) = (*place, payload(id, rtpmaps[usize::from(id)].as_ref())) {
            *place = Some(rtp.payloads.len());
            rtp.payloads.push(payload);
            said.push(false);
        }
    }
    for fmtp in Fmtp::all(&media.attributes) {
        let Some(place) = places[usize::from(fmtp.payload_type)] else { continue };
        said[place] = true;
        let payload = &mut rtp.payloads[place];
        let parameters = fmtp::parameters(payload.name.as_deref().unwrap_or_default(), Some(&fmtp.parameters));
        payload.parameters.extend(parameters);
        // More than anybody has to say.
        payload.parameters.truncate(MAX_LIST);
    }
    for feedback in Feedback::all(&media.attributes) {
        let (list, interval) = match feedback.payload_type.map(|id| places[usize::from(id)]) {
            None => (&mut rtp.rtcp_fb, &mut rtp.trr_int),
            Some(Some(place)) => {
                let payload = &mut rtp.payloads[place];
                (&mut payload.rtcp_fb, &mut payload.trr_int)
            }
            Some(None) => continue,
        };
        if feedback.kind == INTERVAL {
            *interval = feedback.parameters.and_then(|value| value.parse().ok());
        } else if list.len() < MAX_LIST {
            list.push(jingle_feedback(&feedback));
        }
    }
    // Jingle has whole milliseconds.
    let time = |name| {
        let value = media.attributes.get(name)?.value()?.trim();
        value.parse::<u32>().ok().filter(|time| *time > 0).map(|time| format_compact!("{time}"))
    };
    let (ptime, maxptime) = (time(PacketTime::NAME), time(PacketTime::MAX));
    for (payload, said) in rtp.payloads.iter_mut().zip(said) {
        if !said {
            payload.parameters = fmtp::parameters(payload.name.as_deref().unwrap_or_default(), None);
        }
        (payload.ptime, payload.maxptime) = (ptime.clone(), maxptime.clone());
    }
}

fn rtpmap(rtp: &Rtp, payload: &Payload) -> Option<Rtpmap> {
    let known = Static::of(payload.id);
    let encoding = payload.name.as_deref().or(known.map(|known| known.encoding))?;
    let known = known.filter(|known| known.encoding.eq_ignore_ascii_case(encoding));
    let is = |name: &str| encoding.eq_ignore_ascii_case(name);
    let clock_rate = match (payload.clockrate, known) {
        (Some(clock_rate), _) => clock_of(payload.id, encoding, clock_rate),
        (None, Some(known)) => known.clock_rate,
        (None, None) if is("opus") => 48_000,
        (None, None) if is("AMR-WB") => 16_000,
        (None, None) if rtp.media == "video" => 90_000,
        (None, None) => 8_000,
    };
    let channels = match payload.channels.or(known.map(|known| known.channels)) {
        // RFC 7587 §7: always two, whatever is sent.
        _ if is("opus") => Some(2),
        None | Some(1) => None,
        channels => channels,
    };
    Some(Rtpmap { payload_type: payload.id, encoding: encoding.into(), clock_rate, channels })
}

/// RFC 3551 §4.5.2: G.722 has 16,000 samples a second and says 8,000, which not everybody believes.
fn clock_of(id: u8, encoding: &str, clock_rate: u32) -> u32 {
    if id == 9 && encoding.eq_ignore_ascii_case("G722") { 8_000 } else { clock_rate }
}

fn payload(id: u8, rtpmap: Option<&Rtpmap>) -> Option<Payload> {
    let Some(rtpmap) = rtpmap else {
        let known = Static::of(id)?;
        let channels = Some(known.channels).filter(|channels| *channels > 1);
        return Some(Payload { channels, ..Payload::new(id, known.encoding, known.clock_rate) });
    };
    let opus = rtpmap.encoding.eq_ignore_ascii_case("opus");
    let channels = if opus { Some(2) } else { rtpmap.channels.filter(|channels| *channels > 1) };
    let clock_rate = clock_of(id, &rtpmap.encoding, rtpmap.clock_rate);
    Some(Payload { channels, ..Payload::new(id, rtpmap.encoding.clone(), clock_rate) })
}

/// The lines of what is fed back, for one payload type or for all.
fn feedback(payload_type: Option<u8>, list: &[jingle::Feedback], interval: Option<u32>) -> Vec<Attribute> {
    let line =
        |kind: &str, parameters: Option<Str>| Feedback { payload_type, kind: kind.into(), parameters }.attribute();
    let of = |feedback: &jingle::Feedback| {
        let mut words: Vec<Str> = feedback.subtype.iter().cloned().collect();
        words.extend(feedback.parameters.iter().map(word_of_parameter));
        line(&feedback.kind, (!words.is_empty()).then(|| words.join(" ").into()))
    };
    let interval = interval.and_then(|value| line(INTERVAL, Some(format_compact!("{value}"))));
    list.iter().filter(|feedback| feedback.kind != INTERVAL).filter_map(of).chain(interval).collect()
}

/// XEP-0293 §3: the first word is the subtype, the others are parameters.
fn jingle_feedback(feedback: &Feedback) -> jingle::Feedback {
    let mut words = feedback.parameters.as_deref().unwrap_or_default().split(' ').filter(|word| !word.is_empty());
    let subtype = words.next();
    let parameters = words.take(MAX_LIST).map(parameter_of_word).collect();
    jingle::Feedback { parameters, ..jingle::Feedback::new(feedback.kind.clone(), subtype) }
}

/// `name=value`, or a name without a value (XEP-0293 §3, XEP-0294 §3).
pub(super) fn parameter_of_word(word: &str) -> Parameter {
    match word.split_once('=') {
        Some((name, value)) if !name.is_empty() && !value.is_empty() => Parameter::new(name, value),
        _ => Parameter::new(word, ""),
    }
}

/// The contrary.
pub(super) fn word_of_parameter(parameter: &Parameter) -> Str {
    match (parameter.name.as_str(), parameter.value.as_str()) {
        (name, "") => name.into(),
        ("", value) => value.into(),
        (name, value) => format_compact!("{name}={value}"),
    }
}
