//! Platforms that require end-to-end encryption, or forbid it: what clients are told when they break a rule,
//! and what they are never shown.

use http::Method;
use linkspan_platforms::Encryption;
use linkspan_tests::sealed as fake;
use serde_json::{Value, json};

use crate::{
    keys::{DEHYDRATED, dehydrated},
    network::{Client, INSTAGRAM, MESSENGER, Network, WHATSAPP, each, encoded, list, text},
};

const REQUIRED: &str = "encryption_required";
const FORBIDDEN: &str = "encryption_forbidden";
const EXCLUDE: &str = "encryption_rules_exclude";

/// A network in which whatsapp requires encryption, messenger forbids it, and instagram leaves it to its
/// people.
async fn open() -> Network {
    Network::with_rules(|platform| match platform {
        WHATSAPP => Encryption::Required,
        MESSENGER => Encryption::Forbidden,
        _ => Encryption::Optional,
    })
    .await
}

fn on() -> Value {
    json!({ "algorithm": "m.megolm.v1.aes-sha2" })
}

fn sealed() -> Value {
    fake::to_room()
}

fn said(words: &str) -> Value {
    json!({ "msgtype": "m.text", "body": words })
}

async fn encryption(client: &Client, room: &str) -> Value {
    client.get(&format!("/v3/rooms/{room}/state/m.room.encryption")).await.json
}

#[tokio::test]
async fn who_begins_an_impossible_chat_is_told_at_once() {
    let network = open().await;
    let wanda = network.register(WHATSAPP, "wanda").await;
    let max = network.register(MESSENGER, "max").await;
    for (from, to) in [(&wanda, &max), (&max, &wanda)] {
        let chat = json!({ "preset": "trusted_private_chat", "is_direct": true, "invite": [to.user_id] });
        from.post("/v3/createRoom", chat).await.breaks(EXCLUDE, &[WHATSAPP, MESSENGER]);
        let room = from.create_room(json!({ "preset": "private_chat" })).await;
        from.invite(&room, to).await.breaks(EXCLUDE, &[WHATSAPP, MESSENGER]);
    }
    // Nothing has come of it.
    for who in [&wanda, &max] {
        let synced = who.get("/v3/sync").await.ok();
        assert!(synced["rooms"]["invite"].as_object().is_none_or(serde_json::Map::is_empty), "{synced}");
    }
}

#[tokio::test]
async fn rooms_are_created_as_the_platform_wants() {
    let network = open().await;
    let wanda = network.register(WHATSAPP, "wanda").await;
    let max = network.register(MESSENGER, "max").await;
    let ina = network.register(INSTAGRAM, "ina").await;
    let off = json!([{ "type": "m.room.encryption", "content": {} }]);
    for body in [json!({}), json!({ "preset": "public_chat" }), json!({ "initial_state": off })] {
        let room = wanda.create_room(body).await;
        assert_eq!(encryption(&wanda, &room).await, on());
    }
    // A user who starts a chat with her starts an encrypted one.
    let room = ina.create_room(json!({ "is_direct": true, "invite": [wanda.user_id] })).await;
    assert_eq!(encryption(&ina, &room).await, on());
    wanda.join(&room).await.ok();

    let room = max.create_room(json!({ "invite": [ina.user_id] })).await;
    assert_eq!(encryption(&max, &room).await["errcode"], "M_NOT_FOUND");
    let with = json!({ "initial_state": [{ "type": "m.room.encryption", "content": on() }] });
    max.post("/v3/createRoom", with.clone()).await.breaks(FORBIDDEN, &[MESSENGER]);
    let mut with_him = with;
    with_him["invite"] = json!([max.user_id]);
    ina.post("/v3/createRoom", with_him).await.breaks(FORBIDDEN, &[MESSENGER]);
}

#[tokio::test]
async fn nobody_talks_in_the_clear_with_who_requires_encryption() {
    let network = open().await;
    let wanda = network.register(WHATSAPP, "wanda").await;
    let ina = network.register(INSTAGRAM, "ina").await;
    let room = ina.create_room(json!({ "invite": [wanda.user_id] })).await;
    wanda.join(&room).await.ok();
    for who in [&ina, &wanda] {
        who.try_send(&room, "m.room.message", said("hello")).await.breaks(REQUIRED, &[WHATSAPP]);
        who.try_send(&room, "com.example.any", json!({})).await.breaks(REQUIRED, &[WHATSAPP]);
    }
    let as_state = format!("/v3/rooms/{room}/state/m.room.message/x");
    ina.put(&as_state, said("hello")).await.breaks(REQUIRED, &[WHATSAPP]);
    let mut beside = sealed();
    beside["body"] = json!("hello");
    ina.try_send(&room, "m.room.encrypted", beside).await.breaks(REQUIRED, &[WHATSAPP]);
    ina.set_state(&room, "m.room.encryption", json!({})).await.breaks(REQUIRED, &[WHATSAPP]);
    let past = json!({ "messages": { wanda.user_id.as_str(): { "*": said("hello") } } });
    ina.put("/v3/sendToDevice/m.room.message/t1", past).await.breaks(REQUIRED, &[WHATSAPP]);

    for (field, text) in [
        ("ciphertext", "see you at eight"),
        ("ciphertext", "SeeYouAtEight"),
        ("ciphertext", "AwgAEnACgAkLmt6qF84IK"),
        ("session_id", "SeeYouAtEight"),
        ("sender_key", "SeeYouAtEight"),
        ("device_id", "see you at eight"),
    ] {
        let mut bogus = sealed();
        bogus[field] = json!(text);
        ina.try_send(&room, "m.room.encrypted", bogus).await.breaks(REQUIRED, &[WHATSAPP, "no ciphertext"]);
    }

    // Encrypted messages pass, and so do reactions and what runs the room.
    let event_id = ina.send(&room, "m.room.encrypted", sealed()).await;
    let react = |key: &str| json!({ "m.relates_to": { "rel_type": "m.annotation", "event_id": event_id, "key": key } });
    wanda.send(&room, "m.reaction", react("👍")).await;
    wanda.try_send(&room, "m.reaction", react("a")).await.breaks(REQUIRED, &[WHATSAPP]);
    wanda.try_send(&room, "m.reaction", react("see you at eight")).await.breaks(REQUIRED, &[WHATSAPP]);
    ina.set_state(&room, "m.room.topic", json!({ "topic": "boats" })).await.ok();
    ina.put(
        "/v3/profile/{}/displayname".replace("{}", &ina.user_id).as_str(),
        json!({ "displayname": "Ina" }),
    )
    .await
    .ok();
    let redact = format!("/v3/rooms/{room}/redact/{}/r1", encoded(&event_id));
    let redaction = text(&ina.put(&redact, json!({ "reason": "see you at nine" })).await.ok()["event_id"]);
    let redaction = wanda.get(&format!("/v3/rooms/{room}/event/{}", encoded(&redaction))).await.ok();
    assert_eq!(redaction["content"], json!({ "redacts": event_id }));
    let kick = json!({ "user_id": wanda.user_id, "reason": "see you at nine" });
    ina.post(&format!("/v3/rooms/{room}/kick"), kick).await.ok();
    let member = format!("/v3/rooms/{room}/state/m.room.member/{}", wanda.user_id);
    let kicked = ina.get(&member).await.ok();
    assert_eq!((&kicked["membership"], kicked.get("reason")), (&json!("leave"), None), "{kicked}");
}

#[tokio::test]
async fn nothing_in_the_clear_waits_to_be_sent() {
    let network = open().await;
    let wanda = network.register(WHATSAPP, "wanda").await;
    let max = network.register(MESSENGER, "max").await;
    let ina = network.register(INSTAGRAM, "ina").await;
    let below = "/unstable/org.matrix.msc4140";
    for (other, content, event_type, rule, platform) in [
        (&wanda, said("hello"), "m.room.message", REQUIRED, WHATSAPP),
        (&max, sealed(), "m.room.encrypted", FORBIDDEN, MESSENGER),
    ] {
        let room = ina.create_room(json!({ "invite": [other.user_id] })).await;
        other.join(&room).await.ok();
        for who in [&ina, other] {
            let delay = "org.matrix.msc4140.delay=3600000";
            let message = format!("/v3/rooms/{room}/send/{event_type}/{}?{delay}", who.next_transaction());
            who.put(&message, content.clone()).await.breaks(rule, &[platform]);
            let state = format!("/v3/rooms/{room}/state/{event_type}/x?{delay}");
            who.put(&state, content.clone()).await.breaks(rule, &[platform]);
            let transaction = who.next_transaction();
            let own = format!("{below}/rooms/{room}/delayed_event/{event_type}/{transaction}");
            let body = json!({ "delay": 3_600_000, "content": content });
            who.put(&own, body).await.breaks(rule, &[platform]);
            let kept = who.get(&format!("{below}/delayed_events?status=scheduled")).await.ok();
            assert_eq!(list(&kept["delayed_events"]).len(), 0, "{kept}");
        }
        // What runs the room waits as ever.
        let state = format!("/v3/rooms/{room}/state/org.matrix.msc3401.call.member/_{}_D", ina.user_id);
        ina.put(&format!("{state}?org.matrix.msc4140.delay=3600000"), json!({})).await.ok();
        for event in list(&ina.get(&format!("{below}/delayed_events")).await.ok()["delayed_events"]) {
            let path = format!("{below}/delayed_events/{}/cancel", text(&event["delay_id"]));
            ina.post(&path, json!({})).await.ok();
        }
        let ended = ina.get(&format!("{below}/delayed_events?status=scheduled")).await.ok();
        assert_eq!(list(&ended["delayed_events"]).len(), 0, "{ended}");
    }
}

#[tokio::test]
async fn receipts_tell_no_words() {
    let network = open().await;
    let wanda = network.register(WHATSAPP, "wanda").await;
    let ina = network.register(INSTAGRAM, "ina").await;
    let room = ina.create_room(json!({ "invite": [wanda.user_id] })).await;
    wanda.join(&room).await.ok();
    let root = ina.send(&room, "m.room.encrypted", sealed()).await;
    let mut reply = sealed();
    reply["m.relates_to"] = json!({ "rel_type": "m.thread", "event_id": root });
    let reply = wanda.send(&room, "m.room.encrypted", reply).await;
    for kind in ["m.read", "m.read.private"] {
        let path = format!("/v3/rooms/{room}/receipt/{kind}/{}", encoded(&reply));
        for thread in
            ["$see you at eight", "see you at eight", "$SeeYouAtEight", "", reply.trim_start_matches('$')]
        {
            ina.post(&path, json!({ "thread_id": thread })).await.fails(400, "M_INVALID_PARAM");
        }
        ina.post(&path, json!({ "thread_id": root })).await.ok();
        let path = format!("/v3/rooms/{room}/receipt/{kind}/{}", encoded(&root));
        ina.post(&path, json!({ "thread_id": "main" })).await.ok();
    }
    let told = wanda.get("/v3/sync").await.ok()["rooms"]["join"][&room]["ephemeral"].to_string();
    assert!(told.contains(&root) && !told.to_lowercase().contains("eight"), "{told}");
}

#[tokio::test]
async fn a_room_does_not_begin_with_a_message() {
    let network = open().await;
    let wanda = network.register(WHATSAPP, "wanda").await;
    let max = network.register(MESSENGER, "max").await;
    let ina = network.register(INSTAGRAM, "ina").await;
    for (other, event_type, content, rule, platform) in [
        (&wanda, "m.room.message", said("hello"), REQUIRED, WHATSAPP),
        (&max, "m.room.encrypted", sealed(), FORBIDDEN, MESSENGER),
    ] {
        for who in [&ina, other] {
            let begins = json!([{ "type": event_type, "state_key": "x", "content": content }]);
            let body = json!({ "invite": [other.user_id], "initial_state": begins });
            who.post("/v3/createRoom", body).await.breaks(rule, &[platform]);
        }
        let synced = other.get("/v3/sync").await.ok();
        assert!(synced["rooms"]["invite"].as_object().is_none_or(serde_json::Map::is_empty), "{synced}");
    }
}

#[tokio::test]
async fn what_goes_from_device_to_device_is_made_by_olm_or_goes_in_the_clear() {
    let network = open().await;
    let wanda = network.register(WHATSAPP, "wanda").await;
    let max = network.register(MESSENGER, "max").await;
    let ina = network.register(INSTAGRAM, "ina").await;
    let send = async |from: &Client, to: &Client, event_type: &str, content: Value| {
        let path = format!("/v3/sendToDevice/{event_type}/{}", from.next_transaction());
        from.put(&path, json!({ "messages": { &to.user_id: { "*": content } } })).await
    };
    for (from, to) in [(&ina, &wanda), (&wanda, &ina), (&wanda, &wanda)] {
        send(from, to, "m.room.encrypted", fake::to_device()).await.ok();
        for content in [said("hello"), json!({}), sealed()] {
            send(from, to, "m.room.encrypted", content).await.breaks(REQUIRED, &[WHATSAPP]);
        }
    }
    let news = list(&wanda.get("/v3/sync").await.ok()["to_device"]["events"]).len();
    assert_eq!(news, 2);
    for (from, to) in [(&ina, &max), (&max, &ina)] {
        send(from, to, "m.room.encrypted", fake::to_device()).await.breaks(FORBIDDEN, &[MESSENGER]);
        send(from, to, "m.key.verification.request", json!({ "from_device": "X" })).await.ok();
        send(from, to, "m.room_key_request", json!({ "action": "request" })).await.ok();
    }
    send(&max, &max, "m.room.encrypted", fake::to_device()).await.ok();
}

#[tokio::test]
async fn nobody_encrypts_with_who_forbids_it() {
    let network = open().await;
    let max = network.register(MESSENGER, "max").await;
    let ina = network.register(INSTAGRAM, "ina").await;
    let room = ina.create_room(json!({ "invite": [max.user_id] })).await;
    max.join(&room).await.ok();
    ina.say(&room, "hello").await;
    for who in [&ina, &max] {
        who.try_send(&room, "m.room.encrypted", sealed()).await.breaks(FORBIDDEN, &[MESSENGER]);
    }
    ina.set_state(&room, "m.room.encryption", on()).await.breaks(FORBIDDEN, &[MESSENGER]);
    max.leave(&room).await.ok();
    ina.set_state(&room, "m.room.encryption", on()).await.ok();
    ina.invite(&room, &max).await.breaks(FORBIDDEN, &[MESSENGER]);
}

#[tokio::test]
async fn a_room_in_the_clear_is_closed_to_who_requires_encryption() {
    let network = open().await;
    let wanda = network.register(WHATSAPP, "wanda").await;
    let ina = network.register(INSTAGRAM, "ina").await;
    let room = ina.create_room(json!({ "preset": "public_chat", "room_alias_name": "pier" })).await;
    ina.invite(&room, &wanda).await.breaks(REQUIRED, &[WHATSAPP, "not encrypted"]);
    wanda.join(&room).await.breaks(REQUIRED, &[WHATSAPP]);
    wanda.join(&format!("#pier:{INSTAGRAM}")).await.breaks(REQUIRED, &[WHATSAPP]);
    wanda.post(&format!("/v3/rooms/{room}/join"), json!({})).await.breaks(REQUIRED, &[WHATSAPP]);
    let member = format!("/v3/rooms/{room}/state/m.room.member/{}", wanda.user_id);
    wanda.put(&member, json!({ "membership": "join" })).await.breaks(REQUIRED, &[WHATSAPP]);
    ina.put(&member, json!({ "membership": "invite" })).await.breaks(REQUIRED, &[WHATSAPP]);
    ina.set_state(&room, "m.room.join_rules", json!({ "join_rule": "knock" })).await.ok();
    wanda.post(&format!("/v3/knock/{room}"), json!({})).await.breaks(REQUIRED, &[WHATSAPP]);
    ina.set_state(&room, "m.room.encryption", on()).await.ok();
    wanda.post(&format!("/v3/knock/{room}"), json!({})).await.ok();
    ina.invite(&room, &wanda).await.ok();
    wanda.join(&room).await.ok();
}

#[tokio::test]
async fn what_was_said_in_the_clear_is_not_shown_later() {
    let network = open().await;
    let wanda = network.register(WHATSAPP, "wanda").await;
    let ina = network.register(INSTAGRAM, "ina").await;
    let ivo = network.register(INSTAGRAM, "ivo").await;
    let room = ina.create_room(json!({ "preset": "public_chat" })).await;
    let early = ina.say(&room, "an early word").await;
    ina.set_state(&room, "m.room.message", said("an early word")).await.ok();
    ina.set_state(&room, "m.room.encryption", on()).await.ok();
    ina.send(&room, "m.room.encrypted", sealed()).await;
    let word = ina.say(&room, "an early word").await;
    for who in [&wanda, &ivo] {
        who.join(&room).await.ok();
    }
    for (who, sees) in [(&ivo, true), (&wanda, false)] {
        assert_eq!(!who.heard(&room).await.is_empty(), sees);
        for limit in [1, 100] {
            let filter = encoded(&json!({ "room": { "timeline": { "limit": limit } } }).to_string());
            let synced = who.get(&format!("/v3/sync?filter={filter}")).await.ok();
            let shown = &synced["rooms"]["join"][&room];
            assert_eq!(shown.to_string().contains("an early word"), sees, "{shown}");
            let sealed = each(&shown["timeline"]["events"], "type").contains(&"m.room.encrypted".to_owned());
            assert_eq!(sealed, limit == 100, "{shown}");
        }
        for event_id in [&early, &word] {
            let event_id = encoded(event_id);
            for path in ["event", "context", "relations"] {
                let prefix = if path == "relations" { "v1" } else { "v3" };
                let got = who.get(&format!("/{prefix}/rooms/{room}/{path}/{event_id}")).await;
                assert_eq!(got.status.is_success(), sees, "{path}: {}", got.json);
            }
        }
        let search = json!({ "search_categories": { "room_events": { "search_term": "early" } } });
        let found = who.post("/v3/search", search).await.ok();
        let results = list(&found["search_categories"]["room_events"]["results"]).len();
        assert_eq!(results > 0, sees, "{found}");
    }
}

#[tokio::test]
async fn an_upgraded_room_stays_encrypted() {
    let network = open().await;
    let wanda = network.register(WHATSAPP, "wanda").await;
    let ina = network.register(INSTAGRAM, "ina").await;
    let body = json!({ "room_version": "11", "preset": "public_chat", "invite": [wanda.user_id] });
    let room = ina.create_room(body).await;
    wanda.join(&room).await.ok();
    let upgraded = ina.post(&format!("/v3/rooms/{room}/upgrade"), json!({ "new_version": "12" })).await.ok();
    let new = text(&upgraded["replacement_room"]);
    assert_eq!(encryption(&ina, &new).await, on());
    wanda.join(&new).await.ok();
    ina.try_send(&new, "m.room.message", said("hello")).await.breaks(REQUIRED, &[WHATSAPP]);
}

#[tokio::test]
async fn verification_in_a_room_loses_its_words() {
    let network = open().await;
    let wanda = network.register(WHATSAPP, "wanda").await;
    let ina = network.register(INSTAGRAM, "ina").await;
    let igor = network.register(INSTAGRAM, "igor").await;
    for (other, keeps) in [(&wanda, false), (&igor, true)] {
        let room = ina.create_room(json!({ "is_direct": true, "invite": [other.user_id] })).await;
        other.join(&room).await.ok();
        let asked = json!({
            "msgtype": "m.key.verification.request", "from_device": "X", "methods": ["m.sas.v1"],
            "to": other.user_id, "body": "Ina wants to verify",
        });
        let request = ina.send(&room, "m.room.message", asked).await;
        let relation = json!({ "rel_type": "m.reference", "event_id": request });
        let step = json!({ "code": "m.user", "reason": "No time", "m.relates_to": relation });
        let cancel = other.send(&room, "m.key.verification.cancel", step).await;
        for (event, name, words) in [(request, "body", "Ina wants to verify"), (cancel, "reason", "No time")]
        {
            let shown = other.get(&format!("/v3/rooms/{room}/event/{event}")).await.ok();
            assert_eq!(shown["content"][name], if keeps { words } else { "" }, "{shown}");
        }
    }
}

#[tokio::test]
async fn clients_learn_what_new_rooms_are_to_be() {
    let network = open().await;
    for (platform, hint) in [
        (INSTAGRAM, Value::Null),
        (WHATSAPP, json!({ "default": true, "force_disable": false })),
        (MESSENGER, json!({ "default": false, "force_disable": true })),
    ] {
        let told = network.call(platform, None, Method::GET, "/.well-known/matrix/client", None).await.ok();
        assert_eq!(told["io.element.e2ee"], hint, "{platform}");
    }
}

#[tokio::test]
async fn a_step_of_a_verification_is_one_of_those_there_are() {
    let network = open().await;
    let wanda = network.register(WHATSAPP, "wanda").await;
    let ina = network.register(INSTAGRAM, "ina").await;
    let room = ina.create_room(json!({ "invite": [wanda.user_id] })).await;
    wanda.join(&room).await.ok();
    let asked = json!({
        "msgtype": "m.key.verification.request", "from_device": "X", "methods": ["m.sas.v1"], "to": wanda.user_id,
    });
    let request = ina.send(&room, "m.room.message", asked).await;
    let step = json!({ "m.relates_to": { "rel_type": "m.reference", "event_id": request } });
    let to_device =
        |who: &Client| json!({ "messages": { &who.user_id: { "*": { "transaction_id": "t" } } } });
    for words in ["see-you-at-eight", "see%20you%20at%20eight", "done.at-eight", "Done", ""] {
        let event_type = format!("m.key.verification.{words}");
        for (from, to) in [(&ina, &wanda), (&wanda, &ina)] {
            from.try_send(&room, &event_type, step.clone()).await.breaks(REQUIRED, &[WHATSAPP]);
            let path = format!("/v3/sendToDevice/{event_type}/{}", from.next_transaction());
            from.put(&path, to_device(to)).await.breaks(REQUIRED, &[WHATSAPP]);
        }
    }
    for known in ["ready", "start", "accept", "key", "mac", "done", "cancel"] {
        let event_type = format!("m.key.verification.{known}");
        wanda.send(&room, &event_type, step.clone()).await;
        let path = format!("/v3/sendToDevice/{event_type}/{}", ina.next_transaction());
        ina.put(&path, to_device(&wanda)).await.ok();
    }
    ina.put("/v3/sendToDevice/m.key.verification.request/t1", to_device(&wanda)).await.ok();
    assert_eq!(list(&wanda.get("/v3/sync").await.ok()["to_device"]["events"]).len(), 8);
}

#[tokio::test]
async fn what_waits_for_devices_is_held_against_the_rules_of_today() {
    let network = Network::with_rules(|_| Encryption::Optional).await;
    let wanda = network.register(WHATSAPP, "wanda").await;
    let willa = network.register(WHATSAPP, "willa").await;
    let ina = network.register(INSTAGRAM, "ina").await;
    let max = network.register(MESSENGER, "max").await;
    wanda.put(DEHYDRATED, dehydrated(&wanda, "DREAM")).await.ok();
    let send = async |from: &Client, to: &Client, event_type: &str, content: Value| {
        let path = format!("/v3/sendToDevice/{event_type}/{}", from.next_transaction());
        from.put(&path, json!({ "messages": { &to.user_id: { "*": content } } })).await.ok();
    };
    for (from, to) in [(&ina, &wanda), (&willa, &wanda), (&wanda, &ina), (&ina, &max)] {
        send(from, to, "m.room.message", said("in the clear")).await;
        send(from, to, "m.key.verification.see-you-at-eight", json!({})).await;
        send(from, to, "m.room.encrypted", said("not encrypted at all")).await;
        send(from, to, "m.room_key_request", json!({ "action": "request" })).await;
        send(from, to, "m.room.encrypted", fake::to_device()).await;
    }
    // Each platform now has the rule that its name stands for in the other tests.
    let network = network
        .reopen_with_rules(|platform| match platform {
            WHATSAPP => Encryption::Required,
            MESSENGER => Encryption::Forbidden,
            _ => Encryption::Optional,
        })
        .await;
    let kinds = |events: &Value| {
        let mut kinds = each(events, "type");
        kinds.sort();
        kinds
    };
    let sliding = async |who: &Client| {
        let path = "/unstable/org.matrix.simplified_msc3575/sync?timeout=0";
        let asked = json!({ "lists": {}, "extensions": { "to_device": { "enabled": true } } });
        kinds(&who.on(&network).post(path, asked).await.ok()["extensions"]["to_device"]["events"])
    };
    let plain = async |who: &Client| {
        let synced = who.on(&network).get("/v3/sync").await.ok();
        kinds(&synced["to_device"]["events"])
    };
    let sealed_only = ["m.room.encrypted", "m.room_key_request"];
    for (who, expected) in [
        (&wanda, [sealed_only, sealed_only].concat()),
        (&ina, sealed_only.to_vec()),
        (&max, vec!["m.key.verification.see-you-at-eight", "m.room.message", "m.room_key_request"]),
    ] {
        let mut expected = expected;
        expected.sort_unstable();
        assert_eq!(sliding(who).await, expected, "sliding sync of {}", who.user_id);
        assert_eq!(plain(who).await, expected, "sync of {}", who.user_id);
    }
    let page = wanda.on(&network).post(&format!("{DEHYDRATED}/DREAM/events"), json!({})).await.ok();
    let mut expected = [sealed_only, sealed_only].concat();
    expected.sort_unstable();
    assert_eq!(kinds(&page["events"]), expected, "the dehydrated device");
}
