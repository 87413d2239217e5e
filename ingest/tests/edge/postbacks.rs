//! `/postback`: tokens, transactions and what becomes of them, and tables of offline conversions.

use http::Method;
use serde_json::{Value, json};

use super::{ADMIN, Answer, Edge, INGEST, VIEWER};

fn token(edge: &Edge, settings: Value) -> (String, String) {
    let made = edge.post("/v1/postback-tokens", &settings).expect(201);
    let text = |name: &str| made[name].as_str().unwrap().to_owned();
    assert!(text("url").contains(&text("token")));
    (text("id"), text("token"))
}

fn tell(edge: &Edge, token: &str, query: &str) -> Answer {
    edge.send(Method::GET, &format!("/postback?token={token}&{query}"), &[], b"")
}

fn conversion(edge: &Edge, answer: &Value) -> Value {
    let id: weir_schemas::ids::ConversionId = answer["conversion_id"].as_str().unwrap().parse().unwrap();
    let found = edge.books.reads().conversion(weir_schemas::ids::WorkspaceId(1), id).unwrap();
    json!(found.expect("it is booked"))
}

#[test]
fn a_transaction_goes_from_lead_to_sale_to_refund() {
    let edge = Edge::start();
    let (_, token) = token(&edge, json!({"name": "Acme"}));
    let click = weir_schemas::ids::ClickId::new(weir_schemas::time::Timestamp::now().0, 0, 0, 7);
    let lead = tell(&edge, &token, &format!("click_id={click}&txid=T1&status=lead")).expect(200);
    assert_eq!((&lead["outcome"], &lead["status"]), (&json!("booked"), &json!("lead")));
    let sale = tell(&edge, &token, "txid=T1&payout=12.34&currency=USD&status=sale").expect(200);
    let booked = conversion(&edge, &sale);
    assert_eq!(booked["amount"], json!({"amount": 1234, "currency": "USD"}));
    assert_eq!((&booked["provider"], &booked["event"]), (&json!("postback"), &json!("sale")));
    let again = tell(&edge, &token, "txid=T1&payout=12.34&currency=USD&status=approved").expect(200);
    assert_eq!((&again["outcome"], &again["conversion_id"]), (&json!("repeated"), &sale["conversion_id"]));
    assert_eq!(tell(&edge, &token, "txid=T1&status=approved").expect(200)["outcome"], "repeated");
    tell(&edge, &token, "txid=T1&payout=12.35&currency=USD&status=approved").expect(409);
    let upsell = tell(&edge, &token, &format!("click_id={click}&txid=T2&payout=5&currency=USD")).expect(200);
    assert_ne!(upsell["conversion_id"], sale["conversion_id"]);
    let part = tell(&edge, &token, "txid=T1&payout=2.34&currency=USD&status=refunded").expect(200);
    assert_eq!(part["outcome"], "taken_back");
    assert_eq!(conversion(&edge, &part)["refunded"]["amount"], 234);
    let rejected = tell(&edge, &token, "txid=T1&status=rejected").expect(200);
    assert_eq!(conversion(&edge, &rejected)["refunded"]["amount"], 1234);
    assert_eq!(tell(&edge, &token, "txid=T1&status=rejected").expect(200)["outcome"], "repeated");
    // A rejection that comes before its sale waits for it.
    let early = tell(&edge, &token, "txid=T3&status=rejected&currency=USD").expect(200);
    assert_eq!(early["outcome"], "waiting");
    let late = tell(&edge, &token, "txid=T3&payout=9.99&currency=USD&status=sale").expect(200);
    assert_eq!(conversion(&edge, &late)["refunded"]["amount"], 999);
    assert_eq!(edge.books.reads().check().unwrap(), Vec::<String>::new());
}

#[test]
fn a_rejected_lead_leaves_the_counts_whenever_it_is_told() {
    let edge = Edge::start();
    let (_, token) = token(&edge, json!({"name": "Acme"}));
    let leads = || -> i64 {
        let upto = edge.books.applied().get();
        let effects = edge.books.reads().effects(0, upto, usize::MAX).unwrap();
        effects.iter().map(|effect| effect.change.leads).sum()
    };
    let lead = tell(&edge, &token, "txid=L1&status=lead").expect(200);
    assert_eq!((&lead["outcome"], leads()), (&json!("booked"), 1));
    let rejected = tell(&edge, &token, "txid=L1&status=rejected").expect(200);
    assert_eq!((&rejected["outcome"], leads()), (&json!("taken_back"), 0));
    assert_eq!(rejected["conversion_id"], lead["conversion_id"]);
    assert_eq!(tell(&edge, &token, "txid=L1&status=rejected").expect(200)["outcome"], "repeated");
    assert_eq!(tell(&edge, &token, "txid=L1&status=lead").expect(200)["outcome"], "repeated");
    assert_eq!(leads(), 0, "nothing is taken twice");
    // The other way round.
    assert_eq!(tell(&edge, &token, "txid=L2&status=rejected").expect(200)["outcome"], "waiting");
    tell(&edge, &token, "txid=L2&status=lead").expect(200);
    tell(&edge, &token, "txid=L3&status=lead").expect(200);
    assert_eq!(leads(), 1, "of the one that nobody rejected");
    assert_eq!(edge.books.reads().check().unwrap(), Vec::<String>::new());
}

#[test]
fn a_coupon_of_the_network_credits_its_partner() {
    let edge = Edge::start();
    let (_, token) =
        token(&edge, json!({"parameters": {"promo": "coupon", "aff": "partner_code"}, "currency": "EUR"}));
    let terms = json!({"base": {"bp": 1_000}, "tiers": [], "recurring_months": null});
    let program = edge.post("/v1/programs", &json!({"name": "P", "commission": terms})).expect(201);
    let partner = edge
        .post(
            "/v1/partners",
            &json!({"name": "Ada", "code": "ada", "coupons": ["SPRING"], "program_id": program["id"]}),
        )
        .expect(201);
    for (txid, named) in [("C1", "promo=spring"), ("C2", "aff=ada")] {
        let sale = tell(&edge, &token, &format!("txid={txid}&payout=20.00&{named}")).expect(200);
        let booked = conversion(&edge, &sale);
        assert_eq!(booked["attribution"]["partner_id"], partner["id"], "{named}: {booked}");
        assert_eq!(booked["commissions"][0]["amount"]["amount"], 200, "{booked}");
    }
}

#[test]
fn forms_and_json_are_read_and_a_networks_names_mapped() {
    let edge = Edge::start();
    let settings = json!({"network": "acme", "parameters": {"tid": "txid", "sum": "payout"},
        "statuses": {"confirmed": "approved"}, "currency": "JPY"});
    let (_, token) = token(&edge, settings);
    let form = format!("token={token}&tid=7&sum=500&status=confirmed");
    let kind = [("content-type", "application/x-www-form-urlencoded")];
    let sale = edge.send(Method::POST, "/postback", &kind, form.as_bytes()).expect(200);
    let booked = conversion(&edge, &sale);
    assert_eq!((&booked["order_id"], &booked["amount"]["amount"]), (&json!("acme:7"), &json!(500)));
    let body = json!({"tid": 7, "sum": 500, "status": "confirmed"}).to_string();
    let headers = [("content-type", "application/json"), ("authorization", &format!("Bearer {token}"))];
    let again = edge.send(Method::POST, "/postback", &headers, body.as_bytes()).expect(200);
    assert_eq!(again["outcome"], "repeated");
}

#[test]
fn who_may_not_and_what_cannot_be_is_refused() {
    let edge = Edge::start();
    edge.send(Method::GET, "/postback?txid=1&payout=1", &[], b"").expect(401);
    tell(&edge, "pb_unknown", "txid=1&payout=1").expect(401);
    let (id, first) = token(&edge, json!({"allow": ["203.0.113.0/24"]}));
    tell(&edge, &first, "txid=1&payout=1").expect(403);
    let path = format!("/v1/postback-tokens/{id}");
    edge.call(ADMIN, Method::PATCH, &path, &json!({"allow": ["127.0.0.1"]})).expect(200);
    for (query, field) in [
        ("payout=1", "click_id"),
        ("txid=1&payout=1.005", "payout"),
        ("txid=1&payout=-1", "payout"),
        ("txid=1&payout=1&currency=EURO", "currency"),
        ("txid=1&payout=1&status=perhaps", "status"),
        ("txid=1&status=sale", "payout"),
        ("txid=1&payout=1&wclid=forged", "click_id"),
    ] {
        let problem = tell(&edge, &first, query).expect(422);
        assert_eq!(problem["errors"][0]["field"], field, "{query}: {problem}");
    }
    tell(&edge, &first, "txid=1&payout=1").expect(200);
    let rotated = edge.post(&format!("{path}/rotate"), &json!({})).expect(200);
    let second = rotated["token"].as_str().unwrap().to_owned();
    tell(&edge, &first, "txid=2&payout=1").expect(200);
    tell(&edge, &second, "txid=3&payout=1").expect(200);
    let third = edge.post(&format!("{path}/rotate"), &json!({"grace_hours": 0})).expect(200);
    tell(&edge, &second, "txid=4&payout=1").expect(401);
    tell(&edge, third["token"].as_str().unwrap(), "txid=4&payout=1").expect(200);
    edge.call(ADMIN, Method::DELETE, &path, &Value::Null).expect(204);
    tell(&edge, third["token"].as_str().unwrap(), "txid=5&payout=1").expect(401);
    edge.call(VIEWER, Method::POST, "/v1/postback-tokens", &json!({})).expect(403);
    edge.post("/v1/postback-tokens", &json!({"parameters": {"x": "y"}})).expect(422);
}

fn import(edge: &Edge, query: &str, table: &str, headers: &[(&str, &str)]) -> Answer {
    let bearer = format!("Bearer {INGEST}");
    let mut all = vec![("authorization", bearer.as_str()), ("content-type", "text/csv")];
    all.extend_from_slice(headers);
    edge.send(Method::POST, &format!("/v1/conversions/import{query}"), &all, table.as_bytes())
}

#[test]
fn a_table_is_tried_first_and_then_taken_row_by_row() {
    let edge = Edge::start();
    let table = "event,order_id,amount,currency,customer_id,email\n\
        sale,A-1,19.99,EUR,u1,a@b.example\nsale,A-2,1.005,EUR,,\nlead,A-3,,,,\nsale,A-1,20.00,EUR,,\n";
    let tried = import(&edge, "?dry_run=true", table, &[]).expect(200);
    assert_eq!(
        (&tried["created"], &tried["failed"], &tried["dry_run"]),
        (&json!(2), &json!(2), &json!(true))
    );
    assert_eq!(tried["data"][1]["error"]["errors"][0]["field"], "amount");
    assert_eq!(tried["data"][3]["status"], 409, "what contradicts an earlier row of the table: {tried}");
    assert!(
        edge.books
            .reads()
            .conversions(weir_schemas::ids::WorkspaceId(1), &Default::default(), &Default::default())
            .unwrap()
            .data
            .is_empty(),
        "nothing was changed"
    );
    let key = [("idempotency-key", "march")];
    let one_by_one = "event,order_id,amount,currency\nsale,A-1,19.99,EUR\nlead,A-3,,\nlead,,,\n";
    let taken = import(&edge, "", one_by_one, &key).expect(200);
    assert_eq!((&taken["created"], &taken["failed"]), (&json!(3), &json!(0)), "{taken}");
    let again = import(&edge, "", one_by_one, &key).expect(200);
    assert_eq!(again["data"], taken["data"], "each row is answered as it was");
    let tried = import(&edge, "?dry_run=true", table, &[]).expect(200);
    let statuses: Vec<&Value> = (0..4).map(|n| &tried["data"][n]["status"]).collect();
    assert_eq!(statuses, [200, 422, 200, 409], "{tried}");
    import(&edge, "?dry_run=maybe", table, &[]).expect(422);
    import(&edge, "", "order_id\n1\n", &[]).expect(422);
}
