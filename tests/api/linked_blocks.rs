//! Whoever is linked with somebody who is blocked is kept away, too, and the blocker does not learn who that is: not
//! from any answer, and not from what changes when they block and unblock.

use serde_json::{Map, Value, json};

use crate::{
    links::{link, unlink},
    network::{Client, INSTAGRAM, MESSENGER, Network, WHATSAPP, bodies, each, list, text},
};

const BLOCKS: &str = "/_linkspan/client/v1/blocks";
const REQUESTS: &str = "/_linkspan/client/v1/requests";

async fn block(who: &Client, whom: &Client) {
    who.put(&format!("{BLOCKS}/{}", whom.user_id), json!({})).await.ok();
}

async fn unblock(who: &Client, whom: &Client) {
    who.delete(&format!("{BLOCKS}/{}", whom.user_id)).await.ok();
}

/// Rita, and yan, who has a second account. Rita has a chat with it, and shares a group with it and carl.
struct Scene {
    network: Network,
    rita: Client,
    yan: Client,
    second: Client,
    carl: Client,
    chat: String,
    group: String,
}

impl Scene {
    async fn open(platform: &'static str) -> Self {
        let network = Network::open().await;
        let rita = network.register(INSTAGRAM, "rita").await;
        let yan = network.register(MESSENGER, "yan").await;
        let second = network.register(platform, "second").await;
        let carl = network.register(MESSENGER, "carl").await;
        let chat = rita.create_room(json!({ "is_direct": true, "invite": [second.user_id] })).await;
        second.join(&chat).await.ok();
        // Else all that comes from there would come straight.
        rita.delete(&format!("/_linkspan/client/v1/contacts/{}", second.user_id)).await.ok();
        let group = carl.create_room(json!({ "preset": "public_chat" })).await;
        for who in [&rita, &second] {
            who.join(&group).await.ok();
        }
        Self { network, rita, yan, second, carl, chat, group }
    }
}

/// What a client of somebody sees, but for the list itself and for tokens: all rooms, requests and cards.
async fn seen(by: &Client, of: &Client) -> Value {
    let mut sync = by.get("/v3/sync?set_presence=offline").await.ok();
    let sync = sync.as_object_mut().expect("an object");
    sync.remove("next_batch");
    sync.remove("account_data");
    let mut seen = vec![json!(sync)];
    for path in [
        REQUESTS.to_owned(),
        format!("/_linkspan/client/v1/contacts/{}/card", of.user_id),
        "/_linkspan/client/v1/contacts".to_owned(),
        format!("/v3/profile/{}", of.user_id),
        format!("/v3/presence/{}/status", of.user_id),
    ] {
        seen.push(by.get(&path).await.json);
    }
    without_times(&mut seen);
    json!(seen)
}

/// Ages grow, and so do tokens.
fn without_times(values: &mut Vec<Value>) {
    for value in values {
        match value {
            Value::Array(values) => without_times(values),
            Value::Object(object) => {
                for field in ["age", "prev_batch", "last_active_ago"] {
                    object.remove(field);
                }
                let mut inner: Vec<_> = object.values_mut().map(Value::take).collect();
                without_times(&mut inner);
                object.values_mut().zip(inner).for_each(|(place, value)| *place = value);
            }
            _ => {}
        }
    }
}

#[tokio::test]
async fn nothing_that_the_blocker_sees_changes_with_the_block() {
    for platform in [MESSENGER, INSTAGRAM, WHATSAPP] {
        let scene = Scene::open(platform).await;
        let Scene { rita, yan, second, carl, chat, group, .. } = &scene;
        link(yan, second).await;
        let words = second.say(chat, "in the chat").await;
        second.say(group, "in the group").await;
        let state = json!({ "presence": "online", "status_msg": "here" });
        second.put(&format!("/v3/presence/{}/status", second.user_id), state).await.ok();
        second.post(&format!("/v3/rooms/{chat}/receipt/m.read/{words}"), json!({})).await.ok();
        rita.post(&format!("/v3/rooms/{chat}/receipt/m.read/{words}"), json!({})).await.ok();
        let invited = second.create_room(json!({ "invite": [rita.user_id] })).await;
        second.say(&invited, "in the request").await;
        let before = seen(rita, second).await;
        assert!(before.to_string().contains("in the chat") && before.to_string().contains(&invited));

        block(rita, yan).await;
        assert_eq!(seen(rita, second).await, before, "no answer says anything of the link");
        assert_eq!(rita.get(BLOCKS).await.ok(), json!({ "blocked": [yan.user_id] }));
        let list = format!("/v3/user/{}/account_data/m.ignored_user_list", rita.user_id);
        assert_eq!(rita.get(&list).await.ok(), json!({ "ignored_users": { &yan.user_id: {} } }));
        // All sees rita what all see.
        let said = second.say(group, "in the group again").await;
        assert_eq!(rita.heard(group).await[0], "in the group again");
        rita.post(&format!("/v3/rooms/{group}/receipt/m.read/{said}"), json!({})).await.ok();
        let seen_by_carl = carl.get("/v3/sync").await.ok()["rooms"]["join"][group]["ephemeral"].to_string();
        assert!(seen_by_carl.contains(&rita.user_id));

        // What came meanwhile never comes.
        let quiet = seen(rita, second).await;
        second.say(chat, "unheard").await;
        let hidden = second.create_room(json!({ "is_direct": true, "invite": [rita.user_id] })).await;
        second.say(&hidden, "unheard").await;
        for _ in 0..2 {
            assert_eq!(seen(rita, second).await, quiet);
            unblock(rita, yan).await;
        }
        second.invite(&hidden, rita).await.ok();
        assert_eq!(each(&rita.get(REQUESTS).await.ok()["requests"], "room_id"), [invited.as_str()]);
        let member = format!("/v3/rooms/{hidden}/state/m.room.member/{}", rita.user_id);
        assert_eq!(
            second.get(&member).await.ok()["membership"],
            "invite",
            "the other one sees an invitation"
        );
        second.say(chat, "heard again").await;
        assert_eq!(rita.heard(chat).await, ["heard again", "in the chat"]);
        assert_eq!(second.heard(chat).await, ["heard again", "unheard", "in the chat"]);
        assert_eq!(scene.network.app.rooms.audit().await.expect("it is read"), [""; 0]);
    }
}

/// It holds from the moment of the link to the moment when it is forgotten.
#[tokio::test]
async fn who_is_linked_with_the_blocked_is_not_heard_alone() {
    for platform in [MESSENGER, INSTAGRAM] {
        let scene = Scene::open(platform).await;
        let Scene { network, rita, yan, second, chat, .. } = &scene;
        block(rita, yan).await;
        let root = second.say(chat, "before").await;
        let newer = rita.create_room(json!({})).await;
        link(yan, second).await;
        let since = text(&rita.get("/v3/sync").await.ok()["next_batch"]);
        let relation = |rel_type: &str| {
            json!({
                "msgtype": "m.text", "body": "unheard", "m.new_content": { "msgtype": "m.text", "body": "unheard" },
                "m.relates_to": { "rel_type": rel_type, "event_id": root },
            })
        };
        second.say(chat, "unheard").await;
        second.send(chat, "m.call.invite", json!({ "call_id": "unheard" })).await;
        let mut hidden = Vec::new();
        for rel_type in ["m.thread", "m.replace", "m.reference"] {
            hidden.push(second.send(chat, "m.room.message", relation(rel_type)).await);
        }
        let news = rita.get(&format!("/v3/sync?since={since}")).await.ok();
        assert_eq!(news.get("rooms"), None, "{news}");
        let all = json!({ "ranges": [[0, 9]], "timeline_limit": 20, "required_state": [] });
        let sliding = json!({ "lists": { "all": all } });
        for (method, path, body) in [
            (http::Method::GET, "/v3/sync".to_owned(), Value::Null),
            (http::Method::GET, format!("/v3/rooms/{chat}/messages?dir=b&limit=100"), Value::Null),
            (http::Method::GET, format!("/v3/rooms/{chat}/event/{root}"), Value::Null),
            (http::Method::GET, format!("/v3/rooms/{chat}/context/{root}"), Value::Null),
            (http::Method::GET, format!("/v1/rooms/{chat}/relations/{root}"), Value::Null),
            (http::Method::GET, format!("/v1/rooms/{chat}/threads"), Value::Null),
            (http::Method::GET, "/v3/notifications".to_owned(), Value::Null),
            (http::Method::POST, "/unstable/org.matrix.simplified_msc3575/sync".to_owned(), sliding),
        ] {
            let body = if body.is_null() { String::new() } else { body.to_string() };
            let (status, answer) = rita.call_raw(method, &path, body).await;
            let answer = String::from_utf8_lossy(&answer).into_owned();
            assert_eq!(status, 200, "{path}: {answer}");
            assert!(!answer.contains("unheard"), "{path}: {answer}");
            assert!(hidden.iter().all(|event| !answer.contains(event)), "{path}: {answer}");
        }
        let first = json!({ "ranges": [[0, 0]], "timeline_limit": 1, "required_state": [] });
        let sliding = json!({ "conn_id": "first", "lists": { "first": first } });
        let rooms =
            rita.post("/unstable/org.matrix.simplified_msc3575/sync", sliding).await.ok()["rooms"].clone();
        assert_eq!(
            rooms.as_object().map(|rooms| rooms.keys().collect()),
            Some(vec![&newer]),
            "nor does it move"
        );
        let search = json!({ "search_categories": { "room_events": { "search_term": "unheard" } } });
        let found = rita.post("/v3/search", search).await.ok()["search_categories"]["room_events"].clone();
        assert!(list(&found["results"]).is_empty());
        let unread = &rita.get("/v3/sync").await.ok()["rooms"]["join"][chat]["unread_notifications"];
        assert_eq!(unread["notification_count"], 1, "what came before");
        for event in &hidden {
            rita.get(&format!("/v3/rooms/{chat}/event/{event}")).await.fails(404, "M_NOT_FOUND");
        }
        // Who has written it sees it with what belongs to it, as ever.
        let own = second.get(&format!("/v3/rooms/{chat}/event/{root}")).await.ok();
        let bundle = &own["unsigned"]["m.relations"];
        assert_eq!(
            (&bundle["m.thread"]["count"], &bundle["m.replace"]["event_id"]),
            (&json!(1), &json!(hidden[1]))
        );

        unlink(second, yan).await.ok();
        second.say(chat, "after").await;
        assert_eq!(rita.heard(chat).await, ["after", "before"]);
        let again = rita.on(&network.reopen().await);
        assert_eq!(again.heard(chat).await, ["after", "before"], "so it is stored");
        assert_eq!(network.app.rooms.audit().await.expect("it is read"), [""; 0]);
    }
}

#[tokio::test]
async fn who_is_linked_with_the_blocked_does_not_see_what_the_blocker_does() {
    for platform in [MESSENGER, INSTAGRAM] {
        let scene = Scene::open(platform).await;
        let Scene { rita, yan, second, chat, .. } = &scene;
        let path = format!("/v3/presence/{}/status", rita.user_id);
        let typing = format!("/v3/rooms/{chat}/typing/{}", rita.user_id);
        let mut since = text(&second.get("/v3/sync?set_presence=offline").await.ok()["next_batch"]);
        let mut act = async |words: &str| {
            let event = second.say(chat, words).await;
            rita.put(&path, json!({ "presence": "online", "status_msg": words })).await.ok();
            rita.post(&format!("/v3/rooms/{chat}/receipt/m.read/{event}"), json!({})).await.ok();
            rita.put(&typing, json!({ "typing": true, "timeout": 60_000 })).await.ok();
            let news = second.get(&format!("/v3/sync?set_presence=offline&since={since}")).await.ok();
            since = text(&news["next_batch"]);
            let mut told = vec![];
            let ephemeral = &news["rooms"]["join"][chat]["ephemeral"]["events"];
            for event in list(ephemeral).iter().filter(|event| event.to_string().contains(&rita.user_id)) {
                told.push(text(&event["type"]));
            }
            if list(&news["presence"]["events"]).iter().any(|event| event["sender"] == rita.user_id.as_str())
            {
                told.push("presence".to_owned());
            }
            rita.put(&typing, json!({ "typing": false })).await.ok();
            told.sort();
            (told, text(&second.get(&path).await.ok()["presence"]))
        };
        let everything = ["m.receipt", "m.typing", "presence"].map(str::to_owned).to_vec();
        assert_eq!(act("one").await, (everything.clone(), "online".to_owned()));
        link(yan, second).await;
        block(rita, yan).await;
        assert_eq!(act("two").await, (vec![], "offline".to_owned()));
        // To her own devices her receipt is the one that she has sent.
        let own = rita.get("/v3/sync").await.ok()["rooms"]["join"][chat]["ephemeral"].to_string();
        assert!(own.contains("\"m.read\"") && !own.contains("m.read.private"), "{own}");
        unblock(rita, yan).await;
        assert_eq!(act("three").await, (everything, "online".to_owned()));
    }
}

/// What waits for an address does not come and go with the list, which would tell who is linked with whom.
#[tokio::test]
async fn what_waits_for_an_address_tells_nothing_of_links() {
    let network = crate::third_party_invites::open().await;
    let rita = crate::matching::register(&network, INSTAGRAM, "rita", "rita@example.org").await;
    let yan = network.register(MESSENGER, "yan").await;
    let second = network.register(MESSENGER, "second").await;
    link(&yan, &second).await;
    let room = second.create_room(json!({})).await;
    let address = json!({ "medium": "email", "address": "rita@example.org" });
    second.post(&format!("/_linkspan/client/v1/rooms/{room}/invite_by_address"), address).await.ok();
    let offered =
        async || list(&rita.get("/_linkspan/client/v1/invitations").await.ok()["invitations"]).len();
    assert_eq!(offered().await, 1);
    block(&rita, &yan).await;
    assert_eq!(offered().await, 1);
    block(&rita, &second).await;
    assert_eq!(offered().await, 0);
}

/// Two people are two, with however many accounts they are in a room.
#[tokio::test]
async fn people_are_counted_and_not_their_accounts() {
    let scene = Scene::open(MESSENGER).await;
    let Scene { network, rita, yan, second, .. } = &scene;
    let other = network.register(INSTAGRAM, "rita2").await;
    link(rita, &other).await;
    let chat = yan.create_room(json!({ "preset": "public_chat" })).await;
    for who in [rita, &other] {
        who.join(&chat).await.ok();
    }
    let typing = format!("/v3/rooms/{chat}/typing/{}", rita.user_id);
    let seen = async |words: &str| {
        let event = yan.say(&chat, words).await;
        rita.post(&format!("/v3/rooms/{chat}/receipt/m.read/{event}"), json!({})).await.ok();
        rita.put(&typing, json!({ "typing": true, "timeout": 60_000 })).await.ok();
        let sync = yan.get("/v3/sync").await.ok();
        rita.put(&typing, json!({ "typing": false })).await.ok();
        let ephemeral = &sync["rooms"]["join"][&chat]["ephemeral"]["events"];
        let about = list(ephemeral).iter().filter(|event| event.to_string().contains(&rita.user_id));
        about.filter(|about| about["type"] == "m.typing" || about.to_string().contains(&event)).count()
    };
    assert_eq!(seen("one").await, 2);
    block(&other, yan).await;
    assert_eq!(seen("two").await, 0);
    // What another account of the one who is blocked says to her alone is kept from both of hers.
    link(yan, second).await;
    let alone = second.create_room(json!({ "preset": "public_chat" })).await;
    for who in [rita, &other] {
        who.join(&alone).await.ok();
    }
    second.say(&alone, "unheard").await;
    for who in [rita, &other] {
        assert_eq!(who.heard(&alone).await, [""; 0]);
    }
    // With somebody else there, they are three.
    scene.carl.join(&chat).await.ok();
    assert_eq!(seen("three").await, 2);
    scene.carl.join(&alone).await.ok();
    second.say(&alone, "heard").await;
    assert_eq!(rita.heard(&alone).await, ["heard"]);
}

#[tokio::test]
async fn devices_are_not_rung_by_who_is_linked_with_the_blocked() {
    let scene = Scene::open(MESSENGER).await;
    let Scene { rita, yan, second, .. } = &scene;
    link(yan, second).await;
    block(rita, yan).await;
    let sealed = json!({
        "algorithm": "m.olm.v1.curve25519-aes-sha2", "sender_key": "k", "ciphertext": {},
    });
    for event_type in
        ["m.call.invite", "m.key.verification.request", "m.key.verification.cancel", "m.room.encrypted"]
    {
        let content = if event_type == "m.room.encrypted" { sealed.clone() } else { json!({ "a": 1 }) };
        let messages: Map<_, _> = [(rita.user_id.clone(), json!({ "*": content }))].into_iter().collect();
        let path = format!("/v3/sendToDevice/{event_type}/{}", second.next_transaction());
        second.put(&path, json!({ "messages": messages })).await.ok();
    }
    let sync = rita.get("/v3/sync").await.ok();
    let came = each(&sync["to_device"]["events"], "type");
    assert_eq!(came, ["m.key.verification.cancel", "m.room.encrypted"]);
}

/// What one account of the blocker blocks, and who is linked with it, reaches none of the blocker's accounts.
#[tokio::test]
async fn it_holds_for_all_accounts_of_both() {
    let network = Network::open().await;
    let (rita, ritas) =
        (network.register(INSTAGRAM, "rita").await, network.register(MESSENGER, "ritas").await);
    let (yan, second) =
        (network.register(MESSENGER, "yan").await, network.register(WHATSAPP, "second").await);
    link(&rita, &ritas).await;
    link(&yan, &second).await;
    block(&rita, &yan).await;
    let room = second.create_room(json!({ "is_direct": true, "invite": [ritas.user_id] })).await;
    second.say(&room, "Hello").await;
    let sync = ritas.get("/v3/sync").await.ok();
    assert_eq!(sync.get("rooms"), None, "{sync}");
    unblock(&ritas, &yan).await;
    let room = second.create_room(json!({ "is_direct": true, "invite": [rita.user_id] })).await;
    assert_eq!(each(&rita.get(REQUESTS).await.ok()["requests"], "room_id"), [room.as_str()]);
    rita.join(&room).await.ok();
    second.say(&room, "Hello").await;
    assert_eq!(bodies(&rita.get(&format!("/v3/rooms/{room}/messages?dir=b")).await.ok()["chunk"]), ["Hello"]);
}
