//! What is left of the keys when the devices of the conversation log out: a backup, for who has a library
//! that knows backups. The key that opens it is shown to who tries the demo, so that another client can read
//! what was said.

use std::path::{Path, PathBuf};

use serde_json::json;

use tokio::task::JoinSet;

use crate::{
    Failure,
    library::Library,
    person::{PASSWORD, Person},
};

/// Whose keys are in a backup, and what opens it: a recovery key as people write it down.
#[derive(Debug)]
pub(crate) struct Recovery {
    pub(crate) name: &'static str,
    pub(crate) key: String,
}

/// What a conversation leaves when it is over.
pub(crate) struct Ended {
    people: Vec<Person>,
    pub(crate) recoveries: Vec<Recovery>,
}

impl Ended {
    pub(super) fn new(people: Vec<Person>) -> Self {
        Self { people, recoveries: Vec::new() }
    }

    /// Makes backups for everybody whose library can.
    pub(crate) async fn back_up(&mut self, folder: &Path) {
        let folder = folder.join("recovery");
        for person in self.people.iter_mut().filter(|person| person.library == Library::Js) {
            let name = person.role.name;
            match begin_backup(person, folder.join(person.role.file_name())).await {
                Ok(key) => self.recoveries.extend(key.map(|key| Recovery { name, key })),
                // They have set up another recovery, for example. The conversation does not need it.
                Err(failure) => tracing::warn!("{name}'s keys are in no backup: {failure}"),
            }
        }
    }

    /// Everybody logs out, once their keys are in their backup: the library takes some seconds for that.
    pub(crate) async fn leave(self) {
        let mut leaving = JoinSet::new();
        for mut person in self.people {
            let has_backup = self.recoveries.iter().any(|recovery| recovery.name == person.role.name);
            leaving.spawn(async move {
                if has_backup && let Err(failure) = person.does("backed_up", json!({})).await {
                    tracing::warn!("not all keys are in a backup: {failure}");
                }
                person.leave().await;
            });
        }
        while leaving.join_next().await.is_some() {}
    }
}

/// The key is kept in a file from one demo to the next. The answer is None if there is no key, because the
/// person has set up their identity with another client.
async fn begin_backup(person: &mut Person, file: PathBuf) -> Result<Option<String>, Failure> {
    if let Ok(key) = std::fs::read_to_string(&file) {
        person.does("recover", json!({ "key": key })).await?;
        return Ok(Some(key));
    }
    let own = json!({ "user": person.id, "device": null });
    if !person.does("is_verified", own).await?["user"].is_null() {
        return Ok(None);
    }
    person.does("bootstrap_cross_signing", json!({ "password": PASSWORD })).await?;
    let made = person.does("enable_recovery", json!({})).await?;
    let key = made["key"].as_str().ok_or("the library made no recovery key")?;
    std::fs::create_dir_all(file.parent().unwrap_or(&file))?;
    std::fs::write(&file, key)?;
    Ok(Some(key.to_owned()))
}
