//! Presence, which is told to everybody who shares a room with the user.

use std::{collections::HashSet, time::Duration};

use linkspan_inbox::{PresenceState, WaitingDevice};
use ruma::{OwnedDeviceId, OwnedUserId};

use crate::{Result, Rooms, RoomsError, blocked::Ignoring};

/// The most users who are told.
const MAX_WATCHERS: usize = 2_000;
/// How long a device counts after its last sync.
pub const QUIET: Duration = Duration::from_secs(60);

/// The longest status message, in bytes.
const MAX_STATUS_BYTES: usize = 1_024;

impl Rooms {
    /// Sets the presence of a user's device, and the user's words.
    /// <https://spec.matrix.org/v1.19/client-server-api/#put_matrixclientv3presenceuseridstatus>
    pub async fn set_presence(
        &self,
        user_id: &OwnedUserId,
        device_id: &OwnedDeviceId,
        state: PresenceState,
        status_msg: Option<String>,
    ) -> Result<()> {
        if status_msg.iter().any(|words| words.len() > MAX_STATUS_BYTES) {
            return Err(RoomsError::TooLarge(format!("the status has more than {MAX_STATUS_BYTES} bytes")));
        }
        if self.shared.inbox.set_presence(user_id, device_id, state, status_msg) {
            self.tell_presence(user_id).await?;
        }
        Ok(())
    }

    /// Tells those who share a room with a user, and whose platform shows presence, that the user's has changed. Those
    /// whom the user ignores are not told.
    async fn tell_presence(&self, user_id: &OwnedUserId) -> Result<()> {
        let mut watchers = self.known_people(user_id).await?;
        let shows = |platform: &ruma::ServerName| {
            self.shared.platforms.get(platform).is_some_and(|platform| platform.settings.presence)
        };
        let ignored = self.ignored_users(user_id).await?;
        watchers.retain(|watcher| shows(watcher.server_name()));
        if !ignored.is_empty() {
            let mut wanted = Vec::with_capacity(watchers.len());
            for watcher in watchers {
                if self.ignoring(user_id, &watcher).await? == Ignoring::No {
                    wanted.push(watcher);
                }
            }
            watchers = wanted;
        }
        self.shared.inbox.tell_presence(user_id, &watchers);
        Ok(())
    }

    /// Notes the presence of a device that begins to wait for news. Offline says that it is not to be noted.
    /// <https://spec.matrix.org/v1.19/client-server-api/#get_matrixclientv3sync>
    pub async fn begin_waiting(
        &self,
        user_id: &OwnedUserId,
        device_id: &OwnedDeviceId,
        state: PresenceState,
    ) -> Result<Option<WaitingDevice>> {
        if state == PresenceState::Offline {
            return Ok(None);
        }
        let (waiting, changed) = self.shared.inbox.begin_waiting(user_id, device_id, state);
        if changed {
            self.tell_presence(user_id).await?;
        }
        Ok(Some(waiting))
    }

    /// Makes devices that have said nothing for `quiet`, usually [`QUIET`], count no longer. It is to be
    /// called now and then.
    pub async fn expire_presence(&self, quiet: Duration) -> Result<()> {
        for user_id in self.shared.inbox.expire_presence(quiet) {
            self.tell_presence(&user_id).await?;
        }
        Ok(())
    }

    /// The hosted users who share a room with the user, including the user. They are at most 2,000.
    pub async fn known_people(&self, user_id: &OwnedUserId) -> Result<Vec<OwnedUserId>> {
        let mut people = HashSet::from([user_id.clone()]);
        for room_id in self.joined_rooms(user_id).await? {
            if people.len() >= MAX_WATCHERS {
                break;
            }
            if let Some(room) = self.find_room(&room_id).await? {
                people.extend(self.local_members(&room).await?.iter().cloned());
            }
        }
        Ok(people.into_iter().take(MAX_WATCHERS).collect())
    }
}
