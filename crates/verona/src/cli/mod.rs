//! The command line.

mod account;
mod certificates;
mod check;
mod demo;
mod map;
mod outside;
mod sessions;
mod store;

use crate::run;
use clap::{Parser, Subcommand};
use std::io::{self, Write};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;

/// How the program ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Exit {
    /// All is well; for `run`: the gateway was asked to end and did.
    Good = 0,
    /// It did not work: a socket cannot be bound, a server does not answer, an address has no counterpart.
    Failed = 1,
    /// The command line is wrong.
    Usage = 2,
    /// The configuration is wrong (EX_CONFIG of sysexits.h), or the store is one that this version cannot use: trying again does not help.
    Config = 78,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> ExitCode {
        ExitCode::from(exit as u8)
    }
}

/// A gateway between SIP and XMPP.
#[derive(Debug, Parser)]
#[command(
    version,
    about,
    after_help = "Exit status: 0 good, 1 it did not work, 2 wrong command line, 78 wrong configuration, or a store that this version cannot use."
)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the gateway until SIGTERM or SIGINT, which let what is under way come to its end. SIGHUP reads the configuration again.
    Run {
        /// The configuration.
        #[arg(short, long, value_name = "FILE")]
        config: PathBuf,
        /// Write the process's number here while the gateway runs.
        #[arg(long, value_name = "FILE")]
        pid_file: Option<PathBuf>,
    },
    /// Explain every mistake in a configuration.
    Check {
        /// The configuration.
        #[arg(short, long, value_name = "FILE")]
        config: PathBuf,
        /// Open the store, bind the sockets and try the component streams, too. Not while the gateway runs: the sockets would be taken, and an
        /// XMPP server may end the gateway's stream for the sake of this one.
        #[arg(long)]
        connect: bool,
    },
    /// List the chat sessions of a gateway that runs, as its admin interface (admin.listen) has them.
    Sessions {
        /// The configuration of that gateway.
        #[arg(short, long, value_name = "FILE", required_unless_present = "admin")]
        config: Option<PathBuf>,
        /// The address of its admin interface, such as 127.0.0.1:8480.
        #[arg(long, value_name = "ADDRESS", conflicts_with = "config")]
        admin: Option<SocketAddr>,
        /// Print what it says as it is.
        #[arg(long)]
        json: bool,
    },
    /// Say whose phones may register at the gateway (sip.registrar), whether it runs or not.
    Account {
        #[command(subcommand)]
        what: AccountCommand,
    },
    /// Look at what survives a restart (store.url), or move it, while the gateway is stopped.
    Store {
        #[command(subcommand)]
        what: StoreCommand,
    },
    /// Show what becomes of an address (with each step), or of the SIP message or stanza in a file. Nothing is sent.
    Map {
        /// A file; a sip, sips, im, pres or tel URI; or an XMPP address.
        #[arg(value_name = "FILE|ADDRESS")]
        what: String,
        /// The SIP domain that telephone numbers belong to.
        #[arg(long, value_name = "DOMAIN")]
        phone_domain: Option<String>,
    },
    /// Show the gateway at work on loopback, between a small XMPP server and a small SIP phone that are built in: the messages of
    /// RFC 7572 both ways, and a refusal each way, as they go over each wire.
    Demo {
        /// End after that, in place of waiting for more until Ctrl-C.
        #[arg(long)]
        once: bool,
    },
}

#[derive(Debug, Subcommand)]
enum AccountCommand {
    /// Add an account, or give it another password: the first line of standard input, or of a file.
    Add {
        /// The configuration.
        #[arg(short, long, value_name = "FILE")]
        config: PathBuf,
        /// A file with the password as its only line.
        #[arg(long, value_name = "FILE")]
        password_file: Option<PathBuf>,
        /// The SIP address: romeo@example.net. Phones log in by what stands before the @.
        account: String,
    },
    /// Print all accounts.
    List {
        /// The configuration.
        #[arg(short, long, value_name = "FILE")]
        config: PathBuf,
        /// As lines of JSON.
        #[arg(long)]
        json: bool,
    },
    /// Remove an account, and with it what its phones have registered.
    Remove {
        /// The configuration.
        #[arg(short, long, value_name = "FILE")]
        config: PathBuf,
        /// The SIP address.
        account: String,
    },
}

#[derive(Debug, Subcommand)]
enum StoreCommand {
    /// Print every record as a line of JSON.
    Export {
        /// The configuration.
        #[arg(short, long, value_name = "FILE")]
        config: PathBuf,
    },
    /// Take the lines that `export` prints from standard input: into a new store, or beside what is there, where the same record is
    /// replaced. Of each 4096 records either all are taken or, if one is wrong, none, and none behind them.
    Import {
        /// The configuration.
        #[arg(short, long, value_name = "FILE")]
        config: PathBuf,
    },
    /// Read everything that is there as the gateway would, mend what can be mended, and count.
    Check {
        /// The configuration.
        #[arg(short, long, value_name = "FILE")]
        config: PathBuf,
    },
}

/// Does what the command line says.
pub fn main() -> ExitCode {
    // clap prints its own messages and ends with 2 for mistakes, 0 for --help and --version.
    let exit = match Arguments::parse().command {
        Command::Run { config, pid_file } => run::run(&run::Options { config, pid_file }),
        Command::Check { config, connect } => check::check(&config, connect),
        Command::Sessions { admin: Some(address), json, .. } => {
            sessions::sessions(&sessions::Whose::Address(address), json)
        }
        Command::Sessions { config: Some(path), json, .. } => sessions::sessions(&sessions::Whose::Config(&path), json),
        // clap asks for one of the two.
        Command::Sessions { admin: None, config: None, .. } => Exit::Usage,
        Command::Demo { once } => demo::demo(once),
        Command::Account { what: AccountCommand::Add { config, password_file, account } } => {
            account::add(&config, &account, password_file.as_deref())
        }
        Command::Account { what: AccountCommand::List { config, json } } => account::list(&config, json),
        Command::Account { what: AccountCommand::Remove { config, account } } => account::remove(&config, &account),
        Command::Store { what: StoreCommand::Export { config } } => store::export(&config),
        Command::Store { what: StoreCommand::Import { config } } => store::import(&config),
        Command::Store { what: StoreCommand::Check { config } } => store::check(&config),
        Command::Map { what, phone_domain } => map::map(&what, phone_domain.as_deref()),
    };
    exit.into()
}

/// Prints a line to standard output. A reader that has gone away is no reason to fail.
pub(crate) fn say(line: &str) {
    let _ = writeln!(io::stdout(), "{line}");
}

/// Prints a line to standard error.
pub(crate) fn complain(line: &str) {
    let _ = writeln!(io::stderr(), "{line}");
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory as _;

    #[test]
    fn the_command_line_is_consistent() {
        Arguments::command().debug_assert();
    }
}
