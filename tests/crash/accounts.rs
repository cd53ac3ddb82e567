//! People who register under load, log in on new devices and log out again, and what has to hold of them after a kill.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use http::Method;
use linkspan_tests::{Answer, Body, Lost, Platform};
use rand::{RngExt, SeedableRng, rngs::StdRng};
use serde_json::json;

use crate::{
    checks::Extent,
    journal::{Person, World},
    sync::list,
};

/// An account that was registered under load.
#[derive(Debug)]
pub(crate) struct Newcomer {
    person: Person,
    /// The log-ins that were acknowledged, each on a device of its own.
    pub(crate) sessions: Vec<Session>,
}

/// A log-in that was acknowledged.
#[derive(Debug)]
pub(crate) struct Session {
    token: String,
    device_id: String,
    pub(crate) stage: Stage,
}

/// How far a session is from its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stage {
    /// It goes on.
    Open,
    /// A log-out was asked for, and not answered.
    Ending,
    /// A log-out was acknowledged.
    Ended,
}

impl Session {
    fn of(answer: &Answer) -> Self {
        let answer = answer.json();
        let text = |field: &str| answer[field].as_str().expect("a session").to_owned();
        Self { token: text("access_token"), device_id: text("device_id"), stage: Stage::Open }
    }
}

/// A lane that registers people, logs them in and logs them out.
#[derive(Debug)]
pub(crate) struct Registrar {
    rng: StdRng,
    count: usize,
    /// A person whose registration was not answered, and who is to be registered again.
    pending: Option<Person>,
    pub(crate) newcomers: Vec<Newcomer>,
    /// How many log-ins were acknowledged, besides registrations, which log in as well.
    pub(crate) log_ins: usize,
    /// The newcomers for whom something was done in this round.
    touched: BTreeSet<usize>,
}

impl Registrar {
    pub(crate) fn new(seed: u64) -> Self {
        Self {
            rng: StdRng::seed_from_u64(seed ^ 0x5000),
            count: 0,
            pending: None,
            newcomers: Vec::new(),
            log_ins: 0,
            touched: BTreeSet::new(),
        }
    }

    pub(crate) async fn run(mut self, world: Arc<World>) -> Self {
        self.touched.clear();
        loop {
            let what = if self.newcomers.is_empty() { 9 } else { self.rng.random_range(0..10) };
            let outcome = match what {
                0..4 => self.log_in(&world).await,
                4..7 => self.log_out(&world).await,
                _ => self.register(&world).await,
            };
            if outcome.is_err() {
                return self;
            }
            // Hashing passwords must not take all of the processor.
            if !(4..7).contains(&what) {
                tokio::time::sleep(Duration::from_millis(self.rng.random_range(100..300))).await;
            }
        }
    }

    /// All log-ins that were acknowledged.
    pub(crate) fn sessions(&self) -> impl Iterator<Item = &Session> {
        self.newcomers.iter().flat_map(|newcomer| &newcomer.sessions)
    }

    async fn register(&mut self, world: &World) -> Result<(), Lost> {
        let person = self.pending.take().unwrap_or_else(|| {
            self.count += 1;
            new_person(Platform::ALL[self.count % 3], &format!("new{}", self.count))
        });
        let sessions = match register(world, &person).await {
            Err(Lost) => {
                self.pending = Some(person);
                return Err(Lost);
            }
            Ok(answer) if answer.status == 200 => vec![Session::of(&answer)],
            // The first request was not answered, but what it asks for was done.
            Ok(answer) => {
                assert_eq!(answer.json()["errcode"], "M_USER_IN_USE", "{}", person.user_id);
                Vec::new()
            }
        };
        self.touched.insert(self.newcomers.len());
        self.newcomers.push(Newcomer { person, sessions });
        Ok(())
    }

    async fn log_in(&mut self, world: &World) -> Result<(), Lost> {
        let index = self.rng.random_range(0..self.newcomers.len());
        let session = log_in(world, &self.newcomers[index].person).await?;
        self.newcomers[index].sessions.push(session);
        self.log_ins += 1;
        self.touched.insert(index);
        Ok(())
    }

    async fn log_out(&mut self, world: &World) -> Result<(), Lost> {
        let index = self.rng.random_range(0..self.newcomers.len());
        let Newcomer { person, sessions } = &mut self.newcomers[index];
        let mut left = sessions.iter_mut().filter(|session| session.stage != Stage::Ended);
        let Some(session) = left.next() else { return Ok(()) };
        self.touched.insert(index);
        let (platform, path) = (person.platform, "/_matrix/client/v3/logout");
        let answer =
            world.http.call(Method::POST, platform, path, Some(&session.token), Body::Json(json!({})));
        match answer.await {
            Ok(answer) => {
                // A log-out that was not answered may have been done.
                let was_done = session.stage == Stage::Ending && answer.status == 401;
                assert!(answer.status == 200 || was_done, "{}: {}", person.user_id, answer.json());
                session.stage = Stage::Ended;
                Ok(())
            }
            Err(Lost) => {
                session.stage = Stage::Ending;
                Err(Lost)
            }
        }
    }
}

/// Somebody who is not registered yet.
pub(crate) fn new_person(platform: Platform, name: &str) -> Person {
    Person {
        platform,
        user_id: format!("@{name}:{}", platform.server_name()),
        device_id: String::new(),
        token: String::new(),
        password: format!("correct horse {name}"),
    }
}

/// Asks for an account.
pub(crate) async fn register(world: &World, person: &Person) -> Result<Answer, Lost> {
    let name = person.user_id.trim_start_matches('@').split(':').next().unwrap_or_default();
    let auth = json!({ "type": "m.login.dummy" });
    let body = json!({ "username": name, "password": person.password, "auth": auth });
    let path = "/_matrix/client/v3/register";
    world.http.call(Method::POST, person.platform, path, None, Body::Json(body)).await
}

/// Logs somebody in on a new device.
async fn log_in(world: &World, person: &Person) -> Result<Session, Lost> {
    let body = json!({
        "type": "m.login.password",
        "identifier": { "type": "m.id.user", "user": person.user_id },
        "password": person.password,
    });
    let path = "/_matrix/client/v3/login";
    let answer = world.http.call(Method::POST, person.platform, path, None, Body::Json(body)).await?;
    assert_eq!(answer.status, 200, "{} cannot log in: {}", person.user_id, answer.json());
    Ok(Session::of(&answer))
}

/// Checks that accounts that were acknowledged can be used, with every token that was handed out and not handed back.
pub(crate) async fn check_newcomers(world: &World, registrar: &Registrar, extent: Extent) {
    for newcomer in extent.of(&registrar.newcomers) {
        // Passwords are slow by design, so not all of them are tried each time.
        if extent == Extent::Sample || newcomer.sessions.is_empty() {
            log_in(world, &newcomer.person).await.expect("the server runs");
        }
    }
    for (number, newcomer) in registrar.newcomers.iter().enumerate() {
        if extent == Extent::All || registrar.touched.contains(&number) {
            check_sessions(world, newcomer).await;
        }
    }
}

/// Checks that a token works and its device is listed, unless the session has ended.
async fn check_sessions(world: &World, Newcomer { person, sessions }: &Newcomer) {
    let get = async |token: &str, path: &str| {
        let answer = world.http.call(Method::GET, person.platform, path, Some(token), Body::Empty).await;
        answer.expect("the server runs")
    };
    let own;
    let token = match sessions.iter().find(|session| session.stage == Stage::Open) {
        Some(session) => &session.token,
        None => {
            own = log_in(world, person).await.expect("the server runs").token;
            &own
        }
    };
    let devices = get(token, "/_matrix/client/v3/devices").await.json();
    let listed = list(&devices["devices"]).iter().filter_map(|device| device["device_id"].as_str());
    let listed: BTreeSet<_> = listed.collect();
    for Session { token, device_id, stage } in sessions {
        let answer = get(token, "/_matrix/client/v3/account/whoami").await;
        let works = answer.status == 200;
        let told = answer.json();
        match works {
            true => assert_eq!(
                (&told["user_id"], &told["device_id"]),
                (&json!(person.user_id), &json!(device_id))
            ),
            false => assert_eq!((answer.status, &told["errcode"]), (401, &json!("M_UNKNOWN_TOKEN"))),
        }
        let user_id = &person.user_id;
        match stage {
            Stage::Open => assert!(works, "the acknowledged log-in on {device_id} of {user_id} is lost"),
            Stage::Ended => assert!(!works, "the acknowledged log-out on {device_id} of {user_id} is lost"),
            Stage::Ending => {}
        }
        let is_listed = listed.contains(device_id.as_str());
        assert_eq!(is_listed, works, "the device {device_id} of {user_id} and its token disagree");
    }
}
