//! `verona check`.

use super::{Exit, complain, say};
use crate::config::{self, Config, Environment, Listen, Transport};
use std::io;
use std::net::{TcpListener, UdpSocket};
use std::path::Path;

/// Explains a configuration, and tries it out if asked to.
pub(super) fn check(path: &Path, connect: bool) -> Exit {
    let loaded = match config::load(path, Environment::of_process()) {
        Ok(loaded) => loaded,
        Err(mistakes) => {
            complain(&mistakes.to_string());
            return Exit::Config;
        }
    };
    for warning in &loaded.warnings {
        complain(&warning.to_string());
    }
    say(&format!("{}: right", path.display()));
    if connect { try_out(&loaded.config) } else { Exit::Good }
}

fn try_out(config: &Config) -> Exit {
    let mut exit = Exit::Good;
    for listen in &config.sip.listen {
        match bind(listen) {
            Ok(()) => say(&format!("sip {listen}: can be bound")),
            Err(e) => {
                complain(&format!("sip {listen}: cannot be bound: {e}"));
                exit = Exit::Failed;
            }
        }
    }
    exit
}

fn bind(listen: &Listen) -> io::Result<()> {
    match listen.transport {
        Transport::Udp => UdpSocket::bind(listen.address).map(drop),
        Transport::Tcp => TcpListener::bind(listen.address).map(drop),
    }
}
