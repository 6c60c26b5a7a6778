//! Names to addresses.

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;

/// What a look-up gives in the end.
pub(crate) type Found<'a> = Pin<Box<dyn Future<Output = io::Result<Vec<SocketAddr>>> + Send + 'a>>;

/// Whoever knows the addresses of names.
pub(crate) trait Resolve: Send + Sync {
    /// The addresses of a name now, the best first, with this port. Who asks bounds how long it waits.
    fn lookup<'a>(&'a self, name: &'a str, port: u16) -> Found<'a>;
}

/// The operating system.
#[derive(Debug)]
pub(crate) struct System;

impl Resolve for System {
    fn lookup<'a>(&'a self, name: &'a str, port: u16) -> Found<'a> {
        Box::pin(async move { Ok(tokio::net::lookup_host((name, port)).await?.collect()) })
    }
}
