//! A network that breaks: stands before ClickHouse and cuts connections on which an insert is under way, before its
//! data has arrived or after it was done and before the sender knows.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

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
}

/// What becomes of an insert. Repeats meet the next fate, so that every batch gets through in the end.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Fate {
    Passes,
    LosesItsData,
    LosesItsReply,
}

impl Faults {
    fn next(&self) -> Fate {
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
