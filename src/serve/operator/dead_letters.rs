//! `GET /v1/admin/dead-letters` and `POST /v1/admin/dead-letters/retry`.

use http::StatusCode;
use serde::Deserialize;
use serde_json::json;
use weir_edge::problem;
use weir_edge::request::{Context, JSON_MAX};
use weir_edge::response::json as json_response;
use weir_engine::warehouse::DEAD_LETTERS_MAX;
use weir_ingest::commands::Commands;
use weir_schemas::ids::Sequence;
use weir_schemas::problem::Problem;

use super::{Answer, require_operator};
use crate::serve::Parts;

/// How many are listed where nobody says.
const LISTED: usize = 50;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Retry {
    /// Which; all where absent.
    #[serde(default)]
    sequences: Option<Vec<Sequence>>,
}

pub(super) async fn list(context: &Context, parts: &Parts) -> Answer {
    require_operator(context)?;
    let limit = match context.query_value("limit") {
        None => LISTED,
        Some(text) => match text.parse::<usize>() {
            Ok(limit) if (1..=DEAD_LETTERS_MAX).contains(&limit) => limit,
            _ => {
                return Err(Problem::field(
                    "limit",
                    format!("must be a number from 1 to {DEAD_LETTERS_MAX}"),
                ));
            }
        },
    };
    let after = match context.query_value("cursor").filter(|text| !text.is_empty()) {
        None => (0, 0),
        Some(text) => {
            let parsed =
                text.split_once('-').and_then(|(seq, sub)| Some((seq.parse().ok()?, sub.parse().ok()?)));
            parsed.ok_or_else(|| Problem::field("cursor", "the cursor is not one that this list gave out"))?
        }
    };
    let mut data =
        parts.warehouse.dead_letters(after, limit + 1).await.map_err(|error| unanswered(&error))?;
    let more = data.len() > limit;
    data.truncate(limit);
    let next = data.last().filter(|_| more).map(|row| format!("{}-{}", row.sequence, row.sub));
    Ok(json_response(StatusCode::OK, &json!({"data": data, "next_cursor": next})))
}

pub(super) async fn retry(mut context: Context, parts: &Parts, commands: &Commands) -> Answer {
    let caller = require_operator(&context)?;
    let Retry { sequences } = context.json(JSON_MAX).await?;
    if let Some(sequences) = &sequences
        && !(1..=DEAD_LETTERS_MAX).contains(&sequences.len())
    {
        return Err(Problem::field("sequences", format!("must name 1 to {DEAD_LETTERS_MAX} of them")));
    }
    let work = async {
        let tried = parts.warehouse.retry_dead_letters(sequences.as_deref()).await;
        Ok((StatusCode::OK, json!(tried.map_err(|error| unanswered(&error))?)))
    };
    commands.once(&context, caller, work).await
}

fn unanswered(error: &impl std::fmt::Display) -> Problem {
    tracing::warn!(%error, "the list of what was put aside was not answered");
    problem::unavailable("warehouse_unavailable", "The warehouse is not available. Try again.")
}
