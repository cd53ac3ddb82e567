//! The hosted platforms: their settings, keys and rate limits, and how they share what is scarce.
//!
//! A platform is a Matrix server name. "Is this user ours?" is [`Platforms::hosts`], never an
//! equality with one name. This crate does not know accounts or rooms.

mod capacity;
mod colour;
mod counts;
mod held_memory;
mod network;
mod rate_limit;
mod settings;
mod shared_map;
mod shares;
mod signing_key;
mod turn;
mod vapid_key;
mod work;

use std::{collections::HashMap, sync::Arc};

use linkspan_storage::{StorageError, Store};
use ruma::{OwnedServerName, ServerName, signatures::Ed25519KeyPair};

pub use capacity::Capacity;
pub use colour::Colour;
pub use counts::{Counter, PlatformCounts, Present, PresentOne, Sent};
pub use held_memory::{HeldCounts, HeldMemory, Holding};
pub use network::Network;
pub use rate_limit::{Limited, RateClass, RateLimiter};
pub use settings::{
    Contact, DemoAccount, Email, Encryption, Identity, Limits, OnFailure, PolicyCheck, PolicyHook,
    Registration, Rtc, RtcTransport, Settings, Sms, Support, TlsFiles, Turn,
};
pub use shared_map::{Holder, MapLimits, SharedMap};
pub use shares::{HoldingLimits, NamedShares, NotDone, Share, ShareCounts, Shares, WaitingLimits};
pub use turn::TurnCredentials;
pub use vapid_key::VapidKey;
pub use work::{LongWork, Payer, Work, Working, give_way, let_others_run, note_rows};

/// The platforms could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum PlatformsError {
    /// Two platforms share a name, a server name or a host.
    #[error("two platforms share `{0}`")]
    Twice(String),
    /// The store failed.
    #[error(transparent)]
    Storage(#[from] StorageError),
    /// A stored key cannot be read, or a new one not be made.
    #[error("the {key} of {server_name} cannot be used: {reason}")]
    Key {
        /// What the key is for.
        key: &'static str,
        /// The platform whose key it is.
        server_name: OwnedServerName,
        /// What is wrong with it.
        reason: String,
    },
}

/// A hosted platform.
#[derive(Debug)]
pub struct Platform {
    /// The settings, as configured.
    pub settings: Settings,
    /// The key that signs now.
    pub signing_key: Ed25519KeyPair,
    /// The key by which push services know it.
    pub vapid_key: VapidKey,
    /// Its rate limits.
    pub rate_limiter: RateLimiter,
    /// The room that it has for the bodies of requests.
    pub incoming: HeldMemory,
    /// The memory that it has for answers that their clients have not taken yet.
    pub unsent: HeldMemory,
    /// What is counted of it for operators.
    pub counts: PlatformCounts,
    /// Its number among all platforms, from 0, in the order of the configuration.
    pub number: usize,
}

impl Platform {
    /// Its Matrix server name.
    pub fn server_name(&self) -> &OwnedServerName {
        &self.settings.server_name
    }

    /// The platform's name as people read it, as [`Settings::shown_name`] has it.
    pub fn display_name(&self) -> String {
        self.settings.shown_name()
    }

    /// The host at which people find the platform: the first of its hosts, else its server name.
    pub fn first_host(&self) -> &str {
        self.settings.hosts.first().map_or(self.server_name().as_str(), String::as_str)
    }

    /// The platform's colour: the one that is configured, or one that is derived from the short name.
    pub fn colour(&self) -> Colour {
        let configured = self.settings.colour.as_deref().and_then(Colour::parse);
        configured.unwrap_or_else(|| Colour::of_name(&self.settings.name))
    }
}

/// An action that was counted against a limit. Unless it is kept, it is given back.
#[derive(Debug)]
pub struct Counted {
    platform: Arc<Platform>,
    class: RateClass,
    who: String,
    is_kept: bool,
}

impl Platform {
    /// Counts an action of `who` that may still come to nothing, or refuses it.
    pub fn count(self: &Arc<Self>, class: RateClass, who: &str) -> Result<Counted, Limited> {
        self.rate_limiter.check(class, who)?;
        Ok(Counted { platform: self.clone(), class, who: who.to_owned(), is_kept: false })
    }
}

impl Counted {
    /// Says that the action has happened.
    pub fn keep(mut self) {
        self.is_kept = true;
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        if !self.is_kept {
            self.platform.rate_limiter.give_back(self.class, &self.who);
        }
    }
}

/// All hosted platforms.
#[derive(Debug)]
pub struct Platforms {
    platforms: Vec<Arc<Platform>>,
    by_server_name: HashMap<OwnedServerName, Arc<Platform>>,
    by_host: HashMap<String, Arc<Platform>>,
}

impl Platforms {
    /// Opens the platforms, and makes the keys of each that has none yet. `now_ts`: milliseconds since
    /// the Unix epoch.
    pub async fn open(store: &Store, settings: Vec<Settings>, now_ts: u64) -> Result<Self, PlatformsError> {
        let mut all = Self { platforms: Vec::new(), by_server_name: HashMap::new(), by_host: HashMap::new() };
        let count = settings.len();
        let of_each = |bounds| HeldMemory::of_platforms(bounds, count);
        let memory = of_each(held_memory::INCOMING).zip(of_each(held_memory::UNSENT));
        for (number, (settings, (incoming, unsent))) in settings.into_iter().zip(memory).enumerate() {
            let signing_key = signing_key::open(store, &settings.server_name, now_ts).await?;
            let vapid_key = VapidKey::open(store, &settings.server_name).await?;
            let rate_limiter = RateLimiter::new(settings.rate_limits.then(|| settings.limits.clone()));
            let counts = PlatformCounts::new(count);
            let platform =
                Platform { settings, signing_key, vapid_key, rate_limiter, incoming, unsent, counts, number };
            all.add(Arc::new(platform))?;
        }
        Ok(all)
    }

    /// The server names of all platforms that were ever opened over this store, configured now or not.
    pub async fn list_stored(store: &Store) -> Result<Vec<OwnedServerName>, PlatformsError> {
        signing_key::list_platforms(store).await
    }

    fn add(&mut self, platform: Arc<Platform>) -> Result<(), PlatformsError> {
        let server_name = platform.server_name().clone();
        if self.by_server_name.insert(server_name.clone(), platform.clone()).is_some() {
            return Err(PlatformsError::Twice(server_name.to_string()));
        }
        let mut hosts = platform.settings.hosts.clone();
        if !hosts.iter().any(|host| host == server_name.as_str()) {
            hosts.push(server_name.to_string());
        }
        for host in hosts {
            let host = host.to_ascii_lowercase();
            if self.by_host.insert(host.clone(), platform.clone()).is_some() {
                return Err(PlatformsError::Twice(host));
            }
        }
        self.platforms.push(platform);
        Ok(())
    }

    /// Whether a server name is one of ours.
    pub fn hosts(&self, server_name: &ServerName) -> bool {
        self.by_server_name.contains_key(server_name)
    }

    /// The platform with this server name.
    pub fn get(&self, server_name: &ServerName) -> Option<&Arc<Platform>> {
        self.by_server_name.get(server_name)
    }

    /// Finds the platform that a `Host` header means. The port does not matter unless it is configured.
    pub fn by_host(&self, host: &str) -> Option<&Arc<Platform>> {
        let host = host.to_ascii_lowercase();
        self.by_host.get(&host).or_else(|| {
            let (name, port) = host.rsplit_once(':')?;
            port.bytes().all(|byte| byte.is_ascii_digit()).then(|| self.by_host.get(name)).flatten()
        })
    }

    /// All platforms in the order of the configuration.
    pub fn iter(&self) -> impl Iterator<Item = &Arc<Platform>> {
        self.platforms.iter()
    }
}
