//! Reading JSON values as types, with errors that name the field: what bodies of the API and what is kept of them
//! (saved queries, alerts) are read with.

use serde::de::{DeserializeOwned, Deserializer, IgnoredAny};
use serde_json::Value;
use shapes::Shaped;

use crate::problem::{FieldError, Problem};

mod shapes;

/// Why a text is not what was asked for.
#[derive(Debug)]
pub enum ReadError {
    /// It is not JSON.
    NotJson(serde_json::Error),
    /// It is JSON of another shape: 422 that names the field.
    DoesNotFit(Problem),
}

/// Reads a text, structs from objects only.
///
/// # Errors
/// What is not JSON at all is told before what does not fit, wherever it stands.
pub fn from_slice<T: DeserializeOwned>(text: &[u8]) -> Result<T, ReadError> {
    let mut reader = serde_json::Deserializer::from_slice(text);
    let value = located(&mut reader).map_err(|(path, error)| {
        if let Err(syntax) = serde_json::from_slice::<IgnoredAny>(text) {
            return ReadError::NotJson(syntax);
        }
        ReadError::DoesNotFit(does_not_fit(&path, &error))
    })?;
    reader.end().map_err(ReadError::NotJson)?;
    Ok(value)
}

/// Reads a value that is JSON already, structs from objects only.
///
/// # Errors
/// 422 that names the field (unknown and missing fields included), or `body` for the whole.
pub fn from_value<T: DeserializeOwned>(value: Value) -> Result<T, Problem> {
    located(value).map_err(|(path, error)| does_not_fit(&path, &error))
}

/// Reads with the place of what does not fit.
fn located<'de, T: DeserializeOwned, D: Deserializer<'de, Error = serde_json::Error>>(
    reader: D,
) -> Result<T, (String, serde_json::Error)> {
    serde_path_to_error::deserialize(Shaped(reader))
        .map_err(|error| (error.path().to_string(), error.into_inner()))
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
fn does_not_fit(path: &str, error: &serde_json::Error) -> Problem {
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
