//! Push over the in-memory store: rules, counts and pushers, with a small push gateway.

use std::{
    collections::VecDeque,
    marker::PhantomData,
    sync::{Arc, Mutex},
    time::Duration,
};

use linkspan_accounts::{Accounts, put_account_data};
use linkspan_contacts::Contacts;
use linkspan_directory::Directory;
use linkspan_domain::{Pdu, PowerLevels, versions};
use linkspan_inbox::Inbox;
use linkspan_platforms::{Platforms, Settings};
use linkspan_push::{
    Clock, Compiled, Push, PushError, PushEvent, PushSettings, Recipient, RoomContext, UnreadCount,
    UserContext,
};
use linkspan_rooms::{CreateRoom, Preset, ReceiptKind, Rooms};
use linkspan_storage::{
    Faults, Feed, Json, Memory, News, Position, Record, Store, Table, TableId, Value as StoredValue,
    WriteSet,
    catalogue::{
        Accounts as AccountsTable, DeviceKey, Devices, PusherKey, Pushers, UnreadCounts, UserKey, UserRoomKey,
    },
    records::{AccountRecord, DeviceRecord},
};
use ruma::{
    CanonicalJsonObject, OwnedDeviceId, OwnedEventId, OwnedRoomId, OwnedUserId, RoomVersionId,
    api::client::push::{Pusher, PusherIds, PusherInit, PusherKind},
    owned_user_id,
    push::{
        Action, NewPatternedPushRule, NewPushRule, NewSimplePushRule, PushConditionPowerLevelsCtx,
        PushConditionRoomCtx, RuleKind, Ruleset,
    },
    serde::Raw,
};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
    sync::mpsc,
};

const TIMEOUT: Duration = Duration::from_secs(20);

fn anna() -> OwnedUserId {
    owned_user_id!("@anna:a.example")
}

fn ben() -> OwnedUserId {
    owned_user_id!("@ben:b.example")
}

fn cleo() -> OwnedUserId {
    owned_user_id!("@cleo:a.example")
}

struct World {
    store: Store,
    platforms: Arc<Platforms>,
    accounts: Accounts,
    rooms: Rooms,
    push: Push,
    sent: std::sync::atomic::AtomicU64,
    /// What followers are told from the beginning, and the newest position that was read of it.
    told: tokio::sync::Mutex<(Feed, Position)>,
}

fn push_settings(clock: Clock) -> PushSettings {
    PushSettings {
        allow_private_gateways: true,
        first_retry: Duration::from_millis(1),
        badge_delay: Duration::from_millis(1),
        ..PushSettings::new(clock)
    }
}

/// A clock by which all that happens is in the past.
fn later() -> Clock {
    Arc::new(|| 1_000_000)
}

async fn world() -> World {
    world_at(later()).await
}

/// A world with three users whose pushes go by a clock.
async fn world_at(clock: Clock) -> World {
    let world = world_with(Store::in_memory(Memory::new().expect("store")), "optional", clock).await;
    for user_id in [anna(), ben(), cleo()] {
        world.add_user(&user_id).await;
    }
    world
}

/// A world whose first platform has this rule on encryption.
async fn world_over(store: Store, rule: &str) -> World {
    world_with(store, rule, later()).await
}

async fn world_with(store: Store, rule: &str, clock: Clock) -> World {
    let settings = |name: &str, rule: &str| -> Settings {
        let text = json!({ "name": name, "server_name": format!("{name}.example"), "encryption": rule });
        serde_json::from_value(text).expect("settings")
    };
    let settings = vec![settings("a", rule), settings("b", "optional")];
    let told = (store.follow(), store.position()).into();
    let platforms = Platforms::open(&store, settings, 1).await.expect("platforms");
    let platforms = Arc::new(platforms);
    let accounts = Accounts::new(store.clone());
    let directory = Directory::new(store.clone(), platforms.clone());
    let inbox = Inbox::new(store.clone(), 1);
    let contacts = Contacts::new(store.clone(), platforms.clone(), accounts.clone());
    let rooms =
        Rooms::new(store.clone(), platforms.clone(), accounts.clone(), contacts, directory, inbox, || 1);
    let push =
        Push::open(store.clone(), platforms.clone(), accounts.clone(), rooms.clone(), push_settings(clock));
    let push = push.await.expect("push");
    World { store, platforms, accounts, rooms, push, sent: 0.into(), told }
}

fn device_id() -> OwnedDeviceId {
    "PHONE".into()
}

impl World {
    /// Has a push service follow what is committed from now on. Followers are told of a commit a moment after it can be
    /// read, so this waits until they have been told of all that was before.
    async fn follow(&self, push: &Push) {
        let (feed, newest) = &mut *self.told.lock().await;
        while *newest < self.store.position() {
            let news = tokio::time::timeout(TIMEOUT, feed.next()).await.expect("in time");
            let Some(News::Commits(group)) = news else { panic!("the stream broke off: {news:?}") };
            *newest = group.last().expect("a group has commits").position;
        }
        tokio::spawn(push.clone().follow(self.store.follow()));
    }

    async fn add_user(&self, user_id: &OwnedUserId) {
        let mut writes = WriteSet::new();
        let account = AccountRecord {
            password_hash: None,
            created_ts: 1,
            deactivated: false,
            admin: false,
            suspended: false,
            locked: false,
            guest: false,
        };
        writes.put::<AccountsTable>(&UserKey { user_id: user_id.clone() }, &account);
        let device = DeviceRecord {
            display_name: None,
            created_ts: 1,
            last_seen_ts: 1,
            last_seen_ip: None,
            access_token: [0; 32],
            refresh_token: None,
            previous_access_token: None,
            previous_refresh_token: None,
            client_id: None,
            refresh_family: None,
            dehydrated: false,
            shows: None,
            is_visitors: false,
        };
        writes.put::<Devices>(&device_key(user_id), &device);
        self.store.commit(writes).await.expect("commit");
    }

    async fn room(&self, creator: &OwnedUserId, members: &[OwnedUserId]) -> OwnedRoomId {
        let command = CreateRoom {
            version: None,
            preset: Preset::PublicChat,
            published: false,
            alias_name: None,
            name: Some("Harbour".to_owned()),
            topic: None,
            invite: Vec::new(),
            is_direct: false,
            initial_state: Vec::new(),
            creation_content: CanonicalJsonObject::new(),
            power_levels: CanonicalJsonObject::new(),
        };
        let now_ts = 1 + self.sent.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        let room_id = self.rooms.create_room(creator, command, now_ts).await.expect("room");
        for member in members {
            self.rooms.join_room(member, &room_id, None, 1).await.expect("join");
        }
        room_id
    }

    async fn send(&self, sender: &OwnedUserId, room_id: &OwnedRoomId, content: Value) -> OwnedEventId {
        let txn = self.sent.fetch_add(1, std::sync::atomic::Ordering::Relaxed).to_string();
        let content = content.to_string();
        self.rooms
            .send_message(sender, &device_id(), room_id, "m.room.message", &content, Vec::new(), &txn, 1)
            .await
            .expect("send")
    }

    async fn say(&self, sender: &OwnedUserId, room_id: &OwnedRoomId, body: &str) -> OwnedEventId {
        self.send(sender, room_id, json!({ "msgtype": "m.text", "body": body })).await
    }

    async fn say_in_thread(
        &self,
        sender: &OwnedUserId,
        room_id: &OwnedRoomId,
        root: &OwnedEventId,
        content: Value,
    ) -> OwnedEventId {
        let mut content = content;
        content["m.relates_to"] = json!({ "rel_type": "m.thread", "event_id": root });
        self.send(sender, room_id, content).await
    }

    async fn read(
        &self,
        user_id: &OwnedUserId,
        room_id: &OwnedRoomId,
        thread: &str,
        event_id: &OwnedEventId,
    ) {
        self.rooms
            .set_receipt(user_id, room_id, ReceiptKind::Private, thread, event_id, 1)
            .await
            .expect("receipt");
    }

    /// The counts of the main timeline, and then those of threads, as (notify, highlight).
    async fn unread(&self, user_id: &OwnedUserId, room_id: &OwnedRoomId) -> ((u64, u64), Vec<(u64, u64)>) {
        let unread = self.push.unread(user_id, room_id).await.expect("unread");
        let pair = |count: &UnreadCount| (count.notify, count.highlight);
        (pair(&unread.main), unread.threads.values().map(pair).collect())
    }

    /// Opens push again over the same store.
    async fn reopened(&self) -> Push {
        let Self { store, platforms, accounts, rooms, .. } = self;
        let (store, platforms) = (store.clone(), platforms.clone());
        Push::open(store, platforms, accounts.clone(), rooms.clone(), push_settings(later()))
            .await
            .expect("push")
    }

    async fn set_pusher(&self, user_id: &OwnedUserId, url: &str, only_ids: bool) {
        self.push.set_pusher(user_id, &device_id(), pusher(url, only_ids), false).await.expect("pusher");
    }
}

fn device_key(user_id: &OwnedUserId) -> DeviceKey {
    DeviceKey { user_id: user_id.clone(), device_id: device_id() }
}

fn pusher(url: &str, only_ids: bool) -> Pusher {
    let mut data = json!({ "url": url, "brand": "test" });
    if only_ids {
        data["format"] = json!("event_id_only");
    }
    PusherInit {
        ids: PusherIds::new("key".to_owned(), "org.example.app".to_owned()),
        kind: PusherKind::Http(serde_json::from_value(data).expect("data")),
        app_display_name: "App".to_owned(),
        device_display_name: "Phone".to_owned(),
        profile_tag: None,
        lang: "en".to_owned(),
    }
    .into()
}

fn text_rule(id: &str, pattern: &str, actions: Vec<Action>) -> NewPushRule {
    NewPushRule::Content(NewPatternedPushRule::new(id.to_owned(), pattern.to_owned(), actions))
}

// Evaluation

fn event(sender: &str, event_type: &str, state_key: Option<&str>, content: Value) -> Pdu {
    let mut json = json!({
        "room_id": "!room:a.example",
        "sender": sender,
        "type": event_type,
        "content": content,
        "origin_server_ts": 1,
        "depth": 1,
        "prev_events": [],
        "auth_events": [],
    });
    if let Some(state_key) = state_key {
        json["state_key"] = state_key.into();
    }
    Pdu::from_stored("$event".try_into().expect("id"), &json.to_string()).expect("event")
}

fn power_levels() -> PowerLevels {
    let rules = versions::rules(&RoomVersionId::V11).expect("rules");
    let create = event("@boss:a.example", "m.room.create", Some(""), json!({}));
    let levels = json!({ "users": { "@boss:a.example": 100 }, "notifications": { "room": 50 } });
    let levels = event("@boss:a.example", "m.room.power_levels", Some(""), levels);
    PowerLevels::new(&rules, &create, Some(&levels))
}

fn recipient(ruleset: &Ruleset, user_id: &OwnedUserId) -> Recipient {
    let rules = Arc::new(Compiled::new(ruleset, user_id));
    Recipient { user_id: user_id.clone(), rules, ignored: Arc::default() }
}

/// What the default rules say to anna about an event, as (notify, highlight).
fn by_default(member_count: u64, event: &Pdu) -> (bool, bool) {
    let power_levels = power_levels();
    let room = RoomContext { member_count, power_levels: &power_levels };
    let recipient = recipient(&Ruleset::server_default(&anna()), &anna());
    let prepared = PushEvent::new(event);
    let evaluation =
        recipient.evaluate(&prepared, UserContext { name: Some("Anna"), subscribed: None }, room);
    (evaluation.notify, evaluation.highlight)
}

fn message(sender: &str, content: Value) -> Pdu {
    event(sender, "m.room.message", None, content)
}

#[test]
fn default_rules_say_what_notifies() {
    let ben = "@ben:b.example";
    let said = json!({ "msgtype": "m.text", "body": "hello" });
    assert_eq!(by_default(3, &message(ben, said.clone())), (true, false));
    assert_eq!(by_default(3, &message("@anna:a.example", said)), (false, false), "her own");
    let notice = json!({ "msgtype": "m.notice", "body": "beep" });
    assert_eq!(by_default(3, &message(ben, notice)), (false, false));
    let edit = json!({ "body": "* hi", "m.relates_to": { "rel_type": "m.replace", "event_id": "$a" } });
    assert_eq!(by_default(3, &message(ben, edit)), (false, false));
    let reaction = json!({ "m.relates_to": { "rel_type": "m.annotation", "event_id": "$a", "key": "+" } });
    assert_eq!(by_default(3, &event(ben, "m.reaction", None, reaction)), (false, false));
    let encrypted = event(ben, "m.room.encrypted", None, json!({ "algorithm": "x" }));
    assert_eq!(by_default(3, &encrypted), (true, false));
    let joined = event(ben, "m.room.member", Some(ben), json!({ "membership": "join" }));
    assert_eq!(by_default(3, &joined), (false, false));
    let invited = event(ben, "m.room.member", Some("@anna:a.example"), json!({ "membership": "invite" }));
    assert_eq!(by_default(3, &invited), (true, false));
    assert_eq!(by_default(3, &event(ben, "m.room.tombstone", Some(""), json!({}))), (true, true));
    assert_eq!(by_default(3, &event(ben, "m.room.tombstone", Some("x"), json!({}))), (false, false));
}

#[test]
fn mentions_stand_out() {
    let said = |mentions: Value| json!({ "msgtype": "m.text", "body": "anna", "m.mentions": mentions });
    let anna = json!({ "user_ids": ["@cleo:a.example", "@anna:a.example"] });
    assert_eq!(by_default(3, &message("@ben:b.example", said(anna))), (true, true));
    assert_eq!(by_default(3, &message("@ben:b.example", said(json!({ "user_ids": [] })))), (true, false));
    let room = json!({ "room": true });
    assert_eq!(by_default(3, &message("@boss:a.example", said(room.clone()))), (true, true));
    assert_eq!(by_default(3, &message("@ben:b.example", said(room))), (true, false), "too little power");
}

#[test]
fn two_people_alone_hear_a_sound() {
    let power_levels = power_levels();
    let recipient = recipient(&Ruleset::server_default(&anna()), &anna());
    let pdu = message("@ben:b.example", json!({ "body": "hello" }));
    let prepared = PushEvent::new(&pdu);
    let sounds = |member_count| {
        let room = RoomContext { member_count, power_levels: &power_levels };
        let evaluation = recipient.evaluate(&prepared, UserContext::default(), room);
        evaluation.actions.iter().any(|action| action.sound().is_some())
    };
    assert!(sounds(2));
    assert!(!sounds(3));
}

/// Changes that are all decided by the same rules, since none is on disk before the last was decided.
#[tokio::test]
async fn rules_that_are_put_at_once_are_all_kept() {
    let engine = Memory::with_faults(Faults::default()).expect("an engine");
    let world = world_over(Store::in_memory(engine.clone()), "optional").await;
    world.add_user(&anna()).await;
    let held = engine.hold_disk().expect("a disk");
    let id = anna();
    let put = |word| world.push.put_rule(&id, text_rule(word, word, vec![Action::Notify]), None, None);
    let (ferry, bridge, quay, ()) =
        tokio::join!(put("ferry"), put("bridge"), put("quay"), async { drop(held) });
    [ferry, bridge, quay].into_iter().for_each(|put| put.expect("put"));
    for word in ["ferry", "bridge", "quay"] {
        world.push.rule(&anna(), RuleKind::Content, word).await.expect("it is kept");
    }
}

#[tokio::test]
async fn compiled_rules_say_what_ruma_says() {
    let rule = |id: &str, conditions: Value| {
        json!({ "rule_id": id, "default": false, "enabled": true, "conditions": conditions,
                "actions": ["notify", { "set_tweak": "sound", "value": id }] })
    };
    let patterns = ["cake", "c?ke", "ca*", "*", "*ke", "übel", "a b", "@anna", "ANNA", ""];
    let mut underride = vec![];
    let keys =
        ["content.body", "content.msgtype", "type", "sender", "room_id", "content.a\\.b", "content.no"];
    for key in keys {
        for pattern in patterns {
            underride.push(vec![json!({ "kind": "event_match", "key": key, "pattern": pattern })]);
        }
    }
    for value in [json!("x"), json!(3), json!(true), json!(null)] {
        for key in ["content.flag", "content.list", "content.deep.flag", "content.m\\.mentions.room", "type"]
        {
            underride.push(vec![json!({ "kind": "event_property_is", "key": key, "value": value })]);
            underride.push(vec![json!({ "kind": "event_property_contains", "key": key, "value": value })]);
        }
    }
    for is in ["2", "==3", ">2", "<3", ">=3", "<=2"] {
        underride.push(vec![json!({ "kind": "room_member_count", "is": is })]);
    }
    underride.push(vec![json!({ "kind": "contains_display_name" })]);
    underride.push(vec![json!({ "kind": "sender_notification_permission", "key": "room" })]);
    underride.push(vec![json!({ "kind": "of another world" })]);
    let contents = [
        json!({ "body": "cake", "msgtype": "cake" }),
        json!({ "body": "A Cake, a CAKE! cakes" }),
        json!({ "body": "cupcake_anna Übel @ANNA:a" }),
        json!({ "body": "die Anna übel", "a.b": "cake" }),
        json!({ "body": "a  b a b", "flag": "x", "list": ["x", 3, true, null, {"y": 1}], "deep": { "flag": 3 } }),
        json!({ "body": "", "flag": null, "list": [], "deep": { "flag": null }, "m.mentions": { "room": true } }),
        json!({ "body": 7, "flag": 3, "list": "x" }),
        json!({}),
    ];
    let power_levels = power_levels();
    let v11 = versions::rules(&RoomVersionId::V11).expect("rules");
    for conditions in underride {
        let ruleset: Ruleset =
            serde_json::from_value(json!({ "underride": [rule("r", conditions.clone().into())] }))
                .expect("rules");
        let recipient = recipient(&ruleset, &anna());
        for (content, sender) in
            contents.iter().zip(["@ben:b.example", "@boss:a.example"].into_iter().cycle())
        {
            for member_count in [2, 3] {
                let pdu = message(sender, content.clone());
                let room = RoomContext { member_count, power_levels: &power_levels };
                let ours = recipient
                    .evaluate(
                        &PushEvent::new(&pdu),
                        UserContext { name: Some("Anna"), subscribed: None },
                        room,
                    )
                    .notify;
                let raw = linkspan_domain::ClientEvent::new(&pdu, Default::default()).to_json();
                let raw: Raw<Value> = Raw::from_json(raw);
                let ctx = PushConditionRoomCtx::new(
                    pdu.room_id.clone(),
                    (member_count as u32).into(),
                    anna(),
                    "Anna".to_owned(),
                )
                .with_power_levels(PushConditionPowerLevelsCtx::new(
                    [(owned_user_id!("@boss:a.example"), 100.into())].into(),
                    0.into(),
                    Default::default(),
                    ruma::room_version_rules::RoomPowerLevelsRules::new(&v11.authorization, None),
                ));
                let theirs = !ruleset.get_actions(&raw, &ctx).await.is_empty();
                assert_eq!(ours, theirs, "{conditions:?} on {content} from {sender}, {member_count} members");
            }
        }
    }
}

// Rules

async fn rule_order(push: &Push) -> Vec<String> {
    let ruleset = push.ruleset(&anna()).await.expect("rules");
    ruleset.content.iter().map(|rule| rule.rule_id.clone()).collect()
}

#[tokio::test]
async fn rules_stay_where_they_are_put() {
    let world = world().await;
    let push = &world.push;
    let put = |id: &'static str, after: Option<&'static str>, before: Option<&'static str>| async move {
        push.put_rule(&anna(), text_rule(id, id, vec![Action::Notify]), after, before).await
    };
    put("a", None, None).await.expect("put");
    put("b", None, None).await.expect("put");
    assert_eq!(rule_order(push).await, ["b", "a"], "a new one comes first");
    put("c", Some("b"), None).await.expect("put");
    put("d", None, Some("a")).await.expect("put");
    assert_eq!(rule_order(push).await, ["b", "c", "d", "a"]);
    put("b", Some("a"), None).await.expect("move behind the last");
    assert_eq!(rule_order(push).await, ["c", "d", "a", "b"]);
    put("d", None, None).await.expect("replace");
    assert_eq!(rule_order(push).await, ["c", "d", "a", "b"], "a replaced one stays");
    put("d", Some("a"), Some("b")).await.expect("put");
    assert_eq!(rule_order(push).await, ["c", "a", "d", "b"]);
    assert!(matches!(put("x", Some("b"), Some("c")).await, Err(PushError::Misplaced(_))));
    assert!(matches!(put("x", Some("nobody"), None).await, Err(PushError::Misplaced(_))));
    assert!(matches!(put("a", Some("a"), None).await, Err(PushError::Misplaced(_))));
    assert!(matches!(put("x", Some(".m.rule.master"), None).await, Err(PushError::Misplaced(_))));
    assert!(matches!(put(".mine", None, None).await, Err(PushError::Misplaced(_))));
    assert!(matches!(put("a/b", None, None).await, Err(PushError::Invalid(_))));
    assert_eq!(rule_order(push).await, ["c", "a", "d", "b"], "what fails changes nothing");
    assert_eq!(rule_order(&world.reopened().await).await, ["c", "a", "d", "b"]);
}

#[tokio::test]
async fn rules_of_the_server_can_be_changed_but_not_removed() {
    let world = world().await;
    let (push, user) = (&world.push, anna());
    let room_id = world.room(&ben(), &[user.clone(), cleo()]).await;
    let id = ".m.rule.message";
    let delete = push.delete_rule(&user, RuleKind::Underride, id).await;
    assert!(matches!(delete, Err(PushError::Invalid(_))));
    assert!(matches!(push.delete_rule(&user, RuleKind::Room, "!x").await, Err(PushError::NoSuchRule)));
    let enable = push.set_rule_enabled(&user, RuleKind::Override, id, false).await;
    assert!(matches!(enable, Err(PushError::NoSuchRule)), "it is of another kind");

    world.say(&ben(), &room_id, "one").await;
    assert_eq!(world.unread(&user, &room_id).await.0, (1, 0));
    push.set_rule_enabled(&user, RuleKind::Underride, id, false).await.expect("disable");
    assert!(!push.rule(&user, RuleKind::Underride, id).await.expect("rule").enabled());
    world.say(&ben(), &room_id, "two").await;
    assert_eq!(world.unread(&user, &room_id).await.0, (1, 0));
    push.set_rule_enabled(&user, RuleKind::Underride, id, true).await.expect("enable");
    push.set_rule_actions(&user, RuleKind::Underride, id, vec![]).await.expect("actions");
    world.say(&ben(), &room_id, "three").await;
    assert_eq!(world.unread(&user, &room_id).await.0, (1, 0));
    let content: Value =
        serde_json::from_str(&push.push_rules_content(&ben()).await.expect("rules")).expect("JSON");
    assert_eq!(
        content["global"]["override"][0]["rule_id"], ".m.rule.master",
        "who changed none has rules too"
    );
}

#[tokio::test]
async fn rules_have_limits() {
    let world = world().await;
    let put = |rule| world.push.put_rule(&ANNA, rule, None, None);
    static ANNA: std::sync::LazyLock<OwnedUserId> = std::sync::LazyLock::new(anna);
    let long = "?".repeat(400);
    assert!(matches!(put(text_rule("a", &long, vec![])).await, Err(PushError::Invalid(_))));
    let long = "x".repeat(2000);
    assert!(matches!(put(text_rule("a", &long, vec![])).await, Err(PushError::Invalid(_))));
    assert!(matches!(put(text_rule(&long, "a", vec![])).await, Err(PushError::Invalid(_))));
    let many = vec![Action::Notify; 100];
    assert!(matches!(put(text_rule("a", "a", many)).await, Err(PushError::Invalid(_))));
}

#[tokio::test]
async fn a_muted_room_and_a_keyword_count_for_whom_they_are_set() {
    let world = world().await;
    let muted = world.room(&ben(), &[anna(), cleo()]).await;
    let rule = NewPushRule::Room(NewSimplePushRule::new(muted.clone(), vec![]));
    world.push.put_rule(&anna(), rule, None, None).await.expect("put");
    let highlight: Vec<Action> =
        serde_json::from_value(json!(["notify", { "set_tweak": "highlight" }])).expect("actions");
    world.push.put_rule(&anna(), text_rule("k", "ferry", highlight), None, None).await.expect("put");
    world.say(&ben(), &muted, "The boat is late").await;
    world.say(&ben(), &muted, "The FERRY is late").await;
    assert_eq!(world.unread(&anna(), &muted).await.0, (1, 1), "keywords come before rooms");
    assert_eq!(world.unread(&cleo(), &muted).await.0, (2, 0));
}

// Counts

#[tokio::test]
async fn receipts_take_away_what_they_cover() {
    let world = world().await;
    let room_id = world.room(&ben(), &[]).await;
    world.say(&ben(), &room_id, "before anna came").await;
    world.rooms.join_room(&anna(), &room_id, None, 1).await.expect("join");
    world.rooms.join_room(&cleo(), &room_id, None, 1).await.expect("join");
    assert_eq!(world.unread(&anna(), &room_id).await.0, (0, 0));
    let first = world.say(&ben(), &room_id, "one").await;
    let mention = json!({ "body": "anna", "m.mentions": { "user_ids": [anna()] } });
    world.send(&ben(), &room_id, mention).await;
    let third = world.say(&ben(), &room_id, "three").await;
    assert_eq!(world.unread(&anna(), &room_id).await.0, (3, 1));
    world.read(&anna(), &room_id, "", &first).await;
    assert_eq!(world.unread(&anna(), &room_id).await.0, (2, 1));
    world.read(&anna(), &room_id, "main", &third).await;
    assert_eq!(world.unread(&anna(), &room_id).await.0, (0, 0));
    assert_eq!(world.unread(&cleo(), &room_id).await.0, (3, 0), "others count for themselves");
    world.say(&cleo(), &room_id, "an answer").await;
    assert_eq!(world.unread(&cleo(), &room_id).await.0, (0, 0), "who answers has read");
    assert_eq!(world.unread(&anna(), &room_id).await.0, (1, 0));
}

#[tokio::test]
async fn threads_count_for_themselves() {
    let world = world().await;
    let room_id = world.room(&ben(), &[anna(), cleo()]).await;
    let root = world.say(&ben(), &room_id, "root").await;
    let said = json!({ "body": "in a thread" });
    let mention = json!({ "body": "anna", "m.mentions": { "user_ids": [anna()] } });
    let in_thread = world.say_in_thread(&ben(), &room_id, &root, said.clone()).await;
    let last_in_thread = world.say_in_thread(&ben(), &room_id, &root, mention).await;
    let other = world.say(&ben(), &room_id, "another root").await;
    world.say_in_thread(&cleo(), &room_id, &other, said.clone()).await;
    let (main, mut threads) = world.unread(&anna(), &room_id).await;
    threads.sort_unstable();
    assert_eq!((main, threads), ((2, 0), vec![(1, 0), (2, 1)]));
    let total = world.push.unread(&anna(), &room_id).await.expect("unread").total();
    assert_eq!((total.notify, total.highlight), (5, 1));

    world.read(&anna(), &room_id, root.as_str(), &in_thread).await;
    let (main, mut threads) = world.unread(&anna(), &room_id).await;
    threads.sort_unstable();
    assert_eq!((main, threads), ((2, 0), vec![(1, 0), (1, 1)]), "only its thread");
    world.read(&anna(), &room_id, "main", &other).await;
    assert_eq!(world.unread(&anna(), &room_id).await.0, (0, 0));
    assert_eq!(world.unread(&anna(), &room_id).await.1.len(), 2, "threads stay unread");
    world.read(&anna(), &room_id, "", &last_in_thread).await;
    assert_eq!(world.unread(&anna(), &room_id).await, ((0, 0), vec![(1, 0)]), "all up to there");
    world.say_in_thread(&anna(), &room_id, &other, said).await;
    assert_eq!(world.unread(&anna(), &room_id).await, ((0, 0), vec![]), "an answer reads its thread");
}

/// What is related to a reply counts in the reply's thread.
/// <https://spec.matrix.org/v1.19/client-server-api/#threaded-read-receipts>
#[tokio::test]
async fn what_hangs_on_a_reply_counts_in_its_thread() {
    let world = world().await;
    let room_id = world.room(&ben(), &[anna(), cleo()]).await;
    let root = world.say(&ben(), &room_id, "root").await;
    let reply = world.say_in_thread(&ben(), &room_id, &root, json!({ "body": "reply" })).await;
    let related = async |rel_type: &str, event_id: &OwnedEventId| {
        let relation = json!({ "rel_type": rel_type, "event_id": event_id });
        let content =
            json!({ "body": "x", "m.mentions": { "user_ids": [anna()] }, "m.relates_to": relation });
        world.send(&ben(), &room_id, content).await
    };
    world.read(&anna(), &room_id, "", &reply).await;
    let edit = related("m.replace", &reply).await;
    let reference = related("m.reference", &edit).await;
    assert_eq!(world.unread(&anna(), &room_id).await, ((0, 0), vec![(2, 2)]));
    // There is one relation more than are followed, and a relation to the root itself.
    related("m.reference", &reference).await;
    related("m.reference", &root).await;
    assert_eq!(world.unread(&anna(), &room_id).await, ((2, 2), vec![(2, 2)]));
    let listed = world.push.notifications(&anna(), None, 10, false).await.expect("notifications");
    assert_eq!(listed.notifications.iter().filter(|one| !one.read).count(), 4);

    world.read(&anna(), &room_id, root.as_str(), &edit).await;
    assert_eq!(world.unread(&anna(), &room_id).await, ((2, 2), vec![(1, 1)]));
    world.read(&anna(), &room_id, root.as_str(), &reference).await;
    assert_eq!(world.unread(&anna(), &room_id).await, ((2, 2), vec![]), "a receipt of the thread clears it");
    let listed = world.push.notifications(&anna(), None, 10, false).await.expect("notifications");
    assert_eq!(listed.notifications.iter().filter(|one| !one.read).count(), 2);

    // A user who reacts to a reply has read the thread, but not the main timeline.
    related("m.reference", &reply).await;
    let relation = json!({ "rel_type": "m.annotation", "event_id": reply, "key": "👍" });
    world.send(&anna(), &room_id, json!({ "body": "x", "m.relates_to": relation })).await;
    assert_eq!(world.unread(&anna(), &room_id).await, ((2, 2), vec![]));
}

#[tokio::test]
async fn the_ignored_and_the_redacted_do_not_count() {
    let world = world().await;
    let room_id = world.room(&ben(), &[anna(), cleo()]).await;
    let mut writes = WriteSet::new();
    let ignored = json!({ "ignored_users": { "@cleo:a.example": {} } }).to_string();
    put_account_data(&mut writes, &anna(), None, "m.ignored_user_list", ignored);
    world.store.commit(writes).await.expect("commit");
    world.say(&cleo(), &room_id, "heard by nobody").await;
    let regretted = world.say(&ben(), &room_id, "regretted").await;
    assert_eq!(world.unread(&anna(), &room_id).await.0, (1, 0));
    world.rooms.redact_event(&ben(), &device_id(), &room_id, &regretted, None, "r", 1).await.expect("redact");
    assert_eq!(world.unread(&anna(), &room_id).await.0, (0, 0));
    assert_eq!(world.reopened().await.unread(&anna(), &room_id).await.expect("unread").main.notify, 0);
}

#[tokio::test]
async fn a_restart_goes_on_from_stored_counts() {
    let world = world().await;
    let room_id = world.room(&ben(), &[anna(), cleo()]).await;
    let mut said = Vec::new();
    for number in 0..120 {
        said.push(world.say(&ben(), &room_id, &number.to_string()).await);
    }
    let in_thread = world.say_in_thread(&ben(), &room_id, &said[0], json!({ "body": "t" })).await;
    assert_eq!(world.unread(&anna(), &room_id).await, ((120, 0), vec![(1, 0)]));
    // The counts are stored by a commit that nobody waits for, and any later commit is on disk after it.
    world.say(&ben(), &room_id, "later").await;
    let key = UserRoomKey { user_id: anna(), room_id: room_id.clone() };
    let stored = world.store.get::<UnreadCounts>(&key).await.expect("get").expect("stored");
    assert_eq!((stored.notify, stored.threads.len()), (120, 1));

    let push = world.reopened().await;
    assert_eq!(push.unread(&anna(), &room_id).await.expect("unread").main.notify, 121);
    world.read(&anna(), &room_id, "main", &said[99]).await;
    let unread = push.unread(&anna(), &room_id).await.expect("unread");
    assert_eq!((unread.main.notify, unread.total().notify), (21, 22), "counted anew from the receipt");
    let push = world.reopened().await;
    let unread = push.unread(&anna(), &room_id).await.expect("unread");
    assert_eq!((unread.main.notify, unread.total().notify), (21, 22), "a receipt that came meanwhile");
    world.read(&anna(), &room_id, "", &in_thread).await;
    let unread = push.unread(&anna(), &room_id).await.expect("unread");
    assert_eq!((unread.main.notify, unread.total().notify), (1, 1));
}

/// A message that disappears has the numbers of a restart counted anew.
#[tokio::test]
async fn what_was_said_before_somebody_came_is_not_unread_to_them() {
    let world = world_at(Arc::new(|| 1_000)).await;
    let room_id = world.room(&ben(), &[cleo()]).await;
    for before in ["one", "two", "three"] {
        world.say(&ben(), &room_id, before).await;
    }
    world.rooms.join_room(&anna(), &room_id, None, 1).await.expect("join");
    let of_timer = "com.beeper.disappearing_timer";
    let timer = json!({ "type": "after_send", "timer": 5_000 }).to_string();
    world.rooms.set_state(&ben(), &room_id, of_timer, "", &timer, 1).await.expect("set");
    world.say(&ben(), &room_id, "for five seconds").await;
    world.rooms.set_state(&ben(), &room_id, of_timer, "", "{}", 1).await.expect("set");
    for number in 0..120 {
        world.say(&ben(), &room_id, &number.to_string()).await;
    }
    assert_eq!(world.unread(&anna(), &room_id).await.0, (121, 0));
    // The counts are on disk with the next message.
    world.say(&ben(), &room_id, "later").await;
    let key = UserRoomKey { user_id: anna(), room_id: room_id.clone() };
    assert_eq!(world.store.get::<UnreadCounts>(&key).await.expect("get").expect("stored").notify, 121);
    let push = world.reopened().await;
    assert_eq!(push.unread(&anna(), &room_id).await.expect("unread").main.notify, 121, "without the one");
}

/// More than are remembered one by one.
#[tokio::test]
async fn many_that_are_counted_anew_are_all_counted() {
    let world = world().await;
    let room_id = world.room(&ben(), &[anna(), cleo()]).await;
    let mut said = Vec::new();
    for number in 0..600 {
        said.push(world.say(&ben(), &room_id, &number.to_string()).await);
    }
    assert_eq!(world.unread(&anna(), &room_id).await.0, (600, 0));
    world.read(&anna(), &room_id, "", &said[9]).await;
    assert_eq!(world.unread(&anna(), &room_id).await.0, (590, 0));
    world.read(&anna(), &room_id, "", &said[499]).await;
    assert_eq!(world.unread(&anna(), &room_id).await.0, (100, 0));
}

#[tokio::test]
async fn a_changed_name_is_not_a_new_start_and_a_return_is() {
    let world = world().await;
    let room_id = world.room(&ben(), &[anna(), cleo()]).await;
    world.say(&ben(), &room_id, "one").await;
    let name = json!({ "membership": "join", "displayname": "Anna" }).to_string();
    world.rooms.set_state(&anna(), &room_id, "m.room.member", anna().as_str(), &name, 1).await.expect("name");
    assert_eq!(world.unread(&anna(), &room_id).await.0, (1, 0));
    world.rooms.leave_room(&anna(), &room_id, None, 1).await.expect("leave");
    world.say(&ben(), &room_id, "while she is away").await;
    world.rooms.join_room(&anna(), &room_id, None, 1).await.expect("join");
    assert_eq!(world.unread(&anna(), &room_id).await.0, (0, 0));
    assert_eq!(world.reopened().await.unread(&anna(), &room_id).await.expect("unread").main.notify, 0);
}

#[tokio::test]
async fn notifications_are_listed_newest_first() {
    let world = world().await;
    let (one, two) = (world.room(&ben(), &[anna()]).await, world.room(&ben(), &[anna(), cleo()]).await);
    let mut sent = Vec::new();
    for number in 0..5 {
        sent.push(world.say(&ben(), if number % 2 == 0 { &one } else { &two }, "hello").await);
        world.say(&anna(), &one, "my own").await;
    }
    let mention = json!({ "body": "anna", "m.mentions": { "user_ids": [anna()] } });
    sent.push(world.send(&ben(), &two, mention).await);
    let (mut listed, mut from) = (Vec::new(), None);
    loop {
        let page = world.push.notifications(&anna(), from.as_deref(), 2, false).await.expect("page");
        listed.extend(page.notifications.iter().map(|notification| notification.event.pdu.event_id.clone()));
        from = page.next;
        if from.is_none() {
            break;
        }
    }
    listed.reverse();
    assert_eq!(listed, sent);
    let page = world.push.notifications(&anna(), None, 10, true).await.expect("page");
    assert_eq!(page.notifications.len(), 1);
    assert!(!page.notifications[0].read);
    assert!(world.push.notifications(&anna(), Some("x"), 10, true).await.is_err());
}

#[tokio::test]
async fn what_a_rule_on_encryption_hides_notifies_nobody() {
    let world = world().await;
    let room_id = world.room(&ben(), &[anna()]).await;
    world.say(&ben(), &room_id, "said when there was no rule").await;
    assert_eq!(world.unread(&anna(), &room_id).await.0, (1, 0));
    let world = world_over(world.store.clone(), "required").await;
    assert_eq!(world.unread(&anna(), &room_id).await.0, (0, 0));
    let page = world.push.notifications(&anna(), None, 10, false).await.expect("page");
    assert!(page.notifications.is_empty(), "{page:?}");
}

// Pushers

#[tokio::test]
async fn an_app_belongs_to_who_used_it_last_unless_told_otherwise() {
    let world = world().await;
    let url = "https://push.example/_matrix/push/v1/notify";
    world.set_pusher(&anna(), url, false).await;
    world.push.set_pusher(&cleo(), &device_id(), pusher(url, false), true).await.expect("append");
    let count = async |user_id: OwnedUserId| world.push.pushers(&user_id).await.expect("pushers").len();
    assert_eq!((count(anna()).await, count(cleo()).await), (1, 1));
    world.set_pusher(&cleo(), url, false).await;
    assert_eq!((count(anna()).await, count(cleo()).await), (0, 1));
    world.set_pusher(&ben(), url, false).await;
    assert_eq!((count(cleo()).await, count(ben()).await), (1, 1), "another platform is another world");
    world.push.remove_pushers_of_device(&cleo(), &OwnedDeviceId::from("OTHER")).await.expect("remove");
    assert_eq!(count(cleo()).await, 1);
    world.push.remove_pushers_of_device(&cleo(), &device_id()).await.expect("remove");
    assert_eq!(count(cleo()).await, 0);
}

#[tokio::test]
async fn pushers_are_checked() {
    let world = world().await;
    let set = async |pusher| world.push.set_pusher(&anna(), &device_id(), pusher, false).await;
    let url = "https://push.example/_matrix/push/v1/notify";
    for bad in ["ftp://push.example/_matrix/push/v1/notify", "https://push.example/other", "nonsense"] {
        assert!(matches!(set(pusher(bad, false)).await, Err(PushError::Invalid(_))), "{bad}");
    }
    let mut long = pusher(url, false);
    long.ids.app_id = "a".repeat(65);
    assert!(matches!(set(long).await, Err(PushError::Invalid(_))));
    let mut format = pusher(url, false);
    format.kind =
        PusherKind::Http(serde_json::from_value(json!({ "url": url, "format": "all" })).expect("data"));
    assert!(matches!(set(format).await, Err(PushError::Invalid(_))));
    for number in 0..100 {
        let mut one = pusher(url, false);
        one.ids.pushkey = number.to_string();
        set(one).await.expect("pusher");
    }
    assert!(matches!(set(pusher(url, false)).await, Err(PushError::Invalid(_))), "too many");
}

/// A push gateway. It passes on what it is told, and answers as the test says or else with an empty list.
struct TestGateway {
    url: String,
    told: mpsc::UnboundedReceiver<Value>,
    answers: Arc<Mutex<VecDeque<(u16, Value)>>>,
    /// It answers nobody while somebody holds this.
    gate: Arc<tokio::sync::Mutex<()>>,
}

impl TestGateway {
    async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("listener");
        let url = format!("http://{}/_matrix/push/v1/notify", listener.local_addr().expect("address"));
        let (tell, told) = mpsc::unbounded_channel();
        let answers = Arc::new(Mutex::new(VecDeque::new()));
        let queue = answers.clone();
        let gate = Arc::new(tokio::sync::Mutex::new(()));
        let closed = gate.clone();
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                let (tell, queue, closed) = (tell.clone(), queue.clone(), closed.clone());
                tokio::spawn(async move {
                    while let Some(body) = read_request(&mut stream).await {
                        let answer = queue.lock().expect("lock").pop_front();
                        let (status, answer) = answer.unwrap_or((200, json!({ "rejected": [] })));
                        let answer = answer.to_string();
                        let head = format!("HTTP/1.1 {status} X\r\ncontent-length: {}\r\n\r\n", answer.len());
                        let _ = tell.send(body);
                        drop(closed.lock().await);
                        stream.write_all((head + &answer).as_bytes()).await.expect("answer");
                    }
                });
            }
        });
        Self { url, told, answers, gate }
    }

    fn answer(&self, status: u16, answer: Value) {
        self.answers.lock().expect("lock").push_back((status, answer));
    }

    async fn next(&mut self) -> Value {
        let told = tokio::time::timeout(TIMEOUT, self.told.recv()).await.expect("in time").expect("told");
        told["notification"].clone()
    }
}

async fn read_request(stream: &mut tokio::net::TcpStream) -> Option<Value> {
    let mut bytes = Vec::new();
    loop {
        if let Some(end) = bytes.windows(4).position(|window| window == b"\r\n\r\n") {
            let head = String::from_utf8_lossy(&bytes[..end]).to_lowercase();
            let length = head.lines().find_map(|line| line.strip_prefix("content-length: "))?;
            let length: usize = length.parse().ok()?;
            if bytes.len() >= end + 4 + length {
                return serde_json::from_slice(&bytes[end + 4..end + 4 + length]).ok();
            }
        }
        if stream.read_buf(&mut bytes).await.ok()? == 0 {
            return None;
        }
    }
}

async fn until(what: &str, mut holds: impl AsyncFnMut() -> bool) {
    let wait = async {
        while !holds().await {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(TIMEOUT, wait).await.unwrap_or_else(|_| panic!("not in time: {what}"));
}

#[tokio::test]
async fn gateways_are_told_and_the_badge_follows() {
    let world = world().await;
    let mut gateway = TestGateway::start().await;
    let room_id = world.room(&ben(), &[anna(), cleo()]).await;
    let other = world.room(&ben(), &[anna()]).await;
    world.say(&ben(), &other, "nobody was told of this").await;
    world.follow(&world.push).await;
    world.set_pusher(&anna(), &gateway.url, false).await;

    let said = world.say(&ben(), &room_id, "hello").await;
    let told = gateway.next().await;
    assert_eq!(told["event_id"], said.as_str());
    assert_eq!(told["room_id"], room_id.as_str());
    assert_eq!((&told["type"], &told["sender"]), (&json!("m.room.message"), &json!("@ben:b.example")));
    assert_eq!((&told["room_name"], &told["content"]["body"]), (&json!("Harbour"), &json!("hello")));
    assert_eq!((&told["prio"], &told["counts"]["unread"]), (&json!("low"), &json!(2)));
    let device = &told["devices"][0];
    assert_eq!((&device["app_id"], &device["pushkey"]), (&json!("org.example.app"), &json!("key")));
    assert_eq!(device["data"], json!({ "brand": "test" }));

    world.read(&anna(), &room_id, "", &said).await;
    let told = gateway.next().await;
    assert_eq!(told["counts"]["unread"], 1);
    assert!(told.get("event_id").is_none());

    world.set_pusher(&anna(), &gateway.url, true).await;
    let mention = json!({ "body": "anna", "m.mentions": { "user_ids": [anna()] } });
    let said = world.send(&ben(), &room_id, mention).await;
    let told = gateway.next().await;
    let expected = json!({
        "event_id": said,
        "room_id": room_id,
        "prio": "high",
        "counts": { "unread": 2 },
        "devices": [{ "app_id": "org.example.app", "pushkey": "key",
                      "data": { "brand": "test", "format": "event_id_only" } }],
    });
    assert_eq!(told, expected, "ids only");

    let invited_to = world.room(&ben(), &[]).await;
    world.rooms.invite(&ben(), &invited_to, &anna(), None, 1).await.expect("invite");
    let told = gateway.next().await;
    assert_eq!((&told["room_id"], &told["counts"]["unread"]), (&json!(invited_to), &json!(3)));
}

#[tokio::test]
async fn gateways_are_not_told_of_the_ignored() {
    let world = world().await;
    let mut gateway = TestGateway::start().await;
    let room_id = world.room(&ben(), &[anna(), cleo()]).await;
    let of_cleo = world.room(&cleo(), &[]).await;
    let mut writes = WriteSet::new();
    let ignored = json!({ "ignored_users": { "@cleo:a.example": {} } }).to_string();
    put_account_data(&mut writes, &anna(), None, "m.ignored_user_list", ignored);
    world.store.commit(writes).await.expect("commit");
    world.follow(&world.push).await;
    world.set_pusher(&anna(), &gateway.url, true).await;

    let mention = json!({ "body": "anna", "m.mentions": { "user_ids": [anna()] } });
    world.send(&cleo(), &room_id, mention).await;
    world.rooms.invite(&cleo(), &of_cleo, &anna(), None, 1).await.expect("invite");
    let said = world.say(&ben(), &room_id, "hello").await;
    let told = gateway.next().await;
    assert_eq!((&told["event_id"], &told["counts"]["unread"]), (&json!(said), &json!(1)));
}

#[tokio::test]
async fn an_invitation_that_is_not_wanted_any_more_is_not_on_the_badge() {
    let world = world().await;
    let mut gateway = TestGateway::start().await;
    let room_id = world.room(&ben(), &[anna()]).await;
    let of_cleo = world.room(&cleo(), &[]).await;
    world.rooms.invite(&cleo(), &of_cleo, &anna(), None, 1).await.expect("invite");
    let mut writes = WriteSet::new();
    let none = json!({ "default_action": "block" }).to_string();
    put_account_data(&mut writes, &anna(), None, "m.invite_permission_config", none);
    world.store.commit(writes).await.expect("commit");
    world.follow(&world.push).await;
    world.set_pusher(&anna(), &gateway.url, true).await;

    world.say(&ben(), &room_id, "hello").await;
    assert_eq!(gateway.next().await["counts"]["unread"], 1);
}

#[tokio::test]
async fn a_failing_gateway_is_tried_again_and_a_rejected_pushkey_goes() {
    let world = world().await;
    let mut gateway = TestGateway::start().await;
    let room_id = world.room(&ben(), &[anna()]).await;
    world.follow(&world.push).await;
    world.set_pusher(&anna(), &gateway.url, true).await;
    gateway.answer(502, json!({}));
    gateway.answer(500, json!({}));
    let said = world.say(&ben(), &room_id, "hello").await;
    for _ in 0..3 {
        assert_eq!(gateway.next().await["event_id"], said.as_str());
    }
    gateway.answer(200, json!({ "rejected": ["key"] }));
    world.say(&ben(), &room_id, "again").await;
    gateway.next().await;
    until("the pusher goes", async || world.push.pushers(&anna()).await.expect("pushers").is_empty()).await;
}

/// The table of pushers, with values of another form.
struct PushersOf<V>(PhantomData<V>);

impl<V: StoredValue + 'static> Table for PushersOf<V> {
    type Key = PusherKey;
    type Value = V;
    const ID: TableId = Pushers::ID;
    const NAME: &'static str = Pushers::NAME;
    const OWNER: &'static str = Pushers::OWNER;
}

/// A pusher as it was before apps were told by Web Push.
#[derive(Clone, Serialize, Deserialize)]
struct OldPusherRecord {
    json: String,
    device_id: OwnedDeviceId,
    failing_since_ts: Option<u64>,
}

impl Record for OldPusherRecord {}

impl World {
    async fn put_pusher_as<V: StoredValue + 'static>(&self, user_id: &OwnedUserId, value: &V) {
        let key = PusherKey {
            user_id: user_id.clone(),
            app_id: "org.example.app".to_owned(),
            pushkey: "key".to_owned(),
        };
        let mut writes = WriteSet::new();
        writes.put::<PushersOf<V>>(&key, value);
        self.store.commit(writes).await.expect("commit");
    }
}

#[tokio::test]
async fn pushers_of_an_older_program_are_told() {
    let world = world().await;
    let mut gateway = TestGateway::start().await;
    let room_id = world.room(&ben(), &[anna()]).await;
    let json = serde_json::to_string(&pusher(&gateway.url, true)).expect("JSON");
    world
        .put_pusher_as(&anna(), &OldPusherRecord { json, device_id: device_id(), failing_since_ts: None })
        .await;
    let push = world.reopened().await;
    assert_eq!(push.pushers(&anna()).await.expect("they are read").len(), 1);
    world.follow(&push).await;
    let said = world.say(&ben(), &room_id, "hello").await;
    assert_eq!(gateway.next().await["event_id"], said.as_str());
}

#[tokio::test]
async fn what_is_wrong_with_one_persons_pushers_is_no_others_matter() {
    let world = world().await;
    let mut gateway = TestGateway::start().await;
    let room_id = world.room(&ben(), &[anna(), cleo()]).await;
    world.put_pusher_as(&anna(), &Json("damaged".to_owned())).await;
    let push = world.reopened().await;
    assert!(push.pushers(&anna()).await.is_err());
    world.follow(&push).await;
    push.set_pusher(&cleo(), &device_id(), pusher(&gateway.url, true), true).await.expect("pusher");
    for words in ["hello", "again"] {
        let said = world.say(&ben(), &room_id, words).await;
        assert_eq!(gateway.next().await["event_id"], said.as_str());
    }
}

/// The gateway fails once, and when the message is told again its time is up.
#[tokio::test]
async fn of_what_has_disappeared_meanwhile_only_the_badge_is_told() {
    let mut gateway = TestGateway::start().await;
    let answers = gateway.answers.clone();
    let clock = move || if answers.lock().expect("lock").is_empty() { 1_000_000 } else { 1_000 };
    let world = world_at(Arc::new(clock)).await;
    let room_id = world.room(&ben(), &[anna()]).await;
    world.follow(&world.push).await;
    world.set_pusher(&anna(), &gateway.url, false).await;
    let timer = json!({ "type": "after_send", "timer": 5_000 }).to_string();
    let (of_timer, ben) = ("com.beeper.disappearing_timer", ben());
    world.rooms.set_state(&ben, &room_id, of_timer, "", &timer, 1).await.expect("set");
    gateway.answer(502, json!({}));
    let said = world.say(&ben, &room_id, "for five seconds").await;
    let told = gateway.next().await;
    assert_eq!((&told["event_id"], &told["counts"]["unread"]), (&json!(said), &json!(1)));
    assert_eq!(told["org.linkspan.disappears_ts"], 5_001);
    let told = gateway.next().await;
    assert!(told.get("event_id").is_none() && told.get("content").is_none(), "{told}");
    assert_eq!(told["counts"], json!({ "unread": 0 }));
    world.rooms.set_state(&ben, &room_id, of_timer, "", "{}", 1).await.expect("set");
    let said = world.say(&ben, &room_id, "for good").await;
    let mut told = gateway.next().await;
    // That the message counts no more may be noticed twice.
    while told.get("event_id").is_none() {
        told = gateway.next().await;
    }
    assert_eq!(told["event_id"], said.as_str());
    assert_eq!(told.get("org.linkspan.disappears_ts"), None);
}

/// The gateway fails once, and meanwhile the message is redacted, or its sender erased.
#[tokio::test]
async fn what_is_taken_back_meanwhile_is_told_no_more() {
    for is_erased in [false, true] {
        let world = world().await;
        let mut gateway = TestGateway::start().await;
        let room_id = world.room(&ben(), &[anna(), cleo()]).await;
        world.follow(&world.push).await;
        world.set_pusher(&anna(), &gateway.url, false).await;
        let gate = gateway.gate.clone();
        let closed = gate.lock().await;
        gateway.answer(502, json!({}));
        let said = world.say(&ben(), &room_id, "I never said this").await;
        let told = gateway.next().await;
        assert_eq!(
            (&told["event_id"], &told["content"]["body"]),
            (&json!(said), &json!("I never said this"))
        );
        if is_erased {
            let erased = world.accounts.begin_deactivation(&ben(), None, true).await.expect("erased");
            assert_eq!(erased.len(), 1);
        } else {
            let (ben, device_id) = (ben(), device_id());
            let redacted = world.rooms.redact_event(&ben, &device_id, &room_id, &said, None, "r", 1);
            redacted.await.expect("redacted");
        }
        drop(closed);
        let told = gateway.next().await;
        assert!(told.get("event_id").is_none() && told.get("content").is_none(), "{told}");
        let said = world.say(&cleo(), &room_id, "Who was that?").await;
        let mut told = gateway.next().await;
        // That the message counts no more may be noticed twice.
        while told.get("event_id").is_none() {
            told = gateway.next().await;
        }
        assert_eq!(told["event_id"], said.as_str());
    }
}

#[tokio::test]
async fn a_device_that_has_logged_out_is_told_nothing() {
    let world = world().await;
    let gateway = TestGateway::start().await;
    let room_id = world.room(&ben(), &[anna()]).await;
    world.follow(&world.push).await;
    world.set_pusher(&anna(), &gateway.url, true).await;
    let mut writes = WriteSet::new();
    writes.delete::<Devices>(&device_key(&anna()));
    world.store.commit(writes).await.expect("commit");
    world.say(&ben(), &room_id, "hello").await;
    until("the pusher goes", async || world.push.pushers(&anna()).await.expect("pushers").is_empty()).await;
    let TestGateway { mut told, .. } = gateway;
    assert!(told.try_recv().is_err());
}
