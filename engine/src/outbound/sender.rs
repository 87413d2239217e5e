//! The thread `weir-outbound`: takes the outbox over and sends what is due, each endpoint by itself and in order.

use std::collections::HashSet;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use hmac::{Hmac, KeyInit, Mac};
use serde_json::json;
use sha2::Sha256;
use tokio::task::JoinSet;
use weir_schemas::fact::{Actor, Fact, Recorded};
use weir_schemas::ids::{CustomerId, OutboundEndpointId};
use weir_schemas::time::Timestamp;

use super::store::{Message, OutboundError, Store, Waiting};
use super::{Post, Tried};
use crate::books::{Books, OUTBOUND_CONTEXT, OutboundTarget};
use crate::keyring::Keyring;

/// After which failure a message is tried again how much later, in seconds. After the last the endpoint is turned off.
const BACK_OFF_S: [i64; 10] =
    [12, 60, 5 * 60, 15 * 60, 3_600, 2 * 3_600, 4 * 3_600, 8 * 3_600, 16 * 3_600, 24 * 3_600];
/// Rows of the outbox taken over in one transaction.
const OUTBOX_ROWS: u32 = 500;
/// Tries on their way at once, over all endpoints.
const IN_FLIGHT_MAX: usize = 64;
/// How often the outbox and what is due are looked at.
const LOOK_EVERY: Duration = Duration::from_millis(100);
/// After how many looks old messages are forgotten.
const CLEAN_EVERY: u32 = 6_000;

/// What the sender needs.
pub struct OutboundConfig {
    /// `outbound.db`.
    pub path: PathBuf,
    /// What short URLs begin with.
    pub public_url: String,
    /// Makes one try.
    pub post: Post,
    /// What the back-off is divided by; 1 but in tests.
    pub haste: i64,
}

impl std::fmt::Debug for OutboundConfig {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("OutboundConfig").field("path", &self.path).finish_non_exhaustive()
    }
}

/// The running sender.
#[derive(Debug)]
pub struct Outbound {
    handle: OutboundHandle,
    stop: Arc<AtomicBool>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

/// What the API asks of it. Clones share it.
#[derive(Debug, Clone)]
pub struct OutboundHandle {
    store: Arc<Store>,
}

impl OutboundHandle {
    /// The messages of an endpoint below the number `below`, the newest first, each with its number.
    pub fn messages(
        &self,
        endpoint: OutboundEndpointId,
        below: i64,
        limit: u32,
    ) -> Result<Vec<(i64, Message)>, OutboundError> {
        self.store.messages(endpoint, below, limit)
    }

    /// Forgets the messages that tell of an erased customer.
    pub fn forget(&self, customer: CustomerId) -> Result<(), OutboundError> {
        self.store.forget(customer)
    }

    /// Delivers a message once more; `false` where the endpoint has none of this id.
    pub fn replay(&self, endpoint: OutboundEndpointId, message: &str) -> Result<bool, OutboundError> {
        self.store.replay(endpoint, message)
    }
}

impl Outbound {
    /// Opens the store and starts the thread.
    pub fn start(config: OutboundConfig, books: Books, keyring: Arc<Keyring>) -> Result<Self, OutboundError> {
        let store = Arc::new(Store::open(&config.path)?);
        let stop = Arc::new(AtomicBool::new(false));
        let sender = Sender {
            store: Arc::clone(&store),
            books,
            keyring,
            post: config.post,
            public_url: config.public_url,
            haste: config.haste.max(1),
            stop: Arc::clone(&stop),
        };
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let thread = std::thread::Builder::new()
            .name("weir-outbound".to_owned())
            .spawn(move || runtime.block_on(sender.run()))?;
        Ok(Self { handle: OutboundHandle { store }, stop, thread: Mutex::new(Some(thread)) })
    }

    /// What the API asks of it.
    pub fn handle(&self) -> OutboundHandle {
        self.handle.clone()
    }

    /// Ends the thread; what was not answered by then is tried again at the next start.
    pub fn stop(&self) {
        self.stop.store(true, Ordering::Release);
        let thread = self.thread.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(thread) = thread
            && thread.join().is_err()
        {
            tracing::error!("the outbound thread panicked");
        }
    }
}

struct Sender {
    store: Arc<Store>,
    books: Books,
    keyring: Arc<Keyring>,
    post: Post,
    public_url: String,
    haste: i64,
    stop: Arc<AtomicBool>,
}

/// A try that has ended.
type Done = (OutboundTarget, Waiting, Timestamp, Tried);

impl Sender {
    async fn run(self) {
        let mut flying: JoinSet<Done> = JoinSet::new();
        let mut busy: HashSet<OutboundEndpointId> = HashSet::new();
        let mut targets: Vec<OutboundTarget> = Vec::new();
        let mut looked_at = None;
        let mut looks = 0_u32;
        while !self.stop.load(Ordering::Acquire) {
            let changed = self.books.changed();
            let round = (|| {
                if looked_at != Some(changed) {
                    targets = self.books.reads().outbound_targets().map_err(|error| error.to_string())?;
                    self.take_over(&targets)?;
                    looked_at = Some(changed);
                }
                self.send_due(&targets, &mut busy, &mut flying)
            })();
            if let Err(error) = round {
                metrics::counter!("weir_outbound_failures_total").increment(1);
                tracing::warn!(error, "outbound webhooks wait: their store or the books cannot be read");
            }
            looks = looks.wrapping_add(1);
            if looks.is_multiple_of(CLEAN_EVERY)
                && let Err(error) = self.store.clean(&targets)
            {
                tracing::warn!(%error, "old outbound messages cannot be forgotten");
            }
            match tokio::time::timeout(LOOK_EVERY, flying.join_next()).await {
                Ok(Some(Ok(done))) => {
                    busy.remove(&done.0.id);
                    self.finish(done).await;
                }
                Ok(Some(Err(error))) => {
                    // Which one is not known: all are asked again, and a message may go twice.
                    tracing::error!(%error, "a try ended in disorder");
                    busy.clear();
                }
                Ok(None) => tokio::time::sleep(LOOK_EVERY).await,
                Err(_) => {}
            }
        }
    }

    /// Makes messages of what the books have to tell.
    fn take_over(&self, targets: &[OutboundTarget]) -> Result<(), String> {
        loop {
            let place = self.store.place().map_err(|error| error.to_string())?;
            let rows = self.books.reads().outbox(place, OUTBOX_ROWS).map_err(|error| error.to_string())?;
            if rows.is_empty() {
                return Ok(());
            }
            let dropped =
                self.store.take_over(&rows, targets, &self.public_url).map_err(|error| error.to_string())?;
            if dropped > 0 {
                metrics::counter!("weir_outbound_dropped_total", "reason" => "too_many_waiting")
                    .increment(dropped);
            }
        }
    }

    /// Starts a try of the first message of every endpoint that has one due and none on its way.
    fn send_due(
        &self,
        targets: &[OutboundTarget],
        busy: &mut HashSet<OutboundEndpointId>,
        flying: &mut JoinSet<Done>,
    ) -> Result<(), String> {
        let now = Timestamp::now();
        for target in targets {
            if flying.len() >= IN_FLIGHT_MAX {
                break;
            }
            if !target.spec.enabled || busy.contains(&target.id) {
                continue;
            }
            let waiting = self.store.first_waiting(target).map_err(|error| error.to_string())?;
            let Some(message) = waiting.filter(|message| message.next_at <= now.0) else { continue };
            busy.insert(target.id);
            let (post, target) = (Arc::clone(&self.post), target.clone());
            let headers = self.headers(&target, &message, now);
            flying.spawn(async move {
                let body = Bytes::from(message.payload.clone());
                let tried = post(target.spec.url.clone(), headers, body).await;
                (target, message, now, tried)
            });
        }
        Ok(())
    }

    fn headers(
        &self,
        target: &OutboundTarget,
        message: &Waiting,
        now: Timestamp,
    ) -> Vec<(&'static str, String)> {
        let time = now.0.div_euclid(1_000).to_string();
        let mut signatures = Vec::new();
        for sealed in &target.secrets {
            match self.keyring.unseal(OUTBOUND_CONTEXT, sealed) {
                Ok(key) => signatures.push(sign(&key, &message.id, &time, message.payload.as_bytes())),
                Err(error) => tracing::error!(%error, endpoint = %target.id, "a secret cannot be opened"),
            }
        }
        vec![
            ("webhook-id", message.id.clone()),
            ("webhook-timestamp", time),
            ("webhook-signature", signatures.join(" ")),
        ]
    }

    async fn finish(&self, (target, message, at, tried): Done) {
        let failures = message.attempts as usize;
        let pause = BACK_OFF_S.get(failures).copied();
        let next_at = Timestamp(at.0 + pause.unwrap_or(0) * 1_000 / self.haste);
        if let Err(error) = self.store.tried(message.number, at, &tried, next_at) {
            tracing::warn!(%error, "a try of an outbound webhook could not be written down");
        }
        let outcome = if tried.taken() { "delivered" } else { "failed" };
        metrics::counter!("weir_outbound_attempts_total", "outcome" => outcome).increment(1);
        // 410 is an endpoint's own word that it wants no more.
        let over = !tried.taken() && (pause.is_none() || tried.status == Some(410));
        if over {
            let last = tried.error.unwrap_or_default();
            let reason = format!("turned off after {} tries of {}: {last}", failures + 1, message.id);
            let patch = json!({"enabled": false, "disabled_reason": reason});
            let patch = patch.as_object().cloned().unwrap_or_default();
            let fact = Fact::OutboundUpdated { id: target.id, patch, secret: None };
            let workspace = target.workspace;
            let recorded =
                Recorded { at: Timestamp::now(), workspace, actor: Actor::System, request: None, fact };
            metrics::counter!("weir_outbound_disabled_total").increment(1);
            if let Err(error) = self.books.submit(recorded).await {
                tracing::warn!(%error, endpoint = %target.id, "a failing endpoint could not be turned off");
            }
        }
    }
}

/// `v1,` and the base64 of HMAC-SHA256 over `id.time.body` (Standard Webhooks).
fn sign(key: &[u8], id: &str, time: &str, body: &[u8]) -> String {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).expect("HMAC takes keys of any length");
    for part in [id.as_bytes(), b".", time.as_bytes(), b".", body] {
        mac.update(part);
    }
    format!("v1,{}", STANDARD.encode(mac.finalize().into_bytes()))
}
