//! The process body of `weir clickhouse`: opens the engine, listens, and ends in good order.

use std::io::{self, Write as _};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, watch};

use crate::execution::Engine;
use crate::flushes::{Counted, Flushes};
use crate::http_interface::{Interface, MAX_CONCURRENT_QUERIES};
use crate::libchdb::{Libchdb, LoadError};
use crate::lifetime::{self, LockError};

/// Connections held at a time; further ones wait in the listen queue.
const MAX_CONNECTIONS: usize = 1024;
/// How long a connection may take over a request's head.
const HEAD_TIMEOUT: Duration = Duration::from_secs(30);
/// Largest body of a request, in bytes before decompression.
pub(crate) const MAX_BODY_BYTES: u64 = 1 << 30;
/// How long queries may go on after the process has been asked to end; then they are stopped.
const DRAIN: Duration = Duration::from_secs(5);
/// How long stopped queries may take to notice.
const STOP_WAIT: Duration = Duration::from_secs(3);
/// Pause after `accept` failed (out of descriptors, say).
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);
/// Beyond the queries themselves: threads that stop abandoned ones.
const SPARE_THREADS: usize = 16;

/// What the engine begins with: half of the machine's memory, the rest is the parent's and the page cache's.
const SERVER_SETTINGS: [&str; 1] = ["--max_server_memory_usage_to_ram_ratio=0.5"];
/// What every query begins with. The library starts out like clickhouse-local, which takes any expression for
/// a SELECT; a server does not.
const SESSION_SETTINGS: [&str; 1] = ["--implicit_select=0"];

/// What to serve, and where. Not `Debug`: it holds the password.
#[derive(Clone)]
pub struct ServeOptions {
    /// The library's file; see [`crate::locate`].
    pub libchdb: PathBuf,
    /// ClickHouse's data: created if missing, and this process's alone.
    pub data_dir: PathBuf,
    /// Where to listen. Port 0 takes a free one; the ready line says which.
    pub addr: SocketAddr,
    /// The password of the user `default`.
    pub password: String,
    /// Ends with the parent, and waits for a predecessor's lock.
    pub tied: bool,
}

/// Why the server could not start.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// The library is not there or cannot be opened.
    #[error(transparent)]
    Load(#[from] LoadError),
    /// Another process has the data directory open: end it, or name another directory.
    #[error("the data directory {0} is in use by another process (its weir.lock is held)")]
    Locked(PathBuf),
    /// The data directory or its lock file cannot be made or opened.
    #[error("the data directory cannot be used: {path}: {source}")]
    DataDir {
        /// The lock file.
        path: PathBuf,
        /// The system's reason.
        source: io::Error,
    },
    /// The engine refused to open the directory; its reason is on standard error.
    #[error("libchdb did not open {0}; its reason is above, on standard error")]
    Open(PathBuf),
    /// The address is taken or not this machine's.
    #[error("cannot listen on {addr}: {source}")]
    Listen {
        /// The address asked for.
        addr: SocketAddr,
        /// The system's reason.
        source: io::Error,
    },
    /// The system refused a thread, a signal handler or the ready line.
    #[error("the process could not be set up: {0}")]
    Setup(#[source] io::Error),
}

/// Serves until it is asked to end, with a runtime of its own. Prints one line
/// `{"clickhouse":"http://127.0.0.1:PORT"}` on standard output once ready.
///
/// # Errors
/// It could not start; once it serves it only ends well.
pub fn serve(options: ServeOptions) -> Result<(), ServeError> {
    // First of all: a parent that ends during the start-up must not leave a process behind.
    let parent =
        if options.tied { Some(lifetime::tie_to_parent().map_err(ServeError::Setup)?) } else { None };
    let wait = if options.tied { lifetime::LOCK_WAIT } else { Duration::ZERO };
    let lock = lifetime::lock(&options.data_dir, wait).map_err(|error| match error {
        LockError::Held(path) => ServeError::Locked(path),
        LockError::Io(path, source) => ServeError::DataDir { path, source },
    })?;
    let started = Instant::now();
    let library = Libchdb::load(&options.libchdb)?;
    let engine = Engine::open(
        library,
        &options.data_dir,
        &texts(&SERVER_SETTINGS),
        &texts(&SESSION_SETTINGS),
        MAX_BODY_BYTES,
    )
    .ok_or_else(|| ServeError::Open(options.data_dir.clone()))?;
    let engine = Arc::new(engine);
    tracing::info!(
        version = engine.library_version(),
        milliseconds = started.elapsed().as_millis(),
        "libchdb is open"
    );
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .max_blocking_threads(MAX_CONCURRENT_QUERIES + SPARE_THREADS)
        .build()
        .map_err(ServeError::Setup)?;
    let served = runtime.block_on(listen(Arc::clone(&engine), &options, parent));
    runtime.shutdown_timeout(STOP_WAIT);
    if served? {
        engine.close();
        drop(lock);
    } else {
        tracing::warn!("a query did not stop in time; ending without the engine's own shutdown");
        lifetime::end_at_once();
    }
    Ok(())
}

fn texts(settings: &[&str]) -> Vec<String> {
    settings.iter().map(|&setting| setting.to_owned()).collect()
}

/// Accepts until asked to end. True when no query is left running.
async fn listen(
    engine: Arc<Engine>,
    options: &ServeOptions,
    parent: Option<tokio::sync::oneshot::Receiver<()>>,
) -> Result<bool, ServeError> {
    let addr = options.addr;
    let refused = |source| ServeError::Listen { addr, source };
    let ending = lifetime::asked_to_end(parent).map_err(ServeError::Setup)?;
    let listener = TcpListener::bind(addr).await.map_err(refused)?;
    let bound = listener.local_addr().map_err(refused)?;
    let interface = Arc::new(Interface::new(Arc::clone(&engine), options.password.clone()));
    announce(bound).map_err(ServeError::Setup)?;

    let connections = Arc::new(Semaphore::new(MAX_CONNECTIONS));
    let (drain, draining) = watch::channel(false);
    let mut ending = std::pin::pin!(ending);
    let reason = loop {
        let accepted = async {
            let permit = Arc::clone(&connections).acquire_owned().await;
            (permit, listener.accept().await)
        };
        let (permit, accepted) = tokio::select! {
            reason = &mut ending => break reason,
            accepted = accepted => accepted,
        };
        match accepted {
            Ok((socket, _)) => {
                let task = connection(socket, Arc::clone(&interface), draining.clone());
                tokio::spawn(async move {
                    task.await;
                    drop(permit);
                });
            }
            Err(error) => {
                tracing::warn!(%error, "accept failed");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    };
    tracing::info!(reason, "ending");
    drop(listener);
    let _ = drain.send(true);
    if tokio::time::timeout(DRAIN, interface.idle()).await.is_ok() {
        return Ok(true);
    }
    interface.stop_all();
    Ok(tokio::time::timeout(STOP_WAIT, interface.idle()).await.is_ok())
}

fn announce(bound: SocketAddr) -> io::Result<()> {
    let line = serde_json::json!({ "clickhouse": format!("http://{bound}") });
    let mut out = io::stdout().lock();
    writeln!(out, "{line}")?;
    out.flush()
}

async fn connection(socket: TcpStream, interface: Arc<Interface>, mut draining: watch::Receiver<bool>) {
    // Small answers must not wait for the client's delayed acknowledgement.
    let _ = socket.set_nodelay(true);
    let flushes = Flushes::default();
    let socket = Counted::new(socket, flushes.clone());
    let service = service_fn(move |request| {
        let (interface, flushes) = (Arc::clone(&interface), flushes.clone());
        async move { Ok::<_, std::convert::Infallible>(interface.answer(request, flushes).await) }
    });
    let served = hyper::server::conn::http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIMEOUT)
        .serve_connection(TokioIo::new(socket), service);
    let mut served = std::pin::pin!(served);
    let mut told = false;
    loop {
        tokio::select! {
            ended = &mut served => {
                if let Err(error) = ended {
                    tracing::debug!(%error, "a connection ended early");
                }
                return;
            }
            _ = draining.wait_for(|draining| *draining), if !told => {
                told = true;
                served.as_mut().graceful_shutdown();
            }
        }
    }
}
