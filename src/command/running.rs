//! The engine that runs on the data folder, asked over its own API: one plain HTTP/1.1 request per call.

use std::io::{BufRead as _, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::time::Duration;

use serde::Deserialize;
use serde_json::Value;

use crate::engine::Failure;

/// How long an answer may take: a query over all history.
const TIMEOUT: Duration = Duration::from_secs(60);

/// Where it is and what opens it.
#[derive(Debug, Deserialize)]
pub(super) struct Running {
    public: SocketAddr,
    admin: SocketAddr,
    operator_key: String,
}

/// An answer.
pub(super) struct Answered {
    pub status: u16,
    pub body: Vec<u8>,
}

impl Running {
    /// The engine of `data`, if one runs there.
    pub(super) fn find(data: &Path) -> Option<Self> {
        let text = std::fs::read_to_string(data.join("engine.json")).ok()?;
        let running: Self = serde_json::from_str(&text).ok()?;
        // The file of an engine that was killed is still there: only an answer counts.
        let health = running.ask("GET", "/healthz", None).ok()?;
        (health.status == 200).then_some(running)
    }

    /// Its public listener.
    pub(super) fn public(&self) -> SocketAddr {
        self.public
    }

    /// Sends a request; a body makes it JSON.
    pub(super) fn ask(&self, method: &str, path: &str, body: Option<&str>) -> Result<Answered, Failure> {
        let mut stream = self.send(method, path, body)?;
        let mut bytes = Vec::new();
        stream.read_to_end(&mut bytes)?;
        parse(&bytes).ok_or_else(|| "the engine's answer cannot be read".into())
    }

    /// Posts a body, shows the answer's head in lower case to `begins`, and writes its body to `into` as it comes.
    /// What is no success becomes an error; so does an answer that breaks off.
    pub(super) fn download<W: Write>(
        &self,
        path: &str,
        body: &str,
        into: &mut W,
        begins: impl FnOnce(&str, &mut W) -> Result<(), Failure>,
    ) -> Result<(), Failure> {
        let mut stream = BufReader::new(self.send("POST", path, Some(body))?);
        let broken = || "the engine's answer broke off";
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            if stream.read_until(b'\n', &mut head)? == 0 {
                return Err(broken().into());
            }
        }
        let text = String::from_utf8_lossy(&head).to_ascii_lowercase();
        if !text.contains("transfer-encoding: chunked") || !text.starts_with("http/1.1 200") {
            stream.read_to_end(&mut head)?;
            let answered = parse(&head).ok_or_else(broken)?;
            if answered.status != 200 {
                return Err(problem(&answered).into());
            }
            begins(&text, into)?;
            return Ok(into.write_all(&answered.body)?);
        }
        begins(&text, into)?;
        loop {
            let mut line = String::new();
            stream.read_line(&mut line)?;
            let size = line.trim().split(';').next().unwrap_or_default();
            let size = u64::from_str_radix(size, 16).map_err(|_| broken())?;
            if size == 0 {
                return Ok(());
            }
            if std::io::copy(&mut (&mut stream).take(size), into)? < size {
                return Err(broken().into());
            }
            stream.read_line(&mut line)?;
        }
    }

    fn send(&self, method: &str, path: &str, body: Option<&str>) -> Result<TcpStream, Failure> {
        let mut stream = TcpStream::connect_timeout(&self.admin, Duration::from_secs(5))?;
        stream.set_read_timeout(Some(TIMEOUT))?;
        let body = body.unwrap_or_default();
        write!(
            stream,
            "{method} {path} HTTP/1.1\r\nhost: {}\r\nauthorization: Bearer {}\r\ncontent-type: application/json\r\n\
             content-length: {}\r\nconnection: close\r\n\r\n{body}",
            self.admin,
            self.operator_key,
            body.len()
        )?;
        Ok(stream)
    }

    /// As [`Self::ask`]; what is no success becomes an error with the problem's own words.
    pub(super) fn ask_json(&self, method: &str, path: &str, body: Option<&str>) -> Result<Value, Failure> {
        let answered = self.ask(method, path, body)?;
        if !(200..300).contains(&answered.status) {
            return Err(problem(&answered).into());
        }
        Ok(serde_json::from_slice(&answered.body).unwrap_or(Value::Null))
    }
}

/// What a refusal says.
pub(super) fn problem(answered: &Answered) -> String {
    let body: Value = serde_json::from_slice(&answered.body).unwrap_or(Value::Null);
    let detail = body["detail"].as_str().unwrap_or("no details");
    format!("the engine answered {}: {detail}", answered.status)
}

fn parse(bytes: &[u8]) -> Option<Answered> {
    let end = bytes.windows(4).position(|window| window == b"\r\n\r\n")?;
    let head = std::str::from_utf8(&bytes[..end]).ok()?;
    let status = head.split(' ').nth(1)?.parse().ok()?;
    let rest = &bytes[end + 4..];
    let chunked = head.to_ascii_lowercase().contains("transfer-encoding: chunked");
    let body = if chunked { unchunk(rest)? } else { rest.to_vec() };
    Some(Answered { status, body })
}

fn unchunk(mut rest: &[u8]) -> Option<Vec<u8>> {
    let mut body = Vec::new();
    loop {
        let line = rest.windows(2).position(|window| window == b"\r\n")?;
        let size = std::str::from_utf8(&rest[..line]).ok()?;
        let size = usize::from_str_radix(size.split(';').next()?.trim(), 16).ok()?;
        rest = rest.get(line + 2..)?;
        if size == 0 {
            return Some(body);
        }
        body.extend_from_slice(rest.get(..size)?);
        rest = rest.get(size + 2..)?;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_framings_are_read() {
        let whole = parse(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nhi").unwrap();
        assert_eq!((whole.status, whole.body.as_slice()), (200, &b"hi"[..]));
        let chunked = parse(
            b"HTTP/1.1 201 Created\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n1\r\nd\r\n0\r\n\r\n",
        );
        assert_eq!(chunked.unwrap().body, b"abcd");
        assert!(parse(b"HTTP/1.1 200").is_none());
    }
}
