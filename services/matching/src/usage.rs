//! How much a person may ask for in a day. It is stored, so that a restart gives nobody more.
//!
//! There are so few phone numbers that this is what keeps people from walking through all of them.

use std::time::Duration;

use linkspan_storage::{
    WriteSet,
    catalogue::{MatchingUses, UserKey},
    records::MatchingUseRecord,
};
use ruma::OwnedUserId;

use crate::{Matching, MatchingError, Result};

/// How many elements are evaluated for a person in a day. It is the size of a large address book.
pub const ELEMENTS_PER_DAY: u32 = 5_000;
/// How many buckets a person may fetch in a day: twice those of a large address book. They tell nothing without
/// evaluated elements, so this limits only the server's work.
pub const BUCKETS_PER_DAY: u32 = 10_000;

const DAY_MS: u64 = 24 * 60 * 60 * 1000;

/// What somebody asks for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Asked {
    pub(crate) elements: u32,
    pub(crate) buckets: u32,
}

impl Matching {
    /// Counts one address that a user asks for in the clear, as an evaluated one.
    pub async fn count_address(&self, user_id: &OwnedUserId, now_ts: u64) -> Result<()> {
        self.count(user_id, Asked { elements: 1, buckets: 0 }, now_ts).await
    }

    /// Counts what a user asks for, before the user gets it.
    pub(crate) async fn count(&self, user_id: &OwnedUserId, asked: Asked, now_ts: u64) -> Result<()> {
        let key = UserKey { user_id: user_id.clone() };
        self.store
            .update(async || {
                let before = self.store.get::<MatchingUses>(&key).await?;
                let mut writes = WriteSet::new();
                self.accounts.expect_active(&mut writes, user_id).await?;
                writes.expect_read::<MatchingUses>(&key, before.as_ref());
                writes.put::<MatchingUses>(&key, &add(before.as_ref(), asked, now_ts)?);
                Ok((writes, ()))
            })
            .await
    }
}

fn add(before: Option<&MatchingUseRecord>, asked: Asked, now_ts: u64) -> Result<MatchingUseRecord> {
    let day = now_ts / DAY_MS;
    // If the clock was put back, the day that was counted is the one that goes on.
    let today = before.filter(|before| before.day >= day);
    let day = today.map_or(day, |today| today.day);
    let elements = today.map_or(0, |today| today.elements) + asked.elements;
    let buckets = today.map_or(0, |today| today.buckets) + asked.buckets;
    if elements > ELEMENTS_PER_DAY || buckets > BUCKETS_PER_DAY {
        let retry_after = Duration::from_millis(((day + 1) * DAY_MS).saturating_sub(now_ts));
        return Err(MatchingError::Limited { retry_after });
    }
    Ok(MatchingUseRecord { day, elements, buckets })
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOON: u64 = 20_000 * DAY_MS + DAY_MS / 2;

    fn asked(elements: u32, buckets: u32) -> Asked {
        Asked { elements, buckets }
    }

    #[test]
    fn a_day_has_a_limit_and_the_next_begins_anew() {
        let whole = add(None, asked(ELEMENTS_PER_DAY, BUCKETS_PER_DAY), NOON).expect("it is allowed");
        for more in [asked(1, 0), asked(0, 1)] {
            match add(Some(&whole), more, NOON) {
                Err(MatchingError::Limited { retry_after }) => {
                    assert_eq!(retry_after, Duration::from_millis(DAY_MS / 2));
                }
                other => panic!("{other:?}"),
            }
        }
        let tomorrow = add(Some(&whole), asked(1, 0), NOON + DAY_MS).expect("it is another day");
        assert_eq!(tomorrow, MatchingUseRecord { day: 20_001, elements: 1, buckets: 0 });
        add(Some(&whole), asked(1, 0), NOON - DAY_MS).expect_err("a clock that was put back gives nothing");
    }
}
