//! Upgrades of rooms: what goes along, who keeps which power, and that one that is refused leaves nothing
//! behind.

use serde_json::{Value, json};

use crate::network::{Client, INSTAGRAM, MESSENGER, Network, WHATSAPP, each, encoded, list, text};

#[tokio::test]
async fn an_upgrade_takes_the_alias_along() {
    let network = Network::open().await;
    let anna = network.register(INSTAGRAM, "anna").await;
    let bert = network.register(MESSENGER, "bert").await;
    let old = anna
        .create_room(json!({
            "preset": "public_chat", "room_version": "10", "room_alias_name": "quay", "name": "Quay",
        }))
        .await;
    bert.join(&old).await.ok();

    let upgrade = format!("/v3/rooms/{old}/upgrade");
    bert.post(&upgrade, json!({ "new_version": "12" })).await.fails(403, "M_FORBIDDEN");
    anna.post(&upgrade, json!({ "new_version": "99" })).await.fails(400, "M_UNSUPPORTED_ROOM_VERSION");
    let new = text(&anna.post(&upgrade, json!({ "new_version": "12" })).await.ok()["replacement_room"]);

    let tombstone = bert.get(&format!("/v3/rooms/{old}/state/m.room.tombstone")).await.ok();
    assert_eq!(text(&tombstone["replacement_room"]), new);
    let create = anna.get(&format!("/v3/rooms/{new}/state/m.room.create")).await.ok();
    assert_eq!(text(&create["predecessor"]["room_id"]), old);
    assert_eq!(anna.get(&format!("/v3/rooms/{new}/state/m.room.name")).await.ok()["name"], "Quay");
    let joined = bert.join("#quay:instagram.localhost").await.ok();
    assert_eq!(text(&joined["room_id"]), new);
    bert.say_fails(&old).await;
}

/// Upgrades a room. Returns the new one, after everybody has joined it.
async fn upgrade(by: &Client, room: &str, words: Value, followers: &[&Client]) -> String {
    let new = text(&by.post(&format!("/v3/rooms/{room}/upgrade"), words).await.ok()["replacement_room"]);
    for follower in followers {
        follower.join(&new).await.ok();
    }
    new
}

async fn state(of: &Client, room: &str, event_type: &str) -> Value {
    of.get(&format!("/v3/rooms/{room}/state/{event_type}")).await.ok()
}

#[tokio::test]
async fn creators_keep_their_power_over_all_versions() {
    let network = Network::open().await;
    let anna = network.register(INSTAGRAM, "anna").await;
    let bert = network.register(MESSENGER, "bert").await;
    let carl = network.register(MESSENGER, "carl").await;
    let dora = network.register(INSTAGRAM, "dora").await;
    let twelve = anna
        .create_room(json!({
            "preset": "public_chat", "room_version": "12",
            "creation_content": { "additional_creators": [bert.user_id] },
            "power_level_content_override": { "users": { &carl.user_id: 50, &dora.user_id: 120 } },
        }))
        .await;
    for follower in [&bert, &carl, &dora] {
        follower.join(&twelve).await.ok();
    }
    let of_dora = json!({ "user_id": dora.user_id, "reason": "shouting" });
    anna.post(&format!("/v3/rooms/{twelve}/ban"), of_dora).await.ok();

    // Creators get a level where they need one. Bans stay, and banned users keep no level.
    let eleven = upgrade(&bert, &twelve, json!({ "new_version": "11" }), &[&anna, &carl]).await;
    let levels = state(&anna, &eleven, "m.room.power_levels").await;
    let expected = json!({ &anna.user_id: 150, &bert.user_id: 150, &carl.user_id: 50 });
    assert_eq!(levels["users"], expected);
    let create = state(&anna, &eleven, "m.room.create").await;
    assert_eq!((&create["room_version"], &create["additional_creators"]), (&json!("11"), &Value::Null));
    dora.join(&eleven).await.fails(403, "M_FORBIDDEN");
    carl.post(&format!("/v3/rooms/{eleven}/upgrade"), json!({ "new_version": "12" }))
        .await
        .fails(403, "M_FORBIDDEN");
    anna.set_state(&eleven, "m.room.server_acl", json!({ "allow": ["*"] })).await.ok();

    // Creators have no level where they need none, and neither have those whom the upgrade adds.
    let words = json!({ "new_version": "12", "additional_creators": [carl.user_id] });
    let again = upgrade(&anna, &eleven, words, &[&bert, &carl]).await;
    let levels = state(&anna, &again, "m.room.power_levels").await;
    assert_eq!(levels["users"], json!({ &bert.user_id: 150 }));
    assert_eq!(levels["events"]["m.room.tombstone"], 150);
    assert_eq!(state(&anna, &again, "m.room.create").await["additional_creators"], json!([carl.user_id]));
    carl.set_state(&again, "m.room.server_acl", json!({ "allow": ["*"] })).await.ok();

    // Both versions privilege creators. Those whom the upgrade does not name are none any more.
    let words = json!({ "new_version": "12", "additional_creators": [bert.user_id] });
    let last = upgrade(&carl, &again, words, &[&anna, &bert]).await;
    assert_eq!(state(&anna, &last, "m.room.power_levels").await["users"], json!({}));
    bert.set_state(&last, "m.room.name", json!({ "name": "Last" })).await.ok();
    anna.set_state(&last, "m.room.name", json!({ "name": "Mine" })).await.fails(403, "M_FORBIDDEN");
}

#[tokio::test]
async fn a_refused_upgrade_leaves_nothing_behind() {
    let network = Network::open().await;
    let anna = network.register(INSTAGRAM, "anna").await;
    let bert = network.register(MESSENGER, "bert").await;
    // Bert has the power for a tombstone, but the room keeps his platform out. A banned user becomes no
    // creator.
    for (version, to) in [("11", "10"), ("12", "11")] {
        let room = anna
            .create_room(json!({
                "preset": "public_chat", "room_version": version, "room_alias_name": format!("quay{version}"),
                "power_level_content_override": { "events": { "m.room.tombstone": 0 } }, "topic": "Ships",
            }))
            .await;
        bert.join(&room).await.ok();
        anna.set_state(&room, "m.room.server_acl", json!({ "allow": [INSTAGRAM] })).await.ok();
        let carl = json!({ "user_id": "@carl:whatsapp.localhost" });
        anna.post(&format!("/v3/rooms/{room}/ban"), carl).await.ok();
        let before = [bert.get("/v3/joined_rooms").await.ok(), anna.get("/v3/joined_rooms").await.ok()];
        let path = format!("/v3/rooms/{room}/upgrade");
        let words = json!({ "new_version": to });
        bert.post(&path, words.clone()).await.fails(403, "M_FORBIDDEN");
        let of_carl = json!({ "new_version": "12", "additional_creators": ["@carl:whatsapp.localhost"] });
        anna.post(&path, of_carl).await.fails(400, "M_INVALID_PARAM");
        let after = [bert.get("/v3/joined_rooms").await.ok(), anna.get("/v3/joined_rooms").await.ok()];
        assert_eq!(after, before);
        anna.get(&format!("/v3/rooms/{room}/state/m.room.tombstone")).await.fails(404, "M_NOT_FOUND");
        let alias = format!("/v3/directory/room/%23quay{version}:{INSTAGRAM}");
        assert_eq!(text(&bert.get(&alias).await.ok()["room_id"]), room);

        // The room goes on, and somebody with the power can still upgrade it.
        anna.say(&room, "Hello").await;
        let new = upgrade(&anna, &room, words, &[]).await;
        assert_eq!(text(&bert.get(&alias).await.ok()["room_id"]), new);
        let canonical = state(&anna, &new, "m.room.canonical_alias").await;
        assert_eq!(canonical["alias"], format!("#quay{version}:{INSTAGRAM}"));
        assert_eq!(state(&anna, &room, "m.room.canonical_alias").await, json!({}));
        let chunk = anna.get(&format!("/v3/rooms/{room}/messages?dir=b&limit=3")).await.ok();
        let kinds: Vec<_> = list(&chunk["chunk"]).iter().map(|event| text(&event["type"])).collect();
        assert_eq!(kinds, ["m.room.power_levels", "m.room.canonical_alias", "m.room.tombstone"]);
    }
}

/// Levels by which only administrators may do things in a room where a moderator may send a tombstone.
fn levels_of_a_moderator(users: &Value) -> Value {
    json!({
        "users": users, "ban": 70,
        "events": {
            "m.room.tombstone": 50, "m.room.power_levels": 100, "m.room.history_visibility": 100,
            "m.room.encryption": 100, "m.room.server_acl": 100, "m.room.topic": 90,
            "m.room.canonical_alias": 80,
        },
    })
}

#[tokio::test]
async fn a_moderator_who_may_put_a_tombstone_upgrades_to_every_version() {
    let network = Network::open().await;
    let anna = network.register(INSTAGRAM, "anna").await;
    let bert = network.register(MESSENGER, "bert").await;
    let dora = network.register(INSTAGRAM, "dora").await;
    for (number, (from, to)) in
        [("11", "6"), ("6", "9"), ("9", "10"), ("10", "11"), ("12", "11"), ("10", "12")]
            .into_iter()
            .enumerate()
    {
        let users = match from {
            "12" => json!({ &bert.user_id: 50 }),
            _ => json!({ &anna.user_id: 100, &bert.user_id: 50 }),
        };
        let room = anna
            .create_room(json!({
                "room_version": from, "preset": "public_chat", "topic": "Ships",
                "room_alias_name": format!("mod{number}"),
                "power_level_content_override": levels_of_a_moderator(&users),
                "initial_state": [{ "type": "m.room.server_acl", "content": { "allow": ["*"] } }],
            }))
            .await;
        bert.join(&room).await.ok();
        anna.post(&format!("/v3/rooms/{room}/ban"), json!({ "user_id": dora.user_id, "reason": "noise" }))
            .await
            .ok();
        let before = state(&anna, &room, "m.room.power_levels").await;
        let new = upgrade(&bert, &room, json!({ "new_version": to }), &[&anna]).await;

        // Everything goes along, and nobody has gained a level by it.
        for event_type in
            ["m.room.history_visibility", "m.room.server_acl", "m.room.topic", "m.room.join_rules"]
        {
            let [then, now] = [state(&anna, &room, event_type).await, state(&anna, &new, event_type).await];
            assert_eq!(then, now, "{from} to {to}: {event_type}");
        }
        let alias = format!("#mod{number}:{INSTAGRAM}");
        // It is of another platform than the moderator, and has come along with anna.
        let leads = anna.get(&format!("/v3/directory/room/{}", encoded(&alias))).await.ok();
        assert_eq!(text(&leads["room_id"]), new);
        let levels = state(&anna, &new, "m.room.power_levels").await;
        let expected = match (from, to) {
            ("12", _) => json!({ &anna.user_id: 100, &bert.user_id: 50 }),
            // Somebody who makes a room of this version needs no level.
            (_, "12") => json!({ &anna.user_id: 100 }),
            _ => users.clone(),
        };
        assert_eq!(levels["users"], expected, "{from} to {to}");
        assert_eq!((&levels["ban"], &levels["events"]["m.room.topic"]), (&json!(70), &json!(90)));
        assert_eq!(
            state(&anna, &room, "m.room.power_levels").await,
            before,
            "the moderator may not change it"
        );
        if to != "12" {
            let weak = bert.set_state(&new, "m.room.topic", json!({ "topic": "Mine" })).await;
            weak.fails(403, "M_FORBIDDEN");
        }
        anna.set_state(&new, "m.room.topic", json!({ "topic": "Tides" })).await.ok();
        let banned = format!("/v3/rooms/{new}/state/m.room.member/{}", dora.user_id);
        let banned = anna.get(&banned).await.ok();
        assert_eq!((&banned["membership"], &banned["reason"]), (&json!("ban"), &json!("noise")));
        dora.join(&new).await.fails(403, "M_FORBIDDEN");
    }
}

#[tokio::test]
async fn levels_as_text_become_numbers() {
    let network = Network::open().await;
    let anna = network.register(INSTAGRAM, "anna").await;
    let levels = json!({
        "users": { &anna.user_id: "500", "@bert:messenger.localhost": " 300 " }, "ban": "70", "kick": "+60",
        "events": { "m.room.name": "250" }, "notifications": { "room": "20" },
    });
    for to in ["9", "10", "11"] {
        let words = json!({ "room_version": "9", "power_level_content_override": levels });
        let room = anna.create_room(words).await;
        let new = upgrade(&anna, &room, json!({ "new_version": to }), &[]).await;
        let now = state(&anna, &new, "m.room.power_levels").await;
        let expected = json!({ &anna.user_id: 500, "@bert:messenger.localhost": 300 });
        assert_eq!((&now["users"], &now["ban"], &now["kick"]), (&expected, &json!(70), &json!(60)), "{to}");
        assert_eq!((&now["events"]["m.room.name"], &now["notifications"]["room"]), (&json!(250), &json!(20)));
    }
}

#[tokio::test]
async fn an_old_room_is_closed_and_no_level_is_lowered() {
    let network = Network::open().await;
    let anna = network.register(INSTAGRAM, "anna").await;
    let bert = network.register(MESSENGER, "bert").await;
    let cases = [
        (json!({}), (50, 50)),
        (json!({ "users_default": 10 }), (50, 50)),
        (json!({ "users_default": 60 }), (61, 61)),
        (json!({ "users_default": 50 }), (51, 51)),
        (json!({ "events_default": 75, "invite": 90 }), (75, 90)),
        (json!({ "events_default": 20, "invite": 55, "users_default": 5 }), (50, 55)),
    ];
    for (version, (levels, expected)) in cases.iter().flat_map(|case| [("11", case), ("12", case)]) {
        let words = json!({
            "room_version": version, "preset": "public_chat", "power_level_content_override": levels,
        });
        let room = anna.create_room(words).await;
        bert.join(&room).await.ok();
        upgrade(&anna, &room, json!({ "new_version": "12" }), &[]).await;
        let now = state(&anna, &room, "m.room.power_levels").await;
        let closed = (now["events_default"].as_i64(), now["invite"].as_i64());
        assert_eq!(closed, (Some(expected.0), Some(expected.1)), "{version}: {levels}");
        bert.say_fails(&room).await;
        anna.say(&room, "Follow me").await;
    }
}

#[tokio::test]
async fn what_the_old_room_let_everybody_send_is_closed_too() {
    let network = Network::open().await;
    let anna = network.register(INSTAGRAM, "anna").await;
    let bert = network.register(MESSENGER, "bert").await;
    let open = json!({
        "events": { "m.room.message": 0, "m.room.topic": 0, "com.example.vote": 10 }, "state_default": 0,
        "users_default": 10,
    });
    let open_by_text = json!({
        "events": { "m.room.message": "0", "m.room.topic": "0", "com.example.vote": "10" },
        "state_default": "0", "users_default": "10",
    });
    for (version, levels) in [("9", &open_by_text), ("9", &open), ("11", &open), ("12", &open)] {
        let words = json!({
            "room_version": version, "preset": "public_chat", "power_level_content_override": levels,
        });
        let room = anna.create_room(words).await;
        bert.join(&room).await.ok();
        let topic = json!({ "topic": "Mine" });
        bert.say(&room, "Hello").await;
        bert.send(&room, "com.example.vote", json!({})).await;
        bert.set_state(&room, "m.room.topic", topic.clone()).await.ok();
        bert.set_state(&room, "com.example.note", json!({})).await.ok();
        let new = upgrade(&anna, &room, json!({ "new_version": "12" }), &[&bert]).await;

        bert.say_fails(&room).await;
        bert.try_send(&room, "com.example.vote", json!({})).await.fails(403, "M_FORBIDDEN");
        bert.set_state(&room, "m.room.topic", json!({ "topic": "Still" })).await.fails(403, "M_FORBIDDEN");
        bert.set_state(&room, "com.example.note", json!({ "a": 1 })).await.fails(403, "M_FORBIDDEN");
        bert.leave(&room).await.ok();
        // The new room is as open as the old one was.
        bert.say(&new, "Hello").await;
        bert.set_state(&new, "m.room.topic", topic).await.ok();
    }
}

#[tokio::test]
async fn who_may_upgrade_next_stays_as_it_was_decided() {
    let network = Network::open().await;
    let anna = network.register(INSTAGRAM, "anna").await;
    for (version, tombstone, expected) in
        [("11", 50, 150), ("11", 200, 200), ("12", 50, 50), ("12", 200, 200)]
    {
        let levels = json!({ "events": { "m.room.tombstone": tombstone }, "users": {} });
        let levels = match version {
            "12" => levels,
            _ => json!({ "events": levels["events"], "users": { &anna.user_id: 200 } }),
        };
        let words = json!({ "room_version": version, "power_level_content_override": levels });
        let room = anna.create_room(words).await;
        let new = upgrade(&anna, &room, json!({ "new_version": "12" }), &[]).await;
        let levels = state(&anna, &new, "m.room.power_levels").await;
        assert_eq!(levels["events"]["m.room.tombstone"], expected, "{version}: {tombstone}");
    }
}

#[tokio::test]
async fn a_join_rule_that_the_version_does_not_know_becomes_a_stricter_one() {
    let network = Network::open().await;
    let anna = network.register(INSTAGRAM, "anna").await;
    let bert = network.register(MESSENGER, "bert").await;
    for (from, rule, to, expected) in [
        ("10", "knock_restricted", "11", "knock_restricted"),
        ("10", "knock_restricted", "9", "restricted"),
        ("10", "knock_restricted", "7", "invite"),
        ("10", "knock", "7", "knock"),
        ("10", "knock", "6", "invite"),
        ("8", "restricted", "9", "restricted"),
        ("8", "restricted", "7", "invite"),
        ("12", "private", "6", "private"),
    ] {
        let rules = json!({ "join_rule": rule, "allow": [] });
        let rules = json!([{ "type": "m.room.join_rules", "content": rules }]);
        let room = anna.create_room(json!({ "room_version": from, "initial_state": rules })).await;
        let new = upgrade(&anna, &room, json!({ "new_version": to }), &[]).await;
        assert_eq!(state(&anna, &new, "m.room.join_rules").await["join_rule"], expected, "{from} to {to}");
        // A rule that means nothing lets nobody in, as before.
        if rule != "private" {
            anna.invite(&new, &bert).await.ok();
            bert.join(&new).await.ok();
        }
    }
}

#[tokio::test]
async fn a_large_space_is_upgraded_with_all_its_children() {
    let network = Network::open().await;
    let anna = network.register(INSTAGRAM, "anna").await;
    let space = json!({ "room_version": "11", "creation_content": { "type": "m.space" } });
    let space = anna.create_room(space).await;
    let child = |number: usize| format!("!child{number:04}:{INSTAGRAM}");
    for number in 0..1_000 {
        let path = format!("/v3/rooms/{space}/state/m.space.child/{}", child(number));
        anna.put(&path, json!({ "via": [INSTAGRAM], "order": format!("{number:04}") })).await.ok();
    }
    for gone in [7, 8] {
        let path = format!("/v3/rooms/{space}/state/m.space.child/{}", child(gone));
        anna.put(&path, if gone == 7 { json!({}) } else { json!({ "via": [] }) }).await.ok();
    }
    for to in ["11", "12"] {
        // Each upgrade replaces what the last one made.
        let room = if to == "11" {
            space.clone()
        } else {
            text(&state(&anna, &space, "m.room.tombstone").await["replacement_room"])
        };
        let new = upgrade(&anna, &room, json!({ "new_version": to }), &[]).await;
        assert_eq!(state(&anna, &new, "m.room.create").await["type"], "m.space");
        let now = anna.get(&format!("/v3/rooms/{new}/state")).await.ok();
        let kept: Vec<_> = list(&now).iter().filter(|event| event["type"] == "m.space.child").collect();
        assert_eq!(kept.len(), 998, "those that were removed stay away");
        let last = anna.get(&format!("/v3/rooms/{new}/state/m.space.child/{}", child(999))).await.ok();
        assert_eq!(last, json!({ "via": [INSTAGRAM], "order": "0999" }));
    }
}

#[tokio::test]
async fn lists_and_aliases_follow_those_who_may_move_them() {
    let network = Network::open().await;
    let anna = network.register(INSTAGRAM, "anna").await;
    let bert = network.register(MESSENGER, "bert").await;
    let carl = network.register(WHATSAPP, "carl").await;
    let dora = network.register(WHATSAPP, "dora").await;
    let room = anna
        .create_room(json!({
            "room_version": "11", "preset": "public_chat",
            "power_level_content_override": { "users": { &anna.user_id: 100, &bert.user_id: 100 } },
        }))
        .await;
    for follower in [&bert, &carl, &dora] {
        follower.join(&room).await.ok();
    }
    let listing = |room: &str| format!("/v3/directory/list/room/{room}");
    for lister in [&anna, &bert] {
        lister.put(&listing(&room), json!({ "visibility": "public" })).await.ok();
    }
    let (of_anna, of_bert) = ("#main:instagram.localhost", "#second:messenger.localhost");
    let (of_carl, of_dora) = ("#third:whatsapp.localhost", "#fourth:whatsapp.localhost");
    let path = |alias: &str| format!("/v3/directory/room/{}", encoded(alias));
    for (who, alias) in [(&anna, of_anna), (&bert, of_bert), (&carl, of_carl), (&dora, of_dora)] {
        who.put(&path(alias), json!({ "room_id": room })).await.ok();
    }
    let canonical = json!({ "alias": of_bert, "alt_aliases": [of_anna, of_carl] });
    anna.set_state(&room, "m.room.canonical_alias", canonical).await.ok();
    let new = upgrade(&anna, &room, json!({ "new_version": "12" }), &[]).await;
    let leads = async |alias: &str| text(&anna.get(&path(alias)).await.ok()["room_id"]);
    let is_listed =
        async |who: &Client, room: &str| who.get(&listing(room)).await.ok()["visibility"] == "public";

    // She moves what is of her platform, as a server does. The others' lead to the old room, which leads on.
    assert_eq!(leads(of_anna).await, new);
    for alias in [of_bert, of_carl, of_dora] {
        assert_eq!(leads(alias).await, room, "{alias}");
    }
    assert_eq!(state(&anna, &new, "m.room.canonical_alias").await, json!({ "alt_aliases": [of_anna] }));
    let left = json!({ "alias": of_bert, "alt_aliases": [of_carl] });
    assert_eq!(state(&anna, &room, "m.room.canonical_alias").await, left);
    assert!(is_listed(&anna, &new).await && !is_listed(&anna, &room).await);
    assert!(is_listed(&bert, &room).await && !is_listed(&bert, &new).await);

    // Those of other platforms go along with whoever might have moved them by hand.
    carl.join(&new).await.ok();
    assert_eq!(
        (leads(of_carl).await, leads(of_dora).await, leads(of_bert).await),
        (new.clone(), room.clone(), room.clone())
    );
    let stranger = network.register(MESSENGER, "stranger").await;
    stranger.join(&new).await.ok();
    assert_eq!(leads(of_bert).await, room);
    bert.join(&new).await.ok();
    assert_eq!((leads(of_bert).await, leads(of_dora).await), (new.clone(), room.clone()));
    assert!(is_listed(&bert, &new).await && !is_listed(&bert, &room).await);
    // What it has given away, the old room can be given again.
    bert.post(&format!("/v3/rooms/{new}/leave"), json!({})).await.ok();
    assert_eq!(leads(of_bert).await, new);
}

/// Sets things about a room: tags, push rules, and the person with whom one has a direct chat there.
async fn settle_in(who: &Client, room: &str, with: &str) {
    let user = &who.user_id;
    who.put(&format!("/v3/user/{user}/rooms/{room}/tags/m.favourite"), json!({ "order": 0.5 })).await.ok();
    who.put(&format!("/v3/pushrules/global/room/{room}"), json!({ "actions": ["notify"] })).await.ok();
    let muted = json!([{ "kind": "event_match", "key": "room_id", "pattern": room }]);
    let muted = json!({ "actions": [], "conditions": muted });
    who.put(&format!("/v3/pushrules/global/override/{room}"), muted.clone()).await.ok();
    who.put("/v3/pushrules/global/override/mute", muted).await.ok();
    who.put("/v3/pushrules/global/room/!else:instagram.localhost", json!({ "actions": [] })).await.ok();
    who.put(&format!("/v3/pushrules/global/room/{room}/enabled"), json!({ "enabled": false })).await.ok();
    let direct = json!({ with: [room, "!else:instagram.localhost"], "@else:instagram.localhost": [] });
    who.put(&format!("/v3/user/{user}/account_data/m.direct"), direct).await.ok();
}

/// Asserts that what was set about the old room holds for the new one too, once.
async fn has_settled(who: &Client, old: &str, new: &str, with: &str) {
    let user = &who.user_id;
    let tags = who.get(&format!("/v3/user/{user}/rooms/{new}/tags")).await.ok();
    assert_eq!(tags["tags"], json!({ "m.favourite": { "order": 0.5 } }));
    let rules = who.get("/v3/pushrules/").await.ok()["global"].clone();
    let of_room = |kind: &str| {
        let named = list(&rules[kind]).iter().filter(|rule| rule.to_string().contains(new));
        named.cloned().collect::<Vec<_>>()
    };
    let room_rule = json!({ "actions": ["notify"], "default": false, "enabled": false, "rule_id": new });
    assert_eq!(of_room("room"), [room_rule]);
    let muting = of_room("override");
    assert_eq!(muting.len(), 2, "{muting:?}");
    for rule in &muting {
        let here = json!([{ "kind": "event_match", "key": "room_id", "pattern": new }]);
        assert_eq!((&rule["conditions"], &rule["actions"]), (&here, &json!([])));
    }
    assert!(muting.iter().any(|rule| rule["rule_id"] == *new));
    let direct = who.get(&format!("/v3/user/{user}/account_data/m.direct")).await.ok();
    let expected = json!({ with: [old, "!else:instagram.localhost", new], "@else:instagram.localhost": [] });
    assert_eq!(direct, expected);
    assert_eq!(rules["room"].as_array().map(Vec::len), Some(3), "{rules}");
}

#[tokio::test]
async fn what_people_set_about_a_room_goes_along_with_them() {
    let network = Network::open().await;
    let anna = network.register(INSTAGRAM, "anna").await;
    let bert = network.register(MESSENGER, "bert").await;
    let carl = network.register(WHATSAPP, "carl").await;
    let dora = network.register(INSTAGRAM, "dora").await;
    for version in ["11", "12"] {
        let room = anna.create_room(json!({ "room_version": "11", "preset": "public_chat" })).await;
        for who in [&anna, &bert, &carl] {
            who.join(&room).await.ok();
            settle_in(who, &room, &dora.user_id).await;
        }
        let since = text(&bert.get("/v3/sync").await.ok()["next_batch"]);
        let new = upgrade(&anna, &room, json!({ "new_version": version }), &[]).await;
        has_settled(&anna, &room, &new, &dora.user_id).await;

        // It holds for every way in which somebody comes in.
        bert.join(&new).await.ok();
        let member = format!("/v3/rooms/{new}/state/m.room.member/{}", carl.user_id);
        carl.put(&member, json!({ "membership": "join" })).await.ok();
        for who in [&bert, &carl] {
            has_settled(who, &room, &new, &dora.user_id).await;
        }
        let news = bert.get(&format!("/v3/sync?since={since}")).await.ok();
        assert_eq!(each(&news["rooms"]["join"][&new]["account_data"]["events"], "type"), ["m.tag"]);
        let kinds = each(&news["account_data"]["events"], "type");
        assert!(
            ["m.direct", "m.push_rules"].iter().all(|kind| kinds.contains(&(*kind).to_owned())),
            "{news}"
        );

        // A user who was never in the old room brings nothing, and a user who comes back finds what they
        // left.
        dora.join(&new).await.ok();
        dora.get(&format!("/v3/user/{}/account_data/m.direct", dora.user_id)).await.fails(404, "M_NOT_FOUND");
        bert.delete(&format!("/v3/user/{}/rooms/{new}/tags/m.favourite", bert.user_id)).await.ok();
        bert.leave(&new).await.ok();
        bert.join(&new).await.ok();
        let tags = bert.get(&format!("/v3/user/{}/rooms/{new}/tags", bert.user_id)).await.ok();
        assert_eq!(tags["tags"], json!({}));
        for who in [&anna, &bert, &carl] {
            for name in [&room, &new] {
                who.delete(&format!("/v3/pushrules/global/room/{name}")).await.ok();
                who.delete(&format!("/v3/pushrules/global/override/{name}")).await.ok();
            }
        }
    }
}

#[tokio::test]
async fn settings_find_the_new_room_whenever_somebody_follows() {
    let network = Network::open().await;
    let anna = network.register(INSTAGRAM, "anna").await;
    let bert = network.register(MESSENGER, "bert").await;
    let carl = network.register(WHATSAPP, "carl").await;
    let dora = network.register(INSTAGRAM, "dora").await;
    let room = anna.create_room(json!({ "room_version": "11", "preset": "public_chat" })).await;
    for who in [&bert, &carl, &dora] {
        who.join(&room).await.ok();
        settle_in(who, &room, &anna.user_id).await;
    }
    // Bert has left before it is upgraded; Dora has left and forgotten it.
    bert.leave(&room).await.ok();
    dora.leave(&room).await.ok();
    dora.post(&format!("/v3/rooms/{room}/forget"), json!({})).await.ok();
    let second = upgrade(&anna, &room, json!({ "new_version": "10" }), &[]).await;
    let third = upgrade(&anna, &second, json!({ "new_version": "12" }), &[]).await;

    let network = network.reopen().await;
    let [anna, bert, carl, dora] = [&anna, &bert, &carl, &dora].map(|who| who.on(&network));
    // Declining an invitation is no visit, and none of them was in the rooms in between.
    for who in [&bert, &dora] {
        anna.invite(&third, who).await.ok();
        who.leave(&third).await.ok();
    }
    anna.invite(&third, &carl).await.ok();
    for who in [&bert, &carl, &dora] {
        who.join(&third).await.ok();
    }
    for who in [&bert, &carl] {
        has_settled(who, &room, &third, &anna.user_id).await;
    }
    let tags = dora.get(&format!("/v3/user/{}/rooms/{third}/tags", dora.user_id)).await.ok();
    assert_eq!(tags["tags"], json!({}));
    dora.get(&format!("/v3/pushrules/global/room/{third}")).await.fails(404, "M_NOT_FOUND");

    // What a user gave up in the new room stays away, even if the user comes back by an invitation.
    carl.delete(&format!("/v3/pushrules/global/room/{third}")).await.ok();
    carl.leave(&third).await.ok();
    anna.invite(&third, &carl).await.ok();
    carl.join(&third).await.ok();
    carl.get(&format!("/v3/pushrules/global/room/{third}")).await.fails(404, "M_NOT_FOUND");
}

#[tokio::test]
async fn tags_that_the_new_room_has_already_stay() {
    let network = Network::open().await;
    let anna = network.register(INSTAGRAM, "anna").await;
    let bert = network.register(MESSENGER, "bert").await;
    let room = anna.create_room(json!({ "room_version": "11", "preset": "public_chat" })).await;
    bert.join(&room).await.ok();
    settle_in(&bert, &room, &anna.user_id).await;
    let new = upgrade(&anna, &room, json!({ "new_version": "12" }), &[]).await;
    let tags = format!("/v3/user/{}/rooms/{new}/tags", bert.user_id);
    bert.put(&format!("{tags}/m.lowpriority"), json!({})).await.ok();
    bert.join(&new).await.ok();
    assert_eq!(bert.get(&tags).await.ok()["tags"], json!({ "m.lowpriority": {} }));
    bert.get(&format!("/v3/pushrules/global/room/{new}")).await.ok();
}

#[tokio::test]
async fn a_room_that_only_claims_to_replace_another_gets_nothing() {
    let network = Network::open().await;
    let anna = network.register(INSTAGRAM, "anna").await;
    let mallory = network.register(MESSENGER, "mallory").await;
    let room = anna.create_room(json!({ "room_version": "11" })).await;
    settle_in(&anna, &room, "@else:instagram.localhost").await;
    let claims = json!({ "predecessor": { "room_id": room, "event_id": "$x" } });
    let claims = json!({ "preset": "public_chat", "creation_content": claims });
    for is_replaced in [false, true] {
        if is_replaced {
            upgrade(&anna, &room, json!({ "new_version": "12" }), &[]).await;
        }
        let trap = mallory.create_room(claims.clone()).await;
        anna.join(&trap).await.ok();
        let tags = anna.get(&format!("/v3/user/{}/rooms/{trap}/tags", anna.user_id)).await.ok();
        assert_eq!(tags["tags"], json!({}));
        anna.get(&format!("/v3/pushrules/global/room/{trap}")).await.fails(404, "M_NOT_FOUND");
    }
}

#[tokio::test]
async fn push_rules_that_go_along_count_at_once() {
    let network = Network::open().await;
    let anna = network.register(INSTAGRAM, "anna").await;
    let bert = network.register(MESSENGER, "bert").await;
    let room = anna.create_room(json!({ "room_version": "11", "preset": "public_chat" })).await;
    bert.join(&room).await.ok();
    bert.put(&format!("/v3/pushrules/global/room/{room}"), json!({ "actions": [] })).await.ok();
    let since = text(&bert.get("/v3/sync").await.ok()["next_batch"]);
    let new = upgrade(&anna, &room, json!({ "new_version": "12" }), &[&bert]).await;
    let from = text(&bert.get(&format!("/v3/sync?since={since}")).await.ok()["next_batch"]);
    anna.say(&new, "Does it ring?").await;
    let news = bert.get(&format!("/v3/sync?since={from}")).await.ok();
    assert_eq!(news["rooms"]["join"][&new]["unread_notifications"]["notification_count"], 0);
}

#[tokio::test]
async fn a_room_is_replaced_once_whoever_asks_at_the_same_time() {
    let network = Network::open().await;
    let anna = network.register(INSTAGRAM, "anna").await;
    let bert = network.register(MESSENGER, "bert").await;
    let levels = json!({ "users": { &anna.user_id: 100, &bert.user_id: 100 } });
    let old = anna
        .create_room(json!({
            "preset": "public_chat", "room_version": "10", "room_alias_name": "quay",
            "power_level_content_override": levels,
        }))
        .await;
    bert.join(&old).await.ok();
    let path = format!("/v3/rooms/{old}/upgrade");
    let words = json!({ "new_version": "12" });
    let answers = tokio::join!(anna.post(&path, words.clone()), bert.post(&path, words.clone()));
    let (done, refused) = match answers {
        (first, second) if first.status.is_success() => (first, second),
        (first, second) => (second, first),
    };
    let new = text(&done.ok()["replacement_room"]);
    refused.fails(400, "M_BAD_STATE");
    for again in [&anna, &bert] {
        again.post(&path, words.clone()).await.fails(400, "M_BAD_STATE");
    }
    assert_eq!(text(&state(&anna, &old, "m.room.tombstone").await["replacement_room"]), new);
    let alias = anna.get("/v3/directory/room/%23quay:instagram.localhost").await.ok();
    assert_eq!(text(&alias["room_id"]), new);
    let after = network.reopen().await;
    anna.on(&after).post(&path, words).await.fails(400, "M_BAD_STATE");
}

#[tokio::test]
async fn a_room_whose_tombstone_leads_nowhere_is_upgraded() {
    let network = Network::open().await;
    let anna = network.register(INSTAGRAM, "anna").await;
    let words = json!({ "new_version": "12" });
    let old = anna.create_room(json!({ "preset": "public_chat", "room_version": "11" })).await;
    for tombstone in [json!({ "body": "closed" }), json!({ "replacement_room": "!gone:elsewhere.example" })] {
        anna.set_state(&old, "m.room.tombstone", tombstone).await.ok();
    }
    let first = upgrade(&anna, &old, words.clone(), &[]).await;
    anna.leave(&first).await.ok();
    let second = upgrade(&anna, &old, words, &[]).await;
    assert_ne!(first, second);
    assert_eq!(text(&state(&anna, &old, "m.room.tombstone").await["replacement_room"]), second);
}
