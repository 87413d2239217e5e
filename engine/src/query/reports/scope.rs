//! What every report is asked with: range, time zone and filters, as queries have them.

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use weir_schemas::ids::{PartnerId, WorkspaceId};
use weir_schemas::money::Currency;
use weir_schemas::problem::Problem;
use weir_schemas::query::{Cell, DateRange, Dimension, Field, Filter, Metric, Period, Query};
use weir_schemas::time::Timestamp;

use super::super::condition::{FieldKind, kind, print_id};
use super::super::plan::Plan;
use super::super::range::Range;
use crate::fx::FxTable;

/// The members that all reports share.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Asked {
    /// When; as of queries.
    #[serde(default = "default_range")]
    pub date_range: DateRange,
    /// IANA name.
    #[serde(default = "utc")]
    pub timezone: String,
    /// Which facts; as of queries.
    #[serde(default)]
    pub filters: Option<Filter>,
    /// What amounts are converted into; as of queries. Of reports about money only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub currency: Option<Currency>,
}

impl Asked {
    /// Their names, to tell them from a report's own members.
    pub const NAMES: [&'static str; 4] = ["date_range", "timezone", "filters", "currency"];

    /// A body's members that all reports share, and the report's own.
    pub fn split(body: Map<String, Value>) -> (Map<String, Value>, Map<String, Value>) {
        body.into_iter().partition(|(name, _)| Self::NAMES.contains(&name.as_str()))
    }

    /// What was said of a report's own members, told that these are not all that it takes.
    pub fn also_allowed(mut problem: Problem) -> Problem {
        for error in &mut problem.errors {
            if error.detail.starts_with("unknown field") {
                error.detail.push_str(&format!(", beside {}", Self::NAMES.join(", ")));
            }
        }
        problem
    }
}

fn default_range() -> DateRange {
    DateRange::Named(Period::Days30)
}
fn utc() -> String {
    "UTC".to_owned()
}

/// Which facts a report looks at.
#[derive(Debug, Clone)]
pub struct Scope {
    pub(in crate::query) plan: Plan,
    /// When the report was asked for.
    pub(super) now: Timestamp,
    /// What amounts are to become.
    pub(super) currency: Option<Currency>,
    /// By which rates.
    pub(super) rates: Option<Arc<FxTable>>,
}

impl Scope {
    /// Checks what was asked. `partner` restricts it to one partner's facts.
    ///
    /// # Errors
    /// 422 that names every field that does not fit.
    pub fn build(
        asked: &Asked,
        workspace: WorkspaceId,
        now: Timestamp,
        partner: Option<PartnerId>,
    ) -> Result<Self, Problem> {
        let query = Query {
            // Reports look at clicks, events and conversions: what may be filtered is what all of them may be.
            metrics: vec![Metric::Clicks, Metric::Conversions],
            date_range: asked.date_range.clone(),
            timezone: asked.timezone.clone(),
            dimensions: Vec::new(),
            filters: asked.filters.clone(),
            order_by: Vec::new(),
            limit: 1,
            offset: 0,
            currency: None,
            value_of: None,
            include: Default::default(),
        };
        let plan = Plan::build(&query, workspace, now, partner)?;
        Ok(Self { plan, now, currency: asked.currency, rates: None })
    }

    /// With the workspace's exchange rates, so that amounts of several currencies become one.
    #[must_use]
    pub fn with_rates(mut self, rates: Option<Arc<FxTable>>) -> Self {
        self.rates = rates;
        self
    }

    /// Whose facts.
    pub fn workspace(&self) -> WorkspaceId {
        self.plan.workspace()
    }

    /// Refuses a currency where there are no amounts to convert.
    ///
    /// # Errors
    /// 422.
    pub fn without_amounts(&self, what: &str) -> Result<(), Problem> {
        match self.currency {
            Some(_) => {
                Err(Problem::field("currency", format!("{what} have no amounts that could be converted")))
            }
            None => Ok(()),
        }
    }

    /// The range of facts.
    pub fn range(&self) -> Range {
        self.plan.range()
    }

    /// The range and filters as understood.
    pub fn resolved(&self) -> serde_json::Value {
        let resolved = self.plan.resolved();
        let shared = Asked::NAMES.iter().filter(|name| **name != "currency");
        let members = shared.map(|name| ((*name).to_owned(), resolved[*name].clone()));
        let currency = self.currency.map(|currency| ("currency".to_owned(), serde_json::json!(currency)));
        serde_json::Value::Object(members.chain(currency).collect())
    }

    /// The same facts in another range.
    pub(super) fn within(&self, range: Range) -> Plan {
        let mut plan = self.plan.clone();
        plan.range = range;
        plan
    }

    /// The same facts from the beginning of time to the range's end.
    pub(super) fn ever(&self) -> Plan {
        self.within(Range { from: Timestamp(0), to: self.range().to })
    }
}

/// A dimension to group persons by, named in the field `field`.
///
/// # Errors
/// 422 for a time dimension: reports group by time in their own ways.
pub(super) fn check_group(dimension: &Dimension, field: &str) -> Result<(), Problem> {
    match dimension {
        Dimension::Time(_) => Err(Problem::field(field, "must not be a time dimension")),
        Dimension::Field(Field::Asn) => Err(Problem::field(field, "`asn` is known of clicks only")),
        _ => Ok(()),
    }
}

/// A dimension's value as SQL's `toString` gives it, as a cell.
pub(super) fn key_cell(dimension: &Dimension, text: &str) -> Cell {
    match dimension {
        Dimension::Field(field) => match kind(*field) {
            FieldKind::Id => serde_json::json!(print_id(*field, text.parse().unwrap_or(0))),
            FieldKind::Flag => Cell::Bool(text == "1"),
            FieldKind::Number => serde_json::json!(text.parse::<u64>().unwrap_or(0)),
            FieldKind::Text => Cell::String(text.to_owned()),
        },
        _ => Cell::String(text.to_owned()),
    }
}
