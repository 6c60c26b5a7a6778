//! XEP-0334: Message Processing Hints.

use super::element;
use crate::ns;
use xml::Element;

/// What servers on the way should do with a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Hint {
    /// Not into an archive, but it may wait for an offline user.
    NoPermanentStore,
    /// Nowhere at all.
    NoStore,
    /// No copies for other devices.
    NoCopy,
    /// Keep it though it has no body.
    Store,
}

impl Hint {
    /// All of them.
    pub const ALL: [Hint; 4] = [Hint::NoPermanentStore, Hint::NoStore, Hint::NoCopy, Hint::Store];

    /// The element's name.
    pub fn name(self) -> &'static str {
        match self {
            Hint::NoPermanentStore => "no-permanent-store",
            Hint::NoStore => "no-store",
            Hint::NoCopy => "no-copy",
            Hint::Store => "store",
        }
    }

    /// Reads it.
    pub fn parse(e: &Element) -> Option<Hint> {
        Hint::ALL.into_iter().find(|h| e.is(h.name(), ns::HINTS))
    }

    /// Writes it.
    pub fn to_element(self) -> Element {
        element(self.name(), ns::HINTS)
    }
}

/// `<store/>`.
pub fn store() -> Element {
    Hint::Store.to_element()
}

/// `<no-store/>`.
pub fn no_store() -> Element {
    Hint::NoStore.to_element()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_and_back() {
        for h in Hint::ALL {
            assert_eq!(Hint::parse(&h.to_element()), Some(h));
        }
        assert_eq!(Hint::parse(&store()), Some(Hint::Store));
        assert_eq!(Hint::parse(&no_store()), Some(Hint::NoStore));
        assert_eq!(Hint::parse(&element("store", ns::CLIENT)), None);
    }
}
