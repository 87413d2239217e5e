//! The first start: a workspace and the admin key.

use weir_engine::books::{Books, Outcome};
use weir_ingest::commands::NewIds;
use weir_ingest::commands::keys::{key_created, new_secret};
use weir_schemas::fact::{Actor, Fact, Recorded, Role};
use weir_schemas::ids::{KeyId, WorkspaceId};
use weir_schemas::money::Currency;
use weir_schemas::time::Timestamp;

use crate::engine::Failure;

/// A key that was just made; its secret is shown once.
pub(crate) struct MadeKey {
    pub id: KeyId,
    pub secret: String,
}

/// Makes workspace and key where there is none yet. `None`: this is not the first start.
pub(crate) async fn first_start(
    books: &Books,
    ids: &NewIds,
    secret: Option<&str>,
) -> Result<Option<MadeKey>, Failure> {
    if books.reads().workspace(WorkspaceId::FIRST)?.is_none() {
        let fact = Fact::WorkspaceCreated {
            name: "Weir".to_owned(),
            currency: Currency::USD,
            timezone: "UTC".to_owned(),
            key: None,
        };
        submit(books, fact).await?;
    }
    if !books.reads().keys(WorkspaceId::FIRST)?.is_empty() {
        return Ok(None);
    }
    let secret = secret.map_or_else(new_secret, str::to_owned);
    make_key(books, ids, "first key", Role::Admin, secret).await.map(Some)
}

/// Makes a key.
pub(crate) async fn make_key(
    books: &Books,
    ids: &NewIds,
    name: &str,
    role: Role,
    secret: String,
) -> Result<MadeKey, Failure> {
    let id = KeyId(ids.next(Timestamp::now()));
    submit(books, key_created(id, name, role, None, &secret)).await?;
    Ok(MadeKey { id, secret })
}

/// Journals a fact of the engine's own and waits until it is applied.
pub(crate) async fn submit(books: &Books, fact: Fact) -> Result<Outcome, Failure> {
    let recorded = Recorded {
        at: Timestamp::now(),
        workspace: WorkspaceId::FIRST,
        actor: Actor::System,
        request: None,
        fact,
    };
    let outcome = books.submit(recorded).await?;
    match outcome.problem() {
        Some(problem) => Err(problem.detail.into()),
        None => Ok(outcome),
    }
}
