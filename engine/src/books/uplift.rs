//! What cashback brings: the customers who got some from a program beside those who bought without. A comparison, not
//! a proof: who takes cashback may be another kind of customer; an experiment tells cause.

use rusqlite::params;
use serde::Serialize;
use weir_schemas::ids::{ProgramId, WorkspaceId};
use weir_schemas::money::{Currency, Money, share};
use weir_schemas::program::WHOLE_BP;
use weir_schemas::time::Timestamp;

use super::conversion_row::read_currency;
use super::reads::{ReadError, Reads};

/// Customers of one kind and what they bought.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Buyers {
    /// How many bought something.
    pub customers: i64,
    /// How many of them more than once.
    pub repeat_customers: i64,
    /// What they bought.
    pub orders: i64,
    /// Gross.
    pub revenue: Money,
    /// What they got back of it, net of what was taken back.
    pub cashback: Money,
    /// Revenue by order.
    pub average_order: Option<Money>,
    /// Revenue by customer.
    pub revenue_per_customer: Option<Money>,
    /// Who bought again, in basis points.
    pub repeat_rate_bp: Option<i64>,
}

/// By how much the one kind has more than the other, in basis points of the other; `None` where one is empty.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Uplift {
    /// Of revenue by customer.
    pub revenue_per_customer_bp: Option<i64>,
    /// Of orders by customer.
    pub orders_per_customer_bp: Option<i64>,
    /// Of revenue by order.
    pub average_order_bp: Option<i64>,
    /// Of the part that bought again.
    pub repeat_rate_bp: Option<i64>,
}

/// The comparison in one currency.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct CashbackUplift {
    /// Which.
    pub currency: Currency,
    /// Who got cashback from the program.
    pub with_cashback: Buyers,
    /// Who bought in the same time and got none from it.
    pub without_cashback: Buyers,
    /// How they differ.
    pub uplift: Uplift,
}

impl Buyers {
    fn none(currency: Currency) -> Self {
        Self::of(currency, [0; 5])
    }

    fn of(currency: Currency, [customers, repeat_customers, orders, revenue, cashback]: [i64; 5]) -> Self {
        let money = |amount| Money { amount, currency };
        Self {
            customers,
            repeat_customers,
            orders,
            revenue: money(revenue),
            cashback: money(cashback),
            average_order: share(revenue, 1, orders).map(money),
            revenue_per_customer: share(revenue, 1, customers).map(money),
            repeat_rate_bp: share(repeat_customers, i64::from(WHOLE_BP), customers),
        }
    }
}

/// By how much `a ÷ b` exceeds `c ÷ d`, in basis points of the latter, half away from zero.
fn beyond((a, b): (i64, i64), (c, d): (i64, i64)) -> Option<i64> {
    let (one, other) = (i128::from(a) * i128::from(d), i128::from(c) * i128::from(b));
    if b == 0 || other == 0 {
        return None;
    }
    let scaled = (one - other).checked_mul(i128::from(WHOLE_BP))?;
    let half = if scaled < 0 { -other } else { other };
    i64::try_from((2 * scaled + half) / (2 * other)).ok()
}

fn uplift(with: &Buyers, without: &Buyers) -> Uplift {
    let of = |part: fn(&Buyers) -> (i64, i64)| beyond(part(with), part(without));
    Uplift {
        revenue_per_customer_bp: of(|buyers| (buyers.revenue.amount, buyers.customers)),
        orders_per_customer_bp: of(|buyers| (buyers.orders, buyers.customers)),
        average_order_bp: of(|buyers| (buyers.revenue.amount, buyers.orders)),
        repeat_rate_bp: of(|buyers| (buyers.repeat_customers, buyers.customers)),
    }
}

impl Reads {
    /// What the program's cashback brought in `[from, until)`, by currency; the caller has looked that there is such a
    /// program. Sales without a customer count for neither side.
    pub fn cashback_uplift(
        &self,
        workspace: WorkspaceId,
        program: ProgramId,
        (from, until): (Timestamp, Timestamp),
    ) -> Result<Vec<CashbackUplift>, ReadError> {
        self.read(|db| {
            let mut statement = db.prepare_cached(
                "SELECT currency, got, count(*), sum(orders > 1), sum(orders), sum(revenue), sum(cashback) FROM (
                     SELECT c.currency, max(g.id IS NOT NULL) got, count(*) orders, sum(c.amount) revenue,
                            coalesce(sum(g.earned), 0) cashback
                     FROM conversions c LEFT JOIN earnings g
                         ON g.conversion = c.id AND g.program = ?2 AND g.kind = 'cashback' AND g.live
                     WHERE c.workspace = ?1 AND c.event IN ('sale', 'renewal') AND c.merged_into IS NULL
                         AND c.customer IS NOT NULL AND c.amount IS NOT NULL
                         AND c.occurred_at >= ?3 AND c.occurred_at < ?4
                     GROUP BY c.customer, c.currency)
                 GROUP BY 1, 2 ORDER BY 1, 2",
            )?;
            let mut rows =
                statement.query(params![workspace.0, program.0 as i64, from.0, until.0])?;
            let mut found: Vec<CashbackUplift> = Vec::new();
            while let Some(row) = rows.next()? {
                let currency = read_currency(&row.get::<_, String>(0)?);
                let buyers = Buyers::of(
                    currency,
                    [row.get(2)?, row.get(3)?, row.get(4)?, row.get(5)?, row.get(6)?],
                );
                if found.last().is_none_or(|last| last.currency != currency) {
                    let none = Buyers::none(currency);
                    let uplift = uplift(&none, &none);
                    found.push(CashbackUplift {
                        currency,
                        with_cashback: none,
                        without_cashback: none,
                        uplift,
                    });
                }
                let last = found.last_mut().expect("just pushed");
                if row.get(1)? {
                    last.with_cashback = buyers;
                } else {
                    last.without_cashback = buyers;
                }
                last.uplift = uplift(&last.with_cashback, &last.without_cashback);
            }
            Ok(found)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_mean_beside_another() {
        assert_eq!(beyond((300, 2), (100, 1)), Some(5_000), "150 beside 100");
        assert_eq!(beyond((1, 3), (1, 2)), Some(-3_333));
        assert_eq!(beyond((2, 3), (1, 1)), Some(-3_333));
        assert_eq!(beyond((1, 6), (1, 1)), Some(-8_333));
        assert_eq!(beyond((7, 6), (1, 1)), Some(1_667), "half away from zero");
        assert_eq!(beyond((1, 0), (1, 1)), None);
        assert_eq!(beyond((1, 1), (0, 1)), None);
    }
}
