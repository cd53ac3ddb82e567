//! The devices that the library would encrypt for. They are told whenever they change.

use std::{collections::BTreeMap, sync::Arc};

use futures_util::{Stream, StreamExt};
use matrix_sdk::{
    Client,
    ruma::{OwnedDeviceId, OwnedUserId},
};
use serde_json::json;
use tokio::sync::Mutex;

use crate::{Refused, write};

/// What was told of everybody's devices.
#[derive(Clone)]
pub(crate) struct Devices {
    client: Client,
    told: Arc<Mutex<BTreeMap<OwnedUserId, Vec<OwnedDeviceId>>>>,
}

impl Devices {
    pub(crate) fn new(client: Client) -> Self {
        Self { client, told: Arc::default() }
    }

    /// Tells what the library learns outside of the sync loop.
    pub(crate) async fn follow(self) -> Result<impl Future<Output = ()>, Refused> {
        let news = self.client.encryption().devices_stream().await?.map(drop);
        Ok(self.tell_after_each(news))
    }

    async fn tell_after_each(self, news: impl Stream<Item = ()>) {
        let mut news = std::pin::pin!(news);
        while news.next().await.is_some() {
            if let Err(refused) = self.tell().await {
                write(&json!({ "event": "sync_failed", "message": refused.message }));
            }
        }
    }

    /// Tells what has changed since the last time.
    pub(crate) async fn tell(&self) -> Result<(), Refused> {
        let encryption = self.client.encryption();
        let mut told = self.told.lock().await;
        for user in encryption.tracked_users().await? {
            let all = encryption.get_user_devices(&user).await?;
            let mut ids: Vec<_> = all.keys().map(ToOwned::to_owned).collect();
            ids.sort();
            // Users whose devices were never asked for have none, as far as the library knows.
            let is_known = !ids.is_empty() || told.contains_key(&user);
            if is_known && told.get(&user) != Some(&ids) {
                write(&json!({ "event": "devices", "user": user, "devices": ids }));
                told.insert(user, ids);
            }
        }
        Ok(())
    }
}
