//! Removing what has expired, and clients that nobody uses. This is to be done now and then.

use linkspan_storage::{
    Range, StorageError, Table, WriteSet,
    catalogue::{
        AuthorizationCodes, BrowserSessions, DeviceGrants, OAuthClients, PlatformHashKey, PlatformKey,
        UserCodes,
    },
};
use ruma::OwnedServerName;

use crate::{OAuth, OAuthError};

/// How long a client is kept that nobody uses, in milliseconds.
pub(crate) const UNUSED_MS: u64 = 24 * 3_600_000;
/// How long an expired code is kept, in milliseconds, so that it is recognised if somebody uses it again.
const REPLAY_MS: u64 = 3_600_000;
/// How many rows are read at a time.
const BATCH: usize = 1_000;

impl OAuth {
    /// Removes what has expired of a platform.
    pub async fn expire(&self, platform: &OwnedServerName, now_ts: u64) -> Result<(), OAuthError> {
        self.expire_rows::<AuthorizationCodes>(platform, |code| code.expires_ts + REPLAY_MS <= now_ts)
            .await?;
        self.expire_rows::<DeviceGrants>(platform, |grant| grant.expires_ts <= now_ts).await?;
        self.expire_rows::<BrowserSessions>(platform, |session| session.expires_ts <= now_ts).await?;
        let whole = || Range::<UserCodes>::prefix((platform,));
        self.expire_range(whole, |code| code.expires_ts <= now_ts).await?;
        self.expire_clients(platform, now_ts.saturating_sub(UNUSED_MS)).await
    }

    /// Removes the clients that have no session and that nobody has used since `before_ts`.
    pub(crate) async fn expire_clients(
        &self,
        platform: &OwnedServerName,
        before_ts: u64,
    ) -> Result<(), OAuthError> {
        let in_use = self.accounts.clients_in_use(platform).await?;
        let mut after: Option<PlatformKey> = None;
        loop {
            let expire = async || {
                let mut range = Range::<OAuthClients>::prefix((platform,)).limit(BATCH);
                if let Some(after) = &after {
                    range = range.after(after);
                }
                let rows = self.store.range(range).await?;
                let mut writes = WriteSet::new();
                for (key, client) in &rows {
                    let last_ts = client.used_ts.unwrap_or(client.created_ts);
                    if last_ts < before_ts && !in_use.contains(&key.name) {
                        // Somebody may be allowing something to the client at this moment.
                        writes.expect::<OAuthClients>(key, client);
                        writes.delete::<OAuthClients>(key);
                    }
                }
                Ok::<_, OAuthError>((writes, rows.into_iter().last().map(|(key, _)| key)))
            };
            after = self.store.update(expire).await?;
            if after.is_none() {
                return Ok(());
            }
        }
    }

    async fn expire_rows<T: Table<Key = PlatformHashKey>>(
        &self,
        platform: &OwnedServerName,
        is_over: impl Fn(&T::Value) -> bool,
    ) -> Result<(), OAuthError> {
        self.expire_range::<T>(|| Range::prefix((platform,)), is_over).await
    }

    async fn expire_range<T: Table>(
        &self,
        all: impl Fn() -> Range<T>,
        is_over: impl Fn(&T::Value) -> bool,
    ) -> Result<(), OAuthError> {
        let mut after: Option<T::Key> = None;
        loop {
            let mut range = all().limit(BATCH);
            if let Some(after) = &after {
                range = range.after(after);
            }
            let mut rows = self.store.range(range).await?;
            let whole = rows.len() < BATCH;
            let mut writes = WriteSet::new();
            rows.iter().filter(|(_, row)| is_over(row)).for_each(|(key, _)| writes.delete::<T>(key));
            after = rows.pop().map(|(key, _)| key);
            if !writes.is_empty() {
                self.store.commit(writes).await.map_err(StorageError::from)?;
            }
            if whole {
                return Ok(());
            }
        }
    }
}
