//! `POST /v1/reports/…`: what each report is asked with stands beside what it does, in the engine; here its body is
//! read, it waits its turn as queries do, and its rows are answered as a query's are.

use http::{Method, StatusCode};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value, json};
use weir_edge::request::{Context, JSON_MAX, from_value};
use weir_edge::response::{Response, json as answer_json};
use weir_edge::route::Router;
use weir_engine::query::execute::QueryError;
use weir_engine::query::reports::{
    Asked, Report, Scope, attribution, cohort_revenue, experiment, funnel, heatmap, ltv, paths, retention,
    rfm, subscriptions,
};
use weir_schemas::ids::Sequence;
use weir_schemas::problem::Problem;
use weir_schemas::time::Timestamp;

use crate::analytics::{Analytics, Worked, reader};
use crate::format::Format;

/// Every report's route.
pub fn routes(analytics: &Analytics) -> Router {
    macro_rules! table {
        ($($path:literal $report:ident)+) => {
            Router::new()$(.route(Method::POST, concat!("/v1/reports/", $path), {
                let analytics = analytics.clone();
                move |context| {
                    let analytics = analytics.clone();
                    async move {
                        let run = async |client: &_, scope: &_, spec: &$report::Spec, upto: Sequence| {
                            $report::report(client, scope, spec, upto).await
                        };
                        answer(context, &analytics, run).await
                    }
                }
            }))+
        };
    }
    table! {
        "funnel" funnel
        "retention" retention
        "cohort-revenue" cohort_revenue
        "rfm" rfm
        "ltv" ltv
        "subscriptions" subscriptions
        "attribution" attribution
        "paths" paths
        "experiment" experiment
        "heatmap" heatmap
    }
}

async fn answer<S: DeserializeOwned + Serialize>(
    mut context: Context,
    analytics: &Analytics,
    run: impl AsyncFnOnce(&clickhouse::Client, &Scope, &S, Sequence) -> Result<Report, QueryError>,
) -> Result<Response, Problem> {
    let principal = reader(&context)?;
    let format = Format::of(&context)?;
    let (asked, spec): (Asked, S) = read(&mut context).await?;
    let scope = Scope::build(&asked, principal.workspace, Timestamp::now(), principal.partner)?;
    let work = async |client: &_, upto| run(client, &scope, &spec, upto).await;
    let Worked { result: report, as_of, elapsed } = analytics.work(work).await?;
    if let Some(file) = format.rows(analytics, &report.columns, &report.rows, as_of.seq).await? {
        return Ok(file);
    }
    let mut query = scope.resolved();
    if let (Value::Object(query), Ok(Value::Object(own))) = (&mut query, serde_json::to_value(&spec)) {
        query.extend(own);
    }
    let mut body = Map::new();
    body.insert("columns".to_owned(), json!(report.columns));
    body.insert("rows".to_owned(), json!(report.rows));
    body.extend(report.more);
    body.insert(
        "meta".to_owned(),
        json!({
            "as_of": as_of.seq,
            "as_of_time": as_of.at.to_string(),
            "rows_read": report.rows_read,
            "elapsed_ms": elapsed.as_secs_f64() * 1e3,
            "query": query,
        }),
    );
    Ok(answer_json(StatusCode::OK, &body))
}

/// A body's members that all reports share, and the others.
pub(crate) async fn read<S: DeserializeOwned>(context: &mut Context) -> Result<(Asked, S), Problem> {
    let body: Map<String, Value> = context.json(JSON_MAX).await?;
    let (asked, own): (Map<_, _>, Map<_, _>) =
        body.into_iter().partition(|(name, _)| Asked::NAMES.contains(&name.as_str()));
    Ok((from_value(Value::Object(asked))?, from_value(Value::Object(own)).map_err(also_allowed)?))
}

/// A report's own members are not all that it takes.
fn also_allowed(mut problem: Problem) -> Problem {
    for error in &mut problem.errors {
        if error.detail.starts_with("unknown field") {
            error.detail.push_str(&format!(", beside {}", Asked::NAMES.join(", ")));
        }
    }
    problem
}
