//! How much waits to be committed, and for whom: so that nobody can fill the queue, or make all others wait.
//!
//! Write-sets cannot overtake each other. A later one may expect what an earlier one writes, such as the head of a room
//! that people of several platforms are in, and would be refused before it. So instead of being served by turns, each
//! requester may only have so much in the queue, and so may each platform.

use std::{
    collections::{HashMap, hash_map::RandomState},
    hash::{BuildHasher, Hash},
};

use ruma::ServerName;

use crate::Unanswered;

const MIB: usize = 1 << 20;

/// What waits to be committed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct WaitingCommits {
    /// How many write-sets.
    pub count: usize,
    /// The bytes of their keys and values.
    pub bytes: usize,
}

/// What may wait in all: a hundred groups. At its size in bytes, memory is what would run out next.
const ALL: WaitingCommits = WaitingCommits { count: 1 << 16, bytes: 256 * MIB };
/// What may wait for the people of one platform: an eighth, which takes some ten groups. A disk that stands still for a
/// second gathers no more than that under the load that a platform has.
const PLATFORM: WaitingCommits = WaitingCommits { count: 1 << 13, bytes: 64 * MIB };
/// What may wait for one person: half a group, so that others are in the next one. Clients send one after the other, and
/// what is done for a request is done in some tens of write-sets.
const PERSON: WaitingCommits = WaitingCommits { count: 1 << 8, bytes: 8 * MIB };

impl WaitingCommits {
    /// Whether one more fits. One alone always does, however large it is.
    fn has_room(self, bytes: usize, limit: Self) -> bool {
        self.count == 0 || self.count < limit.count && self.bytes + bytes <= limit.bytes
    }
}

/// For whom a write-set waits: the hashes of the person and of the platform.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Requester(Option<[u64; 2]>);

/// All that waits.
#[derive(Debug, Default)]
pub(crate) struct Waiting {
    all: WaitingCommits,
    /// By hash, of people and of platforms. Two with the same hash would merely share.
    shares: HashMap<u64, WaitingCommits>,
    hasher: RandomState,
}

impl Waiting {
    /// Takes a write-set of so many bytes, which a request or the program itself has made. None: too much waits already.
    pub(crate) fn enter(&mut self, request: Option<&Unanswered>, bytes: usize) -> Option<Requester> {
        let requester = Requester(request.map(|request| {
            let user_id = request.user_id();
            [self.hash(user_id.as_str()), self.hash(user_id.server_name())]
        }));
        let limits = [PERSON, PLATFORM];
        let hashes = requester.0.iter().flatten();
        let has_room = self.all.has_room(bytes, ALL)
            && hashes.zip(limits).all(|(hash, limit)| {
                self.shares.get(hash).copied().unwrap_or_default().has_room(bytes, limit)
            });
        if !has_room {
            return None;
        }
        let shares = requester.0.iter().flatten().copied();
        for hash in shares {
            let share = self.shares.entry(hash).or_default();
            share.count += 1;
            share.bytes += bytes;
        }
        self.all.count += 1;
        self.all.bytes += bytes;
        Some(requester)
    }

    /// Lets a write-set go that had been taken.
    pub(crate) fn leave(&mut self, requester: Requester, bytes: usize) {
        for hash in requester.0.iter().flatten() {
            if let Some(share) = self.shares.get_mut(hash) {
                share.count -= 1;
                share.bytes -= bytes;
                if share.count == 0 {
                    self.shares.remove(hash);
                }
            }
        }
        self.all.count -= 1;
        self.all.bytes -= bytes;
    }

    /// All that waits.
    pub(crate) fn all(&self) -> WaitingCommits {
        self.all
    }

    /// What waits for the people of a platform.
    pub(crate) fn of_platform(&self, server_name: &ServerName) -> WaitingCommits {
        self.shares.get(&self.hash(server_name)).copied().unwrap_or_default()
    }

    fn hash(&self, name: impl Hash) -> u64 {
        self.hasher.hash_one(name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::answer_pending;

    fn request(user_id: &str) -> Unanswered {
        Unanswered::new(user_id.try_into().expect("a user id"), answer_pending().1)
    }

    #[test]
    fn one_person_leaves_room_for_others_and_one_platform_for_other_platforms() {
        let mut waiting = Waiting::default();
        let anna = request("@anna:one.localhost");
        let of_anna: Vec<_> = std::iter::from_fn(|| waiting.enter(Some(&anna), 1)).collect();
        assert_eq!(of_anna.len(), PERSON.count);
        let mut others = 0;
        while waiting.enter(Some(&request(&format!("@u{others}:one.localhost"))), 1).is_some() {
            others += 1;
        }
        assert_eq!(of_anna.len() + others, PLATFORM.count);
        let of_platform = |waiting: &Waiting, name: &str| {
            waiting.of_platform(<&ServerName>::try_from(name).expect("a server name"))
        };
        assert_eq!(
            of_platform(&waiting, "one.localhost"),
            WaitingCommits { count: PLATFORM.count, bytes: PLATFORM.count }
        );
        assert_eq!(of_platform(&waiting, "two.localhost"), WaitingCommits::default());
        assert!(waiting.enter(Some(&request("@cleo:two.localhost")), 1).is_some());
        assert!(waiting.enter(None, 1).is_some(), "the program itself goes on");
        waiting.leave(of_anna[0], 1);
        assert!(waiting.enter(Some(&anna), 1).is_some());
        assert!(waiting.enter(Some(&anna), 1).is_none());
    }

    #[test]
    fn bytes_are_counted_but_one_write_set_alone_always_fits() {
        let mut waiting = Waiting::default();
        let anna = request("@anna:one.localhost");
        let large = waiting.enter(Some(&anna), ALL.bytes).expect("it is alone");
        assert!(waiting.enter(Some(&anna), 1).is_none());
        waiting.leave(large, ALL.bytes);
        assert!(waiting.enter(Some(&anna), PERSON.bytes - 1).is_some());
        assert!(waiting.enter(Some(&anna), 1).is_some());
        assert!(waiting.enter(Some(&anna), 1).is_none());
        assert!(waiting.enter(Some(&request("@ben:one.localhost")), PERSON.bytes).is_some());
    }

    #[test]
    fn nothing_is_kept_of_who_has_nothing_waiting() {
        let mut waiting = Waiting::default();
        let entered = waiting.enter(Some(&request("@anna:one.localhost")), 9).expect("there is room");
        waiting.leave(entered, 9);
        assert!(waiting.shares.is_empty());
        assert_eq!(waiting.all, WaitingCommits::default());
    }
}
