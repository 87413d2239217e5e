//! What a given visitor would meet, told without a visit.

use serde_json::json;

use super::{names, shared};

#[test]
fn a_preview_says_which_rule_takes_a_visitor_and_why() {
    let shared = shared();
    let (slug, id) = shared.link(json!({
        "rules": [
            {"if": {"country": ["AU"], "device": ["mobile"]}, "destination": "https://au.example/"},
            {"if": {"country": ["DE"]}, "destination": "https://de.example/"},
        ],
        "variants": [
            {"name": "a", "destination": "https://a.example/", "weight": 3},
            {"name": "b", "destination": "https://b.example/", "weight": 1},
        ],
    }));
    let preview = |visitor| shared.post(&format!("/v1/links/{id}/preview"), visitor, 200);
    let german =
        preview(json!({"address": "84.128.0.1", "user_agent": "Mozilla/5.0 (X11; Linux x86_64) Chrome/120"}));
    assert_eq!((&german["rule"], &german["destination"]), (&json!(2), &json!("https://de.example/")));
    assert_eq!(german["rules"][0]["holds"], false);
    assert_eq!(german["visitor"]["country"], "DE");
    let words = german["words"].as_array().expect("words");
    assert!(words.iter().any(|text| text == "Rule 1 does not hold: country, device."), "{german}");
    assert!(words.iter().any(|text| text == "Rule 2 holds: country."), "{german}");

    let elsewhere = preview(json!({"country": "fr"}));
    assert_eq!((&elsewhere["rule"], &elsewhere["destination"]), (&json!(null), &json!(null)));
    assert_eq!(
        (&elsewhere["variants"][0]["share"], &elsewhere["variants"][1]["share"]),
        (&json!(7500), &json!(2500))
    );
    let robot =
        preview(json!({"country": "DE", "user_agent": "Googlebot/2.1 (+http://www.google.com/bot.html)"}));
    assert_eq!((&robot["verdict"], &robot["rule"]), (&json!("bot"), &json!(2)));

    // The preview is what the redirect does.
    assert!(
        shared
            .visit(&format!("/{slug}"), &[("x-forwarded-for", "84.128.0.1")])
            .header("location")
            .is_some_and(|to| to.starts_with("https://de.example/"))
    );
    assert_eq!(shared.of_link(&id, &["hits"]), [json!(1)], "previews leave nothing behind");

    let (_, off) = shared.link(json!({"enabled": false, "fallback": "https://f.example/"}));
    let closed = shared.post(&format!("/v1/links/{off}/preview"), json!({}), 200);
    assert_eq!(
        (&closed["verdict"], &closed["destination"]),
        (&json!("disabled"), &json!("https://f.example/"))
    );
    let wrong = json!({"address": "nowhere"});
    names(&shared.engine.api("POST", &format!("/v1/links/{id}/preview"), Some(&wrong)), "address");
}
