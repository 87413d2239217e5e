//! The suspicious clicks of a link, for its page: by signal, with the last of each and their evidence.

use clickhouse::Client;
use weir_schemas::ids::{LinkId, Sequence, WorkspaceId};
use weir_schemas::signal::Signal;
use weir_schemas::time::Timestamp;

/// How many clicks are told of each signal.
pub const RECENT_MAX: usize = 5;

/// What was noticed under one signal.
#[derive(Debug, Clone, PartialEq, Eq, clickhouse::Row, serde::Deserialize)]
pub struct Noticed {
    /// The signal.
    pub signal: String,
    /// Clicks whose gravest signal it is.
    pub clicks: u64,
    /// The last of them: the click's id, when it was in Unix milliseconds, the evidence.
    pub recent: Vec<(u128, i64, String)>,
}

/// The signals of `link` from `since` up to `upto`, the most frequent first. A click that a person judged is under that
/// signal alone.
pub async fn link_signals(
    client: &Client,
    workspace: WorkspaceId,
    link: LinkId,
    since: Timestamp,
    upto: Sequence,
) -> Result<Vec<Noticed>, clickhouse::error::Error> {
    let terms = "workspace = {workspace:UInt32} AND at >= fromUnixTimestamp64Milli({since:Int64}, 'UTC') \
                 AND seq <= {upto:UInt64} AND link = {link:UInt64}";
    let judged = format!(
        "effects WHERE {terms} AND verdict != '' GROUP BY click HAVING sumIf(hits, verdict = 'counted') < 0"
    );
    client
        .query(&format!(
            "SELECT toString(of) AS signal, count() AS clicks, \
             arrayMap(one -> (one.2, -one.1, one.3), \
             groupArraySorted({RECENT_MAX})((-toUnixTimestamp64Milli(t), id, why))) AS recent FROM ( \
                 SELECT toString(signal) AS of, at AS t, id, evidence AS why FROM clicks \
                 WHERE {terms} AND signal != '' AND id NOT IN (SELECT click FROM {judged}) \
                 UNION ALL \
                 SELECT '{}' AS of, max(at) AS t, click AS id, 'judged by a person' AS why FROM {judged} \
             ) GROUP BY of ORDER BY clicks DESC, signal",
            Signal::Manual.as_str()
        ))
        .param("workspace", workspace.0)
        .param("since", since.0)
        .param("upto", upto)
        .param("link", link.0)
        .fetch_all()
        .await
}
