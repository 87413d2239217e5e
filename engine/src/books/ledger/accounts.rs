//! The accounts that the writer remembers, and the entries that wait to be written. A balance is written once for all
//! the entries of a batch; the entries of an account are written together, so that its page is found once.

use std::collections::HashMap;

use rusqlite::{Connection, OptionalExtension, params};
use weir_schemas::ids::{Sequence, WorkspaceId};
use weir_schemas::ledger::Owner;
use weir_schemas::money::Currency;
use weir_schemas::time::Timestamp;

use super::super::outcome::StoreError;
use super::{About, Account};

/// Accounts remembered at once; beyond them, all that are written are forgotten.
const ACCOUNTS_KEPT_MAX: usize = 200_000;
/// Entries that wait at most: 80 bytes each.
const ENTRIES_WAITING_MAX: usize = 100_000;

/// Whose accounts.
type OwnerKey = (WorkspaceId, Owner, u64, Currency);

#[derive(Debug)]
struct Held {
    owner: OwnerKey,
    kind: Box<str>,
    id: i64,
    balance: i64,
    entries: i64,
    stored: Stored,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stored {
    /// The row is as it is here.
    Same,
    Changed,
    /// There is no row yet.
    New,
}

#[derive(Debug)]
struct Entry {
    account: i64,
    id: i64,
    seq: Sequence,
    amount: i64,
    balance: i64,
    about: About,
    at: Timestamp,
}

/// What is remembered of the ledger.
#[derive(Debug, Default)]
pub(in crate::books) struct Accounts {
    held: Vec<Held>,
    /// Where an owner's are among the held.
    places: HashMap<OwnerKey, Vec<usize>>,
    changed: Vec<usize>,
    waiting: Vec<Entry>,
    /// The ids of the last account and entry, once they are known.
    last: Option<(i64, i64)>,
}

impl Accounts {
    pub(in crate::books) fn forget(&mut self) {
        *self = Self::default();
    }

    /// The balance of an account; `None` where there is no such account.
    pub(super) fn balance(
        &mut self,
        db: &Connection,
        workspace: WorkspaceId,
        account: Account<'_>,
        currency: Currency,
    ) -> Result<Option<i64>, StoreError> {
        Ok(self
            .find(db, (workspace, account.owner, account.id, currency), account.kind)?
            .map(|place| self.held[place].balance))
    }

    /// Adds an entry.
    pub(super) fn post(
        &mut self,
        db: &Connection,
        (workspace, account, currency): (WorkspaceId, Account<'_>, Currency),
        amount: i64,
        about: About,
        (seq, at): (Sequence, Timestamp),
    ) -> Result<(), StoreError> {
        let owner = (workspace, account.owner, account.id, currency);
        let place = match self.find(db, owner, account.kind)? {
            Some(place) => place,
            None => self.open(db, owner, account.kind)?,
        };
        let (_, last_entry) = self.last(db)?;
        let id = *last_entry + 1;
        *last_entry = id;
        let held = &mut self.held[place];
        held.balance += amount;
        held.entries += 1;
        if held.stored == Stored::Same {
            held.stored = Stored::Changed;
            self.changed.push(place);
        }
        self.waiting.push(Entry { account: held.id, id, seq, amount, balance: held.balance, about, at });
        if self.waiting.len() >= ENTRIES_WAITING_MAX { self.write_back(db) } else { Ok(()) }
    }

    fn find(&mut self, db: &Connection, owner: OwnerKey, kind: &str) -> Result<Option<usize>, StoreError> {
        let known = self.places.get(&owner).into_iter().flatten();
        if let Some(place) = known.copied().find(|place| &*self.held[*place].kind == kind) {
            return Ok(Some(place));
        }
        let row: Option<(i64, i64, i64)> = db
            .prepare_cached(
                "SELECT id, balance, entries FROM accounts
                 WHERE workspace = ?1 AND owner = ?2 AND owner_id = ?3 AND kind = ?4 AND currency = ?5",
            )?
            .query_row(params![owner.0.0, owner.1.as_str(), owner.2 as i64, kind, owner.3.as_str()], |row| {
                Ok((row.get(0)?, row.get(1)?, row.get(2)?))
            })
            .optional()?;
        Ok(row.map(|(id, balance, entries)| {
            self.hold(Held { owner, kind: kind.into(), id, balance, entries, stored: Stored::Same })
        }))
    }

    fn open(&mut self, db: &Connection, owner: OwnerKey, kind: &str) -> Result<usize, StoreError> {
        let (last_account, _) = self.last(db)?;
        let id = *last_account + 1;
        *last_account = id;
        let new = Held { owner, kind: kind.into(), id, balance: 0, entries: 0, stored: Stored::New };
        let place = self.hold(new);
        self.changed.push(place);
        Ok(place)
    }

    fn hold(&mut self, held: Held) -> usize {
        let place = self.held.len();
        self.places.entry(held.owner).or_default().push(place);
        self.held.push(held);
        place
    }

    fn last(&mut self, db: &Connection) -> Result<&mut (i64, i64), StoreError> {
        let last = match self.last {
            Some(last) => last,
            None => db
                .prepare_cached(
                    "SELECT (SELECT coalesce(max(id), 0) FROM accounts),
                            (SELECT coalesce(max(value), 0) FROM meta WHERE name = 'last_entry')",
                )?
                .query_row([], |row| Ok((row.get(0)?, row.get(1)?)))?,
        };
        Ok(self.last.insert(last))
    }

    pub(in crate::books) fn write_back(&mut self, db: &Connection) -> Result<(), StoreError> {
        if self.changed.is_empty() {
            return Ok(());
        }
        let mut insert = db.prepare_cached("INSERT INTO accounts VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)")?;
        let mut update = db.prepare_cached("UPDATE accounts SET balance = ?2, entries = ?3 WHERE id = ?1")?;
        for place in self.changed.drain(..) {
            let held = &mut self.held[place];
            if held.stored == Stored::New {
                let (workspace, owner, owner_id, currency) = held.owner;
                insert.execute(params![
                    held.id,
                    workspace.0,
                    owner.as_str(),
                    owner_id as i64,
                    held.kind,
                    currency.as_str(),
                    held.balance,
                    held.entries
                ])?;
            } else {
                update.execute(params![held.id, held.balance, held.entries])?;
            }
            held.stored = Stored::Same;
        }
        self.waiting.sort_unstable_by_key(|entry| (entry.account, entry.id));
        let mut insert =
            db.prepare_cached("INSERT INTO entries VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)")?;
        for entry in self.waiting.drain(..) {
            insert.execute(params![
                entry.account,
                entry.id,
                entry.seq as i64,
                entry.amount,
                entry.balance,
                entry.about.what,
                entry.about.conversion.0 as i64,
                entry.about.commission,
                entry.about.payout,
                entry.at.0
            ])?;
        }
        if let Some((_, last_entry)) = self.last {
            db.prepare_cached(
                "INSERT INTO meta VALUES ('last_entry', ?1) ON CONFLICT DO UPDATE SET value = excluded.value",
            )?
            .execute([last_entry])?;
        }
        if self.held.len() > ACCOUNTS_KEPT_MAX {
            (self.held, self.places) = Default::default();
        }
        Ok(())
    }
}
