//! A room in use: its rules, its members, and the one writer of its head.

use std::{
    collections::HashMap,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use dashmap::DashMap;
use linkspan_domain::{PowerLevels, SharedPdu, StateKey as StateEntryKey, versions};
use linkspan_storage::{
    Range, StorageError, Store,
    catalogue::{Members, RoomHeads, RoomKey, Rooms as RoomsTable, TransactionKey},
    records::{RoomHeadRecord, RoomRecord, StoredAmountRecord, ThreadRecord},
};
use parking_lot::Mutex;
use ruma::{
    OwnedEventId, OwnedRoomId, OwnedUserId, RoomVersionId, events::room::member::MembershipState,
    room_version_rules::RoomVersionRules,
};
use tokio::sync::OwnedMutexGuard;

use crate::{Result, Rooms, RoomsError, block_room::Blocks, encryption::KnownRules, permits::Permits};

/// With more joined local members than this, a room is read instead of fanned out to.
pub(crate) const BIG_ROOM_MEMBERS: usize = 100;
/// How long an unused room stays in memory.
const LINGER: Duration = Duration::from_secs(600);

/// A room in use.
#[derive(Debug)]
pub struct Room {
    /// Its id.
    pub id: OwnedRoomId,
    /// Its version.
    pub version: RoomVersionId,
    /// The rules of that version.
    pub rules: RoomVersionRules,
    /// What never changes.
    pub record: RoomRecord,
    pub(crate) big: AtomicBool,
    pub(crate) writer: Arc<tokio::sync::Mutex<Writer>>,
    pub(crate) queued: Mutex<Queued>,
    /// The power levels, and the event that they were read from.
    pub(crate) power_levels: Mutex<Option<(SharedPdu, Arc<PowerLevels>)>>,
    last_used: Mutex<Instant>,
    /// It was taken out of use, and what its writer has is not what is on disk.
    is_dropped: AtomicBool,
}

/// The head of a room, as the next append sees it: ahead of the disk by what is queued.
#[derive(Debug)]
pub(crate) struct Writer {
    /// None until the room's first commit is queued.
    pub(crate) stored_head: Option<Arc<RoomHeadRecord>>,
    pub(crate) head: RoomHeadRecord,
    /// Entries of the current state that were read or changed; None is absent. Never ahead of `head`.
    pub(crate) state: HashMap<StateEntryKey, Option<SharedPdu>>,
    /// Joined members of hosted platforms; loaded when first needed.
    pub(crate) members: Option<Arc<Vec<OwnedUserId>>>,
    /// The numbers of these platforms; found out when first needed.
    pub(crate) platforms: Option<Arc<[usize]>>,
    /// The rules on encryption that hold; loaded when first needed.
    pub(crate) rules_present: Option<KnownRules>,
    /// The platforms that the room is blocked for; loaded when first needed.
    pub(crate) blocks: Option<Arc<Blocks>>,
    /// Messages that the current state was found to allow.
    pub(crate) permits: Permits,
}

/// What is queued for the disk. An append adds to it before it lets the next writer in, and takes away what is on disk,
/// for which it need not wait for a writer.
#[derive(Debug, Default)]
pub(crate) struct Queued {
    /// The events that transactions have made.
    pub(crate) transactions: HashMap<TransactionKey, OwnedEventId>,
    /// The threads that have changed, by their roots, as they will be.
    pub(crate) threads: HashMap<OwnedEventId, ThreadRecord>,
}

impl Room {
    pub(crate) fn new(
        id: OwnedRoomId,
        version: RoomVersionId,
        rules: RoomVersionRules,
        record: RoomRecord,
        head: Option<RoomHeadRecord>,
        members: Option<Arc<Vec<OwnedUserId>>>,
    ) -> Self {
        let writer = Writer {
            head: head.clone().unwrap_or(RoomHeadRecord {
                seq: 0,
                extremities: Vec::new(),
                depth: 0,
                state_id: 0,
                last_state_id: 0,
                joined: 0,
                invited: 0,
                unanswered: 0,
                unanswered_bytes: 0,
                state_size: Some(StoredAmountRecord { entries: 0, size_bytes: 0 }),
            }),
            stored_head: head.map(Arc::new),
            state: HashMap::new(),
            // A room that is being created has nobody yet.
            rules_present: members.is_some().then(|| KnownRules { present: Arc::default(), generation: 0 }),
            blocks: members.is_some().then(Arc::default),
            members,
            platforms: None,
            permits: Permits::default(),
        };
        Self {
            id,
            version,
            rules,
            big: AtomicBool::new(record.big),
            record,
            writer: Arc::new(tokio::sync::Mutex::new(writer)),
            queued: Mutex::default(),
            power_levels: Mutex::new(None),
            last_used: Mutex::new(Instant::now()),
            is_dropped: AtomicBool::new(false),
        }
    }

    /// Whether its members are told by reading it instead of by pointers in their inboxes.
    pub fn is_big(&self) -> bool {
        self.big.load(Ordering::Acquire)
    }
}

impl Rooms {
    /// The room, loaded if it is not in use; None if there is none.
    pub async fn find_room(&self, room_id: &OwnedRoomId) -> Result<Option<Arc<Room>>> {
        if let Some(room) = self.shared.live.get(room_id) {
            *room.last_used.lock() = Instant::now();
            return Ok(Some(room.clone()));
        }
        let key = RoomKey { room_id: room_id.clone() };
        let Some(record) = self.store().get::<RoomsTable>(&key).await? else { return Ok(None) };
        let head = self.store().get::<RoomHeads>(&key).await?;
        let version: RoomVersionId =
            record.version.as_str().try_into().map_err(|_| damaged("room version"))?;
        let rules = versions::rules(&version).ok_or_else(|| damaged("room version"))?;
        let room = Arc::new(Room::new(room_id.clone(), version, rules, record, head, None));
        // Whoever comes first wins: there must be one writer.
        Ok(Some(self.shared.live.entry(room_id.clone()).or_insert(room).clone()))
    }

    /// The room, or an error for the client.
    pub async fn room(&self, room_id: &OwnedRoomId) -> Result<Arc<Room>> {
        self.find_room(room_id).await?.ok_or_else(|| RoomsError::NotFound("no such room".into()))
    }

    /// The head of a room as it is on disk.
    pub async fn head(&self, room_id: &OwnedRoomId) -> Result<Option<Arc<RoomHeadRecord>>> {
        Ok(self.shared.heads.get(&RoomKey { room_id: room_id.clone() }).await?)
    }

    /// The joined members of a room who are on hosted platforms.
    pub async fn local_members(&self, room: &Room) -> Result<Arc<Vec<OwnedUserId>>> {
        self.shared.members.get_or_read(&room.id, || self.stored_members(room)).await
    }

    async fn stored_members(&self, room: &Room) -> Result<Arc<Vec<OwnedUserId>>> {
        let mut found = Vec::new();
        for platform in self.shared.platforms.iter() {
            found.extend(self.members_of_platform(room, platform.server_name()).await?);
        }
        Ok(Arc::new(found))
    }

    /// The room's writer. If the room was taken out of use while its writer was waited for, it is that of the room as it
    /// is loaded anew.
    pub(crate) async fn writer(&self, room: &Arc<Room>) -> Result<(Arc<Room>, OwnedMutexGuard<Writer>)> {
        let mut room = room.clone();
        loop {
            let mut writer = room.writer.clone().lock_owned().await;
            if !room.is_dropped.load(Ordering::Acquire) {
                if writer.members.is_none() {
                    // From the disk, as the head was, and not from a copy, which may be older for a moment.
                    writer.members = Some(self.stored_members(&room).await?);
                }
                return Ok((room, writer));
            }
            drop(writer);
            room = self.room(&room.id).await?;
        }
    }

    /// Takes a room that came to nothing, or is ahead of the disk, out of use: the next who asks loads it anew.
    pub(crate) fn drop_room(&self, room: &Arc<Room>) {
        room.is_dropped.store(true, Ordering::Release);
        self.shared.live.remove_if(&room.id, |_, live| Arc::ptr_eq(live, room));
    }

    /// A room in memory stands for what is on disk as long as only this process writes it: when another does, it is
    /// loaded anew.
    pub(crate) fn forget_what_others_write(live: &Arc<DashMap<OwnedRoomId, Arc<Room>>>, store: &Store) {
        store.watch::<RoomHeads, _>(live, |live, key, change| {
            if !change.is_own
                && let Some((_, room)) = live.remove(&key.room_id)
            {
                room.is_dropped.store(true, Ordering::Release);
            }
        });
    }

    /// Whether hosted users are joined, as it is on disk: for who holds the writer of another room, and can therefore
    /// not wait for this one's.
    pub(crate) async fn has_stored_members(&self, room: &Room) -> Result<bool> {
        for platform in self.shared.platforms.iter() {
            if !self.members_of_platform(room, platform.server_name()).await?.is_empty() {
                return Ok(true);
            }
        }
        Ok(false)
    }

    async fn members_of_platform(
        &self,
        room: &Room,
        platform: &ruma::OwnedServerName,
    ) -> Result<Vec<OwnedUserId>> {
        let range = Range::<Members>::prefix_platform((&room.id,), platform);
        let rows = self.store().range(range).await?;
        let joined = rows.into_iter().filter(|(_, member)| member.membership == MembershipState::Join);
        Ok(joined.map(|(key, _)| key.user_id).collect())
    }

    /// Forgets rooms that have not been used for long; to be called now and then.
    pub fn forget_idle(&self) {
        let now = Instant::now();
        self.shared.live.retain(|_, room| {
            // Every user of a room, and every append that is not yet on disk, holds a reference.
            Arc::strong_count(room) > 1
                || Arc::strong_count(&room.writer) > 1
                || now.duration_since(*room.last_used.lock()) < LINGER
        });
    }
}

pub(crate) fn damaged(reason: &str) -> RoomsError {
    RoomsError::Storage(StorageError::DamagedValue { table: "rooms", reason: reason.to_owned() })
}
