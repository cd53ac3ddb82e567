//! Presence: in memory only. Each device of a user has a state of its own, and the user is shown in the best of them.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use ruma::{OwnedDeviceId, OwnedUserId};

use crate::Inbox;

/// How often others are told, within [`CHANGES_PERIOD`], that a user's state has changed. Each time wakes
/// everybody who shares a room with the user. [`Inbox::expire_presence`] tells later what is held back.
const MAX_CHANGES: u32 = 10;
/// How long the presence is kept of a user none of whose devices is there. It is looked up as that of somebody who has
/// never been there then.
const KEPT_FOR: Duration = Duration::from_secs(24 * 60 * 60);
/// The period in which changes are counted.
const CHANGES_PERIOD: Duration = Duration::from_secs(10);

/// What a user is doing. The best state comes first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum PresenceState {
    /// The user is at the client.
    Online,
    /// The user's client is there, but not in use.
    Unavailable,
    /// The user is away.
    Offline,
}

/// A user's presence.
#[derive(Clone, Debug)]
pub struct Presence {
    /// What the user is doing.
    pub state: PresenceState,
    /// The user's own words.
    pub status_msg: Option<String>,
    /// How long ago the user was last active.
    pub last_active_ago: Duration,
}

/// A user whose presence was set at least once.
#[derive(Debug)]
pub(crate) struct PresentUser {
    devices: BTreeMap<OwnedDeviceId, PresentDevice>,
    /// The best state of the devices, as others were last told of it.
    state: PresenceState,
    status_msg: Option<String>,
    last_active: Instant,
    /// How often the state has changed since `counting_since`.
    changes: u32,
    counting_since: Instant,
}

#[derive(Debug)]
struct PresentDevice {
    state: PresenceState,
    last_seen: Instant,
    /// How many requests of the device wait for news.
    syncs: u32,
}

impl Default for PresentUser {
    fn default() -> Self {
        Self {
            devices: BTreeMap::new(),
            state: PresenceState::Offline,
            status_msg: None,
            last_active: Instant::now(),
            changes: 0,
            counting_since: Instant::now(),
        }
    }
}

impl PresentUser {
    fn set_device(&mut self, device_id: &OwnedDeviceId, state: PresenceState) -> &mut PresentDevice {
        let last_seen = Instant::now();
        let device = self.devices.entry(device_id.clone());
        let device = device.or_insert(PresentDevice { state, last_seen, syncs: 0 });
        (device.state, device.last_seen) = (state, last_seen);
        device
    }

    fn forget_quiet_devices(&mut self, quiet: Duration) {
        self.devices.retain(|_, device| device.syncs > 0 || device.last_seen.elapsed() <= quiet);
    }

    /// Whether the user has been away for so long, and others know it.
    fn is_long_gone(&self, away: Duration) -> bool {
        self.devices.is_empty() && self.state == PresenceState::Offline && self.last_active.elapsed() >= away
    }

    /// Shows the user in the best state, unless the state has changed too often lately. Returns whether
    /// others see a change.
    fn update(&mut self) -> bool {
        let best = self.devices.values().map(|device| device.state).min();
        let best = best.unwrap_or(PresenceState::Offline);
        if best == self.state {
            return false;
        }
        if self.counting_since.elapsed() > CHANGES_PERIOD {
            (self.changes, self.counting_since) = (0, Instant::now());
        }
        self.changes += 1;
        let is_told = self.changes <= MAX_CHANGES;
        if is_told {
            self.state = best;
        }
        is_told
    }
}

/// A device that waits for news. It does not count as quiet until this is dropped.
#[derive(Debug)]
#[must_use = "the device counts as waiting until this is dropped"]
pub struct WaitingDevice {
    inbox: Inbox,
    user_id: OwnedUserId,
    device_id: OwnedDeviceId,
}

impl Drop for WaitingDevice {
    fn drop(&mut self) {
        let user = self.inbox.shared.presence.get_mut(&self.user_id);
        if let Some(mut user) = user
            && let Some(device) = user.devices.get_mut(&self.device_id)
        {
            device.syncs -= 1;
            device.last_seen = Instant::now();
        }
    }
}

impl Inbox {
    /// Sets a device's presence and the user's status message. Returns whether others see a change.
    pub fn set_presence(
        &self,
        user_id: &OwnedUserId,
        device_id: &OwnedDeviceId,
        state: PresenceState,
        status_msg: Option<String>,
    ) -> bool {
        let mut user = self.shared.presence.entry(user_id.clone()).or_default();
        user.last_active = Instant::now();
        user.set_device(device_id, state);
        let has_new_words = user.status_msg != status_msg;
        user.status_msg = status_msg;
        user.update() || has_new_words
    }

    /// Sets a device's presence while it waits for news, and for a while after. Returns whether others see a change.
    pub fn begin_waiting(
        &self,
        user_id: &OwnedUserId,
        device_id: &OwnedDeviceId,
        state: PresenceState,
    ) -> (WaitingDevice, bool) {
        let mut user = self.shared.presence.entry(user_id.clone()).or_default();
        if state == PresenceState::Online {
            user.last_active = Instant::now();
        }
        user.set_device(device_id, state).syncs += 1;
        let waiting =
            WaitingDevice { inbox: self.clone(), user_id: user_id.clone(), device_id: device_id.clone() };
        (waiting, user.update())
    }

    /// Forgets the devices that have neither waited nor said anything for `quiet`. Returns the users whose
    /// state has changed by that.
    pub fn expire_presence(&self, quiet: Duration) -> Vec<OwnedUserId> {
        let mut changed = Vec::new();
        for mut user in self.shared.presence.iter_mut() {
            user.forget_quiet_devices(quiet);
            if user.update() {
                changed.push(user.key().clone());
            }
        }
        changed
    }

    /// Forgets users who have been away for long, and are shown so.
    pub(crate) fn forget_absent(&self) {
        self.shared.presence.retain(|_, user| !user.is_long_gone(KEPT_FOR));
    }

    /// Tells `watchers` that a user's presence has changed.
    pub fn tell_presence(&self, user_id: &OwnedUserId, watchers: &[OwnedUserId]) {
        self.note_current_request();
        let epoch = self.next_epoch();
        watchers.iter().for_each(|watcher| self.note_presence(watcher, user_id, epoch));
    }

    /// A user's presence; None if it was never set since the start.
    pub fn presence(&self, user_id: &OwnedUserId) -> Option<Presence> {
        self.shared.presence.get(user_id).map(|user| Presence {
            state: user.state,
            status_msg: user.status_msg.clone(),
            last_active_ago: user.last_active.elapsed(),
        })
    }
}

#[cfg(test)]
mod tests {
    use linkspan_storage::{Memory, Store};

    use super::*;

    #[test]
    fn a_user_is_shown_in_the_best_state_of_all_devices() {
        let inbox = Inbox::new(Store::in_memory(Memory::new().expect("a store in memory opens")), 1);
        let anna: OwnedUserId = "@anna:one.localhost".try_into().expect("a user id");
        let (phone, laptop): (OwnedDeviceId, OwnedDeviceId) = ("PHONE".into(), "LAPTOP".into());
        let shown = || inbox.presence(&anna).expect("she has said something").state;

        let (waiting, changed) = inbox.begin_waiting(&anna, &phone, PresenceState::Unavailable);
        assert!(changed);
        assert!(inbox.set_presence(&anna, &laptop, PresenceState::Online, None));
        assert_eq!(shown(), PresenceState::Online);
        let (again, changed) = inbox.begin_waiting(&anna, &phone, PresenceState::Unavailable);
        assert!(!changed, "another device is still online");

        assert_eq!(inbox.expire_presence(Duration::ZERO), std::slice::from_ref(&anna));
        assert_eq!(shown(), PresenceState::Unavailable, "the one that waits is not quiet");
        drop(waiting);
        assert!(inbox.expire_presence(Duration::ZERO).is_empty(), "it waits with another request");
        drop(again);
        assert!(inbox.expire_presence(Duration::from_secs(60)).is_empty(), "it waited just now");
        assert_eq!(inbox.expire_presence(Duration::ZERO), std::slice::from_ref(&anna));
        assert_eq!(shown(), PresenceState::Offline);
    }

    #[test]
    fn a_state_that_changes_all_the_time_is_told_now_and_then() {
        let inbox = Inbox::new(Store::in_memory(Memory::new().expect("a store in memory opens")), 1);
        let (anna, phone): (OwnedUserId, OwnedDeviceId) =
            ("@anna:one.localhost".try_into().expect("a user id"), "PHONE".into());
        let states = [PresenceState::Online, PresenceState::Unavailable].into_iter().cycle();
        let told = states.take(1_000).filter(|state| inbox.begin_waiting(&anna, &phone, *state).1).count();
        assert_eq!(told, MAX_CHANGES as usize);
    }

    #[test]
    fn who_is_long_gone_is_forgotten() {
        let inbox = Inbox::new(Store::in_memory(Memory::new().expect("a store in memory opens")), 1);
        let (anna, phone): (OwnedUserId, OwnedDeviceId) =
            ("@anna:one.localhost".try_into().expect("a user id"), "PHONE".into());
        inbox.set_presence(&anna, &phone, PresenceState::Online, Some("At sea".into()));
        let is_long_gone = |away| inbox.shared.presence.get(&anna).expect("it is kept").is_long_gone(away);
        assert!(!is_long_gone(Duration::ZERO), "a device is there");
        inbox.expire_presence(Duration::ZERO);
        assert!(is_long_gone(Duration::ZERO));
        assert!(!is_long_gone(KEPT_FOR));
        inbox.forget_absent();
        assert!(inbox.presence(&anna).is_some());
    }

    #[test]
    fn new_words_are_a_difference() {
        let inbox = Inbox::new(Store::in_memory(Memory::new().expect("a store in memory opens")), 1);
        let anna: OwnedUserId = "@anna:one.localhost".try_into().expect("a user id");
        let set = |words: &str| {
            inbox.set_presence(&anna, &"PHONE".into(), PresenceState::Online, Some(words.to_owned()))
        };
        assert!(set("At sea"));
        assert!(!set("At sea"));
        assert!(set("In the port"));
    }
}
