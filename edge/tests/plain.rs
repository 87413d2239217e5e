//! Plain connections over real sockets, beside the same listener with hyper alone: whatever a client sends, it gets the
//! same answers from both.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::cell::Cell;
use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use http::header::{ACCEPT, COOKIE, HOST};
use http::{HeaderName, Method, Request, StatusCode};
use hyper::body::Incoming;
use proptest::prelude::*;
use tokio::sync::watch;
use weir_edge::lines::Lines;
use weir_edge::listener::{Limits, Listener, serve};
use weir_edge::plain::{PlainAnswer, PlainRequest, PlainService, ReadAt};
use weir_edge::response::{Response, headers_only, no_content, text};

/// Generous: the machine may be busy. Nothing is measured by it.
const PATIENCE: Duration = Duration::from_secs(30);
const X_SEEN: HeaderName = HeaderName::from_static("x-seen");

/// Says what was asked. A path with `hyper` in it is declined by the plain side, one with `wait` holds the thread up.
#[derive(Clone, Default)]
struct Echo {
    plainly: Arc<AtomicU64>,
    calls: Rc<Cell<u64>>,
}

fn echo(path: &str, query: &str, headers: &impl Lines) -> Response {
    let mut said = format!("path {path} query {query}");
    for name in [HOST, ACCEPT, COOKIE, X_SEEN] {
        for line in headers.lines(&name) {
            said += &format!(" {name} {}", line.escape_ascii());
        }
    }
    said += &format!(" wv {:?}", headers.cookie("wv"));
    if path.contains("big") {
        said += &"!".repeat(2_000);
    }
    let status = if path.contains("gone") { StatusCode::GONE } else { StatusCode::OK };
    text(status, said)
}

impl PlainService for Echo {
    fn answer(
        &self,
        request: &PlainRequest<'_>,
        _: SocketAddr,
        _: ReadAt,
        answer: &mut PlainAnswer<'_>,
    ) -> bool {
        self.calls.set(self.calls.get() + 1);
        if request.path.contains("hyper") {
            return false;
        }
        self.plainly.fetch_add(1, Ordering::Relaxed);
        if request.path.contains("wait") {
            std::thread::sleep(Duration::from_millis(100));
        }
        answer.response(&echo(request.path, request.query, request), request.head);
        true
    }
}

async fn through_hyper(request: Request<Incoming>) -> Response {
    if !matches!(*request.method(), Method::GET | Method::HEAD) {
        return no_content();
    }
    let response = echo(request.uri().path(), request.uri().query().unwrap_or(""), request.headers());
    if *request.method() == Method::HEAD { headers_only(response) } else { response }
}

struct Running {
    address: SocketAddr,
    plainly: Arc<AtomicU64>,
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

fn limits() -> Limits {
    Limits { header_timeout: PATIENCE, ..Limits::new("test", 100) }
}

fn start(limits: Limits, plain: bool) -> Running {
    let listener = Listener::bind(SocketAddr::from(([127, 0, 0, 1], 0)), false).unwrap();
    let address = listener.address();
    let (stop, stopped) = watch::channel(false);
    let plainly = Arc::<AtomicU64>::default();
    let count = Arc::clone(&plainly);
    let thread = std::thread::spawn(move || {
        let runtime = tokio::runtime::LocalRuntime::new().unwrap();
        let service = plain.then(|| Echo { plainly: count, ..Echo::default() });
        let served = serve(listener, limits, service, |request, _| through_hyper(request), stopped);
        runtime.block_on(served).unwrap();
    });
    Running { address, plainly, stop, thread: Some(thread) }
}

impl Running {
    fn connect(&self) -> TcpStream {
        let stream = TcpStream::connect(self.address).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.set_nodelay(true).unwrap();
        stream
    }

    /// Sends the parts, each in a packet of its own, and reads until the server closes.
    fn send(&self, parts: &[&[u8]]) -> String {
        let mut stream = self.connect();
        for part in parts {
            // The server may have refused and closed before all of it is written.
            if stream.write_all(part).is_err() {
                break;
            }
            std::thread::yield_now();
        }
        let _ = stream.shutdown(Shutdown::Write);
        read_all(stream)
    }

    fn plainly(&self) -> u64 {
        self.plainly.load(Ordering::Relaxed)
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

/// Answers without their date, each one's headers in the order of the alphabet.
fn comparable(answers: &str) -> Vec<String> {
    let heads = answers.split("HTTP/1.1 ").skip(1);
    heads
        .map(|answer| {
            let (head, body) = answer.split_once("\r\n\r\n").unwrap_or((answer, "<cut>"));
            let mut lines: Vec<&str> = head.split("\r\n").collect();
            let date = lines.iter().position(|line| line.starts_with("date: ")).expect("an answer is dated");
            let date = lines.remove(date).strip_prefix("date: ").unwrap();
            httpdate::parse_http_date(date).expect("a date of RFC 9110");
            lines[1..].sort_unstable();
            format!("{} | {body}", lines.join(" | "))
        })
        .collect()
}

#[test]
fn what_is_plain_is_answered_plainly() {
    let server = start(limits(), true);
    let answer = server.send(&[b"GET /a?b=c HTTP/1.1\r\nHost: x\r\nCookie: a=1; wv=22\r\n\r\n"]);
    assert!(answer.ends_with("path /a query b=c host x cookie a=1; wv=22 wv Some(\"22\")"), "{answer}");
    assert_eq!(server.plainly(), 1);
    let answer = server.send(&[b"HEAD /gone HTTP/1.1\r\nHost: x\r\n\r\n"]);
    assert!(answer.starts_with("HTTP/1.1 410 Gone\r\n") && answer.ends_with("\r\n\r\n"), "{answer}");
    assert!(answer.contains("content-length: 32"), "{answer}");
    assert_eq!(server.plainly(), 2);
}

#[test]
fn the_rest_is_hypers_and_gets_the_same_answers() {
    let (plain, hyper) = (start(limits(), true), start(limits(), false));
    let get: &[u8] = b"GET /a HTTP/1.1\r\nHost: x\r\n\r\n";
    let cases: &[&[&[u8]]] = &[
        &[get, get, get],
        &[b"GET /a HTTP/1.1\r\nHost: x\r\n\r\nGET /b HTTP/1.1\r\nHost: x\r\n\r\n"],
        // From plain to hyper within one packet, and on from there.
        &[
            b"GET /a HTTP/1.1\r\nHost: x\r\n\r\nPOST /b HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\nabc",
            get,
        ],
        &[b"GET /a HTTP/1.1\r\nHost: x\r\n\r\nGET /hyper HTTP/1.1\r\nHost: x\r\n\r\nGET /c HTTP/1.1\r\n\r\n"],
        // In pieces.
        &[b"GET /a HTT", b"P/1.1\r\nHo", b"st: x\r\n", b"\r\n"],
        &[b"GET /a HTTP/1.1\r\nHost: x\r\n\r\nGET /b HT", b"TP/1.1\r\nHost: x\r\n\r\n"],
        // The ends of a connection.
        &[b"GET /a HTTP/1.0\r\n\r\n"],
        &[b"GET /a HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n", get],
        &[b"GET /a HTTP/1.1\r\nHost: x\r\nConnection: keep-alive, close\r\n\r\n", get],
        &[b"GET /a HTTP/1.1\r\nHost: x\r\nConnection: Keep-Alive\r\n\r\n", get],
        // Bodies where none is expected, and what smugglers try.
        &[b"GET /a HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nhello", get],
        &[b"GET /a HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", get],
        &[
            b"GET /a HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
            get,
        ],
        &[b"GET /a HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab", get],
        &[b"GET /a HTTP/1.1\r\nHost: x\r\nContent-Length : 5\r\n\r\nhello"],
        &[b"GET /a HTTP/1.1\r\nHost: x\r\n folded: y\r\n\r\n"],
        &[b"GET /a HTTP/1.1\nHost: x\n\n"],
        &[b"GET /a HTTP/1.1\r\nHost: x\r\nX-Seen: a\0b\r\n\r\n"],
        &[b"GET /a HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\n\r\n"],
        &[b"GET /a HTTP/1.1\r\nHost: x\r\nUpgrade: h2c\r\nConnection: upgrade\r\n\r\n"],
        // Targets that may be read in more than one way.
        &[b"GET http://other/a HTTP/1.1\r\nHost: x\r\n\r\n"],
        &[b"GET //other/a HTTP/1.1\r\nHost: x\r\n\r\n"],
        &[b"GET /a#b HTTP/1.1\r\nHost: x\r\n\r\n"],
        &[b"GET /a\"<>{}|^` HTTP/1.1\r\nHost: x\r\n\r\n"],
        &[b"GET /\xc3\xbc HTTP/1.1\r\nHost: x\r\n\r\n"],
        &[b"GET * HTTP/1.1\r\nHost: x\r\n\r\n"],
        &[b"OPTIONS * HTTP/1.1\r\nHost: x\r\n\r\n"],
        &[b"GET /a HTTP/1.1\r\nHost: x\r\nHost: y\r\n\r\n"],
        &[b"get /a HTTP/1.1\r\nHost: x\r\n\r\n"],
        &[b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"],
        &[b"\r\n\r\nGET /a HTTP/1.1\r\nHost: x\r\n\r\n"],
        &[b"\x16\x03\x01\x02\x00\x01"],
        &[b""],
    ];
    for case in cases {
        let shown = case.concat();
        let shown = shown.escape_ascii();
        let (one, other) = both(&plain, &hyper, case);
        assert_eq!(one, other, "{shown}");
    }
    assert_eq!(hyper.plainly(), 0);
}

/// What both say. Whether a connection that ends in nonsense is told 400 or only closed depends, with hyper
/// alone too, on how its bytes were cut into packets: that last word is left out.
fn both(plain: &Running, hyper: &Running, parts: &[&[u8]]) -> (Vec<String>, Vec<String>) {
    let ask = |server: &Running| {
        let mut answers = comparable(&server.send(parts));
        answers.pop_if(|last| last.starts_with("400 Bad Request | connection: close"));
        answers
    };
    (ask(plain), ask(hyper))
}

/// Requests of which some are plain and most are nearly so.
fn requests() -> impl Strategy<Value = Vec<u8>> {
    let method = prop_oneof![8 => Just("GET"), 2 => Just("HEAD"), 1 => Just("POST"), 1 => Just("BREW")];
    let target = prop_oneof![8 => "/[a-z]{0,6}(\\?[a-z=&%+]{0,8})?", 1 => "[!-~]{1,9}", 1 => "/hyper"];
    let version = prop_oneof![16 => Just("HTTP/1.1"), 1 => Just("HTTP/1.0"), 1 => Just("HTTP/1.2")];
    let header = prop_oneof![
        12 => "(accept|COOKIE|x-seen|wv): ?[ -~]{0,12} {0,2}",
        4 => Just("Connection: keep-alive".to_owned()),
        1 => Just("Content-Length: 0".to_owned()),
        4 => Just("Cookie: wv=1; wv=2".to_owned()),
        1 => "[!-~]{0,8}:?[ -~\t]{0,8}",
    ];
    let headers = prop::collection::vec(header, 0..4);
    let spoilt = prop::option::weighted(0.1, (any::<prop::sample::Index>(), any::<u8>()));
    (method, target, version, headers, spoilt).prop_map(|(method, target, version, headers, spoilt)| {
        let mut bytes = format!("{method} {target} {version}\r\n").into_bytes();
        for header in headers {
            bytes.extend_from_slice(header.as_bytes());
            bytes.extend_from_slice(b"\r\n");
        }
        bytes.extend_from_slice(b"\r\n");
        if let Some((at, byte)) = spoilt {
            let at = at.index(bytes.len());
            bytes[at] = byte;
        }
        bytes
    })
}

#[test]
fn both_sides_say_the_same_whatever_comes() {
    let (plain, hyper) = (start(limits(), true), start(limits(), false));
    let stories = prop::collection::vec(requests(), 1..4);
    let config = ProptestConfig { cases: 1_500, failure_persistence: None, ..ProptestConfig::default() };
    proptest!(config, |(story in stories, cut in any::<prop::sample::Index>())| {
        let whole = story.concat();
        let (first, second) = whole.split_at(cut.index(whole.len()));
        let (one, other) = both(&plain, &hyper, &[first, second]);
        prop_assert_eq!(one, other, "{}", whole.escape_ascii());
    });
    assert!(plain.plainly() > 300, "{}: requests were plain", plain.plainly());
}

#[test]
fn an_idle_connection_is_closed_and_a_busy_one_is_not() {
    let server = start(Limits { header_timeout: Duration::from_millis(1_000), ..limits() }, true);
    let idle = server.connect();
    let mut once = server.connect();
    let mut busy = server.connect();
    let mut answer = [0; 512];
    once.write_all(b"GET /a HTTP/1.1\r\nHost: x\r\n\r\n").unwrap();
    assert!(once.read(&mut answer).unwrap() > 0);
    let begun = std::time::Instant::now();
    while begun.elapsed() < Duration::from_millis(3_500) {
        busy.write_all(b"GET /a HTTP/1.1\r\nHost: x\r\n\r\n").unwrap();
        assert!(busy.read(&mut answer).unwrap() > 0, "a busy connection is kept");
        std::thread::sleep(Duration::from_millis(20));
    }
    assert_eq!(read_all(idle), "");
    assert_eq!(read_all(once), "");
    let mut slow = server.connect();
    slow.write_all(b"GET /a HTTP/1.1\r\nHost:").unwrap();
    let slow = read_all(slow);
    assert!(slow.is_empty() || slow.starts_with("HTTP/1.1 408"), "{slow}");
}

#[test]
fn a_client_that_does_not_read_is_cut() {
    let server = start(Limits { write_timeout: Duration::from_millis(500), ..limits() }, true);
    // Whole requests per packet stay plain; after a POST they are hyper's.
    for begin in ["", "POST /a HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n"] {
        let mut deaf = server.connect();
        deaf.set_write_timeout(Some(PATIENCE)).unwrap();
        deaf.write_all(begin.as_bytes()).unwrap();
        let requests = b"GET /a HTTP/1.1\r\nHost: x\r\n\r\n".repeat(100);
        // Bounded: some megabytes fill what both kernels hold; then nobody reads and nobody writes.
        let cut = (0..20_000).find_map(|_| deaf.write_all(&requests).err()).expect("an end");
        let patient = [std::io::ErrorKind::WouldBlock, std::io::ErrorKind::TimedOut];
        assert!(!patient.contains(&cut.kind()), "the server closes, and not the client's patience: {cut}");
    }
    assert!(server.send(&[b"GET /b HTTP/1.1\r\nHost: x\r\n\r\n"]).starts_with("HTTP/1.1 200"));
}

fn asks(paths: impl Iterator<Item = String>) -> String {
    paths.map(|path| format!("GET {path} HTTP/1.1\r\nHost: x\r\n\r\n")).collect()
}

/// The paths that were answered, in order.
fn answered(answers: &str) -> Vec<String> {
    let bodies = comparable(answers);
    let paths = bodies.iter().map(|body| body.split_once("| path ").expect("an echo").1);
    paths.map(|path| path.split(' ').next().unwrap_or("").to_owned()).collect()
}

#[test]
fn each_of_a_crowd_gets_its_own_answers_in_its_order() {
    const CLIENTS: usize = 200;
    const ROUNDS: usize = 30;
    // Who is forgotten is not helped by the end of idle connections.
    let limits = Limits { max_connections: CLIENTS + 1, header_timeout: 2 * PATIENCE, ..limits() };
    let server = start(limits, true);
    let clients: Vec<_> = (0..CLIENTS).map(|_| server.connect()).collect();
    // Meanwhile the others come, more than wait for their answers at once, and write on while they wait.
    let mut first = server.connect();
    first.write_all(asks(["/wait".to_owned()].into_iter()).as_bytes()).unwrap();
    let path = |client: usize, round: usize| match (client % 9, round) {
        (4, 20) => format!("/{client}/{round}/hyper"),
        (_, 10) => format!("/{client}/{round}/wait").replace("wait", if client == 7 { "wait" } else { "go" }),
        _ => format!("/{client}/{round}"),
    };
    for round in 0..ROUNDS {
        for (client, mut stream) in clients.iter().enumerate() {
            stream.write_all(asks([path(client, round)].into_iter()).as_bytes()).unwrap();
        }
    }
    for (client, stream) in clients.into_iter().enumerate() {
        stream.shutdown(Shutdown::Write).unwrap();
        let expected: Vec<_> = (0..ROUNDS).map(|round| path(client, round)).collect();
        assert_eq!(answered(&read_all(stream)), expected, "client {client}");
    }
}

#[test]
fn a_client_that_reads_late_gets_everything_once() {
    const REQUESTS: usize = 10_000;
    let server = start(limits(), true);
    let mut stream = server.connect();
    // As many bytes each as divide what is read at once: none is cut, and all stay plain.
    let asks = |n| format!("GET /{n:0>6}/big HTTP/1.1\r\nHost: {:x>28}\r\n\r\n", "");
    assert_eq!(asks(1).len(), 64);
    for part in 0..REQUESTS / 100 {
        let requests: String = (part * 100..(part + 1) * 100).map(asks).collect();
        stream.write_all(requests.as_bytes()).unwrap();
    }
    stream.shutdown(Shutdown::Write).unwrap();
    // By now the server cannot write on: the answers are twenty megabytes.
    std::thread::sleep(Duration::from_millis(500));
    assert!(server.plainly() < REQUESTS as u64, "{}", server.plainly());
    let paths = answered(&read_all(stream));
    assert_eq!(paths.len(), REQUESTS);
    assert!(paths.iter().enumerate().all(|(n, path)| *path == format!("/{n:0>6}/big")));
    assert_eq!(server.plainly(), REQUESTS as u64);
}

#[test]
fn a_stop_closes_idle_connections_and_answers_what_was_sent() {
    let server = start(limits(), true);
    let mut kept = server.connect();
    let mut answer = [0; 512];
    kept.write_all(b"GET /a HTTP/1.1\r\nHost: x\r\n\r\n").unwrap();
    assert!(kept.read(&mut answer).unwrap() > 0);
    let silent = server.connect();
    // A finished request on a later connection tells that this one has been accepted.
    assert!(server.send(&[b"GET /b HTTP/1.1\r\nHost: x\r\n\r\n"]).starts_with("HTTP/1.1 200"));
    server.stop.send(true).unwrap();
    assert_eq!(read_all(kept), "");
    assert_eq!(read_all(silent), "");
}
