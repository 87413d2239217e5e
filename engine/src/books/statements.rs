//! A partner's statements: what was earned, went back and was paid in a month (UTC), from the ledger's entries. What is
//! owed to a partner lies on `pending`, `approved`, `held` and `processing`; what moves between them is no line.

use rusqlite::{Connection, params};
use weir_schemas::ids::{CommissionId, ConversionId, PartnerId, PayoutId, WorkspaceId};
use weir_schemas::money::{Currency, Money};
use weir_schemas::statement::{Statement, StatementLine, StatementOf, StatementSums};
use weir_schemas::time::Timestamp;

use super::conversion_row::read_currency;
use super::ledger::read_time;
use super::outcome::StoreError;
use super::reads::{ReadError, Reads};

/// Most lines of one statement and currency; the sums hold all of them.
pub const STATEMENT_LINES_MAX: u32 = 10_000;

/// What changes what is owed: one line for each fact, reason and commission or payout.
const MOVES: &str = "FROM entries e JOIN accounts a ON a.id = e.account
    WHERE a.workspace = ?1 AND a.owner = 'partner' AND a.owner_id = ?2
        AND a.kind IN ('pending', 'approved', 'held', 'processing')";

/// By which sum a line counts.
const KINDS: &str =
    "coalesce(sum(e.amount) FILTER (WHERE e.what IN ('commission', 'referral', 'bonus', 'restoration')), 0),
    coalesce(sum(e.amount) FILTER (WHERE e.what = 'reversal'), 0),
    coalesce(sum(e.amount) FILTER (WHERE e.what = 'payout_paid'), 0),
    coalesce(sum(e.amount), 0)";

impl Reads {
    /// The months in which anything was earned, went back or was paid, the last first, each with its sums.
    pub fn statements(
        &self,
        workspace: WorkspaceId,
        partner: PartnerId,
    ) -> Result<Vec<StatementOf>, ReadError> {
        self.read(|db| {
            let mut statement = db.prepare_cached(&format!(
                "SELECT a.currency, strftime('%Y-%m', e.at / 1000, 'unixepoch') month, {KINDS} {MOVES}
                 GROUP BY 1, 2 ORDER BY 2, 1"
            ))?;
            let mut rows = statement.query(params![workspace.0, partner.0 as i64])?;
            let mut months: Vec<StatementOf> = Vec::new();
            let mut balances: Vec<(Currency, i64)> = Vec::new();
            while let Some(row) = rows.next()? {
                let currency = read_currency(&row.get::<_, String>(0)?);
                let month: String = row.get(1)?;
                let balance = match balances.iter_mut().find(|(of, _)| *of == currency) {
                    Some((_, balance)) => balance,
                    None => {
                        balances.push((currency, 0));
                        &mut balances.last_mut().expect("just pushed").1
                    }
                };
                let (earned, reversed, paid): (i64, i64, i64) = (row.get(2)?, row.get(3)?, row.get(4)?);
                let opening = *balance;
                *balance += row.get::<_, i64>(5)?;
                if (earned, reversed, paid) == (0, 0, 0) {
                    continue;
                }
                let sums = sums(currency, opening, (earned, reversed, paid), *balance);
                match months.last_mut().filter(|last| last.month == month) {
                    Some(last) => last.currencies.push(sums),
                    None => months.push(StatementOf { month, currencies: vec![sums] }),
                }
            }
            months.reverse();
            Ok(months)
        })
    }

    /// What happened in `[from, until)`, each currency by itself; the caller has looked that there is such a partner.
    pub fn statement(
        &self,
        workspace: WorkspaceId,
        partner: PartnerId,
        month: &str,
        (from, until): (Timestamp, Timestamp),
    ) -> Result<Vec<Statement>, ReadError> {
        self.read(|db| {
            let mut statement = db.prepare_cached(&format!(
                "SELECT a.currency, coalesce(sum(e.amount) FILTER (WHERE e.at < ?3), 0) {MOVES} AND e.at < ?4
                 GROUP BY 1 ORDER BY 1"
            ))?;
            let rows = statement
                .query_map(params![workspace.0, partner.0 as i64, from.0, until.0], |row| {
                    Ok((read_currency(&row.get::<_, String>(0)?), row.get(1)?))
                })?;
            let openings: Vec<(Currency, i64)> = rows.collect::<Result<_, _>>()?;
            let mut statements = Vec::new();
            for (currency, opening) in openings {
                let of = Of { workspace, partner, currency, from, until };
                let (kinds, moved) = of.sums(db)?;
                let lines = of.lines(db, opening)?;
                if !lines.is_empty() || opening != 0 {
                    statements.push(Statement {
                        month: month.to_owned(),
                        sums: sums(currency, opening, kinds, opening + moved),
                        lines,
                    });
                }
            }
            Ok(statements)
        })
    }
}

fn sums(
    currency: Currency,
    opening: i64,
    (earned, reversed, paid): (i64, i64, i64),
    closing: i64,
) -> StatementSums {
    let money = |amount| Money { amount, currency };
    StatementSums {
        currency,
        opening: money(opening),
        earned: money(earned),
        reversed: money(reversed),
        paid: money(-paid),
        closing: money(closing),
    }
}

struct Of {
    workspace: WorkspaceId,
    partner: PartnerId,
    currency: Currency,
    from: Timestamp,
    until: Timestamp,
}

impl Of {
    /// What was earned, went back and was paid; and what all that adds.
    fn sums(&self, db: &Connection) -> Result<((i64, i64, i64), i64), StoreError> {
        let sums = db
            .prepare_cached(&format!(
                "SELECT {KINDS} {MOVES} AND a.currency = ?3 AND e.at >= ?4 AND e.at < ?5"
            ))?
            .query_row(
                params![
                    self.workspace.0,
                    self.partner.0 as i64,
                    self.currency.as_str(),
                    self.from.0,
                    self.until.0
                ],
                |row| Ok(((row.get(0)?, row.get(1)?, row.get(2)?), row.get(3)?)),
            )?;
        Ok(sums)
    }

    fn lines(&self, db: &Connection, opening: i64) -> Result<Vec<StatementLine>, StoreError> {
        let mut statement = db.prepare_cached(&format!(
            "SELECT min(e.at), e.what, sum(e.amount) moved, e.conversion, e.commission, e.payout,
                    (SELECT o.name FROM conversions c JOIN orders o ON o.id = c.ord WHERE c.id = e.conversion)
             {MOVES} AND a.currency = ?3 AND e.at >= ?4 AND e.at < ?5
             GROUP BY e.seq, e.what, e.conversion, e.commission, e.payout HAVING moved != 0
             ORDER BY min(e.id) LIMIT ?6"
        ))?;
        let mut rows = statement.query(params![
            self.workspace.0,
            self.partner.0 as i64,
            self.currency.as_str(),
            self.from.0,
            self.until.0,
            STATEMENT_LINES_MAX
        ])?;
        let mut balance = opening;
        let mut lines = Vec::new();
        while let Some(row) = rows.next()? {
            let amount: i64 = row.get(2)?;
            balance += amount;
            let money = |amount| Money { amount, currency: self.currency };
            lines.push(StatementLine {
                at: read_time(row, 0)?,
                what: row.get(1)?,
                amount: money(amount),
                balance: money(balance),
                order_id: row.get(6)?,
                conversion_id: ConversionId(row.get::<_, i64>(3)? as u64).some(),
                commission_id: CommissionId(row.get::<_, i64>(4)? as u64).some(),
                payout_id: PayoutId(row.get::<_, i64>(5)? as u64).some(),
            });
        }
        Ok(lines)
    }
}
