//! `GET /v1/conversions`, `GET /v1/conversions/{id}`, `GET /v1/conversions/{id}/trace`. A partner's key sees those
//! credited to that partner, without the customer.

use std::sync::Arc;

use weir_edge::request::Context;
use weir_edge::response::Response;
use weir_engine::books::{ConversionFilter, Page};
use weir_schemas::conversion::Conversion;
use weir_schemas::ids::{ConversionId, PartnerId};
use weir_schemas::problem::Problem;

use super::{Management, READERS, found, links, ok, own_partner, page_of, value};

pub(super) async fn list(context: Context, management: Arc<Management>) -> Result<Response, Problem> {
    let (principal, own) = links::reader(&context)?;
    let workspace = principal.workspace;
    let of = page_of(&context)?;
    let filter = ConversionFilter {
        order_id: value(&context, "order_id"),
        customer: value(&context, "customer_id").filter(|_| own.is_none()),
        partner: own_partner(&context, own)?,
    };
    let page = management.read(move |books| books.conversions(workspace, &filter, &of)).await?;
    let data = page.data.into_iter().map(|conversion| shown(conversion, own)).collect();
    Ok(ok(&Page { data, next_cursor: page.next_cursor }))
}

pub(super) async fn one(context: Context, management: Arc<Management>) -> Result<Response, Problem> {
    let (principal, own) = links::reader(&context)?;
    let workspace = principal.workspace;
    let id: ConversionId = context.id("id", "conversion")?;
    let conversion = management.read(move |books| books.conversion(workspace, id)).await?;
    let credited = |conversion: &Conversion| {
        let to = conversion.attribution.as_ref().and_then(|attribution| attribution.partner_id);
        own.is_none_or(|own| to == Some(own))
    };
    let conversion = found(conversion.filter(credited), "conversion")?;
    Ok(ok(&shown(conversion, own)))
}

/// A partner sees what it earned and for what, not who bought, nor what others earned.
fn shown(mut conversion: Conversion, own: Option<PartnerId>) -> Conversion {
    if let Some(own) = own {
        (conversion.customer, conversion.customer_id, conversion.subscription_id) = (None, None, None);
        conversion.properties.clear();
        conversion.commissions.retain(|line| line.partner_id == own);
    }
    conversion
}

pub(super) async fn trace(context: Context, management: Arc<Management>) -> Result<Response, Problem> {
    let workspace = context.require(READERS)?.workspace;
    let id: ConversionId = context.id("id", "conversion")?;
    let trace = management.read(move |books| books.trace(workspace, id)).await?;
    Ok(ok(&found(trace, "conversion")?))
}
