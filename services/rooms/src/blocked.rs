//! What a user keeps from those whom the user ignores, besides what the user does not want to hear of them:
//! presence, and, in a room of the two alone, how far the user has read, that the user types, and a changed
//! profile. None of it says that they are ignored: somebody may be away, and read privately. Whoever compares
//! the name in such a room with the profile may guess it.

use ruma::{OwnedUserId, UserId};

use crate::{Result, Room, Rooms};

impl Rooms {
    /// Whether a user is in a room with nobody but somebody whom the user ignores.
    pub(crate) async fn is_alone_with_ignored(&self, user_id: &OwnedUserId, room: &Room) -> Result<bool> {
        let ignored = self.ignored_users(user_id).await?;
        if ignored.is_empty() {
            return Ok(false);
        }
        // Whoever is only invited makes no company: anybody can be invited, also somebody who is not there.
        let is_small = self.head(&room.id).await?.is_some_and(|head| head.joined <= 2);
        Ok(is_small && self.local_members(room).await?.iter().any(|member| ignored.contains(member)))
    }

    /// Whether the presence of a hosted user is kept from another, because one of them ignores the other.
    pub async fn hides_presence(&self, of: &OwnedUserId, reader: &OwnedUserId) -> Result<bool> {
        let ignores = async |user_id: &OwnedUserId, other: &UserId| {
            Ok::<_, crate::RoomsError>(self.ignored_users(user_id).await?.contains(other))
        };
        Ok(ignores(of, reader).await? || ignores(reader, of).await?)
    }
}
