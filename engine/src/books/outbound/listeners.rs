//! What the writer remembers of who wants to be told: whether anybody does, and how many conversions each partner and
//! link has, of which the round numbers are told.

use std::cell::RefCell;
use std::collections::HashMap;

use rusqlite::{Connection, OptionalExtension, params};
use weir_schemas::ids::WorkspaceId;

use super::super::outcome::StoreError;

/// Counters remembered at once; beyond them, all that are written are forgotten.
const COUNTERS_KEPT_MAX: usize = 200_000;

/// `partner` or `link`, and its printed id.
type Subject = (WorkspaceId, &'static str, String);

#[derive(Debug)]
struct Counter {
    n: u32,
    changed: bool,
}

/// What is remembered.
#[derive(Debug, Default)]
pub(in crate::books) struct Listeners {
    anybody: RefCell<HashMap<WorkspaceId, bool>>,
    mints: RefCell<HashMap<WorkspaceId, bool>>,
    counters: RefCell<HashMap<Subject, Counter>>,
    changed: RefCell<Vec<Subject>>,
}

impl Listeners {
    pub(in crate::books) fn forget(&self) {
        self.asked_anew();
        self.counters.borrow_mut().clear();
        self.changed.borrow_mut().clear();
    }

    /// An endpoint or a fulfilment was made or changed.
    pub(in crate::books) fn asked_anew(&self) {
        self.anybody.borrow_mut().clear();
        self.mints.borrow_mut().clear();
    }

    /// Whether anybody in the workspace wants to be told of anything.
    pub(super) fn anybody(&self, db: &Connection, workspace: WorkspaceId) -> Result<bool, StoreError> {
        let sql = "SELECT 1 FROM outbound WHERE workspace = ?1 AND deleted_at IS NULL";
        exists(&self.anybody, db, workspace, sql)
    }

    /// Whether conversions of the workspace may mint links.
    pub(in crate::books) fn mints(
        &self,
        db: &Connection,
        workspace: WorkspaceId,
    ) -> Result<bool, StoreError> {
        let sql = "SELECT 1 FROM fulfilments WHERE workspace = ?1 AND deleted_at IS NULL";
        exists(&self.mints, db, workspace, sql)
    }

    /// One conversion more; gives how many there are.
    pub(super) fn count(
        &self,
        db: &Connection,
        workspace: WorkspaceId,
        kind: &'static str,
        subject: &str,
    ) -> Result<u32, StoreError> {
        let key = (workspace, kind, subject.to_owned());
        let mut counters = self.counters.borrow_mut();
        if let Some(counter) = counters.get_mut(&key) {
            counter.n += 1;
            let n = counter.n;
            if !std::mem::replace(&mut counter.changed, true) {
                self.changed.borrow_mut().push(key);
            }
            return Ok(n);
        }
        let stored: Option<u32> = db
            .prepare_cached("SELECT n FROM milestones WHERE workspace = ?1 AND kind = ?2 AND subject = ?3")?
            .query_row(params![workspace.0, kind, subject], |row| row.get(0))
            .optional()?;
        let n = stored.unwrap_or_default() + 1;
        self.changed.borrow_mut().push(key.clone());
        counters.insert(key, Counter { n, changed: true });
        Ok(n)
    }

    pub(in crate::books) fn write_back(&self, db: &Connection) -> Result<(), StoreError> {
        let mut changed = self.changed.borrow_mut();
        if changed.is_empty() {
            return Ok(());
        }
        changed.sort_unstable();
        let mut counters = self.counters.borrow_mut();
        let mut put = db.prepare_cached("INSERT OR REPLACE INTO milestones VALUES (?1, ?2, ?3, ?4)")?;
        for key in changed.drain(..) {
            if let Some(counter) = counters.get_mut(&key) {
                put.execute(params![key.0.0, key.1, key.2, counter.n])?;
                counter.changed = false;
            }
        }
        if counters.len() > COUNTERS_KEPT_MAX {
            counters.clear();
        }
        Ok(())
    }
}

fn exists(
    known: &RefCell<HashMap<WorkspaceId, bool>>,
    db: &Connection,
    workspace: WorkspaceId,
    sql: &str,
) -> Result<bool, StoreError> {
    if let Some(known) = known.borrow().get(&workspace) {
        return Ok(*known);
    }
    let exists = db.prepare_cached(sql)?.exists([workspace.0])?;
    known.borrow_mut().insert(workspace, exists);
    Ok(exists)
}
