//! What random people do, and how it gets into the warehouse. Moments are few, so that deeds meet in one
//! millisecond and at the edges of windows and periods.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;

use clickhouse::Client;
use proptest::prelude::*;
use proptest::sample::select;
use proptest::test_runner::{TestCaseError, TestRunner};
use serde_json::{Value, json};
use weir_engine::query::execute::QueryError;
use weir_engine::query::reports::{Asked, Report, Scope};
use weir_engine::warehouse::block::ClickBlock;
use weir_engine::warehouse::rows::{EffectRow, EventRow};
use weir_schemas::click::{Click, Dims, Verdict};
use weir_schemas::effect::{Change, Effect};
use weir_schemas::event::{Event, EventKind, Pointer, Told};
use weir_schemas::ids::{
    ClickId, ConversionId, CustomerId, LinkId, PartnerId, ProgramId, SiteId, WorkspaceId,
};
use weir_schemas::money::Currency;
use weir_schemas::time::Timestamp;

use crate::server::Server;

pub(crate) const HOUR: i64 = 3_600_000;
/// 2026-10-20T00:00:00Z; Berlin's night of 25 hours is within the days after.
pub(crate) const BEGIN: i64 = 1_792_454_400_000;
/// When the reports are asked for.
pub(crate) const NOW: i64 = BEGIN + 45 * 24 * HOUR;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum What {
    Click,
    Robot,
    /// A click that a late verdict took away.
    Judged,
    Page(&'static str),
    /// A conversion of this event.
    Convert(&'static str),
    /// Of an earlier order.
    Refund,
}

#[derive(Debug, Clone)]
pub(crate) struct Deed {
    /// 0 where no click is known.
    pub(crate) visitor: u64,
    /// 0 where unknown.
    pub(crate) customer: u64,
    /// Unix milliseconds.
    pub(crate) at: i64,
    pub(crate) what: What,
    pub(crate) medium: &'static str,
    pub(crate) variant: &'static str,
    /// Minor units.
    pub(crate) amount: i64,
    pub(crate) currency: Currency,
    /// It was credited to somebody else first.
    pub(crate) restated: bool,
    /// Told apart from all others.
    pub(crate) number: u64,
}

impl Deed {
    pub(crate) fn person(&self) -> u64 {
        match (self.visitor, self.customer) {
            (0, 0) => CONVERSIONS + self.number,
            (0, customer) => customer,
            (visitor, _) => visitor,
        }
    }

    /// Sales of arm `b` are of a subscription, those by mail for a year.
    pub(crate) fn properties(&self) -> BTreeMap<String, String> {
        let mut properties = BTreeMap::new();
        if self.is_conversion() && self.variant == "b" {
            properties.insert("subscription_id".to_owned(), format!("s{}", self.customer % 3));
        }
        if self.medium == "mail" {
            properties.insert("interval".to_owned(), "year".to_owned());
        }
        properties
    }

    pub(crate) fn is_conversion(&self) -> bool {
        matches!(self.what, What::Convert("sale" | "renewal"))
    }
}

/// Where the numbers of customers and conversions begin: visitors are below.
const CUSTOMERS: u64 = 1_000;
const CONVERSIONS: u64 = 1_000_000;

fn deed(days: i64) -> impl Strategy<Value = Deed> {
    let what = prop_oneof![
        4 => Just(What::Click),
        1 => Just(What::Robot),
        1 => Just(What::Judged),
        1 => Just(What::Page("pageview")),
        1 => Just(What::Page("tap")),
        2 => Just(What::Page("signup")),
        1 => Just(What::Convert("signup")),
        1 => Just(What::Convert("lead")),
        3 => Just(What::Convert("sale")),
        1 => Just(What::Convert("renewal")),
        1 => Just(What::Refund),
    ];
    let who = (0..5_u64, 0..5_u64);
    let medium = select(&["", "search", "it's", "mail", "social"][..]);
    (who, what, 0..days * 8, medium, select(&["a", "b"][..]), 1..5_000_i64, prop::bool::weighted(0.2))
        .prop_map(|((visitor, customer), what, slot, medium, variant, amount, restated)| {
            let anonymous = matches!(what, What::Convert(_) | What::Refund) && visitor == 0;
            Deed {
                visitor: if anonymous { 0 } else { visitor + 1 },
                customer: if customer == 0 { 0 } else { CUSTOMERS + customer },
                at: BEGIN + slot * 3 * HOUR,
                what,
                medium,
                variant,
                amount,
                currency: Currency::EUR,
                restated,
                number: 0,
            }
        })
}

/// Deeds of a few people within some days.
pub(crate) fn deeds(days: i64, most: usize) -> impl Strategy<Value = Vec<Deed>> {
    prop::collection::vec(deed(days), 0..most).prop_map(|mut deeds| {
        for (index, deed) in deeds.iter_mut().enumerate() {
            deed.number = index as u64 + 1;
        }
        deeds
    })
}

fn dims(medium: &'static str, variant: &'static str) -> Dims<'static> {
    Dims { medium: medium.into(), country: medium.into(), variant: variant.into(), ..Dims::default() }
}

fn click(workspace: WorkspaceId, deed: &Deed) -> Click<'static> {
    Click {
        id: ClickId::new(deed.at, 1, 0, deed.number),
        at: Timestamp(deed.at),
        verdict: if deed.what == What::Robot { Verdict::Bot } else { Verdict::Counted },
        bot: deed.what == What::Robot,
        flags: 0,
        status: 302,
        latency_us: 10,
        workspace,
        link: LinkId(7),
        program: ProgramId(0),
        partner: PartnerId(0),
        visitor: deed.visitor,
        network: 1,
        asn: 0,
        dims: dims(deed.medium, deed.variant),
        slug: "spring".into(),
        evidence: "".into(),
    }
}

fn page(workspace: WorkspaceId, deed: &Deed, name: &'static str) -> Event<'static> {
    let (kind, name) = match name {
        "pageview" => (EventKind::Pageview, name),
        "tap" => (EventKind::Click, "click"),
        name => (EventKind::Custom, name),
    };
    let pixel = deed.amount as u32;
    let pointer = Pointer { x: pixel, y: pixel, page_width: 1_000, ..Pointer::default() };
    Event {
        id: ClickId::new(deed.at, 1, 0, deed.number),
        bot: false,
        network: 1,
        asn: 0,
        program: ProgramId(0),
        partner: PartnerId(0),
        told: Told {
            kind,
            at: Timestamp(deed.at),
            workspace,
            site: SiteId(9),
            click: ClickId(0),
            link: LinkId(7),
            visitor: deed.visitor,
            view: 1,
            engaged_ms: 0,
            scroll: 0,
            pointer,
            value: 0,
            currency: "",
            name,
            path: "/",
            title: "",
            selector: "",
            href: "",
            properties: Vec::new(),
        },
        dims: dims(deed.medium, deed.variant),
    }
}

pub(crate) fn effect(workspace: WorkspaceId, deed: &Deed, event: &str) -> Effect {
    let one = |yes: bool| i64::from(yes);
    let sale = deed.is_conversion();
    Effect {
        seq: 0,
        sub: 0,
        workspace,
        at: Timestamp(deed.at),
        event: event.to_owned(),
        conversion: ConversionId(CONVERSIONS + deed.number),
        order_id: format!("A-{}", deed.number),
        customer: CustomerId(deed.customer),
        provider: "stripe".to_owned(),
        currency: if sale || event == "refund" { deed.currency } else { Currency::NONE },
        click: (deed.visitor != 0).then(|| ClickId::new(deed.at, 1, 0, 5)),
        link: LinkId(7),
        program: ProgramId(0),
        partner: PartnerId(0),
        visitor: deed.visitor,
        asn: 0,
        verdict: None,
        dims: dims(deed.medium, deed.variant),
        properties: deed.properties(),
        change: Change {
            leads: one(event == "lead"),
            conversions: one(sale),
            orders: one(sale),
            events: one(event == "signup"),
            revenue: if sale { deed.amount } else { 0 },
            refunds: if event == "refund" { deed.amount } else { 0 },
            ..Change::default()
        },
    }
}

pub(crate) async fn store(client: &Client, workspace: WorkspaceId, deeds: &[Deed]) {
    let mut clicks = ClickBlock::default();
    let mut effects = client.insert::<EffectRow<'_>>("effects").await.unwrap();
    let mut events = client.insert::<EventRow<'_>>("events").await.unwrap();
    for deed in deeds {
        match deed.what {
            What::Click | What::Robot => clicks.push(1, deed.number, &click(workspace, deed).parts()),
            What::Judged => {
                clicks.push(1, deed.number, &click(workspace, deed).parts());
                for (sub, (verdict, hits)) in
                    [(Verdict::Counted, -1), (Verdict::Blocked, 1)].iter().enumerate()
                {
                    let moved = Effect {
                        seq: deed.number,
                        sub: sub as u16,
                        verdict: Some(*verdict),
                        click: Some(ClickId::new(deed.at, 1, 0, deed.number)),
                        change: Change { hits: *hits, ..Change::default() },
                        ..effect(workspace, deed, Effect::VERDICT)
                    };
                    effects.write(&EffectRow::new(1, &moved)).await.unwrap();
                }
            }
            What::Page(name) => {
                events.write(&EventRow::new(1, deed.number, &page(workspace, deed, name))).await.unwrap();
            }
            What::Convert(_) | What::Refund => {
                let event = if let What::Convert(event) = deed.what { event } else { "refund" };
                let mut told = vec![effect(workspace, deed, event)];
                if deed.restated {
                    let mut before = told[0].clone();
                    before.visitor = deed.visitor % 5 + 1;
                    before.dims = dims("before", "a");
                    let mut back = before.clone();
                    back.change = -back.change;
                    told.splice(0..0, [before, back]);
                }
                for (sub, effect) in told.iter_mut().enumerate() {
                    (effect.seq, effect.sub) = (deed.number, sub as u16);
                    effects.write(&EffectRow::new(1, effect)).await.unwrap();
                }
            }
        }
    }
    clicks.insert(client).await.unwrap();
    events.end().await.unwrap();
    effects.end().await.unwrap();
}

/// A body's scope in a workspace.
pub(crate) fn scope(asked: Value, workspace: WorkspaceId) -> Scope {
    let asked: Asked = serde_json::from_value(asked).unwrap();
    Scope::build(&asked, workspace, Timestamp(NOW), None).unwrap()
}

/// The range from day to day after the beginning, midnights of UTC.
pub(crate) fn range(from_day: i64, to_day: i64) -> Value {
    let print = |day: i64| Timestamp(BEGIN + day * 24 * HOUR).to_string();
    json!([print(from_day), print(to_day)])
}

/// Stores random deeds in workspaces of their own and lets `compare` look at each.
pub(crate) fn for_random_people<P: std::fmt::Debug>(
    cases: u32,
    strategy: impl Strategy<Value = (Vec<Deed>, P)>,
    compare: impl AsyncFn(&Client, WorkspaceId, &[Deed], P) -> Result<(), TestCaseError>,
) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let server = Server::start();
    let client = runtime.block_on(server.migrated());
    let config = ProptestConfig { cases, failure_persistence: None, ..ProptestConfig::default() };
    let case = Cell::new(0);
    let met = RefCell::new(0_usize);
    let result = TestRunner::new(config).run(&strategy, |(deeds, parameters)| {
        let workspace = WorkspaceId(1 + case.replace(case.get() + 1));
        *met.borrow_mut() += deeds.len();
        runtime.block_on(async {
            store(&client, workspace, &deeds).await;
            compare(&client, workspace, &deeds, parameters).await
        })
    });
    if let Err(failure) = result {
        panic!("{failure}");
    }
    assert!(*met.borrow() > 0, "nobody did anything");
}

/// The report, which must be given.
pub(crate) fn told(report: Result<Report, QueryError>) -> Result<Report, TestCaseError> {
    report.map_err(|error| TestCaseError::fail(error.to_string()))
}
