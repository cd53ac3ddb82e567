//! The Matrix client-server API over HTTP.
//!
//! An endpoint is a short function in `endpoints/`: the caller is proved by its first argument's type,
//! ruma's request type brings method, paths and parsing, ONE service call does the work. The table in
//! `routes.rs` lists all endpoints; the router and the isolation test are made from it. Nothing here
//! opens a transaction or decides a rule.

mod app;
mod caller;
mod endpoint;
mod endpoints;
mod error;
mod events;
mod router;
mod routes;

pub use app::{App, Services, now_ts};
pub use caller::address_of;
pub use endpoint::{Access, EndpointInfo};
pub use endpoints::third_party_ids::EMAIL_PAGE;
pub use endpoints::{
    oauth_metadata::{ACCOUNT_PAGE, AUTHORIZATION_PAGE, LINK_PAGE, SSO_PAGE, issuer},
    server_info::{base_url, known_base_url},
};
pub use router::{Api, ClientAddress, ListenerPlatform, platform_of, unknown_method, unknown_path};
pub use routes::list_endpoints;
