//! The four worked examples of `docs/programs.md`: the page shows every posting, and these are they.

use super::commissions::earning;
use super::programs::sold;
use super::*;
use weir_schemas::payout::PayoutStatus;

const PAGE: &str = include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/programs.md"));

impl Bench {
    fn sells(&mut self, order: &str, amount: i64, more: Value) {
        let at = Timestamp(NOON + self.later + self.facts.len() as i64 * 3 + 1);
        let click = ClickId::new(at.0 - 1_000, 0, 1, self.facts.len() as u64);
        let mut body = sold(order, amount, more);
        body["amount"]["currency"] = json!("USD");
        assert_eq!(self.convert(body, known(click)).status, 201);
    }

    fn gives_back(&mut self, order: &str, amount: i64) {
        let amount = json!({"amount": amount, "currency": "USD"});
        assert_eq!(self.refund(json!({"order_id": order, "amount": amount})).status, 201);
    }

    /// Every posting, one line each, an empty line between facts.
    fn postings(&self) -> String {
        let mut statement = self
            .store
            .connection()
            .prepare(
                "SELECT e.seq, e.what, a.owner || ' ' || a.kind, e.amount, e.balance
                 FROM entries e JOIN accounts a ON a.id = e.account ORDER BY e.id",
            )
            .unwrap();
        type Posting = (i64, String, String, i64, i64);
        let rows = statement
            .query_map([], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?, row.get(4)?)))
            .unwrap();
        let rows: Vec<Posting> = rows.map(Result::unwrap).collect();
        let cents = |amount: i64| {
            let sign = if amount < 0 { "-" } else { "" };
            format!("{sign}{}.{:02}", amount.abs() / 100, amount.abs() % 100)
        };
        let mut text = String::new();
        let mut last = rows.first().map_or(0, |row| row.0);
        for (seq, what, account, amount, balance) in rows {
            if seq != last {
                text.push('\n');
                last = seq;
            }
            let (amount, balance) = (cents(amount), cents(balance));
            text.push_str(&format!("{what:<14} {account:<28} {amount:>9} {balance:>10}\n"));
        }
        text
    }

    /// The page shows the postings under this heading.
    fn is_shown_under(&self, heading: &str) {
        let section = PAGE.split("\n## ").find(|section| section.starts_with(heading)).unwrap_or_default();
        let postings = self.postings();
        let shown = section.contains(&format!("```text\n{postings}```"));
        assert!(shown, "docs/programs.md, {heading}, is to show\n```text\n{postings}```");
        self.verify();
    }
}

#[test]
fn an_influencer_marketplace() {
    let mut bench = earning(json!({"window_days": 7, "platform_fee_bp": 2000,
        "min_payout": {"amount": 5_000, "currency": "USD"}}));
    bench.sells("A-1", 40_000, json!({}));
    assert_eq!(bench.pay_out()["data"], json!([]), "32.00 is below the minimum");
    bench.sells("A-2", 30_000, json!({}));
    let batch = bench.pay_out();
    bench.decide(&batch, PayoutStatus::Paid);
    bench.is_shown_under("An influencer marketplace");
}

#[test]
fn an_affiliate_program() {
    let tiers = json!([{"name": "Bronze", "bp": 1000, "from": {"orders": 0}},
        {"name": "Silver", "bp": 1500, "from": {"orders": 1}}, {"name": "Gold", "bp": 2000, "from": {"orders": 2}}, {"name": "Platinum", "bp": 2500, "from": {"orders": 3}}]);
    let mut bench = earning(json!({"commission": {"base": {"bp": 1000}, "tiers": tiers}, "window_days": 30}));
    for n in 1..=4 {
        bench.sells(&format!("A-{n}"), 10_000, json!({}));
    }
    bench.gives_back("A-4", 3_333);
    bench.is_shown_under("An affiliate program");
}

#[test]
fn a_digital_goods_store() {
    let products = json!([{"product": "ebook", "bp": 3000},
        {"tag": "course", "fixed": {"amount": 700, "currency": "USD"}}]);
    let mut bench = earning(
        json!({"commission": {"base": {"bp": 1000}, "products": products}, "hold_days": 14, "milestones": [
            {"name": "Two orders", "target": {"orders": 2}, "bonus": {"amount": 500, "currency": "USD"}}]}),
    );
    bench.sells("A-1", 1_999, json!({"properties": {"product": "ebook"}}));
    bench.sells("A-2", 4_900, json!({"properties": {"tags": ["course"]}}));
    bench.gives_back("A-2", 4_900);
    bench.wait(15);
    bench.is_shown_under("A digital-goods store");
}

#[test]
fn caps_and_disputes() {
    let caps = json!([{"per": "day", "amount": {"amount": 1_500, "currency": "USD"}}]);
    let mut bench =
        earning(json!({"commission": {"base": {"bp": 1000}, "caps": caps}, "platform_fee_bp": 1000}));
    bench.sells("A-1", 10_000, json!({}));
    bench.sells("A-2", 10_000, json!({}));
    let dispute = |state| Payment::Disputed {
        order_keys: vec!["A-1".into()],
        dispute: "dp_1".into(),
        amount: weir_schemas::money::Money { amount: 10_000, currency: Currency::USD },
        state,
        occurred_at: Timestamp(NOON),
    };
    bench.deliver("e1", vec![dispute(weir_schemas::fact::DisputeState::Open)]);
    bench.deliver("e2", vec![dispute(weir_schemas::fact::DisputeState::Lost)]);
    bench.is_shown_under("Caps and disputes");
}

#[test]
fn a_cashback_site() {
    let usd = |amount: i64| json!({"fixed": {"amount": amount, "currency": "USD"}});
    let mut bench = earning(json!({"commission": {"base": {"bp": 0}}, "cashback_bp": 300, "hold_days": 30,
        "referral": {"referrer": usd(500), "referee": usd(200)}}));
    bench.sells("A-1", 8_000, json!({"customer_id": "u1"}));
    bench.sells("A-2", 5_555, json!({"customer_id": "u1"}));
    bench.gives_back("A-2", 5_555);
    bench.wait(31);
    let claim = What::CashbackClaimed {
        id: weir_schemas::ids::PayoutId(9),
        customer_id: "u1".into(),
        currency: None,
        reference: None,
    };
    assert_eq!(bench.apply(claim).status, 201);
    bench.is_shown_under("A cashback site");
}
