//! Caps and milestones: what is counted, what is told once, and what a bonus brings.

use weir_schemas::ids::OutboundEndpointId;

use super::commissions::earning;
use super::programs::{PARTNER, PROGRAM, sold};
use super::*;

impl Bench {
    /// What was reached: name, partner or 0, span, value.
    fn reached(&self) -> Vec<(String, i64, i64, i64)> {
        let sql = "SELECT name, partner, span, told ->> '$.value' FROM milestones_reached ORDER BY id";
        let mut statement = self.store.connection().prepare(sql).unwrap();
        let rows =
            statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?))).unwrap();
        rows.map(Result::unwrap).collect()
    }

    fn told(&self, event: &str) -> Vec<Value> {
        let sql = "SELECT data FROM outbox WHERE event = ?1 ORDER BY seq, n";
        let mut statement = self.store.connection().prepare(sql).unwrap();
        let rows = statement.query_map([event], |row| row.get::<_, String>(0)).unwrap();
        rows.map(|row| serde_json::from_str(&row.unwrap()).unwrap()).collect()
    }

    /// Amount, what a cap took of it and the cap, of each commission.
    fn capped(&self) -> Vec<(i64, i64, Option<String>)> {
        let sql =
            "SELECT earned, capped, cap ->> '$.per' FROM earnings WHERE kind = 'commission' ORDER BY id";
        let mut statement = self.store.connection().prepare(sql).unwrap();
        let rows = statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?))).unwrap();
        rows.map(Result::unwrap).collect()
    }

    fn sells_at(&mut self, order: &str, amount: i64, at: Timestamp) -> Value {
        let click = ClickId::new(at.0 - 1_000, 0, 1, self.facts.len() as u64);
        let sold = self.convert(sold(order, amount, json!({"occurred_at": at})), known(click));
        assert_eq!(sold.status, 201);
        sold.body.into_value()
    }
}

#[test]
fn a_cap_leaves_what_is_left_of_it_and_says_so() {
    let caps = json!([{"per": "day", "amount": {"amount": 250, "currency": "EUR"}},
        {"per": "program", "scope": "program", "amount": {"amount": 600, "currency": "EUR"}}]);
    let mut bench =
        earning(json!({"commission": {"base": {"bp": 1000}, "caps": caps}, "platform_fee_bp": 2000}));
    let at = Timestamp(NOON - 3 * DAY_MS);
    let first = bench.sells_at("A-1", 2_000, at);
    assert_eq!(first["commissions"][0]["amount"]["amount"], 160);
    let second = bench.sells_at("A-2", 2_000, at);
    // 50 are left of the day, of which the partner has 80 %.
    assert_eq!(second["commissions"][0]["amount"]["amount"], 40);
    assert_eq!(second["commissions"][0]["platform_fee"]["amount"], 10);
    let third = bench.sells_at("A-3", 2_000, at);
    assert_eq!(third["commissions"][0]["amount"]["amount"], 0, "nothing is left, and it is there to say so");
    bench.sells_at("A-4", 2_000, Timestamp(at.0 + DAY_MS));
    bench.sells_at("A-5", 2_000, Timestamp(at.0 + 2 * DAY_MS));
    let day = Some("day".to_owned());
    let expected = [
        (160, 0, None),
        (40, 120, day.clone()),
        (0, 160, day),
        (160, 0, None),
        (120, 40, Some("program".to_owned())),
    ];
    assert_eq!(bench.capped(), expected);
    assert_eq!(bench.balance("merchant commissions EUR"), -600);
    // A partial refund computes it anew on what is left; it takes nothing while the cap is still the least.
    assert_eq!(bench.refund(json!({"order_id": "A-2", "amount": eur(1_000)})).status, 201);
    assert_eq!(bench.capped()[1].0, 40);
    assert_eq!(bench.refund(json!({"order_id": "A-2", "amount": eur(900)})).status, 201);
    assert_eq!(bench.capped()[1].0, 8, "10 % of the 1.00 that is left, of it 80 %");
    assert_eq!(bench.sells_at("A-6", 100, at)["commissions"][0]["amount"]["amount"], 0, "no room by refunds");
    bench.verify();
}

#[test]
fn a_milestone_is_told_once_for_each_span_and_brings_its_bonus() {
    let milestones = json!([
        {"name": "Three", "target": {"orders": 3}, "bonus": {"amount": 500, "currency": "EUR"}},
        {"name": "Day", "per": "day", "target": {"orders": 2}},
        {"name": "Together", "scope": "program", "per": "month",
            "target": {"revenue": {"amount": 4_000, "currency": "EUR"}}},
        {"name": "People", "target": {"signups": 2}}]);
    let mut bench = earning(json!({"milestones": milestones, "hold_days": 7}));
    let spec = serde_json::from_value(json!({"url": "https://hooks.example/"})).unwrap();
    let secret = weir_schemas::fact::Sealed(String::new());
    bench.apply(What::OutboundCreated { id: OutboundEndpointId(1), spec, secret });
    let day = Timestamp(NOON - 2 * DAY_MS);
    for n in 1..=4 {
        bench.sells_at(&format!("A-{n}"), 1_000, day);
    }
    let partner = PARTNER.0 as i64;
    let days = |at: Timestamp| at.to_string()[..10].replace('-', "").parse::<i64>().unwrap();
    let expected = [
        ("Day".to_owned(), partner, days(day), 2),
        ("Three".to_owned(), partner, 0, 3),
        ("Together".to_owned(), 0, days(day) / 100, 4_000),
    ];
    assert_eq!(bench.reached(), expected);
    assert_eq!((bench.balance("partner pending EUR"), bench.total().commission), (900, 900));
    // Nothing of it goes back with an order, and it is not told again.
    assert_eq!(bench.refund(json!({"order_id": "A-3"})).status, 201);
    bench.sells_at("A-5", 1_000, day);
    assert_eq!(bench.reached().len(), 3);
    for n in 1..=2 {
        let lead = json!({"event": "lead", "order_id": format!("L-{n}")});
        assert_eq!(bench.convert(lead, known(click_id(0, n))).status, 201);
    }
    assert_eq!(bench.reached()[3], ("People".to_owned(), partner, 0, 2));
    let told: Vec<Value> = bench.told("milestone.reached");
    let named: Vec<&str> = told.iter().filter_map(|told| told["name"].as_str()).collect();
    assert_eq!(named, ["Day", "Three", "Together", "People"]);
    let three = told.iter().find(|told| told["name"] == "Three").unwrap();
    assert_eq!((&three["metric"], &three["bonus"]["amount"]), (&json!("orders"), &json!(500)));
    bench.wait(9);
    assert_eq!(bench.balance("partner approved EUR"), 900, "four sales and the bonus");
    let batch = bench.pay_out();
    assert_eq!(batch["totals"][0]["amount"], 900);
    bench.verify();
}

#[test]
fn a_milestone_added_later_counts_what_was_before() {
    let mut bench = earning(json!({}));
    bench.sells_at("A-1", 1_000, Timestamp(NOON - DAY_MS));
    let milestones = json!([{"name": "Two", "target": {"orders": 2}}]);
    assert_eq!(bench.change(PROGRAM, json!({"milestones": milestones})).status, 200);
    bench.sells_at("A-2", 1_000, Timestamp(NOON - DAY_MS));
    assert_eq!(bench.reached().len(), 1);
    bench.verify();
}

#[test]
fn credit_that_moves_is_counted_where_it_went() {
    let mut bench = earning(json!({}));
    bench.partner(PartnerId(7), "BOB", json!({}));
    let lead = json!({"event": "lead", "order_id": "L-1", "customer_id": "u1"});
    bench.convert(lead, known(click_id(3, 1)));
    let mut later = facts_of(click_id(1, 2));
    later.partner = PartnerId(7);
    let touch = json!({"event": "seen", "customer_id": "u1"});
    bench.convert(touch, ClickClaim::Known { by: ClaimedBy::Wclid, facts: later });
    bench.verify();
}
