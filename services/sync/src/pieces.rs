//! The answer to a sync that is large: it is made while it is sent, room by room, and the state of a large room piece by
//! piece. Only what was taken by the client is followed by more.
//!
//! All pieces tell what holds up to the token that the first one has. What happens meanwhile is told by the next sync. A
//! room in which the user's membership changes meanwhile is left out if its section is over; the next sync, whose token is
//! older than the change, tells all of it.

use std::collections::{BTreeMap, VecDeque};

use ruma::{OwnedRoomId, events::room::member::MembershipState};
use serde::Serialize;

use crate::{
    Ask, Event, InvitedRoom, JoinedRoom, KnockedRoom, LeftRoom, Result, Sync, SyncRequest, SyncResponse,
    SyncedRooms, changes::RoomChange, room::RestOfState,
};

/// Rooms are put together until a piece has about so many bytes.
const PIECE_BYTES: usize = 32 << 10;
/// The end of a room's JSON, which its state is last in.
const END_OF_STATE: &[u8] = b"]}}";

/// The sections of the rooms in an answer, in their order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Section {
    Join,
    Invite,
    Knock,
    Leave,
}

impl Section {
    const ALL: [Self; 4] = [Self::Join, Self::Invite, Self::Knock, Self::Leave];

    fn name(self) -> &'static str {
        match self {
            Self::Join => "join",
            Self::Invite => "invite",
            Self::Knock => "knock",
            Self::Leave => "leave",
        }
    }
}

/// What an answer tells of a room.
#[derive(Debug, Serialize)]
#[serde(untagged)]
#[allow(clippy::large_enum_variant)]
pub(crate) enum SyncedRoom {
    Join(JoinedRoom),
    Invite(InvitedRoom),
    Knock(KnockedRoom),
    Leave(LeftRoom),
}

impl SyncedRoom {
    /// About how many bytes it has as JSON.
    pub(crate) fn size_bytes(&self) -> usize {
        match self {
            Self::Join(room) => room.size_bytes(),
            Self::Invite(room) => room.size_bytes(),
            Self::Knock(room) => room.size_bytes(),
            Self::Leave(room) => room.size_bytes(),
        }
    }

    pub(crate) fn take_rest(&mut self) -> Option<RestOfState> {
        match self {
            Self::Join(room) => room.rest.take(),
            Self::Leave(room) => room.rest.take(),
            Self::Invite(_) | Self::Knock(_) => None,
        }
    }

    fn section(&self) -> Section {
        match self {
            Self::Join(_) => Section::Join,
            Self::Invite(_) => Section::Invite,
            Self::Knock(_) => Section::Knock,
            Self::Leave(_) => Section::Leave,
        }
    }

    fn has_state(&self) -> bool {
        match self {
            Self::Join(room) => !room.state.events().is_empty(),
            Self::Leave(room) => !room.state.events().is_empty(),
            Self::Invite(_) | Self::Knock(_) => false,
        }
    }
}

/// A room that was made.
type Made = (OwnedRoomId, SyncedRoom, Option<RestOfState>);

/// The rest of an answer that is being sent.
#[derive(Debug)]
pub struct Pieces {
    sync: Sync,
    ask: Ask,
    /// What comes before the rooms, until it was handed over.
    head: Option<Vec<u8>>,
    made: BTreeMap<Section, VecDeque<Made>>,
    to_make: BTreeMap<Section, VecDeque<(OwnedRoomId, RoomChange)>>,
    /// The sections that are not over. The first one is being told.
    sections: VecDeque<Section>,
    /// Whether a section was begun, and whether a room was told in the present one.
    has_section: bool,
    has_room: bool,
    /// The room whose state is being told, and whether any of it was.
    rest: Option<(RestOfState, bool)>,
    is_over: bool,
}

impl Sync {
    /// Has the rest of an answer made while it is sent. `newest` is the room that was made last, and `others` are to be
    /// made.
    pub(crate) async fn begin_pieces(
        &self,
        mut ask: Ask,
        mut response: SyncResponse,
        newest: Made,
        others: Vec<(OwnedRoomId, RoomChange)>,
    ) -> Result<Pieces> {
        ask.is_being_sent = true;
        let SyncRequest { user_id, device_id, .. } = &*ask.request;
        // Whether the client comes to have all of it is not known, so it is sent the members again.
        self.sent_members.begin(device_id, user_id, None);
        let mut made: BTreeMap<Section, VecDeque<Made>> = BTreeMap::new();
        let SyncedRooms { join, invite, knock, leave } = std::mem::take(&mut response.rooms);
        let join = join.into_iter().map(|(room_id, room)| (room_id, SyncedRoom::Join(room), None));
        let invite = invite.into_iter().map(|(room_id, room)| (room_id, SyncedRoom::Invite(room), None));
        let knock = knock.into_iter().map(|(room_id, room)| (room_id, SyncedRoom::Knock(room), None));
        let leave = leave.into_iter().map(|(room_id, room)| (room_id, SyncedRoom::Leave(room), None));
        for room in join.chain(invite).chain(knock).chain(leave).chain([newest]) {
            made.entry(room.1.section()).or_default().push_back(room);
        }
        let mut to_make: BTreeMap<Section, VecDeque<_>> = BTreeMap::new();
        for (room_id, change) in others {
            let Some(stored) = self.rooms.membership_record(user_id, &room_id).await? else { continue };
            let section = match stored.value.membership {
                MembershipState::Join => Section::Join,
                // A request that was deleted is told of as of a room that was left.
                MembershipState::Invite if stored.value.is_request && stored.value.is_hidden => {
                    Section::Leave
                }
                MembershipState::Invite => Section::Invite,
                MembershipState::Knock => Section::Knock,
                _ => Section::Leave,
            };
            to_make.entry(section).or_default().push_back((room_id, change));
        }
        let mut head = json(&response);
        head.pop();
        head.extend_from_slice(b",\"rooms\":{");
        Ok(Pieces {
            sync: self.clone(),
            ask,
            head: Some(head),
            made,
            to_make,
            sections: Section::ALL.into(),
            has_section: false,
            has_room: false,
            rest: None,
            is_over: false,
        })
    }
}

impl Pieces {
    /// About how much memory such an answer takes while it is sent, in bytes: what was made before it was known to be
    /// large, and the list of the entries of one room's state.
    pub const HELD_BYTES: usize = 8 << 20;

    /// The next piece of the answer's JSON; None at its end. Fails also if the session has ended meanwhile.
    pub async fn next(&mut self) -> Result<Option<Vec<u8>>> {
        if self.is_over {
            return Ok(None);
        }
        let SyncRequest { user_id, device_id, token_hash, .. } = &*self.ask.request;
        self.sync.accounts.check_session(user_id, device_id, *token_hash).await?;
        if let Some(head) = self.head.take() {
            return Ok(Some(head));
        }
        if let Some((rest, has_state)) = &mut self.rest {
            return match self.sync.next_of_rest(&self.ask, rest).await? {
                Some(events) => Ok(Some(following(&events, has_state))),
                None => {
                    self.rest = None;
                    Ok(Some(END_OF_STATE.to_vec()))
                }
            };
        }
        let mut piece = Vec::new();
        while let Some(section) = self.sections.front().copied() {
            if let Some((room_id, room, rest)) = self.next_room(section).await? {
                self.add_name(&mut piece, section, &room_id);
                let mut room_json = json(&room);
                if let Some(rest) = rest {
                    debug_assert!(room_json.ends_with(END_OF_STATE));
                    room_json.truncate(room_json.len() - END_OF_STATE.len());
                    self.rest = Some((rest, room.has_state()));
                }
                piece.append(&mut room_json);
                if self.rest.is_some() || piece.len() >= PIECE_BYTES {
                    return Ok(Some(piece));
                }
                continue;
            }
            self.sections.pop_front();
            if std::mem::take(&mut self.has_room) {
                piece.push(b'}');
            }
        }
        self.is_over = true;
        piece.extend_from_slice(b"}}");
        Ok(Some(piece))
    }

    /// Writes what comes before a room: the name of the section, if it is the first one there, and the room's.
    fn add_name(&mut self, piece: &mut Vec<u8>, section: Section, room_id: &OwnedRoomId) {
        if !self.has_room {
            if std::mem::replace(&mut self.has_section, true) {
                piece.push(b',');
            }
            piece.extend_from_slice(format!("\"{}\":{{", section.name()).as_bytes());
        }
        if std::mem::replace(&mut self.has_room, true) {
            piece.push(b',');
        }
        piece.append(&mut json(room_id));
        piece.push(b':');
    }

    /// The next room of a section, if there is another.
    async fn next_room(&mut self, section: Section) -> Result<Option<Made>> {
        loop {
            if let Some(made) = self.made.get_mut(&section).and_then(VecDeque::pop_front) {
                return Ok(Some(made));
            }
            let next = self.to_make.get_mut(&section).and_then(VecDeque::pop_front);
            let Some((room_id, change)) = next else { return Ok(None) };
            let Some(mut room) = self.sync.wanted_room(&self.ask, &room_id, &change).await? else { continue };
            let rest = room.take_rest();
            // The membership may have changed meanwhile.
            if room.section() >= section {
                self.made.entry(room.section()).or_default().push_back((room_id, room, rest));
            }
        }
    }
}

/// Events that follow others in a list.
fn following(events: &[Event], has_others: &mut bool) -> Vec<u8> {
    let mut piece = Vec::new();
    for event in events {
        if std::mem::replace(has_others, true) {
            piece.push(b',');
        }
        piece.extend_from_slice(event.get().as_bytes());
    }
    piece
}

fn json(value: &impl Serialize) -> Vec<u8> {
    serde_json::to_vec(value).expect("an answer is JSON")
}
