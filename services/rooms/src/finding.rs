//! Who may find hosted users, and who may know of them at all: what the users have chosen (services/contacts), asked
//! with whom they ignore and with whom they share a room.
//!
//! Everything that a decision can depend on is looked at each time, also where the person is not there. So nobody
//! tells by the time who is hidden and who is missing.

use std::{
    collections::BTreeSet,
    hash::{DefaultHasher, Hash, Hasher},
};

use linkspan_accounts::{AccountsError, Profile};
use linkspan_domain::{Finder, FoundBy, may_find};
use linkspan_platforms::Identity;
use ruma::{OwnedUserId, ServerName, events::room::member::MembershipState};

use crate::{Result, Rooms, membership::is_present};

/// How many people are looked for one by one among those whom somebody has met.
const FEW: usize = 8;

/// A user id that nobody has, the same each time that an address is looked for. Like a person it is read from disk at
/// first, and kept in memory then.
pub fn stand_in(platform: &ServerName, address: &str) -> OwnedUserId {
    let mut hasher = DefaultHasher::new();
    address.hash(&mut hasher);
    let user_id = format!("@nobody-{:x}:{platform}", hasher.finish());
    user_id.try_into().expect("these are characters of a user id")
}

impl Rooms {
    /// Whether somebody may find a user by this. `finder` is None for people who have not logged in: these are
    /// strangers from elsewhere.
    pub async fn may_find(
        &self,
        user_id: &OwnedUserId,
        finder: Option<&OwnedUserId>,
        by: FoundBy,
    ) -> Result<bool> {
        let audience = self.shared.contacts.choices(user_id).await?.audience(by);
        Ok(may_find(audience, self.standing(user_id, finder).await?))
    }

    /// Whether somebody may know that a user is there, and what the user is called. So may those who can find the
    /// user by name or handle or, where the user id tells nothing, by number; the user's contacts; and all who are
    /// in a room with the user, or are invited to one.
    ///
    /// That somebody has invited the user, or has the user as a contact, is not enough: both can be done by whoever
    /// only tries out whether there is such a user.
    pub async fn may_see_profile(&self, user_id: &OwnedUserId, finder: Option<&OwnedUserId>) -> Result<bool> {
        if self.shows_itself(user_id, finder).await? {
            return Ok(true);
        }
        match finder {
            Some(finder) => self.has_met(finder, user_id).await,
            None => Ok(false),
        }
    }

    /// Those of some users whom somebody of a hosted platform may know of. It says the same as asking about each of
    /// them, but looks at the rooms once: who asks names thousands.
    pub async fn known_among(
        &self,
        user_ids: impl IntoIterator<Item = &OwnedUserId>,
        finder: &OwnedUserId,
    ) -> Result<BTreeSet<OwnedUserId>> {
        let (mut known, mut others) = (BTreeSet::new(), BTreeSet::new());
        for user_id in user_ids {
            let is_shown = self.shows_itself(user_id, Some(finder)).await?;
            if is_shown { &mut known } else { &mut others }.insert(user_id.clone());
        }
        if others.len() <= FEW {
            for user_id in others {
                if self.has_met(finder, &user_id).await? {
                    known.insert(user_id);
                }
            }
            return Ok(known);
        }
        for (room_id, stored) in self.memberships(finder).await? {
            if is_present(&stored.value.membership)
                && let Some(room) = self.find_room(&room_id).await?
            {
                let members = self.local_members(&room).await?;
                known.extend(members.iter().filter(|member| others.contains(*member)).cloned());
            }
        }
        Ok(known)
    }

    /// Whether somebody may know of a user whatever rooms the two are in.
    async fn shows_itself(&self, user_id: &OwnedUserId, finder: Option<&OwnedUserId>) -> Result<bool> {
        if finder == Some(user_id) {
            return Ok(true);
        }
        let choices = self.shared.contacts.choices(user_id).await?;
        let standing = self.standing(user_id, finder).await?;
        let is_there = self.shared.accounts.is_active(user_id).await?;
        let platform = self.shared.platforms.get(user_id.server_name());
        let is_opaque = platform.is_some_and(|platform| platform.settings.identity == Identity::Phone);
        let finds = |by| may_find(choices.audience(by), standing);
        let is_findable =
            finds(FoundBy::Name) || finds(FoundBy::Handle) || (is_opaque && finds(FoundBy::Phone));
        let is_known = standing.is_contact && !standing.is_blocked;
        let links = self.shared.accounts.account_links(user_id).await?;
        let is_own = |(account, _): &(OwnedUserId, u64)| Some(account) == finder;
        let is_own = links.is_some_and(|links| links.others.iter().any(is_own));
        Ok(is_there && (is_findable || is_known || is_own))
    }

    /// The profile of a user, for those who may see it. To all others there is no such user.
    pub async fn profile_for(&self, user_id: &OwnedUserId, finder: Option<&OwnedUserId>) -> Result<Profile> {
        if !self.may_see_profile(user_id, finder).await? {
            return Err(AccountsError::NotFound("user").into());
        }
        Ok(self.shared.accounts.public_profile(user_id).await?)
    }

    /// How somebody stands to a user. Guests have proved nothing, so they are strangers on their own platform, too.
    async fn standing(&self, user_id: &OwnedUserId, finder: Option<&OwnedUserId>) -> Result<Finder> {
        let Some(finder) = finder else {
            return Ok(Finder { is_contact: false, is_on_platform: false, is_blocked: false });
        };
        let is_neighbour = user_id.server_name() == finder.server_name();
        Ok(Finder {
            is_contact: self.shared.contacts.is_contact(user_id, finder).await?,
            is_on_platform: is_neighbour && !self.shared.accounts.is_guest(finder).await?,
            is_blocked: self.turns_away(user_id, finder).await?,
        })
    }

    /// Whether a user is joined to a room that somebody is joined or invited to.
    async fn has_met(&self, somebody: &OwnedUserId, user_id: &OwnedUserId) -> Result<bool> {
        if !self.shared.platforms.hosts(somebody.server_name()) {
            return self.is_member_of_any(somebody, &self.joined_rooms(user_id).await?).await;
        }
        let memberships = self.memberships(somebody).await?;
        let present = memberships.iter().filter(|(_, stored)| is_present(&stored.value.membership));
        let theirs = self.membership_records(user_id, present.map(|(room_id, _)| room_id)).await?;
        let is_joined = theirs.iter().flatten().any(|it| it.value.membership == MembershipState::Join);
        Ok(is_joined)
    }
}
