//! Compares what the clients know with what the server has, while nobody does anything.

use std::collections::{BTreeMap, HashMap, HashSet};

use http::Method;
use linkspan_tests::Body;
use serde_json::Value;

use crate::{
    Journal,
    accounts::check_newcomers,
    journal::{Created, Sent, ToDevice, World},
    key_backups::check_key_backups,
    sync::{State, SyncClient, list},
};

/// The number of events on a page of a room's history.
const PAGE: usize = 500;
/// How many things of a kind are looked at in a round, if each round makes more of them. They are the newest
/// ones.
const NEWEST: usize = 2;

/// How much is looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Extent {
    /// Only the newest things are looked at.
    Sample,
    /// Everything is looked at.
    All,
}

impl Extent {
    pub(crate) fn of<T>(self, list: &[T]) -> &[T] {
        match self {
            Self::Sample => &list[list.len().saturating_sub(NEWEST)..],
            Self::All => list,
        }
    }
}

/// The whole timeline of a room. The oldest event comes first.
struct Timeline {
    events: Vec<Value>,
    /// The index of each event.
    places: HashMap<String, usize>,
}

impl Timeline {
    async fn read(world: &World, person: usize, room_id: &str) -> Self {
        let mut events = Vec::new();
        let mut from = String::new();
        loop {
            let path = format!("/_matrix/client/v3/rooms/{room_id}/messages?dir=b&limit={PAGE}{from}");
            let page = world.get(person, &path).await;
            events.extend_from_slice(list(&page["chunk"]));
            match page["end"].as_str() {
                Some(end) => from = format!("&from={end}"),
                None => break,
            }
        }
        events.reverse();
        let mut places = HashMap::new();
        for (index, event) in events.iter().enumerate() {
            let twice = places.insert(event_id(event).to_owned(), index);
            assert!(twice.is_none(), "{} is twice in {room_id}", event_id(event));
        }
        Self { events, places }
    }

    fn place(&self, event_id: &str) -> usize {
        *self.places.get(event_id).unwrap_or_else(|| panic!("the acknowledged event {event_id} is not there"))
    }

    fn event(&self, event_id: &str) -> &Value {
        &self.events[self.place(event_id)]
    }
}

/// Checks that a place has certain events.
pub(crate) async fn check_has(world: &World, place: usize, event_ids: &[String]) {
    let place = &world.places[place];
    let timeline = Timeline::read(world, place.senders[0], &place.id).await;
    for event_id in event_ids {
        timeline.place(event_id);
    }
}

fn event_id(event: &Value) -> &str {
    event["event_id"].as_str().expect("an event id")
}

/// The id that the test gave to an event. None if the event is redacted or not of the test.
fn test_id(event: &Value) -> Option<&str> {
    event["content"]["test.id"].as_str().or(event["content"]["reason"].as_str())
}

/// Checks one of the rooms that are there from the start, as everybody whom it concerns sees it.
pub(crate) async fn check_place(world: &World, journal: &Journal, place: usize) {
    let room = &world.places[place];
    let timeline = Timeline::read(world, room.senders[0], &room.id).await;
    check_sent(journal, place, &timeline);
    check_redactions(journal, place, &timeline);
    check_threads(&timeline);
    let state = read_state(world, journal, place).await;
    for client in &journal.clients {
        check_client(world, journal, place, client, &timeline, &state);
    }
    check_memberships(world, journal, place).await;
}

/// Checks that every acknowledged event is there once, in the order in which its sender sent them, that no
/// other event is there twice, and that there is nothing that nobody sent.
fn check_sent(journal: &Journal, place: usize, timeline: &Timeline) {
    let mut seen = HashSet::new();
    for id in timeline.events.iter().filter_map(test_id) {
        assert!(seen.insert(id), "{id} was sent once and is there twice");
    }
    let mut tried = HashSet::new();
    for lane in &journal.messages {
        let mut last = 0;
        for Sent { send, event_id } in lane.sent.iter().filter(|sent| sent.send.place == place) {
            tried.insert(send.id.as_str());
            let Some(event_id) = event_id else { continue };
            let index = timeline.place(event_id);
            assert!(index > last, "{} of one sender are not in their order", send.id);
            last = index;
            let id = test_id(&timeline.events[index]);
            assert!(id.is_none_or(|id| id == send.id), "{event_id} is {id:?} instead of {}", send.id);
        }
        tried.extend(lane.pending().map(|send| send.id.as_str()));
    }
    for id in seen {
        assert!(tried.contains(id), "nobody has sent {id}");
    }
}

/// Checks that each redacted event is redacted for everybody and has a redaction in the timeline, and that
/// each redaction has its event.
fn check_redactions(journal: &Journal, place: usize, timeline: &Timeline) {
    let redactions = timeline.events.iter().filter(|event| event["type"] == "m.room.redaction");
    let targets: HashSet<_> = redactions
        .filter_map(|event| event["redacts"].as_str().or(event["content"]["redacts"].as_str()))
        .collect();
    for event in &timeline.events {
        let is_sent = event["type"] == "m.room.message" || event["type"] == "m.reaction";
        let is_redacted = is_sent && test_id(event).is_none();
        let id = event_id(event);
        assert_eq!(is_redacted, targets.contains(id), "{id} is redacted, or has a redaction, but not both");
    }
    for lane in &journal.messages {
        for sent in lane.sent.iter().filter(|sent| sent.send.place == place && sent.event_id.is_some()) {
            if let Some(target) = &sent.send.redacts {
                assert!(targets.contains(target.as_str()), "the redaction of {target} is lost");
            }
        }
    }
}

/// Checks that a thread has as many replies as it says.
fn check_threads(timeline: &Timeline) {
    let mut replies: BTreeMap<&str, u64> = BTreeMap::new();
    for event in &timeline.events {
        let relation = &event["content"]["m.relates_to"];
        if relation["rel_type"] == "m.thread" {
            *replies.entry(relation["event_id"].as_str().expect("a root")).or_default() += 1;
        }
    }
    for (root, count) in replies {
        let told = &timeline.event(root)["unsigned"]["m.relations"]["m.thread"]["count"];
        assert_eq!(told.as_u64(), Some(count), "the count of the thread {root}");
    }
}

/// Reads the state of a room, and checks that everybody's own entry is as it was acknowledged.
async fn read_state(world: &World, journal: &Journal, place: usize) -> State {
    let room = &world.places[place];
    let events = world.get(room.senders[0], &format!("/_matrix/client/v3/rooms/{}/state", room.id)).await;
    let mut state = State::new();
    let mut marks = HashMap::new();
    for event in list(&events) {
        let state_key = event["state_key"].as_str().expect("a state key");
        let event_type = event["type"].as_str().expect("a type");
        state.insert((event_type.to_owned(), state_key.to_owned()), event_id(event).to_owned());
        if event_type == "test.mark" {
            marks.insert(state_key.to_owned(), event["content"]["n"].as_u64().expect("a number"));
        }
    }
    for lane in &journal.settings {
        let user_id = &world.people[lane.person].user_id;
        let value = marks.get(user_id).copied().unwrap_or_default();
        let counter = lane.marks.get(&place).copied().unwrap_or_default();
        assert!(counter.allows(value), "{user_id} set {counter:?} in {}, and it is {value}", room.id);
    }
    state
}

/// Checks that a syncing client has been told of everything in a room, each thing once and in order.
fn check_client(
    world: &World,
    journal: &Journal,
    place: usize,
    client: &SyncClient,
    timeline: &Timeline,
    state: &State,
) {
    let user_id = &world.people[client.person].user_id;
    let Some(room) = client.rooms.get(&world.places[place].id).filter(|_| client.is_awake) else { return };
    let from = timeline.place(&room.timeline[0]);
    let expected: Vec<_> = timeline.events[from..].iter().map(event_id).collect();
    if room.timeline != expected {
        let at = room.timeline.iter().zip(&expected).take_while(|(told, there)| told == there).count();
        let (told, there) = (room.timeline.get(at), expected.get(at));
        panic!("{user_id} was told {told:?} after {at} of {} events, where {there:?} is", expected.len());
    }
    assert_eq!(&room.state, state, "the state of {} as {user_id} was told it", world.places[place].id);
    for lane in &journal.settings {
        let of_place = lane.receipts.iter().filter(|receipt| receipt.place == place);
        let reader = &world.people[lane.person].user_id;
        let told = room.receipts.get(reader);
        let newest = of_place.clone().filter(|receipt| receipt.is_acknowledged);
        let newest = newest.map(|receipt| timeline.place(&receipt.event_id)).max();
        if newest > told.map(|event_id| timeline.place(event_id)) {
            panic!("{user_id} was told of {reader}'s receipt {told:?}, but it is at {newest:?}");
        }
        let tried: HashSet<_> = of_place.map(|receipt| &receipt.event_id).collect();
        assert!(told.is_none_or(|event_id| tried.contains(event_id)), "nobody has set {told:?}");
    }
    if client.person == journal.lurker {
        let joined = state.get(&("m.room.member".to_owned(), user_id.clone())).expect("the lurker is in it");
        let since = &timeline.events[timeline.place(joined)..];
        let unread = since.iter().filter(|event| event["type"] == "m.room.message").count();
        assert_eq!(room.unread, unread as u64, "what {user_id} has not read");
    }
}

/// Checks that everybody is in the room, or not, as was acknowledged.
async fn check_memberships(world: &World, journal: &Journal, place: usize) {
    let room = &world.places[place];
    let path = format!("/_matrix/client/v3/rooms/{}/members", room.id);
    let members = world.get(room.senders[0], &path).await;
    let members = list(&members["chunk"]).iter();
    let members: HashMap<_, _> =
        members.map(|event| (event["state_key"].as_str().expect("a user id"), &event["content"])).collect();
    for lane in journal.settings.iter().filter(|lane| room.senders.contains(&lane.person)) {
        let user_id = world.people[lane.person].user_id.as_str();
        let name = members[user_id]["displayname"].as_str().and_then(|name| name.strip_prefix("name "));
        let name = name.map_or(0, |number| number.parse().expect("a number"));
        assert!(lane.name.allows(name), "{user_id} is {name} in {}, but {:?}", room.id, lane.name);
    }
    for ((person, _), membership) in
        journal.doors.iter().flat_map(|doors| &doors.memberships).filter(|((_, of), _)| *of == place)
    {
        let user_id = &world.people[*person].user_id;
        let is = members.get(user_id.as_str()).and_then(|content| content["membership"].as_str());
        let is = is.unwrap_or("none");
        let allowed = is == membership.acknowledged || Some(is) == membership.tried;
        assert!(allowed, "{user_id} is {is} in {}, but {membership:?}", room.id);
        let (path, body) = ("/_matrix/client/v3/joined_rooms", Body::Empty);
        let joined = world.call(*person, Method::GET, path, body).await.expect("the server runs");
        let is_joined = list(&joined["joined_rooms"]).iter().any(|id| *id == *room.id);
        assert_eq!(is_joined, is == "join", "{user_id}'s own list of rooms and {} disagree", room.id);
    }
}

/// Checks what lies outside of the rooms that are there from the start.
pub(crate) async fn check_rest(world: &World, journal: &Journal, extent: Extent) {
    check_to_device(world, journal);
    for lane in &journal.settings {
        check_notes(world, journal, lane.person).await;
        for (uri, content) in extent.of(&lane.uploads) {
            let path = format!("/_matrix/client/v1/media/download/{}", uri.trim_start_matches("mxc://"));
            let answer =
                world.ask(lane.person, Method::GET, &path, Body::Empty).await.expect("the server runs");
            assert_eq!(answer.status, 200, "the acknowledged upload {uri} is lost");
            assert!(answer.bytes[..] == content[..], "the acknowledged upload {uri} is damaged");
        }
    }
    for created in journal.creators.iter().flat_map(|creator| extent.of(&creator.created)) {
        check_created(world, journal, created).await;
    }
    check_newcomers(world, &journal.registrar, extent).await;
    for lane in &journal.backups {
        check_key_backups(world, lane, extent).await;
    }
}

/// Checks that acknowledged messages to devices have come, and that none has come twice.
fn check_to_device(world: &World, journal: &Journal) {
    for client in journal.clients.iter().filter(|client| client.is_awake) {
        let user_id = &world.people[client.person].user_id;
        let mut told = HashSet::new();
        for id in &client.to_device {
            assert!(told.insert(id), "{user_id} was told twice of the message {id} to the device");
        }
        let messages = journal.settings.iter().flat_map(|lane| lane.all_to_device());
        for ToDevice { id, is_acknowledged, .. } in messages.filter(|message| message.to == client.person) {
            let came = told.remove(id);
            assert!(
                came || !is_acknowledged,
                "the acknowledged message {id} to a device of {user_id} is lost"
            );
        }
        assert!(told.is_empty(), "nobody has sent {told:?}");
    }
}

/// Checks somebody's account data, as asked for and as told by sync.
async fn check_notes(world: &World, journal: &Journal, person: usize) {
    let user_id = &world.people[person].user_id;
    let lane = journal.settings.iter().find(|lane| lane.person == person).expect("everybody has one");
    for (place, counter) in &lane.notes {
        let room_id = place.map(|place| &world.places[place].id);
        let path = match room_id {
            Some(room_id) => {
                format!("/_matrix/client/v3/user/{user_id}/rooms/{room_id}/account_data/test.note")
            }
            None => format!("/_matrix/client/v3/user/{user_id}/account_data/test.note"),
        };
        let answer = world.ask(person, Method::GET, &path, Body::Empty).await.expect("the server runs");
        let value = answer.json()["n"].as_u64().unwrap_or_default();
        assert!(counter.allows(value), "{user_id} set {counter:?} in {room_id:?}, and it is {value}");
        if let Some(client) = journal.clients.iter().find(|client| client.person == person && client.is_awake)
        {
            let told = client.notes.get(&room_id.cloned()).copied().unwrap_or_default();
            assert_eq!(told, value, "{user_id}'s account data in {room_id:?} as sync told it");
        }
    }
}

/// Checks that a room is there as a whole, with its alias and its invitations, or not at all.
async fn check_created(world: &World, journal: &Journal, created: &Created) {
    let Created { name, creator, room_id, invited, also_invited } = created;
    let server_name = world.people[*creator].platform.server_name();
    let path = format!("/_matrix/client/v3/directory/room/%23{name}:{server_name}");
    let answer = world.ask(*creator, Method::GET, &path, Body::Empty).await.expect("the server runs");
    let found = match answer.status {
        200 => answer.json()["room_id"].as_str().expect("a room id").to_owned(),
        _ => {
            assert!(room_id.is_none(), "the alias of the acknowledged room {room_id:?} is lost");
            return;
        }
    };
    assert!(room_id.as_ref().is_none_or(|room_id| *room_id == found), "#{name} is {found}, not {room_id:?}");
    let path = format!("/_matrix/client/v3/rooms/{found}/state/m.room.name");
    assert_eq!(world.get(*creator, &path).await["name"], **name);
    for guest in [Some(*invited), *also_invited].into_iter().flatten() {
        let user_id = &world.people[guest].user_id;
        let path = format!("/_matrix/client/v3/rooms/{found}/state/m.room.member/{user_id}");
        assert_eq!(world.get(*creator, &path).await["membership"], "invite", "{user_id} in {found}");
        if let Some(client) = journal.clients.iter().find(|client| client.person == guest && client.is_awake)
        {
            assert!(client.invites.contains(&found), "{user_id} was not told of the invitation to {found}");
        }
    }
}
