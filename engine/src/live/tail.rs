//! The event tail: what just happened, as it comes, sampled where more comes than a person can read.

use serde_json::{Value, json};
use weir_schemas::click::{Click, Dims, Verdict};
use weir_schemas::effect::Effect;
use weir_schemas::event::Event;
use weir_schemas::program::MilestoneReached;

use crate::enrich::Geo;

/// Events of one tick that are shown.
pub(super) const EVENTS_PER_TICK: usize = 20;

/// Where the city is, as latitude and longitude in degrees; none where that is not known.
fn point(geo: Option<&Geo>, dims: &Dims<'_>) -> Option<[f64; 2]> {
    let (latitude, longitude) = geo?.point_of(&dims.country, &dims.region, &dims.city)?;
    Some([latitude, longitude].map(|thousandths| f64::from(thousandths) / 1_000.0))
}

/// The events of a workspace since the last tick.
#[derive(Debug, Default)]
pub(super) struct Tail {
    rows: Vec<Value>,
    more: bool,
}

impl Tail {
    pub(super) fn add_click(&mut self, click: &Click<'_>, geo: Option<&Geo>) {
        if !matches!(click.verdict, Verdict::Counted | Verdict::Bot | Verdict::Orphan) {
            return;
        }
        self.push(|| {
            json!({
                "kind": "click", "at": click.at, "id": click.id, "link": click.link.some(),
                "slug": click.slug, "verdict": click.verdict.as_str(), "country": click.dims.country,
                "city": click.dims.city, "point": point(geo, &click.dims), "device": click.dims.device, "browser": click.dims.browser,
                "os": click.dims.os, "referrer": click.dims.referrer,
            })
        });
    }

    pub(super) fn add_event(&mut self, event: &Event<'_>, geo: Option<&Geo>) {
        if !event.counts() {
            return;
        }
        self.push(|| {
            json!({
                "kind": "event", "at": event.told.at, "event": event.told.name, "id": event.id,
                "site": event.told.site.some(), "link": event.told.link.some(), "path": event.told.path,
                "country": event.dims.country, "city": event.dims.city, "point": point(geo, &event.dims),
                "device": event.dims.device, "browser": event.dims.browser, "os": event.dims.os, "referrer": event.dims.referrer,
            })
        });
    }

    pub(super) fn add_effect(&mut self, effect: &Effect, geo: Option<&Geo>) {
        let change = &effect.change;
        // A restatement is a pair that moves nothing in sum: no event of the world.
        if change.revenue < 0 || change.conversions < 0 || change.leads < 0 || change.events < 0 {
            return;
        }
        // Told by its milestone.
        if effect.event == Effect::BONUS {
            return;
        }
        let (kind, amount) = match effect.event.as_str() {
            "refund" | "chargeback" => (effect.event.as_str(), change.refunds),
            _ => ("conversion", change.revenue),
        };
        self.push(|| {
            json!({
                "kind": kind, "at": effect.at, "event": effect.event, "id": effect.conversion,
                "link": effect.link.some(), "order_id": effect.order_id, "provider": effect.provider,
                "amount": (amount != 0).then(|| json!({"amount": amount, "currency": effect.currency})),
                "country": effect.dims.country, "city": effect.dims.city, "point": point(geo, &effect.dims),
                "device": effect.dims.device, "browser": effect.dims.browser,
                "referrer": effect.dims.referrer,
            })
        });
    }

    /// Milestones are few: they are shown whatever else there is.
    pub(super) fn add_milestone(&mut self, reached: &MilestoneReached) {
        let mut row = json!(reached);
        row["kind"] = json!("milestone");
        row["at"] = json!(reached.reached_at);
        self.rows.push(row);
    }

    /// Neither are alerts many.
    pub(super) fn add(&mut self, row: Value) {
        self.rows.push(row);
    }

    fn push(&mut self, row: impl FnOnce() -> Value) {
        if self.rows.len() >= EVENTS_PER_TICK {
            self.more = true;
            return;
        }
        self.rows.push(row());
    }

    /// The rows since the last call, newest last, and whether there were more.
    pub(super) fn take(&mut self) -> Option<(Vec<Value>, bool)> {
        if self.rows.is_empty() {
            return None;
        }
        Some((std::mem::take(&mut self.rows), std::mem::take(&mut self.more)))
    }
}
