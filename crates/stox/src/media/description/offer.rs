//! Our offers: what the XMPP side wants changed, and what the SIP side says to it.

use super::compare;
use super::line::{Line, Stage};
use super::say::Say;
use super::value::Unfit;
use super::{Description, Phase, names};
use bodies::sdp::Sdp;
use xmpp::ext::jingle::{Condition, Content, Info, Jingle};

impl Description {
    /// Whether an offer is due, and none under way on either side.
    pub fn due(&self) -> bool {
        self.due && matches!(self.phase, Phase::Settled | Phase::Answered)
    }

    /// What we offer next. [`Description::settled`] or [`Description::refused`] says what has become of it.
    pub fn offer(&mut self) -> Sdp {
        self.phase = Phase::Offering;
        self.due = false;
        self.offered_from = self.agreed;
        self.agreed = self.lines.len();
        self.write(self.lines.len(), false)
    }

    /// Our offer was never made: one of theirs came first. It is due again.
    pub fn withdrawn(&mut self) {
        if matches!(self.phase, Phase::Offering) {
            self.phase = Phase::Settled;
            self.agreed = self.offered_from;
            self.due = true;
        }
    }

    /// The answer to a re-INVITE that has no offer: ours. What the ACK answers goes to [`Description::settled`].
    pub fn asked(&mut self) -> Sdp {
        self.offer()
    }

    /// The answer to our offer: what the XMPP side is told of it.
    ///
    /// # Errors
    /// Nothing can be agreed on any more: the call is over on both sides.
    pub fn settled(&mut self, answer: &Sdp) -> Result<Vec<Jingle>, Unfit> {
        let mut say = Say::default();
        self.phase = Phase::Settled;
        for index in 0..self.agreed.min(self.lines.len()) {
            let media = answer.media.get(index).filter(|media| !names::is_refused(media));
            let line = &mut self.lines[index];
            match (line.stage, media) {
                (Stage::Closed | Stage::Asked, None) => line.free = true,
                // It was taken back meanwhile.
                (Stage::Closed | Stage::Asked, Some(_)) => self.due = true,
                (Stage::Wanted, None) => {
                    say.rejected.push(line.stub());
                    line.close();
                    line.free = true;
                }
                (Stage::Open, None) => {
                    say.removed.push(line.stub());
                    line.close();
                    line.free = true;
                }
                (Stage::Wanted, Some(media)) => {
                    let heard = compare::read(answer, media, line, true)?;
                    match line.answered_by_sip(heard) {
                        Ok(()) => say_accepted(line, self.hold_unknown, &mut say),
                        // The SIP side believes in it, and is told otherwise.
                        Err(_) => {
                            say.rejected.push(line.stub());
                            line.close();
                            self.due = true;
                        }
                    }
                }
                (Stage::Open, Some(media)) => {
                    let heard = compare::read(answer, media, line, true)?;
                    let replaced = line.replaced.take().is_some();
                    line.compare(heard, false, &mut say)?;
                    if replaced {
                        say.replaced.retain(|content| content.name != line.scope.name);
                        let transport = line.theirs.as_ref().and_then(|theirs| theirs.transport.clone());
                        say.taken.extend(transport.map(|transport| line.name().with_transport(transport)));
                    }
                }
            }
        }
        if !self.lines.iter().any(Line::is_there) {
            return Err(Unfit::not_here(304, "Nothing is left", Condition::Success));
        }
        self.sip_groups = names::of_sdp(answer, &self.lines);
        say.add_groups(&self.sip_groups);
        self.tell_flow(&mut say);
        Ok(say.into_jingle())
    }

    /// Our offer came to nothing: what the XMPP side is told of it. What it wants of a direction it can have by itself.
    pub fn refused(&mut self) -> Vec<Jingle> {
        let mut say = Say::default();
        let offered = self.agreed;
        self.phase = Phase::Settled;
        self.agreed = self.offered_from;
        let mut index = 0;
        let known = self.agreed;
        self.lines.retain_mut(|line| {
            let here = index;
            index += 1;
            if here >= offered {
                return true;
            }
            if let Some(transport) = line.replaced.take() {
                say.not_taken.extend(line.ours.as_ref().map(|ours| {
                    let name = line.name();
                    ours.transport.iter().cloned().fold(name, Content::with_transport)
                }));
                if let Some(ours) = &mut line.ours {
                    ours.transport = Some(*transport);
                }
            }
            if line.stage == Stage::Wanted {
                say.rejected.push(line.stub());
                line.close();
            }
            here < known
        });
        // What was taken back may have been refused for what was to be added.
        let less = !say.rejected.is_empty() || !say.not_taken.is_empty();
        self.due |= self.lines.iter().any(|line| match line.stage {
            Stage::Wanted => true,
            Stage::Closed => less && !line.free,
            Stage::Open | Stage::Asked => false,
        });
        say.into_jingle()
    }

    /// Says who sends, where it is not what the XMPP side knows, and whether the SIP side listens at all.
    ///
    /// Whether the XMPP side sends is its own affair: Conversations ends a call in which a content-modify says so. That nobody listens is `<hold/>`,
    /// and content-modify only for who does not know that.
    pub(super) fn tell_flow(&mut self, say: &mut Say) {
        let listens = self.listens();
        for line in self.lines.iter_mut().filter(|line| line.stage == Stage::Open) {
            let senders = line.changed_senders(self.hold_unknown);
            if senders != line.told {
                line.told = senders;
                say.modified.push(line.name().with_senders(senders));
            }
        }
        self.tell_hold(listens, say);
    }

    /// Whether the SIP side listens to anything, and whether that is to be said apart; what is not sent says nothing of it.
    fn listens(&self) -> (bool, bool) {
        let open = || self.lines.iter().filter(|line| line.stage == Stage::Open);
        let sent = || open().filter(|line| line.wish.sends);
        let listens = if sent().next().is_some() { sent().any(|line| line.sip.receives) } else { !self.hold_told };
        (listens, open().any(|line| line.scope.direction(line.told).sends()))
    }

    /// Says that the call is on hold, or not any more.
    pub(super) fn tell_whether_it_listens(&mut self, say: &mut Say) {
        let listens = self.listens();
        self.tell_hold(listens, say);
    }

    fn tell_hold(&mut self, (listens, apart): (bool, bool), say: &mut Say) {
        let info = match (listens, self.hold_told) {
            (false, false) if apart => Info::Hold,
            (true, true) => Info::Unhold,
            (true | false, true | false) => return,
        };
        self.hold_told = !listens;
        if !self.hold_unknown {
            say.infos.push(info);
        }
    }
}

/// The SIP side has taken a content that the XMPP side has added. Who sends in it has to be what was said with it, or is to be said before.
fn say_accepted(line: &mut Line, all: bool, say: &mut Say) {
    let senders = line.changed_senders(all);
    if senders != line.told {
        line.told = senders;
        say.modified.push(line.name().with_senders(senders));
    }
    if let Some(theirs) = &line.theirs {
        say.accepted.push(theirs.as_ref().clone().with_senders(senders));
    }
}
