//! Rooms that operators have blocked: for the people of a platform, or for everybody.
//!
//! Nobody of a platform that a room is blocked for can join it, be invited to it, or send anything there; whoever is in it
//! can leave. A room can be blocked before anybody knows whether it exists, and blocking it tells nobody that it does.

use linkspan_domain::Pdu;
use linkspan_storage::{
    Range, WriteSet,
    catalogue::{BlockedRoomKey, BlockedRooms},
    records::BlockedRoomRecord,
};
use ruma::{
    OwnedRoomId, OwnedServerName, ServerName, UserId,
    events::{TimelineEventType, room::member::MembershipState},
};

use crate::{Result, RoomScope, Rooms, RoomsError, append::Append};

/// The most rooms that are blocked for a platform, and for everybody: operators list them, and rows are small.
const MAX_BLOCKED: usize = 10_000;

/// The platforms that a room is blocked for.
#[derive(Clone, Debug, Default)]
pub(crate) struct Blocks {
    for_everybody: bool,
    platforms: Vec<OwnedServerName>,
}

/// A room that is blocked.
#[derive(Clone, Debug, PartialEq)]
pub struct BlockedRoom {
    /// The room, which need not exist.
    pub room_id: OwnedRoomId,
    /// It is blocked for everybody, and not for one platform alone.
    pub for_everybody: bool,
    /// Since when it is blocked, in milliseconds since the Unix epoch.
    pub blocked_ts: u64,
}

impl Blocks {
    fn hold_for(&self, platform: &ServerName) -> bool {
        self.for_everybody || self.platforms.iter().any(|blocked| blocked == platform)
    }
}

impl Rooms {
    /// Blocks a room for the people of a platform or for everybody, or lifts that. Returns whether it changes anything.
    pub async fn set_room_blocked(
        &self,
        scope: &RoomScope,
        room_id: &OwnedRoomId,
        blocked: bool,
        now_ts: u64,
    ) -> Result<bool> {
        self.again(async || self.set_blocked_once(scope, room_id, blocked, now_ts).await).await
    }

    async fn set_blocked_once(
        &self,
        scope: &RoomScope,
        room_id: &OwnedRoomId,
        blocked: bool,
        now_ts: u64,
    ) -> Result<bool> {
        // While it is held, nobody writes to the room.
        let append = match self.find_room(room_id).await? {
            Some(room) => Some(self.begin(&room, now_ts).await?),
            None => None,
        };
        let key = block_key(scope, room_id);
        let before = self.store().get::<BlockedRooms>(&key).await?;
        if before.is_some() == blocked {
            return Ok(false);
        }
        let mut writes = WriteSet::new();
        writes.expect_read::<BlockedRooms>(&key, before.as_ref());
        let mut blocks = self.stored_blocks(room_id).await?;
        if blocked {
            let range = Range::<BlockedRooms>::prefix((&key.platform,)).limit(MAX_BLOCKED);
            if self.store().keys(range).await?.len() == MAX_BLOCKED {
                return Err(RoomsError::TooMany("rooms that are blocked: lift the block of one first"));
            }
            writes.put::<BlockedRooms>(&key, &BlockedRoomRecord { blocked_ts: now_ts });
        } else {
            writes.delete::<BlockedRooms>(&key);
        }
        match scope {
            RoomScope::All => blocks.for_everybody = blocked,
            RoomScope::Platform(platform) => {
                blocks.platforms.retain(|other| other != platform);
                blocks.platforms.extend(blocked.then(|| platform.clone()));
            }
        }
        match append {
            Some(append) => append.settle_blocks(writes, blocks).await?,
            None => drop(self.store().commit(writes).await?),
        }
        Ok(true)
    }

    /// A page of the rooms that are blocked for the people of a platform or for everybody: those after `after`.
    pub async fn list_blocked_rooms(
        &self,
        scope: &RoomScope,
        after: Option<OwnedRoomId>,
        limit: usize,
    ) -> Result<Vec<BlockedRoom>> {
        let platform = scope.platform().cloned();
        let last = after.map(|room_id| BlockedRoomKey { platform: platform.clone(), room_id });
        let range = Range::<BlockedRooms>::prefix((&platform,)).after_last(last.as_ref()).limit(limit);
        let rows = self.store().range(range).await?.into_iter();
        let blocked = |(key, record): (BlockedRoomKey, BlockedRoomRecord)| BlockedRoom {
            room_id: key.room_id,
            for_everybody: key.platform.is_none(),
            blocked_ts: record.blocked_ts,
        };
        Ok(rows.map(blocked).collect())
    }

    /// Whether a room is blocked for the people of a platform; for `All`, whether it is blocked for everybody.
    pub async fn is_room_blocked(&self, scope: &RoomScope, room_id: &OwnedRoomId) -> Result<bool> {
        let blocks = self.stored_blocks(room_id).await?;
        Ok(scope.platform().map_or(blocks.for_everybody, |platform| blocks.hold_for(platform)))
    }

    pub(crate) async fn stored_blocks(&self, room_id: &OwnedRoomId) -> Result<Blocks> {
        let platforms: Vec<_> = self.shared.platforms.iter().map(|it| it.server_name().clone()).collect();
        let key = |platform| BlockedRoomKey { platform, room_id: room_id.clone() };
        let keys: Vec<_> =
            std::iter::once(None).chain(platforms.iter().cloned().map(Some)).map(key).collect();
        let rows = self.store().get_many::<BlockedRooms>(&keys).await?;
        let mut are_blocked = rows.iter().map(Option::is_some);
        let for_everybody = are_blocked.next().unwrap_or_default();
        let platforms = platforms.into_iter().zip(are_blocked).filter(|(_, is_blocked)| *is_blocked);
        Ok(Blocks { for_everybody, platforms: platforms.map(|(platform, _)| platform).collect() })
    }
}

impl Append {
    /// Refuses what somebody sends to a room that is blocked for them. Everybody can leave it.
    pub(crate) fn check_not_blocked(&self, event: &Pdu) -> Result<()> {
        let platform = event.sender.server_name();
        if !self.blocks.hold_for(platform) || is_own_leave(event) {
            return Ok(());
        }
        Err(RoomsError::Forbidden(format!("this room has been blocked by those who operate {platform}")))
    }

    /// Refuses to let somebody come into a room that is blocked for them.
    pub(crate) fn check_may_come(&self, user_id: &UserId) -> Result<()> {
        let platform = user_id.server_name();
        match self.blocks.hold_for(platform) {
            true => Err(RoomsError::TurnedAway(format!("this room is closed to people of {platform}"))),
            false => Ok(()),
        }
    }
}

fn is_own_leave(event: &Pdu) -> bool {
    event.event_type == TimelineEventType::RoomMember
        && event.state_key.as_deref() == Some(event.sender.as_str())
        && event.membership() == Some(MembershipState::Leave)
}

fn block_key(scope: &RoomScope, room_id: &OwnedRoomId) -> BlockedRoomKey {
    BlockedRoomKey { platform: scope.platform().cloned(), room_id: room_id.clone() }
}
