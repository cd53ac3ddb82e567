//! The media of a backup: copies of the files in their folder. A file there never changes, so what the backup has under
//! its name is not read again.

use std::{
    cmp::Ordering,
    collections::HashSet,
    fs, io,
    path::{Path, PathBuf},
};

use super::{
    Making, Pacer, copy_file, create_folder,
    index::{Entry, IndexReader, Piece},
    name_hash, sync_folder,
};
use crate::Failure;

/// The folder of all copies.
pub(super) const MEDIA: &str = "media";

/// Copies all files of the folder of media that the backup does not have.
pub(super) fn copy(
    media: &Path,
    previous: Option<IndexReader>,
    making: &mut Making,
    pacer: &mut Pacer,
) -> Result<(), Failure> {
    let mut previous = Previous { index: previous, next: None };
    visit(media, &mut |path: &Path| {
        let Some(name) = path.strip_prefix(media).ok().and_then(Path::to_str) else { return Ok(()) };
        // The object store calls a file `name#1` while it is being written.
        if name.contains(['#', '\t', '\n']) {
            return Ok(());
        }
        let to = making.folder.join(MEDIA).join(name);
        let had =
            previous.find(name).filter(|piece| fs::metadata(&to).is_ok_and(|file| file.len() == piece.bytes));
        let piece = match had {
            Some(piece) => piece,
            None => {
                create_folder(to.parent().unwrap_or(&making.folder))?;
                match copy_file(path, &to) {
                    Ok(piece) => {
                        pacer.read(piece.bytes);
                        piece
                    }
                    // It was deleted meanwhile.
                    Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
                    Err(error) => return Err(error.into()),
                }
            }
        };
        making.note(&Entry::Media { path: name.to_owned(), piece }, had.is_none())
    })?;
    sync_all_folders(&making.folder.join(MEDIA))?;
    Ok(())
}

/// Visits all files below a folder, in the order of their paths. Memory holds the names of one folder at a time.
fn visit(folder: &Path, file: &mut dyn FnMut(&Path) -> Result<(), Failure>) -> Result<(), Failure> {
    for path in list(folder)? {
        if path.is_dir() {
            visit(&path, file)?;
        } else {
            file(&path)?;
        }
    }
    Ok(())
}

/// What is in a folder, in order. A folder that is not there has nothing in it.
fn list(folder: &Path) -> io::Result<Vec<PathBuf>> {
    let entries = match fs::read_dir(folder) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries?,
    };
    let mut paths = entries.map(|entry| Ok(entry?.path())).collect::<io::Result<Vec<_>>>()?;
    paths.sort_unstable();
    Ok(paths)
}

fn sync_all_folders(folder: &Path) -> io::Result<()> {
    let mut is_there = false;
    for path in list(folder)? {
        is_there = true;
        if path.is_dir() {
            sync_all_folders(&path)?;
        }
    }
    if is_there { sync_folder(folder) } else { Ok(()) }
}

/// The media of the backup before, which are looked for in the order in which they stand there.
struct Previous {
    index: Option<IndexReader>,
    next: Option<(String, Piece)>,
}

impl Previous {
    fn find(&mut self, name: &str) -> Option<Piece> {
        loop {
            let (path, piece) = match self.next.take() {
                Some(next) => next,
                None => self.read()?,
            };
            match Path::new(&path).cmp(Path::new(name)) {
                Ordering::Less => {}
                Ordering::Equal => return Some(piece),
                Ordering::Greater => {
                    self.next = Some((path, piece));
                    return None;
                }
            }
        }
    }

    fn read(&mut self) -> Option<(String, Piece)> {
        loop {
            match self.index.as_mut()?.next() {
                Some(Ok(Entry::Media { path, piece })) => return Some((path, piece)),
                Some(Ok(Entry::Rows { .. })) => {}
                // Whatever it had is copied anew.
                Some(Err(_)) | None => {
                    self.index = None;
                    return None;
                }
            }
        }
    }
}

/// Removes copies of what is not there any more, with folders that are empty then.
pub(super) fn prune(folder: &Path, used: &HashSet<u128>) -> io::Result<()> {
    prune_below(&folder.join(MEDIA), folder, used)
}

fn prune_below(shelf: &Path, folder: &Path, used: &HashSet<u128>) -> io::Result<()> {
    for path in list(shelf)? {
        if path.is_dir() {
            prune_below(&path, folder, used)?;
            // It fails unless it is empty.
            let _ = fs::remove_dir(&path);
        } else if !path.strip_prefix(folder).is_ok_and(|name| used.contains(&name_hash(name))) {
            fs::remove_file(path)?;
        }
    }
    Ok(())
}
