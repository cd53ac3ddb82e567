//! Rate limits of a platform: a bucket for each class of action and each who acts.

use std::{collections::HashMap, fmt, num::NonZeroU32, time::Duration};

use governor::{DefaultKeyedRateLimiter, Quota, RateLimiter as Governor, clock::Clock};

use crate::Limits;

/// Classes of actions that share a limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum RateClass {
    /// Never limited: reading, and what other limits cover.
    Free,
    /// Sending to a room.
    Message,
    /// Logging in, and proving a password otherwise. By address, and by account.
    Login,
    /// Registering. By address.
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
    /// Everything else that changes something.
    Other,
}

/// Too many actions: try again later.
#[derive(Clone, Copy, Debug, thiserror::Error)]
#[error("too many requests; try again in {} ms", .retry_after.as_millis())]
pub struct Limited {
    /// When.
    pub retry_after: Duration,
}

/// The buckets of one platform.
pub struct RateLimiter {
    classes: HashMap<RateClass, DefaultKeyedRateLimiter<String>>,
}

impl fmt::Debug for RateLimiter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("RateLimiter")
    }
}

impl RateLimiter {
    /// None: nothing is limited.
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
                (RateClass::Other, limits.other, limits.other_burst),
            ]
            .into_iter()
            .filter_map(|(class, rate, burst)| Some((class, Governor::keyed(quota(rate, burst)?))))
            .collect()
        });
        Self { classes: classes.unwrap_or_default() }
    }

    /// Counts an action of `who` (a user id, a client's address, an account that is aimed at), or refuses it.
    pub fn check(&self, class: RateClass, who: &str) -> Result<(), Limited> {
        let Some(limiter) = self.classes.get(&class) else { return Ok(()) };
        limiter.check_key(&who.to_owned()).map_err(|refusal| Limited {
            retry_after: refusal.wait_time_from(governor::clock::DefaultClock::default().now()),
        })
    }

    /// Forgets those who have not acted for long; to be called now and then.
    pub fn forget_idle(&self) {
        for limiter in self.classes.values() {
            limiter.retain_recent();
        }
    }
}

/// None: no limit (a rate of zero or less, or one that is no number).
fn quota(rate: f64, burst: u32) -> Option<Quota> {
    let period = Duration::try_from_secs_f64(1.0 / rate).ok().filter(|period| !period.is_zero())?;
    Some(Quota::with_period(period)?.allow_burst(NonZeroU32::new(burst.max(1))?))
}
