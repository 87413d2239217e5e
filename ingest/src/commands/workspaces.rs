//! `PATCH /v1/workspace`: the caller's own. `POST /v1/workspaces`: another one beside it, with its first key, for the
//! operator of the engine.

use std::sync::Arc;

use http::Method;
use jiff::tz::TimeZone;
use serde::Deserialize;
use serde_json::{Map, Value, json};
use weir_edge::problem;
use weir_edge::request::{Context, JSON_MAX};
use weir_edge::response::Response;
use weir_edge::route::Router;
use weir_engine::keys::hash_secret;
use weir_schemas::fact::{Fact, FirstKey, Role};
use weir_schemas::ids::{KeyId, WorkspaceId};
use weir_schemas::money::Currency;
use weir_schemas::problem::Problem;

use super::handles::{Commands, admission, answer};
use super::keys::{derived_secret, hint_of, new_secret};
use super::link_spec::Errors;

/// Longest name, in bytes.
const NAME_MAX: usize = 100;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct NewWorkspace {
    name: String,
    #[serde(default = "dollars")]
    currency: Currency,
    #[serde(default = "utc")]
    timezone: String,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Patch {
    #[serde(default)]
    name: Option<String>,
    #[serde(default)]
    currency: Option<Currency>,
    #[serde(default)]
    timezone: Option<String>,
}

fn dollars() -> Currency {
    Currency::USD
}

fn utc() -> String {
    "UTC".to_owned()
}

pub(super) fn routes(commands: &Arc<Commands>) -> Router {
    let [create, change] = std::array::from_fn(|_| Arc::clone(commands));
    Router::new()
        .route(Method::POST, "/v1/workspaces", move |context| self::create(context, Arc::clone(&create)))
        .route(Method::PATCH, "/v1/workspace", move |context| self::change(context, Arc::clone(&change)))
}

async fn create(mut context: Context, commands: Arc<Commands>) -> Result<Response, Problem> {
    let caller = context.require(&[Role::Admin])?;
    if caller.workspace != WorkspaceId::FIRST {
        return Err(problem::forbidden("This needs an admin key of the engine's first workspace."));
    }
    let new: NewWorkspace = context.json(JSON_MAX).await?;
    checked(Some(&new.name), Some(&new.timezone))?;
    let (at, request) = admission(&context)?;
    let secret = match &request {
        Some(request) => derived_secret(&commands.keyring.session_key(), caller.workspace, request),
        None => new_secret(),
    };
    let key = FirstKey {
        id: KeyId(commands.ids.next(at)),
        secret_sha256: hash_secret(&secret),
        hint: hint_of(&secret),
    };
    let NewWorkspace { name, currency, timezone } = new;
    let fact = Fact::WorkspaceCreated { name, currency, timezone, key: Some(key) };
    let outcome = commands.submit(caller, at, request, fact).await?;
    Ok(answer(outcome, |mut workspace| {
        workspace["key"] = json!(secret);
        workspace
    }))
}

async fn change(mut context: Context, commands: Arc<Commands>) -> Result<Response, Problem> {
    let caller = context.require(&[Role::Admin])?;
    let Patch { name, currency, timezone } = context.json(JSON_MAX).await?;
    checked(name.as_deref(), timezone.as_deref())?;
    let mut patch = Map::new();
    for (field, value) in
        [("name", name), ("currency", currency.map(|one| one.to_string())), ("timezone", timezone)]
    {
        if let Some(value) = value {
            patch.insert(field.to_owned(), Value::String(value));
        }
    }
    let (at, request) = admission(&context)?;
    let outcome = commands.submit(caller, at, request, Fact::WorkspaceUpdated { patch }).await?;
    Ok(answer(outcome, |body| body))
}

fn checked(name: Option<&str>, timezone: Option<&str>) -> Result<(), Problem> {
    let mut errors = Errors::default();
    errors.text("name", name, NAME_MAX);
    if timezone.is_some_and(|name| TimeZone::get(name).is_err()) {
        errors.add("timezone", "must be the IANA name of a time zone, such as Europe/Berlin");
    }
    errors.none()
}
