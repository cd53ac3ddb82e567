//! Who may see which event: history visibility.

use ruma::events::room::member::MembershipState;
use serde::Deserialize;

use crate::Pdu;

/// A room's `m.room.history_visibility`.
/// <https://spec.matrix.org/v1.19/client-server-api/#room-history-visibility>
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum HistoryVisibility {
    /// Everybody sees everything.
    WorldReadable,
    /// Members see everything, also from before they joined.
    #[default]
    Shared,
    /// Members see what came after they were invited.
    Invited,
    /// Members see what came after they joined.
    Joined,
}

/// What is known of the user who wants to see an event.
#[derive(Clone, Copy, Debug)]
pub struct Seen<'a> {
    /// The user's membership when the event happened.
    pub membership_then: Option<&'a MembershipState>,
    /// The user joined at that time or later.
    pub joined_since: bool,
}

impl HistoryVisibility {
    /// Reads the state event. The default holds if there is none or it makes no sense.
    pub fn of(event: Option<&Pdu>) -> Self {
        #[derive(Deserialize)]
        struct Content {
            history_visibility: String,
        }
        match event.and_then(Pdu::content_as::<Content>).as_ref().map(|c| c.history_visibility.as_str()) {
            Some("world_readable") => Self::WorldReadable,
            Some("invited") => Self::Invited,
            Some("joined") => Self::Joined,
            _ => Self::Shared,
        }
    }

    /// Whether an event sent under this visibility shows itself to the user.
    pub fn shows(self, seen: Seen<'_>) -> bool {
        match self {
            _ if seen.membership_then == Some(&MembershipState::Join) => true,
            Self::WorldReadable => true,
            Self::Shared => seen.joined_since,
            Self::Invited => seen.membership_then == Some(&MembershipState::Invite),
            Self::Joined => false,
        }
    }
}
