//! `Idempotency-Key` of what is not done by the books: an incident told, a message sent once more, dead letters stored
//! again. The work is done, then its answer is kept in the books, where every other request has its own.

use std::time::Duration;

use http::StatusCode;
use serde_json::Value;
use weir_edge::request::Context;
use weir_edge::response::{Response, json as json_response};
use weir_engine::books::Outcome;
use weir_engine::keys::Principal;
use weir_schemas::fact::Fact;
use weir_schemas::problem::Problem;

use super::handles::{Commands, admission, answer};

/// How long an answer waits to be kept. What was done is done: books that cannot be written hold it up no longer.
const KEPT_WITHIN: Duration = Duration::from_secs(5);

impl Commands {
    /// Does `work` and answers what it gives; for a repeat of a request with an `Idempotency-Key` does nothing and
    /// answers as it was answered. Call it after the body has been read. Refusals change nothing and are not kept. An
    /// engine that ends between the work and the note of its answer does it once more when it is asked again.
    ///
    /// # Errors
    /// The work's own; 409 where the key was another request's; 503 where the books cannot say whether it was.
    pub async fn once(
        &self,
        context: &Context,
        caller: Principal,
        work: impl Future<Output = Result<(StatusCode, Value), Problem>>,
    ) -> Result<Response, Problem> {
        let (at, request) = admission(context)?;
        let Some(request) = request else {
            let (status, body) = work.await?;
            return Ok(json_response(status, &body));
        };
        // One at a time, so that the same request at the same time is done once.
        let _alone = self.once.lock().await;
        let (workspace, asked) = (caller.workspace, request.clone());
        if let Some(earlier) = self.read(move |reads| reads.earlier_answer(workspace, &asked)).await? {
            return told(earlier);
        }
        let (status, body) = work.await?;
        let fact = Fact::Answered { status: status.as_u16(), body: body.clone() };
        match tokio::time::timeout(KEPT_WITHIN, self.submit(caller, at, Some(request), fact)).await {
            Ok(Ok(_)) => {}
            Ok(Err(problem)) => {
                tracing::warn!(detail = problem.detail, "an answer was not kept for a repeat")
            }
            Err(_) => tracing::warn!("an answer is not kept for a repeat yet: the books are behind"),
        }
        Ok(json_response(status, &body))
    }
}

fn told(earlier: Outcome) -> Result<Response, Problem> {
    match earlier.problem() {
        Some(problem) => Err(problem),
        None => Ok(answer(earlier, |body| body)),
    }
}
