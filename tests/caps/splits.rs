//! Splits that follow their results, on the real binary: the log of decisions and the shares survive `kill -9`.

use serde_json::{Value, json};

use crate::engine::{BROWSER, Engine, Settings, text_of, token_of, wait_for};

/// Visits by each arm.
fn arms(engine: &Engine, slug: &str, visitors: std::ops::Range<u32>) -> [Vec<String>; 2] {
    let mut tokens = [Vec::new(), Vec::new()];
    let mut http = engine.visitor();
    for visitor in visitors {
        let cookie = format!("wv={visitor:016x}");
        let headers = [("user-agent", BROWSER), ("cookie", cookie.as_str())];
        let answer = http.send("GET", &format!("/{slug}"), &headers, b"").unwrap();
        let second = answer.header("location").unwrap().starts_with("https://shop.example/b");
        tokens[usize::from(second)].push(token_of(&answer));
    }
    tokens
}

fn allocation(engine: &Engine, link: &str) -> Value {
    engine.call("GET", &format!("/v1/links/{link}/allocation"), None, 200)
}

fn variants() -> Value {
    let arm = |name: &str| json!({"name": name, "destination": format!("https://shop.example/{name}"), "weight": 1});
    json!([arm("a"), arm("b")])
}

#[test]
fn decisions_and_shares_survive_kill_9() {
    let dir = tempfile::tempdir().unwrap();
    let settings = Settings::new(dir.path());
    let engine = settings.clone().with("bandit.every_s", "1").start();
    let spec = |slug: &str, objective: &str| {
        json!({"slug": slug, "destination": "https://shop.example/", "variants": variants(), "allocation": "bandit",
            "objective": objective})
    };
    let make = |slug: &str, objective: &str| {
        text_of(&engine.call("POST", "/v1/links", Some(&spec(slug, objective)), 201)["id"])
    };
    let (often, dear) = (make("often", "conversions"), make("dear", "revenue"));
    let sell = |token: &str, order: String, amount: u64| {
        let sale = json!({"event": "sale", "order_id": order, "wclid": token,
            "amount": {"amount": amount, "currency": "EUR"}});
        engine.call("POST", "/v1/conversions", Some(&sale), 201);
    };
    // The second arm converts, the first does not; of the other link both convert alike, and the first sells for more.
    let mut sold = [0, 0];
    let [_, converting] = arms(&engine, "often", 0..120);
    for token in &converting[1..] {
        sell(token, format!("often-{}", sold[0]), 1_000);
        sold[0] += 1;
    }
    let dear_arms = arms(&engine, "dear", 0..60);
    for (arm, tokens) in dear_arms.iter().enumerate() {
        for token in tokens[1..].iter().take(20) {
            sell(token, format!("dear-{}", sold[1]), if arm == 0 { 90_000 } else { 1_000 });
            sold[1] += 1;
        }
    }
    let share = |told: &Value, arm: usize| told["variants"][arm]["share"].as_u64().unwrap_or_default();
    // A decision that knows every sale.
    let settled = |link: &str, arm: usize, sold: u64| {
        wait_for("shares follow the results", || {
            let told = allocation(&engine, link);
            let arms = told["variants"].as_array().expect("variants");
            let known: u64 = arms.iter().map(|arm| arm["conversions"].as_u64().unwrap_or_default()).sum();
            (share(&told, arm) > 8_500 && known == sold).then_some(told)
        })
    };
    settled(&often, 1, sold[0]);
    settled(&dear, 0, sold[1]);
    // One sale more each: once a decision knows of it, those before are journaled, and it moves the shares by nothing
    // to speak of.
    sell(&converting[0], "often-last".to_owned(), 1_000);
    sell(&dear_arms[0][0], "dear-last".to_owned(), 90_000);
    let before = [settled(&often, 1, sold[0] + 1), settled(&dear, 0, sold[1] + 1)];
    engine.kill();

    let engine = settings.with("bandit.every_s", "86400").start();
    for (link, before) in [&often, &dear].into_iter().zip(&before) {
        let after = allocation(&engine, link);
        let log = |told: &Value| told["decisions"].as_array().expect("a log").clone();
        // All but the last, which is journaled only where it moved a share.
        let kept = log(before).iter().filter(|decision| log(&after).contains(decision)).count();
        assert!(kept > 0 && kept + 1 >= log(before).len(), "{after}\n{before}");
        for arm in 0..2 {
            assert!(share(&after, arm).abs_diff(share(before, arm)) < 100, "{after}\n{before}");
        }
    }
    let [first, second] = arms(&engine, "often", 1_000..1_200);
    assert!(second.len() > 4 * first.len(), "{} and {}", first.len(), second.len());
}
