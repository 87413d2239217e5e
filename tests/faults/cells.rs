//! Clicks that are added up beforehand while engine and database are killed: cells answer what single clicks do.

use rustix::process::Signal;
use serde_json::{Value, json};

use crate::clickhouse::{ClickHouse, with_clickhouse};
use crate::engine::{Engine, Settings, runs, signal, wait_for};
use crate::load::{Account, Load, Shop};

/// How often both are killed.
const ROUNDS: u64 = 3;

/// What has cells, and the same by one more field, which has none and only one value here.
const QUESTIONS: &[(&[&str], &[&str])] = &[
    (&["clicks", "visitors", "hits"], &[]),
    (&["clicks", "visitors"], &["time:day"]),
    (&["clicks", "visitors"], &["time:hour"]),
    (&["clicks", "visitors"], &["country"]),
    (&["clicks"], &["link"]),
    (&["clicks"], &["browser"]),
];

fn rows(engine: &Engine, metrics: &[&str], dimensions: &[&str]) -> Vec<Value> {
    let answer = engine.query(&json!({"metrics": metrics, "dimensions": dimensions, "date_range": "7d",
        "timezone": "Asia/Kolkata", "limit": 1_000}));
    let mut rows = answer["rows"].as_array().expect("rows").clone();
    // The order of equals depends on the dimensions.
    rows.sort_by_key(Value::to_string);
    rows
}

fn assert_as_single_clicks(engine: &Engine) {
    for (metrics, dimensions) in QUESTIONS {
        let single: Vec<&str> = std::iter::once("domain").chain(dimensions.iter().copied()).collect();
        let mut by_domain = rows(engine, metrics, &single);
        for row in &mut by_domain {
            row.as_array_mut().expect("a row").remove(0);
        }
        by_domain.sort_by_key(Value::to_string);
        assert_eq!(rows(engine, metrics, dimensions), by_domain, "{metrics:?} by {dimensions:?}");
    }
}

#[test]
fn cells_survive_kills_of_engine_and_database() {
    let data = tempfile::tempdir().unwrap();
    let settings =
        Settings::new(data.path()).with("warehouse.batch_age_ms", "50").with("warehouse.step_entries", "64");
    let mut engine = settings.start();
    let shop = Shop::open(&engine);
    let mut account = Account::default();
    for round in 0..ROUNDS {
        let load = Load::start(&engine, &shop, &format!("cells{round}"));
        wait_for("a step is folded", || (engine.metric("weir_cells_steps_total") >= 1.0).then_some(()));
        let child = wait_for("ClickHouse runs", || engine.clickhouse_pid());
        signal(child, Signal::KILL);
        wait_for("the child is gone", || (!runs(child)).then_some(()));
        let folded = engine.metric("weir_cells_steps_total");
        wait_for("it is folded on", || (engine.metric("weir_cells_steps_total") > folded).then_some(()));
        load.wait_for(50 + 70 * round);
        engine.kill();
        account.add(load.stop());
        engine = settings.start();
        account.tell_the_rest(&engine, &shop.hook);
        assert_as_single_clicks(&engine);
    }
    wait_for("steps are merged", || (engine.metric("weir_cells_merges_total") >= 1.0).then_some(()));
    assert_as_single_clicks(&engine);
    account.assert_exact(&engine, &shop);
    let clicks: i64 = rows(&engine, &["clicks"], &["link"]).iter().filter_map(|row| row[1].as_i64()).sum();
    assert!(clicks >= account.clicks(), "{clicks} of {}", account.clicks());
    assert!(!engine.log().contains("panicked"), "{}", engine.log());
}

/// Entries of a step.
const STEP: u64 = 64;

#[test]
fn a_merge_that_fails_is_told_and_left_while_steps_are_folded_on() {
    let folder = tempfile::tempdir().unwrap();
    let clickhouse = ClickHouse::start(&folder.path().join("clickhouse"));
    let settings = Settings::new(&folder.path().join("data"))
        .with("warehouse.batch_age_ms", "20")
        .with("warehouse.step_entries", &STEP.to_string());
    let settings = with_clickhouse(settings, clickhouse.address);
    let engine = settings.start();
    let shop = Shop::open(&engine);
    wait_for("the tables are there", || (engine.metric("weir_warehouse_up") == 1.0).then_some(()));
    // A cell of a step has no more hits than the step has entries; one of eight steps has.
    clickhouse.run(&format!("ALTER TABLE click_cells ADD CONSTRAINT no_merge CHECK hits <= {STEP}"));
    let load = Load::start(&engine, &shop, "merges");
    let failed = || engine.metric("weir_cells_failures_total");
    let folded = || engine.metric("weir_cells_steps_total");
    let folded_on = || {
        let before = folded();
        wait_for("a step is folded", || (folded() > before).then_some(()));
    };
    let a_merge_fails = (0..20).any(|_| {
        folded_on();
        failed() > 0.0
    });
    assert!(a_merge_fails, "{} merges", engine.metric("weir_cells_merges_total"));
    (0..3).for_each(|_| folded_on());
    let mut account = load.stop();
    assert_eq!(
        (failed(), engine.metric("weir_cells_merges_total")),
        (1.0, 0.0),
        "it was tried again at once"
    );
    let told = engine.log().matches("added-up clicks were not merged").count();
    assert_eq!(told, 1, "{}", engine.log());
    assert_as_single_clicks(&engine);

    // What was wrong is mended, and a start has forgotten that it was.
    let (_, log) = engine.stop();
    assert!(!log.contains("panicked"), "{log}");
    clickhouse.run("ALTER TABLE click_cells DROP CONSTRAINT no_merge");
    let engine = settings.start();
    wait_for("steps are merged", || (engine.metric("weir_cells_merges_total") >= 1.0).then_some(()));
    account.tell_the_rest(&engine, &shop.hook);
    assert_as_single_clicks(&engine);
    account.assert_exact(&engine, &shop);
}
