//! Webhook endpoints, by their id: which provider reports there and which secrets it signs with. Kept current
//! by the books.

use std::sync::Arc;

use papaya::HashMap;
use weir_schemas::ids::{EndpointId, ProgramId, WorkspaceId};

/// The context under which the keyring seals an endpoint's secrets.
pub const SECRET_CONTEXT: &str = "webhook endpoint";

/// One endpoint, its secrets opened.
#[derive(Clone, PartialEq, Eq)]
pub struct Endpoint {
    /// Its id.
    pub id: EndpointId,
    /// The tenant.
    pub workspace: WorkspaceId,
    /// `stripe`, …
    pub provider: String,
    /// Every live secret, in clear: never printed.
    pub secrets: Vec<String>,
    /// What its provider needs beside them, JSON.
    pub settings: Option<String>,
    /// The program of its conversions.
    pub program: Option<ProgramId>,
}

impl std::fmt::Debug for Endpoint {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Endpoint")
            .field("id", &self.id)
            .field("provider", &self.provider)
            .field("secrets", &self.secrets.len())
            .finish_non_exhaustive()
    }
}

/// The map. Clones share it.
#[derive(Debug, Clone, Default)]
pub struct EndpointTable {
    endpoints: Arc<HashMap<EndpointId, Arc<Endpoint>, ahash::RandomState>>,
}

impl EndpointTable {
    /// The endpoint of an id.
    pub fn find(&self, id: EndpointId) -> Option<Arc<Endpoint>> {
        self.endpoints.pin().get(&id).cloned()
    }

    /// Adds or replaces an endpoint.
    pub fn put(&self, endpoint: Endpoint) {
        self.endpoints.pin().insert(endpoint.id, Arc::new(endpoint));
    }

    /// Takes a deleted endpoint away.
    pub fn remove(&self, id: EndpointId) {
        self.endpoints.pin().remove(&id);
    }
}
