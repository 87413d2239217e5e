//! Questions that are kept rather than asked at once: what a saved query, a share link or an alert holds, read and
//! checked as the call itself would be.

use serde_json::{Value, json};
use weir_schemas::ids::{PartnerId, WorkspaceId};
use weir_schemas::json::from_value;
use weir_schemas::problem::Problem;
use weir_schemas::query::Query;
use weir_schemas::saved::{OVERVIEW, Question as Kept};
use weir_schemas::time::{DAY_MS, Timestamp};

use super::plan::Plan;
use super::reports::{AnyReport, Asked, Scope};

/// A question that can be answered.
#[derive(Debug, Clone)]
pub enum Question {
    /// A query.
    Query(Box<Plan>),
    /// A report.
    Report(Box<Scope>, Box<AnyReport>),
    /// The panels of an overview, each a query with its name.
    Overview(Vec<(&'static str, Plan)>),
}

impl Question {
    /// Reads and checks a question of `workspace` asked at `now`; `partner` restricts it to one partner's numbers.
    ///
    /// # Errors
    /// 422 that names every field that does not fit, within `query`.
    pub fn build(
        kept: &Kept,
        workspace: WorkspaceId,
        now: Timestamp,
        partner: Option<PartnerId>,
    ) -> Result<Self, Problem> {
        let within = |problem| within("query", problem);
        match kept.report.as_deref() {
            None => {
                let query: Query = from_value(Value::Object(kept.query.clone())).map_err(within)?;
                Ok(Self::Query(Box::new(Plan::build(&query, workspace, now, partner).map_err(within)?)))
            }
            Some(OVERVIEW) => {
                let asked: Asked = from_value(Value::Object(kept.query.clone())).map_err(within)?;
                Self::overview(&asked, workspace, now, partner).map_err(within)
            }
            Some(name) => {
                let (asked, own) = Asked::split(kept.query.clone());
                let report = AnyReport::read(name, Value::Object(own))
                    .map_err(|problem| problem.map_or_else(|| unknown_report(name), within))?;
                let asked: Asked = from_value(Value::Object(asked)).map_err(within)?;
                let scope = Scope::build(&asked, workspace, now, partner).map_err(within)?;
                Ok(Self::Report(Box::new(scope), Box::new(report)))
            }
        }
    }

    fn overview(
        asked: &Asked,
        workspace: WorkspaceId,
        now: Timestamp,
        partner: Option<PartnerId>,
    ) -> Result<Self, Problem> {
        let days = Scope::build(asked, workspace, now, partner)?.range();
        let bucket = match days.to.0.min(now.0) - days.from.0.max(0) {
            span if span <= 2 * DAY_MS => "time:hour",
            span if span <= 400 * DAY_MS => "time:day",
            _ => "time:month",
        };
        let mut panels = Vec::new();
        for (name, own) in panels_of(bucket) {
            let mut query = json!(asked);
            if let (Value::Object(query), Value::Object(own)) = (&mut query, own) {
                query.extend(own);
            }
            let query: Query = from_value(query)?;
            panels.push((name, Plan::build(&query, workspace, now, partner)?));
        }
        Ok(Self::Overview(panels))
    }
}

/// What an overview asks: the first page's figures, its series and its tables.
fn panels_of(bucket: &str) -> Vec<(&'static str, Value)> {
    const COUNTS: [&str; 3] = ["clicks", "visitors", "conversions"];
    let by = |dimension: &str| {
        let order = json!([["clicks", "desc"]]);
        json!({"metrics": COUNTS, "dimensions": [dimension], "order_by": order, "limit": 10})
    };
    let figures = ["clicks", "visitors", "leads", "conversions", "orders", "conversion_rate"];
    let money = ["revenue", "refunds", "net_revenue", "orders"];
    vec![
        ("totals", json!({"metrics": figures, "include": {"compare": "previous_period"}})),
        ("money", json!({"metrics": money, "dimensions": ["currency"], "limit": 20})),
        (
            "series",
            json!({"metrics": COUNTS, "dimensions": [bucket], "order_by": [[bucket, "asc"]],
            "limit": 1_000, "include": {"zero_fill": true}}),
        ),
        ("links", by("link")),
        ("countries", by("country")),
        ("referrers", by("referrer")),
        ("devices", by("device")),
        ("campaigns", by("utm_campaign")),
    ]
}

fn unknown_report(name: &str) -> Problem {
    let names = AnyReport::NAMES.join(", ");
    Problem::field(
        "report",
        format!("`{name}` is no report; allowed: {names}, {OVERVIEW}, or none for a query"),
    )
}

/// The same problem, each of its fields inside `field`.
fn within(field: &str, mut problem: Problem) -> Problem {
    for error in &mut problem.errors {
        error.field = if error.field == "." || error.field == "body" {
            field.to_owned()
        } else {
            format!("{field}.{}", error.field)
        };
    }
    match problem.errors.is_empty() {
        true => problem,
        false => Problem::fields(problem.errors),
    }
}
