//! Damage to the journal of an engine that does not run: what is torn or rotten is said and lost, nothing else is.

use std::fs;
use std::path::{Path, PathBuf};

use crate::engine::{Engine, Settings, click, open_for_damage};
use std::os::unix::fs::FileExt;

const CLICKS: i64 = 200;

fn newest_traffic(data: &Path) -> PathBuf {
    let entries = fs::read_dir(data.join("journal")).expect("the journal");
    let mut paths: Vec<PathBuf> = entries.map(|entry| entry.expect("an entry").path()).collect();
    paths.retain(|path| path.file_name().is_some_and(|name| name.to_string_lossy().starts_with("traffic-")));
    paths.sort();
    paths.pop().expect("a segment")
}

/// Cuts off the last `bytes` of what was written: behind it a dead writer leaves zeros.
fn cut(path: &Path, bytes: u64) {
    let written = fs::read(path).expect("the segment");
    let length = written.iter().rposition(|byte| *byte != 0).map_or(0, |last| last as u64 + 1);
    open_for_damage(path).set_len(length - bytes).expect("it can be cut");
}

fn flip_a_bit(path: &Path, at: u64) {
    let file = open_for_damage(path);
    let mut byte = [0];
    file.read_exact_at(&mut byte, at).expect("a byte");
    file.write_all_at(&[byte[0] ^ 4], at).expect("it can be written");
}

fn click_often(engine: &Engine, count: i64) {
    let mut visitor = engine.visitor();
    for _ in 0..count {
        assert_eq!(click(&mut visitor, "torn").unwrap().status, 302);
    }
}

/// Clicks that are in the journal and nowhere else; then `damage`; gives the engine after it, the link and its clicks.
fn with_damage(data: &Path, damage: impl FnOnce(&Path)) -> (Engine, String, i64) {
    let settings = Settings::new(data).with("warehouse.batch_age_ms", "60000");
    let engine = settings.start();
    let link = engine.make_link("torn");
    click_often(&engine, CLICKS);
    engine.kill();
    // The lanes gave what they still held to the journal at this start.
    settings.start().kill();
    damage(&newest_traffic(data));
    let engine = settings.start();
    let counted = engine.counts("link", "clicks", None).get(&link).copied().unwrap_or(0);
    (engine, link, counted)
}

#[test]
fn a_torn_tail_costs_what_was_torn() {
    let data = tempfile::tempdir().unwrap();
    let (engine, link, counted) = with_damage(data.path(), |path| cut(path, 10));
    assert_eq!(counted, CLICKS - 1, "{}", engine.log());
    assert!(engine.log().contains("torn tail was cut"), "{}", engine.log());
    click_often(&engine, 50);
    assert_eq!(engine.counts("link", "clicks", None), [(link, CLICKS - 1 + 50)].into());
}

#[test]
fn a_flipped_bit_costs_one_entry() {
    let data = tempfile::tempdir().unwrap();
    let (engine, link, counted) = with_damage(data.path(), |path| {
        flip_a_bit(path, fs::metadata(path).expect("its size").len() / 2);
    });
    assert_eq!(counted, CLICKS - 1, "{}", engine.log());
    assert!(engine.log().contains("damaged in the middle"), "{}", engine.log());
    click_often(&engine, 50);
    assert_eq!(engine.counts("link", "clicks", None), [(link, CLICKS - 1 + 50)].into());
}

/// A disk that lied about its syncs: the journal ends before what its followers have stored.
#[test]
fn a_journal_behind_its_followers_loses_nothing_that_comes_later() {
    let data = tempfile::tempdir().unwrap();
    let settings = Settings::new(data.path());
    let engine = settings.start();
    let link = engine.make_link("torn");
    click_often(&engine, CLICKS);
    assert_eq!(engine.counts("link", "clicks", None), [(link.clone(), CLICKS)].into());
    let (status, log) = engine.stop();
    assert!(status.success(), "{log}");
    cut(&newest_traffic(data.path()), 4_000);
    let engine = settings.start();
    assert!(engine.log().contains("torn tail was cut"), "{}", engine.log());
    // The warehouse has what the journal lost.
    assert_eq!(engine.counts("link", "clicks", None), [(link.clone(), CLICKS)].into());
    click_often(&engine, 50);
    assert_eq!(engine.counts("link", "clicks", None), [(link, CLICKS + 50)].into());
}
