//! A message stanza, read: what it asks to be carried to the SIP side.

use super::Disposition;
use base::Str;
use bodies::text::language;
use bodies::{html, text};
use xml::Element;
use xmpp::ext::chatstates::ChatState;
use xmpp::ext::{carbons, markers, receipts};
use xmpp::ns;
use xmpp::stanza::Stanza;

/// What goes before the words of a correction.
const CORRECTED: &str = "Correction: ";

/// What a stanza asks to be carried.
#[derive(Debug, Clone, PartialEq)]
pub enum Departing {
    /// Something to read.
    Message(Text),
    /// A chat state alone (XEP-0085).
    State(ChatState),
    /// What became of a message of a SIP user.
    Receipt {
        /// The message's stanza id.
        id: Str,
        /// What became of it.
        disposition: Disposition,
    },
    /// Nothing that SIP has a word for.
    Nothing,
}

/// The text of a stanza.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Text {
    /// The plain text in each language, once; the first is the one that goes out where only one can.
    pub bodies: Vec<(Option<Str>, String)>,
    /// The subject in the language of the first body.
    pub subject: Option<String>,
    /// The XHTML-IM form.
    pub html: Option<Element>,
    /// A receipt (XEP-0184) was asked for.
    pub receipt: bool,
    /// A marker (XEP-0333) was asked for.
    pub markable: bool,
    /// The chat state that came with it.
    pub state: Option<ChatState>,
}

/// Reads a message stanza. Only its own children count: what is wrapped in a forwarded or carbon element speaks for nobody (threat 9).
pub fn read(stanza: &Stanza) -> Departing {
    if stanza.elements().any(carbons::is_carbon) {
        return Departing::Nothing;
    }
    let mut text = Text::default();
    let own = stanza.lang.as_deref().and_then(language);
    let mut subjects = Vec::new();
    let mut state = None;
    let mut receipt = None;
    let mut corrects = false;
    let mut reactions = Vec::new();
    for e in stanza.elements() {
        if e.is("body", ns::CLIENT) {
            let lang = e.lang().and_then(language).or_else(|| own.clone());
            // RFC 6121 §5.2.3: one body for each language; of two in one language the first counts.
            if text.bodies.iter().all(|(l, _)| *l != lang) && !e.text().is_empty() {
                text.bodies.push((lang, text::to_crlf(&e.text()).into_owned()));
            }
        } else if e.is("subject", ns::CLIENT) && !e.text().is_empty() {
            subjects.push((e.lang().and_then(language).or_else(|| own.clone()), e.text().into_owned()));
        } else if e.is("html", ns::XHTML_IM) {
            text.html = Some(e.clone());
        } else if let Some(r) = receipts::Receipt::parse(e) {
            match r {
                receipts::Receipt::Request => text.receipt = true,
                receipts::Receipt::Received { id } => receipt = Some((id, Disposition::Delivered)),
            }
        } else if let Some(marker) = markers::Marker::parse(e) {
            match marker {
                markers::Marker::Displayed { id } => receipt = Some((id, Disposition::Displayed)),
                markers::Marker::Markable => text.markable = true,
                // The specification has dropped them.
                markers::Marker::Received { .. } | markers::Marker::Acknowledged { .. } => {}
            }
        } else if let Some(s) = ChatState::parse(e) {
            state = Some(s);
        } else if e.is("replace", ns::MESSAGE_CORRECT) {
            corrects = true;
        } else if e.is("reactions", ns::REACTIONS) {
            let emoji = e.elements().filter(|e| e.is("reaction", ns::REACTIONS)).map(Element::text);
            reactions.extend(emoji.filter(|emoji| !emoji.is_empty()).map(std::borrow::Cow::into_owned));
        }
    }
    if let (true, Some(html)) = (text.bodies.is_empty(), &text.html) {
        // XEP-0071 §8 wants a body beside it, but what was written is to be read in any case.
        let words = html::Html::from_xhtml_im(html).map(|html| html.to_text()).unwrap_or_default();
        if !words.is_empty() {
            text.bodies.push((own.clone(), text::to_crlf(&words).into_owned()));
        }
    }
    if text.bodies.is_empty() && !reactions.is_empty() {
        text.bodies.push((None, reactions.join(" ")));
    }
    if corrects {
        // XEP-0308: SIP cannot take back what was said, so it is said what this is.
        text.bodies.iter_mut().for_each(|(_, body)| body.insert_str(0, CORRECTED));
        text.html = None;
    }
    text.state = state;
    // The sender's own language first, if there is a body in it.
    if let Some(own) = text.bodies.iter().position(|(l, _)| *l == own) {
        text.bodies.swap(0, own);
    }
    let speaks = text.bodies.first().map_or(&own, |(lang, _)| lang);
    let subject = subjects.iter().position(|(lang, _)| lang == speaks).unwrap_or(0);
    text.subject = subjects.into_iter().nth(subject).map(|(_, subject)| subject);
    match (text.bodies.is_empty() && text.subject.is_none(), receipt, state) {
        (false, _, _) => Departing::Message(text),
        (true, Some((id, disposition)), _) => Departing::Receipt { id, disposition },
        (true, None, Some(state)) => Departing::State(state),
        (true, None, None) => Departing::Nothing,
    }
}
