//! The processes of the tests: `clickhouse` is the child, with the arguments of `weir clickhouse`;
//! `supervise` is a parent that keeps one and prints its process id and URL whenever they change.

use std::io::Read as _;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;

use weir_embedded::{PASSWORD_VARIABLE, ServeOptions, Supervisor, SupervisorOptions, serve};

fn main() -> ExitCode {
    let mut options = ServeOptions {
        libchdb: PathBuf::new(),
        data_dir: PathBuf::new(),
        addr: SocketAddr::from(([127, 0, 0, 1], 0)),
        password: std::env::var(PASSWORD_VARIABLE).unwrap_or_default(),
        tied: false,
    };
    let mut supervise = false;
    let mut arguments = std::env::args().skip(1);
    while let Some(name) = arguments.next() {
        let mut value = || arguments.next().expect("this option has a value");
        match name.as_str() {
            "clickhouse" => {}
            "supervise" => supervise = true,
            "--addr" => options.addr = value().parse().expect("an address"),
            "--data-dir" => options.data_dir = value().into(),
            "--libchdb" => options.libchdb = value().into(),
            "--password" => options.password = value(),
            "--tied" => options.tied = true,
            other => panic!("unknown argument {other}"),
        }
    }
    if supervise {
        parent(options);
        return ExitCode::SUCCESS;
    }
    match serve(options) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Supervises until standard input ends.
fn parent(options: ServeOptions) {
    let program = std::env::current_exe().expect("a path");
    let supervisor = SupervisorOptions { program, libchdb: options.libchdb, data_dir: options.data_dir };
    let supervisor = Supervisor::start(supervisor).expect("a thread");
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let mut changes = supervisor.endpoint_changes();
    runtime.block_on(async {
        let ended = tokio::task::spawn_blocking(|| std::io::stdin().read_to_end(&mut Vec::new()));
        let mut ended = std::pin::pin!(ended);
        loop {
            tokio::select! {
                _ = &mut ended => break,
                _ = changes.changed() => {
                    let endpoint = changes.borrow_and_update().clone();
                    if let (Some(endpoint), Some(pid)) = (endpoint, supervisor.pid()) {
                        println!("{pid} {} {}", endpoint.url, endpoint.password);
                    }
                }
            }
        }
        supervisor.stop().await;
    });
}
