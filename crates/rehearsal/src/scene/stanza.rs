//! XML in scenes: reading it, and whether an element shows what a scene wants to see.

use super::pattern::{Captures, fill, fits, squeeze};
use base::Str;
use stox::config::LinkKind;
use xml::{Element, Limits, Node};
use xmpp::jid::Jid;

/// The namespace that elements of a scene have without saying so.
pub(super) const NS: &str = "jabber:component:accept";

/// Reads one element that stands in a component stream.
pub(super) fn read(text: &str) -> Result<Element, String> {
    let document = format!("<stream xmlns='{NS}'>{text}</stream>");
    let limits = Limits { stanza_bytes: 1 << 20, ..Limits::default() };
    let stream = Element::parse(document.as_bytes(), &limits).map_err(|e| format!("not XML: {e:?}"))?;
    let mut elements = stream.elements();
    match (elements.next(), elements.next()) {
        (Some(element), None) => Ok(element.clone()),
        _ => Err("exactly one element is wanted".to_owned()),
    }
}

/// Reads an element of a scene: white space between elements is there for the reader and goes.
pub(super) fn read_template(text: &str) -> Result<Element, String> {
    let mut element = read(text)?;
    tidy(&mut element);
    Ok(element)
}

fn tidy(element: &mut Element) {
    let blank = |n: &Node| matches!(n, Node::Text(t) if t.trim().is_empty());
    if element.elements().next().is_some() {
        let all_blank = element.children.iter().all(|n| matches!(n, Node::Element(_)) || blank(n));
        if all_blank {
            element.children.retain(|n| !blank(n));
        }
    }
    for child in &mut element.children {
        if let Node::Element(child) = child {
            tidy(child);
        }
    }
}

/// Fills the holes of an element.
pub(super) fn fill_element(element: &mut Element, captures: &Captures) -> Result<(), String> {
    for attr in &mut element.attrs {
        attr.value = fill(&attr.value, captures)?.into();
    }
    for child in &mut element.children {
        match child {
            Node::Element(child) => fill_element(child, captures)?,
            Node::Text(text) => *text = fill(text, captures)?.into(),
        }
    }
    Ok(())
}

/// Whether `actual` shows all that `pattern` shows. The error says where it does not.
///
/// An attribute of the pattern must be there with a value that fits; the value `!` means that it must not be there. A child of the
/// pattern must be there, each for a child of its own; `<absent name='x'/>` means that there is no child `x`. The text of a pattern
/// without children must be the same; no text means that it does not matter.
pub(super) fn shows(pattern: &Element, actual: &Element, captures: &mut Captures) -> Result<(), String> {
    if pattern.name != actual.name || pattern.ns != actual.ns {
        let (p, a) = (format!("{{{}}}{}", pattern.ns, pattern.name), format!("{{{}}}{}", actual.ns, actual.name));
        return Err(format!("the element is {a}, not {p}"));
    }
    for attr in &pattern.attrs {
        let value = actual.attr_ns(&attr.name, &attr.ns);
        let (name, wanted) = (&attr.name, &attr.value);
        match value {
            None if wanted == "!" => {}
            Some(value) if wanted == "!" => return Err(format!("{name}='{value}' is there on <{}/>", actual.name)),
            Some(value) if fits(&squeeze(wanted), &squeeze(value), true, captures) => {}
            Some(value) => return Err(format!("<{}/> has {name}='{value}', not '{wanted}'", actual.name)),
            None => return Err(format!("<{}/> has no {name}", actual.name)),
        }
    }
    let children: Vec<&Element> = pattern.elements().collect();
    if children.is_empty() {
        let (wanted, text) = (pattern.text(), actual.text());
        let anything = wanted.is_empty() || wanted == "*";
        if !anything && !fits(&wanted, &text, false, captures) {
            return Err(format!("<{}/> says {text:?}, not {wanted:?}", actual.name));
        }
        return Ok(());
    }
    let (absent, present): (Vec<_>, Vec<_>) = children.into_iter().partition(|c| c.name == "absent");
    for none in absent {
        let name = none.attr("name").ok_or("absent wants a name")?;
        if actual.elements().any(|c| c.name == name) {
            return Err(format!("<{name}/> is there in <{}/>", actual.name));
        }
    }
    let mut rest: Vec<&Element> = actual.elements().collect();
    assign(&present, &mut rest, captures)
}

/// Finds for each of `wanted` an element of `rest` of its own.
fn assign(wanted: &[&Element], rest: &mut Vec<&Element>, captures: &mut Captures) -> Result<(), String> {
    let Some((first, others)) = wanted.split_first() else { return Ok(()) };
    let mut why = format!("there is no <{} xmlns='{}'/>", first.name, first.ns);
    for i in 0..rest.len() {
        let mut found = captures.clone();
        match shows(first, rest[i], &mut found) {
            Err(e) if rest[i].name == first.name => why = e,
            Err(_) => {}
            Ok(()) => {
                let taken = rest.remove(i);
                match assign(others, rest, &mut found) {
                    Ok(()) => {
                        *captures = found;
                        return Ok(());
                    }
                    Err(e) => why = e,
                }
                rest.insert(i, taken);
            }
        }
    }
    Err(why)
}

/// A stanza of the gateway's as it goes out; one that is called broken where it is none, or where it would go to another domain than the one that
/// it names.
pub(super) fn goes_out(kind: LinkKind, domain: Option<&Str>, bytes: &[u8]) -> Element {
    let text = String::from_utf8_lossy(bytes).into_owned();
    let stanza = read(&text).unwrap_or_else(|e| Element::new(e, "broken").with_text(&text));
    let to = stanza.attr("to").and_then(|to| Jid::parse(to).ok()).filter(|_| kind == LinkKind::Federation);
    if domain.map(Str::as_str) == to.as_ref().map(Jid::domain) {
        return stanza;
    }
    Element::new("a stanza that goes to another domain", "broken").with_text(&text)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(pattern: &str, actual: &str) -> Result<Captures, String> {
        let mut captures = Captures::new();
        shows(&read_template(pattern).unwrap(), &read(actual).unwrap(), &mut captures).map(|()| captures)
    }

    #[test]
    fn a_part_is_enough() {
        let actual = "<message to='a@b' id='7'><body>x</body><body xml:lang='cs'>y</body><thread>t</thread></message>";
        assert_eq!(check("<message id='$id'>\n  <thread>$t</thread>\n</message>", actual).unwrap()["t"], "t");
        assert!(check("<message><body xml:lang='cs'>y</body><body>x</body></message>", actual).is_ok());
        assert!(check("<message><body>x</body><body>x</body></message>", actual).is_err(), "each wants its own");
        assert!(check("<message><body>x </body></message>", actual).is_err(), "text is exact");
        assert!(check("<message><absent name='subject'/></message>", actual).is_ok());
        assert!(check("<message><absent name='body'/></message>", actual).is_err());
        assert!(check("<message type='!'/>", actual).is_ok());
        assert!(check("<message id='!'/>", actual).is_err());
        assert!(check("<presence/>", actual).is_err());
        assert!(check("<message><body xmlns='other'>x</body></message>", actual).is_err(), "namespaces count");
    }
}
