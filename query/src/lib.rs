//! The analysts' edge: queries ([`analytics`]), [`reports`] and everything that operators read ([`management`]).
//! What share links show is [`shared`]. Commands enter elsewhere; nothing here changes anything.

#![forbid(unsafe_code)]

pub mod analytics;
pub mod export;
pub mod management;
pub mod reports;
pub mod shared;

mod admission;
mod format;
mod freshness;
mod recent;

pub use freshness::AsOf;
