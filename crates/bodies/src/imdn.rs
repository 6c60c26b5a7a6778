//! Disposition notifications: what became of a message (RFC 5438). The document, and the CPIM headers that ask for it.

use crate::cpim::{Message, Namespace};
use crate::{Error, document};
use base::Str;
use xml::Element;

/// The media type of the document.
pub const MEDIA_TYPE: &str = "message/imdn+xml";

/// The namespace of the document (§11.1).
pub const NS: &str = "urn:ietf:params:xml:ns:imdn";

/// The namespace of the CPIM headers (§15.3).
pub const HEADER_NS: &str = "urn:ietf:params:imdn";

/// A notification.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Imdn {
    /// The Message-ID of the message that this is about (§11.1.1).
    pub message_id: Str,
    /// The DateTime of that message, as it stood there (§11.1.2); senders leave it out although they must not.
    pub date_time: Option<Str>,
    /// To whom the message went (§11.1.3).
    pub recipient: Option<Str>,
    /// To whom it was sent (§11.1.4).
    pub original_recipient: Option<Str>,
    /// What became of the message.
    pub disposition: Disposition,
}

/// What became of a message (§11.1.6, §11.1.7). `Forbidden` and `Error` say that nobody may or can tell.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Disposition {
    /// `delivery-notification`, `delivered`.
    Delivered,
    /// `delivery-notification`, `failed`.
    Failed,
    /// `delivery-notification`, `forbidden`.
    DeliveryForbidden,
    /// `delivery-notification`, `error`.
    DeliveryError,
    /// `display-notification`, `displayed`.
    Displayed,
    /// `display-notification`, `forbidden`.
    DisplayForbidden,
    /// `display-notification`, `error`.
    DisplayError,
    /// `processing-notification`, `processed`.
    Processed,
    /// `processing-notification`, `stored`.
    Stored,
    /// `processing-notification`, `forbidden`.
    ProcessingForbidden,
    /// `processing-notification`, `error`.
    ProcessingError,
}

impl Disposition {
    const ALL: [Disposition; 11] = [
        Disposition::Delivered,
        Disposition::Failed,
        Disposition::DeliveryForbidden,
        Disposition::DeliveryError,
        Disposition::Displayed,
        Disposition::DisplayForbidden,
        Disposition::DisplayError,
        Disposition::Processed,
        Disposition::Stored,
        Disposition::ProcessingForbidden,
        Disposition::ProcessingError,
    ];

    /// The names of the notification element and of the element in its status.
    fn names(self) -> (&'static str, &'static str) {
        let (delivery, display, processing) =
            ("delivery-notification", "display-notification", "processing-notification");
        match self {
            Disposition::Delivered => (delivery, "delivered"),
            Disposition::Failed => (delivery, "failed"),
            Disposition::DeliveryForbidden => (delivery, "forbidden"),
            Disposition::DeliveryError => (delivery, "error"),
            Disposition::Displayed => (display, "displayed"),
            Disposition::DisplayForbidden => (display, "forbidden"),
            Disposition::DisplayError => (display, "error"),
            Disposition::Processed => (processing, "processed"),
            Disposition::Stored => (processing, "stored"),
            Disposition::ProcessingForbidden => (processing, "forbidden"),
            Disposition::ProcessingError => (processing, "error"),
        }
    }
}

impl Imdn {
    /// A notification about the message of that id.
    pub fn new(message_id: &str, disposition: Disposition) -> Imdn {
        let message_id = message_id.into();
        Imdn { message_id, date_time: None, recipient: None, original_recipient: None, disposition }
    }

    /// Reads a document; of several notifications or statuses in one the first counts.
    ///
    /// # Errors
    /// Malformed: bad XML, another document, no message-id, no notification with a status that we know. TooBig: more than
    /// 64 KiB, 16 levels, 256 elements.
    pub fn parse(bytes: &[u8]) -> Result<Imdn, Error> {
        let root = document::parse(bytes)?;
        if !root.is("imdn", NS) {
            return Err(Error::Malformed("no imdn document"));
        }
        let disposition = |kind: &Element, status: &Element| {
            let matches = |d: &Disposition| kind.is(d.names().0, NS) && status.is(d.names().1, NS);
            Disposition::ALL.into_iter().find(matches)
        };
        let disposition = root.elements().find_map(|kind| {
            let statuses = kind.elements().filter(|e| e.is("status", NS));
            statuses.flat_map(Element::elements).find_map(|status| disposition(kind, status))
        });
        Ok(Imdn {
            message_id: document::child_text(&root, "message-id", NS)
                .ok_or(Error::Malformed("imdn without message-id"))?,
            date_time: document::child_text(&root, "datetime", NS),
            recipient: document::child_text(&root, "recipient-uri", NS),
            original_recipient: document::child_text(&root, "original-recipient-uri", NS),
            disposition: disposition.ok_or(Error::Malformed("imdn without a disposition"))?,
        })
    }

    /// Writes the document.
    pub fn to_bytes(&self) -> Vec<u8> {
        let texts = [
            ("message-id", Some(&self.message_id)),
            ("datetime", self.date_time.as_ref()),
            ("recipient-uri", self.recipient.as_ref()),
            ("original-recipient-uri", self.original_recipient.as_ref()),
        ];
        let mut root = Element::new("imdn", NS);
        for (name, text) in texts {
            if let Some(text) = text {
                root.push(Element::new(name, NS).with_text(text));
            }
        }
        let (kind, status) = self.disposition.names();
        let status = Element::new("status", NS).with_child(Element::new(status, NS));
        root.push(Element::new(kind, NS).with_child(status));
        xml::write_document(&root)
    }
}

/// Which notifications the sender of a message asks for (§7.1.1.3).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Wanted {
    /// That it arrived.
    pub positive_delivery: bool,
    /// That it did not.
    pub negative_delivery: bool,
    /// That somebody on the way took or stored it.
    pub processing: bool,
    /// That it was shown.
    pub display: bool,
}

impl Wanted {
    /// What a message asks for. A notification asks for nothing, whatever its headers say (§7.2.1): else two gateways
    /// would thank each other for ever. So does a message without an id, since no answer could name it. Unknown values
    /// are ignored.
    pub fn of(message: &Message) -> Wanted {
        let mut wanted = Wanted::default();
        if is_notification(message) || message_id(message).is_none() {
            return wanted;
        }
        let value = message.header(Namespace::Imdn, "Disposition-Notification").unwrap_or_default();
        for request in value.split(',') {
            match request.split(';').next().unwrap_or_default().trim() {
                "positive-delivery" => wanted.positive_delivery = true,
                "negative-delivery" => wanted.negative_delivery = true,
                "processing" => wanted.processing = true,
                "display" => wanted.display = true,
                _ => {}
            }
        }
        wanted
    }

    /// Whether it asks for this.
    pub fn covers(self, disposition: Disposition) -> bool {
        match disposition {
            Disposition::Delivered => self.positive_delivery,
            // §8.2: the negative ones are those of a message that did not arrive.
            Disposition::Failed | Disposition::DeliveryForbidden | Disposition::DeliveryError => self.negative_delivery,
            Disposition::Displayed | Disposition::DisplayForbidden | Disposition::DisplayError => self.display,
            Disposition::Processed
            | Disposition::Stored
            | Disposition::ProcessingForbidden
            | Disposition::ProcessingError => self.processing,
        }
    }

    /// Adds the namespace, the Message-ID and, unless nothing is asked for, the Disposition-Notification (§7.1.1). Who
    /// asks must add a DateTime as well. The id is a token.
    pub fn ask(self, message: Message, message_id: &str) -> Message {
        let values = [
            (self.positive_delivery, "positive-delivery"),
            (self.negative_delivery, "negative-delivery"),
            (self.processing, "processing"),
            (self.display, "display"),
        ];
        let value = values.iter().filter(|(on, _)| *on).map(|(_, v)| *v).collect::<Vec<_>>().join(", ");
        let message = message.with_namespace("imdn", HEADER_NS).with_header("imdn", "Message-ID", message_id);
        if value.is_empty() { message } else { message.with_header("imdn", "Disposition-Notification", &value) }
    }
}

/// The Message-ID of a message (§6.3), if there is one of at most 256 bytes and without blanks.
pub fn message_id(message: &Message) -> Option<String> {
    let id = message.header(Namespace::Imdn, "Message-ID")?;
    (!id.is_empty() && id.len() <= 256 && !id.contains(char::is_whitespace)).then_some(id)
}

/// Whether a message is a notification (§9): by its content, a multipart of notifications too (§8.3), or by its
/// disposition alone.
pub fn is_notification(message: &Message) -> bool {
    let content = &message.content;
    content.find("message", "imdn+xml").is_some()
        || content.disposition.as_ref().is_some_and(|d| d.kind() == "notification")
}

#[cfg(test)]
mod tests;
