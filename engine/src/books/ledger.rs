//! The ledger: double entry. An account belongs to one owner and has one kind and one currency; its balance is the sum
//! of its entries, each of which also says the balance after it. What an owner has is positive. The entries of one
//! fact add up to zero in every currency, or the fact is refused. Nothing is ever changed or deleted: a correction is
//! an entry of the opposite sign. The writer keeps balances in memory and writes each once in a batch
//! ([`accounts`]).
//!
//! | Owner | Kinds |
//! |---|---|
//! | merchant | `revenue`; negative: `refunds`, `commissions`, `cashback`, `clearing:<provider>` (what it owes) |
//! | platform | `fee` |
//! | partner | `pending`, `approved` (negative where more went back than is due), `held`, `processing`, `paid` |
//! | customer | `cashback_pending`, `cashback_available`, `cashback_claimed` |

use weir_schemas::ids::{ConversionId, CustomerId, PartnerId};
use weir_schemas::ledger::Owner;
use weir_schemas::money::Currency;
use weir_schemas::problem::Problem;
use weir_schemas::time::Timestamp;

use super::apply::Applying;
use super::outcome::Applied;

mod accounts;
mod reads;

pub(super) use accounts::Accounts;
pub use reads::AccountFilter;

/// Which account of a currency.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Account<'a> {
    owner: Owner,
    /// 0 for merchant and platform.
    id: u64,
    kind: &'a str,
}

impl<'a> Account<'a> {
    pub(super) const fn merchant(kind: &'a str) -> Self {
        Self { owner: Owner::Merchant, id: 0, kind }
    }

    pub(super) const fn platform() -> Self {
        Self { owner: Owner::Platform, id: 0, kind: "fee" }
    }

    pub(super) const fn partner(id: PartnerId, kind: &'a str) -> Self {
        Self { owner: Owner::Partner, id: id.0, kind }
    }

    pub(super) const fn customer(id: CustomerId, kind: &'a str) -> Self {
        Self { owner: Owner::Customer, id: id.0, kind }
    }
}

/// What an entry is about.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct About {
    /// `sale`, `commission`, …
    pub(super) what: &'static str,
    pub(super) conversion: ConversionId,
    /// The id of a commission, 0 where none is concerned.
    pub(super) commission: i64,
    /// The id of a payout, 0 where none is concerned.
    pub(super) payout: i64,
}

/// Adds `amount` to an account; nothing for zero.
pub(super) fn post(
    tx: &mut Applying<'_>,
    account: Account<'_>,
    currency: Currency,
    amount: i64,
    about: About,
) -> Applied<()> {
    if amount == 0 {
        return Ok(());
    }
    let account = (tx.workspace, account, currency);
    tx.memory.accounts.borrow_mut().post(tx.db, account, amount, about, (tx.seq, tx.at))?;
    tx.memory.changed();
    match tx.posted.iter_mut().find(|(posted, _)| *posted == currency) {
        Some((_, sum)) => *sum += amount,
        None => tx.posted.push((currency, amount)),
    }
    Ok(())
}

/// Refuses a fact whose entries do not add up to zero: nothing of it stays.
pub(super) fn assert_balanced(tx: &Applying<'_>) -> Applied<()> {
    match tx.posted.iter().find(|(_, sum)| *sum != 0) {
        None => Ok(()),
        Some((currency, sum)) => {
            tracing::error!(seq = tx.seq, %currency, sum, "the entries of a fact do not add up to zero");
            let detail = "The ledger's entries for this request do not add up to zero; nothing was booked.";
            Err(Problem::new(500, "ledger_unbalanced", "The books refused the request", detail).into())
        }
    }
}

/// The largest revenue up to which the workspace's sums never leave 64 bits.
const REVENUE_MAX: i64 = i64::MAX / 4;

/// Whether the workspace's sums in this currency can take more.
pub(super) fn has_room(tx: &Applying<'_>, currency: Currency) -> Applied<bool> {
    let mut accounts = tx.memory.accounts.borrow_mut();
    let revenue = accounts.balance(tx.db, tx.workspace, Account::merchant("revenue"), currency)?;
    Ok(revenue.unwrap_or_default() < REVENUE_MAX)
}

pub(super) fn read_time(row: &rusqlite::Row<'_>, column: usize) -> rusqlite::Result<Timestamp> {
    Ok(Timestamp(row.get(column)?))
}
