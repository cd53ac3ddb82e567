//! Taking, changing and releasing handles, and finding who has one.
//!
//! Handles that look alike have one row, and so one owner. The row of a handle that looks like the localpart of its
//! owner never goes, so that nobody else is ever taken for that user id, even after the account is gone.

use std::time::Duration;

use linkspan_platforms::{Identity, Platform};
use linkspan_storage::{
    Json, Range, WriteSet,
    catalogue::{
        Accounts as AccountsTable, Handles, PlatformKey, Profiles, ReleasedHandleKey, ReleasedHandles,
        UserHandles, UserKey, UserNameKey,
    },
    records::{HandleRecord, UserHandleRecord},
};
use ruma::{OwnedServerName, OwnedUserId, ServerName};

use crate::{
    Accounts, AccountsError, Handle,
    handle::skeleton,
    username::{named_user, user_id_of},
};

/// The field of a profile that shows the handle. Only the server writes it.
pub const HANDLE_FIELD: &str = "org.linkspan.handle";

const DAY_MS: u64 = 24 * 60 * 60 * 1000;
/// The time for which a released handle can be taken back by its last owner, and by nobody else.
const PROTECTED_MS: u64 = 30 * DAY_MS;
/// How often a user changes the handle at most within [`CHANGES_MS`]. Each change keeps a handle from all others for
/// [`PROTECTED_MS`], so without a limit one person could keep many.
const MAX_CHANGES: usize = 3;
const CHANGES_MS: u64 = 14 * DAY_MS;
/// How many released handles are read at a time.
const SWEEP: usize = 1_000;

/// The handle of a user, as the user sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OwnHandle {
    /// The handle; None for an account that an operator has made under a name that can be no handle.
    pub handle: Option<String>,
    /// How often it can still be changed now.
    pub changes_left: usize,
}

impl Accounts {
    /// The handle of a user.
    pub async fn own_handle(&self, user_id: &OwnedUserId, now_ts: u64) -> Result<OwnHandle, AccountsError> {
        self.check_has_handles(user_id.server_name())?;
        let own = self.store.get::<UserHandles>(&UserKey { user_id: user_id.clone() }).await?;
        let changes_left = MAX_CHANGES.saturating_sub(recent_changes(own.as_ref(), now_ts).len());
        Ok(OwnHandle { handle: own.map(|own| own.handle), changes_left })
    }

    /// The user of a platform who has a handle now, if people have handles there.
    pub async fn owner_of_handle(
        &self,
        platform: &ServerName,
        handle: &str,
    ) -> Result<Option<OwnedUserId>, AccountsError> {
        let handle = Handle::parse(handle).ok().filter(|_| self.has_handles(platform));
        let Some(handle) = handle else { return Ok(None) };
        let record = self.store.get::<Handles>(&handle_key(platform, &handle.skeleton())).await?;
        let is_it = |record: &HandleRecord| record.released_ts.is_none() && record.handle == handle.as_str();
        Ok(record.filter(is_it).map(|record| record.user_id))
    }

    /// The user of a platform whom a name means: a whole user id, a handle, or the localpart of a user who has no handle.
    pub(crate) async fn user_of_name(
        &self,
        platform: &OwnedServerName,
        name: &str,
    ) -> Result<Option<OwnedUserId>, AccountsError> {
        let is_user_id = name.starts_with('@') && name.contains(':');
        if !is_user_id && let Some(owner) = self.owner_of_handle(platform, name).await? {
            return Ok(Some(owner));
        }
        let Some(user_id) = named_user(platform, name) else { return Ok(None) };
        let key = UserKey { user_id: user_id.clone() };
        let by_localpart = !is_user_id && self.has_handles(platform);
        let goes_by_another = by_localpart && self.store.contains::<UserHandles>(&key).await?;
        Ok((!goes_by_another).then_some(user_id))
    }

    /// Refuses a handle that a user cannot change to: it is reserved, or somebody else has it or one that looks like it.
    /// How often the user has changed it does not matter.
    pub async fn check_handle(
        &self,
        platform: &Platform,
        user_id: &OwnedUserId,
        handle: &Handle,
        now_ts: u64,
    ) -> Result<(), AccountsError> {
        self.check_allowed(platform, user_id, handle)?;
        self.expect_free(&mut WriteSet::new(), user_id, handle, now_ts).await
    }

    /// Refuses a handle that a user cannot have even if nobody else wants it.
    fn check_allowed(
        &self,
        platform: &Platform,
        user_id: &OwnedUserId,
        handle: &Handle,
    ) -> Result<(), AccountsError> {
        self.check_has_handles(platform.server_name())?;
        // Whom an operator has called so may be called so again.
        if handle.as_str() == user_id.localpart() { Ok(()) } else { handle.check_not_reserved(platform) }
    }

    /// Gives a user another handle in `writes`, which hold only while nobody else takes it. The caller has checked that
    /// the account is active. False: it is the handle that the user has.
    pub async fn change_handle(
        &self,
        writes: &mut WriteSet,
        platform: &Platform,
        user_id: &OwnedUserId,
        handle: &Handle,
        now_ts: u64,
    ) -> Result<bool, AccountsError> {
        self.check_allowed(platform, user_id, handle)?;
        self.check_not_demo(user_id).await?;
        let own_key = UserKey { user_id: user_id.clone() };
        let own = self.store.get::<UserHandles>(&own_key).await?;
        writes.expect_read::<UserHandles>(&own_key, own.as_ref());
        if own.as_ref().is_some_and(|own| own.handle == handle.as_str()) {
            return Ok(false);
        }
        let mut changes_ts = recent_changes(own.as_ref(), now_ts);
        if changes_ts.len() >= MAX_CHANGES {
            let retry_after_ms = (changes_ts[0] + CHANGES_MS).saturating_sub(now_ts);
            return Err(AccountsError::HandleChanges { retry_after: Duration::from_millis(retry_after_ms) });
        }
        self.expect_free(writes, user_id, handle, now_ts).await?;
        if let Some(own) = own.filter(|own| skeleton(&own.handle) != handle.skeleton()) {
            put_released(writes, user_id, own.handle, now_ts);
        }
        changes_ts.push(now_ts);
        put_handle(writes, user_id, handle, changes_ts);
        Ok(true)
    }

    /// Gives a new account its first handle in `writes`, where people have handles. It is the localpart; an account whose
    /// localpart can be no handle begins without one. Refuses a localpart that is, or looks like, somebody's handle.
    pub(crate) async fn put_first_handle(
        &self,
        writes: &mut WriteSet,
        user_id: &OwnedUserId,
        now_ts: u64,
    ) -> Result<(), AccountsError> {
        if !self.has_handles(user_id.server_name()) {
            return Ok(());
        }
        let Ok(handle) = Handle::parse(user_id.localpart()) else { return Ok(()) };
        self.expect_free(writes, user_id, &handle, now_ts).await?;
        put_handle(writes, user_id, &handle, Vec::new());
        Ok(())
    }

    /// Releases the handle of a user whose account goes.
    pub(crate) async fn release_handle(
        &self,
        writes: &mut WriteSet,
        user_id: &OwnedUserId,
        now_ts: u64,
    ) -> Result<(), AccountsError> {
        let own_key = UserKey { user_id: user_id.clone() };
        if let Some(own) = self.store.get::<UserHandles>(&own_key).await? {
            put_released(writes, user_id, own.handle, now_ts);
            writes.delete::<UserHandles>(&own_key);
            writes.delete::<Profiles>(&handle_field_key(user_id));
        }
        Ok(())
    }

    /// Forgets who had the handles of a platform that others can have by now, in portions. Fails with the last error, if
    /// there was one, once every handle had its turn.
    pub async fn forget_released_handles(
        &self,
        platform: &OwnedServerName,
        now_ts: u64,
    ) -> Result<(), AccountsError> {
        let until =
            ReleasedHandleKey { platform: platform.clone(), free_ts: now_ts, skeleton: String::new() };
        let mut outcome = Ok(());
        let mut last: Option<ReleasedHandleKey> = None;
        loop {
            let portion = Range::<ReleasedHandles>::prefix((platform,))
                .before(&until)
                .limit(SWEEP)
                .after_last(last.as_ref());
            let portion = self.store.keys(portion).await?;
            for released in &portion {
                if let Err(error) = self.forget_released_handle(released, now_ts).await {
                    outcome = Err(error);
                }
            }
            last = portion.into_iter().last();
            if last.is_none() {
                return outcome;
            }
        }
    }

    async fn forget_released_handle(
        &self,
        released: &ReleasedHandleKey,
        now_ts: u64,
    ) -> Result<(), AccountsError> {
        let key = handle_key(&released.platform, &released.skeleton);
        self.store
            .update(async || {
                let mut writes = WriteSet::new();
                writes.delete::<ReleasedHandles>(released);
                let record = self.store.get::<Handles>(&key).await?;
                if let Some(record) = record.filter(|record| !is_kept(record, &key.name, now_ts)) {
                    writes.expect::<Handles>(&key, &record);
                    writes.delete::<Handles>(&key);
                }
                Ok((writes, ()))
            })
            .await
    }

    /// Whether the people of a platform are known by handles.
    pub(crate) fn has_handles(&self, platform: &ServerName) -> bool {
        let platform = self.platforms.as_ref().and_then(|platforms| platforms.get(platform));
        platform.is_some_and(|platform| platform.settings.identity == Identity::Handle)
    }

    fn check_has_handles(&self, platform: &ServerName) -> Result<(), AccountsError> {
        match self.has_handles(platform) {
            true => Ok(()),
            false => Err(AccountsError::Forbidden("people of this platform have no handles")),
        }
    }

    /// Refuses a handle that others keep from a user, and has `writes` hold only while nobody takes it.
    pub(crate) async fn expect_free(
        &self,
        writes: &mut WriteSet,
        user_id: &OwnedUserId,
        handle: &Handle,
        now_ts: u64,
    ) -> Result<(), AccountsError> {
        let platform = user_id.server_name().to_owned();
        let namesake = UserKey { user_id: user_id_of(&platform, handle.as_str())? };
        if namesake.user_id != *user_id {
            if self.store.contains::<AccountsTable>(&namesake).await? {
                return Err(AccountsError::UserInUse);
            }
            writes.expect_absent::<AccountsTable>(&namesake);
        }
        let key = handle_key(&platform, &handle.skeleton());
        let record = self.store.get::<Handles>(&key).await?;
        writes.expect_read::<Handles>(&key, record.as_ref());
        match record {
            Some(record) if record.user_id != *user_id && is_kept(&record, &key.name, now_ts) => {
                let is_same = record.handle == handle.as_str();
                Err(if is_same { AccountsError::UserInUse } else { AccountsError::LooksLikeAnother })
            }
            _ => Ok(()),
        }
    }
}

/// Whether the owner of a handle keeps it from all others.
fn is_kept(record: &HandleRecord, of_skeleton: &str, now_ts: u64) -> bool {
    let is_protected = record.released_ts.is_none_or(|released_ts| now_ts < released_ts + PROTECTED_MS);
    is_protected || looks_like_localpart(&record.user_id, of_skeleton)
}

fn looks_like_localpart(user_id: &OwnedUserId, of_skeleton: &str) -> bool {
    skeleton(user_id.localpart()) == of_skeleton
}

/// The times of those changes that still count.
fn recent_changes(own: Option<&UserHandleRecord>, now_ts: u64) -> Vec<u64> {
    let changes_ts = own.map_or(&[][..], |own| &own.changes_ts);
    changes_ts.iter().copied().filter(|changed_ts| now_ts < changed_ts + CHANGES_MS).collect()
}

fn put_handle(writes: &mut WriteSet, user_id: &OwnedUserId, handle: &Handle, changes_ts: Vec<u64>) {
    let (user_id, text) = (user_id.clone(), handle.as_str().to_owned());
    let shown = Json(serde_json::Value::from(text.as_str()).to_string());
    writes.put::<Profiles>(&handle_field_key(&user_id), &shown);
    let own = UserHandleRecord { handle: text.clone(), changes_ts };
    writes.put::<UserHandles>(&UserKey { user_id: user_id.clone() }, &own);
    let key = handle_key(user_id.server_name(), &handle.skeleton());
    writes.put::<Handles>(&key, &HandleRecord { user_id, handle: text, released_ts: None });
}

/// Writes that a user has given up a handle, and when others can have it, if ever.
fn put_released(writes: &mut WriteSet, user_id: &OwnedUserId, handle: String, now_ts: u64) {
    let platform = user_id.server_name();
    let key = handle_key(platform, &skeleton(&handle));
    let record = HandleRecord { user_id: user_id.clone(), handle, released_ts: Some(now_ts) };
    if !looks_like_localpart(user_id, &key.name) {
        let free_ts = now_ts + PROTECTED_MS;
        let (platform, skeleton) = (platform.to_owned(), key.name.clone());
        writes.put::<ReleasedHandles>(&ReleasedHandleKey { platform, free_ts, skeleton }, &());
    }
    writes.put::<Handles>(&key, &record);
}

fn handle_key(platform: &ServerName, skeleton: &str) -> PlatformKey {
    PlatformKey { platform: platform.to_owned(), name: skeleton.to_owned() }
}

fn handle_field_key(user_id: &OwnedUserId) -> UserNameKey {
    UserNameKey { user_id: user_id.clone(), name: HANDLE_FIELD.to_owned() }
}
