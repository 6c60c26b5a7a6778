//! The messages of XEP-0353: who is told what, and which of it servers keep.

use super::Why;
use base::{Str, format_compact};
use xml::Element;
use xmpp::ext::hints::{self, Hint};
use xmpp::ext::jingle::{Condition, Reason};
use xmpp::ext::jmi::Jmi;
use xmpp::jid::Jid;
use xmpp::ns;
use xmpp::stanza::Stanza;

/// A message to all devices of a user, by the bare address, or to one by a full address, of which the others get copies. XEP-0353 §3: of type `chat` and kept,
/// so that a device that comes later knows of the call, and that it was missed.
fn told(ours: &Jid, to: &Jid, said: &Jmi) -> Stanza {
    bare_message(ours, to, said).with_child(hints::store())
}

/// A message to one device alone: the others, one of which has the call, must not hear of it (XEP-0280 §9, XEP-0334), nor may a device that comes later.
fn told_alone(ours: &Jid, device: &Jid, said: &Jmi) -> Stanza {
    let private = Element::new(Str::const_new("private"), Str::const_new(ns::CARBONS));
    let message = bare_message(ours, device, said).with_child(private);
    message.with_child(Hint::NoCopy.to_element()).with_child(hints::no_store())
}

fn bare_message(ours: &Jid, to: &Jid, said: &Jmi) -> Stanza {
    let message = Stanza::message().with_type(Str::const_new("chat")).with_id(message_id(said));
    message.with_from(ours.clone()).with_to(to.clone()).with_child(said.to_element())
}

/// The name of the message that says this of a call. Each thing is said once to each device.
fn message_id(said: &Jmi) -> Str {
    format_compact!("{}-{}", said.name(), said.id())
}

/// The name of the message that proposes a call, by which an error to it is known.
pub(crate) fn propose_id(sid: &Str) -> Str {
    message_id(&Jmi::propose(sid.clone(), &[]))
}

/// To a user: a call for these kinds of media is proposed.
pub(crate) fn propose(ours: &Jid, user: &Jid, sid: &Str, media: &[&str]) -> Stanza {
    told(ours, &user.bare(), &Jmi::propose(sid.clone(), media))
}

/// To a device: the SIP user answers.
pub(crate) fn proceed(ours: &Jid, device: &Jid, sid: &Str) -> Stanza {
    told(ours, device, &Jmi::Proceed { id: sid.clone() })
}

/// The proposal is taken back: from a user, or from one device alone.
pub(crate) fn retract(ours: &Jid, to: &Jid, sid: &Str, why: Why) -> Stanza {
    let retract = Jmi::Retract { id: sid.clone(), reason: Some(why.to_reason()), tie_break: why == Why::TieBreak };
    if to.is_bare() { told(ours, to, &retract) } else { told_alone(ours, to, &retract) }
}

/// To a device: the SIP user does not take the call that it proposes.
pub(crate) fn reject(ours: &Jid, device: &Jid, sid: &Str, reason: Reason) -> Stanza {
    told(ours, device, &Jmi::Reject { id: sid.clone(), reason: Some(reason), tie_break: false })
}

/// To a device: the call that it proposes has crossed one of the SIP user's, which goes on (XEP-0353 §4.1).
pub(crate) fn reject_for_ours(ours: &Jid, device: &Jid, sid: &Str) -> Stanza {
    told(ours, device, &Jmi::Reject { id: sid.clone(), reason: Some(Why::TieBreak.to_reason()), tie_break: true })
}

/// To a device: the call is over.
pub(crate) fn finish(ours: &Jid, device: &Jid, sid: &Str, reason: &Reason) -> Stanza {
    told(ours, device, &Jmi::Finish { id: sid.clone(), reason: Some(reason.clone()), migrated: None })
}

/// To a device: the call is over, and goes on as another one (XEP-0353 §4.2).
pub(crate) fn migrated(ours: &Jid, device: &Jid, sid: &Str, to: &Str) -> Stanza {
    let reason = Reason::new(Condition::Expired).with_text("Session migrated");
    told(ours, device, &Jmi::Finish { id: sid.clone(), reason: Some(reason), migrated: Some(to.clone()) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_all_are_to_know_is_kept_and_what_one_is_to_know_is_not() {
        let jid = |text| Jid::parse(text).unwrap();
        let (ours, user, device) =
            (jid("romeo@example.net/1"), jid("juliet@example.com"), jid("juliet@example.com/phone"));
        let sid = Str::from("s");
        let hints = |stanza: &Stanza| -> Vec<Str> {
            assert_eq!(stanza.type_.as_deref(), Some("chat"));
            let unsaid = stanza.elements().filter(|e| e.ns != ns::JINGLE_MESSAGE);
            unsaid.map(|e| e.name.clone()).collect()
        };
        for (stanza, to, id) in [
            (propose(&ours, &device, &sid, &["audio"]), &user, "propose-s"),
            (retract(&ours, &user, &sid, Why::Cancelled), &user, "retract-s"),
            (proceed(&ours, &device, &sid), &device, "proceed-s"),
            (reject_for_ours(&ours, &device, &sid), &device, "reject-s"),
            (finish(&ours, &device, &sid, &Reason::new(Condition::Success)), &device, "finish-s"),
        ] {
            assert_eq!((stanza.to.as_ref(), stanza.id.as_deref()), (Some(to), Some(id)));
            assert_eq!(hints(&stanza), ["store"]);
        }
        assert_eq!(propose_id(&sid), "propose-s");
        let alone = retract(&ours, &device, &sid, Why::Elsewhere);
        assert_eq!(hints(&alone), ["private", "no-copy", "no-store"]);
        assert_eq!(Jmi::of(&alone).map(|said| said.id().clone()), Some(sid));
    }
}
