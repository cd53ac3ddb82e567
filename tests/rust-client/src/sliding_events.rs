//! The events of an open room as sliding sync brings them, from the library's cache. Each is told once,
//! decrypted as soon as possible.

use std::collections::BTreeMap;

use matrix_sdk::{
    Room,
    deserialized_responses::TimelineEvent,
    event_cache::RoomEventCacheUpdate,
    ruma::{OwnedEventId, OwnedRoomId},
};
use matrix_sdk_ui::eyeball_im::Vector;
use tokio::sync::broadcast::error::RecvError;

use crate::{Refused, decryption::described, write};

/// Tells the room's events from now on. Those that are there already come first.
pub(crate) async fn follow(room: &Room) -> Result<impl Future<Output = ()> + use<>, Refused> {
    let (cache, handles) = room.event_cache().await?;
    let (events, mut updates) = cache.subscribe().await?;
    let mut events = Vector::from_iter(events);
    let mut told = Told { room: room.room_id().to_owned(), readable: BTreeMap::new() };
    Ok(async move {
        let _handles = handles;
        told.tell(&events);
        loop {
            match updates.recv().await {
                Ok(RoomEventCacheUpdate::UpdateTimelineEvents(update)) => {
                    update.diffs.into_iter().for_each(|diff| diff.apply(&mut events));
                }
                Ok(_) => continue,
                Err(RecvError::Closed) => return,
                Err(RecvError::Lagged(_)) => match cache.subscribe().await {
                    Ok((all, again)) => (events, updates) = (Vector::from_iter(all), again),
                    Err(_) => return,
                },
            }
            told.tell(&events);
        }
    })
}

/// What was told of a room.
struct Told {
    room: OwnedRoomId,
    /// Each event, with whether it could be read.
    readable: BTreeMap<OwnedEventId, bool>,
}

impl Told {
    fn tell(&mut self, events: &Vector<TimelineEvent>) {
        for event in events {
            let Some(id) = event.event_id() else { continue };
            let readable = !event.kind.is_utd();
            match self.readable.get(&id) {
                None => write(&described("timeline", &self.room, event)),
                Some(false) if readable => write(&described("decrypted", &self.room, event)),
                Some(_) => continue,
            }
            self.readable.insert(id, readable);
        }
    }
}
