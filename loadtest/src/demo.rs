//! `make demo`: a shop's ordinary day, quickened, so that the dashboard moves. Arrivals are random (Poisson)
//! at a rate that swells and ebbs; a handful of named links; about one visit in twenty buys.

use std::time::Duration;

use futures_util::future::try_join_all;
use http::Method;
use rand::prelude::*;
use serde_json::json;
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep_until};

use crate::click_to_sale::{TestLink, make_endpoint};
use crate::connection::Connection;
use crate::target::{LoadError, Target};
use crate::visitors::{Crowd, ROBOTS};

/// What the demo runs on.
#[derive(Debug)]
pub struct Demo {
    /// The engine.
    pub target: Target,
    /// Mean visits per second.
    pub rate: f64,
    /// For how long.
    pub duration: Duration,
    /// Where visitors come from.
    pub crowd: Crowd,
}

const LINKS: &[(&str, &str, &str)] = &[
    ("spring-sale", "Spring sale", "mail"),
    ("newsletter", "Newsletter, issue 42", "mail"),
    ("anna", "Anna's channel", "influencer"),
    ("ben-reviews", "Ben reviews", "influencer"),
    ("podcast", "Podcast shownotes", "audio"),
    ("launch", "Launch announcement", "social"),
];
const REFERRERS: &[&str] = &[
    "",
    "",
    "https://www.google.com/",
    "https://t.co/x",
    "https://www.youtube.com/watch?v=1",
    "https://news.ycombinator.com/",
    "https://www.instagram.com/",
    "https://mail.google.com/",
    "https://duckduckgo.com/",
    "https://www.reddit.com/r/deals/",
];
const SWELL_S: f64 = 90.0;
/// Connections by which visitors come.
const DOORS: u32 = 4;
/// Visits that should have come meanwhile are not made up for beyond this.
const LATE_MAX: Duration = Duration::from_secs(1);
/// Visitors who want to buy while the shop is busy with others; with so many, visits wait.
const BUYERS_WAITING_MAX: usize = 256;

/// Finds the demo's links, making those that are not there yet.
async fn links(target: &Target) -> Result<Vec<TestLink>, LoadError> {
    let mut api = Connection::new(target.admin);
    let mut links = Vec::new();
    for (slug, title, tag) in LINKS {
        let body = json!({"slug": slug, "title": title, "tags": [tag],
            "destination": format!("https://shop.example/{slug}")});
        api.call(&target.key, Method::POST, "/v1/links", Some(&body), &[201, 409]).await?;
        links.push(TestLink { id: String::new(), slug: (*slug).to_owned() });
    }
    Ok(links)
}

/// Runs until the duration is over.
pub async fn run(demo: &Demo) -> Result<u64, LoadError> {
    let links = links(&demo.target).await?;
    make_endpoint(&demo.target).await?;
    let (buyers, waiting) = mpsc::channel(BUYERS_WAITING_MAX);
    let shop = tokio::spawn(sell(demo.target.clone(), waiting));
    let start = Instant::now();
    let visits = try_join_all((0..DOORS).map(|_| visits(demo, &links, start, buyers.clone()))).await?;
    drop(buyers);
    shop.await.expect("selling does not panic")?;
    Ok(visits.iter().sum())
}

/// Those who come through one of the [`DOORS`]; whoever wants to buy goes on to `buyers`.
async fn visits(
    demo: &Demo,
    links: &[TestLink],
    start: Instant,
    buyers: mpsc::Sender<String>,
) -> Result<u64, LoadError> {
    let mut random = StdRng::from_rng(&mut rand::rng());
    let mut public = Connection::new(demo.target.public);
    let mut due = start;
    let mut visits = 0_u64;
    while start.elapsed() < demo.duration {
        let swell = 1.0 + 0.6 * (start.elapsed().as_secs_f64() * std::f64::consts::TAU / SWELL_S).sin();
        let gap = -(1.0 - random.random::<f64>()).ln() / (demo.rate / f64::from(DOORS) * swell);
        // From when the visit before was meant to come: a clock of milliseconds cannot pace more than a few hundred in
        // a second by waiting after each.
        due = (due + Duration::from_secs_f64(gap.min(1.0))).max(Instant::now() - LATE_MAX);
        sleep_until(due).await;
        let visitor = demo.crowd.anyone(&mut random);
        let link = &links[(random.random::<f64>().powi(2) * links.len() as f64) as usize];
        let agent =
            if random.random_bool(0.03) { ROBOTS[visits as usize % ROBOTS.len()] } else { &visitor.agent };
        let referrer = REFERRERS.choose(&mut random).copied().unwrap_or_default();
        let mut headers = vec![("user-agent", agent), ("x-forwarded-for", visitor.address.as_str())];
        if !referrer.is_empty() {
            headers.push(("referer", referrer));
        }
        let answer = public.send(Method::GET, &format!("/{}", link.slug), &headers, "").await?;
        visits += 1;
        let location =
            answer.headers.get("location").and_then(|value| value.to_str().ok()).unwrap_or_default();
        let token = location.split("wclid=").nth(1).unwrap_or_default();
        if !token.is_empty() && random.random_bool(0.05) && buyers.send(token.to_owned()).await.is_err() {
            // The shop has failed: it says why.
            break;
        }
    }
    Ok(visits)
}

/// Sells something to whoever comes with a click token, and takes a few things back.
async fn sell(target: Target, mut buyers: mpsc::Receiver<String>) -> Result<(), LoadError> {
    let mut random = StdRng::from_rng(&mut rand::rng());
    let mut admin = Connection::new(target.admin);
    while let Some(token) = buyers.recv().await {
        let order = format!("D-{:012x}", random.random::<u64>() >> 16);
        let cents = [1_900, 2_900, 4_900, 9_900].choose(&mut random).copied().unwrap_or(1_900);
        let sale = json!({"event": "sale", "order_id": order, "wclid": token,
            "amount": {"amount": cents, "currency": "USD"}});
        admin.call(&target.key, Method::POST, "/v1/conversions", Some(&sale), &[200, 201]).await?;
        if random.random_bool(0.08) {
            let refund = json!({"order_id": order, "refund_id": format!("R-{order}")});
            admin.call(&target.key, Method::POST, "/v1/refunds", Some(&refund), &[200, 201]).await?;
        }
    }
    Ok(())
}
