//! What a user has scheduled, and how it ended.

use ruma::{OwnedRoomId, OwnedUserId};

use super::DelayedEvent;
use crate::{Result, Rooms, RoomsError};

/// The time by which delayed events are listed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum DelayOrder {
    /// It is the time at which they are, or were, to be sent.
    #[default]
    Due,
    /// It is the time at which they ended or, if they wait, are to be sent.
    Finalised,
    /// It is the time at which they were scheduled or restarted.
    RunningSince,
}

/// The state that a delayed event is in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DelayStatus {
    /// They wait.
    Scheduled,
    /// They were sent, cancelled, or failed.
    Finalised,
    /// They were sent.
    Sent,
    /// They were cancelled.
    Cancelled,
    /// They failed.
    Failed,
}

/// Which delayed events are asked for.
#[derive(Clone, Debug, Default)]
pub struct DelayQuery {
    /// The time by which they are listed.
    pub order: DelayOrder,
    /// Whether the latest comes first.
    pub backwards: bool,
    /// Only events are asked for that are not before this time or, if the latest come first, not after it.
    pub since_ts: u64,
    /// Only events are asked for that are in all of these states.
    pub status: Vec<DelayStatus>,
    /// Only events of this room are asked for.
    pub room_id: Option<OwnedRoomId>,
    /// Only events of this type are asked for.
    pub event_type: Option<String>,
    /// Only events are asked for that ended by somebody's action, or only those that ended by time.
    pub by_action: Option<bool>,
}

impl DelayQuery {
    fn key(&self, event: &DelayedEvent) -> u64 {
        match self.order {
            DelayOrder::Due => event.due_ts(),
            DelayOrder::Finalised => event.record.finalised_ts.unwrap_or(event.due_ts()),
            DelayOrder::RunningSince => event.record.running_since_ts,
        }
    }

    fn matches(&self, event: &DelayedEvent) -> bool {
        let record = &event.record;
        let ended = record.finalised_ts.is_some();
        let stands = |status: &DelayStatus| match status {
            DelayStatus::Scheduled => !ended,
            DelayStatus::Finalised => ended,
            DelayStatus::Sent => record.event_id.is_some(),
            DelayStatus::Cancelled => ended && record.event_id.is_none() && record.error.is_none(),
            DelayStatus::Failed => record.error.is_some(),
        };
        let key = self.key(event);
        self.status.iter().all(stands)
            && self.room_id.as_ref().is_none_or(|room_id| *room_id == record.room_id)
            && self.event_type.as_ref().is_none_or(|wanted| *wanted == record.event_type)
            && self.by_action.is_none_or(|wanted| ended && wanted == record.by_action)
            && if self.backwards { key <= self.since_ts } else { key >= self.since_ts }
    }
}

impl Rooms {
    /// The delayed events of a user. They are all on one page, because there are never many.
    pub async fn list_delayed_events(
        &self,
        user_id: &OwnedUserId,
        query: &DelayQuery,
    ) -> Result<Vec<DelayedEvent>> {
        let mut events = self.delayed_events_of(user_id).await?;
        events.retain(|event| query.matches(event));
        events.sort_by_key(|event| query.key(event));
        if query.backwards {
            events.reverse();
        }
        Ok(events)
    }

    /// A delayed event of a user.
    pub async fn get_delayed_event(&self, user_id: &OwnedUserId, delay_id: &str) -> Result<DelayedEvent> {
        let record = self.delayed_event(&user_id.server_name().to_owned(), delay_id).await?;
        let record = record.filter(|record| record.user_id == *user_id);
        record
            .map(|record| DelayedEvent { delay_id: delay_id.to_owned(), record })
            .ok_or_else(|| RoomsError::NotFound("you have no such delayed event".into()))
    }
}
