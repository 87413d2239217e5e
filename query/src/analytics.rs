//! `POST /v1/query`: the warehouse is brought up to the moment of the question, the query becomes a plan, the
//! plan an answer.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use clickhouse::Client;
use http::{Method, StatusCode};
use weir_edge::problem;
use weir_edge::request::{Context, JSON_MAX};
use weir_edge::response::{Response, json};
use weir_edge::route::Router;
use weir_engine::fx::{FxTable, FxTables};
use weir_engine::keys::Principal;
use weir_engine::query::execute::{Answered, QueryError, execute};
use weir_engine::query::export::{FileFormat, Spec, convert, count_rows, raw};
use weir_engine::query::link_clicks::link_clicks;
use weir_engine::query::link_signals::{Noticed, link_signals};
use weir_engine::query::plan::Plan;
use weir_engine::query::reports::Scope;
use weir_engine::recorder::Recorder;
use weir_engine::warehouse::Warehouse;
use weir_schemas::fact::Role;
use weir_schemas::ids::{LinkId, Sequence, WorkspaceId};
use weir_schemas::problem::Problem;
use weir_schemas::query::{Answer, Cell, Column, Meta, Query};
use weir_schemas::time::Timestamp;

use crate::admission::{Admission, Bounds};
use crate::export::Rows;
use crate::format::Format;
use crate::freshness::{AsOf, fresh};
use crate::recent::{CACHED_ROWS_MAX, Recent};

/// How many queries the warehouse works on at a time; more wait.
pub const QUERIES_MAX: usize = 8;
/// How many of them may be of one workspace.
pub const WORKSPACE_QUERIES_MAX: usize = 6;
/// How many queries wait at most.
pub const QUERIES_WAITING_MAX: usize = 200;
/// How many of them may be of one workspace: several dashboards' pages at once.
pub const WORKSPACE_QUERIES_WAITING_MAX: usize = 100;
/// How many exports of raw rows are written at a time; more wait.
pub const EXPORTS_MAX: usize = 3;
/// How many of them may be of one workspace.
pub const WORKSPACE_EXPORTS_MAX: usize = 2;
/// How many exports wait at most, and how many of one workspace.
pub const EXPORTS_WAITING_MAX: usize = 20;
/// How long a query waits for its turn before it is refused.
pub const TURN_WAIT: Duration = Duration::from_secs(10);
const QUERIES: Bounds = Bounds {
    what: "queries",
    running: QUERIES_MAX,
    running_per_workspace: WORKSPACE_QUERIES_MAX,
    waiting: QUERIES_WAITING_MAX,
    waiting_per_workspace: WORKSPACE_QUERIES_WAITING_MAX,
    patience: TURN_WAIT,
};
const EXPORTS: Bounds = Bounds {
    what: "exports",
    running: EXPORTS_MAX,
    running_per_workspace: WORKSPACE_EXPORTS_MAX,
    waiting: EXPORTS_WAITING_MAX,
    waiting_per_workspace: EXPORTS_WAITING_MAX,
    patience: TURN_WAIT,
};
/// Who may ask.
const READERS: &[Role] = &[Role::Admin, Role::Editor, Role::Viewer, Role::Partner];

/// What queries need.
#[derive(Debug, Clone)]
pub struct Analytics {
    recorder: Recorder,
    warehouse: Warehouse,
    turns: Arc<Admission>,
    exports: Arc<Admission>,
    recent: Arc<Recent>,
    rates: FxTables,
}

/// What the warehouse was asked, and as of when it answered.
#[derive(Debug)]
pub(crate) struct Worked<T> {
    pub(crate) result: T,
    pub(crate) as_of: AsOf,
    pub(crate) elapsed: Duration,
}

/// An export that has begun.
#[derive(Debug)]
pub(crate) struct Exported {
    pub(crate) rows: Rows,
    /// How many there will be.
    pub(crate) count: u64,
    pub(crate) as_of: Sequence,
}

impl Analytics {
    /// Queries over what `recorder` records and `warehouse` stores.
    pub fn new(recorder: Recorder, warehouse: Warehouse) -> Self {
        Self {
            recorder,
            warehouse,
            turns: Arc::new(Admission::new(QUERIES)),
            exports: Arc::new(Admission::new(EXPORTS)),
            recent: Arc::default(),
            rates: FxTables::default(),
        }
    }

    /// With what amounts of several currencies are converted by.
    #[must_use]
    pub fn with_rates(mut self, rates: FxTables) -> Self {
        self.rates = rates;
        self
    }

    /// Answers a plan, as of now.
    pub async fn answer(&self, plan: &Plan) -> Result<Answer, Problem> {
        let started = Instant::now();
        let plan = &plan.clone().with_rates(self.rates.of(plan.workspace()));
        let as_of = self.fresh().await;
        let asked = self.recent.of(plan, as_of.seq);
        // Who comes while the first still waits for the warehouse gets its answer; where the first goes away, the next
        // one asks.
        let answered = asked.get_or_try_init(|| self.ask(plan, as_of.seq)).await?;
        if answered.rows.len() > CACHED_ROWS_MAX {
            self.recent.forget(plan, as_of.seq);
        }
        let answered = Answered::clone(answered);
        let elapsed = started.elapsed();
        metrics::histogram!("weir_query_duration_seconds").record(elapsed.as_secs_f64());
        Ok(Answer {
            columns: plan.columns(),
            rows: answered.rows,
            totals: answered.totals.map(|cells| plan.name_totals(cells)),
            other: answered.other.map(|cells| plan.name_totals(cells)),
            comparison: answered.comparison.map(Box::new),
            meta: Meta {
                as_of: as_of.seq,
                as_of_time: as_of.at.to_string(),
                rows_read: answered.rows_read,
                elapsed_ms: elapsed.as_secs_f64() * 1e3,
                query: plan.resolved(),
                estimates: answered.estimates,
                fx: answered.fx,
            },
        })
    }

    async fn ask(&self, plan: &Plan, upto: Sequence) -> Result<Answered, Problem> {
        let _turn = self.turns.turn(plan.workspace()).await?;
        let client = self.warehouse.client_soon().await.map_err(|error| away(&error))?;
        metrics::counter!("weir_query_executions_total").increment(1);
        execute(&client, plan, upto).await.map_err(|error| told(&error))
    }

    /// Asks the warehouse something when it is this question's turn, over everything up to now.
    pub(crate) async fn work<T>(
        &self,
        workspace: WorkspaceId,
        work: impl AsyncFnOnce(&Client, Sequence) -> Result<T, QueryError>,
    ) -> Result<Worked<T>, Problem> {
        let started = Instant::now();
        let _turn = self.turns.turn(workspace).await?;
        let as_of = fresh(&self.recorder, &self.warehouse).await;
        let client = self.warehouse.client_soon().await.map_err(|error| away(&error))?;
        let result = work(&client, as_of.seq).await.map_err(|error| told(&error))?;
        let elapsed = started.elapsed();
        metrics::histogram!("weir_query_duration_seconds").record(elapsed.as_secs_f64());
        Ok(Worked { result, as_of, elapsed })
    }

    /// The workspace's exchange rates.
    pub(crate) fn rates(&self, workspace: WorkspaceId) -> Option<Arc<FxTable>> {
        self.rates.of(workspace)
    }

    /// Rows that were finished here, written by ClickHouse.
    pub(crate) async fn converted(
        &self,
        columns: &[Column],
        rows: &[Vec<Cell>],
        format: FileFormat,
    ) -> Result<Vec<u8>, Problem> {
        let client = self.warehouse.client_soon().await.map_err(|error| away(&error))?;
        convert(&client, columns, rows, format).await.map_err(|error| told(&error))
    }

    /// Begins an export of raw rows, and keeps its turn until the last of them is sent. `as_of` holds the rows to
    /// what was stored then.
    pub(crate) async fn export(
        &self,
        scope: &Scope,
        spec: &Spec,
        format: FileFormat,
    ) -> Result<Exported, Problem> {
        let turn = self.exports.turn(scope.workspace()).await?;
        let fresh = self.fresh().await.seq;
        let as_of = spec.as_of.map_or(fresh, |as_of| as_of.min(fresh));
        let client = self.warehouse.client_soon().await.map_err(|error| away(&error))?;
        let count = count_rows(&client, scope, spec, as_of).await.map_err(|error| told(&error))?;
        let rows = raw(&client, scope, spec, format, as_of).map_err(|error| told(&error))?;
        let rows = Rows::begin(rows, turn).await.map_err(|error| told(&error))?;
        Ok(Exported { rows, count, as_of })
    }

    /// The counted clicks of links, as of now; a link that is absent has none. `None` without a warehouse.
    pub async fn link_clicks(&self, of: WorkspaceId, links: &[LinkId]) -> Option<HashMap<LinkId, u64>> {
        if links.is_empty() {
            return Some(HashMap::new());
        }
        let client = self.warehouse.client_soon().await.ok()?;
        let as_of = self.fresh().await;
        match link_clicks(&client, of, links, as_of.seq).await {
            Ok(clicks) => Some(clicks),
            Err(error) => {
                tracing::warn!(%error, "links are answered without their clicks");
                None
            }
        }
    }

    /// The suspicious clicks of a link since `since`, as of now.
    pub async fn link_signals(
        &self,
        of: WorkspaceId,
        link: LinkId,
        since: Timestamp,
    ) -> Result<Vec<Noticed>, Problem> {
        let as_of = self.fresh().await;
        let client = self.warehouse.client_soon().await.map_err(|error| away(&error))?;
        link_signals(&client, of, link, since, as_of.seq).await.map_err(|error| away(&error))
    }

    /// How fresh an answer would be now, having the warehouse store what is known.
    pub async fn fresh(&self) -> AsOf {
        fresh(&self.recorder, &self.warehouse).await
    }

    /// The warehouse.
    pub fn warehouse(&self) -> &Warehouse {
        &self.warehouse
    }
}

fn away(error: &dyn std::error::Error) -> Problem {
    tracing::warn!(%error, "a query found no warehouse");
    let detail = "The warehouse is not running; clicks are still recorded. Try again.";
    Problem::new(503, "warehouse_unavailable", "The warehouse is not available", detail)
}

/// What ClickHouse said belongs into the log, not into the answer.
fn told(error: &QueryError) -> Problem {
    let problem = error.problem();
    if problem.status >= 500 {
        tracing::warn!(%error, "a query failed");
    }
    problem
}

/// `POST /v1/query`.
pub fn routes(analytics: Analytics) -> Router {
    Router::new().route(Method::POST, "/v1/query", move |context| query(context, analytics.clone()))
}

/// Who asks: anybody with a key, a partner for its own numbers.
pub(crate) fn reader(context: &Context) -> Result<Principal, Problem> {
    let principal = context.require(READERS)?;
    if principal.role == Role::Partner && principal.partner.is_none() {
        return Err(problem::forbidden("This key belongs to no partner."));
    }
    Ok(principal)
}

async fn query(mut context: Context, analytics: Analytics) -> Result<Response, Problem> {
    let principal = reader(&context)?;
    let format = Format::of(&context)?;
    let query: Query = context.json(JSON_MAX).await?;
    let plan = Plan::build(&query, principal.workspace, Timestamp::now(), principal.partner)?;
    let answer = analytics.answer(&plan).await?;
    let file = format.rows(&analytics, &answer.columns, &answer.rows, answer.meta.as_of).await?;
    Ok(file.unwrap_or_else(|| json(StatusCode::OK, &answer)))
}
