//! The way into a gateway that runs, for the commands that change something: a Unix socket beside the store, for the user that the gateway runs as and for root. Whoever may
//! open it could as well stop the gateway and write the store. It is not the admin interface, which anybody on the machine may reach.
//!
//! A request is one line of JSON, and so is its answer; then the connection ends.

use crate::accounts::{Answer, Request};
use crate::store::Saver;
use std::io::{self, BufRead as _, BufReader, Read as _, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, PermissionsExt as _};
use std::os::unix::net::UnixStream as BlockingStream;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::Semaphore;

/// Bytes of a request.
const LONGEST: u64 = 64 * 1024;

/// Bytes of an answer: a list of all accounts.
const LONGEST_ANSWER: u64 = 64 << 20;

/// Connections at once; the next ones wait in the kernel.
const VISITS: usize = 8;

/// How long one of them may take in all.
const VISIT: Duration = Duration::from_secs(10);

/// The socket of a store.
pub(crate) fn path(store: &Path) -> PathBuf {
    let mut path = store.as_os_str().to_owned();
    path.push(".control");
    PathBuf::from(path)
}

/// The socket, bound and not served yet.
pub(crate) struct Control {
    listener: UnixListener,
    path: PathBuf,
    /// Whose process this is.
    owner: u32,
}

impl Control {
    /// Binds the socket of a store that this process has open, so that no other gateway can be there.
    ///
    /// # Errors
    /// It cannot be bound.
    pub(crate) fn bind(store: &Path) -> io::Result<Control> {
        let path = path(store);
        // Made in a folder that is closed to others, and moved to its place when it is closed itself.
        let mut inside = path.as_os_str().to_owned();
        inside.push(".new");
        let inside = PathBuf::from(inside);
        let _ = std::fs::remove_dir_all(&inside);
        std::fs::DirBuilder::new().mode(0o700).create(&inside)?;
        let beside = inside.join("s");
        let listener = UnixListener::bind(&beside)?;
        std::fs::set_permissions(&beside, std::fs::Permissions::from_mode(0o600))?;
        let owner = std::fs::metadata(&beside)?.uid();
        std::fs::rename(&beside, &path)?;
        let _ = std::fs::remove_dir(&inside);
        Ok(Control { listener, path, owner })
    }

    /// Answers for as long as it is polled.
    pub(crate) async fn serve(self, saver: Saver) {
        let places = Arc::new(Semaphore::new(VISITS));
        loop {
            let Ok(place) = Arc::clone(&places).acquire_owned().await else { return };
            match self.listener.accept().await {
                Ok((stream, _)) => {
                    let (saver, owner) = (saver.clone(), self.owner);
                    tokio::spawn(async move {
                        // Who hangs up or is too slow gets no answer.
                        let _ = tokio::time::timeout(VISIT, visit(stream, owner, &saver)).await;
                        drop(place);
                    });
                }
                Err(error) => {
                    tracing::warn!(%error, "the control socket");
                    tokio::time::sleep(Duration::from_millis(100)).await;
                }
            }
        }
    }
}

impl Drop for Control {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.path);
    }
}

async fn visit(mut stream: UnixStream, owner: u32, saver: &Saver) -> io::Result<()> {
    let user = stream.peer_cred()?.uid();
    let (reader, mut writer) = stream.split();
    let answer = if user != owner && user != 0 {
        Answer::refused("only the user that the gateway runs as may do this")
    } else {
        let mut line = String::new();
        tokio::io::BufReader::new(reader.take(LONGEST)).read_line(&mut line).await?;
        match serde_json::from_str::<Request>(&line) {
            Ok(request) => saver.perform(request).await,
            Err(e) => Answer::refused(format!("not a request: {e}")),
        }
    };
    let mut bytes = serde_json::to_vec(&answer).unwrap_or_default();
    bytes.push(b'\n');
    writer.write_all(&bytes).await
}

/// Asks the gateway that has this store open. Blocks.
///
/// # Errors
/// Nobody answers.
pub(crate) fn ask(store: &Path, request: &Request) -> io::Result<Answer> {
    let mut stream = BlockingStream::connect(path(store))?;
    stream.set_read_timeout(Some(VISIT))?;
    stream.set_write_timeout(Some(VISIT))?;
    let mut line = serde_json::to_vec(request)?;
    line.push(b'\n');
    stream.write_all(&line)?;
    let mut answer = String::new();
    BufReader::new(stream.take(LONGEST_ANSWER)).read_line(&mut answer)?;
    Ok(serde_json::from_str(&answer)?)
}
