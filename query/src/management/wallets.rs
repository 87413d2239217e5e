//! `GET /v1/customers/{id}/wallet` and its `/history`; the customer by the caller's id or by Weir's.

use std::sync::Arc;

use weir_edge::request::Context;
use weir_edge::response::Response;
use weir_schemas::problem::Problem;
use weir_schemas::time::Timestamp;

use super::{Management, READERS, found, ok, page_of};

pub(super) async fn one(context: Context, management: Arc<Management>) -> Result<Response, Problem> {
    let workspace = context.require(READERS)?.workspace;
    let (id, now) = (context.param("id").to_owned(), Timestamp::now());
    let wallet = management.read(move |books| {
        let Some(known) = books.customer(workspace, &id)? else { return Ok(None) };
        books.wallet(workspace, known.id, &known.customer_id, now).map(Some)
    });
    Ok(ok(&found(wallet.await?, "customer")?))
}

pub(super) async fn history(context: Context, management: Arc<Management>) -> Result<Response, Problem> {
    let workspace = context.require(READERS)?.workspace;
    let of = page_of(&context)?;
    let (id, now) = (context.param("id").to_owned(), Timestamp::now());
    let lines = management.read(move |books| {
        let Some(known) = books.customer(workspace, &id)? else { return Ok(None) };
        books.wallet_history(workspace, known.id, &of, now).map(Some)
    });
    Ok(ok(&found(lines.await?, "customer")?))
}
