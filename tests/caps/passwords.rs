//! Links with a password, end to end.

use serde_json::json;

use crate::engine::http::{Answer, Http};
use crate::engine::{BROWSER, Engine, Settings};
use crate::verdicts;

fn get(http: &mut Http, path: &str, cookie: &str) -> Answer {
    http.send("GET", path, &[("user-agent", BROWSER), ("cookie", cookie)], b"").unwrap()
}

fn post(http: &mut Http, path: &str, body: &str) -> Answer {
    let headers = [("user-agent", BROWSER), ("content-type", "application/x-www-form-urlencoded")];
    http.send("POST", path, &headers, body.as_bytes()).unwrap()
}

/// The cookie that spares the next form.
fn opened(answer: &Answer) -> String {
    let line = answer.header_all("set-cookie").find(|line| line.starts_with("wul=")).expect("a cookie");
    assert!(line.contains("; HttpOnly") && line.contains("; Path=/secret;"), "{line}");
    line.split(';').next().unwrap().to_owned()
}

/// Whether any file of the data folder holds the text.
fn written(engine: &Engine, text: &str) -> bool {
    fn look(folder: &std::path::Path, text: &[u8]) -> bool {
        std::fs::read_dir(folder).unwrap().any(|entry| {
            let path = entry.unwrap().path();
            if path.is_dir() {
                return path.file_name().is_some_and(|name| name != "clickhouse") && look(&path, text);
            }
            std::fs::read(&path).is_ok_and(|bytes| bytes.windows(text.len()).any(|part| part == text))
        })
    }
    look(&engine.data, text.as_bytes())
}

#[test]
fn a_password_is_asked_for_once_and_kept_by_nobody() {
    let dir = tempfile::tempdir().unwrap();
    let engine = Settings::new(dir.path()).start();
    const PASSWORD: &str = "öffne dich & schnell";
    const FORM: &str = "x=1&password=%C3%B6ffne+dich+%26+schnell";
    let spec = json!({"slug": "secret", "destination": "https://shop.example/a", "password": PASSWORD,
        "status_code": 308, "max_clicks": 2});
    let made = engine.call("POST", "/v1/links", Some(&spec), 201);
    assert_eq!(made["password"], true);
    let id = crate::engine::text_of(&made["id"]);
    let path = format!("/v1/links/{id}");
    assert_eq!(engine.call("GET", &path, None, 200)["password"], true);
    // A client that sends back what it was answered changes nothing.
    let patched = engine.call("PATCH", &path, Some(&json!({"password": true, "title": "t"})), 200);
    assert_eq!((&patched["password"], &patched["title"]), (&json!(true), &json!("t")));

    let mut http = engine.visitor();
    let asked = get(&mut http, "/secret?x=1", "");
    assert_eq!(asked.status, 200);
    assert!(asked.text().contains("name=\"password\"") && !asked.text().contains("<script"));
    assert!(asked.header("content-security-policy").unwrap().starts_with("default-src 'none'"));
    assert_eq!(asked.header("location"), None);
    for wrong in ["password=", "password=offne", "", "nonsense"] {
        let answer = post(&mut engine.visitor(), "/secret", wrong);
        assert_eq!((answer.status, answer.header("location")), (403, None), "{wrong}");
    }
    // The fifth attempt of this address is the right one; the click is counted, and the password goes no further.
    let right = post(&mut http, "/secret?x=1", FORM);
    assert_eq!(right.status, 303);
    let location = right.header("location").unwrap();
    assert!(location.starts_with("https://shop.example/a?x=1&wclid="), "{location}");
    let cookie = opened(&right);
    let too_many = post(&mut http, "/secret", FORM);
    assert_eq!(too_many.status, 429);
    assert!(too_many.header("retry-after").unwrap().parse::<u32>().unwrap() >= 1);
    // Not asked again, and nothing is kept by a cache although the link is permanent.
    let again = get(&mut http, "/secret", &cookie);
    assert_eq!((again.status, again.header("cache-control")), (308, Some("no-store")));
    // Used up: nobody is asked in vain.
    assert_eq!(get(&mut http, "/secret", "").status, 410);
    engine.call("PATCH", &path, Some(&json!({"max_clicks": null, "password": "another"})), 200);
    assert_eq!(get(&mut http, "/secret", &cookie).status, 200, "the password is a new one");
    engine.call("PATCH", &path, Some(&json!({"password": null})), 200);
    assert_eq!(get(&mut http, "/secret", "").status, 308);
    assert_eq!(post(&mut http, "/secret", FORM).status, 405);

    let expected = [("blocked", 1), ("capped", 1), ("counted", 3), ("password", 6)];
    let expected = expected.map(|(verdict, hits)| (verdict.to_owned(), hits));
    assert_eq!(verdicts(&engine, &id), expected.into());
    assert!(!written(&engine, PASSWORD) && !written(&engine, "password=%C3"));
    assert!(written(&engine, "argon2id"), "the look into the files finds what is there");
    let listed = engine.api("GET", "/v1/links", None).text();
    assert!(!listed.contains("argon2"), "{listed}");
    for bad in [json!(""), json!(7), json!("x".repeat(129)), json!("a\u{0}b")] {
        let body = json!({"destination": "https://shop.example/a", "password": bad});
        assert_eq!(engine.call("POST", "/v1/links", Some(&body), 422)["errors"][0]["field"], "password");
    }
}
