//! Connections in memory and on disk: how they begin, are taken up again and end.
//!
//! Only transitions of a room are written: it is sent for the first time, it falls behind because it is in no
//! window, or it comes back. They are on disk before the client has the answer, except for those of a first
//! answer. What a crash loses of these is sent again.

use std::{
    collections::HashMap,
    hash::{DefaultHasher, Hash, Hasher},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
};

use linkspan_storage::{
    CacheSize, Range, Store, WriteSet,
    catalogue::{SlidingConnectionKey, SlidingConnections, SlidingRooms},
    records::{SlidingConnectionRecord, SlidingRoomRecord},
};
use quick_cache::sync::Cache;
use ruma::{OwnedDeviceId, OwnedRoomId, OwnedUserId};
use tokio::sync::{Mutex, Notify};

use super::{SlidingRequest, sent::ConnectionState};
use crate::{Result, Sync, SyncError};

/// How many connections are in memory. Others are read from the store when their clients return.
const CACHED: usize = 20_000;
/// How many connections a device may have. For a new one, the one that was not used for the longest time is
/// removed.
const MAX_OF_DEVICE: usize = 16;
/// Connections that are looked at in one go for whether they are still used.
const PAGE: usize = 500;
/// How far the time of last use on disk may be behind, in milliseconds. It would cost too much to write it
/// with each request.
const USED_EVERY_MS: u64 = 24 * 60 * 60 * 1000;

/// The connections of all devices.
#[derive(Debug)]
pub(crate) struct Connections {
    cache: Cache<SlidingConnectionKey, Arc<Connection>>,
    /// When the newest one was begun, in milliseconds since the Unix epoch. No two have the same time.
    newest_ts: AtomicU64,
}

/// A connection.
#[derive(Debug)]
pub(crate) struct Connection {
    pub(crate) state: Mutex<ConnectionState>,
    /// The number of the newest request.
    newest: AtomicU64,
    /// It was removed, or begun anew: nothing may be written of it any more.
    is_gone: AtomicBool,
    /// A newer request came in: the older one need not wait any more.
    pub(crate) superseded: Notify,
}

impl Connections {
    /// The connections of a store. One that was removed, or begun anew by another process, ends here.
    pub(crate) fn watching(store: &Store) -> Arc<Self> {
        let connections = Arc::new(Self { cache: Cache::new(CACHED), newest_ts: AtomicU64::new(0) });
        store.watch::<SlidingConnections, _>(&connections, |connections, key, change| {
            if !change.is_own
                && let Some((_, connection)) = connections.cache.remove(key)
            {
                connection.end();
            }
        });
        connections
    }

    /// A number for a connection, made of the time when it was begun and a hash that says whose it is.
    /// How many are in memory.
    pub(crate) fn size(&self) -> CacheSize {
        CacheSize::of(&self.cache)
    }

    fn new_generation(&self, key: &SlidingConnectionKey, now_ts: u64) -> u64 {
        let after = |newest: u64| Some(now_ts.max(newest + 1));
        let before =
            self.newest_ts.fetch_update(Ordering::AcqRel, Ordering::Acquire, after).unwrap_or_default();
        now_ts.max(before + 1) << OWNER_BITS | owner(key)
    }
}

impl Sync {
    /// The connection that a request is on.
    pub(crate) async fn connection(&self, request: &SlidingRequest, now_ts: u64) -> Result<Arc<Connection>> {
        let SlidingRequest { user_id, device_id, conn_id, .. } = request;
        let key = SlidingConnectionKey {
            user_id: user_id.clone(),
            device_id: device_id.clone(),
            conn_id: conn_id.clone(),
        };
        let Some(pos) = request.pos else { return self.begin_connection(key, now_ts).await };
        if pos.token.position > self.inbox.now().position {
            return Err(SyncError::UnknownPos);
        }
        let known = self.connections.cache.get(&key);
        let connection = match known {
            Some(connection) => connection,
            None => self.load_connection(&key).await?,
        };
        let mut state = connection.state.lock().await;
        if connection.is_gone() || state.generation != pos.generation {
            return Err(SyncError::UnknownPos);
        }
        if now_ts.saturating_sub(state.used_ts) >= USED_EVERY_MS {
            state.used_ts = now_ts;
            self.put_connection(&key, state.generation, now_ts);
        }
        drop(state);
        Ok(connection)
    }

    async fn begin_connection(&self, key: SlidingConnectionKey, now_ts: u64) -> Result<Arc<Connection>> {
        if let Some(old) = self.connections.cache.get(&key) {
            old.end();
            // What is just being written of it comes first.
            drop(old.state.lock().await);
        }
        let rooms = Range::prefix((&key.user_id, &key.device_id, &key.conn_id));
        self.store.delete_range::<SlidingRooms>(rooms).await?;
        self.make_place(&key).await?;
        let generation = self.connections.new_generation(&key, now_ts);
        self.put_connection(&key, generation, now_ts);
        Ok(self.keep(key, generation, now_ts, HashMap::new()))
    }

    fn put_connection(&self, key: &SlidingConnectionKey, generation: u64, used_ts: u64) {
        let mut writes = WriteSet::new();
        writes.put::<SlidingConnections>(key, &SlidingConnectionRecord { generation, used_ts });
        drop(self.store.submit(writes));
    }

    /// Reads a connection from the store. One that is not there was removed, or was begun just before a
    /// crash.
    async fn load_connection(&self, key: &SlidingConnectionKey) -> Result<Arc<Connection>> {
        let record = self.store.get::<SlidingConnections>(key).await?;
        let SlidingConnectionRecord { generation, used_ts } = record.ok_or(SyncError::UnknownPos)?;
        let (user_id, device_id) = (&key.user_id, &key.device_id);
        let rows =
            self.store.range(Range::<SlidingRooms>::prefix((user_id, device_id, &key.conn_id))).await?;
        let of_this = rows.into_iter().filter(|(_, room)| room.generation == generation);
        let rooms = of_this.map(|(key, room)| (key.room_id, room)).collect();
        Ok(self.keep(key.clone(), generation, used_ts, rooms))
    }

    fn keep(
        &self,
        key: SlidingConnectionKey,
        generation: u64,
        used_ts: u64,
        rooms: HashMap<OwnedRoomId, SlidingRoomRecord>,
    ) -> Arc<Connection> {
        let state = ConnectionState::new(key.clone(), generation, used_ts, rooms);
        let connection = Arc::new(Connection {
            state: Mutex::new(state),
            newest: AtomicU64::new(0),
            is_gone: AtomicBool::new(false),
            superseded: Notify::new(),
        });
        self.connections.cache.insert(key, connection.clone());
        connection
    }

    /// Removes a device's oldest connections if it has too many.
    async fn make_place(&self, key: &SlidingConnectionKey) -> Result<()> {
        let range = Range::<SlidingConnections>::prefix((&key.user_id, &key.device_id));
        let mut rows = self.store.range(range).await?;
        rows.retain(|(other, _)| other != key);
        rows.sort_by_key(|(_, record)| std::cmp::Reverse(record.used_ts));
        for (oldest, _) in rows.iter().skip(MAX_OF_DEVICE - 1) {
            self.remove_connection(oldest).await?;
        }
        Ok(())
    }

    /// Removes the connections of a device that is gone.
    pub async fn remove_connections(&self, user_id: &OwnedUserId, device_id: &OwnedDeviceId) -> Result<()> {
        let range = Range::<SlidingConnections>::prefix((user_id, device_id));
        for key in self.store.keys(range).await? {
            self.remove_connection(&key).await?;
        }
        // What a crash left of connections that the disk does not know.
        Ok(self.store.delete_range::<SlidingRooms>(Range::prefix((user_id, device_id))).await?)
    }

    /// Removes the connections that were not used since a time, in milliseconds since the Unix epoch. Returns
    /// how many those were.
    pub async fn forget_connections(&self, before_ts: u64) -> Result<usize> {
        let mut forgotten = 0;
        let mut last: Option<SlidingConnectionKey> = None;
        loop {
            let range = match &last {
                Some(key) => Range::<SlidingConnections>::all().after(key),
                None => Range::all(),
            };
            let rows = self.store.range(range.limit(PAGE)).await?;
            let Some((key, _)) = rows.last() else { return Ok(forgotten) };
            last = Some(key.clone());
            for (key, _) in rows.iter().filter(|(_, record)| record.used_ts < before_ts) {
                if !self.was_used_since(key, before_ts).await {
                    self.remove_connection(key).await?;
                    forgotten += 1;
                }
            }
            tokio::task::yield_now().await;
        }
    }

    /// Whether memory knows that the connection was used since then. The disk may not have that yet.
    async fn was_used_since(&self, key: &SlidingConnectionKey, since_ts: u64) -> bool {
        match self.connections.cache.get(key) {
            Some(connection) => connection.state.lock().await.used_ts >= since_ts,
            None => false,
        }
    }

    async fn remove_connection(&self, key: &SlidingConnectionKey) -> Result<()> {
        if let Some((_, connection)) = self.connections.cache.remove(key) {
            connection.end();
            drop(connection.state.lock().await);
        }
        let rooms = Range::prefix((&key.user_id, &key.device_id, &key.conn_id));
        self.store.delete_range::<SlidingRooms>(rooms).await?;
        let mut writes = WriteSet::new();
        writes.delete::<SlidingConnections>(key);
        self.store.commit(writes).await.map_err(linkspan_storage::StorageError::from)?;
        Ok(())
    }
}

impl Connection {
    /// Notes that a request has come in, which is now the newest. Returns its number.
    pub(crate) fn supersede(&self) -> u64 {
        let number = self.newest.fetch_add(1, Ordering::Relaxed) + 1;
        self.superseded.notify_waiters();
        number
    }

    pub(crate) fn is_gone(&self) -> bool {
        self.is_gone.load(Ordering::Acquire)
    }

    pub(crate) fn is_newest(&self, request: u64) -> bool {
        self.newest.load(Ordering::Relaxed) == request
    }

    /// Has nothing more written of it, and requests on it end.
    fn end(&self) {
        self.is_gone.store(true, Ordering::Release);
        self.superseded.notify_waiters();
    }
}

/// How many bits of a generation say which connection it belongs to.
const OWNER_BITS: u32 = 16;

fn owner(key: &SlidingConnectionKey) -> u64 {
    // This hasher has fixed keys, so the hash is the same after a restart.
    let mut hasher = DefaultHasher::new();
    (&key.user_id, &key.device_id, &key.conn_id).hash(&mut hasher);
    hasher.finish() >> (u64::BITS - OWNER_BITS)
}
