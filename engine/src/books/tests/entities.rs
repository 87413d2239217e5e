use weir_schemas::fact::Role;
use weir_schemas::ids::{FulfilmentId, KeyId};

use super::*;

fn link(slug: Option<&str>, domain: Option<&str>, spare: &[&str]) -> What {
    let spec = json!({"slug": slug, "domain": domain, "destination": "https://shop.example/"});
    What::LinkCreated {
        id: LinkId(100),
        spec: serde_json::from_value(spec).unwrap(),
        spare_slugs: spare.iter().map(|slug| (*slug).to_owned()).collect(),
    }
}

fn id_of<T: std::str::FromStr>(outcome: &Outcome) -> T
where
    T::Err: std::fmt::Debug,
{
    outcome.body["id"].as_str().unwrap().parse().unwrap()
}

#[test]
fn a_slug_is_unique_on_its_host_and_free_after_deletion() {
    let mut bench = bench();
    let first = bench.apply(link(Some("a"), None, &[]));
    assert_eq!((first.status, &first.body["slug"]), (201, &json!("a")));
    let taken = bench.apply(link(Some("a"), None, &[]));
    assert_eq!((taken.status, code(&taken).as_str()), (409, "slug_taken"));
    assert_eq!(bench.apply(link(Some("a"), Some("go.example"), &[])).status, 201);
    let drawn = bench.apply(link(Some("a"), None, &["a", "b", "c"]));
    assert_eq!(drawn.body["slug"], "b");
    let deleted = bench.apply(What::LinkDeleted { id: id_of(&first) });
    assert_eq!((deleted.status, deleted.body.text()), (204, "null"));
    assert_eq!(bench.apply(What::LinkDeleted { id: id_of(&first) }).status, 404);
    assert_eq!(bench.apply(link(Some("a"), None, &[])).status, 201);
    bench.verify();
}

#[test]
fn a_patch_replaces_its_keys_only() {
    let mut bench = bench();
    let first: LinkId = id_of(&bench.apply(link(Some("a"), None, &[])));
    bench.apply(link(Some("b"), None, &[]));
    let patch = |value: Value| value.as_object().unwrap().clone();
    let renamed = bench.apply(What::LinkUpdated { id: first, patch: patch(json!({"slug": "b"})) });
    assert_eq!(code(&renamed), "slug_taken");
    let changed = patch(json!({"title": "T", "slug": null, "tags": ["x"]}));
    let changed = bench.apply(What::LinkUpdated { id: first, patch: changed });
    assert_eq!(changed.status, 200);
    assert_eq!((&changed.body["slug"], &changed.body["title"]), (&json!("a"), &json!("T")));
    assert_ne!(changed.body["updated_at"], changed.body["created_at"]);
    let unknown = bench.apply(What::LinkUpdated { id: LinkId(1), patch: patch(json!({})) });
    assert_eq!(unknown.status, 404);
    bench.verify();
}

#[test]
fn an_idempotency_key_is_answered_once() {
    let mut bench = bench();
    let first = bench.with_key("k", "f").apply(link(Some("a"), None, &[]));
    let again = bench.with_key("k", "f").apply(link(Some("a"), None, &[]));
    assert_eq!((first.replayed, again.replayed), (false, true));
    assert_eq!((again.status, again.body), (first.status, first.body));
    let other = bench.with_key("k", "g").apply(link(Some("z"), None, &[]));
    assert_eq!(code(&other), "idempotency_key_reused");
    let refused = bench.with_key("l", "f").apply(link(Some("a"), None, &[]));
    let again = bench.with_key("l", "f").apply(link(Some("a"), None, &[]));
    assert_eq!((refused.status, again.status, again.replayed), (409, 409, true));
    bench.verify();
}

#[test]
fn keys_and_endpoints_come_and_go() {
    let mut bench = bench();
    let key = |hash: &str| What::KeyCreated {
        id: KeyId(5),
        name: "n".into(),
        role: Role::Viewer,
        partner: None,
        secret_sha256: hash.into(),
        hint: "weir_a".into(),
    };
    let made = bench.apply(key("h1"));
    assert_eq!((made.status, &made.body["role"]), (201, &json!("viewer")));
    assert_eq!(code(&bench.apply(key("h1"))), "key_exists");
    let other = bench.apply(key("h2"));
    assert_ne!(other.body["id"], made.body["id"], "an id that is taken is stepped over");
    assert_eq!(bench.apply(What::KeyRevoked { id: id_of(&made) }).status, 204);
    assert_eq!(bench.apply(What::KeyRevoked { id: id_of(&made) }).status, 404);
    assert_eq!(bench.apply(What::EndpointDeleted { id: ENDPOINT }).status, 204);
    let late = bench.deliver("e1", Vec::new());
    assert_eq!((late.status, &late.body["outcome"]), (200, &json!("ignored")));
    bench.verify();
}

#[test]
fn a_batch_given_again_and_a_broken_entry_change_nothing() {
    let mut bench = bench();
    bench.apply(link(Some("a"), None, &[]));
    let digest = bench.store.digest().unwrap();
    let outcomes = bench.store.apply_batch(&bench.facts.clone()).unwrap();
    assert!(outcomes.iter().all(Option::is_none));
    assert_eq!(bench.store.digest().unwrap(), digest);
    assert_eq!(bench.store.apply_batch(&[(1_000, Err("not JSON".into()))]).unwrap(), [None]);
    assert_eq!(bench.store.applied_seq().unwrap(), 1_000);
    assert_eq!(bench.store.check().unwrap().len(), 1);
}

#[test]
fn a_sale_mints_a_link_where_a_fulfilment_fits_it() {
    let mut bench = bench();
    let spec = json!({"destination": "https://files.example/book.pdf", "product": "book", "expires_days": 7,
        "max_uses": 5});
    let spec = serde_json::from_value(spec).unwrap();
    bench.apply(What::FulfilmentCreated { id: FulfilmentId(3), spec, key: "key".into() });
    let mut minted = |order: &str, event: &str, product: &str| {
        let mut body = sale(order, 100);
        (body["event"], body["properties"]) = (json!(event), json!({"product": product}));
        let at = Timestamp(NOON + bench.later + bench.facts.len() as i64 * 3 + 1);
        assert_eq!(bench.convert(body, ClickClaim::None).status, 201);
        let mut statement = bench
            .store
            .connection()
            .prepare("SELECT spec ->> '$.max_clicks', spec ->> '$.expires_at' FROM links ORDER BY id")
            .unwrap();
        let rows = statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?))).unwrap();
        let links: Vec<(i64, String)> = rows.map(Result::unwrap).collect();
        (links, Timestamp(at.0 + 7 * DAY_MS).to_string())
    };
    assert_eq!(minted("A-1", "sale", "mug").0, []);
    assert_eq!(minted("A-2", "renewal", "book").0, []);
    let (links, until) = minted("A-3", "sale", "book");
    assert_eq!(links, [(5, until)]);
    bench.verify();
}
