//! What the clients know: what was acknowledged, and what was sent but never answered.
//!
//! This module asks nobody. `load` fills it in, and `checks` compares it with the server.

use linkspan_tests::{Answer, Body, Http, Lost, Platform};
use tokio::sync::Mutex;

use http::Method;
use serde_json::Value;

/// Somebody with a device that is logged in.
#[derive(Clone, Debug)]
pub(crate) struct Person {
    pub(crate) platform: Platform,
    pub(crate) user_id: String,
    pub(crate) device_id: String,
    pub(crate) token: String,
    pub(crate) password: String,
}

/// A room that is there from the start.
#[derive(Debug)]
pub(crate) struct Place {
    pub(crate) id: String,
    /// Whether threads, reactions, edits and redactions happen in the room.
    pub(crate) is_busy: bool,
    /// The people who are always in the room, and send.
    pub(crate) senders: Vec<usize>,
    /// The events that were acknowledged, for receipts.
    pub(crate) acknowledged: Mutex<Vec<String>>,
}

/// What does not change while the test runs.
#[derive(Debug)]
pub(crate) struct World {
    pub(crate) http: Http,
    pub(crate) people: Vec<Person>,
    pub(crate) places: Vec<Place>,
}

impl World {
    /// Makes a request of somebody, whatever is answered.
    pub(crate) async fn ask(
        &self,
        person: usize,
        method: Method,
        path: &str,
        body: Body,
    ) -> Result<Answer, Lost> {
        let person = &self.people[person];
        self.http.call(method, person.platform, path, Some(&person.token), body).await
    }

    /// Makes a request that has nothing wrong with it. Any other answer than 200 fails the test.
    pub(crate) async fn call(
        &self,
        person: usize,
        method: Method,
        path: &str,
        body: Body,
    ) -> Result<Value, Lost> {
        let answer = self.ask(person, method.clone(), path, body).await?;
        let user_id = &self.people[person].user_id;
        assert_eq!(answer.status, 200, "{user_id}: {method} {path}: {}", answer.json());
        Ok(answer.json())
    }

    /// Does the same between the rounds, when nobody kills the server.
    pub(crate) async fn get(&self, person: usize, path: &str) -> Value {
        self.call(person, Method::GET, path, Body::Empty).await.expect("the server runs")
    }
}

/// A value that only its owner sets. It counts up.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Counter {
    pub(crate) acknowledged: u64,
    pub(crate) tried: u64,
}

impl Counter {
    /// The next value to set.
    pub(crate) fn next(&mut self) -> u64 {
        self.tried += 1;
        self.tried
    }

    /// Whether the server may have this value.
    pub(crate) fn allows(&self, value: u64) -> bool {
        (self.acknowledged..=self.tried).contains(&value)
    }
}

/// Something that is sent to a room under a transaction id.
#[derive(Clone, Debug)]
pub(crate) struct Send {
    /// The id that the test gives it, which is also the transaction id. No other has it.
    pub(crate) id: String,
    pub(crate) place: usize,
    pub(crate) path: String,
    pub(crate) content: Value,
    pub(crate) redacts: Option<String>,
}

/// Something that was sent to a room and will not be sent again.
#[derive(Debug)]
pub(crate) struct Sent {
    pub(crate) send: Send,
    /// The event's id, if it was acknowledged.
    pub(crate) event_id: Option<String>,
}

/// A message to a device.
#[derive(Clone, Debug)]
pub(crate) struct ToDevice {
    /// The id that the test gives it, which is also the transaction id. No other has it.
    pub(crate) id: String,
    pub(crate) to: usize,
    pub(crate) is_acknowledged: bool,
}

/// A receipt that was asked for.
#[derive(Debug)]
pub(crate) struct Receipt {
    pub(crate) place: usize,
    pub(crate) event_id: String,
    pub(crate) is_acknowledged: bool,
}

/// A room that was created under load.
#[derive(Debug)]
pub(crate) struct Created {
    /// The name of the room, which is also the local part of its alias.
    pub(crate) name: String,
    pub(crate) creator: usize,
    /// The room's id. None if the creation was not acknowledged.
    pub(crate) room_id: Option<String>,
    /// The person whom the same request invited.
    pub(crate) invited: usize,
    /// The person who was invited afterwards, if that was acknowledged.
    pub(crate) also_invited: Option<usize>,
}

/// Somebody's membership of a room, which only that person changes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Membership {
    pub(crate) acknowledged: &'static str,
    /// The membership that was asked for since then, without an answer.
    pub(crate) tried: Option<&'static str>,
}
