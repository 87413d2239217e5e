//! `POST /v1/webhook-endpoints`, `PATCH` and `DELETE /v1/webhook-endpoints/{id}`. Secrets and settings are kept
//! sealed under the keyring's master key.

use std::sync::Arc;

use http::Method;
use serde::Deserialize;
use serde_json::{Value, json};
use weir_edge::request::{Context, JSON_MAX};
use weir_edge::response::Response;
use weir_edge::route::Router;
use weir_engine::books::ENDPOINT_SECRET_CONTEXT;
use weir_schemas::fact::{Fact, Role, Sealed};
use weir_schemas::ids::{DeliveryId, EndpointId, ProgramId};
use weir_schemas::problem::Problem;

use super::handles::{Commands, admission, answer};
use super::link_spec::Errors;
use crate::providers::Provider;
use crate::providers::settings::Settings;

/// Most live secrets of one endpoint: the old and the new while one is rolled, and room for mistakes.
const SECRETS_MAX: usize = 8;
/// Longest secret, in bytes.
const SECRET_MAX: usize = 512;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct NewEndpoint {
    provider: String,
    secrets: Vec<String>,
    #[serde(default)]
    program_id: Option<ProgramId>,
    #[serde(default)]
    settings: Option<Settings>,
}

/// What of an endpoint can be replaced: its secrets while one is rolled, its settings.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Patch {
    secrets: Option<Vec<String>>,
    settings: Option<Settings>,
}

pub(super) fn routes(commands: &Arc<Commands>) -> Router {
    let [create, update, delete, replay] = std::array::from_fn(|_| Arc::clone(commands));
    Router::new()
        .route(Method::POST, "/v1/webhook-endpoints", move |context| {
            self::create(context, Arc::clone(&create))
        })
        .route(Method::PATCH, "/v1/webhook-endpoints/{id}", move |context| {
            self::update(context, Arc::clone(&update))
        })
        .route(Method::POST, "/v1/webhook-endpoints/{id}/deliveries/{delivery}/replay", move |context| {
            self::replay(context, Arc::clone(&replay))
        })
        .route(Method::DELETE, "/v1/webhook-endpoints/{id}", move |context| {
            self::delete(context, Arc::clone(&delete))
        })
}

async fn create(mut context: Context, commands: Arc<Commands>) -> Result<Response, Problem> {
    let caller = context.require(&[Role::Admin])?;
    let new: NewEndpoint = context.json(JSON_MAX).await?;
    check(&new)?;
    commands.check_terms(caller.workspace, new.program_id, None).await?;
    let (at, request) = admission(&context)?;
    let id = EndpointId(commands.ids.next(at));
    let fact = Fact::EndpointCreated {
        id,
        provider: new.provider,
        secrets: commands.sealed_secrets(&new.secrets),
        program_id: new.program_id,
        settings: new.settings.as_ref().map(|settings| commands.sealed_settings(settings)),
    };
    let outcome = commands.submit(caller, at, request, fact).await?;
    Ok(answer(outcome, |endpoint| commands.with_hook_url(endpoint)))
}

async fn update(mut context: Context, commands: Arc<Commands>) -> Result<Response, Problem> {
    let caller = context.require(&[Role::Admin])?;
    let id: EndpointId = context.id("id", "webhook endpoint")?;
    let patch: Patch = context.json(JSON_MAX).await?;
    let known = commands.endpoint(id).filter(|endpoint| endpoint.workspace == caller.workspace);
    let known = known.ok_or_else(|| Problem::not_found("webhook endpoint"))?;
    let mut errors = Errors::default();
    let provider = Provider::from_name(&known.provider);
    if let Some(secrets) = &patch.secrets {
        check_secrets(provider, secrets, &mut errors);
    }
    if let Some(settings) = &patch.settings {
        check_settings(provider, settings, &mut errors);
    }
    errors.none()?;
    let (at, request) = admission(&context)?;
    let fact = Fact::EndpointUpdated {
        id,
        secrets: patch.secrets.map(|secrets| commands.sealed_secrets(&secrets)),
        settings: patch.settings.map(|settings| commands.sealed_settings(&settings)),
    };
    let outcome = commands.submit(caller, at, request, fact).await?;
    Ok(answer(outcome, |endpoint| commands.with_hook_url(endpoint)))
}

impl Commands {
    fn sealed_secrets(&self, secrets: &[String]) -> Vec<Sealed> {
        secrets.iter().map(|secret| self.keyring.seal(ENDPOINT_SECRET_CONTEXT, secret.as_bytes())).collect()
    }

    fn sealed_settings(&self, settings: &Settings) -> Sealed {
        let json = serde_json::to_vec(settings).expect("settings are plain data");
        self.keyring.seal(ENDPOINT_SECRET_CONTEXT, &json)
    }

    fn with_hook_url(&self, mut endpoint: Value) -> Value {
        let url = endpoint["id"].as_str().map(|id| self.hook_url(id));
        endpoint["url"] = json!(url);
        endpoint
    }
}

fn check_settings(provider: Option<Provider>, settings: &Settings, errors: &mut Errors) {
    if let Some(Err((field, why))) = provider.map(|provider| provider.check_settings(settings)) {
        errors.add(field, why);
    }
}

fn check_secrets(provider: Option<Provider>, secrets: &[String], errors: &mut Errors) {
    if secrets.is_empty() || secrets.len() > SECRETS_MAX {
        errors.add("secrets", format!("must hold 1 to {SECRETS_MAX} secrets"));
    }
    for (n, secret) in secrets.iter().enumerate() {
        let field = format!("secrets[{n}]");
        if secret.len() > SECRET_MAX {
            errors.add(field, format!("is longer than {SECRET_MAX} bytes"));
        } else if let Some(Err(why)) = provider.map(|provider| provider.check_secret(secret)) {
            errors.add(field, why);
        }
    }
}

fn check(new: &NewEndpoint) -> Result<(), Problem> {
    let mut errors = Errors::default();
    let provider = Provider::from_name(&new.provider);
    if provider.is_none() {
        let known: Vec<&str> = Provider::ALL.iter().map(|provider| provider.as_str()).collect();
        errors.add("provider", format!("must be one of: {}", known.join(", ")));
    }
    check_secrets(provider, &new.secrets, &mut errors);
    check_settings(provider, new.settings.as_ref().unwrap_or(&Settings::default()), &mut errors);
    errors.none()
}

async fn delete(mut context: Context, commands: Arc<Commands>) -> Result<Response, Problem> {
    let caller = context.require(&[Role::Admin])?;
    let id: EndpointId = context.id("id", "webhook endpoint")?;
    context.body(JSON_MAX).await?;
    let (at, request) = admission(&context)?;
    let outcome = commands.submit(caller, at, request, Fact::EndpointDeleted { id }).await?;
    Ok(answer(outcome, |body| body))
}

/// Tries a delivery again that was not booked whole: as things are now.
async fn replay(mut context: Context, commands: Arc<Commands>) -> Result<Response, Problem> {
    let caller = context.require(&[Role::Admin])?;
    let endpoint: EndpointId = context.id("id", "webhook endpoint")?;
    let id: DeliveryId = context.id("delivery", "delivery")?;
    context.body(JSON_MAX).await?;
    let (at, request) = admission(&context)?;
    let outcome = commands.submit(caller, at, request, Fact::DeliveryReplayed { id, endpoint }).await?;
    Ok(answer(outcome, |delivery| delivery))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn endpoints_are_checked() {
        let fields = |value: serde_json::Value| -> Vec<String> {
            let checked = check(&serde_json::from_value(value).unwrap());
            checked.err().into_iter().flat_map(|p| p.errors).map(|error| error.field).collect()
        };
        assert!(fields(json!({"provider": "stripe", "secrets": ["whsec_a", "whsec_b"]})).is_empty());
        assert_eq!(fields(json!({"provider": "nope", "secrets": []})), ["provider", "secrets"]);
        assert_eq!(fields(json!({"provider": "stripe", "secrets": ["whsec_a", " "]})), ["secrets[1]"]);
        assert_eq!(fields(json!({"provider": "stripe", "secrets": ["whsec_"]})), ["secrets[0]"]);
    }
}
