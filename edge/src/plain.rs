//! Plain requests, answered beside hyper.
//!
//! What almost every visitor sends is a `GET` without a body that arrives whole in one read. For those hyper's
//! general machinery (a header map in and out, a body, a timer for each request) costs more than a redirect itself.
//! So a connection of a listener with a [`PlainService`] begins here: requests are parsed where they were read, by
//! hyper's own parser, answered into one buffer and written with one call, out of memory that all connections of the
//! thread share. What is anything else (another method, a body, an upgrade, HTTP/1.0, `Connection: close`, half a
//! request, anything malformed, whatever the service declines) goes to hyper with the bytes that were read, and the
//! connection stays with hyper from then on: the protocol's hard parts live in one place, and it is not this one.
//!
//! Of the connections that are ready at once all are read before the first request is answered, and all requests are
//! answered before the first answer is sent: the kernel's code for receiving, this program's and the kernel's for
//! sending each run in a row, warm, and a client of several connections is woken once for many answers. One task of the
//! thread answers, so that a connection's own is polled once for a request.

use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::io::{self, ErrorKind};
use std::mem::MaybeUninit;
use std::net::SocketAddr;
use std::rc::{Rc, Weak};
use std::task::{Context, Poll, Waker, ready};
use std::time::{Duration, Instant, SystemTime};

use bytes::Bytes;
use rustix::net::{RecvFlags, SendFlags};
use tokio::io::Interest;
use tokio::net::TcpStream;
use weir_schemas::time::Timestamp;

mod answer;
mod request;

pub use answer::PlainAnswer;
pub use request::PlainRequest;

use crate::listener::{Limits, WRITE_STALLED, count_refused};

/// Headers of a plain request; one with more goes to hyper, which knows the listener's bound.
const HEADERS_MAX: usize = 48;
/// Buffers of requests and answers kept for the next, and the bytes one may have grown to.
const BUFFERS_MAX: usize = 2 * ASKED_MAX;
const BUFFER_BYTES_MAX: usize = 16 * 1_024;
/// Requests that wait for their answers at most; one more, and they are answered at once.
const ASKED_MAX: usize = 64;
/// How often idle connections are looked at and the answers' date is told anew.
const LOOK_EVERY: Duration = Duration::from_millis(500);

/// Answers plain requests.
pub trait PlainService {
    /// Answers `request` into `answer`, or declines (`false`) having done nothing: then hyper's service gets it.
    fn answer(
        &self,
        request: &PlainRequest<'_>,
        peer: SocketAddr,
        read: ReadAt,
        answer: &mut PlainAnswer<'_>,
    ) -> bool;
}

/// When a request was read: one reading of the clocks for all that wait together, with the first of them.
#[derive(Debug, Clone, Copy)]
pub struct ReadAt {
    /// By the calendar.
    pub at: Timestamp,
    /// By the clock that durations are measured with.
    pub instant: Instant,
}

impl ReadAt {
    /// Just now.
    pub fn now() -> Self {
        Self { at: Timestamp::now(), instant: Instant::now() }
    }
}

/// No plain requests: every connection is hyper's.
#[derive(Debug, Clone, Copy)]
pub struct AllToHyper;

impl PlainService for AllToHyper {
    fn answer(&self, _: &PlainRequest<'_>, _: SocketAddr, _: ReadAt, _: &mut PlainAnswer<'_>) -> bool {
        false
    }
}

/// The plain connections of one accept loop.
pub(crate) struct Plain {
    scratch: RefCell<Scratch>,
    /// What was read and waits for the other connections that are ready.
    asked: RefCell<Vec<Asked>>,
    /// Of the task that answers it.
    answering: RefCell<Option<Waker>>,
    open: RefCell<Vec<Weak<Connection>>>,
    /// Looks so far: the clock by which connections are idle.
    look: Cell<u32>,
    /// Looks after which an idle connection is closed.
    idle_looks: u32,
    write_timeout: Duration,
    listener: &'static str,
}

/// What every request needs for an instant only. Never borrowed across an await.
struct Scratch {
    input: Box<[u8]>,
    buffers: Vec<Vec<u8>>,
    date: answer::Date,
}

/// A connection that waits for its next request, or for the answer to what was read of it.
struct Connection {
    stream: TcpStream,
    peer: SocketAddr,
    /// The look after which it last sent something.
    heard: Cell<u32>,
    served: Cell<bool>,
    closing: Cell<bool>,
    /// Its task; polled in vain while it waits for an answer, it is woken after that.
    waker: RefCell<Option<Waker>>,
    waits: Cell<bool>,
    woken: Cell<bool>,
    next: Cell<Option<Next>>,
}

/// What a connection's own task has to do.
enum Next {
    /// It is over.
    End,
    /// The peer has taken so many bytes only. After the others it may be hyper's.
    Write { answers: Vec<u8>, written: usize, to_hyper: Option<Bytes> },
    /// From these bytes on it is hyper's.
    ToHyper(Bytes),
}

/// What was read of a connection at once, and what becomes of it.
struct Asked {
    connection: Rc<Connection>,
    read: ReadAt,
    bytes: Vec<u8>,
    answers: Vec<u8>,
    to_hyper: Option<Bytes>,
}

impl Connection {
    fn new(stream: TcpStream, peer: SocketAddr, look: u32) -> Self {
        Self {
            stream,
            peer,
            heard: Cell::new(look),
            served: Cell::new(false),
            closing: Cell::new(false),
            waker: RefCell::new(None),
            waits: Cell::new(false),
            woken: Cell::new(false),
            next: Cell::new(None),
        }
    }

    fn remember(&self, waker: &Waker) {
        let mut known = self.waker.borrow_mut();
        if !known.as_ref().is_some_and(|known| known.will_wake(waker)) {
            *known = Some(waker.clone());
        }
    }

    fn wake(&self) {
        if let Some(waker) = &*self.waker.borrow() {
            waker.wake_by_ref();
        }
    }
}

impl Plain {
    pub(crate) fn new(limits: &Limits) -> Rc<Self> {
        let looks = limits.header_timeout.as_millis() / LOOK_EVERY.as_millis();
        Rc::new(Self {
            scratch: RefCell::new(Scratch {
                input: vec![0; limits.header_bytes].into_boxed_slice(),
                buffers: Vec::new(),
                date: answer::Date::at(SystemTime::now()),
            }),
            asked: RefCell::new(Vec::with_capacity(ASKED_MAX)),
            answering: RefCell::new(None),
            open: RefCell::new(Vec::new()),
            look: Cell::new(0),
            idle_looks: u32::try_from(looks).unwrap_or(u32::MAX).max(1),
            write_timeout: limits.write_timeout,
            listener: limits.name,
        })
    }

    /// Closes what is idle for too long, until dropped.
    pub(crate) async fn look_after(&self) {
        loop {
            tokio::time::sleep(LOOK_EVERY).await;
            self.look.set(self.look.get().wrapping_add(1));
            self.scratch.borrow_mut().date = answer::Date::at(SystemTime::now());
            self.close(|connection| self.look.get().wrapping_sub(connection.heard.get()) > self.idle_looks);
        }
    }

    /// Closes the connections that wait for another request; those that have sent none yet too, if `all`.
    pub(crate) fn close_idle(&self, all: bool) {
        self.close(|connection| all || connection.served.get());
    }

    fn close(&self, which: impl Fn(&Connection) -> bool) {
        self.open.borrow_mut().retain(|connection| {
            let Some(connection) = connection.upgrade() else { return false };
            if which(&connection) {
                connection.closing.set(true);
                connection.wake();
            }
            true
        });
    }

    /// Serves a connection until it ends (`None`) or is hyper's from the bytes given on.
    pub(crate) async fn serve(
        &self,
        stream: TcpStream,
        peer: SocketAddr,
        service: &impl PlainService,
    ) -> Option<(TcpStream, Bytes)> {
        let connection = Rc::new(Connection::new(stream, peer, self.look.get()));
        self.open.borrow_mut().push(Rc::downgrade(&connection));
        loop {
            let bytes = match poll_fn(|context| self.hear(context, &connection, service)).await {
                Next::End => return None,
                Next::ToHyper(bytes) => bytes,
                Next::Write { answers, written, to_hyper } => {
                    let rest = write_all(&connection.stream, &answers[written..]);
                    let taken = tokio::time::timeout(self.write_timeout, rest).await;
                    taken.inspect_err(|_| count_refused(self.listener, WRITE_STALLED)).ok()?.ok()?;
                    self.scratch.borrow_mut().keep(answers);
                    match to_hyper {
                        Some(bytes) => bytes,
                        None => continue,
                    }
                }
            };
            let connection = Rc::into_inner(connection).expect("what is not asked is held by its task alone");
            return Some((connection.stream, bytes));
        }
    }

    /// Reads what the peer asks, until the connection's own task has something to do.
    fn hear(
        &self,
        context: &mut Context<'_>,
        connection: &Rc<Connection>,
        service: &impl PlainService,
    ) -> Poll<Next> {
        connection.remember(context.waker());
        loop {
            if let Some(next) = connection.next.take() {
                return Poll::Ready(next);
            }
            if connection.waits.get() {
                connection.woken.set(true);
                return Poll::Pending;
            }
            match self.read(context, connection) {
                Poll::Pending if connection.closing.get() => return Poll::Ready(Next::End),
                Poll::Pending => return Poll::Pending,
                Poll::Ready(Err(_) | Ok(0)) => return Poll::Ready(Next::End),
                Poll::Ready(Ok(_)) => {}
            }
            let asked = self.asked.borrow().len();
            match &*self.answering.borrow() {
                Some(answering) if asked < ASKED_MAX => {
                    if asked == 1 {
                        answering.wake_by_ref();
                    }
                    if connection.stream.poll_read_ready(context).is_pending() {
                        return Poll::Pending;
                    }
                }
                _ => self.answer_all(service),
            }
        }
    }

    /// Reads once, into what is asked.
    fn read(&self, context: &mut Context<'_>, connection: &Rc<Connection>) -> Poll<io::Result<usize>> {
        let scratch = &mut *self.scratch.borrow_mut();
        let length = ready!(receive(context, &connection.stream, &mut scratch.input))?;
        if length > 0 {
            let mut bytes = scratch.buffers.pop().unwrap_or_default();
            bytes.extend_from_slice(&scratch.input[..length]);
            let answers = scratch.buffers.pop().unwrap_or_default();
            connection.heard.set(self.look.get());
            connection.waits.set(true);
            let mut asked = self.asked.borrow_mut();
            let read = asked.first().map_or_else(ReadAt::now, |first| first.read);
            asked.push(Asked { connection: Rc::clone(connection), read, bytes, answers, to_hyper: None });
        }
        Poll::Ready(Ok(length))
    }

    /// Answers what was asked, behind the tasks that were ready with its first request; until dropped.
    pub(crate) async fn answer(&self, service: &impl PlainService) {
        poll_fn(|context| {
            self.answering.borrow_mut().get_or_insert_with(|| context.waker().clone());
            self.answer_all(service);
            Poll::Pending
        })
        .await
    }

    fn answer_all(&self, service: &impl PlainService) {
        let mut asked = self.asked.borrow_mut();
        if asked.is_empty() {
            return;
        }
        let scratch = &mut *self.scratch.borrow_mut();
        for Asked { connection, read, bytes, answers, to_hyper } in &mut *asked {
            let rest = answer(bytes, (connection.peer, *read), service, answers, &scratch.date);
            *to_hyper = (!rest.is_empty()).then(|| Bytes::copy_from_slice(rest));
        }
        for Asked { connection, bytes, answers, to_hyper, .. } in asked.drain(..) {
            scratch.keep(bytes);
            connection.waits.set(false);
            connection.served.set(connection.served.get() || !answers.is_empty());
            let next = match send(&connection.stream, &answers) {
                Err(_) => Some(Next::End),
                Ok(written) if written < answers.len() => Some(Next::Write { answers, written, to_hyper }),
                Ok(_) => {
                    scratch.keep(answers);
                    to_hyper.map(Next::ToHyper)
                }
            };
            if next.is_some() || connection.woken.take() {
                connection.next.set(next);
                connection.wake();
            }
        }
    }
}

impl Scratch {
    /// Keeps a buffer for what is read or answered next.
    fn keep(&mut self, mut buffer: Vec<u8>) {
        if self.buffers.len() < BUFFERS_MAX && buffer.capacity() <= BUFFER_BYTES_MAX {
            buffer.clear();
            self.buffers.push(buffer);
        }
    }
}

/// Reads once, with the system call itself: the C library's may be cancelled by another thread and pays for it.
fn receive(context: &mut Context<'_>, stream: &TcpStream, into: &mut [u8]) -> Poll<io::Result<usize>> {
    loop {
        ready!(stream.poll_read_ready(context))?;
        let mut read = 0;
        let tried = stream.try_io(Interest::READABLE, || {
            (read, _) = rustix::net::recv(stream, &mut *into, RecvFlags::empty())?;
            // Less than there was room for: nothing is left, and the next read waits to be told of more.
            if (1..into.len()).contains(&read) { Err(ErrorKind::WouldBlock.into()) } else { Ok(()) }
        });
        match tried {
            Err(error) if error.kind() != ErrorKind::WouldBlock => return Poll::Ready(Err(error)),
            Err(_) if read == 0 => {}
            _ => return Poll::Ready(Ok(read)),
        }
    }
}

/// Sends what the peer takes at once.
fn send(stream: &TcpStream, bytes: &[u8]) -> io::Result<usize> {
    if bytes.is_empty() {
        return Ok(0);
    }
    let send = || Ok(rustix::net::send(stream, bytes, SendFlags::NOSIGNAL)?);
    match stream.try_io(Interest::WRITABLE, send) {
        Err(error) if error.kind() == ErrorKind::WouldBlock => Ok(0),
        sent => sent,
    }
}

async fn write_all(stream: &TcpStream, mut bytes: &[u8]) -> io::Result<()> {
    while !bytes.is_empty() {
        stream.writable().await?;
        bytes = &bytes[send(stream, bytes)?..];
    }
    Ok(())
}

/// Answers the plain requests at the beginning of `bytes` and gives what is left of them, which is hyper's.
fn answer<'a>(
    mut bytes: &'a [u8],
    (peer, read): (SocketAddr, ReadAt),
    service: &impl PlainService,
    answers: &mut Vec<u8>,
    date: &answer::Date,
) -> &'a [u8] {
    let mut headers = [const { MaybeUninit::uninit() }; HEADERS_MAX];
    while let Some((request, length)) = PlainRequest::parse(bytes, &mut headers) {
        if !service.answer(&request, peer, read, &mut PlainAnswer::new(answers, date)) {
            break;
        }
        bytes = &bytes[length..];
    }
    bytes
}
