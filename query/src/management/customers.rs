//! `GET /v1/customers`, `GET /v1/customers/{id}`: by the caller's own id or by Weir's. The person is opened
//! here and nowhere kept in clear.

use std::sync::Arc;

use serde_json::json;
use weir_edge::request::Context;
use weir_edge::response::Response;
use weir_schemas::problem::Problem;

use super::{Management, READERS, found, ok, page_of};

pub(super) async fn list(context: Context, management: Arc<Management>) -> Result<Response, Problem> {
    let workspace = context.require(READERS)?.workspace;
    let of = page_of(&context)?;
    Ok(ok(&management.read(move |books| books.customers(workspace, &of)).await?))
}

pub(super) async fn one(context: Context, management: Arc<Management>) -> Result<Response, Problem> {
    let workspace = context.require(READERS)?.workspace;
    let id = context.param("id").to_owned();
    let keyring = Arc::clone(&management.keyring);
    let read = management.read(move |books| {
        let profile = books.customer(workspace, &id)?;
        Ok(profile.map(|profile| {
            let sealed = profile.person.as_ref();
            let person =
                sealed.and_then(|sealed| keyring.open_person(workspace, &profile.customer_id, sealed));
            (profile, person)
        }))
    });
    let (profile, person) = found(read.await?, "customer")?;
    let mut answer = json!(profile);
    answer["email"] = json!(person.as_ref().and_then(|person| person.email.as_ref()));
    answer["name"] = json!(person.as_ref().and_then(|person| person.name.as_ref()));
    Ok(ok(&answer))
}
