//! The table of endpoints. The router is made from it, and the tests `walls` and `bad_input` drive each of them.

use http::Method;
use linkspan_platforms::RateClass::{
    CreateRoom, Free, Invite, Join, Login, Message, Other, Read, Registration, Report, Search, Typing, Upload,
};
use linkspan_wire::{Endpoint, endpoint, raw_endpoint, streaming_endpoint};

use crate::endpoints::{
    account, account_data, dehydrated_device, delayed_events, devices, directory, discovery, filters,
    key_backup, keys, media, membership, moderation, oauth, oauth_metadata, presence, previews, profile,
    push, read, receipts, registration, report, rooms, search, send, server_info, session, sliding_sync,
    sync, third_party_ids, thirdparty, thread_subscriptions, to_device,
};

const MSC4140: &str = "https://github.com/matrix-org/matrix-spec-proposals/pull/4140";
const MSC4174: &str = "https://github.com/matrix-org/matrix-spec-proposals/pull/4174";
const MSC4306: &str = "https://github.com/matrix-org/matrix-spec-proposals/pull/4306";

/// The table of all endpoints of the client-server API.
pub fn endpoints() -> Vec<Endpoint> {
    vec![
        // Sync
        raw_endpoint(
            Method::GET,
            &["/_matrix/client/r0/sync", "/_matrix/client/v3/sync"],
            sync::sync,
            Read,
            "client-server-api/#get_matrixclientv3sync",
        )
        .open_to_guests(),
        raw_endpoint(
            Method::POST,
            &["/_matrix/client/unstable/org.matrix.simplified_msc3575/sync"],
            sliding_sync::sliding_sync_unstable,
            Read,
            "https://github.com/matrix-org/matrix-spec-proposals/pull/4186",
        )
        .open_to_guests()
        .may_be_dropped(),
        raw_endpoint(
            Method::POST,
            &["/_matrix/client/v4/sync"],
            sliding_sync::sliding_sync,
            Read,
            "https://github.com/matrix-org/matrix-spec-proposals/pull/4186",
        )
        .open_to_guests()
        .may_be_dropped(),
        // Discovery
        endpoint(discovery::get_versions, Read, "client-server-api/#get_matrixclientversions"),
        raw_endpoint(
            Method::GET,
            &["/_matrix/client/r0/capabilities", "/_matrix/client/v3/capabilities"],
            server_info::get_capabilities,
            Read,
            "client-server-api/#get_matrixclientv3capabilities",
        )
        .open_to_guests(),
        raw_endpoint(
            Method::GET,
            &["/.well-known/matrix/client"],
            server_info::get_well_known,
            Read,
            "client-server-api/#getwell-knownmatrixclient",
        ),
        raw_endpoint(
            Method::GET,
            &["/.well-known/matrix/support"],
            server_info::get_support,
            Read,
            "client-server-api/#getwell-knownmatrixsupport",
        ),
        raw_endpoint(
            Method::GET,
            &["/_matrix/client/r0/voip/turnServer", "/_matrix/client/v3/voip/turnServer"],
            server_info::get_turn_server,
            Read,
            "client-server-api/#get_matrixclientv3voipturnserver",
        ),
        raw_endpoint(
            Method::GET,
            &[
                "/_matrix/client/unstable/org.matrix.msc4143/rtc/transports",
                "/_matrix/client/v1/rtc/transports",
            ],
            server_info::get_rtc_transports,
            Read,
            "https://github.com/matrix-org/matrix-spec-proposals/pull/4143",
        ),
        // Networks beyond Matrix
        endpoint(
            thirdparty::get_thirdparty_protocols,
            Read,
            "client-server-api/#get_matrixclientv3thirdpartyprotocols",
        ),
        endpoint(
            thirdparty::get_thirdparty_protocol,
            Read,
            "client-server-api/#get_matrixclientv3thirdpartyprotocolprotocol",
        ),
        endpoint(
            thirdparty::get_thirdparty_locations,
            Read,
            "client-server-api/#get_matrixclientv3thirdpartylocationprotocol",
        ),
        endpoint(
            thirdparty::get_thirdparty_users,
            Read,
            "client-server-api/#get_matrixclientv3thirdpartyuserprotocol",
        ),
        endpoint(
            thirdparty::get_thirdparty_locations_of_alias,
            Read,
            "client-server-api/#get_matrixclientv3thirdpartylocation",
        ),
        endpoint(
            thirdparty::get_thirdparty_users_of_user,
            Read,
            "client-server-api/#get_matrixclientv3thirdpartyuser",
        ),
        // Registration
        endpoint(registration::register, Registration, "client-server-api/#post_matrixclientv3register"),
        endpoint(
            registration::get_username_availability,
            Other,
            "client-server-api/#get_matrixclientv3registeravailable",
        ),
        endpoint(
            registration::check_registration_token,
            Registration,
            "client-server-api/#get_matrixclientv1registermloginregistration_tokenvalidity",
        ),
        raw_endpoint(
            Method::GET,
            &["/_synapse/admin/v1/register"],
            registration::get_registration_nonce,
            Read,
            "https://element-hq.github.io/synapse/latest/admin_api/register_api.html",
        ),
        raw_endpoint(
            Method::POST,
            &["/_synapse/admin/v1/register"],
            registration::register_by_shared_secret,
            Read,
            "https://element-hq.github.io/synapse/latest/admin_api/register_api.html",
        ),
        // Sessions
        raw_endpoint(
            Method::GET,
            &["/_matrix/client/r0/login", "/_matrix/client/v3/login"],
            session::get_login_types,
            Read,
            "client-server-api/#get_matrixclientv3login",
        ),
        endpoint(session::get_login_token, Other, "client-server-api/#post_matrixclientv1loginget_token"),
        // OAuth 2.0
        raw_endpoint(
            Method::GET,
            &[
                "/.well-known/oauth-authorization-server",
                "/.well-known/openid-configuration",
                "/_matrix/client/unstable/org.matrix.msc2965/auth_metadata",
                "/_matrix/client/v1/auth_metadata",
            ],
            oauth_metadata::get_auth_metadata,
            Read,
            "client-server-api/#get_matrixclientv1auth_metadata",
        ),
        raw_endpoint(
            Method::GET,
            &["/_matrix/client/unstable/org.matrix.msc2965/auth_issuer"],
            oauth_metadata::get_auth_issuer,
            Read,
            "https://github.com/matrix-org/matrix-spec-proposals/pull/2965",
        ),
        raw_endpoint(
            Method::GET,
            &["/_matrix/client/r0/login/sso/redirect", "/_matrix/client/v3/login/sso/redirect"],
            oauth_metadata::redirect_to_log_in,
            Read,
            "client-server-api/#get_matrixclientv3loginssoredirect",
        ),
        raw_endpoint(
            Method::GET,
            &[
                "/_matrix/client/unstable/org.matrix.msc2858/login/sso/redirect/{idp_id}",
                "/_matrix/client/v3/login/sso/redirect/{idp_id}",
            ],
            oauth_metadata::redirect_to_provider,
            Read,
            "client-server-api/#get_matrixclientv3loginssoredirectidpid",
        ),
        streaming_endpoint(
            Method::POST,
            &[oauth_metadata::REGISTRATION],
            oauth::register_client,
            Registration,
            "client-server-api/#client-registration",
        ),
        streaming_endpoint(
            Method::POST,
            &[oauth_metadata::TOKEN],
            oauth::give_tokens,
            Other,
            "client-server-api/#grant-types",
        ),
        streaming_endpoint(
            Method::POST,
            &[oauth_metadata::REVOCATION],
            oauth::revoke_token,
            Other,
            "client-server-api/#token-revocation",
        ),
        streaming_endpoint(
            Method::POST,
            &[oauth_metadata::DEVICE_AUTHORIZATION],
            oauth::begin_device_grant,
            Login,
            "client-server-api/#device-authorisation-grant",
        ),
        raw_endpoint(
            Method::POST,
            &["/_matrix/client/r0/login", "/_matrix/client/v3/login"],
            session::log_in,
            Login,
            "client-server-api/#post_matrixclientv3login",
        ),
        endpoint(session::refresh_token, Other, "client-server-api/#post_matrixclientv3refresh"),
        endpoint(session::log_out, Free, "client-server-api/#post_matrixclientv3logout").open_to_guests(),
        endpoint(session::log_out_all, Free, "client-server-api/#post_matrixclientv3logoutall")
            .open_to_guests(),
        endpoint(session::whoami, Read, "client-server-api/#get_matrixclientv3accountwhoami")
            .open_to_guests(),
        // Accounts
        endpoint(account::change_password, Other, "client-server-api/#post_matrixclientv3accountpassword"),
        endpoint(account::deactivate, Other, "client-server-api/#post_matrixclientv3accountdeactivate"),
        // E-mail addresses and phone numbers
        raw_endpoint(
            Method::POST,
            &[
                "/_matrix/client/r0/register/email/requestToken",
                "/_matrix/client/v3/register/email/requestToken",
            ],
            third_party_ids::request_register_token,
            Registration,
            "client-server-api/#post_matrixclientv3registeremailrequesttoken",
        ),
        raw_endpoint(
            Method::POST,
            &[
                "/_matrix/client/r0/account/password/email/requestToken",
                "/_matrix/client/v3/account/password/email/requestToken",
            ],
            third_party_ids::request_password_token,
            Login,
            "client-server-api/#post_matrixclientv3accountpasswordemailrequesttoken",
        ),
        raw_endpoint(
            Method::POST,
            &[
                "/_matrix/client/r0/account/3pid/email/requestToken",
                "/_matrix/client/v3/account/3pid/email/requestToken",
            ],
            third_party_ids::request_3pid_token,
            Login,
            "client-server-api/#post_matrixclientv3account3pidemailrequesttoken",
        ),
        raw_endpoint(
            Method::POST,
            &[
                "/_matrix/client/r0/register/msisdn/requestToken",
                "/_matrix/client/v3/register/msisdn/requestToken",
            ],
            third_party_ids::request_register_token_by_phone,
            Registration,
            "client-server-api/#post_matrixclientv3registermsisdnrequesttoken",
        ),
        raw_endpoint(
            Method::POST,
            &[
                "/_matrix/client/r0/account/password/msisdn/requestToken",
                "/_matrix/client/v3/account/password/msisdn/requestToken",
            ],
            third_party_ids::request_password_token_by_phone,
            Login,
            "client-server-api/#post_matrixclientv3accountpasswordmsisdnrequesttoken",
        ),
        raw_endpoint(
            Method::POST,
            &[
                "/_matrix/client/r0/account/3pid/msisdn/requestToken",
                "/_matrix/client/v3/account/3pid/msisdn/requestToken",
            ],
            third_party_ids::request_3pid_token_by_phone,
            Login,
            "client-server-api/#post_matrixclientv3account3pidmsisdnrequesttoken",
        ),
        raw_endpoint(
            Method::GET,
            &["/_matrix/client/r0/account/3pid", "/_matrix/client/v3/account/3pid"],
            third_party_ids::get_3pids,
            Read,
            "client-server-api/#get_matrixclientv3account3pid",
        ),
        endpoint(third_party_ids::add_3pid, Other, "client-server-api/#post_matrixclientv3account3pidadd"),
        endpoint(
            third_party_ids::delete_3pid,
            Other,
            "client-server-api/#post_matrixclientv3account3piddelete",
        ),
        endpoint(
            account::request_openid_token,
            Other,
            "client-server-api/#post_matrixclientv3useruseridopenidrequest_token",
        ),
        raw_endpoint(
            Method::GET,
            &["/_matrix/federation/v1/openid/userinfo"],
            account::get_openid_user,
            Read,
            "server-server-api/#get_matrixfederationv1openiduserinfo",
        ),
        // Administration
        endpoint(account::get_user_info, Read, "client-server-api/#get_matrixclientv3adminwhoisuserid"),
        endpoint(moderation::get_locked, Read, "client-server-api/#get_matrixclientv1adminlockuserid"),
        endpoint(moderation::set_locked, Other, "client-server-api/#put_matrixclientv1adminlockuserid"),
        endpoint(moderation::get_suspended, Read, "client-server-api/#get_matrixclientv1adminsuspenduserid"),
        endpoint(moderation::set_suspended, Other, "client-server-api/#put_matrixclientv1adminsuspenduserid"),
        // Devices
        endpoint(devices::get_devices, Read, "client-server-api/#get_matrixclientv3devices").open_to_guests(),
        endpoint(devices::get_device, Read, "client-server-api/#get_matrixclientv3devicesdeviceid")
            .open_to_guests(),
        endpoint(devices::update_device, Other, "client-server-api/#put_matrixclientv3devicesdeviceid")
            .open_to_guests(),
        endpoint(devices::delete_device, Other, "client-server-api/#delete_matrixclientv3devicesdeviceid"),
        endpoint(devices::delete_devices, Other, "client-server-api/#post_matrixclientv3delete_devices"),
        // Profiles
        // Whoever has not logged in is counted by address: they could ask for every name that there may be.
        endpoint(profile::get_profile, Other, "client-server-api/#get_matrixclientv3profileuserid")
            .open_to_guests(),
        endpoint(
            profile::get_profile_field,
            Other,
            "client-server-api/#get_matrixclientv3profileuseridkeyname",
        )
        .open_to_guests(),
        raw_endpoint(
            Method::PUT,
            &[
                "/_matrix/client/unstable/uk.tcpip.msc4133/profile/{user_id}/{field}",
                "/_matrix/client/r0/profile/{user_id}/{field}",
                "/_matrix/client/v3/profile/{user_id}/{field}",
            ],
            profile::set_profile_field,
            Other,
            "client-server-api/#put_matrixclientv3profileuseridkeyname",
        )
        .open_to_guests(),
        endpoint(
            profile::delete_profile_field,
            Other,
            "client-server-api/#delete_matrixclientv3profileuseridkeyname",
        )
        .open_to_guests(),
        // Account data
        endpoint(
            account_data::get_global_account_data,
            Read,
            "client-server-api/#get_matrixclientv3useruseridaccount_datatype",
        ),
        endpoint(
            account_data::set_global_account_data,
            Other,
            "client-server-api/#put_matrixclientv3useruseridaccount_datatype",
        ),
        endpoint(
            account_data::get_room_account_data,
            Read,
            "client-server-api/#get_matrixclientv3useruseridroomsroomidaccount_datatype",
        ),
        endpoint(
            account_data::set_room_account_data,
            Other,
            "client-server-api/#put_matrixclientv3useruseridroomsroomidaccount_datatype",
        ),
        raw_endpoint(
            Method::DELETE,
            &[
                "/_matrix/client/v3/user/{user_id}/account_data/{event_type}",
                "/_matrix/client/unstable/org.matrix.msc3391/user/{user_id}/account_data/{event_type}",
            ],
            account_data::delete_global_account_data,
            Other,
            "https://github.com/matrix-org/matrix-spec-proposals/pull/3391",
        ),
        raw_endpoint(
            Method::DELETE,
            &[
                "/_matrix/client/v3/user/{user_id}/rooms/{room_id}/account_data/{event_type}",
                "/_matrix/client/unstable/org.matrix.msc3391/user/{user_id}/rooms/{room_id}/account_data/{event_type}",
            ],
            account_data::delete_room_account_data,
            Other,
            "https://github.com/matrix-org/matrix-spec-proposals/pull/3391",
        ),
        endpoint(
            account_data::get_tags,
            Read,
            "client-server-api/#get_matrixclientv3useruseridroomsroomidtags",
        ),
        endpoint(
            account_data::create_tag,
            Other,
            "client-server-api/#put_matrixclientv3useruseridroomsroomidtagstag",
        ),
        endpoint(
            account_data::delete_tag,
            Other,
            "client-server-api/#delete_matrixclientv3useruseridroomsroomidtagstag",
        ),
        // Filters
        raw_endpoint(
            Method::POST,
            &["/_matrix/client/r0/user/{user_id}/filter", "/_matrix/client/v3/user/{user_id}/filter"],
            filters::create_filter,
            Other,
            "client-server-api/#post_matrixclientv3useruseridfilter",
        )
        .open_to_guests(),
        raw_endpoint(
            Method::GET,
            &[
                "/_matrix/client/r0/user/{user_id}/filter/{filter_id}",
                "/_matrix/client/v3/user/{user_id}/filter/{filter_id}",
            ],
            filters::get_filter,
            Read,
            "client-server-api/#get_matrixclientv3useruseridfilterfilterid",
        )
        .open_to_guests(),
        // Push rules
        endpoint(push::get_push_rules, Read, "client-server-api/#get_matrixclientv3pushrules"),
        endpoint(push::get_global_push_rules, Read, "client-server-api/#get_matrixclientv3pushrulesglobal"),
        endpoint(push::get_push_rule, Read, "client-server-api/#get_matrixclientv3pushrulesglobalkindruleid"),
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
            Read,
            "client-server-api/#get_matrixclientv3pushrulesglobalkindruleidenabled",
        ),
        endpoint(
            push::put_push_rule_enabled,
            Other,
            "client-server-api/#put_matrixclientv3pushrulesglobalkindruleidenabled",
        ),
        endpoint(
            push::get_push_rule_actions,
            Read,
            "client-server-api/#get_matrixclientv3pushrulesglobalkindruleidactions",
        ),
        endpoint(
            push::put_push_rule_actions,
            Other,
            "client-server-api/#put_matrixclientv3pushrulesglobalkindruleidactions",
        ),
        // Pushers and notifications
        raw_endpoint(
            Method::GET,
            &["/_matrix/client/r0/pushers", "/_matrix/client/v3/pushers"],
            push::get_pushers,
            Read,
            "client-server-api/#get_matrixclientv3pushers",
        ),
        raw_endpoint(
            Method::POST,
            &["/_matrix/client/r0/pushers/set", "/_matrix/client/v3/pushers/set"],
            push::set_pusher,
            Other,
            "client-server-api/#post_matrixclientv3pushersset",
        ),
        raw_endpoint(
            Method::POST,
            &["/_matrix/client/v3/pushers/ack"],
            push::acknowledge_pusher,
            Read,
            MSC4174,
        ),
        endpoint(push::get_notifications, Read, "client-server-api/#get_matrixclientv3notifications"),
        // Rooms
        raw_endpoint(
            Method::POST,
            &["/_matrix/client/r0/createRoom", "/_matrix/client/v3/createRoom"],
            rooms::create_room,
            CreateRoom,
            "client-server-api/#post_matrixclientv3createroom",
        ),
        raw_endpoint(
            Method::POST,
            &["/_matrix/client/r0/rooms/{room_id}/upgrade", "/_matrix/client/v3/rooms/{room_id}/upgrade"],
            rooms::upgrade_room,
            CreateRoom,
            "client-server-api/#post_matrixclientv3roomsroomidupgrade",
        ),
        endpoint(rooms::get_joined_rooms, Read, "client-server-api/#get_matrixclientv3joined_rooms"),
        endpoint(rooms::get_aliases, Read, "client-server-api/#get_matrixclientv3roomsroomidaliases"),
        endpoint(
            rooms::get_room_summary,
            Read,
            "client-server-api/#get_matrixclientv1room_summaryroomidoralias",
        )
        .also_at("/_matrix/client/unstable/im.nheko.summary/summary/{room_id_or_alias}"),
        endpoint(rooms::get_hierarchy, Read, "client-server-api/#get_matrixclientv1roomsroomidhierarchy"),
        endpoint(rooms::get_mutual_rooms, Read, "client-server-api/#get_matrixclientv1mutual_rooms"),
        endpoint(
            rooms::get_mutual_rooms_unstable,
            Read,
            "https://github.com/matrix-org/matrix-spec-proposals/pull/2666",
        ),
        // Membership
        endpoint(membership::join_room, Join, "client-server-api/#post_matrixclientv3roomsroomidjoin")
            .open_to_guests(),
        endpoint(
            membership::join_room_or_alias,
            Join,
            "client-server-api/#post_matrixclientv3joinroomidoralias",
        )
        .open_to_guests(),
        raw_endpoint(
            Method::POST,
            &["/_matrix/client/r0/rooms/{room_id}/invite", "/_matrix/client/v3/rooms/{room_id}/invite"],
            membership::invite_user,
            Invite,
            "client-server-api/#post_matrixclientv3roomsroomidinvite",
        ),
        endpoint(membership::leave_room, Other, "client-server-api/#post_matrixclientv3roomsroomidleave")
            .open_to_guests(),
        endpoint(membership::forget_room, Other, "client-server-api/#post_matrixclientv3roomsroomidforget"),
        endpoint(membership::kick_user, Other, "client-server-api/#post_matrixclientv3roomsroomidkick"),
        endpoint(membership::ban_user, Other, "client-server-api/#post_matrixclientv3roomsroomidban"),
        endpoint(membership::unban_user, Other, "client-server-api/#post_matrixclientv3roomsroomidunban"),
        endpoint(membership::knock_room, Join, "client-server-api/#post_matrixclientv3knockroomidoralias"),
        // Sending
        raw_endpoint(
            Method::PUT,
            &[
                "/_matrix/client/r0/rooms/{room_id}/send/{event_type}/{txn_id}",
                "/_matrix/client/v3/rooms/{room_id}/send/{event_type}/{txn_id}",
            ],
            send::send_message,
            Message,
            "client-server-api/#put_matrixclientv3roomsroomidsendeventtypetxnid",
        )
        .open_to_guests()
        .with_parameter(
            delayed_events::DELAY,
            raw_endpoint(Method::PUT, &[""], delayed_events::delay_message, Message, MSC4140),
        ),
        endpoint(
            send::redact_event,
            Message,
            "client-server-api/#put_matrixclientv3roomsroomidredacteventidtxnid",
        ),
        endpoint(
            send::set_state,
            Other,
            "client-server-api/#put_matrixclientv3roomsroomidstateeventtypestatekey",
        )
        .open_to_guests()
        .also_at("/_matrix/client/r0/rooms/{room_id}/state/{event_type}")
        .also_at("/_matrix/client/r0/rooms/{room_id}/state/{event_type}/")
        .also_at("/_matrix/client/v3/rooms/{room_id}/state/{event_type}")
        .also_at("/_matrix/client/v3/rooms/{room_id}/state/{event_type}/")
        .with_parameter(
            delayed_events::DELAY,
            raw_endpoint(Method::PUT, &[""], delayed_events::delay_state, Message, MSC4140),
        ),
        // Delayed events
        raw_endpoint(
            Method::PUT,
            &[
                "/_matrix/client/unstable/org.matrix.msc4140/rooms/{room_id}/delayed_event/{event_type}/{txn_id}",
            ],
            delayed_events::schedule_event,
            Message,
            MSC4140,
        ),
        raw_endpoint(
            Method::GET,
            &["/_matrix/client/unstable/org.matrix.msc4140/delayed_events/{delay_id}"],
            delayed_events::get_delayed_event,
            Read,
            MSC4140,
        ),
        raw_endpoint(
            Method::GET,
            &["/_matrix/client/unstable/org.matrix.msc4140/delayed_events"],
            delayed_events::get_delayed_events,
            Other,
            MSC4140,
        ),
        raw_endpoint(
            Method::POST,
            &["/_matrix/client/unstable/org.matrix.msc4140/delayed_events/{delay_id}"],
            delayed_events::update_delayed_event,
            Other,
            MSC4140,
        ),
        raw_endpoint(
            Method::POST,
            &["/_matrix/client/unstable/org.matrix.msc4140/delayed_events/{delay_id}/{action}"],
            delayed_events::act_on_delayed_event,
            Other,
            MSC4140,
        ),
        // Reading
        endpoint(read::get_event, Read, "client-server-api/#get_matrixclientv3roomsroomideventeventid")
            .open_to_guests(),
        raw_endpoint(
            Method::GET,
            &["/_matrix/client/r0/rooms/{room_id}/state", "/_matrix/client/v3/rooms/{room_id}/state"],
            read::get_state,
            Read,
            "client-server-api/#get_matrixclientv3roomsroomidstate",
        )
        .open_to_guests(),
        endpoint(
            read::get_state_event,
            Read,
            "client-server-api/#get_matrixclientv3roomsroomidstateeventtypestatekey",
        )
        .open_to_guests()
        .also_at("/_matrix/client/r0/rooms/{room_id}/state/{event_type}")
        .also_at("/_matrix/client/r0/rooms/{room_id}/state/{event_type}/")
        .also_at("/_matrix/client/v3/rooms/{room_id}/state/{event_type}")
        .also_at("/_matrix/client/v3/rooms/{room_id}/state/{event_type}/"),
        raw_endpoint(
            Method::GET,
            &["/_matrix/client/r0/rooms/{room_id}/members", "/_matrix/client/v3/rooms/{room_id}/members"],
            read::get_members,
            Read,
            "client-server-api/#get_matrixclientv3roomsroomidmembers",
        )
        .open_to_guests(),
        endpoint(
            read::get_joined_members,
            Read,
            "client-server-api/#get_matrixclientv3roomsroomidjoined_members",
        ),
        raw_endpoint(
            Method::GET,
            &["/_matrix/client/r0/rooms/{room_id}/messages", "/_matrix/client/v3/rooms/{room_id}/messages"],
            read::get_messages,
            Read,
            "client-server-api/#get_matrixclientv3roomsroomidmessages",
        )
        .open_to_guests(),
        raw_endpoint(
            Method::GET,
            &[
                "/_matrix/client/r0/rooms/{room_id}/context/{event_id}",
                "/_matrix/client/v3/rooms/{room_id}/context/{event_id}",
            ],
            read::get_context,
            Read,
            "client-server-api/#get_matrixclientv3roomsroomidcontexteventid",
        )
        .open_to_guests(),
        endpoint(
            read::get_relations,
            Read,
            "client-server-api/#get_matrixclientv1roomsroomidrelationseventid",
        )
        .also_named(read::EARLIER_RELATIONS_PARAMETERS),
        endpoint(
            read::get_relations_of_type,
            Read,
            "client-server-api/#get_matrixclientv1roomsroomidrelationseventidreltype",
        )
        .also_named(read::EARLIER_RELATIONS_PARAMETERS),
        endpoint(
            read::get_relations_of_types,
            Read,
            "client-server-api/#get_matrixclientv1roomsroomidrelationseventidreltypeeventtype",
        )
        .also_named(read::EARLIER_RELATIONS_PARAMETERS),
        endpoint(read::get_threads, Read, "client-server-api/#get_matrixclientv1roomsroomidthreads"),
        endpoint(
            read::get_event_near,
            Read,
            "client-server-api/#get_matrixclientv1roomsroomidtimestamp_to_event",
        ),
        endpoint(read::get_snapshot, Read, "client-server-api/#get_matrixclientv3roomsroomidinitialsync")
            .open_to_guests(),
        // Media
        streaming_endpoint(
            Method::POST,
            media::UPLOAD_PATHS,
            media::upload,
            Upload,
            "client-server-api/#post_matrixmediav3upload",
        ),
        endpoint(media::create_media, Upload, "client-server-api/#post_matrixmediav1create"),
        streaming_endpoint(
            Method::PUT,
            media::UPLOAD_TO_PATHS,
            media::upload_to,
            Upload,
            "client-server-api/#put_matrixmediav3uploadservernamemediaid",
        ),
        endpoint(media::get_config, Read, "client-server-api/#get_matrixclientv1mediaconfig"),
        endpoint(media::get_legacy_config, Read, "client-server-api/#get_matrixmediav3config"),
        raw_endpoint(
            Method::GET,
            media::DOWNLOAD_PATHS,
            media::download,
            Read,
            "client-server-api/#get_matrixclientv1mediadownloadservernamemediaid",
        )
        .open_to_guests(),
        raw_endpoint(
            Method::GET,
            media::THUMBNAIL_PATHS,
            media::get_thumbnail,
            Read,
            "client-server-api/#get_matrixclientv1mediathumbnailservernamemediaid",
        )
        .open_to_guests(),
        raw_endpoint(
            Method::GET,
            media::LEGACY_DOWNLOAD_PATHS,
            media::download_legacy,
            Read,
            "client-server-api/#get_matrixmediav3downloadservernamemediaid",
        ),
        raw_endpoint(
            Method::GET,
            media::LEGACY_THUMBNAIL_PATHS,
            media::get_legacy_thumbnail,
            Read,
            "client-server-api/#get_matrixmediav3thumbnailservernamemediaid",
        ),
        raw_endpoint(
            Method::GET,
            &[
                "/_matrix/client/unstable/org.matrix.msc3916/media/preview_url",
                "/_matrix/media/r0/preview_url",
                "/_matrix/media/v1/preview_url",
                "/_matrix/media/v3/preview_url",
                "/_matrix/client/v1/media/preview_url",
            ],
            previews::preview_url,
            Search,
            "client-server-api/#get_matrixclientv1mediapreview_url",
        ),
        // Receipts and typing
        endpoint(
            receipts::create_receipt,
            Other,
            "client-server-api/#post_matrixclientv3roomsroomidreceiptreceipttypeeventid",
        ),
        endpoint(
            receipts::set_read_markers,
            Other,
            "client-server-api/#post_matrixclientv3roomsroomidread_markers",
        ),
        raw_endpoint(
            Method::PUT,
            &[
                "/_matrix/client/r0/rooms/{room_id}/typing/{user_id}",
                "/_matrix/client/v3/rooms/{room_id}/typing/{user_id}",
            ],
            receipts::set_typing,
            Typing,
            "client-server-api/#put_matrixclientv3roomsroomidtypinguserid",
        ),
        // Subscriptions to threads
        endpoint(thread_subscriptions::get_thread_subscription, Read, MSC4306),
        endpoint(thread_subscriptions::subscribe_thread, Other, MSC4306),
        endpoint(thread_subscriptions::unsubscribe_thread, Other, MSC4306),
        raw_endpoint(
            Method::GET,
            &["/_matrix/client/unstable/io.element.msc4308/thread_subscriptions"],
            thread_subscriptions::get_thread_subscriptions,
            Read,
            "https://github.com/matrix-org/matrix-spec-proposals/pull/4308",
        ),
        // Finding rooms and people
        endpoint(directory::get_alias, Read, "client-server-api/#get_matrixclientv3directoryroomroomalias"),
        endpoint(
            directory::create_alias,
            Other,
            "client-server-api/#put_matrixclientv3directoryroomroomalias",
        ),
        endpoint(
            directory::delete_alias,
            Other,
            "client-server-api/#delete_matrixclientv3directoryroomroomalias",
        ),
        endpoint(directory::get_public_rooms, Search, "client-server-api/#get_matrixclientv3publicrooms"),
        endpoint(directory::search_public_rooms, Search, "client-server-api/#post_matrixclientv3publicrooms")
            .may_be_dropped(),
        endpoint(
            directory::get_room_visibility,
            Read,
            "client-server-api/#get_matrixclientv3directorylistroomroomid",
        ),
        endpoint(
            directory::set_room_visibility,
            Other,
            "client-server-api/#put_matrixclientv3directorylistroomroomid",
        ),
        endpoint(
            directory::search_users,
            Search,
            "client-server-api/#post_matrixclientv3user_directorysearch",
        )
        .only_reads(),
        raw_endpoint(
            Method::POST,
            &["/_matrix/client/r0/search", "/_matrix/client/v3/search"],
            search::search,
            Search,
            "client-server-api/#post_matrixclientv3search",
        )
        .may_be_dropped(),
        // Reports
        endpoint(report::report_room, Report, "client-server-api/#post_matrixclientv3roomsroomidreport"),
        raw_endpoint(
            Method::POST,
            &[
                "/_matrix/client/r0/rooms/{room_id}/report/{event_id}",
                "/_matrix/client/v3/rooms/{room_id}/report/{event_id}",
            ],
            report::report_event,
            Report,
            "client-server-api/#post_matrixclientv3roomsroomidreporteventid",
        ),
        endpoint(report::report_user, Report, "client-server-api/#post_matrixclientv3usersuseridreport"),
        // Presence
        endpoint(presence::set_presence, Other, "client-server-api/#put_matrixclientv3presenceuseridstatus"),
        endpoint(presence::get_presence, Read, "client-server-api/#get_matrixclientv3presenceuseridstatus"),
        // Keys
        endpoint(keys::upload_keys, Other, "client-server-api/#post_matrixclientv3keysupload")
            .open_to_guests(),
        endpoint(keys::get_keys, Other, "client-server-api/#post_matrixclientv3keysquery")
            .open_to_guests()
            .only_reads(),
        endpoint(keys::claim_keys, Other, "client-server-api/#post_matrixclientv3keysclaim").open_to_guests(),
        endpoint(keys::get_key_changes, Read, "client-server-api/#get_matrixclientv3keyschanges"),
        raw_endpoint(
            Method::POST,
            &[
                "/_matrix/client/unstable/keys/device_signing/upload",
                "/_matrix/client/v3/keys/device_signing/upload",
            ],
            keys::upload_signing_keys,
            Other,
            "client-server-api/#post_matrixclientv3keysdevice_signingupload",
        ),
        endpoint(
            keys::upload_signatures,
            Other,
            "client-server-api/#post_matrixclientv3keyssignaturesupload",
        ),
        // Key backups
        endpoint(
            key_backup::create_backup_version,
            Other,
            "client-server-api/#post_matrixclientv3room_keysversion",
        ),
        endpoint(
            key_backup::get_latest_backup_info,
            Read,
            "client-server-api/#get_matrixclientv3room_keysversion",
        ),
        endpoint(
            key_backup::get_backup_info,
            Read,
            "client-server-api/#get_matrixclientv3room_keysversionversion",
        ),
        endpoint(
            key_backup::update_backup_version,
            Other,
            "client-server-api/#put_matrixclientv3room_keysversionversion",
        ),
        endpoint(key_backup::add_backup_keys, Other, "client-server-api/#put_matrixclientv3room_keyskeys"),
        endpoint(
            key_backup::add_backup_keys_for_room,
            Other,
            "client-server-api/#put_matrixclientv3room_keyskeysroomid",
        ),
        endpoint(
            key_backup::add_backup_keys_for_session,
            Other,
            "client-server-api/#put_matrixclientv3room_keyskeysroomidsessionid",
        ),
        endpoint(key_backup::get_backup_keys, Read, "client-server-api/#get_matrixclientv3room_keyskeys"),
        endpoint(
            key_backup::get_backup_keys_for_room,
            Read,
            "client-server-api/#get_matrixclientv3room_keyskeysroomid",
        ),
        endpoint(
            key_backup::get_backup_keys_for_session,
            Read,
            "client-server-api/#get_matrixclientv3room_keyskeysroomidsessionid",
        ),
        endpoint(
            key_backup::delete_backup_keys_for_session,
            Other,
            "client-server-api/#delete_matrixclientv3room_keyskeysroomidsessionid",
        ),
        endpoint(
            key_backup::delete_backup_keys_for_room,
            Other,
            "client-server-api/#delete_matrixclientv3room_keyskeysroomid",
        ),
        endpoint(
            key_backup::delete_backup_keys,
            Other,
            "client-server-api/#delete_matrixclientv3room_keyskeys",
        ),
        endpoint(
            key_backup::delete_backup_version,
            Other,
            "client-server-api/#delete_matrixclientv3room_keysversionversion",
        ),
        // Dehydrated devices
        endpoint(
            dehydrated_device::put_dehydrated_device,
            Other,
            "https://github.com/matrix-org/matrix-spec-proposals/pull/3814",
        ),
        endpoint(
            dehydrated_device::get_dehydrated_device,
            Read,
            "https://github.com/matrix-org/matrix-spec-proposals/pull/3814",
        ),
        raw_endpoint(
            Method::GET,
            &["/_matrix/client/unstable/org.matrix.msc3814.v1/dehydrated_device/{device_id}/events"],
            dehydrated_device::get_dehydrated_events,
            Read,
            "https://github.com/matrix-org/matrix-spec-proposals/pull/3814",
        ),
        endpoint(
            dehydrated_device::get_dehydrated_events_by_post,
            Read,
            "https://github.com/matrix-org/matrix-spec-proposals/pull/3814",
        ),
        endpoint(
            dehydrated_device::delete_dehydrated_device,
            Other,
            "https://github.com/matrix-org/matrix-spec-proposals/pull/3814",
        ),
        // Messages to devices
        endpoint(
            to_device::send_to_device,
            Message,
            "client-server-api/#put_matrixclientv3sendtodeviceeventtypetxnid",
        )
        .open_to_guests(),
    ]
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::endpoints;

    /// What the specification opens to guests, but for `/events`, which is not served.
    /// <https://spec.matrix.org/v1.19/client-server-api/#guest-access>
    const OPEN_TO_GUESTS: [(&str, &str); 24] = [
        ("GET", "/_matrix/client/v3/rooms/{room_id}/state"),
        ("GET", "/_matrix/client/v3/rooms/{room_id}/context/{event_id}"),
        ("GET", "/_matrix/client/v3/rooms/{room_id}/event/{event_id}"),
        ("GET", "/_matrix/client/v3/rooms/{room_id}/state/{event_type}/{state_key}"),
        ("GET", "/_matrix/client/v3/rooms/{room_id}/messages"),
        ("GET", "/_matrix/client/v3/rooms/{room_id}/members"),
        ("GET", "/_matrix/client/v3/rooms/{room_id}/initialSync"),
        ("GET", "/_matrix/client/v3/sync"),
        ("GET", "/_matrix/client/v1/media/download/{server_name}/{media_id}"),
        ("GET", "/_matrix/client/v1/media/thumbnail/{server_name}/{media_id}"),
        ("POST", "/_matrix/client/v3/rooms/{room_id}/join"),
        ("POST", "/_matrix/client/v3/rooms/{room_id}/leave"),
        ("PUT", "/_matrix/client/v3/rooms/{room_id}/send/{event_type}/{txn_id}"),
        ("PUT", "/_matrix/client/v3/rooms/{room_id}/state/{event_type}/{state_key}"),
        ("PUT", "/_matrix/client/v3/sendToDevice/{event_type}/{txn_id}"),
        ("PUT", "/_matrix/client/v3/profile/{user_id}/{field}"),
        ("DELETE", "/_matrix/client/v3/profile/{user_id}/{field}"),
        ("GET", "/_matrix/client/v3/devices"),
        ("GET", "/_matrix/client/v3/devices/{device_id}"),
        ("PUT", "/_matrix/client/v3/devices/{device_id}"),
        ("GET", "/_matrix/client/v3/account/whoami"),
        ("POST", "/_matrix/client/v3/keys/upload"),
        ("POST", "/_matrix/client/v3/keys/query"),
        ("POST", "/_matrix/client/v3/keys/claim"),
    ];
    /// What clients need besides, to join by a link, to sync, and to end their session. All of it is about
    /// the guest alone, or another endpoint opens the same to guests anyway.
    const NEEDED_BY_GUESTS: [(&str, &str); 10] = [
        // Who has no token at all may ask for them.
        ("GET", "/_matrix/client/v3/profile/{user_id}"),
        ("GET", "/_matrix/client/v3/profile/{user_id}/{field}"),
        ("POST", "/_matrix/client/v3/join/{room_id_or_alias}"),
        ("POST", "/_matrix/client/unstable/org.matrix.simplified_msc3575/sync"),
        ("POST", "/_matrix/client/v4/sync"),
        ("POST", "/_matrix/client/v3/user/{user_id}/filter"),
        ("GET", "/_matrix/client/v3/user/{user_id}/filter/{filter_id}"),
        ("GET", "/_matrix/client/v3/capabilities"),
        ("POST", "/_matrix/client/v3/logout"),
        ("POST", "/_matrix/client/v3/logout/all"),
    ];

    #[test]
    fn guests_may_call_what_the_specification_lists_and_what_their_clients_need() {
        let open = endpoints().into_iter().map(|endpoint| endpoint.info).filter(|info| info.open_to_guests);
        let open: BTreeSet<_> = open.map(|info| (info.method, info.path)).collect();
        let expected: BTreeSet<_> = OPEN_TO_GUESTS.into_iter().chain(NEEDED_BY_GUESTS).collect();
        assert_eq!(open.difference(&expected).collect::<Vec<_>>(), Vec::<&(&str, &str)>::new(), "open");
        assert_eq!(expected.difference(&open).collect::<Vec<_>>(), Vec::<&(&str, &str)>::new(), "closed");
    }
}
