use super::*;
use crate::cpim::Address;
use crate::{Limits, Part, mime};
use proptest::prelude::*;

fn parse(inner: &str) -> Result<Imdn, Error> {
    Imdn::parse(format!("<imdn xmlns='{NS}'>{inner}</imdn>").as_bytes())
}

fn message(headers: &str, content: &str) -> Message {
    let text = format!("From: <sip:a@x>\r\nNS: imdn <urn:ietf:params:imdn>\r\n{headers}\r\n{content}");
    Message::parse(text.as_bytes(), &Limits::default()).unwrap()
}

const TEXT: &str = "Content-Type: text/plain\r\n\r\nHi";

#[test]
fn the_example_of_the_rfc() {
    let text = "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<imdn xmlns=\"urn:ietf:params:xml:ns:imdn\">\n\
        <message-id>34jk324j</message-id>\n<datetime>2008-04-04T12:16:49-05:00</datetime>\n\
        <recipient-uri>im:bob@example.com</recipient-uri>\n<original-recipient-uri\n>im:bob@example.com</original-recipient-uri>\n\
        <delivery-notification>\n<status>\n<delivered/>\n</status>\n</delivery-notification>\n</imdn>";
    let imdn = Imdn::parse(text.as_bytes()).unwrap();
    assert_eq!(
        imdn,
        Imdn {
            message_id: "34jk324j".into(),
            date_time: Some("2008-04-04T12:16:49-05:00".into()),
            recipient: Some("im:bob@example.com".into()),
            original_recipient: Some("im:bob@example.com".into()),
            disposition: Disposition::Delivered,
        }
    );
}

#[test]
fn what_is_refused() {
    let status =
        |kind: &str, status: &str| format!("<message-id>x</message-id><{kind}><status><{status}/></status></{kind}>");
    assert!(parse(&status("display-notification", "displayed")).is_ok());
    // A status of another kind of notification says nothing.
    for bad in [
        status("display-notification", "delivered"),
        status("delivery-notification", "stored"),
        status("new-notification", "error"),
        "<message-id>x</message-id>".to_owned(),
    ] {
        assert_eq!(parse(&bad), Err(Error::Malformed("imdn without a disposition")), "{bad}");
    }
    let no_id = status("display-notification", "displayed").replace("message-id", "other");
    assert_eq!(parse(&no_id), Err(Error::Malformed("imdn without message-id")));
    assert_eq!(Imdn::parse(b"<imdn/>"), Err(Error::Malformed("no imdn document")));
}

#[test]
fn what_a_message_asks_for() {
    let all = "imdn.Message-ID: x\r\nimdn.Disposition-Notification: positive-delivery, negative-delivery;a=b ,processing,display,new\r\n";
    let wanted = Wanted::of(&message(all, TEXT));
    assert_eq!(wanted, Wanted { positive_delivery: true, negative_delivery: true, processing: true, display: true });
    for nothing in [
        "imdn.Message-ID: x\r\n",
        "imdn.Message-ID: x\r\nimdn.Disposition-Notification: \r\n",
        "imdn.Message-ID: x\r\nimdn.Disposition-Notification: Display\r\n",
        "imdn.Message-ID: x\r\nDisposition-Notification: display\r\n",
        "imdn.Disposition-Notification: display\r\n",
        "imdn.Message-ID: x y\r\nimdn.Disposition-Notification: display\r\n",
    ] {
        assert_eq!(Wanted::of(&message(nothing, TEXT)), Wanted::default(), "{nothing}");
    }
}

#[test]
fn a_notification_asks_for_nothing() {
    let all = "imdn.Message-ID: y\r\nimdn.Disposition-Notification: positive-delivery\r\n";
    for content in [
        "Content-Type: message/imdn+xml\r\n\r\n<imdn/>",
        "Content-Type: text/plain\r\nContent-Disposition: Notification\r\n\r\nx",
        "Content-Type: multipart/mixed;boundary=b\r\n\r\n--b\r\nContent-Type: Message/IMDN+xml\r\n\r\n<imdn/>\r\n--b--",
    ] {
        assert_eq!(Wanted::of(&message(all, content)), Wanted::default(), "{content}");
    }
}

#[test]
fn asking() {
    let address = Address::new(None, "im:a@x").unwrap();
    let wanted = Wanted { positive_delivery: true, display: true, ..Wanted::default() };
    let asked = wanted.ask(Message::new(address.clone(), Part::text_plain("Hi")), "id1");
    assert_eq!((Wanted::of(&asked), message_id(&asked).as_deref()), (wanted, Some("id1")));
    assert!(String::from_utf8(asked.to_bytes("b").unwrap()).unwrap().starts_with(
        "From: <im:a@x>\r\nNS: imdn <urn:ietf:params:imdn>\r\nimdn.Message-ID: id1\r\n\
         imdn.Disposition-Notification: positive-delivery, display\r\n\r\n"
    ));
    let plain = Wanted::default().ask(Message::new(address, Part::text_plain("Hi")), "id1");
    assert_eq!(plain.headers().len(), 3);
    let report = Part::new(mime::ContentType::new("message", "imdn+xml"), []);
    assert!(is_notification(&Message::new(Address::new(None, "im:a@x").unwrap(), report)));
}

#[test]
fn what_covers_what() {
    for (disposition, wanted) in Disposition::ALL.into_iter().zip([
        "positive",
        "negative",
        "negative",
        "negative",
        "display",
        "display",
        "display",
        "processing",
        "processing",
        "processing",
        "processing",
    ]) {
        let one = |name: &str| Wanted {
            positive_delivery: name == "positive",
            negative_delivery: name == "negative",
            display: name == "display",
            processing: name == "processing",
        };
        for name in ["positive", "negative", "display", "processing"] {
            assert_eq!(one(name).covers(disposition), name == wanted, "{disposition:?} {name}");
        }
    }
}

proptest! {
    #[test]
    fn what_prints_parses_back(id in "[!-~é]{1,30}", date in proptest::option::of("[!-~]{1,30}"), to in proptest::option::of("[!-~]{1,30}"), which in 0..11usize) {
        let imdn = Imdn { date_time: date.map(Into::into), recipient: to.map(Into::into), ..Imdn::new(&id, Disposition::ALL[which]) };
        prop_assert_eq!(Imdn::parse(&imdn.to_bytes()).unwrap(), imdn);
    }

    #[test]
    fn any_bytes_may_come(bytes: Vec<u8>) {
        let _ = Imdn::parse(&bytes);
    }
}
