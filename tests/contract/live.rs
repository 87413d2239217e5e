//! `weir.v1.json` over a real WebSocket: what a browser or a program that watches sees.

use std::net::TcpStream;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tokio_tungstenite::tungstenite::{Error, Message, WebSocket};

use super::conversions::sale;
use super::engine::{ADMIN_KEY, PATIENCE, text_of, wait_for};
use super::{Shared, fresh, own, refused, shared, within_a_day};

/// How long nothing must come where nothing is expected: many ticks.
const SILENCE: Duration = Duration::from_millis(600);

pub(crate) struct Watching {
    socket: WebSocket<TcpStream>,
}

impl Watching {
    /// Opens the socket and sends nothing.
    pub(crate) fn open(shared: &Shared) -> Self {
        Self { socket: shared.engine.open_live() }
    }

    /// As the admin.
    pub(crate) fn connect(shared: &Shared) -> Self {
        let mut watching = Self::open(shared);
        watching.send(json!({"type": "connect", "key": ADMIN_KEY}));
        let connected = watching.next("connected");
        assert!(connected["epoch"].is_string() && connected["seq"].is_u64(), "{connected}");
        watching
    }

    pub(crate) fn send(&mut self, frame: Value) {
        self.raw(Message::text(frame.to_string()));
    }

    fn raw(&mut self, message: Message) {
        // A server that has closed already may refuse what comes after.
        let _ = self.socket.send(message);
    }

    /// The next frame; none in time, or in `Err` the code with which the server closes.
    fn read(&mut self) -> Result<Option<Value>, u16> {
        let patience = self.socket.get_ref().read_timeout().expect("a socket").expect("a time limit");
        let end = Instant::now() + patience;
        loop {
            if Instant::now() > end {
                return Ok(None);
            }
            match self.socket.read() {
                Ok(Message::Text(text)) => {
                    return Ok(Some(serde_json::from_str(&text).expect("frames are JSON")));
                }
                Ok(Message::Close(Some(close))) => return Err(close.code.into()),
                Ok(Message::Close(None)) => return Err(1005),
                Ok(_) => {}
                Err(Error::Io(error)) if error.kind() == std::io::ErrorKind::WouldBlock => return Ok(None),
                Err(error) => panic!("the connection ended without a close frame: {error}"),
            }
        }
    }

    /// The next frame of this type; others are passed over.
    pub(crate) fn next(&mut self, kind: &str) -> Value {
        let end = Instant::now() + PATIENCE;
        loop {
            let frame = self.read().expect("open").expect("a frame in time");
            if frame["type"] == kind {
                return frame;
            }
            assert_ne!(frame["type"], "error", "{frame}");
            assert!(Instant::now() < end, "waited in vain for {kind}");
        }
    }

    /// The code with which the server closes.
    pub(crate) fn closed(&mut self) -> u16 {
        loop {
            match self.read() {
                Err(code) => return code,
                Ok(Some(_)) => {}
                Ok(None) => panic!("still open after {PATIENCE:?}"),
            }
        }
    }

    /// Nothing comes for a while.
    fn is_silent(&mut self) -> bool {
        self.socket.get_ref().set_read_timeout(Some(SILENCE)).expect("a time limit");
        let nothing = matches!(self.read(), Ok(None));
        self.socket.get_ref().set_read_timeout(Some(PATIENCE)).expect("a time limit");
        nothing
    }

    pub(crate) fn subscribe(&mut self, id: &str, query: &Value) -> Value {
        self.send(json!({"type": "subscribe", "id": id, "query": query}));
        let snapshot = self.next("snapshot");
        assert_eq!(snapshot["id"], id);
        snapshot
    }

    /// Applies deltas of `id` to `rows` until they are as `wanted`.
    fn until(&mut self, id: &str, dimensions: usize, rows: &mut Vec<Value>, wanted: &Value) -> u64 {
        let mut seq = 0;
        let end = Instant::now() + PATIENCE;
        while json!(sorted(rows)) != json!(sorted(wanted.as_array().expect("rows"))) {
            assert!(Instant::now() < end, "{rows:?} never became {wanted}");
            let delta = self.next("delta");
            if delta["id"] != id {
                continue;
            }
            assert!(delta["seq"].as_u64().expect("a sequence") > seq, "{delta}");
            seq = delta["seq"].as_u64().expect("a sequence");
            let key = |row: &Value| row.as_array().expect("cells")[..dimensions].to_vec();
            for gone in delta["removed"].as_array().expect("removed") {
                rows.retain(|row| key(row) != *gone.as_array().expect("cells"));
            }
            for row in delta["rows"].as_array().expect("rows") {
                rows.retain(|old| key(old) != key(row));
                rows.push(row.clone());
            }
        }
        seq
    }
}

fn sorted(rows: &[Value]) -> Vec<String> {
    let mut texts: Vec<String> = rows.iter().map(Value::to_string).collect();
    texts.sort();
    texts
}

fn of_link(link: &str, dimensions: Value) -> Value {
    json!({"metrics": ["clicks", "visitors", "conversions", "revenue", "net_revenue"], "date_range": "7d",
        "dimensions": dimensions, "filters": ["is", "link", [link]]})
}

fn rows(frame: &Value) -> Vec<Value> {
    frame["rows"].as_array().expect("rows").clone()
}

#[test]
fn totals_have_the_names_that_a_query_gives_them() {
    let shared = shared();
    let (slug, link) = shared.link(json!({}));
    let token = shared.token(&slug);
    let mut query = of_link(&link, json!(["device"]));
    query["metrics"] = json!(["clicks", "revenue"]);
    query["filters"] = json!(["and", [["is", "link", [link]], ["is", "currency", ["EUR", ""]]]]);
    query["include"] = json!({"total": true});
    // A query waits for the click; a snapshot shows what is there.
    assert_eq!(shared.engine.query(&query)["totals"], json!({"clicks": 1, "revenue": 0}));
    let mut watching = Watching::connect(&shared);
    let snapshot = watching.subscribe("t", &query);
    assert_eq!(snapshot["totals"], json!({"clicks": 1, "revenue": 0}), "{snapshot}");
    sale(&shared, &fresh("order"), 300, json!({"wclid": token}));
    assert_eq!(watching.next("delta")["totals"], json!({"clicks": 1, "revenue": 300}));
    assert_eq!(shared.engine.query(&query)["totals"], json!({"clicks": 1, "revenue": 300}));
}

#[test]
fn a_snapshot_is_the_query_and_every_change_follows() {
    within_a_day();
    let shared = shared();
    let (slug, link) = shared.link(json!({}));
    let token = shared.token(&slug);
    sale(&shared, &fresh("order"), 300, json!({"wclid": token}));
    let query = of_link(&link, json!(["device", "currency"]));
    let mut query = query;
    query["metrics"] = json!(["clicks", "visitors", "conversions", "revenue", "net_revenue"]);
    let asked = shared.engine.query(&query);
    let mut watching = Watching::connect(&shared);
    let snapshot = watching.subscribe("q1", &query);
    assert_eq!(snapshot["columns"], asked["columns"]);
    assert_eq!(sorted(&rows(&snapshot)), sorted(&rows(&asked)));
    assert!(snapshot["epoch"].is_string() && snapshot["seq"].is_u64());

    let mut held = rows(&snapshot);
    shared.token(&slug);
    watching.until(
        "q1",
        2,
        &mut held,
        &json!([["desktop", "", 2, 1, 0, 0, 0], ["desktop", "EUR", 0, 0, 1, 300, 300]]),
    );
    let order = fresh("order");
    sale(&shared, &order, 5_000, json!({"wclid": token}));
    watching.until(
        "q1",
        2,
        &mut held,
        &json!([["desktop", "", 2, 1, 0, 0, 0], ["desktop", "EUR", 0, 0, 2, 5300, 5300]]),
    );
    let refund = json!({"order_id": order, "amount": {"amount": 2000, "currency": "EUR"}, "refund_id": "r"});
    shared.post("/v1/refunds", refund, 201);
    watching.until(
        "q1",
        2,
        &mut held,
        &json!([["desktop", "", 2, 1, 0, 0, 0], ["desktop", "EUR", 0, 0, 2, 5300, 3300]]),
    );
    assert_eq!(sorted(&held), sorted(&rows(&shared.engine.query(&query))), "and it is what a query says");
    assert!(watching.is_silent(), "no frame without a change");

    watching.send(json!({"type": "unsubscribe", "id": "q1"}));
    shared.token(&slug);
    assert!(watching.is_silent());
}

#[test]
fn many_subscriptions_on_one_connection() {
    let shared = shared();
    let (slug, link) = shared.link(json!({}));
    let mut watching = Watching::connect(&shared);
    let one = watching.subscribe("all", &of_link(&link, json!([])));
    assert_eq!(one["rows"], json!([[0, 0, 0, 0, 0]]), "without dimensions there is one row");
    let by_day = watching.subscribe("days", &of_link(&link, json!(["time:day"])));
    assert_eq!(by_day["rows"], json!([]));
    shared.token(&slug);
    let mut held = rows(&one);
    watching.until("all", 0, &mut held, &json!([[1, 1, 0, 0, 0]]));
    let mut other = Watching::connect(&shared);
    assert_eq!(other.subscribe("all", &of_link(&link, json!([])))["rows"], json!([[1, 1, 0, 0, 0]]));

    watching.send(json!({"type": "ping"}));
    watching.next("pong");
}

/// What a change costs is told by counters: texts made, and frames handed to connections.
#[test]
fn a_hundred_dashboards_cost_one_encoding_for_each_distinct_query() {
    const DASHBOARDS: usize = 100;
    const CLICKS: u64 = 20;
    within_a_day();
    // An engine of its own: other tests' watchers would be counted too.
    let shared = own(|settings| settings);
    let (slug, link) = shared.link(json!({}));
    let queries = [of_link(&link, json!([])), of_link(&link, json!(["device"]))];
    let mut watching: Vec<Watching> = Vec::with_capacity(DASHBOARDS);
    for at in 0..DASHBOARDS {
        let mut dashboard = Watching::connect(&shared);
        for (id, query) in ["sum", "devices"].into_iter().zip(&queries) {
            dashboard.subscribe(id, query);
        }
        watching.push(dashboard);
        // Who is not heard of for 30 s is closed, and a busy machine may take longer for all of them.
        if at % 10 == 9 {
            watching.iter_mut().for_each(|dashboard| dashboard.send(json!({"type": "ping"})));
        }
    }
    let deltas = || {
        let text = shared.engine.api("GET", "/metrics", None).text();
        let of = |series: &str| {
            let value = text.lines().find_map(|line| line.strip_prefix(series)).map(str::trim);
            value.map_or(0, |value| value.parse::<u64>().expect("a count"))
        };
        (of("weir_live_encodings_total{kind=\"delta\"}"), of("weir_live_frames_total"))
    };
    assert!(shared.engine.metrics()["weir_live_clients"] >= DASHBOARDS as f64);
    // The answers to the last pings are frames too.
    let mut before = deltas();
    let (encoded_before, sent_before) = wait_for("nothing is sent any more", || {
        std::thread::sleep(Duration::from_millis(100));
        let earlier = std::mem::replace(&mut before, deltas());
        (earlier == before).then_some(before)
    });
    for _ in 0..CLICKS {
        shared.token(&slug);
    }
    for dashboard in &mut watching {
        let mut sum = vec![json!([0, 0, 0, 0, 0])];
        dashboard.until("sum", 0, &mut sum, &json!([[CLICKS, 1, 0, 0, 0]]));
    }
    let told = || {
        let (encoded, sent) = deltas();
        (encoded - encoded_before, sent - sent_before)
    };
    // However many ticks the clicks were spread over: each told two queries' changes once, to a hundred each.
    let end = Instant::now() + PATIENCE;
    while told().1 != told().0 * DASHBOARDS as u64 {
        assert!(Instant::now() < end, "{:?} texts and frames, for {DASHBOARDS} dashboards", told());
        std::thread::sleep(Duration::from_millis(20));
    }
    let (encoded, _) = told();
    assert!((2..=queries.len() as u64 * CLICKS).contains(&encoded), "{encoded} texts were made");
}

#[test]
fn who_comes_back_gets_what_was_missed() {
    within_a_day();
    let shared = shared();
    let (slug, link) = shared.link(json!({}));
    let query = of_link(&link, json!(["device"]));
    let mut first = Watching::connect(&shared);
    // Another watcher keeps the topic while the first is away.
    let mut other = Watching::connect(&shared);
    other.subscribe("q", &query);
    let snapshot = first.subscribe("q", &query);
    shared.token(&slug);
    let mut held = rows(&snapshot);
    let seq = first.until("q", 1, &mut held, &json!([["desktop", 1, 1, 0, 0, 0]]).clone());
    let recover = json!({"epoch": snapshot["epoch"], "seq": seq});
    drop(first);
    shared.token(&slug);
    let mut others = rows(&json!({"rows": [["desktop", 1, 1, 0, 0, 0]]}));
    let now = other.until("q", 1, &mut others, &json!([["desktop", 2, 1, 0, 0, 0]]));

    let mut again = Watching::connect(&shared);
    again.send(json!({"type": "subscribe", "id": "q", "query": query, "recover": recover}));
    let frame = again.read().expect("open").expect("a frame");
    match frame["type"].as_str() {
        Some("delta") => {
            assert_eq!(frame["rows"], json!([["desktop", 2, 1, 0, 0, 0]]), "only what was missed")
        }
        _ => assert_eq!(
            (&frame["type"], &frame["rows"]),
            (&json!("snapshot"), &json!([["desktop", 2, 1, 0, 0, 0]]))
        ),
    }
    // Who missed nothing is told so.
    let up_to_date = json!({"epoch": snapshot["epoch"], "seq": now});
    again.send(json!({"type": "subscribe", "id": "o", "query": query, "recover": up_to_date}));
    let frame = again.read().expect("open").expect("a frame");
    assert_eq!(frame["id"], "o", "{frame}");
    assert_eq!(frame["rows"], if frame["type"] == "delta" { json!([]) } else { json!(others) }, "{frame}");
    let foreign = json!({"epoch": "another-run", "seq": seq});
    again.send(json!({"type": "subscribe", "id": "p", "query": query, "recover": foreign}));
    assert_eq!(again.next("snapshot")["rows"], json!([["desktop", 2, 1, 0, 0, 0]]));
}

#[test]
fn the_tail_shows_events_as_they_come() {
    let shared = shared();
    let (slug, link) = shared.link(json!({}));
    let mut watching = Watching::connect(&shared);
    watching.send(json!({"type": "events", "id": "tail"}));
    let end = Instant::now() + PATIENCE;
    let token = shared.token(&slug);
    let mut told = String::new();
    while !told.contains(&link) {
        assert!(Instant::now() < end, "the click is not in the tail: {told}");
        let frame = watching.next("events");
        assert_eq!(frame["id"], "tail");
        assert!(frame["sampled"].is_boolean(), "{frame}");
        told.push_str(&frame["rows"].to_string());
    }
    let order = fresh("order");
    sale(&shared, &order, 1_234, json!({"wclid": token}));
    while !told.contains("1234") {
        assert!(Instant::now() < end, "the sale is not in the tail: {told}");
        told.push_str(&watching.next("events")["rows"].to_string());
    }
    watching.send(json!({"type": "unsubscribe", "id": "tail"}));
}

#[test]
fn tickets_work_once() {
    let shared = shared();
    let issued = shared.post("/v1/live/tickets", json!({}), 201);
    let ticket = text_of(&issued["ticket"]);
    let mut first = Watching::open(&shared);
    first.send(json!({"type": "connect", "ticket": ticket}));
    first.next("connected");
    for ticket in [ticket.as_str(), "wlt_nobodys", ""] {
        let mut second = Watching::open(&shared);
        second.send(json!({"type": "connect", "ticket": ticket}));
        assert_eq!(second.closed(), 4401, "{ticket}");
    }
    refused(&super::ask(shared.engine.admin, "POST", "/v1/live/tickets", &[], b""), 401, "unauthenticated");
}

#[test]
fn bad_clients_are_closed_with_a_code() {
    let shared = shared();
    let closed = |frames: Vec<Message>| {
        let mut watching = Watching::open(&shared);
        frames.into_iter().for_each(|frame| watching.raw(frame));
        watching.closed()
    };
    let text = |value: Value| Message::text(value.to_string());
    let hello = || text(json!({"type": "connect", "key": ADMIN_KEY}));
    assert_eq!(closed(vec![text(json!({"type": "connect", "key": "weir_nobodys_key"}))]), 4401);
    assert_eq!(closed(vec![text(json!({"type": "connect"}))]), 4401);
    let early = json!({"type": "subscribe", "id": "q", "query": {"metrics": ["clicks"]}});
    assert_eq!(closed(vec![text(early)]), 4401);
    for bad in ["nonsense", "{}", "[]", r#"{"type":"nope"}"#, r#"{"type":"connect","key":"a","nope":1}"#] {
        assert_eq!(closed(vec![Message::text(bad)]), 4400, "{bad}");
        assert_eq!(closed(vec![hello(), Message::text(bad)]), 4400, "{bad}, connected");
    }
    assert_eq!(closed(vec![hello(), Message::binary(b"x".to_vec())]), 4400);
    assert_eq!(closed(vec![hello(), hello()]), 4400);
    assert_eq!(closed(vec![hello(), Message::text("x".repeat(1 << 20))]), 4400);
    let made = shared.post("/v1/keys", json!({"name": "shop", "role": "ingest"}), 201);
    assert_eq!(closed(vec![text(json!({"type": "connect", "key": made["key"]}))]), 4403);
    let plain = shared.engine.api("GET", "/v1/live", None);
    refused(&plain, 426, "upgrade_required");
}

#[test]
fn a_query_that_means_nothing_is_told_and_the_connection_goes_on() {
    let shared = shared();
    let (slug, link) = shared.link(json!({}));
    let mut watching = Watching::connect(&shared);
    let query = json!({"metrics": ["clicks"], "order_by": [["visitors", "desc"]]});
    watching.send(json!({"type": "subscribe", "id": "bad", "query": query}));
    let told = watching.read().expect("open").expect("a frame");
    assert_eq!((&told["type"], &told["id"]), (&json!("error"), &json!("bad")), "{told}");
    assert_eq!(told["problem"]["status"], 422, "{told}");
    let snapshot = watching.subscribe("good", &of_link(&link, json!([])));
    let mut held = rows(&snapshot);
    shared.token(&slug);
    watching.until("good", 0, &mut held, &json!([[1, 1, 0, 0, 0]]));
}

#[test]
fn too_many_subscriptions() {
    let shared = shared();
    let mut watching = Watching::connect(&shared);
    let query = json!({"metrics": ["clicks"], "date_range": "today"});
    // All at once, more than the outlet holds: none may be forgotten.
    for n in 0..64 {
        watching.send(json!({"type": "subscribe", "id": format!("q{n}"), "query": query}));
    }
    let mut begun = std::collections::BTreeSet::new();
    while begun.len() < 64 {
        begun.insert(text_of(&watching.next("snapshot")["id"]));
    }
    watching.send(json!({"type": "subscribe", "id": "one-more", "query": query}));
    assert_eq!(watching.closed(), 4429);
}

#[test]
fn silence_at_the_start_and_the_end_of_the_engine() {
    let shared = own(|settings| settings);
    let mut silent = Watching::open(&shared);
    let ticket = text_of(&shared.post("/v1/live/tickets", json!({}), 201)["ticket"]);
    let issued = Instant::now();
    let begun = Instant::now();
    assert_eq!(silent.closed(), 4408);
    assert!(begun.elapsed() < Duration::from_secs(20), "{:?}", begun.elapsed());
    // A ticket is worth nothing after half a minute.
    std::thread::sleep(Duration::from_secs(31).saturating_sub(issued.elapsed()));
    let mut stale = Watching::open(&shared);
    stale.send(json!({"type": "connect", "ticket": ticket}));
    assert_eq!(stale.closed(), 4401);
    let mut watching = Watching::connect(&shared);
    watching.subscribe("q", &json!({"metrics": ["clicks"]}));
    shared.engine.terminate();
    assert_eq!(watching.closed(), 3001, "shutting down");
}

#[test]
fn who_does_not_read_gets_the_latest_later() {
    within_a_day();
    let shared = shared();
    let (slug, link) = shared.link(json!({}));
    let mut watching = Watching::connect(&shared);
    let mut held = rows(&watching.subscribe("q", &of_link(&link, json!([]))));
    // Many ticks' worth of changes while nobody reads.
    for _ in 0..30 {
        shared.token(&slug);
        std::thread::sleep(Duration::from_millis(20));
    }
    watching.until("q", 0, &mut held, &json!([[30, 1, 0, 0, 0]]));
}
