//! XEP-0085: Chat State Notifications.

use super::element;
use crate::ns;
use xml::Element;

/// What a person is doing in a conversation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ChatState {
    /// Paying attention.
    Active,
    /// Writing.
    Composing,
    /// Was writing, and stopped.
    Paused,
    /// Not paying attention.
    Inactive,
    /// Has ended the conversation.
    Gone,
}

impl ChatState {
    /// All of them.
    pub const ALL: [ChatState; 5] =
        [ChatState::Active, ChatState::Composing, ChatState::Paused, ChatState::Inactive, ChatState::Gone];

    /// The element's name.
    pub fn name(self) -> &'static str {
        match self {
            ChatState::Active => "active",
            ChatState::Composing => "composing",
            ChatState::Paused => "paused",
            ChatState::Inactive => "inactive",
            ChatState::Gone => "gone",
        }
    }

    /// Reads it.
    pub fn parse(e: &Element) -> Option<ChatState> {
        ChatState::ALL.into_iter().find(|s| e.is(s.name(), ns::CHAT_STATES))
    }

    /// Writes it.
    pub fn to_element(self) -> Element {
        element(self.name(), ns::CHAT_STATES)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_and_back() {
        for s in ChatState::ALL {
            assert_eq!(ChatState::parse(&s.to_element()), Some(s));
        }
        assert_eq!(ChatState::parse(&element("thinking", ns::CHAT_STATES)), None);
        assert_eq!(ChatState::parse(&element("active", ns::CLIENT)), None);
    }
}
