//! ClickHouse's Python and Node clients, unchanged, each with a program of their own beside this file.

use std::process::Command;

use crate::server::{PASSWORD, Server, repository};

fn passes(mut command: Command, needed: &str) {
    assert!(repository().join(needed).exists(), "{needed} is missing: run `make test-clients`");
    let output = command.output().unwrap();
    let told = String::from_utf8_lossy(&output.stdout);
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && told.ends_with("passed\n"), "{told}\n{errors}");
}

#[test]
fn clickhouse_connect() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(dir.path());
    let packages = ".weir/test-clients/python";
    let mut command = Command::new("python3");
    command
        .arg(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/embedded/clickhouse_connect_client.py"))
        .args([&server.url, PASSWORD])
        .env("PYTHONPATH", repository().join(packages))
        .env("PYTHONDONTWRITEBYTECODE", "1");
    passes(command, packages);
}

#[test]
fn clickhouse_client_of_node() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(dir.path());
    let packages = ".weir/test-clients/node/node_modules/@clickhouse/client";
    let mut command = Command::new("node");
    command
        .arg(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/embedded/node_client.cjs"))
        .args([&server.url, PASSWORD])
        .env("CLICKHOUSE_CLIENT", repository().join(packages));
    passes(command, packages);
}
