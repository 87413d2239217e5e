//! A plan kept up to date in memory: entries are added one by one, and changed rows are taken out per tick.
//! The same rows come out as from SQL over the same entries; a property test holds the two against each
//! other.
//!
//! A click costs the filter, one encoding of its dimensions into a reused buffer and one look-up; only a row
//! that is new allocates. The number of groups is bounded: a plan with more is refused, not truncated.

use std::collections::HashMap;
use std::sync::Arc;

use weir_schemas::click::{Click, Verdict};
use weir_schemas::effect::Effect;
use weir_schemas::event::Event;
use weir_schemas::money::Currency;
use weir_schemas::problem::Problem;
use weir_schemas::query::{Cell, Dimension, Field};

use super::condition::{FieldKind, Row, kind};
use super::execute::StateRows;
use super::plan::Plan;
use super::states::{States, Sum};
use super::table::{self, Key};

/// Most groups of one plan in memory, and most that a query is ordered by in memory.
pub const GROUPS_MAX: usize = 100_000;

/// No sequence comes near this: what is added in memory is in order behind what was loaded.
const LOADED_BEFORE: u64 = 1 << 63;

/// All groups of a plan.
#[derive(Debug)]
pub struct RowStates {
    plan: Arc<Plan>,
    index: HashMap<Box<[u8]>, u32, ahash::RandomState>,
    groups: Vec<Group>,
    total: States,
    total_changed: bool,
    /// Groups changed since they were last taken.
    changed: Vec<u32>,
    /// Amounts are converted since the rows were last taken.
    converts_now: bool,
    buffer: Vec<u8>,
    too_many: bool,
    /// How many numbers were measured since the rows were loaded: of equal times the later comes last.
    measured: u64,
    /// A late verdict moved a hit whose visitor or latency these rows cannot let go.
    stale: bool,
}

#[derive(Debug)]
struct Group {
    keys: Vec<Key>,
    states: States,
    changed: bool,
    /// The subscriber has this row.
    shown: bool,
}

/// What is to be told to a subscriber.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Changes {
    /// Whole rows.
    pub rows: Vec<Vec<Cell>>,
    /// The dimension cells of rows that are no more.
    pub removed: Vec<Vec<Cell>>,
    /// The totals, where asked for and changed.
    pub totals: Option<Vec<Cell>>,
    /// Amounts are in this currency from now on: a second one was met.
    pub converted_into: Option<Currency>,
}

impl Changes {
    /// Whether there is nothing to tell.
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty() && self.removed.is_empty() && self.totals.is_none()
    }
}

impl RowStates {
    /// Without any rows but the one that a plan without dimensions always has. The plan must be incremental
    /// ([`Plan::is_incremental`]).
    pub fn new(plan: Arc<Plan>) -> Self {
        let mut states = Self {
            plan,
            index: HashMap::default(),
            groups: Vec::new(),
            total: States::default(),
            total_changed: false,
            changed: Vec::new(),
            converts_now: false,
            buffer: Vec::new(),
            too_many: false,
            measured: 0,
            stale: false,
        };
        if states.plan.dimensions.is_empty() {
            states.index.insert(Box::default(), 0);
            states.groups.push(Group {
                keys: Vec::new(),
                states: States::default(),
                changed: false,
                shown: false,
            });
        }
        states
    }

    /// The plan.
    pub fn plan(&self) -> &Arc<Plan> {
        &self.plan
    }

    /// How many groups are held.
    pub fn groups(&self) -> usize {
        self.groups.len()
    }

    /// Adds the warehouse's states: everything up to the snapshot's sequence. Later entries are then added
    /// one by one.
    pub fn load(&mut self, rows: StateRows) {
        for (keys, states) in rows.rows {
            if self.plan.total {
                self.total.merge(&states);
            }
            states.currencies.iter().for_each(|currency| self.total.meet(*currency));
            self.buffer.clear();
            keys.iter().for_each(|key| encode_key(key, &mut self.buffer));
            if let Some(at) = self.find(|| keys) {
                self.groups[at as usize].states.merge(&states);
                self.mark(at);
            }
        }
        self.total_changed = true;
        self.convert_if_several();
    }

    /// Tells every row anew in one currency once there are several.
    fn convert_if_several(&mut self) {
        if self.plan.converts || self.plan.exchange.is_none() || self.total.currencies.len() < 2 {
            return;
        }
        Arc::make_mut(&mut self.plan).converts = true;
        (self.converts_now, self.total_changed) = (true, true);
        (0..self.groups.len() as u32).for_each(|at| self.mark(at));
    }

    /// Adds a click, if the plan counts it.
    #[inline]
    pub fn add_click(&mut self, click: &Click<'_>) {
        self.add_hit(click, 1, true);
    }

    /// Adds a hit so many times. One that a late verdict moved is not `whole`: sums move with it, but a set of visitors
    /// cannot lose one who may have come by another click too, so these rows are [stale](Self::is_stale).
    #[inline]
    fn add_hit(&mut self, click: &Click<'_>, times: i64, whole: bool) {
        let times = i128::from(times);
        let plan = Arc::clone(&self.plan);
        let counted = match click.verdict {
            Verdict::Counted => plan.needs.counted(),
            Verdict::Bot => plan.with_bots && plan.needs.counted(),
            _ => false,
        };
        let other = match click.verdict {
            Verdict::Orphan => Some(Sum::OrphanClicks),
            Verdict::Bot => Some(Sum::BotClicks),
            _ => None,
        };
        let other = other.filter(|sum| plan.needs.sums.contains(sum));
        let hit = plan.needs.sums.contains(&Sum::Hits);
        if !(counted || hit || other.is_some())
            || click.workspace != plan.workspace
            || !plan.range.contains(click.at)
            || plan.partner.is_some_and(|partner| partner != click.partner)
        {
            return;
        }
        // Before the filters: a late verdict does not tell all of its click by which they go.
        self.stale |= !whole && counted && (plan.needs.visitors || plan.needs.latency);
        let row = Row::Click(click);
        if plan.filters.clicks.as_ref().is_some_and(|condition| !condition.holds(&row)) {
            return;
        }
        let Some(at) = self.group_of(&plan, &row, click.at.0) else { return };
        let add = |states: &mut States| {
            if let Some(sum) = other {
                states.add(sum, times);
            }
            if hit {
                states.add(Sum::Hits, times);
            }
            if counted {
                states.add(Sum::Clicks, times);
                if plan.needs.visitors && whole {
                    states.visitors.add(click.visitor);
                }
                if plan.needs.latency && whole {
                    states.latencies.add(click.latency_us);
                }
            }
        };
        add(&mut self.groups[at as usize].states);
        if plan.total {
            add(&mut self.total);
            self.total_changed = true;
        }
        self.mark(at);
    }

    /// Adds a browser event, if the plan counts it.
    pub fn add_event(&mut self, event: &Event<'_>) {
        let plan = Arc::clone(&self.plan);
        if !plan.needs.events()
            || !event.counts()
            || (event.bot && !plan.with_bots)
            || event.told.workspace != plan.workspace
            || !plan.range.contains(event.told.at)
            || plan.partner.is_some_and(|partner| partner != event.partner)
        {
            return;
        }
        let row = Row::Event(event);
        if plan.filters.unpaid.as_ref().is_some_and(|condition| !condition.holds(&row)) {
            return;
        }
        let value = if plan.needs.values() { plan.value_of_event(event) } else { None };
        if value.is_none() && !plan.needs.sums.contains(&Sum::Events) {
            return;
        }
        let Some(at) = self.group_of(&plan, &row, event.told.at.0) else { return };
        self.groups[at as usize].states.add(Sum::Events, 1);
        self.total.add(Sum::Events, 1);
        if let Some(value) = value {
            self.measure(at, event.told.at.0, value, 1);
        }
        self.total_changed = true;
        self.mark(at);
    }

    /// Adds an effect, if the plan counts it.
    pub fn add_effect(&mut self, effect: &Effect) {
        if let Some((hit, times)) = effect.moved_hit() {
            return self.add_hit(&hit, times, false);
        }
        let plan = Arc::clone(&self.plan);
        if !plan.needs.effects()
            || effect.workspace != plan.workspace
            || !plan.range.contains(effect.at)
            || plan.partner.is_some_and(|partner| partner != effect.partner)
        {
            return;
        }
        let row = Row::Effect(effect);
        let filter = if row.has_currency() { &plan.filters.paid } else { &plan.filters.unpaid };
        if filter.as_ref().is_some_and(|condition| !condition.holds(&row)) {
            return;
        }
        let Some(at) = self.group_of(&plan, &row, effect.at.0) else { return };
        let group = &mut self.groups[at as usize].states;
        group.add_change(&effect.change);
        self.total.add_change(&effect.change);
        if let Some(exchange) = &plan.exchange {
            exchange.add(effect, group);
            exchange.add(effect, &mut self.total);
        }
        if plan.needs.currencies {
            group.meet(effect.currency);
            self.total.meet(effect.currency);
        }
        if plan.needs.values()
            && let Some((value, times)) = plan.value_of_effect(effect)
        {
            self.measure(at, effect.at.0, value, times);
        }
        self.total_changed = true;
        self.mark(at);
        self.convert_if_several();
    }

    /// Adds a number so many times to a group and to the total.
    fn measure(&mut self, group: u32, at: i64, value: i64, times: i64) {
        // Whatever was loaded came before.
        self.measured += 1;
        let order = LOADED_BEFORE + self.measured;
        for states in [&mut self.groups[group as usize].states, &mut self.total] {
            states.add(Sum::Numbers, times.into());
            states.add(Sum::Millionths, i128::from(value) * i128::from(times));
            if times > 0 {
                states.extremes.add(at, order, value);
            } else {
                states.extremes.lost = true;
            }
        }
    }

    /// Whether something was taken back that these rows cannot let go (the visitor or the latency of a hit that a late
    /// verdict moved, the least of some numbers): they must be loaded anew.
    pub fn is_stale(&self) -> bool {
        self.stale || (self.plan.needs.extremes && self.total.extremes.lost)
    }

    fn group_of(&mut self, plan: &Plan, row: &Row<'_>, at: i64) -> Option<u32> {
        self.buffer.clear();
        for dimension in &plan.dimensions {
            match dimension {
                Dimension::Time(_) => self.buffer.extend_from_slice(&bucket(plan, at).to_le_bytes()),
                Dimension::Field(field) => encode_field(*field, row, &mut self.buffer),
                Dimension::Property(name) => encode_text(row.property(name), &mut self.buffer),
            }
        }
        self.find(|| plan.dimensions.iter().map(|dimension| key(plan, dimension, row, at)).collect())
    }

    /// The group whose encoded keys are in the buffer; a new one where there is none and room for one.
    #[inline]
    fn find(&mut self, keys: impl FnOnce() -> Vec<Key>) -> Option<u32> {
        if let Some(at) = self.index.get(self.buffer.as_slice()) {
            return Some(*at);
        }
        if self.groups.len() == GROUPS_MAX {
            self.too_many = true;
            return None;
        }
        let at = self.groups.len() as u32;
        self.index.insert(self.buffer.as_slice().into(), at);
        self.groups.push(Group { keys: keys(), states: States::default(), changed: false, shown: false });
        Some(at)
    }

    #[inline]
    fn mark(&mut self, at: u32) {
        let group = &mut self.groups[at as usize];
        if !group.changed {
            group.changed = true;
            self.changed.push(at);
        }
    }

    /// Why these rows cannot be told, if so: more groups than fit, or amounts in several currencies that
    /// nobody told apart.
    pub fn refusal(&self) -> Option<Problem> {
        if self.too_many {
            return Some(too_many_groups());
        }
        (self.plan.one_currency && self.total.currencies.len() > 1).then(|| several_currencies(&self.total))
    }

    fn arranged(&self) -> Vec<u32> {
        table::arrange(&self.plan, self.groups.iter().map(|group| (group.keys.as_slice(), &group.states)))
    }

    fn cells(&self, at: u32) -> Vec<Cell> {
        let group = &self.groups[at as usize];
        table::cells(&self.plan, &group.keys, &group.states)
    }

    /// All rows of the answer, in order.
    pub fn rows(&self) -> Vec<Vec<Cell>> {
        self.arranged().into_iter().map(|at| self.cells(at)).collect()
    }

    /// The totals, one cell per metric, where asked for.
    pub fn totals(&self) -> Option<Vec<Cell>> {
        self.plan.total.then(|| table::total_cells(&self.plan, &self.total))
    }

    /// Whether any visitors are estimates.
    pub fn has_estimates(&self) -> bool {
        self.plan.needs.visitors && self.groups.iter().any(|group| group.states.visitors.count_is_estimated())
    }

    /// All rows, for a snapshot: what [`Self::take_changes`] tells next is against these.
    pub fn take_snapshot(&mut self) -> Vec<Vec<Cell>> {
        let arranged = self.arranged();
        for group in &mut self.groups {
            (group.changed, group.shown) = (false, false);
        }
        for at in &arranged {
            self.groups[*at as usize].shown = true;
        }
        self.changed.clear();
        (self.total_changed, self.converts_now) = (false, false);
        arranged.into_iter().map(|at| self.cells(at)).collect()
    }

    /// What has changed since the last snapshot or the last call.
    pub fn take_changes(&mut self) -> Changes {
        let mut changes = Changes::default();
        let changed = std::mem::take(&mut self.changed);
        // Where every group fits into the answer, a group's change concerns no other group's place in it.
        if self.plan.offset == 0 && self.groups.len() <= self.plan.limit {
            for at in changed {
                let shows = table::is_row(&self.plan, &self.groups[at as usize].states);
                self.tell(at, shows, &mut changes);
            }
        } else if !changed.is_empty() {
            let mut shows = vec![false; self.groups.len()];
            self.arranged().into_iter().for_each(|at| shows[at as usize] = true);
            for (at, shows) in shows.into_iter().enumerate() {
                self.tell(at as u32, shows, &mut changes);
            }
        }
        if std::mem::take(&mut self.total_changed) {
            changes.totals = self.totals();
        }
        if std::mem::take(&mut self.converts_now) {
            changes.converted_into = self.plan.converted_into();
        }
        changes
    }

    fn tell(&mut self, at: u32, shows: bool, changes: &mut Changes) {
        let group = &mut self.groups[at as usize];
        let changed = std::mem::take(&mut group.changed);
        let shown = std::mem::replace(&mut group.shown, shows);
        if shows && (changed || !shown) {
            changes.rows.push(self.cells(at));
        } else if shown && !shows {
            changes.removed.push(table::dimension_cells(&self.plan, &self.groups[at as usize].keys));
        }
    }
}

pub(super) fn too_many_groups() -> Problem {
    let detail =
        format!("makes more than {GROUPS_MAX} rows: filter, shorten the range or take fewer dimensions");
    Problem::field("dimensions", detail)
}

pub(super) fn several_currencies(total: &States) -> Problem {
    let names: Vec<&str> = total.currencies.iter().map(|currency| currency.as_str()).collect();
    let names = names.join(" and ");
    let detail =
        format!("amounts are in several currencies ({names}): add the dimension `currency` or filter by one");
    Problem::field("metrics", detail)
}

fn bucket(plan: &Plan, at: i64) -> i64 {
    plan.buckets.as_ref().expect("a plan with a time dimension has buckets").key(at)
}

fn key(plan: &Plan, dimension: &Dimension, row: &Row<'_>, at: i64) -> Key {
    match dimension {
        Dimension::Time(_) => Key::Time(bucket(plan, at)),
        Dimension::Field(field) => match kind(*field) {
            FieldKind::Text => Key::Text(row.text(*field).into()),
            FieldKind::Id | FieldKind::Number => Key::Number(row.number(*field)),
            FieldKind::Flag => Key::Flag(row.bot()),
        },
        Dimension::Property(name) => Key::Text(row.property(name).into()),
    }
}

fn encode_field(field: Field, row: &Row<'_>, buffer: &mut Vec<u8>) {
    match kind(field) {
        FieldKind::Text => encode_text(row.text(field), buffer),
        FieldKind::Id | FieldKind::Number => buffer.extend_from_slice(&row.number(field).to_le_bytes()),
        FieldKind::Flag => buffer.push(u8::from(row.bot())),
    }
}

fn encode_key(key: &Key, buffer: &mut Vec<u8>) {
    match key {
        Key::Text(text) => encode_text(text, buffer),
        Key::Number(number) => buffer.extend_from_slice(&number.to_le_bytes()),
        Key::Flag(flag) => buffer.push(u8::from(*flag)),
        Key::Time(time) => buffer.extend_from_slice(&time.to_le_bytes()),
    }
}

/// With its length in front, so that no two lists of texts have the same bytes.
fn encode_text(text: &str, buffer: &mut Vec<u8>) {
    buffer.extend_from_slice(&(text.len() as u32).to_le_bytes());
    buffer.extend_from_slice(text.as_bytes());
}
