//! `POST /v1/reports/…`: what each report is asked with stands beside what it does, in the engine; here its body is
//! read, it waits its turn as queries do, and its rows are answered as a query's are.

use http::{Method, StatusCode};
use serde::de::DeserializeOwned;
use serde_json::{Map, Value, json};
use weir_edge::request::{Context, JSON_MAX, from_value};
use weir_edge::response::{Response, json as answer_json};
use weir_edge::route::Router;
use weir_engine::query::reports::{AnyReport, Asked, Report, Scope};
use weir_schemas::problem::Problem;
use weir_schemas::time::Timestamp;

use crate::analytics::{Analytics, Worked, reader};
use crate::format::Format;

/// Every report's route.
pub fn routes(analytics: &Analytics) -> Router {
    AnyReport::NAMES.iter().fold(Router::new(), |router, name| {
        let analytics = analytics.clone();
        router.route(Method::POST, &format!("/v1/reports/{name}"), move |context| {
            answer(context, name, analytics.clone())
        })
    })
}

async fn answer(mut context: Context, name: &'static str, analytics: Analytics) -> Result<Response, Problem> {
    let principal = reader(&context)?;
    let format = Format::of(&context)?;
    let (asked, own) = Asked::split(context.json(JSON_MAX).await?);
    let report = AnyReport::read(name, Value::Object(own))
        .map_err(|problem| problem.unwrap_or_else(|| Problem::not_found("report")))?;
    let asked = from_value(Value::Object(asked))?;
    let scope = Scope::build(&asked, principal.workspace, Timestamp::now(), principal.partner)?;
    let worked = run(&analytics, &scope, &report).await?;
    let Report { columns, rows, .. } = &worked.result;
    if let Some(file) = format.rows(&analytics, columns, rows, worked.as_of.seq).await? {
        return Ok(file);
    }
    Ok(answer_json(StatusCode::OK, &body(&scope, &report, worked)))
}

/// Runs a report when it is its turn, as of now.
pub(crate) async fn run(
    analytics: &Analytics,
    scope: &Scope,
    report: &AnyReport,
) -> Result<Worked<Report>, Problem> {
    let of = scope.workspace();
    let scope = scope.clone().with_rates(analytics.rates(of));
    analytics.work(of, async |client: &_, upto| report.run(client, &scope, upto).await).await
}

/// What a report answered, as JSON.
pub(crate) fn body(scope: &Scope, spec: &AnyReport, worked: Worked<Report>) -> Value {
    let Worked { result: report, as_of, elapsed } = worked;
    let mut query = scope.resolved();
    if let (Value::Object(query), Value::Object(own)) = (&mut query, spec.members()) {
        query.extend(own);
    }
    let mut meta = json!({
        "as_of": as_of.seq,
        "as_of_time": as_of.at.to_string(),
        "rows_read": report.rows_read,
        "elapsed_ms": elapsed.as_secs_f64() * 1e3,
        "query": query,
    });
    if let Some(fx) = report.fx {
        meta["fx"] = fx;
    }
    let mut body = Map::new();
    body.insert("columns".to_owned(), json!(report.columns));
    body.insert("rows".to_owned(), json!(report.rows));
    body.extend(report.more);
    body.insert("meta".to_owned(), meta);
    Value::Object(body)
}

/// A body's members that all reports share, and the others.
pub(crate) async fn read<S: DeserializeOwned>(context: &mut Context) -> Result<(Asked, S), Problem> {
    let (asked, own) = Asked::split(context.json(JSON_MAX).await?);
    Ok((from_value(Value::Object(asked))?, from_value(Value::Object(own)).map_err(Asked::also_allowed)?))
}
