//! What there is in a program: orders, gross revenue, signups and what was given in commissions, for each
//! partner and for all of them together, by day (UTC) and ever. Tiers, caps, milestones, statistics and the
//! leaderboard are sums of it.
//!
//! A sale counts as long as it is credited, under the day on which it happened; what goes back of it changes nothing.
//!
//! The writer remembers days and the sums of all days ([`memory`]); what asks for months reads the table.

use std::ops::RangeInclusive;

use jiff::civil::Date;
use jiff::tz::TimeZone;
use rusqlite::{Connection, params};
use weir_schemas::ids::{PartnerId, ProgramId};
use weir_schemas::money::{Currency, Money};
use weir_schemas::program::{Scope, Span, TierPeriod};
use weir_schemas::time::Timestamp;

use super::super::apply::Applying;
use super::super::conversion_row::read_currency;
use super::super::outcome::{Applied, StoreError};
use super::terms::Standing;

mod memory;

pub(in crate::books) use memory::Standings;

/// Stands for all partners of a program.
pub(in crate::books) const EVERYONE: PartnerId = PartnerId::NONE;
/// Stands for all days.
pub(in crate::books) const EVER: i32 = 0;

/// Days as numbers: `20261121`.
type Days = RangeInclusive<i32>;

fn date(at: Timestamp) -> Date {
    let time = jiff::Timestamp::from_millisecond(at.0).unwrap_or(jiff::Timestamp::UNIX_EPOCH);
    time.to_zoned(TimeZone::UTC).date()
}

/// The day of a time, as a number: `20261121`.
pub(in crate::books) fn day(at: Timestamp) -> i32 {
    let date = date(at);
    (i32::from(date.year()) * 100 + i32::from(date.month())) * 100 + i32::from(date.day())
}

/// `at`, so many calendar months later (UTC), on that month's last day where it has no such day.
pub(in crate::books) fn months_later(at: Timestamp, months: u32) -> Timestamp {
    let time = jiff::Timestamp::from_millisecond(at.0).unwrap_or(jiff::Timestamp::UNIX_EPOCH);
    let later = time.to_zoned(TimeZone::UTC).checked_add(jiff::Span::new().months(months));
    Timestamp(later.map_or(i64::MAX, |later| later.timestamp().as_millisecond()))
}

/// The days of months as numbers, such as `202610..=202612`.
pub(in crate::books) fn days_of_months(months: RangeInclusive<i32>) -> Days {
    months.start() * 100..=months.end() * 100 + 99
}

fn days_of(period: TierPeriod, at: Timestamp) -> Days {
    let date = date(at);
    let (year, month) = (i32::from(date.year()) * 100, i32::from(date.month()));
    days_of_months(match period {
        TierPeriod::All => return EVER..=EVER,
        TierPeriod::Month => year + month..=year + month,
        TierPeriod::Quarter => {
            let first = (month - 1) / 3 * 3 + 1;
            year + first..=year + first + 2
        }
        TierPeriod::Year => year + 1..=year + 12,
    })
}

/// Which day, month or all of time a span around `at` is: `20261121`, `202611`, 0.
pub(in crate::books) fn span_key(span: Span, at: Timestamp) -> i32 {
    match span {
        Span::Day => day(at),
        Span::Month => day(at) / 100,
        Span::Program => EVER,
    }
}

/// That key as the contract has it: `2026-11-21`, `2026-11`, nothing.
pub(in crate::books) fn span_name(span: Span, key: i32) -> Option<String> {
    match span {
        Span::Day => Some(format!("{:04}-{:02}-{:02}", key / 10_000, key / 100 % 100, key % 100)),
        Span::Month => Some(format!("{:04}-{:02}", key / 100, key % 100)),
        Span::Program => None,
    }
}

/// Its days.
pub(in crate::books) fn days_of_span(span: Span, key: i32) -> Days {
    match span {
        Span::Month => days_of_months(key..=key),
        Span::Day | Span::Program => key..=key,
    }
}

/// Whose rows a scope reads.
pub(in crate::books) fn subject(scope: Scope, partner: PartnerId) -> PartnerId {
    if scope == Scope::Program { EVERYONE } else { partner }
}

/// A partner's orders and revenue over a period.
pub(in crate::books) struct Had {
    rows: Vec<(Currency, u64, i64)>,
}

impl Had {
    fn of(rows: Vec<(Currency, Counted)>) -> Self {
        let row = |(currency, of): (Currency, Counted)| (currency, of.orders.unsigned_abs(), of.revenue);
        Self { rows: rows.into_iter().map(row).collect() }
    }

    /// Revenue by currency.
    pub(in crate::books) fn revenues(&self) -> Vec<Money> {
        let paid = self.rows.iter().filter(|(currency, ..)| *currency != Currency::NONE);
        paid.map(|&(currency, _, amount)| Money { amount, currency }).collect()
    }
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
    Ok(Had::of(over(tx, program, partner, &days_of(period, at))?))
}

/// As [`had`], by what is written.
pub(in crate::books) fn had_by(
    db: &Connection,
    program: ProgramId,
    partner: PartnerId,
    period: TierPeriod,
    at: Timestamp,
) -> Result<Had, StoreError> {
    Ok(Had::of(written(db, program, partner, &days_of(period, at))?))
}

/// What was given in commissions in this currency over a span.
pub(super) fn given(
    tx: &Applying<'_>,
    program: ProgramId,
    of: PartnerId,
    days: &Days,
    currency: Currency,
) -> Applied<i64> {
    let rows = over(tx, program, of, days)?;
    Ok(rows.iter().filter(|(in_this, _)| *in_this == currency).map(|(_, counted)| counted.given).sum())
}

/// What is counted over these days, by currency.
pub(in crate::books) fn over(
    tx: &Applying<'_>,
    program: ProgramId,
    of: PartnerId,
    days: &Days,
) -> Applied<Vec<(Currency, Counted)>> {
    let mut standings = tx.memory.standings.borrow_mut();
    if days.start() == days.end() {
        return Ok(standings.at(tx.db, (program, of, *days.start()))?.collect());
    }
    standings.write_back(tx.db)?;
    Ok(written(tx.db, program, of, days)?)
}

fn written(
    db: &Connection,
    program: ProgramId,
    of: PartnerId,
    days: &Days,
) -> Result<Vec<(Currency, Counted)>, StoreError> {
    let rows = db
        .prepare_cached(
            "SELECT currency, sum(orders), sum(revenue), sum(signups), sum(given) FROM standings
             WHERE program = ?1 AND partner = ?2 AND day BETWEEN ?3 AND ?4 GROUP BY currency",
        )?
        .query_map(params![program.0 as i64, of.0 as i64, days.start(), days.end()], |row| {
            let (orders, revenue, signups, given) = (row.get(1)?, row.get(2)?, row.get(3)?, row.get(4)?);
            let counted = Counted { orders, revenue, signups, given };
            Ok((read_currency(row.get_ref(0)?.as_str()?), counted))
        })?
        .collect::<Result<_, _>>()?;
    Ok(rows)
}

/// What one thing adds.
#[derive(Debug, Clone, Copy, Default)]
pub(in crate::books) struct Counted {
    /// 1 for a sale.
    pub(in crate::books) orders: i64,
    /// Its gross amount.
    pub(in crate::books) revenue: i64,
    /// 1 for a signup.
    pub(in crate::books) signups: i64,
    /// Its commission with the platform's fee, before anything goes back.
    pub(in crate::books) given: i64,
}

/// Counts something (`sign` 1), or takes it back (-1).
pub(in crate::books) fn count(
    tx: &Applying<'_>,
    program: ProgramId,
    partner: PartnerId,
    at: Timestamp,
    currency: Currency,
    counted: Counted,
    sign: i64,
) -> Applied<()> {
    let mut standings = tx.memory.standings.borrow_mut();
    for of in [partner, EVERYONE] {
        for day in [day(at), EVER] {
            standings.add(tx.db, (program, of, day), currency, counted.times(sign))?;
        }
    }
    tx.memory.changed();
    Ok(())
}

impl Counted {
    fn times(self, sign: i64) -> Self {
        let Self { orders, revenue, signups, given } = self;
        Self { orders: sign * orders, revenue: sign * revenue, signups: sign * signups, given: sign * given }
    }

    fn plus(self, more: Self) -> Self {
        Self {
            orders: self.orders + more.orders,
            revenue: self.revenue + more.revenue,
            signups: self.signups + more.signups,
            given: self.given + more.given,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn periods_are_the_calendars() {
        let at = |text: &str| Timestamp::parse(text).unwrap();
        assert_eq!(day(at("2026-12-31T23:59:59.999Z")), 20_261_231);
        assert_eq!(days_of(TierPeriod::Quarter, at("2026-05-01T00:00:00Z")), 20_260_400..=20_260_699);
        assert_eq!(days_of(TierPeriod::Year, at("2026-05-01T00:00:00Z")), 20_260_100..=20_261_299);
        assert_eq!(months_later(at("2026-01-31T10:00:00Z"), 1), at("2026-02-28T10:00:00Z"));
        let noon = at("2026-05-09T12:00:00Z");
        let names = [Span::Day, Span::Month, Span::Program].map(|span| span_name(span, span_key(span, noon)));
        assert_eq!(names, [Some("2026-05-09".to_owned()), Some("2026-05".to_owned()), None]);
    }
}
