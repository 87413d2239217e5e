//! What the tests of commands and hooks stand on: real journal, books and keyring, and requests over a real
//! socket.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use http::Method;
use serde_json::Value;
use tokio::sync::watch;
use weir_edge::auth::Authenticator;
use weir_edge::limit::{DEFAULT_PER_SECOND, Limiter};
use weir_edge::listener::{Limits, Listener, serve};
use weir_edge::peer::TrustedProxies;
use weir_edge::plain::AllToHyper;
use weir_edge::service::Service;
use weir_engine::books::{BacklogLimits, Books, BooksConfig};
use weir_engine::clicks::RecentClicks;
use weir_engine::journal::JournalConfig;
use weir_engine::keyring::Keyring;
use weir_engine::recorder::lane::LANE_BYTES_MIN;
use weir_engine::recorder::{Lane, Recorder, RecorderConfig, Refine};
use weir_ingest::commands::{Claims, Commands, FindClick, NewIds, keys};
use weir_ingest::hooks::Hooks;
use weir_ingest::postback::Postbacks;
use weir_schemas::fact::{Actor, Fact, Recorded, Role};
use weir_schemas::ids::{KeyId, WorkspaceId};
use weir_schemas::money::Currency;
use weir_schemas::time::Timestamp;

pub const ADMIN: &str = "weir_admin000000000000000000000000000000";
pub const VIEWER: &str = "weir_viewer00000000000000000000000000000";
pub const INGEST: &str = "weir_ingest00000000000000000000000000000";

/// A running edge: commands and hooks on one listener.
pub struct Edge {
    pub address: SocketAddr,
    pub books: Books,
    pub recorder: Recorder,
    pub keyring: Arc<Keyring>,
    /// What is appended here is a click already.
    pub lane: Lane,
    stop: watch::Sender<bool>,
    thread: Option<JoinHandle<()>>,
    dir: tempfile::TempDir,
}

pub struct Answer {
    pub status: u16,
    pub head: String,
    pub body: Value,
}

fn block_on<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::LocalRuntime::new().unwrap().block_on(future)
}

fn start_recorder(dir: &Path) -> (Recorder, Lane) {
    let config = RecorderConfig {
        journal: JournalConfig { folder: dir.join("journal"), node: 0, segment_bytes: 1 << 20 },
        lanes_folder: dir.join("lanes"),
        lanes: 1,
        lane_bytes: LANE_BYTES_MIN,
        pace: Duration::from_millis(1),
    };
    let refine: Refine = Box::new(|_, _, click, out| {
        out.extend_from_slice(click);
        Ok(weir_schemas::fact::kind::CLICK)
    });
    let (recorder, mut lanes, _) = Recorder::start(config, refine).unwrap();
    (recorder, lanes.remove(0))
}

impl Edge {
    pub fn start() -> Self {
        Self::start_with(None)
    }

    /// `per_second`: how often one webhook endpoint may be called.
    pub fn start_with(per_second: Option<u32>) -> Self {
        Self::start_as(per_second, BacklogLimits::default())
    }

    /// `backlog`: how far the books may be behind before webhooks wait.
    pub fn start_as(per_second: Option<u32>, backlog: BacklogLimits) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let (recorder, lane) = start_recorder(dir.path());
        let keyring = Arc::new(Keyring::open(&dir.path().join("keyring.db")).unwrap());
        let config =
            BooksConfig { path: dir.path().join("books.db"), journal: dir.path().join("journal"), backlog };
        let books = Books::start(config, recorder.clone(), Arc::clone(&keyring)).unwrap();
        let ids = Arc::new(NewIds::new(0));
        let at = Timestamp::now();
        let record = |fact| {
            let recorded =
                Recorded { at, workspace: WorkspaceId(1), actor: Actor::System, request: None, fact };
            assert!(block_on(books.submit(recorded)).unwrap().status < 300);
        };
        record(Fact::WorkspaceCreated {
            name: "first".into(),
            currency: Currency::EUR,
            timezone: "UTC".into(),
            key: None,
        });
        for (secret, role) in [(ADMIN, Role::Admin), (VIEWER, Role::Viewer), (INGEST, Role::Ingest)] {
            record(keys::key_created(KeyId(ids.next(at)), "test", role, None, secret));
        }
        let recent = RecentClicks::of(recorder.traffic());
        let find: FindClick = Arc::new(|_, _| Box::pin(async { None }));
        let claims = Arc::new(Claims::new(&keyring.token_keys(), recent, find));
        let public_url = "https://go.example".to_owned();
        let commands = Arc::new(Commands::new(
            books.clone(),
            Arc::clone(&keyring),
            Arc::clone(&ids),
            Arc::clone(&claims),
            Arc::new(|_, _| Box::pin(async { Some(7) })),
            public_url,
        ));
        let per_second = per_second.map_or(DEFAULT_PER_SECOND, |n| n.try_into().unwrap());
        let hooks = Arc::new(Hooks {
            books: books.clone(),
            endpoints: books.endpoints().clone(),
            keyring: Arc::clone(&keyring),
            ids,
            claims,
            limiter: Arc::new(Limiter::new(per_second)),
        });
        let postbacks = Arc::new(Postbacks {
            books: books.clone(),
            ids: Arc::clone(&hooks.ids),
            claims: Arc::clone(&hooks.claims),
            limiter: Arc::new(Limiter::new(per_second)),
        });
        let service = Arc::new(Service {
            name: "test",
            router: weir_ingest::commands::routes(&commands)
                .merge(weir_ingest::hooks::routes(&hooks))
                .merge(weir_ingest::postback::routes(&postbacks)),
            authenticator: Some(Authenticator::new(books.keys().clone(), None)),
            limiter: None,
            proxies: TrustedProxies::default(),
        });
        let listener = Listener::bind(SocketAddr::from(([127, 0, 0, 1], 0)), false).unwrap();
        let address = listener.address();
        let (stop, stopped) = watch::channel(false);
        let thread = std::thread::spawn(move || {
            let runtime = tokio::runtime::LocalRuntime::new().unwrap();
            let answer = move |request, peer| {
                let service = Arc::clone(&service);
                async move { service.answer(request, peer).await }
            };
            let served = serve(listener, Limits::new("test", 1_000), None::<AllToHyper>, answer, stopped);
            runtime.block_on(served).unwrap();
        });
        Self { address, books, recorder, keyring, lane, stop, thread: Some(thread), dir }
    }

    pub fn dir(&self) -> &Path {
        self.dir.path()
    }

    pub fn send(&self, method: Method, path: &str, headers: &[(&str, &str)], body: &[u8]) -> Answer {
        let mut stream = TcpStream::connect(self.address).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
        let mut head = format!("{method} {path} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n");
        head += &format!("Content-Length: {}\r\n", body.len());
        for (name, value) in headers {
            head += &format!("{name}: {value}\r\n");
        }
        stream.write_all((head + "\r\n").as_bytes()).unwrap();
        // The server may answer a body over its bound before it has all of it.
        let _ = stream.write_all(body);
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).unwrap();
        let answer = String::from_utf8(answer).unwrap();
        let (head, body) = answer.split_once("\r\n\r\n").expect("an answer has a head");
        let status = head.split(' ').nth(1).unwrap().parse().unwrap();
        let body = if body.is_empty() { Value::Null } else { serde_json::from_str(body).unwrap() };
        Answer { status, head: head.to_owned(), body }
    }

    pub fn call(&self, key: &str, method: Method, path: &str, body: &Value) -> Answer {
        self.call_with(key, method, path, body, &[])
    }

    pub fn call_with(
        &self,
        key: &str,
        method: Method,
        path: &str,
        body: &Value,
        headers: &[(&str, &str)],
    ) -> Answer {
        let bearer = format!("Bearer {key}");
        let mut all = vec![("Authorization", bearer.as_str()), ("Content-Type", "application/json")];
        all.extend_from_slice(headers);
        let body = if body.is_null() { String::new() } else { body.to_string() };
        self.send(method, path, &all, body.as_bytes())
    }

    pub fn post(&self, path: &str, body: &Value) -> Answer {
        self.call(ADMIN, Method::POST, path, body)
    }

    /// Waits until the books have applied all that is durable.
    pub fn settle(&self) {
        let durable = self.recorder.durable().get();
        block_on(self.books.applied().reached(durable));
    }
}

impl Answer {
    #[track_caller]
    pub fn expect(self, status: u16) -> Value {
        assert_eq!(self.status, status, "{}\n{}", self.head, self.body);
        if status >= 400 {
            assert!(self.head.contains("content-type: application/problem+json"), "{}", self.head);
            assert_eq!(self.body["status"], status);
        }
        self.body
    }
}

impl Drop for Edge {
    fn drop(&mut self) {
        let _ = self.stop.send(true);
        if let Some(thread) = self.thread.take() {
            thread.join().expect("the listener's thread ends in order");
        }
        self.recorder.stop();
        self.books.stop();
    }
}

mod commands;
mod hooks;
mod postbacks;
mod providers;
