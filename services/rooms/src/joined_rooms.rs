//! How many rooms a person is joined to, which has a bound: every room costs whoever syncs, and each has rows for each of its
//! people. Where a person has still far to go, nothing is counted.

use linkspan_domain::Pdu;
use linkspan_storage::{Range, catalogue::Memberships};
use quick_cache::sync::Cache;
use ruma::{
    OwnedUserId,
    events::{TimelineEventType, room::member::MembershipState},
};

use crate::{Result, RoomsError, append::Append};

/// People of whom it is remembered how many rooms they may join. Those who join many at a time are few.
const REMEMBERED: usize = 10_000;

/// How many more rooms people may join at least. It is counted anew when it is used up: leaving a room adds nothing to it.
pub(crate) struct Remaining(Cache<OwnedUserId, u64>);

impl std::fmt::Debug for Remaining {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Remaining")
    }
}

impl Default for Remaining {
    fn default() -> Self {
        Self(Cache::new(REMEMBERED))
    }
}

impl Append {
    /// Refuses a join of somebody who is in as many rooms as their platform lets people be in. Of several joins at the
    /// same moment a few more than that may pass.
    pub(crate) async fn check_joined_rooms(&mut self, pdu: &Pdu) -> Result<()> {
        let is_join = pdu.event_type == TimelineEventType::RoomMember
            && pdu.state_key.as_deref() == Some(pdu.sender.as_str())
            && pdu.membership() == Some(MembershipState::Join);
        if !is_join || self.membership(&pdu.sender).await? == Some(MembershipState::Join) {
            return Ok(());
        }
        let limit = self.rooms.platform_of(&pdu.sender)?.settings.limits.joined_rooms.into();
        if limit == 0 {
            return Ok(());
        }
        let Remaining(remaining) = &self.rooms.shared.remaining_joins;
        let left = match remaining.get(&pdu.sender) {
            Some(left) if left > 0 => left,
            _ => {
                let rows = self.rooms.store().range(Range::<Memberships>::prefix((&pdu.sender,))).await?;
                let joined = rows.iter().filter(|(_, row)| row.value.membership == MembershipState::Join);
                let left = u64::saturating_sub(limit, joined.count() as u64);
                if left == 0 {
                    return Err(RoomsError::TooMany("rooms that you are in: leave one first"));
                }
                left
            }
        };
        remaining.insert(pdu.sender.clone(), left - 1);
        Ok(())
    }
}
