//! The edge's conventions over real sockets: what a hostile or broken client meets, and the shape of every
//! refusal.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::num::NonZeroU32;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use http::Method;
use tokio::sync::watch;
use weir_edge::auth::Authenticator;
use weir_edge::limit::Limiter;
use weir_edge::listener::{Limits, Listener, serve};
use weir_edge::peer::TrustedProxies;
use weir_edge::plain::AllToHyper;
use weir_edge::request::Context;
use weir_edge::response::{json, text};
use weir_edge::route::Router;
use weir_edge::service::Service;
use weir_engine::keys::{KeyTable, Principal, hash_secret};
use weir_schemas::fact::Role;
use weir_schemas::ids::{KeyId, WorkspaceId};

/// Generous: the machine may be busy. Nothing is measured by it.
const PATIENCE: Duration = Duration::from_secs(30);

struct Running {
    address: SocketAddr,
    stop: watch::Sender<bool>,
    thread: Option<JoinHandle<()>>,
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.stop.send(true);
        if let Some(thread) = self.thread.take() {
            thread.join().expect("the listener's thread ends in order");
        }
    }
}

fn start(limits: Limits, limiter: Option<u32>) -> Running {
    let listener = Listener::bind(SocketAddr::from(([127, 0, 0, 1], 0)), false).unwrap();
    let address = listener.address();
    let keys = KeyTable::default();
    for (secret, key, role) in [("weir_admin", 1, Role::Admin), ("weir_viewer", 2, Role::Viewer)] {
        let principal = Principal { workspace: WorkspaceId(1), key: KeyId(key), role, partner: None };
        keys.put(&hash_secret(secret), principal);
    }
    let router = Router::new()
        .route(Method::GET, "/hello/{name}", async |context: Context| {
            Ok(text(http::StatusCode::OK, format!("hello {}", context.param("name"))))
        })
        .route(Method::POST, "/echo", async |mut context: Context| {
            context.require(&[Role::Admin])?;
            let value: serde_json::Value = context.json(100).await?;
            Ok(json(http::StatusCode::OK, &value))
        });
    let service = Arc::new(Service {
        name: "test",
        router,
        authenticator: Some(Authenticator::new(keys, None)),
        limiter: limiter.map(|n| Arc::new(Limiter::new(NonZeroU32::new(n).unwrap()))),
        proxies: TrustedProxies::default(),
    });
    let (stop, stopped) = watch::channel(false);
    let thread = std::thread::spawn(move || {
        let runtime = tokio::runtime::LocalRuntime::new().unwrap();
        let answer = move |request, peer| {
            let service = Arc::clone(&service);
            async move { service.answer(request, peer).await }
        };
        let served = serve(listener, limits, None::<AllToHyper>, answer, stopped);
        runtime.block_on(served).unwrap();
    });
    Running { address, stop, thread: Some(thread) }
}

fn limits() -> Limits {
    Limits { header_timeout: Duration::from_millis(300), ..Limits::new("test", 100) }
}

impl Running {
    fn connect(&self) -> TcpStream {
        let stream = TcpStream::connect(self.address).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream
    }

    /// Sends all of `bytes` and reads until the server closes.
    fn send(&self, bytes: &[u8]) -> String {
        let mut stream = self.connect();
        stream.write_all(bytes).unwrap();
        stream.shutdown(Shutdown::Write).unwrap();
        read_all(stream)
    }

    fn post(&self, headers: &str, body: &str) -> String {
        let head =
            format!("POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: {}\r\n{headers}\r\n", body.len());
        self.send(format!("{head}{body}").as_bytes())
    }
}

fn read_all(mut stream: TcpStream) -> String {
    let mut bytes = Vec::new();
    // A reset after the answer is a close too; a timeout is not.
    if let Err(error) = stream.read_to_end(&mut bytes) {
        assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset, "{error}");
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

fn problem(answer: &str) -> serde_json::Value {
    assert!(answer.contains("content-type: application/problem+json"), "{answer}");
    let (head, body) = answer.split_once("\r\n\r\n").expect("an answer has a head");
    let body: serde_json::Value = serde_json::from_str(body).expect("a problem is JSON");
    let id = body["request_id"].as_str().expect("a problem names its request");
    assert!(head.contains(&format!("x-request-id: {id}")), "{answer}");
    for field in ["type", "title", "detail"] {
        assert!(body[field].as_str().is_some_and(|text| !text.is_empty()), "{answer}");
    }
    body
}

fn status(answer: &str) -> &str {
    answer.split(' ').nth(1).unwrap_or("")
}

#[test]
fn a_half_closed_client_reads_its_answer() {
    let server = start(limits(), None);
    let answer = server.send(b"GET /hello/w%C3%B6rld HTTP/1.1\r\nHost: a\r\n\r\n");
    assert!(answer.starts_with("HTTP/1.1 200 OK\r\n") && answer.ends_with("hello wörld"), "{answer}");
    let answer = server.send(b"HEAD /hello/you HTTP/1.1\r\nHost: a\r\n\r\n");
    assert!(answer.contains("content-length: 9") && answer.ends_with("\r\n\r\n"), "{answer}");
}

#[test]
fn requests_in_one_packet_are_answered_in_order() {
    let server = start(limits(), None);
    let answer =
        server.send(b"GET /hello/a HTTP/1.1\r\nHost: a\r\n\r\nGET /hello/b HTTP/1.1\r\nHost: a\r\n\r\n");
    let (a, b) = (answer.find("hello a").unwrap(), answer.find("hello b").unwrap());
    assert!(a < b);
}

#[test]
fn slow_headers_are_cut() {
    let server = start(limits(), None);
    let mut stream = server.connect();
    stream.write_all(b"GET /hello/a HTTP/1.1\r\nHost:").unwrap();
    let answer = read_all(stream);
    assert!(answer.is_empty() || status(&answer) == "408", "{answer}");
    let idle = read_all(server.connect());
    assert!(idle.is_empty() || status(&idle) == "408", "an idle connection is not kept for ever: {idle}");
}

#[test]
fn oversized_headers_and_garbage_are_refused() {
    let server = start(limits(), None);
    let big = format!("GET / HTTP/1.1\r\nHost: a\r\nX: {}\r\n\r\n", "x".repeat(64 * 1_024));
    let mut stream = server.connect();
    // The server may answer and close before all of it is written.
    let _ = stream.write_all(big.as_bytes());
    assert_eq!(status(&read_all(stream)), "431");
    let many = format!("GET / HTTP/1.1\r\nHost: a\r\n{}\r\n", "a: b\r\n".repeat(200));
    assert_eq!(status(&server.send(many.as_bytes())), "431");
    for garbage in
        [&b"\x16\x03\x01\x02\x00\x01"[..], b"GET\r\n\r\n", b"GET / HTTP/9.9\r\n\r\n", b"\0\0\0\0\r\n\r\n"]
    {
        let answer = server.send(garbage);
        assert_eq!(status(&answer), "400", "{}", garbage.escape_ascii());
    }
    assert_eq!(status(&server.send(b"GET /hello/a HTTP/1.1\r\nHost: a\r\n\r\n")), "200", "still serving");
}

#[test]
fn connections_are_bounded_and_their_places_come_back() {
    let server = start(Limits { max_connections: 2, header_timeout: PATIENCE, ..limits() }, None);
    let held = [server.connect(), server.connect()];
    for stream in &held {
        let mut stream = stream;
        stream.write_all(b"GET /hello/a HTTP/1.1\r\nHost: a\r\n\r\n").unwrap();
        let mut byte = [0];
        stream.read_exact(&mut byte).unwrap();
    }
    assert_eq!(read_all(server.connect()), "", "one too many is closed without an answer");
    drop(held);
    let deadline = std::time::Instant::now() + PATIENCE;
    loop {
        let mut stream = server.connect();
        let request = b"GET /hello/a HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";
        if stream.write_all(request).is_ok() && status(&read_all(stream)) == "200" {
            break;
        }
        assert!(std::time::Instant::now() < deadline, "the places came back");
    }
}

#[test]
fn refusals_have_one_shape() {
    let server = start(limits(), None);
    let answer = server.send(b"GET /nope HTTP/1.1\r\nHost: a\r\nX-Request-Id: mine-1\r\n\r\n");
    let body = problem(&answer);
    assert_eq!((body["status"].as_u64(), body["request_id"].as_str()), (Some(404), Some("mine-1")));

    let answer = server.send(b"DELETE /hello/a HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_eq!(problem(&answer)["status"], 405);
    assert!(answer.contains("allow: GET, HEAD"), "{answer}");

    let answer = server.post("", "{}");
    assert_eq!(problem(&answer)["status"], 401);
    assert!(answer.contains("www-authenticate: Bearer"), "{answer}");
    assert_eq!(problem(&server.post("Authorization: Bearer weir_nope\r\n", "{}"))["status"], 401);
    assert_eq!(problem(&server.post("Authorization: Bearer weir_viewer\r\n", "{}"))["status"], 403);

    let admin = "Authorization: Bearer weir_admin\r\n";
    assert_eq!(status(&server.post(admin, "{\"a\":1}")), "200");
    assert_eq!(problem(&server.post(admin, "{"))["status"], 400);
    let form = format!("{admin}Content-Type: application/x-www-form-urlencoded\r\n");
    assert_eq!(problem(&server.post(&form, "a=1"))["status"], 415);
    assert_eq!(problem(&server.post(admin, &"x".repeat(101)))["status"], 413);
    let chunked = format!(
        "POST /echo HTTP/1.1\r\nHost: a\r\n{admin}Transfer-Encoding: chunked\r\n\r\n65\r\n{}\r\n0\r\n\r\n",
        "x".repeat(101)
    );
    assert_eq!(problem(&server.send(chunked.as_bytes()))["status"], 413, "no length was announced");
}

#[test]
fn a_client_that_is_still_sending_sees_why_it_was_refused() {
    let server = start(limits(), None);
    let mut stream = server.connect();
    let admin = "Authorization: Bearer weir_admin";
    let head = format!("POST /echo HTTP/1.1\r\nHost: a\r\n{admin}\r\nContent-Length: 524288\r\n\r\n");
    stream.write_all(head.as_bytes()).unwrap();
    let mut first = [0; 12];
    stream.read_exact(&mut first).unwrap();
    assert_eq!(&first, b"HTTP/1.1 413");
    for _ in 0..128 {
        stream.write_all(&[b'x'; 4_096]).expect("the connection is not reset under the client");
    }
    assert!(read_all(stream).contains("body_too_large"));
}

#[test]
fn callers_are_limited_one_by_one_and_told_so() {
    let server = start(limits(), Some(2));
    let get = |secret: &str| {
        let request =
            format!("GET /hello/a HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {secret}\r\n\r\n").repeat(6);
        server.send(request.as_bytes())
    };
    let answers = get("weir_admin");
    assert!(
        answers.contains("ratelimit-limit: 2") && answers.contains("ratelimit-remaining: 1"),
        "{answers}"
    );
    assert!(answers.contains("429 Too Many Requests") && answers.contains("retry-after: 1"), "{answers}");
    assert!(get("weir_viewer").starts_with("HTTP/1.1 200"), "another key has its own allowance");
}

#[test]
fn sockets_of_one_port_share_it() {
    let group = Listener::bind_group(SocketAddr::from(([127, 0, 0, 1], 0)), 3).unwrap();
    let ports: Vec<u16> = group.iter().map(|listener| listener.address().port()).collect();
    assert!(ports[0] != 0 && ports.iter().all(|port| *port == ports[0]), "{ports:?}");
    assert!(Listener::bind(group[0].address(), false).is_err(), "nobody else takes it");
}

#[test]
fn a_drain_lets_open_requests_finish_and_refuses_new_ones() {
    let server = start(Limits { header_timeout: PATIENCE, ..limits() }, None);
    let mut open = server.connect();
    let head =
        b"POST /echo HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer weir_admin\r\nContent-Length: 2\r\n\r\n";
    open.write_all(head).unwrap();
    let idle = server.connect();
    // A finished request on another connection tells that the open one has been accepted before it.
    assert_eq!(status(&server.send(b"GET /hello/a HTTP/1.1\r\nHost: a\r\n\r\n")), "200");
    server.stop.send(true).unwrap();
    assert_eq!(read_all(idle), "", "an idle connection is closed");
    open.write_all(b"{}").unwrap();
    assert_eq!(status(&read_all(open)), "200");
}

#[test]
fn half_a_request_does_not_hold_the_drain_up() {
    let long = Duration::from_secs(600);
    let server = start(Limits { header_timeout: long, drain: long, ..limits() }, None);
    let (mut first, mut second) = (server.connect(), server.connect());
    first.write_all(b"GET /hello/a HTTP/1.1\r\nHo").unwrap();
    second.write_all(b"GET /hello/a HTTP/1.1\r\nHost: a\r\n\r\nGET /hel").unwrap();
    assert_eq!(status(&server.send(b"GET /hello/a HTTP/1.1\r\nHost: a\r\n\r\n")), "200");
    server.stop.send(true).unwrap();
    assert_eq!(read_all(first), "");
    assert_eq!(status(&read_all(second)), "200", "what was whole is answered");
}
