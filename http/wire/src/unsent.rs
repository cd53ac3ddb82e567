//! Answers that have been made and not been taken by their clients yet: how much memory they may hold.

use std::{
    collections::HashMap,
    fmt,
    hash::Hash,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use axum::body::{Body, HttpBody};
use bytes::Bytes;
use http_body::{Frame, SizeHint};
use linkspan_platforms::{Limited, Work};
use parking_lot::Mutex;
use ruma::OwnedServerName;

/// Smaller answers are not counted: a connection's buffers hold as much.
const SMALL_BYTES: usize = 16 << 10;
/// How many bytes of an answer are handed to a connection at a time.
const PIECE_BYTES: usize = 32 << 10;

/// How many bytes the answers to one person, or to one network of clients, may hold. One answer may be larger.
const BYTES_OF_ONE: usize = 16 << 20;
/// How many bytes all answers together may hold. One platform may hold as much as is free besides, and so never more
/// than half: another one always finds room.
const BYTES_IN_ALL: usize = 256 << 20;

/// When somebody should ask again who has not taken earlier answers.
pub(crate) const UNTIL_TAKEN: Duration = Duration::from_secs(2);

/// What answers hold that are not sent yet. Clones are the same.
#[derive(Clone, Default)]
pub(crate) struct Unsent(Arc<Mutex<Held>>);

#[derive(Default)]
struct Held {
    in_all: usize,
    by_platform: HashMap<OwnedServerName, usize>,
    by_one: HashMap<(OwnedServerName, String), usize>,
}

impl fmt::Debug for Unsent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Unsent").field("bytes", &self.0.lock().in_all).finish_non_exhaustive()
    }
}

impl Unsent {
    /// Whether somebody's answers hold so much that no more should be made.
    pub(crate) fn is_full_for(&self, work: &Work) -> bool {
        let held = self.0.lock();
        // Most hold nothing, and their names need not be copied.
        held.in_all > 0
            && held
                .by_one
                .get(&(work.platform().server_name().clone(), work.who().to_owned()))
                .is_some_and(|bytes| *bytes >= BYTES_OF_ONE)
    }

    /// Has an answer's body count as held until it has been taken, if it is large. [`Limited`]: there is no room for it.
    pub(crate) fn hold(&self, work: &Work, body: Body) -> Result<Body, Limited> {
        let bytes = usize::try_from(body.size_hint().exact().unwrap_or_default()).unwrap_or(usize::MAX);
        if bytes < SMALL_BYTES {
            return Ok(body);
        }
        let holding = self.take(work, bytes)?;
        Ok(Body::new(HeldBody { body, rest: Bytes::new(), _holding: holding }))
    }

    /// The same for a body that is made while it is taken, beside which so many bytes are held.
    pub(crate) fn hold_stream(&self, work: &Work, body: Body, bytes: usize) -> Result<Body, Limited> {
        let holding = self.take(work, bytes)?;
        Ok(Body::new(HeldBody { body, rest: Bytes::new(), _holding: holding }))
    }

    fn take(&self, work: &Work, bytes: usize) -> Result<Holding, Limited> {
        let platform = work.platform().server_name().clone();
        let one = (platform.clone(), work.who().to_owned());
        let mut held = self.0.lock();
        let of = |bytes: Option<&usize>| bytes.copied().unwrap_or_default();
        let (of_one, of_platform) = (of(held.by_one.get(&one)), of(held.by_platform.get(&platform)));
        let free = BYTES_IN_ALL.saturating_sub(held.in_all);
        let fits_one = of_one == 0 || of_one + bytes <= BYTES_OF_ONE;
        let fits_platform = of_platform == 0 || of_platform + bytes <= free;
        if !fits_one || !fits_platform {
            return Err(Limited { retry_after: UNTIL_TAKEN });
        }
        held.in_all += bytes;
        *held.by_one.entry(one.clone()).or_default() += bytes;
        *held.by_platform.entry(platform).or_default() += bytes;
        Ok(Holding { unsent: self.clone(), one, bytes })
    }
}

/// What one answer holds.
struct Holding {
    unsent: Unsent,
    one: (OwnedServerName, String),
    bytes: usize,
}

impl Drop for Holding {
    fn drop(&mut self) {
        let mut held = self.unsent.0.lock();
        held.in_all -= self.bytes;
        let (platform, _) = &self.one;
        give_back(&mut held.by_platform, platform, self.bytes);
        give_back(&mut held.by_one, &self.one, self.bytes);
    }
}

fn give_back<K: Hash + Eq>(held: &mut HashMap<K, usize>, whose: &K, bytes: usize) {
    if let Some(of_whom) = held.get_mut(whose) {
        *of_whom -= bytes;
        if *of_whom == 0 {
            held.remove(whose);
        }
    }
}

/// A body that is handed over in pieces, each once the connection has room for it. It counts as held until it is
/// dropped.
struct HeldBody {
    body: Body,
    /// What was taken out of the body and not handed over yet.
    rest: Bytes,
    _holding: Holding,
}

impl HttpBody for HeldBody {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        while self.rest.is_empty() {
            let Some(frame) = std::task::ready!(Pin::new(&mut self.body).poll_frame(context)) else {
                return Poll::Ready(None);
            };
            match frame?.into_data() {
                Ok(data) => self.rest = data,
                Err(trailers) => return Poll::Ready(Some(Ok(trailers))),
            }
        }
        let piece = self.rest.len().min(PIECE_BYTES);
        Poll::Ready(Some(Ok(Frame::data(self.rest.split_to(piece)))))
    }

    fn is_end_stream(&self) -> bool {
        self.rest.is_empty() && self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        let mut hint = self.body.size_hint();
        if let Some(bytes) = hint.exact() {
            hint.set_exact(self.rest.len() as u64 + bytes);
        }
        hint
    }
}
