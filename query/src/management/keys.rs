//! `GET /v1/keys`: every key of the workspace, revoked ones too, and when each was last used; never a secret.

use std::sync::Arc;

use serde::Serialize;
use weir_edge::request::Context;
use weir_edge::response::Response;
use weir_engine::books::ApiKey;
use weir_schemas::fact::Role;
use weir_schemas::problem::Problem;
use weir_schemas::time::Timestamp;

use super::{Management, page_of_all};

#[derive(Serialize)]
struct Listed {
    #[serde(flatten)]
    key: ApiKey,
    /// `null` where nobody ever used it.
    last_used_at: Option<Timestamp>,
}

pub(super) async fn list(context: Context, management: Arc<Management>) -> Result<Response, Problem> {
    let workspace = context.require(&[Role::Admin])?.workspace;
    let keys = management.read(move |books| books.keys(workspace)).await?;
    let uses = management.books.keys().uses();
    let data: Vec<Listed> =
        keys.into_iter().map(|key| Listed { last_used_at: uses.last(key.id), key }).collect();
    page_of_all(&context, data)
}
