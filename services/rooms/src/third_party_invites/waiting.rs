//! The invitations that wait: by their tokens, by their inviters and by their addresses.
//!
//! One that nobody can answer any more keeps its row without its address until its time is over: its inviter, who can
//! ask whether its key is good, must not learn that the address has changed hands. What the inviters' rows name may
//! have ended.

use std::time::Duration;

use linkspan_accounts::{AccountsError, ThirdPartyId};
use linkspan_domain::{SharedPdu, token_of_public_key};
use linkspan_platforms::Limited;
use linkspan_storage::{
    WriteSet,
    catalogue::{
        AddressInvitations, PlatformKey, ThirdPartyIdKey, UserInvitations, UserKey, WaitingInvitations,
    },
    records::{AddressInvitationsRecord, UserInvitationsRecord, WaitingInvitationRecord},
};
use ruma::{OwnedServerName, OwnedUserId, ServerName, events::StateEventType};

use crate::{Result, Rooms, RoomsError, append::Append};

/// How long an invitation waits, in milliseconds.
pub(super) const LIFE_MS: u64 = 90 * DAY_MS;
const DAY_MS: u64 = 24 * 60 * 60 * 1000;
/// The most of them that an inviter has at a time.
const MAX_PER_INVITER: usize = 50;
/// The most of them to one address from a platform, and the most of those that are of one inviter. A newer one takes
/// the place of the oldest: a refusal would tell that others have invited the address.
const MAX_PER_ADDRESS: usize = 20;
const MAX_PER_INVITER_AND_ADDRESS: usize = 5;
/// How many addresses somebody can invite in a day: each tells whether somebody is found by it.
const MAX_PER_DAY: u32 = 100;
/// What somebody has invited who has invited nobody.
const NONE_YET: UserInvitationsRecord = UserInvitationsRecord { tokens: Vec::new(), day: 0, today: 0 };

/// An invitation that begins to wait.
pub(super) fn record(
    append: &Append,
    inviter: &OwnedUserId,
    id: &ThirdPartyId,
    is_direct: bool,
    secret_key: Vec<u8>,
) -> WaitingInvitationRecord {
    WaitingInvitationRecord {
        inviter: inviter.clone(),
        room_id: append.room.id.clone(),
        medium: id.medium().to_string(),
        address: id.address().to_owned(),
        is_direct,
        secret_key,
        made_ts: append.now.get().into(),
    }
}

/// The address that an invitation is for.
pub(super) fn address_of(record: &WaitingInvitationRecord) -> Result<ThirdPartyId> {
    Ok(ThirdPartyId::new(&record.medium.as_str().into(), &record.address)?)
}

pub(super) fn key_of(platform: &ServerName, token: &str) -> PlatformKey {
    PlatformKey { platform: platform.to_owned(), name: token.to_owned() }
}

/// The key of what waits for an address, of inviters of one platform.
pub(super) fn address_key(platform: &ServerName, medium: &str, address: &str) -> ThirdPartyIdKey {
    ThirdPartyIdKey { platform: platform.to_owned(), medium: medium.to_owned(), address: address.to_owned() }
}

impl Rooms {
    /// Whether the key of an invitation by somebody of a platform is still good.
    /// <https://spec.matrix.org/v1.19/identity-service-api/#get_matrixidentityv2pubkeyephemeralisvalid>
    pub async fn is_invitation_key(&self, platform: &OwnedServerName, public_key: &str) -> Result<bool> {
        match token_of_public_key(public_key) {
            Some(token) => Ok(self.store().contains::<WaitingInvitations>(&key_of(platform, &token)).await?),
            None => Ok(false),
        }
    }

    /// Counts how many addresses somebody invites on a day.
    pub(crate) async fn count_by_address(
        &self,
        inviter: &OwnedUserId,
        more: usize,
        now_ts: u64,
    ) -> Result<()> {
        if more == 0 {
            return Ok(());
        }
        let key = UserKey { user_id: inviter.clone() };
        self.store()
            .update(async || {
                let mut writes = WriteSet::new();
                self.shared.accounts.expect_active(&mut writes, inviter).await?;
                let before = self.store().get::<UserInvitations>(&key).await?;
                let day = now_ts / DAY_MS;
                let mut record = before.clone().unwrap_or(NONE_YET);
                let today = if record.day == day { record.today } else { 0 };
                let today = today.saturating_add(u32::try_from(more).unwrap_or(u32::MAX));
                if today > MAX_PER_DAY {
                    let retry_after = Duration::from_millis(DAY_MS - now_ts % DAY_MS);
                    return Err(RoomsError::from(AccountsError::from(Limited { retry_after })));
                }
                (record.day, record.today) = (day, today);
                writes.expect_read::<UserInvitations>(&key, before.as_ref());
                writes.put::<UserInvitations>(&key, &record);
                Ok((writes, ()))
            })
            .await
    }

    /// Notes in `writes` which invitations of somebody wait, besides those that do.
    pub(super) async fn put_tokens(
        &self,
        writes: &mut WriteSet,
        inviter: &OwnedUserId,
        tokens: Vec<String>,
    ) -> Result<()> {
        if tokens.is_empty() {
            return Ok(());
        }
        let key = UserKey { user_id: inviter.clone() };
        let before = self.store().get::<UserInvitations>(&key).await?;
        let mut record = before.clone().unwrap_or(NONE_YET);
        let waiting = self.waiting(inviter.server_name(), &record.tokens).await?;
        record.tokens = waiting.into_iter().map(|(token, _)| token).chain(tokens).collect();
        if record.tokens.len() > MAX_PER_INVITER {
            return Err(AccountsError::TooMany("invitations by address that wait for an answer").into());
        }
        writes.expect_read::<UserInvitations>(&key, before.as_ref());
        writes.put::<UserInvitations>(&key, &record);
        Ok(())
    }

    /// Those of some invitations of a platform that wait.
    pub(crate) async fn waiting(
        &self,
        platform: &ServerName,
        tokens: &[String],
    ) -> Result<Vec<(String, WaitingInvitationRecord)>> {
        let keys: Vec<_> = tokens.iter().map(|token| key_of(platform, token)).collect();
        let records = self.store().get_many::<WaitingInvitations>(&keys).await?;
        let waiting = tokens.iter().zip(records);
        Ok(waiting.filter_map(|(token, record)| Some((token.clone(), record?))).collect())
    }

    /// What waits for an address, the oldest first.
    pub(super) async fn waiting_for(
        &self,
        key: &ThirdPartyIdKey,
    ) -> Result<Vec<(String, WaitingInvitationRecord)>> {
        match self.store().get::<AddressInvitations>(key).await? {
            Some(stored) => self.waiting(&key.platform, &stored.tokens).await,
            None => Ok(Vec::new()),
        }
    }

    /// Has an invitation wait for its address.
    pub(super) async fn put_waiting(
        &self,
        writes: &mut WriteSet,
        token: &str,
        record: &WaitingInvitationRecord,
    ) -> Result<()> {
        let platform = record.inviter.server_name();
        let key = address_key(platform, &record.medium, &record.address);
        let before = self.store().get::<AddressInvitations>(&key).await?;
        let known = before.as_ref().map(|before| before.tokens.clone()).unwrap_or_default();
        let mut waiting = self.waiting(platform, &known).await?;
        if let Some(place) = displaced(&waiting, &record.inviter) {
            let (displaced, record) = waiting.remove(place);
            forget_address(writes, &key_of(platform, &displaced), record);
        }
        let tokens = waiting.into_iter().map(|(token, _)| token).chain([token.to_owned()]).collect();
        writes.expect_read::<AddressInvitations>(&key, before.as_ref());
        writes.put::<AddressInvitations>(&key, &AddressInvitationsRecord { tokens });
        writes.put::<WaitingInvitations>(&key_of(platform, token), record);
        Ok(())
    }

    /// Has an invitation wait no more, in `writes`.
    pub(super) async fn end_waiting(
        &self,
        writes: &mut WriteSet,
        key: &PlatformKey,
        record: &WaitingInvitationRecord,
    ) -> Result<()> {
        writes.expect::<WaitingInvitations>(key, record);
        writes.delete::<WaitingInvitations>(key);
        // Without an address it stands in no other row.
        let of_address = address_key(&key.platform, &record.medium, &record.address);
        let Some(mut stored) = self.store().get::<AddressInvitations>(&of_address).await? else {
            return Ok(());
        };
        writes.expect::<AddressInvitations>(&of_address, &stored);
        stored.tokens.retain(|token| *token != key.name);
        match stored.tokens.is_empty() {
            true => writes.delete::<AddressInvitations>(&of_address),
            false => writes.put::<AddressInvitations>(&of_address, &stored),
        }
        Ok(())
    }

    /// Ends an invitation by itself.
    pub(super) async fn end_invitation(&self, key: &PlatformKey) -> Result<()> {
        self.store()
            .update(async || {
                let mut writes = WriteSet::new();
                if let Some(record) = self.store().get::<WaitingInvitations>(key).await? {
                    self.end_waiting(&mut writes, key, &record).await?;
                }
                Ok::<_, RoomsError>((writes, ()))
            })
            .await
    }

    /// Ends what somebody whose account is gone has waiting, and forgets that they have invited anybody.
    pub(crate) async fn remove_inviter(&self, inviter: &OwnedUserId) -> Result<()> {
        let key = UserKey { user_id: inviter.clone() };
        let invited = self.store().get::<UserInvitations>(&key).await?;
        for token in invited.into_iter().flat_map(|invited| invited.tokens) {
            self.end_invitation(&key_of(inviter.server_name(), &token)).await?;
        }
        let mut writes = WriteSet::new();
        writes.delete::<UserInvitations>(&key);
        self.store().commit(writes).await?;
        Ok(())
    }
}

impl Append {
    /// Ends the invitation that an entry of the state stands for, because the entry changes. Whoever takes an
    /// invitation back empties it.
    pub(crate) async fn end_changed_invitation(&mut self, token: &str) -> Result<()> {
        let earlier: Option<SharedPdu> =
            self.state_event(&StateEventType::RoomThirdPartyInvite, token).await?;
        let Some(earlier) = earlier else { return Ok(()) };
        let key = key_of(earlier.sender.server_name(), token);
        let rooms = self.rooms.clone();
        let record = rooms.store().get::<WaitingInvitations>(&key).await?;
        match record.filter(|record| record.room_id == self.room.id) {
            Some(record) => rooms.end_waiting(&mut self.writes, &key, &record).await,
            None => Ok(()),
        }
    }
}

/// Keeps an invitation, of which nobody has the address any more.
pub(super) fn forget_address(writes: &mut WriteSet, key: &PlatformKey, mut record: WaitingInvitationRecord) {
    writes.expect::<WaitingInvitations>(key, &record);
    record.address.clear();
    writes.put::<WaitingInvitations>(key, &record);
}

/// Which of an address's invitations, the oldest first, has to go so that there is room for another of `inviter`.
fn displaced(waiting: &[(String, WaitingInvitationRecord)], inviter: &OwnedUserId) -> Option<usize> {
    let mut own = waiting.iter().enumerate().filter(|(_, (_, record))| record.inviter == *inviter);
    let oldest = own.next().map(|(place, _)| place);
    match 1 + own.count() >= MAX_PER_INVITER_AND_ADDRESS {
        true => oldest,
        false => (waiting.len() >= MAX_PER_ADDRESS).then_some(0),
    }
}
