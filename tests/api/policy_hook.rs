//! Operators' hooks: what they are asked, what becomes of their answers, and of their failures.

use std::sync::{Arc, Mutex};

use axum::{
    Router,
    extract::State,
    http::{HeaderMap, StatusCode},
    routing::post,
};
use linkspan_platforms::{OnFailure, PolicyCheck, PolicyHook};
use serde_json::{Value, json};
use tokio::sync::Notify;

use crate::network::{
    Answer, Client, INSTAGRAM, MESSENGER, Network, PATIENCE, WHATSAPP, bodies, each, encoded, list, text,
};

const SECRET: &str = "a secret of the operator";
const GUIDE: &str = include_str!("../../docs/guides/policy-hook.md");
const REQUESTS: &str = "/_linkspan/client/v1/requests";

/// What a hook does when it is asked.
#[derive(Clone)]
enum Behaviour {
    Answer(u16, String),
    /// It says `allow` once it is let go.
    Wait(Arc<Notify>),
    /// It never answers.
    Hang,
}

/// A hook of an operator, which keeps what it was asked.
#[derive(Clone)]
struct Hook {
    url: String,
    behaviour: Arc<Mutex<Behaviour>>,
    asked: Arc<Mutex<Vec<(HeaderMap, String)>>>,
    news: Arc<Notify>,
}

async fn answer(State(hook): State<Hook>, headers: HeaderMap, body: String) -> (StatusCode, String) {
    hook.asked.lock().expect("nobody panicked").push((headers, body));
    hook.news.notify_one();
    let behaviour = hook.behaviour.lock().expect("nobody panicked").clone();
    match behaviour {
        Behaviour::Answer(status, body) => (StatusCode::from_u16(status).expect("a status"), body),
        Behaviour::Wait(until) => {
            until.notified().await;
            (StatusCode::OK, json!({ "action": "allow" }).to_string())
        }
        Behaviour::Hang => std::future::pending().await,
    }
}

impl Hook {
    async fn open() -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("it listens");
        let hook = Self {
            url: format!("http://{}/check", listener.local_addr().expect("an address")),
            behaviour: Arc::new(Mutex::new(Behaviour::Answer(200, json!({ "action": "allow" }).to_string()))),
            asked: Arc::default(),
            news: Arc::default(),
        };
        let router = Router::new().route("/check", post(answer)).with_state(hook.clone());
        tokio::spawn(async move { axum::serve(listener, router).await });
        hook
    }

    fn does(&self, behaviour: Behaviour) {
        *self.behaviour.lock().expect("nobody panicked") = behaviour;
    }

    fn answers(&self, answer: Value) {
        self.does(Behaviour::Answer(200, answer.to_string()));
    }

    /// What it was asked since the last time, without the names of the questions.
    fn asked(&self) -> Vec<Value> {
        let asked = std::mem::take(&mut *self.asked.lock().expect("nobody panicked"));
        let question = |(_, body): (HeaderMap, String)| {
            let mut question: Value = serde_json::from_str(&body).expect("it is JSON");
            assert_eq!(text(&question["id"]).len(), 16);
            question.as_object_mut().expect("an object").remove("id");
            question
        };
        asked.into_iter().map(question).collect()
    }

    fn settings(&self) -> PolicyHook {
        PolicyHook {
            url: self.url.clone(),
            secret: SECRET.to_owned(),
            on_failure: OnFailure::Refuse,
            timeout_ms: 10_000,
            checks: vec![PolicyCheck::Invitation, PolicyCheck::FirstMessage],
            content: false,
        }
    }
}

/// Anna of Instagram, and ben of Messenger, whose platforms have hooks.
struct Scene {
    network: Network,
    senders: Hook,
    recipients: Hook,
    anna: Client,
    ben: Client,
}

impl Scene {
    async fn open() -> Self {
        Self::with(|_| ()).await
    }

    async fn with(change: impl Fn(&mut PolicyHook)) -> Self {
        let (senders, recipients) = (Hook::open().await, Hook::open().await);
        let network = Network::changed(|one| {
            let hook = match one.server_name.as_str() {
                INSTAGRAM => &senders,
                MESSENGER => &recipients,
                _ => return,
            };
            let mut settings = hook.settings();
            change(&mut settings);
            one.policy = Some(settings);
        })
        .await;
        let anna = network.register(INSTAGRAM, "anna").await;
        let ben = network.register(MESSENGER, "ben").await;
        Self { network, senders, recipients, anna, ben }
    }

    fn asked(&self) -> (usize, usize) {
        (self.senders.asked().len(), self.recipients.asked().len())
    }

    async fn write_to_ben(&self) -> Answer {
        let (anna, ben) = (&self.anna, &self.ben);
        anna.post("/v3/createRoom", json!({ "is_direct": true, "invite": [ben.user_id] })).await
    }
}

async fn requests(who: &Client) -> Vec<String> {
    each(&who.get(REQUESTS).await.ok()["requests"], "room_id")
}

async fn invitations(who: &Client) -> Value {
    who.get("/v3/sync").await.ok()["rooms"]["invite"].clone()
}

#[tokio::test]
async fn each_platforms_hook_is_asked_about_what_concerns_its_people() {
    let scene = Scene::open().await;
    let Scene { network, senders, recipients, anna, ben } = &scene;
    let carl = network.register(WHATSAPP, "carl").await;
    let bert = network.register(INSTAGRAM, "bert").await;
    let room = anna.create_room(json!({ "invite": [ben.user_id] })).await;
    let invitation = |platform: &str, recipient: &Client| {
        json!({
            "platform": platform, "check": "invitation", "sender": anna.user_id,
            "recipients": [recipient.user_id], "kind": "group", "type": "m.room.member",
        })
    };
    assert_eq!(senders.asked(), [invitation(INSTAGRAM, ben)]);
    assert_eq!(recipients.asked(), [invitation(MESSENGER, ben)]);
    for other in [&bert, &carl] {
        anna.invite(&room, other).await.ok();
        let mut expected = invitation(INSTAGRAM, other);
        expected["room_id"] = json!(room);
        assert_eq!(senders.asked(), [expected]);
    }
    anna.say(&room, "Hello").await;
    let [of_sender, of_recipient] = [senders, recipients].map(Hook::asked);
    assert_eq!((of_sender.len(), of_recipient.len()), (1, 1));
    let names = |question: &Value| {
        let mut names: Vec<_> = list(&question["recipients"]).iter().map(text).collect();
        names.sort();
        names
    };
    assert_eq!(names(&of_sender[0]), [ben, &bert, &carl].map(|who| who.user_id.clone()));
    assert_eq!(names(&of_recipient[0]), std::slice::from_ref(&ben.user_id));
    assert_eq!(of_sender[0]["content"], Value::Null, "no operator has asked for it");

    // Once somebody is there to talk to, nothing is asked.
    carl.join(&room).await.ok();
    anna.say(&room, "There you are").await;
    assert_eq!(scene.asked(), (0, 0));
}

#[tokio::test]
async fn contacts_are_nothing_to_ask_about() {
    let scene = Scene::open().await;
    let room = text(&scene.write_to_ben().await.ok()["room_id"]);
    scene.ben.join(&room).await.ok();
    scene.asked();
    scene.write_to_ben().await.ok();
    assert_eq!(scene.asked(), (0, 0));
}

#[tokio::test]
async fn questions_are_signed_and_are_what_the_guide_says() {
    let scene = Scene::with(|settings| settings.content = true).await;
    let room = text(&scene.write_to_ben().await.ok()["room_id"]);
    scene.asked();
    scene.anna.say(&room, "Hello").await;
    let (headers, body) = scene.recipients.asked.lock().expect("nobody panicked")[0].clone();
    let timestamp = headers["linkspan-timestamp"].to_str().expect("a number").to_owned();
    assert_eq!(headers["linkspan-signature"], sign(&timestamp, &body));
    let example =
        GUIDE.split("```json\n").nth(1).and_then(|rest| rest.split("```").next()).expect("an example");
    let (mut example, asked): (Value, Value) =
        (serde_json::from_str(example).expect("JSON"), serde_json::from_str(&body).expect("JSON"));
    (example["id"], example["room_id"]) = (asked["id"].clone(), json!(room));
    assert_eq!(asked, example);
    let answer =
        GUIDE.split("```json\n").nth(2).and_then(|rest| rest.split("```").next()).expect("an answer");
    let answer: Value = serde_json::from_str(answer).expect("JSON");
    scene.recipients.answers(answer.clone());
    let refused = scene.write_to_ben().await;
    assert_eq!(refused.json["error"], answer["reason"]);
    refused.fails(403, "M_FORBIDDEN");
}

fn sign(timestamp: &str, body: &str) -> String {
    use hmac::{Hmac, KeyInit, Mac};
    let mut mac = Hmac::<sha2::Sha256>::new_from_slice(SECRET.as_bytes()).expect("a key");
    mac.update(format!("{timestamp}.{body}").as_bytes());
    mac.finalize().into_bytes().iter().map(|byte| format!("{byte:02x}")).collect()
}

#[tokio::test]
async fn what_is_encrypted_or_was_before_somebody_came_is_not_shown() {
    let scene = Scene::with(|settings| settings.content = true).await;
    let Scene { anna, ben, senders, recipients, .. } = &scene;
    let visibility = json!({ "history_visibility": "joined" });
    let state = json!([{ "type": "m.room.history_visibility", "content": visibility }]);
    let room = anna.create_room(json!({ "invite": [ben.user_id], "initial_state": state })).await;
    scene.asked();
    anna.say(&room, "Hello").await;
    assert_eq!(senders.asked()[0]["content"]["body"], "Hello");
    assert_eq!(recipients.asked(), [Value::Null; 0]);
    let sealed = json!({ "algorithm": "m.megolm.v1.aes-sha2", "ciphertext": "x", "session_id": "y" });
    let room = text(&scene.write_to_ben().await.ok()["room_id"]);
    scene.asked();
    anna.send(&room, "m.room.encrypted", sealed).await;
    for question in [senders.asked(), recipients.asked()].concat() {
        assert_eq!((&question["type"], &question["content"]), (&json!("m.room.encrypted"), &Value::Null));
    }
}

#[tokio::test]
async fn who_is_refused_is_told_and_nothing_happens() {
    let scene = Scene::open().await;
    let Scene { network, anna, ben, .. } = &scene;
    let room = anna.create_room(json!({})).await;
    for hook in [&scene.senders, &scene.recipients] {
        hook.answers(json!({ "action": "refuse", "reason": "not today" }));
        let member = format!("/v3/rooms/{room}/state/m.room.member/{}", encoded(&ben.user_id));
        let missing = format!("@nobody:{MESSENGER}");
        let invite = format!("/v3/rooms/{room}/invite");
        for answer in [
            scene.write_to_ben().await,
            anna.invite(&room, ben).await,
            anna.put(&member, json!({ "membership": "invite" })).await,
            anna.post(&invite, json!({ "user_id": missing })).await,
        ] {
            assert_eq!(answer.json["error"], "not today");
            answer.fails(403, "M_FORBIDDEN");
        }
        hook.answers(json!({ "action": "allow" }));
    }
    assert_eq!(list(&anna.get("/v3/joined_rooms").await.ok()["joined_rooms"]).len(), 1);
    network.flush().await;
    assert_eq!(invitations(ben).await, Value::Null);

    // What is sent later is refused as well.
    let room = text(&scene.write_to_ben().await.ok()["room_id"]);
    let later = format!("/v3/rooms/{room}/send/m.room.message/1?org.matrix.msc4140.delay=60000");
    let words = json!({ "msgtype": "m.text", "body": "Hello" });
    let delayed = anna.put(&later, words.clone()).await.ok();
    scene.recipients.answers(json!({ "action": "refuse" }));
    anna.say_fails(&room).await;
    let act = format!("/unstable/org.matrix.msc4140/delayed_events/{}", text(&delayed["delay_id"]));
    anna.post(&act, json!({ "action": "send" })).await.fails(403, "M_FORBIDDEN");
    scene.recipients.answers(json!({ "action": "allow" }));
    anna.post(&act, json!({ "action": "send" })).await.ok();
    assert_eq!(anna.heard(&room).await, ["Hello"]);
}

/// A name of a room can be removed whatever a hook says of the event that follows from it.
#[tokio::test]
async fn an_alias_is_removed_whatever_a_hook_says() {
    let scene = Scene::open().await;
    let Scene { anna, ben, .. } = &scene;
    for (name, action) in [("quay", "allow"), ("harbour", "refuse")] {
        let room = anna.create_room(json!({ "room_alias_name": name })).await;
        anna.invite(&room, ben).await.ok();
        scene.senders.answers(json!({ "action": action }));
        let alias = format!("/v3/directory/room/{}", encoded(&format!("#{name}:{INSTAGRAM}")));
        anna.delete(&alias).await.ok();
        anna.get(&alias).await.fails(404, "M_NOT_FOUND");
        scene.senders.answers(json!({ "action": "allow" }));
    }
}

#[tokio::test]
async fn what_is_ignored_looks_to_its_sender_like_an_invitation_that_nobody_answers() {
    let scene = Scene::open().await;
    let Scene { anna, ben, recipients, .. } = &scene;
    recipients.answers(json!({ "action": "ignore" }));
    let room = text(&scene.write_to_ben().await.ok()["room_id"]);
    let members = anna.get(&format!("/v3/rooms/{room}/members?membership=invite")).await.ok();
    assert_eq!(each(&members["chunk"], "state_key"), [ben.user_id.as_str()]);
    assert_eq!((requests(ben).await, invitations(ben).await), (vec![], Value::Null));
    anna.say(&room, "Hello").await;
    assert_eq!((requests(ben).await, invitations(ben).await), (vec![], Value::Null));

    // It was let through, and what was said then is not.
    recipients.answers(json!({ "action": "allow" }));
    let room = text(&scene.write_to_ben().await.ok()["room_id"]);
    assert_eq!(requests(ben).await, std::slice::from_ref(&room));
    recipients.answers(json!({ "action": "ignore" }));
    anna.say(&room, "Buy this").await;
    assert_eq!((requests(ben).await, invitations(ben).await), (vec![], Value::Null));
    assert_eq!(
        bodies(&anna.get(&format!("/v3/rooms/{room}/messages?dir=b")).await.ok()["chunk"]),
        ["Buy this"]
    );
}

#[tokio::test]
async fn where_people_are_reached_straight_the_ignored_are_not_brought_in() {
    let scene = Scene::open().await;
    let Scene { ben, recipients, .. } = &scene;
    let rules = json!({ "rules": [{ "reach": "straight" }] });
    ben.put(&format!("/v3/user/{}/account_data/org.linkspan.reach", ben.user_id), rules).await.ok();
    recipients.answers(json!({ "action": "ignore" }));
    scene.write_to_ben().await.ok();
    assert_eq!(list(&ben.get("/v3/joined_rooms").await.ok()["joined_rooms"]), [Value::Null; 0]);
    recipients.answers(json!({ "action": "allow" }));
    scene.write_to_ben().await.ok();
    assert_eq!(list(&ben.get("/v3/joined_rooms").await.ok()["joined_rooms"]).len(), 1);
}

#[tokio::test]
async fn what_is_set_for_a_hook_that_fails_holds_whatever_is_wrong_with_it() {
    let long = json!({ "action": "allow", "reason": "x".repeat(5_000) }).to_string();
    for behaviour in [
        Behaviour::Answer(500, json!({ "action": "allow" }).to_string()),
        Behaviour::Answer(302, String::new()),
        Behaviour::Answer(204, String::new()),
        Behaviour::Answer(200, "perhaps".to_owned()),
        Behaviour::Answer(200, json!({ "action": "perhaps" }).to_string()),
        Behaviour::Answer(200, long),
        Behaviour::Hang,
    ] {
        for on_failure in [OnFailure::Allow, OnFailure::Refuse] {
            let scene = Scene::with(|settings| {
                settings.on_failure = on_failure;
                settings.timeout_ms = if matches!(behaviour, Behaviour::Hang) { 1 } else { 10_000 };
            })
            .await;
            scene.senders.does(behaviour.clone());
            let answer = scene.write_to_ben().await;
            match on_failure {
                OnFailure::Allow => drop(answer.ok()),
                OnFailure::Refuse => {
                    assert_eq!(answer.json["retry_after_ms"], 10_000);
                    answer.fails(429, "M_LIMIT_EXCEEDED");
                }
            }
        }
    }
}

#[tokio::test]
async fn a_hook_that_is_down_is_left_alone_after_some_failures() {
    let scene = Scene::with(|settings| settings.on_failure = OnFailure::Allow).await;
    scene.senders.does(Behaviour::Answer(503, String::new()));
    for number in 0..8 {
        scene.write_to_ben().await.ok();
        assert_eq!(scene.senders.asked().len(), usize::from(number < 5), "{number}");
    }
    let gone = Scene::with(|settings| settings.url = "http://127.0.0.1:9/".to_owned()).await;
    gone.write_to_ben().await.fails(429, "M_LIMIT_EXCEEDED");
}

#[tokio::test]
async fn nobody_else_waits_while_a_hook_thinks() {
    let scene = Scene::open().await;
    let Scene { network, anna, ben, senders, .. } = &scene;
    let bert = network.register(INSTAGRAM, "bert").await;
    let room = anna.create_room(json!({ "preset": "public_chat" })).await;
    bert.join(&room).await.ok();
    let until = Arc::new(Notify::new());
    senders.does(Behaviour::Wait(until.clone()));
    let (inviter, invitee, inviting_to) = (anna.clone(), ben.clone(), room.clone());
    let inviting = tokio::spawn(async move { inviter.invite(&inviting_to, &invitee).await });
    tokio::time::timeout(PATIENCE, senders.news.notified()).await.expect("it is asked");
    // The room's writer is free: the same room goes on.
    bert.say(&room, "Hello").await;
    anna.say(&room, "Hello, bert").await;
    assert!(!inviting.is_finished());
    until.notify_one();
    inviting.await.expect("it is answered").ok();
    assert_eq!(requests(ben).await, [room]);
}

#[tokio::test]
async fn a_room_with_many_invitations_is_asked_about_at_once() {
    let scene = Scene::open().await;
    let everybody: Vec<_> = (0..40).map(|number| format!("@nobody{number}:{MESSENGER}")).collect();
    scene.anna.create_room(json!({ "invite": everybody })).await;
    assert_eq!(scene.asked(), (40, 40));
}

#[tokio::test]
async fn only_what_is_set_is_asked() {
    let scene = Scene::with(|settings| settings.checks = vec![PolicyCheck::FirstMessage]).await;
    let room = text(&scene.write_to_ben().await.ok()["room_id"]);
    assert_eq!(scene.asked(), (0, 0));
    scene.anna.say(&room, "Hello").await;
    assert_eq!(scene.asked(), (1, 1));
    scene.anna.post(&format!("/v3/rooms/{room}/upgrade"), json!({ "new_version": "11" })).await.ok();
    assert!(scene.asked().0 > 0, "what an upgrade says to the invited is asked about, too");
}

/// A policy server that the room uses would have to sign all that is said in it.
#[tokio::test]
async fn no_hosted_platform_is_a_rooms_policy_server() {
    let network = Network::open().await;
    let anna = network.register(INSTAGRAM, "anna").await;
    let room = anna.create_room(json!({})).await;
    let names = |server: &str| json!({ "via": server, "public_keys": { "ed25519": "key" } });
    for platform in [INSTAGRAM, MESSENGER] {
        anna.set_state(&room, "m.room.policy", names(platform)).await.fails(400, "M_BAD_JSON");
        let state = json!([{ "type": "m.room.policy", "content": names(platform) }]);
        let created = anna.post("/v3/createRoom", json!({ "initial_state": state })).await;
        created.fails(400, "M_INVALID_ROOM_STATE");
    }
    // It has nobody in the room, so the room does not use it.
    anna.set_state(&room, "m.room.policy", names("policy.example")).await.ok();
    anna.say(&room, "Hello").await;
    // This names none.
    anna.set_state(&room, "m.room.policy", json!({ "via": INSTAGRAM })).await.ok();
}

#[tokio::test]
async fn hooks_are_asked_about_who_joins_by_a_link() {
    let scene = Scene::open().await;
    let Scene { senders, recipients, anna, ben, .. } = &scene;
    let room = anna.create_room(json!({})).await;
    let links = format!("/_linkspan/client/v1/rooms/{room}/join_links");
    let token = text(&anna.post(&links, json!({})).await.ok()["token"]);
    let link = format!("/_linkspan/client/v1/join_links/{token}");
    ben.get(&link).await.ok();
    assert_eq!(scene.asked(), (0, 0), "whoever looks has not come");
    recipients.answers(json!({ "action": "refuse", "reason": "not here" }));
    ben.post(&format!("{link}/join"), json!({})).await.fails(403, "M_FORBIDDEN");
    let question = json!({
        "platform": INSTAGRAM, "check": "invitation", "sender": anna.user_id, "recipients": [ben.user_id],
        "room_id": room, "kind": "group", "type": "m.room.member",
    });
    assert_eq!(senders.asked(), [question]);
    recipients.answers(json!({ "action": "allow" }));
    ben.post(&format!("{link}/join"), json!({})).await.ok();
}
