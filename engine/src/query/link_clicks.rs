//! Counted clicks of links, for their pages and lists.

use std::collections::HashMap;

use clickhouse::Client;
use weir_schemas::ids::{LinkId, Sequence, WorkspaceId, composed_at};

#[derive(Debug, clickhouse::Row, serde::Deserialize)]
struct Counted {
    link: u64,
    clicks: u64,
}

/// Counted clicks of each of `links` up to `upto`; a link without any is absent.
pub async fn link_clicks(
    client: &Client,
    workspace: WorkspaceId,
    links: &[LinkId],
    upto: Sequence,
) -> Result<HashMap<LinkId, u64>, clickhouse::error::Error> {
    let Some(oldest) = links.iter().min() else { return Ok(HashMap::new()) };
    let ids: Vec<u64> = links.iter().map(|link| link.0).collect();
    // Nobody clicks a link before it is made, so its id's time spares the months before.
    let rows: Vec<Counted> = client
        .query(
            "SELECT link, toUInt64(greatest(sum(n), 0)) AS clicks FROM ( \
                 SELECT link, toInt64(count()) AS n FROM clicks WHERE workspace = {workspace:UInt32} \
                 AND at >= fromUnixTimestamp64Milli({since:Int64}, 'UTC') AND seq <= {upto:UInt64} \
                 AND link IN {links:Array(UInt64)} AND verdict = 'counted' GROUP BY link \
                 UNION ALL \
                 SELECT link, sum(hits) AS n FROM effects WHERE workspace = {workspace:UInt32} \
                 AND at >= fromUnixTimestamp64Milli({since:Int64}, 'UTC') AND seq <= {upto:UInt64} \
                 AND link IN {links:Array(UInt64)} AND verdict = 'counted' GROUP BY link \
             ) GROUP BY link",
        )
        .param("workspace", workspace.0)
        .param("since", composed_at(oldest.0) - CLOCK_TOLERANCE_MS)
        .param("upto", upto)
        .param("links", ids)
        .fetch_all()
        .await?;
    Ok(rows.into_iter().map(|row| (LinkId(row.link), row.clicks)).collect())
}

/// How far two threads' readings of the clock may lie apart when an id is composed and a click is timed.
const CLOCK_TOLERANCE_MS: i64 = 3_600_000;
