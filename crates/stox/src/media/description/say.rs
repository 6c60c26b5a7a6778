//! What is said to the XMPP side, a list for each action.

use super::names::are_bundled;
use xmpp::ext::jingle::{Action, Content, Group, Info, Jingle};

/// What is said to the XMPP side. The session and the addresses are for others to fill in.
#[derive(Debug, Clone, Default)]
pub(super) struct Say {
    pub(super) removed: Vec<Content>,
    pub(super) rejected: Vec<Content>,
    pub(super) modified: Vec<Content>,
    pub(super) accepted: Vec<Content>,
    pub(super) added: Vec<Content>,
    /// Of contents that are accepted or added.
    pub(super) groups: Vec<Group>,
    pub(super) taken: Vec<Content>,
    pub(super) not_taken: Vec<Content>,
    pub(super) replaced: Vec<Content>,
    /// ICE was started anew: with the new half, by name.
    pub(super) restarted: Vec<Content>,
    pub(super) candidates: Vec<Content>,
    pub(super) described: Vec<Content>,
    pub(super) infos: Vec<Info>,
}

impl Say {
    /// The actions: what makes room before what takes it, and what the other side has asked for before what it is asked.
    pub(super) fn into_jingle(self) -> Vec<Jingle> {
        let Say { removed, rejected, modified, accepted, added, groups, taken, not_taken, replaced, .. } = self;
        let mut all = Vec::new();
        let mut push = |action: Action, contents: Vec<Content>| {
            if !contents.is_empty() {
                let with_groups = matches!(action, Action::ContentAccept | Action::ContentAdd);
                let mut jingle = Jingle { contents, ..Jingle::new(action, "") };
                if with_groups {
                    jingle.groups.clone_from(&groups);
                }
                all.push(jingle);
            }
        };
        push(Action::ContentRemove, removed);
        push(Action::ContentReject, rejected);
        push(Action::ContentModify, modified);
        push(Action::ContentAccept, accepted);
        push(Action::TransportAccept, taken);
        push(Action::TransportReject, not_taken);
        push(Action::TransportReplace, replaced);
        push(Action::ContentAdd, added);
        by_transport(self.restarted).into_iter().for_each(|contents| push(Action::TransportInfo, contents));
        push(Action::TransportInfo, self.candidates);
        push(Action::DescriptionInfo, self.described);
        all.extend(self.infos.into_iter().map(|info| Jingle::info("", info)));
        all
    }

    /// What has to be said before the SIP side's offer can be answered; the rest is left for when it is.
    pub(super) fn take_questions(&mut self) -> Say {
        let take = std::mem::take::<Vec<Content>>;
        // Candidates of a half that is new follow it.
        let (of_new, of_old) = take(&mut self.candidates)
            .into_iter()
            .partition(|content| self.restarted.iter().any(|new| new.name == content.name));
        self.candidates = of_old;
        Say {
            added: take(&mut self.added),
            groups: self.groups.clone(),
            replaced: take(&mut self.replaced),
            restarted: take(&mut self.restarted),
            candidates: of_new,
            ..Say::default()
        }
    }

    /// Only groups that have something to do with these contents are said with them.
    pub(super) fn add_groups(&mut self, groups: &[Group]) {
        let of = |content: &Content| groups.iter().any(|group| group.contents.contains(&content.name));
        if self.added.iter().chain(&self.accepted).any(of) {
            self.groups = groups.to_vec();
        }
    }
}

/// Contents that share a transport start it anew together: some programs want one half in one request.
fn by_transport(contents: Vec<Content>) -> Vec<Vec<Content>> {
    let mut all: Vec<Vec<Content>> = Vec::new();
    for content in contents {
        let same = |there: &&mut Vec<Content>| {
            let first = there.first().and_then(Content::ice);
            first.zip(content.ice()).is_some_and(|(a, b)| (&a.ufrag, &a.pwd) == (&b.ufrag, &b.pwd))
        };
        match all.iter_mut().find(same) {
            Some(there) => there.push(content),
            None => all.push(vec![content]),
        }
    }
    all
}

/// The names of what shares a transport with a content, itself among them.
pub(super) fn mates<'a>(groups: &'a [Group], name: &'a str) -> impl Fn(&str) -> bool + 'a {
    move |other| other == name || are_bundled(groups, name, other)
}
