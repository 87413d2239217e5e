//! Clients that go away in the middle of an answer, and answers that are larger than memory.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;

use serde_json::{Value, json};

use crate::clickhouse::{ClickHouse, with_clickhouse};
use crate::engine::{ADMIN_KEY, Engine, Settings, wait_for};

/// An engine with a ClickHouse that has so many clicks of a year, each of its own visitor and city.
fn with_clicks(folder: &Path, clicks: u64) -> (Engine, ClickHouse) {
    let clickhouse = ClickHouse::start(&folder.join("clickhouse"));
    let engine = with_rows(folder, &clickhouse, clickhouse.address, clicks);
    (engine, clickhouse)
}

/// The same by way of another address.
fn with_rows(folder: &Path, clickhouse: &ClickHouse, by: SocketAddr, clicks: u64) -> Engine {
    let settings = Settings::new(&folder.join("data"));
    let engine = with_clickhouse(settings, by).start();
    engine.query(&json!({"metrics": ["clicks"]}));
    clickhouse.run(&format!(
        "INSERT INTO clicks (node, seq, id, at, verdict, workspace, link, visitor, city, country, slug, utm_term) \
         SELECT 9, 0, number, now64(3) - toIntervalSecond(number % 31000000), 'counted', 1, number % 7, \
         sipHash64(number), concat('city ', toString(number)), 'DE', 'slug', repeat('x', 200) FROM numbers({clicks})"
    ));
    engine
}

/// Asks without waiting for the answer.
fn asked(engine: &Engine, path: &str, body: &Value) -> TcpStream {
    let body = body.to_string();
    let mut stream = TcpStream::connect(engine.admin).expect("a connection");
    let head = format!(
        "POST {path} HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {ADMIN_KEY}\r\ncontent-type: application/json\r\n\
         content-length: {}\r\n\r\n{body}",
        body.len()
    );
    stream.write_all(head.as_bytes()).expect("it is sent");
    stream
}

/// Something before ClickHouse that does not tell it of clients that leave, as a load balancer may; and ClickHouse
/// itself, which works on for clients that are not read-only.
fn deaf_proxy(server: SocketAddr) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("an address");
    std::thread::spawn(move || {
        for client in listener.incoming().map_while(Result::ok) {
            let Ok(server) = TcpStream::connect(server) else { continue };
            let clone = |stream: &TcpStream| stream.try_clone().expect("a descriptor");
            let (mut from, mut to) = (clone(&client), clone(&server));
            // What the client says goes on; that it ends does not.
            std::thread::spawn(move || std::io::copy(&mut from, &mut to));
            let (mut from, mut to) = (server, client);
            std::thread::spawn(move || std::io::copy(&mut from, &mut to));
        }
    });
    address
}

#[test]
fn a_query_whose_asker_has_gone_is_stopped() {
    let folder = tempfile::tempdir().unwrap();
    let (engine, clickhouse) = with_clicks(folder.path(), 3_000_000);
    abandon(&engine, &clickhouse);
}

#[test]
fn a_query_of_a_clickhouse_that_hears_of_no_end_is_killed() {
    let folder = tempfile::tempdir().unwrap();
    let clickhouse = ClickHouse::start(&folder.path().join("clickhouse"));
    let engine = with_rows(folder.path(), &clickhouse, deaf_proxy(clickhouse.address), 3_000_000);
    abandon(&engine, &clickhouse);
    wait_for("it to be counted", || (engine.metric("weir_query_killed_total") >= 1.0).then_some(()));
}

fn abandon(engine: &Engine, clickhouse: &ClickHouse) {
    let running = || {
        let found = "SELECT count() FROM system.processes WHERE query LIKE '%AS visitors_count%FROM clicks%' \
                     AND query NOT LIKE '%system.processes%'";
        clickhouse.run(found) != "0"
    };
    let query = json!({"metrics": ["clicks", "visitors", "latency_p99"], "dimensions": ["city", "link"],
        "date_range": "all", "order_by": [["visitors", "desc"]], "limit": 10});
    let stopped = || clickhouse.run("SELECT sum(value) FROM system.errors WHERE code = 394");
    assert_eq!(stopped(), "0", "394 is QUERY_WAS_CANCELLED");
    let stream = asked(engine, "/v1/query", &query);
    wait_for("ClickHouse to work on it", || running().then_some(()));
    drop(stream);
    wait_for("ClickHouse to have stopped it", || (!running() && stopped() != "0").then_some(()));
    // Its turn is free again, and the engine answers.
    engine.query(&json!({"metrics": ["clicks"]}));
}

#[test]
fn a_workspace_that_asks_too_much_at_once_is_told_to_wait() {
    let folder = tempfile::tempdir().unwrap();
    let (engine, clickhouse) = with_clicks(folder.path(), 300_000);
    // Each is another question, or they would share an answer.
    let slow = |limit: usize| {
        json!({"metrics": ["clicks", "visitors", "latency_p99"], "dimensions": ["city", "link"],
            "date_range": "all", "order_by": [["visitors", "desc"]], "limit": limit})
    };
    let most =
        weir_query::analytics::WORKSPACE_QUERIES_MAX + weir_query::analytics::WORKSPACE_QUERIES_WAITING_MAX;
    let mut streams: Vec<TcpStream> =
        (1..=most + 20).map(|limit| asked(&engine, "/v1/query", &slow(limit))).collect();
    wait_for("a refusal", || (engine.metric("weir_query_refused_total") >= 1.0).then_some(()));
    let mut last = String::new();
    let answered = streams.iter_mut().rev().find_map(|stream| {
        stream.set_read_timeout(Some(std::time::Duration::from_millis(200))).expect("a timeout");
        let mut head = vec![0; 4_096];
        let length = stream.read(&mut head).unwrap_or(0);
        last = String::from_utf8_lossy(&head[..length]).to_ascii_lowercase();
        last.starts_with("http/1.1 429").then(|| last.clone())
    });
    let answered = answered.unwrap_or_else(|| panic!("nobody was told 429: {last}"));
    assert!(answered.contains("retry-after: ") && answered.contains("too_many_queries"), "{answered}");
    // Nothing is left behind by those who go.
    drop(streams);
    wait_for("ClickHouse to be free", || {
        let found = "SELECT count() FROM system.processes WHERE query LIKE '%AS visitors_count%FROM clicks%' \
                     AND query NOT LIKE '%system.processes%'";
        (clickhouse.run(found) == "0").then_some(())
    });
    engine.query(&json!({"metrics": ["clicks"]}));
}

/// The most memory that a process has had, in KiB.
fn peak(pid: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).expect("it runs");
    let line = status.lines().find(|line| line.starts_with("VmHWM:")).expect("a peak");
    line.split_whitespace().nth(1).and_then(|number| number.parse().ok()).expect("a number")
}

#[test]
fn an_export_of_any_length_takes_the_memory_of_a_piece() {
    let folder = tempfile::tempdir().unwrap();
    let (engine, _clickhouse) = with_clicks(folder.path(), 300_000);
    let export = |limit: u64| {
        let mut stream = asked(
            &engine,
            "/v1/export?format=ndjson",
            &json!({"rows": "clicks", "date_range": "all", "limit": limit}),
        );
        let (mut bytes, mut rows, mut part) = (0, 0, vec![0; 1 << 20]);
        let mut last = Vec::new();
        while !last.ends_with(b"0\r\n\r\n") {
            let read = stream.read(&mut part).expect("more of it");
            assert_ne!(read, 0, "it is sent to its end");
            bytes += read;
            rows += part[..read].iter().filter(|byte| **byte == b'}').count();
            last.extend_from_slice(&part[..read]);
            last = last.split_off(last.len().saturating_sub(5));
        }
        (rows, bytes)
    };
    assert_eq!(export(20_000).0, 20_000);
    let before = peak(engine.pid());
    let (rows, bytes) = export(300_000);
    assert_eq!(rows, 300_000);
    // The kernel counts in batches, so a peak may read a little lower than it did.
    let grown = peak(engine.pid()).saturating_sub(before);
    assert!(bytes > 150 << 20, "{bytes} bytes are worth the name");
    assert!(grown < 32 << 10, "{grown} KiB more for {bytes} bytes");
}
