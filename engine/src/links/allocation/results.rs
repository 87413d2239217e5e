//! What variants have brought, from the warehouse: counted clicks, and conversions credited to them.

use std::collections::HashMap;

use clickhouse::Client;
use weir_schemas::ids::{LinkId, Sequence, WorkspaceId};
use weir_schemas::time::{DAY_MS, Timestamp};

use super::Allocations;
use super::thompson::Arm;

/// How far back results count: what was best last year need not be.
pub const RESULTS_WINDOW_MS: i64 = 30 * DAY_MS;
/// Most links asked for at once.
pub const LINKS_PER_QUERY: usize = 500;

#[derive(Debug, clickhouse::Row, serde::Deserialize)]
struct Counted {
    link: u64,
    variant: String,
    number: i64,
}

type Results = HashMap<(u64, String), i64>;

/// Decides anew for every link whose split follows its results, as of `as_of`. Gives how many there are.
pub async fn reallocate(
    allocations: &Allocations,
    client: &Client,
    at: Timestamp,
    as_of: Sequence,
) -> Result<usize, clickhouse::error::Error> {
    let mut links_seen = 0;
    for (workspace, links) in allocations.by_workspace() {
        for links in links.chunks(LINKS_PER_QUERY) {
            let ids: Vec<LinkId> = links.iter().map(|link| link.id).collect();
            let since = Timestamp(at.0 - RESULTS_WINDOW_MS);
            let of = |what| counted(client, what, workspace, &ids, since, as_of);
            let clicks = of("clicks").await?;
            let conversions = of("effects").await?;
            for link in links {
                let arm = |(name, weight): (&str, u32)| {
                    let key = (link.id.0, name.to_owned());
                    let number = |of: &Results| of.get(&key).map_or(0, |number| (*number).max(0) as u64);
                    Arm { clicks: number(&clicks), conversions: number(&conversions), paused: weight == 0 }
                };
                let arms: Vec<Arm> = link.prepared.variants.given().map(arm).collect();
                allocations.decide(link, &arms, at, as_of);
            }
            links_seen += links.len();
        }
    }
    Ok(links_seen)
}

async fn counted(
    client: &Client,
    table: &str,
    workspace: WorkspaceId,
    links: &[LinkId],
    since: Timestamp,
    as_of: Sequence,
) -> Result<Results, clickhouse::error::Error> {
    let (number, only) = match table {
        "clicks" => ("toInt64(count())", "AND verdict = 'counted'"),
        _ => ("sum(conversions)", ""),
    };
    let rows: Vec<Counted> = client
        .query(&format!(
            "SELECT link, variant, {number} AS number FROM {table} WHERE workspace = {{workspace:UInt32}} \
             AND at >= fromUnixTimestamp64Milli({{since:Int64}}, 'UTC') AND seq <= {{as_of:UInt64}} \
             AND link IN {{links:Array(UInt64)}} AND variant != '' {only} GROUP BY link, variant"
        ))
        .param("workspace", workspace.0)
        .param("since", since.0)
        .param("as_of", as_of)
        .param("links", links.iter().map(|link| link.0).collect::<Vec<u64>>())
        .fetch_all()
        .await?;
    Ok(rows.into_iter().map(|row| ((row.link, row.variant), row.number)).collect())
}
