//! ejabberd: another XMPP server, for its rooms.

use super::xmpp_server::{DOMAIN, ROOMS, SECRET, XmppServer};
use super::{Place, Process, template, until};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
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
}

impl Ejabberd {
    /// Starts it and waits until it listens. `components` are the domains that external components may take.
    #[track_caller]
    pub fn start(place: &Place, components: &[&str]) -> Ejabberd {
        Ejabberd::with_modules(place, components, "")
    }

    /// As [`start`](Ejabberd::start); what these components want to do in its users' names, they may (XEP-0356): rosters, and messages.
    #[track_caller]
    pub fn trusting(place: &Place, components: &[&str]) -> Ejabberd {
        let privilege =
            "  mod_privilege:\n    roster:\n      both: everybody\n    message:\n      outgoing: everybody\n";
        Ejabberd::with_modules(place, components, privilege)
    }

    #[track_caller]
    fn with_modules(place: &Place, components: &[&str], modules: &str) -> Ejabberd {
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
            ],
        );
        place.write("ejabberd.yml", &config);
        let process = run(place);
        let mut ejabberd = Ejabberd { process, client, component };
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
        self.process = run(place);
        self.wait_until_up();
    }
}

/// What Debian's `ejabberdctl foreground` runs, without its user, its folders and a name for the node.
#[track_caller]
fn run(place: &Place) -> Process {
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
    let args: Vec<&str> = environment.into_iter().chain(erl).collect();
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
