//! Fraud signals: labelled, never dropped.

use serde_json::{Value, json};

use super::engine::text_of;
use super::{refused, shared};

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
