//! The store against crashes and failures.

use serde_json::json;
use weir_schemas::ids::{OutboundEndpointId, WorkspaceId};
use weir_schemas::outbound::OutboundSpec;
use weir_schemas::time::Timestamp;

use super::Tried;
use super::store::Store;
use crate::books::{OutboundTarget, OutboxRow};

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
