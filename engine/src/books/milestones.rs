//! Milestones: told once for each partner (or program) and span, when what is counted reaches what is asked.
//! Checked after every thing that is counted ([`super::commissions::standings`]), in log order, by the terms
//! in force then; so a replay reaches the same milestones by the same conversions. What was reached stays so,
//! whatever goes back later.

use rusqlite::{Connection, Row, params};
use serde_json::json;
use weir_schemas::ids::{ConversionId, PartnerId, ProgramId, Sequence, WorkspaceId};
use weir_schemas::program::{
    Milestone, MilestoneProgress, MilestoneReached, Program, Scope, Span, Target, WHOLE_BP,
};
use weir_schemas::time::Timestamp;

use super::apply::Applying;
use super::commissions;
use super::commissions::standings::{self, EVERYONE};
use super::outcome::{Applied, StoreError};
use super::reads::{Page, PageOf, ReadError, Reads, page};
use super::{outbound, partners, programs};

/// Partners shown for one milestone, those who have most first.
pub const MILESTONE_PARTNERS_MAX: u32 = 100;
/// Most lines of progress in one answer.
pub const MILESTONE_LINES_MAX: usize = 5_000;

/// Which milestones are listed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct MilestoneFilter {
    /// Of one program.
    pub program: Option<ProgramId>,
    /// For one partner, and those that are counted for all.
    pub partner: Option<PartnerId>,
    /// Only those that are counted for each partner.
    pub partners_only: bool,
}

/// Something was counted for a partner: tells what that reaches. Gives whether it reached anything.
pub(super) fn check(
    tx: &mut Applying<'_>,
    program: ProgramId,
    partner: PartnerId,
    at: Timestamp,
    conversion: ConversionId,
) -> Applied<bool> {
    let Some((version, terms)) = tx.terms_at(program, tx.at)? else { return Ok(false) };
    let mut reached_any = false;
    for milestone in &terms.milestones {
        let of = standings::subject(milestone.scope, partner);
        let key = standings::span_key(milestone.per, at);
        if is_reached(tx.db, program, &milestone.name, of, key)?.is_some() {
            continue;
        }
        let value = counted(tx, program, of, milestone.per, key, &milestone.target)?;
        if value < milestone.target.value() {
            continue;
        }
        let commission = match milestone.bonus.filter(|bonus| bonus.amount > 0) {
            Some(money) => {
                let due_at = tx.at.0 + i64::from(terms.hold_days) * weir_schemas::time::DAY_MS;
                let bonus = commissions::Bonus {
                    program,
                    version,
                    partner,
                    money,
                    milestone: &milestone.name,
                    due_at: Timestamp(due_at),
                };
                commissions::give_bonus(tx, conversion, &bonus)?
            }
            None => None,
        };
        let reached = MilestoneReached {
            program_id: program,
            name: milestone.name.clone(),
            scope: milestone.scope,
            partner_id: of.some(),
            per: milestone.per,
            span: standings::span_name(milestone.per, key),
            metric: milestone.target.metric().to_owned(),
            target: milestone.target,
            value,
            conversion_id: conversion,
            bonus: commission.is_some().then_some(milestone.bonus).flatten(),
            commission_id: commission,
            reached_at: tx.at,
        };
        tx.db
            .prepare_cached("INSERT INTO milestones_reached VALUES (NULL, ?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)")?
            .execute(params![
                tx.workspace.0,
                program.0 as i64,
                milestone.name,
                of.0 as i64,
                key,
                tx.seq as i64,
                tx.at.0,
                serde_json::to_string(&reached)?
            ])?;
        let mut told = json!(reached);
        told["program"] = json!(terms.name);
        outbound::announce(tx, "milestone.reached", &told)?;
        reached_any = true;
    }
    Ok(reached_any)
}

/// When it was reached, if it was.
fn is_reached(
    db: &Connection,
    program: ProgramId,
    name: &str,
    of: PartnerId,
    key: i32,
) -> Result<Option<Timestamp>, StoreError> {
    let mut statement = db.prepare_cached(
        "SELECT at FROM milestones_reached WHERE program = ?1 AND name = ?2 AND partner = ?3 AND span = ?4",
    )?;
    let mut rows = statement.query(params![program.0 as i64, name, of.0 as i64, key])?;
    Ok(rows.next()?.map(|row| Ok::<_, rusqlite::Error>(Timestamp(row.get(0)?))).transpose()?)
}

/// As [`value`], with what the writer has counted and not written yet.
fn counted(
    tx: &Applying<'_>,
    program: ProgramId,
    of: PartnerId,
    per: Span,
    key: i32,
    target: &Target,
) -> Applied<i64> {
    let rows = standings::over(tx, program, of, &standings::days_of_span(per, key))?;
    Ok(match (target.revenue, target.orders) {
        (Some(money), _) => {
            let rows = rows.iter().filter(|(currency, _)| *currency == money.currency);
            rows.map(|(_, counted)| counted.revenue).sum()
        }
        (None, Some(_)) => rows.iter().map(|(_, counted)| counted.orders).sum(),
        (None, None) => rows.iter().map(|(_, counted)| counted.signups).sum(),
    })
}

/// What there is of what a target asks.
fn value(
    db: &Connection,
    program: ProgramId,
    of: PartnerId,
    per: Span,
    key: i32,
    target: &Target,
) -> Result<i64, StoreError> {
    let days = standings::days_of_span(per, key);
    let value = db
        .prepare_cached(&format!(
            "SELECT coalesce(sum({}), 0) FROM standings
             WHERE program = ?1 AND partner = ?2 AND day BETWEEN ?3 AND ?4 AND (?5 IS NULL OR currency = ?5)",
            target.metric()
        ))?
        .query_row(
            params![
                program.0 as i64,
                of.0 as i64,
                days.start(),
                days.end(),
                target.revenue.map(|money| money.currency.as_str().to_owned())
            ],
            |row| row.get(0),
        )?;
    Ok(value)
}

fn progress(
    db: &Connection,
    program: &Program,
    milestone: &Milestone,
    (partner, name): (Option<PartnerId>, Option<String>),
    now: Timestamp,
) -> Result<MilestoneProgress, StoreError> {
    let of = partner.unwrap_or(EVERYONE);
    let key = standings::span_key(milestone.per, now);
    let value = value(db, program.id, of, milestone.per, key, &milestone.target)?;
    let goal = milestone.target.value();
    let reached_at = is_reached(db, program.id, &milestone.name, of, key)?;
    let part = i128::from(value.max(0)) * i128::from(WHOLE_BP) / i128::from(goal.max(1));
    Ok(MilestoneProgress {
        program_id: program.id,
        program: program.spec.name.clone(),
        name: milestone.name.clone(),
        scope: milestone.scope,
        partner_id: partner,
        partner: name,
        per: milestone.per,
        span: standings::span_name(milestone.per, key),
        metric: milestone.target.metric().to_owned(),
        target: milestone.target,
        value,
        goal,
        progress_bp: u32::try_from(part.min(i128::from(WHOLE_BP))).unwrap_or(WHOLE_BP),
        reached: reached_at.is_some(),
        reached_at,
        bonus: milestone.bonus,
    })
}

/// The partners for whom a milestone is shown: who have most of what it asks in its present span.
fn leading(
    db: &Connection,
    program: ProgramId,
    milestone: &Milestone,
    now: Timestamp,
) -> Result<Vec<(PartnerId, String)>, StoreError> {
    let days = standings::days_of_span(milestone.per, standings::span_key(milestone.per, now));
    let mut statement = db.prepare_cached(&format!(
        "SELECT s.partner, p.spec ->> '$.name', sum(s.{}) value FROM standings s JOIN partners p ON p.id = s.partner
         WHERE s.program = ?1 AND s.partner != 0 AND s.day BETWEEN ?2 AND ?3 AND (?4 IS NULL OR s.currency = ?4)
         GROUP BY s.partner HAVING value > 0 ORDER BY value DESC, s.partner LIMIT ?5",
        milestone.target.metric()
    ))?;
    let currency = milestone.target.revenue.map(|money| money.currency.as_str().to_owned());
    let rows = statement.query_map(
        params![program.0 as i64, days.start(), days.end(), currency, MILESTONE_PARTNERS_MAX],
        |row| Ok((PartnerId(row.get::<_, i64>(0)? as u64), row.get(1)?)),
    )?;
    Ok(rows.collect::<Result<_, _>>()?)
}

/// Whether a partner has to do with a program: by its own, by a link or by what it sold.
fn takes_part(db: &Connection, program: ProgramId, partner: PartnerId) -> Result<bool, StoreError> {
    Ok(db
        .prepare_cached(
            "SELECT 1 WHERE EXISTS (SELECT 1 FROM partners WHERE id = ?2 AND program = ?1)
                 OR EXISTS (SELECT 1 FROM standings WHERE program = ?1 AND partner = ?2)
                 OR EXISTS (SELECT 1 FROM links WHERE program = ?1 AND partner = ?2 AND deleted_at IS NULL)",
        )?
        .exists(params![program.0 as i64, partner.0 as i64])?)
}

fn read_reached(row: &Row<'_>) -> Result<(i64, MilestoneReached), StoreError> {
    let text = row.get_ref(1)?.as_str().map_err(rusqlite::Error::from)?;
    Ok((row.get(0)?, serde_json::from_str(text)?))
}

impl Reads {
    /// How the milestones of the programs stand in their present day, month or in all.
    pub fn milestones(
        &self,
        workspace: WorkspaceId,
        filter: MilestoneFilter,
        now: Timestamp,
    ) -> Result<Vec<MilestoneProgress>, ReadError> {
        self.read(|db| {
            let mut lines = Vec::new();
            for program in programs::with_milestones(db, workspace, filter.program)? {
                if let Some(partner) = filter.partner
                    && !takes_part(db, program.id, partner)?
                {
                    continue;
                }
                for milestone in &program.spec.milestones {
                    let whom = match (milestone.scope, filter.partner) {
                        (Scope::Program, _) if filter.partners_only => Vec::new(),
                        (Scope::Program, _) => vec![(None, None)],
                        (Scope::Partner, Some(partner)) => {
                            let known = partners::find(db, workspace, partner)?;
                            vec![(Some(partner), known.map(|(known, _)| known.spec.name))]
                        }
                        (Scope::Partner, None) => leading(db, program.id, milestone, now)?
                            .into_iter()
                            .map(|(partner, name)| (Some(partner), Some(name)))
                            .collect(),
                    };
                    for whom in whom {
                        if lines.len() < MILESTONE_LINES_MAX {
                            lines.push(progress(db, &program, milestone, whom, now)?);
                        }
                    }
                }
            }
            Ok(lines)
        })
    }

    /// The milestones that were reached, the last first.
    pub fn milestones_reached(
        &self,
        workspace: WorkspaceId,
        filter: MilestoneFilter,
        of: &PageOf,
    ) -> Result<Page<MilestoneReached>, ReadError> {
        let (below, limit) = (of.below()?, of.limit());
        self.read(|db| {
            let mut statement = db.prepare_cached(
                "SELECT id, told FROM milestones_reached WHERE workspace = ?1 AND id < ?2
                     AND (?3 IS NULL OR program = ?3) AND (?4 IS NULL OR partner = ?4)
                     AND (NOT ?5 OR partner != 0)
                 ORDER BY id DESC LIMIT ?6",
            )?;
            let mut rows = statement.query(params![
                workspace.0,
                below,
                filter.program.map(|id| id.0 as i64),
                filter.partner.map(|id| id.0 as i64),
                filter.partners_only,
                limit + 1
            ])?;
            let mut items = Vec::new();
            while let Some(row) = rows.next()? {
                items.push(read_reached(row)?);
            }
            Ok(page(items, limit))
        })
    }

    /// The milestones that the facts of `(after, upto]` reached, each with its workspace.
    pub fn milestones_between(
        &self,
        after: Sequence,
        upto: Sequence,
    ) -> Result<Vec<(WorkspaceId, MilestoneReached)>, ReadError> {
        self.read(|db| {
            let mut statement = db.prepare_cached(
                "SELECT id, told, workspace FROM milestones_reached WHERE seq > ?1 AND seq <= ?2 ORDER BY id",
            )?;
            let mut rows = statement.query(params![after as i64, upto as i64])?;
            let mut found = Vec::new();
            while let Some(row) = rows.next()? {
                found.push((WorkspaceId(row.get(2)?), read_reached(row)?.1));
            }
            Ok(found)
        })
    }
}
