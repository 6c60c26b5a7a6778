//! Prosody: the XMPP server with its users and the gateway's components.

use super::xmpp_server::{DOMAIN, PASSWORD, ROOMS, SECRET, XmppServer};
use super::{Credentials, Dnsmasq, Place, Process, Servers, TestCa, Zone, template, until};
use std::fs;
use std::net::{SocketAddr, TcpStream};
use std::path::PathBuf;
use std::time::Duration;

const START: Duration = Duration::from_secs(10);

/// What tests of component streams are run over in their place where `INTEROP_OVER_FEDERATION` is set: TLS with certificates of a test's own authority.
#[derive(Debug)]
struct Over {
    ca: TestCa,
    dns: Dnsmasq,
    theirs: SocketAddr,
    server: Credentials,
    /// What the gateway is told; `@DOMAINS@` are its domains.
    toml: String,
}

impl Over {
    #[track_caller]
    fn wished(place: &Place, domain: &str, gateways: &[&str]) -> Option<Over> {
        std::env::var_os("INTEROP_OVER_FEDERATION")?;
        let (ca, theirs, ours) = (TestCa::new(place), place.free(), place.free());
        let rooms = format!("rooms.{domain}");
        let server = ca.issue(place, "server", &[domain, &rooms]);
        let gateway = ca.issue(place, "gateway", gateways);
        let (xmpp, gateway_host) = (format!("xmpp.{domain}"), format!("gateway.{domain}"));
        let mut zone = Zone::new().host(&xmpp, theirs.ip()).host(&gateway_host, ours.ip());
        for domain in [domain, &rooms] {
            zone = zone.srv(&format!("_xmpp-server._tcp.{domain}"), &xmpp, theirs.port(), 1, 0);
        }
        for domain in gateways {
            zone = zone.srv(&format!("_xmpp-server._tcp.{domain}"), &gateway_host, ours.port(), 1, 0);
        }
        let dns = Dnsmasq::start(place, &zone);
        let toml = format!(
            "[xmpp.federation]\ndomains = [@DOMAINS@]\nlisten = [\"tcp:{ours}\"]\nrequire_certificate = true\nretry_min = \"100ms\"\n\
             retry_max = \"1s\"\n\n[tls]\ncertificates = [{}]\ntrust = [{:?}]\n\n[dns]\nserver = \"{}\"\n\n",
            gateway.toml(),
            ca.root(),
            dns.address()
        );
        Some(Over { ca, dns, theirs, server, toml })
    }

    fn servers(&self) -> Servers<'_> {
        let Over { ca, dns, theirs, server, .. } = self;
        Servers { listen: *theirs, dns: dns.address(), ca: ca.root(), credentials: Some(server) }
    }
}

/// What keeps it by itself.
const NO_SERVERS: &str = "s2s_ports = {}\ns2s_direct_tls_ports = {}\nmodules_disabled = { \"s2s\"; \"tls\"; \"dialback\"; \"offline\"; \"limits\" }";

/// What lets it find others, and be found: where it listens, each stream begins in the clear, or with TLS (XEP-0368).
fn of_servers(servers: &Servers<'_>, direct: bool) -> String {
    let Servers { listen, dns, ca, credentials } = servers;
    let tls = match credentials {
        Some(credentials) => format!(
            "ssl = {{ certificate = {:?}; key = {:?}; cafile = {:?} }}\ns2s_secure_auth = true\n\
             modules_disabled = {{ \"dialback\"; \"offline\"; \"limits\" }}\n",
            credentials.chain, credentials.key, ca
        ),
        None => "s2s_secure_auth = false\ns2s_require_encryption = false\n\
                 modules_disabled = { \"tls\"; \"offline\"; \"limits\" }\n"
            .to_owned(),
    };
    let port = listen.port();
    let ports = match direct {
        false => format!("s2s_ports = {{ {port} }}\ns2s_direct_tls_ports = {{}}"),
        true => format!("s2s_ports = {{}}\ns2s_direct_tls_ports = {{ {port} }}"),
    };
    format!(
        "s2s_interfaces = {{ \"{}\" }}\n{ports}\nuse_ipv6 = true\n\
         unbound = {{ resolvconf = false; hoststxt = false; forward = {{ \"{}@{}\" }};\n  \
         options = {{ [\"do-not-query-localhost:\"] = \"no\" }} }}\n{tls}",
        listen.ip(),
        dns.ip(),
        dns.port()
    )
}

/// A running Prosody that hosts `example.com`, or another domain.
#[derive(Debug)]
pub struct Prosody {
    domain: String,
    process: Process,
    config: PathBuf,
    client: SocketAddr,
    component: SocketAddr,
    over: Option<Over>,
}

impl Prosody {
    /// The domain of its users.
    pub const DOMAIN: &'static str = DOMAIN;
    /// Every user's password.
    pub const PASSWORD: &'static str = PASSWORD;
    /// Every component's secret.
    pub const SECRET: &'static str = SECRET;
    /// Those who have an account, beside `user0` to `user19`.
    pub const USERS: [&'static str; 3] = ["juliet", "nurse", "tybalt"];
    /// The domain of its rooms, where it has some.
    pub const ROOMS: &'static str = ROOMS;

    /// Starts it and waits until it listens. `components` are the domains that external components may take.
    #[track_caller]
    pub fn start(place: &Place, components: &[&str]) -> Prosody {
        Prosody::start_with(place, components, "")
    }

    /// As [`start`](Prosody::start), with rooms at `rooms.example.com`, which are nobody's secret: whoever comes first makes one.
    #[track_caller]
    pub fn start_with_rooms(place: &Place, components: &[&str]) -> Prosody {
        let rooms = format!(
            "Component \"{ROOMS}\" \"muc\"\n    muc_room_locking = false\n    muc_room_default_public_jids = true\n"
        );
        Prosody::start_with(place, components, &rooms)
    }

    /// As [`start`](Prosody::start), with more configuration at the end (a `Component ... "muc"`, for instance).
    #[track_caller]
    pub fn start_with(place: &Place, components: &[&str], more: &str) -> Prosody {
        Prosody::hosting(place, DOMAIN, components, more)
    }

    /// As [`start_with`](Prosody::start_with), for the users of another domain.
    #[track_caller]
    pub fn hosting(place: &Place, domain: &str, components: &[&str], more: &str) -> Prosody {
        Prosody::run(place, domain, components, more, None)
    }

    /// One of `example.com` with rooms at `rooms.example.com` that other servers may come to, and that finds them.
    #[track_caller]
    pub fn federated(place: &Place, servers: &Servers<'_>) -> Prosody {
        let rooms = format!(
            "Component \"{ROOMS}\" \"muc\"\n    muc_room_locking = false\n    muc_room_default_public_jids = true\n"
        );
        Prosody::run(place, DOMAIN, &["nobody.invalid"], &rooms, Some(of_servers(servers, false)))
    }

    /// As [`federated`](Prosody::federated), where those who come begin with TLS (XEP-0368) and nothing else.
    #[track_caller]
    pub fn federated_by_tls(place: &Place, servers: &Servers<'_>) -> Prosody {
        Prosody::run(place, DOMAIN, &["nobody.invalid"], "", Some(of_servers(servers, true)))
    }

    #[track_caller]
    fn run(place: &Place, domain: &str, components: &[&str], more: &str, servers: Option<String>) -> Prosody {
        let (client, component) = (place.free(), place.free());
        let over = Over::wished(place, domain, components).filter(|_| servers.is_none());
        let by_wish = over.as_ref().map(|over| of_servers(&over.servers(), false));
        let (servers, components) = match by_wish {
            Some(by_wish) => (Some(by_wish), &["nobody.invalid"][..]),
            None => (servers, components),
        };
        let mut hosts = String::new();
        for domain in components {
            hosts += &format!("Component \"{domain}\"\n    component_secret = \"{}\"\n\n", Prosody::SECRET);
        }
        let config = template::fill(
            "prosody.cfg.lua",
            &[
                ("DIR", &place.dir().display().to_string()),
                ("IP", &place.ip().to_string()),
                ("CLIENT_PORT", &client.port().to_string()),
                ("COMPONENT_PORT", &component.port().to_string()),
                ("MODULES", "\"carbons\"; \"blocklist\";"),
                ("SERVERS", servers.as_deref().unwrap_or(NO_SERVERS)),
                ("DOMAIN", domain),
                ("COMPONENTS", &(hosts + more)),
            ],
        );
        let config = place.write("prosody.cfg.lua", &config);
        make_accounts(place, domain);
        let process = run(place, &config);
        let mut prosody = Prosody { domain: domain.to_owned(), process, config, client, component, over };
        prosody.wait_until_up();
        prosody
    }

    /// Where clients connect.
    pub fn client(&self) -> SocketAddr {
        self.client
    }

    /// Where components connect.
    pub fn component(&self) -> SocketAddr {
        self.component
    }

    /// The process, for signals and its log.
    pub fn process(&mut self) -> &mut Process {
        &mut self.process
    }

    /// SIGKILL: every stream breaks, nothing is said.
    pub fn kill(&mut self) {
        self.process.kill();
    }

    /// Starts it again after [`kill`](Prosody::kill) or as it is (stopped first), with the same ports and users.
    #[track_caller]
    pub fn restart(&mut self, place: &Place) {
        if self.process.is_running() {
            self.process.stop();
        }
        self.process = run(place, &self.config);
        self.wait_until_up();
    }

    #[track_caller]
    fn wait_until_up(&mut self) {
        for address in [self.component, self.client] {
            until("Prosody listens", START, || {
                self.process.assert_running();
                TcpStream::connect(address).is_ok()
            });
        }
    }
}

#[track_caller]
fn run(place: &Place, config: &std::path::Path) -> Process {
    let config = config.to_str().expect("the test's folder is UTF-8");
    Process::start(place, "prosody", "prosody", &["-F", "--config", config])
}

/// As `prosodyctl register` does, which takes half a second for each.
#[track_caller]
fn make_accounts(place: &Place, domain: &str) {
    let folder = place.dir().join("data").join(domain.replace('.', "%2e")).join("accounts");
    fs::create_dir_all(&folder).unwrap_or_else(|e| panic!("cannot make {}: {e}", folder.display()));
    let crowd: Vec<String> = (0..20).map(|n| format!("user{n}")).collect();
    for user in Prosody::USERS.into_iter().chain(crowd.iter().map(String::as_str)) {
        let account = format!("return {{\n\t[\"password\"] = \"{PASSWORD}\";\n}};\n");
        let file = folder.join(format!("{user}.dat"));
        fs::write(&file, account).unwrap_or_else(|e| panic!("cannot write {}: {e}", file.display()));
    }
}

impl XmppServer for Prosody {
    fn domain(&self) -> &str {
        &self.domain
    }

    fn client(&self) -> SocketAddr {
        self.client
    }

    fn component(&self) -> SocketAddr {
        self.component
    }

    fn federation(&self) -> Option<&str> {
        self.over.as_ref().map(|over| over.toml.as_str())
    }

    fn process(&mut self) -> &mut Process {
        &mut self.process
    }

    fn restart(&mut self, place: &Place) {
        Prosody::restart(self, place);
    }
}
