//! Presence: who is told of it are those who share a room.

use std::{collections::HashSet, time::Duration};

use linkspan_inbox::PresenceState;
use ruma::OwnedUserId;

use crate::{Result, Rooms, RoomsError};

/// Users who are told at most.
const MAX_WATCHERS: usize = 2_000;
/// Who has not synced for so long is away.
pub const QUIET: Duration = Duration::from_secs(60);
/// A sync that says what is known says it no more often than this.
const REPEAT_AFTER: Duration = Duration::from_secs(25);

/// The longest status message, in bytes.
const MAX_STATUS_BYTES: usize = 1_024;

impl Rooms {
    /// Sets a user's presence and tells those who share a room and whose platform shows presence.
    /// `status_msg` None keeps the old one.
    pub async fn set_presence(
        &self,
        user_id: &OwnedUserId,
        state: PresenceState,
        status_msg: Option<Option<String>>,
    ) -> Result<()> {
        if status_msg.iter().flatten().any(|words| words.len() > MAX_STATUS_BYTES) {
            return Err(RoomsError::TooLarge(format!("the status has more than {MAX_STATUS_BYTES} bytes")));
        }
        let mut watchers = self.known_people(user_id).await?;
        let shows = |platform: &ruma::ServerName| {
            self.shared.platforms.get(platform).is_some_and(|platform| platform.settings.presence)
        };
        watchers.retain(|watcher| shows(watcher.server_name()));
        self.shared.inbox.set_presence(user_id, state, status_msg, &watchers);
        Ok(())
    }

    /// Notes what a sync says of its user's presence; cheap when that is known.
    pub async fn note_presence(&self, user_id: &OwnedUserId, state: PresenceState) -> Result<()> {
        let known = self.shared.inbox.presence(user_id);
        match known {
            Some(known) if known.state == state && known.last_active_ago < REPEAT_AFTER => Ok(()),
            _ => self.set_presence(user_id, state, None).await,
        }
    }

    /// Shows users as away whose clients have gone without a word for `quiet`, as a rule [`QUIET`]; to be called now
    /// and then.
    pub async fn expire_presence(&self, quiet: Duration) -> Result<()> {
        for user_id in self.shared.inbox.quiet_users(quiet) {
            self.set_presence(&user_id, PresenceState::Offline, None).await?;
        }
        Ok(())
    }

    /// Hosted users who share a room with the user, the user too; at most 2,000.
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
