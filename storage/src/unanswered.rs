//! Requests that have not been answered yet: what they commit carries them, so that the devices of the user who asks
//! can be told of it after the answer.
//!
//! A request is known to whatever runs as a part of it ([`Unanswered::run`]), so nobody who writes has to name it. How
//! answers reach clients is not known here.

use std::{
    sync::{
        Arc, OnceLock,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};

use ruma::OwnedUserId;
use tokio::{sync::Notify, time::Instant};

/// How long after its first write a request is waited for. Nearly all are answered within a millisecond of it.
const PATIENCE: Duration = Duration::from_secs(1);

tokio::task_local! {
    static CURRENT: Unanswered;
}

#[derive(Debug, Default)]
struct Answer {
    /// How many can still say that it has been sent.
    holders: AtomicUsize,
    is_sent: AtomicBool,
    sent: Notify,
}

/// Says, when the last clone is dropped, that an answer has been sent, or will not be.
#[derive(Debug)]
pub struct AnswerSent(Arc<Answer>);

impl Clone for AnswerSent {
    fn clone(&self) -> Self {
        self.0.holders.fetch_add(1, Ordering::Relaxed);
        Self(self.0.clone())
    }
}

impl Drop for AnswerSent {
    fn drop(&mut self) {
        if self.0.holders.fetch_sub(1, Ordering::AcqRel) == 1 {
            self.0.is_sent.store(true, Ordering::Release);
            self.0.sent.notify_waiters();
        }
    }
}

/// Learns when an answer has been sent.
#[derive(Clone, Debug)]
pub struct AnswerPending(Arc<Answer>);

/// Both ends of an answer that is to be sent.
pub fn answer_pending() -> (AnswerSent, AnswerPending) {
    let answer = Arc::new(Answer { holders: AtomicUsize::new(1), ..Answer::default() });
    (AnswerSent(answer.clone()), AnswerPending(answer))
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
    // Not an async function: that would hold the part twice, and every request would move more memory.
    pub fn run<F: Future>(self, part: F) -> impl Future<Output = F::Output> {
        CURRENT.scope(self, part)
    }

    /// The request that the present task runs a part of.
    pub fn current() -> Option<Self> {
        CURRENT.try_with(Self::clone).ok()
    }

    /// The user who asks.
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
        self.0.answer.0.is_sent.load(Ordering::Acquire) || self.deadline() <= Instant::now()
    }

    /// Waits until the request has been answered, but not long: some write much before they are answered.
    pub async fn over(&self) {
        // From here on it is heard of, also if it is sent before it is waited for.
        let sent = self.0.answer.0.sent.notified();
        if !self.is_over() {
            // An error says that it has taken too long.
            let _ = tokio::time::timeout_at(self.deadline(), sent).await;
        }
    }

    fn deadline(&self) -> Instant {
        *self.0.written.get_or_init(Instant::now) + PATIENCE
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        Feed, Memory, News, Store, WriteSet,
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
        let mut feed = store.follow();
        let (_sent, request) = request();
        request.run(store.commit(writes())).await.expect("it is committed");
        store.commit(writes()).await.expect("it is committed");
        let carried = async |feed: &mut Feed| {
            let Some(News::Commits(group)) = feed.next().await else { panic!("it is told") };
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
