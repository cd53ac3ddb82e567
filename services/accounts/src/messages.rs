//! Messages that prove addresses: mails and SMS. What carries them is another crate's part; how many there may be is
//! decided here.

use std::{collections::HashMap, fmt, future::Future, net::IpAddr, pin::Pin, sync::Arc, time::Duration};

use linkspan_platforms::{Holder, Limits, MapLimits, Network, Platform, SharedMap};
use parking_lot::Mutex;
use ruma::{OwnedServerName, ServerName, thirdparty::Medium};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::{Accounts, AccountsError, ThirdPartyId};

/// How many messages of a platform may be on their way by each medium at the same time. A gateway that is down must
/// neither fill the memory nor stop the others.
const MAX_SENDING: usize = 128;
/// How many messages one address gets within [`WINDOW_MS`].
const MAX_PER_ADDRESS: u32 = 15;
/// How many of them one network can ask for. Otherwise anybody could use up what its owner needs to log in.
const MAX_PER_ADDRESS_AND_NETWORK: u32 = 5;
/// The time in which messages are counted, in milliseconds.
const WINDOW_MS: u64 = 3_600_000;
/// How many addresses, networks and ranges are counted at the same time. A platform that has more of them than others
/// forgets its own first.
const COUNTED: MapLimits = MapLimits { per_who: 100_000, in_all: 100_000 };
/// How long somebody waits before trying again while too many messages are on their way.
const BUSY: Duration = Duration::from_secs(10);

/// A mail to one person.
#[derive(Clone, PartialEq, Eq)]
pub struct Mail {
    /// The address.
    pub to: String,
    /// The subject, which is one line.
    pub subject: String,
    /// The text of the mail, without markup.
    pub text: String,
}

impl fmt::Debug for Mail {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The text holds a token, so it is not printed.
        f.debug_struct("Mail").field("subject", &self.subject).finish_non_exhaustive()
    }
}

/// A text message to one person.
#[derive(Clone, PartialEq, Eq)]
pub struct Sms {
    /// A name of this message that no other has.
    pub id: String,
    /// The number in the form of E.164, with `+`.
    pub to: String,
    /// The text of the message.
    pub text: String,
}

impl fmt::Debug for Sms {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The text holds a code, so it is not printed.
        f.debug_struct("Sms").field("id", &self.id).finish_non_exhaustive()
    }
}

/// A message to one person.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum Message {
    Mail(Mail),
    Sms(Sms),
}

/// A message on its way. The error says why it was not taken.
pub type Sending<'a> = Pin<Box<dyn Future<Output = Result<(), String>> + Send + 'a>>;

/// Carries messages to people.
pub trait Courier: Send + Sync {
    /// Sends a message of a platform. It tries again by itself where that may help.
    fn send<'a>(&'a self, platform: &'a ServerName, message: Message) -> Sending<'a>;
}

/// A number of messages, and when the time ends in which they are counted.
type Count = (u32, u64);

/// What is known of messages on their way.
pub(crate) struct Outgoing {
    on_their_way: Mutex<HashMap<(OwnedServerName, String), Arc<Semaphore>>>,
    /// The messages to each address, and those of each network, range and platform. Whoever counts holds the lock, so
    /// that of several at once no more are let through than the limit says.
    counts: Mutex<SharedMap<Count>>,
}

impl Outgoing {
    pub(crate) fn new() -> Self {
        Self { on_their_way: Mutex::default(), counts: Mutex::new(SharedMap::new(COUNTED)) }
    }

    fn permits(&self, platform: &ServerName, medium: &Medium) -> Arc<Semaphore> {
        let mut on_their_way = self.on_their_way.lock();
        let permits = on_their_way.entry((platform.to_owned(), medium.to_string()));
        permits.or_insert_with(|| Arc::new(Semaphore::new(MAX_SENDING))).clone()
    }

    /// Counts a message of a platform under each of these names, or under none if one of them has reached its limit within
    /// the time.
    pub(crate) fn count(
        &self,
        platform: &ServerName,
        limits: Vec<(String, u32)>,
        window_ms: u64,
        now_ts: u64,
    ) -> Result<(), AccountsError> {
        let counts = self.counts.lock();
        let known = |name: &str| counts.get(name, now_ts).unwrap_or((0, now_ts + window_ms));
        let counted = limits.iter().map(|(name, limit)| (known(name), *limit));
        let full = counted.filter(|((count, _), limit)| count >= limit);
        if let Some(ends_ts) = full.map(|((_, ends_ts), _)| ends_ts).max() {
            let retry_after = Duration::from_millis(ends_ts.saturating_sub(now_ts));
            return Err(AccountsError::TooManyMessages { retry_after });
        }
        for (name, _) in limits {
            let (count, ends_ts) = known(&name);
            let holder = Holder::named(platform, "messages");
            counts.put(holder, name, (count + 1, ends_ts), ends_ts, now_ts);
        }
        Ok(())
    }
}

impl Accounts {
    /// Whether a platform's users can be sent mails.
    pub fn sends_mails(&self, platform: &Platform) -> bool {
        platform.settings.email.is_some() && self.courier.is_some()
    }

    /// Whether a platform's users can be sent SMS.
    pub fn sends_sms(&self, platform: &Platform) -> bool {
        platform.settings.sms.is_some() && self.courier.is_some()
    }

    /// Holds a place for a message to somebody, before anything is written that says it was sent. Refuses if none are
    /// sent, or too many are on their way.
    pub(crate) fn begin_message(&self, platform: &Platform, to: &ThirdPartyId) -> Result<Way, AccountsError> {
        let sends = if to.is_phone() { self.sends_sms(platform) } else { self.sends_mails(platform) };
        let courier = self.courier.clone().filter(|_| sends).ok_or(AccountsError::NotSent)?;
        let permit = self.shared.outgoing.permits(platform.server_name(), to.medium()).try_acquire_owned();
        let permit = permit.map_err(|_| AccountsError::TooManyMessages { retry_after: BUSY })?;
        Ok(Way { courier, platform: platform.server_name().clone(), medium: to.medium().clone(), permit })
    }

    /// Counts a message that somebody at `from` asks for, or refuses it. It is the same whoever has the address.
    pub(crate) fn count_message(
        &self,
        platform: &Platform,
        to: &ThirdPartyId,
        from: IpAddr,
        now_ts: u64,
    ) -> Result<(), AccountsError> {
        let name = platform.server_name();
        let network = Network::of(from);
        let mut limits = vec![
            (format!("{name} to {}", to.readable()), MAX_PER_ADDRESS),
            (format!("{name} to {} from {network}", to.readable()), MAX_PER_ADDRESS_AND_NETWORK),
        ];
        if platform.settings.rate_limits {
            let Limits { codes_of_network, codes_of_range, codes_of_platform, .. } = platform.settings.limits;
            limits.push((format!("{name} from {network}"), codes_of_network));
            let of_wider = codes_of_network.saturating_mul(Network::WIDER_TIMES);
            limits.extend(network.wider().map(|wider| (format!("{name} from {wider}"), of_wider)));
            limits.extend(to.range().map(|range| (format!("{name} range {range}"), codes_of_range)));
            limits.push((format!("{name} by {}", to.medium()), codes_of_platform));
        }
        self.shared.outgoing.count(name, limits, WINDOW_MS, now_ts)
    }
}

/// A place among the messages that are on their way.
pub(crate) struct Way {
    courier: Arc<dyn Courier>,
    platform: OwnedServerName,
    medium: Medium,
    permit: OwnedSemaphorePermit,
}

impl Way {
    /// Sends a message. Nobody waits for it, because the time that it takes would tell what it says.
    pub(crate) fn send(self, message: Message) {
        let Self { courier, platform, medium, permit } = self;
        tokio::spawn(async move {
            if let Err(error) = courier.send(&platform, message).await {
                tracing::warn!(%error, %platform, %medium, "a message could not be sent");
            }
            drop(permit);
        });
    }
}

#[cfg(test)]
mod tests {
    use super::{Outgoing, WINDOW_MS};
    use crate::AccountsError;

    #[test]
    fn what_is_refused_counts_nowhere() {
        let outgoing = Outgoing::new();
        let count = |names: &[(&str, u32)], now_ts| {
            let limits = names.iter().map(|(name, limit)| ((*name).to_owned(), *limit)).collect();
            match outgoing.count(ruma::server_name!("a.example"), limits, WINDOW_MS, now_ts) {
                Ok(()) => 0,
                Err(AccountsError::TooManyMessages { retry_after }) => retry_after.as_millis() as u64,
                Err(error) => panic!("{error}"),
            }
        };
        assert_eq!(count(&[("anna", 2), ("here", 3)], 0), 0);
        assert_eq!(count(&[("anna", 2), ("here", 3)], 10), 0);
        assert_eq!(count(&[("anna", 2), ("here", 3)], 20), WINDOW_MS - 20, "anna has enough");
        assert_eq!(count(&[("ben", 2), ("here", 3)], 30), 0, "which took nothing from the others");
        assert_eq!(count(&[("carl", 2), ("here", 3)], 40), WINDOW_MS - 40);
        assert_eq!(count(&[("carl", 2), ("here", 3)], WINDOW_MS), 0, "an hour later they are counted anew");
    }
}
