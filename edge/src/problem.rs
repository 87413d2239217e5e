//! Problems on the wire: `application/problem+json` (RFC 9457) with the request's id.

use http::header::{CACHE_CONTROL, RETRY_AFTER, WWW_AUTHENTICATE};
use http::{HeaderName, HeaderValue, StatusCode};
use weir_schemas::problem::Problem;

use crate::response::{Response, typed};

/// Carries the request's id on every answer of the API.
pub const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// Seconds after which a caller may ask again, where nothing better is known.
const RETRY_AFTER_S: u64 = 1;

/// The answer that tells `problem`.
pub fn response(problem: &Problem, request_id: &str) -> Response {
    let status = StatusCode::from_u16(problem.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let mut response = typed(status, Problem::MEDIA_TYPE, problem.body(request_id).to_string());
    let headers = response.headers_mut();
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    if let Ok(id) = HeaderValue::from_str(request_id) {
        headers.insert(REQUEST_ID, id);
    }
    match status {
        StatusCode::UNAUTHORIZED => {
            headers.insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer realm=\"weir\""));
        }
        StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE => {
            headers.insert(RETRY_AFTER, HeaderValue::from(RETRY_AFTER_S));
        }
        _ => {}
    }
    response
}

/// 400: the request cannot be read at all.
pub fn malformed(detail: impl Into<String>) -> Problem {
    Problem::new(400, "malformed_request", "The request cannot be read", detail)
}

/// 401: nobody in particular asks.
pub fn unauthenticated(detail: impl Into<String>) -> Problem {
    Problem::new(401, "unauthenticated", "Authentication is required", detail)
}

/// 403: this caller may not.
pub fn forbidden(detail: impl Into<String>) -> Problem {
    Problem::new(403, "forbidden", "Not allowed", detail)
}

/// 408: the body came too slowly.
pub fn body_timeout() -> Problem {
    Problem::new(408, "request_timeout", "The request took too long", "The body did not arrive in time.")
}

/// 413: the body is over its bound.
pub fn too_large(limit: usize) -> Problem {
    let detail = format!("The body is larger than {limit} bytes.");
    Problem::new(413, "body_too_large", "The body is too large", detail)
}

/// 415: not JSON.
pub fn unsupported_media_type(detail: impl Into<String>) -> Problem {
    Problem::new(415, "unsupported_media_type", "The body's type is not supported", detail)
}

/// 429: more often than allowed.
pub fn too_many(detail: impl Into<String>) -> Problem {
    Problem::new(429, "rate_limited", "Too many requests", detail)
}

/// 500: a fault of the engine; what it was is in the log under the request's id.
pub fn internal() -> Problem {
    Problem::new(500, "internal", "Internal error", "The engine failed; its log names this request_id.")
}

/// 503: for now.
pub fn unavailable(code: &'static str, detail: impl Into<String>) -> Problem {
    Problem::new(503, code, "Not available", detail)
}
