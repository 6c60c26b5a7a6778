//! A program that a test started, and its end.

use super::Place;
use std::fs::{self, File};
use std::io;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, ExitStatus, Stdio};
use std::sync::{OnceLock, mpsc};
use std::thread;
use std::time::{Duration, Instant};

/// How long a program may take to end after SIGTERM.
const LAST_WORDS: Duration = Duration::from_secs(5);

/// A running program in a process group of its own. It ends with this value: SIGTERM to the group, SIGKILL after five
/// seconds. Should the test itself be killed, the kernel sends the SIGTERM.
#[derive(Debug)]
pub struct Process {
    name: String,
    child: Child,
    log: PathBuf,
    status: Option<ExitStatus>,
}

impl Process {
    /// Starts `program`, found on the PATH or in the system's sbin folders; its output is appended to the log
    /// `NAME.log`.
    #[track_caller]
    pub fn start(place: &Place, name: &str, program: &str, args: &[&str]) -> Process {
        Process::spawn(place, name, program, args, false)
    }

    /// As [`start`](Process::start), with pipes for standard input and output; only errors go to the log.
    #[track_caller]
    pub(super) fn piped(place: &Place, name: &str, program: &str, args: &[&str]) -> (Process, ChildStdin, ChildStdout) {
        let mut process = Process::spawn(place, name, program, args, true);
        let stdin = process.child.stdin.take().expect("was asked for");
        let stdout = process.child.stdout.take().expect("was asked for");
        (process, stdin, stdout)
    }

    #[track_caller]
    fn spawn(place: &Place, name: &str, program: &str, args: &[&str], piped: bool) -> Process {
        let log = place.log(&format!("{name}.log"));
        let open = || File::options().create(true).append(true).open(&log).map(Stdio::from);
        // setpriv (util-linux) asks the kernel for a SIGTERM when we are gone, then becomes the program.
        let mut command = Command::new("setpriv");
        command.args(["--pdeathsig", "TERM", "--"]).arg(find(program)).args(args);
        command.current_dir(place.dir()).process_group(0);
        let streams = || -> io::Result<(Stdio, Stdio, Stdio)> {
            Ok(match piped {
                true => (Stdio::piped(), Stdio::piped(), open()?),
                false => (Stdio::null(), open()?, open()?),
            })
        };
        let (stdin, stdout, stderr) = streams().unwrap_or_else(|e| panic!("cannot log to {}: {e}", log.display()));
        command.stdin(stdin).stdout(stdout).stderr(stderr);
        let child = spawn_on_a_lasting_thread(command).unwrap_or_else(|e| panic!("cannot start {program}: {e}"));
        Process { name: name.to_owned(), child, log, status: None }
    }

    /// The program's process id, which is its group's too.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// What it has written so far.
    pub fn log(&self) -> String {
        fs::read(&self.log).map(|b| String::from_utf8_lossy(&b).into_owned()).unwrap_or_default()
    }

    /// Whether it still runs.
    pub fn is_running(&mut self) -> bool {
        self.poll().is_none()
    }

    /// Fails the test if the program has ended.
    #[track_caller]
    pub fn assert_running(&mut self) {
        if let Some(status) = self.poll() {
            panic!("{} has ended: {status}\n{}", self.name, tail(&self.log, 30));
        }
    }

    /// Waits for the program to end by itself.
    #[track_caller]
    pub fn wait(&mut self, patience: Duration) -> ExitStatus {
        let end = Instant::now() + patience;
        loop {
            if let Some(status) = self.poll() {
                return status;
            }
            assert!(Instant::now() < end, "{} still runs after {patience:?}", self.name);
            thread::sleep(POLL);
        }
    }

    /// Sends `signal` ("HUP", "TERM", "KILL", "STOP", "CONT") to the program's group.
    pub fn signal(&mut self, signal: &str) {
        if self.poll().is_none() {
            signal_group(self.id(), signal);
        }
    }

    /// SIGKILL to the whole group, and waits until it is gone.
    pub fn kill(&mut self) -> ExitStatus {
        self.signal("KILL");
        let _ = self.child.kill();
        match self.child.wait() {
            Ok(status) => *self.status.insert(status),
            Err(_) => ExitStatus::from_raw(9),
        }
    }

    /// SIGTERM, and SIGKILL if that does not end it within five seconds.
    pub fn stop(&mut self) -> ExitStatus {
        self.signal("TERM");
        let end = Instant::now() + LAST_WORDS;
        while Instant::now() < end {
            if let Some(status) = self.poll() {
                // The program is gone; whoever of its group is not goes now.
                signal_group(self.id(), "KILL");
                return status;
            }
            thread::sleep(POLL);
        }
        self.kill()
    }

    fn poll(&mut self) -> Option<ExitStatus> {
        if self.status.is_none() {
            self.status = self.child.try_wait().ok().flatten();
        }
        self.status
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.stop();
    }
}

fn signal_group(leader: u32, signal: &str) {
    let group = format!("-{leader}");
    let _ = Command::new("kill").args(["-s", signal, "--", &group]).stderr(Stdio::null()).status();
}

/// Between two looks at something that is not ready yet.
const POLL: Duration = Duration::from_millis(20);

/// Asks `ready` again and again until it says yes; fails the test after `patience`.
#[track_caller]
pub fn until(what: &str, patience: Duration, mut ready: impl FnMut() -> bool) {
    let end = Instant::now() + patience;
    while !ready() {
        assert!(Instant::now() < end, "{what}: not within {patience:?}");
        thread::sleep(POLL);
    }
}

/// The last `lines` lines of a file.
pub(super) fn tail(path: &Path, lines: usize) -> String {
    let text = fs::read(path).map(|b| String::from_utf8_lossy(&b).into_owned()).unwrap_or_default();
    let all: Vec<&str> = text.lines().collect();
    all[all.len().saturating_sub(lines)..].join("\n")
}

/// The path of a program, or the end of the test.
#[track_caller]
fn find(program: &str) -> PathBuf {
    if program.contains('/') {
        return PathBuf::from(program);
    }
    let path = std::env::var_os("PATH").unwrap_or_default();
    let places = std::env::split_paths(&path).chain(["/usr/sbin", "/sbin", "/usr/local/sbin"].map(PathBuf::from));
    let found = places.map(|p| p.join(program)).find(|p| p.is_file());
    found.unwrap_or_else(|| panic!("{program} is not installed; scripts/setup installs what the interop tests need"))
}

/// The kernel's notice of our end is bound to the thread that started the program, and a test's thread may end long
/// before the test does. So one thread starts them all, and lasts.
fn spawn_on_a_lasting_thread(command: Command) -> io::Result<Child> {
    type Order = (Command, mpsc::Sender<io::Result<Child>>);
    static ORDERS: OnceLock<mpsc::Sender<Order>> = OnceLock::new();
    let orders = ORDERS.get_or_init(|| {
        let (tx, rx) = mpsc::channel::<Order>();
        thread::spawn(move || {
            for (mut command, answer) in rx {
                let _ = answer.send(command.spawn());
            }
        });
        tx
    });
    let (tx, rx) = mpsc::channel();
    orders.send((command, tx)).map_err(io::Error::other)?;
    rx.recv().map_err(io::Error::other)?
}
