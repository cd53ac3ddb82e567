//! Notices from those who run a platform to its people: each person is told in a room of their own, which comes from the
//! platform's account for notices.
//! <https://spec.matrix.org/v1.19/client-server-api/#server-notices>

use std::time::Duration;

use linkspan_accounts::AccountsError;
use linkspan_storage::{
    Range, WriteSet,
    catalogue::{NoticeRooms, NoticeTasks, PlatformKey, UserKey},
    records::{NoticeRoomRecord, NoticeTaskRecord},
};
use rand::{RngExt as _, distr::Alphanumeric};
use ruma::{
    CanonicalJsonObject, CanonicalJsonValue, Int, OwnedEventId, OwnedRoomId, OwnedServerName, OwnedUserId,
    events::{room::member::MembershipState, tag::TagInfo},
};

use crate::{
    CreateRoom, Preset, Result, Rooms, RoomsError, membership::is_present, send::Also,
    third_party_invites::AddressInvitations,
};

/// The tag by which clients know such a room.
const TAG: &str = "m.server_notice";
/// The power that is needed to write there: only the platform does.
const POWER_TO_SPEAK: i32 = 50;
/// People who are told in one step.
const BATCH: usize = 50;
/// The most notices to everybody of a platform that are remembered.
const MAX_TASKS: usize = 100;
/// The longest content of a notice, in bytes.
const MAX_CONTENT_BYTES: usize = 16 << 10;
/// The characters of an id.
const ID_CHARS: usize = 16;
/// How long to wait after a failure.
const AFTER_FAILURE: Duration = Duration::from_secs(10);

/// A notice to everybody of a platform.
#[derive(Clone, Debug, PartialEq)]
pub struct NoticeTask {
    /// By this it is known on the platform.
    pub id: String,
    /// What is said, and how far it is.
    pub record: NoticeTaskRecord,
}

impl Rooms {
    /// Tells a user something. `content` is JSON, an object: that of an `m.room.message`. Returns the room and the event.
    pub async fn send_notice(
        &self,
        user_id: &OwnedUserId,
        content: &str,
        now_ts: u64,
    ) -> Result<(OwnedRoomId, OwnedEventId)> {
        check_length(content)?;
        if !self.shared.accounts.is_active(user_id).await? {
            return Err(AccountsError::NotFound("account").into());
        }
        let platform = self.platform_of(user_id)?;
        let name = format!("{} notices", platform.settings.shown_name());
        let server_name = platform.server_name().to_owned();
        let account = self.shared.accounts.open_notices_account(&server_name, &name, now_ts).await?;
        let room_id = match self.notice_room(user_id, &account).await? {
            Some(room_id) => room_id,
            None => self.create_notice_room(user_id, &account, name, now_ts).await?,
        };
        let event_id = self
            .consulting(now_ts, async |consulted| {
                let also = Also::nothing_but(consulted);
                self.send_message_and(&account, &room_id, "m.room.message", content, None, also, now_ts).await
            })
            .await?;
        Ok((room_id, event_id))
    }

    /// The room in which a user is told, unless it was left.
    async fn notice_room(&self, user_id: &OwnedUserId, account: &OwnedUserId) -> Result<Option<OwnedRoomId>> {
        let found = self.store().get::<NoticeRooms>(&UserKey { user_id: user_id.clone() }).await?;
        let Some(NoticeRoomRecord { room_id }) = found else { return Ok(None) };
        let is_there = self.membership(&room_id, user_id).await?.is_some_and(|it| is_present(&it));
        let is_open = is_there && self.membership(&room_id, account).await? == Some(MembershipState::Join);
        Ok(is_open.then_some(room_id))
    }

    async fn create_notice_room(
        &self,
        user_id: &OwnedUserId,
        account: &OwnedUserId,
        name: String,
        now_ts: u64,
    ) -> Result<OwnedRoomId> {
        let speak = CanonicalJsonValue::Integer(Int::from(POWER_TO_SPEAK));
        let levels = ["events_default", "invite"].map(|action| (action.to_owned(), speak.clone()));
        let command = CreateRoom {
            version: None,
            preset: Preset::PrivateChat,
            published: false,
            alias_name: None,
            name: Some(name),
            topic: None,
            invite: vec![user_id.clone()],
            is_direct: false,
            initial_state: Vec::new(),
            creation_content: CanonicalJsonObject::new(),
            power_levels: levels.into_iter().collect(),
        };
        let nobody = AddressInvitations::default();
        let create = async |consulted| self.create_once(account, &command, &nobody, consulted, now_ts).await;
        let (room_id, _) = self.consulting(now_ts, create).await?;
        let key = UserKey { user_id: user_id.clone() };
        self.store()
            .update(async || {
                let mut writes = WriteSet::new();
                self.shared.accounts.expect_active(&mut writes, user_id).await?;
                writes.put::<NoticeRooms>(&key, &NoticeRoomRecord { room_id: room_id.clone() });
                Ok::<_, RoomsError>((writes, ()))
            })
            .await?;
        self.shared.accounts.put_tag(user_id, &room_id, TAG, TagInfo::new()).await?;
        Ok(room_id)
    }

    /// Refuses to let somebody decline to be told.
    pub(crate) async fn check_may_decline(&self, user_id: &OwnedUserId, room_id: &OwnedRoomId) -> Result<()> {
        let invitation = self.membership_record(user_id, room_id).await?;
        let Some(sender) = invitation.map(|stored| stored.value.sender) else { return Ok(()) };
        let accounts = &self.shared.accounts;
        // Whoever deactivates an account leaves all rooms.
        if accounts.is_notices_account(&sender).await? && accounts.is_active(user_id).await? {
            return Err(RoomsError::NoticeRoom);
        }
        Ok(())
    }

    pub(crate) async fn remove_notice_room(&self, user_id: &OwnedUserId) -> Result<()> {
        let mut writes = WriteSet::new();
        writes.delete::<NoticeRooms>(&UserKey { user_id: user_id.clone() });
        Ok(self.store().commit(writes).await.map(drop)?)
    }

    /// Begins to tell everybody of a platform something. It goes on in the background, and after a restart.
    pub async fn send_notice_to_all(
        &self,
        platform: &OwnedServerName,
        content: &str,
        now_ts: u64,
    ) -> Result<NoticeTask> {
        check_length(content)?;
        let tasks = self.store().range(Range::<NoticeTasks>::prefix((platform,))).await?;
        let mut writes = WriteSet::new();
        if tasks.len() >= MAX_TASKS {
            let ended = tasks.iter().filter(|(_, record)| record.ended_ts.is_some());
            let oldest = ended.min_by_key(|(_, record)| record.ended_ts);
            let (key, _) = oldest.ok_or(RoomsError::TooMany("notices that are being sent"))?;
            writes.delete::<NoticeTasks>(key);
        }
        let id: String = rand::rng().sample_iter(Alphanumeric).take(ID_CHARS).map(char::from).collect();
        let record = NoticeTaskRecord {
            content: content.to_owned(),
            requested_ts: now_ts,
            told_to: None,
            sent: 0,
            failed: 0,
            ended_ts: None,
        };
        writes.put::<NoticeTasks>(&task_key(platform, &id), &record);
        self.store().commit(writes).await?;
        self.shared.notice_asked.notify_one();
        Ok(NoticeTask { id, record })
    }

    /// A notice to everybody of a platform.
    pub async fn get_notice_task(&self, platform: &OwnedServerName, id: &str) -> Result<Option<NoticeTask>> {
        let record = self.store().get::<NoticeTasks>(&task_key(platform, id)).await?;
        Ok(record.map(|record| NoticeTask { id: id.to_owned(), record }))
    }

    /// Sends notices to everybody for as long as it runs; what a stop interrupted comes first. `clock` says milliseconds
    /// since the Unix epoch.
    pub async fn keep_sending_notices(self, clock: impl Fn() -> u64) {
        loop {
            match self.finish_notices(&clock).await {
                Ok(()) => self.shared.notice_asked.notified().await,
                Err(error) => {
                    tracing::warn!(%error, "a notice could not be sent to everybody; it is tried again");
                    tokio::time::sleep(AFTER_FAILURE).await;
                }
            }
        }
    }

    /// Sends all notices to everybody that were begun.
    pub async fn finish_notices(&self, clock: impl Fn() -> u64) -> Result<()> {
        let _alone = self.shared.noticing.lock().await;
        for (key, record) in self.store().range(Range::<NoticeTasks>::all()).await? {
            if record.ended_ts.is_none() {
                self.finish_notice(&key, record, &clock).await?;
            }
        }
        Ok(())
    }

    async fn finish_notice(
        &self,
        key: &PlatformKey,
        mut record: NoticeTaskRecord,
        clock: &impl Fn() -> u64,
    ) -> Result<()> {
        loop {
            let accounts = &self.shared.accounts;
            let people = accounts.list_accounts(&key.platform, record.told_to.as_ref(), BATCH).await?;
            for account in &people {
                record.told_to = Some(account.user_id.clone());
                let is_person = !account.deactivated && !account.guest;
                if !is_person || accounts.is_notices_account(&account.user_id).await? {
                    continue;
                }
                match self.send_notice(&account.user_id, &record.content, clock()).await {
                    Ok(_) => record.sent += 1,
                    Err(error) if error.is_failure() => return Err(error),
                    Err(error) => {
                        tracing::debug!(%error, user_id = %account.user_id, "somebody was not told a notice");
                        record.failed += 1;
                    }
                }
                self.put_task(key, &record).await?;
            }
            if people.len() < BATCH {
                record.ended_ts = Some(clock());
                return self.put_task(key, &record).await;
            }
        }
    }

    async fn put_task(&self, key: &PlatformKey, record: &NoticeTaskRecord) -> Result<()> {
        let mut writes = WriteSet::new();
        writes.put::<NoticeTasks>(key, record);
        Ok(self.store().commit(writes).await.map(drop)?)
    }
}

fn check_length(content: &str) -> Result<()> {
    match content.len() > MAX_CONTENT_BYTES {
        true => Err(RoomsError::TooLarge("a notice has at most 16 KiB".into())),
        false => Ok(()),
    }
}

fn task_key(platform: &OwnedServerName, id: &str) -> PlatformKey {
    PlatformKey { platform: platform.clone(), name: id.to_owned() }
}
