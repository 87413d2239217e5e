//! The client against servers that mean no good.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread::JoinHandle;

use bytes::Bytes;
use weir_engine::outbound::Tried;

use super::{Client, Resolve};

/// A server that gives every connection the same answer and then closes it; counts connections.
struct Server {
    address: SocketAddr,
    connections: Arc<AtomicUsize>,
    thread: Option<JoinHandle<()>>,
}

fn server(answer: impl Fn(&mut dyn Write) -> io::Result<()> + Send + 'static) -> Server {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let connections = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&connections);
    let thread = std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let mut head = [0; 4_096];
            let read = stream.read(&mut head).unwrap_or(0);
            if head[..read].starts_with(b"END") {
                return;
            }
            count.fetch_add(1, Ordering::SeqCst);
            // A client that has had enough closes: that is its right.
            let _ = answer(&mut stream);
        }
    });
    Server { address, connections, thread: Some(thread) }
}

impl Drop for Server {
    fn drop(&mut self) {
        if let Ok(mut stream) = std::net::TcpStream::connect(self.address) {
            let _ = stream.write_all(b"END");
        }
        if let Some(thread) = self.thread.take() {
            thread.join().expect("the server ends in order");
        }
    }
}

impl Server {
    fn connections(&self) -> usize {
        self.connections.load(Ordering::SeqCst)
    }
}

fn taken() -> Server {
    server(|stream| stream.write_all(b"HTTP/1.1 204 No Content\r\ncontent-length: 0\r\n\r\n"))
}

/// Resolves to these, one after another, the last for ever.
fn resolving(answers: Vec<Vec<SocketAddr>>) -> (Resolve, Arc<AtomicUsize>) {
    let asked = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&asked);
    let resolve: Resolve = Arc::new(move |_, _| {
        let n = count.fetch_add(1, Ordering::SeqCst).min(answers.len() - 1);
        let addresses = answers[n].clone();
        Box::pin(async move { Ok(addresses) })
    });
    (resolve, asked)
}

fn post(client: &Client, url: &str) -> Tried {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(client.post(url, &[("webhook-id", "msg_1".to_owned())], Bytes::from_static(b"{}")))
}

fn strict(answers: Vec<Vec<SocketAddr>>) -> (Client, Arc<AtomicUsize>) {
    let (resolve, asked) = resolving(answers);
    (Client::new(resolve, false), asked)
}

#[test]
fn nothing_is_dialled_in_the_own_network() {
    let victim = taken();
    let port = victim.address.port();
    let public: SocketAddr = ([8, 8, 8, 8], port).into();
    // A name that leads here, one that leads here too, and one that does so only the second time.
    for answers in [vec![vec![victim.address]], vec![vec![public, victim.address]]] {
        let (client, _) = strict(answers);
        let tried = post(&client, &format!("https://rebound.example:{port}/"));
        assert!(tried.error.as_deref().unwrap_or_default().contains("not a public address"), "{tried:?}");
    }
    let (client, asked) = strict(vec![vec![victim.address]]);
    for host in
        ["127.1", "0x7f.1", "2130706433", "[::ffff:127.0.0.1]", "[::1]", "169.254.169.254", "localhost"]
    {
        for scheme in ["https", "http"] {
            let tried = post(&client, &format!("{scheme}://{host}:{port}/"));
            assert!(!tried.taken() && tried.status.is_none(), "{host}: {tried:?}");
        }
    }
    assert_eq!(
        asked.load(Ordering::SeqCst),
        0,
        "numbers and `localhost` are refused before any name is resolved"
    );
    assert_eq!(victim.connections(), 0);
}

#[test]
fn what_is_dialled_is_what_was_checked() {
    let (first, second) = (taken(), taken());
    let (resolve, asked) = resolving(vec![vec![first.address], vec![second.address]]);
    let client = Client::new(resolve, true);
    assert!(post(&client, "http://shop.example/hook").taken());
    assert_eq!(asked.load(Ordering::SeqCst), 1, "a name is resolved once for a try");
    assert_eq!((first.connections(), second.connections()), (1, 0), "and dialled as it was resolved");
    assert!(post(&client, "http://shop.example/hook").taken());
    assert_eq!((first.connections(), second.connections()), (1, 1), "each try asks anew");
}

#[test]
fn redirects_are_not_followed() {
    let victim = taken();
    let to =
        format!("HTTP/1.1 302 Found\r\nlocation: http://{}/\r\ncontent-length: 0\r\n\r\n", victim.address);
    let server = server(move |stream| stream.write_all(to.as_bytes()));
    let client = Client::new(resolving(vec![vec![]]).0, true);
    let tried = post(&client, &format!("http://{}/", server.address));
    assert_eq!(tried.status, Some(302));
    assert!(tried.error.as_deref().unwrap_or_default().contains("redirects are not followed"), "{tried:?}");
    assert_eq!(victim.connections(), 0);
}

#[test]
fn an_answer_is_read_to_a_bound_and_never_unpacked() {
    let bomb = server(|stream| {
        stream
            .write_all(b"HTTP/1.1 200 OK\r\ncontent-encoding: gzip\r\ntransfer-encoding: chunked\r\n\r\n")?;
        // Far more than is read; whoever reads on never ends, since this does not either.
        let chunk = [0_u8; 4_096];
        loop {
            stream.write_all(b"1000\r\n")?;
            stream.write_all(&chunk)?;
            stream.write_all(b"\r\n")?;
        }
    });
    let client = Client::new(resolving(vec![vec![]]).0, true);
    let tried = post(&client, &format!("http://{}/", bomb.address));
    assert_eq!((tried.status, tried.taken()), (Some(200), true));
    assert!(tried.excerpt.len() <= 2_048, "{} bytes", tried.excerpt.len());
    let nothing = server(|_| Ok(()));
    let tried = post(&client, &format!("http://{}/", nothing.address));
    assert!(tried.status.is_none() && tried.error.is_some());
}
