//! What the embedded engine promises, with its process killed and its disk full: whatever was
//! acknowledged is there afterwards, every other write-set whole or not at all.
//!
//! The child processes are this test's own executable, told by an environment variable to be one.
#![allow(clippy::unwrap_used, missing_docs)]

use std::{
    collections::BTreeMap,
    env,
    ffi::OsStr,
    io::{BufRead, BufReader, Write},
    path::Path,
    process::{Child, ChildStdout, Command, Stdio},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
        mpsc::{Receiver, channel},
    },
    thread,
    time::{Duration, Instant},
};

use linkspan_storage::{
    CommitError, Json, Position, Range, Stamped, Store, Trailing, WriteSet,
    catalogue::{
        AccountData, AccountDataKey, Filters, MediaUsage, Profiles, ToDevice, ToDeviceKey, UserKey,
        UserNameKey,
    },
};
use ruma::OwnedUserId;
use tempfile::TempDir;

const ROUNDS: u64 = 20;
const WRITERS: usize = 8;
const STORE_VARIABLE: &str = "LINKSPAN_KILL_TEST_STORE";

/// A small generator of pseudo-random numbers (SplitMix64).
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }

    fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound
    }
}

fn anna() -> OwnedUserId {
    "@anna:instagram.localhost".try_into().unwrap()
}

fn row(number: u64) -> UserNameKey {
    UserNameKey { user_id: anna(), name: number.to_string() }
}

/// A text that cannot be compressed. Texts have different lengths, up to some blocks of a disk.
fn filling(number: u64) -> String {
    let mut random = Random(number);
    let len = random.below(3000) * random.below(4);
    (0..len).map(|_| format!("{:016x}", random.next())).collect()
}

/// The write-set `number`: a row in each of five tables.
fn write_set(number: u64) -> WriteSet {
    let mut writes = WriteSet::new();
    writes.expect_absent::<Filters>(&row(number));
    writes.put::<Filters>(&row(number), &Json(number.to_string()));
    writes.put::<Profiles>(&row(number), &Json(filling(number)));
    writes.put::<MediaUsage>(
        &UserKey { user_id: format!("@{number}:instagram.localhost").try_into().unwrap() },
        &number,
    );
    // Would be there twice if the write-set were applied twice.
    let (device_id, label) = (number.to_string().into(), Trailing(None));
    writes.put::<ToDevice>(
        &ToDeviceKey { user_id: anna(), device_id, position: Position::PENDING, index: 0, label },
        &Json(number.to_string()),
    );
    writes.put::<AccountData>(
        &AccountDataKey { user_id: anna(), room_id: None, event_type: number.to_string() },
        &Stamped::pending(Json(number.to_string())),
    );
    writes
}

/// The numbers and positions of the write-sets in the store, after a check that each is whole.
async fn check_whole(store: &Store) -> BTreeMap<u64, Position> {
    let mut positions = BTreeMap::new();
    for (key, value) in store.range(Range::<ToDevice>::all()).await.unwrap() {
        let number = value.0.parse().unwrap();
        assert_eq!(key.device_id.as_str(), value.0);
        assert_eq!(positions.insert(number, key.position), None, "{number} was applied twice");
    }
    let mut stamps = BTreeMap::new();
    for (_, Stamped { position, value }) in store.range(Range::<AccountData>::all()).await.unwrap() {
        stamps.insert(value.0.parse::<u64>().unwrap(), position);
    }
    assert_eq!(stamps, positions);
    let mut filters = 0;
    for (key, value) in store.range(Range::<Filters>::all()).await.unwrap() {
        assert_eq!(key.name, value.0);
        assert!(positions.contains_key(&value.0.parse().unwrap()));
        filters += 1;
    }
    let mut fillings = 0;
    for (key, value) in store.range(Range::<Profiles>::all()).await.unwrap() {
        assert!(value.0 == filling(key.name.parse().unwrap()), "the filling of {} is damaged", key.name);
        fillings += 1;
    }
    let mut usages = 0;
    for (key, number) in store.range(Range::<MediaUsage>::all()).await.unwrap() {
        assert_eq!(key.user_id.localpart(), number.to_string());
        usages += 1;
    }
    assert_eq!([filters, fillings, usages], [positions.len(); 3], "a write-set is there in part");
    positions
}

/// Runs the test `name` of this executable as a child over the store in `folder`. The child is the
/// program alone, or started by `shell`, which gets the program as `$0` and its arguments.
fn start_child(name: &str, folder: &Path, shell: Option<&str>) -> Child {
    let program = env::current_exe().unwrap();
    let mut command = match shell {
        Some(script) => {
            let mut command = Command::new("sh");
            command.args([OsStr::new("-c"), script.as_ref(), program.as_os_str()]);
            command
        }
        None => Command::new(program),
    };
    command.args([name, "--exact", "--nocapture", "--test-threads=1"]).env(STORE_VARIABLE, folder);
    command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap()
}

/// The words that a child says, as they come; the test harness's own chatter among them is passed over.
fn words(stdout: ChildStdout) -> Receiver<(String, u64)> {
    let (sender, receiver) = channel();
    thread::spawn(move || {
        for line in BufReader::new(stdout).lines().map_while(Result::ok) {
            // A line that the kill cut has no full stop.
            let Some(said) = line.strip_suffix('.').and_then(|line| line.rsplit_once("says: ")) else {
                continue;
            };
            let (word, number) = said.1.split_once(' ').unwrap();
            let _ = sender.send((word.to_owned(), number.parse().unwrap()));
        }
    });
    receiver
}

fn say(word: &str, number: u64) {
    let mut stdout = std::io::stdout().lock();
    writeln!(stdout, "says: {word} {number}.").unwrap();
    stdout.flush().unwrap();
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_multi_thread().worker_threads(2).build().unwrap()
}

#[test]
fn acknowledged_write_sets_survive_a_kill() {
    if let Some(folder) = env::var_os(STORE_VARIABLE) {
        return runtime().block_on(commit_until_killed(Path::new(&folder)));
    }
    let folder = TempDir::new().unwrap();
    let mut random = Random(2024);
    let mut acknowledged = BTreeMap::new();
    let mut last = Position::ZERO;
    for round in 0..ROUNDS {
        let mut child = start_child("acknowledged_write_sets_survive_a_kill", folder.path(), None);
        let words = words(child.stdout.take().unwrap());
        // The first rounds hit the creation of the store, the later ones anything from its opening on.
        let wait = if round < 6 { 20 + random.below(200) } else { random.below(700) };
        let end = Instant::now() + Duration::from_millis(wait) + Duration::from_micros(random.below(1000));
        let mut told = Vec::new();
        while let Ok(word) = words.recv_timeout(end.saturating_duration_since(Instant::now())) {
            told.push(word);
        }
        child.kill().unwrap();
        child.wait().unwrap();
        told.extend(words.iter());

        let store = Store::open(folder.path()).unwrap();
        let stored = runtime().block_on(check_whole(&store));
        for (word, number) in told {
            assert_eq!(word, "committed", "round {round}");
            assert!(stored.contains_key(&number), "round {round}: {number} was acknowledged and is gone");
            assert!(stored[&number] > last, "round {round}: {number} has a position of an earlier round");
            acknowledged.insert(number, stored[&number]);
        }
        for (number, position) in &acknowledged {
            assert_eq!(stored.get(number), Some(position), "round {round}");
        }
        let newest = stored.values().max().copied().unwrap_or_default();
        assert!(store.position() >= newest, "round {round}: positions went back");
        last = store.position();
    }
    assert!(acknowledged.len() > 100, "the children were killed too early to test anything");
}

/// Commits numbered write-sets with several tasks, and says which are acknowledged, until it is killed.
async fn commit_until_killed(folder: &Path) {
    println!();
    let store = Store::open(folder).unwrap();
    let stored = check_whole(&store).await;
    let next = Arc::new(AtomicU64::new(stored.keys().max().map_or(0, |newest| newest + 1)));
    let mut writers = tokio::task::JoinSet::new();
    for _ in 0..WRITERS {
        let (store, next) = (store.clone(), next.clone());
        writers.spawn(async move {
            loop {
                let number = next.fetch_add(1, Ordering::Relaxed);
                if let Err(error) = store.commit(write_set(number)).await {
                    return error;
                }
                say("committed", number);
            }
        });
    }
    let error = writers.join_next().await.unwrap().unwrap();
    eprintln!("a commit failed: {error}");
    say("failed", 0);
}

/// A limit on the length of files, beyond which writes fail, stands for a full disk.
#[test]
#[cfg(unix)]
fn a_full_disk_poisons_the_store() {
    if let Some(folder) = env::var_os(STORE_VARIABLE) {
        return runtime().block_on(commit_until_the_disk_is_full(Path::new(&folder)));
    }
    let folder = TempDir::new().unwrap();
    // A journal is laid out in advance when it is created, and cut to its length when it is opened again.
    drop(Store::open(folder.path()).unwrap());
    drop(Store::open(folder.path()).unwrap());
    let limited = r#"trap "" XFSZ; ulimit -f 2048; exec "$0" "$@""#;
    let mut child = start_child("a_full_disk_poisons_the_store", folder.path(), Some(limited));
    let told: Vec<_> = words(child.stdout.take().unwrap()).iter().collect();
    assert!(child.wait().unwrap().success(), "after {told:?}");
    let (failed, committed) = told.split_last().unwrap();
    assert_eq!(failed.0, "failed");
    assert!(!committed.is_empty());

    let store = Store::open(folder.path()).unwrap();
    let runtime = runtime();
    let stored = runtime.block_on(check_whole(&store));
    for (word, number) in committed {
        assert_eq!(word, "committed");
        assert!(stored.contains_key(number), "{number} was acknowledged and is gone");
    }
    let next = runtime.block_on(store.commit(write_set(1_000_000))).unwrap();
    assert!(stored.values().all(|&position| position < next));
}

async fn commit_until_the_disk_is_full(folder: &Path) {
    println!();
    let store = Store::open(folder).unwrap();
    for number in 0..100_000 {
        let before = store.position();
        match store.commit(write_set(number)).await {
            Ok(_) => say("committed", number),
            Err(error) => {
                assert!(matches!(error, CommitError::Poisoned(_)), "{error}");
                let again = store.commit(write_set(number)).await;
                assert!(matches!(again, Err(CommitError::Poisoned(_))), "{again:?}");
                assert!(!store.contains::<Filters>(&row(number)).await.unwrap());
                assert_eq!(store.position(), before);
                assert_eq!(check_whole(&store).await.len() as u64, number);
                say("failed", number);
                return;
            }
        }
    }
}
