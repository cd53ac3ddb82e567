//! Removing an alias of a room, and its name from what the room calls itself.
//! <https://spec.matrix.org/v1.19/client-server-api/#delete_matrixclientv3directoryroomroomalias>

use linkspan_accounts::{AccountsError, Amount, Counted};
use linkspan_domain::{Draft, parse_content};
use ruma::{
    CanonicalJsonObject, CanonicalJsonValue, OwnedRoomAliasId, OwnedUserId, RoomAliasId,
    events::{StateEventType, TimelineEventType, room::member::MembershipState},
};

use crate::{Result, Rooms, RoomsError, append::Append, membership::not_in_room, policy::Consulted};

impl Rooms {
    /// Removes an alias: who made it, or who may set the room's canonical alias. In the same commit the room ceases
    /// to call itself by it, if the user may change that.
    pub async fn delete_alias(
        &self,
        user_id: &OwnedUserId,
        admin: bool,
        alias: &OwnedRoomAliasId,
        now_ts: u64,
    ) -> Result<()> {
        if alias.server_name() != user_id.server_name() {
            return Err(RoomsError::Forbidden("aliases can be removed on your own platform only".into()));
        }
        let delete = async |consulted| self.delete_alias_once(user_id, admin, alias, consulted, now_ts).await;
        self.consulting(now_ts, delete).await
    }

    async fn delete_alias_once(
        &self,
        user_id: &OwnedUserId,
        admin: bool,
        alias: &OwnedRoomAliasId,
        consulted: Consulted,
        now_ts: u64,
    ) -> Result<()> {
        let record = self.shared.directory.resolve_alias(alias).await?;
        let record = record.ok_or_else(|| RoomsError::NotFound(format!("there is no room {alias}")))?;
        let mut append = self.begin(&self.room(&record.room_id).await?, now_ts).await?;
        append.consulted = consulted;
        if record.creator != *user_id && !admin {
            check_may_remove(&mut append, user_id).await?;
        }
        self.shared.directory.delete_alias(&mut append.writes, alias).await?;
        let (accounts, creator) = (&self.shared.accounts, &record.creator);
        accounts
            .count_stored(&mut append.writes, creator, Counted::Aliases, Amount::ONE, Amount::NONE)
            .await?;
        stage_without_alias(&mut append, user_id, alias).await?;
        append.commit().await?;
        Ok(())
    }
}

async fn check_may_remove(append: &mut Append, user_id: &OwnedUserId) -> Result<()> {
    if append.membership(user_id).await? != Some(MembershipState::Join) {
        return Err(not_in_room());
    }
    let levels = append.power_levels().await?;
    if levels.user(user_id) < levels.needed_for_event("m.room.canonical_alias", true) {
        return Err(RoomsError::Forbidden("you may not remove this alias".into()));
    }
    Ok(())
}

/// Takes an alias out of the room's canonical alias. Who may remove the alias need not be allowed that.
async fn stage_without_alias(append: &mut Append, user_id: &OwnedUserId, alias: &RoomAliasId) -> Result<()> {
    let current = append.state_event(&StateEventType::RoomCanonicalAlias, "").await?;
    let content = current.and_then(|event| parse_content(event.content.get()).ok());
    let Some(content) = content.and_then(|content| without_alias(content, alias)) else { return Ok(()) };
    let draft = Draft::state(TimelineEventType::RoomCanonicalAlias, "", content);
    match append.stage(user_id, draft, None).await {
        Err(
            RoomsError::Forbidden(_)
            | RoomsError::Unanswered
            | RoomsError::PolicyRefused { .. }
            | RoomsError::Accounts(AccountsError::Suspended),
        ) => Ok(()),
        staged => staged.map(|_| ()),
    }
}

/// The content of a canonical alias with an alias taken out; None if it does not name it.
fn without_alias(mut content: CanonicalJsonObject, alias: &RoomAliasId) -> Option<CanonicalJsonObject> {
    let is_it = |named: &CanonicalJsonValue| named.as_str() == Some(alias.as_str());
    let is_main = content.get("alias").is_some_and(is_it);
    if is_main {
        content.remove("alias");
    }
    let Some(CanonicalJsonValue::Array(others)) = content.get_mut("alt_aliases") else {
        return is_main.then_some(content);
    };
    let count = others.len();
    others.retain(|other| !is_it(other));
    let is_other = others.len() < count;
    if others.is_empty() {
        content.remove("alt_aliases");
    }
    (is_main || is_other).then_some(content)
}
