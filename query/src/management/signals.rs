//! `GET /v1/links/{id}/signals`: what makes a link's clicks suspicious, how often, and the last of each with
//! its evidence.

use std::sync::Arc;

use serde_json::{Value, json};
use weir_edge::request::Context;
use weir_edge::response::Response;
use weir_engine::query::link_signals::Noticed;
use weir_schemas::ids::{ClickId, LinkId};
use weir_schemas::problem::Problem;
use weir_schemas::time::{DAY_MS, Timestamp};

use super::links::reader;
use super::{Management, found, ok};

/// How far back it is looked.
const SINCE_MS: i64 = 30 * DAY_MS;

pub(super) async fn of_link(context: Context, management: Arc<Management>) -> Result<Response, Problem> {
    let (principal, own) = reader(&context)?;
    let id: LinkId = context.id("id", "link")?;
    let workspace = principal.workspace;
    let link = management.read(move |books| books.link(workspace, id)).await?;
    found(link.filter(|link| own.is_none() || link.spec.partner_id == own), "link")?;
    let since = Timestamp(Timestamp::now().0 - SINCE_MS);
    let noticed = management.analytics.link_signals(workspace, id, since).await?;
    let told = |noticed: Noticed| -> Value {
        let recent: Vec<Value> = noticed
            .recent
            .into_iter()
            .map(|(id, at, evidence)| json!({"click_id": ClickId(id), "at": Timestamp(at), "evidence": evidence}))
            .collect();
        json!({"signal": noticed.signal, "clicks": noticed.clicks, "recent": recent})
    };
    let data: Vec<Value> = noticed.into_iter().map(told).collect();
    Ok(ok(&json!({"link_id": id, "since": since, "data": data})))
}
