//! Rows that ClickHouse can never take: they are put aside, the rest is stored.

use serde_json::json;

use crate::clickhouse::{ClickHouse, with_clickhouse};
use crate::engine::{BROWSER, Settings, token_of, wait_for};

const CLICKS: u64 = 300;
/// Every so many clicks one is poisoned.
const POISON_EVERY: u64 = 37;

#[test]
fn exactly_the_rows_that_cannot_be_stored_are_put_aside() {
    let folder = tempfile::tempdir().unwrap();
    let clickhouse = ClickHouse::start(&folder.path().join("clickhouse"));
    // One batch holds good rows and bad ones.
    let settings = Settings::new(&folder.path().join("data")).with("warehouse.batch_age_ms", "500");
    let settings = with_clickhouse(settings, clickhouse.address);
    let engine = settings.start();
    let link = engine.make_link("shop");
    assert_eq!(engine.counts("link", "clicks", None), [].into());
    clickhouse.run("ALTER TABLE clicks ADD CONSTRAINT no_poison CHECK utm_content NOT LIKE 'poison%'");
    clickhouse.run("ALTER TABLE effects ADD CONSTRAINT no_poison CHECK order_id NOT LIKE 'poison%'");

    let mut visitor = engine.visitor();
    let (mut poisoned, mut token) = (0_u64, String::new());
    for n in 0..CLICKS {
        let mark = if n % POISON_EVERY == 5 { "poison" } else { "fine" };
        poisoned += u64::from(mark == "poison");
        let answer =
            visitor.send("GET", &format!("/shop?utm_content={mark}{n}"), &[("user-agent", BROWSER)], b"");
        let answer = answer.unwrap();
        assert_eq!(answer.status, 302);
        token = token_of(&answer);
    }
    for order in ["fine-1", "poison-1", "fine-2", "poison-2", "poison-3", "fine-3"] {
        let body = json!({"event": "sale", "order_id": order, "wclid": token, "amount": {"amount": 100, "currency": "EUR"}});
        engine.call("POST", "/v1/conversions", Some(&body), 201);
    }
    assert_eq!(engine.counts("link", "clicks", None), [(link.clone(), (CLICKS - poisoned) as i64)].into());
    assert_eq!(engine.counts("link", "conversions", None), [(link.clone(), 3)].into());

    let dead =
        |source: &str| clickhouse.run(&format!("SELECT count() FROM dead_letter WHERE source = '{source}'"));
    assert_eq!(dead("clicks"), poisoned.to_string());
    assert_eq!(dead("effects"), "3");
    // By which constraint, and with all that is needed to store them once it is gone.
    let known = "reason LIKE '%no_poison%' AND length(payload) > 0";
    let unknown = format!("SELECT count() FROM dead_letter WHERE NOT ({known})");
    assert_eq!(clickhouse.run(&unknown), "0");
    let poison = "SELECT countIf(position(payload, 'poison') = 0) FROM dead_letter";
    assert_eq!(clickhouse.run(poison), "0", "a good row was put aside");

    let conserved = wait_for("nothing waits", || {
        let metrics = engine.metrics();
        (metrics["weir_clicks_waiting"] == 0.0).then_some(metrics)
    });
    let of = |name: &str| conserved[&format!("weir_clicks_{name}_total")];
    assert_eq!(of("accepted"), CLICKS as f64);
    assert_eq!(of("answered"), of("accepted") + of("dropped"));
    assert_eq!(of("dead_lettered"), poisoned as f64);
    assert_eq!(of("stored"), (CLICKS - poisoned) as f64);
    // What was put aside is not tried again by the next run.
    let (status, log) = engine.stop();
    assert!(status.success(), "{log}");
    let engine = settings.start();
    engine.click("shop");
    assert_eq!(
        engine.counts("utm_content", "clicks", Some(json!(["is", "utm_content", ["", "(none)"]]))).len(),
        1
    );
    assert_eq!(dead("clicks"), poisoned.to_string());
    assert_eq!(dead("effects"), "3");

    // The operator sees them, page by page, and tries again before the cause is mended: nothing changes.
    let mut listed = Vec::new();
    let mut cursor = String::new();
    loop {
        let page = engine.call("GET", &format!("/v1/admin/dead-letters?limit=5&cursor={cursor}"), None, 200);
        listed.extend(page["data"].as_array().unwrap().iter().cloned());
        match page["next_cursor"].as_str() {
            Some(next) => cursor = next.to_owned(),
            None => break,
        }
    }
    assert_eq!(listed.len() as u64, poisoned + 3);
    assert!(listed.iter().all(|row| row["reason"].as_str().unwrap().contains("no_poison")), "{listed:?}");
    let retry = |body| engine.call("POST", "/v1/admin/dead-letters/retry", Some(&body), 200);
    let tried = retry(json!({}));
    assert_eq!(
        (&tried["stored"], tried["refused"].as_array().map(Vec::len)),
        (&json!(0), Some(listed.len()))
    );
    assert_eq!(dead("clicks"), poisoned.to_string());

    // One table is mended: its rows are stored once, the others stay; then the rest, by name.
    clickhouse.run("ALTER TABLE clicks DROP CONSTRAINT no_poison");
    let first = &listed.iter().find(|row| row["source"] == "clicks").unwrap()["sequence"];
    assert_eq!(retry(json!({"sequences": [first]})), json!({"stored": 1, "refused": []}));
    assert_eq!(retry(json!({"sequences": [first]})), json!({"stored": 0, "refused": []}));
    // What was added up of clicks without the late ones is forgotten: a step that has no cells would hide them all.
    let of_clicks = listed.iter().filter(|row| row["source"] == "clicks");
    let last = of_clicks.filter_map(|row| row["sequence"].as_u64()).max().unwrap();
    clickhouse.run(&format!(
        "INSERT INTO click_steps (step, after, upto, cells) SELECT 1, 0, {last}, 0 FROM numbers(1)"
    ));
    let tried = retry(json!({}));
    assert_eq!(
        (&tried["stored"], tried["refused"].as_array().map(Vec::len)),
        (&json!(poisoned - 1), Some(3))
    );
    assert_eq!(clickhouse.run("SELECT count() FROM click_steps"), "0");
    clickhouse.run("ALTER TABLE effects DROP CONSTRAINT no_poison");
    assert_eq!(retry(json!({})), json!({"stored": 3, "refused": []}));
    assert_eq!(clickhouse.run("SELECT count() FROM dead_letter"), "0");
    assert_eq!(engine.counts("link", "clicks", None), [(link.clone(), CLICKS as i64 + 1)].into());
    assert_eq!(engine.counts("link", "conversions", None), [(link, 6)].into());
    let metrics = engine.metrics();
    assert_eq!(metrics["weir_clicks_dead_lettered_total"], 0.0, "this run put nothing aside");
    assert_eq!(metrics["weir_clicks_stored_total"], metrics["weir_clicks_accepted_total"]);
}
