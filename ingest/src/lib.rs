//! The public edge: where visitors, browsers, providers and operators enter.

#![forbid(unsafe_code)]

pub mod redirect;

pub mod hooks;
pub mod postback;
pub mod providers;

pub mod collect;
pub mod commands;

pub mod password;
