//! Event and Subscription-State: RFC 6665 §8.2.

use crate::header::params::Params;
use crate::lex::{self, Cursor, Syntax};
use base::Str;
use std::fmt;

/// An Event value.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Event {
    /// The package with its templates: `presence`, `presence.winfo`. As it came: packages are compared by case
    /// (RFC 6665 §7.2.1).
    pub package: Str,
    /// `id` and others.
    pub params: Params,
}

impl Event {
    /// Reads `event-type *( SEMI event-param )`.
    pub fn parse(text: &str) -> Result<Event, Syntax> {
        let (package, params) = read(text)?;
        if package.split('.').any(str::is_empty) {
            return Err(Syntax("event package"));
        }
        Ok(Event { package, params })
    }

    /// Tells two subscriptions of one dialog apart.
    pub fn id(&self) -> Option<&str> {
        self.params.get("id")
    }
}

impl fmt::Display for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", self.package, self.params)
    }
}

/// A Subscription-State value.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct SubscriptionState {
    /// `active`, `pending`, `terminated` or another token, in lower case.
    pub state: Str,
    /// `reason`, `expires`, `retry-after`.
    pub params: Params,
}

impl SubscriptionState {
    /// Reads `substate-value *( SEMI subexp-params )`.
    pub fn parse(text: &str) -> Result<SubscriptionState, Syntax> {
        let (mut state, params) = read(text)?;
        state.make_ascii_lowercase();
        for name in ["expires", "retry-after"] {
            if params.get(name).is_some_and(|value| lex::number(value, u64::from(u32::MAX)).is_none()) {
                return Err(Syntax("seconds"));
            }
        }
        Ok(SubscriptionState { state, params })
    }

    /// Seconds that are left.
    pub fn expires(&self) -> Option<u32> {
        self.seconds("expires")
    }

    /// Seconds to wait before the next subscription.
    pub fn retry_after(&self) -> Option<u32> {
        self.seconds("retry-after")
    }

    /// Why it is terminated.
    pub fn reason(&self) -> Option<&str> {
        self.params.get("reason")
    }

    fn seconds(&self, name: &str) -> Option<u32> {
        u32::try_from(lex::number(self.params.get(name)?, u64::from(u32::MAX))?).ok()
    }
}

impl fmt::Display for SubscriptionState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", self.state, self.params)
    }
}

/// `token *( SEMI generic-param )`.
pub(super) fn read(text: &str) -> Result<(Str, Params), Syntax> {
    let mut cursor = Cursor::new(text);
    cursor.skip_ws();
    let name = Str::new(cursor.token().ok_or(Syntax("token"))?);
    let params = Params::read(&mut cursor)?;
    if cursor.is_done() { Ok((name, params)) } else { Err(Syntax("garbage behind a token")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_is_a_package_and_an_id() {
        let event = Event::parse("presence.winfo ; id=4").expect("an event");
        assert_eq!(
            (event.package.as_str(), event.id(), event.to_string()),
            ("presence.winfo", Some("4"), "presence.winfo;id=4".to_owned())
        );
        for text in ["", ".", "presence.", "a b", "presence;", "presence,dialog"] {
            assert!(Event::parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_state_counts_seconds() {
        let state = SubscriptionState::parse("Terminated;reason=timeout;retry-after=60").expect("a state");
        assert_eq!(
            (state.state.as_str(), state.reason(), state.retry_after(), state.expires()),
            ("terminated", Some("timeout"), Some(60), None)
        );
        assert!(SubscriptionState::parse("active;expires=4294967296").is_err());
        assert!(SubscriptionState::parse("active;expires=-1").is_err());
    }
}
