//! Programs' terms as the writer has read them, so that a fact need not parse them anew. A fact that changes a program
//! forgets them.

use std::cell::RefCell;
use std::collections::HashMap;
use std::sync::Arc;

use rusqlite::Connection;
use weir_schemas::ids::{ProgramId, WorkspaceId};
use weir_schemas::program::ProgramSpec;
use weir_schemas::time::Timestamp;

use super::outcome::StoreError;
use super::programs;

/// Programs kept at once; beyond them all are read anew.
const PROGRAMS_KEPT_MAX: usize = 1_000;

/// A version of terms: its number, since when it is in force, and what it says.
pub(super) type Version = (u32, Timestamp, Arc<ProgramSpec>);

/// Every version of a program, the first first, and its workspace.
type Known = Arc<(WorkspaceId, Vec<Version>)>;

/// What the writer has read.
#[derive(Debug, Default)]
pub(super) struct TermsMemory {
    programs: RefCell<HashMap<ProgramId, Known>>,
}

impl TermsMemory {
    /// Forgets everything.
    pub(super) fn forget(&self) {
        self.programs.borrow_mut().clear();
    }

    /// The terms in force at a time: before the first version that version. `None`: there is no such program.
    pub(super) fn at(
        &self,
        db: &Connection,
        workspace: WorkspaceId,
        id: ProgramId,
        at: Timestamp,
    ) -> Result<Option<(u32, Arc<ProgramSpec>)>, StoreError> {
        let known = self.of(db, id)?;
        let Some(known) = known.filter(|known| known.0 == workspace) else { return Ok(None) };
        let in_force = known.1.iter().rev().find(|(version, since, _)| *since <= at || *version == 1);
        Ok(in_force.map(|(version, _, spec)| (*version, Arc::clone(spec))))
    }

    fn of(&self, db: &Connection, id: ProgramId) -> Result<Option<Known>, StoreError> {
        if id == ProgramId::NONE {
            return Ok(None);
        }
        if let Some(known) = self.programs.borrow().get(&id) {
            return Ok(Some(Arc::clone(known)));
        }
        let Some(read) = programs::all_versions(db, id)? else { return Ok(None) };
        let read = Arc::new(read);
        let mut programs = self.programs.borrow_mut();
        if programs.len() >= PROGRAMS_KEPT_MAX {
            programs.clear();
        }
        programs.insert(id, Arc::clone(&read));
        Ok(Some(read))
    }
}
