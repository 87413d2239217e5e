//! Reading commissions.

use rusqlite::{Connection, params};
use weir_schemas::commission::{Commission, CommissionKind, CommissionStatus};
use weir_schemas::ids::{
    CommissionId, ConversionId, CustomerId, PartnerId, PayoutId, ProgramId, WorkspaceId,
};
use weir_schemas::money::Money;

use super::super::outcome::StoreError;
use super::super::reads::{Page, PageOf, ReadError, Reads, page};
use super::row::{COLUMNS, Earning};

/// Which commissions are listed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct CommissionFilter {
    /// Of one partner.
    pub partner: Option<PartnerId>,
    /// Of one customer's wallet.
    pub customer: Option<CustomerId>,
    /// Of one program.
    pub program: Option<ProgramId>,
    /// For one conversion.
    pub conversion: Option<ConversionId>,
    /// In one payout.
    pub payout: Option<PayoutId>,
    /// Of one kind; where absent and no customer is named, what partners earn.
    pub kind: Option<CommissionKind>,
    /// By their status.
    pub status: Option<CommissionStatus>,
}

fn answer(db: &Connection, earning: Earning) -> Result<Commission, StoreError> {
    let order: Option<String> = db
        .prepare_cached(
            "SELECT o.name FROM conversions c LEFT JOIN orders o ON o.id = c.ord WHERE c.id = ?1",
        )?
        .query_row([earning.conversion.0 as i64], |row| row.get(0))?;
    let money = |amount| Money { amount, currency: earning.sale.currency };
    let partners = earning.kind.is_partners();
    Ok(Commission {
        id: CommissionId(earning.id as u64),
        kind: earning.kind,
        partner_id: partners.then_some(PartnerId(earning.owner)),
        customer: (!partners).then_some(CustomerId(earning.owner)),
        program_id: earning.program,
        program_version: earning.version,
        conversion_id: earning.conversion,
        order_id: order,
        status: earning.status,
        amount: money(earning.parts.earned),
        original: money(earning.original),
        platform_fee: money(earning.parts.fee),
        paid: money(earning.paid),
        sale: earning.sale,
        rate: earning.rate,
        tier: earning.tier,
        capped: money(earning.capped),
        cap: earning.cap,
        reason: earning.reason,
        payout_id: PayoutId(earning.payout as u64).some(),
        occurred_at: earning.occurred_at,
        due_at: earning.due_at,
        created_at: earning.created_at,
        updated_at: earning.changed_at,
    })
}

pub(super) fn find(
    db: &Connection,
    workspace: WorkspaceId,
    id: CommissionId,
) -> Result<Option<Commission>, StoreError> {
    Earning::find(db, workspace, id.0 as i64)?.map(|earning| answer(db, earning)).transpose()
}

impl Reads {
    /// A commission.
    pub fn commission(
        &self,
        workspace: WorkspaceId,
        id: CommissionId,
    ) -> Result<Option<Commission>, ReadError> {
        self.read(|db| Ok(find(db, workspace, id)?))
    }

    /// Commissions, the newest first. Sales that earned nothing are not listed.
    pub fn commissions(
        &self,
        workspace: WorkspaceId,
        filter: &CommissionFilter,
        of: &PageOf,
    ) -> Result<Page<Commission>, ReadError> {
        let (below, limit) = (of.below()?, of.limit());
        let owner = filter.partner.map(|id| id.0).or(filter.customer.map(|id| id.0));
        // Which index serves it: an owner's, a conversion's, else all by their ids.
        let narrow = match (owner, filter.conversion) {
            (Some(_), _) => "workspace = ?1 AND owner_id = ?3",
            (None, Some(_)) => "workspace = ?1 AND ?3 IS NULL AND conversion = ?4",
            (None, None) => "workspace = ?1 AND ?3 IS NULL",
        };
        self.read(|db| {
            let mut statement = db.prepare_cached(&format!(
                "SELECT {COLUMNS} FROM earnings WHERE {narrow} AND id < ?2 AND (original != 0 OR capped != 0)
                     AND (?4 IS NULL OR conversion = ?4) AND (?5 IS NULL OR program = ?5)
                     AND (?6 IS NULL OR payout = ?6) AND (?7 IS NULL OR kind = ?7) AND (?8 IS NULL OR state = ?8)
                     AND (?9 OR kind IN ('commission', 'referral', 'bonus'))
                     AND (NOT ?10 OR kind IN ('cashback', 'welcome'))
                 ORDER BY id DESC LIMIT ?11"
            ))?;
            let mut rows = statement.query(params![
                workspace.0,
                below,
                owner.map(|id| id as i64),
                filter.conversion.map(|id| id.0 as i64),
                filter.program.map(|id| id.0 as i64),
                filter.payout.map(|id| id.0 as i64),
                filter.kind.map(CommissionKind::as_str),
                filter.status.map(CommissionStatus::as_str),
                filter.kind.is_some() || filter.customer.is_some(),
                filter.customer.is_some(),
                limit + 1
            ])?;
            let mut items = Vec::new();
            while let Some(row) = rows.next()? {
                let earning = Earning::read(row)?;
                items.push((earning.id, answer(db, earning)?));
            }
            Ok(page(items, limit))
        })
    }

    /// Workspaces in which something pending is beyond its hold at `now`.
    pub fn workspaces_with_due(
        &self,
        now: weir_schemas::time::Timestamp,
    ) -> Result<Vec<WorkspaceId>, ReadError> {
        self.read(|db| {
            let due = db
                .prepare_cached(
                    "SELECT w.id FROM workspaces w WHERE EXISTS
                         (SELECT 1 FROM earnings WHERE workspace = w.id AND state = 'pending' AND due_at <= ?1)",
                )?
                .query_map([now.0], |row| Ok(WorkspaceId(row.get(0)?)))?
                .collect::<Result<_, _>>()?;
            Ok(due)
        })
    }
}
