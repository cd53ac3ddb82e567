//! What rooms do where it is easy to get wrong: mutated events, requests at the same time, views of history.

mod world;

use std::pin::Pin;

use linkspan_rooms::{CreateRoom, InitialState, Inserted, Preset, Reader, ReceiptKind, Removal, RoomsError};
use linkspan_storage::{
    Position, Range, Stamped, WriteSet,
    catalogue::{AliasKey, Aliases, ReceiptKey, ReceiptLog, ReceiptLogKey, Receipts, Threads},
    records::{AccountRecord, ReceiptRecord},
};
use ruma::{
    CanonicalJsonObject, OwnedDeviceId, OwnedEventId, OwnedRoomId, OwnedUserId, RoomVersionId,
    events::{StateEventType, room::member::MembershipState},
};
use serde_json::{Value, json};
use world::{Graph, Random, VERSIONS, World, new_account, object, put_account, room_of, user};

const ALICE: &str = "@alice:a.localhost";
const BOB: &str = "@bob:b.localhost";
const CAROL: &str = "@carol:far.example";

fn device() -> OwnedDeviceId {
    "DEVICE".into()
}

fn command(version: &RoomVersionId, preset: Preset) -> CreateRoom {
    room_of(Some(version.clone()), preset)
}

/// Gives a user an account, as invitations need one.
async fn account(world: &World, user_id: &str) -> OwnedUserId {
    put_account(&world.store, user(user_id), &new_account()).await;
    user(user_id)
}

async fn send(world: &World, sender: &str, room_id: &OwnedRoomId, content: Value, txn: &str) -> OwnedEventId {
    let (sender, device, content) = (user(sender), device(), content.to_string());
    let sent = world.rooms.send_message(
        &sender,
        &device,
        room_id,
        "m.room.message",
        &content,
        Vec::new(),
        txn,
        6_000,
    );
    sent.await.expect("sent")
}

/// Whether a user can read an event.
async fn reads(world: &World, reader: &OwnedUserId, room_id: &OwnedRoomId, event_id: &OwnedEventId) -> bool {
    let device = device();
    let how = Reader { device_id: &device, now_ts: 9_000, with_room_id: true };
    world.rooms.get_event(reader, room_id, event_id, how).await.is_ok()
}

#[tokio::test]
async fn mutated_events_are_refused_or_fit_in() {
    let mut random = Random::seeded(3);
    for version in VERSIONS {
        let seed = random.0;
        let world = World::new().await;
        let mut graph = Graph::start(&world, &version).await;
        let mut samples = vec![
            graph.topic(CAROL, "topic", &[]),
            graph.message(CAROL, "message", &[]),
            graph.member(ALICE, "@x:far.example", "invite", &[]),
            graph.levels(json!({ CAROL: 50 }), &[]),
            graph.member(CAROL, CAROL, "leave", &[]),
        ];
        let redaction = json!({ "redacts": samples[1] });
        samples.push(graph.event(ALICE, "m.room.redaction", None, redaction, &[]));
        let mut tried = [0, 0];
        for number in 0..250 {
            let context = format!("LINKSPAN_TEST_SEED={seed}, version {version}, event {number}");
            let sample = &graph.events[&samples[random.below(samples.len())]].object;
            let mut value = serde_json::to_value(sample).expect("JSON");
            mutate(&mut value, &mut random, &world.head(&graph.room_id).await.extremities);
            let Ok(object) = serde_json::from_value::<CanonicalJsonObject>(value) else { continue };
            match world.rooms.insert_event(&graph.room_id, &object, 5_000).await {
                Ok(_) => tried[0] += 1,
                Err(RoomsError::Storage(error)) => panic!("{context}: {error}"),
                Err(_) => tried[1] += 1,
            }
            if number % 50 == 0 {
                world.check_tables(&context).await;
            }
        }
        assert!(tried[0] > 20 && tried[1] > 20, "too wild or too tame: {tried:?}");
        world.check_tables(&format!("LINKSPAN_TEST_SEED={seed}, version {version}")).await;
        world.copy().await.check_tables("opened again").await;
    }
}

/// Changes one thing or two; often so that it still is an event.
fn mutate(value: &mut Value, random: &mut Random, ends: &[OwnedEventId]) {
    for _ in 0..=random.below(2) {
        match random.below(14) {
            0 => value["sender"] = json!(["@bob:b.localhost", "@no:far.example", "x", ""][random.below(4)]),
            1 => {
                value["type"] =
                    json!(["m.room.member", "m.room.create", "m.room.topic", "x\0y"][random.below(4)])
            }
            2 => value["state_key"] = json!(["", "@e:f", "@bob:b.localhost", "not a user"][random.below(4)]),
            3 => value["depth"] = json!([0_u64, 1, 9_007_199_254_740_991, 5][random.below(4)]),
            4 => value["prev_events"] = json!(ends),
            5 => value["prev_events"] = json!([]),
            6 => value["auth_events"] = json!([]),
            7 => value["auth_events"].as_array_mut().into_iter().for_each(|list| list.extend(list.clone())),
            8 => value["content"]["membership"] = json!(["join", "ban", "odd", "knock"][random.below(4)]),
            9 => value["content"] = json!({}),
            10 => value["content"]["users"] = json!({ "x": "y" }),
            11 => {
                value["content"]["m.relates_to"] = json!({ "rel_type": "x".repeat(3_000), "event_id": "$x" })
            }
            12 => value["unsigned"] = json!({ "redacted_by": "$x", "age": 1 }),
            _ => {
                let fields: Vec<String> =
                    value.as_object().map(|map| map.keys().cloned().collect()).unwrap_or_default();
                let field = &fields[random.below(fields.len())];
                value[field] =
                    [json!(null), json!(1), json!("x"), json!([]), json!({})][random.below(5)].clone();
            }
        }
    }
    value["origin_server_ts"] = json!(random.below(1_000_000));
}

#[tokio::test]
async fn an_event_redacted_twice_at_once_leaves_its_thread_once() {
    let world = World::new().await;
    let graph = Graph::start(&world, &RoomVersionId::V12).await;
    let room_id = graph.room_id.clone();
    let root = send(&world, ALICE, &room_id, json!({ "body": "root" }), "1").await;
    let reply = json!({ "body": "reply", "m.relates_to": { "rel_type": "m.thread", "event_id": root } });
    let kept = send(&world, BOB, &room_id, reply.clone(), "2").await;
    let gone = send(&world, ALICE, &room_id, reply, "3").await;
    let mut tasks = Vec::<std::pin::Pin<Box<dyn Future<Output = _> + Send>>>::new();
    for number in 0..4 {
        let (rooms, room_id, gone) = (world.rooms.clone(), room_id.clone(), gone.clone());
        tasks.push(Box::pin(async move {
            let txn = format!("r{number}");
            rooms
                .redact_event(&user(ALICE), &device(), &room_id, &gone, None, &txn, 7_000)
                .await
                .expect("redacted");
        }));
    }
    world.at_once(tasks).await;
    let threads = world.store.range::<Threads>(Range::prefix((&room_id,))).await.expect("read");
    let kept = world.rooms.event(&room_id, &kept).await.expect("read").expect("an event");
    assert_eq!((threads[0].1.count, threads[0].1.latest_seq), (1, kept.seq));
    world.check_tables("redacted").await;
}

#[tokio::test]
async fn the_same_reaction_twice_at_once_is_one_reaction() {
    let world = World::new().await;
    let graph = Graph::start(&world, &RoomVersionId::V12).await;
    let room_id = graph.room_id.clone();
    let liked = send(&world, ALICE, &room_id, json!({ "body": "x" }), "1").await;
    let mut tasks = Vec::<std::pin::Pin<Box<dyn Future<Output = _> + Send>>>::new();
    for number in 0..4 {
        let (rooms, room_id, liked) = (world.rooms.clone(), room_id.clone(), liked.clone());
        tasks.push(Box::pin(async move {
            let relation = json!({ "rel_type": "m.annotation", "event_id": liked, "key": "+1" });
            let content = json!({ "m.relates_to": relation }).to_string();
            let txn = format!("a{number}");
            rooms
                .send_message(
                    &user(BOB),
                    &device(),
                    &room_id,
                    "m.reaction",
                    &content,
                    Vec::new(),
                    &txn,
                    7_000,
                )
                .await
        }));
    }
    let sent = world.at_once(tasks).await;
    assert_eq!(sent.iter().filter(|it| it.is_ok()).count(), 1);
    assert!(sent.iter().all(|it| matches!(it, Ok(_) | Err(RoomsError::DuplicateAnnotation))));
}

#[tokio::test]
async fn a_redaction_that_nobody_waits_for_is_seen_all_the_same() {
    let world = World::new().await;
    let graph = Graph::start(&world, &RoomVersionId::V12).await;
    let room_id = graph.room_id.clone();
    let event_id = send(&world, ALICE, &room_id, json!({ "body": "x" }), "1").await;
    let held = world.engine.hold_disk().expect("a disk");
    // The read of the event fills the cache; the request is dropped while its write waits for the disk.
    assert!(world.rooms.event(&room_id, &event_id).await.expect("read").is_some());
    let (alice, device) = (user(ALICE), device());
    let mut redaction =
        Box::pin(world.rooms.redact_event(&alice, &device, &room_id, &event_id, None, "2", 7_000));
    let waker = std::task::Waker::noop();
    let mut context = std::task::Context::from_waker(waker);
    let engine = world.engine.clone();
    let waiting = tokio::task::spawn_blocking(move || {
        held.wait_for_write();
        (held, engine)
    });
    while !waiting.is_finished() {
        assert!(redaction.as_mut().poll(&mut context).is_pending());
        tokio::task::yield_now().await;
    }
    drop(redaction);
    // Only now the disk goes on.
    drop(waiting.await.expect("a write came"));
    // What comes later waits for it.
    let last = send(&world, ALICE, &room_id, json!({ "body": "y" }), "3").await;
    assert!(world.rooms.event(&room_id, &last).await.expect("read").is_some());
    let mut redacted = world.rooms.event(&room_id, &event_id).await.expect("read").expect("an event");
    for _ in 0..1_000 {
        if redacted.pdu.redacted_by.is_some() {
            break;
        }
        tokio::task::yield_now().await;
        redacted = world.rooms.event(&room_id, &event_id).await.expect("read").expect("an event");
    }
    assert_eq!(redacted.pdu.content.get(), "{}");
}

#[tokio::test]
async fn a_restricted_room_lets_in_members_of_the_other_room_alone() {
    let world = World::new().await;
    let alice = account(&world, ALICE).await;
    let bob = account(&world, BOB).await;
    let eve = account(&world, "@eve:b.localhost").await;
    let version = RoomVersionId::V12;
    let space =
        world.rooms.create_room(&alice, command(&version, Preset::PublicChat), 1).await.expect("a room");
    let room =
        world.rooms.create_room(&alice, command(&version, Preset::PrivateChat), 2).await.expect("a room");
    let allow = json!([{ "type": "m.room_membership", "room_id": space }]);
    let rule = json!({ "join_rule": "restricted", "allow": allow }).to_string();
    world.rooms.set_state(&alice, &room, "m.room.join_rules", "", &rule, 3).await.expect("set");
    world.rooms.join_room(&bob, &space, None, 4).await.expect("joined");
    world.rooms.join_room(&bob, &room, None, 5).await.expect("joined");
    world.rooms.join_room(&eve, &room, None, 6).await.expect_err("not in the space");
    // Nor by claiming that somebody lets her in.
    let claim = json!({ "membership": "join", "join_authorised_via_users_server": ALICE }).to_string();
    let forced = world.rooms.set_state(&eve, &room, "m.room.member", eve.as_str(), &claim, 7).await;
    assert!(matches!(forced, Err(RoomsError::Forbidden(_))), "{forced:?}");
    world.rooms.join_room(&eve, &space, None, 8).await.expect("joined");
    world.rooms.set_state(&eve, &room, "m.room.member", eve.as_str(), &claim, 9).await.expect("joined");
    world.check_tables("three members").await;
}

/// What is queued for a room stands and falls with what is queued before it.
#[tokio::test]
async fn an_account_that_changes_meanwhile_keeps_nobody_out_and_no_message_back() {
    let world = World::new().await;
    let (alice, bob) = (account(&world, ALICE).await, account(&world, BOB).await);
    let room = command(&RoomVersionId::V12, Preset::PublicChat);
    let room = world.rooms.create_room(&alice, room, 1).await.expect("a room");
    type Task = Pin<Box<dyn Future<Output = Result<(), RoomsError>> + Send>>;
    let change: Task = Box::pin({
        let (store, bob) = (world.store.clone(), bob.clone());
        async move {
            put_account(&store, bob, &AccountRecord { created_ts: 1, ..new_account() }).await;
            Ok(())
        }
    });
    let join: Task = Box::pin({
        let (rooms, bob, room) = (world.rooms.clone(), bob.clone(), room.clone());
        async move { rooms.join_room(&bob, &room, None, 2).await }
    });
    let say: Task = Box::pin({
        let (rooms, alice, room, device) = (world.rooms.clone(), alice.clone(), room.clone(), device());
        async move {
            let sent = rooms.send_message(&alice, &device, &room, "m.room.message", "{}", Vec::new(), "t", 3);
            sent.await.map(|_| ())
        }
    });
    let chat: Task = Box::pin({
        let (rooms, alice, bob) = (world.rooms.clone(), alice.clone(), bob.clone());
        let room = CreateRoom { invite: vec![bob], ..command(&RoomVersionId::V12, Preset::PrivateChat) };
        async move { rooms.create_room(&alice, room, 4).await.map(|_| ()) }
    });
    for outcome in world.at_once([change, join, say, chat]).await {
        outcome.expect("it is done");
    }
    assert_eq!(world.members(&room).await.get(&bob), Some(&MembershipState::Join));
    world.check_tables("a changed account").await;
}

#[tokio::test]
async fn who_was_allowed_to_send_is_asked_again_when_the_state_is_another() {
    let world = World::new().await;
    let alice = account(&world, ALICE).await;
    let bob = account(&world, BOB).await;
    let room = command(&RoomVersionId::V12, Preset::PublicChat);
    let room = world.rooms.create_room(&alice, room, 1).await.expect("a room");
    world.rooms.join_room(&bob, &room, None, 2).await.expect("joined");
    let set = async |kind: &str, content: &Value| {
        let content = content.to_string();
        world.rooms.set_state(&alice, &room, kind, "", &content, 3).await.expect("set")
    };
    let mut number = 0;
    let mut may_send = async || {
        number += 1;
        let (txn, device) = (format!("t{number}"), device());
        let sent =
            world.rooms.send_message(&bob, &device, &room, "m.room.message", "{}", Vec::new(), &txn, 4).await;
        assert!(matches!(sent, Ok(_) | Err(RoomsError::Forbidden(_))), "{sent:?}");
        sent.is_ok()
    };
    let levels = |events_default: i64| json!({ "events_default": events_default, "users": { BOB: 10 } });
    assert!(may_send().await && may_send().await);
    set("m.room.server_acl", &json!({ "allow": ["*"], "deny": ["b.localhost"] })).await;
    assert!(!may_send().await, "his server is kept out");
    set("m.room.server_acl", &json!({ "allow": ["*"] })).await;
    assert!(may_send().await);
    set("m.room.power_levels", &levels(20)).await;
    assert!(!may_send().await, "he has too little power");
    let lowered = set("m.room.power_levels", &levels(10)).await;
    assert!(may_send().await);
    // What is redacted keeps levels, and the state its number: the question is asked anew all the same.
    let (device, txn) = (device(), "redact");
    world.rooms.redact_event(&alice, &device, &room, &lowered, None, txn, 5).await.expect("redacted");
    assert!(may_send().await);
    world.rooms.remove_member(Removal::Kick, &alice, &room, &bob, None, 6).await.expect("kicked");
    assert!(!may_send().await, "he is not there");
    world.rooms.join_room(&bob, &room, None, 7).await.expect("joined");
    assert!(may_send().await);
}

/// The rules look into power levels even where they are no state.
#[tokio::test]
async fn a_message_that_the_rules_look_into_is_asked_about_each_time() {
    for version in VERSIONS {
        let world = World::new().await;
        let alice = account(&world, ALICE).await;
        let bob = account(&world, BOB).await;
        let room = world.rooms.create_room(&alice, command(&version, Preset::PublicChat), 1).await;
        let room = room.expect("a room");
        world.rooms.join_room(&bob, &room, None, 2).await.expect("joined");
        let levels = world.rooms.get_state_event(&bob, &room, &StateEventType::RoomPowerLevels, "").await;
        let levels: Value = serde_json::from_str(levels.expect("levels").content.get()).expect("JSON");
        let send = async |content: Value, txn: &str| {
            let (device, content) = (device(), content.to_string());
            world
                .rooms
                .send_message(&bob, &device, &room, "m.room.power_levels", &content, Vec::new(), txn, 3)
                .await
        };
        let mut raised = levels.clone();
        raised["users"][BOB] = json!(1000);
        let before = send(raised.clone(), "1").await;
        let same = send(levels, "2").await;
        let after = send(raised, "3").await;
        assert_eq!(before.is_ok(), after.is_ok(), "{version:?}: {before:?}, {same:?}, {after:?}");
        assert!(matches!(after, Err(RoomsError::Forbidden(_))), "{version:?}: {after:?}");
    }
}

#[tokio::test]
async fn nobody_becomes_a_member_by_initial_state() {
    let world = World::new().await;
    let mut command = command(&RoomVersionId::V12, Preset::PrivateChat);
    command.initial_state.push(InitialState {
        event_type: "m.room.member".into(),
        state_key: BOB.into(),
        content: object(json!({ "membership": "invite" })),
    });
    let made = world.rooms.create_room(&user(ALICE), command, 1).await;
    assert!(matches!(made, Err(RoomsError::InvalidState(_))), "{made:?}");
}

#[tokio::test]
async fn a_room_keeps_the_aliases_that_it_calls_its_own_and_no_other_text() {
    let world = World::new().await;
    let alice = account(&world, ALICE).await;
    let with_alias = |name: &str| {
        let alias_name = Some(name.to_owned());
        CreateRoom { alias_name, ..command(&RoomVersionId::V12, Preset::PublicChat) }
    };
    let room = world.rooms.create_room(&alice, with_alias("mine"), 1).await.expect("a room");
    world.rooms.create_room(&alice, with_alias("other"), 2).await.expect("a room");
    let set = async |content: Value| {
        let (event_type, content) = ("m.room.canonical_alias", content.to_string());
        world.rooms.set_state(&alice, &room, event_type, "", &content, 3).await
    };
    let (mine, other) = ("#mine:a.localhost", "#other:a.localhost");
    set(json!({ "alias": mine, "note": other })).await.expect("the alias points at the room");
    for content in [json!({ "alias": other }), json!({ "alias": mine, "alt_aliases": [other] })] {
        let refused = set(content.clone()).await;
        assert!(matches!(refused, Err(RoomsError::BadAlias(_))), "{content}: {refused:?}");
    }
    // It may go on calling itself what it does, also when the alias leads nowhere any more.
    let mut writes = WriteSet::new();
    writes.delete::<Aliases>(&AliasKey { alias: mine.try_into().expect("an alias") });
    world.store.commit(writes).await.expect("written");
    set(json!({ "alt_aliases": [mine] })).await.expect("it is called so already");
}

#[tokio::test]
async fn who_left_sees_nothing_of_what_came_after_however_it_goes_on() {
    let world = World::new().await;
    let alice = account(&world, ALICE).await;
    let bob = account(&world, BOB).await;
    let room = command(&RoomVersionId::V12, Preset::PublicChat);
    let room = world.rooms.create_room(&alice, room, 1).await.expect("a room");
    world.rooms.join_room(&bob, &room, None, 2).await.expect("joined");
    let with = send(&world, ALICE, &room, json!({ "body": "with bob" }), "1").await;
    world.rooms.leave_room(&bob, &room, None, 3).await.expect("left");
    let after = send(&world, ALICE, &room, json!({ "body": "without bob" }), "2").await;
    assert!(reads(&world, &bob, &room, &with).await && !reads(&world, &bob, &room, &after).await);
    world.rooms.remove_member(Removal::Ban, &alice, &room, &bob, None, 4).await.expect("banned");
    assert!(reads(&world, &bob, &room, &with).await && !reads(&world, &bob, &room, &after).await, "banned");
    world.rooms.remove_member(Removal::Unban, &alice, &room, &bob, None, 5).await.expect("unbanned");
    assert!(reads(&world, &bob, &room, &with).await && !reads(&world, &bob, &room, &after).await, "unbanned");
    world.rooms.invite(&alice, &room, &bob, None, 6).await.expect("invited");
    world.rooms.leave_room(&bob, &room, None, 7).await.expect("declined");
    assert!(reads(&world, &bob, &room, &with).await && !reads(&world, &bob, &room, &after).await, "declined");
    world.rooms.join_room(&bob, &room, None, 8).await.expect("joined");
    assert!(reads(&world, &bob, &room, &after).await, "joined since");
}

#[tokio::test]
async fn a_user_sees_the_own_leaving_and_a_visibility_that_opens() {
    let world = World::new().await;
    let alice = account(&world, ALICE).await;
    let bob = account(&world, BOB).await;
    let mut room = command(&RoomVersionId::V12, Preset::PublicChat);
    room.initial_state.push(InitialState {
        event_type: "m.room.history_visibility".into(),
        state_key: String::new(),
        content: object(json!({ "history_visibility": "joined" })),
    });
    let room = world.rooms.create_room(&alice, room, 1).await.expect("a room");
    let early = send(&world, ALICE, &room, json!({ "body": "early" }), "1").await;
    let open = json!({ "history_visibility": "shared" }).to_string();
    let open =
        world.rooms.set_state(&alice, &room, "m.room.history_visibility", "", &open, 2).await.expect("set");
    let close = json!({ "history_visibility": "joined" }).to_string();
    world.rooms.set_state(&alice, &room, "m.room.history_visibility", "", &close, 3).await.expect("set");
    world.rooms.join_room(&bob, &room, None, 4).await.expect("joined");
    assert!(!reads(&world, &bob, &room, &early).await);
    assert!(reads(&world, &bob, &room, &open).await, "the event that opens");
    world.rooms.leave_room(&bob, &room, None, 5).await.expect("left");
    let member = world.rooms.state_event(&room, &StateEventType::RoomMember, BOB).await.expect("read");
    let left = member.expect("a membership").event_id.clone();
    assert!(reads(&world, &bob, &room, &left).await, "the own leaving");
}

#[tokio::test]
async fn members_by_a_hidden_event_are_members() {
    // A join that came too late, but on which the graph goes on, and which holds in the end.
    for version in VERSIONS {
        let world = World::new().await;
        let mut graph = Graph::start(&world, &version).await;
        let closed = graph.event(ALICE, "m.room.join_rules", Some(""), json!({ "join_rule": "invite" }), &[]);
        world.insert(&graph, &closed).await;
        let join = graph.member("@late:b.localhost", "@late:b.localhost", "join", &[]);
        assert!(matches!(world.insert(&graph, &join).await, Inserted::SoftFailed(_)));
        let goes_on = graph.message(CAROL, "hello, late", &[&join]);
        assert!(matches!(world.insert(&graph, &goes_on).await, Inserted::InTimeline(_)));
        world.check(&graph, "it goes on").await;
        let current = world.current(&graph.room_id).await;
        let member = current.get(&(StateEventType::RoomMember, "@late:b.localhost".to_owned()));
        let view = world.rooms.view(&user("@late:b.localhost"), &graph.room_id).await;
        assert_eq!(view.is_ok(), member.is_some(), "{version}");
    }
}

#[tokio::test]
async fn receipts_at_once_leave_one_row_and_never_go_back() {
    let world = World::new().await;
    let graph = Graph::start(&world, &RoomVersionId::V12).await;
    let room_id = graph.room_id.clone();
    let mut events = Vec::new();
    for number in 0..6 {
        events.push(send(&world, ALICE, &room_id, json!({ "body": number }), &number.to_string()).await);
    }
    let mut tasks = Vec::<std::pin::Pin<Box<dyn Future<Output = _> + Send>>>::new();
    for event_id in events.clone() {
        let (rooms, room_id) = (world.rooms.clone(), room_id.clone());
        tasks.push(Box::pin(async move {
            let kind = linkspan_rooms::ReceiptKind::Public;
            rooms.set_receipt(&user(BOB), &room_id, kind, "", &event_id, 7_000).await.expect("set");
        }));
    }
    world.at_once(tasks).await;
    let own = world.rooms.own_receipts(&user(BOB), &room_id).await.expect("read");
    assert_eq!(own.len(), 1);
    assert_eq!(own[0].event_id, events[5]);
    world.check_tables("receipts").await;
}

/// A message, with a relation or without.
async fn related(world: &World, room_id: &OwnedRoomId, to: Option<(&str, &OwnedEventId)>) -> OwnedEventId {
    let mut content = json!({ "msgtype": "m.text", "body": "x" });
    if let Some((rel_type, event_id)) = to {
        content["m.relates_to"] = json!({ "rel_type": rel_type, "event_id": event_id, "key": "x" });
    }
    let txn = world.head(room_id).await.seq.to_string();
    send(world, ALICE, room_id, content, &txn).await
}

#[tokio::test]
async fn a_receipt_is_of_the_thread_that_its_event_is_in() {
    let world = World::new().await;
    let room_id = Graph::start(&world, &RoomVersionId::V12).await.room_id;
    let elsewhere = Graph::start(&world, &RoomVersionId::V11).await;
    let root = related(&world, &room_id, None).await;
    let other = related(&world, &room_id, None).await;
    let reply = related(&world, &room_id, Some(("m.thread", &root))).await;
    let edit = related(&world, &room_id, Some(("m.replace", &reply))).await;
    let reaction = related(&world, &room_id, Some(("m.annotation", &edit))).await;
    let redacted = related(&world, &room_id, Some(("m.thread", &root))).await;
    let (alice, own) = (user(ALICE), device());
    let redact = world.rooms.redact_event(&alice, &own, &room_id, &redacted, None, "r", 6_000);
    redact.await.expect("redacted");
    // It relates to an event that is not there.
    let unknown = "$Rqnc-F-dvnEYJTyHq_iKxU2bZ1CI92-kuZq3a5lr5Zg";
    let astray = related(&world, &room_id, Some(("m.thread", &unknown.try_into().expect("an id")))).await;
    for (event_id, thread, taken) in [
        (&root, "", true),
        (&root, "main", true),
        (&root, root.as_str(), true),
        (&reply, "main", false),
        (&reply, root.as_str(), true),
        (&edit, root.as_str(), true),
        (&reaction, root.as_str(), true),
        (&redacted, root.as_str(), true),
        (&other, other.as_str(), true),
        (&other, root.as_str(), false),
        (&root, reply.as_str(), false),
        (&reply, other.as_str(), false),
        (&other, "$see you at eight", false),
        (&other, "see you at eight", false),
        (&redacted, "$see you at eight", false),
        (&redacted, unknown, false),
        (&redacted, elsewhere.base.as_str(), false),
        (&astray, unknown, false),
        (&astray, "main", true),
    ] {
        for kind in [ReceiptKind::Public, ReceiptKind::Private] {
            let set = world.rooms.set_receipt(&user(BOB), &room_id, kind, thread, event_id, 7_000).await;
            match set {
                Ok(()) => assert!(taken, "{event_id} in {thread}"),
                Err(RoomsError::Invalid(_)) => assert!(!taken, "{event_id} in {thread}"),
                Err(error) => panic!("{error}"),
            }
        }
    }
    world.check_tables("receipts of threads").await;
}

#[tokio::test]
async fn of_very_many_threads_those_read_long_ago_are_forgotten() {
    let world = World::new().await;
    let room_id = Graph::start(&world, &RoomVersionId::V12).await.room_id;
    let event_id = related(&world, &room_id, None).await;
    let set = |thread: String| {
        let (rooms, room_id, event_id) = (world.rooms.clone(), room_id.clone(), event_id.clone());
        async move {
            let kind = ReceiptKind::Public;
            rooms.set_receipt(&user(BOB), &room_id, kind, &thread, &event_id, 7_000).await.expect("set");
        }
    };
    set(String::new()).await;
    set("main".to_owned()).await;
    // Rows as receipts of other threads leave them.
    let mut writes = WriteSet::new();
    for number in 1..=1_000 {
        let (user_id, thread, kind) = (user(BOB), format!("${number}"), 0);
        let seq = -number;
        let receipt =
            ReceiptRecord { event_id: event_id.clone(), seq, ts: 0, own_platform: false, own_only: false };
        let key = ReceiptKey { room_id: room_id.clone(), user_id, kind, thread };
        writes.put::<Receipts>(&key, &Stamped::pending(receipt.clone()));
        let ReceiptKey { room_id, user_id, kind, thread } = key;
        let position = Position::PENDING;
        writes.put::<ReceiptLog>(&ReceiptLogKey { room_id, position, user_id, kind, thread }, &receipt);
    }
    world.store.commit(writes).await.expect("written");
    set(event_id.to_string()).await;
    let own = world.rooms.own_receipts(&user(BOB), &room_id).await.expect("read");
    let threads: Vec<_> = own.iter().map(|receipt| receipt.thread.as_str()).collect();
    assert_eq!(threads.len(), 1_002);
    assert!(["", "main", "$999", event_id.as_str()].iter().all(|thread| threads.contains(thread)));
    assert!(!threads.contains(&"$1000"));
    let told = world.rooms.receipts_since(&user(ALICE), &room_id, Position::ZERO).await.expect("read");
    assert_eq!(told.len(), 1_002);
}

#[tokio::test]
async fn a_relation_of_an_endless_type_is_only_a_message() {
    let world = World::new().await;
    let graph = Graph::start(&world, &RoomVersionId::V12).await;
    let relation = json!({ "rel_type": "x".repeat(5_000), "event_id": "$x" });
    send(&world, ALICE, &graph.room_id, json!({ "body": "x", "m.relates_to": relation }), "1").await;
    world.check_tables("an endless type").await;
}

#[tokio::test]
async fn many_reactions_do_not_hide_an_edit() {
    let world = World::new().await;
    let graph = Graph::start(&world, &RoomVersionId::V12).await;
    let room_id = graph.room_id.clone();
    let event_id = send(&world, ALICE, &room_id, json!({ "body": "x" }), "1").await;
    let mut writes = WriteSet::new();
    for number in 0..1_200 {
        // Rows as reactions leave them; the events behind them are not looked at.
        let key = linkspan_storage::catalogue::RelationKey {
            room_id: room_id.clone(),
            parent: event_id.clone(),
            rel_type: "m.annotation".into(),
            seq: 100_000 + number,
        };
        let row = linkspan_storage::records::RelationRecord {
            event_id: event_id.clone(),
            event_type: "m.reaction".into(),
            sender: user(BOB),
            key: Some(number.to_string()),
            withheld: false,
            disappears_ts: None,
        };
        writes.put::<linkspan_storage::catalogue::Relations>(&key, &row);
    }
    world.store.commit(writes).await.expect("written");
    let relates_to = json!({ "rel_type": "m.replace", "event_id": event_id });
    let edit = json!({ "body": "e", "m.new_content": { "body": "e" }, "m.relates_to": relates_to });
    let edit = send(&world, ALICE, &room_id, edit, "2").await;
    let device = device();
    let reader = Reader { device_id: &device, now_ts: 9_000, with_room_id: true };
    let rendered = world.rooms.get_event(&user(ALICE), &room_id, &event_id, reader).await.expect("an event");
    let rendered: Value = serde_json::from_str(rendered.get()).expect("JSON");
    assert_eq!(rendered["unsigned"]["m.relations"]["m.replace"]["event_id"], json!(edit));
}

#[tokio::test]
async fn old_transactions_are_forgotten_and_young_ones_kept() {
    let world = World::new().await;
    let room_id = Graph::start(&world, &RoomVersionId::V12).await.room_id.clone();
    let first = send(&world, ALICE, &room_id, json!({ "body": "x" }), "1").await;

    assert_eq!(world.rooms.forget_transactions(6_000).await.expect("looked at"), 0);
    assert_eq!(send(&world, ALICE, &room_id, json!({ "body": "x" }), "1").await, first);

    assert_eq!(world.rooms.forget_transactions(6_001).await.expect("looked at"), 1);
    assert_ne!(send(&world, ALICE, &room_id, json!({ "body": "x" }), "1").await, first);
}

/// Other servers may let threads start anywhere; what comes from them is taken, but makes no thread.
#[tokio::test]
async fn a_thread_from_elsewhere_that_starts_at_a_reply_is_none() {
    for version in VERSIONS {
        let world = World::new().await;
        let mut graph = Graph::start(&world, &version).await;
        let root = graph.message(ALICE, "root", &[]);
        let in_thread = |parent: &OwnedEventId| {
            let relates_to = json!({ "rel_type": "m.thread", "event_id": parent });
            json!({ "msgtype": "m.text", "body": "reply", "m.relates_to": relates_to })
        };
        let reply = graph.event(CAROL, "m.room.message", None, in_thread(&root), &[&root]);
        let nested = graph.event(CAROL, "m.room.message", None, in_thread(&reply), &[&reply]);
        let became = world.insert_all(&graph, &[root.clone(), reply.clone(), nested]).await;
        assert!(became.values().all(|it| matches!(it, Inserted::InTimeline(_))), "{version}: {became:?}");
        let (rooms, room_id) = (&world.rooms, &graph.room_id);
        let mut view = rooms.view(&user(BOB), room_id).await.expect("a view");
        let threads = rooms.threads(&mut view, false, None, 10).await.expect("read");
        let roots: Vec<_> = threads.events.iter().map(|event| event.pdu.event_id.clone()).collect();
        assert_eq!(roots, std::slice::from_ref(&root), "version {version}");
        let device = device();
        let reader = Reader { device_id: &device, now_ts: 9_000, with_room_id: true };
        for (event_id, count) in [(&root, json!(1)), (&reply, Value::Null)] {
            let event = rooms.get_event(&user(BOB), room_id, event_id, reader).await.expect("an event");
            let event: Value = serde_json::from_str(event.get()).expect("JSON");
            assert_eq!(event["unsigned"]["m.relations"]["m.thread"]["count"], count, "version {version}");
        }
        world.check_tables(&format!("version {version}")).await;
    }
}
