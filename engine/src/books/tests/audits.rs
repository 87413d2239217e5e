//! Errors planted in the tables, each of which the audits of `weir doctor --books` find.

use weir_schemas::payout::PayoutStatus;

use super::commissions::earning;
use super::programs::sold;
use super::*;

/// Books with a bit of everything.
fn books() -> Bench {
    let mut bench = earning(json!({"platform_fee_bp": 1000, "cashback_bp": 200}));
    for n in 0..4 {
        let body = sold(&format!("A-{n}"), 1_000 + n, json!({"customer_id": format!("u{n}")}));
        assert_eq!(bench.convert(body, known(click_id(1, n as u64 + 1))).status, 201);
    }
    let batch = bench.pay_out();
    bench.decide(&batch, PayoutStatus::Paid);
    bench.refund(json!({"order_id": "A-1", "amount": eur(300)}));
    bench.convert(json!({"event": "lead", "customer_id": "u9"}), known(click_id(1, 9)));
    bench
}

#[test]
fn every_planted_error_is_found() {
    for (planted, told) in [
        (
            "UPDATE accounts SET balance = balance + 1 WHERE owner = 'partner' AND kind = 'paid'",
            "a balance is not",
        ),
        ("UPDATE accounts SET entries = entries + 1 WHERE id = 1", "number of entries"),
        ("UPDATE entries SET amount = amount + 1 WHERE id = 3", "do not add up to zero"),
        ("UPDATE entries SET balance = balance - 5 WHERE id = 4", "running balance"),
        ("DELETE FROM entries WHERE id = 5", "do not add up to zero"),
        (
            "UPDATE earnings SET earned = earned + 1 WHERE id = (SELECT min(id) FROM earnings)",
            "what is earned",
        ),
        ("UPDATE earnings SET fee = fee + 1 WHERE id = (SELECT min(id) FROM earnings)", "the platform's fee"),
        ("UPDATE payouts SET amount = amount + 1", "the sum of the payouts"),
        ("UPDATE payout_items SET amount = amount + 1", "a payout is not the sum"),
        ("UPDATE earnings SET paid = paid - 1 WHERE paid > 0", "says is paid"),
        ("UPDATE orders SET paid = paid + 1 WHERE name = 'A-0'", "an order's payments"),
        ("UPDATE orders SET returned = returned + 1 WHERE name = 'A-1'", "what went back"),
        ("UPDATE conversions SET amount = amount + 1 WHERE amount = 1002", "an order's payments"),
        ("UPDATE standings SET orders = orders + 1 WHERE day = 0 AND partner != 0", "a partner's standing"),
        ("UPDATE standings SET revenue = revenue + 1 WHERE partner = 0", "a program's standing"),
        ("UPDATE standings SET signups = signups + 1 WHERE partner != 0 AND orders = 0", "signups"),
        ("UPDATE customers SET first_conversion = NULL WHERE name = 'u1'", "new customers"),
        ("DELETE FROM effects WHERE seq = (SELECT max(seq) FROM effects)", "counted once"),
    ] {
        let bench = books();
        assert_eq!(bench.store.check().unwrap(), Vec::<String>::new());
        let changed = bench.store.connection().execute(planted, []).unwrap();
        assert!(changed > 0, "{planted}");
        let found = bench.store.check().unwrap();
        assert!(found.iter().any(|line| line.contains(told)), "{planted}: {found:?}");
    }
}
