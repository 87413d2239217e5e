//! How many clicks a second one thread folds into a plan: what the live thread does per subscription.

use std::hint::black_box;
use std::sync::Arc;
use std::time::Duration;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use weir_engine::query::fold::RowStates;
use weir_engine::query::plan::Plan;
use weir_schemas::click::{Click, Dims, Verdict};
use weir_schemas::ids::{ClickId, LinkId, PartnerId, ProgramId, WorkspaceId};
use weir_schemas::query::Query;
use weir_schemas::time::Timestamp;

/// 2026-11-20T12:00:00Z
const NOON: i64 = 1_795_176_000_000;
const CLICKS: usize = 10_000;

fn clicks() -> Vec<Click<'static>> {
    const COUNTRIES: [&str; 8] = ["DE", "AT", "CH", "US", "FR", "GB", "JP", "BR"];
    let click = |n: usize| Click {
        id: ClickId::new(NOON, 1, 0, n as u64),
        at: Timestamp(NOON + n as i64),
        verdict: Verdict::Counted,
        bot: false,
        flags: 0,
        status: 302,
        latency_us: 20 + (n % 50) as u32,
        workspace: WorkspaceId(1),
        link: LinkId(1 + (n % 100) as u64),
        program: ProgramId::NONE,
        partner: PartnerId::NONE,
        visitor: (n % 5_000) as u64 * 0x9e37_79b9,
        network: 0,
        asn: 64_500,
        dims: Dims {
            country: COUNTRIES[n % 8].into(),
            device: if n.is_multiple_of(3) { "mobile" } else { "desktop" }.into(),
            ..Dims::default()
        },
        slug: "spring".into(),
        evidence: "".into(),
    };
    (0..CLICKS).map(click).collect()
}

fn fold(c: &mut Criterion) {
    let clicks = clicks();
    let plans = [
        ("clicks by country", r#"{"metrics":["clicks"],"dimensions":["country"]}"#),
        ("clicks by hour and country", r#"{"metrics":["clicks"],"dimensions":["time:hour","country"]}"#),
        (
            "clicks by link, filtered",
            r#"{"metrics":["clicks"],"dimensions":["link"],"filters":["is","device",["desktop"]]}"#,
        ),
        ("clicks and visitors by country", r#"{"metrics":["clicks","visitors"],"dimensions":["country"]}"#),
        ("latency", r#"{"metrics":["latency_p50","latency_p99"]}"#),
    ];
    let mut group = c.benchmark_group("fold");
    group.throughput(Throughput::Elements(CLICKS as u64));
    for (name, query) in plans {
        let query: Query = serde_json::from_str(query).expect("a query");
        let plan = Plan::build(&query, WorkspaceId(1), Timestamp(NOON), None).expect("a plan");
        let mut states = RowStates::new(Arc::new(plan));
        group.bench_function(name, |b| {
            b.iter(|| clicks.iter().for_each(|click| states.add_click(black_box(click))));
        });
    }
    group.finish();
}

criterion_group! {
    name = benches;
    config = Criterion::default()
        .warm_up_time(Duration::from_millis(500))
        .measurement_time(Duration::from_secs(3))
        .sample_size(20);
    targets = fold
}
criterion_main!(benches);
