//! Weir: the only place where the parts are wired together.

#![forbid(unsafe_code)]

pub mod args;
pub mod command;
pub mod config;
mod engine;
mod first_start;
pub mod serve;
