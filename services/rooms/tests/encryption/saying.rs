//! Every way in which something is said.

use linkspan_rooms::{DelayAction, Removal};
use ruma::{OwnedEventId, events::StateEventType};
use serde_json::{Value, json};

use crate::scene::*;
use crate::world::user;

/// What the rules are about in what is said.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Kind {
    Service,
    Readable,
    Sealed,
    Both,
}

impl Kind {
    pub(crate) fn expected(self, required: bool, forbidden: bool) -> Outcome {
        match self {
            Self::Readable | Self::Both if required => Err(REQUIRED),
            Self::Sealed | Self::Both if forbidden => Err(FORBIDDEN),
            _ => Ok(()),
        }
    }
}

/// The ways in which something is said.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Way {
    Send,
    State,
    /// Made elsewhere, after all that is there.
    Elsewhere,
    /// Made elsewhere, before anybody with a rule was there; it comes only now.
    ElsewhereBefore,
    StateElsewhere,
    Later,
    StateLater,
}

pub(crate) const WAYS: [Way; 7] = [
    Way::Send,
    Way::State,
    Way::Elsewhere,
    Way::ElsewhereBefore,
    Way::StateElsewhere,
    Way::Later,
    Way::StateLater,
];

/// What is said, and whether it is a message as state too.
pub(crate) fn sayings(target: &OwnedEventId) -> Vec<(&'static str, Value, Kind, bool)> {
    let mut beside = sealed();
    beside["body"] = json!("hello");
    let mut edit = sealed();
    edit["m.relates_to"] = json!({ "rel_type": "m.replace", "event_id": target });
    let mut smuggled = edit.clone();
    smuggled["m.relates_to"]["m.new_content"] = said("hello");
    let with = |field: &str, text: &str| {
        let mut content = sealed();
        content[field] = json!(text);
        content
    };
    let reaction =
        |key: &str| json!({ "m.relates_to": { "rel_type": "m.annotation", "event_id": target, "key": key } });
    vec![
        ("m.room.message", said("hello"), Kind::Readable, true),
        ("m.room.message", json!({}), Kind::Readable, true),
        ("m.sticker", json!({ "body": "a cat", "url": "mxc://a.localhost/cat" }), Kind::Readable, true),
        ("m.poll.start", json!({ "m.text": [{ "body": "eight?" }] }), Kind::Readable, true),
        ("m.call.invite", json!({ "call_id": "1", "offer": { "sdp": "x" } }), Kind::Readable, true),
        ("com.example.note", json!({ "body": "hello" }), Kind::Readable, false),
        ("com.example.note", said("hello"), Kind::Readable, true),
        ("m.room.encrypted", sealed(), Kind::Sealed, true),
        ("m.room.encrypted", edit, Kind::Sealed, true),
        ("m.room.encrypted", beside, Kind::Both, true),
        ("m.room.encrypted", smuggled, Kind::Both, true),
        ("m.room.encrypted", json!({ "body": "hello" }), Kind::Both, true),
        ("m.room.encrypted", with("ciphertext", "SeeYouAtEight"), Kind::Both, true),
        ("m.room.encrypted", with("ciphertext", "AwgAEnACgAkLmt6qF84IK"), Kind::Both, true),
        ("m.room.encrypted", with("session_id", "SeeYouAtEight"), Kind::Both, true),
        ("m.room.encrypted", with("sender_key", "SeeYouAtEight"), Kind::Both, true),
        ("m.reaction", reaction("👍"), Kind::Service, true),
        ("m.reaction", reaction("a"), Kind::Readable, true),
        ("m.reaction", reaction("see you at eight"), Kind::Readable, true),
    ]
}

/// Who, of which platform with a rule, has what to do with the room.
pub(crate) const COMPANY: [(&str, &str, bool, bool); 7] = [
    (RITA, "never there", false, false),
    (RITA, "joined", true, false),
    (RITA, "invited", true, false),
    (RITA, "left", false, false),
    (FINN, "joined", false, true),
    (FINN, "invited", false, true),
    (FINN, "left", false, false),
];

pub(crate) async fn bring(scene: &Scene, who: &str, how: &str) {
    let rooms = &scene.world.rooms;
    if how != "never there" {
        rooms.invite(&user(BOB), &scene.room_id, &user(who), None, 2_000).await.expect("invited");
    }
    if matches!(how, "joined" | "left") {
        rooms.join_room(&user(who), &scene.room_id, None, 2_001).await.expect("joined");
    }
    if how == "left" {
        rooms.leave_room(&user(who), &scene.room_id, None, 2_002).await.expect("left");
    }
}

#[tokio::test]
async fn every_way_of_saying_something() {
    for (who, how, required, forbidden) in COMPANY {
        let encrypted = who == RITA;
        let mut scene = Scene::open(&PLATFORMS, encrypted, "public").await;
        let target = scene.before.clone();
        bring(&scene, who, how).await;
        for (number, (event_type, content, kind, as_state)) in sayings(&target).into_iter().enumerate() {
            for way in WAYS {
                let context = format!("{who} {how}: {event_type} {content} by {way:?}");
                let key = format!("{number}{way:?}");
                let in_state = matches!(way, Way::State | Way::StateElsewhere | Way::StateLater);
                let got = match way {
                    Way::Send => outcome(scene.send(ALICE, event_type, content.clone()).await, &context),
                    Way::State => {
                        outcome(scene.set(ALICE, event_type, &key, content.clone()).await, &context)
                    }
                    Way::Elsewhere => scene.inserted(event_type, None, content.clone(), false).await,
                    Way::ElsewhereBefore => scene.inserted(event_type, None, content.clone(), true).await,
                    Way::StateElsewhere => {
                        scene.inserted(event_type, Some(&key), content.clone(), false).await
                    }
                    Way::Later => {
                        outcome(scene.later(ALICE, event_type, None, content.clone()).await, &context)
                    }
                    Way::StateLater => {
                        outcome(scene.later(ALICE, event_type, Some(&key), content.clone()).await, &context)
                    }
                };
                let kind = if in_state && !as_state { Kind::Service } else { kind };
                assert_eq!(got, kind.expected(required, forbidden), "{context}");
            }
        }
        scene.world.check_tables(&format!("{who} {how}")).await;
        assert_eq!(
            scene.world.copy().await.head(&scene.room_id).await,
            scene.world.head(&scene.room_id).await
        );
    }
}

#[tokio::test]
async fn what_was_scheduled_before_somebody_came_is_not_sent() {
    for (state_key, kind) in [(None, "a message"), (Some("x"), "state")] {
        let mut scene = Scene::open(&PLATFORMS, true, "public").await;
        let scheduled = scene.later(ALICE, "m.room.message", state_key, said("hello")).await;
        let delay_id = scheduled.expect("nobody is there yet who minds");
        bring(&scene, RITA, "invited").await;
        let rooms = &scene.world.rooms;
        let (platform, now) = (user(ALICE).server_name().to_owned(), scene.now());
        let sent = rooms.act_on_delayed_event(&platform, &delay_id, DelayAction::Send, now);
        assert_eq!(outcome(sent.await, kind), Err(REQUIRED), "{kind}");
        // Nor when its time has come.
        let clock = now + 2_000_000;
        let sending = tokio::spawn(rooms.clone().send_delayed_events(move || clock));
        let record = loop {
            let event = rooms.get_delayed_event(&user(ALICE), &delay_id).await.expect("it is known");
            if event.record.finalised_ts.is_some() {
                break event.record;
            }
            tokio::task::yield_now().await;
        };
        sending.abort();
        assert_eq!(record.event_id, None, "{kind}");
        let (code, words) = record.error.expect("an error");
        assert!(code == "M_FORBIDDEN" && words.contains("requires end-to-end encryption"), "{code} {words}");
    }
}

#[tokio::test]
async fn reasons_are_kept_out_with_the_words() {
    const REASON: Option<&str> = Some("see you at eight");
    for (who, how) in [(BOB, "never there"), (FINN, "joined"), (RITA, "joined"), (RITA, "invited")] {
        let scene = Scene::open(&PLATFORMS, who == RITA, "public").await;
        bring(&scene, who, how).await;
        let rooms = scene.world.rooms.clone();
        let (alice, bob, room_id) = (user(ALICE), user(BOB), scene.room_id.clone());
        let ban = json!({ "membership": "ban", "reason": "see you at eight" });
        rooms.leave_room(&bob, &room_id, REASON, scene.now()).await.expect("left");
        rooms.invite(&alice, &room_id, &bob, REASON, scene.now()).await.expect("invited");
        rooms.join_room(&bob, &room_id, REASON, scene.now()).await.expect("joined");
        for removal in [Removal::Kick, Removal::Ban, Removal::Unban] {
            let done = rooms.remove_member(removal, &alice, &room_id, &bob, REASON, scene.now());
            done.await.expect("removed");
        }
        scene.set(ALICE, "m.room.member", BOB, ban).await.expect("banned");
        let seen = scene.seen(ALICE).await;
        let said = seen.iter().filter(|pdu| pdu.content.get().contains("eight")).count();
        assert_eq!(said, if who == RITA { 0 } else { 7 }, "{who} {how}");
        scene.world.check_tables(who).await;
    }
    // Who is invited brings the rule, also to what asks them in, and what they decline with.
    let scene = Scene::open(&PLATFORMS, true, "public").await;
    let (rooms, room_id, rita) = (&scene.world.rooms, &scene.room_id, user(RITA));
    rooms.invite(&user(BOB), room_id, &rita, REASON, scene.now()).await.expect("invited");
    rooms.leave_room(&rita, room_id, REASON, scene.now()).await.expect("declined");
    assert!(scene.seen(ALICE).await.iter().all(|pdu| !pdu.content.get().contains("eight")));
}

#[tokio::test]
async fn what_runs_a_room_is_unaffected() {
    for (who, how, ..) in COMPANY {
        let mut scene = Scene::open(&PLATFORMS, who == RITA, "public").await;
        bring(&scene, who, how).await;
        let rooms = scene.world.rooms.clone();
        for (event_type, content) in [
            ("m.room.name", json!({ "name": "a name" })),
            ("m.room.topic", json!({ "topic": "what we talk about" })),
            ("m.room.pinned_events", json!({ "pinned": [] })),
            ("m.room.join_rules", json!({ "join_rule": "public" })),
            ("com.example.settings", json!({ "body": "words" })),
        ] {
            scene.set(ALICE, event_type, "", content).await.expect("set");
        }
        let name = Some(json!("Robert"));
        rooms.set_profile_field(&user(BOB), "displayname", name.clone(), 3_000).await.expect("named");
        if how == "joined" {
            rooms.set_profile_field(&user(who), "displayname", name, 3_001).await.expect("named");
            let member = rooms.state_event(&scene.room_id, &StateEventType::RoomMember, who).await;
            assert!(member.expect("read").expect("a member").content.get().contains("Robert"));
        }
        let own = if who == FINN { said("oops") } else { sealed() };
        let event_type = if who == FINN { "m.room.message" } else { "m.room.encrypted" };
        let event_id = scene.send(BOB, event_type, own).await.expect("sent");
        let redaction = scene.redact(BOB, &event_id).await.expect("redacted");
        let gone = rooms.event(&scene.room_id, &event_id).await.expect("read").expect("an event");
        assert_eq!(gone.pdu.content.get(), "{}");
        let redaction = rooms.event(&scene.room_id, &redaction).await.expect("read").expect("an event");
        // Of a redaction the words go, where words do.
        let has_reason = redaction.pdu.content.get().contains("eight");
        assert_eq!(has_reason, who == FINN || matches!(how, "never there" | "left"), "{who} {how}");
        rooms.leave_room(&user(BOB), &scene.room_id, Some("bye"), 3_002).await.expect("left");
        scene.world.check_tables(&format!("{who} {how}")).await;
    }
}
