//! Reports of rooms, events and users, for the operators of the reporter's platform.

use linkspan_storage::{
    Position, Range, WriteSet,
    catalogue::{ReportKey, Reports},
    records::ReportRecord,
};
use ruma::{OwnedEventId, OwnedRoomId, OwnedServerName, OwnedUserId};

use crate::{Result, Rooms, RoomsError, read::no_such_event};

/// The longest reason, in bytes.
const MAX_REASON_BYTES: usize = 4_096;

/// What is reported.
#[derive(Clone, Debug)]
pub enum Reported {
    /// A room.
    Room(OwnedRoomId),
    /// An event.
    Event(OwnedRoomId, OwnedEventId),
    /// A user.
    User(OwnedUserId),
}

impl Rooms {
    /// Takes a report.
    pub async fn report(
        &self,
        reporter: &OwnedUserId,
        reported: Reported,
        reason: Option<String>,
        score: Option<i64>,
        now_ts: u64,
    ) -> Result<()> {
        if reason.as_ref().is_some_and(|reason| reason.len() > MAX_REASON_BYTES) {
            return Err(RoomsError::TooLarge(format!("the reason has more than {MAX_REASON_BYTES} bytes")));
        }
        let (room_id, event_id, user_id) = match reported {
            Reported::Room(room_id) => {
                self.room(&room_id).await?;
                (Some(room_id), None, None)
            }
            Reported::Event(room_id, event_id) => {
                let mut view = self.view(reporter, &room_id).await.map_err(|_| no_such_event())?;
                // A user may report what somebody said whom the user ignores.
                self.visible_event(&mut view, &event_id).await?;
                (Some(room_id), Some(event_id), None)
            }
            Reported::User(user_id) => {
                if !self.shared.accounts.is_active(&user_id).await? {
                    return Err(RoomsError::NotFound("there is no such user".into()));
                }
                (None, None, Some(user_id))
            }
        };
        let platform = reporter.server_name().to_owned();
        let record = ReportRecord {
            reporter: reporter.clone(),
            room_id,
            event_id,
            user_id,
            reason,
            score,
            ts: now_ts,
        };
        let mut writes = WriteSet::new();
        writes.put::<Reports>(&ReportKey { platform, position: Position::PENDING }, &record);
        self.store().commit(writes).await?;
        Ok(())
    }

    /// The reports of a platform's users, oldest first.
    pub async fn reports(&self, platform: &OwnedServerName, limit: usize) -> Result<Vec<ReportRecord>> {
        let rows = self.store().range::<Reports>(Range::prefix((platform,)).limit(limit)).await?;
        Ok(rows.into_iter().map(|(_, report)| report).collect())
    }
}
