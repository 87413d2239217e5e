//! Visitors and shops at work until they are told to stop, and an exact account of what they were told. Every visit
//! carries a mark of its own (`utm_content`), so that a lost click and a doubled one cannot make up for each other.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use weir_loadtest::stripe;

use crate::engine::http::{Answer, Http};
use crate::engine::{BROWSER, Engine, PATIENCE, api, deliver, text_of, token_of};

/// Threads that visit.
const CLICKERS: usize = 3;
/// Threads that visit and buy.
const SELLERS: usize = 2;
/// Marks of one thread: what one query can list.
const MARKS_MAX: u64 = 9_000;
/// Between a visitor's requests: enough load that every moment has something on its way, little enough for
/// slow machines.
const PAUSE: Duration = Duration::from_millis(1);

/// What a shop tells the engine.
#[derive(Debug, Clone)]
enum Call {
    Api(&'static str, Value),
    Hook(String),
}

/// One order: its calls, of which the first `told` were acknowledged.
#[derive(Debug, Clone)]
struct Order {
    slug: String,
    cents: i64,
    refunded: i64,
    calls: Vec<Call>,
    told: usize,
}

/// What was sent and what was answered.
#[derive(Debug, Default)]
pub(crate) struct Account {
    /// Marks of visits that were redirected, by the name under which one query lists them.
    answered: BTreeMap<String, BTreeSet<String>>,
    /// Marks of visits whose answer did not come.
    unanswered: BTreeMap<String, BTreeSet<String>>,
    /// Redirected visits by link.
    by_slug: BTreeMap<String, i64>,
    orders: Vec<Order>,
    /// Answers that are neither a redirect nor a 2xx, and broken connections.
    pub(crate) failures: Vec<String>,
}

/// The engine's addresses, links and endpoint.
#[derive(Debug, Clone)]
pub(crate) struct Shop {
    /// Slug → id.
    pub(crate) links: BTreeMap<String, String>,
    pub(crate) hook: String,
}

impl Shop {
    pub(crate) fn open(engine: &Engine) -> Self {
        let links = ["alpha", "beta", "gamma"].map(|slug| (slug.to_owned(), engine.make_link(slug)));
        Self { links: links.into(), hook: engine.make_stripe_endpoint() }
    }
}

/// Load that goes on until [`Load::stop`].
pub(crate) struct Load {
    stop: Arc<AtomicBool>,
    answers: Arc<AtomicU64>,
    sold: Arc<AtomicU64>,
    threads: Vec<JoinHandle<Account>>,
}

impl Load {
    /// `run` must differ between the loads of a test.
    pub(crate) fn start(engine: &Engine, shop: &Shop, run: &str) -> Self {
        let mut load =
            Self { stop: Arc::default(), answers: Arc::default(), sold: Arc::default(), threads: Vec::new() };
        for number in 0..CLICKERS + SELLERS {
            let worker = Worker {
                public: Http::new(engine.public),
                admin: engine.admin,
                shop: shop.clone(),
                name: format!("{run}-{number}"),
                sent: 0,
                account: Account::default(),
                stop: Arc::clone(&load.stop),
                answers: Arc::clone(&load.answers),
                sold: Arc::clone(&load.sold),
            };
            load.threads.push(std::thread::spawn(move || worker.work(number >= CLICKERS)));
        }
        load
    }

    /// Redirects that were answered until now.
    pub(crate) fn answers(&self) -> u64 {
        self.answers.load(Ordering::Relaxed)
    }

    /// Calls of shops that were acknowledged until now.
    pub(crate) fn sold(&self) -> u64 {
        self.sold.load(Ordering::Relaxed)
    }

    /// Waits until that many more redirects were answered and at least one more shop's call.
    pub(crate) fn wait_for(&self, more: u64) {
        let (answers, sold) = (self.answers() + more, self.sold() + 1);
        crate::engine::wait_for("the load goes on", || {
            (self.answers() >= answers && self.sold() >= sold).then_some(())
        });
    }

    pub(crate) fn stop(self) -> Account {
        self.stop.store(true, Ordering::Relaxed);
        let mut account = Account::default();
        for thread in self.threads {
            account.add(thread.join().expect("a worker does not panic"));
        }
        account
    }
}

struct Worker {
    public: Http,
    admin: SocketAddr,
    shop: Shop,
    name: String,
    sent: u64,
    account: Account,
    stop: Arc<AtomicBool>,
    answers: Arc<AtomicU64>,
    sold: Arc<AtomicU64>,
}

impl Worker {
    fn work(mut self, sells: bool) -> Account {
        let slugs: Vec<String> = self.shop.links.keys().cloned().collect();
        while !self.stop.load(Ordering::Relaxed) && self.sent < MARKS_MAX {
            let slug = &slugs[self.sent as usize % slugs.len()];
            if let Some(answer) = self.visit(slug)
                && sells
            {
                self.buy(slug, &token_of(&answer));
            }
            std::thread::sleep(PAUSE);
        }
        self.account
    }

    fn visit(&mut self, slug: &str) -> Option<Answer> {
        self.sent += 1;
        let mark = format!("{}-{}", self.name, self.sent);
        let path = format!("/{slug}?utm_campaign={}&utm_content={mark}", self.name);
        match self.public.send("GET", &path, &[("user-agent", BROWSER)], b"") {
            Ok(answer) if answer.status == 302 => {
                self.account.answered.entry(self.name.clone()).or_default().insert(mark);
                *self.account.by_slug.entry(slug.to_owned()).or_default() += 1;
                self.answers.fetch_add(1, Ordering::Relaxed);
                Some(answer)
            }
            result => {
                self.account.unanswered.entry(self.name.clone()).or_default().insert(mark);
                self.account.failures.push(format!("GET {path}: {}", told(&result)));
                None
            }
        }
    }

    fn buy(&mut self, slug: &str, token: &str) {
        let order = format!("{}-{}", self.name, self.sent);
        // Sums of different amounts: one order more and another less do not make up for each other.
        let cents = 1_000 + self.sent as i64 * 7;
        let refunded = if self.sent.is_multiple_of(3) { cents / 2 } else { 0 };
        let calls = if self.sent.is_multiple_of(2) {
            let mut calls = vec![Call::Api(
                "/v1/conversions",
                json!({"event": "sale", "order_id": order, "wclid": token, "amount": {"amount": cents, "currency": "USD"}}),
            )];
            if refunded > 0 {
                let amount = json!({"amount": refunded, "currency": "USD"});
                let body = json!({"order_id": order, "amount": amount, "refund_id": format!("r{order}")});
                calls.push(Call::Api("/v1/refunds", body));
            }
            calls
        } else {
            let mut calls = vec![
                Call::Hook(stripe::checkout(&order, cents, "usd", token)),
                Call::Hook(stripe::intent(&order, cents, "usd")),
            ];
            if refunded > 0 {
                calls.push(Call::Hook(stripe::refunded(&order, cents, refunded, "usd")));
            }
            calls
        };
        let mut order = Order { slug: slug.to_owned(), cents, refunded, calls, told: 0 };
        let mut admin = Http::new(self.admin);
        while let Some(call) = order.calls.get(order.told) {
            let result = call.send(&mut self.public, &mut admin, &self.shop.hook);
            if !result.as_ref().is_ok_and(|answer| matches!(answer.status, 200 | 201)) {
                self.account.failures.push(format!("{call:?}: {}", told(&result)));
                break;
            }
            order.told += 1;
            self.sold.fetch_add(1, Ordering::Relaxed);
        }
        self.account.orders.push(order);
    }
}

impl Call {
    fn send(&self, public: &mut Http, admin: &mut Http, hook: &str) -> io::Result<Answer> {
        match self {
            Self::Api(path, body) => api(admin, "POST", path, Some(body)),
            Self::Hook(body) => deliver(public, hook, body),
        }
    }
}

fn told(result: &io::Result<Answer>) -> String {
    match result {
        Ok(answer) => format!("{} {}", answer.status, answer.text()),
        Err(error) => error.to_string(),
    }
}

impl Account {
    pub(crate) fn add(&mut self, other: Self) {
        self.answered.extend(other.answered);
        self.unanswered.extend(other.unanswered);
        for (slug, count) in other.by_slug {
            *self.by_slug.entry(slug).or_default() += count;
        }
        self.orders.extend(other.orders);
        self.failures.extend(other.failures);
    }

    /// What shops and providers do when an answer did not come or was no 2xx: they tell it again, and after that
    /// everything was told. What was acknowledged last is told once more as well.
    pub(crate) fn tell_the_rest(&mut self, engine: &Engine, hook: &str) {
        let (mut public, mut admin) = (engine.visitor(), Http::new(engine.admin));
        for order in &mut self.orders {
            for call in &order.calls[order.told.saturating_sub(1)..] {
                let answer = call.send(&mut public, &mut admin, hook).expect("the engine answers");
                assert!(matches!(answer.status, 200 | 201), "{call:?}: {} {}", answer.status, answer.text());
            }
            order.told = order.calls.len();
        }
    }

    /// Visits that were redirected.
    pub(crate) fn clicks(&self) -> i64 {
        self.by_slug.values().sum()
    }

    /// Orders that were told in part only.
    pub(crate) fn half_told(&self) -> usize {
        self.orders.iter().filter(|order| order.told < order.calls.len()).count()
    }

    /// The engine has every visit that it answered once, none twice, and no other; and every order.
    pub(crate) fn assert_exact(&self, engine: &Engine, shop: &Shop) {
        let mut wrong = Vec::new();
        let none = BTreeSet::new();
        for name in self.answered.keys().chain(self.unanswered.keys()).collect::<BTreeSet<_>>() {
            let answered = self.answered.get(name).unwrap_or(&none);
            let unanswered = self.unanswered.get(name).unwrap_or(&none);
            let of_thread = json!(["is", "utm_campaign", [name]]);
            let counted = engine.counts("utm_content", "clicks", Some(of_thread));
            let lost = answered.iter().filter(|mark| !counted.contains_key(*mark));
            wrong.extend(lost.map(|mark| format!("{mark} was answered and is lost")));
            for (mark, count) in &counted {
                if !answered.contains(mark) && !unanswered.contains(mark) {
                    wrong.push(format!("{mark} was never sent"));
                }
                if *count != 1 {
                    wrong.push(format!("{mark} is counted {count} times"));
                }
            }
        }
        assert_eq!(self.half_told(), 0, "tell the rest first");
        let mut expected = BTreeMap::new();
        for order in &self.orders {
            // Under the click's own dimensions, whatever happened between click and sale.
            let place = (shop.links[&order.slug].clone(), "Chrome".to_owned());
            let row: &mut [i64; 4] = expected.entry(place).or_default();
            row[0] += 1;
            row[1] += order.cents;
            row[2] += order.refunded;
            row[3] += order.cents - order.refunded;
        }
        // A click that could not be found when it was sold is found within seconds and the sale restated.
        let end = Instant::now() + PATIENCE;
        let got = loop {
            let got = money_by_place(engine);
            if got == expected || Instant::now() > end {
                break got;
            }
            std::thread::sleep(Duration::from_millis(100));
        };
        if expected != got {
            wrong.push(format!("money by link and browser: sent {expected:?}, the engine says {got:?}"));
        }
        assert!(wrong.is_empty(), "{} wrong:\n{}\n{}", wrong.len(), wrong.join("\n"), engine.log());
        assert!(!self.answered.is_empty() && !self.orders.is_empty(), "nothing was sent");
    }
}

/// Conversions, revenue, refunds and net revenue by link and browser, where there are any.
fn money_by_place(engine: &Engine) -> BTreeMap<(String, String), [i64; 4]> {
    let answer = engine.query(&json!({"metrics": ["conversions", "revenue", "refunds", "net_revenue"],
        "dimensions": ["link", "browser"], "date_range": "7d", "filters": ["is", "currency", ["USD"]]}));
    let rows = answer["rows"].as_array().expect("rows");
    let cell = |row: &Value, at: usize| row[at].as_i64().unwrap_or_default();
    let row = |row: &Value| ((text_of(&row[0]), text_of(&row[1])), [2, 3, 4, 5].map(|at| cell(row, at)));
    rows.iter().map(row).filter(|(_, cells)| *cells != [0; 4]).collect()
}
