//! How many people, devices, rooms and uploads each platform has, for operators.
//!
//! Nothing keeps these numbers: whoever writes would have to wait for others who write them, too. So they are counted in
//! the background, a few rows at a time, again and again, and more rarely the more there is to count. They are as old as
//! the last count.

use std::{
    collections::HashMap,
    fmt,
    sync::Arc,
    time::{Duration, Instant},
};

use linkspan_storage::{
    Range, StorageError, Store, Table,
    catalogue::{Accounts, Devices, Media, Rooms},
};
use ruma::{OwnedServerName, ServerName};
use tokio::sync::watch;

/// How many rows are read at a time: it takes less than a millisecond.
const PAGE: usize = 256;
/// How long it rests after a page, as a multiple of the time that the page took: counting takes a twentieth of a
/// processor at most.
const REST_AFTER_PAGE: u32 = 20;
/// How long it rests after everything was counted, as a multiple of the time that this took: over a day, counting takes a
/// thousandth of a processor, and reads little that others do not need.
const REST_AFTER_ALL: u32 = 1_000;
/// The bounds of this rest.
const MIN_REST: Duration = Duration::from_secs(5);
const MAX_REST: Duration = Duration::from_secs(24 * 60 * 60);
/// The rest after a count that has failed: the log should not be full of it.
const FAILED_REST: Duration = Duration::from_secs(60 * 60);

/// How much a platform has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Totals {
    /// Accounts that are in use, those of guests left out.
    pub accounts: u64,
    /// Accounts of guests.
    pub guests: u64,
    /// Accounts that are deactivated.
    pub deactivated: u64,
    /// Devices that are logged in.
    pub devices: u64,
    /// Rooms that its people have created.
    pub rooms: u64,
    /// Uploads that have come.
    pub media_files: u64,
    /// Their bytes.
    pub media_bytes: u64,
}

type ByPlatform = HashMap<OwnedServerName, Totals>;

/// The newest count. Clones are the same.
#[derive(Clone)]
pub struct Census {
    store: Store,
    newest: Arc<watch::Sender<ByPlatform>>,
}

impl fmt::Debug for Census {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Census")
    }
}

impl Census {
    /// Nothing is counted yet.
    pub(crate) fn new(store: Store) -> Self {
        Self { store, newest: Arc::new(watch::Sender::new(ByPlatform::new())) }
    }

    /// What a platform had when it was counted last; None: it has nothing, or was not counted yet.
    pub fn totals(&self, platform: &ServerName) -> Option<Totals> {
        self.newest.borrow().get(platform).copied()
    }

    /// Counts again and again, for as long as it is polled.
    pub async fn keep_counting(self) {
        loop {
            let rest = match self.count().await {
                Ok(worked) => worked.saturating_mul(REST_AFTER_ALL).clamp(MIN_REST, MAX_REST),
                Err(error) => {
                    tracing::warn!(%error, "what each platform has could not be counted");
                    FAILED_REST
                }
            };
            tokio::time::sleep(rest).await;
        }
    }

    /// Counts everything once. Returns how long it has worked for it.
    async fn count(&self) -> Result<Duration, StorageError> {
        let mut all = ByPlatform::new();
        let mut worked = self
            .read(Range::<Accounts>::all, |key, account| {
                let totals = totals_of(&mut all, key.user_id.server_name());
                match (account.deactivated, account.guest) {
                    (true, _) => totals.deactivated += 1,
                    (false, true) => totals.guests += 1,
                    (false, false) => totals.accounts += 1,
                }
            })
            .await?;
        worked += self
            .read(Range::<Devices>::all, |key, device| {
                totals_of(&mut all, key.user_id.server_name()).devices += u64::from(!device.dehydrated);
            })
            .await?;
        worked += self
            .read(Range::<Rooms>::all, |_, room| totals_of(&mut all, room.creator.server_name()).rooms += 1)
            .await?;
        worked += self
            .read(Range::<Media>::all, |key, media| {
                if media.object.is_some() {
                    let totals = totals_of(&mut all, &key.platform);
                    totals.media_files += 1;
                    totals.media_bytes += media.size_bytes;
                }
            })
            .await?;
        self.newest.send_replace(all);
        Ok(worked)
    }

    /// Reads all rows of a range, page by page. Returns how long it has worked for it.
    async fn read<T: Table>(
        &self,
        all: fn() -> Range<T>,
        mut row: impl FnMut(&T::Key, &T::Value),
    ) -> Result<Duration, StorageError> {
        let (mut worked, mut last) = (Duration::ZERO, None);
        loop {
            let begun = Instant::now();
            let rows = self.store.range::<T>(all().after_last(last.as_ref()).limit(PAGE)).await?;
            rows.iter().for_each(|(key, value)| row(key, value));
            let is_last = rows.len() < PAGE;
            last = rows.into_iter().next_back().map(|(key, _)| key);
            let took = begun.elapsed();
            worked += took;
            if is_last {
                return Ok(worked);
            }
            tokio::time::sleep(took.saturating_mul(REST_AFTER_PAGE)).await;
        }
    }
}

fn totals_of<'a>(all: &'a mut ByPlatform, platform: &ServerName) -> &'a mut Totals {
    // The name is copied once for each platform, and not for each row.
    if !all.contains_key(platform) {
        all.insert(platform.to_owned(), Totals::default());
    }
    all.get_mut(platform).expect("it was put there just now")
}

#[cfg(test)]
mod tests {
    use linkspan_storage::{
        Memory, WriteSet,
        catalogue::{PlatformKey, UserKey},
        records::{AccountRecord, MediaRecord},
    };
    use ruma::{OwnedUserId, owned_server_name, server_name};

    use super::*;

    #[tokio::test]
    async fn everything_is_counted_by_platform() {
        let store = Store::in_memory(Memory::new().expect("a store"));
        let mut writes = WriteSet::new();
        let mut account = AccountRecord {
            password_hash: None,
            created_ts: 0,
            deactivated: false,
            admin: false,
            suspended: false,
            locked: false,
            guest: false,
        };
        let key = |name: String| UserKey { user_id: OwnedUserId::try_from(name).expect("a user id") };
        for number in 0..2 * PAGE + 3 {
            writes.put::<Accounts>(&key(format!("@u{number}:a.example")), &account);
        }
        account.guest = true;
        writes.put::<Accounts>(&key("@guest:b.example".to_owned()), &account);
        account.deactivated = true;
        writes.put::<Accounts>(&key("@gone:b.example".to_owned()), &account);
        let media = |object: Option<&str>| MediaRecord {
            user_id: key("@u0:a.example".to_owned()).user_id,
            content_type: None,
            filename: None,
            size_bytes: 7,
            created_ts: 0,
            object: object.map(str::to_owned),
            expires_ts: None,
            quarantined: false,
            protected: false,
        };
        let upload =
            |name: &str| PlatformKey { platform: owned_server_name!("a.example"), name: name.to_owned() };
        writes.put::<Media>(&upload("come"), &media(Some("object")));
        writes.put::<Media>(&upload("pending"), &media(None));
        store.commit(writes).await.expect("it is committed");
        let census = Census::new(store);
        assert_eq!(census.totals(server_name!("a.example")), None);
        census.count().await.expect("it is counted");
        let a = Totals { accounts: 2 * PAGE as u64 + 3, media_files: 1, media_bytes: 7, ..Totals::default() };
        assert_eq!(census.totals(server_name!("a.example")), Some(a));
        let b = Totals { guests: 1, deactivated: 1, ..Totals::default() };
        assert_eq!(census.totals(server_name!("b.example")), Some(b));
    }
}
