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

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
};

use arc_swap::ArcSwap;
use linkspan_storage::{StorageError, Store};
use ruma::{OwnedServerName, ServerName, signatures::Ed25519KeyPair};

use crate::held_memory::AllMemory;

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
pub use signing_key::SigningKey;
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

/// A hosted platform, as it is at one time. When its settings change, there is another value of this type, which shares
/// with it what is counted and held; whoever has this one goes on with the settings it began with.
#[derive(Debug)]
pub struct Platform {
    /// The settings, as configured.
    pub settings: Settings,
    /// The key that signs now.
    pub signing_key: Arc<Ed25519KeyPair>,
    /// The key by which push services know it.
    pub vapid_key: Arc<VapidKey>,
    /// Its rate limits.
    pub rate_limiter: Arc<RateLimiter>,
    /// The room that it has for the bodies of requests.
    pub incoming: HeldMemory,
    /// The memory that it has for answers that their clients have not taken yet.
    pub unsent: HeldMemory,
    /// What is counted of it for operators.
    pub counts: Arc<PlatformCounts>,
    /// Messages of its people in rooms with people of another platform, by the number of that platform.
    pub messages_to: Box<[Arc<Counter>]>,
    /// Its number among all platforms, from 0. It stays the same until the process ends.
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

/// All hosted platforms. Platforms are added and changed while the process runs; none goes away before it ends, so a
/// number or name that was once valid stays so.
#[derive(Debug)]
pub struct Platforms {
    hosted: ArcSwap<Hosted>,
    incoming: AllMemory,
    unsent: AllMemory,
    /// Held by whoever makes a change.
    changing: tokio::sync::Mutex<()>,
}

/// The platforms as they are at one time.
#[derive(Clone, Debug, Default)]
struct Hosted {
    /// In the order of their numbers.
    platforms: Vec<Arc<Platform>>,
    by_server_name: HashMap<OwnedServerName, Arc<Platform>>,
    by_host: HashMap<String, Arc<Platform>>,
    /// How often settings have changed.
    generation: u64,
    /// How often a platform has changed what it demands of encryption.
    encryption_generation: u64,
}

impl Platforms {
    /// Opens the platforms, and makes the keys of each that has none yet. `now_ts`: milliseconds since
    /// the Unix epoch.
    pub async fn open(store: &Store, settings: Vec<Settings>, now_ts: u64) -> Result<Self, PlatformsError> {
        let all = Self {
            hosted: ArcSwap::default(),
            incoming: AllMemory::new(held_memory::INCOMING),
            unsent: AllMemory::new(held_memory::UNSENT),
            changing: tokio::sync::Mutex::default(),
        };
        all.apply(store, settings, now_ts).await?;
        Ok(all)
    }

    /// Gives platforms other settings, and hosts those that are new. A platform that is not among these stays as it is.
    /// Either all of it is done or nothing. Settings that hold from the start only ([`Settings::keep_until_restart`])
    /// are the caller's concern.
    pub async fn apply(
        &self,
        store: &Store,
        settings: Vec<Settings>,
        now_ts: u64,
    ) -> Result<(), PlatformsError> {
        let _changing = self.changing.lock().await;
        let before = self.hosted.load_full();
        let mut platforms = before.platforms.clone();
        let (mut generation, mut encryption_generation) = (before.generation, before.encryption_generation);
        let mut named = HashSet::new();
        for settings in settings {
            if !named.insert(settings.server_name.clone()) {
                return Err(PlatformsError::Twice(settings.server_name.to_string()));
            }
            match before.by_server_name.get(&settings.server_name) {
                Some(known) if known.settings == settings => {}
                Some(known) => {
                    generation = before.generation + 1;
                    if known.settings.encryption != settings.encryption {
                        encryption_generation = before.encryption_generation + 1;
                    }
                    platforms[known.number] = Arc::new(known.with_settings(settings));
                }
                None => {
                    let platform = self.new_platform(store, settings, platforms.len(), now_ts).await?;
                    platforms.push(Arc::new(platform));
                }
            }
        }
        let count = platforms.len();
        let pairs_of = |platform: Arc<Platform>| platform.with_pairs(count);
        let platforms = platforms.into_iter().map(pairs_of).collect();
        let hosted = Hosted { generation, encryption_generation, ..Hosted::of(platforms)? };
        self.hosted.store(Arc::new(hosted));
        Ok(())
    }

    async fn new_platform(
        &self,
        store: &Store,
        settings: Settings,
        number: usize,
        now_ts: u64,
    ) -> Result<Platform, PlatformsError> {
        Ok(Platform {
            signing_key: Arc::new(signing_key::open(store, &settings.server_name, now_ts).await?),
            vapid_key: Arc::new(VapidKey::open(store, &settings.server_name).await?),
            rate_limiter: Arc::new(RateLimiter::new(settings.limits_that_hold())),
            incoming: self.incoming.of_platform(number),
            unsent: self.unsent.of_platform(number),
            counts: Arc::new(PlatformCounts::new()),
            messages_to: Box::default(),
            number,
            settings,
        })
    }

    /// The server names of all platforms that were ever opened over this store, configured now or not.
    pub async fn list_stored(store: &Store) -> Result<Vec<OwnedServerName>, PlatformsError> {
        signing_key::list_platforms(store).await
    }

    /// The signing keys of a platform, the newest last, with those that sign nothing any more.
    pub async fn list_signing_keys(
        &self,
        store: &Store,
        server_name: &OwnedServerName,
    ) -> Result<Vec<SigningKey>, PlatformsError> {
        signing_key::list(store, server_name).await
    }

    /// Has a hosted platform sign with a new key from now on. The old one is kept, so that what it has signed can be
    /// checked.
    pub async fn rotate_signing_key(
        &self,
        store: &Store,
        server_name: &OwnedServerName,
        now_ts: u64,
    ) -> Result<SigningKey, PlatformsError> {
        let _changing = self.changing.lock().await;
        let signing_key = Arc::new(signing_key::replace(store, server_name, now_ts).await?);
        let told = signing_key::public(&signing_key, now_ts);
        let before = self.hosted.load_full();
        let mut platforms = before.platforms.clone();
        if let Some(known) = before.by_server_name.get(server_name) {
            platforms[known.number] = Arc::new(Platform { signing_key, ..known.shared() });
        }
        let (generation, encryption_generation) = (before.generation, before.encryption_generation);
        self.hosted.store(Arc::new(Hosted { generation, encryption_generation, ..Hosted::of(platforms)? }));
        Ok(told)
    }

    /// How often settings of a platform have changed. What was worked out from them is worth nothing once this is more.
    pub fn generation(&self) -> u64 {
        self.hosted.load().generation
    }

    /// How often a platform has changed what it demands of encryption.
    pub fn encryption_generation(&self) -> u64 {
        self.hosted.load().encryption_generation
    }

    /// Whether a server name is one of ours.
    pub fn hosts(&self, server_name: &ServerName) -> bool {
        self.hosted.load().by_server_name.contains_key(server_name)
    }

    /// The platform with this server name.
    pub fn get(&self, server_name: &ServerName) -> Option<Arc<Platform>> {
        self.hosted.load().by_server_name.get(server_name).cloned()
    }

    /// Finds the platform that a `Host` header means. The port does not matter unless it is configured.
    pub fn by_host(&self, host: &str) -> Option<Arc<Platform>> {
        let (hosted, host) = (self.hosted.load(), host.to_ascii_lowercase());
        let found = hosted.by_host.get(&host).or_else(|| {
            let (name, port) = host.rsplit_once(':')?;
            port.bytes().all(|byte| byte.is_ascii_digit()).then(|| hosted.by_host.get(name)).flatten()
        });
        found.cloned()
    }

    /// All platforms as they are now, in the order in which they came: at the start in that of the configuration.
    pub fn iter(&self) -> impl Iterator<Item = Arc<Platform>> + use<> {
        let hosted = self.hosted.load_full();
        (0..hosted.platforms.len()).map(move |number| hosted.platforms[number].clone())
    }
}

impl Platform {
    /// The same platform with other settings.
    fn with_settings(&self, settings: Settings) -> Self {
        let rate_limiter = match settings.limits_that_hold() == self.settings.limits_that_hold() {
            true => self.rate_limiter.clone(),
            false => Arc::new(self.rate_limiter.changed(settings.limits_that_hold())),
        };
        Self { settings, rate_limiter, ..self.shared() }
    }

    /// The same platform, with a count for each of so many platforms.
    fn with_pairs(self: Arc<Self>, count: usize) -> Arc<Self> {
        if self.messages_to.len() == count {
            return self;
        }
        let known = self.messages_to.iter().cloned();
        let messages_to = known.chain(std::iter::repeat_with(Arc::default)).take(count).collect();
        Arc::new(Self { messages_to, ..self.shared() })
    }

    /// A value that shares everything with this one.
    fn shared(&self) -> Self {
        Self {
            settings: self.settings.clone(),
            signing_key: self.signing_key.clone(),
            vapid_key: self.vapid_key.clone(),
            rate_limiter: self.rate_limiter.clone(),
            incoming: self.incoming.clone(),
            unsent: self.unsent.clone(),
            counts: self.counts.clone(),
            messages_to: self.messages_to.clone(),
            number: self.number,
        }
    }
}

impl Hosted {
    fn of(platforms: Vec<Arc<Platform>>) -> Result<Self, PlatformsError> {
        let mut hosted = Self::default();
        for platform in &platforms {
            let server_name = platform.server_name().clone();
            if hosted.by_server_name.insert(server_name.clone(), platform.clone()).is_some() {
                return Err(PlatformsError::Twice(server_name.to_string()));
            }
            let mut hosts = platform.settings.hosts.clone();
            if !hosts.iter().any(|host| host == server_name.as_str()) {
                hosts.push(server_name.to_string());
            }
            for host in hosts {
                let host = host.to_ascii_lowercase();
                if hosted.by_host.insert(host.clone(), platform.clone()).is_some() {
                    return Err(PlatformsError::Twice(host));
                }
            }
        }
        hosted.platforms = platforms;
        Ok(hosted)
    }
}

#[cfg(test)]
mod tests {
    use linkspan_storage::Memory;
    use ruma::server_name;
    use serde_json::json;

    use super::*;

    fn settings(name: &str, message: f64) -> Settings {
        let limits = json!({ "message": message, "message_burst": 1, "join": 1.0, "join_burst": 1 });
        let all = json!({ "name": name, "server_name": format!("{name}.example"), "limits": limits });
        serde_json::from_value(all).expect("settings")
    }

    #[tokio::test]
    async fn settings_change_and_platforms_come_while_others_go_on() {
        let store = Store::in_memory(Memory::new().expect("a store"));
        let platforms = Platforms::open(&store, vec![settings("a", 1.0)], 1).await.expect("they open");
        let before = platforms.get(server_name!("a.example")).expect("it is hosted");
        for class in [RateClass::Message, RateClass::Join] {
            before.rate_limiter.check(class, "anna").expect("there is room");
        }
        before.counts.messages.note();
        let mut held = before.incoming.begin("anna".to_owned());
        held.grow_to(1).expect("there is room");

        let changed = vec![settings("b", 1.0), settings("a", 2.0)];
        platforms.apply(&store, changed, 2).await.expect("they are applied");
        let after = platforms.get(server_name!("a.example")).expect("it is hosted");
        assert_eq!((before.settings.limits.message, after.settings.limits.message), (1.0, 2.0));
        assert!(after.rate_limiter.check(RateClass::Message, "anna").is_ok(), "there is another limit");
        assert!(after.rate_limiter.check(RateClass::Join, "anna").is_err(), "the limit is as it was");
        assert_eq!((after.counts.messages.read(), after.incoming.counts().bytes), (1, 1));
        let names: Vec<_> = platforms.iter().map(|it| (it.settings.name.clone(), it.number)).collect();
        assert_eq!(names, [("a".to_owned(), 0), ("b".to_owned(), 1)]);
        assert_eq!((before.messages_to.len(), after.messages_to.len()), (1, 2));
        assert_eq!((platforms.generation(), platforms.encryption_generation()), (1, 0));

        let key = platforms.rotate_signing_key(&store, after.server_name(), 3).await.expect("there is a key");
        let keys = platforms.list_signing_keys(&store, after.server_name()).await.expect("there are keys");
        assert_eq!(keys.iter().map(|key| key.expired_ts).collect::<Vec<_>>(), [Some(3), None]);
        assert_eq!(keys[1], key);
        let signs = platforms.get(server_name!("a.example")).expect("it is hosted").signing_key.clone();
        assert_eq!(format!("ed25519:{}", signs.version()), key.id);
        assert_eq!(before.signing_key.version(), "k1", "who has begun goes on with the old one");

        let clash = Settings { hosts: vec!["b.example".into()], ..settings("c", 1.0) };
        assert!(platforms.apply(&store, vec![clash], 3).await.is_err());
        assert!(!platforms.hosts(server_name!("c.example")), "nothing was changed");
    }
}
