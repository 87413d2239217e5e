//! Many links at once: `POST`, `PATCH` and `DELETE /v1/links/bulk`, and `POST /v1/links/import` from a
//! spreadsheet. Each item succeeds or fails by itself, whole or not at all; the answer has one result per
//! item, in the request's order.

use std::sync::Arc;

use http::StatusCode;
use http::header::CONTENT_TYPE;
use serde_json::{Map, Value, json};
use tokio::task::JoinSet;
use weir_edge::problem::{internal, malformed, unsupported_media_type};
use weir_edge::request::{Context, from_value};
use weir_edge::response::{Response, json as json_response};
use weir_engine::books::{KEY_REUSED, Outcome};
use weir_engine::keys::Principal;
use weir_schemas::csv;
use weir_schemas::fact::{Fact, IdempotentRequest};
use weir_schemas::ids::LinkId;
use weir_schemas::link::sheet;
use weir_schemas::problem::Problem;
use weir_schemas::time::Timestamp;

use super::{WRITERS, created, updated};
use crate::commands::handles::{Commands, admission};

/// Most links in one bulk request.
const BULK_MAX: usize = 1_000;
/// The largest bulk request, in bytes.
const BULK_BYTES_MAX: usize = 8 * 1_024 * 1_024;

/// What is to be done with one link.
enum Item {
    Create(Value),
    Update(Value),
    Delete(Value),
    /// It was already found wanting.
    Wrong(Problem),
}

pub(super) async fn create(mut context: Context, commands: Arc<Commands>) -> Result<Response, Problem> {
    let caller = context.require(WRITERS)?;
    let links = list(context.any_json(BULK_BYTES_MAX).await?, "links")?;
    run(&context, commands, caller, links.into_iter().map(Item::Create).collect()).await
}

/// `{"links": [{"id", …what changes}]}`, or `{"ids": […], "patch": {…}}` for the same change of all.
pub(super) async fn update(mut context: Context, commands: Arc<Commands>) -> Result<Response, Problem> {
    let caller = context.require(WRITERS)?;
    let mut body = context.any_json(BULK_BYTES_MAX).await?;
    let patch = body.as_object_mut().and_then(|body| body.remove("patch"));
    let items = match patch {
        None => list(body, "links")?,
        Some(Value::Object(patch)) => {
            let with = |id: Value| {
                let mut item = patch.clone();
                item.insert("id".to_owned(), id);
                Value::Object(item)
            };
            list(body, "ids")?.into_iter().map(with).collect()
        }
        Some(_) => return Err(Problem::field("patch", "must be an object of the fields to change")),
    };
    run(&context, commands, caller, items.into_iter().map(Item::Update).collect()).await
}

/// `{"ids": […]}`.
pub(super) async fn delete(mut context: Context, commands: Arc<Commands>) -> Result<Response, Problem> {
    let caller = context.require(WRITERS)?;
    let ids = list(context.any_json(BULK_BYTES_MAX).await?, "ids")?;
    run(&context, commands, caller, ids.into_iter().map(Item::Delete).collect()).await
}

/// A table whose first row names its columns; see [`sheet`].
pub(super) async fn import(mut context: Context, commands: Arc<Commands>) -> Result<Response, Problem> {
    let caller = context.require(WRITERS)?;
    if let Some(kind) = context.header(CONTENT_TYPE.as_str())
        && !["text/csv", "text/plain"].contains(&kind.split(';').next().unwrap_or_default().trim())
    {
        return Err(unsupported_media_type(format!("Send text/csv, not {kind}.")));
    }
    let body = context.body(BULK_BYTES_MAX).await?;
    let text = std::str::from_utf8(&body).map_err(|_| malformed("The table is not UTF-8."))?;
    let first = text.lines().next().unwrap_or_default();
    let separator = if first.contains(';') && !first.contains(',') { ';' } else { ',' };
    let mut rows = csv::read(text, separator, BULK_MAX + 1)
        .map_err(|error| Problem::field("body", error.to_string()))?
        .into_iter();
    let (_, head) = rows.next().unwrap_or_default();
    let columns = sheet::columns(&head).map_err(|error| Problem::fields(vec![error]))?;
    let (lines, items): (Vec<usize>, Vec<Item>) = rows
        .map(|(line, cells)| {
            let item = sheet::link(&columns, &cells);
            (line, item.map_or_else(|error| Item::Wrong(Problem::fields(vec![error])), Item::Create))
        })
        .unzip();
    if items.is_empty() {
        return Err(Problem::field("body", "must hold at least one row below its head"));
    }
    let mut results = results(&context, commands, caller, items).await?;
    for (result, line) in results.iter_mut().zip(lines) {
        result["line"] = json!(line);
    }
    Ok(json_response(StatusCode::OK, &json!({ "data": results })))
}

/// `[…]` or `{"<name>": […]}`.
fn list(body: Value, name: &str) -> Result<Vec<Value>, Problem> {
    let wrong = || Problem::field(name, "must be a list");
    let items = match body {
        Value::Array(items) => items,
        Value::Object(mut object) => {
            let items = object.remove(name);
            if let Some(field) = object.keys().next() {
                return Err(Problem::field(field.clone(), format!("unknown field, expected `{name}`")));
            }
            match items {
                Some(Value::Array(items)) => items,
                _ => return Err(wrong()),
            }
        }
        _ => return Err(wrong()),
    };
    if items.is_empty() || items.len() > BULK_MAX {
        return Err(Problem::field(name, format!("must hold 1 to {BULK_MAX} links")));
    }
    Ok(items)
}

async fn run(
    context: &Context,
    commands: Arc<Commands>,
    caller: Principal,
    items: Vec<Item>,
) -> Result<Response, Problem> {
    let results = results(context, commands, caller, items).await?;
    Ok(json_response(StatusCode::OK, &json!({ "data": results })))
}

async fn results(
    context: &Context,
    commands: Arc<Commands>,
    caller: Principal,
    items: Vec<Item>,
) -> Result<Vec<Value>, Problem> {
    let (at, request) = admission(context)?;
    let mut results = vec![Value::Null; items.len()];
    let mut items = items.into_iter().enumerate();
    // Sent again, each item is answered as it was: so each has a key of its own.
    let request_of = |n: usize| {
        request.as_ref().map(|whole| IdempotentRequest {
            key: format!("{}#{n}", whole.key),
            fingerprint: whole.fingerprint.clone(),
        })
    };
    if request.is_some() {
        // One item tells whether the key was another body's, of which nothing is done then.
        for (n, item) in items.by_ref() {
            let done = one(&commands, caller, at, request_of(n), item).await;
            if let Err(problem) = &done.outcome
                && problem.code == KEY_REUSED
            {
                return Err(problem.clone());
            }
            let decided = done.outcome.is_ok();
            results[n] = done.told(&commands, &context.request_id);
            if decided {
                break;
            }
        }
    }
    let mut running = JoinSet::new();
    for (n, item) in items {
        let (commands, request, id) = (Arc::clone(&commands), request_of(n), context.request_id.clone());
        running
            .spawn(async move { (n, one(&commands, caller, at, request, item).await.told(&commands, &id)) });
    }
    while let Some(joined) = running.join_next().await {
        let (n, result) = joined.map_err(|_| internal())?;
        results[n] = result;
    }
    Ok(results)
}

async fn one(
    commands: &Commands,
    caller: Principal,
    at: Timestamp,
    request: Option<IdempotentRequest>,
    item: Item,
) -> Done {
    let mut named = Value::Null;
    let fact = match item {
        Item::Create(spec) => match from_value(spec) {
            Ok(spec) => created(commands, caller, spec, at).await,
            Err(problem) => Err(problem),
        },
        Item::Update(Value::Object(patch)) => {
            named = patch.get("id").cloned().unwrap_or_default();
            changed(commands, caller, patch).await
        }
        Item::Update(_) => Err(Problem::field("links", "must be an object with `id` and what changes")),
        Item::Delete(id) => {
            named = id.clone();
            link_id(&id).map(|id| Fact::LinkDeleted { id })
        }
        Item::Wrong(problem) => Err(problem),
    };
    let outcome = match fact {
        Ok(fact) => commands.submit(caller, at, request, fact).await,
        Err(problem) => Err(problem),
    };
    Done { named, outcome }
}

/// What became of one link.
struct Done {
    /// The id that the request named it by, if it did.
    named: Value,
    outcome: Result<Outcome, Problem>,
}

impl Done {
    /// As it is answered.
    fn told(self, commands: &Commands, request_id: &str) -> Value {
        let mut result = match self.outcome {
            Ok(outcome) if outcome.body.is_null() => json!({ "status": outcome.status }),
            Ok(outcome) => {
                json!({ "status": outcome.status, "link": commands.with_short_url(outcome.body.into_value()) })
            }
            Err(problem) => json!({ "status": problem.status, "error": problem.body(request_id) }),
        };
        if self.named.is_null() {
            return result;
        }
        // How many clicks a link has, its list says; here they were not counted.
        if let Some(link) = result.get_mut("link").and_then(Value::as_object_mut) {
            link.remove("clicks");
        }
        result["id"] = self.named;
        result
    }
}

async fn changed(
    commands: &Commands,
    caller: Principal,
    mut patch: Map<String, Value>,
) -> Result<Fact, Problem> {
    let id = link_id(&patch.remove("id").unwrap_or_default())?;
    updated(commands, caller, id, patch).await
}

fn link_id(value: &Value) -> Result<LinkId, Problem> {
    let id = value.as_str().and_then(|text| text.parse().ok());
    id.ok_or_else(|| Problem::field("id", "must be a link's id such as lnk_…"))
}
