//! The command line: subcommands, and one flag per option of [`config`](crate::config).

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use clap::{Arg, ArgAction, ArgMatches, Command};

use crate::config::{Config, ConfigError, OPTIONS, Values};

/// The file that is read where `--config` names no other.
const DEFAULT_FILE: &str = "weir.toml";

/// Builds the command line.
pub fn command() -> Command {
    let with_options = |command: Command| {
        OPTIONS.iter().fold(command, |command, option| {
            let flag: &'static str = Box::leak(option.flag().split_off(2).into_boxed_str());
            command.arg(
                Arg::new(option.name)
                    .long(flag)
                    .value_name(option.value)
                    .help(format!("{} ({})", option.help, option.variable()))
                    .global(true),
            )
        })
    };
    let follower = Arg::new("follower").required_unless_present("attribution").value_parser([
        "books",
        "warehouse",
        "live",
    ]);
    let command = Command::new("weir")
        .version(env!("CARGO_PKG_VERSION"))
        .about("A self-hosted real-time tracking and streaming analytics engine")
        .arg(
            Arg::new("config")
                .long("config")
                .value_name("FILE")
                .global(true)
                .help("Configuration file [./weir.toml]"),
        )
        .subcommand(Command::new("serve").about("Runs the engine (the default)"))
        .subcommand(
            Command::new("clickhouse")
                .about("The embedded warehouse: ClickHouse's HTTP interface on a loopback port")
                .arg(Arg::new("addr").long("addr").default_value("127.0.0.1:0").help("Where to listen"))
                .arg(
                    Arg::new("password")
                        .long("password")
                        .env("WEIR_CLICKHOUSE_CHILD_PASSWORD")
                        .hide_env_values(true)
                        .required(true)
                        .help("Password of the user default"),
                )
                .arg(
                    Arg::new("tied")
                        .long("tied")
                        .num_args(0)
                        .hide(true)
                        .help("Ends when standard input closes"),
                ),
        )
        .subcommand(
            Command::new("migrate")
                .about("The warehouse's schema")
                .subcommand_required(true)
                .subcommand(Command::new("up").about("Brings it up to this version"))
                .subcommand(Command::new("status").about("Tells which migrations it has")),
        )
        .subcommand(
            Command::new("key")
                .about("API keys")
                .subcommand_required(true)
                .subcommand(
                    Command::new("create")
                        .about("Makes a key and prints it once")
                        .arg(Arg::new("name").long("name").default_value("command line"))
                        .arg(
                            Arg::new("role")
                                .long("role")
                                .default_value("admin")
                                .value_parser(["admin", "editor", "ingest", "viewer"]),
                        ),
                )
                .subcommand(Command::new("list").about("Lists the keys"))
                .subcommand(Command::new("revoke").about("Revokes a key").arg(Arg::new("id").required(true))),
        )
        .subcommand(
            Command::new("replay")
                .about("Rebuilds a follower from the journal, or tells what another rule would have credited")
                .arg(follower)
                .arg(
                    Arg::new("attribution")
                        .long("attribution")
                        .value_name("MODEL")
                        .value_parser(["first", "last", "linear", "time_decay", "position"])
                        .conflicts_with("follower")
                        .help("What this model would have credited; the books stay as they are"),
                )
                .arg(
                    Arg::new("since")
                        .long("since")
                        .value_name("TIME")
                        .requires("attribution")
                        .help("RFC 3339; conversions since then [the beginning]"),
                ),
        )
        .subcommand(
            Command::new("doctor")
                .about("Checks configuration, disk, clock, warehouse and books; says what to mend")
                .arg(
                    Arg::new("books")
                        .long("books")
                        .num_args(0)
                        .help("Recompute every balance from its entries"),
                ),
        )
        .subcommand(
            Command::new("hooks").about("Webhooks, for those who integrate them").subcommand_required(true).subcommand(
                Command::new("sign")
                    .about("Signs a sample as its provider would, and sends it")
                    .arg(Arg::new("provider").long("provider").required(true).help("stripe, razorpay, …"))
                    .arg(Arg::new("secret").long("secret").help(
                        "The endpoint's signing secret [that of the engine which runs on the data folder]",
                    ))
                    .arg(Arg::new("endpoint").long("endpoint").value_name("URL").help(
                        "http://…/hooks/whk_… [with a secret: none, the signature is printed; \
                         else this engine's newest endpoint of the provider]",
                    ))
                    .arg(
                        Arg::new("set")
                            .long("set")
                            .value_name("NAME=VALUE")
                            .action(clap::ArgAction::Append)
                            .help(
                                "Puts a value into the place {{NAME}} of the sample; \
                                 {{now}} and {{now_iso}} are filled in",
                            ),
                    )
                    .arg(
                        Arg::new("key")
                            .long("key")
                            .value_name("FILE")
                            .help("paypal: the private key of the endpoint's certificate"),
                    )
                    .arg(Arg::new("file").required(true).help("The body, or - for standard input")),
            ),
        )
        .subcommand(
            Command::new("export")
                .about("Writes a query's answer, or raw rows, to a file")
                .arg(
                    Arg::new("query")
                        .long("query")
                        .required_unless_present("rows")
                        .conflicts_with("rows")
                        .help("The query, JSON as for POST /v1/query"),
                )
                .arg(
                    Arg::new("rows")
                        .long("rows")
                        .help("What raw rows, JSON as for POST /v1/export; a name (clicks, events, conversions) is all of them"),
                )
                .arg(
                    Arg::new("format")
                        .long("format")
                        .default_value("csv")
                        .value_parser(["csv", "ndjson", "parquet", "arrow"]),
                )
                .arg(
                    Arg::new("output")
                        .long("output")
                        .default_value("-")
                        .help("A file, or - for standard output"),
                )
                .arg(
                    Arg::new("resume")
                        .long("resume")
                        .action(ArgAction::SetTrue)
                        .help("Goes on with a file of raw rows that broke off (--rows, --format ndjson)"),
                ),
        );
    with_options(command)
}

/// Gathers and checks the configuration for `matches`.
pub fn configuration(matches: &ArgMatches) -> Result<Config, ConfigError> {
    let flags: BTreeMap<&'static str, String> = OPTIONS
        .iter()
        .filter_map(|option| Some((option.name, matches.get_one::<String>(option.name)?.clone())))
        .collect();
    let named = matches.get_one::<String>("config").map(PathBuf::from);
    let path = named.clone().unwrap_or_else(|| DEFAULT_FILE.into());
    let text = match std::fs::read_to_string(&path) {
        Ok(text) => Some(text),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound && named.is_none() => None,
        Err(error) => {
            return Err(ConfigError {
                origin: path.display().to_string(),
                detail: format!("cannot be read: {error}"),
            });
        }
    };
    let file = text.as_deref().map(|text| (path.as_path() as &Path, text));
    Values::gather(&flags, std::env::vars(), file)?.check()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        command().debug_assert();
    }

    #[test]
    fn flags_stand_before_or_after_the_subcommand() {
        for line in [&["weir", "serve", "--data-dir", "x"][..], &["weir", "--data-dir", "x"]] {
            let matches = command().try_get_matches_from(line).unwrap();
            assert_eq!(configuration(&matches).unwrap().data_dir, PathBuf::from("x"));
        }
        assert_eq!(command().try_get_matches_from(["weir", "--nope"]).unwrap_err().exit_code(), 2);
    }
}
