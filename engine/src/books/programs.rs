//! Programs: the terms by which partners earn, in versions. A conversion is judged by the version that was in force
//! when it happened, so a late webhook earns what its sale would have earned then, and an edit changes nothing that
//! was earned before it.

use std::sync::Arc;

use rusqlite::{Connection, OptionalExtension, Row, params};
use serde::Serialize;
use serde_json::{Map, Value};
use weir_schemas::ids::{PartnerId, ProgramId, WorkspaceId};
use weir_schemas::problem::Problem;
use weir_schemas::program::{Program, ProgramSpec};
use weir_schemas::time::Timestamp;

use super::apply::Applying;
use super::outcome::{Applied, Outcome, StoreError};
use super::reads::{Page, PageOf, ReadError, Reads, page};
use super::terms_memory::Version;

/// Most programs of one workspace.
pub const PROGRAMS_MAX: i64 = 10_000;

/// One version of a program's terms.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ProgramVersion {
    /// From 1.
    pub version: u32,
    /// When it began.
    pub since: Timestamp,
    /// Its terms.
    #[serde(flatten)]
    pub spec: ProgramSpec,
}

const COLUMNS: &str = "id, version, spec, created_at, updated_at";

fn stored(row: &Row<'_>) -> Result<Program, StoreError> {
    Ok(Program {
        id: ProgramId(row.get::<_, i64>(0)? as u64),
        version: row.get(1)?,
        spec: serde_json::from_str(row.get_ref(2)?.as_str().map_err(rusqlite::Error::from)?)?,
        created_at: Timestamp(row.get(3)?),
        updated_at: Timestamp(row.get(4)?),
    })
}

fn find(db: &Connection, workspace: WorkspaceId, id: ProgramId) -> Result<Option<Program>, StoreError> {
    let mut statement =
        db.prepare_cached(&format!("SELECT {COLUMNS} FROM programs WHERE id = ?1 AND workspace = ?2"))?;
    let mut rows = statement.query(params![id.0 as i64, workspace.0])?;
    rows.next()?.map(stored).transpose()
}

pub(super) fn create(tx: &mut Applying<'_>, id: ProgramId, spec: &ProgramSpec) -> Applied<Outcome> {
    let errors = spec.check();
    if !errors.is_empty() {
        return Err(Problem::fields(errors).into());
    }
    let count: i64 = tx
        .db
        .prepare_cached("SELECT count(*) FROM programs WHERE workspace = ?1")?
        .query_row([tx.workspace.0], |row| row.get(0))?;
    if count >= PROGRAMS_MAX {
        let detail = format!("The workspace has {PROGRAMS_MAX} programs.");
        return Err(Problem::conflict("too_many_programs", detail).into());
    }
    let id = ProgramId(tx.free_id("programs", id.0)?);
    tx.db.prepare_cached("INSERT INTO programs VALUES (?1, ?2, 1, ?3, ?4, ?4)")?.execute(params![
        id.0 as i64,
        tx.workspace.0,
        serde_json::to_string(spec)?,
        tx.at.0
    ])?;
    let program = Program { id, version: 1, spec: spec.clone(), created_at: tx.at, updated_at: tx.at };
    keep_version(tx, &program)?;
    tx.terms_changed();
    Ok(Outcome::new(201, &program)?)
}

/// The keys of `patch` replace those of the terms. A patch that changes nothing makes no version.
pub(super) fn update(tx: &mut Applying<'_>, id: ProgramId, patch: &Map<String, Value>) -> Applied<Outcome> {
    let known = find(tx.db, tx.workspace, id)?.ok_or_else(|| Problem::not_found("program"))?;
    let Value::Object(mut merged) = serde_json::to_value(&known.spec)? else {
        unreachable!("terms are an object");
    };
    merged.extend(patch.clone());
    let spec: ProgramSpec = serde_json::from_value(Value::Object(merged))
        .map_err(|error| Problem::field("patch", format!("does not fit a program: {error}")))?;
    let errors = spec.check();
    if !errors.is_empty() {
        return Err(Problem::fields(errors).into());
    }
    if spec == known.spec {
        return Ok(Outcome::new(200, &known)?);
    }
    let program = Program { version: known.version + 1, spec, updated_at: tx.at, ..known };
    tx.db
        .prepare_cached("UPDATE programs SET version = ?2, spec = ?3, updated_at = ?4 WHERE id = ?1")?
        .execute(params![id.0 as i64, program.version, serde_json::to_string(&program.spec)?, tx.at.0])?;
    keep_version(tx, &program)?;
    tx.terms_changed();
    Ok(Outcome::new(200, &program)?)
}

fn keep_version(tx: &Applying<'_>, program: &Program) -> Applied<()> {
    tx.db.prepare_cached("INSERT INTO program_versions VALUES (?1, ?2, ?3, ?4)")?.execute(params![
        program.id.0 as i64,
        program.version,
        tx.at.0,
        serde_json::to_string(&program.spec)?
    ])?;
    Ok(())
}

/// The terms in force at a time: for a time before the first version that version. `None`: there is no such program.
pub(super) fn terms_at(
    db: &Connection,
    workspace: WorkspaceId,
    id: ProgramId,
    at: Timestamp,
) -> Result<Option<(u32, ProgramSpec)>, StoreError> {
    if id == ProgramId::NONE {
        return Ok(None);
    }
    let row: Option<(u32, String)> = db
        .prepare_cached(
            "SELECT v.version, v.spec FROM program_versions v JOIN programs p ON p.id = v.program
             WHERE v.program = ?1 AND p.workspace = ?2 AND (v.since <= ?3 OR v.version = 1)
             ORDER BY v.version DESC LIMIT 1",
        )?
        .query_row(params![id.0 as i64, workspace.0, at.0], |row| Ok((row.get(0)?, row.get(1)?)))
        .optional()?;
    Ok(row
        .map(|(version, spec)| Ok::<_, serde_json::Error>((version, serde_json::from_str(&spec)?)))
        .transpose()?)
}

/// Every version of a program's terms, the first first, and its workspace.
pub(super) fn all_versions(
    db: &Connection,
    id: ProgramId,
) -> Result<Option<(WorkspaceId, Vec<Version>)>, StoreError> {
    let mut statement = db.prepare_cached(
        "SELECT p.workspace, v.version, v.since, v.spec FROM program_versions v JOIN programs p ON p.id = v.program
         WHERE v.program = ?1 ORDER BY v.version",
    )?;
    let mut rows = statement.query([id.0 as i64])?;
    let mut versions = Vec::new();
    let mut workspace = None;
    while let Some(row) = rows.next()? {
        workspace = Some(WorkspaceId(row.get(0)?));
        let spec = serde_json::from_str(row.get_ref(3)?.as_str().map_err(rusqlite::Error::from)?)?;
        versions.push((row.get(1)?, Timestamp(row.get(2)?), Arc::new(spec)));
    }
    Ok(workspace.map(|workspace| (workspace, versions)))
}

/// The programs that have milestones, or the one asked for, the newest first.
pub(super) fn with_milestones(
    db: &Connection,
    workspace: WorkspaceId,
    id: Option<ProgramId>,
) -> Result<Vec<Program>, StoreError> {
    let mut statement = db.prepare_cached(&format!(
        "SELECT {COLUMNS} FROM programs WHERE workspace = ?1 AND (?2 IS NULL OR id = ?2)
             AND json_array_length(spec, '$.milestones') > 0 ORDER BY id DESC"
    ))?;
    let mut rows = statement.query(params![workspace.0, id.map(|id| id.0 as i64)])?;
    let mut programs = Vec::new();
    while let Some(row) = rows.next()? {
        programs.push(stored(row)?);
    }
    Ok(programs)
}

impl Reads {
    /// A program as it stands.
    pub fn program(&self, workspace: WorkspaceId, id: ProgramId) -> Result<Option<Program>, ReadError> {
        self.read(|db| Ok(find(db, workspace, id)?))
    }

    /// A program of whatever workspace, and that workspace: for those who come without a key.
    pub fn program_anywhere(&self, id: ProgramId) -> Result<Option<(WorkspaceId, Program)>, ReadError> {
        self.read(|db| {
            let workspace: Option<u32> = db
                .prepare_cached("SELECT workspace FROM programs WHERE id = ?1")?
                .query_row([id.0 as i64], |row| row.get(0))
                .optional()?;
            let Some(workspace) = workspace.map(WorkspaceId) else { return Ok(None) };
            Ok(find(db, workspace, id)?.map(|program| (workspace, program)))
        })
    }

    /// The programs that a partner has to do with: by its own, by a link or by what it sold; the newest first.
    pub fn programs_of(&self, workspace: WorkspaceId, partner: PartnerId) -> Result<Vec<Program>, ReadError> {
        self.read(|db| {
            let mut statement = db.prepare_cached(&format!(
                "SELECT {COLUMNS} FROM programs WHERE workspace = ?1 AND id IN (
                     SELECT program FROM partners WHERE id = ?2
                     UNION SELECT program FROM links WHERE workspace = ?1 AND partner = ?2 AND deleted_at IS NULL
                     UNION SELECT program FROM earnings WHERE workspace = ?1 AND owner_id = ?2)
                 ORDER BY id DESC"
            ))?;
            let mut rows = statement.query(params![workspace.0, partner.0 as i64])?;
            let mut programs = Vec::new();
            while let Some(row) = rows.next()? {
                programs.push(stored(row)?);
            }
            Ok(programs)
        })
    }

    /// Every version of a program's terms, the newest first.
    pub fn program_versions(
        &self,
        workspace: WorkspaceId,
        id: ProgramId,
    ) -> Result<Option<Vec<ProgramVersion>>, ReadError> {
        self.read(|db| {
            if find(db, workspace, id)?.is_none() {
                return Ok(None);
            }
            let mut statement = db.prepare_cached(
                "SELECT version, since, spec FROM program_versions WHERE program = ?1 ORDER BY version DESC",
            )?;
            let mut rows = statement.query([id.0 as i64])?;
            let mut versions = Vec::new();
            while let Some(row) = rows.next()? {
                versions.push(ProgramVersion {
                    version: row.get(0)?,
                    since: Timestamp(row.get(1)?),
                    spec: serde_json::from_str(&row.get::<_, String>(2)?)?,
                });
            }
            Ok(Some(versions))
        })
    }

    /// Programs, the newest first.
    pub fn programs(&self, workspace: WorkspaceId, of: &PageOf) -> Result<Page<Program>, ReadError> {
        let (below, limit) = (of.below()?, of.limit());
        self.read(|db| {
            let mut statement = db.prepare_cached(&format!(
                "SELECT {COLUMNS} FROM programs WHERE workspace = ?1 AND id < ?2 ORDER BY id DESC LIMIT ?3"
            ))?;
            let mut rows = statement.query(params![workspace.0, below, limit + 1])?;
            let mut items = Vec::new();
            while let Some(row) = rows.next()? {
                let program = stored(row)?;
                items.push((program.id.0 as i64, program));
            }
            Ok(page(items, limit))
        })
    }
}
