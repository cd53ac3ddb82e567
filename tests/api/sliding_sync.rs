//! Simplified sliding sync.

use std::{
    collections::BTreeMap,
    sync::atomic::{AtomicUsize, Ordering},
};

use serde_json::{Value, json};

use crate::network::{Answer, Client, INSTAGRAM, MESSENGER, Network, WHATSAPP, bodies, list, text};

/// A connection as clients of the unstable shape have it.
struct Connection<'a> {
    client: &'a Client,
    request: Value,
    pos: Option<String>,
}

static CONNECTIONS: AtomicUsize = AtomicUsize::new(0);

impl<'a> Connection<'a> {
    fn new(client: &'a Client, request: Value) -> Self {
        let mut request = request;
        request["conn_id"] = format!("c{}", CONNECTIONS.fetch_add(1, Ordering::Relaxed)).into();
        Self { client, request, pos: None }
    }

    async fn ask(&self, timeout_ms: u64) -> Answer {
        let pos = self.pos.as_ref().map(|pos| format!("&pos={pos}")).unwrap_or_default();
        let path = format!("/unstable/org.matrix.simplified_msc3575/sync?timeout={timeout_ms}{pos}");
        self.client.post(&path, self.request.clone()).await
    }

    /// Takes the next answer, as the client does.
    async fn next(&mut self) -> Value {
        let answer = self.ask(0).await.ok();
        self.pos = Some(text(&answer["pos"]));
        answer
    }

    /// Makes a request whose answer gets lost.
    async fn lose(&self) -> Value {
        self.ask(0).await.ok()
    }
}

fn window(last: u64, timeline_limit: u64) -> Value {
    let required_state = json!([["m.room.name", ""], ["m.room.member", "$LAZY"], ["m.room.member", "$ME"]]);
    json!({ "lists": { "all": {
        "ranges": [[0, last]], "timeline_limit": timeline_limit, "required_state": required_state,
    } } })
}

fn rooms(answer: &Value) -> Vec<String> {
    answer["rooms"].as_object().into_iter().flat_map(|rooms| rooms.keys().cloned()).collect()
}

fn said(answer: &Value, room: &str) -> Vec<String> {
    bodies(&answer["rooms"][room]["timeline"])
}

#[tokio::test]
async fn a_window_grows_and_rooms_that_were_out_of_it_are_caught_up() {
    let network = Network::open().await;
    let (anna, ben) = (network.register(INSTAGRAM, "anna").await, network.register(WHATSAPP, "ben").await);
    let mut all = Vec::new();
    for number in 0..5 {
        let room =
            anna.create_room(json!({ "preset": "public_chat", "name": format!("room {number}") })).await;
        ben.join(&room).await.ok();
        anna.say(&room, "first").await;
        all.push(room);
    }
    let mut connection = Connection::new(&ben, window(1, 1));
    let answer = connection.next().await;
    assert_eq!(answer["lists"]["all"]["count"], 5);
    let mut newest = vec![all[3].clone(), all[4].clone()];
    newest.sort();
    assert_eq!(rooms(&answer), newest);
    let room = &answer["rooms"][&all[4]];
    assert_eq!(
        (&room["initial"], &room["name"], &room["limited"]),
        (&json!(true), &json!("room 4"), &json!(true))
    );
    assert_eq!((said(&answer, &all[4]), &room["joined_count"]), (vec!["first".to_owned()], &json!(2)));
    let state: Vec<_> = list(&room["required_state"]).iter().map(|event| text(&event["type"])).collect();
    assert_eq!(state.iter().filter(|kind| *kind == "m.room.member").count(), 2, "who speaks, and the user");
    assert_eq!(rooms(&connection.next().await), Vec::<String>::new(), "nothing is told twice");

    // A room comes into the window, and another falls out of it.
    anna.say(&all[0], "second").await;
    let answer = connection.next().await;
    assert_eq!((rooms(&answer), said(&answer, &all[0])), (vec![all[0].clone()], vec!["second".to_owned()]));
    assert_eq!(answer["rooms"][&all[0]]["initial"], true);
    for words in ["b", "c"] {
        anna.say(&all[3], words).await;
        anna.say(&all[4], words).await;
    }
    connection.next().await;
    anna.say(&all[0], "third").await;
    anna.say(&all[1], "x").await;
    anna.say(&all[2], "x").await;
    let answer = connection.next().await;
    assert!(!rooms(&answer).contains(&all[0]), "it is in no window: {:?}", rooms(&answer));
    connection.request["lists"] = window(9, 1)["lists"].clone();
    let answer = connection.next().await;
    assert_eq!(said(&answer, &all[0]), ["third"]);
    assert_eq!(answer["rooms"][&all[0]]["initial"], Value::Null, "it goes on where it was left");
    assert_eq!(rooms(&connection.next().await), Vec::<String>::new());
}

#[tokio::test]
async fn an_answer_that_was_lost_is_given_again() {
    let network = Network::open().await;
    let (anna, ben) = (network.register(INSTAGRAM, "anna").await, network.register(MESSENGER, "ben").await);
    let room = anna.create_room(json!({ "preset": "public_chat" })).await;
    ben.join(&room).await.ok();
    let mut connection = Connection::new(&ben, window(9, 10));
    connection.next().await;
    let other = anna.create_room(json!({ "preset": "public_chat" })).await;
    ben.join(&other).await.ok();
    anna.say(&room, "hello").await;
    anna.say(&other, "there").await;
    for _ in 0..2 {
        let lost = connection.lose().await;
        assert_eq!(said(&lost, &room), ["hello"]);
        assert_eq!(lost["rooms"][&other]["initial"], true);
    }
    let answer = connection.next().await;
    assert_eq!((said(&answer, &room), said(&answer, &other)), (vec!["hello".into()], vec!["there".into()]));
    assert_eq!(rooms(&connection.next().await), Vec::<String>::new());
}

#[tokio::test]
async fn a_restart_is_not_noticed() {
    let network = Network::open().await;
    let (anna, ben) = (network.register(INSTAGRAM, "anna").await, network.register(MESSENGER, "ben").await);
    let (mut seen, mut out) = (Vec::new(), Vec::new());
    for number in 0..4 {
        let room = anna.create_room(json!({ "preset": "public_chat" })).await;
        ben.join(&room).await.ok();
        anna.say(&room, "before").await;
        if number < 2 { &mut out } else { &mut seen }.push(room);
    }
    let mut connection = Connection::new(&ben, window(1, 5));
    connection.next().await;
    anna.say(&seen[0], "missed").await;
    connection.next().await;
    network.flush().await;

    let after = network.reopen().await;
    let ben = ben.on(&after);
    let anna = anna.on(&after);
    connection.client = &ben;
    assert_eq!(rooms(&connection.next().await), Vec::<String>::new());
    anna.say(&seen[1], "after").await;
    let answer = connection.next().await;
    assert_eq!((rooms(&answer), said(&answer, &seen[1])), (vec![seen[1].clone()], vec!["after".to_owned()]));
    assert_eq!(answer["rooms"][&seen[1]]["initial"], Value::Null);
    anna.say(&out[0], "new").await;
    let answer = connection.next().await;
    assert_eq!(answer["rooms"][&out[0]]["initial"], true);
}

#[tokio::test]
async fn a_subscription_shows_more_of_a_room() {
    let network = Network::open().await;
    let (anna, ben) = (network.register(INSTAGRAM, "anna").await, network.register(MESSENGER, "ben").await);
    let room = anna.create_room(json!({ "preset": "public_chat", "topic": "ships" })).await;
    ben.join(&room).await.ok();
    for words in ["a", "b", "c", "d"] {
        anna.say(&room, words).await;
    }
    let mut connection = Connection::new(&ben, window(9, 1));
    assert_eq!(said(&connection.next().await, &room), ["d"]);
    let wanted = json!({ "timeline_limit": 3, "required_state": [["m.room.topic", ""]] });
    connection.request["room_subscriptions"] = json!({ &room: wanted });
    let answer = connection.next().await;
    assert_eq!(said(&answer, &room), ["b", "c", "d"]);
    assert_eq!(answer["rooms"][&room]["unstable_expanded_timeline"], true);
    let topics = list(&answer["rooms"][&room]["required_state"]).iter();
    let topics: Vec<_> = topics.filter(|event| event["type"] == "m.room.topic").collect();
    assert_eq!(topics.len(), 1);
    let prev_batch = text(&answer["rooms"][&room]["prev_batch"]);
    let older = ben.get(&format!("/v3/rooms/{room}/messages?dir=b&limit=1&from={prev_batch}")).await.ok();
    assert_eq!(bodies(&older["chunk"]), ["a"]);
    assert_eq!(rooms(&connection.next().await), Vec::<String>::new());
    anna.say(&room, "e").await;
    let answer = connection.next().await;
    assert_eq!(
        (said(&answer, &room), &answer["rooms"][&room]["num_live"]),
        (vec!["e".to_owned()], &json!(1))
    );

    // A room of others does not show itself.
    let secret = anna.create_room(json!({ "preset": "private_chat" })).await;
    connection.request["room_subscriptions"] = json!({ &secret: { "timeline_limit": 3 } });
    assert_eq!(rooms(&connection.next().await), Vec::<String>::new());
}

#[tokio::test]
async fn invitations_departures_and_returns_are_told() {
    let network = Network::open().await;
    let (anna, ben) = (network.register(INSTAGRAM, "anna").await, network.register(MESSENGER, "ben").await);
    let mut connection = Connection::new(&ben, window(9, 10));
    connection.next().await;
    let room = anna.create_room(json!({ "name": "quay", "invite": [ben.user_id] })).await;
    let answer = connection.next().await;
    let stripped = list(&answer["rooms"][&room]["invite_state"]).iter();
    assert!(stripped.clone().any(|event| event["type"] == "m.room.name"), "{answer}");
    assert_eq!(answer["rooms"][&room]["timeline"], Value::Null);
    ben.join(&room).await.ok();
    anna.say(&room, "welcome").await;
    let answer = connection.next().await;
    assert_eq!(answer["rooms"][&room]["initial"], true);
    assert_eq!(said(&answer, &room), ["welcome"]);

    anna.say(&room, "farewell").await;
    ben.leave(&room).await.ok();
    anna.say(&room, "he is gone").await;
    let answer = connection.next().await;
    assert_eq!(answer["lists"]["all"]["count"], 1, "the connection has shown it");
    let events = list(&answer["rooms"][&room]["timeline"]);
    assert_eq!(events.last().expect("an event")["content"]["membership"], "leave");
    assert!(!said(&answer, &room).contains(&"he is gone".to_owned()));
    assert_eq!(rooms(&connection.next().await), Vec::<String>::new());

    anna.invite(&room, &ben).await.ok();
    ben.join(&room).await.ok();
    let answer = connection.next().await;
    assert_eq!(answer["rooms"][&room]["initial"], true, "all of it is told anew");
    let ban = json!({ "user_id": ben.user_id });
    anna.post(&format!("/v3/rooms/{room}/ban"), ban).await.ok();
    let answer = connection.next().await;
    let events = list(&answer["rooms"][&room]["timeline"]);
    assert_eq!(events.last().expect("an event")["content"]["membership"], "ban");
    assert_eq!(answer["lists"]["all"]["count"], 1, "who is put out still has the room in the list");
}

#[tokio::test]
async fn who_speaks_is_told_again_in_a_room_that_is_told_again() {
    let network = Network::open().await;
    let (anna, ben) = (network.register(INSTAGRAM, "anna").await, network.register(MESSENGER, "ben").await);
    let room = anna.create_room(json!({ "preset": "public_chat" })).await;
    ben.join(&room).await.ok();
    let mut connection = Connection::new(&ben, window(9, 1));
    for words in ["first", "second"] {
        anna.say(&room, words).await;
        let answer = connection.next().await;
        assert_eq!(
            (&answer["rooms"][&room]["initial"], said(&answer, &room)),
            (&json!(true), vec![words.into()])
        );
        let state = list(&answer["rooms"][&room]["required_state"]).iter();
        assert!(state.clone().any(|event| event["state_key"] == anna.user_id.as_str()), "{answer}");
        ben.leave(&room).await.ok();
        connection.next().await;
        ben.join(&room).await.ok();
    }
}

#[tokio::test]
async fn a_room_that_is_forgotten_is_in_no_list() {
    let network = Network::open().await;
    let (anna, ben) = (network.register(INSTAGRAM, "anna").await, network.register(MESSENGER, "ben").await);
    let room = anna.create_room(json!({ "preset": "public_chat" })).await;
    ben.join(&room).await.ok();
    let mut connection = Connection::new(&ben, window(9, 1));
    connection.next().await;
    anna.post(&format!("/v3/rooms/{room}/kick"), json!({ "user_id": ben.user_id })).await.ok();
    assert_eq!(connection.next().await["lists"]["all"]["count"], 1);
    let (answer, _) = tokio::join!(connection.ask(60_000), async {
        ben.post(&format!("/v3/rooms/{room}/forget"), json!({})).await.ok();
    });
    let answer = answer.ok();
    assert_eq!((&answer["lists"]["all"]["count"], rooms(&answer)), (&json!(0), vec![]));
}

/// The user's own membership in an answer of any shape, as it stands in the required state of a room.
fn own_membership(answer: &Value, room: &str, client: &Client) -> Option<String> {
    let mut events = list(&answer["rooms"][room]["required_state"]).iter();
    let own = events
        .find(|event| event["type"] == "m.room.member" && event["state_key"] == client.user_id.as_str());
    own.map(|event| text(&event["content"]["membership"]))
}

/// How both shapes ask for nothing but the user's own membership, either by name or by lazy loading.
fn own_members_on_wire(user_id: &str) -> [(&'static str, Value); 4] {
    let include = json!([{ "type": "m.room.member", "state_key": user_id }]);
    [
        ("unstable", json!([["m.room.member", "$ME"]])),
        ("unstable", json!([["m.room.member", "$LAZY"]])),
        ("stable", json!({ "include": include })),
        ("stable", json!({ "lazy_members": true })),
    ]
}

/// The next answer on a connection in one of the shapes.
async fn next_in(client: &Client, shape: &str, body: &Value, pos: &mut Option<String>) -> Value {
    let mut body = body.clone();
    let answer = if shape == "stable" {
        pos.iter().for_each(|pos| body["pos"] = json!(pos));
        client.post("/v4/sync", body).await.ok()
    } else {
        let query = pos.iter().map(|pos| format!("?pos={pos}")).collect::<String>();
        client.post(&format!("/unstable/org.matrix.simplified_msc3575/sync{query}"), body).await.ok()
    };
    *pos = Some(text(&answer["pos"]));
    answer
}

#[tokio::test]
async fn a_leave_comes_with_the_own_membership_and_the_room_stays_in_its_list() {
    let network = Network::open().await;
    let (anna, ben) = (network.register(INSTAGRAM, "anna").await, network.register(MESSENGER, "ben").await);
    let seen_before = anna.create_room(json!({ "preset": "public_chat" })).await;
    ben.join(&seen_before).await.ok();
    ben.leave(&seen_before).await.ok();
    for (number, (shape, required_state)) in own_members_on_wire(&ben.user_id).into_iter().enumerate() {
        let case = format!("{shape} {required_state}");
        let room = anna.create_room(json!({ "preset": "public_chat" })).await;
        ben.join(&room).await.ok();
        anna.say(&room, "hello").await;
        let declined = anna.create_room(json!({ "invite": [ben.user_id] })).await;
        let forgotten = anna.create_room(json!({ "invite": [ben.user_id] })).await;
        let mut list = json!({ "timeline_limit": 1, "required_state": required_state });
        match shape {
            "stable" => list["range"] = json!([0, 9]),
            _ => list["ranges"] = json!([[0, 9]]),
        }
        let body = json!({ "conn_id": format!("c{number}"), "lists": { "all": list } });
        let mut pos = None;
        let first = next_in(&ben, shape, &body, &mut pos).await;
        assert_eq!(first["lists"]["all"]["count"], 3, "{case}");

        for left in [&room, &declined, &forgotten] {
            ben.leave(left).await.ok();
        }
        ben.post(&format!("/v3/rooms/{forgotten}/forget"), json!({})).await.ok();
        // An answer that gets lost is given again.
        for _ in 0..2 {
            let answer = next_in(&ben, shape, &body, &mut pos.clone()).await;
            assert_eq!(answer["lists"]["all"]["count"], 3, "{case}");
            for left in [&room, &declined, &forgotten] {
                assert_eq!(own_membership(&answer, left, &ben).as_deref(), Some("leave"), "{case}: {answer}");
                if shape == "stable" {
                    assert_eq!(answer["rooms"][left]["membership"], "leave", "{case}");
                    assert_eq!(answer["rooms"][left]["lists"], json!(["all"]), "{case}");
                }
            }
        }
        next_in(&ben, shape, &body, &mut pos).await;
        let quiet = next_in(&ben, shape, &body, &mut pos).await;
        assert_eq!(quiet["lists"]["all"]["count"], 2, "only what is forgotten is gone: {case}");
        assert_eq!(rooms(&quiet), Vec::<String>::new(), "{case}");

        // If account data changes, the list is made anew, and has the same rooms.
        let data = format!("/v3/user/{}/account_data/org.example", ben.user_id);
        ben.put(&data, json!({ "number": number })).await.ok();
        let again = next_in(&ben, shape, &body, &mut pos).await;
        assert_eq!(again["lists"]["all"]["count"], 2, "{case}");

        let fresh = next_in(&ben, shape, &body, &mut None).await;
        assert_eq!(fresh["lists"]["all"]["count"], 0, "a new connection has not shown them: {case}");
    }
}

#[tokio::test]
async fn a_leave_is_told_with_the_own_membership_though_no_list_has_the_room_any_more() {
    let network = Network::open().await;
    let (anna, ben) = (network.register(INSTAGRAM, "anna").await, network.register(MESSENGER, "ben").await);
    let joined = anna.create_room(json!({ "preset": "public_chat" })).await;
    ben.join(&joined).await.ok();
    let invited = anna.create_room(json!({ "invite": [ben.user_id] })).await;
    for (number, (shape, required_state)) in own_members_on_wire(&ben.user_id).into_iter().enumerate() {
        let config = json!({ "timeline_limit": 1, "required_state": required_state });
        let mut list = config.clone();
        match shape {
            "stable" => (list["range"], list["filters"]) = (json!([0, 9]), json!({ "is_invited": true })),
            _ => (list["ranges"], list["filters"]) = (json!([[0, 9]]), json!({ "is_invite": true })),
        }
        let mut body = json!({
            "conn_id": format!("c{number}"), "lists": { "invited": list },
            "room_subscriptions": { &joined: config },
        });
        let mut pos = None;
        let first = next_in(&ben, shape, &body, &mut pos).await;
        assert_eq!(rooms(&first).len(), 2, "{first}");
        body["room_subscriptions"] = json!({});
        ben.leave(&joined).await.ok();
        ben.leave(&invited).await.ok();
        let answer = next_in(&ben, shape, &body, &mut pos).await;
        for room in [&joined, &invited] {
            assert_eq!(own_membership(&answer, room, &ben).as_deref(), Some("leave"), "{shape}: {answer}");
        }
        assert_eq!(answer["lists"]["invited"]["count"], 0);
        ben.join(&joined).await.ok();
        anna.invite(&invited, &ben).await.ok();
    }
}

#[tokio::test]
async fn who_has_left_is_told_the_state_up_to_then_and_nothing_that_others_do() {
    let network = Network::open().await;
    let (anna, ben) = (network.register(INSTAGRAM, "anna").await, network.register(MESSENGER, "ben").await);
    let carl = network.register(WHATSAPP, "carl").await;
    let room = anna.create_room(json!({ "preset": "public_chat", "topic": "Old" })).await;
    ben.join(&room).await.ok();
    let required_state = json!([["m.room.topic", ""], ["m.room.member", "$LAZY"]]);
    let list = json!({ "ranges": [[0, 9]], "timeline_limit": 10, "required_state": required_state });
    let on = json!({ "enabled": true });
    let extensions = json!({ "receipts": on, "typing": on });
    let mut connection = Connection::new(&ben, json!({ "lists": { "all": list }, "extensions": extensions }));
    connection.next().await;
    carl.join(&room).await.ok();
    let event = carl.say(&room, "hello").await;
    carl.leave(&room).await.ok();
    anna.set_state(&room, "m.room.topic", json!({ "topic": "New" })).await.ok();
    ben.leave(&room).await.ok();
    anna.set_state(&room, "m.room.topic", json!({ "topic": "Secret" })).await.ok();
    anna.post(&format!("/v3/rooms/{room}/receipt/m.read/{event}"), json!({})).await.ok();
    let typing = json!({ "typing": true, "timeout": 60_000 });
    anna.put(&format!("/v3/rooms/{room}/typing/{}", anna.user_id), typing).await.ok();

    let answer = connection.next().await;
    let state = list_of_state(&answer["rooms"][&room]["required_state"]);
    let content = |kind: &str, key: &str| state.get(&(kind.to_owned(), key.to_owned())).cloned();
    assert_eq!(content("m.room.topic", ""), Some(json!({ "topic": "New" })), "{answer}");
    let carl_then = content("m.room.member", &carl.user_id).expect("who spoke and left is told of");
    assert_eq!(carl_then["membership"], "leave");
    assert_eq!(said(&answer, &room), ["hello"]);
    assert_eq!(answer["extensions"]["receipts"], Value::Null, "{answer}");
    assert_eq!(answer["extensions"]["typing"], Value::Null, "{answer}");

    // More is asked of a room that was left: it is as it was then.
    let wanted =
        json!({ "timeline_limit": 1, "required_state": [["m.room.topic", ""], ["m.room.create", "*"]] });
    connection.request["room_subscriptions"] = json!({ &room: wanted });
    let answer = connection.next().await;
    let state = list_of_state(&answer["rooms"][&room]["required_state"]);
    assert_eq!(state.get(&("m.room.topic".to_owned(), String::new())), Some(&json!({ "topic": "New" })));
    assert!(state.contains_key(&("m.room.create".to_owned(), String::new())), "{answer}");
}

/// The contents by type and state key.
fn list_of_state(events: &Value) -> BTreeMap<(String, String), Value> {
    let entry = |event: &Value| ((text(&event["type"]), text(&event["state_key"])), event["content"].clone());
    list(events).iter().map(entry).collect()
}

#[tokio::test]
async fn filters_choose_rooms() {
    let network = Network::open().await;
    let (anna, ben) = (network.register(INSTAGRAM, "anna").await, network.register(MESSENGER, "ben").await);
    let encryption =
        json!({ "type": "m.room.encryption", "content": { "algorithm": "m.megolm.v1.aes-sha2" } });
    let encrypted = anna.create_room(json!({ "initial_state": [encryption] })).await;
    let direct = anna.create_room(json!({ "is_direct": true, "invite": [ben.user_id] })).await;
    let space = anna.create_room(json!({ "creation_content": { "type": "m.space" } })).await;
    let child = anna.create_room(json!({})).await;
    anna.put(&format!("/v3/rooms/{space}/state/m.space.child/{child}"), json!({ "via": [INSTAGRAM] }))
        .await
        .ok();
    let user = &anna.user_id;
    anna.put(&format!("/v3/user/{user}/account_data/m.direct"), json!({ &ben.user_id: [direct] })).await.ok();
    anna.put(&format!("/v3/user/{user}/rooms/{child}/tags/m.favourite"), json!({})).await.ok();
    // Ben is a contact of hers, since she has written to him: he would bring her in at once.
    let carl = network.register(MESSENGER, "carl").await;
    let invited = carl.create_room(json!({ "invite": [user] })).await;
    let plain = [&direct, &space, &child, &invited];

    for (filters, expected) in [
        (json!({ "is_dm": true }), vec![&direct]),
        (json!({ "is_encrypted": true }), vec![&encrypted]),
        (json!({ "is_encrypted": false }), plain.to_vec()),
        (json!({ "is_invite": true }), vec![&invited]),
        (json!({ "room_types": ["m.space"] }), vec![&space]),
        (json!({ "not_room_types": ["m.space"] }), vec![&encrypted, &direct, &child, &invited]),
        (json!({ "room_types": [null], "is_dm": false, "is_invite": false }), vec![&encrypted, &child]),
        (json!({ "spaces": [space] }), vec![&child]),
        (json!({ "tags": ["m.favourite"] }), vec![&child]),
        (json!({ "not_tags": ["m.favourite"], "is_invite": false }), vec![&encrypted, &direct, &space]),
    ] {
        let mut request = window(9, 0);
        request["lists"]["all"]["filters"] = filters.clone();
        let answer = Connection::new(&anna, request).next().await;
        let mut expected: Vec<_> = expected.into_iter().cloned().collect();
        expected.sort();
        assert_eq!(rooms(&answer), expected, "{filters}");
        assert_eq!(answer["lists"]["all"]["count"], expected.len(), "{filters}");
    }
}

#[tokio::test]
async fn extensions_bring_what_is_beside_rooms() {
    let network = Network::open().await;
    let (anna, ben) = (network.register(INSTAGRAM, "anna").await, network.register(MESSENGER, "ben").await);
    let room = anna.create_room(json!({ "preset": "public_chat" })).await;
    ben.join(&room).await.ok();
    let event = anna.say(&room, "hello").await;
    let user = ben.user_id.clone();
    ben.put(&format!("/v3/user/{user}/account_data/org.example"), json!({ "a": 1 })).await.ok();
    let on = json!({ "enabled": true });
    let mut request = window(9, 10);
    request["extensions"] =
        json!({ "to_device": on, "e2ee": on, "account_data": on, "receipts": on, "typing": on });
    let mut connection = Connection::new(&ben, request);
    let answer = connection.next().await;
    let extensions = &answer["extensions"];
    assert_eq!(extensions["e2ee"]["device_one_time_keys_count"]["signed_curve25519"], 0);
    let global = list(&extensions["account_data"]["global"]);
    assert!(global.iter().any(|event| event["type"] == "org.example"), "{extensions}");
    assert!(global.iter().any(|event| event["type"] == "m.push_rules"), "{extensions}");

    let message = json!({ "messages": { &user: { "*": { "words": "psst" } } } });
    anna.put("/v3/sendToDevice/org.example/1", message).await.ok();
    anna.put(
        &format!("/v3/rooms/{room}/typing/{}", anna.user_id),
        json!({ "typing": true, "timeout": 9000 }),
    )
    .await
    .ok();
    anna.post(&format!("/v3/rooms/{room}/receipt/m.read/{event}"), json!({})).await.ok();
    ben.put(&format!("/v3/user/{user}/rooms/{room}/tags/m.favourite"), json!({})).await.ok();
    let answer = connection.next().await;
    let extensions = answer["extensions"].clone();
    assert_eq!(extensions["to_device"]["events"][0]["content"]["words"], "psst");
    assert_eq!(extensions["typing"]["rooms"][&room]["content"]["user_ids"], json!([anna.user_id]));
    assert!(extensions["receipts"]["rooms"][&room]["content"][&event]["m.read"].is_object(), "{extensions}");
    assert_eq!(extensions["account_data"]["rooms"][&room][0]["type"], "m.tag");
    assert_eq!(extensions["account_data"]["global"], json!([]));

    // Until it is acknowledged, a message to the device comes again.
    let again = connection.next().await;
    assert_eq!(list(&again["extensions"]["to_device"]["events"]).len(), 1);
    connection.request["extensions"]["to_device"]["since"] = extensions["to_device"]["next_batch"].clone();
    let answer = connection.next().await;
    assert_eq!(answer["extensions"]["to_device"]["events"], json!([]));
    assert_eq!(answer["extensions"]["typing"], Value::Null);

    // News of another's devices.
    let second = anna.another_device().await;
    let keys = crate::olm::OlmDevice::new(&second).device_keys();
    second.post("/v3/keys/upload", json!({ "device_keys": keys })).await.ok();
    let answer = connection.next().await;
    assert_eq!(answer["extensions"]["e2ee"]["device_lists"]["changed"], json!([anna.user_id]));
}

#[tokio::test]
async fn a_request_waits_for_news_and_a_newer_one_ends_it() {
    let network = Network::open().await;
    let (anna, ben) = (network.register(INSTAGRAM, "anna").await, network.register(MESSENGER, "ben").await);
    let room = anna.create_room(json!({ "preset": "public_chat" })).await;
    ben.join(&room).await.ok();
    let mut connection = Connection::new(&ben, window(9, 10));
    connection.next().await;
    let (answer, _) = tokio::join!(connection.ask(60_000), async {
        anna.say(&room, "wake up").await;
    });
    let answer = answer.ok();
    assert_eq!(said(&answer, &room), ["wake up"]);
    connection.pos = Some(text(&answer["pos"]));
    let (first, second) = tokio::join!(connection.ask(60_000), async {
        tokio::task::yield_now().await;
        connection.ask(0).await
    });
    assert_eq!((rooms(&first.ok()), rooms(&second.ok())), (vec![], vec![]));
}

#[tokio::test]
async fn the_shape_that_was_specified_says_the_same() {
    let network = Network::open().await;
    let (anna, ben) = (network.register(INSTAGRAM, "anna").await, network.register(MESSENGER, "ben").await);
    let room = anna.create_room(json!({ "preset": "public_chat", "name": "quay" })).await;
    ben.join(&room).await.ok();
    anna.say(&room, "hello").await;
    let mut request = json!({ "lists": { "all": { "timeline_limit": 5, "required_state": {
        "include": [{}], "exclude": [{ "type": "m.room.power_levels" }], "lazy_members": true,
    } } } });
    let answer = ben.post("/v4/sync", request.clone()).await.ok();
    let told = &answer["rooms"][&room];
    assert_eq!(
        (&told["membership"], &told["lists"], &told["name"]),
        (&json!("join"), &json!(["all"]), &json!("quay"))
    );
    assert_eq!(told["avatar"], Value::Null);
    let state: Vec<_> = list(&told["required_state"]).iter().map(|event| text(&event["type"])).collect();
    assert!(
        state.contains(&"m.room.create".to_owned()) && !state.contains(&"m.room.power_levels".to_owned())
    );
    assert_eq!(said(&answer, &room), ["hello"]);
    request["pos"] = answer["pos"].clone();
    anna.say(&room, "again").await;
    let answer = ben.post("/v4/sync", request).await.ok();
    assert_eq!(said(&answer, &room), ["again"]);
}

#[tokio::test]
async fn wrong_requests_are_refused() {
    let network = Network::open().await;
    let (anna, ben) = (network.register(INSTAGRAM, "anna").await, network.register(MESSENGER, "ben").await);
    let path = "/unstable/org.matrix.simplified_msc3575/sync";
    let pos = text(&anna.post(path, json!({})).await.ok()["pos"]);
    for pos in ["nonsense", "s1_1", "s1_1.1", "s1_1.1.1", "s99999999999_1.1.1"] {
        anna.post(&format!("{path}?pos={pos}"), json!({})).await.fails(400, "M_UNKNOWN_POS");
    }
    let ask = format!("{path}?pos={pos}");
    anna.post(&ask, json!({})).await.ok();
    // A new connection of the same name takes the place of the old one.
    anna.post(path, json!({})).await.ok();
    anna.post(&ask, json!({})).await.fails(400, "M_UNKNOWN_POS");
    ben.post(path, json!({})).await.ok();
    ben.post(&ask, json!({})).await.fails(400, "M_UNKNOWN_POS");
    let many: serde_json::Map<_, _> =
        (0..101).map(|n| (n.to_string(), json!({ "timeline_limit": 1, "ranges": [[0, 1]] }))).collect();
    for (body, code) in [
        (json!({ "lists": many }), "M_INVALID_PARAM"),
        (json!({ "lists": { "a": { "ranges": [[0]], "timeline_limit": 1 } } }), "M_BAD_JSON"),
        (json!({ "room_subscriptions": { "nonsense": { "timeline_limit": 1 } } }), "M_BAD_JSON"),
        (json!([]), "M_BAD_JSON"),
        (json!({ "conn_id": "x".repeat(300) }), "M_INVALID_PARAM"),
    ] {
        anna.post(path, body).await.fails(400, code);
    }
    anna.post(&format!("{path}?timeout=soon"), json!({})).await.fails(400, "M_INVALID_PARAM");
    let backwards = json!({ "lists": { "a": { "ranges": [[9, 1]], "timeline_limit": 1 } } });
    assert_eq!(rooms(&anna.post(path, backwards).await.ok()), Vec::<String>::new());
}
