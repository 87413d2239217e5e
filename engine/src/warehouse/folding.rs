//! The thread `weir-cells`: folds what is stored into cells ([`super::cells`]), a step at a time, in order, and merges
//! steps into longer ones.
//! It begins when the follower has seen to it that what was stored before is there, and never holds the
//! follower back.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use clickhouse::Client;
use weir_schemas::ids::Sequence;

use super::cells;
use super::{Connection, Shared};

/// How long the thread sleeps before it looks around.
const LOOK_AROUND: Duration = Duration::from_millis(50);
/// How often it asks whether there is a step to fold.
const LOOK_FOR_STEPS: Duration = Duration::from_secs(1);
/// How long it believes what ClickHouse told it of the steps, where nothing else says that there is something to do.
const BELIEVE: Duration = Duration::from_secs(10);
/// How long it waits after a failure.
const BACK_OFF: Duration = Duration::from_secs(5);
/// How long it leaves steps apart that could not be merged: they are as exact, and what was wrong may be their size.
const MERGE_BACK_OFF: Duration = Duration::from_secs(600);
/// What it leaves to others between two steps when there is much to fold.
const BREATH: Duration = Duration::from_millis(250);

pub(super) struct Folding {
    pub shared: Arc<Shared>,
    pub connection: Connection,
}

/// What the thread remembers from one look to the next.
#[derive(Default)]
struct Memory {
    /// What an earlier run left was tidied up.
    settled: bool,
    merging: Merging,
}

/// What it found and did.
struct Looked {
    /// Up to where clicks are folded.
    folded: Sequence,
    /// A step was made or some were merged, so there may be more to merge.
    changed: bool,
}

/// Whether steps may be merged.
#[derive(Default)]
struct Merging {
    /// Not before.
    from: Option<Instant>,
}

impl Merging {
    fn is_due(&self, now: Instant) -> bool {
        self.from.is_none_or(|from| from <= now)
    }

    fn ended<T, E>(&mut self, outcome: &Result<T, E>, now: Instant) {
        self.from = outcome.is_err().then(|| now + MERGE_BACK_OFF);
    }
}

impl Folding {
    pub(super) fn run(self) {
        let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
            Ok(runtime) => runtime,
            Err(error) => {
                tracing::error!(%error, "clicks are not added up beforehand: there is no runtime");
                return;
            }
        };
        runtime.block_on(async {
            tokio::select! {
                () = self.fold_for_ever() => {}
                () = self.told_to_stop() => {}
            }
        });
    }

    async fn told_to_stop(&self) {
        while !self.shared.stop.load(Ordering::Acquire) {
            tokio::time::sleep(LOOK_AROUND).await;
        }
    }

    async fn fold_for_ever(&self) {
        while !self.shared.settled.load(Ordering::Acquire) {
            tokio::time::sleep(LOOK_AROUND).await;
        }
        let mut memory = Memory::default();
        loop {
            let stored = self.shared.stored.get();
            let folded = match self.connection.client() {
                Ok(client) => {
                    self.step(&client, stored, &mut memory).await.map_err(|error| error.to_string())
                }
                Err(error) => Err(error.to_string()),
            };
            match folded {
                Ok(Looked { folded, changed }) => {
                    let behind = stored.saturating_sub(folded);
                    metrics::gauge!("weir_cells_behind_sequences").set(behind as f64);
                    match changed || behind >= self.shared.step_length {
                        true => tokio::time::sleep(BREATH).await,
                        false => self.until_there_may_be_a_step(folded).await,
                    }
                }
                Err(error) => {
                    metrics::counter!("weir_cells_failures_total").increment(1);
                    tracing::debug!(
                        error,
                        "clicks were not added up; they are read one by one until they are"
                    );
                    tokio::time::sleep(BACK_OFF).await;
                }
            }
        }
    }

    /// Waits until so much is stored behind `folded` that it makes a step, or [`BELIEVE`] is over.
    async fn until_there_may_be_a_step(&self, folded: Sequence) {
        let looked = Instant::now();
        while looked.elapsed() < BELIEVE {
            tokio::time::sleep(LOOK_FOR_STEPS).await;
            if self.shared.stored.get().saturating_sub(folded) >= self.shared.step_length {
                return;
            }
        }
    }

    /// Folds a step and merges some, where there are any to fold and to merge.
    async fn step(
        &self,
        client: &Client,
        stored: Sequence,
        memory: &mut Memory,
    ) -> Result<Looked, clickhouse::error::Error> {
        // Clicks that come late, of an early sequence, must not come into a step that is being folded.
        let _turn = self.shared.trying_again.lock().await;
        if !memory.settled {
            cells::settle(client, stored).await?;
            memory.settled = true;
        }
        let mut chain = cells::steps(client, stored).await?;
        let folded = cells::end(&chain);
        let mut changed = false;
        if stored - folded >= self.shared.step_length {
            cells::let_go_of_merged(client, stored).await?;
            let started = Instant::now();
            chain.push(cells::fold(client, name(), folded, folded + self.shared.step_length).await?);
            metrics::counter!("weir_cells_steps_total").increment(1);
            metrics::histogram!("weir_cells_step_seconds").record(started.elapsed().as_secs_f64());
            changed = true;
        }
        if memory.merging.is_due(Instant::now())
            && let Some(run) = cells::mergeable(&chain)
        {
            let merged = cells::merge(client, name(), &chain[run]).await;
            memory.merging.ended(&merged, Instant::now());
            merged.inspect_err(|error| tracing::warn!(%error, "added-up clicks were not merged"))?;
            metrics::counter!("weir_cells_merges_total").increment(1);
            changed = true;
        }
        Ok(Looked { folded: cells::end(&chain), changed })
    }
}

/// A try's name: the moment at which it began. No two begin in the same microsecond, as each asks ClickHouse first.
fn name() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(1, |since| since.as_micros() as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_merge_that_failed_is_left_for_ten_minutes() {
        let (mut merging, now) = (Merging::default(), Instant::now());
        assert!(merging.is_due(now));
        merging.ended(&Err::<(), _>("too large"), now);
        assert!(!merging.is_due(now + Duration::from_secs(599)));
        assert!(merging.is_due(now + Duration::from_secs(600)));
        merging.ended(&Ok::<_, &str>(()), now + Duration::from_secs(600));
        assert!(merging.is_due(now + Duration::from_secs(600)), "the next may follow at once");
    }
}
