//! XEP-0077: In-Band Registration, as a gateway has it: plain fields and the same as a form.

use super::element;
use super::forms::{Form, Purpose};
use crate::ns;
use std::fmt;
use xml::Element;

/// What somebody wants who sends an iq of type set. No password is in its `Debug` output.
#[derive(Clone, PartialEq, Eq)]
pub enum Wish {
    /// To register, or to change what was said before.
    Register {
        /// Who: the plain field, or the form's.
        username: Option<String>,
        /// The password, likewise.
        password: Option<String>,
        /// The whole form, where there is one.
        form: Option<Form>,
    },
    /// To be registered no more (§3.2).
    Remove,
    /// Not to fill in the form after all.
    Cancel,
}

impl fmt::Debug for Wish {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Wish::Register { username, .. } => {
                f.debug_struct("Register").field("username", username).finish_non_exhaustive()
            }
            Wish::Remove => f.write_str("Remove"),
            Wish::Cancel => f.write_str("Cancel"),
        }
    }
}

/// Whether an element is of in-band registration.
pub fn is_query(e: &Element) -> bool {
    e.is("query", ns::REGISTER)
}

impl Wish {
    /// Reads it. Where there is a form that can be read, it counts, and not the plain fields (§3.1.2 has either).
    pub fn parse(e: &Element) -> Option<Wish> {
        if !is_query(e) {
            return None;
        }
        if e.child("remove", ns::REGISTER).is_some() {
            return Some(Wish::Remove);
        }
        let form = e.child("x", ns::DATA_FORMS).and_then(Form::parse);
        if form.as_ref().is_some_and(|form| form.purpose == Purpose::Cancel) {
            return Some(Wish::Cancel);
        }
        let field = |name: &str| match &form {
            Some(form) => form.raw(name).map(str::to_owned),
            None => e.child(name, ns::REGISTER).map(|field| field.text().into_owned()),
        };
        Some(Wish::Register { username: field("username"), password: field("password"), form })
    }
}

/// What a gateway wants to know of whom would register, or knows of who has (§3.1.1).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fields {
    /// What is to be done, in words.
    pub instructions: String,
    /// The name that is registered; none: nobody is.
    pub registered: Option<String>,
    /// The same as a form.
    pub form: Form,
}

impl Fields {
    /// Writes it. The password is never told, not even to whom it is.
    pub fn to_element(&self) -> Element {
        let text = |name, text: &str| element(name, ns::REGISTER).with_text(text);
        let mut e = element("query", ns::REGISTER);
        if self.registered.is_some() {
            e.push(element("registered", ns::REGISTER));
        }
        e.with_child(text("instructions", &self.instructions))
            .with_child(text("username", self.registered.as_deref().unwrap_or_default()))
            .with_child(element("password", ns::REGISTER))
            .with_child(self.form.to_element())
    }
}

#[cfg(test)]
mod tests {
    use super::super::forms::{Field, FieldType};
    use super::super::tests::over_the_wire;
    use super::*;

    fn query() -> Element {
        element("query", ns::REGISTER)
    }

    #[test]
    fn wishes() {
        let text = |name, text: &str| element(name, ns::REGISTER).with_text(text);
        let plain = query().with_child(text("username", "romeo")).with_child(text("password", " s3cret "));
        let wish = Wish::parse(&over_the_wire(&plain)).expect("a wish");
        assert!(
            matches!(&wish, Wish::Register { username: Some(u), password: Some(p), form: None } if u == "romeo" && p == " s3cret ")
        );
        assert!(!format!("{wish:?}").contains("s3cret"));

        let form = Form::of(Purpose::Submit, ns::REGISTER)
            .with(Field::new("username", FieldType::TextSingle).with_value("juliet"))
            .with(Field::new("password", FieldType::TextPrivate).with_value("x"));
        let both = plain.clone().with_child(form.to_element());
        assert!(matches!(Wish::parse(&both), Some(Wish::Register { username: Some(u), .. }) if u == "juliet"));

        assert_eq!(Wish::parse(&plain.with_child(element("remove", ns::REGISTER))), Some(Wish::Remove));
        let cancel = query().with_child(Form::new(Purpose::Cancel).to_element());
        assert_eq!(Wish::parse(&cancel), Some(Wish::Cancel));
        assert!(matches!(Wish::parse(&query()), Some(Wish::Register { username: None, password: None, form: None })));
        assert_eq!(Wish::parse(&element("query", ns::SEARCH)), None);
    }

    #[test]
    fn fields() {
        let mut fields = Fields { instructions: "Say who.".into(), registered: None, form: Form::new(Purpose::Form) };
        let text = |fields: &Fields| super::super::tests::text(&fields.to_element());
        let rest = "<password/><x xmlns='jabber:x:data' type='form'/></query>";
        assert_eq!(
            text(&fields),
            format!("<query xmlns='jabber:iq:register'><instructions>Say who.</instructions><username/>{rest}")
        );
        fields.registered = Some("romeo".into());
        assert!(text(&fields).contains("<registered/>") && text(&fields).contains("<username>romeo</username>"));
    }
}
