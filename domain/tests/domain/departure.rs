//! Events are signed when they leave for another server.

use linkspan_domain::{redact, sign_for_departure, versions};
use ruma::{
    ServerName,
    serde::Base64,
    signatures::{Ed25519KeyPair, PublicKeyMap, PublicKeySet, Verified, verify_event},
};
use serde_json::json;

use crate::{ALICE, BOB, Maker, received};

fn key(version: &str) -> Ed25519KeyPair {
    Ed25519KeyPair::from_der(&Ed25519KeyPair::generate(), version.to_owned()).expect("a key")
}

fn public(keys: &[(&str, &Ed25519KeyPair)]) -> PublicKeyMap {
    keys.iter()
        .map(|(server, key)| {
            let id = format!("ed25519:{}", key.version());
            let set: PublicKeySet = [(id, Base64::new(key.public_key().to_vec()))].into();
            ((*server).to_owned(), set)
        })
        .collect()
}

#[test]
fn a_signature_is_added_without_changing_the_id_and_verifies() {
    let (a, b) = (key("k1"), key("k2"));
    let key_of = |server: &ServerName| match server.as_str() {
        "a.example" => Some(&a),
        "b.example" => Some(&b),
        _ => None,
    };
    let keys = public(&[("a.example", &a), ("b.example", &b)]);
    for version in versions::SUPPORTED {
        let rules = versions::rules(&version).expect("rules");
        let mut maker = Maker::new(rules.clone(), json!({ "room_version": version }));
        let (pdu, json) = maker.make(ALICE, "m.room.message", None, json!({ "body": "é" }), &[]);
        let signed = sign_for_departure(&json, &rules, key_of).expect("a signature");
        let text = serde_json::to_string(&signed).expect("JSON");
        assert_eq!(received(&text, &rules).expect("an event").event_id, pdu.event_id, "{version}");
        assert_eq!(verify_event(&keys, &signed, &rules).expect("it verifies"), Verified::All, "{version}");
        let again = sign_for_departure(&text, &rules, key_of).expect("a signature");
        assert_eq!(again, signed, "{version}: signing twice");

        let mut forged = signed.clone();
        forged.insert("sender".into(), ruma::CanonicalJsonValue::String(BOB.into()));
        verify_event(&keys, &forged, &rules).expect_err("another sender");
        let mut changed = signed;
        changed.insert("content".into(), ruma::CanonicalJsonValue::Object(Default::default()));
        assert_eq!(
            verify_event(&keys, &changed, &rules).expect("redacted"),
            Verified::Signatures,
            "{version}"
        );
    }
}

#[test]
fn a_redacted_event_leaves_without_what_the_store_has_noted() {
    let a = key("k1");
    for version in versions::SUPPORTED {
        let rules = versions::rules(&version).expect("rules");
        let mut maker = Maker::new(rules.clone(), json!({ "room_version": version }));
        let (pdu, json) = maker.make(ALICE, "m.room.message", None, json!({ "body": "gone" }), &[]);
        let redacted = redact(&json, &rules, &maker.create.event_id).expect("redacted");
        let signed = sign_for_departure(&redacted, &rules, |_| Some(&a)).expect("a signature");
        assert!(!signed.contains_key("unsigned"));
        let text = serde_json::to_string(&signed).expect("JSON");
        assert_eq!(received(&text, &rules).expect("an event").event_id, pdu.event_id);
        let keys = public(&[("a.example", &a)]);
        assert_eq!(verify_event(&keys, &signed, &rules).expect("it verifies"), Verified::Signatures);
    }
}

#[test]
fn a_restricted_join_is_signed_by_both_platforms() {
    let (a, b) = (key("k1"), key("k2"));
    let rules = ruma::RoomVersionId::V12.rules().expect("rules");
    let mut maker = Maker::new(rules.clone(), json!({ "room_version": "12" }));
    let content = json!({ "membership": "join", "join_authorised_via_users_server": ALICE });
    let (_, json) = maker.make(BOB, "m.room.member", Some(BOB), content, &[]);
    let key_of = |server: &ServerName| Some(if server == "a.example" { &a } else { &b });
    let signed = sign_for_departure(&json, &rules, key_of).expect("signatures");
    let keys = public(&[("a.example", &a), ("b.example", &b)]);
    assert_eq!(verify_event(&keys, &signed, &rules).expect("it verifies"), Verified::All);
}

#[test]
fn an_event_of_nobody_here_is_not_signed() {
    let rules = ruma::RoomVersionId::V12.rules().expect("rules");
    let mut maker = Maker::new(rules.clone(), json!({ "room_version": "12" }));
    let (_, json) = maker.make(BOB, "m.room.message", None, json!({}), &[]);
    let unsigned = sign_for_departure(&json, &rules, |_| None).expect("an event");
    assert_eq!(serde_json::to_value(&unsigned["signatures"]).expect("JSON"), json!({}));
    sign_for_departure("[]", &rules, |_| None).expect_err("no event");
}
