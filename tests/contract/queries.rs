//! `POST /v1/query`: every metric, dimension and filter that stands for what happened, to the last click.

use serde_json::{Value, json};

use super::conversions::sale;
use super::engine::token_of;
use super::{Shared, fresh, names, own, shared};

const PHONE: &str = "Mozilla/5.0 (iPhone; CPU iPhone OS 17_5 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) \
    Version/17.5 Mobile/15E148 Safari/604.1";

fn rows(shared: &Shared, link: &str, more: Value) -> Value {
    let mut query = json!({"date_range": "7d", "filters": ["is", "link", [link]]});
    query.as_object_mut().expect("an object").extend(more.as_object().expect("an object").clone());
    shared.engine.query(&query)["rows"].clone()
}

/// Three clicks: two from a desktop (one of them with a campaign), one from a phone in the US.
fn three_clicks(shared: &Shared) -> (String, [String; 3]) {
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
    let all = shared.engine.query(&query(json!({"include": {"zero_fill": true}, "date_range": "all"})));
    let rows = all["rows"].as_array().expect("rows");
    assert_eq!(rows[0], json!(["2026-03-23T00:00:00+01:00", 100, 0]));
    assert!(rows.len() > 8 && rows.len() < 10_000, "{}", rows.len());

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
    let first = asked(1);
    let executions = shared.engine.metric("weir_query_executions_total");
    // Nothing was recorded in between: the same answer, as of the same sequence.
    assert_eq!(asked(1), first);
    assert_eq!(shared.engine.metric("weir_query_executions_total"), executions);
    shared.token(&slug);
    assert!(asked(2) > first);
    assert!(shared.engine.metric("weir_query_executions_total") > executions);
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
    let csv = ask("csv", body(json!({}))).text();
    assert!(csv.contains("\"'=1+1\""), "{csv}");
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
