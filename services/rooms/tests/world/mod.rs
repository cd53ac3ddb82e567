//! A store with rooms for the tests, and a model of a room's graph that decides everything anew, without the
//! store: by ruma's resolution over whole states.

#![allow(dead_code, unreachable_pub)]

use std::{
    collections::{BTreeMap, BTreeSet, HashMap, HashSet},
    sync::Arc,
};

use linkspan_accounts::Accounts;
use linkspan_contacts::Contacts;
use linkspan_directory::Directory;
use linkspan_domain::{Draft, Pdu, Place, SharedPdu, auth_event_keys, authorize, check_auth_events};
use linkspan_inbox::Inbox;
use linkspan_platforms::Platforms;
use linkspan_rooms::{CreateRoom, Inserted, Preset, Rooms};
use linkspan_storage::{
    Faults, Memory, Range, Store, WriteSet,
    catalogue::{Accounts as AccountsTable, CurrentState, Members, RoomHeads, RoomKey, Timeline, UserKey},
    records::{AccountRecord, RoomHeadRecord},
};
use ruma::{
    CanonicalJsonObject, MilliSecondsSinceUnixEpoch, OwnedEventId, OwnedRoomId, OwnedUserId, RoomVersionId,
    UInt,
    events::{StateEventType, room::member::MembershipState},
    room_version_rules::RoomVersionRules,
    state_res::{self, utils::event_id_set::EventIdSet},
};
use serde_json::json;

/// The state of a room, by ids.
pub type State = HashMap<(StateEventType, String), OwnedEventId>;

/// The versions in which tests run. Each differs from the one before in a rule that matters to forks.
pub const VERSIONS: [RoomVersionId; 4] =
    [RoomVersionId::V6, RoomVersionId::V9, RoomVersionId::V11, RoomVersionId::V12];

/// Random numbers that a seed repeats.
pub struct Random(pub u64);

impl Random {
    /// From the environment variable `LINKSPAN_TEST_SEED`, or `seed`.
    pub fn seeded(seed: u64) -> Self {
        let given = std::env::var("LINKSPAN_TEST_SEED").ok().and_then(|seed| seed.parse().ok());
        Self(given.unwrap_or(seed))
    }

    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    pub fn below(&mut self, limit: usize) -> usize {
        (self.next() % limit as u64) as usize
    }

    pub fn shuffle<T>(&mut self, list: &mut [T]) {
        for at in (1..list.len()).rev() {
            list.swap(at, self.below(at + 1));
        }
    }
}

/// A store and the rooms in it.
pub struct World {
    pub engine: Arc<Memory>,
    pub store: Store,
    pub rooms: Rooms,
    /// The hosted platforms and their rule on encryption.
    platforms: Vec<(&'static str, &'static str)>,
}

pub fn user(user_id: &str) -> OwnedUserId {
    user_id.try_into().expect("a user id")
}

/// An account that was just created.
pub fn new_account() -> AccountRecord {
    AccountRecord {
        password_hash: None,
        created_ts: 0,
        deactivated: false,
        admin: false,
        suspended: false,
        locked: false,
        guest: false,
    }
}

/// Writes a user's account.
pub async fn put_account(store: &Store, user_id: OwnedUserId, account: &AccountRecord) {
    let mut writes = WriteSet::new();
    writes.put::<AccountsTable>(&UserKey { user_id }, account);
    store.commit(writes).await.expect("written");
}

/// What is asked for to create a room, of the platform's version unless another is given.
pub fn room_of(version: Option<RoomVersionId>, preset: Preset) -> CreateRoom {
    CreateRoom {
        version,
        preset,
        published: false,
        alias_name: None,
        name: None,
        topic: None,
        invite: Vec::new(),
        is_direct: false,
        initial_state: Vec::new(),
        creation_content: CanonicalJsonObject::new(),
        power_levels: CanonicalJsonObject::new(),
    }
}

pub fn object(value: serde_json::Value) -> CanonicalJsonObject {
    serde_json::from_value(value).expect("canonical JSON")
}

impl World {
    pub async fn new() -> Self {
        Self::of_platforms(&[("a.localhost", "optional"), ("b.localhost", "optional")]).await
    }

    /// With these platforms and their rules on encryption.
    pub async fn of_platforms(platforms: &[(&'static str, &'static str)]) -> Self {
        Self::over(Memory::with_faults(Faults::default()).expect("an engine"), platforms).await
    }

    async fn over(engine: Arc<Memory>, hosted: &[(&'static str, &'static str)]) -> Self {
        let store = Store::in_memory(engine.clone());
        let settings = hosted.iter().map(|(name, rule)| {
            let settings =
                json!({ "name": name, "server_name": name, "rate_limits": false, "encryption": rule });
            serde_json::from_value(settings).expect("settings")
        });
        let platforms = Platforms::open(&store, settings.collect(), 0).await.expect("platforms");
        let platforms = Arc::new(platforms);
        let accounts = Accounts::new(store.clone());
        let directory = Directory::new(store.clone(), platforms.clone());
        let inbox = Inbox::new(store.clone(), 0);
        let contacts = Contacts::new(store.clone(), platforms.clone(), accounts.clone());
        let rooms = Rooms::new(store.clone(), platforms, accounts, contacts, directory, inbox, || 0);
        Self { engine, store, rooms, platforms: hosted.to_vec() }
    }

    /// The same store again, as it is on disk now.
    pub async fn copy(&self) -> Self {
        self.reopen(&self.platforms).await
    }

    /// The same store again, with other rules.
    pub async fn reopen(&self, platforms: &[(&'static str, &'static str)]) -> Self {
        Self::over(self.engine.image().expect("an engine"), platforms).await
    }

    /// Runs tasks so far that all that they write waits for the disk, then lets it go on.
    pub async fn at_once<T: Send + 'static>(
        &self,
        tasks: impl IntoIterator<Item = impl Future<Output = T> + Send + 'static>,
    ) -> Vec<T> {
        let held = self.engine.hold_disk().expect("a disk");
        let tasks: tokio::task::JoinSet<T> = tasks.into_iter().collect();
        // One thread runs all: each turn lets every task go on until it waits.
        for _ in 0..500 {
            tokio::task::yield_now().await;
        }
        drop(held);
        tasks.join_all().await
    }

    pub async fn head(&self, room_id: &OwnedRoomId) -> RoomHeadRecord {
        self.store
            .get::<RoomHeads>(&RoomKey { room_id: room_id.clone() })
            .await
            .expect("read")
            .expect("a head")
    }

    /// The current state by the table.
    pub async fn current(&self, room_id: &OwnedRoomId) -> State {
        let rows = self.store.range::<CurrentState>(Range::prefix((room_id,))).await.expect("read");
        rows.into_iter()
            .map(|(key, entry)| {
                ((key.event_type.as_str().into(), key.state_key), entry.event_id.expect("an event"))
            })
            .collect()
    }

    /// Members and their memberships.
    pub async fn members(&self, room_id: &OwnedRoomId) -> BTreeMap<OwnedUserId, MembershipState> {
        let rows = self.store.range::<Members>(Range::prefix((room_id,))).await.expect("read");
        rows.into_iter().map(|(key, member)| (key.user_id, member.membership)).collect()
    }

    pub async fn check_tables(&self, context: &str) {
        let findings = self.rooms.audit().await.expect("an audit");
        assert!(findings.is_empty(), "{context}: {findings:#?}");
    }

    pub async fn insert(&self, graph: &Graph, event_id: &OwnedEventId) -> Inserted {
        let event = &graph.events[event_id];
        self.rooms.insert_event(&graph.room_id, &event.object, 5_000).await.expect("an answer")
    }

    /// Inserts events in this order; what misses others comes again after them.
    pub async fn insert_all(&self, graph: &Graph, order: &[OwnedEventId]) -> HashMap<OwnedEventId, Inserted> {
        let mut became = HashMap::new();
        let mut waiting = order.to_vec();
        while !waiting.is_empty() {
            let before = waiting.len();
            let mut again = Vec::new();
            for event_id in waiting {
                match self.insert(graph, &event_id).await {
                    Inserted::Missing(_) => again.push(event_id),
                    other => {
                        became.insert(event_id, other);
                    }
                }
            }
            assert!(again.len() < before, "events that miss each other");
            waiting = again;
        }
        became
    }

    /// All that must hold however the graph came in: tables agree, the current state is the resolution of
    /// the ends, and the state around every event is the one that the model finds.
    pub async fn check(&self, graph: &Graph, context: &str) {
        self.check_tables(context).await;
        let head = self.head(&graph.room_id).await;
        let ends: Vec<&OwnedEventId> = head.extremities.iter().collect();
        let current = self.current(&graph.room_id).await;
        assert_eq!(current, graph.resolve(&ends), "{context}: the current state is not that of the ends");
        for event in self.rooms.timeline(&graph.room_id, 0, head.seq, usize::MAX).await.expect("read") {
            let Some(expected) = graph.events.get(&event.pdu.event_id) else { continue };
            let before = self.rooms.state_map(&graph.room_id, event.state_before).await.expect("a state");
            let after = self.rooms.state_map(&graph.room_id, event.state_after).await.expect("a state");
            assert_eq!(before, expected.before, "{context}: before {}", event.pdu.event_id);
            assert_eq!(after, expected.after, "{context}: after {}", event.pdu.event_id);
        }
    }
}

/// An event of the model.
pub struct ModelEvent {
    pub pdu: SharedPdu,
    pub object: CanonicalJsonObject,
    pub before: State,
    pub after: State,
}

/// A model of a room's graph.
pub struct Graph {
    pub room_id: OwnedRoomId,
    pub rules: RoomVersionRules,
    pub events: HashMap<OwnedEventId, ModelEvent>,
    /// The last event of the room as it was made through the service.
    pub base: OwnedEventId,
    pub clock: u64,
}

impl Graph {
    /// A public room of this version with alice@a (the creator), bob@b, and carol and dave of another server,
    /// of whom bob and carol have power 50; and its model.
    pub async fn start(world: &World, version: &RoomVersionId) -> Self {
        let command = CreateRoom {
            name: Some("forks".into()),
            topic: Some("first".into()),
            ..room_of(Some(version.clone()), Preset::PublicChat)
        };
        let alice = user("@alice:a.localhost");
        let room_id = world.rooms.create_room(&alice, command, 1_000).await.expect("a room");
        let bob = user("@bob:b.localhost");
        world.rooms.join_room(&bob, &room_id, None, 1_001).await.expect("bob joins");
        let mut graph = Self::of_room(world, &room_id, version).await;
        for outside in ["@carol:far.example", "@dave:far.example"] {
            let base = graph.base.clone();
            let join = graph.member(outside, outside, "join", &[&base]);
            assert!(matches!(world.insert(&graph, &join).await, Inserted::InTimeline(_)));
            graph.base = join;
        }
        let levels = graph.levels(json!({ "@bob:b.localhost": 50, "@carol:far.example": 50 }), &[]);
        assert!(matches!(world.insert(&graph, &levels).await, Inserted::InTimeline(_)));
        graph.base = levels;
        world.check(&graph, "the start").await;
        graph
    }

    /// The model of a room that has no forks yet.
    pub async fn of_room(world: &World, room_id: &OwnedRoomId, version: &RoomVersionId) -> Self {
        let rules = version.rules().expect("rules");
        let rows = world.store.range::<Timeline>(Range::prefix((room_id,))).await.expect("read");
        let mut events = HashMap::new();
        let mut state = State::new();
        let mut base = None;
        for (_, stored) in rows {
            let object: CanonicalJsonObject = serde_json::from_str(&stored.value.pdu).expect("JSON");
            let pdu = Arc::new(Pdu::from_received(&object, &rules).expect("an event"));
            let before = state.clone();
            if let Some(entry) = pdu.state_entry() {
                state.insert(entry, pdu.event_id.clone());
            }
            base = Some(pdu.event_id.clone());
            let event = ModelEvent { pdu: pdu.clone(), object, before, after: state.clone() };
            events.insert(pdu.event_id.clone(), event);
        }
        Self { room_id: room_id.clone(), rules, events, base: base.expect("events"), clock: 2_000 }
    }

    pub fn pdu(&self, event_id: &OwnedEventId) -> &SharedPdu {
        &self.events[event_id].pdu
    }

    fn auth_chain<'a>(&self, from: impl Iterator<Item = &'a OwnedEventId>) -> HashSet<OwnedEventId> {
        let mut chain = HashSet::new();
        let mut stack: Vec<_> = from.flat_map(|id| self.pdu(id).auth_events.clone()).collect();
        while let Some(id) = stack.pop() {
            if chain.insert(id.clone()) {
                stack.extend(self.pdu(&id).auth_events.clone());
            }
        }
        chain
    }

    /// Ruma's resolution of the states after these events.
    pub fn resolve(&self, ends: &[&OwnedEventId]) -> State {
        let mut states: Vec<State> = Vec::new();
        for end in ends {
            let after = &self.events[*end].after;
            if !states.contains(after) {
                states.push(after.clone());
            }
        }
        if let [only] = &states[..] {
            return only.clone();
        }
        let chains: Vec<EventIdSet<OwnedEventId>> =
            states.iter().map(|state| self.auth_chain(state.values()).into_iter().collect()).collect();
        state_res::resolve(
            &self.rules.authorization,
            self.rules.state_res.v2_rules().expect("version 2"),
            &states,
            chains,
            |id| self.events.get(id).map(|event| event.pdu.clone()),
            |conflicted| {
                // By definition: what is in the chain of one conflicted event and has another in its own.
                let all: HashSet<OwnedEventId> = conflicted.values().flatten().cloned().collect();
                let mut found = all.clone();
                for candidate in self.auth_chain(all.iter()) {
                    let chain = self.auth_chain(std::iter::once(&candidate));
                    if chain.iter().any(|id| all.contains(id)) {
                        found.insert(candidate);
                    }
                }
                Some(found.into_iter().collect())
            },
        )
        .expect("a resolution")
    }

    /// Makes an event that follows `prev` (nothing: the base) and adds it to the model. Not allowed events
    /// change no state.
    pub fn event(
        &mut self,
        sender: &str,
        event_type: &str,
        state_key: Option<&str>,
        content: serde_json::Value,
        prev: &[&OwnedEventId],
    ) -> OwnedEventId {
        let base = self.base.clone();
        let prev = if prev.is_empty() { vec![&base] } else { prev.to_vec() };
        let before = self.resolve(&prev);
        let raw = serde_json::value::to_raw_value(&content).expect("JSON");
        let keys = auth_event_keys(&self.rules, &event_type.into(), &user(sender), state_key, &raw)
            .expect("auth types");
        let auth_events = keys.iter().filter_map(|key| before.get(key).cloned()).collect();
        self.event_with(sender, event_type, state_key, content, &prev, auth_events)
    }

    /// The same with chosen auth events.
    pub fn event_with(
        &mut self,
        sender: &str,
        event_type: &str,
        state_key: Option<&str>,
        content: serde_json::Value,
        prev: &[&OwnedEventId],
        auth_events: Vec<OwnedEventId>,
    ) -> OwnedEventId {
        self.clock += 10;
        let before = self.resolve(prev);
        let depth = prev.iter().map(|id| self.pdu(id).depth).max().unwrap_or(0) + 1;
        let place = Place { prev_events: prev.iter().map(|&id| id.clone()).collect(), auth_events, depth };
        let draft = Draft {
            event_type: event_type.into(),
            state_key: state_key.map(str::to_owned),
            redacts: content.get("redacts").and_then(|id| id.as_str()?.try_into().ok()),
            content: object(content),
        };
        let ts = MilliSecondsSinceUnixEpoch(UInt::try_from(self.clock).expect("a time"));
        let (pdu, json) =
            draft.into_pdu(&self.rules, Some(&self.room_id), &user(sender), ts, place).expect("an event");
        let pdu = Arc::new(pdu);
        let allowed = self.allowed(&pdu, &before);
        let mut after = before.clone();
        if let Some(entry) = pdu.state_entry().filter(|_| allowed) {
            after.insert(entry, pdu.event_id.clone());
        }
        let object = serde_json::from_str(&json).expect("JSON");
        let event_id = pdu.event_id.clone();
        self.events.insert(event_id.clone(), ModelEvent { pdu, object, before, after });
        event_id
    }

    fn allowed(&self, pdu: &SharedPdu, before: &State) -> bool {
        let fetch = |id: &ruma::EventId| self.events.get(id).map(|event| event.pdu.clone());
        let of = |state: &HashMap<(StateEventType, String), SharedPdu>| {
            authorize(&self.rules, pdu, |event_type, key| {
                state.get(&(event_type.clone(), key.to_owned())).cloned()
            })
            .is_ok()
        };
        let named = |ids: &mut dyn Iterator<Item = &OwnedEventId>| -> HashMap<_, _> {
            ids.filter_map(|id| Some((self.pdu(id).state_entry()?, self.pdu(id).clone()))).collect()
        };
        let mut by_auth_events = named(&mut pdu.auth_events.iter());
        let before = named(&mut before.values());
        let create = (StateEventType::RoomCreate, String::new());
        by_auth_events.insert(create.clone(), before[&create].clone());
        check_auth_events(&self.rules, pdu, fetch).is_ok() && of(&by_auth_events) && of(&before)
    }

    pub fn message(&mut self, sender: &str, body: &str, prev: &[&OwnedEventId]) -> OwnedEventId {
        self.event(sender, "m.room.message", None, json!({ "msgtype": "m.text", "body": body }), prev)
    }

    pub fn topic(&mut self, sender: &str, topic: &str, prev: &[&OwnedEventId]) -> OwnedEventId {
        self.event(sender, "m.room.topic", Some(""), json!({ "topic": topic }), prev)
    }

    pub fn member(
        &mut self,
        sender: &str,
        target: &str,
        membership: &str,
        prev: &[&OwnedEventId],
    ) -> OwnedEventId {
        self.event(sender, "m.room.member", Some(target), json!({ "membership": membership }), prev)
    }

    /// Power levels set by alice; `users` without her.
    pub fn levels(&mut self, users: serde_json::Value, prev: &[&OwnedEventId]) -> OwnedEventId {
        self.levels_by("@alice:a.localhost", users, prev)
    }

    pub fn levels_by(
        &mut self,
        sender: &str,
        mut users: serde_json::Value,
        prev: &[&OwnedEventId],
    ) -> OwnedEventId {
        if !self.rules.authorization.explicitly_privilege_room_creators {
            users["@alice:a.localhost"] = json!(100);
        }
        let content = json!({
            "users": users, "users_default": 0, "events_default": 0, "state_default": 50, "ban": 50, "kick": 50,
            "redact": 50, "invite": 0, "events": { "m.room.power_levels": 50 },
        });
        self.event(sender, "m.room.power_levels", Some(""), content, prev)
    }

    /// The ends of the model.
    pub fn ends(&self) -> BTreeSet<OwnedEventId> {
        let named: HashSet<_> = self.events.values().flat_map(|event| &event.pdu.prev_events).collect();
        self.events.keys().filter(|id| !named.contains(id)).cloned().collect()
    }
}

/// All orders of a list.
pub fn permutations<T: Clone>(list: &[T]) -> Vec<Vec<T>> {
    let Some((first, rest)) = list.split_first() else { return vec![Vec::new()] };
    let mut all = Vec::new();
    for rest in permutations(rest) {
        for at in 0..=rest.len() {
            let mut order = rest.clone();
            order.insert(at, first.clone());
            all.push(order);
        }
    }
    all
}
