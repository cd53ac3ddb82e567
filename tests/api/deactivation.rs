//! Accounts that are deactivated: gone from everywhere, also if the server stops in between.

use std::sync::Arc;

use linkspan_accounts::AccountsError;
use linkspan_keys::KeysError;
use linkspan_rooms::RoomsError;
use linkspan_storage::{
    Faults, Memory, Range, WriteSet,
    catalogue::{BackedUpKeys, UserInvitations, UserKey},
};
use linkspan_wire::now_ts;
use ruma::OwnedUserId;
use serde_json::{Value, json};

use crate::{
    key_backup,
    network::{Client, INSTAGRAM, MESSENGER, Network, PASSWORD, list, text},
    olm::Identity,
    remains::own_tables,
};

/// More commits than deactivating the account takes.
const MANY: u64 = 100;

fn pusher(pushkey: &str) -> Value {
    json!({
        "pushkey": pushkey, "kind": "http", "app_id": "org.example", "app_display_name": "Example",
        "device_display_name": "phone", "lang": "en",
        "data": { "url": "https://push.example.org/_matrix/push/v1/notify" },
    })
}

/// Somebody with something everywhere, and somebody who sees it.
struct Scene {
    memory: Arc<Memory>,
    network: Network,
    anna: Client,
    bert: Client,
    rooms: Vec<String>,
}

impl Scene {
    async fn open(memory: &Arc<Memory>) -> Self {
        let network = Network::over_memory(memory).await;
        let anna = network.register(INSTAGRAM, "anna").await;
        let bert = network.register(MESSENGER, "bert").await;
        anna.put(&format!("/v3/profile/{}/displayname", anna.user_id), json!({ "displayname": "Wharf" }))
            .await
            .ok();
        anna.put(&format!("/v3/user/{}/account_data/org.example", anna.user_id), json!({ "a": 1 }))
            .await
            .ok();
        anna.post("/v3/keys/device_signing/upload", Identity::new(&anna).upload()).await.ok();
        anna.post("/v3/pushers/set", pusher("anna")).await.ok();
        let version = key_backup::begin(&anna).await;
        let path = format!("/v3/room_keys/keys/!room:instagram.localhost/one?version={version}");
        anna.put(&path, key_backup::key(0, true, "secret")).await.ok();
        anna.another_device().await;
        let mut rooms = Vec::new();
        for _ in 0..3 {
            let room = bert.create_room(json!({ "invite": [anna.user_id] })).await;
            anna.join(&room).await.ok();
            rooms.push(room);
        }
        // An invitation, too.
        rooms.push(bert.create_room(json!({ "invite": [anna.user_id] })).await);
        network.flush().await;
        Self { memory: memory.clone(), network, anna, bert, rooms }
    }

    /// The same over what is on the disk of another store.
    async fn over(&self, memory: &Arc<Memory>) -> Self {
        let network = Network::over_memory(memory).await;
        let (anna, bert) = (self.anna.on(&network), self.bert.on(&network));
        Self { memory: memory.clone(), network, anna, bert, rooms: self.rooms.clone() }
    }

    async fn deactivate(&self) -> u16 {
        let identifier = json!({ "type": "m.id.user", "user": self.anna.user_id });
        let auth = json!({ "type": "m.login.password", "identifier": identifier, "password": PASSWORD });
        let words = json!({ "auth": auth, "erase": true });
        self.anna.post("/v3/account/deactivate", words).await.status.as_u16()
    }

    /// How she is in each room.
    async fn memberships(&self) -> Vec<String> {
        let mut all = Vec::new();
        for room in &self.rooms {
            let path = format!("/v3/rooms/{room}/state/m.room.member/{}", self.anna.user_id);
            all.push(text(&self.bert.get(&path).await.ok()["membership"]));
        }
        all
    }

    async fn is_found(&self) -> bool {
        let found = self.bert.post("/v3/user_directory/search", json!({ "search_term": "wharf" })).await.ok();
        !list(&found["results"]).is_empty()
    }

    /// Nothing of her is left.
    async fn check_gone(&self) {
        // Who has invited her does not learn whether she was there.
        assert_eq!(self.memberships().await, ["leave", "leave", "leave", "invite"]);
        assert!(!self.is_found().await);
        let app = &self.network.app;
        let user_id: OwnedUserId = self.anna.user_id.as_str().try_into().expect("a user id");
        assert_eq!(own_tables(&self.memory, &user_id), ["accounts", "erased_accounts", "memberships"]);
        assert_eq!(app.accounts.departing_accounts().await.expect("listed"), [""; 0]);
        assert!(app.accounts.departed_devices().await.expect("listed").is_empty());
        let data = app.accounts.account_data(&user_id, None, "org.example").await.expect("read");
        assert_eq!(data, None);
        let name = app.accounts.profile_field(&user_id, "displayname").await.expect("read");
        assert_eq!(name, None::<Value>);
        assert_eq!(app.push.pushers(&user_id).await.expect("read").len(), 0);
        let backup = app.keys.backup(&user_id, None).await;
        assert!(matches!(backup, Err(KeysError::NotFound(_))), "{backup:?}");
        let range = Range::<BackedUpKeys>::prefix((&user_id,));
        assert!(self.network.store.keys(range).await.expect("read").is_empty());
        let wanted = json!({ "device_keys": { &self.anna.user_id: [] } });
        let keys = self.bert.post("/v3/keys/query", wanted).await.ok();
        assert_eq!(keys["master_keys"][&self.anna.user_id], Value::Null);
        self.anna.get("/v3/account/whoami").await.fails(401, "M_UNKNOWN_TOKEN");
    }
}

#[tokio::test]
async fn who_is_deactivated_is_gone_from_everywhere() {
    let memory = Memory::new().expect("memory opens");
    let scene = Scene::open(&memory).await;
    assert_eq!(scene.memberships().await, ["join", "join", "join", "invite"]);
    assert!(scene.is_found().await);
    assert_eq!(scene.deactivate().await, 200);
    scene.check_gone().await;
    // Her password went with the account, and nobody else learns what has become of it.
    let gone = scene.anna.try_log_in().await;
    let mut nobody = scene.anna.clone();
    nobody.user_id = "@nobody:instagram.localhost".to_owned();
    assert_eq!(nobody.try_log_in().await.json, gone.json);
    gone.fails(403, "M_FORBIDDEN");
}

#[tokio::test]
async fn who_is_deactivated_comes_into_nothing_any_more() {
    let memory = Memory::new().expect("memory opens");
    let Scene { network, anna, bert, .. } = Scene::open(&memory).await;
    let open = bert.create_room(json!({ "preset": "public_chat" })).await;
    network.flush().await;
    let user_id: OwnedUserId = anna.user_id.as_str().try_into().expect("a user id");
    let (room_id, device_id) = (open.as_str().try_into().expect("a room id"), anna.device_id.as_str().into());
    let identity = Identity::new(&anna).upload();
    let app = &network.app;
    app.accounts.begin_deactivation(&user_id, None, true).await.expect("begun");

    // Requests that had proved their token before.
    let refused = |error: AccountsError| assert!(matches!(error, AccountsError::Deactivated), "{error}");
    let of_rooms = |answer: Result<(), RoomsError>| match answer {
        Err(RoomsError::Accounts(error)) => refused(error),
        answer => panic!("{answer:?}"),
    };
    of_rooms(app.rooms.join_room(&user_id, &room_id, None, now_ts()).await);
    of_rooms(app.rooms.set_profile_field(&user_id, "displayname", Some(json!("Pier")), now_ts()).await);
    // Whoever invites does not learn that nobody is there any more.
    bert.invite(&open, &anna).await.ok();
    let identity = linkspan_keys::Identity {
        master_key: Some(identity["master_key"].to_string()),
        ..Default::default()
    };
    match app.keys.create_backup(&user_id, "m.megolm_backup.v1.curve25519-aes-sha2", "{}").await {
        Err(KeysError::Accounts(error)) => refused(error),
        answer => panic!("{answer:?}"),
    }
    match app.keys.upload_identity(&user_id, &identity, true).await {
        Err(KeysError::Accounts(error)) => refused(error),
        answer => panic!("{answer:?}"),
    }
    let uploaded = app.keys.upload(&user_id, &device_id, &linkspan_keys::Upload::default()).await;
    assert!(matches!(uploaded, Err(KeysError::Accounts(AccountsError::UnknownToken { .. }))), "{uploaded:?}");
}

#[tokio::test]
async fn an_account_that_cannot_be_done_with_keeps_no_other() {
    let network = Network::open().await;
    let (anna, bert) = (network.register(INSTAGRAM, "anna").await, network.register(MESSENGER, "bert").await);
    let users = [&anna, &bert].map(|who| OwnedUserId::try_from(who.user_id.as_str()).expect("a user id"));
    let app = &network.app;
    for user_id in &users {
        app.accounts.begin_deactivation(user_id, None, false).await.expect("it begins");
    }
    let list = UserKey { user_id: users[0].clone() };
    network.damage::<UserInvitations>(&list).await;
    app.finish_interrupted(now_ts()).await.expect("the server starts");
    assert_eq!(app.accounts.departing_accounts().await.expect("listed"), users[..1]);
    let mut writes = WriteSet::new();
    writes.delete::<UserInvitations>(&list);
    network.store.commit(writes).await.expect("it is written");
    app.finish_interrupted(now_ts()).await.expect("the server starts");
    assert_eq!(app.accounts.departing_accounts().await.expect("listed"), [""; 0]);
}

#[tokio::test]
async fn a_stop_in_between_is_made_up_for_at_the_next_start() {
    let memory = Memory::with_faults(Faults::default()).expect("memory opens");
    let scene = Scene::open(&memory).await;
    let (mut interrupted, mut begun) = (0, 0);
    for nth in 1..MANY {
        let image = memory.image().expect("an image");
        let at = scene.over(&image).await.network.newest_commit().await + nth;
        let faults = Faults { seed: nth, crash_at: Some(at), ..Faults::default() };
        let failing = image.reopen_with(faults).expect("it opens");
        let status = scene.over(&failing).await.deactivate().await;
        let again = scene.over(&failing.reopen().expect("it opens")).await;
        if status == 200 {
            assert!(interrupted > 5, "it was interrupted {interrupted} times only");
            assert!(begun > 5, "it had begun {begun} times only");
            again.check_gone().await;
            return;
        }
        interrupted += 1;
        again.network.app.finish_interrupted(now_ts()).await.expect("it is finished");
        match again.anna.try_log_in().await {
            answer if answer.status.is_success() => {
                assert_eq!(again.memberships().await, ["join", "join", "join", "invite"]);
                assert!(again.is_found().await);
            }
            answer => {
                answer.fails(403, "M_FORBIDDEN");
                again.check_gone().await;
                begun += 1;
            }
        }
    }
    panic!("it takes more than {MANY} commits");
}
