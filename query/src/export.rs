//! `POST /v1/export`: raw rows as ClickHouse writes them, piece by piece. A client that goes away takes its query with
//! it: the connection to ClickHouse closes with the body.

use std::pin::Pin;
use std::task::{Context as Poller, Poll, ready};

use bytes::Bytes;
use clickhouse::query::BytesCursor;
use http::{HeaderValue, Method};
use hyper::body::{Body as HttpBody, Frame};
use weir_edge::request::Context;
use weir_edge::response::{Body, Response, StreamError};
use weir_edge::route::Router;
use weir_engine::query::Running;
use weir_engine::query::execute::QueryError;
use weir_engine::query::export::{FileFormat, Spec};
use weir_engine::query::reports::{Asked, Scope};
use weir_schemas::problem::Problem;
use weir_schemas::time::Timestamp;

use crate::admission::Turn;
use crate::analytics::{Analytics, Exported, reader};
use crate::format::Format;
use crate::reports::read;

/// Rows on their way.
#[derive(Debug)]
pub(crate) struct Rows {
    first: Option<Bytes>,
    cursor: Cursor,
    running: Running,
    _turn: Turn,
}

struct Cursor(BytesCursor);

impl std::fmt::Debug for Cursor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Cursor")
    }
}

impl Rows {
    /// Waits for the first piece: until then ClickHouse can refuse, and the answer say so.
    pub(crate) async fn begin(
        (mut cursor, running): (BytesCursor, Running),
        turn: Turn,
    ) -> Result<Self, QueryError> {
        let first = cursor.next().await?;
        Ok(Self { first, cursor: Cursor(cursor), running, _turn: turn })
    }
}

impl HttpBody for Rows {
    type Data = Bytes;
    type Error = StreamError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        poller: &mut Poller<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, StreamError>>> {
        if let Some(first) = self.first.take() {
            return Poll::Ready(Some(Ok(Frame::data(first))));
        }
        match ready!(self.cursor.0.poll_next(poller)) {
            Ok(None) => {
                self.running.ended();
                Poll::Ready(None)
            }
            Ok(Some(piece)) => Poll::Ready(Some(Ok(Frame::data(piece)))),
            Err(error) => {
                tracing::warn!(%error, "an export broke off");
                Poll::Ready(Some(Err(error.into())))
            }
        }
    }
}

/// The route.
pub fn routes(analytics: &Analytics) -> Router {
    let analytics = analytics.clone();
    Router::new().route(Method::POST, "/v1/export", move |context| export(context, analytics.clone()))
}

async fn export(mut context: Context, analytics: Analytics) -> Result<Response, Problem> {
    let principal = reader(&context)?;
    let format = match Format::of(&context)? {
        Format::Json => Format::Ndjson,
        format => format,
    };
    let (asked, spec): (Asked, Spec) = read(&mut context).await?;
    let scope = Scope::build(&asked, principal.workspace, Timestamp::now(), principal.partner)?;
    scope.without_amounts("raw rows")?;
    let file = format.file().unwrap_or(FileFormat::Ndjson);
    let Exported { rows, count, as_of } = analytics.export(&scope, &spec, file).await?;
    let mut response = format.attached(Body::stream(rows), as_of);
    response.headers_mut().insert("weir-total-rows", HeaderValue::from(count));
    Ok(response)
}
