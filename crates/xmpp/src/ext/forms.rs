//! XEP-0004: Data Forms: questions to people, their answers, and tables of results.

use super::{element, words};
use crate::ns;
use base::Str;
use std::fmt;
use xml::Element;

/// The most fields of a form, and of one row of a table, that are read.
pub const MAX_FIELDS: usize = 64;

/// The most values of a field, and rows of a table, that are read.
pub const MAX_VALUES: usize = 256;

/// What a form is for (§3.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Purpose {
    /// To be filled in.
    Form,
    /// Filled in.
    Submit,
    /// Not to be filled in after all.
    Cancel,
    /// To be read.
    Result,
}

impl Purpose {
    /// All of them.
    pub const ALL: [Purpose; 4] = [Purpose::Form, Purpose::Submit, Purpose::Cancel, Purpose::Result];

    /// The value of the attribute `type`.
    pub fn name(self) -> &'static str {
        match self {
            Purpose::Form => "form",
            Purpose::Submit => "submit",
            Purpose::Cancel => "cancel",
            Purpose::Result => "result",
        }
    }
}

/// What a field holds (§3.3). What is unknown, or not said, is a line of text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum FieldType {
    /// Yes or no.
    Boolean,
    /// Words that nobody fills in.
    Fixed,
    /// For programs alone.
    Hidden,
    /// An address.
    JidSingle,
    /// One of several.
    ListSingle,
    /// Several lines of text.
    TextMulti,
    /// A line of text that is not shown while it is written.
    TextPrivate,
    /// A line of text.
    TextSingle,
}

impl FieldType {
    /// All of them.
    pub const ALL: [FieldType; 8] = [
        FieldType::Boolean,
        FieldType::Fixed,
        FieldType::Hidden,
        FieldType::JidSingle,
        FieldType::ListSingle,
        FieldType::TextMulti,
        FieldType::TextPrivate,
        FieldType::TextSingle,
    ];

    /// The value of the attribute `type`.
    pub fn name(self) -> &'static str {
        match self {
            FieldType::Boolean => "boolean",
            FieldType::Fixed => "fixed",
            FieldType::Hidden => "hidden",
            FieldType::JidSingle => "jid-single",
            FieldType::ListSingle => "list-single",
            FieldType::TextMulti => "text-multi",
            FieldType::TextPrivate => "text-private",
            FieldType::TextSingle => "text-single",
        }
    }
}

/// A field. Its values are not in its `Debug` output: they may be passwords, whatever the type of the field says of them.
#[derive(Clone, PartialEq, Eq)]
pub struct Field {
    /// Its name; of [`FieldType::Fixed`] alone there need not be one.
    pub var: Option<Str>,
    /// What it holds.
    pub type_: FieldType,
    /// What it is called towards people.
    pub label: Option<Str>,
    /// What it is for, in words.
    pub desc: Option<String>,
    /// Whether it has to be filled in.
    pub required: bool,
    /// What it holds, or is to hold if nobody says otherwise.
    pub values: Vec<String>,
    /// What there is to choose from: what is shown, and the value.
    pub options: Vec<(Str, String)>,
}

impl fmt::Debug for Field {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let values = self.values.len();
        f.debug_struct("Field")
            .field("var", &self.var)
            .field("type_", &self.type_)
            .field("values", &values)
            .finish_non_exhaustive()
    }
}

impl Field {
    /// A field without anything in it.
    pub fn new(var: &'static str, type_: FieldType) -> Field {
        Field {
            var: Some(Str::const_new(var)),
            type_,
            label: None,
            desc: None,
            required: false,
            values: Vec::new(),
            options: Vec::new(),
        }
    }

    /// Words for people.
    pub fn fixed(text: impl Into<String>) -> Field {
        Field { var: None, values: vec![text.into()], ..Field::new("", FieldType::Fixed) }
    }

    /// Sets what it is called.
    #[must_use]
    pub fn with_label(mut self, label: &'static str) -> Field {
        self.label = Some(Str::const_new(label));
        self
    }

    /// Sets what it is for.
    #[must_use]
    pub fn with_desc(mut self, desc: impl Into<String>) -> Field {
        self.desc = Some(desc.into());
        self
    }

    /// It has to be filled in.
    #[must_use]
    pub fn required(mut self) -> Field {
        self.required = true;
        self
    }

    /// Adds a value.
    #[must_use]
    pub fn with_value(mut self, value: impl Into<String>) -> Field {
        self.values.push(value.into());
        self
    }

    /// Adds something to choose.
    #[must_use]
    pub fn with_option(mut self, label: impl Into<Str>, value: impl Into<String>) -> Field {
        self.options.push((label.into(), value.into()));
        self
    }

    fn parse(e: &Element) -> Field {
        let type_ = e.attr("type").and_then(|name| FieldType::ALL.into_iter().find(|t| t.name() == name));
        let text = |e: &Element| e.text().into_owned();
        let named = |name: &'static str| e.elements().filter(move |c| c.is(name, ns::DATA_FORMS));
        let option = |o: &Element| {
            let value = o.child("value", ns::DATA_FORMS).map(text)?;
            Some((o.attr("label").map_or_else(|| Str::from(value.as_str()), Str::from), value))
        };
        Field {
            var: e.attr("var").map(Str::from),
            type_: type_.unwrap_or(FieldType::TextSingle),
            label: e.attr("label").map(Str::from),
            desc: named("desc").next().and_then(|desc| words(&desc.text())),
            required: named("required").next().is_some(),
            values: named("value").take(MAX_VALUES).map(text).collect(),
            options: named("option").take(MAX_VALUES).filter_map(option).collect(),
        }
    }

    fn to_element(&self, purpose: Purpose) -> Element {
        let mut e = element("field", ns::DATA_FORMS);
        if let Some(var) = &self.var {
            e.set_attr("var", var.clone());
        }
        // §3.2: whoever fills in a form need not say what its fields are.
        if purpose != Purpose::Submit || self.type_ == FieldType::Hidden {
            e.set_attr("type", Str::const_new(self.type_.name()));
        }
        if let Some(label) = &self.label {
            e.set_attr("label", label.clone());
        }
        if let Some(desc) = &self.desc {
            e.push(element("desc", ns::DATA_FORMS).with_text(desc));
        }
        if self.required {
            e.push(element("required", ns::DATA_FORMS));
        }
        for value in &self.values {
            e.push(element("value", ns::DATA_FORMS).with_text(value));
        }
        for (label, value) in &self.options {
            let value = element("value", ns::DATA_FORMS).with_text(value);
            e.push(element("option", ns::DATA_FORMS).with_attr("label", label.clone()).with_child(value));
        }
        e
    }
}

/// A form.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Form {
    /// What it is for.
    pub purpose: Purpose,
    /// What it is called.
    pub title: Option<String>,
    /// What is to be done with it, in words.
    pub instructions: Option<String>,
    /// Its fields.
    pub fields: Vec<Field>,
    /// The heads of a table.
    pub reported: Vec<Field>,
    /// The rows of that table.
    pub items: Vec<Vec<Field>>,
}

impl Form {
    /// A form without fields.
    pub fn new(purpose: Purpose) -> Form {
        Form { purpose, title: None, instructions: None, fields: Vec::new(), reported: Vec::new(), items: Vec::new() }
    }

    /// A form whose names of fields are those that `form_type` defines (XEP-0068).
    pub fn of(purpose: Purpose, form_type: &str) -> Form {
        Form::new(purpose).with(Field::new("FORM_TYPE", FieldType::Hidden).with_value(form_type))
    }

    /// Sets what it is called.
    #[must_use]
    pub fn with_title(mut self, title: impl Into<String>) -> Form {
        self.title = Some(title.into());
        self
    }

    /// Sets what is to be done with it.
    #[must_use]
    pub fn with_instructions(mut self, instructions: impl Into<String>) -> Form {
        self.instructions = Some(instructions.into());
        self
    }

    /// Adds a field.
    #[must_use]
    pub fn with(mut self, field: Field) -> Form {
        self.fields.push(field);
        self
    }

    /// The first value of a field, without the white space around it; none if there is nothing else.
    pub fn value(&self, var: &str) -> Option<&str> {
        Some(self.raw(var)?.trim()).filter(|value| !value.is_empty())
    }

    /// The first value of a field as it is: white space counts in passwords.
    pub fn raw(&self, var: &str) -> Option<&str> {
        let field = self.fields.iter().find(|field| field.var.as_deref() == Some(var))?;
        field.values.first().map(String::as_str)
    }

    /// Whether a field says yes (§3.3); none if nothing or something else stands there.
    pub fn flag(&self, var: &str) -> Option<bool> {
        match self.value(var)? {
            "1" | "true" => Some(true),
            "0" | "false" => Some(false),
            _ => None,
        }
    }

    /// Which names of fields are meant (XEP-0068).
    pub fn form_type(&self) -> Option<&str> {
        self.value("FORM_TYPE")
    }

    /// Reads it; none if it is no form, says not what it is for, or has more than [`MAX_FIELDS`] fields or [`MAX_VALUES`] rows.
    pub fn parse(e: &Element) -> Option<Form> {
        if !e.is("x", ns::DATA_FORMS) {
            return None;
        }
        let purpose = Purpose::ALL.into_iter().find(|p| e.attr("type") == Some(p.name()))?;
        let named = |e, name| child_elements(e, name);
        let items: Vec<&Element> = named(e, "item").take(MAX_VALUES + 1).collect();
        if items.len() > MAX_VALUES {
            return None;
        }
        let text = |name| named(e, name).next().and_then(|c| words(&c.text()));
        Some(Form {
            purpose,
            title: text("title"),
            instructions: text("instructions"),
            fields: fields(e)?,
            reported: named(e, "reported").next().map_or(Some(Vec::new()), fields)?,
            items: items.into_iter().map(fields).collect::<Option<_>>()?,
        })
    }

    /// Writes it.
    pub fn to_element(&self) -> Element {
        let mut e = element("x", ns::DATA_FORMS).with_attr("type", Str::const_new(self.purpose.name()));
        for (name, text) in [("title", &self.title), ("instructions", &self.instructions)] {
            if let Some(text) = text {
                e.push(element(name, ns::DATA_FORMS).with_text(text));
            }
        }
        for field in &self.fields {
            e.push(field.to_element(self.purpose));
        }
        if !self.reported.is_empty() {
            let heads = self.reported.iter().map(|field| field.to_element(self.purpose));
            e.push(heads.fold(element("reported", ns::DATA_FORMS), Element::with_child));
        }
        for item in &self.items {
            // The heads say what is in a row.
            let cells = item.iter().map(|field| field.to_element(Purpose::Submit));
            e.push(cells.fold(element("item", ns::DATA_FORMS), Element::with_child));
        }
        e
    }
}

fn child_elements<'a>(e: &'a Element, name: &'static str) -> impl Iterator<Item = &'a Element> {
    e.elements().filter(move |c| c.is(name, ns::DATA_FORMS))
}

/// The fields in an element; none if there are too many.
fn fields(e: &Element) -> Option<Vec<Field>> {
    let fields: Vec<Field> = child_elements(e, "field").take(MAX_FIELDS + 1).map(Field::parse).collect();
    (fields.len() <= MAX_FIELDS).then_some(fields)
}

#[cfg(test)]
mod tests {
    use super::super::tests::over_the_wire;
    use super::*;

    #[test]
    fn there_and_back() {
        let form = Form::of(Purpose::Form, ns::REGISTER)
            .with_title("Link")
            .with_instructions("Say <who> you are.")
            .with(Field::new("username", FieldType::TextSingle).with_label("Name").required().with_value("romeo"))
            .with(Field::new("password", FieldType::TextPrivate).with_desc("As at the telephone."))
            .with(Field::new("domain", FieldType::ListSingle).with_option("One", "a.example").with_option("b", "b"));
        assert_eq!(Form::parse(&over_the_wire(&form.to_element())), Some(form.clone()));
        assert_eq!((form.form_type(), form.value("username")), (Some(ns::REGISTER), Some("romeo")));

        let mut table = Form::new(Purpose::Result).with(Field::fixed("two of them"));
        table.reported = vec![Field::new("jid", FieldType::JidSingle).with_label("Address")];
        table.items = ["a@b", "c@d"].map(|jid| vec![Field::new("jid", FieldType::TextSingle).with_value(jid)]).to_vec();
        assert_eq!(Form::parse(&over_the_wire(&table.to_element())), Some(table));
        for (text, flag) in [("1", Some(true)), ("false", Some(false)), ("yes", None)] {
            let form = Form::new(Purpose::Submit).with(Field::new("x", FieldType::Boolean).with_value(text));
            assert_eq!(form.flag("x"), flag);
        }
    }

    #[test]
    fn what_is_no_form() {
        let x = || element("x", ns::DATA_FORMS).with_attr("type", "submit");
        assert_eq!(Form::parse(&element("x", ns::DATA_FORMS)), None);
        assert_eq!(Form::parse(&element("x", ns::MUC).with_attr("type", "submit")), None);
        let many = |n| (0..n).fold(x(), |e, _| e.with_child(element("field", ns::DATA_FORMS)));
        assert!(Form::parse(&many(MAX_FIELDS)).is_some_and(|form| form.fields.len() == MAX_FIELDS));
        assert_eq!(Form::parse(&many(MAX_FIELDS + 1)), None);
        let rows = (0..=MAX_VALUES).fold(x(), |e, _| e.with_child(element("item", ns::DATA_FORMS)));
        assert_eq!(Form::parse(&rows), None);
    }

    #[test]
    fn values_are_not_shown() {
        let form = Form::new(Purpose::Submit).with(Field::new("password", FieldType::TextSingle).with_value("s3cret"));
        assert!(!format!("{form:?}").contains("s3cret"));
        assert_eq!(form.raw("password"), Some("s3cret"));
    }
}
