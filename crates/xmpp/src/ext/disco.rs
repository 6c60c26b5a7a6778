//! XEP-0030: Service Discovery.

use super::element;
use crate::jid::Jid;
use crate::ns;
use base::Str;
use xml::Element;

/// What an entity is and what it can do: the answer to disco#info. Data forms (XEP-0128) are not looked at.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Info {
    /// The part of the entity that was asked for.
    pub node: Option<Str>,
    /// What it is.
    pub identities: Vec<Identity>,
    /// What it can do.
    pub features: Vec<Str>,
}

/// What an entity is, in the registrar's terms.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Identity {
    /// The kind of thing, such as `gateway`.
    pub category: Str,
    /// The kind of that kind, such as `simple`.
    pub type_: Str,
    /// The language of the name.
    pub lang: Option<Str>,
    /// A name for people.
    pub name: Option<Str>,
}

impl Identity {
    /// An identity without a name.
    pub fn new(category: &str, type_: &str) -> Identity {
        Identity { category: category.into(), type_: type_.into(), lang: None, name: None }
    }

    /// Sets the name.
    #[must_use]
    pub fn with_name(mut self, name: impl Into<Str>) -> Identity {
        self.name = Some(name.into());
        self
    }
}

impl Info {
    /// Whether the entity says that it can do `feature`.
    pub fn has(&self, feature: &str) -> bool {
        self.features.iter().any(|f| f == feature)
    }

    /// Reads a question or an answer. What lacks a mandatory attribute is left out.
    pub fn parse(e: &Element) -> Option<Info> {
        if !e.is("query", ns::DISCO_INFO) {
            return None;
        }
        let mut info = Info { node: e.attr("node").map(Str::from), ..Info::default() };
        for child in e.elements().filter(|c| c.ns == ns::DISCO_INFO) {
            match (child.name.as_str(), child.attr("category"), child.attr("type"), child.attr("var")) {
                ("identity", Some(category), Some(type_), _) => info.identities.push(Identity {
                    category: category.into(),
                    type_: type_.into(),
                    lang: child.lang().map(Str::from),
                    name: child.attr("name").map(Str::from),
                }),
                ("feature", _, _, Some(var)) => info.features.push(var.into()),
                _ => {}
            }
        }
        Some(info)
    }

    /// Writes it; without identities and features it is the question.
    pub fn to_element(&self) -> Element {
        let mut e = element("query", ns::DISCO_INFO);
        if let Some(node) = &self.node {
            e.set_attr("node", node.clone());
        }
        for i in &self.identities {
            let mut identity = element("identity", ns::DISCO_INFO)
                .with_attr("category", i.category.clone())
                .with_attr("type", i.type_.clone());
            if let Some(lang) = &i.lang {
                identity = identity.with_lang(lang.clone());
            }
            if let Some(name) = &i.name {
                identity.set_attr("name", name.clone());
            }
            e.push(identity);
        }
        for f in &self.features {
            e.push(element("feature", ns::DISCO_INFO).with_attr("var", f.clone()));
        }
        e
    }
}

/// What belongs to an entity: the answer to disco#items.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Items {
    /// The part of the entity that was asked for.
    pub node: Option<Str>,
    /// What belongs to it.
    pub items: Vec<Item>,
}

/// Something that belongs to an entity.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Item {
    /// Its address.
    pub jid: Jid,
    /// The part of that address, if it is a part.
    pub node: Option<Str>,
    /// A name for people.
    pub name: Option<Str>,
}

impl Items {
    /// Reads a question or an answer. What has no valid address is left out.
    pub fn parse(e: &Element) -> Option<Items> {
        if !e.is("query", ns::DISCO_ITEMS) {
            return None;
        }
        let item = |c: &Element| {
            let jid = Jid::parse(c.attr("jid")?).ok()?;
            Some(Item { jid, node: c.attr("node").map(Str::from), name: c.attr("name").map(Str::from) })
        };
        let items = e.elements().filter(|c| c.is("item", ns::DISCO_ITEMS)).filter_map(item).collect();
        Some(Items { node: e.attr("node").map(Str::from), items })
    }

    /// Writes it; without items it is the question, or the answer that there are none.
    pub fn to_element(&self) -> Element {
        let mut e = element("query", ns::DISCO_ITEMS);
        if let Some(node) = &self.node {
            e.set_attr("node", node.clone());
        }
        for i in &self.items {
            let mut item = element("item", ns::DISCO_ITEMS).with_attr("jid", i.jid.to_string());
            for (attr, value) in [("node", &i.node), ("name", &i.name)] {
                if let Some(value) = value {
                    item.set_attr(attr, value.clone());
                }
            }
            e.push(item);
        }
        e
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::over_the_wire;
    use super::*;

    #[test]
    fn info_there_and_back() {
        let info = Info {
            node: Some("n".into()),
            identities: vec![
                Identity::new("client", "pc").with_name("Psi"),
                Identity { lang: Some("el".into()), ..Identity::new("client", "pc") },
            ],
            features: vec![ns::DISCO_INFO.into(), "a'b".into()],
        };
        assert_eq!(Info::parse(&over_the_wire(&info.to_element())), Some(info.clone()));
        assert!(info.has("a'b") && !info.has("a"));
        let broken = element("query", ns::DISCO_INFO)
            .with_child(element("identity", ns::DISCO_INFO).with_attr("category", "x"))
            .with_child(element("feature", ns::DISCO_INFO))
            .with_child(Element::new("feature", "urn:x").with_attr("var", "y"));
        assert_eq!(Info::parse(&broken), Some(Info::default()));
        assert_eq!(Info::parse(&element("query", ns::DISCO_ITEMS)), None);
    }

    #[test]
    fn items_there_and_back() {
        let jid = |s| Jid::parse(s).expect("an address");
        let items = Items {
            node: None,
            items: vec![
                Item { jid: jid("a@b"), node: None, name: None },
                Item { jid: jid("c"), node: Some("n".into()), name: Some("<x>".into()) },
            ],
        };
        assert_eq!(Items::parse(&over_the_wire(&items.to_element())), Some(items));
        let broken =
            element("query", ns::DISCO_ITEMS).with_child(element("item", ns::DISCO_ITEMS).with_attr("jid", "@"));
        assert_eq!(Items::parse(&broken), Some(Items::default()));
        assert_eq!(Items::parse(&element("query", ns::DISCO_INFO)), None);
    }
}
