//! `POST /v1/shares`, `DELETE /v1/shares/{id}`: links by which people without a key see the answer to one question. The
//! secret is shown once, inside the link; the books keep its hash.

use std::sync::Arc;

use http::Method;
use serde::Deserialize;
use serde_json::{Map, Value, json};
use weir_edge::request::{Context, JSON_MAX};
use weir_edge::response::Response;
use weir_edge::route::Router;
use weir_engine::keys::hash_secret;
use weir_engine::query::question::Question;
use weir_schemas::fact::Fact;
use weir_schemas::ids::{PartnerId, SavedQueryId, ShareId, WorkspaceId};
use weir_schemas::problem::Problem;
use weir_schemas::saved::{Question as Kept, ShareSpec};
use weir_schemas::time::{DAY_MS, Timestamp};

use super::handles::{Commands, admission, answer};
use super::keys;
use super::link_spec::Errors;
use super::saved_queries::{NAME_MAX, VISUALISATION_MAX, WRITERS};

/// What every secret begins with.
const PREFIX: &str = "wsh_";
/// Characters of a secret that are kept to recognise it by.
const HINT_CHARS: usize = PREFIX.len() + 4;
/// How long a link answers where nothing is said, and at most.
const LIFE_DAYS: i64 = 30;
const LIFE_DAYS_MAX: i64 = 366;

/// What a caller sets of a share link: a saved query, or a question of its own.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct NewShare {
    #[serde(default)]
    name: Option<String>,
    #[serde(default)]
    saved_query_id: Option<SavedQueryId>,
    #[serde(default)]
    report: Option<String>,
    #[serde(default)]
    query: Option<Map<String, Value>>,
    #[serde(default)]
    visualisation: Option<String>,
    #[serde(default)]
    partner_id: Option<PartnerId>,
    #[serde(default)]
    expires_at: Option<Timestamp>,
}

pub(super) fn routes(commands: &Arc<Commands>) -> Router {
    let [create, revoke] = std::array::from_fn(|_| Arc::clone(commands));
    Router::new()
        .route(Method::POST, "/v1/shares", move |context| self::create(context, Arc::clone(&create)))
        .route(Method::DELETE, "/v1/shares/{id}", move |context| self::revoke(context, Arc::clone(&revoke)))
}

async fn create(mut context: Context, commands: Arc<Commands>) -> Result<Response, Problem> {
    let caller = context.require(WRITERS)?;
    let new: NewShare = context.json(JSON_MAX).await?;
    let (at, request) = admission(&context)?;
    let spec = commands.share_spec(caller.workspace, new, at).await?;
    let drawn = match &request {
        Some(request) => keys::derived_secret(&commands.keyring.session_key(), caller.workspace, request),
        None => keys::new_secret(),
    };
    let secret = drawn.replacen(keys::PREFIX, PREFIX, 1);
    let fact = Fact::ShareCreated {
        id: ShareId(commands.ids.next(at)),
        spec,
        secret_sha256: hash_secret(&secret),
        hint: secret.chars().take(HINT_CHARS).collect(),
    };
    let outcome = commands.submit(caller, at, request, fact).await?;
    Ok(answer(outcome, |mut share| {
        share["url"] = json!(format!("{}/shared/{secret}", commands.admin_url()));
        share["token"] = json!(secret);
        share
    }))
}

async fn revoke(mut context: Context, commands: Arc<Commands>) -> Result<Response, Problem> {
    let caller = context.require(WRITERS)?;
    let id: ShareId = context.id("id", "share link")?;
    context.body(JSON_MAX).await?;
    let (at, request) = admission(&context)?;
    let outcome = commands.submit(caller, at, request, Fact::ShareRevoked { id }).await?;
    Ok(answer(outcome, |body| body))
}

impl Commands {
    /// The question as it is fixed in the link: a copy, so that a saved query changed later shows nobody more.
    async fn share_spec(
        &self,
        workspace: WorkspaceId,
        new: NewShare,
        at: Timestamp,
    ) -> Result<ShareSpec, Problem> {
        let mut errors = Errors::default();
        errors.text("name", new.name.as_deref(), NAME_MAX);
        errors.text("visualisation", new.visualisation.as_deref(), VISUALISATION_MAX);
        if new.query.is_some() == new.saved_query_id.is_some() {
            errors
                .add("query", "give either `query` (with `report`, where it is for one) or `saved_query_id`");
        } else if new.saved_query_id.is_some() && new.report.is_some() {
            errors.add("report", "is the saved query's own");
        }
        let expires_at = new.expires_at.unwrap_or(Timestamp(at.0 + LIFE_DAYS * DAY_MS));
        if expires_at <= at || expires_at.0 > at.0 + LIFE_DAYS_MAX * DAY_MS {
            errors.add("expires_at", format!("must lie in the future, at most {LIFE_DAYS_MAX} days ahead"));
        }
        errors.none()?;
        let mut spec = ShareSpec {
            name: new.name.unwrap_or_default(),
            question: Kept { report: new.report, query: new.query.unwrap_or_default() },
            visualisation: new.visualisation,
            partner_id: new.partner_id,
            saved_query_id: new.saved_query_id,
            expires_at,
        };
        if let Some(id) = new.saved_query_id {
            let saved = self.read(move |books| books.saved_query(workspace, id)).await?;
            let saved =
                saved.ok_or_else(|| Problem::field("saved_query_id", "does not exist in this workspace"))?;
            if spec.name.is_empty() {
                spec.name = saved.spec.name;
            }
            spec.question = Kept { report: saved.spec.report, query: saved.spec.query };
            spec.visualisation = spec.visualisation.or(saved.spec.visualisation);
            spec.partner_id = spec.partner_id.or(saved.spec.partner_id);
        }
        Question::build(&spec.question, workspace, at, spec.partner_id)?;
        self.check_terms(workspace, None, spec.partner_id).await?;
        Ok(spec)
    }
}
