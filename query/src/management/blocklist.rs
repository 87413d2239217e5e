//! `GET /v1/blocklist`.

use std::sync::Arc;

use weir_edge::request::Context;
use weir_edge::response::Response;
use weir_schemas::problem::Problem;

use super::{Management, READERS, ok, page_of};

pub(super) async fn list(context: Context, management: Arc<Management>) -> Result<Response, Problem> {
    let workspace = context.require(READERS)?.workspace;
    let of = page_of(&context)?;
    Ok(ok(&management.read(move |books| books.blocklist(workspace, &of)).await?))
}
