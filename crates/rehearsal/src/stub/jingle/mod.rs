//! Jingle clients: devices of XMPP users that propose, ring, accept, reject, hold and trickle, and keep the books of their calls. They know no
//! clock and no socket, so that they live in a simulated world as well as on a stream.

mod device;
mod house;
mod media;
mod requests;
#[cfg(test)]
mod tests;

pub use device::Device;
pub use house::House;
pub use media::fingerprint_of;

use base::Str;
use std::time::Duration;
use xmpp::ext::jingle::{Condition, Content, Creator, Info, Senders};
use xmpp::jid::Jid;

/// What a device does with a call that comes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Answer {
    /// Its user takes it.
    Take,
    /// Its user, or the device itself, refuses it.
    Refuse(Condition),
    /// It rings, and nobody comes.
    Ring,
    /// It says nothing at all, not even that it has heard.
    Nothing,
}

/// How a device behaves.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Manners {
    /// It speaks XEP-0353.
    pub jmi: bool,
    /// It has a camera, and takes video.
    pub video: bool,
    /// What it does with a call that comes.
    pub answer: Answer,
    /// How long it rings before that.
    pub rings_for: Duration,
    /// Its candidates come one by one, each so long after what was before it; None: all of them with the description.
    pub trickle: Option<Duration>,
}

impl Default for Manners {
    fn default() -> Self {
        Manners {
            jmi: true,
            video: true,
            answer: Answer::Take,
            rings_for: Duration::from_secs(3),
            trickle: Some(Duration::from_millis(100)),
        }
    }
}

/// What a call is at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// We have proposed it.
    Proposed,
    /// It was proposed to us, and we ring.
    Asked,
    /// We have said that we take it, and wait for the session.
    Proceeding,
    /// We have sent the session-initiate.
    Initiated,
    /// The session-initiate has come, and we ring.
    Offered,
    /// The two talk.
    Active,
    /// It is over.
    Ended,
}

/// A call, as a device has it.
#[derive(Debug, Clone)]
pub struct Call {
    /// The other side: its device as soon as that is known.
    pub peer: Jid,
    /// Whether we have begun it.
    pub ours: bool,
    /// What it is at.
    pub state: State,
    /// Whether it began with a proposal (XEP-0353).
    pub by_jmi: bool,
    /// What it carries.
    pub streams: Vec<Stream>,
    /// The other side does not listen.
    pub held: bool,
    /// The other side rings.
    pub rings: bool,
    /// What else the other side has told, in order: tones, transfers.
    pub told: Vec<Info>,
    /// Why it is over, if that was said.
    pub why: Option<Condition>,
    /// How often something of it was refused by the other side.
    pub refusals: u32,
    /// What was proposed.
    media: Vec<Str>,
    /// How many candidates of ours are still to be told, of each stream.
    untold: u8,
}

/// What a call carries.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stream {
    /// Who has made it.
    pub creator: Creator,
    /// Its name.
    pub name: Str,
    /// `audio` or `video`.
    pub media: Str,
    /// Who sends.
    pub senders: Senders,
    /// The fingerprint of the other side's key.
    pub fingerprint: Option<Str>,
    /// How many candidates of the other side are known.
    pub candidates: usize,
    /// Both sides want it.
    pub accepted: bool,
    /// What we have said of it.
    said: Content,
}

impl Call {
    /// Whether the two talk.
    pub fn is_active(&self) -> bool {
        self.state == State::Active
    }

    /// Whether it is over.
    pub fn is_over(&self) -> bool {
        self.state == State::Ended
    }

    /// The stream of that kind, if both want it.
    pub fn stream(&self, media: &str) -> Option<&Stream> {
        self.streams.iter().find(|stream| stream.accepted && stream.media == media)
    }
}
