//! Weir's engine: how a hit becomes a click, a click an entry, and an entry a number. No HTTP server lives here.

#![deny(unsafe_code)]

pub mod alerts;
pub mod books;
pub mod caps;
pub mod clicks;
pub mod data_dir;
pub mod endpoints;
pub mod enrich;
pub mod fx;
pub mod journal;
pub mod keyring;
pub mod keys;
pub mod links;
pub mod live;
pub mod mail;
mod mapped_file;
pub mod outbound;
pub mod partner_addresses;
pub mod postback_tokens;
pub mod query;
pub mod recorder;
pub mod redirect_stats;
pub mod signals;
pub mod sites;
pub mod token;
pub mod warehouse;
pub mod watermark;
