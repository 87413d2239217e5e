//! Reports about customers on data that others published figures of: CDNOW's purchases of 1997 and 1998 (P. Fader and
//! B. Hardie, "Forecasting repeat sales at CDNOW", 2001), as they come with the Python package `lifetimes`. The
//! figures here were computed with pandas from the same file.

use std::path::Path;

use serde_json::{Value, json};
use weir_engine::query::reports::{cohort_revenue, ltv, retention, rfm};
use weir_engine::warehouse::rows::EffectRow;
use weir_schemas::effect::Effect;
use weir_schemas::ids::WorkspaceId;
use weir_schemas::time::Timestamp;

use crate::deeds::{Deed, What, effect, scope};
use crate::server::Server;

const UPTO: u64 = u64::MAX >> 1;
const WORKSPACE: WorkspaceId = WorkspaceId(1);

/// A line: customer, date, discs, dollars.
fn purchase(number: u64, line: &str) -> Effect {
    let mut fields = line.split_whitespace();
    let mut next = || fields.next().unwrap();
    let (customer, date, _discs, dollars) = (next(), next(), next(), next());
    let at = format!("{}-{}-{}T00:00:00Z", &date[..4], &date[4..6], &date[6..]);
    let (whole, cents) = dollars.split_once('.').unwrap();
    let deed = Deed {
        visitor: 0,
        customer: customer.parse().unwrap(),
        at: Timestamp::parse(&at).unwrap().0,
        what: What::Convert("sale"),
        medium: "",
        variant: "a",
        amount: whole.parse::<i64>().unwrap() * 100 + cents.parse::<i64>().unwrap(),
        currency: weir_schemas::money::Currency::EUR,
        restated: false,
        number,
    };
    Effect { seq: number, ..effect(WORKSPACE, &deed, "sale") }
}

#[test]
fn cdnows_customers_are_those_that_pandas_finds() {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().join(".weir/cdnow/CDNOW_master.txt");
    let text = std::fs::read_to_string(&file)
        .unwrap_or_else(|error| panic!("{}: {error}: run `make cdnow`", file.display()));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let server = Server::start();
    runtime.block_on(async {
        let client = server.migrated().await;
        let mut effects = client.insert::<EffectRow<'_>>("effects").await.unwrap();
        for (number, line) in text.lines().skip(1).filter(|line| !line.trim().is_empty()).enumerate() {
            effects.write(&EffectRow::new(1, &purchase(number as u64 + 1, line))).await.unwrap();
        }
        effects.end().await.unwrap();

        let scope = scope(json!({"date_range": ["1997-01-01", "1998-07-01"]}), WORKSPACE);
        let report = ltv::report(&client, &scope, &ltv::Spec::default(), UPTO).await.unwrap();
        let row = &report.rows[0];
        // Customers, who paid, orders, cents, the median.
        assert_eq!(
            json!([row[0], row[1], row[3], row[4], row[8]]),
            json!([23_570, 23_570, 69_659, 250_031_563, 4_338])
        );
        assert_eq!(row[2], json!(4_948), "11,662 of them came back");

        let spec = serde_json::from_value(json!({"period": "month", "periods": 12})).unwrap();
        let report = cohort_revenue::report(&client, &scope, &spec, UPTO).await.unwrap();
        let of = |month: &str, period: i64| -> Value {
            let here =
                |row: &&Vec<Value>| row[0].as_str().unwrap().starts_with(month) && row[2] == json!(period);
            let row = report.rows.iter().find(here).unwrap();
            json!([row[1], row[3], row[4], row[5]])
        };
        assert_eq!(of("1997-01", 0), json!([7_846, 7_846, 8_928, 29_906_017]));
        assert_eq!(of("1997-01", 1), json!([7_846, 1_157, 1_627, 6_104_169]));
        assert_eq!(of("1997-01", 3), json!([7_846, 810, 1_091, 4_065_550]));
        assert_eq!(of("1997-02", 6), json!([8_476, 626, 809, 3_130_755]));
        assert_eq!(of("1997-02", 12), json!([8_476, 568, 736, 2_774_588]));
        assert_eq!(of("1997-03", 2), json!([7_248, 752, 954, 3_465_318]));

        let body = json!({"start": "conversion", "period": "month", "periods": 12});
        let spec = serde_json::from_value(body).unwrap();
        let report = retention::report(&client, &scope, &spec, UPTO).await.unwrap();
        let back: Vec<Value> = report.rows.iter().take(4).map(|row| json!([row[1], row[3]])).collect();
        assert_eq!(json!(back), json!([[7_846, 7_846], [7_846, 1_157], [7_846, 964], [7_846, 810]]));

        let spec = serde_json::from_value(json!({"rows": "segments"})).unwrap();
        let report = rfm::report(&client, &scope, &spec, UPTO).await.unwrap();
        assert_eq!(
            report.more["quintiles"],
            json!({"recency": [142, 433, 486, 513], "frequency": [1, 1, 2, 4],
                "monetary": [1_536, 3_135, 5_992, 13_395]})
        );
        let sum: u64 = report.rows.iter().map(|row| row[1].as_u64().unwrap()).sum();
        assert_eq!(sum, 23_570);
    });
}
