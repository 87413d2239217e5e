//! The thread `weir-caps`: follows the journal's traffic, writes the file, finds the places of changed links.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, RecvTimeoutError};
use weir_schemas::ids::{LinkId, Sequence};
use weir_schemas::time::Timestamp;

use super::tally::Tally;
use super::{CapsConfig, CapsError, Order, Places};
use crate::journal::{JournalReader, Traffic};
use crate::links::quarter;
use crate::watermark::Watermark;

/// How often the journal is read on where nobody waits for it: at 100,000 clicks a second there are 3 MB between two
/// looks, so that they are read from the journal's tail.
const FOLLOW_EVERY: Duration = Duration::from_millis(100);
/// How often the file is written where something was counted.
const SAVE_EVERY: Duration = Duration::from_secs(30);

pub(super) struct Keeper {
    file: PathBuf,
    journal: Traffic,
    reader: JournalReader,
    durable: Watermark,
    tally: Tally,
    /// Links that are or were capped in this run.
    places: HashMap<LinkId, Arc<Places>, ahash::RandomState>,
    /// Up to where the file is.
    pub(super) saved: Watermark,
    saved_at: Instant,
}

impl Keeper {
    /// Reads the file and the journal behind it, up to what is durable.
    pub(super) fn open(config: &CapsConfig, durable: Watermark) -> Result<Self, CapsError> {
        let failed = |source| CapsError::File { path: config.file.display().to_string(), source };
        let found = Tally::load(&config.file).map_err(failed)?;
        let known = found.is_some();
        let mut tally = found.unwrap_or_default();
        if tally.seq > durable.get() {
            // The journal lost its end (a power failure, an older copy). Its visitors had their clicks all the same:
            // they stay counted, and what comes now is new.
            tracing::error!(
                file = tally.seq,
                journal = durable.get(),
                "caps.json knows clicks that the journal has lost; they stay counted under their caps"
            );
            tally.seq = durable.get();
        }
        if !known {
            if durable.get() > 0 {
                tracing::warn!(
                    "no caps.json: clicks that are no longer in the journal are not counted by caps"
                );
            }
            tally.save(&config.file).map_err(failed)?;
        }
        let mut keeper = Self {
            file: config.file.clone(),
            journal: config.journal.clone(),
            reader: config.journal.behind(tally.seq),
            durable,
            saved: Watermark::new(tally.seq),
            tally,
            places: HashMap::default(),
            saved_at: Instant::now(),
        };
        keeper.follow()?;
        Ok(keeper)
    }

    /// The places of a link, as of what is counted. A link gets them before its first hit can take one, so that
    /// everything in the tally then is to be added and everything that takes one later is not.
    pub(super) fn places(&mut self, link: LinkId) -> Arc<Places> {
        let tally = &self.tally;
        let places = self.places.entry(link);
        Arc::clone(places.or_insert_with(|| Arc::new(Places::new(tally.total(link), tally.quarters(link)))))
    }

    pub(super) fn run(mut self, orders: &Receiver<Order>) {
        loop {
            let order = orders.recv_timeout(FOLLOW_EVERY);
            let followed = self.follow();
            if let Err(error) = &followed {
                metrics::counter!("weir_caps_failures_total").increment(1);
                tracing::error!(%error, "the caps cannot read the journal; they try again");
                self.reader = self.journal.behind(self.tally.seq);
            }
            match order {
                // Without an answer the visitor is asked to come again.
                Ok(Order::Settle(link, answer)) if followed.is_ok() => {
                    let _ = answer.send(self.places(link));
                }
                Ok(Order::Settle(..)) => {}
                Ok(Order::Stop) | Err(RecvTimeoutError::Disconnected) => {
                    self.save();
                    return;
                }
                Err(RecvTimeoutError::Timeout) => {}
            }
            if self.saved_at.elapsed() >= SAVE_EVERY {
                self.save();
            }
        }
    }

    /// Counts everything up to what is durable.
    fn follow(&mut self) -> Result<(), CapsError> {
        let upto: Sequence = self.durable.get();
        let (tally, places) = (&mut self.tally, &self.places);
        let passed = self.reader.read(upto, usize::MAX, usize::MAX, |entry| {
            if let Some(counted) = tally.count(&entry)
                && !counted.placed
                && let Some(places) = places.get(&counted.link)
            {
                places.add_unplaced(1);
            }
        })?;
        // The followers that keep the rows report damage.
        let _ = self.reader.take_damage();
        tally.seq = tally.seq.max(passed);
        Ok(())
    }

    fn save(&mut self) {
        self.saved_at = Instant::now();
        if self.saved.get() == self.tally.seq {
            return;
        }
        self.tally.prune(quarter(Timestamp::now()));
        match self.tally.save(&self.file) {
            Ok(()) => self.saved.advance(self.tally.seq),
            Err(error) => {
                metrics::counter!("weir_caps_failures_total").increment(1);
                tracing::error!(%error, "caps.json cannot be written; the journal keeps its traffic meanwhile");
            }
        }
    }
}
