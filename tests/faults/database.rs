//! A ClickHouse elsewhere that goes away, and a network that breaks.

use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use crate::clickhouse::{ClickHouse, with_clickhouse};
use crate::engine::{Settings, exited_with, wait_for};
use crate::load::{Account, Load, Shop};
use crate::proxy::Proxy;

#[test]
fn while_the_database_is_down_everything_is_taken_and_later_stored() {
    let folder = tempfile::tempdir().unwrap();
    let clickhouse = ClickHouse::start(&folder.path().join("clickhouse"));
    let settings = Settings::new(&folder.path().join("data")).with("warehouse.batch_age_ms", "20");
    let settings = with_clickhouse(settings, clickhouse.address);
    let engine = settings.start();
    assert_eq!(engine.clickhouse_pid(), None, "it needs no other ClickHouse");
    let shop = Shop::open(&engine);
    let load = Load::start(&engine, &shop, "before");
    load.wait_for(100);
    let away = clickhouse.kill();
    load.wait_for(300);
    wait_for("the engine says that the warehouse is away", || {
        (engine.metric("weir_warehouse_up") == 0.0).then_some(())
    });
    assert!(engine.metric("weir_clicks_waiting") > 0.0);
    let ready = engine.call("GET", "/readyz", None, 200);
    assert_eq!(ready["warehouse"], json!("away"), "it is ready all the same: {ready}");
    load.wait_for(100);
    let mut account = load.stop();
    assert_eq!(account.failures, Vec::<String>::new(), "nobody may notice");

    // A restart meanwhile: what came before it is not forgotten, and what comes is taken.
    let (status, log) = engine.stop();
    assert!(exited_with(status, 0), "{log}");
    let engine = settings.start();
    let load = Load::start(&engine, &shop, "restarted");
    load.wait_for(100);
    let clickhouse = away.start();
    load.wait_for(100);
    account.add(load.stop());
    assert_eq!(account.failures, Vec::<String>::new(), "nobody may notice");
    account.assert_exact(&engine, &shop);
    assert_eq!(clickhouse.run("SELECT count() FROM dead_letter"), "0");
    wait_for("nothing waits any more", || (engine.metric("weir_clicks_waiting") == 0.0).then_some(()));
    assert!(!engine.log().contains("panicked"), "{}", engine.log());
}

#[test]
fn inserts_whose_end_nobody_knows_are_stored_once() {
    let folder = tempfile::tempdir().unwrap();
    let clickhouse = ClickHouse::start(&folder.path().join("clickhouse"));
    let proxy = Proxy::start(clickhouse.address);
    let settings = Settings::new(&folder.path().join("data")).with("warehouse.batch_age_ms", "10");
    let engine = with_clickhouse(settings, proxy.address).start();
    let shop = Shop::open(&engine);
    proxy.arm(true);
    let load = Load::start(&engine, &shop, "cut");
    wait_for("inserts are cut in both ways", || {
        let (requests, replies) = proxy.cuts();
        (requests >= 3 && replies >= 6).then_some(())
    });
    let account: Account = load.stop();
    // Still armed: every batch meets its fate until it is through.
    assert_eq!(account.failures, Vec::<String>::new(), "nobody may notice");
    account.assert_exact(&engine, &shop);
    proxy.arm(false);
    assert_eq!(clickhouse.run("SELECT count() FROM dead_letter"), "0");
    for table in ["clicks", "effects"] {
        let sub = if table == "effects" { "sub" } else { "0" };
        let sql = format!("SELECT count() - uniqExact((node, seq, {sub})) FROM {table}");
        assert_eq!(clickhouse.run(&sql), "0", "rows of {table} that are there twice");
    }
    assert!(engine.metric("weir_warehouse_failures_total") >= 3.0, "{:?}", engine.metrics());
}

/// An engine that was stopped, beside the ClickHouse that has its only click.
struct OneClick {
    /// Holds both folders.
    _folder: tempfile::TempDir,
    clickhouse: ClickHouse,
    settings: Settings,
    slug: String,
    /// The file of the warehouse's progress.
    progress: PathBuf,
}

/// The click's insert is the only one of its run.
fn one_click_stored() -> OneClick {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let clickhouse = ClickHouse::start(&folder.path().join("clickhouse"));
    let settings = with_clickhouse(Settings::new(&data), clickhouse.address);
    let engine = settings.start();
    let slug = Shop::open(&engine).links.keys().next().expect("a link").clone();
    assert!(exited_with(engine.stop().0, 0));
    let engine = settings.start();
    assert_eq!(engine.click(&slug).status, 302);
    // A stop on a busy machine leaves to the next start what ClickHouse has not taken in time.
    wait_for("the click is stored", || (clickhouse.run("SELECT count() FROM clicks") == "1").then_some(()));
    assert!(exited_with(engine.stop().0, 0));
    OneClick { _folder: folder, clickhouse, settings, slug, progress: data.join("warehouse.json") }
}

fn read_progress(path: &Path) -> Value {
    serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap()
}

/// A ClickHouse that is killed between the two has noted an insert's token and not its rows.
#[test]
fn an_insert_of_which_only_the_token_is_left_is_done_again() {
    let OneClick { _folder, clickhouse, settings, progress: path, .. } = one_click_stored();
    let mut progress = read_progress(&path);
    let last = progress["remembered"].as_array_mut().expect("batches").pop().expect("one");
    assert_eq!(last["clicks"], 1, "{last}");
    let (after, upto) = (&last["range"]["after"], &last["range"]["upto"]);
    let sql = format!(
        "ALTER TABLE clicks DELETE WHERE seq > {after} AND seq <= {upto} SETTINGS mutations_sync = 2"
    );
    clickhouse.run(&sql);
    assert_eq!(clickhouse.run("SELECT count() FROM clicks"), "0");
    progress["stored"] = after.clone();
    progress["intent"] = last["range"].clone();
    std::fs::write(&path, progress.to_string()).unwrap();

    let engine = settings.start();
    wait_for("the click is stored", || (clickhouse.run("SELECT count() FROM clicks") == "1").then_some(()));
    assert!(engine.log().contains("has not its rows"), "{}", engine.log());
}

/// Whose progress is lost knows nothing of its rows, nor of the inserts that ClickHouse has noted.
#[test]
fn without_its_progress_the_warehouse_has_every_click_once() {
    let OneClick { _folder, clickhouse, settings, slug, progress } = one_click_stored();
    let lose_the_progress = || std::fs::remove_file(&progress).unwrap();
    lose_the_progress();
    clickhouse.run("ALTER TABLE clicks DELETE WHERE true SETTINGS mutations_sync = 2");
    assert!(exited_with(settings.start().stop().0, 0));
    assert_eq!(clickhouse.run("SELECT count() FROM clicks"), "1", "its insert was noted");

    lose_the_progress();
    let engine = settings.start();
    assert_eq!(engine.click(&slug).status, 302);
    assert!(exited_with(engine.stop().0, 0));
    assert_eq!(clickhouse.run("SELECT count(), uniqExact(seq) FROM clicks"), "2\t2");
}

/// An insert of the run before is still on its way to a ClickHouse elsewhere, and the progress was set back: whichever
/// of the two inserts comes last is known by the token of the first.
#[test]
fn an_insert_that_outlives_its_engine_is_stored_once_also_where_the_progress_was_set_back() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let clickhouse = ClickHouse::start(&folder.path().join("clickhouse"));
    let proxy = Proxy::start(clickhouse.address);
    let settings = with_clickhouse(Settings::new(&data), proxy.address);
    let engine = settings.start();
    engine.make_link("slow");
    wait_for("the warehouse is there", || (engine.metric("weir_warehouse_up") == 1.0).then_some(()));
    proxy.hold(true);
    assert_eq!(engine.click("slow").status, 302);
    wait_for("its insert is on its way", || (proxy.held() == 1).then_some(()));
    engine.kill();
    proxy.hold(false);

    let path = data.join("warehouse.json");
    let mut progress = read_progress(&path);
    assert!(progress["intent"]["upto"].is_u64(), "{progress}");
    progress["ask_until"] = json!(u64::MAX);
    std::fs::write(&path, progress.to_string()).unwrap();
    let engine = settings.start();
    wait_for("the click is stored", || (clickhouse.run("SELECT count() FROM clicks") == "1").then_some(()));
    proxy.release();
    wait_for("the first insert arrives", || (proxy.delivered() == 1).then_some(()));
    assert_eq!(clickhouse.run("SELECT count() FROM clicks"), "1");
    assert!(exited_with(engine.stop().0, 0));
}
