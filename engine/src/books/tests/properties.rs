//! Payments in any order against a naive twin that looks at the whole set of them at once.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;
use weir_schemas::conversion::RefundReason;
use weir_schemas::fact::{DisputeState, Returned};

use super::deliveries::keys;
use super::*;

/// Each order has three names; every event tells some of them.
const NAMES: [&str; 3] = ["pi", "in", "cs"];

#[derive(Debug, Clone)]
enum Event {
    Paid { customer: bool, click: bool, renewal: bool },
    Cumulative(i64),
    Single { n: u8, reversed: bool },
    Dispute { n: u8, state: DisputeState },
}

#[derive(Debug, Clone)]
struct Told {
    order: usize,
    names: Vec<bool>,
    event: Event,
}

/// What is paid for an order, and what its refunds and disputes take: each the same wherever it is told.
fn price(order: usize) -> i64 {
    100 + order as i64
}

fn single_amount(n: u8) -> i64 {
    20 + i64::from(n) * 15
}

fn event() -> impl Strategy<Value = Event> {
    let state = prop_oneof![
        Just(DisputeState::Inquiry),
        Just(DisputeState::Open),
        Just(DisputeState::Lost),
        Just(DisputeState::Won)
    ];
    prop_oneof![
        4 => (any::<bool>(), any::<bool>(), any::<bool>())
            .prop_map(|(customer, click, renewal)| Event::Paid { customer, click, renewal }),
        1 => (1..150_i64).prop_map(Event::Cumulative),
        2 => (0..3_u8, any::<bool>()).prop_map(|(n, reversed)| Event::Single { n, reversed }),
        1 => (0..2_u8, state).prop_map(|(n, state)| Event::Dispute { n, state }),
    ]
}

fn told() -> impl Strategy<Value = Told> {
    let names = prop::collection::vec(any::<bool>(), NAMES.len());
    (0..3_usize, names, event()).prop_map(|(order, mut names, event)| {
        if !names.contains(&true) {
            names[0] = true;
        }
        Told { order, names, event }
    })
}

fn keys_of(told: &Told) -> Vec<String> {
    let names: Vec<String> = NAMES
        .iter()
        .zip(&told.names)
        .filter(|(_, told)| **told)
        .map(|(name, _)| format!("{name}_{}", told.order))
        .collect();
    keys(&names.iter().map(String::as_str).collect::<Vec<_>>())
}

fn payment(told: &Told) -> Payment {
    let order_keys = keys_of(told);
    let occurred_at = Timestamp(NOON);
    let link_click = click_id(1, told.order as u64 + 1);
    match &told.event {
        Event::Paid { customer, click, renewal } => Payment::Paid {
            order_keys,
            id: ConversionId(9_000),
            renewal: *renewal,
            amount: eur(price(told.order)),
            customer: customer.then(|| format!("cus_{}", told.order % 2)),
            person: None,
            buyer: Vec::new(),
            subscription: None,
            occurred_at,
            click: if *click { known(link_click) } else { ClickClaim::None },
        },
        Event::Cumulative(total) => Payment::Refunded {
            order_keys,
            returned: Returned::Cumulative(eur(*total)),
            reason: RefundReason::Refund,
            occurred_at,
        },
        Event::Single { n, reversed } => Payment::Refunded {
            order_keys,
            returned: Returned::Single {
                refund: format!("re_{n}"),
                amount: eur(single_amount(*n)),
                reversed: *reversed,
            },
            reason: RefundReason::Refund,
            occurred_at,
        },
        Event::Dispute { n, state } => Payment::Disputed {
            order_keys,
            dispute: format!("dp_{n}"),
            amount: eur(30 + i64::from(*n)),
            state: *state,
            occurred_at,
        },
    }
}

#[derive(Debug, Default, PartialEq, Eq)]
struct Totals {
    sales: i64,
    renewals: i64,
    revenue: i64,
    refunded: i64,
    charged_back: i64,
    new_customers: i64,
    credited: i64,
}

/// The twin: orders are the connected groups of names; each is judged by the set of what was told of it.
fn twin(all: &[Told], customers_may_credit: bool) -> Totals {
    let mut groups: Vec<(BTreeSet<String>, Vec<&Told>)> = Vec::new();
    for told in all {
        let mut names: BTreeSet<String> = keys_of(told).into_iter().collect();
        let mut members = vec![told];
        groups.retain_mut(|(other, its)| {
            let apart = other.is_disjoint(&names);
            if !apart {
                names.append(other);
                members.append(its);
            }
            apart
        });
        groups.push((names, members));
    }
    let mut totals = Totals::default();
    let mut customers = BTreeSet::new();
    for (_, members) in &groups {
        let mut paid = 0;
        let (mut click_told, mut renewed, mut cumulative) = (false, false, 0);
        let (mut singles, mut disputes) = (BTreeMap::<u8, bool>::new(), BTreeMap::<u8, u8>::new());
        for told in members {
            match &told.event {
                Event::Paid { customer, click, renewal } => {
                    paid = price(told.order);
                    click_told |= click;
                    renewed |= renewal;
                    if *customer {
                        customers.insert(told.order % 2);
                    }
                }
                Event::Cumulative(total) => cumulative = cumulative.max(*total),
                Event::Single { n, reversed } => *singles.entry(*n).or_default() |= reversed,
                Event::Dispute { n, state } => {
                    // All at one time: decided beats open beats asked, and of two decisions `won` is the
                    // later word.
                    let rank = match state {
                        DisputeState::Inquiry => 0,
                        DisputeState::Open => 1,
                        DisputeState::Lost => 2,
                        DisputeState::Won => 3,
                    };
                    let known = disputes.entry(*n).or_insert(rank);
                    *known = rank.max(*known);
                }
            }
        }
        if paid == 0 {
            continue;
        }
        let sum = |wanted: bool| -> i64 {
            singles.iter().filter(|(_, reversed)| **reversed == wanted).map(|(n, _)| single_amount(*n)).sum()
        };
        let refunded = sum(false).max(cumulative - sum(true)).clamp(0, paid);
        let disputed: i64 = disputes
            .iter()
            .filter(|(_, rank)| matches!(**rank, 1 | 2))
            .map(|(n, _)| 30 + i64::from(*n))
            .sum();
        totals.sales += i64::from(!renewed);
        totals.renewals += i64::from(renewed);
        totals.revenue += paid;
        totals.refunded += refunded;
        totals.charged_back += disputed.min(paid - refunded);
        if click_told && !customers_may_credit {
            totals.credited += paid - refunded - disputed.min(paid - refunded);
        }
    }
    totals.new_customers = customers.len() as i64;
    totals
}

fn booked(bench: &Bench, customers_may_credit: bool) -> Totals {
    let credited = bench.total_of(|effect| effect.link == LINK);
    Totals {
        sales: bench.total_of(|effect| effect.event == "sale").orders,
        renewals: bench.total_of(|effect| effect.event == "renewal").conversions,
        revenue: bench.total().revenue,
        refunded: bench.total_of(|effect| effect.event == "refund").refunds,
        charged_back: bench.total_of(|effect| effect.event == "chargeback").refunds,
        new_customers: bench.total().new_customers,
        credited: if customers_may_credit { 0 } else { credited.revenue - credited.refunds },
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    #[test]
    fn payments_in_any_order_give_the_totals_of_their_set(
        mut all in prop::collection::vec(told(), 1..14),
        order in any::<u64>(),
    ) {
        // A customer's touch credits other orders by the order of arrival, rightly: then credit is not
        // compared.
        let with_customers = order % 2 == 0;
        for told in &mut all {
            if let Event::Paid { customer, .. } = &mut told.event {
                *customer &= with_customers;
            }
        }
        let expected = twin(&all, with_customers);
        for turn in 0..3 {
            let mut bench = bench();
            let mut shuffled: Vec<(u64, &Told)> = all
                .iter()
                .enumerate()
                .map(|(n, told)| ((order ^ (n as u64 + 1)).wrapping_mul(0x9E37_79B9 + turn * 2) >> 7, told))
                .collect();
            if turn > 0 {
                shuffled.sort_by_key(|(key, _)| *key);
            }
            for (n, (_, told)) in shuffled.iter().enumerate() {
                bench.deliver(&format!("e{n}"), vec![payment(told)]);
                prop_assert_eq!(bench.store.check().unwrap(), Vec::<String>::new());
            }
            prop_assert_eq!(&booked(&bench, with_customers), &expected);
            bench.verify();
        }
    }
}

#[derive(Debug, Clone)]
enum Call {
    Sell { order: u8, amount: i64, click: bool },
    Refund { order: u8, amount: Option<i64>, id: Option<u8> },
    Find { order: u8 },
}

fn call() -> impl Strategy<Value = Call> {
    let order = 0..4_u8;
    prop_oneof![
        (order.clone(), prop_oneof![Just(100_i64), Just(70)], any::<bool>())
            .prop_map(|(order, amount, click)| Call::Sell { order, amount, click }),
        (order.clone(), prop::option::of(1..60_i64), prop::option::of(0..3_u8))
            .prop_map(|(order, amount, id)| Call::Refund { order, amount, id }),
        order.prop_map(|order| Call::Find { order }),
    ]
}

#[derive(Debug, Default)]
struct Sold {
    amount: i64,
    returned: i64,
    refunds: BTreeMap<u8, i64>,
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    #[test]
    fn calls_answer_as_a_naive_shop_would(calls in prop::collection::vec(call(), 1..30)) {
        let mut bench = bench();
        let mut shop: BTreeMap<u8, Sold> = BTreeMap::new();
        for call in calls {
            match call {
                Call::Sell { order, amount, click } => {
                    let id = click_id(1, u64::from(order));
                    let claim = match click {
                        true => ClickClaim::Unresolved { by: ClaimedBy::Wclid, id, link: LINK },
                        false => ClickClaim::None,
                    };
                    let expected = match shop.get(&order) {
                        None => 201,
                        Some(sold) if sold.amount == amount => 200,
                        Some(_) => 409,
                    };
                    let sold = bench.convert(sale(&format!("o{order}"), amount), claim);
                    prop_assert_eq!(sold.status, expected);
                    shop.entry(order).or_insert_with(|| Sold { amount, ..Sold::default() });
                }
                Call::Refund { order, amount, id } => {
                    let amount_json = amount.map(|amount| json!({"amount": amount, "currency": "EUR"}));
                    let body = json!({"order_id": format!("o{order}"), "amount": amount_json,
                                      "refund_id": id.map(|id| format!("r{id}"))});
                    let status = bench.refund(body).status;
                    let Some(sold) = shop.get_mut(&order) else {
                        prop_assert_eq!(status, 404);
                        continue;
                    };
                    if let Some(known) = id.and_then(|id| sold.refunds.get(&id)) {
                        let same = amount.is_none_or(|amount| amount == *known);
                        prop_assert_eq!(status, if same { 200 } else { 409 });
                        continue;
                    }
                    let left = sold.amount - sold.returned;
                    let taken = amount.unwrap_or(left);
                    if left == 0 || taken > left {
                        prop_assert_eq!(status, 422);
                        continue;
                    }
                    prop_assert_eq!(status, 201);
                    sold.returned += taken;
                    if let Some(id) = id {
                        sold.refunds.insert(id, taken);
                    }
                }
                Call::Find { order } => {
                    bench.apply(What::ClickResolved { click: facts_of(click_id(1, u64::from(order))) });
                }
            }
        }
        let revenue: i64 = shop.values().map(|sold| sold.amount).sum();
        let returned: i64 = shop.values().map(|sold| sold.returned).sum();
        let total = bench.total();
        prop_assert_eq!((total.revenue, total.refunds), (revenue, returned));
        prop_assert_eq!((total.orders, total.conversions), (shop.len() as i64, shop.len() as i64));
        bench.verify();
    }
}
