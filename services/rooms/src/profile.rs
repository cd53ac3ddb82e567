//! What a changed profile means in rooms.

use linkspan_accounts::{AccountsError, HANDLE_FIELD};
use linkspan_inbox::point;
use linkspan_storage::{WriteSet, records::InboxPointer};
use ruma::{
    OwnedRoomId, OwnedUserId,
    events::{StateEventType, room::member::MembershipState},
};
use serde_json::Value;

use crate::{Result, Rooms, RoomsError, append::text};

impl Rooms {
    /// Sets or removes a field of a user's profile; the name and the picture change in all rooms too.
    /// <https://spec.matrix.org/v1.19/client-server-api/#events-on-change-of-profile-information>
    pub async fn set_profile_field(
        &self,
        user_id: &OwnedUserId,
        field: &str,
        value: Option<Value>,
        now_ts: u64,
    ) -> Result<()> {
        self.shared.accounts.check_not_suspended(user_id).await?;
        if field == HANDLE_FIELD {
            return Err(AccountsError::Forbidden("a handle is changed by an endpoint of its own").into());
        }
        self.store()
            .update(async || {
                let mut writes = WriteSet::new();
                let account = self.shared.accounts.expect_active(&mut writes, user_id).await?;
                if field != "displayname" && account.is_some_and(|account| account.guest) {
                    return Err(AccountsError::Guest("guests can set their display name only").into());
                }
                if self.shared.accounts.profile_field(user_id, field).await? == value {
                    return Ok((writes, ()));
                }
                self.shared.accounts.put_profile_field(&mut writes, user_id, field, value.as_ref()).await?;
                if field == "displayname" {
                    let name = value.as_ref().and_then(Value::as_str);
                    self.shared.directory.index_user(&mut writes, user_id, name).await?;
                }
                point(&mut writes, user_id, InboxPointer::Profile(user_id.clone()));
                Ok::<_, RoomsError>((writes, ()))
            })
            .await?;
        // Rooms follow one by one: who asks again, after a stop in between, has the others follow.
        if matches!(field, "displayname" | "avatar_url") {
            for room_id in self.joined_rooms(user_id).await? {
                // A room that does not let the user change does not keep the others from it.
                if let Err(error) = self.update_member(user_id, &room_id, now_ts).await {
                    tracing::info!(%error, %room_id, %user_id, "a room did not take a changed profile");
                }
            }
        }
        Ok(())
    }

    async fn update_member(&self, user_id: &OwnedUserId, room_id: &OwnedRoomId, now_ts: u64) -> Result<()> {
        self.again(async || {
            let room = self.joined_room(user_id, room_id).await?;
            if self.is_alone_with_ignored(user_id, &room).await? {
                return Ok(());
            }
            let mut append = self.begin(&room, now_ts).await?;
            if append.membership(user_id).await? != Some(MembershipState::Join) {
                return append.settle().await;
            }
            let current = append.state_event(&StateEventType::RoomMember, user_id.as_str()).await?;
            let current = current.and_then(|event| linkspan_domain::parse_content(event.content.get()).ok());
            let current = current.unwrap_or_default();
            let mut content = current.clone();
            content.insert("membership".into(), text(MembershipState::Join.as_str()));
            content.remove("reason");
            for field in ["displayname", "avatar_url"] {
                match self.shared.accounts.profile_field(user_id, field).await? {
                    Some(Value::String(value)) => content.insert(field.to_owned(), text(value)),
                    _ => content.remove(field),
                };
            }
            if content == current {
                return append.settle().await;
            }
            // In a restricted room a member who changes no membership needs no authorizer.
            content.remove("join_authorised_via_users_server");
            append.stage_member(user_id, user_id, content).await?;
            append.commit().await?;
            Ok(())
        })
        .await
    }
}
