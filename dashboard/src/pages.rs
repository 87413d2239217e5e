//! Signing in and out, and the web app for every path that nobody else serves.

use std::sync::Arc;

use http::header::{
    ACCEPT_ENCODING, CACHE_CONTROL, CONTENT_ENCODING, CONTENT_TYPE, ETAG, IF_NONE_MATCH, LOCATION,
    SET_COOKIE, VARY,
};
use http::{HeaderName, HeaderValue, Method, StatusCode};
use serde::Deserialize;
use serde_json::json;
use weir_edge::auth::SESSION_COOKIE;
use weir_edge::lines::Lines;
use weir_edge::problem;
use weir_edge::request::{Context, Credential, JSON_MAX};
use weir_edge::response::{Response, json as json_response, no_content, typed, with};
use weir_schemas::fact::Role;
use weir_schemas::ids::KeyId;
use weir_schemas::problem::Problem;
use weir_schemas::time::Timestamp;

use crate::Handles;
use crate::session::{SESSION_SECONDS, SIGN_IN_LINK, SIGN_IN_LINKS_MAX};
use crate::web_app::{SECURITY_HEADERS, asset};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct SignIn {
    key: String,
}

/// `GET /sign-in`: with a token from the engine's output it begins a session, else it is a page of the app.
pub(crate) async fn sign_in(handles: Arc<Handles>, context: Context) -> Result<Response, Problem> {
    let Some(token) = context.query_value("token") else { return app(context).await };
    let known = handles.sessions.take_sign_in(&token).filter(|key| handles.keys.by_id(*key).is_some());
    // A used link is the usual case here (people bookmark it): the page says what to do instead.
    let Some(key) = known else { return Ok(see_other("/?sign_in=expired")) };
    Ok(with_session(&handles, &context, key, see_other("/")))
}

/// `POST /v1/session {"key"}`
pub(crate) async fn begin(handles: Arc<Handles>, mut context: Context) -> Result<Response, Problem> {
    let body: SignIn = context.json(JSON_MAX).await?;
    let Some(principal) = handles.keys.find(&body.key) else {
        return Err(Problem::new(
            401,
            "unauthenticated",
            "Not signed in",
            "The API key is unknown or revoked.",
        ));
    };
    if principal.role == Role::Ingest {
        return Err(problem::forbidden(
            "A key of role ingest sends conversions; it does not see the dashboard.",
        ));
    }
    Ok(with_session(&handles, &context, principal.key, no_content()))
}

/// `POST /v1/keys/{id}/sign-in-links`: lets a person in without their ever seeing a key. The link works once.
pub(crate) async fn sign_in_link(handles: Arc<Handles>, mut context: Context) -> Result<Response, Problem> {
    let caller = context.require(&[Role::Admin])?;
    let id: KeyId = context.id("id", "key")?;
    context.body(JSON_MAX).await?;
    let of = handles.keys.by_id(id).filter(|of| of.workspace == caller.workspace && of.key != KeyId::NONE);
    let of = of.ok_or_else(|| Problem::not_found("key"))?;
    if of.role == Role::Ingest {
        return Err(problem::forbidden(
            "A key of role ingest sends conversions; it does not see the dashboard.",
        ));
    }
    let token = handles.sessions.sign_in_token(id).ok_or_else(|| {
        problem::too_many(format!(
            "There are already {SIGN_IN_LINKS_MAX} unused links; try again in an hour."
        ))
    })?;
    let body = json!({
        "url": format!("{}/sign-in?token={token}", handles.url),
        "expires_in": SIGN_IN_LINK.as_secs(),
    });
    Ok(json_response(StatusCode::CREATED, &body))
}

/// `GET /v1/session`: who is signed in.
pub(crate) async fn whose(handles: Arc<Handles>, context: Context) -> Result<Response, Problem> {
    let principal = match &context.credential {
        Credential::Known(principal) => *principal,
        _ => return Err(problem::unauthenticated("Nobody is signed in.")),
    };
    let of = principal.workspace;
    let read = handles.books.read_async(move |reads| Ok((reads.workspace(of)?, reads.keys(of)?)));
    let (workspace, keys) = read.await.map_err(|error| {
        tracing::error!(%error, "the books could not be read");
        problem::unavailable("storage_unavailable", "The books could not be read.")
    })?;
    let workspace = workspace.ok_or_else(|| Problem::not_found("workspace"))?;
    let name = keys.into_iter().find(|key| key.id == principal.key).map(|key| key.name);
    let body = json!({
        "workspace": {
            "id": workspace.id, "name": workspace.name, "currency": workspace.currency,
            "timezone": workspace.timezone,
        },
        "role": principal.role,
        "partner_id": principal.partner,
        "key_name": name,
    });
    Ok(json_response(StatusCode::OK, &body))
}

/// `DELETE /v1/session`
pub(crate) async fn end(handles: Arc<Handles>, context: Context) -> Result<Response, Problem> {
    let known = matches!(context.credential, Credential::Known(_));
    if let Some(value) = context.headers().cookie(SESSION_COOKIE).filter(|_| known) {
        handles.sessions.end(value, Timestamp::now());
    }
    let cleared = format!("{SESSION_COOKIE}=; Path=/; Max-Age=0; HttpOnly; SameSite=Strict");
    Ok(with(no_content(), SET_COOKIE, HeaderValue::from_str(&cleared).expect("the cookie is ASCII")))
}

fn with_session(handles: &Handles, context: &Context, key: KeyId, response: Response) -> Response {
    let value = handles.sessions.begin(key, Timestamp::now());
    // Behind a proxy that ends TLS the browser speaks https, and the cookie must not leave it.
    let secure = context.header("x-forwarded-proto").is_some_and(|proto| proto.eq_ignore_ascii_case("https"));
    let secure = if secure { "; Secure" } else { "" };
    let cookie = format!(
        "{SESSION_COOKIE}={value}; Path=/; Max-Age={SESSION_SECONDS}; HttpOnly; SameSite=Strict{secure}"
    );
    with(response, SET_COOKIE, HeaderValue::from_str(&cookie).expect("the cookie is ASCII"))
}

fn see_other(place: &'static str) -> Response {
    let response = typed(StatusCode::SEE_OTHER, "text/plain; charset=utf-8", "");
    let response = with(response, LOCATION, HeaderValue::from_static(place));
    with(response, CACHE_CONTROL, HeaderValue::from_static("no-store"))
}

/// The web app.
pub(crate) async fn app(context: Context) -> Result<Response, Problem> {
    let accept = context.headers().get(ACCEPT_ENCODING).and_then(|value| value.to_str().ok());
    let readable = matches!(*context.method(), Method::GET | Method::HEAD);
    let found = readable.then(|| asset(context.path(), accept.unwrap_or(""))).flatten();
    let Some(asset) = found else { return Err(Problem::not_found("page or route")) };
    let tag = HeaderValue::from_str(&asset.etag).expect("an entity tag is ASCII");
    let unchanged = context.headers().get(IF_NONE_MATCH).is_some_and(|known| *known == tag);
    let mut response = if unchanged {
        typed(StatusCode::NOT_MODIFIED, asset.content_type, "")
    } else {
        typed(StatusCode::OK, asset.content_type, asset.bytes)
    };
    let headers = response.headers_mut();
    if unchanged {
        headers.remove(CONTENT_TYPE);
    } else if let Some(encoding) = asset.encoding {
        headers.insert(CONTENT_ENCODING, HeaderValue::from_static(encoding));
    }
    headers.insert(ETAG, tag);
    headers.insert(VARY, HeaderValue::from_static("accept-encoding"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static(asset.cache_control));
    for (name, value) in SECURITY_HEADERS {
        headers.insert(HeaderName::from_static(name), HeaderValue::from_static(value));
    }
    Ok(response)
}
