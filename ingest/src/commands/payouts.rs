//! `POST /v1/payouts`, a batch of all that is due or with `dry_run` its preview; `POST /v1/payouts/{id}/processing`,
//! `paid`, `failed`, `cancel` for a payout or a whole batch.

use std::sync::Arc;

use http::{Method, StatusCode};
use serde::Deserialize;
use weir_edge::request::{Context, JSON_MAX};
use weir_edge::response::{Response, json};
use weir_edge::route::Router;
use weir_schemas::fact::{Fact, Role};
use weir_schemas::ids::{PartnerId, PayoutId, ProgramId};
use weir_schemas::money::Currency;
use weir_schemas::payout::{PayoutScope, PayoutStatus};
use weir_schemas::problem::Problem;

use super::handles::{Commands, admission, answer};
use super::link_spec::Errors;

/// Longest reference or reason, in bytes.
const TEXT_MAX: usize = 500;

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct NewBatch {
    program_id: Option<ProgramId>,
    partner_id: Option<PartnerId>,
    currency: Option<Currency>,
    dry_run: bool,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Decision {
    reference: Option<String>,
    reason: Option<String>,
}

pub(super) fn routes(commands: &Arc<Commands>) -> Router {
    let create = Arc::clone(commands);
    let router = Router::new()
        .route(Method::POST, "/v1/payouts", move |context| self::create(context, Arc::clone(&create)));
    let decisions = [
        ("/v1/payouts/{id}/processing", PayoutStatus::Processing),
        ("/v1/payouts/{id}/paid", PayoutStatus::Paid),
        ("/v1/payouts/{id}/failed", PayoutStatus::Failed),
        ("/v1/payouts/{id}/cancel", PayoutStatus::Cancelled),
    ];
    decisions.into_iter().fold(router, |router, (path, to)| {
        let commands = Arc::clone(commands);
        router.route(Method::POST, path, move |context| decide(context, Arc::clone(&commands), to))
    })
}

/// The body, or its default where there is none.
async fn body<T: Default + serde::de::DeserializeOwned>(context: &mut Context) -> Result<T, Problem> {
    let empty = context.body(JSON_MAX).await?.iter().all(u8::is_ascii_whitespace);
    if empty { Ok(T::default()) } else { context.json(JSON_MAX).await }
}

async fn create(mut context: Context, commands: Arc<Commands>) -> Result<Response, Problem> {
    let caller = context.require(&[Role::Admin])?;
    let new: NewBatch = body(&mut context).await?;
    commands.check_terms(caller.workspace, new.program_id, new.partner_id).await?;
    let scope =
        PayoutScope { program_id: new.program_id, partner_id: new.partner_id, currency: new.currency };
    let (at, request) = admission(&context)?;
    if new.dry_run || context.query_value("dry_run").is_some_and(|value| value == "true") {
        let workspace = caller.workspace;
        let preview = commands.read(move |reads| reads.payout_preview(workspace, &scope, at)).await?;
        return Ok(json(StatusCode::OK, &preview));
    }
    let id = PayoutId(commands.ids.next(at));
    let outcome = commands.submit(caller, at, request, Fact::PayoutsRequested { id, scope }).await?;
    Ok(answer(outcome, |batch| batch))
}

async fn decide(
    mut context: Context,
    commands: Arc<Commands>,
    to: PayoutStatus,
) -> Result<Response, Problem> {
    let caller = context.require(&[Role::Admin])?;
    let id: PayoutId = context.id("id", "payout")?;
    let Decision { reference, reason } = body(&mut context).await?;
    let mut errors = Errors::default();
    errors.text("reference", reference.as_deref(), TEXT_MAX);
    errors.text("reason", reason.as_deref(), TEXT_MAX);
    errors.none()?;
    let (at, request) = admission(&context)?;
    let outcome =
        commands.submit(caller, at, request, Fact::PayoutDecided { id, to, reference, reason }).await?;
    Ok(answer(outcome, |payout| payout))
}
