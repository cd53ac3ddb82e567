//! Following a room to the one that replaces it: what a user has set about the old one goes along.
//! <https://spec.matrix.org/v1.19/client-server-api/#room-upgrades>

use std::{error::Error, fmt, future::Future, pin::Pin, sync::Arc};

use linkspan_domain::Pdu;
use linkspan_storage::WriteSet;
use ruma::{
    OwnedEventId, OwnedRoomId, OwnedUserId,
    events::{StateEventType, room::member::MembershipState},
};
use serde::Deserialize;

use crate::{Result, Room, Rooms, RoomsError, append::Append};

/// How many upgrades of a room a user may have missed and still find their settings.
pub(crate) const MAX_UPGRADES: usize = 20;
/// Earlier memberships of a user that are looked at.
const MAX_MEMBERSHIPS: usize = 100;

/// Settings that are being copied; the error is for the log.
pub type Copying<'a> =
    Pin<Box<dyn Future<Output = std::result::Result<(), Box<dyn Error + Send + Sync>>> + Send + 'a>>;

/// What a service above keeps about users in rooms.
pub trait RoomSettings: fmt::Debug + Send + Sync {
    /// Has what a user has set about a room hold for the room that replaces it, too. Doing it again changes nothing.
    fn copy<'a>(
        &'a self,
        user_id: &'a OwnedUserId,
        from: &'a OwnedRoomId,
        to: &'a OwnedRoomId,
    ) -> Copying<'a>;
}

/// The room that a tombstone names in place of its own.
pub(crate) fn replacement_of(tombstone: &Pdu) -> Option<OwnedRoomId> {
    #[derive(Deserialize)]
    struct Content {
        replacement_room: OwnedRoomId,
    }
    tombstone.content_as::<Content>().map(|content| content.replacement_room)
}

impl Rooms {
    /// Has the settings that a service above keeps go along with who follows an upgrade. For the wiring: the first
    /// call counts.
    pub fn set_room_settings(&self, room_settings: Arc<dyn RoomSettings>) {
        drop(self.shared.room_settings.set(room_settings));
    }

    /// Copies what a user has set about a room to the room that replaces it. What cannot be copied, since there would be
    /// too much of it, is left: nobody is kept out of a room for that.
    pub(crate) async fn copy_room_settings(
        &self,
        user_id: &OwnedUserId,
        from: &OwnedRoomId,
        to: &OwnedRoomId,
    ) {
        let accounts = &self.shared.accounts;
        if let Err(error) = accounts.copy_tags(user_id, from, to).await {
            tracing::warn!(%error, %user_id, %to, "the tags of a room that was replaced could not be copied");
        }
        if let Err(error) = accounts.copy_direct_chat(user_id, from, to).await {
            tracing::warn!(%error, %user_id, %to, "a replaced room's place in m.direct could not be copied");
        }
        if let Some(settings) = self.shared.room_settings.get()
            && let Err(error) = settings.copy(user_id, from, to).await
        {
            tracing::warn!(%error, %user_id, %to, "settings about a room that was replaced could not be copied");
        }
    }

    /// Points aliases of a user's platform at the room that replaces theirs, and has the platform list it in place of the
    /// other, as far as the user could do both in that room: docs/decisions/0033-upgrades-and-aliases.md.
    async fn bring_aliases(&self, user_id: &OwnedUserId, from: &OwnedRoomId, to: &Room) -> Result<WriteSet> {
        let mut writes = WriteSet::new();
        let directory = &self.shared.directory;
        let platform = user_id.server_name();
        let mut aliases = directory.aliases_on(platform, from).await?;
        let is_listed = directory.is_published(platform, from).await?;
        if aliases.is_empty() && !is_listed
            || self.membership(from, user_id).await? != Some(MembershipState::Join)
        {
            return Ok(writes);
        }
        let old = self.room(from).await?;
        let levels = self.power_levels(&old).await?;
        if levels.user(user_id) >= levels.needed_for_event("m.room.canonical_alias", true) {
            self.move_listing(&mut writes, platform, &old, to).await?;
        } else {
            let mut own = Vec::new();
            for alias in aliases {
                let record = directory.resolve_alias(&alias).await?;
                own.extend(record.filter(|record| record.creator == *user_id).map(|_| alias));
            }
            aliases = own;
        }
        directory.move_aliases(&mut writes, &aliases, &to.id).await?;
        Ok(writes)
    }

    /// The room that a room replaces. Its create event names the earlier room; the tombstone there has to name it in
    /// turn, since anybody can create a room that claims to replace another.
    async fn replaced_by(&self, room_id: &OwnedRoomId, create: &Pdu) -> Result<Option<OwnedRoomId>> {
        #[derive(Deserialize)]
        struct Create {
            predecessor: Predecessor,
        }
        #[derive(Deserialize)]
        struct Predecessor {
            room_id: OwnedRoomId,
        }
        let Some(Create { predecessor }) = create.content_as() else { return Ok(None) };
        let tombstone = self.state_event(&predecessor.room_id, &StateEventType::RoomTombstone, "").await?;
        let replacement = tombstone.and_then(|event| replacement_of(&event));
        let is_replaced = replacement.as_ref() == Some(room_id);
        Ok(is_replaced.then_some(predecessor.room_id))
    }

    /// The newest room that a user has been in, of the one that was replaced and those that it replaced itself.
    async fn room_left_behind(
        &self,
        user_id: &OwnedUserId,
        replaced: &OwnedRoomId,
    ) -> Result<Option<OwnedRoomId>> {
        let mut room_id = replaced.clone();
        for _ in 0..MAX_UPGRADES {
            if self.has_been_in(user_id, &room_id).await? {
                return Ok(Some(room_id));
            }
            let create = self.state_event(&room_id, &StateEventType::RoomCreate, "").await?;
            let Some(create) = create else { return Ok(None) };
            match self.replaced_by(&room_id, &create).await? {
                Some(earlier) => room_id = earlier,
                None => return Ok(None),
            }
        }
        Ok(None)
    }

    /// Whether a user is or was joined to a room, and has not forgotten it.
    async fn has_been_in(&self, user_id: &OwnedUserId, room_id: &OwnedRoomId) -> Result<bool> {
        match self.membership_record(user_id, room_id).await? {
            Some(stored) if !stored.value.forgotten => {
                self.has_joined(user_id, room_id, Some(stored.value.event_id)).await
            }
            _ => Ok(false),
        }
    }

    /// Whether a user was joined to a room with this membership event, or with one before it.
    async fn has_joined(
        &self,
        user_id: &OwnedUserId,
        room_id: &OwnedRoomId,
        mut membership: Option<OwnedEventId>,
    ) -> Result<bool> {
        for _ in 0..MAX_MEMBERSHIPS {
            let Some(event_id) = membership else { return Ok(false) };
            let Some(event) = self.any_event(room_id, &event_id).await? else { return Ok(false) };
            if event.pdu.membership() == Some(MembershipState::Join) {
                return Ok(true);
            }
            let member = StateEventType::RoomMember;
            membership = self.state_entry_in(room_id, event.state_before, &member, user_id.as_str()).await?;
        }
        Ok(false)
    }
}

impl Append {
    /// Copies what hosted users who come in for the first time have set about the room that this one replaces. It is
    /// done before they are in, so that nothing rings that they have silenced. If they then cannot come in after all,
    /// settings about a room that they are not in do no harm.
    pub(crate) async fn bring_room_settings(&mut self) -> Result<()> {
        let Some(create) = self.state_event(&StateEventType::RoomCreate, "").await? else { return Ok(()) };
        let Some(replaced) = self.rooms.replaced_by(&self.room.id, &create).await? else { return Ok(()) };
        // Earlier memberships are read from the disk.
        self.settle().await?;
        for (user_id, earlier) in std::mem::take(&mut self.newcomers) {
            if self.rooms.has_joined(&user_id, &self.room.id, earlier).await? {
                continue;
            }
            if let Some(left_behind) = self.rooms.room_left_behind(&user_id, &replaced).await? {
                self.rooms.copy_room_settings(&user_id, &left_behind, &self.room.id).await;
            }
            let room = &self.room;
            match self.rooms.bring_aliases(&user_id, &replaced, room).await {
                Ok(writes) => self.writes.append(writes),
                Err(RoomsError::Storage(error)) => return Err(error.into()),
                Err(error) => {
                    let room_id = &room.id;
                    tracing::warn!(%error, %user_id, %room_id, "aliases of a room that was replaced stay there");
                }
            }
        }
        Ok(())
    }
}
