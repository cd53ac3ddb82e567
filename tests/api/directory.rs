//! Finding rooms and people across platforms.

use serde_json::json;

use crate::network::{Client, INSTAGRAM, MESSENGER, Network, WHATSAPP, each, encoded, list, text};

#[tokio::test]
async fn aliases_are_made_on_ones_own_platform() {
    let network = Network::open().await;
    let anna = network.register(INSTAGRAM, "anna").await;
    let bert = network.register(MESSENGER, "bert").await;
    let room = anna.create_room(json!({ "preset": "public_chat", "room_alias_name": "pier" })).await;
    let alias = |name: &str| format!("/v3/directory/room/{}", encoded(name));
    let points_here = json!({ "room_id": room });

    let pier = bert.get(&alias("#pier:instagram.localhost")).await.ok();
    assert_eq!((text(&pier["room_id"]), &pier["servers"]), (room.clone(), &json!([INSTAGRAM])));
    bert.join("#pier:instagram.localhost").await.ok();
    bert.put(&alias("#dock:messenger.localhost"), points_here.clone()).await.ok();
    bert.put(&alias("#dock:messenger.localhost"), points_here.clone()).await.fails(409, "M_UNKNOWN");
    bert.put(&alias("#dock:instagram.localhost"), points_here).await.fails(403, "M_FORBIDDEN");
    let dock = anna.get(&alias("#dock:messenger.localhost")).await.ok();
    assert_eq!(dock["servers"], json!([INSTAGRAM, MESSENGER]));
    let aliases = bert.get(&format!("/v3/rooms/{room}/aliases")).await.ok();
    assert_eq!(aliases["aliases"], json!(["#dock:messenger.localhost"]));

    let taken = json!({ "room_alias_name": "pier" });
    anna.post("/v3/createRoom", taken).await.fails(400, "M_ROOM_IN_USE");
    let canonical = json!({ "alias": "#nowhere:instagram.localhost" });
    anna.set_state(&room, "m.room.canonical_alias", canonical).await.fails(400, "M_BAD_ALIAS");
    anna.delete(&alias("#dock:messenger.localhost")).await.fails(403, "M_FORBIDDEN");
    bert.delete(&alias("#dock:messenger.localhost")).await.ok();
    anna.get(&alias("#dock:messenger.localhost")).await.fails(404, "M_NOT_FOUND");
}

#[tokio::test]
async fn a_room_does_not_call_itself_by_an_alias_that_is_gone() {
    let network = Network::open().await;
    let anna = network.register(INSTAGRAM, "anna").await;
    let bert = network.register(MESSENGER, "bert").await;
    let room = anna.create_room(json!({ "preset": "public_chat", "room_alias_name": "pier" })).await;
    bert.join(&room).await.ok();
    let [pier, mole, dock] =
        ["#pier:instagram.localhost", "#mole:instagram.localhost", "#dock:messenger.localhost"];
    let path = |alias: &str| format!("/v3/directory/room/{}", encoded(alias));
    anna.put(&path(mole), json!({ "room_id": room })).await.ok();
    bert.put(&path(dock), json!({ "room_id": room })).await.ok();
    let canonical = json!({ "alias": pier, "alt_aliases": [mole, dock], "org.example.note": 1 });
    anna.set_state(&room, "m.room.canonical_alias", canonical.clone()).await.ok();
    let named = format!("/v3/rooms/{room}/state/m.room.canonical_alias?format=event");

    // A user who may remove the alias, and may not change the room's state, removes only the alias.
    bert.delete(&path(dock)).await.ok();
    anna.get(&path(dock)).await.fails(404, "M_NOT_FOUND");
    assert_eq!(anna.get(&named).await.ok()["content"], canonical);

    anna.delete(&path(mole)).await.ok();
    let without_mole = json!({ "alias": pier, "alt_aliases": [dock], "org.example.note": 1 });
    let event = bert.get(&named).await.ok();
    assert_eq!((&event["content"], &event["sender"]), (&without_mole, &json!(anna.user_id)));
    anna.delete(&path(pier)).await.ok();
    let without_pier = json!({ "alt_aliases": [dock], "org.example.note": 1 });
    let event = bert.get(&named).await.ok();
    assert_eq!(event["content"], without_pier);

    // An alias that the room does not name changes nothing.
    anna.put(&path(mole), json!({ "room_id": room })).await.ok();
    anna.delete(&path(mole)).await.ok();
    assert_eq!(bert.get(&named).await.ok()["event_id"], event["event_id"]);
    // A user who is not in the room any more changes nothing either.
    anna.put(&path(mole), json!({ "room_id": room })).await.ok();
    anna.set_state(&room, "m.room.canonical_alias", json!({ "alt_aliases": [mole] })).await.ok();
    anna.leave(&room).await.ok();
    anna.delete(&path(mole)).await.ok();
    assert_eq!(bert.get(&named).await.ok()["content"], json!({ "alt_aliases": [mole] }));
}

#[tokio::test]
async fn the_last_alias_takes_the_whole_name_along() {
    let network = Network::open().await;
    let anna = network.register(INSTAGRAM, "anna").await;
    let room = anna.create_room(json!({ "room_alias_name": "pier" })).await;
    let alias = "#pier:instagram.localhost";
    let canonical = json!({ "alias": alias, "alt_aliases": [alias] });
    anna.set_state(&room, "m.room.canonical_alias", canonical).await.ok();
    anna.delete(&format!("/v3/directory/room/{}", encoded(alias))).await.ok();
    let named = anna.get(&format!("/v3/rooms/{room}/state/m.room.canonical_alias")).await.ok();
    assert_eq!(named, json!({}));
}

#[tokio::test]
async fn public_rooms_of_all_platforms_are_listed() {
    let network = Network::open().await;
    let anna = network.register(INSTAGRAM, "anna").await;
    let bert = network.register(MESSENGER, "bert").await;
    let carl = network.register(WHATSAPP, "carl").await;
    let ferries = anna.create_room(json!({ "visibility": "public", "name": "Ferries" })).await;
    let space = json!({
        "visibility": "public", "name": "Harbour", "creation_content": { "type": "m.space" },
    });
    let harbour = bert.create_room(space).await;
    carl.join(&ferries).await.ok();

    let page = carl.get("/v3/publicRooms?limit=1").await.ok();
    assert_eq!(each(&page["chunk"], "room_id"), [ferries.as_str()]);
    assert_eq!(
        (page["total_room_count_estimate"].as_u64(), page["chunk"][0]["num_joined_members"].as_u64()),
        (Some(2), Some(2))
    );
    let next = carl.get(&format!("/v3/publicRooms?limit=1&since={}", text(&page["next_batch"]))).await.ok();
    assert_eq!(each(&next["chunk"], "room_id"), [harbour.as_str()]);
    assert!(next["next_batch"].is_null());
    let one = carl.get("/v3/publicRooms?server=messenger.localhost").await.ok();
    assert_eq!(each(&one["chunk"], "room_id"), [harbour.as_str()]);
    carl.get("/v3/publicRooms?server=elsewhere.example").await.fails(404, "M_NOT_FOUND");

    let found = carl.post("/v3/publicRooms", json!({ "filter": { "generic_search_term": "ferr" } })).await;
    assert_eq!(each(&found.ok()["chunk"], "name"), ["Ferries"]);
    let spaces = carl.post("/v3/publicRooms", json!({ "filter": { "room_types": ["m.space"] } })).await;
    assert_eq!(each(&spaces.ok()["chunk"], "name"), ["Harbour"]);
    let rooms = carl.post("/v3/publicRooms", json!({ "filter": { "room_types": [null] } })).await;
    assert_eq!(each(&rooms.ok()["chunk"], "name"), ["Ferries"]);

    let listing = format!("/v3/directory/list/room/{ferries}");
    assert_eq!(anna.get(&listing).await.ok()["visibility"], "public");
    assert_eq!(carl.get(&listing).await.ok()["visibility"], "private", "of the other platform's list");
    carl.put(&listing, json!({ "visibility": "public" })).await.fails(403, "M_FORBIDDEN");
    anna.put(&listing, json!({ "visibility": "private" })).await.ok();
    assert_eq!(each(&carl.get("/v3/publicRooms").await.ok()["chunk"], "room_id"), [harbour]);
}

#[tokio::test]
async fn people_are_found_by_their_names() {
    let network = Network::open().await;
    let anna = network.register(INSTAGRAM, "anna").await;
    let bert = network.register(MESSENGER, "bert").await;
    let name = format!("/v3/profile/{}/displayname", bert.user_id);
    bert.put(&name, json!({ "displayname": "Captain Iglo" })).await.ok();

    let search =
        async |term: &str| anna.post("/v3/user_directory/search", json!({ "search_term": term })).await.ok();
    let found = search("iglo").await;
    assert_eq!(each(&found["results"], "user_id"), [bert.user_id.as_str()]);
    assert_eq!(found["results"][0]["display_name"], "Captain Iglo");
    assert_eq!(each(&search("bert").await["results"], "user_id"), [bert.user_id.as_str()]);
    assert_eq!(list(&search("nobody").await["results"]).len(), 0);
}

#[tokio::test]
async fn a_room_kept_to_its_platform_is_found_there_only() {
    let network = Network::open().await;
    let anna = network.register(INSTAGRAM, "anna").await;
    let neighbour = network.register(INSTAGRAM, "neighbour").await;
    let bert = network.register(MESSENGER, "bert").await;
    let room = anna
        .create_room(json!({
            "preset": "public_chat", "visibility": "public", "name": "Ours",
            "creation_content": { "m.federate": false },
        }))
        .await;
    let space = json!({ "preset": "public_chat", "creation_content": { "type": "m.space" } });
    let space = anna.create_room(space).await;
    let child = format!("/v3/rooms/{space}/state/m.space.child/{room}");
    anna.put(&child, json!({ "via": [INSTAGRAM] })).await.ok();
    let found = async |who: &Client| {
        let listed = who.get("/v3/publicRooms").await.ok();
        let searched = who.post("/v3/publicRooms", json!({ "server": INSTAGRAM })).await.ok();
        let hierarchy = who.get(&format!("/v1/rooms/{space}/hierarchy")).await.ok();
        let summary = who.get(&format!("/v1/room_summary/{}", encoded(&room))).await.status == 200;
        let listed = [&listed["chunk"], &searched["chunk"], &hierarchy["rooms"]];
        let mut found: Vec<_> = listed.iter().map(|rooms| each(rooms, "room_id").contains(&room)).collect();
        found.push(summary);
        found
    };
    assert_eq!(found(&anna).await, [true, true, true, true]);
    assert_eq!(found(&neighbour).await, [true, true, true, true]);
    assert_eq!(found(&bert).await, [false, false, false, false]);
    bert.join(&room).await.fails(403, "M_FORBIDDEN");
}
