//! Payouts: everything due once, whatever fails, and what went back afterwards carried on. With a naive twin of sales,
//! refunds, time and payouts.

use weir_schemas::ids::PayoutId;
use weir_schemas::payout::{PayoutScope, PayoutStatus};

use super::commissions::earning;
use super::programs::PARTNER;
use super::*;

impl Bench {
    pub(super) fn pay_out(&mut self) -> Value {
        let id = PayoutId(40_000 + self.facts.len() as u64 * 100);
        let outcome = self.apply(What::PayoutsRequested { id, scope: PayoutScope::default() });
        assert_eq!(outcome.status, 201);
        outcome.body
    }

    pub(super) fn decide(&mut self, payout: &Value, to: PayoutStatus) -> Outcome {
        let id = payout["id"].as_str().unwrap().parse().unwrap();
        self.apply(What::PayoutDecided { id, to, reference: Some("T-1".into()), reason: None })
    }
}

#[test]
fn all_that_is_due_is_paid_once() {
    let mut bench = earning(json!({"hold_days": 7, "min_payout": {"amount": 150, "currency": "EUR"}}));
    bench.convert(sale("A-1", 1_000), known(click_id(1, 1)));
    assert_eq!(bench.pay_out()["data"], json!([]), "pending is not due");
    bench.wait(8);
    let small = bench.pay_out();
    assert_eq!((&small["data"], &small["carried"][0]["amount"]["amount"]), (&json!([]), &json!(100)));
    bench.convert(sale("A-2", 1_000), known(click_id(1, 2)));
    bench.wait(8);
    let batch = bench.pay_out();
    assert_eq!(batch["totals"], json!([{"amount": 200, "currency": "EUR"}]));
    let payout = &batch["data"][0];
    assert_eq!((&payout["status"], &payout["commissions"]), (&json!("pending"), &json!(2)));
    assert_eq!((bench.balance("partner processing EUR"), bench.balance("partner approved EUR")), (200, 0));
    assert_eq!(bench.pay_out()["data"], json!([]), "nothing is in two payouts");
    let paid = bench.decide(payout, PayoutStatus::Paid);
    assert_eq!((&paid.body["status"], &paid.body["reference"]), (&json!("paid"), &json!("T-1")));
    assert_eq!(bench.decide(payout, PayoutStatus::Paid).status, 200, "again");
    assert_eq!(code(&bench.decide(payout, PayoutStatus::Failed)), "payout_state");
    assert_eq!((bench.balance("partner paid EUR"), bench.balance("partner processing EUR")), (200, 0));
    assert!(bench.earnings().iter().all(|earning| earning.3 == "paid"));
    assert_eq!(
        bench
            .apply(What::PayoutDecided {
                id: PayoutId(1),
                to: PayoutStatus::Paid,
                reference: None,
                reason: None,
            })
            .status,
        404
    );
    bench.verify();
}

#[test]
fn what_fails_is_due_again_and_a_batch_goes_as_one() {
    let mut bench = earning(json!({}));
    bench.partner(PartnerId(7), "BOB", json!({"program_id": super::programs::PROGRAM}));
    bench.convert(sale("A-1", 1_000), known(click_id(1, 1)));
    bench.convert(super::programs::sold("A-2", 500, json!({"partner_code": "BOB"})), ClickClaim::None);
    let batch = bench.pay_out();
    assert_eq!(batch["data"].as_array().unwrap().len(), 2);
    assert_eq!(bench.decide(&batch["data"][0], PayoutStatus::Failed).body["status"], "failed");
    assert_eq!(bench.balance("partner approved EUR"), 100);
    let again = bench.pay_out();
    assert_eq!(again["totals"][0]["amount"], 100);
    assert_eq!(bench.decide(&again, PayoutStatus::Processing).body["data"][0]["status"], "processing");
    assert_eq!(bench.decide(&again, PayoutStatus::Cancelled).status, 200);
    let last = bench.pay_out();
    assert_eq!(bench.decide(&last, PayoutStatus::Paid).status, 200);
    assert_eq!(code(&bench.decide(&batch, PayoutStatus::Paid)), "payout_state", "one of it has failed");
    bench.verify();
}

#[test]
fn what_goes_back_after_it_was_paid_lowers_the_next() {
    let mut bench = earning(json!({}));
    bench.convert(sale("A-1", 1_000), known(click_id(1, 1)));
    let first = bench.pay_out();
    bench.decide(&first, PayoutStatus::Paid);
    bench.refund(json!({"order_id": "A-1"}));
    assert_eq!(bench.balance("partner approved EUR"), -100);
    assert_eq!(bench.earnings()[0].3, "reversed");
    let nothing = bench.pay_out();
    assert_eq!((&nothing["data"], &nothing["carried"][0]["amount"]["amount"]), (&json!([]), &json!(-100)));
    bench.convert(sale("A-2", 1_500), known(click_id(1, 2)));
    let second = bench.pay_out();
    assert_eq!((&second["totals"][0]["amount"], &second["data"][0]["commissions"]), (&json!(50), &json!(2)));
    bench.decide(&second, PayoutStatus::Paid);
    assert_eq!((bench.balance("partner paid EUR"), bench.balance("partner approved EUR")), (150, 0));
    assert_eq!(bench.total().commission, 150);
    bench.verify();
}

#[test]
fn a_refund_while_the_money_is_on_its_way_is_carried() {
    let mut bench = earning(json!({}));
    bench.convert(sale("A-1", 1_000), known(click_id(1, 1)));
    let batch = bench.pay_out();
    bench.refund(json!({"order_id": "A-1", "amount": eur(400)}));
    assert_eq!((bench.balance("partner processing EUR"), bench.balance("partner approved EUR")), (100, -40));
    bench.decide(&batch, PayoutStatus::Failed);
    assert_eq!(bench.balance("partner approved EUR"), 60);
    let next = bench.pay_out();
    assert_eq!(next["totals"][0]["amount"], 60);
    bench.decide(&next, PayoutStatus::Paid);
    assert_eq!(bench.earnings()[0].3, "paid");
    bench.verify();
}

#[derive(Debug, Clone)]
enum Step {
    Sell { amount: i64 },
    Refund { which: usize, part: i64 },
    Wait { days: i64 },
    PayOut,
    Decide { which: usize, to: PayoutStatus },
}

/// The twin: what each sale earns now, what of it is in payouts, and the balances that follow.
#[derive(Default)]
struct Twin {
    /// Paid, returned, due, in payouts.
    sales: Vec<(i64, i64, i64, i64)>,
    /// Items and state of each payout.
    payouts: Vec<(Vec<(usize, i64)>, PayoutStatus)>,
    now: i64,
}

const HOLD: i64 = 3 * DAY_MS;

impl Twin {
    fn earned(&self, n: usize) -> i64 {
        let (paid, returned, ..) = self.sales[n];
        // 12.5 % of what is left, of it 85 %: half away from zero.
        ((paid - returned) * 10_625 + 50_000) / 100_000
    }

    fn balances(&self) -> (i64, i64, i64, i64) {
        let (mut pending, mut approved) = (0, 0);
        for (n, (_, _, due, inside)) in self.sales.iter().enumerate() {
            // What has gone back whole is no longer pending.
            let left = self.earned(n) - inside;
            if *due > self.now && self.earned(n) != 0 { pending += left } else { approved += left }
        }
        let of = |wanted: &[PayoutStatus]| -> i64 {
            let payouts = self.payouts.iter().filter(|(_, state)| wanted.contains(state));
            payouts.flat_map(|(items, _)| items).map(|(_, amount)| amount).sum()
        };
        let processing = of(&[PayoutStatus::Pending, PayoutStatus::Processing]);
        (pending, approved, processing, of(&[PayoutStatus::Paid]))
    }
}

fn random(state: &mut u64) -> u64 {
    // xorshift64*
    *state ^= *state >> 12;
    *state ^= *state << 25;
    *state ^= *state >> 27;
    state.wrapping_mul(0x2545_F491_4F6C_DD1D)
}

fn step(state: &mut u64, sales: usize, payouts: usize) -> Step {
    let choice = random(state) % 100;
    let number = random(state);
    match choice {
        0..45 => Step::Sell { amount: 1 + (number % 20_000) as i64 },
        45..70 if sales > 0 => {
            Step::Refund { which: number as usize % sales, part: 1 + (random(state) % 8_000) as i64 }
        }
        70..80 => Step::Wait { days: 1 + (number % 2) as i64 },
        80..88 => Step::PayOut,
        88.. if payouts > 0 => {
            let to =
                [PayoutStatus::Paid, PayoutStatus::Failed, PayoutStatus::Cancelled, PayoutStatus::Processing]
                    [number as usize % 4];
            Step::Decide { which: random(state) as usize % payouts, to }
        }
        _ => Step::Sell { amount: 1 },
    }
}

/// So many operations; `WEIR_BOOKS_OPERATIONS` asks for more (`make books-twin`).
const OPERATIONS: usize = 2_000;
/// How often the process dies on the way, and how often the books are replayed.
const CRASHES: usize = 40;
const REPLAYS: usize = 3;

#[test]
fn random_operations_agree_with_a_naive_twin() {
    let asked = std::env::var("WEIR_BOOKS_OPERATIONS").ok().and_then(|text| text.parse().ok());
    let operations: usize = asked.unwrap_or(OPERATIONS);
    let terms = json!({"commission": {"base": {"bp": 1250}}, "platform_fee_bp": 1500, "hold_days": 3});
    let mut bench = earning(terms);
    let mut twin = Twin::default();
    let mut batches: Vec<Value> = Vec::new();
    let mut state = 0x5EED_u64;
    let mut image = None;
    let (mut crashes, mut replays) = (0, 0);
    for n in 0..operations {
        let now_of = |bench: &Bench| NOON + bench.later + bench.facts.len() as i64 * 3 + 1;
        match step(&mut state, twin.sales.len(), batches.len()) {
            Step::Sell { amount } => {
                let at = now_of(&bench);
                let click = ClickId::new(at - 1_000, 0, 1, n as u64);
                bench.convert(sale(&format!("A-{}", twin.sales.len()), amount), known(click));
                twin.sales.push((amount, 0, at + HOLD, 0));
            }
            Step::Refund { which, part } => {
                let amount = json!({"amount": part, "currency": "EUR"});
                let body = json!({"order_id": format!("A-{which}"), "amount": amount});
                let taken = bench.refund(body).status == 201;
                let sale = &mut twin.sales[which];
                assert_eq!(taken, part <= sale.0 - sale.1);
                sale.1 += if taken { part } else { 0 };
            }
            Step::Wait { days } => bench.wait(days),
            Step::PayOut => {
                let at = now_of(&bench);
                let made = bench.pay_out();
                twin.now = at;
                let items: Vec<(usize, i64)> = (0..twin.sales.len())
                    .map(|n| (n, twin.earned(n) - twin.sales[n].3))
                    .filter(|(n, left)| *left != 0 && (twin.sales[*n].2 <= at || twin.earned(*n) == 0))
                    .collect();
                let sum: i64 = items.iter().map(|(_, amount)| amount).sum();
                assert_eq!(made["totals"][0]["amount"].as_i64(), (sum > 0).then_some(sum), "{n}");
                if sum > 0 {
                    items.iter().for_each(|(n, amount)| twin.sales[*n].3 += amount);
                    twin.payouts.push((items, PayoutStatus::Pending));
                    batches.push(made["data"][0].clone());
                }
            }
            Step::Decide { which, to } => {
                let allowed = twin.payouts[which].1.may_become(to);
                assert_eq!(bench.decide(&batches[which], to).status == 200, allowed);
                if allowed && twin.payouts[which].1 != to {
                    twin.payouts[which].1 = to;
                    if matches!(to, PayoutStatus::Failed | PayoutStatus::Cancelled) {
                        let items = twin.payouts[which].0.clone();
                        items.iter().for_each(|(n, amount)| twin.sales[*n].3 -= amount);
                    }
                }
            }
        }
        twin.now = NOON + bench.later + (bench.facts.len() as i64 - 1) * 3 + 1;
        if n % (operations / CRASHES).max(1) == 0 {
            image = Some((n + random(&mut state) as usize % 30, bench.image()));
        }
        if let Some((_, image)) = image.take_if(|(at, _)| *at <= n) {
            bench.crash(image);
            crashes += 1;
        }
        if n % (operations / REPLAYS).max(1) == operations / REPLAYS / 2 {
            bench.replay(1 + random(&mut state) as usize % 700);
            replays += 1;
        }
        if n % 50 == 0 || n + 1 == operations {
            let of = |kind: &str| bench.balance(&format!("partner {kind} EUR"));
            let books = (of("pending"), of("approved"), of("processing"), of("paid"));
            assert_eq!(books, twin.balances(), "after {n}");
        }
    }
    assert!(batches.len() > operations / 50 && PARTNER != PartnerId::NONE);
    assert!(crashes >= CRASHES / 2 && replays == REPLAYS, "{crashes} crashes, {replays} replays");
    bench.verify();
}
