//! Web Push: apps are told by a push service, which can read nothing of it. The push service here has the browser's
//! side, too, with other code than the program's.

use std::{
    collections::{HashMap, VecDeque},
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering},
    },
};

use axum::{Router, body::to_bytes, extract::Request};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD as BASE64};
use bytes::Bytes;
use hmac::{Hmac, KeyInit, Mac};
use http::{HeaderMap, StatusCode};
use linkspan_wire::now_ts;
use p256::{PublicKey, SecretKey, elliptic_curve::sec1::ToEncodedPoint};
use ring::{
    aead::{AES_128_GCM, Aad, LessSafeKey, Nonce, UnboundKey},
    signature::{ECDSA_P256_SHA256_FIXED, UnparsedPublicKey},
};
use serde_json::{Value, json};
use sha2::Sha256;
use tokio::{
    net::TcpListener,
    sync::{mpsc, watch},
};

use crate::network::{Client, INSTAGRAM, MESSENGER, Network, PATIENCE, WHATSAPP, list, text};

const APP: &str = "org.example.app";
const SET: &str = "/v3/pushers/set";
const ACK: &str = "/v3/pushers/ack";
const MINUTE_MS: u64 = 60_000;
/// How many push services are called for one platform at a time.
const CALLS_OF_PLATFORM: u8 = 64;

/// A push service.
struct PushService {
    origin: String,
    pushes: mpsc::UnboundedReceiver<Push>,
    /// What it answers; 201 when there is no more.
    answers: Arc<Mutex<VecDeque<u16>>>,
    /// Whether it answers at all.
    answering: watch::Sender<bool>,
}

/// What it was sent.
struct Push {
    path: String,
    head: HeaderMap,
    body: Bytes,
}

impl PushService {
    async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let origin = format!("http://{}", listener.local_addr().expect("an address"));
        let (sender, pushes) = mpsc::unbounded_channel();
        let answers: Arc<Mutex<VecDeque<u16>>> = Arc::default();
        let next = answers.clone();
        let (answering, may_answer) = watch::channel(true);
        let router = Router::new().fallback(move |request: Request| {
            let (sender, next, mut may_answer) = (sender.clone(), next.clone(), may_answer.clone());
            async move {
                let (parts, body) = request.into_parts();
                let body = to_bytes(body, 1 << 20).await.expect("a body");
                let answer = next.lock().expect("nobody panicked").pop_front().unwrap_or(201);
                // The test may be at its end, and listen no more.
                let _ = sender.send(Push { path: parts.uri.path().to_owned(), head: parts.headers, body });
                let _ = may_answer.wait_for(|may| *may).await;
                StatusCode::from_u16(answer).expect("a status")
            }
        });
        tokio::spawn(async move { axum::serve(listener, router).await });
        Self { origin, pushes, answers, answering }
    }

    fn answer(&self, statuses: &[u16]) {
        self.answers.lock().expect("nobody panicked").extend(statuses);
    }

    /// Whether it answers from now on. What it is sent it notes all the same.
    fn set_answering(&self, answering: bool) {
        self.answering.send_replace(answering);
    }

    async fn next(&mut self) -> Push {
        let next = tokio::time::timeout(PATIENCE, self.pushes.recv());
        next.await.expect("a push comes").expect("the service runs")
    }

    /// The next push, as the browser reads it.
    async fn told(&mut self, browser: &Browser) -> Value {
        let push = self.next().await;
        assert_eq!(push.path, browser.path);
        browser.read(&push)
    }
}

impl Push {
    fn header(&self, name: &str) -> &str {
        self.head.get(name).map_or("", |value| value.to_str().expect("it is text"))
    }
}

/// An app's subscription in a browser.
struct Browser {
    path: String,
    key: SecretKey,
    auth: [u8; 16],
}

impl Browser {
    fn new(number: u8) -> Self {
        let key = SecretKey::from_slice(&[number; 32]).expect("a key");
        Self { path: format!("/push/{number}"), key, auth: [number; 16] }
    }

    fn public(&self) -> Vec<u8> {
        self.key.public_key().to_encoded_point(false).as_bytes().to_vec()
    }

    fn pusher(&self, service: &PushService) -> Value {
        json!({
            "kind": "webpush", "app_id": APP, "pushkey": BASE64.encode(self.public()), "lang": "en",
            "app_display_name": "App", "device_display_name": "Browser", "append": true,
            "data": { "url": format!("{}{}", service.origin, self.path), "auth": BASE64.encode(self.auth) },
        })
    }

    /// Subscribes and confirms.
    async fn subscribe(&self, who: &Client, service: &mut PushService, format: Option<&str>) {
        let mut pusher = self.pusher(service);
        if let Some(format) = format {
            pusher["data"]["format"] = json!(format);
        }
        let set = who.post(SET, pusher).await;
        assert_eq!(set.status, 201, "{}", set.json);
        let asked = service.told(self).await;
        who.post(ACK, asked).await.ok();
    }

    /// Decrypts a message as RFC 8291 says.
    fn read(&self, push: &Push) -> Value {
        assert_eq!(push.header("content-encoding"), "aes128gcm");
        assert!(push.body.len() <= 4096, "{} bytes", push.body.len());
        let (salt, rest) = push.body.split_at(16);
        let (record_size, rest) = rest.split_at(4);
        assert_eq!(record_size, 4096_u32.to_be_bytes());
        assert_eq!(rest[0], 65);
        let (server_key, record) = rest[1..].split_at(65);
        let point = PublicKey::from_sec1_bytes(server_key).expect("a point").to_projective();
        let shared = (point * *self.key.to_nonzero_scalar()).to_affine().to_encoded_point(false);
        let shared = shared.x().expect("it is not at infinity");
        let secret = hmac_sha256(&self.auth, &[shared.as_slice()]);
        let secret = hmac_sha256(&secret, &[b"WebPush: info\0", &self.public(), server_key, &[1]]);
        let secret = hmac_sha256(salt, &[&secret]);
        let key = hmac_sha256(&secret, &[b"Content-Encoding: aes128gcm\0\x01"]);
        let nonce = hmac_sha256(&secret, &[b"Content-Encoding: nonce\0\x01"]);
        let key = LessSafeKey::new(UnboundKey::new(&AES_128_GCM, &key[..16]).expect("a key"));
        let nonce = Nonce::try_assume_unique_for_key(&nonce[..12]).expect("a nonce");
        let mut record = record.to_vec();
        let text = key.open_in_place(nonce, Aad::empty(), &mut record).expect("it is for this browser");
        let end = text.iter().rposition(|byte| *byte != 0).expect("it ends");
        assert_eq!(text[end], 2, "it is the last record");
        serde_json::from_slice(&text[..end]).expect("it is JSON")
    }
}

fn hmac_sha256(key: &[u8], parts: &[&[u8]]) -> [u8; 32] {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).expect("any key");
    parts.iter().for_each(|part| mac.update(part));
    mac.finalize().into_bytes().into()
}

async fn open() -> Network {
    Network::pushing(Arc::new(now_ts)).await
}

async fn vapid(who: &Client) -> String {
    let capability = who.get("/v3/capabilities").await.ok()["capabilities"]["m.webpush"].clone();
    assert_eq!(capability["enabled"], true);
    text(&capability["vapid"])
}

/// A room of two users with a name.
async fn room(creator: &Client, member: &Client, name: &str, more: Value) -> String {
    let mut body = json!({ "name": name, "preset": "private_chat" });
    let all = body.as_object_mut().expect("an object");
    all.extend(more.as_object().expect("an object").clone());
    let room = creator.create_room(body).await;
    creator.invite(&room, member).await.ok();
    member.join(&room).await.ok();
    room
}

async fn read(who: &Client, room: &str, event: &str) {
    who.post(&format!("/v3/rooms/{room}/receipt/m.read/{event}"), json!({})).await.ok();
}

/// The pushers of a user, once there are as many.
async fn pushers(who: &Client, count: usize) -> Vec<Value> {
    let settled = async {
        loop {
            let pushers = who.get("/v3/pushers").await.ok()["pushers"].clone();
            if list(&pushers).len() == count {
                return list(&pushers).to_vec();
            }
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(PATIENCE, settled).await.expect("there are as many")
}

#[tokio::test]
async fn an_app_shows_that_messages_reach_it_before_it_is_told_anything() {
    let clock = Arc::new(AtomicU64::new(now_ts()));
    let asked = clock.clone();
    let network = Network::pushing(Arc::new(move || asked.load(Ordering::Relaxed))).await;
    let mut service = PushService::start().await;
    let anna = network.register(INSTAGRAM, "anna").await;
    let ben = network.register(INSTAGRAM, "ben").await;
    let harbour = room(&ben, &anna, "Harbour", json!({})).await;
    let (first, second) = (Browser::new(1), Browser::new(2));
    first.subscribe(&anna, &mut service, None).await;

    assert_eq!(anna.post(SET, second.pusher(&service)).await.status, 201);
    let push = service.next().await;
    assert_eq!((push.header("ttl"), push.header("urgency"), push.header("topic")), ("300", "high", ""));
    let asked = second.read(&push);
    assert_eq!(asked.as_object().map(|asked| asked.len()), Some(2), "{asked}");
    let activated = |pushers: Vec<Value>| -> Vec<bool> {
        pushers.iter().map(|pusher| pusher["activated"].as_bool().expect("it says so")).collect()
    };
    assert_eq!(activated(pushers(&anna, 2).await).iter().filter(|one| **one).count(), 1);
    // Only the first is told this.
    let unheard = ben.say(&harbour, "Are you there?").await;
    assert_eq!(service.told(&first).await["event_id"], unheard);

    let with = |app: &str, token: &Value| json!({ "app_id": app, "ack_token": token });
    let token = asked["ack_token"].clone();
    anna.post(ACK, with("org.example.other", &token)).await.fails(404, "M_NOT_FOUND");
    anna.post(ACK, with(&"a".repeat(5000), &token)).await.fails(404, "M_NOT_FOUND");
    ben.post(ACK, asked.clone()).await.fails(404, "M_NOT_FOUND");
    anna.post(ACK, with(APP, &json!("other"))).await.fails(400, "M_UNKNOWN_ACTIVATION_TOKEN");
    clock.fetch_add(5 * MINUTE_MS, Ordering::Relaxed);
    anna.post(ACK, asked.clone()).await.fails(400, "M_EXPIRED_ACTIVATION_TOKEN");
    assert_eq!(anna.post(SET, second.pusher(&service)).await.status, 201, "another token is sent");
    let again = service.told(&second).await;
    anna.post(ACK, asked).await.fails(400, "M_UNKNOWN_ACTIVATION_TOKEN");
    clock.fetch_add(5 * MINUTE_MS - 1, Ordering::Relaxed);
    anna.post(ACK, again.clone()).await.ok();
    anna.post(ACK, again).await.fails(400, "M_UNKNOWN_ACTIVATION_TOKEN");
    assert_eq!(activated(pushers(&anna, 2).await), [true, true]);
    assert_eq!(anna.post(SET, second.pusher(&service)).await.status, 200, "nothing is new");

    let heard = ben.say(&harbour, "Hello?").await;
    for _ in [&first, &second] {
        let push = service.next().await;
        let browser = if push.path == first.path { &first } else { &second };
        assert_eq!(browser.read(&push)["event_id"], heard);
    }
    let mut moved = second.pusher(&service);
    moved["data"]["auth"] = json!(BASE64.encode([9; 16]));
    assert_eq!(anna.post(SET, moved).await.status, 201, "it may be somebody else's now");
}

#[tokio::test]
async fn push_services_know_the_platform_and_read_nothing() {
    let network = open().await;
    let mut service = PushService::start().await;
    let anna = network.register(INSTAGRAM, "anna").await;
    let ben = network.register(MESSENGER, "ben").await;
    let cleo = network.register(WHATSAPP, "cleo").await;
    let keys = [vapid(&anna).await, vapid(&ben).await, vapid(&cleo).await];
    assert!(keys[0] != keys[1] && keys[1] != keys[2] && keys[2] != keys[0]);
    let harbour = room(&ben, &anna, "Harbour", json!({})).await;
    let browser = Browser::new(1);
    browser.subscribe(&anna, &mut service, None).await;
    ben.say(&harbour, "Nobody else reads this").await;
    let push = service.next().await;
    assert_eq!(browser.read(&push)["content"]["body"], "Nobody else reads this");

    let authorization = push.header("authorization").strip_prefix("vapid t=").expect("the scheme");
    let (token, key) = authorization.split_once(", k=").expect("a key");
    assert_eq!(key, keys[0]);
    let (signed, signature) = token.rsplit_once('.').expect("a signature");
    let [key, signature] = [key, signature].map(|part| BASE64.decode(part).expect("base64"));
    let key = UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, key);
    key.verify(signed.as_bytes(), &signature).expect("the platform has signed it");
    let part = |part: &str| -> Value {
        serde_json::from_slice(&BASE64.decode(part).expect("base64")).expect("it is JSON")
    };
    let (head, claims) = signed.split_once('.').expect("two parts");
    assert_eq!(part(head), json!({ "typ": "JWT", "alg": "ES256" }));
    let (claims, now_s) = (part(claims), now_ts() / 1000);
    assert_eq!(
        (&claims["aud"], &claims["sub"]),
        (&json!(service.origin), &json!("https://instagram.localhost"))
    );
    let expires_s = claims["exp"].as_u64().expect("a time");
    assert!(expires_s > now_s && expires_s <= now_s + 24 * 60 * 60, "{claims}");

    let again = network.reopen().await;
    assert_eq!(vapid(&anna.on(&again)).await, keys[0], "another key would end all subscriptions");
}

#[tokio::test]
async fn an_app_is_told_what_it_can_show() {
    let network = open().await;
    let mut service = PushService::start().await;
    let anna = network.register(INSTAGRAM, "anna").await;
    let ben = network.register(INSTAGRAM, "ben").await;
    let path = format!("/v3/profile/{}/displayname", ben.user_id);
    ben.put(&path, json!({ "displayname": "Ben Berg" })).await.ok();
    let harbour = room(&ben, &anna, "Harbour", json!({})).await;
    let algorithm =
        json!({ "type": "m.room.encryption", "content": { "algorithm": "m.megolm.v1.aes-sha2" } });
    let vault = room(&ben, &anna, "Vault", json!({ "initial_state": [algorithm] })).await;
    let browser = Browser::new(1);
    browser.subscribe(&anna, &mut service, None).await;

    let event = ben.say(&harbour, "Hello!").await;
    let push = service.next().await;
    let told = browser.read(&push);
    assert_eq!(
        told,
        json!({
            "event_id": event, "room_id": harbour, "type": "m.room.message", "sender": ben.user_id,
            "sender_display_name": "Ben Berg", "room_name": "Harbour", "prio": told["prio"],
            "content": { "msgtype": "m.text", "body": "Hello!" }, "counts": { "unread": 1 },
            "tweaks": told["tweaks"], "org.linkspan.user_id": anna.user_id,
        })
    );
    let of_harbour = push.header("topic").to_owned();
    assert!(of_harbour.len() == 32 && !harbour.contains(&of_harbour), "{of_harbour}");
    assert!(push.header("ttl").parse::<u64>().is_ok_and(|ttl| ttl >= 60 * 60));

    // What is encrypted says who has written where, as far as the server knows it.
    let secret = json!({
        "algorithm": "m.megolm.v1.aes-sha2", "ciphertext": "AwgAErABF9tLnYxvGC4E5ps", "device_id": "PHONE",
        "sender_key": "key", "session_id": "session",
    });
    let event = ben.send(&vault, "m.room.encrypted", secret).await;
    let push = service.next().await;
    let told = browser.read(&push);
    assert_eq!((&told["event_id"], &told["room_name"]), (&json!(event), &json!("Vault")));
    assert_eq!((&told["sender_display_name"], &told["counts"]["unread"]), (&json!("Ben Berg"), &json!(2)));
    assert_eq!((told.get("content"), push.header("urgency")), (None, "high"));
    assert_ne!(push.header("topic"), of_harbour);

    // What does not fit is left out.
    let event = ben.say(&harbour, &"long ".repeat(900)).await;
    let push = service.next().await;
    assert_eq!(push.header("topic"), of_harbour, "it takes the place of what was not delivered");
    let told = browser.read(&push);
    assert_eq!((&told["event_id"], &told["sender_display_name"]), (&json!(event), &json!("Ben Berg")));
    assert_eq!(told.get("content"), None);
    ben.set_state(&harbour, "m.room.name", json!({ "name": "harbour ".repeat(600) })).await.ok();
    let event = ben.say(&harbour, "Hello!").await;
    assert_eq!(
        service.told(&browser).await,
        json!({
            "event_id": event, "room_id": harbour, "prio": told["prio"], "counts": { "unread": 2 },
            "org.linkspan.user_id": anna.user_id,
        })
    );

    // Another browser wants ids alone.
    let quiet = Browser::new(2);
    let ids = json!({ "kind": null, "app_id": APP, "pushkey": BASE64.encode(browser.public()) });
    anna.post(SET, ids).await.ok();
    quiet.subscribe(&anna, &mut service, Some("event_id_only")).await;
    let event = ben.say(&vault, "Hello!").await;
    assert_eq!(
        service.told(&quiet).await,
        json!({
            "event_id": event, "room_id": vault, "prio": told["prio"], "counts": { "unread": 2 },
            "org.linkspan.user_id": anna.user_id,
        })
    );
}

#[tokio::test]
async fn what_was_read_elsewhere_is_taken_away() {
    let network = open().await;
    let mut service = PushService::start().await;
    let anna = network.register(INSTAGRAM, "anna").await;
    let ben = network.register(INSTAGRAM, "ben").await;
    let harbour = room(&ben, &anna, "Harbour", json!({})).await;
    let pier = room(&ben, &anna, "Pier", json!({})).await;
    let browser = Browser::new(1);
    browser.subscribe(&anna, &mut service, None).await;
    let mut newest = Vec::new();
    for (room, unread) in [(&harbour, 1), (&pier, 2)] {
        newest.push(ben.say(room, "Hello!").await);
        let told = service.told(&browser).await;
        assert_eq!(
            (&told["counts"]["unread"], told.get("org.linkspan.unread_rooms")),
            (&json!(unread), None)
        );
    }
    let mut topics = Vec::new();
    for (room, event, left) in [(&harbour, &newest[0], vec![&pier]), (&pier, &newest[1], vec![])] {
        read(&anna, room, event).await;
        let push = service.next().await;
        assert_eq!(
            browser.read(&push),
            json!({
                "counts": { "unread": left.len() }, "org.linkspan.unread_rooms": left,
                "org.linkspan.user_id": anna.user_id,
            })
        );
        assert_eq!(push.header("urgency"), "normal");
        topics.push(push.header("topic").to_owned());
    }
    assert_eq!(topics[0], topics[1], "only the newest matters");
    let event = ben.say(&harbour, "Still there?").await;
    let told = service.told(&browser).await;
    assert_eq!(
        (&told["event_id"], &told["counts"]["unread"]),
        (&json!(event), &json!(1)),
        "one message each"
    );
}

#[tokio::test]
async fn what_disappears_is_kept_by_no_push_service_for_longer() {
    let network = open().await;
    let mut service = PushService::start().await;
    let anna = network.register(INSTAGRAM, "anna").await;
    let ben = network.register(INSTAGRAM, "ben").await;
    let harbour = room(&ben, &anna, "Harbour", json!({})).await;
    let browser = Browser::new(1);
    browser.subscribe(&anna, &mut service, None).await;
    let timer = json!({ "type": "after_send", "timer": 60 * MINUTE_MS });
    ben.set_state(&harbour, "com.beeper.disappearing_timer", timer).await.ok();
    let event = ben.say(&harbour, "Gone in an hour").await;
    let push = service.next().await;
    let told = browser.read(&push);
    let sent_ts =
        ben.get(&format!("/v3/rooms/{harbour}/event/{event}")).await.ok()["origin_server_ts"].clone();
    let disappears_ts = sent_ts.as_u64().expect("a time") + 60 * MINUTE_MS;
    assert_eq!(
        (&told["event_id"], &told["org.linkspan.disappears_ts"]),
        (&json!(event), &json!(disappears_ts))
    );
    let kept_seconds: u64 = push.header("ttl").parse().expect("a number");
    assert!(kept_seconds <= 60 * 60, "{kept_seconds}");
}

#[tokio::test]
async fn a_subscription_that_has_ended_goes_and_others_are_tried_again() {
    let network = open().await;
    let mut service = PushService::start().await;
    let anna = network.register(INSTAGRAM, "anna").await;
    let ben = network.register(INSTAGRAM, "ben").await;
    let harbour = room(&ben, &anna, "Harbour", json!({})).await;
    for (number, ended) in [(1, 404), (2, 410)] {
        let browser = Browser::new(number);
        browser.subscribe(&anna, &mut service, None).await;
        service.answer(&[500, 429, 201]);
        let event = ben.say(&harbour, "Hello?").await;
        for _ in 0..3 {
            assert_eq!(service.told(&browser).await["event_id"], event, "again and again");
        }
        for refused in [400, 413] {
            service.answer(&[refused]);
            let event = ben.say(&harbour, "Hello?").await;
            assert_eq!(service.told(&browser).await["event_id"], event, "once");
        }
        pushers(&anna, 1).await;
        service.answer(&[ended]);
        let event = ben.say(&harbour, "Hello?").await;
        assert_eq!(service.told(&browser).await["event_id"], event);
        pushers(&anna, 0).await;
    }
    // Who has refused us, because of a clock that was wrong, takes what comes later.
    let refused = Browser::new(3);
    refused.subscribe(&anna, &mut service, None).await;
    service.answer(&[403, 201]);
    let event = ben.say(&harbour, "Hello?").await;
    for _ in 0..2 {
        assert_eq!(service.told(&refused).await["event_id"], event);
    }
    let pusher = pushers(&anna, 1).await.remove(0);
    anna.post(SET, json!({ "kind": null, "app_id": APP, "pushkey": pusher["pushkey"] })).await.ok();
    pushers(&anna, 0).await;
    // A subscription that never was one does not even get its token.
    service.answer(&[410]);
    let browser = Browser::new(4);
    assert_eq!(anna.post(SET, browser.pusher(&service)).await.status, 201);
    service.told(&browser).await;
    pushers(&anna, 0).await;
}

#[tokio::test]
async fn apps_that_are_never_reached_keep_nobody_else_waiting() {
    let network = open().await;
    let mut service = PushService::start().await;
    let mut silent = PushService::start().await;
    silent.set_answering(false);
    let anna = network.register(INSTAGRAM, "anna").await;
    let ben = network.register(INSTAGRAM, "ben").await;
    let carl = network.register(MESSENGER, "carl").await;
    let harbour = room(&ben, &anna, "Harbour", json!({})).await;
    let browser = Browser::new(1);
    browser.subscribe(&anna, &mut service, None).await;
    // As many as can be told something at the same time, and more.
    for number in 1..=80 {
        assert_eq!(carl.post(SET, Browser::new(number).pusher(&silent)).await.status, 201);
    }
    let event = ben.say(&harbour, "Hello!").await;
    assert_eq!(service.told(&browser).await["event_id"], event);
    let mut waiting = 0;
    while silent.pushes.try_recv().is_ok() {
        waiting += 1;
    }
    assert!(waiting < 8, "{waiting} at a time");
}

#[tokio::test]
async fn what_is_gone_when_its_turn_comes_is_not_told() {
    // As many as are told something at the same time.
    const AT_ONCE: u8 = 8;
    let network = open().await;
    let mut service = PushService::start().await;
    let anna = network.register(INSTAGRAM, "anna").await;
    let ben = network.register(INSTAGRAM, "ben").await;
    let harbour = room(&ben, &anna, "Harbour", json!({})).await;
    let mut waiting = HashMap::new();
    for number in 0..=AT_ONCE {
        let browser = Browser::new(number + 1);
        browser.subscribe(&anna, &mut service, None).await;
        waiting.insert(browser.path.clone(), browser);
    }
    service.set_answering(false);
    let event = ben.say(&harbour, "Not for you").await;
    for _ in 0..AT_ONCE {
        let push = service.next().await;
        let browser = waiting.remove(&push.path).expect("each is told once");
        assert_eq!(browser.read(&push)["event_id"], event);
    }
    ben.put(&format!("/v3/rooms/{harbour}/redact/{event}/1"), json!({})).await.ok();
    service.set_answering(true);
    loop {
        let push = service.next().await;
        if let Some(browser) = waiting.get(&push.path) {
            assert_eq!(browser.read(&push).get("event_id"), None);
            break;
        }
    }
}

#[tokio::test]
async fn a_pusher_that_is_set_anew_as_it_was_keeps_what_waits_for_it() {
    let network = open().await;
    let mut service = PushService::start().await;
    let anna = network.register(INSTAGRAM, "anna").await;
    let ben = network.register(INSTAGRAM, "ben").await;
    let harbour = room(&ben, &anna, "Harbour", json!({})).await;
    let browser = Browser::new(1);
    browser.subscribe(&anna, &mut service, None).await;
    service.answer(&[500, 500]);
    service.set_answering(false);
    let event = ben.say(&harbour, "Hello!").await;
    assert_eq!(service.told(&browser).await["event_id"], event);
    assert_eq!(anna.post(SET, browser.pusher(&service)).await.status, 200);
    service.set_answering(true);
    assert_eq!(service.told(&browser).await["event_id"], event, "it failed, and is tried again");
    assert_eq!(anna.post(SET, browser.pusher(&service)).await.status, 200);
    assert_eq!(service.told(&browser).await["event_id"], event);
}

#[tokio::test]
async fn accounts_with_one_subscription_do_not_replace_each_others_messages() {
    let network = open().await;
    let mut service = PushService::start().await;
    let anna = network.register(INSTAGRAM, "anna").await;
    let ben = network.register(INSTAGRAM, "ben").await;
    let carl = network.register(MESSENGER, "carl").await;
    let harbour = room(&ben, &anna, "Harbour", json!({})).await;
    ben.invite(&harbour, &carl).await.ok();
    carl.join(&harbour).await.ok();
    let browser = Browser::new(1);
    for who in [&anna, &carl] {
        browser.subscribe(who, &mut service, None).await;
    }
    ben.say(&harbour, "Hello!").await;
    let (one, other) = (service.next().await, service.next().await);
    let users = [&one, &other].map(|push| browser.read(push)["org.linkspan.user_id"].clone());
    assert!(users.contains(&json!(anna.user_id)) && users.contains(&json!(carl.user_id)), "{users:?}");
    assert_ne!(one.header("topic"), other.header("topic"));
    // What is unread in all of a user's rooms is each user's, too.
    let mut topics = Vec::new();
    for who in [&anna, &carl] {
        let event = text(&browser.read(&one)["event_id"]);
        read(who, &harbour, &event).await;
        topics.push(service.next().await.header("topic").to_owned());
    }
    assert_ne!(topics[0], topics[1]);
}

#[tokio::test]
async fn wrong_subscriptions_are_refused() {
    let network = open().await;
    let service = PushService::start().await;
    let anna = network.register(INSTAGRAM, "anna").await;
    let browser = Browser::new(1);
    let mut good = browser.pusher(&service);
    good["data"]["format"] = json!("event_id_only");
    let long = format!("https://push.example.org/{}", "a".repeat(2048));
    for (path, value) in [
        ("/kind", json!("telegraph")),
        ("/pushkey", json!("key")),
        ("/pushkey", json!(BASE64.encode([4; 65]))),
        ("/pushkey", json!(BASE64.encode(&browser.public()[..64]))),
        ("/data", json!({})),
        ("/data/auth", json!("auth")),
        ("/data/auth", json!(BASE64.encode([1; 15]))),
        ("/data/auth", json!(7)),
        ("/data/url", json!("push")),
        ("/data/url", json!("ftp://push.example.org/")),
        ("/data/url", json!(long)),
        ("/data/format", json!("whole")),
    ] {
        let mut bad = good.clone();
        *bad.pointer_mut(path).expect("it is there") = value.clone();
        let answer = anna.post(SET, bad).await;
        assert_eq!(
            (answer.status.as_u16(), &answer.json["errcode"]),
            (400, &json!("M_INVALID_PARAM")),
            "{path} {value}"
        );
    }
    pushers(&anna, 0).await;
    // Where the world can reach the server, it calls nobody without TLS.
    let real = Network::open_closed("").await;
    let anna = real.register(INSTAGRAM, "anna").await;
    anna.post(SET, good).await.fails(400, "M_INVALID_PARAM");
}

#[tokio::test]
async fn a_push_service_that_does_not_answer_keeps_no_other_platform_waiting() {
    let network = open().await;
    let (mut silent, mut quick) = (PushService::start().await, PushService::start().await);
    let anna = network.register(INSTAGRAM, "anna").await;
    let harbour = anna.create_room(json!({ "preset": "public_chat" })).await;
    // There are more apps than may be told at a time.
    let apps = CALLS_OF_PLATFORM + 8;
    for number in 1..=apps {
        let member = network.register(INSTAGRAM, &format!("member{number}")).await;
        member.join(&harbour).await.ok();
        Browser::new(number).subscribe(&member, &mut silent, None).await;
    }
    let bert = network.register(MESSENGER, "bert").await;
    let carl = network.register(MESSENGER, "carl").await;
    let quay = room(&bert, &carl, "Quay", json!({})).await;
    let browser = Browser::new(200);
    browser.subscribe(&carl, &mut quick, None).await;

    silent.set_answering(false);
    anna.say(&harbour, "Does anybody hear this?").await;
    for _ in 0..CALLS_OF_PLATFORM {
        silent.next().await;
    }
    let said = bert.say(&quay, "Carl does").await;
    assert_eq!(quick.told(&browser).await["event_id"], said);
    assert!(silent.pushes.try_recv().is_err(), "no more than these are called");
    silent.set_answering(true);
    for _ in CALLS_OF_PLATFORM..apps {
        silent.next().await;
    }
}
