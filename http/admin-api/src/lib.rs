//! The operator API over HTTP, under `/_linkspan/admin/v1/`: what the administrators of a platform can ask and do, each on
//! their own platform, and the operator of the whole back-end on every platform, through the control socket. The commands
//! of the program and the console call it.
//!
//! `docs/openapi/admin-v1.json` describes it, and a test here holds the two against each other.

mod endpoints;
mod routes;
mod synapse;

pub use routes::endpoints;
pub use synapse::synapse_endpoints;
