//! Partners. Code and coupons are unique in the workspace whatever their case, codes among codes and coupons among
//! coupons; who has one is decided by the order of the log.

use rusqlite::{Connection, OptionalExtension, Row, params};
use serde_json::{Map, Value, json};
use weir_schemas::fact::Sealed;
use weir_schemas::ids::{PartnerId, ProgramId, WorkspaceId};
use weir_schemas::partner::{Partner, PartnerPrivate, PartnerSpec, PartnerStatus, folded};
use weir_schemas::problem::Problem;
use weir_schemas::time::Timestamp;

use super::apply::{Applying, Touched};
use super::outcome::{Applied, Outcome, StoreError};
use super::reads::{Page, PageOf, ReadError, Reads, contains, page};
use super::{commissions, outbound};
use crate::keyring::Keyring;

mod memory;

pub(super) use memory::KnownPartners;

/// Under which context a partner's private part is sealed.
pub const PARTNER_CONTEXT: &str = "partner";

/// The private part of a partner; empty where there is none, or where another keyring sealed it.
pub fn open_partner(keyring: &Keyring, sealed: Option<&Sealed>) -> PartnerPrivate {
    let clear = sealed.and_then(|sealed| keyring.unseal(PARTNER_CONTEXT, sealed).ok());
    clear.and_then(|clear| serde_json::from_slice(&clear).ok()).unwrap_or_default()
}

/// In which of its two names a partner is looked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum CodeKind {
    Code,
    Coupon,
}

impl CodeKind {
    fn as_str(self) -> &'static str {
        match self {
            Self::Code => "code",
            Self::Coupon => "coupon",
        }
    }
}

/// Which partners are listed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PartnerFilter {
    /// By their state.
    pub status: Option<PartnerStatus>,
    /// By their own program.
    pub program: Option<ProgramId>,
    /// By their code.
    pub code: Option<String>,
    /// A part of name or code, in any case.
    pub search: Option<String>,
}

const COLUMNS: &str = "id, spec, private, created_at, updated_at";

/// A partner as it is in the books, and its sealed part.
pub type StoredPartner = (Partner, Option<Sealed>);

fn stored(row: &Row<'_>) -> Result<StoredPartner, StoreError> {
    let partner = Partner {
        id: PartnerId(row.get::<_, i64>(0)? as u64),
        spec: serde_json::from_str(row.get_ref(1)?.as_str().map_err(rusqlite::Error::from)?)?,
        email: None,
        created_at: Timestamp(row.get(3)?),
        updated_at: Timestamp(row.get(4)?),
    };
    Ok((partner, row.get::<_, Option<String>>(2)?.map(Sealed)))
}

pub(super) fn find(
    db: &Connection,
    workspace: WorkspaceId,
    id: PartnerId,
) -> Result<Option<StoredPartner>, StoreError> {
    let mut statement =
        db.prepare_cached(&format!("SELECT {COLUMNS} FROM partners WHERE id = ?1 AND workspace = ?2"))?;
    let mut rows = statement.query(params![id.0 as i64, workspace.0])?;
    rows.next()?.map(stored).transpose()
}

/// Who has a code or coupon.
pub(super) fn holder(
    db: &Connection,
    workspace: WorkspaceId,
    kind: CodeKind,
    code: &str,
) -> Result<Option<PartnerId>, StoreError> {
    let holder: Option<i64> = db
        .prepare_cached("SELECT partner FROM partner_codes WHERE workspace = ?1 AND kind = ?2 AND code = ?3")?
        .query_row(params![workspace.0, kind.as_str(), folded(code)], |row| row.get(0))
        .optional()?;
    Ok(holder.map(|id| PartnerId(id as u64)))
}

pub(super) fn create(
    tx: &mut Applying<'_>,
    id: PartnerId,
    spec: &PartnerSpec,
    private: Option<&Sealed>,
) -> Applied<Outcome> {
    let id = PartnerId(tx.free_id("partners", id.0)?);
    take_codes(tx, id, spec)?;
    tx.db.prepare_cached("INSERT INTO partners VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?7)")?.execute(
        params![
            id.0 as i64,
            tx.workspace.0,
            spec.status.as_str(),
            spec.program_id.map(|program| program.0 as i64),
            serde_json::to_string(spec)?,
            private.map(|sealed| &sealed.0),
            tx.at.0
        ],
    )?;
    tx.memory.partners.forget();
    tx.touched.push(Touched::Partner(id));
    let partner = Partner { id, spec: spec.clone(), email: None, created_at: tx.at, updated_at: tx.at };
    outbound::announce(tx, "partner.created", &told(&partner))?;
    Ok(Outcome::new(201, &partner)?)
}

pub(super) fn update(
    tx: &mut Applying<'_>,
    id: PartnerId,
    patch: &Map<String, Value>,
    private: Option<&Sealed>,
) -> Applied<Outcome> {
    let (known, _) = find(tx.db, tx.workspace, id)?.ok_or_else(|| Problem::not_found("partner"))?;
    let Value::Object(mut merged) = serde_json::to_value(&known.spec)? else {
        unreachable!("a partner is an object");
    };
    merged.extend(patch.clone());
    let spec: PartnerSpec = serde_json::from_value(Value::Object(merged))
        .map_err(|error| Problem::field("patch", format!("does not fit a partner: {error}")))?;
    tx.db.prepare_cached("DELETE FROM partner_codes WHERE partner = ?1")?.execute([id.0 as i64])?;
    take_codes(tx, id, &spec)?;
    tx.db
        .prepare_cached(
            "UPDATE partners SET status = ?2, program = ?3, spec = ?4, private = coalesce(?5, private),
                 updated_at = ?6 WHERE id = ?1",
        )?
        .execute(params![
            id.0 as i64,
            spec.status.as_str(),
            spec.program_id.map(|program| program.0 as i64),
            serde_json::to_string(&spec)?,
            private.map(|sealed| &sealed.0),
            tx.at.0
        ])?;
    tx.memory.partners.forget();
    tx.touched.push(Touched::Partner(id));
    if known.spec.status == PartnerStatus::Pending && spec.status == PartnerStatus::Approved {
        commissions::release_partner(tx, id)?;
    }
    let approved = known.spec.status != PartnerStatus::Approved && spec.status == PartnerStatus::Approved;
    let partner = Partner { spec, updated_at: tx.at, ..known };
    if approved {
        outbound::announce(tx, "partner.approved", &told(&partner))?;
    }
    Ok(Outcome::new(200, &partner)?)
}

/// What others are told of a partner: not its account, nor its mail address.
fn told(partner: &Partner) -> Value {
    let Partner { id, spec, .. } = partner;
    json!({"partner_id": id, "name": spec.name, "code": spec.code, "status": spec.status,
        "program_id": spec.program_id})
}

/// Notes the partner's code and coupons as its own; 409 where another has one of them.
fn take_codes(tx: &Applying<'_>, id: PartnerId, spec: &PartnerSpec) -> Applied<()> {
    let coupons = spec.coupons.iter().enumerate();
    let coupons = coupons.map(|(n, coupon)| (CodeKind::Coupon, coupon, format!("coupons[{n}]")));
    for (kind, code, field) in std::iter::once((CodeKind::Code, &spec.code, "code".to_owned())).chain(coupons)
    {
        match holder(tx.db, tx.workspace, kind, code)? {
            Some(other) if other != id => {
                let kind = kind.as_str();
                let detail = format!("Another partner has the {kind} `{code}`: choose another.");
                let code = if kind == "code" { "code_taken" } else { "coupon_taken" };
                return Err(Problem::taken(code, field, detail).into());
            }
            Some(_) => {}
            None => {
                tx.db
                    .prepare_cached("INSERT INTO partner_codes VALUES (?1, ?2, ?3, ?4)")?
                    .execute(params![tx.workspace.0, kind.as_str(), folded(code), id.0 as i64])?;
            }
        }
    }
    Ok(())
}

impl Reads {
    /// A partner and its sealed part.
    pub fn partner(&self, workspace: WorkspaceId, id: PartnerId) -> Result<Option<StoredPartner>, ReadError> {
        self.read(|db| Ok(find(db, workspace, id)?))
    }

    /// Partners, the newest first, each with its sealed part.
    pub fn partners(
        &self,
        workspace: WorkspaceId,
        filter: &PartnerFilter,
        of: &PageOf,
    ) -> Result<Page<StoredPartner>, ReadError> {
        let (below, limit) = (of.below()?, of.limit());
        let like = filter.search.as_deref().map(contains);
        self.read(|db| {
            let code = match &filter.code {
                Some(code) => match holder(db, workspace, CodeKind::Code, code)? {
                    Some(id) => Some(id.0 as i64),
                    None => return Ok(page(Vec::new(), limit)),
                },
                None => None,
            };
            let mut statement = db.prepare_cached(&format!(
                "SELECT {COLUMNS} FROM partners WHERE workspace = ?1 AND id < ?2
                     AND (?3 IS NULL OR status = ?3) AND (?4 IS NULL OR program = ?4)
                     AND (?5 IS NULL OR id = ?5)
                     AND (?6 IS NULL OR spec ->> '$.name' LIKE ?6 ESCAPE '\\'
                          OR spec ->> '$.code' LIKE ?6 ESCAPE '\\')
                 ORDER BY id DESC LIMIT ?7"
            ))?;
            let mut rows = statement.query(params![
                workspace.0,
                below,
                filter.status.map(PartnerStatus::as_str),
                filter.program.map(|program| program.0 as i64),
                code,
                like,
                limit + 1
            ])?;
            let mut items = Vec::new();
            while let Some(row) = rows.next()? {
                let partner = stored(row)?;
                items.push((partner.0.id.0 as i64, partner));
            }
            Ok(page(items, limit))
        })
    }
}
