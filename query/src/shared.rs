//! `GET /v1/shared/{token}`: what a share link shows, to whoever has it. The only answer of the admin listener's data
//! that needs no key: so it answers the link's own question and no other, and each link has an allowance of its own.

use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use http::{Method, StatusCode};
use serde_json::{Value, json};
use weir_edge::limit::Limiter;
use weir_edge::problem::{too_many, unavailable};
use weir_edge::request::Context;
use weir_edge::response::{Response, json as answer_json};
use weir_edge::route::Router;
use weir_engine::books::{Books, OpenShare};
use weir_engine::keys::hash_secret;
use weir_engine::query::question::Question;
use weir_schemas::problem::Problem;
use weir_schemas::saved::ShareSpec;
use weir_schemas::time::Timestamp;

use crate::analytics::Analytics;
use crate::format::Format;
use crate::reports;

/// How often a link may be asked at once, and how long until it may be asked once more.
const BURST: NonZeroU32 = NonZeroU32::new(60).expect("not zero");
const PAUSE: Duration = Duration::from_secs(1);
/// Longest secret that is looked up, in bytes.
const TOKEN_MAX: usize = 128;

struct Shared {
    books: Books,
    analytics: Analytics,
    limiter: Limiter,
}

/// The route.
pub fn routes(books: Books, analytics: &Analytics) -> Router {
    let limiter = Limiter::with_pause(BURST, PAUSE);
    let shared = Arc::new(Shared { books, analytics: analytics.clone(), limiter });
    Router::new()
        .route(Method::GET, "/v1/shared/{token}", move |context| answer(context, Arc::clone(&shared)))
}

async fn answer(context: Context, shared: Arc<Shared>) -> Result<Response, Problem> {
    let format = Format::of(&context)?;
    let token = context.param("token");
    if token.len() > TOKEN_MAX {
        return Err(Problem::not_found("share link"));
    }
    let hash = hash_secret(token);
    // Unknown secrets have allowances, too: guessing costs no look-ups beyond them.
    let key = u64::from_str_radix(&hash[..16], 16).expect("a hash is hexadecimal");
    if let Err(exceeded) = shared.limiter.check(key) {
        let wait = exceeded.retry_after_s;
        return Err(too_many(format!("This link was asked more than {BURST} times; ask again in {wait} s.")));
    }
    let found = shared.books.read_async(move |books| books.share_by_secret(&hash)).await;
    let found = found.map_err(|error| {
        tracing::error!(%error, "the books could not be read");
        unavailable("storage_unavailable", "The books could not be read.")
    })?;
    let OpenShare { workspace, share } = found.ok_or_else(|| Problem::not_found("share link"))?;
    let now = Timestamp::now();
    if share.revoked_at.is_some() || share.spec.expires_at <= now {
        let detail = "This link has expired or was revoked. Ask its sender for a new one.";
        return Err(Problem::new(410, "share_over", "No longer shared", detail));
    }
    let spec = share.spec;
    let analytics = &shared.analytics;
    let answers = match Question::build(&spec.question, workspace, now, spec.partner_id)? {
        Question::Query(plan) => {
            let answer = analytics.answer(&plan).await?;
            if let Some(file) =
                format.rows(analytics, &answer.columns, &answer.rows, answer.meta.as_of).await?
            {
                return Ok(file);
            }
            json!({ "answer": answer })
        }
        Question::Report(scope, report) => {
            let worked = reports::run(analytics, &scope, &report).await?;
            let rows = (&worked.result.columns, &worked.result.rows);
            if let Some(file) = format.rows(analytics, rows.0, rows.1, worked.as_of.seq).await? {
                return Ok(file);
            }
            json!({ "answer": reports::body(&scope, &report, worked) })
        }
        Question::Overview(_) if format != Format::Json => {
            return Err(Problem::field("format", "an overview is several tables: it is told as JSON only"));
        }
        Question::Overview(panels) => {
            let mut told = Vec::new();
            for (name, plan) in panels {
                told.push(json!({"name": name, "answer": analytics.answer(&plan).await?}));
            }
            json!({ "panels": told })
        }
    };
    Ok(answer_json(StatusCode::OK, &described(&spec, answers)))
}

/// The answer with what it is an answer to.
fn described(spec: &ShareSpec, mut answer: Value) -> Value {
    answer["name"] = json!(spec.name);
    answer["report"] = json!(spec.question.report);
    answer["query"] = json!(spec.question.query);
    answer["visualisation"] = json!(spec.visualisation);
    answer["expires_at"] = json!(spec.expires_at);
    answer
}
