//! Recent clicks, by their id: a conversion that follows its click within minutes finds the click's facts
//! here, before any database has to be asked. Older ones are found in the warehouse ([`crate::warehouse`]).
//!
//! The recorder's thread is the only writer; a click is kept as the bytes that went into the journal. They stand one
//! behind the other in a ring, and an index of fixed size tells where: remembering a click is a copy, and nothing is
//! ever allocated or freed for it.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use weir_schemas::click::Click;
use weir_schemas::fact::ClickFacts;
use weir_schemas::ids::{ClickId, WorkspaceId};

/// Bytes of clicks that are remembered; a click has about 250.
pub const RECENT_BYTES: usize = 32 << 20;
/// Places of the index: one for every 256 bytes of the ring.
const BYTES_PER_PLACE: usize = 256;

/// The readers' side. Clones share the memory.
#[derive(Debug, Clone)]
pub struct RecentClicks(Arc<Mutex<Ring>>);

/// The recorder's side.
#[derive(Debug)]
pub struct RecentClicksWriter(Arc<Mutex<Ring>>);

struct Ring {
    bytes: Box<[u8]>,
    /// Bytes ever written: the last `bytes.len()` of them are there.
    written: u64,
    index: Box<[Place]>,
}

/// Where a click stands. Clicks of one lane follow each other through the index, so a place is taken by another click
/// of the lane only after all others were, and by one of another lane where their counters meet.
#[derive(Debug, Clone, Copy, Default)]
struct Place {
    id: u128,
    at: u64,
    length: u32,
}

impl std::fmt::Debug for Ring {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Ring").field("written", &self.written).finish_non_exhaustive()
    }
}

/// An empty memory for `bytes` of clicks.
pub fn recent_clicks(bytes: usize) -> (RecentClicksWriter, RecentClicks) {
    let ring = Ring {
        bytes: vec![0; bytes].into_boxed_slice(),
        written: 0,
        index: vec![Place::default(); (bytes / BYTES_PER_PLACE).max(1)].into_boxed_slice(),
    };
    let ring = Arc::new(Mutex::new(ring));
    (RecentClicksWriter(Arc::clone(&ring)), RecentClicks(ring))
}

fn locked(ring: &Mutex<Ring>) -> MutexGuard<'_, Ring> {
    ring.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Ring {
    fn place(&self, id: ClickId) -> usize {
        // Lanes begin far apart.
        let spread = u64::from(id.lane()).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32;
        (id.counter().wrapping_add(spread) % self.index.len() as u64) as usize
    }

    fn put(&mut self, id: ClickId, click: &[u8]) {
        let capacity = self.bytes.len() as u64;
        if click.len() as u64 > capacity {
            return;
        }
        let mut offset = self.written % capacity;
        if offset + click.len() as u64 > capacity {
            // No click goes over the end.
            self.written += capacity - offset;
            offset = 0;
        }
        self.bytes[offset as usize..][..click.len()].copy_from_slice(click);
        let place = self.place(id);
        self.index[place] = Place { id: id.0, at: self.written, length: click.len() as u32 };
        self.written += click.len() as u64;
    }

    fn get(&self, id: ClickId) -> Option<&[u8]> {
        let place = self.index[self.place(id)];
        let capacity = self.bytes.len() as u64;
        if place.length == 0 || place.id != id.0 || self.written - place.at > capacity {
            return None;
        }
        self.bytes.get((place.at % capacity) as usize..)?.get(..place.length as usize)
    }
}

impl RecentClicksWriter {
    /// Remembers the click `id`, whose journal bytes are `bytes`; the oldest are forgotten for it.
    pub fn remember(&mut self, id: ClickId, bytes: &[u8]) {
        locked(&self.0).put(id, bytes);
    }
}

impl RecentClicks {
    /// The facts of `id`, where it is remembered and belongs to `workspace`.
    pub fn find(&self, workspace: WorkspaceId, id: ClickId) -> Option<ClickFacts> {
        let ring = locked(&self.0);
        let click = Click::read(ring.get(id)?).expect("what was journaled was written by this program");
        (click.workspace == workspace).then(|| ClickFacts {
            id,
            link: click.link,
            program: click.program,
            partner: click.partner,
            visitor: click.visitor,
            bot: click.bot,
            asn: click.asn,
            verdict: Some(click.verdict),
            dims: click.dims.into_owned(),
        })
    }
}

#[cfg(test)]
mod tests {
    use weir_schemas::click::{Dims, Verdict};
    use weir_schemas::ids::{LinkId, PartnerId, ProgramId};
    use weir_schemas::time::Timestamp;

    use super::*;

    fn bytes(id: ClickId) -> Vec<u8> {
        let click = Click {
            id,
            at: Timestamp(id.unix_ms()),
            verdict: Verdict::Counted,
            bot: false,
            flags: 0,
            status: 302,
            latency_us: 1,
            workspace: WorkspaceId(7),
            link: LinkId(id.counter()),
            program: ProgramId::NONE,
            partner: PartnerId::NONE,
            visitor: 1,
            network: 2,
            asn: 0,
            dims: Dims { country: "DE".into(), ..Dims::default() },
            slug: "a".into(),
            evidence: "".into(),
        };
        let mut bytes = Vec::new();
        click.write(&mut bytes);
        bytes
    }

    #[test]
    fn the_newest_are_remembered_within_the_bound_and_the_workspace() {
        let ids: Vec<ClickId> = (1..=50).map(|n| ClickId::new(1_000 + n, 0, 0, n as u64)).collect();
        let each = bytes(ids[0]).len();
        let (mut writer, reader) = recent_clicks(3 * each + each / 2);
        for id in &ids {
            writer.remember(*id, &bytes(*id));
        }
        assert_eq!(reader.find(WorkspaceId(8), ids[49]), None, "of another workspace");
        let facts = reader.find(WorkspaceId(7), ids[49]).unwrap();
        assert_eq!((facts.link, &*facts.dims.country), (LinkId(50), "DE"));
        for (number, id) in ids.iter().enumerate().take(46) {
            assert_eq!(reader.find(WorkspaceId(7), *id), None, "click {number} was overwritten");
        }
    }

    #[test]
    fn what_is_remembered_is_what_was_put() {
        let (mut writer, reader) = recent_clicks(1 << 16);
        let mut found = 0;
        for n in 1..=1_000_u64 {
            let id = ClickId::new(1_000, 0, (n % 3) as u16, n);
            writer.remember(id, &bytes(id));
            for back in 0..60 {
                let older = n.saturating_sub(back).max(1);
                let older = ClickId::new(1_000, 0, (older % 3) as u16, older);
                if let Some(facts) = reader.find(WorkspaceId(7), older) {
                    assert_eq!((facts.id, facts.link), (older, LinkId(older.counter())));
                    found += 1;
                }
            }
        }
        assert!(found > 50_000, "{found}: the ring has room for far more than 60 clicks");
    }
}
