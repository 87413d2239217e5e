//! Partners who buy from themselves earn nothing by it, by whichever way it is known who bought.

use serde_json::{Value, json};

use super::engine::{Settings, deliver, text_of, wait_for};
use super::programs::{partner, program};
use super::{Shared, fresh, own, shared};

fn eur(amount: i64) -> Value {
    json!({"amount": amount, "currency": "EUR"})
}

#[test]
fn nobody_earns_by_buying_under_their_own_mail_address() {
    let shared = shared();
    let referral = json!({"referrer": {"fixed": eur(500)}, "referee": {"fixed": eur(200)}});
    let program = program(&shared, json!({"referral": referral}));
    let (name, other) = (fresh("ada"), fresh("bob"));
    let mail = format!("{name}@mail.example");
    let (id, code) = partner(&shared, json!({"program_id": program, "email": mail}));
    let (slug, _) = shared.link(json!({"program_id": program, "partner_id": id}));
    let sell = |customer: &str, email: Option<&str>, more: Value| {
        let mut body = json!({"event": "sale", "order_id": fresh("own"), "customer_id": customer,
            "amount": eur(10_000), "customer": {"email": email, "name": "Ada"}});
        body.as_object_mut().expect("an object").extend(more.as_object().expect("an object").clone());
        shared.post("/v1/conversions", body, 201)
    };
    let by_code = || json!({"partner_code": code});
    let evidence = format!("the buyer has the mail address of {id}");
    let refused = |sold: &Value| {
        assert_eq!(sold["commissions"], json!([]), "{sold}");
        assert_eq!(sold["attribution"]["partner_id"], json!(id), "the credit is told as it is");
        assert_eq!(sold["signals"][0], json!({"signal": "self_referral", "evidence": evidence}), "{sold}");
    };
    let customer = fresh("customer");
    refused(&sell(&customer, Some(&mail.to_uppercase()), by_code()));
    refused(&sell(&fresh("customer"), Some(&format!("{name}+shop@mail.example")), by_code()));
    refused(&sell(&fresh("customer"), Some(&mail), json!({"wclid": shared.token(&slug)})));
    refused(&sell(&customer, None, by_code()));
    let table = format!(
        "event,order_id,amount,currency,customer_id,email,partner_code\nsale,{0},2.00,EUR,{0},{mail},{code}\n",
        fresh("own")
    );
    let headers = [("content-type", "text/csv")];
    let taken = shared.with_headers("POST", "/v1/conversions/import", &headers, table.as_bytes());
    assert_eq!(taken.json()["created"], 1, "{}", taken.text());
    let listed = shared.get(&format!("/v1/commissions?partner_id={id}"));
    assert_eq!(listed["data"], json!([]), "{listed}");

    let sold = sell(&fresh("customer"), Some(&format!("{other}@mail.example")), by_code());
    let kinds: Vec<&Value> =
        sold["commissions"].as_array().expect("two").iter().map(|one| &one["kind"]).collect();
    assert_eq!(kinds, ["commission", "referral"], "{sold}");
    // Whoever has another address from now on has that one.
    let path = format!("/v1/partners/{id}");
    shared.engine.call("PATCH", &path, Some(&json!({"email": format!("{other}@mail.example")})), 200);
    refused(&sell(&fresh("customer"), Some(&format!("{other}@mail.example")), by_code()));
    let sold = sell(&fresh("customer"), Some(&mail), by_code());
    assert_eq!(sold["commissions"][0]["amount"], eur(1_000), "{sold}");
}

#[test]
fn a_providers_payment_under_the_partners_address_earns_nothing_also_after_a_restart() {
    let shared = own(|settings| settings);
    let program = program(&shared, json!({}));
    let (id, _) = partner(&shared, json!({"program_id": program, "email": "ada@mail.example"}));
    let (slug, _) = shared.link(json!({"program_id": program, "partner_id": id}));
    let hook = shared.engine.make_stripe_endpoint();
    let pay = |shared: &Shared, order: &str, mail: &str| {
        let token = shared.token(&slug);
        let mut event: Value =
            serde_json::from_str(&weir_loadtest::stripe::checkout(order, 10_000, "eur", &token))
                .expect("JSON");
        event["data"]["object"]["customer_details"] = json!({"email": mail, "name": "Ada"});
        assert_eq!(
            deliver(&mut shared.engine.visitor(), &hook, &event.to_string()).expect("an answer").status,
            200
        );
        let found = wait_for("the payment is booked", || {
            let listed = shared.get("/v1/conversions?limit=100");
            let mut all = listed["data"].as_array().expect("data").clone().into_iter();
            all.find(|one| text_of(&one["order_id"]).ends_with(order))
        });
        found["commissions"].as_array().map_or(0, Vec::len)
    };
    assert_eq!(pay(&shared, "S-1", "ada@mail.example"), 0);
    assert_eq!(pay(&shared, "S-2", "bob@mail.example"), 1);
    let Shared { engine, _data } = shared;
    let data = engine.data.clone();
    engine.stop();
    let shared = Shared { engine: Settings::new(&data).start(), _data };
    assert_eq!(pay(&shared, "S-3", "ada@mail.example"), 0);
    assert_eq!(pay(&shared, "S-4", "bob@mail.example"), 1);
}
