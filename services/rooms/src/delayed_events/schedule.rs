//! Scheduling an event, within limits.

use base64::{Engine as _, prelude::BASE64_URL_SAFE_NO_PAD};
use linkspan_domain::{Draft, parse_content};
use linkspan_storage::{
    WriteSet,
    catalogue::{DelayedEvents, UserDelayedEvents, UserKey},
    records::{DelayedEventRecord, UserDelayedEventsRecord},
};
use rand::Rng as _;
use ruma::{
    CanonicalJsonObject, OwnedDeviceId, OwnedMxcUri, OwnedRoomId, OwnedUserId,
    events::room::member::MembershipState,
};

use super::{
    DelayedEvent, FINALISED_MS, MAX_DELAY_MS, MAX_FINALISED, MAX_SCHEDULED, event_key, put_scheduled, until,
};
use crate::{Result, Rooms, RoomsError, disappearing::check_attached, membership::not_in_room};

/// The longest transaction id, type and state key, in bytes.
const NAME_BYTES: usize = 255;
/// The greatest content, in bytes. A greater one would make too large an event, with what that needs besides.
const CONTENT_BYTES: usize = 65_536;

/// An event that is to be sent later.
#[derive(Clone, Debug)]
pub struct NewDelayedEvent {
    /// The room.
    pub room_id: OwnedRoomId,
    /// Its type.
    pub event_type: String,
    /// The state key, which only state events have.
    pub state_key: Option<String>,
    /// The content, a JSON object.
    pub content: String,
    /// The uploads that it carries, as the client says.
    pub attached: Vec<OwnedMxcUri>,
    /// The delay in milliseconds.
    pub delay_ms: u64,
    /// The endpoint that schedules it, as it is named in its path.
    pub endpoint: &'static str,
    /// The transaction id. Repeated by the same device for the same endpoint, room and type, it means the
    /// same event.
    pub txn_id: Option<String>,
}

impl Rooms {
    /// Schedules an event, and returns its id. Whether it may be sent is asked when it is sent, but for the
    /// rules on encryption, which are asked now too: what they are against is not kept.
    pub async fn schedule_event(
        &self,
        user_id: &OwnedUserId,
        device_id: &OwnedDeviceId,
        event: NewDelayedEvent,
        now_ts: u64,
    ) -> Result<String> {
        let content = check(&event)?;
        let attempt = async || self.scheduling(user_id, device_id, &event, content.clone(), now_ts).await;
        let delay_id = self.store().update(attempt).await?;
        self.shared.delays.changed.notify_one();
        Ok(delay_id)
    }

    /// What schedules an event. Whoever schedules writes the list of the user's delayed events: so there are not
    /// more than there may be, and the same transaction counts once.
    async fn scheduling(
        &self,
        user_id: &OwnedUserId,
        device_id: &OwnedDeviceId,
        event: &NewDelayedEvent,
        content: CanonicalJsonObject,
        now_ts: u64,
    ) -> Result<(WriteSet, String)> {
        let mut writes = WriteSet::new();
        let list_key = UserKey { user_id: user_id.clone() };
        let list = self.store().get::<UserDelayedEvents>(&list_key).await?;
        writes.expect_read::<UserDelayedEvents>(&list_key, list.as_ref());
        let mut known = self.listed_events(user_id, list).await?;
        if let Some(txn_id) = &event.txn_id {
            let same = |known: &&DelayedEvent| {
                known.record.txn_id.as_ref() == Some(txn_id)
                    && known.record.device_id == *device_id
                    && known.record.endpoint == event.endpoint
                    && known.record.room_id == event.room_id
                    && known.record.event_type == event.event_type
            };
            if let Some(known) = known.iter().find(same) {
                return Ok((WriteSet::new(), known.delay_id.clone()));
            }
        }
        if self.membership(&event.room_id, user_id).await? != Some(MembershipState::Join) {
            return Err(not_in_room());
        }
        self.shared.accounts.check_not_suspended(user_id).await?;
        check_count(&known, now_ts)?;
        let room = self.find_room(&event.room_id).await?.ok_or_else(not_in_room)?;
        let event_type = event.event_type.as_str().into();
        let draft = Draft { event_type, state_key: event.state_key.clone(), content, redacts: None };
        self.check_later(&room, user_id, draft, now_ts).await?;
        let delay_id = new_delay_id();
        put_scheduled(&mut writes, &delay_id, &record(user_id, device_id, event, now_ts));
        forget_finalised(&mut writes, &mut known, now_ts);
        let ids = known.into_iter().map(|event| event.delay_id).chain([delay_id.clone()]).collect();
        writes.put::<UserDelayedEvents>(&list_key, &UserDelayedEventsRecord { ids });
        Ok((writes, delay_id))
    }

    /// The delayed events of a user, those that have ended too.
    pub(super) async fn delayed_events_of(&self, user_id: &OwnedUserId) -> Result<Vec<DelayedEvent>> {
        let list = self.store().get::<UserDelayedEvents>(&UserKey { user_id: user_id.clone() }).await?;
        self.listed_events(user_id, list).await
    }

    pub(super) async fn listed_events(
        &self,
        user_id: &OwnedUserId,
        list: Option<UserDelayedEventsRecord>,
    ) -> Result<Vec<DelayedEvent>> {
        let ids = list.map(|list| list.ids).unwrap_or_default();
        let platform = user_id.server_name().to_owned();
        let keys: Vec<_> = ids.iter().map(|delay_id| event_key(&platform, delay_id)).collect();
        let records = self.store().get_many::<DelayedEvents>(&keys).await?;
        let events = ids.into_iter().zip(records);
        Ok(events.filter_map(|(delay_id, record)| Some(DelayedEvent { delay_id, record: record? })).collect())
    }
}

fn record(
    user_id: &OwnedUserId,
    device_id: &OwnedDeviceId,
    event: &NewDelayedEvent,
    now_ts: u64,
) -> DelayedEventRecord {
    let event = event.clone();
    DelayedEventRecord {
        user_id: user_id.clone(),
        device_id: device_id.clone(),
        room_id: event.room_id,
        event_type: event.event_type,
        state_key: event.state_key,
        content: event.content,
        endpoint: event.endpoint.to_owned(),
        txn_id: event.txn_id,
        delay_ms: event.delay_ms,
        running_since_ts: now_ts,
        finalised_ts: None,
        by_action: false,
        event_id: None,
        error: None,
        attached: event.attached,
    }
}

/// The content, parsed, of an event that is within the limits.
fn check(event: &NewDelayedEvent) -> Result<CanonicalJsonObject> {
    if event.delay_ms == 0 {
        return Err(RoomsError::Invalid("`delay` is a number of milliseconds above 0".into()));
    }
    if event.state_key.is_some() && !event.attached.is_empty() {
        return Err(RoomsError::Invalid("state carries no uploads, only messages do".into()));
    }
    if event.delay_ms > MAX_DELAY_MS {
        return Err(RoomsError::DelayTooLong { max_delay_ms: MAX_DELAY_MS });
    }
    let names = [Some(&event.event_type), event.state_key.as_ref(), event.txn_id.as_ref()];
    if names.into_iter().flatten().any(|name| name.len() > NAME_BYTES) {
        return Err(RoomsError::TooLarge(
            "a type, a state key and a transaction id have at most 255 bytes".into(),
        ));
    }
    check_attached(&event.attached)?;
    if event.content.len() > CONTENT_BYTES {
        return Err(RoomsError::TooLarge(format!("the content has more than {CONTENT_BYTES} bytes")));
    }
    Ok(parse_content(&event.content)?)
}

fn check_count(known: &[DelayedEvent], now_ts: u64) -> Result<()> {
    let waiting = known.iter().filter(|event| event.record.finalised_ts.is_none());
    if waiting.clone().count() < MAX_SCHEDULED {
        return Ok(());
    }
    let next_ts = waiting.map(DelayedEvent::due_ts).min().unwrap_or(now_ts);
    Err(RoomsError::TooManyDelayed { retry_after: until(next_ts, now_ts) })
}

/// Removes the events that ended long ago, or before many others did, and takes them off the list.
fn forget_finalised(writes: &mut WriteSet, known: &mut Vec<DelayedEvent>, now_ts: u64) {
    known.sort_by_key(|event| std::cmp::Reverse(event.record.finalised_ts));
    let mut finalised = 0;
    known.retain(|event| {
        let Some(ended_ts) = event.record.finalised_ts else { return true };
        finalised += 1;
        let is_kept = finalised <= MAX_FINALISED && ended_ts.saturating_add(FINALISED_MS) > now_ts;
        if !is_kept {
            let platform = event.record.user_id.server_name().to_owned();
            writes.delete::<DelayedEvents>(&event_key(&platform, &event.delay_id));
        }
        is_kept
    });
}

/// An id that cannot be guessed, because whoever knows it may act on the event.
fn new_delay_id() -> String {
    let mut bytes = [0; 24];
    rand::rng().fill_bytes(&mut bytes);
    BASE64_URL_SAFE_NO_PAD.encode(bytes)
}
