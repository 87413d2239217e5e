//! How fast a backlog of the journal gets into embedded ClickHouse: fills a journal, starts the database child (this
//! program again, as `weir clickhouse` would be), lets the follower drain, and prints rows per second as JSON.

#![forbid(unsafe_code)]

use std::error::Error;
use std::path::Path;
use std::time::{Duration, Instant};

use clap::Parser;
use serde_json::json;
use weir_benches::database::{Child, Database, Place};
use weir_benches::{NODE, click};
use weir_engine::journal::{Journal, JournalConfig, Traffic};
use weir_engine::warehouse::cells::STEP_LENGTH;
use weir_engine::warehouse::{Sources, Warehouse, WarehouseConfig};
use weir_engine::watermark::Watermark;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// A drain that takes longer is no figure but a failure.
const PATIENCE: Duration = Duration::from_secs(300);

#[derive(Parser)]
enum Command {
    /// Measure.
    Run {
        /// Clicks in the journal.
        #[arg(long, default_value_t = 2_000_000)]
        clicks: u64,
        /// Rows of a batch.
        #[arg(long, default_value_t = 100_000)]
        batch_rows: usize,
        #[command(flatten)]
        place: Place,
    },
    /// The database child: what the supervisor starts.
    Clickhouse(Child),
}

fn main() -> Result<(), Box<dyn Error>> {
    match Command::parse() {
        Command::Clickhouse(child) => child.serve(),
        Command::Run { clicks, batch_rows, place } => measure(clicks, batch_rows, place),
    }
}

fn measure(clicks: u64, batch_rows: usize, place: Place) -> Result<(), Box<dyn Error>> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let database = runtime.block_on(Database::start(place))?;
    let journal = database.folder().join("journal");
    let fill_s = fill(&journal, clicks)?;

    let pids = (std::process::id(), database.pid().unwrap_or(0));
    let cpu = (cpu_s(pids.0), cpu_s(pids.1));
    let config = WarehouseConfig {
        node: NODE,
        progress: database.folder().join("warehouse.json"),
        batch_rows,
        batch_age: Duration::from_millis(500),
        step_length: STEP_LENGTH,
    };
    let sources = Sources {
        journal: Traffic::of_files(&journal),
        durable: Watermark::new(clicks),
        applied: Watermark::new(clicks),
        effects: Box::new(|_, _, _| Ok(Vec::new())),
        milestones: Box::new(|_, _| Ok(Vec::new())),
    };
    let started = Instant::now();
    let warehouse = Warehouse::start(config, database.connection.separate(), sources)?;
    runtime.block_on(warehouse.flush_to(clicks, PATIENCE))?;
    let drain_s = started.elapsed().as_secs_f64();
    let cpu = (cpu_s(pids.0) - cpu.0, cpu_s(pids.1) - cpu.1);

    let stored: u64 = runtime.block_on(async {
        warehouse
            .client()?
            .query("SELECT count() FROM clicks")
            .fetch_one()
            .await
            .map_err(Box::<dyn Error>::from)
    })?;
    if stored != clicks {
        return Err(format!("{stored} rows are stored, of {clicks} clicks").into());
    }
    warehouse.stop(Duration::from_secs(5));
    runtime.block_on(database.stop());
    let figures = json!({
        "clicks": clicks,
        "batch_rows": batch_rows,
        "fill_entries_per_s": (clicks as f64 / fill_s) as u64,
        "drain_s": drain_s,
        "drain_rows_per_s": (clicks as f64 / drain_s) as u64,
        "engine_cpu_s": cpu.0,
        "database_cpu_s": cpu.1,
    });
    println!("{figures}");
    Ok(())
}

/// Seconds that it took, syncs included.
fn fill(folder: &Path, clicks: u64) -> Result<f64, Box<dyn Error>> {
    let config = JournalConfig { folder: folder.to_owned(), node: NODE, segment_bytes: 128 << 20 };
    let (mut journal, _) = Journal::open(config)?;
    let mut bytes = Vec::new();
    let mut spent = Duration::ZERO;
    for number in 1..=clicks {
        bytes.clear();
        // 5 ms between clicks: 2,000,000 of them are most of three hours.
        let mut click = click(number);
        click.at.0 = weir_benches::START.0 + number as i64 * 5;
        click.write(&mut bytes);
        let started = Instant::now();
        journal.put_traffic(1, 0, number, &bytes)?;
        if number % 10_000 == 0 || number == clicks {
            journal.commit()?;
        }
        spent += started.elapsed();
    }
    Ok(spent.as_secs_f64())
}

/// Processor seconds that a process has used so far (proc(5): utime and stime, in ticks of 10 ms).
fn cpu_s(pid: u32) -> f64 {
    let Ok(stat) = std::fs::read_to_string(format!("/proc/{pid}/stat")) else { return 0.0 };
    let after_name = stat.rsplit(')').next().unwrap_or_default();
    let ticks: u64 =
        after_name.split_whitespace().skip(11).take(2).filter_map(|n| n.parse::<u64>().ok()).sum();
    ticks as f64 / 100.0
}
