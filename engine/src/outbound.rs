//! Outbound webhooks: the fourth follower. It reads the books' outbox in order, keeps a message for every endpoint that
//! wants it in a store of its own (`outbound.db`, with its place in the outbox in the same transaction), and sends
//! them: at least once, and in order for each endpoint. A message that is not taken is tried again after 12 s, then
//! ever later, up to 24 h; the messages behind it wait. After the last try the endpoint is turned off, which its
//! owner sees, and goes on where it stopped once it is turned on again.
//!
//! Signed as Standard Webhooks say (`webhook-id`, `webhook-timestamp`, `webhook-signature: v1,…`). The engine knows
//! no HTTP: how one try is made is passed in ([`Post`]); [`address`] says where it may go.

use std::pin::Pin;
use std::sync::Arc;

use bytes::Bytes;

pub mod address;
mod sender;
mod store;

pub use sender::{Outbound, OutboundConfig, OutboundHandle};
pub use store::{Attempt, Message, MessageState, OutboundError, Waiting};

/// How a try went: what was answered, or why nothing was.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tried {
    /// The status answered, if any.
    pub status: Option<u16>,
    /// What went wrong; none for a 2xx.
    pub error: Option<String>,
    /// The beginning of the answer.
    pub excerpt: String,
}

impl Tried {
    /// Nothing was answered.
    pub fn failed(error: impl Into<String>) -> Self {
        Self { status: None, error: Some(error.into()), excerpt: String::new() }
    }

    /// Whether the endpoint took it.
    pub fn taken(&self) -> bool {
        self.error.is_none()
    }
}

/// The end of a try, to come.
pub type PostFuture = Pin<Box<dyn Future<Output = Tried> + Send>>;
/// Makes one try: URL, headers, body.
pub type Post = Arc<dyn Fn(String, Vec<(&'static str, String)>, Bytes) -> PostFuture + Send + Sync>;

#[cfg(test)]
mod tests;
