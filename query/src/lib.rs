//! The analysts' edge: queries ([`analytics`]), [`reports`] and everything that operators read ([`management`]).
//! Commands enter elsewhere; nothing here changes anything.

#![forbid(unsafe_code)]

pub mod analytics;
pub mod export;
pub mod management;
pub mod reports;

mod format;
mod freshness;
mod recent;

pub use freshness::AsOf;
