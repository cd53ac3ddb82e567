//! Handles: what can be one, who has which, and what remains of one that was changed. People of Instagram are known by
//! handles here, and those of the other platforms are not.

use std::{collections::BTreeSet, sync::Arc};

use http::Method;
use linkspan_platforms::{Identity, Platform};
use linkspan_storage::catalogue::{Handles, ReleasedHandles};
use linkspan_wire::{Services, now_ts};
use ruma::{OwnedUserId, ServerName};
use serde_json::{Value, json};

use crate::{
    network::{Answer, Client, INSTAGRAM, MESSENGER, Network, PASSWORD, PATIENCE, each, encoded, text},
    oauth_browser::Browser,
};

const HANDLE: &str = "/_linkspan/client/v1/handle";
const DAY_MS: u64 = 24 * 60 * 60 * 1000;

async fn open() -> Network {
    let identity = |name: &str| if name == INSTAGRAM { Identity::Handle } else { Identity::Account };
    Network::changed(|one| one.identity = identity(one.server_name.as_str())).await
}

fn instagram(network: &Network) -> Arc<Platform> {
    network.app.platforms.get(INSTAGRAM.try_into().expect("a server name")).expect("it is hosted")
}

async fn try_register(network: &Network, name: &str) -> Answer {
    let body = json!({ "username": name, "password": PASSWORD, "auth": { "type": "m.login.dummy" } });
    network.call(INSTAGRAM, None, Method::POST, "/v3/register", Some(body)).await
}

async fn try_log_in(network: &Network, name: &str) -> Answer {
    let identifier = json!({ "type": "m.id.user", "user": name });
    let body = json!({ "type": "m.login.password", "identifier": identifier, "password": PASSWORD });
    network.call(INSTAGRAM, None, Method::POST, "/v3/login", Some(body)).await
}

async fn change(who: &Client, handle: &str) -> Answer {
    who.put(HANDLE, json!({ "handle": handle })).await
}

/// Changes a handle at another time.
async fn change_at(network: &Network, who: &Client, handle: &str, ts: u64) -> Result<(), String> {
    let changed = network.app.rooms.change_handle(&id_of(who), handle, ts).await;
    changed.map(drop).map_err(|error| error.to_string())
}

/// Whether somebody new could have a name at another time.
async fn is_free_at(network: &Network, name: &str, ts: u64) -> bool {
    network.app.accounts.check_username(&instagram(network), name, ts).await.is_ok()
}

fn id_of(who: &Client) -> OwnedUserId {
    who.user_id.as_str().try_into().expect("a user id")
}

async fn handle_of(who: &Client) -> Value {
    who.get(HANDLE).await.ok()["handle"].clone()
}

/// What the profile of somebody shows to somebody.
async fn shown_handle(to: &Client, of: &Client) -> Value {
    to.get(&format!("/v3/profile/{}", of.user_id)).await.ok()["org.linkspan.handle"].clone()
}

/// Whom a handle leads somebody to.
async fn resolve(who: &Client, handle: &str) -> Answer {
    who.get(&format!("/_linkspan/client/v1/handles/{}?platform={INSTAGRAM}", encoded(handle))).await
}

async fn search(who: &Client, term: &str) -> Vec<String> {
    let found = who.post("/v3/user_directory/search", json!({ "search_term": term })).await.ok();
    each(&found["results"], "user_id")
}

async fn deactivate(network: &Network, who: &Client) {
    network.app.deactivate(&id_of(who), None, false, now_ts()).await.expect("deactivated");
}

#[tokio::test]
async fn the_name_of_a_new_account_is_its_handle() {
    let network = open().await;
    let anna = network.register(INSTAGRAM, "Anna.K").await;
    let ben = network.register(MESSENGER, "ben").await;
    assert_eq!(anna.user_id, "@anna.k:instagram.localhost");
    assert_eq!(anna.get(HANDLE).await.ok(), json!({ "handle": "anna.k", "changes_left": 3 }));
    assert_eq!(shown_handle(&ben, &anna).await, "anna.k");
    assert_eq!(resolve(&ben, "@Anna.K").await.ok(), json!({ "user_id": anna.user_id }));
    assert_eq!(
        anna.get("/_linkspan/client/v1/handles/anna.k").await.ok(),
        json!({ "user_id": anna.user_id }),
        "one's own platform need not be named"
    );

    // Somebody who asks for no name gets one that is made up.
    let nameless = json!({ "password": PASSWORD, "auth": { "type": "m.login.dummy" } });
    let session = network.call(INSTAGRAM, None, Method::POST, "/v3/register", Some(nameless)).await.ok();
    let nameless = network.client(INSTAGRAM, &session);
    assert_eq!(format!("@{}:{INSTAGRAM}", text(&handle_of(&nameless).await)), nameless.user_id);

    // People of other platforms have none, and none of their names is resolved.
    ben.get(HANDLE).await.fails(403, "M_FORBIDDEN");
    change(&ben, "benedict").await.fails(403, "M_FORBIDDEN");
    ben.get(&format!("{HANDLE}/benedict/available")).await.fails(403, "M_FORBIDDEN");
    let of_messenger = format!("/_linkspan/client/v1/handles/ben?platform={MESSENGER}");
    anna.get(&of_messenger).await.fails(404, "M_NOT_FOUND");
    assert_eq!(shown_handle(&anna, &ben).await, Value::Null);
}

#[tokio::test]
async fn the_same_is_refused_wherever_a_handle_is_asked_for() {
    let network = open().await;
    network.register(INSTAGRAM, "marina").await;
    network.register(INSTAGRAM, "paul").await;
    let zoe = network.register(INSTAGRAM, "zoe").await;
    let available = |name: &str| format!("/v3/register/available?username={}", encoded(name));
    for (handle, code) in [
        ("an", "M_INVALID_USERNAME"),
        ("a-nna", "M_INVALID_USERNAME"),
        (".anna", "M_INVALID_USERNAME"),
        ("4917012345", "M_INVALID_USERNAME"),
        ("support", "M_INVALID_USERNAME"),
        ("Supp0rt", "M_INVALID_USERNAME"),
        ("instagram", "M_INVALID_USERNAME"),
        ("instagram_help", "M_INVALID_USERNAME"),
        ("marina", "M_USER_IN_USE"),
        ("MARINA", "M_USER_IN_USE"),
        ("rnarina", "M_USER_IN_USE"),
        ("mar.ina", "M_USER_IN_USE"),
        ("pau1", "M_USER_IN_USE"),
        ("_paul_", "M_USER_IN_USE"),
    ] {
        let (by_name, by_change) = (try_register(&network, handle).await, change(&zoe, handle).await);
        let told = text(&by_name.json["error"]);
        assert_eq!(told, text(&by_change.json["error"]), "{handle}");
        by_name.fails(400, code);
        by_change.fails(400, code);
        network.call(INSTAGRAM, None, Method::GET, &available(handle), None).await.fails(400, code);
        zoe.get(&format!("{HANDLE}/{handle}/available")).await.fails(400, code);
    }
    let look_alike = change(&zoe, "rnarina").await;
    assert!(text(&look_alike.json["error"]).contains("looks too much like"), "{}", look_alike.json);
    assert_eq!(handle_of(&zoe).await, "zoe");

    // One's own handle can be written in another way.
    assert_eq!(zoe.get(&format!("{HANDLE}/z_0e/available")).await.ok(), json!({ "available": true }));
    assert_eq!(change(&zoe, "@Z_0e").await.ok(), json!({ "handle": "z_0e" }));
    resolve(&zoe, "zoe").await.fails(404, "M_NOT_FOUND");
}

#[tokio::test]
async fn of_several_who_want_a_handle_at_once_one_gets_it() {
    let network = open().await;
    let (anna, ben) = (network.register(INSTAGRAM, "anna").await, network.register(INSTAGRAM, "ben").await);
    let won = |answers: &[&Answer]| answers.iter().filter(|answer| answer.status == 200).count();

    // Alike, and not the same: no row of an account is contended for.
    let (one, other) = tokio::join!(try_register(&network, "marina"), try_register(&network, "rnarina"));
    assert_eq!(won(&[&one, &other]), 1, "{one:?} {other:?}");
    let (one, other) = tokio::join!(change(&anna, "willow"), change(&ben, "vvillow"));
    assert_eq!(won(&[&one, &other]), 1, "{one:?} {other:?}");
    let (one, other) = tokio::join!(change(&anna, "corinna"), try_register(&network, "corinna"));
    assert_eq!(won(&[&one, &other]), 1, "{one:?} {other:?}");
}

#[tokio::test]
async fn a_changed_handle_changes_nothing_else() {
    let network = open().await;
    let anna = network.register(INSTAGRAM, "anna").await;
    let ben = network.register(MESSENGER, "ben").await;
    let room = anna.create_room(json!({ "invite": [ben.user_id] })).await;
    ben.join(&room).await.ok();
    let since = text(&ben.get("/v3/sync").await.ok()["next_batch"]);
    assert_eq!(change(&anna, "Bella").await.ok(), json!({ "handle": "bella" }));

    assert_eq!(text(&anna.get("/v3/account/whoami").await.ok()["user_id"]), anna.user_id);
    anna.say(&room, "It is still me").await;
    assert_eq!(ben.heard(&room).await, ["It is still me"]);
    let news = ben.get(&format!("/v3/sync?since={since}")).await.ok();
    let timeline = &news["rooms"]["join"][&room]["timeline"]["events"];
    assert_eq!(each(timeline, "type"), ["m.room.message"], "rooms are not told");
    let member = ben.get(&format!("/v3/rooms/{room}/state/m.room.member/{}", anna.user_id)).await.ok();
    assert!(!member.to_string().contains("bella"), "{member}");
    assert_eq!(resolve(&ben, "bella").await.ok(), json!({ "user_id": anna.user_id }));
    resolve(&ben, "anna").await.fails(404, "M_NOT_FOUND");
    let field = format!("/v3/profile/{}/org.linkspan.handle", anna.user_id);
    assert_eq!(ben.get(&field).await.ok(), json!({ "org.linkspan.handle": "bella" }));

    // The field says what the server knows, and nobody else writes it, as clients are told.
    let capabilities = anna.get("/v3/capabilities").await.ok();
    let fields = &capabilities["capabilities"]["m.profile_fields"];
    assert_eq!(fields, &json!({ "enabled": true, "disallowed": ["org.linkspan.handle"] }));
    anna.put(&field, json!({ "org.linkspan.handle": "carla" })).await.fails(403, "M_FORBIDDEN");
    anna.delete(&field).await.fails(403, "M_FORBIDDEN");
    ben.put(
        &format!("/v3/profile/{}/org.linkspan.handle", ben.user_id),
        json!({ "org.linkspan.handle": "carla" }),
    )
    .await
    .fails(403, "M_FORBIDDEN");
    assert_eq!(ben.get(&field).await.ok(), json!({ "org.linkspan.handle": "bella" }));
}

#[tokio::test]
async fn people_log_in_by_the_handle_they_have_now() {
    let network = open().await;
    let anna = network.register(INSTAGRAM, "anna").await;
    assert_eq!(try_log_in(&network, "anna").await.ok()["user_id"], json!(anna.user_id));
    change(&anna, "bella").await.ok();
    for name in ["bella", "@Bella", anna.user_id.as_str()] {
        assert_eq!(try_log_in(&network, name).await.ok()["user_id"], json!(anna.user_id), "{name}");
    }
    change(&anna, "carla").await.ok();
    for name in ["anna", "@anna", "bella", "ca.rla", "@bella:instagram.localhost"] {
        try_log_in(&network, name).await.fails(403, "M_FORBIDDEN");
    }

    let mut browser = Browser::new(&network);
    let account = browser.log_in(INSTAGRAM, "/_linkspan/log-in", "carla").await;
    let page = browser.get(INSTAGRAM, &account).await;
    assert!(page.text.contains(&anna.user_id) && page.text.contains("value=\"carla\""), "{}", page.text);
}

#[tokio::test]
async fn a_released_handle_is_kept_for_whoever_had_it() {
    let network = open().await;
    let anna = network.register(INSTAGRAM, "anna").await;
    let ben = network.register(INSTAGRAM, "ben").await;
    let start = now_ts();
    change_at(&network, &anna, "willow", start).await.expect("it is free");
    change_at(&network, &anna, "aspen", start + DAY_MS).await.expect("it is free");
    let (almost, after) = (start + 31 * DAY_MS - 1, start + 31 * DAY_MS);
    for name in ["willow", "wi11ow", "vvillow"] {
        assert!(!is_free_at(&network, name, almost).await, "{name}");
        change_at(&network, &ben, name, almost).await.expect_err(name);
        assert!(is_free_at(&network, name, after).await, "{name}");
    }
    change_at(&network, &anna, "willow", almost).await.expect("she may have it back");
    change_at(&network, &anna, "aspen", almost).await.expect("she may have this back, too");

    // Time counts from the last release on.
    change_at(&network, &ben, "willow", almost + 30 * DAY_MS - 1).await.expect_err("too early");
    change_at(&network, &ben, "willow", almost + 30 * DAY_MS).await.expect("it is free again");
    assert_eq!(resolve(&anna, "willow").await.ok(), json!({ "user_id": ben.user_id }));
    change_at(&network, &anna, "willow", almost + 99 * DAY_MS).await.expect_err("it is ben's now");
}

#[tokio::test]
async fn a_handle_that_stands_in_a_user_id_is_nobody_elses_for_ever() {
    let network = open().await;
    let anna = network.register(INSTAGRAM, "anna").await;
    let ben = network.register(INSTAGRAM, "ben").await;
    change(&anna, "bella").await.ok();
    let years_later = now_ts() + 9999 * DAY_MS;
    for gone in [false, true] {
        if gone {
            deactivate(&network, &anna).await;
        }
        sweep(&network).await;
        for name in ["anna", "an_na", "@anna"] {
            assert!(!is_free_at(&network, name, years_later).await, "{name}");
            change_at(&network, &ben, name, years_later).await.expect_err(name);
        }
    }
    resolve(&ben, "anna").await.fails(404, "M_NOT_FOUND");
}

/// Sweeps as if it were long after, until no handle waits to become free.
async fn sweep(network: &Network) {
    let long_after = || now_ts() + 90 * DAY_MS;
    let mut commits = network.store.follow();
    let sweeping = tokio::spawn(Services::clone(&network.app).sweep(long_after));
    let swept = async {
        while network.rows::<ReleasedHandles>().await > 0 {
            commits.next().await.expect("the store is open");
        }
    };
    tokio::time::timeout(PATIENCE, swept).await.expect("all of it goes");
    sweeping.abort();
}

#[tokio::test]
async fn released_handles_are_forgotten() {
    let network = open().await;
    let anna = network.register(INSTAGRAM, "anna").await;
    change(&anna, "willow").await.ok();
    change(&anna, "aspen").await.ok();
    assert_eq!((network.rows::<Handles>().await, network.rows::<ReleasedHandles>().await), (3, 1));
    sweep(&network).await;
    assert_eq!(network.rows::<Handles>().await, 2, "the handle that she has, and that of her user id");
    change(&network.register(INSTAGRAM, "ben").await, "willow").await.ok();
}

#[tokio::test]
async fn a_handle_changes_seldom() {
    let network = open().await;
    let anna = network.register(INSTAGRAM, "anna").await;
    for (handle, left) in [("willow", 2), ("aspen", 1), ("aspen", 1), ("willow", 0)] {
        change(&anna, handle).await.ok();
        assert_eq!(anna.get(HANDLE).await.ok()["changes_left"], left, "{handle}");
    }
    let refused = change(&anna, "rowan").await;
    let retry_after_ms = refused.json["retry_after_ms"].as_u64().unwrap_or_default();
    assert!((13 * DAY_MS..=14 * DAY_MS).contains(&retry_after_ms), "{}", refused.json);
    refused.fails(429, "M_LIMIT_EXCEEDED");
    change_at(&network, &anna, "rowan", now_ts() + 14 * DAY_MS)
        .await
        .expect("the first change counts no more");
}

#[tokio::test]
async fn people_are_found_by_their_handle_on_all_platforms() {
    let network = open().await;
    let anna = network.register(INSTAGRAM, "anna.quay").await;
    let ben = network.register(MESSENGER, "ben").await;
    let other = network.register(INSTAGRAM, "rowan_two").await;
    for term in ["anna", "anna.quay", "@anna.quay", "qua"] {
        assert_eq!(search(&ben, term).await, [anna.user_id.as_str()], "{term}");
    }
    let name = format!("/v3/profile/{}/displayname", anna.user_id);
    anna.put(&name, json!({ "displayname": "Captain" })).await.ok();
    change(&anna, "rowan").await.ok();
    for term in ["rowan", "@rowan", "Rowan"] {
        assert_eq!(
            search(&ben, term).await,
            [anna.user_id.as_str(), &other.user_id],
            "{term}: whose whole handle it is comes first"
        );
    }
    for term in ["anna", "anna.quay", "@anna.quay", "quay"] {
        assert_eq!(search(&ben, term).await, [""; 0], "{term}");
    }
    assert_eq!(search(&ben, "captain").await, [anna.user_id.as_str()]);
    assert_eq!(search(&ben, &anna.user_id).await, [anna.user_id.as_str()]);

    // A new name leaves the handle as it is.
    anna.put(&name, json!({ "displayname": "Admiral" })).await.ok();
    assert_eq!(search(&ben, "@rowan").await[0], anna.user_id);
    assert_eq!(search(&ben, "anna.quay").await, [""; 0]);
}

#[tokio::test]
async fn nobody_inherits_anything_with_a_handle() {
    let network = open().await;
    let anna = network.register(INSTAGRAM, "anna").await;
    let dora = network.register(MESSENGER, "dora").await;
    change(&anna, "willow").await.ok();
    let room = anna.create_room(json!({ "invite": [dora.user_id] })).await;
    dora.join(&room).await.ok();
    let ignored = json!({ "ignored_users": { &anna.user_id: {} } });
    dora.put(&format!("/v3/user/{}/account_data/m.ignored_user_list", dora.user_id), ignored).await.ok();
    deactivate(&network, &anna).await;

    resolve(&dora, "willow").await.fails(404, "M_NOT_FOUND");
    assert_eq!(search(&dora, "willow").await, [""; 0]);
    dora.get(&format!("/v3/profile/{}", anna.user_id)).await.fails(404, "M_NOT_FOUND");
    try_log_in(&network, "willow").await.fails(403, "M_FORBIDDEN");
    try_register(&network, "willow").await.fails(400, "M_USER_IN_USE");
    sweep(&network).await;
    let second = network.register(INSTAGRAM, "willow").await;
    assert_eq!(second.user_id, "@willow:instagram.localhost");
    let joined = second.get("/v3/joined_rooms").await.ok();
    assert_eq!(joined["joined_rooms"], json!([]));
    second.get(&format!("/v3/rooms/{room}/messages?dir=b")).await.fails(403, "M_FORBIDDEN");
    let chat = second.create_room(json!({ "invite": [dora.user_id] })).await;
    let invited = dora.get("/v3/sync").await.ok();
    assert!(invited["rooms"]["invite"][&chat].is_object(), "whom dora ignores is somebody else");
}

#[tokio::test]
async fn operators_name_accounts_as_they_like() {
    let network = open().await;
    let admin = network.administrator(INSTAGRAM, "admin").await;
    assert_eq!(handle_of(&admin).await, "admin", "a reserved word is reserved for them");
    let root = network.administrator(INSTAGRAM, "root-of-all").await;
    assert_eq!(handle_of(&root).await, Value::Null);
    change(&root, "rooty").await.ok();
    change(&admin, "aspen").await.ok();
    change(&admin, "admin").await.ok();

    // But no user id is to look like somebody's handle.
    let platform = ServerName::parse(INSTAGRAM).expect("a server name");
    for name in ["rooty", "ro0ty"] {
        let made =
            network.app.accounts.create_account(&platform, name, PASSWORD.to_owned(), false, now_ts()).await;
        made.expect_err(name);
    }
}

#[tokio::test]
async fn a_platform_without_handles_any_more_knows_people_by_their_user_ids() {
    let network = open().await;
    let anna = network.register(INSTAGRAM, "anna").await;
    change(&anna, "willow").await.ok();
    let network = network.reopen_changed(|one| one.identity = Identity::Account).await;
    try_log_in(&network, "willow").await.fails(403, "M_FORBIDDEN");
    assert_eq!(try_log_in(&network, "anna").await.ok()["user_id"], json!(anna.user_id));
    let anna = anna.on(&network);
    resolve(&anna, "willow").await.fails(404, "M_NOT_FOUND");
    anna.get(HANDLE).await.fails(403, "M_FORBIDDEN");

    // If it has them again, they are as they were.
    let network = network.reopen_changed(|one| one.identity = Identity::Handle).await;
    assert_eq!(try_log_in(&network, "willow").await.ok()["user_id"], json!(anna.user_id));
}

#[tokio::test]
async fn a_guest_who_registers_gets_a_handle() {
    let network = Network::changed(|one| {
        one.identity = Identity::Handle;
        one.guests = true;
    })
    .await;
    let guest = network.guest(INSTAGRAM).await;
    let name = guest.user_id[1..].split(':').next().expect("a localpart").to_owned();
    guest.get(HANDLE).await.fails(403, "M_GUEST_ACCESS_FORBIDDEN");
    let body = json!({
        "username": name, "password": PASSWORD, "auth": { "type": "m.login.dummy" },
        "guest_access_token": guest.token,
    });
    let session = network.call(INSTAGRAM, None, Method::POST, "/v3/register", Some(body)).await.ok();
    let user = network.client(INSTAGRAM, &session);
    assert_eq!((user.user_id.clone(), handle_of(&user).await), (guest.user_id, json!(name)));
}

#[tokio::test]
async fn the_pages_ask_for_a_handle_and_change_it() {
    let network = open().await;
    network.register(INSTAGRAM, "marina").await;
    let mut browser = Browser::new(&network);
    let rest = [("name", "Zoe Quay"), ("new_password", PASSWORD), ("new_password2", PASSWORD)];
    let form = browser.get(INSTAGRAM, "/_linkspan/register").await;
    assert!(form.text.contains(">Handle<"), "{}", form.text);
    let mut told = BTreeSet::new();
    for handle in ["", "marina", "rnarina", "official"] {
        let values = [("user", handle), rest[0], rest[1], rest[2]];
        let page = browser.fill(INSTAGRAM, &form, "/_linkspan/register", &values).await;
        assert_eq!(page.status, 422, "{handle}: {}", page.text);
        let notice = page.text.split("role=\"alert\">").nth(1).and_then(|rest| rest.split('<').next());
        told.insert(notice.expect("it says what is wrong").to_owned());
    }
    assert_eq!(told.len(), 4, "{told:?}");
    let values = [("user", "@Zoe"), rest[0], rest[1], rest[2]];
    let done = browser.fill(INSTAGRAM, &form, "/_linkspan/register", &values).await;
    assert_eq!(done.status, 303, "{}", done.text);

    let account = browser.get(INSTAGRAM, "/_linkspan/account").await;
    assert!(account.text.contains("value=\"zoe\"") && account.text.contains("3 times"), "{}", account.text);
    let path = "/_linkspan/account/handle";
    let refused = browser.fill(INSTAGRAM, &account, path, &[("handle", "rnarina")]).await;
    assert!(refused.status == 400 && refused.text.contains("looks too much like"), "{}", refused.text);
    let changed = browser.fill(INSTAGRAM, &account, path, &[("handle", "Willow")]).await;
    let account = browser.get(INSTAGRAM, &changed.location).await;
    assert!(
        account.text.contains("value=\"willow\"") && account.text.contains("2 times"),
        "{}",
        account.text
    );

    // Where people have no handles, nothing is said of them.
    let form = browser.get(MESSENGER, "/_linkspan/register").await;
    assert!(form.text.contains(">Username<"), "{}", form.text);
}
