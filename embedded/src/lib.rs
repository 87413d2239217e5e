//! ClickHouse as a child process of the engine.
//!
//! In the order of a query's way: the parent's [`Supervisor`] starts the child (`weir clickhouse`), which is
//! [`serve()`]: it opens libchdb on a data directory and speaks ClickHouse's HTTP interface on a loopback
//! port. A request is authenticated, split into statement and data, and run on a connection of its own; rows
//! flow from the library to the socket through a pipe.
//!
//! libchdb has no users and no row policies, and its `readonly` does not stop `file()` or `url()`: whoever
//! knows the password can do what the process can. Untrusted SQL must never reach it.

//!
//! Every request is a session of its own: `session_id` is taken and means nothing, so temporary tables and
//! `SET` do not outlive the request they came in.

mod answer;
mod authentication;
mod compression;
mod exception;
mod execution;
mod flushes;
mod form;
mod http_interface;
mod libchdb;
mod lifetime;
mod request;
mod server;
mod statement;
mod supervisor;

pub use libchdb::{LoadError, locate};
pub use server::{ServeError, ServeOptions, serve};
pub use supervisor::{Endpoint, PASSWORD_VARIABLE, Supervisor, SupervisorError, SupervisorOptions};
