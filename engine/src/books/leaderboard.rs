//! How partners do: the leaderboard of a program, and one partner's own numbers. From the standings by day and the
//! ledger's accounts, so both cost the same however many sales there were.

use rusqlite::params;
use serde::Serialize;
use weir_schemas::ids::{PartnerId, ProgramId, WorkspaceId};
use weir_schemas::money::{Currency, Money};

use super::commissions::standings;
use super::conversion_row::read_currency;
use super::reads::{ReadError, Reads};

/// One place of the leaderboard.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Place {
    /// From 1.
    pub rank: u32,
    /// Who.
    pub partner_id: PartnerId,
    /// Their name.
    pub name: String,
    /// Their orders.
    pub orders: i64,
    /// Their gross revenue in this currency.
    pub revenue: Money,
}

/// Which leaderboard.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct LeaderboardOf {
    /// Of one program.
    pub program: Option<ProgramId>,
    /// Of one month, as a number: `202611`.
    pub month: Option<i32>,
    /// In one currency.
    pub currency: Option<Currency>,
    /// By orders rather than by revenue.
    pub by_orders: bool,
    /// How many places.
    pub limit: u32,
}

/// What a partner has in one program and currency.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ProgramStanding {
    /// The program.
    pub program_id: ProgramId,
    /// Orders.
    pub orders: i64,
    /// Gross revenue.
    pub revenue: Money,
}

/// One of a partner's balances.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Balance {
    /// `pending`, `approved`, `held`, `processing`, `paid`.
    pub kind: String,
    /// How much.
    pub balance: Money,
}

/// A partner's numbers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct PartnerStats {
    /// Who.
    pub partner_id: PartnerId,
    /// Orders in all programs.
    pub orders: i64,
    /// Gross revenue by currency.
    pub revenue: Vec<Money>,
    /// What was earned by currency, net of reversals: all balances together.
    pub commission: Vec<Money>,
    /// Where it is.
    pub balances: Vec<Balance>,
    /// By program.
    pub programs: Vec<ProgramStanding>,
}

fn add(sums: &mut Vec<Money>, money: Money) {
    match sums.iter_mut().find(|sum| sum.currency == money.currency) {
        Some(sum) => sum.amount += money.amount,
        None => sums.push(money),
    }
}

impl Reads {
    /// The partners of a workspace by what they sold.
    pub fn leaderboard(&self, workspace: WorkspaceId, of: LeaderboardOf) -> Result<Vec<Place>, ReadError> {
        let order = if of.by_orders { "3 DESC, 4 DESC" } else { "4 DESC, 3 DESC" };
        let days = match of.month {
            Some(month) => standings::days_of_months(month..=month),
            None => standings::EVER..=standings::EVER,
        };
        self.read(|db| {
            let mut statement = db.prepare_cached(&format!(
                "SELECT s.partner, s.currency, sum(s.orders), sum(s.revenue), p.spec ->> '$.name'
                 FROM standings s JOIN partners p ON p.id = s.partner
                 WHERE p.workspace = ?1 AND (?2 IS NULL OR s.program = ?2)
                     AND s.day BETWEEN ?3 AND ?6 AND s.partner != 0 AND (?4 IS NULL OR s.currency = ?4)
                 GROUP BY s.partner, s.currency HAVING sum(s.orders) != 0 ORDER BY {order}, s.partner LIMIT ?5"
            ))?;
            let mut rows = statement.query(params![
                workspace.0,
                of.program.map(|id| id.0 as i64),
                days.start(),
                of.currency.map(|currency| currency.as_str().to_owned()),
                of.limit,
                days.end()
            ])?;
            let mut places = Vec::new();
            while let Some(row) = rows.next()? {
                places.push(Place {
                    rank: places.len() as u32 + 1,
                    partner_id: PartnerId(row.get::<_, i64>(0)? as u64),
                    name: row.get(4)?,
                    orders: row.get(2)?,
                    revenue: Money { amount: row.get(3)?, currency: read_currency(&row.get::<_, String>(1)?) },
                });
            }
            Ok(places)
        })
    }

    /// A partner's numbers; the caller has looked that there is such a partner.
    pub fn partner_stats(
        &self,
        workspace: WorkspaceId,
        partner: PartnerId,
    ) -> Result<PartnerStats, ReadError> {
        self.read(|db| {
            let mut stats = PartnerStats {
                partner_id: partner,
                orders: 0,
                revenue: Vec::new(),
                commission: Vec::new(),
                balances: Vec::new(),
                programs: Vec::new(),
            };
            let mut statement = db.prepare_cached(
                "SELECT s.program, s.currency, sum(s.orders), sum(s.revenue)
                 FROM programs p JOIN standings s ON s.program = p.id
                 WHERE p.workspace = ?1 AND s.partner = ?2 AND s.day = 0 GROUP BY 1, 2 ORDER BY 1, 2",
            )?;
            let mut rows = statement.query(params![workspace.0, partner.0 as i64])?;
            while let Some(row) = rows.next()? {
                let currency = read_currency(&row.get::<_, String>(1)?);
                let standing = ProgramStanding {
                    program_id: ProgramId(row.get::<_, i64>(0)? as u64),
                    orders: row.get(2)?,
                    revenue: Money { amount: row.get(3)?, currency },
                };
                stats.orders += standing.orders;
                add(&mut stats.revenue, standing.revenue);
                stats.programs.push(standing);
            }
            let mut statement = db.prepare_cached(
                "SELECT kind, currency, balance FROM accounts
                 WHERE workspace = ?1 AND owner = 'partner' AND owner_id = ?2 ORDER BY currency, kind",
            )?;
            let mut rows = statement.query(params![workspace.0, partner.0 as i64])?;
            while let Some(row) = rows.next()? {
                let currency = read_currency(&row.get::<_, String>(1)?);
                let balance = Money { amount: row.get(2)?, currency };
                add(&mut stats.commission, balance);
                stats.balances.push(Balance { kind: row.get(0)?, balance });
            }
            Ok(stats)
        })
    }
}
