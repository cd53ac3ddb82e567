//! Message requests: read before they are answered, and the sender notices nothing.

use serde_json::{Value, json};

use crate::network::{Client, INSTAGRAM, MESSENGER, Network, bodies, each, encoded, list, text};

const REQUESTS: &str = "/_linkspan/client/v1/requests";

/// Anna has written to ben, who does not know her.
struct Scene {
    network: Network,
    anna: Client,
    ben: Client,
    room: String,
}

impl Scene {
    async fn open(platform: &'static str) -> Self {
        let network = Network::open().await;
        let anna = network.register(platform, "anna").await;
        let ben = network.register(INSTAGRAM, "ben").await;
        let room = write_to(&anna, &ben, "Hello").await;
        anna.say(&room, "Is this yours?").await;
        Self { network, anna, ben, room }
    }

    fn path(&self, end: &str) -> String {
        format!("{REQUESTS}/{}{end}", encoded(&self.room))
    }
}

async fn write_to(anna: &Client, ben: &Client, words: &str) -> String {
    let room = anna.create_room(json!({ "is_direct": true, "invite": [ben.user_id] })).await;
    anna.say(&room, words).await;
    room
}

async fn listed(who: &Client) -> Vec<String> {
    each(&who.get(REQUESTS).await.ok()["requests"], "room_id")
}

/// What a sync tells that does not wait, without its token.
async fn news(who: &Client, since: &Value) -> (Value, Value) {
    let since = since.as_str().map(|since| format!("?since={since}")).unwrap_or_default();
    let mut sync = who.get(&format!("/v3/sync{since}")).await.ok();
    let next = sync["next_batch"].take();
    (sync, next)
}

async fn sliding(who: &Client) -> Value {
    let list = json!({ "ranges": [[0, 9]], "timeline_limit": 10, "required_state": [] });
    let words = json!({ "conn_id": "one", "lists": { "all": list } });
    who.post("/unstable/org.matrix.simplified_msc3575/sync", words).await.ok()["rooms"].clone()
}

async fn direct_chats(who: &Client) -> Value {
    who.get(&format!("/v3/user/{}/account_data/m.direct", who.user_id)).await.json
}

async fn contacts(who: &Client) -> Vec<String> {
    each(&who.get("/_linkspan/client/v1/contacts").await.ok()["contacts"], "user_id")
}

#[tokio::test]
async fn a_request_is_read_and_deleted_without_its_sender_noticing() {
    for platform in [MESSENGER, INSTAGRAM] {
        let scene = Scene::open(platform).await;
        let Scene { anna, ben, room, .. } = &scene;
        let known = anna.another_device().await;
        let (_, annas) = news(anna, &Value::Null).await;
        let (quiet, annas) = news(anna, &annas).await;

        let (first, bens) = news(ben, &Value::Null).await;
        assert!(first["rooms"]["invite"][room].is_object(), "clients see an invitation: {first}");
        assert!(sliding(ben).await[room]["invite_state"].is_array());
        let requests = ben.get(REQUESTS).await.ok()["requests"].clone();
        assert_eq!((&requests[0]["sender"], &requests[0]["is_direct"]), (&json!(anna.user_id), &json!(true)));
        let preview = ben.get(&scene.path("/preview")).await.ok();
        assert_eq!(bodies(&preview["chunk"]), ["Is this yours?", "Hello"]);
        assert_eq!(bodies(&ben.get(&scene.path("/preview?limit=1")).await.ok()["chunk"]), ["Is this yours?"]);
        ben.get(&format!("/v3/rooms/{room}/messages?dir=b")).await.fails(403, "M_FORBIDDEN");

        ben.delete(&scene.path("")).await.ok();
        assert!(listed(ben).await.is_empty());
        ben.get(&scene.path("/preview")).await.fails(404, "M_NOT_FOUND");
        ben.delete(&scene.path("")).await.fails(404, "M_NOT_FOUND");
        let (after, _) = news(ben, &bens).await;
        assert!(after["rooms"]["leave"][room].is_object(), "clients learn that it is gone: {after}");
        assert!(news(ben, &Value::Null).await.0["rooms"]["invite"].is_null());
        assert!(sliding(ben).await[room].is_null());

        let (told, _) = news(anna, &annas).await;
        assert_eq!(told, quiet, "the sender is told nothing");
        let member = format!("/v3/rooms/{room}/state/m.room.member/{}", ben.user_id);
        assert_eq!(known.get(&member).await.ok()["membership"], "invite");
        anna.say(room, "Hello?").await;
        anna.invite(room, ben).await.ok();
        assert!(listed(ben).await.is_empty(), "what was deleted does not come back");
        assert!(news(ben, &Value::Null).await.0["rooms"]["invite"].is_null());
        assert_eq!(scene.network.app.rooms.audit().await.expect("it is read"), [""; 0]);
    }
}

#[tokio::test]
async fn who_is_accepted_is_a_contact_and_comes_straight_from_then_on() {
    for platform in [MESSENGER, INSTAGRAM] {
        let scene = Scene::open(platform).await;
        let Scene { anna, ben, room, .. } = &scene;
        assert_eq!((contacts(ben).await, contacts(anna).await), (vec![], vec![ben.user_id.clone()]));
        ben.post(&scene.path("/accept"), json!({})).await.ok();
        assert_eq!(direct_chats(ben).await, json!({ &anna.user_id: [room] }));
        assert_eq!(ben.heard(room).await, ["Is this yours?", "Hello"]);
        assert_eq!(contacts(ben).await, [anna.user_id.as_str()]);
        ben.post(&scene.path("/accept"), json!({})).await.fails(404, "M_NOT_FOUND");

        let second = write_to(anna, ben, "Again").await;
        assert!(listed(ben).await.is_empty());
        assert_eq!(ben.heard(&second).await, ["Again"]);
        assert_eq!(direct_chats(ben).await, json!({ &anna.user_id: [room, second] }));
        // And the other way round: she had written first.
        let third = write_to(ben, anna, "Hi").await;
        assert_eq!(anna.heard(&third).await, ["Hi"]);
        // A chat that was left is not gone back to.
        ben.leave(&second).await.ok();
        anna.invite(&second, ben).await.ok();
        assert!(news(ben, &Value::Null).await.0["rooms"]["invite"][&second].is_object());

        let path = format!("/_linkspan/client/v1/contacts/{}", anna.user_id);
        ben.delete(&path).await.ok();
        assert!(contacts(ben).await.is_empty());
        for left in [room, &third] {
            ben.leave(left).await.ok();
        }
        let fourth = write_to(anna, ben, "Me again").await;
        assert_eq!(listed(ben).await, [fourth]);
    }
}

/// Clients that know no requests accept them as invitations.
#[tokio::test]
async fn joining_is_accepting() {
    let scene = Scene::open(MESSENGER).await;
    scene.ben.join(&scene.room).await.ok();
    assert_eq!(contacts(&scene.ben).await, [scene.anna.user_id.as_str()]);
    assert!(listed(&scene.ben).await.is_empty());
    let carl = scene.network.register(MESSENGER, "carl").await;
    let group = carl.create_room(json!({ "invite": [scene.ben.user_id] })).await;
    scene.ben.join(&group).await.ok();
    assert_eq!(contacts(&scene.ben).await.len(), 1, "a group is not the one who invited to it");
}

#[tokio::test]
async fn who_is_blocked_from_a_request_is_not_heard_of_again() {
    for platform in [MESSENGER, INSTAGRAM] {
        let scene = Scene::open(platform).await;
        let Scene { anna, ben, room, .. } = &scene;
        ben.post(&scene.path("/block"), json!({})).await.ok();
        assert!(listed(ben).await.is_empty());
        let ignored = format!("/v3/user/{}/account_data/m.ignored_user_list", ben.user_id);
        assert_eq!(ben.get(&ignored).await.ok()["ignored_users"], json!({ &anna.user_id: {} }));
        let again = write_to(anna, ben, "Hello?").await;
        assert!(listed(ben).await.is_empty());
        let sync = news(ben, &Value::Null).await.0;
        assert!(sync["rooms"]["invite"].is_null(), "{sync}");
        for room in [room, &again] {
            let member = format!("/v3/rooms/{room}/state/m.room.member/{}", ben.user_id);
            assert_eq!(anna.get(&member).await.ok()["membership"], "invite");
        }
    }
}

#[tokio::test]
async fn a_preview_shows_what_joining_would_show() {
    let network = Network::open().await;
    let (anna, carl) = (network.register(MESSENGER, "anna").await, network.register(MESSENGER, "carl").await);
    let ben = network.register(INSTAGRAM, "ben").await;
    for (visibility, expected) in [
        ("shared", vec!["after", "before"]),
        ("invited", vec!["after"]),
        ("joined", vec![]),
        ("world_readable", vec!["after", "before"]),
    ] {
        let state = json!({
            "type": "m.room.history_visibility", "content": { "history_visibility": visibility },
        });
        let room = anna.create_room(json!({ "initial_state": [state] })).await;
        anna.invite(&room, &carl).await.ok();
        carl.join(&room).await.ok();
        anna.say(&room, "before").await;
        anna.invite(&room, &ben).await.ok();
        anna.say(&room, "after").await;
        let preview = ben.get(&format!("{REQUESTS}/{}/preview", encoded(&room))).await.ok();
        assert_eq!(bodies(&preview["chunk"]), expected, "{visibility}");
        ben.put(&format!("/_linkspan/client/v1/blocks/{}", carl.user_id), json!({})).await.ok();
        carl.say(&room, "unheard").await;
        let preview = ben.get(&format!("{REQUESTS}/{}/preview", encoded(&room))).await.ok();
        assert_eq!(bodies(&preview["chunk"]), expected, "{visibility}");
        ben.delete(&format!("/_linkspan/client/v1/blocks/{}", carl.user_id)).await.ok();
        ben.join(&room).await.ok();
        let heard = ben.heard(&room).await;
        assert_eq!(heard.iter().filter(|words| *words != "unheard").count(), expected.len(), "{visibility}");
    }
}

/// Whoever was kept away, or deleted, does not get through by what else can be done to a membership.
#[tokio::test]
async fn nothing_is_told_of_a_room_whose_invitation_was_kept_away() {
    let network = Network::open().await;
    for platform in [MESSENGER, INSTAGRAM] {
        let (anna, ben) = (
            network.register(platform, &format!("anna-{platform}")).await,
            network.register(INSTAGRAM, &format!("ben-{platform}")).await,
        );
        let ignored = json!({ "rules": [{ "reach": "ignored" }] });
        let do_to_ben = async |room: &str, what: &str| {
            let words = json!({ "user_id": ben.user_id, "reason": "Buy this" });
            anna.post(&format!("/v3/rooms/{room}/{what}"), words).await.ok();
        };
        let tells = async |since: &Value| {
            let (sync, _) = news(&ben, since).await;
            ["invite", "leave", "join"]
                .map(|part| sync["rooms"][part].as_object().map_or(0, |rooms| rooms.len()))
        };
        // A room that he has never heard of.
        let (_, since) = news(&ben, &Value::Null).await;
        let room = anna.create_room(json!({})).await;
        for what in ["ban", "unban", "ban", "unban"] {
            do_to_ben(&room, what).await;
        }
        assert_eq!(tells(&since).await, [0, 0, 0]);
        assert!(sliding(&ben).await[&room].is_null());
        // That hinders nobody who invites him later.
        anna.invite(&room, &ben).await.ok();
        assert_eq!(tells(&since).await, [1, 0, 0]);
        assert_eq!(listed(&ben).await, [room.as_str()]);

        // Invitations that he ignores.
        ben.put("/_linkspan/client/v1/reach", ignored).await.ok();
        let (_, since) = news(&ben, &Value::Null).await;
        let room = write_to(&anna, &ben, "Hello").await;
        for what in ["kick", "ban", "unban"] {
            do_to_ben(&room, what).await;
        }
        assert_eq!(tells(&since).await, [0, 0, 0]);
        ben.put("/_linkspan/client/v1/reach", json!({ "rules": [] })).await.ok();

        // A request that he deletes.
        let room = write_to(&anna, &ben, "Hello").await;
        ben.delete(&format!("{REQUESTS}/{}", encoded(&room))).await.ok();
        let (_, since) = news(&ben, &Value::Null).await;
        for what in ["kick", "invite", "ban", "unban", "invite"] {
            do_to_ben(&room, what).await;
        }
        assert_eq!(tells(&since).await, [0, 0, 0]);
        assert!(!listed(&ben).await.contains(&room));

        // And people whom he blocks, from what he was told of.
        let room = write_to(&anna, &ben, "Hello").await;
        ben.put(&format!("/_linkspan/client/v1/blocks/{}", anna.user_id), json!({})).await.ok();
        let (_, since) = news(&ben, &Value::Null).await;
        do_to_ben(&room, "kick").await;
        let other = anna.create_room(json!({})).await;
        do_to_ben(&other, "ban").await;
        assert_eq!(tells(&since).await, [0, 0, 0]);
    }
    assert_eq!(network.app.rooms.audit().await.expect("it is read"), [""; 0]);
}

/// Only who was read and accepted is a contact.
#[tokio::test]
async fn joining_a_room_accepts_no_invitation_that_was_kept_away() {
    let network = Network::open().await;
    let anna = network.register(MESSENGER, "anna").await;
    let open = async || anna.create_room(json!({ "preset": "public_chat" })).await;
    let invite = async |room: &str, ben: &Client| {
        let direct = json!({ "membership": "invite", "is_direct": true });
        anna.put(&format!("/v3/rooms/{room}/state/m.room.member/{}", ben.user_id), direct).await.ok();
    };
    for (name, kept_away) in [("ignores", 0), ("deletes", 1), ("blocks", 2)] {
        let ben = network.register(INSTAGRAM, name).await;
        let ignored = json!({ "rules": [{ "reach": "ignored" }] });
        if kept_away == 0 {
            ben.put("/_linkspan/client/v1/reach", ignored).await.ok();
        }
        let room = open().await;
        invite(&room, &ben).await;
        let request = format!("{REQUESTS}/{}", encoded(&room));
        match kept_away {
            1 => drop(ben.delete(&request).await.ok()),
            2 => drop(ben.post(&format!("{request}/block"), json!({})).await.ok()),
            _ => {}
        }
        ben.join(&room).await.ok();
        assert_eq!(contacts(&ben).await, [""; 0], "{name}");
    }
    // An answer to a knock is none either.
    let ben = network.register(INSTAGRAM, "knocks").await;
    let rule = json!({ "type": "m.room.join_rules", "content": { "join_rule": "knock" } });
    let room = anna.create_room(json!({ "initial_state": [rule] })).await;
    ben.post(&format!("/v3/knock/{room}"), json!({})).await.ok();
    invite(&room, &ben).await;
    ben.join(&room).await.ok();
    assert_eq!(contacts(&ben).await, [""; 0]);
}

/// One may write to a name that nobody has. Whoever takes it later is somebody else.
#[tokio::test]
async fn who_takes_a_name_later_is_no_contact() {
    let network = Network::open().await;
    let ben = network.register(INSTAGRAM, "ben").await;
    let free = format!("@free:{MESSENGER}");
    ben.create_room(json!({ "is_direct": true, "invite": [free] })).await;
    assert_eq!(contacts(&ben).await, [free.as_str()], "the list does not tell who is there");
    // An account is made at another moment.
    let before = linkspan_wire::now_ts();
    while linkspan_wire::now_ts() == before {
        tokio::task::yield_now().await;
    }
    let late = network.register(MESSENGER, "free").await;
    let room = write_to(&late, &ben, "Hello").await;
    assert_eq!(listed(&ben).await, [room.as_str()]);
    // Once he means this one, they are.
    write_to(&ben, &late, "Hello").await;
    let room = write_to(&late, &ben, "Hello again").await;
    assert_eq!(ben.heard(&room).await, ["Hello again"]);
}

#[tokio::test]
async fn the_newest_requests_come_first() {
    let network = Network::open().await;
    let (anna, ben) = (network.register(MESSENGER, "anna").await, network.register(INSTAGRAM, "ben").await);
    let first = write_to(&anna, &ben, "one").await;
    let second = write_to(&anna, &ben, "two").await;
    assert_eq!(listed(&ben).await, [second.as_str(), &first]);
    let mut page = ben.get(&format!("{REQUESTS}?limit=1")).await.ok();
    for expected in [&second, &first] {
        assert_eq!(each(&page["requests"], "room_id"), [expected.as_str()]);
        page = ben.get(&format!("{REQUESTS}?limit=1&from={}", text(&page["next_batch"]))).await.ok();
    }
    assert_eq!(page, json!({ "requests": [] }));
    ben.get(&format!("{REQUESTS}?from=x")).await.fails(400, "M_INVALID_PARAM");
    let state = ben.get(REQUESTS).await.ok()["requests"][0]["invite_state"].clone();
    let members = list(&state).iter().filter(|event| event["type"] == "m.room.member");
    assert_eq!(
        members.map(|event| text(&event["sender"])).collect::<Vec<_>>(),
        vec![anna.user_id.clone(); 2]
    );
    // Nobody else has them.
    assert!(listed(&anna).await.is_empty());
    anna.get(&format!("{REQUESTS}/{}/preview", encoded(&first))).await.fails(404, "M_NOT_FOUND");
}
