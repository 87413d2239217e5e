//! `POST /v1/programs`, `PATCH /v1/programs/{id}`: the terms by which partners earn. A change makes a new version.

use std::sync::Arc;

use http::Method;
use serde_json::{Map, Value, json};
use weir_edge::request::{Context, JSON_MAX, from_value};
use weir_edge::response::Response;
use weir_edge::route::Router;
use weir_schemas::fact::{Fact, Role};
use weir_schemas::ids::ProgramId;
use weir_schemas::problem::Problem;
use weir_schemas::program::ProgramSpec;

use super::handles::{Commands, admission, answer};

/// Terms are money decisions.
const WRITERS: &[Role] = &[Role::Admin];

pub(super) fn routes(commands: &Arc<Commands>) -> Router {
    let [create, update] = std::array::from_fn(|_| Arc::clone(commands));
    Router::new()
        .route(Method::POST, "/v1/programs", move |context| self::create(context, Arc::clone(&create)))
        .route(Method::PATCH, "/v1/programs/{id}", move |context| self::update(context, Arc::clone(&update)))
}

async fn create(mut context: Context, commands: Arc<Commands>) -> Result<Response, Problem> {
    let caller = context.require(WRITERS)?;
    let spec: ProgramSpec = context.json(JSON_MAX).await?;
    check(&spec)?;
    let (at, request) = admission(&context)?;
    let id = ProgramId(commands.ids.next(at));
    let outcome = commands.submit(caller, at, request, Fact::ProgramCreated { id, spec }).await?;
    Ok(answer(outcome, |program| program))
}

async fn update(mut context: Context, commands: Arc<Commands>) -> Result<Response, Problem> {
    let caller = context.require(WRITERS)?;
    let id: ProgramId = context.id("id", "program")?;
    let patch: Map<String, Value> = context.json(JSON_MAX).await?;
    let patch = check_patch(patch)?;
    let (at, request) = admission(&context)?;
    let outcome = commands.submit(caller, at, request, Fact::ProgramUpdated { id, patch }).await?;
    Ok(answer(outcome, |program| program))
}

fn check(spec: &ProgramSpec) -> Result<(), Problem> {
    let errors = spec.check();
    if errors.is_empty() { Ok(()) } else { Err(Problem::fields(errors)) }
}

/// The fields of a patch, checked as far as they can be by themselves; the books see them beside the rest. Days that
/// are set alone end what a program had in minutes.
fn check_patch(mut patch: Map<String, Value>) -> Result<Map<String, Value>, Problem> {
    if patch.contains_key("window_days") {
        patch.entry("window_minutes").or_insert(Value::Null);
    }
    let Value::Object(mut whole) = json!({"name": "-", "commission": {"base": {"bp": 0}}}) else {
        unreachable!("just written");
    };
    whole.extend(patch.clone());
    let spec: ProgramSpec = from_value(Value::Object(whole))?;
    check(&spec)?;
    let Value::Object(checked) = serde_json::to_value(spec).expect("terms are plain JSON") else {
        unreachable!("terms are an object");
    };
    Ok(checked.into_iter().filter(|(field, _)| patch.contains_key(field)).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_patch_is_checked_by_itself() {
        let patch = |value: Value| {
            let Value::Object(patch) = value else { panic!("an object") };
            check_patch(patch).map_err(|problem| problem.errors[0].field.clone())
        };
        let checked = patch(json!({"hold_days": 7, "min_payout": null})).unwrap();
        assert_eq!(Value::Object(checked), json!({"hold_days": 7, "min_payout": null}));
        let days = patch(json!({"window_days": 7})).unwrap();
        assert_eq!(Value::Object(days), json!({"window_days": 7, "window_minutes": null}));
        let minutes = patch(json!({"window_minutes": 90})).unwrap();
        assert_eq!(Value::Object(minutes), json!({"window_minutes": 90}));
        assert_eq!(patch(json!({"hold_days": -1})), Err("hold_days".to_owned()));
        assert_eq!(patch(json!({"nope": 1})), Err("nope".to_owned()));
        assert_eq!(
            patch(json!({"commission": {"base": {"bp": 1, "x": 1}}})),
            Err("commission.base.x".to_owned())
        );
        assert_eq!(patch(json!({"version": 3})), Err("version".to_owned()), "versions are made, not chosen");
    }
}
