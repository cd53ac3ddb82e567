//! The table of endpoints: the router, the documentation and the isolation test are made from it.

use linkspan_platforms::RateClass::{Free, Other};

use crate::{
    EndpointInfo,
    endpoint::{Endpoint, endpoint},
    endpoints::{discovery, push},
};

/// All endpoints.
pub fn list_endpoints() -> Vec<EndpointInfo> {
    endpoints().into_iter().map(|endpoint| endpoint.info).collect()
}

pub(crate) fn endpoints() -> Vec<Endpoint> {
    vec![
        // Discovery
        endpoint(discovery::get_versions, Free, "client-server-api/#get_matrixclientversions"),
        // Push rules
        endpoint(push::get_push_rules, Free, "client-server-api/#get_matrixclientv3pushrules"),
        endpoint(push::get_global_push_rules, Free, "client-server-api/#get_matrixclientv3pushrulesglobal"),
        endpoint(
            push::get_push_rule,
            Free,
            "client-server-api/#get_matrixclientv3pushrulesglobalkindruleid",
        ),
        endpoint(
            push::put_push_rule,
            Other,
            "client-server-api/#put_matrixclientv3pushrulesglobalkindruleid",
        ),
        endpoint(
            push::delete_push_rule,
            Other,
            "client-server-api/#delete_matrixclientv3pushrulesglobalkindruleid",
        ),
        endpoint(
            push::get_push_rule_enabled,
            Free,
            "client-server-api/#get_matrixclientv3pushrulesglobalkindruleidenabled",
        ),
        endpoint(
            push::put_push_rule_enabled,
            Other,
            "client-server-api/#put_matrixclientv3pushrulesglobalkindruleidenabled",
        ),
        endpoint(
            push::get_push_rule_actions,
            Free,
            "client-server-api/#get_matrixclientv3pushrulesglobalkindruleidactions",
        ),
        endpoint(
            push::put_push_rule_actions,
            Other,
            "client-server-api/#put_matrixclientv3pushrulesglobalkindruleidactions",
        ),
        // Pushers and notifications
        endpoint(push::get_pushers, Free, "client-server-api/#get_matrixclientv3pushers"),
        endpoint(push::set_pusher, Other, "client-server-api/#post_matrixclientv3pushersset"),
        endpoint(push::get_notifications, Free, "client-server-api/#get_matrixclientv3notifications"),
    ]
}
