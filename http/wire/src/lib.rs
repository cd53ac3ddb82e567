//! What every API over HTTP has in common: the table of endpoints and the router that is made from it,
//! proving who calls, reading and limiting bodies, errors, the platform that a request is for, base URLs, and
//! the clock.
//!
//! An API is a list of [`Endpoint`]s, and [`Api`] serves any number of such lists. All APIs call the same
//! services, so there is one [`App`] for all of them and no type parameter for it. All APIs speak the error
//! format of Matrix, so [`ApiError`] and the one file that turns the services' errors into it are here: Rust
//! lets nobody but the crate of the type write these conversions. That is why this crate stands above the
//! services.
//!
//! It has no endpoint of its own, opens no transaction and decides no rule.

mod answer;
mod app;
mod base_url;
mod body;
mod caller;
mod clock;
mod endpoint;
mod error;
mod failed_log_in;
mod operator;
mod page_paths;
mod request_id;
mod router;
mod unsent;

pub use answer::{json_answer, json_response, respond, streamed_content, streamed_json_response};
pub use app::{App, Services};
pub use base_url::{base_url, issuer, known_base_url, scheme};
pub use body::{BodyError, Pace, Sender, WholeRequest, check_object, parse_query, path_args, read_body};
pub use caller::{AnySession, Anybody, Caller, MaybeUser, RequestHead, User, address_of, bearer};
pub use clock::{now_ts, timestamp};
pub use endpoint::{
    Access, Endpoint, EndpointInfo, endpoint, operator_endpoint, raw_endpoint, streaming_endpoint,
};
pub use error::ApiError;
pub use failed_log_in::note_failed_log_in;
pub use operator::{BackEndOperator, FromControlSocket, Operator};
pub use page_paths::{ACCOUNT_PAGE, AUTHORIZATION_PAGE, EMAIL_PAGE, LINK_PAGE, SSO_PAGE, SUBMIT_CODE};
pub use request_id::RequestId;
pub use router::{
    Api, Asked, ClientAddress, ListenerPlatform, platform_of, refuse, unknown_method, unknown_path,
};
