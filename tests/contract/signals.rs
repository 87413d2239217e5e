//! Fraud signals: labelled, never dropped.

use serde_json::{Value, json};

use super::engine::{text_of, token_of};
use super::live::Watching;
use super::{fresh, refused, shared, within_a_day};

/// Of Amazon's network, and of Deutsche Telekom's.
const CLOUD: &str = "52.95.110.1";
const HOME: &str = "84.128.0.1";
/// In Australia.
const SYDNEY: &str = "1.128.0.1";

fn signals(id: &str) -> Vec<(String, u64, String)> {
    let told = shared().get(&format!("/v1/links/{id}/signals"));
    let data = told["data"].as_array().expect("signals");
    let one = |entry: &Value| {
        let evidence = text_of(&entry["recent"][0]["evidence"]);
        (text_of(&entry["signal"]), entry["clicks"].as_u64().expect("clicks"), evidence)
    };
    data.iter().map(one).collect()
}

#[test]
fn a_click_from_a_hosting_network_is_labelled_and_counted() {
    let shared = shared();
    let (slug, id) = shared.link(json!({}));
    for address in [CLOUD, HOME, "10.0.0.1"] {
        assert_eq!(shared.visit(&format!("/{slug}"), &[("x-forwarded-for", address)]).status, 302);
    }
    let told = signals(&id);
    assert_eq!(told.len(), 1, "{told:?}");
    assert_eq!((told[0].0.as_str(), told[0].1), ("hosting", 1));
    assert!(told[0].2.starts_with("hosting: AS16509 "), "{told:?}");
    let query = json!({"metrics": ["clicks"], "date_range": "7d", "dimensions": ["signal"],
        "filters": ["is", "link", [id]]});
    let rows = shared.engine.query(&query)["rows"].clone();
    assert_eq!(rows, json!([["", 2], ["hosting", 1]]));
    let by_system = json!({"metrics": ["clicks"], "date_range": "7d", "dimensions": ["asn"],
        "filters": ["and", [["is", "link", [id]], ["is", "signal", ["hosting"]]]]});
    assert_eq!(shared.engine.query(&by_system)["rows"], json!([[16509, 1]]));
    refused(&shared.engine.api("GET", "/v1/links/lnk_0000000000000/signals", None), 404, "not_found");
}

#[test]
fn a_visitor_in_two_places_at_once_and_one_who_never_rests_are_labelled() {
    let shared = shared();
    let (slug, id) = shared.link(json!({}));
    let path = format!("/{slug}");
    let first = shared.visit(&path, &[("x-forwarded-for", HOME)]);
    let mut cookies = first.header_all("set-cookie");
    let visitor = cookies.find(|cookie| cookie.starts_with("wv=")).expect("the visitor's cookie");
    let visitor = visitor.split(';').next().expect("its value");
    let again = |address: &str| shared.visit(&path, &[("x-forwarded-for", address), ("cookie", visitor)]);
    again(HOME);
    again(SYDNEY);
    let told = signals(&id);
    assert_eq!((told.len(), told[0].0.as_str(), told[0].1), (1, "impossible_travel", 1), "{told:?}");
    assert!(told[0].2.contains("(AU)"), "{told:?}");
    // Within two minutes there is one minute with more than ten.
    for _ in 0..24 {
        again(SYDNEY);
    }
    let told = signals(&id);
    assert_eq!(told[0].0, "visitor_rate", "{told:?}");
    assert_eq!(shared.of_link(&id, &["clicks"]), [json!(27)], "nothing was dropped");
}

#[test]
fn many_visitors_of_one_network_within_a_minute_are_labelled() {
    let shared = shared();
    let (slug, id) = shared.link(json!({}));
    // Within two minutes there is one minute with more than thirty.
    for visitor in 0..62 {
        let cookie = format!("wv={visitor:016x}");
        let headers = [("x-forwarded-for", "198.51.100.77"), ("cookie", cookie.as_str())];
        assert_eq!(shared.visit(&format!("/{slug}"), &headers).status, 302);
    }
    let told = signals(&id);
    assert_eq!((told.len(), told[0].0.as_str()), (1, "network_rate"), "{told:?}");
    assert!(
        told[0].2.starts_with("network_rate: click ") && told[0].2.contains(" of this network"),
        "{told:?}"
    );
    assert_eq!(shared.of_link(&id, &["clicks", "visitors"]), [json!(62), json!(62)], "nothing was dropped");
}

#[test]
fn a_partner_who_buys_is_labelled() {
    let shared = shared();
    let program = super::programs::program(&shared, json!({}));
    let customer = fresh("customer");
    let (partner, _) =
        super::programs::partner(&shared, json!({"program_id": program, "customer_id": customer}));
    let (slug, id) = shared.link(json!({"program_id": program, "partner_id": partner}));
    let evidence = format!("the customer `{customer}` is {partner}");
    for (who, amount) in [(customer, 100), (fresh("customer"), 1_000)] {
        let sale = json!({"event": "sale", "order_id": fresh("self"), "wclid": shared.token(&slug),
            "customer_id": who, "amount": {"amount": amount, "currency": "USD"}});
        let sold = shared.post("/v1/conversions", sale, 201);
        let told = shared.get(&format!("/v1/conversions/{}", text_of(&sold["id"])))["signals"].clone();
        assert_eq!(told, sold["signals"]);
        let own = usize::from(amount == 100);
        assert_eq!(
            (&told[own]["signal"], told.as_array().map(Vec::len)),
            (&json!("fast_conversion"), Some(own + 1))
        );
        assert!(text_of(&told[own]["evidence"]).ends_with(" ms after its click"), "{told}");
        if own == 1 {
            assert_eq!(told[0], json!({"signal": "self_referral", "evidence": evidence}));
        }
    }
    let query = json!({"metrics": ["conversions", "revenue"], "date_range": "7d", "dimensions": ["signal"],
        "filters": ["is", "link", [id]]});
    let rows = shared.engine.query(&query)["rows"].clone();
    assert_eq!(rows, json!([["fast_conversion", 1, 1_000], ["self_referral", 1, 100]]));
}

#[test]
fn a_late_verdict_restates_counts_and_labels_conversions() {
    within_a_day();
    let shared = shared();
    let (slug, id) = shared.link(json!({}));
    // The first visitor comes once, the second twice.
    let from = |address: &str| token_of(&shared.visit(&format!("/{slug}"), &[("x-forwarded-for", address)]));
    let tokens: Vec<String> = [HOME, SYDNEY, SYDNEY].into_iter().map(from).collect();
    let sale = json!({"event": "sale", "order_id": fresh("judged"), "wclid": tokens[0],
        "amount": {"amount": 500, "currency": "EUR"}});
    let sold = shared.post("/v1/conversions", sale, 201);
    let click = text_of(&sold["attribution"]["click_id"]);
    let path = format!("/v1/clicks/{click}/verdict");
    let by = |dimension: &str, metrics: &[&str]| {
        let query = json!({"metrics": metrics, "date_range": "7d", "dimensions": [dimension],
            "filters": ["is", "link", [id]], "order_by": [[dimension, "asc"]]});
        shared.engine.query(&query)["rows"].clone()
    };
    assert_eq!(by("signal", &["revenue"]), json!([["fast_conversion", 500]]), "sold within the second");

    let watched =
        json!({"metrics": ["clicks", "visitors"], "date_range": "7d", "filters": ["is", "link", [id]]});
    let mut watching = Watching::connect(&shared);
    assert_eq!(watching.subscribe("q", &watched)["rows"], json!([[3, 2]]));
    let funnel = json!({"steps": ["click", "sale"], "date_range": "7d", "filters": ["is", "link", [id]]});
    let places = json!({"kind": "geo", "zoom": 0, "date_range": "7d", "filters": ["is", "link", [id]]});
    let cells = |report: &str, body: &Value, columns: [usize; 3]| {
        let told = shared.engine.call("POST", &format!("/v1/reports/{report}"), Some(body), 200);
        let rows = told["rows"].as_array().expect("rows").clone();
        rows.iter().map(|row| json!(columns.map(|column| row[column].clone()))).collect::<Value>()
    };
    let reports = || (cells("funnel", &funnel, [0, 1, 2]), cells("heatmap", &places, [0, 1, 2]));
    let steps = |clicked, bought| json!([[1, "click", clicked], [2, "sale", bought]]);
    assert_eq!(reports(), (steps(2, 1), json!([["OC", 2, 1], ["EU", 1, 1]])));

    let judged = shared.post(&path, json!({"verdict": "blocked", "reason": "a farm"}), 200);
    assert_eq!((&judged["verdict"], &judged["reason"]), (&json!("blocked"), &json!("a farm")));
    shared.post(&path, json!({"verdict": "blocked"}), 200);
    let metrics = ["clicks", "visitors", "hits", "revenue"];
    assert_eq!(shared.of_link(&id, &metrics), [json!(2), json!(1), json!(3), json!(500)]);
    assert_eq!(by("verdict", &["hits"]), json!([["blocked", 1], ["counted", 2]]));
    assert_eq!(by("signal", &["clicks", "revenue"]), json!([["", 2, 0], ["manual", 0, 500]]));
    assert_eq!(shared.get(&format!("/v1/links/{id}"))["clicks"], 2);
    assert_eq!(signals(&id), [("manual".to_owned(), 1, "judged by a person".to_owned())]);
    // Who watches sees the sum at once, and the visitors in a snapshot that is loaded anew.
    while watching.next("snapshot")["rows"] != json!([[2, 1]]) {}
    assert_eq!(reports(), (steps(1, 0), json!([["OC", 2, 1]])));

    let exported = |filters: Value, as_of: Value| {
        let body = json!({"rows": "clicks", "date_range": "7d", "filters": filters, "as_of": as_of});
        let answer = shared.engine.api("POST", "/v1/export?format=ndjson", Some(&body));
        assert_eq!(answer.status, 200, "{}", answer.text());
        let as_of: Value = answer.header("weir-as-of").expect("its sequence").parse().expect("a number");
        let rows: Vec<Value> =
            answer.text().lines().map(|line| serde_json::from_str(line).expect("a row")).collect();
        let mut told: Vec<String> = rows.iter().map(|row| text_of(&row["verdict"])).collect();
        told.sort();
        (told, as_of)
    };
    let of_link = |verdict: &str| json!(["and", [["is", "link", [id]], ["is", "verdict", [verdict]]]]);
    let (all, before) = exported(json!(["is", "link", [id]]), Value::Null);
    assert_eq!(all, ["blocked", "counted", "counted"]);
    assert_eq!(exported(of_link("blocked"), Value::Null).0, ["blocked"]);
    assert_eq!(exported(of_link("counted"), Value::Null).0, ["counted", "counted"]);
    shared.post(&path, json!({"verdict": "counted"}), 200);
    assert_eq!(exported(json!(["is", "link", [id]]), Value::Null).0, ["counted"; 3]);
    assert_eq!(exported(json!(["is", "link", [id]]), before).0, all, "as of then");
    assert_eq!(shared.of_link(&id, &metrics), [json!(3), json!(2), json!(3), json!(500)]);
    while watching.next("snapshot")["rows"] != json!([[3, 2]]) {}
    assert_eq!(by("signal", &["revenue"]), json!([["fast_conversion", 500]]));

    for (body, field) in [(json!({"verdict": "bot"}), "verdict"), (json!({"verdict": "x"}), "verdict")] {
        super::names(&shared.engine.api("POST", &path, Some(&body)), field);
    }
    let nobody = "/v1/clicks/clk_00000000000000000000000000/verdict";
    refused(&shared.engine.api("POST", nobody, Some(&json!({"verdict": "blocked"}))), 404, "not_found");
}

#[test]
fn a_late_verdict_holds_what_the_click_earned_until_it_is_taken_back() {
    let shared = shared();
    let program = super::programs::program(&shared, json!({}));
    let (partner, _) = super::programs::partner(&shared, json!({"program_id": program}));
    let (slug, _) = shared.link(json!({"program_id": program, "partner_id": partner}));
    let token = shared.token(&slug);
    let sale = json!({"event": "sale", "order_id": fresh("held"), "wclid": token,
        "amount": {"amount": 10_000, "currency": "USD"}});
    let sold = shared.post("/v1/conversions", sale, 201);
    let conversion = format!("/v1/conversions/{}", text_of(&sold["id"]));
    let status = || shared.get(&conversion)["commissions"][0]["status"].clone();
    let before = status();
    assert_ne!(before, "held", "a fast conversion is a label, and holds nothing: {sold}");
    let path = format!("/v1/clicks/{}/verdict", text_of(&sold["attribution"]["click_id"]));
    shared.post(&path, json!({"verdict": "blocked", "reason": "a farm"}), 200);
    assert_eq!(status(), "held");
    shared.post(&path, json!({"verdict": "counted"}), 200);
    assert_eq!(status(), before);
}
