//! Mail: the fifth follower. It reads the books' outbox as [`crate::outbound`] does and writes letters of the
//! few events that people want to read: milestones, payouts that were paid, partners who were approved.
//! Letters wait in a bounded queue and are sent one after another, each tried a few times; what is not sent
//! is counted by its reason, and nothing ever waits for the mail. How a letter is sent is passed in
//! ([`SendLetter`]): the engine knows no SMTP.
//!
//! Its place in the outbox is kept in `mail.json`, written once its letters are queued: what the queue holds when the
//! process dies is not sent, and nothing is sent twice.

use std::collections::VecDeque;
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use weir_schemas::ids::Sequence;

use crate::books::{Books, open_partner};
use crate::keyring::Keyring;

mod letter;

pub use letter::Letter;

/// Letters that wait at once; beyond them new ones are dropped, and counted.
pub const QUEUE_MAX: usize = 1_000;
/// After which failure a letter is tried again how much later; after the last it is dropped.
const BACK_OFF: [Duration; 3] = [Duration::from_secs(10), Duration::from_secs(60), Duration::from_secs(600)];
/// Rows of the outbox read at once.
const ROWS: u32 = 200;
/// How often the outbox and the queue are looked at.
const LOOK_EVERY: Duration = Duration::from_millis(250);

/// How sending a letter failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NotSent {
    /// The server is not there or says to come again.
    Later(String),
    /// The server or the letter will never do.
    Never(String),
}

/// The end of sending, to come.
pub type SendFuture = Pin<Box<dyn Future<Output = Result<(), NotSent>> + Send>>;
/// Sends one letter.
pub type SendLetter = Arc<dyn Fn(Letter) -> SendFuture + Send + Sync>;

/// What the follower needs.
pub struct MailConfig {
    /// `mail.json`.
    pub place: PathBuf,
    /// Who is told of what concerns no single partner; nobody where absent.
    pub operator: Option<String>,
    /// Sends one letter.
    pub send: SendLetter,
    /// What pauses are divided by; 1 but in tests.
    pub haste: u32,
}

impl std::fmt::Debug for MailConfig {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("MailConfig").field("place", &self.place).finish_non_exhaustive()
    }
}

/// The running follower.
#[derive(Debug)]
pub struct Mail {
    stop: Arc<AtomicBool>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

impl Mail {
    /// Starts the thread `weir-mail`. Without a place of its own yet it begins with what comes from now on.
    pub fn start(config: MailConfig, books: Books, keyring: Arc<Keyring>) -> std::io::Result<Self> {
        let place = match std::fs::read(&config.place) {
            Ok(bytes) => serde_json::from_slice(&bytes).unwrap_or((books.applied().get(), u32::MAX)),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => (books.applied().get(), u32::MAX),
            Err(error) => return Err(error),
        };
        let stop = Arc::new(AtomicBool::new(false));
        let postman =
            Postman { config, books, keyring, place, queue: VecDeque::new(), stop: Arc::clone(&stop) };
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let thread = std::thread::Builder::new()
            .name("weir-mail".to_owned())
            .spawn(move || runtime.block_on(postman.run()))?;
        Ok(Self { stop, thread: Mutex::new(Some(thread)) })
    }

    /// Ends the thread after the letter that is on its way.
    pub fn stop(&self) {
        self.stop.store(true, Ordering::Release);
        let thread = self.thread.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(thread) = thread
            && thread.join().is_err()
        {
            tracing::error!("the mail thread panicked");
        }
    }
}

struct Waiting {
    letter: Letter,
    failures: usize,
    not_before: Instant,
}

struct Postman {
    config: MailConfig,
    books: Books,
    keyring: Arc<Keyring>,
    /// The last row of the outbox that was read.
    place: (Sequence, u32),
    queue: VecDeque<Waiting>,
    stop: Arc<AtomicBool>,
}

fn dropped(reason: &'static str) {
    metrics::counter!("weir_mail_dropped_total", "reason" => reason).increment(1);
}

impl Postman {
    async fn run(mut self) {
        while !self.stop.load(Ordering::Acquire) {
            if let Err(error) = self.read_on() {
                tracing::warn!(error, "mail waits: the books or its place cannot be read or written");
            }
            if !self.send_next().await {
                tokio::time::sleep(LOOK_EVERY / self.config.haste.max(1)).await;
            }
        }
    }

    /// Makes letters of what the books have to tell.
    fn read_on(&mut self) -> Result<(), String> {
        let rows = self.books.reads().outbox(self.place, ROWS).map_err(|error| error.to_string())?;
        let Some(last) = rows.last() else { return Ok(()) };
        let place = (last.seq, last.n);
        for row in &rows {
            let Some(about) = letter::About::of(row) else { continue };
            let to = match about.partner {
                Some(partner) => {
                    let known = self.books.reads().partner(row.workspace, partner);
                    let known = known.map_err(|error| error.to_string())?;
                    known.and_then(|(_, sealed)| open_partner(&self.keyring, sealed.as_ref()).email)
                }
                None => self.config.operator.clone(),
            };
            match to {
                None => dropped("no_address"),
                Some(_) if self.queue.len() >= QUEUE_MAX => dropped("queue_full"),
                Some(to) => {
                    let letter = Letter { to, subject: about.subject, text: about.text };
                    self.queue.push_back(Waiting { letter, failures: 0, not_before: Instant::now() });
                }
            }
        }
        let bytes = serde_json::to_vec(&place).expect("two numbers are JSON");
        let beside = self.config.place.with_extension("json.new");
        std::fs::write(&beside, bytes).and_then(|()| std::fs::rename(&beside, &self.config.place)).map_err(
            |error| {
                // They are read again, so what was queued of them must not be sent twice.
                self.queue.clear();
                error.to_string()
            },
        )?;
        self.place = place;
        Ok(())
    }

    /// Sends the first letter that is due; `false` where there is none.
    async fn send_next(&mut self) -> bool {
        let now = Instant::now();
        let Some(at) = self.queue.iter().position(|waiting| waiting.not_before <= now) else { return false };
        let Some(mut waiting) = self.queue.remove(at) else { return false };
        match (self.config.send)(waiting.letter.clone()).await {
            Ok(()) => metrics::counter!("weir_mail_sent_total").increment(1),
            Err(NotSent::Never(error)) => {
                dropped("refused");
                tracing::warn!(error, "a letter is not sent");
            }
            Err(NotSent::Later(error)) => match BACK_OFF.get(waiting.failures) {
                Some(pause) => {
                    waiting.failures += 1;
                    waiting.not_before = Instant::now() + *pause / self.config.haste.max(1);
                    self.queue.push_back(waiting);
                }
                None => {
                    dropped("failed");
                    tracing::warn!(error, "a letter is given up");
                }
            },
        }
        true
    }
}
