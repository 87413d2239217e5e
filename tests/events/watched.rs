//! Live: a subscription sees events as they come, and what it says is what a query says.

use std::net::TcpStream;
use std::time::Instant;

use serde_json::{Value, json};
use tokio_tungstenite::tungstenite::{Message, WebSocket};

use super::Site;
use super::engine::{ADMIN_KEY, PATIENCE, say};

/// The next frame of a type.
fn next(socket: &mut WebSocket<TcpStream>, kind: &str) -> Value {
    let end = Instant::now() + PATIENCE;
    loop {
        assert!(Instant::now() < end, "no {kind} came");
        let Message::Text(text) = socket.read().unwrap() else { continue };
        let frame: Value = serde_json::from_str(&text).unwrap();
        assert_ne!(frame["type"], "error", "{frame}");
        if frame["type"] == kind {
            return frame;
        }
    }
}

#[test]
fn a_subscription_sees_events_as_they_come() {
    let site = Site::new();
    assert_eq!(site.send(&site.event(json!({}))).status, 202);
    assert_eq!(site.counted(), 1);
    let mut socket = site.engine.open_live();
    say(&mut socket, &json!({"type": "connect", "key": ADMIN_KEY}));
    let query = json!({"metrics": ["events"], "dimensions": ["event", "property:plan"], "date_range": "7d"});
    say(&mut socket, &json!({"type": "subscribe", "id": "q", "query": query}));
    say(&mut socket, &json!({"type": "events", "id": "tail"}));
    assert_eq!(next(&mut socket, "snapshot")["rows"], json!([["pageview", "", 1]]));
    let signup = json!({"type": "custom", "name": "signup", "properties": {"plan": "pro"}});
    assert_eq!(site.send(&site.event(signup)).status, 202);
    // The tail and the rows come in any order.
    let (mut row, mut tail) = (Value::Null, Value::Null);
    while row.is_null() || tail.is_null() {
        let Message::Text(text) = socket.read().unwrap() else { continue };
        let frame: Value = serde_json::from_str(&text).unwrap();
        match frame["type"].as_str() {
            Some("delta") => row = frame["rows"][0].clone(),
            Some("events") if frame["rows"][0]["event"] == "signup" => tail = frame["rows"][0].clone(),
            _ => {}
        }
    }
    assert_eq!(row, json!(["signup", "pro", 1]));
    assert_eq!((&tail["kind"], &tail["site"]), (&json!("event"), &json!(site.id)));
    let asked = site.engine.query(&query);
    assert_eq!(asked["rows"], json!([["pageview", "", 1], ["signup", "pro", 1]]));
}
