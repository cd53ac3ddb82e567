//! The load: many people who do many things at once, until the server is gone.
//!
//! Each lane does one thing after the other, so that it knows in which order they have to appear. It keeps
//! what it knows over the rounds.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use http::Method;
use linkspan_tests::{Body, Lost};
use rand::{RngExt, SeedableRng, rngs::StdRng};
use serde_json::{Value, json};

use crate::journal::{Counter, Created, Membership, Receipt, Send, Sent, ToDevice, World};

/// How often a request is made twice at the same time.
const TWICE: f64 = 0.2;
/// How often a client goes away before it is answered.
const CUT_OFF: f64 = 0.05;
/// How often a request without an answer is sent again.
const AGAIN: f64 = 0.7;

/// A lane that sends to rooms.
#[derive(Debug)]
pub(crate) struct Messages {
    pub(crate) person: usize,
    number: usize,
    rng: StdRng,
    count: u64,
    /// What was not answered, and is to be sent again.
    pending: Option<Send>,
    pub(crate) sent: Vec<Sent>,
    /// The events in the busy room that the lane may redact.
    own: Vec<String>,
    /// The root of the lane's thread in the busy room.
    root: Option<String>,
}

impl Messages {
    pub(crate) fn new(person: usize, number: usize, seed: u64) -> Self {
        let rng = StdRng::seed_from_u64(seed ^ (0x1000 + number as u64));
        Self { person, number, rng, count: 0, pending: None, sent: Vec::new(), own: Vec::new(), root: None }
    }

    pub(crate) async fn run(mut self, world: Arc<World>) -> Self {
        loop {
            let send = self.pending.take().unwrap_or_else(|| self.next(&world));
            let outcome = self.send(&world, &send).await;
            match &outcome {
                Ok(Some(event_id)) => self.acknowledged(&world, send, event_id).await,
                _ if self.rng.random_bool(AGAIN) => self.pending = Some(send),
                _ => self.sent.push(Sent { send, event_id: None }),
            }
            if outcome.is_err() {
                return self;
            }
        }
    }

    fn next(&mut self, world: &World) -> Send {
        let places = world.places.iter().enumerate();
        let places: Vec<_> = places.filter(|(_, place)| place.senders.contains(&self.person)).collect();
        let (index, place) = places[self.rng.random_range(0..places.len())];
        self.count += 1;
        let id = format!("m{}.{}", self.number, self.count);
        let room = format!("/_matrix/client/v3/rooms/{}", place.id);
        let mut send = Send {
            path: format!("{room}/send/m.room.message/{id}"),
            content: json!({ "msgtype": "m.text", "body": format!("says {id}"), "test.id": id }),
            place: index,
            redacts: None,
            id,
        };
        let Some(root) = self.root.clone().filter(|_| place.is_busy) else { return send };
        let id = &send.id;
        match self.rng.random_range(0..6) {
            0 => send.content["m.relates_to"] = json!({ "rel_type": "m.thread", "event_id": root }),
            1 => {
                send.path = format!("{room}/send/m.reaction/{id}");
                let relation = json!({ "rel_type": "m.annotation", "event_id": root, "key": id });
                send.content = json!({ "m.relates_to": relation, "test.id": id });
            }
            2 => {
                send.content["m.relates_to"] = json!({ "rel_type": "m.replace", "event_id": root });
                send.content["m.new_content"] = json!({ "msgtype": "m.text", "body": format!("means {id}") });
            }
            3 if !self.own.is_empty() => {
                let target = self.own.swap_remove(self.rng.random_range(0..self.own.len()));
                send.path = format!("{room}/redact/{target}/{id}");
                send.content = json!({ "reason": id });
                send.redacts = Some(target);
            }
            _ => {}
        }
        send
    }

    /// Sends it once, or twice at the same time, or without waiting for the answer. In the last case there is
    /// no id.
    async fn send(&mut self, world: &World, send: &Send) -> Result<Option<String>, Lost> {
        let put = async || {
            let body = Body::Json(send.content.clone());
            let answer = world.call(self.person, Method::PUT, &send.path, body).await?;
            Ok(answer["event_id"].as_str().expect("an event id").to_owned())
        };
        if self.rng.random_bool(TWICE) {
            return match tokio::join!(put(), put()) {
                (Ok(first), Ok(second)) => {
                    assert_eq!(first, second, "the transaction {} was done twice", send.id);
                    Ok(Some(first))
                }
                (Ok(event_id), Err(Lost)) | (Err(Lost), Ok(event_id)) => Ok(Some(event_id)),
                (Err(Lost), Err(Lost)) => Err(Lost),
            };
        }
        if self.rng.random_bool(CUT_OFF) {
            let patience = Duration::from_micros(self.rng.random_range(0..10_000));
            return match tokio::time::timeout(patience, put()).await {
                Ok(outcome) => outcome.map(Some),
                Err(_) => Ok(None),
            };
        }
        put().await.map(Some)
    }

    /// What was not answered and will be sent again.
    pub(crate) fn pending(&self) -> Option<&Send> {
        self.pending.as_ref()
    }

    async fn acknowledged(&mut self, world: &World, send: Send, event_id: &str) {
        let place = &world.places[send.place];
        if send.redacts.is_none() {
            place.acknowledged.lock().await.push(event_id.to_owned());
            let is_root = self.root.is_none();
            if place.is_busy && is_root {
                self.root = Some(event_id.to_owned());
            } else if place.is_busy {
                self.own.push(event_id.to_owned());
            }
        }
        self.sent.push(Sent { send, event_id: Some(event_id.to_owned()) });
    }
}

/// A lane that sets a person's own state, account data and receipts, sends to devices, and uploads.
#[derive(Debug)]
pub(crate) struct Settings {
    pub(crate) person: usize,
    rng: StdRng,
    /// The value of a state event in each place.
    pub(crate) marks: BTreeMap<usize, Counter>,
    /// The values of account data, in a place or global.
    pub(crate) notes: BTreeMap<Option<usize>, Counter>,
    /// The value in the display name.
    pub(crate) name: Counter,
    pub(crate) receipts: Vec<Receipt>,
    pub(crate) to_device: Vec<ToDevice>,
    pending: Option<ToDevice>,
    /// The URI and the content of each upload.
    pub(crate) uploads: Vec<(String, Vec<u8>)>,
    /// The URI and the content of an upload that was not answered. The URI was given out before, so it is uploaded again.
    pending_upload: Option<(String, Vec<u8>)>,
    /// The people whose devices get messages.
    recipients: Vec<usize>,
}

impl Settings {
    pub(crate) fn new(person: usize, recipients: Vec<usize>, seed: u64) -> Self {
        Self {
            person,
            rng: StdRng::seed_from_u64(seed ^ (0x2000 + person as u64)),
            marks: BTreeMap::new(),
            notes: BTreeMap::new(),
            name: Counter::default(),
            receipts: Vec::new(),
            to_device: Vec::new(),
            pending: None,
            uploads: Vec::new(),
            pending_upload: None,
            recipients,
        }
    }

    pub(crate) async fn run(mut self, world: Arc<World>) -> Self {
        let places =
            (0..world.places.len()).filter(|place| world.places[*place].senders.contains(&self.person));
        let places: Vec<_> = places.collect();
        loop {
            let place = places[self.rng.random_range(0..places.len())];
            let outcome = match self.rng.random_range(0..20) {
                0..4 => self.set_mark(&world, place).await,
                4..6 => self.set_note(&world, Some(place)).await,
                6..8 => self.set_note(&world, None).await,
                8 => self.set_name(&world).await,
                9..12 => self.set_receipts(&world, place).await,
                12..18 => self.send_to_device(&world).await,
                _ => self.upload(&world).await,
            };
            if outcome.is_err() {
                return self;
            }
        }
    }

    async fn set_mark(&mut self, world: &World, place: usize) -> Result<(), Lost> {
        let user_id = &world.people[self.person].user_id;
        let path = format!("/_matrix/client/v3/rooms/{}/state/test.mark/{user_id}", world.places[place].id);
        let counter = self.marks.entry(place).or_default();
        let value = counter.next();
        let put = || world.call(self.person, Method::PUT, &path, Body::Json(json!({ "n": value })));
        let outcome = match self.rng.random_bool(TWICE) {
            true => either(tokio::join!(put(), put())),
            false => put().await,
        };
        outcome.map(|_| counter.acknowledged = value)
    }

    async fn set_note(&mut self, world: &World, place: Option<usize>) -> Result<(), Lost> {
        let user = format!("/_matrix/client/v3/user/{}", world.people[self.person].user_id);
        let path = match place {
            Some(place) => format!("{user}/rooms/{}/account_data/test.note", world.places[place].id),
            None => format!("{user}/account_data/test.note"),
        };
        let counter = self.notes.entry(place).or_default();
        let value = counter.next();
        let body = Body::Json(json!({ "n": value }));
        world.call(self.person, Method::PUT, &path, body).await.map(|_| counter.acknowledged = value)
    }

    /// Sets the display name. One that was not acknowledged is asked for again, and rooms that have not
    /// followed must do so then.
    async fn set_name(&mut self, world: &World) -> Result<(), Lost> {
        let is_answered = self.name.acknowledged == self.name.tried;
        let value = if is_answered { self.name.next() } else { self.name.tried };
        let path = format!("/_matrix/client/v3/profile/{}/displayname", world.people[self.person].user_id);
        let body = Body::Json(json!({ "displayname": format!("name {value}") }));
        world.call(self.person, Method::PUT, &path, body).await.map(|_| self.name.acknowledged = value)
    }

    /// Sends two receipts at once. The one that is further on has to stay.
    async fn set_receipts(&mut self, world: &World, place: usize) -> Result<(), Lost> {
        let newest: Vec<_> =
            world.places[place].acknowledged.lock().await.iter().rev().take(8).cloned().collect();
        let [first, .., second] = &newest[..] else { return Ok(()) };
        let room = format!("/_matrix/client/v3/rooms/{}/receipt/m.read", world.places[place].id);
        let set = async |event_id: &String| {
            let path = format!("{room}/{event_id}");
            world.call(self.person, Method::POST, &path, Body::Json(json!({}))).await
        };
        let (first_outcome, second_outcome) = tokio::join!(set(first), set(second));
        for (event_id, outcome) in [(first, &first_outcome), (second, &second_outcome)] {
            let is_acknowledged = outcome.is_ok();
            self.receipts.push(Receipt { place, event_id: event_id.clone(), is_acknowledged });
        }
        first_outcome.and(second_outcome).map(drop)
    }

    async fn send_to_device(&mut self, world: &World) -> Result<(), Lost> {
        let message = self.pending.take().unwrap_or_else(|| ToDevice {
            id: format!("d{}.{}", self.person, self.to_device.len()),
            to: self.recipients[self.rng.random_range(0..self.recipients.len())],
            is_acknowledged: false,
        });
        let to = &world.people[message.to];
        let path = format!("/_matrix/client/v3/sendToDevice/test.message/{}", message.id);
        let content = json!({ "test.id": message.id });
        let body = json!({ "messages": { &to.user_id: { &to.device_id: content } } });
        let put = || world.call(self.person, Method::PUT, &path, Body::Json(body.clone()));
        let outcome = match self.rng.random_bool(TWICE) {
            true => either(tokio::join!(put(), put())),
            false => put().await,
        };
        match outcome {
            Ok(_) => self.to_device.push(ToDevice { is_acknowledged: true, ..message }),
            Err(Lost) if self.rng.random_bool(AGAIN) => self.pending = Some(message),
            Err(Lost) => self.to_device.push(message),
        }
        outcome.map(drop)
    }

    /// All messages to devices that may have arrived.
    pub(crate) fn all_to_device(&self) -> impl Iterator<Item = &ToDevice> {
        self.to_device.iter().chain(&self.pending)
    }

    /// Uploads something, either in one request or, as well, to a URI that was given out before.
    async fn upload(&mut self, world: &World) -> Result<(), Lost> {
        if let Some((uri, content)) = self.pending_upload.take() {
            return self.upload_to(world, uri, content).await;
        }
        let mut content = vec![0; self.rng.random_range(1..20_000)];
        self.rng.fill(&mut content[..]);
        if self.rng.random_bool(0.5) {
            let path = "/_matrix/media/v1/create";
            let answer = world.call(self.person, Method::POST, path, Body::Json(json!({}))).await?;
            let uri = answer["content_uri"].as_str().expect("a URI").to_owned();
            return self.upload_to(world, uri, content).await;
        }
        let path = "/_matrix/media/v3/upload?filename=a.bin";
        let answer = world.call(self.person, Method::POST, path, Body::Bytes(content.clone())).await?;
        let uri = answer["content_uri"].as_str().expect("a URI").to_owned();
        self.uploads.push((uri, content));
        Ok(())
    }

    /// Uploads to a URI. Whoever tries that again after a kill may learn that it has been done, and then it was done
    /// as a whole.
    async fn upload_to(&mut self, world: &World, uri: String, content: Vec<u8>) -> Result<(), Lost> {
        let path = format!("/_matrix/media/v3/upload/{}?filename=a.bin", uri.trim_start_matches("mxc://"));
        match world.ask(self.person, Method::PUT, &path, Body::Bytes(content.clone())).await {
            Ok(answer) => {
                let done = answer.status == 200 || answer.json()["errcode"] == "M_CANNOT_OVERWRITE_MEDIA";
                assert!(done, "{path}: {} {}", answer.status, answer.json());
                self.uploads.push((uri, content));
                Ok(())
            }
            Err(Lost) => {
                self.pending_upload = Some((uri, content));
                Err(Lost)
            }
        }
    }
}

/// Joins the two answers to one request, either of which says that it was done.
fn either((first, second): (Result<Value, Lost>, Result<Value, Lost>)) -> Result<Value, Lost> {
    first.or(second)
}

/// A lane of people who come and go.
#[derive(Debug)]
pub(crate) struct Doors {
    rng: StdRng,
    /// The memberships by person and room.
    pub(crate) memberships: BTreeMap<(usize, usize), Membership>,
    /// The first of the rooms that are not opened yet.
    pub(crate) closed_from: usize,
}

impl Doors {
    pub(crate) fn new(number: usize, memberships: BTreeMap<(usize, usize), Membership>, seed: u64) -> Self {
        let rng = StdRng::seed_from_u64(seed ^ (0x3000 + number as u64));
        Self { rng, memberships, closed_from: 0 }
    }

    pub(crate) async fn run(mut self, world: Arc<World>) -> Self {
        let keys = self.memberships.keys().copied().filter(|(_, place)| *place < self.closed_from);
        let keys: Vec<_> = keys.collect();
        loop {
            let (person, place) = keys[self.rng.random_range(0..keys.len())];
            let membership = self.memberships.get_mut(&(person, place)).expect("the key is one of the map");
            let toggled = match membership.acknowledged {
                "join" => "leave",
                _ => "join",
            };
            // A request without an answer is made again first.
            let wanted = membership.tried.unwrap_or(toggled);
            membership.tried = Some(wanted);
            let path = format!("/_matrix/client/v3/rooms/{}/{wanted}", world.places[place].id);
            let post = || world.call(person, Method::POST, &path, Body::Json(json!({})));
            let outcome = match self.rng.random_bool(TWICE) {
                true => either(tokio::join!(post(), post())),
                false => post().await,
            };
            match outcome {
                Ok(_) => *membership = Membership { acknowledged: wanted, tried: None },
                Err(Lost) => return self,
            }
        }
    }
}

/// A lane that creates rooms and invites people.
#[derive(Debug)]
pub(crate) struct Creator {
    person: usize,
    rng: StdRng,
    pub(crate) created: Vec<Created>,
    guests: Vec<usize>,
}

impl Creator {
    pub(crate) fn new(person: usize, guests: Vec<usize>, seed: u64) -> Self {
        let rng = StdRng::seed_from_u64(seed ^ (0x4000 + person as u64));
        Self { person, rng, created: Vec::new(), guests }
    }

    pub(crate) async fn run(mut self, world: Arc<World>) -> Self {
        loop {
            let invited = self.rng.random_range(0..self.guests.len());
            let other = self.guests[(invited + 1) % self.guests.len()];
            let invited = self.guests[invited];
            let name = format!("r{}.{}", self.person, self.created.len());
            let body = json!({
                "name": name,
                "room_alias_name": name,
                "invite": [world.people[invited].user_id],
            });
            let path = "/_matrix/client/v3/createRoom";
            let answer = world.call(self.person, Method::POST, path, Body::Json(body)).await;
            let room_id = answer.ok().map(|answer| answer["room_id"].as_str().expect("a room id").to_owned());
            let creator = self.person;
            let also_invited = None;
            self.created.push(Created { name, creator, room_id: room_id.clone(), invited, also_invited });
            let Some(room_id) = room_id else { return self };
            let path = format!("/_matrix/client/v3/rooms/{room_id}/invite");
            let body = json!({ "user_id": world.people[other].user_id });
            if world.call(self.person, Method::POST, &path, Body::Json(body)).await.is_err() {
                return self;
            }
            self.created.last_mut().expect("it was just put there").also_invited = Some(other);
            // Rooms are few compared with messages.
            tokio::time::sleep(Duration::from_millis(self.rng.random_range(50..150))).await;
        }
    }
}
