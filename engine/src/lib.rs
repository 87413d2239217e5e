//! Weir's engine: how a hit becomes a click, a click an entry, and an entry a number. No HTTP server lives here.

#![deny(unsafe_code)]

pub mod clicks;
pub mod enrich;
mod mapped_file;
