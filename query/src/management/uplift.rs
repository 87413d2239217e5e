//! `GET /v1/programs/{id}/uplift`: what customers with the program's cashback buy beside those without.

use std::sync::Arc;

use weir_edge::request::Context;
use weir_edge::response::Response;
use weir_schemas::ids::ProgramId;
use weir_schemas::problem::Problem;
use weir_schemas::time::{DAY_MS, Timestamp};

use super::{Management, READERS, found, ok, value};

/// Where no range is asked for, the last so many days.
const DAYS_DEFAULT: i64 = 90;

pub(super) async fn one(context: Context, management: Arc<Management>) -> Result<Response, Problem> {
    let workspace = context.require(READERS)?.workspace;
    let id: ProgramId = context.id("id", "program")?;
    let time = |name: &str| match value(&context, name) {
        None => Ok(None),
        Some(text) => match Timestamp::parse(&text) {
            Ok(at) => Ok(Some(at)),
            Err(_) => Err(Problem::field(name, "must be a time such as 2026-11-01T00:00:00Z")),
        },
    };
    let until = time("to")?.unwrap_or_else(Timestamp::now);
    let from = time("from")?.unwrap_or(Timestamp(until.0 - DAYS_DEFAULT * DAY_MS));
    if from >= until {
        return Err(Problem::field("from", "must be before `to`"));
    }
    let data = management.read(move |books| {
        let known = books.program(workspace, id)?.is_some();
        known.then(|| books.cashback_uplift(workspace, id, (from, until))).transpose()
    });
    let data = found(data.await?, "program")?;
    Ok(ok(&serde_json::json!({"program_id": id, "from": from, "to": until, "data": data})))
}
