//! The books by themselves: how many conversions they apply in a second, how long a partner's balance takes
//! whatever its number of entries, and whether millions of random postings add up to zero. Each against a
//! file of its own.

use std::time::{Duration, Instant};

use clap::{Parser, Subcommand};
use serde_json::json;
use weir_engine::books::{AccountFilter, PageOf, Reads, Store};
use weir_schemas::fact::{Actor, ClickClaim, Fact, Recorded};
use weir_schemas::ids::{ConversionId, PartnerId, PayoutId, ProgramId, Sequence, WorkspaceId};
use weir_schemas::ledger::Owner;
use weir_schemas::payout::{PayoutScope, PayoutStatus};
use weir_schemas::time::{DAY_MS, Timestamp};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// 2026-11-01, noon.
const BEGIN: i64 = 1_793_534_400_000;
/// Facts of one transaction, as a follower that is behind has it.
const BATCH: usize = 8_192;
const PROGRAM: ProgramId = ProgramId(5);
const WORKSPACE: WorkspaceId = WorkspaceId(1);

#[derive(Parser)]
struct Args {
    #[command(subcommand)]
    what: What,
}

#[derive(Subcommand)]
enum What {
    /// Applies conversions of many partners.
    Apply {
        #[arg(long, default_value_t = 200_000)]
        conversions: u64,
        #[arg(long, default_value_t = 1_000)]
        partners: u64,
    },
    /// Reads the balance of a partner with many entries.
    Balance {
        #[arg(long, default_value_t = 1_000_000)]
        entries: u64,
    },
    /// Random sales, refunds and payouts; then every audit.
    Postings {
        #[arg(long, default_value_t = 10_000_000)]
        postings: u64,
        #[arg(long, default_value_t = 1)]
        seed: u64,
    },
}

struct Books {
    store: Store,
    batch: Vec<(Sequence, weir_engine::books::Fact)>,
    seq: Sequence,
    at: i64,
    /// Spent in the books alone: by the clock, and by the processor.
    spent: Duration,
    processor: Duration,
}

/// What the processor spent on this thread so far: on a machine that others use, too, less than the clock says.
fn processor() -> Duration {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
    Duration::from_nanos(text.split(' ').next().and_then(|nanos| nanos.parse().ok()).unwrap_or_default())
}

impl Books {
    fn open(folder: &std::path::Path, partners: u64) -> Self {
        let store = Store::open(&folder.join("books.db")).expect("new books");
        let mut books = Self {
            store,
            batch: Vec::new(),
            seq: 0,
            at: BEGIN,
            spent: Duration::ZERO,
            processor: Duration::ZERO,
        };
        books.say(Fact::WorkspaceCreated {
            name: "bench".into(),
            currency: "EUR".parse().expect("a code"),
            timezone: "UTC".into(),
            key: None,
        });
        let spec = json!({"name": "Bench", "hold_days": 7, "platform_fee_bp": 500, "commission": {"base": {"bp": 1000},
            "tiers": [{"name": "Silver", "bp": 1500, "from": {"orders": 100}}]}});
        let spec = serde_json::from_value(spec).expect("terms");
        books.say(Fact::ProgramCreated { id: PROGRAM, spec });
        for n in 0..partners {
            let spec = json!({"name": format!("P{n}"), "code": format!("P{n}"), "program_id": PROGRAM});
            let spec = serde_json::from_value(spec).expect("a partner");
            books.say(Fact::PartnerCreated { id: PartnerId(1_000 + n), spec, private: None });
        }
        books.flush();
        books
    }

    fn say(&mut self, fact: Fact) {
        self.seq += 1;
        self.at += 1;
        let (at, actor) = (Timestamp(self.at), Actor::System);
        let recorded = Recorded { at, workspace: WORKSPACE, actor, request: None, fact };
        self.batch.push((self.seq, Ok(recorded)));
        if self.batch.len() == BATCH {
            self.flush();
        }
    }

    fn flush(&mut self) {
        let started = (Instant::now(), processor());
        let outcomes = self.store.apply_batch(&self.batch).expect("applied");
        self.spent += started.0.elapsed();
        self.processor += processor() - started.1;
        for outcome in outcomes.into_iter().flatten() {
            assert!(outcome.status < 500, "{outcome:?}");
        }
        self.batch.clear();
    }

    fn sell(&mut self, order: u64, partner: u64, amount: i64) {
        let body = json!({"event": "sale", "order_id": format!("o{order}"), "partner_code": format!("P{partner}"),
            "customer_id": format!("c{}", order / 3), "amount": {"amount": amount, "currency": "EUR"}});
        let conversion = serde_json::from_value(body).expect("a conversion");
        let id = ConversionId((self.seq + 1) << 12);
        self.say(Fact::plain_conversion(id, conversion, ClickClaim::None));
    }
}

/// xorshift64*, so that a seed gives the same run everywhere.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_F491_4F6C_DD1D) % bound
    }
}

fn main() {
    let folder = tempfile::tempdir().expect("a folder");
    match Args::parse().what {
        What::Apply { conversions, partners } => {
            let mut books = Books::open(folder.path(), partners);
            (books.spent, books.processor) = Default::default();
            let mut random = Random(7);
            for n in 0..conversions {
                let partner = random.below(partners);
                books.sell(n, partner, 100 + (n % 10_000) as i64);
            }
            books.flush();
            let per_second = conversions as f64 / books.spent.as_secs_f64();
            println!(
                "{}",
                json!({"conversions": conversions, "partners": partners,
                "seconds": books.spent.as_secs_f64(), "conversions_per_second": per_second.round(),
                "processor_microseconds_each": books.processor.as_secs_f64() * 1e6 / conversions as f64})
            );
        }
        What::Balance { entries } => {
            let mut books = Books::open(folder.path(), 1);
            for n in 0..entries {
                books.sell(n, 0, 1_000);
            }
            books.flush();
            let reads = Reads::new(folder.path().join("books.db"));
            let partner = PartnerId(1_000);
            let filter = AccountFilter {
                owner: Some(Owner::Partner),
                owner_id: Some(partner.0),
                ..Default::default()
            };
            let page = PageOf { limit: Some(50), cursor: None };
            let accounts = reads.accounts(WORKSPACE, &filter, &page).expect("accounts").data;
            let most = accounts.iter().max_by_key(|account| account.entries).expect("an account").clone();
            let time = |read: &dyn Fn()| {
                let mut times: Vec<Duration> = (0..200)
                    .map(|_| {
                        let started = Instant::now();
                        read();
                        started.elapsed()
                    })
                    .collect();
                times.sort_unstable();
                (times[100].as_secs_f64() * 1e3, times[197].as_secs_f64() * 1e3)
            };
            let balance = time(&|| {
                reads.accounts(WORKSPACE, &filter, &page).expect("accounts");
            });
            let stats = time(&|| {
                reads.partner_stats(WORKSPACE, partner).expect("stats");
            });
            let listed = time(&|| {
                reads.entries(WORKSPACE, most.id, &page).expect("entries");
            });
            println!(
                "{}",
                json!({"entries": most.entries, "balance": most.balance,
                "accounts_ms": {"p50": balance.0, "p99": balance.1},
                "stats_ms": {"p50": stats.0, "p99": stats.1},
                "entries_page_ms": {"p50": listed.0, "p99": listed.1}})
            );
        }
        What::Postings { postings, seed } => {
            let mut books = Books::open(folder.path(), 200);
            let mut random = Random(seed.max(1));
            let (mut orders, mut posted) = (0_u64, 0_u64);
            let mut pending: Vec<PayoutId> = Vec::new();
            while posted < postings {
                for _ in 0..10_000 {
                    match random.below(1_000) {
                        0 => books.at += DAY_MS,
                        1 => {
                            let id = PayoutId((books.seq + 1) << 16);
                            books.say(Fact::PayoutsRequested { id, scope: PayoutScope::default() });
                            pending.push(id);
                        }
                        2..=4 if !pending.is_empty() => {
                            let id = pending.swap_remove(random.below(pending.len() as u64) as usize);
                            let to = match random.below(3) {
                                0 => PayoutStatus::Failed,
                                1 => PayoutStatus::Cancelled,
                                _ => PayoutStatus::Paid,
                            };
                            books.say(Fact::PayoutDecided { id, to, reference: None, reason: None });
                        }
                        5..=250 if orders > 0 => {
                            let order = random.below(orders);
                            let part = 1 + random.below(3_000);
                            let body = json!({"order_id": format!("o{order}"),
                                "amount": {"amount": part, "currency": "EUR"}});
                            books.say(Fact::Refund {
                                refund: serde_json::from_value(body).expect("a refund"),
                            });
                        }
                        _ => {
                            let (partner, amount) = (random.below(200), 1 + random.below(100_000) as i64);
                            books.sell(orders, partner, amount);
                            orders += 1;
                        }
                    }
                }
                books.flush();
                let reads = Reads::new(folder.path().join("books.db"));
                posted = entries(&reads);
            }
            let audits = Instant::now();
            let findings = books.store.check().expect("audits");
            println!(
                "{}",
                json!({"postings": posted, "facts": books.seq, "orders": orders, "seed": seed,
                "facts_per_second": (books.seq as f64 / books.spent.as_secs_f64()).round(),
                "processor_microseconds_each": books.processor.as_secs_f64() * 1e6 / books.seq as f64,
                "audits_seconds": audits.elapsed().as_secs_f64(), "findings": findings})
            );
            assert!(findings.is_empty(), "the books do not add up");
        }
    }
}

/// How many entries all accounts have.
fn entries(reads: &Reads) -> u64 {
    let (mut cursor, mut sum) = (None, 0);
    loop {
        let of = PageOf { limit: Some(1_000), cursor };
        let page = reads.accounts(WORKSPACE, &AccountFilter::default(), &of).expect("accounts");
        sum += page.data.iter().map(|account| account.entries).sum::<u64>();
        cursor = page.next_cursor;
        if cursor.is_none() {
            return sum;
        }
    }
}
