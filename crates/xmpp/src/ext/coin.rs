//! XEP-0298: calls whose other end is a conference (in SIP `isfocus`, RFC 4579 §5.1).

use super::element;
use crate::ns;
use base::Str;
use xml::Element;

/// Whether the sender mixes a conference into the call.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ConferenceInfo {
    /// He does.
    pub is_focus: bool,
}

impl ConferenceInfo {
    /// Reads it.
    pub fn parse(e: &Element) -> Option<ConferenceInfo> {
        e.is("conference-info", ns::COIN)
            .then(|| ConferenceInfo { is_focus: matches!(e.attr("isfocus"), Some("true" | "1")) })
    }

    /// Writes it.
    pub fn to_element(self) -> Element {
        let focus = if self.is_focus { "true" } else { "false" };
        element("conference-info", ns::COIN).with_attr("isfocus", Str::const_new(focus))
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::over_the_wire;
    use super::*;

    #[test]
    fn there_and_back() {
        for is_focus in [true, false] {
            let info = ConferenceInfo { is_focus };
            assert_eq!(ConferenceInfo::parse(&over_the_wire(&info.to_element())), Some(info));
        }
        assert_eq!(ConferenceInfo::parse(&element("conference-info", ns::RTP)), None);
        let silent = element("conference-info", ns::COIN);
        assert_eq!(ConferenceInfo::parse(&silent), Some(ConferenceInfo { is_focus: false }));
    }
}
