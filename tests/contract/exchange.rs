//! Exchange rates: a table of the workspace's, by which reports add up amounts of several currencies.

use serde_json::{Value, json};

use super::conversions::sale;
use super::{fresh, names, own, refused};

fn rates(shared: &super::Shared, rates: Value, status: u16) -> Value {
    let body = json!({"base": "EUR", "source": "ECB", "rates": rates});
    shared.engine.call("PUT", "/v1/fx-rates", Some(&body), status)
}

#[test]
fn several_currencies_are_added_up_at_each_days_own_rate() {
    let shared = own(|settings| settings);
    let ask = |more: Value| {
        let mut query = json!({"metrics": ["revenue", "refunds", "net_revenue"],
            "date_range": ["2026-11-01", "2026-11-20"], "include": {"total": true}});
        query.as_object_mut().expect("an object").extend(more.as_object().expect("an object").clone());
        shared.engine.api("POST", "/v1/query", Some(&query))
    };
    let sold = |cents: i64, currency: &str, day: &str| {
        let order = fresh("order");
        sale(
            &shared,
            &order,
            1,
            json!({"amount": {"amount": cents, "currency": currency},
            "occurred_at": format!("2026-11-{day}T12:00:00Z")}),
        );
    };
    sold(1_000, "EUR", "03");
    sold(1_001, "EUR", "04");
    sold(333, "JPY", "04");
    sold(500, "USD", "05");
    let answer = ask(json!({}));
    assert_eq!(answer.status, 422, "no table, no sum: {}", answer.text());

    rates(
        &shared,
        json!([{"date": "2026-11-03", "currency": "USD", "rate": "1.1"},
        {"date": "2026-11-04", "currency": "USD", "rate": "1.2"},
        {"date": "2026-11-04", "currency": "JPY", "rate": "160"}]),
        200,
    );
    // 1000 × 1.1 + 1001 × 1.2 + 333 × 1.2 ÷ 160 × 100 + 500 = 1100 + 1201.2 + 249.75 + 500 = 3050.95 cents.
    let answer = ask(json!({}));
    assert_eq!(answer.status, 200, "{}", answer.text());
    let told = answer.json();
    assert_eq!(told["rows"], json!([[3_051, 0, 3_051]]), "the workspace reports in dollars: {told}");
    let fx = &told["meta"]["fx"];
    assert_eq!((&fx["base"], &fx["missing"], &fx["more"]), (&json!("USD"), &json!([]), &json!(false)));
    assert_eq!(
        fx["rates"],
        json!([
        {"date": "2026-11-04", "from": "EUR", "to": "USD", "rate": "1.2", "published": "2026-11-04", "source": "ECB"},
        {"date": "2026-11-04", "from": "JPY", "to": "USD", "rate": "0.0075", "published": "2026-11-04", "source": "ECB"},
        {"date": "2026-11-03", "from": "EUR", "to": "USD", "rate": "1.1", "published": "2026-11-03", "source": "ECB"}])
    );
    // In yen: 1000 cents of euros on the third lack the yen's rate of that day, so that day has no number.
    let told = ask(json!({"currency": "JPY", "dimensions": ["time:day"]})).json();
    let days: Vec<(&str, &Value)> = told["rows"]
        .as_array()
        .expect("rows")
        .iter()
        .map(|row| (&row[0].as_str().expect("a day")[..10], &row[1]))
        .collect();
    // 10.01 EUR × 160 + 333 = 1934.6; 5 USD ÷ 1.2 × 160 = 666.67 (the rates of the fourth hold on).
    assert_eq!(
        days,
        [("2026-11-03", &Value::Null), ("2026-11-04", &json!(1_935)), ("2026-11-05", &json!(667))]
    );
    assert_eq!(told["totals"]["revenue"], Value::Null);
    assert_eq!(told["meta"]["fx"]["missing"], json!([{"date": "2026-11-03", "from": "EUR", "to": "JPY"}]));
    // Where currencies are told apart, amounts stay as they are.
    let told = ask(json!({"dimensions": ["currency"], "order_by": [["currency", "asc"]]})).json();
    assert_eq!(told["rows"], json!([["EUR", 2_001, 0, 2_001], ["JPY", 333, 0, 333], ["USD", 500, 0, 500]]));
    assert!(told["meta"].get("fx").is_none());
    let one = ask(json!({"filters": ["is", "currency", ["EUR"]]})).json();
    assert_eq!((&one["rows"], one["meta"].get("fx")), (&json!([[2_001, 0, 2_001]]), None));

    // Reports convert each conversion and round it: 1100 + 1201 + 250 + 500.
    let report = |more: Value| {
        let mut body = json!({"date_range": ["2026-11-01", "2026-11-20"], "model": "last"});
        body.as_object_mut().expect("an object").extend(more.as_object().expect("an object").clone());
        shared.engine.api("POST", "/v1/reports/attribution", Some(&body))
    };
    let told = report(json!({})).json();
    assert_eq!((&told["totals"]["revenue"], &told["currency"]), (&json!(3_051), &json!("USD")), "{told}");
    assert_eq!(told["meta"]["fx"]["base"], "USD", "{told}");
    names(&report(json!({"currency": "JPY"})), "currency");
    names(&shared.engine.api("POST", "/v1/reports/retention", Some(&json!({"currency": "USD"}))), "currency");
    let euros = report(json!({"filters": ["is", "currency", ["EUR"]]})).json();
    assert_eq!((&euros["totals"]["revenue"], euros["meta"].get("fx")), (&json!(2_001), None), "{euros}");

    // A new rate of a day replaces the old one.
    rates(&shared, json!([{"date": "2026-11-03", "currency": "USD", "rate": "2"}]), 200);
    assert_eq!(ask(json!({})).json()["rows"][0][0], json!(3_951));
    // Emptied, several currencies are refused again.
    shared.engine.call("DELETE", "/v1/fx-rates", None, 204);
    assert_eq!(ask(json!({})).status, 422);
    names(&report(json!({})), "filters");
}

#[test]
fn the_table_is_put_as_json_or_csv_listed_and_checked() {
    let shared = own(|settings| settings);
    let put = rates(&shared, json!([{"date": "2026-11-19", "currency": "USD", "rate": "1.0855"}]), 200);
    assert_eq!(put, json!({"base": "EUR", "source": "ECB", "put": 1, "rates": 1}));
    let table = "date,currency,rate\n2026-11-20,USD,1.0856\n2026-11-20,JPY,162.50\n";
    let csv = shared.with_headers(
        "PUT",
        "/v1/fx-rates?base=EUR&source=ECB",
        &[("content-type", "text/csv")],
        table.as_bytes(),
    );
    assert_eq!((csv.status, csv.json()["rates"].clone()), (200, json!(3)), "{}", csv.text());

    let listed = shared.get("/v1/fx-rates?limit=2");
    let first = &listed["data"][0];
    assert_eq!(
        (&first["date"], &first["currency"], &first["rate"]),
        (&json!("2026-11-20"), &json!("USD"), &json!("1.0856"))
    );
    assert_eq!((&first["base"], &first["source"]), (&json!("EUR"), &json!("ECB")));
    let cursor = listed["next_cursor"].as_str().expect("one more");
    let rest = shared.get(&format!("/v1/fx-rates?limit=2&cursor={cursor}"));
    assert_eq!(
        (rest["data"][0]["date"].clone(), rest["next_cursor"].clone()),
        (json!("2026-11-19"), Value::Null)
    );
    let yen = shared.get("/v1/fx-rates?currency=JPY&from=2026-11-20&to=2026-11-21");
    assert_eq!((yen["data"][0]["rate"].clone(), yen["data"][1].clone()), (json!("162.5"), Value::Null));

    let wrong = json!({"base": "EUR", "source": "ECB", "rates": [{"date": "2026-11-20", "currency": "USD", "rate": "-1"}]});
    names(&shared.engine.api("PUT", "/v1/fx-rates", Some(&wrong)), "rates[0].rate");
    let float = json!({"base": "EUR", "source": "ECB", "rates": [{"date": "2026-11-20", "currency": "USD", "rate": 1.5}]});
    assert_eq!(
        shared.engine.api("PUT", "/v1/fx-rates", Some(&float)).status,
        422,
        "a binary fraction is no rate"
    );
    let other = json!({"base": "USD", "source": "Fed", "rates": [{"date": "2026-11-20", "currency": "EUR", "rate": "0.9"}]});
    refused(&shared.engine.api("PUT", "/v1/fx-rates", Some(&other)), 409, "fx_base_differs");
    names(
        &shared.engine.api("POST", "/v1/query", Some(&json!({"metrics": ["revenue"], "currency": "XXX"}))),
        "currency",
    );
}
