//! The table of endpoints. Each names its operation in `docs/openapi/admin-v1.json`.

use http::Method;
use linkspan_platforms::RateClass::{Other, Read};
use linkspan_wire::{Endpoint, operator_endpoint};

use crate::endpoints::{
    account_links, actions, devices, find_user, media, registration_tokens, reports, rooms, server_notices,
    statistics, users,
};

/// The table of all endpoints of the operator API.
pub fn endpoints() -> Vec<Endpoint> {
    vec![
        operator_endpoint(
            Method::GET,
            &["/_linkspan/admin/v1/users"],
            users::list_users,
            Read,
            "docs/openapi/admin-v1.json#list_users",
        ),
        operator_endpoint(
            Method::POST,
            &["/_linkspan/admin/v1/users"],
            users::create_user,
            Other,
            "docs/openapi/admin-v1.json#create_user",
        ),
        operator_endpoint(
            Method::GET,
            &["/_linkspan/admin/v1/users/{user_id}"],
            users::get_user,
            Read,
            "docs/openapi/admin-v1.json#get_user",
        ),
        operator_endpoint(
            Method::PUT,
            &["/_linkspan/admin/v1/users/{user_id}/password"],
            users::set_user_password,
            Other,
            "docs/openapi/admin-v1.json#set_user_password",
        ),
        operator_endpoint(
            Method::PUT,
            &["/_linkspan/admin/v1/users/{user_id}/locked"],
            users::set_user_locked,
            Other,
            "docs/openapi/admin-v1.json#set_user_locked",
        ),
        operator_endpoint(
            Method::PUT,
            &["/_linkspan/admin/v1/users/{user_id}/suspended"],
            users::set_user_suspended,
            Other,
            "docs/openapi/admin-v1.json#set_user_suspended",
        ),
        operator_endpoint(
            Method::PUT,
            &["/_linkspan/admin/v1/users/{user_id}/admin"],
            users::set_user_admin,
            Other,
            "docs/openapi/admin-v1.json#set_user_admin",
        ),
        operator_endpoint(
            Method::POST,
            &["/_linkspan/admin/v1/users/{user_id}/log_out"],
            users::log_user_out,
            Other,
            "docs/openapi/admin-v1.json#log_user_out",
        ),
        operator_endpoint(
            Method::POST,
            &["/_linkspan/admin/v1/users/{user_id}/deactivate"],
            users::deactivate_user,
            Other,
            "docs/openapi/admin-v1.json#deactivate_user",
        ),
        operator_endpoint(
            Method::GET,
            &["/_linkspan/admin/v1/registration_tokens"],
            registration_tokens::list_registration_tokens,
            Read,
            "docs/openapi/admin-v1.json#list_registration_tokens",
        ),
        operator_endpoint(
            Method::POST,
            &["/_linkspan/admin/v1/registration_tokens"],
            registration_tokens::create_registration_token,
            Other,
            "docs/openapi/admin-v1.json#create_registration_token",
        ),
        operator_endpoint(
            Method::DELETE,
            &["/_linkspan/admin/v1/registration_tokens/{token}"],
            registration_tokens::delete_registration_token,
            Other,
            "docs/openapi/admin-v1.json#delete_registration_token",
        ),
        operator_endpoint(
            Method::GET,
            &["/_linkspan/admin/v1/actions"],
            actions::list_actions,
            Read,
            "docs/openapi/admin-v1.json#list_actions",
        ),
        operator_endpoint(
            Method::GET,
            &["/_linkspan/admin/v1/users/{user_id}/devices"],
            devices::list_user_devices,
            Read,
            "docs/openapi/admin-v1.json#list_user_devices",
        ),
        operator_endpoint(
            Method::DELETE,
            &["/_linkspan/admin/v1/users/{user_id}/devices/{device_id}"],
            devices::delete_user_device,
            Other,
            "docs/openapi/admin-v1.json#delete_user_device",
        ),
        operator_endpoint(
            Method::GET,
            &["/_linkspan/admin/v1/reports"],
            reports::list_reports,
            Read,
            "docs/openapi/admin-v1.json#list_reports",
        ),
        operator_endpoint(
            Method::GET,
            &["/_linkspan/admin/v1/reports/{number}"],
            reports::get_report,
            Read,
            "docs/openapi/admin-v1.json#get_report",
        ),
        operator_endpoint(
            Method::POST,
            &["/_linkspan/admin/v1/reports/{number}/close"],
            reports::close_report,
            Other,
            "docs/openapi/admin-v1.json#close_report",
        ),
        operator_endpoint(
            Method::GET,
            &["/_linkspan/admin/v1/account_links"],
            account_links::list_account_links,
            Read,
            "docs/openapi/admin-v1.json#list_account_links",
        ),
        operator_endpoint(
            Method::GET,
            &["/_linkspan/admin/v1/statistics"],
            statistics::get_statistics,
            Read,
            "docs/openapi/admin-v1.json#get_statistics",
        ),
        operator_endpoint(
            Method::GET,
            &["/_linkspan/admin/v1/health"],
            statistics::get_health,
            Read,
            "docs/openapi/admin-v1.json#get_health",
        ),
        operator_endpoint(
            Method::GET,
            &["/_linkspan/admin/v1/limits"],
            statistics::get_limits,
            Read,
            "docs/openapi/admin-v1.json#get_limits",
        ),
        operator_endpoint(
            Method::GET,
            &["/_linkspan/admin/v1/conversations"],
            statistics::list_conversations,
            Read,
            "docs/openapi/admin-v1.json#list_conversations",
        ),
        operator_endpoint(
            Method::GET,
            &["/_linkspan/admin/v1/find_user"],
            find_user::find_user,
            Read,
            "docs/openapi/admin-v1.json#find_user",
        ),
        operator_endpoint(
            Method::GET,
            &["/_linkspan/admin/v1/rooms"],
            rooms::list_rooms,
            Read,
            "docs/openapi/admin-v1.json#list_rooms",
        ),
        operator_endpoint(
            Method::GET,
            &["/_linkspan/admin/v1/rooms/blocked"],
            rooms::list_blocked_rooms,
            Read,
            "docs/openapi/admin-v1.json#list_blocked_rooms",
        ),
        operator_endpoint(
            Method::GET,
            &["/_linkspan/admin/v1/rooms/deletions"],
            rooms::list_room_deletions,
            Read,
            "docs/openapi/admin-v1.json#list_room_deletions",
        ),
        operator_endpoint(
            Method::GET,
            &["/_linkspan/admin/v1/rooms/deletions/{id}"],
            rooms::get_room_deletion,
            Read,
            "docs/openapi/admin-v1.json#get_room_deletion",
        ),
        operator_endpoint(
            Method::GET,
            &["/_linkspan/admin/v1/rooms/{room_id}"],
            rooms::get_room,
            Read,
            "docs/openapi/admin-v1.json#get_room",
        ),
        operator_endpoint(
            Method::GET,
            &["/_linkspan/admin/v1/rooms/{room_id}/members"],
            rooms::list_room_members,
            Read,
            "docs/openapi/admin-v1.json#list_room_members",
        ),
        operator_endpoint(
            Method::PUT,
            &["/_linkspan/admin/v1/rooms/{room_id}/blocked"],
            rooms::set_room_blocked,
            Other,
            "docs/openapi/admin-v1.json#set_room_blocked",
        ),
        operator_endpoint(
            Method::POST,
            &["/_linkspan/admin/v1/rooms/{room_id}/delete"],
            rooms::delete_room,
            Other,
            "docs/openapi/admin-v1.json#delete_room",
        ),
        operator_endpoint(
            Method::GET,
            &["/_linkspan/admin/v1/users/{user_id}/joined_rooms"],
            users::list_user_rooms,
            Read,
            "docs/openapi/admin-v1.json#list_user_rooms",
        ),
        operator_endpoint(
            Method::GET,
            &["/_linkspan/admin/v1/media"],
            media::list_media,
            Read,
            "docs/openapi/admin-v1.json#list_media",
        ),
        operator_endpoint(
            Method::GET,
            &["/_linkspan/admin/v1/media/usage"],
            media::get_media_usage,
            Read,
            "docs/openapi/admin-v1.json#get_media_usage",
        ),
        operator_endpoint(
            Method::POST,
            &["/_linkspan/admin/v1/media/remove"],
            media::remove_media,
            Other,
            "docs/openapi/admin-v1.json#remove_media",
        ),
        operator_endpoint(
            Method::POST,
            &["/_linkspan/admin/v1/media/quarantine"],
            media::quarantine_media,
            Other,
            "docs/openapi/admin-v1.json#quarantine_media",
        ),
        operator_endpoint(
            Method::GET,
            &["/_linkspan/admin/v1/media/{media_id}"],
            media::get_media,
            Read,
            "docs/openapi/admin-v1.json#get_media",
        ),
        operator_endpoint(
            Method::DELETE,
            &["/_linkspan/admin/v1/media/{media_id}"],
            media::delete_media,
            Other,
            "docs/openapi/admin-v1.json#delete_media",
        ),
        operator_endpoint(
            Method::PUT,
            &["/_linkspan/admin/v1/media/{media_id}/quarantined"],
            media::set_media_quarantined,
            Other,
            "docs/openapi/admin-v1.json#set_media_quarantined",
        ),
        operator_endpoint(
            Method::PUT,
            &["/_linkspan/admin/v1/media/{media_id}/protected"],
            media::set_media_protected,
            Other,
            "docs/openapi/admin-v1.json#set_media_protected",
        ),
        operator_endpoint(
            Method::POST,
            &["/_linkspan/admin/v1/server_notices"],
            server_notices::send_server_notice,
            Other,
            "docs/openapi/admin-v1.json#send_server_notice",
        ),
        operator_endpoint(
            Method::GET,
            &["/_linkspan/admin/v1/server_notices/{id}"],
            server_notices::get_server_notice,
            Read,
            "docs/openapi/admin-v1.json#get_server_notice",
        ),
    ]
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use serde_json::Value;

    use super::*;

    const DESCRIPTION: &str = include_str!("../../../docs/openapi/admin-v1.json");

    /// Method, path and name of an endpoint.
    type Line = (String, String, String);

    fn described() -> BTreeSet<Line> {
        let description: Value = serde_json::from_str(DESCRIPTION).expect("the description is JSON");
        let mut lines = BTreeSet::new();
        for (path, methods) in description["paths"].as_object().expect("the description has paths") {
            for (method, operation) in methods.as_object().expect("a path has methods") {
                let name = operation["operationId"].as_str().expect("an operation has an id").to_owned();
                lines.insert((method.to_uppercase(), path.clone(), name));
            }
        }
        lines
    }

    #[test]
    fn the_description_has_these_endpoints() {
        let info = |endpoint: Endpoint| endpoint.info;
        let line = |info: linkspan_wire::EndpointInfo| {
            (info.method.to_owned(), info.path.to_owned(), info.name.to_owned())
        };
        let served: BTreeSet<Line> = endpoints().into_iter().map(info).map(line).collect();
        assert_eq!(served, described());
    }
}
