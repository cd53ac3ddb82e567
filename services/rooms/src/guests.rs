//! Guests in rooms: they join only what is open to guests, and have to go when it no longer is.
//! <https://spec.matrix.org/v1.19/client-server-api/#guest-access>
//!
//! Whether somebody is a guest is known on the guest's own platform only, so each server keeps the rule for its own
//! guests. The platforms that are hosted here do the same, whoever has set `m.room.guest_access`.

use std::{collections::HashSet, time::Duration};

use linkspan_accounts::AccountsError;
use linkspan_domain::{Pdu, SharedPdu};
use linkspan_storage::{
    Range,
    catalogue::{ClosedToGuests, RoomKey},
};
use ruma::{
    OwnedRoomId, OwnedUserId,
    events::{StateEventType, room::member::MembershipState},
};
use serde::Deserialize;

use crate::{Result, Rooms, RoomsError, append::Append, door::Coming};

/// Members who are looked at, and rooms that are listed, in one step.
const BATCH: usize = 100;
/// How long to wait after a failure.
const AFTER_FAILURE: Duration = Duration::from_secs(10);

/// Said to members when their guests have to go.
const REASON: &str = "guests may no longer be in this room";

/// Whether a room with this `m.room.guest_access` lets guests join.
pub(crate) fn lets_guests_join(guest_access: Option<&Pdu>) -> bool {
    #[derive(Deserialize)]
    struct Content {
        guest_access: String,
    }
    let content = guest_access.and_then(|event| event.content_as::<Content>());
    content.is_some_and(|content| content.guest_access == "can_join")
}

impl Append {
    async fn is_open_to_guests(&mut self) -> Result<bool> {
        let guest_access = self.state_event(&StateEventType::RoomGuestAccess, "").await?;
        Ok(lets_guests_join(guest_access.as_deref()))
    }

    /// Refuses what a guest may not become in the room: invitations they may be given everywhere.
    pub(crate) async fn check_guest(&mut self, coming: &Coming<'_>) -> Result<()> {
        match coming.after {
            MembershipState::Join if !self.is_open_to_guests().await? => {
                Err(AccountsError::Guest("this room does not let guests join").into())
            }
            MembershipState::Knock => Err(AccountsError::Guest("guests cannot knock").into()),
            _ => Ok(()),
        }
    }

    /// Has the guests removed if the room, with `guest_access` in its state from now on, is closed to them.
    pub(crate) async fn note_guest_access(&mut self, guest_access: Option<&SharedPdu>) -> Result<()> {
        if self.is_open_to_guests().await? && !lets_guests_join(guest_access.map(|event| &**event)) {
            self.writes.put::<ClosedToGuests>(&RoomKey { room_id: self.room.id.clone() }, &());
            self.closes_to_guests = true;
        }
        Ok(())
    }
}

impl Rooms {
    /// Removes guests from rooms that are closed to them, for as long as it runs; what a stop interrupted comes first.
    /// `clock` says milliseconds since the Unix epoch.
    pub async fn keep_guests_out(self, clock: impl Fn() -> u64) {
        loop {
            match self.remove_guests(clock()).await {
                // A room that is closed while nobody listens here is remembered.
                Ok(()) => self.shared.closed_to_guests.notified().await,
                Err(error) => {
                    tracing::warn!(%error, "guests could not be removed from rooms; it is tried again");
                    tokio::time::sleep(AFTER_FAILURE).await;
                }
            }
        }
    }

    /// Removes all guests who are still in rooms that are closed to them. Fails with the last error, if there was one,
    /// once every room had its turn.
    pub async fn remove_guests(&self, now_ts: u64) -> Result<()> {
        let mut outcome = Ok(());
        let mut last: Option<RoomKey> = None;
        loop {
            let range = Range::<ClosedToGuests>::all().limit(BATCH).after_last(last.as_ref());
            let closed = self.store().keys(range).await?;
            for key in &closed {
                if let Err(error) = self.remove_guests_from(&key.room_id, now_ts).await {
                    outcome = Err(error);
                }
            }
            last = closed.into_iter().last();
            if last.is_none() {
                return outcome;
            }
        }
    }

    async fn remove_guests_from(&self, room_id: &OwnedRoomId, now_ts: u64) -> Result<()> {
        let mut staying = HashSet::new();
        while let Some(found) =
            self.again(async || self.remove_some_guests(room_id, &staying, now_ts).await).await?
        {
            staying.extend(found);
        }
        Ok(())
    }

    /// One step, so that others can write in between: looks at some members who are not known to stay, and returns those
    /// of them who stay. None: nobody is left to be looked at, or guests may join again.
    ///
    /// Guests leave by themselves. Their platform does that for them, so it needs no power in the room, and whoever
    /// closed the room may have none to kick.
    async fn remove_some_guests(
        &self,
        room_id: &OwnedRoomId,
        staying: &HashSet<OwnedUserId>,
        now_ts: u64,
    ) -> Result<Option<Vec<OwnedUserId>>> {
        let room = self.room(room_id).await?;
        let mut append = self.begin(&room, now_ts).await?;
        let unknown = append.members.iter().filter(|member| !staying.contains(*member));
        let unknown: Vec<_> = unknown.take(BATCH).cloned().collect();
        if unknown.is_empty() || append.is_open_to_guests().await? {
            append.writes.delete::<ClosedToGuests>(&RoomKey { room_id: room_id.clone() });
            append.commit().await?;
            return Ok(None);
        }
        let mut stay = Vec::new();
        for user_id in unknown {
            if !self.shared.accounts.is_guest(&user_id).await? {
                stay.push(user_id);
                continue;
            }
            match self
                .stage_membership(&mut append, &user_id, &user_id, MembershipState::Leave, Some(REASON))
                .await
            {
                Err(RoomsError::Forbidden(error)) => {
                    tracing::warn!(error, %room_id, %user_id, "a guest could not leave a room");
                    stay.push(user_id);
                }
                outcome => outcome?,
            }
        }
        append.commit().await?;
        Ok(Some(stay))
    }
}
