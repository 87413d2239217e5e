//! The way of a click from the edge to the disk: token, lane, enrichment, journal.

use std::hint::black_box;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use tempfile::TempDir;
use weir_benches::{NODE, START, USER_AGENT, VISITORS, WORKSPACE, click_bytes, hit_bytes, hit_from_anywhere};
use weir_engine::enrich::{Agents, Enricher, Geo, Network, Networks, Place, SaltOfTheDay};
use weir_engine::journal::{Journal, JournalConfig};
use weir_engine::recorder::{Recorder, RecorderConfig};
use weir_engine::signals::{Detector, Suspect};
use weir_engine::token::{TokenKeys, TokenParts};
use weir_schemas::click::Verdict;
use weir_schemas::hit::FLAG_RETURNING;
use weir_schemas::ids::{ClickId, LinkId};
use weir_schemas::time::Timestamp;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// A folder on the disk that holds the build: `/tmp` may be memory, which syncs for nothing.
fn folder() -> TempDir {
    let parent = Path::new(env!("CARGO_TARGET_TMPDIR"));
    std::fs::create_dir_all(parent).expect("the target folder is writable");
    TempDir::new_in(parent).expect("the target folder is writable")
}

fn journal_config(folder: &Path) -> JournalConfig {
    JournalConfig { folder: folder.join("journal"), node: NODE, segment_bytes: 128 << 20 }
}

fn tokens(c: &mut Criterion) {
    let keys = TokenKeys::new(&[(1, [7; 64])]);
    let parts = |n| TokenParts {
        click: ClickId::new(START.0, NODE, 0, n),
        workspace: WORKSPACE,
        link: LinkId(5),
        variant: 0,
    };
    let mut number = 0;
    c.bench_function("token/mint", |b| {
        b.iter(|| {
            number += 1;
            keys.mint(&parts(number))
        });
    });
    let token = keys.mint(&parts(1));
    c.bench_function("token/open", |b| {
        b.iter(|| keys.open(black_box(token.as_str())).expect("its own token"));
    });
}

/// Appends alone: bursts that fit the lane, and between them, off the clock, the recorder takes them out.
fn lane(c: &mut Criterion) {
    const BURST: u64 = 50_000;
    let folder = folder();
    let config = RecorderConfig {
        journal: journal_config(folder.path()),
        lanes_folder: folder.path().join("lanes"),
        lanes: 1,
        lane_bytes: 64 << 20,
        pace: Duration::from_millis(1),
    };
    // Nothing is journaled: what a hit becomes is measured below.
    let refuse = Box::new(|_, _, _: &[u8], _: &mut Vec<u8>| Err(String::new()));
    let (recorder, mut lanes, _) = Recorder::start(config, refuse).expect("an empty folder opens");
    let mut lane = lanes.remove(0);
    let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
    let hit = hit_bytes(1);
    let mut group = c.benchmark_group("lane");
    group.throughput(Throughput::Bytes(hit.len() as u64));
    group.bench_function("append", |b| {
        b.iter_custom(|iterations| {
            let mut spent = Duration::ZERO;
            let mut left = iterations;
            while left > 0 {
                let burst = left.min(BURST);
                let started = Instant::now();
                for _ in 0..burst {
                    lane.append(black_box(&hit)).expect("a burst fits the lane");
                }
                spent += started.elapsed();
                runtime.block_on(recorder.settled());
                left -= burst;
            }
            spent
        });
    });
    group.finish();
    recorder.stop();
}

/// What happens to a hit behind the answer, of an agent, a place and a network that are remembered and that are not.
fn enrichment(c: &mut Criterion) {
    let salt = || -> SaltOfTheDay { Arc::new(|day| [day as u8; 16]) };
    let data = Path::new(env!("CARGO_MANIFEST_DIR")).join("../.weir");
    let geo = Arc::new(Geo::open(&data.join("geoip")).expect("run `make geoip`"));
    let networks = || Some(Networks::open(&data.join("networks")).expect("run `make networks`"));
    let mut out = Vec::new();
    let mut number = 0;
    let mut run = |name: &str, enricher: &mut Enricher, hits: &[Vec<u8>]| {
        c.bench_function(&format!("enrich/refine, {name}"), |b| {
            b.iter(|| {
                number += 1;
                out.clear();
                let hit = &hits[number as usize % hits.len()];
                enricher.refine(0, number, black_box(hit), &mut out).expect("a readable hit");
            });
        });
    };
    run("agent known", &mut Enricher::new(NODE, None, None, salt()), &[hit_bytes(1)]);
    let everywhere: Vec<Vec<u8>> = (0..4_096).map(hit_from_anywhere).collect();
    run("places known", &mut Enricher::new(NODE, Some(Arc::clone(&geo)), None, salt()), &everywhere);
    let mut whole = Enricher::new(NODE, Some(geo), networks(), salt());
    run("places and networks known, signals looked for", &mut whole, &everywhere);
    let parser = Agents::new();
    c.bench_function("enrich/an agent that was never seen", |b| {
        b.iter(|| parser.parse(black_box(USER_AGENT)))
    });
}

/// The signals of a click alone: hosting network, rates of visitor and network, travel.
fn signals(c: &mut Criterion) {
    let mut detector = Detector::default();
    let place = Place {
        city: "Berlin".into(),
        country: "DE".into(),
        point: Some((52_520, 13_405)),
        ..Place::default()
    };
    let system = Network { number: 3_320, name: "Deutsche Telekom AG".into() };
    let mut number = 0_u64;
    c.bench_function("signals/judge", |b| {
        b.iter(|| {
            number += 1;
            let visitor = number % VISITORS;
            let suspect = Suspect {
                at: Timestamp(START.0 + number as i64 / 10),
                verdict: Verdict::Counted,
                flags: FLAG_RETURNING,
                link: LinkId(number % 40),
                visitor,
                network: visitor,
                place: &place,
                system: &system,
            };
            black_box(detector.judge(&suspect));
        });
    });
}

/// Batches of 1,000 clicks, each written and synced: what one core and the disk take together.
fn journal(c: &mut Criterion) {
    const BATCH: u64 = 1_000;
    let folder = folder();
    let (mut journal, _) = Journal::open(journal_config(folder.path())).expect("an empty folder opens");
    let click = click_bytes(1);
    let mut counter = 0;
    let mut put = |journal: &mut Journal| {
        for _ in 0..BATCH {
            counter += 1;
            journal.put_traffic(1, 0, counter, black_box(&click)).expect("a click fits");
        }
    };
    let mut group = c.benchmark_group("journal");
    group.throughput(Throughput::Elements(BATCH));
    group.bench_function("put 1,000, without the disk", |b| {
        b.iter(|| {
            put(&mut journal);
            journal.abandon();
        });
    });
    group.bench_function("put 1,000 and commit (fdatasync)", |b| {
        b.iter(|| {
            put(&mut journal);
            journal.commit().expect("the disk takes it")
        });
    });
    group.finish();
    drop(journal);
    recovery(c);
}

fn recovery(c: &mut Criterion) {
    const ENTRIES: u64 = 200_000;
    let folder = folder();
    let config = journal_config(folder.path());
    let (mut journal, _) = Journal::open(config.clone()).expect("an empty folder opens");
    for number in 1..=ENTRIES {
        journal.put_traffic(1, 0, number, &click_bytes(number)).expect("a click fits");
    }
    journal.commit().expect("the disk takes it");
    drop(journal);
    let mut group = c.benchmark_group("journal");
    group.throughput(Throughput::Elements(ENTRIES));
    group.sample_size(10);
    group.bench_function("recovery of 200,000", |b| {
        b.iter(|| Journal::open(config.clone()).expect("what was committed opens").0.last());
    });
    group.finish();
}

criterion_group! {
    name = benches;
    config = Criterion::default()
        .warm_up_time(Duration::from_millis(500))
        .measurement_time(Duration::from_secs(3))
        .sample_size(30);
    targets = tokens, lane, enrichment, signals, journal
}
criterion_main!(benches);
