//! The engine without its sockets: what `serve` and the offline commands share. Order matters: the data
//! folder first (one engine at a time), then the keyring, the journal with what the lanes still held, the
//! books, the places of capped links.

use std::error::Error;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use weir_engine::books::{BacklogLimits, Books, BooksConfig};
use weir_engine::caps::{Caps, CapsConfig};
use weir_engine::clicks::RecentClicks;
use weir_engine::data_dir::DataDir;
use weir_engine::enrich::{Enricher, Geo, Networks, SaltOfTheDay};
use weir_engine::journal::JournalConfig;
use weir_engine::keyring::Keyring;
use weir_engine::recorder::{Lane, Recorder, RecorderConfig, Refine};
use weir_engine::redirect_stats::RedirectStats;
use weir_engine::warehouse::seen as warehouse_seen;
use weir_schemas::click::ClickHead;
use weir_schemas::fact::kind;

use crate::config::Config;

/// Errors of the wiring are for people: each part says what to do.
pub(crate) type Failure = Box<dyn Error + Send + Sync>;

/// Everything that owns state.
pub(crate) struct Engine {
    pub data: DataDir,
    pub keyring: Arc<Keyring>,
    pub recorder: Recorder,
    pub lanes: Vec<Lane>,
    pub recent: RecentClicks,
    pub books: Books,
    pub caps: Caps,
    pub geo: Option<Arc<Geo>>,
    pub salt: SaltOfTheDay,
    pub redirects: RedirectStats,
}

/// How often the start says how far the books are.
const CATCH_UP_NEWS: Duration = Duration::from_secs(5);

/// Where the parts keep their state in the data folder.
pub(crate) fn journal_folder(data: &Path) -> PathBuf {
    data.join("journal")
}

pub(crate) fn books_file(data: &Path) -> PathBuf {
    data.join("books.db")
}

pub(crate) fn keyring_file(data: &Path) -> PathBuf {
    data.join("keyring.db")
}

pub(crate) fn warehouse_progress(data: &Path) -> PathBuf {
    data.join("warehouse.json")
}

impl Engine {
    pub(crate) fn start(config: &Config) -> Result<Self, Failure> {
        let data = DataDir::take(&config.data_dir)?;
        let keyring = Arc::new(Keyring::open(&keyring_file(data.path()))?);
        let geo = open_geo(config)?;
        let salt: SaltOfTheDay = {
            let keyring = Arc::clone(&keyring);
            // Without its file the salt still keeps addresses apart from their hashes, for as long as the
            // process lives.
            let spare: [u8; 16] = rand::random();
            Arc::new(move |day| {
                keyring.salt_of_day(day).unwrap_or_else(|error| {
                    tracing::error!(%error, "the salt of the day cannot be read");
                    spare
                })
            })
        };
        let mut enricher = Enricher::new(config.node, geo.clone(), open_networks(config)?, Arc::clone(&salt));
        let redirects = RedirectStats::default();
        let count = redirects.clone();
        let refine: Refine = Box::new(move |lane, counter, raw, out| {
            let start = out.len();
            let kind = enricher.refine(lane, counter, raw, out).map_err(|error| error.to_string())?;
            if kind == kind::CLICK {
                let click = ClickHead::read(&out[start..]).map_err(|error| error.to_string())?;
                count.record(click.at, click.latency_us);
            }
            Ok(kind)
        });
        let recorder_config = RecorderConfig {
            journal: JournalConfig {
                folder: journal_folder(data.path()),
                node: config.node,
                segment_bytes: config.segment_bytes,
            },
            lanes_folder: data.join("lanes"),
            lanes: config.public_threads as u16,
            lane_bytes: config.lane_bytes,
            pace: config.recorder_pace,
        };
        let seen = warehouse_seen(&warehouse_progress(data.path()))?;
        let (recorder, lanes, report) = Recorder::start_behind(recorder_config, seen, refine)?;
        if report.torn_bytes > 0 {
            tracing::warn!(bytes = report.torn_bytes, "the journal's torn tail was cut");
        }
        for damage in &report.quarantined {
            tracing::error!(?damage, "the journal is damaged in the middle; what follows was kept");
        }
        let books = Books::start(
            BooksConfig {
                path: books_file(data.path()),
                journal: journal_folder(data.path()),
                backlog: BacklogLimits { facts: config.books_backlog, ..BacklogLimits::default() },
            },
            recorder.clone(),
            Arc::clone(&keyring),
        )?;
        // Nobody may see a link or a key as it was before the last facts.
        let durable = recorder.durable().get();
        while books.applied().wait_reached(durable, CATCH_UP_NEWS) < durable {
            if books.failing() {
                return Err(
                    "the books cannot apply the journal; see the log, or run `weir replay books`".into()
                );
            }
            tracing::info!(applied = books.applied().get(), durable, "the books catch up with the journal");
        }
        let recent = RecentClicks::of(recorder.traffic());
        let caps = CapsConfig { file: data.join("caps.json"), journal: recorder.traffic() };
        let caps = Caps::start(&caps, recorder.clone(), books.links())?;
        Ok(Self { data, keyring, recorder, lanes, recent, books, caps, geo, salt, redirects })
    }

    /// Ends the threads, what has come in first.
    pub(crate) fn stop(&self) {
        self.recorder.stop();
        self.books.stop();
        self.caps.stop();
    }
}

fn open_networks(config: &Config) -> Result<Option<Networks>, Failure> {
    let found = match &config.networks {
        Some(path) => Some(path.clone()),
        None => Some(PathBuf::from(".weir/networks")).filter(|path| path.is_dir()),
    };
    match found {
        Some(path) => Ok(Some(Networks::open(&path)?)),
        None => {
            tracing::warn!("no table of networks: `asn` stays 0 (make networks, or --networks)");
            Ok(None)
        }
    }
}

fn open_geo(config: &Config) -> Result<Option<Arc<Geo>>, Failure> {
    let found = match &config.geoip {
        Some(path) => Some(path.clone()),
        None => Some(PathBuf::from(".weir/geoip")).filter(|path| path.is_dir()),
    };
    match found {
        Some(path) => Ok(Some(Arc::new(Geo::open(&path)?))),
        None => {
            tracing::warn!("no GeoIP file: countries and cities stay empty (make geoip, or --geoip)");
            Ok(None)
        }
    }
}
