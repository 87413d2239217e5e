//! Scenario `payment-to-screen`: how long after a visitor clicks a dashboard shows the click, and after a provider
//! sends its webhook the sale. One click and its sale at a time, at moments that have nothing to do with the engine's
//! tick; the clock runs from the first byte of the request to the frame of the live subscription that counts it.

use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use http::Method;
use rand::prelude::*;
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio::time::{Instant, sleep, timeout};
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::{WebSocketStream, client_async};

use crate::connection::Connection;
use crate::schedule::Latencies;
use crate::stripe;
use crate::target::{LoadError, Target};

/// What to run.
#[derive(Debug, Clone)]
pub struct Plan {
    /// The engine.
    pub target: Target,
    /// Sales, one after another.
    pub sales: u32,
}

/// What came of it.
#[derive(Debug, Default)]
pub struct Outcome {
    /// From sending a click to the frame that counts it.
    pub clicked: Latencies,
    /// From sending a webhook to its 200.
    pub answered: Latencies,
    /// From sending a webhook to the frame that counts it.
    pub shown: Latencies,
}

const SECRET: &str = "whsec_payment_to_screen_0123456789";
/// Each sale, in cents.
const CENTS: i64 = 1_999;
/// How long a frame may take at most.
const PATIENCE: Duration = Duration::from_secs(30);
/// Longest pause between two sales, in milliseconds; the pause is drawn.
const PAUSE_MAX_MS: u64 = 250;
const BROWSER: &str =
    "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/141.0.0.0 Safari/537.36";

/// A live subscription with its one row, whole: clicks and conversions.
struct Screen {
    socket: WebSocketStream<TcpStream>,
    row: [i64; 2],
}

const CLICKS: usize = 0;
const CONVERSIONS: usize = 1;

/// Runs the scenario.
pub async fn run(plan: &Plan) -> Result<Outcome, LoadError> {
    let (mut api, key) = (Connection::new(plan.target.admin), &plan.target.key);
    let new = json!({"provider": "stripe", "secrets": [SECRET]});
    let made = api.call(key, Method::POST, "/v1/webhook-endpoints", Some(&new), &[201]).await?;
    let hook = format!("/hooks/{}", made["id"].as_str().unwrap_or_default());
    let link = json!({"destination": "https://shop.example/"});
    let link = api.call(key, Method::POST, "/v1/links", Some(&link), &[201]).await?;
    let (id, slug) = (link["id"].clone(), link["slug"].as_str().unwrap_or_default().to_owned());

    let mut screen = Screen::open(&plan.target, &id).await?;
    let mut visits = Connection::new(plan.target.public);
    let mut provider = Connection::new(plan.target.public);
    let mut outcome = Outcome::default();
    let run = format!("{:08x}", rand::random::<u32>());
    for n in 0..plan.sales {
        let pause = rand::rng().random_range(0..PAUSE_MAX_MS);
        sleep(Duration::from_millis(pause)).await;
        let (start, wanted) = (Instant::now(), screen.row[CLICKS] + 1);
        let click = visits.send(Method::GET, &format!("/{slug}"), &[("user-agent", BROWSER)], "").await?;
        let location = click.headers.get("location").and_then(|value| value.to_str().ok()).unwrap_or("");
        let token = location.split("wclid=").nth(1).unwrap_or("").to_owned();
        screen.counts(CLICKS, wanted).await?;
        outcome.clicked.record(start);
        let pause = rand::rng().random_range(0..PAUSE_MAX_MS);
        sleep(Duration::from_millis(pause)).await;
        let body = stripe::checkout(&format!("{run}-{n}"), CENTS, "eur", &token);
        let signature = stripe::signature(SECRET, &body);
        let headers = [("stripe-signature", signature.as_str()), ("content-type", "application/json")];
        let (start, wanted) = (Instant::now(), screen.row[CONVERSIONS] + 1);
        // The screen is watched while the answer is under way: it may be the faster one.
        let Outcome { answered, shown: seen, .. } = &mut outcome;
        let sent = async {
            let answer = provider.send(Method::POST, &hook, &headers, body.clone()).await?;
            answered.record(start);
            if answer.status.is_success() {
                Ok(())
            } else {
                Err(unexpected("200", &answer.status.to_string()))
            }
        };
        let shown = async {
            screen.counts(CONVERSIONS, wanted).await?;
            seen.record(start);
            Ok::<(), LoadError>(())
        };
        tokio::try_join!(sent, shown)?;
    }
    Ok(outcome)
}

impl Screen {
    async fn open(target: &Target, link: &Value) -> Result<Self, LoadError> {
        let failed = |error: &dyn std::fmt::Display| LoadError::Connection(format!("/v1/live: {error}"));
        let url = format!("ws://{}/v1/live", target.admin);
        let mut request = url.into_client_request().map_err(|error| failed(&error))?;
        let protocol = http::HeaderValue::from_static("weir.v1.json");
        request.headers_mut().insert("sec-websocket-protocol", protocol);
        let stream = TcpStream::connect(target.admin).await.map_err(|error| failed(&error))?;
        stream.set_nodelay(true).map_err(|error| failed(&error))?;
        let (socket, _) = client_async(request, stream).await.map_err(|error| failed(&error))?;
        let mut screen = Self { socket, row: [0; 2] };
        screen.say(json!({"type": "connect", "key": target.key})).await?;
        let query = json!({"metrics": ["clicks", "conversions"], "date_range": "7d", "filters": ["is", "link", [link]]});
        screen.say(json!({"type": "subscribe", "id": "q1", "query": query})).await?;
        loop {
            let frame = screen.frame().await?;
            if frame["type"] == "snapshot" {
                screen.see(&frame);
                return Ok(screen);
            }
        }
    }

    async fn say(&mut self, frame: Value) -> Result<(), LoadError> {
        let sent = self.socket.send(Message::text(frame.to_string())).await;
        sent.map_err(|error| LoadError::Connection(format!("/v1/live: {error}")))
    }

    async fn frame(&mut self) -> Result<Value, LoadError> {
        loop {
            let next = timeout(PATIENCE, self.socket.next()).await;
            let next = next.map_err(|_| unexpected("a frame", &format!("none within {PATIENCE:?}")))?;
            match next {
                Some(Ok(Message::Text(text))) => {
                    let frame: Value =
                        serde_json::from_str(&text).map_err(|error| LoadError::Data(error.to_string()))?;
                    if frame["type"] == "error" {
                        return Err(unexpected("no error", &text));
                    }
                    return Ok(frame);
                }
                Some(Ok(Message::Close(_)) | Err(_)) | None => return Err(unexpected("a frame", "the end")),
                Some(Ok(_)) => {}
            }
        }
    }

    /// Reads frames until a column of the row is what is wanted.
    async fn counts(&mut self, column: usize, wanted: i64) -> Result<(), LoadError> {
        while self.row[column] < wanted {
            let frame = self.frame().await?;
            self.see(&frame);
        }
        Ok(())
    }

    /// Takes the row of a frame that has one.
    fn see(&mut self, frame: &Value) {
        for (column, shown) in self.row.iter_mut().enumerate() {
            if let Some(count) = frame["rows"][0][column].as_i64() {
                *shown = count;
            }
        }
    }
}

fn unexpected(expected: &str, got: &str) -> LoadError {
    let what = "payment-to-screen".to_owned();
    LoadError::Unexpected { what, expected: expected.to_owned(), got: got.to_owned() }
}
