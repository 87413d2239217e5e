//! Which of several touches is credited, told in the words of the trace.

use weir_schemas::conversion::AttributionRule;

use super::programs::sold;
use super::reading::{ONE, reads};
use super::*;
use crate::books::attribution::CLOCK_TOLERANCE_MS;

const PROGRAM: ProgramId = ProgramId(5);

/// Every candidate of a conversion: its rule, its click and the sentence.
fn told(bench: &Bench, sold: &Outcome) -> Vec<(AttributionRule, Option<ClickId>, String)> {
    let id: ConversionId = sold.body["id"].as_str().unwrap().parse().unwrap();
    let trace = reads(bench).trace(ONE, id).unwrap().unwrap();
    let told = trace.candidates.into_iter();
    told.map(|candidate| (candidate.rule, candidate.click_id, candidate.reason)).collect()
}

fn of_program(id: ClickId, program: ProgramId) -> ClickClaim {
    ClickClaim::Known { by: ClaimedBy::Wclid, facts: ClickFacts { program, ..facts_of(id) } }
}

#[test]
fn a_shops_clock_may_be_behind_by_so_much_for_a_click_that_it_names() {
    let mut bench = bench();
    for (n, later, credited) in [(1, CLOCK_TOLERANCE_MS, true), (2, CLOCK_TOLERANCE_MS + 1, false)] {
        let click = ClickId::new(NOON + later, 0, 1, n);
        let body = sold(&format!("A-{n}"), 1, json!({"occurred_at": Timestamp(NOON)}));
        let sale = bench.convert(body, known(click));
        assert_eq!(sale.body["attribution"].is_object(), credited, "{later} ms");
    }
    // What only the customer has in common with the sale came before it, or it takes nothing.
    let lead = json!({"event": "lead", "customer_id": "u1", "occurred_at": Timestamp(NOON + 2_000)});
    let click = ClickId::new(NOON + 1_000, 0, 1, 3);
    bench.convert(lead, known(click));
    for (n, at, credited) in [(3, NOON + 999, false), (4, NOON + 1_000, true)] {
        let more = json!({"customer_id": "u1", "occurred_at": Timestamp(at)});
        let sale = bench.convert(sold(&format!("A-{n}"), 1, more), ClickClaim::None);
        assert_eq!(sale.body["attribution"].is_object(), credited, "{at}");
        if !credited {
            let after = "The click came after the conversion.".to_owned();
            assert_eq!(told(&bench, &sale), [(AttributionRule::Customer, Some(click), after)]);
        }
    }
    bench.verify();
}

#[test]
fn the_first_touch_is_the_programs_own_and_no_subscriptions() {
    let mut bench = bench();
    bench.program(PROGRAM, json!({"attribution": "first", "window_days": 20}));
    bench.program(ProgramId(8), json!({}));
    let lead = json!({"event": "lead", "customer_id": "u1"});
    bench.convert(lead.clone(), of_program(click_id(10, 1), ProgramId(8)));
    bench.convert(lead, of_program(click_id(9, 2), PROGRAM));
    let sale = bench.convert(sold("A-1", 1, json!({"customer_id": "u1"})), known(click_id(1, 3)));
    assert_eq!(sale.body["attribution"]["click_id"], json!(click_id(9, 2)), "not the other program's");
    let reasons: Vec<_> = told(&bench, &sale).into_iter().map(|(_, click, why)| (click, why)).collect();
    assert_eq!(
        reasons,
        [
            (Some(click_id(1, 3)), "The program credits the first click.".to_owned()),
            (
                Some(click_id(9, 2)),
                "It is the first click within the window, which the program credits.".to_owned()
            ),
            (Some(click_id(10, 1)), "An earlier rule or a later click took the credit.".to_owned()),
        ]
    );
    // What an earlier sale of the subscription was credited to is no touch of this one.
    let of_subscription = |order: &str| sold(order, 1, json!({"subscription_id": "sub_1"}));
    bench.convert(of_subscription("S-1"), known(click_id(7, 4)));
    let sale = bench.convert(of_subscription("S-2"), known(click_id(2, 5)));
    assert_eq!(sale.body["attribution"]["click_id"], json!(click_id(2, 5)));
    bench.verify();
}

#[test]
fn who_renews_stays_bound_to_the_click_that_won_them() {
    let mut bench = bench();
    let at = |days: i64| Timestamp(NOON + days * DAY_MS);
    let click = click_id(1, 1);
    bench.convert(json!({"event": "lead", "customer_id": "u1", "occurred_at": at(0)}), known(click));
    let mut pays = |order: &str, event: &str| {
        let more = json!({"event": event, "customer_id": "u1", "occurred_at": at(90)});
        let sale = bench.convert(sold(order, 1, more), ClickClaim::None);
        (sale.body["attribution"]["click_id"].clone(), told(&bench, &sale).remove(0).2)
    };
    let last = "It is the customer's last click within the window before the conversion.";
    assert_eq!(pays("A-1", "renewal"), (json!(click), last.to_owned()));
    let late = "The click is more than 30 days older than the conversion.";
    assert_eq!(pays("A-2", "sale"), (Value::Null, late.to_owned()));
    bench.verify();
}

#[test]
fn a_trace_says_of_each_candidate_why() {
    use AttributionRule::{Coupon, Customer, PartnerCode, Wclid};
    let mut bench = bench();
    bench.partner(PartnerId(7), "BOB", json!({"coupons": ["BOB10"]}));
    let lead = json!({"event": "lead", "customer_id": "u1"});
    let robot = ClickFacts { bot: true, ..facts_of(click_id(2, 2)) };
    bench.convert(lead.clone(), known(click_id(3, 1)));
    bench.convert(lead.clone(), ClickClaim::Known { by: ClaimedBy::Wclid, facts: robot });
    bench.convert(lead, known(click_id(40, 3)));
    let all = json!({"customer_id": "u1", "coupon": "bob10", "partner_code": "nobody"});
    let sale = bench.convert(sold("A-1", 1, all), known(click_id(1, 4)));
    let taken = "An earlier rule or a later click took the credit.";
    let expected = [
        (Wclid, Some(click_id(1, 4)), "The conversion carried this click's token."),
        (Coupon, None, taken),
        (PartnerCode, None, "No partner has `nobody`."),
        (Customer, Some(click_id(2, 2)), "It is a robot's click."),
        (Customer, Some(click_id(3, 1)), taken),
        (Customer, Some(click_id(40, 3)), "The click is more than 30 days older than the conversion."),
    ];
    let expected = expected.map(|(rule, click, why)| (rule, click, why.to_owned()));
    assert_eq!(told(&bench, &sale), expected);
    let refused = bench.convert(sale_of_a_stranger(), ClickClaim::Refused { reason: "forged".into() });
    assert_eq!(told(&bench, &refused), [(Wclid, None, "Refused: forged".to_owned())]);
    bench.verify();
}

fn sale_of_a_stranger() -> Value {
    sale("A-2", 1)
}
