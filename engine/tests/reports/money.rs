//! Reports about customers' money.

use std::collections::{BTreeMap, BTreeSet};

use jiff::civil::Date;
use jiff::tz::TimeZone;
use proptest::prelude::*;
use serde_json::{Value, json};
use weir_engine::query::reports::{cohort_revenue, ltv, rfm, subscriptions};

use crate::deeds::{Deed, HOUR, NOW, What, deeds, for_random_people, range, scope, told};

const UPTO: u64 = u64::MAX >> 1;

fn month(at: i64) -> Date {
    let zone = TimeZone::get("Europe/Berlin").unwrap();
    jiff::Timestamp::from_millisecond(at).unwrap().to_zoned(zone).date().first_of_month()
}

fn months_between(from: Date, to: Date) -> i64 {
    (i64::from(to.year()) - i64::from(from.year())) * 12 + i64::from(to.month()) - i64::from(from.month())
}

fn after(month: Date, months: i64) -> Date {
    month.checked_add(jiff::Span::new().months(months)).unwrap()
}

/// Named customers' deeds before `end`, each customer's in order.
fn of_customers(deeds: &[Deed], end: i64) -> BTreeMap<u64, Vec<&Deed>> {
    let mut customers: BTreeMap<u64, Vec<&Deed>> = BTreeMap::new();
    let money = |deed: &&Deed| matches!(deed.what, What::Convert(_) | What::Refund);
    for deed in deeds.iter().filter(money).filter(|deed| deed.customer != 0 && deed.at < end) {
        customers.entry(deed.customer).or_default().push(deed);
    }
    customers
}

fn first(of: &[&Deed]) -> Option<i64> {
    of.iter().filter(|deed| deed.what != What::Refund).map(|deed| deed.at).min()
}

fn sum(of: &[&Deed], which: impl Fn(&Deed) -> bool) -> i64 {
    of.iter().filter(|deed| which(deed)).map(|deed| deed.amount).sum()
}

fn is_return(deed: &Deed) -> bool {
    deed.what == What::Refund
}

#[test]
fn cohorts_and_lifetime_values_are_sums_over_their_customers() {
    let parameters = (0..10_i64, 20..44_i64);
    for_random_people(40, (deeds(44, 90), parameters), async |client, workspace, deeds, (from, to)| {
        let asked = json!({"date_range": range(from, to), "timezone": "Europe/Berlin"});
        let scope = scope(asked, workspace);
        let spec = serde_json::from_value(json!({"period": "month", "periods": 3})).unwrap();
        let cohorts = told(cohort_revenue::report(client, &scope, &spec, UPTO).await)?;
        let whole = told(ltv::report(client, &scope, &ltv::Spec::default(), UPTO).await)?;

        let (begin, end) = (scope.range().from.0, scope.range().to.0);
        let customers = of_customers(deeds, end);
        let won: Vec<(&Vec<&Deed>, i64)> = customers
            .values()
            .filter_map(|of| Some((of, first(of)?)))
            .filter(|(_, at)| *at >= begin)
            .collect();
        let mut expected: Vec<Value> = Vec::new();
        let cohort_months: BTreeSet<Date> = won.iter().map(|(_, at)| month(*at)).collect();
        for cohort in cohort_months {
            let of: Vec<&Vec<&Deed>> =
                won.iter().filter(|(_, at)| month(*at) == cohort).map(|(of, _)| *of).collect();
            let mut so_far = 0;
            for period in 0..=3.min(months_between(cohort, month(end - 1))) {
                let then = after(cohort, period);
                let in_it = |deed: &Deed| month(deed.at) == then;
                let active = of.iter().filter(|of| of.iter().any(|deed| in_it(deed) && deed.is_conversion()));
                let orders: usize = of
                    .iter()
                    .map(|of| of.iter().filter(|deed| in_it(deed) && deed.is_conversion()).count())
                    .sum();
                let revenue: i64 =
                    of.iter().map(|of| sum(of, |deed| in_it(deed) && deed.is_conversion())).sum();
                let back: i64 = of.iter().map(|of| sum(of, |deed| in_it(deed) && is_return(deed))).sum();
                so_far += revenue - back;
                expected.push(json!([
                    cohort.to_string(),
                    of.len(),
                    period,
                    active.count(),
                    orders,
                    revenue,
                    back,
                    revenue - back,
                    so_far
                ]));
            }
        }
        let got: Vec<Value> = (cohorts.rows.iter())
            .map(|row| {
                let mut row = row[..9].to_vec();
                row[0] = json!(&row[0].as_str().unwrap()[..10]);
                json!(row)
            })
            .collect();
        prop_assert_eq!(json!(got), json!(expected));

        let values: Vec<i64> =
            won.iter().map(|(of, _)| sum(of, Deed::is_conversion) - sum(of, is_return)).collect();
        let orders: usize =
            won.iter().map(|(of, _)| of.iter().filter(|deed| deed.is_conversion()).count()).sum();
        let mut sorted = values.clone();
        sorted.sort_unstable();
        let row = &whole.rows[0];
        prop_assert_eq!(&row[0], &json!(won.len()));
        prop_assert_eq!(&row[3], &json!(orders));
        prop_assert_eq!(&row[6], &json!(values.iter().sum::<i64>()));
        prop_assert_eq!(
            &row[8],
            &json!(sorted.get(sorted.len().saturating_sub(1) / 2).copied().unwrap_or(0))
        );
        let spec = serde_json::from_value(json!({"group_by": "medium"})).unwrap();
        let parts = told(ltv::report(client, &scope, &spec, UPTO).await)?;
        let of_parts: i64 = parts.rows.iter().map(|row| row[7].as_i64().unwrap()).sum();
        prop_assert_eq!(of_parts, values.iter().sum::<i64>());
        Ok(())
    });
}

/// The name in general use for scores of recency and frequency.
fn segment(recency: i64, frequency: i64) -> &'static str {
    match (recency, frequency) {
        (5, 4 | 5) => "champions",
        (3 | 4, 4 | 5) => "loyal",
        (4 | 5, 2 | 3) => "potential_loyal",
        (5, 1) => "new",
        (4, 1) => "promising",
        (3, 3) => "need_attention",
        (3, 1 | 2) => "about_to_sleep",
        (1, 5) => "cannot_lose",
        (1 | 2, 3..=5) => "at_risk",
        (1, 1) => "lost",
        _ => "hibernating",
    }
}

#[test]
fn every_customer_has_three_scores_by_fifths() {
    for_random_people(30, (deeds(40, 120), 30..44_i64), async |client, workspace, deeds, to| {
        let scope = scope(json!({"date_range": range(2, to)}), workspace);
        let ask = async |rows: &str| {
            let spec = serde_json::from_value(json!({"rows": rows})).unwrap();
            told(rfm::report(client, &scope, &spec, UPTO).await)
        };
        let (customers, segments) = (ask("customers").await?, ask("segments").await?);
        let (begin, end) = (scope.range().from.0, scope.range().to.0);
        let mut expected: BTreeMap<u64, [i64; 3]> = BTreeMap::new();
        for (id, of) in of_customers(deeds, end) {
            let of: Vec<&Deed> = of.into_iter().filter(|deed| deed.at >= begin).collect();
            let orders: Vec<&&Deed> = of.iter().filter(|deed| deed.is_conversion()).collect();
            if let Some(last) = orders.iter().map(|deed| deed.at).max() {
                let days = (end.min(NOW) - last) / (24 * HOUR);
                let worth = sum(&of, Deed::is_conversion) - sum(&of, is_return);
                expected.insert(id, [days, orders.len() as i64, worth]);
            }
        }
        prop_assert_eq!(customers.rows.len(), expected.len());
        // How many of all are at most as large decides the fifth: the smallest k with at least k fifths of
        // all below the next bound.
        let fifth = |which: usize, value: i64| {
            let mut all: Vec<i64> = expected.values().map(|values| values[which]).collect();
            all.sort_unstable();
            let bound = |k: usize| all[(all.len() * k).div_ceil(5) - 1];
            1 + (1..5).filter(|k| value > bound(*k)).count() as i64
        };
        for row in &customers.rows {
            let id: weir_schemas::ids::CustomerId = row[0].as_str().unwrap().parse().unwrap();
            let [days, orders, worth] = expected[&id.0];
            prop_assert_eq!([&row[5], &row[6], &row[7]], [&json!(days), &json!(orders), &json!(worth)]);
            let scores = [6 - fifth(0, days), fifth(1, orders), fifth(2, worth)];
            prop_assert_eq!(json!(row[1..4]), json!(scores));
            prop_assert_eq!(&row[4], &json!(segment(scores[0], scores[1])));
        }
        let mut named: BTreeMap<&str, (u64, i64)> = BTreeMap::new();
        for row in &customers.rows {
            let named = named.entry(row[4].as_str().unwrap()).or_default();
            *named = (named.0 + 1, named.1 + row[7].as_i64().unwrap());
        }
        let told: BTreeMap<&str, (u64, i64)> = (segments.rows.iter())
            .map(|row| (row[0].as_str().unwrap(), (row[1].as_u64().unwrap(), row[6].as_i64().unwrap())))
            .collect();
        prop_assert_eq!(told, named);
        Ok(())
    });
}

#[test]
fn every_months_recurring_revenue_is_the_last_ones_and_its_changes() {
    for_random_people(40, (deeds(44, 120), Just(())), async |client, workspace, deeds, ()| {
        // Beyond now: the last month asked for is not over.
        let asked = json!({"date_range": range(0, 44), "timezone": "Europe/Berlin"});
        let report =
            told(subscriptions::report(client, &scope(asked, workspace), &Default::default(), UPTO).await)?;
        // Who pays: the customer, else the subscription, else the payment by itself.
        let mut payers: BTreeMap<String, Vec<&Deed>> = BTreeMap::new();
        for deed in deeds.iter().filter(|deed| deed.is_conversion()) {
            let subscription = deed.properties().get("subscription_id").cloned();
            if deed.what != What::Convert("renewal") && subscription.is_none() {
                continue;
            }
            let payer = match (deed.customer, subscription) {
                (0, Some(subscription)) => subscription,
                (0, None) => format!("payment {}", deed.number),
                (customer, _) => format!("customer {customer}"),
            };
            payers.entry(payer).or_default().push(deed);
        }
        let open = month(NOW);
        let mrr = |of: &[&Deed], then: Date| -> i64 {
            let mut of: Vec<&&Deed> = of.iter().collect();
            of.sort_by_key(|deed| {
                let length = if deed.medium == "mail" { 12 } else { 1 };
                (deed.at, length, deed.amount, deed.number)
            });
            let covers = |then: Date| {
                let mut last: BTreeMap<Option<String>, i64> = BTreeMap::new();
                for deed in &of {
                    let length = if deed.medium == "mail" { 12 } else { 1 };
                    let ahead = months_between(month(deed.at), then);
                    if (0..length).contains(&ahead) {
                        let part = deed.amount / length + i64::from(ahead < deed.amount % length);
                        last.insert(deed.properties().get("subscription_id").cloned(), part);
                    }
                }
                last
            };
            let mut now = covers(then);
            if then == open {
                for (key, part) in covers(after(open, -1)) {
                    now.entry(key).or_insert(part);
                }
            }
            now.values().sum()
        };
        // Per payer, what the month before brought and whether any did.
        let mut before: Vec<(i64, bool)> = vec![(0, false); payers.len()];
        for row in &report.rows {
            let then: Date = row[0].as_str().unwrap()[..10].parse().unwrap();
            let of: Vec<i64> = payers.values().map(|of| mrr(of, then)).collect();
            let (all, paying) =
                (of.iter().sum::<i64>(), of.iter().filter(|amount| **amount > 0).count() as i64);
            let [mut new, mut again, mut more, mut less, mut gone] = [0; 5];
            let (mut won, mut lost) = (0, 0);
            for (now, (held, ever)) in of.iter().zip(&before) {
                match (*held, *now) {
                    (0, now) if *ever => again += now,
                    (0, now) => (new, won) = (new + now, won + i64::from(now > 0)),
                    (held, 0) => (gone, lost) = (gone + held, lost + 1),
                    (held, now) => (more, less) = (more + (now - held).max(0), less + (held - now).max(0)),
                }
            }
            let rounded = |part: i64, of: i64| if of == 0 { 0 } else { (2 * part + of) / (2 * of) };
            let held: i64 = before.iter().map(|(held, _)| held).sum();
            let holders = before.iter().filter(|(held, _)| *held > 0).count() as i64;
            let (arpu, churn) = (rounded(all, paying), rounded((gone + less) * 10_000, held));
            let expected = json!([
                all,
                new,
                again,
                more,
                less,
                gone,
                paying,
                won,
                lost,
                arpu,
                rounded(lost * 10_000, holders),
                churn,
                then < open
            ]);
            prop_assert_eq!(json!(row[1..14]), expected, "{}", then);
            before = of.iter().zip(&before).map(|(now, (_, ever))| (*now, *ever || *now > 0)).collect();
        }
        prop_assert_eq!(report.rows.is_empty(), false);
        Ok(())
    });
}
