//! Links: a slug is unique on its host among live links; a deleted link frees it, its history stays with its
//! id.

use rusqlite::{Connection, OptionalExtension, Row, params};
use serde_json::{Map, Value};
use weir_schemas::ids::{LinkId, PartnerId, ProgramId, WorkspaceId};
use weir_schemas::link::{Link, LinkSpec};
use weir_schemas::problem::Problem;
use weir_schemas::time::Timestamp;

use crate::links::destinations;

use super::apply::{Applying, Touched};
use super::outcome::{Applied, Outcome, StoreError};

/// The columns that [`stored`] reads.
pub(super) const COLUMNS: &str = "id, workspace, spec, created_at, updated_at";

/// A link's row.
pub(super) struct StoredLink {
    pub(super) id: LinkId,
    pub(super) workspace: WorkspaceId,
    pub(super) spec: LinkSpec,
    pub(super) created_at: Timestamp,
    pub(super) updated_at: Timestamp,
}

impl StoredLink {
    /// As the API answers it; the edge fills `short_url` and `clicks`.
    pub(super) fn answer(self) -> Link {
        Link {
            id: self.id,
            short_url: String::new(),
            warnings: destinations::warnings(&self.spec),
            spec: self.spec,
            created_at: self.created_at,
            updated_at: self.updated_at,
            clicks: 0,
        }
    }
}

pub(super) fn stored(row: &Row<'_>) -> Result<StoredLink, StoreError> {
    Ok(StoredLink {
        id: LinkId(row.get::<_, i64>(0)? as u64),
        workspace: WorkspaceId(row.get(1)?),
        spec: serde_json::from_str(row.get_ref(2)?.as_str().map_err(rusqlite::Error::from)?)?,
        created_at: Timestamp(row.get(3)?),
        updated_at: Timestamp(row.get(4)?),
    })
}

pub(super) fn create(
    tx: &mut Applying<'_>,
    id: LinkId,
    spec: &LinkSpec,
    spare_slugs: &[String],
) -> Applied<Outcome> {
    let domain = spec.domain.as_deref().unwrap_or_default();
    let mut free = None;
    for slug in spec.slug.iter().chain(spare_slugs) {
        if slug_holder(tx, domain, slug)?.is_none() {
            free = Some(slug.clone());
            break;
        }
    }
    if free.is_none() {
        return Err(slug_taken(spec.slug.as_deref()).into());
    }
    let spec = LinkSpec { slug: free, ..spec.clone() };
    let id = LinkId(tx.free_id("links", id.0)?);
    tx.db.prepare_cached("INSERT INTO links VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?8, NULL)")?.execute(
        params![
            id.0 as i64,
            tx.workspace.0,
            domain,
            spec.slug,
            spec.partner_id.unwrap_or_default().0 as i64,
            spec.program_id.unwrap_or_default().0 as i64,
            serde_json::to_string(&spec)?,
            tx.at.0,
        ],
    )?;
    tx.touched.push(Touched::Link(id));
    let link = StoredLink { id, workspace: tx.workspace, spec, created_at: tx.at, updated_at: tx.at };
    Ok(Outcome::new(201, &link.answer())?)
}

pub(super) fn update(tx: &mut Applying<'_>, id: LinkId, patch: &Map<String, Value>) -> Applied<Outcome> {
    let link = find(tx, id)?.ok_or_else(|| Problem::not_found("link"))?;
    let Value::Object(mut merged) = serde_json::to_value(&link.spec)? else {
        unreachable!("a spec is an object");
    };
    for (key, value) in patch {
        // A link always has a slug: taking it away keeps it.
        if !(key == "slug" && value.is_null()) {
            merged.insert(key.clone(), value.clone());
        }
    }
    let spec: LinkSpec = serde_json::from_value(Value::Object(merged))
        .map_err(|error| Problem::field("patch", format!("does not fit a link: {error}")))?;
    // The patch was checked by itself; only here is it seen beside the rest of the link.
    let loops = destinations::loops(&spec);
    if !loops.is_empty() {
        return Err(Problem::fields(loops).into());
    }
    let domain = spec.domain.as_deref().unwrap_or_default();
    let slug = spec.slug.as_deref().unwrap_or_default();
    if slug_holder(tx, domain, slug)?.is_some_and(|holder| holder != id) {
        return Err(slug_taken(spec.slug.as_deref()).into());
    }
    tx.db
        .prepare_cached(
            "UPDATE links SET domain = ?2, slug = ?3, partner = ?4, program = ?5, spec = ?6, updated_at = ?7
             WHERE id = ?1",
        )?
        .execute(params![
            id.0 as i64,
            domain,
            slug,
            spec.partner_id.unwrap_or_default().0 as i64,
            spec.program_id.unwrap_or_default().0 as i64,
            serde_json::to_string(&spec)?,
            tx.at.0,
        ])?;
    tx.touched.push(Touched::Link(id));
    Ok(Outcome::new(200, &StoredLink { spec, updated_at: tx.at, ..link }.answer())?)
}

pub(super) fn delete(tx: &mut Applying<'_>, id: LinkId) -> Applied<Outcome> {
    find(tx, id)?.ok_or_else(|| Problem::not_found("link"))?;
    tx.db
        .prepare_cached("UPDATE links SET deleted_at = ?2 WHERE id = ?1")?
        .execute(params![id.0 as i64, tx.at.0])?;
    tx.touched.push(Touched::Link(id));
    Ok(Outcome::no_content())
}

fn find(tx: &Applying<'_>, id: LinkId) -> Applied<Option<StoredLink>> {
    let mut statement = tx.db.prepare_cached(&format!(
        "SELECT {COLUMNS} FROM links WHERE id = ?1 AND workspace = ?2 AND deleted_at IS NULL"
    ))?;
    let mut rows = statement.query(params![id.0 as i64, tx.workspace.0])?;
    Ok(rows.next()?.map(stored).transpose()?)
}

fn slug_holder(tx: &Applying<'_>, domain: &str, slug: &str) -> Applied<Option<LinkId>> {
    let holder: Option<i64> = tx
        .db
        .prepare_cached("SELECT id FROM links WHERE domain = ?1 AND slug = ?2 AND deleted_at IS NULL")?
        .query_row([domain, slug], |row| row.get(0))
        .optional()?;
    Ok(holder.map(|id| LinkId(id as u64)))
}

fn slug_taken(slug: Option<&str>) -> Problem {
    let slug = slug.unwrap_or_default();
    let detail = format!("Another link on this domain has the slug `{slug}`: choose another.");
    Problem::taken("slug_taken", "slug", detail)
}

/// The program and partner of a link as they stand now, deleted links included.
pub(super) fn terms(
    db: &Connection,
    workspace: WorkspaceId,
    id: LinkId,
) -> Result<(ProgramId, PartnerId), StoreError> {
    let row: Option<(i64, i64)> = db
        .prepare_cached("SELECT program, partner FROM links WHERE id = ?1 AND workspace = ?2")?
        .query_row(params![id.0 as i64, workspace.0], |row| Ok((row.get(0)?, row.get(1)?)))
        .optional()?;
    let (program, partner) = row.unwrap_or_default();
    Ok((ProgramId(program as u64), PartnerId(partner as u64)))
}
