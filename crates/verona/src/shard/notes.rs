//! What a gateway has to say goes to the meters and into the log.

use crate::metrics::{Direction, Meters};
use std::time::Duration;
use stox::gateway::Note;
use stox::mapping::Side;

/// Logs how a trunk stands. What a registrar says of it is somebody else's word.
pub(super) fn tell_of_trunk(seen: &stox::trunk::Seen) {
    let seconds = |time: Option<Duration>| time.map(|time| time.as_secs());
    let (trunk, registered) = (seen.name.as_str(), seconds(seen.registered));
    match (&seen.trouble, seen.again) {
        (None, _) => tracing::info!(trunk, registered, "registered at a trunk"),
        (Some(why), Some(again)) => {
            tracing::warn!(trunk, registered, %why, again = again.as_secs(), "a trunk does not take our registration");
        }
        (Some(why), None) => {
            tracing::error!(trunk, registered, %why, "a trunk does not take our registration: it is not tried again");
        }
    }
}

pub(super) fn note_to(meters: &Meters, note: Note) {
    let away_from = |side| if side == Side::Sip { Direction::SipToXmpp } else { Direction::XmppToSip };
    let towards = |side| if side == Side::Sip { Direction::XmppToSip } else { Direction::SipToXmpp };
    match note {
        Note::Received { from } => meters.received(away_from(from)),
        Note::Delivered { to, micros } => meters.delivered(towards(to), Duration::from_micros(micros)),
        Note::Failed { by, code } => meters.failed(towards(by), code),
        // Who is refused is who sent.
        Note::Refused { refusal, towards: sender, message } => meters.refused(away_from(sender), refusal, message),
        Note::Ignored { why } => meters.ignored(why),
        Note::Presence { to } => meters.presence(towards(to)),
        // Who opens it is who sends.
        Note::SessionOpened { by, micros } => meters.session_opened(away_from(by), Duration::from_micros(micros)),
        Note::SessionFailed { by, code } => meters.session_failed(away_from(by), code),
        Note::SessionEnded { by, lost } => meters.session_ended(away_from(by), lost),
        Note::CallAnswered { by, micros } => meters.call_answered(away_from(by), Duration::from_micros(micros)),
        Note::CallFailed { by, reason } => meters.call_failed(away_from(by), reason),
        Note::CallEnded { by, reason, micros } => {
            meters.call_ended(away_from(by), reason, Duration::from_micros(micros));
        }
        Note::AnswerDropped => meters.answer_dropped(),
        Note::RecordBroken => meters.ignored("a record that cannot be read"),
    }
}
