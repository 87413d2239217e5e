//! `POST /v1/commissions/{id}/approve|hold|release|reject`: what a person decides on a commission.

use std::sync::Arc;

use http::Method;
use serde::Deserialize;
use weir_edge::request::{Context, JSON_MAX};
use weir_edge::response::Response;
use weir_edge::route::Router;
use weir_schemas::commission::Verdict;
use weir_schemas::fact::{Fact, Role};
use weir_schemas::ids::CommissionId;
use weir_schemas::problem::Problem;

use super::handles::{Commands, admission, answer};
use super::link_spec::Errors;

/// Longest reason, in bytes.
const REASON_MAX: usize = 500;

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Decision {
    #[serde(default)]
    reason: Option<String>,
}

pub(super) fn routes(commands: &Arc<Commands>) -> Router {
    let verdicts = [
        ("/v1/commissions/{id}/approve", Verdict::Approve),
        ("/v1/commissions/{id}/hold", Verdict::Hold),
        ("/v1/commissions/{id}/release", Verdict::Release),
        ("/v1/commissions/{id}/reject", Verdict::Reject),
    ];
    verdicts.into_iter().fold(Router::new(), |router, (path, verdict)| {
        let commands = Arc::clone(commands);
        router.route(Method::POST, path, move |context| judge(context, Arc::clone(&commands), verdict))
    })
}

async fn judge(mut context: Context, commands: Arc<Commands>, verdict: Verdict) -> Result<Response, Problem> {
    let caller = context.require(&[Role::Admin])?;
    let id: CommissionId = context.id("id", "commission")?;
    let empty = context.body(JSON_MAX).await?.iter().all(u8::is_ascii_whitespace);
    let decision: Decision = if empty { Decision::default() } else { context.json(JSON_MAX).await? };
    let mut errors = Errors::default();
    errors.text("reason", decision.reason.as_deref(), REASON_MAX);
    if decision.reason.is_none() && matches!(verdict, Verdict::Hold | Verdict::Reject) {
        errors.add("reason", "is required: say why");
    }
    errors.none()?;
    let (at, request) = admission(&context)?;
    let fact = Fact::CommissionJudged { id, verdict, reason: decision.reason };
    let outcome = commands.submit(caller, at, request, fact).await?;
    Ok(answer(outcome, |commission| commission))
}
