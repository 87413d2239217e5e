//! Commands: the management writes of the API. Each is checked here, journaled as a fact, and answered once the books
//! have applied it, so a caller reads its own writes.

pub mod destination;
