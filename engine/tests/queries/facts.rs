//! Random facts and random queries over a small vocabulary, so that groups and filters meet. Times lie around
//! changes of daylight saving in several zones.

use std::collections::BTreeMap;

use proptest::prelude::*;
use proptest::sample::{select, subsequence};
use serde_json::{Value, json};
use weir_schemas::click::{Click, Dims, Verdict};
use weir_schemas::effect::{Change, Effect};
use weir_schemas::event::{Event, EventKind, Pointer, Told};
use weir_schemas::ids::{
    ClickId, ConversionId, CustomerId, LinkId, PartnerId, ProgramId, SiteId, WorkspaceId,
};
use weir_schemas::money::Currency;
use weir_schemas::query::Query;
use weir_schemas::time::Timestamp;

/// One entry of the journal, as a follower sees it.
#[derive(Debug, Clone)]
pub(crate) enum Entry {
    Click(Box<Click<'static>>),
    Event(Box<Event<'static>>),
    Effect(Box<Effect>),
}

pub(crate) const WORKSPACE: WorkspaceId = WorkspaceId(1);

/// Texts that a careless statement would stumble over are among them.
pub(crate) const TEXTS: &[&str] =
    &["", "DE", "de", "AT", "it's", "a\\b", "tab\tnew\nline", "Größe", "{p0:String} ? '; --", "x"];
pub(crate) const ZONES: &[&str] =
    &["UTC", "Europe/Berlin", "America/New_York", "Asia/Kolkata", "Australia/Lord_Howe", "Africa/Cairo"];
const EVENTS: &[&str] = &["lead", "sale", "refund"];
const BROWSER_EVENTS: &[&str] = &["sale", "signup"];
/// Names and values that a careless statement would stumble over are among these too.
const PROPERTIES: &[&str] = &["plan", "it's", "a b"];
const NUMBERED: &[&str] = &["price", "value"];
/// Some of them are none.
const NUMBERS: &[&str] = &[
    "12.5",
    "12.5",
    "-3",
    "0",
    "-0.0000019",
    "9999999999.9999999",
    "abc",
    "1e3",
    "12345678901",
    "7.",
    "-",
    "+1",
];
/// 2026-10-24T20:00Z and 2026-04-23T18:00Z: Berlin's autumn and Cairo's spring follow within a day.
pub(crate) const TIMES: &[i64] = &[1_792_872_000_000, 1_776_967_200_000];

fn at() -> impl Strategy<Value = Timestamp> {
    (select(TIMES), 0..40_i64, 0..3_600_000_i64)
        .prop_map(|(from, hour, ms)| Timestamp(from + hour * 3_600_000 + ms))
}

fn text() -> impl Strategy<Value = std::borrow::Cow<'static, str>> {
    select(TEXTS).prop_map(std::borrow::Cow::Borrowed)
}

fn dims() -> impl Strategy<Value = Dims<'static>> {
    let signal = select(&["", "", "hosting", "manual"][..]);
    (text(), text(), text(), select(&["mobile", "desktop"][..]), signal).prop_map(
        |(country, city, utm_source, device, signal)| Dims {
            country,
            city,
            utm_source,
            device: device.into(),
            signal: signal.into(),
            domain: "go.example".into(),
            ..Dims::default()
        },
    )
}

fn id() -> impl Strategy<Value = u64> {
    select(&[0_u64, 7, 1 << 62][..])
}

fn verdict() -> impl Strategy<Value = Verdict> {
    prop_oneof![5 => Just(Verdict::Counted), 3 => select(Verdict::ALL)]
}

fn click() -> impl Strategy<Value = Entry> {
    let numbers =
        (0..6_u64, prop_oneof![0..200_u32, 0..u32::MAX], select(&[0_u32, 64_500][..]), any::<u64>());
    (at(), verdict(), any::<bool>(), id(), id(), numbers, dims()).prop_map(
        |(at, verdict, bot, link, partner, (visitor, latency_us, asn, number), dims)| {
            Entry::Click(Box::new(Click {
                id: ClickId::new(at.0, 1, 0, number),
                at,
                verdict,
                bot: bot || verdict == Verdict::Bot,
                flags: 0,
                status: 302,
                latency_us,
                workspace: WORKSPACE,
                link: LinkId(link),
                program: ProgramId(link / 7),
                partner: PartnerId(partner),
                visitor,
                network: visitor,
                asn,
                dims,
                slug: "spring".into(),
                evidence: "".into(),
            }))
        },
    )
}

/// Sorted, each name once, as both records keep them.
fn properties() -> impl Strategy<Value = Vec<(&'static str, &'static str)>> {
    let some = prop::collection::btree_map(select(PROPERTIES), select(&TEXTS[1..]), 0..3);
    let numbers = prop::collection::btree_map(select(NUMBERED), select(NUMBERS), 0..3);
    (some, numbers).prop_map(|(some, numbers)| {
        some.into_iter().chain(numbers).collect::<BTreeMap<_, _>>().into_iter().collect()
    })
}

fn event() -> impl Strategy<Value = Entry> {
    let numbers = (0..6_u64, select(&[0_u32, 64_500][..]), any::<u32>(), any::<u64>());
    let what = (select(EventKind::ALL), select(BROWSER_EVENTS), prop::bool::weighted(0.2));
    (at(), what, (id(), id()), numbers, properties(), dims()).prop_map(
        |(at, (kind, name, bot), (link, partner), (visitor, asn, pixel, number), properties, dims)| {
            let value = [0, -12_345_678, 5_000_000][(number % 3) as usize];
            Entry::Event(Box::new(Event {
                id: ClickId::new(at.0, 1, 0, number),
                bot,
                network: visitor,
                asn,
                program: ProgramId(link / 7),
                partner: PartnerId(partner),
                told: Told {
                    kind,
                    at,
                    workspace: WORKSPACE,
                    site: SiteId(9),
                    click: ClickId(u128::from(link)),
                    link: LinkId(link),
                    visitor,
                    view: number,
                    engaged_ms: pixel,
                    scroll: 50,
                    pointer: Pointer { x: pixel, page_height: u32::MAX, ..Pointer::default() },
                    value,
                    currency: if bot { "" } else { "EUR" },
                    name: if kind == EventKind::Custom { name } else { kind.as_str() },
                    path: "/it's",
                    title: "a\\b",
                    selector: "",
                    href: "",
                    properties,
                },
                dims,
            }))
        },
    )
}

fn change() -> impl Strategy<Value = Change> {
    let counts = (-1..3_i64, -1..3_i64, -1..2_i64, 0..2_i64, 0..2_i64);
    let money = (-500..5_000_i64, 0..900_i64, -50..400_i64);
    (counts, money).prop_map(
        |((leads, conversions, orders, events, new_customers), (revenue, refunds, commission))| Change {
            leads,
            conversions,
            orders,
            events,
            new_customers,
            revenue,
            refunds,
            commission,
            hits: 0,
        },
    )
}

fn effect() -> impl Strategy<Value = Entry> {
    let currency = select(&[Currency::NONE, Currency::USD, Currency::USD, Currency::EUR][..]);
    (at(), select(EVENTS), currency, any::<bool>(), (id(), id()), properties(), dims(), change()).prop_map(
        |(at, event, currency, clicked, (link, partner), properties, dims, change)| {
            Entry::Effect(Box::new(Effect {
                seq: 0,
                sub: 0,
                workspace: WORKSPACE,
                at,
                event: event.to_owned(),
                conversion: ConversionId(9),
                order_id: "A-1".to_owned(),
                customer: CustomerId(0),
                provider: "stripe".to_owned(),
                currency,
                click: clicked.then(|| ClickId::new(at.0, 1, 0, 5)),
                link: LinkId(link),
                program: ProgramId(link / 7),
                partner: PartnerId(partner),
                visitor: 3,
                asn: 0,
                verdict: None,
                dims,
                properties: properties.into_iter().map(|(n, t)| (n.to_owned(), t.to_owned())).collect(),
                change,
            }))
        },
    )
}

/// A late verdict that moved a hit.
fn verdict_moved() -> impl Strategy<Value = Entry> {
    (effect(), verdict(), select(&[-1_i64, 1][..]), select(&[0_u32, 64_500][..])).prop_map(
        |(entry, verdict, hits, asn)| {
            let Entry::Effect(effect) = entry else { unreachable!() };
            Entry::Effect(Box::new(Effect {
                event: Effect::VERDICT.to_owned(),
                currency: Currency::NONE,
                verdict: Some(verdict),
                asn,
                properties: Default::default(),
                change: Change { hits, ..Change::default() },
                ..*effect
            }))
        },
    )
}

/// A late verdict on `click` that is true to it, as the books write it.
pub(crate) fn judged(click: &Click<'static>, verdict: Verdict, hits: i64) -> Entry {
    Entry::Effect(Box::new(Effect {
        seq: 0,
        sub: 0,
        workspace: click.workspace,
        at: click.at,
        event: Effect::VERDICT.to_owned(),
        conversion: ConversionId::NONE,
        order_id: String::new(),
        customer: CustomerId(0),
        provider: String::new(),
        currency: Currency::NONE,
        click: Some(click.id),
        link: click.link,
        program: click.program,
        partner: click.partner,
        visitor: click.visitor,
        asn: click.asn,
        verdict: Some(verdict),
        dims: click.dims.clone(),
        properties: Default::default(),
        change: Change { hits, ..Change::default() },
    }))
}

/// A journal: the n-th entry has sequence n + 1. Half of the journals have late verdicts that are true to their clicks;
/// some are taken back.
pub(crate) fn entries() -> impl Strategy<Value = Vec<Entry>> {
    let entry = prop_oneof![4 => click(), 2 => event(), 2 => effect(), 1 => verdict_moved()];
    let late = (any::<prop::sample::Index>(), any::<prop::sample::Index>(), prop::bool::weighted(0.3));
    let late = prop_oneof![Just(Vec::new()), prop::collection::vec(late, 1..6)];
    (prop::collection::vec(entry, 0..60), late).prop_map(|(mut entries, late)| {
        for (which, place, taken_back) in late {
            let clicks: Vec<usize> = entries
                .iter()
                .enumerate()
                .filter(
                    |(_, entry)| matches!(entry, Entry::Click(click) if click.verdict == Verdict::Counted),
                )
                .map(|(at, _)| at)
                .collect();
            if clicks.is_empty() {
                continue;
            }
            let at = clicks[which.index(clicks.len())];
            let Entry::Click(click) = entries[at].clone() else { unreachable!("only clicks were taken") };
            let place = at + 1 + place.index(entries.len() - at);
            for (nth, (verdict, hits)) in
                [(Verdict::Counted, -1), (Verdict::Blocked, 1)].into_iter().enumerate()
            {
                entries.insert(place + nth, judged(&click, verdict, hits));
                if taken_back {
                    entries.push(judged(&click, verdict, -hits));
                }
            }
        }
        entries
    })
}

fn leaf() -> impl Strategy<Value = Value> {
    let texts = prop::collection::vec(select(TEXTS), 1..3);
    let field = select(&["country", "city", "utm_source", "device"][..]);
    let part = select(&["D", "e", "", "'"][..]);
    let verdict = select(&["counted", "duplicate", ""][..]);
    let link = select(&["", "lnk_0000000000007"][..]);
    prop_oneof![
        4 => (select(&["is", "is_not"][..]), field.clone(), texts)
            .prop_map(|(by, field, texts)| json!([by, field, texts])),
        2 => (field, part).prop_map(|(field, part)| json!(["contains", field, [part]])),
        1 => link.prop_map(|link| json!(["is", "link", [link]])),
        1 => any::<bool>().prop_map(|bot| json!(["is", "bot", [bot]])),
        1 => verdict.prop_map(|verdict| json!(["is", "verdict", [verdict]])),
        1 => select(EVENTS).prop_map(|event| json!(["is", "event", [event]])),
        1 => (select(&["is", "is_not"][..]), select(PROPERTIES), select(TEXTS))
            .prop_map(|(by, name, text)| json!([by, format!("property:{name}"), [text]])),
        1 => (select(PROPERTIES), select(&["D", "'", ""][..]))
            .prop_map(|(name, part)| json!(["contains", format!("property:{name}"), [part]])),
        1 => (select(&["gt", "lt"][..]), select(&["price", "plan"][..]), select(&["0", "12.5", "-1.25"][..]))
            .prop_map(|(by, name, number)| json!([by, format!("property:{name}"), [number]])),
        1 => select(&["browser", "stripe"][..]).prop_map(|provider| json!(["is", "provider", [provider]])),
        1 => select(&["EUR", "usd"][..]).prop_map(|currency| json!(["is", "currency", [currency]])),
    ]
}

fn filter() -> impl Strategy<Value = Value> {
    leaf().prop_recursive(3, 8, 3, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 1..3).prop_map(|parts| json!(["and", parts])),
            prop::collection::vec(inner.clone(), 1..3).prop_map(|parts| json!(["or", parts])),
            inner.prop_map(|part| json!(["not", part])),
        ]
    })
}

const METRICS: &[&str] = &[
    "clicks",
    "visitors",
    "orphan_clicks",
    "bot_clicks",
    "hits",
    "leads",
    "conversions",
    "orders",
    "revenue",
    "refunds",
    "net_revenue",
    "commission",
    "margin",
    "conversion_rate",
    "aov",
    "epc",
    "new_customers",
    "latency_p50",
    "latency_p99",
    "events",
    "value_sum",
    "value_last",
];
const VALUES: &[&str] =
    &["value_count", "value_sum", "value_avg", "value_min", "value_max", "value_first", "value_last"];
const DIMENSIONS: &[&str] = &[
    "country",
    "city",
    "device",
    "link",
    "partner",
    "bot",
    "verdict",
    "event",
    "currency",
    "asn",
    "utm_source",
    "signal",
    "provider",
    "property:plan",
    "property:it's",
];
const TIME: &[&str] = &["", "", "time:minute", "time:hour", "time:day", "time:week", "time:month"];

/// A query as a caller writes it. Some mean nothing and are refused; callers skip those.
pub(crate) fn query() -> impl Strategy<Value = Query> {
    let range = prop_oneof![
        Just(json!("all")),
        (select(TIMES), 0..12_i64, 12..60_i64).prop_map(|(from, a, b)| {
            let print = |hour: i64| Timestamp(from + hour * 3_600_000).to_string();
            json!([print(a), print(b)])
        }),
    ];
    let metrics = prop_oneof![
        3 => subsequence(METRICS, 1..6).prop_shuffle(),
        // Alone, so that every dimension is allowed.
        1 => Just(vec!["events"]),
        2 => subsequence(VALUES, 1..5).prop_shuffle(),
    ];
    let dimensions = (subsequence(DIMENSIONS, 0..3).prop_shuffle(), select(TIME));
    let having = prop::option::weighted(0.2, (select(&["gt", "lt"][..]), -2..4_i32));
    let rest = (1..8_u32, 0..2_u32, any::<bool>(), any::<bool>(), any::<bool>());
    (range, select(ZONES), metrics, dimensions, prop::option::of(filter()), having, rest).prop_map(
        |(
            range,
            zone,
            metrics,
            (mut dimensions, time),
            filter,
            having,
            (limit, offset, few, total, descending),
        )| {
            if !time.is_empty() {
                dimensions.push(time);
            }
            let mut filters: Vec<Value> = filter.into_iter().collect();
            if let Some((by, number)) = having
                && !dimensions.is_empty()
            {
                filters.push(json!([by, metrics[0], [number]]));
            }
            let measures = metrics.iter().any(|metric| metric.starts_with("value_"));
            let direction = if descending { "desc" } else { "asc" };
            let order = if limit % 2 == 0 { json!([[metrics[0], direction]]) } else { json!([]) };
            let mut query = json!({
                "metrics": metrics, "date_range": range, "timezone": zone, "dimensions": dimensions,
                "order_by": order, "include": {"total": total},
            });
            if !filters.is_empty() {
                query["filters"] = json!(["and", filters]);
            }
            if measures && total {
                query["value_of"] = json!("property:price");
            }
            if few {
                query["limit"] = json!(limit);
                query["offset"] = json!(offset);
            }
            serde_json::from_value(query).unwrap()
        },
    )
}
