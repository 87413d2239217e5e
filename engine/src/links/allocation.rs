//! Splits that follow their results (`allocation: "bandit"`): which links have one, the shares decided for
//! them, and why. Decided behind the path ([`reallocate`], once a minute), read by the redirect without a
//! lock. A decision that moves a share by [`MATERIAL`] or more becomes a fact, so the log of them is as durable as any
//! and a restart goes on from the last; before the first the weights given stand.

use std::collections::VecDeque;
use std::sync::Arc;

use papaya::HashMap;
use weir_schemas::ids::{LinkId, Sequence, WorkspaceId};
use weir_schemas::time::Timestamp;

use super::TrackedLink;
use thompson::Arm;

mod results;
pub mod thompson;

pub use results::{LINKS_PER_QUERY, RESULTS_WINDOW_MS, Reallocated, reallocate};
pub use weir_schemas::link::{SplitDecision as Decision, SplitShare as Share};

/// Decisions remembered of one link. One is remembered when the results have changed.
pub const DECISIONS_MAX: usize = 100;

/// A decision that moves no share by so much (basis points) since the last one journaled is not journaled itself: the
/// journal keeps facts for ever.
pub const MATERIAL: u32 = 100;

/// What was decided for a link.
#[derive(Debug, Default)]
pub struct Allocated {
    /// In the link's order, for the redirect.
    pub weights: Box<[u32]>,
    /// The last decisions, the newest first.
    pub decisions: VecDeque<Decision>,
    /// The shares that were journaled last; none before the first.
    journaled: Box<[u32]>,
}

/// All splits that follow their results. Clones share them.
#[derive(Debug, Clone, Default)]
pub struct Allocations {
    links: Arc<HashMap<LinkId, Arc<TrackedLink>, ahash::RandomState>>,
    decided: Arc<HashMap<LinkId, Arc<Allocated>, ahash::RandomState>>,
}

impl Allocations {
    /// What was decided for a link last.
    pub fn of(&self, link: LinkId) -> Option<Arc<Allocated>> {
        self.decided.pin().get(&link).cloned()
    }

    /// Takes note of a link as it is now. Shares that were decided among other variants are forgotten.
    pub(super) fn note(&self, link: &Arc<TrackedLink>) {
        let variants = &link.prepared.variants;
        let links = self.links.pin();
        if !variants.follow_results() {
            self.forget(link.id);
            return;
        }
        let before = links.insert(link.id, Arc::clone(link));
        if before.is_some_and(|before| !before.prepared.variants.given().eq(variants.given())) {
            self.decided.pin().remove(&link.id);
        }
    }

    /// Forgets a link.
    pub(super) fn forget(&self, link: LinkId) {
        if self.links.pin().remove(&link).is_some() {
            self.decided.pin().remove(&link);
        }
    }

    /// The links of each workspace, in the order of their ids.
    fn by_workspace(&self) -> Vec<(WorkspaceId, Vec<Arc<TrackedLink>>)> {
        let mut all: Vec<_> = self.links.pin().values().cloned().collect();
        all.sort_by_key(|link| (link.workspace.0, link.id));
        let chunks = all.chunk_by(|a, b| a.workspace == b.workspace);
        chunks.map(|links| (links[0].workspace, links.to_vec())).collect()
    }

    /// Takes up the last decision that was journaled, where none as late is known: after a restart the split goes on
    /// from there.
    pub fn restore(&self, link: LinkId, decision: Decision) {
        let known = self.of(link);
        if known.as_ref().and_then(|known| known.decisions.front()).is_some_and(|last| last.at >= decision.at)
        {
            return;
        }
        let Some(now) = self.links.pin().get(&link).cloned() else { return };
        if now
            .prepared
            .variants
            .given()
            .map(|(name, _)| name)
            .ne(decision.variants.iter().map(|share| &*share.name))
        {
            return;
        }
        let weights: Box<[u32]> = decision.variants.iter().map(|share| share.share).collect();
        let allocated =
            Allocated { journaled: weights.clone(), weights, decisions: VecDeque::from([decision]) };
        self.decided.pin().insert(link, Arc::new(allocated));
    }

    /// Decides for `link` from what its variants brought, and publishes it. Gives the decision where it is to be
    /// journaled.
    pub fn decide(
        &self,
        link: &TrackedLink,
        arms: &[Arm],
        at: Timestamp,
        as_of: Sequence,
    ) -> Option<Decision> {
        let before = self.of(link.id);
        let unchanged = before.as_ref().and_then(|before| before.decisions.front()).is_some_and(|last| {
            last.variants.iter().zip(arms).all(|(share, arm)| {
                (share.clicks, share.conversions, share.revenue) == (arm.clicks, arm.conversions, arm.revenue)
            }) && last.objective == link.spec.objective
        });
        if unchanged {
            return None;
        }
        let seed = link.id.0 ^ at.0 as u64;
        let weights = thompson::shares(arms, link.spec.objective, seed);
        let shares =
            link.prepared.variants.given().zip(arms).zip(&weights).map(|(((name, _), arm), share)| Share {
                name: name.to_owned(),
                clicks: arm.clicks,
                conversions: arm.conversions,
                revenue: arm.revenue,
                share: *share,
            });
        let objective = link.spec.objective;
        let decision = Decision { at, as_of, seed, objective, variants: shares.collect() };
        tracing::debug!(link = %link.id, ?decision, "the shares of variants were decided");
        let journaled = before.as_ref().map(|before| before.journaled.clone()).unwrap_or_default();
        let material = journaled.len() != weights.len()
            || journaled.iter().zip(&weights).any(|(a, b)| a.abs_diff(*b) >= MATERIAL);
        let mut decisions = before.map(|before| before.decisions.clone()).unwrap_or_default();
        decisions.push_front(decision.clone());
        decisions.truncate(DECISIONS_MAX);
        // The link may have changed meanwhile: shares are only for the variants that they were decided among.
        let current = self.links.pin().get(&link.id).cloned();
        if current.is_some_and(|now| now.prepared.variants.given().eq(link.prepared.variants.given())) {
            let weights: Box<[u32]> = weights.into();
            let journaled = if material { weights.clone() } else { journaled };
            self.decided.pin().insert(link.id, Arc::new(Allocated { weights, decisions, journaled }));
            return material.then_some(decision);
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::LinkTable;
    use super::*;

    fn link(allocation: &str, names: &[&str]) -> Arc<TrackedLink> {
        let variants: Vec<_> = names
            .iter()
            .map(|name| json!({"name": name, "destination": "https://v.example/", "weight": 1}))
            .collect();
        let spec = json!({"slug": "a", "destination": "https://a.example/", "variants": variants,
            "allocation": allocation});
        let spec = serde_json::from_value(spec).unwrap();
        Arc::new(TrackedLink::new(LinkId(1), WorkspaceId(1), Timestamp(0), spec))
    }

    fn arms(results: [(u64, u64); 2]) -> Vec<Arm> {
        results.map(|(clicks, conversions)| Arm { clicks, conversions, ..Arm::default() }).to_vec()
    }

    #[test]
    fn decisions_are_published_and_remembered_when_results_change() {
        let table = LinkTable::default();
        let link = link("bandit", &["a", "b"]);
        table.put(Arc::clone(&link));
        let allocations = table.allocations();
        assert!(allocations.of(link.id).is_none());
        for minute in 0..3 {
            allocations.decide(&link, &arms([(1_000, 10), (1_000, 90)]), Timestamp(minute), 7);
        }
        let allocated = allocations.of(link.id).unwrap();
        assert_eq!(allocated.decisions.len(), 1, "nothing new was seen");
        assert!(allocated.weights[1] > 9_000);
        let again = allocations.decide(&link, &arms([(1_001, 10), (1_000, 90)]), Timestamp(4), 8);
        assert!(again.is_none(), "a share moved by nothing to speak of is not journaled");
        let other = LinkTable::default();
        other.put(Arc::clone(&link));
        other.allocations().restore(link.id, allocated.decisions[0].clone());
        assert_eq!(other.allocations().of(link.id).unwrap().weights, allocated.weights, "after a restart");
        let mut earlier = allocated.decisions[0].clone();
        earlier.at.0 -= 1;
        earlier.variants[0].share += 1;
        other.allocations().restore(link.id, earlier.clone());
        assert_eq!(
            other.allocations().of(link.id).unwrap().weights,
            allocated.weights,
            "an earlier one is late"
        );
        earlier.at.0 += 2;
        other.allocations().restore(link.id, earlier);
        assert_ne!(other.allocations().of(link.id).unwrap().weights, allocated.weights, "a later one holds");
        assert_eq!(allocated.decisions[0].variants[1].share, allocated.weights[1]);
        for n in 0..DECISIONS_MAX as u64 + 5 {
            allocations.decide(&link, &arms([(1_000 + n, 10), (1_000, 90)]), Timestamp(9), 8);
        }
        assert_eq!(allocations.of(link.id).unwrap().decisions.len(), DECISIONS_MAX);
    }

    #[test]
    fn shares_are_forgotten_with_the_variants_they_were_decided_among() {
        let table = LinkTable::default();
        let allocations = table.allocations();
        let first = link("bandit", &["a", "b"]);
        let decide = |link: &TrackedLink| {
            let arms = arms([(9, 1), (9, 2)]);
            allocations.decide(link, &arms, Timestamp(1), 1)
        };
        for changed in [link("bandit", &["b", "a"]), link("fixed", &["a", "b"])] {
            table.put(Arc::clone(&first));
            decide(&first);
            assert!(allocations.of(first.id).is_some());
            table.put(changed);
            assert!(allocations.of(first.id).is_none());
            // A decision that was under way when the link changed.
            decide(&first);
            assert!(allocations.of(first.id).is_none());
        }
        table.put(Arc::clone(&first));
        decide(&first);
        table.remove(first.id, &first.spec);
        assert!(allocations.of(first.id).is_none() && allocations.by_workspace().is_empty());
    }
}
