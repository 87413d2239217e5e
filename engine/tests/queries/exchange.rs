//! Amounts of several currencies as one: states in memory against exact fractions of whole numbers.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use proptest::prelude::*;
use proptest::sample::select;
use serde_json::{Value, json};
use weir_engine::fx::{FxTable, Quoted};
use weir_engine::query::fold::RowStates;
use weir_engine::query::plan::Plan;
use weir_schemas::fx::{Day, Rate};
use weir_schemas::money::Currency;
use weir_schemas::query::Query;

use crate::facts::{Entry, TIMES, WORKSPACE, entries};
use crate::folding::{NOW, add};

/// A table whose base is the euro: a rate for most days, and long gaps.
pub(crate) fn rates() -> impl Strategy<Value = FxTable> {
    let day = (select(TIMES), 0..40_i32).prop_map(|(from, hour)| Day((from / 86_400_000) as i32 + hour / 24));
    let rate = (day, select(&["USD", "JPY"][..]), 1_u32..40_000);
    (prop::collection::vec(rate, 0..12), select(&[Currency::USD, Currency::EUR][..])).prop_map(
        |(rates, reporting)| {
            let mut by_currency: HashMap<Currency, BTreeMap<Day, Rate>> = HashMap::new();
            for (day, code, hundredths) in rates {
                let text = format!("{}.{:02}", hundredths / 100, hundredths % 100);
                by_currency.entry(code.parse().unwrap()).or_default().insert(day, text.parse().unwrap());
            }
            let quoted = |(day, rate)| Quoted { day, rate, source: 0 };
            FxTable {
                version: 7,
                base: Some(Currency::EUR),
                reporting,
                sources: vec!["ECB".to_owned()],
                rates: by_currency
                    .into_iter()
                    .map(|(currency, days)| (currency, days.into_iter().map(quoted).collect()))
                    .collect(),
            }
        },
    )
}

/// The euro's price in dollars, in hundredths, that holds on a day.
fn price(table: &FxTable, day: i32) -> Option<i128> {
    let held = table.rates.get(&Currency::USD)?.iter().rfind(|quoted| quoted.day.0 <= day)?;
    let text = held.rate.to_string();
    let (whole, part) = text.split_once('.').unwrap_or((&text, "0"));
    let hundredths = whole.parse::<i128>().unwrap() * 100 + format!("{part:0<2}").parse::<i128>().unwrap();
    (day - held.day.0 <= 7).then_some(hundredths)
}

/// Hundredths of a cent into cents, half away from zero.
fn cents(hundredths: i128) -> i128 {
    let away = if hundredths < 0 { -50 } else { 50 };
    (hundredths + away) / 100
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1_500, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn memory_converts_as_fractions_do(entries in entries(), table in rates()) {
        let query: Query = serde_json::from_value(json!({
            "metrics": ["revenue", "refunds", "net_revenue", "commission", "margin"], "date_range": "all",
            "dimensions": ["event"], "order_by": [["event", "asc"]], "include": {"total": true}, "currency": "USD",
        })).unwrap();
        let plan = Plan::build(&query, WORKSPACE, NOW, None).unwrap().with_rates(Some(Arc::new(table.clone())));
        let mut states = RowStates::new(Arc::new(plan));
        entries.iter().for_each(|entry| add(&mut states, entry));

        // By event: revenue, refunds and commission in hundredths of a cent, or nothing where a rate is missing.
        let mut sums: BTreeMap<String, Option<[i128; 3]>> = BTreeMap::new();
        let mut exists: BTreeMap<String, [i128; 6]> = BTreeMap::new();
        for entry in &entries {
            let Entry::Effect(effect) = entry else { continue };
            if effect.verdict.is_some() {
                continue;
            }
            let change = effect.change;
            let amounts = [change.revenue, change.refunds, change.commission].map(i128::from);
            let factor = match effect.currency {
                Currency::USD => Some(100),
                Currency::EUR => price(&table, (effect.at.0 / 86_400_000) as i32),
                _ => Some(0),
            };
            let sum = sums.entry(effect.event.clone()).or_insert(Some([0; 3]));
            match factor {
                Some(factor) => if let Some(sum) = sum {
                    sum.iter_mut().zip(amounts).for_each(|(sum, amount)| *sum += amount * factor);
                },
                None if amounts == [0; 3] => {}
                None => *sum = None,
            }
            let held = exists.entry(effect.event.clone()).or_default();
            for (at, amount) in amounts.into_iter().enumerate() {
                held[at] += amount;
                held[at + 3] += amount * factor.unwrap_or(0);
            }
        }
        let row = |sum: &Option<[i128; 3]>| -> Vec<Value> {
            let Some(sum) = sum else { return vec![Value::Null; 5] };
            let [revenue, refunds, commission] = sum.map(cents);
            [revenue, refunds, revenue - refunds, commission, revenue - refunds - commission]
                .map(|cents| json!(cents as i64)).to_vec()
        };
        let expected: Vec<Vec<Value>> = sums
            .iter()
            .filter(|(event, _)| exists[*event] != [0; 6])
            .map(|(event, sum)| std::iter::once(json!(event)).chain(row(sum)).collect())
            .collect();
        prop_assert_eq!(states.rows(), expected);
        let whole = sums.values().try_fold([0; 3], |mut all, sum| {
            all.iter_mut().zip((*sum)?).for_each(|(all, sum): (&mut i128, i128)| *all += sum);
            Some(all)
        });
        prop_assert_eq!(states.totals().unwrap(), row(&whole));
    }
}
