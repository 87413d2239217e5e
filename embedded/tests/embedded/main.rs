//! The embedded warehouse as its users see it: real processes, the real libchdb, the official clients.
//!
//! libchdb is taken from `WEIR_LIBCHDB`, else from where `make libchdb` puts it.

#![allow(clippy::unwrap_used)]

mod http_interface;
mod official_clients;
mod processes;
mod rust_client;
mod server;
