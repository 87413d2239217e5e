//! `POST /hooks/{whk_id}`: a provider's report of money. The signature is checked on the raw bytes, the click
//! it carries is looked up, the person is sealed, and 200 is answered only once the fact is durable: a
//! provider that got a 2xx never tells again.

use std::sync::Arc;

use http::{Method, StatusCode};
use serde_json::json;
use weir_edge::idempotency::sha256_hex;
use weir_edge::limit::Limiter;
use weir_edge::problem::{self, unavailable};
use weir_edge::request::Context;
use weir_edge::response::{Response, json as json_response};
use weir_edge::route::Router;
use weir_engine::books::{Books, SubmitError};
use weir_engine::endpoints::{Endpoint, EndpointTable};
use weir_engine::keyring::Keyring;
use weir_schemas::fact::{Actor, ClickClaim, Fact, Payment, Recorded, Sealed};
use weir_schemas::ids::{ConversionId, DeliveryId, EndpointId, PartnerId, WorkspaceId};
use weir_schemas::problem::Problem;
use weir_schemas::time::Timestamp;

use crate::commands::{Claims, NewIds, not_recorded, off_the_sockets};
use crate::providers::settings::Settings;
use crate::providers::{Incoming, Notice, Payer, Provider, Refusal};

/// The largest delivery, in bytes. Stripe's are below 256 kB, Shopify's orders with many lines below 1 MB.
pub const HOOK_BODY_MAX: usize = 1_024 * 1_024;

/// What the hooks need.
#[derive(Debug)]
pub struct Hooks {
    /// Where deliveries are journaled.
    pub books: Books,
    /// Where providers report.
    pub endpoints: EndpointTable,
    /// Seals persons.
    pub keyring: Arc<Keyring>,
    /// Gives ids.
    pub ids: Arc<NewIds>,
    /// Resolves clicks.
    pub claims: Arc<Claims>,
    /// How often one endpoint may be called.
    pub limiter: Arc<Limiter>,
}

/// The route on the public listener.
pub fn routes(hooks: &Arc<Hooks>) -> Router {
    let hooks = Arc::clone(hooks);
    let with_segment = Arc::clone(&hooks);
    Router::new()
        .route(Method::POST, "/hooks/{id}", move |context| receive(context, Arc::clone(&hooks)))
        .route(Method::POST, "/hooks/{id}/{token}", move |context| {
            receive(context, Arc::clone(&with_segment))
        })
}

async fn receive(context: Context, hooks: Arc<Hooks>) -> Result<Response, Problem> {
    let refused = |reason: &'static str| {
        metrics::counter!("weir_hooks_refused_total", "reason" => reason).increment(1);
    };
    let found = context.param("id").parse::<EndpointId>().ok().and_then(|id| hooks.endpoints.find(id));
    let Some(endpoint) = found else {
        refused("unknown_endpoint");
        return Err(Problem::not_found("webhook endpoint"));
    };
    match hooks.limiter.check(endpoint.id.0) {
        Ok(allowance) => {
            let mut response = hooks
                .deliver(context, &endpoint)
                .await
                .inspect_err(|refusal| refused(refusal.reason))
                .map_err(|refusal| refusal.problem)?;
            allowance.write(&mut response);
            Ok(response)
        }
        Err(exceeded) => {
            refused("rate_limited");
            Ok(exceeded.response(&context.request_id))
        }
    }
}

/// A delivery that is not recorded, and the label under which it is counted.
struct NotReceived {
    reason: &'static str,
    problem: Problem,
}

impl From<Refusal> for NotReceived {
    fn from(refusal: Refusal) -> Self {
        let problem = match refusal.status() {
            400 => problem::malformed(format!("{refusal}.")),
            _ => Problem::new(401, "bad_signature", "The signature is not valid", format!("{refusal}.")),
        };
        Self { reason: refusal.reason(), problem }
    }
}

impl Hooks {
    async fn deliver(&self, mut context: Context, endpoint: &Endpoint) -> Result<Response, NotReceived> {
        let body = context.body(HOOK_BODY_MAX).await.map_err(|problem| NotReceived {
            reason: if problem.status == 413 { "too_large" } else { "broken_off" },
            problem,
        })?;
        let now = Timestamp::now();
        let provider = Provider::from_name(&endpoint.provider).ok_or_else(|| NotReceived {
            reason: "unknown_provider",
            problem: unavailable("unknown_provider", "This engine is too old for the endpoint's provider."),
        })?;
        let incoming = Incoming {
            headers: context.headers(),
            body: &body,
            now,
            segment: context.param("token"),
            query: context.query_string(),
        };
        if provider.greets(incoming) {
            return Ok(json_response(StatusCode::OK, &json!({ "received": true })));
        }
        let settings = self.settings(endpoint)?;
        let decoded = provider.receive(&endpoint.secrets, &settings, incoming)?;
        let body_sha256 = sha256_hex(decoded.repeated.as_deref().unwrap_or(&body));
        let mut payments = Vec::with_capacity(decoded.notices.len());
        for notice in decoded.notices {
            payments.push(self.payment(endpoint.workspace, notice, now).await?);
        }
        let fact = Fact::Delivery {
            id: DeliveryId(self.ids.next(now)),
            endpoint: endpoint.id,
            provider: endpoint.provider.clone(),
            dedupe_key: decoded.dedupe_key,
            event_type: decoded.event_type,
            body_sha256,
            livemode: decoded.livemode,
            payments,
        };
        let actor = Actor::Endpoint(endpoint.id);
        let recorded = Recorded { at: now, workspace: endpoint.workspace, actor, request: None, fact };
        self.books.submit_durable(recorded).await.map_err(|error| NotReceived {
            reason: if error == SubmitError::BooksBehind { "books_behind" } else { "storage" },
            problem: not_recorded(&error),
        })?;
        metrics::counter!("weir_hooks_received_total", "provider" => provider.as_str()).increment(1);
        Ok(json_response(StatusCode::OK, &json!({ "received": true })))
    }

    fn settings(&self, endpoint: &Endpoint) -> Result<Settings, NotReceived> {
        let Some(json) = &endpoint.settings else { return Ok(Settings::default()) };
        serde_json::from_str(json).map_err(|error| {
            tracing::error!(%error, endpoint = %endpoint.id, "an endpoint's settings cannot be read");
            let detail = "This engine is too old for the endpoint's settings.";
            NotReceived { reason: "unknown_settings", problem: unavailable("unknown_settings", detail) }
        })
    }

    async fn payment(
        &self,
        workspace: WorkspaceId,
        notice: Notice,
        now: Timestamp,
    ) -> Result<Payment, NotReceived> {
        Ok(match notice {
            Notice::Paid { order_keys, renewal, amount, payer, subscription, occurred_at } => Payment::Paid {
                order_keys,
                id: ConversionId(self.ids.next(now)),
                renewal,
                amount,
                click: self.claim(workspace, &payer, now).await,
                person: self.sealed(workspace, &payer).await?,
                buyer: self.partners(workspace, &payer),
                customer: payer.customer,
                subscription,
                occurred_at,
            },
            Notice::Refunded { order_keys, returned, reason, occurred_at } => {
                Payment::Refunded { order_keys, returned, reason, occurred_at }
            }
            Notice::Disputed { order_keys, dispute, amount, state, occurred_at } => {
                Payment::Disputed { order_keys, dispute, amount, state, occurred_at }
            }
            Notice::Subscription { subscription, payer, status, price, interval, occurred_at } => {
                Payment::Subscription {
                    subscription,
                    click: self.claim(workspace, &payer, now).await,
                    customer: payer.customer,
                    status,
                    price,
                    interval,
                    occurred_at,
                }
            }
        })
    }

    async fn claim(&self, workspace: WorkspaceId, payer: &Payer, now: Timestamp) -> ClickClaim {
        match payer.wclid.as_deref() {
            Some(token) => self.claims.by_token(workspace, token, now).await,
            None => ClickClaim::None,
        }
    }

    /// Partners with the payer's mail address.
    fn partners(&self, workspace: WorkspaceId, payer: &Payer) -> Vec<PartnerId> {
        let address = payer.person.as_ref().and_then(|person| person.email.as_deref());
        address.map_or_else(Vec::new, |address| self.books.partner_addresses().find(workspace, address))
    }

    /// A person without a customer is not kept: there would be no key to destroy when they ask to be
    /// forgotten.
    async fn sealed(&self, workspace: WorkspaceId, payer: &Payer) -> Result<Option<Sealed>, NotReceived> {
        let (Some(person), Some(customer)) = (payer.person.clone(), payer.customer.clone()) else {
            return Ok(None);
        };
        let keyring = Arc::clone(&self.keyring);
        let sealed = off_the_sockets(move || keyring.seal_person(workspace, &customer, &person)).await;
        sealed.map(Some).map_err(|error| {
            tracing::error!(%error, "the keyring failed");
            let detail = "The delivery was not recorded: the keyring's disk failed.";
            NotReceived { reason: "storage", problem: unavailable("storage_unavailable", detail) }
        })
    }
}
