//! `weir replay books`: the books built anew from the journal's first fact, beside the old ones, which they
//! then replace. For an engine that is not running.

use std::fs::{self, File};
use std::path::{Path, PathBuf};

use weir_schemas::ids::Sequence;

use super::follower::decode;
use super::outcome::StoreError;
use super::store::{Fact, Store};
use crate::journal::{Family, JournalReader};
use crate::keyring::{Keyring, KeyringError};

/// How many facts one transaction of a replay applies.
const BATCH_FACTS: usize = 4_096;
const BATCH_BYTES: usize = 32 << 20;

/// What a replay did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rebuilt {
    /// How many facts were applied.
    pub facts: u64,
    /// The last of them.
    pub last: Sequence,
    /// The digest of the new books.
    pub digest: String,
    /// The digest of the old ones; `None` where they could not be read. Differs where the old had not applied
    /// every fact.
    pub before: Option<String>,
    /// What was damaged in the journal, and what does not add up in the new books.
    pub findings: Vec<String>,
}

/// Builds the books at `path` anew from the journal in `journal`, of which `keyring` opens what is sealed.
pub fn rebuild(path: &Path, journal: &Path, keyring: &Keyring) -> Result<Rebuilt, RebuildError> {
    let new = beside(path, ".new");
    remove(&new)?;
    let before = if path.exists() { Store::open(path).and_then(|store| store.digest()).ok() } else { None };
    let mut store = Store::open(&new)?;
    let mut reader = JournalReader::open(journal, &[Family::Facts], 0);
    let mut rebuilt = Rebuilt { facts: 0, last: 0, digest: String::new(), before, findings: Vec::new() };
    loop {
        let mut entries = Vec::new();
        reader.read_batch(Sequence::MAX, BATCH_FACTS, BATCH_BYTES, &mut entries)?;
        if entries.is_empty() {
            break;
        }
        let facts: Vec<(Sequence, Fact)> =
            entries.iter().map(|entry| decode(entry, keyring)).collect::<Result<_, _>>()?;
        store.apply_batch(&facts)?;
        rebuilt.facts += facts.len() as u64;
        rebuilt.last = facts.last().map_or(rebuilt.last, |(seq, _)| *seq);
    }
    rebuilt.findings = reader.take_damage();
    rebuilt.findings.extend(store.check()?);
    rebuilt.digest = store.digest()?;
    store.close()?;
    // The old file goes with its write-ahead log: a log must never meet another file.
    remove(path)?;
    fs::rename(&new, path)?;
    if let Some(folder) = path.parent() {
        File::open(folder)?.sync_all()?;
    }
    Ok(rebuilt)
}

/// Why a replay failed; the old books are still in place unless the last step itself failed, and a repeat
/// begins anew.
#[derive(Debug, thiserror::Error)]
pub enum RebuildError {
    /// The journal cannot be read.
    #[error(transparent)]
    Journal(#[from] crate::journal::JournalError),
    /// The books cannot be written.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// What is sealed cannot be looked up.
    #[error(transparent)]
    Keyring(#[from] KeyringError),
    /// The files cannot be exchanged.
    #[error("the books' files: {0}")]
    Io(#[from] std::io::Error),
}

fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    PathBuf::from(name)
}

fn remove(path: &Path) -> std::io::Result<()> {
    for suffix in ["", "-wal", "-shm"] {
        match fs::remove_file(beside(path, suffix)) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
    }
    Ok(())
}
