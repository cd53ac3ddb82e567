//! What the rules cost for one message: parsing, canonical JSON and hashes, authorisation, the form for
//! clients. Everything here is pure; nothing is stored or sent.
#![allow(missing_docs, reason = "criterion's macros make public functions")]

use std::{collections::HashMap, hint::black_box, sync::Arc};

use criterion::{BatchSize, Criterion, criterion_group, criterion_main};
use linkspan_domain::{
    ClientEvent, Draft, Pdu, Place, SharedPdu, StateKey, Unsigned, auth_event_keys, authorize,
    check_auth_events, parse_content, versions,
};
use ruma::{
    EventId, MilliSecondsSinceUnixEpoch, OwnedRoomId, OwnedUserId, RoomVersionId, UInt,
    events::room::member::MembershipState, room_version_rules::RoomVersionRules,
};
use serde_json::{Value, json};

const MESSAGE: &str =
    r#"{"msgtype":"m.text","body":"We meet at the bridge, at nine. Bring the small boat."}"#;

/// A room of version 12 whose people may write, and a message in it.
struct Room {
    rules: RoomVersionRules,
    id: OwnedRoomId,
    member: OwnedUserId,
    state: HashMap<StateKey, SharedPdu>,
    newest: SharedPdu,
}

fn user(id: &str) -> OwnedUserId {
    id.try_into().expect("a user id")
}

fn at(seconds: u32) -> MilliSecondsSinceUnixEpoch {
    MilliSecondsSinceUnixEpoch(UInt::from(seconds))
}

impl Room {
    fn new() -> Self {
        let rules = versions::rules(&RoomVersionId::V12).expect("version 12 is hosted");
        let creator = user("@anna:instagram.localhost");
        let content = parse_content(r#"{"room_version":"12"}"#).expect("JSON");
        let (create, _) = Draft::state("m.room.create".into(), "", content)
            .into_pdu(&rules, None, &creator, at(1), Place::default())
            .expect("a create event");
        let member = user("@ben:messenger.localhost");
        let (id, create) = (create.room_id.clone(), Arc::new(create));
        let state = HashMap::from([(("m.room.create".into(), String::new()), create.clone())]);
        let mut room = Self { rules, id, member, state, newest: create };
        room.put("m.room.member", creator.as_str(), &creator, &json!({"membership": "join"}));
        let levels = json!({"events": {"m.room.name": 50}, "users": {&room.member: 50}});
        room.put("m.room.power_levels", "", &creator, &levels);
        room.put("m.room.join_rules", "", &creator, &json!({"join_rule": "public"}));
        let member = room.member.clone();
        let content = json!({"membership": "join", "displayname": "Ben"});
        room.put("m.room.member", member.as_str(), &member, &content);
        room
    }

    fn put(&mut self, event_type: &str, state_key: &str, sender: &OwnedUserId, content: &Value) {
        let content = parse_content(&content.to_string()).expect("JSON");
        let draft = Draft::state(event_type.into(), state_key, content);
        let place = self.place(&draft, sender);
        let (pdu, _) =
            draft.into_pdu(&self.rules, Some(&self.id), sender, at(2), place).expect("a state event");
        self.newest = Arc::new(pdu);
        let entry = self.newest.state_entry().expect("a state event");
        self.state.insert(entry, self.newest.clone());
    }

    /// The place of an event that follows the newest one and is allowed by the state.
    fn place(&self, draft: &Draft, sender: &OwnedUserId) -> Place {
        let content = serde_json::value::to_raw_value(&draft.content).expect("JSON");
        let state_key = draft.state_key.as_deref();
        let keys = auth_event_keys(&self.rules, &draft.event_type, sender, state_key, &content);
        let keys = keys.expect("an event with a type");
        Place {
            prev_events: vec![self.newest.event_id.clone()],
            auth_events: keys
                .iter()
                .filter_map(|key| self.state.get(key))
                .map(|pdu| pdu.event_id.clone())
                .collect(),
            depth: self.newest.depth + 1,
        }
    }

    fn draft(&self) -> (Draft, Place) {
        let draft = Draft::message("m.room.message".into(), parse_content(MESSAGE).expect("JSON"));
        let place = self.place(&draft, &self.member);
        (draft, place)
    }

    fn message(&self) -> (Pdu, String) {
        let (draft, place) = self.draft();
        draft.into_pdu(&self.rules, Some(&self.id), &self.member, at(3), place).expect("a message")
    }
}

fn making(criterion: &mut Criterion) {
    let room = Room::new();
    criterion.bench_function("parse the content of a message", |bench| {
        bench.iter(|| parse_content(black_box(MESSAGE)));
    });
    criterion.bench_function("make an event: canonical JSON and hashes", |bench| {
        let make = |(draft, place): (Draft, Place)| {
            draft.into_pdu(&room.rules, Some(&room.id), &room.member, at(3), place)
        };
        bench.iter_batched(|| room.draft(), make, BatchSize::SmallInput);
    });
    let (pdu, json) = room.message();
    criterion.bench_function("read a stored event", |bench| {
        let read = |event_id| Pdu::from_stored(event_id, black_box(&json));
        bench.iter_batched(|| pdu.event_id.clone(), read, BatchSize::SmallInput);
    });
}

fn authorisation(criterion: &mut Criterion) {
    let room = Room::new();
    let pdu: SharedPdu = Arc::new(room.message().0);
    let entry = |event_type: &_, state_key: &str| {
        room.state
            .iter()
            .find(|((known, key), _)| known == event_type && key == state_key)
            .map(|(_, pdu)| pdu.clone())
    };
    authorize(&room.rules, &pdu, entry).expect("the member may write");
    criterion.bench_function("authorise a message against the state", |bench| {
        bench.iter(|| authorize(&room.rules, black_box(&pdu), entry));
    });
    let by_id = |id: &EventId| room.state.values().find(|pdu| pdu.event_id == id).cloned();
    check_auth_events(&room.rules, &pdu, by_id).expect("they were chosen by the rules");
    criterion.bench_function("check the auth events of a message", |bench| {
        bench.iter(|| check_auth_events(&room.rules, black_box(&pdu), by_id));
    });
}

fn rendering(criterion: &mut Criterion) {
    let (pdu, _) = Room::new().message();
    let unsigned =
        Unsigned { age: Some(1234), membership: Some(MembershipState::Join), ..Unsigned::default() };
    criterion.bench_function("render an event for a client", |bench| {
        let render = |unsigned| ClientEvent::without_room_id(black_box(&pdu), unsigned).to_json();
        bench.iter_batched(|| unsigned.clone(), render, BatchSize::SmallInput);
    });
}

criterion_group!(benches, making, authorisation, rendering);
criterion_main!(benches);
