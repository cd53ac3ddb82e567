//! Which events are messages that can be read, and what rules on encryption make of them.

use linkspan_domain::{
    EncryptionRefusal as Refusal, EncryptionRule, Pdu, RoomEncryption, RulesPresent, check_event,
    check_member, check_redacted, check_to_device,
};
use ruma::{OwnedServerName, RoomVersionId, ServerName};
use serde_json::{Value, json};

use crate::{ALICE, Maker, sealed as fake};

const EVENT: &str = "$Rqnc-F-dvnEYJTyHq_iKxU2bZ1CI92-kuZq3a5lr5Zg";

fn platform(name: &str) -> OwnedServerName {
    ServerName::parse(name).expect("a server name")
}

fn rules(rules: &[(&str, EncryptionRule)]) -> RulesPresent {
    let mut present = RulesPresent::default();
    for (name, rule) in rules {
        present.add(&platform(name), *rule);
    }
    present
}

fn sealed() -> Value {
    let mut content = fake::to_room();
    content["device_id"] = json!("RJYKSTBOIE");
    content["sender_key"] = json!("IlRMeOPX2e0MurIyfWEucYBRVOEEUMrOHqn/8mLqMjA");
    content
}

/// The encrypted message with one more field.
fn with(field: &str, value: Value) -> Value {
    let mut content = sealed();
    content[field] = value;
    content
}

fn reaction(key: &str) -> Value {
    json!({ "m.relates_to": { "rel_type": "m.annotation", "event_id": EVENT, "key": key } })
}

/// A step of a verification that belongs to a request.
fn step(mut content: Value) -> Value {
    content["m.relates_to"] = json!({ "rel_type": "m.reference", "event_id": EVENT });
    content
}

/// A message that asks to verify.
fn asked(body: &str) -> Value {
    json!({ "msgtype": "m.key.verification.request", "from_device": "X", "methods": ["m.sas.v1"], "to": ALICE,
            "body": body })
}

/// What the events of a test are: readable messages, encrypted ones, or neither.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Is {
    /// The rules on encryption are not about it.
    Service,
    Sealed,
    Readable,
    /// It can be read, and there is ciphertext too. Nobody with a rule takes it.
    Both,
}

fn messages() -> Vec<(&'static str, Value, Is)> {
    let said = json!({ "msgtype": "m.text", "body": "hello" });
    let mut in_the_clear = Vec::new();
    for event_type in ["m.room.message", "m.sticker", "m.poll.start", "m.call.invite", "m.beacon", "m.emote"]
    {
        in_the_clear.push((event_type, said.clone(), Is::Readable));
    }
    let plan = json!({ "rel_type": "m.thread", "event_id": EVENT, "is_falling_back": true,
                       "m.in_reply_to": { "event_id": EVENT } });
    let smuggled =
        json!({ "rel_type": "m.replace", "event_id": EVENT, "m.new_content": { "body": "hello" } });
    let sentence = json!({ "rel_type": "see you at eight", "event_id": EVENT });
    let named = json!({ "rel_type": "m.reference", "event_id": "$see you at eight" });
    let tagged = json!({ "rel_type": "m.reference", "event_id": "$SeeYouAtEight" });
    let keyed = json!({ "rel_type": "m.annotation", "event_id": EVENT, "key": "see you at eight" });
    let mut all = in_the_clear;
    all.extend([
        ("m.room.message", json!({}), Is::Readable),
        ("com.example.new", json!({ "body": "hello" }), Is::Readable),
        ("com.example.new", json!({}), Is::Readable),
        // Steps of a verification have no words, and name what they belong to.
        ("m.key.verification.start", json!({ "from_device": "X" }), Is::Readable),
        (
            "m.key.verification.ready",
            step(json!({ "from_device": "X", "methods": ["m.sas.v1"] })),
            Is::Service,
        ),
        (
            "m.key.verification.mac",
            step(json!({ "keys": "c+4", "mac": { "ed25519:X": "a/1" } })),
            Is::Service,
        ),
        ("m.key.verification.done", step(json!({})), Is::Service),
        ("m.key.verification.cancel", step(json!({ "code": "m.user", "reason": "" })), Is::Service),
        ("m.key.verification.cancel", step(json!({ "code": "m.user", "reason": "at eight" })), Is::Readable),
        ("m.key.verification.ready", step(json!({ "methods": ["see you at eight"] })), Is::Readable),
        ("m.key.verification.ready", step(json!({ "methods": vec!["x"; 33] })), Is::Readable),
        ("m.key.verification.mac", step(json!({ "mac": { "see you at eight": "a" } })), Is::Readable),
        ("m.key.verification.mac", step(json!({ "mac": { "a": { "b": "c" } } })), Is::Readable),
        ("m.key.verification.done", step(json!({ "note": "x" })), Is::Readable),
        ("m.key.verification.see-you-at-eight", step(json!({})), Is::Readable),
        ("m.key.verification.", step(json!({})), Is::Readable),
        // In a room it is a message.
        ("m.key.verification.request", step(json!({})), Is::Readable),
        ("m.key.verification.done", step(json!({ "msgtype": "m.text", "body": "" })), Is::Readable),
        ("m.room.message", asked(""), Is::Service),
        ("m.room.message", asked("see you at eight"), Is::Readable),
        ("m.room.message", json!({ "body": "x", "ciphertext": "AwgA" }), Is::Both),
        // Ciphertext with what belongs around it.
        ("m.room.encrypted", sealed(), Is::Sealed),
        ("m.room.encrypted", fake::to_room(), Is::Sealed),
        ("m.room.encrypted", with("device_id", Value::Null), Is::Sealed),
        ("m.room.encrypted", with("device_id", json!("kYp2/V+x7_-.~")), Is::Sealed),
        ("m.room.encrypted", with("m.relates_to", plan), Is::Sealed),
        (
            "m.room.encrypted",
            with("m.relates_to", json!({ "rel_type": "m.replace", "event_id": EVENT })),
            Is::Sealed,
        ),
        ("m.room.encrypted", with("m.mentions", json!({ "user_ids": [ALICE], "room": true })), Is::Sealed),
        (
            "m.room.encrypted",
            with("io.element.performance_metrics", json!({ "sendStartTs": 12 })),
            Is::Sealed,
        ),
        // Something to read beside it, or in its place.
        ("m.room.encrypted", json!({}), Is::Both),
        ("m.room.encrypted", with("body", json!("hello")), Is::Both),
        ("m.room.encrypted", with("formatted_body", json!("<b>hello</b>")), Is::Both),
        ("m.room.encrypted", with("m.new_content", json!({ "body": "hello" })), Is::Both),
        ("m.room.encrypted", with("com.example.note", json!("hello")), Is::Both),
        ("m.room.encrypted", with("ciphertext", json!("see you at eight")), Is::Both),
        ("m.room.encrypted", with("ciphertext", json!("")), Is::Both),
        ("m.room.encrypted", with("ciphertext", json!("AwgAEnACgAkLmt6qF84IK")), Is::Both),
        ("m.room.encrypted", with("ciphertext", json!("hello")), Is::Both),
        ("m.room.encrypted", with("ciphertext", json!("SeeYouAtEight".repeat(20))), Is::Both),
        ("m.room.encrypted", with("ciphertext", json!(format!("{}=", fake::megolm()))), Is::Both),
        ("m.room.encrypted", with("ciphertext", json!(format!("{}AAAA", fake::megolm()))), Is::Both),
        ("m.room.encrypted", with("ciphertext", fake::olm_body(true)["body"].clone()), Is::Both),
        (
            "m.room.encrypted",
            json!({ "algorithm": "m.megolm.v1.aes-sha2", "ciphertext": fake::megolm() }),
            Is::Both,
        ),
        ("m.room.encrypted", with("session_id", Value::Null), Is::Both),
        ("m.room.encrypted", with("session_id", json!("hello")), Is::Both),
        ("m.room.encrypted", with("sender_key", json!("hello")), Is::Both),
        ("m.room.encrypted", with("device_id", json!("see you at eight")), Is::Both),
        ("m.room.encrypted", with("ciphertext", json!({ "body": "hello" })), Is::Both),
        ("m.room.encrypted", with("ciphertext", Value::Null), Is::Both),
        ("m.room.encrypted", with("algorithm", json!("m.none")), Is::Both),
        ("m.room.encrypted", with("algorithm", json!("m.olm.v1.curve25519-aes-sha2")), Is::Both),
        ("m.room.encrypted", with("session_id", json!("see you at eight")), Is::Both),
        ("m.room.encrypted", with("device_id", json!("x".repeat(256))), Is::Both),
        ("m.room.encrypted", with("m.relates_to", smuggled), Is::Both),
        ("m.room.encrypted", with("m.relates_to", sentence), Is::Both),
        ("m.room.encrypted", with("m.relates_to", named), Is::Both),
        ("m.room.encrypted", with("m.relates_to", tagged), Is::Both),
        ("m.room.encrypted", with("m.relates_to", keyed), Is::Both),
        ("m.room.encrypted", with("m.mentions", json!({ "user_ids": ["not a user"] })), Is::Both),
        ("m.room.encrypted", with("io.element.performance_metrics", json!({ "note": "x" })), Is::Both),
    ]);
    for emoji in ["👍", "👍️", "👨🏿‍❤️‍💋‍👨🏿", "🏴󠁧󠁢󠁥󠁮󠁧󠁿", "1️⃣", "🅰️", "ℹ️", "❤️"]
    {
        all.push(("m.reaction", reaction(emoji), Is::Service));
    }
    for words in [
        "",
        "ok",
        "a",
        "👍👍",
        ":)",
        "+1",
        "see you at eight",
        "привет",
        "你好",
        "0171",
        "mxc://a.example/picture",
        &"!".repeat(65),
    ] {
        all.push(("m.reaction", reaction(words), Is::Readable));
    }
    let mut more = reaction("👍");
    more["body"] = json!("hello");
    all.push(("m.reaction", more, Is::Readable));
    all.push(("m.reaction", json!({}), Is::Readable));
    all
}

fn present_alone(rule: EncryptionRule) -> RulesPresent {
    rules(&[("x.example", rule)])
}

#[test]
fn messages_are_taken_by_who_may_read_them() {
    let mut maker = Maker::new(RoomVersionId::V12.rules().expect("rules"), json!({ "room_version": "12" }));
    for (event_type, content, is) in messages() {
        let (pdu, _) = maker.make(ALICE, event_type, None, content.clone(), &[]);
        let context = format!("{event_type} {content}");
        let required = check_event(&present_alone(EncryptionRule::Required), &pdu);
        let forbidden = check_event(&present_alone(EncryptionRule::Forbidden), &pdu);
        assert_eq!(required.is_err(), matches!(is, Is::Readable | Is::Both), "{context}: {required:?}");
        assert_eq!(forbidden.is_err(), matches!(is, Is::Sealed | Is::Both), "{context}: {forbidden:?}");
        assert_eq!(check_event(&RulesPresent::default(), &pdu), Ok(()), "{context}");
        // What is not taken is not shown, and the other way round.
        assert_eq!(EncryptionRule::Required.hides(&pdu), required.is_err(), "{context}");
        assert_eq!(EncryptionRule::Forbidden.hides(&pdu), forbidden.is_err(), "{context}");
        // The same as state is a message too, or, if it is of no type that clients show, state.
        let (state, _) = maker.make(ALICE, event_type, Some("x"), content, &[]);
        let as_state = check_event(&present_alone(EncryptionRule::Required), &state);
        if !event_type.starts_with("com.") {
            assert_eq!(as_state.is_err(), required.is_err(), "{context} as state");
        }
    }
}

#[test]
fn state_that_runs_a_room_is_taken() {
    let mut maker = Maker::new(RoomVersionId::V12.rules().expect("rules"), json!({ "room_version": "12" }));
    for (event_type, content) in [
        ("m.room.name", json!({ "name": "a name" })),
        ("m.room.topic", json!({ "topic": "words" })),
        ("m.room.tombstone", json!({ "body": "moved", "replacement_room": "!x" })),
        ("m.room.member", json!({ "membership": "leave", "reason": "bye" })),
        ("m.call.member", json!({ "memberships": [] })),
        ("com.example.settings", json!({ "body": "words" })),
    ] {
        let pdu = maker.state(ALICE, event_type, ALICE, content);
        for rule in [EncryptionRule::Required, EncryptionRule::Forbidden] {
            assert_eq!(check_event(&present_alone(rule), &pdu), Ok(()), "{event_type}");
        }
    }
    // State of one's own making that clients might show as a message.
    let pdu = maker.state(ALICE, "com.example.note", "", json!({ "msgtype": "m.text", "body": "hello" }));
    let refused = check_event(&present_alone(EncryptionRule::Required), &pdu);
    assert_eq!(refused, Err(Refusal::Readable(platform("x.example"))));
}

#[test]
fn encryption_stays_as_a_rule_needs_it() {
    let mut maker = Maker::new(RoomVersionId::V12.rules().expect("rules"), json!({ "room_version": "12" }));
    let x = platform("x.example");
    for (content, is, required, forbidden) in [
        (json!({ "algorithm": "m.megolm.v1.aes-sha2" }), RoomEncryption::On, true, false),
        (
            json!({ "algorithm": "m.megolm.v1.aes-sha2", "rotation_period_ms": 1 }),
            RoomEncryption::On,
            true,
            false,
        ),
        (json!({ "algorithm": "com.example.rot13" }), RoomEncryption::Unknown, false, false),
        (json!({ "algorithm": 3 }), RoomEncryption::Unknown, false, false),
        (json!({ "algorithm": null }), RoomEncryption::Off, false, true),
        (json!({}), RoomEncryption::Off, false, true),
    ] {
        let pdu = maker.state(ALICE, "m.room.encryption", "", content.clone());
        assert_eq!(RoomEncryption::of(Some(&pdu)), is, "{content}");
        let expect = |taken: bool, refusal: Refusal| if taken { Ok(()) } else { Err(refusal) };
        assert_eq!(
            check_event(&present_alone(EncryptionRule::Required), &pdu),
            expect(required, Refusal::TurnedOff(x.clone())),
            "{content}"
        );
        assert_eq!(
            check_event(&present_alone(EncryptionRule::Forbidden), &pdu),
            expect(forbidden, Refusal::TurnedOn(x.clone())),
            "{content}"
        );
        assert_eq!(
            check_redacted(&present_alone(EncryptionRule::Required), &pdu),
            Err(Refusal::TurnedOff(x.clone()))
        );
        assert_eq!(check_redacted(&present_alone(EncryptionRule::Forbidden), &pdu), Ok(()));
        // A redaction of an event with another state key means nothing here.
        let other = maker.state(ALICE, "m.room.encryption", "other", content);
        assert_eq!(check_event(&present_alone(EncryptionRule::Required), &other), Ok(()));
    }
}

#[test]
fn who_may_come_in() {
    use EncryptionRule::{Forbidden, Required};
    let (x, y) = (platform("x.example"), platform("y.example"));
    let excluding = |requires: &OwnedServerName, forbids: &OwnedServerName| Refusal::Excluding {
        requires: requires.clone(),
        forbids: forbids.clone(),
    };
    for (present, encryption, rule, expected) in [
        (rules(&[]), RoomEncryption::On, Required, Ok(())),
        (rules(&[]), RoomEncryption::Off, Required, Err(Refusal::RoomReadable(y.clone()))),
        (rules(&[]), RoomEncryption::Unknown, Required, Err(Refusal::RoomReadable(y.clone()))),
        (rules(&[]), RoomEncryption::Off, Forbidden, Ok(())),
        (rules(&[]), RoomEncryption::On, Forbidden, Err(Refusal::RoomEncrypted(y.clone()))),
        (rules(&[]), RoomEncryption::Unknown, Forbidden, Err(Refusal::RoomEncrypted(y.clone()))),
        (rules(&[("x.example", Required)]), RoomEncryption::On, Required, Ok(())),
        (rules(&[("x.example", Required)]), RoomEncryption::On, Forbidden, Err(excluding(&x, &y))),
        (rules(&[("x.example", Forbidden)]), RoomEncryption::Off, Required, Err(excluding(&y, &x))),
        (rules(&[("x.example", Forbidden)]), RoomEncryption::Off, Forbidden, Ok(())),
    ] {
        assert_eq!(
            check_member(&present, encryption, &y, rule),
            expected,
            "{present:?} {encryption:?} {rule:?}"
        );
    }
    let both = excluding(&x, &y);
    let words = both.to_string();
    assert!(words.contains("x.example requires") && words.contains("y.example forbids"), "{words}");
    assert_eq!(both.rule(), "encryption_rules_exclude");
}

#[test]
fn rules_last_as_long_as_people_stay() {
    let (x, mut present) = (platform("x.example"), RulesPresent::default());
    present.add(&x, EncryptionRule::Required);
    present.add(&x, EncryptionRule::Required);
    present.remove(&x);
    assert_eq!(present.platform_with(EncryptionRule::Required), Some(&x));
    present.remove(&x);
    assert!(present.is_empty());
    present.remove(&x);
    assert!(present.is_empty());
}

#[test]
fn redactions_are_taken_and_their_words_hidden() {
    let mut maker = Maker::new(RoomVersionId::V12.rules().expect("rules"), json!({ "room_version": "12" }));
    for (content, hidden) in
        [(json!({ "redacts": EVENT }), false), (json!({ "redacts": EVENT, "reason": "words" }), true)]
    {
        let (pdu, _) = maker.make(ALICE, "m.room.redaction", None, content, &[]);
        assert_eq!(check_event(&present_alone(EncryptionRule::Required), &pdu), Ok(()));
        assert_eq!(EncryptionRule::Required.hides(&pdu), hidden);
        assert!(!EncryptionRule::Forbidden.hides(&pdu));
    }
    // A redaction of something encrypted, or of a reaction, may be told.
    for event_type in ["m.room.encrypted", "m.reaction", "m.room.message"] {
        let (pdu, json) = maker.make(ALICE, event_type, None, json!({ "body": "x" }), &[]);
        let by = EVENT.try_into().expect("an event id");
        let gone = linkspan_domain::redact(&json, &maker.rules, by).expect("redacted");
        let gone = Pdu::from_stored(pdu.event_id.clone(), &gone).expect("an event");
        assert_eq!(EncryptionRule::Required.hides(&gone), event_type == "m.room.message", "{event_type}");
    }
}

fn raw(content: &Value) -> Box<serde_json::value::RawValue> {
    serde_json::value::to_raw_value(content).expect("JSON")
}

#[test]
fn messages_do_not_go_past_rooms_to_devices() {
    let keys = raw(&json!({ "action": "request" }));
    for (event_type, taken) in [
        ("m.room_key_request", true),
        ("m.key.verification.request", true),
        ("m.key.verification.mac", true),
        ("m.key.verification.see-you-at-eight", false),
        ("m.key.verification.", false),
        ("m.dummy", true),
        ("m.secret.request", true),
        ("com.example.any", true),
        ("m.room.message", false),
        ("m.poll.start", false),
    ] {
        let required = present_alone(EncryptionRule::Required);
        assert_eq!(check_to_device(&required, event_type, &keys, false).is_ok(), taken, "{event_type}");
        for present in [RulesPresent::default(), present_alone(EncryptionRule::Forbidden)] {
            assert_eq!(check_to_device(&present, event_type, &keys, false), Ok(()), "{event_type}");
        }
    }
}

#[test]
fn what_is_encrypted_to_devices_is_made_by_olm() {
    let with = |field: &str, value: Value| {
        let mut content = fake::to_device();
        content[field] = value;
        content
    };
    let one = |key: &str, body: Value| with("ciphertext", json!({ key: body }));
    let key = fake::key(7);
    for content in [
        fake::to_device(),
        one(&key, fake::olm_body(false)),
        with("ciphertext", json!({ &key: fake::olm_body(true), fake::key(8): fake::olm_body(false) })),
        with("org.matrix.msgid", json!("3d5f6a1e-bc7c-4f4e-9d8d-0d4cf0a4a4f5")),
    ] {
        let required = present_alone(EncryptionRule::Required);
        assert_eq!(
            check_to_device(&required, "m.room.encrypted", &raw(&content), false),
            Ok(()),
            "{content}"
        );
    }
    for content in [
        json!({}),
        json!({ "body": "hello" }),
        fake::to_room(),
        with("body", json!("hello")),
        with("algorithm", json!("m.megolm.v1.aes-sha2")),
        with("algorithm", json!("m.none")),
        with("sender_key", json!("hello")),
        with("sender_key", Value::Null),
        with("org.matrix.msgid", json!("see you at eight")),
        with("ciphertext", json!("hello")),
        with("ciphertext", json!({})),
        one("hello", fake::olm_body(true)),
        one(&key, json!({ "type": 0, "body": "hello" })),
        one(&key, json!({ "type": 1, "body": "hello" })),
        one(&key, json!({ "type": 1, "body": fake::olm_body(true)["body"] })),
        one(&key, json!({ "type": 0, "body": fake::olm_body(false)["body"] })),
        one(&key, json!({ "type": 2, "body": fake::olm_body(false)["body"] })),
        one(&key, json!({ "type": "hello", "body": fake::olm_body(false)["body"] })),
        one(&key, json!({ "type": 0, "body": fake::olm_body(true)["body"], "note": "hello" })),
        with(
            "ciphertext",
            json!({ &key: fake::olm_body(true), fake::key(8): { "type": 0, "body": "hello" } }),
        ),
    ] {
        let required = present_alone(EncryptionRule::Required);
        let refused = check_to_device(&required, "m.room.encrypted", &raw(&content), false);
        assert_eq!(refused, Err(Refusal::BesideOlm(platform("x.example"))), "{content}");
        assert_eq!(
            check_to_device(&required, "m.room.encrypted", &raw(&content), true),
            refused,
            "{content}"
        );
    }
}

#[test]
fn who_forbids_encryption_shares_no_keys() {
    let forbidden = present_alone(EncryptionRule::Forbidden);
    for (event_type, content) in [
        ("m.room.encrypted", fake::to_device()),
        ("m.room.encrypted", json!({})),
        ("com.example.any", json!({ "ciphertext": "AwgA" })),
    ] {
        let refused = check_to_device(&forbidden, event_type, &raw(&content), false);
        assert_eq!(
            refused,
            Err(Refusal::EncryptedToDevices(platform("x.example"))),
            "{event_type} {content}"
        );
        assert_eq!(refused.map_err(|refusal| refusal.rule()), Err("encryption_forbidden"));
        // A user's own devices pass secrets on to each other.
        assert_eq!(check_to_device(&forbidden, event_type, &raw(&content), true), Ok(()));
        assert_eq!(check_to_device(&RulesPresent::default(), event_type, &raw(&content), false), Ok(()));
    }
}
