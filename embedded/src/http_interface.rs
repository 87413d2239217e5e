//! ClickHouse's HTTP interface: paths, the bounds, and one query's answer with its headers.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use http::{HeaderMap, HeaderValue, Method, Response, StatusCode, header};
use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use tokio::net::unix::pipe;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot};

use crate::answer::{self, Answer, Encoder, Rows};
use crate::exception::{Exception, code};
use crate::execution::{Begun, BodyReader, Engine, Flight, Piece};
use crate::flushes::Flushes;
use crate::libchdb::Figures;
use crate::request::{Request, random_id};

/// Queries that run at a time; further ones are answered 503 at once.
pub(crate) const MAX_CONCURRENT_QUERIES: usize = 64;
/// Bytes of an answer held back, so that a query that fails early has the right status, and a short answer
/// its length and figures.
const HELD_BACK_BYTES: usize = 256 << 10;
/// The same under `wait_end_of_query=1`; a longer answer streams after all.
const WAIT_END_BYTES: usize = 16 << 20;
/// Pieces of a body that may wait for the engine.
const PIECES_AHEAD: usize = 8;
/// How long a client may pause within a body.
const BODY_PAUSE: Duration = Duration::from_secs(60);
/// How much of a body is read on after its query has failed, so that the client sees the answer.
const DISCARDED_BYTES: usize = 16 << 20;
/// What idle connections are told; the server itself waits longer.
const KEEP_ALIVE: &str = "timeout=10";

/// The interface's state: the engine, the password, and the queries under way.
pub(crate) struct Interface {
    engine: Arc<Engine>,
    password: String,
    running: Arc<Semaphore>,
    flights: Arc<Mutex<HashMap<String, Arc<Flight>>>>,
}

/// A query's place among the running ones. Dropped before the query has ended, it stops it.
struct Ticket {
    engine: Arc<Engine>,
    flight: Arc<Flight>,
    flights: Arc<Mutex<HashMap<String, Arc<Flight>>>>,
    _place: Arc<OwnedSemaphorePermit>,
}

impl Drop for Ticket {
    fn drop(&mut self) {
        self.flights.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.flight.id);
        if !self.flight.landed.load(Ordering::Acquire) {
            stop(&self.engine, &self.flight);
        }
    }
}

fn stop(engine: &Arc<Engine>, flight: &Arc<Flight>) {
    flight.abandoned.store(true, Ordering::Release);
    let (engine, flight) = (Arc::clone(engine), Arc::clone(flight));
    if let Ok(runtime) = tokio::runtime::Handle::try_current() {
        runtime.spawn_blocking(move || engine.stop(&flight));
    }
}

impl Interface {
    pub(crate) fn new(engine: Arc<Engine>, password: String) -> Self {
        let running = Arc::new(Semaphore::new(MAX_CONCURRENT_QUERIES));
        Self { engine, password, running, flights: Arc::default() }
    }

    /// Resolves when no query runs and every answer has been handed on.
    pub(crate) async fn idle(&self) {
        let all = u32::try_from(MAX_CONCURRENT_QUERIES).expect("a small number");
        let _ = self.running.acquire_many(all).await;
    }

    /// Tells every query to stop.
    pub(crate) fn stop_all(&self) {
        for flight in self.flights.lock().unwrap_or_else(PoisonError::into_inner).values() {
            stop(&self.engine, flight);
        }
    }

    /// Answers a request. Never fails: an error is an answer too.
    pub(crate) async fn answer(
        &self,
        request: http::Request<Incoming>,
        flushes: Flushes,
    ) -> Response<Answer> {
        let (parts, body) = request.into_parts();
        let reads = parts.method == Method::GET || parts.method == Method::HEAD;
        match parts.uri.path() {
            "/ping" | "/replicas_status" if reads => return plain(StatusCode::OK, "Ok.\n"),
            "/" | "/query" => {}
            path => return plain(StatusCode::NOT_FOUND, format!("There is no handle {path}\n")),
        }
        if !reads && parts.method != Method::POST {
            let message = format_args!("Method {} is not supported: use GET or POST", parts.method);
            return self.failure(&Exception::new(code::NOT_IMPLEMENTED, message), &HeaderMap::new());
        }
        let asked = match Request::of(&parts) {
            Ok(asked) => asked,
            Err(exception) => return self.failure(&exception, &HeaderMap::new()),
        };
        if reads && asked.query.is_empty() {
            return plain(StatusCode::OK, "Ok.\n");
        }
        let mut headers = self.headers(&asked);
        match self.run(asked, body, &parts.headers, &mut headers, flushes).await {
            Ok(answer) => {
                let mut response = Response::new(answer);
                *response.headers_mut() = headers;
                response
            }
            Err(exception) => self.failure(&exception, &headers),
        }
    }

    fn headers(&self, asked: &Request) -> HeaderMap {
        let mut headers = HeaderMap::new();
        headers.insert("x-clickhouse-query-id", value(&asked.query_id));
        headers.insert("x-clickhouse-server-display-name", HeaderValue::from_static("weir"));
        headers.insert("x-clickhouse-timezone", value(&self.engine.timezone));
        headers.insert("keep-alive", HeaderValue::from_static(KEEP_ALIVE));
        headers
    }

    fn failure(&self, exception: &Exception, headers: &HeaderMap) -> Response<Answer> {
        let exception = exception.clone().with_version(&self.engine.version);
        let mut response = plain(exception.status(), format!("{}\n", exception.text));
        response.headers_mut().extend(headers.clone());
        // An error is never encoded, whatever its answer would have been.
        response.headers_mut().remove(header::CONTENT_ENCODING);
        response.headers_mut().insert("x-clickhouse-exception-code", exception.code.into());
        response
    }

    async fn run(
        &self,
        asked: Request,
        body: Incoming,
        sent: &HeaderMap,
        headers: &mut HeaderMap,
        flushes: Flushes,
    ) -> Result<Answer, Exception> {
        asked.credentials.check(&self.password)?;
        let place = Arc::clone(&self.running).try_acquire_owned().map_err(|_| {
            let message = format_args!("Too many simultaneous queries. Maximum: {MAX_CONCURRENT_QUERIES}");
            Exception::new(code::TOO_MANY_SIMULTANEOUS_QUERIES, message)
        })?;
        let place = Arc::new(place);
        let flight = Arc::new(Flight {
            id: random_id(),
            landed: AtomicBool::new(false),
            abandoned: AtomicBool::new(false),
        });
        self.flights
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .insert(flight.id.clone(), Arc::clone(&flight));
        let ticket = Ticket {
            engine: Arc::clone(&self.engine),
            flight: Arc::clone(&flight),
            flights: Arc::clone(&self.flights),
            _place: Arc::clone(&place),
        };
        let encoder = encoder(&asked, sent);
        if let Some(name) = encoder.content_encoding() {
            headers.insert(header::CONTENT_ENCODING, HeaderValue::from_static(name));
        }
        let held_back = if asked.wait_end_of_query { WAIT_END_BYTES } else { HELD_BACK_BYTES };

        let (pieces, received) = mpsc::channel(PIECES_AHEAD);
        tokio::spawn(feed(body, pieces));
        let (begin, begun) = oneshot::channel();
        let engine = Arc::clone(&self.engine);
        tokio::task::spawn_blocking(move || {
            engine.run(asked, BodyReader::new(received), &flight, begin);
            drop(place);
        });
        let lost = || Exception::new(code::LOGICAL_ERROR, "The query was lost");
        match begun.await.map_err(|_| lost())?? {
            Begun::Done { answer, format, figures } => {
                describe(headers, &format);
                headers.insert("x-clickhouse-summary", summary(&figures));
                Ok(Answer::whole(if answer.is_empty() { answer } else { encoder.encode(&answer) }))
            }
            Begun::Rows { pipe, format, outcome } => {
                let no_pipe = |error| Exception::new(code::NETWORK_ERROR, error);
                let pipe = pipe::Receiver::from_owned_fd(pipe.into()).map_err(no_pipe)?;
                let mut rows = Rows { pipe, outcome };
                let mut first = Vec::new();
                let ended = rows.read_up_to(held_back, &mut first).await.map_err(no_pipe)?;
                if ended {
                    let figures = rows.outcome.await.map_err(|_| lost())??;
                    describe(headers, &format);
                    headers.insert("x-clickhouse-summary", summary(&figures));
                    return Ok(Answer::whole(if first.is_empty() { first } else { encoder.encode(&first) }));
                }
                describe(headers, &format);
                headers.insert("x-clickhouse-summary", summary(&Figures::default()));
                let tag = random_id()[..16].to_owned();
                headers.insert("x-clickhouse-exception-tag", value(&tag));
                let (sink, answer) = answer::streamed(flushes);
                let version = self.engine.version.clone();
                tokio::spawn(async move {
                    let versioned = |exception: Exception| exception.with_version(&version);
                    answer::pump(rows, first, encoder, &tag, versioned, sink).await;
                    drop(ticket);
                });
                Ok(answer)
            }
        }
    }
}

/// Hands a body on piece by piece, and its end only when it ended as it announced.
async fn feed(mut body: Incoming, pieces: mpsc::Sender<std::io::Result<Piece>>) {
    loop {
        let frame = match tokio::time::timeout(BODY_PAUSE, body.frame()).await {
            Ok(None) => {
                let _ = pieces.send(Ok(Piece::End)).await;
                return;
            }
            Ok(Some(Ok(frame))) => frame,
            Ok(Some(Err(error))) => {
                let error = std::io::Error::new(std::io::ErrorKind::ConnectionAborted, error);
                let _ = pieces.send(Err(error)).await;
                return;
            }
            Err(_) => {
                let _ = pieces.send(Err(std::io::ErrorKind::TimedOut.into())).await;
                return;
            }
        };
        if let Ok(data) = frame.into_data()
            && !data.is_empty()
            && pieces.send(Ok(Piece::Data(data))).await.is_err()
        {
            break;
        }
    }
    let mut discarded = 0;
    while let Ok(Some(Ok(frame))) = tokio::time::timeout(BODY_PAUSE, body.frame()).await {
        discarded += frame.data_ref().map_or(0, bytes::Bytes::len);
        if discarded > DISCARDED_BYTES {
            return;
        }
    }
}

/// ClickHouse compresses an answer's transfer only where `enable_http_compression` asks for it.
fn encoder(asked: &Request, sent: &HeaderMap) -> Encoder {
    if asked.compress {
        return Encoder::blocks();
    }
    let enabled = asked
        .settings
        .iter()
        .any(|(name, value)| name == "enable_http_compression" && (value == "1" || value == "true"));
    let accepted =
        sent.get(header::ACCEPT_ENCODING).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let accepts = |encoding: &str| {
        accepted.split(',').any(|item| {
            let mut parts = item.split(';').map(str::trim);
            parts.next().is_some_and(|name| name.eq_ignore_ascii_case(encoding))
                && !parts.any(|parameter| parameter == "q=0")
        })
    };
    match enabled {
        true if accepts("lz4") => Encoder::lz4_frame(),
        true if accepts("gzip") => Encoder::gzip(),
        _ => Encoder::Identity,
    }
}

fn describe(headers: &mut HeaderMap, format: &str) {
    if format.is_empty() {
        return;
    }
    headers.insert("x-clickhouse-format", value(format));
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type(format)));
}

/// The media type that ClickHouse gives a format.
fn content_type(format: &str) -> &'static str {
    let starts =
        |prefix: &str| format.get(..prefix.len()).is_some_and(|start| start.eq_ignore_ascii_case(prefix));
    match format {
        _ if starts("JSONEachRow")
            || starts("JSONLines")
            || starts("NDJSON")
            || starts("JSONCompactEachRow") =>
        {
            "application/x-ndjson; charset=UTF-8"
        }
        _ if starts("JSON") => "application/json; charset=UTF-8",
        _ if starts("CSVWithNames") => "text/csv; charset=UTF-8; header=present",
        _ if starts("CSV") => "text/csv; charset=UTF-8; header=absent",
        _ if starts("TabSeparated") || starts("TSV") => "text/tab-separated-values; charset=UTF-8",
        _ if starts("XML") => "application/xml; charset=UTF-8",
        _ if starts("RowBinary")
            || starts("Native")
            || starts("Parquet")
            || starts("Arrow")
            || starts("ORC") =>
        {
            "application/octet-stream"
        }
        _ => "text/plain; charset=UTF-8",
    }
}

fn summary(figures: &Figures) -> HeaderValue {
    let nanoseconds = Duration::try_from_secs_f64(figures.elapsed).unwrap_or_default().as_nanos();
    value(
        &serde_json::json!({
            "read_rows": figures.read_rows.to_string(),
            "read_bytes": figures.read_bytes.to_string(),
            "written_rows": figures.written_rows.to_string(),
            "written_bytes": figures.written_bytes.to_string(),
            "total_rows_to_read": figures.read_rows.to_string(),
            "result_rows": figures.result_rows.to_string(),
            "result_bytes": figures.result_bytes.to_string(),
            "elapsed_ns": nanoseconds.to_string(),
        })
        .to_string(),
    )
}

fn value(text: &str) -> HeaderValue {
    HeaderValue::from_str(text).unwrap_or(HeaderValue::from_static("?"))
}

fn plain(status: StatusCode, text: impl Into<bytes::Bytes>) -> Response<Answer> {
    let mut response = Response::new(Answer::whole(text));
    *response.status_mut() = status;
    let text = HeaderValue::from_static("text/plain; charset=UTF-8");
    response.headers_mut().insert(header::CONTENT_TYPE, text);
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(uri: &str) -> Request {
        Request::of(&http::Request::get(uri).body(()).unwrap().into_parts().0).unwrap()
    }

    #[test]
    fn an_encoding_needs_the_setting_and_the_header() {
        let encoding = |uri: &str, accepted: &'static str| {
            let mut sent = HeaderMap::new();
            sent.insert("accept-encoding", HeaderValue::from_static(accepted));
            encoder(&asked(uri), &sent).content_encoding()
        };
        let enabled = "/?query=x&enable_http_compression=1";
        assert_eq!(encoding(enabled, "br, gzip;q=0.5"), Some("gzip"));
        assert_eq!(encoding(enabled, "gzip, LZ4"), Some("lz4"));
        assert_eq!(encoding(enabled, "gzip;q=0, br"), None);
        assert_eq!(encoding("/?query=x", "gzip"), None);
        assert_eq!(encoding("/?query=x&enable_http_compression=1&compress=1", "gzip"), None);
    }

    #[test]
    fn formats_have_clickhouses_media_types() {
        for (format, expected) in [
            ("JSONEachRow", "application/x-ndjson; charset=UTF-8"),
            ("JSONCompact", "application/json; charset=UTF-8"),
            ("CSV", "text/csv; charset=UTF-8; header=absent"),
            ("TSVWithNames", "text/tab-separated-values; charset=UTF-8"),
            ("RowBinaryWithNamesAndTypes", "application/octet-stream"),
            ("é", "text/plain; charset=UTF-8"),
        ] {
            assert_eq!(content_type(format), expected, "{format}");
        }
    }
}
