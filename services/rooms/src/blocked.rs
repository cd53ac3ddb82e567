//! What a user keeps from those whom the user ignores, besides what the user does not want to hear of them:
//! presence, and, in a room of the two alone, how far the user has read, that the user types, and a changed
//! profile. None of it says that they are ignored: somebody may be away, and read privately. Whoever compares
//! the name in such a room with the profile may guess it.
//!
//! Whoever is linked with somebody whom the user ignores is kept away, too. The user must not learn by it who is
//! linked with whom, not even by ignoring one and looking what becomes of the other. So what the user can see by
//! now stays as it is, and what comes anew is kept away for good where nobody else would tell the user of it
//! (docs/decisions/0018-linked-accounts.md).

use std::sync::Arc;

use linkspan_accounts::MAX_LINKED;
use linkspan_domain::SharedPdu;
use linkspan_storage::records::AccountLinksRecord;
use ruma::{OwnedUserId, UserId};

use crate::{Result, Room, Rooms, append::Append};

/// With how many accounts two people can be in a room.
const MOST_OF_TWO: u64 = 2 * MAX_LINKED as u64;

/// How a user ignores another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ignoring {
    /// The user does not.
    No,
    /// The other is on the user's list.
    ByList,
    /// An account that is linked with the other's is on the user's list.
    ByLink,
}

impl Rooms {
    /// How a hosted user ignores another.
    pub(crate) async fn ignoring(&self, user_id: &OwnedUserId, other: &OwnedUserId) -> Result<Ignoring> {
        let ignored = self.ignored_users(user_id).await?;
        if ignored.is_empty() {
            return Ok(Ignoring::No);
        }
        if ignored.contains(other) {
            return Ok(Ignoring::ByList);
        }
        let links = self.shared.accounts.account_links(other).await?;
        let linked = links.iter().flat_map(|links| &links.others);
        // People do not ignore themselves.
        let is_other_person = linked.clone().all(|(account, _)| account != user_id);
        match is_other_person && linked.clone().any(|(account, _)| ignored.contains(account)) {
            true => Ok(Ignoring::ByLink),
            false => Ok(Ignoring::No),
        }
    }

    /// Whether a hosted user ignores somebody, or an account that is linked with theirs.
    pub async fn turns_away(&self, user_id: &OwnedUserId, other: &OwnedUserId) -> Result<bool> {
        Ok(self.ignoring(user_id, other).await? != Ignoring::No)
    }

    /// How a user ignores the only other member of a room; not at all if there are more.
    pub(crate) async fn ignoring_alone(&self, user_id: &OwnedUserId, room: &Room) -> Result<Ignoring> {
        if self.ignored_users(user_id).await?.is_empty() {
            return Ok(Ignoring::No);
        }
        // Whoever is only invited makes no company: anybody can be invited, also somebody who is not there.
        let joined = self.head(&room.id).await?.map_or(0, |head| head.joined);
        let members = if joined <= MOST_OF_TWO { self.local_members(room).await? } else { Arc::default() };
        match self.others_of_two(user_id, &members).await? {
            Some(other) => self.ignoring(user_id, &other).await,
            None => Ok(Ignoring::No),
        }
    }

    /// An account of the only other person among the members of a room; None if there are more people. Somebody may be
    /// there with several accounts.
    async fn others_of_two(
        &self,
        user_id: &OwnedUserId,
        members: &[OwnedUserId],
    ) -> Result<Option<OwnedUserId>> {
        let mut others: Vec<_> = members.iter().filter(|member| *member != user_id).collect();
        if others.len() > 1 {
            let own = self.shared.accounts.account_links(user_id).await?;
            others.retain(|other| !is_linked(own.as_deref(), other));
        }
        let Some((first, rest)) = others.split_first() else { return Ok(None) };
        if rest.is_empty() {
            return Ok(Some((*first).clone()));
        }
        let theirs = self.shared.accounts.account_links(first).await?;
        let is_one = rest.iter().all(|other| is_linked(theirs.as_deref(), other));
        Ok(is_one.then(|| (*first).clone()))
    }

    /// Whether a user is in a room with nobody but somebody who is on the user's list.
    pub(crate) async fn is_alone_with_ignored(&self, user_id: &OwnedUserId, room: &Room) -> Result<bool> {
        Ok(self.ignoring_alone(user_id, room).await? == Ignoring::ByList)
    }

    /// Whether the presence of a hosted user is kept from another, because one of them ignores the other. Who looks
    /// would see it change with the own list, so there only the list counts.
    pub async fn hides_presence(&self, of: &OwnedUserId, reader: &OwnedUserId) -> Result<bool> {
        let looks_away = self.ignored_users(reader).await?.contains::<UserId>(of);
        Ok(looks_away || self.ignoring(of, reader).await? != Ignoring::No)
    }
}

impl Append {
    /// Marks what somebody says to a user alone whose list has an account that is linked with the sender's: the user
    /// never sees it, also if the list changes.
    pub(super) async fn withheld_if_unwanted(&self, pdu: SharedPdu) -> Result<SharedPdu> {
        let may_be_two = self.members.len() as u64 == self.head.joined && self.head.joined <= MOST_OF_TWO;
        if !may_be_two || pdu.state_key.is_some() {
            return Ok(pdu);
        }
        // Hardly anybody has linked accounts.
        if self.rooms.shared.accounts.account_links(&pdu.sender).await?.is_none() {
            return Ok(pdu);
        }
        let Some(reader) = self.rooms.others_of_two(&pdu.sender, &self.members).await? else {
            return Ok(pdu);
        };
        if self.rooms.ignoring(&reader, &pdu.sender).await? != Ignoring::ByLink {
            return Ok(pdu);
        }
        let mut withheld = (*pdu).clone();
        withheld.withheld = true;
        Ok(Arc::new(withheld))
    }
}

/// Whether an account is among those that are linked with somebody's.
fn is_linked(links: Option<&AccountLinksRecord>, account: &UserId) -> bool {
    links.is_some_and(|links| links.others.iter().any(|(linked, _)| linked == account))
}
