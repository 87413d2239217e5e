//! The public listener's operations: for visitors, their browsers and providers. No key is asked for; each
//! operation names the server it is on.

use serde_json::{Map, Value, json};

use super::{Operation, describe};

static OPERATIONS: &[Operation] = super::operations! {
    get "/{slug}" "Public listener" follow
        "Sends the visitor on: 302 (or the link's 301, 307, 308), its cookies, and a counted click. `+` behind the slug \
         shows where it leads instead. 404 unknown, 403 blocked, 410 expired, capped or disabled without a fallback"
        (None) -> 302 "";
    head "/{slug}" "Public listener" peek "The same answer, never a counted click" (None) -> 302 "";
    post "/{slug}" "Public listener" unlock "The password of a link that asks for one, as its form sends it"
        (Some("Form")) -> 302 "";
    post "/collect" "Public listener" collect
        "Events of `weir.js`: page views, clicks, custom events, one or a batch; `site` must be registered"
        (Some("Any")) -> 202 "";
    get "/i" "Public listener" pixel "An impression as a picture of one pixel" (None) -> 200 "",
        &[("site", "A registered site"), ("url", "The page"), ("referrer", "Where from"), ("wclid", "The click's token")];
    get "/weir.js" "Public listener" snippet "The browser's snippet" (None) -> 200 "";
    get "/postback" "Public listener" postback "A network tells of a transaction, by its own names where mapped"
        (None) -> 200 "Any", POSTBACK;
    post "/postback" "Public listener" postPostback "As GET; the parameters may also be a form" (Some("Form")) -> 200 "Any",
        POSTBACK;
    post "/hooks/{endpoint}" "Public listener" deliver
        "A provider's webhook: 2xx once durable, the same for a repeat. 400 malformed, 401 signature, 404, 413, 503"
        (Some("Any")) -> 200 "Any";
    get "/status" "Public listener" statusPage "Components, 30 days of uptime, latency, incidents, for people"
        (None) -> 200 "";
    get "/status.json" "Public listener" status "The same for programs" (None) -> 200 "Any";
};

const POSTBACK: &[(&str, &str)] = &[
    ("token", "The network's postback token"),
    ("click_id", "The click, or `wclid` its token"),
    ("wclid", "The click's token"),
    ("txid", "The transaction"),
    ("payout", "A decimal amount"),
    ("currency", "ISO 4217"),
    ("status", "`lead`, `sale`, `approved`, `rejected` or `refunded`"),
    ("event", "A name of its own"),
];

/// The paths, each on the server at `public_url`.
pub(super) fn paths(public_url: &str) -> Map<String, Value> {
    let mut paths = Map::new();
    for operation in OPERATIONS {
        let path = paths.entry(operation.path).or_insert_with(|| json!({}));
        let mut described = describe(operation);
        described["security"] = json!([]);
        described["servers"] = json!([{"url": public_url}]);
        path[operation.method] = described;
    }
    paths
}
