//! What a partner's key sees: its own, and nothing of anybody else on any route that there is.

use serde_json::{Value, json};

use super::conversions::sale;
use super::engine::text_of;
use super::programs::{partner, program};
use super::{Shared, ask, fresh, names, own, refused, within_a_day};

/// A partner with a link, sales, a payout and a milestone, and every id and name that belongs to it.
struct Partner {
    id: String,
    program: String,
    key: String,
    marks: Vec<String>,
    /// By the path's parameter or collection: `links` → an id.
    ids: Vec<(&'static str, String)>,
}

fn somebody(shared: &Shared) -> Partner {
    let milestones = json!([{"name": fresh("milestone"), "target": {"orders": 1}}]);
    let program = program(shared, json!({"milestones": milestones, "cashback_bp": 100}));
    let name = fresh("partnername");
    let (id, code) =
        partner(shared, json!({"program_id": program, "name": name, "email": format!("{name}@example.com")}));
    let destination = format!("https://{}.example/", fresh("shop"));
    let (slug, link) =
        shared.link(json!({"program_id": program, "partner_id": id, "destination": destination.clone()}));
    let token = shared.token(&slug);
    let (customer, order) = (fresh("customer"), fresh("secretorder"));
    let made = sale(shared, &order, 12_345, json!({"wclid": token, "customer_id": customer.clone()}));
    let batch = shared.post("/v1/payouts", json!({"partner_id": id}), 201);
    let key = json!({"name": "p", "role": "partner", "partner_id": id});
    let key = text_of(&shared.post("/v1/keys", key, 201)["key"]);
    let account = text_of(&shared.get(&format!("/v1/accounts?partner_id={id}"))["data"][0]["id"]);
    let (conversion, commission) = (text_of(&made["id"]), text_of(&made["commissions"][0]["id"]));
    let payout = text_of(&batch["data"][0]["id"]);
    let marks = vec![
        id.clone(),
        code,
        name,
        link.clone(),
        slug,
        destination,
        customer.clone(),
        order,
        conversion.clone(),
        commission.clone(),
        payout.clone(),
        account.clone(),
        program.clone(),
    ];
    let ids = vec![
        ("links", link),
        ("conversions", conversion),
        ("customers", customer),
        ("commissions", commission),
        ("payouts", payout),
        ("accounts", account),
        ("programs", program.clone()),
        ("partners", id.clone()),
    ];
    Partner { id, program, key, marks, ids }
}

/// A body that would ask for everything, for routes that take one.
fn body(path: &str) -> Value {
    match path {
        "/v1/query" => json!({"metrics": ["clicks", "revenue", "commission"], "date_range": "7d",
            "dimensions": ["partner", "program", "link", "currency"]}),
        "/v1/export" => json!({"rows": "conversions", "date_range": "7d"}),
        "/v1/reports/funnel" => json!({"steps": ["click", "conversion"], "date_range": "7d"}),
        path if path.starts_with("/v1/reports/") => json!({"date_range": "7d"}),
        _ => json!({}),
    }
}

#[test]
fn a_partners_key_sees_nothing_foreign_on_any_route() {
    let shared = own(|settings| settings);
    let (mine, other) = (somebody(&shared), somebody(&shared));
    let document = shared.get("/openapi.json");
    let paths = document["paths"].as_object().expect("paths");
    let mut asked = 0;
    for (path, methods) in paths {
        if !path.starts_with("/v1/")
            || ["/v1/live", "/v1/session", "/v1/partners/sign-up"].contains(&path.as_str())
        {
            continue;
        }
        // The foreign thing that the path names, where it names one.
        let part = path.split('/').nth(2).unwrap_or_default();
        let foreign = other.ids.iter().find(|(of, _)| *of == part).map(|(_, id)| id.as_str());
        let concrete = path
            .replace("{id}", foreign.unwrap_or("whk_0000000000001"))
            .replace("{month}", &today()[..7])
            .replace("{delivery}", "dlv_0000000000001")
            .replace("{message}", "msg_1")
            .replace("{token}", "nobodys");
        for method in methods.as_object().expect("methods").keys() {
            let method = method.to_uppercase();
            let body = (method != "GET").then(|| body(path));
            for query in ["", &format!("?partner_id={}", other.id), &format!("?program_id={}", other.program)]
            {
                let answer = shared.as_key(&mine.key, &method, &format!("{concrete}{query}"), body.as_ref());
                asked += 1;
                assert!(answer.status < 500, "{method} {concrete}{query}: {}", answer.text());
                let text = answer.text();
                let seen = other.marks.iter().find(|mark| {
                    text.contains(mark.as_str()) && !format!("{concrete}{query}").contains(mark.as_str())
                });
                assert!(seen.is_none(), "{method} {concrete}{query} tells {seen:?}: {text}");
                let reads = method == "GET"
                    || path.starts_with("/v1/reports/")
                    || path == "/v1/query"
                    || path == "/v1/export";
                assert!(
                    reads || path == "/v1/live/tickets" || answer.status >= 400,
                    "{method} {concrete} is not a partner's to do: {text}"
                );
                if path.contains("{id}") && foreign.is_some() {
                    assert!(
                        answer.status >= 400,
                        "{method} {concrete}{query} answers {}: {text}",
                        answer.status
                    );
                }
            }
        }
    }
    assert!(asked > 300, "the walk covers the document: {asked}");
    for (table, _) in &other.ids {
        let of_other = shared.get(&format!("/v1/{table}")).to_string();
        assert!(
            other.marks.iter().any(|mark| of_other.contains(mark.as_str())),
            "the admin does see {table}"
        );
    }
}

fn today() -> String {
    weir_schemas::time::Timestamp::now().to_string()
}

#[test]
fn a_partner_sees_its_own_everywhere() {
    let shared = own(|settings| settings);
    let mine = somebody(&shared);
    let get = |path: &str| {
        let answer = shared.as_key(&mine.key, "GET", path, None);
        assert_eq!(answer.status, 200, "{path}: {}", answer.text());
        answer.json()
    };
    for part in
        ["links", "conversions", "commissions", "payouts", "programs", "milestones", "milestones/reached"]
    {
        let listed = get(&format!("/v1/{part}"));
        assert_eq!(listed["data"].as_array().map(Vec::len), Some(1), "{part}: {listed}");
    }
    let conversion = get("/v1/conversions")["data"][0].clone();
    assert_eq!((&conversion["customer_id"], &conversion["amount"]["amount"]), (&json!(null), &json!(12_345)));
    for (part, id) in mine.ids.iter().filter(|(part, _)| *part != "customers") {
        get(&format!("/v1/{part}/{id}"));
    }
    let me = format!("/v1/partners/{}", mine.id);
    let stats = get(&format!("{me}/stats"));
    assert_eq!((&stats["orders"], &stats["revenue"][0]["amount"]), (&json!(1), &json!(12_345)));
    let months = get(&format!("{me}/statements"));
    let sums = &months["data"][0]["currencies"][0];
    assert_eq!(
        (&sums["earned"]["amount"], &sums["closing"]["amount"]),
        (&json!(1_235), &json!(1_235)),
        "{months}"
    );
    let change =
        json!({"email": "new@example.com", "payout_method": {"type": "paypal", "account": "a@b.example"}});
    let changed = shared.as_key(&mine.key, "PATCH", &me, Some(&change)).json();
    assert_eq!(changed["payout_method"]["account"], "a•••@b.example", "{changed}");
    let more = json!({"status": "approved"});
    refused(&shared.as_key(&mine.key, "PATCH", &me, Some(&more)), 403, "forbidden");
}

#[test]
fn a_statement_adds_up_in_every_form() {
    within_a_day();
    let shared = own(|settings| settings);
    let mine = somebody(&shared);
    let path = format!("/v1/partners/{}/statements/{}", mine.id, &today()[..7]);
    let before = shared.get(&path);
    assert_eq!(before["currencies"][0]["closing"]["amount"], 1_235);
    let payout = &mine.ids.iter().find(|(part, _)| *part == "payouts").expect("a payout").1;
    shared.post(&format!("/v1/payouts/{payout}/paid"), json!({}), 200);
    let after = shared.get(&path);
    let sums = &after["currencies"][0];
    let amount = |name: &str| sums[name]["amount"].as_i64().expect("an amount");
    assert_eq!(amount("opening") + amount("earned") + amount("reversed") - amount("paid"), amount("closing"));
    assert_eq!((amount("paid"), amount("closing")), (1_235, 0));
    let lines = sums["lines"].as_array().expect("lines");
    let told: Vec<(&Value, &Value)> =
        lines.iter().map(|line| (&line["type"], &line["amount"]["amount"])).collect();
    assert_eq!(told, [(&json!("commission"), &json!(1_235)), (&json!("payout_paid"), &json!(-1_235))]);
    let csv = shared.engine.api("GET", &format!("{path}?format=csv"), None);
    assert!(csv.text().contains(",payout_paid,,"), "{}", csv.text());
    assert!(csv.text().contains(",-12.35,0.00,EUR\r\n"), "{}", csv.text());
    let html = shared.engine.api("GET", &format!("{path}?format=html"), None);
    assert_eq!(html.header("content-type"), Some("text/html; charset=utf-8"));
    assert!(html.text().contains("Closing balance"), "{}", html.text());
    names(&shared.engine.api("GET", &format!("{path}?format=pdf"), None), "format");
    let nonsense = format!("/v1/partners/{}/statements/2026-13", mine.id);
    names(&shared.engine.api("GET", &nonsense, None), "month");
}

#[test]
fn people_sign_up_where_a_program_lets_them() {
    let shared = own(|settings| settings);
    let closed = program(&shared, json!({}));
    let review = program(&shared, json!({"sign_up": "review"}));
    let sign_up = |program: &str, address: &str, more: Value| {
        let mut body = json!({"program_id": program, "name": "Ada", "email": "ada@example.com"});
        body.as_object_mut().expect("an object").extend(more.as_object().expect("an object").clone());
        let headers = [("content-type", "application/json"), ("x-forwarded-for", address)];
        ask(shared.engine.admin, "POST", "/v1/partners/sign-up", &headers, body.to_string().as_bytes())
    };
    refused(&sign_up(&closed, "203.0.113.1", json!({})), 403, "forbidden");
    refused(&sign_up("prg_0000000000001", "203.0.113.1", json!({})), 403, "forbidden");
    names(&sign_up(&review, "203.0.113.1", json!({"email": "x"})), "email");
    names(&sign_up(&review, "203.0.113.1", json!({"status": "approved"})), "status");
    let made = sign_up(&review, "203.0.113.1", json!({"code": fresh("ADA")}));
    assert_eq!(made.status, 201, "{}", made.text());
    let made = made.json();
    assert_eq!((&made["status"], &made["program_id"]), (&json!("pending"), &json!(review)));
    let (id, key) = (text_of(&made["id"]), text_of(&made["key"]));
    sale(&shared, &fresh("order"), 1_000, json!({"partner_code": made["code"]}));
    let commissions = shared.as_key(&key, "GET", "/v1/commissions", None).json();
    assert_eq!(commissions["data"][0]["status"], "held", "{commissions}");
    refused(&shared.as_key(&key, "GET", "/v1/partners", None), 403, "forbidden");
    shared.engine.call("PATCH", &format!("/v1/partners/{id}"), Some(&json!({"status": "approved"})), 200);
    let commissions = shared.as_key(&key, "GET", "/v1/commissions", None).json();
    assert_eq!(commissions["data"][0]["status"], "approved", "{commissions}");
    let open = program(&shared, json!({"sign_up": "open"}));
    assert_eq!(sign_up(&open, "203.0.113.2", json!({})).json()["status"], "approved");
    let many: Vec<u16> = (0..7).map(|_| sign_up(&open, "203.0.113.3", json!({})).status).collect();
    assert_eq!(many, [201, 201, 201, 201, 201, 429, 429]);
}
