//! `kill -9` in the middle of paying: whatever was answered or not, asking again pays nothing twice.

use rustix::process::Signal;
use serde_json::{Value, json};

use crate::engine::http::{Answer, Http};
use crate::engine::{ADMIN_KEY, Engine, Settings, exited_with, run, signal, text_of};

const ROUNDS: u64 = 3;
const PARTNERS: usize = 4;
const SALES: usize = 5;

/// A call with an `Idempotency-Key`, to an engine that may die meanwhile.
fn ask(engine: &Engine, path: &str, key: &str, body: &Value) -> std::io::Result<Answer> {
    let bearer = format!("Bearer {ADMIN_KEY}");
    let headers =
        [("authorization", bearer.as_str()), ("content-type", "application/json"), ("idempotency-key", key)];
    Http::new(engine.admin).send("POST", path, &headers, body.to_string().as_bytes())
}

/// Asks again and again while the engine is killed and started, and gives the one answer.
fn ask_through_a_kill(
    settings: &Settings,
    engine: Engine,
    path: &str,
    key: &str,
    wait_us: u64,
) -> (Engine, Value) {
    let body = json!({});
    std::thread::scope(|scope| {
        let asked = scope.spawn(|| ask(&engine, path, key, &body));
        std::thread::sleep(std::time::Duration::from_micros(wait_us));
        signal(engine.pid(), Signal::KILL);
        // Answered or cut off: both happen.
        let _ = asked.join().expect("asking does not panic");
    });
    engine.kill();
    let engine = settings.start();
    let answer = ask(&engine, path, key, &body).expect("the engine runs");
    assert!(answer.status < 300, "{}", answer.text());
    let again = ask(&engine, path, key, &body).expect("the engine runs");
    assert_eq!(answer.json(), again.json(), "the same question has one answer");
    (engine, answer.json())
}

#[test]
fn nothing_is_paid_twice_by_an_engine_that_is_killed() {
    let data = tempfile::tempdir().unwrap();
    let settings = Settings::new(data.path());
    let mut engine = settings.start();
    let program = json!({"name": "P", "commission": {"base": {"bp": 1000}}});
    let program = text_of(&engine.call("POST", "/v1/programs", Some(&program), 201)["id"]);
    for n in 0..PARTNERS {
        let partner = json!({"name": "P", "code": format!("P{n}"), "program_id": program});
        engine.call("POST", "/v1/partners", Some(&partner), 201);
    }
    let (mut earned, mut paid) = (0, 0);
    for round in 0..ROUNDS {
        for n in 0..PARTNERS * SALES {
            let amount = 1_000 + 10 * n as i64;
            let order = json!({"event": "sale", "order_id": format!("A-{round}-{n}"),
                "partner_code": format!("P{}", n % PARTNERS), "amount": {"amount": amount, "currency": "EUR"}});
            engine.call("POST", "/v1/conversions", Some(&order), 201);
            earned += amount / 10;
        }
        let wait_us = 200 + 1_500 * round;
        let (next, batch) =
            ask_through_a_kill(&settings, engine, "/v1/payouts", &format!("batch{round}"), wait_us);
        assert_eq!(batch["data"].as_array().map(Vec::len), Some(PARTNERS), "{batch}");
        paid += batch["totals"][0]["amount"].as_i64().unwrap();
        assert_eq!(paid, earned, "all that was earned, once");
        let path = format!("/v1/payouts/{}/paid", text_of(&batch["id"]));
        let (next, _) = ask_through_a_kill(&settings, next, &path, &format!("paid{round}"), wait_us);
        engine = next;
        let left = engine.call("POST", "/v1/payouts", Some(&json!({})), 201);
        assert_eq!(left["data"], json!([]), "nothing is left to pay");
    }
    let balance = |kind: &str| -> i64 {
        let accounts = engine.call("GET", &format!("/v1/accounts?owner=partner&kind={kind}"), None, 200);
        let accounts = accounts["data"].as_array().expect("accounts").clone();
        accounts.iter().filter_map(|account| account["balance"]["amount"].as_i64()).sum()
    };
    assert_eq!((balance("paid"), balance("processing"), balance("approved")), (earned, 0, 0));
    let (status, log) = engine.stop();
    assert!(exited_with(status, 0), "{log}");
    let (_, report, _) = run(data.path(), &["doctor", "--books"]);
    assert!(report.contains("ok    books: every balance is the sum of its entries"), "{report}");
}
