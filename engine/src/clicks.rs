//! Recent clicks, by their id: a conversion that follows its click within minutes finds the click's facts
//! here, before any database has to be asked. Older ones are found in the warehouse ([`crate::warehouse`]).
//!
//! The recorder's thread is the only writer; a click is kept as the bytes that went into the journal.

use std::collections::VecDeque;
use std::sync::Arc;

use papaya::HashMap;
use weir_schemas::click::Click;
use weir_schemas::fact::ClickFacts;
use weir_schemas::ids::{ClickId, WorkspaceId};

/// How many clicks are remembered; about 250 bytes each.
pub const RECENT_CLICKS_MAX: usize = 100_000;

type Shared = Arc<HashMap<ClickId, Box<[u8]>, ahash::RandomState>>;

/// The readers' side.
#[derive(Debug, Clone)]
pub struct RecentClicks {
    clicks: Shared,
}

/// The recorder's side.
#[derive(Debug)]
pub struct RecentClicksWriter {
    clicks: Shared,
    order: VecDeque<ClickId>,
    capacity: usize,
}

/// An empty memory of at most `capacity` clicks.
pub fn recent_clicks(capacity: usize) -> (RecentClicksWriter, RecentClicks) {
    let clicks: Shared = Arc::new(HashMap::with_hasher(ahash::RandomState::new()));
    (
        RecentClicksWriter { clicks: Arc::clone(&clicks), order: VecDeque::new(), capacity },
        RecentClicks { clicks },
    )
}

impl RecentClicksWriter {
    /// Remembers the click `id`, whose journal bytes are `bytes`; the oldest is forgotten when the memory is full.
    pub fn remember(&mut self, id: ClickId, bytes: &[u8]) {
        let clicks = self.clicks.pin();
        if self.order.len() >= self.capacity
            && let Some(oldest) = self.order.pop_front()
        {
            clicks.remove(&oldest);
        }
        clicks.insert(id, bytes.into());
        self.order.push_back(id);
    }
}

impl RecentClicks {
    /// The facts of `id`, where it is remembered and belongs to `workspace`.
    pub fn find(&self, workspace: WorkspaceId, id: ClickId) -> Option<ClickFacts> {
        let clicks = self.clicks.pin();
        let click = Click::read(clicks.get(&id)?).expect("what was journaled was written by this program");
        (click.workspace == workspace).then(|| ClickFacts {
            id,
            link: click.link,
            program: click.program,
            partner: click.partner,
            visitor: click.visitor,
            bot: click.bot,
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
        };
        let mut bytes = Vec::new();
        click.write(&mut bytes);
        bytes
    }

    #[test]
    fn the_newest_are_remembered_within_the_bound_and_the_workspace() {
        let (mut writer, reader) = recent_clicks(3);
        let ids: Vec<ClickId> = (1..=5).map(|n| ClickId::new(1_000 + n, 0, 0, n as u64)).collect();
        for id in &ids {
            writer.remember(*id, &bytes(*id));
        }
        assert_eq!(reader.find(WorkspaceId(7), ids[1]), None, "forgotten");
        assert_eq!(reader.find(WorkspaceId(8), ids[4]), None, "of another workspace");
        let facts = reader.find(WorkspaceId(7), ids[4]).unwrap();
        assert_eq!((facts.link, &*facts.dims.country), (LinkId(5), "DE"));
        assert_eq!(reader.clicks.pin().len(), 3);
    }
}
