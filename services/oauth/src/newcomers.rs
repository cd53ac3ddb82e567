//! Clients that register. Anybody can register one, so there is a greatest number of them, and when it is reached, those
//! go that nobody has used.

use std::{cmp::Reverse, collections::HashMap, net::IpAddr};

use linkspan_platforms::{Holder, MapLimits, Network, SharedMap};
use linkspan_storage::{
    Range, WriteSet,
    catalogue::{OAuthClients, PlatformKey},
};
use parking_lot::Mutex;
use ruma::OwnedServerName;

use crate::{OAuth, OAuthError, expire::UNUSED_MS};

/// The greatest number of clients of a platform.
const MAX_CLIENTS: usize = 10_000;
/// Clients of which it is known where they come from, in all.
const ORIGINS: MapLimits = MapLimits { per_who: MAX_CLIENTS, in_all: MAX_CLIENTS };
/// How many clients that nobody has used are removed at a time. It takes a look at all clients, and so is not done for
/// each.
const REMOVED_AT_A_TIME: usize = 500;

/// What memory holds of clients that were registered lately.
pub(crate) struct Newcomers {
    /// From which networks they were registered.
    origins: SharedMap<Network>,
    /// For how many more clients each platform has room at least. Without it, they are counted.
    room: Mutex<HashMap<OwnedServerName, usize>>,
}

impl Default for Newcomers {
    fn default() -> Self {
        Self { origins: SharedMap::new(ORIGINS), room: Mutex::default() }
    }
}

impl Newcomers {
    /// Notes where a client was registered.
    pub(crate) fn note(&self, client: &PlatformKey, from: IpAddr, now_ts: u64) {
        let network = Network::of(from);
        let (holder, ends_ts) = (Holder::address(&client.platform, from), now_ts + UNUSED_MS);
        self.origins.put(holder, name(client), network.wider().unwrap_or(network), ends_ts, now_ts);
    }

    /// Takes the room of one client, if it is known that there is some.
    fn take_room(&self, platform: &OwnedServerName) -> bool {
        match self.room.lock().get_mut(platform) {
            Some(room) if *room > 0 => {
                *room -= 1;
                true
            }
            _ => false,
        }
    }
}

fn name(client: &PlatformKey) -> String {
    format!("{} {}", client.platform, client.name)
}

impl OAuth {
    /// Refuses if a platform has no room for another client, and none can be made.
    pub(crate) async fn make_room(&self, platform: &OwnedServerName, now_ts: u64) -> Result<(), OAuthError> {
        if self.newcomers.take_room(platform) || self.count_room(platform).await? {
            return Ok(());
        }
        self.expire_clients(platform, now_ts.saturating_sub(UNUSED_MS / 24)).await?;
        if self.count_room(platform).await? {
            return Ok(());
        }
        self.remove_newcomers(platform, REMOVED_AT_A_TIME, now_ts).await?;
        if self.count_room(platform).await? { Ok(()) } else { Err(OAuthError::TooManyClients) }
    }

    /// Counts for how many clients there is room, and takes that of one. Returns false if there is none.
    async fn count_room(&self, platform: &OwnedServerName) -> Result<bool, OAuthError> {
        let clients = Range::<OAuthClients>::prefix((platform,)).limit(MAX_CLIENTS);
        let room = MAX_CLIENTS - self.store.keys(clients).await?.len();
        self.newcomers.room.lock().insert(platform.clone(), room);
        Ok(self.newcomers.take_room(platform))
    }

    /// Removes up to `number` clients that nobody has ever used: first those from the networks from which the most of
    /// them came, and of these the oldest. So somebody who registers very many clients displaces their own.
    async fn remove_newcomers(
        &self,
        platform: &OwnedServerName,
        number: usize,
        now_ts: u64,
    ) -> Result<(), OAuthError> {
        let in_use = self.accounts.clients_in_use(platform).await?;
        let remove = async || {
            let all = self.store.range(Range::<OAuthClients>::prefix((platform,))).await?;
            let unused =
                all.iter().filter(|(key, client)| client.used_ts.is_none() && !in_use.contains(&key.name));
            let mut unused: Vec<_> = unused
                .map(|(key, client)| (self.newcomers.origins.get(&name(key), now_ts), key, client))
                .collect();
            let mut of_origin: HashMap<Option<Network>, usize> = HashMap::new();
            for (origin, ..) in &unused {
                *of_origin.entry(*origin).or_default() += 1;
            }
            unused.sort_by_key(|(origin, _, client)| (Reverse(of_origin[origin]), client.created_ts));
            let mut writes = WriteSet::new();
            for (_, key, client) in unused.into_iter().take(number) {
                // Somebody may be allowing something to the client at this moment.
                writes.expect::<OAuthClients>(key, client);
                writes.delete::<OAuthClients>(key);
            }
            Ok::<_, OAuthError>((writes, ()))
        };
        self.store.update(remove).await
    }
}
