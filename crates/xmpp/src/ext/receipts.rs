//! XEP-0184: Message Delivery Receipts.

use super::element;
use crate::ns;
use base::Str;
use xml::Element;

/// Asking for a receipt, and giving one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Receipt {
    /// The message with this in it wants a receipt.
    Request,
    /// A message was delivered.
    Received {
        /// Its id; the id of the message that carries the receipt is another matter.
        id: Str,
    },
}

impl Receipt {
    /// Reads it. A receipt that names no message is none (§5.5).
    pub fn parse(e: &Element) -> Option<Receipt> {
        match e.name.as_str() {
            _ if e.ns != ns::RECEIPTS => None,
            "request" => Some(Receipt::Request),
            "received" => Some(Receipt::Received { id: e.attr("id").filter(|id| !id.is_empty())?.into() }),
            _ => None,
        }
    }

    /// Writes it.
    pub fn to_element(&self) -> Element {
        match self {
            Receipt::Request => element("request", ns::RECEIPTS),
            Receipt::Received { id } => element("received", ns::RECEIPTS).with_attr("id", id.clone()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_and_back() {
        for r in [Receipt::Request, Receipt::Received { id: "1".into() }] {
            assert_eq!(Receipt::parse(&r.to_element()), Some(r));
        }
        assert_eq!(Receipt::parse(&element("received", ns::RECEIPTS)), None);
        assert_eq!(Receipt::parse(&element("received", ns::RECEIPTS).with_attr("id", "")), None);
        assert_eq!(Receipt::parse(&element("received", ns::MARKERS).with_attr("id", "1")), None);
        assert_eq!(Receipt::parse(&element("other", ns::RECEIPTS)), None);
    }
}
