//! Questions that are kept: saved queries, and share links by which somebody without a key sees one question's answer.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::ids::{PartnerId, SavedQueryId};
use crate::time::Timestamp;

/// What `report` may name beside the reports: the figures and tables of a dashboard's first page.
pub const OVERVIEW: &str = "overview";

/// A question: the body of a query, or of the report that `report` names.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Question {
    /// `funnel`, `retention`, …, `overview`; none: a query.
    pub report: Option<String>,
    /// As `POST /v1/query` or `POST /v1/reports/…` take it; of an overview only range, time zone and filters.
    pub query: Map<String, Value>,
}

/// A saved query, as far as its maker sets it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct SavedQuerySpec {
    /// For people.
    pub name: String,
    /// For people.
    #[serde(default)]
    pub description: Option<String>,
    /// `funnel`, `retention`, …, `overview`; none: a query.
    #[serde(default)]
    pub report: Option<String>,
    /// As `POST /v1/query` or `POST /v1/reports/…` take it.
    #[schema(value_type = Object)]
    pub query: Map<String, Value>,
    /// How to show it: `table`, `line`, `bar`, … A hint; the engine does not read it.
    #[serde(default)]
    pub visualisation: Option<String>,
    /// The partner that sees it, too, with its own numbers only.
    #[serde(default)]
    #[schema(value_type = Option<String>)]
    pub partner_id: Option<PartnerId>,
}

/// A share link, as it is kept: its question is fixed, whatever becomes of the saved query that it was taken from.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ShareSpec {
    /// For people.
    pub name: String,
    /// What it answers.
    #[serde(flatten)]
    pub question: Question,
    /// How to show it.
    pub visualisation: Option<String>,
    /// Only this partner's numbers.
    pub partner_id: Option<PartnerId>,
    /// Where its question was taken from.
    pub saved_query_id: Option<SavedQueryId>,
    /// From when on it answers no more.
    pub expires_at: Timestamp,
}
