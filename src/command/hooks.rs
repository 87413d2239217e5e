//! `weir hooks sign`: a sample signed as its provider would, printed or sent to an endpoint.

use std::io::{Read, Write};
use std::net::{TcpStream, ToSocketAddrs};
use std::time::Duration;

use clap::ArgMatches;
use weir_ingest::providers::{Provider, sign};
use weir_schemas::time::Timestamp;

use crate::engine::Failure;

/// How long the endpoint may take.
const TIMEOUT: Duration = Duration::from_secs(30);

pub(super) fn run(matches: &ArgMatches) -> Result<(), Failure> {
    let Some(("sign", matches)) = matches.subcommand() else { return Err("say what: sign".into()) };
    let text = |name: &str| matches.get_one::<String>(name).cloned();
    let name = text("provider").unwrap_or_default();
    let provider = Provider::from_name(&name).ok_or_else(|| format!("`{name}` is no provider"))?;
    let secret = text("secret").unwrap_or_default();
    let file = text("file").unwrap_or_default();
    let body = if file == "-" {
        let mut body = Vec::new();
        std::io::stdin().read_to_end(&mut body)?;
        body
    } else {
        std::fs::read(&file).map_err(|error| format!("{file}: {error}"))?
    };
    let signed = sign::sign(provider, &secret, &body, Timestamp::now())?;
    let Some(endpoint) = text("endpoint") else {
        for (name, value) in &signed.headers {
            println!("{name}: {value}");
        }
        if signed.headers.is_empty() {
            println!("{}", String::from_utf8_lossy(&signed.body));
        }
        return Ok(());
    };
    let (status, answer) = send(&endpoint, &signed)?;
    println!("{status} {}", answer.trim());
    if (200..300).contains(&status) { Ok(()) } else { Err(format!("the endpoint answered {status}").into()) }
}

/// Posts to `http://host:port/path`: an engine on this machine or behind a proxy of this network.
fn send(endpoint: &str, signed: &sign::Signed) -> Result<(u16, String), Failure> {
    let rest = endpoint.strip_prefix("http://").ok_or("--endpoint must begin with http://")?;
    let (authority, path) = rest.split_once('/').ok_or("--endpoint must name a path: /hooks/whk_…")?;
    let host = if authority.contains(':') { authority.to_owned() } else { format!("{authority}:80") };
    let address = host.to_socket_addrs()?.next().ok_or("the host has no address")?;
    let mut stream = TcpStream::connect_timeout(&address, TIMEOUT)?;
    stream.set_read_timeout(Some(TIMEOUT))?;
    let mut head =
        format!("POST /{path} HTTP/1.1\r\nhost: {authority}\r\ncontent-type: application/json\r\n");
    for (name, value) in &signed.headers {
        head += &format!("{name}: {value}\r\n");
    }
    head += &format!("content-length: {}\r\nconnection: close\r\n\r\n", signed.body.len());
    stream.write_all(head.as_bytes())?;
    stream.write_all(&signed.body)?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer)?;
    let answer = String::from_utf8_lossy(&answer).into_owned();
    let status = answer.split(' ').nth(1).and_then(|status| status.parse().ok());
    let body = answer.split_once("\r\n\r\n").map_or("", |(_, body)| body).to_owned();
    Ok((status.ok_or("the endpoint's answer cannot be read")?, body))
}
