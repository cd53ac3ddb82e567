//! Making, hashing, reading and redacting events.

use linkspan_domain::{
    ClientEvent, Draft, DraftError, MAX_PDU_BYTES, Pdu, Place, Unsigned, parse_content, redact,
    redacts_through_content, room_id_is_hash, stripped_state_event, versions,
};
use ruma::{
    CanonicalJsonObject, OwnedEventId, RoomVersionId,
    signatures::{Ed25519KeyPair, content_hash, sign_event},
};
use serde_json::{Value, json};

use crate::{ALICE, Maker, at, object, received, user};

/// The content hashes of the specification's signed events; a signature does not change them.
/// <https://spec.matrix.org/v1.19/appendices/#event-signing>
#[test]
fn the_test_vectors_of_the_specification_hold() {
    let minimal = json!({
        "room_id": "!x:domain", "sender": "@a:domain", "origin": "domain", "origin_server_ts": 1_000_000,
        "signatures": {}, "hashes": {}, "type": "X", "content": {}, "prev_events": [], "auth_events": [],
        "depth": 3, "unsigned": { "age_ts": 1_000_000 },
    });
    let hash = content_hash(&object(minimal)).expect("a hash");
    assert_eq!(hash.encode(), "5jM4wQpv6lnBo7CLIghJuHdW+s2CMBJPUOGOC89ncos");
    let redactable = json!({
        "content": { "body": "Here is the message content" }, "event_id": "$0:domain", "hashes": {},
        "origin": "domain", "origin_server_ts": 1_000_000, "type": "m.room.message", "room_id": "!r:domain",
        "sender": "@u:domain", "signatures": {}, "unsigned": { "age_ts": 1_000_000 },
    });
    let hash = content_hash(&object(redactable.clone())).expect("a hash");
    assert_eq!(hash.encode(), "onLKD1bGljeBWQhWZ1kaP9SorVmRQNdN5aM2JYU2n/g");
    let key = Ed25519KeyPair::from_der(&Ed25519KeyPair::generate(), "1".into()).expect("a key");
    let mut signed = object(redactable);
    let rules = RoomVersionId::V6.rules().expect("rules");
    sign_event("domain", &key, &mut signed, &rules.redaction).expect("signed");
    assert_eq!(content_hash(&signed).expect("a hash"), hash);
}

#[test]
fn canonical_json_is_sorted_compact_and_integer() {
    // <https://spec.matrix.org/v1.19/appendices/#canonical-json>
    for (given, canonical) in [
        ("{}", "{}"),
        (r#"{"one": 1, "two": "Two"}"#, r#"{"one":1,"two":"Two"}"#),
        (r#"{"b": "2", "a": "1"}"#, r#"{"a":"1","b":"2"}"#),
        (r#"{"a": "日本語"}"#, r#"{"a":"日本語"}"#),
        (r#"{"本": 2, "日": 1}"#, r#"{"日":1,"本":2}"#),
        (r#"{"a": "\u65E5"}"#, r#"{"a":"日"}"#),
        (r#"{"a": null}"#, r#"{"a":null}"#),
        (
            r#"{"a": 9007199254740991, "b": -9007199254740991}"#,
            r#"{"a":9007199254740991,"b":-9007199254740991}"#,
        ),
    ] {
        let content = parse_content(given).expect("canonical JSON");
        assert_eq!(serde_json::to_string(&content).expect("JSON"), canonical);
    }
}

#[test]
fn what_is_not_canonical_is_refused() {
    for refused in [
        r#"{"a": 1.5}"#,
        r#"{"a": 1e40}"#,
        r#"{"a": 9007199254740992}"#,
        r#"{"a": -9007199254740992}"#,
        r#"{"a": 18446744073709551616}"#,
        r#"{"a": [{"b": 0.1}]}"#,
        r#"{"a": "\ud800"}"#,
        r#"{"a": NaN}"#,
        "[]",
        "null",
        "\"text\"",
        "",
        "{",
        r#"{} {}"#,
    ] {
        assert!(matches!(parse_content(refused), Err(DraftError::Malformed(_))), "{refused}");
    }
}

#[test]
fn what_is_accepted_can_be_redacted_however_deep_it_is() {
    let rules = RoomVersionId::V12.rules().expect("rules");
    let mut accepted = 0;
    for depth in 90..140 {
        let json = format!("{{\"a\":{}{}}}", "[".repeat(depth), "]".repeat(depth));
        let Ok(content) = parse_content(&json) else { continue };
        accepted += 1;
        let mut maker = Maker::new(rules.clone(), json!({ "room_version": "12" }));
        let place = Place { prev_events: vec![maker.create.event_id.clone()], auth_events: vec![], depth: 2 };
        let draft = Draft::message("m.room.message".into(), content);
        let room_id = maker.room_id.clone();
        let (pdu, json) =
            draft.into_pdu(&rules, Some(&room_id), &user(ALICE), at(5), place).expect("an event");
        let redacted = redact(&json, &rules, &maker.create.event_id).expect("it can be redacted");
        assert_eq!(received(&redacted, &rules).expect("an event").event_id, pdu.event_id);
        maker.member(ALICE, ALICE, "join");
    }
    assert!(accepted > 0, "no depth is accepted");
}

/// Checks that the content hash of an event is the one that others find.
fn check_content_hash(json: &str) {
    let object: CanonicalJsonObject = serde_json::from_str(json).expect("JSON");
    let found = content_hash(&object).expect("a hash").encode();
    let value: Value = serde_json::from_str(json).expect("JSON");
    assert_eq!(value["hashes"], json!({ "sha256": found }), "{json}");
}

#[test]
fn what_is_made_here_is_the_same_event_elsewhere() {
    for version in versions::SUPPORTED {
        let rules = versions::rules(&version).expect("rules");
        let mut maker = Maker::new(rules.clone(), json!({ "room_version": version }));
        for (state_key, content) in
            [(None, json!({ "body": "text ü \u{1}" })), (Some(""), json!({ "a": [null, true, -1] }))]
        {
            let (pdu, json) = maker.make(ALICE, "x.type", state_key, content, &[]);
            let other = received(&json, &rules).expect("an event");
            assert_eq!(other.event_id, pdu.event_id);
            assert_eq!(other.room_id, maker.room_id);
            assert_eq!(other.state_key.as_deref(), state_key);
            assert_eq!(other.content.get(), pdu.content.get());
            assert_eq!((other.depth, &other.prev_events), (2, &pdu.prev_events));
            let stored = Pdu::from_stored(pdu.event_id.clone(), &json).expect("an event");
            assert_eq!(stored.content.get(), pdu.content.get());
            let object: CanonicalJsonObject = serde_json::from_str(&json).expect("JSON");
            assert_eq!(serde_json::to_string(&object).expect("JSON"), json, "it is canonical as it is");
            check_content_hash(&json);
        }
    }
}

#[test]
fn a_room_of_version_12_is_named_by_its_create_event() {
    for version in versions::SUPPORTED {
        let rules = versions::rules(&version).expect("rules");
        let maker = Maker::new(rules.clone(), json!({ "room_version": version }));
        assert_eq!(room_id_is_hash(&rules), version == RoomVersionId::V12);
        let (room_id, event_id) = (maker.room_id.as_str(), maker.create.event_id.as_str());
        assert_eq!(room_id[1..] == event_id[1..], version == RoomVersionId::V12);
        assert_eq!(room_id.contains(':'), version != RoomVersionId::V12);
        assert_eq!(redacts_through_content(&rules), matches!(version.as_str(), "11" | "12"));
    }
    assert!(versions::rules(&RoomVersionId::V5).is_none());
    assert!(versions::rules(&"org.example.own".try_into().expect("a version")).is_none());
}

#[test]
fn a_redaction_names_its_target_where_the_version_says() {
    for version in versions::SUPPORTED {
        let rules = versions::rules(&version).expect("rules");
        let maker = Maker::new(rules.clone(), json!({ "room_version": version }));
        let target: OwnedEventId = maker.create.event_id.clone();
        let draft = Draft {
            event_type: "m.room.redaction".into(),
            state_key: None,
            content: CanonicalJsonObject::new(),
            redacts: Some(target.clone()),
        };
        let place = Place { prev_events: vec![target.clone()], auth_events: vec![], depth: 2 };
        let made = draft.into_pdu(&rules, Some(&maker.room_id), &user(ALICE), at(9), place);
        let (pdu, json) = made.expect("an event");
        assert_eq!(pdu.redacts.as_ref(), Some(&target));
        let other = received(&json, &rules).expect("an event");
        assert_eq!((other.redacts.as_ref(), &other.event_id), (Some(&target), &pdu.event_id));
        check_content_hash(&json);
        let value: Value = serde_json::from_str(&json).expect("JSON");
        let in_content = matches!(version.as_str(), "11" | "12");
        assert_eq!(value["content"].get("redacts").is_some(), in_content);
        assert_eq!(value.get("redacts").is_some(), !in_content);

        // The other place is not covered by the hash, or means nothing. Nobody may be misled by it.
        let mut moved = value;
        if in_content {
            moved["content"] = json!({});
            moved["redacts"] = json!(target);
        } else {
            moved["content"] = json!({ "redacts": target });
            moved.as_object_mut().expect("an object").remove("redacts");
        }
        assert_eq!(received(&moved.to_string(), &rules).expect("an event").redacts, None, "{version}");
    }
}

#[test]
fn only_redactions_redact() {
    let rules = RoomVersionId::V9.rules().expect("rules");
    let mut maker = Maker::new(rules.clone(), json!({}));
    let (_, json) = maker.make(ALICE, "m.room.message", None, json!({}), &[]);
    let mut value: Value = serde_json::from_str(&json).expect("JSON");
    value["redacts"] = json!(maker.create.event_id);
    assert_eq!(received(&value.to_string(), &rules).expect("an event").redacts, None);
}

/// A redacted event keeps those fields of its content that the room version keeps.
/// <https://spec.matrix.org/v1.19/rooms/v12/#redactions>
#[test]
fn redaction_keeps_what_the_version_keeps() {
    let levels = json!({
        "ban": 1, "events": {}, "events_default": 2, "invite": 3, "kick": 4, "redact": 5, "state_default": 6,
        "users": {}, "users_default": 7, "notifications": {},
    });
    let member = json!({
        "membership": "join", "displayname": "x", "join_authorised_via_users_server": "@a:b",
        "third_party_invite": { "signed": { "token": "t" }, "display_name": "x" },
    });
    let content = |version: &RoomVersionId, event_type: &str, content: &Value| -> Vec<String> {
        let rules = versions::rules(version).expect("rules");
        let mut maker = Maker::new(rules.clone(), json!({ "room_version": version }));
        let (pdu, json) = maker.make(ALICE, event_type, Some(""), content.clone(), &[]);
        let redacted = redact(&json, &rules, &maker.create.event_id).expect("redacted");
        let after = received(&redacted, &rules).expect("an event");
        assert_eq!(after.event_id, pdu.event_id, "{version}: the id stays");
        assert_eq!(after.redacted_by.as_ref(), Some(&maker.create.event_id));
        let content: CanonicalJsonObject = serde_json::from_str(after.content.get()).expect("JSON");
        content.into_keys().collect()
    };
    for version in versions::SUPPORTED {
        let number: u32 = version.as_str().parse().expect("a number");
        assert!(content(&version, "m.room.message", &json!({ "body": "x" })).is_empty());
        assert!(content(&version, "m.room.topic", &json!({ "topic": "x" })).is_empty());
        let mut kept = vec!["ban", "events", "events_default", "kick", "redact", "state_default", "users"];
        kept.push("users_default");
        if number >= 11 {
            kept.insert(3, "invite");
        }
        assert_eq!(content(&version, "m.room.power_levels", &levels), kept, "{version}");
        let mut kept = Vec::new();
        if number >= 9 {
            kept.push("join_authorised_via_users_server");
        }
        kept.push("membership");
        if number >= 11 {
            kept.push("third_party_invite");
        }
        assert_eq!(content(&version, "m.room.member", &member), kept, "{version}");
        let rules = json!({ "join_rule": "public", "allow": [], "x": 1 });
        let kept = if number >= 8 { vec!["allow", "join_rule"] } else { vec!["join_rule"] };
        assert_eq!(content(&version, "m.room.join_rules", &rules), kept, "{version}");
        let visibility = json!({ "history_visibility": "joined", "x": 1 });
        assert_eq!(content(&version, "m.room.history_visibility", &visibility), ["history_visibility"]);
        let aliases = json!({ "aliases": [] });
        assert!(content(&version, "m.room.aliases", &aliases).is_empty(), "{version}");
    }
}

#[test]
fn events_and_their_parts_have_limits() {
    for version in versions::SUPPORTED {
        let rules = versions::rules(&version).expect("rules");
        let maker = Maker::new(rules.clone(), json!({ "room_version": version }));
        let make = |event_type: String, state_key: Option<String>, body: usize| {
            let content = object(json!({ "body": "x".repeat(body) }));
            let draft = Draft { event_type: event_type.as_str().into(), state_key, content, redacts: None };
            let place =
                Place { prev_events: vec![maker.create.event_id.clone()], auth_events: vec![], depth: 2 };
            draft.into_pdu(&rules, Some(&maker.room_id), &user(ALICE), at(3), place)
        };
        let too_large =
            |made: Result<(Pdu, String), DraftError>| matches!(made, Err(DraftError::TooLarge(_)));
        make("x".repeat(255), Some("y".repeat(255)), 1).expect("it fits");
        assert!(too_large(make("x".repeat(256), None, 1)));
        assert!(too_large(make("x".into(), Some("y".repeat(256)), 1)));
        assert!(too_large(make("x".into(), Some("é".repeat(128)), 1)), "bytes count, not characters");
        assert!(too_large(make("x".into(), None, MAX_PDU_BYTES)));
        // The largest event that fits has room for a signature, so other servers take it too.
        let (mut least, mut most) = (1_000, MAX_PDU_BYTES);
        while most - least > 1 {
            let middle = (least + most) / 2;
            if make("x".into(), None, middle).is_ok() { least = middle } else { most = middle }
        }
        let (_, json) = make("x".into(), None, least).expect("it fits");
        let key = Ed25519KeyPair::from_der(&Ed25519KeyPair::generate(), "k1".into()).expect("a key");
        let signed = linkspan_domain::sign_for_departure(&json, &rules, |_| Some(&key)).expect("signed");
        Pdu::from_received(&signed, &rules).expect("it is taken");
        let text = serde_json::to_string(&signed).expect("JSON");
        assert!(text.len() > MAX_PDU_BYTES - 1_000, "the limit is far too low: {}", text.len());
    }
}

#[test]
fn malformed_events_are_refused() {
    for version in versions::SUPPORTED {
        let rules = versions::rules(&version).expect("rules");
        let mut maker = Maker::new(rules.clone(), json!({ "room_version": version }));
        let (_, json) = maker.make(ALICE, "m.room.message", None, json!({}), &[]);
        let value: Value = serde_json::from_str(&json).expect("JSON");
        received(&value.to_string(), &rules).expect("it is one");
        for field in [
            "sender",
            "type",
            "room_id",
            "content",
            "depth",
            "prev_events",
            "auth_events",
            "origin_server_ts",
        ] {
            let mut without = value.clone();
            without.as_object_mut().expect("an object").remove(field);
            received(&without.to_string(), &rules).expect_err(field);
            for wrong in [json!(null), json!(true), json!(-1), json!([1]), json!({ "a": [] })] {
                let mut other = value.clone();
                let same_kind = field == "content" && wrong.is_object();
                other[field] = wrong;
                assert!(same_kind || received(&other.to_string(), &rules).is_err(), "{field}: {other}");
            }
        }
        let mut many = value.clone();
        many["prev_events"] = json!(vec![&maker.create.event_id; 21]);
        received(&many.to_string(), &rules).expect_err("too many prev events");
    }
}

#[test]
fn clients_see_events_in_their_format() {
    let rules = RoomVersionId::V12.rules().expect("rules");
    let mut maker = Maker::new(rules, json!({ "room_version": "12" }));
    let (pdu, _) = maker.make(ALICE, "m.room.topic", Some(""), json!({ "topic": "t" }), &[]);
    let unsigned = Unsigned { age: Some(7), ..Unsigned::default() };
    let value: Value =
        serde_json::from_str(ClientEvent::new(&pdu, unsigned.clone()).to_json().get()).expect("JSON");
    let expected = json!({
        "content": { "topic": "t" }, "event_id": pdu.event_id, "origin_server_ts": 2, "room_id": maker.room_id,
        "sender": ALICE, "state_key": "", "type": "m.room.topic", "unsigned": { "age": 7 },
    });
    assert_eq!(value, expected);
    let without = ClientEvent::without_room_id(&pdu, unsigned).to_json();
    assert!(!without.get().contains("room_id"));
    let stripped: Value = serde_json::from_str(&stripped_state_event(&pdu)).expect("JSON");
    for field in ["content", "sender", "state_key", "type"] {
        assert_eq!(stripped[field], expected[field]);
    }
    assert!(stripped.get("unsigned").is_none() && stripped.get("auth_events").is_none());
}
