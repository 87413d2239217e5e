//! The data folder: one engine at a time, told apart by a lock that dies with its process.

use std::fs::{self, File, OpenOptions};
use std::io::{Read, Write};
use std::path::{Path, PathBuf};

use rustix::fs::{FlockOperation, flock};

/// The folder while it is ours.
#[derive(Debug)]
pub struct DataDir {
    path: PathBuf,
    /// Its lock ends with the descriptor, on `kill -9` too.
    _lock: File,
}

/// Why the folder cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum DataDirError {
    /// Another engine has it.
    #[error(
        "another engine (process {pid}) is running on {path}; stop it first, or give this one its own --data-dir"
    )]
    Taken {
        /// The folder.
        path: String,
        /// The other process.
        pid: String,
    },
    /// It cannot be made or written.
    #[error("cannot use {path} as data folder: {source}")]
    Unusable {
        /// The folder or the lock in it.
        path: String,
        /// Why.
        source: std::io::Error,
    },
}

impl DataDir {
    /// Makes the folder where it is missing and takes it.
    pub fn take(path: &Path) -> Result<Self, DataDirError> {
        let unusable =
            |path: &Path, source| DataDirError::Unusable { path: path.display().to_string(), source };
        fs::create_dir_all(path).map_err(|e| unusable(path, e))?;
        let name = path.join("engine.lock");
        let mut lock = OpenOptions::new()
            .create(true)
            .truncate(false)
            .read(true)
            .write(true)
            .open(&name)
            .map_err(|e| unusable(&name, e))?;
        if flock(&lock, FlockOperation::NonBlockingLockExclusive).is_err() {
            let mut pid = String::new();
            let _ = lock.read_to_string(&mut pid);
            return Err(DataDirError::Taken { path: path.display().to_string(), pid: pid.trim().to_owned() });
        }
        // The number is only for the message; the lock is what counts.
        let written = lock.set_len(0).and_then(|()| writeln!(lock, "{}", std::process::id()));
        written.map_err(|e| unusable(&name, e))?;
        Ok(Self { path: path.to_owned(), _lock: lock })
    }

    /// A file or folder in it.
    pub fn join(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }

    /// The folder.
    pub fn path(&self) -> &Path {
        &self.path
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_second_is_told_who_has_it() {
        let dir = tempfile::tempdir().unwrap();
        let first = DataDir::take(dir.path()).unwrap();
        let error = DataDir::take(dir.path()).unwrap_err().to_string();
        assert!(error.contains(&std::process::id().to_string()), "{error}");
        drop(first);
        DataDir::take(dir.path()).unwrap();
    }
}
