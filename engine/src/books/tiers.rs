//! In which tier a partner is, and in which ones they were. The present one follows from what they have in the period
//! that runs now, so it goes down by itself when a new one begins; the past ones are what sales were paid by.

use rusqlite::{Connection, params};
use serde::Serialize;
use weir_schemas::ids::{ConversionId, PartnerId, ProgramId, WorkspaceId};
use weir_schemas::money::Money;
use weir_schemas::program::{ProgramSpec, Rate, Tier, TierPeriod};
use weir_schemas::time::Timestamp;

use super::commissions::{standings, terms};
use super::outcome::StoreError;
use super::programs;
use super::reads::{ReadError, Reads};

/// Changes told of one program at most, the last first.
const CHANGES_MAX: u32 = 200;

/// A partner's tier in a program.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct PartnerTier {
    /// Which program.
    pub program_id: ProgramId,
    /// The tier of the next sale; `None`: the base.
    pub tier: Option<String>,
    /// What that pays.
    pub rate: Rate,
    /// Over which time orders and revenue count.
    pub period: TierPeriod,
    /// Orders in the period.
    pub orders: u64,
    /// Gross revenue in the period, by currency.
    pub revenue: Vec<Money>,
    /// The tier after this one and what it asks.
    pub next: Option<Tier>,
    /// By which tiers sales were paid, in the order in which they were booked; the last first.
    pub history: Vec<TierChange>,
}

/// From this sale on, the tier was another.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct TierChange {
    /// The tier; `None`: the base, or a product's own rate.
    pub tier: Option<String>,
    /// What it paid.
    pub rate: Rate,
    /// The version of the terms.
    pub program_version: u32,
    /// The first sale that it paid.
    pub conversion_id: ConversionId,
    /// When that was.
    pub since: Timestamp,
}

fn history(
    db: &Connection,
    workspace: WorkspaceId,
    partner: PartnerId,
    program: ProgramId,
) -> Result<Vec<TierChange>, StoreError> {
    let mut statement = db.prepare_cached(
        "SELECT tier, rate, version, conversion, occurred_at FROM (
             SELECT *, lag(rate || coalesce(tier, '')) OVER (ORDER BY id) earlier FROM earnings
             WHERE workspace = ?1 AND owner_id = ?2 AND program = ?3 AND kind = 'commission')
         WHERE earlier IS NOT rate || coalesce(tier, '') ORDER BY id DESC LIMIT ?4",
    )?;
    let mut rows = statement.query(params![workspace.0, partner.0 as i64, program.0 as i64, CHANGES_MAX])?;
    let mut changes = Vec::new();
    while let Some(row) = rows.next()? {
        changes.push(TierChange {
            tier: row.get(0)?,
            rate: serde_json::from_str(row.get_ref(1)?.as_str().map_err(rusqlite::Error::from)?)?,
            program_version: row.get(2)?,
            conversion_id: ConversionId(row.get::<_, i64>(3)? as u64),
            since: Timestamp(row.get(4)?),
        });
    }
    Ok(changes)
}

/// The first tier that asks more than the partner has and pays otherwise than the present one.
fn next_of<'a>(spec: &'a ProgramSpec, present: Option<&Tier>, had: &standings::Had) -> Option<&'a Tier> {
    let tiers = &spec.commission.tiers;
    let after =
        present.and_then(|present| tiers.iter().position(|tier| tier == present)).map_or(0, |n| n + 1);
    tiers.iter().skip(after).find(|tier| !terms::applies(tier, had))
}

impl Reads {
    /// The tiers of a partner in the programs that it has to do with, the newest program first.
    pub fn partner_tiers(
        &self,
        workspace: WorkspaceId,
        partner: PartnerId,
        now: Timestamp,
    ) -> Result<Vec<PartnerTier>, ReadError> {
        let programs = self.programs_of(workspace, partner)?;
        self.read(|db| {
            let mut tiers = Vec::new();
            for program in programs {
                let Some((_, spec)) = programs::terms_at(db, workspace, program.id, now)? else { continue };
                let had = standings::had_by(db, program.id, partner, spec.commission.period, now)?;
                let tier = terms::tier(&spec.commission, &had);
                tiers.push(PartnerTier {
                    program_id: program.id,
                    tier: tier.map(|tier| tier.name.clone()),
                    rate: tier.map_or(spec.commission.base, Tier::rate),
                    period: spec.commission.period,
                    orders: terms::Standing::orders(&had),
                    revenue: had.revenues(),
                    next: next_of(&spec, tier, &had).cloned(),
                    history: history(db, workspace, partner, program.id)?,
                });
            }
            Ok(tiers)
        })
    }
}
