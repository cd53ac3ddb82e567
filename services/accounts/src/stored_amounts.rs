//! How much each person has stored of what would cost too much to count each time: a number is kept of it, and written
//! together with what it counts.
//!
//! All that people can pile up, and what bounds it, stands in docs/quotas.md.

use std::ops::AddAssign;

use linkspan_storage::{
    WriteSet,
    catalogue::{StoredAmounts, UserNameKey},
    records::StoredAmountRecord,
};
use ruma::OwnedUserId;

use crate::{Accounts, AccountsError};

/// The greatest number of entries of account data of a user in all. A room has one or two.
const MAX_ACCOUNT_DATA: u64 = 50_000;
/// The bytes of account data of a user whose platform sets no other bound. A whole sync brings all of them.
const ACCOUNT_DATA_BYTES: u64 = 10 << 20;
/// The greatest number of aliases that one user has set. Few have more than a dozen; bridges have one for each room.
const MAX_ALIASES: u64 = 1_000;
/// The greatest number of rooms of one creator that are listed. A platform shows 10,000 in all, which shall not be one
/// person's.
const MAX_PUBLISHED: u64 = 500;

/// What is counted of a user.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Counted {
    /// Account data: entries, and bytes of types and contents. What the server keeps there itself is not counted.
    AccountData,
    /// Room aliases that the user has set.
    Aliases,
    /// Listings of rooms that the user has created.
    PublishedRooms,
    /// Threads to which the user has subscribed, or has not any more.
    ThreadSubscriptions,
}

impl Counted {
    fn name(self) -> &'static str {
        match self {
            Self::AccountData => "account_data",
            Self::Aliases => "aliases",
            Self::PublishedRooms => "published_rooms",
            Self::ThreadSubscriptions => "thread_subscriptions",
        }
    }

    /// What a user who has too much is told to have too much of.
    fn words(self) -> &'static str {
        match self {
            Self::AccountData => "entries or bytes of account data",
            Self::Aliases => "aliases",
            Self::PublishedRooms => "listed rooms",
            Self::ThreadSubscriptions => "thread subscriptions",
        }
    }
}

/// How much there is of something.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Amount {
    /// How many there are.
    pub entries: u64,
    /// How large they are together, in bytes. It is zero where only their number counts.
    pub size_bytes: u64,
}

impl Amount {
    /// One thing of which only the number counts.
    pub const ONE: Self = Self { entries: 1, size_bytes: 0 };
    /// Nothing.
    pub const NONE: Self = Self { entries: 0, size_bytes: 0 };
}

impl AddAssign for Amount {
    fn add_assign(&mut self, other: Self) {
        self.entries += other.entries;
        self.size_bytes += other.size_bytes;
    }
}

impl Accounts {
    /// Counts in a write-set that a user has `after` where there was `before`; returns how much that makes in all. The
    /// write-set does not hold if something else of the kind is counted meanwhile, so nobody comes by a bound by asking
    /// for much at once. Refuses with [`AccountsError::TooMany`], which is 403 `M_FORBIDDEN`, if something becomes more
    /// than it may; less is always taken.
    pub async fn count_stored(
        &self,
        writes: &mut WriteSet,
        user_id: &OwnedUserId,
        counted: Counted,
        before: Amount,
        after: Amount,
    ) -> Result<Amount, AccountsError> {
        let key = amount_key(user_id, counted);
        let stored = self.store.get::<StoredAmounts>(&key).await?;
        let known = self.amount(user_id, counted, stored.as_ref()).await?;
        let now = Amount {
            entries: (known.entries + after.entries).saturating_sub(before.entries),
            size_bytes: (known.size_bytes + after.size_bytes).saturating_sub(before.size_bytes),
        };
        let bound = self.bound_of(user_id, counted);
        let is_too_much = now.entries > known.entries.max(bound.entries)
            || now.size_bytes > known.size_bytes.max(bound.size_bytes);
        if is_too_much {
            return Err(AccountsError::TooMany(counted.words()));
        }
        // Nothing is left of users who are gone, and nothing is to be written of them.
        if now != known || (stored.is_none() && now != Amount::NONE) {
            let record = StoredAmountRecord { entries: now.entries, size_bytes: now.size_bytes };
            writes.expect_read::<StoredAmounts>(&key, stored.as_ref());
            writes.put::<StoredAmounts>(&key, &record);
        }
        Ok(now)
    }

    /// How much of something a user has stored.
    pub async fn stored(&self, user_id: &OwnedUserId, counted: Counted) -> Result<Amount, AccountsError> {
        let stored = self.store.get::<StoredAmounts>(&amount_key(user_id, counted)).await?;
        self.amount(user_id, counted, stored.as_ref()).await
    }

    /// The amount of a row. None means that no number was kept yet.
    async fn amount(
        &self,
        user_id: &OwnedUserId,
        counted: Counted,
        stored: Option<&StoredAmountRecord>,
    ) -> Result<Amount, AccountsError> {
        match (stored, counted) {
            (Some(stored), _) => Ok(Amount { entries: stored.entries, size_bytes: stored.size_bytes }),
            (None, Counted::AccountData) => self.account_data_so_far(user_id).await,
            // What there is of these is not counted later: all that is new is.
            (None, Counted::Aliases | Counted::PublishedRooms | Counted::ThreadSubscriptions) => {
                Ok(Amount::NONE)
            }
        }
    }

    fn bound_of(&self, user_id: &OwnedUserId, counted: Counted) -> Amount {
        let number = |entries| Amount { entries, size_bytes: u64::MAX };
        match counted {
            Counted::AccountData => {
                let platform = self.platforms.as_ref().and_then(|all| all.get(user_id.server_name()));
                let set = platform.map(|platform| platform.settings.limits.account_data_bytes);
                let size_bytes = set.unwrap_or(ACCOUNT_DATA_BYTES);
                Amount { entries: MAX_ACCOUNT_DATA, size_bytes }
            }
            Counted::Aliases => number(MAX_ALIASES),
            Counted::PublishedRooms => number(MAX_PUBLISHED),
            // The oldest gives way to a new one: services/push/src/thread_subscriptions.rs.
            Counted::ThreadSubscriptions => number(u64::MAX),
        }
    }
}

fn amount_key(user_id: &OwnedUserId, counted: Counted) -> UserNameKey {
    UserNameKey { user_id: user_id.clone(), name: counted.name().to_owned() }
}
