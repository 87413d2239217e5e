//! Commands: the management writes of the API. Each is checked here, journaled as a fact, and answered once the books
//! have applied it, so a caller reads its own writes.

pub mod claim;
pub mod destination;
pub mod link_spec;
pub mod new_ids;
pub mod slug;

pub use claim::{Claims, FindClick};
pub use new_ids::NewIds;
