//! The public edge: where visitors, browsers, providers and operators enter.

#![forbid(unsafe_code)]

pub mod commands;
pub mod providers;
