//! Approaching people who do not know the sender: how often somebody may, and what somebody may send before they
//! have answered.

use linkspan_rooms::RoomsError;
use linkspan_storage::catalogue::{ApproachCounts, Approaches, Rooms};
use linkspan_wire::now_ts;
use serde_json::{Value, json};

use crate::network::{Answer, Client, INSTAGRAM, MESSENGER, Network, WHATSAPP, encoded, list, text};

const DAY_MS: u64 = 24 * 60 * 60 * 1000;
const REQUESTS: &str = "/_linkspan/client/v1/requests";

/// A network with limits on approaching people, and none on how fast anything is done.
async fn with_limits(limits: &str) -> Network {
    let rates = ["message", "login", "registration", "join", "invite", "create_room", "report", "other"];
    let rates = rates.map(|rate| format!("{rate} = 0.0\n")).concat();
    Network::with_limits(&format!("{rates}{limits}")).await
}

/// Somebody who has no account, on another platform.
fn nobody(number: usize) -> String {
    format!("@nobody{number}:{MESSENGER}")
}

async fn invite(who: &Client, room: &str, user_id: &str) -> Answer {
    who.post(&format!("/v3/rooms/{room}/invite"), json!({ "user_id": user_id })).await
}

async fn rooms_of(who: &Client) -> usize {
    list(&who.get("/v3/joined_rooms").await.ok()["joined_rooms"]).len()
}

/// Asserts that there were too many approaches. Gives the answer without the time to wait.
#[track_caller]
fn is_limited(mut answer: Answer) -> Value {
    let retry_after_ms = answer.json["retry_after_ms"].take().as_u64().expect("a time");
    assert!((1..=DAY_MS).contains(&retry_after_ms), "{retry_after_ms}");
    let json = answer.json.clone();
    answer.fails(429, "M_LIMIT_EXCEEDED");
    json
}

/// How many people somebody can still approach at a time.
async fn left(network: &Network, who: &Client, room: &str, now_ts: u64) -> usize {
    let (sender, room) = (who.user_id.as_str().try_into().expect("a user"), room.try_into().expect("a room"));
    for number in 0.. {
        let other =
            format!("@{}.{number}:{MESSENGER}", text(&json!(now_ts.to_string()))).try_into().expect("a user");
        match network.app.rooms.invite(&sender, &room, &other, None, now_ts).await {
            Ok(()) => {}
            Err(RoomsError::TooManyStrangers { .. }) => return number,
            Err(error) => panic!("{error}"),
        }
    }
    unreachable!("it ends")
}

#[tokio::test]
async fn every_way_of_inviting_counts() {
    let network = with_limits("strangers_per_day = 4").await;
    let anna = network.register(INSTAGRAM, "anna").await;
    let room = anna.create_room(json!({ "invite": [nobody(0)] })).await;
    let as_state = |user_id: &str| format!("/v3/rooms/{room}/state/m.room.member/{}", encoded(user_id));
    let invited = json!({ "membership": "invite" });
    let later = |user_id: &str| {
        let delay = "org.matrix.msc4140.delay=60000";
        format!("/v3/rooms/{room}/state/m.room.member/{}?{delay}", encoded(user_id))
    };
    let act = |delay_id: &Value| format!("/unstable/org.matrix.msc4140/delayed_events/{}", text(delay_id));
    let delayed = anna.put(&later(&nobody(1)), invited.clone()).await.ok();
    let too_late = anna.put(&later(&nobody(2)), invited.clone()).await.ok();
    let send = json!({ "action": "send" });

    invite(&anna, &room, &nobody(3)).await.ok();
    anna.put(&as_state(&nobody(4)), invited.clone()).await.ok();
    anna.post(&act(&delayed["delay_id"]), send.clone()).await.ok();

    let before = (rooms_of(&anna).await, network.rows::<Rooms>().await);
    is_limited(invite(&anna, &room, &nobody(5)).await);
    is_limited(anna.put(&as_state(&nobody(6)), invited.clone()).await);
    is_limited(anna.post(&act(&too_late["delay_id"]), send).await);
    is_limited(
        anna.post("/v3/createRoom", json!({ "invite": [nobody(7)], "room_alias_name": "quay" })).await,
    );
    assert_eq!((rooms_of(&anna).await, network.rows::<Rooms>().await), before, "no room is half made");
    anna.create_room(json!({ "room_alias_name": "quay" })).await;
    assert_eq!(network.rows::<Approaches>().await, 4);
}

#[tokio::test]
async fn a_room_is_created_with_all_its_invitations_or_not_at_all() {
    let network = with_limits("strangers_per_day = 3").await;
    let anna = network.register(INSTAGRAM, "anna").await;
    let all = json!({ "invite": (0..4).map(nobody).collect::<Vec<_>>() });
    is_limited(anna.post("/v3/createRoom", all).await);
    assert_eq!((rooms_of(&anna).await, network.rows::<ApproachCounts>().await), (0, 0));
    anna.create_room(json!({ "invite": (0..3).map(nobody).collect::<Vec<_>>() })).await;
    is_limited(anna.post("/v3/createRoom", json!({ "invite": [nobody(9)] })).await);
}

#[tokio::test]
async fn the_answer_is_the_same_whoever_is_approached() {
    let network = with_limits("strangers_per_day = 1").await;
    let anna = network.register(INSTAGRAM, "anna").await;
    let ben = network.register(MESSENGER, "ben").await;
    let blocking = network.register(MESSENGER, "carl").await;
    let ignored = json!({ "ignored_users": { &anna.user_id: {} } });
    let account_data = |who: &Client, kind: &str| format!("/v3/user/{}/account_data/{kind}", who.user_id);
    blocking.put(&account_data(&blocking, "m.ignored_user_list"), ignored).await.ok();
    let refusing = network.register(MESSENGER, "dora").await;
    let rules = json!({ "rules": [{ "reach": "refused" }] });
    refusing.put(&account_data(&refusing, "org.linkspan.reach"), rules).await.ok();

    let room = anna.create_room(json!({})).await;
    // Who refuses was not approached.
    invite(&anna, &room, &refusing.user_id).await.fails(403, "M_INVITE_BLOCKED");
    invite(&anna, &room, &nobody(0)).await.ok();
    let answers = [&ben.user_id, &blocking.user_id, &refusing.user_id, &nobody(1)];
    let mut said = Vec::new();
    for user_id in answers {
        said.push(is_limited(invite(&anna, &room, user_id).await));
    }
    assert!(said.iter().all(|answer| *answer == said[0]), "{said:?}");
}

#[tokio::test]
async fn contacts_and_who_knocks_are_not_approached() {
    let network = with_limits("strangers_per_day = 1").await;
    let anna = network.register(INSTAGRAM, "anna").await;
    let ben = network.register(MESSENGER, "ben").await;
    let direct = anna.create_room(json!({ "is_direct": true, "invite": [ben.user_id] })).await;
    ben.post(&format!("{REQUESTS}/{}/accept", encoded(&direct)), json!({})).await.ok();
    // Ben knows her now, but somebody in a common room does not.
    let carl = network.register(MESSENGER, "carl").await;
    let public = anna.create_room(json!({ "preset": "public_chat" })).await;
    carl.join(&public).await.ok();
    let group = anna.create_room(json!({ "invite": [ben.user_id] })).await;
    is_limited(anna.invite(&group, &carl).await);

    let rules = json!({ "type": "m.room.join_rules", "content": { "join_rule": "knock" } });
    let knockable = anna.create_room(json!({ "initial_state": [rules] })).await;
    carl.post(&format!("/v3/knock/{}?server_name={INSTAGRAM}", encoded(&knockable)), json!({})).await.ok();
    anna.invite(&knockable, &carl).await.ok();
    assert_eq!(carl.join(&knockable).await.status, 200);
}

#[tokio::test]
async fn the_count_is_stored_until_the_day_is_over() {
    let network = with_limits("strangers_per_day = 2").await;
    let anna = network.register(INSTAGRAM, "anna").await;
    let room = anna.create_room(json!({ "invite": [nobody(0)] })).await;
    let network = network.reopen().await;
    let anna = anna.on(&network);
    invite(&anna, &room, &nobody(1)).await.ok();
    is_limited(invite(&anna, &room, &nobody(2)).await);
    let network = network.reopen().await;
    is_limited(invite(&anna.on(&network), &room, &nobody(2)).await);
    assert_eq!(
        left(&network, &anna, &room, now_ts() - DAY_MS).await,
        0,
        "a clock that was put back gives nothing"
    );
    assert_eq!(
        left(&network, &anna, &room, now_ts() + DAY_MS).await,
        4,
        "an account that is a day old has more"
    );
}

#[tokio::test]
async fn of_two_at_once_one_is_the_last() {
    let network = with_limits("strangers_per_day = 3").await;
    let anna = network.register(INSTAGRAM, "anna").await;
    let mut rooms = Vec::new();
    for _ in 0..8 {
        rooms.push(anna.create_room(json!({})).await);
    }
    let inviting = rooms.iter().enumerate().map(|(number, room)| {
        let (anna, room) = (anna.clone(), room.clone());
        tokio::spawn(async move { invite(&anna, &room, &nobody(number)).await.status.as_u16() })
    });
    let mut statuses = Vec::new();
    for inviting in inviting.collect::<Vec<_>>() {
        statuses.push(inviting.await.expect("it is answered"));
    }
    statuses.sort_unstable();
    assert_eq!(statuses, [200, 200, 200, 429, 429, 429, 429, 429]);
}

/// Five people whom somebody has invited, each into a room of their own; gives these rooms.
async fn approach(network: &Network, who: &Client, people: &[Client]) -> Vec<String> {
    let mut rooms = Vec::new();
    for person in people {
        rooms.push(who.create_room(json!({ "is_direct": true, "invite": [person.user_id] })).await);
    }
    network.flush().await;
    rooms
}

async fn people(network: &Network, count: usize, name: &str) -> Vec<Client> {
    let mut people = Vec::new();
    for number in 0..count {
        people.push(network.register(WHATSAPP, &format!("{name}{number}")).await);
    }
    people
}

#[tokio::test]
async fn the_allowance_grows_when_people_come() {
    let network = with_limits("strangers_per_day = 5").await;
    let (anna, bert) = (network.register(INSTAGRAM, "anna").await, network.register(INSTAGRAM, "bert").await);
    let people = people(&network, 5, "p").await;
    let rooms = approach(&network, &anna, &people).await;
    for (person, room) in people.iter().zip(&rooms) {
        person.join(room).await.ok();
    }
    approach(&network, &bert, &people).await;
    is_limited(anna.post("/v3/createRoom", json!({ "invite": [nobody(0)] })).await);
    let tomorrow = now_ts() + DAY_MS;
    let of_bert = bert.create_room(json!({})).await;
    assert_eq!(left(&network, &anna, &rooms[0], tomorrow).await, 20);
    assert_eq!(left(&network, &bert, &of_bert, tomorrow).await, 10);
    // What was four weeks ago counts no more, be it good or bad, and is forgotten.
    let much_later = now_ts() + 40 * DAY_MS;
    assert_eq!(left(&network, &anna, &rooms[0], much_later).await, 40);
    assert_eq!(left(&network, &bert, &of_bert, much_later).await, 40);
    assert_eq!(network.rows::<Approaches>().await, 5 + 20 + 40 + 5 + 10 + 40);
    network.app.rooms.forget_approaches(much_later).await.expect("it is swept");
    assert_eq!(network.rows::<Approaches>().await, 40 + 40);
}

/// Whatever people do but come, the sender's allowance says nothing of it.
#[tokio::test]
async fn silence_is_the_same_whatever_is_behind_it() {
    let network = with_limits("strangers_per_day = 10").await;
    let (anna, bert) = (network.register(INSTAGRAM, "anna").await, network.register(INSTAGRAM, "bert").await);
    let people = people(&network, 10, "p").await;
    let rooms = approach(&network, &anna, &people).await;
    approach(&network, &bert, &people).await;
    for (number, (person, room)) in people.iter().zip(&rooms).enumerate() {
        let request = format!("{REQUESTS}/{}", encoded(room));
        match number % 3 {
            0 => person.delete(&request).await,
            1 => person.post(&format!("{request}/block"), json!({})).await,
            _ => {
                person.post(&format!("/v3/users/{}/report", anna.user_id), json!({ "reason": "spam" })).await
            }
        }
        .ok();
    }
    let (own, of_bert) = (anna.create_room(json!({})).await, bert.create_room(json!({})).await);
    for (days, expected) in [(1, 20), (3, 4)] {
        let later = now_ts() + days * DAY_MS;
        let left = [left(&network, &anna, &own, later).await, left(&network, &bert, &of_bert, later).await];
        assert_eq!(left, [expected; 2], "after {days} days");
    }
}

#[tokio::test]
async fn platforms_are_protected_from_each_other() {
    let network = with_limits("strangers_of_platform = 2").await;
    let (anna, bert) = (network.register(INSTAGRAM, "anna").await, network.register(INSTAGRAM, "bert").await);
    let carl = network.register(MESSENGER, "carl").await;
    let refusing = network.register(MESSENGER, "dora").await;
    let rules = json!({ "rules": [{ "reach": "refused" }] });
    refusing.put(&format!("/v3/user/{}/account_data/org.linkspan.reach", refusing.user_id), rules).await.ok();
    let room = anna.create_room(json!({})).await;
    for _ in 0..3 {
        anna.invite(&room, &refusing).await.fails(403, "M_INVITE_BLOCKED");
    }
    invite(&anna, &room, &nobody(0)).await.ok();
    bert.create_room(json!({ "invite": [nobody(1)] })).await;
    is_limited(invite(&anna, &room, &nobody(2)).await);
    is_limited(bert.post("/v3/createRoom", json!({ "invite": [nobody(3)] })).await);

    invite(&anna, &room, &format!("@nobody:{WHATSAPP}")).await.ok();
    anna.invite(&room, &bert).await.ok();
    carl.create_room(json!({ "invite": (5..9).map(nobody).collect::<Vec<_>>() })).await;
}

#[tokio::test]
async fn operators_and_those_who_greet_are_not_limited() {
    let network = with_limits("strangers_per_day = 1\nunanswered_messages = 1").await;
    let greeter = network.register(INSTAGRAM, "greeter").await;
    let network = network
        .reopen_changed(|one| {
            one.greeters = vec![greeter.user_id.as_str().try_into().expect("a user id")];
        })
        .await;
    let anna = network.register(INSTAGRAM, "anna").await;
    for who in [greeter.on(&network), network.administrator(INSTAGRAM, "boss").await] {
        let room = who.create_room(json!({ "invite": (0..3).map(nobody).collect::<Vec<_>>() })).await;
        who.say(&room, "Welcome").await;
        who.say(&room, "Here is how it works").await;
    }
    is_limited(anna.post("/v3/createRoom", json!({ "invite": [nobody(0), nobody(1)] })).await);
}

#[tokio::test]
async fn no_more_than_so_much_is_sent_before_there_is_an_answer() {
    let network = with_limits("unanswered_messages = 3").await;
    let anna = network.register(INSTAGRAM, "anna").await;
    let ben = network.register(MESSENGER, "ben").await;
    let room = anna.create_room(json!({})).await;
    for number in 0..5 {
        anna.say(&room, &format!("{number}: nobody is invited")).await;
    }
    anna.invite(&room, &ben).await.ok();
    let first = anna.say(&room, "Hello").await;
    anna.set_state(&room, "m.room.topic", json!({ "topic": "Hello?" })).await.ok();
    let network = network.reopen().await;
    let (anna, ben) = (anna.on(&network), ben.on(&network));
    anna.say(&room, "Anybody?").await;
    anna.say_fails(&room).await;
    anna.set_state(&room, "m.room.topic", json!({ "topic": "Hello!" })).await.fails(403, "M_FORBIDDEN");
    let redact = format!("/v3/rooms/{room}/redact/{}/1", encoded(&first));
    anna.put(&redact, json!({})).await.ok();
    let kick = json!({ "user_id": ben.user_id });
    anna.post(&format!("/v3/rooms/{room}/kick"), kick).await.ok();
    anna.say(&room, "nobody is invited").await;
    anna.invite(&room, &ben).await.ok();
    anna.say_fails(&room).await;

    ben.join(&room).await.ok();
    for _ in 0..5 {
        anna.say(&room, "There you are").await;
        ben.say(&room, "Yes").await;
    }
    ben.leave(&room).await.ok();
    anna.invite(&room, &ben).await.ok();
    anna.say(&room, "Come back").await;
}

/// A name can say as much as a message, and so can the reason of a redaction.
#[tokio::test]
async fn names_and_reasons_are_words_too() {
    let network = with_limits("unanswered_messages = 3").await;
    let anna = network.register(INSTAGRAM, "anna").await;
    let ben = network.register(MESSENGER, "ben").await;
    let room = anna.create_room(json!({ "invite": [ben.user_id] })).await;
    let member = format!("/v3/rooms/{room}/state/m.room.member/{}", anna.user_id);
    let call_oneself =
        async |name: &str| anna.put(&member, json!({ "membership": "join", "displayname": name })).await;
    call_oneself("Buy this").await.ok();
    let said = anna.say(&room, "Hello").await;
    let redact = format!("/v3/rooms/{room}/redact/{}", encoded(&said));
    anna.put(&format!("{redact}/1"), json!({ "reason": "Buy this" })).await.ok();
    anna.put(&format!("{redact}/2"), json!({ "reason": "Buy this" })).await.fails(403, "M_FORBIDDEN");
    call_oneself("Buy that").await.fails(403, "M_FORBIDDEN");
    anna.put(&format!("{redact}/3"), json!({})).await.ok();
    // A changed profile is no failure for that.
    let name = format!("/v3/profile/{}/displayname", anna.user_id);
    anna.put(&name, json!({ "displayname": "Buy it all" })).await.ok();
    network.flush().await;
    assert_eq!(anna.get(&member).await.ok()["displayname"], "Buy this");
    // Invitations to addresses are counted by themselves.
    let invite = format!("/_linkspan/client/v1/rooms/{room}/invite_by_address");
    for number in 0..5 {
        let address = json!({ "medium": "email", "address": format!("friend{number}@example.org") });
        anna.post(&invite, address).await.ok();
    }
}

#[tokio::test]
async fn what_is_sent_before_there_is_an_answer_is_counted_by_size_too() {
    let network = with_limits("unanswered_bytes = 2000").await;
    let anna = network.register(INSTAGRAM, "anna").await;
    let ben = network.register(MESSENGER, "ben").await;
    let room = anna.create_room(json!({ "invite": [ben.user_id] })).await;
    anna.say(&room, &"x".repeat(1_500)).await;
    let long = json!({ "msgtype": "m.text", "body": "x".repeat(600) });
    anna.try_send(&room, "m.room.message", long).await.fails(403, "M_FORBIDDEN");
    anna.say(&room, "short").await;
    let others = network.register(WHATSAPP, "carl").await;
    let public = anna.create_room(json!({ "preset": "public_chat", "invite": [ben.user_id] })).await;
    others.join(&public).await.ok();
    anna.say(&public, &"x".repeat(5_000)).await;
}
