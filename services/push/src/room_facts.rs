//! What push needs to know of rooms: up to where each user has read, and what rules ask about a room.

use std::{collections::HashMap, sync::Arc};

use linkspan_domain::PowerLevels;
use linkspan_rooms::{Receipt, Room};
use linkspan_storage::{Position, records::RoomHeadRecord};
use ruma::{
    EventId, OwnedRoomId, OwnedUserId, UserId,
    events::{StateEventType, room::member::MembershipState},
};
use serde::Deserialize;

use crate::{Push, Recipient, Result, RoomContext};

/// How many changes of a profile are looked through for the event by which a user joined.
const MAX_PROFILE_CHANGES: usize = 50;

/// The most threads of a room whose marks are kept in memory. Those of a user who reads more are read from
/// the store each time.
const MAX_KEPT_THREADS: usize = 64;

/// What rules ask about a room, as it is now.
#[derive(Clone, Debug)]
pub(crate) struct RoomFacts {
    member_count: u64,
    power_levels: Arc<PowerLevels>,
}

impl RoomFacts {
    pub(crate) fn context(&self) -> RoomContext<'_> {
        RoomContext { member_count: self.member_count, power_levels: &self.power_levels }
    }

    /// Whether only two people are there.
    pub(crate) fn is_direct(&self) -> bool {
        self.member_count <= 2
    }
}

/// Up to where a user has read a room, by receipts. All fields are places in the timeline.
/// <https://spec.matrix.org/v1.19/client-server-api/#threaded-read-receipts>
#[derive(Debug, Default)]
pub(crate) struct ReadMarks {
    /// Everything up to this place is read, in threads too.
    pub(crate) unthreaded: i64,
    main: i64,
    threads: HashMap<String, i64>,
}

impl ReadMarks {
    /// Whether there are so few marks that they are kept in memory.
    pub(crate) fn are_few(&self) -> bool {
        self.threads.len() <= MAX_KEPT_THREADS
    }

    fn of_receipts(receipts: Vec<Receipt>) -> Self {
        let mut marks = Self::default();
        for receipt in receipts {
            let mark = match receipt.thread.as_str() {
                "" => &mut marks.unthreaded,
                "main" => &mut marks.main,
                _ => marks.threads.entry(receipt.thread).or_default(),
            };
            *mark = receipt.seq.max(*mark);
        }
        marks
    }

    /// The place up to which a thread is read, or with None the main timeline.
    pub(crate) fn of(&self, thread: Option<&EventId>) -> i64 {
        let own = match thread {
            None => self.main,
            Some(root) => self.threads.get(root.as_str()).copied().unwrap_or(0),
        };
        own.max(self.unthreaded)
    }
}

#[derive(Deserialize)]
struct Named {
    displayname: Option<String>,
}

impl Push {
    pub(crate) async fn room_facts(&self, room_id: &OwnedRoomId, head: &RoomHeadRecord) -> Result<RoomFacts> {
        let room = self.rooms().room(room_id).await?;
        let power_levels = self.rooms().power_levels(&room).await?;
        Ok(RoomFacts { member_count: head.joined, power_levels })
    }

    /// The display name of a user in a room.
    pub(crate) async fn display_name(
        &self,
        room_id: &OwnedRoomId,
        user_id: &UserId,
    ) -> Result<Option<String>> {
        let member = self.rooms().state_event(room_id, &StateEventType::RoomMember, user_id.as_str()).await?;
        Ok(member.and_then(|event| event.content_as::<Named>()?.displayname))
    }

    /// The display name of a user in a room, if the user's rules ask for it.
    pub(crate) async fn asked_name(
        &self,
        room_id: &OwnedRoomId,
        recipient: &Recipient,
    ) -> Result<Option<String>> {
        match recipient.rules.asks_display_name {
            true => self.display_name(room_id, &recipient.user_id).await,
            false => Ok(None),
        }
    }

    pub(crate) async fn read_marks(&self, user_id: &OwnedUserId, room_id: &OwnedRoomId) -> Result<ReadMarks> {
        Ok(ReadMarks::of_receipts(self.rooms().own_receipts(user_id, room_id).await?))
    }

    /// The same, with the position in the order of commits up to which they are known.
    pub(crate) async fn read_marks_until(
        &self,
        user_id: &OwnedUserId,
        room: &Room,
    ) -> Result<(Position, Arc<ReadMarks>)> {
        let (receipts, until) = self.rooms().own_receipts_until(user_id, room).await?;
        Ok((until, Arc::new(ReadMarks::of_receipts(receipts))))
    }

    /// The place of the event by which a user, who is in the room, joined it.
    pub(crate) async fn joined_at(&self, user_id: &OwnedUserId, room_id: &OwnedRoomId) -> Result<i64> {
        let Some(member) = self.rooms().membership_record(user_id, room_id).await? else { return Ok(0) };
        let mut seq = member.value.seq;
        for _ in 0..MAX_PROFILE_CHANGES {
            let Some(event) = self.rooms().event_at(room_id, seq).await? else { break };
            let before = self
                .rooms()
                .state_event_in(room_id, event.state_before, &StateEventType::RoomMember, user_id.as_str())
                .await?;
            let Some(before) = before.filter(|before| before.membership() == Some(MembershipState::Join))
            else {
                break;
            };
            let Some(before) = self.rooms().event(room_id, &before.event_id).await? else { break };
            seq = before.seq;
        }
        Ok(seq)
    }
}
