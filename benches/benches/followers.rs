//! What follows the journal: windows of live queries, their frames, and the warehouse's rows.

use std::hint::black_box;
use std::sync::Arc;
use std::time::Duration;

use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use serde_json::json;
use weir_benches::{START, WORKSPACE, click, click_bytes};
use weir_engine::live::frames::{Delta, delta};
use weir_engine::query::fold::RowStates;
use weir_engine::query::plan::Plan;
use weir_schemas::click::Click;
use weir_schemas::time::Timestamp;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const CLICKS: u64 = 100_000;
/// Six seconds between clicks: 100,000 of them are most of a week.
const SPREAD: u64 = 6;

fn plan() -> Arc<Plan> {
    let query = json!({"metrics": ["clicks", "visitors"], "dimensions": ["time:hour", "country"], "date_range": "7d"});
    let query = serde_json::from_value(query).expect("a query of api.md");
    let now = Timestamp(START.0 + 6 * 86_400_000);
    Arc::new(Plan::build(&query, WORKSPACE, now, None).expect("a query of api.md"))
}

fn windows(c: &mut Criterion) {
    let clicks: Vec<Click<'_>> = (0..CLICKS).map(|number| click(number * SPREAD)).collect();
    let plan = plan();
    let mut warm = RowStates::new(Arc::clone(&plan));
    clicks.iter().for_each(|click| warm.add_click(click));
    assert!(warm.groups() > 1_000, "the clicks are in the range of the query");
    let mut group = c.benchmark_group("window");
    group.throughput(Throughput::Elements(CLICKS));
    group.bench_function("clicks and visitors by hour and country, warm", |b| {
        b.iter(|| clicks.iter().for_each(|click| warm.add_click(black_box(click))));
    });
    group.bench_function("the same from the journal's bytes", |b| {
        let bytes: Vec<Vec<u8>> = (0..CLICKS).map(|number| click_bytes(number * SPREAD)).collect();
        b.iter(|| {
            for click in &bytes {
                warm.add_click(&Click::read(black_box(click)).expect("its own bytes"));
            }
        });
    });
    group.bench_function("from nothing", |b| {
        let fill = |mut states: RowStates| {
            clicks.iter().for_each(|click| states.add_click(black_box(click)));
            states
        };
        b.iter_batched(|| RowStates::new(Arc::clone(&plan)), fill, BatchSize::LargeInput);
    });
    group.finish();
}

/// A tick in which fifty rows changed: encoded once, then named for each subscriber.
fn fan_out(c: &mut Criterion) {
    const SUBSCRIBERS: u64 = 10_000;
    let mut states = RowStates::new(plan());
    (0..50).for_each(|number| states.add_click(&click(number)));
    let changes = states.take_changes();
    assert!(changes.rows.len() > 10, "{} rows changed", changes.rows.len());
    let encode =
        || delta(&Delta { seq: 9, rows: &changes.rows, removed: &changes.removed, totals: None, fx: None });
    c.bench_function("live/encode a delta", |b| b.iter(encode));
    let mut group = c.benchmark_group("live");
    group.throughput(Throughput::Elements(SUBSCRIBERS));
    group.bench_function("a delta for 10,000 subscribers", |b| {
        b.iter(|| {
            let mut body = encode();
            (0..SUBSCRIBERS).map(|_| body.named(black_box("overview")).len()).sum::<usize>()
        });
    });
    group.finish();
}

criterion_group! {
    name = benches;
    config = Criterion::default()
        .warm_up_time(Duration::from_millis(500))
        .measurement_time(Duration::from_secs(3))
        .sample_size(20);
    targets = windows, fan_out
}
criterion_main!(benches);
