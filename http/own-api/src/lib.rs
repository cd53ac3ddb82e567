//! Linkspan's own client API over HTTP, under `/_linkspan/client/v1/`: what apps ask that the Matrix client-server API
//! has no endpoint for. It is called as that API is, with the same tokens, errors and limits.
//!
//! `docs/openapi/client-v1.json` describes it, and a test here holds the two against each other.

mod endpoints;
mod routes;

pub use routes::endpoints;
