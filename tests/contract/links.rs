//! Links: made, read, changed, listed and deleted.

use serde_json::{Value, json};

use super::engine::text_of;
use super::{fresh, names, refused, shared};

/// A link as the contract shows it.
fn everything(slug: &str) -> Value {
    json!({ "slug": slug, "domain": null, "destination": "https://shop.example/p?id=1", "status_code": 302,
        "title": null, "tags": ["mail"], "notes": "two\nlines", "archived": false, "program_id": null, "partner_id": null, "track_conversions": true,
        "utm": {"source": "news"}, "forward_query": true,
        "starts_at": null, "expires_at": null, "max_clicks": null, "daily_click_cap": null, "cap_timezone": "UTC",
        "fallback": null, "password": null, "enabled": true, "rules": [], "variants": [],
        "sticky_days": 7, "allocation": "fixed" })
}

#[test]
fn only_a_destination_is_needed() {
    let shared = shared();
    let made = shared.post("/v1/links", json!({"destination": "https://shop.example"}), 201);
    let slug = text_of(&made["slug"]);
    assert_eq!(slug.len(), 7, "{slug}");
    assert!(slug.bytes().all(|byte| byte.is_ascii_alphanumeric()), "{slug}");
    assert!(!slug.contains(['0', 'O', '1', 'l', 'I']), "look-alikes in {slug}");
    assert!(text_of(&made["id"]).starts_with("lnk_"));
    assert_eq!(made["destination"], "https://shop.example/", "canonical");
    assert_eq!(text_of(&made["short_url"]), format!("http://{}/{slug}", shared.engine.public));
    assert_eq!(made["clicks"], 0);
    assert!(text_of(&made["created_at"]).ends_with('Z'), "{made}");
    for (member, value) in [
        ("status_code", json!(302)),
        ("enabled", json!(true)),
        ("track_conversions", json!(true)),
        ("forward_query", json!(true)),
        ("tags", json!([])),
        ("cap_timezone", json!("UTC")),
        ("sticky_days", json!(7)),
        ("allocation", json!("fixed")),
        ("domain", json!(null)),
        ("fallback", json!(null)),
    ] {
        assert_eq!(made[member], value, "{member}");
    }
}

#[test]
fn every_member_is_kept_and_read_back() {
    let shared = shared();
    let slug = fresh("all");
    let body = everything(&slug);
    let made = shared.post("/v1/links", body.clone(), 201);
    for (member, value) in body.as_object().expect("an object") {
        assert_eq!(&made[member], value, "{member}");
    }
    let mut read = shared.get(&format!("/v1/links/{}", text_of(&made["id"])));
    assert_eq!(read["clicks"], 0);
    read["clicks"] = made["clicks"].clone();
    assert_eq!(read, made);
}

#[test]
fn a_slug_is_taken_once_and_free_after_the_link_is_deleted() {
    let shared = shared();
    let (slug, id) = shared.link(json!({}));
    let again = json!({"slug": slug, "destination": "https://other.example/"});
    let taken = refused(&shared.engine.api("POST", "/v1/links", Some(&again)), 409, "slug_taken");
    assert_eq!(taken["errors"][0]["field"], "slug", "{taken}");
    let (_, other) = shared.link(json!({}));
    let change = json!({"slug": slug});
    refused(&shared.engine.api("PATCH", &format!("/v1/links/{other}"), Some(&change)), 409, "slug_taken");

    shared.engine.call("DELETE", &format!("/v1/links/{id}"), None, 204);
    assert_eq!(shared.visit(&format!("/{slug}"), &[]).status, 404);
    refused(&shared.engine.api("DELETE", &format!("/v1/links/{id}"), None), 404, "not_found");
    refused(&shared.engine.api("GET", &format!("/v1/links/{id}"), None), 404, "not_found");
    shared.post("/v1/links", again, 201);
    assert!(shared.location(&format!("/{slug}")).starts_with("https://other.example/"));
}

#[test]
fn reserved_and_odd_slugs_are_refused() {
    let shared = shared();
    let reserved = "collect hooks i postback status status.json weir.js healthz readyz robots.txt favicon.ico \
        .well-known";
    for slug in reserved.split_whitespace().chain(["", " ", "a b", "a/b", "a?b", "a%2Fb", "ü", "..", "Hooks"])
    {
        let body = json!({"slug": slug, "destination": "https://shop.example/"});
        let answer = shared.engine.api("POST", "/v1/links", Some(&body));
        eprintln!("slug {slug:?}: {}", answer.status);
        names(&answer, "slug");
    }
}

#[test]
fn destinations_are_http_and_canonical() {
    let shared = shared();
    let post = |to: &str| shared.engine.api("POST", "/v1/links", Some(&json!({"destination": to})));
    for bad in [
        "",
        "ftp://a.example/",
        "javascript:alert(1)",
        "data:text/html,x",
        "//a.example/",
        "/path",
        "https://",
        "https://a b/",
        "https://a.example/\r\nset-cookie: x=1",
        "https://user:pw@a.example/",
        "https://a.example/{nope}",
        "https:///\\evil.example",
    ] {
        eprintln!("{bad:?}");
        names(&post(bad), "destination");
    }
    for (given, kept) in [
        ("HTTP://EXAMPLE.com:80/a/../b?x=1#y", "http://example.com/b?x=1#y"),
        ("https://münchen.example/ä", "https://xn--mnchen-3ya.example/%C3%A4"),
        ("https://a.example?q=1", "https://a.example/?q=1"),
    ] {
        let answer = post(given);
        assert_eq!((answer.status, answer.json()["destination"].as_str()), (201, Some(kept)), "{given}");
    }
}

#[test]
fn a_change_changes_what_it_names_at_once() {
    let shared = shared();
    let (slug, id) = shared.link(json!({"title": "old", "tags": ["a"]}));
    let path = format!("/v1/links/{id}");
    let change = json!({"destination": "https://new.example/", "title": "new", "status_code": 307});
    let changed = shared.engine.call("PATCH", &path, Some(&change), 200);
    assert_eq!((&changed["title"], &changed["tags"]), (&json!("new"), &json!(["a"])));
    let visit = shared.visit(&format!("/{slug}"), &[]);
    assert_eq!(visit.status, 307);
    assert!(visit.header("location").is_some_and(|to| to.starts_with("https://new.example/")));
    let cleared = shared.engine.call("PATCH", &path, Some(&json!({"title": null})), 200);
    assert_eq!(cleared["title"], json!(null));
    shared.engine.call("PATCH", &path, Some(&json!({"enabled": false})), 200);
    assert_eq!(shared.visit(&format!("/{slug}"), &[]).status, 410);
    let renamed = fresh("renamed");
    let body = json!({"slug": renamed, "enabled": true});
    let answer = shared.engine.call("PATCH", &path, Some(&body), 200);
    assert!(text_of(&answer["short_url"]).ends_with(&renamed));
    assert_eq!(shared.visit(&format!("/{slug}"), &[]).status, 404);
    assert_eq!(shared.visit(&format!("/{renamed}"), &[]).status, 307);
    refused(&shared.engine.api("PATCH", "/v1/links/lnk_0000000000000", Some(&body)), 404, "not_found");
}

#[test]
fn clicks_of_a_link_are_counted_exactly() {
    let shared = shared();
    let (slug, id) = shared.link(json!({}));
    let path = format!("/v1/links/{id}");
    for n in 1..=3 {
        shared.token(&slug);
        assert_eq!(shared.get(&path)["clicks"], n);
    }
    shared.visit_as("HEAD", &format!("/{slug}"), &[]);
    shared.visit(&format!("/{slug}"), &[("user-agent", "Googlebot/2.1 (+http://www.google.com/bot.html)")]);
    assert_eq!(shared.get(&path)["clicks"], 3);
    let changed = shared.engine.call("PATCH", &path, Some(&json!({"title": "x"})), 200);
    assert_eq!(changed["clicks"], 3, "the answer to a change says it too");
    let listed = shared.get(&format!("/v1/links?search={slug}"));
    assert_eq!((&listed["data"][0]["id"], &listed["data"][0]["clicks"]), (&json!(id), &json!(3)));
}

#[test]
fn many_links_at_once_each_with_its_result() {
    let shared = shared();
    let (taken, _) = shared.link(json!({}));
    let (first, second) = (fresh("bulk"), fresh("bulk"));
    let good = "https://shop.example/";
    let items = json!([{"slug": first, "destination": good}, {"destination": "nope"},
        {"slug": taken, "destination": good}, {"slug": second, "destination": good, "nope": 1}, 7,
        {"slug": second, "destination": good}]);
    for body in [json!({"links": items}), items.clone()] {
        let answer = shared.post("/v1/links/bulk", body, 200);
        let results = answer["data"].as_array().expect("results");
        let statuses: Vec<u64> = results.iter().filter_map(|result| result["status"].as_u64()).collect();
        if statuses[0] == 201 {
            assert_eq!(statuses, [201, 422, 409, 422, 422, 201], "{answer}");
            assert_eq!(results[0]["link"]["slug"], json!(first));
            assert!(text_of(&results[2]["error"]["type"]).ends_with("/slug_taken"));
            assert_eq!(results[1]["error"]["errors"][0]["field"], "destination");
        } else {
            assert_eq!(statuses, [409, 422, 409, 422, 422, 409], "the second time they are all taken");
        }
    }
    assert_eq!(shared.visit(&format!("/{second}"), &[]).status, 302);
    let thousand: Vec<Value> = (0..1_000).map(|_| json!({"destination": good})).collect();
    let answer = shared.post("/v1/links/bulk", json!({"links": thousand}), 200);
    let made = answer["data"].as_array().expect("results");
    assert_eq!(made.iter().filter(|result| result["status"] == 201).count(), 1_000);
    let more: Vec<Value> = (0..1_001).map(|_| json!({"destination": good})).collect();
    names(&shared.engine.api("POST", "/v1/links/bulk", Some(&json!({"links": more}))), "links");
    names(&shared.engine.api("POST", "/v1/links/bulk", Some(&json!({"links": []}))), "links");
}

#[test]
fn many_links_are_changed_and_deleted_each_with_its_result() {
    let shared = shared();
    let tag = fresh("many");
    let (slugs, ids): (Vec<String>, Vec<String>) =
        (0..3).map(|_| shared.link(json!({"tags": [tag]}))).unzip();
    let statuses = |answer: &Value| -> Vec<u64> {
        let results = answer["data"].as_array().expect("results");
        results.iter().filter_map(|result| result["status"].as_u64()).collect()
    };
    let bulk = |method: &str, body: Value| shared.engine.call(method, "/v1/links/bulk", Some(&body), 200);
    let each = json!({"links": [{"id": ids[0], "title": "first"}, {"id": ids[1], "status_code": 200},
        {"id": "lnk_0000000000000", "title": "x"}, {"title": "x"}, {"id": ids[2], "slug": slugs[0]}, 7]});
    let answer = bulk("PATCH", each);
    assert_eq!(statuses(&answer), [200, 422, 404, 422, 409, 422], "{answer}");
    assert_eq!(
        (&answer["data"][0]["link"]["title"], &answer["data"][1]["id"]),
        (&json!("first"), &json!(ids[1]))
    );
    assert_eq!(answer["data"][1]["error"]["errors"][0]["field"], "status_code");

    let answer = bulk("PATCH", json!({"ids": ids, "patch": {"archived": true, "notes": "old"}}));
    assert_eq!(statuses(&answer), [200, 200, 200]);
    let listed =
        |query: &str| shared.get(&format!("/v1/links?tag={tag}{query}"))["data"].as_array().map(Vec::len);
    assert_eq!([listed(""), listed("&archived=true"), listed("&archived=all")], [Some(0), Some(3), Some(3)]);
    assert_eq!(shared.visit(&format!("/{}", slugs[0]), &[]).status, 302, "an archived link redirects");
    names(&shared.engine.api("GET", "/v1/links?archived=maybe", None), "archived");

    let answer = bulk("DELETE", json!({"ids": [ids[0], "lnk_0000000000000", ids[1], 7]}));
    assert_eq!(statuses(&answer), [204, 404, 204, 422], "{answer}");
    assert_eq!(listed("&archived=all"), Some(1));
    for (method, body, field) in [
        ("PATCH", json!({"ids": ids, "patch": 7}), "patch"),
        ("PATCH", json!({"links": []}), "links"),
        ("DELETE", json!({"links": ids}), "links"),
        ("DELETE", json!({"ids": vec!["lnk_1"; 1_001]}), "ids"),
    ] {
        names(&shared.engine.api(method, "/v1/links/bulk", Some(&body)), field);
    }
}

#[test]
fn a_table_of_links_comes_in_and_goes_out() {
    let shared = shared();
    let (first, second, tag) = (fresh("sheet"), fresh("sheet"), fresh("sheettag"));
    let import = |table: &str| {
        shared.with_headers("POST", "/v1/links/import", &[("content-type", "text/csv")], table.as_bytes())
    };
    let table = format!(
        "Destination,Slug,Tags,Title,max_clicks,utm_source\r\n\
         https://a.example/,{first},\"{tag},other\",\"two\nlines, \"\"quoted\"\"\",5,news\n\
         nonsense,,{tag},,,\n\
         https://b.example/,{second},{tag},'=1+1,,\n\
         https://c.example/,{first},{tag},,,\n\
         https://d.example/,,{tag},,many,\n"
    );
    let answer = import(&table);
    assert_eq!(answer.status, 200, "{}", answer.text());
    let answer = answer.json();
    let results = answer["data"].as_array().expect("results");
    let told: Vec<(u64, u64)> =
        results.iter().filter_map(|r| Some((r["line"].as_u64()?, r["status"].as_u64()?))).collect();
    assert!(
        told == [(2, 201), (4, 422), (5, 201), (6, 409), (7, 422)]
            || told == [(2, 409), (4, 422), (5, 201), (6, 201), (7, 422)],
        "of two rows that want one slug, one has it: {answer}"
    );
    assert_eq!(results[1]["error"]["errors"][0]["field"], "destination");
    assert_eq!(results[4]["error"]["errors"][0]["field"], "max_clicks");

    let out = shared.with_headers("GET", &format!("/v1/links/export?tag={tag}"), &[], b"");
    assert_eq!((out.status, out.header("content-type")), (200, Some("text/csv; charset=utf-8")));
    let text = out.text();
    assert_eq!(text.matches("https://").count(), 2, "{text}");
    assert!(text.contains(&format!(",{second},")) && text.contains("'=1+1"), "{text}");
    // What went out comes in again once the slugs are free.
    let ids: Vec<String> = shared.get(&format!("/v1/links?tag={tag}"))["data"]
        .as_array()
        .expect("data")
        .iter()
        .map(|link| text_of(&link["id"]))
        .collect();
    shared.engine.call("DELETE", "/v1/links/bulk", Some(&json!({"ids": ids})), 200);
    let again = import(&text).json();
    let statuses: Vec<u64> =
        again["data"].as_array().expect("results").iter().filter_map(|r| r["status"].as_u64()).collect();
    assert_eq!(statuses, [201, 201], "{again}");
    let listed = shared.get(&format!("/v1/links?tag={tag}&search={second}"));
    assert_eq!(listed["data"][0]["title"], "=1+1");

    let tags = shared.get("/v1/tags");
    let count = |tag: &str| {
        let tags = tags["data"].as_array().expect("tags");
        tags.iter().find(|entry| entry["tag"] == tag).and_then(|entry| entry["links"].as_u64())
    };
    assert_eq!(count(&tag), Some(2), "{tags}");
    for (table, field) in
        [("a,b\n1,2", "a"), ("destination\n", "body"), ("", "destination"), ("destination\n\"x", "body")]
    {
        names(&import(table), field);
    }
    let json =
        shared.with_headers("POST", "/v1/links/import", &[("content-type", "application/json")], b"{}");
    assert_eq!(json.status, 415);
}

#[test]
fn lists_are_pages_newest_first() {
    let shared = shared();
    let tag = fresh("tag");
    let ids: Vec<String> =
        (0..5).map(|n| shared.link(json!({"tags": [tag], "title": format!("T{n}")})).1).collect();
    let (mut seen, mut cursor) = (Vec::new(), String::new());
    loop {
        let page = shared.get(&format!("/v1/links?tag={tag}&limit=2{cursor}"));
        let data = page["data"].as_array().expect("data");
        assert!(data.len() <= 2);
        seen.extend(data.iter().map(|link| text_of(&link["id"])));
        match page["next_cursor"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => break,
        }
    }
    assert_eq!(seen, ids.iter().rev().cloned().collect::<Vec<_>>());
    let all = shared.get(&format!("/v1/links?tag={tag}"));
    assert_eq!((all["data"].as_array().map(Vec::len), &all["next_cursor"]), (Some(5), &json!(null)));
    let none = shared.get(&format!("/v1/links?tag={tag}-none"));
    assert_eq!(none, json!({"data": [], "next_cursor": null}));
    for (query, field) in [("limit=0", "limit"), ("limit=x", "limit"), ("cursor=%21", "cursor")] {
        names(&shared.engine.api("GET", &format!("/v1/links?{query}"), None), field);
    }
}

#[test]
fn a_link_as_a_qr_code() {
    let shared = shared();
    let (_, id) = shared.link(json!({}));
    let svg = shared.engine.api("GET", &format!("/v1/links/{id}/qr?format=svg"), None);
    assert_eq!((svg.status, svg.header("content-type")), (200, Some("image/svg+xml")));
    assert!(svg.text().contains("<svg"));
    let png = shared.engine.api("GET", &format!("/v1/links/{id}/qr?format=png"), None);
    assert_eq!((png.status, png.header("content-type")), (200, Some("image/png")));
    assert_eq!(&png.body[..8], b"\x89PNG\r\n\x1a\n");
    let default = shared.engine.api("GET", &format!("/v1/links/{id}/qr"), None);
    assert_eq!(default.header("content-type"), Some("image/svg+xml"));
    names(&shared.engine.api("GET", &format!("/v1/links/{id}/qr?format=gif"), None), "format");
    refused(&shared.engine.api("GET", "/v1/links/lnk_0000000000000/qr", None), 404, "not_found");
}
