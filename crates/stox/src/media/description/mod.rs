//! What both sides say of the media of a call: Jingle contents (XEP-0167, 0176, 0177) on the one, offers and answers (RFC 3264, 8866) on the
//! other; draft §5 and §10.
//!
//! [`x2s`] and [`s2x`] are plain functions from one content to one media description and back; what concerns one thing stands in one place for
//! both directions: formats and their parameters, the stream, the transport. What the two do not have in common is left out, and never stands in
//! the way of a call: draft §5.4 and the comments here say what that is.
//!
//! [`Description`] knows what was said before, so what a new offer changes becomes the actions of Jingle that say so, and the other way round.
//! Each content is one media description, in the order of the SDP. Jingle says a change at a time, and answers when it likes; SDP says
//! everything at once, and wants an answer.
//!
//! Which way media go is two wishes, one of each side: [`Line::wish`](line::Line) and [`Line::sip`](line::Line). Jingle knows one value for both.

mod answer;
mod compare;
mod fmtp;
mod formats;
mod hear;
mod line;
mod names;
mod offer;
mod render;
pub mod s2x;
mod say;
pub mod scope;
mod stream;
mod transport;
mod trickle;
mod value;
pub mod x2s;

pub use scope::{IceScope, Scope};
pub use value::{Asked, Change, Due, Gathered, Unfit};

use crate::error::Refusal;
use base::{Fingerprint, Str};
use bodies::sdp::{Origin, Sdp};
use line::{Flow, Line, Stage};
use say::Say;
use xmpp::ext::jingle::{self, Condition, Content, Creator, Group, Ice, Jingle, MAX_CONTENTS, Rtp, Transport};

/// The most bytes that the contents of one side may have in a description.
const MAX_BYTES: usize = 65_536;

/// What both sides have said of the media of a call.
#[derive(Debug, Clone)]
pub struct Description {
    /// Which of both the XMPP user is.
    xmpp: Creator,
    /// Our `o=` line.
    origin: Origin,
    version: u64,
    /// What stands for what was written last, but for its version.
    written: Option<Fingerprint>,
    lines: Vec<Line>,
    /// How many of the lines the SIP side knows.
    agreed: usize,
    /// And how many it knew before our offer.
    offered_from: usize,
    /// The groups of either side, as Jingle names them.
    xmpp_groups: Vec<Group>,
    sip_groups: Vec<Group>,
    /// The XMPP side listens to nobody (XEP-0167 §8.2).
    held: bool,
    /// The SIP side does not, and the XMPP side knows.
    hold_told: bool,
    /// It does not know `<hold/>`.
    hold_unknown: bool,
    phase: Phase,
    /// The XMPP side has changed something of which the SIP side does not know.
    due: bool,
}

/// Whose turn it is on the SIP side.
#[derive(Debug, Clone)]
enum Phase {
    /// Nobody's.
    Settled,
    /// Our offer is out.
    Offering,
    /// Theirs is to be answered. What was there before, should it come to nothing.
    Asked(Box<Before>),
    /// It has an answer, which is to be given again if it is asked for.
    Answered,
}

/// What a refusal brings back.
#[derive(Debug, Clone)]
struct Before {
    lines: Vec<Line>,
    groups: Vec<Group>,
    agreed: usize,
    /// There was no offer at all, so there is no answer but an offer.
    nothing: bool,
    /// The answer waits for the XMPP side.
    waits: bool,
    /// What is said to the XMPP side with the answer.
    rest: Say,
}

impl Description {
    fn new(xmpp: Creator, origin: Origin, phase: Phase) -> Description {
        Description {
            xmpp,
            origin,
            version: 0,
            written: None,
            lines: Vec::new(),
            agreed: 0,
            offered_from: 0,
            xmpp_groups: Vec::new(),
            sip_groups: Vec::new(),
            held: false,
            hold_told: false,
            hold_unknown: false,
            phase,
            due: false,
        }
    }

    /// What the XMPP user wants who begins a call: audio and video over RTP. Any other content is passed over, and so refused by not being in
    /// the answer. `origin` is our `o=` line, whose version is counted here.
    ///
    /// # Errors
    /// No content that can be a call; or one that cannot be said in SDP.
    pub fn from_jingle(initiate: &Jingle, origin: Origin) -> Result<Description, Unfit> {
        let mut description = Description::new(Creator::Initiator, origin, Phase::Offering);
        description.xmpp_groups = initiate.groups.clone();
        for content in &initiate.contents {
            // XEP-0166 §7.2.10: what is of another disposition is not part of the session.
            let in_session = content.disposition.as_deref().is_none_or(|disposition| disposition == "session");
            if is_media(content) && has_transport(content) && in_session {
                description.add(content)?;
            }
        }
        if description.lines.is_empty() {
            return Err(match initiate.contents.iter().any(is_media) {
                true => Unfit::not_here(302, "No known transport", Condition::UnsupportedTransports),
                false => Unfit::not_here(304, "Neither audio nor video", Condition::UnsupportedApplications),
            });
        }
        description.fits()?;
        Ok(description)
    }

    /// What the SIP user wants who begins a call.
    ///
    /// # Errors
    /// Nothing of it can be said in Jingle, or it is no offer.
    pub fn from_offer(offer: &Sdp, origin: Origin) -> Result<Description, Unfit> {
        let before = Before {
            lines: Vec::new(),
            groups: Vec::new(),
            agreed: 0,
            nothing: false,
            waits: false,
            rest: Say::default(),
        };
        let mut description = Description::new(Creator::Responder, origin, Phase::Asked(Box::new(before)));
        let mut first = None;
        for media in &offer.media {
            let (line, refusal) = description.new_line(offer, media);
            first = first.or(refusal);
            description.lines.push(line);
        }
        description.agreed = description.lines.len();
        if !description.lines.iter().any(Line::is_there) {
            return Err(match first {
                Some(refusal) => Unfit::new(refusal, Condition::IncompatibleParameters),
                None => Unfit::not_here(304, "Neither audio nor video", Condition::UnsupportedApplications),
            });
        }
        description.sip_groups = names::of_sdp(offer, &description.lines);
        Ok(description)
    }

    /// What is said to the XMPP side of a SIP user who calls without an offer: audio in the codecs that everybody has. What it accepts is then
    /// our offer.
    pub fn without_offer(origin: Origin) -> Description {
        let before = Before {
            lines: Vec::new(),
            groups: Vec::new(),
            agreed: 0,
            nothing: true,
            waits: false,
            rest: Say::default(),
        };
        let mut description = Description::new(Creator::Responder, origin, Phase::Asked(Box::new(before)));
        let scope = Scope::new(Creator::Responder, Creator::Initiator, Str::const_new("audio"));
        let mut line = Line::new(scope, Str::const_new("audio"), Str::const_new("0"), Stage::Asked);
        let rtp = Rtp { payloads: codecs(), rtcp_mux: true, ..Rtp::new("audio") };
        let content = line
            .name()
            .with_description(jingle::Description::Rtp(Box::new(rtp)))
            .with_transport(Transport::Ice(Box::default()));
        line.theirs = Some(Box::new(content));
        description.lines.push(line);
        description
    }

    /// What the SIP side has said: for a session-initiate what it wants, for a session-accept what it has accepted.
    pub fn contents(&self) -> (Vec<Content>, Vec<Group>) {
        let there = |line: &&Line| matches!(line.stage, Stage::Asked | Stage::Open);
        let contents = self.lines.iter().filter(there).filter_map(|line| {
            let mut content = line.theirs.as_deref()?.clone();
            content.senders = Some(line.told);
            Some(content)
        });
        let contents: Vec<Content> = contents.collect();
        let groups = groups_of(&self.sip_groups, &contents);
        (contents, groups)
    }

    /// What the XMPP side has said: our first offer, or the answer to theirs. The same again as long as nothing has changed.
    pub fn sdp(&mut self) -> Sdp {
        match &self.phase {
            Phase::Asked(before) if before.nothing => self.offer(),
            Phase::Asked(_) | Phase::Answered => self.answer(),
            Phase::Settled | Phase::Offering => {
                self.agreed = self.lines.len();
                self.due = false;
                self.write(self.lines.len(), false)
            }
        }
    }

    /// The XMPP side accepts what [`Description::contents`] has said.
    ///
    /// # Errors
    /// It has accepted nothing, or what was not there to be accepted: the call is over on both sides.
    pub fn accepted(&mut self, accept: &Jingle) -> Result<(), Unfit> {
        self.xmpp_groups = accept.groups.clone();
        for index in 0..self.lines.len() {
            if self.lines[index].stage != Stage::Asked {
                continue;
            }
            let name = &self.lines[index].scope.name;
            match accept.contents.iter().find(|content| content.name == *name) {
                Some(content) => self.accept(index, content)?,
                None => self.lines[index].close(),
            }
        }
        if !self.lines.iter().any(Line::is_there) {
            return Err(Unfit::not_here(304, "Nothing was accepted", Condition::UnsupportedApplications));
        }
        self.fits()
    }

    /// The SIP side answers our first offer: [`Description::contents`] says what it has accepted.
    ///
    /// # Errors
    /// It has accepted nothing, or what was not there to be accepted: the call is over on both sides.
    pub fn answered(&mut self, answer: &Sdp) -> Result<(), Unfit> {
        if answer.media.len() > self.lines.len() {
            return Err(Unfit::bad("An answer with more media than the offer"));
        }
        for (index, line) in self.lines.iter_mut().enumerate().filter(|(_, line)| line.stage == Stage::Wanted) {
            // Some leave out what they refuse, if nothing follows it.
            let media = answer.media.get(index).filter(|media| !names::is_refused(media));
            let Some(media) = media else {
                line.close();
                continue;
            };
            let heard = compare::read(answer, media, line, true)?;
            line.answered_by_sip(heard)?;
            line.told = line.senders();
        }
        if !self.lines.iter().any(Line::is_there) {
            return Err(Unfit::not_here(304, "Nothing was accepted", Condition::IncompatibleParameters));
        }
        self.sip_groups = names::of_sdp(answer, &self.lines);
        self.phase = Phase::Settled;
        Ok(())
    }

    /// How much is known of where the XMPP side can be reached, of what the SIP side was not told yet. Streams that share a transport are one.
    pub fn gathered(&self) -> Gathered {
        let mut all = Gathered::All;
        for line in self.lines.iter().filter(|line| line.is_there() && line.ours.is_some()) {
            let is_mate = say::mates(&self.xmpp_groups, &line.scope.name);
            let mates = || self.lines.iter().filter(|mate| mate.is_there() && is_mate(&mate.scope.name));
            let ices = || mates().filter_map(Line::ice);
            if mates().any(Line::is_shown) || ices().any(|ice| ice.gathering_complete) {
                continue;
            }
            all = match ices().any(|ice| !ice.candidates.is_empty()) {
                true if all != Gathered::Nothing => Gathered::Some,
                true | false => Gathered::Nothing,
            };
        }
        all
    }

    /// Adds what the XMPP side wants.
    fn add(&mut self, content: &Content) -> Result<(), Unfit> {
        let kind = content.rtp().map(|rtp| rtp.media.clone()).unwrap_or_default();
        let mut scope = Scope::new(self.xmpp, content.creator, content.name.clone());
        // A telephone that names nothing does not understand names.
        if self.xmpp == Creator::Initiator || self.lines.iter().any(|line| line.scope.mid.is_some()) {
            scope.mid = Some(names::mid(&self.lines, &content.name));
        }
        let first = content.rtp().and_then(|rtp| rtp.payloads.first()).map_or(0, |payload| payload.id);
        let mut line = Line::new(scope, kind, base::format_compact!("{first}"), Stage::Wanted);
        let mut ours = content.clone();
        self.inherit(&mut ours);
        line.told = content.senders.unwrap_or(jingle::Senders::Both);
        line.wish = Flow::of(line.scope.direction(line.told));
        x2s::media(&ours, &line.scope).map_err(|refusal| Unfit::new(refusal, Condition::IncompatibleParameters))?;
        line.scope.ice.form = ours.ice().map_or_else(Default::default, |ice| ice.form);
        line.ours = Some(Box::new(ours));
        self.lines.push(line);
        Ok(())
    }

    /// Takes the XMPP side's half of a content that the SIP side wants.
    fn accept(&mut self, index: usize, content: &Content) -> Result<(), Unfit> {
        let mut ours = content.clone();
        self.inherit(&mut ours);
        self.lines[index].accepted_by_xmpp(ours)
    }

    /// Fills in what a content of the XMPP side leaves to the one that it shares a transport with.
    fn inherit(&self, content: &mut Content) {
        let Some(ice) = line::ice_mut(content) else { return };
        if ice.ufrag.is_some() {
            return;
        }
        let has = |line: &&Line| line.is_there() && line.ice().is_some_and(|ice| ice.ufrag.is_some());
        let name = content.name.clone();
        let mate = |line: &&Line| names::are_bundled(&self.xmpp_groups, &line.scope.name, &name);
        let mut there = self.lines.iter().filter(has);
        let first = there.clone().find(mate).or_else(|| there.next());
        let Some(from) = first.and_then(Line::ice).cloned() else { return };
        if let Some(ice) = line::ice_mut(content) {
            let candidates =
                if ice.candidates.is_empty() { from.candidates } else { std::mem::take(&mut ice.candidates) };
            *ice = Ice { candidates, ..from };
        }
    }

    /// The place of a content of the session that somebody means. Not all programs know who has made what.
    fn find(&self, content: &Content) -> Option<usize> {
        let exactly = |line: &Line| line.is(content.creator, &content.name);
        let nearly = |line: &Line| line.is_there() && line.scope.name == content.name;
        self.lines.iter().position(exactly).or_else(|| self.lines.iter().position(nearly))
    }

    /// Whether all that the XMPP side has said is within bounds.
    fn fits(&self) -> Result<(), Unfit> {
        let there = self.lines.iter().filter(|line| line.is_there()).count();
        let mut jingle = Jingle::new(jingle::Action::SessionInfo, "");
        jingle.contents = self.lines.iter().filter_map(|line| line.ours.as_deref().cloned()).collect();
        let mut bytes = Vec::new();
        xml::write(&jingle.to_element(), "", &mut bytes);
        if there > MAX_CONTENTS || bytes.len() > MAX_BYTES {
            return Err(Unfit::new(Refusal::TooBig, Condition::GeneralError));
        }
        Ok(())
    }
}

/// Whether a content can be part of a call.
fn is_media(content: &Content) -> bool {
    content.rtp().is_some_and(|rtp| matches!(&*rtp.media, "audio" | "video"))
}

/// Whether it has a transport that can be said in SDP.
fn has_transport(content: &Content) -> bool {
    match &content.transport {
        Some(Transport::Ice(_) | Transport::RawUdp(_)) => true,
        Some(Transport::Other(_)) | None => false,
    }
}

/// The groups as far as they are of these contents.
fn groups_of(groups: &[Group], contents: &[Content]) -> Vec<Group> {
    let there = |name: &&Str| contents.iter().any(|content| content.name == **name);
    let of = |group: &Group| Group {
        semantics: group.semantics.clone(),
        contents: group.contents.iter().filter(there).cloned().collect(),
    };
    groups.iter().map(of).filter(|group| !group.contents.is_empty()).collect()
}

/// The codecs that everybody has.
fn codecs() -> Vec<jingle::Payload> {
    let payload = |id, name: &'static str, clockrate, channels| jingle::Payload {
        channels,
        ..jingle::Payload::new(id, name, clockrate)
    };
    vec![
        payload(111, "opus", 48_000, Some(2)),
        payload(0, "PCMU", 8_000, None),
        payload(8, "PCMA", 8_000, None),
        payload(101, "telephone-event", 8_000, None),
    ]
}

/// A session description that nothing can be agreed on with.
fn unfit(warning: u16, why: &'static str) -> Refusal {
    Refusal::NotAcceptableHere { warning, why }
}

#[cfg(test)]
mod tests;
