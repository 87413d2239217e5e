//! What the operator sees and does: workspaces, the audit log, the engine's health.

use serde_json::{Value, json};

use super::{ask, names, own, refused};

#[test]
fn workspaces_are_apart_and_the_first_ones_admin_makes_others() {
    let engine = own(|settings| settings);
    let mine = engine.get("/v1/workspace");
    assert_eq!((&mine["id"], &mine["name"]), (&json!(1), &json!("Weir")));
    for (body, field) in [
        (json!({"name": ""}), "name"),
        (json!({"name": "Shop", "timezone": "Mars/Base"}), "timezone"),
        (json!({"name": "Shop", "currency": "XX"}), "currency"),
        (json!({"name": "Shop", "owner": "me"}), "owner"),
    ] {
        names(&engine.engine.api("POST", "/v1/workspaces", Some(&body)), field);
    }
    let body = json!({"name": "Shop", "currency": "EUR", "timezone": "Europe/Berlin"});
    let made = engine.post("/v1/workspaces", body, 201);
    assert_eq!(
        (&made["id"], &made["currency"], &made["timezone"]),
        (&json!(2), &json!("EUR"), &json!("Europe/Berlin"))
    );
    let key = made["key"].as_str().unwrap().to_owned();

    // Its admin has a workspace of its own, and no part in the engine.
    let (_, id) = engine.link(json!({"destination": "https://fine.example/"}));
    let theirs = |method: &str, path: &str, body: Option<&Value>| engine.as_key(&key, method, path, body);
    assert_eq!(theirs("GET", "/v1/workspace", None).json()["name"], "Shop");
    assert_eq!(theirs("GET", "/v1/links", None).json()["data"], json!([]));
    assert_eq!(theirs("GET", &format!("/v1/links/{id}"), None).status, 404);
    assert_eq!(theirs("GET", "/v1/workspaces", None).json()["data"].as_array().map(Vec::len), Some(1));
    for (method, path, body) in [
        ("POST", "/v1/workspaces", Some(json!({"name": "Third"}))),
        ("GET", "/v1/admin/health", None),
        ("GET", "/v1/admin/dead-letters", None),
        ("POST", "/v1/admin/dead-letters/retry", Some(json!({}))),
    ] {
        refused(&theirs(method, path, body.as_ref()), 403, "forbidden");
    }
    // What its links bring is its own.
    let link = json!({"slug": "theirs", "destination": "https://shop.example/"});
    assert_eq!(theirs("POST", "/v1/links", Some(&link)).status, 201);
    assert_eq!(engine.visit("/theirs", &[]).status, 302);
    let count = json!({"metrics": ["clicks", "orphan_clicks"], "date_range": "7d"});
    assert_eq!(theirs("POST", "/v1/query", Some(&count)).json()["rows"], json!([[1, 0]]));
    assert_eq!(engine.post("/v1/query", count, 200)["rows"], json!([[0, 0]]));

    let renamed =
        theirs("PATCH", "/v1/workspace", Some(&json!({"name": "Store", "timezone": "Asia/Kolkata"})));
    assert_eq!((renamed.status, &renamed.json()["name"]), (200, &json!("Store")));
    let every = engine.get("/v1/workspaces");
    let seen: Vec<&Value> = every["data"].as_array().unwrap().iter().map(|one| &one["name"]).collect();
    assert_eq!(seen, [&json!("Weir"), &json!("Store")]);

    // Each sees what was changed in its own, by whom.
    let audit = theirs("GET", "/v1/admin/audit", None).json();
    let lines = audit["data"].as_array().unwrap();
    assert_eq!(lines.len(), 2, "{audit}");
    assert_eq!(
        (&lines[0]["action"], &lines[0]["fields"]),
        (&json!("workspace_updated"), &json!(["name", "timezone"]))
    );
    assert_eq!(lines[0]["actor_name"], "first key");
}

#[test]
fn the_audit_log_says_who_changed_what() {
    let engine = own(|settings| settings);
    let (slug, id) = engine.link(json!({"destination": "https://fine.example/"}));
    engine.engine.call("PATCH", &format!("/v1/links/{id}"), Some(&json!({"title": "A", "tags": ["x"]})), 200);
    let taken = json!({"slug": slug, "destination": "https://fine.example/"});
    refused(&engine.engine.api("POST", "/v1/links", Some(&taken)), 409, "slug_taken");
    engine.post("/v1/conversions", json!({"event": "lead", "customer_id": "ann@shop.example"}), 201);
    engine.engine.api("DELETE", "/v1/customers/ann@shop.example", None);

    let audit = engine.get("/v1/admin/audit");
    let told: Vec<(String, u64)> = audit["data"]
        .as_array()
        .unwrap()
        .iter()
        .map(|line| (line["action"].as_str().unwrap().to_owned(), line["status"].as_u64().unwrap()))
        .collect();
    let expected: Vec<(String, u64)> = [
        ("customer_erased", 204),
        ("link_created", 409),
        ("link_updated", 200),
        ("link_created", 201),
        ("key_created", 201),
        ("workspace_created", 201),
    ]
    .map(|(action, status)| (action.to_owned(), status))
    .into();
    assert_eq!(told, expected, "{audit}");
    assert!(!audit.to_string().contains("ann@shop"), "no person's name is kept here: {audit}");
    let changed = engine.get(&format!("/v1/admin/audit?subject={id}&action=link_updated"));
    assert_eq!(changed["data"][0]["fields"], json!(["tags", "title"]), "{changed}");
    let page = engine.get("/v1/admin/audit?limit=2");
    let rest = engine.get(&format!("/v1/admin/audit?cursor={}", page["next_cursor"].as_str().unwrap()));
    assert_eq!(rest["data"].as_array().map(Vec::len), Some(4));
}

#[test]
fn health_says_how_far_everything_is() {
    let engine = own(|settings| settings);
    let (slug, _) = engine.link(json!({"destination": "https://fine.example/"}));
    engine.visit(&format!("/{slug}"), &[]);
    assert_eq!(
        engine.post("/v1/query", json!({"metrics": ["hits"], "date_range": "7d"}), 200)["rows"],
        json!([[1]])
    );
    engine.as_key("weir_nobody", "GET", "/v1/links", None);
    let health = engine.get("/v1/admin/health");
    assert_eq!(
        (&health["journal"]["state"], &health["clicks"]["stored"]),
        (&json!("writing"), &json!(1)),
        "{health}"
    );
    let names: Vec<&Value> = health["followers"].as_array().unwrap().iter().map(|one| &one["name"]).collect();
    assert_eq!(names, [&json!("books"), &json!("warehouse"), &json!("live")]);
    assert_eq!(health["privacy"], json!({"cookies": true, "journal_hours": 48}));
    assert!(health["machine"]["resident_bytes"].as_u64() > Some(1 << 20), "{health}");
    assert!(health["machine"]["disk_free_bytes"].as_u64() > Some(0), "{health}");
}

#[test]
fn an_incident_in_the_operators_words_is_on_the_status_page_until_it_is_taken_off() {
    let engine = own(|settings| settings);
    let status = || ask(engine.engine.public, "GET", "/status.json", &[], b"").json();
    let page = || ask(engine.engine.public, "GET", "/status", &[], b"").text();
    for (body, field) in [
        (json!({"title": "", "text": "x"}), "title"),
        (json!({"title": "Slow", "text": " "}), "text"),
        (json!({"title": "Slow", "text": "x", "components": ["moon"]}), "components[0]"),
        (json!({"title": "Slow", "text": "x", "state": "over"}), "state"),
        (json!({"title": "Slow", "text": "x", "until": "noon"}), "until"),
    ] {
        names(&engine.engine.api("POST", "/v1/admin/incidents", Some(&body)), field);
    }
    assert_eq!(status()["notices"], json!([]));
    let body = json!({"title": "Queries are <slow>", "text": "We look at it.", "components": ["analytics"]});
    let made = engine.post("/v1/admin/incidents", body, 201);
    let id = made["id"].as_str().expect("an id").to_owned();
    assert_eq!((&made["state"], &status()["status"]), (&json!("investigating"), &json!("degraded")));
    assert!(page().contains("Queries are &lt;slow&gt;") && page().contains("Something is not working"));

    let path = format!("/v1/admin/incidents/{id}/updates");
    let told = engine.post(&path, json!({"state": "resolved", "text": "A disk was full."}), 200);
    assert_eq!(told["updates"].as_array().map(Vec::len), Some(2), "{told}");
    assert_eq!(
        (&told["updates"][0]["text"], &status()["status"]),
        (&json!("A disk was full."), &json!("operational"))
    );
    assert_eq!(engine.get("/v1/admin/incidents")["data"], json!([told]));
    assert!(page().contains("A disk was full."));
    let stranger = engine.post("/v1/keys", json!({"name": "v", "role": "viewer"}), 201)["key"].clone();
    let stranger = stranger.as_str().expect("a key");
    refused(&engine.as_key(stranger, "GET", "/v1/admin/incidents", None), 403, "forbidden");
    refused(&engine.as_key(stranger, "POST", &path, Some(&json!({"text": "x"}))), 403, "forbidden");
    let one = format!("/v1/admin/incidents/{id}");
    engine.engine.call("DELETE", &one, None, 204);
    refused(&engine.engine.api("DELETE", &one, None), 404, "not_found");
    assert!(!page().contains("A disk was full."));

    let audit = engine.get(&format!("/v1/admin/audit?subject={id}"));
    let lines: Vec<[&Value; 2]> =
        audit["data"].as_array().unwrap().iter().map(|line| [&line["action"], &line["actor_name"]]).collect();
    let by = json!("first key");
    let expected = ["incident_deleted", "incident_updated", "incident_created"].map(|action| json!(action));
    assert_eq!(lines, expected.each_ref().map(|action| [action, &by]), "{audit}");
    assert!(!audit.to_string().contains("slow"), "what was said stands on the status page alone: {audit}");
}
