//! What a partner has in a program: orders and gross revenue by calendar month (UTC). Tiers, statistics and the
//! leaderboard are sums of it.

use jiff::civil::Date;
use jiff::tz::TimeZone;
use rusqlite::params;
use weir_schemas::ids::{PartnerId, ProgramId};
use weir_schemas::money::{Currency, Money};
use weir_schemas::program::TierPeriod;
use weir_schemas::time::Timestamp;

use super::super::apply::Applying;
use super::super::conversion_row::read_currency;
use super::super::outcome::Applied;
use super::terms::Standing;

/// The months of a period, as numbers: `202611`.
type Months = std::ops::RangeInclusive<i32>;

fn date(at: Timestamp) -> Date {
    let time = jiff::Timestamp::from_millisecond(at.0).unwrap_or(jiff::Timestamp::UNIX_EPOCH);
    time.to_zoned(TimeZone::UTC).date()
}

/// The month of a time, as a number: `202611`.
pub(in crate::books) fn month(at: Timestamp) -> i32 {
    let date = date(at);
    i32::from(date.year()) * 100 + i32::from(date.month())
}

/// `at`, so many calendar months later (UTC), on that month's last day where it has no such day.
pub(in crate::books) fn months_later(at: Timestamp, months: u32) -> Timestamp {
    let time = jiff::Timestamp::from_millisecond(at.0).unwrap_or(jiff::Timestamp::UNIX_EPOCH);
    let later = time.to_zoned(TimeZone::UTC).checked_add(jiff::Span::new().months(months));
    Timestamp(later.map_or(i64::MAX, |later| later.timestamp().as_millisecond()))
}

fn months_of(period: TierPeriod, at: Timestamp) -> Months {
    let date = date(at);
    let (year, month) = (i32::from(date.year()) * 100, i32::from(date.month()));
    match period {
        TierPeriod::All => i32::MIN..=i32::MAX,
        TierPeriod::Month => year + month..=year + month,
        TierPeriod::Quarter => {
            let first = (month - 1) / 3 * 3 + 1;
            year + first..=year + first + 2
        }
        TierPeriod::Year => year + 1..=year + 12,
    }
}

/// A partner's orders and revenue over a period.
pub(super) struct Had {
    rows: Vec<(Currency, u64, i64)>,
}

impl Standing for Had {
    fn orders(&self) -> u64 {
        self.rows.iter().map(|(_, orders, _)| orders).sum()
    }

    fn revenue(&self, currency: Currency) -> i64 {
        self.rows.iter().filter(|(of, _, _)| *of == currency).map(|(_, _, revenue)| revenue).sum()
    }
}

/// What the partner has in the period around `at`.
pub(super) fn had(
    tx: &Applying<'_>,
    program: ProgramId,
    partner: PartnerId,
    period: TierPeriod,
    at: Timestamp,
) -> Applied<Had> {
    let months = months_of(period, at);
    let rows = tx
        .db
        .prepare_cached(
            "SELECT currency, sum(orders), sum(revenue) FROM standings
             WHERE program = ?1 AND partner = ?2 AND month BETWEEN ?3 AND ?4 GROUP BY currency",
        )?
        .query_map(params![program.0 as i64, partner.0 as i64, months.start(), months.end()], |row| {
            let currency = read_currency(&row.get::<_, String>(0)?);
            Ok((currency, row.get::<_, i64>(1)?.unsigned_abs(), row.get(2)?))
        })?
        .collect::<Result<_, _>>()?;
    Ok(Had { rows })
}

/// Counts a sale (`sign` 1), or takes it back (-1).
pub(super) fn count(
    tx: &Applying<'_>,
    program: ProgramId,
    partner: PartnerId,
    at: Timestamp,
    sale: Money,
    sign: i64,
) -> Applied<()> {
    tx.db
        .prepare_cached(
            "INSERT INTO standings VALUES (?1, ?2, ?3, ?4, ?5, ?6)
             ON CONFLICT DO UPDATE SET orders = orders + excluded.orders, revenue = revenue + excluded.revenue",
        )?
        .execute(params![
            program.0 as i64,
            partner.0 as i64,
            month(at),
            sale.currency.as_str(),
            sign,
            sign * sale.amount
        ])?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn periods_are_the_calendars() {
        let at = |text: &str| Timestamp::parse(text).unwrap();
        assert_eq!(month(at("2026-12-31T23:59:59.999Z")), 202_612);
        assert_eq!(months_of(TierPeriod::Quarter, at("2026-05-01T00:00:00Z")), 202_604..=202_606);
        assert_eq!(months_of(TierPeriod::Year, at("2026-05-01T00:00:00Z")), 202_601..=202_612);
        assert_eq!(months_later(at("2026-01-31T10:00:00Z"), 1), at("2026-02-28T10:00:00Z"));
    }
}
