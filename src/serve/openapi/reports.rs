//! The bodies of reports and exports: what all of them share, and each one's own.

use serde_json::{Map, Value, json};

use super::queries::{currency, date_range, field, filters, timezone};

/// Schemas by name.
pub(super) fn schemas() -> Map<String, Value> {
    let mut schemas = Map::new();
    schemas.insert("Report".to_owned(), answer());
    schemas.insert("Step".to_owned(), step());
    for (name, required, own) in BODIES {
        let of_amounts = !["Funnel", "Retention", "Heatmap", "Export"].contains(name);
        schemas.insert((*name).to_owned(), body(required, of_amounts, own()));
    }
    schemas
}

type Own = fn() -> Value;

const BODIES: &[(&str, &[&str], Own)] = &[
    ("Funnel", &["steps"], funnel),
    ("Retention", &[], retention),
    ("CohortRevenue", &[], cohort_revenue),
    ("Rfm", &[], rfm),
    ("Ltv", &[], || json!({"group_by": field()})),
    ("Subscriptions", &[], || json!({})),
    ("Attribution", &[], attribution),
    ("Paths", &[], paths),
    ("Experiment", &[], experiment),
    ("Heatmap", &[], heatmap),
    ("Anomalies", &[], anomalies),
    ("Export", &["rows"], export),
];

fn body(required: &[&str], of_amounts: bool, own: Value) -> Value {
    let mut properties = json!({
        "date_range": date_range(),
        "timezone": timezone(),
        "filters": filters(),
    });
    if let (Value::Object(all), Value::Object(own)) = (&mut properties, own) {
        all.extend(own);
    }
    if of_amounts {
        properties["currency"] = currency();
    }
    json!({"type": "object", "required": required, "additionalProperties": false, "properties": properties})
}

fn answer() -> Value {
    json!({
        "type": "object",
        "required": ["columns", "rows", "meta"],
        "additionalProperties": true,
        "properties": {
            "columns": {"type": "array", "items": {"type": "object"}},
            "rows": {"type": "array", "items": {"type": "array", "items": {}}},
            "meta": {"type": "object", "additionalProperties": true},
        },
    })
}

fn step() -> Value {
    json!({"oneOf": [
        {"type": "string", "description": "`click`, `pageview`, `element_click`, `conversion` or an event's name"},
        {"type": "object", "required": ["event"], "additionalProperties": false, "properties": {
            "event": {"type": "string"}, "name": {"type": "string"}, "filters": {"type": "array", "items": {}}}},
    ]})
}

fn span() -> Value {
    json!({"oneOf": [{"type": "integer", "minimum": 1, "description": "Seconds"},
        {"type": "string", "description": "`30m`, `24h`, `7d`"}]})
}

fn funnel() -> Value {
    json!({
        "steps": {"type": "array", "minItems": 2, "maxItems": 12, "items": {"$ref": "#/components/schemas/Step"}},
        "window": span(),
        "order": {"type": "string", "enum": ["ordered", "strict", "any"]},
        "breakdown": field(),
    })
}

fn retention() -> Value {
    json!({
        "start": {"$ref": "#/components/schemas/Step"},
        "return": {"$ref": "#/components/schemas/Step"},
        "period": {"type": "string", "enum": ["day", "week", "month"]},
        "periods": {"type": "integer", "minimum": 0, "maximum": 24},
        "cohort": {"type": "string", "enum": ["first", "any"]},
    })
}

fn conversion() -> Value {
    json!({"$ref": "#/components/schemas/Step"})
}

fn cohort_revenue() -> Value {
    json!({
        "period": {"type": "string", "enum": ["day", "week", "month"]},
        "periods": {"type": "integer", "minimum": 0, "maximum": 60},
        "group_by": field(),
    })
}

fn rfm() -> Value {
    json!({
        "rows": {"type": "string", "enum": ["segments", "scores", "customers"]},
        "limit": {"type": "integer", "minimum": 1, "maximum": 10_000},
    })
}

fn attribution() -> Value {
    let models = ["first", "last", "linear", "time_decay", "position", "markov", "shapley", "data_driven"];
    json!({
        "model": {"type": "string", "enum": models},
        "models": {"type": "array", "items": {"type": "string", "enum": models}},
        "dimension": field(),
        "window": span(),
        "half_life": span(),
        "conversion": conversion(),
    })
}

fn paths() -> Value {
    json!({
        "dimension": field(),
        "window": span(),
        "touches": {"type": "integer", "minimum": 1, "maximum": 20},
        "conversion": conversion(),
        "limit": {"type": "integer", "minimum": 1, "maximum": 10_000},
    })
}

fn experiment() -> Value {
    json!({
        "dimension": field(),
        "control": {"type": "string"},
        "weights": {"type": "object", "additionalProperties": {"type": "number", "exclusiveMinimum": 0}},
        "conversion": conversion(),
        "minimum_effect": {"type": "number", "description": "A relative change: 0.1 is ten percent"},
    })
}

fn heatmap() -> Value {
    json!({
        "kind": {"type": "string", "enum": ["geo", "page"]},
        "zoom": {"type": "integer", "minimum": 0, "maximum": 20},
        "max_cells": {"type": "integer", "minimum": 1, "maximum": 10_000},
        "path": {"type": "string"},
        "site": {"type": "string"},
        "columns": {"type": "integer", "minimum": 1, "maximum": 500},
        "cell_height": {"type": "integer", "minimum": 1, "maximum": 10_000},
    })
}

fn anomalies() -> Value {
    json!({
        "metric": {"type": "string", "description": "As of queries; `clicks` where absent"},
        "value_of": super::queries::value_of(),
        "weeks": {"type": "integer", "minimum": 4, "maximum": 26},
        "sensitivity": {"type": "number", "minimum": 1, "maximum": 100},
        "side": {"type": "string", "enum": ["both", "up", "down"]},
    })
}

fn export() -> Value {
    json!({
        "rows": {"type": "string", "enum": ["clicks", "events", "conversions"]},
        "limit": {"type": "integer", "minimum": 0},
        "after": {"type": "string", "description": "The `cursor` of the last row that arrived"},
        "as_of": {"type": "integer", "description": "The `Weir-As-Of` of the export to go on with"},
    })
}
