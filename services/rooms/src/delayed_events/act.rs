//! What can be done to an event that waits: restart, cancel, send.

use linkspan_platforms::RateClass;
use linkspan_storage::{
    WriteSet,
    catalogue::{DelayedEventQueue, DelayedEvents},
    records::DelayedEventRecord,
};
use ruma::{OwnedEventId, OwnedServerName};

use super::{due_ts, event_key, put_finalised, put_scheduled, queue_key};
use crate::{Result, Rooms, RoomsError, policy::Consulted, send::Also};

/// What is done to an event that waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DelayAction {
    /// Its delay begins anew.
    Restart,
    /// It is sent at once.
    Send,
    /// It is never sent.
    Cancel,
}

impl Rooms {
    /// Acts on a delayed event of a platform. An action that has happened already succeeds again.
    pub async fn act_on_delayed_event(
        &self,
        platform: &OwnedServerName,
        delay_id: &str,
        action: DelayAction,
        now_ts: u64,
    ) -> Result<()> {
        let act = async |consulted| self.act_once(platform, delay_id, action, consulted, now_ts).await;
        self.consulting(now_ts, act).await
    }

    async fn act_once(
        &self,
        platform: &OwnedServerName,
        delay_id: &str,
        action: DelayAction,
        consulted: Consulted,
        now_ts: u64,
    ) -> Result<()> {
        let record = self.delayed_event(platform, delay_id).await?;
        let record = record.ok_or_else(|| RoomsError::NotFound("there is no such delayed event".into()))?;
        if record.finalised_ts.is_some() {
            let was_sent = record.event_id.is_some();
            return match action {
                DelayAction::Send if was_sent => Ok(()),
                DelayAction::Cancel if !was_sent => Ok(()),
                _ => Err(RoomsError::Finalised),
            };
        }
        match action {
            DelayAction::Restart => self.restart(platform, delay_id, record, now_ts).await,
            DelayAction::Cancel => {
                let ended =
                    DelayedEventRecord { finalised_ts: Some(now_ts), by_action: true, ..record.clone() };
                let mut writes = WriteSet::new();
                put_finalised(&mut writes, delay_id, &record, &ended);
                self.store().commit(writes).await?;
                Ok(())
            }
            // After a failure it goes on waiting.
            DelayAction::Send => self.send_delayed(delay_id, &record, true, consulted, now_ts).await,
        }
    }

    async fn restart(
        &self,
        platform: &OwnedServerName,
        delay_id: &str,
        mut record: DelayedEventRecord,
        now_ts: u64,
    ) -> Result<()> {
        let mut writes = WriteSet::new();
        writes.expect::<DelayedEvents>(&event_key(platform, delay_id), &record);
        writes.delete::<DelayedEventQueue>(&queue_key(platform, delay_id, due_ts(&record)));
        record.running_since_ts = now_ts;
        put_scheduled(&mut writes, delay_id, &record);
        self.store().commit(writes).await?;
        self.shared.delays.changed.notify_one();
        Ok(())
    }

    /// Sends an event as its user would now, and notes in the same write-set that it was sent. That is refused if
    /// something has happened to it meanwhile.
    pub(super) async fn send_delayed(
        &self,
        delay_id: &str,
        record: &DelayedEventRecord,
        by_action: bool,
        consulted: Consulted,
        now_ts: u64,
    ) -> Result<()> {
        self.check_delayed_sender(record).await?;
        let sent = self.send_checked(delay_id, record, by_action, consulted, now_ts).await;
        if matches!(sent, Err(RoomsError::Storage(_) | RoomsError::Unasked(_))) {
            // The whole is tried again, and must not count twice against the limit of messages.
            let limiter = self.platform_of(&record.user_id)?.rate_limiter.clone();
            limiter.give_back(RateClass::Message, record.user_id.as_str());
        }
        sent
    }

    async fn send_checked(
        &self,
        delay_id: &str,
        record: &DelayedEventRecord,
        by_action: bool,
        consulted: Consulted,
        now_ts: u64,
    ) -> Result<()> {
        let DelayedEventRecord { user_id, room_id, event_type, content, .. } = record;
        let also = Also {
            delay_id: Some(delay_id.to_owned()),
            consulted,
            attached: record.attached.clone(),
            write: Box::new(|writes: &mut WriteSet, event_id: &OwnedEventId, disappears: bool| {
                let mut ended = DelayedEventRecord {
                    finalised_ts: Some(now_ts),
                    by_action,
                    event_id: Some(event_id.clone()),
                    ..record.clone()
                };
                // What is to disappear stands in its room alone.
                if disappears {
                    ended.content = "{}".to_owned();
                }
                put_finalised(writes, delay_id, record, &ended);
            }),
        };
        match &record.state_key {
            Some(state_key) => {
                self.set_state_and(user_id, room_id, event_type, state_key, content, also, now_ts).await?
            }
            None => self.send_message_and(user_id, room_id, event_type, content, None, also, now_ts).await?,
        };
        Ok(())
    }

    /// Refuses what the user could not send now either: waiting gives no further rights.
    async fn check_delayed_sender(&self, record: &DelayedEventRecord) -> Result<()> {
        if !self.shared.accounts.may_act(&record.user_id).await? {
            return Err(RoomsError::Forbidden("the account cannot be used".into()));
        }
        let limiter = self.platform_of(&record.user_id)?.rate_limiter.clone();
        limiter
            .check(RateClass::Message, record.user_id.as_str())
            .map_err(|limited| RoomsError::TooManyDelayed { retry_after: limited.retry_after })
    }
}
