//! XEP-0115: Entity Capabilities.

use super::disco::Info;
use super::element;
use crate::ns;
use base::Str;
use sha1::{Digest, Sha1};
use xml::Element;

/// `<c/>` in a presence: a short name for what its sender can do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Caps {
    /// The hash function, `sha-1` as a rule.
    pub hash: Str,
    /// A URI for the software.
    pub node: Str,
    /// The verification string.
    pub ver: Str,
}

impl Caps {
    /// The name for what `info` says.
    pub fn of(info: &Info, node: &str) -> Caps {
        Caps { hash: Str::const_new("sha-1"), node: node.into(), ver: verification(info) }
    }

    /// The node to ask (with disco#info) for what it stands for (§6.2).
    pub fn disco_node(&self) -> Str {
        base::format_compact!("{}#{}", self.node, self.ver)
    }

    /// Reads it. The old form without a hash says nothing that could be relied on.
    pub fn parse(e: &Element) -> Option<Caps> {
        let attr = |name| e.attr(name).map(Str::from);
        if !e.is("c", ns::CAPS) {
            return None;
        }
        Some(Caps { hash: attr("hash")?, node: attr("node")?, ver: attr("ver")? })
    }

    /// Writes it.
    pub fn to_element(&self) -> Element {
        element("c", ns::CAPS)
            .with_attr("hash", self.hash.clone())
            .with_attr("node", self.node.clone())
            .with_attr("ver", self.ver.clone())
    }
}

/// The verification string of what an entity says of itself (§5.1), with SHA-1, for an entity without data forms.
pub fn verification(info: &Info) -> Str {
    let mut identities: Vec<_> = info.identities.iter().collect();
    identities.sort();
    let mut features: Vec<_> = info.features.iter().collect();
    features.sort();
    let mut sha = Sha1::new();
    for i in identities {
        let (lang, name) = (i.lang.as_deref().unwrap_or_default(), i.name.as_deref().unwrap_or_default());
        sha.update(format!("{}/{}/{lang}/{name}<", i.category, i.type_));
    }
    for f in features {
        sha.update(f.as_bytes());
        sha.update(b"<");
    }
    base64(&sha.finalize())
}

/// Base64 (RFC 4648 §4).
fn base64(bytes: &[u8]) -> Str {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut out = Str::default();
    for chunk in bytes.chunks(3) {
        let group = [0, 1, 2].iter().fold(0u32, |acc, &i| acc << 8 | u32::from(chunk.get(i).copied().unwrap_or(0)));
        for i in 0..4 {
            // So many bytes need one character more than they are.
            let c = if i <= chunk.len() { char::from(ALPHABET[(group >> (18 - 6 * i) & 63) as usize]) } else { '=' };
            out.push(c);
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::super::disco::Identity;
    use super::*;

    #[test]
    fn the_example_of_the_specification() {
        // XEP-0115 §5.2.
        let info = Info {
            node: None,
            identities: vec![Identity::new("client", "pc").with_name("Exodus 0.9.1")],
            features: [ns::DISCO_ITEMS, ns::DISCO_INFO, "http://jabber.org/protocol/muc", ns::CAPS]
                .map(Str::from)
                .to_vec(),
        };
        let caps = Caps::of(&info, "http://code.google.com/p/exodus");
        assert_eq!(caps.ver, "QgayPKawpkPSDYmwT/WM94uAlu0=");
        assert_eq!(caps.disco_node(), "http://code.google.com/p/exodus#QgayPKawpkPSDYmwT/WM94uAlu0=");
        assert_eq!(Caps::parse(&caps.to_element()), Some(caps.clone()));
        let mut old = caps.to_element();
        old.attrs.retain(|a| a.name != "hash");
        assert_eq!(Caps::parse(&old), None);
    }

    #[test]
    fn base64_of_every_length() {
        for (bytes, text) in
            [("", ""), ("f", "Zg=="), ("fo", "Zm8="), ("foo", "Zm9v"), ("foob", "Zm9vYg=="), ("\u{7FF}", "378=")]
        {
            assert_eq!(base64(bytes.as_bytes()), text);
        }
    }
}
