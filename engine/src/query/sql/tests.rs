use serde_json::{Value, json};
use weir_schemas::ids::{LinkId, WorkspaceId};
use weir_schemas::time::Timestamp;

use super::*;

/// The statement of what is asked, click by click.
fn told_where(all_stand: bool, query: Value) -> Statement {
    let query = serde_json::from_value(query).unwrap();
    let now = Timestamp::parse("2026-06-15T12:00:00Z").unwrap();
    let plan = Plan::build(&query, WorkspaceId(1), now, None).unwrap();
    statement(&plan, 7, Mode::Values, &Reading { cover: None, all_stand })
}

fn told(query: Value) -> Statement {
    told_where(false, query)
}

/// How often the statement reads the table of effects.
fn reads_of_effects(dimension: &str, filters: Value) -> usize {
    let query = json!({"metrics": ["clicks", "conversions"], "dimensions": [dimension], "filters": filters,
        "date_range": "30d"});
    told(query).sql.matches("FROM effects").count()
}

#[test]
fn moved_hits_and_effects_are_one_source_where_they_are_told_apart_by_nothing() {
    assert_eq!(reads_of_effects("country", Value::Null), 1);
    assert_eq!(reads_of_effects("time:day", json!(["is", "link", [LinkId(7).to_string()]])), 1);
    // A hit's verdict is its own, a sale's that of its click.
    assert_eq!(reads_of_effects("verdict", Value::Null), 2);
    assert_eq!(reads_of_effects("country", json!(["is", "bot", [true]])), 2);
    // Which money is counted says nothing of clicks.
    assert_eq!(reads_of_effects("country", json!(["is", "currency", ["EUR"]])), 2);
}

#[test]
fn moments_are_told_as_literals_that_their_column_holds() {
    let at = 1_793_491_200_007;
    assert_eq!(between((at, at + 1)), "at >= '2026-11-01 00:00:00.007' AND at < '2026-11-01 00:00:00.008'");
    let all = "at >= '1900-01-01 00:00:00.000' AND at < '2299-12-31 23:59:59.999'";
    assert_eq!(between((i64::MIN, i64::MAX)), all);
}

#[test]
fn texts_are_grouped_by_their_columns() {
    let query =
        |dimensions: Value| json!({"metrics": ["clicks"], "dimensions": dimensions, "date_range": "30d"});
    assert!(told(query(json!(["country", "link", "bot"]))).sql.contains("GROUP BY country, k1, k2\n"));
    // Of effects a verdict is an expression.
    let sales = json!({"metrics": ["conversions"], "dimensions": ["verdict"], "date_range": "30d"});
    assert!(told(sales).sql.contains("GROUP BY k0\n"));
}

#[test]
fn clicks_are_asked_whether_they_stand_only_where_some_do_not() {
    for metric in ["visitors", "latency_p99"] {
        let query = json!({"metrics": [metric], "date_range": "30d", "dimensions": ["country"]});
        assert!(told(query.clone()).sql.contains("id NOT IN"), "{metric}");
        assert!(!told_where(true, query).sql.contains("FROM effects"), "{metric}");
    }
}
