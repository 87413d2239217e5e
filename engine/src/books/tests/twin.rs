//! A naive twin of the books, long because it is all of them once more: sales with their commissions, caps, referrals,
//! cashback and welcome gifts, refunds, disputes, verdicts, time, payouts and claims, kept in plain lists and added up
//! from nothing at each look. It agrees with the books after thousands of random operations, among which the process
//! dies and the books are replayed (`make books-twin`: a hundred thousand).

use std::collections::{BTreeMap, BTreeSet};

use weir_schemas::commission::Verdict;
use weir_schemas::fact::DisputeState;
use weir_schemas::ids::{CommissionId, PayoutId};
use weir_schemas::payout::PayoutStatus;

use super::programs::{PARTNER, PROGRAM, sold};
use super::*;

/// Balances that are not zero, by `owner kind`.
type Balances = BTreeMap<String, i64>;

const HOLD_DAYS: i64 = 3;
const BASE_BP: i64 = 1_250;
const FEE_BP: i64 = 1_500;
const CASHBACK_BP: i64 = 175;
const WELCOME_BP: i64 = 333;
/// To who brought a new customer.
const REFERRER: i64 = 777;
/// Most that a partner and the platform get in a day.
const CAP: i64 = 9_000;
/// Least that a wallet pays out.
const CLAIM_MIN: i64 = 100;
const PARTNERS: usize = 3;
const CUSTOMERS: usize = 300;

fn terms() -> Value {
    json!({
        "commission": {"base": {"bp": BASE_BP}, "caps": [{"per": "day", "amount": eur(CAP)}]},
        "platform_fee_bp": FEE_BP, "hold_days": HOLD_DAYS, "cashback_bp": CASHBACK_BP,
        "referral": {"referrer": {"fixed": eur(REFERRER)}, "referee": {"bp": WELCOME_BP}},
        "min_payout": eur(CLAIM_MIN),
    })
}

/// `a × b ÷ c`, half away from zero. Nothing here is negative.
fn rounded(a: i64, b: i64, c: i64) -> i64 {
    (2 * a * b + c) / (2 * c)
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Owner {
    Partner(usize),
    Customer(usize),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Commission,
    Referral,
    Cashback,
    Welcome,
}

struct Sale {
    amount: i64,
    refunded: i64,
    dispute: Option<(i64, DisputeState)>,
    due: i64,
}

impl Sale {
    /// What the dispute takes of what refunds left.
    fn disputed(&self, wanted: DisputeState) -> i64 {
        let taken = self.dispute.filter(|(_, state)| *state == wanted);
        taken.map_or(0, |(amount, _)| amount.min(self.amount - self.refunded))
    }

    /// What the sale still brings as far as it is certain.
    fn left(&self) -> i64 {
        self.amount - self.refunded - self.disputed(DisputeState::Lost)
    }

    fn refundable(&self) -> i64 {
        self.left() - self.disputed(DisputeState::Open)
    }
}

struct Earning {
    kind: Kind,
    owner: Owner,
    sale: usize,
    /// What caps left for it, the fee included.
    room: i64,
    verdict: Option<Verdict>,
    /// In payouts and claims that did not fail, and for certain.
    paid: i64,
    settled: i64,
    id: Option<CommissionId>,
}

/// An earning and what of it is paid.
type Item = (usize, i64);

#[derive(Default)]
struct Twin {
    sales: Vec<Sale>,
    earnings: Vec<Earning>,
    /// Items and state of each payout, and to whom.
    payouts: Vec<(usize, Vec<Item>, PayoutStatus)>,
    claimed: BTreeMap<usize, i64>,
    /// What was given by day and partner, before anything went back.
    given: BTreeMap<(i64, usize), i64>,
    bought: BTreeSet<usize>,
    now: i64,
}

impl Twin {
    /// The owner's part of an earning and the platform's, with `left` of its sale left.
    fn parts(&self, earning: &Earning, left: i64) -> (i64, i64) {
        let sale = &self.sales[earning.sale];
        match earning.kind {
            Kind::Commission => {
                let whole = rounded(left, BASE_BP, 10_000);
                if whole > earning.room {
                    let earned = rounded(earning.room, 10_000 - FEE_BP, 10_000);
                    return (earned, earning.room - earned);
                }
                let earned = rounded(left, BASE_BP * (10_000 - FEE_BP), 100_000_000);
                (earned, whole - earned)
            }
            Kind::Referral => (rounded(REFERRER, left, sale.amount), 0),
            Kind::Cashback => (rounded(left, CASHBACK_BP, 10_000), 0),
            Kind::Welcome => (rounded(left, WELCOME_BP, 10_000), 0),
        }
    }

    fn worth(&self, earning: &Earning) -> (i64, i64) {
        if earning.verdict == Some(Verdict::Reject) {
            return (0, 0);
        }
        self.parts(earning, self.sales[earning.sale].left())
    }

    /// Where what is not paid of it lies.
    fn place(&self, earning: &Earning) -> &'static str {
        let sale = &self.sales[earning.sale];
        let (worth, _) = self.worth(earning);
        let original = self.parts(earning, sale.amount).0;
        let gone = earning.verdict == Some(Verdict::Reject) || (worth == 0 && original > 0);
        let disputed = sale.disputed(DisputeState::Open) > 0 && earning.paid == 0;
        if gone {
            "approved"
        } else if earning.verdict == Some(Verdict::Hold) || disputed {
            "held"
        } else if (earning.settled > 0 && worth <= earning.settled)
            || sale.due <= self.now
            || earning.verdict == Some(Verdict::Approve)
        {
            "approved"
        } else {
            "pending"
        }
    }

    fn balances(&self) -> Balances {
        let mut balances = Balances::new();
        let mut add = |name: String, amount: i64| *balances.entry(name).or_default() += amount;
        for earning in &self.earnings {
            let (worth, fee) = self.worth(earning);
            let name = match (earning.owner, self.place(earning)) {
                (Owner::Partner(n), place) => format!("partner {n} {place}"),
                (Owner::Customer(n), "approved") => format!("customer {n} cashback_available"),
                (Owner::Customer(n), place) => format!("customer {n} cashback_{place}"),
            };
            add(name, worth - earning.paid);
            add("platform fee".to_owned(), fee);
        }
        for (partner, items, state) in &self.payouts {
            let sum: i64 = items.iter().map(|(_, amount)| amount).sum();
            match state {
                PayoutStatus::Pending | PayoutStatus::Processing => {
                    add(format!("partner {partner} processing"), sum);
                }
                PayoutStatus::Paid => add(format!("partner {partner} paid"), sum),
                PayoutStatus::Failed | PayoutStatus::Cancelled => {}
            }
        }
        for (customer, sum) in &self.claimed {
            add(format!("customer {customer} cashback_claimed"), *sum);
        }
        balances.retain(|_, amount| *amount != 0);
        balances
    }

    /// What an owner could be paid now: the earnings and how much of each.
    fn due(&self, owner: Owner) -> Vec<(usize, i64)> {
        let mine = self.earnings.iter().enumerate().filter(|(_, earning)| earning.owner == owner);
        mine.filter(|(_, earning)| self.place(earning) == "approved")
            .map(|(n, earning)| (n, self.worth(earning).0 - earning.paid))
            .filter(|(_, left)| *left != 0)
            .collect()
    }

    fn sell(&mut self, amount: i64, partner: usize, customer: Option<usize>, id: Option<CommissionId>) {
        let sale = self.sales.len();
        self.sales.push(Sale { amount, refunded: 0, dispute: None, due: self.now + HOLD_DAYS * DAY_MS });
        let given = self.given.entry((self.now.div_euclid(DAY_MS), partner)).or_default();
        let room = CAP - *given;
        *given += rounded(amount, BASE_BP, 10_000).min(room);
        let mut earns = |kind, owner, id| {
            let (verdict, paid, settled) = (None, 0, 0);
            self.earnings.push(Earning { kind, owner, sale, room, verdict, paid, settled, id });
        };
        earns(Kind::Commission, Owner::Partner(partner), id);
        let Some(customer) = customer else { return };
        earns(Kind::Cashback, Owner::Customer(customer), None);
        if self.bought.insert(customer) {
            earns(Kind::Referral, Owner::Partner(partner), None);
            earns(Kind::Welcome, Owner::Customer(customer), None);
        }
    }

    fn may_judge(&self, n: usize, verdict: Verdict) -> bool {
        let Earning { verdict: before, paid, .. } = self.earnings[n];
        let final_already = before == Some(Verdict::Reject) && verdict != Verdict::Reject;
        let not_held = verdict == Verdict::Release && before != Some(Verdict::Hold);
        !(final_already || not_held || (verdict == Verdict::Hold && paid > 0))
    }
}

/// xorshift64*
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_F491_4F6C_DD1D)
    }

    fn below(&mut self, bound: usize) -> usize {
        (self.next() % bound.max(1) as u64) as usize
    }

    fn one<T: Copy>(&mut self, of: &[T]) -> T {
        of[self.below(of.len())]
    }
}

/// The books and their twin, who are told the same.
struct Both {
    bench: Bench,
    twin: Twin,
    random: Random,
    payouts: Vec<Value>,
}

impl Both {
    fn new(seed: u64) -> Self {
        let mut bench = bench();
        bench.program(PROGRAM, terms());
        for n in 0..PARTNERS {
            bench.partner(partner_id(n), &format!("P{n}"), json!({"program_id": PROGRAM}));
        }
        Self { bench, twin: Twin::default(), random: Random(seed), payouts: Vec::new() }
    }

    /// The time of the next fact.
    fn clock(&mut self) -> i64 {
        self.twin.now = NOON + self.bench.later + self.bench.facts.len() as i64 * 3 + 1;
        self.twin.now
    }

    fn step(&mut self) {
        let sales = self.twin.sales.len();
        match self.random.below(100) {
            _ if sales == 0 => self.sell(),
            0..42 => self.sell(),
            42..60 => self.refund(),
            60..66 => self.dispute(),
            66..74 => self.judge(),
            74..80 => {
                self.bench.later += (1 + self.random.below(2) as i64) * DAY_MS;
                self.clock();
                self.bench.apply(What::TimePassed {});
            }
            80..86 => self.pay_out(),
            86..93 => self.decide(),
            _ => self.claim(),
        }
    }

    fn sell(&mut self) {
        let now = self.clock();
        let amount = 1 + self.random.below(20_000) as i64;
        let partner = self.random.below(PARTNERS);
        let customer = (self.random.below(3) > 0).then(|| self.random.below(CUSTOMERS));
        let mut more = json!({});
        if let Some(customer) = customer {
            more["customer_id"] = json!(format!("u{customer}"));
        }
        // The first partner sells by clicks, the others by their codes.
        let click = match partner {
            0 => known(ClickId::new(now - 1_000, 0, 1, self.bench.facts.len() as u64)),
            _ => ClickClaim::None,
        };
        if partner > 0 {
            more["partner_code"] = json!(format!("P{partner}"));
        }
        let made = self.bench.convert(sold(&format!("A-{}", self.twin.sales.len()), amount, more), click);
        assert_eq!(made.status, 201, "{made:?}");
        let lines = made.body["commissions"].as_array().expect("lines");
        let line = lines.iter().find(|line| line["kind"] == "commission");
        let id = line.map(|line| line["id"].as_str().unwrap().parse().unwrap());
        self.twin.sell(amount, partner, customer, id);
    }

    fn refund(&mut self) {
        self.clock();
        let which = self.random.below(self.twin.sales.len());
        let sale = &mut self.twin.sales[which];
        let part = match self.random.below(4) {
            0 => sale.refundable().max(1),
            _ => 1 + self.random.below(8_000) as i64,
        };
        let allowed = part <= sale.refundable();
        sale.refunded += if allowed { part } else { 0 };
        let told = self.bench.refund(json!({"order_id": format!("A-{which}"), "amount": eur(part)}));
        assert_eq!(told.status == 201, allowed, "{told:?}");
    }

    /// Opens a dispute, or ends the one that is open.
    fn dispute(&mut self) {
        self.clock();
        let which = self.random.below(self.twin.sales.len());
        let open = self
            .twin
            .sales
            .iter()
            .rposition(|sale| sale.dispute.is_some_and(|(_, state)| state == DisputeState::Open));
        let which = open.filter(|_| self.random.below(3) > 0).unwrap_or(which);
        let amount = 1 + self.random.below(20_000) as i64;
        let ends = self.random.one(&[DisputeState::Won, DisputeState::Lost]);
        let sale = &mut self.twin.sales[which];
        let (amount, state) = match sale.dispute {
            None => (amount, DisputeState::Open),
            Some((amount, DisputeState::Open)) => (amount, ends),
            // Told again.
            Some(told) => told,
        };
        sale.dispute = Some((amount, state));
        let dispute = Payment::Disputed {
            order_keys: vec![format!("A-{which}")],
            dispute: format!("dp_{which}"),
            amount: eur(amount),
            state,
            occurred_at: Timestamp(NOON),
        };
        let key = format!("e{}", self.bench.facts.len());
        let told = self.bench.deliver(&key, vec![dispute]);
        assert_eq!(told.body["outcome"], "processed", "{told:?}");
    }

    fn judge(&mut self) {
        self.clock();
        let which = self.random.below(self.twin.earnings.len());
        let Some(id) = self.twin.earnings[which].id else { return };
        let verdicts = [Verdict::Hold, Verdict::Hold, Verdict::Release, Verdict::Release, Verdict::Approve];
        let verdict = if self.random.below(8) == 0 { Verdict::Reject } else { self.random.one(&verdicts) };
        let allowed = self.twin.may_judge(which, verdict);
        let told = self.bench.apply(What::CommissionJudged { id, verdict, reason: Some("why".into()) });
        assert_eq!(told.status == 200, allowed, "{told:?}");
        if allowed {
            self.twin.earnings[which].verdict = (verdict != Verdict::Release).then_some(verdict);
        }
    }

    fn pay_out(&mut self) {
        self.clock();
        let made = self.bench.pay_out();
        let data = made["data"].as_array().expect("payouts");
        let mut told = data.iter();
        for partner in 0..PARTNERS {
            let items = self.twin.due(Owner::Partner(partner));
            let sum: i64 = items.iter().map(|(_, amount)| amount).sum();
            if sum < CLAIM_MIN {
                continue;
            }
            let payout = told.next().expect("a payout for each to whom something is due");
            assert_eq!(
                (&payout["amount"]["amount"], &payout["partner_id"]),
                (&json!(sum), &json!(partner_id(partner)))
            );
            items.iter().for_each(|(n, amount)| self.twin.earnings[*n].paid += amount);
            self.twin.payouts.push((partner, items, PayoutStatus::Pending));
            self.payouts.push(payout.clone());
        }
        assert_eq!(told.next(), None);
    }

    fn decide(&mut self) {
        if self.payouts.is_empty() {
            return;
        }
        self.clock();
        // Mostly one of the last, which are not decided yet.
        let back = if self.random.below(4) == 0 { self.payouts.len() } else { 6.min(self.payouts.len()) };
        let which = self.payouts.len() - 1 - self.random.below(back);
        use PayoutStatus::{Cancelled, Failed, Paid, Processing};
        let to = self.random.one(&[Paid, Paid, Failed, Cancelled, Processing]);
        let (_, items, status) = &mut self.twin.payouts[which];
        let allowed = *status == to || status.may_become(to);
        assert_eq!(self.bench.decide(&self.payouts[which], to).status == 200, allowed);
        if !allowed || *status == to {
            return;
        }
        *status = to;
        for (n, amount) in items.iter() {
            let earning = &mut self.twin.earnings[*n];
            match to {
                Paid => earning.settled += amount,
                Failed | Cancelled => earning.paid -= amount,
                _ => {}
            }
        }
    }

    fn claim(&mut self) {
        let customer = self.random.below(CUSTOMERS);
        if !self.twin.bought.contains(&customer) {
            return;
        }
        let now = self.clock();
        let items = self.twin.due(Owner::Customer(customer));
        let sum: i64 = items.iter().map(|(_, amount)| amount).sum();
        let id = PayoutId(90_000_000 + now as u64 % 1_000_000_000);
        let customer_id = format!("u{customer}");
        let told =
            self.bench.apply(What::CashbackClaimed { id, customer_id, currency: None, reference: None });
        assert_eq!(told.status, if sum >= CLAIM_MIN { 201 } else { 422 }, "{sum}: {told:?}");
        if told.status != 201 {
            return;
        }
        assert_eq!(told.body["claimed"][0]["amount"]["amount"], sum);
        for (n, amount) in items {
            let earning = &mut self.twin.earnings[n];
            earning.paid += amount;
            earning.settled = earning.paid;
        }
        *self.twin.claimed.entry(customer).or_default() += sum;
    }

    /// What the books say of partners, customers and the platform.
    fn books(&self) -> Balances {
        let mut statement = self
            .bench
            .store
            .connection()
            .prepare(
                "SELECT a.owner, a.owner_id, a.kind, a.balance, k.name FROM accounts a
                 LEFT JOIN customers k ON a.owner = 'customer' AND k.id = a.owner_id
                 WHERE a.owner != 'merchant' AND a.balance != 0",
            )
            .unwrap();
        let rows = statement.query_map([], |row| {
            let (owner, id, kind): (String, i64, String) = (row.get(0)?, row.get(1)?, row.get(2)?);
            let name = match owner.as_str() {
                "partner" => format!("partner {} {kind}", id - PARTNER.0 as i64),
                "customer" => format!("customer {} {kind}", &row.get::<_, String>(4)?[1..]),
                _ => format!("{owner} {kind}"),
            };
            Ok((name, row.get(3)?))
        });
        rows.unwrap().map(Result::unwrap).collect()
    }

    fn agree(&self, after: usize) {
        assert_eq!(self.books(), self.twin.balances(), "after {after} operations");
    }
}

fn partner_id(n: usize) -> PartnerId {
    PartnerId(PARTNER.0 + n as u64)
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
    let mut both = Both::new(0x5EED);
    let mut image = None;
    let (mut crashes, mut replays) = (0, 0);
    for n in 0..operations {
        both.step();
        if n % (operations / CRASHES).max(1) == 0 {
            image = Some((n + both.random.below(30), both.bench.image()));
        }
        if let Some((_, image)) = image.take_if(|(at, _)| *at <= n) {
            both.bench.crash(image);
            crashes += 1;
        }
        if n % (operations / REPLAYS).max(1) == operations / REPLAYS / 2 {
            let batch = 1 + both.random.below(700);
            both.bench.replay(batch);
            replays += 1;
        }
        if n % 50 == 0 || n + 1 == operations {
            both.agree(n);
        }
    }
    let Both { bench, twin, payouts, .. } = both;
    assert!(payouts.len() > operations / 100 && !twin.claimed.is_empty(), "{} payouts", payouts.len());
    let disputes = twin.sales.iter().filter(|sale| sale.dispute.is_some()).count();
    let capped =
        twin.earnings.iter().filter(|earning| earning.kind == Kind::Commission && earning.room < 2_000);
    assert!(disputes > operations / 100 && capped.count() > 0, "{disputes} disputes");
    assert!(crashes >= CRASHES / 2 && replays == REPLAYS, "{crashes} crashes, {replays} replays");
    bench.verify();
    println!(
        "{operations} operations, {} facts, {crashes} crashes, {replays} replays, {} sales, {disputes} disputes, \
         {} payouts, {} wallets claimed: the books agree",
        bench.facts.len(),
        twin.sales.len(),
        payouts.len(),
        twin.claimed.len()
    );
}
