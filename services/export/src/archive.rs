//! A zip archive that is sent while it is written: what was written waits in memory only until a piece of it is full.

use std::{
    io,
    io::Write as _,
    sync::Arc,
    time::{Duration, Instant},
};

use bytes::Bytes;
use futures_util::StreamExt;
use linkspan_accounts::Accounts;
use linkspan_media::Content;
use parking_lot::Mutex;
use serde::Serialize;
use tokio::sync::mpsc;
use zip::{
    CompressionMethod, ZipWriter,
    write::{SimpleFileOptions, StreamWriter},
};

use crate::{ExportError, Result, Session};

/// The size of the pieces that are sent, in bytes.
const PIECE_BYTES: usize = 64 << 10;
/// How long a piece may wait to be taken, and all of them together beyond what the rate below allows. Whoever reads
/// nothing for so long has gone.
const PATIENCE: Duration = Duration::from_secs(5 * 60);
/// How fast somebody has to read at least, in bytes each second: others wait to have theirs.
const LEAST_RATE: u64 = 64 << 10;

/// How an archive is being read.
#[derive(Debug, Default)]
struct Pace {
    sent_bytes: u64,
    /// How long pieces have waited to be taken, all together.
    waited: Duration,
}

impl Pace {
    /// How long the next piece may wait.
    fn patience(&self) -> Duration {
        let allowed = PATIENCE + Duration::from_secs(self.sent_bytes / LEAST_RATE);
        allowed.saturating_sub(self.waited).min(PATIENCE)
    }
}

/// What was written and not sent yet.
#[derive(Clone, Debug, Default)]
struct Written(Arc<Mutex<Vec<u8>>>);

impl Written {
    fn len(&self) -> usize {
        self.0.lock().len()
    }

    fn take(&self) -> Vec<u8> {
        std::mem::take(&mut *self.0.lock())
    }
}

impl io::Write for Written {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// An archive on its way to a session.
pub(crate) struct Archive {
    zip: ZipWriter<StreamWriter<Written>>,
    written: Written,
    to: mpsc::Sender<Result<Bytes>>,
    pace: Pace,
    accounts: Accounts,
    session: Session,
}

impl Archive {
    pub(crate) fn new(to: mpsc::Sender<Result<Bytes>>, accounts: Accounts, session: Session) -> Self {
        let written = Written::default();
        let (zip, pace) = (ZipWriter::new_stream(written.clone()), Pace::default());
        Self { zip, written, to, pace, accounts, session }
    }

    /// Adds a file that has one JSON value.
    pub(crate) async fn add_json(&mut self, name: &str, value: &impl Serialize) -> Result<()> {
        self.begin_lines(name)?;
        self.add_line(value).await
    }

    /// Begins a file that has a JSON value on each line.
    pub(crate) fn begin_lines(&mut self, name: &str) -> Result<()> {
        self.begin_file(name, CompressionMethod::Deflated)
    }

    /// Adds a line to the file that was begun last.
    pub(crate) async fn add_line(&mut self, value: &impl Serialize) -> Result<()> {
        serde_json::to_writer(&mut self.zip, value).map_err(io::Error::from)?;
        self.zip.write_all(b"\n")?;
        self.send_if_full().await
    }

    /// Adds a file as it is, since most media are compressed already. If the content breaks off, the file is as long as
    /// what there was of it. Returns whether it has its whole size.
    pub(crate) async fn add_content(
        &mut self,
        name: &str,
        size_bytes: u64,
        mut content: Content,
    ) -> Result<bool> {
        self.begin_file(name, CompressionMethod::Stored)?;
        let mut read_bytes = 0;
        while let Some(piece) = content.next().await {
            let piece = match piece {
                Ok(piece) => piece,
                Err(error) => {
                    let user_id = &self.session.user_id;
                    tracing::warn!(%error, %user_id, name, "a content breaks off in the archive of a person");
                    return Ok(false);
                }
            };
            read_bytes += piece.len() as u64;
            self.zip.write_all(&piece)?;
            self.send_if_full().await?;
        }
        Ok(read_bytes == size_bytes)
    }

    /// Nobody knows how large a file will be before it is written, so each may be larger than 4 GiB.
    fn begin_file(&mut self, name: &str, method: CompressionMethod) -> Result<()> {
        let options = SimpleFileOptions::default().compression_method(method).large_file(true);
        Ok(self.zip.start_file(name, options)?)
    }

    /// Refuses if the session has ended.
    pub(crate) async fn check_session(&self) -> Result<()> {
        check_session(&self.accounts, &self.session).await
    }

    /// Sends what is left, with the list of files that ends an archive.
    pub(crate) async fn finish(self) -> Result<()> {
        let Self { zip, written, to, mut pace, accounts, session } = self;
        zip.finish()?;
        send(&to, &mut pace, &accounts, &session, written.take()).await
    }

    async fn send_if_full(&mut self) -> Result<()> {
        if self.written.len() < PIECE_BYTES {
            return Ok(());
        }
        send(&self.to, &mut self.pace, &self.accounts, &self.session, self.written.take()).await
    }
}

/// Sends a piece, if the session is still good when there is room for it.
async fn send(
    to: &mpsc::Sender<Result<Bytes>>,
    pace: &mut Pace,
    accounts: &Accounts,
    session: &Session,
    piece: Vec<u8>,
) -> Result<()> {
    let since = Instant::now();
    let room = tokio::time::timeout(pace.patience(), to.reserve()).await;
    let room = room.ok().and_then(std::result::Result::ok).ok_or(ExportError::NotRead)?;
    pace.waited += since.elapsed();
    pace.sent_bytes += piece.len() as u64;
    check_session(accounts, session).await?;
    room.send(Ok(piece.into()));
    Ok(())
}

async fn check_session(accounts: &Accounts, session: &Session) -> Result<()> {
    let Session { user_id, device_id, token_hash } = session;
    Ok(accounts.check_session(user_id, device_id, *token_hash).await?)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{LEAST_RATE, PATIENCE, PIECE_BYTES, Pace};

    /// How many pieces are sent to somebody who takes so long for each.
    fn sent(each: Duration, most: u64) -> u64 {
        let mut pace = Pace::default();
        for piece in 0..most {
            if each >= pace.patience() {
                return piece;
            }
            pace.waited += each;
            pace.sent_bytes += PIECE_BYTES as u64;
        }
        most
    }

    #[test]
    fn who_reads_too_slowly_gets_no_more() {
        let piece_seconds = PIECE_BYTES as u64 / LEAST_RATE;
        let seconds = Duration::from_secs;
        assert_eq!(sent(seconds(piece_seconds), 1_000_000), 1_000_000);
        // Each piece takes a second too long. The five minutes are down to the two seconds of a piece after 298.
        assert_eq!(sent(seconds(piece_seconds + 1), 1_000_000), 298);
        assert_eq!(sent(PATIENCE - seconds(1), 1_000_000), 1);
        assert_eq!(sent(PATIENCE, 1_000_000), 0);
    }

    #[test]
    fn who_has_read_fast_may_not_stop_for_long() {
        let fast = Pace { sent_bytes: 100 << 30, waited: Duration::ZERO };
        assert_eq!(fast.patience(), PATIENCE);
    }
}
