//! Recent clicks, by their id: a conversion that follows its click within minutes finds the click's facts
//! here, before any database has to be asked. Older ones are found in the warehouse ([`crate::warehouse`]).
//!
//! They are read where the journal's followers read them, in its [tail](crate::journal::Traffic): remembering a click
//! costs a place in an index, and a click is found as soon as it is durable.

use weir_schemas::click::Click;
use weir_schemas::fact::{ClickFacts, kind};
use weir_schemas::ids::{ClickId, WorkspaceId};

use crate::journal::Traffic;

/// The clicks that were journaled lately. Clones share them.
#[derive(Debug, Clone)]
pub struct RecentClicks(Traffic);

impl RecentClicks {
    /// Those of this journal's writer.
    pub fn of(traffic: Traffic) -> Self {
        Self(traffic)
    }

    /// The facts of `id`, where it is remembered and belongs to `workspace`.
    pub fn find(&self, workspace: WorkspaceId, id: ClickId) -> Option<ClickFacts> {
        self.0.recent(id.lane(), id.counter(), |entry| {
            let click = Click::read(entry.payload).ok()?;
            // An event, or a click of another node: it has the same place on its lane.
            let is_it = entry.kind == kind::CLICK && click.id == id && click.workspace == workspace;
            is_it.then(|| ClickFacts {
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
        })?
    }
}

#[cfg(test)]
mod tests {
    use weir_schemas::click::{Dims, Verdict};
    use weir_schemas::ids::{LinkId, PartnerId, ProgramId};
    use weir_schemas::time::Timestamp;

    use super::*;
    use crate::journal::{Journal, JournalConfig};

    /// A journal and what is found in it.
    struct Kept {
        journal: Journal,
        recent: RecentClicks,
        _folder: tempfile::TempDir,
    }

    impl Kept {
        fn new() -> Self {
            let folder = tempfile::tempdir().unwrap();
            let config = JournalConfig { folder: folder.path().to_owned(), node: 0, segment_bytes: 1 << 20 };
            let journal = Journal::open(config).unwrap().0;
            let recent = RecentClicks::of(Traffic::of_writer(folder.path(), journal.tail()));
            Self { journal, recent, _folder: folder }
        }

        fn put(&mut self, id: ClickId, kind: u8) {
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
            self.journal.put_traffic(kind, id.lane(), id.counter(), &bytes).unwrap();
        }
    }

    #[test]
    fn a_click_is_found_once_it_is_durable_and_in_its_workspace_only() {
        let mut kept = Kept::new();
        let ids: Vec<ClickId> = (1..=50).map(|n| ClickId::new(1_000 + n, 0, 0, n as u64)).collect();
        ids.iter().for_each(|id| kept.put(*id, kind::CLICK));
        assert_eq!(kept.recent.find(WorkspaceId(7), ids[49]), None, "it may still be lost");
        kept.journal.commit().unwrap();
        assert_eq!(kept.recent.find(WorkspaceId(8), ids[49]), None, "of another workspace");
        for id in &ids {
            let facts = kept.recent.find(WorkspaceId(7), *id).unwrap();
            assert_eq!((facts.id, facts.link, &*facts.dims.country), (*id, LinkId(id.counter()), "DE"));
        }
        let of_another_node = ClickId::new(1_050, 1, 0, 50);
        assert_eq!(kept.recent.find(WorkspaceId(7), of_another_node), None);
        kept.put(ClickId::new(1_051, 0, 0, 51), kind::EVENT);
        kept.journal.commit().unwrap();
        assert_eq!(kept.recent.find(WorkspaceId(7), ClickId::new(1_051, 0, 0, 51)), None, "an event");
    }
}
