//! `GET /v1/sites`, `GET /v1/sites/{id}`.

use std::sync::Arc;

use serde_json::{Value, json};
use weir_edge::request::Context;
use weir_edge::response::Response;
use weir_engine::books::Site;
use weir_schemas::event::snippet;
use weir_schemas::ids::SiteId;
use weir_schemas::problem::Problem;

use super::{Management, READERS, found, ok, page_of_all};

/// As it is answered, with what its pages are to hold.
fn answer(management: &Management, site: &Site) -> Value {
    let mut answer = json!(site);
    answer["snippet"] = json!(snippet(&management.public_url, site.id));
    answer
}

pub(super) async fn list(context: Context, management: Arc<Management>) -> Result<Response, Problem> {
    let workspace = context.require(READERS)?.workspace;
    let sites = management.read(move |books| books.sites(workspace)).await?;
    let data: Vec<Value> = sites.iter().map(|site| answer(&management, site)).collect();
    page_of_all(&context, data)
}

pub(super) async fn one(context: Context, management: Arc<Management>) -> Result<Response, Problem> {
    let workspace = context.require(READERS)?.workspace;
    let id: SiteId = context.id("id", "site")?;
    let sites = management.read(move |books| books.sites(workspace)).await?;
    let site = found(sites.into_iter().find(|site| site.id == id), "site")?;
    Ok(ok(&answer(&management, &site)))
}
