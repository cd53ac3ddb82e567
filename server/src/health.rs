//! Whether the server is well: for load balancers, for supervisors, and for the log of systemd.
//!
//! `/_linkspan/health/live` says whether the process is worth keeping, `/_linkspan/health/ready` whether it should be
//! sent requests, and `/_linkspan/health` both. They are answered on every listener, whatever the `Host`, and tell
//! nothing of platforms or people. An answer costs no more than looking at one number.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU8, Ordering},
    },
    time::Duration,
};

use axum::response::{IntoResponse, Response};
use hyper::{Method, StatusCode, header};
use linkspan_storage::{CommitError, Condition, Shortage, Store, WriteSet};
use serde_json::json;

use crate::systemd::Notifier;

/// The path of both answers in one, and the start of the others.
const PATH: &str = "/_linkspan/health";

/// How often the store is tried. It is how late a failure shows.
const BEAT: Duration = Duration::from_secs(1);
/// How long the store may take. A disk that is very busy takes seconds for a sync, and recovers by itself.
const PATIENCE: Duration = Duration::from_secs(10);

/// What can be wrong, each a bit of its own.
const STARTING: u8 = 1;
const STOPPING: u8 = 2;
const STORE_FAILED: u8 = 4;
const STORE_LAGS: u8 = 8;
const UPLOADS_STOP: u8 = 16;
const WRITES_STOP: u8 = 32;

/// What is found by looking at the store.
const OF_STORE: u8 = STORE_FAILED | STORE_LAGS | UPLOADS_STOP | WRITES_STOP;
/// What a supervisor should do something about by starting the server again.
const HELPED_BY_RESTART: u8 = STORE_FAILED | STORE_LAGS;

/// By a short name, and in words for operators, in the order in which they are told.
const REASONS: [(u8, &str, &str); 6] = [
    (STARTING, "starting", "the server is starting"),
    (STOPPING, "stopping", "the server is stopping"),
    (STORE_FAILED, "store_failed", "the store refuses writes until a restart"),
    (STORE_LAGS, "store_lags", "the store does not keep up"),
    (UPLOADS_STOP, "uploads_stop", "the disk is nearly full: uploads are refused"),
    (WRITES_STOP, "writes_stop", "the disk is full but for its reserve: writes are refused"),
];

/// How the server is. Clones tell the same.
#[derive(Clone, Debug)]
pub(crate) struct Health(Arc<AtomicU8>);

impl Health {
    /// The state of a server that starts.
    pub(crate) fn starting() -> Self {
        Self(Arc::new(AtomicU8::new(STARTING)))
    }

    /// Says that it listens everywhere.
    pub(crate) fn note_started(&self) {
        self.0.fetch_and(!STARTING, Ordering::Relaxed);
    }

    /// Says that it takes no new connections any more.
    pub(crate) fn note_stopping(&self) {
        self.0.fetch_or(STOPPING, Ordering::Relaxed);
    }

    /// Whether it should be sent requests.
    pub(crate) fn is_ready(&self) -> bool {
        self.wrong() & !UPLOADS_STOP == 0
    }

    /// Whether it can do its work without being started again.
    pub(crate) fn is_live(&self) -> bool {
        self.wrong() & STORE_FAILED == 0
    }

    fn wrong(&self) -> u8 {
        self.0.load(Ordering::Relaxed)
    }

    fn reasons(&self) -> Vec<&'static str> {
        let wrong = self.wrong();
        REASONS.iter().filter(|(bit, ..)| wrong & bit != 0).map(|(.., reason)| *reason).collect()
    }

    /// What is wrong, by short names.
    pub(crate) fn short_reasons(&self) -> Vec<&'static str> {
        let wrong = self.wrong();
        REASONS.iter().filter(|(bit, ..)| wrong & bit != 0).map(|(_, name, _)| *name).collect()
    }

    /// The answer to a request, if that asks for health.
    pub(crate) fn answer(&self, method: &Method, path: &str) -> Option<Response> {
        let which = path.strip_prefix(PATH)?;
        let (live, ready) = (self.is_live(), self.is_ready());
        let (is_well, body) = match which {
            "" => (live && ready, json!({ "live": live, "ready": ready, "reasons": self.reasons() })),
            "/live" => (live, json!({ "live": live })),
            "/ready" => (ready, json!({ "ready": ready, "reasons": self.reasons() })),
            _ => return None,
        };
        let status = match (method, is_well) {
            // hyper leaves the body out of an answer to HEAD.
            (&(Method::GET | Method::HEAD), true) => StatusCode::OK,
            (&(Method::GET | Method::HEAD), false) => StatusCode::SERVICE_UNAVAILABLE,
            _ => StatusCode::METHOD_NOT_ALLOWED,
        };
        let headers = [(header::CONTENT_TYPE, "application/json"), (header::CACHE_CONTROL, "no-store")];
        Some((status, headers, body.to_string()).into_response())
    }

    /// Tries the store again and again, for ever, and tells the supervisor while it is well.
    pub(crate) async fn watch(self, store: Store, notifier: Arc<Notifier>) {
        let pause = notifier.watchdog().map_or(BEAT, |most| BEAT.min(most / 2));
        loop {
            let found = probe(&store, PATIENCE).await;
            self.note(found);
            if found & HELPED_BY_RESTART == 0 {
                notifier.beat();
            }
            tokio::time::sleep(pause).await;
        }
    }

    /// Notes what is wrong with the store.
    fn note(&self, found: u8) {
        let before = self.0.fetch_or(found, Ordering::Relaxed);
        self.0.fetch_and(!OF_STORE | found, Ordering::Relaxed);
        if found & !before != 0 {
            tracing::error!(reasons = ?self.reasons(), "the server is not well");
        }
    }
}

/// What is wrong with the store. A write-set that changes nothing goes the way of all others but for the disk, so it
/// comes back once what is before it is on disk.
async fn probe(store: &Store, patience: Duration) -> u8 {
    let short = match store.condition() {
        Condition::Good | Condition::Short(Shortage::Nothing) => 0,
        Condition::Short(Shortage::Uploads) => UPLOADS_STOP,
        Condition::Short(Shortage::Writes | Shortage::Everything) => WRITES_STOP,
        Condition::Failed(_) => return STORE_FAILED,
    };
    short
        | match tokio::time::timeout(patience, store.commit(WriteSet::new())).await {
            Ok(Ok(_)) => 0,
            Ok(Err(CommitError::Poisoned(_))) => STORE_FAILED,
            // There is no room in its queue, or a disk sync takes too long.
            Ok(Err(_)) | Err(_) => STORE_LAGS,
        }
}

#[cfg(test)]
mod tests {
    use linkspan_storage::{
        Faults, Json, Memory, Space, Ticket,
        catalogue::{Meta, MetaKey},
    };

    use super::*;

    fn statuses(health: &Health) -> [u16; 3] {
        ["", "/live", "/ready"].map(|which| {
            let answer = health.answer(&Method::GET, &format!("{PATH}{which}"));
            answer.expect("it is about health").status().as_u16()
        })
    }

    /// Submits a write that needs the disk.
    fn write(store: &Store) -> Ticket {
        let mut writes = WriteSet::new();
        writes.put::<Meta>(&MetaKey { item: 200 }, &Json("1".into()));
        store.submit(writes)
    }

    #[test]
    fn a_server_is_ready_between_its_start_and_its_end_and_alive_all_the_time() {
        let health = Health::starting();
        assert_eq!(statuses(&health), [503, 200, 503]);
        health.note_started();
        assert_eq!(statuses(&health), [200, 200, 200]);
        health.note_stopping();
        assert_eq!(statuses(&health), [503, 200, 503]);
        assert_eq!(health.reasons(), ["the server is stopping"]);
    }

    #[test]
    fn only_health_is_answered_and_only_read() {
        let health = Health::starting();
        assert!(health.answer(&Method::GET, "/_linkspan/healthy").is_none());
        assert!(health.answer(&Method::GET, "/_linkspan/about").is_none());
        let posted = health.answer(&Method::POST, PATH).expect("it is about health");
        assert_eq!(posted.status(), StatusCode::METHOD_NOT_ALLOWED);
    }

    #[tokio::test]
    async fn a_store_that_has_failed_needs_a_restart() {
        let faults = Faults { failed_writes_per_mille: 1_000, ..Faults::default() };
        let store = Store::in_memory(Memory::with_faults(faults).expect("a store"));
        let health = Health::starting();
        health.note_started();
        assert_eq!(probe(&store, PATIENCE).await, 0);
        assert!(matches!(write(&store).committed().await, Err(CommitError::Poisoned(_))));
        health.note(probe(&store, PATIENCE).await);
        assert_eq!(health.reasons(), ["the store refuses writes until a restart"]);
        assert_eq!(statuses(&health), [503, 503, 503]);
    }

    #[tokio::test]
    async fn a_store_that_stands_still_is_not_ready_until_it_goes_on() {
        let engine = Memory::with_faults(Faults::default()).expect("a store");
        let (store, health) = (Store::in_memory(engine.clone()), Health::starting());
        health.note_started();
        let disk = engine.hold_disk().expect("it has a disk");
        let written = write(&store);
        health.note(probe(&store, Duration::ZERO).await);
        assert_eq!(health.reasons(), ["the store does not keep up"]);
        assert_eq!(statuses(&health), [503, 200, 503]);
        drop(disk);
        written.committed().await.expect("it is written");
        health.note(probe(&store, PATIENCE).await);
        assert_eq!(statuses(&health), [200, 200, 200]);
    }

    #[tokio::test]
    async fn a_disk_that_gets_full_is_told_and_goes_on_by_itself() {
        let space = Arc::new(Space::pretended(1_000, 1_000));
        let store = Store::in_memory(Memory::with_space(space.clone()).expect("a store"));
        let health = Health::starting();
        health.note_started();
        for (free, expected, reasons) in [
            (1_000, [200, 200, 200], 0),
            (900, [200, 200, 200], 1),
            (400, [503, 200, 503], 1),
            (1_000, [200, 200, 200], 0),
        ] {
            space.pretend(free);
            health.note(probe(&store, PATIENCE).await);
            assert_eq!((statuses(&health), health.reasons().len()), (expected, reasons), "{free}");
        }
    }
}
