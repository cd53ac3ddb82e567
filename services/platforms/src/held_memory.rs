//! Memory that requests and answers take: bodies while they arrive and until they have been worked on, and answers until
//! their clients have taken them. All platforms share it, so none of them, nor any of their people, can fill it.

use std::{collections::HashMap, sync::Arc, time::Duration};

use parking_lot::Mutex;

use crate::{Capacity, Limited};

/// How long whoever finds no room should wait. Most of what is held is gone much sooner.
const RETRY_AFTER: Duration = Duration::from_secs(2);

/// How much memory is held at most.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bounds {
    /// For all platforms together, in bytes.
    pub(crate) all: usize,
    /// For one person, or one network of people who have not logged in, in bytes.
    pub(crate) one: usize,
    /// Whether something larger is held for somebody for whom nothing else is.
    pub(crate) first_may_be_larger: bool,
}

/// For bodies of requests: over a hundred of the greatest ones in all, and a small part of any server's memory; eight of
/// the greatest for one sender. Clients send one or two at a time.
pub(crate) const INCOMING: Bounds = Bounds { all: 256 << 20, one: 16 << 20, first_may_be_larger: false };

/// For answers. Pages have about a mebibyte; the first sync of many chats may have tens, and is one answer.
pub(crate) const UNSENT: Bounds = Bounds { all: 256 << 20, one: 16 << 20, first_may_be_larger: true };

/// What an answer takes at most that is made as a whole, as a rule: a page, and what is told beside it.
const WHOLE_ANSWER: usize = 2 << 20;

/// The memory that a platform may have held. Clones are the same memory.
#[derive(Clone, Debug)]
pub struct HeldMemory {
    held: Arc<Mutex<Held>>,
    /// The platform's number.
    platform: usize,
}

/// What is held for a platform now, and how often more was refused since the start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HeldCounts {
    /// How much is held, in bytes.
    pub bytes: usize,
    /// How often there was no room.
    pub refused: u64,
}

/// The memory of all platforms together.
#[derive(Debug)]
pub(crate) struct AllMemory(Arc<Mutex<Held>>);

impl AllMemory {
    /// Nothing is held, and there is no platform.
    pub(crate) fn new(bounds: Bounds) -> Self {
        let all = Capacity::new(bounds.all, 0);
        Self(Arc::new(Mutex::new(Held { bounds, all, refused: Vec::new(), of_one: HashMap::new() })))
    }

    /// The memory of the platform with this number.
    pub(crate) fn of_platform(&self, platform: usize) -> HeldMemory {
        let mut held = self.0.lock();
        let platforms = held.refused.len().max(platform + 1);
        held.all.grow_to(platforms);
        held.refused.resize(platforms, 0);
        HeldMemory { held: self.0.clone(), platform }
    }
}

/// What is held of all platforms.
#[derive(Debug)]
struct Held {
    bounds: Bounds,
    all: Capacity,
    /// How often there was no room, by platform.
    refused: Vec<u64>,
    /// What is held for each person or network, by platform and name.
    of_one: HashMap<(usize, String), usize>,
}

impl HeldMemory {
    /// Begins to hold something for `who`: a user id, or the network of somebody who has not logged in.
    pub fn begin(&self, who: String) -> Holding {
        Holding { held: self.held.clone(), who: (self.platform, who), bytes: 0 }
    }

    /// Refuses if so much is held for `who` that there is no room for a whole answer. Asking first spares making one that
    /// is refused then.
    pub fn check_room_for_answer(&self, who: &str) -> Result<(), Limited> {
        let mut held = self.held.lock();
        // For most nothing is, and their names need not be copied.
        if held.all.taken(self.platform) == 0 {
            return Ok(());
        }
        match held.of_one.get(&(self.platform, who.to_owned())) {
            Some(bytes) if *bytes + WHOLE_ANSWER > held.bounds.one => Err(held.refuse(self.platform)),
            _ => Ok(()),
        }
    }

    /// What is held for the platform now.
    pub fn counts(&self) -> HeldCounts {
        let held = self.held.lock();
        HeldCounts { bytes: held.all.taken(self.platform), refused: held.refused[self.platform] }
    }

    /// The most that is held for all platforms together, in bytes.
    pub fn limit_bytes(&self) -> usize {
        self.held.lock().bounds.all
    }
}

impl Held {
    fn refuse(&mut self, platform: usize) -> Limited {
        self.refused[platform] += 1;
        Limited { retry_after: RETRY_AFTER }
    }
}

/// Memory that is held. It is free again when this is dropped.
#[derive(Debug)]
pub struct Holding {
    held: Arc<Mutex<Held>>,
    who: (usize, String),
    bytes: usize,
}

impl Holding {
    /// Takes as much room as is lacking for so many bytes. Refuses if the person, the platform or all together have used
    /// up theirs.
    pub fn grow_to(&mut self, bytes: usize) -> Result<(), Limited> {
        let more = bytes.saturating_sub(self.bytes);
        let mut held = self.held.lock();
        let before = held.of_one.get(&self.who).copied().unwrap_or_default();
        let is_first = held.bounds.first_may_be_larger && before == self.bytes;
        let fits = is_first || before + more <= held.bounds.one;
        if !fits || !held.all.take(self.who.0, more) {
            return Err(held.refuse(self.who.0));
        }
        match held.of_one.get_mut(&self.who) {
            Some(known) => *known = before + more,
            None => drop(held.of_one.insert(self.who.clone(), before + more)),
        }
        self.bytes += more;
        Ok(())
    }
}

impl Drop for Holding {
    fn drop(&mut self) {
        let mut held = self.held.lock();
        held.all.give_back(self.who.0, self.bytes);
        if let Some(of_one) = held.of_one.get_mut(&self.who) {
            *of_one -= self.bytes;
            if *of_one == 0 {
                held.of_one.remove(&self.who);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn holding(memory: &HeldMemory, who: usize) -> Holding {
        memory.begin(who.to_string())
    }

    #[test]
    fn one_has_a_part_of_a_platforms_memory() {
        let memory = AllMemory::new(INCOMING).of_platform(0);
        let (mut first, mut second) = (holding(&memory, 0), holding(&memory, 0));
        first.grow_to(INCOMING.one - 1).expect("there is room");
        second.grow_to(1).expect("there is room");
        assert!(second.grow_to(2).is_err());
        holding(&memory, 1).grow_to(INCOMING.one).expect("others have room");
        drop(first);
        second.grow_to(INCOMING.one).expect("there is room again");
        drop(second);
        assert!(memory.held.lock().of_one.is_empty());
    }

    #[test]
    fn no_answer_is_made_for_which_there_is_no_room() {
        let memory = AllMemory::new(UNSENT).of_platform(0);
        let mut first = holding(&memory, 0);
        first.grow_to(UNSENT.one - WHOLE_ANSWER).expect("nothing else is held");
        assert!(memory.check_room_for_answer("0").is_ok());
        first.grow_to(UNSENT.one - WHOLE_ANSWER + 1).expect("there is room");
        assert!(memory.check_room_for_answer("0").is_err() && memory.check_room_for_answer("1").is_ok());
    }

    #[test]
    fn the_first_answer_may_be_larger() {
        let memory = AllMemory::new(UNSENT).of_platform(0);
        let (mut first, mut second) = (holding(&memory, 0), holding(&memory, 0));
        first.grow_to(2 * UNSENT.one).expect("nothing else is held");
        assert!(memory.check_room_for_answer("0").is_err());
        assert!(second.grow_to(1).is_err());
        drop(first);
        second.grow_to(1).expect("there is room again");
        assert!(holding(&memory, 1).grow_to(UNSENT.all).is_err(), "all have no more than there is");
    }

    #[test]
    fn a_platform_whose_memory_is_used_up_leaves_others_theirs() {
        let all = AllMemory::new(INCOMING);
        let both = [all.of_platform(0), all.of_platform(1)];
        let mut all = Vec::new();
        let full = (0..=INCOMING.all / INCOMING.one).any(|who| {
            let mut one = holding(&both[0], who);
            let refused = one.grow_to(INCOMING.one).is_err();
            all.push(one);
            refused
        });
        assert!(full);
        holding(&both[1], 0).grow_to(INCOMING.one).expect("the other platform has room");
        assert_eq!(both[1].counts(), HeldCounts { bytes: 0, refused: 0 });
        let of_all = all.iter().map(|one| one.bytes).sum::<usize>();
        assert_eq!(both[0].counts(), HeldCounts { bytes: of_all, refused: 1 });
    }
}
