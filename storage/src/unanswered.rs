//! Requests that have not been answered yet: what they commit carries them, so that the devices of the user who asks
//! can be told of it after the answer.
//!
//! A request is known to whatever runs as a part of it ([`Unanswered::run`]), so nobody who writes has to name it. How
//! answers reach clients is not known here.

use std::{
    sync::{Arc, OnceLock},
    time::Duration,
};

use ruma::OwnedUserId;
use tokio::{sync::watch, time::Instant};

/// How long after its first write a request is waited for. Nearly all are answered within a millisecond of it.
const PATIENCE: Duration = Duration::from_secs(1);

tokio::task_local! {
    static CURRENT: Unanswered;
}

/// Is dropped when an answer has been sent, or will not be.
#[derive(Clone, Debug)]
pub struct AnswerSent(#[allow(dead_code, reason = "it matters when it is dropped")] Arc<watch::Sender<()>>);

/// Learns when an answer has been sent.
#[derive(Clone, Debug)]
pub struct AnswerPending(watch::Receiver<()>);

/// Both ends of an answer that is to be sent.
pub fn answer_pending() -> (AnswerSent, AnswerPending) {
    let (sent, pending) = watch::channel(());
    (AnswerSent(Arc::new(sent)), AnswerPending(pending))
}

/// A request of a user that has not been answered. Clones are the same request.
#[derive(Clone, Debug)]
pub struct Unanswered(Arc<Request>);

#[derive(Debug)]
struct Request {
    user_id: OwnedUserId,
    answer: AnswerPending,
    /// When it was first heard that it has written something.
    written: OnceLock<Instant>,
}

impl Unanswered {
    /// A request of a user.
    pub fn new(user_id: OwnedUserId, answer: AnswerPending) -> Self {
        Self(Arc::new(Request { user_id, answer, written: OnceLock::new() }))
    }

    /// Runs a part of the request: what it commits carries the request.
    pub async fn run<T>(self, part: impl Future<Output = T>) -> T {
        CURRENT.scope(self, part).await
    }

    /// The request that the present task runs a part of.
    pub fn current() -> Option<Self> {
        CURRENT.try_with(Self::clone).ok()
    }

    /// Who asks.
    pub fn user_id(&self) -> &OwnedUserId {
        &self.0.user_id
    }

    /// Whether two are the same request.
    pub fn is_same(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }

    /// Notes that the request has written something.
    pub fn note_written(&self) {
        self.0.written.get_or_init(Instant::now);
    }

    /// Whether it need not be waited for.
    pub fn is_over(&self) -> bool {
        self.0.answer.0.has_changed().is_err() || self.deadline() <= Instant::now()
    }

    /// Waits until the request has been answered, but not long: some write much before they are answered.
    pub async fn over(&self) {
        let mut answer = self.0.answer.0.clone();
        // An error says that the other end was dropped.
        let _ = tokio::time::timeout_at(self.deadline(), answer.changed()).await;
    }

    fn deadline(&self) -> Instant {
        *self.0.written.get_or_init(Instant::now) + PATIENCE
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        Memory, Store, WriteSet,
        catalogue::{Meta, MetaKey},
    };

    fn writes() -> WriteSet {
        let mut writes = WriteSet::new();
        writes.delete::<Meta>(&MetaKey { item: u8::MAX });
        writes
    }

    fn request() -> (AnswerSent, Unanswered) {
        let (sent, pending) = answer_pending();
        (sent, Unanswered::new("@anna:one.localhost".try_into().expect("a user id"), pending))
    }

    #[tokio::test]
    async fn a_commit_carries_the_request_that_it_is_a_part_of() {
        let store = Store::in_memory(Memory::new().expect("a store in memory opens"));
        let mut feed = store.subscribe();
        let (_sent, request) = request();
        request.run(store.commit(writes())).await.expect("it is committed");
        store.commit(writes()).await.expect("it is committed");
        let carried = async |feed: &mut tokio::sync::mpsc::UnboundedReceiver<crate::CommitGroup>| {
            let group = feed.recv().await.expect("it is told");
            group[0].request.as_ref().map(|request| request.user_id().to_string())
        };
        assert_eq!(carried(&mut feed).await.as_deref(), Some("@anna:one.localhost"));
        assert_eq!(carried(&mut feed).await, None);
    }

    #[tokio::test(start_paused = true)]
    async fn a_request_is_waited_for_until_it_is_answered() {
        let (sent, request) = request();
        assert!(!request.is_over());
        let begun = Instant::now();
        tokio::join!(request.over(), async { drop(sent) });
        assert!(request.is_over());
        assert_eq!(begun.elapsed(), Duration::ZERO);
    }

    #[tokio::test(start_paused = true)]
    async fn a_request_that_goes_on_writing_is_not_waited_for_long() {
        let (_sent, request) = request();
        request.note_written();
        let begun = Instant::now();
        request.over().await;
        assert_eq!(begun.elapsed(), PATIENCE);
        assert!(request.is_over());
    }
}
