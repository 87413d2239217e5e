//! `POST /v1/query`: every metric, dimension and filter that stands for what happened, to the last click.

use std::time::{Duration, Instant};

use serde_json::{Value, json};
use weir_schemas::time::{DAY_MS, Timestamp};

use super::conversions::sale;
use super::engine::{token_of, wait_for};
use super::{Shared, fresh, names, own, shared, within_a_day};

const PHONE: &str = "Mozilla/5.0 (iPhone; CPU iPhone OS 17_5 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) \
    Version/17.5 Mobile/15E148 Safari/604.1";

fn rows(shared: &Shared, link: &str, more: Value) -> Value {
    let mut query = json!({"date_range": "7d", "filters": ["is", "link", [link]]});
    query.as_object_mut().expect("an object").extend(more.as_object().expect("an object").clone());
    shared.engine.query(&query)["rows"].clone()
}

/// Three clicks: two from a desktop (one of them with a campaign), one from a phone in the US.
pub(crate) fn three_clicks(shared: &Shared) -> (String, [String; 3]) {
    let (slug, link) = shared.link(json!({}));
    let click =
        |query: &str, headers: &[(&str, &str)]| token_of(&shared.visit(&format!("/{slug}{query}"), headers));
    let desktop =
        click("", &[("x-forwarded-for", "203.0.113.9"), ("referer", "https://www.news.example/a?b=c")]);
    let campaign =
        click("?utm_source=mail&utm_medium=email&utm_campaign=spring", &[("x-forwarded-for", "203.0.113.9")]);
    let phone = click("", &[("x-forwarded-for", "8.8.8.8"), ("user-agent", PHONE)]);
    (link, [desktop, campaign, phone])
}

#[test]
fn every_dimension_of_a_click() {
    let shared = shared();
    let (link, _) = three_clicks(&shared);
    let by = |dimension: &str| {
        let more =
            json!({"metrics": ["clicks"], "dimensions": [dimension], "order_by": [[dimension, "asc"]]});
        rows(&shared, &link, more)
    };
    assert_eq!(by("link"), json!([[link, 3]]));
    assert_eq!(by("country"), json!([["", 2], ["US", 1]]));
    assert_eq!(by("continent"), json!([["", 2], ["NA", 1]]));
    assert_eq!(by("device"), json!([["desktop", 2], ["mobile", 1]]));
    assert_eq!(by("browser"), json!([["Chrome", 2], ["Mobile Safari", 1]]));
    assert_eq!(by("os"), json!([["Linux", 2], ["iOS", 1]]));
    assert_eq!(by("referrer"), json!([["", 2], ["news.example", 1]]));
    assert_eq!(by("utm_source"), json!([["", 2], ["mail", 1]]));
    assert_eq!(by("utm_medium"), json!([["", 2], ["email", 1]]));
    assert_eq!(by("utm_campaign"), json!([["", 2], ["spring", 1]]));
    assert_eq!(by("bot"), json!([[false, 3]]));
    for dimension in [
        "region",
        "city",
        "domain",
        "medium",
        "variant",
        "asn",
        "partner",
        "program",
        "utm_term",
        "utm_content",
    ] {
        let counted = by(dimension);
        let sum: i64 = counted.as_array().expect("rows").iter().filter_map(|row| row[1].as_i64()).sum();
        assert_eq!(sum, 3, "{dimension}: {counted}");
    }
    for bucket in ["time:minute", "time:hour", "time:day", "time:week", "time:month"] {
        let counted = by(bucket);
        let sum: i64 = counted.as_array().expect("rows").iter().filter_map(|row| row[1].as_i64()).sum();
        assert_eq!(sum, 3, "{bucket}: {counted}");
        assert!(
            counted[0][0].as_str().is_some_and(|at| at.ends_with("+00:00") || at.ends_with('Z')),
            "{counted}"
        );
    }
}

#[test]
fn every_operator_of_a_filter() {
    let shared = shared();
    let (link, _) = three_clicks(&shared);
    let count = |filter: Value| {
        let filter = json!(["and", [["is", "link", [link]], filter]]);
        let query = json!({"metrics": ["clicks"], "date_range": "7d", "filters": filter});
        shared.engine.query(&query)["rows"][0][0].as_i64().expect("a number")
    };
    for (filter, clicks) in [
        (json!(["is", "device", ["mobile"]]), 1),
        (json!(["is", "device", ["mobile", "desktop"]]), 3),
        (json!(["is_not", "device", ["mobile"]]), 2),
        (json!(["is", "country", ["US", "DE"]]), 1),
        (json!(["contains", "browser", ["safari"]]), 1),
        (json!(["contains", "referrer", ["NEWS", "other"]]), 1),
        (json!(["matches", "browser", ["^Chr.*e$"]]), 2),
        (json!(["not", ["is", "device", ["mobile"]]]), 2),
        (json!(["or", [["is", "device", ["mobile"]], ["is", "utm_source", ["mail"]]]]), 2),
        (json!(["and", [["is", "device", ["desktop"]], ["is", "utm_source", ["mail"]]]]), 1),
        (json!(["is", "utm_source", ["' OR 1=1 --"]]), 0),
        (json!(["is", "utm_source", ["\\"]]), 0),
        (json!(["gt", "clicks", [2]]), 3),
        (json!(["is", "device", []]), -1),
    ] {
        if clicks < 0 {
            let query = json!({"metrics": ["clicks"], "filters": filter});
            assert_eq!(shared.engine.api("POST", "/v1/query", Some(&query)).status, 422, "{filter}");
            continue;
        }
        if filter[1] == "clicks" {
            // A number is compared with a metric of each row.
            let more = json!({"metrics": ["clicks"], "dimensions": ["device"],
                "filters": ["and", [["is", "link", [link]], ["gt", "clicks", [1]]]]});
            let answer = shared.engine.api("POST", "/v1/query", Some(&more));
            assert!(matches!(answer.status, 200 | 422), "{}", answer.text());
            if answer.status == 200 {
                assert_eq!(answer.json()["rows"], json!([["desktop", 2]]));
            }
            continue;
        }
        assert_eq!(count(filter.clone()), clicks, "{filter}");
    }
    for bad in [
        json!("x"),
        json!([]),
        json!(["nope", "device", ["x"]]),
        json!(["is", "nope", ["x"]]),
        json!(["is", "device"]),
        json!(["and", ["is", "device", ["x"]]]),
        json!(["matches", "browser", ["("]]),
    ] {
        let query = json!({"metrics": ["clicks"], "filters": bad});
        let answer = shared.engine.api("POST", "/v1/query", Some(&query));
        assert_eq!(answer.status, 422, "{bad}: {}", answer.text());
        assert!(
            answer.json()["errors"][0]["field"].as_str().is_some_and(|field| field.starts_with("filters"))
        );
    }
}

#[test]
fn columns_totals_order_limit_and_what_the_answer_says_of_itself() {
    within_a_day();
    let shared = shared();
    let (link, tokens) = three_clicks(&shared);
    sale(&shared, &fresh("order"), 1_000, json!({"wclid": tokens[2]}));
    let query = json!({"metrics": ["clicks", "conversions", "revenue", "conversion_rate"],
        "dimensions": ["time:day", "device"],
        "date_range": "7d", "filters": ["and", [["is", "link", [link]], ["is", "currency", ["EUR"]]]],
        "order_by": [["revenue", "desc"], ["clicks", "desc"]], "include": {"total": true, "compare": "previous_period"}});
    let answer = shared.engine.query(&query);
    assert_eq!(
        answer["columns"],
        json!([{"name": "time:day", "type": "time"}, {"name": "device", "type": "string"},
            {"name": "clicks", "type": "integer"}, {"name": "conversions", "type": "integer"},
            {"name": "revenue", "type": "money"}, {"name": "conversion_rate", "type": "number"}])
    );
    let cells: Vec<Value> = answer["rows"]
        .as_array()
        .expect("rows")
        .iter()
        .map(|row| json!(row.as_array().expect("cells")[1..]))
        .collect();
    assert_eq!(json!(cells), json!([["mobile", 1, 1, 1000, 10_000], ["desktop", 2, 0, 0, 0]]));
    assert_eq!(
        answer["totals"],
        json!({"clicks": 3, "conversions": 1, "revenue": 1000, "conversion_rate": 3333})
    );
    assert_eq!(answer["comparison"]["rows"], json!([]));
    let meta = &answer["meta"];
    assert!(meta["as_of"].as_u64().is_some_and(|seq| seq > 0), "{meta}");
    assert!(meta["as_of_time"].as_str().is_some_and(|at| at.ends_with('Z')), "{meta}");
    assert!(meta["rows_read"].as_u64().is_some() && meta["elapsed_ms"].as_f64().is_some(), "{meta}");
    assert_eq!(meta["query"]["metrics"], query["metrics"]);

    let more =
        json!({"metrics": ["clicks"], "dimensions": ["device"], "order_by": [["clicks", "asc"]], "limit": 1});
    assert_eq!(rows(&shared, &link, more), json!([["mobile", 1]]));
    let more = json!({"metrics": ["clicks"], "dimensions": ["device"], "order_by": [["device", "desc"]]});
    assert_eq!(rows(&shared, &link, more), json!([["mobile", 1], ["desktop", 2]]));
    // Without dimensions there is exactly one row, whatever there is to count.
    let nothing = json!({"metrics": ["clicks", "visitors", "conversions", "revenue", "refunds", "net_revenue"],
        "date_range": ["2001-01-01T00:00:00Z", "2001-01-02T00:00:00Z"]});
    assert_eq!(shared.engine.query(&nothing)["rows"], json!([[0, 0, 0, 0, 0, 0]]));
    let answer =
        shared.engine.query(&json!({"metrics": ["clicks"], "date_range": "all", "dimensions": ["country"],
        "filters": ["is", "link", ["lnk_0000000000000"]]}));
    assert_eq!(answer["rows"], json!([]));
}

#[test]
fn every_range_and_every_metric_is_understood() {
    within_a_day();
    let shared = shared();
    let (link, tokens) = three_clicks(&shared);
    sale(&shared, &fresh("order"), 900, json!({"wclid": tokens[0]}));
    for range in ["today", "24h", "7d", "30d", "90d", "12mo", "mtd", "qtd", "ytd", "all"] {
        let more = json!({"metrics": ["clicks"], "date_range": range});
        assert_eq!(rows(&shared, &link, more), json!([[3]]), "{range}");
    }
    assert_eq!(rows(&shared, &link, json!({"metrics": ["clicks"], "date_range": "yesterday"})), json!([[0]]));
    for metric in
        "clicks visitors orphan_clicks bot_clicks leads conversions orders revenue refunds net_revenue \
        commission margin conversion_rate aov epc new_customers latency_p50 latency_p99 events"
            .split_whitespace()
    {
        let row = rows(&shared, &link, json!({"metrics": [metric]}));
        assert!(row[0][0].is_number(), "{metric}: {row}");
    }
    let metrics =
        json!(["visitors", "conversions", "orders", "revenue", "net_revenue", "margin", "aov", "epc"]);
    let more = json!({"metrics": metrics});
    assert_eq!(rows(&shared, &link, more), json!([[2, 1, 1, 900, 900, 900, 900, 300]]));
}

#[test]
fn days_are_those_of_the_time_zone_summer_time_included() {
    let shared = own(|settings| settings);
    // Berlin's clocks went forward on 29 March 2026 at 01:00 UTC and back on 25 October at 01:00 UTC.
    for at in [
        "2026-03-28T22:59:59Z",
        "2026-03-28T23:00:00Z",
        "2026-03-29T21:59:59Z",
        "2026-03-29T22:00:00Z",
        "2026-10-24T21:59:59Z",
        "2026-10-24T22:00:00Z",
        "2026-10-25T22:59:59Z",
        "2026-10-25T23:00:00Z",
    ] {
        sale(&shared, &fresh("order"), 100, json!({"occurred_at": at}));
    }
    let by = |bucket: &str, from: &str, to: &str| {
        let query = json!({"metrics": ["revenue"], "dimensions": [bucket], "timezone": "Europe/Berlin",
            "date_range": [from, to], "order_by": [[bucket, "asc"]]});
        shared.engine.query(&query)["rows"].clone()
    };
    assert_eq!(
        by("time:day", "2026-03-28T00:00:00Z", "2026-03-31T00:00:00Z"),
        json!([
            ["2026-03-28T00:00:00+01:00", 100],
            ["2026-03-29T00:00:00+01:00", 200],
            ["2026-03-30T00:00:00+02:00", 100]
        ])
    );
    assert_eq!(
        by("time:day", "2026-10-24T00:00:00Z", "2026-10-27T00:00:00Z"),
        json!([
            ["2026-10-24T00:00:00+02:00", 100],
            ["2026-10-25T00:00:00+02:00", 200],
            ["2026-10-26T00:00:00+01:00", 100]
        ])
    );
    assert_eq!(
        by("time:month", "2026-03-01T00:00:00Z", "2026-11-01T00:00:00Z"),
        json!([["2026-03-01T00:00:00+01:00", 400], ["2026-10-01T00:00:00+02:00", 400]])
    );
    assert_eq!(
        by("time:week", "2026-03-20T00:00:00Z", "2026-04-05T00:00:00Z"),
        json!([["2026-03-23T00:00:00+01:00", 300], ["2026-03-30T00:00:00+02:00", 100]])
    );
    // Ranges are half-open.
    assert_eq!(
        by("time:day", "2026-03-28T23:00:00Z", "2026-03-29T21:59:59Z"),
        json!([["2026-03-29T00:00:00+01:00", 100]])
    );
    let days = json!({"metrics": ["revenue"], "timezone": "Europe/Berlin", "date_range": ["2026-03-29", "2026-03-30"]});
    assert_eq!(shared.engine.query(&days)["rows"], json!([[200]]), "dates are days of the zone");
}

#[test]
fn buckets_without_facts_the_rows_left_out_and_the_same_weekdays() {
    within_a_day();
    let shared = own(|settings| settings);
    for at in ["2026-03-28T12:00:00Z", "2026-03-30T12:00:00Z", "2026-03-23T12:00:00Z"] {
        sale(&shared, &fresh("order"), 100, json!({"occurred_at": at}));
    }
    let query = |more: Value| {
        let mut query = json!({"metrics": ["revenue", "visitors"], "dimensions": ["time:day"],
            "timezone": "Europe/Berlin", "date_range": ["2026-03-28", "2026-04-01"]});
        query.as_object_mut().expect("an object").extend(more.as_object().expect("an object").clone());
        query
    };
    let filled = json!({"include": {"zero_fill": true, "total": true}});
    assert_eq!(
        shared.engine.query(&query(filled))["rows"],
        json!([
            ["2026-03-28T00:00:00+01:00", 100, 0],
            ["2026-03-29T00:00:00+01:00", 0, 0],
            ["2026-03-30T00:00:00+02:00", 100, 0],
            ["2026-03-31T00:00:00+02:00", 0, 0]
        ])
    );
    let last =
        json!({"include": {"zero_fill": true}, "order_by": [["time:day", "desc"]], "limit": 1, "offset": 1});
    assert_eq!(shared.engine.query(&query(last))["rows"], json!([["2026-03-30T00:00:00+02:00", 100, 0]]));
    // What has not come yet has no row; `all` begins with the first fact.
    let all = query(json!({"include": {"zero_fill": true}, "date_range": "all", "limit": 10_000}));
    let all = shared.engine.query(&all);
    let rows = all["rows"].as_array().expect("rows");
    assert_eq!(rows[0], json!(["2026-03-23T00:00:00+01:00", 100, 0]));
    let last = Timestamp::parse(rows[rows.len() - 1][0].as_str().expect("a day")).expect("a day").0;
    let until = Timestamp::parse(all["meta"]["as_of_time"].as_str().expect("a time")).expect("a time").0;
    assert!(rows.len() > 8 && (last..last + 2 * DAY_MS).contains(&until), "{last} is the last, not {until}");

    // 4 days from a Saturday, compared with the 4 from the Saturday before.
    let matched =
        json!({"include": {"compare": "previous_period", "match_weekday": true, "zero_fill": true}});
    let answer = shared.engine.query(&query(matched));
    let before: Vec<i64> = answer["comparison"]["rows"]
        .as_array()
        .expect("rows")
        .iter()
        .filter_map(|row| row[1].as_i64())
        .collect();
    assert_eq!(before, [0, 0, 100, 0], "{answer}");

    let (slug, link) = shared.link(json!({}));
    for address in ["198.51.100.1", "198.51.100.2", "198.51.100.2"] {
        shared.visit(&format!("/{slug}?utm_source={address}"), &[("x-forwarded-for", address)]);
    }
    shared.visit(&format!("/{slug}?utm_source=mail"), &[("x-forwarded-for", "198.51.100.2")]);
    let other = json!({"metrics": ["clicks", "visitors"], "dimensions": ["utm_source"], "date_range": "7d",
        "filters": ["is", "link", [link]], "limit": 1, "include": {"other": true, "total": true}});
    let answer = shared.engine.query(&other);
    assert_eq!(answer["rows"], json!([["198.51.100.2", 2, 1]]));
    // Two people are the others, one of whom is in the first row as well: visitors do not add up.
    assert_eq!(answer["other"], json!({"clicks": 2, "visitors": 2}));
    assert_eq!(answer["totals"], json!({"clicks": 4, "visitors": 2}));
    let mut compared = other.clone();
    compared["include"]["compare"] = json!("previous_period");
    let answer = shared.engine.query(&compared);
    assert_eq!(answer["other"], json!({"clicks": 2, "visitors": 2}), "those of the range asked for");
    assert_eq!(answer["comparison"]["rows"], json!([]));
    // What a filter on a metric leaves out is no row, and so none of the others.
    let mut selected = other;
    selected["filters"] = json!(["and", [["is", "link", [link]], ["gt", "clicks", [1]]]]);
    let answer = shared.engine.query(&selected);
    assert_eq!(answer["rows"], json!([["198.51.100.2", 2, 1]]));
    assert_eq!(answer["other"], json!({"clicks": 0, "visitors": 0}));
    assert_eq!(answer["totals"], json!({"clicks": 4, "visitors": 2}), "of all rows");

    let refused = |include: Value, more: Value, field: &str| {
        let mut query = query(more);
        query["include"] = include;
        names(&shared.engine.api("POST", "/v1/query", Some(&query)), field);
    };
    refused(json!({"zero_fill": true}), json!({"dimensions": ["country"]}), "include.zero_fill");
    refused(json!({"zero_fill": true}), json!({"order_by": [["revenue", "desc"]]}), "include.zero_fill");
    refused(json!({"other": true}), json!({"dimensions": []}), "include.other");
    refused(json!({"match_weekday": true}), json!({}), "include.match_weekday");
    let own = json!({"match_weekday": true, "compare": ["2026-01-01", "2026-01-02"]});
    refused(own, json!({}), "include.compare");
}

#[test]
fn the_same_question_is_worked_out_once_until_something_is_new() {
    let shared = own(|settings| settings);
    let (slug, link) = shared.link(json!({}));
    shared.token(&slug);
    let query = json!({"metrics": ["clicks"], "date_range": "7d", "filters": ["is", "link", [link]]});
    let asked = |expected: i64| {
        let answer = shared.engine.query(&query);
        assert_eq!(answer["rows"], json!([[expected]]));
        answer["meta"]["as_of"].as_u64().expect("as of")
    };
    let executed = || shared.engine.metric("weir_query_executions_total");
    // An answer is kept for five seconds: where a machine took longer to ask twice, it asks again.
    let (first, executions) = wait_for("two answers within five seconds", || {
        let began = Instant::now();
        let (first, executions) = (asked(1), executed());
        let again = (asked(1), executed());
        if began.elapsed() > Duration::from_secs(4) {
            return None;
        }
        // Nothing was recorded in between: the same answer, as of the same sequence.
        assert_eq!(again, (first, executions));
        Some(again)
    });
    shared.token(&slug);
    assert!(asked(2) > first);
    assert!(executed() > executions);
}

#[test]
fn several_currencies_have_no_sum() {
    let shared = own(|settings| settings);
    let (slug, _) = shared.link(json!({}));
    let token = shared.token(&slug);
    sale(&shared, &fresh("order"), 500, json!({"wclid": token}));
    sale(
        &shared,
        &fresh("order"),
        90_000,
        json!({"wclid": token, "amount": {"amount": 90_000, "currency": "JPY"}}),
    );
    for metric in ["revenue", "refunds", "net_revenue", "aov", "epc"] {
        let query = json!({"metrics": ["clicks", metric], "date_range": "7d"});
        names(&shared.engine.api("POST", "/v1/query", Some(&query)), "metrics");
    }
    let one = |currency: &str| {
        let query = json!({"metrics": ["conversions", "revenue"], "date_range": "7d",
            "filters": ["is", "currency", [currency]]});
        shared.engine.query(&query)["rows"][0].clone()
    };
    assert_eq!((one("EUR"), one("JPY")), (json!([1, 500]), json!([1, 90_000])));
    let query = json!({"metrics": ["revenue", "orders"], "date_range": "7d", "dimensions": ["currency"],
        "order_by": [["currency", "asc"]], "include": {"total": true}});
    let answer = shared.engine.query(&query);
    assert_eq!(answer["rows"], json!([["EUR", 500, 1], ["JPY", 90_000, 1]]));
    assert_eq!(answer["totals"]["orders"], json!(2));
    let query = json!({"metrics": ["clicks", "conversions"], "date_range": "7d"});
    assert_eq!(shared.engine.query(&query)["rows"], json!([[1, 2]]), "counts of all currencies add up");
}
