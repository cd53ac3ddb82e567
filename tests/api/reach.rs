//! Who may reach whom: every cell of the table, by every way in which an invitation comes; and that nobody
//! learns from an invitation who ignores them, or is not there at all.

use serde_json::{Value, json};

use crate::network::{Answer, Client, INSTAGRAM, MESSENGER, Network, each, list};

/// Tries to bring somebody into a new room.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Way {
    AtCreation,
    Invite,
    AsState,
    AnswerToKnock,
}
use Way::{AnswerToKnock, AsState, AtCreation, Invite};

const WAYS: [Way; 4] = [AtCreation, Invite, AsState, AnswerToKnock];
const KINDS: [&str; 3] = ["direct_chat", "group", "call"];
const REACHES: [&str; 4] = ["straight", "request", "ignored", "refused"];

/// Two people, and how the second is to the first.
struct Pair {
    sender: Client,
    invitee: Client,
    source: &'static str,
    relation: &'static str,
}

impl Pair {
    async fn new(network: &Network, source: &'static str, relation: &'static str) -> Self {
        let platform = if source == "own_platform" { INSTAGRAM } else { MESSENGER };
        let invitee = network.register(INSTAGRAM, &format!("ben_{source}_{relation}")).await;
        let sender = network.register(platform, &format!("anna_{source}_{relation}")).await;
        if relation == "contact" {
            let chat = json!({ "is_direct": true, "invite": [sender.user_id] });
            let room = invitee.create_room(chat).await;
            invitee.leave(&room).await.ok();
        }
        if relation == "common_room" {
            let room = sender.create_room(json!({ "preset": "public_chat" })).await;
            invitee.join(&room).await.ok();
        }
        Self { sender, invitee, source, relation }
    }

    /// What the platform says of this pair.
    fn by_default(&self, kind: &str) -> &'static str {
        match (self.relation, kind) {
            ("contact", _) | ("common_room", "call") => "straight",
            ("stranger", "call") => "refused",
            _ => "request",
        }
    }

    /// Invites, and gives the answer to the request that did it, and the room.
    async fn invite(&self, way: Way, kind: &str) -> (Answer, String) {
        let (sender, invitee) = (&self.sender, &self.invitee);
        let mut room = json!({ "initial_state": [] });
        if kind == "call" {
            room["creation_content"] = json!({ "type": "org.matrix.msc3417.call" });
        }
        if way == AtCreation {
            room["invite"] = json!([invitee.user_id]);
            room["is_direct"] = (kind == "direct_chat").into();
            let answer = sender.post("/v3/createRoom", room).await;
            let room = answer.json["room_id"].as_str().unwrap_or("!none:instagram.localhost").to_owned();
            return (answer, room);
        }
        if way == AnswerToKnock {
            let rule = json!({ "type": "m.room.join_rules", "content": { "join_rule": "knock" } });
            room["initial_state"] = json!([rule]);
        }
        let room = sender.create_room(room).await;
        if way == AnswerToKnock {
            invitee.post(&format!("/v3/knock/{room}"), json!({})).await.ok();
        }
        if way == Invite {
            return (sender.invite(&room, invitee).await, room);
        }
        let is_direct = kind == "direct_chat";
        let content = json!({ "membership": "invite", "is_direct": is_direct });
        (sender.put(&member(&room, invitee), content).await, room)
    }

    /// What has become of an invitation, as both sides see it.
    async fn outcome(&self, answer: &Answer, room: &str, kind: &str) -> &'static str {
        let (sender, invitee) = (&self.sender, &self.invitee);
        let is_shown = async || {
            let sync = invitee.get("/v3/sync").await.ok();
            (!sync["rooms"]["invite"][room].is_null(), !sync["rooms"]["join"][room].is_null())
        };
        let requests = invitee.get("/_linkspan/client/v1/requests").await.ok();
        let is_request = each(&requests["requests"], "room_id").contains(&room.to_owned());
        let told = is_shown().await;
        if answer.status == 403 {
            assert_eq!(answer.json["errcode"], "M_INVITE_BLOCKED", "{}", answer.json);
            assert_eq!((told, is_request), ((false, false), false));
            return "refused";
        }
        assert_eq!(answer.status, 200, "{}", answer.json);
        let membership = sender.get(&member(room, invitee)).await.ok()["membership"].clone();
        match (told, is_request) {
            ((false, true), false) => {
                assert_eq!(membership, "join");
                let chats = invitee.get(&format!("/v3/user/{}/account_data/m.direct", invitee.user_id)).await;
                let is_chat = each_chat(&chats.json[&sender.user_id]).contains(&room.to_owned());
                assert_eq!(is_chat, kind == "direct_chat", "{}", chats.json);
                "straight"
            }
            ((true, false), _) => {
                assert_eq!(membership, "invite");
                if is_request { "request" } else { "invitation" }
            }
            ((false, false), false) => {
                assert_eq!(membership, "invite", "to the sender it waits");
                "ignored"
            }
            other => panic!("{other:?}"),
        }
    }
}

fn member(room: &str, user: &Client) -> String {
    format!("/v3/rooms/{room}/state/m.room.member/{}", user.user_id)
}

fn each_chat(rooms: &Value) -> Vec<String> {
    list(rooms).iter().filter_map(Value::as_str).map(str::to_owned).collect()
}

async fn choose(user: &Client, rules: Value) {
    user.put("/_linkspan/client/v1/reach", json!({ "rules": rules })).await.ok();
}

#[tokio::test]
async fn every_cell_holds_whichever_way_an_invitation_comes() {
    let network = Network::open().await;
    for source in ["own_platform", "hosted_platform"] {
        for relation in ["contact", "common_room", "stranger"] {
            let pair = Pair::new(&network, source, relation).await;
            for kind in KINDS {
                for chosen in [None].into_iter().chain(REACHES.map(Some)) {
                    let rule = chosen.map(|reach| {
                        json!([{ "source": source, "relation": relation, "kind": kind, "reach": reach }])
                    });
                    choose(&pair.invitee, rule.unwrap_or(json!([]))).await;
                    for way in WAYS {
                        if way == Invite && kind == "direct_chat" {
                            // That endpoint cannot say it.
                            continue;
                        }
                        let (answer, room) = pair.invite(way, kind).await;
                        let outcome = pair.outcome(&answer, &room, kind).await;
                        let expected = match chosen.unwrap_or_else(|| pair.by_default(kind)) {
                            // Whoever has asked to be let in has to decide nothing more than whether to come.
                            "straight" | "request" if way == AnswerToKnock => "invitation",
                            expected => expected,
                        };
                        let context = format!("{} {relation} {kind} {chosen:?} {way:?}", pair.source);
                        assert_eq!(outcome, expected, "{context}");
                        // They have no more in common than before.
                        pair.sender.leave(&room).await;
                        pair.invitee.leave(&room).await;
                    }
                }
            }
        }
    }
}

#[tokio::test]
async fn the_rest_of_the_table_is_left_alone() {
    let network = Network::open().await;
    let pair = Pair::new(&network, "hosted_platform", "stranger").await;
    for rules in [
        json!([{ "source": "own_platform", "reach": "refused" }]),
        json!([{ "server": INSTAGRAM, "reach": "refused" }]),
        json!([{ "relation": "common_room", "reach": "refused" }]),
        json!([{ "kind": "direct_chat", "reach": "refused" }]),
        json!([{ "reach": "refused" }, { "server": MESSENGER, "reach": "request" }]),
    ] {
        choose(&pair.invitee, rules.clone()).await;
        let (answer, room) = pair.invite(Invite, "group").await;
        assert_eq!(pair.outcome(&answer, &room, "group").await, "request", "{rules}");
    }
}

#[tokio::test]
async fn a_platform_may_say_something_else() {
    let network =
        Network::with_settings_of(INSTAGRAM, "[[reach]]\nrelation = 'stranger'\nreach = 'refused'\n").await;
    let pair = Pair::new(&network, "hosted_platform", "stranger").await;
    let outcome = async || {
        let (answer, room) = pair.invite(Invite, "group").await;
        pair.outcome(&answer, &room, "group").await
    };
    assert_eq!(outcome().await, "refused");
    choose(&pair.invitee, json!([{ "kind": "group", "reach": "request" }])).await;
    assert_eq!(outcome().await, "request", "a person's own rules come after those of the platform");
    let rules = pair.invitee.get("/_linkspan/client/v1/reach").await.ok();
    assert_eq!(rules["rules"], json!([{ "kind": "group", "reach": "request" }]));
    let of_platform = list(&rules["platform_rules"]).last().cloned();
    assert_eq!(of_platform, Some(json!({ "relation": "stranger", "reach": "refused" })));
}

#[tokio::test]
async fn choices_are_account_data_that_is_checked() {
    let network = Network::open().await;
    let anna = network.register(INSTAGRAM, "anna").await;
    let account_data = format!("/v3/user/{}/account_data/org.linkspan.reach", anna.user_id);
    let wrong = json!({ "rules": [{ "relation": "friend", "reach": "straight" }] });
    let right = json!({ "rules": [{ "relation": "stranger", "reach": "ignored" }] });
    for path in ["/_linkspan/client/v1/reach", &account_data] {
        anna.put(path, wrong.clone()).await.fails(400, "M_BAD_JSON");
        anna.put(path, json!({ "rules": vec![json!({ "reach": "ignored" }); 101] }))
            .await
            .fails(400, "M_BAD_JSON");
        anna.put(path, right.clone()).await.ok();
        assert_eq!(anna.get(&account_data).await.ok(), right);
        assert_eq!(anna.get("/_linkspan/client/v1/reach").await.ok()["rules"], right["rules"]);
        anna.put(&account_data, json!({})).await.ok();
        assert_eq!(anna.get("/_linkspan/client/v1/reach").await.ok()["rules"], json!([]));
    }
}

/// What existing clients know, and the rules: of both, the stricter holds.
#[tokio::test]
async fn what_clients_have_set_is_the_same_choice() {
    let network = Network::open().await;
    for relation in ["contact", "stranger"] {
        let pair = Pair::new(&network, "hosted_platform", relation).await;
        let usual = pair.by_default("group");
        let server = json!([MESSENGER]);
        for (event_type, content, rule, expected) in [
            ("m.invite_permission_config", json!({ "default_action": "block" }), "straight", "refused"),
            ("m.invite_permission_config", json!({ "default_action": "allow" }), usual, usual),
            ("m.invite_permission_config", json!({ "default_action": "allow" }), "ignored", "ignored"),
            ("lists", json!({ "blocked_users": ["@anna_*"] }), "straight", "refused"),
            ("lists", json!({ "ignored_users": ["@anna_*"] }), "straight", "ignored"),
            ("lists", json!({ "ignored_servers": server }), "refused", "refused"),
            ("lists", json!({ "blocked_servers": server }), "request", "refused"),
            ("lists", json!({ "allowed_users": ["*"], "blocked_servers": ["*"] }), usual, usual),
            ("lists", json!({ "allowed_users": ["*"] }), "request", "request"),
        ] {
            let event_type = event_type.replace("lists", "org.matrix.msc4155.invite_permission_config");
            let path = format!("/v3/user/{}/account_data/{event_type}", pair.invitee.user_id);
            pair.invitee.put(&path, content.clone()).await.ok();
            choose(&pair.invitee, json!([{ "reach": rule }])).await;
            let (answer, room) = pair.invite(Invite, "group").await;
            let outcome = pair.outcome(&answer, &room, "group").await;
            assert_eq!(outcome, expected, "{relation} {content} {rule}");
            pair.invitee.put(&path, json!({})).await.ok();
            pair.invitee.leave(&room).await;
        }
    }
}

/// All that a sender can see of an invitation, with what differs anyway left out.
async fn seen_by(sender: &Client, invitee: &str, way: Way) -> Vec<(u16, Value)> {
    let create = match way {
        AtCreation => json!({ "is_direct": true, "invite": [invitee] }),
        _ => json!({}),
    };
    let created = sender.post("/v3/createRoom", create).await;
    let room = created.json["room_id"].as_str().expect("a room").to_owned();
    let mut answers = vec![created];
    let path = format!("/v3/rooms/{room}/state/m.room.member/{invitee}");
    match way {
        Invite => {
            let invitation = json!({ "user_id": invitee });
            answers.push(sender.post(&format!("/v3/rooms/{room}/invite"), invitation).await);
        }
        AsState => answers.push(sender.put(&path, json!({ "membership": "invite" })).await),
        AtCreation | AnswerToKnock => {}
    }
    answers.push(sender.get(&path).await);
    answers.push(sender.get(&format!("/v3/rooms/{room}/joined_members")).await);
    // Inviting once more is no way to find out either.
    answers.push(sender.post(&format!("/v3/rooms/{room}/invite"), json!({ "user_id": invitee })).await);
    let seen = answers.into_iter().map(|mut answer| {
        // Ids differ from room to room, and the name is in the profile, which everybody can read.
        for field in ["room_id", "event_id", "displayname"] {
            answer.json.as_object_mut().expect("an object").remove(field);
        }
        (answer.status.as_u16(), answer.json)
    });
    seen.collect()
}

#[tokio::test]
async fn who_is_not_there_looks_like_who_does_not_answer() {
    let network = Network::open().await;
    let sender = network.register(MESSENGER, "sender").await;
    let waiting = network.register(INSTAGRAM, "waiting").await;
    let ignoring = network.register(INSTAGRAM, "ignoring").await;
    choose(&ignoring, json!([{ "reach": "ignored" }])).await;
    let blocking = network.register(INSTAGRAM, "blocking").await;
    blocking.put(&format!("/_linkspan/client/v1/blocks/{}", sender.user_id), json!({})).await.ok();
    let gone = network.register(INSTAGRAM, "gone").await;
    let gone_id = gone.user_id.as_str().try_into().expect("a user id");
    let deactivated = network.app.deactivate(&gone_id, None, false, linkspan_wire::now_ts()).await;
    deactivated.expect("deactivated");
    let missing = format!("@missing:{INSTAGRAM}");
    for way in [AtCreation, Invite, AsState] {
        let expected = seen_by(&sender, &waiting.user_id, way).await;
        assert!(expected.iter().all(|(status, _)| *status == 200), "{expected:?}");
        for invitee in [&ignoring.user_id, &blocking.user_id, &gone.user_id, &missing] {
            assert_eq!(seen_by(&sender, invitee, way).await, expected, "{invitee} {way:?}");
        }
    }
    // What the platform refuses of strangers is refused, whoever it is for.
    let call = |invitee: &str| json!({ "creation_content": { "type": "m.call" }, "invite": [invitee] });
    for invitee in [&waiting.user_id, &gone.user_id, &missing] {
        sender.post("/v3/createRoom", call(invitee)).await.fails(403, "M_INVITE_BLOCKED");
    }
    // Whoever takes the name later has nothing to do with what came before.
    let late = network.register(INSTAGRAM, "missing").await;
    assert!(late.get("/v3/sync").await.ok()["rooms"]["invite"].is_null());
    assert_eq!(network.app.rooms.audit().await.expect("it is read"), [""; 0]);
}

/// A group that is called a direct chat is a group, and whoever comes into it has made no contact.
#[tokio::test]
async fn a_group_is_no_direct_chat_by_its_senders_word() {
    let network = Network::open().await;
    let pair = Pair::new(&network, "hosted_platform", "stranger").await;
    choose(&pair.invitee, json!([{ "kind": "group", "reach": "refused" }])).await;
    let others = [network.register(MESSENGER, "carl").await, network.register(MESSENGER, "dora").await];
    let room = pair.sender.create_room(json!({})).await;
    pair.sender.invite(&room, &others[0]).await.ok();
    let direct = json!({ "membership": "invite", "is_direct": true });
    pair.sender.put(&member(&room, &pair.invitee), direct.clone()).await.fails(403, "M_INVITE_BLOCKED");
    choose(&pair.invitee, json!([])).await;
    pair.sender.put(&member(&room, &pair.invitee), direct).await.ok();
    pair.invitee.post(&format!("/_linkspan/client/v1/requests/{room}/accept"), json!({})).await.ok();
    let contacts = pair.invitee.get("/_linkspan/client/v1/contacts").await.ok();
    assert_eq!(contacts["contacts"], json!([]));
    let chats = pair.invitee.get(&format!("/v3/user/{}/account_data/m.direct", pair.invitee.user_id)).await;
    assert_eq!(chats.status, 404, "{}", chats.json);
    // Several people who are invited to one room at once come into a group.
    let invited = [&others[0].user_id, &others[1].user_id];
    choose(&others[1], json!([{ "kind": "group", "reach": "refused" }])).await;
    let room = json!({ "is_direct": true, "invite": invited });
    pair.sender.post("/v3/createRoom", room).await.fails(403, "M_INVITE_BLOCKED");
}

/// What the room does not allow the invitee does not happen for the invitee either.
#[tokio::test]
async fn where_the_room_does_not_let_them_join_contacts_are_invited() {
    let network = Network::open().await;
    let pair = Pair::new(&network, "hosted_platform", "contact").await;
    let denied = json!({ "allow": ["*"], "deny": [INSTAGRAM] });
    let acl = json!({ "type": "m.room.server_acl", "content": denied });
    let room = pair.sender.create_room(json!({ "initial_state": [acl] })).await;
    let answer = pair.sender.invite(&room, &pair.invitee).await;
    assert_eq!(pair.outcome(&answer, &room, "group").await, "invitation");
    pair.sender.set_state(&room, "m.room.server_acl", json!({ "allow": ["*"] })).await.ok();
    pair.invitee.join(&room).await.ok();
}

#[tokio::test]
async fn calls_ring_only_for_whom_they_reach() {
    let network = Network::open().await;
    for platform in [INSTAGRAM, MESSENGER] {
        let anna = network.register(INSTAGRAM, &format!("anna-{platform}")).await;
        let bert = network.register(platform, &format!("bert-{platform}")).await;
        let room = bert.create_room(json!({ "preset": "public_chat" })).await;
        anna.join(&room).await.ok();
        let rings = async || {
            let since = anna.get("/v3/sync").await.ok()["next_batch"].clone();
            for ringing in ["m.call.invite", "org.matrix.msc4075.rtc.notification"] {
                bert.send(&room, ringing, json!({ "call_id": "1" })).await;
            }
            bert.say(&room, "words").await;
            let path = format!("/v3/sync?since={}", since.as_str().expect("a token"));
            let news = anna.get(&path).await.ok()["rooms"]["join"][&room]["timeline"]["events"].clone();
            list(&news).len() == 3
        };
        assert!(rings().await, "those who share a room may call");
        for reach in ["request", "ignored", "refused"] {
            choose(&anna, json!([{ "kind": "call", "relation": "common_room", "reach": reach }])).await;
            assert!(!rings().await, "{reach}");
        }
        choose(&anna, json!([{ "kind": "call", "relation": "stranger", "reach": "refused" }])).await;
        assert!(rings().await);
    }
}
