//! Saved queries, and the links by which others see an answer.

use serde_json::{Value, json};
use weir_schemas::time::{SECOND_MS, Timestamp};

use super::engine::{text_of, wait_for};
use super::{Answer, Shared, ask, fresh, names, own, refused, shared};

/// What somebody without a key gets at a share link.
fn stranger(shared: &Shared, token: &str, format: &str) -> Answer {
    ask(shared.engine.admin, "GET", &format!("/v1/shared/{token}{format}"), &[], b"")
}

fn clicks_of(link: &str) -> Value {
    json!({"metrics": ["clicks"], "date_range": "7d", "filters": ["is", "link", [link]]})
}

#[test]
fn a_saved_query_is_kept_changed_and_deleted() {
    let shared = shared();
    let name = fresh("saved");
    let body =
        json!({"name": name, "query": {"metrics": ["clicks"], "date_range": "7d"}, "visualisation": "line"});
    let made = shared.post("/v1/saved-queries", body, 201);
    let id = text_of(&made["id"]);
    assert!(id.starts_with("qry_"), "{made}");
    assert_eq!(
        (&made["report"], &made["visualisation"], &made["query"]["date_range"]),
        (&Value::Null, &json!("line"), &json!("7d"))
    );
    let path = format!("/v1/saved-queries/{id}");
    assert_eq!(shared.get(&path), made);
    let list = shared.get("/v1/saved-queries");
    assert!(list["data"].as_array().expect("a list").contains(&made), "{list}");

    let funnel =
        json!({"report": "funnel", "query": {"steps": ["click", "conversion"]}, "description": "of all"});
    let changed = shared.engine.call("PATCH", &path, Some(&funnel), 200);
    assert_eq!((&changed["name"], &changed["report"]), (&json!(name), &json!("funnel")));
    let kept = shared.get(&path);
    assert_eq!(kept["query"], json!({"steps": ["click", "conversion"]}), "a query is replaced whole");

    assert_eq!(shared.engine.api("DELETE", &path, None).status, 204);
    refused(&shared.engine.api("GET", &path, None), 404, "not_found");
    refused(&shared.engine.api("DELETE", &path, None), 404, "not_found");
    refused(&shared.engine.api("PATCH", &path, Some(&json!({"name": "x"}))), 404, "not_found");
}

#[test]
fn what_could_not_be_answered_is_not_saved() {
    let shared = shared();
    let good = json!({"metrics": ["clicks"]});
    for (body, field) in [
        (json!({"query": good}), "name"),
        (json!({"name": "", "query": good}), "name"),
        (json!({"name": "x"}), "query"),
        (json!({"name": "x", "query": good, "nope": 1}), "nope"),
        (json!({"name": "x", "query": {}}), "query.metrics"),
        (json!({"name": "x", "query": {"metrics": ["nope"]}}), "query.metrics[0]"),
        (json!({"name": "x", "query": {"metrics": ["clicks"], "limit": 0}}), "query.limit"),
        (json!({"name": "x", "report": "nope", "query": {}}), "report"),
        (json!({"name": "x", "report": "funnel", "query": {}}), "query.steps"),
        (json!({"name": "x", "report": "rfm", "query": {"timezone": "Mars"}}), "query.timezone"),
        (json!({"name": "x", "report": "overview", "query": {"metrics": ["clicks"]}}), "query.metrics"),
        (json!({"name": "x", "query": good, "partner_id": "ptn_0000000000000"}), "partner_id"),
    ] {
        names(&shared.engine.api("POST", "/v1/saved-queries", Some(&body)), field);
    }
    let saved = shared.post("/v1/saved-queries", json!({"name": "x", "query": good}), 201);
    let path = format!("/v1/saved-queries/{}", text_of(&saved["id"]));
    names(&shared.engine.api("PATCH", &path, Some(&json!({"report": "funnel"}))), "query.metrics");
    names(&shared.engine.api("PATCH", &path, Some(&json!({"name": null}))), "name");
}

#[test]
fn whoever_has_the_link_sees_that_answer_and_no_other() {
    let shared = shared();
    let (slug, link) = shared.link(json!({}));
    shared.visit(&format!("/{slug}"), &[]);
    shared.engine.query(&clicks_of(&link));
    let saved = shared.post("/v1/saved-queries", json!({"name": "mine", "query": clicks_of(&link)}), 201);
    let made = shared.post("/v1/shares", json!({"saved_query_id": saved["id"]}), 201);
    let (token, url) = (text_of(&made["token"]), text_of(&made["url"]));
    assert!(token.starts_with("wsh_") && url.ends_with(&format!("/shared/{token}")), "{made}");
    assert_eq!(made["name"], "mine");

    let answer = stranger(&shared, &token, "");
    assert_eq!(answer.status, 200, "{}", answer.text());
    let told = answer.json();
    assert_eq!((&told["name"], &told["answer"]["rows"]), (&json!("mine"), &json!([[1]])), "{told}");
    let table = stranger(&shared, &token, "?format=csv");
    assert_eq!(table.text().replace("\r\n", "\n"), "clicks\n1\n");
    // A later change of the saved query shows nobody more.
    let all = json!({"query": {"metrics": ["clicks", "visitors"], "date_range": "all"}});
    shared.engine.call("PATCH", &format!("/v1/saved-queries/{}", text_of(&saved["id"])), Some(&all), 200);
    assert_eq!(stranger(&shared, &token, "").json()["answer"]["columns"].as_array().map(Vec::len), Some(1));
    // The secret is no key, and stands nowhere but in that first answer.
    let bearer = format!("Bearer {token}");
    let asked = ask(shared.engine.admin, "GET", "/v1/links", &[("authorization", bearer.as_str())], b"");
    refused(&asked, 401, "unauthenticated");
    let list = shared.get("/v1/shares");
    let listed = list["data"].as_array().expect("a list").iter().find(|share| share["id"] == made["id"]);
    let listed = listed.expect("it is listed");
    assert!(listed["token"].is_null() && token.starts_with(listed["hint"].as_str().expect("a hint")));
    assert!(!list.to_string().contains(&token));

    let path = format!("/v1/shares/{}", text_of(&made["id"]));
    assert_eq!(shared.engine.api("DELETE", &path, None).status, 204);
    refused(&stranger(&shared, &token, ""), 410, "share_over");
    refused(&shared.engine.api("DELETE", &path, None), 404, "not_found");
    refused(&stranger(&shared, "wsh_nobody", ""), 404, "not_found");
    refused(&stranger(&shared, &"x".repeat(300), ""), 404, "not_found");
}

#[test]
fn a_link_ends_with_its_time() {
    let shared = shared();
    let query = json!({"metrics": ["clicks"], "date_range": "today"});
    let soon = Timestamp(Timestamp::now().0 + 8 * SECOND_MS);
    let made = shared.post("/v1/shares", json!({"query": query, "expires_at": soon}), 201);
    wait_for("the link to end", || {
        let answer = stranger(&shared, &text_of(&made["token"]), "");
        (answer.status == 410).then(|| refused(&answer, 410, "share_over"))
    });
    assert!(Timestamp::now() >= soon);
    for (body, field) in [
        (json!({}), "query"),
        (json!({"query": query, "saved_query_id": "qry_0000000000000"}), "query"),
        (json!({"saved_query_id": "qry_0000000000000"}), "saved_query_id"),
        (json!({"query": query, "expires_at": "2020-01-01T00:00:00Z"}), "expires_at"),
        (json!({"query": query, "expires_at": "2999-01-01T00:00:00Z"}), "expires_at"),
        (json!({"query": {"metrics": []}}), "query.metrics"),
    ] {
        names(&shared.engine.api("POST", "/v1/shares", Some(&body)), field);
    }
}

#[test]
fn reports_and_the_overview_are_shared_too() {
    let shared = shared();
    let (slug, link) = shared.link(json!({}));
    shared.visit(&format!("/{slug}"), &[]);
    let filters = json!(["is", "link", [link]]);
    let funnel = json!({"steps": ["click", "conversion"], "filters": filters, "date_range": "7d"});
    let report = json!({"name": "f", "report": "funnel", "query": funnel});
    let token = text_of(&shared.post("/v1/shares", report, 201)["token"]);
    let told = wait_for("the funnel", || {
        let told = stranger(&shared, &token, "").json();
        (told["answer"]["rows"][0][2] == 1).then_some(told)
    });
    assert_eq!(told["report"], "funnel");

    let overview =
        json!({"name": "o", "report": "overview", "query": {"date_range": "7d", "filters": filters}});
    let token = text_of(&shared.post("/v1/shares", overview, 201)["token"]);
    let told = stranger(&shared, &token, "").json();
    let panel = |name: &str| {
        let panels = told["panels"].as_array().expect("panels");
        panels.iter().find(|panel| panel["name"] == name).unwrap_or_else(|| panic!("{name}: {told}"))["answer"].clone()
    };
    assert_eq!(panel("totals")["rows"][0][0], 1, "{told}");
    assert_eq!(panel("links")["rows"], json!([[link, 1, 1, 0]]));
    assert_eq!(panel("series")["rows"].as_array().map(Vec::len), Some(7), "every day of them");
    names(&stranger(&shared, &token, "?format=csv"), "format");
}

#[test]
fn a_link_is_asked_so_often_and_no_more() {
    let shared = own(|settings| settings);
    let query = json!({"metrics": ["clicks"], "date_range": "today"});
    let token = text_of(&shared.post("/v1/shares", json!({"query": query}), 201)["token"]);
    wait_for("the first answer", || (stranger(&shared, &token, "").status == 200).then_some(()));
    let refusal = (0..200).map(|_| stranger(&shared, &token, "")).find(|answer| answer.status != 200);
    refused(&refusal.expect("an allowance ends"), 429, "rate_limited");
}

#[test]
fn a_partner_sees_its_own() {
    let shared = shared();
    let partner = |name: &str| text_of(&shared.post("/v1/partners", json!({"name": name}), 201)["id"]);
    let (mine, other) = (partner(&fresh("Mine")), partner(&fresh("Other")));
    let (slug, _) = shared.link(json!({"partner_id": mine}));
    let (elsewhere, _) = shared.link(json!({"partner_id": other}));
    for slug in [&slug, &elsewhere, &elsewhere] {
        shared.visit(&format!("/{slug}"), &[]);
    }
    let query = json!({"metrics": ["clicks"], "date_range": "7d"});
    let save = |partner: &Value| {
        let body = json!({"name": "p", "query": query, "partner_id": partner});
        shared.post("/v1/saved-queries", body, 201)
    };
    let (own, foreign, common) = (save(&json!(mine)), save(&json!(other)), save(&Value::Null));
    let token = text_of(&shared.post("/v1/shares", json!({"saved_query_id": own["id"]}), 201)["token"]);
    wait_for("only its own clicks", || {
        let rows = stranger(&shared, &token, "").json()["answer"]["rows"].clone();
        assert!(rows[0][0].as_i64() <= Some(1), "{rows}");
        (rows == json!([[1]])).then_some(())
    });

    let key = json!({"name": "portal", "role": "partner", "partner_id": mine});
    let key = text_of(&shared.post("/v1/keys", key, 201)["key"]);
    let as_partner = |method: &str, path: &str, body: Option<&Value>| shared.as_key(&key, method, path, body);
    let listed = as_partner("GET", "/v1/saved-queries", None).json();
    let ids: Vec<String> =
        listed["data"].as_array().expect("a list").iter().map(|query| text_of(&query["id"])).collect();
    assert_eq!(ids, [text_of(&own["id"])]);
    for hidden in [&foreign, &common] {
        let path = format!("/v1/saved-queries/{}", text_of(&hidden["id"]));
        refused(&as_partner("GET", &path, None), 404, "not_found");
    }
    let shares = as_partner("GET", "/v1/shares", None).json();
    assert_eq!(shares["data"].as_array().map(Vec::len), Some(1), "{shares}");
    let body = json!({"name": "p", "query": query});
    refused(&as_partner("POST", "/v1/saved-queries", Some(&body)), 403, "forbidden");
    refused(&as_partner("POST", "/v1/shares", Some(&body)), 403, "forbidden");
}
