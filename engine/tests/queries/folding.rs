//! States in memory against the twin.

use std::collections::BTreeMap;
use std::sync::Arc;

use proptest::prelude::*;
use serde_json::Value;
use weir_engine::query::fold::{Changes, RowStates};
use weir_engine::query::plan::Plan;
use weir_schemas::ids::PartnerId;
use weir_schemas::query::{Metric, Query};
use weir_schemas::time::Timestamp;

use crate::facts::{Entry, WORKSPACE, entries, query};
use crate::twin;

pub(crate) const NOW: Timestamp = Timestamp(1_793_000_000_000);

/// What cannot be taken out of memory again.
const OF_CLICKS: [Metric; 3] = [Metric::Visitors, Metric::LatencyP50, Metric::LatencyP99];

pub(crate) fn add(states: &mut RowStates, entry: &Entry) {
    match entry {
        Entry::Click(click) => states.add_click(click),
        Entry::Event(event) => states.add_event(event),
        Entry::Effect(effect) => states.add_effect(effect),
    }
}

/// What a key of `partner` sees; without one everything.
pub(crate) fn of_partner(entries: &[Entry], partner: Option<PartnerId>) -> Vec<Entry> {
    let of = |entry: &Entry| match entry {
        Entry::Click(click) => click.partner,
        Entry::Event(event) => event.partner,
        Entry::Effect(effect) => effect.partner,
    };
    entries.iter().filter(|entry| partner.is_none_or(|partner| of(entry) == partner)).cloned().collect()
}

/// What a subscriber keeps: rows by their dimension cells.
#[derive(Default)]
pub(crate) struct Subscriber {
    rows: BTreeMap<String, Vec<Value>>,
    dimensions: usize,
}

impl Subscriber {
    pub(crate) fn new(query: &Query, snapshot: Vec<Vec<Value>>) -> Self {
        let mut new = Self { rows: BTreeMap::new(), dimensions: query.dimensions.len() };
        snapshot.into_iter().for_each(|row| new.put(row));
        new
    }

    fn put(&mut self, row: Vec<Value>) {
        self.rows.insert(serde_json::to_string(&row[..self.dimensions]).unwrap(), row);
    }

    pub(crate) fn apply(&mut self, changes: Changes) {
        changes.rows.into_iter().for_each(|row| self.put(row));
        for removed in changes.removed {
            let key = serde_json::to_string(&removed).unwrap();
            assert!(self.rows.remove(&key).is_some(), "{key} was never shown");
        }
    }

    pub(crate) fn holds(&self, rows: &[Vec<Value>]) {
        let mut expected = Self { rows: BTreeMap::new(), dimensions: self.dimensions };
        rows.iter().for_each(|row| expected.put(row.clone()));
        assert_eq!(self.rows, expected.rows);
    }
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 4_000,
        max_global_rejects: 40_000,
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn memory_answers_as_the_twin_does(
        query in query(),
        entries in entries(),
        told in 0..60_usize,
        scoped in prop::bool::weighted(0.2),
    ) {
        let partner = scoped.then_some(PartnerId(7));
        let plan = Plan::build(&query, WORKSPACE, NOW, partner);
        prop_assume!(plan.is_ok());
        let plan = Arc::new(plan.unwrap());
        prop_assert!(plan.is_incremental());
        let mut states = RowStates::new(Arc::clone(&plan));
        let mut subscriber = Subscriber::new(&query, states.take_snapshot());
        for (number, entry) in entries.iter().enumerate() {
            add(&mut states, entry);
            if number % (told + 1) == 0 {
                subscriber.apply(states.take_changes());
            }
        }
        match twin::answer(&query, &of_partner(&entries, partner)) {
            Err(currencies) => {
                let problem = states.refusal();
                prop_assert!(problem.is_some_and(|problem| problem.detail.contains(&currencies[0])));
            }
            Ok((rows, totals)) => {
                prop_assert_eq!(states.refusal(), None);
                if states.is_stale() {
                    // Something was taken away: memory says so, and is loaded anew (see `warehouse.rs`).
                    let lost = |metric: &Metric| OF_CLICKS.contains(metric) || metric.is_level();
                    prop_assert!(query.metrics.iter().any(lost));
                    return Ok(());
                }
                prop_assert_eq!(states.rows(), rows.clone());
                prop_assert_eq!(states.totals(), query.include.total.then_some(totals));
                subscriber.apply(states.take_changes());
                subscriber.holds(&rows);
                prop_assert!(states.take_changes().is_empty());
            }
        }
    }
}
