//! The analysts' edge over a whole engine without sockets: recorder, books, warehouse follower and a real
//! ClickHouse. What was answered to a visitor or a shop before a question is in its answer.

#![allow(clippy::unwrap_used)]

mod engine;
#[path = "../../../engine/tests/queries/server.rs"]
mod server;

use serde_json::{Value, json};
use weir_schemas::fact::Role;

use engine::{Engine, NOON, SECOND_LINK, SHOP_LINK};

fn day(mut query: Value) -> Value {
    query["date_range"] = json!(["2026-11-20", "2026-11-21"]);
    query
}

#[tokio::test]
async fn a_query_holds_everything_that_was_answered_before() {
    let mut engine = Engine::start().await;
    let ask = day(json!({"metrics": ["clicks", "visitors", "conversions", "revenue", "conversion_rate"]}));
    let (status, empty) = engine.query(&ask).await;
    assert_eq!((status, &empty["rows"]), (200, &json!([[0, 0, 0, 0, 0]])));
    for n in 0..4 {
        engine.click(SHOP_LINK, NOON + n * 3_600_000, n as u64 / 2, "DE");
    }
    engine.click(SECOND_LINK, NOON, 9, "AT");
    engine.sale("A-1", 4_999, "EUR", NOON).await;
    let (_, answer) = engine.query(&ask).await;
    assert_eq!(answer["rows"], json!([[5, 3, 1, 4_999, 2_000]]));
    assert_eq!(answer["columns"][3], json!({"name": "revenue", "type": "money"}));
    assert!(answer["meta"]["as_of"].as_u64().unwrap() >= 6);
    assert_eq!(answer["meta"]["query"]["date_range"][0], "2026-11-20T00:00:00+00:00");
    assert!(answer.get("totals").is_none());

    let by_hour = day(json!({"metrics": ["clicks"], "dimensions": ["time:hour", "country"],
        "timezone": "Europe/Berlin", "include": {"total": true}}));
    let (_, answer) = engine.query(&by_hour).await;
    assert_eq!(answer["rows"][0], json!(["2026-11-20T13:00:00+01:00", "AT", 1]));
    assert_eq!(answer["rows"][4], json!(["2026-11-20T16:00:00+01:00", "DE", 1]));
    assert_eq!(answer["totals"], json!({"clicks": 5}));

    engine.sale("A-2", 1_000, "USD", NOON).await;
    let (status, problem) = engine.query(&ask).await;
    assert_eq!(
        (status, &problem["errors"][0]["field"]),
        (422, &json!("metrics")),
        "two currencies do not add up"
    );
    let in_euro = day(json!({"metrics": ["revenue", "clicks"], "filters": ["is", "currency", ["EUR"]]}));
    assert_eq!(engine.query(&in_euro).await.1["rows"], json!([[4_999, 5]]));
    let by_currency =
        day(json!({"metrics": ["revenue"], "dimensions": ["currency"], "include": {"total": true}}));
    let (_, answer) = engine.query(&by_currency).await;
    assert_eq!(answer["rows"], json!([["EUR", 4_999], ["USD", 1_000]]));
    assert_eq!(answer["totals"], json!({"revenue": null}));
}

#[tokio::test]
async fn a_click_is_in_the_very_next_answer() {
    let mut engine = Engine::start().await;
    let ask = day(json!({"metrics": ["clicks"]}));
    for n in 1..=60 {
        engine.click(SHOP_LINK, NOON, 1, "DE");
        assert_eq!(engine.query(&ask).await.1["rows"], json!([[n]]));
    }
}

#[tokio::test]
async fn queries_are_refused_by_field_and_by_role() {
    let mut engine = Engine::start().await;
    let refused = async |engine: &Engine, query: Value| {
        let (status, problem) = engine.query(&query).await;
        (status, problem["errors"][0]["field"].as_str().unwrap_or_default().to_owned())
    };
    assert_eq!(refused(&engine, json!({"metrics": ["clicks", "nope"]})).await, (422, "metrics[1]".into()));
    assert_eq!(
        refused(&engine, json!({"metrics": ["clicks"], "date_range": "8d"})).await,
        (422, "date_range".into())
    );
    let filter = json!({"metrics": ["clicks"], "filters": ["is", "colour", ["red"]]});
    assert_eq!(refused(&engine, filter).await, (422, "filters".into()));
    assert_eq!(refused(&engine, json!({"metrics": ["clicks"], "nope": 1})).await, (422, "nope".into()));
    assert_eq!(
        refused(&engine, json!({"metrics": ["clicks"], "limit": 20_000})).await,
        (422, "limit".into())
    );
    assert_eq!(engine.post("/v1/query?format=xml", "{}").await.0, 422);
    assert_eq!(engine.post("/v1/query", "{").await.0, 400);
    let any = json!({"metrics": ["clicks"]});
    engine.role = None;
    assert_eq!(engine.query(&any).await.0, 401);
    engine.role = Some(Role::Ingest);
    assert_eq!(engine.query(&any).await.0, 403);
    engine.role = Some(Role::Partner);
    assert_eq!(engine.query(&any).await.0, 403, "a partner's key without a partner sees nothing");
}

#[tokio::test]
async fn rows_are_exported_as_text() {
    let mut engine = Engine::start().await;
    engine.click(SHOP_LINK, NOON, 1, "DE");
    let ask = day(json!({"metrics": ["clicks"], "dimensions": ["link", "referrer"]})).to_string();
    let (status, csv) = engine.post("/v1/query?format=csv", &ask).await;
    assert_eq!((status, csv), (200, format!("link,referrer,clicks\r\n{SHOP_LINK},\"a\"\"b,c\",1\r\n")));
    let (_, lines) = engine.post("/v1/query?format=ndjson", &ask).await;
    let expected = json!({"link": SHOP_LINK.to_string(), "referrer": "a\"b,c", "clicks": 1});
    assert_eq!(serde_json::from_str::<Value>(&lines).unwrap(), expected);
}

#[tokio::test]
async fn operators_read_links_conversions_and_customers() {
    let mut engine = Engine::start().await;
    engine.click(SHOP_LINK, NOON, 1, "DE");
    engine.sale("A-1", 4_999, "EUR", NOON).await;
    let (status, links) = engine.get("/v1/links?limit=1").await;
    assert_eq!((status, links["data"].as_array().unwrap().len()), (200, 1));
    assert_eq!(links["data"][0]["short_url"], "https://go.example/second");
    let cursor = links["next_cursor"].as_str().unwrap();
    let (_, rest) = engine.get(&format!("/v1/links?limit=1&cursor={cursor}")).await;
    assert_eq!((&rest["data"][0]["clicks"], &rest["next_cursor"]), (&json!(1), &Value::Null));
    assert_eq!(engine.get("/v1/links?search=shop").await.1["data"].as_array().unwrap().len(), 1);
    let (_, link) = engine.get(&format!("/v1/links/{SHOP_LINK}")).await;
    assert_eq!((&link["slug"], &link["clicks"]), (&json!("shop"), &json!(1)));
    for path in ["/v1/links?limit=0", "/v1/links?limit=x", "/v1/links?cursor=x", "/v1/links?partner_id=x"] {
        assert_eq!(engine.get(path).await.0, 422, "{path}");
    }
    for path in ["/v1/links/x", "/v1/links/lnk_0000000000000", "/v1/conversions/x", "/v1/customers/nobody"] {
        assert_eq!(engine.get(path).await.0, 404, "{path}");
    }
    let (_, conversions) = engine.get("/v1/conversions?order_id=A-1").await;
    let id = conversions["data"][0]["id"].as_str().unwrap();
    let (_, conversion) = engine.get(&format!("/v1/conversions/{id}")).await;
    assert_eq!(conversion["amount"], json!({"amount": 4_999, "currency": "EUR"}));
    let (_, trace) = engine.get(&format!("/v1/conversions/{id}/trace")).await;
    assert_eq!(trace["candidates"], json!([]), "it claimed no click");
    let (_, customer) = engine.get("/v1/customers/u42").await;
    assert_eq!((&customer["email"], &customer["name"]), (&json!("a@shop.example"), &Value::Null));
    assert_eq!(customer["lifetime_value"], json!([{"amount": 4_999, "currency": "EUR"}]));
    assert!(customer.get("person").is_none());
    assert_eq!(engine.get("/v1/keys").await.1, json!({"data": [], "next_cursor": null}));
    assert_eq!(engine.get("/v1/webhook-endpoints").await.0, 200);
    assert_eq!(engine.get("/v1/webhook-endpoints/whk_0000000000009/deliveries").await.0, 404);
    engine.role = Some(Role::Viewer);
    assert_eq!(engine.get("/v1/keys").await.0, 403);
}
