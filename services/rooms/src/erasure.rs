//! What people said who had their accounts erased: whoever could see it before keeps it, others are given it without
//! its content.
//! <https://spec.matrix.org/v1.19/client-server-api/#post_matrixclientv3accountdeactivate>

use std::sync::Arc;

use linkspan_domain::{Pdu, SharedPdu, parse_content, without_content};
use linkspan_storage::Position;
use ruma::{
    UserId,
    events::{StateEventType, TimelineEventType, room::member::MembershipState},
};
use serde_json::value::to_raw_value;

use crate::{Result, Rooms, TimelineEvent, View, room::damaged};

/// What a membership says of who it is about.
const NAMES: [&str; 2] = ["displayname", "avatar_url"];

impl Rooms {
    /// An event that shows itself to the user, as the user is given it.
    pub(crate) async fn copy_for(&self, view: &mut View, event: &TimelineEvent) -> Result<SharedPdu> {
        if let Some(nameless) = self.nameless(view, &event.pdu)? {
            return Ok(nameless);
        }
        if self.is_whole(view, event).await? {
            return Ok(event.pdu.clone());
        }
        self.without_content(view, &event.pdu)
    }

    pub(crate) fn without_content(&self, view: &View, pdu: &Pdu) -> Result<SharedPdu> {
        let copy = without_content(pdu, &view.room.rules);
        copy.map(Arc::new).map_err(|_| damaged("an event whose content cannot be read"))
    }

    /// A membership of a user whose account was erased, as everybody is given it: without name and picture, whoever had
    /// given it. None of any other event.
    fn nameless(&self, view: &View, pdu: &SharedPdu) -> Result<Option<SharedPdu>> {
        let Some((StateEventType::RoomMember, user_id)) = pdu.state_entry() else { return Ok(None) };
        let user_id = <&UserId>::try_from(user_id.as_str()).ok();
        if user_id.and_then(|user_id| view.erasures.erased_at(user_id)).is_none() {
            return Ok(None);
        }
        if user_id == Some(&pdu.sender) {
            return self.without_content(view, pdu).map(Some);
        }
        let unreadable = |_| damaged("a membership whose content cannot be read");
        let mut content = parse_content(pdu.content.get()).map_err(unreadable)?;
        content.retain(|field, _| !NAMES.contains(&field.as_str()));
        let content = to_raw_value(&content).map_err(|_| damaged("a membership that cannot be written"))?;
        Ok(Some(Arc::new(Pdu { content, ..(**pdu).clone() })))
    }

    /// State events as the user is given them; without those that the rule of the user's platform hides.
    pub async fn state_for(&self, view: &mut View, state: Vec<SharedPdu>) -> Result<Vec<SharedPdu>> {
        let mut copies = Vec::with_capacity(state.len());
        for pdu in state {
            if view.hides(&pdu) {
                continue;
            }
            if let Some(nameless) = self.nameless(view, &pdu)? {
                copies.push(nameless);
                continue;
            }
            let event = match view.erasures.erased_at(&pdu.sender) {
                Some(_) if is_personal(&pdu) => self.any_event(&view.room.id, &pdu.event_id).await?,
                _ => None,
            };
            copies.push(match event {
                Some(event) => self.copy_for(view, &event).await?,
                None => pdu,
            });
        }
        Ok(copies)
    }

    /// Whether the user is given an event with its content. Else it relates to no other event any more.
    pub(crate) async fn is_whole(&self, view: &mut View, event: &TimelineEvent) -> Result<bool> {
        let Some(erased_at) = view.erasures.erased_at(&event.pdu.sender) else { return Ok(true) };
        if !is_personal(&event.pdu) {
            return Ok(true);
        }
        let until = match view.whole_until.get(&event.pdu.sender) {
            Some(until) => *until,
            None => {
                let until = self.last_joined(view, erased_at).await?;
                view.whole_until.insert(event.pdu.sender.clone(), until);
                until
            }
        };
        // What is hidden has no place in the timeline: its is 0.
        Ok(until > 0 && event.seq <= until)
    }

    /// The last place, up to a position in the order of commits, at which the user was joined; 0 if there is none.
    async fn last_joined(&self, view: &View, position: Position) -> Result<i64> {
        let room = &view.room;
        let seq = self.seq_at(&room.id, position).await?;
        let newest = self.timeline_back(&room.id, seq, 0, 1).await?;
        let Some(newest) = newest.first().filter(|_| !view.is_forgotten()) else { return Ok(0) };
        let kind = StateEventType::RoomMember;
        let user_id = &view.user_id;
        let member = self.state_entry_in(&room.id, newest.state_after, &kind, user_id.as_str()).await?;
        let member = match member {
            Some(event_id) => self.any_event(&room.id, &event_id).await?,
            None => None,
        };
        match member {
            Some(member) if member.pdu.membership() == Some(MembershipState::Join) => Ok(seq),
            Some(member) => {
                let left = self.last_left(room, user_id, &member).await?;
                Ok(left.map_or(0, |left| left.seq))
            }
            None => Ok(0),
        }
    }
}

/// Whether an event is about its sender: a message or a membership. Other state is the room's: without it, those who
/// come later would find the room without its name or, worse, take it for one that is not encrypted.
fn is_personal(pdu: &Pdu) -> bool {
    pdu.state_key.is_none() || pdu.event_type == TimelineEventType::RoomMember
}
