//! Cuts the last, never acknowledged batch off a journal of `fjall` that a power failure has torn.
//!
//! The pages of a write reach the disk in any order, so a failure in the middle of a sync may leave a
//! batch whose end is there and whose middle is not. Batches that merely stop short `fjall` drops by
//! itself; at such a one it refuses to open. Nothing but the last batch is ever cut: what lies before
//! another batch was acknowledged, and its damage must not go unnoticed.

use std::{
    fs::{self, File},
    io,
    path::{Path, PathBuf},
};

use xxhash_rust::xxh3::xxh3_64;

const TAG_START: u8 = 1;
const TAG_ITEM: u8 = 2;
const TAG_END: u8 = 3;
const TAG_CLEAR: u8 = 4;
/// The bytes at the end of every batch.
const TRAILER: &[u8] = b"FJL\x03";

/// Cuts the newest journal in the folder where its last batch is damaged. Returns false if something else is
/// wrong with it.
pub(crate) fn cut_torn_batch(folder: &Path) -> io::Result<bool> {
    let Some(path) = newest_journal(folder)? else { return Ok(false) };
    let Some(sound) = find_torn_batch(&fs::read(&path)?) else { return Ok(false) };
    tracing::warn!(journal = %path.display(), at = sound, "cutting off a batch that a failure has torn");
    let file = File::options().write(true).open(&path)?;
    file.set_len(sound as u64)?;
    file.sync_all()?;
    Ok(true)
}

fn newest_journal(folder: &Path) -> io::Result<Option<PathBuf>> {
    let mut newest = None;
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        let number = path.extension().is_some_and(|extension| extension == "jnl").then(|| path.file_stem());
        if let Some(number) = number.flatten().and_then(|stem| stem.to_str()?.parse::<u64>().ok()) {
            newest = newest.max(Some((number, path)));
        }
    }
    Ok(newest.map(|(_, path)| path))
}

/// The place where the last batch starts, if it is damaged and all before it are sound.
fn find_torn_batch(journal: &[u8]) -> Option<usize> {
    let mut start = 0;
    loop {
        let batch = read_batch(&journal[start..])?;
        let end = start + batch.len;
        if !batch.is_sound {
            // A journal is laid out in advance: after the last batch there are zeros.
            return journal[end..].iter().all(|&byte| byte == 0).then_some(start);
        }
        start = end;
    }
}

struct Batch {
    len: usize,
    is_sound: bool,
}

/// The batch that `journal` starts with. None if it has no end.
fn read_batch(journal: &[u8]) -> Option<Batch> {
    let mut reader = Reader { rest: journal };
    if reader.number(1)? != u64::from(TAG_START) {
        return None;
    }
    let count = reader.number(4)?;
    let _sequence = reader.take(8)?;
    let body = reader.rest;
    let mut found = 0;
    loop {
        let body_len = body.len() - reader.rest.len();
        match reader.take(1)? {
            [TAG_ITEM] => {
                let _types_and_keyspace = reader.take(2 + 8)?;
                let key_len = reader.number(2)?;
                let _uncompressed_len = reader.take(4)?;
                let value_len = reader.number(4)?;
                reader.take(usize::try_from(key_len + value_len).ok()?)?;
            }
            [TAG_CLEAR] => drop(reader.take(8)?),
            [TAG_END] => {
                let checksum = reader.number(8)?;
                let is_whole = reader.take(TRAILER.len())? == TRAILER;
                return is_whole.then(|| Batch {
                    len: journal.len() - reader.rest.len(),
                    is_sound: found == count && xxh3_64(&body[..body_len]) == checksum,
                });
            }
            _ => return None,
        }
        found += 1;
    }
}

struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    fn take(&mut self, len: usize) -> Option<&'a [u8]> {
        let (head, rest) = self.rest.split_at_checked(len)?;
        self.rest = rest;
        Some(head)
    }

    /// A little-endian number of `len` bytes.
    fn number(&mut self, len: usize) -> Option<u64> {
        Some(self.take(len)?.iter().rev().fold(0, |number, &byte| (number << 8) | u64::from(byte)))
    }
}
