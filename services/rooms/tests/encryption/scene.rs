//! A room, who may be in it, and what they do.

use std::cell::Cell;

use linkspan_rooms::{
    CreateRoom, DelayQuery, EventFilter, InitialState, Inserted, NewDelayedEvent, Preset, RoomsError,
};
use linkspan_storage::{
    WriteSet,
    catalogue::{Accounts, UserKey},
    records::AccountRecord,
};
use ruma::{OwnedDeviceId, OwnedEventId, OwnedRoomId, RoomVersionId, events::StateEventType};
use serde_json::{Value, json};

use crate::world::{Graph, World, object, room_of, user};

pub(crate) const ALICE: &str = "@alice:a.localhost";
pub(crate) const BOB: &str = "@bob:b.localhost";
/// A user of the platform that requires encryption.
pub(crate) const RITA: &str = "@rita:r.localhost";
pub(crate) const ROLF: &str = "@rolf:r.localhost";
/// A user of the platform that forbids it.
pub(crate) const FINN: &str = "@finn:f.localhost";
pub(crate) const FRED: &str = "@fred:f.localhost";
pub(crate) const CAROL: &str = "@carol:far.example";

pub(crate) const PLATFORMS: [(&str, &str); 4] = [
    ("a.localhost", "optional"),
    ("b.localhost", "optional"),
    ("r.localhost", "required"),
    ("f.localhost", "forbidden"),
];
/// The same before anybody had a rule.
pub(crate) const LENIENT: [(&str, &str); 4] = [
    ("a.localhost", "optional"),
    ("b.localhost", "optional"),
    ("r.localhost", "optional"),
    ("f.localhost", "optional"),
];

pub(crate) const REQUIRED: &str = "encryption_required";
pub(crate) const FORBIDDEN: &str = "encryption_forbidden";
pub(crate) const EXCLUDE: &str = "encryption_rules_exclude";

pub(crate) type Outcome = Result<(), &'static str>;

pub(crate) fn device() -> OwnedDeviceId {
    "DEVICE".into()
}

pub(crate) fn algorithm() -> Value {
    json!({ "algorithm": "m.megolm.v1.aes-sha2" })
}

pub(crate) fn sealed() -> Value {
    crate::sealed::to_room()
}

pub(crate) fn said(words: &str) -> Value {
    json!({ "msgtype": "m.text", "body": words })
}

pub(crate) fn state(event_type: &str, content: Value) -> InitialState {
    InitialState { event_type: event_type.to_owned(), state_key: String::new(), content: object(content) }
}

pub(crate) fn command(preset: Preset) -> CreateRoom {
    CreateRoom {
        power_levels: object(json!({ "state_default": 0, "invite": 0, "events": {} })),
        ..room_of(None, preset)
    }
}

/// What the rules said: nothing, or which of them was broken. Anything else that goes wrong is not their affair.
#[track_caller]
pub(crate) fn outcome<T>(result: Result<T, RoomsError>, context: &str) -> Outcome {
    match result {
        Ok(_) => Ok(()),
        Err(RoomsError::Encryption(refusal)) => {
            let words = refusal.to_string();
            assert!(words.contains("end-to-end encryption") && words.contains(".localhost"), "{words}");
            Err(refusal.rule())
        }
        Err(error) => panic!("{context}: {error}"),
    }
}

/// A room with alice and bob, who have no rule, and carol, whose server is not hosted here.
pub(crate) struct Scene {
    pub(crate) world: World,
    pub(crate) room_id: OwnedRoomId,
    /// The last event before anybody of a platform with a rule was there.
    pub(crate) before: OwnedEventId,
    pub(crate) count: usize,
    /// The time of the next event. If two changes were made in one millisecond, a resolution of forks might
    /// take either.
    pub(crate) clock: Cell<u64>,
}

impl Scene {
    pub(crate) async fn open(
        platforms: &[(&'static str, &'static str)],
        encrypted: bool,
        join_rule: &str,
    ) -> Self {
        let world = World::of_platforms(platforms).await;
        for user_id in [ALICE, BOB, RITA, ROLF, FINN, FRED] {
            let record = AccountRecord {
                password_hash: None,
                created_ts: 0,
                deactivated: false,
                admin: false,
                locked: false,
                guest: false,
                suspended: false,
            };
            let mut writes = WriteSet::new();
            writes.put::<Accounts>(&UserKey { user_id: user(user_id) }, &record);
            world.store.commit(writes).await.expect("written");
        }
        let mut command = command(Preset::PublicChat);
        command.initial_state.push(state("m.room.join_rules", json!({ "join_rule": "public" })));
        if encrypted {
            command.initial_state.push(state("m.room.encryption", algorithm()));
        }
        let room_id = world.rooms.create_room(&user(ALICE), command, 1_000).await.expect("a room");
        world.rooms.join_room(&user(BOB), &room_id, None, 1_001).await.expect("bob joins");
        let mut graph = Graph::of_room(&world, &room_id, &RoomVersionId::V12).await;
        let join = graph.member(CAROL, CAROL, "join", &[]);
        assert!(matches!(world.insert(&graph, &join).await, Inserted::InTimeline(_)));
        let scene = Self { world, room_id, before: join, count: 0, clock: Cell::new(10_000) };
        let rule = match join_rule {
            "restricted" => {
                let other = scene.other_room().await;
                let allow = json!([{ "type": "m.room_membership", "room_id": other }]);
                json!({ "join_rule": "restricted", "allow": allow })
            }
            rule => json!({ "join_rule": rule }),
        };
        scene.set(ALICE, "m.room.join_rules", "", rule).await.expect("a rule");
        scene
    }

    /// A space, in which everybody may be, with everybody in it.
    pub(crate) async fn other_room(&self) -> OwnedRoomId {
        let mut command = command(Preset::PublicChat);
        command.creation_content = object(json!({ "type": "m.space" }));
        let room_id = self.world.rooms.create_room(&user(ALICE), command, 1_000).await.expect("a room");
        for user_id in [RITA, FINN] {
            self.world.rooms.join_room(&user(user_id), &room_id, None, 1_001).await.expect("joined");
        }
        room_id
    }

    pub(crate) fn now(&self) -> u64 {
        self.clock.set(self.clock.get() + 1);
        self.clock.get()
    }

    pub(crate) async fn send(
        &mut self,
        sender: &str,
        event_type: &str,
        content: Value,
    ) -> Result<OwnedEventId, RoomsError> {
        self.count += 1;
        let (sender, content, txn_id) = (user(sender), content.to_string(), format!("t{}", self.count));
        let rooms = &self.world.rooms;
        rooms
            .send_message(
                &sender,
                &device(),
                &self.room_id,
                event_type,
                &content,
                Vec::new(),
                &txn_id,
                self.now(),
            )
            .await
    }

    /// Schedules what somebody says; what is refused is not kept.
    pub(crate) async fn later(
        &mut self,
        sender: &str,
        event_type: &str,
        state_key: Option<&str>,
        content: Value,
    ) -> Result<String, RoomsError> {
        self.count += 1;
        let event = NewDelayedEvent {
            attached: Vec::new(),
            room_id: self.room_id.clone(),
            event_type: event_type.to_owned(),
            state_key: state_key.map(str::to_owned),
            content: content.to_string(),
            delay_ms: 1_000_000,
            endpoint: "delayed_event",
            txn_id: Some(format!("t{}", self.count)),
        };
        let (rooms, sender) = (&self.world.rooms, user(sender));
        let before = rooms.list_delayed_events(&sender, &DelayQuery::default()).await?.len();
        let scheduled = rooms.schedule_event(&sender, &device(), event, self.now()).await;
        let after = rooms.list_delayed_events(&sender, &DelayQuery::default()).await?.len();
        assert_eq!(after - before, usize::from(scheduled.is_ok()), "{event_type} {content}");
        scheduled
    }

    pub(crate) async fn set(
        &self,
        sender: &str,
        event_type: &str,
        state_key: &str,
        content: Value,
    ) -> Result<OwnedEventId, RoomsError> {
        let (sender, content) = (user(sender), content.to_string());
        self.world.rooms.set_state(&sender, &self.room_id, event_type, state_key, &content, self.now()).await
    }

    pub(crate) async fn redact(
        &mut self,
        sender: &str,
        target: &OwnedEventId,
    ) -> Result<OwnedEventId, RoomsError> {
        self.count += 1;
        let (sender, txn_id) = (user(sender), format!("t{}", self.count));
        let (rooms, reason) = (&self.world.rooms, Some("see you at eight"));
        rooms.redact_event(&sender, &device(), &self.room_id, target, reason, &txn_id, self.now()).await
    }

    pub(crate) async fn graph(&self) -> Graph {
        Graph::of_room(&self.world, &self.room_id, &RoomVersionId::V12).await
    }

    /// An event made elsewhere, after the last one or beside all that came since people with rules did.
    pub(crate) async fn insert(
        &self,
        sender: &str,
        event_type: &str,
        state_key: Option<&str>,
        content: Value,
        beside: bool,
    ) -> (OwnedEventId, Inserted) {
        let mut graph = self.graph().await;
        graph.clock = self.now();
        let base = if beside { self.before.clone() } else { graph.base.clone() };
        let event_id = graph.event(sender, event_type, state_key, content, &[&base]);
        let became = self.world.insert(&graph, &event_id).await;
        (event_id, became)
    }

    /// The same as an outcome: what is against a rule is hidden.
    pub(crate) async fn inserted(
        &self,
        event_type: &str,
        state_key: Option<&str>,
        content: Value,
        beside: bool,
    ) -> Outcome {
        let (event_id, became) = self.insert(CAROL, event_type, state_key, content, beside).await;
        match became {
            Inserted::InTimeline(_) => Ok(()),
            Inserted::SoftFailed(words) => {
                assert!(words.contains("end-to-end encryption"), "{words}");
                let shown = self.world.rooms.event(&self.room_id, &event_id).await.expect("read");
                assert!(shown.is_none());
                Err(if words.contains("requires") { REQUIRED } else { FORBIDDEN })
            }
            other => panic!("{event_type} became {other:?}"),
        }
    }

    pub(crate) async fn encryption(&self) -> Value {
        let event = self.world.rooms.state_event(&self.room_id, &StateEventType::RoomEncryption, "").await;
        event
            .expect("read")
            .map_or(Value::Null, |event| serde_json::from_str(event.content.get()).expect("JSON"))
    }

    /// What a user sees of the timeline.
    pub(crate) async fn seen(&self, reader: &str) -> Vec<linkspan_domain::SharedPdu> {
        let mut view = self.world.rooms.view(&user(reader), &self.room_id).await.expect("a view");
        let page = self
            .world
            .rooms
            .messages(&mut view, None, None, true, 1_000, &EventFilter::default())
            .await
            .expect("a page");
        page.events.iter().map(|event| event.pdu.clone()).collect()
    }
}
