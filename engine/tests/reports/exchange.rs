//! Reports about amounts of several currencies against the same reports about amounts that were converted one by
//! one before anything was stored.

use std::collections::HashMap;
use std::sync::Arc;

use proptest::prelude::*;
use serde_json::{Value, json};
use weir_engine::fx::{FxTable, Quoted};
use weir_engine::query::execute::QueryError;
use weir_engine::query::reports::AnyReport;
use weir_schemas::fx::Day;
use weir_schemas::ids::WorkspaceId;
use weir_schemas::money::Currency;
use weir_schemas::time::Timestamp;

use crate::deeds::{BEGIN, Deed, HOUR, deeds, for_random_people, range, scope, store, told};
use crate::server::Server;

const UPTO: u64 = u64::MAX >> 1;
const DAY: i64 = 24 * HOUR;

/// The euro's price in dollars, in hundredths: another one every day.
fn price(day: i64) -> i64 {
    97 + day.rem_euclid(11) * 5
}

fn table() -> FxTable {
    let first = Day::of(Timestamp(BEGIN));
    let quoted = |day: i64| Quoted {
        day: Day(first.0 + day as i32),
        rate: format!("{}.{:02}", price(day) / 100, price(day) % 100).parse().unwrap(),
        source: 0,
    };
    FxTable {
        version: 7,
        base: Some(Currency::EUR),
        reporting: Currency::USD,
        sources: vec!["ECB".to_owned()],
        rates: HashMap::from([(Currency::USD, (0..60).map(quoted).collect())]),
    }
}

fn reports() -> Vec<(&'static str, Value)> {
    vec![
        ("cohort-revenue", json!({"period": "week"})),
        ("ltv", json!({"group_by": "medium"})),
        ("rfm", json!({"rows": "customers"})),
        ("subscriptions", json!({})),
        ("attribution", json!({})),
        ("paths", json!({})),
        ("experiment", json!({})),
    ]
}

#[test]
fn every_conversion_is_converted_at_its_own_days_rate_and_rounded_once() {
    for_random_people(8, (deeds(40, 90), Just(())), async |client, workspace, deeds, ()| {
        let (mixed, single) = (WorkspaceId(workspace.0 + 100_000), WorkspaceId(workspace.0 + 200_000));
        let in_euros = |deed: &Deed| !deed.number.is_multiple_of(3);
        let currency = |deed: &Deed| if in_euros(deed) { Currency::EUR } else { Currency::USD };
        let told_in: Vec<Deed> =
            deeds.iter().map(|deed| Deed { currency: currency(deed), ..deed.clone() }).collect();
        let converted = |deed: &Deed| match in_euros(deed) {
            true => (deed.amount * price((deed.at - BEGIN).div_euclid(DAY)) + 50) / 100,
            false => deed.amount,
        };
        let dollars: Vec<Deed> = (deeds.iter())
            .map(|deed| Deed { currency: Currency::USD, amount: converted(deed), ..deed.clone() })
            .collect();
        store(client, mixed, &told_in).await;
        store(client, single, &dollars).await;
        let rates = Some(Arc::new(table()));
        for (name, own) in reports() {
            let report = AnyReport::read(name, own).unwrap();
            let asked = json!({"date_range": range(3, 40), "timezone": "Europe/Berlin", "currency": "USD"});
            let of_mixed = scope(asked.clone(), mixed).with_rates(rates.clone());
            let converted = told(report.run(client, &of_mixed, UPTO).await)?;
            let expected = told(report.run(client, &scope(asked, single), UPTO).await)?;
            prop_assert_eq!(&converted.rows, &expected.rows, "{}", name);
            prop_assert_eq!(&converted.more, &expected.more, "{}", name);
            if let Some(fx) = converted.fx {
                prop_assert_eq!((&fx["base"], &fx["missing"]), (&json!("USD"), &json!([])));
            }
        }
        Ok(())
    });
}

#[test]
fn a_report_lacks_no_rate_in_silence() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let server = Server::start();
    runtime.block_on(async {
        let client = &server.migrated().await;
        let mixed = WorkspaceId(1);
        let sale = |number: u64, day: i64, currency: Currency| Deed {
            visitor: 1,
            customer: 1_001,
            at: BEGIN + day * DAY,
            what: crate::deeds::What::Convert("sale"),
            medium: "mail",
            variant: "a",
            amount: 100,
            currency,
            restated: false,
            number,
        };
        store(client, mixed, &[sale(1, 1, Currency::EUR), sale(2, 1, Currency::USD)]).await;
        let asked = json!({"date_range": range(0, 40)});
        let refused = |result| match result {
            Err(QueryError::Refused(problem)) => problem.errors[0].clone(),
            other => panic!("{other:?}"),
        };
        let report = AnyReport::read("ltv", json!({})).unwrap();
        let error = refused(report.run(client, &scope(asked.clone(), mixed), UPTO).await);
        assert_eq!(
            (error.field.as_str(), error.detail.contains("EUR and USD")),
            ("filters", true),
            "{error:?}"
        );
        let mut lacking = table();
        lacking.rates.get_mut(&Currency::USD).unwrap().retain(|quoted| quoted.day.0 > 30_000);
        let of_mixed = scope(asked.clone(), mixed).with_rates(Some(Arc::new(lacking)));
        let error = refused(report.run(client, &of_mixed, UPTO).await);
        assert_eq!(
            (error.field.as_str(), error.detail.contains("EUR into USD")),
            ("currency", true),
            "{error:?}"
        );
        let funnel = AnyReport::read("funnel", json!({"steps": ["click", "conversion"]})).unwrap();
        let asked = json!({"date_range": range(0, 40), "currency": "USD"});
        assert_eq!(refused(funnel.run(client, &scope(asked, mixed), UPTO).await).field, "currency");
    });
}
