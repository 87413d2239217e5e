//! Every list is `{"data", "next_cursor"}` and takes `limit` and `cursor`, short ones too.

use serde_json::{Value, json};

use super::engine::text_of;
use super::{ask, fresh, names, shared};

#[test]
fn short_lists_are_walked_page_by_page() {
    let shared = shared();
    // A workspace of its own: nobody else writes into its lists.
    let workspace = json!({"name": fresh("workspace"), "currency": "EUR", "timezone": "UTC"});
    let key = text_of(&shared.post("/v1/workspaces", workspace, 201)["key"]);
    let get = |path: &str| shared.as_key(&key, "GET", path, None);
    for (path, body) in [
        ("/v1/keys", json!({"name": "k", "role": "viewer"})),
        ("/v1/webhook-endpoints", json!({"provider": "stripe", "secrets": ["whsec_x"]})),
        ("/v1/sites", json!({"name": "Shop", "origins": ["https://shop.example"]})),
    ] {
        for _ in 0..3 {
            assert_eq!(shared.as_key(&key, "POST", path, Some(&body)).status, 201, "{path}");
        }
        let whole = get(path).json();
        assert_eq!(whole["next_cursor"], Value::Null, "{path}: all of it where no limit is given");
        let mut walked = Vec::new();
        let mut cursor = String::new();
        loop {
            let page = get(&format!("{path}?limit=2{cursor}")).json();
            let items = page["data"].as_array().expect("data");
            assert!((1..=2).contains(&items.len()), "{path}: {page}");
            walked.extend(items.iter().map(|item| item["id"].clone()));
            match page["next_cursor"].as_str() {
                Some(next) => cursor = format!("&cursor={next}"),
                None => break,
            }
        }
        let items = whole["data"].as_array().expect("data").iter();
        assert_eq!(walked, items.map(|item| item["id"].clone()).collect::<Vec<_>>(), "{path}");
        names(&get(&format!("{path}?limit=0")), "limit");
        names(&get(&format!("{path}?cursor=x")), "cursor");
    }
}

#[test]
fn a_parameter_that_a_call_does_not_take_is_refused() {
    let shared = shared();
    let get = |path: &str| shared.engine.api("GET", path, None);
    // A misspelt filter would list everything, and a misspelt dry run would be none.
    names(&get("/v1/links?tags=mail"), "tags");
    names(&get("/v1/links?tag=mail&Limit=5"), "Limit");
    names(&get("/v1/commissions?partner=ptn_0000000000000"), "partner");
    names(&get("/v1/keys?role=admin"), "role");
    let sale = b"event,order_id\nsale,never\n";
    let headers = [("content-type", "text/csv")];
    names(&shared.with_headers("POST", "/v1/conversions/import?dryrun=true", &headers, sale), "dryrun");
    assert_eq!(shared.get("/v1/conversions?order_id=never")["data"], json!([]), "nothing was done");
    let nobody = ask(shared.engine.admin, "GET", "/v1/links?tags=mail", &[], b"");
    assert_eq!(nobody.status, 401, "who shows no key is told that");
    // What the document names is taken, once or not at all, empty too.
    for path in
        ["/v1/links?", "/v1/links?tag=&domain=", "/v1/conversions?partner_id=", "/v1/payouts?status=paid"]
    {
        assert_eq!(get(path).status, 200, "{path}");
    }
}
