//! A disk that runs full: what stops, what goes on, and that nothing which was acknowledged is lost.
#![allow(clippy::unwrap_used, missing_docs)]

use std::{fs, path::Path, process::Command, sync::Arc};

use linkspan_storage::{
    CommitError, Condition, EmbeddedOptions, Json, Memory, Position, Range, Shortage, Space, Store, WriteSet,
    catalogue::{Filters, UserNameKey},
    using_reserve,
};
use tempfile::TempDir;

fn row(name: &str) -> UserNameKey {
    UserNameKey { user_id: "@anna:instagram.localhost".try_into().unwrap(), name: name.into() }
}

fn put(name: &str, value: &str) -> WriteSet {
    let mut writes = WriteSet::new();
    writes.put::<Filters>(&row(name), &Json(value.into()));
    writes
}

fn delete(name: &str) -> WriteSet {
    let mut writes = WriteSet::new();
    writes.delete::<Filters>(&row(name));
    writes
}

fn is_full(outcome: Result<Position, CommitError>) -> bool {
    match outcome {
        Ok(_) => false,
        Err(CommitError::Full) => true,
        Err(error) => panic!("{error}"),
    }
}

#[tokio::test]
async fn what_frees_room_is_written_when_other_writes_have_stopped() {
    let space = Arc::new(Space::pretended(1000, 1000));
    let store = Store::in_memory(Memory::with_space(space.clone()).unwrap());
    assert!(!is_full(store.commit(put("a", "{}")).await));
    assert_eq!(store.condition(), Condition::Good);

    space.pretend(600);
    assert!(!is_full(store.commit(put("b", "{}")).await));
    assert_eq!(store.condition(), Condition::Short(Shortage::Uploads));

    space.pretend(300);
    assert!(is_full(store.commit(put("c", "{}")).await));
    assert!(!is_full(store.commit(delete("a")).await));
    let mut marked = put("d", "{}");
    marked.use_reserve();
    let mut more = put("e", "{}");
    more.append(marked);
    assert!(!is_full(store.commit(more).await));
    assert!(!is_full(using_reserve(store.commit(put("f", "{}"))).await));
    assert_eq!(store.condition(), Condition::Short(Shortage::Writes));

    space.pretend(100);
    assert!(is_full(store.commit(delete("b")).await));
    assert!(is_full(using_reserve(store.commit(put("g", "{}"))).await));
    assert!(!is_full(store.commit(WriteSet::new()).await), "it writes nothing");

    space.pretend(1000);
    assert!(!is_full(store.commit(put("h", "{}")).await));
    let names: Vec<_> =
        store.keys(Range::<Filters>::all()).await.unwrap().into_iter().map(|key| key.name).collect();
    assert_eq!(names, ["b", "d", "e", "f", "h"]);
}

/// A small file system of its own, which goes with this. None, said aloud, where it may not be mounted.
struct SmallDisk(TempDir);

impl SmallDisk {
    fn mount(mib: u32) -> Option<Self> {
        let folder = TempDir::new().unwrap();
        let size = format!("size={mib}m");
        let mounted =
            Command::new("mount").args(["-t", "tmpfs", "-o", &size, "tmpfs"]).arg(folder.path()).output();
        if mounted.is_ok_and(|mounted| mounted.status.success()) {
            return Some(Self(folder));
        }
        println!("SKIPPED: a small file system cannot be mounted here");
        None
    }

    fn path(&self) -> &Path {
        self.0.path()
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg(self.0.path()).status();
    }
}

const MIB: u64 = 1 << 20;

/// Takes the room of a file system, but for so many bytes.
fn take_room(disk: &Path, but_bytes: u64) {
    let found = rustix::fs::statvfs(disk).unwrap();
    let free_bytes = found.f_bavail * found.f_frsize;
    fs::write(disk.join("ballast"), vec![1; usize::try_from(free_bytes - but_bytes).unwrap()]).unwrap();
}

#[tokio::test]
async fn writes_go_on_by_themselves_when_a_full_disk_has_room_again() {
    let Some(disk) = SmallDisk::mount(128) else { return };
    let folder = disk.path().join("store");
    fs::create_dir(&folder).unwrap();
    let reserve_bytes = Some(32 * MIB);
    let options = EmbeddedOptions { reserve_bytes, ..EmbeddedOptions::default() };
    let store = Store::open_with(&folder, options).unwrap();
    store.commit(put("before", "{}")).await.unwrap();
    take_room(disk.path(), 12 * MIB);
    let mut acknowledged = vec!["before".to_owned()];
    // What was measured last holds for a moment.
    for count in 0.. {
        let name = format!("during {count}");
        match store.commit(put(&name, "{}")).await {
            Ok(_) => acknowledged.push(name),
            Err(CommitError::Full) => break,
            Err(error) => panic!("{error}"),
        }
    }
    assert_eq!(store.condition(), Condition::Short(Shortage::Writes));
    assert!(store.failed().borrow().is_none());
    store.commit(delete("before")).await.unwrap();
    acknowledged.remove(0);

    fs::remove_file(disk.path().join("ballast")).unwrap();
    while is_full(store.commit(put("after", "{}")).await) {
        tokio::task::yield_now().await;
    }
    acknowledged.push("after".to_owned());
    assert_eq!(store.condition(), Condition::Good);
    drop(store);
    let store = Store::open_with(&folder, options).unwrap();
    let found: Vec<_> =
        store.keys(Range::<Filters>::all()).await.unwrap().into_iter().map(|key| key.name).collect();
    acknowledged.sort_unstable();
    assert_eq!(found, acknowledged);
}

#[tokio::test]
async fn a_store_that_fails_at_a_full_disk_says_so_and_loses_nothing_acknowledged() {
    let Some(disk) = SmallDisk::mount(128) else { return };
    let folder = disk.path().join("store");
    fs::create_dir(&folder).unwrap();
    let options = EmbeddedOptions { reserve_bytes: Some(0), ..EmbeddedOptions::default() };
    let store = Store::open_with(&folder, options).unwrap();
    let mut failed = store.failed();
    take_room(disk.path(), MIB);
    let value = format!("\"{}\"", "x".repeat(100_000));
    let mut acknowledged = Vec::new();
    for count in 0.. {
        let name = format!("{count:04}");
        match store.commit(put(&name, &value)).await {
            Ok(_) => acknowledged.push(name),
            Err(CommitError::Poisoned(_)) => break,
            Err(error) => panic!("{error}"),
        }
    }
    assert!(!acknowledged.is_empty());
    let reason = failed.wait_for(Option::is_some).await.unwrap().clone().unwrap();
    assert_eq!(store.condition(), Condition::Failed(reason));
    drop(store);
    fs::remove_file(disk.path().join("ballast")).unwrap();
    let store = Store::open_with(&folder, options).unwrap();
    let found: Vec<_> =
        store.keys(Range::<Filters>::all()).await.unwrap().into_iter().map(|key| key.name).collect();
    assert!(found.starts_with(&acknowledged), "{found:?} are there, {acknowledged:?} were acknowledged");
    store.commit(put("after", "{}")).await.unwrap();
}

#[tokio::test]
async fn work_in_the_background_that_fails_is_noticed() {
    let folder = TempDir::new().unwrap();
    let store = Store::open(folder.path()).unwrap();
    let mut failed = store.failed();
    // Files of tables cannot be written any more, while the journal still can.
    for keyspace in fs::read_dir(folder.path().join("keyspaces")).unwrap() {
        fs::remove_dir_all(keyspace.unwrap().path()).unwrap();
    }
    let value = format!("\"{}\"", "x".repeat(1_000_000));
    let writing = tokio::spawn(async move {
        for count in 0.. {
            if store.commit(put(&format!("{count}"), &value)).await.is_err() {
                return;
            }
        }
    });
    let reason = failed.wait_for(Option::is_some).await.unwrap().clone().unwrap();
    assert!(!reason.is_empty());
    writing.abort();
}
