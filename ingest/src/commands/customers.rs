//! `DELETE /v1/customers/{id}` (erasure), `POST /v1/customers/{id}/wallet/claim` (cashback) and `POST
//! /v1/customers/{id}/merge`: two ids of one person.

use std::sync::Arc;

use http::Method;
use serde::Deserialize;
use weir_edge::problem::unavailable;
use weir_edge::request::{Context, JSON_MAX};
use weir_edge::response::Response;
use weir_edge::route::Router;
use weir_engine::books::CustomerProfile;
use weir_schemas::fact::{Fact, Role};
use weir_schemas::ids::{PayoutId, WorkspaceId};
use weir_schemas::money::Currency;
use weir_schemas::problem::Problem;

use super::handles::{Commands, admission, answer, keyring_failed, off_the_sockets};
use super::link_spec::Errors;

/// Longest reference of a claim, in bytes.
const REFERENCE_MAX: usize = 500;

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct NewClaim {
    /// All currencies where absent.
    currency: Option<Currency>,
    /// The caller's number of it.
    reference: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Merge {
    /// The id that goes on.
    into: String,
}

pub(super) fn routes(commands: &Arc<Commands>) -> Router {
    let [erase, merge, claim] = std::array::from_fn(|_| Arc::clone(commands));
    Router::new()
        .route(Method::DELETE, "/v1/customers/{id}", move |context| self::erase(context, Arc::clone(&erase)))
        .route(Method::POST, "/v1/customers/{id}/merge", move |context| {
            self::merge(context, Arc::clone(&merge))
        })
        .route(Method::POST, "/v1/customers/{id}/wallet/claim", move |context| {
            self::claim(context, Arc::clone(&claim))
        })
}

impl Commands {
    /// A customer, by the caller's id or Weir's; 404 where there is none.
    async fn profile(&self, workspace: WorkspaceId, given: String) -> Result<CustomerProfile, Problem> {
        let books = self.books().clone();
        match off_the_sockets(move || books.reads().customer(workspace, &given)).await {
            Ok(Some(customer)) => Ok(customer),
            Ok(None) => Err(Problem::not_found("customer")),
            Err(error) => {
                tracing::error!(%error, "the books could not be read");
                Err(unavailable("storage_unavailable", "The books could not be read."))
            }
        }
    }
}

/// The person's keys are destroyed first: after that nothing that was kept of them can be read, whatever happens next.
async fn erase(mut context: Context, commands: Arc<Commands>) -> Result<Response, Problem> {
    let caller = context.require(&[Role::Admin])?;
    let given = context.param("id").to_owned();
    context.body(JSON_MAX).await?;
    let (at, request) = admission(&context)?;
    let customer = commands.profile(caller.workspace, given).await?;
    let keyring = Arc::clone(&commands.keyring);
    let names: Vec<String> =
        std::iter::once(customer.customer_id.clone()).chain(customer.merged_ids).collect();
    let destroyed = off_the_sockets(move || {
        names.iter().try_for_each(|name| keyring.destroy_customer(caller.workspace, name).map(|_| ()))
    });
    destroyed.await.map_err(|error| keyring_failed(&error))?;
    let fact = Fact::CustomerErased { customer_id: customer.customer_id };
    let outcome = commands.submit(caller, at, request, fact).await?;
    Ok(answer(outcome, |body| body))
}

async fn claim(mut context: Context, commands: Arc<Commands>) -> Result<Response, Problem> {
    let caller = context.require(&[Role::Admin, Role::Editor])?;
    let given = context.param("id").to_owned();
    let empty = context.body(JSON_MAX).await?.iter().all(u8::is_ascii_whitespace);
    let NewClaim { currency, reference } =
        if empty { NewClaim::default() } else { context.json(JSON_MAX).await? };
    let mut errors = Errors::default();
    errors.text("reference", reference.as_deref(), REFERENCE_MAX);
    errors.none()?;
    let (at, request) = admission(&context)?;
    let customer = commands.profile(caller.workspace, given).await?;
    let id = PayoutId(commands.ids.next(at));
    let fact = Fact::CashbackClaimed { id, customer_id: customer.customer_id, currency, reference };
    let outcome = commands.submit(caller, at, request, fact).await?;
    Ok(answer(outcome, |body| body))
}

async fn merge(mut context: Context, commands: Arc<Commands>) -> Result<Response, Problem> {
    let caller = context.require(&[Role::Admin, Role::Editor])?;
    let given = context.param("id").to_owned();
    let Merge { into } = context.json(JSON_MAX).await?;
    let (at, request) = admission(&context)?;
    let from = commands.profile(caller.workspace, given).await?;
    let into = commands.profile(caller.workspace, into).await?;
    // The person goes on under the key of who goes on, so that one erasure forgets both.
    let (keyring, workspace) = (Arc::clone(&commands.keyring), caller.workspace);
    let (name, target, sealed) = (from.customer_id.clone(), into.customer_id.clone(), from.person);
    let person = off_the_sockets(move || {
        let Some(person) = sealed.and_then(|sealed| keyring.open_person(workspace, &name, &sealed)) else {
            return Ok(None);
        };
        keyring.seal_person(workspace, &target, &person).map(Some)
    });
    let person = person.await.map_err(|error| keyring_failed(&error))?;
    let fact = Fact::CustomersMerged { from: from.customer_id, into: into.customer_id, person };
    let outcome = commands.submit(caller, at, request, fact).await?;
    Ok(answer(outcome, |body| body))
}
