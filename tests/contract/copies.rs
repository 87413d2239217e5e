//! Idempotency for ever: a provider that repeats itself over many connections at once counts once, and is told 2xx
//! every time. `weir-loadtest deliveries --events 1000 --copies 1000 --connections 256` is the same at full size.

use std::time::Duration;

use serde_json::json;
use weir_loadtest::deliveries::{self, Plan};
use weir_loadtest::target::Target;

use super::engine::{ADMIN_KEY, deliver, text_of};
use super::own;

#[test]
fn copies_of_events_from_256_connections_count_once() {
    let shared = own(|settings| settings);
    let key = ADMIN_KEY.to_owned();
    let target = Target { public: shared.engine.public, admin: shared.engine.admin, key };
    let patience = Duration::from_secs(60);
    let plan = Plan { target, events: 100, copies: 60, connections: 256, patience };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let outcome = runtime.block_on(deliveries::run(&plan)).expect("the engine answers");
    assert_eq!(outcome.failures, Vec::<String>::new());
    assert_eq!(outcome.answered, 6_000);
    assert_eq!(outcome.difference, None);
}

#[test]
fn another_body_under_the_same_id_is_kept_as_a_conflict() {
    let shared = own(|settings| settings);
    let hook = shared.engine.make_stripe_endpoint();
    let order = "conflict-1";
    let body = weir_loadtest::stripe::checkout(order, 500, "eur", "x");
    let other = body.replace("500", "900");
    for body in [&body, &other, &body] {
        let answer = deliver(&mut shared.engine.visitor(), &hook, body).expect("an answer");
        assert_eq!(answer.status, 200, "{}", answer.text());
    }
    let path = format!("/v1/webhook-endpoints/{}/deliveries", hook.trim_start_matches("/hooks/"));
    let verdicts = super::engine::wait_for("three verdicts", || {
        let data = shared.get(&path)["data"].as_array().expect("data").clone();
        (data.len() == 3).then_some(data)
    });
    let outcomes: Vec<String> = verdicts.iter().map(|delivery| text_of(&delivery["outcome"])).collect();
    assert_eq!(outcomes, ["duplicate", "conflict", "processed"]);
    let hashes: std::collections::BTreeSet<String> =
        verdicts.iter().map(|delivery| text_of(&delivery["body_sha256"])).collect();
    assert_eq!(hashes.len(), 2, "each is kept with the hash of its body: {verdicts:?}");
    let sold = shared.engine.query(&json!({"metrics": ["revenue"], "date_range": "7d"}));
    assert_eq!(sold["rows"][0][0], 500);
}
