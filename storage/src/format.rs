//! The format of a store: which version of this program understands it.
//!
//! The number rises when rows are written that an earlier version would misread. A version that raises it also says here
//! how a store of the format before becomes one of the new format. Fields and tables that are added do not raise it.

use crate::{
    Json, StorageError, Store, WriteSet,
    catalogue::{META_FORMAT_KEY, Meta},
};

/// The format that this version writes, and the newest one that it understands.
pub const FORMAT: u64 = 1;

impl Store {
    /// Refuses a store that a newer version has written. A store without a format, which is new or of the time before there
    /// were formats, gets the first one: rows have not changed since then.
    pub async fn check_format(&self) -> Result<(), StorageError> {
        let Some(Json(found)) = self.get::<Meta>(&META_FORMAT_KEY).await? else {
            let mut writes = WriteSet::new();
            writes.expect_absent::<Meta>(&META_FORMAT_KEY);
            writes.put::<Meta>(&META_FORMAT_KEY, &Json(FORMAT.to_string()));
            self.commit(writes).await?;
            return Ok(());
        };
        match found.parse() {
            Ok(found) if found > FORMAT => Err(StorageError::NewerFormat { found, known: FORMAT }),
            Ok(_) => Ok(()),
            Err(_) => {
                Err(StorageError::DamagedValue { table: "meta", reason: "the format is not a number".into() })
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Memory;

    #[tokio::test]
    async fn a_store_of_a_newer_version_is_refused() {
        let store = Store::in_memory(Memory::new().expect("a store"));
        store.check_format().await.expect("it is new");
        store.check_format().await.expect("it has the format of this version");
        let mut writes = WriteSet::new();
        writes.put::<Meta>(&META_FORMAT_KEY, &Json((FORMAT + 1).to_string()));
        store.commit(writes).await.expect("it is written");
        let refused = store.check_format().await.expect_err("it is of a newer version").to_string();
        assert!(refused.contains("newer version of Linkspan") && refused.contains("format 2"), "{refused}");
    }
}
