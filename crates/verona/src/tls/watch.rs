//! Notices that the files of certificates are others: whoever renews them need not tell.

use super::Tls;
use crate::config;
use std::fs;
use std::path::Path;
use std::time::{Duration, SystemTime};

/// How often it is looked.
const EVERY: Duration = Duration::from_secs(2);

/// What files look like from outside.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Stamps(Vec<Option<Stamp>>);

#[derive(Debug, PartialEq, Eq)]
struct Stamp {
    len: u64,
    modified: Option<SystemTime>,
    inode: u64,
}

impl Stamps {
    /// Those of all files, as they are now.
    pub(super) fn of(config: &config::Tls) -> Stamps {
        let own = config.certificates.iter().flat_map(|certificate| [&certificate.chain, &certificate.key]);
        let others = config.trust.iter().filter_map(|trust| match trust {
            config::Trust::System => None,
            config::Trust::File(path) => Some(path),
        });
        Stamps(own.chain(others).map(|path| stamp(path)).collect())
    }
}

fn stamp(path: &Path) -> Option<Stamp> {
    use std::os::unix::fs::MetadataExt as _;
    let metadata = fs::metadata(path).ok()?;
    Some(Stamp { len: metadata.len(), modified: metadata.modified().ok(), inode: metadata.ino() })
}

impl Tls {
    /// Returns when files have changed and what they have now is in force. Files that do not fit together are perhaps half replaced: they are
    /// looked at again, and until they do all stays as it was. Never returns where there are no files.
    pub(crate) async fn changed(&self) {
        let mut warned = false;
        loop {
            tokio::time::sleep(EVERY).await;
            let store = self.clone();
            let reloaded = tokio::task::spawn_blocking(move || store.is_stale().then(|| store.reload(&store.config())));
            match reloaded.await {
                Ok(None) | Err(_) => {}
                Ok(Some(Ok(()))) => return,
                Ok(Some(Err(error))) if !warned => {
                    warned = true;
                    tracing::warn!(%error, "certificates have changed but cannot be used: the old ones stay");
                }
                Ok(Some(Err(_))) => {}
            }
        }
    }
}
