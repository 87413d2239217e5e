//! What variants have brought, from the warehouse: counted clicks, and conversions credited to them.

use std::collections::{BTreeMap, HashMap};

use clickhouse::Client;
use weir_schemas::ids::{LinkId, Sequence, WorkspaceId};
use weir_schemas::time::{DAY_MS, Timestamp};

use super::thompson::Arm;
use super::{Allocations, Decision};

/// How far back results count: what was best last year need not be.
pub const RESULTS_WINDOW_MS: i64 = 30 * DAY_MS;
/// Most links asked for at once.
pub const LINKS_PER_QUERY: usize = 500;

#[derive(Debug, clickhouse::Row, serde::Deserialize)]
struct Counted {
    link: u64,
    variant: String,
    code: String,
    number: i64,
    brought: i64,
}

#[derive(Debug, Clone, Copy)]
enum What {
    Clicks,
    Conversions,
}

type Results = HashMap<(u64, String), Brought>;

#[derive(Debug, Clone, Copy, Default)]
struct Brought {
    number: i64,
    /// In the commonest currency of its link.
    revenue: i64,
}

/// What [`reallocate`] did.
#[derive(Debug, Default)]
pub struct Reallocated {
    /// Links whose split follows its results.
    pub links: usize,
    /// Decisions that changed a split by [`MATERIAL`](super::MATERIAL) or more: they are to be journaled.
    pub decisions: Vec<(WorkspaceId, LinkId, Decision)>,
}

/// Decides anew for every link whose split follows its results, as of `as_of`.
pub async fn reallocate(
    allocations: &Allocations,
    client: &Client,
    at: Timestamp,
    as_of: Sequence,
) -> Result<Reallocated, clickhouse::error::Error> {
    let mut done = Reallocated::default();
    for (workspace, links) in allocations.by_workspace() {
        for links in links.chunks(LINKS_PER_QUERY) {
            let ids: Vec<LinkId> = links.iter().map(|link| link.id).collect();
            let since = Timestamp(at.0 - RESULTS_WINDOW_MS);
            let of = |what| counted(client, what, workspace, &ids, since, as_of);
            let clicks = of(What::Clicks).await?;
            let conversions = of(What::Conversions).await?;
            for link in links {
                let arm = |(name, weight): (&str, u32)| {
                    let key = (link.id.0, name.to_owned());
                    let of = |results: &Results| results.get(&key).copied().unwrap_or_default();
                    let (seen, brought) = (of(&clicks), of(&conversions));
                    Arm {
                        clicks: seen.number.max(0) as u64,
                        conversions: brought.number.max(0) as u64,
                        revenue: brought.revenue.max(0) as u64,
                        paused: weight == 0,
                    }
                };
                let arms: Vec<Arm> = link.prepared.variants.given().map(arm).collect();
                let decision = allocations.decide(link, &arms, at, as_of);
                done.decisions.extend(decision.map(|decision| (workspace, link.id, decision)));
            }
            done.links += links.len();
        }
    }
    Ok(done)
}

async fn counted(
    client: &Client,
    what: What,
    workspace: WorkspaceId,
    links: &[LinkId],
    since: Timestamp,
    as_of: Sequence,
) -> Result<Results, clickhouse::error::Error> {
    let from = |table: &str, columns: &str, only: &str| {
        format!(
            "SELECT link, variant, {columns} FROM {table} WHERE workspace = {{workspace:UInt32}} \
             AND at >= fromUnixTimestamp64Milli({{since:Int64}}, 'UTC') AND seq <= {{as_of:UInt64}} \
             AND link IN {{links:Array(UInt64)}} AND variant != '' AND {only} GROUP BY link, variant, code"
        )
    };
    let sql = match what {
        // Clicks as they were recorded, and what late verdicts have moved since.
        What::Clicks => ["clicks", "effects"]
            .map(|table| {
                let number = if table == "clicks" { "toInt64(count())" } else { "sum(hits)" };
                let columns = format!("'' AS code, {number} AS number, toInt64(0) AS brought");
                from(table, &columns, "verdict = 'counted'")
            })
            .join(" UNION ALL "),
        What::Conversions => from(
            "effects",
            "toString(currency) AS code, sum(conversions) AS number, sum(revenue) - sum(refunds) AS brought",
            "verdict = ''",
        ),
    };
    let rows: Vec<Counted> = client
        .query(&sql)
        .param("workspace", workspace.0)
        .param("since", since.0)
        .param("as_of", as_of)
        .param("links", links.iter().map(|link| link.0).collect::<Vec<u64>>())
        .fetch_all()
        .await?;
    // Amounts of several currencies are no sum: those in the currency of most conversions count.
    let mut by_currency: HashMap<u64, BTreeMap<&str, i64>> = HashMap::new();
    for row in rows.iter().filter(|row| !row.code.is_empty()) {
        *by_currency.entry(row.link).or_default().entry(&row.code).or_default() += row.number;
    }
    let commonest =
        |link: u64| by_currency.get(&link)?.iter().max_by_key(|(_, number)| **number).map(|(code, _)| *code);
    let mut results = Results::new();
    for row in &rows {
        let brought = results.entry((row.link, row.variant.clone())).or_default();
        brought.number += row.number;
        if commonest(row.link) == Some(row.code.as_str()) {
            brought.revenue += row.brought;
        }
    }
    Ok(results)
}
