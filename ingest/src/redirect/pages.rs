//! The small pages that every web server is asked for.

use http::header::CACHE_CONTROL;
use http::{HeaderValue, Method, StatusCode};
use weir_edge::response::{no_content, text, with};
use weir_edge::route::Router;

/// Short links are for people: robots are asked to leave the engine's own paths alone, not the links, which
/// link previews need.
const ROBOTS: &str = "User-agent: *\nDisallow: /collect\nDisallow: /postback\nDisallow: /hooks/\n";
const A_DAY: HeaderValue = HeaderValue::from_static("public, max-age=86400");

/// `/robots.txt` and `/favicon.ico`.
pub fn pages() -> Router {
    Router::new()
        .route(Method::GET, "/robots.txt", async |_| {
            Ok(with(text(StatusCode::OK, ROBOTS), CACHE_CONTROL, A_DAY))
        })
        .route(Method::GET, "/favicon.ico", async |_| Ok(with(no_content(), CACHE_CONTROL, A_DAY)))
}
