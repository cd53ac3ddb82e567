//! "Get my data": an archive of what the server has of a person, for that person.
//!
//! Everything is read through the services that own it; there is no table. What is in the archive is listed in
//! `person.rs`, and docs/guides/get-my-data.md explains it to people. The archive is made while it is sent, so that
//! one of any size takes little memory. It has nothing that is another person's alone: of rooms it has what the person
//! said and did there, and what the room is called.

mod archive;
mod person;

use std::time::Duration;

use bytes::Bytes;
use futures_util::{Stream, stream};
use linkspan_accounts::{Accounts, AccountsError, Attempt, TokenHash};
use linkspan_contacts::{Contacts, ContactsError};
use linkspan_media::{Media, MediaError};
use linkspan_platforms::{HoldingLimits, Limited, NamedShares, RateClass, Share, Shares, WaitingLimits};
use linkspan_push::{Push, PushError};
use linkspan_rooms::{Rooms, RoomsError};
use linkspan_storage::StorageError;
use ruma::{OwnedDeviceId, OwnedUserId};
use tokio::sync::mpsc;

use crate::archive::Archive;

/// How many archives are made at the same time, one for each person. Each has a few pieces of an archive in memory, and
/// one of many media may take hours, so that the people of one platform leave a quarter of the places to those of others.
const AT_ONCE: HoldingLimits = HoldingLimits { per_who: 1, per_platform: 24, in_all: 32 };
/// Nobody waits for hours.
const NOBODY_WAITS: WaitingLimits = WaitingLimits { per_who: 0, per_platform: 0, in_all: 0 };
/// How long to wait if so many are being made, or the person's own is.
const UNTIL_LATER: Duration = Duration::from_secs(60);

/// An archive cannot be made, or not be finished.
#[derive(Debug, thiserror::Error)]
pub enum ExportError {
    /// The person has had several today, or is being given one; or too many people are.
    #[error(transparent)]
    Limited(#[from] Limited),
    /// Whoever was to have it does not take it.
    #[error("nobody reads the archive any more")]
    NotRead,
    /// The archive cannot be written.
    #[error("the archive cannot be written: {0}")]
    Archive(#[from] zip::result::ZipError),
    /// Something could not be written into the archive.
    #[error("the archive cannot be written: {0}")]
    Io(#[from] std::io::Error),
    /// Accounts failed, or the session has ended.
    #[error(transparent)]
    Accounts(#[from] AccountsError),
    /// Contacts failed.
    #[error(transparent)]
    Contacts(#[from] ContactsError),
    /// Media failed.
    #[error(transparent)]
    Media(#[from] MediaError),
    /// Push failed.
    #[error(transparent)]
    Push(#[from] PushError),
    /// Rooms failed.
    #[error(transparent)]
    Rooms(#[from] RoomsError),
    /// The store failed.
    #[error(transparent)]
    Storage(#[from] StorageError),
}

pub(crate) type Result<T> = std::result::Result<T, ExportError>;

/// The session on whose behalf an archive is made. When it ends, the archive breaks off.
#[derive(Clone, Debug)]
pub struct Session {
    /// Who is to have the archive.
    pub user_id: OwnedUserId,
    /// The device that asks for it.
    pub device_id: OwnedDeviceId,
    /// The hash of its access token.
    pub token_hash: TokenHash,
}

/// Makes archives. Clones are the same.
#[derive(Clone, Debug)]
pub struct Export {
    accounts: Accounts,
    contacts: Contacts,
    media: Media,
    push: Push,
    rooms: Rooms,
    /// The places at which archives are made.
    places: Shares,
    /// It says milliseconds since the Unix epoch.
    clock: fn() -> u64,
}

impl Export {
    /// Archives of what these services have. `clock` says milliseconds since the Unix epoch.
    pub fn new(
        accounts: Accounts,
        contacts: Contacts,
        media: Media,
        push: Push,
        rooms: Rooms,
        clock: fn() -> u64,
    ) -> Self {
        Self { accounts, contacts, media, push, rooms, places: places(), clock }
    }

    /// The places that its work shares, for operators.
    pub fn shares(&self) -> NamedShares {
        ("exports", self.places.clone())
    }

    /// Begins the archive of a user who proves by `attempt` who it is. It comes in pieces, as fast as they are taken; an
    /// error among them says that the rest does not come. A person has one at a time, and only so many in a day.
    pub async fn begin(
        &self,
        session: Session,
        attempt: Attempt<'_>,
        now_ts: u64,
    ) -> Result<impl Stream<Item = Result<Bytes>> + Send + use<>> {
        let platform = attempt.platform;
        // First: a code proves something once, and whoever has to wait needs it again.
        let place = take_place(&self.places, &session.user_id).await?;
        self.accounts.check_export(&session.user_id, attempt, now_ts).await?;
        platform.rate_limiter.check(RateClass::Export, session.user_id.as_str())?;
        // The next piece is made while one is being sent.
        let (to, from) = mpsc::channel(1);
        let export = self.clone();
        tokio::spawn(async move {
            let user_id = session.user_id.clone();
            let archive = Archive::new(to.clone(), export.accounts.clone(), session);
            match export.fill(archive, &user_id, now_ts).await {
                Ok(()) | Err(ExportError::NotRead) => {}
                Err(error) => {
                    tracing::warn!(%error, %user_id, "the archive of a person broke off");
                    to.send(Err(error)).await.ok();
                }
            }
            // Whoever has read all of it may have the next at once.
            drop(place);
            drop(to);
        });
        Ok(stream::unfold(from, |mut from| async move { from.recv().await.map(|piece| (piece, from)) }))
    }
}

fn places() -> Shares {
    Shares::new_limited(AT_ONCE, NOBODY_WAITS)
}

async fn take_place(places: &Shares, user_id: &OwnedUserId) -> Result<Share> {
    let place = places.take(user_id.server_name(), user_id.as_str()).await;
    place.map_err(|_| Limited { retry_after: UNTIL_LATER }.into())
}

#[cfg(test)]
mod tests {
    use ruma::owned_user_id;

    use super::*;

    #[tokio::test]
    async fn people_of_one_platform_leave_places_to_those_of_others() {
        let places = places();
        let mut held = Vec::new();
        let refused = loop {
            let user_id = OwnedUserId::try_from(format!("@{}:a.example", held.len())).expect("a user id");
            match take_place(&places, &user_id).await {
                Ok(place) => held.push(place),
                Err(refused) => break refused,
            }
        };
        assert!(matches!(refused, ExportError::Limited(Limited { retry_after: UNTIL_LATER })));
        let ben = owned_user_id!("@ben:b.example");
        let _place = take_place(&places, &ben).await.expect("there is a place");
        take_place(&places, &ben).await.expect_err("a person has one at a time");
    }
}
