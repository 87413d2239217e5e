//! What a power failure leaves of the books: their commits are not synced, so any of the last ones may be gone, and of
//! the log whichever pages were not on the disk yet. The journal, which is, brings them to where they were.

use std::collections::BTreeSet;
use std::fs;

use weir_schemas::payout::PayoutStatus;

use super::commissions::earning;
use super::*;

/// Sales, refunds and payouts, each in a commit of its own; half of them in the file, the rest in the log.
fn told() -> Bench {
    let mut bench = earning(json!({"cashback_bp": 100, "platform_fee_bp": 500}));
    for n in 0..24 {
        bench.convert(sale(&format!("A-{n}"), 1_000 + n), known(click_id(1, n as u64)));
        if n % 3 == 2 {
            bench.refund(json!({"order_id": format!("A-{}", n - 1), "amount": eur(500)}));
        }
        if n == 9 || n == 20 {
            let batch = bench.pay_out();
            bench.decide(&batch["data"][0], PayoutStatus::Paid);
        }
        if n == 11 {
            let checkpoint = "PRAGMA wal_checkpoint(TRUNCATE)";
            bench.store.connection().query_row(checkpoint, [], |_| Ok(())).unwrap();
        }
    }
    bench
}

#[test]
fn whatever_is_lost_of_the_log_the_books_go_on_from_the_journal() {
    let bench = told();
    let whole = bench.store.digest().unwrap();
    let log = fs::read(bench.image().path().join("books.db-wal")).unwrap();
    let cut = |at: usize| log[..at].to_vec();
    let zeroed = |at: usize| {
        let mut log = log.clone();
        let end = (at + 4_096).min(log.len());
        log[at..end].fill(0);
        log
    };
    let mut left = BTreeSet::new();
    for n in 0..=40 {
        let at = log.len() * n / 41;
        for damaged in [cut(at), zeroed(at)] {
            let image = bench.image();
            fs::write(image.path().join("books.db-wal"), damaged).unwrap();
            let mut store = Store::open(&image.path().join("books.db")).unwrap();
            assert_eq!(store.check().unwrap(), Vec::<String>::new(), "whole commits are lost, never parts");
            left.insert(store.applied_seq().unwrap());
            store.apply_batch(&bench.facts).unwrap();
            assert_eq!(store.digest().unwrap(), whole, "{n}");
        }
    }
    let last = bench.facts.last().unwrap().0;
    assert!(left.len() > 10 && *left.first().unwrap() > 0 && *left.last().unwrap() < last, "{left:?}");
}

#[test]
fn without_their_file_the_books_are_built_from_the_journal() {
    let bench = told();
    let dir = tempfile::tempdir().unwrap();
    let mut store = Store::open(&dir.path().join("books.db")).unwrap();
    assert_eq!(store.applied_seq().unwrap(), 0);
    store.apply_batch(&bench.facts).unwrap();
    assert_eq!(store.digest().unwrap(), bench.store.digest().unwrap());
}
