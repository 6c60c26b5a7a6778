//! Prosody: the XMPP server with its users and the gateway's components.

use super::{Place, Process, template, until};
use std::net::{SocketAddr, TcpStream};
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

const START: Duration = Duration::from_secs(10);

/// A running Prosody that hosts `example.com`.
#[derive(Debug)]
pub struct Prosody {
    process: Process,
    config: PathBuf,
    client: SocketAddr,
    component: SocketAddr,
}

impl Prosody {
    /// The domain of its users.
    pub const DOMAIN: &'static str = "example.com";
    /// Every user's password.
    pub const PASSWORD: &'static str = "password";
    /// Every component's secret.
    pub const SECRET: &'static str = "secret";
    /// Those who have an account.
    pub const USERS: [&'static str; 3] = ["juliet", "nurse", "tybalt"];

    /// Starts it and waits until it listens. `components` are the domains that external components may take.
    #[track_caller]
    pub fn start(place: &Place, components: &[&str]) -> Prosody {
        Prosody::start_with(place, components, "")
    }

    /// As [`start`](Prosody::start), with more configuration at the end (a `Component ... "muc"`, for instance).
    #[track_caller]
    pub fn start_with(place: &Place, components: &[&str], more: &str) -> Prosody {
        let (client, component) = (place.free(), place.free());
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
                ("DOMAIN", Prosody::DOMAIN),
                ("COMPONENTS", &(hosts + more)),
            ],
        );
        let config = place.write("prosody.cfg.lua", &config);
        for user in Prosody::USERS {
            register(&config, user);
        }
        let process = run(place, &config);
        let mut prosody = Prosody { process, config, client, component };
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

#[track_caller]
fn register(config: &std::path::Path, user: &str) {
    let done = Command::new("prosodyctl")
        .arg("--config")
        .arg(config)
        .args(["register", user, Prosody::DOMAIN, Prosody::PASSWORD])
        .output();
    match done {
        Ok(out) if out.status.success() => {}
        Ok(out) => panic!("prosodyctl register {user}: {out:?}"),
        Err(e) => panic!("prosodyctl: {e}; scripts/setup installs what the interop tests need"),
    }
}
