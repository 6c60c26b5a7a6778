//! The digest of RFC 7616 as RFC 4976 §9.1 wants it: with qop `auth`, and neither Basic nor `-sess`. What is hashed is `base::digest`; here
//! are the fields.

use base::Str;
use base::digest::{Algorithm, Hash, Nonce, Proof, Secret};
use std::fmt::Write as _;

/// What a parameter may be long.
const LONGEST: usize = 512;

/// What a relay wants to see.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Challenge {
    realm: Str,
    nonce: Nonce,
    opaque: Option<Str>,
    algorithm: Algorithm,
    /// Whether the relay named it.
    named: bool,
    /// Whether only the nonce was too old.
    pub(crate) stale: bool,
}

impl Challenge {
    /// Reads a WWW-Authenticate. `None` for a scheme, an algorithm or a quality that is not served.
    pub(crate) fn parse(value: &str) -> Option<Challenge> {
        let value = value.trim_start();
        let (scheme, params) = value.split_once(' ')?;
        if !scheme.eq_ignore_ascii_case("Digest") {
            return None;
        }
        let params = params_of(params)?;
        let get = |name: &str| params.iter().find(|(n, _)| n.eq_ignore_ascii_case(name)).map(|(_, v)| v);
        let algorithm = get("algorithm").map_or(Some(Algorithm::Md5), |name| Algorithm::named(name))?;
        // RFC 4976 §9.1: a qop is always there; a relay that forgets it is given one all the same.
        if !get("qop").is_none_or(|qop| qop.split(',').any(|q| q.trim().eq_ignore_ascii_case("auth"))) {
            return None;
        }
        Some(Challenge {
            realm: get("realm")?.clone(),
            nonce: Nonce::new(get("nonce")?),
            opaque: get("opaque").cloned(),
            algorithm,
            named: get("algorithm").is_some(),
            stale: get("stale").is_some_and(|stale| stale.eq_ignore_ascii_case("true")),
        })
    }

    /// The best of several.
    pub(crate) fn best<'a>(values: impl Iterator<Item = &'a str>) -> Option<Challenge> {
        values.filter_map(Challenge::parse).max_by_key(|challenge| challenge.algorithm)
    }

    /// Takes the nonce that an Authentication-Info gives for the next time.
    pub(crate) fn renew(&mut self, info: &str) {
        if let Some(nonce) = param(info, "nextnonce") {
            self.nonce = Nonce::new(&nonce);
        }
    }

    /// An Authorization for `method` at `uri`, and what the answer's `rspauth` must be.
    pub(crate) fn answer(
        &mut self,
        username: &str,
        password: &str,
        method: &str,
        uri: &str,
        cnonce: &str,
    ) -> (String, Hash) {
        let Challenge { realm, nonce, opaque, algorithm, named, stale: _ } = self;
        let count = nonce.count_up();
        let nonce = nonce.as_str();
        let secret = Secret::new(*algorithm, username, realm, password);
        let proof = Proof { nonce, count: Some((count, cnonce)) };
        let mut out = format!(
            "Digest username={}, realm={}, nonce={}, uri={}, qop=auth, nc={count:08x}, cnonce=\"{cnonce}\", response=\"{}\"",
            quoted(username),
            quoted(realm),
            quoted(nonce),
            quoted(uri),
            secret.request_digest(method, uri, &proof).as_str(),
        );
        if *named {
            let _ = write!(out, ", algorithm={algorithm}");
        }
        if let Some(opaque) = opaque {
            let _ = write!(out, ", opaque={}", quoted(opaque));
        }
        (out, secret.response_digest(uri, &proof))
    }
}

/// A parameter of an Authentication-Info.
pub(crate) fn param(value: &str, name: &str) -> Option<Str> {
    params_of(value)?.into_iter().find(|(n, _)| n.eq_ignore_ascii_case(name)).map(|(_, value)| value)
}

fn quoted(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 2);
    out.push('"');
    for c in text.chars() {
        if matches!(c, '"' | '\\') {
            out.push('\\');
        }
        out.push(c);
    }
    out.push('"');
    out
}

/// `name=value` with commas between; a value is a token or quoted. `None` for what is not.
fn params_of(text: &str) -> Option<Vec<(Str, Str)>> {
    let mut params = Vec::new();
    let mut rest = text.trim_matches([' ', '\t', ',']);
    while !rest.is_empty() {
        let (name, after) = rest.split_once('=')?;
        let (value, after) = match after.trim_start().strip_prefix('"') {
            Some(inside) => unquote(inside)?,
            None => {
                let end = after.find(',').unwrap_or(after.len());
                (Str::from(after[..end].trim()), &after[end..])
            }
        };
        if value.len() > LONGEST || params.len() >= 32 {
            return None;
        }
        params.push((Str::from(name.trim()), value));
        let after = after.trim_start();
        if !after.is_empty() && !after.starts_with(',') {
            return None;
        }
        rest = after.trim_start_matches([' ', '\t', ',']);
    }
    Some(params)
}

/// A quoted string behind its first quote, and what follows it.
fn unquote(inside: &str) -> Option<(Str, &str)> {
    let mut out = Str::default();
    let mut chars = inside.char_indices();
    while let Some((at, c)) = chars.next() {
        match c {
            '"' => return Some((out, &inside[at + 1..])),
            '\\' => out.push(chars.next()?.1),
            c => out.push(c),
        }
    }
    None
}
