//! The read-only user of docs/analysts.md. No registry has a ClickHouse that knows users (Debian's is of 2018),
//! and libchdb cannot create any: its one user gets the recipe's grants instead, on the folder of a stopped engine.

use std::path::Path;

use serde_json::json;

use super::engine::{Settings, exited_with};
use super::python::passes;

#[test]
fn the_recipes_user_reads_the_views_and_nothing_else() {
    let folder = tempfile::tempdir().expect("a folder");
    let data = folder.path().join("data");
    let engine = Settings::new(&data).start();
    engine.make_link("shop");
    let token = super::engine::token_of(&engine.click("shop"));
    engine.click("shop");
    let sale = json!({"event": "sale", "order_id": "1", "wclid": token, "amount": {"amount": 500, "currency": "EUR"}});
    engine.call("POST", "/v1/conversions", Some(&sale), 201);
    super::engine::wait_for("everything is stored", || {
        let asked = json!({"metrics": ["clicks", "revenue"], "date_range": "7d"});
        let answer = engine.api("POST", "/v1/query", Some(&asked)).json();
        (answer["rows"] == json!([[2, 500]])).then_some(())
    });
    let (status, log) = engine.stop();
    assert!(exited_with(status, 0), "{log}");
    let library = weir_embedded::locate(None).expect("libchdb");
    let docs = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/analysts.md");
    // Nothing of Python's own is needed; the packages are there for the others.
    passes("analyst.py", "pyarrow", |command| {
        command.args([library.as_path(), &data.join("clickhouse"), &docs, folder.path()]);
    });
}
