//! Coming and going: bans, knocks, restricted rooms, forgetting.

use serde_json::{Value, json};

use crate::network::{INSTAGRAM, MESSENGER, Network, PASSWORD, WHATSAPP, list, text};

#[tokio::test]
async fn who_is_banned_stays_out() {
    let network = Network::open().await;
    let anna = network.register(INSTAGRAM, "anna").await;
    let bert = network.register(MESSENGER, "bert").await;
    let room = anna.create_room(json!({ "preset": "public_chat" })).await;
    bert.join(&room).await.ok();
    let of_bert = json!({ "user_id": bert.user_id, "reason": "shouting" });
    let of_anna = json!({ "user_id": anna.user_id });

    bert.post(&format!("/v3/rooms/{room}/kick"), of_anna.clone()).await.fails(403, "M_FORBIDDEN");
    anna.post(&format!("/v3/rooms/{room}/kick"), of_bert.clone()).await.ok();
    bert.say_fails(&room).await;
    bert.join(&room).await.ok();

    anna.post(&format!("/v3/rooms/{room}/ban"), of_bert.clone()).await.ok();
    bert.join(&room).await.fails(403, "M_FORBIDDEN");
    let member = format!("/v3/rooms/{room}/state/m.room.member/{}", bert.user_id);
    assert_eq!(anna.get(&member).await.ok()["reason"], "shouting");
    anna.post(&format!("/v3/rooms/{room}/unban"), of_bert.clone()).await.ok();
    anna.post(&format!("/v3/rooms/{room}/unban"), of_bert).await.fails(403, "M_FORBIDDEN");
    bert.join(&room).await.ok();

    bert.post(&format!("/v3/rooms/{room}/forget"), json!({})).await.fails(400, "M_UNKNOWN");
    bert.leave(&room).await.ok();
    bert.post(&format!("/v3/rooms/{room}/forget"), json!({})).await.ok();
}

#[tokio::test]
async fn who_is_denied_by_the_access_list_can_leave_and_decline_but_nothing_else() {
    let network = Network::open().await;
    let anna = network.register(INSTAGRAM, "anna").await;
    let bert = network.register(MESSENGER, "bert").await;
    let dora = network.register(MESSENGER, "dora").await;
    let room = anna.create_room(json!({ "preset": "private_chat", "room_version": "11" })).await;
    let membership = async |of: &str| {
        let path = format!("/v3/rooms/{room}/state/m.room.member/{of}");
        text(&anna.get(&path).await.ok()["membership"])
    };
    for guest in [&bert, &dora] {
        anna.invite(&room, guest).await.ok();
    }
    bert.join(&room).await.ok();
    let levels = json!({ "users": { &anna.user_id: 100, &bert.user_id: 50 } });
    anna.set_state(&room, "m.room.power_levels", levels).await.ok();
    let denied = json!({ "allow": ["*"], "deny": [MESSENGER] });
    anna.set_state(&room, "m.room.server_acl", denied).await.ok();

    bert.say_fails(&room).await;
    dora.join(&room).await.fails(403, "M_FORBIDDEN");
    let of_dora = json!({ "user_id": dora.user_id });
    bert.post(&format!("/v3/rooms/{room}/kick"), of_dora).await.fails(403, "M_FORBIDDEN");
    assert_eq!(
        (membership(&bert.user_id).await, membership(&dora.user_id).await),
        ("join".into(), "invite".into())
    );
    bert.leave(&room).await.ok();
    dora.leave(&room).await.ok();
    assert_eq!(
        (membership(&bert.user_id).await, membership(&dora.user_id).await),
        ("leave".into(), "leave".into())
    );
    anna.say(&room, "they are gone").await;
    assert!(!bert.get("/v3/sync").await.ok().to_string().contains("they are gone"));
}

#[tokio::test]
async fn who_is_denied_by_the_access_list_leaves_by_deactivating_the_account() {
    let network = Network::open().await;
    let anna = network.register(INSTAGRAM, "anna").await;
    let bert = network.register(MESSENGER, "bert").await;
    let room = anna.create_room(json!({ "preset": "public_chat" })).await;
    bert.join(&room).await.ok();
    anna.set_state(&room, "m.room.server_acl", json!({ "allow": [INSTAGRAM] })).await.ok();
    let auth = json!({
        "type": "m.login.password", "password": PASSWORD,
        "identifier": { "type": "m.id.user", "user": bert.user_id },
    });
    bert.post("/v3/account/deactivate", json!({ "auth": auth })).await.ok();
    let members = anna.get(&format!("/v3/rooms/{room}/joined_members")).await.ok();
    assert_eq!(members["joined"].as_object().map(serde_json::Map::len), Some(1), "{members}");
}

#[tokio::test]
async fn nobody_shuts_out_the_own_platform() {
    let network = Network::open().await;
    let anna = network.register(INSTAGRAM, "anna").await;
    let bert = network.register(MESSENGER, "bert").await;
    let room = anna.create_room(json!({ "preset": "public_chat", "room_version": "11" })).await;
    bert.join(&room).await.ok();
    let levels = json!({ "users": { &anna.user_id: 100, &bert.user_id: 100 } });
    anna.set_state(&room, "m.room.power_levels", levels).await.ok();
    for denies_anna in [
        json!({ "allow": ["*"], "deny": [INSTAGRAM] }),
        json!({ "allow": ["*"], "deny": ["*.localhost"] }),
        json!({ "allow": [MESSENGER] }),
        json!({}),
    ] {
        anna.set_state(&room, "m.room.server_acl", denies_anna.clone()).await.fails(400, "M_BAD_JSON");
        let state = json!([{ "type": "m.room.server_acl", "content": denies_anna }]);
        let words = json!({ "initial_state": state });
        anna.post("/v3/createRoom", words).await.fails(400, "M_INVALID_ROOM_STATE");
    }
    anna.get(&format!("/v3/rooms/{room}/state/m.room.server_acl")).await.fails(404, "M_NOT_FOUND");
    // Under another state key the event is no access list, so that of another platform may deny anna's.
    let keyed = format!("/v3/rooms/{room}/state/m.room.server_acl/other");
    anna.put(&keyed, json!({ "allow": [] })).await.ok();
    bert.set_state(&room, "m.room.server_acl", json!({ "allow": [MESSENGER] })).await.ok();
    anna.say_fails(&room).await;
}

#[tokio::test]
async fn a_knock_is_answered_by_an_invitation() {
    let network = Network::open().await;
    let anna = network.register(INSTAGRAM, "anna").await;
    let bert = network.register(WHATSAPP, "bert").await;
    let state = json!([{ "type": "m.room.join_rules", "content": { "join_rule": "knock" } }]);
    let room = anna.create_room(json!({ "initial_state": state })).await;

    bert.join(&room).await.fails(403, "M_FORBIDDEN");
    let knocked = bert.post(&format!("/v3/knock/{room}"), json!({ "reason": "let me in" })).await.ok();
    assert_eq!(text(&knocked["room_id"]), room);
    let member = format!("/v3/rooms/{room}/state/m.room.member/{}", bert.user_id);
    assert_eq!(anna.get(&member).await.ok()["membership"], "knock");
    anna.invite(&room, &bert).await.ok();
    bert.join(&room).await.ok();
    bert.say(&room, "Thanks").await;
}

#[tokio::test]
async fn a_restricted_room_lets_members_of_another_in() {
    let network = Network::open().await;
    let anna = network.register(INSTAGRAM, "anna").await;
    let bert = network.register(MESSENGER, "bert").await;
    let carl = network.register(WHATSAPP, "carl").await;
    let club = anna.create_room(json!({ "preset": "public_chat" })).await;
    let rule = json!({
        "join_rule": "restricted",
        "allow": [{ "type": "m.room_membership", "room_id": club }],
    });
    let state = json!([{ "type": "m.room.join_rules", "content": rule }]);
    let room = anna.create_room(json!({ "initial_state": state })).await;

    carl.join(&room).await.fails(403, "M_FORBIDDEN");
    bert.join(&club).await.ok();
    bert.join(&room).await.ok();
    let member = format!("/v3/rooms/{room}/state/m.room.member/{}", bert.user_id);
    let authorizer = anna.get(&member).await.ok()["join_authorised_via_users_server"].clone();
    assert_eq!(text(&authorizer), anna.user_id);
}

#[tokio::test]
async fn a_leave_is_told_once_though_the_room_was_forgotten_first() {
    let network = Network::open().await;
    let anna = network.register(INSTAGRAM, "anna").await;
    let bert = network.register(MESSENGER, "bert").await;
    let other = bert.another_device().await;
    let open_room = anna.create_room(json!({ "preset": "public_chat" })).await;
    let kicked = anna.create_room(json!({ "preset": "public_chat" })).await;
    let declined = anna.create_room(json!({ "invite": [bert.user_id] })).await;
    let invited = anna.create_room(json!({ "invite": [bert.user_id] })).await;
    for room in [&open_room, &kicked] {
        bert.join(room).await.ok();
        anna.say(room, "hello").await;
    }
    let before = text(&other.get("/v3/sync").await.ok()["next_batch"]);
    anna.post(&format!("/v3/rooms/{kicked}/kick"), json!({ "user_id": bert.user_id })).await.ok();
    for room in [&open_room, &declined, &invited] {
        bert.leave(room).await.ok();
    }
    let left = [&open_room, &kicked, &declined, &invited];
    for room in left {
        bert.post(&format!("/v3/rooms/{room}/forget"), json!({})).await.ok();
    }
    anna.invite(&invited, &bert).await.ok();

    for since in [format!("since={before}"), format!("since={before}&full_state=true")] {
        let answer = other.get(&format!("/v3/sync?{since}")).await.ok();
        for room in [&open_room, &kicked, &declined] {
            let events = list(&answer["rooms"]["leave"][room]["timeline"]["events"]);
            let last = events.last().unwrap_or_else(|| panic!("{room} is not told as left: {answer}"));
            assert_eq!(last["content"]["membership"], "leave");
            assert_eq!(text(&last["state_key"]), bert.user_id);
        }
        let invitation = &answer["rooms"]["invite"][&invited]["invite_state"]["events"];
        assert!(!list(invitation).is_empty(), "the new invitation: {answer}");
        let since = text(&answer["next_batch"]);
        let after = other.get(&format!("/v3/sync?since={since}")).await.ok();
        assert_eq!(after["rooms"], Value::Null, "it is told once");
    }
    let include_leave = "%7B%22room%22:%7B%22include_leave%22:true%7D%7D";
    let fresh = other.get(&format!("/v3/sync?filter={include_leave}")).await.ok();
    assert_eq!(fresh["rooms"]["leave"], Value::Null, "it is forgotten: {fresh}");

    // A user who knows that the room was left is told nothing more when it is forgotten.
    bert.leave(&invited).await.ok();
    let known = text(&other.get("/v3/sync").await.ok()["next_batch"]);
    bert.post(&format!("/v3/rooms/{invited}/forget"), json!({})).await.ok();
    let after = other.get(&format!("/v3/sync?since={known}")).await.ok();
    assert_eq!(after["rooms"], Value::Null);
}
