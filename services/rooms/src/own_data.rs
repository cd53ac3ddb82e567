//! What a user has in rooms, for the archive that the user can have of it (services/export): which rooms, and what the user
//! sent there. What others sent is theirs.

use std::sync::Arc;

use linkspan_domain::{ClientEvent, Unsigned};
use linkspan_storage::{
    Range,
    catalogue::{
        Memberships, ReportKey, Reports, Timeline, TimelineKey, UserInvitations, UserKey, UserReports,
    },
    records::{JoinLinkRecord, MembershipRecord, ReportRecord, WaitingInvitationRecord},
};
use ruma::{OwnedRoomId, OwnedUserId, events::room::member::MembershipState};
use serde_json::value::RawValue;

use crate::{Result, Rooms, TimelineEvent};

/// How many events of a timeline are read at a time: each may have 64 KiB.
const BATCH: usize = 100;

/// What a user sent to a part of a room's timeline.
#[derive(Debug)]
pub struct OwnEvents {
    /// The events as clients see them, in their order.
    pub events: Vec<Box<RawValue>>,
    /// The place after which the next part begins; None if this was the last.
    pub next: Option<i64>,
}

impl Rooms {
    /// All rooms that a user is or was in or is invited to, as far as the user knows of them. Those that the user has
    /// forgotten are among them.
    pub async fn all_rooms_of(&self, user_id: &OwnedUserId) -> Result<Vec<(OwnedRoomId, MembershipRecord)>> {
        let mut known = Vec::new();
        for (key, stored) in self.store().range::<Memberships>(Range::prefix((user_id,))).await? {
            let is_invited = stored.value.membership == MembershipState::Invite;
            let is_kept_away = stored.value.is_hidden
                || (is_invited && self.hides_invitation(user_id, &stored.value).await?);
            if !is_kept_away {
                known.push((key.room_id, stored.value));
            }
        }
        Ok(known)
    }

    /// What a user sent to a room after a place of its timeline, as far as it is read at a time. It is read past the
    /// events in memory: nobody needs these there.
    pub async fn own_events(
        &self,
        user_id: &OwnedUserId,
        room_id: &OwnedRoomId,
        after: i64,
    ) -> Result<OwnEvents> {
        let begin = TimelineKey { room_id: room_id.clone(), seq: after };
        let range = Range::<Timeline>::prefix((room_id,)).after(&begin).limit(BATCH);
        let rows = self.store().range(range).await?;
        let next = rows.last().filter(|_| rows.len() == BATCH).map(|(key, _)| key.seq);
        let mut events = Vec::new();
        for (key, stored) in rows {
            // Most are by others, and need not be parsed.
            if !stored.value.pdu.contains(user_id.as_str()) {
                continue;
            }
            let event = self.as_of_now(Arc::new(TimelineEvent::from_stored(key.seq, stored)?)).await?;
            if event.pdu.sender == *user_id {
                events.push(ClientEvent::new(&event.pdu, Unsigned::default()).to_json());
            }
        }
        Ok(OwnEvents { events, next })
    }

    /// The links to a room that a user has made, and to those that have replaced it while the user was away.
    pub async fn own_join_links(
        &self,
        user_id: &OwnedUserId,
        room_id: &OwnedRoomId,
    ) -> Result<Vec<JoinLinkRecord>> {
        Ok(self.links_of(user_id, room_id).await?.into_iter().map(|(_, record)| record).collect())
    }

    /// The invitations of a user to addresses that wait. Their addresses are left out: one that is missing would tell that
    /// the address has changed hands since.
    pub async fn own_address_invitations(
        &self,
        user_id: &OwnedUserId,
    ) -> Result<Vec<WaitingInvitationRecord>> {
        let stored = self.store().get::<UserInvitations>(&UserKey { user_id: user_id.clone() }).await?;
        let tokens = stored.map(|stored| stored.tokens).unwrap_or_default();
        let waiting = self.waiting(user_id.server_name(), &tokens).await?.into_iter();
        Ok(waiting.map(|(_, record)| WaitingInvitationRecord { address: String::new(), ..record }).collect())
    }

    /// The reports that a user has made, as the user's own platform was told of them. Those of which nobody was told are
    /// among them: who is missing would have no account.
    pub async fn own_reports(&self, user_id: &OwnedUserId) -> Result<Vec<ReportRecord>> {
        let rows = self.store().range::<UserReports>(Range::prefix((user_id,))).await?;
        let platform = user_id.server_name();
        let keys: Vec<_> = rows
            .iter()
            .map(|(key, _)| ReportKey { platform: platform.to_owned(), position: key.position })
            .collect();
        let told = self.store().get_many::<Reports>(&keys).await?;
        Ok(rows.into_iter().zip(told).filter_map(|((_, own), told)| own.untold.or(told)).collect())
    }
}
