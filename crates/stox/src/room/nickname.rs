//! Nicknames (RFC 8266), which RFC 7702 §5.4 and §6.3 carry between a MUC's resourceparts and MSRP's NICKNAME.

use base::{Str, format_compact};
use precis_profiles::Nickname as Profile;
use precis_profiles::precis_core::profile::Rules;
use std::fmt;
use xmpp::jid::{Jid, JidError, MAX_PART};

/// The most octets of a nickname, as it has to be the resource of an occupant's address (RFC 7622 §3.4).
pub const MAX_OCTETS: usize = MAX_PART;

/// What somebody is called for whom nothing better can be said.
const NOBODY: &str = "guest";

/// A nickname as RFC 8266 §2.3 enforces it, which is also the resource of an address as RFC 7622 §3.4 does. Equal ones are the same to the
/// octet; whether two would be taken for each other is [`Nickname::resembles`].
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Nickname(Str);

/// Why a text is no nickname.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Unfit {
    /// Nothing is left of it but white space.
    Empty,
    /// It has more than [`MAX_OCTETS`].
    TooLong,
    /// Something in it is none of PRECIS' FreeformClass, or it never comes to rest under the rules.
    Forbidden,
}

impl fmt::Display for Unfit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Unfit::Empty => "an empty nickname",
            Unfit::TooLong => "a nickname that is too long",
            Unfit::Forbidden => "a nickname with characters that none may have",
        })
    }
}

impl std::error::Error for Unfit {}

impl Nickname {
    /// Enforces the profile: spaces of every kind become one, those around it go, and compatible characters become one (NFKC).
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn parse(text: &str) -> Result<Nickname, Unfit> {
        if text.is_ascii() {
            // As below, in short.
            if text.bytes().any(|b| b.is_ascii_control()) {
                return Err(Unfit::Forbidden);
            }
            return bounded(spaced(text));
        }
        // RFC 8266 §2.2: each character belongs to the FreeformClass. That is the class of resources, too, whose preparation also knows
        // the Unicode of today.
        resource(text)?;
        let now = settle(text, |text| {
            let text = Profile::new().additional_mapping_rule(text).ok()?;
            Some(Profile::new().normalization_rule(text).ok()?.into_owned())
        })?;
        let Nickname(nick) = bounded(now.into())?;
        // What NFKC made of it has to be one still.
        match resource(&nick)? {
            same if same == nick => Ok(Nickname(nick)),
            _ => Err(Unfit::Forbidden),
        }
    }

    /// What a SIP user is called who asks for no name himself: by his display name, else by the user part of his address (decoded), else
    /// by what of that a nickname may have.
    pub fn of_user(display_name: Option<&str>, user: &str) -> Nickname {
        let given = display_name.and_then(|name| Nickname::parse(name).ok());
        given.or_else(|| Nickname::parse(user).ok()).unwrap_or_else(|| {
            let legible: String =
                user.chars().filter(|c| Nickname::parse(c.encode_utf8(&mut [0; 4])).is_ok()).collect();
            Nickname::parse(cut(&legible, MAX_OCTETS)).unwrap_or(Nickname(Str::const_new(NOBODY)))
        })
    }

    /// The nickname.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// What two nicknames have in common that would be taken for each other (RFC 8266 §2.4): for use as a key.
    pub fn key(&self) -> Str {
        if self.0.is_ascii() {
            let mut key = self.0.clone();
            key.make_ascii_lowercase();
            return key;
        }
        let lower = settle(&self.0, |text| {
            let text = Profile::new().additional_mapping_rule(text).ok()?;
            let text = Profile::new().case_mapping_rule(text).ok()?;
            Some(Profile::new().normalization_rule(text).ok()?.into_owned())
        });
        // What never comes to rest resembles only itself.
        lower.map_or_else(|_| self.0.clone(), Str::from)
    }

    /// Whether people would take the two for one.
    pub fn resembles(&self, other: &Nickname) -> bool {
        self == other || self.key() == other.key()
    }

    /// The `n`th nickname of those who all would have this one: itself, then "Romeo (2)", "Romeo (3)", cut where that would be too long. One
    /// that ends so already is counted on from what stands before the number.
    #[must_use]
    pub fn variant(&self, n: u32) -> Nickname {
        if n < 2 {
            return self.clone();
        }
        let stem = match self.0.strip_suffix(')').and_then(|rest| rest.rsplit_once(" (")) {
            Some((stem, number)) if is_count(number) => stem,
            Some(_) | None => &self.0,
        };
        let end = format_compact!(" ({n})");
        Nickname(format_compact!("{}{end}", cut(stem, MAX_OCTETS - end.len()).trim_end_matches(' ')))
    }

    /// The first of the variants from `self` to the `most`th that nobody has: `taken` says whether somebody in the room has it, or one that it
    /// [resembles](Nickname::resembles). None: all are taken.
    pub fn free(&self, most: u32, mut taken: impl FnMut(&Nickname) -> bool) -> Option<Nickname> {
        (1..=most).map(|n| self.variant(n)).find(|nick| !taken(nick))
    }
}

impl fmt::Display for Nickname {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Whether [`Nickname::variant`] could have put it between the brackets.
fn is_count(number: &str) -> bool {
    !number.starts_with('0') && number.len() < 10 && number.parse().is_ok_and(|n: u32| n > 1)
}

/// RFC 8266 §2.1 rule 2 for ASCII.
fn spaced(text: &str) -> Str {
    let mut out = Str::with_capacity(text.len());
    for word in text.split(' ').filter(|word| !word.is_empty()) {
        if !out.is_empty() {
            out.push(' ');
        }
        out.push_str(word);
    }
    out
}

fn bounded(nick: Str) -> Result<Nickname, Unfit> {
    match nick.len() {
        0 => Err(Unfit::Empty),
        n if n > MAX_OCTETS => Err(Unfit::TooLong),
        _ => Ok(Nickname(nick)),
    }
}

/// The resource that `text` is (RFC 7622 §3.4).
fn resource(text: &str) -> Result<Str, Unfit> {
    match Jid::new(None, "localhost", Some(text)) {
        Ok(jid) => Ok(jid.resource().unwrap_or_default().into()),
        Err(JidError::Empty(_)) => Err(Unfit::Empty),
        Err(JidError::TooLong(_)) => Err(Unfit::TooLong),
        Err(JidError::Forbidden(..) | JidError::Directionality(_) | JidError::Unstable(_) | JidError::BadDomain(_)) => {
            Err(Unfit::Forbidden)
        }
    }
}

/// RFC 8266 §2.1: applies `rules` until nothing changes any more, at most three times over.
fn settle(text: &str, rules: impl Fn(String) -> Option<String>) -> Result<String, Unfit> {
    let mut now = rules(text.to_owned()).ok_or(Unfit::Forbidden)?;
    for _ in 0..3 {
        let next = rules(now.clone()).ok_or(Unfit::Forbidden)?;
        if next == now {
            return Ok(now);
        }
        now = next;
    }
    Err(Unfit::Forbidden)
}

/// As many whole characters as fit into so many octets.
fn cut(text: &str, octets: usize) -> &str {
    let mut end = text.len().min(octets);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    &text[..end]
}

#[cfg(test)]
mod tests;
