//! The index of a backup: a text file that says what there is, line by line, and ends with its own checksum. It is
//! written and read as a stream, since a large backup has millions of files.

use std::{
    fs::{self, File},
    io::{self, BufRead, BufReader, BufWriter, Write},
    path::{Component, Path, PathBuf},
};

use sha2::{Digest, Sha256};

use super::{create_file, media::MEDIA, rows::ROWS, sync_folder};
use crate::Failure;

/// The name of the index.
const INDEX: &str = "index";
/// The name of one that is not whole yet.
const PART: &str = "index.part";
/// The start of the first line. The number rises when another program could not read what is written.
const FORMAT: &str = "linkspan-backup 1";

/// The checksum and the length of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Piece {
    pub(super) sha256: [u8; 32],
    pub(super) bytes: u64,
}

/// Something that a backup has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Entry {
    /// Some rows of a table that follow on each other.
    Rows { table: String, rows: u64, piece: Piece },
    /// A file of media, by its path in their folder.
    Media { path: String, piece: Piece },
}

impl Entry {
    pub(super) fn piece(&self) -> Piece {
        let (Self::Rows { piece, .. } | Self::Media { piece, .. }) = self;
        *piece
    }

    /// Where its file is in the folder of the backup.
    pub(super) fn file_name(&self) -> PathBuf {
        match self {
            Self::Rows { piece, .. } => {
                let name = hex(&piece.sha256);
                Path::new(ROWS).join(&name[..2]).join(name)
            }
            Self::Media { path, .. } => Path::new(MEDIA).join(path),
        }
    }

    fn to_line(&self) -> String {
        let Piece { sha256, bytes } = self.piece();
        let sha256 = hex(&sha256);
        match self {
            Self::Rows { table, rows, .. } => format!("rows\t{sha256}\t{bytes}\t{table}\t{rows}"),
            Self::Media { path, .. } => format!("media\t{sha256}\t{bytes}\t{path}"),
        }
    }

    fn from_line(line: &str) -> Option<Self> {
        let mut words = line.split('\t');
        let kind = words.next()?;
        let piece = Piece { sha256: from_hex(words.next()?)?, bytes: words.next()?.parse().ok()? };
        let name = words.next()?.to_owned();
        match kind {
            "rows" => Some(Self::Rows { table: name, rows: words.next()?.parse().ok()?, piece }),
            "media" if is_inside(&name) => Some(Self::Media { path: name, piece }),
            _ => None,
        }
    }
}

/// Whether a path leads nowhere but into a folder.
fn is_inside(path: &str) -> bool {
    let mut parts = Path::new(path).components();
    !path.is_empty() && parts.all(|part| matches!(part, Component::Normal(_)))
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn from_hex(text: &str) -> Option<[u8; 32]> {
    let mut bytes = [0; 32];
    if text.len() != 64 {
        return None;
    }
    for (byte, digits) in bytes.iter_mut().zip(text.as_bytes().chunks(2)) {
        *byte = u8::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()?;
    }
    Some(bytes)
}

/// Writes an index.
pub(super) struct IndexWriter {
    folder: PathBuf,
    file: BufWriter<File>,
    hasher: Sha256,
}

impl IndexWriter {
    pub(super) fn create(folder: &Path) -> io::Result<Self> {
        let file = BufWriter::new(create_file(&folder.join(PART))?);
        Ok(Self { folder: folder.to_owned(), file, hasher: Sha256::new() })
    }

    /// The first line: when the backup is made, in milliseconds since the Unix epoch, and at which position.
    pub(super) fn begin(&mut self, made_ts: u64, position: u64) -> io::Result<()> {
        self.line(&format!("{FORMAT}\t{made_ts}\t{position}"))
    }

    pub(super) fn add(&mut self, entry: &Entry) -> io::Result<()> {
        self.line(&entry.to_line())
    }

    fn line(&mut self, line: &str) -> io::Result<()> {
        for part in [line.as_bytes(), b"\n"] {
            self.hasher.update(part);
            self.file.write_all(part)?;
        }
        Ok(())
    }

    /// Puts it in the place of the earlier one.
    pub(super) fn finish(mut self) -> io::Result<()> {
        let sum = hex(&self.hasher.finalize());
        writeln!(self.file, "end\t{sum}")?;
        self.file.into_inner()?.sync_all()?;
        fs::rename(self.folder.join(PART), self.folder.join(INDEX))?;
        sync_folder(&self.folder)
    }
}

/// Reads an index. It ends with an error unless the index is whole.
pub(super) struct IndexReader {
    lines: BufReader<File>,
    hasher: Sha256,
    made: (u64, u64),
    is_over: bool,
}

impl IndexReader {
    pub(super) fn open(folder: &Path) -> Result<Self, Failure> {
        let path = folder.join(INDEX);
        let file =
            File::open(&path).map_err(|error| format!("there is no backup: {}: {error}", path.display()))?;
        let mut reader =
            Self { lines: BufReader::new(file), hasher: Sha256::new(), made: (0, 0), is_over: false };
        let first = reader.line()?;
        let mut words = first.split('\t');
        if words.next() != Some(FORMAT) {
            return Err(
                "the backup was made by another version of Linkspan, whose format is not known".into()
            );
        }
        let mut number = || words.next().and_then(|word| word.parse().ok()).ok_or_else(damaged);
        reader.made = (number()?, number()?);
        Ok(reader)
    }

    /// When the backup was made, in milliseconds since the Unix epoch, and at which position.
    pub(super) fn made(&self) -> (u64, u64) {
        self.made
    }

    /// The next line, which must be there.
    fn line(&mut self) -> Result<String, Failure> {
        let mut line = String::new();
        self.lines.read_line(&mut line)?;
        if !line.ends_with('\n') {
            return Err(damaged());
        }
        if !line.starts_with("end\t") {
            self.hasher.update(&line);
        }
        line.pop();
        Ok(line)
    }

    fn entry(&mut self) -> Result<Option<Entry>, Failure> {
        let line = self.line()?;
        match line.strip_prefix("end\t") {
            Some(sum) if sum == hex(&self.hasher.clone().finalize()) => Ok(None),
            Some(_) => Err(damaged()),
            None => Ok(Some(Entry::from_line(&line).ok_or_else(damaged)?)),
        }
    }
}

fn damaged() -> Failure {
    "the index of the backup is damaged".into()
}

impl Iterator for IndexReader {
    type Item = Result<Entry, Failure>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.is_over {
            return None;
        }
        let next = self.entry().transpose();
        self.is_over = !matches!(next, Some(Ok(_)));
        next
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entries() -> [Entry; 2] {
        let piece = |byte| Piece { sha256: [byte; 32], bytes: u64::from(byte) };
        [
            Entry::Rows { table: "filters".into(), rows: 3, piece: piece(171) },
            Entry::Media { path: "one.localhost/ab/abc".into(), piece: piece(7) },
        ]
    }

    fn written() -> tempfile::TempDir {
        let folder = tempfile::tempdir().expect("a folder");
        let mut index = IndexWriter::create(folder.path()).expect("it is created");
        index.begin(1000, 42).expect("it is written");
        entries().iter().for_each(|entry| index.add(entry).expect("it is written"));
        assert!(IndexReader::open(folder.path()).is_err(), "it is not finished");
        index.finish().expect("it is written");
        folder
    }

    #[test]
    fn what_is_written_is_read() {
        let folder = written();
        let index = IndexReader::open(folder.path()).expect("it is read");
        assert_eq!(index.made(), (1000, 42));
        let read: Vec<_> = index.map(|entry| entry.expect("it is whole")).collect();
        assert_eq!(read, entries());
        let name = format!("rows/ab/{}", "ab".repeat(32));
        assert_eq!(read[0].file_name(), Path::new(&name));
    }

    #[test]
    fn an_index_that_is_cut_or_changed_is_refused() {
        let folder = written();
        let path = folder.path().join(INDEX);
        let whole = fs::read_to_string(&path).expect("it is read");
        let refused = |text: &str| {
            fs::write(&path, text).expect("it is written");
            !IndexReader::open(folder.path()).is_ok_and(|mut index| index.all(|entry| entry.is_ok()))
        };
        assert!(!refused(&whole));
        for end in 0..whole.len() {
            assert!(refused(&whole[..end]), "{end}");
        }
        assert!(refused(&whole.replace("\t7\t", "\t8\t")));
        assert!(refused(&whole.replace("linkspan-backup 1", "linkspan-backup 2")));
    }

    #[test]
    fn no_path_leads_out_of_the_folder() {
        let is_read =
            |path: &str| Entry::from_line(&format!("media\t{}\t1\t{path}", "00".repeat(32))).is_some();
        assert!(is_read("one/ab/abc"));
        for path in ["", "../a", "/etc/passwd", "a/../../b"] {
            assert!(!is_read(path), "{path}");
        }
    }
}
