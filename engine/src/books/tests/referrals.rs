//! Two-sided rewards: both with the customer's first purchase, on one level, to nobody for themselves, and both back
//! with it. And what cashback brings.

use weir_schemas::fact::DisputeState;
use weir_schemas::payout::PayoutStatus;

use super::programs::{PARTNER, PROGRAM, sold};
use super::*;

const FRIEND: PartnerId = PartnerId(PARTNER.0 + 1);

/// Rewards of 5.00 and 2.00 and no commission; two partners who are also customers, `u-ada` and `u-bob`.
fn referring(more: Value) -> Bench {
    let mut terms = json!({"commission": {"base": {"bp": 0}},
        "referral": {"referrer": {"fixed": eur(500)}, "referee": {"fixed": eur(200)}}});
    terms.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    let mut bench = bench();
    bench.program(PROGRAM, terms);
    for (id, code, customer) in [(PARTNER, "ADA", "u-ada"), (FRIEND, "BOB", "u-bob")] {
        bench.partner(id, code, json!({"program_id": PROGRAM, "customer_id": customer}));
    }
    bench
}

impl Bench {
    fn buys(&mut self, order: &str, customer: &str, code: &str) -> Value {
        let body = sold(order, 10_000, json!({"customer_id": customer, "partner_code": code}));
        let bought = self.convert(body, ClickClaim::None);
        assert_eq!(bought.status, 201);
        bought.body.into_value()
    }

    /// What a partner and all customers have in all.
    fn rewards(&self) -> (i64, i64, i64) {
        let of = |sql: &str| self.store.connection().query_row(sql, [], |row| row.get(0)).unwrap();
        (
            of("SELECT coalesce(sum(balance), 0) FROM accounts WHERE owner = 'partner' AND owner_id = 6"),
            of("SELECT coalesce(sum(balance), 0) FROM accounts WHERE owner = 'partner' AND owner_id = 7"),
            of("SELECT coalesce(sum(balance), 0) FROM accounts WHERE owner = 'customer'"),
        )
    }
}

#[test]
fn both_sides_are_rewarded_once_and_both_go_back() {
    let mut bench = referring(json!({}));
    let bought = bench.buys("A-1", "u1", "ADA");
    assert_eq!(bought["commissions"][0]["kind"], "referral");
    assert_eq!(bought["commissions"][0]["amount"]["amount"], 500);
    assert_eq!(bench.rewards(), (500, 0, 200));
    bench.buys("A-2", "u1", "ADA");
    bench.buys("A-3", "u1", "BOB");
    assert_eq!(bench.rewards(), (500, 0, 200), "only the first purchase, whoever brought the later ones");
    bench.refund(json!({"order_id": "A-1", "amount": eur(2_500)}));
    assert_eq!(bench.rewards(), (375, 0, 150), "a part takes its part of both");
    bench.refund(json!({"order_id": "A-1"}));
    assert_eq!(bench.rewards(), (0, 0, 0));
    bench.verify();
}

#[test]
fn nobody_refers_themselves_and_a_ring_earns_no_more_than_its_links() {
    let mut bench = referring(json!({"cashback_bp": 100}));
    let own = bench.buys("A-1", "u-ada", "ADA");
    assert_eq!(own["commissions"], json!([]));
    assert_eq!(bench.rewards(), (0, 0, 100), "cashback alone, which every customer gets");
    let mut ring = referring(json!({}));
    // Ada brings Bob, Bob brings Ada: one level each, and nothing of the other's for either.
    ring.buys("A-1", "u-bob", "ADA");
    assert_eq!(ring.rewards(), (500, 0, 200));
    ring.buys("A-2", "u-ada", "BOB");
    assert_eq!(ring.rewards(), (500, 500, 400));
    ring.buys("A-3", "u-ada", "ADA");
    ring.buys("A-4", "u-bob", "BOB");
    ring.buys("A-5", "u-bob", "ADA");
    assert_eq!(ring.rewards(), (500, 500, 400), "nobody earns by themselves, or twice");
    bench.verify();
    ring.verify();
}

#[test]
fn an_own_purchase_earns_nothing_whichever_of_its_announcements_tells_who_bought() {
    let paid = |buyer: &[PartnerId], click| Payment::Paid {
        order_keys: vec!["A-1".into()],
        id: ConversionId(70),
        renewal: false,
        amount: eur(10_000),
        customer: Some("u1".into()),
        person: None,
        buyer: buyer.to_vec(),
        subscription: None,
        occurred_at: Timestamp(NOON),
        click,
    };
    for orders in [[0, 1], [1, 0]] {
        let mut bench = referring(json!({"commission": {"base": {"bp": 1000}}, "cashback_bp": 100}));
        // One tells who bought and the other whose click it was.
        let told = [paid(&[FRIEND, PARTNER], ClickClaim::None), paid(&[], known(click_id(1, 1)))];
        for n in orders {
            bench.deliver(&format!("e{n}"), vec![told[n].clone()]);
        }
        assert_eq!(bench.rewards(), (0, 0, 100), "cashback alone: {orders:?}");
        // The customer is known from now on, and stays so where the address is not told again.
        let later = sold("A-2", 10_000, json!({"customer_id": "u1", "partner_code": "ADA"}));
        assert_eq!(bench.convert(later, ClickClaim::None).body["commissions"], json!([]));
        bench.refund(json!({"order_id": "A-1"}));
        assert_eq!(bench.rewards(), (0, 0, 100), "of the second");
        bench.verify();
    }
}

#[test]
fn who_may_not_earn_brings_no_welcome_either() {
    let mut bench = referring(json!({}));
    bench.change_partner(PARTNER, json!({"status": "suspended"}));
    bench.buys("A-1", "u1", "ADA");
    assert_eq!(bench.rewards(), (0, 0, 0));
    bench.change_partner(FRIEND, json!({"status": "pending"}));
    bench.buys("A-2", "u2", "BOB");
    assert_eq!(bench.balance("partner held EUR"), 500, "held until somebody has looked at them");
    bench.change_partner(FRIEND, json!({"status": "approved"}));
    assert_eq!(bench.rewards(), (0, 500, 200));
    bench.verify();
}

#[test]
fn what_is_disputed_while_its_payout_fails_is_held_again() {
    let mut bench = referring(json!({"commission": {"base": {"bp": 1000}}, "referral": null}));
    bench.buys("A-1", "u1", "ADA");
    let batch = bench.pay_out();
    let dispute = |state| Payment::Disputed {
        order_keys: vec!["A-1".into()],
        dispute: "dp_1".into(),
        amount: eur(10_000),
        state,
        occurred_at: Timestamp(NOON),
    };
    bench.deliver("e1", vec![dispute(DisputeState::Open)]);
    assert_eq!(bench.balance("partner processing EUR"), 1_000, "what is on its way stays so");
    bench.decide(&batch, PayoutStatus::Failed);
    assert_eq!((bench.balance("partner held EUR"), bench.balance("partner approved EUR")), (1_000, 0));
    assert_eq!(bench.pay_out()["data"], json!([]), "nothing is paid for what is in dispute");
    bench.deliver("e2", vec![dispute(DisputeState::Won)]);
    assert_eq!((bench.balance("partner held EUR"), bench.balance("partner approved EUR")), (0, 1_000));
    bench.verify();
}

#[test]
fn uplift_compares_those_with_cashback_and_those_without() {
    let mut bench = referring(json!({"cashback_bp": 500, "referral": null}));
    for (order, customer) in [("A-1", "u1"), ("A-2", "u1"), ("A-3", "u2")] {
        bench.buys(order, customer, "ADA");
    }
    // No partner, no program, no cashback.
    for (order, customer) in [("B-1", "u8"), ("B-2", "u9")] {
        bench.convert(sold(order, 5_000, json!({"customer_id": customer})), ClickClaim::None);
    }
    bench.refund(json!({"order_id": "A-2"}));
    let reads = Reads::new(bench._dir.path().join("books.db"));
    let all = (Timestamp(0), Timestamp(i64::MAX));
    let found = reads.cashback_uplift(WorkspaceId(1), PROGRAM, all).unwrap();
    assert_eq!(found.len(), 1);
    let (with, without) = (found[0].with_cashback, found[0].without_cashback);
    assert_eq!((with.customers, with.orders, with.repeat_customers), (2, 3, 1));
    assert_eq!((with.revenue, with.cashback), (eur(30_000), eur(1_000)), "net of what went back");
    assert_eq!((with.revenue_per_customer, with.average_order), (Some(eur(15_000)), Some(eur(10_000))));
    assert_eq!((without.customers, without.orders, without.revenue), (2, 2, eur(10_000)));
    let uplift = found[0].uplift;
    assert_eq!(uplift.revenue_per_customer_bp, Some(20_000), "150.00 beside 50.00");
    assert_eq!((uplift.orders_per_customer_bp, uplift.average_order_bp), (Some(5_000), Some(10_000)));
    assert_eq!(uplift.repeat_rate_bp, None, "nobody else came back: there is nothing to compare with");
    let empty = reads.cashback_uplift(WorkspaceId(1), PROGRAM, (Timestamp(0), Timestamp(1))).unwrap();
    assert_eq!(empty, []);
}
