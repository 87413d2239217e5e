//! The clicks of every link as the journal tells them: a pure fold over its traffic, and its file.

use std::collections::HashMap;
use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::path::Path;

use serde::{Deserialize, Serialize};
use weir_schemas::click::{ClickHead, Verdict};
use weir_schemas::fact::kind;
use weir_schemas::hit::{FLAG_DAY, FLAG_PLACE};
use weir_schemas::ids::{LinkId, Sequence};

use super::Quarters;
use crate::journal::Entry;
use crate::links::quarter;

/// The version of the file.
const FILE_VERSION: u8 = 1;

/// Clicks per link up to a sequence. 16 bytes a link that was ever clicked.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Tally {
    /// Everything up to here is counted.
    pub seq: Sequence,
    totals: HashMap<LinkId, u64, ahash::RandomState>,
    days: HashMap<LinkId, Quarters, ahash::RandomState>,
}

/// What an entry added.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Counted {
    pub link: LinkId,
    /// It had taken a place before it was answered.
    pub placed: bool,
}

#[derive(Serialize, Deserialize)]
struct Saved {
    version: u8,
    seq: Sequence,
    totals: Vec<(u64, u64)>,
    days: Vec<(u64, Quarters)>,
}

impl Tally {
    /// Counts one entry, where it is a counted click.
    pub(super) fn count(&mut self, entry: &Entry<&[u8]>) -> Option<Counted> {
        self.seq = self.seq.max(entry.seq);
        if entry.kind != kind::CLICK {
            return None;
        }
        let Ok(click) = ClickHead::read(entry.payload) else {
            // Written by another version; the followers that keep its row say so.
            metrics::counter!("weir_caps_unreadable_total").increment(1);
            return None;
        };
        if click.verdict != Verdict::Counted || click.link == LinkId::NONE {
            return None;
        }
        *self.totals.entry(click.link).or_default() += 1;
        if click.flags & FLAG_DAY != 0 {
            self.days.entry(click.link).or_default().add(quarter(click.at), 1);
        }
        Some(Counted { link: click.link, placed: click.flags & FLAG_PLACE != 0 })
    }

    /// Clicks of a link in all.
    pub fn total(&self, link: LinkId) -> u64 {
        self.totals.get(&link).copied().unwrap_or_default()
    }

    /// Clicks of a link by quarter, where its days are counted.
    pub(super) fn quarters(&self, link: LinkId) -> Quarters {
        self.days.get(&link).cloned().unwrap_or_default()
    }

    /// Forgets days that are over everywhere.
    pub(super) fn prune(&mut self, now: crate::links::Quarter) {
        self.days.retain(|_, quarters| {
            quarters.0.retain(|(known, _)| known + super::QUARTERS_MAX >= now);
            !quarters.0.is_empty()
        });
    }

    /// Reads the file; `None` where there is none.
    pub(super) fn load(path: &Path) -> io::Result<Option<Self>> {
        let bytes = match fs::read(path) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error),
        };
        let saved: Saved = serde_json::from_slice(&bytes)?;
        if saved.version != FILE_VERSION {
            return Err(io::Error::other(format!("is of version {}", saved.version)));
        }
        Ok(Some(Self {
            seq: saved.seq,
            totals: saved.totals.into_iter().map(|(link, total)| (LinkId(link), total)).collect(),
            days: saved.days.into_iter().map(|(link, quarters)| (LinkId(link), quarters)).collect(),
        }))
    }

    /// Makes the file say this: a whole new file takes the old one's place.
    pub(super) fn save(&self, path: &Path) -> io::Result<()> {
        let saved = Saved {
            version: FILE_VERSION,
            seq: self.seq,
            totals: self.totals.iter().map(|(link, total)| (link.0, *total)).collect(),
            days: self.days.iter().map(|(link, quarters)| (link.0, quarters.clone())).collect(),
        };
        let next = path.with_extension("next");
        let mut file = BufWriter::new(File::create(&next)?);
        serde_json::to_writer(&mut file, &saved)?;
        file.flush()?;
        file.get_ref().sync_data()?;
        fs::rename(&next, path)?;
        File::open(path.parent().unwrap_or(Path::new(".")))?.sync_all()
    }
}
