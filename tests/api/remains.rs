//! What remains of a deactivated person: somebody does everything there is, is deactivated, and then the rows of all
//! tables of the catalogue are searched.
//!
//! A table that is new fails the test until the scene writes a row of anna's to it, or [`NOBODYS`] lists it.

use std::{collections::BTreeSet, sync::Arc};

use http::Method;
use linkspan_storage::{
    Key, Memory, Range,
    catalogue::{DelayedEventQueue, JoinTokens, Receipts, TABLES, UserKey},
};
use linkspan_wire::{Services, now_ts};
use ruma::OwnedUserId;
use serde_json::{Value, json};

use crate::{
    key_backup,
    keys::{DEHYDRATED, dehydrated, proof},
    network::{Client, INSTAGRAM, MESSENGER, Network, PATIENCE, WHATSAPP, encoded, text},
    oauth_browser::{Browser, authorise},
    olm::{Identity, OlmDevice, signed},
    third_party_invites,
};

/// Approaches are counted where rates are limited; nothing here is limited by rate.
const WITH_MAILS_AND_HANDLES: &str = "identity = 'handle'\nidentity_lookup = true\n\
     email = { smtp = 'smtp://localhost', from = 'robot@example.org' }\nrate_limits = true\n\
     limits = { message = 0.0, login = 0.0, registration = 0.0, join = 0.0, invite = 0.0, create_room = 0.0, \
     search = 0.0, upload = 0.0, report = 0.0, other = 0.0, codes_of_platform = 1000, codes_of_network = 1000 }";
const ADDRESS: &str = "anna.of.the.quay@example.org";

/// How a row has to do with anna.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Row {
    /// Its key begins with her.
    Own,
    /// It names her.
    Naming,
}
use Row::{Naming, Own};

type Found = BTreeSet<(&'static str, Row)>;

/// Tables whose rows are about nobody, and why.
const NOBODYS: &[(&str, &str)] = &[
    ("meta", "the store's own"),
    ("signing_keys", "a platform's"),
    ("vapid_keys", "a platform's"),
    ("registration_tokens", "a platform's"),
    ("room_aliases", "a room and its aliases"),
    ("demo_accounts", "an operator's choice of accounts for anybody"),
    ("public_rooms", "a room that is listed"),
    ("room_heads", "the end of a room's graph"),
    ("event_ids", "places of events"),
    ("hidden_events", "events that were made elsewhere: those of hosted users are never rejected"),
    ("search_chunks", "words of all who spoke in a part of a room"),
    ("thumbnails", "of media, which remain"),
    ("oauth_clients", "programs"),
    ("user_codes", "codes, which point at device grants"),
    ("delayed_event_queue", "ids, which point at delayed events; that hers are gone is looked at by itself"),
    ("closed_to_guests", "a room"),
    ("awaited_redactions", "events"),
    ("disappearing_messages", "places of messages, until these disappear"),
    ("expiring_media", "media ids, until the media go"),
    ("blocked_rooms", "rooms, which operators have blocked"),
    (
        "room_deletions",
        "rooms, which operators delete; who brings people to another room is an operator's choice",
    ),
    ("notices_accounts", "a platform's"),
    (
        "notice_tasks",
        "what a platform tells everybody; whom it has told last is of no interest when it has told all",
    ),
    ("released_handles", "handles, which point at their rows"),
    ("proved_addresses", "who has proved an address, until the invitations to it were looked at"),
    ("join_tokens", "hashes, which point at links; that hers are gone is looked at by itself"),
    ("matching_keys", "the server's"),
    ("matching_entries", "sealed, and name nobody; that hers are gone is looked at in matching.rs"),
];

/// What remains for good, and why.
const REMAINS: &[(&str, Row, &str)] = &[
    ("accounts", Own, "nobody else ever gets the name"),
    ("handles", Own, "nobody else ever gets a handle that looks like her user id"),
    ("memberships", Own, "which rooms she was in stands in these rooms, too"),
    ("rooms", Naming, "who created it: all that is allowed in a room follows from that"),
    (
        "timeline",
        Naming,
        "rooms keep what was said; the words of an erased account are taken away when it is read",
    ),
    ("current_state", Naming, "that she has left is state of the room"),
    ("state_log", Naming, "as in the state"),
    ("state_deltas", Naming, "as in the state"),
    ("members", Naming, "as in the state"),
    ("relations", Naming, "as in the timeline"),
    ("threads", Naming, "as in the timeline"),
    ("receipts", Naming, "how far she had read in public is known to the others"),
    ("receipt_log", Naming, "as in the receipts"),
    ("aliases", Naming, "the alias is the room's"),
    ("media", Naming, "what she sent is in the rooms"),
    ("reports", Naming, "operators read what was reported of her"),
    ("operator_actions", Naming, "operators read what was done to her account, and by whom"),
    ("account_data", Naming, "others have noted whom they ignore"),
    ("contacts", Naming, "others have noted whom they know"),
    ("inbox", Naming, "others are told that her keys and her profile have changed"),
    ("to_device", Naming, "others have not fetched yet what she sent them"),
    ("to_device_bodies", Naming, "as in the messages to devices"),
    ("key_signatures", Naming, "only she was shown whom she has verified; it goes when their accounts do"),
];

/// What is worth nothing any more, and goes when it has expired.
const EXPIRES: &[(&str, Row)] = &[
    ("transactions", Own),
    ("authorization_codes", Naming),
    ("device_grants", Naming),
    ("browser_sessions", Naming),
    ("validations", Naming),
    ("link_offers", Naming),
    ("approaches", Naming),
];

/// The tables that have a row of hers, or one that names her: by her id or her address.
fn find(memory: &Memory, user_id: &OwnedUserId) -> Found {
    let key = UserKey { user_id: user_id.clone() }.to_bytes();
    let needles = [&key, user_id.as_bytes(), ADDRESS.as_bytes()];
    let has = |bytes: &[u8], needle: &[u8]| bytes.windows(needle.len()).any(|part| part == needle);
    let mut found = Found::new();
    for (table, (row, value)) in memory.rows() {
        let table = TABLES.iter().find(|known| known.id == table).expect("the catalogue has it").name;
        if row.starts_with(&key) {
            found.insert((table, Own));
        } else if needles.iter().any(|needle| has(&row, needle) || has(&value, needle)) {
            found.insert((table, Naming));
        }
    }
    found
}

/// The tables that have a row of somebody's own.
pub(crate) fn own_tables(memory: &Memory, user_id: &OwnedUserId) -> Vec<&'static str> {
    find(memory, user_id).into_iter().filter(|(_, row)| *row == Own).map(|(table, _)| table).collect()
}

/// Anna, and others who have to do with her.
struct Scene {
    memory: Arc<Memory>,
    network: Network,
    anna: Client,
    ben: Client,
    user_id: OwnedUserId,
}

impl Scene {
    async fn open() -> Self {
        let memory = Memory::new().expect("memory opens");
        let network = Network::over_memory_with(&memory, WITH_MAILS_AND_HANDLES).await;
        let anna = network.register(INSTAGRAM, "anna").await;
        let ben = network.register(MESSENGER, "ben").await;
        let user_id = anna.user_id.as_str().try_into().expect("a user id");
        let scene = Self { memory, network, anna, ben, user_id };
        scene.settle_in().await;
        scene.link_accounts().await;
        // Before she is to be found.
        scene.invite_by_address().await;
        scene.match_addresses().await;
        scene.publish_keys().await;
        scene.log_in_elsewhere().await;
        scene.chat().await;
        scene.join_a_big_room().await;
        scene.network.flush().await;
        scene
    }

    fn found(&self) -> Found {
        find(&self.memory, &self.user_id)
    }

    /// All that is hers without anybody else.
    async fn settle_in(&self) {
        let (anna, user) = (&self.anna, &self.anna.user_id);
        anna.put(&format!("/v3/profile/{user}/displayname"), json!({ "displayname": "Anna Berg" }))
            .await
            .ok();
        anna.put(&format!("/v3/user/{user}/account_data/org.example"), json!({ "a": 1 })).await.ok();
        anna.post(&format!("/v3/user/{user}/filter"), json!({})).await.ok();
        anna.put("/v3/pushrules/global/content/wharf", json!({ "actions": ["notify"], "pattern": "wharf" }))
            .await
            .ok();
        let pusher = json!({
            "pushkey": "anna", "kind": "http", "app_id": "org.example", "app_display_name": "Example",
            "device_display_name": "phone", "lang": "en",
            "data": { "url": "https://push.example.org/_matrix/push/v1/notify" },
        });
        anna.post("/v3/pushers/set", pusher).await.ok();
        anna.put(&format!("/v3/presence/{user}/status"), json!({ "presence": "online" })).await.ok();
        anna.post(&format!("/v3/user/{user}/openid/request_token"), json!({})).await.ok();
        anna.post("/_matrix/media/v3/upload", json!({ "a": "file" })).await.ok();
        anna.post("/_matrix/media/v1/create", json!({})).await.ok();

        let request = json!({ "client_secret": "monkeys", "email": ADDRESS, "send_attempt": 1 });
        let sid = anna.post("/v3/account/3pid/email/requestToken", request).await.ok()["sid"].clone();
        let mail = self.network.mails.nth(0).await.text;
        let link = mail.lines().find(|line| line.starts_with("http")).expect("a link");
        let (status, page) = self.network.browse(Method::POST, link).await;
        assert!(status.is_success(), "{page}");
        let add = json!({ "sid": sid, "client_secret": "monkeys", "auth": proof(anna, &Value::Null) });
        anna.post("/v3/account/3pid/add", add).await.ok();
        let request = json!({ "client_secret": "monkeys", "email": ADDRESS, "send_attempt": 1 });
        anna.post("/v3/account/password/email/requestToken", request).await.ok();
    }

    /// Ben's account is hers, too, and one more waits to be linked.
    async fn link_accounts(&self) {
        let links = "/_linkspan/client/v1/links";
        let offer = async |of: &Client, to: &Client| {
            let code = of.post(&format!("{links}/code"), json!({})).await.ok()["code"].clone();
            to.post(&format!("{links}/enter"), json!({ "code": code })).await.ok();
        };
        offer(&self.anna, &self.ben).await;
        self.anna.post(&format!("{links}/confirm"), json!({ "user_id": self.ben.user_id })).await.ok();
        let choices = json!({ "shown_to": "contacts", "messages_arrive_at": self.anna.user_id });
        self.ben.put(&format!("{links}/choices"), choices).await.ok();
        offer(&self.ben, &self.anna).await;
        self.anna.post(&format!("{links}/code"), json!({})).await.ok();
    }

    async fn match_addresses(&self) {
        let matching = "/_linkspan/client/v1/matching";
        let everyone = json!({ "phone": "everyone", "email": "everyone" });
        self.anna.put("/_linkspan/client/v1/discovery", everyone).await.ok();
        let buckets = json!({ "version": 1, "bucket_bits": 0, "buckets": [0] });
        let (status, _) =
            self.anna.call_raw(Method::POST, &format!("{matching}/buckets"), buckets.to_string()).await;
        assert_eq!(status, 200);
    }

    /// Anna invites somebody who is not here, and ben her.
    async fn invite_by_address(&self) {
        for (inviter, address) in [(&self.anna, "nobody@example.org"), (&self.ben, ADDRESS)] {
            let room = inviter.create_room(json!({})).await;
            let path = format!("/_linkspan/client/v1/rooms/{room}/invite_by_address");
            inviter.post(&path, json!({ "medium": "email", "address": address })).await.ok();
        }
        third_party_invites::settle(&self.network).await;
    }

    async fn publish_keys(&self) {
        let (anna, ben) = (&self.anna, &self.ben);
        let mut device = OlmDevice::new(anna);
        let keys = device.device_keys();
        let upload = json!({
            "device_keys": keys, "one_time_keys": device.one_time_keys(2), "fallback_keys": device.fallback_key(),
        });
        anna.post("/v3/keys/upload", upload).await.ok();
        let (identity, of_ben) = (Identity::new(anna), Identity::new(ben));
        anna.post("/v3/keys/device_signing/upload", identity.upload()).await.ok();
        ben.post("/v3/keys/device_signing/upload", of_ben.upload()).await.ok();
        let own = signed(keys, &anna.user_id, &identity.self_signing);
        let other = signed(of_ben.upload()["master_key"].clone(), &anna.user_id, &identity.user_signing);
        let signatures = json!({
            &anna.user_id: { &anna.device_id: own }, &ben.user_id: { of_ben.master_name(): other },
        });
        let answer = anna.post("/v3/keys/signatures/upload", signatures).await.ok();
        assert_eq!(answer["failures"], Value::Null);
        anna.put(DEHYDRATED, dehydrated(anna, "DREAM")).await.ok();
        let version = key_backup::begin(anna).await;
        let path = format!("/v3/room_keys/keys/!room:instagram.localhost/one?version={version}");
        anna.put(&path, key_backup::key(0, true, "secret")).await.ok();
    }

    /// By OAuth, in every way.
    async fn log_in_elsewhere(&self) {
        let mut browser = Browser::new(&self.network);
        let (client, _) = browser.session(INSTAGRAM, "anna", "TABLET").await;
        browser.allow(INSTAGRAM, &authorise(&client, "PHONE", &[]), "anna").await;
        let scope = "urn:matrix:client:api:* urn:matrix:client:device:TV";
        let begin = [("client_id", client.as_str()), ("scope", scope)];
        let grant = browser.post(INSTAGRAM, "/_linkspan/oauth2/device_authorization", &begin).await.json();
        let page = browser.get(INSTAGRAM, &format!("/link?user_code={}", text(&grant["user_code"]))).await;
        let user_code = page.hidden("user_code");
        let values = [("user_code", user_code.as_str()), ("answer", "allow")];
        assert_eq!(browser.fill(INSTAGRAM, &page, "/link", &values).await.status, 200);
    }

    async fn chat(&self) {
        let (anna, ben, user) = (&self.anna, &self.ben, &self.anna.user_id);
        let invited = json!({
            "visibility": "public", "room_alias_name": "quay", "invite": [ben.user_id],
        });
        let room = anna.create_room(invited).await;
        ben.join(&room).await.ok();
        anna.post("/v3/createRoom", json!({})).await.ok();
        ben.create_room(json!({ "invite": [user] })).await;
        let alone = anna.create_room(json!({ "is_direct": true, "invite": [ben.user_id] })).await;
        ben.join(&alone).await.ok();

        let first = anna.say(&room, "Ahoy").await;
        let reply = json!({
            "msgtype": "m.text", "body": "Aye", "m.relates_to": { "rel_type": "m.thread", "event_id": first },
        });
        anna.send(&room, "m.room.message", reply).await;
        let thread = format!("/unstable/io.element.msc4306/rooms/{room}/thread/{first}/subscription");
        anna.put(&thread, json!({})).await.ok();
        // As many as have to come before counts are stored.
        for number in 0..101 {
            ben.say(&room, &format!("wave {number}")).await;
        }
        anna.get("/v3/sync").await.ok();
        let list = json!({ "ranges": [[0, 9]], "required_state": [], "timeline_limit": 1 });
        let sliding = json!({ "conn_id": "main", "lists": { "all": list } });
        anna.post("/unstable/org.matrix.simplified_msc3575/sync", sliding).await.ok();
        for kind in ["m.read", "m.read.private", "m.fully_read"] {
            let receipt = format!("/v3/rooms/{room}/receipt/{kind}/{}", encoded(&first));
            anna.post(&receipt, json!({})).await.ok();
        }
        anna.post(&format!("/_linkspan/client/v1/rooms/{room}/join_links"), json!({})).await.ok();
        let left = anna.create_room(json!({})).await;
        anna.post(&format!("/_linkspan/client/v1/rooms/{left}/join_links"), json!({})).await.ok();
        let last = anna.say(&left, "Bye").await;
        let receipt = format!("/v3/rooms/{left}/receipt/m.read.private/{}", encoded(&last));
        anna.post(&receipt, json!({})).await.ok();
        anna.leave(&left).await.ok();
        anna.post(&format!("/v3/rooms/{left}/forget"), json!({})).await.ok();
        let of_room = format!("/v3/user/{user}/rooms/{room}");
        anna.put(&format!("{of_room}/tags/u.work"), json!({ "order": 0.1 })).await.ok();
        anna.put(&format!("{of_room}/account_data/org.example"), json!({ "a": 1 })).await.ok();
        let later = format!("/unstable/org.matrix.msc4140/rooms/{room}/delayed_event/m.room.message/later");
        let words = json!({ "msgtype": "m.text", "body": "later" });
        anna.put(&later, json!({ "delay": 3_600_000, "content": words })).await.ok();
        anna.post(&format!("/v3/rooms/{room}/report/{first}"), json!({ "reason": "rude" })).await.ok();
        ben.post(&format!("/v3/users/{user}/report"), json!({ "reason": "rude" })).await.ok();
        let administrator = self.network.administrator(INSTAGRAM, "olivia").await;
        let suspended = format!("/_linkspan/admin/v1/users/{user}/suspended");
        administrator.put(&suspended, json!({ "suspended": false })).await.ok();
        let notice = json!({ "user_id": user, "body": "Welcome" });
        administrator.post("/_linkspan/admin/v1/server_notices", notice).await.ok();

        // It is so long that it is stored once for all devices, of which both have several.
        ben.another_device().await;
        let words = "Ahoy! ".repeat(400);
        let to = |other: &Client| json!({ "messages": { &other.user_id: { "*": { "body": words } } } });
        anna.put("/v3/sendToDevice/org.example.hello/1", to(ben)).await.ok();
        ben.put("/v3/sendToDevice/org.example.hello/1", to(anna)).await.ok();
        let carl = self.network.register(WHATSAPP, "carl").await;
        let ignored = json!({ "ignored_users": { user: {} } });
        carl.put(&format!("/v3/user/{}/account_data/m.ignored_user_list", carl.user_id), ignored).await.ok();
    }

    /// A room whose members are told by reading it.
    async fn join_a_big_room(&self) {
        let room = self.ben.create_room(json!({ "preset": "public_chat" })).await;
        self.anna.join(&room).await.ok();
        for number in 0..100 {
            self.network.register(WHATSAPP, &format!("guest{number}")).await.join(&room).await.ok();
        }
    }

    /// Deactivates anna; gives what was found of her up to then, and while it is not finished.
    async fn deactivate(&self, erase: bool) -> Found {
        let mut found = self.found();
        let accounts = &self.network.app.accounts;
        accounts.begin_deactivation(&self.user_id, None, erase).await.expect("begun");
        found.extend(self.found());
        self.network.app.finish_interrupted(now_ts()).await.expect("finished");
        self.network.flush().await;
        found
    }

    /// Sweeps for as long as that takes what has expired away.
    async fn sweep(&self) {
        let long_after = || now_ts() + 90 * 24 * 60 * 60 * 1000;
        let mut commits = self.network.store.follow();
        let sweeping = tokio::spawn(Services::clone(&self.network.app).sweep(long_after));
        let swept = async {
            while EXPIRES.iter().any(|expired| self.found().contains(expired)) {
                commits.next().await.expect("the store is open");
            }
        };
        tokio::time::timeout(PATIENCE, swept).await.expect("it expires");
        sweeping.abort();
    }
}

#[tokio::test]
async fn nothing_remains_of_whoever_is_deactivated_but_what_is_meant_to() {
    for erase in [false, true] {
        let scene = Scene::open().await;
        let written = scene.deactivate(erase).await;
        check_that_all_tables_are_known(&written, erase);

        let mut expected: Found = REMAINS.iter().map(|(table, row, _)| (*table, *row)).collect();
        expected.insert((if erase { "erased_accounts" } else { "profiles" }, Own));
        let until_it_expires: Found = expected.iter().chain(EXPIRES).copied().collect();
        assert_eq!(scene.found(), until_it_expires, "erase: {erase}");
        assert_eq!(scene.network.rows::<DelayedEventQueue>().await, 0);
        assert_eq!(scene.network.rows::<JoinTokens>().await, 0);
        let receipts = scene.network.store.keys(Range::<Receipts>::all()).await.expect("they are read");
        assert!(
            receipts.iter().all(|receipt| receipt.kind == 0),
            "private receipts are nobody else's business"
        );

        scene.sweep().await;
        assert_eq!(scene.found(), expected, "erase: {erase}");
        assert_eq!(scene.network.app.rooms.audit().await.expect("it is read"), [""; 0]);
    }
}

fn check_that_all_tables_are_known(written: &Found, erase: bool) {
    let written: BTreeSet<_> = written.iter().map(|(table, _)| *table).collect();
    let nobodys: BTreeSet<_> = NOBODYS.iter().map(|(table, _)| *table).collect();
    let mut unknown: BTreeSet<_> = TABLES.iter().map(|table| table.name).collect();
    unknown.retain(|table| !written.contains(table) && !nobodys.contains(table));
    if !erase {
        unknown.remove("erased_accounts");
    }
    assert!(unknown.is_empty(), "no row of these tables is anna's: {unknown:?}; see the head of this file");
    let named: Vec<_> = written.intersection(&nobodys).collect();
    assert!(named.is_empty(), "these tables have rows about somebody: {named:?}");
}
