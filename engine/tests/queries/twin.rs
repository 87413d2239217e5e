//! A query answered by plain loops over all facts, from the contract (api.md) alone: no plan, no shared code.
//! Long, because it is the whole contract once more.

use std::collections::{BTreeMap, BTreeSet};

use jiff::tz::TimeZone;
use serde_json::{Value, json};
use weir_schemas::click::{Click, Verdict};
use weir_schemas::effect::Effect;
use weir_schemas::event::{Event, EventKind};
use weir_schemas::ids::{ClickId, LinkId, PartnerId};
use weir_schemas::query::{
    Comparison, DateRange, Dimension, Direction, Field, Filter, Metric, Query, TimeBucket,
};
use weir_schemas::time::Timestamp;

use crate::facts::Entry;

/// Rows, totals; or which currencies are mixed.
pub(crate) type Answer = Result<(Vec<Vec<Value>>, Vec<Value>), Vec<String>>;

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Key {
    Text(String),
    Number(u64),
    Flag(bool),
    Moment(i64),
}

#[derive(Default)]
struct Group<'a> {
    clicks: Vec<Hit<'a>>,
    events: Vec<&'a Event<'static>>,
    effects: Vec<&'a Effect>,
    values: Vec<Measured>,
}

/// A number that an event or conversion brought, in millionths.
#[derive(Clone, Copy)]
struct Measured {
    at: i64,
    order: usize,
    value: i64,
    times: i64,
    /// 0 for browser events, each of which stands by itself.
    conversion: u64,
}

fn measured(query: &Query, entry: &Entry, order: usize, bots: bool) -> Option<Measured> {
    let own = query.value_of.is_none();
    let named = query.value_of.as_ref().map_or("value", |property| &property.0);
    let (at, times, conversion) = match entry {
        Entry::Click(_) => return None,
        Entry::Event(event) if event.told.kind == EventKind::Engagement || (event.bot && !bots) => {
            return None;
        }
        Entry::Event(event) if own && event.told.value != 0 => {
            let (at, value) = (event.told.at.0, event.told.value);
            return Some(Measured { at, order, value, times: 1, conversion: 0 });
        }
        Entry::Event(event) => (event.told.at.0, 1, 0),
        Entry::Effect(effect) => {
            let change = effect.change;
            (effect.at.0, change.leads + change.conversions + change.events, effect.conversion.0)
        }
    };
    let value = decimal(&property(named, entry))?;
    (times != 0).then_some(Measured { at, order, value, times, conversion })
}

/// By arithmetic, digit by digit.
fn decimal(text: &str) -> Option<i64> {
    let (mut value, mut behind, mut front) = (0_i64, None, 0);
    for (place, letter) in text.chars().enumerate() {
        match (letter, behind) {
            ('-', None) if place == 0 => {}
            ('.', None) if front > 0 => behind = Some(0),
            ('0'..='9', None) => {
                front += 1;
                value = value.checked_mul(10)?.checked_add(i64::from(letter.to_digit(10)?))?;
            }
            ('0'..='9', Some(digits)) => {
                behind = Some(digits + 1);
                if digits < 6 {
                    value = value * 10 + i64::from(letter.to_digit(10)?);
                }
            }
            _ => return None,
        }
    }
    if front == 0 || front > 10 || behind == Some(0) {
        return None;
    }
    let missing = 6 - behind.unwrap_or(0).min(6);
    let value = value * 10_i64.pow(missing);
    Some(if text.starts_with('-') { -value } else { value })
}

/// What is not taken back, in order of time.
fn standing(group: &Group<'_>) -> Vec<Measured> {
    let mut sums: BTreeMap<(u64, i64, i64, usize), (i64, usize)> = BTreeMap::new();
    for one in &group.values {
        let alone = if one.conversion == 0 { one.order } else { 0 };
        let held = sums.entry((one.conversion, one.at, one.value, alone)).or_default();
        held.0 += one.times;
        if one.times > 0 {
            held.1 = held.1.max(one.order);
        }
    }
    let stands = sums.into_iter().filter(|(_, (times, _))| *times > 0);
    let mut standing: Vec<Measured> = stands
        .map(|((conversion, at, value, _), (times, order))| Measured { at, order, value, times, conversion })
        .collect();
    standing.sort_by_key(|one| (one.at, one.order, one.value));
    standing
}

/// A click, or a hit that a late verdict moved: that one may count less than nothing. Neither it nor a click that it
/// took away has a visitor and a latency.
#[derive(Clone, Copy)]
struct Hit<'a> {
    click: &'a Click<'static>,
    times: i64,
    whole: bool,
}

fn moved(entry: &Entry) -> Option<(Entry, i64)> {
    let Entry::Effect(effect) = entry else { return None };
    let (hit, times) = effect.moved_hit()?;
    let dims = hit.dims.into_owned();
    Some((Entry::Click(Box::new(Click { dims, slug: "".into(), evidence: "".into(), ..hit })), times))
}

pub(crate) fn answer(query: &Query, entries: &[Entry]) -> Answer {
    let zone = TimeZone::get(&query.timezone).unwrap();
    let (from, to) = match &query.date_range {
        DateRange::Between(from, to) => (Timestamp::parse(from).unwrap().0, Timestamp::parse(to).unwrap().0),
        DateRange::Named(_) => (i64::MIN, i64::MAX),
    };
    let bots = speaks_of_bots(query);
    let mut all = Group::default();
    let mut groups: BTreeMap<Vec<Key>, Group<'_>> = BTreeMap::new();
    if query.dimensions.is_empty() {
        groups.insert(Vec::new(), Group::default());
    }
    let moved: Vec<Option<(Entry, i64)>> = entries.iter().map(moved).collect();
    let mut taken: BTreeMap<ClickId, i64> = BTreeMap::new();
    for entry in entries {
        if let Entry::Effect(effect) = entry
            && effect.verdict == Some(Verdict::Counted)
            && (from..to).contains(&effect.at.0)
        {
            *taken.entry(effect.click.unwrap_or_default()).or_default() -= effect.change.hits;
        }
    }
    for (order, (entry, moved)) in entries.iter().zip(&moved).enumerate() {
        let (entry, times) = moved.as_ref().map_or((entry, 1), |(hit, times)| (hit, *times));
        let at = match entry {
            Entry::Click(click) => click.at.0,
            Entry::Event(event) => event.told.at.0,
            Entry::Effect(effect) => effect.at.0,
        };
        let passes = query.filters.as_ref().and_then(|filter| holds(filter, entry)).unwrap_or(true);
        if at < from || at >= to || !passes {
            continue;
        }
        let keys = query.dimensions.iter().map(|dimension| key(dimension, entry, at, &zone)).collect();
        let group = groups.entry(keys).or_default();
        if let Some(value) = measured(query, entry, order, bots) {
            group.values.push(value);
            all.values.push(value);
        }
        match entry {
            Entry::Click(click) => {
                let hit = Hit {
                    click,
                    times,
                    whole: moved.is_none() && taken.get(&click.id).is_none_or(|taken| *taken <= 0),
                };
                group.clicks.push(hit);
                all.clicks.push(hit);
            }
            Entry::Event(event) => {
                group.events.push(event);
                all.events.push(event);
            }
            Entry::Effect(effect) => {
                group.effects.push(effect);
                all.effects.push(effect);
            }
        }
    }
    let money = query.metrics.iter().any(|metric| metric.is_money());
    let currencies: BTreeSet<String> =
        all.effects.iter().map(|e| e.currency.to_string()).filter(|currency| !currency.is_empty()).collect();
    let by_currency = query.dimensions.contains(&Dimension::Field(Field::Currency));
    if money && !by_currency && currencies.len() > 1 && takes_effects(query) {
        return Err(currencies.into_iter().collect());
    }
    let mut totals = numbers(query, &all, bots);
    if currencies.len() > 1 {
        for (total, metric) in totals.iter_mut().zip(&query.metrics) {
            if metric.is_money() {
                *total = Value::Null;
            }
        }
    }
    let mut rows: Vec<(Vec<Key>, Vec<Value>)> = groups
        .into_iter()
        .filter(|(_, group)| query.dimensions.is_empty() || exists(query, group, bots))
        .map(|(keys, group)| (keys, numbers(query, &group, bots)))
        .filter(|(_, numbers)| query.filters.as_ref().is_none_or(|filter| selects(filter, query, numbers)))
        .collect();
    sort(query, &mut rows);
    // Without dimensions there is exactly one row, always.
    let skipped = if query.dimensions.is_empty() { 0 } else { query.offset as usize };
    let cells = rows.into_iter().skip(skipped).take(query.limit as usize).map(|(keys, numbers)| {
        let keys =
            keys.into_iter().zip(&query.dimensions).map(|(key, dimension)| cell(key, dimension, &zone));
        keys.chain(numbers).collect()
    });
    Ok((cells.collect(), totals))
}

fn takes_effects(query: &Query) -> bool {
    query.metrics.iter().any(|metric| metric.is_money())
}

fn speaks_of_bots(query: &Query) -> bool {
    fn mentions(filter: &Filter) -> bool {
        match filter {
            Filter::And(parts) | Filter::Or(parts) => parts.iter().any(mentions),
            Filter::Not(part) => mentions(part),
            Filter::Where(_, dimension, _) => {
                matches!(dimension, Dimension::Field(Field::Bot | Field::Verdict))
            }
            Filter::Having(..) => false,
        }
    }
    query.dimensions.contains(&Dimension::Field(Field::Verdict))
        || query.filters.as_ref().is_some_and(mentions)
}

fn text(field: Field, entry: &Entry) -> String {
    let dims = match entry {
        Entry::Click(click) => &click.dims,
        Entry::Event(event) => &event.dims,
        Entry::Effect(effect) => &effect.dims,
    };
    match (field, entry) {
        (Field::Verdict, Entry::Click(click)) => click.verdict.as_str().to_owned(),
        (Field::Verdict, Entry::Effect(effect)) => {
            if effect.click.is_some() {
                "counted".to_owned()
            } else {
                String::new()
            }
        }
        (Field::Verdict, Entry::Event(event)) => if event.bot { "bot" } else { "counted" }.to_owned(),
        (Field::Event, Entry::Event(event)) => event.told.name.to_owned(),
        (Field::Provider, Entry::Event(_)) => "browser".to_owned(),
        (Field::Provider, Entry::Effect(effect)) => effect.provider.clone(),
        (Field::Event, Entry::Effect(effect)) => effect.event.clone(),
        (Field::Currency, Entry::Effect(effect)) => effect.currency.to_string(),
        (Field::Country, _) => dims.country.to_string(),
        (Field::City, _) => dims.city.to_string(),
        (Field::UtmSource, _) => dims.utm_source.to_string(),
        (Field::Device, _) => dims.device.to_string(),
        (Field::Signal, _) => dims.signal.to_string(),
        _ => String::new(),
    }
}

fn property(name: &str, entry: &Entry) -> String {
    match entry {
        Entry::Click(_) => String::new(),
        Entry::Event(event) => {
            let found = event.told.properties.iter().find(|(key, _)| *key == name);
            found.map_or(String::new(), |(_, text)| (*text).to_owned())
        }
        Entry::Effect(effect) => effect.properties.get(name).cloned().unwrap_or_default(),
    }
}

fn key(dimension: &Dimension, entry: &Entry, at: i64, zone: &TimeZone) -> Key {
    let (link, partner, asn, bot) = match entry {
        Entry::Click(click) => (click.link, click.partner, click.asn, click.bot),
        Entry::Event(event) => (event.told.link, event.partner, event.asn, event.bot),
        Entry::Effect(effect) => (effect.link, effect.partner, effect.asn, false),
    };
    match dimension {
        Dimension::Field(Field::Link) => Key::Number(link.0),
        Dimension::Field(Field::Partner) => Key::Number(partner.0),
        Dimension::Field(Field::Asn) => Key::Number(asn.into()),
        Dimension::Field(Field::Bot) => Key::Flag(bot),
        Dimension::Field(field) => Key::Text(text(*field, entry)),
        Dimension::Property(name) => Key::Text(property(name, entry)),
        Dimension::Time(width) => {
            let local = jiff::Timestamp::from_millisecond(at).unwrap().to_zoned(zone.clone());
            let into_minute = i64::from(local.second()) * 1_000 + at.rem_euclid(1_000);
            let date = local.date();
            let start =
                |date: jiff::civil::Date| date.to_zoned(zone.clone()).unwrap().timestamp().as_millisecond();
            Key::Moment(match width {
                TimeBucket::Minute => at - into_minute,
                TimeBucket::Hour => at - into_minute - i64::from(local.minute()) * 60_000,
                TimeBucket::Day => start(date),
                TimeBucket::Week => {
                    let days = date.weekday().to_monday_zero_offset();
                    start(date.checked_sub(jiff::Span::new().days(days)).unwrap())
                }
                TimeBucket::Month => start(date.first_of_month()),
            })
        }
    }
}

fn cell(key: Key, dimension: &Dimension, zone: &TimeZone) -> Value {
    match (key, dimension) {
        (Key::Text(text), _) => json!(text),
        (Key::Flag(flag), _) => json!(flag),
        (Key::Number(0), Dimension::Field(Field::Link | Field::Partner)) => Value::Null,
        (Key::Number(id), Dimension::Field(Field::Link)) => json!(LinkId(id).to_string()),
        (Key::Number(id), Dimension::Field(Field::Partner)) => json!(PartnerId(id).to_string()),
        (Key::Number(number), _) => json!(number),
        (Key::Moment(ms), _) => {
            let local = jiff::Timestamp::from_millisecond(ms).unwrap().to_zoned(zone.clone());
            json!(local.strftime("%Y-%m-%dT%H:%M:%S%:z").to_string())
        }
    }
}

/// `None` where the filter says nothing about such a fact.
fn holds(filter: &Filter, entry: &Entry) -> Option<bool> {
    match filter {
        Filter::And(parts) => {
            let said: Vec<bool> = parts.iter().filter_map(|part| holds(part, entry)).collect();
            (!said.is_empty()).then(|| said.iter().all(|held| *held))
        }
        Filter::Or(parts) => {
            let said: Vec<bool> = parts.iter().filter_map(|part| holds(part, entry)).collect();
            (!said.is_empty()).then(|| said.iter().any(|held| *held))
        }
        Filter::Not(part) => holds(part, entry).map(|held| !held),
        Filter::Having(..) => None,
        Filter::Where(comparison, Dimension::Field(field), values) => {
            let has = match (field, entry) {
                (Field::Event | Field::Provider | Field::Currency, Entry::Click(_)) => false,
                (Field::Currency, Entry::Event(_)) => false,
                (Field::Currency, Entry::Effect(effect)) => !effect.currency.as_str().is_empty(),
                _ => true,
            };
            has.then(|| compares(*comparison, *field, values, entry))
        }
        Filter::Where(_, Dimension::Property(_), _) if matches!(entry, Entry::Click(_)) => None,
        Filter::Where(comparison, Dimension::Property(name), values) => {
            let text = property(name, entry);
            let held = values.iter().any(|value| match comparison {
                Comparison::Gt | Comparison::Lt => decimal(&text).is_some_and(|number| {
                    let bound = decimal(value.as_str().unwrap()).unwrap();
                    if *comparison == Comparison::Gt { number > bound } else { number < bound }
                }),
                Comparison::Contains => {
                    text.to_ascii_lowercase().contains(&value.as_str().unwrap().to_ascii_lowercase())
                }
                _ => text == *value,
            });
            Some(held != (*comparison == Comparison::IsNot))
        }
        Filter::Where(..) => panic!("not generated"),
    }
}

fn compares(comparison: Comparison, field: Field, values: &[Value], entry: &Entry) -> bool {
    let any = values.iter().any(|value| match (field, value, entry) {
        (Field::Bot, Value::Bool(bot), Entry::Click(click)) => click.bot == *bot,
        (Field::Bot, Value::Bool(bot), Entry::Event(event)) => event.bot == *bot,
        (Field::Bot, Value::Bool(bot), Entry::Effect(_)) => !*bot,
        (Field::Link, Value::String(link), entry) => {
            let id = match entry {
                Entry::Click(click) => click.link,
                Entry::Event(event) => event.told.link,
                Entry::Effect(effect) => effect.link,
            };
            id.some().map_or(String::new(), |id| id.to_string()) == *link
        }
        (field, Value::String(value), entry) => {
            let text = text(field, entry);
            match comparison {
                Comparison::Contains => text.to_ascii_lowercase().contains(&value.to_ascii_lowercase()),
                _ if field == Field::Currency => text == value.to_uppercase(),
                _ => text == *value,
            }
        }
        other => panic!("not generated: {other:?}"),
    });
    any != (comparison == Comparison::IsNot)
}

/// The conditions on metrics, all at the top.
fn selects(filter: &Filter, query: &Query, numbers: &[Value]) -> bool {
    match filter {
        Filter::And(parts) => parts.iter().all(|part| selects(part, query, numbers)),
        Filter::Having(comparison, metric, bound) => {
            let at = query.metrics.iter().position(|asked| asked == metric).unwrap();
            numbers[at].as_f64().is_some_and(|number| match comparison {
                Comparison::Gt => number > *bound,
                _ => number < *bound,
            })
        }
        _ => true,
    }
}

fn counted<'a>(group: &Group<'a>, bots: bool) -> Vec<Hit<'a>> {
    let counts =
        |click: &Click<'_>| click.verdict == Verdict::Counted || (bots && click.verdict == Verdict::Bot);
    group.clicks.iter().copied().filter(|hit| counts(hit.click)).collect()
}

fn summed(group: &Group<'_>, part: &str) -> i64 {
    let of = |effect: &Effect| serde_json::to_value(effect.change).unwrap()[part].as_i64().unwrap();
    group.effects.iter().map(|effect| of(effect)).sum()
}

/// What goes into a metric; a row exists while anything of it is not zero.
fn ingredients(metric: Metric) -> &'static [&'static str] {
    match metric {
        Metric::NetRevenue => &["revenue", "refunds"],
        Metric::Margin => &["revenue", "refunds", "commission"],
        Metric::ConversionRate => &["conversions", "clicks"],
        Metric::Aov => &["revenue", "orders"],
        Metric::Epc => &["revenue", "clicks"],
        Metric::LatencyP50 | Metric::LatencyP99 | Metric::Visitors | Metric::Clicks => &["clicks"],
        Metric::OrphanClicks => &["orphan"],
        Metric::BotClicks => &["bot"],
        Metric::Hits => &["hits"],
        Metric::Leads => &["leads"],
        Metric::Conversions => &["conversions"],
        Metric::Orders => &["orders"],
        Metric::Revenue => &["revenue"],
        Metric::Refunds => &["refunds"],
        Metric::Commission => &["commission"],
        Metric::NewCustomers => &["new_customers"],
        Metric::Events => &["events"],
        Metric::ValueSum | Metric::ValueAvg => &["values", "value_sum"],
        Metric::ValueCount | Metric::ValueMin | Metric::ValueMax | Metric::ValueFirst | Metric::ValueLast => {
            &["values"]
        }
    }
}

fn amount(part: &str, group: &Group<'_>, bots: bool) -> i64 {
    let sum = |hits: &[Hit<'_>]| hits.iter().map(|hit| hit.times).sum::<i64>();
    let of =
        |verdict| group.clicks.iter().filter(|hit| hit.click.verdict == verdict).map(|hit| hit.times).sum();
    match part {
        "clicks" => sum(&counted(group, bots)),
        "orphan" => of(Verdict::Orphan),
        "bot" => of(Verdict::Bot),
        "hits" => sum(&group.clicks),
        "events" => {
            let counts =
                |event: &&&Event<'_>| event.told.kind != EventKind::Engagement && (bots || !event.bot);
            summed(group, "events") + group.events.iter().filter(counts).count() as i64
        }
        "values" => group.values.iter().map(|one| one.times).sum(),
        "value_sum" => group.values.iter().map(|one| one.times * one.value).sum(),
        other => summed(group, other),
    }
}

fn exists(query: &Query, group: &Group<'_>, bots: bool) -> bool {
    query.metrics.iter().any(|metric| match metric {
        Metric::Visitors | Metric::LatencyP50 | Metric::LatencyP99 => {
            counted(group, bots).iter().any(|hit| hit.whole)
        }
        metric => ingredients(*metric).iter().any(|part| amount(part, group, bots) != 0),
    })
}

fn rounded(amount: i64, by: i64) -> i64 {
    if by == 0 {
        return 0;
    }
    let exact = amount as f64 / by as f64;
    exact.abs().mul_add(1.0, 0.5).floor() as i64 * if exact < 0.0 { -1 } else { 1 }
}

fn numbers(query: &Query, group: &Group<'_>, bots: bool) -> Vec<Value> {
    let get = |part: &str| amount(part, group, bots);
    let whole = || counted(group, bots).into_iter().filter(|hit| hit.whole).map(|hit| hit.click);
    let percentile = |percent: usize| {
        let mut latencies: Vec<u32> = whole().map(|click| click.latency_us).collect();
        latencies.sort_unstable();
        let rank = (latencies.len() * percent).div_ceil(100);
        let us = *latencies.get(rank.checked_sub(1)?)?;
        let part = if us < 64 { 1 } else { us.checked_ilog2().map(|log| 1 << (log - 6))? };
        Some(us / part * part + (part - 1))
    };
    let decimal = |millionths: i64| json!(millionths as f64 / 1e6);
    let stands = standing(group);
    let values = || stands.iter().map(|one| one.value);
    let number = |metric: &Metric| match metric {
        Metric::ValueSum => decimal(get("value_sum")),
        Metric::ValueAvg if get("values") <= 0 => Value::Null,
        Metric::ValueAvg => {
            let (sum, count) = (i128::from(get("value_sum")), i128::from(get("values")));
            let (whole, rest) = (sum / count, (sum % count).abs());
            decimal((whole + if 2 * rest >= count { sum.signum() } else { 0 }) as i64)
        }
        Metric::ValueMin => json!(values().min().map(decimal)),
        Metric::ValueMax => json!(values().max().map(decimal)),
        Metric::ValueFirst => json!(values().next().map(decimal)),
        Metric::ValueLast => json!(values().next_back().map(decimal)),
        Metric::Visitors => {
            json!(whole().map(|click| click.visitor).collect::<BTreeSet<_>>().len())
        }
        Metric::NetRevenue => json!(get("revenue") - get("refunds")),
        Metric::Margin => json!(get("revenue") - get("refunds") - get("commission")),
        Metric::ConversionRate => json!(rounded(get("conversions") * 10_000, get("clicks"))),
        Metric::Aov => json!(rounded(get("revenue"), get("orders"))),
        Metric::Epc => json!(rounded(get("revenue"), get("clicks"))),
        Metric::LatencyP50 => json!(percentile(50)),
        Metric::LatencyP99 => json!(percentile(99)),
        other => json!(get(ingredients(*other)[0])),
    };
    query.metrics.iter().map(number).collect()
}

fn sort(query: &Query, rows: &mut [(Vec<Key>, Vec<Value>)]) {
    let dimension = |name: &str| query.dimensions.iter().position(|dimension| dimension.name() == name);
    let mut order: Vec<(String, Direction)> = query.order_by.clone();
    if order.is_empty() {
        let time = query.dimensions.iter().find(|dimension| matches!(dimension, Dimension::Time(_)));
        order.push(match time {
            Some(time) => (time.name(), Direction::Asc),
            None => (query.metrics[0].as_str().to_owned(), Direction::Desc),
        });
    }
    order.extend(query.dimensions.iter().map(|dimension| (dimension.name(), Direction::Asc)));
    rows.sort_by(|a, b| {
        for (name, direction) in &order {
            let ordering = match dimension(name) {
                Some(at) => a.0[at].cmp(&b.0[at]),
                None => {
                    let at = query.metrics.iter().position(|metric| metric.as_str() == name).unwrap();
                    let number =
                        |row: &(Vec<Key>, Vec<Value>)| row.1[at].as_f64().unwrap_or(f64::NEG_INFINITY);
                    number(a).total_cmp(&number(b))
                }
            };
            let ordering = if *direction == Direction::Desc { ordering.reverse() } else { ordering };
            if ordering.is_ne() {
                return ordering;
            }
        }
        std::cmp::Ordering::Equal
    });
}
