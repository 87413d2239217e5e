//! The way of a click from the edge to the disk: token, lane, enrichment, journal.

use std::hint::black_box;
use std::path::Path;
use std::time::{Duration, Instant};

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use tempfile::TempDir;
use weir_benches::{NODE, START, WORKSPACE, click_bytes, hit_bytes};
use weir_engine::enrich::Enricher;
use weir_engine::journal::{Journal, JournalConfig};
use weir_engine::recorder::{Recorder, RecorderConfig};
use weir_engine::token::{TokenKeys, TokenParts};
use weir_schemas::ids::{ClickId, LinkId};

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

fn enrichment(c: &mut Criterion) {
    let mut enricher = Enricher::new(NODE, None, None, std::sync::Arc::new(|day| [day as u8; 16]));
    let hit = hit_bytes(1);
    let mut out = Vec::new();
    let mut number = 0;
    c.bench_function("enrich/refine, agent known", |b| {
        b.iter(|| {
            number += 1;
            out.clear();
            enricher.refine(0, number, black_box(&hit), &mut out).expect("a readable hit");
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
    targets = tokens, lane, enrichment, journal
}
criterion_main!(benches);
