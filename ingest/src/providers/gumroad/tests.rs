use super::*;
use crate::providers::Provider;
use crate::providers::tests::{Case, NOW, at, decode_only, fixture, money, notices};

const ME: Provider = Provider::Gumroad;
const SALE: &[u8] = fixture!("gumroad/sale_ping.form");
const SECRET: &str = "0123456789abcdef";

#[test]
fn the_token_stands_in_the_path_or_the_query() {
    let case = Case::new(ME, SECRET, &[], SALE);
    assert_eq!(case.verdict(), Err(Refusal::SignatureMissing(TOKEN)));
    let verdict = |segment: &str, query: &str| {
        Case { segment: segment.into(), query: query.into(), ..case.clone() }.verdict()
    };
    assert_eq!(verdict(SECRET, ""), Ok(()));
    assert_eq!(verdict("", &format!("token={SECRET}")), Ok(()));
    assert_eq!(verdict("", &format!("a=b&key={SECRET}")), Ok(()));
    assert_eq!(verdict("0123456789abcdeF", ""), Err(Refusal::SignatureMismatch));
    assert_eq!(verdict("", "token="), Err(Refusal::SignatureMissing(TOKEN)));
    for bit in 0..SECRET.len() * 8 {
        let mut changed = SECRET.as_bytes().to_vec();
        changed[bit / 8] ^= 1 << (bit % 8);
        let Ok(changed) = String::from_utf8(changed) else { continue };
        assert_eq!(verdict(&changed, ""), Err(Refusal::SignatureMismatch), "bit {bit}");
    }
}

#[test]
fn another_sellers_sale_is_refused() {
    let of = |seller: &str, body: &[u8]| {
        let settings = Settings { seller_id: Some(seller.into()), ..Settings::default() };
        Case { settings, segment: SECRET.into(), ..Case::new(ME, SECRET, &[], body) }.verdict()
    };
    assert_eq!(of("A_LONG_STRING==", SALE), Ok(()));
    assert_eq!(of("ANOTHER", SALE), Err(Refusal::SignatureMismatch));
    assert_eq!(of("A_LONG_STRING==", b"sale_id=1"), Err(Refusal::SignatureMissing(SELLER)));
    assert!(check_secret("short").is_err() && check_secret(SECRET).is_ok());
}

#[test]
fn a_sale() {
    let decoded = decode_only(ME, SALE).unwrap();
    assert_eq!(decoded.dedupe_key, "GDxsfC0xDX9MI9i2i6d78A==:sale");
    let paid = Notice::Paid {
        order_keys: vec!["gumroad:GDxsfC0xDX9MI9i2i6d78A==".into()],
        renewal: false,
        amount: money(150, "USD"),
        payer: Payer { person: person(Some("test@testing.com".into()), None), ..Payer::default() },
        subscription: None,
        occurred_at: at("2020-09-14T22:26:12Z"),
    };
    assert_eq!((decoded.livemode, decoded.notices), (true, vec![paid]));
}

fn ping(change: &[(&str, &str)], more: &str) -> Vec<u8> {
    let text = String::from_utf8(SALE.to_vec()).unwrap();
    let text = change.iter().fold(text, |text, (from, to)| {
        assert!(text.contains(from), "{from}");
        text.replace(from, to)
    });
    format!("{text}{more}").into_bytes()
}

#[test]
fn a_retry_is_a_repeat() {
    let again = decode_only(ME, &ping(&[], "&retry_count=3")).unwrap();
    let first = decode_only(ME, SALE).unwrap();
    assert_eq!((first.dedupe_key, first.repeated), (again.dedupe_key, again.repeated.clone()));
    assert_ne!(decode_only(ME, &ping(&[("price=150", "price=151")], "")).unwrap().repeated, again.repeated);
}

#[test]
fn the_other_pings() {
    let kind = |name: &str, more: &str| {
        notices(ME, &ping(&[("resource_name=sale", &format!("resource_name={name}"))], more))
    };
    let refunded = |all: &[Notice]| match all {
        [Notice::Refunded { returned: Returned::Cumulative(total), occurred_at: NOW, .. }] => total.amount,
        other => panic!("{other:?}"),
    };
    assert_eq!(refunded(&kind("refund", "")), 150);
    assert_eq!(refunded(&kind("refund", "&amount_refundable_in_currency=1.00")), 50);
    assert_eq!(kind("refund", "&partially_refunded=true"), []);
    for (name, expected) in [("dispute", DisputeState::Open), ("dispute_won", DisputeState::Won)] {
        let all = kind(name, "");
        let [Notice::Disputed { state, amount, .. }] = &all[..] else { panic!() };
        assert_eq!((*state, *amount), (expected, money(150, "USD")));
    }
    let all = kind("cancellation", "&subscription_id=s1&cancelled_at=2026-11-21T10:00:00Z");
    let [Notice::Subscription { subscription, status, .. }] = &all[..] else { panic!() };
    assert_eq!((subscription.as_str(), status.as_str()), ("gumroad:s1", "cancelled"));
    let all =
        kind("sale", "&subscription_id=s1&is_recurring_charge=true&url_params%5Bwclid%5D=T&purchaser_id=9");
    let [Notice::Paid { renewal: true, payer, subscription: Some(subscription), .. }] = &all[..] else {
        panic!()
    };
    assert_eq!((payer.wclid.as_deref(), payer.customer.as_deref()), (Some("T"), Some("gumroad:9")));
    assert_eq!(subscription, "gumroad:s1");
    assert!(!decode_only(ME, &ping(&[], "&test=true")).unwrap().livemode);
    assert!(decode_only(ME, &ping(&[("price=150", "price=-150")], "")).is_err());
}
