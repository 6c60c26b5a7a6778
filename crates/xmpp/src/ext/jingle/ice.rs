//! XEP-0176 and XEP-0371: ICE; XEP-0320: fingerprints of keys.

use super::read::{self, Read, Str};
use super::{MAX_CANDIDATES, MAX_LIST};
use crate::ext::element;
use crate::ns;
use base::{Syntax, format_compact};
use xml::{Attr, Element};

/// Which text of the specification.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub enum Form {
    /// XEP-0176, which everybody speaks.
    #[default]
    Udp,
    /// XEP-0371, which was to replace it.
    Any,
}

/// What one side says of its half of an ICE stream.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Ice {
    /// In which text's terms.
    pub form: Form,
    /// The user name fragment.
    pub ufrag: Option<Str>,
    /// The password.
    pub pwd: Option<Str>,
    /// Where it can be reached, at most [`MAX_CANDIDATES`].
    pub candidates: Vec<Candidate>,
    /// Which of the other side's candidates it has chosen (XEP-0176 §5.8).
    pub remote_candidates: Vec<RemoteCandidate>,
    /// Keys that are proven by their fingerprints (XEP-0320): with several hash functions, of one key.
    pub fingerprints: Vec<Fingerprint>,
    /// There will be no more candidates (XEP-0371 §7; some say it in terms of XEP-0176).
    pub gathering_complete: bool,
    /// Options of ICE (RFC 8839 §5.6), such as `trickle` and `ice2`: names of XML, each once.
    pub options: Vec<Str>,
    /// RTP and RTCP share a port: programs that say it here say it in the description as well, or should.
    pub rtcp_mux: bool,
    /// What else is said of it.
    pub other: Vec<Element>,
}

/// Where one side can be reached.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Candidate {
    /// For what: 1 RTP, 2 RTCP.
    pub component: u8,
    /// What is alike for candidates of one kind, base and server.
    pub foundation: Str,
    /// How often ICE was started anew.
    pub generation: u32,
    /// Its name; empty where it has none.
    pub id: Str,
    /// The address, as it was written: it may be a name.
    pub ip: Str,
    /// Which of the networks of its side.
    pub network: Option<Str>,
    /// The port.
    pub port: u16,
    /// The more the better.
    pub priority: u32,
    /// `udp` or `tcp`.
    pub protocol: Str,
    /// `host`, `srflx`, `prflx` or `relay`.
    pub kind: Str,
    /// What it stands for.
    pub rel_addr: Option<Str>,
    /// And its port.
    pub rel_port: Option<u16>,
    /// Who connects to whom (RFC 6544).
    pub tcptype: Option<Str>,
    /// Other attributes, such as `ufrag` and `network-cost`; without those in a namespace.
    pub other: Vec<(Str, Str)>,
}

/// Which of the other side's candidates was chosen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RemoteCandidate {
    /// For what.
    pub component: u8,
    /// The address.
    pub ip: Str,
    /// The port.
    pub port: u16,
}

/// The fingerprint of a key (XEP-0320).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fingerprint {
    /// The hash function, such as `sha-256`.
    pub hash: Str,
    /// Who begins: `active`, `passive`, `actpass`.
    pub setup: Option<Str>,
    /// Whether it was said that there is no call without it.
    pub required: Option<bool>,
    /// The fingerprint: hexadecimal digits and colons.
    pub value: Str,
}

/// The attributes of a candidate that have a place of their own.
const OWN: [&str; 13] = [
    "component",
    "foundation",
    "generation",
    "id",
    "ip",
    "network",
    "port",
    "priority",
    "protocol",
    "rel-addr",
    "rel-port",
    "tcptype",
    "type",
];

impl Ice {
    pub(super) fn parse(e: &Element) -> Read<Ice> {
        let mut ice = Ice {
            form: if e.ns == ns::ICE { Form::Any } else { Form::Udp },
            ufrag: read::word(e, "ufrag")?,
            pwd: read::word(e, "pwd")?,
            ..Ice::default()
        };
        if read::flag(e, "ice2") == Some(true) {
            ice.options.push(Str::const_new("ice2"));
        }
        for child in e.elements() {
            ice.read(child)?;
        }
        Ok(ice)
    }

    fn read(&mut self, e: &Element) -> Read<()> {
        match (e.name.as_str(), e.ns.as_str()) {
            ("candidate", ns::ICE_UDP | ns::ICE) => {
                let candidate = Candidate::parse(e)?;
                if self.candidates.len() < MAX_CANDIDATES {
                    self.candidates.push(candidate);
                }
            }
            ("remote-candidate", ns::ICE_UDP | ns::ICE) => {
                read::add(&mut self.remote_candidates, RemoteCandidate::parse(e)?, MAX_LIST)?;
            }
            ("gathering-complete" | "end-of-candidates", ns::ICE_UDP | ns::ICE) => self.gathering_complete = true,
            ("rtcp-mux", ns::ICE_UDP | ns::ICE) => self.rtcp_mux = true,
            ("fingerprint", ns::DTLS) => read::add(&mut self.fingerprints, Fingerprint::parse(e)?, MAX_LIST)?,
            (name, ns::ICE_OPTIONS) => {
                if !self.options.iter().any(|option| option == name) {
                    read::add(&mut self.options, name.into(), MAX_LIST)?;
                }
            }
            _ => read::keep(&mut self.other, e),
        }
        Ok(())
    }

    pub(super) fn to_element(&self) -> Element {
        let ns = match self.form {
            Form::Udp => ns::ICE_UDP,
            Form::Any => ns::ICE,
        };
        let mut e = element("transport", ns);
        for (name, value) in [("pwd", &self.pwd), ("ufrag", &self.ufrag)] {
            if let Some(value) = value {
                e.set_attr(name, value.clone());
            }
        }
        for option in &self.options {
            match self.form {
                Form::Any if option == "ice2" => e.set_attr("ice2", Str::const_new("true")),
                // An option is an element of its name, which not every word can be.
                Form::Udp | Form::Any if xml::is_name(option) => {
                    e.push(Element::new(option.clone(), Str::const_new(ns::ICE_OPTIONS)));
                }
                Form::Udp | Form::Any => {}
            }
        }
        self.fingerprints.iter().for_each(|fingerprint| e.push(fingerprint.to_element()));
        self.candidates.iter().for_each(|candidate| e.push(candidate.to_element(ns)));
        self.remote_candidates.iter().for_each(|remote| e.push(remote.to_element(ns)));
        for (there, name) in [(self.rtcp_mux, "rtcp-mux"), (self.gathering_complete, "gathering-complete")] {
            if there {
                e.push(element(name, ns));
            }
        }
        self.other.iter().for_each(|other| e.push(other.clone()));
        e
    }
}

impl Candidate {
    fn parse(e: &Element) -> Read<Candidate> {
        let own = |a: &Attr| !a.ns.is_empty() || OWN.contains(&a.name.as_str());
        let mut other = Vec::new();
        for attr in e.attrs.iter().filter(|a| !own(a)) {
            other.extend(read::value(e, &attr.name)?.map(|value| (attr.name.clone(), value)));
        }
        let component = read::number(e, "component")?.filter(|c| *c > 0);
        Ok(Candidate {
            component: read::required(component, "a candidate without a component")?,
            foundation: read::required(read::word(e, "foundation")?, "a candidate without a foundation")?,
            // Programs leave out what they do not use themselves.
            generation: read::number(e, "generation")?.unwrap_or(0),
            id: read::word(e, "id")?.unwrap_or_default(),
            ip: read::required(read::word(e, "ip")?, "a candidate without an address")?,
            network: read::word(e, "network")?,
            port: read::required(read::number(e, "port")?, "a candidate without a port")?,
            priority: read::required(read::number(e, "priority")?, "a candidate without a priority")?,
            protocol: read::word(e, "protocol")?.unwrap_or(Str::const_new("udp")),
            kind: read::required(read::word(e, "type")?, "a candidate without a type")?,
            rel_addr: read::word(e, "rel-addr")?,
            rel_port: read::number(e, "rel-port")?,
            tcptype: read::word(e, "tcptype")?,
            other,
        })
    }

    fn to_element(&self, ns: &'static str) -> Element {
        let mut e = element("candidate", ns)
            .with_attr("component", format_compact!("{}", self.component))
            .with_attr("foundation", self.foundation.clone())
            .with_attr("generation", format_compact!("{}", self.generation))
            .with_attr("id", self.id.clone())
            .with_attr("ip", self.ip.clone());
        if let Some(network) = &self.network {
            e.set_attr("network", network.clone());
        }
        e.set_attr("port", format_compact!("{}", self.port));
        e.set_attr("priority", format_compact!("{}", self.priority));
        e.set_attr("protocol", self.protocol.clone());
        if let Some(rel_addr) = &self.rel_addr {
            e.set_attr("rel-addr", rel_addr.clone());
        }
        if let Some(rel_port) = self.rel_port {
            e.set_attr("rel-port", format_compact!("{rel_port}"));
        }
        if let Some(tcptype) = &self.tcptype {
            e.set_attr("tcptype", tcptype.clone());
        }
        e.set_attr("type", self.kind.clone());
        for (name, value) in self.other.iter().filter(|(name, _)| !OWN.contains(&name.as_str())) {
            e.set_attr(name, value.clone());
        }
        e
    }
}

impl RemoteCandidate {
    fn parse(e: &Element) -> Read<RemoteCandidate> {
        Ok(RemoteCandidate {
            component: read::required(read::number(e, "component")?, "a candidate without a component")?,
            ip: read::required(read::word(e, "ip")?, "a candidate without an address")?,
            port: read::required(read::number(e, "port")?, "a candidate without a port")?,
        })
    }

    fn to_element(&self, ns: &'static str) -> Element {
        element("remote-candidate", ns)
            .with_attr("component", format_compact!("{}", self.component))
            .with_attr("ip", self.ip.clone())
            .with_attr("port", format_compact!("{}", self.port))
    }
}

impl Fingerprint {
    pub(super) fn parse(e: &Element) -> Read<Fingerprint> {
        let value = read::text(e)?;
        if value.is_empty() || value.contains(|c: char| !c.is_ascii_hexdigit() && c != ':') {
            return Err(Syntax("not a fingerprint"));
        }
        Ok(Fingerprint {
            hash: read::required(read::word(e, "hash")?, "a fingerprint without its hash function")?,
            setup: read::word(e, "setup")?,
            required: read::flag(e, "required"),
            value,
        })
    }

    pub(super) fn to_element(&self) -> Element {
        let mut e = element("fingerprint", ns::DTLS).with_attr("hash", self.hash.clone());
        if let Some(setup) = &self.setup {
            e.set_attr("setup", setup.clone());
        }
        if let Some(required) = self.required {
            e.set_attr("required", Str::const_new(if required { "true" } else { "false" }));
        }
        e.with_text(&self.value)
    }
}
