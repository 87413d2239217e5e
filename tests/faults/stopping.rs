//! SIGTERM drains.

use crate::engine::{Settings, click, exited_with};

/// Enough that a batch is on its way whenever the signal comes.
const CLICKS: usize = 500;

#[test]
fn sigterm_stores_everything_and_ends_with_zero() {
    let data = tempfile::tempdir().unwrap();
    // Batches that only the drain completes.
    let settings = Settings::new(data.path()).with("warehouse.batch_age_ms", "60000");
    let engine = settings.start();
    let link = engine.make_link("drain");
    let mut visitor = engine.visitor();
    for _ in 0..CLICKS {
        assert_eq!(click(&mut visitor, "drain").unwrap().status, 302);
    }
    let (status, log) = engine.stop();
    assert!(exited_with(status, 0), "{status:?}\n{log}");
    assert!(!log.contains("panicked"), "{log}");
    assert!(!data.path().join("engine.json").exists(), "its run file goes with it");
    let engine = settings.start();
    assert_eq!(engine.counts("link", "clicks", None).get(&link), Some(&(CLICKS as i64)));
    // Nothing was left over for this run to store.
    assert_eq!(engine.metric("weir_clicks_answered_total"), 0.0, "{:?}", engine.metrics());
}
