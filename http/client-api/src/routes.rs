//! The table of endpoints: the router, the documentation and the isolation test are made from it.

use linkspan_platforms::RateClass::Free;

use crate::{
    EndpointInfo,
    endpoint::{Endpoint, endpoint},
    endpoints::discovery,
};

/// All endpoints.
pub fn list_endpoints() -> Vec<EndpointInfo> {
    endpoints().into_iter().map(|endpoint| endpoint.info).collect()
}

pub(crate) fn endpoints() -> Vec<Endpoint> {
    vec![
        // Discovery
        endpoint(discovery::get_versions, Free, "client-server-api/#get_matrixclientversions"),
    ]
}
