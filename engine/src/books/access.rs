//! Workspaces, API keys and webhook endpoints.

use rusqlite::{OptionalExtension, params};
use serde::Serialize;
use serde_json::{Map, Value};
use weir_schemas::fact::{FirstKey, Role, Sealed};
use weir_schemas::ids::{EndpointId, KeyId, PartnerId, ProgramId, WorkspaceId};
use weir_schemas::money::Currency;
use weir_schemas::problem::Problem;
use weir_schemas::time::Timestamp;

use super::apply::{Applying, Touched};
use super::conversion_row::read_currency;
use super::outcome::{Applied, Outcome};
use super::reads::{ReadError, Reads};

/// A workspace as it is answered.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Workspace {
    /// Its id; the first is 1.
    pub id: WorkspaceId,
    /// For people.
    pub name: String,
    /// Reporting currency.
    pub currency: Currency,
    /// IANA name.
    pub timezone: String,
    /// When it was made.
    pub created_at: Timestamp,
}

/// An API key as it is answered, without its secret.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ApiKey {
    /// Its id.
    pub id: KeyId,
    /// For people.
    pub name: String,
    /// What it may do.
    pub role: Role,
    /// For role `partner`: whose numbers.
    pub partner_id: Option<PartnerId>,
    /// The secret's first characters.
    pub hint: String,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it was revoked.
    pub revoked_at: Option<Timestamp>,
}

/// A webhook endpoint as it is answered, without its secrets; the edge adds `url`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct WebhookEndpoint {
    /// Its id.
    pub id: EndpointId,
    /// `stripe`, …
    pub provider: String,
    /// The program of its conversions.
    pub program_id: Option<ProgramId>,
    /// Real money (`true`) or the provider's test mode; `null` until its first payment tells.
    pub livemode: Option<bool>,
    /// When it was made.
    pub created_at: Timestamp,
}

pub(super) struct NewKey<'a> {
    pub(super) id: KeyId,
    pub(super) name: &'a str,
    pub(super) role: Role,
    pub(super) partner: Option<PartnerId>,
    pub(super) secret_sha256: &'a str,
    pub(super) hint: &'a str,
}

pub(super) fn create_workspace(
    tx: &mut Applying<'_>,
    name: &str,
    currency: Currency,
    timezone: &str,
    key: Option<&FirstKey>,
) -> Applied<Outcome> {
    let id: u32 = tx.db.query_row("SELECT coalesce(max(id), 0) + 1 FROM workspaces", [], |row| row.get(0))?;
    tx.db.prepare_cached("INSERT INTO workspaces VALUES (?1, ?2, ?3, ?4, ?5)")?.execute(params![
        id,
        name,
        currency.as_str(),
        timezone,
        tx.at.0
    ])?;
    tx.touched.push(Touched::Fx(WorkspaceId(id)));
    let workspace = Workspace {
        id: WorkspaceId(id),
        name: name.to_owned(),
        currency,
        timezone: timezone.to_owned(),
        created_at: tx.at,
    };
    if let Some(FirstKey { id, secret_sha256, hint }) = key {
        let (role, partner) = (Role::Admin, None);
        let key = NewKey { id: *id, name: "first key", role, partner, secret_sha256, hint };
        let own = std::mem::replace(&mut tx.workspace, workspace.id);
        let made = create_key(tx, &key);
        tx.workspace = own;
        made?;
    }
    Ok(Outcome::new(201, &workspace)?)
}

pub(super) fn update_workspace(tx: &mut Applying<'_>, patch: &Map<String, Value>) -> Applied<Outcome> {
    let text = |name: &str| patch.get(name).and_then(Value::as_str);
    let mut statement = tx.db.prepare_cached(
        "UPDATE workspaces SET name = coalesce(?2, name), currency = coalesce(?3, currency),
            timezone = coalesce(?4, timezone)
         WHERE id = ?1 RETURNING id, name, currency, timezone, created_at",
    )?;
    let changed = statement
        .query_row(params![tx.workspace.0, text("name"), text("currency"), text("timezone")], workspace_row)
        .optional()?;
    // Its currency is what its reports are in.
    tx.touched.push(Touched::Fx(tx.workspace));
    match changed {
        Some(workspace) => Ok(Outcome::new(200, &workspace)?),
        None => Err(Problem::not_found("workspace").into()),
    }
}

/// A row of id, name, currency, timezone, created_at.
fn workspace_row(row: &rusqlite::Row<'_>) -> rusqlite::Result<Workspace> {
    Ok(Workspace {
        id: WorkspaceId(row.get(0)?),
        name: row.get(1)?,
        currency: read_currency(&row.get::<_, String>(2)?),
        timezone: row.get(3)?,
        created_at: Timestamp(row.get(4)?),
    })
}

pub(super) fn create_key(tx: &mut Applying<'_>, key: &NewKey<'_>) -> Applied<Outcome> {
    let taken = tx
        .db
        .prepare_cached("SELECT 1 FROM api_keys WHERE secret_sha256 = ?1 AND revoked_at IS NULL")?
        .exists([key.secret_sha256])?;
    if taken {
        return Err(Problem::conflict("key_exists", "A key with this secret exists already.").into());
    }
    let id = KeyId(tx.free_id("api_keys", key.id.0)?);
    let role = serde_json::to_string(&key.role)?;
    tx.db.prepare_cached("INSERT INTO api_keys VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, NULL)")?.execute(
        params![
            id.0 as i64,
            tx.workspace.0,
            key.name,
            role,
            key.partner.map(|partner| partner.0 as i64),
            key.secret_sha256,
            key.hint,
            tx.at.0,
        ],
    )?;
    tx.touched.push(Touched::Key(id));
    let answer = ApiKey {
        id,
        name: key.name.to_owned(),
        role: key.role,
        partner_id: key.partner,
        hint: key.hint.to_owned(),
        created_at: tx.at,
        revoked_at: None,
    };
    Ok(Outcome::new(201, &answer)?)
}

/// Another name or role. A partner's key stays one, and no other becomes one: whose numbers it sees is told once.
pub(super) fn update_key(tx: &mut Applying<'_>, id: KeyId, patch: &Map<String, Value>) -> Applied<Outcome> {
    let role: Option<Role> = patch.get("role").cloned().map(serde_json::from_value).transpose()?;
    let found = tx
        .db
        .prepare_cached(
            "SELECT name, role, partner, hint, created_at FROM api_keys
             WHERE id = ?1 AND workspace = ?2 AND revoked_at IS NULL",
        )?
        .query_row(params![id.0 as i64, tx.workspace.0], |row| {
            let partner: Option<i64> = row.get(2)?;
            Ok((
                row.get::<_, String>(0)?,
                row.get::<_, String>(1)?,
                partner,
                row.get::<_, String>(3)?,
                row.get(4)?,
            ))
        })
        .optional()?;
    let Some((name, held, partner, hint, created_at)) = found else {
        return Err(Problem::not_found("key").into());
    };
    let held: Role = serde_json::from_str(&held)?;
    let role = role.unwrap_or(held);
    if (role == Role::Partner) != (held == Role::Partner) {
        return Err(Problem::field("role", "a partner's key stays one, and no other becomes one").into());
    }
    let name = patch.get("name").and_then(Value::as_str).map_or(name, str::to_owned);
    tx.db.prepare_cached("UPDATE api_keys SET name = ?2, role = ?3 WHERE id = ?1")?.execute(params![
        id.0 as i64,
        name,
        serde_json::to_string(&role)?
    ])?;
    tx.touched.push(Touched::Key(id));
    let answer = ApiKey {
        id,
        name,
        role,
        partner_id: partner.map(|id| PartnerId(id as u64)),
        hint,
        created_at: Timestamp(created_at),
        revoked_at: None,
    };
    Ok(Outcome::new(200, &answer)?)
}

pub(super) fn revoke_key(tx: &mut Applying<'_>, id: KeyId) -> Applied<Outcome> {
    let changed = tx
        .db
        .prepare_cached(
            "UPDATE api_keys SET revoked_at = ?3 WHERE id = ?1 AND workspace = ?2 AND revoked_at IS NULL",
        )?
        .execute(params![id.0 as i64, tx.workspace.0, tx.at.0])?;
    if changed == 0 {
        return Err(Problem::not_found("key").into());
    }
    tx.touched.push(Touched::Key(id));
    Ok(Outcome::no_content())
}

pub(super) fn create_endpoint(
    tx: &mut Applying<'_>,
    id: EndpointId,
    provider: &str,
    secrets: &[Sealed],
    settings: Option<&Sealed>,
    program: Option<ProgramId>,
) -> Applied<Outcome> {
    let id = EndpointId(tx.free_id("endpoints", id.0)?);
    tx.db.prepare_cached("INSERT INTO endpoints VALUES (?1, ?2, ?3, ?4, ?5, ?6, NULL, ?7, NULL)")?.execute(
        params![
            id.0 as i64,
            tx.workspace.0,
            provider,
            serde_json::to_string(secrets)?,
            settings.map(|sealed| &sealed.0),
            program.map(|program| program.0 as i64),
            tx.at.0,
        ],
    )?;
    tx.touched.push(Touched::Endpoint(id));
    let answer = WebhookEndpoint {
        id,
        provider: provider.to_owned(),
        program_id: program,
        livemode: None,
        created_at: tx.at,
    };
    Ok(Outcome::new(201, &answer)?)
}

/// Replaces what is given, keeps the rest.
pub(super) fn update_endpoint(
    tx: &mut Applying<'_>,
    id: EndpointId,
    secrets: Option<&[Sealed]>,
    settings: Option<&Sealed>,
) -> Applied<Outcome> {
    let secrets = secrets.map(serde_json::to_string).transpose()?;
    let answer = tx
        .db
        .prepare_cached(
            "UPDATE endpoints SET secrets = coalesce(?3, secrets), settings = coalesce(?4, settings)
             WHERE id = ?1 AND workspace = ?2 AND deleted_at IS NULL
             RETURNING provider, program, livemode, created_at",
        )?
        .query_row(params![id.0 as i64, tx.workspace.0, secrets, settings.map(|sealed| &sealed.0)], |row| {
            Ok(WebhookEndpoint {
                id,
                provider: row.get(0)?,
                program_id: row.get::<_, Option<i64>>(1)?.map(|id| ProgramId(id as u64)),
                livemode: row.get(2)?,
                created_at: Timestamp(row.get(3)?),
            })
        })
        .optional()?;
    let Some(answer) = answer else { return Err(Problem::not_found("webhook endpoint").into()) };
    tx.touched.push(Touched::Endpoint(id));
    Ok(Outcome::new(200, &answer)?)
}

pub(super) fn delete_endpoint(tx: &mut Applying<'_>, id: EndpointId) -> Applied<Outcome> {
    let changed = tx
        .db
        .prepare_cached(
            "UPDATE endpoints SET deleted_at = ?3 WHERE id = ?1 AND workspace = ?2 AND deleted_at IS NULL",
        )?
        .execute(params![id.0 as i64, tx.workspace.0, tx.at.0])?;
    if changed == 0 {
        return Err(Problem::not_found("webhook endpoint").into());
    }
    tx.touched.push(Touched::Endpoint(id));
    Ok(Outcome::no_content())
}

/// Mode and program of an endpoint that takes deliveries for this workspace; the mode is `None` until it is fixed.
pub(super) fn mode_of(tx: &Applying<'_>, id: EndpointId) -> Applied<Option<(Option<bool>, ProgramId)>> {
    let row = tx
        .db
        .prepare_cached(
            "SELECT livemode, coalesce(program, 0) FROM endpoints
             WHERE id = ?1 AND workspace = ?2 AND deleted_at IS NULL",
        )?
        .query_row(params![id.0 as i64, tx.workspace.0], |row| {
            Ok((row.get(0)?, ProgramId(row.get::<_, i64>(1)? as u64)))
        })
        .optional()?;
    Ok(row)
}

pub(super) fn fix_mode(tx: &Applying<'_>, id: EndpointId, livemode: bool) -> Applied<()> {
    tx.db
        .prepare_cached("UPDATE endpoints SET livemode = ?2 WHERE id = ?1")?
        .execute(params![id.0 as i64, livemode])?;
    Ok(())
}

const WORKSPACE: &str = "SELECT id, name, currency, timezone, created_at FROM workspaces";

impl Reads {
    /// A workspace.
    pub fn workspace(&self, id: WorkspaceId) -> Result<Option<Workspace>, ReadError> {
        self.read(|db| {
            let mut statement = db.prepare_cached(&format!("{WORKSPACE} WHERE id = ?1"))?;
            Ok(statement.query_row([id.0], workspace_row).optional()?)
        })
    }

    /// The sealed secrets of a live webhook endpoint of `provider`: of this one, else of the newest.
    pub fn sealed_endpoint(
        &self,
        provider: &str,
        id: Option<EndpointId>,
    ) -> Result<Option<(EndpointId, Vec<Sealed>)>, ReadError> {
        self.read(|db| {
            let found: Option<(i64, String)> = db
                .prepare_cached(
                    "SELECT id, secrets FROM endpoints
                     WHERE provider = ?1 AND id = coalesce(?2, id) AND deleted_at IS NULL ORDER BY id DESC LIMIT 1",
                )?
                .query_row(params![provider, id.map(|id| id.0 as i64)], |row| Ok((row.get(0)?, row.get(1)?)))
                .optional()?;
            let Some((id, secrets)) = found else { return Ok(None) };
            Ok(Some((EndpointId(id as u64), serde_json::from_str(&secrets)?)))
        })
    }

    /// Every workspace of the engine, the first one first.
    pub fn workspaces(&self) -> Result<Vec<Workspace>, ReadError> {
        self.read(|db| {
            let mut statement = db.prepare_cached(&format!("{WORKSPACE} ORDER BY id"))?;
            Ok(statement.query_map([], workspace_row)?.collect::<Result<_, _>>()?)
        })
    }
}
