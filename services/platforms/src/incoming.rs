//! Bodies of requests that memory holds, while they arrive and until they have been worked on. All platforms share the
//! memory, so none of them, nor any of their people, can fill it.

use std::{collections::HashMap, sync::Arc, time::Duration};

use parking_lot::Mutex;

use crate::{Capacity, Limited};

/// How much memory bodies may take, in bytes: over a hundred of the greatest ones, and a small part of any server's
/// memory.
const ALL_BYTES: usize = 256 << 20;
/// How much the bodies of one sender may take, in bytes: eight of the greatest. Clients send one or two at a time.
const SENDER_BYTES: usize = 16 << 20;
/// How long whoever finds no room should wait. Most bodies are gone much sooner.
const RETRY_AFTER: Duration = Duration::from_secs(2);

/// The room that a platform has for bodies.
#[derive(Debug)]
pub struct Incoming {
    held: Arc<Mutex<Held>>,
    /// The platform's number.
    platform: usize,
}

/// What is held of all platforms.
#[derive(Debug)]
struct Held {
    all: Capacity,
    /// What each sender has taken, by platform and name.
    senders: HashMap<(usize, String), usize>,
}

impl Incoming {
    /// The room of each of so many platforms, in their order.
    pub(crate) fn of_platforms(platforms: usize) -> impl Iterator<Item = Self> {
        let all = Capacity::new(ALL_BYTES, platforms);
        let held = Arc::new(Mutex::new(Held { all, senders: HashMap::new() }));
        (0..platforms).map(move |platform| Self { held: held.clone(), platform })
    }

    /// Begins a body of `sender`: a user id, or the network of somebody who has not logged in.
    pub fn begin(&self, sender: String) -> IncomingBody {
        IncomingBody { held: self.held.clone(), sender: (self.platform, sender), bytes: 0 }
    }
}

/// The room that a body has taken. It is free again when this is dropped.
#[derive(Debug)]
pub struct IncomingBody {
    held: Arc<Mutex<Held>>,
    sender: (usize, String),
    bytes: usize,
}

impl IncomingBody {
    /// Takes as much room as is lacking for so many bytes. Refuses if the sender, the platform or all together have
    /// used up theirs.
    pub fn grow_to(&mut self, bytes: usize) -> Result<(), Limited> {
        let more = bytes.saturating_sub(self.bytes);
        let mut held = self.held.lock();
        let of_sender = held.senders.get(&self.sender).copied().unwrap_or_default() + more;
        if of_sender > SENDER_BYTES || !held.all.take(self.sender.0, more) {
            return Err(Limited { retry_after: RETRY_AFTER });
        }
        match held.senders.get_mut(&self.sender) {
            Some(known) => *known = of_sender,
            None => drop(held.senders.insert(self.sender.clone(), of_sender)),
        }
        self.bytes += more;
        Ok(())
    }
}

impl Drop for IncomingBody {
    fn drop(&mut self) {
        let mut held = self.held.lock();
        held.all.give_back(self.sender.0, self.bytes);
        if let Some(of_sender) = held.senders.get_mut(&self.sender) {
            *of_sender -= self.bytes;
            if *of_sender == 0 {
                held.senders.remove(&self.sender);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn body(incoming: &Incoming, sender: usize) -> IncomingBody {
        incoming.begin(sender.to_string())
    }

    #[test]
    fn a_sender_has_a_part_of_a_platforms_room() {
        let incoming = Incoming::of_platforms(1).next().expect("one platform");
        let (mut first, mut second) = (body(&incoming, 0), body(&incoming, 0));
        first.grow_to(SENDER_BYTES - 1).expect("there is room");
        second.grow_to(1).expect("there is room");
        assert!(second.grow_to(2).is_err());
        body(&incoming, 1).grow_to(SENDER_BYTES).expect("others have room");
        drop(first);
        second.grow_to(SENDER_BYTES).expect("there is room again");
        drop(second);
        assert!(incoming.held.lock().senders.is_empty());
    }

    #[test]
    fn a_platform_whose_room_is_used_up_leaves_others_theirs() {
        let both: Vec<_> = Incoming::of_platforms(2).collect();
        let mut bodies = Vec::new();
        let full = (0..=ALL_BYTES / SENDER_BYTES).any(|sender| {
            let mut body = body(&both[0], sender);
            let refused = body.grow_to(SENDER_BYTES).is_err();
            bodies.push(body);
            refused
        });
        assert!(full);
        body(&both[1], 0).grow_to(SENDER_BYTES).expect("the other platform has room");
    }
}
