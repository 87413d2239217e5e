//! A list is never taken for an object or a scalar, however deep it stands: every typed body of the OpenAPI document,
//! every place in it.

use std::collections::BTreeSet;

use serde_json::{Map, Value, json};

use super::engine::{ADMIN_KEY, BROWSER};
use super::live::Watching;
use super::{ask, own, shared};

/// How deep schemas are followed: those of filters and steps hold themselves.
const DEPTH: usize = 6;
/// What readers of ranges, times, filters, steps and repeats say.
const OWN_WORDS: [&str; 5] =
    ["is not a range", "is not a time", "a filter is", "a step is", "must be a number of seconds"];

/// A place in a body and what a derived reader would take for what belongs there: its members' values in their order.
struct Place {
    path: String,
    listed: Value,
}

struct Document(Value);

impl Document {
    fn resolved<'a>(&'a self, schema: &'a Value) -> &'a Value {
        match schema["$ref"].as_str() {
            Some(reference) => {
                let name = reference.rsplit('/').next().expect("a name");
                self.resolved(&self.0["components"]["schemas"][name])
            }
            None => schema,
        }
    }

    /// What a schema allows beside null.
    fn choices<'a>(&'a self, schema: &'a Value) -> Vec<&'a Value> {
        let schema = self.resolved(schema);
        let parts = ["oneOf", "anyOf", "allOf"].iter().find_map(|name| schema[name].as_array());
        match parts {
            Some(parts) => parts.iter().flat_map(|part| self.choices(part)).collect(),
            None if schema["type"] == "null" => Vec::new(),
            None => vec![schema],
        }
    }

    fn is(schema: &Value, kind: &str) -> bool {
        schema["type"] == kind
            || schema["type"].as_array().is_some_and(|kinds| kinds.iter().any(|one| one == kind))
    }

    fn may_be_a_list(&self, schema: &Value) -> bool {
        self.choices(schema).iter().any(|one| {
            let untyped =
                one.get("type").is_none() && one.get("enum").is_none() && one.get("properties").is_none();
            Self::is(one, "array") || untyped
        })
    }

    /// Something that fits.
    fn example(&self, schema: &Value, depth: usize) -> Value {
        let Some(schema) = self.choices(schema).first().copied() else { return Value::Null };
        if let Some(first) = schema["enum"].as_array().and_then(|values| values.first()) {
            return first.clone();
        }
        match schema["type"].as_array().map_or(&schema["type"], |kinds| &kinds[0]).as_str() {
            Some("integer" | "number") => json!(1),
            Some("boolean") => json!(true),
            Some("array") => json!([]),
            Some("object") if depth > 0 => {
                let members = schema["properties"].as_object().into_iter().flatten();
                members
                    .map(|(name, of)| (name.clone(), self.example(of, depth - 1)))
                    .collect::<Map<_, _>>()
                    .into()
            }
            _ => json!("EUR"),
        }
    }

    /// Every place below `path` where no list belongs, that of the schema itself included.
    fn places(&self, schema: &Value, path: &str, depth: usize, found: &mut Vec<Place>) {
        if depth == 0 {
            return;
        }
        if !self.may_be_a_list(schema) && !path.is_empty() {
            let members: Vec<Value> = match self.example(schema, 2) {
                Value::Object(members) => members.into_iter().map(|(_, value)| value).collect(),
                scalar => vec![scalar],
            };
            found.push(Place { path: path.to_owned(), listed: json!(members) });
        }
        for one in self.choices(schema) {
            for (name, of) in one["properties"].as_object().into_iter().flatten() {
                let at = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
                self.places(of, &at, depth - 1, found);
            }
            if Self::is(one, "array") && one["items"].is_object() && !path.is_empty() {
                self.places(&one["items"], &format!("{path}[0]"), depth - 1, found);
            }
        }
    }
}

/// `{"a": {"b": [x]}}` of `a.b[0]` and x.
fn body_with(path: &str, value: Value) -> Value {
    let (rest, value) = match path.rsplit_once(['.', '[']) {
        Some((rest, "0]")) => (rest, json!([value])),
        Some((rest, name)) => (rest, json!({ name: value })),
        None => return json!({ path: value }),
    };
    body_with(rest, value)
}

#[test]
fn no_list_is_an_object_or_a_scalar() {
    let shared = own(|settings| settings);
    let document = Document(shared.get("/openapi.json"));
    let mut asked = BTreeSet::new();
    let (mut wrong, mut count) = (Vec::new(), 0);
    for (path, item) in document.0["paths"].as_object().expect("paths") {
        for method in ["post", "put", "patch"] {
            let schema = &item[method]["requestBody"]["content"]["application/json"]["schema"];
            if !schema.is_object() || !path.starts_with("/v1/") {
                continue;
            }
            let mut places = Vec::new();
            document.places(schema, "", DEPTH, &mut places);
            let url = path.replace("{id}", "pbt_0000000000001");
            for Place { path: place, listed } in places {
                let mut body = body_with(&place, listed);
                if path.ends_with("/funnel") && !place.starts_with("steps") {
                    body["steps"] = json!(["click", "sale"]);
                }
                let body = body.to_string();
                let headers = [("content-type", "application/json")];
                let answer = shared.with_headers(&method.to_uppercase(), &url, &headers, body.as_bytes());
                let told = answer.json();
                let named = told["errors"][0]["field"].as_str().unwrap_or_default();
                let detail = told["errors"][0]["detail"].as_str().unwrap_or_default();
                // Ranges, filters, steps and the like have readers of their own, which say what the whole may be.
                let own = OWN_WORDS.iter().any(|words| detail.contains(words)) && place.starts_with(named);
                let exact = detail.starts_with("invalid type: sequence, expected ") && named == place;
                if answer.status != 422 || named.is_empty() || !(own || exact) {
                    wrong.push(format!("{method} {url} {body}: {} {}", answer.status, answer.text()));
                }
                count += 1;
                asked.insert(path.clone());
            }
        }
    }
    assert!(wrong.is_empty(), "{} of {count}:\n{}", wrong.len(), wrong.join("\n"));
    for path in ["/v1/links", "/v1/conversions", "/v1/refunds", "/v1/query", "/v1/programs", "/v1/alerts"] {
        assert!(asked.contains(path), "{path}: {asked:?}");
    }
    assert!(count > 200, "{count} places");
}

#[test]
fn nor_where_bodies_are_not_typed() {
    let shared = shared();
    let link = json!({"destination": "https://a.example/"});
    let money = json!([4_999, "EUR"]);
    let sale = json!({"event": "sale", "order_id": "never", "amount": money});
    let partner = json!({"name": "a", "payout_method": ["bank", {}]});
    for (path, body, field) in [
        ("/v1/conversions", sale, "amount"),
        ("/v1/partners", partner, "payout_method"),
        ("/v1/keys", json!({"name": "a", "role": {"viewer": null}}), "role.viewer"),
        ("/v1/keys", json!({"name": "a", "role": ["viewer"]}), "role"),
        ("/v1/admin/incidents", json!({"title": ["a"], "text": "b"}), "title"),
        ("/v1/reports/funnel", json!({"steps": ["click", [["sale"]]]}), "steps[1]"),
        ("/v1/reports/funnel", json!({"steps": ["click", {"event": ["sale"]}]}), "steps[1].event"),
    ] {
        let answer = shared.engine.api("POST", path, Some(&body));
        let told = answer.json();
        assert_eq!(
            (answer.status, &told["errors"][0]["field"]),
            (422, &json!(field)),
            "{path} {body}: {told}"
        );
    }
    let bulk = json!([link, {"destination": "https://a.example/", "utm": ["mail"]}, ["https://a.example/"]]);
    let told = shared.post("/v1/links/bulk", bulk, 200)["data"].clone();
    assert_eq!(
        (&told[0]["status"], &told[1]["status"], &told[2]["status"]),
        (&json!(201), &json!(422), &json!(422))
    );
    assert_eq!(told[1]["error"]["errors"][0]["field"], "utm", "{told}");
    assert_eq!(told[2]["error"]["errors"][0]["field"], "body", "{told}");

    // What pages send.
    let site = json!({"name": "shop", "origins": ["https://a.example"]});
    let site = shared.post("/v1/sites", site, 201)["id"].clone();
    let headers = [("origin", "https://a.example"), ("user-agent", BROWSER)];
    let page =
        |body: Value| ask(shared.engine.public, "POST", "/collect", &headers, body.to_string().as_bytes());
    for (body, field) in [
        (json!([[site, null, "pageview", null, "https://a.example/"]]), "events[0]"),
        (json!({"site": site, "events": [["pageview"]]}), "events[0]"),
        (json!({"site": site, "type": "pageview", "properties": ["a"]}), "properties"),
        (json!({"site": site, "url": ["https://a.example/"]}), "url"),
    ] {
        let answer = page(body.clone());
        let told = answer.json();
        assert_eq!((answer.status, &told["errors"][0]["field"]), (422, &json!(field)), "{body}: {told}");
    }

    // What watchers send.
    for frame in [
        json!({"type": "subscribe", "id": "a", "query": [["clicks"]]}),
        json!({"type": "subscribe", "id": "a", "query": {"metrics": ["clicks"], "include": [true]}}),
        json!({"type": "subscribe", "id": "a", "query": {"metrics": ["clicks"]}, "recover": ["e", 1]}),
        json!({"type": "events", "id": ["a"]}),
    ] {
        let mut watching = Watching::open(&shared);
        watching.send(json!({"type": "connect", "key": ADMIN_KEY}));
        watching.next("connected");
        watching.send(frame.clone());
        assert_eq!(watching.closed(), 4400, "{frame}");
    }
}
