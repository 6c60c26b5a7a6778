//! The configuration: one TOML file, over which environment variables are laid.
//!
//! Relative paths in it start at its own folder, so that every command that is given the file means the same.
//!
//! A file is used only when all of it is right; every mistake is reported, with its line, the value and what is allowed.
//!
//! Any key can be given by an environment variable: `VERONA_`, then the key's path in capitals with two underscores for
//! each dot, and a number for the place in a list: `VERONA_SIP__OUTBOUND_PROXY`, `VERONA_XMPP__COMPONENT__0__SECRET`.
//! A text stands there without quotation marks; a list is texts between commas, or a TOML list. A variable wins over the
//! file; the place after a list's last one adds an entry.

mod abuse;
mod accounts;
mod acme;
mod check;
mod dns;
mod federation;
mod media;
mod mistake;
mod msrp;
mod numbers;
mod read;
mod registrar;
mod reload;
mod rooms;
mod secret;
mod sections;
mod settings;
#[cfg(test)]
mod tests;
mod tree;
mod trunk;
mod value;

pub use abuse::Abuse;
pub use accounts::Accounts;
pub use acme::Acme;
pub use dns::Dns;
pub use federation::{Federation, FederationListen};
pub use media::{Media, RelayMode};
pub use mistake::{Mistake, Place, Severity};
pub use msrp::{Certificate, Chat, Mode, Msrp, MsrpListen, Relay, Tls, Trust};
pub use numbers::NumberRule;
pub use registrar::Registrar;
pub use reload::{ReloadPlan, reload};
pub use rooms::{RoomPassword, Rooms};
pub use secret::Secret;
pub use settings::{
    AbuseSettings, AccountSettings, AcmeSettings, ChatSettings, FederationSettings, Limits, MediaSettings, Message,
    MsrpSettings, PresenceConfig, RegistrarSettings, RoomSettings, SipTimes, XmppTimes,
};
pub use stox::network::Network;
pub use trunk::Trunk;
pub(crate) use value::show_duration;
pub use value::{ContactHost, Domains, Host, HostPort, Listen, ProxyUri, Store, Transport};

use std::fmt;
use std::net::SocketAddr;
use std::path::Path;
use tree::Tree;

/// What every variable that overrides a key starts with.
const ENVIRONMENT_PREFIX: &str = "VERONA_";

/// The whole configuration, checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Config {
    /// The XMPP side.
    pub xmpp: Xmpp,
    /// The SIP side.
    pub sip: Sip,
    /// How telephone numbers are written.
    pub numbers: Vec<NumberRule>,
    /// How messages are translated.
    pub message: Message,
    /// How chat sessions are translated.
    pub chat: Chat,
    /// What chat sessions and rooms travel over.
    pub msrp: Msrp,
    /// Certificates.
    pub tls: Tls,
    /// Who is asked for names.
    pub dns: Dns,
    /// How rooms are translated.
    pub rooms: Rooms,
    /// How calls are translated, and what carries their media.
    pub media: Media,
    /// How presence is translated.
    pub presence: PresenceConfig,
    /// Where addresses that a peer names may lead to.
    pub security: Security,
    /// What survives a restart.
    pub store: StoreConfig,
    /// The operator's HTTP interface.
    pub admin: Admin,
    /// What is logged.
    pub log: Log,
    /// The bounds.
    pub limits: Limits,
    /// Who is let in at all.
    pub abuse: Abuse,
    /// Who gives us certificates by itself. Its files are the last of `tls.certificates`.
    pub acme: Option<Acme>,
}

impl Config {
    /// The SIP domains that the gateway stands for: those of the components, then those that are federated.
    pub fn sip_domains(&self) -> impl Iterator<Item = &str> {
        let federated = self.xmpp.federation.iter().flat_map(|federation| &federation.domains);
        self.xmpp.components.iter().map(|component| &component.domain).chain(federated).map(String::as_str)
    }
}

/// The XMPP side.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Xmpp {
    /// The component streams, each with a domain of its own; at least one where nothing is federated.
    pub components: Vec<Component>,
    /// Their times.
    pub times: XmppTimes,
    /// The SIP domains that the gateway itself is the XMPP server of; none: there are none.
    pub federation: Option<Federation>,
    /// SIP accounts that XMPP users link themselves.
    pub accounts: Accounts,
}

/// A component stream (XEP-0114): one SIP domain that the gateway stands for at an XMPP server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Component {
    /// The SIP domain.
    pub domain: String,
    /// The XMPP server's component port.
    pub server: HostPort,
    /// What the handshake proves knowledge of.
    pub secret: Secret,
    /// The XMPP domains whose users may send to this one; `sip.domains` where none are written.
    pub allow_from: Domains,
    /// As what chat messages go to its users; `chat.mode` where nothing is written.
    pub chat: Mode,
}

/// The SIP side.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sip {
    /// The XMPP domains that SIP users reach here; at least one, unless it is any.
    pub domains: Vec<String>,
    /// Whether users of federated domains reach every other XMPP domain, too (`"*"` in the file).
    pub any_domain: bool,
    /// The sockets, at least one, no two the same.
    pub listen: Vec<Listen>,
    /// The web pages that may connect to a WebSocket; programs that are no browsers say no origin.
    pub origins: Domains,
    /// The next hop of everything that goes to SIP. Without it nothing from XMPP gets to SIP.
    pub outbound_proxy: Option<ProxyUri>,
    /// Who carries what goes to some SIP domains.
    pub trunks: Vec<Trunk>,
    /// Who may send for which SIP domains.
    pub peers: Peers,
    /// The SIP domain of telephone numbers.
    pub phone_domain: Option<String>,
    /// Whether callers who do not say who they are are let in.
    pub anonymous: bool,
    /// What stands in Contact.
    pub contact: ContactHost,
    /// Whether XMPP users' presence is published to the outbound proxy (RFC 3903), too, in place of only being asked for.
    pub publish: bool,
    /// Phones that register here.
    pub registrar: Registrar,
    /// The transactions' times.
    pub times: SipTimes,
}

/// Who may send SIP for which SIP domains.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Peers {
    /// The entries; where none are written: loopback, and the outbound proxy if it is a literal address.
    pub entries: Vec<Peer>,
    /// No entry was written and the outbound proxy is a name: its addresses may send for every component's domain, too.
    pub proxy_by_name: bool,
}

/// Somebody, and the SIP domains that it may speak for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Peer {
    /// The network that it is in; none: any.
    pub source: Option<Network>,
    /// The SIP domain that its certificate proves (RFC 5922); none: none is asked for. There is one of the two at least.
    pub certificate: Option<String>,
    /// The domains; `"*"` in the file stands for those of all components.
    pub domains: Vec<String>,
    /// Whether its word for a caller counts (P-Asserted-Identity, RFC 3325).
    pub trusted: bool,
}

/// Where addresses that a peer names may lead to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Security {
    /// Loopback, link-local and private networks that are open to them all the same.
    pub allow_networks: Vec<Network>,
}

/// What survives a restart.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoreConfig {
    /// Where it is kept.
    pub url: Store,
}

/// The operator's HTTP interface.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Admin {
    /// Its socket; none: no interface.
    pub listen: Option<SocketAddr>,
}

/// What is logged, to standard error.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Log {
    /// A level, or levels by module: `info,verona::io=debug`. Checked.
    pub level: String,
    /// The form of a line.
    pub format: LogFormat,
}

/// The form of a line in the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogFormat {
    /// For people.
    Text,
    /// One JSON object for each line.
    Json,
}

/// A configuration that may be used, and what its operator should know.
#[derive(Debug)]
pub struct Loaded {
    /// The configuration.
    pub config: Config,
    /// Mistakes that do not stop the gateway.
    pub warnings: Vec<Mistake>,
}

/// Everything that is wrong with a configuration, warnings among it, in the order of the file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AllMistakes(pub Vec<Mistake>);

impl fmt::Display for AllMistakes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, mistake) in self.0.iter().enumerate() {
            if i > 0 {
                f.write_str("\n")?;
            }
            mistake.fmt(f)?;
        }
        Ok(())
    }
}

impl std::error::Error for AllMistakes {}

/// The variables that may override keys.
#[derive(Debug, Default)]
pub struct Environment(Vec<(String, String)>);

impl Environment {
    /// Those of this process. A value that is not UTF-8 is taken with its broken bytes replaced, and then fails its check.
    pub fn of_process() -> Environment {
        Environment::of(
            std::env::vars_os()
                .map(|(name, value)| (name.to_string_lossy().into_owned(), value.to_string_lossy().into_owned())),
        )
    }

    /// These; names that do not start with `VERONA_` are left out.
    pub fn of(variables: impl IntoIterator<Item = (String, String)>) -> Environment {
        let mut ours: Vec<_> = variables.into_iter().filter(|(name, _)| name.starts_with(ENVIRONMENT_PREFIX)).collect();
        // Entry 9 of a list comes before entry 10.
        ours.sort_by_cached_key(|(name, _)| {
            name.split("__").map(|step| (step.parse::<usize>().ok(), step.to_owned())).collect::<Vec<_>>()
        });
        Environment(ours)
    }
}

/// Reads and checks a file and lays the environment over it.
pub fn load(path: &Path, environment: Environment) -> Result<Loaded, AllMistakes> {
    let name = path.display().to_string();
    match std::fs::read_to_string(path) {
        Ok(text) => read_text(&name, &text, environment, world_readable(path)),
        Err(e) => Err(AllMistakes(vec![Mistake {
            severity: Severity::Error,
            place: Place::File { name, line: 1, column: 1 },
            key: String::new(),
            value: None,
            problem: format!("the file cannot be read: {e}"),
            allowed: String::new(),
        }])),
    }
}

/// Reads and checks a configuration's text. `name` is what mistakes call the file; relative paths start at its folder.
pub fn parse(name: &str, text: &str, environment: Environment) -> Result<Loaded, AllMistakes> {
    read_text(name, text, environment, false)
}

fn read_text(name: &str, text: &str, environment: Environment, world_readable: bool) -> Result<Loaded, AllMistakes> {
    let mut tree = Tree::parse(name, text).map_err(AllMistakes)?;
    let mut mistakes = Vec::new();
    for (variable, value) in environment.0 {
        mistakes.extend(tree.overlay(&variable, value).err().map(|m| *m));
    }
    let mut reader = read::Reader::new(&tree);
    let folder = Path::new(name).parent().unwrap_or(Path::new(""));
    let config = sections::read(&mut reader, folder, world_readable);
    mistakes.extend(reader.finish());
    match config {
        Some(config) if mistakes.iter().all(|m| m.severity == Severity::Warning) => {
            Ok(Loaded { config, warnings: mistakes })
        }
        _ => Err(AllMistakes(mistakes)),
    }
}

/// Whether everybody on this machine may read the file.
fn world_readable(path: &Path) -> bool {
    use std::os::unix::fs::PermissionsExt;
    std::fs::metadata(path).is_ok_and(|m| m.permissions().mode() & 0o004 != 0)
}
