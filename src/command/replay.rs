//! `weir replay FOLLOWER`: a follower again from the journal. The engine must not run.

use clap::ArgMatches;
use weir_engine::books;
use weir_engine::data_dir::DataDir;
use weir_engine::warehouse::rebuild;

use super::migrate::with_warehouse;
use crate::config::Config;
use crate::engine::{Failure, books_file, journal_folder, warehouse_progress};

pub(super) fn run(matches: &ArgMatches, config: &Config) -> Result<(), Failure> {
    let follower = matches.get_one::<String>("follower").map(String::as_str).unwrap_or_default();
    let data = config.data_dir.as_path();
    let journal = journal_folder(data);
    match follower {
        "books" => {
            let _taken = DataDir::take(data)?;
            let rebuilt = books::rebuild(&books_file(data), &journal)?;
            println!(
                "{} facts applied, the last is {}; digest {}",
                rebuilt.facts, rebuilt.last, rebuilt.digest
            );
            match rebuilt.before {
                Some(before) if before == rebuilt.digest => println!("the books were the same before"),
                Some(before) => println!("the books had the digest {before} before"),
                None => println!("the books could not be read before"),
            }
            for finding in rebuilt.findings {
                println!("WRONG {finding}");
            }
        }
        "warehouse" => {
            // The embedded one takes the data folder itself; with another ClickHouse this does.
            let _taken = config.clickhouse_url.is_some().then(|| DataDir::take(data)).transpose()?;
            with_warehouse(config, async |connection| {
                let client = connection.ready(std::time::Duration::from_secs(30)).await?;
                weir_engine::warehouse::migrate::up(&client).await?;
                let after = rebuild(&client, config.node, &journal, &warehouse_progress(data)).await?;
                println!("the next start stores every effect, and every click after {after}, again");
                Ok(())
            })?;
        }
        _ => println!("live state is rebuilt at every start; there is nothing on disk to replay"),
    }
    Ok(())
}
