//! XEP-0410: MUC Self-Ping: whether one is still in a room.

use super::ping::Ping;
use crate::error::{Condition, ErrorType, StanzaError};
use crate::jid::Jid;
use crate::stanza::{Kind, Stanza};
use base::Str;

/// What the answer to a self-ping says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Standing {
    /// Still in the room.
    Joined,
    /// Not in it any more, as far as can be told: to be joined anew.
    Out,
    /// The room cannot be reached for now: as if no answer had come.
    Unknown,
}

/// The question of `me`, who was last known as `occupant` in a room.
pub fn request(me: Jid, occupant: Jid, id: impl Into<Str>) -> Stanza {
    Stanza::iq("get").with_from(me).with_to(occupant).with_id(id).with_child(Ping.to_element())
}

/// What an answer says (§3.2). None if it is no answer at all.
pub fn standing(answer: &Stanza) -> Option<Standing> {
    if answer.kind != Kind::Iq {
        return None;
    }
    let Some(error) = StanzaError::from_stanza(answer) else {
        return (answer.type_.as_deref() == Some("result")).then_some(Standing::Joined);
    };
    // Rooms and clients refuse for good. What asks for patience comes from a server that does not reach the room: some say
    // service-unavailable then, which from the room would mean that somebody is there who knows no pings.
    if error.kind == ErrorType::Wait {
        return Some(Standing::Unknown);
    }
    Some(match error.condition {
        Condition::ServiceUnavailable | Condition::FeatureNotImplemented | Condition::ItemNotFound => Standing::Joined,
        Condition::RemoteServerNotFound | Condition::RemoteServerTimeout => Standing::Unknown,
        Condition::BadRequest
        | Condition::Conflict
        | Condition::Forbidden
        | Condition::Gone
        | Condition::InternalServerError
        | Condition::JidMalformed
        | Condition::NotAcceptable
        | Condition::NotAllowed
        | Condition::NotAuthorized
        | Condition::PolicyViolation
        | Condition::RecipientUnavailable
        | Condition::Redirect
        | Condition::RegistrationRequired
        | Condition::ResourceConstraint
        | Condition::SubscriptionRequired
        | Condition::UndefinedCondition
        | Condition::UnexpectedRequest => Standing::Out,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_answers_say() {
        let jid = |s| Jid::parse(s).expect("an address");
        let asked = request(jid("juliet@capulet.lit/client"), jid("room@chat.shakespeare.lit/JuliC"), "s2c1");
        assert_eq!(asked.elements().filter_map(Ping::parse).count(), 1);
        assert_eq!(standing(&asked), None);
        assert_eq!(standing(&asked.result(None)), Some(Standing::Joined));
        let refused = |kind, condition| {
            let error = StanzaError { kind, ..StanzaError::new(condition) };
            standing(&asked.error(&error).expect("an answer"))
        };
        use Condition as C;
        for (condition, expected) in [
            (C::ServiceUnavailable, Standing::Joined),
            (C::FeatureNotImplemented, Standing::Joined),
            (C::ItemNotFound, Standing::Joined),
            (C::RemoteServerNotFound, Standing::Unknown),
            (C::RemoteServerTimeout, Standing::Unknown),
            (C::NotAcceptable, Standing::Out),
            (C::NotAllowed, Standing::Out),
            (C::BadRequest, Standing::Out),
            (C::UndefinedCondition, Standing::Out),
        ] {
            assert_eq!(refused(ErrorType::Cancel, condition), Some(expected), "{condition}");
            assert_eq!(refused(ErrorType::Wait, condition), Some(Standing::Unknown), "{condition}");
        }
        let bare = Stanza::message().with_type("error");
        assert_eq!(standing(&bare), None);
        assert_eq!(standing(&Stanza::iq("error")), Some(Standing::Out));
    }
}
