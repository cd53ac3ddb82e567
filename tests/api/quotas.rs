//! How much one person can pile up: a bound is reached, what comes next is refused as a quota is, and removing something
//! makes room. docs/quotas.md lists all bounds.

use linkspan_storage::{
    Table, WriteSet,
    catalogue::{
        KeyBackups, KeySignatures, OneTimeKeyIdCounts, OneTimeKeyIds, RoomHeads, StoredAmounts,
        ThreadSubscriptionLog, ThreadSubscriptions, UserNameKey,
    },
    records::StoredAmountRecord,
};
use serde_json::{Value, json};

use crate::{
    key_backup::{begin, key},
    keys::proof,
    network::{Client, INSTAGRAM, MESSENGER, Network, WHATSAPP, encoded},
    olm::{Identity, signed},
};

/// The greatest content of one entry of account data, one filter or one backed-up key, in bytes, less what is around it.
const LARGE: usize = 60_000;

/// Has it counted for somebody that they have stored so many of something.
async fn has_stored(network: &Network, who: &Client, name: &str, entries: u64) {
    let user_id = who.user_id.as_str().try_into().expect("a user id");
    let record = StoredAmountRecord { entries, size_bytes: 0 };
    put::<StoredAmounts>(network, &UserNameKey { user_id, name: name.to_owned() }, &record).await;
}

async fn put<T: Table>(network: &Network, key: &T::Key, value: &T::Value) {
    let mut writes = WriteSet::new();
    writes.put::<T>(key, value);
    network.store.commit(writes).await.expect("it is written");
}

#[tokio::test]
async fn account_data_has_a_bound_in_bytes() {
    let network = Network::open_with("[limits]\naccount_data_bytes = 140000").await;
    let anna = network.register(INSTAGRAM, "anna").await;
    let room = "!nowhere:instagram.localhost";
    let entry = |place: &str, name: &str| format!("/v3/user/{}{place}/account_data/{name}", anna.user_id);
    let of_room = format!("/rooms/{room}");
    let large = || json!({ "text": "x".repeat(LARGE) });
    anna.put(&entry("", "org.example.a"), large()).await.ok();
    // What is about rooms that somebody is not in counts as well, and so do tags.
    anna.put(&entry(&of_room, "org.example.a"), large()).await.ok();
    anna.put(&entry(&of_room, "org.example.b"), large()).await.fails(403, "M_FORBIDDEN");
    let tag = |name: &str| format!("/v3/user/{}/rooms/{room}/tags/{name}", anna.user_id);
    let mut tags = 0;
    while anna.put(&tag(&format!("{tags}{}", "t".repeat(200))), json!({})).await.status == 200 {
        tags += 1;
    }
    assert!((90..100).contains(&tags), "{tags} are about 20 KB");
    // The same again takes no more, and less is always taken.
    anna.put(&entry("", "org.example.a"), large()).await.ok();
    anna.put(&entry("", "org.example.a"), json!({ "a": 1 })).await.ok();
    anna.put(&entry(&of_room, "org.example.b"), json!({ "text": "x".repeat(LARGE / 2) })).await.ok();
    anna.delete(&entry(&of_room, "org.example.a")).await.ok();
    anna.put(&entry("", "org.example.a"), large()).await.ok();
    // What the server keeps there has bounds of its own.
    let chats = json!({ "@ben:messenger.localhost": ["!a:instagram.localhost".repeat(2_000)] });
    anna.put(&entry("", "m.direct"), chats).await.ok();
    let ben = network.register(INSTAGRAM, "ben").await;
    ben.put(&format!("/v3/user/{}/account_data/org.example.a", ben.user_id), large()).await.ok();
}

#[tokio::test]
async fn a_place_has_so_many_types_of_account_data() {
    const MAX_TYPES: usize = 1_000;
    let network = Network::open().await;
    let anna = network.register(INSTAGRAM, "anna").await;
    let entry = |number: usize| format!("/v3/user/{}/account_data/org.example.{number}", anna.user_id);
    for number in 0..MAX_TYPES {
        anna.put(&entry(number), json!({ "a": 1 })).await.ok();
    }
    anna.put(&entry(MAX_TYPES), json!({ "a": 1 })).await.fails(403, "M_FORBIDDEN");
    anna.put(&entry(0), json!({ "a": 2 })).await.ok();
    anna.delete(&entry(1)).await.ok();
    anna.put(&entry(MAX_TYPES), json!({ "a": 1 })).await.ok();
    anna.put(&entry(1), json!({ "a": 1 })).await.fails(403, "M_FORBIDDEN");

    has_stored(&network, &anna, "account_data", 50_000).await;
    let elsewhere = format!("/v3/user/{}/rooms/!a:b.localhost/account_data/org.example.a", anna.user_id);
    anna.put(&elsewhere, json!({ "a": 1 })).await.fails(403, "M_FORBIDDEN");
    anna.put(&entry(0), json!({ "a": 3 })).await.ok();
}

#[tokio::test]
async fn filters_have_a_bound_in_bytes() {
    let network = Network::open().await;
    let anna = network.register(INSTAGRAM, "anna").await;
    let path = format!("/v3/user/{}/filter", anna.user_id);
    let filter = |number: usize| json!({ "org.example": format!("{number}{}", "x".repeat(LARGE)) });
    let first = anna.post(&path, filter(0)).await.ok();
    for number in 1..17 {
        anna.post(&path, filter(number)).await.ok();
    }
    anna.post(&path, filter(17)).await.fails(403, "M_FORBIDDEN");
    assert_eq!(anna.post(&path, filter(0)).await.ok(), first, "the same again has the same id");
    // There is always one for clients that begin anew.
    anna.post(&path, json!({ "room": { "state": { "lazy_load_members": true } } })).await.ok();
}

#[tokio::test]
async fn key_backups_have_bounds() {
    let network = Network::open_with("[limits]\nkey_backup_bytes = 150000").await;
    let anna = network.register(INSTAGRAM, "anna").await;
    let path = |version: &str, session: &str| {
        format!("/v3/room_keys/keys/!room:instagram.localhost/{session}?version={version}")
    };
    let large = || key(5, false, &"x".repeat(LARGE));
    let first = begin(&anna).await;
    anna.put(&path(&first, "one"), large()).await.ok();
    let second = begin(&anna).await;
    anna.put(&path(&second, "one"), large()).await.ok();
    anna.put(&path(&second, "two"), large()).await.fails(403, "M_FORBIDDEN");
    // A better key takes the place of the one before it.
    anna.put(&path(&second, "one"), key(0, true, &"y".repeat(LARGE))).await.ok();
    anna.delete(&format!("/v3/room_keys/version/{first}")).await.ok();
    anna.put(&path(&second, "two"), large()).await.ok();
    anna.put(&path(&second, "three"), large()).await.fails(403, "M_FORBIDDEN");
    anna.delete(&path(&second, "two")).await.ok();
    assert_eq!(anna.put(&path(&second, "three"), large()).await.ok()["count"], 2);
    anna.delete(&format!("/v3/room_keys/keys?version={second}")).await.ok();
    assert_eq!(anna.put(&path(&second, "two"), large()).await.ok()["count"], 1);
    anna.put(&path(&second, "four"), key(0, true, &"x".repeat(70_000))).await.fails(413, "M_TOO_LARGE");
}

#[tokio::test]
async fn there_are_so_many_versions_of_a_key_backup() {
    const MAX_VERSIONS: usize = 20;
    let network = Network::open().await;
    let anna = network.register(INSTAGRAM, "anna").await;
    let mut versions = Vec::new();
    for _ in 0..MAX_VERSIONS {
        versions.push(begin(&anna).await);
    }
    let body = json!({ "algorithm": "m.megolm_backup.v1.curve25519-aes-sha2", "auth_data": {} });
    anna.post("/v3/room_keys/version", body.clone()).await.fails(403, "M_FORBIDDEN");
    let newest = versions.pop().expect("a version");
    anna.delete(&format!("/v3/room_keys/version/{newest}")).await.ok();
    let next = begin(&anna).await;
    assert_eq!(next, "21", "a number is not used again");
    anna.get(&format!("/v3/room_keys/version/{newest}")).await.fails(404, "M_NOT_FOUND");
    assert_eq!(anna.get("/v3/room_keys/version").await.ok()["version"], "21");
    // What was deleted leaves nothing once there is a newer one.
    anna.delete(&format!("/v3/room_keys/version/{next}")).await.ok();
    begin(&anna).await;
    let rows = network.rows::<linkspan_storage::catalogue::KeyBackups>().await;
    assert_eq!(rows, MAX_VERSIONS);
}

#[tokio::test]
async fn a_device_has_a_fallback_key_for_so_many_algorithms() {
    let network = Network::open().await;
    let anna = network.register(INSTAGRAM, "anna").await;
    let upload = |name: &str| json!({ "fallback_keys": { format!("org.example.{name}:A"): "a key" } });
    for number in 0..10 {
        anna.post("/v3/keys/upload", upload(&number.to_string())).await.ok();
    }
    anna.post("/v3/keys/upload", upload("more")).await.fails(403, "M_FORBIDDEN");
    anna.post("/v3/keys/upload", upload("0")).await.ok();
}

#[tokio::test]
async fn one_time_keys_have_bounds() {
    let network = Network::open().await;
    let anna = network.register(INSTAGRAM, "anna").await;
    let ben = network.register(MESSENGER, "ben").await;
    let upload = |from: usize, count: usize| {
        let keys = (from..from + count).map(|number| (format!("org.example:{number}"), json!("a key")));
        json!({ "one_time_keys": Value::Object(keys.collect()) })
    };
    anna.post("/v3/keys/upload", upload(0, 1_000)).await.ok();
    anna.post("/v3/keys/upload", upload(1_000, 1)).await.fails(403, "M_FORBIDDEN");
    let claim = json!({ "one_time_keys": { &anna.user_id: { &anna.device_id: "org.example" } } });
    ben.post("/v3/keys/claim", claim.clone()).await.ok();
    anna.post("/v3/keys/upload", upload(1_000, 1)).await.ok();
    assert_eq!(network.rows::<OneTimeKeyIds>().await, 1_001);

    // When there are very many, those of keys that are gone are forgotten.
    let device =
        network.store.keys(linkspan_storage::Range::<OneTimeKeyIdCounts>::all()).await.expect("read");
    put::<OneTimeKeyIdCounts>(&network, &device[0], &20_000).await;
    ben.post("/v3/keys/claim", claim).await.ok();
    anna.post("/v3/keys/upload", upload(1_001, 1)).await.ok();
    assert_eq!(network.rows::<OneTimeKeyIds>().await, 1_000);
    let other = json!({ "one_time_keys": { "org.example:500": "another key" } });
    anna.post("/v3/keys/upload", other).await.fails(400, "M_INVALID_PARAM");
}

#[tokio::test]
async fn of_somebody_elses_identity_one_signature_is_kept_of_each_signer() {
    let network = Network::open().await;
    let anna = network.register(INSTAGRAM, "anna").await;
    let ben = network.register(MESSENGER, "ben").await;
    let of_ben = Identity::new(&ben);
    ben.post("/v3/keys/device_signing/upload", of_ben.upload()).await.ok();
    let sign = async |object: Value| {
        let body = json!({ &ben.user_id: { of_ben.master_name(): object } });
        anna.post("/v3/keys/signatures/upload", body).await.ok()["failures"].clone()
    };
    let master = of_ben.upload()["master_key"].clone();
    for _ in 0..3 {
        let of_anna = Identity::new(&anna);
        let mut upload = of_anna.upload();
        upload["auth"] = proof(&anna, &Value::Null);
        anna.post("/v3/keys/device_signing/upload", upload).await.ok();
        let failures = sign(signed(master.clone(), &anna.user_id, &of_anna.user_signing)).await;
        assert_eq!(failures, Value::Null);
        assert_eq!(network.rows::<KeySignatures>().await, 1);
    }
    // What the server cannot check is kept of own keys only.
    let mut by_others = master;
    by_others["signatures"][&anna.user_id] = json!({ "org.example:A": "anything" });
    let failures = sign(by_others).await;
    assert_eq!(failures[&ben.user_id][of_ben.master_name()]["errcode"], "M_INVALID_SIGNATURE");

    // When ben has another identity, who had verified the old one means nothing any more.
    let mut upload = Identity::new(&ben).upload();
    upload["auth"] = proof(&ben, &Value::Null);
    ben.post("/v3/keys/device_signing/upload", upload).await.ok();
    assert_eq!(network.rows::<KeySignatures>().await, 0);
}

#[tokio::test]
async fn the_thread_subscription_that_is_oldest_gives_way() {
    const MAX_SUBSCRIPTIONS: u64 = 20_000;
    let network = Network::open().await;
    let anna = network.register(INSTAGRAM, "anna").await;
    let room = anna.create_room(json!({})).await;
    let path = |root: &str| format!("/unstable/io.element.msc4306/rooms/{room}/thread/{root}/subscription");
    let mut roots = Vec::new();
    for number in 0..4 {
        roots.push(anna.say(&room, &number.to_string()).await);
    }
    for root in &roots[..3] {
        anna.put(&path(root), json!({})).await.ok();
    }
    // The first changes, so that the second is the oldest.
    anna.delete(&path(&roots[0])).await.ok();
    has_stored(&network, &anna, "thread_subscriptions", MAX_SUBSCRIPTIONS).await;
    anna.put(&path(&roots[3]), json!({})).await.ok();
    anna.get(&path(&roots[1])).await.fails(404, "M_NOT_FOUND");
    for root in &roots[2..] {
        anna.get(&path(root)).await.ok();
    }
    assert_eq!(network.rows::<ThreadSubscriptions>().await, 3);
    assert_eq!(network.rows::<ThreadSubscriptionLog>().await, 3);
}

#[tokio::test]
async fn a_person_sets_so_many_aliases_and_has_so_many_rooms_listed() {
    let network = Network::open().await;
    let anna = network.register(INSTAGRAM, "anna").await;
    let ben = network.register(INSTAGRAM, "ben").await;
    let create = |name: &str| json!({ "preset": "public_chat", "room_alias_name": name });
    let listed = json!({ "preset": "public_chat", "visibility": "public" });
    let room = anna.create_room(create("quay")).await;
    let path =
        |alias: &str| format!("/v3/directory/room/{}", encoded(&format!("#{alias}:instagram.localhost")));
    let listing = |room: &str| format!("/v3/directory/list/room/{room}");
    let public = json!({ "visibility": "public" });
    anna.put(&listing(&room), public.clone()).await.ok();

    has_stored(&network, &anna, "aliases", 1_000).await;
    has_stored(&network, &anna, "published_rooms", 500).await;
    anna.put(&path("pier"), json!({ "room_id": room })).await.fails(403, "M_FORBIDDEN");
    anna.post("/v3/createRoom", create("pier")).await.fails(403, "M_FORBIDDEN");
    anna.post("/v3/createRoom", listed.clone()).await.fails(403, "M_FORBIDDEN");
    let other = anna.create_room(json!({})).await;
    anna.put(&listing(&other), public.clone()).await.fails(403, "M_FORBIDDEN");
    // It is listed already: that changes nothing.
    anna.put(&listing(&room), public.clone()).await.ok();
    ben.create_room(create("harbour")).await;
    ben.create_room(listed).await;

    anna.delete(&path("quay")).await.ok();
    anna.put(&path("pier"), json!({ "room_id": room })).await.ok();
    anna.put(&path("wharf"), json!({ "room_id": room })).await.fails(403, "M_FORBIDDEN");
    anna.put(&listing(&room), json!({ "visibility": "private" })).await.ok();
    anna.put(&listing(&other), public).await.ok();
}

#[tokio::test]
async fn a_room_has_so_much_state() {
    // 32 MiB of contents of this size.
    const FIT: usize = (32 << 20) / (LARGE + 11);
    let network = Network::open().await;
    let anna = network.register(INSTAGRAM, "anna").await;
    let ben = network.register(MESSENGER, "ben").await;
    let room = anna.create_room(json!({ "preset": "public_chat" })).await;
    ben.join(&room).await.ok();
    let path = |key: &str| format!("/v3/rooms/{room}/state/org.example.large/{key}");
    let large = || json!({ "text": "x".repeat(LARGE) });
    let mut count = 0;
    loop {
        let answer = anna.put(&path(&count.to_string()), large()).await;
        if answer.status != 200 {
            answer.fails(403, "M_FORBIDDEN");
            break;
        }
        count += 1;
    }
    assert!((FIT - 1..=FIT).contains(&count), "{count}");
    // People come and go, are put out, and write, all the same.
    let carl = network.register(WHATSAPP, "carl").await;
    carl.join(&room).await.ok();
    carl.say(&room, "Ahoy").await;
    anna.post(&format!("/v3/rooms/{room}/ban"), json!({ "user_id": ben.user_id })).await.ok();
    anna.put(&path("0"), json!({})).await.ok();
    anna.put(&path("more"), large()).await.ok();
    anna.put(&path("0"), large()).await.fails(403, "M_FORBIDDEN");
    // Who opens the room anew finds the same.
    let network = network.reopen().await;
    anna.on(&network).put(&path("0"), large()).await.fails(403, "M_FORBIDDEN");
}

#[tokio::test]
async fn the_state_of_a_room_has_so_many_entries() {
    const MAX_ENTRIES: u64 = 50_000;
    let network = Network::open().await;
    let anna = network.register(INSTAGRAM, "anna").await;
    let room = anna.create_room(json!({})).await;
    network.flush().await;
    // It counts as if there were nearly as many.
    let (key, mut head) = network.only_row::<RoomHeads>().await;
    let known = head.state_size.as_mut().expect("it is counted");
    known.entries = MAX_ENTRIES - 1;
    put::<RoomHeads>(&network, &key, &head).await;
    let network = network.reopen().await;
    let anna = anna.on(&network);
    let path = |key: &str| format!("/v3/rooms/{room}/state/org.example.mark/{key}");
    anna.put(&path("one"), json!({ "a": 1 })).await.ok();
    anna.put(&path("two"), json!({ "a": 1 })).await.fails(403, "M_FORBIDDEN");
    // What is there can change, people come, and all write.
    anna.put(&path("one"), json!({ "a": 2 })).await.ok();
    anna.say(&room, "Ahoy").await;
}

#[tokio::test]
async fn key_backups_have_so_many_keys() {
    const MAX_KEYS: u64 = 500_000;
    let network = Network::open().await;
    let anna = network.register(INSTAGRAM, "anna").await;
    let first = begin(&anna).await;
    network.flush().await;
    // It counts as if there were nearly as many in another version.
    let (row, mut backup) = network.only_row::<KeyBackups>().await;
    backup.count = MAX_KEYS - 2;
    put::<KeyBackups>(&network, &row, &backup).await;
    let second = begin(&anna).await;
    let path =
        |session: &str| format!("/v3/room_keys/keys/!room:instagram.localhost/{session}?version={second}");
    anna.put(&path("one"), key(5, false, "a")).await.ok();
    anna.put(&path("two"), key(5, false, "a")).await.ok();
    anna.put(&path("three"), key(5, false, "a")).await.fails(403, "M_FORBIDDEN");
    let both = json!({ "sessions": { "three": key(5, false, "a"), "four": key(5, false, "a") } });
    let of_room = format!("/v3/room_keys/keys/!room:instagram.localhost?version={second}");
    anna.put(&of_room, both).await.fails(403, "M_FORBIDDEN");
    // A better key takes the place of the one before it, and removing makes room.
    anna.put(&path("one"), key(0, true, "b")).await.ok();
    anna.delete(&format!("/v3/room_keys/version/{first}")).await.ok();
    anna.put(&path("three"), key(5, false, "a")).await.ok();
}

#[tokio::test]
async fn a_membership_has_a_bound() {
    let network = Network::open().await;
    let anna = network.register(INSTAGRAM, "anna").await;
    let ben = network.register(MESSENGER, "ben").await;
    let room = anna.create_room(json!({ "preset": "public_chat" })).await;
    let join = format!("/v3/join/{room}");
    ben.post(&join, json!({ "reason": "x".repeat(9_000) })).await.fails(413, "M_TOO_LARGE");
    ben.post(&join, json!({ "reason": "x".repeat(1_000) })).await.ok();
}

#[tokio::test]
async fn a_person_is_in_so_many_rooms() {
    let network = Network::open_with("[limits]\njoined_rooms = 3").await;
    let anna = network.register(INSTAGRAM, "anna").await;
    let ben = network.register(MESSENGER, "ben").await;
    let mut rooms = Vec::new();
    for _ in 0..3 {
        rooms.push(anna.create_room(json!({ "preset": "public_chat" })).await);
    }
    anna.post("/v3/createRoom", json!({})).await.fails(403, "M_FORBIDDEN");
    let other = ben.create_room(json!({ "preset": "public_chat" })).await;
    anna.join(&other).await.fails(403, "M_FORBIDDEN");
    let member = format!("/v3/rooms/{other}/state/m.room.member/{}", anna.user_id);
    anna.put(&member, json!({ "membership": "join" })).await.fails(403, "M_FORBIDDEN");
    let upgrade = json!({ "new_version": "11" });
    anna.post(&format!("/v3/rooms/{}/upgrade", rooms[0]), upgrade).await.fails(403, "M_FORBIDDEN");
    // Where she is she may join again, and change her name there.
    anna.join(&rooms[0]).await.ok();
    let own = format!("/v3/rooms/{}/state/m.room.member/{}", rooms[0], anna.user_id);
    anna.put(&own, json!({ "membership": "join", "displayname": "A" })).await.ok();
    // Others are not concerned, and whoever leaves a room has room for another.
    ben.join(&rooms[0]).await.ok();
    anna.leave(&rooms[1]).await.ok();
    anna.join(&other).await.ok();
    anna.join(&rooms[1]).await.fails(403, "M_FORBIDDEN");
}

#[tokio::test]
async fn a_person_creates_so_many_rooms_a_day() {
    let network = Network::with_limits("rooms_created_per_day = 3").await;
    let anna = network.register(INSTAGRAM, "anna").await;
    let ben = network.register(INSTAGRAM, "ben").await;
    let mut rooms = Vec::new();
    for _ in 0..2 {
        rooms.push(anna.create_room(json!({})).await);
    }
    anna.post(&format!("/v3/rooms/{}/upgrade", rooms[0]), json!({ "new_version": "11" })).await.ok();
    anna.post("/v3/createRoom", json!({})).await.fails(429, "M_LIMIT_EXCEEDED");
    anna.post(&format!("/v3/rooms/{}/upgrade", rooms[1]), json!({ "new_version": "11" }))
        .await
        .fails(429, "M_LIMIT_EXCEEDED");
    ben.create_room(json!({})).await;
}
