//! The redirect's view of links: a concurrent map from host and slug to a link that is ready to answer. The books keep
//! it current; a lookup takes no lock and copies nothing.

use std::hash::{Hash, Hasher};
use std::sync::Arc;

use papaya::{Equivalent, HashMap, HashMapRef, HashSet, LocalGuard};
use weir_schemas::click::Verdict;
use weir_schemas::ids::{LinkId, WorkspaceId};
use weir_schemas::link::LinkSpec;
use weir_schemas::time::Timestamp;

pub mod allocation;
pub mod blocklist;
mod cap;
pub mod destinations;
pub mod facts;
mod prepared;
pub mod rules;
pub mod variants;

use allocation::Allocations;
use blocklist::Blocklist;
pub use cap::{Cap, Quarter, quarter};
pub use prepared::{Pieces, Prepared};

/// A link with all that its answer needs.
#[derive(Debug)]
pub struct TrackedLink {
    /// Its id.
    pub id: LinkId,
    /// The tenant.
    pub workspace: WorkspaceId,
    /// When it was made.
    pub created_at: Timestamp,
    /// What was set, canonical.
    pub spec: LinkSpec,
    /// What of the answer can be made ahead.
    pub prepared: Prepared,
    /// Its caps, if it has any.
    pub cap: Option<Cap>,
    /// Why it answers nobody: `Disabled` or `Blocked`.
    pub closed: Option<Verdict>,
}

impl TrackedLink {
    /// Prepares a link's answer.
    pub fn new(id: LinkId, workspace: WorkspaceId, created_at: Timestamp, spec: LinkSpec) -> Self {
        let prepared = Prepared::new(&spec);
        let cap = Cap::of(&spec);
        let closed = (!spec.enabled).then_some(Verdict::Disabled);
        Self { id, workspace, created_at, spec, prepared, cap, closed }
    }

    /// Closed where one of its destinations, the fallback included, is on the list.
    #[must_use]
    pub fn judged_by(mut self, list: &Blocklist) -> Self {
        if self.closed.is_none() && list.judge(&self.spec).is_some() {
            self.closed = Some(Verdict::Blocked);
        }
        self
    }

    /// Whether it is capped and the places taken so far are not known yet ([`Caps::settle`](crate::caps::Caps)).
    pub fn cap_is_unsettled(&self) -> bool {
        self.cap.as_ref().is_some_and(|cap| cap.places().is_none())
    }
}

/// Host (empty: the engine's own) and slug.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Place {
    host: Box<str>,
    slug: Box<str>,
}

#[derive(Debug, Clone, Copy)]
struct PlaceRef<'a> {
    host: &'a str,
    slug: &'a str,
}

impl Hash for Place {
    fn hash<H: Hasher>(&self, state: &mut H) {
        PlaceRef { host: &self.host, slug: &self.slug }.hash(state);
    }
}

impl Hash for PlaceRef<'_> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.host.hash(state);
        self.slug.hash(state);
    }
}

impl Equivalent<Place> for PlaceRef<'_> {
    fn equivalent(&self, key: &Place) -> bool {
        // Most hosts are empty, and the C library compares no bytes at no address slowly: its vector load has to be
        // taken back.
        let host = key.host.is_empty() && self.host.is_empty() || *self.host == *key.host;
        host && *self.slug == *key.slug
    }
}

/// The map. Clones share it.
#[derive(Debug, Clone, Default)]
pub struct LinkTable {
    links: Arc<HashMap<Place, Arc<TrackedLink>, ahash::RandomState>>,
    /// Hosts with links of their own: there the engine's own links do not answer.
    hosts: Arc<HashSet<Box<str>, ahash::RandomState>>,
    /// Which workspace has links on which host.
    owners: Arc<HashSet<(WorkspaceId, Box<str>), ahash::RandomState>>,
    /// The splits that follow their results.
    allocations: Allocations,
    /// Where no link of a workspace may lead.
    blocklists: Arc<HashMap<WorkspaceId, Arc<Blocklist>, ahash::RandomState>>,
}

/// The map, held as it is for an instant: what is found in it needs no count of its own.
#[derive(Debug)]
pub struct PinnedLinks<'t> {
    table: &'t LinkTable,
    links: HashMapRef<'t, Place, Arc<TrackedLink>, ahash::RandomState, LocalGuard<'t>>,
}

impl PinnedLinks<'_> {
    /// The link that answers for `slug` on `host` (lower case, without port).
    pub fn find(&self, host: &str, slug: &str) -> Option<&Arc<TrackedLink>> {
        let hosts = &self.table.hosts;
        let own = hosts.is_empty() || !hosts.pin().contains(host);
        let place = PlaceRef { host: if own { "" } else { host }, slug };
        self.links.get(&place)
    }
}

impl LinkTable {
    /// Holds the map for lookups. While it is held nothing of what is replaced is freed: not over a wait.
    pub fn pin(&self) -> PinnedLinks<'_> {
        PinnedLinks { table: self, links: self.links.pin() }
    }

    /// The link that answers for `slug` on `host` (lower case, without port).
    pub fn find(&self, host: &str, slug: &str) -> Option<Arc<TrackedLink>> {
        self.pin().find(host, slug).cloned()
    }

    /// Puts a link in its place, or replaces what is there.
    pub fn put(&self, link: Arc<TrackedLink>) {
        let place = place(&link.spec);
        if !place.host.is_empty() {
            self.hosts.pin().insert(place.host.clone());
            self.owners.pin().insert((link.workspace, place.host.clone()));
        }
        self.allocations.note(&link);
        self.links.pin().insert(place, link);
    }

    /// Takes away the link that `spec` describes, if it is `id`.
    pub fn remove(&self, id: LinkId, spec: &LinkSpec) {
        let place = place(spec);
        let links = self.links.pin();
        if links.get(&place).is_some_and(|link| link.id == id) {
            links.remove(&place);
        }
        self.allocations.forget(id);
    }

    /// The splits that follow their results.
    pub fn allocations(&self) -> &Allocations {
        &self.allocations
    }

    /// Where no link of `workspace` may lead.
    pub fn blocklist(&self, workspace: WorkspaceId) -> Arc<Blocklist> {
        self.blocklists.pin().get(&workspace).cloned().unwrap_or_default()
    }

    /// Replaces a workspace's blocklist. Its links are judged when they are put.
    pub fn put_blocklist(&self, workspace: WorkspaceId, list: Arc<Blocklist>) {
        self.blocklists.pin().insert(workspace, list);
    }

    /// Whether `workspace` has or had links on `host` (lower case, without port).
    pub fn is_host_of(&self, workspace: WorkspaceId, host: &str) -> bool {
        self.owners.pin().contains(&(workspace, host.into()))
    }

    /// Calls `look` with every link.
    pub fn each(&self, mut look: impl FnMut(&TrackedLink)) {
        self.links.pin().values().for_each(|link| look(link));
    }

    /// How many links there are.
    pub fn len(&self) -> usize {
        self.links.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.links.is_empty()
    }
}

fn place(spec: &LinkSpec) -> Place {
    Place {
        host: spec.domain.as_deref().unwrap_or_default().into(),
        slug: spec.slug.as_deref().unwrap_or_default().into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn link(id: u64, domain: Option<&str>, slug: &str) -> Arc<TrackedLink> {
        let spec =
            serde_json::json!({"slug": slug, "domain": domain, "destination": "https://shop.example/"});
        let spec = serde_json::from_value(spec).unwrap();
        Arc::new(TrackedLink::new(LinkId(id), WorkspaceId(1), Timestamp(0), spec))
    }

    #[test]
    fn a_host_of_its_own_has_only_its_own_links() {
        let table = LinkTable::default();
        table.put(link(1, None, "a"));
        assert_eq!(table.find("any.example", "a").unwrap().id, LinkId(1));
        table.put(link(2, Some("go.example"), "b"));
        assert_eq!(table.find("go.example", "b").unwrap().id, LinkId(2));
        assert!(table.find("go.example", "a").is_none());
        assert!(table.find("any.example", "b").is_none());
        assert_eq!(table.find("any.example", "a").unwrap().id, LinkId(1));
    }

    #[test]
    fn only_the_link_itself_is_taken_away() {
        let table = LinkTable::default();
        let first = link(1, None, "a");
        table.put(Arc::clone(&first));
        table.put(link(2, None, "a"));
        table.remove(LinkId(1), &first.spec);
        assert_eq!(table.find("h", "a").unwrap().id, LinkId(2), "the slug went to another link meanwhile");
        table.remove(LinkId(2), &first.spec);
        assert!(table.is_empty());
    }
}
