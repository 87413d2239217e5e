//! The analysts' edge: queries ([`analytics`]) and everything that operators read. Commands enter elsewhere; nothing here
//! changes anything.

#![forbid(unsafe_code)]

pub mod analytics;

mod format;
mod freshness;

pub use freshness::AsOf;
