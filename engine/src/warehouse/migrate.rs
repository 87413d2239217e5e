//! Brings the warehouse's schema up to what this binary expects. Works on the client's current database,
//! which it creates.
//!
//! ClickHouse has no transactions around DDL: each statement is idempotent (`IF NOT EXISTS`), a migration is
//! booked after its last statement, and one that was interrupted is run again from its first.

use clickhouse::Client;
use weir_schemas::migrations::{ALL, BOOKKEEPING, Migration};
use weir_schemas::time::Timestamp;

/// A migration and whether it stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Standing {
    /// Its number.
    pub number: u32,
    /// Its name.
    pub name: String,
    /// When it was applied, if it was.
    pub applied_at: Option<Timestamp>,
}

/// A migration that [`up`] has just applied.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Applied {
    /// Its number.
    pub number: u32,
    /// Its name.
    pub name: &'static str,
}

/// Why the schema could not be brought up.
#[derive(Debug, thiserror::Error)]
pub enum MigrateError {
    /// The warehouse does not answer or refuses: try again, or look at its log.
    #[error("migration {number} ({name}): {source}")]
    Statement {
        /// Of the migration.
        number: u32,
        /// Of the migration.
        name: &'static str,
        /// What ClickHouse said.
        source: clickhouse::error::Error,
    },
    /// The bookkeeping could not be read or written.
    #[error("schema_migrations: {0}")]
    Bookkeeping(#[from] clickhouse::error::Error),
    /// The database was written by a newer Weir: run that one.
    #[error("the warehouse has migration {0}, which this version does not know; run a newer Weir")]
    Newer(u32),
    /// A migration in the database is not the one in this binary: it belongs to another build.
    #[error("migration {number} ({name}) was applied with other statements than this version's")]
    Changed {
        /// Of the migration.
        number: u32,
        /// Of the migration.
        name: &'static str,
    },
    /// A database's name that cannot be created.
    #[error("`{0}` is not a name for a database: use letters, digits and _")]
    DatabaseName(String),
}

#[derive(Debug, clickhouse::Row, serde::Deserialize)]
struct Booked {
    number: u32,
    name: String,
    digest: u64,
    applied_at_ms: i64,
}

/// Applies what is missing and says what it was. Run by one engine at a time (the data folder's lock sees
/// to it).
pub async fn up(client: &Client) -> Result<Vec<Applied>, MigrateError> {
    create_database(client).await?;
    client.query(BOOKKEEPING).execute().await?;
    let booked = booked(client).await?;
    let mut applied = Vec::new();
    for migration in ALL {
        if booked.iter().any(|row| row.number == migration.number) {
            continue;
        }
        apply(client, migration).await?;
        applied.push(Applied { number: migration.number, name: migration.name });
    }
    Ok(applied)
}

/// Every migration of this binary and whether it stands in the warehouse. Changes nothing.
pub async fn status(client: &Client) -> Result<Vec<Standing>, MigrateError> {
    // Asked from outside: the current database may not exist yet.
    let exists: u64 = client
        .clone()
        .with_database("default")
        .query(
            "SELECT count() FROM system.tables WHERE database = {db:String} AND name = 'schema_migrations'",
        )
        .param("db", client.database().unwrap_or("default"))
        .fetch_one()
        .await?;
    let booked = if exists == 0 { Vec::new() } else { booked(client).await? };
    let standing = |migration: &Migration| Standing {
        number: migration.number,
        name: migration.name.to_owned(),
        applied_at: booked
            .iter()
            .find(|row| row.number == migration.number)
            .map(|row| Timestamp(row.applied_at_ms)),
    };
    Ok(ALL.iter().map(standing).collect())
}

async fn create_database(client: &Client) -> Result<(), MigrateError> {
    let Some(name) = client.database() else { return Ok(()) };
    if name.is_empty() || !name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_') {
        return Err(MigrateError::DatabaseName(name.to_owned()));
    }
    // Asked from outside: it may not exist yet.
    let outside = client.clone().with_database("default");
    outside.query(&format!("CREATE DATABASE IF NOT EXISTS `{name}`")).execute().await?;
    Ok(())
}

/// What is booked, checked against this binary.
async fn booked(client: &Client) -> Result<Vec<Booked>, MigrateError> {
    let rows: Vec<Booked> = client
        .query(
            "SELECT number, any(name) AS name, any(digest) AS digest, \
             min(toUnixTimestamp64Milli(applied_at)) AS applied_at_ms \
             FROM schema_migrations GROUP BY number ORDER BY number",
        )
        .fetch_all()
        .await?;
    for row in &rows {
        match ALL.iter().find(|migration| migration.number == row.number) {
            None => return Err(MigrateError::Newer(row.number)),
            Some(migration) if migration.digest() != row.digest || migration.name != row.name => {
                return Err(MigrateError::Changed { number: migration.number, name: migration.name });
            }
            Some(_) => {}
        }
    }
    Ok(rows)
}

async fn apply(client: &Client, migration: &Migration) -> Result<(), MigrateError> {
    let failed = |source| MigrateError::Statement { number: migration.number, name: migration.name, source };
    for statement in migration.statements() {
        // The crate's `?` placeholders do not apply to schema text.
        client.query_raw(&statement).execute().await.map_err(failed)?;
    }
    client
        .query(
            "INSERT INTO schema_migrations (number, name, digest, applied_at) \
             SELECT {number:UInt32}, {name:String}, {digest:UInt64}, now64(3)",
        )
        .param("number", migration.number)
        .param("name", migration.name)
        .param("digest", migration.digest())
        .execute()
        .await
        .map_err(failed)?;
    tracing::info!(number = migration.number, name = migration.name, "migration applied");
    Ok(())
}
