//! The rows of a backup: pieces of each table, which end where their keys say. So a row that comes or goes changes the
//! piece that it is in, and seldom the next.

use std::{
    collections::HashSet,
    fs::{self, File},
    io::{self, Write},
    path::Path,
};

use linkspan_storage::{StorageError, Whole, catalogue};
use sha2::{Digest, Sha256};
use xxhash_rust::xxh3::xxh3_64;

use super::{
    Making, Pacer, create_folder,
    index::{Entry, Piece},
    name_hash, sync_folder, write_file,
};
use crate::Failure;

/// The folder of all pieces.
pub(super) const ROWS: &str = "rows";

/// The least that a piece has, in bytes, unless it is its table's last: fewer would make many small files.
const LEAST_BYTES: usize = 256 << 10;
/// From here on, in bytes, a piece ends wherever it is. It is what memory holds of a backup.
const MOST_BYTES: usize = 8 << 20;
/// In between, one of so many keys ends a piece.
const KEYS_FOR_END: u64 = 4096;

fn is_end(key: &[u8], piece_bytes: usize) -> bool {
    piece_bytes >= MOST_BYTES || piece_bytes >= LEAST_BYTES && xxh3_64(key).is_multiple_of(KEYS_FOR_END)
}

/// Writes all rows as pieces.
pub(super) fn write(whole: &Whole, making: &mut Making, pacer: &mut Pacer) -> Result<(), Failure> {
    for table in catalogue::TABLES {
        let (mut piece, mut rows) = (Vec::new(), 0);
        for row in whole.rows(table) {
            let (key, value) = row?;
            add(&mut piece, &key, &value)?;
            rows += 1;
            if is_end(&key, piece.len()) {
                write_piece(table.name, rows, &piece, making)?;
                pacer.read(piece.len() as u64);
                rows = 0;
                piece.clear();
            }
        }
        if rows > 0 {
            write_piece(table.name, rows, &piece, making)?;
            pacer.read(piece.len() as u64);
        }
    }
    sync_shelves(&making.folder.join(ROWS))?;
    Ok(())
}

/// A row: the lengths of key and value, four bytes each, big-endian; the key; the value.
fn add(piece: &mut Vec<u8>, key: &[u8], value: &[u8]) -> Result<(), Failure> {
    for bytes in [key, value] {
        piece.extend_from_slice(&u32::try_from(bytes.len())?.to_be_bytes());
    }
    piece.extend_from_slice(key);
    piece.extend_from_slice(value);
    Ok(())
}

/// Reads the rows of a piece.
pub(super) fn read(
    mut piece: &[u8],
    mut row: impl FnMut(&[u8], &[u8]) -> Result<(), StorageError>,
) -> Result<(), Failure> {
    while !piece.is_empty() {
        let (key, value, rest) = split(piece).ok_or("a piece of the backup is damaged")?;
        row(key, value)?;
        piece = rest;
    }
    Ok(())
}

/// The first row of a piece, and what follows it.
fn split(piece: &[u8]) -> Option<(&[u8], &[u8], &[u8])> {
    let (key_len, rest) = piece.split_first_chunk::<4>()?;
    let (value_len, rest) = rest.split_first_chunk::<4>()?;
    let (key, rest) = rest.split_at_checked(u32::from_be_bytes(*key_len) as usize)?;
    let (value, rest) = rest.split_at_checked(u32::from_be_bytes(*value_len) as usize)?;
    Some((key, value, rest))
}

/// Writes a piece, unless it is there.
fn write_piece(table: &str, rows: u64, content: &[u8], making: &mut Making) -> Result<(), Failure> {
    let piece = Piece { sha256: Sha256::digest(content).into(), bytes: content.len() as u64 };
    let entry = Entry::Rows { table: table.to_owned(), rows, piece };
    let path = making.folder.join(entry.file_name());
    let is_there = fs::metadata(&path).is_ok_and(|file| file.len() == piece.bytes);
    if !is_there {
        create_folder(path.parent().unwrap_or(&making.folder))?;
        write_file(&path, |file: &mut File| file.write_all(content).map(|()| piece))?;
    }
    making.note(&entry, !is_there)
}

fn sync_shelves(folder: &Path) -> io::Result<()> {
    for shelf in fs::read_dir(folder)? {
        sync_folder(&shelf?.path())?;
    }
    sync_folder(folder)
}

/// Removes pieces that are used no more, and what an earlier backup left half written.
pub(super) fn prune(folder: &Path, used: &HashSet<u128>) -> io::Result<()> {
    for shelf in fs::read_dir(folder.join(ROWS))? {
        for file in fs::read_dir(shelf?.path())? {
            let path = file?.path();
            let is_used = path.strip_prefix(folder).is_ok_and(|name| used.contains(&name_hash(name)));
            if !is_used {
                fs::remove_file(path)?;
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_of_a_piece_are_read_again() {
        let rows: [(&[u8], &[u8]); 3] = [(b"", b""), (b"key", b"value"), (b"\0\xff", &[7; 300])];
        let mut piece = Vec::new();
        for (key, value) in rows {
            add(&mut piece, key, value).expect("it is short");
        }
        let mut found = Vec::new();
        let mut keep = |key: &[u8], value: &[u8]| {
            found.push((key.to_vec(), value.to_vec()));
            Ok(())
        };
        read(&piece, &mut keep).expect("it is whole");
        assert!(read(&piece[..piece.len() - 1], |_, _| Ok(())).is_err());
        assert_eq!(found, rows.map(|(key, value)| (key.to_vec(), value.to_vec())));
    }

    #[test]
    fn a_row_that_comes_in_changes_few_pieces() {
        let pieces = |keys: &mut dyn Iterator<Item = u64>| {
            let (mut pieces, mut piece) = (HashSet::new(), Vec::new());
            for key in keys {
                let key = key.to_be_bytes();
                add(&mut piece, &key, &[1; 400]).expect("it is short");
                if is_end(&key, piece.len()) {
                    pieces.insert(<[u8; 32]>::from(Sha256::digest(&piece)));
                    piece.clear();
                }
            }
            pieces
        };
        let before = pieces(&mut (1..60_000).map(|number| number * 2));
        let after = pieces(&mut std::iter::once(1).chain((1..60_000).map(|number| number * 2)));
        assert!(before.len() > 5);
        assert!(before.intersection(&after).count() >= before.len() - 3);
    }
}
