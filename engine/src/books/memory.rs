//! What the writer remembers of the tables between facts, so that a fact asks SQLite only for what is its own. Two
//! kinds: what is read often and seldom changes (terms, partners, who wants to be told), and sums that every sale
//! changes (balances, standings, counters), which are added up here and written once, at the end of a batch.
//!
//! **Invariants.** Nobody else writes the tables. Whoever reads a remembered sum by SQL writes it back first. A batch
//! writes everything back before it commits, and what is rolled back is forgotten whole: so the tables are the same
//! whatever the batches, and whatever was remembered.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;

use rusqlite::Connection;
use weir_schemas::ids::WorkspaceId;

use super::commissions::standings::Standings;
use super::ledger::Accounts;
use super::outbound::Listeners;
use super::outcome::StoreError;
use super::partners::KnownPartners;
use super::terms_memory::TermsMemory;

/// What is remembered.
#[derive(Debug, Default)]
pub(super) struct Memory {
    pub(super) terms: TermsMemory,
    pub(super) partners: KnownPartners,
    pub(super) listeners: Listeners,
    pub(super) accounts: RefCell<Accounts>,
    pub(super) standings: RefCell<Standings>,
    last_ids: RefCell<HashMap<&'static str, u64>>,
    /// By workspace: nothing that is pending is due before.
    next_due: RefCell<HashMap<WorkspaceId, i64>>,
    changes: Cell<u64>,
}

impl Memory {
    /// Forgets everything, also what was not written back.
    pub(super) fn forget(&self) {
        self.terms.forget();
        self.partners.forget();
        self.listeners.forget();
        self.accounts.borrow_mut().forget();
        self.standings.borrow_mut().forget();
        self.last_ids.borrow_mut().clear();
        self.next_due.borrow_mut().clear();
    }

    /// Writes the sums that changed.
    pub(super) fn write_back(&self, db: &Connection) -> Result<(), StoreError> {
        self.accounts.borrow_mut().write_back(db)?;
        self.standings.borrow_mut().write_back(db)?;
        self.listeners.write_back(db)
    }

    /// A remembered sum changed.
    pub(super) fn changed(&self) {
        self.changes.set(self.changes.get() + 1);
    }

    /// How often a remembered sum changed.
    pub(super) fn changes(&self) -> u64 {
        self.changes.get()
    }

    /// Whether `id` is certainly free in `table`: beyond every id that it has. It counts as taken from now on.
    pub(super) fn is_beyond(
        &self,
        db: &Connection,
        table: &'static str,
        id: u64,
    ) -> Result<bool, StoreError> {
        let mut last_ids = self.last_ids.borrow_mut();
        let last = match last_ids.get(table) {
            Some(last) => *last,
            None => {
                let sql = format!("SELECT coalesce(max(id), 0) FROM {table}");
                db.prepare_cached(&sql)?.query_row([], |row| row.get::<_, i64>(0))? as u64
            }
        };
        last_ids.insert(table, last.max(id));
        Ok(id > last)
    }

    /// Whether something pending in the workspace may be due at `at`.
    pub(super) fn may_be_due(
        &self,
        db: &Connection,
        workspace: WorkspaceId,
        at: i64,
    ) -> Result<bool, StoreError> {
        let mut next_due = self.next_due.borrow_mut();
        let next = match next_due.get(&workspace) {
            Some(next) => *next,
            None => {
                let next = db
                    .prepare_cached(
                        "SELECT coalesce((SELECT due_at FROM earnings WHERE workspace = ?1 AND state = 'pending'
                                          ORDER BY due_at LIMIT 1), ?2)",
                    )?
                    .query_row((workspace.0, i64::MAX), |row| row.get(0))?;
                next_due.insert(workspace, next);
                next
            }
        };
        Ok(next <= at)
    }

    /// What was due was looked for.
    pub(super) fn due_changed(&self, workspace: WorkspaceId) {
        self.next_due.borrow_mut().remove(&workspace);
    }

    /// Something pending is due at `at`.
    pub(super) fn due(&self, workspace: WorkspaceId, at: i64) {
        if let Some(next) = self.next_due.borrow_mut().get_mut(&workspace) {
            *next = at.min(*next);
        }
    }
}
