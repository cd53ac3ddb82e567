//! The audit finds nothing in rooms that are right, and every damage that is done to a row.

mod world;

use linkspan_rooms::{Preset, ReceiptKind};
use linkspan_storage::{
    Range, Store, Table, WriteSet,
    catalogue::{
        BigRooms, CurrentState, EventIds, HiddenEvents, Inbox, Members, Memberships, ReceiptLog, Receipts,
        Relations, RoomHeads, Rooms as RoomsTable, StateDeltas, StateLog, Threads, Timeline, Transactions,
    },
    records::{FLAG_REDACTED, InboxPointer},
};
use ruma::{OwnedDeviceId, RoomVersionId};
use serde_json::json;
use world::{Graph, World, room_of, user};

const ALICE: &str = "@alice:a.localhost";
const BOB: &str = "@bob:b.localhost";
const CAROL: &str = "@carol:far.example";

/// A room with something in every table.
async fn full_world() -> World {
    let world = World::new().await;
    let mut graph = Graph::start(&world, &RoomVersionId::V12).await;
    let (alice, bob, room_id) = (user(ALICE), user(BOB), graph.room_id.clone());
    let device: OwnedDeviceId = "DEVICE".into();
    let send = async |content: serde_json::Value, txn: &str| {
        let content = content.to_string();
        let sent = world.rooms.send_message(
            &alice,
            &device,
            &room_id,
            "m.room.message",
            &content,
            Vec::new(),
            txn,
            6_000,
        );
        sent.await.expect("sent")
    };
    let root = send(json!({ "body": "root" }), "1").await;
    let reply = json!({ "body": "reply", "m.relates_to": { "rel_type": "m.thread", "event_id": root } });
    let first = send(reply.clone(), "2").await;
    let second = send(reply.clone(), "3").await;
    let last = send(reply, "4").await;
    let edit = json!({ "body": "edit", "m.relates_to": { "rel_type": "m.replace", "event_id": root } });
    send(edit, "5").await;
    for (number, event) in [&last, &last, &first].into_iter().enumerate() {
        let txn = format!("r{number}");
        world
            .rooms
            .redact_event(&alice, &device, &room_id, event, None, &txn, 6_500)
            .await
            .expect("redacted");
    }
    for (event, thread) in [(&root, "main"), (&second, root.as_str())] {
        for kind in [ReceiptKind::Public, ReceiptKind::Private] {
            world.rooms.set_receipt(&bob, &room_id, kind, thread, event, 7_000).await.expect("a receipt");
        }
    }
    let refused = graph.topic("@dave:far.example", "no", &[]);
    world.insert(&graph, &refused).await;
    let fork = graph.topic(CAROL, "fork", &[]);
    world.insert(&graph, &fork).await;
    world.rooms.leave_room(&bob, &room_id, None, 8_000).await.expect("left");
    world.rooms.join_room(&bob, &room_id, None, 8_001).await.expect("joined");
    world
}

#[tokio::test]
async fn a_busy_room_has_no_findings() {
    let world = full_world().await;
    world.check_tables("a busy room").await;
    let copy = world.copy().await;
    copy.check_tables("a busy room, opened again").await;
}

#[tokio::test]
async fn big_rooms_have_no_findings_either() {
    let world = World::new().await;
    let graph = Graph::start(&world, &RoomVersionId::V11).await;
    for number in 0..110 {
        let member = user(&format!("@u{number}:a.localhost"));
        world.rooms.join_room(&member, &graph.room_id, None, 6_000).await.expect("joined");
    }
    world.rooms.leave_room(&user("@u7:a.localhost"), &graph.room_id, None, 6_001).await.expect("left");
    let big = world.rooms.room(&graph.room_id).await.expect("a room").is_big();
    assert!(big, "110 are many");
    world.check_tables("a big room").await;
    damage::<BigRooms>(&world, "big rooms", |_| None).await;
    damage::<RoomsTable>(&world, "a big room", |record| {
        Some(Change::Put({
            let mut small = record.clone();
            small.big = false;
            small
        }))
    })
    .await;
}

enum Change<V> {
    Delete,
    Put(V),
}

/// Damages the rows of a table, one at a time: deletes each, or does what `change` says with it (None: delete).
/// The audit must find every one, and find nothing once it is undone.
async fn damage<T: Table>(world: &World, name: &str, change: impl Fn(&T::Value) -> Option<Change<T::Value>>)
where
    T::Key: std::fmt::Debug,
{
    let rows = world.store.range::<T>(Range::all()).await.expect("read");
    assert!(!rows.is_empty(), "{name}: nothing to damage");
    for (key, value) in rows {
        let mut writes = WriteSet::new();
        match change(&value).unwrap_or(Change::Delete) {
            Change::Delete => writes.delete::<T>(&key),
            Change::Put(other) => writes.put::<T>(&key, &other),
        }
        commit(&world.store, writes).await;
        let findings = world.rooms.audit().await.expect("an audit");
        assert!(!findings.is_empty(), "{name}: damage at {key:?} was not found");
        let mut writes = WriteSet::new();
        writes.put::<T>(&key, &value);
        commit(&world.store, writes).await;
    }
    world.check_tables(name).await;
}

async fn commit(store: &Store, writes: WriteSet) {
    store.commit(writes).await.expect("written");
}

#[tokio::test]
async fn a_missing_row_is_found_in_every_table() {
    let world = full_world().await;
    damage::<RoomsTable>(&world, "rooms", |_| None).await;
    damage::<RoomHeads>(&world, "room heads", |_| None).await;
    damage::<Timeline>(&world, "timeline", |_| None).await;
    damage::<EventIds>(&world, "event ids", |_| None).await;
    damage::<HiddenEvents>(&world, "hidden events", |_| None).await;
    damage::<CurrentState>(&world, "current state", |_| None).await;
    damage::<StateDeltas>(&world, "state deltas", |_| None).await;
    damage::<Members>(&world, "members", |_| None).await;
    damage::<Memberships>(&world, "memberships", |_| None).await;
    damage::<Relations>(&world, "relations", |_| None).await;
    damage::<Threads>(&world, "threads", |_| None).await;
    damage::<Receipts>(&world, "receipts", |_| None).await;
    damage::<ReceiptLog>(&world, "receipt log", |_| None).await;
}

#[tokio::test]
async fn a_wrong_row_is_found_in_every_table() {
    let world = full_world().await;
    let other: ruma::OwnedEventId = format!("${}", "A".repeat(43)).try_into().expect("an id");
    damage::<RoomHeads>(&world, "seq", |head| {
        Some(Change::Put(linkspan_storage::records::RoomHeadRecord { seq: head.seq - 1, ..head.clone() }))
    })
    .await;
    damage::<RoomHeads>(&world, "joined", |head| {
        Some(Change::Put(linkspan_storage::records::RoomHeadRecord {
            joined: head.joined + 1,
            ..head.clone()
        }))
    })
    .await;
    damage::<RoomHeads>(&world, "invited", |head| {
        Some(Change::Put(linkspan_storage::records::RoomHeadRecord { invited: 1, ..head.clone() }))
    })
    .await;
    damage::<RoomHeads>(&world, "extremities", |head| {
        let mut changed = head.clone();
        changed.extremities.push(other.clone());
        Some(Change::Put(changed))
    })
    .await;
    damage::<RoomHeads>(&world, "state", |head| {
        let mut changed = head.clone();
        changed.state_id -= 1;
        Some(Change::Put(changed))
    })
    .await;
    damage::<Timeline>(&world, "flags", |event| {
        let mut changed = event.clone();
        changed.value.flags ^= FLAG_REDACTED;
        Some(Change::Put(changed))
    })
    .await;
    damage::<Timeline>(&world, "content", |event| {
        let mut changed = event.clone();
        changed.value.pdu = changed.value.pdu.replace("\"depth\":", "\"depth\":1");
        Some(Change::Put(changed))
    })
    .await;
    damage::<Timeline>(&world, "state after", |event| {
        let mut changed = event.clone();
        changed.value.state_after += 1;
        Some(Change::Put(changed))
    })
    .await;
    damage::<StateDeltas>(&world, "changes", |delta| {
        let mut changed = delta.clone();
        changed.changes[0].2 = Some(other.clone());
        Some(Change::Put(changed))
    })
    .await;
    damage::<CurrentState>(&world, "event of the state", |entry| {
        let mut changed = entry.clone();
        changed.event_id = Some(other.clone());
        Some(Change::Put(changed))
    })
    .await;
    damage::<Members>(&world, "membership", |member| {
        let mut changed = member.clone();
        changed.membership = "ban".into();
        Some(Change::Put(changed))
    })
    .await;
    damage::<Memberships>(&world, "own membership", |member| {
        let mut changed = member.clone();
        changed.value.membership = "ban".into();
        Some(Change::Put(changed))
    })
    .await;
    damage::<Threads>(&world, "replies", |thread| {
        let mut changed = thread.clone();
        changed.count += 1;
        Some(Change::Put(changed))
    })
    .await;
    damage::<Threads>(&world, "who replied", |thread| {
        let mut changed = thread.clone();
        changed.participants.clear();
        Some(Change::Put(changed))
    })
    .await;
    damage::<Threads>(&world, "newest reply", |thread| {
        let mut changed = thread.clone();
        changed.latest_seq += 1;
        Some(Change::Put(changed))
    })
    .await;
    damage::<Relations>(&world, "child", |relation| {
        let mut changed = relation.clone();
        changed.event_id = other.clone();
        Some(Change::Put(changed))
    })
    .await;
    damage::<Receipts>(&world, "receipt", |receipt| {
        let mut changed = receipt.clone();
        changed.value.event_id = other.clone();
        Some(Change::Put(changed))
    })
    .await;
    damage::<Transactions>(&world, "transaction", |transaction| {
        let mut changed = transaction.clone();
        changed.event_id = Some(other.clone());
        Some(Change::Put(changed))
    })
    .await;
}

#[tokio::test]
async fn a_member_who_would_not_be_told_is_found() {
    let world = full_world().await;
    let newest = world.store.position();
    let mut writes = WriteSet::new();
    for key in world.store.keys::<Inbox>(Range::all()).await.expect("read") {
        if key.user_id == BOB && matches!(key.pointer, InboxPointer::Room(_)) {
            writes.delete::<Inbox>(&key);
        }
    }
    assert!(!writes.is_empty() && newest > linkspan_storage::Position::ZERO);
    commit(&world.store, writes).await;
    let findings = world.rooms.audit().await.expect("an audit");
    assert!(findings.iter().any(|it| it.contains("the inbox of @bob:b.localhost")), "{findings:#?}");
}

#[tokio::test]
async fn a_log_that_does_not_end_in_the_state_is_found() {
    let world = full_world().await;
    let rows = world.store.range::<StateLog>(Range::all()).await.expect("read");
    let (key, _) = rows.into_iter().last().expect("rows");
    let mut writes = WriteSet::new();
    writes.delete::<StateLog>(&key);
    commit(&world.store, writes).await;
    let findings = world.rooms.audit().await.expect("an audit");
    assert!(findings.iter().any(|it| it.contains("the log of state changes")), "{findings:#?}");
}

/// Two rooms alike in one millisecond are two rooms, though the hash of the same create event is one.
#[tokio::test]
async fn rooms_made_alike_at_once_are_different_rooms() {
    let world = World::new().await;
    let mut tasks = Vec::<std::pin::Pin<Box<dyn Future<Output = _> + Send>>>::new();
    for _ in 0..8 {
        let rooms = world.rooms.clone();
        let command = room_of(Some(RoomVersionId::V12), Preset::PrivateChat);
        tasks.push(Box::pin(async move {
            rooms.create_room(&user(ALICE), command, 1_000).await.expect("a room")
        }));
    }
    let rooms: std::collections::HashSet<_> = world.at_once(tasks).await.into_iter().collect();
    assert_eq!(rooms.len(), 8);
    world.check_tables("eight rooms").await;
}
