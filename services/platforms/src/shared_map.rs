//! Lists in memory that people and strangers of all platforms fill: what is under way, tokens that are soon used. Each has a
//! greatest length. Beyond it gives way whoever has most in it, so that nobody who puts very much into one takes away what
//! others have there.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    net::IpAddr,
    sync::Arc,
};

use parking_lot::Mutex;
use ruma::{OwnedServerName, ServerName, UserId};

use crate::Network;

/// How long a list may become.
#[derive(Clone, Copy, Debug)]
pub struct MapLimits {
    /// The most entries of one person, or of one network of people who have not logged in. The oldest gives way.
    pub per_who: usize,
    /// The most entries in all.
    pub in_all: usize,
}

/// Whose an entry is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Holder {
    platform: OwnedServerName,
    who: Arc<str>,
}

impl Holder {
    /// A user.
    pub fn user(user_id: &UserId) -> Self {
        Self::named(user_id.server_name(), user_id.as_str())
    }

    /// Whoever calls a platform from an address. A wider network of IPv6 counts as one: whoever has one network of it
    /// usually has all.
    pub fn address(platform: &ServerName, address: IpAddr) -> Self {
        let network = Network::of(address);
        Self::named(platform, &network.wider().unwrap_or(network).to_string())
    }

    /// Somebody or something else of a platform.
    pub fn named(platform: &ServerName, who: &str) -> Self {
        Self { platform: platform.to_owned(), who: who.into() }
    }
}

/// A list of values by name, each with a time after which it is gone.
///
/// When it is full, entries that are over go first; then, of the platform that has most entries, the oldest of whoever has
/// most of these.
pub struct SharedMap<V> {
    limits: MapLimits,
    entries: Mutex<Entries<V>>,
}

impl<V> std::fmt::Debug for SharedMap<V> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SharedMap").field("limits", &self.limits).finish_non_exhaustive()
    }
}

struct Entries<V> {
    by_name: HashMap<Arc<str>, Entry<V>>,
    /// The names by when they end.
    by_end: BTreeSet<(u64, u64, Arc<str>)>,
    platforms: HashMap<OwnedServerName, OfPlatform>,
    /// Counts what was put.
    clock: u64,
}

struct Entry<V> {
    value: V,
    expires_ts: u64,
    /// Which one it was of all that were put.
    number: u64,
    holder: Holder,
}

/// The entries of one platform.
#[derive(Default)]
struct OfPlatform {
    count: usize,
    /// The names by whose they are, the oldest first.
    of_who: HashMap<Arc<str>, BTreeMap<u64, Arc<str>>>,
    /// Who has how many.
    by_count: BTreeSet<(usize, Arc<str>)>,
}

impl<V: Clone> SharedMap<V> {
    /// An empty list.
    pub fn new(limits: MapLimits) -> Self {
        let (by_name, by_end, platforms) = (HashMap::new(), BTreeSet::new(), HashMap::new());
        Self { limits, entries: Mutex::new(Entries { by_name, by_end, platforms, clock: 0 }) }
    }

    /// Puts a value, in place of one of the same name. Times are milliseconds since the Unix epoch.
    pub fn put(&self, holder: Holder, name: String, value: V, expires_ts: u64, now_ts: u64) {
        let mut entries = self.entries.lock();
        entries.remove(&name);
        if entries.count_of(&holder) >= self.limits.per_who {
            entries.remove_oldest(&holder.platform, &holder.who);
        }
        if entries.by_name.len() >= self.limits.in_all {
            entries.remove_over(now_ts);
        }
        if entries.by_name.len() >= self.limits.in_all {
            entries.push_out();
        }
        entries.insert(holder, name.into(), value, expires_ts);
    }

    /// The value of a name, unless it is over.
    pub fn get(&self, name: &str, now_ts: u64) -> Option<V> {
        let entries = self.entries.lock();
        let entry = entries.by_name.get(name)?;
        (now_ts < entry.expires_ts).then(|| entry.value.clone())
    }

    /// Removes a value. If several take one, one gets it.
    pub fn take(&self, name: &str, now_ts: u64) -> Option<V> {
        let entry = self.entries.lock().remove(name)?;
        (now_ts < entry.expires_ts).then_some(entry.value)
    }
}

impl<V> Entries<V> {
    fn insert(&mut self, holder: Holder, name: Arc<str>, value: V, expires_ts: u64) {
        self.clock += 1;
        let number = self.clock;
        let platform = self.platforms.entry(holder.platform.clone()).or_default();
        platform.count += 1;
        platform.change(&holder.who, |names| drop(names.insert(number, name.clone())));
        self.by_end.insert((expires_ts, number, name.clone()));
        self.by_name.insert(name, Entry { value, expires_ts, number, holder });
    }

    fn remove(&mut self, name: &str) -> Option<Entry<V>> {
        let (name, entry) = self.by_name.remove_entry(name)?;
        self.by_end.remove(&(entry.expires_ts, entry.number, name));
        if let Some(platform) = self.platforms.get_mut(&entry.holder.platform) {
            platform.count -= 1;
            platform.change(&entry.holder.who, |names| drop(names.remove(&entry.number)));
        }
        Some(entry)
    }

    fn count_of(&self, holder: &Holder) -> usize {
        let names = self.platforms.get(&holder.platform).and_then(|of| of.of_who.get(&holder.who));
        names.map_or(0, BTreeMap::len)
    }

    /// Removes what is over.
    fn remove_over(&mut self, now_ts: u64) {
        while let Some((expires_ts, _, name)) = self.by_end.first().cloned()
            && expires_ts <= now_ts
        {
            self.remove(&name);
        }
    }

    /// Removes the oldest entry of whoever has most on the platform that has most.
    fn push_out(&mut self) {
        let fullest = self.platforms.iter().max_by_key(|(_, platform)| platform.count);
        let who =
            fullest.and_then(|(name, platform)| Some((name.clone(), platform.by_count.last()?.1.clone())));
        if let Some((platform, who)) = who {
            self.remove_oldest(&platform, &who);
        }
    }

    fn remove_oldest(&mut self, platform: &OwnedServerName, who: &Arc<str>) {
        let names = self.platforms.get(platform).and_then(|of| of.of_who.get(who));
        if let Some(oldest) = names.and_then(|names| names.values().next().cloned()) {
            self.remove(&oldest);
        }
    }
}

impl OfPlatform {
    /// Changes the names of somebody, and sees that they stand where they belong.
    fn change(&mut self, who: &Arc<str>, change: impl FnOnce(&mut BTreeMap<u64, Arc<str>>)) {
        let names = self.of_who.entry(who.clone()).or_default();
        self.by_count.remove(&(names.len(), who.clone()));
        change(names);
        match names.len() {
            0 => drop(self.of_who.remove(who)),
            count => drop(self.by_count.insert((count, who.clone()))),
        }
    }
}

#[cfg(test)]
mod tests {
    use ruma::{server_name, user_id};

    use super::*;

    fn map(per_who: usize, in_all: usize) -> SharedMap<u32> {
        SharedMap::new(MapLimits { per_who, in_all })
    }

    fn from(address: &str) -> Holder {
        Holder::address(server_name!("a.example"), address.parse().expect("an address"))
    }

    #[test]
    fn values_end_and_are_taken_once() {
        let map = map(10, 10);
        map.put(from("192.0.2.1"), "one".into(), 1, 10, 0);
        map.put(from("192.0.2.1"), "one".into(), 2, 20, 0);
        assert_eq!((map.get("one", 19), map.get("one", 20), map.get("two", 0)), (Some(2), None, None));
        assert_eq!((map.take("one", 19), map.take("one", 19)), (Some(2), None));
        let entries = map.entries.lock();
        assert!(entries.by_end.is_empty() && entries.platforms.values().all(|it| it.of_who.is_empty()));
    }

    #[test]
    fn a_flood_pushes_out_the_flood() {
        let map = map(1_000, 100);
        map.put(from("192.0.2.1"), "honest".into(), 0, 10, 0);
        map.put(from("192.0.2.1"), "also".into(), 0, 10, 0);
        map.put(Holder::user(user_id!("@anna:b.example")), "annas".into(), 0, 10, 0);
        for number in 0..10_000 {
            // All networks of a wider one are one.
            let part = format!("2001:db8:1:{:x}::1", number % 60_000);
            map.put(from(&part), format!("flood{number}"), number, 10, 0);
        }
        for name in ["honest", "also", "annas", "flood9999", "flood9903"] {
            assert!(map.get(name, 9).is_some(), "{name}");
        }
        assert!(map.get("flood9902", 9).is_none());
        assert_eq!(map.entries.lock().by_name.len(), 100);
    }

    #[test]
    fn many_of_one_platform_leave_others_theirs() {
        let map = map(1_000, 100);
        let of_other = |number: u32| Holder::named(server_name!("b.example"), &number.to_string());
        for number in 0..40 {
            map.put(of_other(number), format!("other{number}"), number, 10, 0);
        }
        for number in 0..10_000 {
            let holder = Holder::named(server_name!("a.example"), &number.to_string());
            map.put(holder, format!("flood{number}"), number, 10, 0);
        }
        assert!((0..40).all(|number| map.get(&format!("other{number}"), 9).is_some()));
    }

    #[test]
    fn what_is_over_goes_first() {
        let map = map(1_000, 4);
        for (number, expires_ts) in [(0, 10), (1, 5), (2, 10), (3, 5)] {
            map.put(from("192.0.2.1"), number.to_string(), number, expires_ts, 0);
        }
        map.put(from("192.0.2.2"), "next".into(), 4, 10, 6);
        assert_eq!(
            ["0", "1", "2", "3", "next"].map(|name| map.get(name, 6).is_some()),
            [true, false, true, false, true]
        );
        assert_eq!(map.entries.lock().by_name.len(), 3);
    }

    #[test]
    fn entries_of_one_make_room_for_each_other() {
        let map = map(3, 100);
        let anna = || Holder::user(user_id!("@anna:a.example"));
        map.put(Holder::user(user_id!("@ben:a.example")), "ben".into(), 1, 10, 0);
        for number in 0..50 {
            map.put(anna(), format!("anna{number}"), number, 10, 0);
        }
        assert_eq!(map.get("ben", 9), Some(1));
        let kept: Vec<_> = (0..50).filter(|number| map.get(&format!("anna{number}"), 9).is_some()).collect();
        assert_eq!(kept, [47, 48, 49]);
    }
}
