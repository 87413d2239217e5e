//! People who watch and do not read: they are let go with the reason, and others watch on.

use std::net::TcpStream;
use std::time::Duration;

use serde_json::{Value, json};
use tokio_tungstenite::tungstenite::{self, Message, WebSocket};

use crate::engine::{ADMIN_KEY, BROWSER, Engine, PATIENCE, Settings, say, wait_for};

/// Rows of an answer that the stuck one asks for again and again: more than all buffers on the way hold.
const ROWS: usize = 1_000;
const QUERIES: usize = 64;

fn watch(engine: &Engine) -> WebSocket<TcpStream> {
    let mut socket = engine.open_live();
    say(&mut socket, &json!({"type": "connect", "key": ADMIN_KEY}));
    assert_eq!(next(&mut socket).unwrap()["type"], "connected");
    socket
}

/// The next frame; in `Err` the code with which the engine closes, 0 where the connection ends without one.
fn next(socket: &mut WebSocket<TcpStream>) -> Result<Value, u16> {
    loop {
        match socket.read() {
            Ok(Message::Text(text)) => return Ok(serde_json::from_str(&text).unwrap()),
            Ok(Message::Close(close)) => return Err(close.map_or(0, |close| close.code.into())),
            Ok(_) => {}
            Err(tungstenite::Error::Io(error)) if error.kind() == std::io::ErrorKind::WouldBlock => {
                panic!("neither a frame nor the end within {PATIENCE:?}")
            }
            Err(_) => return Err(0),
        }
    }
}

fn closed(socket: &mut WebSocket<TcpStream>) -> u16 {
    loop {
        if let Err(code) = next(socket) {
            return code;
        }
    }
}

#[test]
fn who_does_not_read_is_let_go_and_others_watch_on() {
    let data = tempfile::tempdir().unwrap();
    let engine = Settings::new(data.path()).start();
    engine.make_link("target");
    let mut visitor = engine.visitor();
    let long = "x".repeat(100);
    for n in 0..ROWS {
        let path = format!("/target?utm_content={n}-{long}");
        assert_eq!(visitor.send("GET", &path, &[("user-agent", BROWSER)], b"").unwrap().status, 302);
    }
    let all =
        json!({"metrics": ["clicks"], "date_range": "7d", "dimensions": ["utm_content"], "limit": ROWS});
    assert_eq!(engine.query(&all)["rows"].as_array().unwrap().len(), ROWS);

    // One answers no ping, the other takes no answer: its socket is full at once.
    let mut silent = watch(&engine);
    let mut stuck = watch(&engine);
    for n in 0..QUERIES {
        say(&mut stuck, &json!({"type": "subscribe", "id": format!("q{n}"), "query": all}));
    }
    let mut watching = watch(&engine);
    let count = json!({"metrics": ["clicks"], "date_range": "7d"});
    say(&mut watching, &json!({"type": "subscribe", "id": "clicks", "query": count}));
    let mut seen = next(&mut watching).unwrap()["rows"][0][0].as_u64().unwrap();
    let mut clicks = ROWS as u64;
    wait_for("both are let go", || {
        assert_eq!(engine.click("target").status, 302);
        clicks += 1;
        while seen < clicks {
            let delta = next(&mut watching).expect("who reads is kept");
            seen = delta["rows"][0][0].as_u64().unwrap();
        }
        std::thread::sleep(Duration::from_millis(100));
        (engine.metric("weir_live_clients") == 1.0).then_some(())
    });
    assert_eq!(closed(&mut silent), 3008);
    // Nothing more fits behind what it does not take, not even the reason.
    assert!([0, 3008].contains(&closed(&mut stuck)));
    let text = engine.api("GET", "/metrics", None).text();
    let told: Vec<&str> = text.lines().filter(|line| line.starts_with("weir_live_closed_total")).collect();
    assert_eq!(told, ["weir_live_closed_total{reason=\"slow_consumer\"} 2"], "each is counted once");
}
