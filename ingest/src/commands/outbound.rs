//! `POST /v1/outbound-endpoints`, `PATCH` and `DELETE /v1/outbound-endpoints/{id}`, its `/rotate` and
//! `/deliveries/{message}/replay`: where the workspace wants to be told of what happens. And `/v1/fulfilments`: what
//! its sales mint.

use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::{Method, StatusCode};
use serde::Deserialize;
use serde_json::{Map, Value, json};
use weir_edge::problem::unavailable;
use weir_edge::request::{Context, JSON_MAX, from_value};
use weir_edge::response::Response;
use weir_edge::route::Router;
use weir_engine::books::OUTBOUND_CONTEXT;
use weir_engine::keys::Principal;
use weir_engine::outbound::address::check_url;
use weir_schemas::fact::{Fact, IdempotentRequest, Role, Sealed};
use weir_schemas::ids::{FulfilmentId, OutboundEndpointId};
use weir_schemas::outbound::{EVENTS, FulfilmentSpec, OutboundSpec};
use weir_schemas::problem::Problem;

use super::destination::canonical;
use super::handles::{Commands, admission, answer, off_the_sockets};
use super::keys;
use super::link_spec::Errors;

/// Longest URL of an endpoint, in bytes.
const URL_MAX: usize = 2_048;
const NAME_MAX: usize = 255;
/// Longest life of a minted link, and most uses of it.
const EXPIRES_DAYS_MAX: u32 = 3_650;
const USES_MAX: u64 = 1_000_000;
const WHAT: &str = "outbound endpoint";

/// What a caller sets of an endpoint.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct NewEndpoint {
    url: String,
    #[serde(default)]
    events: Vec<String>,
    #[serde(default)]
    description: Option<String>,
    #[serde(default)]
    enabled: Option<bool>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Patch {
    url: Option<String>,
    events: Option<Vec<String>>,
    description: Option<Value>,
    enabled: Option<bool>,
}

pub(super) fn routes(commands: &Arc<Commands>) -> Router {
    let [create, update, rotate, delete, replay, fulfil, unfulfil] =
        std::array::from_fn(|_| Arc::clone(commands));
    Router::new()
        .route(Method::POST, "/v1/outbound-endpoints", move |context| {
            self::create(context, Arc::clone(&create))
        })
        .route(Method::PATCH, "/v1/outbound-endpoints/{id}", move |context| {
            self::update(context, Arc::clone(&update))
        })
        .route(Method::POST, "/v1/outbound-endpoints/{id}/rotate", move |context| {
            self::rotate(context, Arc::clone(&rotate))
        })
        .route(Method::DELETE, "/v1/outbound-endpoints/{id}", move |context| {
            self::delete(context, Arc::clone(&delete))
        })
        .route(Method::POST, "/v1/outbound-endpoints/{id}/deliveries/{message}/replay", move |context| {
            self::replay(context, Arc::clone(&replay))
        })
        .route(Method::POST, "/v1/fulfilments", move |context| self::fulfil(context, Arc::clone(&fulfil)))
        .route(Method::DELETE, "/v1/fulfilments/{id}", move |context| {
            self::unfulfil(context, Arc::clone(&unfulfil))
        })
}

async fn create(mut context: Context, commands: Arc<Commands>) -> Result<Response, Problem> {
    let caller = context.require(&[Role::Admin])?;
    let new: NewEndpoint = context.json(JSON_MAX).await?;
    let mut errors = Errors::default();
    let url = check(&commands, Some(&new.url), Some(&new.events), &mut errors);
    errors.text("description", new.description.as_deref(), NAME_MAX);
    errors.none()?;
    let (at, request) = admission(&context)?;
    let (secret, sealed) = commands.outbound_secret(caller, request.as_ref());
    let spec = OutboundSpec {
        url: url.unwrap_or(new.url),
        events: new.events,
        description: new.description,
        enabled: new.enabled.unwrap_or(true),
        disabled_reason: None,
    };
    let id = OutboundEndpointId(commands.ids.next(at));
    let outcome =
        commands.submit(caller, at, request, Fact::OutboundCreated { id, spec, secret: sealed }).await?;
    Ok(answer(outcome, |endpoint| with_secret(endpoint, &secret)))
}

async fn update(mut context: Context, commands: Arc<Commands>) -> Result<Response, Problem> {
    let caller = context.require(&[Role::Admin])?;
    let id: OutboundEndpointId = context.id("id", WHAT)?;
    let mut patch: Map<String, Value> = context.json(JSON_MAX).await?;
    let given: Patch = from_value(Value::Object(patch.clone()))?;
    let mut errors = Errors::default();
    if let Some(url) = check(&commands, given.url.as_deref(), given.events.as_deref(), &mut errors) {
        patch.insert("url".to_owned(), json!(url));
    }
    match &given.description {
        None | Some(Value::Null) => {}
        Some(Value::String(text)) => errors.text("description", Some(text), NAME_MAX),
        Some(_) => errors.add("description", "must be a text or null"),
    }
    for field in ["url", "events", "enabled"] {
        if patch.get(field).is_some_and(Value::is_null) {
            errors.add(field, "must not be null");
        }
    }
    errors.none()?;
    let (at, request) = admission(&context)?;
    let fact = Fact::OutboundUpdated { id, patch, secret: None };
    let outcome = commands.submit(caller, at, request, fact).await?;
    Ok(answer(outcome, |endpoint| endpoint))
}

/// A new secret; the one before signs beside it until the next rotation.
async fn rotate(mut context: Context, commands: Arc<Commands>) -> Result<Response, Problem> {
    let caller = context.require(&[Role::Admin])?;
    let id: OutboundEndpointId = context.id("id", WHAT)?;
    context.body(JSON_MAX).await?;
    let (at, request) = admission(&context)?;
    let (secret, sealed) = commands.outbound_secret(caller, request.as_ref());
    let fact = Fact::OutboundUpdated { id, patch: Map::new(), secret: Some(sealed) };
    let outcome = commands.submit(caller, at, request, fact).await?;
    Ok(answer(outcome, |endpoint| with_secret(endpoint, &secret)))
}

async fn delete(mut context: Context, commands: Arc<Commands>) -> Result<Response, Problem> {
    let caller = context.require(&[Role::Admin])?;
    let id: OutboundEndpointId = context.id("id", WHAT)?;
    context.body(JSON_MAX).await?;
    let (at, request) = admission(&context)?;
    let outcome = commands.submit(caller, at, request, Fact::OutboundDeleted { id }).await?;
    Ok(answer(outcome, |body| body))
}

async fn replay(mut context: Context, commands: Arc<Commands>) -> Result<Response, Problem> {
    let caller = context.require(&[Role::Admin])?;
    let id: OutboundEndpointId = context.id("id", WHAT)?;
    let message = context.param("message").to_owned();
    context.body(JSON_MAX).await?;
    let (books, outbound) = (commands.books().clone(), commands.outbound().clone());
    let replayed = off_the_sockets(move || match books.reads().has_outbound(caller.workspace, id) {
        Ok(true) => match outbound {
            Some(outbound) => outbound.replay(id, &message).map_err(|error| error.to_string()),
            None => Ok(false),
        },
        Ok(false) => Ok(false),
        Err(error) => Err(error.to_string()),
    });
    let work = async {
        match replayed.await {
            Ok(true) => Ok((StatusCode::ACCEPTED, json!({"state": "waiting"}))),
            Ok(false) => Err(Problem::not_found("delivery")),
            Err(error) => {
                tracing::error!(error, "an outbound delivery could not be replayed");
                Err(unavailable("storage_unavailable", "The delivery could not be replayed now."))
            }
        }
    };
    commands.once(&context, caller, work).await
}

impl Commands {
    /// A new secret as Standard Webhooks write it, and its key, sealed; for a repeat of a request the same.
    fn outbound_secret(&self, caller: Principal, request: Option<&IdempotentRequest>) -> (String, Sealed) {
        let key: [u8; 32] = match request {
            Some(request) => keys::derived(&self.keyring.session_key(), caller.workspace, request),
            None => rand::random(),
        };
        (format!("whsec_{}", STANDARD.encode(key)), self.keyring.seal(OUTBOUND_CONTEXT, &key))
    }
}

fn with_secret(mut endpoint: Value, secret: &str) -> Value {
    endpoint["secret"] = json!(secret);
    endpoint
}

/// Checks what is given; gives the URL as it is kept.
fn check(
    commands: &Commands,
    url: Option<&str>,
    events: Option<&[String]>,
    errors: &mut Errors,
) -> Option<String> {
    for (n, event) in events.unwrap_or_default().iter().enumerate() {
        if !EVENTS.contains(&event.as_str()) {
            errors.add(format!("events[{n}]"), format!("must be one of: {}", EVENTS.join(", ")));
        }
    }
    let url = url?;
    if url.len() > URL_MAX {
        errors.add("url", format!("is longer than {URL_MAX} bytes"));
        return None;
    }
    match check_url(url, commands.outbound_private()) {
        Ok(url) => Some(url.into()),
        Err(why) => {
            errors.add("url", why);
            None
        }
    }
}

async fn fulfil(mut context: Context, commands: Arc<Commands>) -> Result<Response, Problem> {
    let caller = context.require(&[Role::Admin, Role::Editor])?;
    let mut spec: FulfilmentSpec = context.json(JSON_MAX).await?;
    let mut errors = Errors::default();
    errors.text("event", Some(&spec.event), 64);
    errors.text("product", spec.product.as_deref(), NAME_MAX);
    if spec.name.len() > NAME_MAX {
        errors.add("name", format!("is longer than {NAME_MAX} bytes"));
    }
    if !(1..=EXPIRES_DAYS_MAX).contains(&spec.expires_days) {
        errors.add("expires_days", format!("must be from 1 to {EXPIRES_DAYS_MAX}"));
    }
    if !(1..=USES_MAX).contains(&spec.max_uses) {
        errors.add("max_uses", format!("must be from 1 to {USES_MAX}"));
    }
    match canonical(&spec.destination, |url| url.origin().ascii_serialization() == commands.public_url()) {
        Ok(destination) => spec.destination = destination,
        Err(why) => errors.add("destination", why),
    }
    errors.none()?;
    let (at, request) = admission(&context)?;
    let id = FulfilmentId(commands.ids.next(at));
    let fact = Fact::FulfilmentCreated { id, spec, key: keys::new_secret() };
    let outcome = commands.submit(caller, at, request, fact).await?;
    Ok(answer(outcome, |fulfilment| fulfilment))
}

async fn unfulfil(mut context: Context, commands: Arc<Commands>) -> Result<Response, Problem> {
    let caller = context.require(&[Role::Admin, Role::Editor])?;
    let id: FulfilmentId = context.id("id", "fulfilment")?;
    context.body(JSON_MAX).await?;
    let (at, request) = admission(&context)?;
    let outcome = commands.submit(caller, at, request, Fact::FulfilmentDeleted { id }).await?;
    Ok(answer(outcome, |body| body))
}
