//! The table of endpoints. Each names its operation in `docs/openapi/client-v1.json`.

use http::Method;
use linkspan_address_book::wire::{BUCKETS_PATH, EVALUATE_PATH, PARAMETERS_PATH};
use linkspan_platforms::RateClass::{Invite, Join, Login, Other, Read, Report, Search};
use linkspan_wire::{Endpoint, SUBMIT_CODE, raw_endpoint};

use crate::endpoints::{
    abilities, blocks, contacts, demo_session, discovery, export, find, handle, invitations, join_links,
    links, matching, platform, reach, report, requests, validation,
};

/// The table of all endpoints of Linkspan's own client API.
pub fn endpoints() -> Vec<Endpoint> {
    vec![
        raw_endpoint(
            Method::GET,
            &["/_linkspan/client/v1/platform"],
            platform::get_platform,
            Read,
            "docs/openapi/client-v1.json#get_platform",
        ),
        raw_endpoint(
            Method::GET,
            &["/_linkspan/client/v1/platforms"],
            platform::list_platforms,
            Read,
            "docs/openapi/client-v1.json#list_platforms",
        ),
        raw_endpoint(
            Method::POST,
            &["/_linkspan/client/v1/demo_session"],
            demo_session::begin_demo_session,
            Login,
            "docs/openapi/client-v1.json#begin_demo_session",
        ),
        raw_endpoint(
            Method::POST,
            &["/_linkspan/client/v1/request_code"],
            validation::request_code,
            Login,
            "docs/openapi/client-v1.json#request_code",
        ),
        raw_endpoint(
            Method::POST,
            &[SUBMIT_CODE],
            validation::submit_code,
            Login,
            "docs/openapi/client-v1.json#submit_code",
        ),
        raw_endpoint(
            Method::GET,
            &["/_linkspan/client/v1/handle"],
            handle::get_handle,
            Read,
            "docs/openapi/client-v1.json#get_handle",
        ),
        raw_endpoint(
            Method::PUT,
            &["/_linkspan/client/v1/handle"],
            handle::change_handle,
            Other,
            "docs/openapi/client-v1.json#change_handle",
        ),
        raw_endpoint(
            Method::GET,
            &["/_linkspan/client/v1/handle/{handle}/available"],
            handle::get_handle_availability,
            Search,
            "docs/openapi/client-v1.json#get_handle_availability",
        ),
        raw_endpoint(
            Method::GET,
            &["/_linkspan/client/v1/handles/{handle}"],
            handle::resolve_handle,
            Search,
            "docs/openapi/client-v1.json#resolve_handle",
        ),
        raw_endpoint(
            Method::POST,
            &["/_linkspan/client/v1/reports"],
            report::report,
            Report,
            "docs/openapi/client-v1.json#report",
        ),
        raw_endpoint(
            Method::GET,
            &[PARAMETERS_PATH],
            matching::get_matching_parameters,
            Read,
            "docs/openapi/client-v1.json#get_matching_parameters",
        ),
        raw_endpoint(
            Method::POST,
            &[EVALUATE_PATH],
            matching::evaluate_addresses,
            Search,
            "docs/openapi/client-v1.json#evaluate_addresses",
        ),
        raw_endpoint(
            Method::POST,
            &[BUCKETS_PATH],
            matching::get_matching_buckets,
            Search,
            "docs/openapi/client-v1.json#get_matching_buckets",
        ),
        raw_endpoint(
            Method::GET,
            &["/_linkspan/client/v1/discovery"],
            discovery::get_discovery,
            Read,
            "docs/openapi/client-v1.json#get_discovery",
        ),
        raw_endpoint(
            Method::PUT,
            &["/_linkspan/client/v1/discovery"],
            discovery::set_discovery,
            Other,
            "docs/openapi/client-v1.json#set_discovery",
        ),
        raw_endpoint(
            Method::POST,
            &["/_linkspan/client/v1/find"],
            find::find_people,
            Search,
            "docs/openapi/client-v1.json#find_people",
        ),
        raw_endpoint(
            Method::GET,
            &["/_linkspan/client/v1/reach"],
            reach::get_reach,
            Read,
            "docs/openapi/client-v1.json#get_reach",
        ),
        raw_endpoint(
            Method::PUT,
            &["/_linkspan/client/v1/reach"],
            reach::set_reach,
            Other,
            "docs/openapi/client-v1.json#set_reach",
        ),
        raw_endpoint(
            Method::GET,
            &["/_linkspan/client/v1/contacts"],
            contacts::list_contacts,
            Read,
            "docs/openapi/client-v1.json#list_contacts",
        ),
        raw_endpoint(
            Method::DELETE,
            &["/_linkspan/client/v1/contacts/{user_id}"],
            contacts::remove_contact,
            Other,
            "docs/openapi/client-v1.json#remove_contact",
        ),
        raw_endpoint(
            Method::GET,
            &["/_linkspan/client/v1/requests"],
            requests::list_requests,
            Read,
            "docs/openapi/client-v1.json#list_requests",
        ),
        raw_endpoint(
            Method::DELETE,
            &["/_linkspan/client/v1/requests/{room_id}"],
            requests::delete_request,
            Other,
            "docs/openapi/client-v1.json#delete_request",
        ),
        raw_endpoint(
            Method::GET,
            &["/_linkspan/client/v1/requests/{room_id}/preview"],
            requests::preview_request,
            Read,
            "docs/openapi/client-v1.json#preview_request",
        ),
        raw_endpoint(
            Method::POST,
            &["/_linkspan/client/v1/requests/{room_id}/accept"],
            requests::accept_request,
            Join,
            "docs/openapi/client-v1.json#accept_request",
        ),
        raw_endpoint(
            Method::POST,
            &["/_linkspan/client/v1/requests/{room_id}/block"],
            requests::block_request,
            Other,
            "docs/openapi/client-v1.json#block_request",
        ),
        raw_endpoint(
            Method::POST,
            &["/_linkspan/client/v1/rooms/{room_id}/invite_by_address"],
            invitations::invite_by_address,
            Invite,
            "docs/openapi/client-v1.json#invite_by_address",
        ),
        raw_endpoint(
            Method::GET,
            &["/_linkspan/client/v1/invitations"],
            invitations::list_invitations,
            Read,
            "docs/openapi/client-v1.json#list_invitations",
        ),
        raw_endpoint(
            Method::POST,
            &["/_linkspan/client/v1/invitations/{token}/accept"],
            invitations::accept_invitation,
            Join,
            "docs/openapi/client-v1.json#accept_invitation",
        ),
        raw_endpoint(
            Method::GET,
            &["/_linkspan/client/v1/blocks"],
            blocks::list_blocks,
            Read,
            "docs/openapi/client-v1.json#list_blocks",
        ),
        raw_endpoint(
            Method::PUT,
            &["/_linkspan/client/v1/blocks/{user_id}"],
            blocks::block_user,
            Other,
            "docs/openapi/client-v1.json#block_user",
        ),
        raw_endpoint(
            Method::DELETE,
            &["/_linkspan/client/v1/blocks/{user_id}"],
            blocks::unblock_user,
            Other,
            "docs/openapi/client-v1.json#unblock_user",
        ),
        raw_endpoint(
            Method::GET,
            &["/_linkspan/client/v1/contacts/{user_id}/card"],
            contacts::get_card,
            Read,
            "docs/openapi/client-v1.json#get_card",
        ),
        raw_endpoint(
            Method::PUT,
            &["/_linkspan/client/v1/abilities"],
            abilities::set_abilities,
            Other,
            "docs/openapi/client-v1.json#set_abilities",
        ),
        raw_endpoint(
            Method::GET,
            &["/_linkspan/client/v1/rooms/{room_id}/abilities"],
            abilities::get_abilities,
            Search,
            "docs/openapi/client-v1.json#get_abilities",
        ),
        raw_endpoint(
            Method::POST,
            &["/_linkspan/client/v1/rooms/{room_id}/join_links"],
            join_links::make_join_link,
            Invite,
            "docs/openapi/client-v1.json#make_join_link",
        ),
        raw_endpoint(
            Method::GET,
            &["/_linkspan/client/v1/rooms/{room_id}/join_links"],
            join_links::list_join_links,
            Read,
            "docs/openapi/client-v1.json#list_join_links",
        ),
        raw_endpoint(
            Method::DELETE,
            &["/_linkspan/client/v1/rooms/{room_id}/join_links/{token}"],
            join_links::revoke_join_link,
            Other,
            "docs/openapi/client-v1.json#revoke_join_link",
        ),
        raw_endpoint(
            Method::GET,
            &["/_linkspan/client/v1/join_links/{token}"],
            join_links::preview_join_link,
            Search,
            "docs/openapi/client-v1.json#preview_join_link",
        ),
        raw_endpoint(
            Method::POST,
            &["/_linkspan/client/v1/join_links/{token}/join"],
            join_links::join_by_link,
            Join,
            "docs/openapi/client-v1.json#join_by_link",
        ),
        raw_endpoint(
            Method::POST,
            &["/_linkspan/client/v1/export"],
            export::export_data,
            Other,
            "docs/openapi/client-v1.json#export_data",
        ),
        raw_endpoint(
            Method::GET,
            &["/_linkspan/client/v1/links"],
            links::get_links,
            Read,
            "docs/openapi/client-v1.json#get_links",
        ),
        raw_endpoint(
            Method::POST,
            &["/_linkspan/client/v1/links/code"],
            links::new_link_code,
            Other,
            "docs/openapi/client-v1.json#new_link_code",
        ),
        raw_endpoint(
            Method::POST,
            &["/_linkspan/client/v1/links/enter"],
            links::enter_link_code,
            Login,
            "docs/openapi/client-v1.json#enter_link_code",
        ),
        raw_endpoint(
            Method::POST,
            &["/_linkspan/client/v1/links/confirm"],
            links::confirm_link,
            Other,
            "docs/openapi/client-v1.json#confirm_link",
        ),
        raw_endpoint(
            Method::POST,
            &["/_linkspan/client/v1/links/decline"],
            links::decline_link,
            Other,
            "docs/openapi/client-v1.json#decline_link",
        ),
        raw_endpoint(
            Method::PUT,
            &["/_linkspan/client/v1/links/choices"],
            links::set_link_choices,
            Other,
            "docs/openapi/client-v1.json#set_link_choices",
        ),
        raw_endpoint(
            Method::DELETE,
            &["/_linkspan/client/v1/links/{user_id}"],
            links::unlink,
            Other,
            "docs/openapi/client-v1.json#unlink",
        ),
    ]
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use linkspan_wire::Access;
    use serde_json::Value;

    use super::endpoints;

    const DESCRIPTION: &str = include_str!("../../../docs/openapi/client-v1.json");

    /// A method, a path, the name of the operation, whether a token is needed.
    type Line = (String, String, String, bool);

    fn described() -> BTreeSet<Line> {
        let description: Value = serde_json::from_str(DESCRIPTION).expect("the description is JSON");
        let mut lines = BTreeSet::new();
        for (path, methods) in description["paths"].as_object().expect("the description has paths") {
            for (method, operation) in methods.as_object().expect("a path has methods") {
                let name = operation["operationId"].as_str().expect("an operation has an id").to_owned();
                let needs_token = operation.get("security").is_none();
                lines.insert((method.to_uppercase(), path.clone(), name, needs_token));
            }
        }
        lines
    }

    /// Where the description says nothing of security, its own rule holds: a token is needed.
    #[test]
    fn the_description_has_these_endpoints() {
        let served: BTreeSet<Line> = endpoints()
            .iter()
            .map(|endpoint| {
                let info = endpoint.info;
                let needs_token = info.access == Access::User;
                (info.method.to_owned(), info.path.to_owned(), info.name.to_owned(), needs_token)
            })
            .collect();
        assert_eq!(served, described());
    }
}
