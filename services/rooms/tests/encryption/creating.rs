//! Rooms that are created, and those that replace others.

use linkspan_rooms::Preset;
use ruma::{CanonicalJsonObject, RoomVersionId, events::StateEventType};
use serde_json::json;

use crate::saying::bring;
use crate::scene::*;
use crate::world::{object, user};

#[tokio::test]
async fn every_way_of_creating_a_room() {
    let weak = || Some(json!({ "algorithm": "com.example.rot13" }));
    let none = || Some(json!({}));
    let strong = || Some(algorithm());
    for (creator, invited, given, expected) in [
        (ALICE, vec![], None, Ok(false)),
        (ALICE, vec![], strong(), Ok(true)),
        (ALICE, vec![BOB], None, Ok(false)),
        // Somebody needs it.
        (RITA, vec![], None, Ok(true)),
        (RITA, vec![], strong(), Ok(true)),
        (RITA, vec![], weak(), Ok(true)),
        (RITA, vec![], none(), Ok(true)),
        (RITA, vec![ALICE], None, Ok(true)),
        (ALICE, vec![BOB, RITA], None, Ok(true)),
        (ALICE, vec![RITA], none(), Ok(true)),
        (RITA, vec![ROLF], None, Ok(true)),
        // Somebody cannot have it.
        (FINN, vec![], None, Ok(false)),
        (FINN, vec![ALICE, FRED], None, Ok(false)),
        (ALICE, vec![FINN], None, Ok(false)),
        (FINN, vec![], none(), Ok(false)),
        (FINN, vec![], strong(), Err(FORBIDDEN)),
        (FINN, vec![], weak(), Err(FORBIDDEN)),
        (ALICE, vec![BOB, FINN], strong(), Err(FORBIDDEN)),
        // Both.
        (RITA, vec![FINN], None, Err(EXCLUDE)),
        (FINN, vec![RITA], None, Err(EXCLUDE)),
        (FINN, vec![RITA], strong(), Err(EXCLUDE)),
        (ALICE, vec![RITA, FINN], None, Err(EXCLUDE)),
    ] {
        for preset in [Preset::PrivateChat, Preset::TrustedPrivateChat, Preset::PublicChat] {
            for version in [RoomVersionId::V6, RoomVersionId::V12] {
                let context = format!("{creator} with {invited:?}, {given:?}, {preset:?}, {version}");
                let scene = Scene::open(&PLATFORMS, false, "public").await;
                let mut command = command(preset);
                command.version = Some(version);
                command.power_levels = CanonicalJsonObject::new();
                command.is_direct = true;
                command.alias_name = Some("a-room".to_owned());
                command.invite = invited.iter().map(|user_id| user(user_id)).collect();
                command
                    .initial_state
                    .extend(given.clone().map(|content| state("m.room.encryption", content)));
                let made = scene.world.rooms.create_room(&user(creator), command, 7_000).await;
                match (&made, expected) {
                    (Ok(room_id), Ok(encrypted)) => {
                        let scene = Scene { room_id: room_id.clone(), ..scene };
                        let is = scene.encryption().await["algorithm"] == "m.megolm.v1.aes-sha2";
                        assert_eq!(is, encrypted, "{context}");
                        scene.world.check_tables(&context).await;
                    }
                    (_, expected) => {
                        assert_eq!(outcome(made, &context), expected.map(drop), "{context}");
                        let kept = scene.world.rooms.joined_rooms(&user(creator)).await.expect("read");
                        assert_eq!(kept.len(), usize::from(creator == ALICE), "{context}: {kept:?}");
                    }
                }
            }
        }
    }
}

#[tokio::test]
async fn a_message_cannot_be_smuggled_in_with_a_room() {
    let hello = [("m.room.message", said("hello")), ("com.example.note", said("hello"))];
    let closed = [("m.room.encrypted", sealed())];
    let cases: [(&str, &[&str], &[_], Outcome); 8] = [
        (RITA, &[], &hello, Err(REQUIRED)),
        (RITA, &[BOB], &hello, Err(REQUIRED)),
        (ALICE, &[RITA], &hello, Err(REQUIRED)),
        (ALICE, &[BOB, RITA], &hello, Err(REQUIRED)),
        (ALICE, &[BOB], &hello, Ok(())),
        (FINN, &[], &closed, Err(FORBIDDEN)),
        (ALICE, &[BOB, FINN], &closed, Err(FORBIDDEN)),
        (ALICE, &[BOB], &closed, Ok(())),
    ];
    for (creator, invited, contents, expected) in cases {
        for (event_type, content) in contents {
            for kind in [None, Some("m.space")] {
                let context = format!("{creator} with {invited:?}: {event_type} in {kind:?}");
                let scene = Scene::open(&PLATFORMS, false, "public").await;
                let mut command = command(Preset::PrivateChat);
                command.creation_content =
                    kind.map_or_else(CanonicalJsonObject::new, |kind| object(json!({ "type": kind })));
                command.invite = invited.iter().map(|user_id| user(user_id)).collect();
                command.initial_state.push(state(event_type, content.clone()));
                let before = scene.world.rooms.memberships(&user(RITA)).await.expect("read").len();
                let made = scene.world.rooms.create_room(&user(creator), command, 7_000).await;
                assert_eq!(outcome(made, &context), expected, "{context}");
                let after = scene.world.rooms.memberships(&user(RITA)).await.expect("read").len();
                assert_eq!(before, after, "{context}");
                scene.world.check_tables(&context).await;
            }
        }
    }
}

#[tokio::test]
async fn a_room_stays_encrypted_when_it_is_upgraded() {
    // Whether the old room was encrypted, who is in it, and what becomes of the new one.
    for (encrypted, who, expected) in [
        (true, None, Ok(true)),
        (false, None, Ok(false)),
        (true, Some(RITA), Ok(true)),
        (false, Some(RITA), Ok(true)),
        (false, Some(FINN), Ok(false)),
    ] {
        for by in [ALICE, BOB] {
            let context = format!("encrypted: {encrypted}, with {who:?}, by {by}");
            let mut scene = Scene::open(&LENIENT, encrypted, "public").await;
            if let Some(who) = who {
                bring(&scene, who, "joined").await;
            }
            scene.world = scene.world.reopen(&PLATFORMS).await;
            let levels =
                json!({ "users": { BOB: 100 }, "events": { "m.room.tombstone": 100 }, "state_default": 0 });
            scene.set(ALICE, "m.room.power_levels", "", levels).await.expect("set");
            let rooms = scene.world.rooms.clone();
            let made = rooms.upgrade_room(&user(by), &scene.room_id, RoomVersionId::V11, vec![], 8_000).await;
            let new = match (made, expected) {
                (Ok(new), Ok(_)) => new,
                (made, expected) => {
                    assert_eq!(outcome(made, &context), expected.map(drop), "{context}");
                    continue;
                }
            };
            let mut scene = Scene { room_id: new, ..scene };
            let on = scene.encryption().await == algorithm();
            assert_eq!(Ok(on), expected, "{context}");
            // Who follows finds the rule kept; and who follows first is not the last.
            if let Some(who) = who {
                rooms.join_room(&user(who), &scene.room_id, None, 8_001).await.expect("followed");
                let refused = outcome(scene.send(by, "m.room.message", said("hello")).await, &context);
                assert_eq!(refused, if who == RITA { Err(REQUIRED) } else { Ok(()) }, "{context}");
            }
            scene.world.check_tables(&context).await;
        }
    }
}

#[tokio::test]
async fn who_requires_encryption_can_have_no_successor_without() {
    let mut scene = Scene::open(&LENIENT, true, "public").await;
    bring(&scene, FINN, "joined").await;
    scene.world = scene.world.reopen(&PLATFORMS).await;
    let levels = json!({ "users": { FINN: 100 }, "events": { "m.room.tombstone": 100 }, "state_default": 0 });
    scene.set(ALICE, "m.room.power_levels", "", levels).await.expect("set");
    let rooms = scene.world.rooms.clone();
    // Of an encrypted room no successor is made by somebody who cannot be in one that is encrypted.
    let made = rooms.upgrade_room(&user(FINN), &scene.room_id, RoomVersionId::V11, vec![], 8_000).await;
    assert_eq!(outcome(made, "an upgrade"), Err(FORBIDDEN));
    let tombstone =
        rooms.state_event(&scene.room_id, &StateEventType::RoomTombstone, "").await.expect("read");
    assert!(tombstone.is_none());
}
