//! Which click a conversion claims. The token says who and when by itself; the click's dimensions come from
//! the memory of recent clicks, else from the warehouse, within a bounded time. What is not found in time is
//! found later: money does not wait for it.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use weir_engine::clicks::RecentClicks;
use weir_engine::token::TokenKeys;
use weir_schemas::fact::{ClaimedBy, ClickClaim, ClickFacts};
use weir_schemas::ids::{ClickId, LinkId, WorkspaceId};
use weir_schemas::time::{SECOND_MS, Timestamp};

/// How long the warehouse may take to find a click.
const FIND_TIMEOUT: Duration = Duration::from_millis(500);
/// A click younger than this may still be on its way from its lane to the memory of recent clicks.
const ON_ITS_WAY_MS: i64 = 10 * SECOND_MS;
/// How often, and how many times, the memory is asked again for one on its way.
const AGAIN_AFTER: Duration = Duration::from_millis(5);
const AGAIN_MAX: u32 = 40;
/// Longest token looked at, in bytes.
const TOKEN_MAX: usize = 256;

/// Finds a click in the warehouse; `None` also where that failed, which the giver counts and logs.
pub type FindClick = Arc<
    dyn Fn(WorkspaceId, ClickId) -> Pin<Box<dyn Future<Output = Option<ClickFacts>> + Send>> + Send + Sync,
>;

/// Counts a link's clicks as of now; `None` where that cannot be said now.
pub type CountClicks =
    Arc<dyn Fn(WorkspaceId, LinkId) -> Pin<Box<dyn Future<Output = Option<u64>> + Send>> + Send + Sync>;

/// All that resolves claims.
pub struct Claims {
    tokens: Mutex<TokenKeys>,
    recent: RecentClicks,
    find: FindClick,
}

impl fmt::Debug for Claims {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Claims").finish_non_exhaustive()
    }
}

impl Claims {
    /// `token_keys` are ids and key bytes, the newest last.
    pub fn new(token_keys: &[(u8, [u8; 64])], recent: RecentClicks, find: FindClick) -> Self {
        Self { tokens: Mutex::new(TokenKeys::new(token_keys)), recent, find }
    }

    /// What a conversion's token and click id claim. A refused token yields to a click id.
    pub async fn resolve(
        &self,
        workspace: WorkspaceId,
        token: Option<&str>,
        click: Option<ClickId>,
        now: Timestamp,
    ) -> ClickClaim {
        let by_token = match token {
            Some(token) => self.by_token(workspace, token, now).await,
            None => ClickClaim::None,
        };
        match (by_token, click) {
            (ClickClaim::None | ClickClaim::Refused { .. }, Some(id)) => {
                self.by_id(workspace, ClaimedBy::ClickId, id, LinkId::NONE, now).await
            }
            (by_token, _) => by_token,
        }
    }

    /// What a token claims.
    pub async fn by_token(&self, workspace: WorkspaceId, token: &str, now: Timestamp) -> ClickClaim {
        if token.len() > TOKEN_MAX {
            return refused("too_long", "is not a click token: it is too long".to_owned());
        }
        let opened = self.tokens.lock().unwrap_or_else(PoisonError::into_inner).open(token);
        match opened {
            Err(error) => refused("not_genuine", error.to_string()),
            Ok(parts) if parts.workspace != workspace => {
                refused("foreign", "belongs to another workspace".to_owned())
            }
            Ok(parts) => self.by_id(workspace, ClaimedBy::Wclid, parts.click, parts.link, now).await,
        }
    }

    async fn by_id(
        &self,
        workspace: WorkspaceId,
        by: ClaimedBy,
        id: ClickId,
        link: LinkId,
        now: Timestamp,
    ) -> ClickClaim {
        let facts = match self.recent(workspace, id, now).await {
            Some(facts) => Some(facts),
            None => tokio::time::timeout(FIND_TIMEOUT, (self.find)(workspace, id)).await.ok().flatten(),
        };
        match facts {
            Some(facts) => ClickClaim::Known { by, facts },
            None => {
                metrics::counter!("weir_claims_unresolved_total").increment(1);
                ClickClaim::Unresolved { by, id, link }
            }
        }
    }

    async fn recent(&self, workspace: WorkspaceId, id: ClickId, now: Timestamp) -> Option<ClickFacts> {
        let young = (0..ON_ITS_WAY_MS).contains(&now.0.saturating_sub(id.unix_ms()));
        for _ in 0..if young { AGAIN_MAX } else { 0 } {
            if let Some(facts) = self.recent.find(workspace, id) {
                return Some(facts);
            }
            tokio::time::sleep(AGAIN_AFTER).await;
        }
        self.recent.find(workspace, id)
    }
}

fn refused(reason: &'static str, why: String) -> ClickClaim {
    metrics::counter!("weir_claims_refused_total", "reason" => reason).increment(1);
    ClickClaim::Refused { reason: why }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use weir_engine::journal::Traffic;
    use weir_engine::token::TokenParts;

    use super::*;

    const KEY: [u8; 64] = [5; 64];
    const ONE: WorkspaceId = WorkspaceId(1);

    fn facts(id: ClickId) -> ClickFacts {
        let none = weir_schemas::ids::ProgramId::NONE;
        ClickFacts {
            id,
            link: LinkId(4),
            program: none,
            partner: weir_schemas::ids::PartnerId::NONE,
            visitor: 1,
            bot: false,
            asn: 0,
            verdict: None,
            dims: Default::default(),
        }
    }

    fn claims(found: Option<ClickId>) -> Claims {
        let recent = RecentClicks::of(Traffic::of_files(Path::new("no journal")));
        let find: FindClick = Arc::new(move |workspace, id| {
            let found = (workspace == ONE && found == Some(id)).then(|| facts(id));
            Box::pin(async move { found })
        });
        Claims::new(&[(1, KEY)], recent, find)
    }

    fn token(click: ClickId, workspace: u32) -> String {
        let parts = TokenParts { click, workspace: WorkspaceId(workspace), link: LinkId(4), variant: 0 };
        TokenKeys::new(&[(1, KEY)]).mint(&parts).as_str().to_owned()
    }

    #[tokio::test]
    async fn a_token_is_known_unresolved_or_refused() {
        let id = ClickId::new(1_793_000_000_000, 0, 0, 1);
        let now = Timestamp(1_793_900_000_000);
        let genuine = token(id, 1);
        let known = claims(Some(id)).by_token(ONE, &genuine, now).await;
        assert_eq!(known, ClickClaim::Known { by: ClaimedBy::Wclid, facts: facts(id) });
        let unresolved = claims(None).by_token(ONE, &genuine, now).await;
        assert_eq!(unresolved, ClickClaim::Unresolved { by: ClaimedBy::Wclid, id, link: LinkId(4) });
        let damaged = genuine.replacen(&genuine[40..41], if &genuine[40..41] == "A" { "B" } else { "A" }, 1);
        for bad in [token(id, 2), damaged, String::new(), "x".repeat(1_000)] {
            let claim = claims(Some(id)).by_token(ONE, &bad, now).await;
            assert!(matches!(claim, ClickClaim::Refused { .. }), "{bad}: {claim:?}");
        }
    }

    #[tokio::test]
    async fn a_refused_token_yields_to_the_click_id() {
        let id = ClickId::new(1_793_000_000_000, 0, 0, 1);
        let now = Timestamp(1_793_900_000_000);
        let claims = claims(Some(id));
        let by_id = ClickClaim::Known { by: ClaimedBy::ClickId, facts: facts(id) };
        assert_eq!(claims.resolve(ONE, Some("junk"), Some(id), now).await, by_id);
        assert_eq!(claims.resolve(ONE, None, Some(id), now).await, by_id);
        assert_eq!(claims.resolve(ONE, None, None, now).await, ClickClaim::None);
        assert!(matches!(claims.resolve(ONE, Some("junk"), None, now).await, ClickClaim::Refused { .. }));
    }
}
