//! `GET /v1/links/{id}/allocation`: how a link's visits are split now, and the decisions that led there.

use std::sync::Arc;

use serde_json::{Value, json};
use weir_edge::request::Context;
use weir_edge::response::Response;
use weir_engine::links::allocation::{DECISIONS_MAX, RESULTS_WINDOW_MS, thompson};
use weir_schemas::ids::LinkId;
use weir_schemas::link::{Allocation, LinkSpec};
use weir_schemas::problem::Problem;
use weir_schemas::time::DAY_MS;

use super::links::reader;
use super::{Management, found, ok};

pub(super) async fn one(context: Context, management: Arc<Management>) -> Result<Response, Problem> {
    let (principal, own) = reader(&context)?;
    let id: LinkId = context.id("id", "link")?;
    let workspace = principal.workspace;
    let link = management.read(move |books| books.link(workspace, id)).await?;
    let link = found(link.filter(|link| own.is_none() || link.spec.partner_id == own), "link")?;
    let allocated = management.books.links().allocations().of(id);
    let recent = allocated.map(|allocated| allocated.decisions.clone()).unwrap_or_default();
    // Those that moved a share are journaled; the last one may not have.
    let mut decisions =
        management.read(move |books| books.split_decisions(workspace, id, DECISIONS_MAX as u32)).await?;
    if let Some(last) = recent.front().filter(|last| decisions.first().is_none_or(|known| known.at < last.at))
    {
        decisions.insert(0, last.clone());
    }
    let variants: Vec<Value> = match recent.front() {
        Some(last) => last.variants.iter().map(|share| json!(share)).collect(),
        None => given(&link.spec),
    };
    Ok(ok(&json!({
        "link_id": id,
        "allocation": link.spec.allocation,
        "variants": variants,
        "objective": link.spec.objective,
        "decided_at": recent.front().map(|last| last.at),
        "rules": match link.spec.allocation {
            Allocation::Fixed => Value::Null,
            Allocation::Bandit => json!({
                "floor": thompson::FLOOR,
                "margin": (thompson::MARGIN * f64::from(thompson::WHOLE)) as u32,
                "window_days": RESULTS_WINDOW_MS / DAY_MS,
            }),
        },
        "decisions": decisions,
    })))
}

/// The shares that the weights given make, in basis points.
fn given(spec: &LinkSpec) -> Vec<Value> {
    let sum: u64 = spec.variants.iter().map(|variant| u64::from(variant.weight)).sum();
    let share = |weight: u32| {
        let parts = u64::from(weight) * u64::from(thompson::WHOLE);
        // Half away from zero, as every rate.
        (2 * parts + sum).checked_div(2 * sum).unwrap_or_default()
    };
    spec.variants
        .iter()
        .map(|variant| json!({"name": variant.name, "share": share(variant.weight)}))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn given_weights_are_shares() {
        let variants: Vec<Value> = [("a", 1), ("b", 2), ("c", 0)]
            .iter()
            .map(
                |(name, weight)| json!({"name": name, "destination": "https://a.example/", "weight": weight}),
            )
            .collect();
        let spec = json!({"destination": "https://a.example/", "variants": variants});
        let spec = serde_json::from_value(spec).unwrap();
        let shares: Vec<Value> = given(&spec).iter().map(|variant| variant["share"].clone()).collect();
        assert_eq!(shares, [3_333, 6_667, 0]);
        let none = serde_json::from_value(json!({"destination": "https://a.example/"})).unwrap();
        assert!(given(&none).is_empty());
    }
}
