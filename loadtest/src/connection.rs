//! One kept-alive HTTP/1.1 connection, reopened when the server closes it.

use std::net::SocketAddr;

use bytes::Bytes;
use http::{HeaderMap, Method, Request, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;

use crate::target::LoadError;

/// An answer, read whole.
#[derive(Debug)]
pub struct Answer {
    /// Status.
    pub status: StatusCode,
    /// Headers.
    pub headers: HeaderMap,
    /// Body.
    pub body: Bytes,
}

impl Answer {
    /// The body as JSON.
    pub fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).unwrap_or(serde_json::Value::Null)
    }
}

/// A connection to one address.
#[derive(Debug)]
pub struct Connection {
    address: SocketAddr,
    sender: Option<SendRequest<Full<Bytes>>>,
}

impl Connection {
    /// Connects at the first request.
    pub fn new(address: SocketAddr) -> Self {
        Self { address, sender: None }
    }

    async fn ready(&mut self) -> Result<&mut SendRequest<Full<Bytes>>, LoadError> {
        let open = match &mut self.sender {
            Some(sender) => sender.ready().await.is_ok(),
            None => false,
        };
        if !open {
            let failed =
                |error: &dyn std::fmt::Display| LoadError::Connection(format!("{}: {error}", self.address));
            let stream = TcpStream::connect(self.address).await.map_err(|error| failed(&error))?;
            stream.set_nodelay(true).map_err(|error| failed(&error))?;
            let (sender, connection) =
                handshake(TokioIo::new(stream)).await.map_err(|error| failed(&error))?;
            tokio::spawn(connection);
            self.sender = Some(sender);
        }
        Ok(self.sender.as_mut().expect("just opened"))
    }

    /// Sends a request and reads the whole answer.
    pub async fn send(
        &mut self,
        method: Method,
        path: &str,
        headers: &[(&str, &str)],
        body: impl Into<Bytes>,
    ) -> Result<Answer, LoadError> {
        let mut request =
            Request::builder().method(method).uri(path).header("host", self.address.to_string());
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let failed = |error: &dyn std::fmt::Display| LoadError::Connection(format!("{path}: {error}"));
        let request = request.body(Full::new(body.into())).map_err(|error| failed(&error))?;
        let sent = self.ready().await?.send_request(request).await;
        if sent.is_err() {
            self.sender = None;
        }
        let answer = sent.map_err(|error| failed(&error))?;
        let (parts, body) = answer.into_parts();
        let body = body.collect().await.map_err(|error| failed(&error))?.to_bytes();
        Ok(Answer { status: parts.status, headers: parts.headers, body })
    }

    /// Calls the API with `key` and a JSON body; any other status than `expected` is an error that shows the answer.
    pub async fn call(
        &mut self,
        key: &str,
        method: Method,
        path: &str,
        body: Option<&serde_json::Value>,
        expected: &[u16],
    ) -> Result<serde_json::Value, LoadError> {
        let bearer = format!("Bearer {key}");
        let headers = [("authorization", bearer.as_str()), ("content-type", "application/json")];
        let bytes = body.map(|value| value.to_string()).unwrap_or_default();
        let answer = self.send(method.clone(), path, &headers, bytes).await?;
        if !expected.contains(&answer.status.as_u16()) {
            return Err(LoadError::Unexpected {
                what: format!("{method} {path}"),
                expected: format!("{expected:?}"),
                got: format!("{} {}", answer.status, String::from_utf8_lossy(&answer.body)),
            });
        }
        Ok(answer.json())
    }
}
