//! How fresh an answer is: everything that was answered to visitors and providers before the question, if
//! the warehouse takes it in time; else what it has, and the answer says as of when.

use std::time::Duration;

use weir_engine::recorder::Recorder;
use weir_engine::warehouse::Warehouse;
use weir_schemas::ids::Sequence;
use weir_schemas::time::Timestamp;

/// How long a question waits for the newest facts to be stored before it is answered without them.
pub(crate) const FRESHNESS_WAIT: Duration = Duration::from_secs(10);

/// An answer holds everything up to `seq`, which was everything at `at`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AsOf {
    /// The last sequence within.
    pub seq: Sequence,
    /// When that was.
    pub at: Timestamp,
}

/// Has the warehouse store everything that is known now.
pub(crate) async fn fresh(recorder: &Recorder, warehouse: &Warehouse) -> AsOf {
    let at = Timestamp::now();
    let settled = tokio::time::timeout(FRESHNESS_WAIT, recorder.settled()).await;
    let wanted = settled.unwrap_or_else(|_| recorder.durable().get());
    // A ClickHouse that is only just coming up has stored nothing yet: its start is not counted as waiting.
    let _ = warehouse.client_soon().await;
    match warehouse.flush_to(wanted, FRESHNESS_WAIT).await {
        Ok(seq) => AsOf { seq, at },
        Err(behind) => {
            tracing::warn!(%behind, "answering from what the warehouse has");
            metrics::counter!("weir_query_stale_answers_total").increment(1);
            AsOf { seq: behind.stored, at: time_of(warehouse, behind.stored).await.unwrap_or(at) }
        }
    }
}

/// How far back of a sequence a row is looked for: not every entry makes one.
const ROWS_BACK: u64 = 10_000;

/// When the last row up to `seq` was.
async fn time_of(warehouse: &Warehouse, seq: Sequence) -> Option<Timestamp> {
    let client = warehouse.client().ok()?;
    let sql = "SELECT toInt64(toUnixTimestamp64Milli(max(at))) FROM clicks \
               WHERE seq > {after:UInt64} AND seq <= {upto:UInt64} HAVING count() > 0";
    let query = client.query(sql).param("after", seq.saturating_sub(ROWS_BACK)).param("upto", seq);
    query.fetch_optional::<i64>().await.ok().flatten().map(Timestamp)
}
