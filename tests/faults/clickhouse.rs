//! A ClickHouse of the test's own (`weir clickhouse`), which it may stop and start again on the same port and folder.

use std::io::{BufRead, BufReader, Read};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::sync::mpsc;

use crate::engine::http::Http;
use crate::engine::{PATIENCE, Settings, weir};

/// Its password.
const PASSWORD: &str = "of-the-test";

/// The process.
pub(crate) struct ClickHouse {
    child: Child,
    folder: PathBuf,
    pub(crate) address: SocketAddr,
}

impl ClickHouse {
    /// Starts one on a port that the system chooses.
    pub(crate) fn start(folder: &Path) -> Self {
        Self::start_on(folder, "127.0.0.1:0".parse().expect("an address"))
    }

    fn start_on(folder: &Path, address: SocketAddr) -> Self {
        let mut command = weir();
        command.args(["clickhouse", "--addr", &address.to_string(), "--password", PASSWORD]);
        command.env("WEIR_DATA_DIR", folder).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().expect("the binary starts");
        let stdout = child.stdout.take().expect("stdout is a pipe");
        let mut stderr = child.stderr.take().expect("stderr is a pipe");
        std::thread::spawn(move || {
            let mut said = String::new();
            let _ = stderr.read_to_string(&mut said);
            eprint!("{said}");
        });
        let (told, tells) = mpsc::channel();
        std::thread::spawn(move || {
            for line in BufReader::new(stdout).lines().map_while(Result::ok) {
                let value: serde_json::Value = serde_json::from_str(&line).unwrap_or_default();
                if let Some(url) = value["clickhouse"].as_str() {
                    let _ = told.send(url.to_owned());
                }
            }
        });
        let url = tells.recv_timeout(PATIENCE).expect("ClickHouse says where it listens");
        let address = url.trim_start_matches("http://").parse().expect("an address");
        Self { child, folder: folder.to_owned(), address }
    }

    /// `kill -9`; what is left of it can be started again.
    pub(crate) fn kill(mut self) -> Stopped {
        let _ = self.child.kill();
        let _ = self.child.wait();
        Stopped { folder: self.folder.clone(), address: self.address }
    }

    /// Runs a statement; gives the answer's text.
    pub(crate) fn run(&self, sql: &str) -> String {
        let headers = [("x-clickhouse-user", "default"), ("x-clickhouse-key", PASSWORD)];
        let answer = Http::new(self.address)
            .send("POST", "/?database=weir", &headers, sql.as_bytes())
            .expect("an answer");
        assert_eq!(answer.status, 200, "{sql}: {}", answer.text());
        answer.text().trim().to_owned()
    }
}

/// A ClickHouse that does not run.
pub(crate) struct Stopped {
    folder: PathBuf,
    address: SocketAddr,
}

impl Stopped {
    /// Starts it again where it was.
    pub(crate) fn start(self) -> ClickHouse {
        ClickHouse::start_on(&self.folder, self.address)
    }
}

impl Drop for ClickHouse {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// With the ClickHouse at `address` instead of the embedded one.
pub(crate) fn with_clickhouse(settings: Settings, address: SocketAddr) -> Settings {
    settings
        .with("clickhouse_url", &format!("http://{address}"))
        .with("clickhouse.user", "default")
        .with("clickhouse.password", PASSWORD)
}
