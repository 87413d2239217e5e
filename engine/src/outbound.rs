//! Outbound webhooks: the fourth follower. It reads the books' outbox in order, keeps a message for every endpoint that
//! wants it in a store of its own (`outbound.db`, with its place in the outbox in the same transaction), and sends them:
//! at least once, and in order for each endpoint. A message that is not taken is tried again after 12 s, then ever
//! later, up to 24 h; the messages behind it wait. After the last try the endpoint is turned off, which its owner sees,
//! and goes on where it stopped once it is turned on again.
//!
//! Signed as Standard Webhooks say (`webhook-id`, `webhook-timestamp`, `webhook-signature: v1,…`).
//!
//! What is dialled is what was checked: a name is resolved once for each try, every address of it must be public, and the
//! connection goes to one of these addresses. Redirects are not followed, answers are read up to a bound and never
//! decompressed.

pub mod address;
mod client;
mod sender;
mod store;

pub use client::{Resolve, ResolveFuture, system_resolver};
pub use sender::{Outbound, OutboundConfig, OutboundHandle};
pub use store::{Attempt, Message, MessageState, OutboundError, Waiting};

#[cfg(test)]
mod tests;
