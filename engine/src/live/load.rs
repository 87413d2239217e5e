//! Loading a topic: everything up to a sequence, from the warehouse, on the runtime's threads; the live
//! thread goes on meanwhile.

use std::sync::Arc;
use std::time::Duration;

use crossbeam_channel::Sender;
use weir_schemas::ids::Sequence;
use weir_schemas::problem::Problem;
use weir_schemas::query::Cell;

use super::Command;
use crate::query::execute;
use crate::query::fold::RowStates;
use crate::query::plan::Plan;
use crate::recorder::Recorder;
use crate::warehouse::Warehouse;

/// How long a load waits for the warehouse to have stored what is durable.
const FLUSH_PATIENCE: Duration = Duration::from_secs(10);
/// How long a load may take in all.
const LOAD_TIMEOUT: Duration = Duration::from_secs(60);

/// Why a topic is loaded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Purpose {
    /// It begins, or its range has moved on.
    Begin,
    /// Its rows are compared with what is loaded.
    Check,
}

/// What was loaded.
pub(super) struct Loaded {
    pub key: String,
    pub purpose: Purpose,
    pub result: Result<Rows, Problem>,
}

pub(super) enum Rows {
    /// States to go on with, as of the sequence.
    States(Sequence, Box<RowStates>),
    /// Finished cells: a query that is run again rather than kept.
    Cells(Sequence, Vec<Vec<Cell>>, Option<Vec<Cell>>),
}

#[derive(Clone)]
pub(super) struct Loader {
    pub runtime: tokio::runtime::Handle,
    pub warehouse: Warehouse,
    pub recorder: Recorder,
    pub commands: Sender<Command>,
}

impl Loader {
    /// Loads `plan` and sends what came of it to the live thread.
    pub(super) fn load(&self, key: String, plan: Arc<Plan>, incremental: bool, purpose: Purpose) {
        let (warehouse, recorder, commands) =
            (self.warehouse.clone(), self.recorder.clone(), self.commands.clone());
        self.runtime.spawn(async move {
            let load = fetch(&warehouse, &recorder, &plan, incremental);
            let result = tokio::time::timeout(LOAD_TIMEOUT, load).await.unwrap_or_else(|_| {
                Err(away(format!("the warehouse did not answer within {LOAD_TIMEOUT:?}")))
            });
            let loaded = Command::Loaded(Box::new(Loaded { key, purpose, result }));
            // The thread takes commands at least once a tick; a full queue is waited for off the runtime.
            let _ = tokio::task::spawn_blocking(move || commands.send(loaded)).await;
        });
    }
}

async fn fetch(
    warehouse: &Warehouse,
    recorder: &Recorder,
    plan: &Arc<Plan>,
    incremental: bool,
) -> Result<Rows, Problem> {
    let durable = recorder.durable().get();
    let upto = warehouse.flush_to(durable, FLUSH_PATIENCE).await.map_err(|error| away(error.to_string()))?;
    let client = warehouse.client().map_err(|error| away(error.to_string()))?;
    if incremental {
        let loaded = execute::snapshot(&client, plan, upto).await.map_err(|error| error.problem())?;
        let mut states = RowStates::new(Arc::clone(plan));
        states.load(loaded);
        return Ok(Rows::States(upto, Box::new(states)));
    }
    let answered = execute::execute(&client, plan, upto).await.map_err(|error| error.problem())?;
    Ok(Rows::Cells(upto, answered.rows, answered.totals))
}

fn away(detail: String) -> Problem {
    Problem::new(503, "warehouse_unavailable", "The warehouse is not available", detail)
}
