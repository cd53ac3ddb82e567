//! Rate limits of a platform. There is a bucket for each class of action and each user or address that acts.

use std::{
    collections::{HashMap, hash_map::RandomState},
    fmt,
    hash::BuildHasher,
    net::IpAddr,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use parking_lot::Mutex;

use crate::{Limits, Network};

/// The most buckets that are kept for one class: some 10 MB of memory. Strangers choose some of their names.
const MAX_BUCKETS: usize = 1 << 18;

const SECONDS_PER_HOUR: f64 = 3_600.0;
const SECONDS_PER_DAY: f64 = 24.0 * SECONDS_PER_HOUR;

/// Classes of actions that share a limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum RateClass {
    /// Reading. It is not counted by request, but by what it has cost.
    Read,
    /// Logging out, which everybody may always do.
    Free,
    /// Sending to a room.
    Message,
    /// Logging in, and proving a password elsewhere. It is counted by address, and by account.
    Login,
    /// Proving a password, counted over a day. It is counted by account.
    Guess,
    /// Registering. It is counted by address.
    Registration,
    /// Joining and knocking.
    Join,
    /// Inviting.
    Invite,
    /// Creating a room.
    CreateRoom,
    /// The same, counted over a day.
    RoomsOfDay,
    /// Searching people, rooms, messages.
    Search,
    /// Uploading media.
    Upload,
    /// Saying that one types.
    Typing,
    /// Reporting rooms, messages and people.
    Report,
    /// Approaching people of the platform who do not know the sender. It is counted by the sender's server.
    Strangers,
    /// Having an archive made of everything that there is of oneself.
    Export,
    /// Everything else that changes something.
    Other,
}

impl RateClass {
    /// Its name for operators.
    pub fn name(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::Free => "free",
            Self::Message => "message",
            Self::Login => "login",
            Self::Guess => "guess",
            Self::Registration => "registration",
            Self::Join => "join",
            Self::Invite => "invite",
            Self::CreateRoom => "create_room",
            Self::RoomsOfDay => "rooms_of_day",
            Self::Search => "search",
            Self::Upload => "upload",
            Self::Typing => "typing",
            Self::Report => "report",
            Self::Strangers => "strangers",
            Self::Export => "export",
            Self::Other => "other",
        }
    }
}

/// There were too many actions. The client may try again later.
#[derive(Clone, Copy, Debug, thiserror::Error)]
#[error("too many requests; try again in {} ms", .retry_after.as_millis())]
pub struct Limited {
    /// How long the client should wait.
    pub retry_after: Duration,
}

/// The buckets of one platform.
pub struct RateLimiter {
    classes: HashMap<RateClass, Arc<Buckets>>,
    started: Instant,
}

impl fmt::Debug for RateLimiter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("RateLimiter")
    }
}

impl RateLimiter {
    /// Makes the buckets. Without limits nothing is limited.
    pub fn new(limits: Option<Limits>) -> Self {
        let classes = limits.map(|limits| {
            [
                (RateClass::Message, limits.message, limits.message_burst),
                (RateClass::Login, limits.login, limits.login_burst),
                (
                    RateClass::Guess,
                    f64::from(limits.password_guesses_per_day) / SECONDS_PER_DAY,
                    limits.password_guesses_per_day,
                ),
                (RateClass::Registration, limits.registration, limits.registration_burst),
                (RateClass::Join, limits.join, limits.join_burst),
                (RateClass::Invite, limits.invite, limits.invite_burst),
                (RateClass::CreateRoom, limits.create_room, limits.create_room_burst),
                (
                    RateClass::RoomsOfDay,
                    f64::from(limits.rooms_created_per_day) / SECONDS_PER_DAY,
                    limits.rooms_created_per_day,
                ),
                (RateClass::Search, limits.search, limits.search_burst),
                (RateClass::Read, limits.read, limits.read_burst),
                (RateClass::Upload, limits.upload, limits.upload_burst),
                (RateClass::Typing, limits.typing, limits.typing_burst),
                (RateClass::Report, limits.report, limits.report_burst),
                (
                    RateClass::Strangers,
                    f64::from(limits.strangers_of_platform) / SECONDS_PER_HOUR,
                    limits.strangers_of_platform,
                ),
                (
                    RateClass::Export,
                    f64::from(limits.exports_per_day) / SECONDS_PER_DAY,
                    limits.exports_per_day,
                ),
                (RateClass::Other, limits.other, limits.other_burst),
            ]
            .into_iter()
            .filter_map(|(class, rate, burst)| Some((class, Arc::new(Buckets::new(rate, burst)?))))
            .collect()
        });
        Self { classes: classes.unwrap_or_default(), started: Instant::now() }
    }

    /// The limiter with other limits. Where a limit stays as it is, nobody gets a full bucket by it.
    pub fn changed(&self, limits: Option<Limits>) -> Self {
        let Self { mut classes, .. } = Self::new(limits);
        for (class, buckets) in &mut classes {
            let Some(before) = self.classes.get(class) else { continue };
            if before.period == buckets.period && before.burst == buckets.burst {
                *buckets = before.clone();
            } else {
                buckets.refused.store(before.refused.load(Ordering::Relaxed), Ordering::Relaxed);
            }
        }
        Self { classes, started: self.started }
    }

    /// Counts an action of `who` (a user id, a client's address, an account that is aimed at), or refuses it.
    pub fn check(&self, class: RateClass, who: &str) -> Result<(), Limited> {
        let Some(buckets) = self.classes.get(&class) else { return Ok(()) };
        buckets.take(&[buckets.named(who)], self.started.elapsed())
    }

    /// Counts what an action has cost that is over. It is never refused; what comes after it may be.
    pub fn charge(&self, class: RateClass, who: &str, units: u64) {
        if let Some(buckets) = self.classes.get(&class) {
            buckets.charge(buckets.named(who), units, self.started.elapsed());
        }
    }

    /// The same for clients of a network, and of the wider one around it.
    pub fn charge_network(&self, class: RateClass, network: Network, units: u64) {
        let Some(buckets) = self.classes.get(&class) else { return };
        for bucket in buckets.of_network(network) {
            buckets.charge(bucket, units, self.started.elapsed());
        }
    }

    /// Refuses who has used up what there was, and counts nothing.
    pub fn check_balance(&self, class: RateClass, who: &str) -> Result<(), Limited> {
        let Some(buckets) = self.classes.get(&class) else { return Ok(()) };
        buckets.check_balance(&[buckets.named(who)], self.started.elapsed())
    }

    /// The same for clients of a network: they are refused as well if the wider one around it has used up what there was.
    pub fn check_balance_of_network(&self, class: RateClass, network: Network) -> Result<(), Limited> {
        let Some(buckets) = self.classes.get(&class) else { return Ok(()) };
        buckets.check_balance(&buckets.of_network(network), self.started.elapsed())
    }

    /// Counts an action of a client's address, or refuses it. Somebody with one IPv6 address has a whole
    /// network of them, which counts as one, and a wider network may do no more than a few of these.
    pub fn check_address(&self, class: RateClass, address: IpAddr) -> Result<(), Limited> {
        let Some(buckets) = self.classes.get(&class) else { return Ok(()) };
        buckets.take(&buckets.of_network(Network::of(address)), self.started.elapsed())
    }

    /// How many actions of each class that has a limit were refused since the start.
    pub fn refused(&self) -> impl Iterator<Item = (RateClass, u64)> {
        self.classes.iter().map(|(class, buckets)| (*class, buckets.refused.load(Ordering::Relaxed)))
    }

    /// Takes back one action that was counted and turned out not to matter.
    pub fn give_back(&self, class: RateClass, who: &str) {
        if let Some(buckets) = self.classes.get(&class) {
            buckets.give_back(&[buckets.named(who)]);
        }
    }

    /// The same for an action that was counted by a client's address.
    pub fn give_back_address(&self, class: RateClass, address: IpAddr) {
        if let Some(buckets) = self.classes.get(&class) {
            buckets.give_back(&buckets.of_network(Network::of(address)));
        }
    }

    /// Forgets those who have not acted for long. It is to be called now and then.
    pub fn forget_idle(&self) {
        for buckets in self.classes.values() {
            buckets.forget_full(self.started.elapsed());
        }
    }
}

/// The buckets of one class. A full bucket lets as many actions through at once as its burst. Each action
/// takes room out of it, which comes back with time. Times count from the start of the limiter.
struct Buckets {
    /// How long it takes until there is room for one more action.
    period: Duration,
    /// How long a bucket takes from empty to full.
    burst: Duration,
    /// When each bucket will be full, by the hash of its name. Buckets that have no entry are full. Nobody knows the
    /// hashes outside of the program, so nobody can choose a name that shares a bucket with another.
    full_at: Mutex<HashMap<u64, Duration>>,
    hasher: RandomState,
    /// How many actions were refused.
    refused: AtomicU64,
}

/// A bucket, and how much room one action takes out of it.
type Bucket = (u64, Duration);

impl Buckets {
    /// Makes the buckets. None means no limit: the rate is zero or less, or not a number.
    fn new(rate: f64, burst: u32) -> Option<Self> {
        let period = Duration::try_from_secs_f64(1.0 / rate).ok().filter(|period| !period.is_zero())?;
        let burst = period.saturating_mul(burst.max(1));
        let (hasher, refused) = (RandomState::new(), AtomicU64::new(0));
        Some(Self { period, burst, full_at: Mutex::default(), hasher, refused })
    }

    fn named(&self, who: &str) -> Bucket {
        (self.hasher.hash_one(who), self.period)
    }

    /// The buckets of a network: its own, and that of the wider one around it, if there is one.
    fn of_network(&self, network: Network) -> Vec<Bucket> {
        let wider =
            network.wider().map(|wider| (self.hasher.hash_one(wider), self.period / Network::WIDER_TIMES));
        std::iter::once((self.hasher.hash_one(network), self.period)).chain(wider).collect()
    }

    /// Takes room out of all of these buckets, or out of none.
    fn take(&self, buckets: &[Bucket], now: Duration) -> Result<(), Limited> {
        let mut full_at = self.full_at.lock();
        for (name, period) in buckets {
            let before = full_at.get(name).copied().unwrap_or_default().max(now);
            self.check_room(before.saturating_add(*period), now)?;
        }
        for (name, period) in buckets {
            let before = full_at.get(name).copied().unwrap_or_default().max(now);
            set(&mut full_at, *name, before.saturating_add(*period));
        }
        Ok(())
    }

    /// Takes room out of a bucket even if it has none: it takes longer until there is room again.
    fn charge(&self, (name, period): Bucket, units: u64, now: Duration) {
        let units = u32::try_from(units).unwrap_or(u32::MAX);
        let mut full_at = self.full_at.lock();
        let before = full_at.get(&name).copied().unwrap_or_default().max(now);
        set(&mut full_at, name, before.saturating_add(period.saturating_mul(units)));
    }

    fn check_balance(&self, buckets: &[Bucket], now: Duration) -> Result<(), Limited> {
        let known = self.full_at.lock();
        for (name, _) in buckets {
            let full_at = known.get(name).copied().unwrap_or_default().max(now);
            self.check_room(full_at, now)?;
        }
        Ok(())
    }

    fn check_room(&self, full_at: Duration, now: Duration) -> Result<(), Limited> {
        let retry_after = (full_at - now).saturating_sub(self.burst);
        if retry_after.is_zero() {
            return Ok(());
        }
        self.refused.fetch_add(1, Ordering::Relaxed);
        Err(Limited { retry_after })
    }

    fn give_back(&self, buckets: &[Bucket]) {
        let mut full_at = self.full_at.lock();
        for (name, period) in buckets {
            if let Some(full_at) = full_at.get_mut(name) {
                *full_at = full_at.saturating_sub(*period);
            }
        }
    }

    fn forget_full(&self, now: Duration) {
        let mut full_at = self.full_at.lock();
        full_at.retain(|_, full_at| *full_at > now);
        full_at.shrink_to_fit();
    }
}

/// Sets when a bucket will be full.
fn set(full_at: &mut HashMap<u64, Duration>, bucket: u64, time: Duration) {
    if full_at.len() >= MAX_BUCKETS && !full_at.contains_key(&bucket) {
        forget_fuller_half(full_at);
    }
    full_at.insert(bucket, time);
}

/// Makes room in a map that is full. Those who have acted least begin anew with a full bucket.
fn forget_fuller_half(full_at: &mut HashMap<u64, Duration>) {
    let mut times: Vec<_> = full_at.values().copied().collect();
    let middle = times.len() / 2;
    let (_, median, _) = times.select_nth_unstable(middle);
    let median = *median;
    full_at.retain(|_, full_at| *full_at > median);
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn seconds(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn a_bucket_has_room_for_a_burst_and_then_for_one_with_each_period() {
        let buckets = Buckets::new(0.5, 3).expect("a limit");
        let take = |who: &str, now: u64| {
            buckets.take(&[buckets.named(who)], seconds(now)).map_err(|limited| limited.retry_after.as_secs())
        };
        assert_eq!([0, 0, 0, 0].map(|now| take("anna", now)), [Ok(()), Ok(()), Ok(()), Err(2)]);
        assert_eq!(take("ben", 0), Ok(()), "everybody has a bucket of their own");
        assert_eq!([1, 2, 2, 3].map(|now| take("anna", now)), [Err(1), Ok(()), Err(2), Err(1)]);
        // Room is saved up to the burst and no further.
        assert_eq!([99, 99, 99, 99].map(|now| take("anna", now)), [Ok(()), Ok(()), Ok(()), Err(2)]);
    }

    #[test]
    fn what_is_given_back_can_be_taken_again() {
        let buckets = Buckets::new(0.5, 1).expect("a limit");
        let take = |now: u64| buckets.take(&[buckets.named("anna")], seconds(now)).is_ok();
        assert_eq!((take(0), take(0)), (true, false));
        buckets.give_back(&[buckets.named("anna")]);
        assert_eq!((take(0), take(0)), (true, false));
        // Giving back an action saves nothing if its room has come back with time.
        buckets.give_back(&[buckets.named("anna")]);
        buckets.give_back(&[buckets.named("anna")]);
        assert_eq!((take(9), take(9)), (true, false));
        buckets.give_back(&[buckets.named("ben")]);
        assert_eq!(buckets.full_at.lock().len(), 1, "who took nothing gives nothing back");
    }

    #[test]
    fn what_has_cost_more_than_there_was_is_waited_for() {
        let buckets = Buckets::new(0.5, 3).expect("a limit");
        let anna = buckets.named("anna");
        let check = |now: u64| {
            buckets.check_balance(&[anna], seconds(now)).map_err(|limited| limited.retry_after.as_secs())
        };
        assert_eq!(check(0), Ok(()));
        buckets.charge(anna, 5, seconds(0));
        assert_eq!([0, 3, 4].map(check), [Err(4), Err(1), Ok(())]);
        buckets.charge(anna, u64::MAX, seconds(4));
        assert!(check(1_000_000).is_err());
    }

    #[test]
    fn a_wider_network_of_ipv6_may_do_what_sixteen_of_its_networks_may() {
        let limits = Limits { login: 0.001, login_burst: 2, ..Limits::default() };
        let limiter = RateLimiter::new(Some(limits));
        let take = |network: u32| {
            let address = format!("2001:db8:1:{network:x}::1").parse().expect("an address");
            limiter.check_address(RateClass::Login, address).is_ok()
        };
        assert_eq!([0, 0, 0].map(take), [true, true, false], "a network has a limit of its own");
        let passed = (1..100).filter(|network| take(*network)).count();
        assert_eq!(passed + 2, 2 * Network::WIDER_TIMES as usize);
        let elsewhere = |address: &str| {
            limiter.check_address(RateClass::Login, address.parse().expect("an address")).is_ok()
        };
        assert!(elsewhere("2001:db8:2::1") && elsewhere("192.0.2.7"));
        let given_back = "2001:db8:1:1::1".parse().expect("an address");
        limiter.give_back_address(RateClass::Login, given_back);
        assert_eq!([100, 101].map(take), [true, false]);
    }

    #[test]
    fn full_buckets_are_forgotten() {
        let buckets = Buckets::new(0.5, 2).expect("a limit");
        for (who, now) in [("anna", 0), ("ben", 1), ("ben", 1)] {
            buckets.take(&[buckets.named(who)], seconds(now)).expect("there is room");
        }
        buckets.forget_full(seconds(2));
        assert_eq!(buckets.full_at.lock().keys().collect::<Vec<_>>(), [&buckets.named("ben").0]);
    }

    #[test]
    fn of_very_many_those_who_have_taken_least_are_forgotten() {
        let buckets = Buckets::new(0.001, 2).expect("a limit");
        for _ in 0..2 {
            buckets.take(&[buckets.named("anna")], seconds(0)).expect("there is room");
        }
        for name in 0..MAX_BUCKETS {
            buckets.take(&[buckets.named(&name.to_string())], seconds(0)).expect("there is room");
        }
        let kept = buckets.full_at.lock().len();
        assert!(kept <= MAX_BUCKETS, "{kept}");
        assert!(
            buckets.take(&[buckets.named("anna")], seconds(0)).is_err(),
            "who has taken most is remembered"
        );
    }

    #[test]
    fn rates_that_are_none_limit_nothing() {
        for rate in [0.0, -1.0, f64::NAN, f64::INFINITY] {
            assert!(Buckets::new(rate, 1).is_none(), "{rate}");
        }
        let slowest = Buckets::new(f64::MIN_POSITIVE.max(1e-19), u32::MAX).expect("a limit");
        assert!(slowest.take(&[slowest.named("anna")], seconds(1)).is_ok());
    }
}
