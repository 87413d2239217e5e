//! What the commands need, and the one way in which each is journaled and answered.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use http::{HeaderName, HeaderValue, StatusCode};
use serde_json::{Value, json};
use tokio::sync::Mutex;
use weir_edge::limit::Limiter;
use weir_edge::problem::unavailable;
use weir_edge::request::Context;
use weir_edge::response::{Response, json as json_response, no_content};
use weir_engine::books::{Books, Outcome, ReadError, Reads, SubmitError};
use weir_engine::endpoints::Endpoint;
use weir_engine::keyring::{Keyring, KeyringError};
use weir_engine::keys::Principal;
use weir_engine::outbound::OutboundHandle;
use weir_schemas::fact::{Fact, IdempotentRequest, Recorded};
use weir_schemas::ids::{EndpointId, PartnerId, ProgramId, WorkspaceId};
use weir_schemas::problem::Problem;
use weir_schemas::time::Timestamp;

use super::claim::{Claims, CountClicks};
use super::link_spec::{Errors, OwnHosts};
use super::new_ids::NewIds;

/// How long a caller waits for the outcome of a fact.
const SUBMIT_TIMEOUT: Duration = Duration::from_secs(30);
/// On the answer to a repeat of an idempotent request.
const REPLAYED: HeaderName = HeaderName::from_static("idempotent-replayed");

/// What the commands need.
pub struct Commands {
    books: Books,
    pub(super) keyring: Arc<Keyring>,
    pub(super) ids: Arc<NewIds>,
    pub(super) claims: Arc<Claims>,
    pub(super) count_clicks: CountClicks,
    public_url: String,
    admin_url: String,
    pub(super) own_hosts: OwnHosts,
    outbound: Option<OutboundHandle>,
    outbound_private: bool,
    pub(super) sign_ups: Limiter,
    pub(super) once: Mutex<()>,
}

impl fmt::Debug for Commands {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Commands").field("public_url", &self.public_url).finish_non_exhaustive()
    }
}

impl Commands {
    /// `public_url` is what short URLs begin with, without a slash at its end.
    pub fn new(
        books: Books,
        keyring: Arc<Keyring>,
        ids: Arc<NewIds>,
        claims: Arc<Claims>,
        count_clicks: CountClicks,
        public_url: String,
    ) -> Self {
        let own_hosts = OwnHosts::new(&public_url, books.links().clone());
        let (outbound, outbound_private) = (None, false);
        let admin_url = public_url.clone();
        Self {
            books,
            keyring,
            ids,
            claims,
            count_clicks,
            public_url,
            admin_url,
            own_hosts,
            outbound,
            outbound_private,
            sign_ups: super::sign_up::limiter(),
            once: Mutex::new(()),
        }
    }

    /// With the sender of outbound webhooks; `private`: they may go to addresses that are not public.
    pub fn with_outbound(mut self, outbound: OutboundHandle, private: bool) -> Self {
        (self.outbound, self.outbound_private) = (Some(outbound), private);
        self
    }

    /// With what links into the dashboard begin with, without a slash at its end.
    pub fn with_admin_url(mut self, admin_url: String) -> Self {
        self.admin_url = admin_url;
        self
    }

    /// What links into the dashboard begin with.
    pub(super) fn admin_url(&self) -> &str {
        &self.admin_url
    }

    /// The sender of outbound webhooks, where there is one.
    pub(super) fn outbound(&self) -> &Option<OutboundHandle> {
        &self.outbound
    }

    /// Whether outbound webhooks may go to addresses that are not public.
    pub(super) fn outbound_private(&self) -> bool {
        self.outbound_private
    }

    /// A read of the books.
    pub(super) async fn read<T: Send + 'static>(
        &self,
        read: impl FnOnce(&Reads) -> Result<T, ReadError> + Send + 'static,
    ) -> Result<T, Problem> {
        self.books.read_async(read).await.map_err(|error| {
            tracing::error!(%error, "the books could not be read");
            unavailable("storage_unavailable", "The books could not be read.")
        })
    }

    /// 422 where a program or partner that a request names does not exist. They are never deleted, so what exists
    /// here exists when the books come to it.
    pub(super) async fn check_terms(
        &self,
        workspace: WorkspaceId,
        program: Option<ProgramId>,
        partner: Option<PartnerId>,
    ) -> Result<(), Problem> {
        if program.is_none() && partner.is_none() {
            return Ok(());
        }
        let (program, partner) = self
            .read(move |reads| {
                let program = program.map(|id| reads.program(workspace, id)).transpose()?;
                let partner = partner.map(|id| reads.partner(workspace, id)).transpose()?;
                Ok((program.map(|found| found.is_some()), partner.map(|found| found.is_some())))
            })
            .await?;
        let mut errors = Errors::default();
        for (field, found) in [("program_id", program), ("partner_id", partner)] {
            if found == Some(false) {
                errors.add(field, "does not exist in this workspace");
            }
        }
        errors.none()
    }

    /// Journals a fact and waits until the books have applied it.
    pub(super) async fn submit(
        &self,
        caller: Principal,
        at: Timestamp,
        request: Option<IdempotentRequest>,
        fact: Fact,
    ) -> Result<Outcome, Problem> {
        let recorded = Recorded { at, workspace: caller.workspace, actor: caller.actor(), request, fact };
        let submitted = tokio::time::timeout(SUBMIT_TIMEOUT, self.books.submit(recorded)).await;
        let outcome = submitted.map_err(|_| too_slow())?.map_err(|error| not_recorded(&error))?;
        match outcome.problem() {
            Some(problem) => Err(problem),
            None => Ok(outcome),
        }
    }

    /// The address that people share.
    pub(super) fn short_url(&self, domain: Option<&str>, slug: &str) -> String {
        match domain {
            None => format!("{}/{slug}", self.public_url),
            Some(domain) => {
                let scheme = self.public_url.split("://").next().unwrap_or("https");
                format!("{scheme}://{domain}/{slug}")
            }
        }
    }

    /// A link as it is answered: the books leave `short_url` to who knows the public URL.
    pub(super) fn with_short_url(&self, mut link: Value) -> Value {
        if let Some(slug) = link["slug"].as_str() {
            let url = self.short_url(link["domain"].as_str(), slug);
            link["short_url"] = json!(url);
        }
        link
    }

    /// What short URLs and the snippet's address begin with.
    pub(super) fn public_url(&self) -> &str {
        &self.public_url
    }

    /// The books.
    pub(super) fn books(&self) -> &Books {
        &self.books
    }

    /// A live webhook endpoint.
    pub(super) fn endpoint(&self, id: EndpointId) -> Option<Arc<Endpoint>> {
        self.books.endpoints().find(id)
    }

    /// Where a provider is to report.
    pub(super) fn hook_url(&self, id: &str) -> String {
        format!("{}/hooks/{id}", self.public_url)
    }
}

/// The answer of the API to what the books answered, its body changed by `finish`.
pub(super) fn answer(outcome: Outcome, finish: impl FnOnce(Value) -> Value) -> Response {
    let status = StatusCode::from_u16(outcome.status).unwrap_or(StatusCode::OK);
    let mut response = match outcome.body.into_value() {
        Value::Null => no_content(),
        body => json_response(status, &finish(body)),
    };
    if outcome.replayed {
        response.headers_mut().insert(REPLAYED, HeaderValue::from_static("true"));
    }
    response
}

/// 503 (413 for a fact beyond an entry's size): nothing was kept, or it is not known whether it was; the same
/// `Idempotency-Key` makes asking again safe.
pub fn not_recorded(error: &SubmitError) -> Problem {
    metrics::counter!("weir_commands_not_recorded_total").increment(1);
    if *error == SubmitError::TooLarge {
        let detail = "The request is larger than one journal entry may be.";
        return Problem::new(413, "body_too_large", "The body is too large", detail);
    }
    if *error == SubmitError::BooksBehind {
        let detail = "Too many deliveries wait to be booked: this one was not recorded, send it again.";
        return unavailable("books_behind", detail);
    }
    tracing::error!(%error, "a fact was not recorded");
    unavailable("storage_unavailable", format!("The request was not recorded: {error}."))
}

/// 503: the fact may be durable, its outcome is not known yet.
fn too_slow() -> Problem {
    metrics::counter!("weir_commands_timed_out_total").increment(1);
    let detail =
        "The books have not answered in time. Ask again with the same Idempotency-Key to learn the outcome.";
    unavailable("outcome_unknown", detail)
}

/// 503: the keyring's disk failed, so a person could not be sealed or forgotten.
pub(super) fn keyring_failed(error: &KeyringError) -> Problem {
    metrics::counter!("weir_keyring_errors_total").increment(1);
    tracing::error!(%error, "the keyring failed");
    unavailable("storage_unavailable", "The request was not recorded: the keyring's disk failed.")
}

/// The time and the idempotency of a command; call it after the body has been read.
pub(super) fn admission(context: &Context) -> Result<(Timestamp, Option<IdempotentRequest>), Problem> {
    Ok((Timestamp::now(), context.idempotency()?))
}

/// A short blocking piece of work (the keyring's disk) off the thread that serves sockets.
pub async fn off_the_sockets<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    tokio::task::spawn_blocking(work).await.expect("the work does not panic")
}
