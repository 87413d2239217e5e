//! Alerts: rules about a metric over a sliding window, watched all the time. What happens comes from the live
//! follower: each rule is a live subscription by the minute ([`series`]), so a rule sees a click as soon as a
//! dashboard does and no history is read again and again. What cannot be added up from minutes (distinct visitors,
//! percentiles) and the hourly anomalies are asked of the warehouse, at most once a minute.
//!
//! [`rule`] decides, as a pure function of rule, reading and time; [`watcher`] feeds it and submits what it decided
//! as a fact. So a change is told once whatever restarts in between: the books know how each alert stands.

mod rule;
mod series;
mod watcher;

pub use watcher::Alerts;

use weir_schemas::alert::{AlertKind, AlertSpec};
use weir_schemas::ids::WorkspaceId;
use weir_schemas::problem::{FieldError, Problem};
use weir_schemas::query::Metric;
use weir_schemas::time::Timestamp;

use crate::query::plan::Plan;

/// Checks a rule as it is given.
///
/// # Errors
/// 422 that names every field that does not fit.
pub fn check(spec: &AlertSpec, workspace: WorkspaceId, now: Timestamp) -> Result<(), Problem> {
    let mut errors = spec.check();
    let query = series::query(spec, now);
    if let Err(problem) = Plan::build(&query, workspace, now, spec.partner_id) {
        errors.extend(problem.errors);
    }
    if spec.kind == AlertKind::NoData && matches!(spec.metric, Metric::LatencyP50 | Metric::LatencyP99) {
        let detail = "is a percentile: nothing happened where there are no `clicks`".to_owned();
        errors.push(FieldError { field: "metric".to_owned(), detail });
    }
    if errors.is_empty() { Ok(()) } else { Err(Problem::fields(errors)) }
}
