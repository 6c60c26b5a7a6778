//! The file with the process's number, for those who do without a service manager.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// The file. Dropping it takes it away, if it is still ours.
#[derive(Debug)]
pub struct PidFile {
    path: PathBuf,
    text: String,
}

impl PidFile {
    /// Writes the file, whole or not at all: it is written beside its place and then moved there.
    pub fn create(path: &Path) -> io::Result<PidFile> {
        let id = std::process::id();
        let mut beside = path.as_os_str().to_owned();
        beside.push(format!(".{id}"));
        let beside = PathBuf::from(beside);
        let text = format!("{id}\n");
        fs::write(&beside, &text).and_then(|()| fs::rename(&beside, path)).inspect_err(|_| {
            // What cannot be moved is no use to anybody; that it cannot be removed either is the smaller trouble.
            let _ = fs::remove_file(&beside);
        })?;
        Ok(PidFile { path: path.to_owned(), text })
    }
}

impl Drop for PidFile {
    fn drop(&mut self) {
        if fs::read_to_string(&self.path).is_ok_and(|text| text == self.text)
            && let Err(e) = fs::remove_file(&self.path)
        {
            tracing::warn!(error = %e, "the pid file stays");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_file_is_there_while_the_process_is() {
        let folder = std::env::temp_dir().join(format!("verona-pid-{}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        let path = folder.join("verona.pid");

        let file = PidFile::create(&path).unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), format!("{}\n", std::process::id()));
        drop(file);
        assert_eq!(fs::read_dir(&folder).unwrap().count(), 0, "nothing is left");

        // Another process's file is not ours to remove.
        let file = PidFile::create(&path).unwrap();
        fs::write(&path, "1\n").unwrap();
        drop(file);
        assert!(path.exists());

        assert!(PidFile::create(&folder.join("no/such/folder")).is_err());
        fs::remove_dir_all(&folder).unwrap();
    }
}
