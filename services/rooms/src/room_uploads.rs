//! The uploads that messages of a room name, for operators.
//!
//! What is encrypted names nothing. An upload counts where its message's sender may have uploaded it, which who looks it up has
//! to check: anybody can name the upload of somebody else.

use linkspan_storage::{
    Range,
    catalogue::{Timeline, TimelineKey},
};
use ruma::{MxcUri, OwnedRoomId, OwnedServerName, OwnedUserId, events::TimelineEventType};

use crate::{Result, RoomScope, Rooms, TimelineEvent};

/// Events that are looked at in one step.
const BATCH: usize = 500;
/// The most uploads that are taken from one event.
const MAX_NAMED: usize = 32;

/// The uploads that some events of a room name.
#[derive(Debug, Default, PartialEq)]
pub struct RoomUploads {
    /// The sender of an event, and the id of an upload of the sender's platform.
    pub uploads: Vec<(OwnedUserId, String)>,
    /// The place of the last event that was looked at, if there may be more after it.
    pub next: Option<i64>,
}

impl Rooms {
    /// The uploads of people of a platform that events of a room name: of the events after the place `after`, as many as are
    /// looked at in one step.
    pub async fn room_uploads(
        &self,
        platform: &OwnedServerName,
        room_id: &OwnedRoomId,
        after: Option<i64>,
    ) -> Result<RoomUploads> {
        self.check_in_scope(&RoomScope::Platform(platform.clone()), room_id).await?;
        let last = after.map(|seq| TimelineKey { room_id: room_id.clone(), seq });
        let range = Range::<Timeline>::prefix((room_id,)).after_last(last.as_ref()).limit(BATCH);
        let rows = self.store().range(range).await?;
        let next = rows.last().filter(|_| rows.len() == BATCH).map(|(key, _)| key.seq);
        let mut uploads = Vec::new();
        for (key, stored) in rows {
            let event = TimelineEvent::from_stored(key.seq, stored)?.pdu;
            // Pictures of people are theirs in all rooms.
            if event.sender.server_name() != platform || event.event_type == TimelineEventType::RoomMember {
                continue;
            }
            let named = uploads_in(event.content.get(), platform).into_iter().take(MAX_NAMED);
            uploads.extend(named.map(|media_id| (event.sender.clone(), media_id)));
        }
        Ok(RoomUploads { uploads, next })
    }
}

/// The ids of a platform's uploads that JSON names anywhere.
fn uploads_in(json: &str, platform: &OwnedServerName) -> Vec<String> {
    let named = json.match_indices("mxc://").filter_map(|(at, _)| {
        let uri = json[at..].split(['"', '\\', '?', '#']).next()?;
        let (server_name, media_id) = <&MxcUri>::from(uri).parts().ok()?;
        (server_name == platform).then(|| media_id.to_owned())
    });
    named.collect()
}

#[cfg(test)]
mod tests {
    use ruma::owned_server_name;

    use super::uploads_in;

    #[test]
    fn uploads_are_found_wherever_they_are_named() {
        let json = r#"{"url":"mxc://one.example/abc","info":{"thumbnail_url":"mxc://one.example/def"},
            "formatted_body":"<img src=\"mxc://one.example/ghi\">","other":"mxc://two.example/jkl","bad":"mxc://"}"#;
        assert_eq!(uploads_in(json, &owned_server_name!("one.example")), ["abc", "def", "ghi"]);
    }
}
