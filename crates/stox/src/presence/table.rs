//! What both directions of RFC 8048 §6 share: the values of `<show/>`, the scale of priorities, and the ids of tuples. Each is the
//! other's inverse, as far as there is one.

use base::{HashKey, Str, format_compact};
use bodies::pidf::Priority;

/// The values of `<show/>` (RFC 6121 §4.7.2.1). Without one a resource is simply available.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Show {
    /// Away for a while.
    Away,
    /// Glad to talk.
    Chat,
    /// Busy: "do not disturb" stops nothing (RFC 8048 §6.2 note 7).
    Dnd,
    /// Away for long.
    Xa,
}

impl Show {
    const ALL: [Show; 4] = [Show::Away, Show::Chat, Show::Dnd, Show::Xa];

    /// Reads one, in any case; whatever else stands there says nothing.
    pub fn parse(text: &str) -> Option<Show> {
        let text = text.trim();
        Show::ALL.into_iter().find(|show| text.eq_ignore_ascii_case(show.name()))
    }

    /// The text of the element.
    pub fn name(self) -> &'static str {
        match self {
            Show::Away => "away",
            Show::Chat => "chat",
            Show::Dnd => "dnd",
            Show::Xa => "xa",
        }
    }

    /// The activity (RFC 4480 §3.2) for a phone that does not know `<show/>`. RPID has nobody who is away for longer than `away`, short of
    /// `permanent-absence`; and to be glad to talk is no activity.
    pub fn activity(self) -> Option<&'static str> {
        match self {
            Show::Away | Show::Xa => Some("away"),
            Show::Dnd => Some("busy"),
            Show::Chat => None,
        }
    }

    /// What people do while they do these things. Of several the most telling counts: who is on the phone while travelling is busy.
    pub fn of_activities<'a>(names: impl Iterator<Item = &'a str>) -> Option<Show> {
        let mut found = None;
        for name in names {
            let show = match name {
                "busy" | "on-the-phone" | "appointment" | "meeting" | "performance" | "presentation" | "steering"
                | "worship" => Show::Dnd,
                "holiday" | "permanent-absence" | "sleeping" | "travel" | "vacation" => Show::Xa,
                "away" | "breakfast" | "dinner" | "in-transit" | "lunch" | "meal" | "shopping" => Show::Away,
                // What remains (`playing`, `tv`, `working`, `unknown`...) says nothing about being available.
                _ => continue,
            };
            found = match (found, show) {
                (Some(Show::Dnd), _) | (_, Show::Dnd) => Some(Show::Dnd),
                (Some(Show::Xa), _) | (_, Show::Xa) => Some(Show::Xa),
                (_, show) => Some(show),
            };
        }
        found
    }

    /// The notes by which phones and exchanges that know no RPID say that somebody is busy (Asterisk, Snom): written by a machine, to the
    /// letter.
    pub fn of_note(text: &str) -> Option<Show> {
        let busy = ["on the phone", "on hold"].iter().any(|known| text.trim().eq_ignore_ascii_case(known));
        busy.then_some(Show::Dnd)
    }
}

/// RFC 8048 §6.2 note 6: 0 is 0, 127 is 1, and between them each has its own: 1 is 0.007, 2 is 0.015, 126 is 0.992. A negative
/// priority must not be mapped.
pub(super) fn priority_to_pidf(priority: i8) -> Option<Priority> {
    let priority = u32::try_from(priority).ok()?;
    Priority::from_thousandths(u16::try_from(priority * 1000 / 127).ok()?)
}

/// Back: the nearest. What came from XMPP comes back as it was, for the steps are almost 8 thousandths wide and cut by less than one.
pub(super) fn priority_from_pidf(priority: Priority) -> i8 {
    i8::try_from((u32::from(priority.thousandths()) * 127 + 500) / 1000).unwrap_or(i8::MAX)
}

/// What stands before a resource in the id of its tuple (RFC 8048 §6.2 note 2).
const PREFIX: &str = "ID-";

/// What stands before the hash of a resource that is too long.
const HASHED: &str = "IDH-";

/// The longest id. No RFC has a bound, and phones keep ids.
const MAX_ID: usize = 256;

/// The id of a resource's tuple; without a resource that of the address itself.
///
/// An `xs:ID` has fewer characters than a resource, and none twice in one document: what it does not have, and all beyond ASCII, is
/// written `_xHHHH_` (ISO 9075-14 does so with names), and so is an underscore before an x. No two resources share an id, but for those
/// too long, which share a hash with nobody by chance.
pub(super) fn tuple_id(resource: Option<&str>) -> Str {
    let resource = resource.unwrap_or_default();
    let mut id = Str::from(PREFIX);
    let mut chars = resource.chars().peekable();
    while let Some(c) = chars.next() {
        let stands = match c {
            '_' => chars.peek() != Some(&'x'),
            _ => c.is_ascii_alphanumeric() || matches!(c, '-' | '.'),
        };
        if stands {
            id.push(c);
        } else {
            id.push_str(&format_compact!("_x{:04X}_", u32::from(c)));
        }
        if id.len() > MAX_ID {
            return format_compact!("{HASHED}{:032x}", hash(resource));
        }
    }
    id
}

/// The resource that a tuple's id names: undoes [`tuple_id`], and takes the ids of others as they are. Empty for the address itself.
/// Whether it can be a resource is not said.
pub(super) fn resource_of(id: &str) -> String {
    let Some(mut rest) = id.strip_prefix(PREFIX) else { return id.to_owned() };
    let mut resource = String::with_capacity(rest.len());
    while let Some(at) = rest.find("_x") {
        resource.push_str(&rest[..at]);
        match escaped(&rest[at + 2..]) {
            Some((c, behind)) => {
                resource.push(c);
                rest = behind;
            }
            None => {
                resource.push_str("_x");
                rest = &rest[at + 2..];
            }
        }
    }
    resource + rest
}

/// The character of an escape, and what is behind it.
fn escaped(text: &str) -> Option<(char, &str)> {
    let (digits, behind) = text.split_once('_')?;
    let hex = (4..=6).contains(&digits.len()) && digits.bytes().all(|b| matches!(b, b'0'..=b'9' | b'A'..=b'F'));
    let c = char::from_u32(u32::from_str_radix(digits, 16).ok().filter(|_| hex)?)?;
    Some((c, behind))
}

/// A resource for what names something but cannot be a resource: short, and always the same.
pub(super) fn token(name: &str) -> String {
    format!("{:016x}", hash(name) >> 64)
}

/// Not keyed, for it must be the same after a restart. Whoever makes two names collide confuses his own.
fn hash(text: &str) -> u128 {
    HashKey::new(0, 0).fingerprint(&[text.as_bytes()]).bits()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn shows_and_activities() {
        for show in Show::ALL {
            assert_eq!(Show::parse(show.name()), Some(show));
            let back = Show::of_activities(show.activity().into_iter());
            let coarse = match show {
                Show::Away | Show::Xa => Some(Show::Away),
                Show::Dnd => Some(Show::Dnd),
                Show::Chat => None,
            };
            assert_eq!(back, coarse);
        }
        assert_eq!((Show::parse(" DND\n"), Show::parse("busy"), Show::parse("")), (Some(Show::Dnd), None, None));
        let of = |names: &[&str]| Show::of_activities(names.iter().copied());
        assert_eq!(of(&["tv", "unknown", "made-up"]), None);
        assert_eq!(of(&["away", "travel", "on-the-phone", "meal"]), Some(Show::Dnd));
        assert_eq!(of(&["meal", "vacation", "away"]), Some(Show::Xa));
        assert_eq!(of(&["working", "lunch"]), Some(Show::Away));
        assert_eq!((Show::of_note("On the phone"), Show::of_note("On the phone again")), (Some(Show::Dnd), None));
        assert_eq!((Show::of_note("ON HOLD "), Show::of_note("Ready")), (Some(Show::Dnd), None));
    }

    #[test]
    fn priorities_are_exact_and_unique() {
        let text = |p: i8| priority_to_pidf(p).map(|p| p.to_string());
        for (priority, pidf) in [(0, "0"), (1, "0.007"), (2, "0.015"), (64, "0.503"), (126, "0.992"), (127, "1")] {
            assert_eq!(text(priority).as_deref(), Some(pidf));
        }
        for priority in 0..=i8::MAX {
            let there = priority_to_pidf(priority).unwrap();
            assert_eq!(priority_from_pidf(there), priority);
            assert!(priority == 0 || there > priority_to_pidf(priority - 1).unwrap(), "{priority}");
        }
        for negative in i8::MIN..0 {
            assert_eq!(priority_to_pidf(negative), None);
        }
        let mut last = 0;
        for thousandths in 0..=1000 {
            let priority = priority_from_pidf(Priority::from_thousandths(thousandths).unwrap());
            assert!(priority == last || priority == last + 1, "{thousandths}");
            last = priority;
        }
        assert_eq!(last, i8::MAX);
    }

    #[test]
    fn ids_of_tuples() {
        for (resource, id) in [
            ("chamber", "ID-chamber"),
            ("", "ID-"),
            ("1", "ID-1"),
            ("a b/c@d:e", "ID-a_x0020_b_x002F_c_x0040_d_x003A_e"),
            ("_x0041_", "ID-_x005F_x0041_"),
            ("_", "ID-_"),
            ("café☎😀", "ID-caf_x00E9__x260E__x1F600_"),
        ] {
            assert_eq!(tuple_id(Some(resource)), id);
            assert_eq!(resource_of(id), resource);
            assert!(xml::is_name(id), "{id}");
        }
        // What others write is no escape of ours, unless it looks like one.
        for (id, resource) in [
            ("sg89ae", "sg89ae"),
            ("id-a_x0020_", "id-a_x0020_"),
            ("ID-a_xyz", "a_xyz"),
            ("ID-_x", "_x"),
            ("ID-_x20_", "_x20_"),
            ("ID-_x002f_", "_x002f_"),
            ("ID-_xD800_", "_xD800_"),
            ("ID-_x110000_", "_x110000_"),
            ("ID-_x+041_", "_x+041_"),
            ("ID-_x0041", "_x0041"),
            ("", ""),
        ] {
            assert_eq!(resource_of(id), resource, "{id}");
        }
        let long = tuple_id(Some(&"a".repeat(1023)));
        assert!(long.starts_with(HASHED) && long.len() == HASHED.len() + 32 && xml::is_name(&long));
        assert_ne!(long, tuple_id(Some(&"a".repeat(1022))));
        assert_eq!(tuple_id(Some(&"a".repeat(MAX_ID - PREFIX.len()))).len(), MAX_ID);
        assert_eq!(token("x").len(), 16);
    }

    proptest! {
        #[test]
        fn an_id_is_an_id_and_comes_back(resource in "[_x0041F a-z.é☎/-]{0,30}|\\PC{0,30}") {
            let id = tuple_id(Some(&resource));
            prop_assert!(xml::is_name(&id));
            if !id.starts_with(HASHED) {
                prop_assert_eq!(resource_of(&id), resource);
            }
        }

        #[test]
        fn any_id_may_come(id in "(ID-)?([_xD800]|\\PC){0,30}") {
            let _ = resource_of(&id);
        }
    }
}
