//! Scenario `click-to-sale`: visitors open links at a fixed rate; some buy, through the API or a signed
//! webhook; some of those get money back. Robots, prefetches, `HEAD`s, unknown slugs and repeated deliveries
//! are mixed in and must not count.

use std::path::PathBuf;
use std::time::Duration;

use http::Method;
use rand::prelude::*;
use serde_json::json;
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep_until};

use crate::connection::Connection;
use crate::oracle::{Count, Oracle};
use crate::schedule::{Latencies, Schedule};
use crate::stripe;
use crate::target::{LoadError, Target};
use crate::visitors::{Crowd, ROBOTS, Visitor};

/// What to run.
#[derive(Debug, Clone)]
pub struct Plan {
    /// The engine.
    pub target: Target,
    /// Clicks per second.
    pub rate: f64,
    /// For how long.
    pub duration: Duration,
    /// Connections that clicks come over.
    pub connections: usize,
    /// Links to make and visit.
    pub links: usize,
    /// Share of clicks that buy, 0 to 1.
    pub sales: f64,
    /// How long to wait for the engine's answer to agree.
    pub patience: Duration,
    /// npm `user-agents`.
    pub agents: PathBuf,
    /// The GeoIP file for IPv4.
    pub geoip: PathBuf,
    /// Seed of everything drawn.
    pub seed: u64,
}

/// Most visitors drawn.
const CROWD: usize = 20_000;
/// Sales that may wait for a worker.
const SALES_QUEUE: usize = 10_000;
/// Workers that report sales.
const SALES_WORKERS: usize = 8;
/// The secret of the endpoint that the scenario makes.
const SECRET: &str = "whsec_loadtest_0123456789abcdef";

/// A link under load.
#[derive(Debug, Clone)]
pub struct TestLink {
    /// Its id.
    pub id: String,
    /// Its path.
    pub slug: String,
}

/// What came of a run.
#[derive(Debug)]
pub struct Outcome {
    /// Everything counted.
    pub oracle: Oracle,
    /// The links visited.
    pub links: Vec<TestLink>,
    /// Of clicks.
    pub click_latencies: Latencies,
    /// Of sales and refunds.
    pub sale_latencies: Latencies,
    /// Requests that failed or were answered wrongly, the first few in words.
    pub failures: Vec<String>,
    /// From the first intended start to the last answer.
    pub elapsed: Duration,
}

struct Sale {
    due: Instant,
    token: String,
    link: String,
    country: String,
}

/// Makes `count` links.
pub async fn make_links(target: &Target, count: usize) -> Result<Vec<TestLink>, LoadError> {
    let mut api = Connection::new(target.admin);
    let mut links = Vec::with_capacity(count);
    for number in 0..count {
        let body = json!({"destination": format!("https://shop.example/p/{number}?ref=weir"), "tags": ["loadtest"],
            "title": format!("Load test {number}")});
        let link = api.call(&target.key, Method::POST, "/v1/links", Some(&body), &[201]).await?;
        let text = |name: &str| link[name].as_str().unwrap_or_default().to_owned();
        links.push(TestLink { id: text("id"), slug: text("slug") });
    }
    Ok(links)
}

/// Makes a Stripe endpoint and gives its path.
pub async fn make_endpoint(target: &Target) -> Result<String, LoadError> {
    let mut api = Connection::new(target.admin);
    let body = json!({"provider": "stripe", "secrets": [SECRET]});
    let made = api.call(&target.key, Method::POST, "/v1/webhook-endpoints", Some(&body), &[201]).await?;
    Ok(format!("/hooks/{}", made["id"].as_str().unwrap_or_default()))
}

/// Runs the scenario to its end.
pub async fn run(plan: &Plan) -> Result<Outcome, LoadError> {
    let mut random = StdRng::seed_from_u64(plan.seed);
    let crowd = Crowd::draw(&plan.agents, &plan.geoip, CROWD, &mut random)?;
    let crowd: &'static Crowd = Box::leak(Box::new(crowd));
    let links = make_links(&plan.target, plan.links).await?;
    let hook = make_endpoint(&plan.target).await?;
    let run = format!("{:08x}", random.random::<u32>());
    let total = (plan.rate * plan.duration.as_secs_f64()) as u64;
    let schedule = Schedule { start: Instant::now() + Duration::from_millis(200), rate: plan.rate, total };
    let (sales, queue) = async_queue();

    let mut sellers = tokio::task::JoinSet::new();
    for number in 0..SALES_WORKERS {
        let seller = Seller {
            target: plan.target.clone(),
            hook: hook.clone(),
            run: format!("{run}{number}"),
            random: StdRng::seed_from_u64(plan.seed ^ (0xface + number as u64)),
            report: Report::default(),
        };
        sellers.spawn(seller.work(queue.clone()));
    }
    let mut clickers = tokio::task::JoinSet::new();
    for number in 0..plan.connections {
        let clicker = Clicker {
            plan: plan.clone(),
            crowd,
            links: links.clone(),
            random: StdRng::seed_from_u64(plan.seed ^ (number as u64 + 1)),
            sales: sales.clone(),
            report: Report::default(),
        };
        clickers.spawn(clicker.work(schedule, number as u64));
    }
    drop(sales);
    let mut clicks = Report::default();
    while let Some(report) = clickers.join_next().await {
        clicks.add(report.map_err(|error| LoadError::Connection(error.to_string()))?);
    }
    let mut sold = Report::default();
    while let Some(report) = sellers.join_next().await {
        sold.add(report.map_err(|error| LoadError::Connection(error.to_string()))?);
    }
    let elapsed = schedule.start.elapsed();
    let mut oracle = clicks.oracle;
    oracle.add(&sold.oracle);
    let failures = clicks.failures.into_iter().chain(sold.failures).collect();
    Ok(Outcome {
        oracle,
        links,
        click_latencies: clicks.latencies,
        sale_latencies: sold.latencies,
        failures,
        elapsed,
    })
}

type Queue = std::sync::Arc<tokio::sync::Mutex<mpsc::Receiver<Sale>>>;

fn async_queue() -> (mpsc::Sender<Sale>, Queue) {
    let (sender, receiver) = mpsc::channel(SALES_QUEUE);
    (sender, std::sync::Arc::new(tokio::sync::Mutex::new(receiver)))
}

#[derive(Default)]
struct Report {
    oracle: Oracle,
    latencies: Latencies,
    failures: Vec<String>,
}

/// Failures kept in words.
const FAILURES_MAX: usize = 20;

impl Report {
    fn add(&mut self, other: Self) {
        self.oracle.add(&other.oracle);
        self.latencies.add(&other.latencies);
        self.failures.extend(other.failures);
    }

    fn fail(&mut self, what: String) {
        if self.failures.len() < FAILURES_MAX {
            self.failures.push(what);
        }
    }
}

struct Clicker {
    plan: Plan,
    crowd: &'static Crowd,
    links: Vec<TestLink>,
    random: StdRng,
    sales: mpsc::Sender<Sale>,
    report: Report,
}

impl Clicker {
    async fn work(mut self, schedule: Schedule, first: u64) -> Report {
        let mut connection = Connection::new(self.plan.target.public);
        for number in (first..schedule.total).step_by(self.plan.connections) {
            let intended = schedule.intended(number);
            sleep_until(intended).await;
            if let Err(error) = self.visit(&mut connection, intended).await {
                self.report.fail(error.to_string());
            }
        }
        self.report
    }

    async fn visit(&mut self, connection: &mut Connection, intended: Instant) -> Result<(), LoadError> {
        let visitor = self.crowd.anyone(&mut self.random);
        // A few links get most of the visits, as in life.
        let skew = self.random.random::<f64>().powi(3);
        let link = self.links[(skew * self.links.len() as f64) as usize].clone();
        let kind = self.random.random_range(0..1_000);
        let robot = ROBOTS[kind as usize % ROBOTS.len()];
        let (method, path, agent, purpose, expected) = match kind {
            0..10 => (Method::HEAD, format!("/{}", link.slug), visitor.agent.as_str(), "", 302),
            10..20 => (Method::GET, format!("/{}", link.slug), visitor.agent.as_str(), "prefetch", 302),
            20..50 => (Method::GET, format!("/{}", link.slug), robot, "", 302),
            50..55 => (Method::GET, "/no-such-link-here".to_owned(), visitor.agent.as_str(), "", 404),
            _ => (Method::GET, format!("/{}", link.slug), visitor.agent.as_str(), "", 302),
        };
        let counted = kind >= 55;
        let mut headers = vec![("user-agent", agent), ("x-forwarded-for", visitor.address.as_str())];
        if !purpose.is_empty() {
            headers.push(("sec-purpose", purpose));
        }
        let answer = connection.send(method, &path, &headers, "").await?;
        self.report.latencies.record(intended);
        if answer.status.as_u16() != expected {
            let (what, got) = (format!("GET {path}"), answer.status.to_string());
            return Err(LoadError::Unexpected { what, expected: expected.to_string(), got });
        }
        if counted {
            self.report.oracle.at(&link.id, &visitor.country).clicks += 1;
            if self.random.random_bool(self.plan.sales) {
                self.sell(&answer.headers, link, visitor).await?;
            }
        }
        Ok(())
    }

    async fn sell(
        &mut self,
        headers: &http::HeaderMap,
        link: TestLink,
        visitor: Visitor,
    ) -> Result<(), LoadError> {
        let location = headers.get("location").and_then(|value| value.to_str().ok()).unwrap_or_default();
        let token = location
            .split("wclid=")
            .nth(1)
            .and_then(|rest| rest.split(['&', '#']).next())
            .unwrap_or_default();
        if token.is_empty() {
            let got = location.to_owned();
            return Err(LoadError::Unexpected {
                what: link.slug,
                expected: "wclid in the location".to_owned(),
                got,
            });
        }
        let wait = Duration::from_millis(self.random.random_range(0..1_500));
        let sale = Sale {
            due: Instant::now() + wait,
            token: token.to_owned(),
            link: link.id,
            country: visitor.country,
        };
        self.sales.send(sale).await.map_err(|_| LoadError::Connection("the sellers are gone".to_owned()))
    }
}

struct Seller {
    target: Target,
    hook: String,
    run: String,
    random: StdRng,
    report: Report,
}

impl Seller {
    async fn work(mut self, queue: Queue) -> Report {
        let mut public = Connection::new(self.target.public);
        let mut admin = Connection::new(self.target.admin);
        let mut number = 0_u64;
        loop {
            let Some(sale) = queue.lock().await.recv().await else { return self.report };
            sleep_until(sale.due).await;
            number += 1;
            let order = format!("{}x{number}", self.run);
            let started = Instant::now();
            if let Err(error) = self.sell(&mut public, &mut admin, &sale, &order).await {
                self.report.fail(error.to_string());
            }
            self.report.latencies.record(started);
        }
    }

    async fn sell(
        &mut self,
        public: &mut Connection,
        admin: &mut Connection,
        sale: &Sale,
        order: &str,
    ) -> Result<(), LoadError> {
        let cents = self.random.random_range(100..20_000_i64);
        let refunded = match self.random.random_range(0..10) {
            0 => cents,
            1 => self.random.random_range(1..cents),
            _ => 0,
        };
        let repeat = self.random.random_bool(0.05);
        if self.random.random_bool(0.5) {
            let body = json!({"event": "sale", "order_id": order, "wclid": sale.token,
                "customer_id": format!("u{order}"), "amount": {"amount": cents, "currency": "USD"}});
            admin.call(&self.target.key, Method::POST, "/v1/conversions", Some(&body), &[201]).await?;
            if repeat {
                admin.call(&self.target.key, Method::POST, "/v1/conversions", Some(&body), &[200]).await?;
            }
            if refunded > 0 {
                let body = json!({"order_id": order, "amount": {"amount": refunded, "currency": "USD"},
                    "refund_id": format!("r{order}")});
                admin.call(&self.target.key, Method::POST, "/v1/refunds", Some(&body), &[200, 201]).await?;
            }
        } else {
            let mut deliveries =
                vec![stripe::checkout(order, cents, "usd", &sale.token), stripe::intent(order, cents, "usd")];
            if refunded > 0 {
                deliveries.push(stripe::refunded(order, cents, refunded, "usd"));
            }
            if repeat {
                deliveries.push(deliveries[0].clone());
            }
            for body in deliveries {
                let signature = stripe::signature(SECRET, &body);
                let headers =
                    [("stripe-signature", signature.as_str()), ("content-type", "application/json")];
                let answer = public.send(Method::POST, &self.hook, &headers, body).await?;
                if !answer.status.is_success() {
                    return Err(LoadError::Unexpected {
                        what: format!("POST {}", self.hook),
                        expected: "2xx".to_owned(),
                        got: format!("{} {}", answer.status, String::from_utf8_lossy(&answer.body)),
                    });
                }
            }
        }
        let count: &mut Count = self.report.oracle.at(&sale.link, &sale.country);
        count.conversions += 1;
        count.revenue += cents;
        count.refunds += refunded;
        Ok(())
    }
}
