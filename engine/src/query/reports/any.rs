//! The table of reports: what each is called, what it is asked with, and how it is run.

use clickhouse::Client;
use serde_json::Value;
use weir_schemas::ids::Sequence;
use weir_schemas::json::from_value;
use weir_schemas::problem::Problem;

use super::super::execute::QueryError;
use super::scope::{Asked, Scope};
use super::{
    Report, anomalies, attribution, cohort_revenue, experiment, funnel, heatmap, ltv, paths, retention, rfm,
    subscriptions,
};

macro_rules! reports {
    ($($name:literal $variant:ident $report:ident)+) => {
        /// A report's own members, whichever it is.
        #[derive(Debug, Clone)]
        pub enum AnyReport {
            $(
                #[doc = concat!("`", $name, "`")]
                $variant($report::Spec),
            )+
        }

        impl AnyReport {
            /// What reports are called, as in their paths.
            pub const NAMES: &'static [&'static str] = &[$($name),+];

            /// Reads the own members of the report called `name`.
            ///
            /// # Errors
            /// `None` where there is no such report; else 422 that names the field.
            pub fn read(name: &str, own: Value) -> Result<Self, Option<Problem>> {
                let told = |problem| Some(Asked::also_allowed(problem));
                match name {
                    $($name => from_value(own).map(Self::$variant).map_err(told),)+
                    _ => Err(None),
                }
            }

            /// Runs it over everything up to `upto`.
            ///
            /// # Errors
            /// 422 naming a field that does not fit, or the warehouse's failure.
            pub async fn run(
                &self,
                client: &Client,
                scope: &Scope,
                upto: Sequence,
            ) -> Result<Report, QueryError> {
                if matches!(self, Self::Funnel(_) | Self::Retention(_) | Self::Heatmap(_)) {
                    scope.without_amounts("the rows of this report")?;
                }
                match self {
                    $(Self::$variant(spec) => $report::report(client, scope, spec, upto).await,)+
                }
            }

            /// Its own members with their defaults.
            pub fn members(&self) -> Value {
                match self {
                    $(Self::$variant(spec) => serde_json::json!(spec),)+
                }
            }
        }
    };
}

reports! {
    "funnel" Funnel funnel
    "retention" Retention retention
    "cohort-revenue" CohortRevenue cohort_revenue
    "rfm" Rfm rfm
    "ltv" Ltv ltv
    "subscriptions" Subscriptions subscriptions
    "attribution" Attribution attribution
    "paths" Paths paths
    "experiment" Experiment experiment
    "heatmap" Heatmap heatmap
    "anomalies" Anomalies anomalies
}
