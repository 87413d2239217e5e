//! Links that tell repeats apart, end to end.

use serde_json::json;

use crate::engine::http::Answer;
use crate::engine::{BROWSER, Engine, Settings, text_of, token_of};
use crate::{counted, verdicts};

fn visit(engine: &Engine, cookie: &str) -> Answer {
    let headers = [("user-agent", BROWSER), ("cookie", cookie)];
    engine.visitor().send("GET", "/again", &headers, b"").unwrap()
}

#[test]
fn a_repeat_is_answered_with_the_first_clicks_token_and_not_counted() {
    let dir = tempfile::tempdir().unwrap();
    let settings = Settings::new(dir.path());
    let engine = settings.start();
    let spec = json!({"slug": "again", "destination": "https://shop.example/a", "dedupe_window_seconds": true,
        "max_clicks": 2, "variants": [
            {"name": "a", "destination": "https://shop.example/va", "weight": 1},
            {"name": "b", "destination": "https://shop.example/vb", "weight": 1}]});
    let made = engine.call("POST", "/v1/links", Some(&spec), 201);
    assert_eq!(made["dedupe_window_seconds"], 3_600);
    let id = text_of(&made["id"]);

    let first = visit(&engine, "wv=one");
    let token = token_of(&first);
    for headers in [vec![("user-agent", BROWSER), ("cookie", "wv=one"), ("purpose", "prefetch")], vec![]] {
        assert_eq!(engine.visitor().send("GET", "/again", &headers, b"").unwrap().status, 302);
    }
    let second = visit(&engine, "wv=two");
    assert_ne!(token_of(&second), token);
    // Used up, for all but those who come again.
    assert_eq!(visit(&engine, "wv=three").status, 410);
    let repeat = visit(&engine, "wv=one");
    assert_eq!((repeat.status, token_of(&repeat)), (302, token.clone()));
    assert_eq!(repeat.header("location"), first.header("location"), "the same variant under the same token");
    assert!(repeat.header_all("set-cookie").any(|line| line.starts_with(&format!("wclid={token};"))));

    // A restart finds them in the journal again, the variant too; without it the token in the cookie says it.
    engine.kill();
    let engine = settings.start();
    let repeat = visit(&engine, "wv=one; wclid=forged");
    assert_eq!((repeat.status, token_of(&repeat)), (302, token.clone()));
    assert_eq!(repeat.header("location"), first.header("location"));
    assert_eq!(token_of(&visit(&engine, "wv=two")), token_of(&second));
    assert_eq!(visit(&engine, "wv=three").status, 410);
    assert_eq!(token_of(&visit(&engine, &format!("wv=three; wclid={token}"))), token);

    // Sent elsewhere since its split has changed, a repeat keeps the token of what its first click was shown.
    let arm = |name: &str, weight: u32| json!({"name": name, "destination": format!("https://shop.example/v{name}"), "weight": weight});
    let variants = json!({"variants": [arm("a", 0), arm("b", 0), arm("c", 1)]});
    engine.call("PATCH", &format!("/v1/links/{id}"), Some(&variants), 200);
    let repeat = visit(&engine, "wv=one");
    assert!(repeat.header("location").is_some_and(|to| to.starts_with("https://shop.example/vc?")));
    assert_eq!(token_of(&repeat), token);

    let sale = json!({"event": "sale", "order_id": "A-1", "wclid": token,
        "amount": {"amount": 500, "currency": "EUR"}});
    let sale = engine.call("POST", "/v1/conversions", Some(&sale), 201);
    assert_eq!(sale["attribution"]["link_id"], json!(id), "{sale}");
    assert_eq!(counted(&engine, &id), 2);
    let expected = [("bot", 1), ("capped", 2), ("counted", 2), ("duplicate", 5), ("prefetch", 1)];
    let expected = expected.map(|(verdict, hits)| (verdict.to_owned(), hits));
    assert_eq!(verdicts(&engine, &id), expected.into());

    for (value, kept) in [(json!(60), json!(60)), (json!(false), json!(null)), (json!(null), json!(null))] {
        let patch = json!({"dedupe_window_seconds": value});
        let patched = engine.call("PATCH", &format!("/v1/links/{id}"), Some(&patch), 200);
        assert_eq!(patched["dedupe_window_seconds"], kept);
    }
    for bad in [json!(0), json!(-1), json!(2_592_001), json!("1h")] {
        let patch = json!({"dedupe_window_seconds": bad});
        let problem = engine.call("PATCH", &format!("/v1/links/{id}"), Some(&patch), 422);
        assert_eq!(problem["errors"][0]["field"], "dedupe_window_seconds", "{problem}");
    }
}
