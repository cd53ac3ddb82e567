//! Finding the one person on each platform who has just this handle, number or address.

use linkspan_accounts::{ThirdPartyId, found_by};
use linkspan_domain::FoundBy;
use linkspan_platforms::{Identity, Platform};
use linkspan_rooms::stand_in;
use ruma::{OwnedUserId, ServerName, UserId};

use crate::{Finding, FoundPerson, Result};

/// What somebody knows of the person who is looked for.
#[derive(Clone, Debug)]
pub enum Wanted {
    /// A handle or a user name.
    Handle(String),
    /// A number or an e-mail address.
    Address(ThirdPartyId),
}

impl Finding {
    /// The people of all platforms who have this and whom the finder may find by it, those of the finder's platform
    /// first. A number or an address counts for the finder as one that is evaluated for matching, so that nobody can
    /// walk through all of them.
    pub async fn find(&self, finder: &OwnedUserId, wanted: &Wanted, now_ts: u64) -> Result<Vec<FoundPerson>> {
        let found = self.owners(finder, wanted, now_ts).await?;
        self.show(found).await
    }

    pub(crate) async fn owners(
        &self,
        finder: &OwnedUserId,
        wanted: &Wanted,
        now_ts: u64,
    ) -> Result<Vec<OwnedUserId>> {
        if let Wanted::Address(_) = wanted {
            self.matching.count_address(finder, now_ts).await?;
        }
        let own = self.platforms.get(finder.server_name());
        let others = self.platforms.iter().filter(|it| it.server_name() != finder.server_name());
        let mut found = Vec::new();
        for platform in own.into_iter().chain(others) {
            found.extend(match wanted {
                Wanted::Handle(handle) => self.owner_of_handle(finder, &platform, handle).await?,
                Wanted::Address(id) => self.owner_of_address(finder, &platform, id).await?,
            });
        }
        Ok(found)
    }

    /// The user of a platform who has a handle there, if the finder may find them by it.
    pub async fn resolve_handle(
        &self,
        finder: &OwnedUserId,
        platform: &ServerName,
        handle: &str,
    ) -> Result<Option<OwnedUserId>> {
        let platform = self.platforms.get(platform);
        match platform.filter(|platform| platform.settings.identity == Identity::Handle) {
            Some(platform) => self.owner_of_handle(finder, &platform, handle).await,
            None => Ok(None),
        }
    }

    /// The user of a platform who has a handle or, where people have accounts, a user name.
    async fn owner_of_handle(
        &self,
        finder: &OwnedUserId,
        platform: &Platform,
        handle: &str,
    ) -> Result<Option<OwnedUserId>> {
        let name = handle.strip_prefix('@').unwrap_or(handle).to_lowercase();
        let Ok(named) = UserId::parse(format!("@{name}:{}", platform.server_name())) else { return Ok(None) };
        let owner = match platform.settings.identity {
            Identity::Handle => self.accounts.owner_of_handle(platform.server_name(), handle).await?,
            Identity::Account => Some(named.clone()),
            Identity::Phone => None,
        };
        self.as_seen_by(finder, owner, named, FoundBy::Handle).await
    }

    async fn owner_of_address(
        &self,
        finder: &OwnedUserId,
        platform: &Platform,
        id: &ThirdPartyId,
    ) -> Result<Option<OwnedUserId>> {
        let owner = self.accounts.owner_of(platform.server_name(), id).await?;
        self.as_seen_by(finder, owner, stand_in(platform.server_name(), id.address()), found_by(id.medium()))
            .await
    }

    /// The owner, if there is one whom the finder may find. Where there is none, as much is read of a stand-in.
    async fn as_seen_by(
        &self,
        finder: &OwnedUserId,
        owner: Option<OwnedUserId>,
        stand_in: OwnedUserId,
        by: FoundBy,
    ) -> Result<Option<OwnedUserId>> {
        let person = owner.clone().unwrap_or(stand_in);
        let may_find = self.rooms.may_find(&person, Some(finder), by).await?;
        let is_active = self.accounts.is_active(&person).await?;
        Ok(owner.filter(|_| may_find && is_active))
    }
}
