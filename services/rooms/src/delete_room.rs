//! Deleting rooms, as operators do: everybody of a platform, or everybody at all, is removed, step by step in the background.
//! What nobody may read any more after that is removed from the store (`purge_room.rs`).
//!
//! People leave by themselves: their platform does that for them, so that it needs no power in the room, as a server does
//! for its own users. They have forgotten the room then, and so read nothing of it any more.

use std::time::Duration;

use linkspan_inbox::point;
use linkspan_storage::{
    Range, WriteSet,
    catalogue::{Members, Memberships, PlatformKey, RoomDeletions, RoomUserKey, UserRoomKey},
    records::{InboxPointer, RoomDeletionRecord},
};
use rand::{RngExt as _, distr::Alphanumeric};
use ruma::{
    CanonicalJsonObject, CanonicalJsonValue, Int, OwnedRoomId, OwnedServerName, OwnedUserId,
    events::room::member::MembershipState,
};

use crate::{
    CreateRoom, Preset, Result, RoomScope, Rooms, RoomsError, list_rooms::member_range,
    membership::is_involved, send::Also,
};

/// Members who are removed in one step.
const BATCH: usize = 50;
/// The most deletions of a platform that are remembered, those that are under way included.
const MAX_DELETIONS: usize = 1_000;
/// The longest message and the longest name of the new room, in bytes.
const MAX_TEXT_BYTES: usize = 4 << 10;
/// The characters of an id.
const ID_CHARS: usize = 16;
/// How long to wait after a failure.
const AFTER_FAILURE: Duration = Duration::from_secs(10);
/// What those who are brought to the new room may do there: read.
const POWER_TO_SPEAK: i32 = 50;

/// How far a deletion is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// People are being removed.
    Removing,
    /// The room is being removed from the store.
    Purging,
    /// It is done.
    Done,
    /// It could not be finished.
    Failed,
}

impl Stage {
    fn to_stored(self) -> u8 {
        match self {
            Self::Removing => 0,
            Self::Purging => 1,
            Self::Done => 2,
            Self::Failed => 3,
        }
    }

    pub(crate) fn of(record: &RoomDeletionRecord) -> Self {
        match record.stage {
            0 => Self::Removing,
            1 => Self::Purging,
            2 => Self::Done,
            _ => Self::Failed,
        }
    }

    fn has_ended(self) -> bool {
        matches!(self, Self::Done | Self::Failed)
    }
}

/// A room to which those who are removed are brought. They can read there, and leave.
#[derive(Clone, Debug)]
pub struct NewRoom {
    /// Who creates it: a user of the platform.
    pub creator: OwnedUserId,
    /// Its name.
    pub name: Option<String>,
}

/// What is to be done with a room.
#[derive(Clone, Debug)]
pub struct DeleteRoom {
    /// Whose room it is deleted for.
    pub scope: RoomScope,
    /// The platform whose operator, or at whose address, it was asked.
    pub platform: OwnedServerName,
    /// The room.
    pub room_id: OwnedRoomId,
    /// What is said to those who are removed.
    pub message: Option<String>,
    /// Where they are brought.
    pub new_room: Option<NewRoom>,
    /// Nobody of them may come back.
    pub block: bool,
    /// What nobody may read any more is removed from the store.
    pub purge: bool,
}

/// A deletion.
#[derive(Clone, Debug, PartialEq)]
pub struct RoomDeletion {
    /// By this it is known on the platform.
    pub id: String,
    /// What was asked, and how far it is.
    pub record: RoomDeletionRecord,
}

impl RoomDeletion {
    /// How far it is.
    pub fn stage(&self) -> Stage {
        Stage::of(&self.record)
    }
}

impl Rooms {
    /// Begins to delete a room. It goes on in the background, and after a restart.
    pub async fn delete_room(&self, command: &DeleteRoom, now_ts: u64) -> Result<RoomDeletion> {
        let DeleteRoom { scope, platform, room_id, .. } = command;
        self.check_in_scope(scope, room_id).await?;
        let texts = [command.message.as_ref(), command.new_room.as_ref().and_then(|room| room.name.as_ref())];
        if texts.into_iter().flatten().any(|text| text.len() > MAX_TEXT_BYTES) {
            return Err(RoomsError::TooLarge("the message, or the name of the new room, is too long".into()));
        }
        self.make_room_for_deletion(platform, room_id).await?;
        let new_room = match &command.new_room {
            Some(new_room) => Some(self.create_new_room(command, new_room, now_ts).await?),
            None => None,
        };
        if command.block {
            self.set_room_blocked(scope, room_id, true, now_ts).await?;
        }
        let id = new_id();
        let record = RoomDeletionRecord {
            room_id: room_id.clone(),
            requested_ts: now_ts,
            of_all: *scope == RoomScope::All,
            message: command.message.clone(),
            purge: command.purge,
            new_room,
            stage: Stage::Removing.to_stored(),
            removed: 0,
            purged: false,
            ended_ts: None,
            error: None,
        };
        let mut writes = WriteSet::new();
        writes.put::<RoomDeletions>(&deletion_key(platform, &id), &record);
        self.store().commit(writes).await?;
        self.shared.deletion_asked.notify_one();
        Ok(RoomDeletion { id, record })
    }

    /// Refuses if the room is being deleted already, or too many are; one that ended long ago gives way.
    async fn make_room_for_deletion(&self, platform: &OwnedServerName, room_id: &OwnedRoomId) -> Result<()> {
        let deletions = self.store().range(Range::<RoomDeletions>::prefix((platform,))).await?;
        let mut ended = Vec::new();
        for (key, record) in &deletions {
            if Stage::of(record).has_ended() {
                ended.push((record.ended_ts, key));
            } else if record.room_id == *room_id {
                return Err(RoomsError::Invalid(format!("this room is being deleted already: {}", key.name)));
            }
        }
        if deletions.len() < MAX_DELETIONS {
            return Ok(());
        }
        ended.sort_by_key(|(ended_ts, _)| *ended_ts);
        let (_, oldest) = ended.first().ok_or(RoomsError::TooMany("rooms that are being deleted"))?;
        let mut writes = WriteSet::new();
        writes.delete::<RoomDeletions>(oldest);
        Ok(self.store().commit(writes).await.map(drop)?)
    }

    async fn create_new_room(
        &self,
        command: &DeleteRoom,
        new_room: &NewRoom,
        now_ts: u64,
    ) -> Result<(OwnedRoomId, OwnedUserId)> {
        let creator = &new_room.creator;
        if creator.server_name() != command.platform || !self.shared.accounts.is_active(creator).await? {
            let platform = &command.platform;
            return Err(RoomsError::Invalid(format!(
                "the new room's creator has to be a user of {platform}"
            )));
        }
        let speak = CanonicalJsonValue::Integer(Int::from(POWER_TO_SPEAK));
        let room = CreateRoom {
            version: None,
            preset: Preset::PublicChat,
            published: false,
            alias_name: None,
            name: new_room.name.clone(),
            topic: None,
            invite: Vec::new(),
            is_direct: false,
            initial_state: Vec::new(),
            creation_content: CanonicalJsonObject::new(),
            power_levels: [("events_default".to_owned(), speak)].into_iter().collect(),
        };
        let room_id = self.create_room(creator, room, now_ts).await?;
        if let Some(message) = &command.message {
            let content = serde_json::json!({ "msgtype": "m.text", "body": message }).to_string();
            self.consulting(now_ts, async |consulted| {
                let also = Also::nothing_but(consulted);
                self.send_message_and(creator, &room_id, "m.room.message", &content, None, also, now_ts).await
            })
            .await?;
        }
        Ok((room_id, creator.clone()))
    }

    /// A deletion on a platform.
    pub async fn get_room_deletion(
        &self,
        platform: &OwnedServerName,
        id: &str,
    ) -> Result<Option<RoomDeletion>> {
        let record = self.store().get::<RoomDeletions>(&deletion_key(platform, id)).await?;
        Ok(record.map(|record| RoomDeletion { id: id.to_owned(), record }))
    }

    /// A page of the deletions on a platform by their ids: those after `after`.
    pub async fn list_room_deletions(
        &self,
        platform: &OwnedServerName,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Vec<RoomDeletion>> {
        let last = after.map(|id| deletion_key(platform, id));
        let range = Range::<RoomDeletions>::prefix((platform,)).after_last(last.as_ref()).limit(limit);
        let rows = self.store().range(range).await?.into_iter();
        Ok(rows.map(|(key, record)| RoomDeletion { id: key.name, record }).collect())
    }

    /// Forgets the deletions on a platform that ended before a time.
    pub async fn forget_room_deletions(&self, platform: &OwnedServerName, before_ts: u64) -> Result<()> {
        let rows = self.store().range(Range::<RoomDeletions>::prefix((platform,))).await?;
        let mut writes = WriteSet::new();
        for (key, record) in &rows {
            if record.ended_ts.is_some_and(|ended_ts| ended_ts < before_ts) {
                writes.delete::<RoomDeletions>(key);
            }
        }
        Ok(self.store().commit(writes).await.map(drop)?)
    }

    /// Deletes rooms for as long as it runs; what a stop interrupted comes first. `clock` says milliseconds since the Unix
    /// epoch.
    pub async fn keep_deleting_rooms(self, clock: impl Fn() -> u64) {
        loop {
            match self.finish_deletions(&clock).await {
                Ok(()) => self.shared.deletion_asked.notified().await,
                Err(error) => {
                    tracing::warn!(%error, "a room could not be deleted; it is tried again");
                    tokio::time::sleep(AFTER_FAILURE).await;
                }
            }
        }
    }

    /// Finishes all deletions that were begun. One that is refused has failed; only a failure of the store ends this.
    pub async fn finish_deletions(&self, clock: impl Fn() -> u64) -> Result<()> {
        let _alone = self.shared.deleting.lock().await;
        let mut last: Option<PlatformKey> = None;
        loop {
            let range = Range::<RoomDeletions>::all().after_last(last.as_ref()).limit(BATCH);
            let rows = self.store().range(range).await?;
            for (key, record) in &rows {
                if Stage::of(record).has_ended() {
                    continue;
                }
                match self.finish_deletion(key, record.clone(), &clock).await {
                    Err(error) if error.is_failure() => return Err(error),
                    Err(error) => {
                        tracing::warn!(%error, room_id = %record.room_id, "a room could not be deleted");
                        self.end_deletion(key, Stage::Failed, Some(error.to_string()), clock()).await?;
                    }
                    Ok(()) => self.end_deletion(key, Stage::Done, None, clock()).await?,
                }
            }
            last = rows.into_iter().next_back().map(|(key, _)| key);
            if last.is_none() {
                return Ok(());
            }
        }
    }

    async fn finish_deletion(
        &self,
        key: &PlatformKey,
        record: RoomDeletionRecord,
        clock: &impl Fn() -> u64,
    ) -> Result<()> {
        let room_id = &record.room_id;
        if Stage::of(&record) == Stage::Purging {
            return self.purge_rest(room_id).await;
        }
        let scope = match record.of_all {
            true => RoomScope::All,
            false => RoomScope::Platform(key.platform.clone()),
        };
        self.remove_people(key, &record, &scope, clock).await?;
        self.forget_for_people(room_id, &scope).await?;
        if record.purge && self.begin_purge(key, room_id, clock()).await? {
            self.purge_rest(room_id).await?;
        }
        Ok(())
    }

    /// Has people leave, a step at a time, so that others can write in between.
    async fn remove_people(
        &self,
        key: &PlatformKey,
        record: &RoomDeletionRecord,
        scope: &RoomScope,
        clock: &impl Fn() -> u64,
    ) -> Result<()> {
        let room_id = &record.room_id;
        let mut last: Option<RoomUserKey> = None;
        loop {
            let range = member_range(scope, room_id).after_last(last.as_ref()).limit(BATCH);
            let rows = self.store().range::<Members>(range).await?;
            let hosts = |key: &RoomUserKey| self.shared.platforms.hosts(key.user_id.server_name());
            let present = rows.iter().filter(|(key, row)| is_involved(&row.membership) && hosts(key));
            let present: Vec<_> = present.map(|(key, _)| key.user_id.clone()).collect();
            if let Some((new_room, _)) = &record.new_room {
                for user_id in &present {
                    if let Err(error) = self.join_room(user_id, new_room, None, clock()).await {
                        tracing::warn!(%error, %user_id, "somebody could not be brought to the new room");
                    }
                }
            }
            if !present.is_empty() {
                self.again(async || self.remove_some(key, record, &present, clock()).await).await?;
            }
            last = rows.into_iter().next_back().map(|(key, _)| key);
            if last.is_none() {
                return Ok(());
            }
        }
    }

    async fn remove_some(
        &self,
        key: &PlatformKey,
        record: &RoomDeletionRecord,
        people: &[OwnedUserId],
        now_ts: u64,
    ) -> Result<()> {
        let room = self.room(&record.room_id).await?;
        let mut append = self.begin(&room, now_ts).await?;
        let Some(mut stored) = self.store().get::<RoomDeletions>(key).await? else { return Ok(()) };
        let reason = record.message.as_deref();
        for user_id in people {
            if append.membership(user_id).await?.is_some_and(|membership| is_involved(&membership)) {
                self.stage_membership(&mut append, user_id, user_id, MembershipState::Leave, reason).await?;
                stored.removed += 1;
            }
        }
        append.writes.put::<RoomDeletions>(key, &stored);
        append.commit().await?;
        Ok(())
    }

    /// Takes the room from those who have left it.
    async fn forget_for_people(&self, room_id: &OwnedRoomId, scope: &RoomScope) -> Result<()> {
        let mut last: Option<RoomUserKey> = None;
        loop {
            let range = member_range(scope, room_id).after_last(last.as_ref()).limit(BATCH);
            let rows = self.store().keys::<Members>(range).await?;
            let user_room =
                |key: &RoomUserKey| UserRoomKey { user_id: key.user_id.clone(), room_id: room_id.clone() };
            let keys: Vec<_> = rows.iter().map(user_room).collect();
            self.store()
                .update(async || {
                    let mut writes = WriteSet::new();
                    let stored = self.store().get_many::<Memberships>(&keys).await?;
                    for (key, stored) in keys.iter().zip(stored) {
                        let Some(mut stored) = stored.filter(|stored| !stored.value.forgotten) else {
                            continue;
                        };
                        if matches!(stored.value.membership, MembershipState::Leave | MembershipState::Ban) {
                            writes.expect::<Memberships>(key, &stored);
                            stored.value.forgotten = true;
                            writes.put::<Memberships>(key, &stored);
                            point(&mut writes, &key.user_id, InboxPointer::Room(room_id.clone()));
                        }
                    }
                    Ok::<_, RoomsError>((writes, ()))
                })
                .await?;
            last = rows.into_iter().next_back();
            if last.is_none() {
                return Ok(());
            }
        }
    }

    async fn end_deletion(
        &self,
        key: &PlatformKey,
        stage: Stage,
        error: Option<String>,
        now_ts: u64,
    ) -> Result<()> {
        let Some(mut record) = self.store().get::<RoomDeletions>(key).await? else { return Ok(()) };
        record.stage = stage.to_stored();
        (record.ended_ts, record.error) = (Some(now_ts), error);
        let mut writes = WriteSet::new();
        writes.put::<RoomDeletions>(key, &record);
        Ok(self.store().commit(writes).await.map(drop)?)
    }

    /// Notes in a write-set that the room is being removed from the store.
    pub(crate) async fn note_purge(&self, writes: &mut WriteSet, key: &PlatformKey) -> Result<()> {
        let Some(mut record) = self.store().get::<RoomDeletions>(key).await? else { return Ok(()) };
        writes.expect::<RoomDeletions>(key, &record);
        record.stage = Stage::Purging.to_stored();
        record.purged = true;
        writes.put::<RoomDeletions>(key, &record);
        Ok(())
    }
}

fn new_id() -> String {
    rand::rng().sample_iter(Alphanumeric).take(ID_CHARS).map(char::from).collect()
}

fn deletion_key(platform: &OwnedServerName, id: &str) -> PlatformKey {
    PlatformKey { platform: platform.clone(), name: id.to_owned() }
}
