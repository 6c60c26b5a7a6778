//! Which namespace a prefix means.

use crate::{Error, Limits, XML_NS, XMLNS_NS};
use base::Str;

/// The declarations in force, the innermost last.
#[derive(Debug, Default)]
pub(crate) struct Scope {
    bindings: Vec<Binding>,
}

#[derive(Debug)]
struct Binding {
    /// Empty for the default namespace.
    prefix: Str,
    ns: Str,
}

impl Scope {
    /// How many declarations there are, for [`Scope::leave`].
    pub(crate) fn mark(&self) -> usize {
        self.bindings.len()
    }

    /// Forgets the declarations made since `mark`.
    pub(crate) fn leave(&mut self, mark: usize) {
        self.bindings.truncate(mark);
    }

    /// Takes a declaration of the element whose declarations start at `mark`.
    ///
    /// # Errors
    /// What Namespaces in XML §3 and §6 forbid: the reserved prefixes and names, undeclaring a prefix, a declaration made
    /// twice; and limits.
    pub(crate) fn declare(&mut self, mark: usize, prefix: &str, ns: Str, limits: &Limits) -> Result<(), Error> {
        if ns.len() > limits.name_bytes {
            return Err(Error::TooBig { what: "bytes of a namespace name", limit: limits.name_bytes });
        }
        match prefix {
            "xmlns" => return Err(Error::NotWellFormed("the prefix xmlns is declared")),
            "xml" if ns == XML_NS => return Ok(()),
            "xml" => return Err(Error::NotWellFormed("the prefix xml is declared as something else")),
            _ if ns == XML_NS || ns == XMLNS_NS => {
                return Err(Error::NotWellFormed("a reserved namespace is declared"));
            }
            "" => {}
            _ if ns.is_empty() => return Err(Error::NotWellFormed("a prefix is declared empty")),
            _ => {}
        }
        if self.bindings[mark..].iter().any(|b| b.prefix == prefix) {
            return Err(Error::NotWellFormed("a namespace is declared twice"));
        }
        if self.bindings.len() >= limits.namespaces {
            return Err(Error::TooBig { what: "namespace declarations", limit: limits.namespaces });
        }
        self.bindings.push(Binding { prefix: prefix.into(), ns });
        Ok(())
    }

    /// The namespace of an element's prefix; of the empty one, the default namespace.
    pub(crate) fn resolve(&self, prefix: &str) -> Result<Str, Error> {
        if prefix == "xml" {
            return Ok(Str::const_new(XML_NS));
        }
        match self.bindings.iter().rev().find(|b| b.prefix == prefix) {
            Some(b) => Ok(b.ns.clone()),
            None if prefix.is_empty() => Ok(Str::const_new("")),
            None => Err(Error::UnboundPrefix),
        }
    }

    /// The namespace of an attribute's prefix; the default namespace is not for attributes.
    pub(crate) fn resolve_attr(&self, prefix: &str) -> Result<Str, Error> {
        if prefix.is_empty() { Ok(Str::const_new("")) } else { self.resolve(prefix) }
    }
}
