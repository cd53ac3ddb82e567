//! How much waits in the queue of each device, in all and from each sender: for whoever is about to put more into it.
//!
//! A tally is counted from the keys of a queue, which say enough, when somebody first asks for it. After that the stream
//! of commits keeps it right. It owns no rows, and does not know how much is too much.

use std::{
    collections::HashMap,
    hash::{BuildHasher, RandomState},
    sync::Arc,
    time::{Duration, Instant},
};

use dashmap::DashMap;
use linkspan_storage::{
    Change, Position, Range, StorageError, Store, Trailing,
    catalogue::{DeviceKey, ToDevice, ToDeviceKey},
};
use parking_lot::Mutex;
use ruma::{OwnedDeviceId, OwnedUserId};

/// Keys of a queue that are read at a time: some megabytes.
const PAGE: usize = 10_000;
/// How long a tally is kept that nobody asks for: it costs one read of the keys to have it again.
const KEPT_FOR: Duration = Duration::from_secs(300);
/// Tallies that are kept at most, of about two hundred bytes each. When there are more, all that nobody uses just now
/// are counted anew.
const MAX_TALLIES: usize = 1 << 16;
/// Senders in all tallies together that are kept at most, of about thirty bytes each.
const MAX_SENDERS: usize = 1 << 21;

/// A number of messages, and how many bytes they have together.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Amount {
    /// How many messages.
    pub messages: u64,
    /// Their length as JSON, in bytes.
    pub bytes: u64,
}

impl Amount {
    /// One message of so many bytes.
    pub fn one(bytes: u64) -> Self {
        Self { messages: 1, bytes }
    }

    fn plus(self, other: Self) -> Self {
        Self { messages: self.messages + other.messages, bytes: self.bytes + other.bytes }
    }

    fn minus(self, other: Self) -> Self {
        Self {
            messages: self.messages.saturating_sub(other.messages),
            bytes: self.bytes.saturating_sub(other.bytes),
        }
    }

    fn fits(self, limit: Self) -> bool {
        self.messages <= limit.messages && self.bytes <= limit.bytes
    }
}

/// How much a sender may put into a queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct QueueLimits {
    /// What may wait in it of the sender's.
    pub of_sender: Amount,
    /// What may wait in it of everybody's, when the sender adds something.
    pub of_queue: Amount,
}

/// A row of a queue.
#[derive(Clone, Copy, Debug)]
struct Row {
    at: (Position, u32),
    sender: Option<u64>,
    amount: Amount,
}

/// What waits in a queue.
#[derive(Debug, Default)]
struct Counts {
    all: Amount,
    /// By a hash of the sender.
    senders: HashMap<u64, Amount>,
}

impl Counts {
    fn of(&self, sender: u64) -> Amount {
        self.senders.get(&sender).copied().unwrap_or_default()
    }

    fn add(&mut self, sender: Option<u64>, amount: Amount) {
        self.all = self.all.plus(amount);
        if let Some(sender) = sender {
            let sent = self.senders.entry(sender).or_default();
            *sent = sent.plus(amount);
        }
    }

    fn take(&mut self, sender: Option<u64>, amount: Amount) {
        self.all = self.all.minus(amount);
        if let Some(sender) = sender
            && let Some(sent) = self.senders.get_mut(&sender)
        {
            *sent = sent.minus(amount);
            if sent.messages == 0 {
                self.senders.remove(&sender);
            }
        }
    }
}

/// Whether a queue has been counted.
#[derive(Debug)]
enum Counting {
    /// It is being counted, and these rows have come meanwhile.
    UnderWay(Vec<Row>),
    Done(Counts),
}

#[derive(Debug)]
struct State {
    counting: Counting,
    /// Rows before this one are gone, and not counted: a queue is emptied from its beginning.
    first: (Position, u32),
    used: Instant,
}

/// What waits in the queue of a device.
#[derive(Debug)]
struct Tally {
    /// Rows of later commits are heard of.
    heard_from: Position,
    state: Mutex<State>,
    /// Held by whoever counts.
    counter: tokio::sync::Mutex<()>,
}

impl Tally {
    /// Nothing is counted of what was committed up to `heard`.
    fn new(heard: Position) -> Self {
        let state = State {
            counting: Counting::UnderWay(Vec::new()),
            first: (Position::ZERO, 0),
            used: Instant::now(),
        };
        Self { heard_from: heard, state: Mutex::new(state), counter: tokio::sync::Mutex::default() }
    }

    fn hear_put(&self, row: Row) {
        if row.at.0 <= self.heard_from {
            return;
        }
        match &mut self.state.lock().counting {
            Counting::UnderWay(rows) => rows.push(row),
            Counting::Done(counts) => counts.add(row.sender, row.amount),
        }
    }

    fn hear_deleted(&self, row: Row) {
        let mut state = self.state.lock();
        if row.at < state.first {
            return;
        }
        state.first = (row.at.0, row.at.1 + 1);
        if let Counting::Done(counts) = &mut state.counting {
            counts.take(row.sender, row.amount);
        }
    }

    /// Ends the counting: these rows were found, of commits up to where rows are heard of.
    fn finish(&self, found: &[Row]) {
        let mut state = self.state.lock();
        let Counting::UnderWay(heard) = &mut state.counting else { return };
        let heard = std::mem::take(heard);
        // What was gone when the rows were read may be heard of later.
        let begins = found.first().map_or((self.heard_from.next(), 0), |row| row.at);
        state.first = state.first.max(begins);
        let mut counts = Counts::default();
        for row in found.iter().chain(&heard).filter(|row| row.at >= state.first) {
            counts.add(row.sender, row.amount);
        }
        state.counting = Counting::Done(counts);
    }

    fn is_counted(&self) -> bool {
        matches!(self.state.lock().counting, Counting::Done(_))
    }

    /// Adds a message that is to be sent, unless that is more than the limits allow.
    fn hold(&self, sender: u64, amount: Amount, limits: QueueLimits) -> Result<(), NoRoom> {
        let mut state = self.state.lock();
        state.used = Instant::now();
        let Counting::Done(counts) = &mut state.counting else { return Err(NoRoom::Queue) };
        let own = counts.of(sender);
        if !own.fits(limits.of_sender) || !counts.all.plus(amount).fits(limits.of_queue) {
            return Err(NoRoom::Queue);
        }
        if !own.plus(amount).fits(limits.of_sender) {
            return Err(NoRoom::OwnShare);
        }
        counts.add(Some(sender), amount);
        Ok(())
    }

    fn senders(&self) -> usize {
        match &self.state.lock().counting {
            Counting::UnderWay(_) => 0,
            Counting::Done(counts) => counts.senders.len(),
        }
    }
}

/// Why there is no room for a message in a queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NoRoom {
    /// The sender has used up what is the sender's own, and older messages of the same sender can give way.
    OwnShare,
    /// The queue is full, or the sender has more in it than may be by now.
    Queue,
}

/// Room for a message in a queue, until this is dropped. By then the message is there, or will not come.
#[derive(Debug)]
#[must_use = "the room is given back when this is dropped"]
pub(crate) struct HeldRoom {
    tally: Arc<Tally>,
    sender: u64,
    amount: Amount,
}

impl Drop for HeldRoom {
    fn drop(&mut self) {
        if let Counting::Done(counts) = &mut self.tally.state.lock().counting {
            counts.take(Some(self.sender), self.amount);
        }
    }
}

/// The tallies of queues that somebody has put something into lately.
#[derive(Debug)]
pub(crate) struct Tallies {
    by_device: DashMap<DeviceKey, Arc<Tally>>,
    /// Senders are told by hashes that nobody can foresee.
    hasher: RandomState,
}

impl Tallies {
    /// No tallies yet. They hear of what is committed from now on.
    pub(crate) fn watching(store: &Store) -> Arc<Self> {
        let tallies = Arc::new(Self { by_device: DashMap::new(), hasher: RandomState::new() });
        store.watch::<ToDevice, _>(&tallies, Self::hear);
        tallies
    }

    /// How many queues there are.
    pub(crate) fn len(&self) -> usize {
        self.by_device.len()
    }

    fn hear(&self, key: &ToDeviceKey, change: Change) {
        if self.by_device.is_empty() {
            return;
        }
        let device = DeviceKey { user_id: key.user_id.clone(), device_id: key.device_id.clone() };
        let Some(tally) = self.by_device.get(&device) else { return };
        match change.is_put {
            true => tally.hear_put(self.row(key, change.position)),
            false => tally.hear_deleted(self.row(key, key.position)),
        }
    }

    /// A row without a label counts as a message without bytes, from nobody.
    fn row(&self, key: &ToDeviceKey, position: Position) -> Row {
        let Trailing(label) = &key.label;
        let amount = Amount::one(label.as_ref().map_or(0, |label| label.size_bytes.into()));
        let sender = label.as_ref().map(|label| self.hasher.hash_one(&label.sender));
        Row { at: (position, key.index), sender, amount }
    }

    /// Holds room for a message of `sender` of so many bytes in the queue of a device.
    pub(crate) async fn hold(
        &self,
        store: &Store,
        device: &DeviceKey,
        sender: &OwnedUserId,
        size_bytes: u64,
        limits: QueueLimits,
    ) -> Result<Result<HeldRoom, NoRoom>, StorageError> {
        let tally = self.tally(store, device);
        if !tally.is_counted() {
            let _counter = tally.counter.lock().await;
            if !tally.is_counted() {
                tally.finish(&self.rows(store, device, tally.heard_from).await?);
            }
        }
        let (sender, amount) = (self.hasher.hash_one(sender), Amount::one(size_bytes));
        // It is made only if there is room: it gives back what it stands for.
        Ok(tally.hold(sender, amount, limits).map(|()| HeldRoom { tally, sender, amount }))
    }

    /// Has a queue counted anew of which rows were removed that are not its first.
    pub(crate) fn forget(&self, device: &DeviceKey) {
        self.by_device.remove(device);
    }

    fn tally(&self, store: &Store, device: &DeviceKey) -> Arc<Tally> {
        if let Some(tally) = self.by_device.get(device) {
            return tally.clone();
        }
        if self.by_device.len() >= MAX_TALLIES {
            self.forget_unused(Duration::ZERO);
        }
        // Under the lock of the entry: what is heard after this finds it.
        let new = || Arc::new(Tally::new(store.heard()));
        self.by_device.entry(device.clone()).or_insert_with(new).clone()
    }

    async fn rows(
        &self,
        store: &Store,
        device: &DeviceKey,
        until: Position,
    ) -> Result<Vec<Row>, StorageError> {
        let (user_id, device_id): (&OwnedUserId, &OwnedDeviceId) = (&device.user_id, &device.device_id);
        let mut rows = Vec::new();
        let mut last = None;
        loop {
            let range = Range::<ToDevice>::between((user_id, device_id), (user_id, device_id, &until.next()));
            let keys = store.keys(range.after_last(last.as_ref()).limit(PAGE)).await?;
            rows.extend(keys.iter().map(|key| self.row(key, key.position)));
            if keys.len() < PAGE {
                return Ok(rows);
            }
            last = keys.into_iter().next_back();
        }
    }

    /// Forgets what nobody has asked for lately.
    pub(crate) fn forget_idle(&self) {
        self.forget_unused(KEPT_FOR);
        let senders: usize = self.by_device.iter().map(|tally| tally.senders()).sum();
        if senders > MAX_SENDERS {
            self.forget_unused(Duration::ZERO);
        }
    }

    /// Forgets tallies that were not used for so long. Who holds room in one has a reference to it.
    fn forget_unused(&self, unused: Duration) {
        self.by_device
            .retain(|_, tally| Arc::strong_count(tally) > 1 || tally.state.lock().used.elapsed() < unused);
    }
}

#[cfg(test)]
mod tests {
    use linkspan_storage::{Json, Memory, WriteSet, records::ToDeviceLabel};

    use super::*;

    const LIMITS: QueueLimits = QueueLimits {
        of_sender: Amount { messages: 3, bytes: 100 },
        of_queue: Amount { messages: 4, bytes: 150 },
    };

    struct Scene {
        store: Store,
        tallies: Arc<Tallies>,
        device: DeviceKey,
    }

    impl Scene {
        fn new() -> Self {
            let store = Store::in_memory(Memory::new().expect("a store in memory opens"));
            let tallies = Tallies::watching(&store);
            let device = DeviceKey { user_id: user("anna"), device_id: "PHONE".into() };
            Self { store, tallies, device }
        }

        async fn hold(&self, sender: &str, size_bytes: u64) -> Option<HeldRoom> {
            let sender = user(sender);
            let held = self.tallies.hold(&self.store, &self.device, &sender, size_bytes, LIMITS);
            held.await.expect("the keys are read").ok()
        }

        async fn send(&self, label: Option<(&str, u32)>) {
            let DeviceKey { user_id, device_id } = self.device.clone();
            let label = label.map(|(sender, size_bytes)| ToDeviceLabel {
                sender: user(sender),
                size_bytes,
                body: None,
            });
            let (position, index, label) = (Position::PENDING, 0, Trailing(label));
            let mut writes = WriteSet::new();
            let key = ToDeviceKey { user_id, device_id, position, index, label };
            writes.put::<ToDevice>(&key, &Json("{}".into()));
            self.store.commit(writes).await.expect("it is committed");
        }

        async fn remove_first(&self) {
            let keys = self.store.keys::<ToDevice>(Range::all().limit(1)).await.expect("they are read");
            let mut writes = WriteSet::new();
            keys.iter().for_each(|key| writes.delete::<ToDevice>(key));
            self.store.commit(writes).await.expect("it is committed");
        }

        fn counts(&self) -> (Amount, usize) {
            let tally = self.tallies.by_device.get(&self.device).expect("it was asked for");
            let state = tally.state.lock();
            let Counting::Done(counts) = &state.counting else { panic!("it is counted") };
            (counts.all, counts.senders.len())
        }
    }

    fn user(name: &str) -> OwnedUserId {
        format!("@{name}:one.localhost").try_into().expect("a user id")
    }

    #[tokio::test]
    async fn a_sender_has_a_share_and_the_queue_an_end() {
        let scene = Scene::new();
        let held = [scene.hold("bert", 10).await, scene.hold("bert", 10).await];
        assert!(held.iter().all(Option::is_some));
        assert!(scene.hold("bert", 81).await.is_none(), "too many bytes");
        let third = scene.hold("bert", 80).await;
        assert!(third.is_some() && scene.hold("bert", 0).await.is_none(), "too many messages");
        assert!(scene.hold("carl", 51).await.is_none(), "too many bytes in all");
        let other = scene.hold("carl", 1).await;
        assert!(other.is_some() && scene.hold("dora", 0).await.is_none(), "too many messages in all");
        drop((held, third));
        assert_eq!(scene.counts(), (Amount::one(1), 1), "what is not sent is given back");
    }

    #[tokio::test]
    async fn what_waits_is_counted_and_followed() {
        let scene = Scene::new();
        scene.send(None).await;
        scene.send(Some(("bert", 90))).await;
        assert!(scene.hold("bert", 11).await.is_none());
        let held = scene.hold("bert", 10).await.expect("there is room");
        scene.send(Some(("bert", 10))).await;
        drop(held);
        assert_eq!(scene.counts(), (Amount { messages: 3, bytes: 100 }, 1));
        scene.remove_first().await;
        scene.remove_first().await;
        assert_eq!(scene.counts(), (Amount::one(10), 1));
        // Counting from the beginning gives the same.
        scene.tallies.forget_unused(Duration::ZERO);
        drop(scene.hold("carl", 1).await);
        assert_eq!(scene.counts(), (Amount::one(10), 1));
        scene.remove_first().await;
        assert_eq!(scene.counts(), (Amount::default(), 0));
    }

    #[test]
    fn what_is_heard_while_it_is_counted_counts_once() {
        let at = |position, index| (Position::from_u64(position), index);
        let row = |position| Row { at: at(position, 0), sender: Some(1), amount: Amount::one(10) };
        let tally = Tally::new(Position::from_u64(5));
        // It is found among the stored.
        tally.hear_put(row(5));
        tally.hear_put(row(6));
        tally.hear_put(row(7));
        tally.hear_deleted(row(3));
        tally.finish(&[row(3), row(4), row(5)]);
        let waits = |tally: &Tally| match &tally.state.lock().counting {
            Counting::Done(counts) => counts.all.messages,
            Counting::UnderWay(_) => panic!("it is counted"),
        };
        assert_eq!(waits(&tally), 4);
        // It was gone when the others were found, and is heard of only now.
        tally.hear_deleted(row(2));
        assert_eq!(waits(&tally), 4);
        tally.hear_deleted(row(4));
        assert_eq!(waits(&tally), 3);
    }

    #[tokio::test]
    async fn who_holds_room_keeps_the_tally() {
        let scene = Scene::new();
        let held = scene.hold("bert", 10).await.expect("there is room");
        scene.tallies.forget_unused(Duration::ZERO);
        assert_eq!(scene.counts(), (Amount::one(10), 1));
        drop(held);
        scene.tallies.forget_unused(Duration::ZERO);
        assert!(scene.tallies.by_device.is_empty());
    }
}
