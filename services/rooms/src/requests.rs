//! Message requests: invitations that wait until the user has looked at them. A user reads what is said in
//! the room before answering, and whoever has invited notices nothing of that, nor of a request that is
//! deleted: to them the invitation is still waiting.

use linkspan_inbox::point;
use linkspan_storage::{
    Position, Stamped, WriteSet,
    catalogue::{Memberships, UserRoomKey},
    records::{InboxPointer, MembershipRecord},
};
use ruma::{OwnedRoomId, OwnedUserId, events::room::member::MembershipState};
use serde_json::value::RawValue;

use crate::{EventFilter, Reader, Result, Rooms, RoomsError};

/// The most events that are shown of a room before its request is answered.
pub const MAX_PREVIEW: usize = 50;

/// An invitation that waits to be answered.
#[derive(Clone, Debug)]
pub struct MessageRequest {
    /// The room.
    pub room_id: OwnedRoomId,
    /// Who has invited the user.
    pub sender: OwnedUserId,
    /// Whether it is to a direct chat.
    pub is_direct: bool,
    /// What is shown of the room to those who are invited: stripped state events, JSON.
    pub stripped_state: Vec<String>,
    /// When the invitation came, in the order of commits.
    pub position: Position,
}

impl Rooms {
    /// The requests of a hosted user that came before a position, the newest first, and no more than `limit`.
    pub async fn list_requests(
        &self,
        user_id: &OwnedUserId,
        before: Position,
        limit: usize,
    ) -> Result<Vec<MessageRequest>> {
        let mut waiting = Vec::new();
        for (room_id, stored) in self.memberships(user_id).await? {
            if stored.position < before && self.is_waiting(user_id, &stored.value).await? {
                waiting.push((room_id, stored));
            }
        }
        waiting.sort_by_key(|(_, stored)| std::cmp::Reverse(stored.position));
        let request = |(room_id, stored): (OwnedRoomId, Stamped<MembershipRecord>)| MessageRequest {
            room_id,
            position: stored.position,
            is_direct: stored.value.is_direct,
            sender: stored.value.sender,
            stripped_state: stored.value.stripped_state,
        };
        Ok(waiting.into_iter().take(limit).map(request).collect())
    }

    /// What was said last in the room of a request, the newest first and at most [`MAX_PREVIEW`] events, as
    /// the user would see it after joining.
    pub async fn preview_request(
        &self,
        user_id: &OwnedUserId,
        room_id: &OwnedRoomId,
        limit: usize,
        reader: Reader<'_>,
    ) -> Result<Vec<Box<RawValue>>> {
        self.request(user_id, room_id).await?;
        let mut view = self.view_if_joined(user_id, room_id).await?;
        let (limit, everything) = (limit.min(MAX_PREVIEW), EventFilter::default());
        let page = self.messages(&mut view, None, None, false, limit, &everything).await?;
        self.render_all(&mut view, &page.events, reader).await
    }

    /// Accepts a request: joins, and notes a direct chat as one.
    pub async fn accept_request(
        &self,
        user_id: &OwnedUserId,
        room_id: &OwnedRoomId,
        now_ts: u64,
    ) -> Result<()> {
        self.again(async || {
            let request = self.request(user_id, room_id).await?.value;
            let room = self.room(room_id).await?;
            let mut append = self.begin(&room, now_ts).await?;
            if append.membership(user_id).await? != Some(MembershipState::Invite) {
                return Err(no_request());
            }
            self.stage_membership(&mut append, user_id, user_id, MembershipState::Join, None).await?;
            if request.is_direct {
                let accounts = &self.shared.accounts;
                accounts.add_direct_chat(&mut append.writes, user_id, &request.sender, room_id).await?;
            }
            append.commit().await?;
            Ok(())
        })
        .await
    }

    /// Deletes a request. Its sender does not learn of it; the user stays invited.
    pub async fn delete_request(&self, user_id: &OwnedUserId, room_id: &OwnedRoomId) -> Result<()> {
        self.store()
            .update(async || {
                let mut writes = WriteSet::new();
                self.put_deleted(&mut writes, user_id, room_id).await?;
                Ok::<_, RoomsError>((writes, ()))
            })
            .await
    }

    /// Deletes a request, and has the user ignore its sender from now on.
    pub async fn block_request(&self, user_id: &OwnedUserId, room_id: &OwnedRoomId) -> Result<()> {
        self.store()
            .update(async || {
                let mut writes = WriteSet::new();
                let sender = self.put_deleted(&mut writes, user_id, room_id).await?;
                self.shared.accounts.put_ignored(&mut writes, user_id, &sender, true).await?;
                Ok::<_, RoomsError>((writes, ()))
            })
            .await
    }

    /// Deletes a request in `writes`; returns who sent it.
    async fn put_deleted(
        &self,
        writes: &mut WriteSet,
        user_id: &OwnedUserId,
        room_id: &OwnedRoomId,
    ) -> Result<OwnedUserId> {
        let key = UserRoomKey { user_id: user_id.clone(), room_id: room_id.clone() };
        let stored = self.request(user_id, room_id).await?;
        writes.expect::<Memberships>(&key, &stored);
        let deleted = MembershipRecord { is_hidden: true, ..stored.value };
        let sender = deleted.sender.clone();
        writes.put::<Memberships>(&key, &Stamped::pending(deleted));
        point(writes, user_id, InboxPointer::Room(room_id.clone()));
        Ok(sender)
    }

    async fn request(
        &self,
        user_id: &OwnedUserId,
        room_id: &OwnedRoomId,
    ) -> Result<Stamped<MembershipRecord>> {
        let key = UserRoomKey { user_id: user_id.clone(), room_id: room_id.clone() };
        let stored = self.store().get::<Memberships>(&key).await?.ok_or_else(no_request)?;
        if self.is_waiting(user_id, &stored.value).await? { Ok(stored) } else { Err(no_request()) }
    }

    async fn is_waiting(&self, user_id: &OwnedUserId, record: &MembershipRecord) -> Result<bool> {
        let is_request = record.membership == MembershipState::Invite && record.is_request;
        Ok(is_request && !self.hides_invitation(user_id, record).await?)
    }
}

fn no_request() -> RoomsError {
    RoomsError::NotFound("there is no such request".into())
}
