//! Watching: one task per alert, a client of the live follower like any dashboard. Rules that are made, changed or
//! deleted are noticed within a second of their fact.

use std::collections::HashMap;
use std::time::Duration;

use serde_json::json;
use tokio::sync::mpsc;
use tokio::task::AbortHandle;
use weir_schemas::alert::{AlertChange, AlertKind, AlertState, SENSITIVITY};
use weir_schemas::fact::{Actor, Fact, Recorded};
use weir_schemas::ids::{AlertId, Sequence};
use weir_schemas::query::{Cell, DateRange, Query};
use weir_schemas::time::{HOUR_MS, MINUTE_MS, Timestamp};

use super::rule::{Judgement, Reading, Standing, judge};
use super::series::{RENEW_AFTER_MS, Series, Taken, adds_up, before, query, windows};
use crate::books::{Books, WatchedAlert};
use crate::live::{ClientId, Live, OUTLET_PLACES, Outgoing, Watcher};
use crate::query::execute::execute;
use crate::query::plan::Plan;
use crate::query::reports::{Asked, Scope, anomalies};
use crate::recorder::Recorder;
use crate::warehouse::Warehouse;

/// Between looks at a rule.
const LOOK_EVERY: Duration = Duration::from_millis(500);
/// Between looks for rules that are new, changed or gone.
const RULES_EVERY: Duration = Duration::from_secs(1);
/// How long a subscription that failed waits before it is tried again.
const AGAIN_AFTER: Duration = Duration::from_secs(5);
/// How long a question to the warehouse may wait for what is durable.
const FLUSH_PATIENCE: Duration = Duration::from_secs(10);

/// What watching needs.
#[derive(Clone)]
pub struct Alerts {
    books: Books,
    live: Live,
    warehouse: Warehouse,
    recorder: Recorder,
}

impl std::fmt::Debug for Alerts {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Alerts")
    }
}

/// A client of the live follower that is forgotten when its task ends, however it ends.
struct Subscribed {
    live: Live,
    client: ClientId,
}

impl Drop for Subscribed {
    fn drop(&mut self) {
        self.live.disconnect(self.client);
    }
}

impl Alerts {
    /// Watches the alerts of these books.
    pub fn new(books: Books, live: Live, warehouse: Warehouse, recorder: Recorder) -> Self {
        Self { books, live, warehouse, recorder }
    }

    /// Watches for as long as the runtime lives.
    pub async fn watch(self) {
        let mut every = tokio::time::interval(RULES_EVERY);
        let mut watched: HashMap<AlertId, (Sequence, AbortHandle)> = HashMap::new();
        let mut seen = None;
        loop {
            every.tick().await;
            let changed = self.books.changed();
            if seen == Some(changed) {
                continue;
            }
            let Ok(rules) = self.books.read_async(crate::books::Reads::watched_alerts).await else {
                continue;
            };
            seen = Some(changed);
            let current = |id: &AlertId, seq: Sequence| {
                rules.iter().any(|rule| rule.alert.id == *id && rule.changed_seq == seq)
            };
            watched.retain(|id, (seq, task)| {
                let stays = current(id, *seq);
                if !stays {
                    task.abort();
                }
                stays
            });
            for rule in rules {
                let (id, seq) = (rule.alert.id, rule.changed_seq);
                watched.entry(id).or_insert_with(|| {
                    let task = tokio::spawn(self.clone().follow(rule));
                    (seq, task.abort_handle())
                });
            }
            metrics::gauge!("weir_alerts_watched").set(watched.len() as f64);
        }
    }

    async fn follow(self, rule: WatchedAlert) {
        let mut standing = Standing::new(rule.alert.state);
        loop {
            let spec = &rule.alert.spec;
            match (spec.kind, adds_up(spec.metric)) {
                (AlertKind::Anomaly, _) => self.follow_hours(&rule, &mut standing).await,
                (_, true) => self.follow_stream(&rule, &mut standing).await,
                (_, false) => self.follow_windows(&rule, &mut standing).await,
            }
        }
    }

    /// Follows a subscription until it is old or fails.
    async fn follow_stream(&self, rule: &WatchedAlert, standing: &mut Standing) {
        let spec = &rule.alert.spec;
        let (outlet, mut frames) = mpsc::channel(OUTLET_PLACES);
        let watcher = Watcher { workspace: rule.workspace, partner: spec.partner_id };
        let begun = Timestamp::now();
        let Ok(client) = self.live.connect(watcher, outlet) else {
            return tokio::time::sleep(AGAIN_AFTER).await;
        };
        let _subscribed = Subscribed { live: self.live.clone(), client };
        if self.live.subscribe(client, "alert".to_owned(), Box::new(query(spec, begun)), None).is_err() {
            return tokio::time::sleep(AGAIN_AFTER).await;
        }
        let (mut series, mut current) = (Series::default(), false);
        match self.value_before(rule, begun).await {
            Ok(carried) => series.carried = carried,
            Err(error) => {
                tracing::debug!(error, alert = %rule.alert.id, "an alert waits for the warehouse");
                return tokio::time::sleep(AGAIN_AFTER).await;
            }
        }
        let mut every = tokio::time::interval(LOOK_EVERY);
        loop {
            tokio::select! {
                frame = frames.recv() => match frame {
                    Some(Outgoing::Frame(frame)) if series.take(spec, &frame) == Taken::Current => current = true,
                    Some(Outgoing::Frame(_)) => {
                        // Several currencies, too many rows: it cannot be told until the rule says more.
                        self.look(rule, standing, Reading::Nothing).await;
                        return tokio::time::sleep(AGAIN_AFTER).await;
                    }
                    Some(Outgoing::Close(..)) | None => return tokio::time::sleep(AGAIN_AFTER).await,
                },
                _ = every.tick() => {
                    let now = Timestamp::now();
                    if current {
                        self.look(rule, standing, series.reading(spec, now)).await;
                    }
                    if now.0 - begun.0 > RENEW_AFTER_MS {
                        return;
                    }
                }
            }
        }
    }

    /// Asks the warehouse once a minute for what does not add up.
    async fn follow_windows(&self, rule: &WatchedAlert, standing: &mut Standing) {
        let spec = &rule.alert.spec;
        let mut readings = [None; 2];
        let asked: Result<(), String> = async {
            for (at, query) in windows(spec, Timestamp::now()).iter().enumerate() {
                readings[at] = self.ask(rule, query).await?;
            }
            Ok(())
        }
        .await;
        match asked {
            Ok(()) => {
                let reading = Reading::Window { value: readings[0], before: readings[1] };
                self.look(rule, standing, reading).await;
            }
            Err(error) => tracing::debug!(error, alert = %rule.alert.id, "an alert waits for the warehouse"),
        }
        sleep_until_next(MINUTE_MS).await;
    }

    /// The value that a rule's windows begin with.
    async fn value_before(&self, rule: &WatchedAlert, now: Timestamp) -> Result<Option<f64>, String> {
        match before(&rule.alert.spec, now) {
            Some(query) => self.ask(rule, &query).await,
            None => Ok(None),
        }
    }

    /// Asks the warehouse for one number.
    async fn ask(&self, rule: &WatchedAlert, query: &Query) -> Result<Option<f64>, String> {
        let plan = Plan::build(query, rule.workspace, Timestamp::now(), rule.alert.spec.partner_id)
            .map_err(|problem| problem.detail)?;
        let upto = self.fresh().await?;
        let client = self.warehouse.client().map_err(|error| error.to_string())?;
        let answered = execute(&client, &plan, upto).await.map_err(|error| error.to_string())?;
        Ok(answered.rows.first().and_then(|row| row.first()).and_then(Cell::as_f64))
    }

    /// Judges the last hour, once an hour.
    async fn follow_hours(&self, rule: &WatchedAlert, standing: &mut Standing) {
        let judged = self.last_hour(rule).await;
        match judged {
            Ok(reading) => self.look(rule, standing, reading).await,
            Err(error) => {
                tracing::debug!(error, alert = %rule.alert.id, "an alert waits for the warehouse");
                return tokio::time::sleep(AGAIN_AFTER).await;
            }
        }
        sleep_until_next(HOUR_MS).await;
    }

    async fn last_hour(&self, rule: &WatchedAlert) -> Result<Reading, String> {
        let (spec, now) = (&rule.alert.spec, Timestamp::now());
        let hour = now.0.div_euclid(HOUR_MS) * HOUR_MS;
        let asked = Asked {
            date_range: DateRange::Between(
                Timestamp(hour - HOUR_MS).to_string(),
                Timestamp(hour).to_string(),
            ),
            timezone: spec.timezone.clone(),
            filters: spec.filters.clone(),
            currency: None,
        };
        let own = anomalies::Spec {
            metric: spec.metric,
            value_of: spec.value_of.clone(),
            weeks: 8,
            sensitivity: spec.sensitivity.unwrap_or(SENSITIVITY),
            side: spec.side,
        };
        let scope =
            Scope::build(&asked, rule.workspace, now, spec.partner_id).map_err(|problem| problem.detail)?;
        let upto = self.fresh().await?;
        let client = self.warehouse.client().map_err(|error| error.to_string())?;
        let hours =
            anomalies::judged(&client, &scope, &own, upto).await.map_err(|error| error.to_string())?;
        let reading = hours.judged.last().and_then(|hour| {
            let anomalous = hour.is_anomalous(own.sensitivity, own.side)?;
            Some(Reading::Hour { value: hour.value, expected: hour.expected?.median, anomalous })
        });
        Ok(reading.unwrap_or(Reading::Nothing))
    }

    async fn fresh(&self) -> Result<Sequence, String> {
        let durable = self.recorder.durable().get();
        self.warehouse.flush_to(durable, FLUSH_PATIENCE).await.map_err(|error| error.to_string())
    }

    /// Judges a reading, and records what it changed. What could not be recorded is decided again at the next look.
    async fn look(&self, rule: &WatchedAlert, standing: &mut Standing, reading: Reading) {
        let spec = &rule.alert.spec;
        let now = Timestamp::now();
        let Judgement { wrong, value, reference } =
            judge(spec, standing.state == AlertState::Firing, reading);
        let after = standing.after(spec, wrong, now);
        if after.state == standing.state {
            *standing = after;
            return;
        }
        let change = AlertChange { id: rule.alert.id, state: after.state, value, reference, since: now };
        let fact = Fact::AlertChanged { change };
        let recorded =
            Recorded { at: now, workspace: rule.workspace, actor: Actor::System, request: None, fact };
        match self.books.submit(recorded).await {
            Ok(_) => {
                *standing = after;
                metrics::counter!("weir_alerts_changed_total", "state" => after.state.as_str()).increment(1);
                self.live.tell(
                    rule.workspace,
                    json!({
                        "kind": "alert", "at": now, "id": rule.alert.id, "name": spec.name,
                        "state": after.state, "value": value, "reference": reference,
                    }),
                );
            }
            Err(error) => {
                tracing::warn!(%error, alert = %rule.alert.id, "an alert's change was not recorded")
            }
        }
    }
}

/// Sleeps until a whole number of `width` milliseconds has passed since the epoch, and a moment more.
async fn sleep_until_next(width: i64) {
    let now = Timestamp::now().0;
    let wait = width - now.rem_euclid(width) + 500;
    tokio::time::sleep(Duration::from_millis(wait.unsigned_abs())).await;
}
