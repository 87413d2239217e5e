//! `weir replay warehouse`: what the journal and the books still hold is taken out of ClickHouse, and stored
//! again by the next start. Clicks older than the journal's retention stay: the warehouse is their only home.

use std::path::Path;

use clickhouse::Client;
use weir_schemas::ids::Sequence;

use super::cells;
use super::progress::ProgressFile;
use crate::journal::{self, JournalError};

/// Why a rebuild failed. Run it again: every step may be repeated.
#[derive(Debug, thiserror::Error)]
pub enum RebuildError {
    /// ClickHouse refused.
    #[error("the warehouse: {0}")]
    Warehouse(#[from] clickhouse::error::Error),
    /// The journal cannot be listed.
    #[error(transparent)]
    Journal(#[from] JournalError),
    /// The progress cannot be written.
    #[error("the warehouse's progress: {0}")]
    Progress(#[from] std::io::Error),
}

/// Deletes this node's rows that can be had again and sets the progress back. Gives the sequence after which
/// clicks are had again.
pub async fn rebuild(
    client: &Client,
    node: u16,
    journal_folder: &Path,
    progress: &Path,
) -> Result<Sequence, RebuildError> {
    let oldest = journal::oldest_traffic(journal_folder)?;
    // First the progress: if this dies half-way, the follower asks before it inserts and nothing is there twice.
    let mut file = ProgressFile::open(progress)?;
    file.set_back()?;
    // What is added up of clicks that are stored again is added up again.
    cells::forget_beyond(client, oldest.map_or(Sequence::MAX, |oldest| oldest - 1)).await?;
    let delete = |table: &str, more: &str| {
        let sql = format!("ALTER TABLE {table} DELETE WHERE node = {node}{more} SETTINGS mutations_sync = 2");
        client.query_raw(&sql).execute()
    };
    match oldest {
        Some(oldest) => {
            delete("clicks", &format!(" AND seq >= {oldest}")).await?;
            delete("events", &format!(" AND seq >= {oldest}")).await?;
            delete("dead_letter", &format!(" AND seq >= {oldest}")).await?;
        }
        None => delete("dead_letter", " AND source = 'effects'").await?,
    }
    delete("effects", "").await?;
    Ok(oldest.map_or(0, |oldest| oldest - 1))
}
