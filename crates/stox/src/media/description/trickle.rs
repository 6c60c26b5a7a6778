//! Candidates after the descriptions that they belong to: transport-info (XEP-0176 §5.8) and INFO (RFC 8840).

use super::compare::{keep_candidates, same};
use super::line::{Line, Stage};
use super::{Description, names, s2x, x2s};
use bodies::sdp::fragment::Fragment;
use xmpp::ext::jingle::{Action, Candidate, Content, Ice, Jingle, Transport};

impl Description {
    /// All that is known of where the XMPP side can be reached, for an INFO: RFC 8840 §4.4 repeats what was said before. None where the SIP
    /// side has no names for its media descriptions, or there is no ICE.
    pub fn trickle(&self) -> Option<Fragment> {
        let mut fragment = Fragment::default();
        for line in self.lines.iter().filter(|line| matches!(line.stage, Stage::Open | Stage::Wanted)) {
            // A half that the SIP side does not know is told by an offer.
            let Some(ice) = line.ice().filter(|_| line.is_shown()) else { continue };
            // What shares a transport with one before has nothing to add.
            let earlier = |other: &&Line| names::are_bundled(&self.xmpp_groups, &other.scope.name, &line.scope.name);
            let first = self.lines.iter().find(earlier).is_none_or(|first| std::ptr::eq(first, line));
            if !first && ice.candidates.is_empty() {
                continue;
            }
            let mut media = Fragment::section(line.scope.mid.as_deref()?)?;
            media.attributes.extend(x2s::transport(ice));
            fragment.media.push(media);
        }
        Some(fragment).filter(|fragment| !fragment.media.is_empty())
    }

    /// The SIP side takes no INFO: where it was told of no place at all, the first ones that there are make an offer due.
    pub fn late(&mut self) {
        let late = |line: &Line| {
            let somewhere = line.ice().is_some_and(|ice| !ice.candidates.is_empty());
            line.stage == Stage::Open && line.is_shown() && line.shown_nowhere && somewhere
        };
        self.due |= self.lines.iter().any(late);
    }

    /// An INFO with candidates of the SIP side: a transport-info with those that are new.
    pub fn fragment(&mut self, fragment: &Fragment) -> Option<Jingle> {
        let mut contents: Vec<Content> = Vec::new();
        for media in &fragment.media {
            let mid = names::mid_of(media)?;
            let is = |line: &&mut Line| line.is_there() && line.scope.mid.as_ref() == Some(&mid);
            let Some(line) = self.lines.iter_mut().find(is) else { continue };
            let Some(said) = s2x::transport(fragment, media, &mut line.scope) else { continue };
            let name = line.name();
            let Some(Transport::Ice(known)) = line.theirs.as_mut().and_then(|theirs| theirs.transport.as_mut()) else {
                continue;
            };
            let new = said.candidates.into_iter().filter(|new| !known.candidates.iter().any(|there| same(there, new)));
            let candidates: Vec<Candidate> = new.collect();
            let gathering_complete = said.gathering_complete && !known.gathering_complete;
            if candidates.is_empty() && !gathering_complete {
                continue;
            }
            let news = Ice {
                form: known.form,
                ufrag: known.ufrag.clone(),
                pwd: known.pwd.clone(),
                candidates: candidates.clone(),
                gathering_complete,
                ..Ice::default()
            };
            keep_candidates(known, candidates);
            known.gathering_complete |= gathering_complete;
            contents.push(name.with_transport(Transport::Ice(Box::new(news))));
        }
        let jingle = Jingle { contents, ..Jingle::new(Action::TransportInfo, "") };
        Some(jingle).filter(|jingle| !jingle.contents.is_empty())
    }
}
