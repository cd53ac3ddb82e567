//! Invitations to an e-mail address or a phone number. If it belongs to somebody whom the inviter may find by it, that
//! person is invited. Otherwise the invitation waits, and looks the same whether nobody has the address or somebody
//! who is not to be found: docs/decisions/0021-third-party-invites.md.
//! <https://spec.matrix.org/v1.19/client-server-api/#third-party-invites>
//!
//! `waiting.rs` keeps those that wait. `proved.rs` hears who has shown that an address is theirs, and `bring.rs` makes
//! invitations to them of what has waited; in `answer.rs` somebody who is not to be found accepts by themselves.

mod answer;
mod bring;
mod proved;
mod waiting;

pub use answer::OfferedInvitation;
pub use proved::ProvedIndex;

use linkspan_accounts::{AccountsError, InvitationMail, ThirdPartyId};
use linkspan_domain::{Draft, FoundBy, InvitationKey, masked_address};
use linkspan_storage::{Range, WriteSet, catalogue::CurrentState};
use ruma::{
    OwnedRoomId, OwnedUserId,
    events::{StateEventType, TimelineEventType, room::member::MembershipState},
    signatures::Ed25519KeyPair,
};

use crate::{Result, Rooms, append::Append, finding::stand_in, reach::set_direct};

/// The most such invitations of a room, those included that were answered or taken back: they stay in its state.
const MAX_IN_ROOM: usize = 500;
/// Where servers ask whether an invitation still waits, below the address of the platform.
/// <https://spec.matrix.org/v1.19/identity-service-api/#get_matrixidentityv2pubkeyephemeralisvalid>
const VALIDITY_PATH: &str = "/_matrix/identity/v2/pubkey/ephemeral/isvalid";

/// Whom to invite by their addresses.
#[derive(Clone, Debug, Default)]
pub struct AddressInvitations {
    /// The addresses.
    pub ids: Vec<ThirdPartyId>,
    /// Whether the invitations are to a direct chat.
    pub is_direct: bool,
    /// Where the inviter's platform is reached, without a slash at the end.
    pub base_url: String,
}

/// What an address leads to, as an inviter may know it.
pub(crate) enum Invitee {
    /// To somebody whom the inviter may find.
    Found(OwnedUserId),
    /// The invitation has to wait.
    Hidden {
        /// Somebody has the address all the same.
        has_account: bool,
    },
}

impl Rooms {
    /// Invites whoever has an address, or will have it.
    pub async fn invite_by_address(
        &self,
        sender: &OwnedUserId,
        room_id: &OwnedRoomId,
        invitations: &AddressInvitations,
        now_ts: u64,
    ) -> Result<()> {
        self.count_by_address(sender, invitations.ids.len(), now_ts).await?;
        let invite = async |consulted| {
            let room = self.joined_room(sender, room_id).await?;
            let mut append = self.begin(&room, now_ts).await?;
            append.consulted = consulted;
            let (found, hidden) = self.sort_invitees(&mut append.writes, sender, invitations).await?;
            for user_id in &found {
                let mut content = self.member_content(sender, user_id, MembershipState::Invite, None).await?;
                set_direct(&mut content, invitations.is_direct);
                append.stage_member(sender, user_id, content).await?;
            }
            append.stage_waiting(sender, &hidden, invitations).await?;
            append.commit().await?;
            Ok(hidden)
        };
        let hidden = self.consulting(now_ts, invite).await?;
        self.write_to(sender, hidden, &invitations.base_url, now_ts)
    }

    /// Whom of the invited the inviter may find, and the addresses of the others, with whether somebody has them. The
    /// write-set holds only while they belong to whom they belong to now: nobody proves one unnoticed.
    pub(crate) async fn sort_invitees(
        &self,
        writes: &mut WriteSet,
        sender: &OwnedUserId,
        invitations: &AddressInvitations,
    ) -> Result<(Vec<OwnedUserId>, Vec<(ThirdPartyId, bool)>)> {
        let (mut found, mut hidden) = (Vec::new(), Vec::new());
        for (number, id) in invitations.ids.iter().enumerate() {
            if invitations.ids[..number].contains(id) {
                continue;
            }
            match self.invitee(writes, sender, id).await? {
                Invitee::Found(user_id) if found.contains(&user_id) => {}
                Invitee::Found(user_id) => found.push(user_id),
                Invitee::Hidden { has_account } => hidden.push((id.clone(), has_account)),
            }
        }
        Ok((found, hidden))
    }

    /// Finds the owner of an address, if `finder` may. Of several people who have it on different platforms, the one
    /// on the finder's own comes first, and then they come in the order of the configuration.
    async fn invitee(
        &self,
        writes: &mut WriteSet,
        finder: &OwnedUserId,
        id: &ThirdPartyId,
    ) -> Result<Invitee> {
        let platforms = &self.shared.platforms;
        let is_own = |name: &ruma::ServerName| name == finder.server_name();
        let own = platforms.iter().filter(|platform| is_own(platform.server_name()));
        let others = platforms.iter().filter(|platform| !is_own(platform.server_name()));
        let by = if id.is_phone() { FoundBy::Phone } else { FoundBy::Email };
        let mut has_account = false;
        for platform in own.chain(others) {
            let owner = self.shared.accounts.expect_owner(writes, platform.server_name(), id).await?;
            // Where there is no owner, as much is read of a stand-in.
            let person = owner.clone().unwrap_or_else(|| stand_in(platform.server_name(), id.address()));
            let may_find = self.may_find(&person, Some(finder), by).await?;
            has_account |= owner.is_some();
            if let Some(owner) = owner.filter(|_| may_find) {
                return Ok(Invitee::Found(owner));
            }
        }
        Ok(Invitee::Hidden { has_account })
    }

    /// Sends mails to those who have no account and an e-mail address. SMS are not sent: they cost money, and some earn
    /// it with numbers of their own.
    pub(crate) fn write_to(
        &self,
        sender: &OwnedUserId,
        hidden: Vec<(ThirdPartyId, bool)>,
        base_url: &str,
        now_ts: u64,
    ) -> Result<()> {
        let platform = self.platform_of(sender)?;
        for (id, has_account) in hidden {
            let mail = InvitationMail { inviter: sender.clone(), to: id, page: format!("{base_url}/") };
            self.shared.accounts.send_invitation(&platform, mail, has_account, now_ts);
        }
        Ok(())
    }
}

impl Append {
    /// Stages invitations that have to wait. Whoever invites an address again has two that wait: a refusal would tell
    /// whether the first still does.
    pub(crate) async fn stage_waiting(
        &mut self,
        sender: &OwnedUserId,
        hidden: &[(ThirdPartyId, bool)],
        invitations: &AddressInvitations,
    ) -> Result<()> {
        if hidden.is_empty() {
            return Ok(());
        }
        let accounts = self.rooms.shared.accounts.clone();
        if accounts.expect_active(&mut self.writes, sender).await?.is_some_and(|account| account.guest) {
            return Err(AccountsError::Guest("guests cannot invite anybody").into());
        }
        self.check_room_for(hidden.len()).await?;
        let mut tokens = Vec::with_capacity(hidden.len());
        for (id, _) in hidden {
            tokens.push(self.stage_third_party_invite(sender, id, invitations).await?);
        }
        let rooms = self.rooms.clone();
        rooms.put_tokens(&mut self.writes, sender, tokens).await
    }

    async fn check_room_for(&self, more: usize) -> Result<()> {
        let event_type = StateEventType::RoomThirdPartyInvite.to_string();
        let range = Range::<CurrentState>::prefix((&self.room.id, &event_type)).limit(MAX_IN_ROOM);
        match self.rooms.store().keys(range).await?.len() + more > MAX_IN_ROOM {
            true => Err(AccountsError::TooMany("invitations by address to this room").into()),
            false => Ok(()),
        }
    }

    async fn stage_third_party_invite(
        &mut self,
        sender: &OwnedUserId,
        id: &ThirdPartyId,
        invitations: &AddressInvitations,
    ) -> Result<String> {
        let secret_key = Ed25519KeyPair::generate().to_vec();
        let key = InvitationKey::from_der(&secret_key)?;
        let validity_url = format!("{}{VALIDITY_PATH}", invitations.base_url);
        let content = key.content(&masked_address(id.address()), &validity_url);
        let draft = Draft::state(TimelineEventType::RoomThirdPartyInvite, key.token(), content);
        self.invites_by_address = true;
        let staged = self.stage(sender, draft, None).await;
        self.invites_by_address = false;
        staged?;
        let record = waiting::record(self, sender, id, invitations.is_direct, secret_key);
        let rooms = self.rooms.clone();
        rooms.put_waiting(&mut self.writes, &key.token(), &record).await?;
        Ok(key.token())
    }
}

/// What became of an attempt to make a real invitation of one that waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    /// It waits on.
    Waits,
    /// It was brought.
    Brought,
    /// It can never be brought any more.
    Over,
}
