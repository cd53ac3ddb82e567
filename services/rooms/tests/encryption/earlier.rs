//! What was said before somebody came, or before there was a rule; and what goes past rooms.

use linkspan_domain::EncryptionRule;
use linkspan_rooms::{EventFilter, Reader, RelationQuery, Search, SearchKey, Target, ToDeviceMessage};
use serde_json::{Value, json};

use crate::saying::bring;
use crate::scene::*;
use crate::world::user;

#[tokio::test]
async fn what_was_said_before_is_kept_from_who_comes_later() {
    let mut scene = Scene::open(&PLATFORMS, false, "public").await;
    let root = scene.send(ALICE, "m.room.message", said("secret root")).await.expect("sent");
    let mut reply = said("secret reply");
    reply["m.relates_to"] = json!({ "rel_type": "m.thread", "event_id": root });
    let reply = scene.send(BOB, "m.room.message", reply).await.expect("sent");
    scene.set(ALICE, "m.room.message", "", said("secret state")).await.expect("set");
    scene.set(ALICE, "m.room.encryption", "", algorithm()).await.expect("turned on");
    let first = scene.send(ALICE, "m.room.encrypted", sealed()).await.expect("sent");
    let mut answer = sealed();
    answer["m.relates_to"] = json!({ "rel_type": "m.thread", "event_id": first });
    let answer = scene.send(ALICE, "m.room.encrypted", answer).await.expect("sent");
    let mut late = said("secret late reply");
    late["m.relates_to"] = json!({ "rel_type": "m.thread", "event_id": first });
    scene.send(BOB, "m.room.message", late).await.expect("sent, nobody is there yet who minds");
    let mut edit = sealed();
    edit["body"] = json!("secret edit");
    edit["m.relates_to"] = json!({ "rel_type": "m.replace", "event_id": first });
    scene.send(ALICE, "m.room.encrypted", edit).await.expect("sent");
    let gone = scene.send(ALICE, "m.room.encrypted", sealed()).await.expect("sent");
    scene.count += 1;
    let rooms = scene.world.rooms.clone();
    let reason = Some("secret reason");
    rooms
        .redact_event(&user(ALICE), &device(), &scene.room_id, &gone, reason, "redact", 6_000)
        .await
        .expect("redacted");

    rooms.join_room(&user(RITA), &scene.room_id, None, 7_000).await.expect("joined");
    let reader = device();
    let reader = Reader { device_id: &reader, now_ts: 9_000, with_room_id: true };
    for (who, sees) in [(BOB, true), (RITA, false)] {
        let id = user(who);
        let mut view = rooms.view(&id, &scene.room_id).await.expect("a view");
        let mut shown = Vec::new();
        let everything = rooms
            .messages(&mut view, None, None, true, 1_000, &EventFilter::default())
            .await
            .expect("a page");
        shown.extend(rooms.render_all(&mut view, &everything.events, reader).await.expect("rendered"));
        let related = RelationQuery { limit: 100, recurse: true, ..RelationQuery::default() };
        let relations = rooms.relations(&mut view, &first, &related).await.expect("relations");
        shown.extend(rooms.render_all(&mut view, &relations.events, reader).await.expect("rendered"));
        let threads = rooms.threads(&mut view, false, None, 100).await.expect("threads");
        assert_eq!(threads.events.len(), if sees { 2 } else { 1 });
        shown.extend(rooms.render_all(&mut view, &threads.events, reader).await.expect("rendered"));
        let context =
            rooms.context(&mut view, &first, 100, &EventFilter::default()).await.expect("a context");
        shown.extend(
            rooms
                .render_all(&mut view, context.before.iter().chain(&context.after), reader)
                .await
                .expect("it"),
        );
        shown.extend(rooms.render_state(&context.state, reader));
        let state = rooms.get_state(&id, &scene.room_id).await.expect("a state");
        shown.extend(rooms.render_state(&state, reader));
        for hidden in [&root, &reply] {
            let got = rooms.get_event(&id, &scene.room_id, hidden, reader).await;
            assert_eq!(got.is_ok(), sees, "{who}: {got:?}");
            assert_eq!(
                rooms.context(&mut view, hidden, 10, &EventFilter::default()).await.is_ok(),
                sees,
                "{who}"
            );
        }
        let entry = rooms.get_state_event(&id, &scene.room_id, &"m.room.message".into(), "").await;
        assert_eq!(entry.is_ok(), sees, "{who}");
        let search = Search {
            words: "secret".to_owned(),
            rooms: None,
            keys: vec![SearchKey::Body],
            by_rank: false,
            from: None,
            limit: 100,
        };
        let found = rooms.search(&id, &search, &EventFilter::default()).await.expect("found");
        assert_eq!(!found.results.is_empty(), sees, "{who}");
        let secrets: Vec<_> = shown.iter().filter(|event| event.get().contains("secret")).collect();
        assert_eq!(!secrets.is_empty(), sees, "{who} is shown {secrets:?}");
        // What was sealed is there, with its thread.
        let one = rooms.get_event(&id, &scene.room_id, &first, reader).await.expect("an event");
        let one: Value = serde_json::from_str(one.get()).expect("JSON");
        let latest = &one["unsigned"]["m.relations"]["m.thread"]["latest_event"]["event_id"];
        assert_eq!(latest == answer.as_str(), !sees, "{who}: {one}");
    }
    // It is the reader's rule, not the room's: who was there goes on seeing it.
    assert!(scene.seen(ALICE).await.iter().any(|pdu| pdu.content.get().contains("secret")));
}

#[tokio::test]
async fn what_was_sealed_before_is_kept_from_who_forbids_it() {
    let mut scene = Scene::open(&PLATFORMS, false, "public").await;
    let sealed = scene.send(ALICE, "m.room.encrypted", sealed()).await.expect("nobody minds yet");
    scene.world.rooms.join_room(&user(FINN), &scene.room_id, None, 7_000).await.expect("joined");
    let sees = |seen: Vec<linkspan_domain::SharedPdu>| seen.iter().any(|pdu| pdu.event_id == sealed);
    assert!(sees(scene.seen(BOB).await));
    assert!(!sees(scene.seen(FINN).await));
}

#[tokio::test]
async fn a_rule_that_is_new_holds_for_who_is_there_already() {
    let mut scene = Scene::open(&LENIENT, false, "public").await;
    bring(&scene, RITA, "joined").await;
    scene.send(ALICE, "m.room.message", said("hello")).await.expect("no rule yet");
    scene.world = scene.world.reopen(&PLATFORMS).await;
    for sender in [ALICE, RITA] {
        let refused = scene.send(sender, "m.room.message", said("hello")).await;
        assert_eq!(outcome(refused, sender), Err(REQUIRED));
    }
    assert!(scene.seen(RITA).await.iter().all(|pdu| !EncryptionRule::Required.hides(pdu)));
    scene.set(ALICE, "m.room.encryption", "", algorithm()).await.expect("turned on");
    scene.send(RITA, "m.room.encrypted", sealed()).await.expect("sent");
}

#[tokio::test]
async fn to_devices_nothing_goes_that_belongs_into_a_room() {
    let scene = Scene::open(&PLATFORMS, true, "public").await;
    let to = |who: &str, content: &Value| ToDeviceMessage {
        user_id: user(who),
        target: Target::AllDevices,
        content: serde_json::value::to_raw_value(content).expect("JSON"),
    };
    let (olm, hello) = (crate::sealed::to_device(), said("hello"));
    for (sender, target, event_type, content, expected) in [
        (ALICE, BOB, "m.room.message", &hello, Ok(())),
        (ALICE, RITA, "m.room.message", &hello, Err(REQUIRED)),
        (RITA, ALICE, "m.room.message", &hello, Err(REQUIRED)),
        (ALICE, BOB, "m.room.encrypted", &hello, Ok(())),
        (ALICE, RITA, "m.room.encrypted", &olm, Ok(())),
        (RITA, RITA, "m.room.encrypted", &olm, Ok(())),
        (ALICE, RITA, "m.room.encrypted", &hello, Err(REQUIRED)),
        (ALICE, RITA, "m.room.encrypted", &sealed(), Err(REQUIRED)),
        (RITA, RITA, "m.room.encrypted", &hello, Err(REQUIRED)),
        (ALICE, RITA, "m.key.verification.request", &hello, Ok(())),
        (ALICE, FINN, "m.room.message", &hello, Ok(())),
        (ALICE, FINN, "m.room.encrypted", &olm, Err(FORBIDDEN)),
        (FRED, FINN, "m.room.encrypted", &olm, Err(FORBIDDEN)),
        (FINN, FINN, "m.room.encrypted", &olm, Ok(())),
        (FRED, FINN, "m.key.verification.request", &hello, Ok(())),
        (FINN, ALICE, "m.room_key_request", &hello, Ok(())),
    ] {
        let context = format!("{sender} to {target}: {event_type} {content}");
        let (sender_id, own) = (user(sender), device());
        let mut messages = vec![to(target, content)];
        if sender == ALICE {
            messages.insert(0, to(BOB, content));
        }
        let sent =
            scene.world.rooms.send_to_device(&sender_id, &own, event_type, &context[..40], messages, 6_000);
        assert_eq!(outcome(sent.await, &context), expected, "{context}");
    }
}
