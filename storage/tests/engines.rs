//! The conformance suite: what the contract promises, checked on every engine.
//!
//! A test is an async function over a [`Rig`]; [`conformance_tests!`] stamps all of them onto an engine.
#![allow(clippy::unwrap_used, missing_docs)]

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::Path,
    sync::{Arc, Mutex, mpsc},
    time::Duration,
};

use linkspan_storage::{
    Change, CommitError, CommitGroup, Faults, Feed, Json, MAX_KEY_BYTES, Memory, News, Position, Range,
    Stamped, StorageError, Store, Trailing, Unanswered, WriteSet, answer_pending,
    catalogue::{
        AccountData, AccountDataKey, Filters, Inbox, InboxKey, MediaUsage, RoomHeads, RoomKey, Timeline,
        ToDevice, ToDeviceKey, UserKey, UserNameKey,
    },
    records::{InboxPointer, RoomHeadRecord},
};
use ruma::{OwnedRoomId, OwnedUserId};
use tempfile::TempDir;

/// An engine under test.
trait Rig: Sized {
    /// With an empty store.
    fn create() -> Self;
    fn store(&self) -> &Store;
    /// Stops the engine in good order and opens it again.
    fn reopen(self) -> Self;
    /// What would be found if the power failed just now.
    fn image(&self) -> Self;
}

struct Embedded {
    store: Store,
    folder: TempDir,
}

impl Embedded {
    fn open(folder: TempDir) -> Self {
        Self { store: Store::open(folder.path()).unwrap(), folder }
    }
}

impl Rig for Embedded {
    fn create() -> Self {
        Self::open(TempDir::new().unwrap())
    }
    fn store(&self) -> &Store {
        &self.store
    }
    fn reopen(self) -> Self {
        let Self { store, folder } = self;
        drop(store);
        Self::open(folder)
    }
    fn image(&self) -> Self {
        let folder = TempDir::new().unwrap();
        copy_folder(self.folder.path(), folder.path());
        Self::open(folder)
    }
}

fn copy_folder(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy_folder(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), target).unwrap();
        }
    }
}

struct InMemory {
    memory: Arc<Memory>,
    store: Store,
}

impl InMemory {
    fn on(memory: Arc<Memory>) -> Self {
        Self { store: Store::in_memory(memory.clone()), memory }
    }
}

impl Rig for InMemory {
    fn create() -> Self {
        Self::on(Memory::with_faults(Faults::default()).unwrap())
    }
    fn store(&self) -> &Store {
        &self.store
    }
    fn reopen(self) -> Self {
        let Self { memory, store } = self;
        drop(store);
        let memory = Arc::into_inner(memory).expect("nobody else has the store open");
        Self::on(memory.close_and_reopen().unwrap())
    }
    fn image(&self) -> Self {
        Self::on(self.memory.image().unwrap())
    }
}

macro_rules! conformance_tests {
    ($module:ident, $rig:ty) => {
        mod $module {
            use super::Rig as _;

            conformance_tests! { @ $rig:
                rows_can_be_put_got_and_deleted
                many_keys_are_read_in_their_order
                ranges_are_ordered_and_cut
                bounds_of_a_range_may_be_longer_than_any_key
                a_range_is_deleted_whole_and_nothing_else
                agrees_with_a_sorted_map
                a_conflict_writes_nothing
                expectations_see_all_that_was_submitted_before
                the_last_change_of_a_key_counts
                positions_rise_in_the_order_of_submission
                keys_and_values_are_stamped
                a_stamped_value_put_again_keeps_its_position
                a_stamped_value_that_was_read_can_be_expected
                updates_do_not_lose_each_other
                readers_see_all_of_a_write_set_or_nothing
                the_feed_tells_of_every_commit_in_order
                the_feed_tells_which_watched_keys_change
                watchers_hear_before_anybody_else
                what_is_written_once_in_an_era_is_found_from_any_position
                listeners_hear_of_what_can_be_read
                a_check_without_changes_takes_no_position
                what_is_too_long_is_refused
                what_is_acknowledged_is_on_disk
                reopening_keeps_everything_and_goes_on
                what_was_submitted_is_committed_before_the_store_closes
                stats_count_rows
            }
        }
    };
    (@ $rig:ty: $($test:ident)*) => {
        $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
        async fn $test() {
            super::$test(<$rig>::create()).await;
        })*
    };
}

conformance_tests!(embedded, super::Embedded);
conformance_tests!(memory, super::InMemory);

fn user(name: &str) -> OwnedUserId {
    format!("@{name}:instagram.localhost").try_into().unwrap()
}

fn message_key(name: &str, position: Position, index: u32) -> ToDeviceKey {
    let (user_id, device_id, label) = (user(name), "PHONE".into(), Trailing(None));
    ToDeviceKey { user_id, device_id, position, index, label }
}

fn room(name: &str) -> OwnedRoomId {
    format!("!{name}:instagram.localhost").try_into().unwrap()
}

fn row(user_name: &str, name: &str) -> UserNameKey {
    UserNameKey { user_id: user(user_name), name: name.into() }
}

fn counter(name: &str) -> UserKey {
    UserKey { user_id: user(name) }
}

fn account_data(event_type: &str) -> AccountDataKey {
    AccountDataKey { user_id: user("anna"), room_id: None, event_type: event_type.into() }
}

fn json(text: &str) -> Json {
    Json(text.into())
}

fn put(key: &UserNameKey, value: &str) -> WriteSet {
    let mut writes = WriteSet::new();
    writes.put::<Filters>(key, &json(value));
    writes
}

/// Puts a pointer into somebody's inbox: the stream tells of it.
fn put_pointer(writes: &mut WriteSet, name: &str) {
    let pointer = InboxPointer::AccountData(None);
    writes.put::<Inbox>(&InboxKey { user_id: user(name), position: Position::PENDING, pointer }, &());
}

/// The next commits of a feed.
async fn commits(feed: &mut Feed) -> CommitGroup {
    match feed.next().await {
        Some(News::Commits(group)) => group,
        other => panic!("{other:?}"),
    }
}

/// The names of the rows of a range.
async fn names(store: &Store, range: Range<Filters>) -> String {
    let keys = store.keys(range.clone()).await.unwrap();
    let rows = store.range(range).await.unwrap();
    assert_eq!(keys, rows.iter().map(|(key, _)| key.clone()).collect::<Vec<_>>());
    assert!(rows.iter().all(|(key, value)| value.0 == key.name), "a row has another's value");
    keys.into_iter().map(|key| key.name).collect()
}

/// A small generator of pseudo-random numbers (SplitMix64).
struct Random(u64);

impl Random {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        (mixed ^ (mixed >> 31)) % bound
    }
}

async fn rows_can_be_put_got_and_deleted(rig: impl Rig) {
    let store = rig.store();
    let key = row("anna", "a");
    assert_eq!(store.get::<Filters>(&key).await.unwrap(), None);
    assert!(!store.contains::<Filters>(&key).await.unwrap());
    store.commit(put(&key, "1")).await.unwrap();
    assert_eq!(store.get::<Filters>(&key).await.unwrap(), Some(json("1")));
    assert!(store.contains::<Filters>(&key).await.unwrap());
    assert_eq!(store.get::<Filters>(&row("anna", "b")).await.unwrap(), None);
    assert_eq!(store.get::<Filters>(&row("bert", "a")).await.unwrap(), None);
    store.commit(put(&key, "")).await.unwrap();
    assert_eq!(store.get::<Filters>(&key).await.unwrap(), Some(json("")));
    let mut writes = WriteSet::new();
    writes.delete::<Filters>(&key);
    writes.delete::<Filters>(&row("anna", "never there"));
    store.commit(writes).await.unwrap();
    assert_eq!(store.get::<Filters>(&key).await.unwrap(), None);
}

async fn many_keys_are_read_in_their_order(rig: impl Rig) {
    let store = rig.store();
    let keys: Vec<_> = ["c", "a", "none", "b", "a"].map(|name| row("anna", name)).into();
    for name in ["a", "b", "c", "d"] {
        store.commit(put(&row("anna", name), name)).await.unwrap();
    }
    let found = store.get_many::<Filters>(&keys).await.unwrap();
    assert_eq!(found, [Some(json("c")), Some(json("a")), None, Some(json("b")), Some(json("a"))]);
    assert_eq!(store.get_many::<Filters>(&[]).await.unwrap(), []);
    let too_long = row("anna", &"x".repeat(MAX_KEY_BYTES));
    assert_eq!(store.get_many::<Filters>(&[too_long]).await.unwrap(), [None]);
    // Rows of this table are kept in memory.
    let rooms = ["!a:b", "!b:b"].map(|room_id| RoomKey { room_id: OwnedRoomId::try_from(room_id).unwrap() });
    let head = RoomHeadRecord {
        seq: 7,
        extremities: Vec::new(),
        depth: 1,
        state_id: 1,
        last_state_id: 1,
        joined: 1,
        invited: 0,
        unanswered: 0,
        unanswered_bytes: 0,
        state_size: None,
    };
    let mut writes = WriteSet::new();
    writes.put::<RoomHeads>(&rooms[1], &head);
    store.commit(writes).await.unwrap();
    let found = store.get_many::<RoomHeads>(&rooms).await.unwrap();
    assert_eq!(
        found.iter().map(|head| head.as_ref().map(|head| head.seq)).collect::<Vec<_>>(),
        [None, Some(7)]
    );
}

async fn ranges_are_ordered_and_cut(rig: impl Rig) {
    let store = rig.store();
    let mut writes = WriteSet::new();
    for (user_name, name) in [
        ("anna", "d"),
        ("anna", "b"),
        ("bert", "x"),
        ("anna", "c"),
        ("anna", "a"),
        ("ann", "w"),
        ("anna", "e"),
    ] {
        writes.put::<Filters>(&row(user_name, name), &json(name));
    }
    store.commit(writes).await.unwrap();

    let anna = user("anna");
    let of_anna = || Range::<Filters>::prefix((&anna,));
    let key = |name| row("anna", name);
    assert_eq!(names(store, Range::all()).await, "wabcdex");
    assert_eq!(names(store, Range::all().reverse()).await, "xedcbaw");
    assert_eq!(names(store, of_anna()).await, "abcde");
    assert_eq!(names(store, of_anna().reverse()).await, "edcba");
    assert_eq!(names(store, of_anna().limit(2)).await, "ab");
    assert_eq!(names(store, of_anna().reverse().limit(2)).await, "ed");
    assert_eq!(names(store, of_anna().limit(0)).await, "");
    assert_eq!(names(store, of_anna().from(&key("b"))).await, "bcde");
    assert_eq!(names(store, of_anna().after(&key("b"))).await, "cde");
    assert_eq!(names(store, of_anna().before(&key("d"))).await, "abc");
    assert_eq!(names(store, of_anna().up_to(&key("d"))).await, "abcd");
    assert_eq!(names(store, of_anna().after(&key("b")).before(&key("d"))).await, "c");
    assert_eq!(names(store, of_anna().from(&key("b")).up_to(&key("d")).reverse().limit(2)).await, "dc");
    assert_eq!(names(store, of_anna().after(&key("bb")).before(&key("cc"))).await, "c");
    // Bounds outside the prefix do not widen it, and those that cross leave nothing.
    assert_eq!(names(store, of_anna().from(&row("ann", "w")).up_to(&row("bert", "x"))).await, "abcde");
    assert_eq!(names(store, of_anna().from(&key("d")).before(&key("b"))).await, "");
    assert_eq!(names(store, of_anna().after(&key("b")).up_to(&key("b"))).await, "");
    assert_eq!(names(store, of_anna().from(&row("bert", "a"))).await, "");
    assert_eq!(names(store, Range::prefix((&anna, &"c".to_owned()))).await, "c");
    assert_eq!(names(store, Range::prefix((&user("nobody"),))).await, "");
    assert_eq!(names(store, Range::prefix_text((&anna,), "")).await, "abcde");
    assert_eq!(names(store, Range::prefix_text((&anna,), "e")).await, "e");
}

async fn bounds_of_a_range_may_be_longer_than_any_key(rig: impl Rig) {
    let store = rig.store();
    for name in ["a", "c", "e"] {
        store.commit(put(&row("anna", name), name)).await.unwrap();
    }
    let long = row("anna", &format!("c{}", "x".repeat(100_000)));
    assert_eq!(store.get::<Filters>(&long).await.unwrap(), None);
    assert_eq!(names(store, Range::all().from(&long)).await, "e");
    assert_eq!(names(store, Range::all().after(&long)).await, "e");
    assert_eq!(names(store, Range::all().before(&long)).await, "ac");
    assert_eq!(names(store, Range::all().up_to(&long)).await, "ac");
    assert_eq!(names(store, Range::prefix_text((&user("anna"),), &long.name)).await, "");
    let mut writes = put(&row("anna", "g"), "g");
    writes.expect_absent::<Filters>(&long);
    store.commit(writes).await.unwrap();
}

async fn a_range_is_deleted_whole_and_nothing_else(rig: impl Rig) {
    let store = rig.store();
    let mut writes = WriteSet::new();
    for name in ["ann", "annabel"] {
        writes.put::<Filters>(&row(name, "kept"), &json("kept"));
    }
    // More than go with one commit.
    for number in 0..4_500 {
        writes.put::<Filters>(&row("anna", &number.to_string()), &json(""));
    }
    store.commit(writes).await.unwrap();
    store.delete_range::<Filters>(Range::prefix((&user("anna"),))).await.unwrap();
    assert_eq!(names(store, Range::all()).await, "keptkept");
    store.delete_range::<Filters>(Range::prefix((&user("anna"),))).await.unwrap();
    assert_eq!(names(store, Range::all()).await, "keptkept");
}

async fn agrees_with_a_sorted_map(rig: impl Rig) {
    let store = rig.store();
    let mut model = BTreeMap::new();
    let mut random = Random(17);
    let name = |random: &mut Random| -> String {
        (0..random.below(4)).map(|_| ['\0', '\u{1}', 'a', 'b', 'é'][random.below(5) as usize]).collect()
    };
    for round in 0..200 {
        let mut writes = WriteSet::new();
        for _ in 0..random.below(6) {
            let name = name(&mut random);
            if random.below(3) == 0 {
                writes.delete::<Filters>(&row("anna", &name));
                model.remove(&name);
            } else {
                writes.put::<Filters>(&row("anna", &name), &json(&round.to_string()));
                model.insert(name, round.to_string());
            }
        }
        store.commit(writes).await.unwrap();
        let (from, to, limit) = (name(&mut random), name(&mut random), random.below(9) as usize);
        let is_inside = |name: &&String| **name >= from && **name < to;
        let range = Range::<Filters>::all().from(&row("anna", &from)).before(&row("anna", &to)).limit(limit);
        let found = |rows: Vec<(UserNameKey, Json)>| -> Vec<(String, String)> {
            rows.into_iter().map(|(key, value)| (key.name, value.0)).collect()
        };
        let rows = |name: &String| (name.clone(), model[name].clone());
        let expected: Vec<_> = model.keys().filter(is_inside).take(limit).map(rows).collect();
        assert_eq!(found(store.range(range.clone()).await.unwrap()), expected);
        let expected: Vec<_> = model.keys().rev().filter(is_inside).take(limit).map(rows).collect();
        assert_eq!(found(store.range(range.reverse()).await.unwrap()), expected);
        let value = store.get::<Filters>(&row("anna", &from)).await.unwrap();
        assert_eq!(value.map(|value| value.0), model.get(&from).cloned());
    }
}

async fn a_conflict_writes_nothing(rig: impl Rig) {
    let store = rig.store();
    let key = row("anna", "a");
    let before = store.commit(put(&key, "1")).await.unwrap();
    let mut feed = store.follow();
    let expectations: [fn(&mut WriteSet, &UserNameKey); 4] = [
        |writes, key| writes.expect_absent::<Filters>(key),
        |writes, key| writes.expect::<Filters>(key, &json("2")),
        |writes, key| writes.expect::<Filters>(key, &json("")),
        |writes, _| writes.expect::<Filters>(&row("anna", "absent"), &json("1")),
    ];
    for expect in expectations {
        let mut writes = put(&key, "3");
        writes.put::<MediaUsage>(&counter("anna"), &3);
        put_pointer(&mut writes, "anna");
        writes.expect::<Filters>(&key, &json("1"));
        expect(&mut writes, &key);
        assert!(matches!(store.commit(writes).await, Err(CommitError::Conflict(_))));
        assert_eq!(store.get::<Filters>(&key).await.unwrap(), Some(json("1")));
        assert!(!store.contains::<MediaUsage>(&counter("anna")).await.unwrap());
    }
    let mut writes = put(&key, "4");
    writes.expect::<Filters>(&key, &json("1"));
    writes.expect_absent::<MediaUsage>(&counter("anna"));
    let after = store.commit(writes).await.unwrap();
    assert_eq!(after, before.next(), "a refused write-set takes no position");
    // Who commits is told before the feed is: the first commit may come in yet.
    let mut told = commits(&mut feed).await[0].position;
    if told == before {
        told = commits(&mut feed).await[0].position;
    }
    assert_eq!(told, after, "the feed tells of no refused write-set");
}

/// The outcomes are the same whether the write-sets share a group or not.
async fn expectations_see_all_that_was_submitted_before(rig: impl Rig) {
    check_chained_expectations(rig.store()).await;
}

async fn check_chained_expectations(store: &Store) {
    let key = row("anna", "a");
    let expecting = |expected: Option<&str>, value: Option<&str>| {
        let mut writes = WriteSet::new();
        match expected {
            Some(expected) => writes.expect::<Filters>(&key, &json(expected)),
            None => writes.expect_absent::<Filters>(&key),
        }
        match value {
            Some(value) => writes.put::<Filters>(&key, &json(value)),
            None => writes.delete::<Filters>(&key),
        }
        store.submit(writes)
    };
    let tickets = [
        (expecting(None, Some("1")), true),
        (expecting(None, Some("x")), false),
        (expecting(Some("1"), Some("2")), true),
        (expecting(Some("1"), Some("x")), false),
        (expecting(Some("2"), None), true),
        (expecting(Some("2"), Some("x")), false),
        (expecting(None, Some("5")), true),
        (expecting(Some("5"), Some("6")), true),
    ];
    for (ticket, succeeds) in tickets {
        match ticket.committed().await {
            Ok(_) => assert!(succeeds),
            Err(error) => assert!(!succeeds && matches!(error, CommitError::Conflict(_)), "{error}"),
        }
    }
    assert_eq!(store.get::<Filters>(&key).await.unwrap(), Some(json("6")));
}

async fn the_last_change_of_a_key_counts(rig: impl Rig) {
    let store = rig.store();
    let mut writes = put(&row("anna", "a"), "1");
    writes.delete::<Filters>(&row("anna", "a"));
    writes.delete::<Filters>(&row("anna", "b"));
    writes.put::<Filters>(&row("anna", "b"), &json("2"));
    writes.put::<Filters>(&row("anna", "c"), &json("3"));
    let mut more = put(&row("anna", "c"), "4");
    more.put::<Filters>(&row("anna", "d"), &json("5"));
    writes.append(more);
    store.commit(writes).await.unwrap();
    let rig = rig.reopen();
    let rows = rig.store().range(Range::<Filters>::all()).await.unwrap();
    let rows: Vec<_> = rows.iter().map(|(key, value)| (key.name.as_str(), value.0.as_str())).collect();
    assert_eq!(rows, [("b", "2"), ("c", "4"), ("d", "5")]);
}

async fn positions_rise_in_the_order_of_submission(rig: impl Rig) {
    let store = rig.store();
    assert_eq!(store.position(), Position::ZERO);
    let tickets: Vec<_> = (0..100).map(|n| store.submit(put(&row("anna", &n.to_string()), "{}"))).collect();
    let mut last = Position::ZERO;
    for ticket in tickets {
        let position = ticket.committed().await.unwrap();
        assert_eq!(position, last.next());
        assert!(store.position() >= position, "an acknowledged commit is not readable");
        last = position;
    }
    assert_eq!(store.position(), last);
}

async fn keys_and_values_are_stamped(rig: impl Rig) {
    let store = rig.store();
    let inbox_key =
        |position| InboxKey { user_id: user("anna"), position, pointer: InboxPointer::Room(room("r")) };
    let to_device_key = |position, index| message_key("anna", position, index);
    for round in 0..3 {
        let mut writes = WriteSet::new();
        writes.put::<Inbox>(&inbox_key(Position::PENDING), &());
        writes.put::<ToDevice>(&to_device_key(Position::PENDING, 0), &json("0"));
        writes.put::<ToDevice>(&to_device_key(Position::PENDING, 1), &json("1"));
        writes.put::<AccountData>(&account_data("m.direct"), &Stamped::pending(json("{}")));
        let position = store.commit(writes).await.unwrap();
        let keys = store.keys(Range::<Inbox>::prefix((&user("anna"),))).await.unwrap();
        assert_eq!((keys.len(), keys.last()), (round + 1, Some(&inbox_key(position))));
        assert!(store.contains::<ToDevice>(&to_device_key(position, 0)).await.unwrap());
        assert!(store.contains::<ToDevice>(&to_device_key(position, 1)).await.unwrap());
        let value = store.get::<AccountData>(&account_data("m.direct")).await.unwrap().unwrap();
        assert_eq!(value, Stamped { position, value: json("{}") });
        // What came up to a position is found by it, and not again after it.
        let after = Range::<Inbox>::prefix((&user("anna"),)).from(&inbox_key(position.next()));
        assert_eq!(store.keys(after).await.unwrap(), []);
    }
}

async fn a_stamped_value_put_again_keeps_its_position(rig: impl Rig) {
    let store = rig.store();
    let key = account_data("m.direct");
    let mut writes = WriteSet::new();
    writes.put::<AccountData>(&key, &Stamped::pending(json("1")));
    let position = store.commit(writes).await.unwrap();
    let mut value = store.get::<AccountData>(&key).await.unwrap().unwrap();
    value.value = json("2");
    let mut writes = WriteSet::new();
    writes.put::<AccountData>(&key, &value);
    assert!(store.commit(writes).await.unwrap() > position);
    let value = store.get::<AccountData>(&key).await.unwrap().unwrap();
    assert_eq!(value, Stamped { position, value: json("2") });
}

async fn a_stamped_value_that_was_read_can_be_expected(rig: impl Rig) {
    let store = rig.store();
    let key = account_data("m.direct");
    let mut writes = WriteSet::new();
    writes.put::<AccountData>(&key, &Stamped::pending(json("1")));
    store.commit(writes).await.unwrap();
    let value = store.get::<AccountData>(&key).await.unwrap().unwrap();
    for succeeds in [true, false] {
        let mut writes = WriteSet::new();
        writes.expect::<AccountData>(&key, &value);
        writes.put::<AccountData>(&key, &Stamped::pending(json("1")));
        assert_eq!(store.commit(writes).await.is_ok(), succeeds);
    }
}

async fn updates_do_not_lose_each_other(rig: impl Rig) {
    let store = rig.store();
    let tasks = (0..4).map(|_| {
        let store = store.clone();
        tokio::spawn(async move {
            for _ in 0..25 {
                let increment = || async {
                    let key = counter("anna");
                    let mut writes = WriteSet::new();
                    let count = match store.get::<MediaUsage>(&key).await? {
                        Some(count) => {
                            writes.expect::<MediaUsage>(&key, &count);
                            count + 1
                        }
                        None => {
                            writes.expect_absent::<MediaUsage>(&key);
                            1
                        }
                    };
                    writes.put::<MediaUsage>(&key, &count);
                    Ok::<_, StorageError>((writes, count))
                };
                store.update(increment).await.unwrap();
            }
        })
    });
    for task in tasks.collect::<Vec<_>>() {
        task.await.unwrap();
    }
    assert_eq!(store.get::<MediaUsage>(&counter("anna")).await.unwrap(), Some(100));
}

async fn readers_see_all_of_a_write_set_or_nothing(rig: impl Rig) {
    let store = rig.store().clone();
    let write = |n: u64| {
        let mut writes = WriteSet::new();
        for name in ["a", "b", "c", "d", "e", "f", "g", "h"] {
            writes.put::<Filters>(&row("anna", name), &json(&n.to_string()));
        }
        writes.put::<MediaUsage>(&counter("anna"), &n);
        writes
    };
    store.commit(write(0)).await.unwrap();
    let writer = tokio::spawn({
        let store = store.clone();
        async move {
            for n in 1..=300 {
                store.commit(write(n)).await.unwrap();
            }
        }
    });
    let number = |value: &Json| value.0.parse::<u64>().unwrap();
    while !writer.is_finished() {
        let first = store.get::<Filters>(&row("anna", "h")).await.unwrap().unwrap();
        let count = store.get::<MediaUsage>(&counter("anna")).await.unwrap().unwrap();
        assert!(count >= number(&first), "a later read sees less");
        let rows = store.range(Range::<Filters>::all()).await.unwrap();
        assert!(rows.iter().all(|(_, value)| *value == rows[0].1), "a part of a write-set is seen: {rows:?}");
        assert!(number(&rows[0].1) >= count, "a later read sees less");
        tokio::task::yield_now().await;
    }
    writer.await.unwrap();
}

async fn the_feed_tells_of_every_commit_in_order(rig: impl Rig) {
    const TASKS: u64 = 8;
    const COMMITS: u64 = 40;
    let store = rig.store();
    let mut feeds = [store.follow(), store.follow()];
    drop(store.follow());
    let tasks: Vec<_> = (0..TASKS)
        .map(|task| {
            let store = store.clone();
            tokio::spawn(async move {
                let mut own = Vec::new();
                for n in 0..COMMITS {
                    let name = format!("{task}-{n}");
                    let mut writes = put(&row("anna", &name), "{}");
                    put_pointer(&mut writes, &name);
                    own.push((store.commit(writes).await.unwrap(), user(&name)));
                }
                own
            })
        })
        .collect();
    let mut acknowledged = BTreeSet::new();
    for task in tasks {
        acknowledged.extend(task.await.unwrap());
    }
    for feed in &mut feeds {
        let mut told = Vec::new();
        while told.len() < acknowledged.len() {
            for committed in commits(feed).await.iter() {
                let [key] = &committed.keys_put::<Inbox>().collect::<Vec<_>>()[..] else {
                    panic!("{committed:?}")
                };
                assert!(store.position() >= committed.position, "told of what is not readable");
                told.push((committed.position, key.user_id.clone()));
            }
        }
        assert!(told.windows(2).all(|pair| pair[0].0.next() == pair[1].0), "out of order");
        assert_eq!(told.into_iter().collect::<BTreeSet<_>>(), acknowledged);
        assert!(feed.try_next().is_none(), "told of more than there was");
    }
}

async fn the_feed_tells_which_watched_keys_change(rig: impl Rig) {
    let store = rig.store();
    let mut feed = store.follow();
    let message = |name: &str| message_key(name, Position::from_u64(7), 0);
    let mut writes = put(&row("anna", "a"), "{}");
    writes.put::<ToDevice>(&message("bert"), &json("{}"));
    put_pointer(&mut writes, "bert");
    let mut more = WriteSet::new();
    more.delete::<ToDevice>(&message("anna"));
    writes.append(more);
    store.commit(writes).await.unwrap();
    let group = commits(&mut feed).await;
    let names = |keys: Vec<&ToDeviceKey>| keys.iter().map(|key| key.user_id.to_string()).collect::<Vec<_>>();
    let [committed] = &group[..] else { panic!("{group:?}") };
    assert_eq!(names(committed.keys_changed::<ToDevice>().collect()), [user("bert"), user("anna")]);
    assert_eq!(names(committed.keys_put::<ToDevice>().collect()), [user("bert")]);
    assert_eq!(committed.keys_put::<Inbox>().count(), 1);
    assert_eq!(committed.keys_changed::<Timeline>().count(), 0);
}

async fn watchers_hear_before_anybody_else(rig: impl Rig) {
    let store = rig.store();
    let heard = Arc::new(Mutex::new(Vec::new()));
    store.watch::<Inbox, _>(&heard, |heard: &Mutex<Vec<Change>>, _, change| {
        heard.lock().unwrap().push(change)
    });
    for round in 1..=20 {
        let mut writes = WriteSet::new();
        put_pointer(&mut writes, "anna");
        let position = store.commit(writes).await.unwrap();
        let heard = heard.lock().unwrap();
        assert_eq!(heard.len(), round);
        assert!(heard.iter().all(|change| change.is_put && change.is_own));
        assert_eq!(heard.last().unwrap().position, position);
    }
    let weak = Arc::downgrade(&heard);
    drop(heard);
    assert!(weak.upgrade().is_none(), "the store does not keep alive what watches it");
    let mut writes = WriteSet::new();
    put_pointer(&mut writes, "anna");
    store.commit(writes).await.unwrap();
}

#[tokio::test]
async fn a_follower_who_is_too_slow_is_told_so() {
    let rig = InMemory::create();
    let store = rig.store();
    let mut feed = store.follow();
    let first = store.commit(put(&row("anna", "a"), "0")).await.unwrap();
    let mut last = first;
    for n in 0..5_000 {
        last = store.commit(put(&row("anna", "a"), &n.to_string())).await.unwrap();
    }
    assert!(matches!(feed.next().await, Some(News::Missed)));
    let mut told = commits(&mut feed).await[0].position;
    assert!(told > first, "what was left out is the oldest");
    while told < last {
        told = commits(&mut feed).await.last().unwrap().position;
    }
}

async fn what_is_written_once_in_an_era_is_found_from_any_position(rig: impl Rig) {
    let store = rig.store();
    let pointer = |room_id| InboxPointer::Room(room(room_id));
    let mut committed = Vec::new();
    // Three eras; in a short one, every second to one room and every 7,000th to another.
    let mut tickets = Vec::new();
    for n in 0..40_000u32 {
        let mut writes = WriteSet::new();
        for (room_id, interval) in [("busy", 2), ("calm", 7_000)] {
            if n % interval == 0 {
                let pointer = pointer(room_id);
                let key = InboxKey { user_id: user("anna"), position: Position::PENDING, pointer };
                writes.put_once_in_era::<Inbox>(&key, &());
            }
        }
        writes.put::<Filters>(&row("anna", "a"), &json("{}"));
        tickets.push(store.submit(writes));
    }
    for ticket in tickets {
        committed.push(ticket.committed().await.unwrap());
    }
    let keys = store.keys::<Inbox>(Range::prefix((&user("anna"),))).await.unwrap();
    assert_eq!(keys.len(), 6, "one row for each room and era");
    for (n, since) in committed.iter().enumerate() {
        let newer = |name| {
            let pointer = pointer(name);
            keys.iter().any(|key| key.position >= since.era() && key.pointer == pointer)
        };
        assert!(newer("busy") || n >= 39_998, "the busy room, after {n}");
        assert!(newer("calm") || n >= 35_000, "the calm room, after {n}");
    }
}

async fn listeners_hear_of_what_can_be_read(rig: impl Rig) {
    let store = rig.store();
    let heard = Arc::new(std::sync::atomic::AtomicU64::new(0));
    let hearing = heard.clone();
    store.listen(Arc::new(move |group| {
        for committed in group.iter() {
            let before = hearing.swap(committed.position.get(), std::sync::atomic::Ordering::SeqCst);
            assert!(before < committed.position.get(), "out of order");
        }
    }));
    for round in 0..20 {
        let tickets: Vec<_> =
            (0..5).map(|n| store.submit(put(&row("anna", &n.to_string()), &round.to_string()))).collect();
        for ticket in tickets {
            let position = ticket.committed().await.unwrap();
            let readable = store.position();
            let heard = heard.load(std::sync::atomic::Ordering::SeqCst);
            assert!(
                heard >= position.get() && heard >= readable.get(),
                "somebody read before it was heard of"
            );
        }
    }
}

async fn a_check_without_changes_takes_no_position(rig: impl Rig) {
    let store = rig.store();
    let mut feed = store.follow();
    let position = store.commit(put(&row("anna", "a"), "1")).await.unwrap();
    let mut writes = WriteSet::new();
    writes.expect::<Filters>(&row("anna", "a"), &json("1"));
    assert!(writes.is_empty());
    assert_eq!(store.commit(writes).await.unwrap(), position);
    let mut writes = WriteSet::new();
    writes.expect_absent::<Filters>(&row("anna", "a"));
    assert!(matches!(store.commit(writes).await, Err(CommitError::Conflict(_))));
    assert_eq!(store.commit(put(&row("anna", "a"), "2")).await.unwrap(), position.next());
    assert_eq!(commits(&mut feed).await[0].position, position);
    assert_eq!(commits(&mut feed).await[0].position, position.next());
}

async fn what_is_too_long_is_refused(rig: impl Rig) {
    let store = rig.store();
    let longest = "x".repeat(MAX_KEY_BYTES - "instagram.localhost".len() - "anna".len() - 6);
    store.commit(put(&row("anna", &longest), "{}")).await.unwrap();
    let mut writes = put(&row("anna", "a"), "{}");
    writes.put::<Filters>(&row("anna", &format!("{longest}x")), &json("{}"));
    assert!(matches!(store.commit(writes).await, Err(CommitError::Refused(_))));
    assert_eq!(store.get::<Filters>(&row("anna", "a")).await.unwrap(), None);
    store.commit(put(&row("anna", "a"), "{}")).await.unwrap();
}

async fn what_is_acknowledged_is_on_disk(rig: impl Rig) {
    for n in 0..3 {
        let key = row("anna", &n.to_string());
        let position = rig.store().commit(put(&key, "1")).await.unwrap();
        let image = rig.image();
        assert_eq!(image.store().get::<Filters>(&key).await.unwrap(), Some(json("1")));
        assert_eq!(image.store().position(), position);
    }
}

async fn reopening_keeps_everything_and_goes_on(mut rig: impl Rig) {
    let mut last = Position::ZERO;
    for round in 0..4 {
        let store = rig.store();
        assert_eq!(store.position(), last);
        assert_eq!(store.keys(Range::<Filters>::all()).await.unwrap().len(), round * 20);
        for n in 0..20 {
            let mut writes = put(&row("anna", &format!("{round}-{n}")), "{}");
            writes.put::<MediaUsage>(&counter("anna"), &(round as u64));
            writes.put::<AccountData>(&account_data(&n.to_string()), &Stamped::pending(json("{}")));
            let position = store.commit(writes).await.unwrap();
            assert_eq!(position, last.next());
            last = position;
        }
        let stored = rig.store().range(Range::<AccountData>::all()).await.unwrap();
        rig = rig.reopen();
        assert_eq!(rig.store().range(Range::<AccountData>::all()).await.unwrap(), stored);
        assert_eq!(rig.store().get::<MediaUsage>(&counter("anna")).await.unwrap(), Some(round as u64));
    }
}

async fn what_was_submitted_is_committed_before_the_store_closes(rig: impl Rig) {
    let tickets: Vec<_> =
        (0..50).map(|n| rig.store().submit(put(&row("anna", &n.to_string()), "{}"))).collect();
    let rig = rig.reopen();
    for ticket in tickets {
        ticket.committed().await.unwrap();
    }
    assert_eq!(rig.store().keys(Range::<Filters>::all()).await.unwrap().len(), 50);
}

async fn stats_count_rows(rig: impl Rig) {
    let store = rig.store();
    let mut writes = WriteSet::new();
    for n in 0..7 {
        writes.put::<Filters>(&row("anna", &n.to_string()), &json("{}"));
    }
    let position = store.commit(writes).await.unwrap();
    let stats = store.stats().await.unwrap();
    assert_eq!(stats.position, position);
    let rows = |name| stats.tables.iter().find(|table| table.name == name).unwrap().rows;
    assert_eq!((rows("filters"), rows("profiles")), (7, 0));
}

#[tokio::test]
async fn the_last_handle_may_go_on_the_thread_that_commits() {
    let folder = TempDir::new().unwrap();
    for round in 0..3 {
        let store = Store::open(folder.path()).unwrap();
        let (held, (let_go, wait)) = (Mutex::new(Some(store.clone())), mpsc::channel());
        let wait = Mutex::new(wait);
        store.listen(Arc::new(move |_| {
            wait.lock().unwrap().recv().unwrap();
            held.lock().unwrap().take();
        }));
        let ticket = store.submit(put(&row("anna", &round.to_string()), &round.to_string()));
        drop(store);
        let_go.send(()).unwrap();
        ticket.committed().await.unwrap();
        // The thread ends by itself, and the folder is free then.
        while let Err(StorageError::InUse(_)) = Store::open(folder.path()) {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
    let store = Store::open(folder.path()).unwrap();
    assert_eq!(names(&store, Range::all()).await, "012");
}

#[tokio::test]
async fn a_second_process_is_told_that_the_store_is_in_use() {
    let rig = Embedded::create();
    let error = Store::open(rig.folder.path()).unwrap_err();
    assert!(matches!(&error, StorageError::InUse(path) if path == rig.folder.path()), "{error}");
    rig.store.commit(put(&row("anna", "a"), "{}")).await.unwrap();
}

#[tokio::test]
async fn a_store_that_was_left_half_created_is_created_anew() {
    for version in [None, Some("")] {
        let folder = TempDir::new().unwrap();
        fs::create_dir(folder.path().join("keyspaces")).unwrap();
        fs::write(folder.path().join("lock"), "").unwrap();
        fs::write(folder.path().join("0.jnl"), [0; 100]).unwrap();
        if let Some(version) = version {
            fs::write(folder.path().join("version"), version).unwrap();
        }
        let rig = Embedded::open(folder);
        rig.store.commit(put(&row("anna", "a"), "{}")).await.unwrap();
        assert!(rig.reopen().store.contains::<Filters>(&row("anna", "a")).await.unwrap());
    }
}

/// Overwrites a part of the value `value` in the journal of a store that is closed.
fn damage_journal(folder: &Path, value: &str) {
    let path = folder.join("0.jnl");
    let mut journal = fs::read(&path).unwrap();
    let at = journal.windows(value.len()).position(|bytes| bytes == value.as_bytes()).unwrap();
    journal[at..at + value.len() / 2].fill(0);
    fs::write(&path, journal).unwrap();
}

#[tokio::test]
async fn a_torn_last_batch_is_cut_off() {
    for is_reopened in [false, true] {
        let mut rig = Embedded::create();
        if is_reopened {
            // The journal is appended to then, where it was laid out in advance before.
            rig = rig.reopen();
        }
        let first = rig.store.commit(put(&row("anna", "a"), "the first value")).await.unwrap();
        let mut writes = put(&row("anna", "b"), "the second value");
        writes.put::<Filters>(&row("anna", "c"), &json("the third value"));
        rig.store.commit(writes).await.unwrap();
        let Embedded { store, folder } = rig;
        drop(store);
        damage_journal(folder.path(), "the second value");
        let rig = Embedded::open(folder);
        assert_eq!(rig.store.position(), first);
        let names = rig.store.keys(Range::<Filters>::all()).await.unwrap();
        assert_eq!(names, [row("anna", "a")]);
        rig.store.commit(put(&row("anna", "d"), "the fourth value")).await.unwrap();
        let rig = rig.reopen();
        assert_eq!(rig.store.keys(Range::<Filters>::all()).await.unwrap().len(), 2);
    }
}

#[tokio::test]
async fn damage_before_the_last_batch_is_not_passed_over() {
    let Embedded { store, folder } = Embedded::create();
    store.commit(put(&row("anna", "a"), "the first value")).await.unwrap();
    store.commit(put(&row("anna", "b"), "the second value")).await.unwrap();
    drop(store);
    damage_journal(folder.path(), "the first value");
    let before = fs::read(folder.path().join("0.jnl")).unwrap();
    assert!(matches!(Store::open(folder.path()), Err(StorageError::Engine(_))));
    assert!(fs::read(folder.path().join("0.jnl")).unwrap() == before, "the journal was changed");
}

#[tokio::test]
async fn a_ticket_waits_for_the_disk_and_waiting_write_sets_share_a_group() {
    let rig = InMemory::create();
    let store = &rig.store;
    let mut feed = store.follow();
    let disk = rig.memory.hold_disk().unwrap();
    let first = store.submit(put(&row("anna", "first"), "{}"));
    disk.wait_for_write();
    // The committer is at the disk and stays there.
    assert!(feed.try_next().is_none());
    assert_eq!(store.position(), Position::ZERO);
    assert!(!store.contains::<Filters>(&row("anna", "first")).await.unwrap());
    let rest: Vec<_> = (0..10).map(|n| store.submit(put(&row("anna", &n.to_string()), "{}"))).collect();
    drop(disk);
    let first = first.committed().await.unwrap();
    assert!(store.contains::<Filters>(&row("anna", "first")).await.unwrap());
    for ticket in rest {
        ticket.committed().await.unwrap();
    }
    assert_eq!(commits(&mut feed).await.len(), 1);
    let group = commits(&mut feed).await;
    assert_eq!((group.len(), group[0].position), (10, first.next()));
}

#[tokio::test]
async fn the_queue_before_a_slow_disk_has_an_end() {
    let rig = InMemory::create();
    let disk = rig.memory.hold_disk().unwrap();
    let first = rig.store.submit(put(&row("anna", "a"), "0"));
    disk.wait_for_write();
    let tickets: Vec<_> = (0..70_000).map(|_| rig.store.submit(put(&row("anna", "a"), "1"))).collect();
    drop(disk);
    first.committed().await.unwrap();
    let mut refused = 0;
    for ticket in tickets {
        match ticket.committed().await {
            Ok(_) => assert_eq!(refused, 0, "one was taken after another was refused"),
            Err(error) => {
                assert!(matches!(error, CommitError::Busy), "{error}");
                refused += 1;
            }
        }
    }
    assert!((1..70_000).contains(&refused), "{refused}");
    rig.store.commit(put(&row("anna", "a"), "2")).await.unwrap();
}

#[tokio::test]
async fn one_person_cannot_fill_the_queue_for_others() {
    let rig = InMemory::create();
    let request = |name: &str| Unanswered::new(user(name), answer_pending().1);
    let (anna, ben) = (request("anna"), request("ben"));
    let by = async |request: &Unanswered, name: &str, value: &str| {
        request.clone().run(async { rig.store.submit(put(&row(name, "a"), value)) }).await
    };
    let disk = rig.memory.hold_disk().unwrap();
    let first = rig.store.submit(put(&row("anna", "a"), "0"));
    disk.wait_for_write();
    let mut of_anna = Vec::new();
    for _ in 0..1_000 {
        of_anna.push(by(&anna, "anna", "1").await);
    }
    let of_ben = by(&ben, "ben", "1").await;
    let waiting = rig.store.stats().await.unwrap().commits;
    assert_eq!((waiting.waiting, waiting.refused_busy, waiting.refused_full), (257, 744, 0));
    let of_platform = rig.store.waiting_of(user("anna").server_name());
    assert_eq!((of_platform.count, of_platform.bytes), (257, waiting.waiting_bytes));
    assert_eq!(rig.store.waiting_of("nobody.example".try_into().unwrap()).count, 0);
    drop(disk);
    first.committed().await.unwrap();
    of_ben.committed().await.unwrap();
    let mut taken = 0;
    for ticket in of_anna {
        match ticket.committed().await {
            Ok(_) => taken += 1,
            Err(error) => assert!(matches!(error, CommitError::Busy), "{error}"),
        }
    }
    assert_eq!(taken, 256);
    by(&anna, "anna", "2").await.committed().await.unwrap();
    let after = rig.store.stats().await.unwrap().commits;
    assert_eq!((after.waiting, after.waiting_bytes), (0, 0));
    // They are counted before they are told of.
    assert_eq!(after.waits_us.counts.iter().sum::<u64>(), 259);
}

#[tokio::test]
async fn a_group_has_an_end_in_bytes() {
    let rig = InMemory::create();
    let mut feed = rig.store.follow();
    let disk = rig.memory.hold_disk().unwrap();
    let first = rig.store.submit(put(&row("anna", "first"), "{}"));
    disk.wait_for_write();
    let large = "1".repeat(10 << 20);
    let rest: Vec<_> = (0..5).map(|n| rig.store.submit(put(&row("anna", &n.to_string()), &large))).collect();
    drop(disk);
    first.committed().await.unwrap();
    for ticket in rest {
        ticket.committed().await.unwrap();
    }
    let mut groups = Vec::new();
    while groups.iter().sum::<usize>() < 6 {
        groups.push(commits(&mut feed).await.len());
    }
    assert_eq!(groups, [1, 2, 2, 1]);
}

#[tokio::test]
async fn expectations_hold_within_one_group() {
    let rig = InMemory::create();
    let disk = rig.memory.hold_disk().unwrap();
    let first = rig.store.submit(put(&row("anna", "first"), "{}"));
    disk.wait_for_write();
    // All that follows waits for the first, and is one group.
    let store = rig.store.clone();
    let (chain, _) = tokio::join!(check_chained_expectations(&store), async move { drop(disk) });
    first.committed().await.unwrap();
    chain
}

#[tokio::test]
async fn a_failed_write_poisons_the_store() {
    let memory = Memory::with_faults(Faults { failed_writes_per_mille: 1000, ..Faults::default() }).unwrap();
    let store = Store::in_memory(memory);
    let mut feed = store.follow();
    for _ in 0..3 {
        let outcome = store.commit(put(&row("anna", "a"), "{}")).await;
        assert!(matches!(outcome, Err(CommitError::Poisoned(_))), "{outcome:?}");
    }
    assert!(!store.contains::<Filters>(&row("anna", "a")).await.unwrap());
    assert_eq!(store.position(), Position::ZERO);
    assert!(feed.try_next().is_none());
    let mut check = WriteSet::new();
    check.expect_absent::<Filters>(&row("anna", "a"));
    assert!(matches!(store.commit(check).await, Err(CommitError::Poisoned(_))));
}

/// Whatever the disk does, after reopening every acknowledged write-set is there, every other is there
/// whole or not at all, and those that are there are the first ones.
#[tokio::test]
async fn no_fault_tears_a_write_set() {
    let mut kept_unacknowledged = 0;
    for seed in 0..300 {
        let crash_at = (seed % 2 == 0).then_some(seed % 40 + 1);
        let faults = Faults { seed, failed_writes_per_mille: 30, crash_at };
        let memory = Memory::with_faults(faults).unwrap();
        let store = Store::in_memory(memory.clone());
        let tickets: Vec<_> = (0..50u64)
            .map(|n| {
                let mut writes = put(&row("anna", &format!("{n:03}")), &"x".repeat(n as usize));
                writes.put::<MediaUsage>(&counter(&format!("{n:03}")), &n);
                writes.put::<AccountData>(&account_data(&format!("{n:03}")), &Stamped::pending(json("{}")));
                store.submit(writes)
            })
            .collect();
        let mut acknowledged = 0;
        for (n, ticket) in tickets.into_iter().enumerate() {
            match ticket.committed().await {
                Ok(position) => {
                    assert_eq!(position.sequence(), n as u64 + 1, "seed {seed}");
                    acknowledged = n + 1;
                }
                Err(error) => assert!(matches!(error, CommitError::Poisoned(_)), "seed {seed}: {error}"),
            }
        }
        assert!(crash_at.is_none_or(|crash_at| (acknowledged as u64) < crash_at), "seed {seed}");
        let has_crashed = memory.has_crashed();
        assert_eq!(store.get::<Filters>(&row("anna", "000")).await.is_err(), has_crashed);

        let store = Store::in_memory(memory.reopen().unwrap());
        let names: Vec<_> =
            store.keys(Range::<Filters>::all()).await.unwrap().into_iter().map(|key| key.name).collect();
        assert!(names.len() >= acknowledged, "seed {seed}: an acknowledged write-set is gone");
        let first: Vec<_> = (0..names.len()).map(|n| format!("{n:03}")).collect();
        assert_eq!(names, first, "seed {seed}");
        assert_eq!(store.keys(Range::<MediaUsage>::all()).await.unwrap().len(), names.len(), "seed {seed}");
        let stamped = store.range(Range::<AccountData>::all()).await.unwrap();
        let positions: Vec<_> = stamped.iter().map(|(_, value)| value.position.sequence()).collect();
        assert_eq!(positions, (1..=names.len() as u64).collect::<Vec<_>>(), "seed {seed}");
        assert_eq!(store.position().sequence(), names.len() as u64, "seed {seed}");
        kept_unacknowledged += names.len() - acknowledged;

        let next = store.commit(put(&row("anna", "next"), "{}")).await.unwrap();
        assert_eq!(next.sequence(), names.len() as u64 + 1, "seed {seed}");
    }
    assert!(kept_unacknowledged > 0, "some failed writes reach the disk whole");
}
