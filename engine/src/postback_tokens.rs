//! Postback tokens, by the SHA-256 of their secret: which networks may report. Kept current by the books.

use std::sync::Arc;

use papaya::HashMap;
use weir_schemas::cidr::Cidr;
use weir_schemas::ids::{PostbackTokenId, WorkspaceId};
use weir_schemas::postback::PostbackSettings;
use weir_schemas::time::Timestamp;

use crate::keys::hash_secret;

/// One token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PostbackToken {
    /// Its id.
    pub id: PostbackTokenId,
    /// The tenant.
    pub workspace: WorkspaceId,
    /// How its network speaks.
    pub settings: PostbackSettings,
    /// The addresses of `settings`, read.
    pub allow: Vec<Cidr>,
    /// The workspace's, for payouts without one.
    pub currency: weir_schemas::money::Currency,
}

/// A token and until when it is taken, where that is known.
type Known = (Arc<PostbackToken>, Option<Timestamp>);

/// The map. Clones share it.
#[derive(Debug, Clone, Default)]
pub struct PostbackTable {
    tokens: Arc<HashMap<String, Known, ahash::RandomState>>,
}

impl PostbackTable {
    /// The token with this secret; one that was rotated away is good until its time.
    pub fn find(&self, secret: &str, now: Timestamp) -> Option<Arc<PostbackToken>> {
        let tokens = self.tokens.pin();
        let (token, until) = tokens.get(&hash_secret(secret))?;
        until.is_none_or(|until| now < until).then(|| Arc::clone(token))
    }

    /// Takes every secret of a token away and puts its present ones: hash, and until when.
    pub fn put(&self, token: PostbackToken, secrets: &[(String, Option<Timestamp>)]) {
        self.remove(token.id);
        let token = Arc::new(token);
        for (hash, until) in secrets {
            self.tokens.pin().insert(hash.clone(), (Arc::clone(&token), *until));
        }
    }

    /// Takes a deleted token away.
    pub fn remove(&self, id: PostbackTokenId) {
        self.tokens.pin().retain(|_, (token, _)| token.id != id);
    }
}
