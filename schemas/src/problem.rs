//! Errors as callers see them: RFC 9457 problem details with the fields that were wrong.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};

/// One field that was wrong.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct FieldError {
    /// Where, as a path: `destination`, `rules[0].destination`, `amount.currency`.
    pub field: String,
    /// What is wrong and what would be right, as a sentence.
    pub detail: String,
}

/// A refusal before it gets its `request_id`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Problem {
    /// Stable and machine-readable: the last part of `type` (`validation_failed`, `slug_taken`, …).
    pub code: Cow<'static, str>,
    /// A short title that is the same for every problem of this code.
    pub title: Cow<'static, str>,
    /// HTTP status.
    pub status: u16,
    /// What happened this time and what to do about it.
    pub detail: String,
    /// Every bad field; empty where the request as a whole is refused.
    #[serde(default)]
    pub errors: Vec<FieldError>,
}

impl Problem {
    /// A refusal of the request as a whole.
    pub fn new(status: u16, code: &'static str, title: &'static str, detail: impl Into<String>) -> Self {
        Self { code: code.into(), title: title.into(), status, detail: detail.into(), errors: Vec::new() }
    }

    /// 422: fields that parse as JSON and mean nothing valid.
    pub fn fields(errors: Vec<FieldError>) -> Self {
        let detail = match errors.as_slice() {
            [one] => format!("{}: {}", one.field, one.detail),
            many => format!("{} fields are not valid", many.len()),
        };
        let mut problem = Self::new(422, "validation_failed", "The request is not valid", detail);
        problem.errors = errors;
        problem
    }

    /// 422 for a single field.
    pub fn field(field: impl Into<String>, detail: impl Into<String>) -> Self {
        Self::fields(vec![FieldError { field: field.into(), detail: detail.into() }])
    }

    /// 404.
    pub fn not_found(what: &str) -> Self {
        Self::new(404, "not_found", "Not found", format!("There is no such {what}."))
    }

    /// 409.
    pub fn conflict(code: &'static str, detail: impl Into<String>) -> Self {
        Self::new(409, code, "Conflict", detail)
    }

    /// 409: what this field says is another's already.
    pub fn taken(code: &'static str, field: impl Into<String>, detail: impl Into<String>) -> Self {
        let detail = detail.into();
        let errors = vec![FieldError { field: field.into(), detail: detail.clone() }];
        Self { errors, ..Self::conflict(code, detail) }
    }

    /// The media type of the body.
    pub const MEDIA_TYPE: &'static str = "application/problem+json";

    /// The body, with the stable `type` URI and the request's id.
    pub fn body(&self, request_id: &str) -> serde_json::Value {
        let mut body = serde_json::json!({
            "type": format!("https://weir.dev/problems/{}", self.code),
            "code": self.code,
            "title": self.title,
            "status": self.status,
            "detail": self.detail,
            "request_id": request_id,
        });
        if !self.errors.is_empty() {
            body["errors"] = serde_json::json!(self.errors);
        }
        body
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bad_field_is_named_twice() {
        let problem = Problem::field("destination", "must begin with http:// or https://");
        let body = problem.body("req_1");
        assert_eq!(body["status"], 422);
        assert_eq!(body["errors"][0]["field"], "destination");
        assert!(body["detail"].as_str().unwrap().starts_with("destination: "));
        assert_eq!(body["request_id"], "req_1");
    }
}
