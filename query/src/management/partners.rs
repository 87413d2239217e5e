//! `GET /v1/partners`, `GET /v1/partners/{id}`. A partner's key sees that partner.

use std::sync::Arc;

use weir_edge::request::Context;
use weir_edge::response::Response;
use weir_engine::books::{Page, PartnerFilter, StoredPartner, open_partner};
use weir_schemas::ids::{PartnerId, ProgramId};
use weir_schemas::partner::{Partner, PartnerStatus};
use weir_schemas::problem::Problem;

use super::{Management, READERS, found, links, ok, page_of, value};

/// As it is answered: with its mail address.
fn answer(management: &Management, (partner, sealed): StoredPartner) -> Partner {
    let email = open_partner(&management.keyring, sealed.as_ref()).email;
    Partner { email, ..partner }
}

pub(super) async fn list(context: Context, management: Arc<Management>) -> Result<Response, Problem> {
    let workspace = context.require(READERS)?.workspace;
    let of = page_of(&context)?;
    let bad = |field: &str, detail: String| Problem::field(field, detail);
    let status = match value(&context, "status") {
        None => None,
        Some(text) => Some(
            serde_json::from_value::<PartnerStatus>(text.into())
                .map_err(|_| bad("status", "must be pending, approved, suspended or rejected".to_owned()))?,
        ),
    };
    let program = match value(&context, "program_id") {
        None => None,
        Some(text) => Some(text.parse::<ProgramId>().map_err(|error| bad("program_id", error.to_string()))?),
    };
    let filter =
        PartnerFilter { status, program, code: value(&context, "code"), search: value(&context, "search") };
    let page = management.read(move |books| books.partners(workspace, &filter, &of)).await?;
    let data: Vec<Partner> = page.data.into_iter().map(|partner| answer(&management, partner)).collect();
    Ok(ok(&Page { data, next_cursor: page.next_cursor }))
}

pub(super) async fn one(context: Context, management: Arc<Management>) -> Result<Response, Problem> {
    let (principal, own) = links::reader(&context)?;
    let id: PartnerId = context.id("id", "partner")?;
    let workspace = principal.workspace;
    let partner = management.read(move |books| books.partner(workspace, id)).await?;
    let partner = found(partner.filter(|_| own.is_none_or(|own| own == id)), "partner")?;
    Ok(ok(&answer(&management, partner)))
}
