//! `weir hooks sign`: a sample signed as its provider would, printed or sent to an endpoint. Whoever names no secret
//! means the engine that runs on the data folder: its endpoint, whose secret the keyring beside it has.

use std::io::{Read, Write};
use std::net::{TcpStream, ToSocketAddrs};
use std::path::Path;
use std::time::Duration;

use clap::ArgMatches;
use weir_engine::books::{ENDPOINT_SECRET_CONTEXT, Reads};
use weir_engine::keyring::Keyring;
use weir_ingest::providers::Provider;
use weir_ingest::providers::sign::{Signed, Signer, sign};
use weir_schemas::ids::EndpointId;
use weir_schemas::time::{SECOND_MS, Timestamp};

use super::running::Running;
use crate::config::Config;
use crate::engine::{Failure, books_file, keyring_file};

/// How long the endpoint may take.
const TIMEOUT: Duration = Duration::from_secs(30);

pub(super) fn run(matches: &ArgMatches, config: &Config) -> Result<(), Failure> {
    let Some(("sign", matches)) = matches.subcommand() else { return Err("say what: sign".into()) };
    let text = |name: &str| matches.get_one::<String>(name).cloned();
    let name = text("provider").unwrap_or_default();
    let provider = Provider::from_name(&name).ok_or_else(|| format!("`{name}` is no provider"))?;
    let read = |file: &str| std::fs::read(file).map_err(|error| format!("{file}: {error}"));
    let now = Timestamp::now();
    let places = matches.get_many::<String>("set").unwrap_or_default();
    let body = fill(body(&text("file").unwrap_or_default())?, places, now)?;
    let (secret, endpoint) = match (text("secret"), text("endpoint")) {
        (Some(secret), endpoint) => (secret, endpoint),
        (None, endpoint) => {
            let (secret, url) = own_endpoint(config, provider, endpoint)?;
            (secret, Some(url))
        }
    };
    let key = text("key").map(|file| read(&file)).transpose()?;
    let signed = sign(provider, Signer { secret: &secret, private_key: key.as_deref() }, &body, now)?;
    let Some(endpoint) = endpoint else {
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

fn body(file: &str) -> Result<Vec<u8>, Failure> {
    if file == "-" {
        let mut body = Vec::new();
        std::io::stdin().read_to_end(&mut body)?;
        return Ok(body);
    }
    Ok(std::fs::read(file).map_err(|error| format!("{file}: {error}"))?)
}

/// Puts what was said into the places `{{name}}` of a sample, and the time into `{{now}}` (Unix seconds) and
/// `{{now_iso}}`. A body without such places stays as it is, to the byte.
fn fill<'a>(
    body: Vec<u8>,
    places: impl Iterator<Item = &'a String>,
    now: Timestamp,
) -> Result<Vec<u8>, Failure> {
    let mut text = match String::from_utf8(body) {
        Ok(text) => text,
        Err(bytes) => return Ok(bytes.into_bytes()),
    };
    for place in places {
        let (name, value) = place.split_once('=').ok_or("--set takes NAME=VALUE")?;
        let place = format!("{{{{{name}}}}}");
        if !text.contains(&place) {
            return Err(format!("the sample has no place {place}").into());
        }
        text = text.replace(&place, value);
    }
    let seconds = now.0.div_euclid(SECOND_MS).to_string();
    Ok(text.replace("{{now}}", &seconds).replace("{{now_iso}}", &now.to_string()).into_bytes())
}

/// Secret and URL of the endpoint that `url` names, else of the newest of this provider.
fn own_endpoint(
    config: &Config,
    provider: Provider,
    url: Option<String>,
) -> Result<(String, String), Failure> {
    let data: &Path = &config.data_dir;
    let none = "--secret is needed: no engine runs on the data folder whose endpoint could be meant";
    let running = Running::find(data).ok_or(none)?;
    let id = match &url {
        Some(url) => {
            let id = url.split("/hooks/").nth(1).and_then(|rest| rest.split('/').next()?.parse().ok());
            Some(id.ok_or("--endpoint does not end in /hooks/whk_…, so --secret is needed")?)
        }
        None => None::<EndpointId>,
    };
    let found = Reads::new(books_file(data)).sealed_endpoint(provider.as_str(), id)?;
    let (id, secrets) =
        found.ok_or_else(|| format!("the engine has no such endpoint of {}", provider.as_str()))?;
    let sealed = secrets.last().ok_or("the endpoint has no secret")?;
    let secret = Keyring::open(&keyring_file(data))?.unseal(ENDPOINT_SECRET_CONTEXT, sealed)?;
    let url = url.unwrap_or_else(|| format!("http://{}/hooks/{id}", running.public()));
    Ok((String::from_utf8(secret)?, url))
}

/// Posts to `http://host:port/path`: an engine on this machine or behind a proxy of this network.
fn send(endpoint: &str, signed: &Signed) -> Result<(u16, String), Failure> {
    let rest = endpoint.strip_prefix("http://").ok_or("--endpoint must begin with http://")?;
    let (authority, path) = rest.split_once('/').ok_or("--endpoint must name a path: /hooks/whk_…")?;
    let host = if authority.contains(':') { authority.to_owned() } else { format!("{authority}:80") };
    let address = host.to_socket_addrs()?.next().ok_or("the host has no address")?;
    let mut stream = TcpStream::connect_timeout(&address, TIMEOUT)?;
    stream.set_read_timeout(Some(TIMEOUT))?;
    let mut head = format!(
        "POST /{path}{} HTTP/1.1\r\nhost: {authority}\r\ncontent-type: {}\r\n",
        signed.suffix, signed.content_type
    );
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
