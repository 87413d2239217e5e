//! The parent's side: one child that is started, watched, restarted and ended.
//!
//! A thread of its own does all of it. It has to be one that lives as long as the child: the kernel's
//! parent-death signal is sent when the *thread* that started the child ends.

use std::io::{BufRead as _, BufReader, Read};
use std::os::unix::process::CommandExt as _;
use std::path::PathBuf;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::time::{Duration, Instant};

use tokio::sync::watch;

use crate::request::random_id;

/// The child's environment variable for its password.
pub const PASSWORD_VARIABLE: &str = "WEIR_CLICKHOUSE_CHILD_PASSWORD";
/// First pause before a restart; it doubles with every child that did not hold out.
const FIRST_PAUSE: Duration = Duration::from_millis(100);
/// Longest pause before a restart.
const LONGEST_PAUSE: Duration = Duration::from_secs(5);
/// A child that lived this long starts the pauses anew.
const HELD_OUT: Duration = Duration::from_secs(30);
/// How long a child may take to be ready; then it is killed and counts as crashed. Opening many parts takes
/// long.
const READY_WITHIN: Duration = Duration::from_secs(120);
/// How long a child that was asked to end may take; then it is killed.
const END_WITHIN: Duration = Duration::from_secs(20);
/// Longest line of the child's output taken at once, in bytes.
const LONGEST_LINE: u64 = 16 << 10;
/// How often a child that starts or ends is looked at.
const LOOK: Duration = Duration::from_millis(20);
/// How often one that is ready is: each look wakes a processor, and starting another takes a second.
const LOOK_AFTER: Duration = Duration::from_millis(200);

/// What to run.
#[derive(Debug, Clone)]
pub struct SupervisorOptions {
    /// The program: this one's own path. It is run as `PROGRAM clickhouse --addr 127.0.0.1:0 --tied
    /// --data-dir D --libchdb L`, with [`PASSWORD_VARIABLE`] in its environment and a pipe for standard
    /// input.
    pub program: PathBuf,
    /// The library's file; see [`crate::locate`].
    pub libchdb: PathBuf,
    /// ClickHouse's data directory.
    pub data_dir: PathBuf,
}

/// Where the child listens.
#[derive(Clone, PartialEq, Eq)]
pub struct Endpoint {
    /// `http://127.0.0.1:PORT`
    pub url: String,
    /// The user, always `default`.
    pub user: String,
    /// That user's password; the same for all children of a supervisor.
    pub password: String,
}

impl std::fmt::Debug for Endpoint {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Endpoint").field("url", &self.url).finish_non_exhaustive()
    }
}

/// Why no child can be supervised.
#[derive(Debug, thiserror::Error)]
pub enum SupervisorError {
    /// The system gave no thread.
    #[error("the supervisor's thread could not be started: {0}")]
    Thread(#[source] std::io::Error),
}

/// Keeps a child running. Dropping it asks the child to end without waiting for it.
pub struct Supervisor {
    endpoint: watch::Receiver<Option<Endpoint>>,
    pid: std::sync::Arc<AtomicU32>,
    stop: Sender<()>,
    thread: Option<std::thread::JoinHandle<()>>,
}

impl Supervisor {
    /// Starts the first child and returns at once; `endpoint_changes` says when it is ready.
    ///
    /// # Errors
    /// Only that the thread cannot be started. A child that cannot be is reported by log and tried again.
    pub fn start(options: SupervisorOptions) -> Result<Self, SupervisorError> {
        let (publish, endpoint) = watch::channel(None);
        let (stop, stopped) = channel();
        let pid = std::sync::Arc::new(AtomicU32::new(0));
        metrics::counter!("weir_clickhouse_restarts_total").absolute(0);
        let watching =
            Watch { options, password: random_id(), publish, stopped, pid: std::sync::Arc::clone(&pid) };
        let thread = std::thread::Builder::new()
            .name("clickhouse-supervisor".into())
            .spawn(move || watching.run())
            .map_err(SupervisorError::Thread)?;
        Ok(Self { endpoint, pid, stop, thread: Some(thread) })
    }

    /// Where the child listens now. `None` while it starts and between a crash and the next child's
    /// readiness.
    pub fn endpoint(&self) -> Option<Endpoint> {
        self.endpoint.borrow().clone()
    }

    /// The endpoint as it changes with every restart.
    pub fn endpoint_changes(&self) -> watch::Receiver<Option<Endpoint>> {
        self.endpoint.clone()
    }

    /// The child's process id, if there is a child.
    pub fn pid(&self) -> Option<u32> {
        Some(self.pid.load(Ordering::Acquire)).filter(|&pid| pid != 0)
    }

    /// Ends the child: by asking, within a bound by force. Resolves when it is gone.
    pub async fn stop(mut self) {
        let _ = self.stop.send(());
        if let Some(thread) = self.thread.take() {
            let joined = tokio::task::spawn_blocking(move || thread.join()).await;
            if !matches!(joined, Ok(Ok(()))) {
                tracing::error!("the ClickHouse supervisor's thread panicked");
            }
        }
    }
}

impl Drop for Supervisor {
    fn drop(&mut self) {
        let _ = self.stop.send(());
    }
}

/// The thread's own.
struct Watch {
    options: SupervisorOptions,
    password: String,
    publish: watch::Sender<Option<Endpoint>>,
    stopped: Receiver<()>,
    pid: std::sync::Arc<AtomicU32>,
}

/// A child and the pipe whose end tells it to end.
struct Running {
    child: Child,
    input: ChildStdin,
    url: Receiver<String>,
}

impl Watch {
    fn run(self) {
        let mut pause = FIRST_PAUSE;
        loop {
            let started = Instant::now();
            match self.spawn() {
                Ok(running) => {
                    self.pid.store(running.child.id(), Ordering::Release);
                    let ended = self.attend(running);
                    self.publish.send_replace(None);
                    self.pid.store(0, Ordering::Release);
                    if ended {
                        return;
                    }
                }
                Err(error) => {
                    let program = self.options.program.display();
                    tracing::error!(%program, %error, "the ClickHouse child could not be started");
                }
            }
            if started.elapsed() >= HELD_OUT {
                pause = FIRST_PAUSE;
            }
            match self.stopped.recv_timeout(pause) {
                Err(RecvTimeoutError::Timeout) => {}
                Ok(()) | Err(RecvTimeoutError::Disconnected) => return,
            }
            pause = (pause * 2).min(LONGEST_PAUSE);
            metrics::counter!("weir_clickhouse_restarts_total").increment(1);
        }
    }

    fn spawn(&self) -> std::io::Result<Running> {
        let options = &self.options;
        let mut child = Command::new(&options.program)
            .args(["clickhouse", "--addr", "127.0.0.1:0", "--tied", "--data-dir"])
            .arg(&options.data_dir)
            .arg("--libchdb")
            .arg(&options.libchdb)
            .env(PASSWORD_VARIABLE, &self.password)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            // A Ctrl-C in the terminal is for the parent, which still has to flush into the child.
            .process_group(0)
            .spawn()?;
        let input = child.stdin.take().expect("asked for");
        let output = child.stdout.take().expect("asked for");
        let errors = child.stderr.take().expect("asked for");
        let (ready, url) = channel();
        let readers = [
            std::thread::Builder::new().name("clickhouse-stdout".into()).spawn(move || {
                each_line(output, |line| {
                    if let Some(url) = ready_line(line) {
                        let _ = ready.send(url);
                    }
                });
            }),
            std::thread::Builder::new().name("clickhouse-stderr".into()).spawn(move || {
                each_line(errors, |line| tracing::warn!(target: "clickhouse", "{line}"));
            }),
        ];
        if let Some(error) = readers.into_iter().find_map(Result::err) {
            let _ = child.kill();
            let _ = child.wait();
            return Err(error);
        }
        Ok(Running { child, input, url })
    }

    /// Stays with a child until it has ended. True when that was asked for.
    fn attend(&self, mut running: Running) -> bool {
        let started = Instant::now();
        let mut ready = false;
        loop {
            match running.child.try_wait() {
                Ok(None) => {}
                Ok(Some(status)) => {
                    tracing::error!(%status, "the ClickHouse child ended; it will be restarted");
                    return false;
                }
                Err(error) => tracing::error!(%error, "the ClickHouse child cannot be looked at"),
            }
            if !ready && let Ok(url) = running.url.try_recv() {
                ready = true;
                tracing::info!(%url, milliseconds = started.elapsed().as_millis(), "ClickHouse is ready");
                let endpoint = Endpoint {
                    url,
                    user: crate::authentication::USER.into(),
                    password: self.password.clone(),
                };
                self.publish.send_replace(Some(endpoint));
            }
            if !ready && started.elapsed() > READY_WITHIN {
                tracing::error!("the ClickHouse child was not ready in time and is killed");
                let _ = running.child.kill();
                let _ = running.child.wait();
                return false;
            }
            match self.stopped.recv_timeout(if ready { LOOK_AFTER } else { LOOK }) {
                Err(RecvTimeoutError::Timeout) => {}
                Ok(()) | Err(RecvTimeoutError::Disconnected) => {
                    end(running);
                    return true;
                }
            }
        }
    }
}

/// Asks the child to end, and makes it.
fn end(running: Running) {
    let Running { mut child, input, .. } = running;
    drop(input);
    let deadline = Instant::now() + END_WITHIN;
    while Instant::now() < deadline {
        match child.try_wait() {
            Ok(None) => std::thread::sleep(LOOK),
            Ok(Some(_)) => return,
            Err(_) => break,
        }
    }
    tracing::warn!("the ClickHouse child did not end in time and is killed");
    let _ = child.kill();
    let _ = child.wait();
}

/// Hands on every line that the child writes, until it closes its end. A longer line than the bound is
/// several.
fn each_line(source: impl Read, mut take: impl FnMut(&str)) {
    let mut source = BufReader::new(source);
    let mut line = Vec::new();
    while (&mut source).take(LONGEST_LINE).read_until(b'\n', &mut line).is_ok_and(|count| count > 0) {
        take(String::from_utf8_lossy(&line).trim_end());
        line.clear();
    }
}

/// The URL in the line that a child prints once it is ready.
fn ready_line(line: &str) -> Option<String> {
    let value: serde_json::Value = serde_json::from_str(line).ok()?;
    value.get("clickhouse")?.as_str().map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_without_end_is_taken_in_parts() {
        let mut lengths = Vec::new();
        let endless = [vec![b'x'; 40_000], b"\nnext".to_vec()].concat();
        each_line(&endless[..], |line| lengths.push(line.len()));
        assert_eq!(lengths, [16_384, 16_384, 40_000 - 2 * 16_384, 4]);
    }

    #[test]
    fn a_password_is_not_printed() {
        let endpoint = Endpoint { url: "http://x".into(), user: "default".into(), password: "secret".into() };
        assert_eq!(format!("{endpoint:?}"), "Endpoint { url: \"http://x\", .. }");
    }

    #[test]
    fn the_ready_line_is_told_from_others() {
        assert_eq!(
            ready_line(r#"{"clickhouse":"http://127.0.0.1:1"}"#).as_deref(),
            Some("http://127.0.0.1:1")
        );
        assert_eq!(ready_line("{}"), None);
        assert_eq!(ready_line("clickhouse"), None);
    }
}
