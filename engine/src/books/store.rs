//! The books' file: opening it, applying batches of facts, and comparing it with itself and with a replay.

use std::fmt::Write as _;
use std::path::Path;
use std::time::Duration;

use rusqlite::config::DbConfig;
use rusqlite::types::ValueRef;
use rusqlite::{Connection, OpenFlags, params};
use sha2::{Digest, Sha256};
use weir_schemas::fact::Recorded;
use weir_schemas::ids::Sequence;

use super::apply::{self, Touched, Undo};
use super::memory::Memory;
use super::outcome::{Outcome, StoreError};
use super::schema;

/// A fact as the journal has it; `Err` says why an entry could not be decoded, which is noted and passed
/// over.
pub type Fact = Result<Recorded, String>;

/// How many statements a connection keeps prepared.
const STATEMENTS: usize = 256;
/// How much of the file the writer keeps in memory; the default of 2 MiB is read over and over.
const CACHE_KIB: i64 = 64 << 10;
/// From how many pages on the write-ahead log is put into the file: 64 MiB. With SQLite's 1,000 every batch wrote the
/// same hot pages into the file anew, and synced them.
const LOG_PAGES: i64 = 16 << 10;
/// How long a reader or writer waits for a lock before it fails.
const BUSY: Duration = Duration::from_secs(10);

/// The one writer of the books.
#[derive(Debug)]
pub struct Store {
    db: Connection,
    pub(super) touched: Vec<Touched>,
    memory: Memory,
}

impl Store {
    /// Opens the books at `path`, or makes empty ones. Commits are not synced (`synchronous=NORMAL`): what a power
    /// failure takes of them is applied again from the journal, which was synced before; only what SQLite needs to
    /// keep the file whole is, at its checkpoints.
    pub fn open(path: &Path) -> Result<Self, StoreError> {
        let db = Connection::open(path)?;
        db.busy_timeout(BUSY)?;
        db.pragma_update(None, "journal_mode", "WAL")?;
        db.pragma_update(None, "synchronous", "NORMAL")?;
        db.pragma_update(None, "cache_size", -CACHE_KIB)?;
        db.pragma_update(None, "wal_autocheckpoint", LOG_PAGES)?;
        // What is erased is to be gone from the file too. Little is ever deleted here.
        db.pragma_update(None, "secure_delete", "ON")?;
        // What savepoints keep for their undoing; in a file it took a fifth of the books' time.
        db.pragma_update(None, "temp_store", "MEMORY")?;
        steady(&db)?;
        let found: i64 = db.pragma_query_value(None, "user_version", |row| row.get(0))?;
        if found == 0 {
            db.execute_batch(&format!(
                "BEGIN; {} PRAGMA user_version = {}; COMMIT;",
                schema::CREATE,
                schema::VERSION
            ))?;
        } else if found != schema::VERSION {
            return Err(StoreError::Version { found, expected: schema::VERSION });
        }
        Ok(Self { db, touched: Vec::new(), memory: Memory::default() })
    }

    /// The last fact that is applied; everything before it is, too.
    pub fn applied_seq(&self) -> Result<Sequence, StoreError> {
        let seq: i64 =
            self.db.query_row("SELECT value FROM meta WHERE name = 'applied_seq'", [], |row| row.get(0))?;
        Ok(seq as Sequence)
    }

    /// Applies facts in order, all in one transaction with `applied_seq`. Facts that are applied already are
    /// passed over (`None`), so a batch may be given again after a failure.
    pub fn apply_batch(&mut self, facts: &[(Sequence, Fact)]) -> Result<Vec<Option<Outcome>>, StoreError> {
        let mut applied = self.try_batch(facts, Undo::Batch);
        if let Ok(None) = applied {
            self.memory.forget();
            applied = self.try_batch(facts, Undo::Fact);
        }
        if applied.is_err() {
            self.memory.forget();
        }
        let outcomes = applied?;
        Ok(outcomes.expect("a fact that is undone by itself does not undo its batch"))
    }

    /// `None`: a fact is refused, and nothing was applied.
    fn try_batch(
        &mut self,
        facts: &[(Sequence, Fact)],
        undo: Undo,
    ) -> Result<Option<Vec<Option<Outcome>>>, StoreError> {
        let applied = self.applied_seq()?;
        let mut touched = Vec::new();
        let tx = self.db.transaction_with_behavior(rusqlite::TransactionBehavior::Immediate)?;
        let mut outcomes = Vec::with_capacity(facts.len());
        for (seq, fact) in facts {
            if *seq <= applied {
                outcomes.push(None);
                continue;
            }
            match fact {
                Ok(recorded) => match apply::apply(&tx, *seq, recorded, &mut touched, &self.memory, undo)? {
                    Some(outcome) => outcomes.push(Some(outcome)),
                    None => return Ok(None),
                },
                Err(reason) => {
                    tx.execute("INSERT INTO undecodable VALUES (?1, ?2)", params![*seq as i64, reason])?;
                    outcomes.push(None);
                }
            }
        }
        self.memory.write_back(&tx)?;
        if let Some((last, _)) = facts.last() {
            tx.execute("UPDATE meta SET value = max(value, ?1) WHERE name = 'applied_seq'", [*last as i64])?;
        }
        tx.commit()?;
        self.touched.append(&mut touched);
        Ok(Some(outcomes))
    }

    /// SHA-256 over every table in key order: equal for books that were built from the same facts.
    pub fn digest(&self) -> Result<String, StoreError> {
        digest(&self.db)
    }

    /// Recomputes every sum from its parts; each disagreement is a sentence. Empty: the books are right.
    pub fn check(&self) -> Result<Vec<String>, StoreError> {
        super::check::check(&self.db)
    }

    /// Empties the write-ahead log, so that it keeps nothing of what was erased. `false` while a reader needs it, or
    /// where that failed: to be tried again.
    pub(super) fn truncate_log(&self) -> bool {
        let truncate = || {
            self.db.busy_timeout(Duration::ZERO)?;
            let busy = self.db.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |row| row.get::<_, i64>(0));
            self.db.busy_timeout(BUSY)?;
            busy
        };
        matches!(truncate(), Ok(0))
    }

    /// Puts everything into the one file and closes it.
    pub(super) fn close(self) -> Result<(), StoreError> {
        self.db.pragma_update(None, "journal_mode", "DELETE")?;
        self.db.close().map_err(|(_, error)| error.into())
    }

    pub(super) fn connection(&self) -> &Connection {
        &self.db
    }
}

/// Statements stay prepared, and their plans never depend on what is bound to them: otherwise SQLite plans
/// every statement anew that has a partial index to choose, each time it runs, which took two fifths of the
/// books' time.
fn steady(db: &Connection) -> Result<(), StoreError> {
    db.set_prepared_statement_cache_capacity(STATEMENTS);
    db.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true)?;
    Ok(())
}

/// A read-only connection to the books at `path`.
pub(super) fn reader(path: &Path) -> Result<Connection, StoreError> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let db = Connection::open_with_flags(path, flags)?;
    db.busy_timeout(BUSY)?;
    steady(&db)?;
    Ok(db)
}

pub(super) fn digest(db: &Connection) -> Result<String, StoreError> {
    let mut hash = Sha256::new();
    for (table, key) in schema::TABLES {
        hash.update(table.as_bytes());
        let mut statement = db.prepare(&format!("SELECT * FROM {table} ORDER BY {key}"))?;
        let columns = statement.column_count();
        let mut rows = statement.query([])?;
        while let Some(row) = rows.next()? {
            for column in 0..columns {
                match row.get_ref(column)? {
                    ValueRef::Null => hash.update([0]),
                    ValueRef::Integer(value) => {
                        hash.update([1]);
                        hash.update(value.to_be_bytes());
                    }
                    ValueRef::Real(value) => {
                        hash.update([2]);
                        hash.update(value.to_be_bytes());
                    }
                    ValueRef::Text(text) | ValueRef::Blob(text) => {
                        hash.update([3]);
                        hash.update((text.len() as u64).to_be_bytes());
                        hash.update(text);
                    }
                }
            }
        }
    }
    let mut hex = String::with_capacity(64);
    for byte in hash.finalize() {
        write!(hex, "{byte:02x}").expect("writing to a string does not fail");
    }
    Ok(hex)
}
