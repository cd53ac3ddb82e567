//! How every endpoint of all APIs is called, and what those get who should not. The tests `bad_input` spoil the same
//! calls.
//!
//! The one it belongs to is anna of Instagram, who has secrets: all that is hers alone holds the word
//! SECRET-7f3a, and what is said in her room SECRET-b81c. Others who try are
//!
//! | who | what is expected |
//! |---|---|
//! | nobody, without a token | 401 `M_MISSING_TOKEN` where a token is needed, else `others` |
//! | somebody with a made-up token | 401 `M_UNKNOWN_TOKEN` where a token is looked at, else `others` |
//! | carl of Messenger, at Instagram's address | the same: his token is worth nothing here |
//! | ben of Instagram, a neighbour | `others` |
//! | carl, an administrator of Messenger, at Messenger's address | `others` |
//! | a guest of each platform, at its address | `others`, or 403 `M_GUEST_ACCESS_FORBIDDEN` |
//!
//! and none of them ever reads either, nor, unless the entry says `open`, the id of anna's room.
//! `others(OK)` without `open` means: they get their own, or what says nothing of anna. Then comes anna
//! herself: she gets `OK`, unless `own` says otherwise, and reads a secret where the entry says `reveals`.
//! Last comes dora of Messenger, who is in anna's room: whatever she gets, it is of the room.
//!
//! Paths that begin with `/v` are below `/_matrix/client`. Names in braces are filled in by
//! [`crate::household`].

use linkspan_wire::EndpointInfo;

/// All endpoints of all APIs.
pub fn list_endpoints() -> Vec<EndpointInfo> {
    let tables = [
        linkspan_client_api::endpoints(),
        linkspan_own_api::endpoints(),
        linkspan_admin_api::endpoints(),
        linkspan_admin_api::synapse_endpoints(),
        linkspan_identity_api::endpoints(),
    ];
    tables.into_iter().flatten().map(|endpoint| endpoint.info).collect()
}

/// What an endpoint answers: the status and the error code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Expected(pub u16, pub &'static str);

/// It works.
pub const OK: Expected = Expected(200, "");
/// This is not yours.
pub const FORBIDDEN: Expected = Expected(403, "M_FORBIDDEN");
/// There is no such thing, or you may not know.
pub const NOT_FOUND: Expected = Expected(404, "M_NOT_FOUND");
/// Guests may not do this.
pub const NOT_FOR_GUESTS: Expected = Expected(403, "M_GUEST_ACCESS_FORBIDDEN");
/// The password that should prove who you are is not yours.
pub const UNPROVEN: Expected = Expected(401, "M_FORBIDDEN");
/// The platform does not have this turned on.
pub const CLOSED: Expected = Expected(404, "M_UNRECOGNIZED");
/// No token.
pub const MISSING_TOKEN: Expected = Expected(401, "M_MISSING_TOKEN");
/// A token that is worth nothing here.
pub const UNKNOWN_TOKEN: Expected = Expected(401, "M_UNKNOWN_TOKEN");
/// A body says what cannot be.
pub const BAD_JSON: Expected = Expected(400, "M_BAD_JSON");
/// A parameter is wrong.
pub const INVALID_PARAM: Expected = Expected(400, "M_INVALID_PARAM");

/// A password is too short.
pub const WEAK_PASSWORD: Expected = Expected(400, "M_WEAK_PASSWORD");

/// The type of the bodies that OAuth has.
const FORM: &str = "application/x-www-form-urlencoded";

/// An entry of the table.
#[derive(Clone, Debug)]
pub struct Entry {
    /// The endpoint's function.
    pub name: &'static str,
    /// The HTTP method.
    pub method: &'static str,
    /// The path and the query.
    pub path: &'static str,
    /// The body, which is empty if there is none.
    pub body: &'static str,
    /// The type of the body.
    pub content_type: &'static str,
    /// What anna gets.
    pub own: Expected,
    /// What ben and carl get.
    pub others: Expected,
    /// What carl gets at his own platform's address, if it is not what ben gets.
    pub abroad: Option<Expected>,
    /// What is answered without a token, if it is not what ben gets.
    pub nobody: Option<Expected>,
    /// Whether anna reads a secret here.
    pub reveals: bool,
    /// Whether others may learn the id of anna's room here.
    pub open: bool,
    /// Whether the call ends the caller's session.
    pub ends_session: bool,
    /// Whether the body or the query is the proof. Then whoever sends it is anna, except on another platform.
    pub proof_in_body: bool,
    /// Whether the body is content that may be any JSON object.
    pub free_content: bool,
}

fn entry(method: &'static str, name: &'static str, path: &'static str) -> Entry {
    Entry {
        name,
        method,
        path,
        body: if matches!(method, "GET" | "DELETE") { "" } else { "{}" },
        content_type: "application/json",
        own: OK,
        others: FORBIDDEN,
        abroad: None,
        nobody: None,
        reveals: false,
        open: false,
        ends_session: false,
        proof_in_body: false,
        free_content: false,
    }
}

fn get(name: &'static str, path: &'static str) -> Entry {
    entry("GET", name, path)
}

fn put(name: &'static str, path: &'static str) -> Entry {
    entry("PUT", name, path)
}

fn post(name: &'static str, path: &'static str) -> Entry {
    entry("POST", name, path)
}

fn delete(name: &'static str, path: &'static str) -> Entry {
    entry("DELETE", name, path)
}

impl Entry {
    fn body(self, body: &'static str) -> Self {
        Self { body, ..self }
    }

    fn content(self, content_type: &'static str, body: &'static str) -> Self {
        Self { content_type, body, ..self }
    }

    fn own(self, own: Expected) -> Self {
        Self { own, ..self }
    }

    fn others(self, others: Expected) -> Self {
        Self { others, ..self }
    }

    fn abroad(self, abroad: Expected) -> Self {
        Self { abroad: Some(abroad), ..self }
    }

    fn nobody(self, nobody: Expected) -> Self {
        Self { nobody: Some(nobody), ..self }
    }

    fn reveals(self) -> Self {
        Self { reveals: true, ..self }
    }

    fn open(self) -> Self {
        Self { open: true, ..self }
    }

    fn ends_session(self) -> Self {
        Self { ends_session: true, ..self }
    }

    fn proof_in_body(self) -> Self {
        Self { proof_in_body: true, ..self }
    }

    fn free_content(self) -> Self {
        Self { free_content: true, ..self }
    }

    /// Whether errors are those of the OAuth RFCs.
    pub fn is_oauth(&self) -> bool {
        self.path.starts_with("/_linkspan/oauth2/")
    }

    /// Whether only administrators are answered.
    pub fn is_for_operators(&self) -> bool {
        self.path.starts_with("/_linkspan/admin/") || self.name.starts_with("synapse_")
    }

    /// Whether the body is JSON that the endpoint looks at.
    pub fn has_json(&self) -> bool {
        self.content_type == "application/json" && !self.body.is_empty()
    }
}

/// All entries, in the order of the table of endpoints.
pub fn table() -> Vec<Entry> {
    [
        server(),
        sessions(),
        account(),
        account_data(),
        push(),
        rooms(),
        membership(),
        sending(),
        reading(),
        finding(),
        media(),
        keys(),
        operators(),
        operators_by_synapse(),
    ]
    .concat()
}

/// What only administrators get. Anna and ben are none, and carl is one elsewhere: about anna he learns nothing, and of his
/// own platform he gets what it has.
fn operators() -> Vec<Entry> {
    let get = |name, path| get(name, path).own(FORBIDDEN);
    let put = |name, path| put(name, path).own(FORBIDDEN).abroad(INVALID_PARAM);
    let post = |name, path| post(name, path).own(FORBIDDEN);
    let delete = |name, path| delete(name, path).own(FORBIDDEN);
    vec![
        get("list_users", "/_linkspan/admin/v1/users").abroad(OK),
        post("create_user", "/_linkspan/admin/v1/users")
            .body(r#"{"localpart": "anna", "password": "short"}"#)
            .abroad(WEAK_PASSWORD),
        get("get_user", "/_linkspan/admin/v1/users/{user}").abroad(INVALID_PARAM),
        put("set_user_password", "/_linkspan/admin/v1/users/{user}/password")
            .body(r#"{"password": "a password of carl's"}"#),
        put("set_user_locked", "/_linkspan/admin/v1/users/{user}/locked").body(r#"{"locked": true}"#),
        put("set_user_suspended", "/_linkspan/admin/v1/users/{user}/suspended")
            .body(r#"{"suspended": true}"#),
        put("set_user_admin", "/_linkspan/admin/v1/users/{user}/admin").body(r#"{"admin": true}"#),
        post("log_user_out", "/_linkspan/admin/v1/users/{user}/log_out").abroad(INVALID_PARAM),
        post("deactivate_user", "/_linkspan/admin/v1/users/{user}/deactivate")
            .body(r#"{"erase": true}"#)
            .abroad(INVALID_PARAM),
        get("list_user_devices", "/_linkspan/admin/v1/users/{user}/devices").abroad(INVALID_PARAM),
        delete("delete_user_device", "/_linkspan/admin/v1/users/{user}/devices/{device}")
            .abroad(INVALID_PARAM),
        get("list_registration_tokens", "/_linkspan/admin/v1/registration_tokens").abroad(OK),
        post("create_registration_token", "/_linkspan/admin/v1/registration_tokens")
            .body(r#"{"uses_allowed": 0}"#)
            .abroad(INVALID_PARAM),
        delete("delete_registration_token", "/_linkspan/admin/v1/registration_tokens/made-up")
            .abroad(NOT_FOUND),
        get("list_actions", "/_linkspan/admin/v1/actions").abroad(OK),
        // What dora has reported to carl is his to read.
        get("list_reports", "/_linkspan/admin/v1/reports?from=1000000000").abroad(OK),
        get("get_report", "/_linkspan/admin/v1/reports/9999").abroad(NOT_FOUND),
        post("close_report", "/_linkspan/admin/v1/reports/9999/close")
            .body(r#"{"note": "done"}"#)
            .abroad(NOT_FOUND),
        get("list_account_links", "/_linkspan/admin/v1/account_links").abroad(OK),
        get("get_statistics", "/_linkspan/admin/v1/statistics?after_ts=0").abroad(OK),
        get("get_health", "/_linkspan/admin/v1/health").abroad(OK),
        get("get_limits", "/_linkspan/admin/v1/limits").abroad(OK),
        get("list_conversations", "/_linkspan/admin/v1/conversations").abroad(OK),
        get("find_user", "/_linkspan/admin/v1/find_user?name={user}").abroad(OK),
        // Dora's rooms are carl's business, but this is the name of none of them.
        get("list_rooms", "/_linkspan/admin/v1/rooms?search=of%20anna%20alone").abroad(OK),
        get("list_blocked_rooms", "/_linkspan/admin/v1/rooms/blocked").abroad(OK),
        get("list_room_deletions", "/_linkspan/admin/v1/rooms/deletions").abroad(OK),
        get("get_room_deletion", "/_linkspan/admin/v1/rooms/deletions/made-up").abroad(NOT_FOUND),
        get("get_room", "/_linkspan/admin/v1/rooms/{inviting_room}").abroad(NOT_FOUND),
        get("list_room_members", "/_linkspan/admin/v1/rooms/{inviting_room}/members").abroad(NOT_FOUND),
        // Whether there is such a room, he does not learn by it.
        put("set_room_blocked", "/_linkspan/admin/v1/rooms/{inviting_room}/blocked")
            .body(r#"{"blocked": true}"#)
            .abroad(OK),
        post("delete_room", "/_linkspan/admin/v1/rooms/{inviting_room}/delete")
            .body(r#"{"block": true}"#)
            .abroad(NOT_FOUND),
        get("list_user_rooms", "/_linkspan/admin/v1/users/{user}/joined_rooms").abroad(INVALID_PARAM),
        post("send_server_notice", "/_linkspan/admin/v1/server_notices")
            .body(r#"{"user_id": "{user}", "body": "Ahoy"}"#)
            .abroad(INVALID_PARAM),
        get("get_server_notice", "/_linkspan/admin/v1/server_notices/made-up").abroad(NOT_FOUND),
        get("list_media", "/_linkspan/admin/v1/media").abroad(OK),
        get("get_media_usage", "/_linkspan/admin/v1/media/usage").abroad(OK),
        post("remove_media", "/_linkspan/admin/v1/media/remove")
            .body(r#"{"user_id": "{user}"}"#)
            .abroad(INVALID_PARAM),
        post("quarantine_media", "/_linkspan/admin/v1/media/quarantine")
            .body(r#"{"room_id": "{inviting_room}"}"#)
            .abroad(NOT_FOUND),
        get("get_media", "/_linkspan/admin/v1/media/nothing").abroad(NOT_FOUND),
        delete("delete_media", "/_linkspan/admin/v1/media/nothing").abroad(NOT_FOUND),
        put("set_media_quarantined", "/_linkspan/admin/v1/media/nothing/quarantined")
            .body(r#"{"quarantined": true}"#)
            .abroad(NOT_FOUND),
        put("set_media_protected", "/_linkspan/admin/v1/media/nothing/protected")
            .body(r#"{"protected": true}"#)
            .abroad(NOT_FOUND),
    ]
}

/// The same by the paths of Synapse.
fn operators_by_synapse() -> Vec<Entry> {
    let get = |name, path| get(name, path).own(FORBIDDEN);
    let put = |name, path| put(name, path).own(FORBIDDEN).abroad(INVALID_PARAM);
    let post = |name, path| post(name, path).own(FORBIDDEN).abroad(INVALID_PARAM);
    let delete = |name, path| delete(name, path).own(FORBIDDEN).abroad(NOT_FOUND);
    vec![
        get("synapse_server_version", "/_synapse/admin/v1/server_version").abroad(OK),
        get("synapse_list_users", "/_synapse/admin/v2/users").abroad(OK),
        get("synapse_get_user", "/_synapse/admin/v2/users/{user}").abroad(INVALID_PARAM),
        put("synapse_put_user", "/_synapse/admin/v2/users/{user}").body(r#"{"admin": true}"#),
        post("synapse_reset_password", "/_synapse/admin/v1/reset_password/{user}")
            .body(r#"{"new_password": "a password of carl's"}"#),
        post("synapse_deactivate_user", "/_synapse/admin/v1/deactivate/{user}").body(r#"{"erase": true}"#),
        put("synapse_suspend_user", "/_synapse/admin/v1/suspend/{user}").body(r#"{"suspend": true}"#),
        get("synapse_whois", "/_synapse/admin/v1/whois/{user}").abroad(INVALID_PARAM),
        get("synapse_list_devices", "/_synapse/admin/v2/users/{user}/devices").abroad(INVALID_PARAM),
        post("synapse_delete_devices", "/_synapse/admin/v2/users/{user}/delete_devices")
            .body(r#"{"devices": ["{device}"]}"#),
        get("synapse_list_joined_rooms", "/_synapse/admin/v1/users/{user}/joined_rooms")
            .abroad(INVALID_PARAM),
        post("synapse_send_server_notice", "/_synapse/admin/v1/send_server_notice")
            .body(r#"{"user_id": "{user}", "content": {"msgtype": "m.text", "body": "Ahoy"}}"#),
        get("synapse_list_tokens", "/_synapse/admin/v1/registration_tokens").abroad(OK),
        post("synapse_create_token", "/_synapse/admin/v1/registration_tokens/new")
            .body(r#"{"uses_allowed": 0}"#),
        delete("synapse_delete_token", "/_synapse/admin/v1/registration_tokens/made-up"),
        get("synapse_list_rooms", "/_synapse/admin/v1/rooms?search_term=of%20anna%20alone").abroad(OK),
        get("synapse_get_room", "/_synapse/admin/v1/rooms/{inviting_room}").abroad(NOT_FOUND),
        get("synapse_list_members", "/_synapse/admin/v1/rooms/{inviting_room}/members").abroad(NOT_FOUND),
        get("synapse_get_block", "/_synapse/admin/v1/rooms/{inviting_room}/block").abroad(OK),
        put("synapse_block_room", "/_synapse/admin/v1/rooms/{inviting_room}/block")
            .body(r#"{"block": true}"#)
            .abroad(OK),
        delete("synapse_delete_room", "/_synapse/admin/v2/rooms/{inviting_room}").body(r#"{"block": true}"#),
        get("synapse_get_deletion", "/_synapse/admin/v2/rooms/delete_status/made-up").abroad(NOT_FOUND),
        get("synapse_list_deletions", "/_synapse/admin/v2/rooms/{inviting_room}/delete_status")
            .abroad(NOT_FOUND),
        get("synapse_list_media", "/_synapse/admin/v1/users/{user}/media").abroad(INVALID_PARAM),
        post("synapse_quarantine", "/_synapse/admin/v1/media/quarantine/{media}").abroad(NOT_FOUND),
        post("synapse_release", "/_synapse/admin/v1/media/unquarantine/{media}").abroad(NOT_FOUND),
        post("synapse_protect", "/_synapse/admin/v1/media/protect/nothing").abroad(NOT_FOUND),
        post("synapse_unprotect", "/_synapse/admin/v1/media/unprotect/nothing").abroad(NOT_FOUND),
        delete("synapse_delete_media", "/_synapse/admin/v1/media/{media}"),
        post("synapse_quarantine_of_user", "/_synapse/admin/v1/user/{user}/media/quarantine"),
        post("synapse_quarantine_of_room", "/_synapse/admin/v1/room/{inviting_room}/media/quarantine")
            .abroad(NOT_FOUND),
        get("synapse_list_reports", "/_synapse/admin/v1/event_reports?from=10000").abroad(OK),
        get("synapse_get_report", "/_synapse/admin/v1/event_reports/9999").abroad(NOT_FOUND),
    ]
}

fn server() -> Vec<Entry> {
    const SLIDING_UNSTABLE: &str = r#"{"lists": {"all": {"ranges": [[0, 99]], "timeline_limit": 20,
        "required_state": [["*", "*"]]}}, "room_subscriptions": {"{room}": {"timeline_limit": 20,
        "required_state": [["*", "*"]]}}, "extensions": {"account_data": {"enabled": true},
        "to_device": {"enabled": true}, "e2ee": {"enabled": true}, "receipts": {"enabled": true}}}"#;
    const SLIDING: &str = r#"{"lists": {"all": {"timeline_limit": 20, "required_state": {"include": [{}]}}},
        "room_subscriptions": {"{room}": {"timeline_limit": 20, "required_state": {"include": [{}]}}},
        "extensions": {"account_data": {"enabled": true}}}"#;
    vec![
        get("sync", "/v3/sync?timeout=0").others(OK).reveals(),
        post("sliding_sync_unstable", "/unstable/org.matrix.simplified_msc3575/sync")
            .body(SLIDING_UNSTABLE)
            .others(OK)
            .reveals(),
        post("sliding_sync", "/v4/sync").body(SLIDING).others(OK).reveals(),
        get("get_versions", "/versions").others(OK),
        get("get_platform", "/_linkspan/client/v1/platform").others(OK),
        get("list_platforms", "/_linkspan/client/v1/platforms").others(OK),
        post("begin_demo_session", "/_linkspan/client/v1/demo_session")
            .body(r#"{"user_id": "@anna:instagram.localhost"}"#)
            .others(FORBIDDEN)
            .own(FORBIDDEN),
        post("submit_code", "/_linkspan/client/v1/submit_code")
            .body(r#"{"sid": "0", "client_secret": "monkeys", "token": "123456"}"#)
            .others(OK),
        // People of Messenger have no handles, but they may ask who has one.
        get("get_handle", "/_linkspan/client/v1/handle").others(OK).abroad(FORBIDDEN),
        put("change_handle", "/_linkspan/client/v1/handle")
            .body(r#"{"handle": "other{fresh}"}"#)
            .others(OK)
            .abroad(FORBIDDEN),
        get("get_handle_availability", "/_linkspan/client/v1/handle/free{fresh}/available")
            .others(OK)
            .abroad(FORBIDDEN),
        get("resolve_handle", "/_linkspan/client/v1/handles/fritz?platform=instagram.localhost").others(OK),
        get("get_matching_parameters", "/_linkspan/client/v1/matching/parameters").others(OK),
        post("evaluate_addresses", "/_linkspan/client/v1/matching/evaluate")
            .body(r#"{"version": 1, "elements": ["YJoK5owVo89pA3ZkYTB+XIuy+V5+ZVDh/6LcmeQSgDw"]}"#)
            .others(OK),
        post("get_matching_buckets", "/_linkspan/client/v1/matching/buckets")
            .body(r#"{"version": 1, "bucket_bits": 0, "buckets": [0]}"#)
            .others(OK),
        get("get_discovery", "/_linkspan/client/v1/discovery").others(OK),
        put("set_discovery", "/_linkspan/client/v1/discovery").body(r#"{"email": "nobody"}"#).others(OK),
        post("find_people", "/_linkspan/client/v1/find").body(r#"{"handle": "nobody"}"#).others(OK),
        get("get_reach", "/_linkspan/client/v1/reach").others(OK),
        put("set_reach", "/_linkspan/client/v1/reach").body(r#"{"rules":[]}"#).others(OK),
        get("list_contacts", "/_linkspan/client/v1/contacts").others(OK),
        delete("remove_contact", "/_linkspan/client/v1/contacts/@nobody:instagram.localhost").others(OK),
        get("list_requests", "/_linkspan/client/v1/requests").others(OK),
        delete("delete_request", "/_linkspan/client/v1/requests/{room}").others(NOT_FOUND).own(NOT_FOUND),
        get("preview_request", "/_linkspan/client/v1/requests/{room}/preview")
            .others(NOT_FOUND)
            .own(NOT_FOUND),
        post("accept_request", "/_linkspan/client/v1/requests/{room}/accept")
            .others(NOT_FOUND)
            .own(NOT_FOUND),
        post("block_request", "/_linkspan/client/v1/requests/{room}/block").others(NOT_FOUND).own(NOT_FOUND),
        post("invite_by_address", "/_linkspan/client/v1/rooms/{room}/invite_by_address")
            .body(r#"{"medium": "email", "address": "nobody@example.org", "is_direct": true}"#),
        get("list_invitations", "/_linkspan/client/v1/invitations").others(OK),
        post("accept_invitation", "/_linkspan/client/v1/invitations/none/accept")
            .others(NOT_FOUND)
            .own(NOT_FOUND),
        get("list_blocks", "/_linkspan/client/v1/blocks").others(OK),
        put("block_user", "/_linkspan/client/v1/blocks/@nobody:instagram.localhost").others(OK),
        delete("unblock_user", "/_linkspan/client/v1/blocks/@nobody:instagram.localhost").others(OK),
        get("get_card", "/_linkspan/client/v1/contacts/{user}/card").others(OK),
        post("export_data", "/_linkspan/client/v1/export").body(r#"{"auth": {auth}}"#).others(UNPROVEN),
        put("set_abilities", "/_linkspan/client/v1/abilities").body(r#"{"shows": ["poll"]}"#).others(OK),
        get("get_abilities", "/_linkspan/client/v1/rooms/{room}/abilities"),
        post("make_join_link", "/_linkspan/client/v1/rooms/{room}/join_links").body(r#"{"uses": 5}"#),
        get("list_join_links", "/_linkspan/client/v1/rooms/{room}/join_links"),
        delete("revoke_join_link", "/_linkspan/client/v1/rooms/{room}/join_links/none").own(NOT_FOUND),
        get("preview_join_link", "/_linkspan/client/v1/join_links/none").others(NOT_FOUND).own(NOT_FOUND),
        post("join_by_link", "/_linkspan/client/v1/join_links/none/join").others(NOT_FOUND).own(NOT_FOUND),
        get("get_links", "/_linkspan/client/v1/links").others(OK),
        post("new_link_code", "/_linkspan/client/v1/links/code").others(OK),
        post("enter_link_code", "/_linkspan/client/v1/links/enter")
            .body(r#"{"code": "BCDF-GHJK"}"#)
            .others(NOT_FOUND)
            .own(NOT_FOUND),
        post("confirm_link", "/_linkspan/client/v1/links/confirm")
            .body(r#"{"user_id": "@nobody:instagram.localhost"}"#)
            .others(NOT_FOUND)
            .own(NOT_FOUND),
        post("decline_link", "/_linkspan/client/v1/links/decline").others(OK),
        put("set_link_choices", "/_linkspan/client/v1/links/choices")
            .body(r#"{"shown_to": "nobody"}"#)
            .others(NOT_FOUND)
            .own(NOT_FOUND),
        delete("unlink", "/_linkspan/client/v1/links/{user}").others(NOT_FOUND).own(NOT_FOUND),
        get("get_identity_versions", "/_matrix/identity/versions").others(CLOSED).own(CLOSED),
        get("get_identity_status", "/_matrix/identity/v2").others(CLOSED).own(CLOSED),
        get("get_terms", "/_matrix/identity/v2/terms").others(CLOSED).own(CLOSED),
        post("register_with_openid", "/_matrix/identity/v2/account/register").others(CLOSED).own(CLOSED),
        get("get_identity_account", "/_matrix/identity/v2/account").others(CLOSED).own(CLOSED),
        post("log_out_of_identity", "/_matrix/identity/v2/account/logout").others(CLOSED).own(CLOSED),
        get("get_hash_details", "/_matrix/identity/v2/hash_details").others(CLOSED).own(CLOSED),
        post("look_up", "/_matrix/identity/v2/lookup").others(CLOSED).own(CLOSED),
        get("is_invitation_valid", "/_matrix/identity/v2/pubkey/ephemeral/isvalid?public_key=AAAA")
            .others(OK),
        get("get_capabilities", "/v3/capabilities").others(OK),
        get("get_well_known", "/.well-known/matrix/client").others(OK),
        get("get_support", "/.well-known/matrix/support").others(NOT_FOUND).own(NOT_FOUND),
        get("get_turn_server", "/v3/voip/turnServer").others(OK),
        get("get_rtc_transports", "/v1/rtc/transports").others(OK),
        get("get_thirdparty_protocols", "/v3/thirdparty/protocols").others(OK),
        get("get_thirdparty_protocol", "/v3/thirdparty/protocol/irc").others(NOT_FOUND).own(NOT_FOUND),
        get("get_thirdparty_locations", "/v3/thirdparty/location/irc").others(NOT_FOUND).own(NOT_FOUND),
        get("get_thirdparty_users", "/v3/thirdparty/user/irc?nick=anna").others(NOT_FOUND).own(NOT_FOUND),
        get("get_thirdparty_locations_of_alias", "/v3/thirdparty/location?alias={alias}")
            .others(NOT_FOUND)
            .own(NOT_FOUND),
        get("get_thirdparty_users_of_user", "/v3/thirdparty/user?userid={user}")
            .others(NOT_FOUND)
            .own(NOT_FOUND),
    ]
}

fn sessions() -> Vec<Entry> {
    vec![
        post("register", "/v3/register")
            .body(
                r#"{"username": "new{fresh}", "password": "{password}", "auth": {"type": "m.login.dummy"}}"#,
            )
            .others(OK),
        get("get_username_availability", "/v3/register/available?username=new{fresh}").others(OK),
        get("check_registration_token", "/v1/register/m.login.registration_token/validity?token=x")
            .others(OK),
        get("get_registration_nonce", "/_synapse/admin/v1/register").others(OK),
        // Nobody knows the secret that the code is made with.
        post("register_by_shared_secret", "/_synapse/admin/v1/register")
            .body(
                r#"{"nonce": "n", "username": "new", "password": "{password}", "admin": true, "mac": "00"}"#,
            )
            .others(INVALID_PARAM)
            .own(INVALID_PARAM),
        get("get_login_types", "/v3/login").others(OK),
        post("get_login_token", "/v1/login/get_token").body(r#"{"auth": {auth}}"#).others(UNPROVEN),
        get("get_auth_metadata", "/v1/auth_metadata").others(OK),
        get("get_auth_issuer", "/unstable/org.matrix.msc2965/auth_issuer").others(OK),
        get("redirect_to_log_in", "/v3/login/sso/redirect?redirectUrl=https://app.example.org/")
            .own(Expected(302, ""))
            .others(Expected(302, "")),
        get("redirect_to_provider", "/v3/login/sso/redirect/none?redirectUrl=https://app.example.org/")
            .own(NOT_FOUND)
            .others(NOT_FOUND),
        post("register_client", "/_linkspan/oauth2/registration")
            .body(r#"{"client_uri": "https://app.example.org/", "redirect_uris": ["https://app.example.org/"]}"#)
            .own(Expected(201, ""))
            .others(Expected(201, "")),
        post("give_tokens", "/_linkspan/oauth2/token")
            .content(FORM, "grant_type=refresh_token&client_id=x&refresh_token={refresh_token}")
            .own(Expected(400, ""))
            .others(Expected(400, "")),
        post("revoke_token", "/_linkspan/oauth2/revocation").content(FORM, "token=none").others(OK),
        post("begin_device_grant", "/_linkspan/oauth2/device_authorization")
            .content(FORM, "client_id=none&scope=none")
            .own(Expected(401, ""))
            .others(Expected(401, "")),
        post("log_in", "/v3/login")
            .body(
                r#"{"type": "m.login.password", "identifier": {"type": "m.id.user", "user": "{user}"},
                    "password": "{password}"}"#,
            )
            .proof_in_body(),
        post("refresh_token", "/v3/refresh")
            .body(r#"{"refresh_token": "{refresh_token}"}"#)
            .others(UNKNOWN_TOKEN)
            .proof_in_body(),
        post("log_out", "/v3/logout").others(OK).ends_session(),
        post("log_out_all", "/v3/logout/all").others(OK).ends_session(),
        get("whoami", "/v3/account/whoami").others(OK),
    ]
}

fn account() -> Vec<Entry> {
    const DENIED: Expected = Expected(403, "M_THREEPID_DENIED");
    const NO_SUCH_MEDIUM: Expected = Expected(400, "M_THREEPID_MEDIUM_NOT_SUPPORTED");
    const EMAIL: &str = r#"{"client_secret": "monkeys", "email": "anna@example.org", "send_attempt": 1}"#;
    const PHONE: &str = r#"{"client_secret": "monkeys", "country": "DE", "phone_number": "0170 1234567",
                            "send_attempt": 1}"#;
    vec![
        post("change_password", "/v3/account/password")
            .body(r#"{"new_password": "another {password}", "auth": {auth}}"#)
            .others(UNPROVEN)
            .nobody(MISSING_TOKEN),
        post("deactivate", "/v3/account/deactivate").body(r#"{"auth": {auth}}"#).others(UNPROVEN),
        get("get_3pids", "/v3/account/3pid").others(OK),
        // This server sends no mails.
        post("request_code", "/_linkspan/client/v1/request_code").body(EMAIL).others(DENIED).own(DENIED),
        post("request_register_token", "/v3/register/email/requestToken")
            .body(EMAIL)
            .others(DENIED)
            .own(DENIED),
        post("request_password_token", "/v3/account/password/email/requestToken")
            .body(EMAIL)
            .others(DENIED)
            .own(DENIED),
        post("request_3pid_token", "/v3/account/3pid/email/requestToken")
            .body(EMAIL)
            .others(NO_SUCH_MEDIUM)
            .own(NO_SUCH_MEDIUM),
        post("request_register_token_by_phone", "/v3/register/msisdn/requestToken")
            .body(PHONE)
            .others(DENIED)
            .own(DENIED),
        post("request_password_token_by_phone", "/v3/account/password/msisdn/requestToken")
            .body(PHONE)
            .others(DENIED)
            .own(DENIED),
        post("request_3pid_token_by_phone", "/v3/account/3pid/msisdn/requestToken")
            .body(PHONE)
            .others(NO_SUCH_MEDIUM)
            .own(NO_SUCH_MEDIUM),
        post("add_3pid", "/v3/account/3pid/add")
            .body(r#"{"client_secret": "monkeys", "sid": "0", "auth": {auth}}"#)
            .others(UNPROVEN)
            .own(Expected(400, "M_THREEPID_AUTH_FAILED")),
        post("delete_3pid", "/v3/account/3pid/delete")
            .body(r#"{"medium": "email", "address": "anna@example.org"}"#)
            .others(OK),
        post("request_openid_token", "/v3/user/{user}/openid/request_token"),
        get("get_openid_user", "/_matrix/federation/v1/openid/userinfo?access_token={openid}")
            .others(UNKNOWN_TOKEN)
            .proof_in_body(),
        get("get_user_info", "/v3/admin/whois/{user}"),
        get("get_locked", "/v1/admin/lock/{user}").own(FORBIDDEN).abroad(INVALID_PARAM),
        put("set_locked", "/v1/admin/lock/{user}")
            .body(r#"{"locked": true}"#)
            .own(FORBIDDEN)
            .abroad(INVALID_PARAM),
        get("get_suspended", "/v1/admin/suspend/{user}").own(FORBIDDEN).abroad(INVALID_PARAM),
        put("set_suspended", "/v1/admin/suspend/{user}")
            .body(r#"{"suspended": true}"#)
            .own(FORBIDDEN)
            .abroad(INVALID_PARAM),
        get("get_devices", "/v3/devices").others(OK).reveals(),
        get("get_device", "/v3/devices/{device}").others(NOT_FOUND).reveals(),
        put("update_device", "/v3/devices/{device}").body(r#"{"display_name": "a phone"}"#).others(NOT_FOUND),
        delete("delete_device", "/v3/devices/{device}").body(r#"{"auth": {auth}}"#).others(UNPROVEN),
        post("delete_devices", "/v3/delete_devices")
            .body(r#"{"devices": ["{device}"], "auth": {auth}}"#)
            .others(UNPROVEN),
        // Everybody may see profiles, and only their users may change them.
        get("get_profile", "/v3/profile/{user}").others(OK),
        get("get_profile_field", "/v3/profile/{user}/displayname").others(OK),
        put("set_profile_field", "/v3/profile/{user}/displayname").body(r#"{"displayname": "Anna"}"#),
        delete("delete_profile_field", "/v3/profile/{user}/displayname"),
    ]
}

fn account_data() -> Vec<Entry> {
    const GLOBAL: &str = "/v3/user/{user}/account_data/org.example.secret";
    const OF_ROOM: &str = "/v3/user/{user}/rooms/{room}/account_data/org.example.secret";
    const TAG: &str = "/v3/user/{user}/rooms/{room}/tags/u.SECRET-7f3a";
    vec![
        get("get_global_account_data", GLOBAL).reveals(),
        put("set_global_account_data", GLOBAL).body(r#"{"key": "value"}"#).free_content(),
        get("get_room_account_data", OF_ROOM).reveals(),
        put("set_room_account_data", OF_ROOM).body(r#"{"key": "value"}"#).free_content(),
        delete("delete_global_account_data", "/v3/user/{user}/account_data/org.example.secret"),
        delete("delete_room_account_data", "/v3/user/{user}/rooms/{room}/account_data/org.example.secret"),
        get("get_tags", "/v3/user/{user}/rooms/{room}/tags").reveals(),
        put("create_tag", TAG).body(r#"{"order": 0.5}"#),
        delete("delete_tag", TAG),
        post("create_filter", "/v3/user/{user}/filter").body(r#"{"room": {"timeline": {"limit": 7}}}"#),
        get("get_filter", "/v3/user/{user}/filter/{filter}").reveals(),
    ]
}

fn push() -> Vec<Entry> {
    const RULE: &str = "/v3/pushrules/global/override/secret";
    const ENABLED: &str = "/v3/pushrules/global/override/secret/enabled";
    const ACTIONS: &str = "/v3/pushrules/global/override/secret/actions";
    vec![
        get("get_push_rules", "/v3/pushrules/").others(OK).reveals(),
        get("get_global_push_rules", "/v3/pushrules/global/").others(OK).reveals(),
        get("get_push_rule", RULE).others(NOT_FOUND).reveals(),
        // Everybody may have a rule of that name.
        put("put_push_rule", "/v3/pushrules/global/content/{fresh}")
            .body(r#"{"actions": ["notify"], "pattern": "tide"}"#)
            .others(OK),
        delete("delete_push_rule", RULE).others(NOT_FOUND),
        get("get_push_rule_enabled", ENABLED).others(NOT_FOUND),
        put("put_push_rule_enabled", ENABLED).body(r#"{"enabled": false}"#).others(NOT_FOUND),
        get("get_push_rule_actions", ACTIONS).others(NOT_FOUND),
        put("put_push_rule_actions", ACTIONS).body(r#"{"actions": []}"#).others(NOT_FOUND),
        get("get_pushers", "/v3/pushers").others(OK).reveals(),
        post("set_pusher", "/v3/pushers/set")
            .body(
                r#"{"kind": "http", "app_id": "org.example", "pushkey": "key{fresh}", "lang": "en",
                    "app_display_name": "App", "device_display_name": "Phone", "append": false,
                    "data": {"url": "https://push.example.org/_matrix/push/v1/notify"}}"#,
            )
            .others(OK),
        post("acknowledge_pusher", "/v3/pushers/ack")
            .body(r#"{"app_id": "org.example.none", "ack_token": "none"}"#)
            .own(NOT_FOUND)
            .others(NOT_FOUND),
        get("get_notifications", "/v3/notifications?limit=10&only=highlight").others(OK),
    ]
}

fn rooms() -> Vec<Entry> {
    vec![
        post("create_room", "/v3/createRoom")
            .body(r#"{"preset": "private_chat", "name": "a room", "invite": ["{guest}"], "is_direct": true}"#)
            .others(OK),
        post("upgrade_room", "/v3/rooms/{room}/upgrade").body(r#"{"new_version": "12"}"#),
        get("get_joined_rooms", "/v3/joined_rooms").others(OK),
        get("get_aliases", "/v3/rooms/{room}/aliases"),
        get("get_room_summary", "/v1/room_summary/{room}").others(NOT_FOUND).reveals(),
        get("get_hierarchy", "/v1/rooms/{room}/hierarchy?limit=10&max_depth=2").reveals(),
        get("get_mutual_rooms", "/v1/mutual_rooms?user_id={member}").others(OK),
        get("get_mutual_rooms_unstable", "/unstable/uk.half-shot.msc2666/user/mutual_rooms?user_id={member}")
            .others(OK),
    ]
}

fn membership() -> Vec<Entry> {
    vec![
        post("join_room", "/v3/rooms/{inviting_room}/join").body(r#"{"reason": "invited"}"#),
        post("join_room_or_alias", "/v3/join/{inviting_room}").body(r#"{"reason": "invited"}"#),
        post("invite_user", "/v3/rooms/{room}/invite").body(r#"{"user_id": "{guest}"}"#),
        post("leave_room", "/v3/rooms/{room}/leave").body(r#"{"reason": "tired"}"#),
        post("forget_room", "/v3/rooms/{left_room}/forget").others(NOT_FOUND),
        post("kick_user", "/v3/rooms/{room}/kick").body(r#"{"user_id": "{member}"}"#),
        post("ban_user", "/v3/rooms/{room}/ban").body(r#"{"user_id": "{member}", "reason": "noise"}"#),
        post("unban_user", "/v3/rooms/{room}/unban").body(r#"{"user_id": "{banned}"}"#),
        // Everybody may knock where knocking is allowed.
        post("knock_room", "/v3/knock/{knock_room}").body(r#"{"reason": "curious"}"#).others(OK).open(),
    ]
}

fn sending() -> Vec<Entry> {
    vec![
        put("send_message", "/v3/rooms/{room}/send/m.room.message/{fresh}")
            .body(r#"{"msgtype": "m.text", "body": "hello"}"#)
            .free_content(),
        put("redact_event", "/v3/rooms/{room}/redact/{event}/{fresh}").body(r#"{"reason": "slip"}"#),
        put("set_state", "/v3/rooms/{room}/state/org.example.berth/7")
            .body(r#"{"ship": "Vega"}"#)
            .free_content(),
        put(
            "schedule_event",
            "/unstable/org.matrix.msc4140/rooms/{room}/delayed_event/m.room.message/{fresh}",
        )
        .body(r#"{"delay": 3600000, "content": {"msgtype": "m.text", "body": "hello"}}"#),
        get("get_delayed_events", "/unstable/org.matrix.msc4140/delayed_events").others(OK).reveals(),
        get("get_delayed_event", "/unstable/org.matrix.msc4140/delayed_events/{delayed}")
            .others(NOT_FOUND)
            .reveals(),
        // Everybody who was told the id may act, but only where the event is.
        post("update_delayed_event", "/unstable/org.matrix.msc4140/delayed_events/{delayed}")
            .body(r#"{"action": "restart"}"#)
            .others(OK)
            .abroad(NOT_FOUND),
        post("act_on_delayed_event", "/unstable/org.matrix.msc4140/delayed_events/{delayed}/restart")
            .others(OK)
            .abroad(NOT_FOUND),
        post("create_receipt", "/v3/rooms/{room}/receipt/m.read/{event}").body(r#"{"thread_id": "main"}"#),
        post("set_read_markers", "/v3/rooms/{room}/read_markers").body(r#"{"m.fully_read": "{event}"}"#),
        put("set_typing", "/v3/rooms/{room}/typing/{user}").body(r#"{"typing": true, "timeout": 1000}"#),
        get(
            "get_thread_subscription",
            "/unstable/io.element.msc4306/rooms/{room}/thread/{event}/subscription",
        )
        .others(NOT_FOUND),
        put("subscribe_thread", "/unstable/io.element.msc4306/rooms/{room}/thread/{event}/subscription")
            .body(r#"{"automatic": "{reply}"}"#)
            .others(NOT_FOUND),
        delete("unsubscribe_thread", "/unstable/io.element.msc4306/rooms/{room}/thread/{event}/subscription")
            .others(NOT_FOUND),
        get("get_thread_subscriptions", "/unstable/io.element.msc4308/thread_subscriptions?dir=b&limit=5")
            .others(OK),
        // Messages go to devices also before a room is shared, because encryption begins like that.
        put("send_to_device", "/v3/sendToDevice/org.example.hello/{fresh}")
            .body(r#"{"messages": {"{user}": {"*": {"greeting": "hello"}}}}"#)
            .others(OK),
        post("report", "/_linkspan/client/v1/reports")
            .body(
                r#"{"kind": "message", "room_id": "{room}", "event_id": "{event}", "reason": "noise",
                "disclose": {"content": {}}}"#,
            )
            .others(NOT_FOUND),
        // The answer does not tell whether there is such a room.
        post("report_room", "/v3/rooms/{room}/report").body(r#"{"reason": "noise"}"#).others(OK),
        post("report_event", "/v3/rooms/{room}/report/{event}")
            .body(r#"{"reason": "noise"}"#)
            .others(NOT_FOUND),
        post("report_user", "/v3/users/{user}/report").body(r#"{"reason": "noise"}"#).others(OK),
        put("set_presence", "/v3/presence/{user}/status")
            .body(r#"{"presence": "online", "status_msg": "here"}"#),
        get("get_presence", "/v3/presence/{user}/status"),
    ]
}

fn reading() -> Vec<Entry> {
    vec![
        get("get_event", "/v3/rooms/{room}/event/{event}").others(NOT_FOUND).reveals(),
        get("get_state", "/v3/rooms/{room}/state").reveals(),
        get("get_state_event", "/v3/rooms/{room}/state/m.room.topic/?format=event").reveals(),
        get("get_members", "/v3/rooms/{room}/members?membership=join"),
        get("get_joined_members", "/v3/rooms/{room}/joined_members"),
        get("get_messages", "/v3/rooms/{room}/messages?dir=b&limit=20").reveals(),
        get("get_context", "/v3/rooms/{room}/context/{event}?limit=5").reveals(),
        get("get_relations", "/v1/rooms/{room}/relations/{event}?limit=5&recurse=true").reveals(),
        get("get_relations_of_type", "/v1/rooms/{room}/relations/{event}/m.thread?dir=f").reveals(),
        get("get_relations_of_types", "/v1/rooms/{room}/relations/{event}/m.thread/m.room.message").reveals(),
        get("get_threads", "/v1/rooms/{room}/threads?include=all&limit=5").reveals(),
        get("get_event_near", "/v1/rooms/{room}/timestamp_to_event?ts=0&dir=f"),
        get("get_snapshot", "/v3/rooms/{room}/initialSync").reveals(),
        post("search", "/v3/search")
            .body(
                r#"{"search_categories": {"room_events": {"search_term": "vault", "filter": {"limit": 5}}}}"#,
            )
            .others(OK)
            .reveals(),
    ]
}

fn finding() -> Vec<Entry> {
    vec![
        // Everybody who knows an alias finds the room. Whether they may come in is another question.
        get("get_alias", "/v3/directory/room/{alias}").others(OK).open(),
        put("create_alias", "/v3/directory/room/%23pier{fresh}:instagram.localhost")
            .body(r#"{"room_id": "{room}"}"#),
        delete("delete_alias", "/v3/directory/room/{alias}"),
        get("get_public_rooms", "/v3/publicRooms?limit=10").others(OK),
        post("search_public_rooms", "/v3/publicRooms")
            .body(r#"{"limit": 10, "filter": {"generic_search_term": "vault"}}"#)
            .others(OK),
        get("get_room_visibility", "/v3/directory/list/room/{room}").others(OK),
        put("set_room_visibility", "/v3/directory/list/room/{room}").body(r#"{"visibility": "private"}"#),
        // People of all platforms are found by their names, and nothing but names and pictures is shown.
        post("search_users", "/v3/user_directory/search")
            .body(r#"{"search_term": "anna", "limit": 10}"#)
            .others(OK),
    ]
}

fn media() -> Vec<Entry> {
    const TEXT: &str = "text/plain";
    vec![
        post("upload", "/_matrix/media/v3/upload?filename=a.txt").content(TEXT, "a text").others(OK),
        post("create_media", "/_matrix/media/v1/create").others(OK),
        put("upload_to", "/_matrix/media/v3/upload/{pending}").content(TEXT, "a text"),
        get("get_config", "/v1/media/config").others(OK),
        get("get_legacy_config", "/_matrix/media/v3/config").others(OK),
        // This server fetches no pages.
        get("preview_url", "/v1/media/preview_url?url=http%3A%2F%2Fexample.org%2F")
            .others(NOT_FOUND)
            .own(NOT_FOUND),
        // Everybody who was given an id may read what it names, because ids cannot be guessed.
        get("download", "/v1/media/download/{media}").others(OK),
        get("get_thumbnail", "/v1/media/thumbnail/{media}?width=32&height=32&method=scale").others(OK),
        // Without a token nobody may.
        get("download_legacy", "/_matrix/media/v3/download/{media}").others(OK).nobody(NOT_FOUND),
        get("get_legacy_thumbnail", "/_matrix/media/v3/thumbnail/{media}?width=32&height=32")
            .others(OK)
            .nobody(NOT_FOUND),
    ]
}

fn keys() -> Vec<Entry> {
    const MISSING_PARAM: Expected = Expected(400, "M_MISSING_PARAM");
    const VERSION: &str = r#"{"algorithm": "org.example", "auth_data": {}}"#;
    const KEY: &str =
        r#"{"first_message_index": 0, "forwarded_count": 0, "is_verified": true, "session_data": {}}"#;
    const SESSION: &str = "/v3/room_keys/keys/{room}/session?version=1";
    vec![
        // Published keys are there for anybody to encrypt to.
        post("upload_keys", "/v3/keys/upload").others(OK),
        post("get_keys", "/v3/keys/query").body(r#"{"device_keys": {"{user}": []}}"#).others(OK),
        post("claim_keys", "/v3/keys/claim")
            .body(r#"{"one_time_keys": {"{user}": {"{device}": "signed_curve25519"}}}"#)
            .others(OK),
        get("get_key_changes", "/v3/keys/changes?from=s0_0&to=s0_0").others(OK),
        post("upload_signing_keys", "/v3/keys/device_signing/upload")
            .others(MISSING_PARAM)
            .own(MISSING_PARAM),
        post("upload_signatures", "/v3/keys/signatures/upload").others(OK),
        // Others have no backup yet. The last call makes one.
        get("get_latest_backup_info", "/v3/room_keys/version").others(NOT_FOUND).reveals(),
        get("get_backup_info", "/v3/room_keys/version/1").others(NOT_FOUND).reveals(),
        put("update_backup_version", "/v3/room_keys/version/1").body(VERSION).others(NOT_FOUND),
        put("add_backup_keys", "/v3/room_keys/keys?version=1").body(r#"{"rooms": {}}"#).others(NOT_FOUND),
        put("add_backup_keys_for_room", "/v3/room_keys/keys/{room}?version=1")
            .body(r#"{"sessions": {}}"#)
            .others(NOT_FOUND),
        put("add_backup_keys_for_session", SESSION).body(KEY).others(NOT_FOUND),
        get("get_backup_keys", "/v3/room_keys/keys?version=1").others(NOT_FOUND).reveals(),
        get("get_backup_keys_for_room", "/v3/room_keys/keys/{room}?version=1").others(NOT_FOUND).reveals(),
        get("get_backup_keys_for_session", SESSION).others(NOT_FOUND).reveals(),
        delete("delete_backup_keys_for_session", SESSION).others(NOT_FOUND),
        delete("delete_backup_keys_for_room", "/v3/room_keys/keys/{room}?version=1").others(NOT_FOUND),
        delete("delete_backup_keys", "/v3/room_keys/keys?version=1").others(NOT_FOUND),
        delete("delete_backup_version", "/v3/room_keys/version/1").others(NOT_FOUND),
        post("create_backup_version", "/v3/room_keys/version").body(VERSION).others(OK),
        put("put_dehydrated_device", "/unstable/org.matrix.msc3814.v1/dehydrated_device")
            .body(
                r#"{"device_id": "DREAM", "device_keys": {dream},
                    "device_data": {"algorithm": "org.matrix.msc3814.v2", "device_pickle": "p", "nonce": "n"}}"#,
            )
            .others(BAD_JSON),
        get("get_dehydrated_device", "/unstable/org.matrix.msc3814.v1/dehydrated_device")
            .others(NOT_FOUND)
            .reveals(),
        get("get_dehydrated_events", "/unstable/org.matrix.msc3814.v1/dehydrated_device/DREAM/events")
            .others(NOT_FOUND),
        post("get_dehydrated_events_by_post", "/unstable/org.matrix.msc3814.v1/dehydrated_device/DREAM/events")
            .others(NOT_FOUND),
        delete("delete_dehydrated_device", "/unstable/org.matrix.msc3814.v1/dehydrated_device")
            .others(NOT_FOUND),
    ]
}
