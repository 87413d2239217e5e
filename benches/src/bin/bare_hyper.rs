//! The least that a redirect can be in this process shape: the same listener loop, one current-thread runtime per
//! socket, the same allocator, and a fixed 302. What `make bench-redirect` divides by.

#![forbid(unsafe_code)]

use std::net::SocketAddr;

use clap::Parser;
use http::header::{CACHE_CONTROL, LOCATION};
use http::{HeaderValue, StatusCode};
use tokio::runtime::LocalRuntime;
use tokio::sync::watch;
use weir_edge::listener::{Limits, Listener, serve};
use weir_edge::plain::AllToHyper;
use weir_edge::response::{Body, Response};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

#[derive(Parser)]
struct Args {
    /// Where to listen.
    #[arg(long, default_value = "127.0.0.1:0")]
    addr: SocketAddr,
    /// How many threads, each with its socket.
    #[arg(long, default_value_t = 1)]
    threads: usize,
}

fn redirect() -> Response {
    let mut response = http::Response::new(Body::empty());
    *response.status_mut() = StatusCode::FOUND;
    let headers = response.headers_mut();
    headers
        .insert(LOCATION, HeaderValue::from_static("https://shop.example.com/products/spring-sale?ref=weir"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

fn main() -> std::io::Result<()> {
    let args = Args::parse();
    let group = Listener::bind_group(args.addr, args.threads)?;
    println!("{}", group[0].address());
    let (_stop, shutdown) = watch::channel(false);
    let threads: Vec<_> = group
        .into_iter()
        .map(|listener| {
            let shutdown = shutdown.clone();
            std::thread::spawn(move || {
                let runtime = LocalRuntime::new()?;
                let service = |_, _| async { redirect() };
                let serving =
                    serve(listener, Limits::new("public", 10_000), None::<AllToHyper>, service, shutdown);
                runtime.block_on(serving)
            })
        })
        .collect();
    for thread in threads {
        thread.join().expect("a listener's thread does not panic")?;
    }
    Ok(())
}
