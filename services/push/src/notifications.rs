//! The list of events that have lately notified a user.
//! <https://spec.matrix.org/v1.19/client-server-api/#get_matrixclientv3notifications>

use std::{collections::BinaryHeap, sync::Arc};

use linkspan_platforms::give_way;
use linkspan_rooms::{RoomsError, TimelineEvent};
use ruma::{OwnedRoomId, OwnedUserId, push::Action};

use crate::{
    Push, PushError, PushEvent, Result, UserContext,
    room_facts::{ReadMarks, RoomFacts},
};

/// The most notifications of a page.
const MAX_LIMIT: usize = 100;
/// The most events that are looked at for a page.
const MAX_SCANNED: usize = 5_000;
/// The most rooms that are looked at.
const MAX_ROOMS: usize = 1_000;

/// An event that has notified a user.
#[derive(Clone, Debug)]
pub struct Notification {
    /// The event.
    pub event: Arc<TimelineEvent>,
    /// The actions of the rule that applied.
    pub actions: Vec<Action>,
    /// Whether the user has read the event.
    pub read: bool,
}

/// Notifications. The newest comes first.
#[derive(Clone, Debug)]
pub struct NotificationPage {
    /// The notifications.
    pub notifications: Vec<Notification>,
    /// The token with which older ones are asked for. None if there are none that can be reached.
    pub next: Option<String>,
}

/// A room that is walked back through. Rooms are ordered by their next event; the newest is the greatest.
struct Walk {
    next: Arc<TimelineEvent>,
    room_id: OwnedRoomId,
    /// The view of the room. It is loaded with the first event that is looked at.
    view: Option<View>,
}

struct View {
    joined_at: i64,
    marks: ReadMarks,
    facts: RoomFacts,
    name: Option<String>,
}

impl Walk {
    fn place(&self) -> (u64, i64) {
        (self.next.position.get(), self.next.seq)
    }
}

impl Ord for Walk {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.place().cmp(&other.place())
    }
}

impl PartialOrd for Walk {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Walk {
    fn eq(&self, other: &Self) -> bool {
        self.place() == other.place()
    }
}

impl Eq for Walk {}

impl Push {
    /// The events that have notified a user, in the rooms that the user is in, by the present rules. The
    /// newest comes first. `from` is `next` of an earlier page.
    pub async fn notifications(
        &self,
        user_id: &OwnedUserId,
        from: Option<&str>,
        limit: usize,
        highlights_only: bool,
    ) -> Result<NotificationPage> {
        let from = from.map(parse_place).transpose()?.unwrap_or((u64::MAX, i64::MAX));
        let limit = limit.clamp(1, MAX_LIMIT);
        let recipient = self.recipient(user_id).await?;
        let rule = self.rooms().encryption_rule(user_id);
        let mut page = NotificationPage { notifications: Vec::new(), next: None };
        let mut walks = self.start_walks(user_id).await?;
        for _ in 0..MAX_SCANNED {
            give_way().await.map_err(RoomsError::from)?;
            let Some(mut walk) = walks.pop() else { break };
            let event = walk.next.clone();
            let place = walk.place();
            if place < from && !rule.is_some_and(|rule| rule.hides(&event.pdu)) {
                if walk.view.is_none() {
                    let name = self.asked_name(&walk.room_id, &recipient).await?;
                    walk.view = self.view_room(user_id, &walk.room_id, name).await?;
                }
                let Some(view) = &walk.view else { continue };
                if event.seq <= view.joined_at {
                    continue;
                }
                let prepared = PushEvent::new(&event.pdu);
                let thread = self.thread_place(&recipient, &event).await?;
                let user = UserContext { name: view.name.as_deref(), subscribed: thread.subscribed };
                let evaluation = recipient.evaluate(&prepared, user, view.facts.context());
                if evaluation.notify && (evaluation.highlight || !highlights_only) {
                    let read = event.seq <= view.marks.of(thread.root.as_deref());
                    let actions = evaluation.actions.to_vec();
                    page.notifications.push(Notification { event: event.clone(), actions, read });
                    if page.notifications.len() == limit {
                        page.next = Some(format!("{}_{}", place.0, place.1));
                        break;
                    }
                }
            }
            let older = self.rooms().timeline_back(&walk.room_id, event.seq - 1, 0, 1).await?;
            if let Some(next) = older.into_iter().next() {
                walks.push(Walk { next, ..walk });
            }
        }
        Ok(page)
    }

    async fn start_walks(&self, user_id: &OwnedUserId) -> Result<BinaryHeap<Walk>> {
        let mut walks = BinaryHeap::new();
        for room_id in self.rooms().joined_rooms(user_id).await?.into_iter().take(MAX_ROOMS) {
            let Some(head) = self.rooms().head(&room_id).await? else { continue };
            let newest = self.rooms().timeline_back(&room_id, head.seq, 0, 1).await?;
            if let Some(next) = newest.into_iter().next() {
                walks.push(Walk { next, room_id, view: None });
            }
        }
        Ok(walks)
    }

    async fn view_room(
        &self,
        user_id: &OwnedUserId,
        room_id: &OwnedRoomId,
        name: Option<String>,
    ) -> Result<Option<View>> {
        let Some(head) = self.rooms().head(room_id).await? else { return Ok(None) };
        Ok(Some(View {
            joined_at: self.joined_at(user_id, room_id).await?,
            marks: self.read_marks(user_id, room_id).await?,
            facts: self.room_facts(room_id, &head).await?,
            name,
        }))
    }
}

fn parse_place(text: &str) -> Result<(u64, i64)> {
    text.split_once('_')
        .and_then(|(position, seq)| Some((position.parse().ok()?, seq.parse().ok()?)))
        .ok_or_else(|| PushError::Invalid("`from` is not a token of this list".into()))
}
