//! XEP-0055: Search, with a form and with plain fields.

use super::element;
use super::forms::{Field, FieldType, Form, Purpose};
use crate::jid::Jid;
use crate::ns;
use base::Str;
use xml::Element;

/// Somebody who was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// The address.
    pub jid: Jid,
    /// What they are known by: a name, or a number.
    pub nick: Str,
}

/// Whether an element is of a search.
pub fn is_query(e: &Element) -> bool {
    e.is("query", ns::SEARCH)
}

/// What is looked for under `var`: in the form, or in the plain field `plain`; and whether the answer is to be a form, too.
pub fn wanted(e: &Element, var: &str, plain: &str) -> (Option<String>, bool) {
    let trimmed = |text: &str| Some(text.trim().to_owned()).filter(|text| !text.is_empty());
    match e.child("x", ns::DATA_FORMS).and_then(Form::parse) {
        Some(form) => (form.value(var).or_else(|| form.value(plain)).and_then(trimmed), true),
        None => (e.child(plain, ns::SEARCH).and_then(|field| trimmed(&field.text())), false),
    }
}

/// What can be looked for: the plain field `plain`, and a form.
pub fn ask(instructions: &str, plain: &'static str, form: &Form) -> Element {
    element("query", ns::SEARCH)
        .with_child(element("instructions", ns::SEARCH).with_text(instructions))
        .with_child(element(plain, ns::SEARCH))
        .with_child(form.to_element())
}

/// Who was found, as a form or with plain items.
pub fn answer(found: &[Found], form: bool) -> Element {
    let query = element("query", ns::SEARCH);
    if !form {
        return found.iter().fold(query, |e, found| {
            let nick = element("nick", ns::SEARCH).with_text(&found.nick);
            e.with_child(element("item", ns::SEARCH).with_attr("jid", found.jid.to_string()).with_child(nick))
        });
    }
    let mut table = Form::of(Purpose::Result, ns::SEARCH);
    table.reported = vec![
        Field::new("nick", FieldType::TextSingle).with_label("Name"),
        Field::new("jid", FieldType::JidSingle).with_label("Address"),
    ];
    table.items = found
        .iter()
        .map(|found| {
            let cell = |var, value: &str| Field::new(var, FieldType::TextSingle).with_value(value);
            vec![cell("nick", &found.nick), cell("jid", &found.jid.to_string())]
        })
        .collect();
    query.with_child(table.to_element())
}

#[cfg(test)]
mod tests {
    use super::super::tests::over_the_wire;
    use super::*;

    #[test]
    fn asked_for() {
        let form = Form::of(Purpose::Submit, ns::SEARCH)
            .with(Field::new("number", FieldType::TextSingle).with_value(" +49 30 1234 "));
        let query = || element("query", ns::SEARCH);
        assert_eq!(
            wanted(&query().with_child(form.to_element()), "number", "nick"),
            (Some("+49 30 1234".to_owned()), true)
        );
        let plain = query().with_child(element("nick", ns::SEARCH).with_text("112"));
        assert_eq!(wanted(&plain, "number", "nick"), (Some("112".to_owned()), false));
        assert_eq!(wanted(&query(), "number", "nick"), (None, false));
        assert!(is_query(&query()) && !is_query(&element("query", ns::GATEWAY)));
    }

    #[test]
    fn answered() {
        let jid = Jid::parse("+49301234@sip.example").expect("an address");
        let found = [Found { jid, nick: "+49301234".into() }];
        let plain = over_the_wire(&answer(&found, false));
        let item = plain.child("item", ns::SEARCH).expect("an item");
        assert_eq!(item.attr("jid"), Some("+49301234@sip.example"));
        let form = over_the_wire(&answer(&found, true));
        let form = form.child("x", ns::DATA_FORMS).and_then(Form::parse).expect("a form");
        assert_eq!((form.reported.len(), form.items.len()), (2, 1));
        assert_eq!(answer(&[], false), element("query", ns::SEARCH));
    }
}
