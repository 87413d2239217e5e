//! `kill -9` under load.

use crate::engine::{Settings, exited_with, run, runs, signal, token_of, wait_for};
use crate::load::{Account, Load, Shop};
use rustix::process::Signal;
use serde_json::json;

/// How often the engine is killed.
const ROUNDS: u64 = 4;

#[test]
fn a_killed_engine_has_lost_and_doubled_nothing_that_it_answered() {
    let data = tempfile::tempdir().unwrap();
    // Small segments and batches, so that a kill meets rolls and inserts.
    let settings = Settings::new(data.path())
        .with("journal.segment_bytes", "1048576")
        .with("warehouse.batch_age_ms", "50");
    let mut engine = settings.start();
    let shop = Shop::open(&engine);
    let mut account = Account::default();
    for round in 0..ROUNDS {
        let load = Load::start(&engine, &shop, &format!("kill{round}"));
        // Another moment each time; the machine's own unevenness does the rest.
        load.wait_for(150 + 170 * round);
        engine.kill();
        account.add(load.stop());
        engine = settings.start();
        account.tell_the_rest(&engine, &shop.hook);
    }
    assert!(!account.failures.is_empty(), "every round was killed between two requests: the load is too low");
    account.assert_exact(&engine, &shop);
    let log = engine.log();
    assert!(!log.contains("panicked"), "{log}");
    let (status, log) = engine.stop();
    assert!(exited_with(status, 0), "{log}");

    let (_, report, _) = run(data.path(), &["doctor", "--books"]);
    assert!(report.contains("ok    books: every balance is the sum of its entries"), "{report}");
    let (status, report, said) = run(data.path(), &["replay", "books"]);
    assert!(exited_with(status, 0), "{said}");
    assert!(report.contains("the books were the same before"), "{report}");
    assert!(!report.contains("WRONG"), "{report}");
    // And the books that were built from scratch serve as well.
    let engine = settings.start();
    account.assert_exact(&engine, &shop);
}

#[test]
fn a_killed_clickhouse_costs_no_request_and_no_row() {
    let data = tempfile::tempdir().unwrap();
    let engine = Settings::new(data.path()).with("warehouse.batch_age_ms", "20").start();
    let shop = Shop::open(&engine);
    let load = Load::start(&engine, &shop, "db");
    for _ in 0..3 {
        let child = wait_for("ClickHouse runs", || engine.clickhouse_pid());
        let stored = engine.metric("weir_warehouse_stored_sequence");
        wait_for("rows are stored", || {
            (engine.metric("weir_warehouse_stored_sequence") > stored).then_some(())
        });
        load.wait_for(50);
        signal(child, Signal::KILL);
        wait_for("the child is gone", || (!runs(child)).then_some(()));
        load.wait_for(100);
    }
    let account = load.stop();
    assert_eq!(account.failures, Vec::<String>::new(), "nobody may notice");
    account.assert_exact(&engine, &shop);
    assert!(engine.metric("weir_clickhouse_restarts_total") >= 3.0);
    assert!(!engine.log().contains("panicked"), "{}", engine.log());
}

/// The click is in the journal and nowhere else when the engine dies; its sale comes first thing after the restart.
#[test]
fn a_sale_after_the_restart_finds_its_click() {
    let data = tempfile::tempdir().unwrap();
    let settings = Settings::new(data.path()).with("warehouse.batch_age_ms", "60000");
    let engine = settings.start();
    let link = engine.make_link("shoes");
    let token = token_of(&engine.click("shoes"));
    engine.kill();
    let engine = settings.start();
    let body = json!({"event": "sale", "order_id": "A-1", "wclid": token, "amount": {"amount": 4999, "currency": "EUR"}});
    let made = engine.call("POST", "/v1/conversions", Some(&body), 201);
    assert_eq!(made["attribution"]["link_id"], json!(link), "{made}");
    // Its dimensions may have to be found first; then the sale stands under them and nowhere else.
    wait_for("the sale stands under its click's browser", || {
        (engine.counts("browser", "conversions", None) == [("Chrome".to_owned(), 1)].into()).then_some(())
    });
}
