//! What operators see of rooms, and do with them: each platform's with its own people, and the operator of the whole
//! back-end with everybody.

use http::Method;
use linkspan_storage::catalogue::{EventIds, Members, RoomDeletions, Rooms, StateLog, Timeline};
use serde_json::{Value, json};

use crate::network::{Client, INSTAGRAM, MESSENGER, Network, PATIENCE, each, list, text};

const API: &str = "/_linkspan/admin/v1";

/// Anna of Instagram and ben of Messenger in a room, and anna alone in another, with an administrator of each platform.
struct Scene {
    network: Network,
    admin: Client,
    carl: Client,
    anna: Client,
    ben: Client,
    /// The room of both.
    quay: String,
    /// Anna's own.
    cabin: String,
}

impl Scene {
    async fn open() -> Self {
        let network = Network::open().await;
        let admin = network.administrator(INSTAGRAM, "admin").await;
        let carl = network.administrator(MESSENGER, "carl").await;
        let anna = network.register(INSTAGRAM, "anna").await;
        let ben = network.register(MESSENGER, "ben").await;
        let open = json!({ "preset": "public_chat", "name": "The Quay", "room_alias_name": "quay" });
        let quay = anna.create_room(open).await;
        ben.join(&quay).await.ok();
        let cabin = anna.create_room(json!({ "name": "Cabin" })).await;
        Self { network, admin, carl, anna, ben, quay, cabin }
    }

    fn path(room: &str, what: &str) -> String {
        format!("{API}/rooms/{room}{what}")
    }

    /// Deletes a room, and gives what became of it.
    async fn delete(&self, by: &Client, room: &str, body: Value) -> Value {
        let begun = by.post(&Self::path(room, "/delete"), body).await.ok();
        let path = format!("{API}/rooms/deletions/{}", text(&begun["id"]));
        let ended = async {
            loop {
                let deletion = by.get(&path).await.ok();
                if deletion["ended_ts"].is_u64() {
                    return deletion;
                }
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(PATIENCE, ended).await.expect("it ends")
    }
}

#[tokio::test]
async fn an_operator_sees_the_rooms_of_the_own_people_and_names_nobody_else() {
    let scene = Scene::open().await;
    let rooms = scene.admin.get(&format!("{API}/rooms?order=members")).await.ok();
    assert_eq!(each(&rooms["rooms"], "name"), ["The Quay", "Cabin"]);
    let rooms = scene.carl.get(&format!("{API}/rooms?order=members")).await.ok();
    assert_eq!(each(&rooms["rooms"], "name"), ["The Quay"]);
    assert_eq!(rooms["rooms"][0]["creator"], Value::Null);
    assert_eq!(rooms["rooms"][0]["creator_platform"], INSTAGRAM);
    assert_eq!(rooms["rooms"][0]["joined_members"], 2);

    let room = scene.carl.get(&Scene::path(&scene.quay, "")).await.ok();
    assert_eq!(room["joined_by_platform"], json!({ INSTAGRAM: 1, MESSENGER: 1 }));
    let members = scene.carl.get(&Scene::path(&scene.quay, "/members")).await.ok();
    assert_eq!(each(&members["members"], "user_id"), [scene.ben.user_id.as_str()]);
    for answer in [&rooms, &room, &members] {
        assert!(!answer.to_string().contains("@anna"), "{answer}");
    }
    for what in ["", "/members"] {
        scene.carl.get(&Scene::path(&scene.cabin, what)).await.fails(404, "M_NOT_FOUND");
    }
    scene.carl.post(&Scene::path(&scene.cabin, "/delete"), json!({})).await.fails(404, "M_NOT_FOUND");
    scene
        .carl
        .get(&format!("{}?all_platforms=true", Scene::path(&scene.cabin, "")))
        .await
        .fails(403, "M_FORBIDDEN");
    let everybody = format!("{}?all_platforms=true", Scene::path(&scene.quay, "/members"));
    let members = scene.network.operate(MESSENGER, Method::GET, &everybody, Value::Null).await.ok();
    assert_eq!(list(&members["members"]).len(), 2);
}

#[tokio::test]
async fn rooms_are_searched_and_sorted_page_by_page() {
    let scene = Scene::open().await;
    scene.anna.say(&scene.cabin, "Ahoy").await;
    let found = async |query: &str| {
        let rooms = scene.admin.get(&format!("{API}/rooms?{query}")).await.ok();
        each(&rooms["rooms"], "name")
    };
    assert_eq!(found("search=QUAY").await, ["The Quay"]);
    assert_eq!(found("search=cab").await, ["Cabin"]);
    assert_eq!(found(&format!("search={}", scene.cabin)).await, ["Cabin"]);
    assert_eq!(found("search=nothing").await, [""; 0]);
    for order in ["room_id", "members", "activity"] {
        let mut names = Vec::new();
        let mut from = String::new();
        loop {
            let page = scene.admin.get(&format!("{API}/rooms?order={order}&limit=1{from}")).await.ok();
            names.extend(each(&page["rooms"], "name"));
            match page["next_batch"].as_str() {
                Some(next) => from = format!("&from={next}"),
                None => break,
            }
        }
        names.sort();
        assert_eq!(names, ["Cabin", "The Quay"], "{order}");
    }
    scene.admin.get(&format!("{API}/rooms?order=size")).await.fails(400, "M_INVALID_PARAM");
    scene.admin.get(&format!("{API}/rooms?from=here")).await.fails(400, "M_INVALID_PARAM");
}

#[tokio::test]
async fn a_blocked_room_is_closed_to_the_people_of_the_platform_only() {
    let scene = Scene::open().await;
    let (quay, blocked) = (&scene.quay, Scene::path(&scene.quay, "/blocked"));
    let dora = scene.network.register(MESSENGER, "dora").await;
    let fritz = scene.network.register(INSTAGRAM, "fritz").await;
    scene.carl.put(&blocked, json!({ "blocked": true })).await.ok();
    assert_eq!(scene.carl.get(&Scene::path(quay, "")).await.ok()["blocked"], true);
    assert_eq!(scene.admin.get(&Scene::path(quay, "")).await.ok()["blocked"], false);
    scene.ben.say_fails(quay).await;
    dora.join(quay).await.fails(403, "M_FORBIDDEN");
    scene.anna.invite(quay, &dora).await.fails(403, "M_FORBIDDEN");
    scene.anna.say(quay, "Ahoy").await;
    fritz.join(quay).await.ok();
    // The block is there after a restart, too.
    let again = scene.network.reopen().await;
    scene.ben.on(&again).say_fails(quay).await;
    scene.ben.leave(quay).await.ok();
    scene.ben.join(quay).await.fails(403, "M_FORBIDDEN");
    // Nobody of the platform is in it any more.
    scene.carl.get(&Scene::path(quay, "")).await.fails(404, "M_NOT_FOUND");
    let rooms = scene.carl.get(&format!("{API}/rooms/blocked")).await.ok();
    assert_eq!(each(&rooms["blocked"], "room_id"), [quay.as_str()]);
    scene.carl.put(&blocked, json!({ "blocked": false })).await.ok();
    scene.ben.join(quay).await.ok();

    let all = json!({ "blocked": true, "all_platforms": true });
    scene.admin.put(&blocked, all.clone()).await.fails(403, "M_FORBIDDEN");
    scene.network.operate(INSTAGRAM, Method::PUT, &blocked, all).await.ok();
    scene.anna.say_fails(quay).await;
    scene.ben.say_fails(quay).await;
    scene.anna.leave(quay).await.ok();
}

#[tokio::test]
async fn a_platform_deletes_a_room_for_its_own_people() {
    let scene = Scene::open().await;
    let wanted = json!({
        "message": "This room broke the rules", "block": true,
        "new_room": { "creator": "carl", "name": "News" },
    });
    let ended = scene.delete(&scene.carl, &scene.quay, wanted).await;
    assert_eq!((&ended["state"], &ended["removed_members"]), (&json!("done"), &json!(1)), "{ended}");
    assert_eq!(ended["purged"], false);
    scene.ben.say_fails(&scene.quay).await;
    scene.ben.join(&scene.quay).await.fails(403, "M_FORBIDDEN");
    let news = text(&ended["new_room_id"]);
    assert_eq!(scene.ben.heard(&news).await, ["This room broke the rules"]);
    scene.ben.say_fails(&news).await;
    // Those of the other platform go on, and are told why somebody has left.
    let member = format!("/v3/rooms/{}/state/m.room.member/{}", scene.quay, scene.ben.user_id);
    let left = scene.anna.get(&member).await.ok();
    assert_eq!(left, json!({ "membership": "leave", "reason": "This room broke the rules" }));
    scene.anna.say(&scene.quay, "Still here").await;
    assert_eq!(scene.network.app.rooms.audit().await.expect("it is read"), [""; 0]);
}

#[tokio::test]
async fn of_a_room_that_nobody_may_read_nothing_stays() {
    let scene = Scene::open().await;
    let since = text(&scene.anna.get("/v3/sync").await.ok()["next_batch"]);
    let ended = scene.delete(&scene.admin, &scene.cabin, json!({})).await;
    assert_eq!((&ended["state"], &ended["purged"]), (&json!("done"), &json!(true)), "{ended}");
    scene.admin.get(&Scene::path(&scene.cabin, "")).await.fails(404, "M_NOT_FOUND");
    assert_eq!(scene.network.rows::<Rooms>().await, 1);
    // A client that was away learns that it is gone, and nothing breaks.
    let sync = scene.anna.get(&format!("/v3/sync?since={since}")).await.ok();
    assert!(sync["rooms"]["leave"].get(&scene.cabin).is_some(), "{sync}");
    let whole = scene.anna.get("/v3/sync").await.ok();
    assert!(whole["rooms"]["join"].get(&scene.cabin).is_none(), "{whole}");
    scene.anna.say_fails(&scene.cabin).await;

    let all = json!({ "all_platforms": true });
    scene.admin.post(&Scene::path(&scene.quay, "/delete"), all.clone()).await.fails(403, "M_FORBIDDEN");
    let path = Scene::path(&scene.quay, "/delete");
    scene.network.operate(INSTAGRAM, Method::POST, &path, all).await.ok();
    scene.network.app.rooms.finish_deletions(linkspan_wire::now_ts).await.expect("it is finished");
    assert_eq!(scene.network.rows::<Rooms>().await, 0);
    assert_eq!(scene.network.rows::<Timeline>().await, 0);
    assert_eq!(scene.network.rows::<EventIds>().await, 0);
    assert_eq!(scene.network.rows::<Members>().await, 0);
    assert_eq!(scene.network.rows::<StateLog>().await, 0);
    scene.anna.get("/v3/directory/room/%23quay:instagram.localhost").await.fails(404, "M_NOT_FOUND");
    assert_eq!(scene.network.app.rooms.audit().await.expect("it is read"), [""; 0]);
    let days = 31 * 24 * 60 * 60 * 1000;
    let instagram = INSTAGRAM.try_into().expect("a server name");
    let forgotten = scene.network.app.rooms.forget_room_deletions(&instagram, linkspan_wire::now_ts() + days);
    forgotten.await.expect("they are forgotten");
    assert_eq!(scene.network.rows::<RoomDeletions>().await, 0);
}

#[tokio::test]
async fn what_a_stop_interrupted_is_deleted_after_it() {
    let scene = Scene::open().await;
    for number in 0..120 {
        scene.network.register(INSTAGRAM, &format!("guest{number}")).await.join(&scene.quay).await.ok();
    }
    scene.admin.post(&Scene::path(&scene.quay, "/delete"), json!({})).await.ok();
    let again = scene.network.reopen().await;
    again.app.rooms.finish_deletions(linkspan_wire::now_ts).await.expect("it is finished");
    let deletions = scene.admin.on(&again).get(&format!("{API}/rooms/deletions")).await.ok();
    assert_eq!(each(&deletions["deletions"], "state"), ["done"]);
    scene.admin.on(&again).get(&Scene::path(&scene.quay, "")).await.fails(404, "M_NOT_FOUND");
    scene.ben.on(&again).say(&scene.quay, "Where is everybody?").await;
}
