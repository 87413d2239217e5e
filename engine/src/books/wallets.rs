//! Customers' wallets: what cashback and welcome gifts brought, and claiming it. A claim takes all that is payable in a
//! currency from `cashback_available` to `cashback_claimed`; it is kept as a payout to the customer, so nothing is ever
//! claimed twice, and what goes back afterwards lowers the next claim.
//!
//! What a wallet calls its states: `pending` within the hold; `confirmed` beyond it, and `payable` once that
//! reaches the programs' least payout; `claimed`; `declined` where it went back or a person said so; `held`.

use rusqlite::{Connection, params};
use serde_json::json;
use weir_schemas::commission::{CommissionKind, CommissionStatus};
use weir_schemas::ids::{CommissionId, CustomerId, PayoutId, ProgramId, WorkspaceId};
use weir_schemas::money::{Currency, Money};
use weir_schemas::payout::PayoutStatus;
use weir_schemas::problem::Problem;
use weir_schemas::time::Timestamp;
use weir_schemas::wallet::{Claim, ClaimOutcome, Wallet, WalletBalance, WalletLine, WalletState};

use super::apply::Applying;
use super::commissions::Earning;
use super::conversion_row::read_currency;
use super::ledger::{About, Account, post};
use super::outcome::{Applied, Outcome, StoreError};
use super::reads::{Page, PageOf, ReadError, Reads, page};
use super::{customers, outbound, payouts};

/// Claims that a wallet shows, the last first.
const CLAIMS_SHOWN: u32 = 50;

/// What of a customer's earnings is neither pending nor held and not claimed. ?1 workspace, ?2 customer, ?3 currency.
const DUE: &str = "workspace = ?1 AND owner_id = ?2 AND currency = ?3 AND earned != paid
    AND state NOT IN ('pending', 'held') AND kind IN ('cashback', 'welcome')";

/// `CashbackClaimed`: all that is payable, in one currency or in each.
pub(super) fn claim(
    tx: &mut Applying<'_>,
    id: PayoutId,
    customer: &str,
    currency: Option<Currency>,
    reference: Option<&str>,
) -> Applied<Outcome> {
    let owner = CustomerId(customers::known(tx, customer)? as u64);
    let mut next = id.0;
    let mut claimed = Vec::new();
    let mut below = None;
    tx.memory.write_back(tx.db)?;
    for balance in balances(tx.db, tx.workspace, owner, tx.at)? {
        if currency.is_some_and(|currency| currency != balance.currency) {
            continue;
        }
        if balance.payable.amount <= 0 {
            below = below.or(balance.minimum.filter(|_| balance.confirmed.amount > 0));
            continue;
        }
        let id = PayoutId(tx.free_id("payouts", next)?);
        next = id.0 + 1;
        claimed.push(take(tx, id, owner, balance.payable, reference)?);
    }
    if claimed.is_empty() {
        return Err(match below {
            Some(least) => {
                let (least, currency) = (least.decimal(), least.currency);
                let detail = format!("The wallet has less than the minimum of {least} {currency}.");
                Problem::new(422, "below_minimum", "Less than the minimum", detail)
            }
            None => {
                let detail = "Nothing in the wallet is confirmed and not claimed yet.";
                Problem::new(422, "nothing_payable", "Nothing to claim", detail)
            }
        }
        .into());
    }
    tx.memory.write_back(tx.db)?;
    let wallet = wallet(tx.db, tx.workspace, owner, customer, tx.at)?;
    Ok(Outcome::new(201, &ClaimOutcome { claimed, wallet })?)
}

fn take(
    tx: &mut Applying<'_>,
    id: PayoutId,
    owner: CustomerId,
    amount: Money,
    reference: Option<&str>,
) -> Applied<Claim> {
    let code = amount.currency.as_str();
    let key = params![tx.workspace.0, owner.0 as i64, code, id.0 as i64];
    let items = tx
        .db
        .prepare_cached(&format!(
            "INSERT INTO payout_items SELECT ?4, id, earned - paid FROM earnings WHERE {DUE}"
        ))?
        .execute(key)?;
    tx.db
        .prepare_cached(&format!(
            "UPDATE earnings SET paid = earned, settled = earned, payout = ?4, changed_at = ?5,
                 state = iif(state = 'approved' AND earned > 0, 'paid', state) WHERE {DUE}"
        ))?
        .execute(params![tx.workspace.0, owner.0 as i64, code, id.0 as i64, tx.at.0])?;
    tx.db
        .prepare_cached(
            "INSERT INTO payouts VALUES (?1, ?2, ?1, ?3, ?4, ?5, ?6, ?7, ?8, NULL, ?9, ?9, 'customer')",
        )?
        .execute(params![
            id.0 as i64,
            tx.workspace.0,
            owner.0 as i64,
            code,
            amount.amount,
            PayoutStatus::Paid.as_str(),
            items as i64,
            reference,
            tx.at.0
        ])?;
    let about = About { what: "claim", payout: id.0 as i64, ..About::default() };
    post(tx, Account::customer(owner, "cashback_available"), amount.currency, -amount.amount, about)?;
    post(tx, Account::customer(owner, "cashback_claimed"), amount.currency, amount.amount, about)?;
    let items = items as u64;
    let claim = Claim { id, amount, items, reference: reference.map(str::to_owned), claimed_at: tx.at };
    let mut told = json!(claim);
    told["customer"] = json!(owner);
    outbound::announce(tx, "cashback.claimed", &told)?;
    Ok(claim)
}

/// What a customer has, by currency.
fn balances(
    db: &Connection,
    workspace: WorkspaceId,
    owner: CustomerId,
    at: Timestamp,
) -> Result<Vec<WalletBalance>, StoreError> {
    let mut statement = db.prepare_cached(
        "SELECT currency, sum(balance) FILTER (WHERE kind = 'cashback_pending'),
                sum(balance) FILTER (WHERE kind = 'cashback_held'),
                sum(balance) FILTER (WHERE kind = 'cashback_available'),
                sum(balance) FILTER (WHERE kind = 'cashback_claimed')
         FROM accounts WHERE workspace = ?1 AND owner = 'customer' AND owner_id = ?2 GROUP BY 1 ORDER BY 1",
    )?;
    let mut rows = statement.query(params![workspace.0, owner.0 as i64])?;
    let mut balances = Vec::new();
    while let Some(row) = rows.next()? {
        let currency = read_currency(&row.get::<_, String>(0)?);
        let amount = |column: usize| row.get::<_, Option<i64>>(column).map(Option::unwrap_or_default);
        let available = amount(3)?;
        let of: Vec<i64> = db
            .prepare_cached(&format!("SELECT DISTINCT program FROM earnings WHERE {DUE}"))?
            .query_map(params![workspace.0, owner.0 as i64, currency.as_str()], |row| row.get(0))?
            .collect::<Result<_, _>>()?;
        let programs = of.into_iter().map(|id| ProgramId(id as u64));
        let least = payouts::least_of(db, workspace, programs, currency, at)?;
        let payable = if available >= least.max(1) { available } else { 0 };
        let money = |amount| Money { amount, currency };
        balances.push(WalletBalance {
            currency,
            pending: money(amount(1)?),
            held: money(amount(2)?),
            confirmed: money(available - payable),
            payable: money(payable),
            claimed: money(amount(4)?),
            minimum: (least > 0).then_some(money(least)),
        });
    }
    Ok(balances)
}

fn wallet(
    db: &Connection,
    workspace: WorkspaceId,
    owner: CustomerId,
    name: &str,
    at: Timestamp,
) -> Result<Wallet, StoreError> {
    let mut statement = db.prepare_cached(
        "SELECT id, amount, currency, commissions, reference, created_at FROM payouts
         WHERE workspace = ?1 AND partner = ?2 AND owner = 'customer' ORDER BY id DESC LIMIT ?3",
    )?;
    let mut rows = statement.query(params![workspace.0, owner.0 as i64, CLAIMS_SHOWN])?;
    let mut claims = Vec::new();
    while let Some(row) = rows.next()? {
        claims.push(Claim {
            id: PayoutId(row.get::<_, i64>(0)? as u64),
            amount: Money { amount: row.get(1)?, currency: read_currency(&row.get::<_, String>(2)?) },
            items: row.get::<_, i64>(3)?.unsigned_abs(),
            reference: row.get(4)?,
            claimed_at: Timestamp(row.get(5)?),
        });
    }
    let balances = balances(db, workspace, owner, at)?;
    Ok(Wallet { customer: owner, customer_id: name.to_owned(), balances, claims })
}

fn line(earning: Earning, balances: &[WalletBalance]) -> WalletLine {
    let money = |amount| Money { amount, currency: earning.sale.currency };
    let payable = balances
        .iter()
        .any(|balance| balance.currency == earning.sale.currency && balance.payable.amount > 0);
    let state = match earning.status {
        CommissionStatus::Pending => WalletState::Pending,
        CommissionStatus::Held => WalletState::Held,
        CommissionStatus::Approved if payable => WalletState::Payable,
        CommissionStatus::Approved => WalletState::Confirmed,
        CommissionStatus::Paid => WalletState::Claimed,
        CommissionStatus::Rejected | CommissionStatus::Reversed => WalletState::Declined,
    };
    WalletLine {
        id: CommissionId(earning.id as u64),
        kind: earning.kind,
        state,
        amount: money(earning.parts.earned),
        original: money(earning.original),
        claimed: money(earning.paid),
        sale: earning.sale,
        program_id: earning.program,
        conversion_id: earning.conversion,
        claim_id: PayoutId(earning.payout as u64).some(),
        reason: earning.reason,
        occurred_at: earning.occurred_at,
        due_at: earning.due_at,
    }
}

impl Reads {
    /// A customer's wallet; the caller has looked that there is such a customer.
    pub fn wallet(
        &self,
        workspace: WorkspaceId,
        customer: CustomerId,
        name: &str,
        now: Timestamp,
    ) -> Result<Wallet, ReadError> {
        self.read(|db| Ok(wallet(db, workspace, customer, name, now)?))
    }

    /// What brought something into a wallet, the last first.
    pub fn wallet_history(
        &self,
        workspace: WorkspaceId,
        customer: CustomerId,
        of: &PageOf,
        now: Timestamp,
    ) -> Result<Page<WalletLine>, ReadError> {
        let (below, limit) = (of.below()?, of.limit());
        self.read(|db| {
            let balances = balances(db, workspace, customer, now)?;
            let kinds = [CommissionKind::Cashback, CommissionKind::Welcome];
            let earnings = Earning::of_owner(db, workspace, customer.0, kinds, below, limit + 1)?;
            let items = earnings.into_iter().map(|earning| (earning.id, line(earning, &balances))).collect();
            Ok(page(items, limit))
        })
    }
}
