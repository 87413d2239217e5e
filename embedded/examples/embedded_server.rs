//! The child process for the tests: what `weir clickhouse` runs, with the same arguments.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;

use weir_embedded::{ServeOptions, serve};

fn main() -> ExitCode {
    let mut options = ServeOptions {
        libchdb: PathBuf::new(),
        data_dir: PathBuf::new(),
        addr: SocketAddr::from(([127, 0, 0, 1], 0)),
        password: std::env::var("WEIR_CLICKHOUSE_CHILD_PASSWORD").unwrap_or_default(),
        tied: false,
    };
    let mut arguments = std::env::args().skip(1);
    while let Some(name) = arguments.next() {
        let mut value = || arguments.next().expect("every option but --tied has a value");
        match name.as_str() {
            "clickhouse" => {}
            "--addr" => options.addr = value().parse().expect("an address"),
            "--data-dir" => options.data_dir = value().into(),
            "--libchdb" => options.libchdb = value().into(),
            "--password" => options.password = value(),
            "--tied" => options.tied = true,
            other => panic!("unknown argument {other}"),
        }
    }
    match serve(options) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}
