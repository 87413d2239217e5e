//! A network that breaks: stands before ClickHouse and cuts connections on which an insert is under way, before its
//! data has arrived or after it was done and before the sender knows. Or one that is slow: it holds an insert until its
//! sender is gone, and delivers it later all the same.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

/// The proxy; its thread ends with the test's process.
pub(crate) struct Proxy {
    pub(crate) address: SocketAddr,
    faults: Arc<Faults>,
}

#[derive(Debug, Default)]
struct Faults {
    armed: AtomicBool,
    inserts: AtomicU64,
    cut_requests: AtomicU64,
    cut_replies: AtomicU64,
    holds: AtomicBool,
    /// Inserts that have come whole and are held.
    held: AtomicU64,
    releases: AtomicBool,
    /// Held inserts that were delivered and answered.
    delivered: AtomicU64,
}

/// What becomes of an insert. Repeats meet the next fate, so that every batch gets through in the end.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Fate {
    Passes,
    LosesItsData,
    LosesItsReply,
    IsHeld,
}

impl Faults {
    fn next(&self) -> Fate {
        if self.holds.load(Ordering::Acquire) {
            return Fate::IsHeld;
        }
        if !self.armed.load(Ordering::Acquire) {
            return Fate::Passes;
        }
        match self.inserts.fetch_add(1, Ordering::AcqRel) % 4 {
            0 | 2 => Fate::LosesItsReply,
            1 => Fate::LosesItsData,
            _ => Fate::Passes,
        }
    }
}

impl Proxy {
    /// Stands before `server`; harmless until it is armed.
    pub(crate) fn start(server: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("an address");
        let faults = Arc::new(Faults::default());
        let shared = Arc::clone(&faults);
        std::thread::spawn(move || {
            for client in listener.incoming().map_while(Result::ok) {
                // While the server is away connections end at once.
                let Ok(server) = TcpStream::connect(server) else { continue };
                connect(client, server, &shared);
            }
        });
        Self { address, faults }
    }

    pub(crate) fn arm(&self, armed: bool) {
        self.faults.armed.store(armed, Ordering::Release);
    }

    /// From now on inserts are held, or no more.
    pub(crate) fn hold(&self, holds: bool) {
        self.faults.holds.store(holds, Ordering::Release);
    }

    /// How many inserts have come whole and are held.
    pub(crate) fn held(&self) -> u64 {
        self.faults.held.load(Ordering::Acquire)
    }

    /// Delivers what is held.
    pub(crate) fn release(&self) {
        self.faults.releases.store(true, Ordering::Release);
    }

    /// How many held inserts were delivered and answered.
    pub(crate) fn delivered(&self) -> u64 {
        self.faults.delivered.load(Ordering::Acquire)
    }

    /// How many inserts lost their data on the way, and how many their reply.
    pub(crate) fn cuts(&self) -> (u64, u64) {
        let load = |count: &AtomicU64| count.load(Ordering::Acquire);
        (load(&self.faults.cut_requests), load(&self.faults.cut_replies))
    }
}

fn connect(client: TcpStream, server: TcpStream, faults: &Arc<Faults>) {
    let clone = |stream: &TcpStream| stream.try_clone().expect("a descriptor");
    let loses_reply = Arc::new(AtomicBool::new(false));
    {
        let (mut from, mut to) = (clone(&client), clone(&server));
        let (faults, loses_reply) = (Arc::clone(faults), Arc::clone(&loses_reply));
        std::thread::spawn(move || {
            let mut buffer = vec![0; 64 << 10];
            loop {
                let length = from.read(&mut buffer).unwrap_or(0);
                let begins_insert = buffer[..length].starts_with(b"POST")
                    && buffer[..length].windows(6).any(|window| window == b"INSERT");
                let fate = if begins_insert { faults.next() } else { Fate::Passes };
                if fate == Fate::IsHeld {
                    deliver_later(buffer[..length].to_vec(), from, &to, &faults);
                    return;
                }
                // What loses its data gets as far as the middle of what came first.
                let passed = if fate == Fate::LosesItsData { length - length / 8 } else { length };
                if fate == Fate::LosesItsReply {
                    loses_reply.store(true, Ordering::Release);
                }
                let written = to.write_all(&buffer[..passed]);
                if fate == Fate::LosesItsData {
                    faults.cut_requests.fetch_add(1, Ordering::AcqRel);
                }
                if length == 0 || written.is_err() || fate == Fate::LosesItsData {
                    break;
                }
            }
            let _ = (from.shutdown(Shutdown::Both), to.shutdown(Shutdown::Both));
        });
    }
    let (mut from, mut to, faults) = (server, client, Arc::clone(faults));
    std::thread::spawn(move || {
        let mut buffer = vec![0; 64 << 10];
        loop {
            let length = from.read(&mut buffer).unwrap_or(0);
            // The server answers: the insert is done.
            if length > 0 && loses_reply.load(Ordering::Acquire) {
                faults.cut_replies.fetch_add(1, Ordering::AcqRel);
                break;
            }
            if length == 0 || to.write_all(&buffer[..length]).is_err() {
                break;
            }
        }
        let _ = (from.shutdown(Shutdown::Both), to.shutdown(Shutdown::Both));
    });
}

/// Takes the rest of an insert, waits until its sender is gone and it may go on, and hands it over.
fn deliver_later(mut insert: Vec<u8>, mut from: TcpStream, to: &TcpStream, faults: &Faults) {
    let mut buffer = vec![0; 64 << 10];
    let mut whole = false;
    loop {
        // The client sends in chunks; the last is empty.
        if !whole && insert.ends_with(b"\r\n0\r\n\r\n") {
            whole = true;
            faults.held.fetch_add(1, Ordering::AcqRel);
        }
        match from.read(&mut buffer) {
            Ok(length) if length > 0 => insert.extend_from_slice(&buffer[..length]),
            _ => break,
        }
    }
    while !faults.releases.load(Ordering::Acquire) {
        std::thread::sleep(Duration::from_millis(10));
    }
    // On a connection of its own: the server may have closed one on which nothing came.
    let Ok(mut anew) = to.peer_addr().and_then(TcpStream::connect) else { return };
    let sent = anew.write_all(&insert);
    if whole && sent.is_ok() && anew.read(&mut buffer).is_ok_and(|length| length > 0) {
        faults.delivered.fetch_add(1, Ordering::AcqRel);
    }
}
