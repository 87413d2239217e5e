//! `GET /v1/fx-rates`.

use std::sync::Arc;

use weir_edge::request::Context;
use weir_edge::response::Response;
use weir_engine::books::FxFilter;
use weir_schemas::problem::Problem;

use super::{Management, READERS, id_of, ok, page_of};

pub(super) async fn list(context: Context, management: Arc<Management>) -> Result<Response, Problem> {
    let workspace = context.require(READERS)?.workspace;
    let (page, filter) = (
        page_of(&context)?,
        FxFilter {
            from: id_of(&context, "from")?,
            to: id_of(&context, "to")?,
            currency: id_of(&context, "currency")?,
        },
    );
    Ok(ok(&management.read(move |books| books.fx_rates(workspace, &filter, &page)).await?))
}
