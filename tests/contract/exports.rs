//! Answers as files, and raw rows as streams: CSV that no spreadsheet takes for formulas, NDJSON, Parquet, Arrow.

use serde_json::{Value, json};

use super::conversions::sale;
use super::engine::token_of;
use super::queries::three_clicks;
use super::{fresh, names, shared};

#[test]
fn exports_are_the_same_rows() {
    let shared = shared();
    let (link, _) = three_clicks(&shared);
    let query = json!({"metrics": ["clicks"], "dimensions": ["device"], "date_range": "7d",
        "filters": ["is", "link", [link]], "order_by": [["clicks", "desc"]]});
    let export =
        |format: &str| shared.engine.api("POST", &format!("/v1/query?format={format}"), Some(&query));
    let csv = export("csv");
    assert!(csv.header("content-type").is_some_and(|kind| kind.starts_with("text/csv")));
    let lines: Vec<String> = csv.text().lines().map(str::to_owned).collect();
    assert_eq!(lines, ["device,clicks", "desktop,2", "mobile,1"]);
    let ndjson = export("ndjson");
    assert_eq!(ndjson.header("content-type"), Some("application/x-ndjson"));
    let objects: Vec<Value> =
        ndjson.text().lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    assert_eq!(
        json!(objects),
        json!([{"device": "desktop", "clicks": 2}, {"device": "mobile", "clicks": 1}])
    );
    names(&export("xml"), "format");
    let parquet = export("parquet");
    assert_eq!(parquet.header("content-type"), Some("application/vnd.apache.parquet"));
    assert!(parquet.body.starts_with(b"PAR1") && parquet.body.ends_with(b"PAR1"), "{}", parquet.text());
    let arrow = export("arrow");
    assert!(arrow.body.starts_with(&[0xff; 4]), "{}", arrow.text());
    let nothing =
        json!({"metrics": ["clicks"], "dimensions": ["property:a`b"], "filters": ["is", "utm_term", ["?"]]});
    assert_eq!(shared.engine.api("POST", "/v1/query?format=parquet", Some(&nothing)).status, 422);
    let nothing =
        json!({"metrics": ["events"], "dimensions": ["property:a`b"], "filters": ["is", "utm_term", ["?"]]});
    let parquet = shared.engine.api("POST", "/v1/query?format=parquet", Some(&nothing));
    assert!(parquet.status == 200 && parquet.body.starts_with(b"PAR1"), "{}", parquet.text());
}

#[test]
fn raw_rows_are_streamed_and_go_on_after_any_of_them() {
    let shared = shared();
    let (slug, link) = shared.link(json!({}));
    shared.token(&slug);
    let token = token_of(&shared.visit(&format!("/{slug}?utm_source=%3D1%2B1"), &[]));
    shared.token(&slug);
    sale(&shared, &fresh("order"), 700, json!({"wclid": token}));
    let ask = |format: &str, body: Value| {
        let answer = shared.engine.api("POST", &format!("/v1/export?format={format}"), Some(&body));
        assert_eq!(answer.status, 200, "{}", answer.text());
        answer
    };
    let body = |more: Value| {
        let mut body = json!({"rows": "clicks", "date_range": "7d", "filters": ["is", "link", [link]]});
        body.as_object_mut().expect("an object").extend(more.as_object().expect("an object").clone());
        body
    };
    let lines = |answer: super::Answer| -> Vec<Value> {
        answer.text().lines().map(|line| serde_json::from_str(line).expect("JSON")).collect()
    };
    let answer = ask("ndjson", body(json!({})));
    let as_of: u64 = answer.header("weir-as-of").and_then(|text| text.parse().ok()).expect("as of");
    let promised = answer.header("weir-total-rows").map(str::to_owned);
    let all = lines(answer);
    assert_eq!((all.len(), promised.as_deref()), (3, Some("3")), "{all:?}");
    for row in &all {
        assert_eq!(row["link"], json!(link));
        assert!(row["id"].as_str().is_some_and(|id| id.starts_with("clk_") && id.len() == 30), "{row}");
        assert!(row["at"].as_str().is_some_and(|at| at.ends_with('Z')), "{row}");
    }
    assert!(all.iter().any(|row| row["utm_source"] == "=1+1"), "{all:?}");
    shared.token(&slug);
    let rest = ask("ndjson", body(json!({"after": all[0]["cursor"], "as_of": as_of})));
    assert_eq!(rest.header("weir-total-rows"), Some("2"), "what is still to come");
    let rest = lines(rest);
    assert_eq!(rest, all[1..], "what came later is not in it");
    assert_eq!(lines(ask("ndjson", body(json!({"limit": 2})))), all[..2]);
    for formula in ["%2B1", "-1", "%40SUM(A1)"] {
        shared.visit(&format!("/{slug}?utm_source={formula}"), &[]);
    }
    let csv = ask("csv", body(json!({}))).text();
    let by_source = json!({"metrics": ["clicks"], "dimensions": ["utm_source"], "date_range": "7d",
        "filters": ["is", "link", [link]]});
    let told = shared.engine.api("POST", "/v1/query?format=csv", Some(&by_source)).text();
    for formula in ["=1+1", "+1", "-1", "@SUM(A1)"] {
        assert!(csv.contains(&format!("\"'{formula}\"")), "{csv}");
        assert!(told.contains(&format!("\r\n'{formula},1\r\n")), "{told}");
    }
    let conversions = lines(ask("ndjson", body(json!({"rows": "conversions"}))));
    assert_eq!(
        json!([conversions[0]["revenue"], conversions[0]["event"], conversions.len()]),
        json!([700, "sale", 1])
    );
    assert!(
        conversions[0]["conversion"].as_str().is_some_and(|id| id.starts_with("cnv_")),
        "{conversions:?}"
    );
    assert_eq!(lines(ask("ndjson", body(json!({"rows": "events"})))).len(), 0);
    let parquet = ask("parquet", body(json!({})));
    assert!(parquet.body.starts_with(b"PAR1") && parquet.body.ends_with(b"PAR1"));
    assert!(ask("arrow", body(json!({}))).body.starts_with(&[0xff; 4]));
    let bad = |more: Value| shared.engine.api("POST", "/v1/export", Some(&body(more)));
    names(&bad(json!({"rows": "visitors"})), "rows");
    names(&bad(json!({"after": "yesterday"})), "after");
    names(&bad(json!({"columns": ["id"]})), "columns");
}
