//! Thirty days of ups and downs, kept in a small file. Between two looks at a part it counts as it was at the
//! second; a longer gap means that the engine itself was not running.

use std::collections::{BTreeMap, VecDeque};
use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use weir_engine::redirect_stats::MinuteStats;
use weir_schemas::time::{DAY_MS, MINUTE_MS, Timestamp};

use super::notices::{Notice, Notices};

/// The parts that are watched.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Component {
    /// Visitors are redirected.
    Redirects,
    /// Clicks and payments are recorded durably.
    Recording,
    /// Queries and dashboards are answered.
    Analytics,
}

/// Every part, in the page's order.
pub(super) const COMPONENTS: [Component; 3] =
    [Component::Redirects, Component::Recording, Component::Analytics];

impl Component {
    /// Its name in the document.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Redirects => "redirects",
            Self::Recording => "recording",
            Self::Analytics => "analytics",
        }
    }
}

/// Days that are kept.
pub(super) const DAYS: i64 = 30;
/// Incidents that are kept.
const INCIDENTS_MAX: usize = 50;
/// Looks are a few seconds apart; after this long the engine was not running.
const GAP_MS: i64 = MINUTE_MS;

/// A part was down.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Incident {
    /// Which part.
    pub component: Component,
    /// Since when.
    pub began_at: Timestamp,
    /// Until when; `null` while it lasts.
    pub ended_at: Option<Timestamp>,
}

/// Milliseconds of one day, by part.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Day {
    up: [i64; COMPONENTS.len()],
    down: [i64; COMPONENTS.len()],
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Kept {
    last: Option<Timestamp>,
    /// By UTC day.
    days: BTreeMap<i64, Day>,
    incidents: VecDeque<Incident>,
    #[serde(default)]
    notices: Notices,
}

/// What is known of the last 30 days.
#[derive(Debug)]
pub struct History {
    path: PathBuf,
    kept: Kept,
    up: [bool; COMPONENTS.len()],
}

/// The document at `/status.json`.
#[derive(Debug, Clone, Serialize)]
pub(super) struct Summary {
    /// `operational`, `degraded` or `down`.
    pub status: &'static str,
    pub at: Timestamp,
    pub components: Vec<ComponentSummary>,
    /// Of the last full minute.
    pub redirects_per_minute: u64,
    pub redirect_latency_us: Latency,
    /// What the engine noticed itself, the newest first.
    pub incidents: Vec<Incident>,
    /// What the operator says, the newest first.
    pub notices: Vec<Notice>,
}

#[derive(Debug, Clone, Serialize)]
pub(super) struct Latency {
    pub p50: u64,
    pub p99: u64,
}

#[derive(Debug, Clone, Serialize)]
pub(super) struct ComponentSummary {
    pub name: &'static str,
    pub status: &'static str,
    /// Percent of the observed time of 30 days; `null` before anything was observed.
    pub uptime_30d: Option<f64>,
    /// One per day, the oldest first; `null` where nothing was observed.
    pub days: Vec<DaySummary>,
}

#[derive(Debug, Clone, Serialize)]
pub(super) struct DaySummary {
    pub date: String,
    pub uptime: Option<f64>,
}

impl History {
    /// Reads what earlier runs saw. An unreadable file is a beginning: the page is not worth a failed start.
    pub fn open(path: &Path) -> Self {
        let kept = match fs::read(path) {
            Ok(bytes) => serde_json::from_slice(&bytes).unwrap_or_else(|error| {
                tracing::warn!(%error, path = %path.display(), "the status history cannot be read");
                Kept::default()
            }),
            Err(_) => Kept::default(),
        };
        Self { path: path.to_owned(), kept, up: [true; COMPONENTS.len()] }
    }

    /// Incidents in the operator's words.
    pub const fn notices(&self) -> &Notices {
        &self.kept.notices
    }

    /// To write of one; [`Self::save`] keeps it.
    pub const fn notices_mut(&mut self) -> &mut Notices {
        &mut self.kept.notices
    }

    /// Takes in how the parts are now.
    pub fn observe(&mut self, now: Timestamp, up: [bool; COMPONENTS.len()]) {
        if let Some(last) = self.kept.last.filter(|last| *last < now) {
            let gap = now.0 - last.0 > GAP_MS;
            for (index, component) in COMPONENTS.into_iter().enumerate() {
                self.add(index, last, now, up[index] && !gap);
                if gap {
                    self.incident(component, last, Some(now));
                }
            }
        }
        for (index, component) in COMPONENTS.into_iter().enumerate() {
            let open = self
                .kept
                .incidents
                .iter_mut()
                .find(|incident| incident.component == component && incident.ended_at.is_none());
            match (up[index], open) {
                (true, Some(incident)) => incident.ended_at = Some(now),
                (false, None) => self.incident(component, now, None),
                _ => {}
            }
        }
        self.up = up;
        self.kept.last = Some(self.kept.last.map_or(now, |last| last.max(now)));
        let oldest = now.utc_day() - DAYS;
        self.kept.days.retain(|day, _| *day > oldest);
    }

    fn incident(&mut self, component: Component, began_at: Timestamp, ended_at: Option<Timestamp>) {
        self.kept.incidents.push_front(Incident { component, began_at, ended_at });
        self.kept.incidents.truncate(INCIDENTS_MAX);
    }

    /// Books the time between two looks, cut at midnights.
    fn add(&mut self, component: usize, from: Timestamp, to: Timestamp, up: bool) {
        let mut at = from.0.max(to.0 - DAYS * DAY_MS);
        while at < to.0 {
            let day = at.div_euclid(DAY_MS);
            let end = to.0.min((day + 1) * DAY_MS);
            let booked = self.kept.days.entry(day).or_default();
            let counter = if up { &mut booked.up } else { &mut booked.down };
            counter[component] += end - at;
            at = end;
        }
    }

    /// Writes the file anew.
    pub fn save(&self) -> std::io::Result<()> {
        let next = self.path.with_extension("next");
        let mut file = File::create(&next)?;
        file.write_all(&serde_json::to_vec(&self.kept).map_err(std::io::Error::other)?)?;
        fs::rename(&next, &self.path)
    }

    pub(super) fn summary(&self, now: Timestamp, minute: MinuteStats) -> Summary {
        let today = now.utc_day();
        let components: Vec<ComponentSummary> = COMPONENTS
            .into_iter()
            .enumerate()
            .map(|(index, component)| {
                let of = |day: i64| self.kept.days.get(&day).map_or((0, 0), |d| (d.up[index], d.down[index]));
                let days = (today - DAYS + 1..=today).map(|day| DaySummary {
                    date: Timestamp(day * DAY_MS).to_string()[..10].to_owned(),
                    uptime: percent(of(day)),
                });
                let sum = (today - DAYS + 1..=today).map(of).fold((0, 0), |a, b| (a.0 + b.0, a.1 + b.1));
                ComponentSummary {
                    name: component.as_str(),
                    status: if self.up[index] { "operational" } else { "down" },
                    uptime_30d: percent(sum),
                    days: days.collect(),
                }
            })
            .collect();
        let down = self.up.iter().filter(|up| !**up).count();
        Summary {
            status: match down {
                0 if !self.kept.notices.is_any_open() => "operational",
                _ if down == COMPONENTS.len() => "down",
                _ => "degraded",
            },
            at: now,
            components,
            redirects_per_minute: minute.hits,
            redirect_latency_us: Latency { p50: minute.p50_us, p99: minute.p99_us },
            incidents: self.kept.incidents.iter().cloned().collect(),
            notices: self.kept.notices.all().cloned().collect(),
        }
    }
}

/// Rounded down to a hundredth: a minute of downtime is never shown as 100 %.
fn percent((up, down): (i64, i64)) -> Option<f64> {
    (up + down > 0).then(|| (10_000 * up / (up + down)) as f64 / 100.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    const START: i64 = 1_793_491_200_000;

    fn at(seconds: i64) -> Timestamp {
        Timestamp(START + seconds * 1_000)
    }

    #[test]
    fn ups_downs_gaps_and_midnights_are_booked_and_survive_a_restart() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("status.json");
        let mut history = History::open(&path);
        for second in (0..=100).step_by(10) {
            history.observe(at(second), [true, second < 51, true]);
        }
        let summary = history.summary(at(100), MinuteStats::default());
        assert_eq!(summary.status, "degraded");
        assert_eq!(summary.components[0].uptime_30d, Some(100.0));
        assert_eq!(summary.components[1].uptime_30d, Some(50.0));
        assert_eq!(summary.incidents.len(), 1);
        assert_eq!(
            (summary.incidents[0].component, summary.incidents[0].ended_at),
            (Component::Recording, None)
        );
        history.save().unwrap();
        // The engine was off for ten minutes.
        let mut history = History::open(&path);
        history.observe(at(700), [true; 3]);
        let summary = history.summary(at(700), MinuteStats::default());
        assert_eq!(summary.status, "operational");
        assert_eq!(summary.components[0].uptime_30d, Some(14.28));
        assert!(summary.incidents.iter().all(|incident| incident.ended_at.is_some()));
        assert_eq!(summary.components[0].days.len(), 30);
        // Over midnight: both days have their part.
        let mut history = History::open(&dir.path().join("other.json"));
        history.observe(Timestamp(START - 20_000), [true; 3]);
        history.observe(Timestamp(START + 20_000), [true; 3]);
        assert_eq!(history.kept.days.len(), 2);
    }
}
