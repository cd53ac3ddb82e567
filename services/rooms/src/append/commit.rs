//! Writing down what was staged, and taking the room in memory along.

use std::{
    collections::HashMap,
    sync::{Arc, OnceLock},
};

use linkspan_domain::Pdu;
use linkspan_storage::{
    Finish, Position, Ticket, WriteSet,
    catalogue::{RoomHeads, RoomKey, TransactionKey},
    records::{RoomHeadRecord, ThreadRecord},
};
use ruma::{
    OwnedEventId, OwnedUserId,
    events::{TimelineEventType, room::member::MembershipState},
};

use super::Append;
use crate::{Result, Room, Rooms, TimelineEvent, encryption::KnownRules, permits::Permits};

impl Append {
    /// Queues what was staged, lets the next append in, and waits until it is on disk.
    pub(crate) async fn commit(mut self) -> Result<Vec<Arc<TimelineEvent>>> {
        self.consulted.check()?;
        if !self.shortened.is_empty() {
            Box::pin(self.settle_thread_ends()).await?;
        }
        if !self.newcomers.is_empty() {
            // Sending a message should not have to make room for it.
            Box::pin(self.bring_room_settings()).await?;
        }
        let (underway, ticket) = self.queue(WriteSet::new())?;
        // What follows the commit must happen even if nobody waits for it any more.
        Finish::new(async move {
            match ticket.committed().await {
                Ok(position) => Ok(underway.land(position)),
                Err(error) => {
                    underway.fail();
                    Err(error.into())
                }
            }
        })
        .await
    }

    /// Does the same with what was staged for two rooms, as one write-set: both or neither.
    pub(crate) async fn commit_with(mut self, mut other: Self) -> Result<()> {
        self.consulted.check()?;
        other.consulted.check()?;
        let writes = other.finish_writes();
        let (underway, ticket) = self.queue(writes)?;
        let other = other.advance();
        Finish::new(async move {
            match ticket.committed().await {
                Ok(position) => {
                    underway.land(position);
                    other.land(position);
                    Ok(())
                }
                Err(error) => {
                    underway.fail();
                    other.fail();
                    Err(error.into())
                }
            }
        })
        .await
    }

    /// Queues what was staged, with `more`, and lets the next append in. What is refused at once leaves the room as it
    /// is, also in memory: others have not built on it.
    fn queue(mut self, more: WriteSet) -> Result<(Underway, Ticket)> {
        let mut writes = self.finish_writes();
        writes.append(more);
        let ticket = self.rooms.store().try_submit(writes)?;
        Ok((self.advance(), ticket))
    }

    /// The rows to write, those of the head included.
    fn finish_writes(&mut self) -> WriteSet {
        let key = RoomKey { room_id: self.room.id.clone() };
        let stored_head = self.writer.stored_head.as_deref();
        self.writes.expect_read::<RoomHeads>(&key, stored_head);
        // Whoever watches a big room is woken when its head is written.
        if !self.staged.is_empty() || stored_head != Some(&self.head) {
            self.writes.put::<RoomHeads>(&key, &self.head);
        }
        if !self.staged.is_empty() {
            self.tell_members();
            if self.staged.iter().all(|event| is_removal(&event.pdu)) {
                self.writes.use_reserve();
            }
        }
        std::mem::take(&mut self.writes)
    }

    /// Takes the room in memory to where it will be on disk, and lets the next append in.
    fn advance(self) -> Underway {
        let Self {
            rooms,
            room,
            mut writer,
            head,
            state,
            staged,
            redacted,
            deltas,
            members,
            present,
            rules_generation,
            counting,
            ..
        } = self;
        counting.keep();
        if !state.is_empty() {
            writer.permits = Permits::default();
        }
        let stored_head = Arc::new(head.clone());
        writer.stored_head = Some(stored_head.clone());
        writer.rules_present = Some(KnownRules { present, generation: rules_generation });
        writer.head = head;
        writer.state.extend(state);
        let (transactions, threads) = (self.transactions, self.threads);
        if !transactions.is_empty() || !threads.is_empty() {
            let mut queued = room.queued.lock();
            queued.transactions.extend(transactions.iter().cloned());
            queued.threads.extend(threads.clone());
        }
        let states = deltas.iter().map(|(state_id, _)| *state_id).collect();
        for (state_id, delta) in deltas {
            rooms.cache_delta(&room.id, state_id, delta);
        }
        let changed_members = self.members_changed.then(|| members.clone());
        if self.members_changed {
            writer.platforms = None;
        }
        let platforms = writer.platforms.get_or_insert_with(|| rooms.platforms_of(&members)).clone();
        writer.members = Some(members);
        drop(writer);
        Underway {
            rooms,
            room,
            staged,
            redacted,
            transactions,
            threads,
            states,
            head: stored_head,
            changed_members,
            platforms,
            closes_to_guests: self.closes_to_guests,
        }
    }
}

/// Whether an event takes something away or somebody out: that goes on when the disk is nearly full.
fn is_removal(event: &Pdu) -> bool {
    match event.event_type {
        TimelineEventType::RoomRedaction => true,
        TimelineEventType::RoomMember => {
            matches!(event.membership(), Some(MembershipState::Leave | MembershipState::Ban))
        }
        _ => false,
    }
}

/// What was staged and is on its way to the disk.
struct Underway {
    rooms: Rooms,
    room: Arc<Room>,
    staged: Vec<Arc<TimelineEvent>>,
    redacted: Vec<Arc<TimelineEvent>>,
    transactions: Vec<(TransactionKey, OwnedEventId)>,
    threads: HashMap<OwnedEventId, ThreadRecord>,
    head: Arc<RoomHeadRecord>,
    /// The numbers of the states that it makes.
    states: Vec<u64>,
    changed_members: Option<Arc<Vec<OwnedUserId>>>,
    /// The numbers of the platforms whose people are in the room.
    platforms: Arc<[usize]>,
    closes_to_guests: bool,
}

impl Underway {
    /// It is not on disk. The room in memory is ahead of the disk: the next who asks loads it anew.
    fn fail(self) {
        self.states.iter().for_each(|state_id| self.rooms.forget_delta(&self.room.id, *state_id));
        self.rooms.drop_room(&self.room);
    }

    /// It is on disk; the events.
    fn land(self, position: Position) -> Vec<Arc<TimelineEvent>> {
        let Self {
            rooms,
            room,
            staged,
            redacted,
            transactions,
            threads,
            head,
            changed_members,
            platforms,
            closes_to_guests,
            ..
        } = self;
        staged.iter().for_each(|event| rooms.count_event(&event.pdu, &platforms));
        rooms.shared.heads.offer(RoomKey { room_id: room.id.clone() }, head, position);
        if let Some(members) = changed_members {
            rooms.shared.members.offer(room.id.clone(), members, position);
        }
        if closes_to_guests {
            rooms.shared.closed_to_guests.notify_one();
        }
        if !transactions.is_empty() || !threads.is_empty() {
            let mut queued = room.queued.lock();
            for (key, _) in &transactions {
                queued.transactions.remove(key);
            }
            // A later append may have queued a newer one.
            queued.threads.retain(|root, thread| threads.get(root) != Some(thread));
        }
        redacted.into_iter().for_each(|event| rooms.offer_event(&room.id, event, position));
        let committed = |event: &Arc<TimelineEvent>| {
            Arc::new(TimelineEvent {
                seq: event.seq,
                position,
                state_before: event.state_before,
                state_after: event.state_after,
                sent_by: event.sent_by.clone(),
                disappears_ts: event.disappears_ts,
                pdu: event.pdu.clone(),
                thread: OnceLock::new(),
            })
        };
        let events: Vec<_> = staged.iter().map(committed).collect();
        events.iter().for_each(|event| rooms.offer_event(&room.id, event.clone(), position));
        events
    }
}

#[cfg(test)]
mod tests {
    use std::{sync::Arc, time::Duration};

    use linkspan_accounts::Accounts;
    use linkspan_contacts::Contacts;
    use linkspan_directory::Directory;
    use linkspan_domain::Draft;
    use linkspan_inbox::Inbox;
    use linkspan_platforms::Platforms;
    use linkspan_storage::{
        CommitError, Faults, Memory, Space, StorageError, Store,
        catalogue::{RoomKey, Rooms as RoomsTable},
    };
    use ruma::{
        CanonicalJsonObject, OwnedUserId,
        events::{StateEventType, TimelineEventType},
    };
    use serde_json::json;

    use super::super::{Transaction, object, text};
    use crate::{CreateRoom, Preset, Room, Rooms, RoomsError};

    async fn rooms(store: Store) -> Rooms {
        let settings = json!({ "name": "a", "server_name": "a.localhost", "rate_limits": false });
        let settings = vec![serde_json::from_value(settings).expect("settings")];
        let platforms = Arc::new(Platforms::open(&store, settings, 0).await.expect("platforms"));
        let (accounts, inbox) = (Accounts::new(store.clone()), Inbox::new(store.clone(), 0));
        let contacts = Contacts::new(store.clone(), platforms.clone(), accounts.clone());
        let directory = Directory::new(store.clone(), platforms.clone());
        Rooms::new(store, platforms, accounts, contacts, directory, inbox, || 0)
    }

    fn alice() -> OwnedUserId {
        "@alice:a.localhost".try_into().expect("a user id")
    }

    async fn room_of(rooms: &Rooms, creator: &OwnedUserId) -> Arc<Room> {
        let command = CreateRoom {
            version: None,
            preset: Preset::PrivateChat,
            published: false,
            alias_name: None,
            name: None,
            topic: None,
            invite: Vec::new(),
            is_direct: false,
            initial_state: Vec::new(),
            creation_content: CanonicalJsonObject::new(),
            power_levels: CanonicalJsonObject::new(),
        };
        let room_id = rooms.create_room(creator, command, 1).await.expect("a room");
        rooms.room(&room_id).await.expect("the room")
    }

    /// What was built on something that fails is done anew, whatever is missing then.
    #[tokio::test]
    async fn what_was_built_on_what_fails_is_done_anew() {
        let engine = Memory::with_faults(Faults::default()).expect("an engine");
        let rooms = rooms(Store::in_memory(engine.clone())).await;
        let alice = alice();
        let (room, other) = (room_of(&rooms, &alice).await, room_of(&rooms, &alice).await);
        let topic = |topic| Draft::state(TimelineEventType::RoomTopic, "", object([("topic", text(topic))]));
        let mut failing = rooms.begin(&room, 2).await.expect("the writer");
        failing.stage(&alice, topic("one"), None).await.expect("staged");
        failing.writes.expect_absent::<RoomsTable>(&RoomKey { room_id: room.id.clone() });
        // What fails is queued behind a write to another room, so that it has not failed yet when it is built on.
        let mut before = rooms.begin(&other, 2).await.expect("the writer");
        before.stage(&alice, topic("before"), None).await.expect("staged");
        let held = engine.hold_disk().expect("a disk");
        let before = tokio::spawn(before.commit());
        let waiting = tokio::task::spawn_blocking(move || {
            held.wait_for_write();
            held
        });
        let held = waiting.await.expect("a write");
        let failing = tokio::spawn(failing.commit());
        let mut next = rooms.begin(&room, 3).await.expect("the writer");
        drop(held);
        before.await.expect("it ends").expect("sent");
        failing.await.expect("it ends").expect_err("there is such a room");
        let found = next.stage(&alice, topic("two"), None).await.map(drop);
        let is_conflict =
            matches!(found, Err(RoomsError::Storage(StorageError::Commit(CommitError::Conflict(_)))));
        assert!(is_conflict, "{found:?}");
    }

    /// Whoever asks about people who are not there does not fill the memory.
    #[tokio::test]
    async fn a_writer_forgets_what_it_has_read() {
        let rooms = rooms(Store::in_memory(Memory::new().expect("an engine"))).await;
        let alice = alice();
        let room = room_of(&rooms, &alice).await;
        let mut asking = rooms.begin(&room, 2).await.expect("the writer");
        for number in 0..5_000 {
            let nobody = format!("@nobody{number}:a.localhost");
            let found = asking.state_event(&StateEventType::RoomMember, &nobody).await;
            assert!(found.expect("it is read").is_none());
        }
        drop(asking);
        let mut append = rooms.begin(&room, 3).await.expect("the writer");
        assert!(append.writer.state.is_empty());
        let topic = Draft::state(TimelineEventType::RoomTopic, "", object([("topic", text("one"))]));
        append.stage(&alice, topic, None).await.expect("staged");
        append.commit().await.expect("sent");
    }

    /// A room goes on as it is when there was no room on the disk for something.
    #[tokio::test]
    async fn a_full_disk_stops_messages_and_nobody_from_leaving() {
        let space = Arc::new(Space::pretended(1000, 1000));
        let rooms = rooms(Store::in_memory(Memory::with_space(space.clone()).expect("an engine"))).await;
        let alice = alice();
        let room = room_of(&rooms, &alice).await;
        let send = async || {
            let mut append = rooms.begin(&room, 2).await.expect("the writer");
            let hello = Draft::message(TimelineEventType::RoomMessage, object([("body", text("hello"))]));
            append.stage(&alice, hello, None).await.expect("staged");
            append.commit().await.map(drop)
        };
        send().await.expect("sent");
        space.pretend(300);
        for _ in 0..3 {
            let refused = send().await;
            let is_full =
                matches!(refused, Err(RoomsError::Storage(StorageError::Commit(CommitError::Full))));
            assert!(is_full, "{refused:?}");
        }
        space.pretend(1000);
        // What was measured last is measured again.
        send().await.expect("sent");
        space.pretend(300);
        rooms.leave_room(&alice, &room.id, None, 3).await.expect("left");
    }

    /// Whoever has sent something is answered once it is on disk, whoever writes to the room meanwhile.
    #[tokio::test]
    async fn nobody_waits_for_the_next_writer() {
        let engine = Memory::with_faults(Faults::default()).expect("an engine");
        let rooms = rooms(Store::in_memory(engine.clone())).await;
        let alice = alice();
        let room = room_of(&rooms, &alice).await;
        let transaction = Transaction {
            device_id: "DEVICE".into(),
            endpoint: "send/m.room.message".to_owned(),
            txn_id: "1".to_owned(),
        };
        let mut append = rooms.begin(&room, 2).await.expect("the writer");
        let hello = Draft::message(TimelineEventType::RoomMessage, object([("body", text("hello"))]));
        append.stage(&alice, hello, Some(transaction.clone())).await.expect("staged");
        let held = engine.hold_disk().expect("a disk");
        let sending = tokio::spawn(append.commit());
        let next = room.writer.clone().lock_owned().await;
        assert_eq!(room.queued.lock().transactions.len(), 1);
        drop(held);
        let sent = tokio::time::timeout(Duration::from_secs(60), sending).await;
        let sent = sent.expect("it waits for the writer").expect("it ends").expect("it is on disk");
        drop(next);
        assert!(room.queued.lock().transactions.is_empty());
        let again = rooms.begin(&room, 3).await.expect("the writer").done(&alice, &transaction).await;
        assert_eq!(again.expect("read").as_ref(), Some(&sent[0].pdu.event_id));
    }
}
