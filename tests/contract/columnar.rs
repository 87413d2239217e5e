//! Parquet and Arrow as analysts read them: Apache Arrow for Python (PyPI, pinned in `scripts/test-clients`) finds the
//! types and values that JSON has, nulls, moments and amounts among them.

use serde_json::{Value, json};

use super::python::passes;
use super::{fresh, own};

#[test]
fn apache_arrow_reads_what_json_says() {
    let shared = own(|settings| settings);
    let (slug, _) = shared.link(json!({}));
    let token = shared.token(&slug);
    shared.token(&format!("{slug}?utm_source=K%C3%B6ln"));
    let sale = |amount: i64, currency: &str| {
        let body = json!({"event": "sale", "order_id": fresh("order"), "wclid": token, "properties": {"size": "L"},
            "amount": {"amount": amount, "currency": currency}});
        shared.post("/v1/conversions", body, 201);
    };
    sale(999_999_999_999_999, "EUR");
    sale(1, "JPY");
    let folder = tempfile::tempdir().expect("a folder");
    let write = |name: &str, path: &str, body: &Value| {
        let answer = shared.engine.api("POST", path, Some(body));
        assert_eq!(answer.status, 200, "{name}: {}", answer.text());
        std::fs::write(folder.path().join(name), &answer.body).expect("a file");
    };
    let question = |name: &str, body: Value| {
        write(&format!("{name}.json"), "/v1/query", &body);
        for format in ["parquet", "arrow"] {
            write(&format!("{name}.{format}"), &format!("/v1/query?format={format}"), &body);
        }
    };
    let by = json!(["time:day", "currency", "property:size", "bot"]);
    question(
        "query",
        json!({"metrics": ["conversions", "revenue", "aov"], "dimensions": &by, "date_range": "7d",
            "timezone": "Asia/Kolkata", "order_by": [["currency", "asc"]]}),
    );
    question(
        "nothing",
        json!({"metrics": ["events", "revenue"], "dimensions": &by, "date_range": "yesterday"}),
    );
    // What cannot be told is null: no rate leads from yen to euros.
    let rates = json!({"base": "EUR", "source": "test", "rates": [{"date": "2020-01-01", "currency": "USD", "rate": "1.1"}]});
    shared.engine.call("PUT", "/v1/fx-rates", Some(&rates), 200);
    question(
        "converted",
        json!({"metrics": ["clicks", "conversion_rate", "revenue"], "dimensions": ["utm_source"], "date_range": "7d",
            "order_by": [["utm_source", "asc"]]}),
    );
    for rows in ["clicks", "conversions"] {
        for format in ["ndjson", "parquet", "arrow"] {
            let body = json!({"rows": rows, "date_range": "7d"});
            write(&format!("{rows}.{format}"), &format!("/v1/export?format={format}"), &body);
        }
    }
    let converted = std::fs::read_to_string(folder.path().join("converted.json")).expect("written");
    assert!(converted.contains("null]"), "{converted}");
    passes("columnar.py", "pyarrow", |command| {
        command.arg(folder.path());
    });
}
