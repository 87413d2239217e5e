//! Processes that begin, wait for each other, and end.

use std::io::{BufRead as _, BufReader};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use rustix::process::Signal;
use weir_embedded::{Endpoint, Supervisor, SupervisorOptions};

use crate::server::{PATIENCE, Server, command, libchdb, program};

const TABLE: &str = "CREATE TABLE t (a UInt64) ENGINE = MergeTree ORDER BY a";

/// Gone, or a corpse that its new parent has yet to bury.
fn gone(pid: u32) -> bool {
    std::fs::read_to_string(format!("/proc/{pid}/stat"))
        .map_or(true, |stat| stat.rsplit(')').next().is_some_and(|rest| rest.trim_start().starts_with('Z')))
}

fn wait_until(what: &str, mut holds: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !holds() {
        assert!(Instant::now() < deadline, "{what}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

#[tokio::test]
async fn a_directory_has_one_server_and_keeps_its_data() {
    let dir = tempfile::tempdir().unwrap();
    let first = Server::start(dir.path());
    first.run(TABLE).await;
    first.run("INSERT INTO t SELECT number FROM numbers(1000)").await;
    let refused = command(dir.path()).stderr(Stdio::piped()).output().unwrap();
    assert!(!refused.status.success());
    let told = String::from_utf8(refused.stderr).unwrap();
    assert!(told.contains("is in use by another process"), "{told}");
    // One that is tied waits for the first to go.
    let second = command(dir.path()).arg("--tied").spawn().unwrap();
    assert!(first.let_go().success());
    let mut second = Server::of(second);
    assert_eq!(second.run("SELECT count() FROM t").await, "1000\n");
    rustix::process::kill_process(second.pid(), Signal::TERM).unwrap();
    assert!(second.ended().success());
}

#[tokio::test]
async fn a_server_that_is_asked_to_end_stops_what_runs() {
    let dir = tempfile::tempdir().unwrap();
    let mut server = Server::start(dir.path());
    let request =
        server.request("POST", "/").body(b"SELECT max(number) FROM system.numbers".to_vec()).unwrap();
    let asked = tokio::time::timeout(Duration::from_millis(200), server.send(request));
    assert!(asked.await.is_err());
    let (pid, url) = (server.pid(), server.url.clone());
    rustix::process::kill_process(pid, Signal::INT).unwrap();
    assert!(server.ended().success());
    assert!(std::net::TcpStream::connect(url.strip_prefix("http://").unwrap()).is_err());
}

#[test]
fn the_child_ends_with_a_killed_parent() {
    let dir = tempfile::tempdir().unwrap();
    let mut parent = Command::new(program())
        .args(["supervise", "--data-dir"])
        .arg(dir.path())
        .arg("--libchdb")
        .arg(libchdb())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut line = String::new();
    BufReader::new(parent.stdout.take().unwrap()).read_line(&mut line).unwrap();
    let mut words = line.split_whitespace();
    let pid: u32 = words.next().unwrap().parse().unwrap();
    let address = words.next().unwrap().strip_prefix("http://").unwrap().to_owned();
    assert!(!gone(pid) && std::net::TcpStream::connect(&address).is_ok());
    parent.kill().unwrap();
    parent.wait().unwrap();
    wait_until("the child lives on", || gone(pid) && std::net::TcpStream::connect(&address).is_err());
}

async fn next(changes: &mut tokio::sync::watch::Receiver<Option<Endpoint>>) -> Endpoint {
    let ready = changes.wait_for(Option::is_some);
    tokio::time::timeout(PATIENCE, ready).await.expect("no child is ready").unwrap().clone().unwrap()
}

fn client(endpoint: &Endpoint) -> clickhouse::Client {
    clickhouse::Client::default()
        .with_url(&endpoint.url)
        .with_user(&endpoint.user)
        .with_password(&endpoint.password)
}

#[tokio::test]
async fn a_crashed_child_is_replaced_and_its_data_stays() {
    let dir = tempfile::tempdir().unwrap();
    let options =
        SupervisorOptions { program: program(), libchdb: libchdb(), data_dir: dir.path().to_path_buf() };
    let supervisor = Supervisor::start(options).unwrap();
    let mut changes = supervisor.endpoint_changes();
    let mut endpoint = next(&mut changes).await;
    client(&endpoint).query(TABLE).execute().await.unwrap();
    for round in 1..=2u64 {
        let insert = "INSERT INTO t SELECT number FROM numbers(1000)";
        client(&endpoint).query(insert).execute().await.unwrap();
        let pid = supervisor.pid().unwrap();
        let killed = rustix::process::Pid::from_raw(i32::try_from(pid).unwrap()).unwrap();
        rustix::process::kill_process(killed, Signal::KILL).unwrap();
        tokio::time::timeout(PATIENCE, changes.wait_for(Option::is_none)).await.unwrap().unwrap();
        endpoint = next(&mut changes).await;
        assert_eq!(supervisor.endpoint(), Some(endpoint.clone()));
        assert_ne!(supervisor.pid(), Some(pid));
        let count: u64 = client(&endpoint).query("SELECT count() FROM t").fetch_one().await.unwrap();
        assert_eq!(count, round * 1000);
    }
    let pid = supervisor.pid().unwrap();
    supervisor.stop().await;
    assert!(gone(pid));
    // It closed the engine: nobody holds the directory.
    drop(Server::start(dir.path()));
}
