//! Which connections there may be, and which gives way to a new one when there are too many.
//!
//! Each listener has a part of all connections for itself, so one platform's port cannot take another's. A connection that
//! is in a request stays. One that waits for a request gives way to somebody new: first those of the network that has the
//! most. So whoever holds very many connections, idle or half-open, loses these, and keeps nobody out.

use std::{
    cmp::Reverse,
    collections::{HashMap, hash_map::Entry},
    sync::{
        Arc,
        atomic::{AtomicU8, Ordering},
    },
    time::{Duration, Instant},
};

use linkspan_platforms::{Capacity, Network};
use parking_lot::Mutex;
use tokio::sync::Notify;

/// Which part of everything that there is one network of clients may have: a quarter. So several networks together are
/// needed to have all.
const NETWORK_PART: usize = 4;
/// The most that one network may have: connections on a listener, and requests under way. An office or a mobile network
/// whose thousands of clients share one address has room, with a long poll and another request for each.
const NETWORK_MOST: usize = 8_192;
/// Which part of the connections that may give way does so at once. It takes a look at all connections, and so is not
/// done for each new one.
const PART_AT_ONCE: usize = 64;
/// How many connections are looked at without a pause.
const LOOKED_AT_FREELY: usize = 1_024;
/// How long a pause there is for each further one. Looking at one takes a tenth of it, so looking for connections that
/// give way takes little of a full server's time.
const PAUSE_FOR_EACH: Duration = Duration::from_nanos(100);

/// How much one network may have of a total of connections or of requests.
pub(crate) fn most_of_network(total: usize) -> usize {
    (total / NETWORK_PART).clamp(1, NETWORK_MOST)
}

/// What a connection does. It is changed by the task that serves it, and by [`Connections`] when it gives way.
#[repr(u8)]
enum Phase {
    /// It has not had a whole head yet.
    New,
    /// It is in a request.
    Asked,
    /// All of the answer is there, and is being written.
    Answered,
    /// The answer is written, and there is no other request yet.
    Idle,
    /// It gives way.
    Leaving,
}

/// Why a connection was ended by the server.
#[repr(u8)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    /// It gave way to another before it had a whole head.
    HalfOpenGaveWay,
    /// It gave way to another while it waited for a further request.
    IdleGaveWay,
    /// The first request did not come in time.
    NoRequest,
    /// A further request did not come in time.
    Idle,
    /// Its client did not read.
    NotReading,
}

impl End {
    pub(crate) const ALL: [Self; 5] =
        [Self::HalfOpenGaveWay, Self::IdleGaveWay, Self::NoRequest, Self::Idle, Self::NotReading];

    /// Its name.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::HalfOpenGaveWay => "half_open_gave_way",
            Self::IdleGaveWay => "idle_gave_way",
            Self::NoRequest => "no_request",
            Self::Idle => "idle",
            Self::NotReading => "not_reading",
        }
    }
}

/// What is counted of a listener's connections since the start.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct ListenerCounts {
    /// Those that are open now.
    pub(crate) open: usize,
    /// Those that were admitted.
    pub(crate) admitted: u64,
    /// Those that were refused.
    pub(crate) refused: u64,
    /// Those that the server ended, in the order of [`End::ALL`].
    pub(crate) ended: [u64; End::ALL.len()],
}

/// What is known of a connection.
#[derive(Debug, Default)]
pub(crate) struct Seat {
    phase: AtomicU8,
    /// Why the server ends it; this is the number of an [`End`] and 1, or 0.
    end: AtomicU8,
    leaving: Notify,
}

impl Seat {
    /// Says that a request has come. Returns false if the connection gives way to another, and answers no more.
    pub(crate) fn begin_request(&self) -> bool {
        let before = self.phase.swap(Phase::Asked as u8, Ordering::Relaxed);
        let stays = before != Phase::Leaving as u8;
        if !stays {
            self.phase.store(before, Ordering::Relaxed);
        }
        stays
    }

    /// Says that there is nothing to wait for any more but that the answer is written.
    pub(crate) fn answer_is_whole(&self) {
        self.go(Phase::Asked, Phase::Answered);
    }

    /// Says that everything is written that there was to write.
    pub(crate) fn all_is_written(&self) {
        self.go(Phase::Answered, Phase::Idle);
    }

    /// Whether the connection has had a request.
    pub(crate) fn was_asked(&self) -> bool {
        self.phase.load(Ordering::Relaxed) != Phase::New as u8
    }

    /// Says why the server ends the connection.
    pub(crate) fn note_end(&self, end: End) {
        self.end.store(end as u8 + 1, Ordering::Relaxed);
    }

    /// Waits until the connection is to give way to another.
    pub(crate) async fn leaving(&self) {
        self.leaving.notified().await;
    }

    fn waits(&self) -> bool {
        let phase = self.phase.load(Ordering::Relaxed);
        phase == Phase::New as u8 || phase == Phase::Idle as u8
    }

    /// Has the connection give way, unless it is in a request.
    fn give_way(&self) -> bool {
        let end = if self.go(Phase::New, Phase::Leaving) {
            End::HalfOpenGaveWay
        } else if self.go(Phase::Idle, Phase::Leaving) {
            End::IdleGaveWay
        } else {
            return false;
        };
        self.note_end(end);
        self.leaving.notify_one();
        true
    }

    fn go(&self, from: Phase, to: Phase) -> bool {
        let (from, to) = (from as u8, to as u8);
        self.phase.compare_exchange(from, to, Ordering::Relaxed, Ordering::Relaxed).is_ok()
    }
}

/// All connections.
#[derive(Debug)]
pub(crate) struct Connections {
    open: Mutex<Open>,
    most: usize,
    most_of_network: usize,
}

#[derive(Debug)]
struct Open {
    /// How many each listener may have.
    capacity: Capacity,
    /// The names of listeners, and what is counted of each but for those that are open.
    listeners: Vec<(String, ListenerCounts)>,
    by_number: HashMap<u64, Known>,
    /// The number of the next connection.
    next: u64,
    /// Those of each network on each listener.
    of_networks: HashMap<(usize, Network), OfNetwork>,
    /// From when on it may be looked for connections that give way to those of other networks.
    look_again: Instant,
}

#[derive(Debug)]
struct OfNetwork {
    /// How many there are.
    held: usize,
    /// From when on it may be looked for connections that give way to another of the network.
    look_again: Instant,
}

#[derive(Debug)]
struct Known {
    seat: Arc<Seat>,
    listener: usize,
    network: Option<Network>,
}

/// A connection that may be served. Its place is free again when this is dropped.
#[derive(Debug)]
pub(crate) struct Admitted {
    connections: Arc<Connections>,
    number: u64,
    pub(crate) seat: Arc<Seat>,
}

impl Drop for Admitted {
    fn drop(&mut self) {
        self.connections.open.lock().remove(self.number);
    }
}

impl Connections {
    /// There may be `most` connections at a time, on all listeners.
    pub(crate) fn new(most: usize) -> Self {
        let open = Open {
            capacity: Capacity::new(most, 0),
            listeners: Vec::new(),
            by_number: HashMap::new(),
            next: 0,
            of_networks: HashMap::new(),
            look_again: Instant::now(),
        };
        Self { open: Mutex::new(open), most, most_of_network: most_of_network(most) }
    }

    /// The number of the listener with this name. It gets a part of all connections, and has it from then on.
    pub(crate) fn listener(&self, name: &str) -> usize {
        let mut open = self.open.lock();
        if let Some(number) = open.listeners.iter().position(|(known, _)| known == name) {
            return number;
        }
        open.listeners.push((name.to_owned(), ListenerCounts::default()));
        let count = open.listeners.len();
        open.capacity.grow_to(count);
        count - 1
    }

    /// Admits a connection to a listener, and has others give way to it if need be. None means that all are in a request.
    /// `network` is where the client is; proxies, which bring the requests of many, have none.
    pub(crate) fn admit(self: &Arc<Self>, listener: usize, network: Option<Network>) -> Option<Admitted> {
        let mut open = self.open.lock();
        let admitted = self.admit_in(&mut open, listener, network);
        let (_, counts) = &mut open.listeners[listener];
        match admitted {
            Some(_) => counts.admitted += 1,
            None => counts.refused += 1,
        }
        admitted
    }

    /// The names of listeners, and what is counted of each.
    pub(crate) fn counts(&self) -> Vec<(String, ListenerCounts)> {
        let open = self.open.lock();
        let listeners = open.listeners.iter().enumerate();
        let now = |(number, (name, counts)): (usize, &(String, ListenerCounts))| {
            (name.clone(), ListenerCounts { open: open.capacity.taken(number), ..counts.clone() })
        };
        listeners.map(now).collect()
    }

    /// How many connections there may be.
    pub(crate) fn most(&self) -> usize {
        self.most
    }

    fn admit_in(
        self: &Arc<Self>,
        open: &mut Open,
        listener: usize,
        network: Option<Network>,
    ) -> Option<Admitted> {
        if let Some(network) = network {
            let held = open.of_networks.get(&(listener, network)).map_or(0, |known| known.held);
            if held >= self.most_of_network && !open.make_room_in(listener, network) {
                return None;
            }
        }
        let is_seated =
            open.capacity.take(listener, 1) || (open.make_room(listener) && open.capacity.take(listener, 1));
        if !is_seated {
            return None;
        }
        let seat = Arc::<Seat>::default();
        let number = open.next;
        open.next += 1;
        open.by_number.insert(number, Known { seat: seat.clone(), listener, network });
        if let Some(network) = network {
            let first = || OfNetwork { held: 0, look_again: Instant::now() };
            open.of_networks.entry((listener, network)).or_insert_with(first).held += 1;
        }
        Some(Admitted { connections: self.clone(), number, seat })
    }
}

impl Open {
    /// Has connections of a network on a listener give way to another of them.
    fn make_room_in(&mut self, listener: usize, network: Network) -> bool {
        let (now, pause) = (Instant::now(), self.pause());
        match self.of_networks.get_mut(&(listener, network)) {
            Some(known) if now < known.look_again => return false,
            Some(known) => known.look_again = now + pause,
            None => {}
        }
        self.give_way(|known| known.listener == listener && known.network == Some(network))
    }

    /// Has connections give way to one on `listener`: its own, or those that take up what is for everybody.
    fn make_room(&mut self, listener: usize) -> bool {
        let now = Instant::now();
        if now < self.look_again {
            return false;
        }
        self.look_again = now + self.pause();
        let beyond: Vec<_> =
            (0..self.capacity.users()).map(|user| self.capacity.is_beyond_own(user)).collect();
        self.give_way(|known| known.listener == listener || beyond[known.listener])
    }

    /// How long it is not looked again at all connections.
    fn pause(&self) -> Duration {
        let slow = self.by_number.len().saturating_sub(LOOKED_AT_FREELY);
        PAUSE_FOR_EACH.saturating_mul(u32::try_from(slow).unwrap_or(u32::MAX))
    }

    /// Has at least one of some connections give way, if one of them waits for a request.
    fn give_way(&mut self, among: impl Fn(&Known) -> bool) -> bool {
        let waiting = self.by_number.iter().filter(|(_, known)| among(known) && known.seat.waits());
        let mut waiting: Vec<_> = waiting
            .map(|(number, known)| {
                let of_network =
                    known.network.map_or(1, |network| self.of_networks[&(known.listener, network)].held);
                // Of two that hold as much, the older one has waited longer.
                (of_network, self.capacity.taken(known.listener), Reverse(*number))
            })
            .collect();
        let count = (waiting.len() / PART_AT_ONCE).max(1);
        if waiting.len() > count {
            waiting.select_nth_unstable_by(count - 1, |one, other| other.cmp(one));
        }
        let mut found = false;
        for (.., Reverse(number)) in waiting.into_iter().take(count) {
            if self.by_number[&number].seat.give_way() {
                self.remove(number);
                found = true;
            }
        }
        found
    }

    /// Forgets a connection, if that has not happened yet.
    fn remove(&mut self, number: u64) {
        let Some(known) = self.by_number.remove(&number) else { return };
        self.capacity.give_back(known.listener, 1);
        if let Some(end) = known.seat.end.load(Ordering::Relaxed).checked_sub(1) {
            self.listeners[known.listener].1.ended[usize::from(end)] += 1;
        }
        let Some(network) = known.network else { return };
        if let Entry::Occupied(mut held) = self.of_networks.entry((known.listener, network)) {
            held.get_mut().held -= 1;
            if held.get().held == 0 {
                held.remove();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// So many connections at most, on so many listeners.
    fn connections(most: usize, listeners: usize) -> Arc<Connections> {
        let connections = Connections::new(most);
        let numbers: Vec<_> = (0..listeners).map(|name| connections.listener(&name.to_string())).collect();
        assert!(numbers.into_iter().eq(0..listeners) && connections.listener("0") == 0);
        Arc::new(connections)
    }

    fn network(number: u8) -> Option<Network> {
        Some(Network::of([192, 0, 2, number].into()))
    }

    fn asked(admitted: &Admitted) {
        assert!(admitted.seat.begin_request());
    }

    fn finished(admitted: &Admitted) {
        admitted.seat.answer_is_whole();
        admitted.seat.all_is_written();
    }

    fn has_left(admitted: &Admitted) -> bool {
        !admitted.seat.begin_request()
    }

    #[test]
    fn whoever_holds_most_gives_way() {
        let connections = connections(16, 1);
        let admit = |number| connections.admit(0, network(number)).expect("there is room");
        let many: Vec<_> = (0..4).map(|_| admit(1)).collect();
        let few: Vec<_> = (2..14).map(admit).collect();
        let late = admit(99);
        assert!(has_left(&many[0]), "the oldest of the network that has most");
        let counts: Vec<_> = connections.counts().into_iter().map(|(_, counts)| counts).collect();
        assert_eq!((counts[0].open, counts[0].admitted, counts[0].refused), (16, 17, 0));
        assert_eq!(counts[0].ended, [1, 0, 0, 0, 0]);
        assert_eq!(few.iter().chain(&many[1..]).chain([&late]).filter(|one| has_left(one)).count(), 0);
    }

    #[test]
    fn a_network_has_a_part_of_all_and_displaces_only_its_own_beyond_it() {
        let connections = connections(16, 1);
        let other = connections.admit(0, network(2)).expect("there is room");
        let many: Vec<_> = (0..5).map(|_| connections.admit(0, network(1)).expect("one gives way")).collect();
        assert!(has_left(&many[0]) && !has_left(&many[4]) && !has_left(&other));
        many[1..].iter().for_each(asked);
        assert!(connections.admit(0, network(1)).is_none(), "all of them are in a request");
        assert!((0..4).all(|_| connections.admit(0, None).is_some()), "proxies are no single client");
    }

    #[test]
    fn a_connection_in_a_request_stays_until_its_answer_is_written() {
        let only = connections(1, 1);
        let first = only.admit(0, None).expect("there is room");
        asked(&first);
        first.seat.answer_is_whole();
        assert!(only.admit(0, None).is_none());
        let only = connections(1, 1);
        let first = only.admit(0, None).expect("there is room");
        asked(&first);
        finished(&first);
        assert!(only.admit(0, None).is_some());
        assert!(has_left(&first));
        assert_eq!(only.counts()[0].1.ended, [0, 1, 0, 0, 0]);
    }

    #[test]
    fn ends_are_counted_where_they_are_listed() {
        assert!(End::ALL.into_iter().enumerate().all(|(at, end)| end as usize == at));
        let connections = connections(1, 1);
        let only = connections.admit(0, None).expect("there is room");
        asked(&only);
        assert!(connections.admit(0, None).is_none());
        only.seat.note_end(End::NotReading);
        drop(only);
        let expected = ListenerCounts { open: 0, admitted: 1, refused: 1, ended: [0, 0, 0, 0, 1] };
        assert_eq!(connections.counts(), [("0".to_owned(), expected)]);
    }

    #[test]
    fn a_listener_that_is_full_leaves_others_theirs() {
        let connections = connections(16, 2);
        let taken: Vec<_> = std::iter::from_fn(|| connections.admit(0, None).inspect(asked)).collect();
        assert_eq!(taken.len(), 12);
        let theirs: Vec<_> = std::iter::from_fn(|| connections.admit(1, None).inspect(asked)).collect();
        assert_eq!(theirs.len(), 4);
        drop((taken, theirs));
        let open = connections.open.lock();
        assert!(open.by_number.is_empty() && open.of_networks.is_empty());
    }

    #[test]
    fn what_is_idle_on_a_full_listener_gives_way_to_another_listener() {
        let connections = connections(16, 2);
        let idle: Vec<_> = (0..12).map(|_| connections.admit(0, None).expect("there is room")).collect();
        let theirs: Vec<_> = (0..5).map(|_| connections.admit(1, None).expect("one gives way")).collect();
        theirs.iter().for_each(asked);
        assert_eq!(idle.iter().filter(|one| has_left(one)).count(), 1);
    }
}
