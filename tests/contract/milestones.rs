//! Milestones: their progress, told once by webhook and live, and the bonus that they bring. Caps.

use std::time::Instant;

use serde_json::{Value, json};

use super::conversions::sale;
use super::engine::{PATIENCE, text_of};
use super::live::Watching;
use super::programs::{partner, program};
use super::{fresh, names, shared, within_a_day};

#[test]
fn a_milestone_is_told_once_and_live_and_brings_its_bonus() {
    within_a_day();
    let shared = shared();
    let milestones = json!([
        {"name": "Two", "target": {"orders": 2}, "bonus": {"amount": 700, "currency": "EUR"}},
        {"name": "Month", "per": "month", "scope": "program",
            "target": {"revenue": {"amount": 10_000, "currency": "EUR"}}}]);
    let program = program(&shared, json!({"milestones": milestones}));
    let (id, code) = partner(&shared, json!({"program_id": program}));
    let path = format!("/v1/milestones?program_id={program}");
    let at_first = shared.get(&path);
    assert_eq!(at_first["data"].as_array().map(Vec::len), Some(1), "nobody has sold yet: {at_first}");
    assert_eq!((&at_first["data"][0]["value"], &at_first["data"][0]["goal"]), (&json!(0), &json!(10_000)));
    let mut watching = Watching::connect(&shared);
    watching.send(json!({"type": "events", "id": "tail"}));
    for _ in 0..3 {
        sale(&shared, &fresh("order"), 2_500, json!({"partner_code": code}));
    }
    let mine = shared.get(&format!("{path}&partner_id={id}"));
    let line = |name: &str| -> Value {
        let lines = mine["data"].as_array().expect("lines");
        lines.iter().find(|line| line["name"] == name).expect("a line").clone()
    };
    let two = line("Two");
    assert_eq!(
        (&two["value"], &two["reached"], &two["progress_bp"]),
        (&json!(3), &json!(true), &json!(10_000))
    );
    assert_eq!(
        (&two["partner_id"], &two["metric"], &two["span"]),
        (&json!(id), &json!("orders"), &json!(null))
    );
    let month = line("Month");
    assert_eq!((&month["value"], &month["reached"]), (&json!(7_500), &json!(false)), "{month}");
    assert_eq!((&month["progress_bp"], &month["partner_id"]), (&json!(7_500), &json!(null)));
    assert_eq!(text_of(&month["span"]).len(), "2026-11".len());
    let reached = shared.get(&format!("/v1/milestones/reached?program_id={program}"));
    assert_eq!(reached["data"].as_array().map(Vec::len), Some(1), "{reached}");
    let bonus = shared.get(&format!("/v1/commissions/{}", text_of(&reached["data"][0]["commission_id"])));
    assert_eq!((&bonus["kind"], &bonus["amount"]["amount"]), (&json!("bonus"), &json!(700)));
    let end = Instant::now() + PATIENCE;
    loop {
        assert!(Instant::now() < end, "the milestone is not in the live events");
        let frame = watching.next("events");
        let rows = frame["rows"].as_array().expect("rows");
        if let Some(row) =
            rows.iter().find(|row| row["kind"] == "milestone" && row["program_id"] == json!(program))
        {
            assert_eq!((&row["name"], &row["value"]), (&json!("Two"), &json!(2)));
            break;
        }
    }
    let query = json!({"metrics": ["commission"], "date_range": "7d", "filters": ["is", "partner", [id]]});
    assert_eq!(shared.engine.query(&query)["rows"], json!([[750 + 700]]));
    for (body, field) in [
        (json!({"milestones": [{"name": "x", "target": {}}]}), "milestones[0].target"),
        (json!({"milestones": [{"name": "x", "target": {"orders": 1}, "per": "year"}]}), "milestones[0].per"),
    ] {
        let path = format!("/v1/programs/{program}");
        names(&shared.engine.api("PATCH", &path, Some(&body)), field);
    }
}

#[test]
fn a_cap_is_told_on_the_commission() {
    within_a_day();
    let shared = shared();
    let caps = json!([{"per": "day", "amount": {"amount": 150, "currency": "EUR"}}]);
    let program = program(&shared, json!({"commission": {"base": {"bp": 1000}, "caps": caps}}));
    let (id, code) = partner(&shared, json!({"program_id": program}));
    for _ in 0..3 {
        sale(&shared, &fresh("order"), 1_000, json!({"partner_code": code}));
    }
    let listed = shared.get(&format!("/v1/commissions?partner_id={id}"));
    let told: Vec<(i64, i64, &Value)> = listed["data"]
        .as_array()
        .expect("data")
        .iter()
        .map(|one| {
            let amount = |name: &str| one[name]["amount"].as_i64().expect("an amount");
            (amount("amount"), amount("capped"), &one["cap"]["per"])
        })
        .collect();
    assert_eq!(told, [(0, 100, &json!("day")), (50, 50, &json!("day")), (100, 0, &json!(null))]);
}
