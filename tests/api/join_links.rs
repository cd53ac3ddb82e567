//! Links by which people join a room, whichever hosted platform they and the link's maker are of.

use std::pin::pin;

use futures_util::future::{join as both, join_all, poll_immediate};
use http::{Method, StatusCode};
use http_body_util::BodyExt;
use linkspan_platforms::Encryption;
use linkspan_rooms::RoomsError;
use linkspan_storage::{
    Faults, Memory, Range, WriteSet,
    catalogue::{JoinLinks, JoinTokens},
};
use linkspan_wire::now_ts;
use serde_json::{Value, json};
use tokio::task::spawn_blocking;

use crate::export::export;
use crate::network::{Answer, Client, INSTAGRAM, MESSENGER, Network, WHATSAPP, each, list, request, text};
use crate::phone::password_auth;

const DAY_MS: u64 = 24 * 60 * 60 * 1000;

fn links_path(room: &str) -> String {
    format!("/_linkspan/client/v1/rooms/{room}/join_links")
}

async fn try_make(maker: &Client, room: &str, terms: Value) -> Answer {
    maker.post(&links_path(room), terms).await
}

/// Makes a link; returns its token.
async fn make(maker: &Client, room: &str, terms: Value) -> String {
    text(&try_make(maker, room, terms).await.ok()["token"])
}

async fn links(of: &Client, room: &str) -> Value {
    of.get(&links_path(room)).await.ok()["links"].clone()
}

async fn revoke(by: &Client, room: &str, token: &str) -> Answer {
    by.delete(&format!("{}/{token}", links_path(room))).await
}

async fn preview(who: &Client, token: &str) -> Answer {
    who.get(&format!("/_linkspan/client/v1/join_links/{token}")).await
}

async fn join(who: &Client, token: &str) -> Answer {
    who.post(&format!("/_linkspan/client/v1/join_links/{token}/join"), json!({})).await
}

/// A room that all may join, and invite people to.
fn open_to_all() -> Value {
    json!({ "preset": "public_chat", "power_level_content_override": { "invite": 0 } })
}

/// A room of Anna's. Ben and Cleo are of the other platforms, and not in it.
struct Scene {
    network: Network,
    anna: Client,
    ben: Client,
    cleo: Client,
    room: String,
}

impl Scene {
    async fn open() -> Self {
        Self::with(json!({})).await
    }

    /// `wanted`: the request that makes the room.
    async fn with(wanted: Value) -> Self {
        Self::over(Network::open().await, wanted).await
    }

    async fn over(network: Network, wanted: Value) -> Self {
        let anna = network.register(INSTAGRAM, "anna").await;
        let ben = network.register(MESSENGER, "ben").await;
        let cleo = network.register(WHATSAPP, "cleo").await;
        let room = anna.create_room(wanted).await;
        Self { network, anna, ben, cleo, room }
    }
}

/// Asserts that a link leads nowhere, in the same words as any text that is no token.
async fn leads_nowhere(who: &Client, token: &str) {
    let never = "A".repeat(22);
    for (there, not_there) in [
        (preview(who, token).await, preview(who, &never).await),
        (join(who, token).await, join(who, &never).await),
    ] {
        assert_eq!(there.json, not_there.json);
        there.fails(404, "M_NOT_FOUND");
        not_there.fails(404, "M_NOT_FOUND");
    }
}

async fn set_levels(by: &Client, room: &str, change: impl Fn(&mut Value)) {
    let mut levels = by.get(&format!("/v3/rooms/{room}/state/m.room.power_levels")).await.ok();
    change(&mut levels);
    by.set_state(room, "m.room.power_levels", levels).await.ok();
}

#[tokio::test]
async fn people_of_all_platforms_join_by_a_link() {
    let scene = Scene::with(json!({ "name": "Quay" })).await;
    let Scene { network, anna, ben, cleo, room } = &scene;
    let made = try_make(anna, room, json!({})).await.ok();
    let token = text(&made["token"]);
    assert_eq!(made["url"], json!(format!("http://{INSTAGRAM}/join/{token}")));
    assert_eq!(
        (&made["maker"], &made["uses"], &made["works"]),
        (&json!(anna.user_id), &json!(0), &json!(true))
    );
    assert!(made.get("expires_ts").is_none() && made.get("uses_allowed").is_none(), "{made}");

    let neighbour = network.register(INSTAGRAM, "bert").await;
    let expected = json!({
        "name": "Quay", "joined_members": 1, "platforms": [INSTAGRAM], "may_join": true,
    });
    assert_eq!(preview(ben, &token).await.ok(), expected, "it says nothing of the room's id, nor of people");
    ben.join(room).await.fails(403, "M_FORBIDDEN");
    for person in [&neighbour, ben, cleo] {
        assert_eq!(join(person, &token).await.ok(), json!({ "room_id": room }));
        person.say(room, "Ahoy").await;
    }
    assert_eq!(anna.heard(room).await.len(), 3);
    let invited = anna.get(&format!("/v3/rooms/{room}/messages?dir=b&limit=50")).await.ok()["chunk"].clone();
    let invited = list(&invited).iter().filter(|event| event["content"]["membership"] == "invite");
    assert!(invited.clone().all(|event| event["sender"] == json!(anna.user_id)));
    assert_eq!((invited.count(), &links(anna, room).await[0]["uses"]), (3, &json!(3)));

    // Whoever is there already is told so, and uses nothing up.
    let there = preview(ben, &token).await.ok();
    assert_eq!((&there["membership"], &there["room_id"]), (&json!("join"), &json!(room)));
    assert_eq!(there["platforms"], json!([INSTAGRAM, MESSENGER, WHATSAPP]));
    assert_eq!(join(ben, &token).await.ok(), json!({ "room_id": room }));
    assert_eq!(links(anna, room).await[0]["uses"], json!(3));
}

#[tokio::test]
async fn a_link_leads_to_where_its_makers_platform_is_reached() {
    let network = Network::changed(|one| {
        if one.server_name == MESSENGER {
            one.hosts = vec!["127.0.0.1:8102".to_owned(), "chat.messenger.example".to_owned()];
        }
    })
    .await;
    let anna = network.register(INSTAGRAM, "anna").await;
    let ben = network.register(MESSENGER, "ben").await;
    let room = anna.create_room(open_to_all()).await;
    ben.join(&room).await.ok();
    let path = links_path(&room);
    let token = make(&ben, &room, json!({})).await;
    let made_at = async |host: &str| {
        let asked = request(host, Some(&ben.token), Method::GET, &path, String::new());
        let answer = network.api.answer(asked).await.into_body().collect().await.expect("an answer");
        let answer: Value = serde_json::from_slice(&answer.to_bytes()).expect("JSON");
        text(&answer["links"][0]["url"])
    };
    // Who asks at one of its addresses is given a link to this one.
    let other = "chat.messenger.example:8448";
    assert_eq!(made_at(other).await, format!("http://{other}/join/{token}"));
    // From another platform's address it is one that is configured, with its port.
    assert_eq!(text(&links(&anna, &room).await[0]["url"]), format!("http://127.0.0.1:8102/join/{token}"));
}

#[tokio::test]
async fn the_timer_of_a_room_is_told_before_joining() {
    let scene = Scene::open().await;
    let Scene { anna, ben, room, .. } = &scene;
    let token = make(anna, room, json!({})).await;
    let timer = json!({ "type": "after_send", "timer": DAY_MS });
    for (content, told) in [(timer, json!(DAY_MS)), (json!({}), Value::Null)] {
        anna.set_state(room, "com.beeper.disappearing_timer", content).await.ok();
        assert_eq!(preview(ben, &token).await.ok()["disappearing_timer_ms"], told);
    }
}

#[tokio::test]
async fn a_preview_leaves_nothing_behind() {
    let scene = Scene::open().await;
    let Scene { network, anna, ben, room, .. } = &scene;
    let token = make(anna, room, json!({})).await;
    let before = network.newest_commit().await;
    preview(ben, &token).await.ok();
    assert_eq!(network.newest_commit().await, before + 1);
    assert_eq!(
        anna.get(&format!("/v3/rooms/{room}/members")).await.ok()["chunk"].as_array().map(Vec::len),
        Some(1)
    );
    anna.say(room, "Nobody is here").await;
}

#[tokio::test]
async fn a_link_ends_when_it_is_used_up_taken_back_or_too_old() {
    let scene = Scene::open().await;
    let Scene { network, anna, ben, cleo, room } = &scene;

    let once = make(anna, room, json!({ "uses": 1 })).await;
    join(ben, &once).await.ok();
    leads_nowhere(cleo, &once).await;

    let taken_back = make(anna, room, json!({})).await;
    assert_eq!(revoke(anna, room, &taken_back).await.ok(), json!({}));
    leads_nowhere(cleo, &taken_back).await;
    revoke(anna, room, &taken_back).await.fails(404, "M_NOT_FOUND");

    let for_a_day = make(anna, room, json!({ "valid_for_ms": DAY_MS })).await;
    assert!(preview(cleo, &for_a_day).await.ok()["expires_ts"].as_u64().expect("a time") > now_ts());
    let (rooms, user_id) = (&network.app.rooms, cleo.user_id.as_str().try_into().expect("a user id"));
    let late = rooms.join_by_link(&user_id, &for_a_day, now_ts() + DAY_MS).await;
    assert!(matches!(late, Err(RoomsError::NotFound(_))), "{late:?}");

    assert_eq!(each(&links(anna, room).await, "token"), std::slice::from_ref(&for_a_day));
    let last = make(anna, room, json!({ "uses": 1 })).await;
    join(&network.register(WHATSAPP, "carl").await, &last).await.ok();
    assert_eq!(network.rows::<JoinLinks>().await, 2, "what has ended is swept later");
    rooms.forget_join_links(now_ts()).await.expect("swept");
    assert_eq!(network.rows::<JoinLinks>().await, 1);
    join(cleo, &for_a_day).await.ok();
    rooms.forget_join_links(now_ts() + DAY_MS).await.expect("swept");
    assert_eq!((network.rows::<JoinLinks>().await, network.rows::<JoinTokens>().await), (0, 0));
}

#[tokio::test]
async fn no_more_people_join_at_once_than_a_link_lets_in() {
    let scene = Scene::open().await;
    let Scene { network, anna, room, .. } = &scene;
    let token = make(anna, room, json!({ "uses": 3 })).await;
    let mut people = Vec::new();
    for number in 0..8 {
        people.push(network.register(MESSENGER, &format!("ben{number}")).await);
    }
    let answers = join_all(people.iter().map(|person| join(person, &token))).await;
    let (let_in, refused): (Vec<_>, Vec<_>) =
        answers.into_iter().partition(|answer| answer.status == StatusCode::OK);
    assert_eq!((let_in.len(), refused.len()), (3, 5));
    refused.into_iter().for_each(|answer| answer.fails(404, "M_NOT_FOUND"));
    let members = anna.get(&format!("/v3/rooms/{room}/joined_members")).await.ok();
    assert_eq!(members["joined"].as_object().map(serde_json::Map::len), Some(1 + 3));
}

#[tokio::test]
async fn a_link_works_for_as_long_as_its_maker_may_invite() {
    let scene = Scene::with(open_to_all()).await;
    let Scene { network, anna, ben, cleo, room } = &scene;
    ben.join(room).await.ok();
    let token = make(ben, room, json!({})).await;
    assert_eq!(preview(cleo, &token).await.ok()["may_join"], json!(true));

    set_levels(anna, room, |levels| levels["invite"] = json!(50)).await;
    leads_nowhere(cleo, &token).await;
    assert_eq!(links(anna, room).await[0]["works"], json!(false));
    ben.get(&links_path(room)).await.fails(403, "M_FORBIDDEN");
    try_make(ben, room, json!({})).await.fails(403, "M_FORBIDDEN");

    set_levels(anna, room, |levels| levels["invite"] = json!(0)).await;
    assert_eq!(preview(cleo, &token).await.ok()["may_join"], json!(true));
    ben.leave(room).await.ok();
    leads_nowhere(cleo, &token).await;
    ben.join(room).await.ok();
    join(cleo, &token).await.ok();

    let administrator = network.administrator(MESSENGER, "root").await;
    let suspend = format!("/v1/admin/suspend/{}", ben.user_id);
    administrator.put(&suspend, json!({ "suspended": true })).await.ok();
    let bert = network.register(INSTAGRAM, "bert").await;
    leads_nowhere(&bert, &token).await;
    assert_eq!(links(anna, room).await[0]["works"], json!(false));
    administrator.put(&suspend, json!({ "suspended": false })).await.ok();
    assert_eq!(links(anna, room).await[0]["works"], json!(true));
    let lock = format!("/v1/admin/lock/{}", ben.user_id);
    administrator.put(&lock, json!({ "locked": true })).await.ok();
    leads_nowhere(&bert, &token).await;
    assert_eq!(links(anna, room).await[0]["works"], json!(false));
}

#[tokio::test]
async fn whoever_opens_a_link_comes_of_their_own_will() {
    let network =
        Network::with_limits("strangers_per_day = 1\nsearch = 0.0\njoin = 0.0\nregistration = 0.0").await;
    let anna = network.register(INSTAGRAM, "anna").await;
    let room = anna.create_room(json!({})).await;
    let token = make(&anna, &room, json!({})).await;
    for name in ["ben", "bill", "bob"] {
        let person = network.register(MESSENGER, name).await;
        let nobody = json!({ "rules": [{ "relation": "stranger", "reach": "refused" }] });
        person.put("/_linkspan/client/v1/reach", nobody).await.ok();
        join(&person, &token).await.ok();
    }
    // They were no approach, so one is left, which meets the rules.
    let hermit = network.register(MESSENGER, "hermit").await;
    let nobody = json!({ "rules": [{ "relation": "stranger", "reach": "refused" }] });
    hermit.put("/_linkspan/client/v1/reach", nobody).await.ok();
    anna.invite(&room, &hermit).await.fails(403, "M_INVITE_BLOCKED");
}

#[tokio::test]
async fn whoever_is_blocked_finds_no_link_and_whoever_is_banned_is_refused() {
    let scene = Scene::open().await;
    let Scene { anna, ben, room, .. } = &scene;
    let token = make(anna, room, json!({})).await;
    anna.put(&format!("/_linkspan/client/v1/blocks/{}", ben.user_id), json!({})).await.ok();
    leads_nowhere(ben, &token).await;
    anna.delete(&format!("/_linkspan/client/v1/blocks/{}", ben.user_id)).await.ok();

    let ban = json!({ "user_id": ben.user_id });
    anna.post(&format!("/v3/rooms/{room}/ban"), ban.clone()).await.ok();
    let shown = preview(ben, &token).await.ok();
    assert_eq!((&shown["may_join"], &shown["refusal"]["errcode"]), (&json!(false), &json!("M_FORBIDDEN")));
    join(ben, &token).await.fails(403, "M_FORBIDDEN");
    anna.post(&format!("/v3/rooms/{room}/unban"), ban).await.ok();

    // Whom the joiner ignores makes no difference.
    ben.put(&format!("/_linkspan/client/v1/blocks/{}", anna.user_id), json!({})).await.ok();
    join(ben, &token).await.ok();
}

#[tokio::test]
async fn rules_of_platforms_and_rooms_are_told_before_joining() {
    let network = Network::with_rules(|platform| match platform {
        WHATSAPP => Encryption::Required,
        _ => Encryption::Optional,
    })
    .await;
    let anna = network.register(INSTAGRAM, "anna").await;
    let cleo = network.register(WHATSAPP, "cleo").await;
    let open = anna.create_room(json!({})).await;
    let token = make(&anna, &open, json!({})).await;
    let shown = preview(&cleo, &token).await.ok();
    assert_eq!((&shown["may_join"], &shown["encryption"]), (&json!(false), &Value::Null));
    let refused = join(&cleo, &token).await;
    assert_eq!(shown["refusal"], refused.json);
    refused.breaks("encryption_required", &[WHATSAPP]);

    let encryption = json!({ "algorithm": "m.megolm.v1.aes-sha2" });
    anna.set_state(&open, "m.room.encryption", encryption).await.ok();
    let shown = preview(&cleo, &token).await.ok();
    assert_eq!((&shown["may_join"], &shown["encryption"]), (&json!(true), &json!("m.megolm.v1.aes-sha2")));
    join(&cleo, &token).await.ok();

    let own = anna.create_room(json!({ "creation_content": { "m.federate": false } })).await;
    let token = make(&anna, &own, json!({})).await;
    // What is closed to other platforms does not show itself to their people either.
    leads_nowhere(&cleo, &token).await;
    let other = network.register(INSTAGRAM, "other").await;
    join(&other, &token).await.ok();
}

#[tokio::test]
async fn who_may_invite_sees_all_links_and_moderators_take_them_back() {
    let scene = Scene::with(open_to_all()).await;
    let Scene { anna, ben, cleo, room, .. } = &scene;
    ben.join(room).await.ok();
    let (of_anna, of_ben) = (make(anna, room, json!({})).await, make(ben, room, json!({})).await);
    for who in [anna, ben] {
        let listed = links(who, room).await;
        let urls =
            [format!("http://{INSTAGRAM}/join/{of_anna}"), format!("http://{MESSENGER}/join/{of_ben}")];
        assert_eq!(each(&listed, "url"), urls);
    }
    cleo.get(&links_path(room)).await.fails(403, "M_FORBIDDEN");
    try_make(cleo, room, json!({})).await.fails(403, "M_FORBIDDEN");
    revoke(cleo, room, &of_ben).await.fails(403, "M_FORBIDDEN");
    revoke(ben, room, &of_anna).await.fails(403, "M_FORBIDDEN");
    revoke(anna, room, &of_ben).await.ok();
    leads_nowhere(cleo, &of_ben).await;
    // A token is no key to another room.
    let other = cleo.create_room(json!({})).await;
    revoke(cleo, &other, &of_anna).await.fails(404, "M_NOT_FOUND");
    join(cleo, &of_anna).await.ok();
}

#[tokio::test]
async fn a_link_follows_its_room() {
    let scene = Scene::open().await;
    let Scene { anna, ben, room, .. } = &scene;
    let token = make(anna, room, json!({ "uses": 2 })).await;
    let upgraded = anna.post(&format!("/v3/rooms/{room}/upgrade"), json!({ "new_version": "12" })).await.ok();
    let new = text(&upgraded["replacement_room"]);
    assert_eq!(links(anna, room).await, json!([]));
    assert_eq!(each(&links(anna, &new).await, "token"), std::slice::from_ref(&token));
    assert_eq!(join(ben, &token).await.ok(), json!({ "room_id": new }));
    try_make(anna, room, json!({})).await.fails(400, "M_BAD_STATE");
}

#[tokio::test]
async fn no_link_is_made_to_a_room_that_is_being_replaced() {
    let memory = Memory::with_faults(Faults::default()).expect("memory opens");
    let scene = Scene::over(Network::over_memory(&memory).await, open_to_all()).await;
    let Scene { network, anna, ben, room, .. } = &scene;
    ben.join(room).await.ok();
    network.flush().await;
    let held = memory.hold_disk().expect("a disk");
    let path = format!("/v3/rooms/{room}/upgrade");
    let upgrade = anna.post(&path, json!({ "new_version": "12" }));
    let make = async {
        let held = spawn_blocking(move || {
            held.wait_for_write();
            held
        });
        let held = held.await.expect("the upgrade is written");
        let mut make = pin!(try_make(ben, room, json!({})));
        let made = poll_immediate(make.as_mut()).await;
        drop(held);
        match made {
            Some(made) => made,
            None => make.await,
        }
    };
    let (upgraded, made) = both(upgrade, make).await;
    upgraded.ok();
    made.fails(403, "M_FORBIDDEN");
    assert_eq!(network.rows::<JoinLinks>().await, 0);
}

#[tokio::test]
async fn who_stays_behind_has_their_links_until_they_go() {
    let scene = Scene::open().await;
    let Scene { network, anna, ben, .. } = &scene;
    let room = ben.create_room(open_to_all()).await;
    anna.join(&room).await.ok();
    let token = make(anna, &room, json!({})).await;
    ben.post(&format!("/v3/rooms/{room}/upgrade"), json!({ "new_version": "12" })).await.ok();
    let archive = export(network, anna).await;
    assert_eq!(archive.room(&room)["join_links"][0]["token"], json!(token));

    let left = network.store.range(Range::<JoinLinks>::all()).await.expect("it is read");
    let found = network.store.range(Range::<JoinTokens>::all()).await.expect("it is read");
    anna.post("/v3/account/deactivate", json!({ "auth": password_auth(anna) })).await.ok();
    assert_eq!((network.rows::<JoinLinks>().await, network.rows::<JoinTokens>().await), (0, 0));

    // What was left behind before goes with the next sweep.
    let mut writes = WriteSet::new();
    left.iter().for_each(|(key, link)| writes.put::<JoinLinks>(key, link));
    found.iter().for_each(|(key, token)| writes.put::<JoinTokens>(key, token));
    network.store.commit(writes).await.expect("it is written");
    assert_eq!((network.rows::<JoinLinks>().await, network.rows::<JoinTokens>().await), (1, 1));
    network.app.rooms.forget_join_links(now_ts()).await.expect("swept");
    assert_eq!((network.rows::<JoinLinks>().await, network.rows::<JoinTokens>().await), (0, 0));
}

#[tokio::test]
async fn a_link_that_cannot_be_read_keeps_nothing_else() {
    let scene = Scene::open().await;
    let Scene { network, anna, ben, room, .. } = &scene;
    for _ in 0..3 {
        make(anna, room, json!({})).await;
    }
    let keys = network.store.keys(Range::<JoinLinks>::all()).await.expect("it is read");
    network.damage::<JoinLinks>(&keys[1]).await;
    assert_eq!(list(&links(anna, room).await).len(), 2);
    let used = text(&links(anna, room).await[0]["token"]);
    join(ben, &used).await.ok();
    let later_ts = now_ts() + DAY_MS;
    let short = make(anna, room, json!({ "valid_for_ms": 1_000 })).await;
    network.app.rooms.forget_join_links(later_ts).await.expect("swept");
    leads_nowhere(ben, &short).await;
    // An account is done with all the same.
    let user_id = anna.user_id.as_str().try_into().expect("a user id");
    network.app.deactivate(&user_id, None, false, now_ts()).await.expect("deactivated");
    assert_eq!(network.store.keys(Range::<JoinLinks>::all()).await.expect("it is read"), keys[1..2]);
}

#[tokio::test]
async fn links_that_are_made_at_once_count_each_other() {
    let memory = Memory::with_faults(Faults::default()).expect("memory opens");
    let scene = Scene::over(Network::over_memory(&memory).await, json!({})).await;
    let Scene { network, anna, room, .. } = &scene;
    network.flush().await;
    // What is written is not seen before it is on disk.
    let held = memory.hold_disk().expect("a disk");
    let mut making = pin!(join_all((0..14).map(|_| try_make(anna, room, json!({})))));
    assert!(poll_immediate(making.as_mut()).await.is_none());
    drop(held);
    let answers = making.await;
    let (made, refused): (Vec<_>, Vec<_>) =
        answers.into_iter().partition(|answer| answer.status == StatusCode::OK);
    assert_eq!((made.len(), network.rows::<JoinLinks>().await), (10, 10));
    refused.into_iter().for_each(|answer| answer.fails(403, "M_FORBIDDEN"));
}

#[tokio::test]
async fn links_have_limits() {
    let scene = Scene::with(open_to_all()).await;
    let Scene { network, anna, ben, room, .. } = &scene;
    for terms in [
        json!({ "uses": 0 }),
        json!({ "uses": 100_001 }),
        json!({ "valid_for_ms": 0 }),
        json!({ "valid_for_ms": 367 * DAY_MS }),
    ] {
        try_make(anna, room, terms).await.fails(400, "M_INVALID_PARAM");
    }
    try_make(anna, room, json!({ "uses": "many" })).await.fails(400, "M_BAD_JSON");
    let once = make(anna, room, json!({ "uses": 1 })).await;
    for _ in 1..10 {
        make(anna, room, json!({})).await;
    }
    try_make(anna, room, json!({})).await.fails(403, "M_FORBIDDEN");
    // What has ended counts no more, and is gone.
    join(ben, &once).await.ok();
    make(anna, room, json!({})).await;
    assert_eq!((network.rows::<JoinLinks>().await, network.rows::<JoinTokens>().await), (10, 10));
    make(ben, room, json!({})).await;
}
