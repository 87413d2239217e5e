//! `weir`: one program, its subcommands told apart here.

use std::process::ExitCode;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Wrong usage: arguments, configuration.
const USAGE: u8 = 2;

fn main() -> ExitCode {
    let matches = weir::args::command().get_matches();
    let config = match weir::args::configuration(&matches) {
        Ok(config) => config,
        Err(error) => {
            eprintln!("weir: {error}");
            return ExitCode::from(USAGE);
        }
    };
    let result = match matches.subcommand() {
        None | Some(("serve", _)) => weir::serve::serve(&config),
        Some((name, matches)) => weir::command::run(name, matches, &config),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("weir: {error}");
            ExitCode::FAILURE
        }
    }
}
