//! Browser events end to end: the real binary with its warehouse, pages played by an HTTP client.

#[path = "../harness/engine.rs"]
mod engine;

mod counted;
mod kept;
mod refused;
mod script;
mod watched;

use engine::http::{Answer, Http};
use engine::{BROWSER, Engine, Settings, text_of};
use serde_json::{Value, json};

/// Where the site's pages are.
const SHOP: &str = "https://shop.example";

/// An engine on a folder of its own that believes the forwarding headers of this machine.
struct Site {
    engine: Engine,
    data: tempfile::TempDir,
    id: String,
}

fn settings(data: &tempfile::TempDir) -> Settings {
    Settings::new(data.path()).with("trusted_proxies", "127.0.0.0/8")
}

impl Site {
    /// A running engine with one site.
    fn new() -> Self {
        let data = tempfile::tempdir().unwrap();
        let engine = settings(&data).start();
        let made = engine.call("POST", "/v1/sites", Some(&json!({"name": "Shop", "origins": [SHOP]})), 201);
        Self { id: text_of(&made["id"]), engine, data }
    }

    /// An event of the shop's front page.
    fn event(&self, mut more: Value) -> Value {
        let mut event = json!({"site": self.id, "type": "pageview", "url": format!("{SHOP}/")});
        event.as_object_mut().unwrap().append(more.as_object_mut().unwrap());
        event
    }

    /// A page of the shop sends a body, as `sendBeacon` does.
    fn send(&self, body: &Value) -> Answer {
        self.send_with(&[("origin", SHOP), ("content-type", "text/plain;charset=UTF-8")], &body.to_string())
    }

    fn send_with(&self, headers: &[(&str, &str)], body: &str) -> Answer {
        let mut all = headers.to_vec();
        if !headers.iter().any(|(name, _)| *name == "user-agent") {
            all.push(("user-agent", BROWSER));
        }
        Http::new(self.engine.public).send("POST", "/collect", &all, body.as_bytes()).unwrap()
    }

    /// The events counted today, in all.
    fn counted(&self) -> i64 {
        let query = json!({"metrics": ["events"], "date_range": "7d"});
        self.engine.query(&query)["rows"][0][0].as_i64().unwrap()
    }

    /// How often requests or events were refused for a reason.
    fn refusals(&self, reason: &str) -> u64 {
        let metrics = self.engine.api("GET", "/metrics", None).text();
        let start = format!("weir_collect_refused_total{{reason=\"{reason}\"}} ");
        metrics.lines().find_map(|line| line.strip_prefix(&start)).map_or(0, |n| n.parse().unwrap())
    }
}
