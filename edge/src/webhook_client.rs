//! One try to send a webhook: resolve, check every address, dial one that was checked, `POST`, read a bounded answer.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{Method, Request, StatusCode};
use http_body_util::{BodyExt, Full, Limited};
use hyper::client::conn::http1::handshake;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::pki_types::ServerName;
use tokio_rustls::rustls::{ClientConfig, RootCertStore, crypto};
use url::{Host, Url};

use weir_engine::outbound::address::{check_url, is_public};
use weir_engine::outbound::{Post, Tried};

/// How long one try may take in all: whoever needs longer should answer first and work then.
const TRY_TIMEOUT: Duration = Duration::from_secs(15);
/// How long dialling one address may take.
const DIAL_TIMEOUT: Duration = Duration::from_secs(5);
/// Most addresses of a name that are dialled, one after another.
const DIALS_MAX: usize = 3;
/// The most that is read of an answer, in bytes.
const ANSWER_MAX: usize = 64 * 1_024;
/// How much of it is kept for the delivery log.
const EXCERPT_MAX: usize = 512;

/// The addresses of a name, to come.
pub type ResolveFuture = Pin<Box<dyn Future<Output = io::Result<Vec<SocketAddr>>> + Send>>;
/// Resolves a host and port. Passed in, so that a test may rebind a name between two tries.
pub type Resolve = Arc<dyn Fn(String, u16) -> ResolveFuture + Send + Sync>;

/// The system's resolver.
pub fn system_resolver() -> Resolve {
    Arc::new(|host, port| Box::pin(async move { Ok(tokio::net::lookup_host((host, port)).await?.collect()) }))
}

/// Sends messages.
#[derive(Clone)]
pub struct Client {
    resolve: Resolve,
    tls: TlsConnector,
    private: bool,
}

impl std::fmt::Debug for Client {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Client").field("private", &self.private).finish_non_exhaustive()
    }
}

impl Client {
    /// `private` allows addresses that are not public, and `http`.
    pub fn new(resolve: Resolve, private: bool) -> Self {
        let roots = RootCertStore { roots: webpki_roots::TLS_SERVER_ROOTS.to_vec() };
        let config = ClientConfig::builder_with_provider(Arc::new(crypto::ring::default_provider()))
            .with_safe_default_protocol_versions()
            .expect("ring has the default versions")
            .with_root_certificates(roots)
            .with_no_client_auth();
        Self { resolve, tls: TlsConnector::from(Arc::new(config)), private }
    }

    /// For the sender.
    pub fn into_post(self) -> Post {
        Arc::new(move |url, headers, body| {
            let client = self.clone();
            Box::pin(async move { client.post(&url, &headers, body).await })
        })
    }

    /// One try.
    pub async fn post(&self, url: &str, headers: &[(&'static str, String)], body: Bytes) -> Tried {
        match tokio::time::timeout(TRY_TIMEOUT, self.attempt(url, headers, body)).await {
            Ok(Ok(tried)) => tried,
            Ok(Err(error)) => Tried::failed(error),
            Err(_) => Tried::failed(format!("no answer within {} s", TRY_TIMEOUT.as_secs())),
        }
    }

    async fn attempt(
        &self,
        url: &str,
        headers: &[(&'static str, String)],
        body: Bytes,
    ) -> Result<Tried, String> {
        let url = check_url(url, self.private).map_err(|why| format!("the URL {why}"))?;
        let stream = self.dial(&url).await?;
        if url.scheme() == "http" {
            return send(stream, &url, headers, body).await;
        }
        let host = url.host_str().unwrap_or_default().trim_matches(['[', ']']).to_owned();
        let name = ServerName::try_from(host).map_err(|_| "the host's name is none of TLS".to_owned())?;
        let stream = self.tls.connect(name, stream).await.map_err(|error| format!("TLS: {error}"))?;
        send(stream, &url, headers, body).await
    }

    /// Resolves once and dials what was checked.
    async fn dial(&self, url: &Url) -> Result<TcpStream, String> {
        let port = url.port_or_known_default().ok_or("the URL has no port")?;
        let addresses = match url.host() {
            Some(Host::Ipv4(address)) => vec![SocketAddr::new(IpAddr::V4(address), port)],
            Some(Host::Ipv6(address)) => vec![SocketAddr::new(IpAddr::V6(address), port)],
            Some(Host::Domain(name)) => (self.resolve)(name.to_owned(), port)
                .await
                .map_err(|error| format!("the host cannot be resolved: {error}"))?,
            None => Vec::new(),
        };
        if addresses.is_empty() {
            return Err("the host has no address".to_owned());
        }
        // One private address among public ones is one too many: nobody has that by accident.
        if let Some(private) = addresses.iter().find(|address| !self.private && !is_public(address.ip())) {
            return Err(format!("the host leads to {}, which is not a public address", private.ip()));
        }
        let mut last = String::new();
        for address in addresses.iter().take(DIALS_MAX) {
            match tokio::time::timeout(DIAL_TIMEOUT, TcpStream::connect(address)).await {
                Ok(Ok(stream)) => return Ok(stream),
                Ok(Err(error)) => last = format!("{address}: {error}"),
                Err(_) => last = format!("{address}: no connection within {} s", DIAL_TIMEOUT.as_secs()),
            }
        }
        Err(last)
    }
}

async fn send<S: AsyncRead + AsyncWrite + Unpin + Send + 'static>(
    stream: S,
    url: &Url,
    headers: &[(&'static str, String)],
    body: Bytes,
) -> Result<Tried, String> {
    let (mut sender, connection) =
        handshake(TokioIo::new(stream)).await.map_err(|error| error.to_string())?;
    let driving = tokio::spawn(connection);
    let result = exchange(&mut sender, url, headers, body).await;
    driving.abort();
    result
}

async fn exchange(
    sender: &mut hyper::client::conn::http1::SendRequest<Full<Bytes>>,
    url: &Url,
    headers: &[(&'static str, String)],
    body: Bytes,
) -> Result<Tried, String> {
    let target = match url.query() {
        Some(query) => format!("{}?{query}", url.path()),
        None => url.path().to_owned(),
    };
    let host = match url.port() {
        Some(port) => format!("{}:{port}", url.host_str().unwrap_or_default()),
        None => url.host_str().unwrap_or_default().to_owned(),
    };
    let mut request = Request::builder()
        .method(Method::POST)
        .uri(target)
        .header("host", host)
        .header("content-type", "application/json")
        // Nothing that is answered is worth decompressing.
        .header("accept-encoding", "identity")
        .header("user-agent", concat!("Weir/", env!("CARGO_PKG_VERSION")));
    for (name, value) in headers {
        request = request.header(*name, value);
    }
    let request = request.body(Full::new(body)).map_err(|error| error.to_string())?;
    let answer = sender.send_request(request).await.map_err(|error| error.to_string())?;
    let status = answer.status();
    // The status has been told: what follows it may be as long as it likes.
    let read = Limited::new(answer.into_body(), ANSWER_MAX).collect().await;
    let body = read.map(|whole| whole.to_bytes()).unwrap_or_default();
    let excerpt = String::from_utf8_lossy(&body[..body.len().min(EXCERPT_MAX)]).replace('\0', "");
    Ok(Tried { status: Some(status.as_u16()), error: refusal(status), excerpt })
}

fn refusal(status: StatusCode) -> Option<String> {
    match status.as_u16() {
        200..=299 => None,
        300..=399 => Some(format!("answered {status}; redirects are not followed")),
        _ => Some(format!("answered {status}")),
    }
}

#[cfg(test)]
mod tests;
