//! How long the dashboard's panels take over much history: generates clicks (a year of them, a fifth in the last 30
//! days) and conversions (one in a hundred) in embedded ClickHouse, folds the clicks into cells as the engine
//! does, asks every panel over 30 days and over all time again and again, and prints as JSON the times, how
//! many times longer the same question takes of single clicks, and the bytes that a click takes.
//!
//! `make bench-panels` (ten million clicks) or `make bench-panels CLICKS=100000000`. With `--keep FOLDER` the clicks
//! stay and another run asks them again, from where one that broke off got to: what changed between two programs is
//! seen in turns of them.

#![forbid(unsafe_code)]

use std::error::Error;
use std::ops::Range;
use std::time::Instant;

use clap::Parser;
use clickhouse::Client;
use serde_json::{Value, json};
use weir_benches::database::{Child, Database, Place};
use weir_benches::{COUNTRIES, START, WORKSPACE};
use weir_engine::query::execute::{Answered, QueryError, execute};
use weir_engine::query::plan::Plan;
use weir_engine::query::reports::{Asked, Scope, attribution, funnel};
use weir_engine::warehouse::cells::{self, STEP_LENGTH};
use weir_schemas::ids::{LinkId, Sequence};
use weir_schemas::query::Query;
use weir_schemas::time::{DAY_MS, Timestamp};

/// Rows of one statement: a part that merges do not have to touch again soon.
const CHUNK: u64 = 1_000_000;
/// Clicks come in the order of their times, as a journal has them, except for so many milliseconds.
const DISORDER_MS: u64 = 2_000;
/// One conversion in so many clicks.
const CLICKS_PER_CONVERSION: u64 = 100;

#[derive(Parser)]
enum Command {
    /// Measure.
    Run {
        /// Clicks to generate.
        #[arg(long, default_value_t = 10_000_000)]
        clicks: u64,
        /// How often every panel is asked.
        #[arg(long, default_value_t = 20)]
        rounds: usize,
        /// How often every panel is asked of single clicks; 0: neither that nor reports.
        #[arg(long, default_value_t = 2)]
        raw_rounds: usize,
        /// Only panels with this in their names.
        #[arg(long, default_value = "")]
        only: String,
        #[command(flatten)]
        place: Place,
    },
    /// The database child: what the supervisor starts.
    Clickhouse(Child),
}

fn main() -> Result<(), Box<dyn Error>> {
    match Command::parse() {
        Command::Clickhouse(child) => child.serve(),
        Command::Run { clicks, rounds, raw_rounds, only, place } => {
            measure(clicks, (rounds.max(1), raw_rounds), &only, place)
        }
    }
}

/// What the dashboard asks for: its figures, its series, its tables, its map.
fn panels() -> Vec<(&'static str, Value)> {
    let traffic = json!(["clicks", "visitors", "conversions", "conversion_rate"]);
    let by_day = |metrics: Value, zone: &str| json!({"metrics": metrics, "dimensions": ["time:day"], "timezone": zone});
    let table = |dimension: &str| {
        json!({"metrics": ["clicks", "conversions"], "dimensions": [dimension], "limit": 10,
            "order_by": [["clicks", "desc"]]})
    };
    let map = json!({"metrics": ["clicks", "visitors", "conversions"], "dimensions": ["country"], "limit": 300,
        "order_by": [["clicks", "desc"]]});
    vec![
        ("figures", json!({"metrics": traffic})),
        ("money", json!({"metrics": ["revenue", "refunds", "net_revenue", "aov", "epc"]})),
        ("clicks_by_day", by_day(json!(["clicks", "conversions"]), "UTC")),
        ("visitors_by_day", by_day(json!(["visitors"]), "UTC")),
        ("visitors_by_day_in_berlin", by_day(json!(["visitors"]), "Europe/Berlin")),
        ("revenue_by_day", by_day(json!(["revenue"]), "UTC")),
        ("links", table("link")),
        ("countries", table("country")),
        ("cities", table("city")),
        ("referrers", table("referrer")),
        ("devices", table("device")),
        ("browsers", table("browser")),
        ("campaigns", table("utm_campaign")),
        ("map", map),
        ("revenue_by_link", json!({"metrics": ["revenue"], "dimensions": ["link"], "limit": 10})),
    ]
}

/// What a link's own page asks for, which cells of everything cannot answer.
fn panels_of_a_link() -> Vec<(&'static str, Value)> {
    let of_link = |mut query: Value| {
        query["filters"] = json!(["is", "link", [LinkId(7).to_string()]]);
        query
    };
    vec![
        ("link_figures", of_link(json!({"metrics": ["clicks", "visitors", "conversions"]}))),
        ("link_clicks_by_day", of_link(json!({"metrics": ["clicks"], "dimensions": ["time:day"]}))),
        (
            "link_visitors_by_day",
            of_link(json!({"metrics": ["clicks", "visitors"], "dimensions": ["time:day"]})),
        ),
        ("link_countries", of_link(json!({"metrics": ["clicks"], "dimensions": ["country"], "limit": 10}))),
    ]
}

fn measure(
    clicks: u64,
    (rounds, raw_rounds): (usize, usize),
    only: &str,
    place: Place,
) -> Result<(), Box<dyn Error>> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let database = Database::start(place).await?;
        let client = database.connection.client()?;
        let mut figures = prepare(&client, clicks).await?;
        for range in ["30d", "all"] {
            for (group, panels) in [("overview", panels()), ("link", panels_of_a_link())] {
                let mut worst = 0.0_f64;
                for (name, mut query) in panels.into_iter().filter(|(name, _)| name.contains(only)) {
                    query["date_range"] = json!(range);
                    let query: Query = serde_json::from_value(query)?;
                    let plan =
                        Plan::build(&query, WORKSPACE, now(), None).map_err(|problem| problem.detail)?;
                    let before = database.processor_time()?;
                    let (mut times, answered) = ask(&client, &plan, rounds).await?;
                    let processor = (database.processor_time()? - before).as_secs_f64() * 1e3 / rounds as f64;
                    if answered.rows.is_empty() {
                        return Err(format!("{name} has no rows").into());
                    }
                    let (p50, p95) = (percentile(&mut times, 50), percentile(&mut times, 95));
                    worst = worst.max(p95);
                    eprint!("{range} {name}: p50 {p50} ms, p95 {p95} ms, of the processor {processor:.0} ms");
                    figures[range][group][name] =
                        json!({"p50_ms": p50, "p95_ms": p95, "processor_ms": processor});
                    if raw_rounds > 0 {
                        let (mut raw, same) = ask(&client, &plan.click_by_click(), raw_rounds).await?;
                        if (answered.rows, answered.totals) != (same.rows, same.totals) {
                            return Err(format!("{name}: cells and clicks disagree").into());
                        }
                        let raw = percentile(&mut raw, 50);
                        eprint!(", of single clicks {raw} ms");
                        figures[range][group][name]["raw_ms"] = json!(raw);
                        figures[range][group][name]["ratio"] = json!((raw / p50 * 10.0).round() / 10.0);
                    }
                    eprintln!();
                }
                figures[range][group]["worst_p95_ms"] = json!(worst);
            }
            if raw_rounds > 0 {
                reports(&client, range, &mut figures[range]).await?;
            }
        }
        println!("{figures:#}");
        database.stop().await;
        Ok(())
    })
}

/// Has so many clicks generated and folded, unless they are there already; gives what that took, and their sizes.
async fn prepare(client: &Client, clicks: u64) -> Result<Value, Box<dyn Error>> {
    let count = async |table: &str| {
        client.query("SELECT count() FROM {table:Identifier}").param("table", table).fetch_one::<u64>().await
    };
    let started = Instant::now();
    let held = count("clicks").await?;
    if count("effects").await? == 0 {
        // A run that broke off has whole chunks.
        generate(client, held..clicks).await?;
    }
    let generated_s = started.elapsed().as_secs_f64();
    let stored = count("clicks").await?;
    if stored != clicks {
        return Err(format!("{stored} clicks are stored, of {clicks}").into());
    }
    let started = Instant::now();
    let (steps, merged) = fold(client, clicks + clicks / CLICKS_PER_CONVERSION).await?;
    let folded_s = started.elapsed().as_secs_f64();
    let bytes = bytes_of(client, "clicks").await?;
    let bytes_by_link = client
        .query("SELECT sum(data_compressed_bytes) FROM system.projection_parts WHERE table = 'clicks' AND active")
        .fetch_one::<u64>()
        .await?;
    let bytes_of_cells = bytes_of(client, "click_cells").await?;
    Ok(json!({
        "clicks": clicks,
        "conversions": clicks / CLICKS_PER_CONVERSION,
        "generated_s": generated_s,
        "folded_s": folded_s,
        "steps": steps,
        "steps_merged_into": merged,
        "bytes_per_click": bytes as f64 / clicks as f64,
        "bytes_by_link_per_click": bytes_by_link as f64 / clicks as f64,
        "bytes_of_cells_per_click": bytes_of_cells as f64 / clicks as f64,
    }))
}

/// How long the reports take that read every click.
async fn reports(client: &Client, range: &str, figures: &mut Value) -> Result<(), Box<dyn Error>> {
    let asked: Asked = serde_json::from_value(json!({"date_range": range}))?;
    let scope = Scope::build(&asked, WORKSPACE, now(), None).map_err(|problem| problem.detail)?;
    // A report that takes longer than a statement may is told as such.
    let told = |started: Instant, answered: Result<_, QueryError>| match answered {
        Ok(_) => json!(started.elapsed().as_secs_f64() * 1e3),
        Err(error) => json!(error.problem().detail),
    };
    let started = Instant::now();
    let spec = serde_json::from_value(json!({"steps": ["click", "sale"], "window": "7d"}))?;
    let answered = funnel::report(client, &scope, &spec, u64::MAX >> 1).await;
    figures["funnel_ms"] = told(started, answered);
    let spec = serde_json::from_value(json!({"dimension": "referrer", "models": ["last", "shapley"]}))?;
    let started = Instant::now();
    let answered = attribution::report(client, &scope, &spec, u64::MAX >> 1).await;
    figures["attribution_ms"] = told(started, answered);
    Ok(())
}

/// Asks a plan so many times; the times in milliseconds and the answer.
async fn ask(client: &Client, plan: &Plan, rounds: usize) -> Result<(Vec<f64>, Answered), Box<dyn Error>> {
    let (mut times, mut answered) = (Vec::with_capacity(rounds), Answered::default());
    for _ in 0..rounds {
        let started = Instant::now();
        answered = execute(client, plan, u64::MAX >> 1).await?;
        times.push(started.elapsed().as_secs_f64() * 1e3);
    }
    Ok((times, answered))
}

/// Folds and merges as many whole steps as there are; the rest is read click by click, as always. Gives of how many
/// steps they are, and how many they have become.
async fn fold(client: &Client, stored: Sequence) -> Result<(usize, usize), Box<dyn Error>> {
    // As the engine does when it starts, and nobody reads what was merged any more.
    cells::settle(client, stored).await?;
    let mut chain = cells::steps(client, stored).await?;
    let mut name = chain.iter().map(|step| step.step).max().unwrap_or(0);
    let mut next = || {
        name += 1;
        name
    };
    while cells::end(&chain) + STEP_LENGTH <= stored {
        let folded = cells::end(&chain);
        chain.push(cells::fold(client, next(), folded, folded + STEP_LENGTH).await?);
        while let Some(run) = cells::mergeable(&chain) {
            let merged = cells::merge(client, next(), &chain[run.clone()]).await?;
            chain.splice(run, [merged]);
        }
    }
    cells::settle(client, stored).await?;
    Ok(((cells::end(&chain) / STEP_LENGTH) as usize, chain.len()))
}

async fn bytes_of(client: &Client, table: &str) -> Result<u64, Box<dyn Error>> {
    let sql = "SELECT sum(data_compressed_bytes) FROM system.parts \
               WHERE database = 'weir' AND table = {table:String} AND active";
    Ok(client.query(sql).param("table", table).fetch_one().await?)
}

/// The last click came just now.
fn now() -> Timestamp {
    Timestamp(START.0)
}

fn percentile(times: &mut [f64], percent: usize) -> f64 {
    times.sort_by(f64::total_cmp);
    (times[(times.len() * percent).div_ceil(100) - 1] * 10.0).round() / 10.0
}

/// Rows that ClickHouse makes of their numbers: 2,000 links, 200 campaigns, 50 countries, a visitor for every fifth
/// click, the common ones more often than the others. The same in every run.
async fn generate(client: &Client, missing: Range<u64>) -> Result<(), Box<dyn Error>> {
    let clicks = missing.end;
    let list = |texts: &[&str]| format!("['{}']", texts.join("', '"));
    let countries = list(&COUNTRIES);
    let year = 365 * DAY_MS;
    let month = 30 * DAY_MS;
    // A fifth of the clicks lie in the last 30 days; the same number n is always the same click.
    let before = clicks / 5 * 4;
    let at = format!(
        "toInt64({start} - sipHash64(n, 1) % {DISORDER_MS} - if(n < {before}, \
         {year} - intDiv(n * {rest}, {before}), {month} - intDiv((n - {before}) * {month}, {recent})))",
        start = START.0,
        rest = year - month,
        recent = clicks - before,
    );
    let pick = |salt: u32, length: &str| {
        // The square of an even number in 0..1 comes to the low ones more often.
        format!("toUInt32(floor(pow((sipHash64(n, {salt}) % 1000003) / 1000003, 2) * {length})) + 1")
    };
    let dims = format!(
        "['google.com', '', 't.co', 'facebook.com', 'reddit.com', 'news.example'][{referrer}] AS referrer, \
         {countries}[{country}] AS country, concat('City ', toString({city})) AS city, \
         ['mobile', 'desktop', 'tablet'][{device}] AS device, ['Chrome', 'Safari', 'Firefox', 'Edge'][{browser}] \
         AS browser, ['Android', 'Windows', 'iOS', 'macOS'][{os}] AS os, \
         ['social', 'search', 'email', 'direct'][{medium}] AS medium, 'go.example' AS domain, \
         concat('campaign ', toString({campaign})) AS utm_campaign, ['news', 'ads', 'mail'][{source}] AS utm_source",
        referrer = pick(2, "6"),
        country = pick(3, "50"),
        city = pick(4, "2000"),
        device = pick(5, "3"),
        browser = pick(6, "4"),
        os = pick(7, "4"),
        medium = pick(8, "4"),
        campaign = pick(9, "200"),
        source = pick(10, "3"),
    );
    let (link, visitor) = (pick(11, "2000"), format!("sipHash64(sipHash64(n, 12) % {}) + 1", clicks / 5 + 1));
    for from in missing.step_by(CHUNK as usize) {
        let count = CHUNK.min(clicks - from);
        let rows = format!(
            "INSERT INTO clicks (node, seq, id, at, verdict, bot, flags, status, latency_us, workspace, link, visitor, \
             network, asn, referrer, country, city, device, browser, os, medium, domain, utm_campaign, utm_source, \
             continent, language, slug) \
             SELECT 1, n + 1, bitShiftLeft(toUInt128(ms), 80) + n, fromUnixTimestamp64Milli(ms, 'UTC'), 'counted', \
             false, 0, 302, 5 + sipHash64(n, 13) % 40, 1, {link}, {visitor}, sipHash64(n, 14), \
             64000 + sipHash64(n, 15) % 500, d.1, d.2, d.3, d.4, d.5, d.6, d.7, d.8, d.9, d.10, 'EU', 'en', \
             concat('s', toString({link})) \
             FROM (SELECT n, ms, tuple({tuple}) AS d FROM (SELECT number AS n, {at} AS ms FROM numbers({from}, {count})))",
            tuple = without_names(&dims),
        );
        client.query_raw(&rows).execute().await?;
    }
    let rows = format!(
        "INSERT INTO effects (node, seq, sub, workspace, at, event, conversion, order_id, customer, provider, currency, \
         click, link, visitor, referrer, country, city, device, browser, os, medium, domain, utm_campaign, \
         utm_source, conversions, orders, revenue) \
         SELECT 1, {clicks} + n + 1, 0, 1, fromUnixTimestamp64Milli(ms + 60000, 'UTC'), 'sale', n + 1, toString(n), \
         sipHash64(n, 16) % 100000 + 1, 'stripe', 'EUR', 1, {link}, {visitor}, d.1, d.2, d.3, d.4, d.5, d.6, d.7, d.8, \
         d.9, d.10, 1, 1, 500 + sipHash64(n, 17) % 20000 \
         FROM (SELECT n, ms, tuple({tuple}) AS d FROM (SELECT number * {CLICKS_PER_CONVERSION} AS n, {at} AS ms \
         FROM numbers({conversions})))",
        tuple = without_names(&dims),
        conversions = clicks / CLICKS_PER_CONVERSION,
    );
    client.query_raw(&rows).execute().await?;
    Ok(())
}

/// The expressions alone.
fn without_names(dims: &str) -> String {
    let names = [
        "referrer",
        "country",
        "city",
        "device",
        "browser",
        "os",
        "medium",
        "domain",
        "utm_campaign",
        "utm_source",
    ];
    names.iter().fold(dims.to_owned(), |text, name| text.replace(&format!(" AS {name}"), ""))
}
