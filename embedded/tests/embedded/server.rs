//! Starting the server for a test, and speaking plain HTTP with it.

use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use http_body_util::{BodyExt as _, Full};
use hyper_util::rt::TokioIo;

pub(crate) const PASSWORD: &str = "a pass:word";
/// Generous: the machine may be slow and busy.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

pub(crate) fn libchdb() -> PathBuf {
    let path = std::env::var_os("WEIR_LIBCHDB")
        .map_or_else(|| repository().join(".weir/libchdb-26.7.3/libchdb.so"), PathBuf::from);
    assert!(path.is_file(), "{} is missing: run `make libchdb`", path.display());
    path
}

pub(crate) fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_path_buf()
}

/// The example beside this test's executable: `target/debug/examples/`.
pub(crate) fn program() -> PathBuf {
    let here = std::env::current_exe().unwrap();
    let path = here.parent().unwrap().parent().unwrap().join("examples/embedded_server");
    assert!(path.is_file(), "{} is missing: run `cargo build -p weir-embedded --examples`", path.display());
    path
}

/// A server of a test's own. Killed when dropped.
pub(crate) struct Server {
    child: Child,
    pub(crate) url: String,
}

pub(crate) fn command(data_dir: &Path) -> Command {
    let mut command = Command::new(program());
    command.args(["clickhouse", "--password", PASSWORD, "--data-dir"]).arg(data_dir);
    command.arg("--libchdb").arg(libchdb()).stdin(Stdio::piped()).stdout(Stdio::piped());
    command
}

impl Server {
    pub(crate) fn start(data_dir: &Path) -> Self {
        Self::of(command(data_dir).arg("--tied").spawn().unwrap())
    }

    /// Waits until a child is ready.
    pub(crate) fn of(mut child: Child) -> Self {
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let url = line.trim().strip_prefix(r#"{"clickhouse":""#).and_then(|rest| rest.strip_suffix(r#""}"#));
        let url = url.unwrap_or_else(|| panic!("not the ready line: {line:?}")).to_owned();
        Self { child, url }
    }

    pub(crate) fn pid(&self) -> rustix::process::Pid {
        rustix::process::Pid::from_child(&self.child)
    }

    /// Closes its standard input and waits for its end.
    pub(crate) fn let_go(mut self) -> ExitStatus {
        drop(self.child.stdin.take());
        self.ended()
    }

    pub(crate) fn ended(&mut self) -> ExitStatus {
        let deadline = Instant::now() + PATIENCE;
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status;
            }
            assert!(Instant::now() < deadline, "the server does not end");
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    pub(crate) fn client(&self) -> clickhouse::Client {
        clickhouse::Client::default().with_url(&self.url).with_user("default").with_password(PASSWORD)
    }

    pub(crate) fn request(&self, method: &str, target: &str) -> http::request::Builder {
        http::Request::builder()
            .method(method)
            .uri(target)
            .header("host", self.url.strip_prefix("http://").unwrap())
            .header("x-clickhouse-user", "default")
            .header("x-clickhouse-key", PASSWORD)
    }

    /// Sends a request and reads the answer; `Err` holds what came before the transfer broke.
    pub(crate) async fn send(
        &self,
        request: http::Request<Vec<u8>>,
    ) -> (http::response::Parts, Result<Vec<u8>, Vec<u8>>) {
        let socket = tokio::net::TcpStream::connect(self.url.strip_prefix("http://").unwrap()).await.unwrap();
        let (mut sender, connection) =
            hyper::client::conn::http1::handshake(TokioIo::new(socket)).await.unwrap();
        tokio::spawn(connection);
        let answer = sender.send_request(request.map(|body| Full::new(bytes::Bytes::from(body)))).await;
        let (parts, mut body) = answer.unwrap().into_parts();
        let mut read = Vec::new();
        while let Some(frame) = body.frame().await {
            match frame {
                Ok(frame) => read.extend_from_slice(frame.data_ref().unwrap()),
                Err(_) => return (parts, Err(read)),
            }
        }
        (parts, Ok(read))
    }

    /// Runs a statement in a POST; status and text.
    pub(crate) async fn post(&self, parameters: &str, body: &str) -> (u16, String) {
        let request =
            self.request("POST", &format!("/?{parameters}")).body(body.as_bytes().to_vec()).unwrap();
        let (parts, read) = self.send(request).await;
        (parts.status.as_u16(), String::from_utf8_lossy(&read.expect("a whole answer")).into_owned())
    }

    /// A statement that must succeed.
    pub(crate) async fn run(&self, statement: &str) -> String {
        let (status, text) = self.post("", statement).await;
        assert_eq!(status, 200, "{statement}: {text}");
        text
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
