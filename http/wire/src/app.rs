//! What endpoints call: the services.

use std::{ops::Deref, sync::Arc};

use linkspan_accounts::{Accounts, DeviceRemoved};
use linkspan_directory::Directory;
use linkspan_inbox::Inbox;
use linkspan_keys::Keys;
use linkspan_media::Media;
use linkspan_oauth::OAuth;
use linkspan_platforms::Platforms;
use linkspan_push::Push;
use linkspan_rooms::Rooms;
use linkspan_sync::Sync;
use ruma::OwnedUserId;

use crate::{clock::now_ts, error::ApiError};

/// What others keep for devices that are gone could not be removed; the log has the cause.
#[derive(Clone, Copy, Debug, thiserror::Error)]
#[error("what was kept for a device could not be removed")]
pub struct DevicesNotForgotten;

/// What a stop interrupted could not be finished; the log has the cause.
#[derive(Clone, Copy, Debug, thiserror::Error)]
#[error("what a stop interrupted could not be finished")]
pub struct NotFinished;

/// Handles on all services.
#[derive(Debug)]
pub struct Services {
    /// The hosted platforms.
    pub platforms: Arc<Platforms>,
    /// Accounts, devices, profiles, account data.
    pub accounts: Accounts,
    /// Logging in by OAuth 2.0.
    pub oauth: OAuth,
    /// Inboxes.
    pub inbox: Inbox,
    /// Finding people.
    pub directory: Directory,
    /// Rooms.
    pub rooms: Rooms,
    /// Keys for end-to-end encryption.
    pub keys: Keys,
    /// Push rules, pushers, unread counts.
    pub push: Push,
    /// What is new for clients.
    pub sync: Sync,
    /// Uploads, downloads, thumbnails.
    pub media: Media,
}

/// All services, as endpoints get them. It is cheap to clone.
#[derive(Clone, Debug)]
pub struct App(Arc<Services>);

impl From<Services> for App {
    fn from(services: Services) -> Self {
        Self(Arc::new(services))
    }
}

impl Deref for App {
    type Target = Services;

    fn deref(&self) -> &Services {
        &self.0
    }
}

impl App {
    /// Finishes what a stop interrupted: has accounts that are deactivated leave everything, and the other services
    /// forget what they keep for devices that are gone.
    pub async fn finish_interrupted(&self) -> Result<(), NotFinished> {
        let departing = self.accounts.departing_accounts().await.map_err(|error| {
            tracing::error!(%error, "accounts that are deactivated could not be listed");
            NotFinished
        })?;
        for user_id in departing {
            self.finish_begun_deactivation(&user_id, Vec::new()).await?;
        }
        let departed = self.accounts.departed_devices().await.map_err(|error| {
            tracing::error!(%error, "devices that are gone could not be listed");
            NotFinished
        })?;
        self.forget_devices(departed).await.map_err(|_| NotFinished)
    }

    /// Has an account that is deactivated leave everything, and the other services forget what they keep of it and of
    /// its devices. `removed`: those that are gone already. The account itself comes last, so that a stop in between is
    /// made up for.
    pub async fn finish_deactivation(
        &self,
        user_id: &OwnedUserId,
        mut removed: Vec<DeviceRemoved>,
    ) -> Result<(), ApiError> {
        self.keys.remove_identity(user_id).await?;
        self.keys.remove_backups(user_id).await?;
        self.push.remove_pushers_of_user(user_id).await?;
        removed.extend(self.rooms.finish_deactivation(user_id, now_ts()).await?);
        self.forget_devices(removed).await
    }

    /// The same, for pages and operators.
    pub async fn finish_begun_deactivation(
        &self,
        user_id: &OwnedUserId,
        removed: Vec<DeviceRemoved>,
    ) -> Result<(), NotFinished> {
        self.finish_deactivation(user_id, removed).await.map_err(|_| NotFinished)
    }

    /// Has the other services forget what they keep for devices that are gone, for pages.
    pub async fn forget_removed(&self, removed: Vec<DeviceRemoved>) -> Result<(), DevicesNotForgotten> {
        self.forget_devices(removed).await.map_err(|_| DevicesNotForgotten)
    }

    /// Has the other services forget what they keep for devices that are gone.
    pub async fn forget_devices(&self, removed: Vec<DeviceRemoved>) -> Result<(), ApiError> {
        let now = self.inbox.now().position;
        for departed in removed {
            let DeviceRemoved { user_id, device_id } = &departed;
            self.keys.remove_device(user_id, device_id).await?;
            loop {
                let (waiting, until) = self.inbox.to_device(user_id, device_id, now).await?;
                if waiting.is_empty() {
                    break;
                }
                self.inbox.acknowledge_to_device(user_id, device_id, until).await?;
            }
            self.sync.remove_connections(user_id, device_id).await?;
            self.push.remove_pushers_of_device(user_id, device_id).await?;
            self.accounts.forget_departed(&departed).await?;
        }
        Ok(())
    }
}
