//! `POST /v1/links`, `PATCH` and `DELETE /v1/links/{id}`; many at once in [`bulk`].

use std::sync::Arc;

use http::Method;
use serde_json::{Map, Value, json};
use weir_edge::request::{Context, JSON_MAX};
use weir_edge::response::Response;
use weir_edge::route::Router;
use weir_engine::keys::Principal;
use weir_schemas::fact::{Fact, Role};
use weir_schemas::ids::LinkId;
use weir_schemas::link::LinkSpec;
use weir_schemas::problem::Problem;
use weir_schemas::time::Timestamp;

use super::handles::{Commands, admission, answer};
use super::{link_spec, slug};

mod bulk;

const WRITERS: &[Role] = &[Role::Admin, Role::Editor];

pub(super) fn routes(commands: &Arc<Commands>) -> Router {
    let [create, update, delete] = std::array::from_fn(|_| Arc::clone(commands));
    let [many, changes, deletions, import] = std::array::from_fn(|_| Arc::clone(commands));
    Router::new()
        .route(Method::POST, "/v1/links", move |context| self::create(context, Arc::clone(&create)))
        .route(Method::PATCH, "/v1/links/{id}", move |context| self::update(context, Arc::clone(&update)))
        .route(Method::DELETE, "/v1/links/{id}", move |context| self::delete(context, Arc::clone(&delete)))
        .route(Method::POST, "/v1/links/bulk", move |context| bulk::create(context, Arc::clone(&many)))
        .route(Method::PATCH, "/v1/links/bulk", move |context| bulk::update(context, Arc::clone(&changes)))
        .route(Method::DELETE, "/v1/links/bulk", move |context| bulk::delete(context, Arc::clone(&deletions)))
        .route(Method::POST, "/v1/links/import", move |context| bulk::import(context, Arc::clone(&import)))
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
    commands.check_terms(caller.workspace, spec.program_id, spec.partner_id).await?;
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
    let fact = updated(&commands, caller, id, patch).await?;
    let (at, request) = admission(&context)?;
    let outcome = commands.submit(caller, at, request, fact).await?;
    // The books do not count clicks; who does may be away, and then no number is better than a wrong one.
    let clicks = (commands.count_clicks)(caller.workspace, id).await;
    Ok(answer(outcome, |mut link| {
        link["clicks"] = json!(clicks);
        commands.with_short_url(link)
    }))
}

async fn updated(
    commands: &Commands,
    caller: Principal,
    id: LinkId,
    patch: Map<String, Value>,
) -> Result<Fact, Problem> {
    let mut patch = link_spec::check_patch(patch, &commands.own_hosts.of(caller.workspace))?;
    let id_of = |field: &str| patch.get(field).and_then(Value::as_str);
    let program = id_of("program_id").and_then(|id| id.parse().ok());
    let partner = id_of("partner_id").and_then(|id| id.parse().ok());
    commands.check_terms(caller.workspace, program, partner).await?;
    link_spec::hide_patched_password(&mut patch).await;
    Ok(Fact::LinkUpdated { id, patch })
}

async fn delete(mut context: Context, commands: Arc<Commands>) -> Result<Response, Problem> {
    let caller = context.require(WRITERS)?;
    let id: LinkId = context.id("id", "link")?;
    context.body(JSON_MAX).await?;
    let (at, request) = admission(&context)?;
    let outcome = commands.submit(caller, at, request, Fact::LinkDeleted { id }).await?;
    Ok(answer(outcome, |body| body))
}
