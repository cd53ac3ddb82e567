//! Events and the rules of rooms, in every room version.

mod departure;
mod encryption;
mod events;
mod fuzz;
mod rules;
#[path = "../../../tests/harness/sealed.rs"]
mod sealed;
mod third_party_invites;

use std::sync::Arc;

use linkspan_domain::{Draft, Pdu, Place, SharedPdu};
use ruma::{
    CanonicalJsonObject, MilliSecondsSinceUnixEpoch, OwnedEventId, OwnedRoomId, OwnedUserId, UInt,
    room_version_rules::RoomVersionRules,
};
use serde_json::{Value, json};

pub(crate) const ALICE: &str = "@alice:a.example";
pub(crate) const BOB: &str = "@bob:b.example";

pub(crate) fn user(user_id: &str) -> OwnedUserId {
    user_id.try_into().expect("a user id")
}

pub(crate) fn object(value: Value) -> CanonicalJsonObject {
    serde_json::from_value(value).expect("canonical JSON")
}

pub(crate) fn at(ts: u32) -> MilliSecondsSinceUnixEpoch {
    MilliSecondsSinceUnixEpoch(UInt::from(ts))
}

/// Makes the events of a room.
pub(crate) struct Maker {
    pub(crate) rules: RoomVersionRules,
    pub(crate) room_id: OwnedRoomId,
    pub(crate) create: SharedPdu,
    clock: u32,
}

impl Maker {
    pub(crate) fn new(rules: RoomVersionRules, content: Value) -> Self {
        let chosen: OwnedRoomId = "!room:a.example".try_into().expect("a room id");
        let room_id = (!linkspan_domain::room_id_is_hash(&rules)).then_some(&chosen);
        let draft = Draft::state("m.room.create".into(), "", object(content));
        let place = Place { depth: 1, ..Place::default() };
        let (create, _) = draft.into_pdu(&rules, room_id, &user(ALICE), at(1), place).expect("an event");
        Self { rules, room_id: create.room_id.clone(), create: Arc::new(create), clock: 1 }
    }

    pub(crate) fn make(
        &mut self,
        sender: &str,
        event_type: &str,
        state_key: Option<&str>,
        content: Value,
        auth: &[&SharedPdu],
    ) -> (SharedPdu, String) {
        self.clock += 1;
        let draft = Draft {
            event_type: event_type.into(),
            state_key: state_key.map(str::to_owned),
            redacts: None,
            content: object(content),
        };
        let place = Place {
            prev_events: vec![self.create.event_id.clone()],
            auth_events: auth.iter().map(|event| event.event_id.clone()).collect::<Vec<OwnedEventId>>(),
            depth: 2,
        };
        let made = draft.into_pdu(&self.rules, Some(&self.room_id), &user(sender), at(self.clock), place);
        let (pdu, json) = made.expect("an event");
        (Arc::new(pdu), json)
    }

    pub(crate) fn state(&mut self, sender: &str, event_type: &str, key: &str, content: Value) -> SharedPdu {
        self.make(sender, event_type, Some(key), content, &[]).0
    }

    pub(crate) fn member(&mut self, sender: &str, target: &str, membership: &str) -> SharedPdu {
        self.state(sender, "m.room.member", target, json!({ "membership": membership }))
    }
}

pub(crate) fn received(json: &str, rules: &RoomVersionRules) -> Result<Pdu, linkspan_domain::PduError> {
    Pdu::from_received(&serde_json::from_str(json).expect("canonical JSON"), rules)
}
