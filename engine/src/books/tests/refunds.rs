use super::*;

fn part(order: &str, amount: i64, id: Option<&str>) -> Value {
    json!({"order_id": order, "amount": {"amount": amount, "currency": "EUR"}, "refund_id": id})
}

#[test]
fn parts_add_up_to_the_whole_and_no_further() {
    let mut bench = bench();
    bench.convert(sale("A-1", 1000), known(click_id(1, 1)));
    let first = bench.refund(part("A-1", 300, Some("r1")));
    assert_eq!(first.status, 201);
    assert_eq!(first.body["refunded"], json!({"amount": 300, "currency": "EUR"}));
    assert_eq!(first.body["conversion"]["refunded"]["amount"], 300);
    let again = bench.refund(part("A-1", 300, Some("r1")));
    assert_eq!((again.status, again.replayed, &again.body), (200, true, &first.body));
    let other = bench.refund(part("A-1", 301, Some("r1")));
    assert_eq!((other.status, code(&other).as_str()), (409, "refund_conflict"));
    let much = bench.refund(part("A-1", 701, None)).problem().unwrap();
    assert_eq!((much.status, much.errors[0].field.as_str()), (422, "amount"));
    let rest = bench.refund(json!({"order_id": "A-1", "reason": "chargeback"}));
    assert_eq!(rest.body["amount"]["amount"], 700);
    assert_eq!(code(&bench.refund(json!({"order_id": "A-1"}))), "already_refunded");
    assert_eq!(bench.total_of(|effect| effect.event == "refund").refunds, 300);
    assert_eq!(bench.total_of(|effect| effect.event == "chargeback").refunds, 700);
    assert_eq!(bench.total_of(|effect| effect.dims.country == "DE").refunds, 1000);
    bench.verify();
}

#[test]
fn what_cannot_be_refunded_is_refused() {
    let mut bench = bench();
    assert_eq!(bench.refund(json!({"order_id": "none"})).status, 404);
    bench.convert(json!({"event": "lead", "order_id": "L"}), ClickClaim::None);
    assert_eq!(bench.refund(json!({"order_id": "L"})).status, 404, "a lead is not paid");
    bench.convert(sale("A-1", 1000), ClickClaim::None);
    let dollars = json!({"order_id": "A-1", "amount": {"amount": 1, "currency": "USD"}});
    let problem = bench.refund(dollars).problem().unwrap();
    assert_eq!(problem.errors[0].field, "amount.currency");
    assert_eq!(bench.refund(part("A-1", 0, None)).status, 422);
    assert_eq!(bench.refund(part("A-1", -5, None)).status, 422);
    assert_eq!(bench.total().refunds, 0);
    bench.verify();
}

#[test]
fn a_refund_is_dated_by_itself() {
    let mut bench = bench();
    bench.convert(sale("A-1", 1000), ClickClaim::None);
    let later = Timestamp(NOON + 40 * DAY_MS);
    bench.refund(json!({"order_id": "A-1", "occurred_at": later}));
    assert_eq!(bench.total_of(|effect| effect.at == later).refunds, 1000);
    bench.verify();
}
