//! Programs and partners: terms in versions, codes that are nobody else's, and what refers to them.

use serde_json::{Value, json};

use super::conversions::sale;
use super::engine::text_of;
use super::{Shared, fresh, names, refused, shared};

/// The id of a new program with these terms beside its name and a base of 10 %.
pub(crate) fn program(shared: &Shared, more: Value) -> String {
    let mut body = json!({"name": fresh("program"), "commission": {"base": {"bp": 1000}}});
    body.as_object_mut().expect("an object").extend(more.as_object().expect("an object").clone());
    text_of(&shared.post("/v1/programs", body, 201)["id"])
}

/// Id and code of a new partner with further members.
pub(crate) fn partner(shared: &Shared, more: Value) -> (String, String) {
    let code = fresh("CODE");
    let mut body = json!({"name": "Ada", "code": code});
    body.as_object_mut().expect("an object").extend(more.as_object().expect("an object").clone());
    (text_of(&shared.post("/v1/partners", body, 201)["id"]), code)
}

#[test]
fn a_program_is_changed_in_versions() {
    let shared = shared();
    let body = json!({"name": "Friends", "attribution": "first", "window_days": 7,
        "commission": {"base": {"bp": 1000}, "recurring_months": null,
            "tiers": [{"name": "Silver", "bp": 1500, "from": {"orders": 10}}]},
        "platform_fee_bp": 2000, "hold_days": 30, "min_payout": {"amount": 5000, "currency": "USD"},
        "cashback_bp": 0, "referral": {}});
    let made = shared.post("/v1/programs", body.clone(), 201);
    let id = text_of(&made["id"]);
    assert!(id.starts_with("prg_"), "{made}");
    for (field, value) in body.as_object().expect("an object") {
        if field != "commission" {
            assert_eq!(&made[field], value, "{field}");
        }
    }
    assert_eq!(made["commission"]["tiers"], body["commission"]["tiers"]);
    let path = format!("/v1/programs/{id}");
    assert_eq!(shared.get(&path), made);
    let changed = shared.engine.call("PATCH", &path, Some(&json!({"hold_days": 14})), 200);
    assert_eq!(
        (&changed["version"], &changed["hold_days"], &changed["window_days"]),
        (&json!(2), &json!(14), &json!(7))
    );
    assert_eq!(shared.get(&path), changed);
    let versions = shared.get(&format!("{path}/versions"));
    assert_eq!(versions["data"][1]["hold_days"], 30, "{versions}");
    let listed = shared.get("/v1/programs?limit=1000");
    assert!(listed["data"].as_array().expect("data").contains(&changed), "{listed}");
    for (patch, field) in [
        (json!({"hold_days": 1000}), "hold_days"),
        (json!({"commission": {"base": {"bp": 10_001}}}), "commission.base.bp"),
        (json!({"nope": 1}), "nope"),
    ] {
        names(&shared.engine.api("PATCH", &path, Some(&patch)), field);
    }
    names(&shared.engine.api("POST", "/v1/programs", Some(&json!({"name": "x"}))), "commission");
    let unknown = "/v1/programs/prg_0000000000001";
    refused(&shared.engine.api("GET", unknown, None), 404, "not_found");
    refused(&shared.engine.api("PATCH", unknown, Some(&json!({"hold_days": 1}))), 404, "not_found");
}

#[test]
fn a_partner_has_a_code_of_its_own_and_a_masked_account() {
    let shared = shared();
    let code = fresh("ADA");
    let body = json!({"name": "Ada", "code": code, "email": "ada@example.com", "coupons": [fresh("COUPON")],
        "payout_method": {"type": "bank", "account": "DE89370400440532013000", "holder": "Ada L."}});
    let made = shared.post("/v1/partners", body.clone(), 201);
    let id = text_of(&made["id"]);
    assert!(id.starts_with("ptn_"), "{made}");
    assert_eq!((&made["status"], &made["email"]), (&json!("approved"), &json!("ada@example.com")));
    assert_eq!(made["payout_method"]["account"], "•••3000");
    let path = format!("/v1/partners/{id}");
    assert_eq!(shared.get(&path), made);
    let other = json!({"name": "Eve", "code": code.to_lowercase()});
    let taken = refused(&shared.engine.api("POST", "/v1/partners", Some(&other)), 409, "code_taken");
    assert_eq!(taken["errors"][0]["field"], "code", "{taken}");
    let patch = json!({"email": "new@example.com", "status": "pending"});
    let changed = shared.engine.call("PATCH", &path, Some(&patch), 200);
    assert_eq!((&changed["status"], &changed["email"]), (&json!("pending"), &json!("new@example.com")));
    assert_eq!(shared.get(&path), changed);
    let found = shared.get(&format!("/v1/partners?code={code}"));
    assert_eq!(found["data"], json!([changed]));
    assert!(text_of(&shared.post("/v1/partners", json!({"name": "Bob"}), 201)["code"]).len() >= 6);
    for (body, field) in [
        (json!({"code": "x"}), "name"),
        (json!({"name": "x", "email": "nowhere"}), "email"),
        (json!({"name": "x", "program_id": "prg_0000000000001"}), "program_id"),
        (json!({"name": "x", "nope": 1}), "nope"),
    ] {
        names(&shared.engine.api("POST", "/v1/partners", Some(&body)), field);
    }
}

#[test]
fn what_does_not_exist_cannot_be_referred_to() {
    let shared = shared();
    let good = "https://shop.example/";
    for (method, path, body, field) in [
        ("POST", "/v1/links", json!({"destination": good, "program_id": "prg_0000000000001"}), "program_id"),
        ("POST", "/v1/links", json!({"destination": good, "partner_id": "ptn_0000000000001"}), "partner_id"),
        (
            "POST",
            "/v1/webhook-endpoints",
            json!({"provider": "stripe", "secrets": ["whsec_a"], "program_id": "prg_0000000000001"}),
            "program_id",
        ),
        (
            "POST",
            "/v1/keys",
            json!({"name": "p", "role": "partner", "partner_id": "ptn_0000000000001"}),
            "partner_id",
        ),
    ] {
        names(&shared.engine.api(method, path, Some(&body)), field);
    }
    let (_, link) = shared.link(json!({}));
    let patch = json!({"partner_id": "ptn_0000000000001"});
    names(&shared.engine.api("PATCH", &format!("/v1/links/{link}"), Some(&patch)), "partner_id");
}

#[test]
fn conversions_find_their_partner_by_link_code_and_coupon() {
    let shared = shared();
    let program = program(&shared, json!({}));
    let coupon = fresh("COUPON");
    let (id, code) = partner(&shared, json!({"program_id": program, "coupons": [coupon]}));
    let (slug, _) = shared.link(json!({"program_id": program, "partner_id": id}));
    let token = shared.token(&slug);
    for (member, rule) in [
        (json!({"wclid": token}), "wclid"),
        (json!({"partner_code": code.to_lowercase()}), "partner_code"),
        (json!({"coupon": coupon}), "coupon"),
    ] {
        let made = sale(&shared, &fresh("order"), 100, member);
        let attribution = &made["attribution"];
        assert_eq!((&attribution["rule"], &attribution["partner_id"]), (&json!(rule), &json!(id)), "{made}");
        assert_eq!(attribution["program_id"], json!(program));
    }
    let query = json!({"metrics": ["conversions", "revenue"], "dimensions": ["program"], "date_range": "7d",
        "filters": ["is", "partner", [id]]});
    assert_eq!(shared.engine.query(&query)["rows"], json!([[program, 3, 300]]));
    let nobody = sale(&shared, &fresh("order"), 100, json!({"partner_code": fresh("nobody")}));
    assert_eq!(nobody["attribution"], Value::Null);
    let trace = shared.get(&format!("/v1/conversions/{}/trace", text_of(&nobody["id"])));
    assert!(text_of(&trace["candidates"][0]["reason"]).starts_with("No partner has"), "{trace}");
}

#[test]
fn a_partners_tier_is_told_with_its_history() {
    let shared = shared();
    let tiers = json!([{"name": "Silver", "bp": 1500, "from": {"orders": 2}},
        {"name": "Gold", "bp": 2000, "from": {"orders": 9}}]);
    let terms = json!({"commission": {"base": {"bp": 1000}, "tiers": tiers, "period": "month"}});
    let program = program(&shared, terms);
    let (id, code) = partner(&shared, json!({"program_id": program}));
    let of = || shared.get(&format!("/v1/partners/{id}/tiers"))["data"][0].clone();
    assert_eq!((&of()["tier"], &of()["next"]["name"]), (&Value::Null, &json!("Silver")));
    let now = weir_schemas::time::Timestamp::now().0;
    // The month before, in which two orders are not yet three.
    let earlier = weir_schemas::time::Timestamp(now - 40 * weir_schemas::time::DAY_MS);
    for _ in 0..3 {
        sale(&shared, &fresh("order"), 1_000, json!({"partner_code": code, "occurred_at": earlier}));
    }
    assert_eq!(of()["tier"], Value::Null, "another month begins anew");
    for _ in 0..2 {
        sale(&shared, &fresh("order"), 1_000, json!({"partner_code": code}));
    }
    let now = of();
    assert_eq!((&now["tier"], &now["rate"]), (&json!("Silver"), &json!({"bp": 1500})));
    assert_eq!((&now["orders"], &now["next"]["name"]), (&json!(2), &json!("Gold")));
    let history: Vec<&Value> =
        now["history"].as_array().expect("changes").iter().map(|one| &one["tier"]).collect();
    assert_eq!(history, [&Value::Null, &json!("Silver"), &Value::Null], "down with the new month");
    refused(&shared.engine.api("GET", "/v1/partners/ptn_0000000000001/tiers", None), 404, "not_found");
}

#[test]
fn uplift_sets_those_with_cashback_beside_the_others() {
    let shared = super::own(|settings| settings);
    let program = program(&shared, json!({"cashback_bp": 500}));
    let (_, code) = partner(&shared, json!({"program_id": program}));
    for (order, customer, more) in [
        ("A-1", "u1", json!({"partner_code": code})),
        ("A-2", "u1", json!({"partner_code": code})),
        ("B-1", "u2", json!({})),
    ] {
        let mut body = more;
        body["customer_id"] = json!(customer);
        sale(&shared, order, 3_000, body);
    }
    let path = format!("/v1/programs/{program}/uplift");
    let found = &shared.get(&path)["data"][0];
    assert_eq!(
        (&found["with_cashback"]["orders"], &found["without_cashback"]["orders"]),
        (&json!(2), &json!(1))
    );
    assert_eq!(found["with_cashback"]["cashback"], json!({"amount": 300, "currency": "EUR"}));
    assert_eq!(found["uplift"]["revenue_per_customer_bp"], 10_000, "{found}");
    assert_eq!(shared.get(&format!("{path}?to=2020-01-01T00:00:00Z"))["data"], json!([]));
    names(&shared.engine.api("GET", &format!("{path}?from=soon"), None), "from");
    refused(&shared.engine.api("GET", "/v1/programs/prg_0000000000001/uplift", None), 404, "not_found");
}
