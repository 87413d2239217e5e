//! The thread, over a real journal.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use weir_schemas::fact::{Role, Sealed};
use weir_schemas::ids::KeyId;

use super::*;
use crate::journal::JournalConfig;
use crate::keyring::Keyring;
use crate::keys::hash_secret;
use crate::recorder::lane::LANE_BYTES_MIN;
use crate::recorder::{Lane, Recorder, RecorderConfig};

const DEADLINE: Duration = Duration::from_secs(60);

struct Engine {
    recorder: Recorder,
    lanes: Vec<Lane>,
    books: Books,
    keyring: Arc<Keyring>,
}

fn start(dir: &Path) -> Engine {
    start_with(dir, BacklogLimits::default())
}

fn start_with(dir: &Path, backlog: BacklogLimits) -> Engine {
    let config = RecorderConfig {
        journal: JournalConfig { folder: dir.join("journal"), node: 0, segment_bytes: 20_000 },
        lanes_folder: dir.join("lanes"),
        lanes: 1,
        lane_bytes: LANE_BYTES_MIN,
        pace: Duration::from_millis(1),
    };
    let refine = Box::new(|_, _, raw: &[u8], out: &mut Vec<u8>| {
        out.extend_from_slice(raw);
        Ok(weir_schemas::fact::kind::CLICK)
    });
    let (recorder, lanes, _) = Recorder::start(config, refine).unwrap();
    let keyring = Arc::new(Keyring::open(&dir.join("keyring.db")).unwrap());
    let config = BooksConfig { path: dir.join("books.db"), journal: dir.join("journal"), backlog };
    let books = Books::start(config, recorder.clone(), Arc::clone(&keyring)).unwrap();
    let durable = recorder.durable().get();
    assert!(books.applied().wait_reached(durable, DEADLINE) >= durable);
    Engine { recorder, lanes, books, keyring }
}

impl Engine {
    fn stop(self) {
        self.recorder.stop();
        self.books.stop();
    }
}

fn recorded(fact: What) -> Recorded {
    let (at, workspace) = (Timestamp(NOON), WorkspaceId(1));
    Recorded { at, workspace, actor: Actor::System, request: None, fact }
}

fn link(id: u64, slug: &str) -> What {
    let spec = json!({"slug": slug, "destination": "https://shop.example/"});
    What::LinkCreated { id: LinkId(id), spec: serde_json::from_value(spec).unwrap(), spare_slugs: vec![] }
}

#[tokio::test]
async fn what_was_submitted_is_read_and_found_at_once_and_after_a_restart() {
    let dir = tempfile::tempdir().unwrap();
    let mut engine = start(dir.path());
    let books = engine.books.clone();
    let (name, timezone) = ("shop".to_owned(), "UTC".to_owned());
    let workspace = What::WorkspaceCreated { name, currency: Currency::EUR, timezone, key: None };
    assert_eq!(books.submit(recorded(workspace)).await.unwrap().status, 201);
    assert_eq!(books.submit(recorded(link(100, "a"))).await.unwrap().status, 201);
    assert_eq!(books.links().find("any", "a").unwrap().id, LinkId(100));
    assert_eq!(books.reads().link(WorkspaceId(1), LinkId(100)).unwrap().unwrap().id, LinkId(100));
    assert_eq!(books.reads().link(WorkspaceId(2), LinkId(100)).unwrap(), None);
    assert_eq!(books.submit(recorded(link(101, "a"))).await.unwrap().status, 409);
    let patch = json!({"slug": "b"}).as_object().unwrap().clone();
    books.submit(recorded(What::LinkUpdated { id: LinkId(100), patch })).await.unwrap();
    assert!(books.links().find("any", "a").is_none());
    assert_eq!(books.submit(recorded(link(102, "a"))).await.unwrap().status, 201);

    let key = What::KeyCreated {
        id: KeyId(7),
        name: "k".into(),
        role: Role::Admin,
        partner: None,
        secret_sha256: hash_secret("weir_secret"),
        hint: "weir_s".into(),
    };
    books.submit(recorded(key)).await.unwrap();
    let principal = books.keys().find("weir_secret").unwrap();
    assert_eq!((principal.key, principal.role), (KeyId(7), Role::Admin));
    let sealed = engine.keyring.seal(ENDPOINT_SECRET_CONTEXT, b"whsec_1");
    let endpoint = What::EndpointCreated {
        id: ENDPOINT,
        provider: "stripe".into(),
        secrets: vec![sealed, Sealed("broken".into())],
        program_id: None,
        settings: None,
    };
    books.submit(recorded(endpoint)).await.unwrap();
    assert_eq!(books.endpoints().find(ENDPOINT).unwrap().secrets, ["whsec_1"]);

    // A hit between facts moves the watermark and nothing else.
    let counter = engine.lanes[0].append(b"hit").unwrap();
    engine.recorder.click_durable(0, counter).await;
    let durable = engine.recorder.durable().get();
    assert!(books.applied().wait_reached(durable, DEADLINE) >= durable);
    books.submit(recorded(What::LinkDeleted { id: LinkId(102) })).await.unwrap();
    assert!(books.links().find("any", "a").is_none());
    let digest = books.reads().digest().unwrap();
    engine.stop();

    let engine = start(dir.path());
    let books = engine.books.clone();
    assert_eq!(books.links().find("any", "b").unwrap().id, LinkId(100));
    assert_eq!(books.links().len(), 1);
    assert!(books.keys().find("weir_secret").is_some());
    assert_eq!(books.endpoints().find(ENDPOINT).unwrap().secrets, ["whsec_1"]);
    assert_eq!(books.reads().digest().unwrap(), digest);
    books.submit(recorded(What::KeyRevoked { id: KeyId(7) })).await.unwrap();
    assert!(books.keys().find("weir_secret").is_none());
    engine.stop();
}

#[tokio::test]
async fn many_at_once_are_all_answered_and_a_replay_gives_the_same_books() {
    let dir = tempfile::tempdir().unwrap();
    let engine = start(dir.path());
    let submissions = (0..200_u64).map(|n| {
        let books = engine.books.clone();
        let order = json!({"event": "sale", "order_id": format!("A-{}", n % 100),
                           "amount": {"amount": 7, "currency": "EUR"}});
        let conversion = serde_json::from_value(order).unwrap();
        let id = ConversionId(1_000 + n);
        let fact = What::plain_conversion(id, conversion, ClickClaim::None);
        tokio::spawn(async move { books.submit(recorded(fact)).await.unwrap().status })
    });
    let submissions: Vec<_> = submissions.collect();
    let mut created = 0;
    for submission in submissions {
        created += usize::from(submission.await.unwrap() == 201);
    }
    assert_eq!(created, 100);
    let seq = engine.books.submit_durable(recorded(link(5, "x"))).await.unwrap();
    engine.books.applied().reached(seq).await;
    assert!(engine.books.links().find("h", "x").is_some());
    let effects = engine.books.reads().effects(0, seq, usize::MAX).unwrap();
    assert_eq!(effects.iter().map(|effect| effect.change.revenue).sum::<i64>(), 700);
    let books = engine.books.clone();
    engine.stop();
    assert_eq!(books.submit(recorded(link(6, "y"))).await, Err(SubmitError::Stopped));

    let path = dir.path().join("books.db");
    let keyring = Keyring::open(&dir.path().join("keyring.db")).unwrap();
    let rebuilt = rebuild(&path, &dir.path().join("journal"), &keyring).unwrap();
    assert_eq!(rebuilt.findings, Vec::<String>::new());
    assert_eq!((rebuilt.facts, rebuilt.last), (201, seq));
    assert_eq!(rebuilt.before, Some(rebuilt.digest.clone()));
    let engine = start(dir.path());
    assert_eq!(engine.books.reads().digest().unwrap(), rebuilt.digest);
    engine.stop();
}

/// Facts 100, 101, 102, durable while somebody else holds the books' file, and who holds it.
async fn three_behind(dir: &Path, books: &Books) -> rusqlite::Connection {
    let other = rusqlite::Connection::open(dir.join("books.db")).unwrap();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    for n in 100..103 {
        books.submit_durable(recorded(link(n, &format!("s{n}")))).await.unwrap();
    }
    assert_eq!(books.behind(), 3);
    other
}

#[tokio::test]
async fn a_webhook_waits_for_its_turn_while_the_books_are_behind_and_is_refused_in_the_end() {
    let dir = tempfile::tempdir().unwrap();
    let limits = |patience| BacklogLimits { facts: 3, patience };
    let engine = start_with(dir.path(), limits(Duration::from_millis(20)));
    let other = three_behind(dir.path(), &engine.books).await;
    let refused = engine.books.submit_durable(recorded(link(103, "x"))).await;
    assert_eq!(refused, Err(SubmitError::BooksBehind));
    assert_eq!(engine.recorder.facts_journaled(), 3, "it was not recorded");
    other.execute_batch("ROLLBACK").unwrap();
    engine.books.applied().reached(engine.recorder.durable().get()).await;
    assert_eq!(engine.books.behind(), 0);
    engine.books.submit_durable(recorded(link(104, "y"))).await.unwrap();
    engine.stop();

    let dir = tempfile::tempdir().unwrap();
    let engine = start_with(dir.path(), limits(DEADLINE));
    let other = three_behind(dir.path(), &engine.books).await;
    let books = engine.books.clone();
    let waiting = tokio::spawn(async move { books.submit_durable(recorded(link(103, "x"))).await });
    for _ in 0..100 {
        tokio::task::yield_now().await;
    }
    assert!(!waiting.is_finished() && engine.recorder.facts_journaled() == 3, "it waits");
    other.execute_batch("ROLLBACK").unwrap();
    let seq = waiting.await.unwrap().unwrap();
    engine.books.applied().reached(seq).await;
    assert!(engine.books.links().find("any", "x").is_some());
    engine.stop();
    // What an earlier run left behind is nobody's turn to wait for.
    let engine = start_with(dir.path(), limits(DEADLINE));
    assert_eq!(engine.books.behind(), 0);
    engine.stop();
}

#[tokio::test]
async fn clicks_alone_change_nothing_in_the_books() {
    let dir = tempfile::tempdir().unwrap();
    let mut engine = start(dir.path());
    engine.books.submit(recorded(link(1, "a"))).await.unwrap();
    let (changed, before) = (engine.books.changed(), engine.books.applied().get());
    engine.lanes[0].append(b"a click").unwrap();
    assert!(engine.books.applied().wait_reached(before + 1, DEADLINE) > before);
    assert_eq!(engine.books.changed(), changed);
    engine.books.submit(recorded(link(2, "b"))).await.unwrap();
    assert!(engine.books.changed() > changed);
    engine.stop();
}

#[test]
fn books_ahead_of_their_journal_do_not_start() {
    let dir = tempfile::tempdir().unwrap();
    Store::open(&dir.path().join("books.db")).unwrap().apply_batch(&[(9, Err("x".into()))]).unwrap();
    let journal = JournalConfig { folder: dir.path().join("journal"), node: 0, segment_bytes: 20_000 };
    let config = RecorderConfig {
        journal,
        lanes_folder: dir.path().join("lanes"),
        lanes: 0,
        lane_bytes: LANE_BYTES_MIN,
        pace: Duration::from_millis(1),
    };
    let (recorder, _, _) =
        Recorder::start(config, Box::new(|_, _, _, _| Ok(weir_schemas::fact::kind::CLICK))).unwrap();
    let keyring = Arc::new(Keyring::open(&dir.path().join("keyring.db")).unwrap());
    let config = BooksConfig {
        path: dir.path().join("books.db"),
        journal: dir.path().join("journal"),
        backlog: Default::default(),
    };
    let refused = Books::start(config, recorder.clone(), keyring);
    assert!(matches!(refused, Err(BooksError::Ahead { applied: 9, durable: 0 })), "{refused:?}");
    recorder.stop();
}
