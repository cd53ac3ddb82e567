//! How much state a room may have. Everybody who comes in is given all of it, so the bound is the room's, whoever made
//! what is there. The numbers stand in the room's head and are written with it.

use linkspan_domain::{Pdu, SharedPdu, StateKey as StateEntryKey};
use linkspan_storage::records::StoredAmountRecord;
use ruma::events::{StateEventType, TimelineEventType, room::member::MembershipState};

use super::Append;
use crate::{Result, RoomsError};

/// The greatest number of entries. The longest lists of bans in use, and the largest spaces, have some ten thousand.
const MAX_ENTRIES: u64 = 50_000;
/// How large the contents of these entries may be together, in bytes: that of a room with as many entries as in use is
/// some MB.
const MAX_BYTES: u64 = 32 << 20;
/// The greatest content of a membership, in bytes. It has a name, a picture and a reason, and everybody has one.
const MEMBERSHIP_BYTES: usize = 8 << 10;

impl Append {
    /// Counts that an entry of the state becomes another. Refuses more than a room may have with
    /// [`RoomsError::TooMany`], which is 403 `M_FORBIDDEN`; less is always taken, and so is putting somebody out who is
    /// there. What was made elsewhere is counted and not refused, for the graph has settled it.
    pub(super) async fn count_entry(
        &mut self,
        entry: &StateEntryKey,
        after: Option<&SharedPdu>,
    ) -> Result<()> {
        let before = self.state_event(&entry.0, &entry.1).await?;
        let known = self.state_size().await?;
        let (old, new) = (size_of(before.as_deref()), size_of(after.map(|pdu| &**pdu)));
        let now = StoredAmountRecord {
            entries: (known.entries + new.entries).saturating_sub(old.entries),
            size_bytes: (known.size_bytes + new.size_bytes).saturating_sub(old.size_bytes),
        };
        if let Some(after) = after.filter(|_| !self.from_elsewhere) {
            let is_membership = after.event_type == TimelineEventType::RoomMember;
            if is_membership && after.content.get().len() > MEMBERSHIP_BYTES {
                let refusal = format!("a membership has at most {MEMBERSHIP_BYTES} bytes");
                return Err(RoomsError::TooLarge(refusal));
            }
            let puts_out = is_membership && before.is_some();
            let is_too_much = now.entries > known.entries.max(MAX_ENTRIES)
                || now.size_bytes > known.size_bytes.max(MAX_BYTES);
            if is_too_much && !puts_out {
                return Err(RoomsError::TooMany("entries or bytes in the state of this room"));
            }
        }
        self.head.state_size = Some(now);
        Ok(())
    }

    /// How much there is. That of a room from before it was counted is read once.
    async fn state_size(&self) -> Result<StoredAmountRecord> {
        if let Some(known) = &self.head.state_size {
            return Ok(known.clone());
        }
        self.settle().await?;
        let mut known = StoredAmountRecord { entries: 0, size_bytes: 0 };
        let entries = self.rooms.state_entries_without_members(&self.room.id).await?;
        for entry in entries {
            let event = self.rooms.any_event(&self.room.id, &entry.event_id).await?;
            let size = size_of(event.as_ref().map(|event| &*event.pdu));
            known.entries += size.entries;
            known.size_bytes += size.size_bytes;
        }
        Ok(known)
    }
}

/// What an entry counts. Of memberships only those that others have given count, and only of who is not in the room:
/// how many members a room has is bounded by how many people there are.
fn size_of(pdu: Option<&Pdu>) -> StoredAmountRecord {
    let counts = |pdu: &&Pdu| {
        let Some((StateEventType::RoomMember, user_id)) = pdu.state_entry() else { return true };
        let is_out = matches!(pdu.membership(), Some(MembershipState::Ban | MembershipState::Leave));
        is_out && pdu.sender != user_id
    };
    match pdu.filter(counts) {
        Some(pdu) => StoredAmountRecord { entries: 1, size_bytes: pdu.content.get().len() as u64 },
        None => StoredAmountRecord { entries: 0, size_bytes: 0 },
    }
}
