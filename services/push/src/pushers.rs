//! Pushers: where clients want to be told of events.
//! <https://spec.matrix.org/v1.19/client-server-api/#post_matrixclientv3pushersset>

use std::sync::Arc;

use dashmap::DashMap;
use linkspan_accounts::new_token;
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
use serde::Deserialize;
use serde_json::Value;

use crate::{
    Push, PushError, Result,
    badge::UnreadRooms,
    delivery::Notice,
    web_push::{Target, WebPushData},
};

/// The most pushers of a user.
const MAX_PUSHERS: usize = 100;
/// The most bytes of an application's id.
const MAX_APP_ID_BYTES: usize = 64;
/// The most bytes of a pushkey.
const MAX_PUSHKEY_BYTES: usize = 512;
/// The most bytes of any other text of a pusher.
const MAX_TEXT_BYTES: usize = 512;
/// The most bytes of the URL of a push service.
const MAX_URL_BYTES: usize = 2048;
/// The most bytes of a pusher as JSON.
const MAX_PUSHER_BYTES: usize = 8 << 10;
/// How long an app has to give back the token that it was sent, in milliseconds.
const ACK_MS: u64 = 5 * 60_000;
/// The kind of pushers that are told by Web Push.
const WEB_PUSH: &str = "webpush";

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
    pub(crate) channel: Channel,
    pub(crate) failing_since_ts: Option<u64>,
    pub(crate) ack_token: Option<String>,
    pub(crate) ack_expires_ts: u64,
    event_id_only: bool,
}

/// How a pusher stands, as far as it decides who waits for whom.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Standing {
    /// Its app has yet to show that messages reach it.
    Unconfirmed,
    /// The last request has failed.
    Failing,
    Working,
}

/// By which way an app is told.
#[derive(Clone, Debug)]
pub(crate) enum Channel {
    Gateway { url: Url, data: HttpPusherData },
    WebPush(Target),
}

impl ActivePusher {
    fn new(key: PusherKey, record: &PusherRecord) -> Option<Self> {
        let pusher: Pusher = serde_json::from_str(&record.json).ok()?;
        let (channel, event_id_only) = match pusher.kind {
            PusherKind::Http(data) => {
                let event_id_only = data.format == Some(PushFormat::EventIdOnly);
                (Channel::Gateway { url: data.url.parse().ok()?, data }, event_id_only)
            }
            _ => {
                let data = web_push_data(&record.json)?;
                (Channel::WebPush(target(&data, &key.pushkey)?), data.format.is_some())
            }
        };
        let PusherRecord { device_id, failing_since_ts, ack_token, ack_expires_ts, .. } = record.clone();
        Some(Self { key, device_id, channel, failing_since_ts, ack_token, ack_expires_ts, event_id_only })
    }

    pub(crate) fn standing(&self) -> Standing {
        match (&self.ack_token, self.failing_since_ts) {
            (Some(_), _) => Standing::Unconfirmed,
            (None, Some(_)) => Standing::Failing,
            (None, None) => Standing::Working,
        }
    }

    /// The gateway or the app is told ids only, nothing of what an event says.
    pub(crate) fn event_id_only(&self) -> bool {
        self.event_id_only
    }
}

/// A pusher as far as its kind decides what its data is.
#[derive(Deserialize)]
struct OfKind {
    kind: String,
    data: Value,
}

/// The data of a pusher, if it is of the kind `webpush` and has all that it needs.
fn web_push_data(json: &str) -> Option<WebPushData> {
    let OfKind { kind, data } = serde_json::from_str(json).ok()?;
    if kind == WEB_PUSH { serde_json::from_value(data).ok() } else { None }
}

fn target(data: &WebPushData, pushkey: &str) -> Option<Target> {
    Some(Target { url: data.url.parse().ok()?, subscription: data.subscription(pushkey)? })
}

/// Where the messages of a pusher go.
#[derive(PartialEq)]
enum Address {
    Gateway(String),
    WebPush(Target),
}

impl Address {
    /// None if the pusher is not understood.
    fn of(json: &str, pushkey: &str) -> Option<Self> {
        if let Some(data) = web_push_data(json) {
            return Some(Self::WebPush(target(&data, pushkey)?));
        }
        let OfKind { data, .. } = serde_json::from_str(json).ok()?;
        Some(Self::Gateway(data["url"].as_str()?.to_owned()))
    }
}

/// Whether a pusher is in use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PusherState {
    /// It is told events.
    Active,
    /// It is told nothing until the app shows that messages reach it ([`Push::confirm_pusher`]).
    Unconfirmed,
}

impl Push {
    /// The pushers of a user, as JSON.
    pub async fn pushers(&self, user_id: &OwnedUserId) -> Result<Vec<Value>> {
        let rows = self.store().range::<Pushers>(Range::prefix((user_id,)).limit(MAX_PUSHERS)).await?;
        let shown = rows.iter().filter_map(|(_, record)| {
            let mut pusher: Value = serde_json::from_str(&record.json).ok()?;
            if pusher["kind"] == WEB_PUSH {
                pusher["activated"] = record.ack_token.is_none().into();
            }
            Some(pusher)
        });
        Ok(shown.collect())
    }

    /// Sets a pusher of a device. Unless `append`, other users of the platform lose theirs with the same
    /// application and pushkey: the same app is now somebody else's. A device that is gone sets none. An app that is
    /// told by Web Push gets a token first, with which it confirms that messages reach it.
    pub async fn set_pusher(
        &self,
        user_id: &OwnedUserId,
        device_id: &DeviceId,
        pusher: Pusher,
        append: bool,
    ) -> Result<PusherState> {
        let json = check_pusher(&pusher, self.shared.settings.allow_private_gateways)?;
        let key = pusher_key(user_id, &pusher.ids);
        let address = Address::of(&json, &key.pushkey);
        let is_web_push = matches!(address, Some(Address::WebPush(_)));
        let record = PusherRecord {
            json,
            device_id: device_id.to_owned(),
            failing_since_ts: None,
            ack_token: is_web_push.then(|| new_token("")),
            ack_expires_ts: self.now_ts() + ACK_MS,
        };
        let (state, is_unchanged) = self
            .store()
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
                let known = self.store().get::<Pushers>(&key).await?;
                writes.expect_read::<Pushers>(&key, known.as_ref());
                let is_unchanged = known.as_ref().is_some_and(|known| known.json == record.json);
                let known = known.filter(|known| Address::of(&known.json, &key.pushkey) == address);
                let is_confirmed = known.as_ref().is_some_and(|known| known.ack_token.is_none());
                let ack_token = record.ack_token.clone().filter(|_| !is_confirmed);
                let state = if ack_token.is_some() { PusherState::Unconfirmed } else { PusherState::Active };
                // Whoever has long been failing is not given a new day by being named again.
                let failing_since_ts = known.and_then(|known| known.failing_since_ts);
                let record = PusherRecord { ack_token, failing_since_ts, ..record.clone() };
                writes.put::<Pushers>(&key, &record);
                Ok((writes, (state, is_unchanged)))
            })
            .await?;
        if state == PusherState::Unconfirmed || !is_unchanged {
            // What waited was for the pusher as it was before.
            self.shared.deliveries.forget(&key);
        }
        if state == PusherState::Unconfirmed {
            self.deliver(&key, Notice::Activation, UnreadRooms::default());
        }
        Ok(state)
    }

    /// Takes the token that an app was sent by Web Push, and tells its pusher events from now on.
    pub async fn confirm_pusher(&self, user_id: &OwnedUserId, app_id: &str, token: &str) -> Result<()> {
        if app_id.len() > MAX_APP_ID_BYTES {
            return Err(PushError::NoSuchPusher);
        }
        self.store()
            .update(async || {
                let app_id = app_id.to_owned();
                let range = Range::<Pushers>::prefix((user_id, &app_id)).limit(MAX_PUSHERS);
                let rows = self.store().range(range).await?;
                if rows.is_empty() {
                    return Err(PushError::NoSuchPusher);
                }
                let of_token = |record: &PusherRecord| record.ack_token.as_deref() == Some(token);
                let row = rows.into_iter().find(|(_, record)| of_token(record));
                let (key, record) = row.ok_or(PushError::UnknownAckToken)?;
                if record.ack_expires_ts <= self.now_ts() {
                    return Err(PushError::ExpiredAckToken);
                }
                let mut writes = WriteSet::new();
                writes.expect::<Pushers>(&key, &record);
                writes.put::<Pushers>(&key, &PusherRecord { ack_token: None, ..record });
                Ok((writes, ()))
            })
            .await
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
        let confirmed = rows.into_iter().filter(|(_, record)| record.ack_token.is_none());
        Ok(confirmed.filter_map(|(key, record)| ActivePusher::new(key, &record)).collect())
    }

    /// The pusher as it stands now, confirmed or not; None if it is gone.
    pub(crate) async fn active_pusher(&self, key: &PusherKey) -> Result<Option<ActivePusher>> {
        let record = self.store().get::<Pushers>(key).await?;
        Ok(record.and_then(|record| ActivePusher::new(key.clone(), &record)))
    }

    /// Notes since when nothing gets through to a pusher; None: it works again.
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

/// Checks a pusher and gives the JSON that is kept. With `allow_http` push services need no TLS.
fn check_pusher(pusher: &Pusher, allow_http: bool) -> Result<String> {
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
    let json = serde_json::to_string(pusher).expect("a pusher is JSON");
    if json.len() > MAX_PUSHER_BYTES {
        return invalid("the pusher is too large");
    }
    match &pusher.kind {
        PusherKind::Http(data) => check_gateway(data)?,
        _ => check_web_push(&json, &ids.pushkey, allow_http)?,
    }
    Ok(json)
}

fn invalid<T>(reason: &str) -> Result<T> {
    Err(PushError::Invalid(reason.to_owned()))
}

fn check_gateway(data: &HttpPusherData) -> Result<()> {
    check_format(data.format.as_ref().map(PushFormat::as_str))?;
    match data.url.parse::<Url>() {
        Ok(url) if !matches!(url.scheme(), "https" | "http") || !url.has_host() => {
            invalid("`data.url` must be an HTTPS URL")
        }
        Ok(url) if url.path() != "/_matrix/push/v1/notify" => {
            invalid("the path of `data.url` must be /_matrix/push/v1/notify")
        }
        Ok(_) => Ok(()),
        Err(_) => invalid("`data.url` is not a URL"),
    }
}

fn check_format(format: Option<&str>) -> Result<()> {
    match format {
        None | Some("event_id_only") => Ok(()),
        Some(_) => invalid("the only `format` is `event_id_only`"),
    }
}

/// What is not of the kind `webpush` is of none that is known.
fn check_web_push(json: &str, pushkey: &str, allow_http: bool) -> Result<()> {
    let is_web_push = serde_json::from_str::<OfKind>(json).is_ok_and(|of_kind| of_kind.kind == WEB_PUSH);
    if !is_web_push {
        return invalid("only pushers of the kinds `http` and `webpush` are supported");
    }
    let Some(data) = web_push_data(json) else {
        return invalid("`data` must have `url` and `auth`");
    };
    check_format(data.format.as_deref())?;
    let is_secure = |url: &Url| url.scheme() == "https" || (allow_http && url.scheme() == "http");
    let url = data.url.parse::<Url>().ok().filter(|url| is_secure(url) && url.has_host());
    if url.is_none() || data.url.len() > MAX_URL_BYTES {
        return invalid("`data.url` must be an HTTPS URL of at most 2048 bytes");
    }
    match data.subscription(pushkey).map(|subscription| subscription.encrypt(b"")) {
        Some(Ok(_)) => Ok(()),
        Some(Err(_)) => invalid("`pushkey` is no key of the curve P-256"),
        None => {
            invalid("`pushkey` must have 65 bytes and `data.auth` 16, in URL-safe base64 without padding")
        }
    }
}
