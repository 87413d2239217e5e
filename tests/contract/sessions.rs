//! People at the dashboard: a sign-in link that works once, a cookie that a foreign page cannot use.

use serde_json::json;

use super::engine::ADMIN_KEY;
use super::engine::http::Answer;
use super::{ask, own, refused};

fn session_cookie(answer: &Answer) -> String {
    let cookie = answer.header_all("set-cookie").find(|cookie| cookie.starts_with("weir_session="));
    let cookie = cookie.expect("a session").to_owned();
    for flag in ["HttpOnly", "SameSite=Strict", "Path=/"] {
        assert!(cookie.contains(flag), "{flag}: {cookie}");
    }
    cookie.split(';').next().expect("a pair").to_owned()
}

#[test]
fn signing_in_and_out() {
    let shared = own(|settings| settings);
    let admin = shared.engine.admin;
    let log = shared.engine.log();
    let link = log.split_whitespace().find(|word| word.contains("/sign-in?token=")).expect("a sign-in link");
    let path = &link[link.find("/sign-in").expect("a path")..];
    let signed_in = ask(admin, "GET", path, &[], b"");
    assert!(matches!(signed_in.status, 302 | 303), "{}", signed_in.status);
    assert_eq!(signed_in.header("location"), Some("/"));
    let cookie = session_cookie(&signed_in);
    let again = ask(admin, "GET", path, &[], b"");
    assert!(!again.header_all("set-cookie").any(|cookie| cookie.starts_with("weir_session=")), "once");

    let with = |method: &str, path: &str, headers: &[(&str, &str)], body: &str| {
        let mut all = vec![("cookie", cookie.as_str()), ("content-type", "application/json")];
        all.extend_from_slice(headers);
        ask(admin, method, path, &all, body.as_bytes())
    };
    let ours = [("x-weir-session", "1")];
    let who = with("GET", "/v1/session", &ours, "");
    assert_eq!((who.status, &who.json()["role"]), (200, &json!("admin")), "{}", who.text());
    refused(&with("GET", "/v1/session", &[], ""), 401, "unauthenticated");
    let body = r#"{"destination":"https://a.example/"}"#;
    refused(&with("POST", "/v1/links", &[], body), 401, "unauthenticated");
    assert_eq!(with("POST", "/v1/links", &ours, body).status, 201);
    assert_eq!(with("POST", "/v1/live/tickets", &ours, "").status, 201);

    let out = with("DELETE", "/v1/session", &ours, "");
    assert_eq!(out.status, 204);
    assert!(session_cookie(&out).eq("weir_session="), "the cookie is taken away");
    refused(&with("GET", "/v1/session", &ours, ""), 401, "unauthenticated");
}

#[test]
fn signing_in_with_a_key() {
    let shared = own(|settings| settings);
    let admin = shared.engine.admin;
    let json_kind = [("content-type", "application/json")];
    let post =
        |key: &str| ask(admin, "POST", "/v1/session", &json_kind, json!({"key": key}).to_string().as_bytes());
    let begun = post(ADMIN_KEY);
    assert_eq!(begun.status, 204);
    let cookie = session_cookie(&begun);
    refused(&post("weir_nobodys_key_0123456789abcdefghijkl"), 401, "unauthenticated");
    let headers = [("cookie", cookie.as_str()), ("x-weir-session", "1")];
    assert_eq!(ask(admin, "GET", "/v1/links", &headers, b"").status, 200);
    let mut forged = cookie.clone();
    forged.pop();
    forged.push(if cookie.ends_with('A') { 'B' } else { 'A' });
    let headers = [("cookie", forged.as_str()), ("x-weir-session", "1")];
    refused(&ask(admin, "GET", "/v1/links", &headers, b""), 401, "unauthenticated");
    let secret = shared.post("/v1/keys", json!({"name": "shop", "role": "ingest"}), 201)["key"].clone();
    refused(&post(secret.as_str().expect("a key")), 403, "forbidden");
    // A session ends with its key.
    let made = shared.post("/v1/keys", json!({"name": "ann", "role": "editor"}), 201);
    let cookie = session_cookie(&post(made["key"].as_str().expect("a key")));
    let headers = [("cookie", cookie.as_str()), ("x-weir-session", "1")];
    assert_eq!(ask(admin, "GET", "/v1/links", &headers, b"").status, 200);
    shared.engine.call("DELETE", &format!("/v1/keys/{}", made["id"].as_str().expect("an id")), None, 204);
    refused(&ask(admin, "GET", "/v1/links", &headers, b""), 401, "unauthenticated");
}

#[test]
fn a_person_is_let_in_by_a_link_that_works_once() {
    let shared = own(|settings| settings);
    let admin = shared.engine.admin;
    let made = |role: &str| shared.post("/v1/keys", json!({"name": "Ada", "role": role}), 201);
    let ada = made("viewer");
    let path =
        |key: &serde_json::Value| format!("/v1/keys/{}/sign-in-links", key["id"].as_str().expect("an id"));
    let link = shared.post(&path(&ada), json!({}), 201);
    assert_eq!(link["expires_in"], json!(3_600));
    let url = link["url"].as_str().expect("an address");
    let place = &url[url.find("/sign-in?token=").expect("a sign-in link")..];
    let cookie = session_cookie(&ask(admin, "GET", place, &[], b""));
    let headers = [("cookie", cookie.as_str()), ("x-weir-session", "1")];
    let who = ask(admin, "GET", "/v1/session", &headers, b"").json();
    assert_eq!((&who["role"], &who["key_name"]), (&json!("viewer"), &json!("Ada")));
    let again = ask(admin, "GET", place, &[], b"");
    assert!(!again.header_all("set-cookie").any(|cookie| cookie.starts_with("weir_session=")), "once");

    // It is its key: what may not see the dashboard gets none, and revoking ends both link and session.
    refused(&shared.engine.api("POST", &path(&made("ingest")), Some(&json!({}))), 403, "forbidden");
    let secret = ada["key"].as_str().expect("a secret");
    refused(&shared.as_key(secret, "POST", &path(&ada), Some(&json!({}))), 403, "forbidden");
    let late = shared.post(&path(&ada), json!({}), 201);
    let late = late["url"].as_str().expect("an address").to_owned();
    shared.engine.call("DELETE", &format!("/v1/keys/{}", ada["id"].as_str().expect("an id")), None, 204);
    refused(&ask(admin, "GET", "/v1/session", &headers, b""), 401, "unauthenticated");
    let refused_link = ask(admin, "GET", &late[late.find("/sign-in").expect("a path")..], &[], b"");
    assert!(
        !refused_link.header_all("set-cookie").any(|cookie| cookie.starts_with("weir_session=")),
        "revoked"
    );
    refused(&shared.engine.api("POST", &path(&ada), Some(&json!({}))), 404, "not_found");
}
