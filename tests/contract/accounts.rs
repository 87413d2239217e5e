//! Where a partner's money goes is kept masked or sealed, proved by searching: whatever was done with it, the account's
//! number stands in no file of the data folder (journal, books, warehouse, what waits to be sent), in no log and in no
//! answer but the file to pay by.

use serde_json::{Value, json};

use super::conversions::sale;
use super::engine::{Settings, run, text_of};
use super::erasure::holding;
use super::outbound::receiver;
use super::programs::program;
use super::{ask, fresh, own};

/// Accounts that one partner has one after the other, and parts of them as a file or an answer might hold them.
const BANK: &str = "DE89370400440532013000";
const PAYPAL: &str = "ada.lovelace.private@mail.example";
const REFUSED: &str = "GB33BUKB20201555555555";
const PARTS: [&str; 4] = ["370400440532", "lovelace.private", "lovelace.private%40", "BUKB20201555"];

#[test]
fn an_account_is_in_no_file_in_no_log_and_in_no_answer_but_the_file_to_pay_by() {
    let shared = own(|settings| settings.with("outbound.allow_private", "true"));
    let engine = &shared.engine;
    // One that takes nothing: what partners do waits to be told.
    let (url, _received) = receiver(&[503; 64]);
    let outbound = text_of(&shared.post("/v1/outbound-endpoints", json!({"url": url}), 201)["id"]);
    let program = program(&shared, json!({"sign_up": "review"}));
    let method = |kind: &str, account: &str| json!({"type": kind, "account": account, "holder": "Ada L."});

    let code = fresh("CODE");
    let body =
        json!({"name": "Ada", "code": code, "program_id": program, "payout_method": method("bank", BANK)});
    let headers = [("content-type", "application/json"), ("idempotency-key", "partner-1")];
    let text = body.to_string();
    let [made, again] =
        std::array::from_fn(|_| shared.with_headers("POST", "/v1/partners", &headers, text.as_bytes()));
    assert_eq!((made.status, again.status), (201, 201), "{}", made.text());
    let id = text_of(&made.json()["id"]);
    let path = format!("/v1/partners/{id}");
    let mut told = made.text() + &again.text();
    // Refused, so that what was sent might be quoted.
    let wrong = [
        json!({"name": "", "code": "x y", "payout_method": method("bank", REFUSED)}),
        json!({"name": "B", "payout_method": {"type": "cheque", "account": REFUSED}}),
        json!({"name": "B", "payout_method": {"type": "bank", "account": REFUSED, "nope": REFUSED}}),
        json!({"name": "B", "code": code, "payout_method": method("bank", REFUSED)}),
    ];
    for body in wrong {
        let answer = engine.api("POST", "/v1/partners", Some(&body));
        assert!(matches!(answer.status, 400 | 409 | 422), "{}", answer.text());
        told += &answer.text();
    }
    sale(&shared, &fresh("order"), 10_000, json!({"partner_code": code}));
    let batch = shared.post("/v1/payouts", json!({}), 201);
    let payout = text_of(&batch["data"][0]["id"]);
    let file = engine.api("GET", &format!("/v1/payouts/{payout}/csv"), None).text();
    assert!(file.contains(BANK), "the file to pay by has it: {file}");
    // Its own key changes it.
    let key = shared.post("/v1/keys", json!({"name": "Ada", "role": "partner", "partner_id": id}), 201);
    let change = json!({"payout_method": method("paypal", PAYPAL)});
    let changed = shared.as_key(&text_of(&key["key"]), "PATCH", &path, Some(&change));
    assert_eq!(changed.status, 200, "{}", changed.text());
    told += &changed.text();
    let file = engine.api("GET", &format!("/v1/payouts/{payout}/csv"), None).text();
    assert!(file.contains(PAYPAL), "{file}");
    told += &shared.post(&format!("/v1/payouts/{payout}/paid"), json!({"reference": "T-1"}), 200).to_string();
    engine.query(&json!({"metrics": ["commission"], "date_range": "7d"}));

    let month = text_of(&shared.get(&format!("{path}/statements"))["data"][0]["month"]);
    let asked = [
        path.clone(),
        "/v1/partners?limit=1000".to_owned(),
        "/v1/partners?search=Ada".to_owned(),
        format!("{path}/stats"),
        format!("{path}/tiers"),
        format!("{path}/statements/{month}?format=json"),
        format!("{path}/statements/{month}?format=csv"),
        format!("{path}/statements/{month}?format=html"),
        "/v1/commissions?limit=1000".to_owned(),
        "/v1/accounts?limit=1000".to_owned(),
        "/v1/payouts?limit=1000".to_owned(),
        format!("/v1/payouts/{payout}"),
        format!("/v1/leaderboard?program_id={program}"),
        "/v1/admin/audit?limit=1000".to_owned(),
        format!("/v1/outbound-endpoints/{outbound}/deliveries"),
    ];
    for path in asked {
        let answer = engine.api("GET", &path, None);
        assert_eq!(answer.status, 200, "{path}: {}", answer.text());
        told += &answer.text();
    }
    let export = json!({"rows": "conversions", "date_range": "7d"});
    told += &engine.api("POST", "/v1/export?format=ndjson", Some(&export)).text();
    told += &ask(engine.admin, "GET", "/metrics", &[], b"").text();
    let clear =
        |text: &str| PARTS.into_iter().find(|part| text.to_lowercase().contains(&part.to_lowercase()));
    assert!(told.contains("•••3000") && told.contains("a•••@mail.example"), "masked: {told}");
    assert_eq!(clear(&told), None, "{told}");
    assert_eq!(holding(&engine.data, &PARTS), Vec::<String>::new());

    let data = engine.data.clone();
    let super::Shared { engine, _data } = shared;
    let (_, log) = engine.stop();
    assert_eq!(clear(&log), None, "{log}");
    assert_eq!(holding(&data, &PARTS), Vec::<String>::new(), "with every log closed");
    let (status, out, said) = run(&data, &["replay", "books"]);
    assert!(status.success() && out.contains("the books were the same before"), "{out}{said}");
    assert_eq!(holding(&data, &PARTS), Vec::<String>::new(), "built anew from the journal");
    let engine = Settings::new(&data).start();
    let partner: Value = engine.call("GET", &path, None, 200);
    assert_eq!(partner["payout_method"]["account"], "a•••@mail.example");
}
