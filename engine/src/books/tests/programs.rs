//! Programs and partners in the books, and whom a conversion is credited to by their terms.

use weir_schemas::partner::{PartnerSpec, PartnerStatus};
use weir_schemas::program::ProgramSpec;
use weir_schemas::time::MINUTE_MS;

use super::*;

pub(super) const PROGRAM: ProgramId = ProgramId(5);
pub(super) const PARTNER: PartnerId = PartnerId(6);

pub(super) fn terms(more: Value) -> ProgramSpec {
    let mut terms = json!({"name": "Friends", "commission": {"base": {"bp": 1000}}});
    terms.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    serde_json::from_value(terms).unwrap()
}

pub(super) fn partner(code: &str, more: Value) -> PartnerSpec {
    let mut partner = json!({"name": code, "code": code});
    partner.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    serde_json::from_value(partner).unwrap()
}

impl Bench {
    pub(super) fn program(&mut self, id: ProgramId, more: Value) -> Outcome {
        self.apply(What::ProgramCreated { id, spec: terms(more) })
    }

    pub(super) fn change(&mut self, id: ProgramId, patch: Value) -> Outcome {
        let Value::Object(patch) = patch else { panic!("an object") };
        self.apply(What::ProgramUpdated { id, patch })
    }

    pub(super) fn partner(&mut self, id: PartnerId, code: &str, more: Value) -> Outcome {
        self.apply(What::PartnerCreated { id, spec: partner(code, more), private: None })
    }

    pub(super) fn change_partner(&mut self, id: PartnerId, patch: Value) -> Outcome {
        let Value::Object(patch) = patch else { panic!("an object") };
        self.apply(What::PartnerUpdated { id, patch, private: None })
    }
}

/// A sale with further members.
pub(super) fn sold(order: &str, amount: i64, more: Value) -> Value {
    let mut body = sale(order, amount);
    body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    body
}

#[test]
fn a_change_makes_a_version_and_nonsense_none() {
    let mut bench = bench();
    let made = bench.program(PROGRAM, json!({"hold_days": 7}));
    assert_eq!((made.status, &made.body["version"], &made.body["hold_days"]), (201, &json!(1), &json!(7)));
    let changed = bench.change(PROGRAM, json!({"hold_days": 30}));
    assert_eq!(
        (changed.status, &changed.body["version"], &changed.body["name"]),
        (200, &json!(2), &json!("Friends"))
    );
    assert_eq!(bench.change(PROGRAM, json!({"hold_days": 30})).body["version"], 2, "nothing changed");
    assert_eq!(bench.change(PROGRAM, json!({"hold_days": 999})).status, 422);
    assert_eq!(bench.change(PROGRAM, json!({"hold_days": null, "name": null})).status, 422);
    assert_eq!(bench.change(ProgramId(99), json!({"hold_days": 1})).status, 404);
    let mut statement = bench
        .store
        .connection()
        .prepare("SELECT spec ->> '$.hold_days' FROM program_versions ORDER BY version")
        .unwrap();
    let kept: Vec<i64> = statement.query_map([], |row| row.get(0)).unwrap().map(Result::unwrap).collect();
    assert_eq!(kept, [7, 30]);
    drop(statement);
    bench.verify();
}

#[test]
fn codes_and_coupons_are_unique_whatever_their_case() {
    let mut bench = bench();
    assert_eq!(bench.partner(PARTNER, "ADA", json!({"coupons": ["ADA10"]})).status, 201);
    assert_eq!(code(&bench.partner(PartnerId(7), "ada", json!({}))), "code_taken");
    assert_eq!(code(&bench.partner(PartnerId(7), "bob", json!({"coupons": ["ada10"]}))), "coupon_taken");
    assert_eq!(bench.partner(PartnerId(7), "ADA10", json!({})).status, 201, "codes are not coupons");
    assert_eq!(code(&bench.change_partner(PartnerId(7), json!({"code": "Ada"}))), "code_taken");
    assert_eq!(bench.change_partner(PARTNER, json!({"code": "Countess", "status": "pending"})).status, 200);
    assert_eq!(bench.change_partner(PartnerId(7), json!({"code": "Ada"})).status, 200, "free by now");
    let stored: String = bench
        .store
        .connection()
        .query_row("SELECT status FROM partners WHERE id = 6", [], |row| row.get(0))
        .unwrap();
    assert_eq!(stored, PartnerStatus::Pending.as_str());
    bench.verify();
}

#[test]
fn coupon_and_code_name_a_partner_behind_a_click() {
    let mut bench = bench();
    bench.program(ProgramId(8), json!({}));
    bench.partner(PartnerId(7), "BOB", json!({"coupons": ["BOB10"], "program_id": ProgramId(8)}));
    let by_code = bench.convert(sold("A-1", 100, json!({"partner_code": "bob"})), ClickClaim::None);
    let expected = json!({"rule": "partner_code", "link_id": null, "partner_id": PartnerId(7),
        "program_id": ProgramId(8), "click_id": null, "clicked_at": null});
    assert_eq!(by_code.body["attribution"], expected);
    let both = json!({"partner_code": "BOB", "coupon": "bob10"});
    let by_coupon = bench.convert(sold("A-2", 100, both.clone()), ClickClaim::None);
    assert_eq!(by_coupon.body["attribution"]["rule"], "coupon");
    let clicked = bench.convert(sold("A-3", 100, both.clone()), known(click_id(1, 1)));
    assert_eq!(clicked.body["attribution"]["rule"], "wclid", "a click of a partner goes first");
    assert_eq!(clicked.body["attribution"]["partner_id"], json!(PARTNER));
    let mail = ClickFacts { partner: PartnerId::NONE, program: ProgramId::NONE, ..facts_of(click_id(1, 2)) };
    let claim = ClickClaim::Known { by: ClaimedBy::Wclid, facts: mail };
    let shared = bench.convert(sold("A-4", 100, both), claim);
    assert_eq!(shared.body["attribution"]["rule"], "wclid");
    assert_eq!(shared.body["attribution"]["partner_id"], json!(PartnerId(7)), "the click's link names none");
    assert_eq!(shared.body["attribution"]["program_id"], json!(ProgramId(8)));
    let unknown =
        bench.convert(sold("A-5", 100, json!({"partner_code": "nobody", "coupon": ""})), ClickClaim::None);
    assert_eq!((unknown.status, &unknown.body["attribution"]), (201, &Value::Null));
    assert_eq!(bench.total_of(|effect| effect.partner == PartnerId(7)).revenue, 300);
    bench.verify();
}

#[test]
fn the_window_is_the_programs() {
    let mut bench = bench();
    bench.program(PROGRAM, json!({"window_days": 7}));
    let late = bench.convert(sale("A-1", 1), known(click_id(8, 1)));
    assert_eq!(late.body["attribution"], Value::Null);
    let exactly = ClickId::new(NOON - 7 * DAY_MS, 0, 1, 2);
    let at = json!({"occurred_at": Timestamp(NOON)});
    let last_moment = bench.convert(sold("A-2", 1, at), known(exactly));
    assert_eq!(last_moment.body["attribution"]["click_id"], json!(exactly));
    let beyond = json!({"occurred_at": Timestamp(NOON + 1)});
    assert_eq!(bench.convert(sold("A-3", 1, beyond), known(exactly)).body["attribution"], Value::Null);
    bench.verify();
}

#[test]
fn a_window_of_minutes_ends_at_its_millisecond() {
    let mut bench = bench();
    for (n, minutes) in [(1_u64, 1_u32), (2, 90), (3, 525_600)] {
        let terms = json!({"window_days": 7, "window_minutes": minutes});
        bench.program(ProgramId(n), terms);
        let clicked = NOON - i64::from(minutes) * MINUTE_MS;
        // The first is within by nothing, the second beyond by a millisecond.
        for (late, credited) in [(0, true), (1, false)] {
            let click = ClickId::new(clicked - late, 0, 1, n);
            let facts = ClickFacts { program: ProgramId(n), ..facts_of(click) };
            let claim = ClickClaim::Known { by: ClaimedBy::Wclid, facts };
            let body = sold(&format!("A-{n}-{late}"), 1, json!({"occurred_at": Timestamp(NOON)}));
            let sale = bench.convert(body, claim);
            let expected = if credited { json!(click) } else { Value::Null };
            assert_eq!(sale.body["attribution"]["click_id"], expected, "{minutes} minutes, {late} ms late");
        }
    }
    bench.verify();
}

#[test]
fn the_first_touch_earns_where_the_program_says_so() {
    let mut bench = bench();
    bench.program(PROGRAM, json!({"attribution": "first", "window_days": 20}));
    let lead = json!({"event": "lead", "customer_id": "u1"});
    for (days, n) in [(25, 1), (9, 2), (3, 3)] {
        bench.convert(lead.clone(), known(click_id(days, n)));
    }
    let body = sold("A-1", 50, json!({"customer_id": "u1"}));
    let first = bench.convert(body, known(click_id(1, 4)));
    let attribution = &first.body["attribution"];
    assert_eq!(
        (&attribution["click_id"], &attribution["rule"]),
        (&json!(click_id(9, 2)), &json!("customer"))
    );
    let foreign = ClickFacts { program: ProgramId(8), ..facts_of(click_id(2, 5)) };
    bench.program(ProgramId(8), json!({}));
    let claim = ClickClaim::Known { by: ClaimedBy::Wclid, facts: foreign };
    let other = bench.convert(sold("A-2", 50, json!({"customer_id": "u1"})), claim);
    assert_eq!(other.body["attribution"]["click_id"], json!(click_id(2, 5)), "that program credits the last");
    bench.verify();
}

#[test]
fn an_endpoints_program_stands_where_the_link_has_none() {
    let mut bench = bench();
    bench.program(ProgramId(8), json!({"window_days": 2}));
    bench.apply(What::EndpointCreated {
        id: EndpointId(9),
        provider: "stripe".into(),
        secrets: Vec::new(),
        program_id: Some(ProgramId(8)),
        settings: None,
    });
    for (n, days, credited) in [(1, 1, true), (2, 3, false)] {
        let plain = ClickFacts { program: ProgramId::NONE, ..facts_of(click_id(days, n)) };
        let payment = Payment::Paid {
            order_keys: vec![format!("pi_{n}")],
            id: ConversionId(n),
            renewal: false,
            amount: eur(100),
            customer: None,
            person: None,
            buyer: Vec::new(),
            subscription: None,
            occurred_at: Timestamp(NOON),
            click: ClickClaim::Known { by: ClaimedBy::Wclid, facts: plain },
        };
        bench.apply(What::Delivery {
            id: DeliveryId(n),
            endpoint: EndpointId(9),
            provider: "stripe".into(),
            dedupe_key: format!("e{n}"),
            event_type: "test".into(),
            body_sha256: "body".into(),
            livemode: true,
            payments: vec![payment],
        });
        let partner = if credited { PARTNER } else { PartnerId::NONE };
        let counted = bench.total_of(|effect| effect.program == ProgramId(8) && effect.partner == partner);
        assert_eq!(counted.revenue, 100, "{n}: in its program, credited: {credited}");
    }
    bench.verify();
}

#[test]
fn a_code_carries_its_subscription() {
    let mut bench = bench();
    bench.partner(PartnerId(7), "BOB", json!({}));
    let renewal = |n: i64, event: &str| {
        json!({"event": event, "order_id": format!("S-{n}"), "subscription_id": "sub_1",
               "amount": {"amount": 10, "currency": "EUR"}, "occurred_at": Timestamp(NOON + n * 31 * DAY_MS)})
    };
    let mut first = renewal(0, "sale");
    first["partner_code"] = json!("BOB");
    bench.convert(first, ClickClaim::None);
    let renewed = bench.convert(renewal(1, "renewal"), ClickClaim::None);
    assert_eq!(renewed.body["attribution"]["rule"], "subscription");
    assert_eq!(renewed.body["attribution"]["partner_id"], json!(PartnerId(7)));
    bench.verify();
}
