//! The stream of commits: in order, and for each commit which keys of watched tables it changed.
//!
//! Whoever keeps something of the store in memory follows the stream and nothing else, so that it makes no difference
//! who wrote. There are two ways to follow. A *watcher* ([`Store::watch`](crate::Store::watch)) is called on the thread
//! that commits, when the commit's rows can be read and before anybody is told of it: what is kept in memory is
//! corrected there. A *feed* ([`Store::follow`](crate::Store::follow)) is read by a task in its own time, after the
//! position of the commit is published: whoever waits for news is woken there.

use std::sync::Arc;

use tokio::sync::broadcast::{
    self,
    error::{RecvError, TryRecvError},
};

use crate::{Position, Unanswered, catalogue::WatchedKey, engine::StoreId, table::Watched};

/// Groups of commits that a feed holds for a follower who is slow.
pub(crate) const FEED_GROUPS: usize = 1_024;

/// One commit, as the stream tells of it.
#[derive(Clone, Debug)]
pub struct Committed {
    /// Its position.
    pub position: Position,
    /// The request that it is a part of.
    pub request: Option<Unanswered>,
    /// Which handle on the engine wrote it.
    pub(crate) by: StoreId,
    pub(crate) changes: Vec<ChangedKey>,
}

/// A key of a watched table that a commit put or deleted.
#[derive(Clone, Debug)]
pub(crate) struct ChangedKey {
    /// A stamp in it is still pending.
    pub(crate) key: WatchedKey,
    pub(crate) is_put: bool,
}

impl Committed {
    /// The keys of a table that the commit put or deleted, in the order in which its write-set named them. A position
    /// in a key that the commit fills in is still [`Position::PENDING`].
    pub fn keys_changed<T: Watched>(&self) -> impl Iterator<Item = &T::Key> {
        self.changes.iter().filter_map(|change| T::watched_key(&change.key))
    }

    /// The keys of a table that the commit put.
    pub fn keys_put<T: Watched>(&self) -> impl Iterator<Item = &T::Key> {
        self.changes.iter().filter(|change| change.is_put).filter_map(|change| T::watched_key(&change.key))
    }
}

/// The commits of one disk sync, in order.
pub type CommitGroup = Arc<[Committed]>;

/// How a commit changed a key.
#[derive(Clone, Copy, Debug)]
pub struct Change {
    /// The position of the commit.
    pub position: Position,
    /// The key has a value now.
    pub is_put: bool,
    /// The commit was written through the same [`Store`](crate::Store), or a clone of it, that is watched.
    pub is_own: bool,
}

/// What a feed has for its follower.
#[derive(Clone, Debug)]
pub enum News {
    /// Commits that became readable.
    Commits(CommitGroup),
    /// The follower was too slow: commits were left out, and whatever it takes from them has to be read anew.
    Missed,
}

/// The stream from a moment on, for one task. It holds a bounded number of commits.
#[derive(Debug)]
pub struct Feed(pub(crate) broadcast::Receiver<CommitGroup>);

impl Feed {
    /// Waits for news; None when the store is gone.
    pub async fn next(&mut self) -> Option<News> {
        match self.0.recv().await {
            Ok(group) => Some(News::Commits(group)),
            Err(RecvError::Lagged(_)) => Some(News::Missed),
            Err(RecvError::Closed) => None,
        }
    }

    /// News that has come in already; None if there is none.
    pub fn try_next(&mut self) -> Option<News> {
        match self.0.try_recv() {
            Ok(group) => Some(News::Commits(group)),
            Err(TryRecvError::Lagged(_)) => Some(News::Missed),
            Err(TryRecvError::Empty | TryRecvError::Closed) => None,
        }
    }
}
