//! The live thread: takes commands until the tick, then reads what is new, adds it to the topics and sends
//! what changed. Long, because it is one owner of one state: every function here is a step of that loop.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use crossbeam_channel::{Receiver, RecvTimeoutError};
use weir_schemas::click::Click;
use weir_schemas::effect::Effect;
use weir_schemas::event::Event;
use weir_schemas::fact::kind;
use weir_schemas::ids::{Sequence, WorkspaceId};
use weir_schemas::live::{CloseCode, Recover};
use weir_schemas::problem::Problem;
use weir_schemas::query::Query;
use weir_schemas::time::Timestamp;

use super::client::{Client, ClientId, Delivery, Watching};
use super::load::{Loaded, Loader, Purpose, Rows};
use super::tail::Tail;
use super::topic::{Kept, REFRESH, State, Subscriber, Topic};
use super::{Command, SUBSCRIPTION_ID_MAX, SUBSCRIPTIONS_MAX, TOPICS_MAX, Watcher, frames};
use crate::enrich::Geo;
use crate::fx::FxTables;
use crate::journal::{Entry, JournalReader};
use crate::query::fold::RowStates;
use crate::query::plan::Plan;
use crate::warehouse::Sources;
use crate::watermark::Watermark;

/// Entries read at once; between such batches of a large backlog commands are taken.
const BATCH_ENTRIES: usize = 50_000;
const BATCH_BYTES: usize = 32 << 20;
/// A topic is compared with the warehouse this often, one topic at a time.
const CHECK_EVERY: Duration = Duration::from_secs(30);

pub(super) struct Worker {
    tick: Duration,
    epoch: String,
    sources: Sources,
    rates: FxTables,
    /// Where cities are, for the tails.
    pub(super) geo: Option<Arc<Geo>>,
    loader: Loader,
    queue: Receiver<Command>,
    /// Everything up to here is in the kept topics.
    seen: Watermark,
    /// `None` while nobody watches: then nothing is read.
    reader: Option<JournalReader>,
    clients: HashMap<ClientId, Client>,
    topics: HashMap<String, Topic>,
    tails: HashMap<WorkspaceId, (Tail, Vec<Subscriber>)>,
    next_check: Instant,
    checked: usize,
}

impl Worker {
    pub(super) fn new(
        tick: Duration,
        epoch: String,
        sources: Sources,
        rates: FxTables,
        loader: Loader,
        queue: Receiver<Command>,
        seen: Watermark,
    ) -> Self {
        Self {
            tick,
            epoch,
            sources,
            rates,
            geo: None,
            loader,
            queue,
            seen,
            reader: None,
            clients: HashMap::new(),
            topics: HashMap::new(),
            tails: HashMap::new(),
            next_check: Instant::now() + CHECK_EVERY,
            checked: 0,
        }
    }

    pub(super) fn run(&mut self) {
        let mut next_tick = Instant::now() + self.tick;
        loop {
            match self.queue.recv_deadline(next_tick) {
                Ok(Command::Stop) | Err(RecvTimeoutError::Disconnected) => {
                    for client in self.clients.values_mut() {
                        client.close(CloseCode::ShuttingDown, "the engine is stopping");
                    }
                    return;
                }
                Ok(command) => self.handle(command),
                Err(RecvTimeoutError::Timeout) => {
                    self.on_tick();
                    next_tick = (next_tick + self.tick).max(Instant::now());
                }
            }
        }
    }

    fn handle(&mut self, command: Command) {
        match command {
            Command::Connect { client, watcher, outlet } => {
                self.clients.insert(client, Client::new(watcher, outlet));
                metrics::gauge!("weir_live_clients").set(self.clients.len() as f64);
            }
            Command::Disconnect { client } => self.forget(client),
            Command::Subscribe { client, id, query, recover } => self.subscribe(client, id, *query, recover),
            Command::Events { client, id } => self.events(client, id),
            Command::Unsubscribe { client, id } => self.unsubscribe(client, &id),
            Command::Tell { workspace, row } => {
                if let Some((tail, _)) = self.tails.get_mut(&workspace) {
                    tail.add(*row);
                }
            }
            Command::Loaded(loaded) => self.loaded(*loaded),
            Command::Stop => unreachable!("taken by the loop"),
        }
    }

    fn forget(&mut self, id: ClientId) {
        let Some(client) = self.clients.remove(&id) else { return };
        for (name, watching) in client.watching {
            self.stop_watching(Subscriber { client: id, name }, &watching, client.watcher.workspace);
        }
        metrics::gauge!("weir_live_clients").set(self.clients.len() as f64);
    }

    fn unsubscribe(&mut self, id: ClientId, name: &str) {
        let Some(client) = self.clients.get_mut(&id) else { return };
        let workspace = client.watcher.workspace;
        if let Some(watching) = client.watching.remove(name) {
            self.stop_watching(Subscriber { client: id, name: name.to_owned() }, &watching, workspace);
        }
    }

    fn stop_watching(&mut self, subscriber: Subscriber, watching: &Watching, workspace: WorkspaceId) {
        match watching {
            Watching::Topic(key) => {
                if let Some(topic) = self.topics.get_mut(key) {
                    topic.subscribers.remove(&subscriber);
                    topic.behind.remove(&subscriber);
                    if topic.subscribers.is_empty() {
                        self.topics.remove(key);
                        metrics::gauge!("weir_live_topics").set(self.topics.len() as f64);
                    }
                }
            }
            Watching::Tail => {
                if let Some((_, subscribers)) = self.tails.get_mut(&workspace) {
                    subscribers.retain(|known| *known != subscriber);
                    if subscribers.is_empty() {
                        self.tails.remove(&workspace);
                    }
                }
            }
        }
        if self.topics.is_empty() && self.tails.is_empty() {
            self.reader = None;
        }
    }

    /// Whether `client` may have one more thing named `name`; else it is told why.
    fn admit(&mut self, id: ClientId, name: &str) -> Option<Watcher> {
        let client = self.clients.get_mut(&id)?;
        let problem = if name.is_empty() || name.len() > SUBSCRIPTION_ID_MAX {
            Problem::field("id", format!("must have 1 to {SUBSCRIPTION_ID_MAX} bytes"))
        } else if client.watching.contains_key(name) {
            Problem::conflict("subscription_exists", format!("There is already a subscription `{name}`."))
        } else if client.watching.len() >= SUBSCRIPTIONS_MAX {
            client.close(CloseCode::TooMany, "a connection has at most 64 subscriptions");
            self.forget(id);
            return None;
        } else {
            return Some(client.watcher);
        };
        self.refuse(id, name, &problem);
        None
    }

    fn refuse(&mut self, id: ClientId, name: &str, problem: &Problem) {
        if self.send(id, frames::error(name, problem)) == Delivery::Missed {
            // Unlike a delta it does not come again, and its client would wait for ever.
            if let Some(client) = self.clients.get_mut(&id) {
                client.close(CloseCode::SlowConsumer, "frames were not read");
            }
            self.forget(id);
        }
    }

    fn send(&mut self, id: ClientId, frame: Bytes) -> Delivery {
        let Some(client) = self.clients.get_mut(&id) else { return Delivery::Gone };
        let delivery = client.send(frame);
        if delivery == Delivery::Gone {
            self.give_up(id);
        }
        delivery
    }

    fn give_up(&mut self, id: ClientId) {
        if let Some(client) = self.clients.get_mut(&id)
            && client.is_slow()
        {
            client.close(CloseCode::SlowConsumer, "frames were not read");
        }
        self.forget(id);
    }

    fn subscribe(&mut self, id: ClientId, name: String, query: Query, recover: Option<Recover>) {
        let Some(watcher) = self.admit(id, &name) else { return };
        let plan = match Plan::build(&query, watcher.workspace, Timestamp::now(), watcher.partner) {
            Ok(plan) => Arc::new(plan.with_rates(self.rates.of(watcher.workspace))),
            Err(problem) => return self.refuse(id, &name, &problem),
        };
        let key = plan.key().to_owned();
        if !self.topics.contains_key(&key) && self.topics.len() >= TOPICS_MAX {
            let detail = format!("The engine keeps at most {TOPICS_MAX} distinct queries.");
            let problem = Problem::new(429, "too_many_queries", "Too many distinct queries", detail);
            return self.refuse(id, &name, &problem);
        }
        let subscriber = Subscriber { client: id, name: name.clone() };
        if let Some(client) = self.clients.get_mut(&id) {
            client.watching.insert(name, Watching::Topic(key.clone()));
        }
        self.watch();
        let topic = self.topics.entry(key.clone()).or_insert_with(|| Topic::new(plan, query, watcher));
        topic.subscribers.insert(subscriber.clone());
        metrics::gauge!("weir_live_topics").set(self.topics.len() as f64);
        let recovered = recover.is_some_and(|recover| self.recover(&key, &subscriber, &recover));
        if !recovered {
            let topic = self.topics.get_mut(&key).expect("just entered");
            topic.behind.insert(subscriber);
            if matches!(topic.state, State::Waiting) {
                self.load(&key, Purpose::Begin);
            } else {
                self.catch_up(&key);
            }
        }
    }

    /// Sends the deltas that a client missed while it was away, where they are still here.
    fn recover(&mut self, key: &str, subscriber: &Subscriber, recover: &Recover) -> bool {
        if recover.epoch != self.epoch {
            return false;
        }
        let seen = self.seen.get();
        let topic = self.topics.get_mut(key).expect("the caller has it");
        let Some(bodies) = topic.recover(recover.seq, seen) else { return false };
        let mut frames: Vec<Bytes> = bodies.into_iter().map(|body| body.named(&subscriber.name)).collect();
        if frames.is_empty() {
            // It missed nothing: it is told so, or it could not know that it is heard.
            let nothing = frames::Delta { seq: recover.seq, rows: &[], removed: &[], totals: None, fx: None };
            frames.push(frames::delta(&nothing).named(&subscriber.name));
        }
        for frame in frames {
            if self.send(subscriber.client, frame) != Delivery::Sent {
                return false;
            }
        }
        true
    }

    /// Begins to read, if nobody watched before.
    fn watch(&mut self) {
        if self.reader.is_none() {
            let now = self.sources.durable.get().min(self.sources.applied.get());
            self.seen.advance(now);
            let reader = self.sources.journal.behind(self.seen.get());
            self.reader = Some(reader);
        }
    }

    fn load(&mut self, key: &str, purpose: Purpose) {
        let Some(topic) = self.topics.get_mut(key) else { return };
        if !topic.loading {
            topic.loading = true;
            let incremental = topic.is_incremental();
            self.loader.load(key.to_owned(), Arc::clone(&topic.plan), incremental, purpose);
        }
    }

    fn loaded(&mut self, loaded: Loaded) {
        let seen = self.seen.get();
        let Some(topic) = self.topics.get_mut(&loaded.key) else { return };
        topic.loading = false;
        match loaded.result {
            Err(problem) if loaded.purpose == Purpose::Check => {
                tracing::debug!(detail = problem.detail, "a live topic could not be checked");
            }
            Err(problem) if problem.status == 503 => {
                // A warehouse that starts or restarts is no reason to send anyone away: their snapshot comes
                // when it is back.
                metrics::counter!("weir_live_loads_postponed_total").increment(1);
                tracing::debug!(detail = problem.detail, "a live topic waits for the warehouse");
                topic.try_again();
            }
            Err(problem) => {
                // Those who have something to look at keep it; the others are told and may ask again.
                let waiting: Vec<Subscriber> = match topic.state {
                    State::Waiting => topic.behind.drain().collect(),
                    _ => Vec::new(),
                };
                for subscriber in waiting {
                    self.refuse(subscriber.client, &subscriber.name, &problem);
                    self.unsubscribe(subscriber.client, &subscriber.name);
                }
            }
            Ok(Rows::Cells(seq, rows, totals)) => {
                topic.retry = None;
                if let Some(mut body) = topic.refresh(seq, rows, totals) {
                    let subscribers: Vec<Subscriber> =
                        topic.subscribers.difference(&topic.behind).cloned().collect();
                    let frames: Vec<_> = subscribers.into_iter().map(|s| (body.named(&s.name), s)).collect();
                    self.deliver(&loaded.key, frames);
                }
                self.catch_up(&loaded.key);
            }
            Ok(Rows::States(seq, mut states)) => {
                if let Err(error) = add_between(&self.sources, &mut states, seq, seen) {
                    tracing::error!(error, "a live topic cannot catch up with the journal");
                    topic.try_again();
                    return;
                }
                topic.retry = None;
                let purpose = loaded.purpose;
                // Where it is newer than what was read so far, the entries between are skipped when they come.
                let kept = Kept { states, since: seq };
                match purpose {
                    Purpose::Check => self.check(&loaded.key, kept),
                    Purpose::Begin => self.begin(&loaded.key, kept),
                }
            }
        }
    }

    /// A topic's rows are there: everyone gets a snapshot.
    fn begin(&mut self, key: &str, mut kept: Kept) {
        let Some(topic) = self.topics.get_mut(key) else { return };
        kept.states.take_snapshot();
        topic.forget();
        topic.state = State::Kept(kept);
        topic.behind = topic.subscribers.clone();
        if !self.refused(key) {
            self.catch_up(key);
        }
    }

    /// Ends a topic that can no longer be told (too many rows, several currencies): its subscribers learn why.
    fn refused(&mut self, key: &str) -> bool {
        let Some(topic) = self.topics.get(key) else { return true };
        let State::Kept(kept) = &topic.state else { return false };
        let Some(problem) = kept.states.refusal() else { return false };
        for subscriber in topic.subscribers.clone() {
            self.refuse(subscriber.client, &subscriber.name, &problem);
            self.unsubscribe(subscriber.client, &subscriber.name);
        }
        true
    }

    /// The running check: what was kept and what was loaded anew must be the same.
    fn check(&mut self, key: &str, loaded: Kept) {
        let seen = self.seen.get();
        let Some(topic) = self.topics.get_mut(key) else { return };
        let State::Kept(kept) = &topic.state else { return };
        if loaded.since.max(kept.since) > seen || topic.is_stale() || loaded.states.is_stale() {
            return;
        }
        let same =
            kept.states.rows() == loaded.states.rows() && kept.states.totals() == loaded.states.totals();
        let result = if same { "same" } else { "different" };
        metrics::counter!("weir_live_checks_total", "result" => result).increment(1);
        if !same {
            tracing::error!(query = key, "live rows differ from the warehouse's; they are replaced");
            self.begin(key, loaded);
        }
    }

    fn events(&mut self, id: ClientId, name: String) {
        let Some(watcher) = self.admit(id, &name) else { return };
        if watcher.partner.is_some() {
            let detail = "A partner's key sees its own numbers, not every event.";
            return self.refuse(id, &name, &Problem::new(403, "forbidden", "Forbidden", detail));
        }
        if let Some(client) = self.clients.get_mut(&id) {
            client.watching.insert(name.clone(), Watching::Tail);
        }
        self.watch();
        let (_, subscribers) = self.tails.entry(watcher.workspace).or_default();
        subscribers.push(Subscriber { client: id, name });
    }

    fn on_tick(&mut self) {
        if self.reader.is_none() {
            let now = self.sources.durable.get().min(self.sources.applied.get());
            self.seen.advance(now);
            return;
        }
        let from = self.seen.get();
        if let Err(error) = self.read_on() {
            tracing::error!(error, "the live follower cannot read; it tries again");
            return;
        }
        self.renew();
        self.push(from);
        self.push_tails();
        self.start_check();
    }

    /// Adds what is new to topics and tails.
    fn read_on(&mut self) -> Result<(), String> {
        let from = self.seen.get();
        let upto = self.sources.durable.get().min(self.sources.applied.get());
        let Some(reader) = self.reader.as_mut().filter(|_| upto > from) else { return Ok(()) };
        let mut entries: Vec<Entry> = Vec::new();
        let passed = reader.read_batch(upto, BATCH_ENTRIES, BATCH_BYTES, &mut entries);
        let passed = passed.map_err(|error| error.to_string())?;
        let effects = match (self.sources.effects)(from, passed, usize::MAX) {
            Ok(effects) => effects,
            Err(error) => {
                self.reader = Some(self.sources.journal.behind(from));
                return Err(error);
            }
        };
        let mut kept: Vec<&mut Kept> = self
            .topics
            .values_mut()
            .filter_map(|topic| match &mut topic.state {
                State::Kept(kept) => Some(kept),
                _ => None,
            })
            .collect();
        for entry in &entries {
            // What cannot be read is dead-lettered by the warehouse, so it counts nowhere.
            if entry.kind == kind::EVENT {
                let Ok(event) = Event::read(&entry.payload) else { continue };
                for topic in &mut kept {
                    topic.add_event(entry.seq, &event);
                }
                if let Some((tail, _)) = self.tails.get_mut(&event.told.workspace) {
                    tail.add_event(&event, self.geo.as_deref());
                }
                continue;
            }
            let Ok(click) = Click::read(&entry.payload) else { continue };
            for topic in &mut kept {
                topic.add_click(entry.seq, &click);
            }
            if let Some((tail, _)) = self.tails.get_mut(&click.workspace) {
                tail.add_click(&click, self.geo.as_deref());
            }
        }
        for effect in &effects {
            for topic in &mut kept {
                topic.add_effect(effect);
            }
            if let Some((tail, _)) = self.tails.get_mut(&effect.workspace) {
                tail.add_effect(effect, self.geo.as_deref());
            }
        }
        // Nothing is reached without something being counted.
        if !self.tails.is_empty() && !effects.is_empty() {
            match (self.sources.milestones)(from, passed) {
                Ok(reached) => {
                    for (workspace, milestone) in &reached {
                        if let Some((tail, _)) = self.tails.get_mut(workspace) {
                            tail.add_milestone(milestone);
                        }
                    }
                }
                Err(error) => tracing::warn!(error, "reached milestones are not shown live"),
            }
        }
        metrics::counter!("weir_live_entries_total").increment((entries.len() + effects.len()) as u64);
        self.seen.advance(passed);
        Ok(())
    }

    /// Topics whose range has moved on (`today` after midnight), whose exchange rates have changed or whose visitors
    /// late verdicts have taken away begin anew; queries that are run again are run again.
    fn renew(&mut self) {
        let now = Timestamp::now();
        let mut again = Vec::new();
        let mut moved = Vec::new();
        let mut stale = Vec::new();
        for (key, topic) in &self.topics {
            if topic.loading {
                continue;
            }
            let other_rates =
                || topic.plan.has_other_rates(self.rates.of(topic.watcher.workspace).as_deref());
            if topic.plan.valid_until().is_some_and(|until| now >= until) || other_rates() {
                moved.push(key.clone());
            } else if topic.retry.is_some() {
                if topic.is_retry_due() {
                    again.push(key.clone());
                }
            } else if topic.is_stale() {
                stale.push(key.clone());
            } else if matches!(&topic.state, State::Refreshed { at, .. } if at.elapsed() >= REFRESH) {
                again.push(key.clone());
            }
        }
        // One late verdict seldom comes alone: those of a moment are waited for.
        for key in stale {
            if let Some(topic) = self.topics.get_mut(&key) {
                topic.try_again();
            }
        }
        for key in again {
            self.load(&key, Purpose::Begin);
        }
        for key in moved {
            self.move_on(&key, now);
        }
    }

    fn move_on(&mut self, key: &str, now: Timestamp) {
        let Some(old) = self.topics.remove(key) else { return };
        let Watcher { workspace, partner } = old.watcher;
        let Ok(plan) = Plan::build(&old.query, workspace, now, partner) else { return };
        let plan = plan.with_rates(self.rates.of(workspace));
        let new_key = plan.key().to_owned();
        for subscriber in &old.subscribers {
            if let Some(client) = self.clients.get_mut(&subscriber.client) {
                client.watching.insert(subscriber.name.clone(), Watching::Topic(new_key.clone()));
            }
        }
        let topic = self
            .topics
            .entry(new_key.clone())
            .or_insert_with(|| Topic::new(Arc::new(plan), old.query, old.watcher));
        topic.behind.extend(old.subscribers.iter().cloned());
        topic.subscribers.extend(old.subscribers);
        if matches!(topic.state, State::Waiting) {
            self.load(&new_key, Purpose::Begin);
        }
    }

    /// Sends deltas to those who are up to date and snapshots to those who are behind and have room.
    fn push(&mut self, from: Sequence) {
        let seen = self.seen.get();
        let keys: Vec<String> = self.topics.keys().cloned().collect();
        for key in keys {
            if self.refused(&key) {
                continue;
            }
            let Some(topic) = self.topics.get_mut(&key).filter(|topic| !topic.is_stale()) else { continue };
            let current: Vec<Subscriber> = topic.subscribers.difference(&topic.behind).cloned().collect();
            let body = topic.delta(from, seen);
            if let Some(body) = body {
                let frames: Vec<_> = current.into_iter().map(|s| (body.named(&s.name), s)).collect();
                self.deliver(&key, frames);
            }
            self.catch_up(&key);
        }
    }

    fn deliver(&mut self, key: &str, frames: Vec<(Bytes, Subscriber)>) {
        for (frame, subscriber) in frames {
            if self.send(subscriber.client, frame) == Delivery::Missed
                && let Some(topic) = self.topics.get_mut(key)
            {
                topic.behind.insert(subscriber);
            }
        }
    }

    /// A snapshot for those of a topic who are behind and have room again.
    fn catch_up(&mut self, key: &str) {
        let seen = self.seen.get();
        let Some(topic) = self.topics.get_mut(key) else { return };
        let ready = |s: &Subscriber| self.clients.get(&s.client).is_some_and(Client::has_room);
        let ready: Vec<Subscriber> = topic.behind.iter().filter(|s| ready(s)).cloned().collect();
        if ready.is_empty() {
            return;
        }
        // Changes that are not pushed yet go along with the snapshot and once more with the next delta: whole values.
        let Some(mut body) = topic.snapshot(&self.epoch, seen) else { return };
        for subscriber in ready {
            let frame = body.named(&subscriber.name);
            if self.send(subscriber.client, frame) == Delivery::Sent
                && let Some(topic) = self.topics.get_mut(key)
            {
                topic.behind.remove(&subscriber);
            }
        }
    }

    fn push_tails(&mut self) {
        let seq = self.seen.get();
        let mut frames = Vec::new();
        for (tail, subscribers) in self.tails.values_mut() {
            let Some((rows, sampled)) = tail.take() else { continue };
            let mut body = frames::events(&frames::Events { seq, sampled, rows: &rows });
            frames.extend(subscribers.iter().map(|s| (body.named(&s.name), s.client)));
        }
        for (frame, client) in frames {
            self.send(client, frame);
        }
    }

    fn start_check(&mut self) {
        if Instant::now() < self.next_check {
            return;
        }
        self.next_check = Instant::now() + CHECK_EVERY;
        let kept: Vec<String> = self
            .topics
            .iter()
            .filter(|(_, topic)| matches!(topic.state, State::Kept(_)) && !topic.loading)
            .map(|(key, _)| key.clone())
            .collect();
        if !kept.is_empty() {
            self.checked += 1;
            let key = kept[self.checked % kept.len()].clone();
            self.load(&key, Purpose::Check);
        }
    }
}

/// Adds the entries of `(after, upto]` to freshly loaded rows.
fn add_between(
    sources: &Sources,
    states: &mut RowStates,
    after: Sequence,
    upto: Sequence,
) -> Result<(), String> {
    if upto <= after {
        return Ok(());
    }
    let mut reader = sources.journal.behind(after);
    let mut entries = Vec::new();
    let mut from = after;
    while from < upto {
        entries.clear();
        let passed = reader
            .read_batch(upto, BATCH_ENTRIES, BATCH_BYTES, &mut entries)
            .map_err(|error| error.to_string())?;
        for entry in &entries {
            if entry.kind == kind::EVENT {
                if let Ok(event) = Event::read(&entry.payload) {
                    states.add_event(&event);
                }
            } else if let Ok(click) = Click::read(&entry.payload) {
                states.add_click(&click);
            }
        }
        let effects: Vec<Effect> = (sources.effects)(from, passed, usize::MAX)?;
        for effect in &effects {
            states.add_effect(effect);
        }
        from = passed;
    }
    Ok(())
}
