//! Statements under way, each with a name of its own. A ClickHouse of one's own works on when the connection closes
//! (it looks at connections of read-only users alone), so a statement that nobody waits for any more is killed by
//! its name.

use std::hash::{BuildHasher, RandomState};
use std::sync::LazyLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use clickhouse::Client;

/// A statement may not have arrived yet when it is given up: it is looked for so often, and so far apart.
const KILLS: u32 = 5;
const BETWEEN_KILLS: Duration = Duration::from_millis(400);

/// A statement that somebody waits for. Dropped before it has [`ended`](Self::ended), it is killed.
#[derive(Debug)]
pub struct Running {
    client: Client,
    id: String,
    ended: bool,
}

impl Running {
    /// A new name for the next statement of `client`.
    pub(super) fn new(client: &Client) -> Self {
        static PROCESS: LazyLock<u64> = LazyLock::new(|| RandomState::new().hash_one("weir"));
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let id = format!("weir-{:016x}-{}", *PROCESS, NEXT.fetch_add(1, Ordering::Relaxed));
        Self { client: client.clone(), id, ended: false }
    }

    /// ClickHouse's `query_id`.
    pub(super) fn id(&self) -> &str {
        &self.id
    }

    /// Its answer was read to the end.
    pub fn ended(&mut self) {
        self.ended = true;
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let Ok(runtime) = tokio::runtime::Handle::try_current() else { return };
        if !self.ended {
            runtime.spawn(kill(self.client.clone(), std::mem::take(&mut self.id)));
        }
    }
}

async fn kill(client: Client, id: String) {
    // libchdb names queries itself; its server writes the name into the comment.
    let kill =
        "KILL QUERY WHERE query_id = {id:String} OR endsWith(Settings['log_comment'], {id:String}) ASYNC";
    for _ in 0..KILLS {
        let asked = client.query(kill).param("id", &id).fetch_bytes("TabSeparated");
        let told = match asked {
            Ok(mut cursor) => cursor.collect().await,
            Err(error) => Err(error),
        };
        match told {
            Ok(rows) if rows.is_empty() => tokio::time::sleep(BETWEEN_KILLS).await,
            Ok(_) => return metrics::counter!("weir_query_killed_total").increment(1),
            Err(error) => return tracing::debug!(%error, id, "an abandoned query could not be killed"),
        }
    }
}
