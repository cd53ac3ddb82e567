//! Simplified sliding sync: windows on the user's rooms, over the same inbox as `/sync`.
//! <https://github.com/matrix-org/matrix-spec-proposals/pull/4186>

mod connection;
mod extensions;
mod memory;
mod pos;
mod request;
mod response;
mod room;
mod room_list;
mod sent;

use std::{
    collections::{BTreeMap, BTreeSet, HashSet, btree_map::Entry},
    sync::Arc,
};

use linkspan_inbox::{SyncToken, Waiter};
use linkspan_platforms::give_way;
use linkspan_storage::{Position, StorageError, WriteSet, catalogue::SlidingRooms};
use ruma::{OwnedDeviceId, OwnedRoomId, events::room::member::MembershipState};

pub(crate) use connection::Connections;
pub use pos::Pos;
pub use request::{Extensions, Filters, List, RequiredState, RoomConfig, Scope, SlidingRequest};
pub use response::{
    AccountDataNews, E2eeNews, ExtensionNews, Hero, SlidingResponse, SlidingRoom, ToDeviceNews,
};
pub(crate) use room_list::RoomTypes;

use self::{
    memory::MadeRooms,
    request::SharedConfig,
    room_list::UserFacts,
    sent::{ConnectionState, Sent},
};
use crate::{
    Ask, MAX_TIMEOUT, Result, StateAfter, Sync, SyncError, SyncRequest, changes::Changes, timing::Timing,
};

/// The most lists, and the most subscriptions, that a request may have.
const MAX_LISTS: usize = 100;

/// Once the rooms of an answer have about so many bytes, the others are told by the next one.
const ROOMS_BYTES: usize = 8 << 20;

/// A room that matches a list or a subscription.
#[derive(Debug)]
struct Relevant {
    config: SharedConfig,
    lists: Vec<String>,
    is_subscribed: bool,
    is_joined: bool,
}

/// What one answer is built from.
struct Building<'a> {
    request: &'a SlidingRequest,
    ask: Ask,
    facts: UserFacts,
    changes: Changes,
    relevant: BTreeMap<OwnedRoomId, Relevant>,
    /// The relevant rooms that had fallen behind, with the position up to which each was sent.
    behind: BTreeMap<OwnedRoomId, Position>,
    /// The rows of the connection that change with the answer.
    writes: WriteSet,
    /// How much the rooms of the answer take.
    made: MadeRooms,
}

/// Why a request waits no longer.
enum Woken {
    News,
    Superseded,
    TimeIsUp,
}

impl Sync {
    /// Tells what is new on a connection, and waits up to the timeout if nothing is. `clock` says
    /// milliseconds since the Unix epoch.
    pub async fn sliding_sync(
        &self,
        request: &SlidingRequest,
        clock: impl Fn() -> u64,
    ) -> Result<SlidingResponse> {
        let waiter = self.inbox.waiter(&request.user_id);
        let mut timing = self.timing(&request.user_id);
        let response = self.wait_for_sliding_news(request, &waiter, &mut timing, clock).await;
        waiter.own_requests_answered().await;
        self.accounts.check_session(&request.user_id, &request.device_id, request.token_hash).await?;
        response
    }

    async fn wait_for_sliding_news(
        &self,
        request: &SlidingRequest,
        waiter: &Waiter,
        timing: &mut Timing,
        clock: impl Fn() -> u64,
    ) -> Result<SlidingResponse> {
        if request.lists.len() > MAX_LISTS || request.subscriptions.len() > MAX_LISTS {
            return Err(SyncError::TooMany);
        }
        self.acknowledge(request).await?;
        let connection = self.connection(request, clock()).await?;
        let number = connection.supersede();
        let (user_id, device_id) = (&request.user_id, request.members_key());
        let since = request.pos.map(|pos| pos.to_string());
        self.sent_members.begin(&device_id, user_id, since.as_deref());
        let deadline = tokio::time::Instant::now() + request.timeout.min(MAX_TIMEOUT);
        let asked_for_news = request.pos.is_some() && !request.timeout.is_zero();
        if asked_for_news {
            self.inbox.gather().await;
        }
        loop {
            let changed = waiter.changed();
            let superseded = connection.superseded.notified();
            let (response, has_news) = {
                let mut state = connection.state.lock().await;
                if connection.is_gone() {
                    return Err(SyncError::UnknownPos);
                }
                // What is noted of the newer request's answer must stay.
                if !connection.is_newest(number) {
                    return Ok(self.nothing(request));
                }
                Box::pin(self.build_sliding(request, &mut state, waiter, clock())).await?
            };
            let token_hash = request.token_hash;
            let may_wait = asked_for_news
                && !self.inbox.is_stopping()
                && self.accounts.check_session(user_id, &request.device_id, token_hash).await.is_ok();
            if has_news || !may_wait {
                self.sent_members.finish(&device_id, user_id, response.pos.to_string());
                return Ok(response);
            }
            drop(response);
            let woken = async {
                tokio::select! {
                    () = changed => Woken::News,
                    () = superseded => Woken::Superseded,
                    () = tokio::time::sleep_until(deadline) => Woken::TimeIsUp,
                }
            };
            match timing.wait(woken).await {
                Woken::News => {}
                // The client has asked anew, so nobody waits for this answer.
                Woken::Superseded => return Ok(self.nothing(request)),
                Woken::TimeIsUp => {
                    let mut state = connection.state.lock().await;
                    if connection.is_gone() {
                        return Err(SyncError::UnknownPos);
                    }
                    if !connection.is_newest(number) {
                        return Ok(self.nothing(request));
                    }
                    let now = clock();
                    let (response, _) =
                        Box::pin(self.build_sliding(request, &mut state, waiter, now)).await?;
                    self.sent_members.finish(&device_id, user_id, response.pos.to_string());
                    return Ok(response);
                }
            }
        }
    }

    fn nothing(&self, request: &SlidingRequest) -> SlidingResponse {
        let pos = request.pos.unwrap_or(Pos { generation: 0, answer: 0, token: self.inbox.now() });
        SlidingResponse {
            pos,
            lists: BTreeMap::new(),
            rooms: BTreeMap::new(),
            extensions: ExtensionNews::default(),
        }
    }

    /// Builds an answer, and says whether there is anything in it that a client waits for.
    async fn build_sliding(
        &self,
        request: &SlidingRequest,
        connection: &mut ConnectionState,
        waiter: &Waiter,
        now_ts: u64,
    ) -> Result<(SlidingResponse, bool)> {
        let had = request.pos.map_or(0, |pos| pos.answer);
        let mut writes = WriteSet::new();
        connection.take_back(had, &mut writes);
        let until = self.inbox.now();
        let since = request.pos.map(|pos| SyncToken {
            position: pos.token.position,
            // A token with an epoch from the future is from before the clock was set back.
            epoch: pos.token.epoch.min(until.epoch),
        });
        let sync_request = Arc::new(plain_request(request, since));
        let ask = self.ask(&sync_request, since, until, waiter, now_ts).await?;
        let changes = self.find_changes(&ask).await?;
        let with_events =
            changes.rooms.iter().filter(|(_, change)| change.events).map(|(room_id, _)| room_id);
        let told = ask.since_position();
        let mut list = match connection.list.take() {
            // Account data decides who is ignored and whose invitations are hidden.
            Some(list) if since.is_some() && !changes.account_data => list,
            _ => self.load_room_list(connection, &request.user_id, told).await?,
        };
        if since.is_some() {
            self.update_room_list(&mut list, connection, &request.user_id, with_events, told).await?;
        }
        let list = connection.list.insert(list);

        let facts = self.user_facts(&request.user_id).await?;
        let mut relevant: BTreeMap<OwnedRoomId, Relevant> = BTreeMap::new();
        let mut counts = BTreeMap::new();
        for (name, wanted) in &request.lists {
            let (window, count) = self.window(list, wanted, &request.user_id, &facts).await?;
            counts.insert(name.clone(), count);
            let config = SharedConfig::from(&wanted.config);
            for room_id in window {
                Relevant::of(&mut relevant, room_id, &config).lists.push(name.clone());
            }
        }
        for (room_id, config) in &request.subscriptions {
            Relevant::of(&mut relevant, room_id.clone(), &config.into()).is_subscribed = true;
        }
        for (room_id, relevant) in &mut relevant {
            relevant.is_joined = list.is_joined(room_id);
        }
        let (behind, made) = (BTreeMap::new(), MadeRooms::default());
        let mut building = Building { request, ask, facts, changes, relevant, behind, writes, made };
        let rooms = self.add_sliding_rooms(&mut building, connection).await?;
        let extensions = self.extension_news(&building, &rooms).await?;
        if !building.writes.is_empty() {
            // Reading goes on when the disk is nearly full.
            building.writes.use_reserve();
            let ticket = self.store.submit(building.writes);
            // A first answer only adds rows, and what a crash loses of them is sent again. Later answers also
            // say that a room has fallen behind. A client that has got such an answer must not find the rows
            // otherwise.
            if since.is_some() {
                ticket.committed().await.map_err(StorageError::from)?;
            }
        }
        let has_news = !rooms.is_empty() || connection.counts != counts || !extensions.is_empty();
        connection.counts.clone_from(&counts);
        let pos = Pos { generation: connection.generation, answer: had + 1, token: until };
        Ok((SlidingResponse { pos, lists: counts, rooms, extensions }, has_news))
    }

    async fn add_sliding_rooms(
        &self,
        building: &mut Building<'_>,
        connection: &mut ConnectionState,
    ) -> Result<BTreeMap<OwnedRoomId, SlidingRoom>> {
        let told = building.ask.since_position();
        let answer = building.request.pos.map_or(0, |pos| pos.answer) + 1;
        let mut rooms = BTreeMap::new();
        let left = self.left_rooms(building, connection).await?;
        let mut left_out = HashSet::new();
        for (room_id, relevant) in building.relevant.iter().chain(left.iter()) {
            give_way().await?;
            // For most rooms there is nothing to tell and nothing to note.
            if !building.changes.rooms.contains_key(room_id) && connection.has_all(room_id, &relevant.config)
            {
                continue;
            }
            // Rooms that were left are told of by one answer only, and have little to tell.
            if building.made.bytes() >= ROOMS_BYTES && building.relevant.contains_key(room_id) {
                left_out.insert(room_id.clone());
                continue;
            }
            let sent = connection.sent(room_id, told);
            if let Sent::UpTo(up_to) = sent
                && up_to < told
            {
                building.behind.insert(room_id.clone(), up_to);
            }
            let timeline_sent = connection.timeline_sent(room_id);
            let state_sent = connection.state_sent(room_id, &relevant.config);
            let known = room::Known { sent, timeline_sent, state_sent };
            let Some(room) = self.sliding_room(building, room_id, relevant, known).await? else { continue };
            if sent == Sent::Never
                && let Some(list) = &mut connection.list
            {
                list.note_shown(room_id);
            }
            let row = connection.note_sent(room_id, &relevant.config, told, answer, &room);
            if let Some((key, record)) = row {
                building.writes.put::<SlidingRooms>(&key, &record);
            }
            building.made.add(room.news.as_ref().map_or(0, SlidingRoom::size_bytes))?;
            rooms.extend(room.news.map(|news| (room_id.clone(), news)));
        }
        // This is not done for events only. The position up to which a room was sent also says which
        // receipts, for example, it missed.
        for room_id in building.changes.rooms.keys() {
            let is_wanted = building.relevant.contains_key(room_id) || left.contains_key(room_id);
            let is_told = is_wanted && !left_out.contains(room_id);
            if !is_told && let Some((key, record)) = connection.note_behind(room_id, told) {
                building.writes.put::<SlidingRooms>(&key, &record);
            }
        }
        Ok(rooms)
    }

    /// The rooms that the device was sent, that the user has left since, and that are in no window. They are
    /// told once, with the user's own membership if that is wanted for any room.
    async fn left_rooms(
        &self,
        building: &Building<'_>,
        connection: &ConnectionState,
    ) -> Result<BTreeMap<OwnedRoomId, Relevant>> {
        let told = building.ask.since_position();
        let changed = building.changes.rooms.iter().filter(|(_, change)| change.events);
        let mut left = BTreeMap::new();
        let config = SharedConfig::from(&building.request.config_of_end());
        let mut rooms = changed.map(|(room_id, _)| room_id).collect::<BTreeSet<_>>();
        rooms.retain(|room_id| {
            !building.relevant.contains_key(*room_id) && connection.sent(room_id, told) != Sent::Never
        });
        let user_id = &building.request.user_id;
        let memberships = self.rooms.membership_records(user_id, rooms.iter().copied()).await?;
        for (room_id, record) in rooms.into_iter().zip(memberships) {
            let Some(record) = record else { continue };
            if matches!(record.value.membership, MembershipState::Leave | MembershipState::Ban)
                && record.position > told
            {
                Relevant::of(&mut left, room_id.clone(), &config);
            }
        }
        Ok(left)
    }
}

impl Relevant {
    /// Gives the entry of a room, and adds what this list or subscription wants to it.
    fn of<'a>(
        all: &'a mut BTreeMap<OwnedRoomId, Self>,
        room_id: OwnedRoomId,
        config: &SharedConfig,
    ) -> &'a mut Self {
        match all.entry(room_id) {
            Entry::Occupied(known) => {
                let known = known.into_mut();
                known.config.merge(config);
                known
            }
            Entry::Vacant(new) => {
                let (config, lists) = (config.clone(), Vec::new());
                new.insert(Self { config, lists, is_subscribed: false, is_joined: false })
            }
        }
    }
}

impl SlidingRequest {
    /// The name under which the members that were sent are remembered. Each connection of a device has its
    /// own.
    fn members_key(&self) -> OwnedDeviceId {
        format!("{}/{}", self.device_id, self.conn_id).into()
    }
}

/// A plain sync of the same user. What both kinds of sync need is found out through it.
fn plain_request(request: &SlidingRequest, since: Option<SyncToken>) -> SyncRequest {
    SyncRequest {
        user_id: request.user_id.clone(),
        device_id: request.device_id.clone(),
        token_hash: request.token_hash,
        since,
        filter: Arc::default(),
        full_state: false,
        timeout: request.timeout,
        state_after: StateAfter::Stable,
        presence: false,
    }
}
