//! The dispatcher. It follows the feed, and has pushers told of events that notify.
//!
//! It keeps no place of its own in the store. What happens while the process is down is not pushed.

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
};

use linkspan_rooms::TimelineEvent;
use linkspan_storage::{
    Committed, Feed, News, Position,
    catalogue::{Inbox, RoomHeads},
};
use parking_lot::Mutex;
use quick_cache::sync::Cache;
use ruma::{
    OwnedRoomId, OwnedUserId,
    events::{StateEventType, TimelineEventType, room::member::MembershipState},
};
use serde::Deserialize;
use tokio::sync::Notify;

use crate::{
    Evaluation, Push, PushEvent, Recipient, Result, UserContext,
    delivery::{EventNotice, Notice, tweaks},
    gateway::Details,
    room_facts::RoomFacts,
};

/// The most events of a room that are looked at in one go. If there are more, only the newest are.
const MAX_EVENTS: i64 = 500;
/// How many rooms have the place in memory up to which they were looked at.
const CURSORS: usize = 50_000;
/// The most bytes of an event's content that gateways are sent.
const MAX_CONTENT_BYTES: usize = 8 << 10;

/// What the dispatcher has heard and not yet looked at.
#[derive(Debug)]
pub(crate) struct Dispatch {
    /// Rooms with news, each with the position of the first of it.
    rooms: Mutex<HashMap<OwnedRoomId, Position>>,
    rooms_changed: Notify,
    /// Users who may have read something.
    readers: Mutex<HashSet<OwnedUserId>>,
    readers_changed: Notify,
    /// The place up to which each room was looked at.
    cursors: Cache<OwnedRoomId, i64>,
}

impl Default for Dispatch {
    fn default() -> Self {
        Self {
            rooms: Mutex::default(),
            rooms_changed: Notify::new(),
            readers: Mutex::default(),
            readers_changed: Notify::new(),
            cursors: Cache::new(CURSORS),
        }
    }
}

/// An event that is held against the rules of the room's people.
struct Incoming<'a> {
    event: &'a TimelineEvent,
    prepared: PushEvent<'a>,
    facts: &'a RoomFacts,
}

#[derive(Deserialize)]
struct Name {
    name: Option<String>,
}

#[derive(Deserialize)]
struct Alias {
    alias: Option<String>,
}

impl Push {
    /// Follows the feed of commits and tells pushers, until the store is gone.
    pub async fn follow(self, feed: Feed) {
        tokio::select! {
            () = self.listen(feed) => {}
            () = self.dispatch_rooms() => {}
            () = self.update_badges() => {}
        }
    }

    async fn listen(&self, mut feed: Feed) {
        let mut heard = self.store().position();
        while let Some(news) = feed.next().await {
            match news {
                News::Commits(group) => {
                    group.iter().for_each(|committed| self.hear(committed));
                    heard = group.last().map_or(heard, |committed| committed.position);
                }
                News::Missed => {
                    if let Err(error) = self.look_at_all_rooms(heard.next()).await {
                        tracing::warn!(%error, "the rooms of those who have pushers could not be listed");
                    }
                }
            }
        }
    }

    fn hear(&self, committed: &Committed) {
        if self.shared.pushers.is_empty() {
            return;
        }
        let rooms = committed.keys_put::<RoomHeads>().map(|key| &key.room_id);
        rooms.for_each(|room_id| self.note_room(room_id, committed.position));
        let readers = committed.keys_put::<Inbox>().map(|key| &key.user_id);
        readers
            .filter(|user_id| self.shared.pushers.has(user_id))
            .for_each(|user_id| self.note_reader(user_id));
    }

    fn note_room(&self, room_id: &OwnedRoomId, since: Position) {
        let dispatch = &self.shared.dispatch;
        dispatch.rooms.lock().entry(room_id.clone()).or_insert(since);
        dispatch.rooms_changed.notify_one();
    }

    fn note_reader(&self, user_id: &OwnedUserId) {
        let dispatch = &self.shared.dispatch;
        dispatch.readers.lock().insert(user_id.clone());
        dispatch.readers_changed.notify_one();
    }

    /// Commits were missed since a position: looks at all rooms of those who have pushers.
    async fn look_at_all_rooms(&self, since: Position) -> Result<()> {
        for user_id in self.shared.pushers.users() {
            for (room_id, _) in self.rooms().memberships(&user_id).await? {
                self.note_room(&room_id, since);
            }
            self.note_reader(&user_id);
        }
        Ok(())
    }

    async fn dispatch_rooms(&self) {
        let dispatch = &self.shared.dispatch;
        loop {
            dispatch.rooms_changed.notified().await;
            let rooms = std::mem::take(&mut *dispatch.rooms.lock());
            for (room_id, position) in rooms {
                if let Err(error) = self.dispatch_room(&room_id, position).await {
                    tracing::warn!(%error, %room_id, "events of a room were not pushed");
                }
            }
        }
    }

    async fn update_badges(&self) {
        let dispatch = &self.shared.dispatch;
        loop {
            dispatch.readers_changed.notified().await;
            tokio::time::sleep(self.shared.settings.badge_delay).await;
            let readers = std::mem::take(&mut *dispatch.readers.lock());
            for user_id in readers {
                if let Err(error) = self.update_badge(&user_id).await {
                    tracing::warn!(%error, %user_id, "a badge was not updated");
                }
            }
        }
    }

    async fn dispatch_room(&self, room_id: &OwnedRoomId, position: Position) -> Result<()> {
        let Some(head) = self.rooms().head(room_id).await? else { return Ok(()) };
        let cursors = &self.shared.dispatch.cursors;
        let bound = head.seq - MAX_EVENTS;
        let after = cursors.get(room_id).unwrap_or(0).max(bound);
        let mut events = self.rooms().timeline_back(room_id, head.seq, after, MAX_EVENTS as usize).await?;
        // What came while nobody had a pusher is not told later.
        events.retain(|event| event.position >= position);
        events.reverse();
        cursors.insert(room_id.clone(), head.seq);
        if events.is_empty() {
            return Ok(());
        }
        let room = self.rooms().room(room_id).await?;
        let members = self.rooms().local_members(&room).await?;
        let members: Vec<_> =
            members.iter().filter(|user_id| self.shared.pushers.has(user_id)).cloned().collect();
        if members.is_empty() && !events.iter().any(|event| self.invited(event).is_some()) {
            return Ok(());
        }
        let facts = self.room_facts(room_id, &head).await?;
        let mut recipients = HashMap::new();
        let mut failed = HashSet::new();
        for event in &events {
            let incoming = Incoming { event, prepared: PushEvent::new(&event.pdu), facts: &facts };
            let invited = self.invited(event).filter(|user_id| !members.contains(user_id));
            for user_id in members.iter().chain(&invited) {
                if *user_id == event.pdu.sender || failed.contains(user_id) {
                    continue;
                }
                let is_invited = invited.as_ref() == Some(user_id);
                if let Err(error) = self.dispatch_to(user_id, is_invited, &incoming, &mut recipients).await {
                    // What is wrong with one of them is no reason to tell the others nothing.
                    tracing::warn!(%error, %user_id, %room_id, "events of a room were not pushed to somebody");
                    failed.insert(user_id.clone());
                }
            }
        }
        Ok(())
    }

    /// Whether the invitation that a user has to a room is kept from the user.
    async fn hides_invitation(&self, user_id: &OwnedUserId, room_id: &OwnedRoomId) -> Result<bool> {
        match self.rooms().membership_record(user_id, room_id).await? {
            Some(stored) => Ok(self.rooms().hides_invitation(user_id, &stored.value).await?),
            None => Ok(true),
        }
    }

    /// The user whom the event invites, if it is somebody with a pusher.
    fn invited(&self, event: &TimelineEvent) -> Option<OwnedUserId> {
        let pdu = &event.pdu;
        if pdu.event_type != TimelineEventType::RoomMember
            || pdu.membership() != Some(MembershipState::Invite)
        {
            return None;
        }
        let user_id = OwnedUserId::try_from(pdu.state_key.as_deref()?).ok()?;
        self.shared.pushers.has(&user_id).then_some(user_id)
    }

    async fn dispatch_to(
        &self,
        user_id: &OwnedUserId,
        is_invited: bool,
        incoming: &Incoming<'_>,
        recipients: &mut HashMap<OwnedUserId, (Recipient, Option<String>)>,
    ) -> Result<()> {
        let room_id = &incoming.event.pdu.room_id;
        if is_invited && self.hides_invitation(user_id, room_id).await? {
            return Ok(());
        }
        if self.rooms().encryption_rule(user_id).is_some_and(|rule| rule.hides(&incoming.event.pdu)) {
            return Ok(());
        }
        if !recipients.contains_key(user_id) {
            let recipient = self.recipient(user_id).await?;
            let name = self.asked_name(room_id, &recipient).await?;
            recipients.insert(user_id.clone(), (recipient, name));
        }
        let (recipient, name) = &recipients[user_id];
        let place = self.thread_place(recipient, incoming.event).await?;
        let user = UserContext { name: name.as_deref(), subscribed: place.subscribed };
        let evaluation = recipient.evaluate(&incoming.prepared, user, incoming.facts.context());
        if !evaluation.notify
            || self.has_read(user_id, room_id, place.root.as_deref(), incoming.event.seq).await?
        {
            return Ok(());
        }
        let pushers = self.active_pushers(user_id).await?;
        let only_ids = pushers.iter().all(|pusher| pusher.event_id_only());
        let unread = self.badge_after(user_id, room_id).await?;
        let notice = Arc::new(self.notice(user_id, incoming, evaluation, only_ids).await?);
        for pusher in pushers {
            self.deliver(&pusher.key, Notice::Event(notice.clone()), unread.clone());
        }
        Ok(())
    }

    async fn notice(
        &self,
        user_id: &OwnedUserId,
        incoming: &Incoming<'_>,
        evaluation: Evaluation<'_>,
        only_ids: bool,
    ) -> Result<EventNotice> {
        let pdu = &incoming.event.pdu;
        let high_priority = evaluation.highlight
            || incoming.facts.is_direct()
            || matches!(pdu.event_type, TimelineEventType::RoomEncrypted | TimelineEventType::CallInvite)
            || pdu.state_key.as_deref() == Some(user_id.as_str());
        let details = if only_ids { None } else { Some(self.details(user_id, incoming).await?) };
        Ok(EventNotice {
            event_id: pdu.event_id.clone(),
            room_id: pdu.room_id.clone(),
            high_priority,
            disappears_ts: incoming.event.disappears_ts,
            tweaks: tweaks(evaluation.actions),
            details,
        })
    }

    async fn details(&self, user_id: &OwnedUserId, incoming: &Incoming<'_>) -> Result<Details> {
        let pdu = &incoming.event.pdu;
        let room_id = &pdu.room_id;
        let name = self.rooms().state_event(room_id, &StateEventType::RoomName, "").await?;
        let alias = self.rooms().state_event(room_id, &StateEventType::RoomCanonicalAlias, "").await?;
        let short = pdu.content.get().len() <= MAX_CONTENT_BYTES;
        Ok(Details {
            event_type: pdu.event_type.to_string(),
            sender: pdu.sender.clone(),
            sender_display_name: self.display_name(room_id, &pdu.sender).await?,
            room_name: name.and_then(|event| event.content_as::<Name>()?.name),
            room_alias: alias.and_then(|event| event.content_as::<Alias>()?.alias),
            user_is_target: pdu.event_type == TimelineEventType::RoomMember
                && pdu.state_key.as_deref() == Some(user_id.as_str()),
            content: short.then(|| pdu.content.clone()),
        })
    }
}
