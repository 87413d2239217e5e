//! Clicks and an experiment on data that others published: the small Open Bandit data (Y. Saito et al., "Open Bandit
//! Dataset and Pipeline", 2021), as they come with the Python package `obp`. Two policies, `random` and Bernoulli
//! Thompson sampling (`bts`), showed 10,000 items each in the week from 2019-11-24. Here an impression is a visit of a
//! split link, the policy its variant, the place on the page its UTM medium; what was clicked there is a conversion.
//!
//! Counted with Python's csv: 38 of 10,000 and 42 of 10,000; by place (1, 2, 3) random 13, 14, 11 of 3,322, 3,412,
//! 3,266 and bts 11, 15, 16 of 3,362, 3,317, 3,321. `statsmodels.stats.proportion.proportions_ztest` of 42 and 38 in
//! 10,000 each is z = 0.4481107, p = 0.6540733.

use std::path::Path;

use serde_json::{Value, json};
use weir_engine::query::execute::execute;
use weir_engine::query::plan::Plan;
use weir_engine::query::reports::experiment;
use weir_schemas::ids::WorkspaceId;
use weir_schemas::money::Currency;
use weir_schemas::time::Timestamp;

use crate::deeds::{Deed, NOW, What, scope, store};
use crate::server::Server;

const UPTO: u64 = u64::MAX >> 1;
const WORKSPACE: WorkspaceId = WorkspaceId(1);

/// The lines of a policy's table: a visit each, and a conversion where it was clicked.
fn deeds(policy: &'static str, first: u64, into: &mut Vec<Deed>) {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let file = file.join(format!(".weir/open-bandit/{policy}.csv"));
    let text = std::fs::read_to_string(&file)
        .unwrap_or_else(|error| panic!("{}: {error}: run `make open-bandit`", file.display()));
    for (line, number) in text.lines().skip(1).zip(first..) {
        let fields: Vec<&str> = line.split(',').collect();
        let medium = match fields[3] {
            "1" => "1",
            "2" => "2",
            "3" => "3",
            other => panic!("place {other}"),
        };
        let at = Timestamp::parse(&fields[1].replace(' ', "T")).unwrap().0;
        let visit = Deed {
            visitor: number,
            customer: 0,
            at,
            what: What::Click,
            medium,
            variant: policy,
            amount: 100,
            currency: Currency::EUR,
            restated: false,
            number: number * 2,
        };
        if fields[4] == "1" {
            let number = visit.number + 1;
            into.push(Deed { what: What::Convert("sale"), number, ..visit.clone() });
        }
        into.push(visit);
    }
}

#[test]
fn two_policies_are_what_statsmodels_finds() {
    let mut all = Vec::new();
    deeds("random", 1, &mut all);
    deeds("bts", 20_001, &mut all);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let server = Server::start();
    runtime.block_on(async {
        let client = server.migrated().await;
        store(&client, WORKSPACE, &all).await;
        let week = json!(["2019-11-24", "2019-12-01"]);

        let query = json!({"metrics": ["clicks", "visitors", "conversions"], "dimensions": ["variant", "medium"],
            "date_range": week, "order_by": [["variant", "desc"], ["medium", "asc"]]});
        let query = serde_json::from_value(query).unwrap();
        let plan = Plan::build(&query, WORKSPACE, Timestamp(NOW), None).unwrap();
        let answered = execute(&client, &plan, UPTO).await.unwrap();
        assert_eq!(
            json!(answered.rows),
            json!([
                ["random", "1", 3_322, 3_322, 13],
                ["random", "2", 3_412, 3_412, 14],
                ["random", "3", 3_266, 3_266, 11],
                ["bts", "1", 3_362, 3_362, 11],
                ["bts", "2", 3_317, 3_317, 15],
                ["bts", "3", 3_321, 3_321, 16],
            ])
        );

        let spec = serde_json::from_value(json!({"control": "random"})).unwrap();
        let scope = scope(json!({"date_range": week}), WORKSPACE);
        let report = experiment::report(&client, &scope, &spec, UPTO).await.unwrap();
        let column = |name: &str| report.columns.iter().position(|column| column.name == name).unwrap();
        let arm = |name: &str| report.rows.iter().find(|row| row[0] == name).unwrap();
        let told = |name: &str| -> Vec<Value> { arm(name)[1..3].to_vec() };
        assert_eq!(told("random"), [json!(10_000), json!(38)]);
        assert_eq!(told("bts"), [json!(10_000), json!(42)]);
        let p = arm("bts")[column("p_value")].as_f64().unwrap();
        assert!((p - 0.654_073_3).abs() < 1e-6, "{p}");
        let always = arm("bts")[column("always_valid_p_value")].as_f64().unwrap();
        assert!(always >= p, "{always}: looking every day finds no more than looking once");
        assert_eq!(report.more["sample_ratio"]["mismatch"], false);
    });
}
