//! `GET /v1/milestones`: how each stands, and `/v1/milestones/reached`. A partner's key sees that partner's,
//! and none that count all partners together.

use std::sync::Arc;

use weir_edge::request::Context;
use weir_edge::response::Response;
use weir_engine::books::MilestoneFilter;
use weir_schemas::ids::PartnerId;
use weir_schemas::problem::Problem;
use weir_schemas::time::Timestamp;

use super::{Management, id_of, links, ok, own_partner, page_of, page_of_all};

fn filter(context: &Context, own: Option<PartnerId>) -> Result<MilestoneFilter, Problem> {
    Ok(MilestoneFilter {
        program: id_of(context, "program_id")?,
        partner: own_partner(context, own)?,
        partners_only: own.is_some(),
    })
}

pub(super) async fn list(context: Context, management: Arc<Management>) -> Result<Response, Problem> {
    let (principal, own) = links::reader(&context)?;
    let filter = filter(&context, own)?;
    let (workspace, now) = (principal.workspace, Timestamp::now());
    let data = management.read(move |books| books.milestones(workspace, filter, now)).await?;
    page_of_all(&context, data)
}

pub(super) async fn reached(context: Context, management: Arc<Management>) -> Result<Response, Problem> {
    let (principal, own) = links::reader(&context)?;
    let (filter, of) = (filter(&context, own)?, page_of(&context)?);
    let workspace = principal.workspace;
    Ok(ok(&management.read(move |books| books.milestones_reached(workspace, filter, &of)).await?))
}
