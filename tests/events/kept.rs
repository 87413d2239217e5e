//! What was answered is kept: across `kill -9`, exactly once, without the visitor's address.

use std::fs;

use serde_json::json;

use super::engine::wait_for;
use super::{SHOP, Site, settings};

const BATCHES: usize = 20;
const EVENTS: usize = 30;

#[test]
fn answered_events_survive_kill_9_and_count_once() {
    let mut site = Site::new();
    let events: Vec<_> = (0..EVENTS)
        .map(|n| json!({"type": "custom", "name": format!("e{}", n % 3), "url": format!("{SHOP}/")}))
        .collect();
    let body = json!({"site": site.id, "events": events});
    let mut answered = 0;
    for round in 0..3 {
        for _ in 0..BATCHES {
            assert_eq!(site.send(&body).json()["accepted"], EVENTS);
            answered += (BATCHES * EVENTS) as i64 / BATCHES as i64;
        }
        if round == 1 {
            // Some are in the warehouse already when it dies.
            assert_eq!(site.counted(), answered);
            site.send(&body);
            answered += EVENTS as i64;
        }
        let Site { engine, data, id } = site;
        engine.kill();
        let engine = settings(&data).start();
        site = Site { engine, data, id };
        assert_eq!(site.counted(), answered, "round {round}");
    }
    let names = site.engine.counts("event", "events", None);
    assert_eq!(names.values().copied().collect::<Vec<_>>(), [answered / 3; 3]);
}

#[test]
fn no_file_holds_the_visitors_address() {
    let site = Site::new();
    let address = [203, 0, 113, 199];
    let headers = [("origin", SHOP), ("x-forwarded-for", "203.0.113.199")];
    let told = site.send_with(&headers, &site.event(json!({"title": "Unmistakable"})).to_string());
    assert_eq!((told.status, site.counted()), (202, 1));
    let holds = |folder: &str, wanted: &[u8]| {
        fs::read_dir(site.data.path().join(folder)).unwrap().any(|file| {
            let bytes = fs::read(file.unwrap().path()).unwrap();
            bytes.windows(wanted.len()).any(|window| window == wanted)
        })
    };
    let mapped: Vec<u8> = [&[0xff, 0xff][..], &address].concat();
    assert!(holds("journal", b"Unmistakable"), "this is where it would stand");
    assert!(!holds("journal", &mapped) && !holds("journal", b"203.0.113.199"));
    // The lane is zeroed behind the reader.
    wait_for("an empty lane", || {
        (!holds("lanes", &mapped) && !holds("lanes", b"Unmistakable")).then_some(())
    });
}
