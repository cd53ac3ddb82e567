//! Linked accounts: how they become linked, that both consent, one list of those who are ignored, contact cards, and
//! where direct chats arrive.

use futures_util::future::join_all;
use linkspan_accounts::{AccountsError, LINK_CODE_MS, MAX_LINKED};
use linkspan_platforms::Encryption;
use linkspan_storage::{
    WriteSet,
    catalogue::{AccountLinks, LinkCodes, LinkOffers, UserKey},
    records::LinkOfferRecord,
};
use linkspan_wire::now_ts;
use ruma::{OwnedUserId, ServerName};
use serde_json::{Value, json};

use crate::network::{Answer, Client, INSTAGRAM, MESSENGER, Network, WHATSAPP, each, list, text};

const LINKS: &str = "/_linkspan/client/v1/links";
const CONTACTS: &str = "/_linkspan/client/v1/contacts";

async fn code(of: &Client) -> String {
    text(&of.post(&format!("{LINKS}/code"), json!({})).await.ok()["code"])
}

async fn enter(who: &Client, code: &str) -> Answer {
    who.post(&format!("{LINKS}/enter"), json!({ "code": code })).await
}

async fn confirm(who: &Client, other: &Client) -> Answer {
    who.post(&format!("{LINKS}/confirm"), json!({ "user_id": other.user_id })).await
}

pub(crate) async fn unlink(who: &Client, other: &Client) -> Answer {
    who.delete(&format!("{LINKS}/{}", other.user_id)).await
}

/// Links two accounts of a person.
pub(crate) async fn link(one: &Client, other: &Client) {
    enter(other, &code(one).await).await.ok();
    confirm(one, other).await.ok();
}

async fn linked_with(who: &Client) -> Vec<String> {
    each(&who.get(LINKS).await.ok()["accounts"], "user_id")
}

async fn waiting(who: &Client) -> Value {
    who.get(LINKS).await.ok()["waiting"].clone()
}

async fn choose(who: &Client, shown_to: &str, arrive_at: Option<&Client>) -> Answer {
    let arrive_at = arrive_at.map(|account| &account.user_id);
    let choices = json!({ "shown_to": shown_to, "messages_arrive_at": arrive_at });
    who.put(&format!("{LINKS}/choices"), choices).await
}

fn id(of: &Client) -> OwnedUserId {
    of.user_id.as_str().try_into().expect("a user id")
}

#[tokio::test]
async fn both_accounts_consent_and_nobody_learns_of_the_other_before() {
    for platform in [MESSENGER, INSTAGRAM] {
        let network = Network::open().await;
        let anna = network.register(INSTAGRAM, "anna").await;
        let ann = network.register(platform, "ann").await;
        let nothing = json!({ "accounts": [], "shown_to": "nobody" });
        let given = code(&anna).await;
        assert_eq!(enter(&ann, &given).await.ok(), json!({}), "it is not said whose code it was");
        assert_eq!(ann.get(LINKS).await.ok(), nothing);
        assert_eq!(waiting(&anna).await, json!({ "user_id": ann.user_id }));
        assert!(linked_with(&anna).await.is_empty());
        confirm(&ann, &anna).await.fails(404, "M_NOT_FOUND");
        confirm(&anna, &ann).await.ok();
        assert_eq!(linked_with(&anna).await, [ann.user_id.as_str()]);
        assert_eq!(linked_with(&ann).await, [anna.user_id.as_str()]);
        assert_eq!(waiting(&anna).await, Value::Null);
        confirm(&anna, &ann).await.fails(404, "M_NOT_FOUND");

        unlink(&ann, &anna).await.ok();
        for who in [&anna, &ann] {
            assert_eq!(who.get(LINKS).await.ok(), nothing, "both sides have forgotten it");
            unlink(who, &ann).await.fails(404, "M_NOT_FOUND");
        }
        assert_eq!(network.rows::<AccountLinks>().await, 0);
        assert_eq!((network.rows::<LinkCodes>().await, network.rows::<LinkOffers>().await), (0, 0));
    }
}

#[tokio::test]
async fn a_code_works_once_and_the_newest_only() {
    let network = Network::open().await;
    let anna = network.register(INSTAGRAM, "anna").await;
    let (ann, eve) = (network.register(MESSENGER, "ann").await, network.register(MESSENGER, "eve").await);
    for wrong in ["BCDF-GHJK", "", "1234", "BCDFGHJKL", "ÄÖ"] {
        enter(&eve, wrong).await.fails(404, "M_NOT_FOUND");
    }
    let first = code(&anna).await;
    enter(&anna, &first).await.fails(400, "M_INVALID_PARAM");
    let second = code(&anna).await;
    enter(&ann, &first).await.fails(404, "M_NOT_FOUND");
    enter(&ann, &second.replace('-', " ").to_lowercase()).await.ok();
    for who in [&ann, &eve] {
        enter(who, &second).await.fails(404, "M_NOT_FOUND");
    }
    // A newer code forgets who has entered the one before.
    let third = code(&anna).await;
    assert_eq!(waiting(&anna).await, Value::Null);
    confirm(&anna, &ann).await.fails(404, "M_NOT_FOUND");
    // Whoever talked somebody out of a code has nothing from it.
    enter(&eve, &third).await.ok();
    anna.post(&format!("{LINKS}/decline"), json!({})).await.ok();
    assert_eq!((waiting(&anna).await, linked_with(&eve).await), (Value::Null, vec![]));
    confirm(&anna, &eve).await.fails(404, "M_NOT_FOUND");
    // What is confirmed is who was shown.
    enter(&ann, &code(&anna).await).await.ok();
    confirm(&anna, &eve).await.fails(404, "M_NOT_FOUND");
    confirm(&anna, &ann).await.ok();
}

#[tokio::test]
async fn codes_and_whoever_waits_expire() {
    let network = Network::open().await;
    let anna = network.register(INSTAGRAM, "anna").await;
    let ann = network.register(MESSENGER, "ann").await;
    let accounts = &network.app.accounts;
    let name: &ServerName = MESSENGER.try_into().expect("a server name");
    let platform = network.app.platforms.get(name).expect("it is hosted");
    let (of_anna, of_ann) = (id(&anna), id(&ann));
    let given = accounts.new_link_code(&of_anna, 1_000).await.expect("a code");
    let enter = async |at| accounts.enter_link_code(&platform, &of_ann, &given, at).await;
    assert!(matches!(enter(1_000 + LINK_CODE_MS).await, Err(AccountsError::NotFound(_))));
    enter(999 + LINK_CODE_MS).await.expect("just in time");
    let expires_ts = 999 + 2 * LINK_CODE_MS;
    assert_eq!(accounts.waiting_link(&of_anna, expires_ts).await.expect("it is read"), None);
    let late = accounts.confirm_link(&of_anna, &of_ann, expires_ts).await;
    assert!(matches!(late, Err(AccountsError::NotFound(_))));
    let platform = id(&anna).server_name().to_owned();
    accounts.forget_link_offers(&platform, expires_ts - 1).await.expect("it is swept");
    assert_eq!(network.rows::<LinkOffers>().await, 1);
    accounts.forget_link_offers(&platform, expires_ts).await.expect("it is swept");
    assert_eq!(network.rows::<LinkOffers>().await, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_two_at_once_one_is_linked() {
    let network = Network::open().await;
    let anna = network.register(INSTAGRAM, "anna").await;
    let (ann, eve) = (network.register(MESSENGER, "ann").await, network.register(MESSENGER, "eve").await);
    let given = code(&anna).await;
    let entered = join_all([&ann, &eve].map(|who| enter(who, &given))).await;
    assert_eq!(entered.iter().filter(|answer| answer.status == 200).count(), 1);
    let winner = text(&waiting(&anna).await["user_id"]);
    let body = json!({ "user_id": winner });
    let path = format!("{LINKS}/confirm");
    let confirmed = join_all([anna.post(&path, body.clone()), anna.post(&path, body)]).await;
    assert_eq!(confirmed.iter().filter(|answer| answer.status == 200).count(), 1);
    assert_eq!(linked_with(&anna).await, [winner]);
}

#[tokio::test]
async fn guesses_are_limited_for_each_person_and_each_address() {
    let network = Network::with_limits("login = 0.0001\nlogin_burst = 3").await;
    let guess = async |who: &Client, address: u8| {
        let body = json!({ "code": "BCDF-GHJK" });
        let path = format!("{LINKS}/enter");
        let token = Some(who.token.as_str());
        let post = http::Method::POST;
        network.call_from([10, 0, 0, address], MESSENGER, token, post, &path, body).await.status.as_u16()
    };
    let eve = network.register(MESSENGER, "eve").await;
    let mut of_eve = Vec::new();
    for address in 1..=4 {
        of_eve.push(guess(&eve, address).await);
    }
    assert_eq!(of_eve, [404, 404, 404, 429]);
    let mut of_address = Vec::new();
    for number in 0..4 {
        let who = network.register(MESSENGER, &format!("eve{number}")).await;
        of_address.push(guess(&who, 9).await);
    }
    assert_eq!(of_address, [404, 404, 404, 429]);
}

#[tokio::test]
async fn all_accounts_of_a_person_are_linked_with_each_other() {
    let network = Network::open().await;
    let anna = network.register(INSTAGRAM, "anna").await;
    let ann = network.register(MESSENGER, "ann").await;
    let (number, second) =
        (network.register(WHATSAPP, "number").await, network.register(WHATSAPP, "second").await);
    link(&anna, &ann).await;
    link(&number, &second).await;
    link(&second, &ann).await;
    let all = [&anna, &ann, &number, &second];
    for who in all {
        let mut others: Vec<_> = all.iter().map(|who| who.user_id.clone()).collect();
        others.retain(|other| *other != who.user_id);
        let mut linked = linked_with(who).await;
        others.sort();
        linked.sort();
        assert_eq!(linked, others);
    }
    // Who is linked already is not linked again.
    link(&anna, &second).await;
    assert_eq!(linked_with(&anna).await.len(), 3);
    // One goes, by the word of any of them.
    unlink(&anna, &second).await.ok();
    assert!(linked_with(&second).await.is_empty());
    assert_eq!(linked_with(&number).await, [ann.user_id.as_str(), &anna.user_id]);
    unlink(&number, &number).await.ok();
    assert_eq!(linked_with(&ann).await, [anna.user_id.as_str()]);
    unlink(&ann, &number).await.fails(404, "M_NOT_FOUND");
}

#[tokio::test]
async fn a_person_has_so_many_accounts_and_no_more() {
    let network = Network::open().await;
    let anna = network.register(INSTAGRAM, "anna").await;
    for number in 1..MAX_LINKED {
        link(&anna, &network.register(MESSENGER, &format!("ann{number}")).await).await;
    }
    let more = network.register(MESSENGER, "more").await;
    enter(&more, &code(&anna).await).await.ok();
    confirm(&anna, &more).await.fails(403, "M_FORBIDDEN");
    assert!(linked_with(&more).await.is_empty());
    assert_eq!(linked_with(&anna).await.len(), MAX_LINKED - 1);
}

#[tokio::test]
async fn who_is_locked_suspended_or_a_guest_is_not_linked() {
    let network = Network::open_with("guests = true").await;
    let anna = network.register(INSTAGRAM, "anna").await;
    let (ann, admin) =
        (network.register(MESSENGER, "ann").await, network.administrator(MESSENGER, "root").await);
    let set = async |what: &str, is: bool| {
        let (path, field) = match what {
            "suspend" => ("suspend", "suspended"),
            _ => ("lock", "locked"),
        };
        let path = format!("/v1/admin/{path}/{}", ann.user_id);
        admin.put(&path, json!({ field: is })).await.ok();
    };
    network
        .guest(MESSENGER)
        .await
        .post(&format!("{LINKS}/code"), json!({}))
        .await
        .fails(403, "M_GUEST_ACCESS_FORBIDDEN");
    set("suspend", true).await;
    ann.post(&format!("{LINKS}/code"), json!({})).await.fails(403, "M_USER_SUSPENDED");
    enter(&ann, &code(&anna).await).await.fails(403, "M_USER_SUSPENDED");
    set("suspend", false).await;
    for what in ["suspend", "lock"] {
        enter(&ann, &code(&anna).await).await.ok();
        set(what, true).await;
        confirm(&anna, &ann).await.fails(404, "M_NOT_FOUND");
        set(what, false).await;
    }
    link(&anna, &ann).await;
    set("suspend", true).await;
    unlink(&ann, &anna).await.ok();
}

#[tokio::test]
async fn whoever_is_deactivated_is_forgotten() {
    let network = Network::open().await;
    let anna = network.register(INSTAGRAM, "anna").await;
    let (ann, number) =
        (network.register(MESSENGER, "ann").await, network.register(WHATSAPP, "number").await);
    link(&anna, &ann).await;
    link(&anna, &number).await;
    choose(&anna, "contacts", Some(&ann)).await.ok();
    code(&ann).await;
    network.app.deactivate(&id(&ann), None, true, now_ts()).await.expect("it goes");
    assert_eq!(
        (linked_with(&anna).await, linked_with(&number).await),
        (vec![number.user_id.clone()], vec![anna.user_id.clone()])
    );
    assert_eq!(anna.get(LINKS).await.ok()["messages_arrive_at"], Value::Null);
    assert_eq!((network.rows::<LinkCodes>().await, network.rows::<LinkOffers>().await), (0, 0));
    // Who waits to be linked, too.
    let eve = network.register(MESSENGER, "eve").await;
    enter(&eve, &code(&anna).await).await.ok();
    network.app.deactivate(&id(&eve), None, true, now_ts()).await.expect("it goes");
    confirm(&anna, &eve).await.fails(404, "M_NOT_FOUND");
}

fn ignored(of: &Client) -> String {
    format!("/v3/user/{}/account_data/m.ignored_user_list", of.user_id)
}

/// The names on somebody's list, and what else is in it.
async fn list_of(who: &Client) -> Value {
    who.get(&ignored(who)).await.json
}

#[tokio::test]
async fn linked_accounts_ignore_the_same_people() {
    for platform in [MESSENGER, INSTAGRAM] {
        let network = Network::open().await;
        let anna = network.register(INSTAGRAM, "anna").await;
        let ann = network.register(platform, "ann").await;
        let [bert, carl, dora] = ["@bert:x.example", "@carl:x.example", "@dora:x.example"];
        let own = json!({ "ignored_users": { bert: { "why": 1 }, &ann.user_id: {} }, "org.example": 1 });
        anna.put(&ignored(&anna), own).await.ok();
        ann.put(&ignored(&ann), json!({ "ignored_users": { carl: {} } })).await.ok();
        let since = text(&ann.get("/v3/sync").await.ok()["next_batch"]);
        link(&anna, &ann).await;
        let of_anna = json!({ "ignored_users": { bert: { "why": 1 }, carl: {} }, "org.example": 1 });
        assert_eq!(list_of(&anna).await, of_anna, "and nobody ignores their own account");
        let of_ann = json!({ "ignored_users": { bert: {}, carl: {} } });
        let news = ann.get(&format!("/v3/sync?since={since}")).await.ok();
        assert_eq!(news["account_data"]["events"][0]["content"], of_ann, "clients are told");

        // By the own API, by account data as a whole, and by deleting it.
        ann.put(&format!("/_linkspan/client/v1/blocks/{dora}"), json!({})).await.ok();
        assert_eq!(list_of(&anna).await["ignored_users"].as_object().map(|list| list.len()), Some(3));
        ann.delete(&format!("/_linkspan/client/v1/blocks/{bert}")).await.ok();
        let both = json!({ carl: {}, dora: {} });
        assert_eq!(
            (&list_of(&anna).await["ignored_users"], &list_of(&anna).await["org.example"]),
            (&both, &json!(1))
        );
        anna.put(&ignored(&anna), json!({ "ignored_users": { dora: {} } })).await.ok();
        assert_eq!(list_of(&ann).await, json!({ "ignored_users": { dora: {} } }));
        anna.put(&ignored(&anna), json!({})).await.ok();
        assert_eq!(list_of(&ann).await, json!({ "ignored_users": {} }));
        anna.put(&ignored(&anna), json!({ "ignored_users": { bert: {} } })).await.ok();

        unlink(&anna, &ann).await.ok();
        assert_eq!(list_of(&ann).await, json!({ "ignored_users": { bert: {} } }), "each keeps its copy");
        ann.put(&ignored(&ann), json!({ "ignored_users": { carl: {} } })).await.ok();
        assert_eq!(list_of(&anna).await, json!({ "ignored_users": { bert: {} } }));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_many_blocks_of_linked_accounts_at_once_none_is_lost() {
    let network = Network::open().await;
    let anna = network.register(INSTAGRAM, "anna").await;
    let ann = network.register(MESSENGER, "ann").await;
    link(&anna, &ann).await;
    let names: Vec<_> = (10..30).map(|number| format!("@user{number}:x.example")).collect();
    let block = async |(at, name): (usize, &String)| {
        let who = if at % 2 == 0 { &anna } else { &ann };
        who.put(&format!("/_linkspan/client/v1/blocks/{name}"), json!({})).await.ok();
    };
    join_all(names.iter().enumerate().map(block)).await;
    for who in [&anna, &ann] {
        assert_eq!(who.get("/_linkspan/client/v1/blocks").await.ok()["blocked"], json!(names));
    }
}

/// Whichever is first, both accounts block the same people in the end.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_block_at_the_moment_of_the_link_holds_for_both() {
    let network = Network::open().await;
    let anna = network.register(INSTAGRAM, "anna").await;
    let ann = network.register(MESSENGER, "ann").await;
    for number in 0..50 {
        enter(&ann, &code(&anna).await).await.ok();
        let (blocking, linking, other) = (anna.clone(), anna.clone(), ann.clone());
        let path = format!("/_linkspan/client/v1/blocks/@user{number}:x.example");
        let block = tokio::spawn(async move { blocking.put(&path, json!({})).await.ok() });
        let link = tokio::spawn(async move { confirm(&linking, &other).await.ok() });
        block.await.expect("it ends");
        link.await.expect("it ends");
        assert_eq!(list_of(&anna).await, list_of(&ann).await, "round {number}");
        unlink(&anna, &ann).await.ok();
    }
}

/// Has somebody be a contact of another: the other accepts them.
async fn be_accepted(who: &Client, by: &Client) -> String {
    let room = who.create_room(json!({ "is_direct": true, "invite": [by.user_id] })).await;
    by.join(&room).await.ok();
    room
}

async fn card(reader: &Client, of: &Client) -> Value {
    reader.get(&format!("{CONTACTS}/{}/card", of.user_id)).await.ok()
}

#[tokio::test]
async fn a_card_shows_links_to_whom_the_person_chooses() {
    for platform in [MESSENGER, INSTAGRAM] {
        let network = Network::open_with("identity = 'handle'").await;
        let anna = network.register(INSTAGRAM, "anna").await;
        let ann = network.register(platform, "ann.two").await;
        let [rita, sven, tom] = ["rita", "sven", "tom"].map(|name| network.register(WHATSAPP, name));
        let (rita, sven, tom) = tokio::join!(rita, sven, tom);
        let name = json!({ "displayname": "Anna Berg" });
        anna.put(&format!("/v3/profile/{}/displayname", anna.user_id), name).await.ok();
        be_accepted(&rita, &anna).await;
        // That anna is a contact of sven's does not make him one of hers; tom is a stranger.
        sven.create_room(json!({ "is_direct": true, "invite": [anna.user_id] })).await;

        let alone = json!({
            "user_id": anna.user_id, "displayname": "Anna Berg", "handle": "anna", "accounts": [],
        });
        for reader in [&rita, &sven, &tom, &anna] {
            assert_eq!(card(reader, &anna).await, alone);
        }
        choose(&anna, "contacts", None).await.fails(404, "M_NOT_FOUND");
        link(&anna, &ann).await;
        let mut whole = alone.clone();
        whole["accounts"] =
            json!([{ "user_id": ann.user_id, "displayname": "ann.two", "handle": "ann.two" }]);
        for reader in [&anna, &ann] {
            assert_eq!(card(reader, &anna).await, whole, "they are the person's own");
        }
        for reader in [&rita, &sven, &tom] {
            assert_eq!(card(reader, &anna).await, alone, "nobody is shown them by itself");
        }
        choose(&anna, "contacts", Some(&ann)).await.ok();
        whole["messages_arrive_at"] = json!(ann.user_id);
        assert_eq!(card(&rita, &anna).await, whole);
        for reader in [&sven, &tom] {
            assert_eq!(card(reader, &anna).await, alone);
        }
        // The other account has made no choice, and rita is no contact of it.
        assert_eq!(card(&rita, &ann).await["accounts"], json!([]));
        choose(&ann, "contacts", None).await.ok();
        assert_eq!(card(&rita, &ann).await["accounts"], json!([]));
        // Nor is somebody shown them who is ignored.
        let path = format!("/_linkspan/client/v1/blocks/{}", rita.user_id);
        ann.put(&path, json!({})).await.ok();
        assert_eq!(card(&rita, &anna).await, alone);
        ann.delete(&path).await.ok();
        assert_eq!(card(&rita, &anna).await, whole);
        // With another account, the choice is made anew.
        let third = network.register(MESSENGER, "third").await;
        link(&ann, &third).await;
        assert_eq!(card(&rita, &anna).await, alone);
        choose(&anna, "contacts", Some(&ann)).await.ok();
        unlink(&third, &ann).await.ok();
        whole["accounts"] = json!([{ "user_id": third.user_id, "displayname": "third", "handle": "third" }]);
        whole.as_object_mut().expect("an object").remove("messages_arrive_at");
        assert_eq!(card(&rita, &anna).await, whole);
        choose(&anna, "contacts", Some(&ann)).await.fails(400, "M_INVALID_PARAM");
        anna.put(&format!("{LINKS}/choices"), json!({ "shown_to": "all" })).await.fails(400, "M_BAD_JSON");
    }
    let network = Network::open().await;
    let rita = network.register(WHATSAPP, "rita").await;
    rita.get(&format!("{CONTACTS}/@nobody:{INSTAGRAM}/card")).await.fails(404, "M_NOT_FOUND");
}

async fn members(who: &Client, room: &str) -> Vec<(String, String)> {
    let members = who.get(&format!("/v3/rooms/{room}/members")).await.ok();
    let member = |event: &Value| (text(&event["state_key"]), text(&event["content"]["membership"]));
    let mut members: Vec<_> = list(&members["chunk"]).iter().map(member).collect();
    members.sort();
    members
}

#[tokio::test]
async fn a_chat_arrives_at_the_account_that_was_chosen() {
    for platform in [MESSENGER, INSTAGRAM] {
        let network = Network::open().await;
        let anna = network.register(INSTAGRAM, "anna").await;
        let ann = network.register(platform, "ann").await;
        let (rita, tom) = (network.register(WHATSAPP, "rita").await, network.register(WHATSAPP, "tom").await);
        be_accepted(&rita, &anna).await;
        link(&anna, &ann).await;
        let write = async |who: &Client, to: &Client| {
            let room = who.create_room(json!({ "is_direct": true, "invite": [to.user_id] })).await;
            who.say(&room, "Hello").await;
            room
        };
        let people = async |who: &Client, room: &str| {
            members(who, room).await.into_iter().map(|(user_id, _)| user_id).collect::<Vec<_>>()
        };
        choose(&anna, "nobody", Some(&ann)).await.ok();
        let room = write(&rita, &anna).await;
        assert_eq!(people(&rita, &room).await.len(), 2, "who is not shown the link does not learn of it");
        choose(&anna, "contacts", Some(&ann)).await.ok();
        let room = write(&tom, &anna).await;
        assert_eq!(people(&tom, &room).await.len(), 2);

        let room = write(&rita, &anna).await;
        let all = [&ann, &anna, &rita].map(|who| (who.user_id.clone(), "join".to_owned()));
        let mut all = all.to_vec();
        all.sort();
        assert_eq!(members(&rita, &room).await, all, "it reaches both as it reaches the one that is known");
        assert_eq!(ann.heard(&room).await, ["Hello"]);
        let direct = ann.get(&format!("/v3/user/{}/account_data/m.direct", ann.user_id)).await.ok();
        assert_eq!(direct, json!({ &rita.user_id: [room] }));
        // Who is written to at the other account by somebody who is no contact there has no part in it.
        let room = write(&rita, &ann).await;
        assert_eq!(people(&rita, &room).await.len(), 2);
        // Somebody who is not shown the link does not see the two come together.
        let three = json!({ "is_direct": true, "invite": [anna.user_id, tom.user_id] });
        assert_eq!(people(&rita, &rita.create_room(three).await).await.len(), 3);
        let room = rita.create_room(json!({ "is_direct": true, "invite": [tom.user_id] })).await;
        let member = format!("/v3/rooms/{room}/state/m.room.member/{}", anna.user_id);
        rita.put(&member, json!({ "membership": "invite", "is_direct": true })).await.ok();
        assert_eq!(people(&rita, &room).await.len(), 3);
        // A group is none of it.
        let room = rita.create_room(json!({ "invite": [anna.user_id] })).await;
        assert_eq!(people(&rita, &room).await.len(), 2);
        // One's own accounts write to each other as before.
        let room = write(&ann, &anna).await;
        assert_eq!(people(&ann, &room).await.len(), 2);
        unlink(&anna, &ann).await.ok();
        let room = write(&rita, &anna).await;
        assert_eq!(people(&rita, &room).await.len(), 2);
        assert_eq!(network.app.rooms.audit().await.expect("it is read"), [""; 0]);
    }
}

/// A platform whose rule the chat does not keep does not keep it from the account that was written to.
#[tokio::test]
async fn a_chat_that_cannot_arrive_there_arrives_where_it_was_begun() {
    let rule = |name: &str| if name == MESSENGER { Encryption::Required } else { Encryption::Optional };
    let network = Network::with_rules(rule).await;
    let anna = network.register(INSTAGRAM, "anna").await;
    let ann = network.register(MESSENGER, "ann").await;
    let rita = network.register(INSTAGRAM, "rita").await;
    be_accepted(&rita, &anna).await;
    link(&anna, &ann).await;
    choose(&anna, "contacts", Some(&ann)).await.ok();
    let direct = json!({ "is_direct": true, "invite": [anna.user_id] });
    let room = rita.create_room(direct.clone()).await;
    rita.say(&room, "Hello").await;
    assert_eq!(members(&rita, &room).await.len(), 2);
    assert_eq!(anna.heard(&room).await, ["Hello"]);
    let mut encrypted = direct;
    let content = json!({ "algorithm": "m.megolm.v1.aes-sha2" });
    let encryption = json!({ "type": "m.room.encryption", "content": content });
    encrypted["initial_state"] = json!([encryption]);
    let room = rita.create_room(encrypted.clone()).await;
    assert_eq!(members(&rita, &room).await.len(), 3);
    let readable = json!({ "type": "m.sticker", "state_key": "one", "content": { "body": "Hello" } });
    encrypted["initial_state"] = json!([encryption, readable]);
    let room = rita.create_room(encrypted).await;
    assert_eq!(members(&rita, &room).await.len(), 2, "the room is created all the same");
    assert_eq!(network.app.rooms.audit().await.expect("it is read"), [""; 0]);
}

#[tokio::test]
async fn all_offers_that_have_expired_are_forgotten() {
    let network = Network::open().await;
    let mut writes = WriteSet::new();
    let now_ts = now_ts();
    // Many that have not expired come before one that has.
    for number in 0..=10_000_u32 {
        let user_id = format!("@user-{number:05}:{INSTAGRAM}").try_into().expect("a user id");
        let expires_ts = if number == 10_000 { now_ts } else { now_ts + 1 };
        let offer = LinkOfferRecord { code: [0; 32], expires_ts, entered_by: None };
        writes.put::<LinkOffers>(&UserKey { user_id }, &offer);
    }
    network.store.commit(writes).await.expect("it is written");
    let platform = INSTAGRAM.try_into().expect("a server name");
    network.app.accounts.forget_link_offers(&platform, now_ts).await.expect("swept");
    assert_eq!(network.rows::<LinkOffers>().await, 10_000);
}
