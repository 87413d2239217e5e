//! Whose turn it is. The warehouse works on so many questions at a time, and of one workspace on fewer, so that
//! nobody's dashboards keep the others waiting; more wait, up to a bound and for a while, and what comes beyond
//! that is refused at once: 429 where it is the workspace's own doing, 503 where it is everybody's, both with
//! `Retry-After`.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use weir_schemas::ids::WorkspaceId;
use weir_schemas::problem::Problem;

/// How many may run and wait.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Bounds {
    /// What is counted, in refusals and metrics.
    pub(crate) what: &'static str,
    pub(crate) running: usize,
    pub(crate) running_per_workspace: usize,
    pub(crate) waiting: usize,
    pub(crate) waiting_per_workspace: usize,
    /// How long one waits.
    pub(crate) patience: Duration,
}

/// Why a question is not let in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Refusal {
    WorkspaceQueueFull,
    QueueFull,
    WaitedTooLong,
}

impl Refusal {
    const fn as_str(self) -> &'static str {
        match self {
            Self::WorkspaceQueueFull => "workspace_queue_full",
            Self::QueueFull => "queue_full",
            Self::WaitedTooLong => "waited_too_long",
        }
    }
}

/// The gate.
#[derive(Debug)]
pub(crate) struct Admission {
    bounds: Bounds,
    running: Arc<Semaphore>,
    places: Semaphore,
    /// As many as there are workspaces.
    workspaces: Mutex<HashMap<WorkspaceId, Arc<OfWorkspace>>>,
}

#[derive(Debug)]
struct OfWorkspace {
    running: Arc<Semaphore>,
    places: Semaphore,
}

/// A turn, until it is dropped.
#[derive(Debug)]
pub(crate) struct Turn {
    _of_workspace: OwnedSemaphorePermit,
    _of_all: OwnedSemaphorePermit,
}

impl Admission {
    pub(crate) fn new(bounds: Bounds) -> Self {
        let running = Arc::new(Semaphore::new(bounds.running));
        Self { bounds, running, places: Semaphore::new(bounds.waiting), workspaces: Mutex::default() }
    }

    /// Waits for a turn.
    ///
    /// # Errors
    /// 429 or 503 where there is none to be had soon; each is counted by its reason.
    pub(crate) async fn turn(&self, workspace: WorkspaceId) -> Result<Turn, Problem> {
        let taken = self.take(workspace).await;
        taken.map_err(|refusal| {
            let (what, reason) = (self.bounds.what, refusal.as_str());
            metrics::counter!("weir_query_refused_total", "what" => what, "reason" => reason).increment(1);
            self.problem(refusal)
        })
    }

    async fn take(&self, workspace: WorkspaceId) -> Result<Turn, Refusal> {
        let own = self.of(workspace);
        // Who need not wait takes no place in a queue.
        if let Ok(of_workspace) = Arc::clone(&own.running).try_acquire_owned()
            && let Ok(of_all) = Arc::clone(&self.running).try_acquire_owned()
        {
            return Ok(Turn { _of_workspace: of_workspace, _of_all: of_all });
        }
        let _own_place = own.places.try_acquire().map_err(|_| Refusal::WorkspaceQueueFull)?;
        let _place = self.places.try_acquire().map_err(|_| Refusal::QueueFull)?;
        let both = async {
            // The workspace's first: who waits for its own keeps nobody else's place.
            let of_workspace = Arc::clone(&own.running).acquire_owned().await.ok()?;
            let of_all = Arc::clone(&self.running).acquire_owned().await.ok()?;
            Some(Turn { _of_workspace: of_workspace, _of_all: of_all })
        };
        let turn = tokio::time::timeout(self.bounds.patience, both).await;
        turn.ok().flatten().ok_or(Refusal::WaitedTooLong)
    }

    fn of(&self, workspace: WorkspaceId) -> Arc<OfWorkspace> {
        let mut workspaces = self.workspaces.lock().unwrap_or_else(PoisonError::into_inner);
        let new = || {
            let running = Arc::new(Semaphore::new(self.bounds.running_per_workspace));
            Arc::new(OfWorkspace { running, places: Semaphore::new(self.bounds.waiting_per_workspace) })
        };
        Arc::clone(workspaces.entry(workspace).or_insert_with(new))
    }

    fn problem(&self, refusal: Refusal) -> Problem {
        let Bounds { what, running, running_per_workspace, waiting, waiting_per_workspace, .. } = self.bounds;
        let (status, detail) = match refusal {
            Refusal::WorkspaceQueueFull => (
                429,
                format!(
                    "{running_per_workspace} {what} of this workspace are being worked on and {waiting_per_workspace} wait. \
                     Ask fewer at a time."
                ),
            ),
            Refusal::QueueFull => {
                (503, format!("{running} {what} are being worked on and {waiting} wait. Try again."))
            }
            Refusal::WaitedTooLong => {
                (503, format!("{running} {what} are being worked on, and none has ended in time. Try again."))
            }
        };
        Problem::new(status, "too_many_queries", "Too many queries at once", detail)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ONE: WorkspaceId = WorkspaceId(1);
    const OTHER: WorkspaceId = WorkspaceId(2);

    fn admission(patience: Duration) -> Arc<Admission> {
        Arc::new(Admission::new(Bounds {
            what: "queries",
            running: 3,
            running_per_workspace: 2,
            waiting: 3,
            waiting_per_workspace: 2,
            patience,
        }))
    }

    async fn waits(
        admission: &Arc<Admission>,
        of: WorkspaceId,
    ) -> tokio::task::JoinHandle<Result<Turn, Problem>> {
        let (asked, before) = (Arc::clone(admission), admission.places.available_permits());
        let task = tokio::spawn(async move { asked.turn(of).await });
        while admission.places.available_permits() == before {
            assert!(!task.is_finished(), "it got its turn without waiting");
            tokio::task::yield_now().await;
        }
        task
    }

    #[tokio::test]
    async fn a_workspace_leaves_room_for_others_and_is_refused_beyond_its_bound() {
        let admission = admission(Duration::from_secs(3_600));
        let running = [admission.turn(ONE).await.unwrap(), admission.turn(ONE).await.unwrap()];
        let waiting = [waits(&admission, ONE).await, waits(&admission, ONE).await];
        let refused = admission.turn(ONE).await.unwrap_err();
        assert_eq!((refused.status, &*refused.code), (429, "too_many_queries"));
        // Somebody else is served, then waits, and is told that it is everybody's doing.
        let of_other = admission.turn(OTHER).await.unwrap();
        let third = waits(&admission, OTHER).await;
        assert_eq!(admission.turn(OTHER).await.unwrap_err().status, 503);
        drop((running, of_other));
        let [first, second] = waiting;
        let turns = (first.await, second.await, third.await);
        drop((turns.0.unwrap().unwrap(), turns.1.unwrap().unwrap(), turns.2.unwrap().unwrap()));
        assert_eq!((admission.places.available_permits(), admission.running.available_permits()), (3, 3));
    }

    #[tokio::test]
    async fn who_gives_up_or_waits_too_long_leaves_no_place_behind() {
        let admission = admission(Duration::from_millis(1));
        let running = [admission.turn(ONE).await.unwrap(), admission.turn(ONE).await.unwrap()];
        assert_eq!(admission.turn(ONE).await.unwrap_err().status, 503);
        let gone = waits(&admission, ONE).await;
        gone.abort();
        assert!(gone.await.is_err() || admission.places.available_permits() == 3);
        drop(running);
        assert!(admission.turn(ONE).await.is_ok());
        assert_eq!(admission.of(ONE).places.available_permits(), 2);
    }
}
