//! Attribution and paths.

use std::collections::BTreeMap;

use proptest::prelude::*;
use proptest::sample::select;
use serde_json::{Value, json};
use weir_engine::query::reports::{attribution, paths};

use crate::deeds::{Deed, HOUR, What, deeds, for_random_people, range, scope, told};

const UPTO: u64 = u64::MAX >> 1;

struct Journey {
    keys: Vec<&'static str>,
    ago: Vec<i64>,
    revenue: i64,
}

/// Every conversion of the range with what led to it, and per person the clicks that led to none.
fn journeys(deeds: &[Deed], from: i64, to: i64, window: i64) -> (Vec<Journey>, Vec<Vec<&'static str>>) {
    let (mut journeys, mut idle) = (Vec::new(), Vec::new());
    let people: std::collections::BTreeSet<u64> = deeds.iter().map(Deed::person).collect();
    for person in people {
        let of = |deed: &&Deed| deed.person() == person && deed.at >= from - window && deed.at < to;
        let mut clicks: Vec<&Deed> =
            deeds.iter().filter(of).filter(|deed| deed.what == What::Click).collect();
        clicks.sort_by_key(|deed| (deed.at, deed.medium));
        let conversions: Vec<&Deed> =
            deeds.iter().filter(of).filter(|deed| deed.is_conversion() && deed.at >= from).collect();
        let leads = |click: &Deed, to: &Deed| click.at <= to.at && to.at - click.at <= window;
        for conversion in &conversions {
            let led: Vec<&&Deed> = clicks.iter().filter(|click| leads(click, conversion)).collect();
            let (keys, ago) = if led.is_empty() {
                (vec![conversion.medium], vec![0])
            } else {
                (led.iter().map(|c| c.medium).collect(), led.iter().map(|c| conversion.at - c.at).collect())
            };
            journeys.push(Journey { keys, ago, revenue: conversion.amount });
        }
        let none = |click: &&&Deed| click.at >= from && !conversions.iter().any(|to| leads(click, to));
        idle.push(clicks.iter().filter(none).map(|click| click.medium).collect());
    }
    (journeys, idle)
}

fn shares(model: &str, journey: &Journey, half_life: i64) -> Vec<f64> {
    let count = journey.keys.len();
    let raw: Vec<f64> = (0..count)
        .map(|at| match model {
            "first" => f64::from(at == 0),
            "last" => f64::from(at == count - 1),
            "linear" => 1.0,
            "time_decay" => 0.5_f64.powf(journey.ago[at] as f64 / half_life as f64),
            "position" if count <= 2 => 1.0,
            "position" => {
                if at == 0 || at == count - 1 {
                    0.4
                } else {
                    0.2 / (count as f64 - 2.0)
                }
            }
            _ => f64::from(!journey.keys[..at].contains(&journey.keys[at])),
        })
        .collect();
    let sum: f64 = raw.iter().sum();
    raw.iter().map(|weight| weight / sum).collect()
}

/// The probability of a conversion, by walking step after step until hardly anybody walks on.
fn conversion(paths: &[(Vec<&'static str>, bool)], without: Option<&str>) -> f64 {
    let mut at: BTreeMap<&str, f64> = BTreeMap::new();
    let starts = paths.iter().filter(|(path, _)| !path.is_empty()).count() as f64;
    for (path, _) in paths.iter().filter(|(path, _)| !path.is_empty()) {
        *at.entry(path[0]).or_default() += 1.0 / starts;
    }
    let mut converted = 0.0;
    for _ in 0..20_000 {
        let mut next: BTreeMap<&str, f64> = BTreeMap::new();
        for (key, mass) in at.iter().filter(|(key, _)| Some(**key) != without) {
            let mut ways: BTreeMap<Option<&str>, f64> = BTreeMap::new();
            let (mut all, mut ended) = (0.0, 0.0);
            for (path, success) in paths {
                for (index, _) in path.iter().enumerate().filter(|(_, step)| *step == key) {
                    all += 1.0;
                    match path.get(index + 1) {
                        Some(step) => *ways.entry(Some(step)).or_default() += 1.0,
                        None if *success => ended += 1.0,
                        None => {}
                    }
                }
            }
            converted += mass * ended / all;
            for (step, count) in ways {
                *next.entry(step.unwrap()).or_default() += mass * count / all;
            }
        }
        at = next;
        if at.values().sum::<f64>() < 1e-12 {
            break;
        }
    }
    converted
}

#[test]
fn every_models_credit_is_that_of_a_loop_and_adds_up_exactly() {
    let parameters = (0..4_i64, 10..16_i64, select(&[6_i64, 48, 120][..]), select(&[3_i64, 24][..]));
    for_random_people(
        40,
        (deeds(14, 90), parameters),
        async |client, workspace, deeds, (from, to, hours, half)| {
            let scope = scope(json!({"date_range": range(from, to)}), workspace);
            let body = json!({"dimension": "medium", "window": format!("{hours}h"), "half_life": format!("{half}h")});
            let spec = serde_json::from_value(body).unwrap();
            let report = told(attribution::report(client, &scope, &spec, UPTO).await)?;
            let (begin, end) = (scope.range().from.0, scope.range().to.0);
            let (journeys, idle) = journeys(deeds, begin, end, hours * HOUR);
            let revenue: i64 = journeys.iter().map(|journey| journey.revenue).sum();
            prop_assert_eq!(
                &report.more["totals"],
                &json!({"conversions": journeys.len(), "revenue": revenue})
            );

            let mut paths: Vec<(Vec<&'static str>, bool)> = Vec::new();
            paths.extend(journeys.iter().map(|journey| (journey.keys.clone(), true)));
            paths.extend(idle.into_iter().map(|keys| (keys, false)));
            paths.iter_mut().for_each(|(path, _)| path.dedup());
            let keys: std::collections::BTreeSet<&str> =
                paths.iter().flat_map(|(path, _)| path.clone()).collect();
            let whole = conversion(&paths, None);
            let effects: BTreeMap<&str, f64> = (keys.iter())
                .map(|key| {
                    (*key, if whole > 0.0 { 1.0 - conversion(&paths, Some(key)) / whole } else { 0.0 })
                })
                .collect();
            let all: f64 = effects.values().sum();
            for model in ["first", "last", "linear", "time_decay", "position", "markov", "shapley"] {
                let rows: Vec<&Vec<Value>> =
                    report.rows.iter().filter(|row| row[0] == json!(model)).collect();
                let millionths: i64 =
                    rows.iter().map(|row| (row[2].as_f64().unwrap() * 1e6).round() as i64).sum();
                let given: i64 = rows.iter().map(|row| row[3].as_i64().unwrap()).sum();
                prop_assert_eq!(
                    (millionths, given),
                    (journeys.len() as i64 * 1_000_000, revenue),
                    "{}",
                    model
                );
                for row in rows {
                    let key = row[1].as_str().unwrap();
                    let (mut conversions, mut amount) = (0.0, 0.0);
                    if model == "markov" {
                        let share = if all > 0.0 { effects[key] / all } else { 0.0 };
                        (conversions, amount) = (share * journeys.len() as f64, share * revenue as f64);
                    } else {
                        for journey in &journeys {
                            for (at, share) in shares(model, journey, half * HOUR).into_iter().enumerate() {
                                if journey.keys[at] == key {
                                    conversions += share;
                                    amount += share * journey.revenue as f64;
                                }
                            }
                        }
                    }
                    // Each journey rounds by less than one unit per touch.
                    let touches: usize = journeys.iter().map(|journey| journey.keys.len()).sum();
                    let slack = touches as f64 + 2.0;
                    let (got, paid) = (row[2].as_f64().unwrap(), row[3].as_i64().unwrap() as f64);
                    prop_assert!(
                        (got - conversions).abs() <= slack * 1e-6,
                        "{} {}: {} {}",
                        model,
                        key,
                        got,
                        conversions
                    );
                    prop_assert!((paid - amount).abs() <= slack, "{} {}: {} {}", model, key, paid, amount);
                }
            }
            Ok(())
        },
    );
}

#[test]
fn paths_are_counted_as_they_were_gone() {
    let parameters = (select(&[6_i64, 48, 240][..]), 1..4_usize);
    for_random_people(25, (deeds(14, 90), parameters), async |client, workspace, deeds, (hours, touches)| {
        let scope = scope(json!({"date_range": range(2, 14)}), workspace);
        let body = json!({"window": format!("{hours}h"), "touches": touches, "limit": 10_000});
        let report = told(paths::report(client, &scope, &serde_json::from_value(body).unwrap(), UPTO).await)?;
        let (journeys, _) = journeys(deeds, scope.range().from.0, scope.range().to.0, hours * HOUR);
        // How often, what it brought, and how long it took from its first click.
        let mut ways: BTreeMap<(String, usize), (i64, i64, i64)> = BTreeMap::new();
        for journey in journeys {
            let mut keys = journey.keys.clone();
            keys.dedup();
            let names: Vec<&str> =
                keys.iter().map(|key| if key.is_empty() { "(none)" } else { *key }).collect();
            let more = if names.len() > touches { "… > " } else { "" };
            let text = format!("{more}{}", names[names.len().saturating_sub(touches)..].join(" > "));
            let way = ways.entry((text, names.len())).or_default();
            *way = (way.0 + 1, way.1 + journey.revenue, way.2 + journey.ago[0]);
        }
        ways.values_mut().for_each(|way| way.2 = (2 * way.2 + way.0) / (2 * way.0));
        let got: BTreeMap<(String, usize), (i64, i64, i64)> = (report.rows.iter())
            .map(|row| {
                let key = (row[0].as_str().unwrap().to_owned(), row[1].as_u64().unwrap() as usize);
                let number = |cell: usize| row[cell].as_i64().unwrap();
                (key, (number(2), number(3), number(4)))
            })
            .collect();
        prop_assert_eq!(got, ways);
        Ok(())
    });
}
