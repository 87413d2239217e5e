//! Topics: one per distinct query, shared by all who ask it.

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

use weir_schemas::click::Click;
use weir_schemas::effect::Effect;
use weir_schemas::event::Event;
use weir_schemas::ids::Sequence;
use weir_schemas::query::{Cell, Column, Query, Totals};

use super::Watcher;
use super::client::ClientId;
use super::frames::{self, Body};
use crate::query::fold::RowStates;
use crate::query::plan::Plan;

/// A query that cannot be kept is run again this often.
pub(super) const REFRESH: Duration = Duration::from_secs(5);
/// Pauses between tries to load a topic whose rows cannot be had now, from the first to the longest.
const RETRY_FIRST: Duration = Duration::from_millis(500);
const RETRY_LONGEST: Duration = Duration::from_secs(30);
/// Bytes of deltas that a topic keeps for clients that come back.
const HISTORY_BYTES: usize = 256 << 10;

/// A client's subscription.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Subscriber {
    pub client: ClientId,
    /// The client's name for it.
    pub name: String,
}

pub(super) struct Topic {
    pub plan: Arc<Plan>,
    /// As asked, to resolve its range again when it has moved on.
    pub query: Query,
    pub watcher: Watcher,
    pub columns: Vec<Column>,
    pub state: State,
    pub subscribers: HashSet<Subscriber>,
    /// Those who missed a delta, or have no snapshot yet: they get one.
    pub behind: HashSet<Subscriber>,
    /// Whether a load is under way.
    pub loading: bool,
    /// The last load failed for a reason that passes (the warehouse is away): when it is tried again, and
    /// the pause after that.
    pub retry: Option<(Instant, Duration)>,
    history: VecDeque<(Sequence, Sequence, Body)>,
    history_bytes: usize,
}

/// Rows that grow.
pub(super) struct Kept {
    pub states: Box<RowStates>,
    /// Entries up to here are in them.
    pub since: Sequence,
}

impl Kept {
    pub(super) fn add_click(&mut self, seq: Sequence, click: &Click<'_>) {
        if seq > self.since {
            self.states.add_click(click);
        }
    }

    pub(super) fn add_event(&mut self, seq: Sequence, event: &Event<'_>) {
        if seq > self.since {
            self.states.add_event(event);
        }
    }

    pub(super) fn add_effect(&mut self, effect: &Effect) {
        if effect.seq > self.since {
            self.states.add_effect(effect);
        }
    }
}

pub(super) enum State {
    /// Nothing to show yet.
    Waiting,
    /// Kept by adding entries.
    Kept(Kept),
    /// Run again every [`REFRESH`].
    Refreshed { seq: Sequence, rows: Vec<Vec<Cell>>, totals: Option<Vec<Cell>>, at: Instant },
}

impl Topic {
    pub(super) fn new(plan: Arc<Plan>, query: Query, watcher: Watcher) -> Self {
        Self {
            columns: plan.columns(),
            plan,
            query,
            watcher,
            state: State::Waiting,
            subscribers: HashSet::new(),
            behind: HashSet::new(),
            loading: false,
            retry: None,
            history: VecDeque::new(),
            history_bytes: 0,
        }
    }

    /// Has its load tried again after a pause, each longer than the last.
    pub(super) fn try_again(&mut self) {
        let pause = self.retry.map_or(RETRY_FIRST, |(_, pause)| (pause * 2).min(RETRY_LONGEST));
        self.retry = Some((Instant::now() + pause, pause));
    }

    /// Whether it is time for that.
    pub(super) fn is_retry_due(&self) -> bool {
        !self.loading && self.retry.is_some_and(|(at, _)| Instant::now() >= at)
    }

    /// Whether it is kept by adding entries, rather than run again.
    pub(super) fn is_incremental(&self) -> bool {
        self.plan.is_incremental()
    }

    /// Whether its rows can no longer be told and have to be loaded anew.
    pub(super) fn is_stale(&self) -> bool {
        matches!(&self.state, State::Kept(kept) if kept.states.is_stale())
    }

    /// All rows as of `seen`.
    pub(super) fn snapshot(&self, epoch: &str, seen: Sequence) -> Option<Body> {
        let columns = &self.columns;
        match &self.state {
            State::Waiting => None,
            State::Kept(kept) if kept.states.is_stale() => None,
            State::Kept(Kept { states, since }) => {
                let (rows, totals) = (states.rows(), self.named(states.totals()));
                let seen = seen.max(*since);
                Some(frames::snapshot(&frames::Snapshot {
                    epoch,
                    seq: seen,
                    columns,
                    rows: &rows,
                    totals,
                    refreshed_every_ms: None,
                    fx: states.plan().converted_into().map(|base| frames::Fx { base }),
                }))
            }
            State::Refreshed { seq, rows, totals, .. } => Some(frames::snapshot(&frames::Snapshot {
                epoch,
                seq: *seq,
                columns,
                rows,
                totals: self.named(totals.clone()),
                refreshed_every_ms: Some(REFRESH.as_millis() as u64),
                fx: self.plan.converted_into().map(|base| frames::Fx { base }),
            })),
        }
    }

    /// Totals as queries answer them.
    fn named(&self, totals: Option<Vec<Cell>>) -> Option<Totals> {
        totals.map(|cells| self.plan.name_totals(cells))
    }

    /// What changed since `from`, as of `seen`; remembered for those who come back.
    pub(super) fn delta(&mut self, from: Sequence, seen: Sequence) -> Option<&mut Body> {
        let State::Kept(Kept { states, .. }) = &mut self.state else { return None };
        let changes = states.take_changes();
        if changes.is_empty() {
            return None;
        }
        let body = frames::delta(&frames::Delta {
            seq: seen,
            rows: &changes.rows,
            removed: &changes.removed,
            totals: changes.totals.map(|cells| self.plan.name_totals(cells)),
            fx: changes.converted_into.map(|base| frames::Fx { base }),
        });
        Some(self.remember(from, seen, body))
    }

    /// The difference between what was shown and what was found on running again.
    pub(super) fn refresh(
        &mut self,
        seq: Sequence,
        rows: Vec<Vec<Cell>>,
        totals: Option<Vec<Cell>>,
    ) -> Option<Body> {
        let dimensions = self.query.dimensions.len();
        let before = std::mem::replace(
            &mut self.state,
            State::Refreshed { seq, rows: rows.clone(), totals: totals.clone(), at: Instant::now() },
        );
        let State::Refreshed { rows: old, totals: old_totals, .. } = before else { return None };
        let key = |row: &[Cell]| serde_json::to_string(&row[..dimensions]).expect("cells are JSON");
        let old: HashMap<String, Vec<Cell>> = old.into_iter().map(|row| (key(&row), row)).collect();
        let changed: Vec<Vec<Cell>> =
            rows.iter().filter(|row| old.get(&key(row)) != Some(row)).cloned().collect();
        let now: HashSet<String> = rows.iter().map(|row| key(row)).collect();
        let removed: Vec<Vec<Cell>> = old
            .iter()
            .filter(|(key, _)| !now.contains(*key))
            .map(|(_, row)| row[..dimensions].to_vec())
            .collect();
        let totals = totals.filter(|totals| Some(totals) != old_totals.as_ref());
        if changed.is_empty() && removed.is_empty() && totals.is_none() {
            return None;
        }
        let totals = self.named(totals);
        let delta = frames::Delta { seq, rows: &changed, removed: &removed, totals, fx: None };
        Some(frames::delta(&delta))
    }

    fn remember(&mut self, from: Sequence, to: Sequence, body: Body) -> &mut Body {
        self.history_bytes += body.len();
        self.history.push_back((from, to, body));
        while self.history_bytes > HISTORY_BYTES && self.history.len() > 1 {
            let (_, _, old) = self.history.pop_front().expect("there is more than one");
            self.history_bytes -= old.len();
        }
        &mut self.history.back_mut().expect("just pushed").2
    }

    /// The deltas after `seq`, where all of them are still here.
    pub(super) fn recover(&mut self, seq: Sequence, seen: Sequence) -> Option<Vec<&mut Body>> {
        if seq == seen && matches!(self.state, State::Kept(_)) {
            return Some(Vec::new());
        }
        let first = self.history.iter().position(|(from, _, _)| *from <= seq)?;
        let complete = self.history[first].0 <= seq;
        complete.then(|| {
            self.history.iter_mut().filter(|(_, to, _)| *to > seq).map(|(_, _, body)| body).collect()
        })
    }

    /// Forgets its deltas: the next state does not follow from the last.
    pub(super) fn forget(&mut self) {
        self.history.clear();
        self.history_bytes = 0;
    }
}
