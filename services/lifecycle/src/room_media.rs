//! What operators do with the uploads that messages of a room name.

use linkspan_media::MediaTreatment;
use ruma::{OwnedRoomId, OwnedServerName};

use crate::{Result, Services};

/// What one step has done.
#[derive(Debug)]
pub struct RoomMediaStep {
    /// How many uploads were changed.
    pub treated: u64,
    /// The place of the last event that was looked at, if there is more to do.
    pub next: Option<i64>,
}

impl Services {
    /// Does something with the uploads of people of a platform that they have sent to a room unencrypted, one step of it: with
    /// those of the events after the place `after`.
    pub async fn treat_room_media(
        &self,
        platform: &OwnedServerName,
        room_id: &OwnedRoomId,
        treatment: MediaTreatment,
        after: Option<i64>,
    ) -> Result<RoomMediaStep> {
        let found = self.rooms.room_uploads(platform, room_id, after).await?;
        let treated = self.media.treat_media_of(platform, &found.uploads, treatment).await?;
        Ok(RoomMediaStep { treated, next: found.next })
    }
}
