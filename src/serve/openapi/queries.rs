//! The body of queries, and what of it reports share: dimensions, ranges, filters.

use serde_json::{Map, Value, json};
use weir_schemas::query::{Dimension, Field, LIMIT_MAX, Metric, PROPERTY_NAME_MAX, Period, TimeBucket};

/// Schemas by name.
pub(super) fn schemas() -> Map<String, Value> {
    let mut schemas = Map::new();
    schemas.insert("Query".to_owned(), query());
    schemas.insert("Filter".to_owned(), filter());
    schemas
}

fn names(all: impl Iterator<Item = &'static str>) -> Value {
    json!(all.collect::<Vec<_>>())
}

fn property() -> Value {
    json!({"type": "string", "pattern": format!("^property:[A-Za-z0-9_]{{1,{PROPERTY_NAME_MAX}}}$")})
}

/// A dimension of whatever kind but time.
pub(super) fn field() -> Value {
    json!({"anyOf": [{"type": "string", "enum": names(Field::ALL.iter().map(|f| f.as_str()))}, property()],
        "description": "A dimension of queries, not of time"})
}

fn dimension() -> Value {
    let buckets = TimeBucket::ALL.iter().map(|bucket| bucket.as_str());
    let all = buckets.chain(Field::ALL.iter().map(|field| field.as_str()));
    json!({"anyOf": [{"type": "string", "enum": names(all)}, property()], "description": Dimension::names()})
}

/// A named range, or from and to.
pub(super) fn date_range() -> Value {
    let end = json!({"type": "string", "examples": ["2026-11-01", "2026-11-01T00:00:00Z"]});
    json!({"oneOf": [
        {"type": "string", "enum": names(Period::ALL.iter().map(|period| period.as_str()))},
        {"type": "array", "minItems": 2, "maxItems": 2, "items": end}]})
}

/// An IANA name.
pub(super) fn timezone() -> Value {
    json!({"type": "string", "description": "An IANA name", "examples": ["UTC", "Europe/Berlin", "Asia/Kolkata"]})
}

/// Which facts.
pub(super) fn filters() -> Value {
    json!({"$ref": "#/components/schemas/Filter"})
}

fn filter() -> Value {
    let value = json!({"type": ["string", "number", "boolean"]});
    let values = json!({"type": "array", "minItems": 1, "maxItems": 1_000, "items": value});
    let shape = |items: Value| {
        let count = items.as_array().map_or(0, Vec::len);
        json!({"type": "array", "prefixItems": items, "minItems": count, "maxItems": count})
    };
    let metric = json!({"enum": names(Metric::ALL.iter().map(|metric| metric.as_str()))});
    let number = json!({"type": "array", "minItems": 1, "maxItems": 1, "items": {"type": "number"}});
    let one = json!({"type": "array", "minItems": 1, "maxItems": 1, "items": value});
    let filters = json!({"type": "array", "minItems": 1, "items": {"$ref": "#/components/schemas/Filter"}});
    json!({
        "description": "[\"and\", [[\"is\",\"country\",[\"DE\"]], …]], at most 8 deep; a metric selects whole rows",
        "anyOf": [
            shape(json!([{"enum": ["is", "is_not", "contains", "matches"]}, field(), values])),
            shape(json!([{"enum": ["gt", "lt"]}, field(), one])),
            shape(json!([{"enum": ["gt", "lt"]}, metric, number])),
            shape(json!([{"enum": ["and", "or"]}, filters])),
            shape(json!([{"const": "not"}, {"$ref": "#/components/schemas/Filter"}])),
        ],
    })
}

/// What the metrics `value_…` measure.
pub(super) fn value_of() -> Value {
    let mut property = property();
    property["description"] =
        json!("The property that `value_…` measure; the events' own `value` where absent");
    property
}

/// What amounts are told in.
pub(super) fn currency() -> Value {
    json!({"type": "string", "description": "Amounts are converted into it by the table of exchange rates"})
}

fn query() -> Value {
    let flag = json!({"type": "boolean"});
    let compare = json!({"oneOf": [
        {"type": "string", "enum": ["previous_period", "year_over_year"]},
        {"type": "array", "minItems": 2, "maxItems": 2, "items": {"type": "string"}}]});
    json!({
        "type": "object",
        "required": ["metrics"],
        "additionalProperties": false,
        "properties": {
            "metrics": {"type": "array", "minItems": 1, "uniqueItems": true, "items": {
                "type": "string", "enum": names(Metric::ALL.iter().map(|metric| metric.as_str()))}},
            "date_range": date_range(),
            "timezone": timezone(),
            "dimensions": {"type": "array", "maxItems": 8, "uniqueItems": true, "items": dimension()},
            "filters": filters(),
            "order_by": {"type": "array", "items": {"type": "array", "minItems": 2, "maxItems": 2, "prefixItems": [
                {"type": "string", "description": "A metric or dimension of the query"},
                {"type": "string", "enum": ["asc", "desc"]}]}},
            "limit": {"type": "integer", "minimum": 1, "maximum": LIMIT_MAX},
            "offset": {"type": "integer", "minimum": 0, "maximum": 1_000_000},
            "currency": currency(),
            "value_of": value_of(),
            "include": {"type": "object", "additionalProperties": false, "properties": {
                "total": flag, "compare": compare, "match_weekday": flag, "zero_fill": flag, "other": flag}},
        },
        "examples": [
            {"metrics": ["clicks", "visitors", "conversions", "conversion_rate"], "date_range": "30d",
                "dimensions": ["time:day"], "include": {"total": true, "compare": "previous_period"}},
            {"metrics": ["clicks", "visitors", "latency_p99"], "date_range": "7d", "timezone": "Asia/Kolkata",
                "dimensions": ["time:hour", "country"], "filters": ["is_not", "device", ["bot"]]},
            {"metrics": ["revenue", "orders"], "dimensions": ["currency", "property:plan"], "date_range": "all"},
            {"metrics": ["value_last", "value_min", "value_avg"], "value_of": "property:price",
                "dimensions": ["time:day", "property:product"], "filters": ["is", "event", ["price"]]},
        ],
    })
}
