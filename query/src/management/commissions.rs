//! `GET /v1/commissions`, `GET /v1/commissions/{id}`. A partner's key sees that partner's.

use std::sync::Arc;

use weir_edge::request::Context;
use weir_edge::response::Response;
use weir_engine::books::CommissionFilter;
use weir_schemas::commission::{CommissionKind, CommissionStatus};
use weir_schemas::ids::CommissionId;
use weir_schemas::problem::Problem;

use super::{Management, found, id_of, links, ok, own_partner, page_of, value};

pub(super) async fn list(context: Context, management: Arc<Management>) -> Result<Response, Problem> {
    let (principal, own) = links::reader(&context)?;
    let of = page_of(&context)?;
    let status = match value(&context, "status") {
        None => None,
        Some(name) => Some(CommissionStatus::from_name(&name).ok_or_else(|| {
            Problem::field("status", "must be pending, approved, paid, rejected, reversed or held")
        })?),
    };
    let kind = match value(&context, "kind") {
        None => None,
        Some(name) => Some(CommissionKind::from_name(&name).ok_or_else(|| {
            Problem::field("kind", "must be commission, referral, bonus, cashback or welcome")
        })?),
    };
    let mut filter = CommissionFilter {
        partner: own_partner(&context, own)?,
        customer: None,
        program: id_of(&context, "program_id")?,
        conversion: id_of(&context, "conversion_id")?,
        payout: id_of(&context, "payout_id")?,
        kind,
        status,
    };
    let workspace = principal.workspace;
    let customer = value(&context, "customer_id").filter(|_| own.is_none());
    let page = management.read(move |books| {
        if let Some(name) = customer {
            let known = books.customer(workspace, &name)?;
            // A customer that nobody knows has earned nothing.
            filter.customer = Some(known.map_or(weir_schemas::ids::CustomerId(0), |known| known.id));
        }
        books.commissions(workspace, &filter, &of)
    });
    Ok(ok(&page.await?))
}

pub(super) async fn one(context: Context, management: Arc<Management>) -> Result<Response, Problem> {
    let (principal, own) = links::reader(&context)?;
    let id: CommissionId = context.id("id", "commission")?;
    let workspace = principal.workspace;
    let commission = management.read(move |books| books.commission(workspace, id)).await?;
    let visible = commission.filter(|commission| own.is_none() || commission.partner_id == own);
    Ok(ok(&found(visible, "commission")?))
}
