//! People who back up keys under load, and what has to hold of their backups after a kill.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use http::Method;
use linkspan_tests::{Body, Lost};
use rand::{RngExt, SeedableRng, rngs::StdRng};
use serde_json::{Value, json};

use crate::{checks::Extent, journal::World};

/// How many versions a person makes. The server keeps 20.
const VERSIONS: usize = 12;
/// How many rooms have keys in a backup.
const ROOMS: usize = 3;
/// How many keys of a room there are. Each is put again and again.
const SESSIONS: usize = 40;
/// The index of the first message that the first key can read. Later ones can read more, so they are better.
const FIRST_INDEX: u64 = 1_000_000_000;

/// A key's place: its room and its session.
type KeyPlace = (usize, usize);

/// What is known of a key.
#[derive(Debug, Default)]
struct Key {
    /// The number of the key that was acknowledged last. None if there is none, or if its removal was acknowledged.
    acknowledged: Option<u64>,
    /// What was tried since then, without an answer.
    tried: Vec<Option<u64>>,
}

/// A version of a backup whose making was acknowledged, or that was found.
#[derive(Debug)]
pub(crate) struct Version {
    id: String,
    keys: BTreeMap<KeyPlace, Key>,
    /// The etag that was told last. None if something was tried since then.
    etag: Option<String>,
}

impl Version {
    fn new(id: String) -> Self {
        Self { id, keys: BTreeMap::new(), etag: None }
    }

    /// How many keys there are at least, and at most.
    fn counts(&self) -> (usize, usize) {
        let states =
            |key: &Key| std::iter::once(key.acknowledged).chain(key.tried.clone()).collect::<Vec<_>>();
        let (mut least, mut most) = (0, 0);
        for key in self.keys.values() {
            least += usize::from(states(key).iter().all(Option::is_some));
            most += usize::from(states(key).iter().any(Option::is_some));
        }
        (least, most)
    }

    #[track_caller]
    fn check_state(&self, user_id: &str, told: &Value) {
        let (least, most) = self.counts();
        let count = told["count"].as_u64().expect("a count") as usize;
        assert!(
            (least..=most).contains(&count),
            "{count} keys in version {} of {user_id}: {self:?}",
            self.id
        );
        assert!(told["etag"].as_str().is_some_and(|etag| !etag.is_empty()), "there is no etag: {told}");
    }
}

/// A lane that backs up keys.
#[derive(Debug)]
pub(crate) struct KeyBackups {
    person: usize,
    rng: StdRng,
    count: u64,
    /// The versions, of which the newest is the last.
    pub(crate) versions: Vec<Version>,
    /// Whether there may be a version that is newer: its making was not answered.
    may_be_newer: bool,
    /// How many keys were put and acknowledged.
    pub(crate) keys: usize,
}

impl KeyBackups {
    pub(crate) fn new(person: usize, seed: u64) -> Self {
        let rng = StdRng::seed_from_u64(seed ^ (0x6000 + person as u64));
        Self { person, rng, count: 0, versions: Vec::new(), may_be_newer: false, keys: 0 }
    }

    pub(crate) async fn run(mut self, world: Arc<World>) -> Self {
        loop {
            let outcome = match self.rng.random_range(0..30) {
                _ if self.may_be_newer => self.find_newest(&world).await,
                _ if self.versions.is_empty() => self.begin(&world).await,
                0 if self.versions.len() < VERSIONS => self.begin(&world).await,
                1..5 => self.remove(&world).await,
                _ => self.put(&world).await,
            };
            if outcome.is_err() {
                return self;
            }
            tokio::time::sleep(Duration::from_millis(self.rng.random_range(5..40))).await;
        }
    }

    /// Makes a new version.
    async fn begin(&mut self, world: &World) -> Result<(), Lost> {
        let auth_data = json!({ "public_key": format!("key of {}", self.person), "signatures": {} });
        let body = json!({ "algorithm": "m.megolm_backup.v1.curve25519-aes-sha2", "auth_data": auth_data });
        let path = "/_matrix/client/v3/room_keys/version";
        self.may_be_newer = true;
        let answer = world.call(self.person, Method::POST, path, Body::Json(body)).await?;
        self.may_be_newer = false;
        self.versions.push(Version::new(answer["version"].as_str().expect("a version").to_owned()));
        Ok(())
    }

    /// Asks what became of a version whose making was not answered.
    async fn find_newest(&mut self, world: &World) -> Result<(), Lost> {
        let path = "/_matrix/client/v3/room_keys/version";
        let answer = world.ask(self.person, Method::GET, path, Body::Empty).await?;
        self.may_be_newer = false;
        let newest = answer.json()["version"].as_str().map(str::to_owned);
        let known = self.versions.last().map(|version| &version.id);
        assert!(newest.is_some() || known.is_none(), "the acknowledged version {known:?} is lost");
        if newest.as_ref() != known {
            self.versions.extend(newest.map(Version::new));
        }
        Ok(())
    }

    fn place(&mut self) -> KeyPlace {
        (self.rng.random_range(0..ROOMS), self.rng.random_range(0..SESSIONS))
    }

    /// Puts one key, or several in one request.
    async fn put(&mut self, world: &World) -> Result<(), Lost> {
        let several = if self.rng.random_bool(0.3) { self.rng.random_range(2..6) } else { 1 };
        let mut changes = BTreeMap::new();
        let mut rooms = json!({});
        for _ in 0..several {
            self.count += 1;
            let (room, session) = self.place();
            rooms[room_id(room)]["sessions"][session_id(session)] = key(self.count);
            changes.insert((room, session), Some(self.count));
        }
        let version = &self.versions.last().expect("there is a version").id;
        let path = format!("/_matrix/client/v3/room_keys/keys?version={version}");
        let body = Body::Json(json!({ "rooms": rooms }));
        let kept = changes.len();
        self.change(world, Method::PUT, &path, body, changes).await?;
        self.keys += kept;
        Ok(())
    }

    /// Removes a key.
    async fn remove(&mut self, world: &World) -> Result<(), Lost> {
        let (room, session) = self.place();
        let version = &self.versions.last().expect("there is a version").id;
        let place = format!("{}/{}", room_id(room), session_id(session));
        let path = format!("/_matrix/client/v3/room_keys/keys/{place}?version={version}");
        let changes = BTreeMap::from([((room, session), None)]);
        self.change(world, Method::DELETE, &path, Body::Empty, changes).await
    }

    async fn change(
        &mut self,
        world: &World,
        method: Method,
        path: &str,
        body: Body,
        changes: BTreeMap<KeyPlace, Option<u64>>,
    ) -> Result<(), Lost> {
        let answer = world.call(self.person, method, path, body).await;
        let version = self.versions.last_mut().expect("there is a version");
        for (place, value) in changes {
            let key = version.keys.entry(place).or_default();
            match answer {
                Ok(_) => *key = Key { acknowledged: value, tried: Vec::new() },
                Err(Lost) => key.tried.push(value),
            }
        }
        version.etag = None;
        let answer = answer?;
        version.check_state(&world.people[self.person].user_id, &answer);
        version.etag = answer["etag"].as_str().map(str::to_owned);
        Ok(())
    }
}

fn room_id(room: usize) -> String {
    format!("!backup{room}:instagram.localhost")
}

fn session_id(session: usize) -> String {
    format!("session{session}")
}

/// The key with a number. Each is better than all with smaller numbers.
fn key(number: u64) -> Value {
    json!({
        "first_message_index": FIRST_INDEX - number, "forwarded_count": 0, "is_verified": true,
        "session_data": { "ciphertext": format!("sealed {number}"), "number": number },
    })
}

/// Checks that every acknowledged key is in its version as it was put, that there is nothing that nobody has put, and
/// that the version tells as many keys as it has.
pub(crate) async fn check_key_backups(world: &World, lane: &KeyBackups, extent: Extent) {
    let user_id = &world.people[lane.person].user_id;
    for version in extent.of(&lane.versions) {
        let id = &version.id;
        let told = world.get(lane.person, &format!("/_matrix/client/v3/room_keys/version/{id}")).await;
        version.check_state(user_id, &told);
        let etag = told["etag"].as_str();
        assert!(version.etag.is_none() || version.etag.as_deref() == etag, "{etag:?}, but {version:?}");
        let kept = world.get(lane.person, &format!("/_matrix/client/v3/room_keys/keys?version={id}")).await;
        let mut count = 0;
        for room in 0..ROOMS {
            let sessions = kept["rooms"][room_id(room)]["sessions"].as_object();
            count += sessions.map_or(0, serde_json::Map::len);
            for session in 0..SESSIONS {
                let found = sessions.and_then(|sessions| sessions.get(&session_id(session)));
                let number = found.map(|found| found["session_data"]["number"].as_u64().expect("a number"));
                let known = version.keys.get(&(room, session));
                let allowed = match known {
                    Some(known) => number == known.acknowledged || known.tried.contains(&number),
                    None => number.is_none(),
                };
                let place = format!("{}/{}", room_id(room), session_id(session));
                assert!(allowed, "{place} in version {id} of {user_id} is {number:?}, but {known:?}");
                assert_eq!(
                    found,
                    number.map(key).as_ref(),
                    "{place} in version {id} of {user_id} is damaged"
                );
            }
        }
        assert_eq!(
            told["count"], count,
            "version {id} of {user_id} tells another number of keys than it has"
        );
    }
}
