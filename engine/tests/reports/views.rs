//! The documented views: what they print is what the API prints.

use clickhouse::Client;
use proptest::prelude::*;
use proptest::test_runner::TestCaseError;
use weir_schemas::ids::{ClickId, ConversionId, CustomerId, LinkId};

use crate::deeds::{What, deeds, for_random_people};

async fn lines(client: &Client, sql: &str) -> Result<Vec<String>, TestCaseError> {
    let fail = |error: clickhouse::error::Error| TestCaseError::fail(error.to_string());
    let mut cursor = client.query(sql).fetch_bytes("TSV").map_err(fail)?;
    let bytes = cursor.collect().await.map_err(fail)?;
    Ok(String::from_utf8(bytes.to_vec()).unwrap().lines().map(str::to_owned).collect())
}

#[test]
fn views_print_ids_as_the_api_does_and_leave_nothing_out() {
    for_random_people(8, (deeds(14, 60), Just(())), async |client, workspace, deeds, ()| {
        let of = |what: fn(&What) -> bool| deeds.iter().filter(move |deed| what(&deed.what));
        let ask = |columns: &str, view: &str| {
            format!("SELECT {columns} FROM {view} WHERE workspace = {} ORDER BY seq, {columns}", workspace.0)
        };
        let clicks = lines(client, &ask("id, link, hex(0), medium", "clicks_v1")).await?;
        let expected: Vec<String> = of(|what| matches!(what, What::Click | What::Robot | What::Judged))
            .map(|deed| format!("{}\t{}\t00\t", ClickId::new(deed.at, 1, 0, deed.number), LinkId(7)))
            .collect();
        prop_assert_eq!(clicks.len(), expected.len());
        for (got, expected) in clicks.iter().zip(&expected) {
            prop_assert!(got.starts_with(expected.as_str()), "{} {}", got, expected);
        }
        let in_force = lines(client, &ask("verdict, first_verdict", "clicks_v1")).await?;
        let expected: Vec<&str> = of(|what| matches!(what, What::Click | What::Robot | What::Judged))
            .map(|deed| match deed.what {
                What::Judged => "blocked\tcounted",
                What::Robot => "bot\tbot",
                _ => "counted\tcounted",
            })
            .collect();
        prop_assert_eq!(in_force, expected);
        let sales = "conversion, if(customer = '', '-', customer), sum(revenue)";
        let sql = format!(
            "SELECT {sales} FROM conversions_v1 WHERE workspace = {} AND event = 'sale' GROUP BY conversion, customer \
             HAVING sum(conversions) > 0 ORDER BY conversion",
            workspace.0
        );
        let expected: Vec<String> = of(|what| *what == What::Convert("sale"))
            .map(|deed| {
                let customer =
                    CustomerId(deed.customer).some().map_or_else(|| "-".to_owned(), |id| id.to_string());
                format!("{}\t{customer}\t{}", ConversionId(1_000_000 + deed.number), deed.amount)
            })
            .collect();
        prop_assert_eq!(lines(client, &sql).await?, expected);
        let events = lines(client, &ask("event, kind", "events_v1")).await?;
        prop_assert_eq!(events.len(), of(|what| matches!(what, What::Page(_))).count());
        Ok(())
    });
}

#[test]
fn every_panel_of_the_grafana_dashboard_is_answered() {
    let dashboard: serde_json::Value =
        serde_json::from_str(include_str!("../../../docs/grafana/weir.json")).unwrap();
    let panels = dashboard["panels"].as_array().unwrap().clone();
    assert!(panels.len() > 5);
    // Few cases: each must have rows.
    let rows = deeds(14, 60).prop_filter("somebody does something", |deeds| !deeds.is_empty());
    for_random_people(2, (rows, Just(())), async |client, workspace, _, ()| {
        for panel in &panels {
            let sql = panel["targets"][0]["rawSql"].as_str().unwrap();
            // What Grafana's data source makes of its macros.
            let sql = sql
                .replace("$__timeFilter(at)", "at >= toDateTime(0) AND at <= toDateTime(4000000000)")
                .replace("$__timeInterval(at)", "toStartOfInterval(toDateTime(at), INTERVAL 3600 second)")
                .replace("$workspace", &workspace.0.to_string());
            lines(client, &sql).await?;
        }
        Ok(())
    });
}
