//! What the XMPP side says in a session: which of it is news for the SIP side.

use super::compare::{fingerprints, keep_candidates};
use super::line::{Awaits, Flow, Line, Stage};
use super::say::{Say, mates};
use super::value::{Change, Due, Unfit};
use super::{Description, Phase, has_transport, is_media, x2s};
use crate::error::Refusal;
use bodies::sdp::MAX_MEDIA;
use xmpp::ext::jingle::{self, Action, Condition, Content, Creator, Ice, Info, Jingle, Transport};

impl Description {
    /// Something that the XMPP side does to the session, before it is accepted or later: all but session-initiate, -accept and -terminate. Of
    /// session-info only what XEP-0167 §8 has; that it rings means nothing here.
    ///
    /// # Errors
    /// It cannot be done, and nothing has changed: [`Unfit::stanza_error`] is the answer to the iq. Otherwise the answer is a result, at once.
    pub fn heard(&mut self, jingle: &Jingle) -> Result<Change, Unfit> {
        match jingle.action {
            Action::SessionInfo => self.heard_info(&jingle.infos),
            Action::ContentModify => self.heard_modify(&jingle.contents),
            Action::ContentAdd => self.heard_add(jingle),
            Action::ContentRemove | Action::ContentReject => self.heard_remove(&jingle.contents),
            Action::ContentAccept => self.heard_accept(jingle),
            Action::TransportInfo => self.heard_transport(&jingle.contents),
            Action::TransportReplace => self.heard_replace(&jingle.contents),
            Action::TransportAccept => self.heard_transport_accept(&jingle.contents),
            Action::TransportReject => {
                self.places(&jingle.contents)?;
                let awaits = self.lines.iter().any(|line| line.awaits == Some(Awaits::Transport));
                if awaits {
                    Ok(Change { say: self.take_back(), sip: Due::Refuse })
                } else {
                    Ok(Change::only(Due::Nothing))
                }
            }
            // Hints, which SDP has no place for.
            Action::DescriptionInfo | Action::SecurityInfo => Ok(Change::only(Due::Nothing)),
            Action::SessionAccept | Action::SessionInitiate | Action::SessionTerminate => {
                Err(Unfit::with(jingle::Error::OutOfOrder, "Not in this state of the session"))
            }
        }
    }

    fn heard_info(&mut self, infos: &[Info]) -> Result<Change, Unfit> {
        let before = self.flows();
        if infos.iter().any(|info| matches!(info, Info::Other(_))) {
            return Err(Unfit::with(jingle::Error::UnsupportedInfo, "Unknown information"));
        }
        for info in infos {
            match info {
                Info::Hold => self.held = true,
                Info::Unhold => self.held = false,
                Info::Active => {
                    self.held = false;
                    self.lines.iter_mut().for_each(|line| line.muted = false);
                }
                Info::Mute { creator, name } => self.mute(*creator, name.as_deref(), true),
                Info::Unmute { creator, name } => self.mute(*creator, name.as_deref(), false),
                Info::Ringing | Info::Other(_) => {}
            }
        }
        Ok(self.after(&before))
    }

    fn mute(&mut self, creator: Creator, name: Option<&str>, muted: bool) {
        let is = |line: &&mut Line| line.scope.creator == creator && name.is_none_or(|name| line.scope.name == name);
        self.lines.iter_mut().filter(is).for_each(|line| line.muted = muted);
    }

    fn heard_modify(&mut self, contents: &[Content]) -> Result<Change, Unfit> {
        let before = self.flows();
        for (place, content) in self.places(contents)?.into_iter().zip(contents) {
            // XEP-0166 §7.3: not to say who sends means both.
            self.lines[place].hear_senders(content.senders.unwrap_or(jingle::Senders::Both));
        }
        Ok(self.after(&before))
    }

    /// Which way the XMPP side has its contents.
    fn flows(&self) -> Vec<Option<Flow>> {
        let said = |line: &Line| matches!(line.stage, Stage::Open | Stage::Wanted);
        self.lines.iter().map(|line| said(line).then(|| line.flow(self.held))).collect()
    }

    /// An offer, if that is not as it was.
    fn after(&mut self, before: &[Option<Flow>]) -> Change {
        if self.flows() != before {
            return self.wants_offer();
        }
        let mut say = Say::default();
        self.tell_whether_it_listens(&mut say);
        Change { say: say.into_jingle(), sip: Due::Nothing }
    }

    fn wants_offer(&mut self) -> Change {
        self.due = true;
        Change::only(Due::Offer)
    }

    fn heard_add(&mut self, jingle: &Jingle) -> Result<Change, Unfit> {
        let Some(first) = jingle.contents.first() else { return Err(Unfit::bad("Nothing to add")) };
        if jingle.contents.iter().any(|content| self.find(content).is_some()) {
            return Err(Unfit::bad("There is a content of that name"));
        }
        // XEP-0166 §7.2.16: of two requests for the same at the same time that of the initiator counts.
        let kind = |content: &Content| content.rtp().map(|rtp| rtp.media.clone());
        let crosses = self
            .lines
            .iter()
            .any(|line| line.awaits == Some(Awaits::Content) && Some(&line.kind) == kind(first).as_ref());
        if crosses && self.xmpp == Creator::Responder && matches!(self.phase, Phase::Asked(_)) {
            return Err(Unfit::with(jingle::Error::TieBreak, "The other side adds the same"));
        }
        let can_be = |content: &&Content| is_media(content) && has_transport(content);
        let (added, rejected) = jingle.contents.iter().partition::<Vec<&Content>, _>(can_be);
        let rejected = rejected.into_iter().map(|content| Content { other: Vec::new(), ..content.clone() }).collect();
        let say = Say { rejected, ..Say::default() }.into_jingle();
        if added.is_empty() {
            return Ok(Change { say, sip: Due::Nothing });
        }
        let old = self.clone();
        match self.try_add(&jingle.groups, &added) {
            Ok(()) => Ok(Change { say, ..self.wants_offer() }),
            Err(unfit) => {
                *self = old;
                Err(unfit)
            }
        }
    }

    fn try_add(&mut self, groups: &[jingle::Group], contents: &[&Content]) -> Result<(), Unfit> {
        if !groups.is_empty() {
            self.xmpp_groups = groups.to_vec();
        }
        for content in contents {
            let content = Content { creator: self.xmpp, ..(*content).clone() };
            self.add(&content)?;
            // A place that nobody has any more is used again (RFC 3264 §8.1), unless it is being talked about.
            let free = self.lines[..self.agreed.min(self.lines.len())]
                .iter()
                .position(|line| line.free && line.stage == Stage::Closed);
            if let (Some(free), Phase::Settled | Phase::Answered) = (free, &self.phase)
                && let Some(line) = self.lines.pop()
            {
                self.lines[free] = line;
            }
        }
        if self.lines.len() > MAX_MEDIA {
            return Err(Unfit::new(Refusal::TooBig, Condition::GeneralError));
        }
        self.fits()
    }

    /// A content is not, or not any more.
    fn heard_remove(&mut self, contents: &[Content]) -> Result<Change, Unfit> {
        for place in self.places(contents)? {
            let line = &mut self.lines[place];
            match line.stage {
                Stage::Asked | Stage::Closed => line.close(),
                Stage::Wanted | Stage::Open => {
                    line.close();
                    self.due = true;
                }
            }
        }
        // What the SIP side does not know of need not be taken back.
        while self.lines.len() > self.agreed && self.lines.last().is_some_and(|line| line.stage == Stage::Closed) {
            self.lines.pop();
        }
        let there = self.lines.iter().any(|line| matches!(line.stage, Stage::Open | Stage::Wanted));
        if !there && !self.lines.iter().any(Line::is_there) {
            return Ok(Change::only(Due::Over));
        }
        let change = self.look();
        match change.sip {
            Due::Nothing if self.due => Ok(Change { sip: Due::Offer, ..change }),
            _ => Ok(change),
        }
    }

    fn heard_accept(&mut self, jingle: &Jingle) -> Result<Change, Unfit> {
        let places = self.places(&jingle.contents)?;
        if places.iter().any(|place| self.lines[*place].awaits != Some(Awaits::Content)) {
            return Err(Unfit::with(jingle::Error::OutOfOrder, "Nothing was to be accepted"));
        }
        if !jingle.groups.is_empty() {
            self.xmpp_groups.clone_from(&jingle.groups);
        } else {
            self.group_like_sip(&places);
        }
        let mut removed = Vec::new();
        for (place, content) in places.into_iter().zip(&jingle.contents) {
            // What was accepted and cannot be is not in the session after all.
            if self.accept(place, content).is_err() || self.fits().is_err() {
                removed.push(self.lines[place].stub());
                self.lines[place].close();
            }
        }
        let mut change = self.look();
        change.say.splice(0..0, Say { removed, ..Say::default() }.into_jingle());
        Ok(change)
    }

    /// A content that was added to a bundle and accepted without a word of groups is in it.
    fn group_like_sip(&mut self, places: &[usize]) {
        for place in places {
            let name = self.lines[*place].scope.name.clone();
            let with = self.sip_groups.iter().find(|group| group.contents.contains(&name));
            let Some(with) = with else { continue };
            let same = |group: &&mut jingle::Group| {
                group.semantics == with.semantics && group.contents.iter().any(|there| with.contents.contains(there))
            };
            if let Some(group) = self.xmpp_groups.iter_mut().find(same)
                && !group.contents.contains(&name)
            {
                group.contents.push(name);
            }
        }
    }

    /// XEP-0176 §5.8 and §5.9: more candidates, or a new half of ICE.
    fn heard_transport(&mut self, contents: &[Content]) -> Result<Change, Unfit> {
        let mut news = false;
        let mut restarted = false;
        for content in contents {
            // Candidates of what was refused meanwhile are still on their way.
            let Some(place) = self.find(content) else { continue };
            match &content.transport {
                Some(Transport::Ice(ice)) => {
                    let (new, again) = self.hear_ice(place, ice);
                    news |= new;
                    restarted |= again;
                }
                Some(Transport::RawUdp(raw)) if !raw.candidates.is_empty() => {
                    let raw = raw.clone();
                    let ours = self.lines[place].ours.as_mut().and_then(|ours| ours.transport.as_mut());
                    if let Some(Transport::RawUdp(there)) = ours {
                        restarted |= there.candidates != raw.candidates;
                        there.candidates = raw.candidates;
                    }
                }
                Some(Transport::RawUdp(_) | Transport::Other(_)) | None => {}
            }
        }
        if restarted {
            // As an answer to what was asked, or by itself.
            let asked = self.is_waited_for();
            let change = self.look();
            return Ok(if asked { change } else { self.wants_offer() });
        }
        Ok(Change::only(if news { Due::Trickle } else { Due::Nothing }))
    }

    /// What the XMPP side says of its half of ICE: whether there is something new in it, and whether it has started anew.
    fn hear_ice(&mut self, place: usize, said: &Ice) -> (bool, bool) {
        let Some(line) = self.lines.get_mut(place) else { return (false, false) };
        let name = line.scope.name.clone();
        let Some(ice) = line.ice_mut() else { return (false, false) };
        let other = |own: &Option<base::Str>, said: &Option<base::Str>| said.is_some() && own != said;
        let restarted = other(&ice.ufrag, &said.ufrag) || other(&ice.pwd, &said.pwd);
        if restarted {
            let was = ice.ufrag.clone();
            let anew = |ice: &mut Ice| {
                (ice.ufrag, ice.pwd) = (said.ufrag.clone(), said.pwd.clone());
                ice.candidates.clear();
                ice.gathering_complete = false;
            };
            anew(ice);
            // With the others that share the transport.
            let groups = self.xmpp_groups.clone();
            let is_mate = mates(&groups, &name);
            for line in self.lines.iter_mut().filter(|line| is_mate(&line.scope.name)) {
                if let Some(ice) = line.ice_mut().filter(|ice| ice.ufrag == was) {
                    anew(ice);
                }
                if line.awaits == Some(Awaits::Restart) {
                    line.awaits = None;
                }
            }
        }
        let Some(line) = self.lines.get_mut(place) else { return (false, false) };
        if restarted && line.awaits == Some(Awaits::Restart) {
            line.awaits = None;
        }
        let Some(ice) = line.ice_mut() else { return (false, false) };
        let before = (ice.candidates.len(), ice.gathering_complete);
        keep_candidates(ice, said.candidates.clone());
        ice.gathering_complete |= said.gathering_complete;
        for option in &said.options {
            if !ice.options.contains(option) && ice.options.len() < jingle::MAX_LIST {
                ice.options.push(option.clone());
            }
        }
        (before != (ice.candidates.len(), ice.gathering_complete), restarted)
    }

    fn heard_replace(&mut self, contents: &[Content]) -> Result<Change, Unfit> {
        let places = self.places(contents)?;
        if places.iter().any(|place| self.lines[*place].awaits == Some(Awaits::Transport)) {
            if self.xmpp == Creator::Responder {
                return Err(Unfit::with(jingle::Error::TieBreak, "The other side replaces it, too"));
            }
            let say = self.take_back();
            let mut change = self.replace(&places, contents);
            change.say.splice(0..0, say);
            return Ok(Change { sip: Due::Glare, ..change });
        }
        Ok(self.replace(&places, contents))
    }

    fn replace(&mut self, places: &[usize], contents: &[Content]) -> Change {
        let mut say = Say::default();
        let mut due = false;
        for (place, content) in places.iter().zip(contents) {
            let line = &mut self.lines[*place];
            let Some(ours) = &line.ours else { continue };
            let mut new = Content { transport: content.transport.clone(), ..ours.as_ref().clone() };
            // Keys are of the content, whatever carries it.
            if fingerprints(&new).is_empty()
                && let Some(Transport::Ice(ice)) = &mut new.transport
            {
                ice.fingerprints = fingerprints(ours).to_vec();
            }
            if !has_transport(&new) || x2s::media(&new, &line.scope).is_err() {
                say.not_taken.push(
                    line.name().with_transport(content.transport.clone().unwrap_or(Transport::Ice(Box::default()))),
                );
                continue;
            }
            if line.replaced.is_none() {
                line.replaced = ours.transport.clone().map(Box::new);
            }
            line.ours = Some(Box::new(new));
            due = true;
        }
        let sip = if due { self.wants_offer().sip } else { Due::Nothing };
        Change { say: say.into_jingle(), sip }
    }

    fn heard_transport_accept(&mut self, contents: &[Content]) -> Result<Change, Unfit> {
        let places = self.places(contents)?;
        let mut changed = false;
        for (place, content) in places.into_iter().zip(contents) {
            let line = &mut self.lines[place];
            let theirs = line.theirs.as_ref().and_then(|theirs| theirs.transport.as_ref());
            let fits = match (theirs, &content.transport) {
                (Some(Transport::Ice(_)), Some(Transport::Ice(_)))
                | (Some(Transport::RawUdp(_)), Some(Transport::RawUdp(_))) => true,
                (Some(_) | None, Some(_) | None) => false,
            };
            let Some(ours) = line.ours.as_mut().filter(|_| fits) else {
                return Err(Unfit::bad("Another transport than the one that was to be accepted"));
            };
            changed |= ours.transport != content.transport;
            ours.transport.clone_from(&content.transport);
            if line.awaits == Some(Awaits::Transport) {
                line.awaits = None;
            }
        }
        self.fits()?;
        let asked = self.is_waited_for();
        let change = self.look();
        // Where it took what it was told after an answer, the SIP side has yet to learn where that leads.
        Ok(if changed && !asked { self.wants_offer() } else { change })
    }

    /// Whether the SIP side's offer waits for something of the XMPP side.
    fn is_waited_for(&self) -> bool {
        match &self.phase {
            Phase::Asked(before) => before.waits,
            Phase::Settled | Phase::Offering | Phase::Answered => false,
        }
    }

    /// The places of these contents.
    fn places(&self, contents: &[Content]) -> Result<Vec<usize>, Unfit> {
        if contents.is_empty() {
            return Err(Unfit::bad("No content is named"));
        }
        let place = |content: &Content| self.find(content).ok_or(Unfit::bad("No such content"));
        contents.iter().map(place).collect()
    }
}
