//! The queries of moderators, admins and owners.

use super::super::element;
use super::{Destroy, Item, MAX_ITEMS};
use crate::ns;
use xml::Element;

/// `<query xmlns='http://jabber.org/protocol/muc#admin'/>`: a list asked for (by the affiliation or role of its one item), a list told, or
/// changes of roles (by nickname) and affiliations (by address) that are wanted (§8, §9).
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Admin {
    /// The items.
    pub items: Vec<Item>,
}

impl Admin {
    /// Reads it. Of too long a list nothing is read: half of what somebody wants would be something else.
    pub fn parse(e: &Element) -> Option<Admin> {
        if !e.is("query", ns::MUC_ADMIN) {
            return None;
        }
        let items = || e.elements().filter(|c| c.is("item", ns::MUC_ADMIN));
        if items().nth(MAX_ITEMS).is_some() {
            return None;
        }
        Some(Admin { items: items().map(|c| Item::read(c, ns::MUC_ADMIN)).collect() })
    }

    /// Writes it.
    pub fn to_element(&self) -> Element {
        self.items.iter().fold(element("query", ns::MUC_ADMIN), |e, item| e.with_child(item.to_element(ns::MUC_ADMIN)))
    }
}

/// `<query xmlns='http://jabber.org/protocol/muc#owner'/>` (§10): what an owner wants.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Owner {
    /// The form of the configuration, in an iq of type get: the empty query.
    Ask,
    /// A form (XEP-0004), asked for, filled in or cancelled.
    Form(Element),
    /// The end of the room.
    Destroy(Destroy),
}

impl Owner {
    /// Reads it.
    pub fn parse(e: &Element) -> Option<Owner> {
        if !e.is("query", ns::MUC_OWNER) {
            return None;
        }
        if let Some(destroy) = e.child("destroy", ns::MUC_OWNER) {
            return Some(Owner::Destroy(Destroy::read(destroy, ns::MUC_OWNER)));
        }
        Some(e.child("x", ns::DATA_FORMS).map_or(Owner::Ask, |form| Owner::Form(form.clone())))
    }

    /// A form that says: as the room is by default (§10.1.2). It unlocks a new room.
    pub fn instant() -> Owner {
        Owner::Form(element("x", ns::DATA_FORMS).with_attr("type", "submit"))
    }

    /// Writes it.
    pub fn to_element(&self) -> Element {
        let e = element("query", ns::MUC_OWNER);
        match self {
            Owner::Ask => e,
            Owner::Form(form) => e.with_child(form.clone()),
            Owner::Destroy(destroy) => e.with_child(destroy.to_element(ns::MUC_OWNER)),
        }
    }
}
