//! Deduplication: the same visitor at the same link again within the link's window. The repeat is answered as any
//! visit, with the token of the first click, so that a sale after it is credited all the same; its hit says
//! `duplicate`.
//!
//! First clicks are remembered in bounded memory, shared by all threads; a start finds them in the journal again.
//! What the bounds made it forget is found in the visitor's cookie `wclid`, where the browser still brings it; else the
//! repeat is a click.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use lru::LruCache;
use weir_engine::journal::{JournalError, Traffic};
use weir_engine::links::LinkTable;
use weir_engine::token::TokenParts;
use weir_schemas::click::{Click, ClickHead, Verdict};
use weir_schemas::fact::kind;
use weir_schemas::ids::{ClickId, LinkId, Sequence};
use weir_schemas::time::{SECOND_MS, Timestamp};

/// First clicks remembered at most, about 100 bytes each. Beyond it the ones met longest ago are forgotten.
pub const FIRST_CLICKS_MAX: usize = 1 << 18;
/// How far back a start looks for them, in entries of the journal: about two seconds of reading.
const RESTORED_ENTRIES_MAX: Sequence = 2_000_000;
/// Parts with a lock each, so that threads rarely meet.
const SHARDS: usize = 16;

/// A visitor's first click in a window.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct First {
    /// Its id, which knows its time.
    pub click: ClickId,
    /// The variant in its token.
    pub variant: u8,
}

impl First {
    fn within(self, at: Timestamp, window_ms: i64) -> bool {
        at.0 - self.click.unix_ms() < window_ms
    }
}

type Shard = LruCache<(LinkId, u64), First, ahash::RandomState>;

/// The first clicks.
#[derive(Debug)]
pub struct Repeats {
    shards: [Mutex<Shard>; SHARDS],
    hasher: ahash::RandomState,
    shard_max: usize,
}

impl Default for Repeats {
    fn default() -> Self {
        Self::with_room(FIRST_CLICKS_MAX)
    }
}

impl Repeats {
    fn with_room(room: usize) -> Self {
        Self {
            shards: std::array::from_fn(|_| {
                Mutex::new(LruCache::unbounded_with_hasher(ahash::RandomState::new()))
            }),
            hasher: ahash::RandomState::new(),
            shard_max: room.div_ceil(SHARDS),
        }
    }

    /// Remembers the first clicks that `journal` tells of, up to what is durable, of the links that tell repeats apart.
    /// Before the listener opens.
    ///
    /// # Errors
    /// The journal cannot be read.
    pub fn restore(&self, journal: &Traffic, upto: Sequence, links: &LinkTable) -> Result<(), JournalError> {
        let mut windows: HashMap<LinkId, (u32, Vec<String>), ahash::RandomState> = HashMap::default();
        links.each(|link| {
            if let Some(window) = link.spec.dedupe_window_seconds {
                let names = link.prepared.variants.given().map(|(name, _)| name.to_owned()).collect();
                windows.insert(link.id, (window, names));
            }
        });
        if windows.is_empty() {
            return Ok(());
        }
        let mut reader = journal.behind(upto.saturating_sub(RESTORED_ENTRIES_MAX));
        let read = reader.read(upto, usize::MAX, usize::MAX, |entry| {
            let head = if entry.kind == kind::CLICK { ClickHead::read(entry.payload).ok() } else { None };
            let Some((head, (window, names))) = head.and_then(|head| Some((head, windows.get(&head.link)?)))
            else {
                return;
            };
            if head.verdict == Verdict::Counted
                && self.claim(head.link, head.visitor, head.id, *window, || None).is_none()
                && let Ok(click) = Click::read(entry.payload)
                && let Some(number) = names.iter().position(|name| *name == click.dims.variant)
            {
                self.note_variant(head.link, head.visitor, head.id, number as u8 + 1);
            }
        });
        read.map(|_| ())
    }

    fn shard(&self, key: (LinkId, u64)) -> std::sync::MutexGuard<'_, Shard> {
        let index = self.hasher.hash_one(key) as usize % SHARDS;
        self.shards[index].lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The visitor's first click at the link, if it is within the window; else `click` is it from now on. Asked by
    /// two threads at once, only one of them gets `None`. `sent` opens the token that the browser brought.
    pub(super) fn claim(
        &self,
        link: LinkId,
        visitor: u64,
        click: ClickId,
        window_s: u32,
        sent: impl FnOnce() -> Option<TokenParts>,
    ) -> Option<First> {
        let (at, window_ms) = (Timestamp(click.unix_ms()), i64::from(window_s) * SECOND_MS);
        let key = (link, visitor);
        let mut shard = self.shard(key);
        if let Some(first) = shard.get(&key).copied()
            && first.within(at, window_ms)
        {
            return Some(first);
        }
        let brought = sent()
            .filter(|parts| parts.link == link)
            .map(|parts| First { click: parts.click, variant: parts.variant })
            .filter(|first| first.within(at, window_ms));
        shard.put(key, brought.unwrap_or(First { click, variant: 0 }));
        if shard.len() > self.shard_max
            && let Some((_, forgotten)) = shard.pop_lru()
            && forgotten.within(at, window_ms)
        {
            metrics::counter!("weir_repeats_forgotten_total").increment(1);
        }
        brought
    }

    /// Notes which variant the first click got.
    pub(super) fn note_variant(&self, link: LinkId, visitor: u64, click: ClickId, variant: u8) {
        let key = (link, visitor);
        if let Some(first) = self.shard(key).get_mut(&key).filter(|first| first.click == click) {
            first.variant = variant;
        }
    }

    /// Takes back a claim: the click found no place or no room.
    pub(super) fn forget(&self, link: LinkId, visitor: u64, click: ClickId) {
        let key = (link, visitor);
        let mut shard = self.shard(key);
        if shard.peek(&key).is_some_and(|first| first.click == click) {
            shard.pop(&key);
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use weir_schemas::ids::WorkspaceId;

    use super::*;

    /// 2026-11-21.
    const NOW: i64 = 1_795_219_200_000;

    fn click(after_s: i64, counter: u64) -> ClickId {
        ClickId::new(NOW + after_s * SECOND_MS, 0, 0, counter)
    }

    #[test]
    fn the_first_click_stands_until_its_window_is_over() {
        let repeats = Repeats::default();
        let claim = |link, visitor, click| repeats.claim(LinkId(link), visitor, click, 60, || None);
        let first = click(0, 1);
        assert_eq!(claim(1, 1, first), None);
        repeats.note_variant(LinkId(1), 1, first, 3);
        let expected = Some(First { click: first, variant: 3 });
        assert_eq!(claim(1, 1, click(59, 2)), expected);
        assert_eq!(claim(1, 2, click(59, 3)), None, "another visitor");
        assert_eq!(claim(2, 1, click(59, 4)), None, "another link");
        assert_eq!(claim(1, 1, click(60, 5)), None, "a repeat does not prolong the window");
        assert_eq!(claim(1, 1, click(61, 6)).unwrap().click, click(60, 5));
        repeats.forget(LinkId(1), 1, click(9, 9));
        assert!(claim(1, 1, click(62, 7)).is_some(), "it was another click's claim");
        repeats.forget(LinkId(1), 1, click(60, 5));
        assert_eq!(claim(1, 1, click(63, 8)), None);
    }

    #[test]
    fn a_start_forgets_nobody_who_brings_the_token() {
        let repeats = Repeats::default();
        let parts =
            |link, click| TokenParts { click, workspace: WorkspaceId(1), link: LinkId(link), variant: 2 };
        let first = click(0, 1);
        let claim = |visitor, at, sent| repeats.claim(LinkId(1), visitor, at, 60, || sent);
        assert_eq!(claim(1, click(5, 2), Some(parts(2, first))), None, "another link's");
        assert_eq!(claim(2, click(60, 3), Some(parts(1, first))), None, "an old one");
        assert_eq!(claim(3, click(5, 4), Some(parts(1, first))), Some(First { click: first, variant: 2 }));
        assert_eq!(claim(3, click(6, 5), None), Some(First { click: first, variant: 2 }), "remembered again");
    }

    #[test]
    fn memory_is_bounded() {
        let repeats = Repeats::with_room(64);
        for visitor in 0..1_000 {
            assert_eq!(repeats.claim(LinkId(1), visitor, click(0, visitor), 60, || None), None);
        }
        let held: usize = repeats.shards.iter().map(|shard| shard.lock().unwrap().len()).sum();
        assert!(held <= 64, "{held}");
    }

    proptest! {
        #[test]
        fn claims_agree_with_a_naive_twin(
            visits in proptest::collection::vec((0_u64..3, 0_u64..3, 0_i64..40, 1_u32..90), 1..60),
        ) {
            let repeats = Repeats::default();
            let mut twin: HashMap<(u64, u64), (i64, ClickId)> = HashMap::new();
            let mut now = 0;
            for (counter, (link, visitor, later, window)) in visits.into_iter().enumerate() {
                now += later;
                let click = click(now, counter as u64);
                let known = twin.get(&(link, visitor)).filter(|(at, _)| now - at < i64::from(window));
                let expected = known.map(|(_, click)| *click);
                if expected.is_none() {
                    twin.insert((link, visitor), (now, click));
                }
                let found = repeats.claim(LinkId(link), visitor, click, window, || None);
                prop_assert_eq!(found.map(|first| first.click), expected);
            }
        }
    }
}
