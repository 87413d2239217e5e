//! Weir's vocabulary: every fact, id, amount and contract is stated here once, and nothing here does I/O.
//!
//! Read in the order the data flows: who and when ([`ids`], [`time`], [`money`]; tables: [`csv`]), what the
//! edge saw ([`hit`], [`query_string`]),
//! what was made of it ([`click`], [`signal`], [`cidr`]), what is kept for ever ([`fact`]), what it meant for
//! the numbers ([`effect`]), the contracts by which others ask ([`link`], [`conversion`], [`program`],
//! [`partner`], [`commission`], [`ledger`], [`query`], [`saved`], [`alert`], [`live`], [`json`], [`problem`]), how
//! shares are written ([`percent`]), and the warehouse's schema ([`migrations`]).

#![forbid(unsafe_code)]

pub mod alert;
pub mod cidr;
pub mod click;
pub mod commission;
pub mod conversion;
pub mod csv;
pub mod effect;
pub mod event;
pub mod fact;
pub mod fx;
pub mod hit;
pub mod ids;
pub mod json;
pub mod ledger;
pub mod link;
pub mod live;
pub mod migrations;
pub mod money;
pub mod outbound;
pub mod partner;
pub mod payout;
pub mod percent;
pub mod postback;
pub mod problem;
pub mod program;
pub mod query;
pub mod query_string;
pub mod saved;
pub mod signal;
pub mod statement;
pub mod time;
pub mod wallet;
pub mod wire;
