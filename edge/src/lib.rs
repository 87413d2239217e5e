//! The HTTP conventions that every edge shares. Read in the order a request meets them: the accept loop ([`listener`]), who
//! asks ([`peer`], [`auth`]), how often ([`limit`]), what for ([`service`], [`route`], [`request`]), and what is answered
//! ([`response`], [`problem`]).

#![forbid(unsafe_code)]

pub mod listener;

pub mod peer;

pub mod auth;

pub mod limit;

pub mod service;

pub mod route;

pub mod request;

pub mod idempotency;

pub mod response;

pub mod problem;
