//! API keys, by their secret: who calls. Kept current by the books; only hashes are stored.

use std::fmt::Write as _;
use std::sync::Arc;

use papaya::HashMap;
use sha2::{Digest, Sha256};
use tokio::sync::watch;
use weir_schemas::fact::{Actor, Role};
use weir_schemas::ids::{KeyId, PartnerId, WorkspaceId};

mod uses;

pub use uses::KeyUses;

/// Who calls, and what they may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Principal {
    /// The tenant.
    pub workspace: WorkspaceId,
    /// The key.
    pub key: KeyId,
    /// What it may do.
    pub role: Role,
    /// For role `partner`: whose numbers.
    pub partner: Option<PartnerId>,
}

impl Principal {
    /// Whose deed it is; the session of the dashboard's first sign-in belongs to no key.
    pub fn actor(&self) -> Actor {
        if self.key == KeyId::NONE { Actor::System } else { Actor::Key(self.key) }
    }
}

/// SHA-256 in lower-case hex, as it is stored. Keys are long and random, so a plain hash does.
pub fn hash_secret(secret: &str) -> String {
    let mut hex = String::with_capacity(64);
    for byte in Sha256::digest(secret.as_bytes()) {
        write!(hex, "{byte:02x}").expect("writing to a string does not fail");
    }
    hex
}

/// The map from hashed secrets. Clones share it.
#[derive(Debug, Clone, Default)]
pub struct KeyTable {
    keys: Arc<HashMap<String, Principal, ahash::RandomState>>,
    changes: watch::Sender<()>,
    uses: KeyUses,
}

impl KeyTable {
    /// Who presents `secret`.
    pub fn find(&self, secret: &str) -> Option<Principal> {
        self.keys.pin().get(&hash_secret(secret)).copied()
    }

    /// Who the key `id` is, while it is not revoked.
    pub fn by_id(&self, id: KeyId) -> Option<Principal> {
        self.keys.pin().values().find(|principal| principal.key == id).copied()
    }

    /// Adds a key by the hash of its secret.
    pub fn put(&self, secret_sha256: &str, principal: Principal) {
        self.keys.pin().insert(secret_sha256.to_owned(), principal);
        self.changes.send_replace(());
    }

    /// Takes a revoked key away.
    pub fn remove(&self, id: KeyId) {
        self.keys.pin().retain(|_, principal| principal.key != id);
        self.changes.send_replace(());
    }

    /// Tells whenever some key is another one: for who was let in once and stays.
    pub fn changes(&self) -> watch::Receiver<()> {
        self.changes.subscribe()
    }

    /// When each was last used.
    pub const fn uses(&self) -> &KeyUses {
        &self.uses
    }

    /// Whether there is none yet: the first start.
    pub fn is_empty(&self) -> bool {
        self.keys.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_found_by_its_secret_until_it_is_revoked() {
        let table = KeyTable::default();
        let principal =
            Principal { workspace: WorkspaceId(1), key: KeyId(9), role: Role::Viewer, partner: None };
        table.put(&hash_secret("weir_abc"), principal);
        assert_eq!(table.find("weir_abc"), Some(principal));
        assert_eq!(table.find("weir_abd"), None);
        assert_eq!(table.by_id(KeyId(9)), Some(principal));
        let changes = table.clone().changes();
        assert!(!changes.has_changed().unwrap());
        table.remove(KeyId(9));
        assert!(changes.has_changed().unwrap(), "whoever was let in by it hears of it");
        assert_eq!(table.find("weir_abc"), None);
        assert!(table.is_empty());
    }
}
