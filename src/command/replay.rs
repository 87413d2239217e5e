//! `weir replay FOLLOWER`: a follower again from the journal. The engine must not run. And `weir replay --attribution
//! MODEL`: what another rule would have credited, read from the books beside an engine that may run.

use std::path::Path;

use clap::ArgMatches;
use weir_engine::books::{self, Model, Reads};
use weir_engine::data_dir::DataDir;
use weir_engine::keyring::Keyring;
use weir_engine::warehouse::rebuild;
use weir_schemas::time::Timestamp;

use super::migrate::with_warehouse;
use crate::config::Config;
use crate::engine::{Failure, books_file, journal_folder, keyring_file, warehouse_progress};

pub(super) fn run(matches: &ArgMatches, config: &Config) -> Result<(), Failure> {
    if let Some(model) = matches.get_one::<String>("attribution") {
        return what_if(matches, model, &config.data_dir);
    }
    let follower = matches.get_one::<String>("follower").map(String::as_str).unwrap_or_default();
    let data = config.data_dir.as_path();
    let journal = journal_folder(data);
    match follower {
        "books" => {
            let _taken = DataDir::take(data)?;
            let rebuilt = books::rebuild(&books_file(data), &journal, &Keyring::open(&keyring_file(data))?)?;
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

fn what_if(matches: &ArgMatches, model: &str, data: &Path) -> Result<(), Failure> {
    let model = Model::from_name(model).ok_or("no such model")?;
    let since = match matches.get_one::<String>("since") {
        Some(text) => {
            Timestamp::parse(text).map_err(|_| format!("--since: `{text}` is not an RFC 3339 time"))?
        }
        None => Timestamp(0),
    };
    let table = Reads::new(books_file(data)).what_if(model, since)?;
    println!("currency  link               partner            booked           modelled         difference");
    for ((currency, link, partner), would) in &table {
        let link = link.some().map_or("-".to_owned(), |link| link.to_string());
        let partner = partner.some().map_or("-".to_owned(), |partner| partner.to_string());
        let difference = would.modelled - would.booked;
        println!(
            "{:9} {link:18} {partner:18} {:<16} {:<16} {difference:+}",
            currency.as_str(),
            would.booked,
            would.modelled
        );
    }
    Ok(())
}
