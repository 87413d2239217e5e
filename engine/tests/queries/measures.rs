//! Numbers that events bring: a real ClickHouse against the twin.

use proptest::prelude::*;
use proptest::test_runner::{TestCaseError, TestRunner};
use weir_engine::query::execute::execute;
use weir_engine::query::plan::Plan;
use weir_schemas::ids::WorkspaceId;

use crate::facts::{entries, query};
use crate::folding::NOW;
use crate::server::Server;
use crate::twin;
use crate::warehouse::{of_workspace, store};

/// Numbers against the twin, which takes back what was restated.
#[test]
fn the_warehouse_measures_as_the_twin_does() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let server = Server::start();
    let client = runtime.block_on(server.migrated());
    let config = ProptestConfig { cases: 40, failure_persistence: None, ..ProptestConfig::default() };
    let measuring =
        query().prop_filter("no money", |query| !query.metrics.iter().any(|metric| metric.is_money()));
    let facts = (entries(), prop::collection::vec(measuring, 5));
    let cases = std::cell::Cell::new(0);
    let result = TestRunner::new(config).run(&facts, |(entries, queries)| {
        let workspace = WorkspaceId(1 + cases.replace(cases.get() + 1));
        let entries = of_workspace(entries, workspace);
        runtime.block_on(async {
            store(&client, &entries).await;
            for query in queries {
                let Ok(plan) = Plan::build(&query, workspace, NOW, None) else { continue };
                let answered = execute(&client, &plan, entries.len() as u64).await;
                let answered =
                    answered.map_err(|error| TestCaseError::fail(format!("{error}\n{query:?}")))?;
                let (rows, totals) = twin::answer(&query, &entries).unwrap();
                prop_assert_eq!(answered.rows, rows, "{:?}", query);
                prop_assert_eq!(answered.totals, query.include.total.then_some(totals), "{:?}", query);
            }
            Ok(())
        })
    });
    if let Err(error) = result {
        panic!("{error}");
    }
}
