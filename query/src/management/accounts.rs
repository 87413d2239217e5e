//! `GET /v1/accounts`, `GET /v1/accounts/{id}`, `GET /v1/accounts/{id}/entries` with the running balance. A partner's
//! key sees that partner's accounts.

use std::sync::Arc;

use weir_edge::request::Context;
use weir_edge::response::Response;
use weir_engine::books::AccountFilter;
use weir_engine::keys::Principal;
use weir_schemas::ids::{AccountId, CustomerId, PartnerId};
use weir_schemas::ledger::{Account, Owner};
use weir_schemas::problem::Problem;

use super::{Management, found, id_of, links, ok, own_partner, page_of, value};

pub(super) async fn list(context: Context, management: Arc<Management>) -> Result<Response, Problem> {
    let (principal, own) = links::reader(&context)?;
    let of = page_of(&context)?;
    let mut owner = match value(&context, "owner") {
        None => None,
        Some(name) => Some(
            Owner::from_name(&name)
                .ok_or_else(|| Problem::field("owner", "must be merchant, platform, partner or customer"))?,
        ),
    };
    let mut owner_id = None;
    if let Some(partner) = own_partner(&context, own)? {
        (owner, owner_id) = (Some(Owner::Partner), Some(partner.0));
    } else if let Some(text) = value(&context, "owner_id") {
        let partner = text.parse::<PartnerId>().map(|id| (Owner::Partner, id.0));
        let customer = || text.parse::<CustomerId>().map(|id| (Owner::Customer, id.0));
        let (kind, id) = partner
            .or_else(|_| customer())
            .map_err(|_| Problem::field("owner_id", "must be the id of a partner or a customer"))?;
        (owner, owner_id) = (Some(kind), Some(id));
    }
    let currency = match value(&context, "currency") {
        None => None,
        Some(code) => Some(code.parse().map_err(|error| Problem::field("currency", format!("{error}")))?),
    };
    let kind = value(&context, "kind");
    let customer = id_of::<CustomerId>(&context, "customer")?.filter(|_| own.is_none());
    if let Some(customer) = customer {
        (owner, owner_id) = (Some(Owner::Customer), Some(customer.0));
    }
    let filter = AccountFilter { owner, owner_id, kind, currency };
    let workspace = principal.workspace;
    let page = management.read(move |books| books.accounts(workspace, &filter, &of)).await?;
    Ok(ok(&page))
}

pub(super) async fn one(context: Context, management: Arc<Management>) -> Result<Response, Problem> {
    let (principal, own) = links::reader(&context)?;
    Ok(ok(&visible(&context, &management, principal, own).await?))
}

pub(super) async fn entries(context: Context, management: Arc<Management>) -> Result<Response, Problem> {
    let (principal, own) = links::reader(&context)?;
    let of = page_of(&context)?;
    let account = visible(&context, &management, principal, own).await?.id;
    let workspace = principal.workspace;
    let page = management.read(move |books| books.entries(workspace, account, &of)).await?;
    Ok(ok(&found(page, "account")?))
}

/// The account asked for, where the key may see it.
async fn visible(
    context: &Context,
    management: &Management,
    principal: Principal,
    own: Option<PartnerId>,
) -> Result<Account, Problem> {
    let id: AccountId = context.id("id", "account")?;
    let workspace = principal.workspace;
    let account = management.read(move |books| books.account(workspace, id)).await?;
    let mine = |account: &Account| {
        own.is_none_or(|own| account.owner_id.as_deref() == Some(own.to_string().as_str()))
    };
    found(account.filter(mine), "account")
}
