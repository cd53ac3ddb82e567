//! Every way in which somebody comes in.

use linkspan_rooms::Inserted;
use ruma::events::room::member::MembershipState;
use serde_json::json;

use crate::scene::*;
use crate::world::user;

/// The ways in which somebody comes in.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Door {
    Join,
    JoinAsState,
    Restricted,
    Invite,
    InviteAsState,
    InviteElsewhere,
    Knock,
    KnockAsState,
    AnswerToKnock,
    AcceptedInvitation,
}

pub(crate) const DOORS: [Door; 10] = [
    Door::Join,
    Door::JoinAsState,
    Door::Restricted,
    Door::Invite,
    Door::InviteAsState,
    Door::InviteElsewhere,
    Door::Knock,
    Door::KnockAsState,
    Door::AnswerToKnock,
    Door::AcceptedInvitation,
];

pub(crate) async fn come_in(scene: &mut Scene, door: Door, who: &str, context: &str) -> Outcome {
    let rooms = scene.world.rooms.clone();
    let (room_id, who_id) = (scene.room_id.clone(), user(who));
    let as_member = |membership: &str| json!({ "membership": membership });
    match door {
        Door::Join | Door::Restricted | Door::AcceptedInvitation => {
            outcome(rooms.join_room(&who_id, &room_id, None, 4_000).await, context)
        }
        Door::JoinAsState => outcome(scene.set(who, "m.room.member", who, as_member("join")).await, context),
        Door::Invite | Door::AnswerToKnock => {
            outcome(rooms.invite(&user(BOB), &room_id, &who_id, None, 4_000).await, context)
        }
        Door::InviteAsState => {
            outcome(scene.set(BOB, "m.room.member", who, as_member("invite")).await, context)
        }
        Door::InviteElsewhere => {
            let invited = scene.inserted("m.room.member", Some(who), as_member("invite"), false).await;
            if invited.is_err() {
                assert_eq!(rooms.membership(&room_id, &who_id).await.expect("read"), None, "{context}");
            }
            invited
        }
        Door::Knock => outcome(rooms.knock(&who_id, &room_id, None, 4_000).await, context),
        Door::KnockAsState => {
            outcome(scene.set(who, "m.room.member", who, as_member("knock")).await, context)
        }
    }
}

/// A room, before there were rules, in which somebody has knocked or is invited, and then the rules.
pub(crate) async fn before_rules(door: Door, encrypted: bool, who: &str, other: Option<&str>) -> Scene {
    let join_rule = match door {
        Door::Restricted => "restricted",
        Door::Knock | Door::KnockAsState | Door::AnswerToKnock => "knock",
        _ => "public",
    };
    let mut scene = Scene::open(&LENIENT, encrypted, join_rule).await;
    if let Some(other) = other {
        scene
            .world
            .rooms
            .invite(&user(BOB), &scene.room_id, &user(other), None, 2_000)
            .await
            .expect("invited");
    }
    if door == Door::AnswerToKnock {
        scene.world.rooms.knock(&user(who), &scene.room_id, None, 2_000).await.expect("knocked");
    }
    if door == Door::AcceptedInvitation {
        scene.world.rooms.invite(&user(BOB), &scene.room_id, &user(who), None, 2_000).await.expect("invited");
    }
    scene.world = scene.world.reopen(&PLATFORMS).await;
    scene
}

#[tokio::test]
async fn every_way_of_coming_in() {
    for door in DOORS {
        for (encrypted, other, who, expected) in [
            (true, None, RITA, Ok(())),
            (false, None, RITA, Err(REQUIRED)),
            (true, Some(ROLF), RITA, Ok(())),
            (true, Some(FRED), RITA, Err(EXCLUDE)),
            (false, Some(FRED), RITA, Err(EXCLUDE)),
            (false, None, FINN, Ok(())),
            (true, None, FINN, Err(FORBIDDEN)),
            (false, Some(FRED), FINN, Ok(())),
            (true, Some(ROLF), FINN, Err(EXCLUDE)),
        ] {
            let context = format!("{who} by {door:?}, encrypted: {encrypted}, with {other:?}");
            let mut scene = before_rules(door, encrypted, who, other).await;
            let got = come_in(&mut scene, door, who, &context).await;
            // Of what is hidden only the words say which rule it was.
            let expected = match (door, expected) {
                (Door::InviteElsewhere, Err(EXCLUDE)) => Err(REQUIRED),
                (_, expected) => expected,
            };
            assert_eq!(got, expected, "{context}");
            // People without a rule may always come.
            scene.world.rooms.leave_room(&user(BOB), &scene.room_id, None, 5_000).await.expect("left");
            scene
                .world
                .rooms
                .invite(&user(ALICE), &scene.room_id, &user(BOB), None, 5_001)
                .await
                .expect("back");
            scene.world.check_tables(&context).await;
        }
    }
}

#[tokio::test]
async fn what_was_refused_does_not_come_with_what_follows_it() {
    for (encrypted, who, event_type, key, content) in [
        (false, None, "m.room.member", RITA, json!({ "membership": "invite" })),
        (true, None, "m.room.member", FINN, json!({ "membership": "invite" })),
        (true, Some(RITA), "m.room.member", FINN, json!({ "membership": "invite" })),
        (true, Some(RITA), "m.room.message", "x", said("hello")),
        (true, Some(RITA), "m.room.encryption", "", json!({})),
        (false, Some(FINN), "m.room.encryption", "", algorithm()),
        (false, Some(FINN), "m.room.encrypted", "x", sealed()),
    ] {
        // With another change of the state that follows it, which is taken, and without.
        for topic in [None, Some("m.room.topic")] {
            let context = format!("{event_type} {key} with {who:?}, then {topic:?}");
            let mut scene = Scene::open(&PLATFORMS, encrypted, "public").await;
            if let Some(who) = who {
                scene.world.rooms.join_room(&user(who), &scene.room_id, None, 4_000).await.expect("joined");
            }
            let before = scene.world.current(&scene.room_id).await;
            let mut graph = scene.graph().await;
            graph.clock = scene.now();
            let refused = graph.event(CAROL, event_type, Some(key), content.clone(), &[]);
            let became = scene.world.insert(&graph, &refused).await;
            assert!(matches!(became, Inserted::SoftFailed(_)), "{context}: {became:?}");
            let mut last = refused;
            for emoji in ["👍", "👎", "🎉"] {
                let relation = json!({ "rel_type": "m.annotation", "event_id": scene.before, "key": emoji });
                let (event_type, key, content) = match topic {
                    Some(topic) => (topic, Some(""), json!({ "topic": emoji })),
                    None => ("m.reaction", None, json!({ "m.relates_to": relation })),
                };
                last = graph.event(CAROL, event_type, key, content, &[&last]);
                let became = scene.world.insert(&graph, &last).await;
                assert!(matches!(became, Inserted::InTimeline(_)), "{context}: {became:?}");
                scene.world.check_tables(&context).await;
                let mut current = scene.world.current(&scene.room_id).await;
                if let Some(topic) = topic {
                    assert_eq!(
                        current.remove(&(topic.into(), String::new())),
                        Some(last.clone()),
                        "{context}"
                    );
                }
                assert_eq!(current, before, "{context}");
            }
            // Nor with what is sent here, or after the room is loaded anew.
            scene.set(ALICE, "m.room.name", "", json!({ "name": "a name" })).await.expect("set");
            scene.world = scene.world.copy().await;
            let mut current = scene.world.current(&scene.room_id).await;
            current.retain(|entry, _| before.contains_key(entry));
            assert_eq!(current, before, "{context}");
            scene.world.check_tables(&context).await;
            if who.is_none() {
                scene.send(ALICE, "m.room.message", said("hello")).await.expect("nobody came who minds");
            }
        }
    }
}

#[tokio::test]
async fn spaces_are_open_to_everybody_and_no_place_to_talk() {
    let mut scene = Scene::open(&PLATFORMS, false, "public").await;
    scene.room_id = scene.other_room().await;
    for who in [RITA, FINN] {
        let rooms = scene.world.rooms.clone();
        assert_eq!(
            rooms.membership(&scene.room_id, &user(who)).await.expect("read"),
            Some(MembershipState::Join)
        );
    }
    assert_eq!(outcome(scene.send(ALICE, "m.room.message", said("hello")).await, "said"), Err(REQUIRED));
    assert_eq!(outcome(scene.send(ALICE, "m.room.encrypted", sealed()).await, "sealed"), Err(FORBIDDEN));
    scene
        .set(ALICE, "m.space.child", "!room:a.localhost", json!({ "via": ["a.localhost"] }))
        .await
        .expect("a child");
}
