//! What partners and customers earn, by the cent, and where the ledger has it.

use std::collections::BTreeMap;

use weir_schemas::commission::Verdict;
use weir_schemas::conversion::RefundReason;
use weir_schemas::fact::{DisputeState, Returned};
use weir_schemas::ids::CommissionId;

use super::permutations::{every_order, numbered};
use super::programs::{PARTNER, PROGRAM, sold};
use super::*;

/// A bench with the program of the clicks ([`facts_of`]), base 10 %, and its partner.
pub(super) fn earning(terms: Value) -> Bench {
    let mut bench = bench();
    bench.program(PROGRAM, terms);
    bench.partner(PARTNER, "ADA", json!({}));
    bench
}

impl Bench {
    /// Every balance that is not zero: `partner pending EUR` and so on.
    pub(super) fn balances(&self) -> BTreeMap<String, i64> {
        let mut statement = self
            .store
            .connection()
            .prepare("SELECT owner || ' ' || kind || ' ' || currency, sum(balance) FROM accounts GROUP BY 1")
            .unwrap();
        let rows = statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?))).unwrap();
        rows.map(Result::unwrap).filter(|(_, balance)| *balance != 0).collect()
    }

    pub(super) fn balance(&self, of: &str) -> i64 {
        self.balances().get(of).copied().unwrap_or_default()
    }

    pub(super) fn wait(&mut self, days: i64) {
        self.later += days * DAY_MS;
        self.apply(What::TimePassed {});
    }

    /// Kind, earned, fee and state of every earning.
    pub(super) fn earnings(&self) -> Vec<(String, i64, i64, String)> {
        let mut statement = self
            .store
            .connection()
            .prepare("SELECT kind, earned, fee, state FROM earnings ORDER BY conversion, kind, id")
            .unwrap();
        let rows =
            statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?))).unwrap();
        rows.map(Result::unwrap).collect()
    }

    fn judge(&mut self, nth: usize, verdict: Verdict, reason: &str) -> Outcome {
        let id: i64 = self
            .store
            .connection()
            .query_row("SELECT id FROM earnings ORDER BY id LIMIT 1 OFFSET ?1", [nth as i64], |row| {
                row.get(0)
            })
            .unwrap();
        let reason = Some(reason.to_owned());
        self.apply(What::CommissionJudged { id: CommissionId(id as u64), verdict, reason })
    }
}

fn of(pairs: &[(&str, i64)]) -> BTreeMap<String, i64> {
    pairs.iter().map(|(name, amount)| ((*name).to_owned(), *amount)).collect()
}

#[test]
fn a_sale_earns_pending_then_approved() {
    let mut bench = earning(json!({"hold_days": 7, "platform_fee_bp": 2000}));
    let sold = bench.convert(sale("A-1", 1_999), known(click_id(1, 1)));
    let line = &sold.body["commissions"][0];
    // 10 % of 19.99 is 2.00; of it the partner keeps 80 %, 1.5992.
    assert_eq!(line["amount"], json!({"amount": 160, "currency": "EUR"}));
    assert_eq!(line["platform_fee"], json!({"amount": 40, "currency": "EUR"}));
    assert_eq!((&line["status"], &line["partner_id"]), (&json!("pending"), &json!(PARTNER)));
    let expected = [
        ("merchant clearing:api EUR", -1_999),
        ("merchant commissions EUR", -200),
        ("merchant revenue EUR", 1_999),
        ("partner pending EUR", 160),
        ("platform fee EUR", 40),
    ];
    assert_eq!(bench.balances(), of(&expected));
    assert_eq!(bench.total().commission, 160);
    bench.wait(6);
    assert_eq!(bench.balance("partner pending EUR"), 160);
    bench.wait(1);
    assert_eq!((bench.balance("partner pending EUR"), bench.balance("partner approved EUR")), (0, 160));
    assert_eq!(bench.earnings(), [("commission".into(), 160, 40, "approved".into())]);
    assert_eq!(bench.total().commission, 160, "an approval earns nothing new");
    bench.verify();
}

#[test]
fn a_backdated_sale_beyond_its_hold_is_approved_at_once() {
    let mut bench = earning(json!({"hold_days": 7}));
    let body = sold("A-1", 1_000, json!({"occurred_at": Timestamp(NOON - 7 * DAY_MS)}));
    let sold = bench.convert(body, known(click_id(8, 1)));
    assert_eq!(sold.body["commissions"][0]["status"], "approved");
    bench.verify();
}

#[test]
fn a_tier_applies_once_the_partner_has_what_it_asks() {
    let tiers = json!([{"name": "Silver", "bp": 1500, "from": {"orders": 2}},
        {"name": "Gold", "bp": 2000, "from": {"revenue": {"amount": 5_000, "currency": "EUR"}}}]);
    let mut bench = earning(json!({"commission": {"base": {"bp": 1000}, "tiers": tiers}}));
    let mut earned = Vec::new();
    for n in 0..5 {
        let sold = bench.convert(sale(&format!("A-{n}"), 1_500), known(click_id(1, n)));
        let line = &sold.body["commissions"][0];
        earned.push((line["amount"]["amount"].as_i64().unwrap(), line["tier"].as_str().map(str::to_owned)));
    }
    let silver = Some("Silver".to_owned());
    let expected =
        [(150, None), (150, None), (225, silver.clone()), (225, silver), (300, Some("Gold".to_owned()))];
    assert_eq!(earned, expected);
    bench.verify();
}

#[test]
fn a_tiers_period_begins_anew() {
    let tiers = json!([{"name": "Busy", "bp": 2000, "from": {"orders": 1}}]);
    let mut bench = earning(
        json!({"commission": {"base": {"bp": 1000}, "tiers": tiers, "period": "month"}, "window_days": 365}),
    );
    let mut tier = |n: u64, at: &str| {
        let body = sold(&format!("A-{n}"), 100, json!({"occurred_at": at}));
        bench.convert(body, known(ClickId::new(Timestamp::parse(at).unwrap().0, 0, 1, n))).body["commissions"]
            [0]["tier"]
            .clone()
    };
    assert_eq!(tier(1, "2026-09-10T00:00:00Z"), Value::Null);
    assert_eq!(tier(2, "2026-09-30T23:59:59.999Z"), "Busy");
    assert_eq!(tier(3, "2026-10-01T00:00:00Z"), Value::Null, "down again");
    bench.verify();
}

#[test]
fn partial_refunds_compute_anew_and_reverse_the_difference() {
    let mut bench = earning(json!({"platform_fee_bp": 1000}));
    bench.convert(sale("A-1", 999), known(click_id(1, 1)));
    for (n, (back, earned, fee)) in [(333, 60, 7), (333, 30, 3), (333, 0, 0)].into_iter().enumerate() {
        let id = format!("r{n}");
        let amount = json!({"amount": back, "currency": "EUR"});
        bench.refund(json!({"order_id": "A-1", "refund_id": id, "amount": amount}));
        assert_eq!(bench.earnings()[0].1, earned);
        assert_eq!(bench.earnings()[0].2, fee);
        assert_eq!(bench.total().commission, earned);
    }
    assert_eq!(bench.earnings()[0].3, "reversed");
    assert_eq!(bench.total_of(|effect| effect.event == "refund").commission, -90);
    assert_eq!(bench.balances().keys().filter(|name| !name.starts_with("merchant")).count(), 0);
    bench.verify();
}

#[test]
fn an_old_version_stays_what_it_was() {
    let mut bench = earning(json!({}));
    bench.convert(sale("A-1", 1_000), known(click_id(1, 1)));
    bench.later += DAY_MS;
    bench.change(PROGRAM, json!({"commission": {"base": {"bp": 5000}}}));
    bench.convert(sale("A-2", 1_000), known(click_id(1, 2)));
    let late = sold("A-3", 1_000, json!({"occurred_at": Timestamp(NOON + 1_000)}));
    bench.convert(late, known(click_id(1, 3)));
    let half = json!({"amount": 500, "currency": "EUR"});
    bench.refund(json!({"order_id": "A-1", "amount": half}));
    let earned: Vec<i64> = bench.earnings().iter().map(|earning| earning.1).collect();
    assert_eq!(earned, [50, 500, 100], "half of the first, the new one, and a sale from before the change");
    bench.verify();
}

#[test]
fn renewals_earn_for_their_months() {
    let commission = json!({"base": {"bp": 1000}, "recurring_months": 2});
    let mut bench = earning(json!({ "commission": commission }));
    for (n, at) in ["2026-06-15", "2026-07-15", "2026-08-14", "2026-08-15"].into_iter().enumerate() {
        let event = if n == 0 { "sale" } else { "renewal" };
        let body = json!({"event": event, "order_id": format!("S-{n}"), "subscription_id": "sub",
            "amount": {"amount": 1000, "currency": "EUR"}, "occurred_at": format!("{at}T00:00:00Z")});
        let click = ClickId::new(Timestamp::parse("2026-06-14T00:00:00Z").unwrap().0, 0, 1, 1);
        let claim = if n == 0 { known(click) } else { ClickClaim::None };
        let sold = bench.convert(body, claim);
        assert_eq!(sold.body["commissions"].as_array().unwrap().len(), usize::from(n < 3), "{at}");
    }
    bench.verify();
}

/// The API takes a sale and a renewal under one order id.
#[test]
fn what_goes_back_of_an_order_is_taken_of_its_payments_in_turn() {
    let mut bench = earning(json!({}));
    let body = |event: &str| {
        let amount = json!({"amount": 1_000, "currency": "EUR"});
        json!({"event": event, "order_id": "A-1", "customer_id": "u", "amount": amount})
    };
    let sold = bench.convert(body("sale"), known(click_id(1, 1)));
    let renewed = bench.convert(body("renewal"), ClickClaim::None);
    let earned =
        |bench: &Bench| bench.earnings().into_iter().map(|(_, earned, ..)| earned).collect::<Vec<_>>();
    let refunds = |bench: &Bench, made: &Outcome| {
        bench.total_of(|effect| json!(effect.conversion) == made.body["id"]).refunds
    };
    assert_eq!(earned(&bench), [100, 100]);
    let back = json!({"order_id": "A-1", "amount": {"amount": 1_300, "currency": "EUR"}});
    assert_eq!(bench.refund(back).body["conversion"]["refunded"]["amount"], 1_000);
    assert_eq!((refunds(&bench, &sold), refunds(&bench, &renewed)), (1_000, 300));
    assert_eq!(earned(&bench), [0, 70]);
    assert_eq!(bench.total().commission, 70);
    assert_eq!(bench.refund(json!({"order_id": "A-1"})).body["refunded"]["amount"], 2_000);
    assert_eq!((refunds(&bench, &sold), refunds(&bench, &renewed)), (1_000, 1_000));
    assert_eq!(earned(&bench), [0, 0]);
    bench.verify();
}

#[test]
fn products_and_tags_have_their_own_rates() {
    let products = json!([{"product": "ebook", "bp": 3000}, {"tag": "course", "fixed": {"amount": 700, "currency": "EUR"}}]);
    let mut bench = earning(json!({"commission": {"base": {"bp": 1000}, "products": products}}));
    for (n, (properties, earned)) in [
        (json!({"product": "ebook", "tags": ["course"]}), 300),
        (json!({"product": "video", "tags": ["new", "course"]}), 700),
        (json!({"tag": "course"}), 700),
        (json!({"product": "video"}), 100),
    ]
    .into_iter()
    .enumerate()
    {
        let body = sold(&format!("A-{n}"), 1_000, json!({"properties": properties}));
        let sold = bench.convert(body, known(click_id(1, n as u64)));
        assert_eq!(sold.body["commissions"][0]["amount"]["amount"], earned, "{properties}");
    }
    bench.verify();
}

#[test]
fn the_rate_of_an_erased_customers_product_stays() {
    let products = json!([{"product": "ebook", "bp": 3000}]);
    let mut bench = earning(json!({"commission": {"base": {"bp": 1000}, "products": products}}));
    let said = json!({"product": "ebook", "note": "for Ada"});
    let body = sold("A-1", 1_000, json!({"customer_id": "u1", "properties": said}));
    bench.convert(body, known(click_id(1, 1)));
    assert_eq!(bench.apply(What::CustomerErased { customer_id: "u1".into() }).status, 204);
    let half = json!({"order_id": "A-1", "refund_id": "r1", "amount": {"amount": 500, "currency": "EUR"}});
    assert_eq!(bench.refund(half).status, 201);
    assert_eq!(bench.total().commission, 150, "half of what it earned");
    for effect in bench.effects() {
        let names: Vec<&str> = effect.properties.keys().map(String::as_str).collect();
        assert_eq!(names, ["product"]);
    }
    bench.verify();
}

#[test]
fn who_does_not_earn() {
    let mut bench = earning(json!({}));
    bench.change_partner(PARTNER, json!({"customer_id": "u1"}));
    let own = bench.convert(sold("A-1", 100, json!({"customer_id": "u1"})), known(click_id(1, 1)));
    assert_eq!((&own.body["commissions"], own.body["attribution"].is_object()), (&json!([]), true));
    bench.change_partner(PARTNER, json!({"status": "suspended"}));
    assert_eq!(bench.convert(sale("A-2", 100), known(click_id(1, 2))).body["commissions"], json!([]));
    bench.change_partner(PARTNER, json!({"status": "pending"}));
    let held = bench.convert(sale("A-3", 100), known(click_id(1, 3)));
    assert_eq!(held.body["commissions"][0]["status"], "held");
    assert_eq!(bench.balance("partner held EUR"), 10);
    bench.change_partner(PARTNER, json!({"status": "approved"}));
    assert_eq!((bench.balance("partner held EUR"), bench.balance("partner approved EUR")), (0, 10));
    let lead = bench.convert(json!({"event": "lead"}), known(click_id(1, 4)));
    assert_eq!(lead.body["commissions"], json!([]));
    bench.verify();
}

#[test]
fn a_person_holds_releases_and_rejects() {
    let mut bench = earning(json!({"hold_days": 7}));
    bench.convert(sale("A-1", 1_000), known(click_id(1, 1)));
    let held = bench.judge(0, Verdict::Hold, "odd");
    assert_eq!((&held.body["status"], &held.body["reason"]), (&json!("held"), &json!("odd")));
    bench.wait(8);
    assert_eq!(bench.balance("partner held EUR"), 100, "held is held");
    assert_eq!(bench.judge(0, Verdict::Release, "").body["status"], "approved");
    assert_eq!(code(&bench.judge(0, Verdict::Release, "")), "commission_state");
    assert_eq!(bench.judge(0, Verdict::Reject, "fraud").body["status"], "rejected");
    assert_eq!(bench.total().commission, 0);
    assert_eq!(code(&bench.judge(0, Verdict::Approve, "")), "commission_state");
    bench.convert(sale("A-2", 1_000), known(click_id(1, 2)));
    assert_eq!(bench.judge(1, Verdict::Approve, "").body["status"], "approved");
    assert_eq!(bench.balance("partner approved EUR"), 100);
    bench.verify();
}

#[test]
fn cashback_and_referral_rewards_go_to_their_owners() {
    let referral =
        json!({"referrer": {"fixed": {"amount": 500, "currency": "EUR"}}, "referee": {"bp": 1000}});
    let mut bench = earning(json!({"cashback_bp": 300, "referral": referral, "hold_days": 1}));
    let body = sold("A-1", 1_000, json!({"customer_id": "u1"}));
    bench.convert(body, known(click_id(1, 1)));
    bench.convert(sold("A-2", 1_000, json!({"customer_id": "u1"})), known(click_id(1, 2)));
    let expected = [
        ("cashback", 30, 0, "pending"),
        ("commission", 100, 0, "pending"),
        ("referral", 500, 0, "pending"),
        ("welcome", 100, 0, "pending"),
        ("cashback", 30, 0, "pending"),
        ("commission", 100, 0, "pending"),
    ];
    let expected: Vec<_> =
        expected.into_iter().map(|(kind, a, b, state)| (kind.to_owned(), a, b, state.to_owned())).collect();
    assert_eq!(bench.earnings(), expected);
    assert_eq!(bench.balance("customer cashback_pending EUR"), 160);
    assert_eq!(bench.balance("merchant cashback EUR"), -160);
    assert_eq!(bench.total().commission, 700, "cashback is no commission");
    bench.refund(json!({"order_id": "A-1"}));
    bench.wait(2);
    assert_eq!(bench.balance("customer cashback_available EUR"), 30);
    assert_eq!(bench.balance("partner approved EUR"), 100);
    bench.verify();
}

#[test]
fn credit_that_moves_takes_the_commission_along() {
    let mut bench = earning(json!({}));
    bench.partner(PartnerId(7), "BOB", json!({"program_id": PROGRAM}));
    let click = click_id(2, 5);
    let claim = ClickClaim::Unresolved { by: ClaimedBy::Wclid, id: click, link: LINK };
    let sold = bench.convert(sold("A-1", 1_000, json!({"partner_code": "BOB"})), claim);
    assert_eq!(
        sold.body["commissions"][0]["partner_id"],
        json!(PartnerId(7)),
        "the link's partner is not known yet"
    );
    bench.apply(What::ClickResolved { click: facts_of(click) });
    assert_eq!(bench.total_of(|effect| effect.partner == PARTNER).commission, 100);
    assert_eq!(bench.total_of(|effect| effect.partner == PartnerId(7)), Change::default());
    let states: Vec<String> = bench.earnings().into_iter().map(|earning| earning.3).collect();
    assert_eq!(states, ["reversed", "approved"]);
    bench.verify();
}

#[test]
fn a_dispute_holds_until_it_is_decided() {
    let mut bench = earning(json!({"platform_fee_bp": 2000, "cashback_bp": 200}));
    let keys = |order: &str| vec![order.to_owned()];
    let paid = |order: &str, n| Payment::Paid {
        order_keys: keys(order),
        id: ConversionId(9_000 + n),
        renewal: false,
        amount: eur(10_000),
        customer: Some("u1".to_owned()),
        person: None,
        buyer: Vec::new(),
        subscription: None,
        occurred_at: Timestamp(NOON),
        click: known(click_id(1, n)),
    };
    let dispute = |order: &str, amount, state| Payment::Disputed {
        order_keys: keys(order),
        dispute: format!("dp_{order}"),
        amount: eur(amount),
        state,
        occurred_at: Timestamp(NOON + 1_000),
    };
    let states = |bench: &Bench| -> Vec<(i64, String)> {
        bench.earnings().into_iter().map(|(_, earned, _, state)| (earned, state)).collect()
    };
    let stands = |earned, state: &str| (earned, state.to_owned());
    bench.deliver("e1", vec![paid("won", 1), paid("lost", 2)]);
    bench.deliver(
        "e2",
        vec![dispute("won", 10_000, DisputeState::Open), dispute("lost", 5_000, DisputeState::Open)],
    );
    assert_eq!(states(&bench), [200, 800, 200, 800].map(|earned| stands(earned, "held")));
    assert_eq!((bench.balance("partner held EUR"), bench.balance("partner approved EUR")), (1_600, 0));
    assert_eq!(bench.balance("merchant refunds EUR"), -15_000, "the money is gone meanwhile");
    assert_eq!(bench.pay_out()["data"], json!([]), "what is held is not paid");
    bench.deliver(
        "e3",
        vec![dispute("won", 10_000, DisputeState::Won), dispute("lost", 5_000, DisputeState::Lost)],
    );
    let expected = [200, 800, 100, 400].map(|earned| stands(earned, "approved"));
    assert_eq!(states(&bench), expected, "half of the lost one's sale went back");
    assert_eq!((bench.balance("partner held EUR"), bench.balance("partner approved EUR")), (0, 1_200));
    bench.deliver("e4", vec![paid("all", 3)]);
    bench.deliver("e5", vec![dispute("all", 10_000, DisputeState::Open)]);
    let reason = |bench: &Bench| -> Option<String> {
        let sql = "SELECT reason FROM earnings WHERE kind = 'commission' ORDER BY id DESC LIMIT 1";
        bench.store.connection().query_row(sql, [], |row| row.get(0)).unwrap()
    };
    assert_eq!(reason(&bench).as_deref(), Some("The sale is in dispute."));
    bench.deliver("e6", vec![dispute("all", 10_000, DisputeState::Lost)]);
    assert_eq!(states(&bench)[5], stands(0, "reversed"));
    assert_eq!(reason(&bench).as_deref(), Some("All of the sale went back."));
    // What is paid already is not held: what is lost of it lowers the next payout.
    bench.deliver("e7", vec![paid("late", 4)]);
    bench.pay_out();
    bench.deliver("e8", vec![dispute("late", 10_000, DisputeState::Open)]);
    assert_eq!(bench.balance("partner held EUR"), 0);
    bench.deliver("e9", vec![dispute("late", 10_000, DisputeState::Lost)]);
    assert_eq!(bench.balance("partner approved EUR"), -800);
    bench.verify();
}

/// Everything that can be told of one order.
fn story() -> Vec<Payment> {
    let keys = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
    let occurred_at = Timestamp(NOON);
    let paid = |order_keys, click| Payment::Paid {
        order_keys,
        id: ConversionId(9_000),
        renewal: false,
        amount: eur(9_999),
        customer: Some("u1".to_owned()),
        person: None,
        buyer: Vec::new(),
        subscription: None,
        occurred_at,
        click,
    };
    let single = |refund: &str, amount, reversed| Payment::Refunded {
        order_keys: keys(&["pi"]),
        returned: Returned::Single { refund: refund.to_owned(), amount: eur(amount), reversed },
        reason: RefundReason::Refund,
        occurred_at: Timestamp(NOON + 1_000),
    };
    let dispute = |state| Payment::Disputed {
        order_keys: keys(&["pi"]),
        dispute: "dp".to_owned(),
        amount: eur(3_000),
        state,
        occurred_at: Timestamp(NOON + 2_000),
    };
    vec![
        paid(keys(&["pi", "in"]), known(click_id(1, 1))),
        paid(keys(&["in", "cs"]), ClickClaim::None),
        single("re_1", 1_111, false),
        single("re_2", 2_222, false),
        single("re_2", 2_222, true),
        dispute(DisputeState::Open),
        dispute(DisputeState::Won),
    ]
}

#[test]
fn every_permutation_of_an_orders_events_gives_the_same_ledger() {
    let seen = every_order(numbered(story()), Vec::new());
    // 99.99 - 11.11 = 88.88 are left: 10 % are 8.89, of which the partner keeps 85 %, 7.5548; 1.5 % are 1.33.
    for expected in [
        "balance partner 6 approved EUR 755",
        "balance platform 0 fee EUR 134",
        "balance customer u1 cashback_available EUR 133",
        "balance merchant 0 commissions EUR -889",
    ] {
        assert!(seen.contains_key(expected), "{expected}: {:?}", seen.keys());
    }
}
