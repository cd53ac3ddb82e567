//! What keys, rows and reads of the embedded store cost. Commits are left out: they wait for the disk.
#![allow(missing_docs, reason = "criterion's macros make public functions")]

use std::hint::black_box;

use criterion::{Criterion, criterion_group, criterion_main};
use linkspan_storage::{
    Key, Position, Range, Stamped, Store, Value, WriteSet,
    catalogue::{Inbox, InboxKey, Timeline, TimelineKey},
    records::{EventRecord, InboxPointer},
};
use ruma::{OwnedRoomId, OwnedUserId};
use tempfile::TempDir;
use tokio::runtime::Runtime;

/// How many users have inboxes that lie beside each other.
const USERS: usize = 100;
/// How many pointers each inbox has, and how many events the room has.
const ROWS: usize = 1_000;
/// How many rows a read finds.
const NEW: usize = 20;

fn room_id() -> OwnedRoomId {
    "!n8f893n9abcdefghijklmnopqrstuvwxyzABCDEFGHI".try_into().expect("a room id")
}

fn user_id(number: usize) -> OwnedUserId {
    format!("@user{number}:instagram.localhost").try_into().expect("a user id")
}

fn inbox_key(user: usize, position: Position) -> InboxKey {
    InboxKey { user_id: user_id(user), position, pointer: InboxPointer::Room(room_id()) }
}

fn event() -> EventRecord {
    let id = "$n8f893n9abcdefghijklmnopqrstuvwxyzABCDEFGHI";
    EventRecord {
        state_before: 7,
        state_after: 7,
        flags: 0,
        sent_by: "DEVICE\0txn-17".to_owned(),
        event_id: id.try_into().expect("an event id"),
        pdu: format!(
            r#"{{"auth_events":["{id}","{id}"],"content":{{"body":"We meet at nine","msgtype":"m.text"}},"#
        ) + &format!(
            r#""depth":17,"origin_server_ts":1,"prev_events":["{id}"],"room_id":"{}","#,
            room_id()
        ) + r#""sender":"@ben:messenger.localhost","type":"m.room.message"}"#,
        disappears_ts: None,
    }
}

fn encoding(criterion: &mut Criterion) {
    let key = inbox_key(17, Position::from_u64(123_456));
    let bytes = key.to_bytes();
    criterion.bench_function("write an inbox key", |bench| bench.iter(|| black_box(&key).to_bytes()));
    criterion.bench_function("read an inbox key", |bench| {
        bench.iter(|| InboxKey::from_bytes(black_box(&bytes)));
    });
    let key = TimelineKey { room_id: room_id(), seq: 1234 };
    let bytes = key.to_bytes();
    criterion.bench_function("write a timeline key", |bench| bench.iter(|| black_box(&key).to_bytes()));
    criterion.bench_function("read a timeline key", |bench| {
        bench.iter(|| TimelineKey::from_bytes(black_box(&bytes)));
    });
    let event = event();
    let mut bytes = Vec::new();
    event.write(&mut bytes);
    criterion.bench_function("write an event's row", |bench| {
        bench.iter(|| {
            let mut bytes = Vec::new();
            black_box(&event).write(&mut bytes);
            bytes
        });
    });
    criterion.bench_function("read an event's row", |bench| {
        bench.iter(|| EventRecord::read(black_box(&bytes)));
    });
}

/// A store with [`ROWS`] rows in each inbox and in one room, and the position before the last [`NEW`] of
/// them.
async fn filled(folder: &TempDir) -> (Store, Position) {
    let store = Store::open(folder.path()).expect("a new store");
    let mut since = store.position();
    for row in 0..ROWS {
        if row == ROWS - NEW {
            since = store.position();
        }
        let mut writes = WriteSet::new();
        for user in 0..USERS {
            writes.put::<Inbox>(&inbox_key(user, Position::PENDING), &());
        }
        let key = TimelineKey { room_id: room_id(), seq: row as i64 };
        writes.put::<Timeline>(&key, &Stamped::pending(event()));
        store.commit(writes).await.expect("a write to a new store");
    }
    (store, since)
}

fn reading(criterion: &mut Criterion) {
    let folder = TempDir::new().expect("a folder");
    let runtime = Runtime::new().expect("a runtime");
    let (store, since) = runtime.block_on(filled(&folder));
    let user = user_id(USERS / 2);
    let inbox =
        |since: &Position| Range::<Inbox>::between((&user, &since.next()), (&user, &Position::PENDING));
    let found = runtime.block_on(store.keys(inbox(&since))).expect("it can be read");
    assert_eq!(found.len(), NEW);
    criterion.bench_function("read an inbox with 20 new pointers", |bench| {
        bench.iter(|| runtime.block_on(store.keys(inbox(black_box(&since)))));
    });
    let now = store.position();
    criterion.bench_function("read an inbox with nothing new", |bench| {
        bench.iter(|| runtime.block_on(store.keys(inbox(black_box(&now)))));
    });
    criterion.bench_function("read the newest 20 events of a room", |bench| {
        bench.iter(|| {
            let newest = Range::<Timeline>::prefix((&room_id(),)).reverse().limit(NEW);
            runtime.block_on(store.range(newest))
        });
    });
}

criterion_group!(benches, encoding, reading);
criterion_main!(benches);
