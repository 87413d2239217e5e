//! Load from outside: an open-loop generator that knows exactly what it has sent, and a comparison of that
//! with what the engine answers. It links none of the engine's crates: what it believes is what HTTP tells.

#![forbid(unsafe_code)]

pub mod click_to_sale;
pub mod connection;
pub mod deliveries;
pub mod demo;
pub mod oracle;
pub mod payment_to_screen;
pub mod schedule;
pub mod stripe;
pub mod target;
pub mod visitors;
