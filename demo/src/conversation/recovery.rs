//! What is left of the keys when the devices of the conversation log out: a backup for everybody whose recovery key is in
//! the configuration. With that key, the app and other clients read what was said.

use serde_json::json;
use tokio::task::JoinSet;

use super::App;
use crate::{Failure, client::Recovery, config::Config, person::Person};

/// What a conversation leaves when it is over.
pub(crate) struct Ended {
    people: Vec<Person>,
    /// Whose keys are in a backup, and what opens it: a recovery key as people write it down.
    pub(crate) recoveries: Vec<(&'static str, String)>,
}

impl Ended {
    pub(super) fn new(people: Vec<Person>) -> Self {
        Self { people, recoveries: Vec::new() }
    }

    /// Puts everybody's keys into their backups.
    pub(crate) async fn back_up(&mut self, apps: &[App; 3], config: &Config) {
        for person in &mut self.people {
            let (role, app) = (person.role, &apps[person.role.platform]);
            let Some(key) = config.recovery_key(app.server_name, role.known_by.typed()) else { continue };
            match back_up(person, &app.address, key).await {
                Ok(()) => self.recoveries.push((role.name, key.to_owned())),
                // They have set up another recovery, for example. The conversation does not need it.
                Err(failure) => tracing::warn!("{}'s keys are in no backup: {failure}", role.name),
            }
        }
    }

    /// Everybody logs out.
    pub(crate) async fn leave(self) {
        let mut leaving = JoinSet::new();
        for person in self.people {
            leaving.spawn(person.leave());
        }
        while leaving.join_next().await.is_some() {}
    }
}

async fn back_up(person: &mut Person, server: &str, key: &str) -> Result<(), Failure> {
    let room_keys = person.does("room_keys", json!({})).await?;
    let recovery = Recovery::new(server, &person.token, &person.id, key);
    let kept = async { recovery?.keep(&room_keys["keys"]).await };
    kept.await.map_err(|refusal| refusal.to_string().into())
}
