use super::*;

#[test]
fn a_sale_with_a_token_is_credited_and_counted() {
    let mut bench = bench();
    let click = click_id(1, 1);
    let sold = bench.convert(
        json!({"event": "sale", "order_id": "A-1", "customer_id": "u1", "properties": {"x": 1},
               "amount": {"amount": 4999, "currency": "EUR"}}),
        known(click),
    );
    assert_eq!(sold.status, 201);
    let attribution = &sold.body["attribution"];
    assert_eq!((&attribution["rule"], &attribution["link_id"]), (&json!("wclid"), &json!(LINK)));
    assert_eq!(attribution["click_id"], json!(click));
    assert_eq!(sold.body["refunded"], json!({"amount": 0, "currency": "EUR"}));
    assert_eq!(sold.body["properties"], json!({"x": 1}));
    assert_eq!(sold.body["customer_id"], "u1");
    let expected = Change { conversions: 1, orders: 1, new_customers: 1, revenue: 4999, ..Change::default() };
    assert_eq!(bench.total(), expected);
    let effects = bench.effects();
    assert_eq!((effects.len(), effects[0].dims.country.as_ref()), (1, "DE"));
    assert_eq!((effects[0].order_id.as_str(), effects[0].provider.as_str()), ("A-1", "api"));
    bench.verify();
}

#[test]
fn an_order_and_event_are_one_conversion() {
    let mut bench = bench();
    let first = bench.convert(sale("A-1", 100), ClickClaim::None);
    let again = bench.convert(sale("A-1", 100), known(click_id(1, 1)));
    assert_eq!((again.status, again.replayed, &again.body), (200, true, &first.body));
    let other = bench.convert(sale("A-1", 101), ClickClaim::None);
    assert_eq!(code(&other), "order_conflict");
    let lead = json!({"event": "lead", "order_id": "A-1"});
    assert_eq!(bench.convert(lead, ClickClaim::None).status, 201);
    let no_order = json!({"event": "signup"});
    assert_eq!(bench.convert(no_order.clone(), ClickClaim::None).status, 201);
    assert_eq!(bench.convert(no_order, ClickClaim::None).status, 201, "without an order always new");
    let expected =
        Change { conversions: 1, orders: 1, leads: 1, events: 2, revenue: 100, ..Change::default() };
    assert_eq!(bench.total(), expected);
    bench.verify();
}

#[test]
fn clicks_outside_the_window_and_robots_credit_nothing() {
    let mut bench = bench();
    let mut robot = facts_of(click_id(1, 7));
    robot.bot = true;
    let cases = [
        known(click_id(31, 1)),
        known(click_id(-1, 2)),
        ClickClaim::Known { by: ClaimedBy::Wclid, facts: robot },
        ClickClaim::Refused { reason: "forged".into() },
        ClickClaim::Unresolved { by: ClaimedBy::ClickId, id: click_id(1, 9), link: LinkId::NONE },
    ];
    for (n, claim) in cases.into_iter().enumerate() {
        let sold = bench.convert(sale(&format!("A-{n}"), 1), claim);
        assert_eq!((sold.status, &sold.body["attribution"]), (201, &Value::Null), "{n}");
    }
    let nearly = ClickId::new(NOON + 4 * 60_000, 0, 1, 1);
    assert!(bench.convert(sale("B", 1), known(nearly)).body["attribution"].is_object(), "clocks differ");
    assert_eq!(bench.total_of(|effect| effect.click.is_some()).revenue, 1);
    bench.verify();
}

#[test]
fn a_customer_brings_the_last_click_of_earlier_conversions() {
    let mut bench = bench();
    let lead = json!({"event": "lead", "customer_id": "u1"});
    bench.convert(lead.clone(), known(click_id(9, 1)));
    bench.convert(lead.clone(), known(click_id(3, 2)));
    bench.convert(lead, known(click_id(40, 3)));
    let mut body = sale("A-1", 50);
    body["customer_id"] = json!("u1");
    let sold = bench.convert(body, ClickClaim::None);
    assert_eq!(sold.body["attribution"]["rule"], "customer");
    assert_eq!(sold.body["attribution"]["click_id"], json!(click_id(3, 2)));
    assert_eq!(bench.total().new_customers, 1);
    bench.verify();
}

#[test]
fn renewals_follow_their_subscription_however_old() {
    let mut bench = bench();
    let renewal = |n: i64, event: &str| {
        json!({"event": event, "order_id": format!("S-{n}"), "subscription_id": "sub_1",
               "amount": {"amount": 10, "currency": "EUR"}, "occurred_at": Timestamp(NOON + n * 31 * DAY_MS)})
    };
    bench.convert(renewal(0, "sale"), known(click_id(1, 1)));
    for n in 1..4 {
        let renewed = bench.convert(renewal(n, "renewal"), ClickClaim::None);
        assert_eq!(renewed.body["attribution"]["rule"], "subscription", "{n}");
        assert_eq!(renewed.body["attribution"]["link_id"], json!(LINK));
    }
    assert_eq!(bench.total_of(|effect| effect.link == LINK).revenue, 40);
    bench.verify();
}

#[test]
fn an_unresolved_click_is_restated_once_it_is_found() {
    let mut bench = bench();
    let click = click_id(2, 5);
    let claim = ClickClaim::Unresolved { by: ClaimedBy::Wclid, id: click, link: LINK };
    let sold = bench.convert(sale("A-1", 1000), claim.clone());
    assert_eq!(sold.body["attribution"]["link_id"], json!(LINK));
    bench.refund(json!({"order_id": "A-1", "amount": {"amount": 300, "currency": "EUR"}}));
    assert_eq!(bench.total_of(|effect| effect.dims.country == "DE").revenue, 0);
    bench.apply(What::ClickResolved { click: facts_of(click) });
    let german = bench.total_of(|effect| effect.dims.country == "DE");
    assert_eq!((german.revenue, german.refunds, german.orders), (1000, 300, 1));
    assert_eq!(bench.total_of(|effect| effect.dims.country.is_empty()).revenue, 0);
    assert_eq!(bench.total_of(|effect| effect.partner == PartnerId(6)).refunds, 300);
    let count = bench.effects().len();
    bench.apply(What::ClickResolved { click: facts_of(click) });
    assert_eq!(bench.effects().len(), count, "a repeat restates nothing");
    let later = bench.convert(sale("A-2", 1), claim);
    assert_eq!(later.body["attribution"]["partner_id"], json!(PartnerId(6)), "known by now");
    bench.verify();
}

#[test]
fn a_conversion_that_knows_its_click_resolves_the_others_of_that_click() {
    let mut bench = bench();
    let click = click_id(2, 5);
    let claim = ClickClaim::Unresolved { by: ClaimedBy::Wclid, id: click, link: LINK };
    bench.convert(sale("A-1", 1000), claim);
    bench.convert(sale("A-2", 1), known(click));
    assert_eq!(bench.total_of(|effect| effect.dims.country == "DE").revenue, 1001);
    bench.verify();
}

#[test]
fn a_click_that_turns_out_to_be_a_robots_loses_its_credit() {
    let mut bench = bench();
    let click = click_id(2, 5);
    let claim = ClickClaim::Unresolved { by: ClaimedBy::Wclid, id: click, link: LINK };
    bench.convert(sale("A-1", 1000), claim);
    let mut robot = facts_of(click);
    robot.bot = true;
    bench.apply(What::ClickResolved { click: robot });
    assert_eq!(bench.total_of(|effect| effect.link == LINK), Change::default());
    assert_eq!(bench.total().revenue, 1000, "the sale itself still counts");
    bench.verify();
}

#[test]
fn an_erased_customer_still_counts() {
    let mut bench = bench();
    let mut body = sale("A-1", 5);
    body["customer_id"] = json!("u1");
    bench.convert(body, ClickClaim::None);
    assert_eq!(bench.apply(What::CustomerErased { customer_id: "u1".into() }).status, 204);
    assert_eq!(bench.apply(What::CustomerErased { customer_id: "u2".into() }).status, 404);
    assert_eq!(bench.total().new_customers, 1);
    bench.verify();
}

#[test]
fn amounts_that_could_not_be_added_up_are_refused() {
    let mut bench = bench();
    let huge = weir_schemas::money::AMOUNT_MAX;
    for amount in [-1, huge + 1, i64::MAX] {
        assert_eq!(bench.convert(sale("A-1", amount), ClickClaim::None).status, 422, "{amount}");
    }
    let limit = i64::MAX / 4 / huge + 1;
    for n in 0..limit {
        assert_eq!(bench.convert(sale(&format!("B-{n}"), huge), ClickClaim::None).status, 201);
    }
    assert_eq!(bench.convert(sale("C", 1), ClickClaim::None).status, 422);
    bench.verify();
}
