//! `POST /v1/clicks/{id}/verdict`: a verdict that comes late. The click's counts are restated under its own
//! dimensions, and what its conversions earn is held.

use std::sync::Arc;

use http::Method;
use serde::Deserialize;
use weir_edge::request::{Context, JSON_MAX};
use weir_edge::response::Response;
use weir_edge::route::Router;
use weir_schemas::click::Verdict;
use weir_schemas::fact::{ClickClaim, Fact, Role};
use weir_schemas::ids::ClickId;
use weir_schemas::problem::Problem;
use weir_schemas::signal::EVIDENCE_MAX;

use super::handles::{Commands, admission, answer};
use super::link_spec::Errors;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Judgement {
    verdict: Verdict,
    #[serde(default)]
    reason: Option<String>,
}

pub(super) fn routes(commands: &Arc<Commands>) -> Router {
    let commands = Arc::clone(commands);
    Router::new()
        .route(Method::POST, "/v1/clicks/{id}/verdict", move |context| judge(context, Arc::clone(&commands)))
}

async fn judge(mut context: Context, commands: Arc<Commands>) -> Result<Response, Problem> {
    let caller = context.require(&[Role::Admin, Role::Editor])?;
    let id: ClickId = context.id("id", "click")?;
    let Judgement { verdict, reason } = context.json(JSON_MAX).await?;
    let mut errors = Errors::default();
    if !matches!(verdict, Verdict::Counted | Verdict::Blocked) {
        errors.add("verdict", "must be counted or blocked");
    }
    errors.text("reason", reason.as_deref(), EVIDENCE_MAX);
    errors.none()?;
    let (at, request) = admission(&context)?;
    let click = match commands.claims.resolve(caller.workspace, None, Some(id), at).await {
        ClickClaim::Known { facts, .. } => facts,
        _ => return Err(Problem::not_found("click")),
    };
    let outcome = commands.submit(caller, at, request, Fact::ClickJudged { click, verdict, reason }).await?;
    Ok(answer(outcome, |body| body))
}
