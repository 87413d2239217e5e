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
//! Of the connections that are ready at once all are heard before the first is answered: then the kernel's code for
//! receiving, this program's and the kernel's for sending each run in a row, warm, and a client of several
//! connections is woken once for many answers.

use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::io::ErrorKind;
use std::mem::MaybeUninit;
use std::net::SocketAddr;
use std::pin::Pin;
use std::rc::{Rc, Weak};
use std::task::{Context, Poll, Waker};
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use tokio::io::{AsyncRead, AsyncWriteExt, ReadBuf};
use tokio::net::TcpStream;

mod answer;
mod request;

pub use answer::PlainAnswer;
pub use request::PlainRequest;

use crate::listener::{Limits, WRITE_STALLED, count_refused};

/// Headers of a plain request; one with more goes to hyper, which knows the listener's bound.
const HEADERS_MAX: usize = 48;
/// Buffers of answers kept for the next, and the bytes one may have grown to.
const BUFFERS_MAX: usize = 64;
const BUFFER_BYTES_MAX: usize = 16 * 1_024;
/// How often idle connections are looked at and the answers' date is told anew.
const LOOK_EVERY: Duration = Duration::from_millis(500);

/// Answers plain requests.
pub trait PlainService {
    /// Answers `request` into `answer`, or declines (`false`) having done nothing: then hyper's service gets it.
    fn answer(&self, request: &PlainRequest<'_>, peer: SocketAddr, answer: &mut PlainAnswer<'_>) -> bool;
}

/// No plain requests: every connection is hyper's.
#[derive(Debug, Clone, Copy)]
pub struct AllToHyper;

impl PlainService for AllToHyper {
    fn answer(&self, _: &PlainRequest<'_>, _: SocketAddr, _: &mut PlainAnswer<'_>) -> bool {
        false
    }
}

/// The plain connections of one accept loop.
pub(crate) struct Plain {
    scratch: RefCell<Scratch>,
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

/// A connection that waits for its next request.
#[derive(Default)]
struct Connection {
    /// The look after which it was last answered.
    answered: Cell<u32>,
    served: Cell<bool>,
    closing: Cell<bool>,
    waker: RefCell<Option<Waker>>,
}

/// What was read and answered at once.
struct Heard {
    answers: Vec<u8>,
    /// From these bytes on it is hyper's.
    to_hyper: Option<Bytes>,
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
            self.close(|connection| {
                self.look.get().wrapping_sub(connection.answered.get()) > self.idle_looks
            });
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
                if let Some(waker) = connection.waker.take() {
                    waker.wake();
                }
            }
            true
        });
    }

    /// Serves a connection until it ends (`None`) or is hyper's from the bytes given on.
    pub(crate) async fn serve(
        &self,
        stream: &mut TcpStream,
        peer: SocketAddr,
        service: &impl PlainService,
    ) -> Option<Bytes> {
        let connection = Rc::new(Connection { answered: self.look.clone(), ..Connection::default() });
        self.open.borrow_mut().push(Rc::downgrade(&connection));
        loop {
            let heard = poll_fn(|context| self.hear(context, stream, peer, service, &connection)).await?;
            if heard.answers.is_empty() {
                self.keep(heard.answers);
            } else {
                connection.served.set(true);
                others_first().await;
                self.send(stream, heard.answers).await?;
            }
            if heard.to_hyper.is_some() {
                return heard.to_hyper;
            }
        }
    }

    /// Reads once and answers what is plain; `None` where the peer or the listener ended it.
    fn hear(
        &self,
        context: &mut Context<'_>,
        stream: &mut TcpStream,
        peer: SocketAddr,
        service: &impl PlainService,
        connection: &Connection,
    ) -> Poll<Option<Heard>> {
        let scratch = &mut *self.scratch.borrow_mut();
        let mut read = ReadBuf::new(&mut scratch.input);
        match Pin::new(stream).poll_read(context, &mut read) {
            Poll::Pending if connection.closing.get() => return Poll::Ready(None),
            Poll::Pending => {
                let mut waker = connection.waker.borrow_mut();
                if !waker.as_ref().is_some_and(|known| known.will_wake(context.waker())) {
                    *waker = Some(context.waker().clone());
                }
                return Poll::Pending;
            }
            Poll::Ready(Err(_)) => return Poll::Ready(None),
            Poll::Ready(Ok(())) if read.filled().is_empty() => return Poll::Ready(None),
            Poll::Ready(Ok(())) => {}
        }
        let mut rest = read.filled();
        let mut heard = Heard { answers: scratch.buffers.pop().unwrap_or_default(), to_hyper: None };
        let mut headers = [const { MaybeUninit::uninit() }; HEADERS_MAX];
        while let Some((request, length)) = PlainRequest::parse(rest, &mut headers) {
            let mut answer = PlainAnswer::new(&mut heard.answers, &scratch.date);
            if !service.answer(&request, peer, &mut answer) {
                break;
            }
            rest = &rest[length..];
        }
        connection.answered.set(self.look.get());
        heard.to_hyper = (!rest.is_empty()).then(|| Bytes::copy_from_slice(rest));
        Poll::Ready(Some(heard))
    }

    /// Writes `answers`, mostly with one call; `None` where the peer takes them no more.
    async fn send(&self, stream: &mut TcpStream, answers: Vec<u8>) -> Option<()> {
        let written = match stream.try_write(&answers) {
            Ok(written) => written,
            Err(error) if error.kind() == ErrorKind::WouldBlock => 0,
            Err(_) => return None,
        };
        if written < answers.len() {
            let rest = stream.write_all(&answers[written..]);
            let taken = tokio::time::timeout(self.write_timeout, rest).await;
            taken.inspect_err(|_| count_refused(self.listener, WRITE_STALLED)).ok()?.ok()?;
        }
        self.keep(answers);
        Some(())
    }

    /// Keeps a buffer for the next answers.
    fn keep(&self, mut buffer: Vec<u8>) {
        let buffers = &mut self.scratch.borrow_mut().buffers;
        if buffers.len() < BUFFERS_MAX && buffer.capacity() <= BUFFER_BYTES_MAX {
            buffer.clear();
            buffers.push(buffer);
        }
    }
}

/// Lets the tasks that are ready go first. Unlike tokio's own yield it does not ask the kernel for news in between.
async fn others_first() {
    let mut gone = false;
    poll_fn(|context| {
        if std::mem::replace(&mut gone, true) {
            return Poll::Ready(());
        }
        context.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}
