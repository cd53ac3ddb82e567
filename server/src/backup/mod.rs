//! Backups: a folder with all rows as they were at one moment, and all media.
//!
//! Rows are kept in pieces that are named by their checksums, so a piece that is there already is not written again. The
//! same holds for media, which never change. What is in a backup stands in its index, which takes the place of the one
//! before as the last step: a backup that breaks off leaves the earlier one whole. No file is ever changed where it is,
//! so hard links of a whole backup stay what they are. See docs/guides/back-up.md and docs/decisions/0031-backup.md.

mod index;
mod media;
mod rows;

use std::{
    collections::HashSet,
    fmt,
    fs::{self, DirBuilder, File, OpenOptions},
    io::{self, Read, Write},
    os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt},
    path::{Path, PathBuf},
    thread,
    time::{Duration, Instant},
};

use linkspan_storage::{Filling, Store};
use linkspan_wire::now_ts;
use sha2::{Digest, Sha256};

use crate::{Failure, counted};
use index::{Entry, IndexReader, IndexWriter, Piece};

/// How much a backup that is not to be felt reads in a second, in bytes. A disk that is shared with a server under load
/// gives that easily.
const GENTLE_BYTES: u64 = 32 << 20;
/// How much of a file is read at once, in bytes.
const READ_BYTES: usize = 1 << 20;
/// How many damaged files are named at once.
const NAMED: usize = 100;
/// The file that is locked while a backup is made, and by which the folder of a backup is known.
const LOCK: &str = "lock";
/// The folder in which a store is made anew, in the data folder.
const HALF: &str = "store.restoring";

/// What is backed up.
pub(crate) struct Source<'a> {
    pub(crate) store: &'a Store,
    /// The folder of media, if they are in no bucket.
    pub(crate) media: Option<&'a Path>,
    pub(crate) data: &'a Path,
}

/// How fast a backup is made.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Pace {
    /// As fast as possible.
    Full,
    /// So that a server under load goes on as before.
    Gentle,
}

/// What a backup has.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Summary {
    made_ts: u64,
    position: u64,
    rows: u64,
    media: u64,
    bytes: u64,
    /// How much of it was not there before, if it was just made.
    new_bytes: u64,
}

impl Summary {
    fn add(&mut self, entry: &Entry) {
        match entry {
            Entry::Rows { rows, piece, .. } => {
                self.rows += rows;
                self.bytes += piece.bytes;
            }
            Entry::Media { piece, .. } => {
                self.media += 1;
                self.bytes += piece.bytes;
            }
        }
    }
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let age_ms = now_ts().saturating_sub(self.made_ts);
        let age = match age_ms {
            0..60_000 => "now".to_owned(),
            _ => format!("{} ago", crate::token_commands::describe_duration(age_ms)),
        };
        let media = counted(usize::try_from(self.media).unwrap_or(usize::MAX), "upload");
        let Self { position, rows, bytes, new_bytes, .. } = self;
        write!(f, "backup of {age}, at position {position}: {rows} rows and {media}, {bytes} bytes")?;
        if *new_bytes > 0 { write!(f, ", of which {new_bytes} are new") } else { Ok(()) }
    }
}

/// Makes the backup in a folder what the data are now.
pub(crate) fn make(source: &Source<'_>, folder: &Path, pace: Pace) -> Result<Summary, Failure> {
    let (_lock, folder) = open_folder(folder, source.data)?;
    let mut pacer = Pacer::new(pace);
    let previous = IndexReader::open(&folder).ok();
    let whole = source.store.whole();
    let mut making = Making {
        summary: Summary { made_ts: now_ts(), position: whole.position()?.get(), ..Summary::default() },
        index: IndexWriter::create(&folder)?,
        used: HashSet::new(),
        folder,
    };
    making.index.begin(making.summary.made_ts, making.summary.position)?;
    rows::write(&whole, &mut making, &mut pacer)?;
    // From here on, rows that are replaced take no room any more.
    drop(whole);
    if let Some(media) = source.media {
        media::copy(media, previous, &mut making, &mut pacer)?;
    }
    let Making { folder, index, summary, used } = making;
    index.finish()?;
    rows::prune(&folder, &used)?;
    media::prune(&folder, &used)?;
    Ok(summary)
}

/// A backup that is being made.
struct Making {
    folder: PathBuf,
    index: IndexWriter,
    summary: Summary,
    /// The names of all files that it has, told by the start of their checksums.
    used: HashSet<u128>,
}

impl Making {
    /// Notes something that the backup has.
    fn note(&mut self, entry: &Entry, is_new: bool) -> Result<(), Failure> {
        self.used.insert(name_hash(&entry.file_name()));
        self.summary.add(entry);
        if is_new {
            self.summary.new_bytes += entry.piece().bytes;
        }
        Ok(self.index.add(entry)?)
    }
}

/// Tells the names of files apart.
fn name_hash(name: &Path) -> u128 {
    xxhash_rust::xxh3::xxh3_128(name.as_os_str().as_encoded_bytes())
}

/// Reads all of a backup, and fails if anything is missing or damaged. The error names each file that is.
pub(crate) fn verify(folder: &Path) -> Result<Summary, Failure> {
    let mut index = IndexReader::open(folder)?;
    let (made_ts, position) = index.made();
    let mut summary = Summary { made_ts, position, ..Summary::default() };
    let mut damaged: Vec<String> = Vec::new();
    for entry in &mut index {
        let entry = entry?;
        let path = folder.join(entry.file_name());
        let found = digest(&path, &mut io::sink()).map_err(|error| format!("{}: {error}", path.display()));
        if let Err(error) = found.map_err(Failure::from).and_then(|it| check_piece(&path, it, entry.piece()))
        {
            damaged.push(error.to_string());
            if damaged.len() == NAMED {
                break;
            }
        }
        summary.add(&entry);
    }
    match damaged.is_empty() {
        true => Ok(summary),
        false => Err(format!(
            "{}\nthe backup cannot be used like this: docs/guides/back-up.md says how to mend it",
            damaged.join("\n")
        )
        .into()),
    }
}

fn check_piece(path: &Path, found: Piece, expected: Piece) -> Result<(), Failure> {
    match found == expected {
        true => Ok(()),
        false => Err(format!("{} is damaged", path.display()).into()),
    }
}

/// Makes an empty data folder what the data were. The store is at `store`, and media go to `media`.
pub(crate) fn restore(
    folder: &Path,
    data: &Path,
    store: &Path,
    media: Option<&Path>,
) -> Result<Summary, Failure> {
    let summary = verify(folder)?;
    if summary.media > 0 && media.is_none() {
        return Err(
            "the backup has media, and the configuration keeps them in a bucket: take [media] out".into()
        );
    }
    create_folder(data)?;
    if fs::read_dir(data)?.next().is_some() {
        return Err(
            format!("{} is not empty: a backup is restored to an empty data folder", data.display()).into()
        );
    }
    // As long as it has this name, no server starts over it.
    let half = data.join(HALF);
    create_folder(&half)?;
    let mut filling = Filling::create(&half)?;
    for entry in IndexReader::open(folder)? {
        let entry = entry?;
        let from = folder.join(entry.file_name());
        match (&entry, media) {
            (Entry::Rows { table, piece, .. }, _) => {
                let mut piece_bytes = Vec::new();
                check_piece(&from, digest(&from, &mut piece_bytes)?, *piece)?;
                rows::read(&piece_bytes, |key, value| filling.put(table, key, value))?;
            }
            (Entry::Media { path, piece }, Some(media)) => {
                let to = media.join(path);
                create_folder(to.parent().unwrap_or(media))?;
                check_piece(&from, copy_file(&from, &to)?, *piece)?;
            }
            (Entry::Media { .. }, None) => {}
        }
    }
    filling.finish()?;
    fs::rename(&half, store)?;
    sync_folder(data)?;
    Ok(summary)
}

/// Whether a restoration of the data folder has broken off.
pub(crate) fn is_half_restored(data: &Path) -> bool {
    data.join(HALF).exists()
}

/// Opens the folder of a backup, which is new, empty, or one of an earlier backup, and locks it.
fn open_folder(folder: &Path, data: &Path) -> Result<(File, PathBuf), Failure> {
    let failed = |error: io::Error| format!("{}: {error}", folder.display());
    create_folder(folder).map_err(failed)?;
    let folder = folder.canonicalize().map_err(failed)?;
    if folder.starts_with(data.canonicalize()?) {
        return Err("a backup cannot be in the data folder".into());
    }
    let lock = folder.join(LOCK);
    if !lock.exists() && fs::read_dir(&folder).map_err(failed)?.next().is_some() {
        return Err(format!("{} is neither empty nor a backup", folder.display()).into());
    }
    fs::set_permissions(&folder, fs::Permissions::from_mode(0o700)).map_err(failed)?;
    let lock = create_file(&lock).map_err(failed)?;
    lock.try_lock().map_err(|_| format!("another backup is being made in {}", folder.display()))?;
    Ok((lock, folder))
}

/// Creates a folder, and those that it is in, for nobody but the owner.
fn create_folder(path: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(path)
}

/// Creates a file for nobody but the owner, or empties it.
fn create_file(path: &Path) -> io::Result<File> {
    OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(path)
}

fn sync_folder(path: &Path) -> io::Result<()> {
    File::open(path)?.sync_all()
}

/// Puts a file where it belongs once it is whole and on disk.
fn write_file(path: &Path, write: impl FnOnce(&mut File) -> io::Result<Piece>) -> io::Result<Piece> {
    let part = path.with_added_extension("part");
    let mut file = create_file(&part)?;
    let piece = write(&mut file)?;
    file.sync_all()?;
    fs::rename(&part, path)?;
    Ok(piece)
}

fn copy_file(from: &Path, to: &Path) -> io::Result<Piece> {
    write_file(to, |file| digest(from, file))
}

/// The checksum and the length of a file, which is also written to `to`.
fn digest(path: &Path, to: &mut impl Write) -> io::Result<Piece> {
    let mut file = File::open(path)?;
    let (mut hasher, mut bytes) = (Sha256::new(), 0);
    let mut buffer = vec![0; READ_BYTES];
    loop {
        let read = file.read(&mut buffer)?;
        if read == 0 {
            return Ok(Piece { sha256: hasher.finalize().into(), bytes });
        }
        hasher.update(&buffer[..read]);
        to.write_all(&buffer[..read])?;
        bytes += read as u64;
    }
}

/// Rests now and then, so that no more is read than the pace allows.
struct Pacer {
    pace: Pace,
    begun: Instant,
    bytes: u64,
}

impl Pacer {
    fn new(pace: Pace) -> Self {
        Self { pace, begun: Instant::now(), bytes: 0 }
    }

    /// Notes that so much was read.
    fn read(&mut self, bytes: u64) {
        self.bytes += bytes;
        if matches!(self.pace, Pace::Gentle) {
            let due = Duration::from_millis(self.bytes.saturating_mul(1000) / GENTLE_BYTES);
            thread::sleep(due.saturating_sub(self.begun.elapsed()));
        }
    }
}
