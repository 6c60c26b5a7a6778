//! What the XMPP side has said, as SDP.

use super::compare::{common, payloads_mut, set_role};
use super::line::{Line, Stage};
use super::{Description, names, x2s};
use base::HashKey;
use bodies::sdp::rtp::Value as _;
use bodies::sdp::{Address, Media, Sdp, Setup};
use xmpp::ext::jingle::{Content, Description as About};

impl Description {
    /// The first `count` lines, as an offer or as the answer to theirs. The version counts what differs (RFC 3264 §8).
    pub(super) fn write(&mut self, count: usize, answer: bool) -> Sdp {
        let mut sdp = Sdp::new(self.origin.clone().with_version(0));
        let count = count.min(self.lines.len());
        for line in &mut self.lines[..count] {
            let flow = line.flow(self.held);
            line.shown = if answer { flow.and(line.said.reversed()) } else { flow };
            line.shown_ice = line.ice().map(|ice| (ice.ufrag.clone(), ice.pwd.clone()));
            line.shown_nowhere = line.ice().is_some_and(|ice| ice.candidates.is_empty());
        }
        let lines = &self.lines[..count];
        let media: Vec<Media> = lines.iter().map(|line| self.media(line, answer)).collect();
        let there: Vec<&Line> =
            lines.iter().zip(&media).filter(|(_, media)| media.port != 0).map(|(line, _)| line).collect();
        for mut group in names::to_sdp(&self.xmpp_groups, &there) {
            // RFC 5888 §9.2: an answer groups only what the offer has grouped.
            let offered = self.sip_groups.iter().find(|offered| offered.semantics == group.semantics);
            if answer {
                let name = |mid: &base::Str| there.iter().find(|line| line.scope.mid.as_ref() == Some(mid));
                let was = |mid: &base::Str| {
                    name(mid)
                        .is_some_and(|line| offered.is_some_and(|offered| offered.contents.contains(&line.scope.name)))
                };
                group.mids.retain(was);
            }
            sdp.attributes
                .extend(Some(group).filter(|group| !group.mids.is_empty()).and_then(|group| group.attribute()));
        }
        // A place that nobody takes has no address of its own.
        if media.iter().any(|media| media.connections.is_empty()) {
            let first = media.iter().find_map(|media| media.connections.first());
            sdp.connection = Some(first.cloned().unwrap_or_else(|| nowhere(&self.origin)));
        }
        sdp.media = media;
        self.share(&mut sdp);
        // It stays for as long as they talk, and is 2 KiB of a browser's. The key is no secret: who makes two descriptions of one fingerprint is not understood.
        let written = HashKey::new(0, 0).fingerprint(&[&sdp.to_bytes()]);
        if self.written != Some(written) {
            self.version += 1;
            self.written = Some(written);
        }
        sdp.origin = self.origin.clone().with_version(self.version);
        sdp
    }

    fn media(&self, line: &Line, answer: bool) -> Media {
        let Some(ours) = line.ours.as_deref().filter(|_| matches!(line.stage, Stage::Wanted | Stage::Open)) else {
            return line.refused();
        };
        let mut content = ours.clone();
        if answer {
            let theirs = line.theirs.as_ref().and_then(|theirs| theirs.rtp());
            if let Some((own, theirs)) = payloads_mut(&mut content).zip(theirs) {
                *own = common(own, &theirs.payloads);
            }
        }
        content.senders = Some(line.scope.senders(line.shown.direction()));
        match line.role {
            // RFC 8842 §5.3: nobody who has a role is asked for another one.
            Some(role) => set_role(&mut content, role),
            None if answer => set_role(&mut content, Setup::Active),
            None => {}
        }
        if self.is_bundled(line) {
            mux(&mut content);
        }
        let mut scope = line.scope.clone();
        scope.answer = answer;
        x2s::media(&content, &scope).unwrap_or_else(|_| line.refused())
    }

    fn is_bundled(&self, line: &Line) -> bool {
        let has = |group: &xmpp::ext::jingle::Group| {
            group.semantics == names::BUNDLE && group.contents.contains(&line.scope.name) && group.contents.len() > 1
        };
        self.xmpp_groups.iter().any(has)
    }

    /// What shares a transport goes where the first of them goes (RFC 9143 §7.3), if it names no place of its own.
    fn share(&self, sdp: &mut Sdp) {
        for index in 0..sdp.media.len() {
            let nowhere = |media: &Media| media.port == 9 && !media.attributes.has("candidate");
            let name = |index: usize| self.lines.get(index).map_or("", |line| &line.scope.name);
            if !nowhere(&sdp.media[index]) {
                continue;
            }
            let first = (0..sdp.media.len()).find(|first| {
                let media = &sdp.media[*first];
                media.port > 0 && !nowhere(media) && names::are_bundled(&self.xmpp_groups, name(*first), name(index))
            });
            if let Some(first) = first {
                let (port, connections) = (sdp.media[first].port, sdp.media[first].connections.clone());
                (sdp.media[index].port, sdp.media[index].connections) = (port, connections);
            }
        }
    }
}

/// XEP-0167 §7: who groups contents lets RTP and RTCP share a port.
fn mux(content: &mut Content) {
    match &mut content.description {
        Some(About::Rtp(rtp)) => rtp.rtcp_mux = true,
        Some(About::Other(_)) | None => {}
    }
}

/// An address for a description in which nothing is left.
fn nowhere(origin: &bodies::sdp::Origin) -> Address {
    origin.address().clone()
}
