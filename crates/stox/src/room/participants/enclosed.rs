//! What is said to all is enclosed once. Each SIP user in a room gets a stanza of his own, one behind the other, and all of them the same body.

use crate::content::departing::Text;
use crate::error::Refusal;
use crate::leg::negotiate::Accept;
use crate::room::content::{self, Party};
use base::{Str, Time, Tokens};
use bodies::Timestamp;
use bytes::Bytes;
use std::time::Duration;
use xmpp::jid::Jid;

/// How long a body serves: it says when the first copy came.
const FRESH: Duration = Duration::from_secs(1);

/// A body as a session carries it.
#[derive(Debug, Clone)]
pub(super) struct Enclosed {
    pub(super) content_type: Str,
    pub(super) body: Bytes,
}

/// What is to be enclosed.
#[derive(Debug, Clone, Copy)]
pub(super) struct Words<'a> {
    pub(super) text: &'a Text,
    /// Who says it, and what he is called.
    pub(super) from: Party<'a>,
    pub(super) to: &'a Jid,
    /// When it was said, where that was not now.
    pub(super) said: Option<Timestamp>,
    /// The stanza's id, where it is for all.
    pub(super) id: Option<&'a str>,
}

/// The body that was made last for all.
#[derive(Debug, Default)]
pub(super) struct Last(Option<Made>);

#[derive(Debug)]
struct Made {
    id: Str,
    from: Jid,
    to: Jid,
    text: Text,
    said: Option<Timestamp>,
    /// Whether it is for somebody who takes alternatives.
    alternatives: bool,
    at: Time,
    enclosed: Enclosed,
}

impl Made {
    /// Whether these are the same words, of the same, at the same time.
    fn is(&self, words: Words<'_>, alternatives: bool, now: Time) -> bool {
        words.id == Some(&*self.id)
            && *words.from.jid == self.from
            && *words.to == self.to
            && words.said == self.said
            && *words.text == self.text
            && self.alternatives == alternatives
            && now.since(self.at) < FRESH
    }
}

impl Last {
    /// The body for somebody who takes this: the one that was made for another, if it is the same.
    ///
    /// # Errors
    /// Those of [`content::enclose`].
    pub(super) fn enclose(
        &mut self,
        words: Words<'_>,
        wall: Option<Timestamp>,
        now: Time,
        accept: &Accept,
        tokens: &mut Tokens,
    ) -> Result<Enclosed, Refusal> {
        let several = words.text.bodies.len() > 1 || words.text.html.is_some();
        let alternatives = several && accept.wraps("multipart/alternative");
        if let Some(made) = self.0.as_ref().filter(|made| made.is(words, alternatives, now)) {
            return Ok(made.enclosed.clone());
        }
        let to = Party { name: None, jid: words.to };
        let payload = content::enclose(words.text, words.from, to, words.said.or(wall), accept, tokens)?;
        let enclosed = Enclosed { content_type: payload.content_type.into(), body: payload.body.into() };
        if let Some(id) = words.id {
            self.0 = Some(Made {
                id: Str::from(id),
                from: words.from.jid.clone(),
                to: words.to.clone(),
                text: words.text.clone(),
                said: words.said,
                alternatives,
                at: now,
                enclosed: enclosed.clone(),
            });
        }
        Ok(enclosed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What the last of these gets when these are enclosed one after another, and whether it is the body of the first.
    fn again(change: impl Fn(&mut (Text, Jid, Option<&'static str>, Time))) -> bool {
        let text = |words: &str| content::words(words.to_owned());
        let (accept, mut tokens, mut last) = (Accept::default(), Tokens::seeded(1), Last::default());
        let nick = |nick: &str| Jid::parse(&format!("room@rooms.example.com/{nick}")).unwrap();
        let mut what = (text("hello"), nick("a"), Some("1"), Time::from_micros(5_000_000));
        let mut enclose = |(text, from, id, now): &(Text, Jid, Option<&'static str>, Time)| {
            let room = from.bare();
            let from = Party { name: from.resource(), jid: from };
            let words = Words { text, from, to: &room, said: None, id: *id };
            last.enclose(words, None, *now, &accept, &mut tokens).unwrap().body
        };
        let first = enclose(&what);
        change(&mut what);
        let second = enclose(&what);
        assert!(std::str::from_utf8(&second).unwrap().ends_with(&what.0.bodies[0].1));
        first.as_ptr() == second.as_ptr()
    }

    #[test]
    fn one_body_serves_all_who_hear_the_same() {
        assert!(again(|_| {}));
        assert!(again(|what| what.3 = Time::from_micros(5_900_000)));
        assert!(!again(|what| what.3 = Time::from_micros(6_000_000)), "what is said again is said later");
        assert!(!again(|what| what.2 = Some("2")));
        assert!(!again(|what| what.2 = None));
        assert!(!again(|what| what.0.bodies[0].1 = "Hello".to_owned()));
        assert!(!again(|what| what.1 = what.1.bare().with_resource("b").unwrap()));
        assert!(!again(|what| what.1 = Jid::parse("other@rooms.example.com/a").unwrap()));
    }
}
