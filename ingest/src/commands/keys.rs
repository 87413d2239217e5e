//! `POST /v1/keys`, `PATCH` and `DELETE /v1/keys/{id}`. A secret is shown once, in the answer to its creation; the
//! books keep its hash.

use std::sync::Arc;

use hmac::{Hmac, KeyInit, Mac};
use http::Method;
use serde::Deserialize;
use serde_json::{Map, Value, json};
use sha2::Sha256;
use weir_edge::request::{Context, JSON_MAX};
use weir_edge::response::Response;
use weir_edge::route::Router;
use weir_engine::keys::hash_secret;
use weir_schemas::fact::{Fact, IdempotentRequest, Role};
use weir_schemas::ids::{KeyId, PartnerId, WorkspaceId};
use weir_schemas::problem::Problem;

use super::handles::{Commands, admission, answer};
use super::link_spec::Errors;

/// What every secret begins with, so that scanners recognise a leaked one.
pub const PREFIX: &str = "weir_";
/// Base62 digits of a secret: 256 bits.
pub const SECRET_CHARS: usize = 43;
/// Characters of a secret that are kept to recognise it by, the prefix included.
const HINT_CHARS: usize = PREFIX.len() + 4;
const NAME_MAX: usize = 100;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct NewKey {
    name: String,
    role: Role,
    #[serde(default)]
    partner_id: Option<PartnerId>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Patch {
    #[serde(default)]
    name: Option<String>,
    #[serde(default)]
    role: Option<Role>,
}

pub(super) fn routes(commands: &Arc<Commands>) -> Router {
    let [create, change, revoke] = std::array::from_fn(|_| Arc::clone(commands));
    Router::new()
        .route(Method::POST, "/v1/keys", move |context| self::create(context, Arc::clone(&create)))
        .route(Method::PATCH, "/v1/keys/{id}", move |context| self::change(context, Arc::clone(&change)))
        .route(Method::DELETE, "/v1/keys/{id}", move |context| self::revoke(context, Arc::clone(&revoke)))
}

async fn create(mut context: Context, commands: Arc<Commands>) -> Result<Response, Problem> {
    let caller = context.require(&[Role::Admin])?;
    let new: NewKey = context.json(JSON_MAX).await?;
    let mut errors = Errors::default();
    errors.text("name", Some(&new.name), NAME_MAX);
    match (new.role, new.partner_id) {
        (Role::Partner, None) => errors.add("partner_id", "is required for role `partner`"),
        (Role::Partner, Some(_)) | (_, None) => {}
        (_, Some(_)) => errors.add("partner_id", "is only for role `partner`"),
    }
    errors.none()?;
    commands.check_terms(caller.workspace, None, new.partner_id).await?;
    let (at, request) = admission(&context)?;
    let bytes = match &request {
        Some(request) => derived(&commands.keyring.session_key(), caller.workspace, request),
        None => rand::random(),
    };
    let secret = secret(&bytes);
    let fact = key_created(KeyId(commands.ids.next(at)), &new.name, new.role, new.partner_id, &secret);
    let outcome = commands.submit(caller, at, request, fact).await?;
    Ok(answer(outcome, |mut key| {
        key["key"] = json!(secret);
        key["last_used_at"] = Value::Null;
        key
    }))
}

async fn change(mut context: Context, commands: Arc<Commands>) -> Result<Response, Problem> {
    let caller = context.require(&[Role::Admin])?;
    let id: KeyId = context.id("id", "key")?;
    let Patch { name, role } = context.json(JSON_MAX).await?;
    let mut errors = Errors::default();
    errors.text("name", name.as_deref(), NAME_MAX);
    errors.none()?;
    let mut patch = Map::new();
    if let Some(name) = name {
        patch.insert("name".to_owned(), Value::String(name));
    }
    if let Some(role) = role {
        patch.insert("role".to_owned(), json!(role));
    }
    let (at, request) = admission(&context)?;
    let outcome = commands.submit(caller, at, request, Fact::KeyUpdated { id, patch }).await?;
    Ok(answer(outcome, |mut key| {
        key["last_used_at"] = json!(commands.books().keys().uses().last(id));
        key
    }))
}

async fn revoke(mut context: Context, commands: Arc<Commands>) -> Result<Response, Problem> {
    let caller = context.require(&[Role::Admin])?;
    let id: KeyId = context.id("id", "key")?;
    context.body(JSON_MAX).await?;
    let (at, request) = admission(&context)?;
    let outcome = commands.submit(caller, at, request, Fact::KeyRevoked { id }).await?;
    Ok(answer(outcome, |body| body))
}

/// The fact that a key with this secret was made.
pub fn key_created(id: KeyId, name: &str, role: Role, partner: Option<PartnerId>, secret: &str) -> Fact {
    Fact::KeyCreated {
        id,
        name: name.to_owned(),
        role,
        partner,
        secret_sha256: hash_secret(secret),
        hint: hint_of(secret),
    }
}

/// What of a secret is kept to recognise it by.
pub(super) fn hint_of(secret: &str) -> String {
    secret.chars().take(HINT_CHARS).collect()
}

/// A new secret.
pub fn new_secret() -> String {
    secret(&rand::random())
}

/// The secret that a request with an `Idempotency-Key` gets, each time it is sent.
pub(super) fn derived_secret(key: &[u8; 32], workspace: WorkspaceId, request: &IdempotentRequest) -> String {
    secret(&derived(key, workspace, request))
}

/// The bytes of a secret that was asked for with an `Idempotency-Key`: a repeat of the request is to be
/// answered alike, and the secret itself is stored nowhere.
pub(super) fn derived(key: &[u8; 32], workspace: WorkspaceId, request: &IdempotentRequest) -> [u8; 32] {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).expect("HMAC takes keys of any length");
    mac.update(b"api key\0");
    mac.update(&workspace.0.to_be_bytes());
    mac.update(request.fingerprint.as_bytes());
    mac.update(request.key.as_bytes());
    mac.finalize().into_bytes().into()
}

/// 256 bits in base62: `weir_` and 43 digits.
fn secret(bytes: &[u8; 32]) -> String {
    const DIGITS: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
    let mut number = *bytes;
    let mut digits = [0_u8; SECRET_CHARS];
    for digit in digits.iter_mut().rev() {
        let mut rest = 0_u32;
        for byte in &mut number {
            let value = rest << 8 | u32::from(*byte);
            *byte = (value / 62) as u8;
            rest = value % 62;
        }
        *digit = DIGITS[rest as usize];
    }
    format!("{PREFIX}{}", std::str::from_utf8(&digits).expect("digits are ASCII"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_have_their_form_and_hold_all_bits() {
        assert_eq!(secret(&[0; 32]), format!("weir_{}", "0".repeat(43)));
        let mut one = [0; 32];
        one[31] = 63;
        assert_eq!(secret(&one), format!("weir_{}11", "0".repeat(41)));
        let most = secret(&[255; 32]);
        assert_eq!(most.len(), 48);
        assert!(most.starts_with("weir_") && !most.starts_with("weir_0"), "{most}: the first digit is used");
        assert_ne!(new_secret(), new_secret());
    }

    #[test]
    fn a_repeated_request_derives_the_same_secret() {
        let request = |key: &str| IdempotentRequest { key: key.into(), fingerprint: "f".into() };
        let of = |workspace, key: &str| derived(&[1; 32], WorkspaceId(workspace), &request(key));
        assert_eq!(of(1, "a"), of(1, "a"));
        assert_ne!(of(1, "a"), of(1, "b"));
        assert_ne!(of(1, "a"), of(2, "a"));
    }

    #[test]
    fn the_fact_knows_the_hash_and_the_hint() {
        let fact = key_created(KeyId(1), "ci", Role::Viewer, None, "weir_abcdefgh");
        let Fact::KeyCreated { secret_sha256, hint, .. } = fact else { panic!("{fact:?}") };
        assert_eq!(
            (secret_sha256.as_str(), hint.as_str()),
            (hash_secret("weir_abcdefgh").as_str(), "weir_abcd")
        );
    }
}
