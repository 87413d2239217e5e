//! `GET /v1/postback-tokens`: which networks may report, never a secret.

use std::sync::Arc;

use weir_edge::request::Context;
use weir_edge::response::Response;
use weir_schemas::fact::Role;
use weir_schemas::problem::Problem;

use super::{Management, page_of_all};

pub(super) async fn list(context: Context, management: Arc<Management>) -> Result<Response, Problem> {
    let workspace = context.require(&[Role::Admin])?.workspace;
    let data = management.read(move |books| books.postback_tokens(workspace)).await?;
    page_of_all(&context, data)
}
