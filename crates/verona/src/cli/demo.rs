//! `verona demo`: the real gateway between two stubs, with everything that goes over either wire.

use super::{Exit, complain, say};
use crate::config::{self, Config, Environment, Transport};
use crate::daemon::Daemon;
use crate::metrics::Meters;
use crate::state::State;
use rehearsal::demo::{Settings, Stage};
use rehearsal::ladder::Ladder;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use tokio::io::{AsyncBufReadExt, BufReader, Lines, Stdin};
use tokio::signal::unix::{SignalKind, signal};

/// Shows the gateway at work; then ends, or waits for more.
pub(super) fn demo(once: bool) -> Exit {
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(e) => {
            complain(&format!("no runtime: {e}"));
            return Exit::Failed;
        }
    };
    let end = runtime.block_on(show(once));
    // Whoever waits for a line of standard input waits in a thread of its own.
    runtime.shutdown_background();
    match end {
        Ok(()) => Exit::Good,
        Err(e) => {
            complain(&format!("the demo failed: {e}"));
            Exit::Failed
        }
    }
}

async fn show(once: bool) -> io::Result<()> {
    let nowhere = SocketAddr::from(([127, 0, 0, 1], 0));
    let mut stage = Stage::open(Settings::new(nowhere), Ladder::new().watched(say)).await?;
    let config = configuration(&stage)?;
    let domains: Vec<String> = config.sip_domains().map(str::to_owned).collect();
    let sockets: Vec<String> = config.sip.listen.iter().map(ToString::to_string).collect();
    let state = Arc::new(State::new(&domains, &sockets));
    let daemon = Daemon::start(&config, state, Arc::new(Meters::new())).await.map_err(io::Error::other)?;
    let gateway = daemon.listening(Transport::Udp).first().copied().ok_or(io::ErrorKind::AddrNotAvailable)?;
    stage.gateway_at(gateway);
    say("Verona between an XMPP server (example.com, Juliet's) and a SIP phone (Romeo's, example.net), on loopback.\n");
    say(&Ladder::head());
    stage.play().await?;
    stage.chat().await?;
    stage.room().await?;
    stage.call().await?;
    if !once {
        say(&format!(
            "\nThe gateway listens for SIP at {gateway} (UDP) and stays up. Type \"juliet: TEXT\" or \"romeo: TEXT\" for more; Ctrl-C ends.\n"
        ));
        more(&mut stage).await?;
    }
    daemon.stop().await;
    Ok(())
}

/// Waits for lines of standard input, and for Ctrl-C.
async fn more(stage: &mut Stage) -> io::Result<()> {
    let mut lines = BufReader::new(tokio::io::stdin()).lines();
    // Asked for once, so that none is missed while somebody speaks.
    let mut interrupt = signal(SignalKind::interrupt())?;
    loop {
        tokio::select! {
            () = stage.listen() => {}
            _ = interrupt.recv() => return Ok(()),
            line = next(&mut lines) => {
                let done = match line?.split_once(':').map(|(who, text)| (who.trim().to_lowercase(), text.trim().to_owned())) {
                    Some((who, text)) if who == "juliet" => stage.juliet_says("romeo", &text).await,
                    Some((who, text)) if who == "romeo" => stage.romeo_says("juliet", &text).await.map(drop),
                    _ => Err(io::Error::other("say who speaks: \"juliet: TEXT\" or \"romeo: TEXT\"")),
                };
                if let Err(e) = done {
                    complain(&e.to_string());
                }
            }
        }
    }
}

/// The next line; nothing, for ever, at the end of the input: the demo may run without one.
async fn next(lines: &mut Lines<BufReader<Stdin>>) -> io::Result<String> {
    match lines.next_line().await? {
        Some(line) => Ok(line),
        None => std::future::pending().await,
    }
}

/// The configuration that an operator would write for this.
fn configuration(stage: &Stage) -> io::Result<Config> {
    let Settings { secret, xmpp_domain, room_domain, sip_domain, .. } = Settings::new(stage.xmpp());
    let text = format!(
        r#"
        [[xmpp.component]]
        domain = "{sip_domain}"
        server = "{}"
        secret = "{secret}"
        [xmpp]
        reconnect_min = "100ms"
        [sip]
        domains = ["{xmpp_domain}", "{room_domain}"]
        listen = ["udp:127.0.0.1:0", "tcp:127.0.0.1:0"]
        outbound_proxy = "sip:{};transport=udp;lr"
        [msrp]
        listen = ["tcp:127.0.0.1:0"]
        [security]
        allow_networks = ["127.0.0.0/8"]
        [media]
        enabled = true
        [store]
        url = "memory:"
        "#,
        stage.xmpp(),
        stage.phone(),
    );
    let loaded = config::parse("the demo", &text, Environment::default()).map_err(io::Error::other)?;
    Ok(loaded.config)
}
