//! Invitations to e-mail addresses and phone numbers: they wait for somebody, and tell nobody who has which.

use http::{Method, StatusCode};
use linkspan_platforms::{Email, Identity, Settings};
use linkspan_storage::catalogue::{AddressInvitations, ProvedAddresses, UserInvitations, WaitingInvitations};
use linkspan_wire::now_ts;
use serde_json::{Value, json};

use crate::{
    matching::{DISCOVERY, register as register_by_mail},
    network::{Answer, Client, INSTAGRAM, MESSENGER, Network, PATIENCE, WHATSAPP, each, list, text},
    phone::{confirm, password_auth, register as register_by_number, sends_sms},
};

const NUMBER: &str = "+491701234567";
const DIGITS: &str = "491701234567";
const ADDRESS: &str = "hilde@example.org";
const REQUESTS: &str = "/_linkspan/client/v1/requests";
const INVITATIONS: &str = "/_linkspan/client/v1/invitations";
const IDENTITY: &str = "/_matrix/identity/v2";
const DAY_MS: u64 = 24 * 60 * 60 * 1000;
const OPAQUE: [&str; 5] = ["event_id", "origin_server_ts", "state_key", "room_id", "unsigned"];

fn change(one: &mut Settings) {
    sends_sms(one);
    one.email = Some(Email { smtp: "smtp://localhost".into(), from: "robot@example.org".into() });
    one.identity_lookup = one.server_name == MESSENGER;
    if one.server_name == WHATSAPP {
        one.identity = Identity::Phone;
        one.verify = true;
    }
}

/// Three platforms, of which one knows its people by their numbers, and one has an identity server.
pub(crate) async fn open() -> Network {
    Network::changed(change).await
}

fn mail(address: &str) -> Value {
    json!({ "medium": "email", "address": address })
}

fn number(number: &str) -> Value {
    json!({ "medium": "msisdn", "address": number })
}

async fn invite(inviter: &Client, room: &str, whom: Value) -> Answer {
    inviter.post(&format!("/_linkspan/client/v1/rooms/{room}/invite_by_address"), whom).await
}

/// Waits until the invitations to all addresses that were proved have been looked at.
pub(crate) async fn settle(network: &Network) {
    let mut commits = network.store.follow();
    let settled = async {
        while network.rows::<ProvedAddresses>().await > 0 {
            commits.next().await.expect("the store is open");
        }
    };
    tokio::time::timeout(PATIENCE, settled).await.expect("they are looked at");
}

/// The events of a room's state that have a type.
async fn state(of: &Client, room: &str, event_type: &str) -> Vec<Value> {
    let all = of.get(&format!("/v3/rooms/{room}/state")).await.ok();
    list(&all).iter().filter(|event| event["type"] == event_type).cloned().collect()
}

async fn waiting(of: &Client, room: &str) -> Vec<Value> {
    state(of, room, "m.room.third_party_invite").await
}

fn without_ages(mut state: Value) -> Value {
    state.as_array_mut().expect("a list").iter_mut().for_each(|event| event["unsigned"] = Value::Null);
    state
}

async fn membership(of: &Client, room: &str, user: &Client) -> Value {
    of.get(&format!("/v3/rooms/{room}/state/m.room.member/{}", user.user_id)).await.json
}

async fn is_valid(network: &Network, platform: &str, invitation: &Value) -> bool {
    let key = crate::network::encoded(&text(&invitation["content"]["public_key"]));
    let path = format!("{IDENTITY}/pubkey/ephemeral/isvalid?public_key={key}");
    network.call(platform, None, Method::GET, &path, None).await.ok()["valid"].as_bool().expect("it says so")
}

async fn let_be_found(user: &Client) {
    user.put(DISCOVERY, json!({ "phone": "everyone", "email": "everyone" })).await.ok();
}

async fn requests(user: &Client) -> Vec<String> {
    each(&user.get(REQUESTS).await.ok()["requests"], "room_id")
}

/// Gives somebody a number, besides what they have.
async fn add_number(network: &Network, platform: &str, user: &Client, number: &str) {
    let sid = confirm(network, platform, "account/3pid", number).await;
    let add = json!({ "sid": sid, "client_secret": "monkeys", "auth": password_auth(user) });
    user.post("/v3/account/3pid/add", add).await.ok();
}

#[tokio::test]
async fn an_invitation_waits_for_whoever_proves_the_number() {
    for platform in [INSTAGRAM, MESSENGER, WHATSAPP] {
        let network = open().await;
        let anna = match platform {
            WHATSAPP => register_by_number(&network, "+491701234568", "Anna").await,
            platform => network.register(platform, "anna").await,
        };
        let room = anna.create_room(json!({ "is_direct": true })).await;
        let direct = json!({ "medium": "msisdn", "address": NUMBER, "is_direct": true });
        assert_eq!(invite(&anna, &room, direct).await.ok(), json!({}));

        let invitation = waiting(&anna, &room).await.pop().expect("it waits");
        let content = &invitation["content"];
        assert_eq!(content["display_name"], "…67");
        assert_eq!(content["public_keys"][0]["public_key"], content["public_key"]);
        let url = format!("http://{platform}{IDENTITY}/pubkey/ephemeral/isvalid");
        assert_eq!(content["key_validity_url"], json!(url));
        assert!(is_valid(&network, platform, &invitation).await);
        let seen = anna.get("/v3/sync").await.ok().to_string();
        assert!(seen.contains(&text(&invitation["state_key"])) && !seen.contains(DIGITS), "{seen}");
        assert_eq!(network.sms.count(), usize::from(platform == WHATSAPP), "nobody is sent an SMS for it");

        let hilde = register_by_number(&network, NUMBER, "Hilde").await;
        settle(&network).await;
        assert_eq!(
            requests(&hilde).await,
            std::slice::from_ref(&room),
            "it is a request, as of any stranger"
        );
        let member = membership(&anna, &room, &hilde).await;
        assert_eq!((&member["membership"], &member["is_direct"]), (&json!("invite"), &json!(true)));
        let signed = &member["third_party_invite"]["signed"];
        assert_eq!((&signed["mxid"], &signed["token"]), (&json!(hilde.user_id), &invitation["state_key"]));
        assert!(signed["signatures"][platform]["ed25519:0"].is_string(), "{member}");
        assert!(!is_valid(&network, platform, &invitation).await, "it has been used");
        hilde.post(&format!("{REQUESTS}/{room}/accept"), json!({})).await.ok();
        anna.say(&room, "There you are").await;
        assert_eq!(hilde.heard(&room).await, ["There you are"]);
        assert_eq!(network.rows::<WaitingInvitations>().await, 0);
        assert_eq!(network.rows::<AddressInvitations>().await, 0);
        assert_eq!(network.app.rooms.audit().await.expect("it is read"), [""; 0]);
    }
}

#[tokio::test]
async fn whoever_is_not_to_be_found_accepts_without_having_been_seen() {
    let network = open().await;
    let anna = network.register(INSTAGRAM, "anna").await;
    let room = anna.create_room(json!({ "name": "Quay" })).await;
    invite(&anna, &room, mail("Hilde@Example.org")).await.ok();
    let before = without_ages(anna.get(&format!("/v3/rooms/{room}/state")).await.ok());
    let sent = network.mails.nth(0).await;
    assert_eq!(sent.to, ADDRESS);
    assert!(sent.text.contains(&anna.user_id) && sent.text.contains("http://instagram.localhost/"));
    assert!(!sent.text.contains("Quay"), "whoever invites chooses no word of it: {}", sent.text);

    // People of such a platform are not found by their addresses unless they say so.
    let hilde = register_by_mail(&network, MESSENGER, "hilde", ADDRESS).await;
    settle(&network).await;
    let after = without_ages(anna.get(&format!("/v3/rooms/{room}/state")).await.ok());
    assert_eq!(after, before, "nothing is to be seen");
    assert!(requests(&hilde).await.is_empty());
    let offered = hilde.get(INVITATIONS).await.ok()["invitations"].clone();
    assert_eq!((&offered[0]["sender"], &offered[0]["address"]), (&json!(anna.user_id), &json!(ADDRESS)));
    let accept = format!("{INVITATIONS}/{}/accept", text(&offered[0]["token"]));
    let other = network.register(MESSENGER, "other").await;
    other.post(&accept, json!({})).await.fails(404, "M_NOT_FOUND");
    assert_eq!(other.get(INVITATIONS).await.ok(), json!({ "invitations": [] }));

    assert_eq!(hilde.post(&accept, json!({})).await.ok(), json!({ "room_id": room }));
    assert_eq!(membership(&anna, &room, &hilde).await["membership"], "join");
    assert_eq!(hilde.get(INVITATIONS).await.ok(), json!({ "invitations": [] }));
    hilde.post(&accept, json!({})).await.fails(404, "M_NOT_FOUND");
    let contacts = async || hilde.get("/_linkspan/client/v1/contacts").await.ok()["contacts"].clone();
    assert_eq!(contacts().await, json!([]), "a group makes nobody known");
    let chat = anna.create_room(json!({})).await;
    let direct = json!({ "medium": "email", "address": ADDRESS, "is_direct": true });
    invite(&anna, &chat, direct).await.ok();
    let offered = hilde.get(INVITATIONS).await.ok()["invitations"].clone();
    let accept = format!("{INVITATIONS}/{}/accept", text(&offered[0]["token"]));
    hilde.post(&accept, json!({})).await.ok();
    assert_eq!(each(&contacts().await, "user_id"), [anna.user_id.as_str()]);
    assert_eq!(network.rows::<WaitingInvitations>().await, 0);
    // A group is none, whatever the inviter calls it.
    hilde
        .put("/_linkspan/client/v1/reach", json!({ "rules": [{ "kind": "group", "reach": "ignored" }] }))
        .await
        .ok();
    let group = anna.create_room(json!({ "preset": "public_chat" })).await;
    other.join(&group).await.ok();
    let called_direct = json!({ "medium": "email", "address": ADDRESS, "is_direct": true });
    invite(&anna, &group, called_direct).await.ok();
    assert_eq!(hilde.get(INVITATIONS).await.ok(), json!({ "invitations": [] }));
    assert_eq!(network.app.rooms.audit().await.expect("it is read"), [""; 0]);
}

#[tokio::test]
async fn whoever_ignores_the_inviter_is_offered_nothing() {
    let network = open().await;
    let anna = network.register(INSTAGRAM, "anna").await;
    let room = anna.create_room(json!({})).await;
    invite(&anna, &room, mail(ADDRESS)).await.ok();
    let token = text(&waiting(&anna, &room).await[0]["state_key"]);
    network.mails.nth(0).await;
    let hilde = register_by_mail(&network, MESSENGER, "hilde", ADDRESS).await;
    hilde.put(&format!("/_linkspan/client/v1/blocks/{}", anna.user_id), json!({})).await.ok();
    assert_eq!(hilde.get(INVITATIONS).await.ok(), json!({ "invitations": [] }));
    hilde.post(&format!("{INVITATIONS}/{token}/accept"), json!({})).await.fails(404, "M_NOT_FOUND");
}

#[tokio::test]
async fn whoever_lets_themselves_be_found_later_is_brought_it() {
    let network = open().await;
    let anna = network.register(INSTAGRAM, "anna").await;
    let room = anna.create_room(json!({})).await;
    let hilde = register_by_mail(&network, MESSENGER, "hilde", ADDRESS).await;
    invite(&anna, &room, mail(ADDRESS)).await.ok();
    network.app.rooms.look_at_waiting(now_ts()).await.expect("it is looked at");
    assert!(requests(&hilde).await.is_empty());
    let_be_found(&hilde).await;
    network.app.rooms.look_at_waiting(now_ts()).await.expect("it is looked at");
    assert_eq!(requests(&hilde).await, [room]);
}

#[tokio::test]
async fn whoever_is_to_be_found_is_invited_at_once() {
    let network = open().await;
    let anna = network.register(INSTAGRAM, "anna").await;
    let room = anna.create_room(json!({})).await;
    let hilde = register_by_number(&network, NUMBER, "Hilde").await;
    let ben = register_by_mail(&network, MESSENGER, "ben", "ben@example.org").await;
    let neighbour = register_by_mail(&network, INSTAGRAM, "neighbour", "ben@example.org").await;
    let_be_found(&ben).await;
    let mails = network.mails.count();
    invite(&anna, &room, number(DIGITS)).await.ok();
    invite(&anna, &room, mail("Ben@Example.org")).await.ok();
    assert_eq!(membership(&anna, &room, &hilde).await["membership"], "invite");
    assert_eq!(membership(&anna, &room, &ben).await["membership"], "invite");
    assert_eq!(waiting(&anna, &room).await, [Value::Null; 0]);
    assert_eq!(network.mails.count(), mails);
    // Of two who have the address, the one of the inviter's platform is meant.
    let_be_found(&neighbour).await;
    let second = anna.create_room(json!({})).await;
    invite(&anna, &second, mail("ben@example.org")).await.ok();
    assert_eq!(membership(&anna, &second, &neighbour).await["membership"], "invite");
    assert_eq!(membership(&anna, &second, &ben).await["errcode"], "M_NOT_FOUND");
    // It passes the door as every other invitation.
    let permission = json!({ "default_action": "block" });
    let path = format!("/v3/user/{}/account_data/m.invite_permission_config", hilde.user_id);
    hilde.put(&path, permission).await.ok();
    invite(&anna, &second, number(NUMBER)).await.fails(403, "M_INVITE_BLOCKED");
}

/// A state without what differs between any two invitations.
fn without_names(mut state: Value) -> Value {
    for event in state.as_array_mut().expect("a list") {
        let event = event.as_object_mut().expect("an event");
        event.retain(|field, _| !OPAQUE.contains(&field.as_str()));
        if event["type"] == "m.room.third_party_invite" {
            let content = event["content"].as_object_mut().expect("a content");
            content.insert("public_key".into(), Value::Null);
            content.insert("public_keys".into(), Value::Null);
        }
    }
    state
}

#[tokio::test]
async fn hidden_and_missing_people_look_alike() {
    let network = open().await;
    let anna = network.register(INSTAGRAM, "anna").await;
    let hidden = register_by_mail(&network, MESSENGER, "hidden", "hidden@example.org").await;
    let blocking = register_by_mail(&network, MESSENGER, "blocking", "here@example.org").await;
    let_be_found(&blocking).await;
    blocking.put(&format!("/_linkspan/client/v1/blocks/{}", anna.user_id), json!({})).await.ok();
    let gone = register_by_mail(&network, MESSENGER, "gone", "he@example.org").await;
    let_be_found(&gone).await;
    let auth = password_auth(&gone);
    gone.post("/v3/account/deactivate", json!({ "auth": auth })).await.ok();
    let mails = network.mails.count();

    let mut seen = Vec::new();
    for address in ["missing@example.org", "hidden@example.org", "here@example.org", "he@example.org"] {
        let address = address.replace("missing", "h.missing");
        let room = anna.create_room(json!({})).await;
        let path = format!("/_linkspan/client/v1/rooms/{room}/invite_by_address");
        let answer = anna.call_raw(Method::POST, &path, mail(&address).to_string()).await;
        let state = anna.get(&format!("/v3/rooms/{room}/state")).await.ok();
        let is_valid = is_valid(&network, INSTAGRAM, &waiting(&anna, &room).await[0]).await;
        seen.push((answer, without_names(state), is_valid));
    }
    assert_eq!(seen[0].0.0, StatusCode::OK);
    for other in &seen[1..] {
        assert_eq!(*other, seen[0]);
    }
    assert!(hidden.get(INVITATIONS).await.ok()["invitations"][0].is_object());
    let sent = [network.mails.nth(mails).await.to, network.mails.nth(mails + 1).await.to];
    assert_eq!(sent, ["h.missing@example.org", "he@example.org"], "only who has no account is written to");
    assert_eq!(network.mails.count(), mails + 2);
}

#[tokio::test]
async fn an_invitation_ends_when_it_is_taken_back_or_its_inviter_cannot_invite_any_more() {
    let network = open().await;
    let ben = network.register(MESSENGER, "ben").await;
    let mut rooms = Vec::new();
    for _ in 0..5 {
        let everybody_invites = json!({ "invite": 0 });
        let open = json!({ "preset": "public_chat", "power_level_content_override": everybody_invites });
        let room = ben.create_room(open).await;
        let anna = network.register(INSTAGRAM, &format!("anna{}", rooms.len())).await;
        anna.join(&room).await.ok();
        invite(&anna, &room, number(NUMBER)).await.ok();
        rooms.push((anna, room));
    }
    let [(back, taken), (leaving, left), (banned, shut), (weak, demoted), (gone, deserted)] = &rooms[..]
    else {
        panic!("five rooms")
    };
    let invitation = waiting(back, taken).await.pop().expect("it waits");
    let empty = format!("m.room.third_party_invite/{}", text(&invitation["state_key"]));
    // Nobody else's word counts.
    weak.set_state(taken, &empty, json!({})).await.fails(403, "M_FORBIDDEN");
    assert!(is_valid(&network, INSTAGRAM, &invitation).await);
    back.set_state(taken, &empty, json!({})).await.ok();
    assert!(!is_valid(&network, INSTAGRAM, &invitation).await);
    leaving.leave(left).await.ok();
    ben.post(&format!("/v3/rooms/{shut}/ban"), json!({ "user_id": banned.user_id })).await.ok();
    ben.set_state(demoted, "m.room.power_levels", json!({ "users": {}, "invite": 50 })).await.ok();
    let auth = password_auth(gone);
    gone.post("/v3/account/deactivate", json!({ "auth": auth })).await.ok();

    let hilde = register_by_number(&network, NUMBER, "Hilde").await;
    settle(&network).await;
    for room in [taken, left, shut, demoted, deserted] {
        assert_eq!(membership(&ben, room, &hilde).await["errcode"], "M_NOT_FOUND");
    }
    assert!(requests(&hilde).await.is_empty());
    assert_eq!(hilde.get(INVITATIONS).await.ok(), json!({ "invitations": [] }));
    assert_eq!(network.rows::<WaitingInvitations>().await, 0);
    assert_eq!(network.rows::<UserInvitations>().await, 4, "that somebody is gone who invited is forgotten");
}

#[tokio::test]
async fn whoever_was_banned_is_not_invited_and_whoever_is_there_stays() {
    let network = open().await;
    let anna = network.register(INSTAGRAM, "anna").await;
    let [ben, carl] = [network.register(MESSENGER, "ben").await, network.register(MESSENGER, "carl").await];
    let room = anna.create_room(json!({ "preset": "public_chat" })).await;
    ben.join(&room).await.ok();
    anna.post(&format!("/v3/rooms/{room}/ban"), json!({ "user_id": carl.user_id })).await.ok();
    for (user, digits) in [(&ben, NUMBER), (&carl, "+491701234568")] {
        let_be_found(user).await;
        invite(&anna, &room, number(digits)).await.ok();
        add_number(&network, MESSENGER, user, digits).await;
    }
    settle(&network).await;
    assert_eq!(membership(&anna, &room, &ben).await["membership"], "join");
    assert_eq!(membership(&anna, &room, &carl).await["membership"], "ban");
    assert_eq!(network.rows::<WaitingInvitations>().await, 0);
}

#[tokio::test]
async fn an_invitation_that_is_old_ends() {
    let network = open().await;
    let anna = network.register(INSTAGRAM, "anna").await;
    let room = anna.create_room(json!({})).await;
    invite(&anna, &room, number(NUMBER)).await.ok();
    let invitation = waiting(&anna, &room).await.pop().expect("it waits");
    network.app.rooms.look_at_waiting(now_ts() + 89 * DAY_MS).await.expect("it is looked at");
    assert!(is_valid(&network, INSTAGRAM, &invitation).await);
    network.app.rooms.look_at_waiting(now_ts() + 91 * DAY_MS).await.expect("it is looked at");
    assert!(!is_valid(&network, INSTAGRAM, &invitation).await);
    assert_eq!(network.rows::<AddressInvitations>().await, 0);
    let hilde = register_by_number(&network, NUMBER, "Hilde").await;
    settle(&network).await;
    assert!(requests(&hilde).await.is_empty());
}

#[tokio::test]
async fn a_number_that_changes_hands_brings_nothing_along() {
    let network = open().await;
    let anna = network.register(INSTAGRAM, "anna").await;
    let first = network.register(MESSENGER, "first").await;
    let second = network.register(MESSENGER, "second").await;
    add_number(&network, MESSENGER, &first, NUMBER).await;
    let (early, late) = (anna.create_room(json!({})).await, anna.create_room(json!({})).await);
    invite(&anna, &early, number(NUMBER)).await.ok();
    let invitation = waiting(&anna, &early).await.pop().expect("it waits");
    assert_eq!(list(&first.get(INVITATIONS).await.ok()["invitations"]).len(), 1);

    let_be_found(&second).await;
    add_number(&network, MESSENGER, &second, NUMBER).await;
    settle(&network).await;
    for user in [&first, &second] {
        assert!(requests(user).await.is_empty());
        assert_eq!(user.get(INVITATIONS).await.ok(), json!({ "invitations": [] }));
    }
    assert!(is_valid(&network, INSTAGRAM, &invitation).await, "the inviter does not learn of it");
    invite(&anna, &late, number(NUMBER)).await.ok();
    assert_eq!(requests(&second).await, [late], "who has the number now is meant from now on");
    network.app.rooms.look_at_waiting(now_ts() + 91 * DAY_MS).await.expect("it is looked at");
    assert_eq!(network.rows::<WaitingInvitations>().await, 0);
}

#[tokio::test]
async fn there_is_a_limit_to_everything() {
    let network = open().await;
    let anna = network.register(INSTAGRAM, "anna").await;
    let room = anna.create_room(json!({})).await;
    for count in 0..50 {
        invite(&anna, &room, mail(&format!("a{count}@example.org"))).await.ok();
    }
    invite(&anna, &room, mail("one-more@example.org")).await.fails(403, "M_FORBIDDEN");
    // Those that are taken back make room, but there is an end to a day.
    for invitation in waiting(&anna, &room).await {
        let empty = format!("m.room.third_party_invite/{}", text(&invitation["state_key"]));
        anna.set_state(&room, &empty, json!({})).await.ok();
    }
    for count in 0..49 {
        invite(&anna, &room, mail(&format!("b{count}@example.org"))).await.ok();
    }
    invite(&anna, &room, mail("one-more@example.org")).await.fails(429, "M_LIMIT_EXCEEDED");

    // Many who invite one address push the oldest out, and nobody is told.
    let mut first = None;
    for count in 0..21 {
        let inviter = network.register(MESSENGER, &format!("inviter{count}")).await;
        let room = inviter.create_room(json!({})).await;
        invite(&inviter, &room, number(NUMBER)).await.ok();
        first.get_or_insert((inviter, room));
    }
    let (inviter, room) = first.expect("the first");
    assert!(is_valid(&network, MESSENGER, &waiting(&inviter, &room).await[0]).await);
    let hilde = register_by_number(&network, NUMBER, "Hilde").await;
    settle(&network).await;
    let waiting = requests(&hilde).await;
    assert!(waiting.len() == 20 && !waiting.contains(&room), "{waiting:?}");
    let mails = network.mails.count();
    for platform in [INSTAGRAM, MESSENGER] {
        let inviter = network.register(platform, "newcomer").await;
        let room = inviter.create_room(json!({})).await;
        invite(&inviter, &room, mail("often@example.org")).await.ok();
    }
    network.mails.nth(mails).await;
    assert_eq!(network.mails.count(), mails + 1, "an address gets one mail a day");
}

#[tokio::test]
async fn clients_invite_as_the_specification_has_it() {
    let network = open().await;
    let ben = network.register(MESSENGER, "ben").await;
    let path = format!("/v3/user/{}/openid/request_token", ben.user_id);
    let token = ben.post(&path, json!({})).await.ok();
    let registered = format!("{IDENTITY}/account/register");
    let token =
        network.call(MESSENGER, None, Method::POST, &registered, Some(token)).await.ok()["token"].clone();
    let whom = |server: &str, token: &Value, address: &str| json!({ "id_server": server, "id_access_token": token, "medium": "email", "address": address });
    let found = register_by_mail(&network, INSTAGRAM, "found", "found@example.org").await;
    let_be_found(&found).await;
    let invited = [
        whom(MESSENGER, &token, "found@example.org"),
        whom(MESSENGER, &token, "nobody@example.org"),
        whom(MESSENGER, &token, "Nobody@example.org"),
    ];
    let room = ben.create_room(json!({ "invite_3pid": invited, "is_direct": true })).await;
    let member = membership(&ben, &room, &found).await;
    assert_eq!((&member["membership"], &member["is_direct"]), (&json!("invite"), &json!(true)));
    assert_eq!(waiting(&ben, &room).await.len(), 1);
    // With two who are invited it is no chat of two, whose timer both may set.
    let levels = ben.get(&format!("/v3/rooms/{room}/state/m.room.power_levels")).await.ok();
    assert_eq!(levels["events"].get("com.beeper.disappearing_timer"), None);
    network.mails.nth(1).await;
    let nobody = register_by_mail(&network, INSTAGRAM, "nobody", "nobody@example.org").await;
    assert_eq!(nobody.get(INVITATIONS).await.ok()["invitations"][0]["is_direct"], true);

    let invite = format!("/v3/rooms/{room}/invite");
    ben.post(&invite, whom(MESSENGER, &token, "second@example.org")).await.ok();
    assert_eq!(waiting(&ben, &room).await.len(), 2);
    ben.post(&invite, whom("vector.im", &token, "a@example.org")).await.fails(403, "M_THREEPID_DENIED");
    ben.post(&invite, whom(MESSENGER, &json!("x"), "a@example.org")).await.fails(403, "M_FORBIDDEN");
    ben.post(&invite, whom(MESSENGER, &token, "no address")).await.fails(400, "M_INVALID_PARAM");
    let carl = network.register(MESSENGER, "carl").await;
    carl.join(&room).await.fails(403, "M_FORBIDDEN");
    carl.post(&invite, whom(MESSENGER, &token, "a@example.org")).await.fails(403, "M_FORBIDDEN");
    // Another platform has no identity server, but invites all the same.
    let anna = network.register(INSTAGRAM, "anna").await;
    let room = anna.create_room(json!({})).await;
    let whom = whom(INSTAGRAM, &token, "a@example.org");
    anna.post(&format!("/v3/rooms/{room}/invite"), whom.clone()).await.fails(403, "M_THREEPID_DENIED");
    let create = anna.post("/v3/createRoom", json!({ "invite_3pid": [whom] })).await;
    create.fails(403, "M_THREEPID_DENIED");
}

#[tokio::test]
async fn who_may_not_invite_may_not_in_this_way() {
    let network = open().await;
    let (anna, ben) = (network.register(INSTAGRAM, "anna").await, network.register(MESSENGER, "ben").await);
    let room = anna.create_room(json!({ "preset": "public_chat" })).await;
    invite(&ben, &room, mail(ADDRESS)).await.fails(403, "M_FORBIDDEN");
    ben.join(&room).await.ok();
    anna.set_state(&room, "m.room.power_levels", json!({ "users": {}, "invite": 50 })).await.ok();
    invite(&ben, &room, mail(ADDRESS)).await.fails(403, "M_FORBIDDEN");
    invite(&anna, &room, mail(ADDRESS)).await.ok();
    for wrong in [mail("nobody"), number("110"), json!({ "medium": "pigeon", "address": ADDRESS })] {
        invite(&anna, &room, wrong).await.fails(400, "M_INVALID_PARAM");
    }
}
