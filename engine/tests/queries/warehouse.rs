//! A real ClickHouse against states in memory: the same facts, the same query, the same cells.

use std::sync::Arc;

use clickhouse::Client;
use proptest::prelude::*;
use proptest::sample::select;
use proptest::test_runner::{TestCaseError, TestRunner};
use serde_json::{Value, json};
use weir_engine::links::allocation::{RESULTS_WINDOW_MS, reallocate};
use weir_engine::links::{LinkTable, TrackedLink};
use weir_engine::query::VISITORS_EXACT_MAX;
use weir_engine::query::execute::{QueryError, execute, snapshot};
use weir_engine::query::fold::RowStates;
use weir_engine::query::link_clicks::link_clicks;
use weir_engine::query::plan::Plan;
use weir_engine::warehouse::block::ClickBlock;
use weir_engine::warehouse::migrate;
use weir_engine::warehouse::rows::{EffectRow, EventRow};
use weir_schemas::click::{Click, Dims, Verdict};
use weir_schemas::effect::{Change, Effect};
use weir_schemas::ids::{ClickId, ConversionId, CustomerId, LinkId, PartnerId, ProgramId, WorkspaceId};
use weir_schemas::migrations::ALL;
use weir_schemas::query::Query;
use weir_schemas::time::Timestamp;

use crate::exchange::rates;
use crate::facts::{Entry, entries, query};
use crate::folding::{NOW, Subscriber, add, of_partner};
use crate::server::Server;
use crate::twin;

pub(crate) const NODE: u16 = 1;

/// Moves entries to a workspace of their own and numbers them.
pub(crate) fn of_workspace(mut entries: Vec<Entry>, workspace: WorkspaceId) -> Vec<Entry> {
    for (index, entry) in entries.iter_mut().enumerate() {
        match entry {
            Entry::Click(click) => click.workspace = workspace,
            Entry::Event(event) => event.told.workspace = workspace,
            Entry::Effect(effect) => (effect.workspace, effect.seq) = (workspace, index as u64 + 1),
        }
    }
    entries
}

pub(crate) async fn store(client: &Client, entries: &[Entry]) {
    let mut clicks = ClickBlock::default();
    let mut effects = client.insert::<EffectRow<'_>>("effects").await.unwrap();
    let mut events = client.insert::<EventRow<'_>>("events").await.unwrap();
    for (index, entry) in entries.iter().enumerate() {
        match entry {
            Entry::Click(click) => clicks.push(NODE, index as u64 + 1, &click.parts()),
            Entry::Event(event) => events.write(&EventRow::new(NODE, index as u64 + 1, event)).await.unwrap(),
            Entry::Effect(effect) => effects.write(&EffectRow::new(NODE, effect)).await.unwrap(),
        }
    }
    clicks.insert(client).await.unwrap();
    events.end().await.unwrap();
    effects.end().await.unwrap();
}

fn folded(plan: &Arc<Plan>, entries: &[Entry]) -> RowStates {
    let mut states = RowStates::new(Arc::clone(plan));
    entries.iter().for_each(|entry| add(&mut states, entry));
    states
}

/// Rows as of a sequence, in memory: added one by one, or loaded where something measured was taken back.
async fn remembered(
    client: &Client,
    plan: &Arc<Plan>,
    states: RowStates,
    entries: &[Entry],
) -> Result<RowStates, TestCaseError> {
    if !states.is_stale() {
        return Ok(states);
    }
    let loaded = snapshot(client, plan, entries.len() as u64).await;
    let mut states = RowStates::new(Arc::clone(plan));
    states.load(loaded.map_err(|error| TestCaseError::fail(error.to_string()))?);
    prop_assert!(!states.is_stale());
    Ok(states)
}

type Told = (Vec<Vec<Value>>, Option<Vec<Value>>);

/// Who asks, and whether amounts may be converted: the twin knows no exchange rates.
#[derive(Clone, Copy)]
pub(crate) struct Asker {
    pub(crate) partner: Option<PartnerId>,
    pub(crate) converts: bool,
}

pub(crate) const ANYBODY: Asker = Asker { partner: None, converts: false };

impl Asker {
    /// What the twin answers; nothing where it cannot.
    fn by_twin(self, query: &Query, entries: &[Entry]) -> Option<Told> {
        if self.converts {
            return None;
        }
        let (rows, totals) = twin::answer(query, &of_partner(entries, self.partner)).ok()?;
        Some((rows, query.include.total.then_some(totals)))
    }
}

pub(crate) async fn same(
    client: &Client,
    query: &Query,
    plan: &Arc<Plan>,
    entries: &[Entry],
    asker: Asker,
    cut: usize,
) -> Result<(), TestCaseError> {
    for upto in [entries.len(), cut] {
        let states = folded(plan, &entries[..upto]);
        let by_twin = if states.is_stale() { asker.by_twin(query, &entries[..upto]) } else { None };
        let memory = remembered(client, plan, states, &entries[..upto]).await?;
        match execute(client, plan, upto as u64).await {
            Ok(answered) => {
                prop_assert_eq!(memory.refusal(), None);
                prop_assert_eq!(&answered.rows, &memory.rows(), "up to {}", upto);
                prop_assert_eq!(&answered.totals, &memory.totals(), "up to {}", upto);
                if let Some((rows, totals)) = by_twin {
                    prop_assert_eq!(answered.rows, rows, "up to {}", upto);
                    prop_assert_eq!(answered.totals, totals, "up to {}", upto);
                }
            }
            Err(QueryError::Refused(problem)) => prop_assert_eq!(Some(*problem), memory.refusal()),
            Err(error) => return Err(TestCaseError::fail(error.to_string())),
        }
    }
    // A subscription: the warehouse's states as of the cut, then entry by entry.
    let mut states = RowStates::new(Arc::clone(plan));
    states.load(snapshot(client, plan, cut as u64).await.map_err(|e| TestCaseError::fail(e.to_string()))?);
    let mut subscriber = Subscriber::new(query, states.take_snapshot());
    for entry in &entries[cut..] {
        add(&mut states, entry);
        subscriber.apply(states.take_changes());
    }
    if states.is_stale() {
        // The subscription begins anew, with what was compared above.
        return Ok(());
    }
    let whole = remembered(client, plan, folded(plan, entries), entries).await?;
    prop_assert_eq!(states.refusal(), whole.refusal());
    prop_assert_eq!(states.rows(), whole.rows());
    prop_assert_eq!(states.totals(), whole.totals());
    subscriber.holds(&whole.rows());
    Ok(())
}

#[test]
fn the_warehouse_answers_as_memory_does() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let server = Server::start();
    let client = runtime.block_on(server.migrated());
    let config = ProptestConfig { cases: 60, failure_persistence: None, ..ProptestConfig::default() };
    let partner = prop::option::weighted(0.2, Just(PartnerId(7)));
    let into = prop::option::weighted(0.3, select(&["USD", "EUR", "JPY"][..]));
    let rates = prop::option::of(rates()).prop_map(|table| table.map(Arc::new));
    let facts = (entries(), prop::collection::vec((query(), partner, into, rates), 4), 0..60_usize);
    let cases = std::cell::Cell::new(0);
    let result = TestRunner::new(config).run(&facts, |(entries, queries, cut)| {
        let case: u32 = cases.replace(cases.get() + 1);
        // Other tenants' rows have lower and higher numbers.
        let workspace = WorkspaceId(if case.is_multiple_of(2) { 1_000_000 + case } else { 1_000_000 - case });
        let entries = of_workspace(entries, workspace);
        runtime.block_on(async {
            store(&client, &entries).await;
            for (mut query, partner, into, rates) in queries {
                query.currency = into.map(|code| code.parse().unwrap());
                let Ok(plan) = Plan::build(&query, workspace, NOW, partner) else { continue };
                let asker = Asker { partner, converts: query.currency.is_some() || rates.is_some() };
                let plan = plan.with_rates(rates);
                let cut = cut.min(entries.len());
                let compared = same(&client, &query, &Arc::new(plan), &entries, asker, cut).await;
                compared.map_err(|error| TestCaseError::fail(format!("{error}\n{query:?}")))?;
            }
            Ok(())
        })
    });
    if let Err(error) = result {
        panic!("{error}");
    }
}

fn click(number: u64, visitor: u64, latency_us: u32, city: &'static str) -> Entry {
    let at = Timestamp(1_792_900_000_000 + number as i64);
    Entry::Click(Box::new(Click {
        id: ClickId::new(at.0, NODE, 0, number),
        at,
        verdict: Verdict::Counted,
        bot: false,
        flags: 0,
        status: 302,
        latency_us,
        workspace: WorkspaceId(1),
        link: LinkId(7),
        program: ProgramId::NONE,
        partner: PartnerId::NONE,
        visitor,
        network: 0,
        asn: 0,
        dims: Dims { city: city.into(), ..Dims::default() },
        slug: "a".into(),
        evidence: "".into(),
    }))
}

fn plan(query: Value) -> (Query, Arc<Plan>) {
    let query: Query = serde_json::from_value(query).unwrap();
    let plan = Plan::build(&query, WorkspaceId(1), NOW, None).unwrap();
    (query, Arc::new(plan))
}

#[tokio::test]
async fn sketches_and_histograms_are_the_same_on_both_sides() {
    let server = Server::start();
    let client = server.migrated().await;
    let spread = |n: u64| n.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let many = VISITORS_EXACT_MAX as u64 + 4_000;
    let mut all: Vec<Entry> =
        (0..many).map(|n| click(n, spread(n), (spread(n) >> 32 >> (n % 32)) as u32, "Berlin")).collect();
    all.extend((0..300).map(|n| click(many + n, spread(n / 2), n as u32, "Bonn")));
    store(&client, &all).await;
    let metrics = ["visitors", "latency_p50", "latency_p99", "clicks"];
    let ask =
        json!({"metrics": metrics, "date_range": "all", "dimensions": ["city"], "include": {"total": true}});
    let (query, by_city) = plan(ask);
    // Cut where Berlin's visitors are still a set, and where they are a sketch already.
    for cut in [5_000, many as usize - 10] {
        same(&client, &query, &by_city, &all, ANYBODY, cut).await.unwrap();
    }
    let answered = execute(&client, &by_city, all.len() as u64).await.unwrap();
    let berlin = answered.rows[0][1].as_u64().unwrap();
    assert_ne!(berlin, many, "beyond the bound it is an estimate");
    assert!((berlin as f64 / many as f64 - 1.0).abs() < 0.04, "{berlin}");
    assert_eq!(answered.rows[1][1], 150, "below the bound it is exact");
    assert_eq!(answered.estimates["visitors"]["exact_up_to"], VISITORS_EXACT_MAX);
    assert!(answered.estimates.contains_key("latency_p99"));
}

#[tokio::test]
async fn patterns_comparisons_and_bad_patterns() {
    let server = Server::start();
    let client = server.migrated().await;
    let all: Vec<Entry> = ["Köln", "Bonn", "BERLIN", "it's"]
        .into_iter()
        .zip(0..)
        .map(|(city, n)| click(n, n, 1, city))
        .collect();
    store(&client, &all).await;
    let cities = async |filter: Value| {
        let ask = json!({"metrics": ["clicks"], "date_range": "all", "dimensions": ["city"],
            "order_by": [["city", "asc"]], "filters": filter});
        let (_, plan) = plan(ask);
        let rows = execute(&client, &plan, 4).await.map_err(|error| error.problem())?.rows;
        Ok::<_, weir_schemas::problem::Problem>(
            rows.into_iter().map(|row| row[0].clone()).collect::<Vec<_>>(),
        )
    };
    assert_eq!(cities(json!(["matches", "city", ["^B", "'s$"]])).await.unwrap(), ["BERLIN", "Bonn", "it's"]);
    assert_eq!(cities(json!(["contains", "city", ["KÖ"]])).await.unwrap(), ["Köln"]);
    let problem = cities(json!(["matches", "city", ["("]])).await.unwrap_err();
    assert_eq!((problem.status, problem.errors[0].field.as_str()), (422, "filters"));

    let day = json!({"metrics": ["clicks"], "date_range": ["2026-10-26", "2026-10-27"],
        "include": {"total": true, "compare": "previous_period"}});
    let answered = execute(&client, &plan(day).1, 4).await.unwrap();
    assert_eq!((answered.rows, answered.totals), (vec![vec![json!(0)]], Some(vec![json!(0)])));
    let before = answered.comparison.unwrap();
    assert_eq!((before.rows, before.totals.unwrap()["clicks"].clone()), (vec![vec![json!(4)]], json!(4)));
    assert!(answered.rows_read >= 4, "{}", answered.rows_read);
}

#[tokio::test]
async fn links_have_their_counted_clicks_as_of_a_sequence() {
    let server = Server::start();
    let client = server.migrated().await;
    let mut all: Vec<Entry> = (0..5).map(|n| click(n, n, 1, "Bonn")).collect();
    let Entry::Click(duplicate) = &mut all[1] else { unreachable!() };
    duplicate.verdict = Verdict::Duplicate;
    store(&client, &all).await;
    let ask = async |workspace, upto| {
        link_clicks(&client, WorkspaceId(workspace), &[LinkId(9), LinkId(7)], upto).await.unwrap()
    };
    assert_eq!(ask(1, 5).await, [(LinkId(7), 4)].into());
    assert_eq!(ask(1, 3).await, [(LinkId(7), 2)].into());
    assert_eq!(ask(2, 5).await, [].into());
    assert!(link_clicks(&client, WorkspaceId(1), &[], 5).await.unwrap().is_empty());
}

#[tokio::test]
async fn splits_follow_what_is_stored_of_their_variants() {
    let server = Server::start();
    let client = server.migrated().await;
    let spec = json!({"slug": "a", "destination": "https://a.example/", "allocation": "bandit", "variants": [
        {"name": "a", "destination": "https://a.example/", "weight": 1},
        {"name": "b", "destination": "https://b.example/", "weight": 1},
        {"name": "paused", "destination": "https://c.example/", "weight": 0}]});
    let link =
        TrackedLink::new(LinkId(7), WorkspaceId(1), Timestamp(0), serde_json::from_value(spec).unwrap());
    let table = LinkTable::default();
    table.put(Arc::new(link));

    let mut all = Vec::new();
    for n in 0..600u64 {
        let Entry::Click(mut click) = click(n, n, 1, "Bonn") else { unreachable!() };
        click.dims.variant = if n % 2 == 0 { "a" } else { "b" }.into();
        // Of another link, not counted, too old: three that must not matter.
        match n {
            596 => click.link = LinkId(8),
            597 => click.verdict = Verdict::Bot,
            598 => click.at = Timestamp(click.at.0 - RESULTS_WINDOW_MS),
            _ => {}
        }
        if n % 6 == 1 {
            all.push(Entry::Effect(Box::new(sale(&click, all.len() as u64 + 2, 1))));
        }
        all.push(Entry::Click(click));
    }
    // A sale that is given back leaves nothing.
    let Entry::Click(last) = all.last().unwrap() else { unreachable!() };
    let last = last.clone();
    for change in [1, -1] {
        all.push(Entry::Effect(Box::new(sale(&last, all.len() as u64 + 1, change))));
    }
    // A click of the first variant that a late verdict took away, and one that it gave back.
    let of = |at: usize| match &all[at] {
        Entry::Click(click) => click.clone(),
        _ => unreachable!("the first two are clicks of either variant, each with its sale"),
    };
    let (taken, given_back) = (of(0), of(2));
    for (click, hits) in [(&taken, -1), (&given_back, -1), (&given_back, 1)] {
        let moved = Effect {
            verdict: Some(Verdict::Counted),
            change: Change { hits, ..Change::default() },
            ..sale(click, all.len() as u64 + 1, 0)
        };
        all.push(Entry::Effect(Box::new(moved)));
    }
    store(&client, &all).await;

    let at = Timestamp(1_792_900_001_000);
    let allocations = table.allocations();
    assert_eq!(reallocate(allocations, &client, at, all.len() as u64).await.unwrap().links, 1);
    let allocated = allocations.of(LinkId(7)).unwrap();
    let seen: Vec<_> = allocated.decisions[0]
        .variants
        .iter()
        .map(|share| (share.name.as_str(), share.clicks, share.conversions))
        .collect();
    assert_eq!(seen, [("a", 297, 0), ("b", 299, 100), ("paused", 0, 0)]);
    assert_eq!((&*allocated.weights, allocated.decisions[0].as_of), (&[500, 9_500, 0][..], all.len() as u64));
    let revenue: Vec<u64> = allocated.decisions[0].variants.iter().map(|share| share.revenue).collect();
    assert_eq!(revenue, [0, 150_000, 0], "less what went back");
    // As of an earlier sequence less was known.
    let early = LinkTable::default();
    early.put(table.find("h", "a").unwrap());
    reallocate(early.allocations(), &client, at, 10).await.unwrap();
    assert!(early.allocations().of(LinkId(7)).unwrap().decisions[0].variants[0].clicks < 10);
}

fn sale(click: &Click<'static>, seq: u64, change: i64) -> Effect {
    Effect {
        seq,
        sub: 0,
        workspace: WorkspaceId(1),
        at: click.at,
        event: "sale".to_owned(),
        conversion: ConversionId(seq),
        order_id: String::new(),
        customer: CustomerId(0),
        provider: String::new(),
        currency: "EUR".parse().unwrap(),
        click: Some(click.id),
        link: click.link,
        program: ProgramId::NONE,
        partner: PartnerId::NONE,
        visitor: click.visitor,
        asn: click.asn,
        verdict: None,
        dims: click.dims.clone(),
        properties: Default::default(),
        change: Change {
            conversions: change,
            revenue: change * 2_000,
            refunds: change * 500,
            ..Change::default()
        },
    }
}

#[tokio::test]
async fn the_schema_comes_up_once() {
    let server = Server::start();
    let client = server.client();
    let before = migrate::status(&client).await.unwrap();
    assert!(before.iter().all(|standing| standing.applied_at.is_none()), "{before:?}");
    let applied = migrate::up(&client).await.unwrap();
    assert_eq!(applied.len(), ALL.len());
    assert_eq!(migrate::up(&client).await.unwrap(), []);
    let after = migrate::status(&client).await.unwrap();
    assert!(after.iter().all(|standing| standing.applied_at.is_some()), "{after:?}");
}

/// Every column of a block lands in its own, whatever the width of its keys.
#[tokio::test]
async fn a_block_of_clicks_arrives_as_it_was() {
    const CLICKS: u64 = 70_000;
    let server = Server::start();
    let client = server.migrated().await;
    let at = Timestamp(1_792_900_000_123);
    let click = |number: u64| Click {
        id: ClickId(u128::MAX - u128::from(number)),
        at,
        verdict: if number == 7 { Verdict::Bot } else { Verdict::Counted },
        bot: number == 7,
        flags: 5,
        status: 307,
        latency_us: 11,
        workspace: WorkspaceId(12),
        link: LinkId(13),
        program: ProgramId(14),
        partner: PartnerId(15),
        visitor: u64::MAX - number,
        network: 16,
        asn: 17,
        dims: Dims {
            domain: format!("host{}.example", number % 300).into(),
            variant: "variant".into(),
            country: "DE".into(),
            region: "Bayern".into(),
            city: "München".into(),
            continent: "EU".into(),
            device: "mobile".into(),
            browser: "browser".into(),
            os: "os".into(),
            referrer: "referrer".repeat(40).into(),
            medium: "medium".into(),
            utm_source: "source".into(),
            utm_medium: "utm medium".into(),
            utm_campaign: format!("campaign {number}").into(),
            utm_term: "term".into(),
            utm_content: "content".into(),
            language: if number.is_multiple_of(2) { "" } else { "de" }.into(),
            signal: "hosting".into(),
        },
        slug: "slug".into(),
        evidence: "AS1".into(),
    };
    let mut block = ClickBlock::default();
    for number in 1..=CLICKS {
        block.push(NODE, number, &click(number).parts());
    }
    block.insert(&client).await.unwrap();

    let right = "SELECT countIf(utm_campaign = concat('campaign ', toString(seq)) \
        AND domain = concat('host', toString(seq % 300), '.example') \
        AND language = if(seq % 2 = 0, '', 'de')) FROM clicks";
    assert_eq!(client.query(right).fetch_one::<u64>().await.unwrap(), CLICKS);
    let one =
        "SELECT * REPLACE (toString(id) AS id, toUnixTimestamp64Milli(at) AS at) FROM clicks WHERE seq = 7";
    let client = client.with_setting("output_format_json_quote_64bit_integers", "0");
    let text = client.query(one).fetch_bytes("JSONEachRow").unwrap().collect().await.unwrap();
    let stored: Value = serde_json::from_slice(&text).unwrap();
    let expected = json!({
        "node": NODE, "seq": 7, "id": (u128::MAX - 7).to_string(), "at": at.0, "verdict": "bot", "bot": true,
        "flags": 5, "status": 307, "latency_us": 11, "workspace": 12, "link": 13, "program": 14, "partner": 15,
        "visitor": u64::MAX - 7, "network": 16, "asn": 17, "domain": "host7.example", "variant": "variant",
        "country": "DE", "region": "Bayern", "city": "München", "continent": "EU", "device": "mobile",
        "browser": "browser", "os": "os", "referrer": "referrer".repeat(40), "medium": "medium",
        "utm_source": "source", "utm_medium": "utm medium", "utm_campaign": "campaign 7", "utm_term": "term",
        "utm_content": "content", "language": "de", "slug": "slug",
        "signal": "hosting", "evidence": "AS1",
    });
    assert_eq!(stored, expected);
}
