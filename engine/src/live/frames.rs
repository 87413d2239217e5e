//! Frames, as text. What all subscribers of a topic share is encoded once per tick; only the client's own name for
//! the subscription is put in front, and most clients use the same.

use std::collections::HashMap;

use bytes::Bytes;
use serde::Serialize;
use serde_json::json;
use weir_schemas::ids::Sequence;
use weir_schemas::money::Currency;
use weir_schemas::problem::Problem;
use weir_schemas::query::{Cell, Column, Totals};

/// A frame without its subscription's name.
#[derive(Debug, Clone, Default)]
pub struct Body {
    kind: &'static str,
    /// JSON members after the name, without the opening comma, with the closing brace.
    rest: String,
    by_name: HashMap<String, Bytes>,
}

impl Body {
    fn new(kind: &'static str, members: &impl Serialize) -> Self {
        metrics::counter!("weir_live_encodings_total", "kind" => kind).increment(1);
        let mut rest = serde_json::to_string(members).expect("frames are JSON");
        rest.remove(0);
        Self { kind, rest, by_name: HashMap::new() }
    }

    /// The frame for the subscription `name`.
    pub fn named(&mut self, name: &str) -> Bytes {
        if let Some(frame) = self.by_name.get(name) {
            return frame.clone();
        }
        let quoted = serde_json::to_string(name).expect("a text is JSON");
        let frame = Bytes::from(format!("{{\"type\":\"{}\",\"id\":{quoted},{}", self.kind, self.rest));
        self.by_name.insert(name.to_owned(), frame.clone());
        frame
    }

    /// Bytes of the shared part.
    pub(super) fn len(&self) -> usize {
        self.rest.len()
    }
}

#[derive(Serialize)]
pub(super) struct Snapshot<'a> {
    pub epoch: &'a str,
    pub seq: Sequence,
    pub columns: &'a [Column],
    pub rows: &'a [Vec<Cell>],
    #[serde(skip_serializing_if = "Option::is_none")]
    pub totals: Option<Totals>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub refreshed_every_ms: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fx: Option<Fx>,
}

/// Amounts are converted.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct Fx {
    /// Into this currency.
    pub base: Currency,
}

/// What changed since the frame before.
#[derive(Debug, Serialize)]
pub struct Delta<'a> {
    /// Up to where it goes.
    pub seq: Sequence,
    /// Whole rows that are new or changed.
    pub rows: &'a [Vec<Cell>],
    /// The dimension cells of rows that are no more.
    pub removed: &'a [Vec<Cell>],
    /// The totals by name, where asked for and changed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub totals: Option<Totals>,
    /// Amounts are converted from this frame on: a second currency came, and all rows are told anew.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fx: Option<Fx>,
}

#[derive(Serialize)]
pub(super) struct Events<'a> {
    pub seq: Sequence,
    /// More came than are shown.
    pub sampled: bool,
    pub rows: &'a [serde_json::Value],
}

pub(super) fn snapshot(snapshot: &Snapshot<'_>) -> Body {
    Body::new("snapshot", snapshot)
}

/// A `delta` frame.
pub fn delta(delta: &Delta<'_>) -> Body {
    Body::new("delta", delta)
}

pub(super) fn events(events: &Events<'_>) -> Body {
    Body::new("events", events)
}

/// A subscription that was refused or has failed; the connection goes on.
pub(super) fn error(name: &str, problem: &Problem) -> Bytes {
    let mut body = problem.body("");
    if let Some(members) = body.as_object_mut() {
        members.remove("request_id");
    }
    let frame = json!({"type": "error", "id": name, "code": problem.code, "problem": body});
    Bytes::from(frame.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_body_is_shared_by_all_names() {
        let rows = [vec![json!("DE"), json!(3)]];
        let mut body = delta(&Delta { seq: 9, rows: &rows, removed: &[], totals: None, fx: None });
        let frame: serde_json::Value = serde_json::from_slice(&body.named("q\"1")).unwrap();
        assert_eq!(
            frame,
            json!({"type": "delta", "id": "q\"1", "seq": 9, "rows": [["DE", 3]], "removed": []})
        );
        let (first, again) = (body.named("a"), body.named("a"));
        assert_eq!(first.as_ptr(), again.as_ptr(), "the same bytes");
    }
}
