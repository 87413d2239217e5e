//! Registered sites, by their id: whose pages may send browser events. Kept current by the books.

use std::sync::Arc;

use papaya::HashMap;
use weir_schemas::ids::{SiteId, WorkspaceId};

/// One site.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Site {
    /// Its id.
    pub id: SiteId,
    /// The tenant.
    pub workspace: WorkspaceId,
    /// The origins of its pages, canonical: `https://shop.example`.
    pub origins: Vec<String>,
}

impl Site {
    /// Whether a page of this origin is the site's.
    pub fn has_origin(&self, origin: &str) -> bool {
        self.origins.iter().any(|own| own == origin)
    }
}

/// The map. Clones share it.
#[derive(Debug, Clone, Default)]
pub struct SiteTable {
    sites: Arc<HashMap<SiteId, Arc<Site>, ahash::RandomState>>,
}

impl SiteTable {
    /// The site of an id.
    pub fn find(&self, id: SiteId) -> Option<Arc<Site>> {
        self.sites.pin().get(&id).cloned()
    }

    /// Adds or replaces a site.
    pub fn put(&self, site: Site) {
        self.sites.pin().insert(site.id, Arc::new(site));
    }

    /// Takes a deleted site away.
    pub fn remove(&self, id: SiteId) {
        self.sites.pin().remove(&id);
    }
}
