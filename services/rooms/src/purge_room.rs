//! Removing from the store what nobody may read any more of a room that operators have deleted.
//!
//! The first step takes the room away, so that nobody finds it any more; the others remove what is left of it, and may be
//! done again. That people have left it stays, so that clients which were away learn of it.

use linkspan_accounts::{Amount, Counted};
use linkspan_storage::{
    Range, WriteSet,
    catalogue::{
        AwaitedRedactions, ClosedToGuests, CurrentState, EventIds, EventKey, HiddenEvents, JoinLinks,
        Members, Memberships, PlatformKey, ReceiptLog, Receipts, Relations, RoomHeads, RoomKey, RoomUserKey,
        Rooms as RoomsTable, SearchChunks, StateDeltas, StateLog, Threads, Timeline, UserRoomKey,
    },
};
use ruma::OwnedRoomId;

use crate::{Result, Rooms, membership::is_involved};

/// Rows that are removed in one step.
const BATCH: usize = 500;

impl Rooms {
    /// Takes a room away, unless somebody may still read something of it. Returns whether it did.
    pub(crate) async fn begin_purge(
        &self,
        deletion: &PlatformKey,
        room_id: &OwnedRoomId,
        now_ts: u64,
    ) -> Result<bool> {
        self.again(async || self.begin_purge_once(deletion, room_id, now_ts).await).await
    }

    async fn begin_purge_once(
        &self,
        deletion: &PlatformKey,
        room_id: &OwnedRoomId,
        now_ts: u64,
    ) -> Result<bool> {
        let Some(room) = self.find_room(room_id).await? else { return Ok(false) };
        // Nobody comes into the room while this is held.
        let append = self.begin(&room, now_ts).await?;
        append.settle().await?;
        if self.may_be_read(room_id).await? {
            return Ok(false);
        }
        let mut writes = WriteSet::new();
        let key = RoomKey { room_id: room_id.clone() };
        writes.delete::<RoomsTable>(&key);
        writes.delete::<RoomHeads>(&key);
        self.note_purge(&mut writes, deletion).await?;
        for platform in self.shared.platforms.iter() {
            self.put_published(&mut writes, platform.server_name(), &room, false).await?;
        }
        append.settle_and(writes).await?;
        self.drop_room(&append.room);
        Ok(true)
    }

    /// Whether somebody who is hosted here is in the room, or was there and has not forgotten it.
    async fn may_be_read(&self, room_id: &OwnedRoomId) -> Result<bool> {
        let mut last: Option<RoomUserKey> = None;
        loop {
            let range = Range::<Members>::prefix((room_id,)).after_last(last.as_ref()).limit(BATCH);
            let rows = self.store().range(range).await?;
            let mut keys = Vec::new();
            for (key, member) in &rows {
                if !self.shared.platforms.hosts(key.user_id.server_name()) {
                    continue;
                }
                if is_involved(&member.membership) {
                    return Ok(true);
                }
                keys.push(UserRoomKey { user_id: key.user_id.clone(), room_id: room_id.clone() });
            }
            let stored = self.store().get_many::<Memberships>(&keys).await?;
            if stored.iter().flatten().any(|stored| !stored.value.forgotten && !stored.value.is_hidden) {
                return Ok(true);
            }
            last = rows.into_iter().next_back().map(|(key, _)| key);
            if last.is_none() {
                return Ok(false);
            }
        }
    }

    /// Removes what is left of a room that was taken away.
    pub(crate) async fn purge_rest(&self, room_id: &OwnedRoomId) -> Result<()> {
        self.purge_aliases(room_id).await?;
        self.purge_events(room_id).await?;
        let store = self.store();
        let of_room = (room_id,);
        store.delete_range::<CurrentState>(Range::prefix(of_room)).await?;
        store.delete_range::<StateLog>(Range::prefix(of_room)).await?;
        store.delete_range::<StateDeltas>(Range::prefix(of_room)).await?;
        store.delete_range::<Relations>(Range::prefix(of_room)).await?;
        store.delete_range::<Threads>(Range::prefix(of_room)).await?;
        store.delete_range::<Receipts>(Range::prefix(of_room)).await?;
        store.delete_range::<ReceiptLog>(Range::prefix(of_room)).await?;
        store.delete_range::<SearchChunks>(Range::prefix(of_room)).await?;
        store.delete_range::<AwaitedRedactions>(Range::prefix(of_room)).await?;
        store.delete_range::<ClosedToGuests>(Range::prefix(of_room)).await?;
        self.purge_links(room_id).await?;
        store.delete_range::<Members>(Range::prefix(of_room)).await?;
        Ok(())
    }

    /// Everybody can have its aliases again.
    async fn purge_aliases(&self, room_id: &OwnedRoomId) -> Result<()> {
        for alias in self.shared.directory.aliases_of(room_id).await? {
            self.store()
                .update(async || {
                    let mut writes = WriteSet::new();
                    let record = self.shared.directory.delete_alias(&mut writes, &alias).await?;
                    let (accounts, creator) = (&self.shared.accounts, &record.creator);
                    if accounts.is_active(creator).await? {
                        let counted = Counted::Aliases;
                        accounts
                            .count_stored(&mut writes, creator, counted, Amount::ONE, Amount::NONE)
                            .await?;
                    }
                    Ok::<_, crate::RoomsError>((writes, ()))
                })
                .await?;
        }
        Ok(())
    }

    async fn purge_events(&self, room_id: &OwnedRoomId) -> Result<()> {
        loop {
            let rows = self.store().range(Range::<Timeline>::prefix((room_id,)).limit(BATCH)).await?;
            let mut writes = WriteSet::new();
            for (key, event) in &rows {
                writes.delete::<Timeline>(key);
                writes.delete::<EventIds>(&EventKey { event_id: event.value.event_id.clone() });
            }
            let hidden = self.store().keys(Range::<HiddenEvents>::prefix((room_id,)).limit(BATCH)).await?;
            for key in &hidden {
                writes.delete::<HiddenEvents>(key);
                writes.delete::<EventIds>(&EventKey { event_id: key.event_id.clone() });
            }
            if rows.is_empty() && hidden.is_empty() {
                return Ok(());
            }
            self.store().commit(writes).await?;
        }
    }

    async fn purge_links(&self, room_id: &OwnedRoomId) -> Result<()> {
        let mut writes = WriteSet::new();
        for (key, record) in self.store().range(Range::<JoinLinks>::prefix((room_id,))).await? {
            crate::join_links::delete_link(&mut writes, &key, &record);
        }
        Ok(self.store().commit(writes).await.map(drop)?)
    }
}
