//! The mapping step by step, for people who ask why an address became what it is.

use super::{AddressError, Form, Options};
use sip::uri::Uri;
use xmpp::jid::Jid;

/// One step of RFC 7247 §6.4 or §6.5.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step {
    /// The section and step of RFC 7247, or of another RFC where it says so.
    pub rule: &'static str,
    /// What the step does.
    pub what: &'static str,
    /// What it was given.
    pub before: String,
    /// What it made of it.
    pub after: String,
}

/// A mapping and the way to it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Explanation<T> {
    /// The steps up to the result, or up to what went wrong.
    pub steps: Vec<Step>,
    /// The result.
    pub result: Result<T, AddressError>,
}

/// [`to_jid`](super::to_jid) step by step.
pub fn explain_jid(uri: &Uri, options: &Options) -> Explanation<Jid> {
    let mut steps = Vec::new();
    let result = super::jid_of_uri(uri, options, &mut steps);
    Explanation { steps, result }
}

/// [`to_form`](super::to_form) step by step.
pub fn explain_uri(jid: &Jid, form: Form) -> Explanation<Uri> {
    let mut steps = Vec::new();
    let result = super::uri_of_jid(jid, form, &mut steps);
    Explanation { steps, result }
}

/// Who looks on. `()` does not, and costs nothing.
pub(super) trait Trace {
    /// A step was done; `texts` gives what was before and after, if anybody wants to know.
    fn step(&mut self, rule: &'static str, what: &'static str, texts: impl FnOnce() -> (String, String));
}

impl Trace for () {
    #[inline]
    fn step(&mut self, _: &'static str, _: &'static str, _: impl FnOnce() -> (String, String)) {}
}

impl Trace for Vec<Step> {
    fn step(&mut self, rule: &'static str, what: &'static str, texts: impl FnOnce() -> (String, String)) {
        let (before, after) = texts();
        self.push(Step { rule, what, before, after });
    }
}
