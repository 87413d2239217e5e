//! Exact caps: `max_clicks` and `daily_click_cap` hold inside the redirect, to the click, across threads,
//! `kill -9` and restarts.
//!
//! **Taking a place.** A visit that would count takes a place ([`Places::take`]) before it is answered: compare
//! and increment in one step. Its hit says so ([`FLAG_PLACE`], [`FLAG_DAY`]). A hit that finds no room in its lane
//! gives the place back and is not sent to the destination: what is not recorded is no click.
//!
//! **What is counted.** `max_clicks` counts every click that the link ever had, also from before it had a cap;
//! `daily_click_cap` counts the clicks since the link has had one. Raising a cap opens the link again.
//!
//! **After a restart.** The thread `weir-caps` follows the journal's traffic and keeps a [`Tally`]: clicks per
//! link, and per quarter of an hour where a day is counted. It writes it to `caps.json` (a whole new file takes
//! the old one's place) together with the sequence that it is as of. A start reads that file and the entries
//! behind it; what the lanes still held is in the journal by then. Retention deletes nothing that the
//! file does not contain ([`Caps::saved`]). So the places are known exactly before the listener opens.
//!
//! **When a cap changes.** Each change of a link makes a new [`Cap`](crate::links::Cap), which knows its places
//! once every hit answered before is in the tally ([`Caps::settle`]); the first visit waits for that, once.
//! Clicks that were recorded without a place (the link had no cap then) are added as the thread meets them.

use std::collections::VecDeque;
use std::io;
use std::ops::Range;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use crossbeam_channel::{Sender, bounded};
use tokio::sync::oneshot;
use weir_schemas::hit::{FLAG_DAY, FLAG_PLACE};
use weir_schemas::ids::LinkId;
use weir_schemas::time::Timestamp;

use crate::journal::{JournalError, Traffic};
use crate::links::{Cap, LinkTable, Quarter, TrackedLink, quarter};
use crate::recorder::Recorder;
use crate::watermark::Watermark;

mod tally;
mod thread;

pub use tally::Tally;

/// Changed links whose places are being found at once; beyond it their visitors are asked to come again.
const SETTLING_MAX: usize = 1_024;
/// How long a visit waits until the places of a link that has just changed are known.
const SETTLE_PATIENCE: Duration = Duration::from_secs(2);
/// Quarters that are remembered: the longest day (25 h, where clocks go back) and an hour of tolerance.
pub(crate) const QUARTERS_MAX: Quarter = 104;

/// The clicks of a link, as its caps count them. Shared by every version of the link.
#[derive(Debug, Default)]
pub struct Places {
    total: AtomicU64,
    quarters: Mutex<Quarters>,
}

impl Places {
    fn new(total: u64, quarters: Quarters) -> Self {
        Self { total: AtomicU64::new(total), quarters: Mutex::new(quarters) }
    }

    /// Takes a place for a click at `at`: the flags that its hit must carry, or `None` where a cap is used up.
    pub fn take(&self, cap: &Cap, at: Timestamp) -> Option<u8> {
        let Some(daily) = cap.daily else {
            return self.take_one(cap.max_clicks).then_some(FLAG_PLACE);
        };
        // Both caps under one lock, so that a visit which one of them refuses never takes from the other.
        let mut quarters = self.quarters.lock().unwrap_or_else(PoisonError::into_inner);
        if quarters.sum(cap.day(at)) >= daily || !self.take_one(cap.max_clicks) {
            return None;
        }
        quarters.add(quarter(at), 1);
        Some(FLAG_PLACE | FLAG_DAY)
    }

    fn take_one(&self, max: Option<u64>) -> bool {
        let max = max.unwrap_or(u64::MAX);
        let one_more = |total| (total < max).then(|| total + 1);
        self.total.try_update(Ordering::AcqRel, Ordering::Acquire, one_more).is_ok()
    }

    /// Gives back what [`Self::take`] took at `at` and answered with `flags`.
    pub fn give_back(&self, at: Timestamp, flags: u8) {
        if flags & FLAG_DAY != 0 {
            self.quarters.lock().unwrap_or_else(PoisonError::into_inner).take_away(quarter(at));
        }
        if flags & FLAG_PLACE != 0 {
            self.total.fetch_sub(1, Ordering::AcqRel);
        }
    }

    /// Whether a click at `at` would find no place.
    pub fn full(&self, cap: &Cap, at: Timestamp) -> bool {
        let total = self.total.load(Ordering::Acquire);
        cap.max_clicks.is_some_and(|max| total >= max)
            || cap.daily.is_some_and(|daily| {
                self.quarters.lock().unwrap_or_else(PoisonError::into_inner).sum(cap.day(at)) >= daily
            })
    }

    /// Clicks that were recorded while the link had no cap.
    fn add_unplaced(&self, clicks: u64) {
        self.total.fetch_add(clicks, Ordering::AcqRel);
    }
}

/// Clicks per quarter of an hour, the newest [`QUARTERS_MAX`]. Oldest first; none is zero.
#[derive(Debug, Clone, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(transparent)]
pub struct Quarters(VecDeque<(Quarter, u32)>);

impl Quarters {
    fn add(&mut self, quarter: Quarter, clicks: u32) {
        let newest = self.0.back().map_or(quarter, |(newest, _)| quarter.max(*newest));
        while self.0.front().is_some_and(|(oldest, _)| oldest + QUARTERS_MAX < newest) {
            self.0.pop_front();
        }
        // Almost always the newest; a thread whose clock was read a little earlier may add to the one before.
        let place = self.0.partition_point(|(known, _)| *known < quarter);
        match self.0.get_mut(place) {
            Some((known, count)) if *known == quarter => *count = count.saturating_add(clicks),
            _ => self.0.insert(place, (quarter, clicks)),
        }
    }

    fn take_away(&mut self, quarter: Quarter) {
        if let Ok(place) = self.0.binary_search_by_key(&quarter, |(known, _)| *known) {
            self.0[place].1 -= 1;
            if self.0[place].1 == 0 {
                self.0.remove(place);
            }
        }
    }

    fn sum(&self, day: Range<Quarter>) -> u64 {
        self.0.iter().rev().filter(|(known, _)| day.contains(known)).map(|(_, count)| u64::from(*count)).sum()
    }
}

/// Where the caps keep their state.
#[derive(Debug, Clone)]
pub struct CapsConfig {
    /// `caps.json`.
    pub file: PathBuf,
    /// The journal's traffic.
    pub journal: Traffic,
}

/// Why the caps cannot be known.
#[derive(Debug, thiserror::Error)]
pub enum CapsError {
    /// The file cannot be read or written.
    #[error("the caps' file {path}: {source}")]
    File {
        /// Which.
        path: String,
        /// Why.
        source: io::Error,
    },
    /// The journal cannot be read.
    #[error(transparent)]
    Journal(#[from] JournalError),
}

/// The handle. Clones share it.
#[derive(Debug, Clone)]
pub struct Caps {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    recorder: Recorder,
    queue: Sender<Order>,
    saved: Watermark,
    thread: Mutex<Option<JoinHandle<()>>>,
}

/// What the thread is asked for.
#[derive(Debug)]
enum Order {
    Settle(LinkId, oneshot::Sender<Arc<Places>>),
    Stop,
}

impl Caps {
    /// Counts what the journal holds, gives every capped link of `links` its places, and starts the thread.
    pub fn start(config: &CapsConfig, recorder: Recorder, links: &LinkTable) -> Result<Self, CapsError> {
        let mut keeper = thread::Keeper::open(config, recorder.durable().clone())?;
        links.each(|link| {
            if let Some(cap) = &link.cap {
                let _ = cap.places.set(keeper.places(link.id));
            }
        });
        let saved = keeper.saved.clone();
        let (queue, orders) = bounded(SETTLING_MAX);
        let thread = std::thread::Builder::new()
            .name("weir-caps".to_owned())
            .spawn(move || keeper.run(&orders))
            .expect("the system can start a thread");
        Ok(Self { shared: Arc::new(Shared { recorder, queue, saved, thread: Mutex::new(Some(thread)) }) })
    }

    /// The places of a capped link, which are found first where it has just changed. `None`: they are not known in
    /// time, as the disk has failed or too many links change at once.
    pub async fn settle(&self, link: &TrackedLink) -> Option<Arc<Places>> {
        let cap = link.cap.as_ref()?;
        let found = cap.places.get_or_try_init(|| self.find(link.id));
        let found = tokio::time::timeout(SETTLE_PATIENCE, found).await.ok().and_then(Result::ok).cloned();
        if found.is_none() {
            metrics::counter!("weir_caps_unsettled_total").increment(1);
        }
        found
    }

    async fn find(&self, link: LinkId) -> Result<Arc<Places>, ()> {
        // Every hit that was answered before is durable, and the thread reads up to what is durable.
        self.shared.recorder.settled().await;
        let (answer, found) = oneshot::channel();
        self.shared.queue.try_send(Order::Settle(link, answer)).map_err(|_| ())?;
        found.await.map_err(|_| ())
    }

    /// Up to where the file contains the journal's traffic: retention may delete up to here.
    pub fn saved(&self) -> &Watermark {
        &self.shared.saved
    }

    /// Writes the file and ends the thread. Stop the recorder first.
    pub fn stop(&self) {
        let thread = self.shared.thread.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(thread) = thread {
            // A full queue is worked off; a thread that has ended needs no order.
            let _ = self.shared.queue.send(Order::Stop);
            thread.join().expect("the caps' thread does not panic");
        }
    }
}

#[cfg(test)]
mod tests;
