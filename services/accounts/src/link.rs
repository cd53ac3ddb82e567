//! Linking two accounts of a person, of which both consent: the user of one is given a code, enters it on the other, and
//! then confirms on the first whom it has been entered by.
//!
//! Confirming is what makes a code worthless that was talked out of somebody, or guessed: until then, whoever has
//! entered it learns nothing of whose it is. A code works once, for ten minutes, and a newer one ends it.

use std::collections::BTreeSet;

use linkspan_platforms::Platform;
use linkspan_storage::{
    Range, WriteSet,
    catalogue::{LinkCodes, LinkOffers, PlatformHashKey, UserKey},
    records::{AccountLinksRecord, LinkCodeRecord, LinkOfferRecord},
};
use ruma::{OwnedServerName, OwnedUserId, ServerName};

use crate::{
    Accounts, AccountsError,
    attempts::count_of_link_code,
    hash_token,
    linked_accounts::{MAX_LINKED, Person, key},
    typed_code::{new_typed_code, read_typed_code, show_typed_code},
};

/// How long a code lasts, and then whoever has entered it can be confirmed, in milliseconds.
pub const LINK_CODE_MS: u64 = 10 * 60_000;
/// How many offers are looked at in one step of a sweep.
const SWEEP: usize = 1_000;

/// Said of every code that is not good, whyever.
const NO_CODE: AccountsError = AccountsError::NotFound("code");
/// Said also of somebody who waits, but whose account cannot be linked any more.
const NOBODY_WAITS: AccountsError = AccountsError::NotFound("account that waits to be linked");

impl Accounts {
    /// A new code by which a user's account can be linked with another, as it is shown. It ends the one before, and
    /// whoever has entered that is forgotten.
    pub async fn new_link_code(&self, user_id: &OwnedUserId, now_ts: u64) -> Result<String, AccountsError> {
        let letters = self
            .store
            .update(async || {
                let letters = new_typed_code();
                let mut writes = WriteSet::new();
                self.expect_linkable(&mut writes, user_id).await?;
                self.put_no_offer(&mut writes, user_id).await?;
                let code = code_key(user_id.server_name(), &letters);
                writes.expect_absent::<LinkCodes>(&code);
                writes.put::<LinkCodes>(&code, &LinkCodeRecord { user_id: user_id.clone() });
                let expires_ts = now_ts + LINK_CODE_MS;
                let offer = LinkOfferRecord { code: code.hash, expires_ts, entered_by: None };
                writes.put::<LinkOffers>(&key(user_id), &offer);
                Ok::<_, AccountsError>((writes, letters))
            })
            .await?;
        Ok(show_typed_code(&letters))
    }

    /// Takes a code that the user has been given on another account. From then on the user waits there to be confirmed.
    pub async fn enter_link_code(
        &self,
        platform: &Platform,
        user_id: &OwnedUserId,
        code: &str,
        now_ts: u64,
    ) -> Result<(), AccountsError> {
        let counted = count_of_link_code(platform, user_id)?;
        counted.give_back_if_right(self.take_link_code(user_id, code, now_ts)).await
    }

    async fn take_link_code(
        &self,
        user_id: &OwnedUserId,
        code: &str,
        now_ts: u64,
    ) -> Result<(), AccountsError> {
        let letters = read_typed_code(code).ok_or(NO_CODE)?;
        self.store
            .update(async || {
                let mut writes = WriteSet::new();
                self.expect_linkable(&mut writes, user_id).await?;
                let (code, record) = self.find_link_code(&letters).await?.ok_or(NO_CODE)?;
                let offer_key = key(&record.user_id);
                let offer = self.store.get::<LinkOffers>(&offer_key).await?.ok_or(NO_CODE)?;
                if offer.code != code.hash || now_ts >= offer.expires_ts {
                    return Err(NO_CODE);
                }
                if record.user_id == *user_id {
                    return Err(AccountsError::InvalidParam("enter this code on your other account"));
                }
                writes.expect::<LinkCodes>(&code, &record);
                writes.delete::<LinkCodes>(&code);
                writes.expect::<LinkOffers>(&offer_key, &offer);
                let (expires_ts, entered_by) = (now_ts + LINK_CODE_MS, Some(user_id.clone()));
                writes.put::<LinkOffers>(&offer_key, &LinkOfferRecord { expires_ts, entered_by, ..offer });
                Ok((writes, ()))
            })
            .await
    }

    /// Codes do not say of which platform they are.
    async fn find_link_code(
        &self,
        letters: &str,
    ) -> Result<Option<(PlatformHashKey, LinkCodeRecord)>, AccountsError> {
        for platform in self.platforms.iter().flat_map(|platforms| platforms.iter()) {
            let key = code_key(platform.server_name(), letters);
            if let Some(record) = self.store.get::<LinkCodes>(&key).await? {
                return Ok(Some((key, record)));
            }
        }
        Ok(None)
    }

    /// Who has entered the code of a user, and waits to be confirmed.
    pub async fn waiting_link(
        &self,
        user_id: &OwnedUserId,
        now_ts: u64,
    ) -> Result<Option<OwnedUserId>, AccountsError> {
        let offer = self.store.get::<LinkOffers>(&key(user_id)).await?;
        Ok(offer.filter(|offer| now_ts < offer.expires_ts).and_then(|offer| offer.entered_by))
    }

    /// Links whoever has entered the code of a user with the user. All accounts that are linked with one of the two are
    /// one person's from then on: they ignore whom any of them has ignored, and what is linked is shown to nobody until
    /// they say so again.
    pub async fn confirm_link(
        &self,
        user_id: &OwnedUserId,
        other: &OwnedUserId,
        now_ts: u64,
    ) -> Result<(), AccountsError> {
        self.store
            .update(async || {
                let mut writes = WriteSet::new();
                self.expect_linkable(&mut writes, user_id).await?;
                let offer = self.store.get::<LinkOffers>(&key(user_id)).await?.ok_or(NOBODY_WAITS)?;
                if now_ts >= offer.expires_ts || offer.entered_by.as_ref() != Some(other) {
                    return Err(NOBODY_WAITS);
                }
                writes.expect::<LinkOffers>(&key(user_id), &offer);
                writes.delete::<LinkOffers>(&key(user_id));
                match self.expect_linkable(&mut writes, other).await {
                    Err(AccountsError::Storage(error)) => return Err(error.into()),
                    linkable => linkable.map_err(|_| NOBODY_WAITS)?,
                }
                let person = self.expect_person(&mut writes, user_id).await?;
                if person.has(other) {
                    return Ok((writes, ()));
                }
                let joining = self.expect_person(&mut writes, other).await?;
                let all = joined(person, joining, now_ts)?;
                all.put(&mut writes);
                self.put_common_ignored(&mut writes, &all).await?;
                Ok((writes, ()))
            })
            .await
    }

    /// Ends the code of a user, and forgets who has entered it: they are not told.
    pub async fn decline_link(&self, user_id: &OwnedUserId) -> Result<(), AccountsError> {
        self.store
            .update(async || {
                let mut writes = WriteSet::new();
                self.put_no_offer(&mut writes, user_id).await?;
                Ok((writes, ()))
            })
            .await
    }

    /// Removes offers of a platform's users that have expired. It is to be called now and then. Fails with the last
    /// error, if there was one, once every offer had its turn.
    pub async fn forget_link_offers(
        &self,
        platform: &OwnedServerName,
        now_ts: u64,
    ) -> Result<(), AccountsError> {
        let mut outcome = Ok(());
        let mut last: Option<UserKey> = None;
        loop {
            let offers =
                Range::<LinkOffers>::prefix_platform((), platform).limit(SWEEP).after_last(last.as_ref());
            let keys = self.store.keys(offers).await?;
            for key in &keys {
                let offer = self.store.get_readable::<LinkOffers>(key).await?;
                if offer.is_some_and(|offer| offer.expires_ts <= now_ts)
                    && let Err(error) = self.forget_expired_offer(key, now_ts).await
                {
                    outcome = Err(error);
                }
            }
            last = keys.into_iter().last();
            if last.is_none() {
                return outcome;
            }
        }
    }

    /// There may be a newer one by now.
    async fn forget_expired_offer(&self, key: &UserKey, now_ts: u64) -> Result<(), AccountsError> {
        self.store
            .update(async || {
                let mut writes = WriteSet::new();
                let offer = self.store.get::<LinkOffers>(key).await?;
                if offer.is_some_and(|offer| offer.expires_ts <= now_ts) {
                    self.put_no_offer(&mut writes, &key.user_id).await?;
                }
                Ok((writes, ()))
            })
            .await
    }

    async fn put_no_offer(&self, writes: &mut WriteSet, user_id: &OwnedUserId) -> Result<(), AccountsError> {
        let before = self.store.get::<LinkOffers>(&key(user_id)).await?;
        writes.expect_read::<LinkOffers>(&key(user_id), before.as_ref());
        if let Some(LinkOfferRecord { code: hash, .. }) = before {
            let platform = user_id.server_name().to_owned();
            writes.delete::<LinkCodes>(&PlatformHashKey { platform, hash });
            writes.delete::<LinkOffers>(&key(user_id));
        }
        Ok(())
    }

    /// Refuses if an account cannot be linked now; `writes` hold only while it stays as it is.
    async fn expect_linkable(
        &self,
        writes: &mut WriteSet,
        user_id: &OwnedUserId,
    ) -> Result<(), AccountsError> {
        let account = self.expect_active(writes, user_id).await?.ok_or(AccountsError::NotFound("account"))?;
        self.check_not_demo(user_id).await?;
        if account.locked {
            Err(AccountsError::Locked)
        } else if account.suspended {
            Err(AccountsError::Suspended)
        } else if account.guest {
            Err(AccountsError::Guest("guests have nothing to link"))
        } else {
            Ok(())
        }
    }
}

/// The accounts of two persons, who turn out to be one.
fn joined(one: Person, other: Person, now_ts: u64) -> Result<Person, AccountsError> {
    if one.0.len() + other.0.len() > MAX_LINKED {
        return Err(AccountsError::TooMany("linked accounts"));
    }
    let (of_one, of_other) = (one.user_ids(), other.user_ids());
    let with = |person: Person, added: BTreeSet<OwnedUserId>| {
        person.0.into_iter().map(move |(account, mut record)| {
            record.others.extend(added.iter().map(|other| (other.clone(), now_ts)));
            record.others.sort();
            (account, AccountLinksRecord { shown: false, ..record })
        })
    };
    Ok(Person(with(one, of_other).chain(with(other, of_one)).collect()))
}

fn code_key(platform: &ServerName, letters: &str) -> PlatformHashKey {
    PlatformHashKey { platform: platform.to_owned(), hash: hash_token(letters) }
}
