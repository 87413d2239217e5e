use serde_json::{Value, json};

use super::*;

fn now() -> Timestamp {
    Timestamp::parse("2026-11-21T12:00:00Z").unwrap()
}

fn build(query: Value) -> Result<Plan, Problem> {
    let query: Query = serde_json::from_value(query).unwrap();
    Plan::build(&query, WorkspaceId(1), now(), None)
}

fn wrong(query: Value) -> Vec<(String, String)> {
    let problem = build(query).unwrap_err();
    assert_eq!(problem.status, 422);
    problem.errors.into_iter().map(|error| (error.field, error.detail)).collect()
}

fn one_wrong(query: Value, field: &str, says: &str) {
    let errors = wrong(query);
    assert_eq!(errors.len(), 1, "{errors:?}");
    assert_eq!(errors[0].0, field);
    assert!(errors[0].1.contains(says), "{errors:?}");
}

#[test]
fn every_wrong_field_is_named() {
    let errors = wrong(json!({
        "metrics": ["clicks", "clicks"], "date_range": ["2026-11-08", "2026-11-01"],
        "timezone": "Mars/Olympus",
        "dimensions": ["time:day", "time:hour"], "filters": ["is", "asn", ["x"]],
        "order_by": [["time:day", "asc"], ["revenue", "desc"]], "limit": 0, "offset": 1_000_001
    }));
    let fields: Vec<&str> = errors.iter().map(|(field, _)| field.as_str()).collect();
    let expected = [
        "timezone",
        "date_range",
        "dimensions[1]",
        "metrics[1]",
        "filters",
        "order_by[1]",
        "limit",
        "offset",
    ];
    assert_eq!(fields, expected);
}

#[test]
fn combinations_that_mean_nothing_are_refused() {
    one_wrong(json!({"metrics": []}), "metrics", "at least one");
    one_wrong(
        json!({"metrics": ["clicks"], "dimensions": ["time:day", "time:hour"]}),
        "dimensions[1]",
        "one time",
    );
    one_wrong(json!({"metrics": ["epc"], "dimensions": ["currency"]}), "metrics[0]", "filter by it");
    one_wrong(json!({"metrics": ["clicks"], "dimensions": ["event"]}), "dimensions", "conversions and money");
    one_wrong(json!({"metrics": ["clicks"], "filters": ["gt", "clicks", [1]]}), "filters", "exactly one");
    let other = json!({"metrics": ["clicks"], "dimensions": ["os"], "filters": ["gt", "leads", [1]]});
    one_wrong(other, "filters", "among `metrics`");
    let all = json!({"metrics": ["clicks"], "date_range": "all", "include": {"compare": "previous_period"}});
    one_wrong(all, "include.compare", "`all`");
}

#[test]
fn the_same_meaning_has_the_same_key() {
    let key = |query: Value| build(query).unwrap().key().to_owned();
    let one = key(json!({"metrics": ["clicks"], "filters": ["is", "country", ["DE", "AT"]]}));
    let spelled_out = json!({
        "metrics": ["clicks"], "date_range": ["2026-10-23", "2026-11-22"],
        "timezone": "UTC", "dimensions": [],
        "filters": ["and", [["is", "country", ["AT", "DE", "AT"]]]], "order_by": [["clicks", "desc"]],
        "limit": 1000
    });
    assert_eq!(one, key(spelled_out));
    assert_ne!(one, key(json!({"metrics": ["clicks"], "filters": ["is", "country", ["DE"]]})));
    // Whatever changes the answer changes the key: answers are shared by it.
    let days = json!({"metrics": ["clicks", "value_sum"], "dimensions": ["time:day"]});
    let mut keys = vec![key(days.clone())];
    for (member, value) in [
        ("include", json!({"zero_fill": true})),
        ("include", json!({"other": true})),
        ("include", json!({"total": true})),
        ("include", json!({"compare": "previous_period"})),
        ("include", json!({"compare": "year_over_year"})),
        ("include", json!({"compare": "previous_period", "match_weekday": true})),
        ("value_of", json!("property:price")),
        ("timezone", json!("Europe/Berlin")),
        ("date_range", json!("7d")),
        ("limit", json!(7)),
        ("offset", json!(7)),
        ("order_by", json!([["clicks", "asc"]])),
        ("filters", json!(["gt", "clicks", [7]])),
        ("filters", json!(["lt", "clicks", [7]])),
        ("metrics", json!(["value_sum", "clicks"])),
        ("dimensions", json!(["time:week"])),
    ] {
        let mut other = days.clone();
        other[member] = value;
        keys.push(key(other));
    }
    let known: std::collections::BTreeSet<&String> = keys.iter().collect();
    assert_eq!(known.len(), keys.len(), "{keys:#?}");
    let query: Query = serde_json::from_value(json!({"metrics": ["clicks"]})).unwrap();
    let of = |workspace, partner| Plan::build(&query, WorkspaceId(workspace), now(), partner).unwrap();
    assert_ne!(of(1, None), of(2, None));
    assert_ne!(of(1, None), of(1, Some(PartnerId(7))));
}

#[test]
fn a_single_currency_is_named_by_dimension_or_filter() {
    let one_currency = |query: Value| build(query).unwrap().one_currency;
    assert!(one_currency(json!({"metrics": ["revenue"]})));
    assert!(!one_currency(json!({"metrics": ["clicks"]})));
    assert!(!one_currency(json!({"metrics": ["revenue"], "dimensions": ["currency"]})));
    assert!(!one_currency(json!({"metrics": ["revenue"], "filters": ["is", "currency", ["EUR"]]})));
    assert!(one_currency(json!({"metrics": ["revenue"], "filters": ["is", "currency", ["EUR", "USD"]]})));
    assert!(one_currency(json!({"metrics": ["revenue"], "filters": ["is_not", "currency", ["EUR"]]})));
    let either = json!(["or", [["is", "currency", ["EUR"]], ["is", "country", ["DE"]]]]);
    assert!(one_currency(json!({"metrics": ["revenue"], "filters": either})));
}

#[test]
fn ranges_are_stated_as_resolved() {
    let plan = build(json!({"metrics": ["clicks"], "date_range": "today", "timezone": "Europe/Berlin",
        "include": {"compare": "previous_period"}}))
    .unwrap();
    let resolved = plan.resolved();
    assert_eq!(resolved["date_range"], json!(["2026-11-21T00:00:00+01:00", "2026-11-22T00:00:00+01:00"]));
    assert_eq!(resolved["include"]["compare"][0], "2026-11-20T00:00:00+01:00");
    assert_eq!(plan.valid_until(), Timestamp::parse("2026-11-21T23:00:00Z").ok());
    assert_eq!(plan.compared().unwrap().range().to, plan.range().from);
    assert!(plan.compared().unwrap().compared().is_none());
}

#[test]
fn robots_count_where_the_query_speaks_of_them() {
    let with_bots = |query: Value| build(query).unwrap().with_bots;
    assert!(!with_bots(json!({"metrics": ["clicks"]})));
    assert!(!with_bots(json!({"metrics": ["clicks"], "dimensions": ["bot"]})));
    assert!(with_bots(json!({"metrics": ["clicks"], "dimensions": ["verdict"]})));
    assert!(with_bots(json!({"metrics": ["clicks"], "filters": ["is", "bot", [true, false]]})));
    assert!(with_bots(json!({"metrics": ["clicks"], "filters": ["not", ["is", "verdict", ["counted"]]]})));
}
