//! The contract as other programs see it: the real binary, asked from outside. One engine serves all tests
//! that run at the same time, so each makes its own links and counts by them.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use serde_json::{Value, json};
use weir_schemas::time::{DAY_MS, Timestamp};

#[path = "../harness/engine.rs"]
mod engine;

mod accounts;
mod alerts;
mod analyst;
mod bad_money;
mod blocklist;
mod bots_and_orphans;
mod columnar;
mod command_line;
mod commissions;
mod conversions;
mod copies;
mod customers;
mod erasure;
mod exchange;
mod exports;
mod keys;
mod links;
mod lists;
mod live;
mod mail;
mod meters;
mod milestones;
mod operations;
mod operator;
mod outbound;
mod own_purchases;
mod payment_sdks;
mod payouts;
mod portal;
mod preview;
mod problems;
mod programs;
mod provider_docs;
mod python;
mod queries;
mod redirects;
mod refunds;
mod refusals;
mod repeats;
mod reports;
mod saved;
mod scope;
mod sessions;
mod shapes;
mod signals;
mod stripe;
mod visitors;
mod wallets;

use engine::http::{Answer, Http};
use engine::{ADMIN_KEY, BROWSER, Engine, PATIENCE, Settings, text_of};

/// An engine for tests that share it, and its folder. It ends with the last of them.
pub(crate) struct Shared {
    pub(crate) engine: Engine,
    _data: tempfile::TempDir,
}

/// The engine that runs, else a new one. It believes the forwarding headers of this machine.
pub(crate) fn shared() -> Arc<Shared> {
    static NOW: Mutex<Weak<Shared>> = Mutex::new(Weak::new());
    let mut now = NOW.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(running) = now.upgrade() {
        return running;
    }
    let shared = Arc::new(own(|settings| settings));
    *now = Arc::downgrade(&shared);
    shared
}

/// An engine for one test alone.
pub(crate) fn own(set: impl FnOnce(Settings) -> Settings) -> Shared {
    let data = tempfile::tempdir().expect("a folder");
    let settings = Settings::new(data.path()).with("trusted_proxies", "127.0.0.0/8");
    let engine = set(settings).start();
    // On a busy machine ClickHouse takes longer to start than a question waits.
    engine.query(&serde_json::json!({"metrics": ["hits"], "date_range": "7d"}));
    Shared { engine, _data: data }
}

/// Waits until midnight has passed where it is near (UTC): for tests of what happens on one day, or in one month.
pub(crate) fn within_a_day() {
    while Timestamp::now().0.rem_euclid(DAY_MS) > DAY_MS - 2 * PATIENCE.as_millis() as i64 {
        std::thread::sleep(Duration::from_secs(1));
    }
}

/// A name that no other test has.
pub(crate) fn fresh(what: &str) -> String {
    static NEXT: AtomicU32 = AtomicU32::new(1);
    format!("{what}-{}", NEXT.fetch_add(1, Ordering::Relaxed))
}

/// A call of the admin listener with whatever headers.
pub(crate) fn ask(to: SocketAddr, method: &str, path: &str, headers: &[(&str, &str)], body: &[u8]) -> Answer {
    Http::new(to).send(method, path, headers, body).unwrap_or_else(|error| panic!("{method} {path}: {error}"))
}

impl Shared {
    /// A call of the API with `key`.
    pub(crate) fn as_key(&self, key: &str, method: &str, path: &str, body: Option<&Value>) -> Answer {
        let bearer = format!("Bearer {key}");
        let headers = [("authorization", bearer.as_str()), ("content-type", "application/json")];
        let body = body.map(Value::to_string).unwrap_or_default();
        ask(self.engine.admin, method, path, &headers, body.as_bytes())
    }

    /// A call of the API with the admin key and further headers.
    pub(crate) fn with_headers(
        &self,
        method: &str,
        path: &str,
        more: &[(&str, &str)],
        body: &[u8],
    ) -> Answer {
        let bearer = format!("Bearer {ADMIN_KEY}");
        let mut headers = vec![("authorization", bearer.as_str())];
        headers.extend_from_slice(more);
        ask(self.engine.admin, method, path, &headers, body)
    }

    /// `POST` as the admin; the answer must have the status.
    pub(crate) fn post(&self, path: &str, body: Value, status: u16) -> Value {
        self.engine.call("POST", path, Some(&body), status)
    }

    /// `GET` as the admin; must succeed.
    pub(crate) fn get(&self, path: &str) -> Value {
        self.engine.call("GET", path, None, 200)
    }

    /// Makes a link of its own slug with further members; gives slug and id.
    pub(crate) fn link(&self, members: Value) -> (String, String) {
        let slug = fresh("l");
        let mut body = json!({"slug": slug, "destination": "https://shop.example/"});
        body.as_object_mut().expect("an object").extend(members.as_object().expect("an object").clone());
        let made = self.post("/v1/links", body, 201);
        (slug, text_of(&made["id"]))
    }

    /// A person opens a path of the public listener.
    pub(crate) fn visit(&self, path: &str, headers: &[(&str, &str)]) -> Answer {
        self.visit_as("GET", path, headers)
    }

    /// As [`Self::visit`], with another method.
    pub(crate) fn visit_as(&self, method: &str, path: &str, headers: &[(&str, &str)]) -> Answer {
        let mut all = headers.to_vec();
        if !headers.iter().any(|(name, _)| *name == "user-agent") {
            all.push(("user-agent", BROWSER));
        }
        ask(self.engine.public, method, path, &all, b"")
    }

    /// Where a visit of the path is sent.
    pub(crate) fn location(&self, path: &str) -> String {
        let answer = self.visit(path, &[]);
        assert_eq!(answer.status, 302, "{path}: {}", answer.text());
        answer.header("location").expect("a location").to_owned()
    }

    /// A click of the link; gives its token.
    pub(crate) fn token(&self, slug: &str) -> String {
        engine::token_of(&self.visit(&format!("/{slug}"), &[]))
    }

    /// The cells of the one row that `metrics` have for one link today.
    pub(crate) fn of_link(&self, link: &str, metrics: &[&str]) -> Vec<Value> {
        let query = json!({"metrics": metrics, "date_range": "7d", "filters": ["is", "link", [link]]});
        let answer = self.engine.query(&query);
        let rows = answer["rows"].as_array().expect("rows");
        assert_eq!(rows.len(), 1, "without dimensions there is one row: {answer}");
        rows[0].as_array().expect("cells").clone()
    }
}

/// The answer is a problem of this status and code, in every member that the contract names.
#[track_caller]
pub(crate) fn refused(answer: &Answer, status: u16, code: &str) -> Value {
    assert_eq!(answer.status, status, "{}", answer.text());
    assert_eq!(answer.header("content-type"), Some("application/problem+json"), "{}", answer.text());
    let problem = answer.json();
    assert_eq!(problem["status"], status, "{problem}");
    let kind = problem["type"].as_str().expect("a type");
    assert!(kind.ends_with(&format!("/{code}")), "{kind} is not {code}: {problem}");
    for member in ["title", "detail", "request_id"] {
        assert!(problem[member].as_str().is_some_and(|text| !text.is_empty()), "{member}: {problem}");
    }
    assert_eq!(answer.header("x-request-id"), problem["request_id"].as_str(), "{problem}");
    problem
}

/// The answer is a 422 that names the field.
#[track_caller]
pub(crate) fn names(answer: &Answer, field: &str) {
    let problem = refused(answer, 422, "validation_failed");
    let fields: Vec<&str> =
        problem["errors"].as_array().expect("errors").iter().filter_map(|e| e["field"].as_str()).collect();
    assert!(fields.contains(&field), "{field} is not named: {problem}");
    for error in problem["errors"].as_array().expect("errors") {
        assert!(error["detail"].as_str().is_some_and(|text| !text.is_empty()), "{problem}");
    }
}
