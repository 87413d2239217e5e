//! What the redirect needs of the engine.

use std::sync::Arc;

use weir_edge::peer::TrustedProxies;
use weir_edge::service::Service;
use weir_engine::caps::Caps;
use weir_engine::enrich::{Geo, SaltOfTheDay};
use weir_engine::links::LinkTable;
use weir_engine::recorder::Recorder;
use weir_schemas::ids::WorkspaceId;

use super::{Locks, Repeats};
use crate::collect::Collect;

/// What every thread's redirect shares.
pub struct RedirectConfig {
    /// The links.
    pub links: LinkTable,
    /// The places of capped links.
    pub caps: Caps,
    /// Attempts at the passwords of links.
    pub locks: Locks,
    /// First clicks of visitors at links that tell repeats apart.
    pub repeats: Repeats,
    /// Every other path of the public listener.
    pub others: Arc<Service>,
    /// The token keys, the newest last.
    pub token_keys: Vec<(u8, [u8; 64])>,
    /// Pseudonymises visitors' cookies.
    pub visitor_key: [u8; 16],
    /// Pseudonymises visitors without a cookie.
    pub salt: SaltOfTheDay,
    /// This node.
    pub node: u16,
    /// Whose orphans are those of the engine's own host.
    pub workspace: WorkspaceId,
    /// Whether cookies are set (`privacy.cookies`).
    pub cookies: bool,
    /// Whether cookies are for https alone: the public URL is https.
    pub secure: bool,
    /// Whose forwarding headers are believed.
    pub proxies: TrustedProxies,
    /// For rules that ask for places, and for destinations with the macro `{country}`.
    pub geo: Option<Arc<Geo>>,
    /// Where abuse is reported, told on the pages of links that lead nowhere: a mail address or a web page.
    pub abuse: Option<String>,
    /// With `durability.clicks = "power"`: answers wait until it has synced their hit.
    pub durable: Option<Recorder>,
    /// What browser events need.
    pub collect: Collect,
}

impl std::fmt::Debug for RedirectConfig {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RedirectConfig").field("node", &self.node).finish_non_exhaustive()
    }
}
