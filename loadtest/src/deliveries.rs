//! Scenario `deliveries`: a provider that repeats itself. Every event is delivered `copies` times over many
//! connections at once, in closed loops; each must be answered 2xx and count once. With one copy it measures
//! what an endpoint takes: each answer stands for a delivery that is on the disk.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use http::Method;
use serde_json::{Value, json};
use tokio::time::Instant;

use crate::connection::Connection;
use crate::schedule::Latencies;
use crate::stripe;
use crate::target::{LoadError, Target};

/// What to run.
#[derive(Debug, Clone)]
pub struct Plan {
    /// The engine.
    pub target: Target,
    /// Different events, each a sale.
    pub events: u64,
    /// How often each is delivered.
    pub copies: u64,
    /// At once.
    pub connections: u64,
    /// How long the engine's answer may take to agree.
    pub patience: Duration,
}

/// What came of it.
#[derive(Debug)]
pub struct Outcome {
    /// Deliveries answered.
    pub answered: u64,
    /// Answers other than 2xx, and broken connections; the first few in words.
    pub failures: Vec<String>,
    /// From each request to its answer.
    pub latencies: Latencies,
    /// From the first request to the last answer.
    pub elapsed: Duration,
    /// Syncs of the journal meanwhile.
    pub syncs: u64,
    /// The difference between what was sent and what the engine says; none where they agree.
    pub difference: Option<String>,
}

/// The secret of the endpoint that the scenario makes.
const SECRET: &str = "whsec_deliveries_0123456789abcdef";
/// Failures kept in words.
const FAILURES_MAX: usize = 20;
/// Each sale, in cents.
const CENTS: i64 = 1_999;
/// Most orders that one page lists.
const PAGE: usize = 1_000;

/// Runs the scenario and compares.
pub async fn run(plan: &Plan) -> Result<Outcome, LoadError> {
    let mut api = Connection::new(plan.target.admin);
    let key = &plan.target.key;
    let new = json!({"provider": "stripe", "secrets": [SECRET]});
    let made = api.call(key, Method::POST, "/v1/webhook-endpoints", Some(&new), &[201]).await?;
    let hook = format!("/hooks/{}", made["id"].as_str().unwrap_or_default());
    let run = format!("{:08x}", rand::random::<u32>());
    let before = totals(&mut api, key).await?;
    let syncs_before = syncs(&mut api, key).await?;

    let next = Arc::new(AtomicU64::new(0));
    let start = Instant::now();
    let mut senders = tokio::task::JoinSet::new();
    for _ in 0..plan.connections {
        senders.spawn(deliver(plan.clone(), hook.clone(), run.clone(), Arc::clone(&next)));
    }
    let mut outcome = Outcome {
        answered: 0,
        failures: Vec::new(),
        latencies: Latencies::default(),
        elapsed: Duration::ZERO,
        syncs: 0,
        difference: None,
    };
    while let Some(sent) = senders.join_next().await {
        let sent = sent.map_err(|error| LoadError::Connection(error.to_string()))?;
        outcome.answered += sent.answered;
        outcome.latencies.add(&sent.latencies);
        outcome.failures.extend(sent.failures);
    }
    outcome.failures.truncate(FAILURES_MAX);
    outcome.elapsed = start.elapsed();
    outcome.syncs = syncs(&mut api, key).await?.saturating_sub(syncs_before);

    let sales = i64::try_from(plan.events).unwrap_or(i64::MAX);
    let expected = [before[0] + sales, before[1] + sales, before[2] + sales * CENTS];
    let asked = Instant::now();
    outcome.difference = loop {
        let now = totals(&mut api, key).await?;
        if now == expected {
            break None;
        }
        if asked.elapsed() > plan.patience {
            break Some(format!(
                "conversions, orders, revenue: expected {expected:?}, the engine says {now:?}"
            ));
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    };
    if outcome.difference.is_none() {
        outcome.difference = unlike_one_each(plan, &mut api, &run).await?;
    }
    Ok(outcome)
}

/// The first orders of the run, asked for by name: each has one conversion.
async fn unlike_one_each(plan: &Plan, api: &mut Connection, run: &str) -> Result<Option<String>, LoadError> {
    for n in 0..plan.events.min(10) {
        let path = format!("/v1/conversions?limit={PAGE}&order_id=cs_{run}-{n}");
        let found = api.call(&plan.target.key, Method::GET, &path, None, &[200]).await?;
        let count = found["data"].as_array().map_or(0, Vec::len);
        if count != 1 {
            return Ok(Some(format!("order cs_{run}-{n} has {count} conversions")));
        }
    }
    Ok(None)
}

/// Conversions, orders and euro revenue of today and yesterday.
async fn totals(api: &mut Connection, key: &str) -> Result<[i64; 3], LoadError> {
    let query = json!({"metrics": ["conversions", "orders", "revenue"], "date_range": "7d",
        "filters": ["is", "currency", ["EUR"]]});
    let deadline = Instant::now() + Duration::from_secs(60);
    loop {
        // The warehouse may have to start first.
        let answer = api.call(key, Method::POST, "/v1/query", Some(&query), &[200, 503]).await?;
        if let Some(row) = answer["rows"][0].as_array() {
            let cell = |n: usize| row.get(n).and_then(Value::as_i64).unwrap_or(0);
            return Ok([cell(0), cell(1), cell(2)]);
        }
        if Instant::now() > deadline {
            return Err(LoadError::Data("the warehouse does not answer".to_owned()));
        }
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}

async fn syncs(api: &mut Connection, key: &str) -> Result<u64, LoadError> {
    let bearer = format!("Bearer {key}");
    let answer = api.send(Method::GET, "/metrics", &[("authorization", &bearer)], "").await?;
    let text = String::from_utf8_lossy(&answer.body).into_owned();
    let line = text.lines().find_map(|line| line.strip_prefix("weir_journal_syncs_total "));
    Ok(line.and_then(|count| count.parse().ok()).unwrap_or(0))
}

struct Sent {
    answered: u64,
    failures: Vec<String>,
    latencies: Latencies,
}

/// One connection: copies of all events in turn, so that copies of one event arrive at the same time over different
/// connections.
async fn deliver(plan: Plan, hook: String, run: String, next: Arc<AtomicU64>) -> Sent {
    let mut connection = Connection::new(plan.target.public);
    let mut sent = Sent { answered: 0, failures: Vec::new(), latencies: Latencies::default() };
    loop {
        let number = next.fetch_add(1, Ordering::Relaxed);
        if number >= plan.events * plan.copies {
            return sent;
        }
        let body = event(&run, number / plan.copies);
        let signature = stripe::signature(SECRET, &body);
        let headers = [("stripe-signature", signature.as_str()), ("content-type", "application/json")];
        let start = Instant::now();
        match connection.send(Method::POST, &hook, &headers, body).await {
            Ok(answer) if answer.status.is_success() => {
                sent.answered += 1;
                sent.latencies.record(start);
            }
            other => {
                let words = other.map_or_else(|error| error.to_string(), |answer| answer.status.to_string());
                if sent.failures.len() < FAILURES_MAX {
                    sent.failures.push(words);
                }
            }
        }
    }
}

/// The same bytes at every copy, whatever the clock says.
fn event(run: &str, n: u64) -> String {
    let order = format!("{run}-{n}");
    let mut event: Value =
        serde_json::from_str(&stripe::checkout(&order, CENTS, "eur", "")).expect("just written");
    event["created"] = json!(stripe::unix_now() / 86_400 * 86_400);
    event["data"]["object"]["client_reference_id"] = Value::Null;
    event.to_string()
}
