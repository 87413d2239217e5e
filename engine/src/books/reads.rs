//! Reading the books: typed, each a snapshot of what is applied. A read takes a connection of a small pool,
//! so it waits for no writer; it takes well under a millisecond for everything here that is asked by id.
//! Long, because it is a list: one question after another, each with its SQL and its row.

use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};

use rusqlite::{Connection, params};
use serde::Serialize;
use weir_schemas::conversion::{Attribution, Conversion};
use weir_schemas::effect::Effect;
use weir_schemas::fact::{IdempotentRequest, Role};
use weir_schemas::ids::{
    ClickId, ConversionId, EndpointId, KeyId, LinkId, PartnerId, ProgramId, Sequence, WorkspaceId,
};
use weir_schemas::link::Link;
use weir_schemas::time::Timestamp;

use super::access::{ApiKey, WebhookEndpoint};
use super::attribution::Candidate;
use super::conversion_row::{self, ConversionRow, click_bytes, read_click};
use super::deliveries::Delivery;
use super::outcome::{Outcome, StoreError};
use super::{apply, links, store};

mod profile;
mod what_if;

pub use profile::{
    CustomerLine, CustomerProfile, CustomerSubscription, CustomerTouch, Erasure, PROFILE_ORDERS_MAX,
};
pub use what_if::{Model, WhatIf, WouldBe};

/// How many idle connections are kept.
const IDLE_MAX: usize = 8;
/// How many items a page has at most, and where the caller names no limit.
pub const PAGE_MAX: u32 = 1_000;
/// See [`PAGE_MAX`].
pub const PAGE_DEFAULT: u32 = 50;
/// Why a read gives nothing.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// The cursor is none that was given out: 422 at the edge.
    #[error("the cursor is not one that this list gave out")]
    Cursor,
    /// The books cannot be read.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl From<rusqlite::Error> for ReadError {
    fn from(error: rusqlite::Error) -> Self {
        Self::Store(error.into())
    }
}

impl From<serde_json::Error> for ReadError {
    fn from(error: serde_json::Error) -> Self {
        Self::Store(error.into())
    }
}

/// A page of a list, as it is answered.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Page<T> {
    /// The items, newest first.
    pub data: Vec<T>,
    /// Where the next page begins; `null` on the last.
    pub next_cursor: Option<String>,
}

/// Which part of a list is asked for.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PageOf {
    /// How many items; [`PAGE_DEFAULT`] where absent, at most [`PAGE_MAX`].
    pub limit: Option<u32>,
    /// `next_cursor` of the page before.
    pub cursor: Option<String>,
}

impl PageOf {
    pub(super) fn limit(&self) -> u32 {
        self.limit.unwrap_or(PAGE_DEFAULT).clamp(1, PAGE_MAX)
    }

    /// Items have smaller ids than this.
    pub(super) fn below(&self) -> Result<i64, ReadError> {
        match &self.cursor {
            None => Ok(i64::MAX),
            Some(cursor) => {
                let digits = cursor.strip_prefix('c').filter(|digits| digits.len() == 16);
                digits.and_then(|digits| i64::from_str_radix(digits, 16).ok()).ok_or(ReadError::Cursor)
            }
        }
    }
}

/// Makes a page of up to one item more than was asked for. A cursor is the last item's id in hexadecimal
/// behind `c`.
pub(super) fn page<T>(mut items: Vec<(i64, T)>, limit: u32) -> Page<T> {
    let more = items.len() > limit as usize;
    items.truncate(limit as usize);
    let next_cursor = items.last().filter(|_| more).map(|(id, _)| format!("c{id:016x}"));
    Page { data: items.into_iter().map(|(_, item)| item).collect(), next_cursor }
}

/// Which links are listed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct LinkFilter {
    /// A part of slug, domain, title, notes or destination, in any case.
    pub search: Option<String>,
    /// One of its tags.
    pub tag: Option<String>,
    /// Its partner.
    pub partner: Option<PartnerId>,
    /// Its program.
    pub program: Option<ProgramId>,
    /// Its host; the empty text is the engine's own.
    pub domain: Option<String>,
    /// Whether it is archived; both where absent.
    pub archived: Option<bool>,
}

/// A tag and how many links have it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct TagCount {
    /// The tag.
    pub tag: String,
    /// Links that have it and are not archived.
    pub links: u64,
}

/// How many tags are listed at most, the most used first.
pub const TAGS_LISTED_MAX: u32 = 500;

/// Which conversions are listed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ConversionFilter {
    /// Any name of the order.
    pub order_id: Option<String>,
    /// The customer, by the caller's id or Weir's.
    pub customer: Option<String>,
    /// Credited to this partner.
    pub partner: Option<PartnerId>,
}

/// Why a conversion was credited as it was.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Trace {
    /// The conversion.
    pub conversion_id: ConversionId,
    /// To what it was credited.
    pub attribution: Option<Attribution>,
    /// Every click that could have taken the credit, in the order in which they were considered.
    pub candidates: Vec<Candidate>,
}

/// The readers' connections.
#[derive(Debug)]
pub struct Reads {
    path: PathBuf,
    idle: Mutex<Vec<Connection>>,
}

impl Reads {
    /// Readers of the books at `path`.
    pub fn new(path: PathBuf) -> Self {
        Self { path, idle: Mutex::new(Vec::new()) }
    }

    pub(super) fn read<T>(
        &self,
        read: impl FnOnce(&Connection) -> Result<T, ReadError>,
    ) -> Result<T, ReadError> {
        let idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner).pop();
        let db = match idle {
            Some(db) => db,
            None => store::reader(&self.path)?,
        };
        // One snapshot for all statements of a read.
        db.execute_batch("BEGIN")?;
        let result = read(&db);
        db.execute_batch("COMMIT")?;
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        if idle.len() < IDLE_MAX {
            idle.push(db);
        }
        result
    }

    /// How a request with an `Idempotency-Key` was answered: a refusal where the key was another request's.
    pub fn earlier_answer(
        &self,
        workspace: WorkspaceId,
        request: &IdempotentRequest,
    ) -> Result<Option<Outcome>, ReadError> {
        self.read(|db| Ok(apply::earlier_answer(db, workspace, request)?))
    }

    /// Every key of a workspace, revoked ones included, the newest first.
    pub fn keys(&self, workspace: WorkspaceId) -> Result<Vec<ApiKey>, ReadError> {
        self.read(|db| {
            let mut statement = db.prepare_cached(
                "SELECT id, name, role, partner, hint, created_at, revoked_at FROM api_keys
                 WHERE workspace = ?1 ORDER BY id DESC",
            )?;
            let mut rows = statement.query([workspace.0])?;
            let mut keys = Vec::new();
            while let Some(row) = rows.next()? {
                keys.push(ApiKey {
                    id: KeyId(row.get::<_, i64>(0)? as u64),
                    name: row.get(1)?,
                    role: read_role(&row.get::<_, String>(2)?)?,
                    partner_id: row.get::<_, Option<i64>>(3)?.map(|id| PartnerId(id as u64)),
                    hint: row.get(4)?,
                    created_at: Timestamp(row.get(5)?),
                    revoked_at: row.get::<_, Option<i64>>(6)?.map(Timestamp),
                });
            }
            Ok(keys)
        })
    }

    /// Every live endpoint of a workspace, the newest first.
    pub fn endpoints(&self, workspace: WorkspaceId) -> Result<Vec<WebhookEndpoint>, ReadError> {
        self.read(|db| {
            let endpoints = db
                .prepare_cached(
                    "SELECT id, provider, program, livemode, created_at FROM endpoints
                     WHERE workspace = ?1 AND deleted_at IS NULL ORDER BY id DESC",
                )?
                .query_map([workspace.0], |row| {
                    Ok(WebhookEndpoint {
                        id: EndpointId(row.get::<_, i64>(0)? as u64),
                        provider: row.get(1)?,
                        program_id: row.get::<_, Option<i64>>(2)?.map(|id| ProgramId(id as u64)),
                        livemode: row.get(3)?,
                        created_at: Timestamp(row.get(4)?),
                    })
                })?
                .collect::<Result<_, _>>()?;
            Ok(endpoints)
        })
    }

    /// A live link; the edge fills `short_url` and `clicks`.
    pub fn link(&self, workspace: WorkspaceId, id: LinkId) -> Result<Option<Link>, ReadError> {
        self.read(|db| {
            let mut statement = db.prepare_cached(&format!(
                "SELECT {} FROM links WHERE id = ?1 AND workspace = ?2 AND deleted_at IS NULL",
                links::COLUMNS
            ))?;
            let mut rows = statement.query(params![id.0 as i64, workspace.0])?;
            Ok(rows.next()?.map(links::stored).transpose()?.map(links::StoredLink::answer))
        })
    }

    /// Live links, the newest first.
    pub fn links(
        &self,
        workspace: WorkspaceId,
        filter: &LinkFilter,
        of: &PageOf,
    ) -> Result<Page<Link>, ReadError> {
        let below = of.below()?;
        let like = filter.search.as_deref().map(contains);
        self.read(|db| {
            let mut statement = db.prepare_cached(&format!(
                "SELECT {} FROM links WHERE workspace = ?1 AND deleted_at IS NULL AND id < ?2
                     AND (?3 IS NULL OR slug LIKE ?3 ESCAPE '\\' OR spec ->> '$.title' LIKE ?3 ESCAPE '\\'
                          OR spec ->> '$.destination' LIKE ?3 ESCAPE '\\'
                          OR spec ->> '$.notes' LIKE ?3 ESCAPE '\\' OR domain LIKE ?3 ESCAPE '\\')
                     AND (?4 IS NULL OR EXISTS (SELECT 1 FROM json_each(spec, '$.tags') WHERE value = ?4))
                     AND (?5 IS NULL OR partner = ?5) AND (?6 IS NULL OR program = ?6)
                     AND (?7 IS NULL OR domain = ?7)
                     AND (?8 IS NULL OR coalesce(spec ->> '$.archived', 0) = ?8)
                 ORDER BY id DESC LIMIT ?9",
                links::COLUMNS
            ))?;
            let partner = filter.partner.map(|partner| partner.0 as i64);
            let program = filter.program.map(|program| program.0 as i64);
            let limit = of.limit();
            let mut rows = statement.query(params![
                workspace.0,
                below,
                like,
                filter.tag,
                partner,
                program,
                filter.domain,
                filter.archived,
                limit + 1
            ])?;
            let mut items = Vec::new();
            while let Some(row) = rows.next()? {
                let link = links::stored(row)?;
                items.push((link.id.0 as i64, link.answer()));
            }
            Ok(page(items, limit))
        })
    }

    /// The tags of the links that are not archived, the most used first; at most [`TAGS_LISTED_MAX`].
    pub fn link_tags(&self, workspace: WorkspaceId) -> Result<Vec<TagCount>, ReadError> {
        self.read(|db| {
            let tags = db
                .prepare_cached(
                    "SELECT t.value, count(*) FROM links l, json_each(l.spec, '$.tags') t
                     WHERE l.workspace = ?1 AND l.deleted_at IS NULL
                         AND NOT coalesce(l.spec ->> '$.archived', 0)
                     GROUP BY 1 ORDER BY 2 DESC, 1 LIMIT ?2",
                )?
                .query_map(params![workspace.0, TAGS_LISTED_MAX], |row| {
                    Ok(TagCount { tag: row.get(0)?, links: row.get::<_, i64>(1)? as u64 })
                })?
                .collect::<Result<_, _>>()?;
            Ok(tags)
        })
    }

    /// A conversion. One that turned out to be another's announcement answers as that other.
    pub fn conversion(
        &self,
        workspace: WorkspaceId,
        id: ConversionId,
    ) -> Result<Option<Conversion>, ReadError> {
        self.read(|db| {
            let row = find_conversion(db, workspace, id)?;
            Ok(row.map(|row| row.answer(db)).transpose()?)
        })
    }

    /// Conversions, the newest first.
    pub fn conversions(
        &self,
        workspace: WorkspaceId,
        filter: &ConversionFilter,
        of: &PageOf,
    ) -> Result<Page<Conversion>, ReadError> {
        let below = of.below()?;
        self.read(|db| {
            let customer = match &filter.customer {
                Some(name) => match profile::id_of(db, workspace, name)? {
                    Some(id) => Some(id),
                    None => return Ok(page(Vec::new(), 1)),
                },
                None => None,
            };
            let mut statement = db.prepare_cached(&format!(
                "SELECT {} FROM {} WHERE c.workspace = ?1 AND c.merged_into IS NULL AND c.id < ?2
                     AND (?3 IS NULL OR c.customer = ?3)
                     AND (?4 IS NULL
                          OR c.ord = (SELECT ord FROM order_keys WHERE workspace = ?1 AND key = ?4))
                     AND (?6 IS NULL OR c.partner = ?6)
                 ORDER BY c.id DESC LIMIT ?5",
                conversion_row::COLUMNS,
                conversion_row::TABLES
            ))?;
            let limit = of.limit();
            let mut rows = statement.query(params![
                workspace.0,
                below,
                customer,
                filter.order_id,
                limit + 1,
                filter.partner.map(|id| id.0 as i64)
            ])?;
            let mut items = Vec::new();
            while let Some(row) = rows.next()? {
                let row = ConversionRow::read(row)?;
                items.push((row.id.0 as i64, row.answer(db)?));
            }
            Ok(page(items, limit))
        })
    }

    /// Why a conversion was credited as it was.
    pub fn trace(&self, workspace: WorkspaceId, id: ConversionId) -> Result<Option<Trace>, ReadError> {
        self.read(|db| {
            let Some(row) = find_conversion(db, workspace, id)? else { return Ok(None) };
            let candidates: String = db
                .prepare_cached("SELECT candidates FROM conversions WHERE id = ?1")?
                .query_row([row.id.0 as i64], |row| row.get(0))?;
            Ok(Some(Trace {
                conversion_id: row.id,
                attribution: row.answer(db)?.attribution,
                candidates: serde_json::from_str(&candidates)?,
            }))
        })
    }

    /// Deliveries of an endpoint, the newest first.
    pub fn deliveries(
        &self,
        workspace: WorkspaceId,
        endpoint: EndpointId,
        of: &PageOf,
    ) -> Result<Page<Delivery>, ReadError> {
        let below = of.below()?;
        self.read(|db| {
            let mut statement = db.prepare_cached(
                "SELECT id, provider, event_type, dedupe_key, livemode, outcome, detail, received_at, body_sha256
                 FROM deliveries WHERE endpoint = ?1 AND workspace = ?2 AND id < ?3
                 ORDER BY id DESC LIMIT ?4",
            )?;
            let limit = of.limit();
            let mut rows = statement.query(params![endpoint.0 as i64, workspace.0, below, limit + 1])?;
            let mut items = Vec::new();
            while let Some(row) = rows.next()? {
                items.push((row.get(0)?, Delivery::read(row)?));
            }
            Ok(page(items, limit))
        })
    }

    /// The effects of the facts in `(after, upto]`, in order: whole facts only, about `limit` effects (more
    /// where one fact has more).
    pub fn effects(&self, after: Sequence, upto: Sequence, limit: usize) -> Result<Vec<Effect>, ReadError> {
        let bound = |seq: Sequence| i64::try_from(seq).unwrap_or(i64::MAX);
        self.read(|db| {
            let mut statement = db.prepare_cached(
                "SELECT payload, seq FROM effects WHERE seq > ?1 AND seq <= ?2 ORDER BY seq, sub",
            )?;
            let mut rows = statement.query([bound(after), bound(upto)])?;
            let mut effects: Vec<Effect> = Vec::new();
            while let Some(row) = rows.next()? {
                let seq: i64 = row.get(1)?;
                if effects.len() >= limit && effects.last().is_some_and(|last| last.seq != seq as u64) {
                    break;
                }
                let payload = row.get_ref(0)?.as_str().map_err(rusqlite::Error::from)?;
                effects.push(serde_json::from_str(payload)?);
            }
            Ok(effects)
        })
    }

    /// Claimed clicks whose facts are still to be found, in order and behind `after`: some never are (a full
    /// lane dropped them), and they must not stand before the others.
    pub fn unresolved_clicks(
        &self,
        after: Option<(WorkspaceId, ClickId)>,
        limit: u32,
    ) -> Result<Vec<(WorkspaceId, ClickId)>, ReadError> {
        let (workspace, click) = after.unwrap_or((WorkspaceId(0), ClickId(0)));
        self.read(|db| {
            let clicks = db
                .prepare_cached(
                    "SELECT workspace, click FROM clicks WHERE pending = 1 AND (workspace, click) > (?1, ?2) \
                     ORDER BY workspace, click LIMIT ?3",
                )?
                .query_map((workspace.0, click_bytes(click), limit), |row| {
                    Ok((WorkspaceId(row.get(0)?), read_click(row, 1)?))
                })?
                .collect::<Result<Vec<_>, _>>()?;
            Ok(clicks.into_iter().filter_map(|(workspace, click)| Some((workspace, click?))).collect())
        })
    }

    /// As [`super::Store::check`].
    pub fn check(&self) -> Result<Vec<String>, ReadError> {
        self.read(|db| Ok(super::check::check(db)?))
    }

    /// As [`super::Store::digest`].
    pub fn digest(&self) -> Result<String, ReadError> {
        self.read(|db| Ok(store::digest(db)?))
    }
}

/// `LIKE` pattern for a text that contains `part`.
pub(super) fn contains(part: &str) -> String {
    let mut pattern = String::from("%");
    for c in part.chars() {
        if matches!(c, '%' | '_' | '\\') {
            pattern.push('\\');
        }
        pattern.push(c);
    }
    pattern.push('%');
    pattern
}

pub(super) fn read_role(json: &str) -> Result<Role, StoreError> {
    Ok(serde_json::from_str(json)?)
}

fn find_conversion(
    db: &Connection,
    workspace: WorkspaceId,
    id: ConversionId,
) -> Result<Option<ConversionRow>, ReadError> {
    let mut id = id;
    loop {
        let row = ConversionRow::find(db, id)?.filter(|row| row.workspace == workspace);
        match row.as_ref().and_then(|row| row.merged_into) {
            Some(kept) => id = kept,
            None => return Ok(row),
        }
    }
}
