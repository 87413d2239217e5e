//! The contract of the live edge (api.md, Live): frames of the subprotocol `weir.v1.json`.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::ids::Sequence;
use crate::json::from_value;
use crate::problem::{FieldError, Problem};
use crate::query::Query;

/// The subprotocol's name.
pub const SUBPROTOCOL: &str = "weir.v1.json";

/// Why the server closes a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u16)]
pub enum CloseCode {
    /// A frame that cannot be understood.
    BadRequest = 4400,
    /// No valid key or ticket.
    Unauthenticated = 4401,
    /// The role may not do this.
    Forbidden = 4403,
    /// No `connect` within 10 s.
    ConnectTimeout = 4408,
    /// Too many connections, subscriptions or frames.
    TooMany = 4429,
    /// The client reads slower than the bound allows.
    SlowConsumer = 3008,
    /// The engine is stopping: reconnect elsewhere or later.
    ShuttingDown = 3001,
}

/// Where a client left off.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Recover {
    /// The engine's run that the sequence belongs to.
    pub epoch: String,
    /// The last sequence seen.
    pub seq: Sequence,
}

/// What a client sends; [`ClientFrame::read`] reads it.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum ClientFrame {
    /// First of all: who.
    Connect {
        /// An API key.
        #[serde(default)]
        key: Option<String>,
        /// A ticket of `POST /v1/live/tickets`.
        #[serde(default)]
        ticket: Option<String>,
    },
    /// Starts a subscription.
    Subscribe {
        /// The client's name for it.
        id: String,
        /// What to keep up to date.
        query: Box<Query>,
        /// Where the client left off.
        #[serde(default)]
        recover: Option<Recover>,
    },
    /// Starts the event tail.
    Events {
        /// The client's name for it.
        id: String,
    },
    /// Ends a subscription or the tail.
    Unsubscribe {
        /// Which.
        id: String,
    },
    /// Asks for a pong.
    Ping {},
    /// Answers a ping.
    Pong {},
}

impl ClientFrame {
    /// Reads a frame, whose `type` says which it is.
    ///
    /// # Errors
    /// 422 that names the member. Not serde's own `tag`, which reads what it has buffered by its own rules.
    pub fn read(mut members: Map<String, Value>) -> Result<Self, Problem> {
        let Some(Value::String(kind)) = members.remove("type") else {
            return Err(Problem::field("type", "must name the frame"));
        };
        let frame = Map::from_iter([(kind.clone(), Value::Object(members))]);
        from_value(Value::Object(frame)).map_err(|problem| {
            let inside = |field: &str| field.strip_prefix(&kind)?.strip_prefix('.').map(str::to_owned);
            let named = |error: FieldError| {
                let field = inside(&error.field).unwrap_or_else(|| "type".to_owned());
                FieldError { field, ..error }
            };
            Problem::fields(problem.errors.into_iter().map(named).collect())
        })
    }
}

/// What the server sends at first; what subscriptions are told is encoded once for all who see it
/// (`engine::live`).
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum ServerFrame<'a> {
    /// The answer to `connect`.
    Connected {
        /// The engine's run.
        epoch: &'a str,
        /// The newest sequence.
        seq: Sequence,
        /// Milliseconds between ticks.
        tick_ms: u32,
    },
}
