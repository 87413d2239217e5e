//! Hits that are kept and not counted as clicks: bots, prefetches, HEAD, and slugs that nobody has.

use serde_json::{Value, json};

use super::{fresh, own, within_a_day};

const GOOGLEBOT: &str = "Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)";

#[test]
fn each_hit_is_counted_as_what_it_is() {
    within_a_day();
    let shared = own(|settings| settings);
    let (slug, id) = shared.link(json!({}));
    let path = format!("/{slug}");
    shared.visit(&path, &[]);
    shared.visit(&path, &[]);
    for agent in [GOOGLEBOT, "curl/8.5.0", "python-requests/2.31", ""] {
        let answer = shared.visit(&path, &[("user-agent", agent)]);
        assert_eq!(answer.status, 302, "a bot is sent on like everyone");
    }
    shared.visit_as("HEAD", &path, &[]);
    shared.visit(&path, &[("sec-purpose", "prefetch;prerender")]);
    shared.visit(&path, &[("purpose", "prefetch")]);
    let nowhere = fresh("nowhere");
    for _ in 0..3 {
        assert_eq!(shared.visit(&format!("/{nowhere}"), &[]).status, 404);
    }
    shared.visit_as("HEAD", &format!("/{nowhere}"), &[]);
    for path in ["/healthz", "/robots.txt", "/favicon.ico"] {
        shared.visit(path, &[]);
    }

    let one = |metrics: Value, filters: Value| {
        let query = json!({"metrics": metrics, "date_range": "today", "filters": filters});
        shared.engine.query(&query)["rows"][0].clone()
    };
    let metrics = json!(["clicks", "visitors", "bot_clicks", "orphan_clicks"]);
    let row = one(metrics.clone(), Value::Null);
    assert_eq!((&row[0], &row[1], &row[3]), (&json!(2), &json!(1), &json!(3)), "{row}");
    let bots = row[2].as_i64().expect("a number");
    assert!((3..=4).contains(&bots), "an absent user agent may or may not be a bot: {bots}");
    let filtered = one(json!(["clicks"]), json!(["is", "bot", [true]]));
    assert_eq!(filtered, json!([bots]), "filtered in, bots are clicks");
    assert_eq!(one(json!(["clicks"]), json!(["is", "bot", [true, false]])), json!([bots + 2]));
    assert_eq!(one(json!(["clicks"]), json!(["is_not", "bot", [true]])), json!([2]));
    let by_bot = |filters: Value| {
        let query = json!({"metrics": ["clicks"], "dimensions": ["bot"], "date_range": "today",
            "filters": filters, "order_by": [["bot", "asc"]]});
        shared.engine.query(&query)["rows"].clone()
    };
    assert_eq!(by_bot(Value::Null), json!([[false, 2]]), "a breakdown filters nothing in");
    assert_eq!(by_bot(json!(["is", "bot", [true, false]])), json!([[false, 2], [true, bots]]));
    assert_eq!(shared.get(&format!("/v1/links/{id}"))["clicks"], 2);

    let metrics = shared.engine.metrics();
    let of = |name: &str| metrics.get(name).copied().unwrap_or_default();
    let answered = 2.0 + 4.0 + 1.0 + 2.0 + 4.0;
    assert_eq!(of("weir_clicks_answered_total"), answered, "every hit is answered and kept");
    assert_eq!(
        of("weir_clicks_answered_total"),
        of("weir_clicks_accepted_total") + of("weir_clicks_dropped_total")
    );
    assert_eq!(
        of("weir_clicks_accepted_total"),
        of("weir_clicks_stored_total") + of("weir_clicks_waiting") + of("weir_clicks_dead_lettered_total")
    );
}
