//! The live edge: WebSockets, sessions, the embedded web app, the status page.

pub mod web_app;
