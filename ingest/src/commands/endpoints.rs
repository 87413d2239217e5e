//! `POST /v1/webhook-endpoints`, `DELETE /v1/webhook-endpoints/{id}`. Secrets are kept sealed under the
//! keyring's master key.

use std::sync::Arc;

use http::Method;
use serde::Deserialize;
use serde_json::json;
use weir_edge::request::{Context, JSON_MAX};
use weir_edge::response::Response;
use weir_edge::route::Router;
use weir_engine::books::ENDPOINT_SECRET_CONTEXT;
use weir_schemas::fact::{Fact, Role};
use weir_schemas::ids::{EndpointId, ProgramId};
use weir_schemas::problem::Problem;

use super::handles::{Commands, admission, answer};
use super::link_spec::Errors;
use crate::providers::Provider;

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
}

pub(super) fn routes(commands: &Arc<Commands>) -> Router {
    let [create, delete] = std::array::from_fn(|_| Arc::clone(commands));
    Router::new()
        .route(Method::POST, "/v1/webhook-endpoints", move |context| {
            self::create(context, Arc::clone(&create))
        })
        .route(Method::DELETE, "/v1/webhook-endpoints/{id}", move |context| {
            self::delete(context, Arc::clone(&delete))
        })
}

async fn create(mut context: Context, commands: Arc<Commands>) -> Result<Response, Problem> {
    let caller = context.require(&[Role::Admin])?;
    let new: NewEndpoint = context.json(JSON_MAX).await?;
    check(&new)?;
    let (at, request) = admission(&context)?;
    let id = EndpointId(commands.ids.next(at));
    let seal = |secret: &String| commands.keyring.seal(ENDPOINT_SECRET_CONTEXT, secret.as_bytes());
    let fact = Fact::EndpointCreated {
        id,
        provider: new.provider,
        secrets: new.secrets.iter().map(seal).collect(),
        program_id: new.program_id,
    };
    let outcome = commands.submit(caller, at, request, fact).await?;
    Ok(answer(outcome, |mut endpoint| {
        let url = endpoint["id"].as_str().map(|id| commands.hook_url(id));
        endpoint["url"] = json!(url);
        endpoint
    }))
}

fn check(new: &NewEndpoint) -> Result<(), Problem> {
    let mut errors = Errors::default();
    let provider = Provider::from_name(&new.provider);
    if provider.is_none() {
        let known: Vec<&str> = Provider::ALL.iter().map(|provider| provider.as_str()).collect();
        errors.add("provider", format!("must be one of: {}", known.join(", ")));
    }
    if new.secrets.is_empty() || new.secrets.len() > SECRETS_MAX {
        errors.add("secrets", format!("must hold 1 to {SECRETS_MAX} secrets"));
    }
    for (n, secret) in new.secrets.iter().enumerate() {
        let field = format!("secrets[{n}]");
        if secret.len() > SECRET_MAX {
            errors.add(field, format!("is longer than {SECRET_MAX} bytes"));
        } else if let Some(Err(why)) = provider.map(|provider| provider.check_secret(secret)) {
            errors.add(field, why);
        }
    }
    if new.program_id.is_some() {
        errors.add("program_id", "is not supported yet: leave it out");
    }
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
