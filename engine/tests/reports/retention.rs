//! Retention.

use std::collections::{BTreeMap, BTreeSet};

use jiff::civil::Date;
use jiff::tz::TimeZone;
use proptest::prelude::*;
use proptest::sample::select;
use serde_json::{Value, json};
use weir_engine::query::reports::retention::{self, Spec};

use crate::deeds::{NOW, What, deeds, for_random_people, range, scope, told};

fn date(at: i64, zone: &TimeZone) -> Date {
    jiff::Timestamp::from_millisecond(at).unwrap().to_zoned(zone.clone()).date()
}

/// The first day of the period of a day, and of the one `ahead`.
fn period_of(date: Date, period: &str, ahead: i64) -> Date {
    let span = jiff::Span::new();
    match period {
        "day" => date.checked_add(span.days(ahead)).unwrap(),
        "week" => {
            let since = i64::from(date.weekday().to_monday_zero_offset());
            date.checked_add(span.days(7 * ahead - since)).unwrap()
        }
        _ => date.first_of_month().checked_add(span.months(ahead)).unwrap(),
    }
}

#[test]
fn retention_counts_as_a_loop_over_everybody_does() {
    let spec = (
        select(&["day", "week", "month"][..]),
        select(&["first", "any"][..]),
        select(&["click", "conversion"][..]),
        select(&["click", "sale"][..]),
        select(&["UTC", "Europe/Berlin", "Asia/Kolkata"][..]),
        (0..6_i64, 20..50_i64, 0..12_i64),
    );
    for_random_people(
        40,
        (deeds(40, 120), prop::collection::vec(spec, 4)),
        async |client, workspace, deeds, specs| {
            for (period, cohort, start, back, zone_name, (from, to, periods)) in specs {
                let asked = json!({"date_range": range(from, to), "timezone": zone_name});
                let body = json!({"start": start, "return": back, "period": period, "periods": periods, "cohort": cohort});
                let spec: Spec = serde_json::from_value(body).unwrap();
                let scope = scope(asked, workspace);
                let report = told(retention::report(client, &scope, &spec, u64::MAX >> 1).await)?;

                let zone = TimeZone::get(zone_name).unwrap();
                let within = scope.range();
                let is = |what: What, step: &str| match what {
                    What::Click => step == "click",
                    What::Convert(event) => {
                        event == step || (step == "conversion" && ["sale", "renewal"].contains(&event))
                    }
                    _ => false,
                };
                let mut starts: BTreeMap<u64, BTreeSet<i64>> = BTreeMap::new();
                let mut backs: BTreeMap<u64, BTreeSet<Date>> = BTreeMap::new();
                for deed in deeds.iter().filter(|deed| deed.at < within.to.0) {
                    if is(deed.what, start) {
                        starts.entry(deed.person()).or_default().insert(deed.at);
                    }
                    // Who comes back does so after the range's start, whichever cohorts there are.
                    if is(deed.what, back) && (deed.at >= within.from.0 || cohort == "first") {
                        backs.entry(deed.person()).or_default().insert(period_of(
                            date(deed.at, &zone),
                            period,
                            0,
                        ));
                    }
                }
                let mut cohorts: BTreeMap<Date, Vec<u64>> = BTreeMap::new();
                for (person, moments) in &starts {
                    let of: BTreeSet<Date> = match cohort {
                        "first" => moments
                            .iter()
                            .take(1)
                            .filter(|at| **at >= within.from.0)
                            .copied()
                            .collect::<Vec<_>>(),
                        _ => moments.iter().filter(|at| **at >= within.from.0).copied().collect(),
                    }
                    .into_iter()
                    .map(|at| period_of(date(at, &zone), period, 0))
                    .collect();
                    of.into_iter().for_each(|day| cohorts.entry(day).or_default().push(*person));
                }
                let mut expected: Vec<Value> = Vec::new();
                let last = date(within.to.0.min(NOW + 1) - 1, &zone);
                for (day, people) in &cohorts {
                    for ahead in 0..=periods {
                        let then = period_of(*day, period, ahead);
                        if then > last {
                            break;
                        }
                        let came = people
                            .iter()
                            .filter(|who| backs.get(who).is_some_and(|days| days.contains(&then)));
                        expected.push(json!([day.to_string(), people.len(), ahead, came.count()]));
                    }
                }
                let got: Vec<Value> = (report.rows.iter())
                    .map(|row| json!([&row[0].as_str().unwrap()[..10], row[1], row[2], row[3]]))
                    .collect();
                prop_assert_eq!(json!(got), json!(expected), "{:?}", spec);
            }
            Ok(())
        },
    );
}
