//! Requests that are malformed, oversized, slow or half closed: 4xx or a closed connection, and the engine goes on.

use std::io::{BufReader, ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::time::Duration;

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use serde_json::json;

use crate::engine::http::{connect, read_answer};
use crate::engine::{ADMIN_KEY, Engine, PATIENCE, Settings, api, click};

/// What became of a request.
#[derive(Debug, PartialEq, Eq)]
enum Fate {
    Answered(u16),
    Closed,
}

fn fate_of(stream: &mut BufReader<TcpStream>) -> Fate {
    match read_answer(stream, "GET") {
        Ok((answer, _)) => Fate::Answered(answer.status),
        Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {
            panic!("neither answered nor closed within {PATIENCE:?}")
        }
        Err(_) => Fate::Closed,
    }
}

/// Sends raw bytes on a connection of their own.
fn send(address: SocketAddr, bytes: &[u8]) -> Fate {
    let mut stream = connect(address).expect("the listener accepts");
    // The engine may answer and close before all is written.
    let _ = stream.get_mut().write_all(bytes);
    fate_of(&mut stream)
}

fn assert_refused(what: &str, address: SocketAddr, bytes: &[u8]) {
    let fate = send(address, bytes);
    assert!(matches!(fate, Fate::Closed | Fate::Answered(400..=499)), "{what} at {address}: {fate:?}");
}

fn assert_well(engine: &Engine) {
    assert_eq!(engine.visitor().send("GET", "/healthz", &[], b"").unwrap().status, 200);
    assert_eq!(engine.api("GET", "/healthz", None).status, 200);
    assert_eq!(engine.click("target").status, 302);
    assert!(!engine.log().contains("panicked"), "{}", engine.log());
}

#[test]
fn malformed_and_oversized_requests_are_refused() {
    let data = tempfile::tempdir().unwrap();
    let engine = Settings::new(data.path()).start();
    engine.make_link("target");
    let hook = engine.make_stripe_endpoint();
    let long = "a".repeat(64 << 10);
    let many: String = (0..500).map(|n| format!("x-{n}: y\r\n")).collect();
    let cases: Vec<(&str, Vec<u8>)> = vec![
        ("a TLS hello", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03".repeat(40)),
        ("no HTTP", b"EHLO mail.example\r\nMAIL FROM:<a@b>\r\n\r\n".to_vec()),
        ("another version", b"GET / HTTP/9.9\r\nhost: x\r\n\r\n".to_vec()),
        ("HTTP/2", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec()),
        ("a long path", format!("GET /{long} HTTP/1.1\r\nhost: x\r\n\r\n").into_bytes()),
        ("a long header", format!("GET / HTTP/1.1\r\nhost: x\r\nx-a: {long}\r\n\r\n").into_bytes()),
        ("many headers", format!("GET / HTTP/1.1\r\nhost: x\r\n{many}\r\n").into_bytes()),
        ("a control character", b"GET /\x00\x01 HTTP/1.1\r\nhost: x\r\n\r\n".to_vec()),
        ("a space in a name", b"GET / HTTP/1.1\r\nho st: x\r\n\r\n".to_vec()),
        ("a length in words", b"POST /hooks/x HTTP/1.1\r\nhost: x\r\ncontent-length: ten\r\n\r\n".to_vec()),
        ("a negative length", b"POST /hooks/x HTTP/1.1\r\nhost: x\r\ncontent-length: -1\r\n\r\n".to_vec()),
        (
            "two lengths",
            b"POST /hooks/x HTTP/1.1\r\nhost: x\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\nab".to_vec(),
        ),
        (
            "chunks that are none",
            format!(
                "POST {hook} HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\nzz\r\nab\r\n0\r\n\r\n"
            )
            .into_bytes(),
        ),
        (
            "an endless chunk",
            format!(
                "POST {hook} HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\nffffffffffffffffff\r\n"
            )
            .into_bytes(),
        ),
        (
            "a body announced too large",
            format!("POST {hook} HTTP/1.1\r\nhost: x\r\ncontent-length: 99999999999\r\n\r\n").into_bytes(),
        ),
        ("a tunnel", b"CONNECT evil.example:443 HTTP/1.1\r\nhost: x\r\n\r\n".to_vec()),
        ("an unknown method", b"BREW /target HTTP/1.1\r\nhost: x\r\n\r\n".to_vec()),
    ];
    for (what, bytes) in &cases {
        for address in [engine.public, engine.admin] {
            assert_refused(what, address, bytes);
        }
    }
    // The admin listener has a page for every path that is not the API's.
    for path in
        ["/%ff%fe%00", "/../../etc/passwd", "http://evil.example/nowhere", "/%2e%2e/target", "/target/more"]
    {
        let request = format!("GET {path} HTTP/1.1\r\nhost: x\r\n\r\n");
        assert_refused(path, engine.public, request.as_bytes());
    }
    let large = vec![b' '; 3 << 20];
    let head = format!("POST {hook} HTTP/1.1\r\nhost: x\r\ncontent-length: {}\r\n\r\n", large.len());
    assert_refused("a body too large", engine.public, &[head.as_bytes(), &large].concat());
    assert_well(&engine);
}

#[test]
fn bodies_that_are_not_what_was_asked_for_are_refused() {
    let data = tempfile::tempdir().unwrap();
    let engine = Settings::new(data.path()).start();
    engine.make_link("target");
    let deep = format!("{}{}", "[".repeat(200_000), "]".repeat(200_000));
    let deep_filter = format!("{}{}", r#"["not","#.repeat(5_000), "]".repeat(5_000));
    let bodies: Vec<Vec<u8>> = vec![
        b"".to_vec(),
        b"{".to_vec(),
        b"null".to_vec(),
        b"[]".to_vec(),
        b"\"text\"".to_vec(),
        b"{\"a\": \"\xff\xfe\"}".to_vec(),
        b"{\"metrics\": [\"clicks\"], \"metrics\": []}".to_vec(),
        br#"{"destination": 7, "slug": {}, "order_id": [], "metrics": "clicks"}"#.to_vec(),
        br#"{"amount": {"amount": 99999999999999999999999999, "currency": "EUR"}, "event": "sale", "order_id": "x"}"#
            .to_vec(),
        br#"{"amount": {"amount": 1e400, "currency": "EUR"}, "event": "sale", "order_id": "x"}"#.to_vec(),
        deep.into_bytes(),
        format!(r#"{{"metrics": ["clicks"], "date_range": "7d", "filters": {deep_filter}}}"#).into_bytes(),
        vec![b'x'; 4 << 20],
    ];
    let paths = [
        "/v1/links",
        "/v1/links/bulk",
        "/v1/conversions",
        "/v1/refunds",
        "/v1/webhook-endpoints",
        "/v1/query",
    ];
    let bearer = format!("Bearer {ADMIN_KEY}");
    for path in paths {
        for body in &bodies {
            let head = format!(
                "POST {path} HTTP/1.1\r\nhost: x\r\nauthorization: {bearer}\r\ncontent-type: application/json\r\n\
                 content-length: {}\r\n\r\n",
                body.len()
            );
            let start = String::from_utf8_lossy(&body[..body.len().min(60)]).into_owned();
            assert_refused(&format!("POST {path} {start}"), engine.admin, &[head.as_bytes(), body].concat());
        }
    }
    assert_well(&engine);
}

/// Requests that were good before some of their bytes were changed, left out or doubled.
#[test]
fn mangled_requests_do_no_harm() {
    let data = tempfile::tempdir().unwrap();
    let engine = Settings::new(data.path()).start();
    engine.make_link("target");
    let hook = engine.make_stripe_endpoint();
    let body = json!({"metrics": ["clicks"], "dimensions": ["link"], "date_range": "7d"}).to_string();
    let good = [
        (engine.public, "GET /target?utm_source=a&x=%20 HTTP/1.1\r\nhost: x\r\ncookie: wv=abc; a=b\r\n".to_owned(), ""),
        (engine.public, format!("POST {hook} HTTP/1.1\r\nhost: x\r\nstripe-signature: t=1,v1=00\r\n"), "{\"id\":1}"),
        (engine.admin, format!("POST /v1/query HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {ADMIN_KEY}\r\n"), &body),
        (
            engine.admin,
            "GET /v1/live HTTP/1.1\r\nhost: x\r\nupgrade: websocket\r\nconnection: upgrade\r\nsec-websocket-version: 13\r\n\
             sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
                .to_owned(),
            "\u{1}\u{2}{\"type\":\"connect\"}",
        ),
    ];
    let mut random = StdRng::seed_from_u64(7);
    for round in 0..600 {
        let (address, head, body) = &good[round % good.len()];
        let mut bytes =
            format!("{head}content-length: {}\r\nconnection: close\r\n\r\n{body}", body.len()).into_bytes();
        for _ in 0..random.random_range(1..6) {
            let at = random.random_range(0..bytes.len());
            match random.random_range(0..4) {
                0 => bytes[at] = random.random(),
                1 => bytes[at] ^= 1 << random.random_range(0..8),
                2 => _ = bytes.remove(at),
                _ => bytes.insert(at, bytes[at]),
            }
        }
        let mut stream = connect(*address).expect("the listener accepts");
        let _ = stream.get_mut().write_all(&bytes);
        // What is still incomplete ends here.
        let _ = stream.get_mut().shutdown(Shutdown::Write);
        let _ = stream.get_mut().set_read_timeout(Some(PATIENCE));
        let fate = fate_of(&mut stream);
        assert!(!matches!(fate, Fate::Answered(500..)), "{fate:?}: {:?}", String::from_utf8_lossy(&bytes));
    }
    assert_well(&engine);
}

#[test]
fn slow_and_half_closed_clients_hold_nobody_up() {
    let data = tempfile::tempdir().unwrap();
    let engine = Settings::new(data.path()).start();
    engine.make_link("target");
    let hook = engine.make_stripe_endpoint();
    let whole = b"GET /target HTTP/1.1\r\nhost: x\r\n\r\n";
    // A client that has said all it has to say still gets its answer.
    let mut stream = connect(engine.public).unwrap();
    stream.get_mut().write_all(whole).unwrap();
    stream.get_mut().shutdown(Shutdown::Write).unwrap();
    assert_eq!(fate_of(&mut stream), Fate::Answered(302));
    // One that stops in the middle gets nothing, or a refusal.
    for cut in [1, 10, whole.len() - 1] {
        let mut stream = connect(engine.public).unwrap();
        stream.get_mut().write_all(&whole[..cut]).unwrap();
        stream.get_mut().shutdown(Shutdown::Write).unwrap();
        assert!(matches!(fate_of(&mut stream), Fate::Closed | Fate::Answered(400..=499)), "cut at {cut}");
    }
    // Some that never end, on both listeners: nothing sent, half a head, half a body, a byte now and then.
    let half_body = format!("POST {hook} HTTP/1.1\r\nhost: x\r\ncontent-length: 100\r\n\r\n{{");
    let bearer = format!("authorization: Bearer {ADMIN_KEY}\r\ncontent-type: application/json");
    let half_json =
        format!("POST /v1/links HTTP/1.1\r\nhost: x\r\n{bearer}\r\ncontent-length: 100\r\n\r\n{{");
    let starts: [(SocketAddr, &[u8]); 6] = [
        (engine.public, b""),
        (engine.admin, b""),
        (engine.public, b"GET /target HTTP/1.1\r\nhost"),
        (engine.admin, b"GET /v1/links HTTP/1.1\r\nhost"),
        (engine.public, half_body.as_bytes()),
        (engine.admin, half_json.as_bytes()),
    ];
    let mut slow: Vec<TcpStream> = Vec::new();
    for (address, start) in starts.iter().cycle().take(60) {
        let mut stream = TcpStream::connect(address).unwrap();
        stream.write_all(start).unwrap();
        slow.push(stream);
    }
    let mut dripping = TcpStream::connect(engine.public).unwrap();
    dripping.set_read_timeout(Some(Duration::from_millis(100))).unwrap();
    dripping.write_all(b"GET /target HTTP/1.1\r\n").unwrap();
    // Others are served meanwhile, until every slow connection was ended by the engine.
    let (mut visitor, mut caller) = (engine.visitor(), crate::engine::http::Http::new(engine.admin));
    let mut last = [0; 1_024];
    crate::engine::wait_for("a connection that drips is ended", || {
        assert_eq!(click(&mut visitor, "target").unwrap().status, 302);
        assert_eq!(api(&mut caller, "GET", "/v1/links", None).unwrap().status, 200);
        let written = dripping.write_all(b"x: y\r\n");
        let read = dripping.read(&mut last);
        let waits =
            |error: &std::io::Error| matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut);
        (written.is_err() || !read.as_ref().is_err_and(waits)).then_some(())
    });
    for stream in slow {
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        let fate = fate_of(&mut BufReader::new(stream));
        assert!(matches!(fate, Fate::Closed | Fate::Answered(400..=499)), "{fate:?}");
    }
    assert_well(&engine);
}
