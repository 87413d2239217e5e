//! Payouts: all that is due to partners, taken from `approved` to `processing` in one fact, from where it goes to
//! `paid`, or back when it failed or was called off. A payout holds whole commissions ([`payout_items`][super::schema])
//! so that nothing is ever in two payouts: what is in one has `paid = earned`, and only the difference is due.
//!
//! What went back of a commission that was paid makes its difference negative: it lowers the next payout, and where
//! more went back than is due, the whole is carried on.

use std::collections::BTreeMap;

use rusqlite::{Connection, Row, params};
use serde_json::json;
use weir_schemas::ids::{PartnerId, PayoutId, ProgramId, WorkspaceId};
use weir_schemas::ledger::Owner;
use weir_schemas::money::{Currency, Money};
use weir_schemas::partner::PartnerStatus;
use weir_schemas::payout::{CarriedOn, Payout, PayoutBatch, PayoutScope, PayoutStatus};
use weir_schemas::problem::Problem;
use weir_schemas::time::Timestamp;

use super::apply::Applying;
use super::conversion_row::read_currency;
use super::ledger::{About, Account, post};
use super::outcome::{Applied, Outcome, StoreError};
use super::reads::{Page, PageOf, ReadError, Reads, page};
use super::{commissions, outbound, partners, programs};

/// Most payouts of one batch; what is due beyond comes with the next.
pub const BATCH_MAX: usize = 5_000;

/// Which payouts are listed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PayoutFilter {
    /// To one partner.
    pub partner: Option<PartnerId>,
    /// Of one batch.
    pub batch: Option<PayoutId>,
    /// By their status.
    pub status: Option<PayoutStatus>,
}

/// What is due of a partner's earnings: neither pending nor held, and not in a payout. ?1 workspace, ?2 partner,
/// ?3 currency, ?4 program or NULL.
const DUE: &str = "workspace = ?1 AND owner_id = ?2 AND currency = ?3 AND earned != paid
    AND (?4 IS NULL OR program = ?4) AND state NOT IN ('pending', 'held')
    AND kind IN ('commission', 'referral', 'bonus')";

struct Due {
    partner: PartnerId,
    amount: Money,
    commissions: u64,
}

/// What is due and paid now, and what is carried on.
fn due(
    db: &Connection,
    workspace: WorkspaceId,
    scope: &PayoutScope,
    at: Timestamp,
) -> Result<(Vec<Due>, Vec<CarriedOn>), StoreError> {
    let accounts: Vec<(i64, String)> = db
        .prepare_cached(
            "SELECT owner_id, currency FROM accounts WHERE workspace = ?1 AND owner = ?2 AND kind = 'approved'
                 AND balance != 0 AND (?3 IS NULL OR owner_id = ?3) AND (?4 IS NULL OR currency = ?4)
             ORDER BY owner_id, currency",
        )?
        .query_map(
            params![
                workspace.0,
                Owner::Partner.as_str(),
                scope.partner_id.map(|id| id.0 as i64),
                scope.currency.map(|currency| currency.as_str().to_owned())
            ],
            |row| Ok((row.get(0)?, row.get(1)?)),
        )?
        .collect::<Result<_, _>>()?;
    let (mut paid, mut carried) = (Vec::new(), Vec::new());
    for (owner, code) in accounts {
        let (partner, currency) = (PartnerId(owner as u64), read_currency(&code));
        let program = scope.program_id.map(|id| id.0 as i64);
        let (amount, commissions): (i64, i64) = db
            .prepare_cached(&format!(
                "SELECT coalesce(sum(earned - paid), 0), count(*) FROM earnings WHERE {DUE}"
            ))?
            .query_row(params![workspace.0, owner, code, program], |row| Ok((row.get(0)?, row.get(1)?)))?;
        if commissions == 0 {
            continue;
        }
        let least = least(db, workspace, owner, currency, program, at)?;
        let status = partners::find(db, workspace, partner)?.map(|(partner, _)| partner.spec.status);
        let reason = if amount <= 0 {
            Some("More went back than is due.".to_owned())
        } else if amount < least {
            let least = Money { amount: least, currency };
            Some(format!("It is below the minimum of {} {currency}.", least.decimal()))
        } else if status != Some(PartnerStatus::Approved) {
            Some("The partner is not approved.".to_owned())
        } else if paid.len() >= BATCH_MAX {
            Some(format!("A batch holds {BATCH_MAX} payouts: it comes with the next."))
        } else {
            None
        };
        let amount = Money { amount, currency };
        match reason {
            Some(reason) => carried.push(CarriedOn { partner_id: partner, amount, reason }),
            None => paid.push(Due { partner, amount, commissions: commissions.unsigned_abs() }),
        }
    }
    Ok((paid, carried))
}

/// The largest minimum in this currency of the programs of which something is due.
fn least(
    db: &Connection,
    workspace: WorkspaceId,
    owner: i64,
    currency: Currency,
    program: Option<i64>,
    at: Timestamp,
) -> Result<i64, StoreError> {
    let of: Vec<i64> = db
        .prepare_cached(&format!("SELECT DISTINCT program FROM earnings WHERE {DUE}"))?
        .query_map(params![workspace.0, owner, currency.as_str(), program], |row| row.get(0))?
        .collect::<Result<_, _>>()?;
    least_of(db, workspace, of.into_iter().map(|id| ProgramId(id as u64)), currency, at)
}

/// The least payout in this currency by the terms in force of all these programs.
pub(super) fn least_of(
    db: &Connection,
    workspace: WorkspaceId,
    programs: impl Iterator<Item = ProgramId>,
    currency: Currency,
    at: Timestamp,
) -> Result<i64, StoreError> {
    let mut least = 0;
    for id in programs {
        let terms = programs::terms_at(db, workspace, id, at)?;
        let minimum =
            terms.and_then(|(_, terms)| terms.min_payout).filter(|money| money.currency == currency);
        least = least.max(minimum.map_or(0, |money| money.amount));
    }
    Ok(least)
}

fn totals(payouts: &[Payout]) -> Vec<Money> {
    let mut sums: BTreeMap<Currency, i64> = BTreeMap::new();
    for payout in payouts {
        *sums.entry(payout.amount.currency).or_default() += payout.amount.amount;
    }
    sums.into_iter().map(|(currency, amount)| Money { amount, currency }).collect()
}

/// `PayoutsRequested`: everything due goes into payouts of one batch.
pub(super) fn request(tx: &mut Applying<'_>, id: PayoutId, scope: &PayoutScope) -> Applied<Outcome> {
    let batch = PayoutId(tx.free_id("payouts", id.0)?);
    tx.memory.write_back(tx.db)?;
    let (paid, carried) = due(tx.db, tx.workspace, scope, tx.at)?;
    let program = scope.program_id.map(|id| id.0 as i64);
    let mut data = Vec::with_capacity(paid.len());
    let mut next = batch.0;
    for Due { partner, amount, commissions } in paid {
        let id = PayoutId(tx.free_id("payouts", next + 1)?);
        next = id.0;
        let code = amount.currency.as_str();
        tx.db
            .prepare_cached(
                "INSERT INTO payouts VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, NULL, NULL, ?9, ?9, 'partner')",
            )?
            .execute(params![
                id.0 as i64,
                tx.workspace.0,
                batch.0 as i64,
                partner.0 as i64,
                code,
                amount.amount,
                PayoutStatus::Pending.as_str(),
                commissions as i64,
                tx.at.0
            ])?;
        tx.db
            .prepare_cached(&format!(
                "INSERT INTO payout_items SELECT ?5, id, earned - paid FROM earnings WHERE {DUE}"
            ))?
            .execute(params![tx.workspace.0, partner.0 as i64, code, program, id.0 as i64])?;
        tx.db
            .prepare_cached(&format!(
                "UPDATE earnings SET paid = earned, payout = ?5, changed_at = ?6 WHERE {DUE}"
            ))?
            .execute(params![tx.workspace.0, partner.0 as i64, code, program, id.0 as i64, tx.at.0])?;
        move_money(tx, id, partner, amount, ("approved", "processing"), "payout")?;
        let payout = find(tx.db, tx.workspace, id)?.expect("just made");
        outbound::announce(tx, "payout.created", &json!(payout))?;
        data.push(payout);
    }
    let batch = PayoutBatch { id: Some(batch), dry_run: false, totals: totals(&data), data, carried };
    Ok(Outcome::new(201, &batch)?)
}

fn move_money(
    tx: &mut Applying<'_>,
    id: PayoutId,
    partner: PartnerId,
    amount: Money,
    (from, to): (&str, &str),
    what: &'static str,
) -> Applied<()> {
    let about = About { what, payout: id.0 as i64, ..About::default() };
    post(tx, Account::partner(partner, from), amount.currency, -amount.amount, about)?;
    post(tx, Account::partner(partner, to), amount.currency, amount.amount, about)
}

/// `PayoutDecided`, of one payout or of all of a batch. What is so already stays so.
pub(super) fn decide(
    tx: &mut Applying<'_>,
    id: PayoutId,
    to: PayoutStatus,
    reference: Option<&str>,
    reason: Option<&str>,
) -> Applied<Outcome> {
    if let Some(payout) = find(tx.db, tx.workspace, id)? {
        let payout = step(tx, &payout, to, reference, reason)?;
        return Ok(Outcome::new(200, &payout)?);
    }
    let ids: Vec<i64> = tx
        .db
        .prepare_cached(
            "SELECT id FROM payouts WHERE workspace = ?1 AND batch = ?2 AND owner = 'partner' ORDER BY id",
        )?
        .query_map(params![tx.workspace.0, id.0 as i64], |row| row.get(0))?
        .collect::<Result<_, _>>()?;
    if ids.is_empty() {
        return Err(Problem::not_found("payout").into());
    }
    let mut data = Vec::with_capacity(ids.len());
    for one in ids {
        let payout = find(tx.db, tx.workspace, PayoutId(one as u64))?.expect("just selected");
        data.push(step(tx, &payout, to, reference, reason)?);
    }
    let batch =
        PayoutBatch { id: Some(id), dry_run: false, totals: totals(&data), data, carried: Vec::new() };
    Ok(Outcome::new(200, &batch)?)
}

fn step(
    tx: &mut Applying<'_>,
    payout: &Payout,
    to: PayoutStatus,
    reference: Option<&str>,
    reason: Option<&str>,
) -> Applied<Payout> {
    let id = payout.id.expect("stored payouts have ids");
    if payout.status == to {
        return Ok(payout.clone());
    }
    if !payout.status.may_become(to) {
        let detail = format!("Payout {id} is {} and stays so.", payout.status.as_str());
        return Err(Problem::conflict("payout_state", detail).into());
    }
    let items = "id IN (SELECT earning FROM payout_items WHERE payout = ?1)";
    let item = "(SELECT amount FROM payout_items WHERE payout = ?1 AND earning = earnings.id)";
    let change = |sql: String| -> Applied<()> {
        tx.db.prepare_cached(&sql)?.execute(params![id.0 as i64, tx.at.0])?;
        Ok(())
    };
    match to {
        PayoutStatus::Pending | PayoutStatus::Processing => {}
        PayoutStatus::Paid => {
            change(format!("UPDATE earnings SET settled = settled + {item}, changed_at = ?2 WHERE {items}"))?;
            change(format!(
                "UPDATE earnings SET state = 'paid', changed_at = ?2
                 WHERE {items} AND state = 'approved' AND settled > 0 AND earned <= settled"
            ))?;
            move_money(tx, id, payout.partner_id, payout.amount, ("processing", "paid"), "payout_paid")?;
        }
        PayoutStatus::Failed | PayoutStatus::Cancelled => {
            change(format!(
                "UPDATE earnings SET paid = paid - {item}, payout = 0, changed_at = ?2 WHERE {items}"
            ))?;
            let what = if to == PayoutStatus::Failed { "payout_failed" } else { "payout_cancelled" };
            move_money(tx, id, payout.partner_id, payout.amount, ("processing", "approved"), what)?;
            // A sale may have been disputed meanwhile: what it earned is due no more until that is over.
            commissions::look_again(tx, id)?;
        }
    }
    tx.db
        .prepare_cached(
            "UPDATE payouts SET status = ?2, reference = coalesce(?3, reference), reason = coalesce(?4, reason),
                 updated_at = ?5 WHERE id = ?1",
        )?
        .execute(params![id.0 as i64, to.as_str(), reference, reason, tx.at.0])?;
    let now = find(tx.db, tx.workspace, id)?.expect("just changed");
    match to {
        PayoutStatus::Paid => outbound::announce(tx, "payout.paid", &json!(now))?,
        PayoutStatus::Failed => outbound::announce(tx, "payout.failed", &json!(now))?,
        _ => {}
    }
    Ok(now)
}

const COLUMNS: &str =
    "id, batch, partner, status, amount, currency, commissions, reference, reason, created_at, updated_at";

fn read(row: &Row<'_>) -> Result<Payout, StoreError> {
    let id = |column: usize| -> rusqlite::Result<u64> { Ok(row.get::<_, i64>(column)? as u64) };
    Ok(Payout {
        id: Some(PayoutId(id(0)?)),
        batch_id: Some(PayoutId(id(1)?)),
        partner_id: PartnerId(id(2)?),
        status: PayoutStatus::from_name(row.get_ref(3)?.as_str().map_err(rusqlite::Error::from)?)
            .expect("the books write states that they know"),
        amount: Money { amount: row.get(4)?, currency: read_currency(&row.get::<_, String>(5)?) },
        commissions: row.get::<_, i64>(6)?.unsigned_abs(),
        reference: row.get(7)?,
        reason: row.get(8)?,
        created_at: Some(Timestamp(row.get(9)?)),
        updated_at: Some(Timestamp(row.get(10)?)),
    })
}

fn find(db: &Connection, workspace: WorkspaceId, id: PayoutId) -> Result<Option<Payout>, StoreError> {
    let mut statement = db.prepare_cached(&format!(
        "SELECT {COLUMNS} FROM payouts WHERE id = ?1 AND workspace = ?2 AND owner = 'partner'"
    ))?;
    let mut rows = statement.query(params![id.0 as i64, workspace.0])?;
    rows.next()?.map(read).transpose()
}

impl Reads {
    /// What a batch asked for now would hold; nothing is booked.
    pub fn payout_preview(
        &self,
        workspace: WorkspaceId,
        scope: &PayoutScope,
        now: Timestamp,
    ) -> Result<PayoutBatch, ReadError> {
        self.read(|db| {
            let (paid, carried) = due(db, workspace, scope, now)?;
            let data: Vec<Payout> = paid
                .into_iter()
                .map(|due| Payout {
                    id: None,
                    batch_id: None,
                    partner_id: due.partner,
                    status: PayoutStatus::Pending,
                    amount: due.amount,
                    commissions: due.commissions,
                    reference: None,
                    reason: None,
                    created_at: None,
                    updated_at: None,
                })
                .collect();
            Ok(PayoutBatch { id: None, dry_run: true, totals: totals(&data), data, carried })
        })
    }

    /// A payout.
    pub fn payout(&self, workspace: WorkspaceId, id: PayoutId) -> Result<Option<Payout>, ReadError> {
        self.read(|db| Ok(find(db, workspace, id)?))
    }

    /// Payouts, the newest first.
    pub fn payouts(
        &self,
        workspace: WorkspaceId,
        filter: &PayoutFilter,
        of: &PageOf,
    ) -> Result<Page<Payout>, ReadError> {
        let (below, limit) = (of.below()?, of.limit());
        self.read(|db| {
            let mut statement = db.prepare_cached(&format!(
                "SELECT {COLUMNS} FROM payouts WHERE workspace = ?1 AND id < ?2 AND owner = 'partner'
                     AND (?3 IS NULL OR partner = ?3) AND (?4 IS NULL OR batch = ?4) AND (?5 IS NULL OR status = ?5)
                 ORDER BY id DESC LIMIT ?6"
            ))?;
            let mut rows = statement.query(params![
                workspace.0,
                below,
                filter.partner.map(|id| id.0 as i64),
                filter.batch.map(|id| id.0 as i64),
                filter.status.map(PayoutStatus::as_str),
                limit + 1
            ])?;
            let mut items = Vec::new();
            while let Some(row) = rows.next()? {
                items.push((row.get(0)?, read(row)?));
            }
            Ok(page(items, limit))
        })
    }

    /// A batch; `None` where no payout is of it.
    pub fn payout_batch(
        &self,
        workspace: WorkspaceId,
        id: PayoutId,
    ) -> Result<Option<PayoutBatch>, ReadError> {
        self.read(|db| {
            let mut statement = db.prepare_cached(&format!(
                "SELECT {COLUMNS} FROM payouts WHERE workspace = ?1 AND batch = ?2 AND owner = 'partner' ORDER BY id"
            ))?;
            let mut rows = statement.query(params![workspace.0, id.0 as i64])?;
            let mut data = Vec::new();
            while let Some(row) = rows.next()? {
                data.push(read(row)?);
            }
            let batch = PayoutBatch {
                id: Some(id),
                dry_run: false,
                totals: totals(&data),
                data,
                carried: Vec::new(),
            };
            Ok((!batch.data.is_empty()).then_some(batch))
        })
    }
}
