//! Requests that are being answered: how many at a time, of each platform and of each network of clients. Long polls count.
//!
//! Behind a proxy, connections say nothing of who is there, so requests are counted by whom they are from.

use std::{
    collections::{HashMap, hash_map::Entry},
    hash::{BuildHasher, BuildHasherDefault, DefaultHasher},
    sync::Arc,
    time::Duration,
};

use linkspan_platforms::{Capacity, Limited, Network};
use parking_lot::Mutex;

use crate::connections::most_of_network;

/// In how many parts the networks are kept, so that requests seldom wait for each other.
const PARTS: usize = 16;
/// How long a client should wait when there are too many requests. A long poll ends in about this time.
const RETRY_AFTER: Duration = Duration::from_secs(10);

/// All requests that are being answered.
#[derive(Debug)]
pub(crate) struct Requests {
    platforms: Mutex<OfPlatforms>,
    networks: [Mutex<HashMap<Network, usize>>; PARTS],
    most_of_network: usize,
}

/// What there is of each platform, by its number.
#[derive(Debug)]
struct OfPlatforms {
    capacity: Capacity,
    /// How many were refused.
    refused: Vec<u64>,
}

/// A request that is being answered, until this is dropped.
#[derive(Debug)]
pub(crate) struct UnderWay {
    requests: Arc<Requests>,
    platform: usize,
    network: Option<Network>,
}

impl Requests {
    /// There may be `most` at a time, to so many platforms.
    pub(crate) fn new(most: usize, platforms: usize) -> Self {
        Self {
            platforms: Mutex::new(OfPlatforms {
                capacity: Capacity::new(most, platforms),
                refused: vec![0; platforms],
            }),
            networks: Default::default(),
            most_of_network: most_of_network(most),
        }
    }

    /// Begins a request to the platform with this number, which may have come just now, or refuses it. A request that comes
    /// from a proxy itself has no network.
    pub(crate) fn begin(
        self: &Arc<Self>,
        platform: usize,
        network: Option<Network>,
    ) -> Result<UnderWay, Limited> {
        self.try_begin(platform, network).inspect_err(|_| self.platforms.lock().refused[platform] += 1)
    }

    /// How many requests to the platform with this number were refused since the start.
    pub(crate) fn refused(&self, platform: usize) -> u64 {
        self.platforms.lock().refused.get(platform).copied().unwrap_or_default()
    }

    fn try_begin(self: &Arc<Self>, platform: usize, network: Option<Network>) -> Result<UnderWay, Limited> {
        let limited = Limited { retry_after: RETRY_AFTER };
        if !self.platforms.lock().take(platform) {
            return Err(limited);
        }
        // From here on, what was taken is given back by `drop`.
        let mut under_way = UnderWay { requests: self.clone(), platform, network: None };
        if let Some(network) = network {
            let mut networks = self.part_of(&network).lock();
            let held = networks.entry(network).or_default();
            if *held >= self.most_of_network {
                return Err(limited);
            }
            *held += 1;
            under_way.network = Some(network);
        }
        Ok(under_way)
    }

    fn part_of(&self, network: &Network) -> &Mutex<HashMap<Network, usize>> {
        let hash = BuildHasherDefault::<DefaultHasher>::new().hash_one(network);
        &self.networks[hash as usize % PARTS]
    }
}

impl OfPlatforms {
    fn take(&mut self, platform: usize) -> bool {
        if platform >= self.refused.len() {
            self.refused.resize(platform + 1, 0);
            self.capacity.grow_to(platform + 1);
        }
        self.capacity.take(platform, 1)
    }
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        self.requests.platforms.lock().capacity.give_back(self.platform, 1);
        let Some(network) = self.network else { return };
        if let Entry::Occupied(mut held) = self.requests.part_of(&network).lock().entry(network) {
            *held.get_mut() -= 1;
            if *held.get() == 0 {
                held.remove();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_network_and_a_platform_have_a_part_of_all() {
        let requests = Arc::new(Requests::new(16, 2));
        let network = |number| Some(Network::of([192, 0, 2, number].into()));
        let mut all: Vec<_> = std::iter::from_fn(|| requests.begin(0, network(1)).ok()).collect();
        assert_eq!(all.len(), 4, "a quarter");
        all.extend((2..12).filter_map(|number| requests.begin(0, network(number)).ok()));
        assert_eq!(all.len(), 12, "half, and the half of the other half");
        assert_eq!([0, 1].map(|platform| requests.refused(platform)), [3, 0]);
        assert!(requests.begin(1, network(1)).is_err() && requests.begin(1, network(99)).is_ok());
        assert_eq!(requests.refused(1), 1);
        all.clear();
        assert!(requests.begin(0, network(1)).is_ok());
        assert!(requests.networks.iter().all(|part| part.lock().is_empty()));
        assert_eq!(requests.platforms.lock().capacity.taken(0), 0);
        assert!(requests.begin(4, None).is_ok(), "a platform that has come later");
    }
}
