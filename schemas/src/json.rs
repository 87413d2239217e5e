//! Reading JSON values as types, with errors that name the field: what bodies of the API and what is kept of them
//! (saved queries, alerts) are read with.

use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::problem::{FieldError, Problem};

/// Reads a value that is JSON already.
///
/// # Errors
/// 422 that names the field (unknown and missing fields included), or `body` for a list: derived readers take one for
/// a struct's members in order; no caller means that.
pub fn from_value<T: DeserializeOwned>(value: Value) -> Result<T, Problem> {
    if value.is_array() {
        return Err(not_an_object());
    }
    serde_path_to_error::deserialize(value).map_err(|error| {
        let path = error.path().to_string();
        does_not_fit(&path, error.inner())
    })
}

/// 422 for what is JSON and no object.
pub fn not_an_object() -> Problem {
    Problem::field("body", "must be a JSON object")
}

/// Serde's sentences end in Rust's names of types, which mean nothing to callers.
const TYPE_NAMES: [(&str, &str); 9] = [
    ("expected i64", "expected an integer"),
    ("expected u64", "expected a positive integer or 0"),
    ("expected u32", "expected a positive integer or 0"),
    ("expected u16", "expected a positive integer or 0"),
    ("expected u8", "expected a positive integer or 0"),
    ("expected f64", "expected a number"),
    ("expected a boolean", "expected true or false"),
    ("expected a sequence", "expected a list"),
    ("expected a map", "expected an object"),
];

/// 422 for what is JSON and does not fit, at `path` (`.` for the whole).
pub fn does_not_fit(path: &str, error: &serde_json::Error) -> Problem {
    let mut detail = error.to_string();
    if let Some(end) = detail.rfind(" at line ") {
        detail.truncate(end);
    }
    for (rust, words) in TYPE_NAMES {
        if let Some(start) = detail.strip_suffix(rust) {
            detail = format!("{start}{words}");
        }
    }
    // Serde names a missing or unknown field only in its sentence; the path ends at what holds it.
    let name_after = |prefix: &str| detail.strip_prefix(prefix)?.split('`').next();
    let missing = name_after("missing field `");
    let named = missing.or_else(|| name_after("unknown field `")).or_else(|| name_after("duplicate field `"));
    // Of a field that is there the path may have the name already.
    let ends_with = |name: &str| path == name || path.ends_with(&format!(".{name}"));
    let field = match (path, named) {
        (".", Some(name)) => name.to_owned(),
        (".", None) => "body".to_owned(),
        (path, Some(name)) if missing.is_some() || !ends_with(name) => format!("{path}.{name}"),
        (path, _) => path.to_owned(),
    };
    Problem::fields(vec![FieldError { field, detail }])
}
