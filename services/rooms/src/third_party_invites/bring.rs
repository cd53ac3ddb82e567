//! Makes invitations of what has waited for somebody. The inviter's server sends them on behalf of the inviter, who
//! need not be there, and they pass the door as if the inviter had sent them.

use std::time::Duration;

use linkspan_domain::{InvitationKey, shown_name};
use linkspan_storage::{
    Range, WriteSet,
    catalogue::{PlatformKey, ProvedAddresses, UserThirdPartyIdKey, WaitingInvitations},
    records::WaitingInvitationRecord,
};
use ruma::{
    OwnedUserId,
    events::{StateEventType, room::member::MembershipState},
};

use super::{
    Fate, Invitee,
    waiting::{LIFE_MS, address_key, address_of},
};
use crate::{Result, Rooms, RoomsError, append::Append, is_present, policy::Consulted, reach::set_direct};

/// How many rows are read in one step.
const BATCH: usize = 100;
/// How long to wait after a failure.
const AFTER_FAILURE: Duration = Duration::from_secs(10);

impl Rooms {
    /// Brings people the invitations that wait for the addresses they prove, for as long as it runs; what a stop
    /// interrupted comes first. `clock` says milliseconds since the Unix epoch.
    pub async fn bring_invitations(self, clock: impl Fn() -> u64) {
        loop {
            match self.look_at_proved(clock()).await {
                // An address that is proved while nobody listens here is remembered.
                Ok(()) => self.shared.addresses_proved.notified().await,
                Err(error) => {
                    tracing::warn!(%error, "invitations by address were not brought; it is tried again");
                    tokio::time::sleep(AFTER_FAILURE).await;
                }
            }
        }
    }

    /// Looks at what waits for each address that was proved. Fails with the last error, if there was one, once every
    /// address had its turn.
    async fn look_at_proved(&self, now_ts: u64) -> Result<()> {
        let mut outcome = Ok(());
        let mut last: Option<UserThirdPartyIdKey> = None;
        loop {
            let range = Range::<ProvedAddresses>::all().limit(BATCH).after_last(last.as_ref());
            let proved = self.store().keys(range).await?;
            for key in &proved {
                if let Err(error) = self.bring_to(key, now_ts).await {
                    outcome = Err(error);
                }
            }
            last = proved.into_iter().last();
            if last.is_none() {
                return outcome;
            }
        }
    }

    async fn bring_to(&self, proved: &UserThirdPartyIdKey, now_ts: u64) -> Result<()> {
        let mut outcome = Ok(());
        for platform in self.shared.platforms.iter() {
            let key = address_key(platform.server_name(), &proved.medium, &proved.address);
            for (name, _) in self.waiting_for(&key).await? {
                let key = PlatformKey { platform: key.platform.clone(), name };
                if let Err(error) = self.try_to_bring(&key, now_ts).await {
                    outcome = Err(error);
                }
            }
        }
        // What failed is tried again while the row is there.
        outcome?;
        let mut writes = WriteSet::new();
        writes.delete::<ProvedAddresses>(proved);
        self.store().commit(writes).await?;
        Ok(())
    }

    /// Ends what has waited for too long, and brings what can be brought by now: the owner of an address may have
    /// been hidden from the inviter, or may not have let the invitation in. Fails with the last error, if there was one,
    /// once every invitation had its turn.
    pub async fn look_at_waiting(&self, now_ts: u64) -> Result<()> {
        let mut outcome = Ok(());
        let mut last: Option<PlatformKey> = None;
        loop {
            let range = Range::<WaitingInvitations>::all().limit(BATCH).after_last(last.as_ref());
            let waiting = self.store().keys(range).await?;
            for key in &waiting {
                if let Err(error) = self.try_to_bring(key, now_ts).await {
                    outcome = Err(error);
                }
            }
            last = waiting.into_iter().last();
            if last.is_none() {
                return outcome;
            }
        }
    }

    async fn try_to_bring(&self, key: &PlatformKey, now_ts: u64) -> Result<()> {
        match self.consulting(now_ts, async |consulted| self.bring(key, consulted, now_ts).await).await {
            Ok(Fate::Waits | Fate::Brought) => Ok(()),
            Ok(Fate::Over) => self.end_invitation(key).await,
            Err(error) if error.is_failure() => Err(error),
            // The rules of the room or an operator's hook do not allow it, or the room is gone.
            Err(
                RoomsError::Forbidden(_)
                | RoomsError::NotFound(_)
                | RoomsError::BadJson(_)
                | RoomsError::PolicyRefused { .. },
            ) => self.end_invitation(key).await,
            Err(error) => {
                tracing::debug!(%error, "an invitation by address waits on");
                Ok(())
            }
        }
    }

    /// Invites whoever has the address by now, if the inviter may find them and may still invite.
    async fn bring(&self, key: &PlatformKey, consulted: Consulted, now_ts: u64) -> Result<Fate> {
        let Some(record) = self.store().get::<WaitingInvitations>(key).await? else { return Ok(Fate::Waits) };
        if record.made_ts + LIFE_MS <= now_ts {
            return Ok(Fate::Over);
        }
        if record.address.is_empty() || !self.shared.accounts.may_act(&record.inviter).await? {
            return Ok(Fate::Waits);
        }
        let mut writes = WriteSet::new();
        let invitee = self.invitee(&mut writes, &record.inviter, &address_of(&record)?).await?;
        let Invitee::Found(user_id) = invitee else { return Ok(Fate::Waits) };
        let room = self.room(&record.room_id).await?;
        let mut append = self.begin(&room, now_ts).await?;
        append.consulted = consulted;
        append.writes.append(writes);
        let is_there = append.membership(&user_id).await?.is_some_and(|membership| is_present(&membership));
        if is_there || !append.may_invite(&record.inviter).await? {
            return Ok(Fate::Over);
        }
        append.stage_brought(key, &record, &user_id).await?;
        self.end_waiting(&mut append.writes, key, &record).await?;
        append.commit().await?;
        Ok(Fate::Brought)
    }
}

impl Append {
    pub(super) async fn stage_brought(
        &mut self,
        key: &PlatformKey,
        record: &WaitingInvitationRecord,
        user_id: &OwnedUserId,
    ) -> Result<()> {
        let event = self.state_event(&StateEventType::RoomThirdPartyInvite, &key.name).await?;
        let shown = event.and_then(|event| shown_name(&event));
        let shown = shown.ok_or_else(|| RoomsError::Forbidden("the invitation was taken back".into()))?;
        let proof = InvitationKey::from_der(&record.secret_key)?.proof(&shown, user_id, &key.platform)?;
        let inviter = &record.inviter;
        let mut content = self.rooms.member_content(inviter, user_id, MembershipState::Invite, None).await?;
        set_direct(&mut content, record.is_direct);
        content.insert("third_party_invite".into(), proof);
        self.stage_member(inviter, user_id, content).await
    }
}
