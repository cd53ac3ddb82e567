//! Rate limits of a platform. There is a bucket for each class of action and each user or address that acts.

use std::{
    collections::HashMap,
    fmt,
    net::{IpAddr, Ipv6Addr},
    sync::atomic::{AtomicU64, Ordering},
    time::{Duration, Instant},
};

use parking_lot::Mutex;

use crate::Limits;

/// The most buckets that are kept for one class. Strangers choose some of their names.
const MAX_BUCKETS: usize = 1 << 18;

const SECONDS_PER_HOUR: f64 = 3_600.0;
const SECONDS_PER_DAY: f64 = 24.0 * SECONDS_PER_HOUR;

/// Classes of actions that share a limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum RateClass {
    /// Reading, and what other limits cover. It is never limited.
    Free,
    /// Sending to a room.
    Message,
    /// Logging in, and proving a password elsewhere. It is counted by address, and by account.
    Login,
    /// Registering. It is counted by address.
    Registration,
    /// Joining and knocking.
    Join,
    /// Inviting.
    Invite,
    /// Creating a room.
    CreateRoom,
    /// Searching people, rooms, messages.
    Search,
    /// Uploading media.
    Upload,
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
            Self::Free => "free",
            Self::Message => "message",
            Self::Login => "login",
            Self::Registration => "registration",
            Self::Join => "join",
            Self::Invite => "invite",
            Self::CreateRoom => "create_room",
            Self::Search => "search",
            Self::Upload => "upload",
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
    classes: HashMap<RateClass, Buckets>,
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
                (RateClass::Registration, limits.registration, limits.registration_burst),
                (RateClass::Join, limits.join, limits.join_burst),
                (RateClass::Invite, limits.invite, limits.invite_burst),
                (RateClass::CreateRoom, limits.create_room, limits.create_room_burst),
                (RateClass::Search, limits.search, limits.search_burst),
                (RateClass::Upload, limits.upload, limits.upload_burst),
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
            .filter_map(|(class, rate, burst)| Some((class, Buckets::new(rate, burst)?)))
            .collect()
        });
        Self { classes: classes.unwrap_or_default(), started: Instant::now() }
    }

    /// Counts an action of `who` (a user id, a client's address, an account that is aimed at), or refuses it.
    pub fn check(&self, class: RateClass, who: &str) -> Result<(), Limited> {
        let Some(buckets) = self.classes.get(&class) else { return Ok(()) };
        buckets.take(who, self.started.elapsed())
    }

    /// Counts an action of a client's address, or refuses it. Somebody with one IPv6 address has a whole
    /// network of them, which counts as one.
    pub fn check_address(&self, class: RateClass, address: IpAddr) -> Result<(), Limited> {
        self.check(class, &network_of(address))
    }

    /// How many actions of each class that has a limit were refused since the start.
    pub fn refused(&self) -> impl Iterator<Item = (RateClass, u64)> {
        self.classes.iter().map(|(class, buckets)| (*class, buckets.refused.load(Ordering::Relaxed)))
    }

    /// Takes back one action that was counted and turned out not to matter.
    pub fn give_back(&self, class: RateClass, who: &str) {
        if let Some(buckets) = self.classes.get(&class) {
            buckets.give_back(who);
        }
    }

    /// Forgets those who have not acted for long. It is to be called now and then.
    pub fn forget_idle(&self) {
        for buckets in self.classes.values() {
            buckets.forget_full(self.started.elapsed());
        }
    }
}

/// The name by which an address is counted: the address itself, or the first 64 bits of an IPv6 address.
pub fn network_of(address: IpAddr) -> String {
    match address.to_canonical() {
        IpAddr::V4(address) => address.to_string(),
        IpAddr::V6(address) => {
            let network = address.to_bits() >> 64 << 64;
            format!("{}/64", Ipv6Addr::from_bits(network))
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
    /// When each bucket will be full. Buckets that have no entry are full.
    full_at: Mutex<HashMap<String, Duration>>,
    /// How many actions were refused.
    refused: AtomicU64,
}

impl Buckets {
    /// Makes the buckets. None means no limit: the rate is zero or less, or not a number.
    fn new(rate: f64, burst: u32) -> Option<Self> {
        let period = Duration::try_from_secs_f64(1.0 / rate).ok().filter(|period| !period.is_zero())?;
        let burst = period.saturating_mul(burst.max(1));
        Some(Self { period, burst, full_at: Mutex::default(), refused: AtomicU64::new(0) })
    }

    fn take(&self, who: &str, now: Duration) -> Result<(), Limited> {
        let mut full_at = self.full_at.lock();
        let known = full_at.get_mut(who);
        let before = known.as_deref().copied().unwrap_or_default().max(now);
        let after = before.saturating_add(self.period);
        let retry_after = (after - now).saturating_sub(self.burst);
        if !retry_after.is_zero() {
            self.refused.fetch_add(1, Ordering::Relaxed);
            return Err(Limited { retry_after });
        }
        match known {
            Some(known) => *known = after,
            None => {
                if full_at.len() >= MAX_BUCKETS {
                    forget_fuller_half(&mut full_at);
                }
                full_at.insert(who.to_owned(), after);
            }
        }
        Ok(())
    }

    fn give_back(&self, who: &str) {
        if let Some(full_at) = self.full_at.lock().get_mut(who) {
            *full_at = full_at.saturating_sub(self.period);
        }
    }

    fn forget_full(&self, now: Duration) {
        let mut full_at = self.full_at.lock();
        full_at.retain(|_, full_at| *full_at > now);
        full_at.shrink_to_fit();
    }
}

/// Makes room in a map that is full. Those who have acted least begin anew with a full bucket.
fn forget_fuller_half(full_at: &mut HashMap<String, Duration>) {
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
            buckets.take(who, seconds(now)).map_err(|limited| limited.retry_after.as_secs())
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
        let take = |now: u64| buckets.take("anna", seconds(now)).is_ok();
        assert_eq!((take(0), take(0)), (true, false));
        buckets.give_back("anna");
        assert_eq!((take(0), take(0)), (true, false));
        // Giving back an action saves nothing if its room has come back with time.
        buckets.give_back("anna");
        buckets.give_back("anna");
        assert_eq!((take(9), take(9)), (true, false));
        buckets.give_back("ben");
        assert_eq!(buckets.full_at.lock().len(), 1, "who took nothing gives nothing back");
    }

    #[test]
    fn a_network_of_ipv6_counts_as_one_client() {
        let network = |address: &str| network_of(address.parse().expect("an address"));
        assert_eq!(network("192.0.2.7"), "192.0.2.7");
        assert_eq!(network("::ffff:192.0.2.7"), "192.0.2.7");
        assert_eq!(network("2001:db8:1:2:3:4:5:6"), "2001:db8:1:2::/64");
        assert_ne!(network("2001:db8:1:3::1"), network("2001:db8:1:2::1"));
    }

    #[test]
    fn full_buckets_are_forgotten() {
        let buckets = Buckets::new(0.5, 2).expect("a limit");
        for (who, now) in [("anna", 0), ("ben", 1), ("ben", 1)] {
            buckets.take(who, seconds(now)).expect("there is room");
        }
        buckets.forget_full(seconds(2));
        assert_eq!(buckets.full_at.lock().keys().collect::<Vec<_>>(), ["ben"]);
    }

    #[test]
    fn of_very_many_those_who_have_taken_least_are_forgotten() {
        let buckets = Buckets::new(0.001, 2).expect("a limit");
        for _ in 0..2 {
            buckets.take("anna", seconds(0)).expect("there is room");
        }
        for name in 0..MAX_BUCKETS {
            buckets.take(&name.to_string(), seconds(0)).expect("there is room");
        }
        let kept = buckets.full_at.lock().len();
        assert!(kept <= MAX_BUCKETS, "{kept}");
        assert!(buckets.take("anna", seconds(0)).is_err(), "who has taken most is remembered");
    }

    #[test]
    fn rates_that_are_none_limit_nothing() {
        for rate in [0.0, -1.0, f64::NAN, f64::INFINITY] {
            assert!(Buckets::new(rate, 1).is_none(), "{rate}");
        }
        let slowest = Buckets::new(f64::MIN_POSITIVE.max(1e-19), u32::MAX).expect("a limit");
        assert!(slowest.take("anna", seconds(1)).is_ok());
    }
}
