//! The accept loop: HTTP/1.1 over TCP, every resource bounded. Runs on the runtime of the thread that calls
//! [`serve`], so a service may hold what belongs to that thread alone (its lane).
//!
//! A listener with `SO_REUSEPORT` lets each thread own a socket of the same port; the kernel spreads
//! connections over them.

use std::cell::Cell;
use std::convert::Infallible;
use std::future::Future;
use std::io;
use std::net::{SocketAddr, TcpListener as StdListener};
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;

use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use socket2::{Domain, Protocol, Socket, Type};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::plain::{Plain, PlainService};
use crate::response::{Body, Response};

/// Connections that the kernel completes before they are accepted.
const BACKLOG: i32 = 4_096;
/// Pause after an accept that failed for want of descriptors or memory; another connection has to close
/// first.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);
/// How long, and for how many bytes, a refused client may go on sending before its connection is cut.
const LINGER: Duration = Duration::from_secs(1);
const LINGER_BYTES: usize = 1 << 20;
/// Once the shutdown has begun, a connection without a request to answer is cut when this has passed twice: a
/// client that has sent half a request would hold the drain up to its deadline.
const UNFINISHED: Duration = Duration::from_secs(1);
/// How often a drain looks whether the last connection has closed.
const DRAIN_POLL: Duration = Duration::from_millis(5);

/// What one listener bears.
#[derive(Debug, Clone)]
pub struct Limits {
    /// The label of its metrics: `public` or `admin`.
    pub name: &'static str,
    /// Request line and headers together, in bytes: 431 beyond.
    pub header_bytes: usize,
    /// Headers in one request: 431 beyond.
    pub headers: usize,
    /// Within this a request's headers must be there, counted from when the connection is ready for them; so
    /// it is also how long an idle connection is kept.
    pub header_timeout: Duration,
    /// How long a client may leave an answer unread before its connection is cut.
    pub write_timeout: Duration,
    /// Whether a connection serves more than one request.
    pub keep_alive: bool,
    /// Whether a client that has closed its sending side still gets its answer. Where not, whoever closes is taken to
    /// have gone, and what works on the answer is dropped: a query's asker who goes away ends the query.
    pub half_close: bool,
    /// Open connections of this accept loop; one more is accepted and closed.
    pub max_connections: usize,
    /// How long open requests may go on after the shutdown has begun.
    pub drain: Duration,
}

impl Limits {
    /// The bounds that suit visitors and callers alike. 16 kB of headers is what browsers and proxies stay
    /// within.
    pub fn new(name: &'static str, max_connections: usize) -> Self {
        Self {
            name,
            header_bytes: 16 * 1_024,
            headers: 100,
            header_timeout: Duration::from_secs(15),
            write_timeout: Duration::from_secs(30),
            keep_alive: true,
            half_close: true,
            max_connections,
            drain: Duration::from_secs(10),
        }
    }
}

/// A bound socket that has not begun to accept.
#[derive(Debug)]
pub struct Listener {
    socket: StdListener,
    address: SocketAddr,
}

impl Listener {
    /// Binds `address`; port 0 takes any. With `reuse_port` other sockets may bind the same port.
    pub fn bind(address: SocketAddr, reuse_port: bool) -> io::Result<Self> {
        let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
        socket.set_reuse_address(true)?;
        if reuse_port {
            socket.set_reuse_port(true)?;
        }
        socket.set_nonblocking(true)?;
        socket.bind(&address.into())?;
        socket.listen(BACKLOG)?;
        let socket = StdListener::from(socket);
        let address = socket.local_addr()?;
        Ok(Self { socket, address })
    }

    /// Binds `count` sockets to one port; where that is 0 the first bind decides it.
    pub fn bind_group(address: SocketAddr, count: usize) -> io::Result<Vec<Self>> {
        let first = Self::bind(address, count > 1)?;
        let bound = first.address;
        let mut group = vec![first];
        for _ in 1..count {
            group.push(Self::bind(bound, true)?);
        }
        Ok(group)
    }

    /// The address bound.
    pub fn address(&self) -> SocketAddr {
        self.address
    }
}

/// Accepts and serves until `shutdown` is true or its sender is gone, then lets open requests finish within
/// [`Limits::drain`]. Must run in a [`tokio::task::LocalSet`] or a local runtime: connections never leave
/// this thread. What `plain` declines is `service`'s.
pub async fn serve<P, S, A>(
    listener: Listener,
    limits: Limits,
    plain: Option<P>,
    service: S,
    mut shutdown: watch::Receiver<bool>,
) -> io::Result<()>
where
    P: PlainService + 'static,
    S: Fn(http::Request<Incoming>, SocketAddr) -> A + Clone + 'static,
    A: Future<Output = Response> + 'static,
{
    let listener = TcpListener::from_std(listener.socket)?;
    let protocol = protocol(&limits);
    let plainly = plain.filter(|_| limits.keep_alive).map(|service| (service, Plain::new(&limits)));
    let plainly = plainly.map(Rc::new);
    // A task and no branch of the loop below: who wakes that one pays for a system call. It ends with this function.
    let mut answering = JoinSet::new();
    if let Some(plainly) = plainly.clone() {
        answering.spawn_local(async move { plainly.1.answer(&plainly.0).await });
    }
    let open = Rc::new(Cell::new(0_usize));
    let refused = metrics::counter!(format!("weir_{}_connections_refused_total", limits.name));
    let accepted = metrics::counter!(format!("weir_{}_connections_total", limits.name));
    let start = |mut stream: TcpStream, peer: SocketAddr| {
        if open.get() >= limits.max_connections {
            refused.increment(1);
            return;
        }
        accepted.increment(1);
        let place = Place::take(&open);
        let (protocol, service, shutdown) = (protocol.clone(), service.clone(), shutdown.clone());
        let plainly = plainly.clone();
        tokio::task::spawn_local(async move {
            let _place = place;
            // Fails only when the peer is gone already, which the first read will tell.
            let _ = stream.set_nodelay(true);
            let mut begun = Bytes::new();
            if let Some((service, plain)) = plainly.as_deref() {
                let Some(rest) = plain.serve(stream, peer, service).await else { return };
                (stream, begun) = rest;
            }
            // Boxed: a connection that stays plain needs none of its memory.
            let unanswered = Arc::new(AtomicBool::new(!begun.is_empty()));
            let stream = Begun { begun, stream, patience: limits.write_timeout, stalled: None, unanswered };
            let refused = Box::pin(connection(stream, peer, &protocol, service, shutdown)).await;
            refused.inspect(|reason| count_refused(limits.name, reason));
        });
    };
    let look_after = async {
        match plainly.as_deref() {
            Some((_, plain)) => plain.look_after().await,
            None => std::future::pending().await,
        }
    };
    let mut look_after = std::pin::pin!(look_after);
    let mut closing = shutdown.clone();
    loop {
        tokio::select! {
            biased;
            _ = closing.wait_for(|stop| *stop) => break,
            () = &mut look_after => {}
            next = listener.accept() => match next {
                Ok((stream, peer)) => start(stream, peer),
                Err(error) => {
                    metrics::counter!(format!("weir_{}_accept_errors_total", limits.name)).increment(1);
                    tracing::warn!(%error, listener = limits.name, "accept failed");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            },
        }
    }
    // What the kernel has completed already would be reset by closing the socket.
    while let Ok(Ok((stream, peer))) = tokio::time::timeout(Duration::ZERO, listener.accept()).await {
        start(stream, peer);
    }
    drop(listener);
    shutdown.mark_unchanged();
    let begun = tokio::time::Instant::now();
    while open.get() > 0 && begun.elapsed() < limits.drain {
        if let Some((_, plain)) = plainly.as_deref() {
            plain.close_idle(begun.elapsed() >= UNFINISHED);
        }
        tokio::time::sleep(DRAIN_POLL).await;
    }
    if open.get() > 0 {
        tracing::warn!(
            open = open.get(),
            listener = limits.name,
            "connections were cut at the drain's deadline"
        );
    }
    Ok(())
}

fn protocol(limits: &Limits) -> http1::Builder {
    let mut protocol = http1::Builder::new();
    protocol
        .timer(TokioTimer::new())
        .header_read_timeout(limits.header_timeout)
        .max_header_size(limits.header_bytes)
        .max_headers(limits.headers)
        // hyper's least; bodies are read frame by frame and bounded by who reads them.
        .max_buf_size(limits.header_bytes.max(8 * 1_024))
        .keep_alive(limits.keep_alive)
        // Off: with it hyper never flushes the 400 or 431 to a client whose bytes are still in its buffer.
        .pipeline_flush(false)
        .half_close(limits.half_close);
    protocol
}

/// Serves a connection to its end; tells why, where that was not the client's.
async fn connection<S, A>(
    stream: Begun,
    peer: SocketAddr,
    protocol: &http1::Builder,
    service: S,
    mut shutdown: watch::Receiver<bool>,
) -> Option<&'static str>
where
    S: Fn(http::Request<Incoming>, SocketAddr) -> A,
    A: Future<Output = Response>,
{
    let work = Rc::new(Work::default());
    let unanswered = Arc::clone(&stream.unanswered);
    let service = service_fn(|request| {
        let (answer, work, unanswered) = (service(request, peer), Rc::clone(&work), Arc::clone(&unanswered));
        work.0.set(true);
        async move {
            let response = answer.await;
            unanswered.store(false, Ordering::Relaxed);
            // A stream goes on after its head was given; what is whole is the socket's.
            work.0.set(matches!(response.body(), Body::Stream(_)));
            Ok::<_, Infallible>(response)
        }
    });
    let mut served = protocol.serve_connection(TokioIo::new(stream), service).with_upgrades();
    let ended = tokio::select! {
        ended = &mut served => ended,
        _ = shutdown.wait_for(|stop| *stop) => {
            Pin::new(&mut served).graceful_shutdown();
            tokio::select! {
                ended = &mut served => ended,
                () = work.rests() => return None,
            }
        }
    };
    let refused = ended.as_ref().err().and_then(|error| {
        tracing::trace!(%error, %peer, "connection ended");
        refusal(error, unanswered.load(Ordering::Relaxed))
    });
    if let Some(parts) = served.into_parts() {
        // A value, not the guard: held over the await it would block whoever announces the shutdown,
        // and with it every thread.
        let stopping = *shutdown.borrow();
        linger(parts.io.into_inner().stream, stopping).await;
    }
    refused
}

/// Under which reason a connection's end is counted; `None` where it was the client's. `unanswered`: bytes came that
/// nothing answered; without them a connection that is closed in time was idle.
fn refusal(error: &hyper::Error, unanswered: bool) -> Option<&'static str> {
    if error.is_parse_too_large() {
        Some("head_too_large")
    } else if error.is_parse() {
        Some("malformed")
    } else if error.is_timeout() {
        unanswered.then_some("head_timeout")
    } else {
        let io = std::error::Error::source(error)?.downcast_ref::<io::Error>()?;
        (io.kind() == io::ErrorKind::TimedOut).then_some(WRITE_STALLED)
    }
}

/// The client takes its answer no more.
pub(crate) const WRITE_STALLED: &str = "write_stalled";

pub(crate) fn count_refused(listener: &str, reason: &'static str) {
    metrics::counter!(format!("weir_{listener}_requests_refused_total"), "reason" => reason).increment(1);
}

/// Whether a connection has something to answer.
#[derive(Default)]
struct Work(Cell<bool>);

impl Work {
    /// Resolves when there was nothing to answer at two looks.
    async fn rests(&self) {
        let mut rested = false;
        loop {
            tokio::time::sleep(UNFINISHED).await;
            let rests = !self.0.get();
            if rested && rests {
                return;
            }
            rested = rests;
        }
    }
}

/// Where the server ends a connection first, reads on for a moment: closing a socket to which a client is
/// still sending resets it, and the client would never see the refusal (413, 431) that it was just sent.
async fn linger(mut stream: TcpStream, stopping: bool) {
    let mut scrap = [0; 4_096];
    match stream.try_read(&mut scrap) {
        Ok(0) => return,
        Ok(_) => {}
        Err(error) if error.kind() == io::ErrorKind::WouldBlock && !stopping => {}
        Err(_) => return,
    }
    let rest = async {
        stream.shutdown().await?;
        let mut left = LINGER_BYTES;
        while left > 0 {
            let read = stream.read(&mut scrap).await?;
            if read == 0 {
                break;
            }
            left = left.saturating_sub(read);
        }
        io::Result::Ok(())
    };
    // Whether the client stopped in time or not, the connection is over.
    let _ = tokio::time::timeout(LINGER, rest).await;
}

/// A connection some of whose bytes were read already, and whose writes may not stall for ever: hyper would
/// wait as long as the client does.
struct Begun {
    begun: Bytes,
    stream: TcpStream,
    patience: Duration,
    /// Runs while the client takes nothing.
    stalled: Option<Pin<Box<tokio::time::Sleep>>>,
    /// Bytes came that nothing has answered.
    unanswered: Arc<AtomicBool>,
}

impl Begun {
    fn timed<T>(
        &mut self,
        context: &mut Context<'_>,
        write: impl FnOnce(Pin<&mut TcpStream>, &mut Context<'_>) -> Poll<io::Result<T>>,
    ) -> Poll<io::Result<T>> {
        let written = write(Pin::new(&mut self.stream), context);
        if written.is_ready() {
            self.stalled = None;
            return written;
        }
        let patience = self.patience;
        let stalled = self.stalled.get_or_insert_with(|| Box::pin(tokio::time::sleep(patience)));
        stalled.as_mut().poll(context).map(|()| Err(io::ErrorKind::TimedOut.into()))
    }
}

impl AsyncRead for Begun {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if !self.begun.is_empty() {
            let length = self.begun.len().min(buffer.remaining());
            buffer.put_slice(&self.begun.split_to(length));
            return Poll::Ready(Ok(()));
        }
        let before = buffer.filled().len();
        let read = Pin::new(&mut self.stream).poll_read(context, buffer);
        if buffer.filled().len() > before {
            self.unanswered.store(true, Ordering::Relaxed);
        }
        read
    }
}

impl AsyncWrite for Begun {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.timed(context, |stream, context| stream.poll_write(context, bytes))
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.timed(context, |stream, context| stream.poll_write_vectored(context, bytes))
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

/// One open connection.
struct Place(Rc<Cell<usize>>);

impl Place {
    fn take(open: &Rc<Cell<usize>>) -> Self {
        open.set(open.get() + 1);
        Self(Rc::clone(open))
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.0.set(self.0.get() - 1);
    }
}
