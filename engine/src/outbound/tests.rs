//! The store against crashes and failures, and the sender against an endpoint that takes nothing.

use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use serde_json::json;
use weir_schemas::fact::{Actor, ClickClaim, Fact, Recorded};
use weir_schemas::ids::{ConversionId, OutboundEndpointId, WorkspaceId};
use weir_schemas::money::Currency;
use weir_schemas::outbound::OutboundSpec;
use weir_schemas::time::Timestamp;

use super::store::Store;
use super::{MessageState, Outbound, OutboundConfig, Post, Tried};
use crate::books::{Books, BooksConfig, OUTBOUND_CONTEXT, OutboundTarget, OutboxRow};
use crate::journal::JournalConfig;
use crate::keyring::Keyring;
use crate::recorder::lane::LANE_BYTES_MIN;
use crate::recorder::{Recorder, RecorderConfig};

fn target(id: u64) -> OutboundTarget {
    OutboundTarget {
        id: OutboundEndpointId(id),
        workspace: WorkspaceId(1),
        spec: OutboundSpec {
            url: "https://shop.example/".into(),
            events: vec!["refund.created".into()],
            description: None,
            enabled: true,
            disabled_reason: None,
        },
        secrets: Vec::new(),
        created_seq: 10,
        changed_seq: 10,
    }
}

fn row(seq: u64, event: &str) -> OutboxRow {
    let data = json!({"fulfilment": {"slug": "abc"}, "seq": seq});
    OutboxRow { seq, n: 0, workspace: WorkspaceId(1), event: event.into(), at: Timestamp(seq as i64), data }
}

#[test]
fn messages_wait_in_order_and_once() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(&dir.path().join("outbound.db")).unwrap();
    let (one, all) =
        (target(1), OutboundTarget { spec: OutboundSpec { events: vec![], ..target(2).spec }, ..target(2) });
    let rows = [
        row(9, "refund.created"),
        row(11, "refund.created"),
        row(12, "conversion.created"),
        row(13, "refund.created"),
    ];
    let targets = [one.clone(), all.clone()];
    store.take_over(&rows, &targets, "https://go.example").unwrap();
    // A crash between the two stores gives the same rows again.
    store.take_over(&rows, &targets, "https://go.example").unwrap();
    assert_eq!(store.place().unwrap(), (13, 0));
    let sequences = |endpoint: &OutboundTarget| -> Vec<u64> {
        let messages = store.messages(endpoint.id, i64::MAX, 100).unwrap();
        messages.iter().rev().map(|(_, message)| message.payload["data"]["seq"].as_u64().unwrap()).collect()
    };
    assert_eq!(sequences(&one), [11, 13], "from its making on, and what it wants");
    assert_eq!(sequences(&all), [11, 12, 13]);
    let first = store.first_waiting(&one).unwrap().unwrap();
    assert!(first.payload.contains("https://go.example/abc"), "{}", first.payload);
    let failed = Tried { status: Some(500), error: Some("answered 500".into()), excerpt: String::new() };
    store.tried(first.number, Timestamp(100), &failed, Timestamp(112)).unwrap();
    let again = store.first_waiting(&one).unwrap().unwrap();
    assert_eq!(
        (again.id.as_str(), again.attempts, again.next_at),
        (first.id.as_str(), 1, 112),
        "it keeps its place"
    );
    // Turned on again, it is tried at once.
    let changed = OutboundTarget { changed_seq: 20, ..one.clone() };
    assert_eq!(store.first_waiting(&changed).unwrap().unwrap().next_at, 0);
    let good = Tried { status: Some(200), error: None, excerpt: "ok".into() };
    store.tried(first.number, Timestamp(200), &good, Timestamp(0)).unwrap();
    assert_ne!(store.first_waiting(&changed).unwrap().unwrap().id, first.id);
    assert!(store.replay(one.id, &first.id).unwrap() && !store.replay(one.id, "msg_none").unwrap());
    assert_eq!(store.first_waiting(&changed).unwrap().unwrap().id, first.id, "in its old place");
    let log = &store.messages(one.id, i64::MAX, 100).unwrap()[1].1.log;
    assert_eq!(log.iter().map(|attempt| attempt.status).collect::<Vec<_>>(), [Some(200), Some(500)]);
    store.clean(std::slice::from_ref(&all)).unwrap();
    assert!(sequences(&one).is_empty(), "a deleted endpoint's messages go");
    assert_eq!(sequences(&all).len(), 3);
}

fn books(dir: &Path, keyring: &Arc<Keyring>) -> (Recorder, Books) {
    let config = RecorderConfig {
        journal: JournalConfig { folder: dir.join("journal"), node: 0, segment_bytes: 20_000 },
        lanes_folder: dir.join("lanes"),
        lanes: 0,
        lane_bytes: LANE_BYTES_MIN,
        pace: Duration::from_millis(1),
    };
    let refine = Box::new(|_, _, _: &[u8], _: &mut Vec<u8>| Ok(weir_schemas::fact::kind::CLICK));
    let (recorder, _, _) = Recorder::start(config, refine).unwrap();
    let (path, journal) = (dir.join("books.db"), dir.join("journal"));
    let config = BooksConfig { path, journal, backlog: Default::default() };
    let books = Books::start(config, recorder.clone(), Arc::clone(keyring)).unwrap();
    (recorder, books)
}

async fn record(books: &Books, fact: Fact) {
    let (at, workspace) = (Timestamp::now(), WorkspaceId(1));
    let recorded = Recorded { at, workspace, actor: Actor::System, request: None, fact };
    assert!(books.submit(recorded).await.unwrap().status < 300);
}

/// A workspace that these endpoints listen to, each at `https://ID.example/`, and two sales of it.
async fn with_two_sales(dir: &Path, endpoints: &[u64]) -> (Recorder, Books, Arc<Keyring>) {
    let keyring = Arc::new(Keyring::open(&dir.join("keyring.db")).unwrap());
    let (recorder, books) = books(dir, &keyring);
    let (name, timezone) = ("shop".to_owned(), "UTC".to_owned());
    record(&books, Fact::WorkspaceCreated { name, currency: Currency::EUR, timezone, key: None }).await;
    for id in endpoints {
        let spec = OutboundSpec { url: format!("https://{id}.example/"), events: vec![], ..target(*id).spec };
        let (id, secret) = (OutboundEndpointId(*id), keyring.seal(OUTBOUND_CONTEXT, b"key"));
        record(&books, Fact::OutboundCreated { id, spec, secret }).await;
    }
    for n in 0..2 {
        let sale = json!({"event": "sale", "order_id": format!("A-{n}"), "amount": {"amount": 7, "currency": "EUR"}});
        let (id, conversion) = (ConversionId(100 + n), serde_json::from_value(sale).unwrap());
        record(&books, Fact::plain_conversion(id, conversion, ClickClaim::None)).await;
    }
    (recorder, books, keyring)
}

async fn until(what: &str, holds: impl Fn() -> bool) {
    let end = Instant::now() + Duration::from_secs(60);
    while !holds() {
        assert!(Instant::now() < end, "waited in vain until {what}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

#[tokio::test]
async fn while_a_message_is_on_its_way_its_endpoint_gets_no_other_and_others_wait_for_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let (recorder, books, keyring) = with_two_sales(dir.path(), &[7, 8]).await;
    let (tries, answering) = (Arc::new(Mutex::new(Vec::new())), Arc::new(AtomicBool::new(false)));
    let post: Post = {
        let (tries, answering) = (Arc::clone(&tries), Arc::clone(&answering));
        Arc::new(move |url, headers, _| {
            tries.lock().unwrap().push((url.clone(), headers[0].1.clone()));
            let answering = Arc::clone(&answering);
            Box::pin(async move {
                until("it may answer", || !url.contains("7.example") || answering.load(Ordering::Acquire))
                    .await;
                Tried { status: Some(200), error: None, excerpt: String::new() }
            })
        })
    };
    let path = dir.path().join("outbound.db");
    let config = OutboundConfig { path, public_url: "https://go.example".into(), post, haste: 1 };
    let outbound = Outbound::start(config, books.clone(), keyring).unwrap();
    let of = |endpoint: &str| -> Vec<String> {
        let tries = tries.lock().unwrap();
        tries.iter().filter(|(url, _)| url.contains(endpoint)).map(|(_, message)| message.clone()).collect()
    };
    let delivered = |id: u64| {
        let messages = outbound.handle().messages(OutboundEndpointId(id), i64::MAX, 10).unwrap();
        messages.iter().filter(|(_, message)| message.state == MessageState::Delivered).count()
    };
    // The other endpoint's second message shows that there were further rounds.
    until("the other endpoint has both", || delivered(8) == 2).await;
    assert_eq!((of("7.example").len(), delivered(7)), (1, 0), "the first is on its way");
    answering.store(true, Ordering::Release);
    until("both are delivered", || delivered(7) == 2).await;
    assert_eq!(of("7.example").len(), 2, "each went once");
    outbound.stop();
    recorder.stop();
    books.stop();
}

#[tokio::test]
async fn an_endpoint_that_takes_nothing_is_turned_off_after_its_last_try_and_goes_on_in_order() {
    let dir = tempfile::tempdir().unwrap();
    let (recorder, books, keyring) = with_two_sales(dir.path(), &[7]).await;
    let id = OutboundEndpointId(7);
    let (tries, well) = (Arc::new(Mutex::new(Vec::new())), Arc::new(AtomicBool::new(false)));
    let post: Post = {
        let (tries, well) = (Arc::clone(&tries), Arc::clone(&well));
        Arc::new(move |_, headers, _| {
            tries.lock().unwrap().push(headers[0].1.clone());
            let well = well.load(Ordering::Acquire);
            let (status, error) = if well { (200, None) } else { (500, Some("answered 500".to_owned())) };
            Box::pin(async move { Tried { status: Some(status), error, excerpt: String::new() } })
        })
    };
    let path = dir.path().join("outbound.db");
    let config = OutboundConfig { path, public_url: "https://go.example".into(), post, haste: 1_000_000_000 };
    let outbound = Outbound::start(config, books.clone(), keyring).unwrap();
    let endpoint = || books.reads().outbound(WorkspaceId(1)).unwrap().remove(0).spec;
    until("it is turned off", || !endpoint().enabled).await;
    let told = tries.lock().unwrap().clone();
    assert_eq!(told.len(), 11, "the first try and one after each of ten pauses");
    assert!(told.iter().all(|message| *message == told[0]), "those behind it wait: {told:?}");
    assert!(endpoint().disabled_reason.is_some_and(|reason| reason.contains("11 tries")));

    well.store(true, Ordering::Release);
    let patch = json!({"enabled": true}).as_object().cloned().unwrap();
    record(&books, Fact::OutboundUpdated { id, patch, secret: None }).await;
    let delivered = || {
        let messages = outbound.handle().messages(id, i64::MAX, 10).unwrap();
        messages.iter().filter(|(_, message)| message.state == MessageState::Delivered).count()
    };
    until("both are delivered", || delivered() == 2).await;
    let told = tries.lock().unwrap()[11..].to_vec();
    assert_eq!((told.len(), &told[0]), (2, &tries.lock().unwrap()[0]), "it goes on where it stopped");
    outbound.stop();
    recorder.stop();
    books.stop();
}
