//! SIGTERM drains.

use std::net::TcpStream;

use serde_json::{Value, json};
use tokio_tungstenite::tungstenite::{Message, WebSocket};

use crate::engine::http::connect;
use crate::engine::{ADMIN_KEY, Engine, PATIENCE, Settings, click, exited_with, say};
use std::io::Write;

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

/// A watcher that has its first snapshot.
fn watch(engine: &Engine) -> WebSocket<TcpStream> {
    let mut socket = engine.open_live();
    let query = json!({"metrics": ["clicks"], "date_range": "7d"});
    for frame in [
        json!({"type": "connect", "key": ADMIN_KEY}),
        json!({"type": "subscribe", "id": "q1", "query": query}),
    ] {
        say(&mut socket, &frame);
    }
    loop {
        let frame = socket.read().expect("a frame");
        let value: Value = serde_json::from_str(frame.to_text().expect("text")).unwrap_or_default();
        assert_ne!(value["type"], "error", "{value}");
        if value["type"] == "snapshot" {
            return socket;
        }
    }
}

#[test]
fn watchers_are_told_that_the_engine_ends() {
    let data = tempfile::tempdir().unwrap();
    let engine = Settings::new(data.path()).start();
    let mut socket = watch(&engine);
    engine.terminate();
    let end = loop {
        match socket.read().expect("a frame") {
            Message::Close(frame) => break frame.expect("a code"),
            _ => continue,
        }
    };
    assert_eq!(u16::from(end.code), 3001, "{end:?}");
    let (status, log) = engine.ended();
    assert!(exited_with(status, 0), "{status:?}\n{log}");
}

#[test]
fn clients_that_hang_do_not_keep_the_engine_from_ending() {
    let data = tempfile::tempdir().unwrap();
    let engine = Settings::new(data.path()).start();
    let hook = engine.make_stripe_endpoint();
    let mut hanging = Vec::new();
    for address in [engine.public, engine.admin] {
        for start in [
            String::new(),
            "GET /healthz HTTP/1.1\r\nhost".to_owned(),
            "GET /healthz HTTP/1.1\r\nhost: x\r\n\r\nGET /heal".to_owned(),
            format!("POST {hook} HTTP/1.1\r\nhost: x\r\ncontent-length: 9\r\n\r\n{{"),
        ] {
            let mut stream = connect(address).unwrap();
            stream.get_mut().write_all(start.as_bytes()).unwrap();
            hanging.push(stream);
        }
    }
    // They are all accepted once a later connection has its answer.
    assert_eq!(engine.api("GET", "/healthz", None).status, 200);
    let (status, log) = engine.stop();
    assert!(exited_with(status, 0), "{status:?} within {PATIENCE:?}\n{log}");
}
