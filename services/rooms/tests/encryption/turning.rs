//! Encryption that is turned on and off.

use linkspan_rooms::Inserted;
use ruma::events::StateEventType;
use serde_json::json;

use crate::saying::{COMPANY, bring};
use crate::scene::*;

#[tokio::test]
async fn encryption_cannot_be_turned_where_a_rule_says_no() {
    for (who, how, required, forbidden) in COMPANY {
        for (content, on) in [
            (json!({}), false),
            (json!({ "algorithm": null }), false),
            (json!({ "algorithm": "com.example.rot13" }), true),
            (json!({ "algorithm": ["m.megolm.v1.aes-sha2"] }), true),
        ] {
            let context = format!("{who} {how}: {content}");
            let mut scene = Scene::open(&PLATFORMS, who == RITA, "public").await;
            bring(&scene, who, how).await;
            let before = scene.encryption().await;
            let expected = match (required, forbidden) {
                (true, _) => Err(REQUIRED),
                (_, true) if on => Err(FORBIDDEN),
                _ => Ok(()),
            };
            let beside = scene.inserted("m.room.encryption", Some(""), content.clone(), false).await;
            assert_eq!(beside, expected, "{context}, elsewhere");
            let set = scene.set(BOB, "m.room.encryption", "", content).await;
            assert_eq!(outcome(set, &context), expected, "{context}");
            assert_eq!(scene.encryption().await == before, expected.is_err(), "{context}");
            scene.world.check_tables(&context).await;
            scene.count += 1;
        }
        let scene = Scene::open(&PLATFORMS, who == RITA, "public").await;
        bring(&scene, who, how).await;
        let mut good = algorithm();
        good["rotation_period_msgs"] = json!(50);
        let set = scene.set(ALICE, "m.room.encryption", "", good).await;
        assert_eq!(outcome(set, how), if forbidden { Err(FORBIDDEN) } else { Ok(()) }, "{who} {how}");
    }
}

#[tokio::test]
async fn what_turned_encryption_on_cannot_be_redacted() {
    for (how, kept) in [("joined", true), ("invited", true), ("left", false)] {
        for elsewhere in [false, true] {
            let mut scene = Scene::open(&PLATFORMS, true, "public").await;
            bring(&scene, RITA, how).await;
            let event =
                scene.world.rooms.state_event(&scene.room_id, &StateEventType::RoomEncryption, "").await;
            let event_id = event.expect("read").expect("an event").event_id.clone();
            if elsewhere {
                let levels = json!({ "users": { CAROL: 100 }, "redact": 50 });
                scene.set(ALICE, "m.room.power_levels", "", levels).await.expect("set");
                let content = json!({ "redacts": event_id });
                let (_, became) = scene.insert(CAROL, "m.room.redaction", None, content, false).await;
                assert!(matches!(became, Inserted::InTimeline(_)));
            } else {
                let redacted = outcome(scene.redact(ALICE, &event_id).await, how);
                assert_eq!(redacted, if kept { Err(REQUIRED) } else { Ok(()) }, "{how}");
            }
            assert_eq!(scene.encryption().await == algorithm(), kept, "{how}, elsewhere: {elsewhere}");
            scene.world.check_tables(how).await;
        }
    }
}
