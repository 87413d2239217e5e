//! A request as handlers see it: who asks, for what, and a body that is read once, bounded in size and time.

use std::borrow::Cow;
use std::net::IpAddr;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::header::{CONTENT_LENGTH, CONTENT_TYPE};
use http::request::Parts;
use http::{HeaderMap, Method};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use hyper::upgrade::OnUpgrade;
use serde::de::DeserializeOwned;
use weir_engine::keys::Principal;
use weir_schemas::fact::{IdempotentRequest, Role};
pub use weir_schemas::json::from_value;
use weir_schemas::json::{ReadError, from_slice};
use weir_schemas::problem::Problem;
use weir_schemas::query_string;

use crate::{idempotency, problem};

/// How long a body may take to arrive. A management call is small; a minute's trickle is an attack or a dead
/// peer.
pub const BODY_TIMEOUT: Duration = Duration::from_secs(30);
/// The largest JSON body of a single command.
pub const JSON_MAX: usize = 256 * 1_024;
/// Most pairs read from a query string.
pub const QUERY_PAIRS_MAX: usize = 128;

/// A request and what is known of it.
#[derive(Debug)]
pub struct Context {
    parts: Parts,
    body: Source,
    /// The visitor's or caller's address, behind trusted proxies too.
    pub address: IpAddr,
    /// Names the request in answers and logs.
    pub request_id: String,
    /// Who asks, or why nobody does.
    pub credential: Credential,
    params: Vec<(String, String)>,
}

/// What became of a request's credentials.
#[derive(Debug, Clone, Default)]
pub enum Credential {
    /// It brought none.
    #[default]
    None,
    /// It brought one that is not valid; the sentence says why.
    Refused(&'static str),
    /// It is this caller.
    Known(Principal),
}

#[derive(Debug)]
enum Source {
    Socket(Incoming),
    Read(Bytes),
}

impl Context {
    /// A request from a socket.
    pub fn new(request: http::Request<Incoming>, address: IpAddr, request_id: String) -> Self {
        let (parts, body) = request.into_parts();
        Self::from_parts(parts, Source::Socket(body), address, request_id)
    }

    /// A request whose body is at hand already.
    pub fn whole(request: http::Request<Bytes>, address: IpAddr, request_id: String) -> Self {
        let (parts, body) = request.into_parts();
        Self::from_parts(parts, Source::Read(body), address, request_id)
    }

    fn from_parts(parts: Parts, body: Source, address: IpAddr, request_id: String) -> Self {
        Self { parts, body, address, request_id, credential: Credential::None, params: Vec::new() }
    }

    /// The method.
    pub fn method(&self) -> &Method {
        &self.parts.method
    }

    /// The path as sent.
    pub fn path(&self) -> &str {
        self.parts.uri.path()
    }

    /// The query string as sent, empty where there is none.
    pub fn query_string(&self) -> &str {
        self.parts.uri.query().unwrap_or("")
    }

    /// The headers.
    pub fn headers(&self) -> &HeaderMap {
        &self.parts.headers
    }

    /// A header's text, where it is there and readable.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.parts.headers.get(name)?.to_str().ok()
    }

    /// The `{name}` of the route, percent-decoded; empty where the route has none of that name.
    pub fn param(&self, name: &str) -> &str {
        self.params.iter().find(|(key, _)| key == name).map_or("", |(_, value)| value)
    }

    /// The `{name}` of the route as an id; what is not an id of that kind is not found.
    pub fn id<T: std::str::FromStr>(&self, name: &str, what: &str) -> Result<T, Problem> {
        self.param(name).parse().map_err(|_| Problem::not_found(what))
    }

    pub(crate) fn set_params(&mut self, params: Vec<(String, String)>) {
        self.params = params;
    }

    /// The decoded pairs of the query string, at most [`QUERY_PAIRS_MAX`].
    pub fn query_pairs(&self) -> impl Iterator<Item = (Cow<'_, str>, Cow<'_, str>)> {
        pairs(self.query_string())
    }

    /// The first value of a query parameter.
    pub fn query_value(&self, name: &str) -> Option<Cow<'_, str>> {
        self.query_pairs().find(|(key, _)| key == name).map(|(_, value)| value)
    }

    /// The right to take the connection over after a 101; `None` where the client asked for no upgrade.
    pub fn upgrade(&mut self) -> Option<OnUpgrade> {
        self.parts.extensions.remove::<OnUpgrade>()
    }

    /// The caller, where it has one of `roles`: else 401 (nobody) or 403 (somebody else).
    pub fn require(&self, roles: &[Role]) -> Result<Principal, Problem> {
        match &self.credential {
            Credential::Known(principal) if roles.contains(&principal.role) => Ok(*principal),
            Credential::Known(_) => {
                let names: Vec<String> =
                    roles.iter().map(|role| format!("{role:?}").to_lowercase()).collect();
                Err(problem::forbidden(format!("This needs a key with role {}.", names.join(" or "))))
            }
            Credential::Refused(why) => Err(problem::unauthenticated(*why)),
            Credential::None => Err(problem::unauthenticated(
                "Send `Authorization: Bearer weir_…` with an API key of this engine.",
            )),
        }
    }

    /// The body, at most `limit` bytes: 413 beyond, 408 when it does not arrive within [`BODY_TIMEOUT`], 400
    /// when the client breaks off. Read once; asked again, the same bytes come back.
    pub async fn body(&mut self, limit: usize) -> Result<Bytes, Problem> {
        let announced = self.header(CONTENT_LENGTH.as_str()).and_then(|text| text.parse::<u64>().ok());
        if announced.is_some_and(|length| length > limit as u64) {
            return Err(problem::too_large(limit));
        }
        if let Source::Socket(incoming) = &mut self.body {
            let read = tokio::time::timeout(BODY_TIMEOUT, read_bounded(incoming, limit));
            let bytes = read.await.map_err(|_| problem::body_timeout())??;
            self.body = Source::Read(bytes);
        }
        match &self.body {
            Source::Read(bytes) if bytes.len() <= limit => Ok(bytes.clone()),
            _ => Err(problem::too_large(limit)),
        }
    }

    /// The body as a JSON object of a known shape: 415 for another media type, 400 with line and column for what is
    /// not JSON, 422 naming the field for what is JSON and does not fit (unknown fields included).
    pub async fn json<T: DeserializeOwned>(&mut self, limit: usize) -> Result<T, Problem> {
        let body = self.json_body(limit).await?;
        from_json(&body)
    }

    /// The body as any JSON value, with the same errors.
    pub async fn any_json(&mut self, limit: usize) -> Result<serde_json::Value, Problem> {
        let body = self.json_body(limit).await?;
        from_json(&body)
    }

    async fn json_body(&mut self, limit: usize) -> Result<Bytes, Problem> {
        if let Some(kind) = self.header(CONTENT_TYPE.as_str())
            && !is_json(kind)
        {
            return Err(problem::unsupported_media_type(format!("Send application/json, not {kind}.")));
        }
        self.body(limit).await
    }

    /// The `Idempotency-Key` with the fingerprint of this request. Call it after the body has been read.
    pub fn idempotency(&self) -> Result<Option<IdempotentRequest>, Problem> {
        let body: &[u8] = match &self.body {
            Source::Read(bytes) => bytes,
            Source::Socket(_) => &[],
        };
        idempotency::of(self.headers(), self.method(), self.path(), body)
    }
}

async fn read_bounded(incoming: &mut Incoming, limit: usize) -> Result<Bytes, Problem> {
    let mut whole = BytesMut::new();
    let mut first: Option<Bytes> = None;
    while let Some(frame) = incoming.frame().await {
        let frame = frame.map_err(|error| problem::malformed(format!("The body broke off: {error}.")))?;
        let Ok(data) = frame.into_data() else { continue };
        if whole.len() + first.as_ref().map_or(0, Bytes::len) + data.len() > limit {
            return Err(problem::too_large(limit));
        }
        // Most bodies arrive in one piece, which is then not copied.
        match first.take() {
            None if whole.is_empty() => first = Some(data),
            None => whole.extend_from_slice(&data),
            Some(piece) => {
                whole.extend_from_slice(&piece);
                whole.extend_from_slice(&data);
            }
        }
    }
    Ok(first.unwrap_or_else(|| whole.freeze()))
}

fn is_json(kind: &str) -> bool {
    let essence = kind.split(';').next().unwrap_or("").trim();
    essence.eq_ignore_ascii_case("application/json") || essence.to_ascii_lowercase().ends_with("+json")
}

/// Decodes JSON; see [`Context::json`].
pub fn from_json<T: DeserializeOwned>(body: &[u8]) -> Result<T, Problem> {
    from_slice(body).map_err(|error| match error {
        ReadError::NotJson(error) => problem::malformed(format!("The body is not JSON: {error}.")),
        ReadError::DoesNotFit(problem) => problem,
    })
}

/// The decoded pairs of a query string or an urlencoded form, at most [`QUERY_PAIRS_MAX`].
pub fn pairs(text: &str) -> impl Iterator<Item = (Cow<'_, str>, Cow<'_, str>)> {
    query_string::pairs(text)
        .take(QUERY_PAIRS_MAX)
        .map(|pair| (query_string::decoded(pair.name), query_string::decoded(pair.value)))
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;

    use super::*;

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    #[allow(dead_code)]
    struct Order {
        id: String,
        #[serde(default)]
        lines: Vec<Line>,
    }

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    #[allow(dead_code)]
    struct Line {
        amount: i64,
    }

    fn refused(body: &str) -> (u16, String, String) {
        let problem = from_json::<Order>(body.as_bytes()).unwrap_err();
        let field = problem.errors.first().map(|error| error.field.clone()).unwrap_or_default();
        (problem.status, field, problem.detail)
    }

    #[test]
    fn what_is_not_json_is_400_with_its_place() {
        for body in [
            "",
            "{",
            "{\"id\":}",
            "{\"nope\":}",
            "{\"id\":1,,}",
            "nope",
            "{\"id\":\"a\"} x",
            "{\"id\":\"\u{1}\"}",
        ] {
            let (status, _, detail) = refused(body);
            assert_eq!(status, 400, "{body}");
            assert!(detail.contains("line 1"), "{detail}");
        }
        let deep = from_json::<serde_json::Value>("[".repeat(100_000).as_bytes());
        assert_eq!(deep.unwrap_err().status, 400, "depth is bounded");
    }

    #[test]
    fn what_does_not_fit_is_422_and_names_the_field() {
        let field = |body: &str| {
            let (status, field, detail) = refused(body);
            assert_eq!(status, 422, "{body}");
            assert!(!detail.contains("at line"), "{detail}");
            field
        };
        assert_eq!(field("{}"), "id");
        assert_eq!(field(r#"{"id":1}"#), "id");
        assert_eq!(field(r#"{"id":"a","nope":1}"#), "nope");
        assert_eq!(field(r#"{"id":"a","lines":[{"amount":1},{"amount":"x"}]}"#), "lines[1].amount");
        assert_eq!(field(r#"{"id":"a","lines":[{}]}"#), "lines[0].amount");
        assert_eq!(field(r#"{"id":"a","lines":[{"amount":1,"b":2}]}"#), "lines[0].b");
        assert_eq!(field(r#"{"id":"a","lines":[{"amount":1.5}]}"#), "lines[0].amount");
        assert_eq!(field(r#"{"id":"a","id":"b"}"#), "id");
        assert_eq!(field("[]"), "body");
        let listed = from_value::<Order>(serde_json::json!(["a", []])).unwrap_err();
        assert_eq!((listed.status, &*listed.errors[0].field), (422, "body"), "no list of members in order");
        assert_eq!(field("7"), "body");
    }

    #[test]
    fn query_pairs_are_decoded_and_bounded() {
        let read: Vec<_> = pairs("a=1+2&b=%C3%B1&c&&=x").map(|(k, v)| format!("{k}:{v}")).collect();
        assert_eq!(read, ["a:1 2", "b:ñ", "c:", ":x"]);
        assert_eq!(pairs(&"a=1&".repeat(1_000)).count(), QUERY_PAIRS_MAX);
    }
}
