//! What people in a room cannot see: because the app of their platform does not have it, or because none of their own
//! apps shows it. See docs/decisions/0023-abilities.md.
//!
//! What a platform's app does not have concerns all its people, and is counted from the list of members in memory.
//! Single people's apps are looked at only where there are few, and only those of people who know the asker: which apps
//! somebody uses is nobody else's business.

use std::collections::BTreeMap;

use linkspan_domain::ContentKind;
use ruma::{OwnedRoomId, OwnedServerName, OwnedUserId};

use crate::{Result, Rooms};

/// The most people in a room whose apps are looked at: each costs a read of their devices.
const FEW: u64 = 50;
/// The most people who are named for a kind of content.
const MAX_NAMED: usize = 20;

/// Why somebody cannot see something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unable {
    /// The app of their platform does not have it.
    Platform,
    /// None of their apps shows it.
    App,
}

/// The people in a room who cannot see a kind of content.
#[derive(Clone, Debug, Default)]
pub struct Unseen {
    /// How many there are.
    pub count: u64,
    /// How many of them are of platforms whose apps do not have it.
    pub by_platform: BTreeMap<OwnedServerName, u64>,
    /// Some of them, no more than 20.
    pub named: Vec<(OwnedUserId, Unable)>,
}

impl Unseen {
    fn add(&mut self, people: &[&OwnedUserId], why: Unable) {
        self.count += people.len() as u64;
        let room = MAX_NAMED.saturating_sub(self.named.len());
        self.named.extend(people.iter().take(room).map(|user_id| ((*user_id).clone(), why)));
    }
}

impl Rooms {
    /// The kinds of content that not all others in a room can see, for somebody who is joined to it.
    pub async fn unseen_kinds(
        &self,
        user_id: &OwnedUserId,
        room_id: &OwnedRoomId,
    ) -> Result<BTreeMap<ContentKind, Unseen>> {
        let room = self.joined_room(user_id, room_id).await?;
        let are_few = self.head(room_id).await?.is_some_and(|head| head.joined + head.invited <= FEW);
        let mut people = match are_few {
            // Whoever is invited to a chat of two has not come yet, and is who is written to.
            true => self.present_user_ids(room_id).await?,
            false => self.local_members(&room).await?.to_vec(),
        };
        people.retain(|person| person != user_id);
        let mut unseen = self.unseen_by_platform(&people);
        if are_few {
            for person in &people {
                self.add_unseen_by_app(&mut unseen, person, user_id).await?;
            }
        }
        Ok(unseen)
    }

    fn unseen_by_platform(&self, people: &[OwnedUserId]) -> BTreeMap<ContentKind, Unseen> {
        let mut unseen = BTreeMap::<ContentKind, Unseen>::new();
        for platform in self.shared.platforms.iter().filter(|it| !it.settings.without.is_empty()) {
            let name = platform.server_name();
            let theirs: Vec<_> = people.iter().filter(|person| person.server_name() == name).collect();
            if theirs.is_empty() {
                continue;
            }
            for kind in &platform.settings.without {
                let unseen = unseen.entry(*kind).or_default();
                unseen.add(&theirs, Unable::Platform);
                unseen.by_platform.insert(name.clone(), theirs.len() as u64);
            }
        }
        unseen
    }

    /// Adds what none of a person's apps shows, if the person knows the asker.
    async fn add_unseen_by_app(
        &self,
        unseen: &mut BTreeMap<ContentKind, Unseen>,
        person: &OwnedUserId,
        asker: &OwnedUserId,
    ) -> Result<()> {
        let Some(platform) = self.shared.platforms.get(person.server_name()) else { return Ok(()) };
        let is_known = self.shared.contacts.is_contact(person, asker).await?;
        if !is_known || self.turns_away(person, asker).await? {
            return Ok(());
        }
        let missing = self.shared.accounts.kinds_without_app(person).await?;
        for kind in missing.difference(&platform.settings.without) {
            unseen.entry(*kind).or_default().add(&[person], Unable::App);
        }
        Ok(())
    }
}
