//! The Matrix client-server API over HTTP.
//!
//! An endpoint is a short function in `endpoints/`: the caller is proved by its second argument's type, ruma's
//! request type brings method, paths and parsing, and one service call does the work. The table in
//! `routes.rs` lists all endpoints, and the router is made from it. What it shares with other APIs is in
//! `linkspan-wire`. Nothing here opens a transaction or decides a rule.

mod endpoints;
mod events;
mod routes;

pub use routes::endpoints;
