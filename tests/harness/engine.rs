//! The real binary as a process on a folder of its own, and what tests ask of it from outside. Included by the test
//! binaries with `#[path]`; each uses its part.
#![allow(dead_code, reason = "each test binary uses its part of the harness")]

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, BufRead, BufReader};
use std::net::{SocketAddr, TcpStream};
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::{self, Message, WebSocket};

#[path = "http.rs"]
pub(crate) mod http;

use http::{Answer, Http};

/// The admin key of every engine that a test starts.
pub(crate) const ADMIN_KEY: &str = "weir_test_0123456789abcdefghijklmnopqrstuvwxyz";
/// The secret of the endpoints that [`Engine::make_stripe_endpoint`] makes.
pub(crate) const STRIPE_SECRET: &str = "whsec_test_0123456789abcdef";
/// A person's browser.
pub(crate) const BROWSER: &str =
    "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/141.0.0.0 Safari/537.36";
/// How long anything may take on a slow machine that does many things at once.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// Asks `look` until it gives something; panics with `what` after [`PATIENCE`].
pub(crate) fn wait_for<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let end = Instant::now() + PATIENCE;
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(Instant::now() < end, "waited {PATIENCE:?} in vain: {what}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// The binary under test.
pub(crate) fn weir() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_weir"));
    for (name, _) in std::env::vars() {
        // What the developer's shell says is nobody's business; where the library is, is.
        if name.starts_with("WEIR_") && name != "WEIR_LIBCHDB" {
            command.env_remove(name);
        }
    }
    command.stdin(Stdio::null());
    command
}

/// How to start an engine.
#[derive(Debug, Clone)]
pub(crate) struct Settings {
    data: PathBuf,
    options: Vec<(String, String)>,
}

impl Settings {
    /// On this data folder, on ports that the system chooses.
    pub(crate) fn new(data: &Path) -> Self {
        let options =
            [("public_addr", "127.0.0.1:0"), ("admin_addr", "127.0.0.1:0"), ("admin_key", ADMIN_KEY)];
        let settings = Self { data: data.to_owned(), options: Vec::new() };
        // Two lanes whatever the machine; small ones, or every engine would write 32 MiB a lane.
        let ours = [("public.threads", "2"), ("recorder.lane_bytes", "4194304")];
        options.into_iter().chain(ours).fold(settings, |settings, (name, value)| settings.with(name, value))
    }

    /// With the option `a.b`; the last of a name counts.
    pub(crate) fn with(mut self, name: &str, value: &str) -> Self {
        self.options.push((name.to_owned(), value.to_owned()));
        self
    }

    /// The command, for engines that are not expected to come up.
    pub(crate) fn command(&self) -> Command {
        let mut command = weir();
        command.arg("serve").env("WEIR_DATA_DIR", &self.data);
        for (name, value) in &self.options {
            command.env(format!("WEIR_{}", name.replace('.', "_").to_ascii_uppercase()), value);
        }
        command
    }

    /// Starts the engine and waits until it says that it is ready.
    pub(crate) fn start(&self) -> Engine {
        let log_file = tempfile::NamedTempFile::new().expect("a log file");
        let mut command = self.command();
        command.stdout(Stdio::piped()).stderr(Stdio::from(log_file.reopen().expect("the log opens again")));
        let mut child = command.spawn().expect("the binary starts");
        let stdout = child.stdout.take().expect("stdout is a pipe");
        let (told, tells) = mpsc::channel();
        std::thread::spawn(move || {
            let mut line = String::new();
            let _ = BufReader::new(stdout).read_line(&mut line);
            let _ = told.send(line);
        });
        let line = tells.recv_timeout(PATIENCE).unwrap_or_default();
        let ready: Value = serde_json::from_str(&line).unwrap_or_default();
        let address = |name: &str| ready[name].as_str()?.strip_prefix("http://")?.parse().ok();
        let (Some(public), Some(admin)) = (address("public"), address("admin")) else {
            let _ = child.kill();
            let status = child.wait();
            let log = fs::read_to_string(log_file.path()).unwrap_or_default();
            panic!("the engine did not come up ({status:?}); it said {line:?} and\n{log}");
        };
        Engine { child: Some(child), data: self.data.clone(), public, admin, log_file }
    }
}

/// An engine that runs. Dropping it kills it; its ClickHouse must go with it.
#[derive(Debug)]
pub(crate) struct Engine {
    child: Option<Child>,
    /// Its data folder.
    pub(crate) data: PathBuf,
    /// Where visitors and providers go.
    pub(crate) public: SocketAddr,
    /// Where the API is.
    pub(crate) admin: SocketAddr,
    log_file: tempfile::NamedTempFile,
}

impl Engine {
    /// Its process.
    pub(crate) fn pid(&self) -> u32 {
        self.child.as_ref().expect("it runs").id()
    }

    /// Its ClickHouse's process, once it has one.
    pub(crate) fn clickhouse_pid(&self) -> Option<u32> {
        children_of(self.pid()).into_iter().next()
    }

    /// What it wrote to stderr until now.
    pub(crate) fn log(&self) -> String {
        fs::read_to_string(self.log_file.path()).unwrap_or_default()
    }

    /// `kill -9`, and waits until it and its ClickHouse are gone.
    pub(crate) fn kill(mut self) {
        self.end(Signal::KILL);
    }

    /// SIGTERM, and waits until it and its ClickHouse are gone. Gives how it ended and its log.
    pub(crate) fn stop(mut self) -> (ExitStatus, String) {
        let status = self.end(Signal::TERM);
        (status, self.log())
    }

    /// Sends SIGTERM without waiting.
    pub(crate) fn terminate(&self) {
        signal(self.pid(), Signal::TERM);
    }

    /// Waits for the end after [`Self::terminate`].
    pub(crate) fn ended(mut self) -> (ExitStatus, String) {
        let mut child = self.child.take().expect("it runs");
        (wait_for_exit(&mut child, &self), self.log())
    }

    fn end(&mut self, how: Signal) -> ExitStatus {
        let mut child = self.child.take().expect("it runs");
        let children = children_of(child.id());
        signal(child.id(), how);
        let status = wait_for_exit(&mut child, self);
        for pid in children {
            wait_for("the engine's ClickHouse ends with it", || (!runs(pid)).then_some(()));
        }
        status
    }

    /// A kept-alive connection to the public listener.
    pub(crate) fn visitor(&self) -> Http {
        Http::new(self.public)
    }

    /// A call of the API with the admin key, on a connection of its own.
    pub(crate) fn api(&self, method: &str, path: &str, body: Option<&Value>) -> Answer {
        self.try_api(method, path, body)
            .unwrap_or_else(|error| panic!("{method} {path}: {error}\n{}", self.log()))
    }

    /// As [`Self::api`], for engines that may die meanwhile.
    pub(crate) fn try_api(&self, method: &str, path: &str, body: Option<&Value>) -> io::Result<Answer> {
        api(&mut Http::new(self.admin), method, path, body)
    }

    /// As [`Self::api`]; the answer must have the status.
    pub(crate) fn call(&self, method: &str, path: &str, body: Option<&Value>, status: u16) -> Value {
        let answer = self.api(method, path, body);
        assert_eq!(answer.status, status, "{method} {path}: {}", answer.text());
        answer.json()
    }

    /// Makes a link that tracks conversions; gives its id.
    pub(crate) fn make_link(&self, slug: &str) -> String {
        let body = json!({"slug": slug, "destination": format!("https://shop.example/{slug}")});
        text_of(&self.call("POST", "/v1/links", Some(&body), 201)["id"])
    }

    /// Makes a Stripe endpoint with [`STRIPE_SECRET`]; gives its path on the public listener.
    pub(crate) fn make_stripe_endpoint(&self) -> String {
        let body = json!({"provider": "stripe", "secrets": [STRIPE_SECRET]});
        let made = self.call("POST", "/v1/webhook-endpoints", Some(&body), 201);
        format!("/hooks/{}", text_of(&made["id"]))
    }

    /// A person opens a link.
    pub(crate) fn click(&self, slug: &str) -> Answer {
        click(&mut self.visitor(), slug)
            .unwrap_or_else(|error| panic!("GET /{slug}: {error}\n{}", self.log()))
    }

    /// `POST /v1/query`; it must succeed within [`PATIENCE`] (the warehouse may have to start first).
    pub(crate) fn query(&self, query: &Value) -> Value {
        wait_for(&format!("an answer to {query}"), || {
            let answer = self.api("POST", "/v1/query", Some(query));
            match answer.status {
                200 => Some(answer.json()),
                503 => None,
                other => panic!("{query}: {other} {}", answer.text()),
            }
        })
    }

    /// The integers of the one metric in `rows`, by the one dimension.
    pub(crate) fn counts(
        &self,
        dimension: &str,
        metric: &str,
        filters: Option<Value>,
    ) -> BTreeMap<String, i64> {
        let mut query =
            json!({"metrics": [metric], "dimensions": [dimension], "date_range": "7d", "limit": 10_000});
        if let Some(filters) = filters {
            query["filters"] = filters;
        }
        let answer = self.query(&query);
        let row = |row: &Value| (text_of(&row[0]), row[1].as_i64().expect("a whole number"));
        answer["rows"].as_array().expect("rows").iter().map(row).collect()
    }

    /// Opens the WebSocket of those who watch, and sends nothing.
    pub(crate) fn open_live(&self) -> WebSocket<TcpStream> {
        let mut request = format!("ws://{}/v1/live", self.admin).into_client_request().expect("a request");
        let protocol = "weir.v1.json".parse().expect("a header");
        request.headers_mut().insert("sec-websocket-protocol", protocol);
        let stream = TcpStream::connect(self.admin).expect("the admin listener");
        stream.set_read_timeout(Some(PATIENCE)).expect("a time limit");
        let (socket, answer) = tungstenite::client(request, stream).expect("a WebSocket");
        assert_eq!(answer.headers().get("sec-websocket-protocol").expect("the protocol"), "weir.v1.json");
        socket
    }

    /// `/metrics`: sums over labels, by name.
    pub(crate) fn metrics(&self) -> BTreeMap<String, f64> {
        let answer = self.api("GET", "/metrics", None);
        assert_eq!(answer.status, 200);
        let mut metrics = BTreeMap::new();
        for line in answer.text().lines().filter(|line| !line.starts_with('#') && !line.is_empty()) {
            let (name, value) = line.rsplit_once(' ').expect("a name and a value");
            let name = name.split('{').next().expect("a name");
            *metrics.entry(name.to_owned()).or_default() += value.parse::<f64>().expect("a number");
        }
        metrics
    }

    /// One metric; 0 where it is not exported.
    pub(crate) fn metric(&self, name: &str) -> f64 {
        self.metrics().get(name).copied().unwrap_or_default()
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        if self.child.is_some() {
            if std::thread::panicking() {
                eprintln!("--- the engine's log ---\n{}", self.log());
                let mut child = self.child.take().expect("just looked");
                let _ = child.kill();
                let _ = child.wait();
            } else {
                self.end(Signal::KILL);
            }
        }
    }
}

/// A call of the API over `connection` with the admin key.
pub(crate) fn api(
    connection: &mut Http,
    method: &str,
    path: &str,
    body: Option<&Value>,
) -> io::Result<Answer> {
    let bearer = format!("Bearer {ADMIN_KEY}");
    let mut headers = vec![("authorization", bearer.as_str())];
    let body = body.map(Value::to_string);
    if body.is_some() {
        headers.push(("content-type", "application/json"));
    }
    connection.send(method, path, &headers, body.as_deref().unwrap_or_default().as_bytes())
}

/// A person opens a link over `connection`.
pub(crate) fn click(connection: &mut Http, slug: &str) -> io::Result<Answer> {
    connection.send("GET", &format!("/{slug}"), &[("user-agent", BROWSER)], b"")
}

/// Stripe delivers `body` over `connection`.
pub(crate) fn deliver(connection: &mut Http, hook: &str, body: &str) -> io::Result<Answer> {
    let signature = weir_loadtest::stripe::signature(STRIPE_SECRET, body);
    let headers = [("stripe-signature", signature.as_str()), ("content-type", "application/json")];
    connection.send("POST", hook, &headers, body.as_bytes())
}

/// Sends a frame to those who are watched.
pub(crate) fn say(socket: &mut WebSocket<TcpStream>, frame: &Value) {
    socket.send(Message::text(frame.to_string())).expect("a frame is sent");
}

/// The token that a redirect carries.
pub(crate) fn token_of(answer: &Answer) -> String {
    let location = answer.header("location").unwrap_or_default();
    let token = location.split("wclid=").nth(1).and_then(|rest| rest.split(['&', '#']).next());
    token.unwrap_or_else(|| panic!("no wclid in {location}")).to_owned()
}

/// The text of a JSON string; empty for anything else.
pub(crate) fn text_of(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

/// Runs `weir` with these arguments to its end: status, stdout and stderr.
pub(crate) fn run(data: &Path, arguments: &[&str]) -> (ExitStatus, String, String) {
    let output = output_of(weir().args(arguments).env("WEIR_DATA_DIR", data));
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (output.status, text(&output.stdout), text(&output.stderr))
}

/// What a process that ends by itself printed; one that does not is killed after [`PATIENCE`].
pub(crate) fn output_of(command: &mut Command) -> Output {
    let child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("the binary starts");
    let pid = child.id();
    let (ended, ends) = mpsc::channel();
    std::thread::spawn(move || ended.send(child.wait_with_output()));
    match ends.recv_timeout(PATIENCE) {
        Ok(output) => output.expect("its output can be read"),
        Err(_) => {
            signal(pid, Signal::KILL);
            panic!("{command:?} did not end");
        }
    }
}

/// Sends a signal.
pub(crate) fn signal(pid: u32, signal: Signal) {
    let pid = Pid::from_raw(pid.cast_signed()).expect("a process");
    let _ = kill_process(pid, signal);
}

/// Whether the process runs: one that has ended and was not waited for does not.
pub(crate) fn runs(pid: u32) -> bool {
    stat_of(pid).is_some_and(|(state, _)| state != 'Z' && state != 'X')
}

/// The processes that `pid` has started and that run.
pub(crate) fn children_of(pid: u32) -> Vec<u32> {
    let entries = fs::read_dir("/proc").expect("/proc");
    let pids = entries.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse::<u32>().ok());
    pids.filter(|child| stat_of(*child).is_some_and(|(state, parent)| parent == pid && state != 'Z'))
        .collect()
}

/// State and parent.
fn stat_of(pid: u32) -> Option<(char, u32)> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name stands in parentheses and may hold anything.
    let mut fields = stat.rsplit_once(')')?.1.split_whitespace();
    Some((fields.next()?.chars().next()?, fields.next()?.parse().ok()?))
}

fn wait_for_exit(child: &mut Child, engine: &Engine) -> ExitStatus {
    let end = Instant::now() + PATIENCE;
    loop {
        if let Some(status) = child.try_wait().expect("the child can be waited for") {
            return status;
        }
        if Instant::now() > end {
            let _ = child.kill();
            let _ = child.wait();
            panic!("the engine did not end\n{}", engine.log());
        }
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// Ended by itself with this code?
pub(crate) fn exited_with(status: ExitStatus, code: i32) -> bool {
    status.signal().is_none() && status.code() == Some(code)
}

/// Opens a file for reading and writing.
pub(crate) fn open_for_damage(path: &Path) -> File {
    File::options().read(true).write(true).open(path).expect("the file is there")
}
