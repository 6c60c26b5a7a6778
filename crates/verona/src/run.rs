//! `verona run`: from the configuration to a running gateway and to its end.

use crate::admin::Admin;
use crate::cli::{Exit, complain};
use crate::config::{self, Config, Environment};
use crate::daemon::Daemon;
use crate::metrics::Meters;
use crate::pid_file::PidFile;
use crate::state::State;
use crate::{log, notify};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;

/// What the command line says.
#[derive(Debug, Clone)]
pub struct Options {
    /// The configuration file.
    pub config: PathBuf,
    /// Where to write the process's number.
    pub pid_file: Option<PathBuf>,
}

/// Runs the gateway until it is asked to end.
pub fn run(options: &Options) -> Exit {
    let loaded = match config::load(&options.config, Environment::of_process()) {
        Ok(loaded) => loaded,
        Err(mistakes) => {
            complain(&mistakes.to_string());
            return Exit::Config;
        }
    };
    let log = match log::init(&loaded.config.log) {
        Ok(log) => log,
        Err(e) => {
            complain(&format!("the log cannot be started: {e}"));
            return Exit::Failed;
        }
    };
    for warning in &loaded.warnings {
        tracing::warn!("{warning}");
    }
    raise_descriptors();
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(e) => {
            tracing::error!(error = %e, "no runtime");
            return Exit::Failed;
        }
    };
    let end = runtime.block_on(serve(options, loaded.config, &log));
    // A name that the system still looks up would be waited for without an end.
    runtime.shutdown_timeout(Duration::from_secs(1));
    match end {
        Ok(()) => Exit::Good,
        Err(End { why, exit }) => {
            tracing::error!(error = %why, "the gateway cannot run");
            exit
        }
    }
}

/// Why it ended, and whether trying again may help.
struct End {
    why: String,
    exit: Exit,
}

impl From<String> for End {
    fn from(why: String) -> End {
        End { why, exit: Exit::Failed }
    }
}

async fn serve(options: &Options, config: Config, log: &log::Handle) -> Result<(), End> {
    let mut config = Arc::new(config);
    // First of all, so that no signal finds nobody listening.
    let listen = |kind| signal(kind).map_err(|e| format!("no signals: {e}"));
    // A file that may not grow any more is an error like others, not a reason to die.
    drop(listen(SignalKind::from_raw(rustix::process::Signal::XFSZ.as_raw()))?);
    let (mut hangup, mut terminate, mut interrupt) =
        (listen(SignalKind::hangup())?, listen(SignalKind::terminate())?, listen(SignalKind::interrupt())?);

    let domains: Vec<String> = config.sip_domains().map(str::to_owned).collect();
    let sockets: Vec<String> = config.sip.listen.iter().map(ToString::to_string).collect();
    let msrp: Vec<String> = config.msrp.listen.iter().map(ToString::to_string).collect();
    let federation = config.xmpp.federation.iter().flat_map(|federation| &federation.listen);
    let federation: Vec<String> = federation.map(ToString::to_string).collect();
    let state = Arc::new(State::new(&domains, &sockets).with_msrp(&msrp).with_federation(&federation));
    let meters = Meters::global();
    tokio::spawn(Arc::clone(&meters).keep_up());
    let (stop, stopped) = watch::channel(false);
    if let Some(address) = config.admin.listen {
        let admin = Admin::bind(address, Arc::clone(&state), Arc::clone(&meters))
            .await
            .map_err(|e| format!("admin.listen {address}: {e}"))?;
        let mut stopped = stopped.clone();
        tokio::spawn(admin.serve(async move { drop(stopped.wait_for(|stop| *stop).await) }));
    }
    let mut daemon = Daemon::start(&config, Arc::clone(&state), Arc::clone(&meters))
        .await
        .map_err(|e| End { exit: if e.may_pass() { Exit::Failed } else { Exit::Config }, why: e.to_string() })?;
    // Only now, so that a second gateway by mistake, which gets no sockets, leaves the first one's file alone.
    let _pid_file = match options.pid_file.as_deref().map(PidFile::create).transpose() {
        Ok(file) => file,
        Err(e) => return Err(format!("the pid file cannot be written: {e}").into()),
    };
    tokio::spawn(notify::watch(Arc::clone(&state)));
    notify::ready();
    tracing::info!(version = env!("CARGO_PKG_VERSION"), "running");
    loop {
        tokio::select! {
            _ = hangup.recv() => {
                notify::reloading();
                let new = reload(options, &config, &mut daemon).await;
                meters.reloaded(new.is_some());
                if let Some(new) = new {
                    log.set_level(&new.log);
                    config = Arc::new(new);
                }
                notify::ready();
            }
            _ = terminate.recv() => break,
            _ = interrupt.recv() => break,
            () = daemon.certificates_changed() => {
                tracing::info!("certificates have changed");
                if let Err(e) = daemon.reconfigure(&config).await {
                    tracing::error!(error = %e, "the new certificates are not told in descriptions");
                }
            }
            () = daemon.broken() => return Err("a part of it has ended by itself".to_owned().into()),
        }
    }
    tracing::info!("stopping");
    notify::stopping(config.limits.drain);
    tokio::select! {
        left = daemon.stop() => tracing::info!(left, "stopped"),
        // Once: what is under way may end. Twice: at once.
        _ = terminate.recv() => tracing::warn!("stopped at once"),
        _ = interrupt.recv() => tracing::warn!("stopped at once"),
    }
    let _ = stop.send(true);
    Ok(())
}

/// Takes as many descriptors as the system lets this process have: connections need them, and many systems begin with 1024.
fn raise_descriptors() {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let limit = getrlimit(Resource::Nofile);
    if limit.current != limit.maximum {
        // Refused in a sandbox; the connections are bounded by what there is.
        let _ = setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, maximum: limit.maximum });
    }
}

/// Reads the configuration again, for the gateway to go over to. `None`, and a log that says why, where it stays with the old one.
async fn reload(options: &Options, old: &Config, daemon: &mut Daemon) -> Option<Config> {
    match config::reload(old, &options.config) {
        Err(mistakes) => {
            for mistake in mistakes.0 {
                tracing::error!("reload refused: {mistake}");
            }
            None
        }
        Ok(plan) if !plan.applicable() => {
            tracing::error!(keys = plan.restart.join(", "), "reload refused: these keys need a restart");
            None
        }
        Ok(plan) => match daemon.reconfigure(&plan.config).await {
            Ok(()) => {
                tracing::info!(changed = plan.live.join(", "), "reloaded");
                Some(plan.config)
            }
            Err(e) => {
                tracing::error!(error = %e, "reload refused");
                None
            }
        },
    }
}
