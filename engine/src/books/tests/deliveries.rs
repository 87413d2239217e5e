use weir_schemas::conversion::RefundReason;
use weir_schemas::fact::{DisputeState, Returned};

use super::*;

pub(super) fn keys(keys: &[&str]) -> Vec<String> {
    keys.iter().map(|key| (*key).to_owned()).collect()
}

pub(super) fn paid(order: &[&str], amount: i64) -> Payment {
    Payment::Paid {
        order_keys: keys(order),
        id: ConversionId(9_000),
        renewal: false,
        amount: eur(amount),
        customer: None,
        person: None,
        buyer: Vec::new(),
        subscription: None,
        occurred_at: Timestamp(NOON),
        click: ClickClaim::None,
    }
}

fn returned(order: &[&str], returned: Returned) -> Payment {
    let occurred_at = Timestamp(NOON + 1);
    Payment::Refunded { order_keys: keys(order), returned, reason: RefundReason::Refund, occurred_at }
}

fn disputed(order: &[&str], amount: i64, state: DisputeState) -> Payment {
    Payment::Disputed {
        order_keys: keys(order),
        dispute: "dp_1".into(),
        amount: eur(amount),
        state,
        occurred_at: Timestamp(NOON + 2),
    }
}

#[test]
fn each_delivery_counts_once() {
    let mut bench = bench();
    assert_eq!(bench.deliver("e1", vec![paid(&["pi_1"], 100)]).body["outcome"], "processed");
    let again = bench.deliver("e1", vec![paid(&["pi_1"], 100)]);
    assert_eq!((again.status, &again.body["outcome"], again.replayed), (200, &json!("duplicate"), true));
    let other = bench.deliver_as("e1", "another", true, vec![paid(&["pi_2"], 100)]);
    assert_eq!(other.body["outcome"], "conflict");
    let test = bench.deliver_as("e2", "b", false, vec![paid(&["pi_3"], 100)]);
    assert_eq!(test.body["outcome"], "mode_mismatch");
    let id = test.body["id"].as_str().unwrap().parse().unwrap();
    let replayed = bench.apply(What::DeliveryReplayed { id, endpoint: ENDPOINT });
    assert_eq!(
        replayed.body["outcome"], "mode_mismatch",
        "test and live money do not mix by a replay either"
    );
    assert_eq!(bench.deliver("e3", Vec::new()).body["outcome"], "ignored");
    assert_eq!((bench.total().revenue, bench.total().orders), (100, 1));
    bench.verify();
}

#[test]
fn one_order_by_many_names_is_one_sale() {
    let mut bench = bench();
    bench.deliver("e1", vec![paid(&["pi_1"], 100)]);
    bench.deliver("e2", vec![paid(&["in_1"], 100)]);
    assert_eq!(bench.total().revenue, 200, "nothing says yet that they are one");
    bench.deliver("e3", vec![paid(&["cs_1", "in_1", "pi_1"], 100)]);
    assert_eq!((bench.total().revenue, bench.total().orders, bench.total().conversions), (100, 1, 1));
    bench.deliver("e4", vec![paid(&["cs_1"], 900)]);
    assert_eq!(bench.total().revenue, 100, "a later amount does not add");
    bench.deliver("e5", vec![paid(&["pi_0"], 0)]);
    assert_eq!(bench.total().conversions, 1, "nothing was paid");
    let refund = bench.refund(json!({"order_id": "in_1"}));
    assert_eq!((refund.status, &refund.body["amount"]["amount"]), (201, &json!(100)));
    bench.verify();
}

#[test]
fn a_later_announcement_brings_the_click_the_customer_and_the_renewal() {
    let mut bench = bench();
    bench.deliver("e1", vec![paid(&["pi_1"], 100)]);
    let mut second = paid(&["in_1", "pi_1"], 100);
    let Payment::Paid { renewal, customer, click, subscription, .. } = &mut second else { unreachable!() };
    (*renewal, *customer, *click) = (true, Some("cus_a".into()), known(click_id(1, 1)));
    *subscription = Some("sub_1".into());
    bench.deliver("e2", vec![second]);
    let credited = bench.total_of(|effect| effect.link == LINK && effect.event == "renewal");
    assert_eq!((credited.revenue, credited.new_customers, credited.orders), (100, 1, 1));
    assert_eq!(bench.total_of(|effect| effect.event == "sale").revenue, 0);
    assert_eq!(bench.total().conversions, 1);
    bench.verify();
}

#[test]
fn refunds_wait_for_their_payment() {
    let mut bench = bench();
    let single = Returned::Single { refund: "re_1".into(), amount: eur(40), reversed: false };
    let parked = bench.deliver("e1", vec![returned(&["ch_1", "pi_1"], single)]);
    assert_eq!(parked.body["outcome"], "parked");
    assert_eq!(bench.refund(json!({"order_id": "pi_1"})).status, 404, "nothing is paid yet");
    bench.deliver("e2", vec![paid(&["pi_1"], 100)]);
    assert_eq!(bench.total_of(|effect| effect.at == Timestamp(NOON + 1)).refunds, 40);
    bench.deliver("e3", vec![returned(&["ch_1"], Returned::Cumulative(eur(70)))]);
    assert_eq!(bench.total().refunds, 70, "the total includes the single");
    let reversed = Returned::Single { refund: "re_1".into(), amount: eur(40), reversed: true };
    bench.deliver("e4", vec![returned(&["ch_1"], reversed)]);
    assert_eq!(bench.total().refunds, 30);
    let dollars = Money { amount: 5, currency: Currency::USD };
    let wrong = bench.deliver("e5", vec![returned(&["ch_1"], Returned::Cumulative(dollars))]);
    assert_eq!(wrong.body["outcome"], "failed");
    bench.verify();
}

#[test]
fn an_order_goes_by_the_name_under_which_it_was_sold() {
    let mut bench = bench();
    let single = |amount| Returned::Single { refund: "re_1".into(), amount: eur(amount), reversed: false };
    bench.deliver("e1", vec![returned(&["ch_1"], single(40))]);
    bench.deliver("e2", vec![paid(&["pi_1", "in_1"], 100)]);
    bench.deliver("e3", vec![returned(&["ch_1", "pi_1"], single(30))]);
    assert_eq!(bench.total().refunds, 40, "of two tellings of one refund the larger");
    let named = bench.total_of(|effect| effect.order_id == "pi_1");
    assert_eq!((named.revenue, named.refunds), (100, 40));
    bench.verify();

    let mut bench = self::bench();
    bench.deliver("e1", vec![returned(&["ch_1", "pi_1"], single(40))]);
    bench.deliver("e2", vec![paid(&["pi_1"], 100)]);
    assert_eq!(bench.total_of(|effect| effect.order_id == "pi_1").refunds, 40);
    bench.verify();

    let mut bench = self::bench();
    bench.convert(json!({"event": "lead", "order_id": "A-1"}), ClickClaim::None);
    bench.deliver("e1", vec![paid(&["pi_1"], 100)]);
    bench.deliver("e2", vec![paid(&["pi_1", "A-1"], 100)]);
    let named = bench.total_of(|effect| effect.order_id == "pi_1");
    assert_eq!((named.leads, named.revenue), (1, 100));
    assert_eq!(bench.total_of(|effect| effect.order_id == "A-1"), Change::default());
    bench.verify();
}

#[test]
fn a_customer_stays_new_when_their_first_sale_was_another_ones_announcement() {
    let mut bench = bench();
    let by = |order: &[&str], customer: &str| {
        let mut payment = paid(order, 100);
        let Payment::Paid { customer: payer, .. } = &mut payment else { unreachable!() };
        *payer = Some(customer.into());
        payment
    };
    bench.deliver("e1", vec![by(&["pi_1"], "cus_a")]);
    bench.deliver("e2", vec![by(&["in_1"], "cus_b")]);
    bench.deliver("e3", vec![by(&["in_2"], "cus_b")]);
    assert_eq!(bench.total().new_customers, 2);
    bench.deliver("e4", vec![paid(&["pi_1", "in_1"], 100)]);
    assert_eq!((bench.total().new_customers, bench.total().orders), (2, 2));
    assert_eq!(bench.total_of(|effect| effect.order_id == "in_2").new_customers, 1);
    bench.verify();
}

#[test]
fn a_dispute_takes_until_it_is_won_whatever_came_first() {
    for states in [
        [DisputeState::Inquiry, DisputeState::Open, DisputeState::Won],
        [DisputeState::Won, DisputeState::Open, DisputeState::Inquiry],
    ] {
        let mut bench = bench();
        bench.deliver("p", vec![paid(&["ch_1"], 100)]);
        for (n, state) in states.into_iter().enumerate() {
            bench.deliver(&format!("d{n}"), vec![disputed(&["ch_1"], 100, state)]);
        }
        assert_eq!(bench.total().refunds, 0);
        bench.verify();
    }
    let mut bench = bench();
    bench.deliver("p", vec![paid(&["ch_1"], 100)]);
    bench.deliver("r", vec![returned(&["ch_1"], Returned::Cumulative(eur(60)))]);
    bench.deliver("d", vec![disputed(&["ch_1"], 100, DisputeState::Lost)]);
    assert_eq!(bench.total().refunds, 100, "never more than was paid");
    assert_eq!(bench.total_of(|effect| effect.event == "chargeback").refunds, 40);
    bench.verify();
}

#[test]
fn a_subscriptions_click_credits_its_payments_before_and_after() {
    let mut bench = bench();
    let subscribed = |order: &str, renewal: bool| {
        let mut payment = paid(&[order], 100);
        let Payment::Paid { renewal: is, subscription, customer, .. } = &mut payment else { unreachable!() };
        (*is, *subscription, *customer) = (renewal, Some("sub_1".into()), Some("cus_a".into()));
        payment
    };
    bench.deliver("e1", vec![subscribed("in_1", false)]);
    assert_eq!(bench.total_of(|effect| effect.link == LINK).revenue, 0);
    let subscription = Payment::Subscription {
        subscription: "sub_1".into(),
        customer: Some("cus_a".into()),
        status: "active".into(),
        price: Some(eur(100)),
        interval: Some(("month".into(), 1)),
        occurred_at: Timestamp(NOON),
        click: known(click_id(1, 1)),
    };
    bench.deliver("e2", vec![subscription]);
    assert_eq!(bench.total_of(|effect| effect.link == LINK).revenue, 100);
    bench.deliver("e3", vec![subscribed("in_2", true)]);
    assert_eq!(bench.total_of(|effect| effect.link == LINK).revenue, 200);
    assert_eq!((bench.total().new_customers, bench.total().orders), (1, 2));
    bench.verify();
}
