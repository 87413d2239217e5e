//! The keyring: the few secrets that nothing can rebuild. A small SQLite file of its own (`keyring.db`, mode
//! 0600, WAL, `secure_delete` and a truncated log after each erasure, so that a destroyed key is not left on
//! the disk).
//!
//! | secret | for |
//! |---|---|
//! | master | sealing the signing secrets of webhook endpoints |
//! | token keys | minting and opening click tokens; several, by key id, for rotation |
//! | visitor | pseudonyms of visitors |
//! | session | signing the dashboard's session cookie |
//! | salts | one a UTC day, keyed network hashes; gone after yesterday |
//! | customer keys | sealing one customer's person and properties; erasure destroys the key |
//!
//! A key is durable before anything is sealed under it. Customer keys are drawn [`POOL`] at a time, so that a
//! burst of new customers costs one sync and not thousands; a sealed person names its key by number. Which
//! customer took which key is written at once and synced within about a second: a power cut (not a crash) in
//! that second leaves a key without a customer, which still opens what it sealed and which
//! [`Keyring::destroy_key_of`] destroys.
//!
//! Losing this file loses what is sealed under it and invalidates tokens and sessions; counts and money do
//! not need it.

mod seal;

use std::fs::{OpenOptions, Permissions};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::Path;
use std::sync::{Mutex, MutexGuard};
use std::time::{Duration, Instant};

use rusqlite::{Connection, OptionalExtension, params};
use serde_json::{Map, Value};
use weir_schemas::conversion::Person;
use weir_schemas::fact::Sealed;
use weir_schemas::ids::WorkspaceId;

pub use seal::KEY_BYTES;

/// How many customer keys are drawn at a time.
const POOL: usize = 256;
/// How long an assignment of a customer's key may be written and not synced.
const SYNC_AFTER: Duration = Duration::from_secs(1);

/// How many token keys a keyring may hold: a key id is one byte.
pub const TOKEN_KEYS_MAX: usize = 256;

/// Why the keyring could not serve.
#[derive(Debug, thiserror::Error)]
pub enum KeyringError {
    /// The file cannot be created or its mode cannot be set: the operator mends the data directory.
    #[error("the keyring's file: {0}")]
    Io(#[from] std::io::Error),
    /// SQLite refused: a damaged file or a full disk. Restore `keyring.db` from a backup.
    #[error("the keyring's database: {0}")]
    Database(#[from] rusqlite::Error),
    /// A stored key has the wrong length: the file is damaged.
    #[error("the keyring's {0} key is damaged")]
    Damaged(&'static str),
    /// A sealed text is not what this keyring sealed in this context (or its key is destroyed).
    #[error("sealed bytes that this keyring cannot open")]
    Unopenable,
    /// Every key id is taken.
    #[error("the keyring holds {TOKEN_KEYS_MAX} token keys already")]
    TokenKeysFull,
}

/// The open keyring. One lock around everything: its callers need it seldom and briefly.
#[derive(Debug)]
pub struct Keyring {
    inside: Mutex<Inside>,
}

struct Inside {
    db: Connection,
    master: [u8; KEY_BYTES],
    visitor: [u8; 16],
    session: [u8; 32],
    tokens: Vec<(u8, [u8; KEY_BYTES])>,
    salt: Option<(i64, [u8; 16])>,
    /// Durable keys that no customer has yet, by number.
    pool: Vec<(i64, [u8; KEY_BYTES])>,
    synced: Instant,
}

impl std::fmt::Debug for Inside {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Inside { .. }")
    }
}

const SCHEMA: &str = "
CREATE TABLE IF NOT EXISTS secrets (name TEXT PRIMARY KEY, secret BLOB NOT NULL) STRICT, WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS token_keys (key_id INTEGER PRIMARY KEY, secret BLOB NOT NULL) STRICT;
CREATE TABLE IF NOT EXISTS salts (utc_day INTEGER PRIMARY KEY, salt BLOB NOT NULL) STRICT;
CREATE TABLE IF NOT EXISTS customer_keys (
    number INTEGER PRIMARY KEY AUTOINCREMENT, workspace INTEGER, customer TEXT, secret BLOB NOT NULL) STRICT;
CREATE UNIQUE INDEX IF NOT EXISTS customer_keys_customer ON customer_keys (workspace, customer)
    WHERE customer IS NOT NULL;
";

impl Keyring {
    /// Opens the keyring at `path`, creating the file and its first secrets where they are missing.
    pub fn open(path: &Path) -> Result<Self, KeyringError> {
        let file = OpenOptions::new().create(true).truncate(false).write(true).mode(0o600).open(path)?;
        file.set_permissions(Permissions::from_mode(0o600))?;
        drop(file);
        let db = Connection::open(path)?;
        db.pragma_update(None, "journal_mode", "WAL")?;
        db.pragma_update(None, "synchronous", "FULL")?;
        db.pragma_update(None, "secure_delete", "ON")?;
        db.execute_batch(SCHEMA)?;
        let master = secret(&db, "master")?;
        let visitor = secret(&db, "visitor")?;
        let session = secret(&db, "session")?;
        let mut tokens = read_tokens(&db)?;
        if tokens.is_empty() {
            tokens.push(new_token_key(&db, 0)?);
        }
        Ok(Self {
            inside: Mutex::new(Inside {
                db,
                master,
                visitor,
                session,
                tokens,
                salt: None,
                pool: Vec::new(),
                synced: Instant::now(),
            }),
        })
    }

    fn lock(&self) -> MutexGuard<'_, Inside> {
        self.inside.lock().expect("no holder of the keyring panics")
    }

    /// The token keys with their ids, newest last: that one mints, all open.
    pub fn token_keys(&self) -> Vec<(u8, [u8; KEY_BYTES])> {
        self.lock().tokens.clone()
    }

    /// Adds a token key, which mints from the next start on, and returns its id.
    pub fn rotate_token_key(&self) -> Result<u8, KeyringError> {
        let mut inside = self.lock();
        let next = inside.tokens.last().map_or(Some(0), |(id, _)| id.checked_add(1));
        let key = new_token_key(&inside.db, next.ok_or(KeyringError::TokenKeysFull)?)?;
        inside.tokens.push(key);
        Ok(key.0)
    }

    /// The key of visitors' pseudonyms.
    pub fn visitor_key(&self) -> [u8; 16] {
        self.lock().visitor
    }

    /// The key that signs session cookies.
    pub fn session_key(&self) -> [u8; 32] {
        self.lock().session
    }

    /// The salt of `utc_day` (days since 1970-01-01), drawn at its first use; salts from before the day that
    /// precedes it are deleted.
    pub fn salt_of_day(&self, utc_day: i64) -> Result<[u8; 16], KeyringError> {
        let mut inside = self.lock();
        if let Some((day, salt)) = inside.salt
            && day == utc_day
        {
            return Ok(salt);
        }
        let fresh: [u8; 16] = rand::random();
        inside.db.execute("DELETE FROM salts WHERE utc_day < ?1", [utc_day - 1])?;
        inside.db.execute("INSERT OR IGNORE INTO salts VALUES (?1, ?2)", params![utc_day, fresh])?;
        let stored: Vec<u8> =
            inside.db.query_row("SELECT salt FROM salts WHERE utc_day = ?1", [utc_day], |row| row.get(0))?;
        let salt = stored.try_into().map_err(|_| KeyringError::Damaged("salt"))?;
        inside.salt = Some((utc_day, salt));
        Ok(salt)
    }

    /// Seals `clear` under the master key. `context` is authenticated with it: only the same context opens
    /// it.
    pub fn seal(&self, context: &str, clear: &[u8]) -> Sealed {
        seal::seal(&self.lock().master, context, clear)
    }

    /// Opens what [`Self::seal`] sealed in the same context.
    pub fn unseal(&self, context: &str, sealed: &Sealed) -> Result<Vec<u8>, KeyringError> {
        seal::open(&self.lock().master, context, sealed).ok_or(KeyringError::Unopenable)
    }

    /// Seals a customer's person under the customer's own key, which is taken at its first use.
    pub fn seal_person(
        &self,
        workspace: WorkspaceId,
        customer: &str,
        person: &Person,
    ) -> Result<Sealed, KeyringError> {
        let clear = serde_json::to_vec(person).expect("a person is plain JSON");
        self.seal_of(workspace, customer, &person_context(workspace, customer), &clear)
    }

    /// Seals what was said of a customer, under the customer's own key.
    pub fn seal_properties(
        &self,
        workspace: WorkspaceId,
        customer: &str,
        properties: &Map<String, Value>,
    ) -> Result<Sealed, KeyringError> {
        let clear = serde_json::to_vec(properties).expect("properties are plain JSON");
        self.seal_of(workspace, customer, &properties_context(workspace, customer), &clear)
    }

    fn seal_of(
        &self,
        workspace: WorkspaceId,
        customer: &str,
        context: &str,
        clear: &[u8],
    ) -> Result<Sealed, KeyringError> {
        let (number, key) = self.lock().key_for(workspace, customer)?;
        let Sealed(text) = seal::seal(&key, context, clear);
        Ok(Sealed(format!("{number}.{text}")))
    }

    /// The person again; `None` once the customer's key is destroyed (or the text is not this customer's).
    pub fn open_person(&self, workspace: WorkspaceId, customer: &str, sealed: &Sealed) -> Option<Person> {
        let (number, text) = numbered(sealed)?;
        let key = key_numbered(&self.lock().db, number).ok()??;
        serde_json::from_slice(&seal::open(&key, &person_context(workspace, customer), &text)?).ok()
    }

    /// The properties again; `None` once the customer's key is destroyed (or the text is not this customer's).
    pub fn open_properties(
        &self,
        workspace: WorkspaceId,
        customer: &str,
        sealed: &Sealed,
    ) -> Result<Option<Map<String, Value>>, KeyringError> {
        let Some((number, text)) = numbered(sealed) else { return Ok(None) };
        let Some(key) = key_numbered(&self.lock().db, number)? else { return Ok(None) };
        let clear = seal::open(&key, &properties_context(workspace, customer), &text);
        Ok(clear.and_then(|clear| serde_json::from_slice(&clear).ok()))
    }

    /// Destroys a customer's key: nothing that was sealed under it can be opened again. `false` where there
    /// was none.
    pub fn destroy_customer(&self, workspace: WorkspaceId, customer: &str) -> Result<bool, KeyringError> {
        self.lock().destroy(
            "DELETE FROM customer_keys WHERE workspace = ?1 AND customer = ?2",
            params![workspace.0, customer],
        )
    }

    /// Destroys the key under which a person was sealed, whoever took it.
    pub fn destroy_key_of(&self, sealed: &Sealed) -> Result<bool, KeyringError> {
        let Some((number, _)) = numbered(sealed) else { return Ok(false) };
        self.lock().destroy("DELETE FROM customer_keys WHERE number = ?1", params![number])
    }
}

impl Inside {
    /// The customer's key, taken from the pool at its first use.
    fn key_for(
        &mut self,
        workspace: WorkspaceId,
        customer: &str,
    ) -> Result<(i64, [u8; KEY_BYTES]), KeyringError> {
        let known: Option<(i64, Vec<u8>)> = self
            .db
            .prepare_cached(
                "SELECT number, secret FROM customer_keys WHERE workspace = ?1 AND customer = ?2",
            )?
            .query_row(params![workspace.0, customer], |row| Ok((row.get(0)?, row.get(1)?)))
            .optional()?;
        if let Some((number, key)) = known {
            return Ok((number, key.try_into().map_err(|_| KeyringError::Damaged("customer"))?));
        }
        if self.pool.is_empty() {
            self.fill_pool()?;
        }
        let &(number, key) = self.pool.last().expect("just filled");
        let sync = self.synced.elapsed() >= SYNC_AFTER;
        if !sync {
            self.db.pragma_update(None, "synchronous", "NORMAL")?;
        }
        let assigned = self
            .db
            .prepare_cached("UPDATE customer_keys SET workspace = ?2, customer = ?3 WHERE number = ?1")
            .and_then(|mut statement| statement.execute(params![number, workspace.0, customer]));
        self.db.pragma_update(None, "synchronous", "FULL")?;
        assigned?;
        self.pool.pop();
        if sync {
            self.synced = Instant::now();
        }
        Ok((number, key))
    }

    fn fill_pool(&mut self) -> Result<(), KeyringError> {
        let mut drawn = Vec::with_capacity(POOL);
        let tx = self.db.transaction()?;
        for _ in 0..POOL {
            let key = draw::<KEY_BYTES>();
            tx.prepare_cached("INSERT INTO customer_keys (secret) VALUES (?1)")?.execute([key])?;
            drawn.push((tx.last_insert_rowid(), key));
        }
        tx.commit()?;
        self.synced = Instant::now();
        self.pool = drawn;
        Ok(())
    }

    fn destroy(&mut self, delete: &str, key: impl rusqlite::Params) -> Result<bool, KeyringError> {
        let deleted = self.db.execute(delete, key)?;
        // What the log still holds of the key goes with it.
        self.db.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()))?;
        Ok(deleted > 0)
    }
}

fn person_context(workspace: WorkspaceId, customer: &str) -> String {
    format!("person/{}/{customer}", workspace.0)
}

fn properties_context(workspace: WorkspaceId, customer: &str) -> String {
    format!("properties/{}/{customer}", workspace.0)
}

/// A sealed person is its key's number, a point, and the sealed text.
fn numbered(sealed: &Sealed) -> Option<(i64, Sealed)> {
    let (number, text) = sealed.0.split_once('.')?;
    Some((number.parse().ok()?, Sealed(text.to_owned())))
}

fn draw<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    rand::fill(&mut bytes);
    bytes
}

fn secret<const N: usize>(db: &Connection, name: &'static str) -> Result<[u8; N], KeyringError> {
    db.execute("INSERT OR IGNORE INTO secrets VALUES (?1, ?2)", params![name, draw::<N>()])?;
    let stored: Vec<u8> =
        db.query_row("SELECT secret FROM secrets WHERE name = ?1", [name], |row| row.get(0))?;
    stored.try_into().map_err(|_| KeyringError::Damaged(name))
}

fn new_token_key(db: &Connection, id: u8) -> Result<(u8, [u8; KEY_BYTES]), KeyringError> {
    let key = draw();
    db.execute("INSERT INTO token_keys VALUES (?1, ?2)", params![id, key])?;
    Ok((id, key))
}

fn read_tokens(db: &Connection) -> Result<Vec<(u8, [u8; KEY_BYTES])>, KeyringError> {
    let mut statement = db.prepare("SELECT key_id, secret FROM token_keys ORDER BY key_id")?;
    let rows = statement.query_map([], |row| Ok((row.get::<_, u8>(0)?, row.get::<_, Vec<u8>>(1)?)))?;
    rows.map(|row| {
        let (id, key) = row?;
        Ok((id, key.try_into().map_err(|_| KeyringError::Damaged("token"))?))
    })
    .collect()
}

fn key_numbered(db: &Connection, number: i64) -> Result<Option<[u8; KEY_BYTES]>, KeyringError> {
    let stored: Option<Vec<u8>> = db
        .prepare_cached("SELECT secret FROM customer_keys WHERE number = ?1")?
        .query_row([number], |row| row.get(0))
        .optional()?;
    stored.map(|key| key.try_into().map_err(|_| KeyringError::Damaged("customer"))).transpose()
}

#[cfg(test)]
mod tests;
