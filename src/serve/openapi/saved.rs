//! Saved queries, share links and alerts.

use serde_json::{Map, Value, json};

/// Schemas by name.
pub(super) fn schemas() -> Map<String, Value> {
    let mut schemas = Map::new();
    schemas.insert("SavedQuery".to_owned(), saved_query());
    schemas.insert("NewShare".to_owned(), new_share());
    schemas.insert("Share".to_owned(), share());
    schemas.insert("Shared".to_owned(), shared());
    schemas.insert("Alert".to_owned(), alert());
    schemas
}

fn text() -> Value {
    json!({"type": ["string", "null"]})
}

fn time() -> Value {
    json!({"type": "string", "format": "date-time"})
}

fn report() -> Value {
    let mut names: Vec<Value> =
        weir_engine::query::reports::AnyReport::NAMES.iter().map(|name| json!(name)).collect();
    names.extend([json!(weir_schemas::saved::OVERVIEW), Value::Null]);
    json!({"enum": names, "description": "What `query` is the body of; null: of a query"})
}

fn question() -> Map<String, Value> {
    let mut members = Map::new();
    members.insert("name".to_owned(), json!({"type": "string", "minLength": 1, "maxLength": 255}));
    members.insert("report".to_owned(), report());
    members.insert("query".to_owned(), json!({"type": "object", "additionalProperties": true,
        "description": "As `POST /v1/query` or `POST /v1/reports/…` take it; of an overview `date_range`, `timezone`, `filters`"}));
    members.insert("visualisation".to_owned(), json!({"type": ["string", "null"], "maxLength": 32}));
    members.insert(
        "partner_id".to_owned(),
        json!({"type": ["string", "null"],
        "description": "Only this partner's numbers; its keys see the thing itself, too"}),
    );
    members
}

fn object(members: Map<String, Value>, required: &[&str], closed: bool) -> Value {
    json!({"type": "object", "required": required, "additionalProperties": !closed, "properties": members})
}

fn saved_query() -> Value {
    let mut members = question();
    members.insert("description".to_owned(), text());
    members.insert("id".to_owned(), json!({"type": "string"}));
    members.insert("created_at".to_owned(), time());
    members.insert("updated_at".to_owned(), time());
    object(members, &["id", "name", "query", "created_at"], false)
}

fn alert() -> Value {
    let number = json!({"type": ["number", "null"]});
    let state = json!({"enum": ["ok", "firing", "no_data"]});
    json!({"allOf": [{"type": "object", "required": ["id", "name", "kind", "metric", "state", "since"],
    "properties": {
        "id": {"type": "string"}, "state": state, "since": time(), "value": number,
        "reference": {"type": ["number", "null"],
            "description": "What `value` was compared with: the threshold, the window before, the median"},
        "created_at": time(), "updated_at": time(),
        "history": {"type": "array", "items": {"type": "object", "properties": {
            "state": state, "at": time(), "value": number, "reference": number}}},
    }}]})
}

fn new_share() -> Value {
    let mut members = question();
    members.insert(
        "saved_query_id".to_owned(),
        json!({"type": ["string", "null"],
        "description": "Instead of `query` and `report`: a copy of a saved query"}),
    );
    members.insert(
        "expires_at".to_owned(),
        json!({"type": ["string", "null"], "format": "date-time",
        "description": "At most 366 days ahead; 30 where absent"}),
    );
    object(members, &[], true)
}

fn share() -> Value {
    let mut members = question();
    for name in ["id", "hint", "token", "url"] {
        members.insert(name.to_owned(), json!({"type": "string"}));
    }
    members.insert("saved_query_id".to_owned(), text());
    members.insert("expires_at".to_owned(), time());
    members.insert("created_at".to_owned(), time());
    members.insert("revoked_at".to_owned(), json!({"type": ["string", "null"], "format": "date-time"}));
    object(members, &["id", "name", "query", "hint", "expires_at", "created_at"], false)
}

fn shared() -> Value {
    let mut members = question();
    members.remove("partner_id");
    members.insert("expires_at".to_owned(), time());
    members.insert(
        "answer".to_owned(),
        json!({"type": "object", "additionalProperties": true,
        "description": "As of the query or report itself"}),
    );
    members.insert("panels".to_owned(), json!({"type": "array", "description":
        "Of an overview: `totals` (with `comparison`), `money` (by currency), `series`, `links`, `countries`, `referrers`, `devices`, `campaigns`",
        "items": {"type": "object", "properties": {"name": {"type": "string"},
            "answer": {"$ref": "#/components/schemas/Answer"}}}}));
    object(members, &["name", "query", "expires_at"], false)
}
