//! The HTTP conventions that every edge shares. Read in the order a request meets them: the accept loop
//! ([`listener`], [`plain`]), what happens to every request ([`service`]): who asks ([`peer`], [`auth`]), how often
//! ([`limit`]), what for ([`route`], [`request`], [`idempotency`]); and what is answered ([`response`],
//! [`problem`], [`html`]).

#![forbid(unsafe_code)]

pub mod auth;
pub mod html;
pub mod idempotency;
pub mod limit;
pub mod lines;
pub mod listener;
pub mod mail;
pub mod peer;
pub mod plain;
pub mod problem;
pub mod request;
pub mod response;
pub mod route;
pub mod service;
pub mod webhook_client;
