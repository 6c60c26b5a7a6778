//! Their offers: what the SIP side wants changed, and what the XMPP side says to it.

use super::compare;
use super::line::{Awaits, Line, Stage, kept};
use super::say::Say;
use super::scope::Scope;
use super::value::{Asked, Change, Due, Unfit};
use super::{Before, Description, Phase, names};
use crate::error::Refusal;
use base::Str;
use bodies::sdp::{Media, Sdp};
use xmpp::ext::jingle::{Action, Condition, Jingle, MAX_CONTENTS};

impl Description {
    /// A re-INVITE or an UPDATE with an offer.
    ///
    /// # Errors
    /// It is no offer that anything can be agreed on with: it is refused, and nothing has changed.
    pub fn offered(&mut self, offer: &Sdp) -> Result<Asked, Unfit> {
        match self.phase {
            Phase::Settled | Phase::Answered => {}
            Phase::Offering | Phase::Asked(_) => return Err(Unfit::bad("Another offer is not answered yet")),
        }
        self.make_way();
        let before = Before {
            lines: self.lines.clone(),
            groups: self.sip_groups.clone(),
            agreed: self.agreed,
            nothing: false,
            waits: false,
            rest: Say::default(),
        };
        match self.hear_offer(offer) {
            Ok(mut say) => {
                let waits = self.lines.iter().any(|line| line.awaits.is_some());
                let first = if waits { say.take_questions() } else { std::mem::take(&mut say) };
                let mut first = first;
                if !waits {
                    self.tell_flow(&mut first);
                }
                self.phase = Phase::Asked(Box::new(Before { rest: say, waits, ..before }));
                Ok(Asked { say: first.into_jingle(), waits })
            }
            Err(unfit) => {
                (self.lines, self.sip_groups, self.agreed) = (before.lines, before.groups, before.agreed);
                Err(unfit)
            }
        }
    }

    /// What the XMPP side has added in places that are free, and was not offered yet, goes behind all others: the places are the SIP side's again.
    fn make_way(&mut self) {
        for index in 0..self.agreed.min(self.lines.len()) {
            if self.lines[index].stage == Stage::Wanted {
                let line = &self.lines[index];
                let mut free = Line::new(line.scope.clone(), line.kind.clone(), line.format.clone(), Stage::Closed);
                free.free = true;
                let line = std::mem::replace(&mut self.lines[index], free);
                self.lines.push(line);
            }
        }
    }

    fn hear_offer(&mut self, offer: &Sdp) -> Result<Say, Unfit> {
        let mut say = Say::default();
        // RFC 3264 §8: what was there stays where it was.
        if offer.media.len() < self.agreed {
            return Err(Unfit::not_here(399, "Fewer media than before", Condition::IncompatibleParameters));
        }
        for (index, media) in offer.media.iter().enumerate() {
            let known = self.lines.get(index).filter(|_| index < self.agreed).map(|line| line.stage);
            match known {
                None | Some(Stage::Closed) => {
                    let (line, _) = self.new_line(offer, media);
                    if line.stage == Stage::Asked {
                        say.added.extend(line.theirs.as_deref().map(|theirs| theirs.clone().with_senders(line.told)));
                    }
                    if known.is_some() { self.lines[index] = line } else { self.lines.insert(index, line) }
                }
                Some(Stage::Open) if names::is_refused(media) => {
                    say.removed.push(self.lines[index].stub());
                    self.lines[index].close();
                }
                Some(Stage::Open | Stage::Wanted | Stage::Asked) => {
                    let line = &mut self.lines[index];
                    if media.kind != line.kind {
                        return Err(Unfit::not_here(304, "Another medium", Condition::IncompatibleParameters));
                    }
                    let heard = compare::read(offer, media, line, false)?;
                    line.compare(heard, true, &mut say)?;
                }
            }
        }
        self.agreed = offer.media.len();
        self.sip_groups = names::of_sdp(offer, &self.lines);
        say.add_groups(&self.sip_groups);
        // A fax in the place of the voice, or a call without anything: it goes on as it is.
        if !self.lines.iter().any(|line| line.stage == Stage::Open) {
            return Err(Unfit::not_here(304, "Nothing of the call would be left", Condition::IncompatibleParameters));
        }
        Ok(say)
    }

    /// The answer to what the SIP side has offered; the same again as long as nothing has changed.
    pub fn answer(&mut self) -> Sdp {
        self.phase = Phase::Answered;
        let sdp = self.write(self.agreed, true);
        // What has changed meanwhile, the answer says as far as it can.
        let unsaid = |line: &Line| match line.stage {
            Stage::Wanted => true,
            Stage::Open => line.replaced.is_some() || line.shown != line.flow(self.held),
            Stage::Asked | Stage::Closed => false,
        };
        self.due = self.due && self.lines.iter().any(unsaid);
        let known = self.lines.iter_mut().take(self.agreed);
        known.filter(|line| line.stage == Stage::Closed).for_each(|line| line.free = true);
        sdp
    }

    /// The XMPP side does not say in time what the answer waits for. `Ok`: [`Description::answer`] does without, as what was to be added is not.
    /// The XMPP side is told either way.
    ///
    /// # Errors
    /// There is no answer without it: the offer is refused, and nothing has changed.
    pub fn give_up(&mut self) -> Result<Vec<Jingle>, Vec<Jingle>> {
        let needs = |line: &Line| matches!(line.awaits, Some(Awaits::Restart | Awaits::Transport));
        if self.lines.iter().any(needs) {
            return Err(self.take_back());
        }
        let mut removed = Vec::new();
        for line in self.lines.iter_mut().filter(|line| line.stage == Stage::Asked) {
            removed.push(line.stub());
            line.close();
        }
        let mut say = self.rest();
        say.removed.extend(removed);
        self.tell_flow(&mut say);
        Ok(say.into_jingle())
    }

    /// What follows once the XMPP side has said something: the answer, if that was the last that it waits for.
    pub(super) fn look(&mut self) -> Change {
        let waits = self.lines.iter().any(|line| line.awaits.is_some());
        match &mut self.phase {
            Phase::Asked(before) if before.waits && !waits => {
                before.waits = false;
                let mut say = self.rest();
                self.tell_flow(&mut say);
                Change { say: say.into_jingle(), sip: Due::Answer }
            }
            Phase::Asked(_) | Phase::Settled | Phase::Offering | Phase::Answered => Change::only(Due::Nothing),
        }
    }

    fn rest(&mut self) -> Say {
        match &mut self.phase {
            Phase::Asked(before) => std::mem::take(&mut before.rest),
            Phase::Settled | Phase::Offering | Phase::Answered => Say::default(),
        }
    }

    /// The SIP side's offer comes to nothing: all is as it was, but for what the XMPP side has said since.
    pub(super) fn take_back(&mut self) -> Vec<Jingle> {
        let Phase::Asked(before) = std::mem::replace(&mut self.phase, Phase::Answered) else { return Vec::new() };
        let mut say = Say::default();
        let by_sip = |line: &Line| before.rest.removed.iter().any(|content| content.name == line.scope.name);
        let mut was: Vec<Option<Line>> = before.lines.into_iter().map(Some).collect();
        for (index, line) in self.lines.iter_mut().enumerate().take(before.agreed) {
            let Some(was) = was.get_mut(index).and_then(Option::take) else { continue };
            match (line.stage, was.stage) {
                (Stage::Open, Stage::Open) => {
                    (line.theirs, line.scope, line.awaits) = (was.theirs, was.scope, None);
                    (line.sip, line.said, line.role) = (was.sip, was.said, was.role);
                }
                // New in a place that was free.
                (Stage::Asked | Stage::Open, _) => {
                    say.removed.push(line.stub());
                    *line = was;
                }
                // The XMPP side has done without it meanwhile.
                (Stage::Closed, Stage::Open) if !by_sip(line) => self.due = true,
                (Stage::Wanted | Stage::Closed, _) => *line = was,
            }
        }
        // Those behind are what the XMPP side has added since.
        let end = self.agreed.min(self.lines.len());
        let new = self.lines.drain(before.agreed.min(end)..end);
        say.removed.extend(new.filter(Line::is_there).map(|line| line.stub()));
        (self.agreed, self.sip_groups) = (before.agreed, before.groups);
        say.into_jingle()
    }

    /// The SIP side takes back what it has offered, or asked for: what the XMPP side is told of it.
    pub fn cancelled(&mut self) -> Vec<Jingle> {
        match self.phase {
            Phase::Asked(_) => self.take_back(),
            Phase::Offering => self.refused(),
            Phase::Settled | Phase::Answered => Vec::new(),
        }
    }

    /// The answer to a request of ours that came out of [`Asked::say`] or [`Change::say`]: `error` says whether it was refused.
    pub fn replied(&mut self, action: Action, error: Option<&xmpp::error::StanzaError>) -> Change {
        let Some(error) = error else { return Change::only(Due::Nothing) };
        let tie = xmpp::ext::jingle::Error::of(error) == Some(xmpp::ext::jingle::Error::TieBreak);
        let awaits = |awaits: Awaits| self.lines.iter().any(|line| line.awaits == Some(awaits));
        let lost = match action {
            Action::ContentAdd => awaits(Awaits::Content),
            Action::TransportInfo => awaits(Awaits::Restart),
            Action::TransportReplace => awaits(Awaits::Transport),
            Action::SessionInfo => return self.hold_is_unknown(),
            Action::ContentAccept
            | Action::ContentModify
            | Action::ContentReject
            | Action::ContentRemove
            | Action::DescriptionInfo
            | Action::SecurityInfo
            | Action::SessionAccept
            | Action::SessionInitiate
            | Action::SessionTerminate
            | Action::TransportAccept
            | Action::TransportReject => false,
        };
        match (lost, tie, action) {
            (false, _, _) => Change::only(Due::Nothing),
            // XEP-0166 §7.2.16: the XMPP side's own request counts, and comes; then the SIP side tries again.
            (true, true, _) => {
                self.forget_asked();
                Change { say: self.take_back(), sip: Due::Glare }
            }
            (true, false, Action::ContentAdd) => {
                self.forget_asked();
                self.look()
            }
            (true, false, _) => Change { say: self.take_back(), sip: Due::Refuse },
        }
    }

    /// What the SIP side wanted to add is not in the session of the XMPP side.
    fn forget_asked(&mut self) {
        self.lines.iter_mut().filter(|line| line.awaits == Some(Awaits::Content)).for_each(Line::close);
    }

    /// Who does not know `<hold/>` is told who sends.
    fn hold_is_unknown(&mut self) -> Change {
        let mut say = Say::default();
        if self.hold_told && !self.hold_unknown {
            self.hold_unknown = true;
            self.tell_flow(&mut say);
        }
        Change { say: say.into_jingle(), sip: Due::Nothing }
    }

    /// A place for what the SIP side offers. What nobody takes has one, too, with the reason if it is one for the whole call.
    pub(super) fn new_line(&self, offer: &Sdp, media: &Media) -> (Line, Option<Refusal>) {
        let mid = names::mid_of(media);
        let name = names::name(&self.lines, mid.as_deref(), &media.kind);
        let mut scope = Scope::new(self.xmpp, super::scope::other(self.xmpp), name);
        scope.mid = mid;
        scope.protocol = Some(media.protocol.clone());
        let format = media.formats.first().cloned().unwrap_or(Str::const_new("0"));
        let mut line = Line::new(scope, media.kind.clone(), format, Stage::Closed);
        let there = self.lines.iter().filter(|line| line.is_there()).count();
        if names::is_refused(media) || !matches!(&*media.kind, "audio" | "video") || there >= MAX_CONTENTS {
            return (line, None);
        }
        match compare::read(offer, media, &line, false) {
            Ok(heard) => {
                (line.scope, line.sip, line.said) = (heard.scope, heard.flow, heard.flow);
                line.theirs = Some(kept(&heard.content));
                line.stage = Stage::Asked;
                line.awaits = Some(Awaits::Content);
                line.told = line.senders();
                (line, None)
            }
            Err(unfit) => (line, Some(unfit.refusal)),
        }
    }
}
