//! Spaces, and what rooms show of themselves.

use serde_json::json;

use crate::network::{INSTAGRAM, MESSENGER, Network, each, list, text};

#[tokio::test]
async fn a_space_shows_what_one_may_see() {
    let network = Network::open().await;
    let anna = network.register(INSTAGRAM, "anna").await;
    let bert = network.register(MESSENGER, "bert").await;
    let space = json!({ "preset": "public_chat", "creation_content": { "type": "m.space" } });
    let space = anna.create_room(space).await;
    let open = anna.create_room(json!({ "preset": "public_chat", "name": "Open" })).await;
    let closed = anna.create_room(json!({ "name": "Closed" })).await;
    for (child, order) in [(&open, "a"), (&closed, "b")] {
        let content = json!({ "via": [INSTAGRAM], "order": order, "suggested": child == &open });
        anna.put(&format!("/v3/rooms/{space}/state/m.space.child/{child}"), content).await.ok();
    }
    let hierarchy = format!("/v1/rooms/{space}/hierarchy");

    let all = anna.get(&hierarchy).await.ok();
    assert_eq!(each(&all["rooms"], "room_id"), [space.clone(), open.clone(), closed.clone()]);
    assert_eq!(each(&all["rooms"][0]["children_state"], "state_key"), [open.clone(), closed.clone()]);
    let some = bert.get(&hierarchy).await.ok();
    assert_eq!(each(&some["rooms"], "room_id"), [space.clone(), open.clone()]);
    let first = anna.get(&format!("{hierarchy}?limit=1")).await.ok();
    let rest = anna.get(&format!("{hierarchy}?from={}", text(&first["next_batch"]))).await.ok();
    assert_eq!(each(&rest["rooms"], "room_id"), [open.clone(), closed.clone()]);
    let suggested = anna.get(&format!("{hierarchy}?suggested_only=true")).await.ok();
    assert_eq!(each(&suggested["rooms"], "room_id"), [space.clone(), open.clone()]);
    let flat = anna.get(&format!("{hierarchy}?max_depth=0")).await.ok();
    assert_eq!(list(&flat["rooms"]).len(), 1);

    let summary = bert.get(&format!("/v1/room_summary/{open}")).await.ok();
    assert_eq!(
        (text(&summary["name"]), text(&summary["membership"])),
        ("Open".to_owned(), "leave".to_owned())
    );
    bert.get(&format!("/v1/room_summary/{closed}")).await.fails(404, "M_NOT_FOUND");
    bert.join(&open).await.ok();
    let mutual = bert.get(&format!("/v1/mutual_rooms?user_id={}", anna.user_id)).await.ok();
    assert_eq!((&mutual["joined"], mutual["count"].as_u64()), (&json!([open]), Some(1)));
}
