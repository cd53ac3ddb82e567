//! Scheduling an event, within limits.

use base64::{Engine as _, prelude::BASE64_URL_SAFE_NO_PAD};
use linkspan_domain::{Draft, parse_content};
use linkspan_storage::{
    Range, WriteSet,
    catalogue::{DelayedEvents, UserDelayedEvents, UserNameKey},
    records::DelayedEventRecord,
};
use rand::RngCore as _;
use ruma::{
    CanonicalJsonObject, OwnedDeviceId, OwnedRoomId, OwnedUserId, events::room::member::MembershipState,
};

use super::{
    DelayedEvent, FINALISED_MS, MAX_DELAY_MS, MAX_FINALISED, MAX_SCHEDULED, event_key, put_scheduled, until,
};
use crate::{Result, Rooms, RoomsError, membership::not_in_room};

/// The longest transaction id, type and state key, in bytes.
const NAME_BYTES: usize = 255;
/// The greatest content, in bytes: with what an event needs besides it would be too large.
const CONTENT_BYTES: usize = 65_536;

/// An event that is to be sent later.
#[derive(Clone, Debug)]
pub struct NewDelayedEvent {
    /// Where.
    pub room_id: OwnedRoomId,
    /// Its type.
    pub event_type: String,
    /// Present on state events.
    pub state_key: Option<String>,
    /// JSON, an object.
    pub content: String,
    /// After so long, in milliseconds.
    pub delay_ms: u64,
    /// The endpoint that schedules it, as it is named in its path.
    pub endpoint: &'static str,
    /// The same one of the same device means the same delayed event, for one path: endpoint, room and type.
    pub txn_id: Option<String>,
}

impl Rooms {
    /// Schedules an event; gives its id. Whether it may be sent is asked when it is, but for the rules on encryption,
    /// which are asked now too: what they are against is not kept.
    pub async fn schedule_event(
        &self,
        user_id: &OwnedUserId,
        device_id: &OwnedDeviceId,
        event: NewDelayedEvent,
        now_ts: u64,
    ) -> Result<String> {
        let content = check(&event)?;
        let _lock = self.shared.delays.lock(user_id.as_str()).await;
        let known = self.delayed_events_of(user_id).await?;
        if let Some(txn_id) = &event.txn_id {
            let same = |known: &&DelayedEvent| {
                known.record.txn_id.as_ref() == Some(txn_id)
                    && known.record.device_id == *device_id
                    && known.record.endpoint == event.endpoint
                    && known.record.room_id == event.room_id
                    && known.record.event_type == event.event_type
            };
            if let Some(known) = known.iter().find(same) {
                return Ok(known.delay_id.clone());
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
        let record = DelayedEventRecord {
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
        };
        let mut writes = WriteSet::new();
        forget_finalised(&mut writes, known, now_ts);
        put_scheduled(&mut writes, &delay_id, &record);
        self.store().commit(writes).await?;
        self.shared.delays.changed.notify_one();
        Ok(delay_id)
    }

    /// The delayed events of a user, those that have ended too.
    pub(super) async fn delayed_events_of(&self, user_id: &OwnedUserId) -> Result<Vec<DelayedEvent>> {
        let range = Range::<UserDelayedEvents>::prefix((user_id,)).limit(2 * (MAX_SCHEDULED + MAX_FINALISED));
        let mut events = Vec::new();
        for UserNameKey { name, .. } in self.store().keys(range).await? {
            let record = self.delayed_event(&user_id.server_name().to_owned(), &name).await?;
            events.extend(record.map(|record| DelayedEvent { delay_id: name, record }));
        }
        Ok(events)
    }
}

/// The content, parsed, of an event that is within the limits.
fn check(event: &NewDelayedEvent) -> Result<CanonicalJsonObject> {
    if event.delay_ms == 0 {
        return Err(RoomsError::Invalid("`delay` is a number of milliseconds above 0".into()));
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

/// Removes what ended long ago, or before many others did.
fn forget_finalised(writes: &mut WriteSet, mut known: Vec<DelayedEvent>, now_ts: u64) {
    known.retain(|event| event.record.finalised_ts.is_some());
    known.sort_by_key(|event| std::cmp::Reverse(event.record.finalised_ts));
    for (place, event) in known.into_iter().enumerate() {
        let ended_ts = event.record.finalised_ts.unwrap_or_default();
        if place >= MAX_FINALISED || ended_ts.saturating_add(FINALISED_MS) <= now_ts {
            let user_id = event.record.user_id;
            let platform = user_id.server_name().to_owned();
            writes.delete::<DelayedEvents>(&event_key(&platform, &event.delay_id));
            writes.delete::<UserDelayedEvents>(&UserNameKey { user_id, name: event.delay_id });
        }
    }
}

/// It cannot be guessed: who knows it may act on the event.
fn new_delay_id() -> String {
    let mut bytes = [0; 24];
    rand::rng().fill_bytes(&mut bytes);
    BASE64_URL_SAFE_NO_PAD.encode(bytes)
}
