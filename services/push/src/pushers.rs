//! Pushers: where clients want to be told of events.
//! <https://spec.matrix.org/v1.19/client-server-api/#post_matrixclientv3pushersset>

use std::sync::Arc;

use dashmap::DashMap;
use linkspan_storage::{
    Range, Store, WriteSet,
    catalogue::{PusherKey, Pushers, ThreadSubscriptionLog, ThreadSubscriptions, UnreadCounts},
    records::PusherRecord,
};
use reqwest::Url;
use ruma::{
    DeviceId, OwnedDeviceId, OwnedUserId,
    api::client::push::{Pusher, PusherIds, PusherKind},
    push::{HttpPusherData, PushFormat},
};

use crate::{Push, PushError, Result};

/// The most pushers of a user.
const MAX_PUSHERS: usize = 100;
/// The most bytes of an application's id.
const MAX_APP_ID_BYTES: usize = 64;
/// The most bytes of a pushkey.
const MAX_PUSHKEY_BYTES: usize = 512;
/// The most bytes of any other text of a pusher.
const MAX_TEXT_BYTES: usize = 512;
/// The most bytes of a pusher as JSON.
const MAX_PUSHER_BYTES: usize = 8 << 10;

/// Who has pushers; in memory, so that events of rooms without any cost nothing.
#[derive(Debug)]
pub(crate) struct PusherIndex {
    /// How many pushers each user has.
    users: DashMap<OwnedUserId, usize>,
    /// Which users of a platform share an application's pushkey, by (platform, app_id, pushkey).
    by_pushkey: DashMap<(String, String, String), Vec<OwnedUserId>>,
}

impl PusherIndex {
    /// The index of a store, which follows the pushers that are set and removed.
    pub(crate) async fn load(store: &Store) -> Result<Arc<Self>> {
        let index = Arc::new(Self { users: DashMap::new(), by_pushkey: DashMap::new() });
        store.watch::<Pushers, _>(&index, |index, key, change| match change.is_put {
            true => index.add(key),
            false => index.remove(key),
        });
        // One that is removed while they are read may stay: whoever looks for it finds that it is gone.
        for key in store.keys::<Pushers>(Range::all()).await? {
            index.add(&key);
        }
        Ok(index)
    }

    /// Everybody who has a pusher.
    pub(crate) fn users(&self) -> Vec<OwnedUserId> {
        self.users.iter().map(|user| user.key().clone()).collect()
    }

    fn pushkey(key: &PusherKey) -> (String, String, String) {
        (key.user_id.server_name().to_string(), key.app_id.clone(), key.pushkey.clone())
    }

    fn add(&self, key: &PusherKey) {
        let mut users = self.by_pushkey.entry(Self::pushkey(key)).or_default();
        if !users.contains(&key.user_id) {
            users.push(key.user_id.clone());
            *self.users.entry(key.user_id.clone()).or_default() += 1;
        }
    }

    fn remove(&self, key: &PusherKey) {
        let pushkey = Self::pushkey(key);
        let Some(mut users) = self.by_pushkey.get_mut(&pushkey) else { return };
        let Some(at) = users.iter().position(|user_id| *user_id == key.user_id) else { return };
        users.swap_remove(at);
        drop(users);
        self.by_pushkey.remove_if(&pushkey, |_, users| users.is_empty());
        if let Some(mut count) = self.users.get_mut(&key.user_id) {
            *count = count.saturating_sub(1);
        }
        self.users.remove_if(&key.user_id, |_, count| *count == 0);
    }

    /// Whether the user has a pusher.
    pub(crate) fn has(&self, user_id: &OwnedUserId) -> bool {
        self.users.contains_key(user_id)
    }

    /// Whether nobody has a pusher.
    pub(crate) fn is_empty(&self) -> bool {
        self.users.is_empty()
    }
}

/// A pusher with what sending to it takes.
#[derive(Clone, Debug)]
pub(crate) struct ActivePusher {
    pub(crate) key: PusherKey,
    pub(crate) device_id: OwnedDeviceId,
    pub(crate) url: Url,
    pub(crate) data: HttpPusherData,
    pub(crate) failing_since_ts: Option<u64>,
}

impl ActivePusher {
    fn new(key: PusherKey, record: &PusherRecord) -> Option<Self> {
        let pusher: Pusher = serde_json::from_str(&record.json).ok()?;
        let PusherKind::Http(data) = pusher.kind else { return None };
        let url = data.url.parse().ok()?;
        let failing_since_ts = record.failing_since_ts;
        Some(Self { key, device_id: record.device_id.clone(), url, data, failing_since_ts })
    }

    /// The gateway is told ids only, nothing of what an event says.
    pub(crate) fn event_id_only(&self) -> bool {
        self.data.format == Some(PushFormat::EventIdOnly)
    }
}

impl Push {
    /// The pushers of a user.
    pub async fn pushers(&self, user_id: &OwnedUserId) -> Result<Vec<Pusher>> {
        let rows = self.store().range::<Pushers>(Range::prefix((user_id,)).limit(MAX_PUSHERS)).await?;
        Ok(rows.iter().filter_map(|(_, record)| serde_json::from_str(&record.json).ok()).collect())
    }

    /// Sets a pusher of a device. Unless `append`, other users of the platform lose theirs with the same
    /// application and pushkey: the same app is now somebody else's. A device that is gone sets none.
    pub async fn set_pusher(
        &self,
        user_id: &OwnedUserId,
        device_id: &DeviceId,
        pusher: Pusher,
        append: bool,
    ) -> Result<()> {
        let json = check_pusher(&pusher)?;
        let key = pusher_key(user_id, &pusher.ids);
        let record = PusherRecord { json, device_id: device_id.to_owned(), failing_since_ts: None };
        self.store()
            .update(async || {
                let owned =
                    self.store().keys::<Pushers>(Range::prefix((user_id,)).limit(MAX_PUSHERS)).await?;
                if owned.len() >= MAX_PUSHERS && !owned.contains(&key) {
                    return Err(PushError::Invalid(format!("a user may have {MAX_PUSHERS} pushers")));
                }
                let mut writes = WriteSet::new();
                self.shared.accounts.expect_device(&mut writes, user_id, &record.device_id).await?;
                if !append {
                    self.same_pushkey(&key).iter().for_each(|other| writes.delete::<Pushers>(other));
                }
                writes.put::<Pushers>(&key, &record);
                Ok((writes, ()))
            })
            .await?;
        // What waited was for the pusher as it was before.
        self.shared.deliveries.forget(&key);
        Ok(())
    }

    fn same_pushkey(&self, key: &PusherKey) -> Vec<PusherKey> {
        let users = self.shared.pushers.by_pushkey.get(&PusherIndex::pushkey(key));
        let users = users.map(|users| users.clone()).unwrap_or_default();
        let others = users.into_iter().filter(|user_id| *user_id != key.user_id);
        others.map(|user_id| PusherKey { user_id, ..key.clone() }).collect()
    }

    /// Removes a pusher of a user, if there is one.
    pub async fn delete_pusher(&self, user_id: &OwnedUserId, ids: &PusherIds) -> Result<()> {
        self.remove_pushers(vec![pusher_key(user_id, ids)]).await
    }

    /// Removes the pushers that a device has set; to be called when it logs out or is deleted.
    pub async fn remove_pushers_of_device(&self, user_id: &OwnedUserId, device_id: &DeviceId) -> Result<()> {
        let rows = self.store().range::<Pushers>(Range::prefix((user_id,))).await?;
        let of_device = rows.into_iter().filter(|(_, record)| record.device_id == *device_id);
        self.remove_pushers(of_device.map(|(key, _)| key).collect()).await
    }

    /// Removes what is kept for a user whose account is gone: pushers, counts of unread events, and which threads the
    /// user followed.
    pub async fn remove_user(&self, user_id: &OwnedUserId) -> Result<()> {
        let pushers = self.store().keys::<Pushers>(Range::prefix((user_id,))).await?;
        self.remove_pushers(pushers).await?;
        self.store().delete_range::<UnreadCounts>(Range::prefix((user_id,))).await?;
        self.store().delete_range::<ThreadSubscriptionLog>(Range::prefix((user_id,))).await?;
        Ok(self.store().delete_range::<ThreadSubscriptions>(Range::prefix((user_id,))).await?)
    }

    pub(crate) async fn remove_pushers(&self, keys: Vec<PusherKey>) -> Result<()> {
        if keys.is_empty() {
            return Ok(());
        }
        let mut writes = WriteSet::new();
        for key in &keys {
            writes.delete::<Pushers>(key);
        }
        self.store().commit(writes).await?;
        Ok(())
    }

    /// The pushers of a user that can be sent to.
    pub(crate) async fn active_pushers(&self, user_id: &OwnedUserId) -> Result<Vec<ActivePusher>> {
        let rows = self.store().range::<Pushers>(Range::prefix((user_id,)).limit(MAX_PUSHERS)).await?;
        Ok(rows.into_iter().filter_map(|(key, record)| ActivePusher::new(key, &record)).collect())
    }

    /// The pusher as it stands now; None if it is gone.
    pub(crate) async fn active_pusher(&self, key: &PusherKey) -> Result<Option<ActivePusher>> {
        let record = self.store().get::<Pushers>(key).await?;
        Ok(record.and_then(|record| ActivePusher::new(key.clone(), &record)))
    }

    /// Notes since when a pusher's gateway fails; None: it works again.
    pub(crate) async fn note_failing(&self, key: &PusherKey, since_ts: Option<u64>) -> Result<()> {
        self.store()
            .update(|| async {
                let mut writes = WriteSet::new();
                if let Some(record) = self.store().get::<Pushers>(key).await? {
                    writes.expect::<Pushers>(key, &record);
                    writes.put::<Pushers>(key, &PusherRecord { failing_since_ts: since_ts, ..record });
                }
                Ok((writes, ()))
            })
            .await
    }
}

fn pusher_key(user_id: &OwnedUserId, ids: &PusherIds) -> PusherKey {
    PusherKey { user_id: user_id.clone(), app_id: ids.app_id.clone(), pushkey: ids.pushkey.clone() }
}

/// Checks a pusher and gives the JSON that is kept.
fn check_pusher(pusher: &Pusher) -> Result<String> {
    let invalid = |reason: &str| Err(PushError::Invalid(reason.to_owned()));
    let PusherKind::Http(data) = &pusher.kind else {
        return invalid("only pushers of the kind `http` are supported");
    };
    let ids = &pusher.ids;
    if ids.app_id.is_empty() || ids.app_id.len() > MAX_APP_ID_BYTES {
        return invalid("`app_id` must have 1 to 64 bytes");
    }
    if ids.pushkey.is_empty() || ids.pushkey.len() > MAX_PUSHKEY_BYTES {
        return invalid("`pushkey` must have 1 to 512 bytes");
    }
    let texts = [
        Some(&pusher.app_display_name),
        Some(&pusher.device_display_name),
        Some(&pusher.lang),
        pusher.profile_tag.as_ref(),
    ];
    if texts.into_iter().flatten().any(|text| text.len() > MAX_TEXT_BYTES) {
        return invalid("a name of the pusher is too long");
    }
    if data.format.as_ref().is_some_and(|format| *format != PushFormat::EventIdOnly) {
        return invalid("the only `format` is `event_id_only`");
    }
    match data.url.parse::<Url>() {
        Ok(url) if !matches!(url.scheme(), "https" | "http") || !url.has_host() => {
            return invalid("`data.url` must be an HTTPS URL");
        }
        Ok(url) if url.path() != "/_matrix/push/v1/notify" => {
            return invalid("the path of `data.url` must be /_matrix/push/v1/notify");
        }
        Ok(_) => {}
        Err(_) => return invalid("`data.url` is not a URL"),
    }
    let json = serde_json::to_string(pusher).expect("a pusher is JSON");
    if json.len() > MAX_PUSHER_BYTES {
        return invalid("the pusher is too large");
    }
    Ok(json)
}
