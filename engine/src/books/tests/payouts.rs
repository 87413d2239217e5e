//! Payouts: everything due once, whatever fails, and what went back afterwards carried on.

use weir_schemas::ids::PayoutId;
use weir_schemas::payout::{PayoutScope, PayoutStatus};

use super::commissions::earning;
use super::*;

impl Bench {
    pub(super) fn pay_out(&mut self) -> Value {
        let id = PayoutId(40_000 + self.facts.len() as u64 * 100);
        let outcome = self.apply(What::PayoutsRequested { id, scope: PayoutScope::default() });
        assert_eq!(outcome.status, 201);
        outcome.body.into_value()
    }

    pub(super) fn decide(&mut self, payout: &Value, to: PayoutStatus) -> Outcome {
        let id = payout["id"].as_str().unwrap().parse().unwrap();
        self.apply(What::PayoutDecided { id, to, reference: Some("T-1".into()), reason: None })
    }
}

#[test]
fn all_that_is_due_is_paid_once() {
    let mut bench = earning(json!({"hold_days": 7, "min_payout": {"amount": 150, "currency": "EUR"}}));
    bench.convert(sale("A-1", 1_000), known(click_id(1, 1)));
    assert_eq!(bench.pay_out()["data"], json!([]), "pending is not due");
    bench.wait(8);
    let small = bench.pay_out();
    assert_eq!((&small["data"], &small["carried"][0]["amount"]["amount"]), (&json!([]), &json!(100)));
    bench.convert(sale("A-2", 1_000), known(click_id(1, 2)));
    bench.wait(8);
    let batch = bench.pay_out();
    assert_eq!(batch["totals"], json!([{"amount": 200, "currency": "EUR"}]));
    let payout = &batch["data"][0];
    assert_eq!((&payout["status"], &payout["commissions"]), (&json!("pending"), &json!(2)));
    assert_eq!((bench.balance("partner processing EUR"), bench.balance("partner approved EUR")), (200, 0));
    assert_eq!(bench.pay_out()["data"], json!([]), "nothing is in two payouts");
    let paid = bench.decide(payout, PayoutStatus::Paid);
    assert_eq!((&paid.body["status"], &paid.body["reference"]), (&json!("paid"), &json!("T-1")));
    assert_eq!(bench.decide(payout, PayoutStatus::Paid).status, 200, "again");
    assert_eq!(code(&bench.decide(payout, PayoutStatus::Failed)), "payout_state");
    assert_eq!((bench.balance("partner paid EUR"), bench.balance("partner processing EUR")), (200, 0));
    assert!(bench.earnings().iter().all(|earning| earning.3 == "paid"));
    assert_eq!(
        bench
            .apply(What::PayoutDecided {
                id: PayoutId(1),
                to: PayoutStatus::Paid,
                reference: None,
                reason: None,
            })
            .status,
        404
    );
    bench.verify();
}

#[test]
fn what_fails_is_due_again_and_a_batch_goes_as_one() {
    let mut bench = earning(json!({}));
    bench.partner(PartnerId(7), "BOB", json!({"program_id": super::programs::PROGRAM}));
    bench.convert(sale("A-1", 1_000), known(click_id(1, 1)));
    bench.convert(super::programs::sold("A-2", 500, json!({"partner_code": "BOB"})), ClickClaim::None);
    let batch = bench.pay_out();
    assert_eq!(batch["data"].as_array().unwrap().len(), 2);
    assert_eq!(bench.decide(&batch["data"][0], PayoutStatus::Failed).body["status"], "failed");
    assert_eq!(bench.balance("partner approved EUR"), 100);
    let again = bench.pay_out();
    assert_eq!(again["totals"][0]["amount"], 100);
    assert_eq!(bench.decide(&again, PayoutStatus::Processing).body["data"][0]["status"], "processing");
    assert_eq!(bench.decide(&again, PayoutStatus::Cancelled).status, 200);
    let last = bench.pay_out();
    assert_eq!(bench.decide(&last, PayoutStatus::Paid).status, 200);
    assert_eq!(code(&bench.decide(&batch, PayoutStatus::Paid)), "payout_state", "one of it has failed");
    bench.verify();
}

#[test]
fn a_batch_of_which_one_cannot_go_stays_whole_where_it_is() {
    let mut bench = earning(json!({}));
    bench.partner(PartnerId(7), "BOB", json!({"program_id": super::programs::PROGRAM}));
    bench.convert(sale("A-1", 1_000), known(click_id(1, 1)));
    bench.convert(super::programs::sold("A-2", 500, json!({"partner_code": "BOB"})), ClickClaim::None);
    let batch = bench.pay_out();
    bench.decide(&batch["data"][1], PayoutStatus::Failed);
    // The first would have been paid before the second is met.
    assert_eq!(code(&bench.decide(&batch, PayoutStatus::Paid)), "payout_state");
    assert_eq!((bench.balance("partner processing EUR"), bench.balance("partner paid EUR")), (100, 0));
    assert_eq!(bench.decide(&batch["data"][0], PayoutStatus::Paid).status, 200);
    assert_eq!((bench.balance("partner processing EUR"), bench.balance("partner paid EUR")), (0, 100));
    bench.verify();
}

#[test]
fn what_goes_back_after_it_was_paid_lowers_the_next() {
    let mut bench = earning(json!({}));
    bench.convert(sale("A-1", 1_000), known(click_id(1, 1)));
    let first = bench.pay_out();
    bench.decide(&first, PayoutStatus::Paid);
    bench.refund(json!({"order_id": "A-1"}));
    assert_eq!(bench.balance("partner approved EUR"), -100);
    assert_eq!(bench.earnings()[0].3, "reversed");
    let nothing = bench.pay_out();
    assert_eq!((&nothing["data"], &nothing["carried"][0]["amount"]["amount"]), (&json!([]), &json!(-100)));
    assert_eq!(nothing["carried"][0]["reason"], "More went back than is due.");
    bench.convert(sale("A-2", 1_000), known(click_id(1, 2)));
    let even = bench.pay_out();
    assert_eq!((&even["data"], &even["carried"]), (&json!([]), &json!([])), "nothing is due, either way");
    bench.convert(sale("A-3", 500), known(click_id(1, 3)));
    let second = bench.pay_out();
    assert_eq!((&second["totals"][0]["amount"], &second["data"][0]["commissions"]), (&json!(50), &json!(3)));
    bench.decide(&second, PayoutStatus::Paid);
    assert_eq!((bench.balance("partner paid EUR"), bench.balance("partner approved EUR")), (150, 0));
    assert_eq!(bench.total().commission, 150);
    bench.verify();
}

#[test]
fn a_refund_while_the_money_is_on_its_way_is_carried() {
    let mut bench = earning(json!({}));
    bench.convert(sale("A-1", 1_000), known(click_id(1, 1)));
    let batch = bench.pay_out();
    bench.refund(json!({"order_id": "A-1", "amount": eur(400)}));
    assert_eq!((bench.balance("partner processing EUR"), bench.balance("partner approved EUR")), (100, -40));
    bench.decide(&batch, PayoutStatus::Failed);
    assert_eq!(bench.balance("partner approved EUR"), 60);
    let next = bench.pay_out();
    assert_eq!(next["totals"][0]["amount"], 60);
    bench.decide(&next, PayoutStatus::Paid);
    assert_eq!(bench.earnings()[0].3, "paid");
    bench.verify();
}
