//! Which threads a user follows.
//! <https://github.com/matrix-org/matrix-spec-proposals/pull/4306>
//! <https://github.com/matrix-org/matrix-spec-proposals/pull/4308>
//!
//! The rules about threads are given to a user with the first subscription:
//! docs/decisions/0009-thread-subscriptions.md.

use std::sync::Arc;

use linkspan_accounts::{Amount, Counted};
use linkspan_inbox::point;
use linkspan_rooms::{RoomsError, Standing, TimelineEvent, View, can_root_thread};
use linkspan_storage::{
    Position, Range, Stamped, WriteSet,
    catalogue::{ThreadLogKey, ThreadSubscriptionLog, ThreadSubscriptions, UserRoomEventKey},
    records::{InboxPointer, ThreadSubscriptionRecord},
};
use ruma::{OwnedEventId, OwnedRoomId, OwnedUserId};

use crate::{Push, PushError, Recipient, Result};

/// The most subscriptions of a user to threads, including ended ones: those of some years of busy rooms. For a new one the
/// one that has not changed for the longest time is forgotten.
const MAX_SUBSCRIPTIONS: u64 = 20_000;
/// The most changes that are told in one answer.
const MAX_CHANGES: usize = 100;

const NO_SUCH_THREAD: PushError =
    PushError::NoSuchThread("there is no such event, you may not see it, or it can have no thread");

/// A subscription as it is now, with the time at which it became so.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ThreadChange {
    /// The room.
    pub room_id: OwnedRoomId,
    /// The thread's root.
    pub root: OwnedEventId,
    /// Whether a client subscribed by itself. None if the user is not subscribed any more.
    pub automatic: Option<bool>,
    /// A number that is greater for the later one of two changes.
    pub bump_stamp: u64,
}

/// Changed subscriptions. The newest comes first.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ThreadChanges {
    /// The changes.
    pub changes: Vec<ThreadChange>,
    /// The position up to which there are more. None if these are all.
    pub older: Option<Position>,
}

/// The thread that an event is in, with the user's subscription to it.
#[derive(Debug)]
pub(crate) struct ThreadPlace {
    /// The root of the thread. None if the event is in the main timeline.
    pub(crate) root: Option<OwnedEventId>,
    /// Whether the user is subscribed to the thread. None if there is no thread, or the user's rules do not
    /// ask.
    pub(crate) subscribed: Option<bool>,
}

impl Push {
    /// Finds a user's subscription to a thread, and whether a client has made it by itself.
    pub async fn thread_subscription(
        &self,
        user_id: &OwnedUserId,
        room_id: &OwnedRoomId,
        root: &OwnedEventId,
    ) -> Result<bool> {
        self.view_thread(user_id, room_id, root).await?;
        let stored = self.store().get::<ThreadSubscriptions>(&key(user_id, room_id, root)).await?;
        let record = stored.map(|stored| stored.value).filter(|record| record.ended_at.is_none());
        let record = record.ok_or(PushError::NoSuchThread("you are not subscribed to this thread"))?;
        Ok(record.automatic)
    }

    /// Subscribes a user to a thread. If a client does that by itself, `cause` is the event of the thread for
    /// which it does. That changes no subscription that exists, and none that the user has ended since the
    /// event.
    pub async fn subscribe_thread(
        &self,
        user_id: &OwnedUserId,
        room_id: &OwnedRoomId,
        root: &OwnedEventId,
        cause: Option<&OwnedEventId>,
    ) -> Result<()> {
        let mut view = self.view_thread(user_id, room_id, root).await?;
        if view.standing != Standing::Joined {
            return Err(NO_SUCH_THREAD);
        }
        let cause = match cause {
            Some(cause) => Some(self.cause_at(&mut view, root, cause).await?),
            None => None,
        };
        self.change_subscription(&key(user_id, room_id, root), |before| match (before, cause) {
            (Some(ThreadSubscriptionRecord { ended_at: Some(ended_at), .. }), Some(cause))
                if *ended_at >= cause =>
            {
                Err(PushError::ConflictingUnsubscription)
            }
            (Some(ThreadSubscriptionRecord { ended_at: None, .. }), Some(_)) => Ok(None),
            _ => Ok(Some(ThreadSubscriptionRecord { automatic: cause.is_some(), ended_at: None })),
        })
        .await
    }

    /// Ends a user's subscription to a thread. It is noted even if there was none, so that no client
    /// subscribes the user for what was said before.
    pub async fn unsubscribe_thread(
        &self,
        user_id: &OwnedUserId,
        room_id: &OwnedRoomId,
        root: &OwnedEventId,
    ) -> Result<()> {
        self.view_thread(user_id, room_id, root).await?;
        let newest = self.rooms().head(room_id).await?.map_or(0, |head| head.seq);
        let ended = ThreadSubscriptionRecord { automatic: false, ended_at: Some(newest) };
        self.change_subscription(&key(user_id, room_id, root), |_| Ok(Some(ended.clone()))).await
    }

    /// The subscriptions that changed after `after` and up to `up_to`, each as it is now; at most `limit`, which is at
    /// least one and at most 100.
    pub async fn thread_changes(
        &self,
        user_id: &OwnedUserId,
        after: Position,
        up_to: Position,
        limit: usize,
    ) -> Result<ThreadChanges> {
        let limit = limit.clamp(1, MAX_CHANGES);
        let range =
            Range::<ThreadSubscriptionLog>::between((user_id, &after.next()), (user_id, &up_to.next()));
        let mut rows = self.store().keys(range.reverse().limit(limit + 1)).await?;
        let older = rows.get(limit).map(|row| row.position);
        rows.truncate(limit);
        let keys: Vec<_> = rows.iter().map(|row| key(user_id, &row.room_id, &row.root)).collect();
        let stored = self.store().get_many::<ThreadSubscriptions>(&keys).await?;
        let mut changes = Vec::with_capacity(rows.len());
        for ((row, key), stored) in rows.into_iter().zip(keys).zip(stored) {
            // A subscription that is not there as the log has it has changed meanwhile, and is told as what it is then.
            if let Some(stored) = stored.filter(|stored| stored.position == row.position) {
                changes.push(change(key, &stored));
            }
        }
        Ok(ThreadChanges { changes, older })
    }

    /// Whether a user has ever subscribed to a thread, or unsubscribed from one.
    pub(crate) async fn follows_threads(&self, user_id: &OwnedUserId) -> Result<bool> {
        let range = Range::<ThreadSubscriptions>::prefix((user_id,)).limit(1);
        Ok(!self.store().keys(range).await?.is_empty())
    }

    /// Finds the thread that an event is in, and whether the user is subscribed to it.
    pub(crate) async fn thread_place(
        &self,
        recipient: &Recipient,
        event: &TimelineEvent,
    ) -> Result<ThreadPlace> {
        let root = self.rooms().thread_of(event).await?;
        let subscribed = match &root {
            Some(root) if recipient.rules.asks_subscription => {
                let key = key(&recipient.user_id, &event.pdu.room_id, root);
                let stored = self.store().get::<ThreadSubscriptions>(&key).await?;
                Some(stored.is_some_and(|stored| stored.value.ended_at.is_none()))
            }
            _ => None,
        };
        Ok(ThreadPlace { root, subscribed })
    }

    /// The user's view of a room, with an event that the user sees and that is or can be the root of a
    /// thread.
    async fn view_thread(
        &self,
        user_id: &OwnedUserId,
        room_id: &OwnedRoomId,
        root: &OwnedEventId,
    ) -> Result<View> {
        let mut view = self.rooms().view(user_id, room_id).await.map_err(|error| match error {
            RoomsError::Forbidden(_) | RoomsError::NotFound(_) => NO_SUCH_THREAD,
            error => error.into(),
        })?;
        let root = self.seen(&mut view, root).await?.ok_or(NO_SUCH_THREAD)?;
        if root.pdu.state_key.is_some() || !can_root_thread(&root.pdu) {
            return Err(NO_SUCH_THREAD);
        }
        Ok(view)
    }

    async fn seen(&self, view: &mut View, event_id: &OwnedEventId) -> Result<Option<Arc<TimelineEvent>>> {
        let Some(event) = self.rooms().event(&view.room.id, event_id).await? else { return Ok(None) };
        Ok(self.rooms().may_see(view, &event).await?.then_some(event))
    }

    /// The place of an event that is in a thread. The root does not count as one.
    async fn cause_at(&self, view: &mut View, root: &OwnedEventId, cause: &OwnedEventId) -> Result<i64> {
        let event = self.seen(view, cause).await?.ok_or(PushError::NotInThread)?;
        let is_in_thread = self.rooms().thread_of(&event).await?.as_ref() == Some(root);
        is_in_thread.then_some(event.seq).ok_or(PushError::NotInThread)
    }

    /// Changes a subscription, or leaves it as it is if `decide` answers None.
    async fn change_subscription(
        &self,
        key: &UserRoomEventKey,
        decide: impl Fn(Option<&ThreadSubscriptionRecord>) -> Result<Option<ThreadSubscriptionRecord>>,
    ) -> Result<()> {
        self.store()
            .update(async || {
                let before = self.store().get::<ThreadSubscriptions>(key).await?;
                let after = decide(before.as_ref().map(|before| &before.value))?;
                match after.filter(|after| before.as_ref().is_none_or(|before| before.value != *after)) {
                    Some(after) => Ok((self.write_subscription(key, before, after).await?, ())),
                    None => Ok((WriteSet::new(), ())),
                }
            })
            .await
    }

    /// Writes the change of a subscription. With the first one the user gets push rules about threads.
    async fn write_subscription(
        &self,
        key: &UserRoomEventKey,
        before: Option<Stamped<ThreadSubscriptionRecord>>,
        after: ThreadSubscriptionRecord,
    ) -> Result<WriteSet> {
        let user_id = &key.user_id;
        let mut writes = WriteSet::new();
        match &before {
            Some(before) => {
                writes.expect::<ThreadSubscriptions>(key, before);
                writes.delete::<ThreadSubscriptionLog>(&log_key(key, before.position));
            }
            None => {
                self.count_subscription(&mut writes, user_id).await?;
                writes.expect_absent::<ThreadSubscriptions>(key);
                if !self.follows_threads(user_id).await? {
                    self.put_thread_rules(&mut writes, user_id).await?;
                }
            }
        }
        writes.put::<ThreadSubscriptions>(key, &Stamped::pending(after));
        writes.put::<ThreadSubscriptionLog>(&log_key(key, Position::PENDING), &());
        point(&mut writes, user_id, InboxPointer::ThreadSubscriptions);
        Ok(writes)
    }

    /// Counts a subscription that is new. If there are as many as there may be, the one whose last change is the oldest
    /// makes place for it.
    async fn count_subscription(&self, writes: &mut WriteSet, user_id: &OwnedUserId) -> Result<()> {
        let counted = Counted::ThreadSubscriptions;
        if self.shared.accounts.stored(user_id, counted).await?.entries < MAX_SUBSCRIPTIONS {
            self.shared.accounts.count_stored(writes, user_id, counted, Amount::NONE, Amount::ONE).await?;
            return Ok(());
        }
        let oldest = Range::<ThreadSubscriptionLog>::prefix((user_id,)).limit(1);
        for oldest in self.store().keys(oldest).await? {
            writes.expect::<ThreadSubscriptionLog>(&oldest, &());
            writes.delete::<ThreadSubscriptionLog>(&oldest);
            writes.delete::<ThreadSubscriptions>(&self::key(user_id, &oldest.room_id, &oldest.root));
        }
        Ok(())
    }
}

fn key(user_id: &OwnedUserId, room_id: &OwnedRoomId, root: &OwnedEventId) -> UserRoomEventKey {
    UserRoomEventKey { user_id: user_id.clone(), room_id: room_id.clone(), event_id: root.clone() }
}

fn log_key(key: &UserRoomEventKey, position: Position) -> ThreadLogKey {
    let UserRoomEventKey { user_id, room_id, event_id } = key.clone();
    ThreadLogKey { user_id, position, room_id, root: event_id }
}

fn change(key: UserRoomEventKey, stored: &Stamped<ThreadSubscriptionRecord>) -> ThreadChange {
    ThreadChange {
        room_id: key.room_id,
        root: key.event_id,
        automatic: stored.value.ended_at.is_none().then_some(stored.value.automatic),
        bump_stamp: stored.position.get(),
    }
}
