//! Reading accounts and their entries. A balance is one row, whatever the number of its entries.

use rusqlite::{OptionalExtension, Row, params};
use weir_schemas::ids::{
    AccountId, CommissionId, ConversionId, CustomerId, PartnerId, PayoutId, Sequence, WorkspaceId,
};
use weir_schemas::ledger::{Account, AccountEntry, Owner};
use weir_schemas::money::{Currency, Money};

use super::super::conversion_row::read_currency;
use super::super::outcome::StoreError;
use super::super::reads::{Page, PageOf, ReadError, Reads, page};
use super::read_time;

/// Which accounts are listed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AccountFilter {
    /// Of which kind of owner.
    pub owner: Option<Owner>,
    /// Of which partner or customer.
    pub owner_id: Option<u64>,
    /// `pending`, `revenue`, …
    pub kind: Option<String>,
    /// In which currency.
    pub currency: Option<Currency>,
}

const COLUMNS: &str = "id, owner, owner_id, kind, currency, balance, entries";

fn read(row: &Row<'_>) -> Result<Account, StoreError> {
    let owner = Owner::from_name(row.get_ref(1)?.as_str().map_err(rusqlite::Error::from)?)
        .expect("the books write owners that they know");
    let id = row.get::<_, i64>(2)? as u64;
    Ok(Account {
        id: AccountId(row.get::<_, i64>(0)? as u64),
        owner,
        owner_id: match owner {
            Owner::Partner => Some(PartnerId(id).to_string()),
            Owner::Customer => Some(CustomerId(id).to_string()),
            Owner::Merchant | Owner::Platform => None,
        },
        kind: row.get(3)?,
        balance: Money { amount: row.get(5)?, currency: read_currency(&row.get::<_, String>(4)?) },
        entries: row.get::<_, i64>(6)?.unsigned_abs(),
    })
}

impl Reads {
    /// An account.
    pub fn account(&self, workspace: WorkspaceId, id: AccountId) -> Result<Option<Account>, ReadError> {
        self.read(|db| {
            let mut statement = db.prepare_cached(&format!(
                "SELECT {COLUMNS} FROM accounts WHERE id = ?1 AND workspace = ?2"
            ))?;
            let mut rows = statement.query(params![id.0 as i64, workspace.0])?;
            Ok(rows.next()?.map(read).transpose()?)
        })
    }

    /// Accounts, the newest first.
    pub fn accounts(
        &self,
        workspace: WorkspaceId,
        filter: &AccountFilter,
        of: &PageOf,
    ) -> Result<Page<Account>, ReadError> {
        let (below, limit) = (of.below()?, of.limit());
        self.read(|db| {
            let mut statement = db.prepare_cached(&format!(
                "SELECT {COLUMNS} FROM accounts WHERE workspace = ?1 AND id < ?2
                     AND (?3 IS NULL OR owner = ?3) AND (?4 IS NULL OR owner_id = ?4)
                     AND (?5 IS NULL OR kind = ?5) AND (?6 IS NULL OR currency = ?6)
                 ORDER BY id DESC LIMIT ?7"
            ))?;
            let mut rows = statement.query(params![
                workspace.0,
                below,
                filter.owner.map(Owner::as_str),
                filter.owner_id.map(|id| id as i64),
                filter.kind,
                filter.currency.map(|currency| currency.as_str().to_owned()),
                limit + 1
            ])?;
            let mut items = Vec::new();
            while let Some(row) = rows.next()? {
                let account = read(row)?;
                items.push((account.id.0 as i64, account));
            }
            Ok(page(items, limit))
        })
    }

    /// The entries of an account, the newest first; `None` where the workspace has no such account.
    pub fn entries(
        &self,
        workspace: WorkspaceId,
        account: AccountId,
        of: &PageOf,
    ) -> Result<Option<Page<AccountEntry>>, ReadError> {
        let (below, limit) = (of.below()?, of.limit());
        self.read(|db| {
            let currency: Option<String> = db
                .prepare_cached("SELECT currency FROM accounts WHERE id = ?1 AND workspace = ?2")?
                .query_row(params![account.0 as i64, workspace.0], |row| row.get(0))
                .optional()?;
            let Some(currency) = currency.as_deref().map(read_currency) else { return Ok(None) };
            let mut statement = db.prepare_cached(
                "SELECT id, seq, what, amount, balance, conversion, commission, payout, at FROM entries
                 WHERE account = ?1 AND id < ?2 ORDER BY id DESC LIMIT ?3",
            )?;
            let mut rows = statement.query(params![account.0 as i64, below, limit + 1])?;
            let mut items = Vec::new();
            while let Some(row) = rows.next()? {
                let id: i64 = row.get(0)?;
                let entry = AccountEntry {
                    id: id as u64,
                    sequence: row.get::<_, i64>(1)? as Sequence,
                    what: row.get(2)?,
                    amount: Money { amount: row.get(3)?, currency },
                    balance: Money { amount: row.get(4)?, currency },
                    conversion_id: ConversionId(row.get::<_, i64>(5)? as u64).some(),
                    commission_id: CommissionId(row.get::<_, i64>(6)? as u64).some(),
                    payout_id: PayoutId(row.get::<_, i64>(7)? as u64).some(),
                    created_at: read_time(row, 8)?,
                };
                items.push((id, entry));
            }
            Ok(Some(page(items, limit)))
        })
    }
}
