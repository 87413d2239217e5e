//! When each key was last used, for people who wonder whether somebody still needs it. It is no fact that a replay
//! has to know: it stands in memory and in a small file that is written now and then, and what was used in the last
//! half minute before a crash may be missing.

use std::fs;
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use papaya::HashMap;
use weir_schemas::ids::KeyId;
use weir_schemas::time::Timestamp;

/// The last uses. Clones share them.
#[derive(Debug, Clone, Default)]
pub struct KeyUses {
    last: Arc<HashMap<KeyId, AtomicI64, ahash::RandomState>>,
}

impl KeyUses {
    /// The key is used now.
    pub fn note(&self, key: KeyId, now: Timestamp) {
        let last = self.last.pin();
        last.get_or_insert_with(key, AtomicI64::default).fetch_max(now.0, Ordering::Relaxed);
    }

    /// When it was used last; `None` where nobody ever did.
    pub fn last(&self, key: KeyId) -> Option<Timestamp> {
        self.last.pin().get(&key).map(|at| Timestamp(at.load(Ordering::Relaxed)))
    }

    /// Takes in what an earlier run wrote. A file that cannot be read is a beginning: a date for people is not worth
    /// a failed start.
    pub fn load(&self, path: &Path) {
        let Ok(bytes) = fs::read(path) else { return };
        match serde_json::from_slice::<Vec<(KeyId, Timestamp)>>(&bytes) {
            Ok(uses) => uses.into_iter().for_each(|(key, at)| self.note(key, at)),
            Err(error) => {
                tracing::warn!(%error, path = %path.display(), "when keys were last used cannot be read")
            }
        }
    }

    /// Writes the file anew.
    pub fn save(&self, path: &Path) -> io::Result<()> {
        let last = self.last.pin();
        let uses: Vec<(KeyId, Timestamp)> =
            last.iter().map(|(key, at)| (*key, Timestamp(at.load(Ordering::Relaxed)))).collect();
        let next = path.with_extension("next");
        fs::write(&next, serde_json::to_vec(&uses).map_err(io::Error::other)?)?;
        fs::rename(&next, path)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_latest_use_is_told_also_after_a_restart() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("key-uses.json");
        let uses = KeyUses::default();
        uses.load(&path);
        assert_eq!(uses.last(KeyId(1)), None);
        uses.note(KeyId(1), Timestamp(2_000));
        uses.note(KeyId(1), Timestamp(1_000));
        uses.note(KeyId(2), Timestamp(3_000));
        uses.save(&path).unwrap();
        let later = KeyUses::default();
        later.note(KeyId(2), Timestamp(4_000));
        later.load(&path);
        let told = [1, 2, 3].map(|key| later.last(KeyId(key)).map(|at| at.0));
        assert_eq!(told, [Some(2_000), Some(4_000), None]);
        fs::write(&path, "no JSON").unwrap();
        later.load(&path);
        assert_eq!(later.last(KeyId(1)), Some(Timestamp(2_000)));
    }
}
