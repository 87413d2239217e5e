//! Erasure in the warehouse: what callers said of a customer in words is rewritten, amounts and goods stay. ClickHouse
//! deletes the files of before by itself, some minutes later (`old_parts_lifetime`).

use clickhouse::Client;
use clickhouse::error::Error;
use weir_schemas::effect::LASTING_PROPERTIES;
use weir_schemas::ids::CustomerId;

/// Rewrites the rows of these customers; returns once ClickHouse has. Only ids stand in the statements.
pub async fn erase(client: &Client, customers: &[CustomerId]) -> Result<(), Error> {
    if customers.is_empty() {
        return Ok(());
    }
    let ids: Vec<String> = customers.iter().map(|customer| customer.0.to_string()).collect();
    let effects = format!(
        "ALTER TABLE effects UPDATE properties = mapFilter((name, value) -> name IN ('{}'), properties) \
         WHERE customer IN ({}) SETTINGS mutations_sync = 2",
        LASTING_PROPERTIES.join("', '"),
        ids.join(", ")
    );
    client.query_raw(&effects).execute().await?;
    let printed: Vec<String> =
        customers.iter().map(|customer| format!("position(payload, '{customer}') > 0")).collect();
    let dead = format!(
        "ALTER TABLE dead_letter UPDATE payload = '' WHERE source = 'effects' AND ({}) SETTINGS mutations_sync = 2",
        printed.join(" OR ")
    );
    client.query_raw(&dead).execute().await
}
