//! Experiments, and where clicks are.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;
use serde_json::{Value, json};
use weir_engine::query::reports::{experiment, heatmap};

use crate::deeds::{Deed, What, deeds, for_random_people, range, scope, told};

const UPTO: u64 = u64::MAX >> 1;

#[test]
fn a_visitor_belongs_to_the_arm_of_the_first_click() {
    for_random_people(30, (deeds(14, 90), Just(())), async |client, workspace, deeds, ()| {
        let scope = scope(json!({"date_range": range(0, 12)}), workspace);
        let spec = serde_json::from_value(json!({})).unwrap();
        let report = told(experiment::report(client, &scope, &spec, UPTO).await)?;
        let within = |deed: &&Deed| deed.at < scope.range().to.0;
        let mut arms: BTreeMap<&str, [i64; 4]> = BTreeMap::new();
        let mut crossed = 0;
        let visitors: BTreeSet<u64> =
            deeds.iter().filter(within).filter(|d| d.what == What::Click).map(|d| d.visitor).collect();
        for visitor in visitors {
            let of = || deeds.iter().filter(within).filter(|deed| deed.person() == visitor);
            let clicks: Vec<&Deed> = of().filter(|deed| deed.what == What::Click).collect();
            let first = clicks.iter().min_by_key(|deed| (deed.at, deed.variant)).unwrap();
            crossed += u64::from(clicks.iter().any(|click| click.variant != first.variant));
            let after: Vec<&Deed> = of().filter(|deed| deed.is_conversion() && deed.at >= first.at).collect();
            let arm = arms.entry(first.variant).or_default();
            arm[0] += 1;
            arm[1] += i64::from(!after.is_empty());
            arm[2] += after.len() as i64;
            arm[3] += after.iter().map(|deed| deed.amount).sum::<i64>();
        }
        let got: BTreeMap<&str, [i64; 4]> = (report.rows.iter())
            .map(|row| {
                (row[0].as_str().unwrap(), [1, 2, 3, 5].map(|cell: usize| row[cell].as_i64().unwrap()))
            })
            .collect();
        prop_assert_eq!(got, arms);
        prop_assert_eq!(&report.more["crossed_over"], &json!(crossed));
        Ok(())
    });
}

#[test]
fn places_add_up_at_every_zoom() {
    for_random_people(10, (deeds(14, 90), Just(())), async |client, workspace, deeds, ()| {
        let clicks = deeds.iter().filter(|deed| deed.what == What::Click).count();
        for (zoom, columns) in [(0, 3), (4, 4), (7, 5), (12, 6)] {
            let spec = serde_json::from_value(json!({"zoom": zoom, "max_cells": 1})).unwrap();
            let scope = scope(json!({"date_range": range(0, 20)}), workspace);
            let report = told(heatmap::report(client, &scope, &spec, UPTO).await)?;
            let names = report.columns.iter().map(|column| column.name.clone()).collect::<Vec<_>>();
            prop_assert_eq!(names.len(), columns);
            let told: u64 = report.rows.iter().map(|row| row[names.len() - 2].as_u64().unwrap()).sum();
            let omitted = report.more["omitted"]["clicks"].as_u64().unwrap();
            prop_assert_eq!(told + omitted, clicks as u64);
        }
        let scope = scope(json!({"date_range": range(0, 20)}), workspace);
        let spec = serde_json::from_value(json!({"zoom": 4})).unwrap();
        let countries = told(heatmap::report(client, &scope, &spec, UPTO).await)?;
        let mut clicks: BTreeMap<&str, Vec<u64>> = BTreeMap::new();
        for deed in deeds.iter().filter(|deed| deed.what == What::Click) {
            clicks.entry(deed.medium).or_default().push(deed.visitor);
        }
        let visitors = |of: &Vec<u64>| of.iter().collect::<BTreeSet<_>>().len();
        let expected: BTreeMap<&str, Value> =
            clicks.iter().map(|(place, of)| (*place, json!([of.len(), visitors(of)]))).collect();
        let got: BTreeMap<&str, Value> =
            countries.rows.iter().map(|row| (row[1].as_str().unwrap(), json!(row[2..4]))).collect();
        prop_assert_eq!(got, expected);

        let page: Value = json!({"kind": "page", "path": "/", "columns": 10, "cell_height": 100});
        let report =
            told(heatmap::report(client, &scope, &serde_json::from_value(page).unwrap(), UPTO).await)?;
        let mut expected: BTreeMap<(i64, i64), u64> = BTreeMap::new();
        for tap in deeds.iter().filter(|deed| deed.what == What::Page("tap")) {
            // The page was 1,000 pixels wide; what lies beyond is in its last column.
            *expected.entry(((tap.amount / 100).min(9), tap.amount / 100)).or_default() += 1;
        }
        let got: BTreeMap<(i64, i64), u64> = (report.rows.iter())
            .map(|row| ((row[0].as_i64().unwrap(), row[1].as_i64().unwrap()), row[2].as_u64().unwrap()))
            .collect();
        prop_assert_eq!(got, expected);
        Ok(())
    });
}
