//! Guests: how they get in without registering, what is open to them, and how they become users.

use http::{Method, StatusCode};
use linkspan_platforms::{Encryption, Registration};
use serde_json::{Value, json};

use crate::network::{
    Answer, Client, INSTAGRAM, MESSENGER, Network, PASSWORD, WHATSAPP, encoded, list, text,
};

const REFUSED: &str = "M_GUEST_ACCESS_FORBIDDEN";

async fn with_guests() -> Network {
    Network::open_with("guests = true").await
}

/// A room that everybody may join, guests included if `guest_access` says so.
async fn public_room(creator: &Client, guest_access: &str) -> String {
    let content = json!({ "guest_access": guest_access });
    let state = json!([{ "type": "m.room.guest_access", "content": content }]);
    creator.create_room(json!({ "preset": "public_chat", "initial_state": state })).await
}

async fn membership(reader: &Client, room: &str, of: &Client) -> String {
    let path = format!("/v3/rooms/{room}/state/m.room.member/{}", of.user_id);
    text(&reader.get(&path).await.ok()["membership"])
}

async fn is_guest(client: &Client) -> bool {
    client.get("/v3/account/whoami").await.ok()["is_guest"] == true
}

/// What `/sync` says once a room is among those that were left.
async fn sees_itself_leave(client: &Client, since: &str, room: &str) -> Value {
    let mut since = since.to_owned();
    loop {
        let news = client.get(&format!("/v3/sync?timeout=20000&since={since}")).await.ok();
        let left = &news["rooms"]["leave"][room];
        if left.is_object() {
            return left.clone();
        }
        let next = text(&news["next_batch"]);
        assert_ne!(next, since, "nothing came");
        since = next;
    }
}

/// Tries to make a guest a user. `more` is merged into the body.
async fn try_upgrade(network: &Network, platform: &str, more: Value) -> Answer {
    let mut body = json!({ "password": PASSWORD, "auth": { "type": "m.login.dummy" } });
    for (key, value) in more.as_object().expect("an object") {
        body[key] = value.clone();
    }
    network.call(platform, None, Method::POST, "/v3/register", Some(body)).await
}

fn localpart(client: &Client) -> String {
    client.user_id[1..].split(':').next().expect("a localpart").to_owned()
}

/// What a guest sends to become a user.
fn as_guest(guest: &Client) -> Value {
    json!({ "username": localpart(guest), "guest_access_token": guest.token })
}

#[tokio::test]
async fn no_platform_has_guests_unless_it_says_so() {
    let network = Network::with_settings_of(MESSENGER, "guests = true").await;
    network.try_guest(INSTAGRAM, json!({})).await.fails(403, REFUSED);
    let guest = network.guest(MESSENGER).await;
    assert!(guest.user_id.ends_with(":messenger.localhost"), "{}", guest.user_id);
    assert!(is_guest(&guest).await);
    assert!(!is_guest(&network.register(MESSENGER, "bert").await).await);
}

#[tokio::test]
async fn who_may_register_says_nothing_of_guests() {
    for registration in [Registration::Closed, Registration::Token] {
        let network = Network::changed(|one| {
            one.guests = true;
            one.registration = registration;
        })
        .await;
        let guest = network.guest(INSTAGRAM).await;
        // Becoming a user takes what registering takes.
        let refused = try_upgrade(&network, INSTAGRAM, as_guest(&guest)).await.status;
        let expected = match registration {
            Registration::Closed => StatusCode::FORBIDDEN,
            _ => StatusCode::UNAUTHORIZED,
        };
        assert_eq!(refused, expected);
        assert!(is_guest(&guest).await);
    }
}

#[tokio::test]
async fn becoming_a_guest_counts_as_registering() {
    let network = Network::changed(|one| {
        one.guests = true;
        one.rate_limits = true;
        one.limits.registration_burst = 2;
    })
    .await;
    network.try_guest(INSTAGRAM, json!({})).await.ok();
    network.try_guest(INSTAGRAM, json!({})).await.ok();
    network.try_guest(INSTAGRAM, json!({})).await.fails(429, "M_LIMIT_EXCEEDED");
}

#[tokio::test]
async fn the_server_chooses_everything_of_a_guest_but_the_name_of_the_device() {
    let network = with_guests().await;
    let body = json!({
        "username": "anna", "password": PASSWORD, "device_id": "MINE", "refresh_token": true,
        "inhibit_login": true, "initial_device_display_name": "A tab",
    });
    let session = network.try_guest(INSTAGRAM, body).await.ok();
    let guest = network.client(INSTAGRAM, &session);
    assert_ne!(localpart(&guest), "anna");
    assert_ne!(guest.device_id, "MINE");
    assert_eq!(session["refresh_token"], Value::Null);
    let devices = guest.get("/v3/devices").await.ok();
    assert_eq!(list(&devices["devices"]).len(), 1);
    assert_eq!(devices["devices"][0]["display_name"], "A tab");
    guest.try_log_in().await.fails(403, "M_FORBIDDEN");
}

#[tokio::test]
async fn guests_join_only_rooms_that_let_them() {
    let network = with_guests().await;
    let anna = network.register(INSTAGRAM, "anna").await;
    let (near, far) = (network.guest(INSTAGRAM).await, network.guest(MESSENGER).await);
    let open = public_room(&anna, "can_join").await;
    let forbidden = public_room(&anna, "forbidden").await;
    let unknown = public_room(&anna, "perhaps").await;
    let invited = anna.create_room(json!({ "preset": "private_chat" })).await;
    let invited_closed = anna.create_room(json!({ "preset": "private_chat" })).await;
    anna.set_state(&invited_closed, "m.room.guest_access", json!({ "guest_access": "forbidden" })).await.ok();
    let rule =
        json!({ "join_rule": "restricted", "allow": [{ "type": "m.room_membership", "room_id": open }] });
    let rules = json!([{ "type": "m.room.join_rules", "content": rule }]);
    let restricted = anna.create_room(json!({ "initial_state": rules })).await;
    let no_guests = json!({ "type": "m.room.guest_access", "content": { "guest_access": "forbidden" } });
    let rules = json!([rules[0], no_guests]);
    let restricted_closed = anna.create_room(json!({ "initial_state": rules })).await;

    for guest in [&near, &far] {
        anna.invite(&invited, guest).await.ok();
        anna.invite(&invited_closed, guest).await.ok();
        for room in [&open, &invited, &restricted] {
            guest.join(room).await.ok();
            assert_eq!(membership(&anna, room, guest).await, "join");
            guest.say(room, "Hello").await;
        }
        for room in [&forbidden, &unknown, &invited_closed, &restricted_closed] {
            guest.join(room).await.fails(403, REFUSED);
            guest.post(&format!("/v3/rooms/{room}/join"), json!({})).await.fails(403, REFUSED);
            let member = format!("/v3/rooms/{room}/state/m.room.member/{}", guest.user_id);
            guest.put(&member, json!({ "membership": "join" })).await.fails(403, REFUSED);
        }
        // Guests may always decline.
        guest.leave(&invited_closed).await.ok();
    }
}

#[tokio::test]
async fn guests_do_not_knock_and_bring_nobody() {
    let network = with_guests().await;
    let anna = network.register(INSTAGRAM, "anna").await;
    let bert = network.register(MESSENGER, "bert").await;
    let guest = network.guest(INSTAGRAM).await;
    let rules = json!([{ "type": "m.room.join_rules", "content": { "join_rule": "knock" } }]);
    let knocked = anna.create_room(json!({ "initial_state": rules })).await;
    let member = |room: &str, of: &Client| format!("/v3/rooms/{room}/state/m.room.member/{}", of.user_id);
    guest.post(&format!("/v3/knock/{knocked}"), json!({})).await.fails(403, REFUSED);
    guest.put(&member(&knocked, &guest), json!({ "membership": "knock" })).await.fails(403, REFUSED);

    let levels = json!({ "invite": 0, "state_default": 0 });
    let room = anna.create_room(json!({ "power_level_content_override": levels })).await;
    anna.invite(&room, &guest).await.ok();
    guest.join(&room).await.ok();
    guest.set_state(&room, "m.room.topic", json!({ "topic": "Guests may say so" })).await.ok();
    guest.invite(&room, &bert).await.fails(403, REFUSED);
    guest.put(&member(&room, &bert), json!({ "membership": "invite" })).await.fails(403, REFUSED);
    guest.post("/v3/createRoom", json!({})).await.fails(403, REFUSED);
    // They may say something now, but have nothing sent later.
    guest.say(&room, "Hello").await;
    let later = "org.matrix.msc4140.delay=60000";
    let words = json!({ "msgtype": "m.text", "body": "Hello" });
    let message = format!("/v3/rooms/{room}/send/m.room.message/later?{later}");
    guest.put(&message, words).await.fails(403, REFUSED);
    let topic = format!("/v3/rooms/{room}/state/m.room.topic?{later}");
    guest.put(&topic, json!({ "topic": "Later" })).await.fails(403, REFUSED);
}

#[tokio::test]
async fn guests_have_to_leave_a_room_that_is_closed_to_them() {
    let network = with_guests().await;
    let anna = network.register(INSTAGRAM, "anna").await;
    let mona = network.register(MESSENGER, "mona").await;
    let bert = network.register(MESSENGER, "bert").await;
    for by_redaction in [false, true] {
        let guests = [network.guest(INSTAGRAM).await, network.guest(MESSENGER).await];
        let levels = json!({ "state_default": 0, "redact": 0, "kick": 100 });
        let room = anna
            .create_room(json!({ "preset": "public_chat", "power_level_content_override": levels }))
            .await;
        let open = json!({ "guest_access": "can_join" });
        let open = text(&anna.set_state(&room, "m.room.guest_access", open).await.ok()["event_id"]);
        let other = public_room(&anna, "can_join").await;
        mona.join(&room).await.ok();
        bert.join(&room).await.ok();
        let mut tokens = Vec::new();
        for guest in &guests {
            guest.join(&room).await.ok();
            guest.join(&other).await.ok();
            tokens.push(text(&guest.get("/v3/sync").await.ok()["next_batch"]));
        }
        // Mona cannot kick anybody.
        match by_redaction {
            true => mona.put(&format!("/v3/rooms/{room}/redact/{}/r", encoded(&open)), json!({})).await,
            false => {
                mona.set_state(&room, "m.room.guest_access", json!({ "guest_access": "forbidden" })).await
            }
        }
        .ok();
        for (guest, since) in guests.iter().zip(&tokens) {
            let left = sees_itself_leave(guest, since, &room).await;
            let last = list(&left["timeline"]["events"]).last().expect("its leave").clone();
            assert_eq!(
                (text(&last["sender"]), text(&last["state_key"])),
                (guest.user_id.clone(), guest.user_id.clone())
            );
            assert_eq!(membership(&anna, &room, guest).await, "leave");
            assert_eq!(membership(&anna, &other, guest).await, "join");
            guest.join(&room).await.fails(403, REFUSED);
        }
        for user in [&anna, &mona, &bert] {
            assert_eq!(membership(&anna, &room, user).await, "join");
        }
        // The room is open again, and they may come again.
        anna.set_state(&room, "m.room.guest_access", json!({ "guest_access": "can_join" })).await.ok();
        guests[0].join(&room).await.ok();
    }
}

#[tokio::test]
async fn guests_read_what_strangers_may_read() {
    let network = with_guests().await;
    let anna = network.register(INSTAGRAM, "anna").await;
    let visible = |visibility: &str| {
        let content = json!({ "history_visibility": visibility });
        json!([{ "type": "m.room.history_visibility", "content": content }])
    };
    let shown = anna.create_room(json!({ "initial_state": visible("world_readable") })).await;
    let hidden = anna.create_room(json!({ "initial_state": visible("shared") })).await;
    let event = anna.say(&shown, "Welcome").await;
    for guest in [network.guest(INSTAGRAM).await, network.guest(MESSENGER).await] {
        assert_eq!(guest.heard(&shown).await, ["Welcome"]);
        let event = encoded(&event);
        for what in [
            "state",
            "members",
            "initialSync",
            "state/m.room.create",
            &format!("event/{event}"),
            &format!("context/{event}"),
        ] {
            guest.get(&format!("/v3/rooms/{shown}/{what}")).await.ok();
        }
        for what in ["messages?dir=b", "state", "members", "initialSync"] {
            guest.get(&format!("/v3/rooms/{hidden}/{what}")).await.fails(403, "M_FORBIDDEN");
        }
    }
}

#[tokio::test]
async fn guests_change_their_display_name_only() {
    let network = with_guests().await;
    let guest = network.guest(INSTAGRAM).await;
    let field = |field: &str| format!("/v3/profile/{}/{field}", guest.user_id);
    guest.put(&field("displayname"), json!({ "displayname": "Someone" })).await.ok();
    assert_eq!(guest.get(&field("displayname")).await.ok()["displayname"], "Someone");
    guest.put(&field("avatar_url"), json!({ "avatar_url": "mxc://a/b" })).await.fails(403, REFUSED);
    guest.put(&field("org.example.x"), json!({ "org.example.x": 1 })).await.fails(403, REFUSED);
    guest.delete(&field("avatar_url")).await.fails(403, REFUSED);
    guest.delete(&field("displayname")).await.ok();
}

#[tokio::test]
async fn a_guest_becomes_a_user_in_the_same_rooms() {
    let network = with_guests().await;
    let anna = network.register(INSTAGRAM, "anna").await;
    let room = public_room(&anna, "can_join").await;
    let guest = network.guest(MESSENGER).await;
    guest.join(&room).await.ok();

    let user = network.client(MESSENGER, &try_upgrade(&network, MESSENGER, as_guest(&guest)).await.ok());
    assert_eq!(user.user_id, guest.user_id);
    assert_ne!(user.device_id, guest.device_id);
    assert!(!is_guest(&user).await);
    guest.get("/v3/account/whoami").await.fails(401, "M_UNKNOWN_TOKEN");
    assert_eq!(list(&user.get("/v3/devices").await.ok()["devices"]).len(), 1);
    user.say(&room, "I stay").await;
    user.try_log_in().await.ok();
    user.create_room(json!({})).await;
    user.join(&public_room(&anna, "forbidden").await).await.ok();
    // A room that is closed to guests stays open to a user.
    anna.set_state(&room, "m.room.guest_access", json!({ "guest_access": "forbidden" })).await.ok();
    user.say(&room, "And still").await;
    try_upgrade(&network, MESSENGER, as_guest(&guest)).await.fails(403, "M_FORBIDDEN");
}

#[tokio::test]
async fn the_device_of_a_guest_who_names_it_stays_with_new_tokens() {
    let network = with_guests().await;
    let guest = network.guest(INSTAGRAM).await;
    let mut body = as_guest(&guest);
    body["device_id"] = guest.device_id.clone().into();
    let user = network.client(INSTAGRAM, &try_upgrade(&network, INSTAGRAM, body).await.ok());
    assert_eq!(user.device_id, guest.device_id);
    guest.get("/v3/account/whoami").await.fails(401, "M_UNKNOWN_TOKEN");
    assert!(!is_guest(&user).await);

    // The account is there even without a session.
    let guest = network.guest(INSTAGRAM).await;
    let mut body = as_guest(&guest);
    body["inhibit_login"] = true.into();
    assert_eq!(try_upgrade(&network, INSTAGRAM, body).await.ok()["access_token"], Value::Null);
    guest.get("/v3/account/whoami").await.fails(401, "M_UNKNOWN_TOKEN");
    guest.try_log_in().await.ok();
}

#[tokio::test]
async fn nobody_but_the_guest_becomes_that_user() {
    let network = with_guests().await;
    let anna = network.register(INSTAGRAM, "anna").await;
    let (guest, other) = (network.guest(INSTAGRAM).await, network.guest(INSTAGRAM).await);
    let far = network.guest(MESSENGER).await;
    let name = localpart(&guest);
    for (platform, username, token) in [
        (INSTAGRAM, name.as_str(), other.token.as_str()),
        (INSTAGRAM, "anna", guest.token.as_str()),
        (INSTAGRAM, "new", guest.token.as_str()),
        (INSTAGRAM, "anna", anna.token.as_str()),
        (INSTAGRAM, name.as_str(), "made up"),
        (INSTAGRAM, &localpart(&far), far.token.as_str()),
        (MESSENGER, name.as_str(), guest.token.as_str()),
    ] {
        let body = json!({ "username": username, "guest_access_token": token });
        try_upgrade(&network, platform, body).await.fails(403, "M_FORBIDDEN");
    }
    let unnamed = json!({ "guest_access_token": guest.token });
    try_upgrade(&network, INSTAGRAM, unnamed).await.fails(400, "M_MISSING_PARAM");
    try_upgrade(&network, INSTAGRAM, json!({ "username": name })).await.fails(400, "M_USER_IN_USE");
    assert!(is_guest(&guest).await);
}

#[tokio::test]
async fn guests_are_shut_out_where_there_are_none_any_more() {
    let network = with_guests().await;
    let guest = network.guest(INSTAGRAM).await;
    let network = network.reopen_changed(|one| one.guests = false).await;
    let guest = guest.on(&network);
    guest.get("/v3/sync").await.fails(403, REFUSED);
    // They can still register.
    let user = network.client(INSTAGRAM, &try_upgrade(&network, INSTAGRAM, as_guest(&guest)).await.ok());
    user.get("/v3/sync").await.ok();
}

#[tokio::test]
async fn guests_can_log_out_where_there_are_none_any_more() {
    let network = with_guests().await;
    let guests = [network.guest(INSTAGRAM).await, network.guest(INSTAGRAM).await];
    let network = network.reopen_changed(|one| one.guests = false).await;
    for (guest, path) in guests.iter().zip(["/v3/logout", "/v3/logout/all"]) {
        let guest = guest.on(&network);
        guest.post(path, json!({})).await.ok();
        guest.get("/v3/sync").await.fails(401, "M_UNKNOWN_TOKEN");
    }
}

#[tokio::test]
async fn rules_on_encryption_hold_for_guests() {
    let network = Network::changed(|one| {
        one.guests = true;
        if one.server_name.as_str() == WHATSAPP {
            one.encryption = Encryption::Required;
        }
    })
    .await;
    let anna = network.register(INSTAGRAM, "anna").await;
    let guest = network.guest(WHATSAPP).await;
    let clear = public_room(&anna, "can_join").await;
    guest.join(&clear).await.breaks("encryption_required", &[WHATSAPP]);
    let encryption = json!({ "algorithm": "m.megolm.v1.aes-sha2" });
    let state = json!([{ "type": "m.room.encryption", "content": encryption }]);
    let room = anna.create_room(json!({ "initial_state": state })).await;
    anna.invite(&room, &guest).await.ok();
    guest.join(&room).await.ok();
    let words = json!({ "msgtype": "m.text", "body": "Hello" });
    guest.try_send(&room, "m.room.message", words).await.breaks("encryption_required", &[WHATSAPP]);
}
