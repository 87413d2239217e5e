//! `POST /v1/postback-tokens`, `PATCH` and `DELETE /v1/postback-tokens/{id}`, `POST /v1/postback-tokens/{id}/rotate`:
//! which networks may report at `/postback`. A secret is shown once; the books keep its hash.

use std::sync::Arc;

use http::Method;
use serde::Deserialize;
use serde_json::{Map, Value, json};
use weir_edge::request::{Context, JSON_MAX};
use weir_edge::response::Response;
use weir_edge::route::Router;
use weir_engine::keys::{Principal, hash_secret};
use weir_schemas::cidr::Cidr;
use weir_schemas::fact::{Fact, IdempotentRequest, Role};
use weir_schemas::ids::PostbackTokenId;
use weir_schemas::postback::{PARAMETERS, PostbackSettings, PostbackStatus};
use weir_schemas::problem::Problem;
use weir_schemas::time::{HOUR_MS, Timestamp};

use super::handles::{Commands, admission, answer};
use super::keys;
use super::link_spec::Errors;

/// What every secret begins with.
const PREFIX: &str = "pb_";
/// Characters of a secret that are kept to recognise it by.
const HINT_CHARS: usize = PREFIX.len() + 4;
const NAME_MAX: usize = 100;
/// Longest name of a network: it stands before each of its transactions.
const NETWORK_MAX: usize = 32;
/// Most entries of a map or list.
const ENTRIES_MAX: usize = 64;
/// Longest that a rotated secret may stay good, and how long it does where nothing is said.
const GRACE_HOURS_MAX: u32 = 24 * 90;
const GRACE_HOURS: u32 = 24;

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Rotation {
    /// How long the secret before stays good; 0 ends it at once.
    grace_hours: Option<u32>,
}

pub(super) fn routes(commands: &Arc<Commands>) -> Router {
    let [create, update, rotate, delete] = std::array::from_fn(|_| Arc::clone(commands));
    Router::new()
        .route(Method::POST, "/v1/postback-tokens", move |context| self::create(context, Arc::clone(&create)))
        .route(Method::PATCH, "/v1/postback-tokens/{id}", move |context| {
            self::update(context, Arc::clone(&update))
        })
        .route(Method::POST, "/v1/postback-tokens/{id}/rotate", move |context| {
            self::rotate(context, Arc::clone(&rotate))
        })
        .route(Method::DELETE, "/v1/postback-tokens/{id}", move |context| {
            self::delete(context, Arc::clone(&delete))
        })
}

async fn create(mut context: Context, commands: Arc<Commands>) -> Result<Response, Problem> {
    let caller = context.require(&[Role::Admin])?;
    let settings: PostbackSettings = context.json(JSON_MAX).await?;
    check(&settings)?;
    let (at, request) = admission(&context)?;
    let id = PostbackTokenId(commands.ids.next(at));
    let (secret, secret_sha256, hint) = commands.postback_secret(caller, request.as_ref());
    let fact = Fact::PostbackTokenCreated { id, settings, secret_sha256, hint };
    let outcome = commands.submit(caller, at, request, fact).await?;
    Ok(answer(outcome, |token| commands.with_postback_url(token, &secret)))
}

async fn update(mut context: Context, commands: Arc<Commands>) -> Result<Response, Problem> {
    let caller = context.require(&[Role::Admin])?;
    let id: PostbackTokenId = context.id("id", "postback token")?;
    let patch: Map<String, Value> = context.json(JSON_MAX).await?;
    // What is given must be right by itself: no field depends on another.
    let settings: PostbackSettings = weir_edge::request::from_value(Value::Object(patch.clone()))?;
    check(&settings)?;
    let (at, request) = admission(&context)?;
    let outcome = commands.submit(caller, at, request, Fact::PostbackTokenUpdated { id, patch }).await?;
    Ok(answer(outcome, |token| token))
}

async fn rotate(mut context: Context, commands: Arc<Commands>) -> Result<Response, Problem> {
    let caller = context.require(&[Role::Admin])?;
    let id: PostbackTokenId = context.id("id", "postback token")?;
    let rotation = if context.body(JSON_MAX).await?.is_empty() {
        Rotation::default()
    } else {
        context.json(JSON_MAX).await?
    };
    let hours = rotation.grace_hours.unwrap_or(GRACE_HOURS);
    if hours > GRACE_HOURS_MAX {
        return Err(Problem::field("grace_hours", format!("must be from 0 to {GRACE_HOURS_MAX}")));
    }
    let (at, request) = admission(&context)?;
    let (secret, secret_sha256, hint) = commands.postback_secret(caller, request.as_ref());
    let previous_until = Timestamp(at.0 + i64::from(hours) * HOUR_MS);
    let fact = Fact::PostbackTokenRotated { id, secret_sha256, hint, previous_until };
    let outcome = commands.submit(caller, at, request, fact).await?;
    Ok(answer(outcome, |token| commands.with_postback_url(token, &secret)))
}

async fn delete(mut context: Context, commands: Arc<Commands>) -> Result<Response, Problem> {
    let caller = context.require(&[Role::Admin])?;
    let id: PostbackTokenId = context.id("id", "postback token")?;
    context.body(JSON_MAX).await?;
    let (at, request) = admission(&context)?;
    let outcome = commands.submit(caller, at, request, Fact::PostbackTokenDeleted { id }).await?;
    Ok(answer(outcome, |body| body))
}

impl Commands {
    /// A new secret, its hash and its hint. With an `Idempotency-Key` the same again.
    fn postback_secret(
        &self,
        caller: Principal,
        request: Option<&IdempotentRequest>,
    ) -> (String, String, String) {
        let drawn = match request {
            Some(request) => keys::derived_secret(&self.keyring.session_key(), caller.workspace, request),
            None => keys::new_secret(),
        };
        let secret = drawn.replacen(keys::PREFIX, PREFIX, 1);
        let hint = secret.chars().take(HINT_CHARS).collect();
        let hash = hash_secret(&secret);
        (secret, hash, hint)
    }

    fn with_postback_url(&self, mut token: Value, secret: &str) -> Value {
        token["token"] = json!(secret);
        let pattern = "click_id={click_id}&txid={txid}&payout={payout}&currency={currency}&status={status}";
        token["url"] = json!(format!("{}/postback?token={secret}&{pattern}", self.public_url()));
        token
    }
}

fn check(settings: &PostbackSettings) -> Result<(), Problem> {
    let mut errors = Errors::default();
    if settings.name.len() > NAME_MAX {
        errors.add("name", format!("is longer than {NAME_MAX} bytes"));
    }
    if let Some(network) = &settings.network {
        let plain = network.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_');
        if network.is_empty() || network.len() > NETWORK_MAX || !plain {
            errors.add("network", format!("must be 1 to {NETWORK_MAX} letters, digits, `-` or `_`"));
        }
    }
    for (field, entries) in [
        ("parameters", settings.parameters.len()),
        ("statuses", settings.statuses.len()),
        ("allow", settings.allow.len()),
    ] {
        if entries > ENTRIES_MAX {
            errors.add(field, format!("has more than {ENTRIES_MAX} entries"));
        }
    }
    for (theirs, ours) in &settings.parameters {
        if !PARAMETERS.contains(&ours.as_str()) {
            errors.add(format!("parameters.{theirs}"), format!("must be one of: {}", PARAMETERS.join(", ")));
        }
    }
    for (theirs, ours) in &settings.statuses {
        if PostbackStatus::from_name(ours).is_none() {
            let names: Vec<&str> = PostbackStatus::ALL.iter().map(|(name, _)| *name).collect();
            errors.add(format!("statuses.{theirs}"), format!("must be one of: {}", names.join(", ")));
        }
    }
    for (n, range) in settings.allow.iter().enumerate() {
        if let Err(error) = range.parse::<Cidr>() {
            errors.add(format!("allow[{n}]"), format!("is {error}"));
        }
    }
    errors.none()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_wrong_field_is_named() {
        let fields = |value: Value| -> Vec<String> {
            let checked = check(&serde_json::from_value(value).unwrap());
            checked.err().into_iter().flat_map(|p| p.errors).map(|error| error.field).collect()
        };
        assert!(fields(json!({})).is_empty());
        let whole = json!({"name": "Acme", "network": "acme", "parameters": {"aff_sub": "click_id"},
            "statuses": {"confirmed": "approved"}, "allow": ["203.0.113.0/24", "2001:db8::1"], "currency": "USD"});
        assert!(fields(whole).is_empty());
        let wrong =
            json!({"network": "a b", "parameters": {"x": "y"}, "statuses": {"ok": "fine"}, "allow": ["all"]});
        assert_eq!(fields(wrong), ["network", "parameters.x", "statuses.ok", "allow[0]"]);
    }
}
