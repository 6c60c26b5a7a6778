//! ejabberd: another XMPP server, for its rooms.

use super::xmpp_server::{DOMAIN, ROOMS, SECRET, XmppServer};
use super::{Place, Process, Servers, template, until};
use std::fs;
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// It takes a second where there is nothing else to do, and many where there is.
const START: Duration = Duration::from_secs(60);

/// A running ejabberd that hosts `example.com`, where everybody has an account, and rooms at `rooms.example.com`.
///
/// It runs as a node without a name, so that no daemon of Erlang's stays behind.
#[derive(Debug)]
pub struct Ejabberd {
    process: Process,
    client: SocketAddr,
    component: SocketAddr,
    /// The file that says whom it asks for names.
    names: Option<PathBuf>,
}

impl Ejabberd {
    /// Starts it and waits until it listens. `components` are the domains that external components may take.
    #[track_caller]
    pub fn start(place: &Place, components: &[&str]) -> Ejabberd {
        Ejabberd::start_with(place, components, "", None)
    }

    /// As [`start`](Ejabberd::start); what these components want to do in its users' names, they may (XEP-0356): rosters, and messages.
    #[track_caller]
    pub fn trusting(place: &Place, components: &[&str]) -> Ejabberd {
        let privilege =
            "  mod_privilege:\n    roster:\n      both: everybody\n    message:\n      outgoing: everybody\n";
        Ejabberd::start_with(place, components, privilege, None)
    }

    /// One that other servers may come to, and that finds them.
    #[track_caller]
    pub fn federated(place: &Place, servers: &Servers<'_>) -> Ejabberd {
        let modules = if servers.credentials.is_none() { "  mod_s2s_dialback: {}\n" } else { "" };
        Ejabberd::start_with(place, &["nobody.invalid"], modules, Some((servers, false)))
    }

    /// As [`federated`](Ejabberd::federated), where those who come begin with TLS (XEP-0368) and nothing else.
    #[track_caller]
    pub fn federated_by_tls(place: &Place, servers: &Servers<'_>) -> Ejabberd {
        Ejabberd::start_with(place, &["nobody.invalid"], "", Some((servers, true)))
    }

    #[track_caller]
    fn start_with(
        place: &Place,
        components: &[&str],
        modules: &str,
        servers: Option<(&Servers<'_>, bool)>,
    ) -> Ejabberd {
        let (client, component) = (place.free(), place.free());
        let hosts: Vec<String> =
            components.iter().map(|d| format!("      \"{d}\":\n        password: \"{SECRET}\"")).collect();
        let config = template::fill(
            "ejabberd.yml",
            &[
                ("DOMAIN", DOMAIN),
                ("IP", &place.ip().to_string()),
                ("CLIENT_PORT", &client.port().to_string()),
                ("COMPONENT_PORT", &component.port().to_string()),
                ("COMPONENTS", &hosts.join("\n")),
                ("ROOMS", ROOMS),
                ("MODULES", modules),
                ("S2S_LISTEN", &servers.map_or_else(String::new, |(servers, direct)| listener(servers, direct))),
                (
                    "S2S",
                    &servers.map_or_else(|| "s2s_access: nobody".to_owned(), |(servers, _)| of_servers(place, servers)),
                ),
            ],
        );
        place.write("ejabberd.yml", &config);
        let names = servers.map(|(servers, _)| names(place, servers));
        let process = run(place, names.as_deref());
        let mut ejabberd = Ejabberd { process, client, component, names };
        ejabberd.wait_until_up();
        ejabberd
    }

    /// SIGKILL: every stream breaks, nothing is said.
    pub fn kill(&mut self) {
        self.process.kill();
    }

    #[track_caller]
    fn wait_until_up(&mut self) {
        for address in [self.component, self.client] {
            until("ejabberd listens", START, || {
                self.process.assert_running();
                TcpStream::connect(address).is_ok()
            });
        }
    }
}

impl XmppServer for Ejabberd {
    fn client(&self) -> SocketAddr {
        self.client
    }

    fn component(&self) -> SocketAddr {
        self.component
    }

    fn process(&mut self) -> &mut Process {
        &mut self.process
    }

    #[track_caller]
    fn restart(&mut self, place: &Place) {
        if self.process.is_running() {
            self.process.stop();
        }
        self.process = run(place, self.names.as_deref());
        self.wait_until_up();
    }
}

/// Where other servers come to, and whether they begin with TLS.
fn listener(servers: &Servers<'_>, direct: bool) -> String {
    let Servers { listen, .. } = servers;
    let (port, ip) = (listen.port(), listen.ip());
    format!("  -\n    port: {port}\n    ip: \"{ip}\"\n    module: ejabberd_s2s_in\n    tls: {direct}\n")
}

/// What it shows other servers, and whom it trusts.
#[track_caller]
fn of_servers(place: &Place, servers: &Servers<'_>) -> String {
    let tls = match servers.credentials {
        Some(credentials) => {
            let read = |path: &Path| fs::read_to_string(path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
            let both = read(&credentials.chain) + &read(&credentials.key);
            let both = place.write("ejabberd.pem", &both);
            format!(
                "s2s_use_starttls: required\ncertfiles: [{both:?}]\nca_file: {ca:?}\ns2s_cafile: {ca:?}",
                ca = servers.ca
            )
        }
        None => "s2s_use_starttls: false".to_owned(),
    };
    format!("s2s_access: everybody\ns2s_dns_timeout: 2\n{tls}")
}

/// Erlang's own resolver asks whom this file says.
#[track_caller]
fn names(place: &Place, servers: &Servers<'_>) -> PathBuf {
    let SocketAddr::V4(dns) = servers.dns else { panic!("a name server at an IPv4 address") };
    let [a, b, c, d] = dns.ip().octets();
    let lines = [
        "{resolv_conf, \"\"}.".to_owned(),
        "{hosts_file, \"\"}.".to_owned(),
        format!("{{nameserver, {{{a},{b},{c},{d}}}, {}}}.", dns.port()),
        "{lookup, [dns]}.".to_owned(),
        String::new(),
    ];
    place.write("inetrc", &lines.join("\n"))
}

/// What Debian's `ejabberdctl foreground` runs, without its user, its folders and a name for the node.
#[track_caller]
fn run(place: &Place, names: Option<&Path>) -> Process {
    let dir = place.dir().to_str().expect("the test's folder is UTF-8");
    let log = place.log("ejabberd.log");
    let libraries = format!("ERL_LIBS={}", libraries().display());
    let config = format!("EJABBERD_CONFIG_PATH={dir}/ejabberd.yml");
    // Its log goes to standard output as well, and from there to the log of the place.
    let own_log = format!("EJABBERD_LOG_PATH={}.own", log.display());
    let (home, tables) = (format!("HOME={dir}"), format!("\"{dir}/mnesia\""));
    let environment = [libraries.as_str(), config.as_str(), own_log.as_str(), home.as_str(), "ERL_CRASH_DUMP_BYTES=0"];
    // One scheduler that does not spin: the processors are others' as well.
    let erl =
        ["erl", "+K", "true", "+S", "1:1", "+sbwt", "none", "-noinput", "-mnesia", "dir", &tables, "-s", "ejabberd"];
    let names = names.map(|names| format!("\"{}\"", names.display()));
    let names = names.iter().flat_map(|names| ["-kernel", "inetrc", names]);
    let args: Vec<&str> = environment.into_iter().chain(erl).chain(names).collect();
    Process::start(place, "ejabberd", "env", &args)
}

/// Where Debian has ejabberd and what it is made of: a folder for each library.
#[track_caller]
fn libraries() -> &'static Path {
    let found = ["/usr/lib/x86_64-linux-gnu", "/usr/lib/aarch64-linux-gnu", "/usr/lib"]
        .map(Path::new)
        .into_iter()
        .find(|path| {
            let entries = path.read_dir().into_iter().flatten().flatten();
            entries.into_iter().any(|entry| entry.file_name().to_string_lossy().starts_with("ejabberd-"))
        });
    found.unwrap_or_else(|| panic!("ejabberd is not installed; scripts/setup installs what the interop tests need"))
}
