//! Clicks added up beforehand: whatever was folded when, and whatever a crash left half done, an answer is the one that
//! memory gives, cell by cell, and the one that single clicks give.

use std::sync::Arc;

use clickhouse::Client;
use proptest::prelude::*;
use proptest::sample::{select, subsequence};
use proptest::test_runner::{TestCaseError, TestRunner};
use serde_json::{Value, json};
use weir_engine::query::VISITORS_EXACT_MAX;
use weir_engine::query::execute::{execute, snapshot};
use weir_engine::query::fold::RowStates;
use weir_engine::query::plan::Plan;
use weir_engine::warehouse::cells;
use weir_schemas::click::{Click, Dims, Verdict};
use weir_schemas::ids::{ClickId, LinkId, PartnerId, ProgramId, WorkspaceId};
use weir_schemas::query::Query;
use weir_schemas::time::{DAY_MS, Timestamp};

use crate::facts::{Entry, TEXTS, TIMES, ZONES, entries, judged};
use crate::folding::NOW;
use crate::server::Server;
use crate::warehouse::{ANYBODY, Asker, NODE, of_workspace, same, store};

/// Questions that cells can answer, for the most part: one field, any time, any zone.
fn query() -> impl Strategy<Value = Query> {
    let metrics =
        subsequence(&["clicks", "visitors", "orphan_clicks", "bot_clicks", "hits", "conversions"][..], 1..5);
    let field = select(&["", "", "country", "city", "device", "link", "partner", "utm_source"][..]);
    let time = select(&["", "time:hour", "time:day", "time:day", "time:week", "time:month"][..]);
    let range = prop_oneof![
        2 => Just(json!("all")),
        3 => (select(TIMES), -30..12_i64, 12..90_i64, select(&[0_i64, 0, 1_234_567][..])).prop_map(
            |(from, a, b, ms)| {
                let print = |hour: i64| Timestamp(from + hour * 3_600_000 + ms).to_string();
                json!([print(a), print(b)])
            }
        ),
    ];
    let filter = prop::option::weighted(0.3, (any::<bool>(), subsequence(TEXTS, 1..4)));
    (metrics, field, time, range, filter, select(ZONES), any::<[bool; 2]>()).prop_map(
        |(metrics, field, time, range, filter, timezone, [grouped, total])| {
            let mut dimensions: Vec<&str> = Vec::new();
            if !field.is_empty() && grouped {
                dimensions.push(field);
            }
            if !time.is_empty() {
                dimensions.push(time);
            }
            let mut query = json!({"metrics": metrics, "date_range": range, "timezone": timezone,
                "dimensions": dimensions, "include": {"total": total}});
            match (filter, field) {
                (None, _) | (_, "") => {}
                (Some((is, _)), "link") => {
                    query["filters"] =
                        json!([if is { "is" } else { "is_not" }, field, ["lnk_0000000000007"]]);
                }
                (Some(_), "partner") => {}
                (Some((is, texts)), field) => {
                    query["filters"] = json!([if is { "is" } else { "contains" }, field, texts]);
                }
            }
            serde_json::from_value(query).unwrap()
        },
    )
}

/// What happens to the cells beside the clicks that come.
#[derive(Debug, Clone, Copy)]
enum Deed {
    /// A step of so many sequences is folded.
    Fold(u64),
    /// A step is folded, and the crash comes before it counts.
    Crash(u64),
    /// From this step on, so many are merged.
    Merge(usize, usize),
    /// A restart finds cells lost.
    Loss,
    /// Clicks of early sequences come again: what was folded from there on is forgotten.
    Forget(u64),
    Restart,
}

/// The first of them folds.
fn deeds() -> impl Strategy<Value = Vec<Deed>> {
    let length = 1..40_u64;
    let deed = prop_oneof![
        6 => length.clone().prop_map(Deed::Fold),
        2 => length.clone().prop_map(Deed::Crash),
        3 => (0..3_usize, 2..4_usize).prop_map(|(first, steps)| Deed::Merge(first, steps)),
        1 => Just(Deed::Loss),
        1 => length.clone().prop_map(Deed::Forget),
        1 => Just(Deed::Restart),
    ];
    (length, prop::collection::vec(deed, 0..7))
        .prop_map(|(length, more)| [vec![Deed::Fold(length)], more].concat())
}

async fn act(client: &Client, deed: Deed, name: u64, stored: u64) {
    let chain = cells::steps(client, stored).await.unwrap();
    let folded = cells::end(&chain);
    match deed {
        Deed::Fold(length) if folded < stored => {
            cells::fold(client, name, folded, (folded + length).min(stored)).await.unwrap();
        }
        Deed::Crash(length) if folded < stored => {
            cells::fold(client, name, folded, (folded + length).min(stored)).await.unwrap();
            cells::forget_beyond(client, folded).await.unwrap();
        }
        Deed::Merge(first, steps) => {
            if let Some(run) = chain.get(first..first + steps) {
                cells::merge(client, name, run).await.unwrap();
                let after = cells::steps(client, stored).await.unwrap();
                assert_eq!((after.len(), cells::end(&after)), (chain.len() + 1 - steps, folded));
            }
        }
        Deed::Loss => {
            let sql = "ALTER TABLE click_cells DELETE WHERE step = (SELECT max(step) FROM click_steps) \
                       AND dimension = 'city' AND grain = '1d' SETTINGS mutations_sync = 2";
            client.query_raw(sql).execute().await.unwrap();
            cells::settle(client, stored).await.unwrap();
        }
        Deed::Forget(upto) => cells::forget_beyond(client, upto).await.unwrap(),
        Deed::Restart => {
            assert_eq!(cells::settle(client, stored).await.unwrap(), folded);
        }
        Deed::Fold(_) | Deed::Crash(_) => {}
    }
}

#[test]
fn cells_answer_as_memory_and_as_single_clicks_do() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let server = Server::start();
    let client = runtime.block_on(server.migrated());
    let config = ProptestConfig { cases: 20, failure_persistence: None, ..ProptestConfig::default() };
    let partner = prop::option::weighted(0.2, Just(PartnerId(7)));
    let facts = (entries(), prop::collection::vec((query(), partner), 4), deeds(), 0..60_usize);
    let (cases, folded) = (std::cell::Cell::new(0_u32), std::cell::Cell::new(0_u64));
    let result = TestRunner::new(config).run(&facts, |(entries, queries, deeds, cut)| {
        let case = cases.replace(cases.get() + 1);
        let workspace = WorkspaceId(2_000_000 + case);
        let entries = of_workspace(entries, workspace);
        let cut = cut.min(entries.len());
        runtime.block_on(async {
            store(&client, &entries).await;
            // Every case's sequences begin at 1.
            cells::forget_beyond(&client, 0).await.unwrap();
            for (number, deed) in deeds.into_iter().enumerate() {
                act(&client, deed, u64::from(case) * 100 + number as u64 + 1, entries.len() as u64).await;
            }
            folded.set(folded.get() + cells::end(&cells::steps(&client, u64::MAX).await.unwrap()));
            for (query, partner) in queries {
                let Ok(plan) = Plan::build(&query, workspace, NOW, partner) else { continue };
                let asker = Asker { partner, ..ANYBODY };
                let compared = same(&client, &query, &Arc::new(plan), &entries, asker, cut).await;
                compared.map_err(|error| TestCaseError::fail(format!("{error}\n{query:?}")))?;
            }
            Ok(())
        })
    });
    if let Err(error) = result {
        panic!("{error}");
    }
    assert!(folded.get() > 0, "nothing was folded");
}

/// On more days than are left aside one by one, and on fewer.
#[tokio::test]
async fn late_verdicts_are_heeded_on_any_number_of_days() {
    let server = Server::start();
    let client = server.migrated().await;
    let ask = json!({"metrics": ["visitors", "clicks"], "date_range": "all", "dimensions": ["time:month"],
        "include": {"total": true}});
    let query: Query = serde_json::from_value(ask).unwrap();
    for (days, judged_days) in [(40_u32, 20_u32), (40, 40)] {
        cells::forget_beyond(&client, 0).await.unwrap();
        let workspace = WorkspaceId(days + judged_days);
        let mut all: Vec<Entry> = (0..u64::from(days))
            .map(|day| click(u64::from(judged_days) << 8 | day, DAY - day as i64 * DAY_MS, day + 1, "AA"))
            .collect();
        for day in 0..judged_days as usize {
            let Entry::Click(click) = &all[day] else { unreachable!("the first are clicks") };
            let moved = [(Verdict::Counted, -1), (Verdict::Blocked, 1)]
                .map(|(verdict, by)| judged(click, verdict, by));
            all.extend(moved);
        }
        let all = of_workspace(all, workspace);
        store(&client, &all).await;
        cells::fold(&client, u64::from(workspace.0), 0, all.len() as u64).await.unwrap();
        let plan = Arc::new(Plan::build(&query, workspace, NOW, None).unwrap());
        same(&client, &query, &plan, &all, ANYBODY, days as usize + 2).await.unwrap();
        let answered = execute(&client, &plan, all.len() as u64).await.unwrap();
        let left = i64::from(days - judged_days);
        assert_eq!(answered.totals.unwrap(), [json!(left), json!(left)]);
    }
}

/// 2026-10-26T00:00Z.
const DAY: i64 = 1_792_972_800_000;

fn click(number: u64, at: i64, visitor: u64, country: &'static str) -> Entry {
    Entry::Click(Box::new(Click {
        id: ClickId::new(at, NODE, 0, number),
        at: Timestamp(at),
        verdict: Verdict::Counted,
        bot: false,
        flags: 0,
        status: 302,
        latency_us: 1,
        workspace: WorkspaceId(1),
        link: LinkId(7),
        program: ProgramId::NONE,
        partner: PartnerId::NONE,
        visitor,
        network: 0,
        asn: 0,
        dims: Dims { country: country.into(), ..Dims::default() },
        slug: "a".into(),
        evidence: "".into(),
    }))
}

/// Three days of countries: in each so many visitors a day, the same every day or others.
const COUNTRIES: &[(&str, u64, bool)] = &[
    ("AA", 12_000, true), // more in one cell than a set holds
    ("BB", 3_000, true),  // 9,000: exact, though no cell's few are read
    ("CC", 6_000, true),  // 18,000: more than a set holds, as the registers tell
    ("DD", 4_000, true),  // 12,000: more, which the registers leave open
    ("EE", 2_500, false), // 2,500, three times
    ("FF", 500, true),    // 1,500
];

/// The visitor that ClickHouse's `intHash64` makes this hash of: each of its steps undone.
const fn visitor_of(hash: u64) -> u64 {
    let mut x = hash ^ hash >> 33;
    x = x.wrapping_mul(0x9cb4_b2f8_1293_37db);
    x ^= x >> 33;
    x = x.wrapping_mul(0x4f74_430c_22a5_4005);
    x ^ x >> 33 ^ 0x4cf2_d2ba_ae6d_a887
}

#[tokio::test]
async fn visitors_are_as_exact_as_without_cells() {
    let server = Server::start();
    let client = server.migrated().await;
    let mut all = Vec::new();
    // Each raises a register of its own to 17 at least, which is more than cells tell in unary.
    for n in 0..12_000_u64 {
        let hash = n << 50 | 1 << (16 + n % 8);
        all.push(click(n, DAY + (n * 1_000) as i64, visitor_of(hash), "GG"));
    }
    for day in 0..3_u64 {
        for (index, (country, visitors, others)) in COUNTRIES.iter().enumerate() {
            for n in 0..*visitors {
                let visitor = (index as u64) << 40 | if *others { day << 32 } else { 0 } | n;
                // Over the whole day, so that hours have few, several and many.
                let at = DAY + day as i64 * DAY_MS + (n * 86_399_000 / visitors) as i64;
                all.push(click(all.len() as u64, at, visitor.wrapping_mul(0x9e37_79b9_7f4a_7c15), country));
            }
        }
    }
    store(&client, &all).await;
    let stored = all.len() as u64;
    // Steps end within days, and some clicks are in none.
    for (step, (after, upto)) in
        [(0, 40_000), (40_000, 61_000), (61_000, stored - 2_000)].into_iter().enumerate()
    {
        cells::fold(&client, step as u64 + 1, after, upto).await.unwrap();
    }
    let plan = |query: Value| {
        let query: Query = serde_json::from_value(query).unwrap();
        let plan = Arc::new(Plan::build(&query, WorkspaceId(1), NOW, None).unwrap());
        (query, plan)
    };
    let asked = [
        (json!(["country"]), "UTC"),
        (json!(["time:day"]), "UTC"),
        (json!(["time:day"]), "Europe/Berlin"),
        (json!(["time:day"]), "Asia/Kathmandu"),
        (json!(["time:hour"]), "Asia/Kolkata"),
        (json!(["time:week"]), "UTC"),
        (json!([]), "America/New_York"),
    ];
    for merged in [false, true] {
        if merged {
            let steps = cells::steps(&client, stored).await.unwrap();
            cells::merge(&client, 9, &steps).await.unwrap();
            assert_eq!(cells::settle(&client, stored).await.unwrap(), cells::end(&steps));
            let left: u64 = client.query("SELECT uniq(step) FROM click_cells").fetch_one().await.unwrap();
            assert_eq!(left, 1, "cells of merged steps are let go of");
        }
        for (dimensions, zone) in &asked {
            let ask = json!({"metrics": ["visitors", "clicks"], "date_range": "all", "dimensions": dimensions,
                "timezone": zone, "include": {"total": true}});
            let (query, plan) = plan(ask);
            same(&client, &query, &plan, &all, ANYBODY, all.len() - 1_000).await.unwrap();
        }
    }
    let (_, by_country) =
        plan(json!({"metrics": ["visitors"], "date_range": "all", "dimensions": ["country"],
        "order_by": [["country", "asc"]]}));
    let answered = execute(&client, &by_country, stored).await.unwrap();
    let count = |row: usize| answered.rows[row][1].as_u64().unwrap();
    assert_eq!([count(1), count(4), count(5)], [9_000, 2_500, 1_500], "exact");
    for (row, truth) in [(0, 36_000.0), (2, 18_000.0), (3, 12_000.0)] {
        let found = count(row) as f64;
        assert!(found as usize > VISITORS_EXACT_MAX && (found / truth - 1.0).abs() < 0.04, "{row}: {found}");
    }
    // Not everything was read click by click.
    let (_, total) = plan(json!({"metrics": ["clicks"], "date_range": "all"}));
    let read = execute(&client, &total, stored).await.unwrap();
    let single = execute(&client, &total.as_ref().clone().click_by_click(), stored).await.unwrap();
    assert_eq!(read.rows, single.rows);
    assert!(read.rows_read < single.rows_read, "{} of {}", read.rows_read, single.rows_read);
    // A link's clicks are found without reading everybody's.
    let (_, of_another) = plan(json!({"metrics": ["visitors"], "date_range": "all", "dimensions": ["city"],
        "filters": ["is", "link", ["lnk_0000000000009"]]}));
    let read = execute(&client, &of_another, stored).await.unwrap();
    assert!(read.rows.is_empty() && read.rows_read < stored / 2, "{}", read.rows_read);
    // A subscription goes on from cells as from clicks.
    let mut states = RowStates::new(Arc::clone(&by_country));
    states.load(snapshot(&client, &by_country, stored).await.unwrap());
    assert_eq!(states.rows(), answered.rows);
}
