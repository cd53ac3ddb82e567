//! Sharing what is scarce: a fixed number of places, and a line of those who wait for one.
//!
//! A place that gets free goes to the platform that holds the fewest, and there to the person, account or network
//! that holds the fewest; of equals, to the one whose turn is the longest ago. So a thousand who wait on one
//! platform, or a thousand requests of one person, do not make anybody else wait for more than the next place. This
//! file does not know what a place is good for.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    fmt, io,
    sync::Arc,
    thread,
    time::{Duration, Instant},
};

use parking_lot::Mutex;
use ruma::{OwnedServerName, ServerName};
use rustix::process::nice;
use tokio::sync::oneshot;

use crate::Limited;

/// The bounds of what a refused client is told to wait. Less than a second makes clients knock on and on; after a
/// minute the line is another one anyway.
const MIN_RETRY: Duration = Duration::from_secs(1);
const MAX_RETRY: Duration = Duration::from_secs(60);

/// How nice long work is to all else, in the system's steps from 0 to 19. At 10 it gets about a tenth of a processor for
/// which something else is ready, and all of one that would rest.
const NICENESS: i32 = 10;

/// How much of the average time that a place is held comes from places that were held earlier: seven eighths.
const EARLIER: u32 = 7;

/// How many may wait for a place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WaitingLimits {
    /// How many wait for one person, account or network.
    pub per_who: usize,
    /// How many wait for all of one platform.
    pub per_platform: usize,
    /// How many wait in all.
    pub in_all: usize,
}

impl WaitingLimits {
    /// For those who cannot be refused, and whose number is bounded elsewhere.
    pub const NONE: Self = Self { per_who: usize::MAX, per_platform: usize::MAX, in_all: usize::MAX };
}

/// How many places are held at the same time. Where a place is held for long, as by what waits for a stranger's
/// answer, it is not enough that the next place goes to others: some have to stay free for them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HoldingLimits {
    /// How many one person, account or network holds.
    pub per_who: usize,
    /// How many all of one platform hold.
    pub per_platform: usize,
    /// How many are held in all.
    pub in_all: usize,
}

/// Places that are shared fairly. A clone shares the same places.
#[derive(Clone)]
pub struct Shares {
    holding: HoldingLimits,
    waiting: WaitingLimits,
    line: Arc<Mutex<Line>>,
}

impl fmt::Debug for Shares {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shares").field("holding", &self.holding).field("waiting", &self.waiting).finish()
    }
}

/// The places for a kind of work, with its name, for operators.
pub type NamedShares = (&'static str, Shares);

/// How a platform uses the places now, and how many of its requests were refused since the start.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ShareCounts {
    /// The platform.
    pub platform: OwnedServerName,
    /// The places that it holds.
    pub holding: usize,
    /// Those who wait in its line.
    pub waiting: usize,
    /// Those who were refused.
    pub refused: u64,
}

impl Shares {
    /// Makes `at_once` places, at least one, which anybody may hold all at once while nobody waits.
    pub fn new(at_once: usize, waiting: WaitingLimits) -> Self {
        let at_once = at_once.max(1);
        let holding = HoldingLimits { per_who: at_once, per_platform: at_once, in_all: at_once };
        Self::new_limited(holding, waiting)
    }

    /// Makes places of which nobody holds more than they may, even while nobody waits. No limit may be zero.
    pub fn new_limited(holding: HoldingLimits, waiting: WaitingLimits) -> Self {
        let line = Line {
            free: holding.in_all,
            waiting: 0,
            clock: 0,
            average_held: Duration::ZERO,
            platforms: HashMap::new(),
        };
        Self { holding, waiting, line: Arc::new(Mutex::new(line)) }
    }

    /// Waits for a place for `who` (a person, account or network) of a hosted platform. Places are given to one
    /// `who` in the order in which they were asked for. A line that is full refuses at once, or lets somebody go who
    /// waits for a `who` or a platform that has more in the line. Whoever stops waiting leaves the line.
    pub async fn take(&self, platform: &ServerName, who: &str) -> Result<Share, Limited> {
        let place = Place { platform: platform.to_owned(), who: who.into() };
        let asked = {
            let mut line = self.line.lock();
            line.ask(&place, &self.holding, &self.waiting).map_err(|Full| self.limited(&line))?
        };
        if let Asked::Waits { number, turn } = asked {
            let mut waiting = Waiting { shares: self, place: &place, number, turn };
            if (&mut waiting.turn).await.is_err() {
                let limited = self.limited(&self.line.lock());
                return Err(limited);
            }
        }
        Ok(Share { shares: self.clone(), place, since: Instant::now() })
    }

    /// How each platform that ever asked uses the places.
    pub fn counts(&self) -> Vec<ShareCounts> {
        let line = self.line.lock();
        let counts = line.platforms.iter().map(|(name, platform)| ShareCounts {
            platform: name.clone(),
            holding: platform.holding,
            waiting: platform.waiting,
            refused: platform.refused,
        });
        counts.collect()
    }

    /// How many places there are.
    pub fn places(&self) -> usize {
        self.holding.in_all
    }

    /// The refusal of somebody: after the time that the line as it is now will take.
    fn limited(&self, line: &Line) -> Limited {
        let rounds = (line.waiting / self.holding.in_all + 1) as u32;
        let retry_after = line.average_held.saturating_mul(rounds).clamp(MIN_RETRY, MAX_RETRY);
        Limited { retry_after }
    }
}

/// Why work on a place has no result.
#[derive(Debug, thiserror::Error)]
pub enum NotDone {
    /// It met something that its author did not expect.
    #[error("the work panicked")]
    Panicked,
    /// The system gave no thread.
    #[error("there is no thread for the work: {0}")]
    NoThread(io::Error),
}

/// A place that is held. It goes to the next in the line when this is dropped.
pub struct Share {
    shares: Shares,
    place: Place,
    since: Instant,
}

impl Share {
    /// Does long work on a thread of its own, to which the system gives what the threads that serve requests leave of
    /// the processors. The place goes with the work: a request that is given up makes no room before its work has
    /// ended. Fails if the work panics, or if the system has no thread for it.
    pub async fn run<T: Send + 'static>(
        self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, NotDone> {
        let (sender, done) = oneshot::channel();
        let work = move || {
            let _share = self;
            // Where the system refuses, the work is only less polite.
            let _ = nice(NICENESS);
            // An error says that nobody waits for it any more.
            let _ = sender.send(work());
        };
        // Places are few, so there are few such threads; and making one takes far less than the work.
        thread::Builder::new().name("long work".to_owned()).spawn(work).map_err(NotDone::NoThread)?;
        done.await.map_err(|_| NotDone::Panicked)
    }
}

impl fmt::Debug for Share {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Share").field(&self.place).finish()
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        let mut line = self.shares.line.lock();
        line.note_held(self.since.elapsed());
        line.give_back(&self.place, &self.shares.holding);
    }
}

/// For whom a place is.
#[derive(Debug)]
struct Place {
    platform: OwnedServerName,
    who: Arc<str>,
}

/// Somebody in the line. Who stops waiting leaves it, and gives back a place that was given meanwhile.
struct Waiting<'a> {
    shares: &'a Shares,
    place: &'a Place,
    number: u64,
    turn: oneshot::Receiver<()>,
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        let Shares { holding, line, .. } = self.shares;
        let mut line = line.lock();
        if !line.leave(self.place, self.number, holding) && self.turn.try_recv().is_ok() {
            line.give_back(self.place, holding);
        }
    }
}

/// What somebody gets who asks for a place.
enum Asked {
    /// A place.
    Placed,
    /// A place later, when `turn` says so. If it fails, another has pushed the one who waits out of the line.
    Waits { number: u64, turn: oneshot::Receiver<()> },
}

/// There is no room in the line.
struct Full;

/// All who hold a place or wait for one.
struct Line {
    /// Places that nobody holds. While there are any, nobody waits who may hold one more.
    free: usize,
    /// How many wait.
    waiting: usize,
    /// Counts all who ask and all places given and given back, so that it tells what was earlier.
    clock: u64,
    /// How long places were held lately, on average.
    average_held: Duration,
    /// The platforms that ever asked.
    platforms: HashMap<OwnedServerName, PlatformLine>,
}

/// One platform's part of the line.
#[derive(Default)]
struct PlatformLine {
    holding: usize,
    waiting: usize,
    refused: u64,
    /// When it last had a place, or first asked.
    turn: u64,
    /// Those who hold a place or wait.
    parties: HashMap<Arc<str>, Party>,
    /// Those of them who wait and may hold one more: how many places each holds, when it last had one, and who it is.
    next: BTreeSet<(usize, u64, Arc<str>)>,
}

/// One person, account or network.
#[derive(Default)]
struct Party {
    holding: usize,
    /// When it last had a place, or came.
    turn: u64,
    /// Those who wait for it, the earliest first.
    waiting: BTreeMap<u64, oneshot::Sender<()>>,
}

impl Line {
    fn ask(
        &mut self,
        place: &Place,
        holding: &HoldingLimits,
        waiting: &WaitingLimits,
    ) -> Result<Asked, Full> {
        let number = self.tick();
        if !self.platforms.contains_key(&place.platform) {
            let new = PlatformLine { turn: number, ..PlatformLine::default() };
            self.platforms.insert(place.platform.clone(), new);
        }
        let is_free = self.free > 0 && self.platform(place).has_room_for(&place.who, holding);
        if !is_free && !self.make_room(place, holding, waiting) {
            self.platform(place).refused += 1;
            return Err(Full);
        }
        self.free -= usize::from(is_free);
        self.waiting += usize::from(!is_free);
        let platform = self.platform(place);
        platform.parties.entry(place.who.clone()).or_insert(Party { turn: number, ..Party::default() });
        if is_free {
            platform.holding += 1;
            platform.turn = number;
            platform.change(&place.who, holding, |party| {
                party.holding += 1;
                party.turn = number;
            });
            return Ok(Asked::Placed);
        }
        let (sender, turn) = oneshot::channel();
        platform.waiting += 1;
        platform.change(&place.who, holding, |party| party.waiting.insert(number, sender));
        Ok(Asked::Waits { number, turn })
    }

    /// Sees that one more may wait. In a line that is full, the newest of those gives way who have the most in it, if
    /// they have more than the one who comes will have.
    fn make_room(&mut self, place: &Place, holding: &HoldingLimits, limits: &WaitingLimits) -> bool {
        let is_full = self.waiting >= limits.in_all;
        let platform = self.platform(place);
        let of_platform = platform.waiting;
        let of_who = platform.parties.get(&place.who).map_or(0, |party| party.waiting.len());
        if of_who >= limits.per_who {
            return false;
        }
        let is_platform_full = of_platform >= limits.per_platform;
        if !is_platform_full && !is_full {
            return true;
        }
        let fullest = self.platforms.values_mut().max_by_key(|platform| platform.waiting);
        let has_left = match fullest.filter(|fullest| !is_platform_full && fullest.waiting > of_platform + 1)
        {
            Some(fullest) => fullest.push_out(0, holding),
            None => self.platform(place).push_out(of_who + 1, holding),
        };
        self.waiting -= usize::from(has_left);
        has_left
    }

    /// Takes one who waits out of the line. Returns false if that one does not wait any more.
    fn leave(&mut self, place: &Place, number: u64, holding: &HoldingLimits) -> bool {
        let platform = self.platform(place);
        let waited = platform.change(&place.who, holding, |party| party.waiting.remove(&number));
        let has_left = waited.flatten().is_some();
        platform.waiting -= usize::from(has_left);
        self.waiting -= usize::from(has_left);
        has_left
    }

    /// Gives a place back, and to the next in the line. Who had it just now comes after all others who hold as few.
    fn give_back(&mut self, place: &Place, holding: &HoldingLimits) {
        let now = self.tick();
        let platform = self.platform(place);
        platform.holding -= 1;
        platform.turn = now;
        platform.change(&place.who, holding, |party| {
            party.holding -= 1;
            party.turn = now;
        });
        self.free += 1;
        self.give_next(holding);
    }

    /// Gives a place to the one whose turn it is, if anybody waits who may hold one more.
    fn give_next(&mut self, holding: &HoldingLimits) {
        let now = self.tick();
        let platforms = self.platforms.values_mut();
        let platforms = platforms.filter(|platform| platform.holding < holding.per_platform);
        let platforms = platforms.filter(|platform| !platform.next.is_empty());
        let Some(platform) = platforms.min_by_key(|platform| (platform.holding, platform.turn)) else {
            return;
        };
        let Some((_, _, who)) = platform.next.first().cloned() else { return };
        let first = platform.change(&who, holding, |party| {
            party.holding += 1;
            party.turn = now;
            party.waiting.pop_first()
        });
        let (_, turn) = first.flatten().expect("only who waits is among the next");
        platform.holding += 1;
        platform.turn = now;
        platform.waiting -= 1;
        self.waiting -= 1;
        self.free -= 1;
        // It cannot fail: whoever stops listening has left the line first.
        let _ = turn.send(());
    }

    fn note_held(&mut self, held: Duration) {
        self.average_held = (self.average_held * EARLIER + held) / (EARLIER + 1);
    }

    fn tick(&mut self) -> u64 {
        self.clock += 1;
        self.clock
    }

    /// The part of a platform that has asked.
    fn platform(&mut self, place: &Place) -> &mut PlatformLine {
        self.platforms.get_mut(&place.platform).expect("it was made when the platform first asked")
    }
}

impl PlatformLine {
    fn has_room_for(&self, who: &str, limits: &HoldingLimits) -> bool {
        let of_who = self.parties.get(who).map_or(0, |party| party.holding);
        self.holding < limits.per_platform && of_who < limits.per_who
    }

    /// Changes a party that is there, and sees that it stands where it belongs among those who wait.
    fn change<T>(
        &mut self,
        who: &Arc<str>,
        limits: &HoldingLimits,
        change: impl FnOnce(&mut Party) -> T,
    ) -> Option<T> {
        let party = self.parties.get_mut(who)?;
        self.next.remove(&(party.holding, party.turn, who.clone()));
        let changed = change(party);
        if party.holding == 0 && party.waiting.is_empty() {
            self.parties.remove(who);
        } else if party.holding < limits.per_who && !party.waiting.is_empty() {
            self.next.insert((party.holding, party.turn, who.clone()));
        }
        Some(changed)
    }

    /// Pushes the newest of the party out that has the most waiting, if these are more than `fair`.
    fn push_out(&mut self, fair: usize, limits: &HoldingLimits) -> bool {
        let fullest = self.parties.iter().max_by_key(|(_, party)| party.waiting.len());
        let Some((who, _)) = fullest.filter(|(_, party)| party.waiting.len() > fair) else { return false };
        let who = who.clone();
        self.change(&who, limits, |party| party.waiting.pop_last());
        self.waiting -= 1;
        self.refused += 1;
        true
    }
}

#[cfg(test)]
mod tests {
    use std::{
        pin::Pin,
        task::{Context, Poll, Waker},
    };

    use ruma::server_name;

    use super::*;

    const ROOMY: WaitingLimits = WaitingLimits { per_who: 10_000, per_platform: 10_000, in_all: 10_000 };

    /// Somebody who asks, and is asked now and then whether there was an answer.
    struct Asking<'a>(Pin<Box<dyn Future<Output = Result<Share, Limited>> + 'a>>);

    impl Asking<'_> {
        fn answer(&mut self) -> Option<Result<Share, Limited>> {
            match self.0.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
                Poll::Ready(answer) => Some(answer),
                Poll::Pending => None,
            }
        }
    }

    fn ask<'a>(shares: &'a Shares, platform: &'a str, who: &'a str) -> Asking<'a> {
        let platform = <&ServerName>::try_from(platform).expect("a server name");
        Asking(Box::pin(shares.take(platform, who)))
    }

    /// A place that is there at once.
    fn take(shares: &Shares, platform: &str, who: &str) -> Share {
        ask(shares, platform, who).answer().expect("nobody waits").expect("there is a place")
    }

    /// Somebody in the line.
    fn wait<'a>(shares: &'a Shares, platform: &'a str, who: &'a str) -> Asking<'a> {
        let mut asking = ask(shares, platform, who);
        assert!(asking.answer().is_none(), "{who} waits");
        asking
    }

    fn is_refused(shares: &Shares, platform: &str, who: &str) -> bool {
        matches!(ask(shares, platform, who).answer(), Some(Err(_)))
    }

    /// Gives the place back, and serves all who wait one after the other. Tells in which order.
    fn serve<'a>(share: Share, mut waiting: Vec<(&'a str, Asking<'_>)>) -> Vec<&'a str> {
        drop(share);
        let mut served = Vec::new();
        while !waiting.is_empty() {
            let mut answers = waiting.iter_mut().map(|(_, asking)| asking.answer());
            let (at, answer) = answers
                .by_ref()
                .enumerate()
                .find_map(|(at, answer)| Some((at, answer?)))
                .expect("the place went to somebody");
            drop(answers);
            let (name, _) = waiting.remove(at);
            drop(answer.expect("a place"));
            served.push(name);
        }
        served
    }

    #[test]
    fn a_place_goes_round_over_platforms_and_then_over_who() {
        let shares = Shares::new(1, ROOMY);
        let held = take(&shares, "a.example", "anna");
        let waiting = vec![
            ("a anna 1", wait(&shares, "a.example", "anna")),
            ("a anna 2", wait(&shares, "a.example", "anna")),
            ("a anna 3", wait(&shares, "a.example", "anna")),
            ("a alex 1", wait(&shares, "a.example", "alex")),
            ("b ben 1", wait(&shares, "b.example", "ben")),
            ("b ben 2", wait(&shares, "b.example", "ben")),
            ("c carl 1", wait(&shares, "c.example", "carl")),
        ];
        let served = serve(held, waiting);
        assert_eq!(
            served,
            ["b ben 1", "c carl 1", "a alex 1", "b ben 2", "a anna 1", "a anna 2", "a anna 3"]
        );
        assert_eq!(shares.line.lock().free, 1);
    }

    #[test]
    fn the_next_place_is_for_whom_thousands_on_another_platform_keep_waiting() {
        let shares = Shares::new(2, ROOMY);
        let mut held = vec![take(&shares, "a.example", "anna"), take(&shares, "a.example", "alex")];
        let names: Vec<_> = (0..2_500).map(|name| name.to_string()).collect();
        let mut crowd: Vec<_> = names.iter().map(|name| wait(&shares, "a.example", name)).collect();
        let mut ben = wait(&shares, "b.example", "ben");
        held.pop();
        let bens = ben.answer().expect("the next place is ben's").expect("a place");
        assert!(crowd.iter_mut().all(|asking| asking.answer().is_none()));
        // A platform that holds a place lets others come first that hold none.
        let mut again = wait(&shares, "b.example", "ben");
        let mut carl = wait(&shares, "c.example", "carl");
        held.pop();
        let carls = carl.answer().expect("the next place is carl's").expect("a place");
        drop(bens);
        assert!(again.answer().is_none());
        let _first = crowd[0].answer().expect("the platform holds nothing now").expect("a place");
        drop(carls);
        assert!(again.answer().is_some());
    }

    #[test]
    fn who_holds_long_leaves_the_other_places_to_others() {
        let shares = Shares::new(2, ROOMY);
        let _long = take(&shares, "a.example", "anna");
        let mut short = take(&shares, "a.example", "alex");
        let mut annas = wait(&shares, "a.example", "anna");
        for next in ["amy", "alex", "amy", "alex"] {
            let mut next = wait(&shares, "a.example", next);
            drop(short);
            short = next.answer().expect("the other of the two holds none").expect("a place");
        }
        assert!(annas.answer().is_none());
    }

    #[test]
    fn who_stops_waiting_leaves_the_line_or_gives_the_place_back() {
        let shares = Shares::new(1, WaitingLimits { per_who: 1, ..ROOMY });
        let held = take(&shares, "a.example", "anna");
        let first = wait(&shares, "a.example", "anna");
        assert!(is_refused(&shares, "a.example", "anna"));
        drop(first);
        let mut annas = wait(&shares, "a.example", "anna");
        let alexs = wait(&shares, "a.example", "alex");
        drop(held);
        assert_eq!(shares.line.lock().waiting, 1, "alex was given the place");
        drop(alexs);
        drop(annas.answer().expect("nobody picked it up").expect("a place"));
        let line = shares.line.lock();
        assert_eq!((line.free, line.waiting), (1, 0));
        assert!(line.platforms.values().all(|platform| platform.parties.is_empty()));
    }

    #[test]
    fn in_a_full_line_gives_way_who_has_the_most_in_it() {
        let shares = Shares::new(1, WaitingLimits { per_who: 3, per_platform: 4, in_all: 6 });
        let _held = take(&shares, "a.example", "anna");
        let mut annas: Vec<_> = (0..3).map(|_| wait(&shares, "a.example", "anna")).collect();
        assert!(is_refused(&shares, "a.example", "anna"), "three wait for her");
        let _alex = wait(&shares, "a.example", "alex");
        // Four of the platform wait. The newest of the one with most of them gives way.
        let _amy = wait(&shares, "a.example", "amy");
        assert!(matches!(annas[2].answer(), Some(Err(_))));
        assert!(annas[..2].iter_mut().all(|asking| asking.answer().is_none()));
        let _abe = wait(&shares, "a.example", "abe");
        assert!(matches!(annas[1].answer(), Some(Err(_))));
        assert!(is_refused(&shares, "a.example", "ann"), "nobody has more than a fair part");

        let _bens = [wait(&shares, "b.example", "ben"), wait(&shares, "b.example", "ben")];
        // Six wait in all. The newest of the platform with most of them gives way.
        let _carl = wait(&shares, "c.example", "carl");
        let mut counts = shares.counts();
        counts.sort_by(|one, next| one.platform.cmp(&next.platform));
        let count = |platform: &ServerName, holding, waiting, refused| ShareCounts {
            platform: platform.to_owned(),
            holding,
            waiting,
            refused,
        };
        assert_eq!(
            counts,
            [
                count(server_name!("a.example"), 1, 3, 5),
                count(server_name!("b.example"), 0, 2, 0),
                count(server_name!("c.example"), 0, 1, 0),
            ]
        );
    }

    #[test]
    fn who_is_refused_is_told_how_long_the_line_takes() {
        let shares = Shares::new(2, WaitingLimits { per_who: 4, ..ROOMY });
        let _held = [take(&shares, "a.example", "anna"), take(&shares, "a.example", "anna")];
        let _waiting: Vec<_> = (0..4).map(|_| wait(&shares, "a.example", "anna")).collect();
        let retry_after = |average_held: u64| {
            shares.line.lock().average_held = Duration::from_millis(average_held);
            let refused = ask(&shares, "a.example", "anna").answer().expect("an answer");
            refused.expect_err("four wait").retry_after
        };
        assert_eq!(retry_after(5), MIN_RETRY);
        assert_eq!(retry_after(4_000), Duration::from_secs(12), "two rounds of others, and one's own");
        assert_eq!(retry_after(600_000), MAX_RETRY);
    }

    #[test]
    fn nobody_holds_more_than_they_may_though_places_are_free() {
        let holding = HoldingLimits { per_who: 2, per_platform: 3, in_all: 4 };
        let shares = Shares::new_limited(holding, ROOMY);
        let mut annas = vec![take(&shares, "a.example", "anna"), take(&shares, "a.example", "anna")];
        let mut third = wait(&shares, "a.example", "anna");
        let _alex = take(&shares, "a.example", "alex");
        let mut amys = wait(&shares, "a.example", "amy");
        let _ben = take(&shares, "b.example", "ben");
        annas.pop();
        let _amys = amys.answer().expect("the platform may hold one more").expect("a place");
        assert!(third.answer().is_none());
        annas.pop();
        assert!(third.answer().is_some(), "anna may hold another");
    }

    #[tokio::test]
    async fn a_place_is_held_until_work_ends_that_nobody_waits_for() {
        let shares = Shares::new(1, ROOMY);
        let (go, wait_for_it) = std::sync::mpsc::channel::<()>();
        let work = Box::pin(take(&shares, "a.example", "anna").run(move || wait_for_it.recv()));
        let mut work = Asking(Box::pin(async {
            let _ = work.await;
            unreachable!("it waits")
        }));
        assert!(work.answer().is_none());
        drop(work);
        assert_eq!(shares.line.lock().free, 0);
        let next = shares.take(server_name!("b.example"), "ben");
        go.send(()).expect("the work goes on");
        drop(next.await.expect("a place"));
        assert_eq!(shares.line.lock().free, 1);
    }
}
