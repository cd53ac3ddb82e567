//! Which invitations the rules of rooms allow because of a third-party invite.

use std::collections::HashMap;

use linkspan_domain::{InvitationKey, SharedPdu, StateKey, auth_event_keys, authorize, check_form, versions};
use ruma::{
    events::{StateEventType, TimelineEventType},
    signatures::Ed25519KeyPair,
};
use serde_json::{Value, json, value::to_raw_value};

use crate::{ALICE, BOB, Maker, user};

const CARL: &str = "@carl:b.example";

fn new_key() -> InvitationKey {
    InvitationKey::from_der(&Ed25519KeyPair::generate()).expect("a key")
}

fn content_of(key: &InvitationKey) -> Value {
    serde_json::to_value(key.content("b…@e…", "https://a.example/isvalid")).expect("JSON")
}

/// The content of an invitation of somebody with the proof of a key.
fn invitation(key: &InvitationKey, user_id: &str) -> Value {
    let server = "a.example".try_into().expect("a server name");
    let proof = key.proof("b…@e…", &user(user_id), server).expect("it is signed");
    json!({ "membership": "invite", "third_party_invite": proof })
}

struct Scene {
    maker: Maker,
    state: Vec<SharedPdu>,
}

impl Scene {
    fn allows(&mut self, sender: &str, invited: &str, content: Value) -> bool {
        let rules = self.maker.rules.clone();
        let event = self.maker.state(sender, "m.room.member", invited, content.clone());
        let state: HashMap<StateKey, SharedPdu> =
            self.state.iter().map(|event| (event.state_entry().expect("state"), event.clone())).collect();
        let content = to_raw_value(&content).expect("JSON");
        let keys =
            auth_event_keys(&rules, &TimelineEventType::RoomMember, &user(sender), Some(invited), &content);
        let keys = keys.expect("it has the form of a membership");
        check_form(&rules, &event, &self.maker.create).is_ok()
            && authorize(&rules, &event, |event_type, key| {
                // Only what the event names as allowing it is looked at, and the create event, which all follow.
                let key = (event_type.clone(), key.to_owned());
                let is_named = keys.contains(&key) || *event_type == StateEventType::RoomCreate;
                is_named.then(|| state.get(&key).cloned()).flatten()
            })
            .is_ok()
    }
}

#[test]
fn whoever_the_key_names_is_invited_in_every_version() {
    for version in versions::SUPPORTED {
        let rules = versions::rules(&version).expect("rules");
        let mut maker = Maker::new(rules, json!({ "room_version": version, "creator": ALICE }));
        let (key, other) = (new_key(), new_key());
        let state = vec![
            maker.create.clone(),
            maker.member(ALICE, ALICE, "join"),
            maker.state(ALICE, "m.room.join_rules", "", json!({ "join_rule": "invite" })),
            maker.state(ALICE, "m.room.third_party_invite", &key.token(), content_of(&key)),
            maker.member(ALICE, CARL, "ban"),
        ];
        let mut scene = Scene { maker, state };
        let mut allows = |sender, invited, content| scene.allows(sender, invited, content);
        assert!(allows(ALICE, BOB, invitation(&key, BOB)), "{version}");
        assert!(!allows(ALICE, "@dora:b.example", invitation(&key, BOB)), "{version}: it names another");
        assert!(!allows(BOB, BOB, invitation(&key, BOB)), "{version}: whoever invited sends it");
        assert!(!allows(ALICE, CARL, invitation(&key, CARL)), "{version}: who is banned stays out");
        assert!(!allows(ALICE, BOB, invitation(&other, BOB)), "{version}: nobody was invited with this key");
        let mut forged = invitation(&other, BOB);
        forged["third_party_invite"]["signed"]["token"] = json!(key.token());
        assert!(!allows(ALICE, BOB, forged), "{version}: another key has signed");
        let mut unsigned = invitation(&key, BOB);
        unsigned["third_party_invite"]["signed"]["signatures"] = json!({});
        assert!(!allows(ALICE, BOB, unsigned), "{version}");

        let empty = scene.maker.state(ALICE, "m.room.third_party_invite", &key.token(), json!({}));
        scene.state[3] = empty;
        assert!(!scene.allows(ALICE, BOB, invitation(&key, BOB)), "{version}: it was taken back");
    }
}
