//! `POST /v1/links`, `PATCH` and `DELETE /v1/links/{id}`, `POST /v1/links/bulk`.

use std::sync::Arc;

use http::{Method, StatusCode};
use serde_json::{Map, Value, json};
use tokio::task::JoinSet;
use weir_edge::problem::internal;
use weir_edge::request::{Context, JSON_MAX, from_value};
use weir_edge::response::{Response, json as json_response};
use weir_edge::route::Router;
use weir_engine::keys::Principal;
use weir_schemas::fact::{Fact, IdempotentRequest, Role};
use weir_schemas::ids::LinkId;
use weir_schemas::link::LinkSpec;
use weir_schemas::problem::Problem;
use weir_schemas::time::Timestamp;

use super::handles::{Commands, admission, answer};
use super::{link_spec, slug};

/// Most links in one bulk request.
const BULK_MAX: usize = 1_000;
/// The largest bulk request, in bytes.
const BULK_BYTES_MAX: usize = 8 * 1_024 * 1_024;

const WRITERS: &[Role] = &[Role::Admin, Role::Editor];

pub(super) fn routes(commands: &Arc<Commands>) -> Router {
    let [create, update, delete, bulk] = std::array::from_fn(|_| Arc::clone(commands));
    Router::new()
        .route(Method::POST, "/v1/links", move |context| self::create(context, Arc::clone(&create)))
        .route(Method::PATCH, "/v1/links/{id}", move |context| self::update(context, Arc::clone(&update)))
        .route(Method::DELETE, "/v1/links/{id}", move |context| self::delete(context, Arc::clone(&delete)))
        .route(Method::POST, "/v1/links/bulk", move |context| self::bulk(context, Arc::clone(&bulk)))
}

async fn create(mut context: Context, commands: Arc<Commands>) -> Result<Response, Problem> {
    let caller = context.require(WRITERS)?;
    let spec: LinkSpec = context.json(JSON_MAX).await?;
    let (at, request) = admission(&context)?;
    let fact = created(&commands, caller, spec, at).await?;
    let outcome = commands.submit(caller, at, request, fact).await?;
    Ok(answer(outcome, |link| commands.with_short_url(link)))
}

async fn created(
    commands: &Commands,
    caller: Principal,
    spec: LinkSpec,
    at: Timestamp,
) -> Result<Fact, Problem> {
    let mut spec = link_spec::check(spec, &commands.own_hosts.of(caller.workspace))?;
    link_spec::hide_password(&mut spec).await;
    let mut spare_slugs = Vec::new();
    if spec.slug.is_none() {
        let (slug, spares) = slug::draw();
        spec.slug = Some(slug);
        spare_slugs = spares;
    }
    Ok(Fact::LinkCreated { id: LinkId(commands.ids.next(at)), spec, spare_slugs })
}

async fn update(mut context: Context, commands: Arc<Commands>) -> Result<Response, Problem> {
    let caller = context.require(WRITERS)?;
    let id: LinkId = context.id("id", "link")?;
    let patch: Map<String, Value> = context.json(JSON_MAX).await?;
    let mut patch = link_spec::check_patch(patch, &commands.own_hosts.of(caller.workspace))?;
    link_spec::hide_patched_password(&mut patch).await;
    let (at, request) = admission(&context)?;
    let outcome = commands.submit(caller, at, request, Fact::LinkUpdated { id, patch }).await?;
    // The books do not count clicks; who does may be away, and then no number is better than a wrong one.
    let clicks = (commands.count_clicks)(caller.workspace, id).await;
    Ok(answer(outcome, |mut link| {
        link["clicks"] = json!(clicks);
        commands.with_short_url(link)
    }))
}

async fn delete(mut context: Context, commands: Arc<Commands>) -> Result<Response, Problem> {
    let caller = context.require(WRITERS)?;
    let id: LinkId = context.id("id", "link")?;
    context.body(JSON_MAX).await?;
    let (at, request) = admission(&context)?;
    let outcome = commands.submit(caller, at, request, Fact::LinkDeleted { id }).await?;
    Ok(answer(outcome, |body| body))
}

/// Each item succeeds or fails by itself; the answer has them in the request's order.
async fn bulk(mut context: Context, commands: Arc<Commands>) -> Result<Response, Problem> {
    let caller = context.require(WRITERS)?;
    let body = context.any_json(BULK_BYTES_MAX).await?;
    let items = items(body)?;
    let (at, request) = admission(&context)?;
    let count = items.len();
    let mut running = JoinSet::new();
    for (n, item) in items.into_iter().enumerate() {
        let commands = Arc::clone(&commands);
        // Sent again, each item is answered as it was: so each has a key of its own.
        let request = request.as_ref().map(|whole| IdempotentRequest {
            key: format!("{}#{n}", whole.key),
            fingerprint: whole.fingerprint.clone(),
        });
        let id = context.request_id.clone();
        running.spawn(async move { (n, one(&commands, caller, at, request, item, &id).await) });
    }
    let mut results = vec![Value::Null; count];
    while let Some(joined) = running.join_next().await {
        let (n, result) = joined.map_err(|_| internal())?;
        results[n] = result;
    }
    Ok(json_response(StatusCode::OK, &json!({ "data": results })))
}

/// `[…]` or `{"links": […]}`.
fn items(body: Value) -> Result<Vec<Value>, Problem> {
    let items = match body {
        Value::Array(items) => items,
        Value::Object(mut object) => {
            let items = object.remove("links");
            if let Some(field) = object.keys().next() {
                return Err(Problem::field(field.clone(), "unknown field, expected `links`"));
            }
            match items {
                Some(Value::Array(items)) => items,
                _ => return Err(Problem::field("links", "must be a list of links")),
            }
        }
        _ => return Err(Problem::field("links", "must be a list of links")),
    };
    if items.is_empty() || items.len() > BULK_MAX {
        return Err(Problem::field("links", format!("must hold 1 to {BULK_MAX} links")));
    }
    Ok(items)
}

async fn one(
    commands: &Commands,
    caller: Principal,
    at: Timestamp,
    request: Option<IdempotentRequest>,
    item: Value,
    request_id: &str,
) -> Value {
    let fact = match from_value(item) {
        Ok(spec) => created(commands, caller, spec, at).await,
        Err(problem) => Err(problem),
    };
    let outcome = match fact {
        Ok(fact) => commands.submit(caller, at, request, fact).await,
        Err(problem) => Err(problem),
    };
    match outcome {
        Ok(outcome) => json!({ "status": outcome.status, "link": commands.with_short_url(outcome.body) }),
        Err(problem) => json!({ "status": problem.status, "error": problem.body(request_id) }),
    }
}
